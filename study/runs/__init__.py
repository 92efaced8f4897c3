"""Define the settings, identity and random streams of a training run, and its result columns."""

from study.runs.results import (
    COLUMNS,
    CONCLUSIVE,
    CURVES,
    EVALUATED,
    RESULTS,
    SCHEMA,
    SETTINGS,
    described,
    judged,
    settings_in,
    table_of,
)
from study.runs.settings import (
    SCHEMA_VERSION,
    Run,
    Sequences,
    cut_offsets,
    inapplicable,
    own_kinds,
    own_problem,
    shapes_of,
    stream,
    weights_of,
)

__all__ = [
    "COLUMNS", "CONCLUSIVE", "CURVES", "EVALUATED", "RESULTS", "SCHEMA", "SCHEMA_VERSION",
    "SETTINGS", "Run", "Sequences", "cut_offsets", "described", "inapplicable", "judged",
    "own_kinds", "own_problem", "settings_in", "shapes_of", "stream", "table_of", "weights_of",
]  # fmt: skip

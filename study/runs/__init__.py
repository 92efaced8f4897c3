"""A run as data: its settings and identity, its random streams, and the columns of its row."""

from study.runs.rows import ALWAYS, MOST_SECONDS, as_failed, fault
from study.runs.schema import (
    CURVES,
    RESULTS,
    SCHEMA,
    SETTINGS,
    batch_of,
    failed_batch,
    received,
    table_of,
)
from study.runs.settings import (
    SCHEMA_VERSION,
    Run,
    Sequences,
    inapplicable,
    shapes_of,
    stream,
    weights_of,
)

__all__ = [
    "ALWAYS",
    "CURVES",
    "MOST_SECONDS",
    "RESULTS",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SETTINGS",
    "Run",
    "Sequences",
    "as_failed",
    "batch_of",
    "failed_batch",
    "fault",
    "inapplicable",
    "received",
    "shapes_of",
    "stream",
    "table_of",
    "weights_of",
]

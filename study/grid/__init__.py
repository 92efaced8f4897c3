"""Train the runs that a grid file describes, store one row per run, and summarise the rows.

The runs are trained by worker processes. A grid file is a YAML file (see `study.grid.file`).
"""

from study.grid.files import atomic_write, folder_in, read_file
from study.grid.progress import duration
from study.grid.provenance import code_state, machine, new_invocation, package_versions
from study.grid.report import (
    CONCLUSIVE,
    FOLLOWING,
    aligned,
    by_block,
    censored_times,
    conclusive,
    of_blocks,
    pooled_settings,
    solved_share,
    summarise,
    summary_text,
)
from study.grid.store import (
    Missing,
    OtherGrid,
    Results,
    StoreWarning,
    lacking_curves,
    load,
    load_saying,
    read_plan,
    run_of,
    weights_in,
)
from study.grid.train import results_of, train_run
from study.grid.versions import not_loaded

__all__ = [
    "CONCLUSIVE", "FOLLOWING", "Missing", "OtherGrid", "Results", "StoreWarning", "aligned",
    "atomic_write", "by_block", "censored_times", "code_state", "conclusive", "duration",
    "folder_in", "lacking_curves", "load", "load_saying", "machine", "new_invocation",
    "not_loaded", "of_blocks", "package_versions", "pooled_settings", "read_file", "read_plan",
    "results_of", "run_of", "solved_share", "summarise", "summary_text", "train_run", "weights_in",
]  # fmt: skip

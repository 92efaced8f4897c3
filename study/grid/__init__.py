"""Train the runs that a grid file describes, store one row per run, and summarise the rows.

The runs are trained by worker processes. A grid file is a YAML file (see `study.grid.file`).
"""

from study.grid.files import atomic_write, folder_in, read_file
from study.grid.progress import duration
from study.grid.provenance import code_state, machine, new_invocation, package_versions
from study.grid.report import (
    CONCLUSIVE,
    FOLLOWING,
    POOLED,
    aligned,
    by_block,
    censored_times,
    conclusive,
    of_blocks,
    pooled_settings,
    readable,
    setting_text,
    solved_share,
    summarise,
    summary_text,
)
from study.grid.store import (
    Missing,
    Results,
    StoreWarning,
    lacking_curves,
    load,
    load_saying,
    network,
    read_plan,
    run_of,
    weights_in,
)
from study.grid.train import results_of
from study.grid.versions import not_loaded

__all__ = [
    "CONCLUSIVE", "FOLLOWING", "POOLED", "Missing", "Results", "StoreWarning",
    "aligned", "atomic_write", "by_block", "censored_times", "code_state", "conclusive", "duration",
    "folder_in", "lacking_curves", "load", "load_saying", "machine", "network", "new_invocation",
    "not_loaded", "of_blocks", "package_versions", "pooled_settings", "read_file", "read_plan",
    "readable", "results_of", "run_of", "setting_text", "solved_share", "summarise", "summary_text",
    "weights_in",
]  # fmt: skip

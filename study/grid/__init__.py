"""From a grid file to stored rows: file, plan, pool of workers, store, report."""

from study.grid.files import atomic_write, folder_in, read_file
from study.grid.options import positive, seed
from study.grid.progress import duration
from study.grid.provenance import package_versions
from study.grid.report import (
    CONCLUSIVE,
    FOLLOWING,
    aligned,
    censored_times,
    of_blocks,
    pooled_settings,
    solved_share,
    summarise,
    summary_text,
)
from study.grid.store import (
    StoreWarning,
    condition,
    load,
    load_saying,
    plan_table,
    read_plan,
    run_of,
    weights_in,
)
from study.grid.train import train_run
from study.grid.yaml import read_yaml

__all__ = [
    "CONCLUSIVE",
    "FOLLOWING",
    "StoreWarning",
    "aligned",
    "atomic_write",
    "censored_times",
    "condition",
    "duration",
    "folder_in",
    "load",
    "load_saying",
    "of_blocks",
    "package_versions",
    "plan_table",
    "pooled_settings",
    "positive",
    "read_file",
    "read_plan",
    "read_yaml",
    "run_of",
    "seed",
    "solved_share",
    "summarise",
    "summary_text",
    "train_run",
    "weights_in",
]

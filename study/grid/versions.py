"""Find the stored runs that another version of a component made.

The components of a run are its cell, task, initialisation, optimizer and engine. The rule of a
component says which version of it is used (see `study.model.rules`). The column `rules` of a row
holds the rules of the components that made the row.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute

from study.errors import SettingError
from study.model import REGISTRIES, component, registered, rule_of

pc: Any = pyarrow.compute  # made at import, so type checkers do not know its functions
COLUMNS = (*REGISTRIES, "rules")  # they say what made a row, and in which version


class Versions(NamedTuple):
    """Says which rows another version of a component made, and counts the rows by component.

    A component is a cell, task, initialisation, optimizer or engine.
    """

    is_other: np.ndarray  # (rows,) bool
    is_unknown: np.ndarray  # (rows,) bool, whether the row has a component in `unknown`
    others: Counter[str]  # by component, such as "cell 'leaky'"
    unknown: Counter[str]  # by component without a rule now, so its rows cannot be compared


def versions_of(rows: pa.Table) -> Versions:
    """Find the rows that were made by a version of a component that is not the current one.

    A component is a cell, task, initialisation or optimizer. `rows` is a table with the columns
    COLUMNS. A row with a component that is not registered now does not count as made by another
    version.
    """
    makers, places = _makers(rows)
    counts = np.bincount(places, minlength=len(makers)).tolist()
    is_other, is_unknown, others, unknown = [], [], Counter[str](), Counter[str]()
    for maker, count in zip(makers, counts, strict=True):
        differing, unregistered = compared(maker)
        is_other.append(bool(differing and not unregistered))
        is_unknown.append(bool(unregistered))
        for name in unregistered or differing:
            (unknown if unregistered else others)[name] += count
    masks = np.array([is_other, is_unknown], bool)[:, places]
    return Versions(masks[0], masks[1], others, unknown)


def not_loaded(frame: pd.DataFrame) -> Versions | None:
    """Return the result of `versions_of` if some rows have a component that is not registered.

    If all components are registered, the result is None. `frame` has the columns COLUMNS.
    """
    names = ((key, name) for key in REGISTRIES for name in frame[key].dropna().unique())
    if all(registered(key, name) is not None for key, name in names):
        return None
    return versions_of(pa.Table.from_pandas(frame[[*COLUMNS]], preserve_index=False))


def compared(row: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Compare the components that made a row with their current versions.

    A component is a cell, task, initialisation or optimizer. Its rule says which version of it is
    used. Returns two lists of texts such as "cell 'leaky'". The first list names the components
    that had another rule when they made the row. The second list names the components that have no
    rule now. `row` maps the names in COLUMNS to values.
    """
    stored, differing, unknown = json.loads(row["rules"] or "{}"), [], []
    for key in REGISTRIES:
        try:
            now = rule_of(key, row[key], row["engine"])
        except SettingError:  # it has no source
            now = None
        then = stored.get(key, 1)
        if now is None and (key != "optimizer" or then != 1):  # classes of torch have no rule
            unknown.append(component(key, row[key]))
        elif now is not None and now != then:
            differing.append(component(key, row[key]))
    return differing, unknown


def mixed(rows: pa.Table) -> list[str]:
    """Return the names of the components that do not have the same version in all rows.

    A component is a cell, task, initialisation or optimizer. Its version is its rule in a row.
    """
    rules = defaultdict(set)
    for maker in _makers(rows)[0]:
        for key in REGISTRIES:
            engine = maker["engine"] if key == "cell" else ""  # the engines have rules of their own
            rule = json.loads(maker["rules"] or "{}").get(key, 1)
            rules[component(key, maker[key]), engine].add(rule)
    return list(dict.fromkeys(name for (name, _), found in rules.items() if len(found) > 1))


def _makers(rows: pa.Table) -> tuple[list[dict[str, str]], np.ndarray]:
    """Return the distinct combinations of values in COLUMNS, and say which of them each row has.

    The second result is an int array of shape (rows,). For each row, it holds the index of the
    row's combination in the first result.
    """
    texts = (rows[name].cast(pa.string()) for name in COLUMNS)
    joined = pc.binary_join_element_wise(*texts, "\n", null_handling="replace")
    encoded = pa.chunked_array(joined).combine_chunks().dictionary_encode()
    values = (text.split("\n", len(COLUMNS) - 1) for text in encoded.dictionary.to_pylist())
    makers = [dict(zip(COLUMNS, value, strict=True)) for value in values]
    return makers, encoded.indices.to_numpy(zero_copy_only=False)

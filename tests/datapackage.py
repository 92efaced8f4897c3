"""Describe the stored results as a data package (datapackage.org), in results/datapackage.json.

`make readme` runs this module. A resource is a table: the rows of all runs, or the files of one
name that were written for several grids.
"""

import json
from itertools import groupby
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

import study
from study.runs import COLUMNS

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
NOT_GRIDS = ("benchmarks", "series")
FILE = RESULTS / "datapackage.json"
ABOUT = {  # by the name of a table, or of the folder that it is in
    "plan": "the blocks that each run belongs to",
    "audit": "runs that were trained again in plain torch, by study audit",
    "contrasts": "differences between optimizers, by study tune",
    "dynamics": "an analysis of trained networks, by study dynamics",
    "answers": "a table that answers the forum post, by study answers",
    "benchmarks": "the cost of updates, by python -m benchmarks",
    "series": "truncated gradients on a monthly series, by examples/monthly_series.py",
}


def package() -> dict:
    """The description of all stored tables."""
    return {
        "$schema": "https://datapackage.org/profiles/2.0/datapackage.json",
        "name": "recurrent-state-study-results",
        "title": "Results of a study of how recurrent state carries an alternating pattern",
        "version": study.__version__,
        "licenses": [{"name": "MIT"}],
        "resources": [rows(), *tables()],
    }


def stored(pattern: str) -> list[Path]:
    """The files of the study's own results, without those of a user's grids beside them."""
    grids = [path.stem for path in (ROOT / "experiments").glob("*.yaml")]
    folders = [RESULTS / name for name in sorted([*grids, *NOT_GRIDS])]
    found = [path for folder in folders for path in sorted(folder.glob(pattern))]
    return [path for path in found if path.suffix in (".csv", ".parquet")]


def rows() -> dict:
    """The rows of all grids. Files of older versions lack columns, or have others."""
    paths, fields = stored("rows-*"), []
    for name, kind in kinds_in(paths).items():
        texts = {"description": "a column of an older version"}
        if column := COLUMNS.get(name):
            texts = {"description": column.meaning, "unit": column.unit, "missing": column.missing}
        fields.append(field(name, kind) | {key: text for key, text in texts.items() if text})
    return resource("rows", "one row per run of every grid", paths, fields)


def tables() -> list[dict]:
    """All other tables, each with the names and types of its columns."""
    found = []
    paths = [*stored("*"), *stored("dynamics/*"), *stored("answers/*")]
    paths = [path for path in paths if not path.match("rows-*")]
    for name, same in groupby(sorted(paths, key=named), named):
        files = list(same)
        fields = [field(*item) for item in kinds_in(files).items()]
        found.append(resource(name, ABOUT[name.partition("-")[0]], files, fields))
    return found


def named(path: Path) -> str:
    """The name of a file's resource: its own, after the folder that says what it is about."""
    grid, *inner = path.relative_to(RESULTS).parent.parts
    return "-".join([*inner, *([grid] if grid in NOT_GRIDS else []), path.stem])


def kinds_in(paths: list[Path]) -> dict[str, pa.DataType]:
    """The type of each column of any of the files. CSV files show it by their values."""
    kinds: dict[str, pa.DataType] = {}
    for path in paths:
        is_csv = path.suffix == ".csv"
        schema = pa.csv.read_csv(path).schema if is_csv else pa.parquet.read_schema(path)
        for column in schema:
            if pa.types.is_null(kinds.get(column.name, pa.null())):  # no file had a value so far
                kinds[column.name] = column.type
    return kinds


def field(name: str, kind: pa.DataType) -> dict:
    """A column, with its type in the words of a data package."""
    if pa.types.is_list(kind):
        return {"name": name, "type": "list", "itemType": field("", kind.value_type)["type"]}
    tests = {
        "number": pa.types.is_floating,
        "integer": pa.types.is_integer,
        "boolean": pa.types.is_boolean,
        "datetime": pa.types.is_timestamp,
        "string": pa.types.is_string,
    }
    return {
        "name": name,
        "type": next((word for word, is_it in tests.items() if is_it(kind)), "any"),
    }


def resource(name: str, description: str, paths: list[Path], fields: list[dict]) -> dict:
    """A table that stands in one or several files. Each of them may lack some of the fields."""
    places = [path.relative_to(RESULTS).as_posix() for path in paths]
    return {
        "name": name,
        "description": description,
        "format": paths[0].suffix[1:],
        "path": places[0] if len(places) == 1 else places,
        "schema": {"fieldsMatch": "superset", "fields": fields},
    }


def text() -> str:
    """The content of the file."""
    return json.dumps(package(), indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")

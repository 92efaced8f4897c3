"""Print the JSON schema of grid files, with which editors complete and check them.

The schema says which keys a grid file may have, and which values each setting may have. It cannot
say which settings fit together; `study grid FILE --dry-run` checks that as well.
"""

import json
import re
from collections.abc import Iterable
from typing import Any

from study.command import command
from study.errors import echo
from study.grid.file import BLOCK_NAME, FOLDER_NAME, Outline
from study.runs import SETTINGS, Run, own_kinds

DRAFT = "http://json-schema.org/draft-07/schema#"  # the version that most editors know
Schema = dict[str, Any]

NUMBER, COUNT = {"type": "number"}, {"type": "integer", "minimum": 2}
SPACED = {"type": "array", "items": [NUMBER, NUMBER, COUNT], "minItems": 3, "maxItems": 3}
INTEGERS = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 3}
RANGE: Schema = {  # see `range_values` in `study.grid.file`
    "type": "object",
    "properties": {
        "range": INTEGERS | {"description": "[start, end] or [start, end, step], without the end"},
        "linear_range": SPACED | {"description": "[first, last, how many]"},
        "log_range": SPACED | {"description": "[first, last, how many], evenly in the logarithm"},
    },
    "additionalProperties": False,
    "minProperties": 1,
    "maxProperties": 1,
}

app = command("schema", "study schema > grid.schema.json")


@app.default
def schema() -> None:
    """Print the JSON schema of grid files.

    In editors with the YAML language server, begin a grid file with the line
    `# yaml-language-server: $schema=grid.schema.json`.
    """
    echo(json.dumps(grid_schema(), indent=2))


def grid_schema() -> Schema:
    """Return the JSON schema of grid files, with the cells, tasks and so on known at present."""
    known = Run.model_json_schema()["properties"]
    settings = {name: _untitled(known[name]) for name in SETTINGS}
    settings |= {name: _own(name, kind) for name, kind in own_kinds().items()}
    places = {name: {"$ref": f"#/definitions/{name}"} for name in settings}
    grid = Outline.model_json_schema()
    keys, block = grid["properties"], grid.pop("$defs")["BlockOutline"]
    keys["name"]["pattern"] = f"^{FOLDER_NAME}$"
    keys["defaults"] |= _mapping(places)
    keys["blocks"] = {
        "description": keys["blocks"]["description"],
        "type": "object",
        "minProperties": 1,
        "propertyNames": {"pattern": f"^{BLOCK_NAME}$"},
        "additionalProperties": {"$ref": "#/definitions/block"},
    }
    block["properties"]["figures"]["anyOf"][0]["items"]["pattern"] = f"^{FOLDER_NAME}$"
    block["properties"]["fixed"] |= _mapping(places)
    axes = {name: _axis(settings[name], places[name]) for name in settings}
    block["properties"]["vary"] |= _mapping(axes) | {"patternProperties": _rows(settings)}
    return {"$schema": DRAFT, **grid, "definitions": {"block": block, **settings}}


def _untitled(setting: Schema) -> Schema:
    """Return the schema of a setting without the title that pydantic makes from its name."""
    return {key: value for key, value in setting.items() if key != "title"}


def _own(name: str, kind: type) -> Schema:
    """Return the schema of a setting of a task or cell of a user's own."""
    json_type = {bool: "boolean", int: "integer", float: "number", str: "string"}[kind]
    return {"type": json_type, "description": f"argument of the {name.partition('.')[0]}"}


def _mapping(properties: Schema) -> Schema:
    """Return the schema of a mapping with these keys; YAML reads an empty one as null."""
    return {"type": ["object", "null"], "properties": properties, "additionalProperties": False}


def _axis(setting: Schema, value: Schema) -> Schema:
    """Return the schema of the values over which one setting varies: a list, or also a range.

    `value` is the schema of one value, and `setting` is what it refers to.
    """
    values = {"type": "array", "minItems": 1, "items": value}
    kinds = {part.get("type") for part in (setting, *setting.get("anyOf", ()))}
    return {"anyOf": [values, RANGE]} if kinds & {"integer", "number"} else values


def _rows(names: Iterable[str]) -> Schema:
    """Return the schema of several settings that vary together, by the pattern of their key."""
    name = f"({'|'.join(map(re.escape, names))})"
    rows = {"type": "array", "minItems": 1, "items": {"type": "array", "minItems": 2}}
    return {f"^ *{name}( *, *{name})+ *$": rows}

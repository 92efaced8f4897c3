"""Record the digest of every shipped rule, in shipped_rules.json.

`python -m tests.rules` records new rules and new versions. If a digest has changed but the numbers
have not, say how that was shown: `python -m tests.rules "the same bits in all runs of main.yaml"`.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from study.model.engines import ENGINES
from study.model.rules import REGISTRIES, digest_of, digest_of_gates, is_shipped
from study.model.source import PACKAGE, digest_of_file, digest_of_names
from study.runs.settings import SCHEMA_VERSION

RECORD = Path(__file__).parent / "shipped_rules.json"
TRAINING = {  # what computes a run, by file: these names and all that they name there, or all of it
    "engines/torch_engine.py": ["train"],
    "engines/fused/__init__.py": ["train"],
    "engines/fused/build.py": ["layers_source", "loop_source", "traits"],
    "engines/fused/data.py": None,
    "engines/fused/lanes.py": None,
    "engines/fused/layers.py": None,
    "engines/fused/loop.py": None,
    "engines/fused/places.py": None,
    "grid/train.py": ["results_of"],
    "model/initialisations.py": ["initial_weights"],
    "model/measures.py": None,
    "model/optimizers.py": ["torch_optimizer"],
    "runs/settings.py": ["Sequences", "weights_of"],
}


def rules() -> Iterator[tuple[str, int, str]]:
    """Yield the name, the version and the digest of each shipped rule."""
    for key, registry in REGISTRIES.items():
        for name, entry in registry.items():
            if is_shipped(key, name):
                yield f"{key} {name}", entry.version, digest_of(name, entry)
                if key == "cell":
                    yield f"gates {name}", entry.version, digest_of_gates(name)
    for file, names in TRAINING.items():
        path = PACKAGE / file
        digest = digest_of_names(path, names) if names else digest_of_file(path)
        yield f"training {file}", _version(file), digest


def _version(file: str) -> int:
    """The version that must be raised when the code in a file of TRAINING changes a number."""
    name = next((name for name in ENGINES if file.startswith(f"engines/{name}")), None)
    return SCHEMA_VERSION if name is None else ENGINES[name].version or 1


def record() -> dict[str, dict]:
    """The recorded rules: by name, the version, and each of its digests with what is known of it.

    All digests of a version give the same numbers, to the last bit.
    """
    return json.loads(RECORD.read_text(encoding="utf-8"))


def is_recorded(known: dict[str, dict], name: str, version: int, digest: str) -> bool:
    """Whether a rule of this version was recorded with this digest."""
    entry = known.get(name, {"version": None})
    return entry["version"] == version and digest in entry["digests"]


def update(proof: str = "") -> list[str]:
    """Record what is new, and return the rules that changed without a new version or a proof."""
    known, current, unproven = record(), {}, []
    for name, version, digest in rules():
        entry = known.get(name)
        if entry is None or entry["version"] != version:
            entry = {"version": version, "digests": {digest: "recorded with this version"}}
        elif digest not in entry["digests"] and proof:
            entry["digests"][digest] = proof
        elif digest not in entry["digests"]:
            unproven.append(name)
        current[name] = entry
    lines = (f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in sorted(current.items()))
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return unproven


if __name__ == "__main__":
    if changed := update(*sys.argv[1:2]):
        sys.exit(f"not recorded, since neither a new version nor a proof is given: {changed}")

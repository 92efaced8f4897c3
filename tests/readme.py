"""Write the parts of the README that come from the code and the results: `make readme`."""

import re
from pathlib import Path

import study
from study.runs import Run
from study.summary import as_text, summarise

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


def settings_table() -> str:
    """Every setting of a run, its default and its meaning."""
    rows = [f"| `{name}` | {_default(name)} | {info.description} |" for name, info in Run.model_fields.items()]
    return "\n".join(["| setting | default | meaning |", "|---|---|---|", *rows])


def _default(name: str) -> str:
    value = Run.model_fields[name].get_default(call_default_factory=True, validated_data={})
    return "" if value is None or value == {} else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def headline_table() -> str:
    """The summary of the headline block of the committed results."""
    frame = study.load(ROOT / "results" / "main", curves=False)
    headline = frame[["headline" in blocks for blocks in frame["blocks"]]]
    return f"```\n{as_text(summarise(headline))}\n```"


def caption() -> str:
    """The caption of the figure that the README shows."""
    return (ROOT / "results/main/figures/convergence.txt").read_text(encoding="utf-8").strip()


SECTIONS = {"settings": settings_table, "headline": headline_table, "caption": caption}


def section(name: str) -> str:
    """What the README has between a section's marks."""
    (found,) = re.findall(rf"<!-- {name} -->\n(.*?)\n?<!-- end -->", README.read_text(encoding="utf-8"), flags=re.S)
    return found


def write() -> None:
    """Bring every section of the README up to date."""
    text = README.read_text(encoding="utf-8")
    for name, make in SECTIONS.items():
        new = f"<!-- {name} -->\n{make()}\n<!-- end -->"
        text = re.sub(rf"<!-- {name} -->\n.*?<!-- end -->", lambda _, new=new: new, text, flags=re.S)
    README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()

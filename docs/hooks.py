"""Give the site what does not lie in docs/, and turn its mathematics into MathML.

mkdocs calls these functions. The README is the start page, the paper is a page, each package has a
page, and so has each source file to which a page links; other linked files, such as figures, are
copied. So links are written once, as the repository needs them.
"""

import posixpath
import re
from pathlib import Path

from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent
PAGES = {
    "README.md": "index.md",
    "paper/paper.md": "article.md",
    "CONTRIBUTING.md": "contributing.md",
}
LANGUAGES = {".py": "python", ".yaml": "yaml"}  # of source files
LINK = re.compile(r"(?<=\]\()[^)#:\s]+(?=[)#])")  # up to its anchor, and not to another site
CODE = re.compile(r"(```.*?\n```|`[^`]*`)", re.DOTALL)
FORMULA = re.compile(r"```math\n(?P<block>.*?)```|\$`(?P<inline>[^`]*)`\$", re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and files that do not lie in docs/."""
    pages = [*PAGES, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    texts = {path: (ROOT / path).read_text("utf-8") for path in pages}
    linked = {_target(path, link) for path, text in texts.items() for link in LINK.findall(text)}
    for path in sorted(linked | {*PAGES}):
        if not path.startswith("docs/"):
            content, place = _content(path), _place(path)
            if content is None:
                file = File.generated(config, place, abs_src_path=str(ROOT / path))
            else:
                file = File.generated(config, place, content=content)
            files.append(file)
    rooms = sorted(path.parent.name for path in ROOT.glob("study/*/__init__.py"))
    for name in ("study", *(f"study.{room}" for room in rooms)):
        text = f"# {name}\n\n::: {name}\n"
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Write formulas as MathML, and links as the site needs them."""
    uri = page.file.src_uri
    path = next((path for path in PAGES if PAGES[path] == uri), f"docs/{uri}")
    if not (ROOT / path).exists():
        return markdown  # a page of the reference, or of a source file

    def moved(link: re.Match) -> str:
        return posixpath.relpath(_place(_target(path, link[0])), posixpath.dirname(uri) or ".")

    parts = CODE.split(FORMULA.sub(_mathml, markdown))
    parts[::2] = [LINK.sub(moved, part) for part in parts[::2]]
    return "".join(parts)


def _target(path: str, link: str) -> str:
    """Return the file of the repository to which a link in the file `path` leads."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), link))


def _place(path: str) -> str:
    """Return where a file of the repository is in the site."""
    if path in PAGES:
        return PAGES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}.md" if Path(path).suffix in LANGUAGES else f"files/{path}"


def _content(path: str) -> str | None:
    """Return the Markdown of a page outside docs/, or None if the file is to be copied."""
    language = LANGUAGES.get(Path(path).suffix)
    if language is None and path not in PAGES:
        return None
    text = (ROOT / path).read_text("utf-8")
    if language is None:
        return text
    return f"---\nsearch: {{exclude: true}}\n---\n# {path}\n\n````{language}\n{text}````\n"


def _mathml(formula: re.Match) -> str:
    if formula["block"]:
        return f'<div class="formula">{convert(formula["block"].strip(), display="block")}</div>\n'
    return f"<span>{convert(formula['inline'])}</span>"  # at the start of a line, too

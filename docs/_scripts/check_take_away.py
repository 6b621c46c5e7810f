"""Look at the forms of every page of the built site that readers take away.

``python docs/_scripts/check_take_away.py SITE`` reads the notebook, the script and the Markdown of
each page, and ``llms.txt``. The exit code is 1 if one is missing, holds markup that only this site
knows, or an address of the machine that built it.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat

DOCS = Path(__file__).parents[1]
FENCED = re.compile(r"^[> ]*(`{3,}).*?^[> ]*\1[ ]*$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+).+?\1", re.DOTALL)
# Markup of MyST, and commands of formulas that only this site has.
MARKUP = re.compile(
    r"^:::|^\([\w-]+\)=$|\{(?:glue|ref|doc|term|minutes|py)\b[\w:]*\}|```\{|\{\{ ?\w+ ?\}\}"
    r"|\\(?:act|gate|token|grad|hprev|[xh]t|[WH](?:ih|hh|in|out)|b(?:ih|hh))\b",
    re.MULTILINE,
)
# What the menu of a page with cells offers.
OFFERED = (
    "https://colab.research.google.com/github/",
    "https://mybinder.org/v2/gh/",
    ".ipynb",
    ".py",
)
MACHINE = re.compile(r"(?<![\w.])/(?:home|root|tmp|work|Users|builds?|opt)/[\w.-]+/")


def leftovers(text: str) -> Iterator[str]:
    """Name what should not be in Markdown; code may be about anything."""
    prose = CODE.sub("", FENCED.sub("", text))
    yield from (f"the markup {found[0]!r}" for found in MARKUP.finditer(prose))
    yield from addresses(text)


def addresses(text: str) -> Iterator[str]:
    yield from (f"an address of the machine, {found[0]!r}" for found in MACHINE.finditer(text))


def printed(cell: Any) -> Iterator[str]:
    """Give what a cell wrote as text."""
    for output in cell.get("outputs", []):
        yield output.get("text") or output.get("data", {}).get("text/plain", "")


def faults_of_notebook(file: Path, markdown: str) -> Iterator[str]:
    notebook: Any = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]  # no types
    nbformat.validate(notebook)
    if "%pip install" not in notebook["cells"][1]["source"]:
        yield "its notebook does not begin with what it needs"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            yield from leftovers(cell["source"])
            continue
        if re.search(r"\bglue\(|myst_nb", cell["source"]):
            yield "a cell of its notebook needs MyST-NB"
        hidden = "remove-cell" in cell["metadata"].get("tags", [])
        for text in printed(cell):
            yield from addresses(text)
            first = text.strip().partition("\n")[0].strip()
            if "text/markdown" not in str(cell["outputs"]) and not hidden and first not in markdown:
                yield f"its Markdown lacks the output {first!r}"
        for output in cell["outputs"]:
            yield from leftovers(output.get("data", {}).get("text/markdown", ""))


def faults_of_page(site: Path, page: str) -> Iterator[str]:
    """Say what is wrong with the forms of a page."""
    files = {kind: site / f"notebooks/{page}.{kind}" for kind in ("ipynb", "py")}
    files["md"] = site / f"{page}.md"
    cells = "{code-cell}" in (DOCS / f"{page}.md").read_text("utf-8")
    expected = set(files) if cells else {"md"}
    if lacking := {kind for kind in files if files[kind].exists()} ^ expected:
        yield f"it should have the forms {sorted(expected)}: look at {sorted(lacking)}"
        return
    markdown = files["md"].read_text("utf-8")
    if not markdown.startswith("# "):
        yield "its Markdown does not begin with its title"
    yield from leftovers(markdown)
    html = (site / f"{page}.html").read_text("utf-8")
    offered = [f"/{page}.md", *(OFFERED if cells else ())]
    yield from (f"its menu does not offer {each}" for each in offered if each not in html)
    if cells:
        yield from faults_of_notebook(files["ipynb"], markdown)
        script = files["py"].read_text("utf-8")
        yield from addresses(script)
        try:
            ast.parse(script)
        except SyntaxError as error:
            yield f"its script is not Python: {error}"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("Say where the site is: check_take_away.py docs/_build/html")
    site = Path(sys.argv[1])
    pages = sorted(
        file.relative_to(DOCS).with_suffix("").as_posix()
        for file in DOCS.rglob("*.md")
        if file.relative_to(DOCS).parts[0][0] != "_"
    )
    found = [f"{page}: {fault}" for page in pages for fault in faults_of_page(site, page)]
    listed = (site / "llms.txt").read_text("utf-8")
    found += [f"{page}: it is not in llms.txt" for page in pages if f"/{page}.md): " not in listed]
    print(*found, sep="\n")
    if found:
        sys.exit(f"{len(found)} faults in what readers take away")
    print(f"{len(pages)} pages, with all their forms.")


if __name__ == "__main__":
    main()

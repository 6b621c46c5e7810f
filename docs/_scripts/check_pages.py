"""Look at the HTML of the built site: the order of its headings, and the names of its drawings.

``python docs/_scripts/check_pages.py SITE`` reads what a browser gets, outputs of cells included. A
page has one title and no heading skips a level; a drawing says what it shows, in words that no
other drawing of the page has. The exit code is 1 if one does not.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup, Tag
from bs4.filter import SoupStrainer

CODE = re.compile(r"<pre\b.*?</pre>", re.DOTALL)  # most of all tags; nothing of what is looked at
ARTICLE = SoupStrainer("article")
GENERIC = re.compile(r"(an? )?(image|figure|picture|drawing|diagram|chart|plot|logo)s?|.*\.\w{3,4}")


def headings(article: Tag) -> Iterator[str]:
    """Say which headings are out of order."""
    before = 0
    for heading in article.find_all(re.compile(r"^h[1-6]$")):
        level, words = int(heading.name[1]), heading.get_text().strip("\n #")
        if level > before + 1:
            yield f"a heading of level {level} below one of level {before}: {words}"
        if level == 1 and before:
            yield f"a second title: {words}"
        before = level
    if not before:
        yield "no title"


def name(drawing: Tag, page: Tag) -> str:
    """Give what a screen reader calls a drawing."""
    named = str(drawing.get("aria-labelledby") or "").split()
    parts = [page.find(id=each) for each in named]
    words = " ".join(part.get_text() for part in parts if part)
    return (words or str(drawing.get("alt") or drawing.get("aria-label") or "")).strip()


def drawings(article: Tag) -> Iterator[str]:
    """Say which drawings have no name, one that says nothing, or that of another drawing."""
    seen: dict[str, Tag | None] = {}
    for drawing in article.select("img, svg[role=img]"):
        if "toggler" in (drawing.get("class") or ()):  # of the index of modules, made by Sphinx
            continue
        called, figure = name(drawing, article), drawing.find_parent("figure")
        if not called or GENERIC.fullmatch(called.lower()):
            yield f"a drawing without a name that says what it shows: “{called}”"
        # A figure may hold one drawing for phones and one for wide screens.
        elif called in seen and (figure is None or seen[called] is not figure):
            yield f"two drawings with the name “{called}”"
        seen[called] = figure


def found(html: str) -> Iterator[str]:
    """Say what is wrong with a page."""
    page = BeautifulSoup(CODE.sub("", html), "html.parser", parse_only=ARTICLE)
    if article := page.find("article"):
        yield from headings(article)
        yield from drawings(article)


def main() -> int:
    """Print what is wrong; the status is 1 if there is anything."""
    if len(sys.argv) != 2:
        sys.exit("Name the folder of the built site.")
    site = Path(sys.argv[1])
    files = [file for file in sorted(site.rglob("*.html")) if "_static" not in file.parts]
    wrong = [
        f"{file.relative_to(site)}: {what}"
        for file in files
        for what in found(file.read_text("utf-8"))
    ]
    if not files:
        wrong = [f"There is no page in {site}: run `nox -s docs` first"]
    print(*wrong, f"{len(files)} pages, {len(wrong)} objections.", sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

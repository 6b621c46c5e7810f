"""The messages of the catalogue are those of the installed torch, and each has its entry."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from unrolled_site.catalogue import RAISED
from unrolled_site.source import message, since

DOCS = Path(__file__).parent.parent / "docs"
INDEX = (DOCS / "practice/errors.md").read_text("utf-8")
TOPICS = ("building", "calling", "packing", "training")
PAGES = {topic: (DOCS / f"practice/errors_{topic}.md").read_text("utf-8") for topic in TOPICS}
SILENT = (DOCS / "practice/errors_silent.md").read_text("utf-8")
CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ENTRY = re.compile(r"^\((?P<anchor>[\w-]+)\)=\n### (?P<title>[^\n]+)\n", re.MULTILINE)
END = re.compile(r"^(?::::\{index\}|\([\w-]+\)=|## )", re.MULTILINE)


def unescaped(markdown: str) -> str:
    return re.sub(r"\\(\W|_)", r"\1", markdown)


class Entry(NamedTuple):
    title: str
    body: str

    @property
    def cells(self) -> list[str]:
        return CELL.findall(self.body)


def entries(page: str) -> dict[str, Entry]:
    found = {}
    for match in ENTRY.finditer(page):
        end = END.search(page, match.end())
        assert end is not None
        entry = Entry(unescaped(match["title"]), page[match.end() : end.start()])
        found[match["anchor"]] = entry
    return found


ENTRIES = {anchor: entry for page in PAGES.values() for anchor, entry in entries(page).items()}
MISTAKES = entries(SILENT)

# Shown once in a process, and other tests may have been first; the page raises it.
ONCE = {"error-projection-onednn"}


@pytest.mark.parametrize(("anchor", "words", "call"), RAISED, ids=[each[0] for each in RAISED])
def test_message_is_raised_and_has_its_entry(
    anchor: str, words: str, call: Callable[[], object]
) -> None:
    assert ENTRIES[anchor].title == words
    said = re.sub(r"\x1b\[\d+m", "", message(call))  # some are bold in a terminal
    row, kind = map(of_this_version, INDEX_ROWS[anchor])
    assert bold(row) in said
    assert kind.strip("`") == said.partition(":")[0]
    line = re.escape(unescaped(row.replace("**", ""))).replace("…", ".+")
    assert re.search(line, re.sub(" +", " ", said))


def test_every_entry_is_in_the_table() -> None:
    anchors = [anchor for anchor, _, _ in RAISED]
    assert Counter([*anchors, *ONCE]) == Counter(list(ENTRIES))


ROW = re.compile(r"^\| (?P<message>\[.+\]\(#(?P<anchor>[\w-]+)\)) \| (?P<type>`.+`) \|$", re.M)
INDEX_ROWS = {row["anchor"]: (row["message"], row["type"]) for row in ROW.finditer(INDEX)}


def of_this_version(cell: str) -> str:
    """Take from "[this](#anchor), since 2.15 [that](#anchor)" what the installed PyTorch says."""
    *earlier, present = re.split(r", since (\d[\d.]*) ", cell)
    while earlier and not since(earlier.pop()):
        present = earlier.pop()
    return re.sub(r"^\[(.+)\]\(#[\w-]+\)$", r"\1", present)


def bold(row: str) -> str:
    found = re.search(r"\*\*(.+?)\*\*", row)
    assert found is not None
    return unescaped(found[1])


def test_index_has_every_entry_in_order() -> None:
    assert list(INDEX_ROWS) == list(ENTRIES)
    for anchor, (row, _) in INDEX_ROWS.items():
        assert bold(row) == ENTRIES[anchor].title
    links = re.findall(r"^- \[(.+)\]\(#(silent-[\w-]+)\)$", INDEX, re.MULTILINE)
    assert [(anchor, entry.title) for anchor, entry in MISTAKES.items()] == [
        (anchor, unescaped(title)) for title, anchor in links
    ]


def test_anchors_are_not_used_elsewhere_on_the_site() -> None:
    labels = Counter(
        label
        for page in DOCS.rglob("*.md")
        if "_build" not in page.parts
        for label in re.findall(r"^\(([\w-]+)\)=$", page.read_text("utf-8"), re.MULTILINE)
    )
    assert [anchor for anchor in (*ENTRIES, *MISTAKES) if labels[anchor] != 1] == []


@pytest.mark.parametrize("anchor", ENTRIES)
def test_entry_shows_its_message_and_what_works(anchor: str) -> None:
    entry = ENTRIES[anchor]
    raising, fixed = entry.cells[:2]
    assert entry.title in raising.replace('\\"', '"')
    assert "message(" in raising or "except " in raising
    assert "assert " in raising
    assert "assert" in fixed
    assert "message(" not in fixed
    before, between = CELL.split(entry.body)[::2][:2]
    assert len(before.split()) > 5, "the cause"
    assert len(between.split()) > 1, "the fix"


def test_search_knows_the_words_of_every_entry() -> None:
    """A main entry of the index stands first among the results."""
    for page in PAGES.values():
        for words, anchor in re.findall(
            r"^:::\{index\} ! single: (.+)\n:::\n\n\(([\w-]+)\)=$", page, re.MULTILINE
        ):
            assert words == ENTRIES[anchor].title
    indexed = sum(page.count(":::{index}") for page in PAGES.values())
    assert indexed == len(ENTRIES)


def test_mistakes_are_measured_and_have_a_guard() -> None:
    for anchor, entry in MISTAKES.items():
        measured, guard = entry.cells[:2]
        assert "compare(" in measured or "assert " in measured, anchor
        assert "assert" in guard, anchor

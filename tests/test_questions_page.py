"""The pages of questions answer every question of their data, where the search looks for them."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from unrolled_site import data

DOCS = Path(__file__).parent.parent / "docs"
HUB = (DOCS / "practice/questions.md").read_text("utf-8")
NAMES = re.findall(r"^questions_\w+$", HUB, re.MULTILINE)
PAGES = {f"practice/{name}": (DOCS / f"practice/{name}.md").read_text("utf-8") for name in NAMES}
ENTRIES: list[dict[str, Any]] = data.read("questions")
SEARCHES: list[dict[str, Any]] = json.loads((DOCS / "_data/searches.json").read_text("utf-8"))
CELL = re.compile(r"^```\{code-cell\}.*?^```$", re.MULTILINE | re.DOTALL)
QUESTION = re.compile(r"^\((?P<anchor>[\w-]+)\)=\n### (?P<title>.+)\n", re.MULTILINE)
END = re.compile(r"^(?:`{3}\{index\}|\([\w-]+\)=|#{1,3} )", re.MULTILINE)
LABEL = re.compile(r"^\(([\w-]+)\)=$", re.MULTILINE)


def prose(page: str) -> str:
    """Blank the cells, whose comments look like headings; positions stay those of the page."""
    return CELL.sub(lambda cell: "`" * len(cell[0]), page)


def answers() -> dict[str, str]:
    """Give what is under the heading of each question, by its place."""
    found = {}
    for name, page in PAGES.items():
        for question in QUESTION.finditer(prose(page)):
            end = END.search(prose(page), question.end())
            assert end is not None
            found[f"{name}#{question['anchor']}"] = page[question.end() : end.start()]
    return found


ANSWERS = answers()


def test_every_page_of_questions_is_listed() -> None:
    there = {path.stem for path in DOCS.glob("practice/questions_*.md")}
    assert there == set(NAMES)


def test_data_and_pages_have_the_same_questions() -> None:
    assert len(ENTRIES) >= 160
    assert [entry["places"][0] for entry in ENTRIES] == list(ANSWERS)
    headings = sum(len(re.findall(r"^### ", prose(page), re.MULTILINE)) for page in PAGES.values())
    assert headings == len(ENTRIES)


def test_questions_are_told_apart() -> None:
    titles = [match["title"] for page in PAGES.values() for match in QUESTION.finditer(page)]
    searches = [words.lower() for entry in ENTRIES for words in entry["searches"]]
    for some in (titles, searches):
        assert [one for one, count in Counter(some).items() if count > 1] == []


def test_anchors_are_not_used_elsewhere_on_the_site() -> None:
    labels = Counter(
        label
        for page in DOCS.rglob("*.md")
        if "_build" not in page.parts
        for label in LABEL.findall(page.read_text("utf-8"))
    )
    anchors = [place.partition("#")[2] for place in ANSWERS]
    assert {anchor: labels[anchor] for anchor in anchors if labels[anchor] != 1} == {}


@pytest.fixture(params=ENTRIES, ids=lambda entry: str(entry["places"][0]))
def entry(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


def test_question_has_an_answer_a_proof_and_its_source(entry: dict[str, Any]) -> None:
    assert set(entry) == {"places", "searches", "source"}
    answer = ANSWERS[entry["places"][0]]
    in_words = CELL.sub("", answer).rpartition("\nAsked in ")
    assert len(in_words[0].split()) > 5
    assert f"]({entry['source']})" in in_words[2]
    cells = any("assert " in cell for cell in CELL.findall(answer))
    assert cells or re.search(r"\{ref\}`|\]\(\.\./[\w/]+\.md#", in_words[0])


@pytest.mark.parametrize("entry", ENTRIES + SEARCHES, ids=lambda entry: str(entry["searches"][0]))
def test_search_leads_to_places_that_are_there(entry: dict[str, Any]) -> None:
    assert entry["searches"]
    assert entry["places"]
    for place in entry["places"]:
        page, _, section = place.partition("#")
        text = (DOCS / f"{page}.md").read_text("utf-8")
        if page != "reference/api" and not section.startswith("term-"):
            assert not section or section in LABEL.findall(text), f"no label {section}"


def test_searches_were_written_for_needs() -> None:
    assert len(SEARCHES) == 100
    assert sum(len(entry["searches"]) for entry in SEARCHES) == 200
    assert {frozenset(entry) for entry in SEARCHES} == {frozenset({"need", "places", "searches"})}

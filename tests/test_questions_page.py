"""The page of questions answers every question of its data, where readers can find it."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "practice/questions.md").read_text("utf-8")
ENTRIES: list[dict[str, Any]] = json.loads((DOCS / "_data/questions.json").read_text("utf-8"))
CELL = re.compile(r"^```\{code-cell\}.*?^```$", re.MULTILINE | re.DOTALL)
# Comments of cells look like headings; the length stays, so that positions are those of the page.
PROSE = CELL.sub(lambda cell: "`" * len(cell[0]), PAGE)
QUESTION = re.compile(r"^\((?P<anchor>[\w-]+)\)=\n### (?P<title>.+)\n", re.MULTILINE)
END = re.compile(r"^(?:`{3}\{index\}|\([\w-]+\)=|#{1,3} )", re.MULTILINE)
INDEX = "\n".join(re.findall(r"^`{3}\{index\} (.*)$", PAGE, re.MULTILINE)).lower()
TEXT = re.sub(r"^`{3}\{index\}.*$", "", PAGE, flags=re.MULTILINE).lower()
# What the search looks for: it splits at all other characters, and passes over numbers.
WORD = re.compile(r"[^\W\d]\w+")


def answers() -> dict[str, str]:
    """Give what stands under the heading of each question, by its anchor."""
    found = {}
    for question in QUESTION.finditer(PROSE):
        end = END.search(PROSE, question.end())
        assert end is not None
        found[question["anchor"]] = PAGE[question.end() : end.start()]
    return found


ANSWERS = answers()


def test_data_and_page_have_the_same_questions() -> None:
    assert len(ENTRIES) == 80
    assert [entry["anchor"] for entry in ENTRIES] == list(ANSWERS)
    assert len(re.findall(r"^### ", PROSE, re.MULTILINE)) == len(ENTRIES)


def test_questions_are_told_apart() -> None:
    titles = [question["title"] for question in QUESTION.finditer(PROSE)]
    searches = [words.lower() for entry in ENTRIES for words in entry["words"]]
    ids, anchors = ([entry[key] for entry in ENTRIES] for key in ("id", "anchor"))
    for some in (titles, searches, ids, anchors):
        assert [one for one, count in Counter(some).items() if count > 1] == []


def test_anchors_are_not_used_elsewhere_on_the_site() -> None:
    labels = Counter(
        label
        for page in DOCS.rglob("*.md")
        if "_build" not in page.parts
        for label in re.findall(r"^\(([\w-]+)\)=$", page.read_text("utf-8"), re.MULTILINE)
    )
    assert {anchor: labels[anchor] for anchor in ANSWERS if labels[anchor] != 1} == {}


@pytest.fixture(params=ENTRIES, ids=lambda entry: str(entry["anchor"]))
def entry(request: pytest.FixtureRequest) -> dict[str, Any]:
    return dict(request.param)


def test_question_has_an_answer_a_proof_and_its_source(entry: dict[str, Any]) -> None:
    answer = ANSWERS[entry["anchor"]]
    in_words = CELL.sub("", answer).partition("\nAsked in ")
    assert len(in_words[0].split()) > 5
    assert f"]({entry['source']})" in in_words[2]
    cells = any("assert " in cell for cell in CELL.findall(answer))
    assert cells or re.search(r"\{ref\}`|\]\(\.\./[\w/]+\.md#", in_words[0])


def test_question_can_be_found_by_its_words(entry: dict[str, Any]) -> None:
    """The search gives a page that has all the words in its text, or the search in its index."""
    assert set(entry) == {"id", "anchor", "words", "source"}
    assert entry["words"]
    for search in entry["words"]:
        words = [word.lower() for word in WORD.findall(search)]
        assert words
        missing = [word for word in words if word not in TEXT]
        assert missing == [] or search.lower() in INDEX

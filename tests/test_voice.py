"""The list of turns of phrase: each pattern catches its example, and lets the better text pass."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent.parent / "docs" / "_scripts" / "check_voice.py"


def _script() -> Any:
    spec = importlib.util.spec_from_file_location("check_voice", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


voice = _script()
HABITS = voice.habits()


@pytest.mark.parametrize("habit", HABITS, ids=lambda habit: habit.today)
def test_an_example_is_caught_and_what_to_say_instead_is_not(habit: Any) -> None:
    assert habit.pattern.search(habit.today)
    assert list(voice.found(habit.instead, HABITS)) == []


def test_the_lines_of_a_phrase_that_is_broken_are_named() -> None:
    lines = (
        "One line.",
        "    # This order is another",
        "    # one, and that is",
        "    # no matter of it.",
    )
    text = "\n".join(lines)
    found = [(line, words) for line, words, _ in voice.found(text, HABITS)]
    assert sorted(found) == [(2, "another one"), (4, "no matter of")]


def test_it_fails_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(voice, "ROOT", tmp_path)
    (tmp_path / "README.md").write_text("It runs.\nNothing can be had for nothing.\n", "utf-8")
    assert voice.main() == 1
    assert capsys.readouterr().out.startswith("README.md:2: “can be had”, as in: ")
    (tmp_path / "README.md").write_text("It runs.\n", "utf-8")
    assert voice.main() == 0

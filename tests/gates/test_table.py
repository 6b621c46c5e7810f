"""The table of gates names every command, and what its faults replace is where it says."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent.parent
HERE = Path(__file__).parent


def _script() -> Any:
    spec = importlib.util.spec_from_file_location(
        "plant_faults", ROOT / "docs" / "_scripts" / "plant_faults.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plant = _script()
TABLE, FAULTS = plant.read()
NOXFILE = (ROOT / "noxfile.py").read_text("utf-8")


def test_the_table_is_right() -> None:
    assert list(plant.mistakes(TABLE, FAULTS, NOXFILE)) == []


def test_a_command_that_the_table_does_not_name_is_seen() -> None:
    more = NOXFILE.replace('session.run("codespell")', 'session.run("codespell", "--planted")')
    assert list(plant.unnamed(TABLE, more)) == [
        "no gate is of the command: lint: codespell --planted",
        "no session runs: lint: codespell",
    ]
    more = NOXFILE.replace('("browser", "laboratory", ', '("browser", "planted", "laboratory", ')
    (found,) = plant.unnamed(TABLE, more)
    assert found == "no gate is of the command: browser: python docs/_scripts/check_planted.py"


def test_a_gate_without_a_fault_is_seen() -> None:
    left = [fault for fault in FAULTS if fault.gate != "mypy"]
    assert list(plant.mistakes(TABLE, left, NOXFILE)) == ["no fault is planted for mypy"]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.gate}: {fault.what}")
def test_what_a_fault_replaces_is_there_once(fault: Any) -> None:
    """Of what is built first, only the gates themselves can say so."""
    overlays = [HERE / overlay for overlay in plant.PLACES[TABLE["gates"][fault.gate]["on"]]]
    there = [path for place in (ROOT, *overlays) if (path := place / fault.file).exists()]
    built = fault.file.partition("/")[0] in {"site", "one", "book"}
    assert built == (not there)
    for path in there[-1:]:
        assert path.read_text("utf-8").count(fault.was) == 1


@pytest.mark.parametrize(
    ("was", "says", "code", "wrong"),
    [
        ("two", "three", 1, ""),
        ("two", "three", 0, "the gate stays green"),
        ("two", "four", 1, "the gate does not say 'four'"),
        ("nine", "three", 1, "a.txt has 0 times what the fault replaces: 'nine'"),
        ("one", "three", 1, "a.txt has 2 times what the fault replaces: 'one'"),
    ],
)
def test_a_fault_that_goes_through_is_seen(
    was: str, says: str, code: int, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(b"one one two\r\n")
    monkeypatch.setattr(plant, "run", lambda command, place: (code, file.read_text("utf-8")))
    fault = plant.Fault("gate", "a fault", "a.txt", was, "three", says)
    assert plant.tried([fault], "", tmp_path)[0] == [wrong]
    assert file.read_bytes() == b"one one two\r\n"


def test_a_gate_that_is_red_without_a_fault_catches_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(plant, "run", lambda command, place: (1, "red"))
    fault = plant.Fault("gate", "a fault", "a.txt", "", "", "red")
    assert plant.check("gate", {"run": "command"}, [[fault]], tmp_path) == 0
    assert capsys.readouterr().out.startswith("RED WITHOUT A FAULT  gate: command\nred")


def test_faults_are_planted_at_once_but_for_those_that_end_a_gate() -> None:
    some = [fault for fault in FAULTS if fault.gate == "site"]
    many, *others = plant.groups(some, True)
    assert many == [fault for fault in some if not fault.alone]
    assert others == [[fault] for fault in some if fault.alone] != []
    assert plant.groups(some, False) == [[fault] for fault in some]

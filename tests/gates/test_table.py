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
    more = NOXFILE.replace('("browser", "laboratory")', '("browser", "planted", "laboratory")')
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

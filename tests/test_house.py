"""How the house is built: which package and which floor imports what, and what needs no PyTorch."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled

ROOT = Path(__file__).parent.parent
PACKAGE = Path(unrolled.__file__).parent
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imported(module: Path) -> Iterator[str]:
    """Name what a module imports, also inside functions: ``unrolled.cells.linear``."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def height(name: str) -> int:
    """Count the floors below a module; one that is no floor is an error."""
    return unrolled.FLOORS.index(name)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_package_does_without_the_equipment_of_the_pages(module: Path) -> None:
    assert "unrolled_site" not in {name.partition(".")[0] for name in imported(module)}


@pytest.mark.parametrize("module", [m for m in MODULES if str(m) != "__init__.py"], ids=str)
def test_a_floor_rests_on_the_floors_below(module: Path) -> None:
    own = height(module.parts[0].removesuffix(".py"))
    for name in imported(module):
        package, _, rest = name.partition(".")
        if package == "unrolled":
            assert height(rest.partition(".")[0]) <= own, name


def test_the_floors_are_listed_once_and_documented_in_their_order() -> None:
    assert "`unrolled.FLOORS`" in (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    text = (ROOT / "docs/reference/api.md").read_text("utf-8")
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections.pop() == "unrolled_site"
    # What other modules share, under a name with an underscore, may have none.
    expected = [
        title
        for floor in unrolled.FLOORS
        if (title := floor.removeprefix("_")) in sections or title == floor
    ]
    assert sections == expected


WITHOUT_TORCH = """
import sys

sys.modules["torch"] = None  # importing it raises ImportError
import numpy as np
import unrolled, unrolled.init, unrolled.porting, unrolled.shapes

sizes = dict(input_size=3, hidden_size=4, num_layers=2, bidirectional=True)
drawn = unrolled.uniform_parameters("LSTM", **sizes, seed=7)
shapes = unrolled.parameter_shapes("LSTM", **sizes)
assert {name: array.shape for name, array in drawn.items()} == shapes
assert unrolled.init.uniform_bound(4) == 0.5
onnx = unrolled.porting.to_layout("onnx", "LSTM", drawn)
back = unrolled.porting.from_layout("onnx", "LSTM", onnx)
assert back.keys() == drawn.keys()
assert all(np.array_equal(back[name], drawn[name]) for name in drawn)
try:
    unrolled.RNN
except ImportError:
    print("only the rest needs torch")
"""


def test_what_needs_no_torch_works_without_it() -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "only the rest needs torch\n"

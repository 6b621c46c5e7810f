"""How the house is built: which package and which floor imports what, and what needs no PyTorch."""

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import unrolled

pytestmark = pytest.mark.no_cover
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
assert unrolled.shapes.uniform_bound(4) == 0.5
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


CLOSURE = """
import sys
from unrolled import RNN

RNN(10, 20)
print(*(getattr(m, "__file__", "") for n, m in sys.modules.items() if n.startswith("unrolled")))
"""
LARGEST = 3000


def test_the_core_is_as_small_as_the_readme_says() -> None:
    """Count what `from unrolled import RNN` makes Python read, docstrings and blank lines too."""
    command = [sys.executable, "-c", CLOSURE]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    files = [Path(file) for file in done.stdout.split()]
    assert {file.stem for file in files} == {
        *("__init__", "shapes", "arrays", "_checks"),
        *("cells", "_scan", "layers", "modules"),
    }
    lines = sum(len(file.read_text("utf-8").splitlines()) for file in files)
    assert lines <= LARGEST
    for page in ("README.md", "docs/reference/api.md"):
        assert f"{LARGEST:,} lines" in (ROOT / page).read_text("utf-8")


def test_what_is_imported_for_type_checkers_is_what_there_is() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))
    static = {
        (alias.name, alias.asname, node.module)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("unrolled")
        for alias in node.names
    }
    home = {name: f"unrolled.{floor}" for floor, names in unrolled._NAMES.items() for name in names}
    assert static == {(name, name, module) for name, module in home.items()}
    assert sorted(home) == unrolled.__all__


@pytest.mark.parametrize("name", ["trace", "summary", "diagnose", "scan"])
def test_a_function_does_not_hide_a_module(name: str) -> None:
    assert callable(getattr(unrolled, name))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module(f"unrolled.{name}")


def test_the_front_names_what_can_be_asked_for() -> None:
    assert {"RNN", "trace", "layers", "schemes", "FLOORS"} <= set(dir(unrolled))
    assert unrolled.layers.STEPS["GRU"] is unrolled.gru_step
    with pytest.raises(AttributeError, match="module 'unrolled' has no attribute 'LTSM'"):
        unrolled.LTSM  # noqa: B018 # the mistake

"""Whatever a package makes public can be reached from it, after one import."""

import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module

import pytest

import unrolled
import unrolled_site

MODULES = [
    name
    for package in (unrolled, unrolled_site)
    for _, name, _ in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not name.rpartition(".")[2].startswith("_")
]


@pytest.mark.parametrize("name", MODULES)
def test_public_functions_are_reached(name: str) -> None:
    module = import_module(name)
    for public in getattr(module, "__all__", []):
        value = getattr(module, public)
        if inspect.isfunction(value):
            # Some functions hide the module of their own name, and are reached above it.
            above = import_module(name.rpartition(".")[0])
            there = value in (getattr(unrolled, public, None), getattr(above, public, None))
            packages = {"unrolled": unrolled, "unrolled_site": unrolled_site}
            assert there or eval(f"{name}.{public}", packages) is value


def test_a_module_is_imported_when_somebody_asks() -> None:
    code = (
        "import sys, unrolled; assert 'unrolled.porting' not in sys.modules; "
        "unrolled.porting.to_layout; assert 'unrolled.porting' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_there_is_not() -> None:
    with pytest.raises(AttributeError, match="module 'unrolled' has no attribute 'lstm'"):
        _ = unrolled.lstm


def test_what_there_is() -> None:
    assert {"RNN", "trace", "shapes", *unrolled.__all__, *unrolled.FLOORS} <= set(dir(unrolled))

"""The benchmark's statistics, and what the README says of the file that it wrote."""

import json
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def bench() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "docs/_scripts/bench.py"))


def replace(bench: dict[str, Any], **functions: Callable[..., Any]) -> None:
    bench["measure"].__globals__.update(functions)


def results(bench: dict[str, Any], *ratios: float) -> dict[str, dict[str, float]]:
    names = (bench["BASELINE"], *bench["FLOORS"])
    return {name: {"ratio": ratio} for name, ratio in zip(names, (1.0, *ratios), strict=True)}


def test_a_ratio_is_the_median_of_pairs(bench: dict[str, Any]) -> None:
    """Not the ratio of two medians, which differs where a round was slow."""
    taken: dict[str, Iterator[float]] = {
        bench["BASELINE"]: iter([1.0, 1.0, 1.0, 9.0, 2.0]),
        "other": iter([1.0, 2.0, 2.0, 2.0, 1.0]),
    }
    replace(bench, seconds=lambda call, times: next(taken[call]))
    found = bench["measure"]({name: name for name in taken}, 4)
    # The first of five is the one that finds how often to call. Pairs: 2/1, 2/1, 2/9, 1/2.
    assert found["other"]["ratio"] == 1.25
    assert found["other"]["low"] < found["other"]["ratio"] < found["other"]["high"]
    assert found[bench["BASELINE"]] == {
        "ratio": 1.0, "low": 1.0, "high": 1.0, "microseconds": 1.5e6
    }  # fmt: skip


@pytest.mark.parametrize(
    ("measured", "attempts", "in_order", "kept"),
    [
        ([(0.1, 0.2, 0.3)], 1, True, 0),
        ([(0.1, 0.3, 0.2), (0.1, 0.2, 0.3)], 2, True, 1),
        ([(0.5, 0.2, 0.3), (0.4, 0.3, 0.3), (0.9, 0.3, 0.3)], 3, False, 1),
    ],
)
def test_bounds_out_of_order_are_measured_again(
    bench: dict[str, Any],
    measured: list[tuple[float, ...]],
    attempts: int,
    in_order: bool,
    kept: int,
) -> None:
    turns = iter(measured)
    replace(bench, measure=lambda calls, rounds: results(bench, *next(turns)))
    calls = dict.fromkeys((bench["BASELINE"], *bench["FLOORS"]))
    found, how = bench["measure_in_order"](calls, 5)
    assert how == {"attempts": attempts, "in_order": in_order}
    assert tuple(found[name]["ratio"] for name in bench["FLOORS"]) == measured[kept]
    assert next(turns, None) is None


def test_the_readme_agrees_with_the_file() -> None:
    report = json.loads((ROOT / "src/unrolled_site/data/bench.json").read_text("utf-8"))
    readme = (ROOT / "README.md").read_text("utf-8")
    assert "can be faster than `nn.RNN` and `nn.GRU`, forward and backward" in readme
    faster = {
        (result["kind"], result["mode"])
        for run in report["runs"]
        for result in run["results"]
        if run["threads"] == 1 and result["contenders"]["unrolled, fast"]["high"] < 1
    }
    assert faster >= {(kind, mode) for kind in ("RNN", "GRU") for mode in ("inference", "training")}

"""What the package takes from PyTorch without asking: all of it is there, and none has to be."""

import importlib
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.autograd import forward_ad

import unrolled
from tests.comparisons import KINDS, Operators
from unrolled import _torch_state
from unrolled._torch_state import PRIVATE, is_batched, is_transformed


def owner(path: str) -> tuple[Any, str]:
    """Give the object that has a name, and the last part of the name."""
    *parts, last = path.split(".")
    found: Any = torch
    for part in parts:
        found = getattr(found, part)
    return found, last


@pytest.fixture
def without(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Take a name away from torch and load the module again, as a new PyTorch would."""
    path: str = request.param
    monkeypatch.delattr(*owner(path))
    importlib.reload(_torch_state)
    yield path
    monkeypatch.undo()
    importlib.reload(_torch_state)


@pytest.mark.parametrize("path", PRIVATE)
def test_this_pytorch_has_every_private_name(path: str) -> None:
    assert hasattr(*owner(path))


def test_nothing_else_that_is_private_is_named_in_the_package() -> None:
    named = {path.rpartition(".")[2] for path in PRIVATE}
    for floor in unrolled.FLOORS:
        module = importlib.import_module(f"unrolled.{floor}")
        if floor != "_torch_state" and module.__file__ is not None:
            text = Path(module.__file__).read_text("utf-8")
            assert "torch._C" not in text, floor
            assert not any(name in text for name in named), floor


@pytest.mark.parametrize("without", PRIVATE, indirect=True)
def test_without_a_name_the_plain_loop_runs(without: str) -> None:
    if without.endswith("batchedtensor"):
        assert not _torch_state.is_batched(torch.ones(1))  # vmap itself then says what is wrong
    else:
        assert _torch_state.is_transformed()


@pytest.mark.parametrize("kind", KINDS)
def test_fast_modules_have_the_bits_of_the_others_where_a_name_is_missing(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_torch_state, "_transform", _torch_state._somebody)
    torch.manual_seed(0)
    plain, fast = (getattr(unrolled, kind)(10, 20, fast=fast) for fast in (False, True))
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(5, 3, 10)
    assert torch.equal(fast(x)[0], plain(x)[0])


def test_what_counts_as_transformed() -> None:
    seen = []
    assert not is_transformed()
    with torch.autocast("cpu"):
        seen.append(is_transformed())
    with forward_ad.dual_level():
        seen.append(is_transformed())
    with Operators():
        seen.append(is_transformed())
    with torch.overrides.TorchFunctionMode():
        seen.append(is_transformed())

    def inside(x: torch.Tensor) -> torch.Tensor:
        seen.append(is_transformed())
        seen.append(is_batched(x))
        return x + 1

    torch.func.vmap(inside)(torch.ones(2))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.trace")
        torch.jit.trace(inside, torch.ones(2), check_trace=False)  # type: ignore[no-untyped-call] # torch's is untyped
    assert seen == [True] * 7 + [False]
    assert not is_transformed()

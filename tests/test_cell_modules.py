"""The modules for one time step against those of torch: bits, gradients and refusals."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unrolled

KINDS = ["RNNCell", "GRUCell", "LSTMCell"]
N, H_IN, H_OUT = 3, 10, 20


def states(kind: str, shape: tuple[int, ...], dtype: torch.dtype) -> Any:
    h, c = torch.randn(shape, dtype=dtype), torch.randn(shape, dtype=dtype)
    return (h, c) if kind == "LSTMCell" else h


def flat(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, tuple) else [value]


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch", [(N,), (), (0,)])
@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_cells_have_the_bits_of_torch(
    kind: str,
    bias: bool,
    dtype: torch.dtype,
    batch: tuple[int, ...],
    given: bool,
    nonlinearity: str,
) -> None:
    if kind != "RNNCell" and nonlinearity == "relu":
        return  # a plain RNN alone has a choice
    more = {"nonlinearity": nonlinearity} if kind == "RNNCell" else {}
    results = []
    for library in (unrolled, nn):
        torch.manual_seed(0)
        cell = getattr(library, kind)(H_IN, H_OUT, bias, dtype=dtype, **more)
        x = torch.randn(*batch, H_IN, dtype=dtype, requires_grad=True)
        hx = states(kind, (*batch, H_OUT), dtype) if given else None
        leaves = [x, *cell.parameters()]
        if given:
            leaves += [state.requires_grad_() for state in flat(hx)]
        after = flat(cell(x, hx))
        loss = torch.stack([(state * torch.randn_like(state)).sum() for state in after]).sum()
        gradients = torch.autograd.grad(loss, leaves)
        results.append((cell, [*cell.parameters(), *after, *gradients, torch.get_rng_state()]))
    (ours, our_values), (theirs, their_values) = results
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert str(ours) == str(theirs)
    for a, b in zip(our_values, their_values, strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape)


CONSTRUCTORS: dict[str, tuple[tuple[Any, ...], dict[str, Any], list[str]]] = {
    "float size": ((10.0, 20), {}, ["input_size", "integer", "10.0"]),
    "no size": ((10, None), {}, ["hidden_size", "integer", "None"]),
    "negative size": ((10, -1), {}, ["hidden_size", "negative", "-1"]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", CONSTRUCTORS)
def test_constructors_refuse_what_torch_refuses(kind: str, case: str) -> None:
    arguments, keywords, words = CONSTRUCTORS[case]
    with pytest.raises((TypeError, RuntimeError)) as theirs:
        getattr(nn, kind)(*arguments, **keywords)
    before = torch.get_rng_state()
    with pytest.raises((TypeError, RuntimeError)) as ours:
        getattr(unrolled, kind)(*arguments, **keywords)
    assert type(ours.value) is type(theirs.value)
    assert all(word in str(ours.value) for word in words)
    assert torch.equal(before, torch.get_rng_state())


def test_what_torch_takes_in_silence_is_refused() -> None:
    silent = nn.RNNCell(10, 20, "relu")  # type: ignore[arg-type] # the mistake that is meant
    assert silent.nonlinearity == "tanh"
    with pytest.raises(TypeError, match="bias should be of type bool, got 'relu'"):
        unrolled.RNNCell(10, 20, "relu")  # type: ignore[arg-type] # the same
    misnamed: Any = nn.RNNCell(10, 20, nonlinearity="foo")
    with pytest.raises(RuntimeError, match="Unknown nonlinearity"):
        misnamed(zeros(3, 10))
    with pytest.raises(RuntimeError, match="nonlinearity should be 'tanh' or 'relu', got 'foo'"):
        unrolled.RNNCell(10, 20, nonlinearity="foo")


def test_sizes_of_zero_are_taken_as_by_torch() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch: initialising zero elements
        assert unrolled.RNNCell(10, 0)(zeros(3, 10)).shape == (3, 0)


def pair(a: Any, b: Any) -> Callable[[str], Any]:
    """Give `a` as the state of an RNN or GRU, and both as the states of an LSTM."""
    return lambda kind: (a, b) if kind == "LSTMCell" else a


FORWARD: dict[str, tuple[Any, Callable[[str], Any], list[str]]] = {
    "x 3D": (zeros(2, 3, 10), lambda kind: None, ["input", "1D or 2D", "got 3D"]),
    "x list": ([1.0], lambda kind: None, ["input", "torch.Tensor", "list"]),
    "x features": (zeros(3, 11), lambda kind: None, ["input", "input_size=10", "got 11"]),
    "x dtype": (
        zeros(3, 10).double(),
        pair(zeros(3, 20), zeros(3, 20)),
        ["torch.float64", "torch.float32"],
    ),
    "h 4D": (zeros(3, 10), pair(zeros(3, 1, 1, 20), zeros(3, 20)), ["hx", "1D or 2D", "got 4D"]),
    "h width": (zeros(3, 10), pair(zeros(3, 21), zeros(3, 20)), ["hx", "(3, 20)", "(3, 21)"]),
    "h batch": (zeros(3, 10), pair(zeros(5, 20), zeros(3, 20)), ["hx", "(3, 20)", "(5, 20)"]),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", FORWARD)
def test_forward_refuses_what_torch_refuses(kind: str, case: str) -> None:
    x, hx, words = FORWARD[case]
    refused = []
    for library in (unrolled, nn):
        cell: Any = getattr(library, kind)(10, 20)
        with pytest.raises((AttributeError, RuntimeError, TypeError, ValueError)) as info:
            cell(x, hx(kind))
        refused.append(info.value)
    assert type(refused[0]) is type(refused[1])
    assert all(word in str(refused[0]) for word in words)


@pytest.mark.parametrize("hx", [zeros(3, 20), (zeros(3, 20),), (zeros(3, 20),) * 3])
def test_an_lstm_cell_needs_two_states(hx: Any) -> None:
    with pytest.raises(TypeError, match=r"hx should be a tuple \(h, c\), got "):
        unrolled.LSTMCell(10, 20)(zeros(3, 10), hx)


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", KINDS)
def test_cells_compile_to_one_graph(kind: str) -> None:
    cell = getattr(unrolled, kind)(H_IN, H_OUT)
    x = torch.randn(N, H_IN)
    compiled: Any = torch.compile(cell, fullgraph=True, backend="eager")
    for a, b in zip(flat(compiled(x)), flat(cell(x)), strict=True):
        assert torch.equal(a, b)

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import unrolled
from tests.comparisons import cell_differences, hand_differences
from unrolled import cells

# Sizes differ from each other, so that no two can be confused.
N, H_in, H_out = 3, 10, 20

rnn_cell: Callable[..., Any] = unrolled.rnn_cell  # types cannot follow `*cell.parameters()`


def cell_and_input(nonlinearity: str = "tanh") -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    cell = nn.RNNCell(H_in, H_out, nonlinearity=nonlinearity, dtype=torch.float64)
    return cell, torch.randn(N, H_in, dtype=torch.float64), torch.randn(N, H_out).double()


def test_cell_equals_rnn_cell_on_tensors_and_arrays() -> None:
    assert cell_differences(unrolled) == []


def test_cases_computed_by_hand() -> None:
    assert hand_differences(unrolled) == []


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_gradients_of_the_cell_have_the_bits_of_rnn_cell(nonlinearity: str) -> None:
    cell, x, h = cell_and_input(nonlinearity)
    leaves = [x.requires_grad_(), h.requires_grad_(), *cell.parameters()]
    ours = rnn_cell(x, h, *cell.parameters(), nonlinearity=nonlinearity)
    theirs = cell(x, h)
    weights = torch.randn(N, H_out, dtype=torch.float64)
    for a, b in zip(
        torch.autograd.grad(ours, leaves, weights),
        torch.autograd.grad(theirs, leaves, weights),
        strict=True,
    ):
        assert torch.equal(a, b)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_unbatched_cell(nonlinearity: str) -> None:
    cell, x, h = cell_and_input(nonlinearity)
    parameters = list(cell.parameters())
    ours = rnn_cell(x[0], h[0], *parameters, nonlinearity=nonlinearity)
    assert ours.shape == (H_out,)
    # PyTorch multiplies a matrix of one row; the product of a vector may round otherwise.
    torch.testing.assert_close(ours, cell(x[0], h[0]), rtol=0, atol=1e-12)
    arrays = [p.detach().numpy() for p in (x[0], h[0], *parameters)]
    on_arrays = rnn_cell(*arrays, nonlinearity=nonlinearity)
    np.testing.assert_allclose(on_arrays, ours.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
def test_cell_is_the_step_after_one_linear(bias: bool) -> None:
    cell, x, h = cell_and_input()
    weight_ih, weight_hh, bias_ih, bias_hh = cell.parameters()
    b = (bias_ih, bias_hh) if bias else (None, None)
    projected = unrolled.linear(x, weight_ih, b[0])
    assert torch.equal(
        unrolled.rnn_step(projected, h, weight_hh, b[1]),
        rnn_cell(x, h, weight_ih, weight_hh, *b),
    )


def test_one_number_by_hand() -> None:
    # tanh(2 * 3 + 0.5 + 4 * -1 - 0.25), with input 2, state 4
    arguments = [np.array([[value]]) for value in (2.0, 4.0, 3.0, -1.0)]
    h = rnn_cell(*arguments, np.array([0.5]), np.array([-0.25]))
    assert h.item() == np.tanh(2.25)
    assert rnn_cell(*arguments, nonlinearity="relu").item() == 2.0
    arguments[0] *= -1
    assert rnn_cell(*arguments, nonlinearity="relu").item() == 0.0


def test_arrays_stay_arrays_and_tensors_stay_tensors() -> None:
    cell, x, h = cell_and_input()
    parameters = list(cell.parameters())
    assert isinstance(rnn_cell(x, h, *parameters), Tensor)
    arrays = [t.detach().numpy() for t in (x, h, *parameters)]
    assert isinstance(rnn_cell(*arrays), np.ndarray)
    for function in (cells.tanh, cells.relu):
        assert isinstance(function(arrays[0]), np.ndarray)
        assert isinstance(function(x), Tensor)


def test_nothing_is_written_to() -> None:
    cell, x, h = cell_and_input()
    tensors = [t.detach() for t in (x, h, *cell.parameters())]
    before = [t.clone() for t in tensors]
    rnn_cell(*tensors)
    rnn_cell(*(t.numpy() for t in tensors))
    assert all(torch.equal(a, b) for a, b in zip(tensors, before, strict=True))


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


# Changes to a good call of nn.RNNCell and of rnn_cell, and what our message says.
REFUSED: dict[str, tuple[dict[str, Tensor], list[str]]] = {
    "x 3D": ({"x": zeros(2, N, H_in)}, ["x", "1D or 2D", "got 3D of shape (2, 3, 10)"]),
    "x 0D": ({"x": zeros()}, ["x", "1D or 2D", "got 0D"]),
    "x features": ({"x": zeros(N, 11)}, ["x", "10 features", "got 11"]),
    "x dtype": ({"x": zeros(N, H_in).float()}, ["dtype of x, torch.float32", "torch.float64"]),
    "h 4D": ({"h": zeros(N, 1, 1, H_out)}, ["h", "1D or 2D", "got 4D of shape (3, 1, 1, 20)"]),
    "h features": ({"h": zeros(N, 21)}, ["weight_hh", "(21, 21)", "got (20, 20)"]),
    "h batch": ({"h": zeros(5, H_out)}, ["x_projected", "(5, 20)", "got (3, 20)"]),
    "h dtype": ({"h": zeros(N, H_out).float()}, ["h", "torch.float64", "got torch.float32"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_rnn_cell_refuses_is_refused(case: str) -> None:
    changes, words = REFUSED[case]
    cell, x, h = cell_and_input()
    arguments = {"x": x, "h": h} | changes
    with pytest.raises(Exception) as theirs:  # noqa: PT011 # which one is the question
        cell(*arguments.values())
    for convert in (lambda tensor: tensor, lambda tensor: tensor.detach().numpy()):
        with pytest.raises(type(theirs.value)) as ours:
            rnn_cell(*map(convert, (*arguments.values(), *cell.parameters())))
        assert type(ours.value) is theirs.type
        for word in words:
            assert word in str(ours.value).replace(" float64", " torch.float64").replace(
                " float32", " torch.float32"
            )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bias_ih": zeros(21)}, ["bias_ih", "(20,)", "got (21,)"]),
        ({"bias_hh": zeros(20, 1)}, ["bias_hh", "(20,)", "got (20, 1)"]),
        ({"weight_hh": zeros(20, 10)}, ["weight_hh", "(20, 20)", "got (20, 10)"]),
        ({"weight_ih": zeros(20, 11)}, ["x", "11 features", "got 10"]),
        ({"weight_ih": zeros(21, 10), "bias_ih": None}, ["x_projected", "(3, 20)", "got (3, 21)"]),
    ],
)
def test_parameters_that_do_not_fit(change: dict[str, Any], words: list[str]) -> None:
    cell, x, h = cell_and_input()
    arguments = {"x": x, "h": h} | dict(cell.named_parameters()) | change
    with pytest.raises(RuntimeError) as refused:
        rnn_cell(**arguments)
    for word in words:
        assert word in str(refused.value)


def test_unknown_nonlinearity() -> None:
    cell, x, h = cell_and_input()
    cell.nonlinearity = "sigmoid"
    with pytest.raises(RuntimeError, match="sigmoid"):
        cell(x, h)
    with pytest.raises(RuntimeError, match=r"nonlinearity should be .*, got 'sigmoid'"):
        rnn_cell(x, h, *cell.parameters(), nonlinearity="sigmoid")


@pytest.mark.parametrize(
    ("position", "message"),
    [
        (0, "h should be a numpy.ndarray like x, got Tensor"),
        (1, "h should be a torch.Tensor like x, got ndarray"),
        (5, "bias_hh should be a torch.Tensor like x, got ndarray"),
    ],
)
def test_arrays_and_tensors_are_not_mixed(position: int, message: str) -> None:
    cell, x, h = cell_and_input()
    arguments: list[Any] = [x, h, *(p.detach() for p in cell.parameters())]
    arguments[position] = arguments[position].numpy()
    with pytest.raises(TypeError, match=message):
        rnn_cell(*arguments)


def test_lists_are_refused() -> None:
    call: Callable[..., Any] = unrolled.rnn_step
    with pytest.raises(TypeError, match=r"x_projected should be a numpy.ndarray .*, got list"):
        call([1.0], np.ones(1), np.ones((1, 1)))


@pytest.mark.parametrize("shape", [(3, 5, 10), (3, 10), (10,)])
def test_linear_on_arrays_is_linear_on_tensors(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x, weight, bias = torch.randn(shape), torch.randn(20, 10), torch.randn(20)
    for b in (bias, None):
        expected = nn.functional.linear(x, weight, b)
        assert torch.equal(unrolled.linear(x, weight, b), expected)
        on_arrays = unrolled.linear(x.numpy(), weight.numpy(), None if b is None else b.numpy())
        np.testing.assert_allclose(on_arrays, expected.numpy(), rtol=0, atol=1e-5)


def test_cell_under_autocast() -> None:
    cell, x, h = cell_and_input()
    cell = cell.float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = rnn_cell(x.float(), h.bfloat16(), *cell.parameters())
    torch.testing.assert_close(
        ours.double(), cell(x.float(), h.float()).double(), rtol=0, atol=0.05
    )

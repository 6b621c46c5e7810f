import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import unrolled
from tests.comparisons import KINDS, cell_differences, hand_differences, tensors
from unrolled.arrays import relu, tanh

# Sizes differ from each other, so that no two can be confused.
N, H_in, H_out = 3, 10, 20

rnn_cell: Callable[..., Any] = unrolled.rnn_cell  # types cannot follow `*cell.parameters()`


def cell_and_input(nonlinearity: str = "tanh") -> tuple[Any, Any, Any]:
    torch.manual_seed(0)
    cell = nn.RNNCell(H_in, H_out, nonlinearity=nonlinearity, dtype=torch.float64)
    return cell, torch.randn(N, H_in, dtype=torch.float64), torch.randn(N, H_out).double()


def other_cell(kind: str, dtype: torch.dtype = torch.float64) -> tuple[Any, Any, Tensor, Any]:
    """Build a cell of `torch.nn`, ours, an input and a state."""
    torch.manual_seed(0)
    cell = getattr(nn, f"{kind}Cell")(H_in, H_out, dtype=dtype)
    x, h, c = (torch.randn(N, size, dtype=dtype) for size in (H_in, H_out, H_out))
    state = (h, c) if kind == "LSTM" else h
    return cell, getattr(unrolled, f"{kind.lower()}_cell"), x, state


def as_given(value: Any) -> Any:
    return value


def on_arrays(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(on_arrays(part) for part in value)
    return value.detach().numpy() if isinstance(value, Tensor) else value


def test_cells_equal_those_of_torch_on_tensors_and_arrays() -> None:
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


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_of_other_cells(kind: str, dtype: torch.dtype) -> None:
    cell, ours, x, state = other_cell(kind, dtype)
    leaves = [x.requires_grad_(), *(s.requires_grad_() for s in tensors(state))]
    leaves += list(cell.parameters())
    results = []
    for values in (tensors(ours(x, state, *cell.parameters())), tensors(cell(x, state))):
        torch.manual_seed(1)
        weights = [torch.randn(N, H_out, dtype=dtype) for _ in values]
        results.append([*values, *torch.autograd.grad(values, leaves, weights)])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_other_unbatched_cells(kind: str) -> None:
    cell, ours, x, state = other_cell(kind)
    x, state = x[0], tuple(s[0] for s in state) if kind == "LSTM" else state[0]
    results = tensors(ours(x, state, *cell.parameters()))
    arrays = tensors(ours(*on_arrays((x, state, *cell.parameters()))))
    for a, b, c in zip(results, tensors(cell(x, state)), arrays, strict=True):
        assert a.shape == (H_out,)
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
        assert isinstance(c, np.ndarray)
        np.testing.assert_allclose(c, a.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("bias", [True, False])
def test_other_cells_are_the_step_after_one_linear(kind: str, bias: bool) -> None:
    cell, ours, x, state = other_cell(kind)
    weight_ih, weight_hh, *biases = cell.parameters()
    bias_ih, bias_hh = biases if bias else (None, None)
    step = getattr(unrolled, f"{kind.lower()}_step")
    stepped = step(unrolled.linear(x, weight_ih, bias_ih), state, weight_hh, bias_hh)
    expected = ours(x, state, weight_ih, weight_hh, bias_ih, bias_hh)
    for a, b in zip(tensors(stepped), tensors(expected), strict=True):
        assert torch.equal(a, b)


def test_projection_comes_last_and_does_not_touch_the_cell_state() -> None:
    cell, ours, x, (h, c) = other_cell("LSTM")
    weight_ih, _, bias_ih, bias_hh = cell.parameters()
    weight_hh = torch.randn(4 * H_out, 7, dtype=torch.float64)
    weight_hr = torch.randn(7, H_out, dtype=torch.float64)
    arguments = x, (h[:, :7], c), weight_ih, weight_hh, bias_ih, bias_hh
    h_t, c_t = ours(*arguments, weight_hr)
    wide = torch.zeros(4 * H_out, H_out, dtype=torch.float64)
    wide[:, :7] = weight_hh  # the same sums, without a projection
    h_full, c_full = ours(x, (h, c), weight_ih, wide, bias_ih, bias_hh)
    torch.testing.assert_close(h_t, h_full @ weight_hr.T, rtol=0, atol=1e-12)
    torch.testing.assert_close(c_t, c_full, rtol=0, atol=1e-12)
    for a, b in zip(ours(*on_arrays((*arguments, weight_hr))), (h_t, c_t), strict=True):
        np.testing.assert_allclose(a, b.detach().numpy(), rtol=0, atol=1e-12)


def test_sigmoid() -> None:
    a = np.array([-np.inf, -1000.0, -30.0, -1.0, 0.0, 1.0, 30.0, 1000.0, np.inf])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(unrolled.sigmoid(a), 1 / (1 + np.exp(-a)), rtol=0, atol=2.3e-16)
    assert torch.equal(unrolled.sigmoid(torch.from_numpy(a)), torch.sigmoid(torch.from_numpy(a)))
    assert unrolled.sigmoid(a.astype(np.float32)).dtype == np.float32


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
    for function in (tanh, relu):
        assert isinstance(function(arrays[0]), np.ndarray)
        assert isinstance(function(x), Tensor)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_written_to(kind: str) -> None:
    cell, ours, x, state = other_cell(kind)
    parameters = [p.detach() for p in cell.parameters()]
    given = [x, *tensors(state), *parameters]
    before = [t.clone() for t in given]
    ours(x, state, *parameters)
    ours(*on_arrays((x, state, *parameters)))
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


# Changes to a good call of nn.RNNCell and of rnn_cell, and what our message says.
REFUSED: dict[str, tuple[dict[str, Tensor], list[str]]] = {
    "x 3D": ({"x": zeros(2, N, H_in)}, ["x", "1D or 2D", "got 3D of shape (2, 3, 10)"]),
    "x 0D": ({"x": zeros()}, ["x", "1D or 2D", "got 0D"]),
    "x features": ({"x": zeros(N, 11)}, ["x", "10 features", "got 11"]),
    "x dtype": ({"x": zeros(N, H_in).float()}, ["dtype of x, torch.float32", "torch.float64"]),
    "h 4D": ({"h": zeros(N, 1, 1, H_out)}, ["h", "1D or 2D", "got 4D of shape (3, 1, 1, 20)"]),
    "h 0D": ({"h": zeros()}, ["h", "1D or 2D", "got 0D"]),
    "h features": ({"h": zeros(N, 21)}, ["weight_hh", "(21, 21)", "got (20, 20)"]),
    "h batch": ({"h": zeros(5, H_out)}, ["h", "(3, 20)", "got (5, 20)"]),
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
        ({"weight_ih": zeros(21, 10), "bias_ih": None}, ["weight_ih", "(20, 10)", "got (21, 10)"]),
    ],
)
def test_parameters_that_do_not_fit(change: dict[str, Any], words: list[str]) -> None:
    cell, x, h = cell_and_input()
    arguments = {"x": x, "h": h} | dict(cell.named_parameters()) | change
    with pytest.raises(RuntimeError) as refused:
        rnn_cell(**arguments)
    for word in words:
        assert word in str(refused.value)


def wrong_states(kind: str, case: str, x: Tensor, state: Any) -> list[tuple[Tensor, Any]]:
    """Give the arguments that belong to a case of REFUSED; either state of an LSTM is wrong."""
    changes, _ = REFUSED[case]
    if "h" not in changes:
        return [(changes["x"], state)]
    wrong = changes["h"]
    return [(x, wrong)] if kind == "GRU" else [(x, (wrong, state[1])), (x, (state[0], wrong))]


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("case", REFUSED)
def test_what_other_cells_refuse_is_refused(kind: str, case: str) -> None:
    cell, ours, good, state = other_cell(kind)
    for x, wrong in wrong_states(kind, case, good, state):
        if case == "h dtype" and kind == "LSTM" and wrong[0] is state[0]:
            cell(x, wrong)  # PyTorch takes c_0 of another dtype
            expected: type[Exception] = RuntimeError
        else:
            with pytest.raises(Exception) as theirs:  # noqa: PT011 # which one is the question
                cell(x, wrong)
            expected = type(theirs.value)
        for convert in (as_given, on_arrays):
            with pytest.raises(expected, match=r"should .*got ") as refused:
                ours(*convert((x, wrong, *cell.parameters())))
            assert type(refused.value) is expected


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (zeros(N, H_out), "Tensor"),
        ((zeros(N, H_out),), "a tuple of 1"),
        ((zeros(N, H_out),) * 3, "a tuple of 3"),
        (None, "NoneType"),
    ],
)
def test_state_of_an_lstm_is_a_pair(state: Any, message: str) -> None:
    cell, ours, x, _ = other_cell("LSTM")
    with pytest.raises(TypeError, match=rf"state should be a tuple \(h, c\), got {message}"):
        ours(x, state, *cell.parameters())


@pytest.mark.parametrize(
    ("kind", "change", "words"),
    [
        ("GRU", {"bias_ih": zeros(20)}, ["bias_ih", "(60,)", "got (20,)"]),
        ("GRU", {"bias_hh": zeros(20)}, ["bias_hh", "(60,)", "got (20,)"]),
        ("GRU", {"weight_hh": zeros(20, 20)}, ["weight_hh", "(60, 20)", "got (20, 20)"]),
        (
            "GRU",
            {"weight_ih": zeros(80, 10), "bias_ih": None},
            ["weight_ih", "(60, 10)", "got (80, 10)"],
        ),
        ("LSTM", {"bias_ih": zeros(60)}, ["bias_ih", "(80,)", "got (60,)"]),
        ("LSTM", {"bias_hh": zeros(60)}, ["bias_hh", "(80,)", "got (60,)"]),
        ("LSTM", {"weight_hh": zeros(60, 20)}, ["weight_hh", "(80, 20)", "got (60, 20)"]),
        (
            "LSTM",
            {"weight_ih": zeros(60, 10), "bias_ih": None},
            ["weight_ih", "(80, 10)", "got (60, 10)"],
        ),
        ("LSTM", {"weight_hr": zeros(7, 20)}, ["weight_hr", "(20, 20)", "got (7, 20)"]),
        ("LSTM", {"weight_hr": zeros(20, 21)}, ["state[1]", "(3, 21)", "got (3, 20)"]),
    ],
)
def test_parameters_that_do_not_fit_other_cells(
    kind: str, change: dict[str, Any], words: list[str]
) -> None:
    cell, ours, x, state = other_cell(kind)
    arguments = dict(cell.named_parameters()) | change
    with pytest.raises(RuntimeError) as refused:
        ours(x, state, **arguments)
    assert str(refused.value).startswith(words[0])
    for word in words:
        assert word in str(refused.value)


@pytest.mark.parametrize(("kind", "part", "name"), [
    ("GRU", None, "h"), ("LSTM", 0, "state[0]"), ("LSTM", 1, "state[1]")
])  # fmt: skip # a table
def test_a_state_that_does_not_fit_is_named(kind: str, part: int | None, name: str) -> None:
    cell, ours, x, state = other_cell(kind)
    if part is None:
        state = state[:2]
    else:
        state = tuple(h[:2] if number == part else h for number, h in enumerate(state))
    with pytest.raises(
        RuntimeError, match=rf"^{re.escape(name)} should .*\(3, 20\), got \(2, 20\)"
    ):
        ours(x, state, *cell.parameters())


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
    call: Callable[..., Any] = unrolled.rnn_cell
    with pytest.raises(TypeError, match=r"x should be a numpy.ndarray .*, got list"):
        call([1.0], np.ones(1), np.ones((1, 1)), np.ones((1, 1)))


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


def test_nonlinearity_in_the_place_of_a_bias() -> None:
    """PyTorch takes it for true, and stays with tanh; ours asks for a bias."""
    cell: Any = nn.RNNCell(H_in, H_out, "relu")  # type: ignore[arg-type] # the mistake
    assert (cell.bias, cell.nonlinearity) == ("relu", "tanh")
    x, h = torch.zeros(N, H_in), torch.zeros(N, H_out)
    with pytest.raises(TypeError, match=r"bias_ih should be a torch.Tensor like x, got str"):
        rnn_cell(x, h, cell.weight_ih, cell.weight_hh, "relu")


WRONG: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "x None": ({"x": None}, TypeError, "x should be a numpy.ndarray of numbers or a torch.Tensor"),
    "x text": ({"x": "a"}, TypeError, "x should be .* or a torch.Tensor, got str"),
    "h None": ({"h": None}, TypeError, "h should be a torch.Tensor like x, got NoneType"),
    "weight None": ({"weight_ih": None}, TypeError, "weight_ih should be .* like x, got NoneType"),
    "weight 0D": ({"weight_hh": zeros()}, RuntimeError, "weight_hh should be 2D, got 0D"),
    "weight 3D": ({"weight_ih": zeros(2, 20, 10)}, RuntimeError, "weight_ih should be 2D, got 3D"),
    "meta": ({"x": torch.zeros(N, H_in, device="meta").double()}, RuntimeError,
             "h should have the device of x, meta, got cpu"),
    "dtype on meta": ({"x": torch.zeros(N, H_in, device="meta"),
                       "h": torch.zeros(N, H_out, device="meta").double()}, RuntimeError,
                      "h should have the dtype of x, torch.float32, got torch.float64"),
    "integers": ({"x": torch.zeros(N, H_in).long()}, RuntimeError,
                 "x should have a floating-point or complex dtype, got torch.int64"),
    "objects": ({"x": np.array([None, 1])}, TypeError, "x should be a .* of numbers or .* object"),
    "nonlinearity": ({"nonlinearity": ["tanh"]}, RuntimeError, r"nonlinearity .*, got \['tanh'\]"),
}  # fmt: skip # a table


@pytest.mark.parametrize("case", WRONG)
def test_a_message_names_what_the_caller_gave(case: str) -> None:
    change, error, message = WRONG[case]
    cell, x, h = cell_and_input()
    arguments: dict[str, Any] = {"x": x, "h": h, **dict(cell.named_parameters())}
    with pytest.raises(error, match=message):
        rnn_cell(**arguments | change)


def test_complex_numbers() -> None:
    """PyTorch's modules take them; the formula is the same."""
    rnn, x, h = nn.RNN(H_in, H_out, dtype=torch.complex128), zeros(N, H_in), zeros(N, H_out)
    x, h = torch.complex(x + 1, x), torch.complex(h, h + 1)
    expected = rnn(x[None], h[None])[0][0]
    torch.testing.assert_close(rnn_cell(x, h, *rnn.parameters()), expected, rtol=0, atol=1e-12)


def test_state_of_an_lstm_may_be_a_list() -> None:
    """As for PyTorch."""
    cell, ours, x, state = other_cell("LSTM")
    theirs = cell(x, list(state))
    for a, b in zip(ours(x, list(state), *cell.parameters()), theirs, strict=True):
        assert torch.equal(a, b)
    with pytest.raises(TypeError, match=r"state should be a tuple \(h, c\), got a list of 1"):
        ours(x, [state[0]], *cell.parameters())


ONES = np.ones((20, 10))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"weight": torch.ones(20, 10)}, TypeError, "weight should be a numpy.ndarray like x, got"),
        ({"bias": torch.ones(20)}, TypeError, "bias should be a numpy.ndarray like x, got tensor"),
        ({"x": None}, TypeError, "x should be .*, got NoneType"),
        ({"x": np.array(2.0)}, TypeError, r"x should be a numpy.ndarray like x, got array\(2.\)"),
        ({"weight": None}, TypeError, "weight should be .*, got NoneType"),
        ({"weight": ONES.astype(str)}, TypeError, "weight should be .* of numbers .*, got <U"),
        ({"weight": ONES[:, 1:]}, ValueError, r"weight .* \(out, 10\), got \(20, 9\)"),
        ({"weight": ONES[0]}, ValueError, r"weight .* \(out, 10\), got \(10,\)"),
        ({"bias": np.ones(1)}, ValueError, r"bias should have shape \(20,\), got \(1,\)"),
        ({"bias": np.ones((20, 1))}, ValueError, r"bias should have shape \(20,\), got \(20, 1\)"),
    ],
)
def test_linear_on_arrays_refuses(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = {"x": np.ones((20, 10)), "weight": ONES, "bias": np.ones(20)}
    with pytest.raises(error, match=message):
        unrolled.linear(**arguments | change)


@pytest.mark.parametrize("a", [None, "a", [1.0], np.array(["a"]), np.array([None])], ids=str)
def test_sigmoid_of_no_numbers(a: Any) -> None:
    with pytest.raises(TypeError, match=r"a should be a .* of numbers or a torch.Tensor"):
        unrolled.sigmoid(a)

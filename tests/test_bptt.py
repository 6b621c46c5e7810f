"""The backward pass by hand against autograd, finite differences and by itself."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import starmap
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

import unrolled
import unrolled.bptt
import unrolled.fast
from tests.comparisons import (
    BACKENDS,
    GRADIENTS,
    KINDS,
    MODES,
    Configuration,
    backward_differences,
    direction_differences,
    patched,
    tensors,
)
from tests.strategies import FEWER, sizes
from unrolled import Order
from unrolled._scan import each
from unrolled.bptt import (
    CHAINS,
    Tape,
    backward_direction,
    gru_backward,
    last_state,
    lstm_backward,
    rnn_backward,
    rnn_slope,
    state_before,
    stretches,
)
from unrolled.layers import STEPS, Weights, plain_direction, run_network, weights_of

N, L, H_in, H_out = 3, 5, 10, 20

BACKWARD: dict[str, Callable[..., Any]] = {
    "RNN": rnn_backward,
    "GRU": gru_backward,
    "LSTM": lstm_backward,
}
every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_kind = pytest.mark.parametrize("kind", KINDS)


@st.composite
def networks(draw: st.DrawFn, kind: str) -> Configuration:
    hidden_size = draw(sizes)
    projected = kind == "LSTM" and hidden_size > 1 and draw(st.booleans())
    return Configuration(
        kind=kind,
        input_size=draw(sizes),
        hidden_size=hidden_size,
        num_layers=draw(st.integers(1, 3)),
        nonlinearity=draw(st.sampled_from(["tanh", "relu"])),
        bias=draw(st.booleans()),
        bidirectional=draw(st.booleans()),
        proj_size=draw(st.integers(1, hidden_size - 1)) if projected else 0,
        lengths=(0,) * draw(st.integers(0, 5)),  # their number alone counts
        L=draw(st.integers(1, 7)),
        seed=draw(st.integers(0, 2**32)),
    )


@pytest.mark.no_cover
@every_kind
@FEWER
@given(data=st.data())
def test_networks_have_the_gradients_of_autograd(kind: str, data: st.DataObject) -> None:
    configuration = data.draw(networks(kind))
    truncate = data.draw(st.none() | st.integers(1, 8))
    names = GRADIENTS[: 3 if kind == "LSTM" else 2]
    left_out = tuple(name for name in names if data.draw(st.integers(1, 4)) == 4)
    stretch = data.draw(st.sampled_from([2**17, 500, 1]))
    with patched(unrolled.bptt, _STRETCH=stretch):
        for backend in BACKENDS:
            assert not list(
                backward_differences(unrolled, configuration, backend, truncate, left_out)
            )


@pytest.mark.no_cover
@pytest.mark.parametrize("sizes", [None, (3, 3, 3, 3, 3), (3, 3, 2, 1, 1)], ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("mode", [*MODES, "LSTM with a projection"])
def test_stretches(mode: str, reverse: bool, sizes: tuple[int, ...] | None) -> None:
    """Cut five steps into one, two, three and five stretches, of all that is packed too."""
    mode, proj_size = ("LSTM", 7) if mode not in MODES else (mode, 0)
    for truncate in (None, 1, 2, 3):
        for stretch in (2**17, 700, 240, 1):
            with patched(unrolled.bptt, _STRETCH=stretch):
                for backend in BACKENDS if sizes is None else ("torch",):
                    assert not list(
                        direction_differences(
                            unrolled, mode, reverse, sizes, truncate, backend, proj_size
                        )
                    )


@every_backend
@pytest.mark.parametrize("truncate", [1, 2])
@every_kind
def test_truncation_cuts(kind: str, truncate: int, backend: str) -> None:
    """A gradient of the last output alone reaches the steps since the last cut, and no others."""
    configuration = Configuration(kind=kind)
    to, module = BACKENDS[backend], configuration.theirs()
    (x,), states = configuration.leaves()
    hx: Any = tuple(map(to, states)) if kind == "LSTM" else to(states[0])
    grad_output = torch.zeros(L, N, H_out, dtype=torch.float64)
    grad_output[-1] = 1
    arguments = to(x), hx, weights_of(module, to), to(grad_output)
    cut = BACKWARD[kind](*arguments, truncate=truncate)
    whole = BACKWARD[kind](*arguments)
    reached = np.asarray(cut.input).any(axis=(1, 2))
    # Steps 0 2 4 begin anew, and with truncate=1 every one.
    assert reached.tolist() == [False] * 4 + [True]
    assert np.asarray(whole.input).any(axis=(1, 2)).all()
    for grad, expected in zip(cut.hx, whole.hx, strict=True):
        assert not np.asarray(grad).any()
        assert np.asarray(expected).any()


@every_backend
@every_kind
def test_the_first_step_is_not_cut_off_from_the_initial_states(kind: str, backend: str) -> None:
    configuration = Configuration(kind=kind, L=3)
    to, module = BACKENDS[backend], configuration.theirs()
    (x,), states = configuration.leaves()
    hx: Any = tuple(map(to, states)) if kind == "LSTM" else to(states[0])
    grad_output = torch.zeros(3, N, H_out, dtype=torch.float64)
    grad_output[0] = 1
    arguments = to(x), hx, weights_of(module, to), to(grad_output)
    cut, whole = BACKWARD[kind](*arguments, truncate=1), BACKWARD[kind](*arguments)
    for grad, expected in zip(cut.hx, whole.hx, strict=True):
        assert np.asarray(grad).any()
        assert np.array_equal(np.asarray(grad), np.asarray(expected))


@pytest.mark.parametrize(
    "configuration",
    [
        Configuration(kind="RNN"),
        Configuration(kind="RNN", nonlinearity="relu"),
        Configuration(kind="GRU"),
        Configuration(kind="LSTM"),
        Configuration(kind="LSTM", proj_size=3),
    ],
    ids=str,
)
def test_central_differences(configuration: Configuration) -> None:
    """Our gradients, against our own forward pass: PyTorch has no part in this."""
    configuration = replace(
        configuration, input_size=2, hidden_size=4, num_layers=2, bidirectional=True, L=3,
        lengths=(0, 0),
    )  # fmt: skip # as wide as the page
    (x,), states = configuration.leaves()
    layers = weights_of(configuration.theirs(), BACKENDS["NumPy"])
    mode = MODE_OF[configuration.kind, configuration.nonlinearity]
    arrays = [state.numpy() for state in states]
    leaves: list[Any] = [x.numpy(), *arrays]
    generator = np.random.default_rng(1)

    def forward() -> list[Any]:
        direction = partial(plain_direction, STEPS[mode])
        initial = list(zip(*arrays, strict=True)) if configuration.is_lstm else list(arrays[0])
        results = run_network([direction] * 4, x.numpy(), initial, layers)
        last = each(lambda *parts: np.stack(parts), *results.last)
        return [results.output, *tensors(last)]

    grads = [generator.standard_normal(a.shape) for a in forward()]
    keywords = {"nonlinearity": configuration.nonlinearity} if configuration.kind == "RNN" else {}
    hx = tuple(arrays) if configuration.is_lstm else arrays[0]
    ours = BACKWARD[configuration.kind](leaves[0], hx, layers, *grads, **keywords)
    gradients = [ours.input, *ours.hx]
    for mine, theirs in zip(ours.layers, layers, strict=True):
        for gradient, weights in zip(mine, theirs, strict=True):
            gradients += [g for g in gradient if g is not None]
            leaves += [w for w in weights if w is not None]
    step = 1e-5
    for leaf, gradient in zip(leaves, gradients, strict=True):
        assert leaf.shape == gradient.shape
        direction = generator.standard_normal(leaf.shape)
        values = []
        for sign in (1, -1):
            leaf += sign * step * direction
            pairs = zip(forward(), grads, strict=True)
            values.append(sum(float((a * g).sum()) for a, g in pairs))
            leaf -= sign * step * direction
        expected = (values[0] - values[1]) / (2 * step)
        assert abs((gradient * direction).sum() - expected) < 1e-8


MODE_OF = {
    ("RNN", "tanh"): "RNN_TANH",
    ("RNN", "relu"): "RNN_RELU",
    ("GRU", "tanh"): "GRU",
    ("LSTM", "tanh"): "LSTM",
}


@every_backend
def test_slope_of_relu_at_zero_is_that_of_torch(backend: str) -> None:
    a = torch.tensor([-1.0, -0.0, 0.0, 1e-30, 2.0], requires_grad=True)
    (expected,) = torch.autograd.grad(torch.relu(a).sum(), a)
    slope = rnn_slope(BACKENDS[backend](torch.relu(a)), "relu")
    assert np.asarray(slope).tolist() == expected.tolist()
    assert np.asarray(slope).dtype == np.float32


@every_backend
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_kind
def test_nothing_given_is_zero_in_the_dtype_of_the_input(
    kind: str, dtype: torch.dtype, backend: str
) -> None:
    configuration = Configuration(kind=kind, dtype=dtype, num_layers=2, bidirectional=True)
    to = BACKENDS[backend]
    (x,), states = configuration.leaves()
    hx: Any = tuple(map(to, states)) if kind == "LSTM" else to(states[0])
    found = BACKWARD[kind](to(x), hx, weights_of(configuration.theirs(), to))
    every = [
        found.input,
        *found.hx,
        *(w for a in found.layers for b in a for w in b if w is not None),
    ]
    assert len(every) == 1 + len(states) + 16
    for gradient in every:
        assert gradient.dtype == to(x).dtype
        assert not np.asarray(gradient).any()


@every_backend
def test_the_slope_is_that_of_tanh_unless_another_is_named(backend: str) -> None:
    h = torch.tensor([-0.5, 0.0, 0.25], dtype=torch.float64)
    assert np.asarray(rnn_slope(BACKENDS[backend](h))).tolist() == [0.75, 1.0, 0.9375]


def in_one_direction(mode: str, order: Order, backend: str) -> Any:
    """Give what `backward_direction` takes, for a network that starts from zeros."""
    kind, to = mode.partition("_")[0], BACKENDS[backend]
    configuration = Configuration(kind=kind)
    (x,), states = configuration.leaves()
    weights = weights_of(configuration.theirs(), to)[0][0]
    initial = tuple(to(torch.zeros(N, H_out, dtype=torch.float64)) for _ in states)
    after, gates = unrolled.fast.FORWARD[mode](to(x), initial, weights, order, keep=True)
    before = tuple(starmap(partial(state_before, order), zip(after, initial, strict=True)))
    grads = (to(torch.randn(L, N, H_out, dtype=torch.float64)), None)[: len(after)]
    return mode, Tape(to(x), before, gates), grads, (None,) * len(after), weights, order


@every_backend
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("nonlinearity", ["TANH", "RELU"])
def test_a_tape_without_states_that_begins_with_zeros(
    nonlinearity: str, reverse: bool, backend: str
) -> None:
    arguments = list(in_one_direction(f"RNN_{nonlinearity}", Order(reverse), backend))
    expected: Any = backward_direction(*arguments)
    arguments[1] = arguments[1]._replace(before=(None,))
    found: Any = backward_direction(*arguments)
    for a, b in zip(found[2], expected[2], strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)
    for a, b in ((found[0], expected[0]), (found[1][0], expected[1][0])):
        assert np.array_equal(a, b)


@every_backend
@pytest.mark.parametrize("mode", MODES)
def test_only_what_is_needed_is_computed(mode: str, backend: str) -> None:
    arguments = in_one_direction(mode, Order(), backend)
    run: Any = partial(backward_direction, *arguments)
    grad_x, first, weights = run()
    nothing, none, same = run(input_needed=False, first_needed=False)
    assert grad_x is not None
    assert all(part is not None for part in first)
    assert nothing is None
    assert none == (None,) * len(first)
    for a, b in zip(weights, same, strict=True):
        assert (a is b is None) or np.array_equal(a, b)
    _, tape, grads, _, given, order = arguments
    grads = [BACKENDS[backend](torch.ones(L, N, H_out).double()) for _ in grads]
    assert all(part is not None for part in CHAINS[mode](tape, tuple(grads), given, order).first)


# Order


@pytest.mark.parametrize(("numbers", "expected"), [(4, [None]), (2, [slice(2, 4), slice(0, 2)])])
def test_stretches_of_steps_of_one_number(numbers: int, expected: list[slice | None]) -> None:
    assert [part for _, part, _ in stretches(Order(), 4, 1, numbers)] == expected
    assert [part for _, part, _ in stretches(Order(), 4, 0, numbers)] == expected


def test_order_walks_through_packed_sequences() -> None:
    """Sequences of 1, 2 and 4 steps: 3, 2, 1 and 1 of them reach steps 0 to 3."""
    rows = torch.tensor([10, 20, 30, 11, 21, 12, 13])
    initial = torch.tensor([-1, -2, -3])
    forward, reverse = Order(False, (3, 2, 1, 1)), Order(True, (3, 2, 1, 1))
    assert [s.tolist() for s in forward.steps(rows)] == [[10, 20, 30], [11, 21], [12], [13]]
    assert [s.tolist() for s in reverse.steps(rows)] == [[13], [12], [11, 21], [10, 20, 30]]
    assert state_before(forward, rows, initial).tolist() == [-1, -2, -3, 10, 20, 11, 12]
    assert state_before(reverse, rows, initial).tolist() == [11, 21, -3, 12, -2, 13, -1]
    assert last_state(forward, rows).tolist() == [13, 21, 30]
    assert last_state(reverse, rows).tolist() == [10, 20, 30]


@every_backend
def test_order_walks_through_time(backend: str) -> None:
    states = BACKENDS[backend](torch.arange(10.0).reshape(5, 2))
    initial = BACKENDS[backend](torch.tensor([-1.0, -2.0]))
    assert state_before(Order(), states, initial)[:, 0].tolist() == [-1, 0, 2, 4, 6]
    assert state_before(Order(True), states, initial)[:, 0].tolist() == [2, 4, 6, 8, -1]
    assert last_state(Order(), states).tolist() == [8, 9]
    assert last_state(Order(True), states).tolist() == [0, 1]


@pytest.mark.parametrize("sizes", [None, (4, 3, 3, 2, 1, 1, 1)], ids=str)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", range(1, 9))
def test_stretches_are_all_steps_from_the_last(
    count: int, reverse: bool, sizes: tuple[int, ...] | None
) -> None:
    rows = torch.arange(15 if sizes else 7)
    order = Order(reverse, sizes)
    with patched(unrolled.bptt, _STRETCH=10 * count + 9):
        found_stretches = list(stretches(order, 7, 10))
    found: dict[int, list[int]] = {}
    steps = order.steps(rows)
    for first, part, inner in found_stretches:
        cut = rows if part is None else rows[part]
        inner_steps = inner.steps(cut) if sizes else list(cut.flip(0) if reverse else cut)
        found |= {first + t: step.tolist() for t, step in enumerate(inner_steps)}
    assert [first for first, _, _ in found_stretches] == sorted(
        (first for first, _, _ in found_stretches), reverse=True
    )
    assert len(found_stretches) == -(-7 // count)
    assert [found[t] for t in range(7)] == [step.tolist() for step in steps]


# What is refused


def arguments_of(kind: str) -> dict[str, Any]:
    configuration = Configuration(kind=kind, num_layers=2, bidirectional=True)
    (x,), states = configuration.leaves()
    layers = weights_of(configuration.theirs(), torch.Tensor.detach)
    name = "hx" if kind == "LSTM" else "h_0"
    return {"input": x, name: configuration.hx(states), "layers": layers}


def zeros(*shape: int, **keywords: Any) -> Tensor:
    return torch.zeros(shape, **({"dtype": torch.float64} | keywords))


REFUSED: dict[str, tuple[dict[str, Any], type[Exception], list[str]]] = {
    "truncate float": ({"truncate": 2.0}, TypeError, ["truncate", "int or None", "got float"]),
    "truncate True": ({"truncate": True}, TypeError, ["truncate", "int or None", "got bool"]),
    "truncate 0": ({"truncate": 0}, ValueError, ["truncate", "at least 1", "got 0"]),
    "no layers": ({"layers": []}, ValueError, ["layers", "at least one layer", "got []"]),
    "input 2D": ({"input": zeros(L, H_in)}, RuntimeError, ["input", "(L, N, H_in)", "got (5, 10)"]),
    "no steps": (
        {"input": zeros(0, N, H_in)},
        RuntimeError,
        ["input", "L at least 1", "got (0, 3, 10)"],
    ),
    "features": (
        {"input": zeros(L, N, 11)},
        RuntimeError,
        ["input", "10 features", "weight_ih", "got 11"],
    ),
    "another batch": (
        {"input": zeros(L, 4, H_in)},
        RuntimeError,
        ["STATE", "(4, 4, 20)", "got (4, 3, 20)"],
    ),
    "list": ({"input": [[1.0]]}, TypeError, ["input", "numpy.ndarray", "got list"]),
    "array": (
        {"input": np.zeros((L, N, H_in))},
        TypeError,
        ["STATE", "numpy.ndarray", "like input, got"],
    ),
    "float32": (
        {"input": zeros(L, N, H_in, dtype=torch.float32)},
        RuntimeError,
        ["STATE", "dtype of input, torch.float32", "got torch.float64"],
    ),
    "grad_output that broadcasts": (
        {"grad_output": zeros(L, 1, 40)},
        RuntimeError,
        ["grad_output", "(5, 3, 40)", "got (5, 1, 40)"],
    ),
    "grad_output of one direction": (
        {"grad_output": zeros(L, N, 20)},
        RuntimeError,
        ["grad_output", "(5, 3, 40)", "got (5, 3, 20)"],
    ),
    "grad_output of another dtype": (
        {"grad_output": zeros(L, N, 40, dtype=torch.float32)},
        RuntimeError,
        ["grad_output", "dtype of input, torch.float64", "got torch.float32"],
    ),
    "grad_h_n of one layer": (
        {"grad_h_n": zeros(2, N, 20)},
        RuntimeError,
        ["grad_h_n", "(4, 3, 20)", "got (2, 3, 20)"],
    ),
    "grad_h_n float32": (
        {"grad_h_n": zeros(4, N, 20, dtype=torch.float32)},
        RuntimeError,
        ["grad_h_n", "dtype of input, torch.float64", "got torch.float32"],
    ),
}


def refusal(kind: str, keywords: dict[str, Any], error: type[Exception], words: list[str]) -> None:
    """See a call refused by a message that begins with the first word, and has the others."""
    with pytest.raises(error) as caught:
        BACKWARD[kind](**(arguments_of(kind) | keywords))
    name = ("hx[0]" if kind == "LSTM" else "h_0") if words[0] == "STATE" else words[0]
    assert str(caught.value).startswith(f"{name} should ")
    for word in words[1:]:
        assert word in str(caught.value)


@pytest.mark.parametrize("case", REFUSED)
@every_kind
def test_refused(kind: str, case: str) -> None:
    refusal(kind, *REFUSED[case])


@pytest.mark.parametrize(
    ("kind", "keywords", "error", "words"),
    [
        ("RNN", {"nonlinearity": "gelu"}, ValueError, ["nonlinearity", "'relu'", "got 'gelu'"]),
        ("RNN", {"h_0": zeros(4, 1, 20)}, RuntimeError, ["h_0", "(4, 3, 20)", "got (4, 1, 20)"]),
        ("GRU", {"h_0": zeros(2, N, 20)}, RuntimeError, ["h_0", "(4, 3, 20)", "got (2, 3, 20)"]),
        ("LSTM", {"hx": zeros(4, N, 20)}, TypeError, ["hx", "tuple (h_0, c_0)", "got Tensor"]),
        ("LSTM", {"hx": (zeros(4, N, 20),)}, TypeError, ["hx", "got a tuple of 1"]),
        (
            "LSTM",
            {"hx": (zeros(4, N, 20), zeros(4, N, 21))},
            RuntimeError,
            ["hx[1]", "(4, 3, 20)", "got (4, 3, 21)"],
        ),
        (
            "LSTM",
            {"grad_c_n": zeros(4, N, 21)},
            RuntimeError,
            ["grad_c_n", "(4, 3, 20)", "got (4, 3, 21)"],
        ),
        ("LSTM", {"grad_c_n": np.zeros((4, 3, 20))}, TypeError, ["grad_c_n", "got ndarray"]),
    ],
)
def test_refused_of_one_kind(
    kind: str, keywords: dict[str, Any], error: type[Exception], words: list[str]
) -> None:
    refusal(kind, keywords, error, words)


WEIGHT = torch.zeros(20, 20, dtype=torch.float64)


@pytest.mark.parametrize(
    ("layers", "error", "message"),
    [
        (nn.RNN(H_in, H_out), TypeError, r"layers should be what weights_of.* got a RNN$"),
        (None, TypeError, "layers should be .* got a NoneType$"),
        ([3, []], TypeError, "layers should be .* got a list of int, list$"),
        ("ab", TypeError, r"layers\[0\]\[0\] should be Weights, got str"),
        ([Weights(WEIGHT, WEIGHT)], TypeError, r"layers\[0\]\[0\] should be Weights, got Tensor"),
        ([[(WEIGHT, WEIGHT)]], TypeError, r"layers\[0\]\[0\] should be Weights, got tuple"),
        ([[]], ValueError, r"layers should have .* 1 or 2 directions, .* got \[0\]"),
        ([[Weights(WEIGHT, WEIGHT)] * 3], ValueError, r"1 or 2 directions, .* got \[3\]"),
        (
            [[Weights(zeros(20, 10), None)]],  # type: ignore[type-var] # the mistake
            TypeError,
            r"layers\[0\]\[0\].weight_hh should be a torch.Tensor like input, got NoneType",
        ),
        (
            [[Weights(None, zeros(20, 20))]],  # type: ignore[type-var] # the mistake
            TypeError,
            r"layers\[0\]\[0\].weight_ih should be a torch.Tensor like input, got NoneType",
        ),
        (
            [[Weights(zeros(20, 10), zeros(20))]],
            RuntimeError,
            r"layers\[0\]\[0\].weight_hh should be 2D, got shape \(20,\)",
        ),
    ],
)
def test_what_are_no_layers(layers: Any, error: type[Exception], message: str) -> None:
    arguments = arguments_of("RNN") | {"layers": layers, "h_0": zeros(1, N, H_out)}
    with pytest.raises(error, match=message):
        rnn_backward(**arguments)


@pytest.mark.parametrize("other", KINDS)
@every_kind
def test_weights_of_another_kind_are_refused(kind: str, other: str) -> None:
    arguments = arguments_of(kind)
    layers = arguments_of(other)["layers"]
    if kind == other:
        BACKWARD[kind](**arguments | {"layers": layers})
        return
    rows = {"RNN": 20, "GRU": 60, "LSTM": 80}
    message = rf"weight_ih should have shape \({rows[kind]}, 10\), got \({rows[other]}, 10\)"
    with pytest.raises(RuntimeError, match=message):
        BACKWARD[kind](**arguments | {"layers": layers})


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        ((0, 1), {"weight_hh": zeros(20, 19)}, r"layers\[0\]\[1\].weight_hh .*20, 20.* got .*19"),
        (
            (1, 0),
            {"weight_ih": zeros(20, 20)},
            r"layers\[1\]\[0\].weight_ih .*20, 40.* got .*20",
        ),
        ((1, 1), {"bias_hh": zeros(1)}, r"layers\[1\]\[1\].bias_hh should have shape \(20,\), got"),
        ((1, 1), {"bias_ih": zeros(20, 1)}, r"layers\[1\]\[1\].bias_ih should have shape \(20,\)"),
        (
            (0, 0),
            {"weight_hr": zeros(7, 20)},
            r"layers\[0\]\[0\].weight_hr should be None, got \(7, 20\)$",
        ),
    ],
)
def test_one_parameter_of_another_shape(
    place: tuple[int, int], change: dict[str, Any], message: str
) -> None:
    arguments = arguments_of("RNN")
    layer, direction = place
    weights = arguments["layers"][layer]
    weights[direction] = weights[direction]._replace(**change)
    with pytest.raises(RuntimeError, match=message):
        rnn_backward(**arguments)


def test_a_projection_in_one_layer_alone() -> None:
    lstm = nn.LSTM(H_in, H_out, 2, proj_size=7, dtype=torch.float64)
    layers = weights_of(lstm)
    layers[1][0] = layers[1][0]._replace(weight_hr=None)
    hx = zeros(2, N, 7), zeros(2, N, H_out)
    message = r"layers\[1\]\[0\].weight_hr should be \(7, 20\), as in layer 0, got None"
    with pytest.raises(RuntimeError, match=message):
        lstm_backward(zeros(L, N, H_in), hx, layers)


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("h_0", None, TypeError, "h_0 should be a torch.Tensor like input, got NoneType"),
        ("input", None, TypeError, "input should be a numpy.ndarray .*, got NoneType"),
        (
            "input",
            zeros(L, N, H_in).to(torch.complex64),
            RuntimeError,
            "h_0 should have the dtype of input",
        ),
        ("input", zeros(L, N, H_in).long(), RuntimeError, "input should have a floating-point"),
        (
            "h_0",
            zeros(4, N, 20, device="meta"),
            RuntimeError,
            "h_0 .* device of input, cpu, got",
        ),
        ("nonlinearity", ["tanh"], ValueError, r"nonlinearity should be .*, got \['tanh'\]"),
    ],
)
def test_what_is_no_array_of_numbers(
    name: str, value: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        rnn_backward(**arguments_of("RNN") | {name: value})


def test_complex_numbers_are_refused() -> None:
    """Their derivatives are others."""
    rnn = nn.RNN(H_in, H_out, dtype=torch.complex128)
    x, h_0 = (zeros(*s).to(torch.complex128) for s in ((L, N, H_in), (1, N, H_out)))
    with pytest.raises(RuntimeError, match=r"input should have a real .*, got torch.complex128"):
        rnn_backward(x, h_0, weights_of(rnn))


@every_kind
def test_tensors_that_require_a_gradient_are_taken_as_numbers(kind: str) -> None:
    configuration = Configuration(kind=kind, num_layers=2, bidirectional=True)
    module = configuration.theirs()
    (x,), states = configuration.leaves()
    grads = [torch.randn_like(t) for t in tensors(module(x, configuration.hx(states))[1])]
    arguments: list[Any] = [x, states, [torch.ones(L, N, 40).double(), *grads]]

    def run(require: bool, layers: Any, hx_type: type = tuple) -> list[Tensor]:
        x, states, grads = (
            [t.clone().requires_grad_(require) for t in given]
            for given in ([arguments[0]], *arguments[1:])
        )
        hx = hx_type(states) if kind == "LSTM" else states[0]
        found = BACKWARD[kind](x[0], hx, layers, *grads)
        return [found.input, *found.hx, *of_layers(found.layers)]

    expected = run(False, weights_of(module, torch.Tensor.detach))
    for found in (run(True, weights_of(module)), run(True, weights_of(module), list)):
        assert not any(gradient.requires_grad for gradient in found)
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    assert all(parameter.grad is None for parameter in module.parameters())


@every_backend
@pytest.mark.parametrize("left_out", ["bias_ih", "bias_hh"])
@every_kind
def test_one_bias_alone_has_its_gradient(kind: str, left_out: str, backend: str) -> None:
    """As with two of which one is zero."""
    configuration, to = Configuration(kind=kind), BACKENDS[backend]
    (x,), states = configuration.leaves()
    hx: Any = tuple(map(to, states)) if kind == "LSTM" else to(states[0])
    layers = weights_of(configuration.theirs(), to)
    grad = to(torch.ones(L, N, H_out).double())
    (both,), (alone,) = layers[0], layers[0]
    both = both._replace(**{left_out: getattr(both, left_out) * 0})
    alone = alone._replace(**{left_out: None})
    ((expected,),) = BACKWARD[kind](to(x), hx, [[both]], grad).layers
    ((found,),) = BACKWARD[kind](to(x), hx, [[alone]], grad).layers
    for name, gradient in found._asdict().items():
        if name == left_out:
            assert gradient is None
        elif gradient is not None:
            np.testing.assert_allclose(gradient, getattr(expected, name), rtol=0, atol=1e-12)
    kept = "bias_hh" if left_out == "bias_ih" else "bias_ih"
    assert np.asarray(getattr(found, kept)).any()


# Where numbers are not finite


def rows_of(output: Any) -> Tensor:
    return output.data if isinstance(output, PackedSequence) else output


TRIALS = max(30, FEWER.max_examples)  # 30 make every choice with every other


def kinds_of_numbers(a: Any) -> Any:
    """0 where there is a number, 1 for an infinite one, 2 for NaN."""
    a = np.asarray(a)
    return np.where(np.isnan(a), 2, np.where(np.isinf(a), 1, 0))


@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore:(invalid|overflow|divide).* encountered:RuntimeWarning")
@pytest.mark.parametrize("layout", ["batched", "packed"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@every_kind
def test_nan_and_infinity_stand_where_autograd_has_them(
    kind: str, nonlinearity: str, layout: str
) -> None:
    """One number of an input, a weight or a gradient is none; what is finite is the same."""
    if kind != "RNN" and nonlinearity == "relu":
        return
    generator, wrong, spread = np.random.default_rng(3), 0, 0
    for trial in range(TRIALS):
        configuration = Configuration(
            kind=kind, nonlinearity=nonlinearity, num_layers=1 + trial % 2, hidden_size=4,
            bidirectional=trial % 3 == 0, input_size=2, layout=layout, lengths=(5, 3, 1),
            seed=trial,
        )  # fmt: skip # as wide as the page
        module, (inputs, states) = configuration.theirs(), configuration.leaves()
        ours = getattr(unrolled, kind)
        fast = configuration.module(ours, fast=True)
        hx, x = configuration.hx(states), configuration.input(inputs)
        output, last = module(x, hx)
        given = [torch.randn_like(t) for t in (rows_of(output), *tensors(last))]
        places = [inputs[0], *states, *module.parameters(), *given, given[0]]
        with torch.no_grad():
            place = places[generator.integers(len(places))].view(-1)
            index = int(generator.integers(len(place)))
            place[index] = (math.nan, math.inf, -math.inf)[trial % 3]
            given[0][0] = 0.0 if trial % 5 == 0 else given[0][0]
        fast.load_state_dict(module.state_dict())
        found: list[Any] = []
        for network in (module, fast):
            leaves = [t.clone().requires_grad_() for t in (*inputs, *states)]
            split = len(inputs)
            output, last = network(configuration.input(leaves[:split]),
                                   configuration.hx(leaves[split:]))  # fmt: skip # the same
            results = [rows_of(output), *tensors(last)]
            found.append(torch.autograd.grad(results, [*leaves, *network.parameters()], given))
        if layout == "batched":
            keywords = {"nonlinearity": nonlinearity} if kind == "RNN" else {}
            for to in BACKENDS.values():
                hx = tuple(map(to, states)) if kind == "LSTM" else to(states[0])
                back = BACKWARD[kind](
                    to(inputs[0]), hx, weights_of(module, to), *map(to, given), **keywords
                )
                found.append([back.input, *back.hx, *of_layers(back.layers)])
        for gradients in found[1:]:
            for mine, theirs in zip(gradients, found[0], strict=True):
                a, b = kinds_of_numbers(mine), kinds_of_numbers(theirs)
                if kind == "GRU":  # dh (1 - z), where autograd has dh - dh z
                    b = np.where((a == 1) & (b == 2), 1, b)
                wrong += int((a != b).sum())
                spread += int((b > 0).sum())
                numbers = (a == 0) & (b == 0)
                np.testing.assert_allclose(
                    np.asarray(mine)[numbers], np.asarray(theirs)[numbers], rtol=1e-9, atol=1e-9
                )
    assert wrong == 0
    assert spread > 7 * TRIALS


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@every_backend
def test_relu_stops_an_infinite_gradient(backend: str) -> None:
    """And passes it where the state is positive or NaN, as PyTorch does."""
    to = BACKENDS[backend]
    bias = to(torch.tensor([-1.0, 2.0, math.nan], dtype=torch.float64))
    zero = to(zeros(3, 3))
    weights = Weights(zero, zero, bias, zero[0])
    grad = to(torch.full((1, 1, 3), -math.inf, dtype=torch.float64))
    found = rnn_backward(to(zeros(1, 1, 3)), to(zeros(1, 1, 3)), [[weights]], grad,
                         nonlinearity="relu")  # fmt: skip # the same
    assert np.asarray(found.layers[0][0].bias_hh).tolist() == [0.0, -math.inf, -math.inf]


def test_layers_of_other_directions_are_refused() -> None:
    arguments = arguments_of("RNN")
    arguments["layers"][1].pop()
    with pytest.raises(ValueError, match=r"each of as many directions, got \[2, 1\]"):
        rnn_backward(**arguments)


def test_layers_in_another_order_are_refused() -> None:
    arguments = arguments_of("GRU")
    arguments["layers"].reverse()
    with pytest.raises(RuntimeError, match=r"input should have 40 features.* weight_ih, got 10"):
        gru_backward(**arguments)


def test_projection_narrows_h_0_alone() -> None:
    lstm = nn.LSTM(H_in, H_out, proj_size=7, dtype=torch.float64)
    layers = weights_of(lstm, torch.Tensor.detach)
    x, h_0, c_0 = zeros(L, N, H_in), zeros(1, N, 7), zeros(1, N, H_out)
    with pytest.raises(RuntimeError, match=r"hx\[0\] should have shape \(1, 3, 7\), got"):
        lstm_backward(x, (c_0, c_0), layers)
    with pytest.raises(RuntimeError, match=r"hx\[1\] should have shape \(1, 3, 20\), got"):
        lstm_backward(x, (h_0, h_0), layers)


@every_backend
@every_kind
def test_results_share_no_memory(kind: str, backend: str) -> None:
    """Nor with the arguments: what is returned may be written to."""
    configuration = Configuration(kind=kind, num_layers=2, bidirectional=True)
    to = BACKENDS[backend]
    (x,), states = configuration.leaves()
    hx: Any = tuple(map(to, states)) if kind == "LSTM" else to(states[0])
    layers, grad = weights_of(configuration.theirs(), to), to(torch.ones(L, N, 40).double())
    found = BACKWARD[kind](to(x), hx, layers, grad)
    given = [x, *(hx if kind == "LSTM" else [hx]), grad, *of_layers(layers)]
    results = [np.asarray(a) for a in (found.input, *found.hx, *of_layers(found.layers))]
    for number, a in enumerate(results):
        others = [*results[:number], *(np.asarray(b) for b in given)]
        assert not any(np.shares_memory(a, b) for b in others)


def of_layers(layers: list[list[Weights[Any]]]) -> list[Any]:
    return [w for layer in layers for weights in layer for w in weights if w is not None]

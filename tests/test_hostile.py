"""Arguments that nobody means: each is taken, or refused in a line that names it."""

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

import unrolled
from unrolled import Order
from unrolled.layers import weights_of

pytestmark = pytest.mark.no_cover
N, L, H_in, H_out = 3, 5, 10, 20


class Call(NamedTuple):
    """A call that is right, of which one argument after the other is made wrong."""

    function: Callable[..., Any]
    arguments: dict[str, Any]


def zeros(*shape: int) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def keep(x: Any, state: Any, *_: Any) -> Any:
    """A step that takes everything: what it gets is the business of whoever wrote it."""
    return state


def cell(rows: int) -> dict[str, Any]:
    weights = {"weight_ih": zeros(rows, H_in), "weight_hh": zeros(rows, H_out)}
    return weights | {"bias_ih": zeros(rows), "bias_hh": zeros(rows)}


def backward(kind: str) -> dict[str, Any]:
    layers = weights_of(getattr(nn, kind)(H_in, H_out, dtype=torch.float64))
    state, grads = zeros(1, N, H_out), {"grad_output": zeros(L, N, H_out)}
    states = {"hx": (state, state)} if kind == "LSTM" else {"h_0": state}
    grads |= {"grad_h_n": state} | ({"grad_c_n": state} if kind == "LSTM" else {})
    return {"input": zeros(L, N, H_in), **states, "layers": layers, **grads, "truncate": None}


SIZES: dict[str, Any] = {"mode": "LSTM", "input_size": H_in, "hidden_size": H_out, "num_layers": 2,
                         "bias": True, "bidirectional": True, "proj_size": 7}  # fmt: skip # a table
STATE = (zeros(N, H_out), zeros(N, H_out))
PACKED = {"inputs": zeros(6, H_out), "state": zeros(N, H_out), "order": Order(sizes=[3, 2, 1])}
CALLS: dict[str, Call] = {
    "parameter_shapes": Call(unrolled.parameter_shapes, SIZES),
    "parameter_count": Call(unrolled.parameter_count, SIZES),
    "uniform_bound": Call(unrolled.uniform_bound, {"hidden_size": H_out}),
    "uniform_parameters": Call(unrolled.uniform_parameters, SIZES | {"seed": 3}),
    "sigmoid": Call(unrolled.sigmoid, {"a": zeros(N, H_out)}),
    "linear": Call(
        unrolled.linear,
        {"x": np.zeros((N, H_in)), "weight": np.zeros((H_out, H_in)), "bias": np.zeros(H_out)},
    ),
    "rnn_cell": Call(
        unrolled.rnn_cell,
        {"x": zeros(N, H_in), "h": zeros(N, H_out), **cell(H_out), "nonlinearity": "tanh"},
    ),
    "gru_cell": Call(
        unrolled.gru_cell, {"x": zeros(N, H_in), "h": zeros(N, H_out), **cell(3 * H_out)}
    ),
    "lstm_cell": Call(
        unrolled.lstm_cell,
        {"x": zeros(N, H_in), "state": STATE, **cell(4 * H_out), "weight_hr": zeros(H_out, H_out)},
    ),
    "scan": Call(
        unrolled.scan,
        {"step": keep, "inputs": zeros(L, N, H_out), "state": zeros(N, H_out),
         "order": Order(), "parameters": ()},
    ),
    "scan, packed": Call(unrolled.scan, {"step": keep, **PACKED}),
    "rnn_backward": Call(unrolled.rnn_backward, backward("RNN") | {"nonlinearity": "tanh"}),
    "gru_backward": Call(unrolled.gru_backward, backward("GRU")),
    "lstm_backward": Call(unrolled.lstm_backward, backward("LSTM")),
    "from_torch": Call(unrolled.from_torch, {"model": nn.GRU(H_in, H_out), "fast": True}),
    "to_torch": Call(unrolled.to_torch, {"model": unrolled.GRU(H_in, H_out)}),
    "summary": Call(unrolled.summary, {"module": nn.GRU(H_in, H_out)}),
    "trace": Call(
        unrolled.trace,
        {"module": nn.GRU(H_in, H_out).double(), "input": zeros(L, N, H_in),
         "hx": zeros(1, N, H_out)},
    ),
    "trace of an LSTM": Call(
        unrolled.trace,
        {"module": nn.LSTM(H_in, H_out).double(), "input": zeros(L, N, H_in),
         "hx": (zeros(1, N, H_out), zeros(1, N, H_out))},
    ),
}  # fmt: skip # a table
STEPS_AND_OTHERS = {
    *("rnn_step", "gru_step", "lstm_step"),  # the formula and nothing else: the loop checks
    *("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell", "diagnose"),  # have tests like these
    *("MISTAKES", "Order", "Diagnosis", "Explanation", "Mistake", "Recipe"),  # data
    *("Record", "Summary", "Trace"),
}


class Odd:
    """An object of no use."""


def hostile(good: Any) -> Iterator[Any]:
    """Give values for an argument: some for each, some made from the one that is right."""
    yield from (None, "a", "", b"a", 1, -1, 0, 2.5, True, float("nan"), float("inf"), 1j)
    yield from ([], [1.0], [None], (), {}, {"a": 1}, object(), Odd, len, nn.Linear(2, 3))
    yield from (nn.Sequential(nn.ReLU()), np.float64(2.0), np.int64(-3), np.array("a"))
    for shape in ((), (0,), (2,), (2, 3), (1, 1), (L, N, H_in), (1, 2, 3, 4)):
        yield from (torch.zeros(shape), np.zeros(shape), torch.zeros(shape, device="meta"))
    yield from (np.array([None, 1]), np.array([[1, 2]], dtype=object), [[1.0], [2.0]])
    for sizes in ([], [1, 2], [2, 0], 3, [-1, -5], [3, 2, 2], ["a"], [9], None):
        yield Order(sizes=sizes)  # type: ignore[arg-type] # the mistakes
    if isinstance(good, torch.Tensor):
        yield from (
            good.tolist(),
            good.detach().numpy(),
            good[None],
            good[..., None],
            good[:1],
            good[..., 1:],
        )
        yield from (good.float(), good.half(), good.long(), good.bool(), good.to(torch.complex128))
        yield from (good.to("meta"), good.expand(2, *good.shape), good[..., :0], good[:0])
        yield from (
            (good,),
            [good],
            [good, good],
            (good, good, good),
            good.detach().numpy().astype(object),
        )
    elif isinstance(good, np.ndarray):
        yield from (good.tolist(), torch.from_numpy(good), good[None], good[:1], good[..., 1:])
        yield from (good.astype(object), good.astype(str), good.astype("M8[s]"), good[..., :0])
    elif type(good) is tuple and good:
        for place in range(len(good)):
            for value in hostile(good[place]):
                yield (*good[:place], value, *good[place + 1 :])
    elif isinstance(good, list):
        for field in good[0][0]._fields:
            for value in (*hostile(getattr(good[0][0], field)), zeros(H_out, H_out)):
                yield [[good[0][0]._replace(**{field: value})]]
        yield from (
            good[0],
            good[0] * 2,
            [good[0] * 2],
            [good[0], []],
            [[None]],
            good * 2,
            {0: good},
        )


def exceptions() -> Iterator[tuple[str, str, Any, Exception | None]]:
    for name, (function, arguments) in CALLS.items():
        function(**arguments)  # is right
        for argument, good in arguments.items():
            for value in hostile(good):
                if argument == "step" and callable(value):
                    continue  # it may raise what it likes
                try:
                    function(**arguments | {argument: value})
                except Exception as error:  # whatever it is, it is looked at
                    yield name, argument, value, error
                else:
                    yield name, argument, value, None


def test_every_function_is_tried() -> None:
    assert {name.partition(",")[0].partition(" ")[0] for name in CALLS} == {
        *set(unrolled.__all__) - STEPS_AND_OTHERS
    }


@pytest.mark.filterwarnings("ignore")
def test_what_nobody_means_is_refused_by_its_name() -> None:
    wrong: list[str] = []
    count = refused = 0
    for name, argument, value, error in exceptions():
        count += 1
        if error is None:
            continue
        refused += 1
        function = CALLS[name].function
        words = set(re.findall(r"\w+", str(error)))
        named = words & {*inspect.signature(function).parameters}
        kinds = (TypeError, ValueError, RuntimeError, AttributeError)
        known = isinstance(error, kinds) or type(error) is IndexError  # where torch.nn raises it
        if not known or not named or not re.search(" (should|must|has to|is only) ", str(error)):
            shown = re.sub(r"\s+", " ", repr(value))[:60]
            wrong.append(f"{name}({argument}={shown}): {type(error).__name__}: {error}")
    assert wrong == []
    assert count == 7488
    assert refused > 6800

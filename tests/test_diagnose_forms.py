"""What `unrolled.diagnose` takes: forms of candidates and of references, and hostile ones."""

import operator
import re
import types
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere
from torch.nn.utils import parametrizations, prune

import unrolled
from unrolled._diagnose import Diagnosis, diagnose

Candidate: TypeAlias = Callable[..., Any]

H_IN, H = 10, 20
torch.manual_seed(0)
RNN, GRU, LSTM = nn.RNN(H_IN, H), nn.GRU(H_IN, H), nn.LSTM(H_IN, H)
RNN_CELL, GRU_CELL, LSTM_CELL = nn.RNNCell(H_IN, H), nn.GRUCell(H_IN, H), nn.LSTMCell(H_IN, H)
TWO_GRUS, TWO_LSTMS, THREE_LSTMS = nn.GRU(H_IN, H, 2), nn.LSTM(H_IN, H, 2), nn.LSTM(H_IN, H, 3)
RNN64 = nn.RNN(H_IN, H, dtype=torch.float64)
RELU = nn.RNN(H_IN, H, nonlinearity="relu", dtype=torch.float64)
LSTM64 = nn.LSTM(H_IN, H, dtype=torch.float64)
BATCH_FIRST = nn.RNN(H_IN, H, batch_first=True)
BY_NAME = {
    "weight_ih_l0": "i2h.weight", "weight_hh_l0": "h2h.weight",
    "bias_ih_l0": "i2h.bias", "bias_hh_l0": "h2h.bias",
}  # fmt: skip # pairs


def loop(
    rnn: Any,
    *,
    activation: Callable[[Tensor], Tensor] = torch.tanh,
    weight: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    state: Callable[[Tensor], Tensor] = lambda tensor: tensor,
    x_as: Callable[[Tensor], Tensor] = lambda tensor: tensor,
) -> Candidate:
    """Write an RNN by hand, with something done to its parts."""

    def forward(x: Tensor, hx: Tensor) -> tuple[Tensor, Tensor]:
        W, U, b, c = rnn.parameters()
        h, states = hx[0], []
        for x_t in x_as(x):
            h = activation(x_t @ W.T + b + state(h) @ weight(U).T + c)
            states.append(h)
        return torch.stack(states), h[None]

    return forward


def lstm_loop(lstm: Any, clipped: Callable[[Tensor], Tensor]) -> Candidate:
    """Write an LSTM by hand, with something done to its cell state."""

    def forward(x: Tensor, hx: Any = None) -> Any:
        W, U, b, b_h = lstm.parameters()
        zeros = W.new_zeros(x.shape[1], H)
        h, c = (zeros, zeros) if hx is None else (hx[0][0], hx[1][0])
        states = []
        for x_t in x:
            i, f, g, o = (x_t @ W.T + b + h @ U.T + b_h).chunk(4, 1)
            c = clipped(torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g))
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        return torch.stack(states), (h[None], c[None])

    return forward


# How it is called. Each is right, and the report says what is unusual.


def numpy_rnn(x: Any, h: Any) -> Any:
    W, U, b, c = (parameter.detach().numpy() for parameter in RNN.parameters())
    h, states = h[0], []
    for x_t in x:
        h = np.tanh(x_t.dot(W.T) + b + h.dot(U.T) + c)
        states.append(h)
    return np.stack(states), h[None]


def unbatched(rnn: Any, x: Tensor, h: Tensor) -> Any:
    W, U, b, c = rnn.parameters()
    h, states = h[0], []
    for x_t in x:
        h = torch.tanh(W.mv(x_t) + b + U.mv(h) + c)
        states.append(h)
    return torch.stack(states), h


def without_layers(x: Tensor, h: Tensor) -> Any:
    W, U, b, c = RNN.parameters()
    states = []
    for x_t in x:
        h = torch.tanh(x_t @ W.T + b + torch.mm(h, U.T) + c)
        states.append(h)
    return torch.stack(states)


def flax_lstm(carry: Any, x: Tensor) -> Any:
    h, c = LSTM_CELL(x, carry)
    return (h, c), h


class Wrapped(nn.Module):
    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor, h: Tensor) -> Any:
        return self.rnn(x, h)


def scripted() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated, and still used
        return torch.jit.script(Wrapped(RNN))


CALLED: dict[str, tuple[Candidate, nn.Module, str]] = {
    "NumPy": (numpy_rnn, RNN, "given NumPy arrays"),
    "state first": (lambda state, x: GRU_CELL(x, state), GRU_CELL, "candidate(hx, x)"),
    "state first, of a module": (lambda h_0, inputs: GRU(inputs, h_0), GRU, "candidate(hx, x)"),
    "no names": (lambda a, b: GRU_CELL(b, a), GRU_CELL, "candidate(hx, x)"),
    "initial_state=": (lambda x, *, initial_state=None: RNN(x, initial_state), RNN,
                       "candidate(x, initial_state=hx)"),
    "another default before": (lambda x, mask=None, h0=None: RNN(x, h0), RNN, "(x, h0=hx)"),
    "h0 and c0": (lambda x, h0=None, c0=None: LSTM(x, (h0, c0)), LSTM, "(x, h0=h, c0=c)"),
    "h, and c=": (lambda x, h, c=None: LSTM(x, (h, c)), LSTM, "candidate(x, h, c=c)"),
    "x, h, c": (lambda x, h, c: LSTM_CELL(x, (h, c)), LSTM_CELL, "candidate(x, h, c)"),
    "h, c, x": (lambda h, c, x: LSTM_CELL(x, (h, c)), LSTM_CELL, "candidate(h, c, x)"),
    "x, c, h": (lambda x, c_prev, h_prev: LSTM_CELL(x, (h_prev, c_prev)), LSTM_CELL, "(x, c, h)"),
    "three without names": (lambda p, q, r: LSTM_CELL(p, (q, r)), LSTM_CELL, "(x, h, c)"),
    "the rest": (lambda x, *states: LSTM(x, states), LSTM, "candidate(x, h, c)"),
    "a partial by keyword": (partial(lambda rnn, x, hx: rnn(x, hx), rnn=RNN), RNN, "(x=x, hx=hx)"),
    "a tuple by a keyword": (lambda x, *, hc: LSTM(x, hc), LSTM, "candidate(x, hc=hx)"),
    "unbatched": (partial(unbatched, RNN), RNN, "one sequence at a time"),
    "unbatched, batch_first": (partial(unbatched, BATCH_FIRST), BATCH_FIRST, "one sequence at"),
    "unbatched cell": (lambda x, h: torch.tanh(
        RNN_CELL.weight_ih.mv(x) + RNN_CELL.bias_ih + RNN_CELL.weight_hh.mv(h) + RNN_CELL.bias_hh
    ), RNN_CELL, "one sequence at a time"),
    "a state (N, H)": (without_layers, RNN, "without the first dimension, for the layer"),
    "weights as a default": (lambda x, W=RNN.weight_ih_l0: RNN(x)[0], RNN,
                             "Left at its default: W."),
    "a size as a default": (lambda x, hidden_size=H: RNN(x)[0], RNN, "default: hidden_size."),
    "a number called c": (lambda x, c=5: LSTM(x)[0], LSTM, "default: c."),
}  # fmt: skip # a table


@pytest.mark.parametrize("name", CALLED)
def test_how_it_is_called(name: str) -> None:
    candidate, reference, note = CALLED[name]
    diagnosis = diagnose(candidate, reference)  # type: ignore[arg-type] # one of them
    assert diagnosis.verdict == "equal"
    assert any(note in one for one in diagnosis.notes)


USUAL: dict[str, tuple[Candidate, nn.Module]] = {
    "(x, hx=None)": (lambda x, hx=None: RNN(x, hx), RNN),
    "a bound method": (RNN.forward, RNN),
    "all with defaults": (lambda x=None, hx=None: RNN(x, hx), RNN),
    "*args": (lambda *args: LSTM(*args), LSTM),
    "a step of *args": (lambda x, *args: RNN_CELL(x, *args), RNN_CELL),
    "scripted": (scripted(), RNN),
}


@pytest.mark.parametrize("name", USUAL)
def test_what_is_usual_is_not_worth_a_note(name: str) -> None:
    candidate, reference = USUAL[name]
    diagnosis = diagnose(candidate, reference)  # type: ignore[arg-type] # one of them
    assert diagnosis.verdict == "equal"
    (note,) = diagnosis.notes
    assert note.startswith("The largest numbers tried: ")


def test_a_scripted_module_that_shows_no_forward() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated, and still used
        candidate = torch.jit.script(RNN)
    with pytest.raises(RuntimeError, match="candidate raised"):
        diagnose(candidate, RNN)  # it cannot be called from Python


def test_a_state_is_not_left_out_in_silence() -> None:
    diagnosis = diagnose(lambda x, before=None: RNN(x, before), RNN)
    assert (diagnosis.verdict, diagnosis.notes[0]) == (
        "equal",
        "Left at its default: before. A state is known by a name such as hx, h or state.",
    )


# What it returns.


@dataclass
class Output:
    last_hidden_state: Any
    attentions: Any = None


class Named(NamedTuple):
    out: Any
    state: Any


class State(NamedTuple):
    h: Any
    c: Any


def of_lstm(make: Callable[[Tensor, Any], Any], lstm: Any = LSTM) -> Candidate:
    return lambda x, hx: make(*lstm(x, hx))


def of_rnn(make: Callable[[Tensor, Tensor], Any], rnn: Any = RNN) -> Candidate:
    return lambda x, hx: make(*rnn(x, hx))


def of_lstm_cell(make: Callable[[Tensor, Tensor], Any]) -> Candidate:
    return lambda x, hx: make(*LSTM_CELL(x, hx))


RETURNED: dict[str, tuple[Candidate, nn.Module, tuple[str, ...], str]] = {
    "arrays": (of_rnn(lambda o, h: (o.detach().numpy(), h.detach().numpy())), RNN,
               ("output", "h_n"), ""),
    "a dict": (of_rnn(lambda o, h: {"output": o, "h_n": h}), RNN, ("output", "h_n"), ""),
    "a dict with more": (of_rnn(lambda o, h: {"Outputs": o, "hidden": h, "mask": 3}), RNN,
                         ("output", "h_n"), "these were not compared: mask."),
    "a dict of an LSTM": (of_lstm(lambda o, s: {"output": o, "h_n": s[0], "c_n": s[1]}), LSTM,
                          ("output", "h_n", "c_n"), ""),
    "a dict with a pair": (of_lstm(lambda o, s: {"output": o, "state": s}), LSTM,
                           ("output", "h_n", "c_n"), ""),
    "a dict of states": (of_lstm(lambda o, s: {"h_n": s[0], "c_n": s[1]}), LSTM,
                         ("h_n", "c_n"), ""),
    "an object": (of_rnn(lambda o, h: types.SimpleNamespace(output=o, hidden_states=None)), RNN,
                  ("output",), "not compared: hidden_states."),
    "a dataclass": (of_rnn(lambda o, h: Output(o)), RNN, ("output",), "compared: attentions."),
    "a named tuple": (of_rnn(Named), RNN, ("output", "h_n"), ""),
    "a named tuple of an LSTM": (of_lstm(Named), LSTM, ("output", "h_n", "c_n"), ""),
    "as in Keras": (of_lstm(lambda o, s: (o, *s)), LSTM, ("output", "h_n", "c_n"), ""),
    "as in Keras, a list": (of_lstm(lambda o, s: [o, [*s]]), LSTM, ("output", "h_n", "c_n"), ""),
    "one layer in a list": (of_rnn(lambda o, h: (o, [h])), RNN, ("output", "h_n"), ""),
    "a pair for one layer": (of_lstm(lambda o, s: (o, [(s[0][0], s[1][0])])), LSTM,
                             ("output", "h_n", "c_n"), ""),
    "a list of layers": (of_rnn(lambda o, h: (o, [*h]), TWO_GRUS), TWO_GRUS,
                         ("output", "h_n"), ""),
    "pairs of layers": (of_lstm(lambda o, s: (o, [*zip(*s, strict=True)]), THREE_LSTMS),
                        THREE_LSTMS, ("output", "h_n", "c_n"), ""),
    "lists of layers": (of_lstm(lambda o, s: (o, ([*s[0]], [*s[1]])), THREE_LSTMS),
                        THREE_LSTMS, ("output", "h_n", "c_n"), ""),
    "time steps": (of_rnn(lambda o, h: [*o]), RNN, ("output",), "a list of its time steps"),
    "time steps and a state": (of_rnn(lambda o, h: (tuple(o), h[0])), RNN, ("output", "h_n"),
                               "a list of its time steps"),
    "time steps, batch_first": (of_rnn(lambda o, h: ([*o.unbind(1)], h), BATCH_FIRST),
                                BATCH_FIRST, ("output", "h_n"), "a list of its time steps"),
    "the state first": (of_rnn(lambda o, h: (h, o)), RNN, ("output", "h_n"), "final state first"),
    "the states first": (of_lstm(lambda o, s: (s, o)), LSTM, ("output", "h_n", "c_n"),
                         "final state first"),
    "h_n alone": (of_rnn(lambda o, h: h), RNN, ("h_n",), "h_n alone"),
    "h alone, (N, H)": (of_lstm(lambda o, s: s[0][0]), LSTM, ("h_n",), "h_n alone"),
    "complex without an imaginary part": (of_rnn(lambda o, h: o.to(torch.complex128)), RNN,
                                          ("output",), "complex, with imaginary parts of 0."),
    "needs a gradient": (of_rnn(lambda o, h: o * torch.ones(1, requires_grad=True)), RNN,
                         ("output",), ""),
    "a cell's (h,)": (lambda x, h: (GRU_CELL(x, h),), GRU_CELL, ("h",), ""),
    "a cell's (h, [h])": (lambda x, h: (GRU_CELL(x, h), [GRU_CELL(x, h)]), GRU_CELL, ("h",),
                          "h twice"),
    "a cell's (h, h)": (lambda h, x: (GRU_CELL(x, h),) * 2, GRU_CELL, ("h",), "h twice"),
    "a cell's [h, c]": (of_lstm_cell(lambda h, c: [h, c]), LSTM_CELL, ("h", "c"), ""),
    "a cell's names": (of_lstm_cell(State), LSTM_CELL, ("h", "c"), ""),
    "a cell's (h, [h, c])": (of_lstm_cell(lambda h, c: (h, [h, c])), LSTM_CELL, ("h", "c"),
                             "h twice"),
    "a cell's (h, h, c)": (of_lstm_cell(lambda h, c: (h, h, c)), LSTM_CELL, ("h", "c"), "h twice"),
    "a cell's ((h, c), h)": (flax_lstm, LSTM_CELL, ("h", "c"), "h twice"),
    "a cell's ((c, h), h)": (of_lstm_cell(lambda h, c: ((c, h), h)), LSTM_CELL, ("h", "c"),
                             "read as (c, h)"),
}  # fmt: skip # a table


@pytest.mark.parametrize("name", RETURNED)
def test_what_it_returns(name: str) -> None:
    candidate, reference, compared, note = RETURNED[name]
    diagnosis = diagnose(candidate, reference)  # type: ignore[arg-type] # one of them
    assert diagnosis.verdict == "equal"
    assert sorted(diagnosis.compared) == sorted(compared)
    assert any(note in one for one in diagnosis.notes)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("wrong", "factor", "number", "named"),
    [("h", 1, 0.5, "new h plus 0.5"), ("c", 0, 0, "c: zeros")],
)
def test_names_are_read_as_carefully_as_places(
    wrong: str, factor: int, number: float, named: str
) -> None:
    """A wrong part under each name is found, and alone."""

    def forward(x: Tensor, hx: Any) -> dict[str, Tensor]:
        parts = dict(zip("hc", LSTM_CELL(x, hx), strict=True))
        parts[wrong] = factor * parts[wrong] + number
        return parts

    diagnosis = diagnose(forward, LSTM_CELL)
    assert diagnosis.names == (named,)
    for name, clue in zip("hc", diagnosis.clues, strict=False):
        says = "off by up to " if name == wrong else "right."
        assert clue.startswith(f"{name} is {says}")


def test_the_same_memory_twice() -> None:
    """What the next call overwrites was copied before."""
    kept: dict[tuple[int, ...], Tensor] = {}

    def memory(output: Tensor) -> Tensor:
        there = kept.setdefault(tuple(output.shape), torch.empty_like(output))
        return there.copy_(output)

    assert diagnose(lambda x, hx: memory(RNN64(x, hx)[0]), RNN64).verdict == "equal"
    assert diagnose(lambda x, hx: memory(RNN64(x, hx)[0].flip(0)), RNN64).names == (
        "output in reverse order",
    )


# What is refused, or found out.


def raising(error: BaseException) -> Any:
    raise error


def steps(x: Tensor, hx: Tensor) -> Any:
    yield from RNN(x, hx)[0]


async def later(x: Tensor, hx: Tensor) -> Any:
    return RNN(x, hx)


KERAS = r"candidate should return a Tensor, output, or a tuple \(output, h_n\), got "
SOMETIMES = iter([0.0, 0.0, 0.0, 1.0] * 99)
REFUSED: dict[str, tuple[type[Exception], str, Candidate, nn.Module]] = {
    "a class": (TypeError, r"got the class RNN; give an instance, RNN\(\.\.\.\)", nn.RNN, RNN),
    "a string": (TypeError, KERAS + r"str; wrap it: def wrapped\(x, hx\): \.\.\.; return output, "
                 "h_n$", lambda x, h: "output", RNN),
    "an integer": (TypeError, KERAS + "int;", lambda x, h: 3, RNN),
    "a generator": (TypeError, KERAS + "generator;", steps, RNN),
    "a coroutine": (TypeError, KERAS + "coroutine;", later, RNN),
    "nested lists": (TypeError, KERAS + r"list of list of 3, list of 3, list of 3, list of 3, "
                     r"\.\.\. \(5 in all\);", lambda x, h: RNN(x, h)[0].tolist(), RNN),
    "packed": (TypeError, KERAS + "PackedSequence of Tensor, Tensor, NoneType, NoneType;",
               lambda x, h: nn.utils.rnn.pack_sequence([*x.unbind(1)]), RNN),
    "nothing under a name": (TypeError, KERAS + "dict with nothing;", lambda x, h: {}, RNN),
    "unknown names": (TypeError, KERAS + "dict with 'a', 'b';", lambda x, h: {"a": x, "b": h}, RNN),
    "two names for one": (TypeError, "more than one of them may be output",
                          lambda x, h: {"output": x, "out": x}, RNN),
    "a dict without c": (TypeError, "dict with 'output', 'h_n';",
                         of_lstm(lambda o, s: {"output": o, "h_n": s[0]}), LSTM),
    "a dict with c": (TypeError, "dict with 'output', 'h_n', 'c_n';",
                      of_rnn(lambda o, h: {"output": o, "h_n": h, "c_n": h}), RNN),
    "a dict with c alone": (TypeError, "dict with 'c_n';", lambda x, h: {"c_n": x}, LSTM),
    "a cell's dict of output": (TypeError, "h as a Tensor, got dict with 'output'",
                                lambda x, h: {"output": x}, RNN_CELL),
    "a cell's two tensors": (TypeError, r"h as a Tensor, got tuple of Tensor, Tensor; wrap it: def "
                             r"wrapped\(x_t, state\)", lambda x, h: (2 * h, h), RNN_CELL),
    "a cell's output and states": (TypeError, "got tuple of Tensor, list of Tensor, Tensor;",
                                   of_lstm_cell(lambda h, c: (2 * h, [h, c])), LSTM_CELL),
    "a cell's output and one state": (TypeError, "got tuple of Tensor, list of Tensor;",
                                      of_lstm_cell(lambda h, c: (h, [h])), LSTM_CELL),
    "a cell's three": (TypeError, r"\(h, c\) as a tuple, got tuple of Tensor, Tensor, Tensor;",
                       of_lstm_cell(lambda h, c: (2 * h, h, c)), LSTM_CELL),
    "an object of something else": (TypeError, KERAS + "SimpleNamespace;",
                                    lambda x, h: types.SimpleNamespace(loss=x), RNN),
    "no output": (TypeError, "got tuple of NoneType, Tensor;", of_rnn(lambda o, h: (None, h)), RNN),
    "no state": (TypeError, "got tuple of Tensor, NoneType;", of_rnn(lambda o, h: (o, None)), RNN),
    "states of nothing": (TypeError, "got tuple of Tensor, tuple of NoneType, NoneType;",
                          of_lstm(lambda o, s: (o, (None, None))), LSTM),
    "layers of pairs, or pairs of layers": (
        TypeError, r"\(h, c\) of each layer or h_n and c_n\? torch.stack them",
        of_lstm(lambda o, s: (o, [*zip(*s, strict=True)]), TWO_LSTMS), TWO_LSTMS),
    "float16": (TypeError, "got torch.float16 as output, whose rounding is as large as",
                of_rnn(lambda o, h: o.half()), RNN),
    "bfloat16 as a state": (TypeError, "got torch.bfloat16 as h_n, whose",
                            of_rnn(lambda o, h: (o, h.bfloat16())), RNN),
    "integers": (TypeError, "return float32 or float64, got torch.int64 as output$",
                 of_rnn(lambda o, h: o.long()), RNN),
    "an array of objects": (TypeError, "return float32 or float64, got object as output$",
                            lambda x, h: np.array([None]), RNN),
    "meta": (TypeError, "candidate should return tensors with numbers, got one on the meta device",
             of_rnn(lambda o, h: o.to("meta")), RNN),
    "sparse": (TypeError, "candidate should return dense tensors, .*layout torch.sparse_coo as out",
               of_rnn(lambda o, h: (o.to_sparse(), h)), RNN),
    "nested": (TypeError, "candidate should return dense tensors, got a nested tensor as h_n",
               of_rnn(lambda o, h: (o, torch.nested.as_nested_tensor([h[0]]))), RNN),
    "four arguments": (TypeError, r"or \(x\), got a signature \(x, h, c, d\); wrap it",
                       lambda x, h, c, d: 1, LSTM),
    "a long error": (RuntimeError, r"ValueError for x of shape \(5, 3, 10\) and torch.float32: one "
                     r"two( two)*.*\.\.\.; if it takes something else, wrap it: def wrapped\(x, hx",
                     lambda x, h: raising(ValueError("one\n" + "two " * 999)), RNN),
    "rarely random": (ValueError, "return the same for the same input, got two results that",
                      lambda x: RNN(x)[0] + 1e-3 * next(SOMETIMES), RNN),
}  # fmt: skip # a table


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_on_one_line(name: str) -> None:
    error, message, candidate, reference = REFUSED[name]
    with pytest.raises(error, match=message) as caught:
        diagnose(candidate, reference)  # type: ignore[arg-type] # one of them
    assert len(str(caught.value)) < 500
    assert "\n" not in str(caught.value)


def test_other_results_when_it_is_asked_again() -> None:
    kinds = iter([False] * 3 + [True] * 9)

    def forward(x: Tensor) -> Any:
        output, h_n = RNN(x)
        return (output, h_n) if next(kinds) else output

    with pytest.raises(TypeError, match="at each call, got output and then output, h_n"):
        diagnose(forward, RNN)


def test_interrupting_goes_through_and_leaves_the_reference_whole() -> None:
    rnn: Any = nn.RNN(H_IN, H)
    before = rnn.bias_hh_l0.detach().clone()

    def forward(x: Tensor, hx: Tensor) -> Any:
        rnn.bias_hh_l0.data.zero_()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diagnose(forward, rnn)
    assert torch.equal(rnn.bias_hh_l0, before)


@pytest.mark.no_cover
def test_a_number_with_an_imaginary_part_is_not_equal() -> None:
    diagnosis = diagnose(of_rnn(lambda o, h: (o + 5j, h)), RNN)
    assert diagnosis.verdict == "unexplained"
    assert diagnosis.notes == (
        "output is complex, with imaginary parts up to 5, which count as no numbers.",
    )
    one = of_rnn(lambda o, h: torch.complex(o, F.pad(torch.ones(1, 1, 1), (0, 19, 0, 2, 0, 4))))
    assert "1 of 300 in output (time steps 1)" in diagnose(one, RNN).clues[0]


@pytest.mark.parametrize("number", [float("inf"), -float("inf"), float("nan")])
def test_where_numbers_are_not_finite(number: float) -> None:
    def forward(x: Tensor, hx: Tensor) -> Any:
        output, h_n = BATCH_FIRST(x, hx)
        output, h_n = output.clone(), h_n.clone()
        output[1, 2:4, :3] = h_n[0, 1, 0] = number
        return output, h_n

    diagnosis = diagnose(forward, BATCH_FIRST)
    assert (diagnosis.verdict, diagnosis.difference) == ("unexplained", float("inf"))
    assert diagnosis.clues[0] == (
        "Some numbers are infinite or not numbers: 6 of 300 in output (time steps 3, 4); 1 of 60 "
        "in h_n."
    )
    assert "Of the 5 time steps these are wrong: 3, 4." in diagnosis.clues


def test_input_that_is_changed_in_place() -> None:
    def forward(x: Tensor, hx: Any) -> Any:
        output, states = LSTM(x, tuple(state.clone() for state in hx))
        x.mul_(2)
        hx[1].zero_()
        return output, states

    diagnosis = diagnose(forward, LSTM)
    assert diagnosis.verdict == "equal"
    assert diagnosis.notes[:2] == (
        "It changes its input in place: x.",
        "It changes its input in place: c.",
    )


def test_the_candidate_is_left_as_it_is() -> None:
    class Counts(Wrapped):
        count = 0

        def forward(self, x: Tensor, h: Tensor) -> Any:
            self.count += 1
            return F.dropout(self.rnn(x, h)[0], 0.5, self.training)

    candidate = Counts(RNN)
    with pytest.raises(ValueError, match="is dropout on"):
        diagnose(candidate, RNN)
    candidate.eval()
    assert diagnose(candidate, RNN).verdict == "equal"
    assert candidate.count == 0
    assert candidate.rnn is RNN
    assert next(candidate.parameters()).dtype == torch.float32


def test_a_candidate_that_cannot_be_copied_says_so() -> None:
    class Own(Wrapped):
        def __deepcopy__(self, memo: object) -> Any:
            raise TypeError("no copy")

    diagnosis = diagnose(Own(RNN), RNN)
    assert (diagnosis.verdict, diagnosis.dtype) == ("equal", torch.float32)
    assert diagnosis.notes[0] == "It cannot be copied, and ran itself: no copy"
    with pytest.raises(ValueError, match=r"parameters should be given only for .* can be copied"):
        diagnose(Own(RNN), RNN, parameters={n: f"rnn.{n}" for n, _ in RNN.named_parameters()})


# Numbers that are large enough.


CLIPPED: dict[str, tuple[Callable[[Any], Candidate], Any]] = {
    "x": (lambda clipped: loop(RNN, x_as=clipped), RNN),
    "h": (lambda clipped: loop(RNN, state=clipped), RNN),
    "sums of relu": (lambda clipped: loop(RELU, activation=lambda a: clipped(a).relu()), RELU),
    "x of an LSTM": (lambda clipped: lambda x, hx: LSTM(clipped(x), hx), LSTM),
    "c": (lambda clipped: lstm_loop(LSTM, clipped), LSTM),
    "c, seen in output": (lambda clipped: lambda x, hx: lstm_loop(LSTM, clipped)(x, hx)[0], LSTM),
    "c from zeros": (lambda clipped: lambda x: lstm_loop(LSTM64, clipped)(x)[0], LSTM64),
    "c in float32": (lambda clipped: lambda x: lstm_loop(LSTM, clipped)(x)[0], LSTM),
    "c of a cell": (
        lambda clipped: lambda x, state: LSTM_CELL(x, (state[0], clipped(state[1]))), LSTM_CELL
    ),
    "h of a GRU": (lambda clipped: lambda x, h: GRU_CELL(x, clipped(h)), GRU_CELL),
}  # fmt: skip # a table


@pytest.mark.no_cover
@pytest.mark.parametrize("bound", [10, 100])
@pytest.mark.parametrize("what", CLIPPED)
def test_what_is_clipped_is_not_equal(what: str, bound: float) -> None:
    write, reference = CLIPPED[what]
    diagnosis = diagnose(write(lambda a: a.clamp(-bound, bound)), reference)
    assert diagnosis.verdict in ("explained", "unexplained")
    assert all(f"clip at {bound}" in name for name in diagnosis.names)


@pytest.mark.no_cover
@pytest.mark.parametrize("bound", [1, 3, 5])
def test_sums_that_are_clipped_are_not_equal(bound: float) -> None:
    """Of more than 10 the tanh is 1 in float32."""
    cell = nn.RNNCell(H_IN, H)

    def forward(x: Tensor, h: Tensor) -> Tensor:
        from_x = F.linear(x, cell.weight_ih, cell.bias_ih)
        sums = from_x + F.linear(h, cell.weight_hh, cell.bias_hh)
        return torch.tanh(sums.clamp(-bound, bound))

    # A sum that is clipped is a state that is: at the tanh of that.
    assert diagnose(forward, cell).names == (f"new h clipped at {np.tanh(bound):.4g}",)


def test_how_large_the_numbers_were_is_said() -> None:
    (note,) = diagnose(loop(RNN), RNN).notes
    assert re.fullmatch(r"The largest numbers tried: x up to 2\d{4}, states up to 2\d{3}\.", note)
    (note,) = diagnose(lambda x: LSTM64(x)[0], LSTM64).notes
    assert re.fullmatch(r".*: x up to 2\d{4}, x of 150 time steps up to 2\d{2}\.", note)
    diagnosis = diagnose(loop(RNN, x_as=lambda x: x.clamp(-50, 50)), RNN)
    (clue,) = diagnosis.clues
    assert re.fullmatch(
        r"With smaller numbers it is right; with x up to 276 it is off by up to [12.]\d*\. Is "
        r"something clipped, or does something overflow\?", clue
    )  # fmt: skip # one text


def test_what_overflows_is_found() -> None:
    def tanh(a: Tensor) -> Tensor:
        return (a.exp() - (-a).exp()) / (a.exp() + (-a).exp())

    diagnosis = diagnose(loop(RNN64, activation=tanh), RNN64)
    assert (diagnosis.verdict, diagnosis.difference) == ("unexplained", float("inf"))

    def careful(x: Tensor, hx: Tensor) -> Any:
        if x.abs().max() > 1000:
            raise OverflowError("too large")
        return RNN(x, hx)

    (clue,) = diagnose(careful, RNN).clues
    assert "with x up to 2763, candidate raised OverflowError" in clue


def test_one_length_is_enough() -> None:
    def of_five(x: Tensor) -> Any:
        assert len(x) == 5
        return LSTM(x)[0]

    diagnosis = diagnose(of_five, LSTM)
    assert diagnosis.verdict == "equal"
    assert "not x of 150 time steps" in diagnosis.notes[-1]


def test_large_parameters_are_no_mistake() -> None:
    """Rounding grows with them, and is measured, not guessed."""
    rnn, lstm = nn.RNN(H_IN, H), nn.LSTM(H_IN, H)
    for module in (rnn, lstm):
        for parameter in module.parameters():
            parameter.data *= 10
    assert diagnose(loop(rnn), rnn).verdict == "equal"
    assert diagnose(lstm_loop(lstm, lambda c: c), lstm).verdict == "equal"


# The reference.


def snapshot(module: nn.Module) -> Any:
    parameters = dict(module.named_parameters())
    return (
        {name: (id(p), p.data_ptr(), p.dtype, p.requires_grad) for name, p in parameters.items()},
        {name: p.detach().clone() for name, p in parameters.items()},
        {name: None if p.grad is None else p.grad.clone() for name, p in parameters.items()},
        {name: value for name, value in vars(module).items() if isinstance(value, bool | int)},
        list(module._forward_hooks),
    )


def trained(rnn: nn.RNN) -> None:
    with torch.enable_grad():
        rnn(torch.ones(5, 3, H_IN))[0].sum().backward()


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "in place": ("bias_hh_l0", lambda rnn: rnn.bias_hh_l0.zero_()),
    "each time more": ("weight_hh_l0", lambda rnn: rnn.weight_hh_l0.mul_(1.5)),
    ".data": ("weight_hh_l0", lambda rnn: setattr(rnn.weight_hh_l0, "data", torch.ones(H, H))),
    "load_state_dict": (
        "weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0",
        lambda rnn: rnn.load_state_dict({k: 0 * v for k, v in rnn.state_dict().items()}),
    ),
    "another parameter": ("bias_hh_l0", lambda rnn: setattr(
        rnn, "bias_hh_l0", nn.Parameter(torch.zeros(H)))),
    "dtype": ("weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0", lambda rnn: rnn.double()),
    "one deleted": ("bias_hh_l0", lambda rnn: delattr(rnn, "bias_hh_l0")),
    "a buffer": ("scale", lambda rnn: rnn.register_buffer("scale", torch.ones(1))),
    "training": ("training", lambda rnn: rnn.eval()),
    "requires_grad": ("bias_ih_l0.requires_grad", lambda rnn: rnn.bias_ih_l0.requires_grad_(False)),
    "an option": ("batch_first", lambda rnn: setattr(rnn, "batch_first", True)),
    "a hook": ("forward_hooks", lambda rnn: rnn.register_forward_hook(lambda *a: None)),
    "a gradient": ("weight_ih_l0.grad", trained),
    "a child": ("child.weight, child.bias, child.training, ",
                lambda rnn: rnn.add_module("child", nn.Linear(2, 2))),
    "another forward": ("forward", lambda rnn: setattr(rnn, "forward", len)),
    "private lists": ("_flat_weights[1]", lambda rnn: rnn._flat_weights.__setitem__(
        1, torch.ones(H, H))),
}  # fmt: skip # a table


@pytest.mark.parametrize("name", CHANGES)
def test_a_candidate_that_changes_the_reference_is_found_out(name: str) -> None:
    what, change = CHANGES[name]
    rnn: Any = nn.RNN(H_IN, H)
    before = snapshot(rnn)

    def forward(x: Tensor, hx: Tensor) -> Any:
        output = rnn(x, hx)
        change(rnn)
        return output

    diagnosis = diagnose(forward, rnn)
    assert diagnosis.verdict == "equal"
    assert diagnosis.notes[0].startswith(f"It changes the reference, in each call: {what}")
    after = snapshot(rnn)
    assert before[0] == after[0]
    assert all(torch.equal(before[1][name], after[1][name]) for name in before[1])
    assert before[2:] == after[2:]
    assert [*rnn._modules] == []
    assert "forward" not in vars(rnn)
    assert all(map(operator.is_, rnn._flat_weights, rnn.parameters()))


def test_gradients_of_the_reference_are_put_back() -> None:
    rnn: Any = nn.RNN(H_IN, H)
    trained(rnn)
    before = rnn.bias_hh_l0.grad.clone()

    def forward(x: Tensor, hx: Tensor) -> Any:
        trained(rnn)
        return rnn(x, hx)

    assert "bias_hh_l0.grad" in diagnose(forward, rnn).notes[0]
    assert torch.equal(rnn.bias_hh_l0.grad, before)


def test_a_change_before_it_computes_is_a_mistake_of_the_candidate() -> None:
    """It is idempotent: after the first call a reference that was not watched agrees."""
    rnn: Any = nn.RNN(H_IN, H, dtype=torch.float64)

    def forward(x: Tensor, hx: Tensor) -> Any:
        rnn.bias_hh_l0.data.zero_()
        return rnn(x, hx)

    diagnosis = diagnose(forward, rnn)
    assert diagnosis.names == ("bias_hh missing",)
    assert "It changes the reference, in each call: bias_hh_l0." in diagnosis.notes[0]
    assert rnn.bias_hh_l0.any()


def test_an_error_leaves_the_reference_as_it_was() -> None:
    rnn: Any = nn.RNN(H_IN, H)

    def forward(x: Tensor, hx: Tensor) -> Any:
        rnn.bias_hh_l0.data.zero_()
        raise ValueError

    with pytest.raises(RuntimeError, match="candidate raised ValueError"):
        diagnose(forward, rnn)
    assert rnn.bias_hh_l0.any()


def computed(how: str) -> Any:
    rnn: Any = nn.RNN(H_IN, H)
    if how == "weight norm":
        parametrizations.weight_norm(rnn, "weight_hh_l0")
    elif how == "weight norm of old":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is deprecated, and still used
            nn.utils.weight_norm(rnn, "weight_hh_l0")
        rnn.weight_hh_l0_g.data *= 2  # the weight itself is computed at the next call
    elif how == "pruned":
        prune.l1_unstructured(  # type: ignore[no-untyped-call] # PyTorch's
            rnn, "weight_hh_l0", 0.5
        )
    elif how == "dropped":
        raw = nn.Parameter(rnn.weight_hh_l0.detach())
        del rnn.weight_hh_l0
        rnn.weight_hh_l0_raw = raw
        rnn.weight_hh_l0 = raw * 0.5
    return rnn


@pytest.mark.parametrize("how", ["weight norm", "weight norm of old", "pruned", "dropped"])
def test_a_reference_that_computes_a_weight(how: str) -> None:
    rnn = computed(how)

    def forward(x: Tensor, hx: Tensor) -> Any:
        h, states = hx[0], []
        for x_t in x:
            from_h = F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0)
            h = torch.tanh(F.linear(x_t, rnn.weight_ih_l0, rnn.bias_ih_l0) + from_h)
            states.append(h)
        return torch.stack(states)

    assert diagnose(lambda x, hx: rnn(x, hx), rnn, gradients=True).gradients[-1] == (
        "Not compared: weight_hh_l0 (something computes it)."
    )
    assert diagnose(forward, rnn).verdict == "equal"
    assert diagnose(lambda x, hx: forward(x.flip(0), hx), rnn).names == ("input moved: flipped",)


def test_a_copy_of_a_reference_that_computes_a_weight() -> None:
    rnn = computed("weight norm")
    copy: Any = nn.RNN(H_IN, H)
    copy.load_state_dict({name: getattr(rnn, name) for name in copy.state_dict()})
    diagnosis = diagnose(copy, rnn, gradients=True)
    assert diagnosis.verdict == "equal"
    assert diagnosis.invisible == ()
    assert diagnosis.gradients[0].startswith(f"Of {ALL}: equal")
    copy.weight_hh_l0.data += 1
    assert diagnose(copy, rnn).names == ("parameters of its own",)


OTHER_REFERENCES: dict[str, tuple[type[Exception], str, Callable[[], Any]]] = {
    "a parameter deleted": (ValueError, "have all its parameters, or what computes them .*'RNN' "
                            "object has no attribute 'bias_hh_l0'",
                            lambda: changed(lambda rnn: delattr(rnn, "bias_hh_l0"))),
    "no tensor": (ValueError, "have all its parameters, .*bias_hh_l0 should be a Tensor, got None",
                  lambda: changed(lambda rnn: setattr(rnn, "bias_hh_l0", None))),
    "not a number": (ValueError, "finite parameters, got infinite ones or NaN in weight_hh_l0",
                     lambda: changed(lambda rnn: rnn.weight_hh_l0.data.fill_(torch.nan))),
    "meta": (ValueError, r"finite parameters, got no numbers \(meta\) in weight_ih_l0",
             lambda: nn.RNN(H_IN, H, device="meta")),
    "a hook that changes": (ValueError, "reference should compute what torch.nn does", lambda:
                            changed(lambda rnn: rnn.register_forward_hook(
                                lambda module, x, y: (2 * y[0], y[1])))),
    "a hook that changes the shape": (ValueError, "reference should compute what torch.nn does",
                                      lambda: changed(lambda rnn: rnn.register_forward_hook(
                                          lambda module, x, y: (y[0][:1], y[1])))),
    "a hook that fails": (RuntimeError, r"reference raised ZeroDivisionError for x of shape \(5, 3",
                          lambda: changed(lambda rnn: rnn.register_forward_hook(
                              lambda *given: 1 / 0))),
}  # fmt: skip # a table


def changed(change: Callable[[Any], Any]) -> nn.RNN:
    rnn: Any = nn.RNN(H_IN, H)
    change(rnn)
    return rnn


@pytest.mark.parametrize("name", OTHER_REFERENCES)
def test_other_references_are_refused(name: str) -> None:
    error, message, make = OTHER_REFERENCES[name]
    reference = make()
    with pytest.raises(error, match=message):
        diagnose(lambda x, hx: RNN(x, hx), reference)
    assert reference.training


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "options",
    [
        {"batch_first": True},
        {"bias": False},
        {"num_layers": 3, "dropout": 0.5},
        {"proj_size": 5, "num_layers": 2, "bidirectional": True, "batch_first": True},
    ],
    ids=str,
)
def test_options_of_the_reference(options: dict[str, Any]) -> None:
    lstm = nn.LSTM(H_IN, H, **options)
    plain = unrolled.LSTM(H_IN, H, **options).eval()
    plain.load_state_dict(lstm.state_dict())
    seen: list[None] = []
    lstm.register_forward_hook(lambda *given: seen.append(None))
    assert diagnose(lambda x, hx: plain(x, hx), lstm, L=4, N=2).verdict == "equal"
    assert diagnose(lambda x, hx: plain(x, hx), lstm).verdict == "equal"
    assert lstm.training
    assert len(lstm._forward_hooks) == 1


# Parameters under other names, and gradients.


class TwoLinears(nn.Module):
    def __init__(self, cut: bool = False) -> None:
        super().__init__()
        self.i2h, self.h2h, self.cut = nn.Linear(H_IN, H), nn.Linear(H, H), cut

    def forward(self, x: Tensor, hx: Tensor) -> Any:
        h, states = hx[0], []
        weight = self.h2h.weight.detach() if self.cut else self.h2h.weight
        for x_t in x:
            h = torch.tanh(self.i2h(x_t) + F.linear(h, weight, self.h2h.bias))
            states.append(h)
        return torch.stack(states), h[None]


class OneLinear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin, self.head = nn.Linear(H_IN + H, H), nn.Linear(H, 3)

    def forward(self, x: Tensor, hx: Tensor) -> Any:
        h, states = hx[0], []
        for x_t in x:
            h = torch.tanh(self.lin(torch.cat([x_t, h], 1)))
            states.append(h)
        return torch.stack(states), h[None]


def merged(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        "lin.weight": torch.cat([theirs["weight_ih_l0"], theirs["weight_hh_l0"]], 1),
        "lin.bias": theirs["bias_ih_l0"] + theirs["bias_hh_l0"],
    }


ALL = "x, h_0, weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0"


def test_parameters_under_other_names() -> None:
    candidate = TwoLinears()
    before = {name: p.detach().clone() for name, p in candidate.named_parameters()}
    diagnosis = diagnose(candidate, RNN, parameters=BY_NAME, gradients=True)
    assert (diagnosis.verdict, diagnosis.dtype) == ("equal", torch.float64)
    (said,) = diagnosis.gradients
    assert said.startswith(f"Of {ALL}: equal, up to ")
    assert all(torch.equal(p, before[name]) for name, p in candidate.named_parameters())
    assert diagnose(candidate, RNN).names == ("parameters of its own",)
    exchanged = {**BY_NAME, "bias_ih_l0": "h2h.bias", "bias_hh_l0": "i2h.bias"}
    assert diagnose(candidate, RNN, parameters=exchanged).verdict == "equal"  # they are added
    relu = nn.RNN(H_IN, H, nonlinearity="relu")
    assert diagnose(candidate, relu, parameters=BY_NAME).names == ("tanh in place of relu",)


def test_several_parameters_that_become_one() -> None:
    diagnosis = diagnose(OneLinear(), RNN, parameters=merged, gradients=True)
    assert diagnosis.verdict == "equal"
    assert diagnosis.gradients[0].startswith(f"Of {ALL}: equal, up to ")
    assert diagnosis.notes[0] == "Of its parameters these are its own: head.weight, head.bias."


def test_parameters_with_the_names_of_the_reference() -> None:
    names = {name: name for name, _ in RNN.named_parameters()}
    torch.manual_seed(1)
    other = nn.RNN(H_IN, H)
    assert diagnose(other, RNN).names == ("parameters of its own",)
    assert diagnose(other, RNN, parameters=names).verdict == "equal"


WRONG_PARAMETERS: dict[str, tuple[type[Exception], str, Any]] = {
    "a list": (TypeError, "be a mapping from .* or a function, got list", ["i2h.weight"]),
    "one left out": (ValueError, "have the keys weight_ih_l0, .*, got none for bias_hh_l0",
                     {k: v for k, v in BY_NAME.items() if k != "bias_hh_l0"}),
    "one too many": (ValueError, "have the keys weight_ih_l0, .*, got 'weight_ih_l1'",
                     {**BY_NAME, "weight_ih_l1": "i2h.weight"}),
    "one twice": (ValueError, "name 'i2h.bias' once, got it for several; a function",
                  {**BY_NAME, "bias_hh_l0": "i2h.bias"}),
    "an unknown one": (ValueError, "parameters of candidate, i2h.weight, .*, got 'hidden.bias'",
                       {**BY_NAME, "bias_hh_l0": "hidden.bias"}),
    "another shape": (ValueError, r"fill h2h.weight with shape \(20, 20\), got \(20, 10\)",
                      {**BY_NAME, "weight_ih_l0": "h2h.weight", "weight_hh_l0": "i2h.weight"}),
    "a function of other names": (ValueError, "take names among weight_ih_l0, .*, got 'W'",
                                  lambda theirs: {"i2h.weight": theirs["W"]}),
    "a function without a result": (TypeError, "return a mapping .* to tensors, got NoneType",
                                    lambda theirs: None),
    "a function that gives names": (TypeError, "return a mapping .* to tensors, got dict",
                                    lambda theirs: BY_NAME),
}  # fmt: skip # a table


@pytest.mark.parametrize("name", WRONG_PARAMETERS)
def test_wrong_parameters_are_refused(name: str) -> None:
    error, message, parameters = WRONG_PARAMETERS[name]
    with pytest.raises(error, match=f"parameters should .*{message}"):
        diagnose(TwoLinears(), RNN, parameters=parameters)


def test_parameters_need_a_module() -> None:
    with pytest.raises(
        TypeError, match=r"only for a candidate that is a torch.nn.Module, got func"
    ):
        diagnose(lambda x, hx: RNN(x, hx), RNN, parameters=BY_NAME)


def said_of(diagnosis: Diagnosis) -> dict[str, str]:
    """Take what was said of gradients apart: of each name what."""
    found = {}
    for entry in diagnosis.gradients:
        names, _, rest = entry.removeprefix("Of ").partition(": ")
        if names == "Not compared":
            names, _, rest = rest.partition(" (")
        for name in names.split(", "):
            found[name] = re.split(r"[ ,]", rest)[0]
    return found


@pytest.mark.parametrize("rnn", [RNN, RNN64], ids=["float32", "float64"])
def test_gradients(rnn: nn.RNN) -> None:
    def compare(candidate: Candidate) -> Diagnosis:
        return diagnose(candidate, rnn, gradients=True)

    def without(x: Tensor, hx: Tensor) -> Any:
        with torch.no_grad():
            return rnn(x, hx)

    def all_data(x: Tensor, hx: Tensor) -> Any:
        data = {name: parameter.data for name, parameter in rnn.named_parameters()}
        return torch.func.functional_call(rnn, data, (x, hx))

    def clipped(x: Tensor, hx: Tensor) -> Any:
        output, h_n = rnn(x, hx)
        if output.requires_grad:
            output.register_hook(lambda gradient: gradient.clamp(-100, 100))
        return output, h_n

    names = ALL.split(", ")
    right = compare(loop(rnn))
    assert right.verdict == "equal"
    assert said_of(right) == dict.fromkeys(names, "equal")
    assert "not compared" not in str(right)
    assert "not compared: gradients" in str(diagnose(loop(rnn), rnn))

    cut = compare(loop(rnn, weight=lambda U: U.data))
    assert cut.verdict == "gradients"
    assert said_of(cut) == {**dict.fromkeys(names, "equal"), "weight_hh_l0": "none"}
    assert "equal results, up to" in str(cut)
    assert "; the gradients differ" in str(cut)

    truncated = compare(loop(rnn, state=lambda h: h.detach()))
    assert said_of(truncated) == {**dict.fromkeys(names, "off"), "h_0": "none"}
    assert said_of(compare(without)) == dict.fromkeys(names, "none")
    assert said_of(compare(all_data)) == {
        name: "equal" if name in ("x", "h_0") else "none" for name in names
    }
    assert said_of(compare(clipped)) == dict.fromkeys(names, "off")
    for candidate in (loop(rnn, state=lambda h: h.detach()), without, all_data, clipped):
        assert compare(candidate).verdict == "gradients"
    assert all(parameter.grad is None for parameter in rnn.parameters())


def test_gradients_of_a_cell_and_of_an_lstm() -> None:
    diagnosis = diagnose(lambda x, hx: LSTM_CELL(x, hx), LSTM_CELL, gradients=True)
    assert [*said_of(diagnosis)] == ["x", "h", "c", "weight_ih", "weight_hh", "bias_ih", "bias_hh"]
    assert set(said_of(diagnosis).values()) == {"equal"}
    diagnosis = diagnose(lambda x, s: LSTM(x, (s[0], s[1].detach())), LSTM, gradients=True)
    assert {name for name, what in said_of(diagnosis).items() if what != "equal"} == {"c_0"}
    diagnosis = diagnose(lambda x: LSTM(x)[0], LSTM, gradients=True)
    assert [*said_of(diagnosis)][:2] == ["x", "weight_ih_l0"]
    diagnosis = diagnose(partial(unbatched, RNN), RNN, gradients=True)
    assert said_of(diagnosis) == dict.fromkeys(ALL.split(", "), "equal")


def test_gradients_of_copies() -> None:
    copies = [parameter.detach().clone() for parameter in RNN.parameters()]
    candidate = loop(types.SimpleNamespace(parameters=lambda: copies))
    diagnosis = diagnose(candidate, RNN, gradients=True)
    assert diagnosis.verdict == "equal"
    assert diagnosis.gradients[1] == (
        f"Not compared: {ALL.removeprefix('x, h_0, ')} (not used, or as a copy)."
    )
    assert diagnose(RNN, RNN, gradients=True).gradients == (f"Of {ALL}: equal, up to 0.",)
    copied = TwoLinears()
    copied.load_state_dict({BY_NAME[name]: p for name, p in RNN.state_dict().items()})
    assert set(said_of(diagnose(copied, RNN, gradients=True)).values()) == {"equal"}
    copied.cut = True
    cut = diagnose(copied, RNN, gradients=True)
    assert cut.verdict == "gradients"
    assert said_of(cut)["weight_hh_l0"] == "none"
    assert copied.h2h.weight.grad is None


def test_gradients_that_cannot_be_compared() -> None:
    frozen: Any = nn.RNN(H_IN, H).requires_grad_(False)
    diagnosis = diagnose(loop(frozen), frozen, gradients=True)
    assert diagnosis.verdict == "equal"
    assert "bias_hh_l0 (its requires_grad is False)." in diagnosis.gradients[1]

    zeros: Any = nn.RNN(H_IN, H)
    zeros.bias_ih_l0.data.zero_()
    zeros.bias_hh_l0.data.zero_()
    copied = TwoLinears()
    copied.load_state_dict({BY_NAME[name]: p for name, p in zeros.state_dict().items()})
    said = said_of(diagnose(copied, zeros, gradients=True))
    assert said["bias_ih_l0"] == said["bias_hh_l0"] == "not"  # which is which?
    assert said["i2h.bias of candidate"] == "no"
    assert said_of(diagnose(zeros, zeros, gradients=True)) == dict.fromkeys(
        ALL.split(", "), "equal"
    )

    tied: Any = nn.RNN(H_IN, H)
    tied.bias_hh_l0 = tied.bias_ih_l0
    diagnosis = diagnose(lambda x, hx: tied(x, hx), tied, gradients=True)
    assert diagnosis.verdict == "equal"
    assert diagnosis.gradients[1] == (
        "Not compared: bias_ih_l0, bias_hh_l0 (one parameter under several names)."
    )

    with pytest.raises(TypeError, match="gradients should be False for a candidate in NumPy"):
        diagnose(numpy_rnn, RNN, gradients=True)
    wrong = diagnose(lambda x, hx: RNN(x, hx)[0].flip(0), RNN, gradients=True)
    assert wrong.clues[-1] == "Gradients were not compared, since the results differ."
    clipped = diagnose(loop(RNN, x_as=lambda x: x.clamp(-50, 50)), RNN, gradients=True)
    assert clipped.clues[-1] == "Gradients were not compared, since the results differ."


def test_a_gradient_through_a_mapping_that_does_not_arrive() -> None:
    cut = diagnose(TwoLinears(cut=True), RNN, parameters=BY_NAME, gradients=True)
    assert cut.verdict == "gradients"
    assert said_of(cut)["weight_hh_l0"] == "none"

    class Silent(TwoLinears):
        def forward(self, x: Tensor, hx: Tensor) -> Any:
            with torch.no_grad():
                return super().forward(x, hx)

    silent = diagnose(Silent(), RNN, parameters=BY_NAME, gradients=True)
    assert said_of(silent) == dict.fromkeys(ALL.split(", "), "none")


def test_a_backward_pass_that_fails() -> None:
    def forward(x: Tensor, hx: Tensor) -> Any:
        W, U, b, c = RNN.parameters()
        h, output = hx[0], x.new_zeros(*x.shape[:2], H)
        for t in range(len(x)):
            output[t] = torch.tanh(x[t] @ W.T + b + h @ U.T + c)
            h = output[t]
        return output

    assert diagnose(forward, RNN).verdict == "equal"
    with pytest.raises(RuntimeError, match=r"candidate raised .* in its backward pass: one of the"):
        diagnose(forward, RNN, gradients=True)

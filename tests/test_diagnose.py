"""A zoo of networks written by hand: wrong in a known way, right, and wrong in another way.

None of them uses the package: each is written as people write them, from the parameters of a module
of `torch.nn`.
"""

import copy
import io
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import permutations
from types import SimpleNamespace
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

import unrolled
from unrolled._diagnose import MISTAKES, Diagnosis, Mistake, diagnose, search
from unrolled._diagnose.attempt import _Table
from unrolled._diagnose.mistakes import FACTS, possible_in
from unrolled._diagnose.probe import Probe, network_of
from unrolled._diagnose.recipe import Memory, Recipe
from unrolled._diagnose.variations import in_places, variations

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
Candidate: TypeAlias = Callable[..., Any]
Write: TypeAlias = Callable[[Any], Candidate]

H_IN, H = 10, 20
DOUBLE = torch.float64
REFERENCES: dict[str, Callable[[], nn.Module]] = {
    "rnn": lambda: nn.RNN(H_IN, H, batch_first=True, dtype=DOUBLE),
    "rnn by time": lambda: nn.RNN(H_IN, H, dtype=DOUBLE),
    "rnn in float32": lambda: nn.RNN(H_IN, H, batch_first=True),
    "square rnn": lambda: nn.RNN(H, H, dtype=DOUBLE),
    "relu rnn": lambda: nn.RNN(H_IN, H, nonlinearity="relu", dtype=DOUBLE),
    "two rnns": lambda: nn.RNN(H_IN, H, 2, dtype=DOUBLE),
    "square layers": lambda: nn.RNN(H, H, 2, dtype=DOUBLE),
    "both ways": lambda: nn.RNN(H_IN, H, bidirectional=True, dtype=DOUBLE),
    "deep both ways": lambda: nn.GRU(H_IN, H, 2, bidirectional=True, dtype=DOUBLE),
    "lstm": lambda: nn.LSTM(H_IN, H, dtype=DOUBLE),
    "gru": lambda: nn.GRU(H_IN, H, dtype=DOUBLE),
    "rnn cell": lambda: nn.RNNCell(H_IN, H, dtype=DOUBLE),
    "gru cell": lambda: nn.GRUCell(H_IN, H, dtype=DOUBLE),
    "lstm cell": lambda: nn.LSTMCell(H_IN, H, dtype=DOUBLE),
    "projected lstm": lambda: nn.LSTM(H_IN, H, proj_size=7, dtype=DOUBLE),
    "gru cell without biases": lambda: nn.GRUCell(H_IN, H, bias=False, dtype=DOUBLE),
}
WRONG: list[Any] = []
RIGHT: list[Any] = []
UNEXPLAINED: list[Any] = []
SLOW = {
    *("noise_that_stays", "sequences_mixed", "squeezed", "other_numbers_at_the_end"),
    *("a_layer_of_its_own", "all_states_by_direction", "BiasAndTanhMissing", "CellOfTensorFlow"),
    *("OrderAndOffByOne", "ReluLSTM", "StatesExchangedBothWays", "gru_of_keras_1"),
    *("gru_of_the_last_version_of_the_paper", "state_that_decays"),
}
"""What takes a long search, which is not traced."""


def marks_of(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.no_cover] if name in SLOW else []


def wrong(reference: str, *expected: str) -> Callable[[Write], Write]:
    """Enter a network for which exactly these explanations are expected."""

    def enter(write: Write) -> Write:
        name = write.__name__
        WRONG.append(pytest.param(reference, write, expected, id=name, marks=marks_of(name)))
        return write

    return enter


def right(reference: str) -> Callable[[Write], Write]:
    def enter(write: Write) -> Write:
        RIGHT.append(pytest.param(reference, write, id=write.__name__))
        return write

    return enter


def unexplained(reference: str) -> Callable[[Write], Write]:
    def enter(write: Write) -> Write:
        name = write.__name__
        UNEXPLAINED.append(pytest.param(reference, write, id=name, marks=marks_of(name)))
        return write

    return enter


def without_search(patch: pytest.MonkeyPatch) -> None:
    """Go to what follows a search that finds nothing, which takes seconds; not in a nightly run."""
    if not NIGHTLY:
        patch.setattr(search, "explanations", lambda *_: [])


@pytest.fixture
def unsearched(monkeypatch: pytest.MonkeyPatch) -> None:
    without_search(monkeypatch)


# Plain RNN.


@wrong("rnn", "weight_hh not transposed")
def hidden_weight_as_it_is(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        h, out = h0[0], []
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] @ w_ih.T + b_ih + h @ w_hh + b_hh)
            out.append(h)
        return torch.stack(out, dim=1), h.unsqueeze(0)

    return forward


@wrong("square rnn", "weight_ih not transposed")
def input_weight_as_it_is(rnn: Any) -> Candidate:
    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h, out = h.squeeze(0), torch.zeros(*x.shape[:2], H, dtype=x.dtype)
        for t, x_t in enumerate(x):
            total = torch.einsum("ni,ij->nj", x_t, rnn.weight_ih_l0) + rnn.bias_ih_l0
            total = total + torch.einsum("nj,kj->nk", h, rnn.weight_hh_l0) + rnn.bias_hh_l0
            h = total.tanh()
            out[t] = h
        return out, h[None]

    return forward


@wrong("square rnn", "weight_hh not transposed + weight_ih not transposed")
def column_convention(rnn: Any) -> Candidate:
    Wx, Wh, bx, bh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> Tensor:
        state, out = h[0], []
        for x_t in x:
            state = torch.tanh(x_t @ Wx + state @ Wh + bx + bh)
            out.append(state)
        return torch.stack(out)

    return forward


@wrong("rnn", "weight_ih reshaped")
def view_in_place_of_transpose(rnn: Any) -> Candidate:
    w_ih = rnn.weight_ih_l0.detach().view(H_IN, H)

    def forward(x: Tensor, h0: Tensor) -> Tensor:
        pre, h, out = x @ w_ih + rnn.bias_ih_l0, h0[0], []
        for t in range(pre.size(1)):
            h = torch.tanh(pre[:, t] + F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0))
            out.append(h)
        return torch.stack(out, 1)

    return forward


@wrong("rnn", "one state for all time steps")
def the_founding_article(rnn: Any) -> Candidate:
    def forward(inputs: Tensor, hidden: Tensor) -> Tensor:
        weighted_input = inputs @ rnn.weight_ih_l0.T + rnn.bias_ih_l0
        weighted_hidden = hidden[0] @ rnn.weight_hh_l0.T + rnn.bias_hh_l0
        return torch.tanh(weighted_input + weighted_hidden[:, None, :])

    return forward


@wrong("rnn", "both biases missing + one state for all time steps")
def the_founding_article_without_biases(rnn: Any) -> Candidate:
    def forward(inputs: Tensor, hidden: Tensor) -> Tensor:
        weighted_hidden = hidden.transpose(0, 1) @ rnn.weight_hh_l0.T  # (N, 1, H)
        return torch.tanh(inputs @ rnn.weight_ih_l0.T + weighted_hidden)

    return forward


@wrong("rnn by time", "every step from zeros")
def state_forgotten_in_the_call(rnn: Any) -> Candidate:
    cell = nn.RNNCell(H_IN, H, dtype=DOUBLE)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in rnn.state_dict().items()})

    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        outputs = []
        for x_t in x:
            h = cell(x_t)
            outputs.append(h)
        return torch.stack(outputs), h[None]

    return forward


@wrong("rnn by time", "hx not used")
def initial_state_ignored(rnn: Any) -> Candidate:
    def forward(x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        h = torch.zeros(x.size(1), H, dtype=x.dtype)
        out = []
        for x_t in x:
            h = torch.tanh(F.linear(x_t, rnn.weight_ih_l0, rnn.bias_ih_l0) +
                           F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0))  # fmt: skip # as found
            out.append(h)
        return torch.stack(out, 0), h.view(1, -1, H)

    return forward


@wrong("rnn by time", "state stored before the step")
def append_before_update(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h, hs = h[0], []
        for x_t in x:
            hs.append(h)
            h = torch.tanh(x_t @ w_ih.t() + b_ih + h @ w_hh.t() + b_hh)
        return torch.stack(hs), h[None]

    return forward


@wrong("rnn by time", "output in reverse order")
def insert_at_the_front(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h, hs = h[0], []  # type: ignore[var-annotated] # written as found
        for x_t in x:
            h = torch.tanh(x_t @ w_ih.t() + b_ih + h @ w_hh.t() + b_hh)
            hs.insert(0, h)
        return torch.stack(hs), h[None]

    return forward


@wrong("rnn by time", "sequence read backwards")
def from_the_end(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h, out = h[0], torch.empty(*x.shape[:2], H, dtype=x.dtype)
        for t in reversed(range(len(x))):
            h = torch.tanh(x[t] @ w_ih.t() + b_ih + h @ w_hh.t() + b_hh)
            out[t] = h
        return out, h[None]

    return forward


@wrong("rnn", "batch and time confused")
def loop_over_the_batch(rnn: Any) -> Candidate:
    def forward(x: Tensor) -> Tensor:
        h = torch.zeros(x.size(1), H, dtype=x.dtype)
        out = []
        for x_t in x:
            h = torch.tanh(F.linear(x_t, rnn.weight_ih_l0, rnn.bias_ih_l0)
                           + F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0))  # fmt: skip # as found
            out.append(h)
        return torch.stack(out)

    return forward


@wrong("rnn by time", "batch and time confused")
def loop_over_the_batch_with_a_state(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        h, out = h0[0], []
        for t in range(x.shape[1]):
            h = torch.tanh(x[:, t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
            out.append(h)
        return torch.stack(out, dim=1), h.unsqueeze(0)

    return forward


@wrong("rnn", "input reshaped, not transposed")
def view_to_time_major(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        n, steps, _ = x.shape
        h, out = h[0], []
        for x_t in x.view(steps, n, H_IN):
            h = torch.tanh(x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
            out.append(h)
        return torch.stack(out).transpose(0, 1), h[None]

    return forward


@wrong("rnn", "output reshaped, not transposed")
def concatenate_and_view(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        n, steps, _ = x.shape
        h, out = h[0], []
        for t in range(steps):
            h = torch.tanh(x[:, t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
            out.append(h)
        return torch.cat(out, dim=0).view(n, steps, H), h[None]

    return forward


@wrong("rnn by time", "output reshaped, not transposed")
def stack_behind_and_view(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> Tensor:
        h, out = h[0], []
        for x_t in x:
            h = torch.tanh(x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
            out.append(h)
        return torch.stack(out, dim=1).view(len(x), -1, H)

    return forward


@wrong("rnn", "output transposed")
def stack_along_the_wrong_dimension(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h, out = h[0], []
        for t in range(x.size(1)):
            h = torch.tanh(x[:, t] @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
            out.append(h)
        return torch.stack(out), h[None]

    return forward


@wrong("rnn", "bias_hh missing")
def one_bias(rnn: Any) -> Candidate:
    def forward(x: Tensor, h: Tensor) -> Tensor:
        h, out = h[0], []
        for t in range(x.size(1)):
            h = torch.tanh(x[:, t] @ rnn.weight_ih_l0.T + h @ rnn.weight_hh_l0.T + rnn.bias_ih_l0)
            out.append(h)
        return torch.stack(out, 1)

    return forward


@wrong("rnn", "bias_ih in place of bias_hh")
def copied_line(rnn: Any) -> Candidate:
    def forward(x: Tensor, h: Tensor) -> Tensor:
        h, out = h[0], []
        for t in range(x.size(1)):
            from_x = F.linear(x[:, t], rnn.weight_ih_l0, rnn.bias_ih_l0)
            from_h = F.linear(h, rnn.weight_hh_l0, rnn.bias_ih_l0)
            h = torch.tanh(from_x + from_h)
            out.append(h)
        return torch.stack(out, 1)

    return forward


@wrong("rnn cell", "bias_hh added twice")
def bias_in_the_product_and_behind(cell: Any) -> Candidate:
    def step(x: Tensor, h: Tensor) -> Tensor:
        total = F.linear(x, cell.weight_ih, cell.bias_ih) + cell.bias_hh
        return torch.tanh(total + F.linear(h, cell.weight_hh, cell.bias_hh))

    return step


@wrong("rnn cell", "relu in place of tanh")
def relu_from_habit(cell: Any) -> Candidate:
    return lambda x, h: F.relu(
        x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
    )


@wrong("relu rnn", "tanh in place of relu")
def tanh_from_habit(rnn: Any) -> Candidate:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.RNN(H_IN, H, dtype=DOUBLE)
            self.inner.load_state_dict(rnn.state_dict())

        def forward(self, x: Tensor, hx: Tensor) -> tuple[Tensor, Tensor]:
            return self.inner(x, hx)

    return Net()


@wrong("rnn cell", "sigmoid as the activation")
def logistic(cell: Any) -> Candidate:
    return lambda x, h: (
        1
        / (
            1
            + torch.exp(
                -(x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh)
            )
        )
    )


@wrong("rnn cell", "no activation")
def linear_rnn(cell: Any) -> Candidate:
    return lambda x, h: (
        F.linear(x, cell.weight_ih, cell.bias_ih) + F.linear(h, cell.weight_hh, cell.bias_hh)
    )


@wrong("rnn by time", "parameters of its own")
def parameters_not_copied(rnn: Any) -> Candidate:
    class HandWritten(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            for name, parameter in rnn.named_parameters():
                self.register_parameter(name, nn.Parameter(0.2 * torch.randn_like(parameter)))

        def forward(self, x: Tensor, h: Tensor) -> Tensor:
            h, out = h[0], []
            for x_t in x:
                w_ih, w_hh, b_ih, b_hh = self.parameters()
                h = torch.tanh(F.linear(x_t, w_ih, b_ih) + F.linear(h, w_hh, b_hh))
                out.append(h)
            return torch.stack(out)

    return HandWritten()


@wrong("rnn in float32", "hx not used")
def state_of_zeros_in_float32(rnn: Any) -> Candidate:
    return lambda x, h: rnn(x)


@wrong("rnn in float32", "bias_ih added twice")
def bias_twice_in_float32(rnn: Any) -> Candidate:
    pre = nn.Linear(H_IN, H).requires_grad_(False)
    pre.load_state_dict({"weight": rnn.weight_ih_l0, "bias": rnn.bias_ih_l0})

    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        h, out = h0[0], []
        for from_x in pre(x).unbind(1):
            from_h = F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0)
            h = torch.tanh(from_x + rnn.bias_ih_l0 + from_h)
            out.append(h)
        return torch.stack(out, 1), h[None]

    return forward


@wrong("rnn cell", "bias_hh in place of bias_ih")
def the_other_copied_line(cell: Any) -> Candidate:
    return lambda x, h: torch.tanh(
        x @ cell.weight_ih.T + cell.bias_hh + h @ cell.weight_hh.T + cell.bias_hh
    )


@wrong("rnn cell", "bias_ih missing")
def bias_of_the_state_only(cell: Any) -> Candidate:
    return lambda x, h: torch.tanh(
        F.linear(torch.cat([h, x], 1), torch.cat([cell.weight_hh, cell.weight_ih], 1), cell.bias_hh)
    )


def _cut(a: Tensor) -> Tensor:
    return (a.view(torch.int32) & -(1 << 13)).view(torch.float32)


@wrong("rnn in float32", "products cut to TF32")
def as_on_a_gpu(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h0: Tensor) -> Tensor:
        h, out = h0[0], []
        for x_t in x.unbind(1):
            from_h = _cut(h) @ _cut(w_hh).T + b_hh
            h = torch.tanh(_cut(x_t) @ _cut(w_ih).T + b_ih + from_h)
            out.append(h)
        return torch.stack(out, 1)

    return forward


@wrong("rnn in float32", "products rounded to TF32")
def as_on_another_gpu(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def nearest(a: Tensor) -> Tensor:  # ties away from zero
        return _cut((a.view(torch.int32) + (1 << 12)).view(torch.float32))

    def forward(x: Tensor, h0: Tensor) -> Tensor:
        h, out = h0[0], []
        for x_t in x.unbind(1):
            from_h = nearest(h) @ nearest(w_hh).T + b_hh
            h = torch.tanh(nearest(x_t) @ nearest(w_ih).T + b_ih + from_h)
            out.append(h)
        return torch.stack(out, 1)

    return forward


# Layers and directions.


def _unroll(x: Tensor, h: Tensor, parameters: list[Tensor]) -> list[Tensor]:
    w_ih, w_hh, b_ih, b_hh = parameters
    out = []
    for x_t in x:
        h = torch.tanh(x_t @ w_ih.T + b_ih + h @ w_hh.T + b_hh)
        out.append(h)
    return out


@wrong("two rnns", "first state for all layers and directions")
def state_of_the_first_layer(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        last = []
        for parameters in rnn.all_weights:
            states = _unroll(x, h0[0], parameters)
            x = torch.stack(states)
            last.append(states[-1])
        return x, torch.stack(last)

    return forward


@wrong("two rnns", "h_n in reversed order")
def top_layer_first(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        last: list[Tensor] = []
        for h, parameters in zip(h0, rnn.all_weights, strict=True):
            states = _unroll(x, h, parameters)
            x = torch.stack(states)
            last = [states[-1], *last]
        return x, torch.stack(last)

    return forward


@wrong("square layers", "all layers with the parameters of the first")
def one_cell_for_all_layers(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        last = []
        for layer in range(2):
            states = _unroll(x, h0[layer], rnn.all_weights[0])
            x = torch.stack(states)
            last.append(states[-1])
        return x, torch.stack(last)

    return forward


@wrong("both ways", "reverse direction not flipped back")
def reverse_left_as_computed(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        there = _unroll(x, h0[0], rnn.all_weights[0])
        back = _unroll(x.flip(0), h0[1], rnn.all_weights[1])
        output = torch.cat([torch.stack(there), torch.stack(back)], -1)
        return output, torch.stack([there[-1], back[-1]])

    return forward


@wrong("both ways", "reverse direction runs forward")
def two_forward_directions(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        there, back = (_unroll(x, h0[d], rnn.all_weights[d]) for d in range(2))
        return torch.cat([torch.stack(there), torch.stack(back)], -1), torch.stack(
            [there[-1], back[-1]]
        )

    return forward


@wrong("both ways", "reverse direction with the forward parameters")
def one_network_for_both_ways(rnn: Any) -> Candidate:
    one = nn.RNN(H_IN, H, dtype=DOUBLE)
    one.load_state_dict({k: v for k, v in rnn.state_dict().items() if "reverse" not in k})

    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        there, h_there = one(x, h0[:1])
        back, h_back = one(x.flip(0), h0[1:])
        return torch.cat([there, back.flip(0)], 2), torch.cat([h_there, h_back])

    return forward


@wrong("both ways", "reverse half first")
def halves_exchanged(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> Tensor:
        there = _unroll(x, h0[0], rnn.all_weights[0])
        back = _unroll(x.flip(0), h0[1], rnn.all_weights[1])[::-1]
        return torch.cat([torch.stack(back), torch.stack(there)], dim=-1)

    return forward


@wrong("both ways", "state stored before the step")
def append_before_update_both_ways(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        there = [h0[0], *_unroll(x, h0[0], rnn.all_weights[0])]
        back = [h0[1], *_unroll(x.flip(0), h0[1], rnn.all_weights[1])]
        output = torch.cat([torch.stack(there[:-1]), torch.stack(back[-2::-1])], -1)
        return output, torch.stack([there[-1], back[-1]])

    return forward


@wrong("both ways", "h_n of the last time step")
def last_row_of_the_output(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        output, _ = rnn(x, h0)
        return output, output[-1].view(-1, 2, H).transpose(0, 1)

    return forward


@wrong("both ways", "h_n in reversed order")
def final_states_exchanged(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        there = _unroll(x, h0[0], rnn.all_weights[0])
        back = _unroll(x.flip(0), h0[1], rnn.all_weights[1])
        output = torch.cat([torch.stack(there), torch.stack(back[::-1])], -1)
        return output, torch.stack([back[-1], there[-1]])

    return forward


def _deep(gru: Any, x: Tensor, h0: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """Run two layers in two directions with one-layer networks; rows by layer, then direction."""
    last = []
    for layer in range(2):
        halves = []
        for direction, suffix in enumerate(("", "_reverse")):
            one = nn.GRU(x.shape[-1], H, dtype=DOUBLE)
            names = ("weight_ih_l", "weight_hh_l", "bias_ih_l", "bias_hh_l")
            one.load_state_dict({f"{n}0": getattr(gru, f"{n}{layer}{suffix}") for n in names})
            out, h = one(x.flip(0) if direction else x, h0[2 * layer + direction][None])
            halves.append(out.flip(0) if direction else out)
            last.append(h[0])
        x = torch.cat(halves, -1)
    return x, last


@wrong("deep both ways", "h_n ordered by direction")
def final_states_by_direction(gru: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        output, last = _deep(gru, x, list(h0))
        return output, torch.stack([last[0], last[2], last[1], last[3]])

    return forward


@wrong("deep both ways", "hx read by direction")
def initial_states_by_direction(gru: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        by_direction = h0.view(2, 2, -1, H)
        output, last = _deep(gru, x, [by_direction[d, k] for k in range(2) for d in range(2)])
        return output, torch.stack(last)

    return forward


@wrong("deep both ways", "hx read by direction + h_n ordered by direction")
def all_states_by_direction(gru: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        output, last = _deep(gru, x, list(h0[[0, 2, 1, 3]]))
        return output, torch.stack([last[0], last[2], last[1], last[3]])

    return forward


# GRU.


def _gru(gru: Any) -> tuple[list[Tensor], ...]:
    """Take the parameters apart as people do: r, z, n of W, U, b and c."""
    return tuple(list(p.detach().chunk(3)) for p in gru.parameters())


@wrong("gru cell", "reset before the product")
def gru_of_the_textbook(gru: Any) -> Candidate:
    (W_r, W_z, W_n), (U_r, U_z, U_n), (b_r, b_z, b_n), (c_r, c_z, c_n) = _gru(gru)

    def step(x: Tensor, h: Tensor) -> Tensor:
        r = torch.sigmoid(x @ W_r.T + b_r + h @ U_r.T + c_r)
        z = torch.sigmoid(x @ W_z.T + b_z + h @ U_z.T + c_z)
        n = torch.tanh(x @ W_n.T + b_n + (r * h) @ U_n.T + c_n)
        return (1 - z) * n + z * h

    return step


@wrong("gru", "z and 1 - z exchanged")
def gru_of_the_encyclopedia(gru: Any) -> Candidate:
    (W_r, W_z, W_n), (U_r, U_z, U_n), (b_r, b_z, b_n), (c_r, c_z, c_n) = _gru(gru)

    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h, out = h[0], []
        for x_t in x:
            r = torch.sigmoid(x_t @ W_r.T + b_r + h @ U_r.T + c_r)
            z = torch.sigmoid(x_t @ W_z.T + b_z + h @ U_z.T + c_z)
            n = torch.tanh(x_t @ W_n.T + b_n + r * (h @ U_n.T + c_n))
            h = (1 - z) * h + z * n
            out.append(h)
        return torch.stack(out), h[None]

    return forward


@wrong("gru cell", "reset before the product + z and 1 - z exchanged")
def gru_of_the_last_version_of_the_paper(gru: Any) -> Candidate:
    (W_r, W_z, W), (U_r, U_z, U), (b_r, b_z, b), (c_r, c_z, c) = _gru(gru)

    def step(x: Tensor, h: Tensor) -> Tensor:
        r = torch.sigmoid(x @ W_r.T + b_r + h @ U_r.T + c_r)
        z = torch.sigmoid(x @ W_z.T + b_z + h @ U_z.T + c_z)
        h_hat = torch.tanh(x @ W.T + b + (r * h) @ U.T + c)
        return (1 - z) * h + z * h_hat

    return step


@wrong("gru cell", "hx not used")
def state_not_handed_over(gru: Any) -> Candidate:
    return lambda x, h: gru(x)


@wrong("gru cell", "reset gate not used")
def minimal_gate(gru: Any) -> Candidate:
    _, (_, U_z, U_n), _, (_, c_z, c_n) = _gru(gru)

    def step(x: Tensor, h: Tensor) -> Tensor:
        _, x_z, x_n = F.linear(x, gru.weight_ih, gru.bias_ih).chunk(3, 1)
        z = torch.sigmoid(x_z + h @ U_z.T + c_z)
        return (1 - z) * torch.tanh(x_n + h @ U_n.T + c_n) + z * h

    return step


@wrong("gru cell", "gates read as z r n")
def gru_of_keras(gru: Any) -> Candidate:
    def step(x: Tensor, h: Tensor) -> Tensor:
        x_z, x_r, x_h = F.linear(x, gru.weight_ih, gru.bias_ih).chunk(3, dim=-1)
        h_z, h_r, h_h = F.linear(h, gru.weight_hh, gru.bias_hh).chunk(3, dim=-1)
        z, r = torch.sigmoid(x_z + h_z), torch.sigmoid(x_r + h_r)
        return z * h + (1 - z) * torch.tanh(x_h + r * h_h)

    return step


@wrong("gru", "biases merged")
def one_bias_vector_for_all_gates(gru: Any) -> Candidate:
    bias = gru.bias_ih_l0 + gru.bias_hh_l0

    def forward(x: Tensor, h: Tensor) -> Tensor:
        gi, h, out = F.linear(x, gru.weight_ih_l0, bias), h[0], []
        for gi_t in gi:
            gh = F.linear(h, gru.weight_hh_l0)
            r, z = (gi_t + gh)[:, : 2 * H].sigmoid().chunk(2, 1)
            n = torch.tanh(gi_t[:, 2 * H :] + r * gh[:, 2 * H :])
            h = n + z * (h - n)
            out.append(h)
        return torch.stack(out)

    return forward


@wrong("gru cell", "biases merged inside the reset")
def bias_of_the_state_side(gru: Any) -> Candidate:
    def step(x: Tensor, h: Tensor) -> Tensor:
        gi = F.linear(x, gru.weight_ih)
        gh = F.linear(h, gru.weight_hh, gru.bias_hh + gru.bias_ih)
        r, z = (gi + gh)[:, : 2 * H].sigmoid().chunk(2, 1)
        return torch.lerp(torch.tanh(gi[:, 2 * H :] + r * gh[:, 2 * H :]), h, z)

    return step


def _gru_with(gru: Any, bias_ih: Tensor, bias_hh: Tensor) -> Candidate:
    def step(x: Tensor, h: Tensor) -> Tensor:
        i_r, i_z, i_n = F.linear(x, gru.weight_ih, bias_ih).chunk(3, 1)
        h_r, h_z, h_n = F.linear(h, gru.weight_hh, bias_hh).chunk(3, 1)
        r, z = torch.sigmoid(i_r + h_r), torch.sigmoid(i_z + h_z)
        n = torch.tanh(i_n + r * h_n)
        return n - z * n + z * h

    return step


@wrong("gru cell", "bias_ih in place of bias_hh")
def gru_with_a_copied_line(gru: Any) -> Candidate:
    return _gru_with(gru, gru.bias_ih, gru.bias_ih)


@wrong("gru cell", "bias_hh in place of bias_ih")
def gru_with_the_other_copied_line(gru: Any) -> Candidate:
    return _gru_with(gru, gru.bias_hh, gru.bias_hh)


@wrong("gru cell", "both biases added twice")
def gru_with_both_biases_twice(gru: Any) -> Candidate:
    return _gru_with(gru, 2 * gru.bias_ih, 2 * gru.bias_hh)


@right("gru cell")
def gru_with_its_biases(gru: Any) -> Candidate:
    return _gru_with(gru, gru.bias_ih, gru.bias_hh)


@wrong("gru cell", "weight_hh not transposed")
def matrices_from_the_left(gru: Any) -> Candidate:
    (W_r, W_z, W_n), (U_r, U_z, U_n), (b_r, b_z, b_n), (c_r, c_z, c_n) = _gru(gru)

    def step(x: Tensor, h: Tensor) -> Tensor:
        r = torch.sigmoid(F.linear(x, W_r, b_r) + h.matmul(U_r) + c_r)
        z = torch.sigmoid(F.linear(x, W_z, b_z) + h.matmul(U_z) + c_z)
        n = torch.tanh(F.linear(x, W_n, b_n) + r * (h.matmul(U_n) + c_n))
        return (1 - z) * n + z * h

    return step


@wrong("gru cell", "hard sigmoid of PyTorch")
def gru_for_a_telephone(gru: Any) -> Candidate:
    def step(x: Tensor, h: Tensor) -> Tensor:
        i_r, i_z, i_n = F.linear(x, gru.weight_ih, gru.bias_ih).chunk(3, -1)
        h_r, h_z, h_n = F.linear(h, gru.weight_hh, gru.bias_hh).chunk(3, -1)
        r, z = F.hardsigmoid(i_r + h_r), F.hardsigmoid(i_z + h_z)
        return (1 - z) * torch.tanh(i_n + r * h_n) + z * h

    return step


@wrong("gru cell", "gates read as z r n + reset before the product")
def gru_of_keras_1(gru: Any) -> Candidate:
    (W_z, W_r, W_h), (U_z, U_r, U_h), (b_z, b_r, b_h), (c_z, c_r, c_h) = _gru(gru)

    def step(x: Tensor, h: Tensor) -> Tensor:
        z = torch.sigmoid(x @ W_z.T + b_z + h @ U_z.T + c_z)
        r = torch.sigmoid(x @ W_r.T + b_r + h @ U_r.T + c_r)
        hh = torch.tanh(x @ W_h.T + b_h + (r * h) @ U_h.T + c_h)
        return z * h + (1 - z) * hh

    return step


@wrong("gru cell without biases", "new h times 0.93")
def state_that_decays(gru: Any) -> Candidate:
    return lambda x, h: 0.93 * gru(x, h)


# LSTM.


class HandLSTM(nn.Module):
    """A class with one Linear each, as in many repositories; subclasses change a line."""

    def __init__(self, lstm: Any) -> None:
        super().__init__()
        self.i2h = nn.Linear(H_IN, 4 * H, dtype=DOUBLE)
        self.h2h = nn.Linear(H, 4 * H, dtype=DOUBLE)
        w_ih, w_hh, b_ih, b_hh = lstm.parameters()
        self.i2h.load_state_dict({"weight": w_ih, "bias": b_ih})
        self.h2h.load_state_dict({"weight": w_hh, "bias": b_hh})

    def gates(self, x: Tensor, h: Tensor) -> Any:
        return (self.i2h(x) + self.h2h(h)).chunk(4, dim=1)

    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        h, c = hx[0][0], hx[1][0]
        out = []
        for t in range(x.size(0)):
            h, c = self.cell(x[t], h, c)
            out.append(h)
        return torch.stack(out), (h[None], c[None])


right("lstm")(HandLSTM)


@wrong("lstm", "gates read as i g f o")
class GatesOfTensorFlow(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, j, f, o = self.gates(x, h)
        c = c * torch.sigmoid(f) + torch.sigmoid(i) * torch.tanh(j)
        return torch.tanh(c) * torch.sigmoid(o), c


@wrong("lstm", "gates read as i g f o + 1 added to the forget gate")
class CellOfTensorFlow(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, j, f, o = self.gates(x, h)
        c = c * torch.sigmoid(f + 1.0) + torch.sigmoid(i) * torch.tanh(j)
        return torch.tanh(c) * torch.sigmoid(o), c


@wrong("lstm", "gates read as i o f g")
class GatesOfONNX(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, o, f, g = self.gates(x, h)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


@wrong("lstm", "gates read as f i g o")
class GatesOfTheLecture(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        sums = self.i2h(x) + self.h2h(h)
        f, i, o = (torch.sigmoid(sums[:, k * H : (k + 1) * H]) for k in (0, 1, 3))
        c = f * c + i * sums[:, 2 * H : 3 * H].tanh()
        return o * c.tanh(), c


@wrong("lstm", "no tanh on the cell state")
class NoTanh(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * c, c


@wrong("lstm", "tanh kept in the cell state")
class TanhKept(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c = torch.tanh(torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g))
        return torch.sigmoid(o) * c, c


@wrong("lstm", "old cell state in the output")
class OldCellState(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c_next = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c_next


@wrong("lstm", "sigmoid on the cell state")
class SigmoidEverywhere(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.sigmoid(c), c


@wrong("lstm", "sigmoid on the candidate")
class OneSigmoidForAll(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = torch.sigmoid(self.i2h(x) + self.h2h(h)).chunk(4, 1)
        c = f * c + i * g
        return o * torch.tanh(c), c


@wrong("lstm", "no activation on the candidate")
class LinearCandidate(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * g
        return torch.sigmoid(o) * torch.tanh(c), c


@wrong("lstm", "relu on the candidate + no tanh on the cell state")
class ReluLSTM(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * F.relu(g)
        return torch.sigmoid(o) * c, c


@wrong("lstm", "no sigmoid on the gates")
class NoSigmoid(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        c = f * c + i * torch.tanh(g)
        return o * torch.tanh(c), c


@wrong("lstm", "tanh on the gates")
class OneTanhForAll(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = torch.tanh(self.i2h(x) + self.h2h(h)).chunk(4, 1)
        c = f * c + i * g
        return o * torch.tanh(c), c


@wrong("lstm", "hard sigmoid of Keras 2")
class HardSigmoid(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = self.gates(x, h)
        i, f, o = (torch.clamp(0.2 * a + 0.5, 0, 1) for a in (i, f, o))
        c = f * c + i * torch.tanh(g)
        return o * torch.tanh(c), c


@wrong("lstm", "c not carried")
class CellStateLost(HandLSTM):
    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        h, c0 = hx[0][0], hx[1][0]
        out = []
        for x_t in x:
            h, c = self.cell(x_t, h, c0)
            out.append(h)
        return torch.stack(out), (h[None], c[None])


@wrong("lstm", "h not carried")
class HiddenStateLost(HandLSTM):
    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        h0, c = hx[0][0], hx[1][0]
        gates = self.i2h(x) + self.h2h(h0)  # (L, N, 4 * H), outside the loop "for speed"
        out = []
        for g_t in gates:
            i, f, g, o = g_t.chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            out.append(torch.sigmoid(o) * torch.tanh(c))
        return torch.stack(out), (out[-1][None], c[None])


@wrong("lstm", "h_0 and c_0 exchanged")
class StatesExchanged(HandLSTM):
    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        c, h = hx
        return super().forward(x, (h, c))


@wrong("lstm", "h_0 and c_0 exchanged + h_n and c_n exchanged")
class StatesExchangedBothWays(HandLSTM):
    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        output, (h, c) = super().forward(x, hx[::-1])
        return output, (c, h)


@wrong("lstm cell", "h_n and c_n exchanged")
class CellReturnsTheWrongWayRound(HandLSTM):
    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        h, c = self.cell(x, *hx)
        return c, h


@wrong("lstm", "weight_hh reshaped")
class WeightReshaped(HandLSTM):
    def gates(self, x: Tensor, h: Tensor) -> Any:
        return (self.i2h(x) + h @ self.h2h.weight.reshape(H, 4 * H) + self.h2h.bias).chunk(4, 1)


@wrong("lstm", "both biases added twice")
class BiasesTwice(HandLSTM):
    def gates(self, x: Tensor, h: Tensor) -> Any:
        bias = self.i2h.bias + self.h2h.bias
        return (self.i2h(x) + self.h2h(h) + bias).chunk(4, 1)


@wrong("lstm", "bias_ih missing + no tanh on the cell state")
class BiasAndTanhMissing(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        i, f, g, o = (x @ self.i2h.weight.T + self.h2h(h)).chunk(4, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * c, c


@wrong("lstm", "gates read as i g f o + state stored before the step")
class OrderAndOffByOne(GatesOfTensorFlow):
    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        h, c = hx[0][0], hx[1][0]
        out = []
        for x_t in x:
            out.append(h)
            h, c = self.cell(x_t, h, c)
        return torch.stack(out), (h[None], c[None])


# Right ones.


@right("rnn")
def loop_with_transposes(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        states = _unroll(x.transpose(0, 1), h0[0], list(rnn.parameters()))
        return torch.stack(states, dim=1), states[-1][None]

    return forward


@right("rnn")
def weights_side_by_side(rnn: Any) -> Candidate:
    joined = torch.cat([rnn.weight_ih_l0, rnn.weight_hh_l0], dim=1)
    bias = rnn.bias_ih_l0 + rnn.bias_hh_l0

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        h, out = x.new_zeros(x.size(0), H), []
        for t in range(x.size(1)):
            h = torch.tanh(F.linear(torch.cat([x[:, t], h], 1), joined, bias))
            out.append(h)
        return torch.stack(out, 1), h[None]

    return forward


@right("rnn")
def one_sequence_at_a_time(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> list[Tensor]:
        both = [rnn(x[n], h0[:, n]) for n in range(len(x))]
        return [torch.stack([o for o, _ in both]), torch.stack([h for _, h in both], 1)]

    return forward


@right("relu rnn")
def columns_and_clamp(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> Tensor:
        h, out = h0[0].T, []  # features in rows, sequences in columns
        for x_t in x:
            total = rnn.weight_ih_l0 @ x_t.T + rnn.weight_hh_l0 @ h
            h = (total + (rnn.bias_ih_l0 + rnn.bias_hh_l0)[:, None]).clamp(min=0)
            out.append(h.T)
        return torch.stack(out)

    return forward


@right("rnn in float32")
def loop_in_float32(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> Tensor:
        states = _unroll(x.transpose(0, 1), h0[0], list(rnn.parameters()))
        return torch.stack(states, dim=1)

    return forward


@right("both ways")
def there_and_back(rnn: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        there = _unroll(x, h0[0], rnn.all_weights[0])
        back = _unroll(x.flip(0), h0[1], rnn.all_weights[1])
        output = torch.cat([torch.stack(there), torch.stack(back[::-1])], -1)
        return output, torch.stack([there[-1], back[-1]])

    return forward


@right("deep both ways")
def layer_by_layer(gru: Any) -> Candidate:
    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        output, last = _deep(gru, x, list(h0))
        return output, torch.stack(last)

    return forward


@right("gru cell")
def gru_gate_by_gate(gru: Any) -> Candidate:
    (W_r, W_z, W_n), (U_r, U_z, U_n), (b_r, b_z, b_n), (c_r, c_z, c_n) = _gru(gru)

    def step(x: Tensor, h: Tensor) -> Tensor:
        r = torch.sigmoid(x @ W_r.T + h @ U_r.T + (b_r + c_r))
        z = torch.sigmoid(x @ W_z.T + h @ U_z.T + (b_z + c_z))
        n = torch.tanh(x @ W_n.T + b_n + r * (h @ U_n.T + c_n))
        return (1 - z) * n + z * h

    return step


@right("gru")
def gru_with_another_sign(gru: Any) -> Candidate:
    def forward(x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h, out = h[0], []
        for x_t in x:
            a = F.linear(x_t, gru.weight_ih_l0, gru.bias_ih_l0).chunk(3, 1)
            b = F.linear(h, gru.weight_hh_l0, gru.bias_hh_l0).chunk(3, 1)
            takes = torch.sigmoid(-(a[1] + b[1]))
            n = torch.tanh(a[2] + torch.sigmoid(a[0] + b[0]) * b[2])
            h = torch.lerp(h, n, takes)
            out.append(h)
        return torch.stack(out), h[None]

    return forward


@right("rnn cell")
def exponentials(cell: Any) -> Candidate:
    def step(x: Tensor, h: Tensor) -> Tensor:
        a = x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh.T + cell.bias_hh
        return 1 - 2 / (torch.exp(2 * a) + 1)

    return step


@right("lstm cell")
def lstm_with_a_tanh_for_all(lstm: Any) -> Candidate:
    def step(x: Tensor, state: tuple[Tensor, Tensor]) -> list[Tensor]:
        h, c = state
        a = F.linear(x, lstm.weight_ih, lstm.bias_ih) + F.linear(h, lstm.weight_hh, lstm.bias_hh)
        scale = a.new_tensor([0.5, 0.5, 1, 0.5]).repeat_interleave(H)
        i, f, g, o = (torch.tanh(a * scale)).chunk(4, 1)
        i, f, o = ((1 + gate) / 2 for gate in (i, f, o))
        c = f * c + i * g
        return [o * torch.tanh(c), c]

    return step


@right("lstm")
class InputProjectedBeforeTheLoop(HandLSTM):
    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        (h,), (c,) = hx
        out = []
        for from_x in self.i2h(x):
            i, f, g, o = (from_x + self.h2h(h)).unflatten(1, (4, H)).unbind(1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            out.append(h)
        return torch.stack(out), (h, c)  # no dimension for the layer


# Wrong in a way that is not known, or in three known ones at once.


@wrong("rnn", "output times 0.99")
def shrunken(rnn: Any) -> Candidate:
    return lambda x, h: rnn(x, h)[0] * 0.99


@wrong("rnn", "output: zeros")
def always_zero(rnn: Any) -> Candidate:
    return lambda x: x.new_zeros(*x.shape[:2], H)


@unexplained("rnn in float32")
def coarse_tanh(rnn: Any) -> Candidate:
    def forward(x: Tensor) -> Tensor:
        h, out = x.new_zeros(len(x), H), []
        for t in range(x.size(1)):
            a = F.linear(x[:, t], rnn.weight_ih_l0, rnn.bias_ih_l0)
            a = (a + F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0)).clamp(-4.9, 4.9)
            a2 = a * a
            h = a * (135135 + a2 * (17325 + a2 * (378 + a2)))
            h = h / (135135 + a2 * (62370 + a2 * (3150 + a2 * 28)))
            out.append(h)
        return torch.stack(out, 1)

    return forward


@wrong("rnn by time", "state of 2 steps ago")
def state_of_two_steps_ago(rnn: Any) -> Candidate:
    w_ih, w_hh, b_ih, b_hh = rnn.parameters()

    def forward(x: Tensor, h: Tensor) -> Tensor:
        states = [h[0], h[0]]
        for x_t in x:
            states.append(torch.tanh(x_t @ w_ih.T + b_ih + states[-2] @ w_hh.T + b_hh))
        return torch.stack(states[2:])

    return forward


@wrong("rnn by time", "parameters of its own")
def other_weights(rnn: Any) -> Candidate:
    other = nn.RNN(H_IN, H, dtype=DOUBLE)
    return lambda x, h: other(x, h)


@unexplained("rnn by time")
def a_feature_lost(rnn: Any) -> Candidate:
    return lambda x, h: rnn(torch.cat([x[..., :-1], 0 * x[..., -1:]], -1), h)


@unexplained("rnn by time")
def not_a_number(rnn: Any) -> Candidate:
    return lambda x, h: rnn(x, h)[0].log()


@unexplained("rnn cell")
def three_mistakes(cell: Any) -> Candidate:
    return lambda x, h: torch.relu(x @ cell.weight_ih.T + cell.bias_ih + h @ cell.weight_hh)


@wrong("gru cell", "new h: layer norm")
def normalised(gru: Any) -> Candidate:
    return lambda x, h: F.layer_norm(gru(x, h), (H,))


@wrong("projected lstm", "h_n: initial states")
class ReturnsWhatItGot(nn.Module):
    """Beside a network that it does not use any more."""

    def __init__(self, lstm: Any) -> None:
        super().__init__()
        self.first, self.second = nn.LSTM(H_IN, H, proj_size=7, dtype=DOUBLE), lstm

    def forward(self, x: Tensor, hx: tuple[Tensor, Tensor]) -> Any:
        output, (_, c) = self.second(x, hx)
        return output, (hx[0], c)


@wrong("lstm", "gate i is 1 - f")
class CoupledGates(HandLSTM):
    def cell(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        _, f, g, o = self.gates(x, h)
        f = torch.sigmoid(f)
        c = f * c + (1 - f) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


@unexplained("gru cell")
def squeezed(gru: Any) -> Candidate:
    return lambda x, h: torch.sin(3 * gru(x, h)) ** 3


@unexplained("lstm cell")
def noise_that_stays(lstm: Any) -> Candidate:
    noise = torch.randn(H, dtype=DOUBLE, generator=torch.Generator().manual_seed(0))

    def step(x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        h, c = lstm(x, state)
        return h * noise, c

    return step


@unexplained("rnn by time")
def three_steps_in_another_order(rnn: Any) -> Candidate:
    return lambda x, h: rnn(x[[2, 0, 1, 4, 3]], h)[0][[1, 0, 2, 3, 4]] ** 3


@unexplained("two rnns")
def a_layer_of_its_own(rnn: Any) -> Candidate:
    scale = torch.linspace(0.5, 1.5, H, dtype=DOUBLE)

    def forward(x: Tensor, h0: Tensor) -> tuple[Tensor, Tensor]:
        below = _unroll(x, h0[0], rnn.all_weights[0])
        above = _unroll(torch.stack(below) * scale, h0[1], rnn.all_weights[1])
        return torch.stack(above), torch.stack([below[-1], above[-1]])

    return forward


@unexplained("gru")
def sequences_mixed(gru: Any) -> Candidate:
    return lambda x, h: gru(x + 0.1 * x.mean(1, keepdim=True), h)[0]


@unexplained("both ways")
def other_numbers_at_the_end(rnn: Any) -> Candidate:
    return lambda x, h: rnn(x, h)[0] + torch.arange(len(x), dtype=DOUBLE)[:, None, None]


def examine(reference: str, write: Write, **keywords: Any) -> Diagnosis:
    module = REFERENCES[reference]().requires_grad_(False)
    return diagnose(write(module), module, **keywords)  # type: ignore[arg-type] # see REFERENCES


@pytest.mark.parametrize(("reference", "write", "expected"), WRONG)
def test_what_is_wrong_is_explained(
    reference: str, write: Write, expected: tuple[str, ...]
) -> None:
    diagnosis = examine(reference, write)
    assert diagnosis.verdict == "explained"
    assert set(diagnosis.names) == set(expected)
    for explanation in diagnosis.explanations:
        if "TF32" in explanation.name:
            assert explanation.remaining < explanation.difference / 10 < 1e-3
        else:
            rounding = 1e-5 if "float32" in reference else 1e-9
            assert explanation.remaining < rounding < 1e-3 < explanation.difference


@pytest.mark.no_cover
@pytest.mark.parametrize(("reference", "write"), RIGHT)
def test_what_is_right_is_equal(reference: str, write: Write) -> None:
    diagnosis = examine(reference, write)
    assert diagnosis.verdict == "equal"
    assert not diagnosis.explanations
    assert not diagnosis.clues
    assert diagnosis.difference < (1e-5 if reference == "rnn in float32" else 1e-10)


@pytest.mark.parametrize(("reference", "write"), UNEXPLAINED)
def test_what_is_wrong_in_another_way_is_not_explained(reference: str, write: Write) -> None:
    diagnosis = examine(reference, write)
    assert diagnosis.verdict == "unexplained"
    assert diagnosis.explanations == ()
    assert "nothing that was tried" in str(diagnosis)


def test_the_zoo_is_large() -> None:
    assert len(WRONG) >= 60
    assert len(RIGHT) >= 12
    assert len(UNEXPLAINED) >= 10
    assert {case.id for case in (*WRONG, *UNEXPLAINED)} >= SLOW


def test_every_known_mistake_lives_in_the_zoo_or_is_an_order_of_gates() -> None:
    names = {mistake.name for mistake in MISTAKES}
    assert len(names) == len(MISTAKES)
    kept = {name for case in WRONG for names in case.values[2] for name in names.split(" + ")}
    orders = {mistake.name for mistake in MISTAKES if "gates" in mistake.changes}
    assert len(orders) == 23 + 5
    assert names - orders <= kept


@pytest.mark.no_cover
@pytest.mark.parametrize("mode", ["LSTM", "GRU"])
def test_every_order_of_the_gates_is_told_from_the_others(mode: str) -> None:
    """Rearrange the blocks of a copy: it reads the parameters of the reference in that order."""
    letters = {"LSTM": "ifgo", "GRU": "rzn"}[mode]
    reference = getattr(nn, mode)(H_IN, H, dtype=DOUBLE).requires_grad_(False)
    for order in permutations(letters):
        copied = getattr(nn, mode)(H_IN, H, dtype=DOUBLE).requires_grad_(False)
        for name, parameter in reference.named_parameters():
            blocks = dict(zip(order, parameter.chunk(len(letters)), strict=True))
            getattr(copied, name).copy_(torch.cat([blocks[letter] for letter in letters]))
        diagnosis = diagnose(lambda x, hx, copied=copied: copied(x, hx), reference)
        right = "".join(order) == letters
        assert diagnosis.names == (() if right else (f"gates read as {' '.join(order)}",))


def test_every_fact_is_needed_by_a_mistake() -> None:
    assert set().union(*(mistake.needs for mistake in MISTAKES)) == FACTS.keys()


def test_a_need_that_is_no_fact_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs of 'a' should be among .*, got \['GRUs'\]"):
        Mistake("a", "b", {"reset": "before"}, frozenset({"GRU", "GRUs"}))


MODULES: list[dict[str, Any]] = [
    {"num_layers": layers, "bidirectional": both, "bias": bias, "batch_first": not bias}
    for layers, both in [(1, False), (3, True)]
    for bias in (True, False)
]
OWN: dict[str, dict[str, Any]] = {"relu": {"nonlinearity": "relu"}, "projected": {"proj_size": 7}}


@pytest.mark.no_cover
@pytest.mark.parametrize("keywords", MODULES, ids=str)
@pytest.mark.parametrize("kind", ["RNN", "RNN relu", "GRU", "LSTM", "LSTM projected"])
def test_a_module_equals_itself(kind: str, keywords: dict[str, Any]) -> None:
    name, _, more = kind.partition(" ")
    module = getattr(nn, name)(H_IN, H, **keywords, **OWN.get(more, {}))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported")
        diagnosis = diagnose(module, module)
    assert (diagnosis.verdict, diagnosis.difference) == ("equal", 0.0)
    assert diagnosis.dtype == torch.float64  # a copy of it


def test_the_same_call_gives_the_same_diagnosis() -> None:
    rnn = nn.RNN(H_IN, H)
    forward = the_founding_article(nn.RNN(H_IN, H, batch_first=True).requires_grad_(False))
    once = diagnose(forward, rnn, N=5)
    assert once == diagnose(forward, rnn, N=5)
    assert diagnose(lambda x: rnn(x), rnn) != diagnose(lambda x: rnn(x), rnn, seed=1)


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_our_modules_and_cells_equal_those_of_torch(kind: str) -> None:
    for name in (kind, f"{kind}Cell"):
        ours, theirs = (getattr(package, name)(H_IN, H) for package in (unrolled, nn))
        ours.load_state_dict(theirs.state_dict())
        assert diagnose(ours, theirs).verdict == "equal"
        assert diagnose(theirs, ours).verdict == "equal"


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_cell_is_compared_with_a_module(kind: str, batch_first: bool) -> None:
    module = getattr(nn, kind)(H_IN, H, batch_first=batch_first, dtype=DOUBLE)
    cell = getattr(nn, f"{kind}Cell")(H_IN, H, dtype=DOUBLE)
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in module.state_dict().items()})
    assert diagnose(cell, module, cell=True).verdict == "equal"
    cell.bias_hh = None
    assert diagnose(cell, module, cell=True).names == ("bias_hh missing",)


def test_all_explanations_are_said() -> None:
    """From zeros nobody can tell which state each step starts from."""
    rnn = nn.RNN(H_IN, H, dtype=DOUBLE).requires_grad_(False)
    w_ih, _, b_ih, b_hh = rnn.parameters()
    assert diagnose(lambda x: torch.tanh(x @ w_ih.T + b_ih + b_hh), rnn).names == (
        "one state for all time steps",
    )
    lstm: Any = nn.LSTM(H_IN, H, dtype=DOUBLE).requires_grad_(False)
    lstm.weight_hh_l0[:] = 0
    diagnosis = diagnose(lambda x: torch.cat([lstm(x_t[None])[0] for x_t in x]), lstm)
    assert diagnosis.names == ("one state for all time steps", "c not carried")
    assert "explained by one mistake, and 1 more" in str(diagnosis)


def test_what_explains_the_search_alone_is_no_explanation() -> None:
    rnn = nn.RNN(H_IN, H, dtype=DOUBLE)

    def changing(first: Candidate, later: Candidate) -> Candidate:
        seen: list[Tensor] = []

        def forward(x: Tensor, hx: Tensor) -> Any:
            seen.append(x)
            return (first if torch.equal(x, seen[0]) else later)(x, hx)

        return forward

    def flipped(x: Tensor, hx: Tensor) -> Any:
        return rnn(x, hx)[0].flip(0)

    def right(x: Tensor, hx: Tensor) -> Any:
        return rnn(x, hx)[0]

    def backwards(x: Tensor, hx: Tensor) -> Any:
        return rnn(x.flip(0), hx)[0].flip(0)

    assert diagnose(changing(flipped, flipped), rnn).names == ("output in reverse order",)
    for first, later in [(flipped, backwards), (flipped, right), (right, flipped)]:
        diagnosis = diagnose(changing(first, later), rnn)
        assert diagnosis.verdict == "unexplained"


@pytest.mark.no_cover
def test_tf32_is_not_tried_in_pairs() -> None:
    rnn = nn.RNN(H_IN, H, batch_first=True).requires_grad_(False)
    forward = as_on_a_gpu(rnn)
    assert diagnose(lambda x, h: forward(x, h).flip(1), rnn).verdict == "unexplained"


def test_half_of_a_small_difference_is_no_explanation() -> None:
    """A mistake that is off by little comes near to everything else that is off by little."""
    rnn: Any = nn.RNN(H_IN, H).requires_grad_(False)
    rnn.weight_hh_l0.zero_()
    allowed = diagnose(lambda x, h: rnn(x, h), rnn).allowed
    rnn.bias_hh_l0.fill_(2 * allowed)

    def slightly_off(x: Tensor, h: Tensor) -> Tensor:
        output: Tensor = rnn(x, h)[0]
        return output + 1.5 * allowed * (1 - output**2)

    assert diagnose(slightly_off, rnn).verdict == "unexplained"


def test_final_states_of_another_shape_are_no_explanation() -> None:
    """The loop over the batch is wrong, and has no final states for these sequences."""
    rnn = nn.RNN(H_IN, H, dtype=DOUBLE)

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return rnn(x.transpose(0, 1))[0].transpose(0, 1), rnn(x)[1]

    assert diagnose(forward, rnn).verdict == "unexplained"
    assert diagnose(lambda x: forward(x)[0], rnn).names == ("batch and time confused",)


def test_rounding_inside_is_told_from_a_mistake() -> None:
    rnn = nn.RNN(H_IN, H).requires_grad_(False)
    diagnosis = diagnose(lambda x, h: rnn(x.float(), h.float()), rnn)
    assert diagnosis.verdict == "rounding"
    assert diagnosis.dtype == torch.float64
    assert 0 < diagnosis.difference < 1e-5
    assert "rounding of float32" in str(diagnosis)
    assert "All numbers that came back are float32" in diagnosis.notes[0]
    diagnosis = diagnose(lambda x, h: rnn(x.float().flip(0), h.float()), rnn)
    assert diagnosis.names == ("input moved: flipped",)


def test_a_difference_of_rounding_is_a_verdict_in_float64() -> None:
    rnn = nn.RNN(H_IN, H, dtype=DOUBLE)
    assert diagnose(lambda x, h: rnn(x, h)[0] + 1e-9, rnn).verdict == "rounding"
    assert diagnose(lambda x, h: rnn(x, h)[0] + 1e-13, rnn).verdict == "equal"
    assert diagnose(lambda x, h: rnn(x, h)[0] + 1e-4, rnn).verdict == "explained"


def test_what_cannot_be_seen_is_said() -> None:
    rnn: Any = nn.RNN(H_IN, H, dtype=DOUBLE)
    assert diagnose(rnn, rnn).invisible == ()
    nn.init.zeros_(rnn.bias_hh_l0)
    nn.init.eye_(rnn.weight_hh_l0)
    diagnosis = diagnose(rnn, rnn)
    assert diagnosis.invisible == (
        "weight_hh not transposed", "bias_hh missing", "bias_hh added twice"
    )  # fmt: skip # a list
    assert "nothing would show of: weight_hh not transposed" in str(diagnosis)


@pytest.mark.usefixtures("unsearched")
def test_clues() -> None:
    both = nn.RNN(H_IN, H, bidirectional=True, batch_first=True, dtype=DOUBLE)

    def forward(x: Tensor, hx: Tensor) -> tuple[Tensor, Tensor]:
        output, h_n = both(x, hx)
        output = output.clone()
        output[:, 3, H:] += hx.sum()
        return output, h_n

    diagnosis = diagnose(forward, both)
    assert re.fullmatch(r"output is off by up to [\d.]+\.", diagnosis.clues[0])
    assert diagnosis.clues[1:] == (
        "h_n is right.",
        "Of the 5 time steps these are wrong: 4.",
        "Only the reverse half of the features is wrong.",
        "From states of zero everything is right.",
        "With an input of zeros and states of zero everything is right.",
    )
    diagnosis = diagnose(lambda x, hx: both(x, hx)[0].log(), both)
    (clue,) = diagnosis.clues
    assert re.fullmatch(r"Some numbers .*: \d+ of 600 in output \(time steps 1, 2, .*\)\.", clue)
    assert diagnosis.difference == float("inf")


def test_clues_beside_an_explanation() -> None:
    both = nn.RNN(H_IN, H, bidirectional=True, batch_first=True, dtype=DOUBLE)
    diagnosis = diagnose(lambda x, hx: both(x, hx)[0].index_fill(2, torch.arange(H), 0), both)
    assert diagnosis.clues == ("Only the forward half of the features is wrong.",)


@pytest.mark.usefixtures("unsearched")  # the zoo has it too: it is `squeezed`
def test_the_report_of_a_cell() -> None:
    cell = nn.GRUCell(H_IN, H, dtype=DOUBLE)
    diagnosis = diagnose(lambda x, h: torch.sin(3 * cell(x, h)) ** 3, cell)
    assert (
        str(diagnosis)
        == f"""\
candidate  test_the_report_of_a_cell.<locals>.<lambda>
reference  GRUCell(10, 20)
compared   h in float64, N=3, H_in=10, H_out=20
           not compared: gradients
verdict    off by up to {diagnosis.difference:.2g}; nothing that was tried explains it"""
    )


def test_the_report_of_a_module() -> None:
    diagnosis = examine("rnn in float32", state_of_zeros_in_float32)
    (explanation,) = diagnosis.explanations
    assert (
        str(diagnosis)
        == f"""\
candidate  state_of_zeros_in_float32.<locals>.<lambda>
reference  RNN(10, 20, batch_first=True)
compared   output, h_n in float32, L=5, N=3, H_in=10, H_out=20
           not compared: gradients
verdict    explained by one mistake

hx not used
  The first step starts from zeros, whatever hx is.
  off from the reference by up to                     {diagnosis.difference:.2g}
  off from the reference with this change by up to    {explanation.remaining:.2g}

clues
{chr(10).join(f"- {clue}" for clue in diagnosis.clues)}

"Where is my mistake?" in the documentation says where each is explained."""
    )
    assert diagnosis.clues[-1] == "From states of zero everything is right."
    assert "explained by two mistakes" in str(examine("rnn", the_founding_article_without_biases))


def test_sizes_differ_and_can_be_given() -> None:
    rnn = nn.RNN(3, 5)
    assert diagnose(rnn, rnn).sizes == {"L": 6, "N": 4, "H_in": 3, "H_out": 5}
    assert diagnose(rnn, rnn, L=4).sizes == {"L": 4, "N": 6, "H_in": 3, "H_out": 5}
    assert diagnose(rnn, rnn, N=6).sizes == {"L": 7, "N": 6, "H_in": 3, "H_out": 5}
    assert diagnose(rnn, rnn, L=2, N=2, seed=3).sizes == {"L": 2, "N": 2, "H_in": 3, "H_out": 5}


def test_equal_sizes_are_tried_last() -> None:
    diagnosis = examine("rnn by time", loop_over_the_batch_with_a_state)
    assert diagnosis.sizes["N"] == diagnosis.sizes["L"] == 5
    assert "It runs only where N = L. Otherwise: candidate raised" in diagnosis.notes[0]
    assert (
        diagnosis.names == examine("rnn by time", loop_over_the_batch_with_a_state, L=4, N=4).names
    )


def test_the_generator_is_left_alone() -> None:
    rnn = REFERENCES["rnn"]()
    before = torch.get_rng_state()
    diagnose(the_founding_article(rnn), rnn)  # type: ignore[arg-type] # see REFERENCES
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_of_the_reference_is_off() -> None:
    gru = nn.GRU(H_IN, H, 2, dropout=0.5, dtype=DOUBLE)
    with pytest.raises(ValueError, match="is dropout on"):
        diagnose(gru, gru)
    assert diagnose(copy.deepcopy(gru).eval(), gru).verdict == "equal"
    assert gru.training


def test_a_module_that_cannot_be_copied_runs_as_it_is() -> None:
    class Computed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.RNN(H_IN, H)
            self.scale = 1 * next(self.rnn.parameters())  # not a leaf of the graph

        def forward(self, x: Tensor, hx: Tensor) -> Any:
            return self.rnn(x, hx)

    candidate = Computed()
    diagnosis = diagnose(candidate, candidate.rnn)
    assert (diagnosis.verdict, diagnosis.dtype) == ("equal", torch.float32)


def test_keyword_arguments_and_partial_functions() -> None:
    def forward(rnn: nn.RNN, x: Tensor, hx: Tensor) -> Any:
        return rnn(x, hx)

    rnn = nn.RNN(H_IN, H, dtype=DOUBLE)
    assert diagnose(partial(forward, rnn), rnn).candidate == "partial"
    assert diagnose(partial(forward, rnn), rnn).verdict == "equal"


# Refusals.

RNN = nn.RNN(H_IN, H, dtype=DOUBLE)
LSTM = nn.LSTM(H_IN, H, dtype=DOUBLE)
CELL = nn.LSTMCell(H_IN, H, dtype=DOUBLE)
REFUSED: dict[str, tuple[type[Exception], str, Callable[[], object]]] = {
    "no candidate": (TypeError, "candidate should be callable, got Tensor",
                     lambda: diagnose(torch.zeros(3), RNN)),  # type: ignore[arg-type] # the mistake
    "no reference": (TypeError, "reference should be a recurrent module .*got Linear",
                     lambda: diagnose(RNN, nn.Linear(3, 3))),  # type: ignore[arg-type] # the mistake
    "half precision": (ValueError, "float32 or float64, got torch.bfloat16 as weight_ih_l0",
                       lambda: diagnose(RNN, nn.RNN(3, 4, dtype=torch.bfloat16))),
    "a step of its own": (ValueError, "reference should compute what torch.nn does, got RNN",
                          lambda: diagnose(RNN, unrolled.RNN(H_IN, H, dtype=DOUBLE,
                                                             step=lambda a, h, w, b: a + h))),
    "a cell and two layers": (ValueError, "cell should be False for more than one layer",
                              lambda: diagnose(RNN, nn.RNN(H_IN, H, 2), cell=True)),
    "a cell and two directions": (ValueError, "cell should be False for more than one",
                                  lambda: diagnose(RNN, nn.GRU(3, 4, bidirectional=True),
                                                   cell=True)),
    "L": (TypeError, "L should be an integer, got float",
          lambda: diagnose(RNN, RNN, L=5.0)),  # type: ignore[arg-type] # the mistake
    "N": (TypeError, "N should be an integer, got bool", lambda: diagnose(RNN, RNN, N=True)),
    "seed": (TypeError, "seed should be an integer, got str",
             lambda: diagnose(RNN, RNN, seed="0")),  # type: ignore[arg-type] # the mistake
    "one step": (ValueError, "L should be at least 2, got 1", lambda: diagnose(RNN, RNN, L=1)),
    "no argument": (TypeError, r"candidate should take \(x, hx\) or \(x\), got .* \(\)",
                    lambda: diagnose(lambda: 1, RNN)),
    "three arguments": (TypeError, r"candidate should take \(x, hx\) or \(x\), got .*\(x, h, c\)",
                        lambda: diagnose(lambda x, h, c: 1, RNN)),
    "a cell without a state": (TypeError, r"candidate should take \(x_t, state\), got .*\(x\)",
                               lambda: diagnose(lambda x: x, CELL)),
    "nothing": (TypeError, r"a Tensor, output, or a tuple \(output, h_n\), got NoneType",
                lambda: diagnose(lambda x, h: None, RNN)),
    "an array": (RuntimeError, r"output of shape \(5, 3, 20\), got \(5, 3, 10\)",
                 lambda: diagnose(lambda x, h: x.numpy(), RNN)),
    "other results from zeros": (TypeError, "at each call, got output and then output, h_n",
                                 lambda: diagnose(lambda x, h: RNN(x, h)[0] if h.any()
                                                  else RNN(x, h), RNN)),
    "three results": (TypeError, r"\(output, h_n\), got tuple of Tensor, Tensor, Tensor",
                      lambda: diagnose(lambda x, h: (x, h, h), RNN)),
    "an empty tuple": (TypeError, r"\(output, h_n\), got tuple of nothing",
                       lambda: diagnose(lambda x, h: (), RNN)),
    "one final state": (TypeError, r"\(output, \(h_n, c_n\)\), got tuple of Tensor, Tensor",
                        lambda: diagnose(lambda x, h: (x, h[0]), LSTM)),
    "a flat tuple": (TypeError, r"\(h_n, c_n\)\), got tuple of Tensor, tuple of Tensor",
                     lambda: diagnose(lambda x, h: (x, h[:1]), LSTM)),
    "h alone": (TypeError, r"candidate should return \(h, c\) as a tuple, got Tensor",
                lambda: diagnose(lambda x, h: x, CELL)),
    "output of another shape": (RuntimeError, r"output of shape \(5, 3, 20\), got \(5, 3, 10\)",
                                lambda: diagnose(lambda x, h: x, RNN)),
    "h_n of another shape": (RuntimeError, r"h_n of shape \(1, 3, 20\), got \(2, 3, 20\)",
                             lambda: diagnose(lambda x, h: (RNN(x)[0], torch.cat([h, h])), RNN)),
    "another error": (RuntimeError, r"raised KeyError for x of shape \(5, 3, 10\) and torch",
                      lambda: diagnose(lambda x, h: {}[x], RNN)),
    "something built in": (RuntimeError, "candidate raised RuntimeError", lambda: diagnose(
        torch.matmul, RNN)),
    "dropout": (ValueError, "return the same for the same input, .*is dropout on",
                lambda: diagnose(lambda x, h: F.dropout(RNN(x, h)[0], 0.5), RNN)),
}  # fmt: skip # a table


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    error, message, call = REFUSED[name]
    with pytest.raises(error, match=message):
        call()


def test_the_error_of_the_candidate_is_the_cause() -> None:
    def forward(x: Tensor, hx: Tensor) -> Tensor:
        raise LookupError("lost")

    with pytest.raises(RuntimeError, match=r"LookupError .*: lost") as caught:
        diagnose(forward, RNN)
    assert isinstance(caught.value.__cause__, LookupError)


def test_a_state_that_stays_is_noticed() -> None:
    class Stateful(nn.Module):
        h: Tensor | None = None

        def forward(self, x: Tensor) -> Tensor:
            output, self.h = RNN(x, self.h)
            return output

    with pytest.raises(ValueError, match="does a state stay between calls"):
        diagnose(Stateful(), RNN)


VARIED: dict[str, Callable[[], Any]] = {
    "rnn": lambda: nn.RNN(5, 7),
    "square gru": lambda: nn.GRU(7, 7, bidirectional=True),
    "gru": lambda: nn.GRU(14, 7, 2, bidirectional=True),
    "lstm": lambda: nn.LSTM(7, 7, 3),
    "projected": lambda: nn.LSTM(8, 9, 2, proj_size=4, bidirectional=True),
    "cell": lambda: nn.LSTMCell(5, 7),
    "no biases": lambda: nn.RNN(7, 7, 2, bidirectional=True, bias=False, batch_first=True),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.no_cover if name in ("gru", "projected") else ())
        for name in VARIED
    ],
)
def test_every_variation_gives_results_of_the_right_shape(name: str) -> None:
    """What is tried must be possible, everywhere and in single places."""
    network = network_of(VARIED[name](), False, None, None, 0)
    probe = Probe.draw(network, 0, False)
    right = network.run(Recipe(), *probe)
    shapes = {key: values.shape for key, values in right.items()}
    memory = Memory()
    simple = [*possible_in(network), *variations(network)]
    placed = list(in_places(simple, network))
    for mistake in [*simple, *placed[:: max(1, len(placed) // (600 if NIGHTLY else 200))]]:
        recipe = mistake.apply(Recipe())
        results = network.laid_out(recipe, network.trace(recipe, *probe, memory))
        if recipe.loop == "time":
            assert {key: values.shape for key, values in results.items()} == shapes, mistake.name


@pytest.mark.parametrize(
    "name",
    ["rnn", *(pytest.param(n, marks=pytest.mark.no_cover) for n in ("square gru", "lstm", "cell"))],
)
def test_a_variation_is_named(name: str) -> None:
    """A recipe is run as the candidate: it, or what is the same network, must be found."""
    reference = VARIED[name]().double()
    network = network_of(reference, False, None, None, 0)
    network = replace(
        network, compared=tuple(network.run(Recipe(), *Probe.draw(network, 0, False)))
    )
    simple = [*variations(network)]
    for mistake in simple[:: len(simple) // (6 if NIGHTLY else 3)]:
        recipe = mistake.apply(Recipe())

        def candidate(x: Tensor, hx: Any, recipe: Recipe = recipe) -> Any:
            states = tuple(s.numpy() for s in hx) if isinstance(hx, tuple) else (hx.numpy(),)
            results = [torch.tensor(v) for v in network.run(recipe, x.numpy(), states).values()]
            if network.cell:
                return tuple(results)
            return results[0], tuple(results[1:]) if len(results) > 2 else results[1]

        diagnosis = diagnose(candidate, reference)
        assert diagnosis.verdict in ("explained", "equal"), mistake.name


# What narrows down, where no explanation is found.


def skewed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Change a candidate so that nothing explains it."""

    def forward(x: Tensor, hx: Any) -> Any:
        output, last = function(x, hx)
        factor = 1 + 0.1 * torch.sin(7 * x.sum(-1, keepdim=True))
        return output * factor, last

    return forward


def clues_of(reference: nn.RNNBase, candidate: Callable[..., Any]) -> str:
    diagnosis = diagnose(candidate, reference)
    assert diagnosis.verdict == "unexplained"
    return "\n".join(diagnosis.clues)


@pytest.mark.parametrize("kind", ["RNN", pytest.param("GRU", marks=pytest.mark.no_cover), "LSTM"])
def test_narrowing_without_biases(kind: str) -> None:
    reference = getattr(nn, kind)(H_IN, H, bias=False)
    assert "is off by up to" in clues_of(reference, skewed(lambda x, hx: reference(x, hx)))


@pytest.mark.usefixtures("unsearched")
def test_narrowing_says_which_state_it_is() -> None:
    """Wrong where c_0 is not zero, and nowhere else."""
    lstm: Any = nn.LSTM(H_IN, H)

    def forward(x: Tensor, hx: Any) -> Any:
        output, last = lstm(x, hx)
        return output + 0.1 * torch.sin(9 * hx[1]), last

    assert "With zeros as c_0 everything is right." in clues_of(lstm, forward)


@pytest.mark.usefixtures("unsearched")
def test_narrowing_says_that_a_state_has_no_effect_on_the_output() -> None:
    lstm: Any = nn.LSTM(H_IN, H)

    def forward(x: Tensor, hx: Any) -> Any:
        output, _ = lstm(x)
        _, last = lstm(x, hx)
        return torch.sin(3 * output), last

    assert "h_0 acts on no time step of the output" in clues_of(lstm, forward)


@pytest.mark.usefixtures("unsearched")
def test_narrowing_looks_at_the_gates_of_the_last_layer() -> None:
    """The layers below are right, so that what enters the last one is known."""
    lstm: Any = nn.LSTM(H_IN, H, 2)

    def forward(x: Tensor, hx: Any) -> Any:
        states = []
        below = nn.LSTM(H_IN, H).to(x.dtype)
        below.load_state_dict({n: p for n, p in lstm.state_dict().items() if n.endswith("l0")})
        inputs, first = below(x, (hx[0][:1], hx[1][:1]))
        h, c = hx[0][1], hx[1][1]
        for x_t in inputs:
            sums = F.linear(x_t, lstm.weight_ih_l1.to(x.dtype), lstm.bias_ih_l1.to(x.dtype))
            sums = sums + F.linear(h, lstm.weight_hh_l1.to(x.dtype), lstm.bias_hh_l1.to(x.dtype))
            i, f, g, o = sums.chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.sin(3 * torch.tanh(g))
            h = torch.sigmoid(o) * torch.tanh(c)
            states.append(h)
        last = (torch.cat([first[0], h[None]]), torch.cat([first[1], c[None]]))
        return torch.stack(states), last

    clues = clues_of(lstm, forward)
    assert "layer 1: o is right, f is right, i * g is off by up to" in clues


@pytest.mark.usefixtures("unsearched")
def test_narrowing_where_the_cell_state_cannot_be_read() -> None:
    """The hidden state is that of a gate that is open, whatever the size of the cell state."""
    lstm: Any = nn.LSTM(H_IN, H)

    def forward(x: Tensor, hx: Any) -> Any:
        h, c, states = hx[0][0], hx[1][0], []
        for x_t in x:
            sums = F.linear(x_t, lstm.weight_ih_l0, lstm.bias_ih_l0)
            i, f, g, o = (sums + F.linear(h, lstm.weight_hh_l0, lstm.bias_hh_l0)).chunk(4, -1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * (3 * c + c**3).clamp(-1, 1)
            states.append(h)
        return torch.stack(states), (h[None], c[None])

    assert "In the first step: o is right." in clues_of(lstm, forward)


def test_a_state_of_a_cell_in_another_place() -> None:
    cell = nn.LSTMCell(H_IN, H)
    diagnosis = diagnose(lambda x, state: (cell(x, state)[0],) * 2, cell)
    assert diagnosis.names == ("c: h",)


def test_parameters_that_fit_nowhere_are_left_out() -> None:
    gru = nn.GRU(H_IN, H)

    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(H_IN, H)
            self.scale = nn.Parameter(torch.ones(3))
            self.wide = nn.Parameter(torch.ones(3 * H, 7))

        def forward(self, x: Tensor, hx: Tensor) -> Any:
            return self.gru(x, hx)

    assert diagnose(Own(), gru).names == ("parameters of its own",)


def test_a_name_that_has_no_value_yet() -> None:
    rnn = nn.RNN(H_IN, H)

    def candidate(x: Tensor, hx: Tensor) -> Any:
        return rnn(x, hx)[0].relu() if x is not None else later

    assert diagnose(candidate, rnn).names == ("output: relu",)
    later = None


def test_sequences_that_are_mixed() -> None:
    rnn = nn.RNN(H_IN, H)

    def forward(x: Tensor, hx: Tensor) -> Any:
        output, h_n = rnn(x, hx)
        return output, h_n[:, [2, 0, 1]]

    (explanation,) = diagnose(forward, rnn).explanations
    (mistake,) = explanation.mistakes
    assert "and the sequences are mixed" in mistake.says


@pytest.mark.usefixtures("unsearched")
def test_narrowing_where_every_layer_is_wrong() -> None:
    lstm = nn.LSTM(H_IN, H, 2)
    clues = clues_of(lstm, lambda x, hx: lstm(x + 0.3 * torch.sin(5 * x), hx))
    assert "The first that is wrong, from below, is layer 0." in clues


@pytest.mark.usefixtures("unsearched")
def test_narrowing_of_a_cell() -> None:
    cell: Any = nn.LSTMCell(H_IN, H)

    def forward(x: Tensor, state: Any) -> Any:
        sums = F.linear(x, cell.weight_ih, cell.bias_ih)
        i, f, g, o = (sums + F.linear(state[0], cell.weight_hh, cell.bias_hh)).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.sin(3 * torch.tanh(g))
        return torch.sigmoid(o) * torch.tanh(c), c

    diagnosis = diagnose(forward, cell)
    assert diagnosis.verdict == "unexplained"
    assert any("o is right, f is right, i * g is off" in clue for clue in diagnosis.clues)


@pytest.mark.usefixtures("unsearched")
def test_narrowing_without_the_biases() -> None:
    """Wrong through the biases alone, in a way that nothing explains."""
    rnn: Any = nn.RNN(H_IN, H, batch_first=True)
    before = {name: (p.data_ptr(), p.detach().clone()) for name, p in rnn.named_parameters()}
    noise = torch.linspace(0.5, 1.5, H)

    def forward(x: Tensor, hx: Tensor) -> Any:
        h, states = hx[0], []
        for x_t in x.unbind(1):
            sums = F.linear(x_t, rnn.weight_ih_l0, noise * rnn.bias_ih_l0)
            h = torch.tanh(sums + F.linear(h, rnn.weight_hh_l0, rnn.bias_hh_l0))
            states.append(h)
        return torch.stack(states, 1), h[None]

    clues = clues_of(rnn, forward)
    assert "With biases of zero everything is right." in clues
    assert "On one time step alone it is wrong." in clues
    for name, p in rnn.named_parameters():
        assert p.data_ptr() == before[name][0]
        assert torch.equal(p, before[name][1])
    assert "biases of zero" not in clues_of(rnn, skewed(copy.deepcopy(forward)))


@pytest.mark.usefixtures("unsearched")
def test_narrowing_to_one_step() -> None:
    """Right at first, and wrong from the second step on."""
    rnn: Any = nn.RNN(H_IN, H)
    noise = torch.linspace(0.5, 1.5, H)

    def forward(x: Tensor, hx: Tensor) -> Any:
        first, h = rnn(x[:1], hx)
        rest = [first]
        for x_t in x[1:]:
            output, h = rnn(x_t[None], noise * h)
            rest.append(output)
        return torch.cat(rest), h

    assert "On one time step alone it is right." in clues_of(rnn, forward)

    def of_one_length(x: Tensor, hx: Tensor) -> Any:
        assert len(x) > 1
        return forward(x, hx)

    assert "time step alone" not in clues_of(rnn, of_one_length)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_long_search_shows_progress_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    rnn = nn.RNN(H_IN, H)
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        clues_of(rnn, skewed(lambda x, hx: rnn(x, hx)))
        shown = [line.strip() for line in stream.getvalue().split("\r") if line.strip()]
        if isinstance(stream, Terminal):
            assert shown[0] == "diagnose: known mistakes and other changes of the formula"
            assert shown[-1] == "diagnose: several mistakes at once"
            assert stream.getvalue().endswith(f"\r{'':60}\r")  # wiped
        else:
            assert shown == []


def test_states_are_found_by_their_values() -> None:
    """With a projection, the states of a layer have two widths."""
    hidden, cell, start = (np.random.RandomState(n).randn(5, 3, w) for n, w in enumerate((4, 6, 4)))
    states: Any = SimpleNamespace(h=[hidden], c=[cell], initial=[(start[0],)])
    table = _Table(states)
    assert table.find(hidden[2, 1], 1e-9, own=False) == ("h", 0, 2, 1)
    assert table.find(cell[4, 2], 1e-9, own=False) == ("c", 0, 4, 2)
    assert table.find(start[0, 1], 1e-9, own=False) is None
    assert table.find(start[0, 1], 1e-9, own=True) == ("h_0", 0, 0, 1)
    assert table.find(np.zeros(4), 1e-9, own=True) == ("zeros", 0, 0, 0)
    assert table.find(np.zeros(4), 1e-9, own=False) is None
    assert table.count(np.concatenate([hidden[1], start[0]]), 1e-9) == 3
    assert table.count(cell[0], 1e-9) == 3

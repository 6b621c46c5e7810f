"""The NumPy run of the cells, without anything that batches or hoists, against both modules."""

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unrolled
from tests.comparisons import KINDS, onednn, tensors
from tests.strategies import FEWER
from tests.witness import Cell, witness

rnn_cell: Any = unrolled.rnn_cell  # types cannot follow `*weights`
CELLS: dict[str, Cell] = {
    "RNN": lambda x, state, *weights: (rnn_cell(x, state[0], *weights[:4]),),
    "relu": lambda x, state, *weights: (rnn_cell(x, state[0], *weights[:4], "relu"),),
    "GRU": lambda x, state, *weights: (unrolled.gru_cell(x, state[0], *weights[:4]),),
    "LSTM": lambda x, state, *weights: unrolled.lstm_cell(x, (state[0], state[1]), *weights),
}


@st.composite
def networks(draw: st.DrawFn) -> tuple[str, tuple[int, ...], dict[str, Any], list[int], bool, int]:
    kind = draw(st.sampled_from(KINDS))
    hidden_size = draw(st.integers(1, 12))
    keywords: dict[str, Any] = {
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
    }
    if kind == "RNN":
        keywords["nonlinearity"] = draw(st.sampled_from(["tanh", "relu"]))
    if kind == "LSTM" and hidden_size > 1 and draw(st.booleans()):
        keywords["proj_size"] = draw(st.integers(1, hidden_size - 1))
    lengths = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    sizes = draw(st.integers(1, 12)), hidden_size
    return kind, sizes, keywords, lengths, draw(st.booleans()), draw(st.integers(0, 2**32))


@FEWER
@given(networks())
def test_numpy_cells_are_the_modules(
    network: tuple[str, tuple[int, int], dict[str, Any], list[int], bool, int],
) -> None:
    """Draw 20 networks, in the nightly profile 5000; in float64, to 1e-12."""
    kind, (input_size, hidden_size), keywords, lengths, ragged, seed = network
    torch.manual_seed(seed)
    theirs = getattr(nn, kind)(input_size, hidden_size, dtype=torch.float64, **keywords)
    ours = getattr(unrolled, kind)(input_size, hidden_size, dtype=torch.float64, **keywords)
    ours.load_state_dict(theirs.state_dict())
    L, N, D = max(lengths), len(lengths), 1 + keywords["bidirectional"]
    x = torch.randn(L, N, input_size, dtype=torch.float64)
    rows = D * keywords["num_layers"]
    states = [torch.randn(rows, N, keywords.get("proj_size", hidden_size), dtype=torch.float64)]
    if kind == "LSTM":
        states.append(torch.randn(rows, N, hidden_size, dtype=torch.float64))
    mask = np.arange(L)[:, None] < np.array(lengths) if ragged else None
    cell = CELLS["relu" if keywords.get("nonlinearity") == "relu" else kind]
    output, last, every = witness(cell, theirs, x.numpy(), [s.numpy() for s in states], mask)
    assert output.dtype == np.float64
    hx: Any = tuple(states) if kind == "LSTM" else states[0]
    input = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False) if ragged else x
    with onednn(False):  # says nothing of projections then
        for module in (theirs, ours):
            actual, actual_last = module(input, hx)
            actual = pad_packed_sequence(actual)[0] if ragged else actual
            results = [actual, *tensors(actual_last)]
            for result, expected in zip(results, [output, *last], strict=True):
                np.testing.assert_allclose(result.detach(), expected, rtol=0, atol=1e-12)
    asked = ours(x, hx, lengths=lengths if ragged else None, all_states=True)[2]
    for layer, parts in enumerate(every):
        for got, expected in zip((asked.h, asked.c), parts, strict=False):
            np.testing.assert_allclose(got[layer].detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_order_of_the_gates_matters(kind: str) -> None:
    """Every other order of the blocks gives other numbers, so a pass of the above fixes it."""
    torch.manual_seed(0)
    theirs = getattr(nn, kind)(3, 4, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64)
    states = [np.zeros((1, 2, 4))] * (2 if kind == "LSTM" else 1)
    expected = theirs(x)[0].detach().numpy()
    gates = 4 if kind == "LSTM" else 3
    right = []
    for order in permutations(range(gates)):
        permuted = getattr(nn, kind)(3, 4, dtype=torch.float64)
        permuted.load_state_dict(
            {
                name: torch.cat([value.chunk(gates)[gate] for gate in order])
                for name, value in theirs.state_dict().items()
            }
        )
        output = witness(CELLS[kind], permuted, x.numpy(), states)[0]
        if np.abs(output - expected).max() < 1e-3:
            right.append(order)
    assert right == [tuple(range(gates))]


def test_paper_gru_is_another() -> None:
    """The reset gate before the product gives other numbers; so does one sum of the biases."""

    def before(x: Any, state: Any, W: Any, U: Any, b: Any, c: Any, _: Any) -> Any:
        (h,) = state
        H = len(h)
        r, z = np.split(1 / (1 + np.exp(-(x @ W.T + b + h @ U.T + c)[: 2 * H])), 2)
        n = np.tanh((x @ W.T + b)[2 * H :] + (r * h) @ U[2 * H :].T + c[2 * H :])
        return ((1 - z) * n + z * h,)

    def merged(x: Any, state: Any, W: Any, U: Any, b: Any, c: Any, _: Any) -> Any:
        return CELLS["GRU"](x, state, W, U, b + c, 0 * c)

    torch.manual_seed(0)
    gru = nn.GRU(10, 20, dtype=torch.float64)
    x = torch.randn(5, 3, 10, dtype=torch.float64)
    h_0 = torch.randn(1, 3, 20, dtype=torch.float64)
    expected = gru(x, h_0)[0].detach().numpy()
    output = {
        name: witness(cell, gru, x.numpy(), [h_0.numpy()])[0]
        for name, cell in (("after", CELLS["GRU"]), ("before", before), ("merged", merged))
    }
    assert np.abs(output["after"] - expected).max() < 1e-12
    assert np.abs(output["before"] - expected).max() > 0.01
    assert np.abs(output["merged"] - expected).max() > 0.01

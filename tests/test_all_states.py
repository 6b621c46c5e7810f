"""The states of all layers at all time steps, which `torch.nn` does not give."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence, pad_packed_sequence

import unrolled
from tests.comparisons import KINDS
from unrolled.modules import States

N, L, H_in, H_out = 3, 5, 10, 20


def build(kind: str, **keywords: Any) -> tuple[Any, Tensor, Any]:
    torch.manual_seed(0)
    module = getattr(unrolled, kind)(H_in, H_out, dtype=torch.float64, **keywords)
    rows = module.num_layers * (2 if module.bidirectional else 1)
    states = [torch.randn(rows, N, keywords.get("proj_size", H_out), dtype=torch.float64)]
    if kind == "LSTM":
        states.append(torch.randn(rows, N, H_out, dtype=torch.float64))
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    return module, x, tuple(states) if kind == "LSTM" else states[0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_loop_of_torch_cells(kind: str, bidirectional: bool) -> None:
    module, x, hx = build(kind, num_layers=3, bidirectional=bidirectional)
    _, last, states = module(x, hx, all_states=True)
    D = 1 + bidirectional
    inputs = x
    for layer in range(3):
        sides: list[list[Tensor]] = [[], []]
        for direction in range(D):
            suffix = f"_l{layer}" + "_reverse" * direction
            at = layer * D + direction
            cell = getattr(nn, f"{kind}Cell")(inputs.shape[-1], H_out, dtype=torch.float64)
            parameters = module.state_dict()
            cell.load_state_dict(
                {name: parameters[name + suffix] for name, _ in cell.named_parameters()}
            )
            h = hx[at] if kind != "LSTM" else (hx[0][at], hx[1][at])
            after = []
            for t in reversed(range(L)) if direction else range(L):
                h = cell(inputs[t], h)
                after.append(h if kind == "LSTM" else (h,))
            for part, end in enumerate(after[-1]):
                n = (last if kind == "LSTM" else (last,))[part][at]
                torch.testing.assert_close(end, n, rtol=0, atol=1e-12)
            after = after[::-1] if direction else after
            for part in range(len(after[0])):
                sides[part].append(torch.stack([state[part] for state in after]))
        inputs = torch.cat(sides[0], -1)
        torch.testing.assert_close(states.h[layer], inputs, rtol=0, atol=1e-12)
        if kind == "LSTM":
            cells = torch.cat(sides[1], -1)
            torch.testing.assert_close(states.c[layer], cells, rtol=0, atol=1e-12)
    assert isinstance(states, States)
    assert len(states.h) == 3
    if kind != "LSTM":
        assert states.c is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("layout", ["batched", "unbatched", "packed"])
def test_layout_and_nothing_else_changes(kind: str, batch_first: bool, layout: str) -> None:
    keywords = {"proj_size": 7} if kind == "LSTM" else {}
    module, x, hx = build(
        kind, num_layers=2, bidirectional=True, batch_first=batch_first, **keywords
    )
    input: Any = x.transpose(0, 1) if batch_first else x
    lengths = [2, 5, 3]
    if layout == "unbatched":
        input, hx = x[:, 0], tuple(h[:, 0] for h in hx) if kind == "LSTM" else hx[:, 0]
    elif layout == "packed":
        input = pack_sequence([x[:n, i] for i, n in enumerate(lengths)], enforce_sorted=False)
    output, last = module(input, hx)
    again, last_again, states = module(input, hx, all_states=True)
    for a, b in zip((output, *last), (again, *last_again), strict=True):
        pair = [t.data if isinstance(t, PackedSequence) else t for t in (a, b)]
        assert torch.equal(*pair)
    assert len(states.h) == 2
    assert states.c is None or len(states.c) == 2
    width = 2 * (7 if kind == "LSTM" else H_out)
    parts = [(states.h, width)] + ([(states.c, 2 * H_out)] if kind == "LSTM" else [])
    for part, features in parts:
        for layer in part:
            if layout == "packed":
                assert type(layer) is PackedSequence
                assert torch.equal(layer.batch_sizes, input.batch_sizes)
                assert layer.unsorted_indices is input.unsorted_indices
                assert layer.data.shape == (sum(lengths), features)
            else:
                assert layer.shape == (*input.shape[:-1], features)
    top = states.h[-1]
    assert torch.equal(top.data, again.data) if layout == "packed" else torch.equal(top, again)


def test_last_states_are_where_their_directions_end() -> None:
    module, x, hx = build("LSTM", num_layers=2, bidirectional=True)
    _, (_, c_n), states = module(x, hx, all_states=True)
    for layer in range(2):
        assert torch.equal(states.c[layer][-1, :, :H_out], c_n[2 * layer])
        assert torch.equal(states.c[layer][0, :, H_out:], c_n[2 * layer + 1])


def test_packed_states_end_with_their_sequences() -> None:
    module, x, hx = build("LSTM")
    lengths = [2, 5, 3]
    packed = pack_sequence([x[:n, i] for i, n in enumerate(lengths)], enforce_sorted=False)
    _, (_, c_n), states = module(packed, hx, all_states=True)
    cells, _ = pad_packed_sequence(states.c[0])
    for i, n in enumerate(lengths):
        assert torch.equal(cells[n - 1, i], c_n[0, i])


def test_states_are_those_before_dropout() -> None:
    module, x, hx = build("GRU", num_layers=2, dropout=0.5)
    torch.manual_seed(1)
    output, _, states = module(x, hx, all_states=True)
    module.eval()
    below = module(x, hx, all_states=True)[2]
    assert torch.equal(states.h[0], below.h[0])
    assert not torch.equal(output, below.h[1])


def test_gradients_flow_through_all_states() -> None:
    module, x, hx = build("LSTM", num_layers=2)
    _, _, states = module(x.requires_grad_(), hx, all_states=True)
    states.c[0][2].sum().backward()
    grad = x.grad
    assert grad is not None
    assert (grad[:3].abs().amax((1, 2)) > 0).all()
    assert (grad[3:] == 0).all()

"""Lengths and masks, taken directly, against packing and against each sequence by itself."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import unrolled
from tests.comparisons import KINDS, Configuration, onednn, tensors
from tests.strategies import FEWER, configurations
from tests.test_shapes import exception_of
from tests.test_witness import CELLS
from tests.witness import witness

N, L, H_in, H_out = 3, 5, 10, 20
every_kind = pytest.mark.parametrize("kind", KINDS)


def close(a: Tensor, b: Tensor, bound: float = 1e-12) -> bool:
    return a.shape == b.shape and bool(((a - b).abs() <= bound).all())


def example(kind: str, **keywords: Any) -> tuple[Any, Tensor, Any]:
    configuration = Configuration(kind=kind, **keywords)
    (x,), states = configuration.leaves()
    return configuration.module(getattr(unrolled, kind)), x, configuration.hx(states)


@st.composite
def padded(draw: st.DrawFn) -> Configuration:
    """Draw a configuration with its lengths; of dropout only none and all can be compared."""
    configuration = draw(configurations())
    return replace(
        configuration,
        layout="batched",
        dtype=torch.float64,
        lengths=tuple(draw(st.lists(st.integers(1, configuration.L), min_size=1, max_size=5))),
        dropout=draw(st.sampled_from([0.0, 1.0])) if configuration.num_layers > 1 else 0.0,
        scale=1.0,
        onednn=False,
    )


@FEWER
@given(padded(), st.booleans())
def test_lengths_are_packing(configuration: Configuration, as_mask: bool) -> None:
    """Compare output, states and gradients; 20 configurations, in the nightly profile 5000."""
    lengths = torch.tensor(configuration.lengths)
    mask = torch.arange(configuration.L) < lengths[:, None]  # (N, L)
    if not configuration.batch_first:
        mask = mask.T
    results = []
    for ours in (True, False):
        (x,), states = configuration.leaves()
        for leaf in (x, *states):
            leaf.requires_grad_()
        hx = configuration.hx(states)
        with onednn(False):
            if ours:
                module = configuration.module(getattr(unrolled, configuration.kind))
                keywords = {"mask": mask} if as_mask else {"lengths": configuration.lengths}
                output, last = module(x, hx, **keywords)
            else:
                module = configuration.theirs()
                first = configuration.batch_first
                packed = pack_padded_sequence(x, lengths, first, enforce_sorted=False)
                output, last = module(packed, hx)
                output, _ = pad_packed_sequence(output, first, total_length=configuration.L)
        values = [output, *tensors(last)]
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in values]
        leaves = [x, *states, *module.parameters()]
        values += torch.autograd.grad(values, leaves, weights)
        results.append(values)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@FEWER
@given(padded(), st.data())
def test_any_mask_is_each_sequence_by_itself(
    configuration: Configuration, data: st.DataObject
) -> None:
    """Holes, padding on the left and sequences without a time step included."""
    N = len(configuration.lengths)
    flags = data.draw(st.lists(st.booleans(), min_size=N * configuration.L, max_size=N * 7))
    mask = torch.tensor(flags[: N * configuration.L]).reshape(configuration.L, N)
    configuration = replace(configuration, dropout=0.0, hx_given=True)
    (x,), states = configuration.leaves()
    module = configuration.module(getattr(unrolled, configuration.kind))
    if configuration.batch_first:
        output, last = module(x, configuration.hx(states), mask=mask.T)
        x, output = x.transpose(0, 1), output.transpose(0, 1)
    else:
        output, last = module(x, configuration.hx(states), mask=mask)
    cell = CELLS[configuration.kind]
    if configuration.kind == "RNN" and configuration.nonlinearity == "relu":
        cell = CELLS["relu"]
    arrays = [state.numpy() for state in states]
    expected = witness(cell, configuration.theirs(), x.numpy(), arrays, mask.numpy())
    for a, b in zip((output, *tensors(last)), (expected[0], *expected[1]), strict=True):
        np.testing.assert_allclose(a.detach(), b, rtol=0, atol=1e-12)


@every_kind
@pytest.mark.parametrize(
    "convert", [list, tuple, torch.tensor, np.array, lambda n: torch.tensor(n, dtype=torch.int32)]
)
def test_lengths_of_any_integers(kind: str, convert: Any) -> None:
    module, x, hx = example(kind)
    mask = torch.arange(L)[:, None] < torch.tensor([2, 5, 3])
    expected, last = module(x, hx, mask=mask)
    output, last_too = module(x, hx, lengths=convert([2, 5, 3]))
    assert torch.equal(output, expected)
    assert all(torch.equal(a, b) for a, b in zip(tensors(last_too), tensors(last), strict=True))


@every_kind
def test_full_lengths_change_nothing(kind: str) -> None:
    """Not even what drops out."""
    module, x, hx = example(kind, num_layers=3, bidirectional=True, dropout=0.5)
    results = []
    for keywords in ({}, {"lengths": [L] * N}, {"mask": torch.ones(L, N, dtype=torch.bool)}):
        torch.manual_seed(1)
        output, last = module(x, hx, **keywords)
        results.append([output, *tensors(last)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@every_kind
def test_sequence_of_length_zero(kind: str) -> None:
    """Packing refuses it; here its state stays what it was, and it puts out zeros."""
    module, x, hx = example(kind, num_layers=2, bidirectional=True)
    with pytest.raises(RuntimeError, match="greater than 0"):
        pack_padded_sequence(x, [5, 3, 0])
    output, last = module(x.requires_grad_(), hx, lengths=[5, 3, 0])
    assert (output[:, 2] == 0).all()
    for state, initial in zip(tensors(last), tensors(hx), strict=True):
        assert torch.equal(state[:, 2], initial[:, 2])
    (output.sum() + sum(state.sum() for state in tensors(last))).backward()
    assert x.grad is not None
    assert (x.grad[:, 2] == 0).all()
    assert (x.grad[:, 0] != 0).any()


@every_kind
def test_all_sequences_of_length_zero(kind: str) -> None:
    module, x, hx = example(kind)
    output, last = module(x, hx, lengths=[0, 0, 0])
    assert (output == 0).all()
    assert all(torch.equal(a, b) for a, b in zip(tensors(last), tensors(hx), strict=True))


@every_kind
def test_no_sequences(kind: str) -> None:
    module, x, _ = example(kind)
    output, _ = module(x[:, :0], lengths=[])
    assert output.shape == (L, 0, H_out)
    assert module(x[:, :0], mask=torch.ones(L, 0, dtype=torch.bool))[0].shape == (L, 0, H_out)


@every_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_on_the_left(kind: str, bidirectional: bool) -> None:
    module, x, hx = example(kind, num_layers=2, bidirectional=bidirectional)
    lengths = [2, 5, 3]
    right, last = module(x, hx, lengths=lengths)
    shifted = torch.stack([x[:, i].roll(L - n, 0) for i, n in enumerate(lengths)], 1)
    mask = torch.arange(L)[:, None] >= L - torch.tensor(lengths)
    left, last_too = module(shifted, hx, mask=mask)
    for i, n in enumerate(lengths):
        assert close(left[L - n :, i], right[:n, i])
        assert (left[: L - n, i] == 0).all()
    for a, b in zip(tensors(last_too), tensors(last), strict=True):
        assert close(a, b)


@every_kind
@pytest.mark.parametrize("value", [1e9, torch.inf, torch.nan])
def test_what_stands_in_the_padding_does_not_matter(kind: str, value: float) -> None:
    module, x, hx = example(kind, num_layers=2, bidirectional=True)
    mask = torch.arange(L)[:, None] < torch.tensor([2, 5, 3])
    results = []
    for padding in (0.0, value):
        leaf = torch.where(mask[..., None], x, padding).requires_grad_()
        output, last = module(leaf, hx, lengths=[2, 5, 3])
        total = output.sum() + sum(state.sum() for state in tensors(last))
        gradients = torch.autograd.grad(total, [leaf, *module.parameters()])
        results.append([output, *tensors(last), *gradients])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@every_kind
def test_unbatched_mask(kind: str) -> None:
    module, x, hx = example(kind, bidirectional=True)
    mask = torch.tensor([True, False, True, True, False])
    alone = tuple(h[:, 0] for h in hx) if kind == "LSTM" else hx[:, 0]
    output, last = module(x[:, 0], alone, mask=mask)
    kept, last_too = module(x[mask, 0], alone)
    assert close(output[mask], kept)
    assert (output[~mask] == 0).all()
    for a, b in zip(tensors(last), tensors(last_too), strict=True):
        assert close(a, b)


@every_kind
def test_all_states_are_zero_where_nothing_counts(kind: str) -> None:
    module, x, hx = example(kind, num_layers=2, batch_first=True)
    output, _, states = module(x, hx, lengths=[2, 5, 3], all_states=True)
    assert torch.equal(states.h[-1], output)
    for part in filter(None, states):
        for layer in part:
            assert (layer[0, 2:] == 0).all()
            assert (layer[0, :2] != 0).all()


@every_kind
def test_reverse_direction_begins_at_the_end_of_its_sequence(kind: str) -> None:
    module, x, hx = example(kind, bidirectional=True)
    output, _ = module(x, hx, lengths=[2, 5, 3])
    padded, _ = module(x, hx)
    assert not close(output[:2, 0, H_out:], padded[:2, 0, H_out:], 1e-3)
    alone, _ = module(x[:2, :1], tuple(h[:, :1] for h in hx) if kind == "LSTM" else hx[:, :1])
    assert close(output[:2, :1], alone)


X = torch.zeros(L, N, H_in, dtype=torch.float64)
PACKED = pack_padded_sequence(X, [5, 3, 2])
TRUE = torch.ones(L, N, dtype=torch.bool)
REFUSED: dict[str, tuple[Any, dict[str, Any], type[Exception], list[str]]] = {
    "both": (X, {"lengths": [5, 3, 2], "mask": TRUE}, ValueError, ["lengths", "mask", "both"]),
    "packed and lengths": (PACKED, {"lengths": [5, 3, 2]}, ValueError, ["lengths", "Packed"]),
    "packed and mask": (PACKED, {"mask": TRUE}, ValueError, ["mask", "PackedSequence"]),
    "lengths, unbatched": (X[:, 0], {"lengths": [5]}, ValueError, ["lengths", "unbatched"]),
    "too many": (X, {"lengths": [5, 3, 2, 1]}, RuntimeError, ["(3,)", "got (4,)"]),
    "one": (X, {"lengths": 5}, RuntimeError, ["(3,)", "got ()"]),
    "2D": (X, {"lengths": [[5, 3, 2]]}, RuntimeError, ["(3,)", "got (1, 3)"]),
    "longer than L": (X, {"lengths": [6, 3, 1]}, RuntimeError, ["0 to L=5", "got [6, 3, 1]"]),
    "negative": (X, {"lengths": [5, 3, -1]}, RuntimeError, ["0 to L=5", "got [5, 3, -1]"]),
    "tensor, longer": (X, {"lengths": torch.tensor([6, 3, 1])}, RuntimeError, ["got [6, 3, 1]"]),
    "float": (X, {"lengths": [5.0, 3.0, 2.0]}, TypeError, ["integers", "float"]),
    "float tensor": (X, {"lengths": torch.tensor([4.7, 3, 1])}, TypeError, ["got torch.float32"]),
    "bool": (X, {"lengths": [True] * 3}, TypeError, ["integers", "got torch.bool"]),
    "text": (X, {"lengths": ["5", "3", "2"]}, TypeError, ["integers", "'5'"]),
    "None in it": (X, {"lengths": [5, None, 2]}, TypeError, ["integers", "None"]),
    "mask in lengths": (X, {"lengths": TRUE}, TypeError, ["integers", "torch.bool"]),
    "mask batch first": (X, {"mask": TRUE.T}, RuntimeError, ["mask", "(5, 3)", "got (3, 5)"]),
    "mask 1D": (X, {"mask": TRUE[:, 0]}, RuntimeError, ["mask", "(5, 3)", "got (5,)"]),
    "mask 3D": (X, {"mask": TRUE[..., None]}, RuntimeError, ["mask", "(5, 3)", "(5, 3, 1)"]),
    "mask of one sequence": (X, {"mask": TRUE[:, :1]}, RuntimeError, ["mask", "got (5, 1)"]),
    "mask, unbatched": (X[:, 0], {"mask": TRUE}, RuntimeError, ["mask", "(5,)", "(5, 3)"]),
    "mask of integers": (X, {"mask": TRUE.long()}, TypeError, ["mask", "bool", "torch.int64"]),
    "mask of floats": (X, {"mask": TRUE.double()}, TypeError, ["mask", "bool", "torch.float64"]),
    "mask list": (X, {"mask": TRUE.tolist()}, TypeError, ["mask", "bool", "got list"]),
    "mask array": (X, {"mask": TRUE.numpy()}, TypeError, ["mask", "bool", "got ndarray"]),
    "mask elsewhere": (X, {"mask": TRUE.to("meta")}, RuntimeError, ["mask", "cpu", "got meta"]),
    "position": (X, {}, TypeError, ["positional"]),
}


@every_kind
@pytest.mark.parametrize("case", REFUSED)
def test_refused(kind: str, case: str) -> None:
    input, keywords, error, words = REFUSED[case]
    module = getattr(unrolled, kind)(H_in, H_out, dtype=torch.float64)
    more = (None, [5, 3, 2]) if case == "position" else ()
    refused = exception_of(lambda: module(input, *more, **keywords))
    assert type(refused) is error, refused
    for word in words:
        assert word in str(refused)


def test_batch_first_mask_is_refused_in_the_other_layout() -> None:
    module = unrolled.RNN(H_in, H_out, batch_first=True, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r"mask should have shape \(3, 5\), got \(5, 3\)"):
        module(X.transpose(0, 1), mask=TRUE)


def test_torch_has_neither() -> None:
    """If this fails, PyTorch has learned it, and a page says otherwise."""
    call: Any = nn.GRU(H_in, H_out, dtype=torch.float64)
    for keywords in ({"lengths": [5, 3, 2]}, {"mask": TRUE}, {"all_states": True}):
        with pytest.raises(TypeError, match="unexpected keyword argument"):
            call(X, **keywords)


def test_a_tensor_of_lengths_is_not_looked_at_where_a_graph_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has no numbers yet. `test_transforms` and `test_export` record such graphs."""
    gru, x, hx = example("GRU")
    expected, _ = gru(x, hx, lengths=[5, 3, 2])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert torch.equal(gru(x, hx, lengths=torch.tensor([9, 3, 2]))[0], expected)

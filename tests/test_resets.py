"""Sequences that start again: `resets` against sequences that are cut by hand."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import unrolled
from tests.comparisons import (
    KINDS,
    Configuration,
    cut_by_hand,
    onednn,
    reset_differences,
    tensors,
)
from tests.strategies import FEWER, configurations

N, L, H_in, H_out = 3, 5, 10, 20
every_kind = pytest.mark.parametrize("kind", KINDS)


@st.composite
def cut(draw: st.DrawFn) -> tuple[Configuration, Tensor, dict[str, Any]]:
    """Draw a configuration, where its sequences start again, and which of their steps count."""
    configuration = draw(configurations())
    layers, number = configuration.num_layers, draw(st.integers(1, 4))
    configuration = replace(
        configuration,
        layout=draw(st.sampled_from(["batched", "unbatched"])),
        dtype=torch.float64,
        lengths=(configuration.L,) * number,
        dropout=draw(st.sampled_from([0.0, 1.0])) if layers > 1 else 0.0,
        scale=1.0,
        onednn=False,
    )
    batched = configuration.layout == "batched"
    shape = (configuration.L, number if batched else 1)

    def flags() -> Tensor:
        count = shape[0] * shape[1]
        drawn = draw(st.lists(st.booleans(), min_size=count, max_size=count))
        return torch.tensor(drawn).reshape(shape)

    counting: dict[str, Any] = {}
    kind = draw(st.sampled_from(["all", "mask", "lengths"] if batched else ["all", "mask"]))
    if kind == "mask":
        counting["mask"] = flags()
    elif kind == "lengths":
        counting["lengths"] = draw(
            st.lists(st.integers(0, shape[0]), min_size=shape[1], max_size=shape[1])
        )
    return configuration, flags(), counting


@pytest.mark.no_cover
@FEWER
@given(cut())
def test_resets_are_sequences_cut_by_hand(
    drawn: tuple[Configuration, Tensor, dict[str, Any]],
) -> None:
    """Compare output, states and all gradients."""
    configuration, resets, counting = drawn
    batched = configuration.layout == "batched"
    flip = batched and configuration.batch_first
    lengths = counting.get("lengths", [len(resets)] * resets.shape[1])
    mask = counting.get("mask", torch.ones_like(resets))
    results = []
    for ours in (True, False):
        (x,), states = configuration.leaves()
        for leaf in (x, *states):
            leaf.requires_grad_()
        if ours:
            module = configuration.module(getattr(unrolled, configuration.kind))
            given = {"resets": resets, **counting}
            for name in ("resets", "mask"):
                if name in given:
                    flags = given[name]
                    given[name] = flags.T if flip else flags if batched else flags[:, 0]
            hx = configuration.hx(states)
            output, last = module(x, hx, **given)
            values = [output, *tensors(last)]
        else:
            module = configuration.theirs()
            time_major = x.transpose(0, 1) if flip else x if batched else x.unsqueeze(1)
            given_states = states or made_zeros(module, time_major)
            wide = [s if batched or not states else s.unsqueeze(1) for s in given_states]
            module.batch_first = False
            with onednn(False):
                values = cut_by_hand(module, time_major, wide, resets, mask, lengths)
            if flip:
                values[0] = values[0].transpose(0, 1)
            elif not batched:
                values = [value.squeeze(1) for value in values]
        generator = torch.Generator().manual_seed(0)
        weights = [torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in values]
        leaves = [x, *states, *module.parameters()]
        nothing = 0 * sum(leaf.sum() for leaf in leaves)  # a sequence of no steps has no gradients
        values = [value + nothing for value in values]
        values += torch.autograd.grad(values, leaves, weights, materialize_grads=True)
        results.append(values)
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_resets_beside_lengths_and_masks() -> None:
    assert not list(reset_differences(unrolled))


def made_zeros(module: Any, x: Tensor) -> list[Tensor]:
    count = module.num_layers * (1 + module.bidirectional)
    widths = [module.proj_size or module.hidden_size]
    widths += [module.hidden_size] * isinstance(module, nn.LSTM)
    return [x.new_zeros(count, x.shape[1], width) for width in widths]


@every_kind
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_step_of_your_own_starts_again_too(kind: str, bidirectional: bool) -> None:
    class Leaky(nn.Module):
        """Keep a share of the state that is trained."""

        def __init__(self) -> None:
            super().__init__()
            self.kept = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
            self.step = unrolled.layers.STEPS["RNN_TANH" if kind == "RNN" else kind]

        def forward(self, x: Tensor, state: Any, *weights: Tensor) -> Any:
            after = self.step(x, state, *weights)
            return unrolled._scan.each(lambda new, old: new + self.kept * old, after, state)

    torch.manual_seed(0)
    step = Leaky()
    module: Any = getattr(unrolled, kind)(
        H_in, H_out, bidirectional=bidirectional, dtype=torch.float64, step=step
    )
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    states = [torch.randn(1 + bidirectional, N, H_out, dtype=torch.float64) for _ in range(2)]
    states = states[: 1 + (kind == "LSTM")]
    hx = tuple(states) if kind == "LSTM" else states[0]
    resets = torch.tensor([[0, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 1]]).bool()
    output, last = module(x, hx, resets=resets)
    ours = [output, *tensors(last)]
    expected = cut_by_hand(module, x, states, resets, torch.ones_like(resets), [L] * N)
    for a, b in zip(ours, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    found = [
        torch.autograd.grad([v.square().sum() for v in values], list(module.parameters()))
        for values in (ours, expected)
    ]
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@every_kind
def test_no_reset_changes_no_bit_and_a_mask_of_what_is_not_done_is_no_reset(kind: str) -> None:
    configuration = Configuration(kind=kind, num_layers=2, bidirectional=True)
    (x,), states = configuration.leaves()
    module, hx = configuration.module(getattr(unrolled, kind)), configuration.hx(states)
    never = torch.zeros(L, N, dtype=torch.bool)
    for a, b in zip(module(x, hx), module(x, hx, resets=never), strict=True):
        assert all(map(torch.equal, tensors(a), tensors(b)))
    done = never.clone()
    done[2, 1] = True
    masked = module(x, hx, mask=~done)[0]
    assert (masked - module(x, hx, resets=done)[0]).abs().max() > 0.1


@every_kind
def test_a_fast_module_starts_again_in_the_plain_loop(kind: str) -> None:
    configuration = Configuration(kind=kind)
    (x,), states = configuration.leaves()
    hx, resets = configuration.hx(states), torch.rand(L, N) < 0.4
    build = getattr(unrolled, kind)
    exact, quick = (configuration.module(build, fast=fast) for fast in (False, True))
    for a, b in zip(exact(x, hx, resets=resets), quick(x, hx, resets=resets), strict=True):
        assert all(map(torch.equal, tensors(a), tensors(b)))


@every_kind
def test_what_comes_before_a_reset_has_no_gradient_after_it(kind: str) -> None:
    configuration = Configuration(kind=kind)
    (x,), states = configuration.leaves()
    leaves = [leaf.requires_grad_() for leaf in (x, *states)]
    module = configuration.module(getattr(unrolled, kind))
    resets = torch.zeros(L, N, dtype=torch.bool)
    resets[3] = True
    output, _ = module(x, configuration.hx(states), resets=resets)
    grad_x, *grads = torch.autograd.grad(output[3:].sum(), leaves, materialize_grads=True)
    assert not grad_x[:3].any()
    assert grad_x[3:].abs().min() > 0
    assert not any(grad.any() for grad in grads)


X = torch.randn(L, N, H_in)
TRUE = torch.ones(L, N, dtype=torch.bool)
PACKED = nn.utils.rnn.pack_sequence([torch.randn(3, H_in), torch.randn(2, H_in)])
WRONG: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "other layout": (X, TRUE.T, RuntimeError, r"resets should have shape \(5, 3\), got \(3, 5\)"),
    "one sequence": (X, TRUE[:, 0], RuntimeError, r"resets should have shape \(5, 3\), got \(5,\)"),
    "unbatched": (X[:, 0], TRUE, RuntimeError, r"resets should have shape \(5,\), got \(5, 3\)"),
    "integers": (X, TRUE.int(), TypeError, "resets should be a Tensor of torch.bool, got torch.in"),
    "a list": (X, TRUE.tolist(), TypeError, "resets should be a Tensor of torch.bool, got list"),
    "elsewhere": (X, TRUE.to("meta"), RuntimeError, "resets should be on the device of input, cpu"),
    "packed": (PACKED, TRUE, ValueError, "resets should be left out for a PackedSequence"),
}


@every_kind
@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("name", WRONG)
def test_wrong_resets_are_refused(kind: str, quick: bool, name: str) -> None:
    x, resets, error, message = WRONG[name]
    module = getattr(unrolled, kind)(H_in, H_out, fast=quick)
    with pytest.raises(error, match=message):
        module(x, resets=resets)

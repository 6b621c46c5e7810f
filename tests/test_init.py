from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn

import unrolled
from tests.comparisons import MODES, init_differences
from tests.strategies import FEWER, seeds


@FEWER
@given(
    mode=st.sampled_from(sorted(MODES)),
    input_size=st.integers(1, 40),
    hidden_size=st.integers(1, 40),
    num_layers=st.integers(1, 3),
    bias=st.booleans(),
    bidirectional=st.booleans(),
    projected=st.booleans(),
    seed=seeds,
    data=st.data(),
)
def test_draw_has_the_bits_of_the_constructor(
    mode: str,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    bias: bool,
    bidirectional: bool,
    projected: bool,
    seed: int,
    data: st.DataObject,
) -> None:
    proj_size = 0
    if projected and mode == "LSTM" and hidden_size > 1:
        proj_size = data.draw(st.integers(1, hidden_size - 1), label="proj_size")
    torch.manual_seed(seed)
    theirs = nn.RNNBase(
        mode,
        input_size,
        hidden_size,
        num_layers,
        bias,
        bidirectional=bidirectional,
        proj_size=proj_size,
    )
    ours = unrolled.uniform_parameters(
        mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size, seed=seed
    )
    assert list(ours) == list(theirs.state_dict())
    for name, parameter in theirs.named_parameters():
        assert ours[name].dtype == np.float32, name
        assert np.array_equal(ours[name], parameter.detach().numpy()), name


def parameter_of(module: nn.Module, name: str) -> NDArray[np.float32]:
    return module.get_parameter(name).detach().numpy()


def test_draw_in_all_modes() -> None:
    assert init_differences(unrolled) == []


def test_one_layer_is_drawn_in_one_direction_with_biases() -> None:
    torch.manual_seed(4)
    theirs = nn.GRU(10, 20).named_parameters()
    ours = unrolled.uniform_parameters("GRU", 10, 20, seed=4)
    for (name, parameter), (drawn, values) in zip(theirs, ours.items(), strict=True):
        assert name == drawn
        assert np.array_equal(values, parameter.detach().numpy()), name


def test_draws_beyond_the_period_of_one_block() -> None:
    torch.manual_seed(3)
    theirs = parameter_of(nn.RNN(64, 300), "weight_hh_l0")  # 90 000 draws, 624 a block
    assert np.array_equal(
        unrolled.uniform_parameters("RNN_TANH", 64, 300, seed=3)["weight_hh_l0"], theirs
    )


@pytest.mark.parametrize(
    "seed",
    [0, -1, -7, 2**31, 2**32, 2**32 + 5, 2**63, 2**64 - 1, -(2**63), True, np.int64(-7)],
)
def test_seeds_wrap_as_in_torch(seed: int) -> None:
    torch.manual_seed(seed)
    theirs = parameter_of(nn.RNN(10, 20), "weight_ih_l0")
    ours = unrolled.uniform_parameters("RNN_TANH", 10, 20, seed=seed)["weight_ih_l0"]
    assert np.array_equal(ours, theirs)


def test_seed_may_be_a_tensor() -> None:
    seed = torch.tensor(3)
    torch.manual_seed(seed)
    theirs = parameter_of(nn.RNN(10, 20), "weight_ih_l0")
    ours = unrolled.uniform_parameters("RNN_TANH", 10, 20, seed=seed)["weight_ih_l0"]  # type: ignore[arg-type] # the same
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("seed", [2**64, -(2**63) - 1])
def test_seed_out_of_range(seed: int) -> None:
    with pytest.raises(ValueError, match="Overflow"):
        torch.manual_seed(seed)
    with pytest.raises(ValueError, match=rf"seed should be in the range .*, got {seed}"):
        unrolled.uniform_parameters("RNN_TANH", 10, 20, seed=seed)


# torch.manual_seed calls int() and so takes 1.5 and "1" too.
@pytest.mark.parametrize("seed", [1.5, "1", None])
def test_seed_that_is_no_integer(seed: object) -> None:
    with pytest.raises(TypeError, match="seed should be an integer, got"):
        unrolled.uniform_parameters("RNN_TANH", 10, 20, seed=seed)  # type: ignore[arg-type] # meant


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="hidden_size must be greater than zero, got 0"):
        unrolled.uniform_parameters("GRU", 10, 0, seed=0)


@pytest.mark.parametrize("hidden_size", [1, 20, 400])
def test_bound_is_reached_and_not_passed(hidden_size: int) -> None:
    bound = unrolled.uniform_bound(hidden_size)
    assert bound == hidden_size**-0.5
    drawn = unrolled.uniform_parameters("RNN_TANH", 1000, hidden_size, seed=0)["weight_ih_l0"]
    assert 0.99 * bound < np.abs(drawn).max() <= np.float32(bound)
    assert drawn.std() == pytest.approx(bound / 3**0.5, rel=0.05)


@pytest.mark.parametrize("hidden_size", [0, -3])
def test_bound_of_nothing(hidden_size: int) -> None:
    with pytest.raises(ValueError, match=f"hidden_size .* greater than zero, got {hidden_size}"):
        unrolled.uniform_bound(hidden_size)


@pytest.mark.parametrize("hidden_size", ["4", float("nan"), 20.0, None, [20], 1j])
def test_bound_of_what_is_no_size(hidden_size: Any) -> None:
    with pytest.raises(TypeError, match="hidden_size should be an integer, got"):
        unrolled.uniform_bound(hidden_size)


def test_sizes_that_torch_takes_for_1() -> None:
    torch.manual_seed(3)
    theirs = parameter_of(nn.LSTM(True, 20), "weight_ih_l0")
    ours = unrolled.uniform_parameters("LSTM", True, 20, seed=3)["weight_ih_l0"]
    assert np.array_equal(ours, theirs)

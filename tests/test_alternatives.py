"""The networks that recurrent ones are compared with: causal, and what they say of themselves."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from unrolled_site.alternatives import (
    DiagonalStateSpace,
    DilatedConvolution,
    Recurrent,
    SmallTransformer,
)

N, L, FEATURES, CLASSES = 3, 12, 5, 4
MODELS: dict[str, Callable[[], Any]] = {
    "RNN": lambda: Recurrent(nn.RNN, FEATURES, 7, CLASSES),
    "LSTM": lambda: Recurrent(nn.LSTM, FEATURES, 7, CLASSES),
    "convolution": lambda: DilatedConvolution(FEATURES, 6, CLASSES, dilations=(1, 2)),
    "transformer": lambda: SmallTransformer(FEATURES, 8, CLASSES),
    "state space": lambda: DiagonalStateSpace(FEATURES, 6, CLASSES, states=9),
}


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(N, L, FEATURES, dtype=torch.float64)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(1)
    return MODELS[request.param]().double().eval()


def test_they_are_causal_and_depend_on_the_past(model: Any, x: Tensor) -> None:
    before = model(x)
    assert before.shape == (N, L, CLASSES)
    for t in (0, 5):
        changed = x.clone()
        changed[:, t] += 1
        moved = (model(changed) - before).abs().amax(dim=-1)  # (N, L)
        assert (moved[:, :t] < 1e-12).all()
        assert moved[:, t : t + 3].min() > 1e-6


def test_a_convolution_sees_its_window_and_no_more(x: Tensor) -> None:
    model = DilatedConvolution(FEATURES, 6, CLASSES, dilations=(1, 2)).double()
    assert model.window == 7
    assert model.state_size(L) == (2 + 4) * 6
    x.requires_grad_()
    (grad,) = torch.autograd.grad(model(x)[:, -1].sum(), x)
    seen = grad.abs().amax(dim=(0, 2)) > 0  # (L,)
    assert seen.tolist() == [False] * (L - 7) + [True] * 7


def test_what_recurrent_modules_and_transformers_keep() -> None:
    assert MODELS["RNN"]().state_size(L) == 7
    assert MODELS["LSTM"]().state_size(L) == 14
    transformer = SmallTransformer(FEATURES, 8, CLASSES, layers=3)
    assert transformer.state_size(L) == 2 * 3 * 8 * L


def test_a_transformer_knows_places_and_starts_with_layers_of_its_own() -> None:
    model = SmallTransformer(FEATURES, 8, CLASSES)
    positions = model.positions(L)
    assert positions.shape == (L, 8)
    assert torch.allclose(positions[:, 0], torch.arange(L).sin())
    assert torch.allclose(positions[:, 4], torch.arange(L).cos())
    weight = "layers.{}.self_attn.in_proj_weight"
    first, second = (model.encoder.get_parameter(weight.format(i)) for i in range(2))
    assert not torch.equal(first, second)


def test_a_state_space_model_is_the_same_step_by_step(x: Tensor) -> None:
    model = DiagonalStateSpace(FEATURES, 6, CLASSES, states=9).double()
    assert model.state_size(L) == 2 * 2 * 9
    states = [state.to(torch.complex128) for state in model.start(N)]
    outputs = []
    for x_t in x.unbind(dim=1):
        output, states = model.step(x_t, states)
        outputs.append(output)
    assert (torch.stack(outputs, dim=1) - model(x)).abs().max() < 1e-12
    assert (model.exponents().real < 0).all()  # every factor is smaller than 1

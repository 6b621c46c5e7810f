"""What `summary` counts is what PyTorch has, multiplies and returns."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import unrolled
from tests.comparisons import KINDS, onednn, tensors

N, L, H_in, H_out = 3, 5, 10, 20
OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 2, "bidirectional": True},
    {"num_layers": 3, "bias": False, "dtype": torch.float64},
]
CASES = [(kind, options) for kind in KINDS for options in OPTIONS]
CASES += [("LSTM", {"proj_size": 7, "num_layers": 2, "bidirectional": True})]
every_case = pytest.mark.parametrize(("kind", "options"), CASES)


@every_case
@pytest.mark.parametrize("package", [nn, unrolled])
def test_parameters_and_states_are_those_of_the_module(
    package: Any, kind: str, options: dict[str, Any]
) -> None:
    module = getattr(package, kind)(H_in, H_out, **options)
    found = unrolled.summary(module)
    parameters = list(module.parameters())
    assert [p.name for p in found.parameters] == list(module.state_dict())
    assert [p.shape for p in found.parameters] == [tuple(p.shape) for p in parameters]
    assert found.count == sum(p.numel() for p in parameters)
    assert found.bytes == sum(p.untyped_storage().nbytes() for p in parameters)
    with onednn(False):
        last = tensors(module(torch.randn(L, H_in, dtype=parameters[0].dtype))[1])
    assert [shape for _, shape in found.states] == [tuple(state.shape) for state in last]
    assert [name for name, _ in found.states] == ["h_n", "c_n"][: len(last)]
    assert found.state_bytes == sum(state.numel() * state.element_size() for state in last)
    assert found.module == repr(module)


@every_case
def test_products_are_those_that_pytorch_counts(kind: str, options: dict[str, Any]) -> None:
    module = getattr(nn, kind)(H_in, H_out, **options)
    x = torch.randn(L, N, H_in, dtype=module.weight_ih_l0.dtype)
    with onednn(False), torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(x)
    assert counter.get_total_flops() == 2 * N * L * unrolled.summary(module).multiply_adds


@pytest.mark.parametrize("package", [nn, unrolled])
@pytest.mark.parametrize("kind", KINDS)
def test_cells(package: Any, kind: str) -> None:
    cell = getattr(package, f"{kind}Cell")(H_in, H_out)
    layer = unrolled.summary(getattr(nn, kind)(H_in, H_out))
    found = unrolled.summary(cell)
    assert [p.name for p in found.parameters] == list(cell.state_dict())
    assert (found.count, found.bytes) == (layer.count, layer.bytes)
    assert [p.weight for p in found.products] == ["weight_ih", "weight_hh"]
    assert (found.multiply_adds, found.state_bytes) == (layer.multiply_adds, layer.state_bytes)
    assert found.states == tuple((name, shape[1:]) for name, shape in layer.states)


def test_table() -> None:
    lines = str(unrolled.summary(nn.GRU(H_in, H_out, dtype=torch.float64))).splitlines()
    assert lines[0] == "GRU(10, 20)"
    assert [line.split() for line in lines[1:7]] == [
        ["parameter", "shape", "count", "bytes"],
        ["weight_ih_l0", "(60,", "10)", "600", "4,800"],
        ["weight_hh_l0", "(60,", "20)", "1,200", "9,600"],
        ["bias_ih_l0", "(60,)", "60", "480"],
        ["bias_hh_l0", "(60,)", "60", "480"],
        ["together", "1,920", "15,360"],
    ]
    assert lines[8].split() == ["@", "weight_ih_l0.T", "(N,", "10)", "@", "(10,", "60)", "600"]
    assert lines[10].split()[-1] == "1,800"
    assert lines[-1] == "states of a sequence: h_n (1, 20), 160 bytes"


def test_nothing_is_run() -> None:
    on_meta = unrolled.summary(nn.LSTM(1000, 20_000, device="meta"))
    assert on_meta.count == 4 * 20_000 * (1000 + 20_000 + 2)
    assert on_meta.bytes == 4 * on_meta.count


@pytest.mark.parametrize("module", [nn.Linear(10, 20), "LSTM", nn.LSTM])
def test_what_is_not_recurrent(module: Any) -> None:
    with pytest.raises(TypeError, match="module should be an RNN, GRU or LSTM or one of their"):
        unrolled.summary(module)

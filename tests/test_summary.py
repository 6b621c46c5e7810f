"""What `summary` counts is what PyTorch has, multiplies and returns."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
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
    assert lines[10].startswith("together, for a time step of one sequence  ")
    assert lines[-1] == "states of a sequence: h_n (1, 20), 160 bytes"


def test_nothing_is_run() -> None:
    on_meta = unrolled.summary(nn.LSTM(1000, 20_000, device="meta"))
    assert on_meta.count == 4 * 20_000 * (1000 + 20_000 + 2)
    assert on_meta.bytes == 4 * on_meta.count


@pytest.mark.parametrize("module", [nn.Linear(10, 20), "LSTM", nn.LSTM])
def test_what_is_not_recurrent(module: Any) -> None:
    with pytest.raises(TypeError, match="module should be an RNN, GRU or LSTM or one of their"):
        unrolled.summary(module)


def masked(module: Any) -> None:
    prune.l1_unstructured(module, "weight_hh_l0", 0.5)  # type: ignore[no-untyped-call] # torch's


def dropped(module: Any) -> None:
    """Drop out of a weight as AWD-LSTM does: it is there once the module has run."""
    raw = module._parameters.pop("weight_hh_l0")
    module.register_parameter("weight_hh_l0_raw", raw)


COMPUTED: dict[str, tuple[Any, list[str], list[str]]] = {
    "weight_norm": (
        lambda module: parametrizations.weight_norm(module, "weight_hh_l0"),
        [f"parametrizations.weight_hh_l0.original{number}" for number in range(2)],
        [],
    ),
    "orthogonal": (
        lambda module: parametrizations.orthogonal(module, "weight_hh_l0"),
        ["parametrizations.weight_hh_l0.original"],
        ["not counted: buffer parametrizations.weight_hh_l0.0.base (28, 28)"],
    ),
    "prune": (masked, ["weight_hh_l0_orig"], ["not counted: buffer weight_hh_l0_mask (28, 7)"]),
    "weight drop": (dropped, ["weight_hh_l0_raw"], []),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("package", [nn, unrolled])
@pytest.mark.parametrize("case", COMPUTED)
def test_weights_that_are_computed(case: str, package: Any) -> None:
    compute, names, buffers = COMPUTED[case]
    plain = unrolled.summary(package.LSTM(5, 7, 2))
    module = package.LSTM(5, 7, 2)
    compute(module)
    found = unrolled.summary(module)
    kept = [p.name for p in plain.parameters if p.name != "weight_hh_l0"]
    assert sorted(p.name for p in found.parameters) == sorted([*kept, *names])
    assert found.count == sum(p.numel() for p in module.parameters())
    assert found.notes == ("computed: weight_hh_l0 (28, 7)", *buffers)
    assert str(found).splitlines()[-len(found.notes) :] == list(found.notes)
    for what in ("products", "multiply_adds", "states", "state_bytes"):
        assert getattr(found, what) == getattr(plain, what)


def test_a_cell_whose_weight_is_computed() -> None:
    cell = nn.GRUCell(5, 7)
    parametrizations.weight_norm(cell, "weight_ih")
    found = unrolled.summary(cell)
    assert found.notes == ("computed: weight_ih (21, 5)",)
    assert found.products == unrolled.summary(nn.GRUCell(5, 7)).products
    deleted = nn.LSTMCell(5, 7)
    del deleted._parameters["weight_ih"]
    assert unrolled.summary(deleted).notes == ("computed: weight_ih (28, 5)",)


def test_layers_that_share_a_parameter() -> None:
    rnn = nn.RNN(7, 7, 2)
    rnn.weight_hh_l1 = rnn.weight_hh_l0
    found = unrolled.summary(rnn)
    assert found.count == sum(p.numel() for p in rnn.parameters()) == 3 * 49 + 4 * 7
    assert found.bytes == 4 * found.count
    assert found.multiply_adds == 4 * 49
    assert found.notes == ("counted once: weight_hh_l1 is weight_hh_l0",)


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(100, 5)
        self.encoder = nn.GRU(5, 7, bidirectional=True)
        self.decoder = unrolled.LSTMCell(5, 7)
        self.other = nn.GRU(5, 7, bias=False)
        self.other.weight_ih_l0 = self.encoder.weight_ih_l0
        self.again = self.encoder
        self.norm = nn.BatchNorm1d(7)


def test_a_whole_model() -> None:
    model = Translator()
    found = unrolled.summary(model)
    parts = [unrolled.summary(part) for part in (model.encoder, model.decoder, model.other)]
    names = ["encoder", "decoder", "other"]
    shared = "other.weight_ih_l0"
    assert [p.name for p in found.parameters] == [
        f"{name}.{p.name}"
        for name, part in zip(names, parts, strict=True)
        for p in part.parameters
        if f"{name}.{p.name}" != shared
    ]
    recurrent = [*model.encoder.parameters(), *model.decoder.parameters()]
    assert found.count == sum(p.numel() for p in recurrent) + 21 * 7
    assert found.multiply_adds == sum(part.multiply_adds for part in parts)
    assert found.states == tuple(
        (f"{name}.{state}", shape)
        for name, part in zip(names, parts, strict=True)
        for state, shape in part.states
    )
    assert found.state_bytes == sum(part.state_bytes for part in parts)
    assert found.notes == (
        "counted once: again is encoder, the same module",
        f"counted once: {shared} is encoder.weight_ih_l0",
        "not counted: embedding.weight (100, 5), in no recurrent module",
        "not counted: norm.weight (7,), in no recurrent module",
        "not counted: norm.bias (7,), in no recurrent module",
        "not counted: buffer norm.running_mean (7,)",
        "not counted: buffer norm.running_var (7,)",
        "not counted: buffer norm.num_batches_tracked ()",
    )
    assert found.module == repr(model)


def test_a_step_of_its_own() -> None:
    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(7)

        def forward(self, x: Any, h: Any, *weights: Any) -> Any:
            return self.norm(unrolled.rnn_step(x, h, *weights))

    rnn = unrolled.RNN(5, 7, step=Step())
    found = unrolled.summary(rnn)
    assert found.count == sum(p.numel() for p in rnn.parameters()) == 7 * 5 + 49 + 4 * 7
    assert found.notes == ("not counted: products of step, which is not PyTorch's",)


def test_no_parameters() -> None:
    rnn = nn.RNN(5, 7)
    rnn._parameters.clear()
    with pytest.raises(ValueError, match="module should have a parameter in it, got none"):
        unrolled.summary(rnn)
    with pytest.raises(ValueError, match="module should have a parameter in 0, got none"):
        unrolled.summary(nn.Sequential(rnn))


class Unknown(nn.RNNCellBase):
    """A cell of whose step nobody knows."""


@pytest.mark.parametrize("module", [nn.Sequential(nn.Linear(2, 3)), Unknown(2, 3, True, 4)])
def test_a_model_with_nothing_recurrent(module: Any) -> None:
    message = f"or a model with one of them, got {type(module).__name__}"
    with pytest.raises(TypeError, match=message):
        unrolled.summary(module)

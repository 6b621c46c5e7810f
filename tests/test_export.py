"""Graphs that are exported once and run at every length: `torch.export` and ONNX Runtime."""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

import unrolled
from tests.comparisons import tensors
from unrolled import _scan

pytest.importorskip("torch._higher_order_ops.scan", reason="this PyTorch has no scan to export")
from unrolled._exported import exported_scan  # which imports that

H_in, H_out, PROJ = 10, 20, 7
EXAMPLE = (5, 3)  # L, N
OTHERS = [(1, 3), (2, 1), (7, 4), (23, 2)]
pytestmark = [
    pytest.mark.no_cover,
    # What PyTorch says of its own parts.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]


class Leaky(nn.Module):
    """A step with parameters that keeps a share of the state."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = nn.Parameter(torch.tensor(0.3))
        self.norm = nn.LayerNorm(H_out)

    def forward(self, x: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        after = torch.tanh(self.norm(x + F.linear(h, weight, bias)))
        return self.kept * h + (1 - self.kept) * after


@dataclass(frozen=True)
class Case:
    """A module, how it is called, and in which layout."""

    kind: str
    names: tuple[str, ...] = ()  # of further arguments: h_0, c_0, lengths, mask, resets
    layout: str = "(L, N)"  # or "(N, L)", "(L,)"
    num_layers: int = 1
    bidirectional: bool = False
    all_states: bool = False
    options: dict[str, Any] = field(default_factory=dict)

    def module(self, dtype: torch.dtype) -> nn.Module:
        torch.manual_seed(0)
        rnn = getattr(unrolled, self.kind)(
            H_in, H_out, self.num_layers, bidirectional=self.bidirectional,
            batch_first=self.layout == "(N, L)", **self.options,
        )  # fmt: skip # as wide as the page
        return Positional(rnn, self.names, self.all_states).to(dtype).eval()

    def arguments(self, L: int, N: int, dtype: torch.dtype) -> tuple[Tensor, ...]:
        torch.manual_seed(L)
        lead = {"(L, N)": (L, N), "(N, L)": (N, L), "(L,)": (L,)}[self.layout]
        count = self.num_layers * (1 + self.bidirectional)
        rows = (count,) if self.layout == "(L,)" else (count, N)
        width = self.options.get("proj_size", H_out)
        made: dict[str, Callable[[], Tensor]] = {
            "h_0": lambda: torch.randn(*rows, width, dtype=dtype),
            "c_0": lambda: torch.randn(*rows, H_out, dtype=dtype),
            "lengths": lambda: torch.randint(0, L + 1, (N,)),
            "mask": lambda: torch.rand(lead) < 0.6,
            "resets": lambda: torch.rand(lead) < 0.4,
        }
        return torch.randn(*lead, H_in, dtype=dtype), *(made[name]() for name in self.names)

    def dynamic_shapes(self) -> tuple[Any, ...]:
        """Leave L and N free."""
        L, N = torch.export.Dim("L", min=1), torch.export.Dim("N", min=1)
        lead = {"(L, N)": {0: L, 1: N}, "(N, L)": {0: N, 1: L}, "(L,)": {0: L}}[self.layout]
        states = {} if self.layout == "(L,)" else {1: N}
        free = {"h_0": states, "c_0": states, "lengths": {0: N}, "mask": lead, "resets": lead}
        more = tuple(free[name] for name in self.names)
        return (lead, more) if more else (lead,)


class Positional(nn.Module):
    """A model around a module of ours, all of whose arguments and results are tensors."""

    def __init__(self, rnn: Any, names: Sequence[str], all_states: bool) -> None:
        super().__init__()
        self.rnn, self.names, self.all_states = rnn, names, all_states

    def forward(self, x: Tensor, *more: Tensor) -> tuple[Tensor, ...]:
        given = dict(zip(self.names, more, strict=True))
        states = [given.pop(name) for name in ("h_0", "c_0") if name in given]
        hx: Any = None if not states else states[0] if len(states) == 1 else tuple(states)
        output, last, *every = self.rnn(x, hx, all_states=self.all_states, **given)
        found = [output, *tensors(last)]
        for states in every:
            found += [*states.h, *(states.c or [])]
        return tuple(found)


CASES = {
    "projection, lengths, resets": Case(
        "LSTM",
        ("h_0", "c_0", "lengths", "resets"),
        "(N, L)",
        num_layers=2,
        bidirectional=True,
        options={"proj_size": PROJ},
    ),
    "mask, resets, all states": Case("GRU", ("mask", "resets"), all_states=True, num_layers=2),
    "unbatched": Case("RNN", ("h_0", "mask"), "(L,)", options={"nonlinearity": "relu"}),
    "fast": Case("GRU", options={"fast": True, "bias": False}),
    "a step of your own": Case("RNN", ("h_0",), options={"step": Leaky()}),
}


def far(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    assert [a.shape for a in found] == [b.shape for b in expected]
    return max((a - b).abs().max().item() for a, b in zip(found, expected, strict=True))


def in_onnx_runtime(graph: torch.export.ExportedProgram) -> Callable[..., list[Tensor]]:
    """Give what ONNX Runtime makes of an exported graph."""
    file = io.BytesIO()
    export: Any = torch.onnx.export  # which takes a graph and a file, whatever its types say
    export(graph, (), file, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(file.getvalue())
    names = [each.name for each in session.get_inputs()]

    def run(*arguments: Tensor) -> list[Tensor]:
        given = {n: a.numpy() for n, a in zip(names, arguments, strict=True)}
        return [torch.from_numpy(result) for result in session.run(None, given)]

    return run


@pytest.mark.parametrize("name", CASES)
def test_a_graph_runs_at_every_length(name: str) -> None:
    """The deep ones also in ONNX Runtime; without gradients, which take three times as long."""
    case, dtype = CASES[name], torch.float64
    model, deep = case.module(dtype), case.num_layers > 1
    strict = name == "a step of your own"  # once, since it traces the bytecode too
    example, shapes = case.arguments(*EXAMPLE, dtype), case.dynamic_shapes()
    with torch.set_grad_enabled(not deep):
        graph = torch.export.export(model, example, dynamic_shapes=shapes, strict=strict)
        scans = [n for n in graph.graph.nodes if n.target is torch.ops.higher_order.scan]
        assert len(scans) == case.num_layers * (1 + case.bidirectional)
        runs: list[Callable[..., Any]] = [graph.module()]
        runs += [in_onnx_runtime(graph)] if deep else []
        for size in (EXAMPLE, *OTHERS):
            arguments = case.arguments(*size, dtype)
            expected = model(*arguments)
            assert all(far(run(*arguments), expected) <= 1e-12 for run in runs)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_operator_is_the_loop(reverse: bool) -> None:
    """Outside an export, with gradients: the same numbers, in the same order."""
    torch.manual_seed(0)
    x, flags = torch.randn(5, 3, 4, dtype=torch.float64), torch.rand(5, 3) < 0.5
    weight = torch.randn(4, 4, dtype=torch.float64, requires_grad=True)
    state = (torch.randn(3, 4, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64))

    def step(x: Any, state: Any, weight: Tensor) -> Any:
        x, keep = x
        h, c = state
        return torch.tanh(x + h @ weight), torch.where(keep[:, None], c + x, h)

    order = unrolled.Order(reverse)
    ours = _scan.scan_joined(step, (x, flags), state, order, (weight,))
    theirs = exported_scan(step, (x, flags), state, reverse, (weight,))
    for a, b in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    grads = [torch.autograd.grad(part[0][1].sum(), weight)[0] for part in (ours, theirs)]
    torch.testing.assert_close(*grads, rtol=0, atol=1e-12)


def test_without_word_of_an_export_the_loop_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older PyTorch does not say that it exports: the graph has the length of the example."""
    monkeypatch.setattr(_scan, "is_exporting", bool)
    model = Case("RNN").module(torch.float64)
    x = torch.randn(5, 3, H_in, dtype=torch.float64)
    graph = torch.export.export(model, (x,))
    assert far(graph.module()(x), model(x)) <= 1e-12
    free = ({0: torch.export.Dim("L")},)
    with pytest.raises(Exception, match="specialized it to be a constant"):
        torch.export.export(model, (x,), dynamic_shapes=free)


def test_packed_input_is_refused_while_exporting() -> None:
    """Its lengths would become constants of the graph."""

    class Packing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = unrolled.GRU(H_in, H_out)

        def forward(self, x: Tensor) -> Tensor:
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([5, 3, 2]))
            output: Tensor = self.rnn(packed)[0].data
            return output

    with pytest.raises(Exception, match="input should be a Tensor where a graph is recorded"):
        torch.export.export(Packing(), (torch.randn(5, 3, H_in),))


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_a_cell_runs_with_every_batch(kind: str) -> None:
    cell = getattr(unrolled, kind)(H_in, H_out)
    free = ({0: torch.export.Dim("N")},)
    graph = torch.export.export(cell, (torch.randn(3, H_in),), dynamic_shapes=free).module()
    for N in (2, 3, 7):
        x = torch.randn(N, H_in)
        assert far(tensors(graph(x)), tensors(cell(x))) <= 1e-6


@pytest.mark.parametrize("returned", ["state", "input", "one tensor twice"])
def test_a_step_may_return_what_it_was_given(returned: str) -> None:
    """PyTorch refuses a scan whose results share memory with each other or with what came in."""

    def step(x: Tensor, state: Any, weight: Tensor, bias: Tensor) -> Any:
        h, c = state
        if returned == "state":
            return h, c
        if returned == "input":
            return x[:, :H_out], c + x[:, H_out : 2 * H_out]
        after = torch.tanh(c + x[:, :H_out])
        return after, after

    lstm = unrolled.LSTM(H_in, H_out, dtype=torch.float64, step=step)
    model = Positional(lstm, ("h_0", "c_0"), False).eval()
    case = Case("LSTM", ("h_0", "c_0"))
    torch.compiler.reset()
    example = case.arguments(*EXAMPLE, torch.float64)
    graph = torch.export.export(model, example, dynamic_shapes=case.dynamic_shapes()).module()
    for size in OTHERS[1:]:
        arguments = case.arguments(*size, torch.float64)
        assert far(graph(*arguments), model(*arguments)) <= 1e-12

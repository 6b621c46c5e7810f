"""Comparisons with PyTorch that run on any copy of the package, a mutated one included.

Each takes the package (or its class) as an argument and gives what is wrong, in words: nothing is a
pass. `test_mutations` shows that each of them notices a mistake.
"""

import ast
import importlib
import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils._python_dispatch import TorchDispatchMode

from unrolled._scan import Order, each
from unrolled.layers import STEPS, Weights, plain_direction, run_network, weights_of

LAYOUTS = ("batched", "unbatched", "packed", "packed unsorted")
KINDS = ("RNN", "GRU", "LSTM")


@dataclass(frozen=True)
class Configuration:
    """A constructor call of a recurrent module and an input for it."""

    kind: str = "RNN"  # or "GRU", "LSTM"
    input_size: int = 10
    hidden_size: int = 20
    num_layers: int = 1
    nonlinearity: str = "tanh"  # of an RNN
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    proj_size: int = 0  # of an LSTM
    dtype: torch.dtype = torch.float64
    training: bool = True
    layout: str = "batched"
    lengths: tuple[int, ...] = (5, 5, 5)  # one for each of the N sequences
    L: int = 5  # of input that is not packed
    hx_given: bool = True
    loss: str = "output and states"  # what the gradients are those of
    scale: float = 1.0  # large input saturates the activations
    onednn: bool = True
    seed: int = 0

    def module(self, module_type: Callable[..., nn.RNNBase], **keywords: Any) -> Any:
        if self.kind == "RNN":
            keywords["nonlinearity"] = self.nonlinearity
        if self.kind == "LSTM":
            keywords["proj_size"] = self.proj_size
        torch.manual_seed(self.seed)
        return module_type(
            self.input_size,
            self.hidden_size,
            self.num_layers,
            bias=self.bias,
            batch_first=self.batch_first,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
            dtype=self.dtype,
            **keywords,
        ).train(self.training)

    def theirs(self) -> Any:
        return self.module(getattr(nn, self.kind))

    def leaves(self) -> tuple[list[Tensor], list[Tensor]]:
        """Draw the input, one tensor or one for each packed sequence, and the states."""
        generator = torch.Generator().manual_seed(self.seed + 1)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=self.dtype)

        N = len(self.lengths)
        if self.layout == "unbatched":
            inputs = [draw(self.L, self.input_size)]
        elif self.layout == "batched":
            shape = (N, self.L) if self.batch_first else (self.L, N)
            inputs = [draw(*shape, self.input_size)]
        else:
            lengths = self.lengths
            if self.layout == "packed":
                lengths = tuple(sorted(lengths, reverse=True))
            inputs = [draw(length, self.input_size) for length in lengths]
        rows = (self.D * self.num_layers, *(() if self.layout == "unbatched" else (N,)))
        widths = [self.proj_size or self.hidden_size, self.hidden_size][: 1 + self.is_lstm]
        states = [draw(*rows, width) for width in widths]  # h_0, of an LSTM also c_0
        return [x * self.scale for x in inputs], states if self.hx_given else []

    def input(self, leaves: list[Tensor]) -> Tensor | PackedSequence:
        if self.layout.startswith("packed"):
            return pack_sequence(leaves, enforce_sorted=self.layout == "packed")
        return leaves[0]

    def hx(self, states: list[Tensor]) -> Any:
        if not states:
            return None
        return tuple(states) if self.is_lstm else states[0]

    @property
    def is_lstm(self) -> bool:
        return self.kind == "LSTM"

    @property
    def D(self) -> int:  # noqa: N802 # its name everywhere
        return 2 if self.bidirectional else 1

    @property
    def through_onednn(self) -> bool:
        """Say whether PyTorch hands this to oneDNN, as `use_mkldnn` in ATen's RNN.cpp decides."""
        equal = not self.layout.startswith("packed") or len(set(self.lengths)) == 1
        numbers = self.layout == "unbatched" or len(self.lengths) > 0
        return (
            self.is_lstm
            and self.onednn
            and self.dtype == torch.float32
            and self.proj_size == 0
            and equal
            and numbers
        )


class Operators(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's is untyped
    """Note which operators reach the kernels."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the same
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def tensors(states: Any) -> list[Any]:
    """Give h_n, of an LSTM h_n and c_n; these may be arrays too."""
    return list(states) if isinstance(states, tuple) else [states]


def run(module: Any, configuration: Configuration) -> dict[str, Tensor]:
    """Run a module forward and backward and name everything that can be seen of it."""
    seen = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    inputs, states = configuration.leaves()
    for leaf in (*inputs, *states):
        leaf.requires_grad_()
    arguments = [configuration.input(inputs)]
    if states:
        arguments.append(configuration.hx(states))
    torch.manual_seed(configuration.seed + 2)  # of the dropout
    with torch.no_grad():  # inference may take another way
        seen |= _results(module(*arguments), " without gradients")
    seen["generator after inference"] = torch.get_rng_state()
    torch.manual_seed(configuration.seed + 2)
    results = _results(module(*arguments))
    seen["generator after forward"] = torch.get_rng_state()
    seen |= {name: value.detach() for name, value in results.items()}
    results = {name: results[name] for name in ("output", "h_n", "c_n") if name in results}
    wanted = configuration.loss.replace("states", "h_n and c_n").split(" and ")
    terms = [value for name, value in results.items() if name in wanted]
    generator = torch.Generator().manual_seed(configuration.seed + 3)
    weights = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in terms]
    named: dict[str, Tensor] = dict(module.named_parameters())
    named |= {f"input {number}": x for number, x in enumerate(inputs)}
    named |= dict(zip(("h_0", "c_0"), states, strict=False))
    gradients = torch.autograd.grad(terms, list(named.values()), weights, allow_unused=True)
    for name, gradient in zip(named, gradients, strict=True):
        if gradient is not None:
            seen[f"gradient of {name}"] = gradient
    return seen


def _results(returned: Any, suffix: str = "") -> dict[str, Tensor]:
    """Name what a module returns, and what says where the rows of a packed output belong."""
    output, last = returned
    results = {}
    if isinstance(output, PackedSequence):
        for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            if getattr(output, field) is not None:
                results[f"output.{field}"] = getattr(output, field)
        output = output.data
    results |= {"output": output} | dict(zip(("h_n", "c_n"), tensors(last), strict=False))
    return {f"{name}{suffix}": value for name, value in results.items()}


def compare(
    ours: dict[str, Tensor],
    theirs: dict[str, Tensor],
    bound: float = 0.0,
    unbounded: bool = False,
) -> list[str]:
    """Say which quantities are not the same bits in the same layout, and by how much.

    With a bound, elements may differ by that much; those of a gradient, which is a sum over all
    sequences and time steps, by that much of the largest if it is more than 1. If outputs are
    unbounded, which is what relu makes of them, so may those of everything else.
    """
    if list(ours) != list(theirs):
        return [f"there is {list(ours)}, expected {list(theirs)}"]
    wrong = []
    for name, expected in theirs.items():
        actual = ours[name]
        for what in ("dtype", "shape", "stride"):
            a, b = getattr(actual, what), getattr(expected, what)
            if what == "stride":
                a, b = a(), b()
            if a != b and not (bound and what == "stride"):
                wrong.append(f"{name}: {what} {a}, expected {b}")
        if actual.shape == expected.shape and not torch.equal(actual, expected):
            apart = (actual.double() - expected.double()).abs()
            largest = float(expected.double().abs().max())
            relative = unbounded or name.startswith("gradient")
            allowed = bound * (max(1.0, largest) if relative else 1.0)
            if not apart.max() <= allowed:  # also true of NaN
                wrong.append(
                    f"{name}: {int((apart > allowed).sum())} of {apart.numel()} elements differ, by"
                    f" at most {float(apart.max()):.3g}, allowed {allowed:.1g}, on torch"
                    f" {torch.__version__}, {torch.backends.cpu.get_cpu_capability()}"
                )
    return wrong


@contextmanager
def onednn(enabled: bool) -> Iterator[None]:
    """Switch oneDNN; `torch.backends.mkldnn.flags` does the same and warns of Intel GPUs."""
    backend: Any = torch.backends.mkldnn  # whose attributes are typed as what stands behind them
    before = backend.enabled
    backend.enabled = enabled
    try:
        yield
    finally:
        backend.enabled = before


ONEDNN_BOUND = 1e-6
"""How far a float32 LSTM may be from oneDNN's, which adds in another order."""


def module_differences(module_type: Any, configuration: Configuration) -> list[str]:
    """Compare a module with that of `torch.nn` from the constructor to the gradients."""
    results, warned, names = [], [], []
    with onednn(configuration.onednn):
        for build in (module_type, getattr(nn, configuration.kind)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                module = configuration.module(build)
            constructed = {"generator after the constructor": torch.get_rng_state()}
            warned.append([(warning.category, str(warning.message)) for warning in caught])
            names.append(list(module.state_dict()))
            with warnings.catch_warnings():
                # PyTorch says so once of an LSTM with a projection.
                warnings.filterwarnings("ignore", "LSTM with projections is not supported")
                results.append(constructed | run(module, configuration))
        wrong = _which_kernel(module, configuration)
    if warned[0] != warned[1]:
        wrong.append(f"warns {warned[0]}, expected {warned[1]}")
    if names[0] != names[1]:
        wrong.append(f"state_dict has {names[0]}, expected {names[1]}")
    bound = ONEDNN_BOUND * configuration.scale if configuration.through_onednn else 0.0
    return wrong + compare(results[0], results[1], bound)


def _which_kernel(module: Any, configuration: Configuration) -> list[str]:
    """See to it that PyTorch runs oneDNN where we think so, and nowhere else."""
    if not configuration.is_lstm:
        return []
    leaves, _ = configuration.leaves()
    with torch.no_grad(), Operators() as operators:
        module(configuration.input(leaves))
    if ("mkldnn_rnn_layer" in operators.names) != configuration.through_onednn:
        return [f"oneDNN runs, or not, against through_onednn: {sorted(operators.names)}"]
    return []


REPRESENTATIVE = [
    Configuration(kind=kind, num_layers=num_layers, bidirectional=bidirectional, layout=layout,
                  lengths=(2, 5, 3), dropout=dropout, nonlinearity=nonlinearity, training=training,
                  batch_first=layout == "batched", hx_given=training,
                  proj_size=7 if kind == "LSTM" and layout in projected else 0)
    for (layout, nonlinearity, training), (num_layers, bidirectional, dropout), projected, kind
    in product(
        [("batched", "tanh", True), ("packed unsorted", "tanh", True), ("batched", "relu", False),
         ("unbatched", "tanh", True), ("packed", "relu", False)],
        [(1, False, 0.0), (3, True, 0.5)],
        [(), LAYOUTS],
        KINDS,
    )
    if (training or num_layers > 1) and (kind == "LSTM" or not projected)
]  # fmt: skip # a table
"""A few configurations that a mistake in a module does not survive.

Here and below the kinds take turns, so that a mistake in one of them is met early.
"""


def rnn_differences(package: Any) -> Iterator[str]:
    """Compare our RNN with `nn.RNN` in a few configurations."""
    return _representative_differences(package, "RNN")


def gru_differences(package: Any) -> Iterator[str]:
    """Compare our GRU with `nn.GRU` in a few configurations."""
    return _representative_differences(package, "GRU")


def lstm_differences(package: Any) -> Iterator[str]:
    """Compare our LSTM with `nn.LSTM` in a few configurations."""
    return _representative_differences(package, "LSTM")


def _representative_differences(package: Any, kind: str) -> Iterator[str]:
    for configuration in REPRESENTATIVE:
        if configuration.kind == kind:
            for difference in module_differences(getattr(package, kind), configuration):
                yield f"{configuration}: {difference}"


def shape_differences(package: Any) -> list[str]:
    """Compare the table of parameters with the modules of `torch.nn`."""
    wrong = []
    for mode, module_type, keywords in constructor_calls():
        module = module_type(10, 20, device="meta", **keywords)
        expected = {name: tuple(p.shape) for name, p in module.named_parameters()}
        actual = package.parameter_shapes(mode, 10, 20, **without_nonlinearity(keywords))
        if list(actual.items()) != list(expected.items()):
            wrong.append(f"{mode} {keywords}: {actual}, expected {expected}")
    return wrong


def init_differences(package: Any) -> list[str]:
    """Compare the draw in NumPy with the constructors of `torch.nn`."""
    wrong = []
    for seed, (mode, module_type, keywords) in enumerate(constructor_calls()):
        torch.manual_seed(seed)
        expected = module_type(10, 20, **keywords).named_parameters()
        actual = package.uniform_parameters(
            mode, 10, 20, seed=seed, **without_nonlinearity(keywords)
        )
        wrong += [
            f"seed {seed}, {mode} {keywords}: {name}"
            for name, parameter in expected
            if not np.array_equal(actual[name], parameter.detach().numpy())
        ]
    return wrong


def constructor_calls() -> Iterator[tuple[str, Callable[..., nn.RNNBase], dict[str, Any]]]:
    """Walk through all four modes with layers, directions, biases and projections."""
    for mode, num_layers, bias, bidirectional in product(MODES, (1, 3), (True, False), (0, 1)):
        keywords: dict[str, Any] = {
            "num_layers": num_layers,
            "bias": bias,
            "bidirectional": bool(bidirectional),
        }
        if mode.startswith("RNN"):
            keywords["nonlinearity"] = mode.removeprefix("RNN_").lower()
        yield mode, MODES[mode], keywords
        if mode == "LSTM":
            yield mode, MODES[mode], keywords | {"proj_size": 7}


MODES: dict[str, Callable[..., nn.RNNBase]] = {
    "RNN_TANH": nn.RNN,
    "RNN_RELU": nn.RNN,
    "LSTM": nn.LSTM,
    "GRU": nn.GRU,
}


def without_nonlinearity(keywords: dict[str, Any]) -> dict[str, Any]:
    """Drop what the mode says already."""
    return {name: value for name, value in keywords.items() if name != "nonlinearity"}


def cell_differences(package: Any) -> list[str]:
    """Compare the cells, on tensors and on NumPy arrays, with those of `torch.nn`."""
    wrong = []
    for kind, nonlinearity, bias, dtype in product(
        KINDS, ("tanh", "relu"), (True, False), (torch.float32, torch.float64)
    ):
        if kind != "RNN" and nonlinearity != "tanh":
            continue
        keywords = {"nonlinearity": nonlinearity} if kind == "RNN" else {}
        torch.manual_seed(0)
        cell = getattr(nn, f"{kind}Cell")(10, 20, bias, dtype=dtype, **keywords)
        ours = getattr(package, f"{kind.lower()}_cell")
        x = torch.randn(3, 10, dtype=dtype)
        hx = tuple(torch.randn(3, 20, dtype=dtype) for _ in range(1 + (kind == "LSTM")))
        parameters = [parameter.detach() for parameter in cell.parameters()]
        state: Any = hx if kind == "LSTM" else hx[0]
        expected = [value.detach() for value in tensors(cell(x, state))]
        case = f"{kind}, {nonlinearity}, bias={bias}, {dtype}"
        actual = tensors(ours(x, state, *parameters, **keywords))
        if not all(torch.equal(a, b) for a, b in zip(actual, expected, strict=True)):
            wrong.append(f"{case}: not the bits of {kind}Cell")
        arrays = [array.numpy() for array in parameters]
        state = tuple(h.numpy() for h in hx) if kind == "LSTM" else hx[0].numpy()
        on_arrays = ours(x.numpy(), state, *arrays, **keywords)
        bound = 1e-12 if dtype == torch.float64 else 1e-6
        for a, b in zip(tensors(on_arrays), expected, strict=True):
            apart = np.abs(np.asarray(a) - b.numpy()).max()
            if np.asarray(a).dtype != b.numpy().dtype or apart > bound:
                wrong.append(f"{case}: NumPy is {apart:.1e} off, in {np.asarray(a).dtype}")
    return wrong


def hand_differences(package: Any) -> list[str]:
    """Compare with cases whose answer needs no second implementation."""
    zeros = np.zeros
    eye = np.eye(3, k=-1)  # W_hh with ones below the diagonal: it moves the state down
    one, half, tanh = np.ones((1, 1, 1)), np.full((1, 1, 1), 0.5), np.tanh
    cases: dict[str, tuple[Any, Any]] = {
        "two layers of ones: 10, then 10 * 1000": (
            _network(package, "RNN_RELU", np.ones((1, 1, 10)), [zeros((1, 1000))] * 2,
                     [[np.ones((1000, 10)), np.ones((1000, 1000))], [np.ones((1000, 1000))] * 2]),
            [10_000.0] * 1000,
        ),
        "prefix sums": (
            _network(package, "RNN_RELU", np.arange(1.0, 6).reshape(5, 1, 1), [zeros((1, 1))],
                     [[np.ones((1, 1))] * 2]),
            [1.0, 3, 6, 10, 15],
        ),
        "a one that moves right, which W_hh without its transpose would lose": (
            _network(package, "RNN_RELU", zeros((3, 1, 1)), [np.array([[1.0, 0, 0]])],
                     [[zeros((3, 1)), eye]]),
            [0.0, 1, 0, 0, 0, 1, 0, 0, 0],
        ),
        "an LSTM with its gates open: the cell state counts": (
            _lstm(package, np.ones((4, 1, 1)), i=100, f=100, o=100, w_g=100),
            tanh([1.0, 2, 3, 4]),
        ),
        "the input gate shut: the cell state stays": (
            _lstm(package, np.ones((2, 1, 1)), i=-100, f=100, o=100, w_g=100, c=0.5),
            tanh([0.5, 0.5]),
        ),
        "the forget gate shut: only the candidate is left": (
            _lstm(package, np.ones((2, 1, 1)), i=100, f=-100, o=100, w_g=100, c=0.5),
            tanh([1.0, 1.0]),
        ),
        "the output gate shut: nothing comes out": (
            _lstm(package, np.ones((2, 1, 1)), i=100, f=100, o=-100, w_g=100, c=0.5),
            [0.0, 0],
        ),
        "all biases 0: half of the cell state stays, half of it comes out": (
            _lstm(package, zeros((1, 1, 1)), c=0.5), tanh([0.25]) / 2,
        ),
        "z is 1: a GRU keeps its state": (
            _gru(package, 3, half, z=100, n=0.5), [0.5] * 3,
        ),
        "z is 0: a GRU takes the candidate": (
            _gru(package, 3, half, z=-100, n=0.5), tanh([0.5] * 3),
        ),
        "z is a half: the mean": (_gru(package, 1, half, n=9), (tanh([9]) + 0.5) / 2),
        "r is 0: b_hn is inside the product": (
            _gru(package, 1, half, r=-100, z=-100, n=0.5, b_hn=9), tanh([0.5]),
        ),
        "r is a half: half of b_hn": (
            _gru(package, 1, half, z=-100, n=0.5, b_hn=1), tanh([1.0]),
        ),
        "r is 1: W_hn sees the whole state": (
            _gru(package, 1, one, r=100, z=-100, w_hn=2), tanh([2.0]),
        ),
    }  # fmt: skip # a table
    return [
        f"{name}: {actual.tolist()}, expected {list(expected)}"
        for name, (actual, expected) in cases.items()
        if not np.allclose(actual, expected, rtol=0, atol=1e-15)
    ]


def _network(
    package: Any, mode: str, inputs: Any, states: list[Any], layers: list[list[Any]]
) -> Any:
    direction = partial(package.layers.plain_direction, package.layers.STEPS[mode])
    weights = [[package.layers.Weights(*layer)] for layer in layers]
    results = package.layers.run_network([direction] * len(layers), inputs, states, weights)
    return results.output.flatten()


def _lstm(
    package: Any, inputs: Any, i: float = 0, f: float = 0, o: float = 0, w_g: float = 0,
    c: float = 0,
) -> Any:  # fmt: skip # a call
    """Run an LSTM of one cell, without a recurrent weight."""
    weights = [np.array([[0.0], [0], [w_g], [0]]), np.zeros((4, 1)), np.array([i, f, 0.0, o])]
    state = np.zeros((1, 1)), np.full((1, 1), float(c))
    return _network(package, "LSTM", inputs, [state], [[*weights, np.zeros(4)]])


def _gru(
    package: Any, L: int, h_0: Any, r: float = 0, z: float = 0, n: float = 0, b_hn: float = 0,
    w_hn: float = 0,
) -> Any:  # fmt: skip # a call
    """Run a GRU of one unit on zeros."""
    weight_hh = np.array([[0.0], [0], [w_hn]])
    biases = np.array([r, z, n], dtype=float), np.array([0, 0, b_hn], dtype=float)
    return _network(
        package, "GRU", np.zeros((L, 1, 1)), [h_0[0]], [[np.zeros((3, 1)), weight_hh, *biases]]
    )


def mask_differences(package: Any) -> Iterator[str]:
    """Compare masks and lengths with `torch.nn` run on the time steps that count, and no others."""
    holes = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 1, 0], [0, 1, 0]]).bool()
    ends = torch.arange(5)[:, None] < torch.tensor([2, 5, 0])
    for kind, batch_first in product(KINDS, (False, True)):
        configuration = Configuration(
            kind=kind, num_layers=2, bidirectional=batch_first, batch_first=batch_first
        )
        (x,), states = configuration.leaves()
        module, theirs = configuration.module(getattr(package, kind)), configuration.theirs()
        for mask, keywords in (
            (holes, {"mask": holes.T if batch_first else holes}),
            (ends, {"lengths": [2, 5, 0]}),
        ):
            output, last = module(x, configuration.hx(states), **keywords)
            rows, inputs = (t if batch_first else t.transpose(0, 1) for t in (output, x))
            for n, kept in enumerate(mask.T):
                alone = [state[:, n] for state in states]
                expected, ended = torch.zeros(0, rows.shape[-1]).double(), alone
                if kept.any():
                    expected, final = theirs(inputs[n][kept], configuration.hx(alone))
                    ended = tensors(final)
                actual = [rows[n][kept], *(state[:, n] for state in tensors(last))]
                for a, b in zip(actual, (expected, *ended), strict=True):
                    if not torch.allclose(a, b, rtol=0, atol=1e-12):
                        yield f"{kind}, {list(keywords)}, sequence {n}: not what it is alone"
                if (rows[n][~kept] != 0).any():
                    yield f"{kind}, {list(keywords)}, sequence {n}: padding does not put out 0"


def cut_by_hand(
    module: Any, x: Tensor, states: list[Tensor], resets: Tensor, mask: Tensor, lengths: list[int]
) -> list[Tensor]:
    """Run each piece of each sequence alone: x is (L, N, H_in), states (D * num_layers, N, ...)."""
    D = 1 + module.bidirectional
    outputs, ends = [], []
    for n, length in enumerate(lengths):
        starts = [t for t in range(length) if resets[t, n]]
        borders = [0, *starts, length]  # the first piece is empty where a reset comes first
        pieces = [range(a, b) for a, b in pairwise(borders)]
        first = [state[:, n : n + 1] for state in states]
        output, last = x.new_zeros(len(x), D * (states[0].shape[-1])), []
        for number, piece in enumerate(pieces):
            initial = [torch.zeros_like(state) for state in first]
            for state, own in zip(initial, first, strict=True):
                if number == 0:
                    state[0::D] = own[0::D]
                if number == len(pieces) - 1 and D == 2:
                    state[1::D] = own[1::D]
            steps = [t for t in piece if mask[t, n]]
            if steps:
                hx = tuple(initial) if len(initial) == 2 else initial[0]
                ran, after = module(x[steps, n : n + 1], hx)
                output = output.index_put((torch.tensor(steps),), ran[:, 0])
                initial = tensors(after)
            last.append(initial)
        # The reverse direction ends with the first step there is; an empty piece has none.
        begins = 1 if starts[:1] == [0] else 0
        end = [state.clone() for state in last[-1]]
        for part, state in enumerate(end):
            if D == 2:
                state[1::D] = last[begins][part][1::D]
        outputs.append(output)
        ends.append(end)
    return [torch.stack(outputs, 1), *(torch.cat(parts, 1) for parts in zip(*ends, strict=True))]


def reset_differences(package: Any) -> Iterator[str]:
    """Compare sequences that start again with `torch.nn` run on each piece alone."""
    resets = torch.tensor([[1, 0, 0], [0, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0]]).bool()
    holes = torch.tensor([[1, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0], [0, 1, 1]]).bool()
    for kind, bidirectional in product(KINDS, (False, True)):
        configuration = Configuration(kind=kind, num_layers=2, bidirectional=bidirectional)
        (x,), states = configuration.leaves()
        module, theirs = configuration.module(getattr(package, kind)), configuration.theirs()
        options: list[tuple[Tensor, list[int], dict[str, Any]]] = [
            (torch.ones_like(holes), [5, 5, 5], {}),
            (holes, [5, 5, 5], {"mask": holes}),
            (torch.ones_like(holes), [4, 5, 0], {"lengths": [4, 5, 0]}),
        ]
        for mask, lengths, keywords in options:
            output, last = module(x, configuration.hx(states), resets=resets, **keywords)
            expected = cut_by_hand(theirs, x, states, resets, mask, lengths)
            for a, b in zip([output, *tensors(last)], expected, strict=True):
                if not torch.allclose(a, b, rtol=0, atol=1e-12):
                    yield f"{kind}, {list(keywords)}: not what its pieces are alone"


def state_differences(package: Any) -> Iterator[str]:
    """Compare all states with those of `torch.nn` called once for each layer and time step."""
    for kind in KINDS:
        configuration = Configuration(kind=kind, num_layers=2)
        module = configuration.module(getattr(package, kind))
        (inputs,), states = configuration.leaves()
        every = module(inputs, configuration.hx(states), all_states=True)[2]
        for layer in range(2):
            one = getattr(nn, kind)(inputs.shape[-1], 20, dtype=torch.float64)
            one.load_state_dict(
                {
                    name: module.state_dict()[name.replace("l0", f"l{layer}")]
                    for name in one.state_dict()
                }
            )
            hx = configuration.hx([state[layer : layer + 1] for state in states])
            after = []
            for x in inputs:
                _, hx = one(x[None], hx)
                after.append([part[0] for part in tensors(hx)])
            for name, part in zip("hc", zip(*after, strict=True), strict=False):
                got = getattr(every, name)[layer]
                if not torch.allclose(got, torch.stack(part), rtol=0, atol=1e-12):
                    yield f"{kind}: {name} of layer {layer}"
            inputs = torch.stack([state[0] for state in after])


def step_differences(package: Any) -> Iterator[str]:
    """Compare steps that count with their sums: each layer and direction has its own."""
    for kind in KINDS:

        def add(number: int, is_lstm: bool = kind == "LSTM") -> Any:
            def step(x_projected: Tensor, state: Any, weight_hh: Tensor, bias_hh: Tensor) -> Any:
                if is_lstm:
                    return state[0] + number, state[1] + 10 * number
                return state + number

            return step

        module = getattr(package, kind)(3, 4, 2, bidirectional=True, step=[*map(add, range(1, 5))])
        _, last = module(torch.zeros(5, 2, 3))
        for end, factor in zip(tensors(last), (1, 10), strict=False):
            expected = 5 * factor * torch.arange(1.0, 5)
            if not torch.equal(end, expected[:, None, None].expand(4, 2, 4)):
                yield f"{kind}: {end[:, 0, 0].tolist()}, expected {expected.tolist()}"


def refusal_differences(package: Any) -> Iterator[str]:
    """See to it that what would go wrong in silence is refused."""
    x, full = torch.zeros(5, 3, 10), torch.ones(5, 3).bool()
    packed = pack_sequence([x[:5, 0], x[:3, 1]])
    mistakes: dict[str, Callable[[Any], Any]] = {
        "length above L": lambda module: module(x, lengths=[6, 3, 1]),
        "negative length": lambda module: module(x, lengths=[5, 3, -1]),
        "lengths of other sequences": lambda module: module(x, lengths=[5]),
        "fractions of a step": lambda module: module(x, lengths=[4.7, 3.0, 1.0]),
        "lengths and mask": lambda module: module(x, lengths=[5, 5, 5], mask=full),
        "packed and lengths": lambda module: module(packed, lengths=[5, 3]),
        "mask that broadcasts": lambda module: module(x, mask=full[:, :1]),
        "mask of floats": lambda module: module(x, mask=full.float()),
        "hx that broadcasts": lambda module: module(x, _zero_states(module, 1)),
        "step that broadcasts": lambda module: type(module)(10, 20, step=_one_row)(x),
    }
    for kind in KINDS:
        for name, call in mistakes.items():
            try:
                call(getattr(package, kind)(10, 20))
            except (TypeError, ValueError, RuntimeError):
                continue
            yield f"{kind}: {name} is not refused"


def _zero_states(module: Any, N: int) -> Any:
    h_0 = torch.zeros(1, N, 20)
    return (h_0, h_0) if module.mode == "LSTM" else h_0


def _one_row(x_projected: Tensor, state: Any, weight_hh: Tensor, bias_hh: Tensor) -> Any:
    return (state[0][:1], state[1]) if isinstance(state, tuple) else state[:1]


# The backward pass by hand, and the ladder

BACKENDS: dict[str, Callable[[Tensor], Any]] = {
    "torch": lambda tensor: tensor.detach().clone(),
    "NumPy": lambda tensor: tensor.detach().numpy().copy(),
}
GRADIENTS = ("grad_output", "grad_h_n", "grad_c_n")

BPTT = [
    Configuration(kind=kind, num_layers=num_layers, bidirectional=bidirectional, bias=bias,
                  nonlinearity=nonlinearity, proj_size=proj_size)
    for (num_layers, bidirectional, bias), (kind, nonlinearity, proj_size) in product(
        [(1, False, True), (2, True, True), (1, True, False)],
        [("RNN", "tanh", 0), ("RNN", "relu", 0), ("GRU", "tanh", 0), ("LSTM", "tanh", 0),
         ("LSTM", "tanh", 7)],
    )
]  # fmt: skip # a table
"""A few networks that a mistake in a backward pass does not survive."""


def mode_of(configuration: Configuration) -> str:
    """Name the mode as `torch.nn.RNNBase` does."""
    is_rnn = configuration.kind == "RNN"
    return f"RNN_{configuration.nonlinearity.upper()}" if is_rnn else configuration.kind


def bptt_differences(package: Any) -> Iterator[str]:
    """Compare the backward pass by hand with autograd, of networks and of single directions.

    What most mistakes do not survive comes first.
    """
    yield from _direction_differences(package, None, 2**17)
    left_out: tuple[str, ...]
    for truncate, left_out in ((None, ()), (2, ()), (None, ("grad_output",))):
        for configuration, backend in product(BPTT, BACKENDS):
            yield from backward_differences(package, configuration, backend, truncate, left_out)
    for truncate, stretch in ((None, 500), (None, 130), (2, 2**17), (2, 500), (2, 130)):
        yield from _direction_differences(package, truncate, stretch)


def _direction_differences(package: Any, truncate: int | None, stretch: int) -> Iterator[str]:
    """Compare single directions, cut into stretches of so many numbers."""
    with patched(package.bptt, _STRETCH=stretch):
        for sizes, reverse, mode in product((None, (3, 3, 2, 1, 1)), (False, True), MODES):
            for backend in BACKENDS if sizes is None else ("torch",):
                for difference in direction_differences(
                    package, mode, reverse, sizes, truncate, backend
                ):
                    yield f"stretches of {stretch} numbers: {difference}"


def backward_differences(
    package: Any,
    configuration: Configuration,
    backend: str,
    truncate: int | None = None,
    left_out: tuple[str, ...] = (),
) -> Iterator[str]:
    """Compare all gradients of a network with those of `torch.nn`; truncated, of our own loop."""
    to, module = BACKENDS[backend], configuration.theirs()
    (x,), states = configuration.leaves()
    parameters = [parameter for group in module.all_weights for parameter in group]
    leaves = [leaf.requires_grad_() for leaf in (x, *states)] + parameters
    with onednn(False):
        output, last = module(x, configuration.hx(states))
    if truncate is not None:
        output, last = _truncated(module, x, states, truncate)
    results = dict(zip(GRADIENTS, (output, *tensors(last)), strict=False))
    generator = torch.Generator().manual_seed(configuration.seed + 3)
    given = {
        name: torch.randn(result.shape, generator=generator, dtype=result.dtype)
        for name, result in results.items()
        if name not in left_out
    }
    gradients: tuple[Tensor | None, ...] = (None,) * len(leaves)
    if given:
        gradients = torch.autograd.grad(
            [results[name] for name in given], leaves, list(given.values()), allow_unused=True
        )
    expected = [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, gradients, strict=True)
    ]

    hx: Any = tuple(to(state) for state in states)
    keywords: dict[str, Any] = {name: to(gradient) for name, gradient in given.items()}
    arguments = [to(x), hx if configuration.is_lstm else hx[0],
                 package.layers.weights_of(module, to)]  # fmt: skip # as wide as the page
    before = [np.asarray(a).copy() for a in _every(arguments, keywords)]
    if configuration.kind == "RNN":
        keywords["nonlinearity"] = configuration.nonlinearity
    backward = getattr(package.bptt, f"{configuration.kind.lower()}_backward")
    ours = backward(*arguments, **keywords, truncate=truncate)
    case = f"{configuration}, {backend}, truncate={truncate}, without {left_out}"
    actual = [ours.input, *ours.hx]
    actual += [w for layer in ours.layers for ws in layer for w in ws if w is not None]
    names = ["input", "h_0", "c_0"][: 1 + len(states)] + [n for n, _ in module.named_parameters()]
    yield from (f"{case}: {d}" for d in _far(names, actual, expected, 1e-12))
    if not all(
        np.array_equal(a, b) for a, b in zip(_every(arguments, keywords), before, strict=True)
    ):
        yield f"{case}: an argument was written to"


def _every(arguments: list[Any], keywords: dict[str, Any]) -> list[Any]:
    """Give all arrays among the arguments."""
    x, hx, layers = arguments
    weights = [w for layer in layers for ws in layer for w in ws if w is not None]
    return [x, *tensors(hx), *weights, *(a for a in keywords.values() if not isinstance(a, str))]


def _truncated(module: Any, x: Tensor, states: list[Tensor], truncate: int) -> Any:
    """Run a network by the plain loop, and detach the states of those that go on every few steps.

    The first step is none of these: the gradient goes as far as the initial states.
    """
    layers = weights_of(module)
    directions = [
        partial(plain_direction, _detaching(module.mode, truncate))
        for layer in layers
        for _ in layer
    ]
    initial = list(zip(*states, strict=True)) if len(states) > 1 else list(states[0])
    results = run_network(directions, x, initial, layers)
    return results.output, each(lambda *parts: torch.stack(parts), *results.last)


def _detaching(mode: str, truncate: int | None) -> Any:
    t = rows = 0

    def step(x: Any, state: Any, *parameters: Any) -> Any:
        nonlocal t, rows
        if truncate and t and t % truncate == 0:
            state = each(lambda part: torch.cat([part[:rows].detach(), part[rows:]]), state)
        t, rows = t + 1, len(x)
        return STEPS[mode](x, state, *parameters)

    return step


def direction_differences(
    package: Any,
    mode: str,
    reverse: bool,
    sizes: tuple[int, ...] | None,
    truncate: int | None = None,
    backend: str = "torch",
    proj_size: int = 0,
) -> Iterator[str]:
    """Compare one direction of one layer, packed or not, with autograd through the plain loop."""
    N, H_in, H_out = 3, 10, 20
    dots = (5, N) if sizes is None else (sum(sizes),)
    is_lstm, to = mode == "LSTM", BACKENDS[backend]
    configuration = Configuration(kind="LSTM" if is_lstm else mode[:3], proj_size=proj_size)
    weights = weights_of(configuration.theirs())[0][0]
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)

    widths = [proj_size or H_out, H_out][: 1 + is_lstm]
    inputs, initial = draw(*dots, H_in), tuple(draw(N, width) for width in widths)
    found_states, ended = plain_direction(
        _detaching(mode, truncate), inputs, initial if is_lstm else initial[0], weights,
        Order(reverse, sizes),
    )  # fmt: skip # as wide as the page
    states, last = tensors(found_states), tensors(ended)
    grad_states = [draw(*state.shape).detach() for state in states]
    grad_last = [draw(*state.shape).detach() for state in last]
    leaves = [inputs, *initial, *(w for w in weights if w is not None)]
    expected = torch.autograd.grad([*states, *last], leaves, [*grad_states, *grad_last])

    order = package.Order(reverse, sizes)
    arrays = package.layers.Weights(*(w if w is None else to(w) for w in weights))
    ours, gates = package.fast.FORWARD[mode](
        to(inputs), tuple(map(to, initial)), arrays, order, keep=True
    )
    case = f"{mode}, reverse={reverse}, {sizes}, truncate={truncate}, {backend}"
    ends = [package.bptt.last_state(order, state) for state in ours]
    names = ["h", "c"][: len(ours)] + ["h_n", "c_n"][: len(ours)]
    yield from (f"{case}: {d}" for d in _far(names, [*ours, *ends], [*states, *last], 1e-12))
    before = tuple(
        package.bptt.state_before(order, a, to(b)) for a, b in zip(ours, initial, strict=True)
    )
    found = package.bptt.backward_direction(
        mode,
        package.bptt.Tape(to(inputs), before, gates),
        tuple(map(to, grad_states)),
        tuple(map(to, grad_last)),
        arrays,
        order,
        truncate,
    )
    actual = [found[0], *found[1], *(w for w in found[2] if w is not None)]
    names = ["input", *(f"initial {n}" for n in range(len(initial))), *Weights._fields]
    yield from (f"{case}: {d}" for d in _far(names, actual, list(expected), 1e-12))


def _far(names: list[str], actual: list[Any], expected: list[Tensor], bound: float) -> list[str]:
    """Say what is further away than this, relative to the largest if that is more than 1."""
    wrong = []
    if len(actual) != len(expected):
        wrong.append(f"{len(actual)} results, expected {len(expected)}")
    for name, a, tensor in zip(names, actual, expected, strict=False):
        b, a = tensor.detach().numpy(), np.asarray(a)
        if a.shape != b.shape or a.dtype != b.dtype:
            wrong.append(f"{name}: {a.dtype} of shape {a.shape}, expected {b.dtype}, {b.shape}")
        elif a.size and not np.abs(a - b).max() <= bound * max(1.0, np.abs(b).max()):
            wrong.append(f"{name} is {np.abs(a - b).max():.3g} off")
    return wrong


def _without_states(*cases: tuple[bool, int, bool]) -> Iterator[Configuration]:
    for (bias, L, bidirectional), (kind, nonlinearity) in product(
        cases, [("RNN", "tanh"), ("RNN", "relu"), ("GRU", "tanh"), ("LSTM", "tanh")]
    ):
        yield Configuration(kind=kind, nonlinearity=nonlinearity, bias=bias, hx_given=False, L=L,
                            bidirectional=bidirectional, batch_first=not bias)  # fmt: skip # a call


FAST = [
    *_without_states((True, 5, False)),
    *REPRESENTATIVE,
    *_without_states((False, 12, False), (True, 1, False), (True, 12, True)),
    *(
        Configuration(kind="LSTM", num_layers=2, bidirectional=True, L=20, dropout=0.3,
                      training=True, layout=layout, batch_first=True, lengths=(20, 20, 20),
                      dtype=dtype)
        for layout, dtype in (("batched", torch.float32), ("packed", torch.float32),
                              ("batched", torch.float64))
    ),
]  # fmt: skip # a table
"""Also sequences so long that a weight is copied or a tape kept, and states that are not there."""


def fast_differences(package: Any) -> Iterator[str]:
    """Compare the fast modules with `torch.nn`, every way through them."""
    for configuration in FAST:
        yield from fast_module_differences(package, configuration)


FAST_BOUNDS = {torch.float32: 2e-6, torch.float64: 1e-12}
"""How far the top of the ladder may be from PyTorch, which adds in another order."""


def fast_module_differences(package: Any, configuration: Configuration) -> Iterator[str]:
    """Compare a fast module with that of `torch.nn`: through NumPy and torch, whole and in pieces.

    Rounding grows with the input, whose scale multiplies the bound. With relu it grows with what
    comes out, too; and in float32 a sum may be rounded to the other side of zero, where the slope
    is another one: only in float64 is that too unlikely to meet, so only there its gradients are
    compared.
    """
    relu = configuration.kind == "RNN" and configuration.nonlinearity == "relu"
    bound = FAST_BOUNDS[configuration.dtype] * configuration.scale
    with warnings.catch_warnings(), onednn(False):
        warnings.filterwarnings("ignore", "LSTM with projections is not supported")
        warnings.filterwarnings("ignore", "dropout option adds dropout after all but last")
        theirs = run(configuration.theirs(), configuration)
        # A step of this batch has 60 numbers for each gate: pieces of one step, two or more.
        for (library, numbers), piece in product((("NumPy", 2**62), ("torch", -1)), (2**22, 500)):
            module = configuration.module(getattr(package, configuration.kind), fast=True)
            pieces = patched(package.fast, _PIECE=piece, _PIECE_BACK=piece)
            with own_loop(package, numbers), pieces:
                ours = run(module, configuration)
            if relu and configuration.dtype == torch.float32:
                ours, theirs = (
                    {k: v for k, v in seen.items() if not k.startswith("gradient")}
                    for seen in (ours, theirs)
                )
            for difference in compare(ours, theirs, bound, unbounded=relu):
                yield f"{configuration}, {library}, pieces of {piece}: {difference}"
        yield from _one_call_differences(package, configuration)


def _one_call_differences(package: Any, configuration: Configuration) -> Iterator[str]:
    """Compare a fast LSTM that calls PyTorch's operator with `nn.LSTM`: they have the same bits.

    Only a long sequence that needs gradients goes another way, unless oneDNN takes it.
    """
    if configuration.is_lstm:
        steps = max((configuration.L, *configuration.lengths))
        for enabled in (False, True):
            module = configuration.module(package.LSTM, fast=True)
            exact = steps < package.fast._STEPS_WORTH_A_TAPE
            exact |= enabled and configuration.through_onednn
            bound = 0.0 if exact else FAST_BOUNDS[configuration.dtype] * configuration.scale
            with onednn(enabled):
                ours, theirs = (run(m, configuration) for m in (module, configuration.theirs()))
                for difference in compare(ours, theirs, bound):
                    yield f"{configuration}, in one call, oneDNN {enabled}: {difference}"


@contextmanager
def own_loop(package: Any, numbers: int) -> Iterator[None]:
    """Run the loop of `fast` also where an LSTM would be one call; in NumPy up to so many numbers.

    Without it a sequence has to be long and to need gradients, and be in float64, for an LSTM to
    run that loop.
    """
    with patched(package.fast, NUMBERS_FOR_NUMPY=numbers, _one_call=lambda *_: None):
        yield


@contextmanager
def patched(module: Any, **values: Any) -> Iterator[None]:
    """Give constants of a module other values."""
    before = {name: getattr(module, name) for name in values}
    for name, value in values.items():
        setattr(module, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(module, name, value)


def rung_differences(package: Any) -> Iterator[str]:
    """Compare every rung of the ladder with `nn.RNN`, and its gradients where it has some."""
    for dtype, L in product(FAST_BOUNDS, (1, 5, 12)):
        configuration = Configuration(dtype=dtype, L=L)
        rnn = configuration.theirs()
        (x,), (h_0,) = configuration.leaves()
        for name, given, bias in product(package.fast.RUNGS, (True, False), (True, False)):
            rung = package.fast.RUNGS[name]
            if name not in ("skip_zeros", "through_numpy") and not (given and bias):
                continue
            parameters = list(rnn.parameters())[: 4 if bias else 2]
            theirs = Configuration(dtype=dtype, bias=bias).theirs()
            theirs.load_state_dict(dict(zip(theirs.state_dict(), parameters, strict=True)))
            output, h_n = theirs(x, h_0 if given else None)
            case = f"{name}, {dtype}, L={L}, h={given}, bias={bias}"
            with torch.no_grad():
                ours = rung(x, h_0[0] if given else None, *parameters)
            wrong = _far(["output", "h"], list(ours), [output, h_n[0]], FAST_BOUNDS[dtype])
            yield from (f"{case}: {difference}" for difference in wrong)
            if name in ("textbook", "merge_biases", "project_once", "accumulate"):
                weights = torch.randn(output.shape, dtype=dtype)
                grads = [
                    torch.autograd.grad(result, list(module_parameters), weights)
                    for result, module_parameters in (
                        (rung(x, h_0[0], *parameters)[0], parameters),
                        (output, theirs.parameters()),
                    )
                ]
                names = [name for name, _ in rnn.named_parameters()]
                wrong = _far(names, list(grads[0]), list(grads[1]), FAST_BOUNDS[dtype])
                yield from (f"{case}: gradient of {difference}" for difference in wrong)


TRACED = [
    Configuration(kind=kind, num_layers=2, bidirectional=bidirectional, layout=layout,
                  batch_first=True, lengths=(2, 5, 3), dropout=dropout, bias=bias,
                  nonlinearity=nonlinearity, hx_given=bias, proj_size=proj_size)
    for layout, (bidirectional, dropout, bias, nonlinearity), (kind, proj_size) in product(
        LAYOUTS,
        [(True, 0.0, True, "tanh"), (True, 0.5, False, "relu"), (False, 0.5, True, "tanh")],
        [("RNN", 0), ("GRU", 0), ("LSTM", 0), ("LSTM", 7)],
    )
]  # fmt: skip # a table


def trace_differences(package: Any) -> Iterator[str]:
    """Compute every record of some traces again from the values that its expression names."""
    for configuration in TRACED:
        for difference in record_differences(package, configuration):
            yield f"{configuration.kind}, {configuration.layout}: {difference}"


def record_differences(package: Any, configuration: Configuration) -> list[str]:
    """Compute every record of a trace again from the values that its expression names."""
    module = configuration.theirs()
    leaves, states = configuration.leaves()
    input, hx = configuration.input(leaves), configuration.hx(states)
    with onednn(False):  # says nothing of projections then
        torch.manual_seed(1)
        records = package.trace(module, input, hx)
        after = torch.get_rng_state()
        torch.manual_seed(1)
        with torch.no_grad():
            output, last = module(input, hx)
    packed = isinstance(output, PackedSequence)
    wrong = [] if torch.equal(after, torch.get_rng_state()) else ["another generator state"]
    if records.difference != 0:
        wrong.append(f"difference {records.difference}")
    results = [output.data if packed else output, *tensors(last)]
    for name, expected in zip(("output", "h_n", "c_n"), results, strict=False):
        if not torch.equal(records[name].value, expected):
            wrong.append(f"{name} is not what the module returns")
    names = _namespace(input, records)
    for record in records:
        wrong += [
            f"{operand}, which enters {record.name}, is not {shape}"
            for operand, shape in record.operands
            if tuple(_value(operand, names).shape) != shape
        ]
        if record.operation == "operand" or (record.name in ("h_n", "c_n") and packed):
            continue
        expected = _evaluate(record, names, configuration, packed)
        if record.operation == "dropout":  # the mask is random: kept elements are scaled
            p = configuration.dropout
            below = names[record.operands[0][0]] / (1 - p)
            kept = record.value != 0
            share = kept.double().mean().item() / (below != 0).double().mean().item()
            if not torch.equal(record.value[kept], below[kept]) or not 0.2 < share < 0.8:
                wrong.append(f"{record.name} is not {record.expression}")
        elif record.shape != tuple(expected.shape) or not torch.allclose(
            record.value, expected, rtol=0, atol=1e-12
        ):
            wrong.append(f"{record.name} is not {record.expression}")
    steps = max(configuration.lengths) if packed else configuration.L
    products = sum(record.operation == "product" for record in records)
    each = 1 + steps * (2 if configuration.proj_size else 1)
    if products != configuration.D * configuration.num_layers * each:
        wrong.append(f"{products} products")
    return wrong


def _namespace(input: Any, records: Any) -> dict[str, Any]:
    """Give the expressions their names: h_l0[2] is a lookup in a dict of steps."""
    names: dict[str, Any] = {
        "tanh": torch.tanh,
        "relu": torch.relu,
        "sigmoid": torch.sigmoid,
        "dropout": lambda below, p: below,
        "joined": lambda *rows: torch.cat(rows),
        "input": input,
    }
    packed = isinstance(input, PackedSequence)
    if packed:
        names["sorted_indices"] = input.sorted_indices
    for record in records:
        base, _, step = record.name.rstrip("]").partition("[")
        if step:
            names.setdefault(base, {})[int(step)] = record.value
        else:
            value = record.value
            if packed and base.startswith("x_projected"):  # step t of it: the rows of step t
                value = value.split(input.batch_sizes.tolist())
            names.setdefault(base, value)
    return names


def _evaluate(
    record: Any, names: dict[str, Any], configuration: Configuration, packed: bool
) -> Any:
    expression = record.expression
    if expression.endswith(", all steps"):
        join = torch.cat if packed else torch.stack
        states = [names[base] for base in expression.removesuffix(", all steps").split(" beside ")]
        output = torch.cat([join([steps[t] for t in sorted(steps)]) for steps in states], -1)
        if record.name != "output" or packed:
            return output
        if configuration.layout == "unbatched":
            return output.squeeze(1)
        return output.transpose(0, 1) if configuration.batch_first else output
    if record.name not in ("h_n", "c_n"):
        return _value(expression, names)
    last = torch.stack(eval(f"({expression},)", names))
    return last.squeeze(1) if configuration.layout == "unbatched" else last


class _Rows(ast.NodeTransformer):
    """Read `(h[3], hx[0][1:2]) @ W`: the rows of a tuple are joined."""

    def visit_Tuple(self, node: ast.Tuple) -> ast.expr:  # the name is ast's
        rows = [self.visit(row) for row in node.elts]
        return ast.Call(ast.Name("joined", ast.Load()), rows, [])

    def visit_Subscript(self, node: ast.Subscript) -> ast.expr:  # the same
        return node  # the tuple in h[0, sorted_indices] is an index


def _value(expression: str, names: dict[str, Any]) -> Any:
    tree = ast.fix_missing_locations(_Rows().visit(ast.parse(expression, mode="eval")))
    return eval(compile(tree, expression, "eval"), names)


def scheme_differences(package: Any) -> Iterator[str]:
    """Compare what the initialisers leave in each gate with what they promise."""
    schemes = importlib.import_module(f"{package.__name__}.schemes")
    H_in, H_out, longest = 10, 20, 50
    for kind, gate, others in (("LSTM", 1, (0, 2, 3)), ("GRU", 1, (0, 2))):
        torch.manual_seed(0)
        module = getattr(torch.nn, kind)(H_in, H_out, bidirectional=True, dtype=torch.float64)
        untouched = {n: p.detach().clone() for n, p in module.named_parameters()}
        schemes.orthogonal_(module)
        schemes.xavier_uniform_(module)
        schemes.forget_bias_(module, 3.0)
        for suffix in ("l0", "l0_reverse"):
            named = {n: getattr(module, f"{n}_{suffix}").detach() for n in Weights._fields[:4]}
            for block in named["weight_hh"].split(H_out):
                if not torch.allclose(block @ block.T, torch.eye(H_out).double()):
                    yield f"{kind}, {suffix}: a block of weight_hh is not orthogonal"
            bound = math.sqrt(6 / (H_in + H_out))
            for block in named["weight_ih"].split(H_out):
                if not 0.9 * bound < block.abs().max() <= bound:
                    yield f"{kind}, {suffix}: a block of weight_ih has another bound"
            total = (named["bias_ih"] + named["bias_hh"]).split(H_out)
            if not torch.equal(total[gate], torch.full_like(total[gate], 3)):
                yield f"{kind}, {suffix}: the gate that keeps has a bias of {total[gate][0]}"
            before = untouched[f"bias_ih_{suffix}"] + untouched[f"bias_hh_{suffix}"]
            for other in others:
                if not torch.equal(total[other], before.split(H_out)[other]):
                    yield f"{kind}, {suffix}: the bias of another gate has changed"
    lstm = schemes.chrono_(torch.nn.LSTM(H_in, 400, dtype=torch.float64), longest)
    i, f, _, _ = (lstm.bias_ih_l0 + lstm.bias_hh_l0).detach().chunk(4)
    lengths = 1 / (1 - f.sigmoid())  # how long a gate with this bias keeps something
    if not (torch.equal(i, -f) and lengths.min() >= 2 and longest - 2 < lengths.max() <= longest):
        yield f"chrono_ gives lengths from {lengths.min()} to {lengths.max()}"
    rnn = schemes.identity_(torch.nn.RNN(H_in, H_out, nonlinearity="relu"), 0.5)
    if not torch.equal(rnn.weight_hh_l0, torch.eye(H_out) / 2) or rnn.bias_hh_l0.any():
        yield "identity_ does not leave half of the state"


def diagnose_differences(package: Any) -> Iterator[str]:
    """See that a right GRU and an LSTM are found right, and known mistakes found as such."""
    torch.manual_seed(0)
    gru, lstm = torch.nn.GRU(10, 20), torch.nn.LSTM(10, 20)
    swapped = torch.nn.GRU(10, 20)
    swapped.load_state_dict(gru.state_dict())
    for parameter in swapped.parameters():
        r, z, n = parameter.detach().chunk(3)
        parameter.data = torch.cat([z, r, n])

    def by_hand(x: Tensor, hx: Tensor, old_first: bool, before: bool) -> tuple[Tensor, Tensor]:
        weight_ih, weight_hh, bias_ih, bias_hh = gru.parameters()
        h, states = hx[0], []
        for x_t in x:
            from_x = F.linear(x_t, weight_ih, bias_ih).chunk(3, 1)
            from_h = F.linear(h, weight_hh, bias_hh).chunk(3, 1)
            r, z = (torch.sigmoid(from_x[g] + from_h[g]) for g in (0, 1))
            m = r * from_h[2]
            if before:
                m = F.linear(r * h, weight_hh[40:], bias_hh[40:])
            n = torch.tanh(from_x[2] + m)
            h = (1 - z) * h + z * n if old_first else (1 - z) * n + z * h
            states.append(h)
        return torch.stack(states), h[None]

    expected = {
        (False, False): (),
        (True, False): ("z and 1 - z exchanged",),
        (False, True): ("reset before the product",),
    }
    for (old_first, before), names in expected.items():
        found = package.diagnose(partial(by_hand, old_first=old_first, before=before), gru).names
        if found != names:
            yield f"old_first={old_first}, before={before}: {found}"
    # Of an RNN there is less to search for than of a GRU.
    rnn, bare = torch.nn.RNN(10, 20), torch.nn.RNN(10, 20)
    bare.load_state_dict(rnn.state_dict() | {"bias_hh_l0": torch.zeros(20)})
    searched: list[Tensor] = []

    def at_first(x: Tensor, hx: Tensor) -> Any:
        """Make a mistake on what the search sees alone."""
        if not searched and hx.any():
            searched.append(x[-1].float())
        seen = not searched or torch.equal(x[-1].float(), searched[0])
        return (bare if seen else rnn)(x, hx)

    found = package.diagnose(at_first, rnn).names
    if found:
        yield f"a mistake on some input alone: {found}"
    if package.diagnose(lstm, lstm).verdict != "equal":
        yield "an LSTM differs from itself"
    found = package.diagnose(lambda x, hx: swapped(x, hx), gru).names
    if len(found) != 1 or "z r n" not in found[0]:
        yield f"gates in another order: {found}"

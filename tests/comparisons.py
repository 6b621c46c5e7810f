"""Comparisons with PyTorch that run on any copy of the package, a mutated one included.

Each takes the package (or its class) as an argument and gives what is wrong, in words: nothing is a
pass. `test_mutations` shows that each of them notices a mistake.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

LAYOUTS = ("batched", "unbatched", "packed", "packed unsorted")


@dataclass(frozen=True)
class Configuration:
    """A constructor call of `nn.RNN` and an input for it."""

    input_size: int = 10
    hidden_size: int = 20
    num_layers: int = 1
    nonlinearity: str = "tanh"
    bias: bool = True
    batch_first: bool = False
    dropout: float = 0.0
    bidirectional: bool = False
    dtype: torch.dtype = torch.float64
    training: bool = True
    layout: str = "batched"
    lengths: tuple[int, ...] = (5, 5, 5)  # one for each of the N sequences
    L: int = 5  # of input that is not packed
    hx_given: bool = True
    loss: str = "output and h_n"  # what the gradients are those of
    scale: float = 1.0  # large input saturates tanh
    seed: int = 0

    def module(self, module_type: Callable[..., nn.RNNBase]) -> Any:
        torch.manual_seed(self.seed)
        return module_type(
            self.input_size,
            self.hidden_size,
            self.num_layers,
            self.nonlinearity,
            bias=self.bias,
            batch_first=self.batch_first,
            dropout=self.dropout,
            bidirectional=self.bidirectional,
            dtype=self.dtype,
        ).train(self.training)

    def leaves(self) -> tuple[list[Tensor], Tensor | None]:
        """Draw the input, one tensor or one for each packed sequence, and hx."""
        generator = torch.Generator().manual_seed(self.seed + 1)

        def draw(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=self.dtype)

        N = len(self.lengths)
        states = self.num_layers * (2 if self.bidirectional else 1)
        if self.layout == "unbatched":
            inputs = [draw(self.L, self.input_size)]
            hx = draw(states, self.hidden_size)
        elif self.layout == "batched":
            shape = (N, self.L) if self.batch_first else (self.L, N)
            inputs = [draw(*shape, self.input_size)]
            hx = draw(states, N, self.hidden_size)
        else:
            lengths = self.lengths
            if self.layout == "packed":
                lengths = tuple(sorted(lengths, reverse=True))
            inputs = [draw(length, self.input_size) for length in lengths]
            hx = draw(states, N, self.hidden_size)
        return [x * self.scale for x in inputs], hx if self.hx_given else None

    def input(self, leaves: list[Tensor]) -> Tensor | PackedSequence:
        if self.layout.startswith("packed"):
            return pack_sequence(leaves, enforce_sorted=self.layout == "packed")
        return leaves[0]


def run(module: nn.RNNBase, configuration: Configuration) -> dict[str, Tensor]:
    """Run a module forward and backward and name everything that can be seen of it."""
    seen = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    inputs, hx = configuration.leaves()
    inputs = [x.requires_grad_() for x in inputs]
    arguments = [configuration.input(inputs)] + ([] if hx is None else [hx.requires_grad_()])
    torch.manual_seed(configuration.seed + 2)  # of the dropout
    output, h_n = module(*arguments)
    seen["generator after forward"] = torch.get_rng_state()
    if isinstance(output, PackedSequence):
        for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            if getattr(output, field) is not None:
                seen[f"output.{field}"] = getattr(output, field)
        output = output.data
    seen |= {"output": output.detach(), "h_n": h_n.detach()}
    terms = [
        value
        for name, value in (("output", output), ("h_n", h_n))
        if name in configuration.loss.split(" and ")
    ]
    generator = torch.Generator().manual_seed(configuration.seed + 3)
    weights = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in terms]
    leaves: dict[str, Tensor] = dict(module.named_parameters())
    leaves |= {f"input {number}": x for number, x in enumerate(inputs)}
    leaves |= {} if hx is None else {"hx": hx}
    gradients = torch.autograd.grad(terms, list(leaves.values()), weights, allow_unused=True)
    for name, gradient in zip(leaves, gradients, strict=True):
        if gradient is not None:
            seen[f"gradient of {name}"] = gradient
    return seen


def compare(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> list[str]:
    """Say which quantities are not the same bits in the same layout, and by how much."""
    if list(ours) != list(theirs):
        return [f"there is {list(ours)}, expected {list(theirs)}"]
    wrong = []
    for name, expected in theirs.items():
        actual = ours[name]
        for what in ("dtype", "shape", "stride"):
            a, b = getattr(actual, what), getattr(expected, what)
            if what == "stride":
                a, b = a(), b()
            if a != b:
                wrong.append(f"{name}: {what} {a}, expected {b}")
        if actual.shape == expected.shape and not torch.equal(actual, expected):
            apart = (actual.double() - expected.double()).abs()
            wrong.append(
                f"{name}: {int((apart > 0).sum())} of {apart.numel()} elements differ, by at most "
                f"{float(apart.max()):.3g}, on torch {torch.__version__}, "
                f"{torch.backends.cpu.get_cpu_capability()}"
            )
    return wrong


def module_differences(rnn_type: Any, configuration: Configuration) -> list[str]:
    """Compare a module with `nn.RNN` from the constructor to the gradients."""
    results, warned, names = [], [], []
    for module_type in (rnn_type, nn.RNN):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            module = configuration.module(module_type)
        constructed = {"generator after the constructor": torch.get_rng_state()}
        warned.append([(warning.category, str(warning.message)) for warning in caught])
        names.append(list(module.state_dict()))
        results.append(constructed | run(module, configuration))
    wrong = [] if warned[0] == warned[1] else [f"warns {warned[0]}, expected {warned[1]}"]
    if names[0] != names[1]:
        wrong.append(f"state_dict has {names[0]}, expected {names[1]}")
    return wrong + compare(*results)


REPRESENTATIVE = [
    Configuration(num_layers=num_layers, bidirectional=bidirectional, layout=layout,
                  lengths=(2, 5, 3), dropout=dropout, nonlinearity=nonlinearity, training=training,
                  batch_first=layout == "batched", hx_given=training)
    for (num_layers, bidirectional, dropout), (layout, nonlinearity, training) in product(
        [(1, False, 0.0), (3, True, 0.5)],
        [("batched", "tanh", True), ("batched", "relu", False), ("unbatched", "tanh", True),
         ("packed unsorted", "tanh", True), ("packed", "relu", False)],
    )
    if training or num_layers > 1
]  # fmt: skip # a table
"""A few configurations that a mistake in a module does not survive."""


def rnn_differences(package: Any) -> Iterator[str]:
    """Compare the module with `nn.RNN` in a few configurations."""
    for configuration in REPRESENTATIVE:
        for difference in module_differences(package.RNN, configuration):
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
    """Compare the cell, on tensors and on NumPy arrays, with `nn.RNNCell`."""
    wrong = []
    for nonlinearity, bias, dtype in product(
        ("tanh", "relu"), (True, False), (torch.float32, torch.float64)
    ):
        torch.manual_seed(0)
        cell = nn.RNNCell(10, 20, bias, nonlinearity, dtype=dtype)
        x, h = torch.randn(3, 10, dtype=dtype), torch.randn(3, 20, dtype=dtype)
        parameters = [parameter.detach() for parameter in cell.parameters()]
        expected = cell(x, h).detach()
        case = f"{nonlinearity}, bias={bias}, {dtype}"
        if not torch.equal(
            package.rnn_cell(x, h, *parameters, nonlinearity=nonlinearity), expected
        ):
            wrong.append(f"{case}: not the bits of RNNCell")
        arrays = [array.numpy() for array in (x, h, *parameters)]
        actual = package.rnn_cell(*arrays, nonlinearity=nonlinearity)
        bound = 1e-12 if dtype == torch.float64 else 1e-6
        apart = np.abs(actual - expected.numpy()).max()
        if actual.dtype != expected.numpy().dtype or apart > bound:
            wrong.append(f"{case}: NumPy is {apart:.1e} off, in {actual.dtype}")
    return wrong


def hand_differences(package: Any) -> list[str]:
    """Compare with cases whose answer needs no second implementation."""
    zeros = np.zeros
    eye = np.eye(3, k=-1)  # W_hh with ones below the diagonal: it moves the state down
    cases = {
        "two layers of ones: 10, then 10 * 1000": (
            _network(package, np.ones((1, 1, 10)), zeros((2, 1, 1000)),
                     [[np.ones((1000, 10)), np.ones((1000, 1000))], [np.ones((1000, 1000))] * 2]),
            np.full((1, 1, 1000), 10_000.0),
        ),
        "prefix sums": (
            _network(package, np.arange(1.0, 6).reshape(5, 1, 1), zeros((1, 1, 1)),
                     [[np.ones((1, 1))] * 2]),
            np.array([1.0, 3, 6, 10, 15]).reshape(5, 1, 1),
        ),
        "a one that moves right, which W_hh without its transpose would lose": (
            _network(package, zeros((3, 1, 1)), np.array([[[1.0, 0, 0]]]), [[zeros((3, 1)), eye]]),
            np.array([[0.0, 1, 0], [0, 0, 1], [0, 0, 0]]).reshape(3, 1, 3),
        ),
    }  # fmt: skip # a table
    return [
        f"{name}: {actual}, expected {expected}"
        for name, (actual, expected) in cases.items()
        if not np.array_equal(actual, expected)
    ]


def _network(package: Any, inputs: Any, h_0: Any, layers: list[list[Any]]) -> Any:
    weights = [[package.layers.Weights(*layer)] for layer in layers]
    return package.layers.rnn_network(inputs, h_0, weights, "relu")[0]


TRACED = [
    Configuration(num_layers=2, bidirectional=bidirectional, layout=layout, batch_first=True,
                  lengths=(2, 5, 3), dropout=dropout, bias=bias, nonlinearity=nonlinearity,
                  hx_given=bias)
    for layout, (bidirectional, dropout, bias, nonlinearity) in product(
        LAYOUTS, [(True, 0.0, True, "tanh"), (True, 0.5, False, "relu"), (False, 0.5, True, "tanh")]
    )
]  # fmt: skip # a table


def trace_differences(package: Any) -> Iterator[str]:
    """Compute every record of some traces again from the values that its expression names."""
    for configuration in TRACED:
        for difference in record_differences(package, configuration):
            yield f"{configuration.layout}: {difference}"


def record_differences(package: Any, configuration: Configuration) -> list[str]:
    """Compute every record of a trace again from the values that its expression names."""
    module = configuration.module(nn.RNN)
    leaves, hx = configuration.leaves()
    input = configuration.input(leaves)
    torch.manual_seed(1)
    records = package.trace(module, input, hx)
    after = torch.get_rng_state()
    torch.manual_seed(1)
    with torch.no_grad():
        output, h_n = module(input, hx)
    packed = isinstance(output, PackedSequence)
    wrong = [] if torch.equal(after, torch.get_rng_state()) else ["another generator state"]
    if records.difference != 0:
        wrong.append(f"difference {records.difference}")
    for name, expected in (("output", output.data if packed else output), ("h_n", h_n)):
        if not torch.equal(records[name].value, expected):
            wrong.append(f"{name} is not what the module returns")
    names = _namespace(input, records)
    for record in records:
        if record.operation == "operand" or (record.name == "h_n" and packed):
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
    D = 2 if configuration.bidirectional else 1
    steps = max(configuration.lengths) if packed else configuration.L
    products = sum(record.operation == "product" for record in records)
    if products != D * configuration.num_layers * (1 + steps):
        wrong.append(f"{products} products")
    return wrong


def _namespace(input: Any, records: Any) -> dict[str, Any]:
    """Give the expressions their names: h_l0[2] is a lookup in a dict of steps."""
    names: dict[str, Any] = {"tanh": torch.tanh, "relu": torch.relu, "input": input}
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
    names["dropout"] = lambda below, p: below
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
    # `(h[3], hx[0][1:2]) @ W` joins the rows of a tuple.
    if expression.startswith("("):
        left, _, right = expression.partition(") @ ")
        return torch.cat(eval(f"{left})", names)) @ eval(right, names)
    if record.name != "h_n":
        return eval(expression, names)
    h_n = torch.stack(eval(f"({expression},)", names))
    return h_n.squeeze(1) if configuration.layout == "unbatched" else h_n

"""A record of every operand, product, sum and activation of a forward pass, with names and shapes.

`trace` runs the floors below (`unrolled.layers` and down) under an observer. For a module of
`torch.nn`, whose loop is compiled, it runs those floors on the module's own parameters and then
compares what comes out with what the module itself returns.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from unrolled.modules import RNN
from unrolled.shapes import Shape, num_directions, parameter_name

__all__ = ["Record", "Trace", "trace"]

DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True)
class Record:
    """One operand or one result of a forward pass.

    Attributes
    ----------
    operation : str
        ``"operand"``, ``"product"``, ``"sum"``, ``"activation"``, ``"dropout"`` or ``"stack"``.
    name : str
        Name of the value, unique in its trace. Indices are those of Python, from 0:
        ``h_l0[2]`` is the hidden state of layer 0 after its step at time 2.
    expression : str
        How it is computed from other names; empty for an operand.
    layer, direction, step : int or None
        Where it belongs; ``None`` where it belongs to all.
    operands : tuple of (str, tuple of int)
        Names and shapes of what enters.
    value : Tensor
        The value, without a gradient.

    Examples
    --------
    >>> record = trace(nn.RNN(10, 20), torch.randn(5, 3, 10))["h_l0[2]"]
    >>> record.operation, record.expression, record.step, record.shape
    ('activation', 'tanh(sum_l0[2])', 2, (3, 20))
    """

    operation: str
    name: str
    value: Tensor = field(repr=False, compare=False)
    expression: str = ""
    layer: int | None = None
    direction: int | None = None
    step: int | None = None
    operands: tuple[tuple[str, Shape], ...] = ()

    @property
    def shape(self) -> Shape:
        """Shape of the value.

        Returns
        -------
        tuple of int
            As plain integers.
        """
        return tuple(self.value.shape)


class Trace:
    """The records of one forward pass, in the order in which they were computed.

    ``print`` shows them as a table, without the steps between the first and the last; indexing by
    name gives one `Record`; iterating gives them all.

    Attributes
    ----------
    module : str
        The module, as it prints.
    records : tuple of Record
        Operands first.
    difference : float
        Largest absolute difference of the records ``output`` and ``h_n`` from what the module
        itself returns: 0 if they are equal bit for bit.

    Examples
    --------
    >>> steps = trace(nn.RNN(10, 20), torch.randn(5, 3, 10))
    >>> len([record for record in steps if record.operation == "product"])  # 1 + L
    6
    """

    def __init__(self, module: str, records: tuple[Record, ...], difference: float) -> None:
        self.module = module
        self.records = records
        self.difference = difference
        self._by_name = {record.name: record for record in records}

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records."""
        return iter(self.records)

    def __len__(self) -> int:
        """Count the records."""
        return len(self.records)

    def __getitem__(self, name: str) -> Record:
        """Look a record up by its name."""
        try:
            return self._by_name[name]
        except KeyError:
            raise KeyError(
                f"name should be one of {', '.join(self._by_name)}, got {name!r}"
            ) from None

    def __str__(self) -> str:
        """Show the table, without the steps between the first and the last."""
        return self.table()

    def __repr__(self) -> str:
        """Name the module and count the records."""
        return f"<Trace of {self.module}: {len(self)} records>"

    def table(self, every_step: bool = False) -> str:
        """Show the records as a table.

        Parameters
        ----------
        every_step : bool, default False
            Whether to show all time steps, or of each loop the first and the last.

        Returns
        -------
        str
            One line a record; the last line says whether the module returns the same.

        Examples
        --------
        >>> print(trace(nn.RNN(1, 2, bias=False), torch.zeros(1, 1)).table())
        RNN(1, 2, bias=False)
        step  name               shape      computed as
        operands
           -  input              (1, 1)     given, as (L, H_in)
           -  hx                 (1, 1, 2)  zeros, as (D * num_layers, N, H_out)
           -  weight_ih_l0       (2, 1)     parameter
           -  weight_hh_l0       (2, 2)     parameter
        layer 0, forward
           -  x_projected_l0     (1, 1, 2)  input.unsqueeze(1) @ weight_ih_l0.T
           0  h_projected_l0[0]  (1, 2)     hx[0] @ weight_hh_l0.T
           0  sum_l0[0]          (1, 2)     h_projected_l0[0] + x_projected_l0[0]
           0  h_l0[0]            (1, 2)     tanh(sum_l0[0])
        results
           -  output             (1, 2)     h_l0, all steps
           -  h_n                (1, 2)     h_l0[0]
        output and h_n: bit for bit what the module returns
        """
        L = 1 + max(record.step for record in self.records if record.step is not None)
        rows = [("step", "name", "shape", "computed as")]
        heading, skipped = "", 0
        for record in self.records:
            if record.step not in (None, 0, L - 1) and not every_step:
                skipped += 1
                continue
            if skipped:
                rows.append(("...", f"({skipped} more)", "", ""))
                skipped = 0
            if heading != (heading := _heading(record)):
                rows.append((heading, "", "", ""))
            step = "-" if record.step is None else str(record.step)
            rows.append((step, record.name, str(record.shape), record.expression))
        widths = [max(len(row[column]) for row in rows if row[1]) for column in range(4)]
        lines = [
            "  ".join([step.rjust(4), *map(str.ljust, row, widths[1:])]).rstrip()
            if row[0]
            else step
            for step, *row in rows
        ]
        same = "bit for bit" if self.difference == 0 else f"within {self.difference:.1e}"
        return "\n".join([self.module, *lines, f"output and h_n: {same} what the module returns"])

    def to_json(self, values: bool = True, indent: int | None = None) -> str:
        """Export the records.

        Parameters
        ----------
        values : bool, default True
            Whether to write the numbers too, not only names and shapes.
        indent : int, optional
            As in `json.dumps`.

        Returns
        -------
        str
            A JSON object with ``module``, ``difference`` and ``records``.

        Examples
        --------
        >>> exported = json.loads(trace(nn.RNN(1, 2), torch.zeros(4, 1)).to_json())
        >>> exported["records"][0]["name"], exported["records"][0]["value"]
        ('input', [[0.0], [0.0], [0.0], [0.0]])
        """
        records = [
            {
                "operation": record.operation,
                "name": record.name,
                "expression": record.expression,
                "layer": record.layer,
                "direction": None if record.direction is None else DIRECTIONS[record.direction],
                "step": record.step,
                "operands": [{"name": n, "shape": shape} for n, shape in record.operands],
                "shape": record.shape,
            }
            | ({"value": record.value.tolist()} if values else {})
            for record in self.records
        ]
        whole = {"module": self.module, "difference": self.difference, "records": records}
        return json.dumps(whole, indent=indent)


def trace(module: RNN | nn.RNN, input: Tensor | PackedSequence, hx: Tensor | None = None) -> Trace:
    """Run a module and record every operand, product, sum and activation.

    Parameters
    ----------
    module : unrolled.RNN or torch.nn.RNN
        The module; a subclass of `torch.nn.RNN` is traced as the `torch.nn.RNN` it inherits from.
    input : Tensor or PackedSequence
        As for the module.
    hx : Tensor, optional
        As for the module.

    Returns
    -------
    Trace
        Prints as a table, exports to JSON.

    Raises
    ------
    TypeError
        If `module` is neither of the two.
    AttributeError, RuntimeError, ValueError
        What the module raises for this input, with the message of `unrolled.RNN`.

    Notes
    -----
    PyTorch computes a product and the bias that is added to it in one operation. The record shows
    both: the value of the sum is that of the operation, the value of the product is computed
    beside it.

    Examples
    --------
    >>> steps = trace(nn.RNN(10, 20, batch_first=True), torch.randn(3, 5, 10))
    >>> steps["x_projected_l0"].operands
    (('x_product_l0', (5, 3, 20)), ('bias_ih_l0', (20,)))
    >>> steps.difference
    0.0
    """
    if not isinstance(module, RNN | nn.RNN):
        raise TypeError(
            "module should be an unrolled.RNN or a torch.nn.RNN, "
            f"got {type(module).__module__}.{type(module).__qualname__}"
        )
    ours = _with_parameters_of(module)
    before = torch.get_rng_state()
    observer = _Observer(ours, input, hx)
    with torch.no_grad():
        with observer:
            result = ours(input, hx)
        observer.finish(*map(_data, result))
        torch.set_rng_state(before)  # so that the module itself draws the same dropout
        pairs = zip(map(_data, result), map(_data, module(input, hx)), strict=True)
        difference = max(_difference(a, b) for a, b in pairs)
    return Trace(str(module), tuple(observer.records), difference)


def _data(value: Tensor | PackedSequence) -> Tensor:
    return value.data if isinstance(value, PackedSequence) else value


def _difference(a: Tensor, b: Tensor) -> float:
    same = (a == b) | (a.isnan() & b.isnan())
    return (a - b).abs().masked_fill(same, 0.0).max().item() if a.numel() else 0.0


def _with_parameters_of(module: RNN | nn.RNN) -> RNN:
    """Build an `unrolled.RNN` that shares the memory of a module's parameters.

    Each has its own name there, also where the module has tied two or computes one.
    """
    ours = RNN(
        module.input_size,
        module.hidden_size,
        module.num_layers,
        module.nonlinearity,
        module.bias,
        module.batch_first,
        module.dropout if module.num_layers > 1 else 0.0,  # it would warn, and does nothing
        module.bidirectional,
        device="meta",
    )
    for name, _ in list(ours.named_parameters()):
        setattr(ours, name, nn.Parameter(getattr(module, name).detach()))
    return ours.train(module.training)


class _Observer(TorchFunctionMode):
    """Write down what the floors below ask torch to compute.

    Which weight enters a product tells layer and direction; how many products with the same
    ``weight_hh`` came before tells the step.
    """

    def __init__(self, module: RNN, input: Tensor | PackedSequence, hx: Tensor | None) -> None:
        super().__init__()
        self.records: list[Record] = []
        self._module, self._input = module, input
        self._hx, self._hx_left_out = (
            cast(Tensor, hx),
            False,
        )  # replaced by zeros if left out
        self._D = num_directions(module.bidirectional)
        self._weights = {
            id(getattr(module, parameter_name(kind, layer, direction))): (
                kind,
                layer,
                direction,
            )
            for kind in ("weight_ih", "weight_hh")
            for layer in range(module.num_layers)
            for direction in range(self._D)
        }
        self._layer, self._direction = 0, 0
        self._steps_done, self._L = 0, 0

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run `func`, and record it if it is an operation of the recurrence."""
        result = func(*args, **(kwargs or {}))
        if func is torch.zeros:
            self._hx, self._hx_left_out = result, True
        elif func is F.linear:
            x, weight, bias = args
            kind, self._layer, self._direction = self._weights[id(weight)]
            if kind == "weight_ih":
                self._project(x, weight, bias, result)
            else:
                self._multiply_state(x, weight, bias, result)
        elif func is torch.Tensor.add:
            terms = f"h_projected{self._at}", f"x_projected{self._at}"
            self._write(
                "sum", f"sum{self._at}", result, " + ".join(terms), zip(terms, args, strict=True)
            )
        elif func in (torch.tanh, torch.relu):
            name, term = f"h{self._at}", f"sum{self._at}"
            expression = f"{self._module.nonlinearity}({term})"
            self._write("activation", name, result, expression, [(term, args[0])])
            self._steps_done += 1
        elif func is F.dropout:
            below, above = f"output_l{self._layer}", f"input_l{self._layer + 1}"
            self._write_output(self._layer, args[0])
            expression = f"dropout({below}, {self._module.dropout})"
            operands = ((below, tuple(args[0].shape)),)
            self.records.append(
                Record("dropout", above, result, expression, self._layer, operands=operands)
            )
        return result

    def finish(self, output: Tensor, h_n: Tensor) -> None:
        """Record what the module returns."""
        self.records.append(self._output_record("output", self._layer, output))
        ends = [
            f"h{parameter_name('', layer, direction)}[{0 if direction else self._L - 1}]"
            for layer in range(self._module.num_layers)
            for direction in range(self._D)
        ]
        if isinstance(self._input, PackedSequence):
            ends = ["of each sequence and direction the state after its own last step"]
        self.records.append(Record("stack", "h_n", h_n, ", ".join(ends)))

    @property
    def _at(self) -> str:
        """Suffix of what belongs to a step, such as ``_l0_reverse[2]``."""
        return f"{parameter_name('', self._layer, self._direction)}[{self._time}]"

    @property
    def _time(self) -> int:
        return self._L - 1 - self._steps_done if self._direction else self._steps_done

    def _project(self, x: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor) -> None:
        if not self.records:
            self._write_operands()
        source = self._source(x)
        suffix = parameter_name("", self._layer, self._direction)
        self._steps_done = 0
        self._write_linear("x", suffix, (source, x), ("weight_ih", weight), bias, result)

    def _source(self, x: Tensor) -> str:
        """Name what enters the layer, and record it if it is new."""
        if self._layer == 0:
            if isinstance(self._input, PackedSequence):
                self._L = len(self._input.batch_sizes)
                return "input.data"
            self._L = len(x)
            if self._input.dim() == 2:
                return "input.unsqueeze(1)"
            return "input.transpose(0, 1)" if self._module.batch_first else "input"
        if any(record.name == f"input_l{self._layer}" for record in self.records):
            return f"input_l{self._layer}"
        if self._direction == 0:
            self._write_output(self._layer - 1, x)
        return f"output_l{self._layer - 1}"

    def _multiply_state(
        self, h: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor
    ) -> None:
        suffix = parameter_name("", self._layer, self._direction)
        states = "hx" if self._hx.dim() == 3 else "hx.unsqueeze(1)"
        initial = f"{states}[{self._layer * self._D + self._direction}]"
        if isinstance(self._input, PackedSequence) and self._input.sorted_indices is not None:
            initial = initial.replace("]", ", sorted_indices]")
        previous = self._time + (1 if self._direction else -1)
        source = f"h{suffix}[{previous}]" if self._steps_done else initial
        if isinstance(self._input, PackedSequence):
            rows = len(self._value(source)) if self._steps_done else self._hx.size(1)
            if rows > len(h):  # sequences have ended, or in reverse have not begun
                source = f"{source}[:{len(h)}]"
            elif rows < len(h):  # in reverse, sequences begin
                source = f"({source}, {initial}[{rows}:{len(h)}])"
        self._write_linear("h", self._at, (source, h), ("weight_hh", weight), bias, result)

    def _value(self, name: str) -> Tensor:
        return next(record.value for record in self.records if record.name == name)

    def _write_linear(
        self,
        letter: str,
        suffix: str,
        source: tuple[str, Tensor],
        weight: tuple[str, Tensor],
        bias: Tensor | None,
        result: Tensor,
    ) -> None:
        """Record a product and, if there is a bias, the sum."""
        weight_name = parameter_name(weight[0], self._layer, self._direction)
        product = source[1] @ weight[1].T
        name = f"{letter}_projected{suffix}" if bias is None else f"{letter}_product{suffix}"
        expression = f"{source[0]} @ {weight_name}.T"
        operands = [source, (weight_name, weight[1])]
        value = result if bias is None else product
        of_layer = letter == "x"
        self._write("product", name, value, expression, operands, of_layer)
        if bias is not None:
            bias_name = weight_name.replace("weight", "bias")
            operands = [(name, product), (bias_name, bias)]
            total = f"{letter}_projected{suffix}"
            expression = f"{name} + {bias_name}"
            self._write("sum", total, result, expression, operands, of_layer)

    def _write_operands(self) -> None:
        x = _data(self._input)
        layout = "(N, L, H_in)" if self._module.batch_first else "(L, N, H_in)"
        if isinstance(self._input, PackedSequence):
            layout = "(sum of lengths, H_in)"
        elif x.dim() == 2:
            layout = "(L, H_in)"
        states = "(D * num_layers, N, H_out)" if self._hx.dim() == 3 else "(D * num_layers, H_out)"
        self.records.append(Record("operand", "input", x.detach(), f"given, as {layout}"))
        origin = "zeros" if self._hx_left_out else "given"
        self.records.append(Record("operand", "hx", self._hx.detach(), f"{origin}, as {states}"))
        for name, parameter in self._module.named_parameters():
            self.records.append(Record("operand", name, parameter.detach(), "parameter"))

    def _write_output(self, layer: int, output: Tensor) -> None:
        record = self._output_record(f"output_l{layer}", layer, output)
        self.records.append(replace(record, layer=layer))

    def _output_record(self, name: str, layer: int, output: Tensor) -> Record:
        states = (f"h{parameter_name('', layer, direction)}" for direction in range(self._D))
        return Record("stack", name, output, f"{' beside '.join(states)}, all steps")

    def _write(
        self,
        operation: str,
        name: str,
        value: Tensor,
        expression: str,
        operands: Iterable[tuple[str, Tensor]] = (),
        of_layer: bool = False,
    ) -> None:
        self.records.append(
            Record(
                operation,
                name,
                value,
                expression,
                self._layer,
                self._direction,
                None if of_layer else self._time,
                tuple((term, tuple(tensor.shape)) for term, tensor in operands),
            )
        )


def _heading(record: Record) -> str:
    if record.operation == "operand":
        return "operands"
    if record.layer is None:
        return "results"
    if record.direction is None:
        return f"layer {record.layer}"
    return f"layer {record.layer}, {DIRECTIONS[record.direction]}"

"""A record of every operand, product, sum and activation of a forward pass, with names and shapes.

`trace` runs the code of `unrolled.layers` and the floors below it under an observer. The loop of a
`torch.nn` module is compiled, so for such a module `trace` runs that code on the module's
parameters, and then compares the results with what the module itself returns.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere
from torch.nn.utils.rnn import PackedSequence
from torch.overrides import TorchFunctionMode

from unrolled.modules import GRU, LSTM, RNN, Recurrent
from unrolled.shapes import Shape, num_directions, parameter_name, parse_parameter_name

__all__ = ["Record", "Trace", "trace"]

_TRACED = (Recurrent, nn.RNN, nn.GRU, nn.LSTM)

DIRECTIONS = ("forward", "reverse")


@dataclass(frozen=True)
class Record:
    """One operand or one result of a forward pass.

    Attributes
    ----------
    operation : str
        ``"operand"``, ``"product"`` (of matrices), ``"elementwise product"``, ``"sum"``,
        ``"difference"``, ``"activation"``, ``"dropout"`` or ``"stack"``.
    name : str
        Name of the value, unique in its trace. Indices start at 0, as in Python: ``h_l0[2]`` is the
        hidden state of layer 0 after its step at time 2.
    expression : str
        How it is computed from other names; empty for an operand.
    layer, direction, step : int or None
        Where it belongs; ``None`` if it belongs to all of them.
    operands : tuple of (str, tuple of int)
        Names and shapes of the values that enter.
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
            The sizes, as plain integers.
        """
        return tuple(self.value.shape)


class Trace:
    """The records of one forward pass, in the order in which they were computed.

    ``print`` shows them as a table that omits the steps between the first and the last. Indexing by
    name returns one `Record`; iterating yields them all.

    Attributes
    ----------
    module : str
        The module, as ``print`` shows it.
    records : tuple of Record
        Operands first.
    difference : float
        Largest absolute difference between the records ``output``, ``h_n`` and ``c_n`` and what the
        module itself returns: 0 if they are bitwise identical.

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
            Whether to show all time steps, or only the first and the last of each loop.

        Returns
        -------
        str
            One line per record; the last line says whether the module returns the same results.

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
        results = "output, h_n and c_n" if "c_n" in self._by_name else "output and h_n"
        return "\n".join([self.module, *lines, f"{results}: {same} what the module returns"])

    def to_json(self, values: bool = True, indent: int | None = None) -> str:
        """Export the records.

        Parameters
        ----------
        values : bool, default True
            Whether to include the values, not only names and shapes.
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


def trace(
    module: Recurrent | nn.RNN | nn.GRU | nn.LSTM,
    input: Tensor | PackedSequence,
    hx: Tensor | tuple[Tensor, Tensor] | list[Tensor] | None = None,
) -> Trace:
    """Run a module and record every operand, product, sum and activation.

    Parameters
    ----------
    module : RNN, GRU or LSTM, of `unrolled` or of `torch.nn`
        The module; a subclass is traced as the module it inherits from.
    input : Tensor or PackedSequence
        Input, as the module takes it.
    hx : Tensor, or for an LSTM a tuple or list of two Tensors, optional
        States before the first step, as the module takes them.

    Returns
    -------
    Trace
        The records, which print as a table and can be exported to JSON.

    Raises
    ------
    TypeError
        If `module` is none of these, for example a whole model, or has a custom step, whose
        operations have no names.
    AttributeError, RuntimeError, ValueError
        Where the module raises them for this input, with the message of `unrolled`. Also if a
        weight does not exist yet because the module computes it (``AttributeError``), or has no
        values because it is on the meta device (``RuntimeError``).

    Notes
    -----
    PyTorch multiplies and adds the bias in one operation. The trace records both: the value of the
    sum is the result of that operation, and the value of the product is computed separately.

    Examples
    --------
    >>> steps = trace(nn.RNN(10, 20, batch_first=True), torch.randn(3, 5, 10))
    >>> steps["x_projected_l0"].operands
    (('x_product_l0', (5, 3, 20)), ('bias_ih_l0', (20,)))
    >>> steps.difference
    0.0
    """
    given: Any = module
    if not isinstance(given, _TRACED):
        got = f"{type(given).__module__}.{type(given).__qualname__}"
        modules = given.named_modules() if isinstance(given, nn.Module) else ()
        inside = [repr(name) for name, part in modules if isinstance(part, _TRACED)]
        if inside:
            got += f", with {', '.join(inside)} in it: trace module.get_submodule({inside[0]})"
        raise TypeError(f"module should be an RNN, GRU or LSTM of unrolled or torch.nn, got {got}")
    if isinstance(module, Recurrent) and module.step is not None:
        raise TypeError("module should have no step of its own, whose operations have no names")
    states: Any = tuple(hx) if isinstance(hx, list) else hx  # torch.nn.LSTM takes both
    before = torch.get_rng_state()
    ours = _with_parameters_of(module)
    observer = _Observer(ours, input, states)
    with torch.no_grad():
        with observer:
            result = ours(input, states)
        observer.finish(*_results(result))
        torch.set_rng_state(before)  # so that the module draws the same numbers, weights too
        pairs = zip(_results(result), _results(module(input, hx)), strict=True)
        difference = max(_difference(a, b) for a, b in pairs)
    return Trace(str(module), tuple(observer.records), difference)


def _results(returned: tuple[Any, Any]) -> list[Tensor]:
    """Flatten what a module returns: output, h_n and for an LSTM c_n."""
    output, last = returned
    return [_data(output), *(last if isinstance(last, tuple) else (last,))]


def _data(value: Tensor | PackedSequence) -> Tensor:
    return value.data if isinstance(value, PackedSequence) else value


def _difference(a: Tensor, b: Tensor) -> float:
    same = (a == b) | (a.isnan() & b.isnan())
    return (a - b).abs().masked_fill(same, 0.0).max().item() if a.numel() else 0.0


def _with_parameters_of(module: Any) -> Recurrent:
    """Build one of our modules that shares the memory of a module's parameters.

    Each parameter has a separate name there, even if the module ties two or computes one.
    """
    arguments: dict[str, Any] = {
        "bias": module.bias,
        "batch_first": module.batch_first,
        "dropout": module.dropout if module.num_layers > 1 else 0.0,  # or it would warn
        "bidirectional": module.bidirectional,
        "device": "meta",
    }
    sizes = module.input_size, module.hidden_size, module.num_layers
    ours: Recurrent
    if module.mode == "LSTM":
        ours = LSTM(*sizes, proj_size=module.proj_size, **arguments)
    elif module.mode == "GRU":
        ours = GRU(*sizes, **arguments)
    else:
        ours = RNN(*sizes, nonlinearity=module.nonlinearity, **arguments)
    for name, _ in list(ours.named_parameters()):
        parameter = getattr(module, name, None)
        if not isinstance(parameter, Tensor):
            raise AttributeError(
                f"module should have {name}, got {type(parameter).__name__}: if it is computed "
                "when the module runs, run that once before"
            )
        if parameter.is_meta:
            raise RuntimeError(f"{name} should have numbers, got one on the meta device")
        # requires_grad decides which product PyTorch takes, and so how it is rounded.
        setattr(ours, name, nn.Parameter(parameter.detach(), parameter.requires_grad))
    return ours.train(module.training)


class _Line(NamedTuple):
    """One operation of a step; ``{at}`` stands for layer, direction and time, as in ``_l0[2]``."""

    function: Any
    operation: str
    name: str
    expression: str
    operands: tuple[str, ...]


def _lines(mode: str, H: int, projected: bool) -> list[_Line]:
    """List what `unrolled.cells` computes in a step after the product with the state."""
    add, mul, sub = torch.Tensor.add, torch.Tensor.mul, torch.Tensor.sub
    both = ("h_projected{at}", "x_projected{at}")

    def gate(name: str, whole: str, part: int) -> _Line:
        function = torch.tanh if name == "g" else torch.sigmoid
        operand = f"{whole}{{at}}[:, {part * H}:{(part + 1) * H}]"
        return _Line(function, "activation", name, f"{function.__name__}({operand})", (operand,))

    def binary(function: Any, operation: str, name: str, left: str, right: str) -> _Line:
        sign = {add: "+", mul: "*", sub: "-"}[function]
        return _Line(function, operation, name, f"{left} {sign} {right}", (left, right))

    if mode == "LSTM":
        h = "h_full" if projected else "h"
        return [
            binary(add, "sum", "gates", *both),
            *(gate(name, "gates", part) for part, name in enumerate("ifgo")),
            binary(mul, "elementwise product", "f_times_c", "f{at}", "{c}"),
            binary(mul, "elementwise product", "i_times_g", "i{at}", "g{at}"),
            binary(add, "sum", "c", "f_times_c{at}", "i_times_g{at}"),
            _Line(torch.tanh, "activation", "tanh_c", "tanh(c{at})", ("c{at}",)),
            binary(mul, "elementwise product", h, "o{at}", "tanh_c{at}"),
        ]
    if mode == "GRU":
        rz, n = f"[:, :{2 * H}]", f"[:, {2 * H}:]"
        return [
            binary(add, "sum", "rz", f"h_projected{{at}}{rz}", f"x_projected{{at}}{rz}"),
            gate("r", "rz", 0),
            gate("z", "rz", 1),
            binary(mul, "elementwise product", "r_times_h", "r{at}", f"h_projected{{at}}{n}"),
            binary(add, "sum", "sum", f"x_projected{{at}}{n}", "r_times_h{at}"),
            _Line(torch.tanh, "activation", "n", "tanh(sum{at})", ("sum{at}",)),
            binary(sub, "difference", "h_minus_n", "{h}", "n{at}"),
            binary(mul, "elementwise product", "kept", "h_minus_n{at}", "z{at}"),
            binary(add, "sum", "h", "kept{at}", "n{at}"),
        ]
    activation = torch.tanh if mode == "RNN_TANH" else torch.relu
    expression = f"{activation.__name__}(sum{{at}})"
    return [
        binary(add, "sum", "sum", *both),
        _Line(activation, "activation", "h", expression, ("sum{at}",)),
    ]


class _Observer(TorchFunctionMode):
    """Record what the floors below ask torch to compute.

    The weight in a product identifies layer and direction, the number of earlier products with the
    same ``weight_hh`` identifies the step, and the place in `_lines` identifies the operation.
    """

    def __init__(self, module: Recurrent, input: Tensor | PackedSequence, hx: Any) -> None:
        super().__init__()
        self.records: list[Record] = []
        self._module, self._input, self._hx = module, input, hx
        self._D = num_directions(module.bidirectional)
        self._weights = {id(parameter): name for name, parameter in module.named_parameters()}
        self._lines = _lines(module.mode, module.hidden_size, module.proj_size > 0)
        self._observed = {line.function for line in self._lines}
        self._line = 0
        self._layer, self._direction = 0, 0
        self._steps_done, self._L = 0, 0
        self._zeros: list[Tensor] = []  # states that were left out
        self._sources: dict[str, str] = {}

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run `func`, and record it if it is an operation of the recurrence."""
        result = func(*args, **(kwargs or {}))
        if func is torch.Tensor.new_zeros:
            self._zeros.append(result)
        elif func is F.linear:
            x, weight, bias = (*args, None)[:3]
            name = self._weights[id(weight)]
            kind, self._layer, self._direction = parse_parameter_name(name)
            if kind == "weight_ih":
                self._project(x, weight, bias, result)
            elif kind == "weight_hh":
                self._begin_step(x, weight, bias, result)
            else:
                self._write_linear("h", self._at, (f"h_full{self._at}", x), weight, None, result)
                self._steps_done += 1
        elif func in self._observed:
            self._write_line(self._lines[self._line], args, result)
        elif func is F.dropout:
            below, above = f"output_l{self._layer}", f"input_l{self._layer + 1}"
            self._write_output(self._layer, args[0])
            expression = f"dropout({below}, {self._module.dropout})"
            operands = ((below, tuple(args[0].shape)),)
            self.records.append(
                Record("dropout", above, result, expression, self._layer, operands=operands)
            )
        return result

    def _write_operands(self) -> None:
        given = self._hx if isinstance(self._hx, tuple) else (self._hx,)
        values = self._zeros or given
        names = [f"hx[{index}]" for index in range(len(values))] if len(values) > 1 else ["hx"]
        x = _data(self._input)
        layout = "(N, L, H_in)" if self._module.batch_first else "(L, N, H_in)"
        if isinstance(self._input, PackedSequence):
            layout = "(sum of lengths, H_in)"
        elif x.dim() == 2:
            layout = "(L, H_in)"
        self.records.append(Record("operand", "input", x.detach(), f"given, as {layout}"))
        origin = "zeros" if self._zeros else "given"
        for name, state in zip(names, values, strict=True):
            width = "hidden_size" if name == "hx[1]" else "H_out"
            axes = f"D * num_layers, N, {width}" if state.dim() == 3 else f"D * num_layers, {width}"
            self.records.append(Record("operand", name, state.detach(), f"{origin}, as ({axes})"))
        for name, parameter in self._module.named_parameters():
            self.records.append(Record("operand", name, parameter.detach(), "parameter"))

    def finish(self, output: Tensor, *last: Tensor) -> None:
        """Record what the module returns."""
        layers = self._module.num_layers
        self.records.append(self._output_record("output", layers - 1, output))
        for letter, value in zip("hc", last, strict=False):
            ends = [
                f"{letter}{parameter_name('', layer, direction)}[{0 if direction else self._L - 1}]"
                for layer in range(layers)
                for direction in range(self._D)
            ]
            if isinstance(self._input, PackedSequence):
                ends = ["of each sequence and direction the state after its own last step"]
            self.records.append(Record("stack", f"{letter}_n", value, ", ".join(ends)))

    @property
    def _suffix(self) -> str:
        return parameter_name("", self._layer, self._direction)

    @property
    def _at(self) -> str:
        """Return the suffix for values of a step, such as ``_l0_reverse[2]``."""
        return f"{self._suffix}[{self._time}]"

    @property
    def _time(self) -> int:
        return self._L - 1 - self._steps_done if self._direction else self._steps_done

    def _project(self, x: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor) -> None:
        if not self.records:
            self._write_operands()
        source = self._source(x)
        self._steps_done = 0
        self._write_linear("x_projected", self._suffix, (source, x), weight, bias, result)

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

    def _begin_step(self, h: Tensor, weight: Tensor, bias: Tensor | None, result: Tensor) -> None:
        rows = len(h)
        self._sources = {"h": self._state_source("h", rows)}
        if self._module.mode == "LSTM":
            self._sources["c"] = self._state_source("c", rows)
        self._line = 0
        source = (self._sources["h"], h)
        self._write_linear("h_projected", self._at, source, weight, bias, result)

    def _state_source(self, letter: str, rows: int) -> str:
        """Name the state that enters a step with so many rows."""
        names = [r.name for r in self.records if r.operation == "operand" and "hx" in r.name]
        name = names["hc".index(letter)]
        initial = next(r.value for r in self.records if r.name == name)
        batch = f"{name}.unsqueeze(1)" if initial.dim() == 2 else name
        index = self._layer * self._D + self._direction
        packed = isinstance(self._input, PackedSequence)
        if packed and cast(PackedSequence, self._input).sorted_indices is not None:
            begin = f"{batch}[{index}, sorted_indices]"
        else:
            begin = f"{batch}[{index}]"
        before = f"{letter}{self._suffix}[{self._time + (1 if self._direction else -1)}]"
        source = before if self._steps_done else begin
        if not packed:
            return source
        there = initial.size(1)
        if self._steps_done:
            there = len(next(r.value for r in self.records if r.name == before))
        if there > rows:  # sequences have ended, or in reverse have not begun
            return f"{source}[:{rows}]"
        if there < rows:  # in reverse, sequences begin
            return f"({source}, {begin}[{there}:{rows}])"
        return source

    def _write_line(self, line: _Line, args: tuple[Any, ...], result: Tensor) -> None:
        def named(text: str) -> str:
            return text.format(at=self._at, **self._sources)

        operands = zip(map(named, line.operands), args, strict=True)
        name = f"{line.name}{self._at}"
        self._write(line.operation, name, result, named(line.expression), operands, self._time)
        self._line += 1
        if line.name == "h":
            self._steps_done += 1

    def _write_linear(
        self,
        letter: str,
        suffix: str,
        source: tuple[str, Tensor],
        weight: Tensor,
        bias: Tensor | None,
        result: Tensor,
    ) -> None:
        """Record a product and, if there is a bias, the sum."""
        step = None if letter == "x_projected" else self._time
        weight_name = self._weights[id(weight)]
        total = f"{letter}{suffix}"
        name = total if bias is None else total.replace("projected", "product")
        product = result if bias is None else source[1] @ weight.T
        operands = [source, (weight_name, weight)]
        self._write("product", name, product, f"{source[0]} @ {weight_name}.T", operands, step)
        if bias is not None:
            bias_name = weight_name.replace("weight", "bias")
            operands = [(name, product), (bias_name, bias)]
            self._write("sum", total, result, f"{name} + {bias_name}", operands, step)

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
        operands: Iterable[tuple[str, Tensor]],
        step: int | None,
    ) -> None:
        self.records.append(
            Record(
                operation,
                name,
                value,
                expression,
                self._layer,
                self._direction,
                step,
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

"""Find out what the tensors of an ONNX graph are; needs the package ``onnx``.

`Graph` follows a graph from its inputs and gives each tensor a meaning: stored in the file, all
zeros, sizes of other tensors, or the elements of a tensor in a known arrangement. Everything else
is the result of an operator about which only the shape is known.

A size that the file leaves open is represented by a prime number, so that a product of sizes shows
its factors. A number in the file may equal such a prime by chance. Following the graph twice, with
two choices of primes, reveals this as a contradiction.
"""

import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import cache, cached_property, partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from reprlib import Repr
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DOMAINS",
    "Atom",
    "Graph",
    "Meaning",
    "Moved",
    "Sizes",
    "Source",
    "Stored",
    "Zeros",
    "arranged",
    "quoted",
    "size",
]

DOMAINS = ("", "ai.onnx")
"""Two names for the domain of the standard's own operators."""

_MOST = 2**26  # elements that an operator on stored tensors may make
_FEW = 4096  # the same for sizes, and for a tensor that decides a shape
_ENDLESS = 2**31 - 1  # from here on the end of a slice says "to the end"
# These move elements of their first input, or of all inputs, and compute none.
_MOVING = {
    "Cast", "Concat", "Expand", "Gather", "Reshape", "Slice", "Split", "Squeeze", "Tile",
    "Transpose", "Unsqueeze",
}  # fmt: skip # as wide as the page
_FOLDED = _MOVING | {"Constant", "ConstantOfShape", "Mul", "Shape"}

_short = Repr()
_short.maxstring = 100


def quoted(name: str) -> str:
    """Quote a name from a file, shortened and on one line."""
    return _short.repr(name)


class Source(NamedTuple):
    """A tensor whose elements appear in other tensors."""

    name: str
    words: str  # what it is, and what each axis of it is
    axes: tuple[str, ...]
    rows: int  # the size of its first axis
    given: bool  # whether it is an input of the model


class Atom(NamedTuple):
    """An axis of a `Source`, with a size that is not 1, or the prime that stands for it."""

    number: int
    size: int


Axes: TypeAlias = tuple[tuple[Atom, ...], ...]


class Moved(NamedTuple):
    """The elements of a tensor, or of some of its rows, in a different arrangement."""

    source: Source
    axes: Axes | None  # the contents of each axis, empty where its size is 1; None if unknown
    dtype: int  # as in onnx.TensorProto
    start: int = 0  # the first row

    def __str__(self) -> str:
        if self.axes is None:
            return self.source.words
        inside = ["*".join(self.source.axes[a.number] for a in axis) or "1" for axis in self.axes]
        return f"{self.source.words} with the axes ({', '.join(inside)})"

    @property
    def rows(self) -> int:
        """How many rows of the source it has."""
        sizes = [atom.size for axis in self.axes or () for atom in axis if atom.number == 0]
        return sizes[0] if sizes else 1

    @property
    def whole(self) -> bool:
        """Whether it has all rows of the source."""
        return self.rows == self.source.rows


class Stored:
    """A tensor that is stored in the file, or computed from such tensors alone."""

    def __init__(self, load: Callable[[], Any]) -> None:
        self._load = load

    def __str__(self) -> str:
        return f"a stored tensor of shape {self.array.shape}"

    @cached_property
    def array(self) -> NDArray[Any]:
        """The array."""
        return np.asarray(self._load())


class Zeros:
    """A tensor of any shape that is zero."""

    def __str__(self) -> str:
        return "zeros"


class Sizes(NamedTuple):
    """Sizes of tensors."""

    array: NDArray[Any]

    def __str__(self) -> str:
        return "sizes of tensors"


Meaning: TypeAlias = Moved | Stored | Zeros | Sizes
_Inputs: TypeAlias = Sequence[Meaning | None]


def size(axis: Iterable[Atom]) -> int:
    """Return the size of an axis that combines others."""
    return math.prod(atom.size for atom in axis)


def arranged(numbers: Iterable[tuple[int, int]]) -> tuple[Atom, ...]:
    """Form an axis from those whose size is not 1."""
    return tuple(Atom(number, n) for number, n in numbers if n != 1)


class Graph:
    """The tensors of a model."""

    def __init__(self, onnx: Any, model: Any, folder: Path | None, above: int) -> None:
        self._onnx = onnx
        self._folder = folder
        self._opsets = [(o.domain, o.version) for o in model.opset_import]
        self._known: dict[str, Meaning] = {}
        self._primes = (
            n for n in itertools.count(above) if all(n % d for d in range(2, math.isqrt(n) + 1))
        )
        self._open: dict[str, int] = {}
        # What is also an input has but its default here; before version 4 all had to be both.
        both = {value.name for value in model.graph.input} if model.ir_version >= 4 else set()
        tensors = [tensor for tensor in model.graph.initializer if tensor.name not in both]
        self._types = _types(onnx, model, tensors)
        for tensor in tensors:
            self.define(tensor.name, self.stored(tensor))
        for value in model.graph.input:
            if value.name in both or value.name not in self._known:
                self.define(value.name, self.fresh(value.name, f"input {quoted(value.name)}", True))
        for sparse in model.graph.sparse_initializer:
            self.define(sparse.values.name, self.fresh(sparse.values.name, "a sparse tensor"))

    def define(self, name: str, meaning: Meaning) -> None:
        """Say what a tensor is."""
        if name in self._known and name:  # an output without a name is left out
            raise ValueError(
                f"each name in the model should have one tensor, got two {quoted(name)}"
            )
        self._known[name] = meaning

    def inputs(self, node: Any) -> list[Meaning | None]:
        """Look up what goes into an operator."""
        for name in node.input:
            if name and name not in self._known:
                raise ValueError(
                    f"the inputs of {quoted(node.op_type)} should be made before it, got "
                    f"{quoted(name)}, which is not"
                )
        return [self._known[name] if name else None for name in node.input]

    def fresh(self, name: str, words: str, given: bool = False, rank: int | None = None) -> Moved:
        """Treat a tensor as a source, without explaining it further."""
        dtype, shape = self._types.get(name, (0, None))
        if shape is None and rank is not None:
            shape = tuple(f"{i} {name}" for i in range(rank))
        sizes = None if shape is None else [self.stand_in(n) for n in shape]
        source = Source(
            *(name, words, tuple(f"axis {i}" for i in range(len(sizes or ())))),
            *(sizes[0] if sizes else 0, given),
        )
        axes = None if sizes is None else tuple(arranged([pair]) for pair in enumerate(sizes))
        return Moved(source, axes, dtype)

    def stand_in(self, length: int | str) -> int:
        """Return a number for a size."""
        if isinstance(length, int):
            return length
        if length not in self._open:
            self._open[length] = next(self._primes)
        return self._open[length]

    def is_open(self, length: int) -> bool:
        """Tell whether a number stands for an open size."""
        return any(length % prime == 0 for prime in self._open.values())

    def follow(self, node: Any) -> None:
        """Define the outputs of an operator that is not recurrent."""
        found: Sequence[Meaning | None] = []
        inputs = self.inputs(node)
        if node.domain in DOMAINS:
            found = self._results(node, inputs)
        for i, name in enumerate(node.output):
            meaning = found[i] if i < len(found) else None
            words = f"the result of {quoted(node.op_type)}"
            self.define(name, meaning or self.fresh(name, words))

    def stored(self, tensor: Any) -> Stored:
        """Read a tensor that is stored in the file or outside it."""

        def load() -> Any:
            there = tensor
            if tensor.data_location == tensor.EXTERNAL:
                there = self._onnx.TensorProto(
                    dims=tensor.dims, data_type=tensor.data_type, raw_data=self._outside(tensor)
                )
            return _readable(quoted(tensor.name), self._onnx.numpy_helper.to_array, there)

        return Stored(load)

    def _outside(self, tensor: Any) -> bytes:
        """Read a tensor from another file, which must lie in the folder of the model."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        said = f"the data of {quoted(tensor.name)}, {quoted(location)},"
        if self._folder is None:
            raise ValueError(f"{said} should be in the model, since its folder is not known")
        folder = self._folder.resolve()
        path = (folder / location.replace("\0", "")).resolve()  # a link may lead elsewhere
        absolute = PureWindowsPath(location).anchor or PurePosixPath(location).anchor
        if absolute or ".." in PureWindowsPath(location).parts or not path.is_relative_to(folder):
            raise ValueError(f"{said} should lie in the folder of the model, and not outside it")
        if not path.is_file():
            raise ValueError(f"{said} should be a file beside the model, and there is none")
        numbers = [entries.get(key, "0") for key in ("offset", "length")]
        offset, length = (int(n) if n.isdecimal() else -1 for n in numbers)
        dtype = self._onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        needed, there = math.prod(tensor.dims) * dtype.itemsize, path.stat().st_size
        if offset < 0 or ("length" in entries and length != needed) or offset + needed > there:
            raise ValueError(
                f"{said} should have {needed} bytes, got offset {numbers[0]} and length "
                f"{entries.get('length')} in a file of {there}"
            )
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(needed)

    def _results(self, node: Any, inputs: _Inputs) -> Sequence[Meaning | None]:
        try:
            return self._understood(node, inputs)
        except (_UnclearError, ArithmeticError, LookupError, TypeError, ValueError):
            return []  # then the outputs are what the operator makes, and nothing more is known

    def _understood(self, node: Any, inputs: _Inputs) -> Sequence[Meaning | None]:
        operator = node.op_type
        attributes = {a.name: self._onnx.helper.get_attribute_value(a) for a in node.attribute}
        call = _Call(attributes, inputs, len(node.output))
        if operator == "Constant" and "value" in attributes:
            return [self.stored(attributes["value"])]
        if operator == "Identity":
            return inputs
        if operator == "Dropout" and not any(call.numbers("training_mode", 2)):
            return inputs[:1]
        if operator == "ConstantOfShape":
            value = attributes.get("value")  # one number, 0 if it is left out
            if value is None or not self.stored(value).array.any():
                return [Zeros()]
        if operator not in _FOLDED:
            raise _UnclearError
        if operator in ("Expand", "Tile") and _moves_zeros(operator, inputs):
            return [Zeros()] * call.outputs  # before anything is made of that size
        if all(isinstance(tensor, Stored) for tensor in inputs if tensor is not None):
            together = cache(lambda: self._evaluate(node, inputs, _MOST))
            return [Stored(partial(_nth, together, i)) for i in range(call.outputs)]
        if _moves_zeros(operator, inputs):
            return [Zeros()] * call.outputs
        if isinstance(inputs[0], Moved):
            return _MOVES[operator](self, inputs[0], call)
        return [Sizes(array) for array in self._evaluate(node, inputs, _FEW)]

    def _evaluate(self, node: Any, inputs: _Inputs, most: int) -> list[Any]:
        """Compute an operator whose inputs are all known."""
        names = [name for name in node.input if name]
        arrays = [_array(tensor, most) for tensor in inputs if tensor is not None]
        if arrays and _most_elements(node.op_type, *arrays) > most:
            raise ValueError(f"{node.op_type} of stored tensors should not make so many elements")
        helper = self._onnx.helper
        outputs = [helper.make_empty_tensor_value_info(name) for name in node.output]
        graph = helper.make_graph([node], "node", [], outputs)
        graph.input.extend(helper.make_empty_tensor_value_info(name) for name in {*names})
        opsets = [helper.make_opsetid(domain, version) for domain, version in self._opsets]
        model = helper.make_model(graph, opset_imports=opsets)
        run = self._onnx.reference.ReferenceEvaluator
        feed = dict(zip(names, arrays, strict=True))
        return _readable(node.op_type, lambda: run(model).run(None, feed))

    def cut(self, data: Moved, axis: int, start: int, end: int) -> Moved:
        """Take a part of a tensor."""
        axes = list(_axes(data))
        inside, length = axes[axis], size(axes[axis])
        if start == 0 and end >= (_ENDLESS if self.is_open(length) else length):
            return data
        if self.is_open(length) or not data.source.given or {a.number for a in inside} != {0}:
            raise _UnclearError
        first, last, _ = slice(start, end).indices(length)
        if first >= last:
            raise _UnclearError
        axes[axis] = arranged([(0, last - first)])
        return data._replace(axes=tuple(axes), start=data.start + first)


class _UnclearError(Exception):
    """An operator does something that is not followed here."""


class _Call(NamedTuple):
    """The inputs and attributes of an operator."""

    attributes: dict[str, Any]
    inputs: _Inputs
    outputs: int

    def numbers(self, name: str, index: int) -> list[int]:
        """Look up numbers that are an attribute in one opset and an input in the next."""
        if name in self.attributes:
            return list(self.attributes[name])
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return [] if tensor is None else [int(n) for n in _array(tensor, _FEW).ravel()]


def _array(tensor: Meaning | None, most: int) -> NDArray[Any]:
    if not isinstance(tensor, Stored | Sizes):
        raise _UnclearError
    if tensor.array.size > most:
        raise ValueError(f"the inputs of an operator should not have more than {most} elements")
    return tensor.array


def _axes(data: Moved) -> Axes:
    if data.axes is None:
        raise _UnclearError
    return data.axes


def _nth(together: Callable[[], list[Any]], i: int) -> Any:
    return together()[i]


def _readable(what: str, read: Callable[..., Any], *given: Any) -> Any:
    try:
        return read(*given)
    except Exception as error:  # of many types, for contents that make no sense
        raise ValueError(f"{what} should be readable in the model: {error}") from None


def _moves_zeros(operator: str, inputs: _Inputs) -> bool:
    """Tell whether an operator moves zeros only, whatever the shape."""
    stored = operator in ("Concat", "Expand", "Reshape", "Tile")  # else it may be a large table
    data = inputs if operator == "Concat" else inputs[:1]
    return operator in _MOVING and all(
        isinstance(tensor, Zeros)
        or (stored and isinstance(tensor, Stored) and not tensor.array.any())
        for tensor in data
    )


def _most_elements(operator: str, first: NDArray[Any], *rest: NDArray[Any]) -> int:
    """Bound the number of elements that an operator returns."""
    sizes = [array.size for array in (first, *rest)]
    if operator == "Expand":
        return math.prod(np.broadcast_shapes(first.shape, tuple(rest[0].tolist())))
    if operator == "Tile":
        return sizes[0] * math.prod(rest[0].tolist())
    if operator == "ConstantOfShape":
        return math.prod(first.tolist())
    return sum(sizes) if operator == "Concat" else math.prod(sizes[:2])


# What the operators do that move elements.


def _cast(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    integers = {6, 7}  # int32 and int64, which hold the same lengths
    to = call.attributes["to"]
    if to != data.dtype and not {to, data.dtype} <= integers:
        raise _UnclearError
    return [data._replace(dtype=to)]


def _shape(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    first, last = (call.attributes.get(name) for name in ("start", "end"))
    return [Sizes(np.array([size(axis) for axis in _axes(data)][first:last], np.int64))]


def _transpose(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    axes = _axes(data)
    perm = call.attributes.get("perm", range(len(axes))[::-1])
    if sorted(perm) != [*range(len(axes))]:
        raise _UnclearError
    return [data._replace(axes=tuple(axes[i] for i in perm))]


def _squeeze(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    axes = _axes(data)
    gone = [range(len(axes))[i] for i in call.numbers("axes", 1)]
    if any(axes[i] for i in gone):
        raise _UnclearError
    kept = [axis for i, axis in enumerate(axes) if i not in gone and (gone or axis)]
    return [data._replace(axes=tuple(kept))]


def _unsqueeze(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    axes, new = _axes(data), call.numbers("axes", 1)
    every = range(len(axes) + len(new))
    ones, old = {every[i] for i in new}, deque(axes)
    return [data._replace(axes=tuple(() if i in ones else old.popleft() for i in every))]


def _reshape(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    axes, target = _axes(data), call.numbers("shape", 1)
    if 0 in target and call.attributes.get("allowzero"):
        raise _UnclearError
    target = [n or size(axes[i]) for i, n in enumerate(target)]  # 0 keeps a size
    if -1 in target:  # it takes the rest
        target[target.index(-1)] = math.prod(map(size, axes)) // -math.prod(target)
    atoms = deque(itertools.chain(*axes))
    result = []
    for n in target:
        axis: list[Atom] = []
        while size(axis) < n:
            axis.append(atoms.popleft())
        if size(axis) != n:
            raise _UnclearError  # it cuts an axis
        result.append(tuple(axis))
    if atoms:
        raise _UnclearError
    return [data._replace(axes=tuple(result))]


def _gather(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    picks = call.numbers("indices", 1)
    axis = range(len(_axes(data)))[call.attributes.get("axis", 0)]
    length = size(_axes(data)[axis])
    picks = [range(length)[i] for i in picks]
    if picks != [*range(picks[0], picks[0] + len(picks))]:
        raise _UnclearError
    part = graph.cut(data, axis, picks[0], picks[-1] + 1)
    axes = _axes(part)
    one = _array(call.inputs[1], _FEW).ndim == 0  # then the axis goes
    return [part._replace(axes=axes[:axis] + axes[axis + 1 :]) if one else part]


def _slice(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    names = ("starts", "ends", "axes", "steps")
    starts, ends, axes, steps = (call.numbers(name, i) for i, name in enumerate(names, 1))
    if any(step != 1 for step in steps):
        raise _UnclearError
    for axis, start, end in zip(axes or range(len(starts)), starts, ends, strict=True):
        data = graph.cut(data, axis, start, end)
    return [data]


def _split(graph: Graph, data: Moved, call: _Call) -> list[Meaning | None]:
    axis = call.attributes.get("axis", 0)
    length = size(_axes(data)[axis])
    sizes = call.numbers("split", 1) or [length // call.outputs] * call.outputs
    ends = [*itertools.accumulate(sizes)]
    if ends[-1] != length:
        raise _UnclearError
    return [graph.cut(data, axis, end - n, end) for n, end in zip(sizes, ends, strict=True)]


_MOVES: dict[str, Callable[[Graph, Moved, _Call], Sequence[Meaning | None]]] = {
    "Cast": _cast,
    "Gather": _gather,
    "Reshape": _reshape,
    "Shape": _shape,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}  # others take an operator that is not followed for a KeyError


def _types(
    onnx: Any, model: Any, stored: Sequence[Any]
) -> dict[str, tuple[int, tuple[int | str, ...] | None]]:
    """Find the dtype and the shape of each tensor, with a name for each open size.

    What the file claims about the results of operators is ignored, since nothing enforces those
    claims when the model runs; operators that contain graphs are ignored too.
    """
    helper = onnx.helper
    names = {tensor.name for tensor in stored}
    inputs = [value for value in model.graph.input if value.name not in names]
    few = [t for t in stored if t.data_location != t.EXTERNAL and math.prod(t.dims) <= _FEW]
    inputs += [  # of the others a shape is enough
        helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in stored if t not in few
    ]
    plain = [n for n in model.graph.node if not any(a.HasField("g") for a in n.attribute)]
    graph = helper.make_graph(plain, "graph", inputs, [], few)
    for value in graph.input:
        for i, dim in enumerate(value.type.tensor_type.shape.dim):
            if dim.dim_value <= 0:  # two axes of one name need not be of one size
                dim.dim_param = f"{i} {value.name}"
    bare = helper.make_model(graph, opset_imports=model.opset_import)
    with suppress(Exception):  # of many types; then the shapes of the inputs have to do
        bare = onnx.shape_inference.infer_shapes(bare)
    found: dict[str, tuple[int, tuple[int | str, ...] | None]] = {}
    for value in (*bare.graph.input, *bare.graph.value_info):
        kind = value.type.tensor_type
        shape = [
            dim.dim_value if dim.dim_value > 0 else dim.dim_param or f"{i} {value.name}"
            for i, dim in enumerate(kind.shape.dim)
        ]
        found[value.name] = (kind.elem_type, tuple(shape) if kind.HasField("shape") else None)
    return found

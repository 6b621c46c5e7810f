"""Models in ONNX, drawn: stacks written in the many ways that exporters have, and what is none.

A `Draft` is a graph that grows node by node, with the opset's own form of each operator. `stack`
draws one that is a stack of PyTorch's, together with the numbers to run both on; `ALTERATIONS` make
something else of it.
"""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.porting import to_layout

Array = NDArray[Any]
RNG = np.random.Generator
FLOAT = TensorProto.FLOAT
OPSETS = range(7, 27)  # 26 is the newest that ONNX Runtime 1.32 says it takes
KINDS = ("RNN", "GRU", "LSTM")


class Draft:
    """A graph that grows."""

    def __init__(self, rng: RNG, opset: int, ir: int) -> None:
        self.rng, self.opset, self.ir = rng, opset, ir
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[str] = []
        self.tensors: list[Any] = []
        self.feed: dict[str, Array] = {}
        self.count = 0

    def name(self) -> str:
        self.count += 1
        return f"t{self.count}"

    def op(self, operator: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def input(self, array: Array, shape: list[int | str], name: str = "") -> str:
        name = name or self.name()
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.inputs.append(helper.make_tensor_value_info(name, dtype, shape))
        self.feed[name] = array
        return name

    def tensor(self, array: Array) -> str:
        """Store an array in the graph."""
        name = self.name()
        self.tensors.append(numpy_helper.from_array(np.array(array, order="C"), name))
        if self.ir < 4:
            dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
            self.inputs.append(helper.make_tensor_value_info(name, dtype, array.shape))
        return name

    def constant(self, array: Array) -> str:
        """Store an array as an initialiser or in a node, with or without a detour."""
        way = self.rng.integers(6)
        if way < 3:
            name = self.tensor(array)
        else:
            name = self.op("Constant", value=numpy_helper.from_array(np.array(array, order="C")))
        for _ in range((0, 1, 3)[way % 3]):
            name = self.op("Identity", name)
        return name

    def ints(self, *numbers: int) -> str:
        return self.constant(np.array(numbers, np.int64))

    def with_numbers(
        self, since: int, operator: str, x: str, given: dict[str, list[int]], **more: Any
    ) -> Any:
        """Give numbers as attributes or, from an opset on, as inputs."""
        if self.opset < since:
            return self.op(operator, x, **more | given)
        return self.op(operator, x, *(self.ints(*numbers) for numbers in given.values()), **more)

    def squeeze(self, x: str, *axes: int) -> str:
        return str(self.with_numbers(13, "Squeeze", x, {"axes": list(axes)}))

    def unsqueeze(self, x: str, *axes: int) -> str:
        return str(self.with_numbers(13, "Unsqueeze", x, {"axes": list(axes)}))

    def slice(self, x: str, start: int, end: int, axis: int = 0) -> str:
        given = {"starts": [start], "ends": [end], "axes": [axis]}
        return str(self.with_numbers(10, "Slice", x, given))

    def split(self, x: str, sizes: list[int], axis: int = 0) -> list[str]:
        names = self.with_numbers(13, "Split", x, {"split": sizes}, outputs=len(sizes), axis=axis)
        return [names] if len(sizes) == 1 else names

    def folded(self, array: Array) -> str:
        """Store an array so that operators have to put it together."""
        way = self.rng.integers(7)
        n = array.shape[-1]
        if way == 0 and n > 1:
            parts = [self.constant(part) for part in np.split(array, [n // 2], -1)]
            return str(self.op("Concat", *parts, axis=array.ndim - 1))
        if way == 1:
            perm = [int(i) for i in self.rng.permutation(array.ndim)]
            moved = np.transpose(array, np.argsort(perm))
            return str(self.op("Transpose", self.constant(moved), perm=perm))
        if way == 2 and len(array) == 1:
            return self.unsqueeze(self.constant(array[0]), 0)
        if way == 3:
            return self.slice(self.constant(np.concatenate([array, array])), 0, len(array))
        if way == 4:
            shape = self.ints(*array.shape)
            return str(self.op("Reshape", self.constant(array.ravel()), shape))
        if way == 5 and self.opset >= 9:
            return str(self.op("Cast", self.constant(array.astype("d")), to=FLOAT))
        return self.constant(array)

    def model(self) -> Any:
        outputs = [helper.make_empty_tensor_value_info(name) for name in self.outputs]
        graph = helper.make_graph(self.nodes, "graph", self.inputs, outputs, self.tensors)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=self.ir)


@dataclasses.dataclass
class Stack:
    """A stack of PyTorch's, its model, and what goes in."""

    module: Any  # of torch.nn
    model: Any  # of onnx
    feed: dict[str, Array]
    batch_first: bool
    L: int
    N: int
    lengths: Array | None
    said: str  # what was drawn

    @property
    def kind(self) -> str:
        return type(self.module).__name__

    @property
    def D(self) -> int:  # noqa: N802 # the field's name
        return 2 if self.module.bidirectional else 1

    @property
    def operators(self) -> list[Any]:
        return [node for node in self.model.graph.node if node.op_type in KINDS]

    def expected(self, module: Any, x: Array) -> list[Array]:
        """Run a module of PyTorch; give the output and the final states, as the model does."""
        hx = [torch.from_numpy(self.feed[s]) for s in ("h_0", "c_0") if s in self.feed]
        states = tuple(hx) if len(hx) == 2 else hx[0] if hx else None
        given: Any = torch.from_numpy(x)
        if self.lengths is not None:
            lengths = torch.from_numpy(self.lengths).long()
            given = pack_padded_sequence(given, lengths, enforce_sorted=False)
        with torch.no_grad():
            output, last = module(given, states)
        if self.lengths is not None:
            output = pad_packed_sequence(output, total_length=self.L)[0]
        return [output.numpy(), *(s.numpy() for s in (last if isinstance(last, tuple) else [last]))]


def module_of(
    rng: RNG, kind: str, H_in: int, H_out: int, layers: int, D: int, bias: bool = True
) -> Any:
    options = {"nonlinearity": str(rng.choice(["tanh", "relu"]))} if kind == "RNN" else {}
    module = getattr(nn, kind)(H_in, H_out, layers, bias=bias, bidirectional=D == 2, **options)
    with torch.no_grad():
        for parameter in module.parameters():
            drawn = rng.uniform(-0.5, 0.5, tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(drawn))
    return module.requires_grad_(False)


def floats(rng: RNG, *shape: int) -> Array:
    return rng.standard_normal(shape).astype("f")


def stack(rng: RNG, layers: int | None = None, kind: str | None = None, **fixed: Any) -> Stack:
    """Draw a stack and a model of it."""
    kind = kind or str(rng.choice(KINDS))
    layers = layers or int(rng.choice([1, 1, 2, 2, 3]))
    L, N, I, H = (int(n) for n in rng.permutation([2, 3, 4, 5, 6, 7])[:4])  # noqa: E741
    N = int(fixed.pop("N", rng.choice([N, N, N, 1])))
    D = int(fixed.pop("D", rng.integers(1, 3)))
    opset = int(fixed.pop("opset", rng.choice(OPSETS)))
    ir = int(fixed.pop("ir", rng.choice([3, 4, 6, 7, 8, 9, 10])))
    draft = Draft(rng, opset, ir)
    module = module_of(rng, kind, I, H, layers, D, bias=bool(rng.integers(4)))
    static = bool(fixed.pop("static", rng.integers(2)))
    batch_first = bool(rng.integers(2))
    before = str(rng.choice(["", "", "Identity", "MatMul", "Gather"]))
    starts = str(fixed.pop("starts", rng.choice(["", "zeros", "given", "given", "apart"])))
    long = bool(fixed.pop("lengths", rng.integers(3) == 0))
    dropout = bool(rng.integers(4) == 0)
    assert not fixed

    axes = [N, L] if batch_first else [L, N]
    sizes: list[int | str] = ["batch", "time"] if batch_first else ["time", "batch"]
    if static:
        sizes = [*axes]
    if before == "Gather":
        ids = rng.integers(0, 11, axes)
        x = draft.op("Gather", draft.constant(floats(rng, 11, I)), draft.input(ids, sizes, "input"))
    elif before == "MatMul":
        x = draft.input(floats(rng, *axes, I + 1), [*sizes, I + 1], "input")
        x = draft.op("MatMul", x, draft.constant(floats(rng, I + 1, I)))
    else:
        x = draft.input(floats(rng, *axes, I), [*sizes, I], "input")
        x = draft.op("Identity", x) if before else x
    if batch_first:
        x = draft.op("Transpose", x, perm=[1, 0, 2])
    if not (before or batch_first):  # a graph gives what it makes, not what it is given
        draft.outputs.append(draft.op("Identity", x))
    else:
        draft.outputs.append(x)

    lengths, lens = None, ""
    if long:
        lengths = rng.integers(1, L + 1, N).astype(np.int32)
        if rng.integers(2):
            lens = draft.input(lengths, [N if static else "batch"], "lengths")
        else:
            given = draft.input(lengths.astype(np.int64), [N if static else "batch"], "lengths")
            lens = draft.op("Cast", given, to=TensorProto.INT32)
    initial = starting(draft, starts, kind, layers, D, N, H, static)

    shared: dict[bytes, str] = {}
    last: list[list[str]] = []
    for k, [arrays] in enumerate(to_layout("onnx", kind, module.state_dict())):
        names = []
        for name in "WRB":
            if name not in arrays:
                names.append("")
                continue
            key = name.encode() + arrays[name].tobytes()
            shared[key] = shared.get(key) or draft.folded(arrays[name])
            names.append(shared[key])
        inputs = [x, *names, lens, *initial[k]]
        while not inputs[-1]:
            inputs.pop()
        y, *finals = draft.op(kind, *inputs, outputs=3 if kind == "LSTM" else 2,
                              **attributes(rng, opset, module, D, H))  # fmt: skip
        last.append(finals)
        if k == layers - 1:
            draft.outputs += [y, *(name for names in zip(*last, strict=True) for name in names)]
        x = between(draft, y, L, N, D, H, static)
        if dropout and k < layers - 1:
            x = draft.op("Dropout", x)
    if batch_first:
        x = draft.op("Transpose", x, perm=[1, 0, 2])
    if rng.integers(2):
        draft.op("MatMul", x, draft.constant(floats(rng, D * H, 2)))
    if rng.integers(2):
        draft.op("Concat", *(finals[0] for finals in last), axis=0)
    said = (
        f"{kind}, {layers} layers, {D} directions, opset {opset}, IR {ir}, starts {starts!r}, "
        f"before {before!r}, static {static}, batch_first {batch_first}, lengths {long}"
    )
    return Stack(module, draft.model(), draft.feed, batch_first, L, N, lengths, said)


def attributes(rng: RNG, opset: int, module: Any, D: int, H: int) -> dict[str, Any]:
    """Draw which attributes are written out, of those that have a default."""
    kind = type(module).__name__
    found: dict[str, Any] = {"hidden_size": H}
    if D == 2 or rng.integers(2):
        found["direction"] = "bidirectional" if D == 2 else "forward"
    if kind == "GRU":
        found["linear_before_reset"] = 1
    if kind == "LSTM" and rng.integers(2):
        found["input_forget"] = 0
    if opset >= 14 and rng.integers(2):
        found["layout"] = 0
    usual = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
    names = usual[kind]
    if kind == "RNN":
        names = [module.nonlinearity.capitalize()]
    elif rng.integers(3) == 0:
        names = [name.lower() for name in names]
    if names != usual[kind] or rng.integers(2):
        found["activations"] = names * D
    return found


def starting(
    draft: Draft, way: str, kind: str, layers: int, D: int, N: int, H: int, static: bool
) -> list[list[str]]:
    """Make the initial states of each layer."""
    rng = draft.rng
    batch: int | str = N if static else "batch"
    found: list[list[str]] = [[] for _ in range(layers)]
    for s in ("h", "c") if kind == "LSTM" else ("h",):
        if way == "given":
            rows = floats(rng, layers * D, N, H)
            state = draft.input(rows, [layers * D, batch, H], f"{s}_0")
            form = rng.integers(3 if D == 1 else 2)
            if form == 0:
                names = draft.split(state, [D] * layers)
            elif form == 1:
                names = [draft.slice(state, D * k, D * k + D) for k in range(layers)]
            else:
                index = [draft.constant(np.array(k)) for k in range(layers)]
                names = [draft.op("Gather", state, i, axis=0) for i in index]
                names = [draft.unsqueeze(name, 0) for name in names]
        elif way == "apart":
            states = [floats(rng, D, N, H) for _ in range(layers)]
            names = [
                draft.input(array, [D, batch, H], f"{s}_0_l{k}") for k, array in enumerate(states)
            ]
            draft.feed[f"{s}_0"] = np.concatenate(states)
        elif way == "zeros":
            names = [zeros(draft, D, N, H) for _ in range(layers)]
        else:
            names = [""] * layers
        for k, name in enumerate(names):
            found[k].append(name)
    return found


def zeros(draft: Draft, D: int, N: int, H: int) -> str:
    """Make a state of zeros, of which the size of the batch may come from the input."""
    way = draft.rng.integers(4)
    if way < 2 or draft.opset < 9:
        return draft.constant(np.zeros((D, N, H), "f"))
    first = draft.outputs[0]  # (L, N, H_in)
    batch = draft.op("Gather", draft.op("Shape", first), draft.ints(1), axis=0)
    shape = draft.op("Concat", draft.ints(D), batch, draft.ints(H), axis=0)
    if way == 2:
        return str(draft.op("ConstantOfShape", shape))
    return str(draft.op("Expand", draft.constant(np.zeros((1, 1, 1), "f")), shape))


def between(draft: Draft, y: str, L: int, N: int, D: int, H: int, static: bool) -> str:
    """Bring (L, D, N, H) into the form (L, N, D * H)."""
    way = draft.rng.integers(6)
    if D == 1 and way < 2:
        return draft.squeeze(y, 1)
    y = draft.op("Transpose", y, perm=[0, 2, 1, 3])
    if static and way == 2:
        return str(draft.op("Reshape", y, draft.ints(L, N, D * H)))
    if way == 3:
        parts = [draft.op("Gather", draft.op("Shape", y), draft.ints(i), axis=0) for i in range(4)]
        shape = draft.op("Concat", *parts[:2], draft.op("Mul", *parts[2:]), axis=0)
        return str(draft.op("Reshape", y, shape))
    if way == 4:  # in two steps
        y = draft.op("Reshape", y, draft.ints(0, -1, D * H))
    return str(
        draft.op("Reshape", y, draft.ints(0, 0, -1) if way == 5 else draft.ints(0, -1, D * H))
    )


# What is no stack of PyTorch's.

Edit = Callable[[RNG, Stack], None]


@dataclasses.dataclass(frozen=True)
class Alteration:
    """A change that the reader has to notice.

    Attributes
    ----------
    edit : callable
        Changes the model.
    said : str
        What the refusal has to say.
    layers : int
        How many layers the stack has at least.
    fixed : dict
        What else is not drawn.
    """

    edit: Edit
    said: str
    layers: int = 1
    fixed: dict[str, Any] = dataclasses.field(default_factory=dict)


def attribute(node: Any, name: str, value: Any) -> None:
    kept = [a for a in node.attribute if a.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute(name, value)])


def put(node: Any, index: int, name: str) -> None:
    """Make a tensor an input."""
    while len(node.input) <= index:
        node.input.append("")
    node.input[index] = name


def store(model: Any, array: Array, name: str = "stored") -> str:
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    if model.ir_version < 4:
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        model.graph.input.append(helper.make_tensor_value_info(name, dtype, array.shape))
    return name


def insert(model: Any, before: Any, operator: str, *inputs: str, **attributes: Any) -> str:
    """Put an operator before another one; give the name of what it makes."""
    name = f"inserted{len(model.graph.node)}"
    index = list(model.graph.node).index(before)
    model.graph.node.insert(index, helper.make_node(operator, list(inputs), [name], **attributes))
    return name


def upper(rng: RNG, it: Stack) -> tuple[int, Any]:
    """Pick one of the operators above the first."""
    k = int(rng.integers(1, len(it.operators)))
    return k, it.operators[k]


def passing(
    operator: str, *more: Any, opset: int = 7, static: bool = False, **attributes: Any
) -> Alteration:
    """Send what goes from a layer to the next through an operator."""

    def edit(rng: RNG, it: Stack) -> None:
        _, node = upper(rng, it)
        width = it.D * it.module.hidden_size
        others = [
            store(it.model, np.asarray(m(rng, width) if callable(m) else m), f"stored{i}")
            for i, m in enumerate(more)
        ]
        put(node, 0, insert(it.model, node, operator, node.input[0], *others, **attributes))

    said = rf"X of \w+ operator \d should be Y of .* got .*\b{operator}"
    return Alteration(edit, said, 2, {"opset": opset, "static": static})


def reading(index: int, output: int, said: str, **fixed: Any) -> Alteration:
    """Let an operator read another output of the one below."""

    def edit(rng: RNG, it: Stack) -> None:
        k, node = upper(rng, it)
        if index > 4:  # the other layers keep starting from zero
            others = [n for n in range(5, len(node.input)) if n != index]
            for n in others:
                node.input[n] = ""
        put(node, index, it.operators[k - 1].output[output])

    return Alteration(edit, said, 2, fixed)


def setting(name: str, value: Any, said: str, **fixed: Any) -> Alteration:
    """Set an attribute of every operator."""

    def edit(rng: RNG, it: Stack) -> None:
        for node in it.operators:
            given = value(it, node) if callable(value) else value
            attribute(node, name, given)

    return Alteration(edit, said, fixed=fixed)


def exchange(rng: RNG, it: Stack) -> None:
    """Let a layer run along the batch."""
    _, node = upper(rng, it)
    put(node, 0, insert(it.model, node, "Transpose", node.input[0], perm=[1, 0, 2]))


def mix(rng: RNG, it: Stack) -> None:
    """Reshape (L, D, N, H) without a transposition."""
    k, node = upper(rng, it)
    shape = store(it.model, np.array([it.L, it.N, 2 * it.module.hidden_size]))
    put(node, 0, insert(it.model, node, "Reshape", it.operators[k - 1].output[0], shape))


def parallel(rng: RNG, it: Stack) -> None:
    """Let two operators read the same."""
    k, node = upper(rng, it)
    put(node, 0, it.operators[k - 1].input[0])


def same_again(rng: RNG, it: Stack) -> None:
    """Add an operator that stands alone."""
    node = it.operators[0]
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.output[:] = [f"{name}_again" for name in node.output]
    it.model.graph.node.append(copy)


def skip(rng: RNG, it: Stack) -> None:
    """Add what goes into a layer to what comes out."""
    k, node = upper(rng, it)
    if k == 1:
        put(node, 0, insert(it.model, node, "Add", node.input[0], node.input[0]))
    else:
        put(node, 0, insert(it.model, node, "Add", node.input[0], it.operators[k - 1].input[0]))


def learned(rng: RNG, it: Stack) -> None:
    """Start from numbers that are stored, in every layer or in one."""
    some = it.operators[: int(rng.integers(1, len(it.operators) + 1))]
    state = floats(rng, it.D, it.N, it.module.hidden_size)
    name = store(it.model, state)
    way = rng.integers(4)
    if way == 1:
        name = insert(it.model, it.model.graph.node[0], "Identity", name)
    if way == 2:
        value = numpy_helper.from_array(state)
        name = insert(it.model, it.model.graph.node[0], "Constant", value=value)
    for node in some:
        if way == 3 and it.model.opset_import[0].version >= 8:
            one = store(it.model, state[:, :1], f"one{node.output[0]}")
            shape = insert(it.model, node, "Shape", name)
            put(node, 5, insert(it.model, node, "Expand", one, shape))
        else:
            put(node, 5, name)
        if it.kind == "LSTM":
            put(node, 6, name)


def computed_start(rng: RNG, it: Stack) -> None:
    for node in it.operators:
        put(node, 5, insert(it.model, node, "Tanh", node.input[5]))


def rows_in_another_order(rng: RNG, it: Stack) -> None:
    first, *_, last = it.operators
    first.input[5], last.input[5] = last.input[5], first.input[5]


def exchanged_start(rng: RNG, it: Stack) -> None:
    """Take the directions of the state for the batch, which is as large."""
    for node in it.operators:
        put(node, 5, insert(it.model, node, "Transpose", node.input[5], perm=[1, 0, 2]))


def rows_twice(rng: RNG, it: Stack) -> None:
    for node in it.operators:
        node.input[5] = it.operators[0].input[5]


def only_some_given(rng: RNG, it: Stack) -> None:
    node = it.operators[int(rng.integers(len(it.operators)))]
    for index in range(5, len(node.input)):
        node.input[index] = ""


def only_h_given(rng: RNG, it: Stack) -> None:
    for node in it.operators:
        del node.input[6:]


def c_for_h(rng: RNG, it: Stack) -> None:
    for node in it.operators:
        node.input[5], node.input[6] = node.input[6], node.input[5]


def h_for_both(rng: RNG, it: Stack) -> None:
    for node in it.operators:
        node.input[6] = node.input[5]


def constant_lengths(rng: RNG, it: Stack) -> None:
    name = store(it.model, np.full(it.N, it.L - 1, np.int32))
    for node in it.operators:
        put(node, 4, name)


def computed_lengths(rng: RNG, it: Stack) -> None:
    for node in it.operators:
        put(node, 4, insert(it.model, node, "Abs", node.input[4]))


def lengths_of_one_layer(rng: RNG, it: Stack) -> None:
    _, node = upper(rng, it)
    node.input[4] = ""


def computed_weights(rng: RNG, it: Stack) -> None:
    node = it.operators[int(rng.integers(len(it.operators)))]
    index = int(rng.integers(1, 3))
    put(node, index, insert(it.model, node, "Abs", node.input[index]))


def overridable(rng: RNG, it: Stack) -> None:
    """Let the caller change a weight."""
    node = it.operators[0]
    array = to_layout("onnx", it.kind, it.module.state_dict())[0][0]["R"]
    put(node, 2, store(it.model, array, "W_of_the_caller"))
    given = helper.make_tensor_value_info("W_of_the_caller", FLOAT, array.shape)
    it.model.graph.input.append(given)


def sparse(rng: RNG, it: Stack) -> None:
    array = to_layout("onnx", it.kind, it.module.state_dict())[0][0]["R"]
    values = numpy_helper.from_array(array.ravel(), "sparse")
    indices = numpy_helper.from_array(np.arange(array.size), "indices")
    tensor = helper.make_sparse_tensor(values, indices, array.shape)
    it.model.graph.sparse_initializer.append(tensor)
    put(it.operators[0], 2, "sparse")


def quantised(rng: RNG, it: Stack) -> None:
    array = to_layout("onnx", it.kind, it.module.state_dict())[0][0]["R"]
    values = store(it.model, (array * 100).astype(np.int8), "values")
    scale = store(it.model, np.array(0.01, "f"), "scale")
    node = it.operators[0]
    put(node, 2, insert(it.model, node, "DequantizeLinear", values, scale))


def short_bias(rng: RNG, it: Stack) -> None:
    rows = to_layout("onnx", it.kind, it.module.state_dict())[0][0]["R"].shape[1]
    put(it.operators[0], 3, store(it.model, floats(rng, it.D, rows)))


def wide_weights(rng: RNG, it: Stack) -> None:
    k, node = upper(rng, it)
    array = to_layout("onnx", it.kind, it.module.state_dict())[k][0]["W"]
    put(node, 1, store(it.model, np.concatenate([array, array], axis=2)))


def wide_input(rng: RNG, it: Stack) -> None:
    array = to_layout("onnx", it.kind, it.module.state_dict())[0][0]["W"]
    put(it.operators[0], 1, store(it.model, np.concatenate([array, array], axis=2)))


def half_bias(rng: RNG, it: Stack) -> None:
    rows = to_layout("onnx", it.kind, it.module.state_dict())[0][0]["R"].shape[1]
    put(it.operators[0], 3, store(it.model, floats(rng, it.D, 2 * rows).astype("d")))


def peepholes(rng: RNG, it: Stack) -> None:
    name = store(it.model, floats(rng, it.D, 3 * it.module.hidden_size))
    for node in it.operators:
        put(node, 7, name)


def another_kind(rng: RNG, it: Stack) -> None:
    _, node = upper(rng, it)
    node.op_type = KINDS[KINDS.index(it.kind) - 1]
    del node.input[6:], node.output[2:]


def of_a_runtime(rng: RNG, it: Stack) -> None:
    node = it.operators[-1]
    node.op_type, node.domain = f"DynamicQuantize{it.kind}", "com.microsoft"
    it.model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def of_somebody(rng: RNG, it: Stack) -> None:
    it.operators[-1].domain = "com.example"
    it.model.opset_import.append(helper.make_opsetid("com.example", 1))


def in_a_branch(rng: RNG, it: Stack) -> None:
    """Put the last operator into both branches of an If."""
    node = it.operators[-1]
    graph = it.model.graph
    index = list(graph.node).index(node)
    branches = []
    for name in ("then", "else"):
        inner = onnx.NodeProto()
        inner.CopyFrom(node)
        inner.output[:] = [f"{output}_{name}" for output in node.output]
        outputs = [helper.make_tensor_value_info(o, FLOAT, None) for o in inner.output]
        branches.append(helper.make_graph([inner], name, [], outputs))
    condition = store(it.model, np.array(True), "condition")
    graph.node.insert(
        index,
        helper.make_node(
            *("If", [condition], list(node.output)),
            then_branch=branches[0],
            else_branch=branches[1],
        ),
    )
    graph.node.remove(node)


def made_twice(rng: RNG, it: Stack) -> None:
    node = it.operators[-1]
    it.model.graph.node.append(helper.make_node("Identity", [node.output[0]], [node.input[1]]))


def backwards(rng: RNG, it: Stack) -> None:
    nodes = list(it.model.graph.node)
    del it.model.graph.node[:]
    it.model.graph.node.extend(nodes[::-1])


def other_opset(rng: RNG, it: Stack) -> None:
    it.model.opset_import[0].version = int(rng.choice([1, 6, 99]))


def mixed(it: Stack, node: Any) -> Any:
    if it.kind == "RNN":
        return ["Tanh", "Relu"]
    return ["Sigmoid", "Tanh", "Relu"][: 2 if it.kind == "GRU" else 3] * (it.D - 1) + [
        "HardSigmoid", "Tanh", "Tanh"
    ][: 2 if it.kind == "GRU" else 3]  # fmt: skip # one direction after the other


def other_output(rng: RNG, it: Stack) -> None:
    node = it.operators[0]
    node.output[:] = [*node.output, *(f"more{i}" for i in range(4 - len(node.output)))]


GIVEN, APART, LSTM, GRU = (
    {"starts": "given"},
    {"starts": "apart"},
    {"kind": "LSTM"},
    {"kind": "GRU"},
)
EDITS: dict[str, Alteration] = {
    "time and batch exchanged": Alteration(
        exchange, r"X of \w+ operator \d should be Y of .*\(L, N, .* got Y of .* axes \(N, L, ", 2,
        {"N": 8},
    ),
    "directions and batch mixed": Alteration(
        mix, r"X of \w+ operator \d should be Y .* got the result of 'Reshape'", 2,
        {"D": 2, "N": 3},
    ),
    "two on one input": Alteration(parallel, r"X of \w+ operator \d should be Y of .* got ", 2),
    "one that stands alone": Alteration(same_again, r"X of \w+ operator \d should be Y of .* got "),
    "a sum with the input": Alteration(skip, r"X of .* got the result of 'Add'", 2),
    "a sum": passing("Add", lambda rng, n: floats(rng, n)),
    "a product": passing("Mul", lambda rng, n: floats(rng, n)),
    "an activation": passing("Relu"),
    "a softmax": passing("Softmax"),
    "a matrix": passing("MatMul", lambda rng, n: floats(rng, n, n)),
    "a normalisation": passing(
        "LayerNormalization", lambda rng, n: floats(rng, n), lambda rng, n: floats(rng, n), opset=17
    ),
    "dropout that is on": passing(
        "Dropout", np.array(0.5, "f"), np.array(True), opset=13
    ),
    "a slice of the time": passing(
        "Slice", np.array([0]), np.array([1]), np.array([0]), opset=13, static=True
    ),
    "at most so many steps": passing(
        "Slice", np.array([0]), np.array([5000]), np.array([0]), opset=13
    ),
    "time turned round": passing(
        "Slice", np.array([-1]), np.array([-5000]), np.array([0]), np.array([-1]), opset=13
    ),
    "features in another order": passing(
        "Gather", lambda rng, n: np.arange(n)[::-1].copy(), opset=13, axis=2
    ),
    "reads the final state": reading(0, 1, r"X of \w+ operator \d should be .* got Y_h of"),
    "starts from the final state": reading(
        5, 1, r"initial_h of \w+ operator \d should be zero or .* got Y_h of", starts="zeros"
    ),
    "starts from the final cell": reading(
        6, 2, r"initial_c of LSTM operator \d should be zero or .* got Y_c of",
        starts="", kind="LSTM",
    ),
    "starts from what was learned": Alteration(
        learned, "initial_h of .* should be zero or an input .* got (a stored tensor|the result)",
        fixed={"starts": ""},
    ),
    "starts from what is computed": Alteration(
        computed_start, "initial_h of .* should be zero or an input .* got the result of 'Tanh'",
        fixed=GIVEN,
    ),
    "rows in another order": Alteration(
        rows_in_another_order, "initial_h of all layers .* rows of one input in their order", 2,
        GIVEN,
    ),
    "directions and batch of a start exchanged": Alteration(
        exchanged_start, r"initial_h of .* got input 'h_0.* axes \(axis 1, axis 0, axis 2\)", 1,
        {"starts": "apart", "D": 2, "N": 2, "static": True},
    ),
    "the same rows for all": Alteration(rows_twice, "initial_h of all layers .* rows", 2, GIVEN),
    "the same state for all": Alteration(rows_twice, "initial_h of all layers .* input", 2, APART),
    "some layers from zero": Alteration(only_some_given, "initial_h of all layers", 2, GIVEN),
    "only h": Alteration(
        only_h_given, "initial states of .* all zero or all given", 1, GIVEN | LSTM
    ),
    "c for h": Alteration(c_for_h, "initial states of .* h before c", 1, GIVEN | LSTM),
    "inputs of the layers in another order": Alteration(
        rows_in_another_order, "initial_h of all layers .* input for each in their order", 2, APART
    ),
    "h as c": Alteration(h_for_both, "initial states of .* each as an input", 1, GIVEN | LSTM),
    "constant lengths": Alteration(constant_lengths, "sequence_lens of .* got a stored tensor"),
    "computed lengths": Alteration(
        computed_lengths, "sequence_lens of .* got the result of 'Abs'", 1, {"lengths": True}
    ),
    "lengths of one layer": Alteration(
        lengths_of_one_layer, "sequence_lens of .* should be as in the operator before", 2,
        {"lengths": True},
    ),
    "weights that are computed": Alteration(
        computed_weights, "[WR] of .* should be stored in the model, got the result of 'Abs'"
    ),
    "weights of the caller": Alteration(
        overridable, "R of .* should be stored in the model, got input 'W_of_the_caller'",
        fixed={"ir": 8},
    ),
    "sparse weights": Alteration(sparse, "R of .* should be stored .* got a sparse tensor"),
    "quantised weights": Alteration(
        quantised, "R of .* should be stored .* got the result of 'DequantizeLinear'",
        fixed={"opset": 13},
    ),
    "half a bias": Alteration(short_bias, "B of .* should have shape"),
    "weights that are too wide": Alteration(wide_weights, r"W of .* should have shape", 2),
    "an input that is too narrow": Alteration(wide_input, "X of .* of which the last has the"),
    "two dtypes": Alteration(half_bias, "one floating-point dtype, got float32, float64"),
    "peepholes": Alteration(peepholes, "peepholes of ONNX LSTM should be False", fixed=LSTM),
    "two kinds": Alteration(another_kind, "operators of one kind, RNN, GRU or LSTM, got", 2),
    "an operator of a runtime": Alteration(of_a_runtime, "Dynamic.* domain 'com.microsoft'"),
    "an operator of somebody": Alteration(of_somebody, "operators .* domain 'com.example'"),
    "an operator in a branch": Alteration(in_a_branch, "main graph, got .* inside 'If'"),
    "a name twice": Alteration(made_twice, "one tensor, got two"),
    "operators before their inputs": Alteration(backwards, "should be made before it"),
    "another opset": Alteration(other_opset, "one opset from 7 to .*, got"),
    "too many outputs": Alteration(other_output, "at most .* outputs, got"),
    "reverse": setting("direction", "reverse", "direction of .* flip input and output", D=1),
    "another direction": setting("direction", "both", "direction of .* got 'both'"),
    "two directions that are not there": setting(
        "direction", "bidirectional", "(W|activations) of .* should", D=1
    ),
    "one direction of two": setting("direction", "forward", "(W|activations) of .* should", D=2),
    "hidden_size": setting(
        "hidden_size", lambda it, node: it.module.hidden_size + 1, "W of .* with hidden_size="
    ),
    "clip": setting("clip", 0.5, "clip of ONNX .* should be None, got 0.5"),
    "input_forget": setting("input_forget", 1, "input_forget of ONNX LSTM should be 0", **LSTM),
    "the other GRU": setting(
        "linear_before_reset", 0, "linear_before_reset of ONNX GRU should be 1, got 0", **GRU
    ),
    "other activations": setting("activations", mixed, "activations of .* should be .* got", D=2),
    "activation_alpha": setting("activation_alpha", [0.5], "activation_alpha of .* left out"),
    "activation_beta": setting("activation_beta", [0.5], "activation_beta of .* left out"),
    "an attribute of another type": setting("hidden_size", 3.0, "attributes of .* 'hidden_size'"),
    "an attribute that is not there": setting("zoneout", 0.5, "attributes of .* got 'zoneout'"),
    "a layout that is not there": setting("layout", 2, "layout of .* 0 or 1, got 2", opset=14),
    "the batch first, unsaid to the next": Alteration(
        lambda rng, it: attribute(upper(rng, it)[1], "layout", 1),
        r"X of \w+ operator \d should be Y of .* axes \(N, L, .* got Y of .* axes \(L, N, ", 2,
        {"opset": 22, "N": 8, "starts": ""},
    ),
}  # fmt: skip # as few lines as it takes


def altered(rng: RNG, name: str) -> Stack:
    """Draw a stack and make something else of it."""
    change = EDITS[name]
    layers = max(change.layers, int(rng.choice([1, 2, 3])))
    drawn = stack(rng, layers, **change.fixed)
    change.edit(rng, drawn)
    drawn.said += f"; {name}"
    return drawn


def word(name: str) -> re.Pattern[str]:
    """Give what the refusal of an alteration has to say."""
    return re.compile(EDITS[name].said, re.DOTALL)

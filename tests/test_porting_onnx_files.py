"""What the reader of ONNX models says, and the ways of writing one that it follows."""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.onnx_models import (
    Array,
    Draft,
    Stack,
    attribute,
    floats,
    in_a_branch,
    insert,
    module_of,
    put,
    store,
)
from tests.test_onnx_reader import accepted, outside, refusal, refused
from unrolled.porting import _onnx_graph, onnx_file, to_layout
from unrolled.porting.onnx_file import onnx_bytes, read_onnx

L, N, I, H = 5, 3, 4, 7  # noqa: E741 # its name in the libraries
Way = Callable[[Draft, str], str]
Rows = Callable[[Draft, str], list[str]]


def squeezed(draft: Draft, y: str) -> str:
    return draft.squeeze(y, 1)


def side_by_side(draft: Draft, y: str) -> str:
    y = draft.op("Transpose", y, perm=[0, 2, 1, 3])
    return str(draft.op("Reshape", y, draft.tensor(np.array([0, 0, -1]))))


def plain(
    kind: str = "GRU",
    layers: int = 2,
    D: int = 1,
    opset: int = 17,
    N: int = N,
    sizes: list[int | str] | None = None,
    before: Way | None = None,
    between: Way | None = None,
    rows: Rows | None = None,
    lengths: bool = False,
    weight: Callable[[Draft, Array], str] = Draft.tensor,
) -> Stack:
    """Draw a stack that has nothing else in its model."""
    rng = np.random.default_rng(0)
    draft = Draft(rng, opset, 8)
    module = module_of(rng, kind, I, H, layers, D)
    sizes = sizes or [L, N]
    x = draft.input(floats(rng, L, N, I), [*sizes, I], "input")
    x = before(draft, x) if before else draft.op("Identity", x)
    draft.outputs.append(x)
    lens = np.array([5, 2, 4], np.int32)
    if lengths:
        draft.input(lens, [N], "lengths")
    starts: list[list[str]] = [[] for _ in range(layers)]
    for s in ("h_0", "c_0")[: 1 + (kind == "LSTM")] if rows else ():
        draft.input(floats(rng, layers * D, N, H), [layers * D, N, H], s)
        for found, name in zip(starts, rows(draft, s) if rows else [], strict=True):
            found.append(name)
    more: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
    if kind == "RNN":
        more["activations"] = [module.nonlinearity.capitalize()] * D
    more |= {"hidden_size": H, "outputs": 2 + (kind == "LSTM")}
    if D == 2:
        more["direction"] = "bidirectional"
    last = []
    for k, [arrays] in enumerate(to_layout("onnx", kind, module.state_dict())):
        weights = [weight(draft, arrays[name]) for name in "WRB"]
        given = [x, *weights, "lengths" if lengths else "", *starts[k]]
        y, *finals = draft.op(kind, *given, **more)
        last.append(finals)
        if k < layers - 1:
            x = (between or (side_by_side if D == 2 else squeezed))(draft, y)
    draft.outputs += [y, *(name for names in zip(*last, strict=True) for name in names)]
    lens_or_none = lens if lengths else None
    return Stack(module, draft.model(), draft.feed, False, L, N, lens_or_none, kind)


# What is refused, and in which words.

Edit = Callable[[Stack], object]
END = 2**63 - 1
NEWEST = onnx.defs.onnx_opset_version()


def several(*edits: Edit) -> Edit:
    return lambda it: [edit(it) for edit in edits]


def version(number: int) -> Edit:
    return lambda it: setattr(it.model.opset_import[0], "version", number)


def also(domain: str, number: int = 1) -> Edit:
    return lambda it: it.model.opset_import.append(helper.make_opsetid(domain, number))


def renamed(k: int, operator: str, domain: str = "") -> Edit:
    def edit(it: Stack) -> None:
        node = it.operators[k]
        node.op_type, node.domain = operator, domain

    return several(edit, also(domain)) if domain else edit


def set_to(name: str, value: Any, *which: int) -> Edit:
    """Set an attribute of all operators, or of some."""

    def edit(it: Stack) -> None:
        for k, node in enumerate(it.operators):
            if k in (which or (k,)):
                attribute(node, name, value)

    return edit


def without(k: int, index: int) -> Edit:
    return lambda it: it.operators[k].input.__setitem__(index, "")


def through(k: int, index: int, operator: str, *arrays: Any, **attributes: Any) -> Edit:
    """Send an input of an operator through another one."""

    def edit(it: Stack) -> None:
        node = it.operators[k]
        names = [store(it.model, np.asarray(a), f"a{k}{index}{i}") for i, a in enumerate(arrays)]
        given = node.input[index] if index < len(node.input) and node.input[index] else "input"
        put(node, index, insert(it.model, node, operator, given, *names, **attributes))

    return edit


def replaced(k: int, index: int, array: Any) -> Edit:
    def edit(it: Stack) -> None:
        put(it.operators[k], index, store(it.model, np.asarray(array), f"stored{k}{index}"))

    return edit


def in_place_of(k: int, index: int, name: str) -> Edit:
    return lambda it: put(it.operators[k], index, name)


def no_outputs(it: Stack) -> None:
    """Let the first operator compute nothing, and the second stand on the input."""
    graph, below = it.model.graph, it.operators[0]
    gone = {*below.output}
    del below.output[:]
    for node in [node for node in graph.node if gone & {*node.input}]:
        gone |= {*node.output}
        graph.node.remove(node)
    for output in [output for output in graph.output if output.name in gone]:
        graph.output.remove(output)
    put(it.operators[1], 0, "input")


def more_outputs(it: Stack) -> None:
    it.operators[0].output.append("more")


def empty(it: Stack) -> None:
    """Keep no operator but one that copies the input."""
    del it.model.graph.node[1:]


def many_graphs(it: Stack) -> None:
    """Put an operator in the second of several graphs, inside a graph."""
    node = it.operators[-1]
    graphs = [
        helper.make_graph([helper.make_node("Relu", ["input"], ["r"])], "one", [], []),
        helper.make_graph([node], "two", [], []),
    ]
    inner = helper.make_node("Cases", [], ["y"], domain="com.example", cases=graphs)
    body = helper.make_graph([inner], "body", [], [])
    it.model.graph.node.append(helper.make_node("Loop", ["", ""], [], body=body))
    it.model.graph.node.remove(node)
    also("com.example")(it)


def same_name(it: Stack) -> None:
    node = it.operators[-1]
    it.model.graph.node.append(helper.make_node("Identity", [node.output[0]], [node.input[1]]))


def masked(it: Stack) -> None:
    """Take what a Dropout says it has dropped for what it lets through."""
    node = it.operators[1]
    through(1, 0, "Dropout", np.array(0.5, "f"))(it)
    [dropout] = (n for n in it.model.graph.node if n.op_type == "Dropout")
    dropout.output.append("mask")
    put(node, 0, "mask")


def sizes_exchanged(it: Stack) -> None:
    """Reshape to the sizes of the batch and of the time, which have one name."""
    node = it.operators[1]
    shape = insert(it.model, node, "Shape", node.input[0])
    order = store(it.model, np.array([1, 0, 2]), "order")
    shape = insert(it.model, node, "Gather", shape, order)
    put(node, 0, insert(it.model, node, "Reshape", node.input[0], shape))


def last_first(it: Stack) -> None:
    nodes = [*it.model.graph.node]
    del it.model.graph.node[:]
    it.model.graph.node.extend(nodes[::-1])


def short_bias(it: Stack) -> None:
    replaced(0, 3, np.ones((1, 3 * H), "f"))(it)


def sparse(it: Stack) -> None:
    values = numpy_helper.from_array(np.ones(2, "f"), "few")
    indices = numpy_helper.from_array(np.arange(2), "indices")
    it.model.graph.sparse_initializer.append(
        helper.make_sparse_tensor(values, indices, (1, 3 * H, H))
    )
    put(it.operators[0], 2, "few")


def crossed(index: int) -> Edit:
    """Exchange an input of the first operator and the last."""

    def edit(it: Stack) -> None:
        first, *_, last = it.operators
        first.input[index], last.input[index] = last.input[index], first.input[index]

    return edit


def states(it: Stack) -> None:
    """Exchange h and c."""
    for node in it.operators:
        node.input[5], node.input[6] = node.input[6], node.input[5]


def one_for_both(it: Stack) -> None:
    for node in it.operators:
        node.input[6] = node.input[5]


def only_h(it: Stack) -> None:
    for node in it.operators:
        del node.input[6:]


def input_size(k: int, axis: int, length: int | str | None) -> Edit:
    """Give an axis of an input of the model another size; None: no shape at all."""

    def edit(it: Stack) -> None:
        kind = it.model.graph.input[k].type.tensor_type
        if length is None:
            kind.ClearField("shape")
        elif isinstance(length, str):
            kind.shape.dim[axis].dim_param = length
        else:
            kind.shape.dim[axis].dim_value = length

    return edit


def per_layer(draft: Draft, s: str) -> list[str]:
    """Take a state of each layer as an input of its own, in place of the rows of one."""
    whole = draft.feed[s]
    n = len(whole) // 2
    draft.inputs[:] = [value for value in draft.inputs if value.name != s]
    names = [f"{s}_l{k}" for k in range(2)]
    parts = [whole[n * k : n * k + n] for k in range(2)]
    return [draft.input(part, [*part.shape], name) for part, name in zip(parts, names, strict=True)]


def halves(draft: Draft, s: str) -> list[str]:
    n = len(draft.feed[s]) // 2
    return draft.split(s, [n, n])


REFUSED: dict[str, tuple[Edit, dict[str, Any]]] = {
    "an opset that is too old": (version(6), {}),
    "an opset that is too new": (version(NEWEST + 1), {}),
    "two opsets": (also("ai.onnx", 16), {}),
    "no opset": (lambda it: it.model.ClearField("opset_import"), {}),
    "a branch": (lambda it: in_a_branch(it.model, it), {"kind": "LSTM"}),
    "a graph in several": (many_graphs, {}),
    "an RNN of somebody": (renamed(1, "RNN", "com.example"), {"kind": "RNN"}),
    "a GRU of somebody": (renamed(0, "QuickGru"), {}),
    "an LSTM of somebody": (renamed(1, "cuDNNlstm", "com.example"), {"kind": "LSTM"}),
    "two kinds": (renamed(0, "RNN"), {}),
    "none": (empty, {}),
    "other attributes": (
        several(set_to("activations", ["Relu"], 0), set_to("activations", ["Tanh"], 1)),
        {"kind": "RNN"},
    ),
    "an input too many": (in_place_of(1, 6, "input"), {}),
    "an output too many": (more_outputs, {}),
    "no X": (without(0, 0), {}),
    "no W": (without(1, 1), {}),
    "no R": (lambda it: it.operators[1].input.__delitem__(slice(2, None)), {}),
    "a wider layer": (
        several(
            set_to("hidden_size", 6, 1),
            replaced(1, 1, np.ones((1, 18, 7), "f")),
            replaced(1, 2, np.ones((1, 18, 6), "f")),
            replaced(1, 3, np.ones((1, 36), "f")),
        ),
        {},
    ),
    "another number of directions": (
        several(
            set_to("direction", "forward", 1),
            replaced(1, 1, np.ones((1, 21, 14), "f")),
            replaced(1, 2, np.ones((1, 21, 7), "f")),
            replaced(1, 3, np.ones((1, 42), "f")),
        ),
        {"D": 2},
    ),
    "an attribute of nobody": (set_to("zoneout", 0.5), {}),
    "an attribute of another type": (set_to("hidden_size", 7.0), {"kind": "LSTM"}),
    "an attribute twice": (
        lambda it: it.operators[0].attribute.append(helper.make_attribute("hidden_size", 7)),
        {"kind": "RNN"},
    ),
    "alpha": (set_to("activation_alpha", [0.5], 1), {}),
    "beta": (set_to("activation_beta", [0.25, 0.5], 0), {}),
    "layout": (set_to("layout", 2, 1), {}),
    "a negative layout": (set_to("layout", -1, 0), {}),
    "a layout that is too new": (set_to("layout", 0), {"opset": 13}),
    "reverse": (set_to("direction", "reverse"), {}),
    "a direction of nobody": (set_to("direction", "both", 1), {}),
    "activations of an RNN": (set_to("activations", ["Relu", "Tanh"]), {"kind": "RNN", "D": 2}),
    "activations of a GRU": (set_to("activations", ["sigmoid", "relu"]), {}),
    "activations of an LSTM": (
        set_to("activations", ["Sigmoid", "Tanh", "Tanh"] * 2, 1),
        {"kind": "LSTM"},
    ),
    "W computed": (through(0, 1, "Abs"), {}),
    "R an input": (in_place_of(1, 2, "input"), {}),
    "B computed": (through(1, 3, "Neg"), {}),
    "W zeros": (
        lambda it: put(
            it.operators[1], 1, insert(it.model, it.operators[1], "ConstantOfShape",
                                       store(it.model, np.array([1, 21, 7])))
        ),
        {},
    ),
    "R sparse": (sparse, {}),
    "half of B": (short_bias, {}),
    "a short W": (replaced(0, 1, np.ones((1, 20, 4), "f")), {}),
    "a wide W": (replaced(1, 1, np.ones((2, 28, 15), "f")), {"kind": "LSTM", "D": 2}),
    "a flat W": (replaced(0, 1, np.ones((21, 4), "f")), {}),
    "a wide R": (replaced(0, 2, np.ones((1, 7, 8), "f")), {"kind": "RNN"}),
    "a flat R": (
        several(
            replaced(0, 2, np.ones((21, 7), "f")),
            lambda it: it.operators[0].ClearField("attribute"),
            set_to("linear_before_reset", 1),
        ),
        {},
    ),
    "another hidden_size": (set_to("hidden_size", 6), {}),
    "nothing in it": (
        several(
            set_to("hidden_size", 0),
            replaced(0, 1, np.ones((1, 0, 4), "f")),
            replaced(0, 2, np.ones((1, 0, 0), "f")),
            replaced(0, 3, np.ones((1, 0), "f")),
        ),
        {},
    ),
    "X with two axes": (through(0, 0, "Reshape", [-1, 4]), {}),
    "X with other features, early": (
        several(
            through(0, 0, "Relu"),
            through(0, 0, "Slice", starts=[1], ends=[5], axes=[0]),
            input_size(0, 2, 6),
        ),
        {"opset": 7},
    ),
    "X with other features": (through(0, 0, "Reshape", [5, 4, 3]), {}),
    "X with an axis in two": (through(1, 0, "Reshape", [5, 3, 7, 1]), {}),
    "X from before": (in_place_of(1, 0, "input"), {}),
    "X from before an operator without outputs": (no_outputs, {}),
    "X by the batch": (through(1, 0, "Transpose", perm=[1, 0, 2]), {}),
    "X with layout": (set_to("layout", 1, 1), {}),
    "X after Relu": (through(1, 0, "Relu"), {"D": 2}),
    "X zeros": (through(1, 0, "Shape"), {}),
    "Y_h for Y": (
        lambda it: put(it.operators[1], 0, it.operators[0].output[1]), {"kind": "LSTM"},
    ),
    "Y_c for Y": (
        lambda it: put(it.operators[1], 0, it.operators[0].output[2]), {"kind": "LSTM"},
    ),
    "other lengths": (replaced(0, 4, np.full(3, 4, np.int32)), {}),
    "one other length": (replaced(1, 4, np.array([5, 5, 4], np.int32)), {}),
    "sizes as lengths": (through(0, 4, "Shape"), {}),
    "lengths computed": (through(0, 4, "Abs"), {"lengths": True}),
    "some of the lengths": (
        through(0, 4, "Slice", [1], [3], [0]), {"lengths": True},
    ),
    "lengths of one layer": (without(1, 4), {"lengths": True}),
    "lengths of the other layer": (without(0, 4), {"lengths": True}),
    "a stored start": (replaced(1, 5, np.eye(3, 7, dtype="f")[None]), {}),
    "a start for the other axis": (
        through(0, 5, "Transpose", perm=[1, 0, 2]), {"rows": per_layer, "N": 3},
    ),
    "directions for the batch": (
        through(0, 5, "Transpose", perm=[1, 0, 2]),
        {"rows": per_layer, "D": 2, "N": 2},
    ),
    "a start that is computed": (through(1, 5, "Tanh"), {"rows": halves}),
    "a start of other rows": (in_place_of(0, 5, "h_0"), {"rows": halves}),
    "a start of other features": (input_size(1, 2, 8), {"rows": per_layer}),
    "a start with an axis too many": (
        through(0, 5, "Unsqueeze", [3]), {"rows": per_layer},
    ),
    "a start from within": (
        lambda it: put(it.operators[1], 5, it.operators[0].output[1]), {},
    ),
    "c from within": (
        several(
            in_place_of(1, 5, ""), lambda it: put(it.operators[1], 6, it.operators[0].output[2])
        ),
        {"kind": "LSTM"},
    ),
    "rows in another order": (crossed(5), {"rows": halves}),
    "c in another order": (crossed(6), {"rows": halves, "kind": "LSTM"}),
    "inputs in another order": (crossed(5), {"rows": per_layer}),
    "a start of one layer": (without(0, 5), {"rows": halves}),
    "a start of the other layer": (without(1, 5), {"rows": per_layer}),
    "c before h": (states, {"rows": halves, "kind": "LSTM"}),
    "c before h, apart": (states, {"rows": per_layer, "kind": "LSTM"}),
    "h for c": (one_for_both, {"rows": halves, "kind": "LSTM"}),
    "h without c": (only_h, {"rows": halves, "kind": "LSTM"}),
    "the input as a start": (
        several(in_place_of(0, 5, "input"), input_size(0, 0, 1), input_size(0, 2, 7),
                replaced(0, 1, np.ones((1, 21, 7), "f"))),
        {"layers": 1},
    ),
    "a Slice up to a large number": (
        through(1, 0, "Slice", [0], [5000], [0]),
        {"sizes": ["time", "batch"]},
    ),
    "a Slice of the steps": (through(1, 0, "Slice", [0], [3], [0]), {}),
    "rows of how many nobody knows": (
        input_size(1, 0, "rows"),
        {"rows": lambda d, s: [chain(("Slice", [k], [k + 1], [0]))(d, s) for k in range(2)]},
    ),
    "no rows": (
        through(0, 5, "Slice", [1], [1], [0]),
        {"rows": lambda d, s: [s, s]},
    ),
    "a Slice with an axis too many": (through(1, 0, "Slice", [0], [END], [0, 1]), {}),
    "one name for two sizes": (sizes_exchanged, {"sizes": ["any", "any"]}),
    "a Reshape to nothing": (through(1, 0, "Reshape", [0, 3, 7], allowzero=1), {}),
    "Dropout that is on": (through(1, 0, "Dropout", np.array(0.5, "f"), np.array(True)), {}),
    "the mask of a Dropout": (masked, {}),
    "the type of nobody knows what": (
        several(through(1, 0, "Nobody"), through(1, 0, "Cast", to=TensorProto.FLOAT)),
        {},
    ),
    "a name twice": (same_name, {}),
    "a node before its input": (last_first, {}),
    "spaces": (through(1, 0, "a  b\n"), {}),
    "a name that is long": (through(1, 0, "ab" * 60), {}),
}  # fmt: skip # as few lines as it takes

SAID = {
    "an opset that is too old": (
        f"the file should be an ONNX model of one opset from 7 to {NEWEST}, which the package "
        "onnx knows, got [6]"
    ),
    "an opset that is too new": (
        f"the file should be an ONNX model of one opset from 7 to {NEWEST}, which the package "
        f"onnx knows, got [{NEWEST + 1}]"
    ),
    "two opsets": (
        f"the file should be an ONNX model of one opset from 7 to {NEWEST}, which the package "
        "onnx knows, got [17, 16]"
    ),
    "no opset": (
        f"the file should be an ONNX model of one opset from 7 to {NEWEST}, which the package "
        "onnx knows, got []"
    ),
    "a branch": "the recurrent operators should be in the main graph, got LSTM inside 'If'",
    "a graph in several": (
        "the recurrent operators should be in the main graph, got GRU inside 'Cases'"
    ),
    "an RNN of somebody": (
        "the recurrent operators should be RNN, GRU, LSTM of the standard, got 'RNN' of the "
        "domain 'com.example'"
    ),
    "a GRU of somebody": (
        "the recurrent operators should be RNN, GRU, LSTM of the standard, got 'QuickGru' of "
        "the domain ''"
    ),
    "an LSTM of somebody": (
        "the recurrent operators should be RNN, GRU, LSTM of the standard, got 'cuDNNlstm' of"
        " the domain 'com.example'"
    ),
    "two kinds": (
        "the model should have operators of one kind, RNN, GRU or LSTM, got ['GRU', 'RNN']"
    ),
    "none": (
        "the model should have operators of one kind, RNN, GRU or LSTM, got []; "
        "torch.onnx.export takes an nn.RNN apart unless dynamo=False is given, and its state "
        "dict can be ported as it is"
    ),
    "other attributes": (
        "the RNN operators should have the same attributes, got [('relu', {'clip': None}), "
        "('tanh', {'clip': None})]"
    ),
    "an input too many": (
        "GRU operator 1 should have at most 6 inputs and 2 outputs, got 7 and 2"
    ),
    "an output too many": (
        "GRU operator 0 should have at most 6 inputs and 2 outputs, got 5 and 3"
    ),
    "no X": "GRU operator 0 should have the inputs X, W and R, got no X",
    "no W": "GRU operator 1 should have the inputs X, W and R, got no W",
    "no R": "GRU operator 1 should have the inputs X, W and R, got no R",
    "a wider layer": (
        "direction and hidden_size of GRU operator 1 should be those of the operator before "
        "it, since all layers of a module have the same: 1 directions and 7, got 1 and 6"
    ),
    "another number of directions": (
        "direction and hidden_size of GRU operator 1 should be those of the operator before "
        "it, since all layers of a module have the same: 2 directions and 7, got 1 and 7"
    ),
    "an attribute of nobody": (
        "attributes of GRU operator 0 should be among ['activation_alpha', 'activation_beta',"
        " 'activations', 'clip', 'direction', 'hidden_size', 'layout', "
        "'linear_before_reset'], each once and of its type, got 'zoneout' of type FLOAT"
    ),
    "an attribute of another type": (
        "attributes of LSTM operator 0 should be among ['activation_alpha', "
        "'activation_beta', 'activations', 'clip', 'direction', 'hidden_size', "
        "'input_forget', 'layout'], each once and of its type, got 'hidden_size' of type "
        "FLOAT"
    ),
    "an attribute twice": (
        "attributes of RNN operator 0 should be among ['activation_alpha', 'activation_beta',"
        " 'activations', 'clip', 'direction', 'hidden_size', 'layout'], each once and of its "
        "type, got 'hidden_size' of type INT"
    ),
    "a layout that is too new": (
        "attributes of GRU operator 0 should be among ['activation_alpha', 'activation_beta',"
        " 'activations', 'clip', 'direction', 'hidden_size', 'linear_before_reset'], each "
        "once and of its type, got 'layout' of type INT"
    ),
    "alpha": (
        "activation_alpha of GRU operator 1 should be left out, as tanh, relu and sigmoid "
        "have no parameters, got [0.5]"
    ),
    "beta": (
        "activation_beta of GRU operator 0 should be left out, as tanh, relu and sigmoid have"
        " no parameters, got [0.25, 0.5]"
    ),
    "layout": "layout of GRU operator 1 should be 0 or 1, got 2",
    "a negative layout": "layout of GRU operator 0 should be 0 or 1, got -1",
    "reverse": (
        "direction of GRU operator 0 should be forward or bidirectional, got 'reverse': no "
        "module of torch.nn has that direction alone; set it to forward in the model, and "
        "flip input and output of the ported module along time"
    ),
    "a direction of nobody": (
        "direction of GRU operator 1 should be forward or bidirectional, got 'both'"
    ),
    "activations of an RNN": (
        "activations of RNN operator 0 should be ['Tanh', 'Tanh'], got ['Relu', 'Tanh']"
    ),
    "activations of a GRU": (
        "activations of GRU operator 0 should be ['Sigmoid', 'Tanh'], got ['sigmoid', 'relu']"
    ),
    "activations of an LSTM": (
        "activations of LSTM operator 1 should be ['Sigmoid', 'Tanh', 'Tanh'], got "
        "['Sigmoid', 'Tanh', 'Tanh', 'Sigmoid', 'Tanh', 'Tanh']"
    ),
    "W computed": (
        "W of GRU operator 0 should be stored in the model, got the result of 'Abs' with the "
        "axes (1, axis 1, axis 2)"
    ),
    "R an input": (
        "R of GRU operator 1 should be stored in the model, got input 'input' with the axes "
        "(axis 0, axis 1, axis 2)"
    ),
    "B computed": (
        "B of GRU operator 1 should be stored in the model, got the result of 'Neg' with the "
        "axes (1, axis 1)"
    ),
    "W zeros": "W of GRU operator 1 should be stored in the model, got zeros",
    "R sparse": "R of GRU operator 0 should be stored in the model, got a sparse tensor",
    "half of B": (
        "B of GRU operator 0 should have shape (1, 42), with hidden_size=7, 1 directions and "
        "4 features that come in, got (1, 21)"
    ),
    "a short W": (
        "W of GRU operator 0 should have shape (1, 21, 4), with hidden_size=7, 1 directions "
        "and 4 features that come in, got (1, 20, 4)"
    ),
    "a wide W": (
        "W of LSTM operator 1 should have shape (2, 28, 14), with hidden_size=7, 2 directions"
        " and 14 features that come in, got (2, 28, 15)"
    ),
    "a flat W": (
        "W of GRU operator 0 should have shape (1, 21, 0), with hidden_size=7, 1 directions "
        "and 0 features that come in, got (21, 4)"
    ),
    "a wide R": (
        "R of RNN operator 0 should have shape (1, 7, 7), with hidden_size=7, 1 directions "
        "and 4 features that come in, got (1, 7, 8)"
    ),
    "a flat R": (
        "W of GRU operator 0 should have shape (1, 0, 4), with hidden_size=0, 1 directions "
        "and 4 features that come in, got (1, 21, 4)"
    ),
    "another hidden_size": (
        "W of GRU operator 0 should have shape (1, 18, 4), with hidden_size=6, 1 directions "
        "and 4 features that come in, got (1, 21, 4)"
    ),
    "nothing in it": (
        "W of GRU operator 0 should have shape (1, 0, 4), with hidden_size=0, 1 directions "
        "and 4 features that come in, got (1, 0, 4)"
    ),
    "X with two axes": (
        "X of GRU operator 0 should have three axes, of which the last has the 4 features "
        "that W takes, got input 'input' with the axes (axis 0*axis 1, axis 2)"
    ),
    "X with other features, early": (
        "X of GRU operator 0 should have three axes, of which the last has the 4 features "
        "that W takes, got the result of 'Slice' with the axes (axis 0, axis 1, axis 2)"
    ),
    "X with other features": (
        "X of GRU operator 0 should have three axes, of which the last has the 4 features "
        "that W takes, got the result of 'Reshape' with the axes (axis 0, axis 1, axis 2)"
    ),
    "X with an axis in two": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got Y of GRU "
        "operator 0 with the axes (L, N, H_out, 1)"
    ),
    "X from before": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got input "
        "'input' with the axes (axis 0, axis 1, axis 2)"
    ),
    "X from before an operator without outputs": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got input "
        "'input' with the axes (axis 0, axis 1, axis 2)"
    ),
    "X by the batch": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got Y of GRU "
        "operator 0 with the axes (N, L, H_out)"
    ),
    "X with layout": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (N, L, H_out), got Y of GRU "
        "operator 0 with the axes (L, N, H_out)"
    ),
    "X after Relu": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, D*H_out), got the "
        "result of 'Relu' with the axes (axis 0, axis 1, axis 2)"
    ),
    "X zeros": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got sizes of "
        "tensors"
    ),
    "Y_h for Y": (
        "the operators should be a stack, each on the output of the one before: X of LSTM "
        "operator 1 should be Y of LSTM operator 0 with the axes (L, N, H_out), got Y_h of "
        "LSTM operator 0 with the axes (1, N, H_out)"
    ),
    "Y_c for Y": (
        "the operators should be a stack, each on the output of the one before: X of LSTM "
        "operator 1 should be Y of LSTM operator 0 with the axes (L, N, H_out), got Y_c of "
        "LSTM operator 0 with the axes (1, N, H_out)"
    ),
    "other lengths": (
        "sequence_lens of GRU operator 0 should be an input of the model, or the length of "
        "the input throughout, got a stored tensor of shape (3,)"
    ),
    "one other length": (
        "sequence_lens of GRU operator 1 should be an input of the model, or the length of "
        "the input throughout, got a stored tensor of shape (3,)"
    ),
    "sizes as lengths": (
        "sequence_lens of GRU operator 0 should be an input of the model, or the length of "
        "the input throughout, got sizes of tensors"
    ),
    "lengths computed": (
        "sequence_lens of GRU operator 0 should be an input of the model, or the length of "
        "the input throughout, got the result of 'Abs' with the axes (axis 0)"
    ),
    "some of the lengths": (
        "sequence_lens of GRU operator 0 should be an input of the model, or the length of "
        "the input throughout, got input 'lengths' with the axes (axis 0)"
    ),
    "lengths of one layer": (
        "sequence_lens of GRU operator 1 should be as in the operator before it, 'lengths', "
        "got ''"
    ),
    "lengths of the other layer": (
        "sequence_lens of GRU operator 1 should be as in the operator before it, '', got "
        "'lengths'"
    ),
    "a stored start": (
        "initial_h of GRU operator 1 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got a stored tensor of shape (1, 3, 7)"
    ),
    "a start for the other axis": (
        "initial_h of GRU operator 0 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got input 'h_0_l0' with the axes (axis 1, 1, "
        "axis 2)"
    ),
    "directions for the batch": (
        "initial_h of GRU operator 0 should be zero or an input of the model, with 2 rows of "
        "7, since no state dict holds a start, got input 'h_0_l0' with the axes (axis 1, axis "
        "0, axis 2)"
    ),
    "a start that is computed": (
        "initial_h of GRU operator 1 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got the result of 'Tanh'"
    ),
    "a start of other rows": (
        "initial_h of GRU operator 0 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got input 'h_0' with the axes (axis 0, axis 1,"
        " axis 2)"
    ),
    "a start of other features": (
        "initial_h of GRU operator 0 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got input 'h_0_l0' with the axes (1, axis 1, "
        "axis 2)"
    ),
    "a start with an axis too many": (
        "initial_h of GRU operator 0 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got input 'h_0_l0' with the axes (1, axis 1, "
        "axis 2, 1)"
    ),
    "a start from within": (
        "initial_h of GRU operator 1 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got Y_h of GRU operator 0 with the axes (1, N,"
        " H_out)"
    ),
    "c from within": (
        "initial_c of LSTM operator 1 should be zero or an input of the model, with 1 rows of"
        " 7, since no state dict holds a start, got Y_c of LSTM operator 0 with the axes (1, "
        "N, H_out)"
    ),
    "rows in another order": (
        "initial_h of all layers should be the rows of one input in their order, or an input "
        'for each in their order, got ["input \'h_0\' with the axes (1, axis 1, axis 2)", '
        '"input \'h_0\' with the axes (1, axis 1, axis 2)"], starting at the rows [1, 0]'
    ),
    "c in another order": (
        "initial_c of all layers should be the rows of one input in their order, or an input "
        'for each in their order, got ["input \'c_0\' with the axes (1, axis 1, axis 2)", '
        '"input \'c_0\' with the axes (1, axis 1, axis 2)"], starting at the rows [1, 0]'
    ),
    "inputs in another order": (
        "initial_h of all layers should be the rows of one input in their order, or an input "
        'for each in their order, got ["input \'h_0_l1\' with the axes (1, axis 1, axis 2)", '
        '"input \'h_0_l0\' with the axes (1, axis 1, axis 2)"], starting at the rows [0, 0]'
    ),
    "a start of one layer": (
        "initial_h of all layers should be the rows of one input in their order, or an input "
        'for each in their order, got [\'zeros\', "input \'h_0\' with the axes (1, axis 1, axis '
        '2)"], starting at the rows [1]'
    ),
    "a start of the other layer": (
        "initial_h of all layers should be the rows of one input in their order, or an input "
        'for each in their order, got ["input \'h_0_l0\' with the axes (1, axis 1, axis 2)", '
        "'zeros'], starting at the rows [0]"
    ),
    "c before h": (
        "the initial states of LSTM operator 0 and the operators on it should be all zero or "
        "all given, each as an input of its own, h before c, got [['c_0'], ['h_0']]"
    ),
    "c before h, apart": (
        "the initial states of LSTM operator 0 and the operators on it should be all zero or "
        "all given, each as an input of its own, h before c, got [['c_0_l0', 'c_0_l1'], "
        "['h_0_l0', 'h_0_l1']]"
    ),
    "h for c": (
        "the initial states of LSTM operator 0 and the operators on it should be all zero or "
        "all given, each as an input of its own, h before c, got [['h_0'], ['h_0']]"
    ),
    "h without c": (
        "the initial states of LSTM operator 0 and the operators on it should be all zero or "
        "all given, each as an input of its own, h before c, got [['h_0'], []]"
    ),
    "the input as a start": (
        "the initial states of GRU operator 0 and the operators on it should be all zero or "
        "all given, each as an input of its own, h before c, got [['input']]"
    ),
    "a Slice up to a large number": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the "
        "result of 'Slice'"
    ),
    "a Slice of the steps": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the "
        "result of 'Slice'"
    ),
    "rows of how many nobody knows": (
        "initial_h of GRU operator 0 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got the result of 'Slice' with the axes (axis "
        "0, axis 1, axis 2)"
    ),
    "no rows": (
        "initial_h of GRU operator 0 should be zero or an input of the model, with 1 rows of "
        "7, since no state dict holds a start, got the result of 'Slice' with the axes (axis "
        "0, axis 1, axis 2)"
    ),
    "a Slice with an axis too many": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the "
        "result of 'Slice'"
    ),
    "one name for two sizes": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the "
        "result of 'Reshape' with the axes (axis 0, axis 1, axis 2)"
    ),
    "a Reshape to nothing": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the "
        "result of 'Reshape' with the axes (axis 0, axis 1, axis 2)"
    ),
    "Dropout that is on": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the "
        "result of 'Dropout'"
    ),
    "the mask of a Dropout": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the "
        "result of 'Dropout'"
    ),
    "the type of nobody knows what": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the "
        "result of 'Cast'"
    ),
    "a name twice": "each name in the model should have one tensor, got two 't10'",
    "a node before its input": (
        "the inputs of 'GRU' should be made before it, got 't9', which is not"
    ),
    "spaces": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the result"
        " of 'a b\\n'"
    ),
    "a name that is long": (
        "the operators should be a stack, each on the output of the one before: X of GRU "
        "operator 1 should be Y of GRU operator 0 with the axes (L, N, H_out), got the result"
        " of "
        "'abababababababababababababababababababababababa...abababababababababababababababababababababababab'"
    ),
}  # fmt: skip # as they were cut


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_refused_in_these_words(name: str) -> None:
    edit, options = REFUSED[name]
    drawn = plain(**options)
    edit(drawn)
    assert refused(drawn) == SAID[name]


# The ways of writing one that are followed.


def chain(*steps: tuple[Any, ...]) -> Way:
    """Send a tensor through operators: a name, arrays, and attributes in a dict."""

    def way(draft: Draft, name: str) -> str:
        for operator, *rest in steps:
            more = rest.pop() if rest and isinstance(rest[-1], dict) else {}
            name = draft.op(operator, name, *(draft.tensor(np.asarray(a)) for a in rest), **more)
        return name

    return way


def computed_shape(draft: Draft, y: str) -> str:
    """Reshape to sizes that are taken from tensors one by one."""
    sizes = draft.op("Shape", y)
    time, batch = (draft.op("Gather", sizes, draft.ints(k)) for k in (0, 2))
    wide = draft.op("Mul", draft.tensor(np.array([2])), draft.op("Slice", sizes, *(
        draft.tensor(np.array([n])) for n in (3, 4, 0, 1)
    )))  # fmt: skip # it is one line
    shape = draft.op("Concat", time, batch, wide, axis=0)
    return str(draft.op("Reshape", draft.op("Transpose", y, perm=[0, 2, 1, 3]), shape))


def a_part_of_a_shape(draft: Draft, y: str) -> str:
    first = draft.op("Shape", y, end=1)
    last = draft.op("Shape", y, start=-2)
    return str(draft.op("Reshape", y, draft.op("Concat", first, last, axis=0)))


def shape_of_cast(draft: Draft, y: str) -> str:
    """Take the sizes through other types and ranks."""
    shape = draft.op("Cast", draft.op("Shape", y), to=TensorProto.INT32)
    rows = draft.op("Unsqueeze", shape, draft.tensor(np.array([0])))
    rows = draft.op("Transpose", rows, perm=[1, 0])
    parts = draft.op("Split", rows, draft.tensor(np.array([1, 1, 2])), outputs=3, axis=0)
    shape = draft.op("Concat", parts[0], parts[2], axis=0)
    shape = draft.op("Squeeze", shape, draft.tensor(np.array([1])))
    return str(draft.op("Reshape", y, draft.op("Cast", shape, to=TensorProto.INT64)))


AXIS = {"axis": 1}
OPEN: dict[str, Any] = {"sizes": ["time", "batch"]}
BETWEEN: dict[str, tuple[Way, dict[str, Any]]] = {
    "Squeeze of one of two": (squeezed, {"opset": 11, "N": 1}),
    "Squeeze of one of two, by an input": (squeezed, {"opset": 13, "N": 1}),
    "Squeeze of all": (chain(("Squeeze",)), {}),
    "Squeeze of all, early": (chain(("Squeeze",)), {"opset": 7}),
    "Squeeze from the end": (chain(("Squeeze", [-3])), OPEN),
    "Squeeze of two": (chain(("Unsqueeze", [4]), ("Squeeze", [1, -1])), OPEN),
    "Unsqueeze of two": (chain(("Unsqueeze", [-1, 0]), ("Squeeze", [2, 0, 5])), OPEN),
    "Unsqueeze of two, early": (
        chain(("Unsqueeze", {"axes": [0, -2]}), ("Squeeze", {"axes": [0, 2, 4]})),
        {"opset": 11},
    ),
    "Reshape to numbers": (chain(("Reshape", [L, N, H])), {}),
    "Reshape to zeros": (chain(("Squeeze", [1]), ("Reshape", [0, 0, 0])), OPEN),
    "Reshape to a rest": (chain(("Reshape", [-1, N, H])), {}),
    "Reshape to another rest": (chain(("Reshape", [L, -1, H])), {}),
    "Reshape that allows nothing": (chain(("Reshape", [L, N, -1], {"allowzero": 1})), {}),
    "Reshape there and back": (
        chain(("Reshape", [L * N, H]), ("Reshape", [L, 1, N, H]), ("Squeeze", [1])),
        {},
    ),
    "Reshape of what is open": (
        chain(("Transpose", {"perm": [0, 2, 3, 1]}), ("Reshape", [0, 0, -1])),
        OPEN,
    ),
    "Reshape to sizes": (computed_shape, OPEN | {"D": 2}),
    "Reshape to parts of a shape": (a_part_of_a_shape, OPEN),
    "Reshape to sizes of another type": (shape_of_cast, OPEN),
    "Transpose": (
        chain(
            ("Transpose", {"perm": [1, 2, 3, 0]}),
            ("Squeeze", [0]),
            ("Transpose", {"perm": [2, 0, 1]}),
        ),
        OPEN,
    ),
    "Transpose of all, twice": (chain(("Transpose",), ("Transpose",), ("Squeeze", [1])), OPEN),
    "Gather": (chain(("Gather", 0, AXIS)), OPEN),
    "Gather from the end": (chain(("Gather", 0, {"axis": -3})), OPEN),
    "Gather of the last": (chain(("Gather", -1, AXIS)), OPEN),
    "Gather of every step": (chain(("Gather", [0, 1, 2, 3, 4]), ("Squeeze", [1])), {}),
    "Gather of one": (chain(("Gather", [0], AXIS), ("Squeeze", [1])), OPEN),
    "Slice of all": (chain(("Slice", [0, 0], [END, 1]), ("Squeeze", [1])), OPEN),
    "Slice of all, by steps": (
        chain(("Slice", [0], [2**31 - 1], [2], [1]), ("Squeeze", [1])),
        OPEN,
    ),
    "Slice to the end": (chain(("Slice", [0, 0], [5, 9], [0, 3]), ("Squeeze", [1])), {}),
    "Slice, early": (
        chain(
            ("Slice", {"starts": [0, 0], "ends": [5, 3], "axes": [0, 2]}),
            ("Squeeze", {"axes": [1]}),
        ),
        {"opset": 9},
    ),
    "Slice without axes, early": (
        chain(("Slice", {"starts": [0, 0], "ends": [END, 1]}), ("Squeeze", {"axes": [1]})),
        {"opset": 9},
    ),
    "Split in one": (chain(("Split", [1], AXIS), ("Squeeze", [1])), OPEN),
    "Cast": (chain(("Cast", {"to": 1}), ("Squeeze", [1])), {}),
    "Cast, twice": (chain(("Cast", {"to": 1}), ("Cast", {"to": 1}), ("Squeeze", [1])), {}),
    "Transpose of all": (
        chain(("Transpose",), ("Transpose", {"perm": [3, 2, 1, 0]}), ("Squeeze", [1])),
        OPEN,
    ),
    "Identity": (chain(("Identity",), ("Squeeze", [1])), {}),
    "Dropout": (chain(("Dropout",), ("Squeeze", [1])), {}),
    "Dropout, early": (
        chain(("Dropout", {"ratio": 0.5}), ("Squeeze", {"axes": [1]})),
        {"opset": 7},
    ),
    "Dropout that is off": (
        chain(("Dropout", np.array(0.5, "f"), np.array(False)), ("Squeeze", [1])),
        {},
    ),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_what_lies_between_two_layers_and_changes_nothing_is_followed(name: str) -> None:
    way, options = BETWEEN[name]
    accepted(plain(between=way, **options))


def each(way: Callable[[int], tuple[tuple[Any, ...], ...]], layers: int = 3) -> Rows:
    """Take the rows of each layer by operators that depend on its number."""
    return lambda draft, s: [chain(*way(k))(draft, s) for k in range(layers)]


def in_two_steps(draft: Draft, s: str) -> list[str]:
    first, rest = draft.split(s, [1, 2])
    return [first, *draft.split(rest, [1, 1])]


def from_the_middle(draft: Draft, s: str) -> list[str]:
    """Take rows of an input that has more."""
    rest = chain(("Slice", [1], [3], [0]))(draft, s)
    first = chain(("Gather", [0]))(draft, s)
    return [first, *(chain(("Slice", [k], [k + 1], [0]))(draft, rest) for k in range(2))]


ROWS: dict[str, tuple[Rows, dict[str, Any]]] = {
    "Split in unequal parts": (in_two_steps, {}),
    "Split in unequal parts, early": (in_two_steps, {"opset": 11}),
    "Split in equal parts": (lambda d, s: d.op("Split", s, outputs=3), {"opset": 13}),
    "Split in equal parts, early": (lambda d, s: d.op("Split", s, outputs=3), {"opset": 11}),
    "Split of two": (lambda d, s: d.op("Split", s, outputs=3), {"opset": 7, "D": 2}),
    "Split along an axis": (
        lambda d, s: [
            chain(("Transpose", {"perm": [1, 0, 2]}))(d, part)
            for part in d.op(
                "Split",
                chain(("Transpose", {"perm": [1, 0, 2]}))(d, s),
                d.ints(1, 1, 1),
                outputs=3,
                axis=1,
            )
        ],
        {},
    ),
    "Slice of a Slice": (from_the_middle, {}),
    "Slice": (each(lambda k: (("Slice", [k], [k + 1]),)), {}),
    "Slice of two": (each(lambda k: (("Slice", [2 * k], [2 * k + 2], [-3]),)), {"D": 2}),
    "Slice from the end": (each(lambda k: (("Slice", [k - 3], [k - 2 or END], [0], [1]),)), {}),
    "Slice, early": (each(lambda k: (("Slice", {"starts": [k], "ends": [k + 1]}),)), {"opset": 7}),
    "Slice along an axis, early": (
        each(
            lambda k: (
                ("Transpose", {"perm": [1, 0, 2]}),
                ("Slice", {"starts": [k], "ends": [k + 1], "axes": [1]}),
                ("Transpose", {"perm": [1, 0, 2]}),
            )
        ),
        {"opset": 9},
    ),
    "Gather": (each(lambda k: (("Gather", [k]),)), {}),
    "Gather of a number": (each(lambda k: (("Gather", k), ("Unsqueeze", [0]))), {}),
    "Gather of two": (each(lambda k: (("Gather", [2 * k, 2 * k + 1], {"axis": 0}),)), {"D": 2}),
    "Gather from the end": (each(lambda k: (("Gather", [k - 3], {"axis": -3}),)), {}),
    "Gather along an axis": (
        each(
            lambda k: (
                ("Transpose", {"perm": [1, 0, 2]}),
                ("Gather", k, {"axis": 1}),
                ("Unsqueeze", [0]),
            )
        ),
        {},
    ),
    "Reshape": (
        each(
            lambda k: (
                ("Reshape", [1, 3, 3, 7]),
                ("Gather", k, {"axis": 1}),
                ("Reshape", [1, 0, 7]),
            )
        ),
        {},
    ),
    "all": (lambda d, s: [d.op("Slice", s, d.ints(0), d.ints(1))], {"layers": 1}),
    "all of two": (lambda d, s: [d.op("Identity", s)], {"layers": 1, "D": 2}),
}


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize("name", ROWS)
def test_the_rows_of_a_start_are_followed(name: str, kind: str) -> None:
    rows, options = ROWS[name]
    accepted(plain(kind, **{"layers": 3} | options, rows=rows))


WRONG_ROWS: dict[str, tuple[Rows, dict[str, Any]]] = {
    "Split": (lambda d, s: d.op("Split", s, outputs=3)[::-1], {}),
    "Split with a part twice": (lambda d, s: [*d.split(s, [1, 1, 1])[:2], "t2"], {}),
    "Slice": (each(lambda k: (("Slice", [max(k - 1, 0)], [max(k, 1)]),)), {}),
    "Slice from the end": (each(lambda k: (("Slice", [-1 - k], [-k or END]),)), {}),
    "Gather": (each(lambda k: (("Gather", [(0, 2, 1)[k]]),)), {}),
    "Gather from the end": (each(lambda k: (("Gather", [-1 - k]),)), {}),
    "Gather of two": (each(lambda k: (("Gather", [k, k + 3]),)), {"D": 2}),
    "Gather of two, turned round": (each(lambda k: (("Gather", [2 * k + 1, 2 * k]),)), {"D": 2}),
    "Slice of two": (each(lambda k: (("Slice", [k], [k + 2]),)), {"D": 2}),
    "Slice by steps": (each(lambda k: (("Slice", [k], [k + 4], [0], [3]),)), {"D": 2}),
}  # fmt: skip # as few lines as it takes


@pytest.mark.parametrize("name", WRONG_ROWS)
def test_other_rows_of_a_start_are_refused(name: str) -> None:
    rows, options = WRONG_ROWS[name]
    said = refused(plain(**{"layers": 3} | options, rows=rows))
    assert said.startswith("initial_h of ")


def concatenated(draft: Draft, array: Array) -> str:
    parts = [draft.tensor(part) for part in np.split(array, [2, 5], -1)]
    return str(draft.op("Concat", *parts, axis=array.ndim - 1))


def stored_by(*steps: tuple[Any, ...], change: Callable[[Array], Array]) -> Callable[..., str]:
    """Store an array that is changed, and change it back by operators."""
    return lambda draft, array: chain(*steps)(draft, draft.tensor(change(array)))


def as_numbers(draft: Draft, array: Array) -> str:
    """Store an array as a list of numbers in a node."""
    name = draft.op("Constant", value_floats=[float(x) for x in array.ravel()])
    return chain(("Reshape", [*array.shape]))(draft, name)


def second_output(draft: Draft, array: Array) -> str:
    both = draft.tensor(np.concatenate([array + 1, array]))
    return str(draft.split(both, [len(array), len(array)])[1])


def in_a_node(draft: Draft, array: Array) -> str:
    return str(draft.op("Constant", value=numpy_helper.from_array(array.copy())))


WEIGHTS: dict[str, tuple[Callable[[Draft, Array], str], dict[str, Any]]] = {
    "Constant": (in_a_node, {}),
    "Constant of numbers": (as_numbers, {}),
    "Concat": (concatenated, {"opset": 7}),
    "Split": (second_output, {}),
    "Split, early": (second_output, {"opset": 7}),
    "Identity": (stored_by(("Identity",), change=np.array), {}),
    "Dropout": (stored_by(("Dropout",), change=np.array), {}),
    "Cast": (stored_by(("Cast", {"to": 1}), change=lambda a: a.astype("d")), {}),
    "Transpose": (stored_by(("Transpose",), change=np.transpose), {}),
    "Slice": (stored_by(("Slice", [1], [9]), change=lambda a: np.concatenate([a + 1, a])), {}),
    "Gather": (stored_by(("Gather", [1]), change=lambda a: np.concatenate([a + 1, a])), {}),
    "Unsqueeze": (stored_by(("Unsqueeze", [0]), change=lambda a: a[0]), {}),
    "Squeeze": (stored_by(("Squeeze", [0]), change=lambda a: a[None]), {}),
    "Mul": (stored_by(("Mul", np.array(0.5, "f")), change=lambda a: a * 2), {}),
    "Expand": (stored_by(("Expand", [1]), change=np.array), {}),
    "Unsqueeze, early": (
        stored_by(("Unsqueeze", {"axes": [0]}), change=lambda a: a[0]), {"opset": 11},
    ),
    "Slice, early": (
        stored_by(("Slice", {"starts": [1], "ends": [9]}),
                  change=lambda a: np.concatenate([a + 1, a])), {"opset": 9},
    ),
}  # fmt: skip # as few lines as it takes


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_are_put_together_in_the_model_are_read(name: str) -> None:
    weight, options = WEIGHTS[name]
    drawn = plain(weight=weight, **options)
    found = accepted(drawn)
    written = to_layout("onnx", drawn.kind, drawn.module.state_dict())
    for [arrays], [theirs] in zip(found.layers, written, strict=True):
        assert [*arrays] == ["W", "R", "B"]
        for key, array in arrays.items():
            assert array.dtype == np.float32
            assert np.array_equal(array, theirs[key])


def shape_of_start(draft: Draft) -> str:
    """Compute the shape of a start from what goes in."""
    batch = draft.op("Gather", draft.op("Shape", "input"), draft.tensor(np.array([1])))
    return str(
        draft.op("Concat", draft.tensor(np.array([1])), batch, draft.tensor(np.array([H])), axis=0)
    )


def filled(draft: Draft, number: float | None, shape: str) -> str:
    value = {} if number is None else {"value": numpy_helper.from_array(np.array([number], "f"))}
    return str(draft.op("ConstantOfShape", shape, **value))


def nothing(draft: Draft, *shape: int) -> str:
    return draft.tensor(np.zeros(shape, "f"))


ZERO: dict[str, Callable[[Draft], str]] = {
    "stored": lambda d: nothing(d, 1, N, H),
    "ConstantOfShape": lambda d: filled(d, None, shape_of_start(d)),
    "ConstantOfShape of 0": lambda d: filled(d, 0, shape_of_start(d)),
    "ConstantOfShape of numbers": lambda d: filled(d, None, d.ints(1, N, H)),
    "Expand": lambda d: d.op("Expand", nothing(d, 1, 1, 1), shape_of_start(d)),
    "Tile": lambda d: d.op("Tile", nothing(d, 1, 1, H), d.op("Concat", d.ints(1), d.op(
        "Gather", d.op("Shape", "input"), d.tensor(np.array([1]))), d.ints(1), axis=0)),
    "Expand of zeros": lambda d: d.op(
        "Expand", filled(d, None, d.tensor(np.array([H]))), shape_of_start(d)),
    "Concat": lambda d: d.op(
        "Concat", filled(d, 0, d.ints(1, 1, H)), nothing(d, 1, 1, H), nothing(d, 1, 1, H), axis=1),
    "Transpose": lambda d: d.op(
        "Transpose", filled(d, None, d.ints(N, 1, H)), perm=[1, 0, 2]),
    "Reshape": lambda d: d.op("Reshape", nothing(d, N * H), shape_of_start(d)),
    "Unsqueeze": lambda d: d.op("Unsqueeze", filled(d, 0, d.ints(N, H)), d.tensor(np.array([0]))),
    "Squeeze": lambda d: d.op("Squeeze", filled(d, 0, d.ints(1, 1, N, H)), d.tensor(np.array([0]))),
    "Cast": lambda d: d.op("Cast", filled(d, 0, shape_of_start(d)), to=TensorProto.FLOAT),
    "Split": lambda d: d.op(
        "Split", filled(d, 0, d.ints(2, N, H)), d.tensor(np.array([1, 1])), outputs=2)[1],
    "Slice": lambda d: d.op(
        "Slice", filled(d, 0, d.ints(2, N, H)), *(d.tensor(np.array([n])) for n in (1, 2, 0))),
    "Gather": lambda d: d.op("Gather", filled(d, 0, d.ints(4, N, H)), d.tensor(np.array([2]))),
}  # fmt: skip # as few lines as it takes


@pytest.mark.parametrize("name", ZERO)
def test_a_start_that_is_zero_is_known_for_one(name: str) -> None:
    def rows(draft: Draft, s: str) -> list[str]:
        return [ZERO[name](draft) for _ in range(2)]

    drawn = plain("LSTM", rows=rows)
    for s in ("h_0", "c_0"):
        drawn.feed[s] = np.zeros_like(drawn.feed[s])
    accepted(drawn)


NOT_ZERO: dict[str, tuple[Callable[[Draft], str], str]] = {
    "ConstantOfShape": (lambda d: filled(d, 2, shape_of_start(d)), "sizes of tensors"),
    "Expand": (
        lambda d: d.op("Expand", d.tensor(np.eye(1, 7, dtype="f")[None]), d.ints(1, N, H)),
        "a stored tensor of shape (1, 3, 7)",
    ),
    "Concat": (
        lambda d: d.op("Concat", filled(d, 0, d.ints(1, 2, H)), d.tensor(np.ones((1, 1, H), "f")),
                       axis=1),
        "the result of 'Concat' with the axes (1, axis 1, axis 2)",
    ),
    "Add": (
        lambda d: d.op("Add", filled(d, 0, d.ints(1, N, H)), nothing(d, 1, N, H)),
        "the result of 'Add' with the axes (axis 0, axis 1, axis 2)",
    ),
    "Mul": (
        lambda d: d.op("Mul", filled(d, 0, shape_of_start(d)), d.tensor(np.ones(1, "f"))),
        "the result of 'Mul' with the axes (axis 0, axis 1, axis 2)",
    ),
}  # fmt: skip # as few lines as it takes


@pytest.mark.parametrize("name", NOT_ZERO)
def test_what_is_not_known_to_be_zero_is_no_start(name: str) -> None:
    start, said = NOT_ZERO[name]
    assert refused(plain(rows=lambda d, s: [start(d) for _ in range(2)])) == (
        "initial_h of GRU operator 0 should be zero or an input of the model, with 1 rows of 7, "
        f"since no state dict holds a start, got {said}"
    )


# What is read.


def test_what_is_left_out_has_the_default_of_the_standard() -> None:
    settings: dict[str, dict[str, object]] = {
        "RNN": {"clip": None},
        "GRU": {"clip": None, "linear_before_reset": 0},
        "LSTM": {"clip": None, "input_forget": 0, "peepholes": False},
    }
    for kind, expected in settings.items():
        drawn = plain(kind)
        for node in drawn.operators:
            node.ClearField("attribute")
        found = read_onnx(drawn.model.SerializeToString())
        assert (found.kind, found.nonlinearity, found.settings) == (kind, "tanh", expected)
        assert found.batch_first is False
        assert [[*arrays] for [arrays] in found.layers] == [["W", "R", "B"]] * 2


def test_the_settings_are_what_the_attributes_say() -> None:
    drawn = plain("LSTM")
    several(set_to("clip", 0.5), set_to("input_forget", 1))(drawn)
    for k in range(2):
        replaced(k, 7, np.ones((1, 3 * H), "f"))(drawn)
    found = read_onnx(drawn.model.SerializeToString())
    assert found.settings == {"clip": 0.5, "input_forget": 1, "peepholes": True}
    assert found.nonlinearity == "tanh"
    drawn = plain("RNN", D=2)
    set_to("activations", ["relu", "RELU"])(drawn)
    assert read_onnx(drawn.model.SerializeToString()).nonlinearity == "relu"


def test_every_operator_may_have_all_its_inputs() -> None:
    drawn = plain("LSTM", lengths=True, rows=halves)
    for k in range(2):
        put(drawn.operators[k], 7, "")
    accepted(drawn)


def test_what_nobody_uses_need_not_be_made() -> None:
    drawn = plain(D=2)
    del drawn.operators[0].output[1:]
    del drawn.operators[1].output[:]
    assert len(read_onnx(drawn.model.SerializeToString()).layers) == 2


@pytest.mark.parametrize("layout", [0, 1])
def test_lengths_that_are_all_the_length_of_the_input_are_none(layout: int) -> None:
    drawn = plain(between=chain(("Squeeze", [2 if layout else 1])))
    lengths = np.full(5 if layout else 3, 3 if layout else 5, np.int32)
    several(replaced(0, 4, lengths), set_to("layout", layout))(drawn)
    assert read_onnx(drawn.model.SerializeToString()).batch_first == bool(layout)
    replaced(1, 4, lengths + 1)(drawn)
    assert refused(drawn).startswith("sequence_lens of GRU operator 1 should be an input of the ")


def test_lengths_that_are_computed_from_what_comes_before_are_followed() -> None:
    drawn = plain(sizes=["time", "batch"])
    node = drawn.operators[0]
    through(0, 0, "Relu")(drawn)
    shape = insert(drawn.model, node, "Shape", "input")
    ends = [store(drawn.model, np.array([k]), f"at{k}") for k in range(2)]
    time, batch = (insert(drawn.model, node, "Gather", shape, end) for end in ends)
    every = insert(drawn.model, node, "Expand", time, batch)
    every = insert(drawn.model, node, "Cast", every, to=TensorProto.INT32)
    for node in drawn.operators:
        put(node, 4, every)
    assert len(read_onnx(drawn.model.SerializeToString()).layers) == 2
    for node in drawn.model.graph.node:
        if node.op_type == "Expand":
            node.input[0] = batch
    assert refused(drawn) == (
        "sequence_lens of GRU operator 0 should be an input of the model, or the length of the "
        "input throughout, got sizes of tensors"
    )


@pytest.mark.parametrize("opset", [7, NEWEST])
@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_the_oldest_and_the_newest_opset_are_read(opset: int, domain: str) -> None:
    drawn = plain("RNN", opset=opset)
    drawn.model.opset_import[0].domain = domain
    for node in drawn.model.graph.node:
        node.domain = domain
    found = read_onnx(drawn.model.SerializeToString())
    assert np.array_equal(found.layers[1][0]["R"][0], drawn.module.weight_hh_l1.numpy())


@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_bias_of_zeros_or_none_is_read(dtype: str, D: int) -> None:
    drawn = plain("GRU", D=D, weight=lambda draft, array: draft.tensor(array.astype(dtype)))
    shape = store(drawn.model, np.array([D, 6 * H]), "shape")
    node = drawn.operators[0]
    put(node, 3, insert(drawn.model, node, "ConstantOfShape", shape))
    without(1, 3)(drawn)
    first, second = read_onnx(drawn.model.SerializeToString()).layers
    assert [*first[0], *second[0]] == ["W", "R", "B", "W", "R"]
    assert np.array_equal(first[0]["B"], np.zeros((D, 6 * H)))
    assert {array.dtype for array in (*first[0].values(), *second[0].values())} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_an_operator_makes_has_the_type_of_its_weights(dtype: str) -> None:
    def cast(to: int) -> Stack:
        return plain(
            between=chain(("Squeeze", [1]), ("Cast", {"to": to})),
            weight=lambda draft, array: draft.tensor(array.astype(dtype)),
        )

    own = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    read_onnx(cast(own).model.SerializeToString())
    assert "got the result of 'Cast'" in refused(cast(TensorProto.FLOAT16))


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize(("time", "batch"), [(5, 3), (5, 1), (1, 3), (1, 1), ("time", "batch")])
def test_the_axis_that_comes_first_is_found(
    time: int | str, batch: int | str, layout: int, turned: bool
) -> None:
    """Of an axis of size 1 nothing says where it was but the other axis."""
    drawn = plain(layers=1, sizes=[time, batch], before=lambda draft, x: str(
        draft.op("Transpose", x, perm=[1, 0, 2]) if turned else draft.op("Identity", x)
    ))  # fmt: skip # it is one line
    if layout:
        attribute(drawn.operators[0], "layout", 1)
    first = bool(layout) != turned
    if (time, batch) == (1, 1):
        first = False
    assert read_onnx(drawn.model.SerializeToString()).batch_first is first


@pytest.mark.parametrize("way", ["features", "no shape", "a table", "of somebody", "of nobody"])
def test_the_input_may_be_of_open_or_unknown_shape(way: str) -> None:
    drawn = plain(sizes=["time", "batch"])
    if way == "features":
        input_size(0, 2, "features")(drawn)
    elif way == "no shape":
        input_size(0, 0, None)(drawn)
    elif way == "of nobody":  # a domain that the model does not name
        through(0, 0, "Anything", domain="com.example")(drawn)
    elif way == "of somebody":
        several(also("com.example"), through(0, 0, "Anything", domain="com.example"))(drawn)
    else:
        kind = drawn.model.graph.input[0].type.tensor_type
        kind.elem_type = TensorProto.INT64
        del kind.shape.dim[2]
        node = drawn.operators[0]
        table = store(drawn.model, np.ones((11, I), "f"), "table")
        put(node, 0, insert(drawn.model, node, "Gather", table, "input"))
    found = read_onnx(drawn.model.SerializeToString())
    assert (found.kind, found.batch_first) == ("GRU", False)


@pytest.mark.parametrize("rows", [11, 1100])
def test_the_features_of_a_table_are_known_whatever_its_size(rows: int) -> None:
    drawn = plain(sizes=["time", "batch"])
    kind = drawn.model.graph.input[0].type.tensor_type
    kind.elem_type = TensorProto.INT64
    del kind.shape.dim[2]
    node = drawn.operators[0]
    table = store(drawn.model, np.ones((rows, 6), "f"), "table")
    put(node, 0, insert(drawn.model, node, "Gather", table, "input"))
    assert refused(drawn) == (
        "X of GRU operator 0 should have three axes, of which the last has the 4 features that W "
        "takes, got the result of 'Gather' with the axes (axis 0, axis 1, axis 2)"
    )


@pytest.mark.parametrize(("operator", "shape"), [("Relu", []), ("Expand", ["one_each"])])
def test_the_features_are_known_where_other_shapes_are_outside_the_model(
    operator: str, shape: list[str], tmp_path: Path
) -> None:
    model = onnx.load_model_from_string(outside(tmp_path))
    [node] = (n for n in model.graph.node if n.op_type == "GRU")
    put(node, 0, insert(model, node, operator, "input", *shape))
    read_onnx(model.SerializeToString(), tmp_path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 5
    assert refusal(model.SerializeToString(), tmp_path) == (
        "X of GRU operator 0 should have three axes, of which the last has the 3 features that W "
        f"takes, got the result of '{operator}' with the axes (axis 0, axis 1, axis 2)"
    )


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_the_start_may_be_of_open_shape(kind: str) -> None:
    drawn = plain(kind, rows=per_layer)
    for k in range(1, 1 + 2 * (1 + (kind == "LSTM"))):
        for axis in range(3):
            input_size(k, axis, f"any{k}{axis}")(drawn)
    accepted(drawn)
    for k in range(1, 1 + 2 * (1 + (kind == "LSTM"))):
        input_size(k, 0, None)(drawn)
    accepted(drawn)


@pytest.mark.parametrize("turned", [False, True])
def test_the_start_of_an_operator_with_layout_comes_in_either_way(turned: bool) -> None:
    def rows(draft: Draft, s: str) -> list[str]:
        """Take rows of a state as the module has it, or as the operator."""
        draft.inputs[:] = [value for value in draft.inputs if value.name != s]
        x = draft.input(np.zeros((N, 2, H) if turned else (2, N, H), "f"),
                        [N, 2, H] if turned else [2, N, H], s)  # fmt: skip # it is one line
        if not turned:
            return [
                chain(("Slice", [k], [k + 1], [0]), ("Transpose", {"perm": [1, 0, 2]}))(draft, x)
                for k in range(2)
            ]
        return [chain(("Slice", [k], [k + 1], [1]))(draft, x) for k in range(2)]

    drawn = plain(rows=rows, between=chain(("Transpose", {"perm": [0, 1, 2, 3]}), ("Squeeze", [1])))
    for node in drawn.operators:
        attribute(node, "layout", 1)
    upper = drawn.operators[1]
    for node in drawn.model.graph.node:
        if node.op_type == "Squeeze" and node.output[0] == upper.input[0]:
            put(node, 1, store(drawn.model, np.array([2]), "two"))
    if turned:
        assert refused(drawn).startswith("initial_h of GRU operator 0 should be zero or an input ")
    else:
        assert read_onnx(drawn.model.SerializeToString()).batch_first


@pytest.mark.parametrize("right", [True, False])
def test_both_directions_of_a_start_are_turned_to_the_batch_first(right: bool) -> None:
    def rows(draft: Draft, s: str) -> list[str]:
        draft.inputs[:] = [value for value in draft.inputs if value.name != s]
        draft.input(np.zeros((4, N, H) if right else (4, H, N), "f"),
                    [4, N, H] if right else [4, H, N], s)  # fmt: skip # it is one line
        perm = [1, 0, 2] if right else [2, 0, 1]
        return [
            chain(("Slice", [n], [n + 2], [0]), ("Transpose", {"perm": perm}))(draft, s)
            for n in (0, 2)
        ]

    drawn = plain(D=2, rows=rows, between=chain(("Reshape", [0, 0, -1])))
    set_to("layout", 1)(drawn)
    if right:
        assert read_onnx(drawn.model.SerializeToString()).batch_first
    else:
        assert refused(drawn) == (
            "initial_h of GRU operator 0 should be zero or an input of the model, with 2 rows of "
            "7, since no state dict holds a start, got input 'h_0' with the axes (axis 2, axis 0, "
            "axis 1)"
        )


def test_the_order_of_the_inputs_counts_and_not_their_names() -> None:
    drawn = plain(rows=per_layer)
    for value, name in zip(drawn.model.graph.input[1:], ("z", "a"), strict=True):
        drawn.feed[name] = drawn.feed.pop(value.name)
        value.name = name
    for node, name in zip(drawn.operators, ("z", "a"), strict=True):
        put(node, 5, name)
    accepted(drawn)


@pytest.mark.parametrize("layout", [0, 1])
def test_the_start_of_one_operator_may_be_an_input_as_it_takes_it(layout: int) -> None:
    for shape in ((1, N, H), (N, 1, H)):
        drawn = plain(layers=1)
        draft = Draft(np.random.default_rng(0), 17, 8)
        draft.input(np.zeros(shape, "f"), [*shape], "h_0")
        drawn.model.graph.input.append(draft.inputs[0])
        node = drawn.operators[0]
        put(node, 5, "h_0")
        attribute(node, "layout", layout)
        if (shape[0] == 1) == (layout == 0):
            read_onnx(drawn.model.SerializeToString())
        else:
            assert refused(drawn).startswith("initial_h of GRU operator 0 should be zero or an ")


def test_lengths_as_the_input_or_in_another_integer_type_are_followed() -> None:
    drawn = plain(lengths=True)
    drawn.model.graph.input[1].type.tensor_type.elem_type = TensorProto.INT64
    drawn.feed["lengths"] = drawn.feed["lengths"].astype(np.int64)
    node = drawn.operators[0]
    cast = insert(drawn.model, node, "Cast", "lengths", to=TensorProto.INT32)
    for node in drawn.operators:
        put(node, 4, cast)
    accepted(drawn)
    drawn.model.graph.input[1].type.tensor_type.elem_type = TensorProto.FLOAT
    assert "sequence_lens of GRU operator 0 should be an input" in refused(drawn)


# Inputs that are stored, too.


def test_an_input_that_is_stored_has_a_default_only() -> None:
    """Before version 4 of the format all that is stored had to be an input."""
    for ir, zero in ((3, False), (4, True)):
        drawn = plain("RNN")
        drawn.model.ir_version = ir
        graph = drawn.model.graph
        for tensor in graph.initializer:
            if ir == 3:
                graph.input.append(
                    helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                )
        for k in range(2):
            start = np.zeros((1, N, H), "f") if zero else np.ones((1, N, H), "f")
            graph.initializer.append(numpy_helper.from_array(start, f"h{k}"))
            graph.input.append(
                helper.make_tensor_value_info(f"h{k}", TensorProto.FLOAT, start.shape)
            )
            put(drawn.operators[k], 5, f"h{k}")
        if ir == 3:
            assert refused(drawn).endswith("got a stored tensor of shape (1, 3, 7)")
        else:
            assert read_onnx(drawn.model.SerializeToString()).kind == "RNN"
            drawn.operators[0].input[5], drawn.operators[1].input[5] = "h1", "h0"
            assert "an input for each in their order, got" in refused(drawn)  # no zeros


@pytest.mark.parametrize("features", [2000 * 1001, 1006 * 2003, 1009 * 2021, 1009 * 1013])
def test_a_number_that_an_open_size_might_have_is_not_open(features: int) -> None:
    drawn = plain(sizes=["time", "batch"])
    draft = Draft(np.random.default_rng(0), 17, 8)
    draft.input(np.zeros((1, 1), "f"), ["one", "other"], "more")
    drawn.model.graph.input.append(draft.inputs[0])
    input_size(0, 2, features)(drawn)
    assert refused(drawn) == (
        "X of GRU operator 0 should have three axes, of which the last has the 4 features that W "
        "takes, got input 'input' with the axes (axis 0, axis 1, axis 2)"
    )


# How much is computed.


def making(operator: str, draft: Draft) -> str:
    """Make a weight of (1, 21, 7) elements of fewer."""
    if operator == "Expand":
        return str(draft.op("Expand", draft.tensor(np.ones((21, 1), "f")),
                            draft.tensor(np.array([1, 1, 7]))))  # fmt: skip # it is one line
    if operator == "Tile":
        return str(draft.op("Tile", draft.tensor(np.ones((1, 3, 7), "f")),
                            draft.tensor(np.array([1, 7, 1]))))  # fmt: skip # it is one line
    if operator == "ConstantOfShape":
        return filled(draft, 2, draft.tensor(np.array([1, 21, 7])))
    if operator == "Concat":
        parts = [draft.tensor(np.ones((1, n, 7), "f")) for n in (4, 8, 9)]
        return str(draft.op("Concat", *parts, axis=1))
    if operator == "Slice":
        return chain(("Slice", [0, 0], [1, 21]))(draft, draft.tensor(np.ones((1, 21, 7), "f")))
    return str(draft.op("Mul", draft.tensor(np.ones((1, 21, 1), "f")),
                        draft.tensor(np.ones((1, 1, 7), "f"))))  # fmt: skip # it is one line


@pytest.mark.parametrize(
    ("operator", "most"),
    [
        ("Expand", 147),
        ("Tile", 147),
        ("ConstantOfShape", 147),
        ("Concat", 147),
        ("Mul", 147),
        ("Slice", 294),
    ],
)
def test_an_operator_makes_as_many_elements_as_allowed_and_no_more(
    operator: str, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of operators that are not told apart a bound is what two tensors can make at most."""

    def weight(draft: Draft, array: Array) -> str:
        return making(operator, draft) if array.shape == (1, 21, 7) else draft.tensor(array)

    data = plain(weight=weight).model.SerializeToString()
    monkeypatch.setattr(_onnx_graph, "_MOST", most)
    found = read_onnx(data)
    assert found.layers[0][0]["R"].shape == (1, 21, 7)
    monkeypatch.setattr(_onnx_graph, "_MOST", most - 1)
    assert refusal(data) == f"{operator} of stored tensors should not make so many elements"


@pytest.mark.parametrize("operator", ["Expand", "Tile"])
def test_zeros_of_any_size_are_not_made(operator: str) -> None:
    drawn = plain()
    zero = store(drawn.model, np.zeros((1, 1, 1), "f"), "zero")
    shape = store(drawn.model, np.array([1, 10**7, 10**7]), "shape")
    for node in drawn.operators:
        put(node, 5, insert(drawn.model, node, operator, zero, shape))
    assert read_onnx(drawn.model.SerializeToString()).kind == "GRU"


def test_an_operator_takes_as_many_elements_as_allowed_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = plain(weight=lambda d, a: chain(("Identity",), ("Slice", [0], [1]))(d, d.tensor(a)))
    monkeypatch.setattr(_onnx_graph, "_MOST", 147)
    accepted(data)
    monkeypatch.setattr(_onnx_graph, "_MOST", 146)
    said = "the inputs of an operator should not have more than 146 elements"
    assert refused(data) == said


def test_what_cannot_be_computed_is_refused_by_name() -> None:
    drawn = plain(weight=lambda d, a: chain(("Reshape", [5, 5, 5]))(d, d.tensor(a)))
    said = refused(drawn)
    assert re.match(r"^Reshape should be readable in the model: \S.+$", said)
    drawn = plain()
    drawn.model.graph.initializer[0].raw_data = b"short"
    name = drawn.model.graph.initializer[0].name
    assert re.match(rf"^'{name}' should be readable in the model: \S.+$", refused(drawn))


# Data beside the model.


def beside(folder: Path, **entries: str) -> tuple[bytes, Array]:
    """Write a model of which W starts at the sixth byte of a file of its own."""
    numbers = np.arange(36, dtype="f").reshape(1, 12, 3)
    (folder / "own").mkdir()
    (folder / "own" / "W.data").write_bytes(b"12345" + numbers.tobytes())
    right = {"location": "own/W.data", "offset": "5", "length": "144"}
    return outside(folder, **right | entries), numbers


@pytest.mark.parametrize(
    ("offset", "length"),
    [("9999", "144"), ("6", "144"), ("-1", "144"), ("5", "143"), ("5", "145"), ("5", "x")],
)
def test_data_of_another_size_is_refused(offset: str, length: str, tmp_path: Path) -> None:
    data, _ = beside(tmp_path, offset=offset, length=length)
    assert refusal(data, tmp_path) == (
        "the data of 'W_l0', 'own/W.data', should have 144 bytes, got "
        f"offset {offset} and length {length} in a file of 149"
    )


def test_data_that_ends_with_its_file_is_read(tmp_path: Path) -> None:
    data, numbers = beside(tmp_path)
    found = read_onnx(data, tmp_path)
    assert np.array_equal(found.layers[0][0]["W"], numbers)


@pytest.mark.parametrize(
    ("location", "there"),
    [
        ("missing.data", True),
        ("own", True),
        ("", True),
        ("../model.data", False),
        ("own/../own/W.data", False),
        ("own\\..\\own/W.data", False),
        ("/model.data", False),
        ("here", False),
        ("C:own/W.data", False),
    ],
)
def test_data_in_another_place_is_refused(location: str, there: bool, tmp_path: Path) -> None:
    if location == "here":  # absolute, even if it leads into the folder
        location = str(tmp_path / "own" / "W.data")
    data, _ = beside(tmp_path, location=location)
    start = f"the data of 'W_l0', {_onnx_graph.quoted(location)}, should "
    assert refusal(data, tmp_path) == start + (
        "be a file beside the model, and there is none"
        if there
        else "lie in the folder of the model, and not outside it"
    )
    assert refusal(data) == f"{start}be in the model, since its folder is not known"


def test_what_is_said_about_the_data_may_be_left_out(tmp_path: Path) -> None:
    data, numbers = beside(tmp_path, location="own/from_0.data")
    (tmp_path / "own" / "from_0.data").write_bytes(numbers.tobytes())
    model = onnx.load_model_from_string(data)
    [tensor] = (t for t in model.graph.initializer if t.name == "W_l0")
    for key in ("length", "offset", "location"):
        kept = [entry for entry in tensor.external_data if entry.key != key]
        del tensor.external_data[:]
        tensor.external_data.extend(kept)
        if key == "location":
            said = "the data of 'W_l0', '', should be a file beside the model, and there is none"
            assert refusal(model.SerializeToString(), tmp_path) == said
        elif key == "offset":
            found = read_onnx(model.SerializeToString(), tmp_path)
            assert np.array_equal(found.layers[0][0]["W"], numbers)
        else:
            said = "should have 144 bytes, got offset 5 and length None in a file of 144"
            assert refusal(model.SerializeToString(), tmp_path).endswith(said)


def test_a_character_that_no_name_of_a_file_can_have_is_left_out(tmp_path: Path) -> None:
    data, numbers = beside(tmp_path, location="own/W\0.data")
    assert np.array_equal(read_onnx(data, tmp_path).layers[0][0]["W"], numbers)


# Functions, and what is no model.


def function(name: str, body: list[Any], opset: int = 17) -> Any:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    return helper.make_function("mine", name, ["x"], ["y"], body, opsets)


def calling(*names: str) -> Stack:
    """Draw a stack of which the model calls functions."""
    drawn = plain()
    also("mine")(drawn)
    for i, name in enumerate(names):
        call = helper.make_node(name, ["input"], [f"called{i}"], domain="mine")
        drawn.model.graph.node.append(call)
    return drawn


def twice(name: str, domain: str = "mine") -> list[Any]:
    return [helper.make_node(name, [a], [b], domain=domain) for a, b in ("xz", "zy")]


def test_the_operators_are_counted_as_often_as_they_are_called(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn = calling("Outer", "Outer", "Inner")
    drawn.model.functions.append(function("Inner", twice("Relu", "")))
    drawn.model.functions.append(function("Outer", twice("Inner")))
    data = drawn.model.SerializeToString()
    there = len(drawn.model.graph.node) - 3 + 4 + 4 + 2
    monkeypatch.setattr(onnx_file, "_MOST_NODES", there)
    assert read_onnx(data).kind == "GRU"
    monkeypatch.setattr(onnx_file, "_MOST_NODES", there - 1)
    assert refusal(data) == f"the model should have at most {there - 1:,} operators"


def test_functions_of_another_opset_are_refused_by_name() -> None:
    drawn = calling("Old")
    drawn.model.functions.append(function("Old", twice("Relu", ""), opset=12))
    said = "functions should be of the opset of the model, got [\"'Old'\"]"
    assert refused(drawn) == said


def test_what_cannot_be_read_is_refused_with_the_name_of_the_error() -> None:
    said = "the file should be an ONNX model that can be read, got "
    assert re.match(rf"^{said}DecodeError: \S.+$", refusal(b"no model"))
    drawn = calling("Same")
    drawn.model.functions.append(function("Same", twice("Same")))
    assert refused(drawn).startswith(f"{said}RecursionError: maximum recursion depth exceeded")


@pytest.mark.parametrize("name", ["onnx", "onnx.inliner", "onnx.reference", "onnx.shape_inference"])
def test_the_package_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = to_layout("onnx", "GRU", nn.GRU(3, 4).state_dict())
    data = onnx_bytes("GRU", layers)
    monkeypatch.setitem(sys.modules, name, None)
    said = (
        rf"^an \.onnx file needs the package onnx: import of {name} halted; None in sys\.modules$"
    )
    for call in (lambda: onnx_bytes("GRU", layers), lambda: read_onnx(data)):
        with pytest.raises(ImportError, match=said):
            call()


def test_an_rnn_is_written_with_tanh_unless_another_is_given() -> None:
    layers = to_layout("onnx", "RNN", nn.RNN(3, 4, 2).state_dict())
    model = onnx.load_model_from_string(onnx_bytes("RNN", layers))
    assert model.producer_name == "unrolled"
    [*found] = (
        helper.get_attribute_value(a)
        for node in model.graph.node
        for a in node.attribute
        if a.name == "activations"
    )
    assert found == [[b"Tanh"]] * 2
    assert read_onnx(onnx_bytes("RNN", layers, "relu")).nonlinearity == "relu"

"""Write a stack of recurrent layers to an ``.onnx`` file, and read it; needs the package ``onnx``.

The written model is called like PyTorch's module, with ``input`` (L, N, H_in), ``h_0`` and, for an
LSTM, ``c_0`` (D * num_layers, N, H_out), and with ``lengths`` (N,) of int32, all of them L if the
sequences are equally long. It returns ``output`` (L, N, D * H_out), zero after the end of a
sequence, ``h_n`` and ``c_n``.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import chain, repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.porting._onnx_graph import (
    DOMAINS,
    Graph,
    Meaning,
    Moved,
    Sizes,
    Source,
    Stored,
    Zeros,
    arranged,
    quoted,
    size,
)
from unrolled.porting.layouts import LAYOUTS
from unrolled.shapes import parameter_name

__all__ = ["FromOnnx", "onnx_bytes", "read_onnx"]

_KINDS = tuple(LAYOUTS["onnx"])
_ACTIVATIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_BLOCKS = {kind: len(layout.blocks("W")[0]) for kind, layout in LAYOUTS["onnx"].items()}
_OLDEST = 7  # before that opset the operators were others
_MOST_NODES = 100_000  # a function that calls one twice, that calls one twice, makes any number
_OPSET, _IR = 14, 8  # old enough for every runtime of the last years


class FromOnnx(NamedTuple):
    """What a file holds.

    Attributes
    ----------
    kind : str
        ``"RNN"``, ``"GRU"`` or ``"LSTM"``.
    nonlinearity : str
        ``"tanh"``, or ``"relu"`` for an RNN that has it.
    layers : list of num_layers lists of one dict of str to ndarray
        Argument of `unrolled.porting.from_layout`.
    settings : dict of str to object
        Further arguments of `unrolled.porting.from_layout`.
    batch_first : bool
        Whether the model takes batches first, (N, L, H_in), which the weights do not show either.
    """

    kind: str
    nonlinearity: str
    layers: list[list[dict[str, NDArray[Any]]]]
    settings: dict[str, object]
    batch_first: bool


def onnx_bytes(
    kind: str,
    layers: Sequence[Sequence[Mapping[str, NDArray[Any]]]],
    nonlinearity: str = "tanh",
) -> bytes:
    """Write a model, one operator a layer.

    Parameters
    ----------
    kind : {"RNN", "GRU", "LSTM"}
        Which operator.
    layers : sequence of num_layers sequences of one mapping of str to ndarray
        As ``to_layout("onnx", ...)`` gives them.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation of an RNN.

    Returns
    -------
    bytes
        The content of the file.

    Raises
    ------
    ImportError
        If the package ``onnx`` is not installed.

    Notes
    -----
    Source: the operators RNN, GRU and LSTM of the ONNX standard, opset 14.
    """
    onnx = _package()
    helper = onnx.helper
    first = layers[0][0]["W"]
    D, _, H_in = first.shape
    H_out = layers[0][0]["R"].shape[2]
    states = ("h", "c") if kind == "LSTM" else ("h",)
    attributes: dict[str, object] = {
        "hidden_size": H_out,
        "direction": "bidirectional" if D == 2 else "forward",
    }
    if kind == "GRU":
        attributes["linear_before_reset"] = 1
    if kind == "RNN":
        attributes["activations"] = [nonlinearity.capitalize()] * D

    constants = {
        "one_each": np.full(len(layers), D, np.int64),
        "side_by_side": np.array([0, 0, -1], np.int64),  # 0 keeps a size, -1 takes the rest
    }
    nodes = [
        helper.make_node(
            "Split", [f"{s}_0", "one_each"], [f"{s}_0_l{k}" for k in range(len(layers))], axis=0
        )
        for s in states
    ]
    x = "input"
    for k, [arrays] in enumerate(layers):
        constants |= {parameter_name(name, k): array for name, array in arrays.items()}
        given = [parameter_name(name, k) if name in arrays else "" for name in "WRB"]
        initial = [f"{s}_0_l{k}" for s in states]
        final = [f"{s}_n_l{k}" for s in states]
        below, x = x, "output" if k == len(layers) - 1 else f"output_l{k}"
        nodes += [
            helper.make_node(
                kind, [below, *given, "lengths", *initial], [f"Y_l{k}", *final], **attributes
            ),
            # (L, D, N, H_out) to (L, N, D, H_out) to (L, N, D * H_out)
            helper.make_node("Transpose", [f"Y_l{k}"], [f"Y_t_l{k}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"Y_t_l{k}", "side_by_side"], [x]),
        ]
    for s in states:
        finals = [f"{s}_n_l{k}" for k in range(len(layers))]
        nodes.append(helper.make_node("Concat", finals, [f"{s}_n"], axis=0))

    floats = helper.np_dtype_to_tensor_dtype(first.dtype)
    state = [D * len(layers), "N", H_out]

    def info(name: str, shape: list[Any], dtype: Any = floats) -> Any:
        return helper.make_tensor_value_info(name, dtype, shape)

    lengths = info("lengths", ["N"], helper.np_dtype_to_tensor_dtype(np.dtype(np.int32)))
    graph = helper.make_graph(
        nodes,
        f"torch.nn.{kind}",
        [info("input", ["L", "N", H_in]), lengths, *(info(f"{s}_0", state) for s in states)],
        [info("output", ["L", "N", D * H_out]), *(info(f"{s}_n", state) for s in states)],
        [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(
        graph, opset_imports=[opset], ir_version=_IR, producer_name="unrolled"
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def read_onnx(data: bytes, folder: Path | None = None) -> FromOnnx:
    """Find the stack of recurrent layers in a model.

    Parameters
    ----------
    data : bytes
        The content of the file.
    folder : Path, optional
        The folder of the file and of any other files that hold its weights. Files elsewhere are not
        read.

    Returns
    -------
    FromOnnx
        What it holds.

    Raises
    ------
    ImportError
        If the package ``onnx`` is not installed.
    ValueError
        If this is not a model, if its recurrent operators do not form one stack, if their weights
        are not stored in it, or if they compute something that PyTorch's modules do not: only the
        reverse direction, other activations, or an initial state that is neither zero nor an input.

    Notes
    -----
    Operators before the first recurrent operator and after the last do not belong to the stack, nor
    do other uses of the results in between. The ONNX standard, from opset 7 on, defines what the
    recurrent operators do.
    """
    onnx = _package()
    try:
        model = onnx.load_model_from_string(data)
        if _most_nodes(model) > _MOST_NODES:
            raise ValueError(f"the model should have at most {_MOST_NODES:,} operators")
        if model.functions:
            model = onnx.inliner.inline_local_functions(model)
        if model.functions:  # their operators are of another opset
            left = [quoted(function.name) for function in model.functions]
            raise ValueError(f"functions should be of the opset of the model, got {left}")
        _check_model(onnx, model)
        for above in (1000, 2000):  # what holds for both holds for sizes that are left open
            found = _stack(onnx, model, folder, above)
    except ValueError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except Exception as error:  # of any type, protobuf's own among them, for what makes no sense
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"the file should be an ONNX model that can be read, got {said}") from None
    return found


def _package() -> Any:
    try:
        import onnx
        import onnx.inliner
        import onnx.reference
        import onnx.shape_inference
    except ImportError as error:
        raise ImportError(f"an .onnx file needs the package onnx: {error}") from None
    return onnx


def _is_recurrent(node: Any) -> bool:
    return node.op_type in _KINDS and node.domain in DOMAINS


def _check_model(onnx: Any, model: Any) -> None:
    """Check that there are recurrent operators, all where they can be followed."""
    newest = onnx.defs.onnx_opset_version()
    opsets = [o.version for o in model.opset_import if o.domain in DOMAINS]
    if len(opsets) != 1 or not _OLDEST <= opsets[0] <= newest:
        raise ValueError(
            f"the file should be an ONNX model of one opset from {_OLDEST} to {newest}, which the "
            f"package onnx knows, got {opsets}"
        )
    for node, place in _nodes(model.graph):
        if _is_recurrent(node) and place:
            raise ValueError(
                f"the recurrent operators should be in the main graph, got {node.op_type} inside "
                f"{place}"
            )
        if not _is_recurrent(node) and re.search("rnn|gru|lstm", node.op_type, re.IGNORECASE):
            raise ValueError(
                f"the recurrent operators should be {', '.join(_KINDS)} of the standard, got "
                f"{quoted(node.op_type)} of the domain {quoted(node.domain)}"
            )
    kinds = sorted({node.op_type for node in model.graph.node if _is_recurrent(node)})
    if len(kinds) != 1:
        advice = "; torch.onnx.export takes an nn.RNN apart unless dynamo=False is given, and its "
        advice = "" if kinds else f"{advice}state dict can be ported as it is"
        raise ValueError(
            f"the model should have operators of one kind, RNN, GRU or LSTM, got {kinds}{advice}"
        )


def _nodes(graph: Any) -> Iterator[tuple[Any, str]]:
    """Go through the operators of a graph or a function, and say what encloses each."""
    rest = [(node, "") for node in graph.node]
    while rest:
        node, place = rest.pop()
        yield node, place
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                rest += [(deeper, quoted(node.op_type)) for deeper in inner.node]


def _most_nodes(model: Any) -> int:
    """Count the operators that there are when each function is put where it is called."""
    functions = {(function.domain, function.name): function for function in model.functions}

    @cache
    def count(called: tuple[str, str]) -> int:
        return nodes(functions[called]) if called in functions else 1

    def nodes(graph: Any) -> int:
        return sum(count((node.domain, node.op_type)) for node, _ in _nodes(graph))

    return nodes(model.graph)


class _Operator(NamedTuple):
    """A layer."""

    words: str
    weights: dict[str, NDArray[Any]]
    meaning: tuple[str, dict[str, object]]  # the nonlinearity and the settings
    x: Moved
    y: Source
    L: int
    N: int
    D: int
    H_out: int
    layout: int
    lengths: str  # the input that has them, or nothing
    starts: dict[str, Moved | None]  # None where they are zero


def _stack(onnx: Any, model: Any, folder: Path | None, above: int) -> FromOnnx:
    """Follow the graph, and read each recurrent operator when it is reached."""
    graph = Graph(onnx, model, folder, above)
    [opset] = [o.version for o in model.opset_import if o.domain in DOMAINS]
    operators: list[_Operator] = []
    for node in model.graph.node:
        if _is_recurrent(node):
            schema = onnx.defs.get_schema(node.op_type, opset, "")
            operators.append(_operator(onnx, schema, graph, node, operators))
        else:
            graph.follow(node)
    first = operators[0]
    kind = first.words.split()[0]
    found = [operator.meaning for operator in operators]
    if any(other != found[0] for other in found):
        raise ValueError(f"the {kind} operators should have the same attributes, got {found}")
    _check_starts(operators, [value.name for value in model.graph.input])
    nonlinearity, settings = first.meaning
    layers = [[operator.weights] for operator in operators]
    return FromOnnx(kind, nonlinearity, layers, settings, _batch_first(first))


def _operator(
    onnx: Any, schema: Any, graph: Graph, node: Any, before: Sequence[_Operator]
) -> _Operator:
    kind, words = node.op_type, f"{node.op_type} operator {len(before)}"
    below = before[-1] if before else None
    attributes = _attributes(onnx, schema, node, words)
    most = (len(schema.inputs), len(schema.outputs))
    if len(node.input) > most[0] or len(node.output) > most[1]:
        raise ValueError(
            f"{words} should have at most {most[0]} inputs and {most[1]} outputs, got "
            f"{len(node.input)} and {len(node.output)}"
        )
    names = [formal.name for formal in schema.inputs]
    given = dict(zip(names, graph.inputs(node), strict=False))
    for name in "XWR":
        if given.get(name) is None:
            raise ValueError(f"{words} should have the inputs X, W and R, got no {name}")
    direction, nonlinearity, settings = _meaning(kind, words, attributes)
    if given.get("P") is not None:
        settings["peepholes"] = True
    D, layout = 2 if direction == "bidirectional" else 1, attributes.get("layout", 0)
    x = None if below is None else _next_x(words, given["X"], layout, below)
    weights = _weights(words, D, attributes.get("hidden_size"), given, below)
    H_in, H_out = weights["W"].shape[2], weights["R"].shape[2]
    if below is not None and (D, H_out) != (below.D, below.H_out):
        raise ValueError(
            f"direction and hidden_size of {words} should be those of the operator before it, "
            f"since all layers of a module have the same: {below.D} directions and "
            f"{below.H_out}, got {D} and {H_out}"
        )
    x = x or _first_x(graph, words, given["X"], H_in)
    L, N = map(size, (x.axes or ())[:2][:: -1 if layout else 1])
    sizes = {"L": L, "N": N, "D": D, "H_out": H_out}

    dtype = onnx.helper.np_dtype_to_tensor_dtype(weights["W"].dtype)
    results = {"Y": ("L", "D", "N", "H_out"), **dict.fromkeys(("Y_h", "Y_c"), ("D", "N", "H_out"))}
    sources = []
    named = chain(node.output, repeat(""))  # those that are left out, too
    for (formal, labels), name in zip(results.items(), named, strict=False):
        source = Source(name, f"{formal} of {words}", labels, sizes[labels[0]], given=False)
        order = sorted(labels, key=lambda label: (label != "N") * layout)  # N comes first
        axes = tuple(arranged([(labels.index(label), sizes[label])]) for label in order)
        sources.append(source)
        graph.define(name, Moved(source, axes, dtype))

    states = [name for name in ("initial_h", "initial_c") if name in names]
    return _Operator(
        words,
        weights,
        (nonlinearity, settings),
        x,
        sources[0],
        L,
        N,
        D,
        H_out,
        layout,
        _lengths(words, given.get("sequence_lens"), L, below),
        {name: _start(graph, words, name, given.get(name), D, H_out, layout) for name in states},
    )


def _attributes(onnx: Any, schema: Any, node: Any, words: str) -> dict[str, Any]:
    """Read the attributes, all of which have to be in the standard."""
    found: dict[str, Any] = {}
    for attribute in node.attribute:
        name = attribute.name
        kind = onnx.AttributeProto.AttributeType.Name(attribute.type)
        known = schema.attributes.get(name)
        if name in found or known is None or known.type.name != kind:
            raise ValueError(
                f"attributes of {words} should be among {sorted(schema.attributes)}, each once and "
                f"of its type, got {quoted(name)} of type {kind}"
            )
        found[name] = onnx.helper.get_attribute_value(attribute)
    for name in ("activation_alpha", "activation_beta"):
        if found.get(name):
            raise ValueError(
                f"{name} of {words} should be left out, as tanh, relu and sigmoid have no "
                f"parameters, got {found[name]}"
            )
    if found.get("layout", 0) not in (0, 1):
        raise ValueError(f"layout of {words} should be 0 or 1, got {found['layout']}")
    return found


def _meaning(
    kind: str, words: str, attributes: Mapping[str, Any]
) -> tuple[str, str, dict[str, object]]:
    """Check what is no setting; give the direction, the nonlinearity and the settings."""
    direction = attributes.get("direction", b"forward").decode()
    if direction not in ("forward", "bidirectional"):
        hint = (
            ": no module of torch.nn has that direction alone; set it to forward in the model, "
            "and flip input and output of the ported module along time"
        )
        raise ValueError(
            f"direction of {words} should be forward or bidirectional, got {quoted(direction)}"
            f"{hint if direction == 'reverse' else ''}"
        )
    usual = _ACTIVATIONS[kind] * (2 if direction == "bidirectional" else 1)
    activations = [name.decode() for name in attributes.get("activations", [])] or usual
    written = [name.capitalize() for name in activations]  # ONNX Runtime takes any case
    nonlinearity = "relu" if kind == "RNN" and {*written} == {"Relu"} else "tanh"
    usual = [name if nonlinearity == "tanh" else "Relu" for name in usual]
    if written != usual:
        raise ValueError(f"activations of {words} should be {usual}, got {activations}")
    known = LAYOUTS["onnx"][kind].settings
    settings = {name: attributes.get(name, known[name].default) for name in known}
    return direction, nonlinearity, settings


def _weights(
    words: str,
    D: int,
    hidden_size: int | None,
    given: Mapping[str, Meaning | None],
    below: _Operator | None,
) -> dict[str, NDArray[Any]]:
    """Read the weights, and check their shapes against each other and against the attributes."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in "WRB":
        tensor = given.get(name)
        if isinstance(tensor, Stored):
            arrays[name] = tensor.array
        elif tensor is not None and not (name == "B" and isinstance(tensor, Zeros)):
            raise ValueError(f"{name} of {words} should be stored in the model, got {tensor}")
    H_in, H_out = (arrays[name].shape[-1] if arrays[name].ndim == 3 else 0 for name in "WR")
    if below is not None:
        H_in = below.D * below.H_out
    if hidden_size is not None:
        H_out = hidden_size
    rows = _BLOCKS[words.split()[0]] * H_out
    expected = {"W": (D, rows, H_in), "R": (D, rows, H_out), "B": (D, 2 * rows)}
    for name, array in arrays.items():
        if array.shape != expected[name] or not array.size:
            raise ValueError(
                f"{name} of {words} should have shape {expected[name]}, with hidden_size={H_out}, "
                f"{D} directions and {H_in} features that come in, got {array.shape}"
            )
    if given.get("B") is not None and "B" not in arrays:
        arrays["B"] = np.zeros(expected["B"], arrays["R"].dtype)
    return arrays


def _first_x(graph: Graph, words: str, x: Meaning | None, H_in: int) -> Moved:
    """Take what goes into the first operator, whatever it is."""
    if not isinstance(x, Moved) or x.axes is None:
        x = graph.fresh("", f"X of {words}", rank=3)
    axes = x.axes or ()
    if len(axes) != 3 or not (graph.is_open(size(axes[2])) or size(axes[2]) == H_in):
        raise ValueError(
            f"X of {words} should have three axes, of which the last has the {H_in} features that "
            f"W takes, got {x}"
        )
    return x


def _next_x(words: str, x: Meaning | None, layout: int, below: _Operator) -> Moved:
    """Check that what comes out below goes in, all of it and in its order."""
    sequence, batch = arranged([(0, below.L)]), arranged([(2, below.N)])
    features = arranged([(1, below.D), (3, below.H_out)])
    axes = (batch, sequence, features) if layout else (sequence, batch, features)
    if isinstance(x, Moved) and x.source == below.y and x.axes == axes:
        return x
    raise ValueError(
        "the operators should be a stack, each on the output of the one before: "
        f"X of {words} should be {Moved(below.y, axes, 0)}, got {x}"
    )


def _lengths(words: str, lengths: Meaning | None, L: int, below: _Operator | None) -> str:
    """Give the name of the input that says how long the sequences are, or nothing."""
    name = ""
    if isinstance(lengths, Moved) and lengths.source.given and lengths.start == 0:
        name = lengths.source.name
    elif lengths is not None and not (
        isinstance(lengths, Stored | Sizes) and (lengths.array == L).all()
    ):
        raise ValueError(
            f"sequence_lens of {words} should be an input of the model, or the length of the input "
            f"throughout, got {lengths}"
        )
    if below is not None and name != below.lengths:
        raise ValueError(
            f"sequence_lens of {words} should be as in the operator before it, "
            f"{quoted(below.lengths)}, got {quoted(name)}"
        )
    return name


def _start(
    graph: Graph, words: str, name: str, state: Meaning | None, D: int, H_out: int, layout: int
) -> Moved | None:
    """Check that an initial state is zero or comes in from outside."""
    if state is None or isinstance(state, Zeros):
        return None
    if isinstance(state, Stored) and not state.array.any():
        return None
    if isinstance(state, Moved) and state.source.given:
        if state.axes is None:
            return state
        # With layout=1 it may come as the operator takes it, or as the module does.
        ways = [state.axes, (*state.axes[1::-1], *state.axes[2:])][: 1 + layout]
        numbers = [[atom.number for axis in way for atom in axis] for way in ways]
        sizes = [size(axis) for axis in state.axes]
        expected = (sizes[0], D, H_out) if layout else (D, *sizes[1:2], H_out)
        if (
            len(sizes) == 3
            and all(n == m or graph.is_open(n) for n, m in zip(sizes, expected, strict=True))
            and any(sorted(way) == way for way in numbers)
        ):
            return state
    raise ValueError(
        f"{name} of {words} should be zero or an input of the model, with {D} rows of {H_out}, "
        f"since no state dict holds a start, got {state}"
    )


def _check_starts(operators: Sequence[_Operator], inputs: Sequence[str]) -> None:
    """Check that the states of all layers are given together, in their order."""
    words, D = operators[0].words, operators[0].D
    in_order = [(D * len(operators), D * k) for k in range(len(operators))]
    used: list[list[str]] = []
    for name in operators[0].starts:
        starts = [start for o in operators if (start := o.starts[name]) is not None]
        used.append(list(dict.fromkeys(start.source.name for start in starts)))
        whole = all(start.axes is None or start.whole for start in starts)
        together = [(start.source.rows, start.start) for start in starts] == in_order
        # Of inputs for each layer nothing says which layer they are for but their order.
        apart = whole and used[-1] == sorted(used[-1], key=inputs.index)
        if starts and len(used[-1]) != (1 if together else len(operators) if apart else 0):
            got = [str(o.starts[name] or "zeros") for o in operators]
            raise ValueError(
                f"{name} of all layers should be the rows of one input in their order, or an input "
                f"for each in their order, got {got}, starting at the rows "
                f"{[start.start for start in starts]}"
            )
    places = [[inputs.index(name) for name in names] for names in used]
    every = [operators[0].x.source.name, *(name for names in used for name in names)]
    if (
        len({len(names) for names in used}) > 1
        or len({*every}) != len(every)
        or any(h > c for h, *rest in zip(*places, strict=True) for c in rest)
    ):
        raise ValueError(
            f"the initial states of {words} and the operators on it should be all zero or all "
            f"given, each as an input of its own, h before c, got {used}"
        )


def _batch_first(first: _Operator) -> bool:
    """Say whether the batch comes before the time where the input of the stack comes from."""
    axes = first.x.axes or ()
    batch, time = [
        [atom.number for atom in axis] for axis in (axes[:2] if first.layout else axes[1::-1])
    ]
    if batch and time:
        return batch < time
    return batch == [0] or time == [1]  # where the other has size 1, and no number

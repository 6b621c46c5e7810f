"""A stack of recurrent layers as an ``.onnx`` file, and back; needs the package ``onnx``.

The model that is written is called as PyTorch's module is: ``input`` (L, N, H_in), ``h_0`` and, for
an LSTM, ``c_0`` (D * num_layers, N, H_out), and ``lengths`` (N,) of int32, which are L where all
sequences are equally long. It gives ``output`` (L, N, D * H_out), zero after the end of a sequence,
``h_n`` and ``c_n``.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from unrolled.porting.layouts import LAYOUTS
from unrolled.shapes import parameter_name

__all__ = ["FromOnnx", "onnx_bytes", "read_onnx"]

_KINDS = tuple(LAYOUTS["onnx"])
_ACTIVATIONS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_NONLINEARITIES = {"Tanh": "tanh", "Relu": "relu"}
_BETWEEN = ("Transpose", "Reshape", "Squeeze", "Dropout", "Identity")
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
        For `unrolled.porting.from_layout`.
    settings : dict of str to object
        The same.
    """

    kind: str
    nonlinearity: str
    layers: list[list[dict[str, NDArray[Any]]]]
    settings: dict[str, object]


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
        If there is no package ``onnx``.

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


def read_onnx(data: bytes) -> FromOnnx:
    """Find the stack of recurrent layers in a model.

    Parameters
    ----------
    data : bytes
        The content of the file.

    Returns
    -------
    FromOnnx
        What it holds.

    Raises
    ------
    ImportError
        If there is no package ``onnx``.
    ValueError
        If this is no model, if its recurrent operators are not one stack, if their weights are
        not stored in it, or if they compute what PyTorch's modules do not: only the reverse
        direction, other activations.
    """
    onnx = _package()
    try:
        graph = onnx.load_model_from_string(data).graph
    except Exception as error:  # protobuf's own type, which no other package has
        raise ValueError(f"the file should be an ONNX model: {error}") from None
    stored = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    nodes = [node for node in graph.node if node.op_type in _KINDS]
    kinds = {node.op_type for node in nodes}
    if len(kinds) != 1:
        raise ValueError(
            f"the model should have operators of one kind, RNN, GRU or LSTM, got {sorted(kinds)}"
        )
    kind = kinds.pop()
    layers, found = [], []
    for k, node in enumerate(nodes):
        maker = makers.get(node.input[0])
        while maker is not None and maker.op_type in _BETWEEN:
            maker = makers.get(maker.input[0])
        if (maker is not None and maker.op_type in _KINDS) != (k > 0) or (
            k > 0 and maker is not nodes[k - 1]
        ):
            raise ValueError(
                f"the {kind} operators should be a stack, each on the output of the one before; "
                f"number {k} of {len(nodes)} is not"
            )
        given = dict(zip("XWRB", node.input, strict=False))
        weights = {name: given[name] for name in "WRB" if given.get(name)}
        for name, tensor in weights.items():
            if tensor not in stored:
                raise ValueError(
                    f"{name} of {kind} operator {k} should be stored in the model, but is computed"
                )
        layers.append([{n: onnx.numpy_helper.to_array(stored[t]) for n, t in weights.items()}])
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        found.append(_meaning(kind, k, attributes, peepholes=any(node.input[7:])))
    if any(other != found[0] for other in found):
        raise ValueError(f"the {kind} operators should have the same attributes, got {found}")
    nonlinearity, settings = found[0]
    return FromOnnx(kind, nonlinearity, layers, settings)


def _package() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f"an .onnx file needs the package onnx: {error}") from None
    return onnx


def _meaning(
    kind: str, k: int, attributes: Mapping[str, Any], peepholes: bool
) -> tuple[str, dict[str, object]]:
    """Check what is no setting; give the nonlinearity and the settings."""
    direction = attributes.get("direction", b"forward").decode()
    if direction not in ("forward", "bidirectional"):
        raise ValueError(
            f"direction of {kind} operator {k} should be forward or bidirectional, got "
            f"{direction}: no module of torch.nn has that direction alone"
        )
    usual = _ACTIVATIONS[kind] * (2 if direction == "bidirectional" else 1)
    activations = [name.decode() for name in attributes.get("activations", [])] or usual
    nonlinearity = "tanh"
    if kind == "RNN" and len(set(activations)) == 1:
        nonlinearity = _NONLINEARITIES.get(activations[0], nonlinearity)
        usual = [nonlinearity.capitalize()] * len(usual)
    if activations != usual:
        raise ValueError(f"activations of {kind} operator {k} should be {usual}, got {activations}")
    known = LAYOUTS["onnx"][kind].settings
    settings = {name: value for name, value in attributes.items() if name in known}
    return nonlinearity, settings | ({"peepholes": True} if peepholes else {})

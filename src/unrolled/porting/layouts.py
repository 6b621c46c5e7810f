"""How each library stores the parameters of a recurrent module, and how to convert both ways.

The differences between libraries are data: which blocks of PyTorch's parameters are in which array,
in which order, whether they are transposed, and where each of the two biases goes. The code does
not know any library by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unrolled.shapes import (
    GATES,
    check_arguments,
    num_directions,
    parameter_name,
    parameter_shapes,
    parse_parameter_name,
)

__all__ = ["LAYOUTS", "Arrays", "Found", "Layout", "Setting", "from_layout", "to_layout"]

Arrays: TypeAlias = dict[str, NDArray[Any]]
Blocks: TypeAlias = list[tuple[tuple[str, ...], str]]  # names in PyTorch, gate

_BIASES = ("bias_ih", "bias_hh")
_MODES = {"RNN": "RNN_TANH", "GRU": "GRU", "LSTM": "LSTM"}  # relu has the parameters of tanh


class Found(NamedTuple):
    """What a file of another library holds.

    Attributes
    ----------
    layers : list of num_layers lists of D dicts of str to ndarray
        Argument of `from_layout`.
    settings : dict of str to object
        Further arguments of `from_layout`.
    nonlinearity : {"tanh", "relu"}, optional
        Activation of an RNN, if the file states it.
    notes : list of str
        What a user should know about how the file was read.

    Examples
    --------
    >>> Found([[{}]], {}, None, []).notes
    []
    """

    layers: list[list[Arrays]]
    settings: dict[str, Any]
    nonlinearity: str | None
    notes: list[str]


class Setting(NamedTuple):
    """An argument of the other library that decides which network it computes.

    Attributes
    ----------
    needed : object
        The value that gives the network that PyTorch computes.
    default : object
        The default in the other library.
    otherwise : str
        The effect of any other value.

    Examples
    --------
    >>> LAYOUTS["onnx"]["GRU"].settings["linear_before_reset"][:2]
    (1, 0)
    """

    needed: object
    default: object
    otherwise: str


@dataclass(frozen=True)
class Layout:
    """How a library stores the parameters of one layer in one direction.

    Attributes
    ----------
    module : str
        The class or function that computes the same as PyTorch's module.
    arrays : dict of str to str
        The contents of each array, in the library's order: a parameter of PyTorch and the gates
        whose blocks the array holds, as in ``"weight_ih zrn"``. ``bias_ih+bias_hh`` means their
        sum, a comma joins blocks along the same dimension, and a semicolon begins a new row.
    transposed : bool
        Whether weights are stored ``(in, out)``; otherwise ``(out, in)``, as in PyTorch.
    stacked : bool
        Whether the directions of a layer are in one array, along an extra first dimension.
    always_biased : bool
        Whether the biases cannot be left out.
    settings : dict of str to Setting
        The arguments that have to be set to get PyTorch's network.

    Examples
    --------
    >>> LAYOUTS["keras"]["GRU"].arrays["bias"]
    'bias_ih zrn; bias_hh zrn'
    """

    module: str
    arrays: Mapping[str, str]
    transposed: bool = False
    stacked: bool = False
    always_biased: bool = False
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def blocks(self, name: str) -> list[Blocks]:
        """Parse the description of an array.

        Parameters
        ----------
        name : str
            One of `arrays`.

        Returns
        -------
        list of lists of (tuple of str, str)
            The blocks of each row: the PyTorch parameters that are summed, and the gate.

        Examples
        --------
        >>> LAYOUTS["equinox"]["GRU"].blocks("bias")
        [[(('bias_ih', 'bias_hh'), 'r'), (('bias_ih', 'bias_hh'), 'z'), (('bias_ih',), 'n')]]
        """
        rows = []
        for row in self.arrays[name].split(";"):
            pairs = [part.split() for part in row.split(",")]
            rows.append([(tuple(of.split("+")), gate) for of, gates in pairs for gate in gates])
        return rows

    def shape(self, name: str, H_in: int, H_out: int) -> tuple[int, ...]:
        """Return the shape of an array.

        Parameters
        ----------
        name : str
            One of `arrays`.
        H_in, H_out : int
            Features of the layer's input and of its hidden state.

        Returns
        -------
        tuple of int
            The shape, for one direction.

        Examples
        --------
        >>> [LAYOUTS["keras"]["GRU"].shape(name, 10, 20) for name in ("kernel", "bias")]
        [(10, 60), (2, 60)]
        """
        rows = self.blocks(name)
        out = len(rows[0]) * H_out
        if self.is_bias(name):
            return (out,) if len(rows) == 1 else (len(rows), out)
        shape = (out, H_in if rows[0][0][0] == ("weight_ih",) else H_out)
        return shape[::-1] if self.transposed else shape

    def is_bias(self, name: str) -> bool:
        """Tell whether an array holds biases.

        Parameters
        ----------
        name : str
            One of `arrays`.

        Returns
        -------
        bool
            True if it does.

        Examples
        --------
        >>> LAYOUTS["onnx"]["LSTM"].is_bias("B")
        True
        """
        return self.arrays[name].startswith("bias")


_ONE = "bias_ih+bias_hh"  # a single bias, which is added where PyTorch adds two
_RESET = "the reset gate then comes before the product, in a network that torch.nn.GRU is not"
_CLIP = Setting(None, None, "the sums are then cut off before the activation")
_HARD = "the gates then have another activation, for example hard_sigmoid in an older Keras"


def _torch(gates: str) -> Layout:
    kinds = ("weight_ih", "weight_hh", *_BIASES)
    module = {"h": "RNN", "rzn": "GRU", "ifgo": "LSTM"}[gates]
    return Layout(f"torch.nn.{module}", {kind: f"{kind} {gates}" for kind in kinds})


def _keras(module: str, gates: str, bias: str, settings: Mapping[str, Setting]) -> Layout:
    arrays = {"kernel": f"weight_ih {gates}", "recurrent_kernel": f"weight_hh {gates}"}
    arrays["bias"] = bias
    return Layout(f"keras.layers.{module}", arrays, transposed=True, settings=settings)


def _onnx(operator: str, gates: str, settings: Mapping[str, Setting]) -> Layout:
    arrays = {"W": f"weight_ih {gates}", "R": f"weight_hh {gates}"}
    arrays["B"] = f"bias_ih {gates}, bias_hh {gates}"
    return Layout(f"ONNX {operator}", arrays, stacked=True, settings={"clip": _CLIP, **settings})


def _flax(module: str, arrays: Mapping[str, str], **settings: Setting) -> Layout:
    return Layout(f"flax.{module}", arrays, True, always_biased=True, settings=settings)


_RESIDUAL = Setting(False, False, "the old state is then added to the sum")
_ACTIVATIONS = {
    "activation": Setting("tanh", "tanh", "candidates then have another activation"),
    "recurrent_activation": Setting("sigmoid", "sigmoid", _HARD),
}

LAYOUTS: dict[str, dict[str, Layout]] = {
    "torch": {"RNN": _torch("h"), "GRU": _torch("rzn"), "LSTM": _torch("ifgo")},
    "keras": {
        "RNN": _keras("SimpleRNN", "h", f"{_ONE} h", {}),
        "GRU": _keras(
            *("GRU", "zrn", "bias_ih zrn; bias_hh zrn"),
            {"reset_after": Setting(True, True, _RESET), **_ACTIVATIONS},
        ),
        "LSTM": _keras("LSTM", "ifgo", f"{_ONE} ifgo", _ACTIVATIONS),
    },
    "onnx": {
        "RNN": _onnx("RNN", "h", {}),
        "GRU": _onnx("GRU", "zrn", {"linear_before_reset": Setting(1, 0, _RESET)}),
        "LSTM": _onnx(
            *("LSTM", "iofg"),
            {
                "input_forget": Setting(0, 0, "the input and the forget gate are then coupled"),
                "peepholes": Setting(False, False, "the gates then see the cell state"),
            },
        ),
    },
    "flax.linen": {
        "RNN": _flax(
            "linen.SimpleCell",
            {"i.kernel": "weight_ih h", "i.bias": f"{_ONE} h", "h.kernel": "weight_hh h"},
            residual=_RESIDUAL,
        ),
        "GRU": _flax(
            "linen.GRUCell",
            {f"i{gate}.kernel": f"weight_ih {gate}" for gate in "rzn"}
            | {"ir.bias": f"{_ONE} r", "iz.bias": f"{_ONE} z", "in.bias": "bias_ih n"}
            | {f"h{gate}.kernel": f"weight_hh {gate}" for gate in "rzn"}
            | {"hn.bias": "bias_hh n"},
        ),
        "LSTM": _flax(
            "linen.OptimizedLSTMCell",  # LSTMCell has the same arrays
            {f"i{gate}.kernel": f"weight_ih {gate}" for gate in "ifgo"}
            | {f"h{gate}.kernel": f"weight_hh {gate}" for gate in "ifgo"}
            | {f"h{gate}.bias": f"{_ONE} {gate}" for gate in "ifgo"},
        ),
    },
    "flax.nnx": {
        "RNN": _flax(
            "nnx.SimpleCell",
            {
                "dense_i.kernel": "weight_ih h",
                "dense_i.bias": f"{_ONE} h",
                "dense_h.kernel": "weight_hh h",
            },
            residual=_RESIDUAL,
        ),
        "GRU": _flax(
            "nnx.GRUCell",
            {
                "dense_i.kernel": "weight_ih rzn",
                "dense_i.bias": f"{_ONE} rz, bias_ih n",
                "dense_h.kernel": "weight_hh rzn",
            },
        ),
        "LSTM": _flax(
            "nnx.OptimizedLSTMCell",
            {
                "dense_i.kernel": "weight_ih ifgo",
                "dense_h.kernel": "weight_hh ifgo",
                "dense_h.bias": f"{_ONE} ifgo",
            },
        ),
    },
    "flax.nnx.LSTMCell": {
        "LSTM": _flax(
            "nnx.LSTMCell",
            {f"i{gate}{'_' * (gate == 'f')}.kernel": f"weight_ih {gate}" for gate in "ifgo"}
            | {f"h{gate}.kernel": f"weight_hh {gate}" for gate in "ifgo"}
            | {f"h{gate}.bias": f"{_ONE} {gate}" for gate in "ifgo"},
        ),
    },
    "equinox": {
        "GRU": Layout(
            "equinox.nn.GRUCell",
            {
                "weight_ih": "weight_ih rzn",
                "weight_hh": "weight_hh rzn",
                "bias": f"{_ONE} rz, bias_ih n",
                "bias_n": "bias_hh n",
            },
        ),
        "LSTM": Layout(
            "equinox.nn.LSTMCell",
            {
                "weight_ih": "weight_ih ifgo",
                "weight_hh": "weight_hh ifgo",
                "bias": f"{_ONE} ifgo",
            },
        ),
    },
}
"""How each library stores the parameters of ``"RNN"``, ``"GRU"`` and ``"LSTM"``.

The gates have PyTorch's letters: what Keras and ONNX call ``h`` in a GRU is ``n`` here, and what
they call ``c`` in an LSTM is ``g``. Equinox has no plain RNN."""


def to_layout(
    layout: str, kind: str, state: Mapping[str, ArrayLike], **settings: object
) -> list[list[Arrays]]:
    """Convert the parameters of a PyTorch recurrent module to the form of another library.

    Parameters
    ----------
    layout : str
        One of `LAYOUTS`.
    kind : {"RNN", "GRU", "LSTM"}
        Which module.
    state : mapping of str to array
        Its ``state_dict()``, as NumPy arrays or anything that ``numpy.asarray`` takes.
    **settings : object
        Arguments of the other library that decide which network it computes. They may be left out
        here, but must be set there; see ``LAYOUTS[layout][kind].settings``.

    Returns
    -------
    list of num_layers lists of D dicts of str to ndarray
        Arrays by name, for each layer and direction. If the directions share one array (ONNX), each
        inner list has one dict.

    Raises
    ------
    TypeError
        If `state` is not a mapping, if its arrays do not all have the same floating-point dtype, or
        if the module has no such setting.
    RuntimeError
        If names or shapes are not those of such a module; ``load_state_dict`` raises this type too.
    ValueError
        If `layout` has no such module, or the other library cannot compute the network: because of
        the value of a setting, a projection, or a bias that it does not have.

    Examples
    --------
    >>> state = {"weight_ih_l0": np.ones((6, 3)), "weight_hh_l0": np.ones((6, 2))}
    >>> [[arrays]] = to_layout("keras", "GRU", state)
    >>> {name: array.shape for name, array in arrays.items()}
    {'kernel': (3, 6), 'recurrent_kernel': (2, 6)}
    """
    entry = _entry(layout, kind)
    needed = {name: setting.needed for name, setting in entry.settings.items()}
    _check_settings(entry, needed | settings)
    parameters = _floats("state", state)
    num_layers, D = _check_state(kind, parameters)
    layers = []
    for layer in range(num_layers):
        directions = []
        for direction in range(D):
            gates = _split(kind, parameters, layer, direction)
            _check_nothing_is_lost(entry, gates, layer, direction)
            directions.append({name: _gather(entry, name, gates) for name in _names(entry, gates)})
        if entry.stacked:
            directions = [{k: np.stack([d[k] for d in directions]) for k in directions[0]}]
        layers.append(directions)
    return layers


def from_layout(
    layout: str,
    kind: str,
    layers: Sequence[Sequence[Mapping[str, ArrayLike]]],
    **settings: object,
) -> Arrays:
    """Convert another library's parameters to the state dict of a PyTorch recurrent module.

    Parameters
    ----------
    layout : str
        One of `LAYOUTS`.
    kind : {"RNN", "GRU", "LSTM"}
        Which module.
    layers : sequence of num_layers sequences of D mappings of str to array
        Arrays as `to_layout` returns them. Biases may be absent if the other library allows that.
    **settings : object
        Arguments of the other library that decide which network it computes. Those not given have
        that library's defaults; with its default, a GRU from ONNX is refused.

    Returns
    -------
    dict of str to ndarray
        Parameters by name, in PyTorch's order. A single bias goes to ``bias_ih``, and ``bias_hh``
        is zero.

    Raises
    ------
    TypeError
        If `layers` has the wrong structure, if its arrays do not all have the same floating-point
        dtype, or if the module has no such setting.
    RuntimeError
        If names or shapes do not match; ``load_state_dict`` raises this type too.
    ValueError
        If `layout` has no such module, or a setting does not have the value that PyTorch's network
        needs.

    Examples
    --------
    >>> arrays = {"kernel": np.ones((3, 2)), "recurrent_kernel": np.ones((2, 2)), "bias": [5.0, 6]}
    >>> from_layout("keras", "RNN", [[arrays]])["bias_ih_l0"]
    array([5., 6.])
    """
    entry = _entry(layout, kind)
    defaults = {name: setting.default for name, setting in entry.settings.items()}
    _check_settings(entry, defaults | settings)
    parts = _parts(entry, layers)
    biased = entry.always_biased or any(
        entry.is_bias(name) for name in parts[0][0] if name in entry.arrays
    )
    names = [name for name in entry.arrays if biased or not entry.is_bias(name)]
    state: Arrays = {}
    H_in = H_out = 0
    for layer, directions in enumerate(parts):
        for direction, arrays in enumerate(directions):
            where = f"layers[{layer}][{direction}]"
            _check_names(where, arrays, names)
            if layer == direction == 0:
                H_in = _columns(entry, where, arrays, "weight_ih")
                H_out = _columns(entry, where, arrays, "weight_hh")
                check_arguments(_MODES[kind], H_in, H_out)
            enter = len(directions) * H_out if layer else H_in
            for name in names:
                _check_shape(entry, where, name, arrays[name], entry.shape(name, enter, H_out))
            state |= _scatter(entry, kind, arrays, names, layer, direction)
    return _floats("layers", state)  # one dtype, in all layers


def _entry(layout: str, kind: str) -> Layout:
    if layout not in LAYOUTS:
        raise ValueError(f"layout should be one of {list(LAYOUTS)}, got {layout!r}")
    if kind not in _MODES:
        raise ValueError(f"kind should be one of {list(_MODES)}, got {kind!r}")
    if kind not in LAYOUTS[layout]:
        there = " and ".join(entry.module for entry in LAYOUTS[layout].values())
        raise ValueError(f"kind should be one that {layout} has, which is {there}, got {kind!r}")
    return LAYOUTS[layout][kind]


def _check_settings(entry: Layout, values: Mapping[str, object]) -> None:
    for name, value in values.items():
        if name not in entry.settings:
            raise TypeError(
                f"settings of {entry.module} should be among {list(entry.settings)}, got {name!r}"
            )
        setting = entry.settings[name]
        if value != setting.needed:
            raise ValueError(
                f"{name} of {entry.module} should be {setting.needed!r}, got {value!r}: "
                f"{setting.otherwise}"
            )


def _check_shape(
    entry: Layout, where: str, name: str, array: NDArray[Any], expected: tuple[int, ...]
) -> None:
    if array.shape != expected:
        # A Keras GRU's biases have another shape where the network is another.
        given = [f" with {key}=True" for key, s in entry.settings.items() if s.needed is True]
        raise RuntimeError(
            f"{where}[{name!r}] should have shape {expected}, as in {entry.module}"
            f"{''.join(given)}, got {array.shape}"
        )


def _floats(argument: str, arrays: object) -> Arrays:
    """Convert all values to arrays, except None, which stands for an absent bias."""
    if not isinstance(arrays, Mapping):
        raise TypeError(
            f"{argument} should be a mapping of names to arrays, got {type(arrays).__name__}"
        )
    found = {name: np.asarray(value) for name, value in arrays.items() if value is not None}
    dtypes = {array.dtype for array in found.values()}
    if len(dtypes) > 1 or any(dtype.kind != "f" for dtype in dtypes):
        raise TypeError(
            f"{argument} should have arrays of one floating-point dtype, got "
            f"{', '.join(sorted(map(str, dtypes)))}"
        )
    return found


def _check_names(argument: str, arrays: Mapping[str, object], expected: Sequence[str]) -> None:
    missing = [name for name in expected if name not in arrays]
    unexpected = [name for name in arrays if name not in expected]
    if missing or unexpected:
        raise RuntimeError(
            f"{argument} should have the names {list(expected)}; missing: {missing}, "
            f"unexpected: {unexpected}"
        )


def _places(state: Arrays) -> list[tuple[str, int, int]]:
    """Parse the names that end in a suffix; the others are not parameters of a module."""
    places = []
    for name in state:
        with suppress(ValueError):
            places.append(parse_parameter_name(name))
    return places


def _check_state(kind: str, state: Arrays) -> tuple[int, int]:
    """Check that these are the parameters of one module; return its layers and directions."""
    places = _places(state)
    for of, layer, direction in places:
        if of == "weight_hr":
            raise ValueError(
                f"proj_size should be 0, got the projection {parameter_name(of, layer, direction)}:"
                " of the libraries here only PyTorch has one"
            )
    weight_ih, weight_hh = parameter_name("weight_ih", 0), parameter_name("weight_hh", 0)
    for name in (weight_ih, weight_hh):
        if name not in state or state[name].ndim != 2:
            got = f"shape {state[name].shape}" if name in state else f"the names {list(state)}"
            raise RuntimeError(f"state should have a matrix {name}, got {got}")
    num_layers = sum(of == "weight_ih" and direction == 0 for of, _, direction in places)
    bidirectional = ("weight_ih", 0, 1) in places
    expected = parameter_shapes(
        _MODES[kind],
        input_size=state[weight_ih].shape[1],
        hidden_size=state[weight_hh].shape[1],
        num_layers=num_layers,
        bias=("bias_ih", 0, 0) in places,
        bidirectional=bidirectional,
    )
    _check_names("state", state, list(expected))
    for name, shape in expected.items():
        if state[name].shape != shape:
            raise RuntimeError(
                f"{name} should have shape {shape}, as in torch.nn.{kind}, got {state[name].shape}"
            )
    return num_layers, num_directions(bidirectional)


def _split(kind: str, state: Arrays, layer: int, direction: int) -> dict[tuple[str, str], Any]:
    """Split the parameters of one layer and direction into blocks, by parameter and gate."""
    blocks = {}
    for of in ("weight_ih", "weight_hh", *_BIASES):
        name = parameter_name(of, layer, direction)
        if name in state:
            gates = GATES[_MODES[kind]]
            parts = np.split(state[name], len(gates))
            blocks.update({(of, gate): part for gate, part in zip(gates, parts, strict=True)})
    return blocks


def _names(entry: Layout, gates: Mapping[tuple[str, str], Any]) -> Iterator[str]:
    biased = entry.always_biased or any(of in _BIASES for of, _ in gates)
    return (name for name in entry.arrays if biased or not entry.is_bias(name))


def _check_nothing_is_lost(
    entry: Layout, gates: Mapping[tuple[str, str], Any], layer: int, direction: int
) -> None:
    kept = {
        (of, gate)
        for name in entry.arrays
        for row in entry.blocks(name)
        for sources, gate in row
        for of in sources
    }
    for (of, gate), block in gates.items():
        if (of, gate) not in kept and block.any():
            raise ValueError(
                f"{parameter_name(of, layer, direction)} should be zero for the gate {gate}, got "
                f"values up to {abs(block).max():.2g}: {entry.module} has no bias there, and "
                "no other can take its place, because the reset gate multiplies this one"
            )


def _gather(entry: Layout, name: str, gates: Mapping[tuple[str, str], Any]) -> NDArray[Any]:
    """Assemble one array of the other library."""
    rows = []
    for row in entry.blocks(name):
        blocks = []
        for sources, gate in row:
            there = [gates[of, gate] for of in sources if (of, gate) in gates]
            weight = gates["weight_hh", gate]
            blocks.append(sum(there) if there else np.zeros(len(weight), weight.dtype))
        rows.append(np.concatenate(blocks))
    array = rows[0] if len(rows) == 1 else np.stack(rows)
    turned = entry.transposed and not entry.is_bias(name)
    return np.ascontiguousarray(array.T if turned else array)


def _parts(
    entry: Layout, layers: Sequence[Sequence[Mapping[str, ArrayLike]]]
) -> list[list[Arrays]]:
    """Check the structure, and give each direction a separate dict."""
    parts = []
    for layer, directions in enumerate(layers):
        found = [
            _floats(f"layers[{layer}][{direction}]", arrays)
            for direction, arrays in enumerate(directions)
        ]
        if entry.stacked:
            sizes = {
                array.shape[0] if array.ndim else 0 for arrays in found for array in arrays.values()
            }
            if len(found) != 1 or sizes not in ({1}, {2}):
                raise RuntimeError(
                    f"layers[{layer}] should have one mapping to arrays whose first dimension, the "
                    f"directions, is 1 or 2, got {len(found)} with the sizes {sorted(sizes)}"
                )
            found = [{k: array[d] for k, array in found[0].items()} for d in range(sizes.pop())]
        parts.append(found)
    for layer, directions in enumerate(parts):
        if len(directions) != len(parts[0]) or len(directions) not in (1, 2):
            raise RuntimeError(
                f"layers[{layer}] should have {len(parts[0]) if layer else '1 or 2'} directions, "
                f"got {len(directions)}"
            )
    if not parts:
        raise RuntimeError("layers should have at least one layer, got none")
    return parts


def _columns(entry: Layout, where: str, arrays: Arrays, of: str) -> int:
    """Count the features that a weight takes in."""
    name = next(name for name in entry.arrays if entry.arrays[name].startswith(of))
    shape = arrays[name].shape
    if len(shape) != 2:
        raise RuntimeError(f"{where}[{name!r}] should be a matrix, got shape {shape}")
    return shape[0 if entry.transposed else 1]


def _scatter(
    entry: Layout, kind: str, arrays: Arrays, names: Sequence[str], layer: int, direction: int
) -> Arrays:
    """Split the arrays of the other library, and assemble PyTorch's parameters from them."""
    blocks: dict[tuple[str, str], NDArray[Any]] = {}
    for name in names:
        rows = entry.blocks(name)
        array = arrays[name].T if entry.transposed and not entry.is_bias(name) else arrays[name]
        for part, row in zip([array] if len(rows) == 1 else array, rows, strict=True):
            for block, (sources, gate) in zip(np.split(part, len(row)), row, strict=True):
                blocks[sources[0], gate] = block
    state = {}
    biased = any(entry.is_bias(name) for name in names)
    for of in ("weight_ih", "weight_hh", *(_BIASES if biased else ())):
        # What the other side does not have, the second of two biases, is zero.
        parts = [
            blocks.get((of, gate), np.zeros_like(blocks["weight_hh", gate][:, 0]))
            for gate in GATES[_MODES[kind]]
        ]
        state[parameter_name(of, layer, direction)] = np.ascontiguousarray(np.concatenate(parts))
    return state

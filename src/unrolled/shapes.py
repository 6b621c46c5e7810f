"""Constructor arguments in, every shape out: parameters, input, states and output.

Pure Python. The rules come from ``torch.nn.RNNBase.__init__`` and from the sections "Inputs" and
"Outputs" in the docstrings of `torch.nn.RNN`, `torch.nn.LSTM` and `torch.nn.GRU`.

The sizes are those used on every page: ``L`` time steps, ``N`` sequences in a batch, ``H_in`` input
features, ``H_out`` features of the hidden state, ``D`` directions.
"""

import math
import numbers
import operator
import re
from typing import Any, TypeAlias

__all__ = [
    "GATES",
    "Shape",
    "cell_state_shape",
    "check_arguments",
    "gate_size",
    "hidden_state_shape",
    "input_shape",
    "layer_input_size",
    "num_directions",
    "output_shape",
    "parameter_count",
    "parameter_name",
    "parameter_shapes",
    "parse_parameter_name",
    "real_hidden_size",
    "uniform_bound",
]

Shape: TypeAlias = tuple[int, ...]

GATES: dict[str, tuple[str, ...]] = {
    "RNN_TANH": ("h",),
    "RNN_RELU": ("h",),
    "LSTM": ("i", "f", "g", "o"),
    "GRU": ("r", "z", "n"),
}
"""The gates of each mode, in the order of their blocks of ``hidden_size`` rows, top to bottom.

A plain RNN has a single block, for the hidden state itself."""


def gate_size(mode: str, hidden_size: int) -> int:
    """Count the rows of ``weight_ih``, ``weight_hh`` and both biases.

    Parameters
    ----------
    mode : str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``.
    hidden_size : int
        Features of one gate.

    Returns
    -------
    int
        ``hidden_size`` times the number of gates: 1, 1, 4 or 3.

    Raises
    ------
    ValueError
        If `mode` is not one of the four.

    Notes
    -----
    Source: ``gate_size`` in ``torch.nn.RNNBase.__init__``.

    Examples
    --------
    >>> [gate_size(mode, 20) for mode in ("RNN_TANH", "RNN_RELU", "GRU", "LSTM")]
    [20, 20, 60, 80]
    """
    _check_mode(mode)
    return len(GATES[mode]) * hidden_size


def real_hidden_size(hidden_size: int, proj_size: int = 0) -> int:
    """Count the features of the hidden state, ``H_out``.

    Parameters
    ----------
    hidden_size : int
        Features of one gate, and of the cell state.
    proj_size : int, default 0
        Features after the projection of an LSTM; 0 means no projection.

    Returns
    -------
    int
        `proj_size` if there is a projection, otherwise `hidden_size`.

    Notes
    -----
    Source: ``real_hidden_size`` in ``torch.nn.RNNBase.__init__``.

    Examples
    --------
    >>> real_hidden_size(20), real_hidden_size(20, proj_size=7)
    (20, 7)
    """
    return proj_size if proj_size > 0 else hidden_size


def num_directions(bidirectional: bool) -> int:
    """Count the directions, ``D``: 2 if `bidirectional`, otherwise 1.

    Parameters
    ----------
    bidirectional : bool
        Whether each layer also runs from the last time step to the first.

    Returns
    -------
    int
        1 or 2.

    Examples
    --------
    >>> num_directions(False), num_directions(True)
    (1, 2)
    """
    return 2 if bidirectional else 1


def layer_input_size(
    layer: int,
    input_size: int,
    hidden_size: int,
    bidirectional: bool = False,
    proj_size: int = 0,
) -> int:
    """Count the features that enter a layer.

    Parameters
    ----------
    layer : int
        Which layer, from 0.
    input_size, hidden_size, bidirectional, proj_size
        As in `parameter_shapes`.

    Returns
    -------
    int
        `input_size` for layer 0; for every other layer the output features of the layer below,
        ``D * H_out``.

    Notes
    -----
    Source: ``layer_input_size`` in ``torch.nn.RNNBase.__init__``.

    Examples
    --------
    >>> [layer_input_size(layer, 10, 20, bidirectional=True) for layer in range(3)]
    [10, 40, 40]
    """
    if layer == 0:
        return input_size
    return real_hidden_size(hidden_size, proj_size) * num_directions(bidirectional)


def parameter_name(kind: str, layer: int, direction: int = 0) -> str:
    """Name a parameter as PyTorch does.

    Parameters
    ----------
    kind : str
        ``"weight_ih"``, ``"weight_hh"``, ``"bias_ih"``, ``"bias_hh"`` or ``"weight_hr"``.
    layer : int
        Which layer, from 0.
    direction : int, default 0
        0 runs forward in time, 1 backward.

    Returns
    -------
    str
        Its name in ``state_dict``.

    Examples
    --------
    >>> parameter_name("weight_hh", 0), parameter_name("bias_ih", 1, direction=1)
    ('weight_hh_l0', 'bias_ih_l1_reverse')
    """
    return f"{kind}_l{layer}" + ("_reverse" if direction else "")


_NAME = re.compile(r"(.+)_l(0|[1-9][0-9]*)(_reverse)?", re.DOTALL)


def parse_parameter_name(name: str) -> tuple[str, int, int]:
    """Split a parameter name into its parts: the inverse of `parameter_name`.

    Parameters
    ----------
    name : str
        Name of a parameter, such as ``"weight_hh_l0"``.

    Returns
    -------
    kind : str
        The part before the suffix, such as ``"weight_hh"``.
    layer : int
        Which layer, from 0.
    direction : int
        0 runs forward in time, 1 backward.

    Raises
    ------
    ValueError
        If `name` does not end in a suffix such as ``_l0`` or ``_l0_reverse``.

    Examples
    --------
    >>> parse_parameter_name("weight_hh_l0"), parse_parameter_name("bias_ih_l1_reverse")
    (('weight_hh', 0, 0), ('bias_ih', 1, 1))
    """
    found = _NAME.fullmatch(name)
    if found is None:
        raise ValueError(f"name should end in a place such as _l0 or _l0_reverse, got {name!r}")
    kind, layer, reverse = found.groups()
    return kind, int(layer), 1 if reverse else 0


def parameter_shapes(
    mode: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    bidirectional: bool = False,
    proj_size: int = 0,
) -> dict[str, Shape]:
    """List the name and shape of every parameter, in the order in which PyTorch registers them.

    Parameters
    ----------
    mode : str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``.
    input_size, hidden_size : int
        Features of the input and of one gate.
    num_layers : int, default 1
        Number of stacked layers.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    bidirectional : bool, default False
        Whether each layer has a second set of parameters, for the reverse direction.
    proj_size : int, default 0
        Features after the projection (LSTM only); 0 means no projection.

    Returns
    -------
    dict of str to tuple of int
        Shapes by name.

    Raises
    ------
    TypeError, ValueError
        For arguments that ``torch.nn`` refuses; see `check_arguments`.

    Notes
    -----
    Weights are stored ``(out, in)``, as in `torch.nn.Linear`. Source: the two loops, over layers
    and directions, in ``torch.nn.RNNBase.__init__``.

    Examples
    --------
    >>> for name, shape in parameter_shapes("RNN_TANH", 10, 20).items():
    ...     print(name, shape)
    weight_ih_l0 (20, 10)
    weight_hh_l0 (20, 20)
    bias_ih_l0 (20,)
    bias_hh_l0 (20,)
    """
    check_arguments(
        mode,
        input_size,
        hidden_size,
        num_layers,
        bias=bias,
        bidirectional=bidirectional,
        proj_size=proj_size,
    )
    gates = gate_size(mode, hidden_size)
    H_out = real_hidden_size(hidden_size, proj_size)
    shapes: dict[str, Shape] = {}
    for layer in range(num_layers):
        for direction in range(num_directions(bidirectional)):
            H_in = layer_input_size(layer, input_size, hidden_size, bidirectional, proj_size)
            shapes[parameter_name("weight_ih", layer, direction)] = (gates, H_in)
            shapes[parameter_name("weight_hh", layer, direction)] = (gates, H_out)
            if bias:
                shapes[parameter_name("bias_ih", layer, direction)] = (gates,)
                shapes[parameter_name("bias_hh", layer, direction)] = (gates,)
            if proj_size > 0:
                shapes[parameter_name("weight_hr", layer, direction)] = (
                    proj_size,
                    hidden_size,
                )
    return shapes


def uniform_bound(hidden_size: int) -> float:
    """Return the bound of the initial distribution, ``1 / sqrt(hidden_size)``.

    Parameters
    ----------
    hidden_size : int
        Features of one gate. Neither ``input_size`` nor ``proj_size`` affects the bound.

    Returns
    -------
    float
        The bound. The standard deviation is smaller: ``bound / sqrt(3)``.

    Raises
    ------
    TypeError, ValueError
        If `hidden_size` is not an integer, or not greater than zero.

    Notes
    -----
    Source: ``torch.nn.RNNBase.reset_parameters``, where the bound is called ``stdv``.

    Examples
    --------
    >>> round(uniform_bound(20), 4)
    0.2236
    """
    if as_integer("hidden_size", hidden_size) <= 0:
        raise ValueError(f"hidden_size must be greater than zero, got {hidden_size}")
    return 1.0 / math.sqrt(hidden_size)


def parameter_count(
    mode: str,
    input_size: int,
    hidden_size: int,
    num_layers: int = 1,
    bias: bool = True,
    bidirectional: bool = False,
    proj_size: int = 0,
) -> int:
    """Count the trainable numbers of a module.

    Parameters
    ----------
    mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size
        As in `parameter_shapes`.

    Returns
    -------
    int
        The sum of the sizes of all parameters.

    Raises
    ------
    TypeError, ValueError
        For arguments that ``torch.nn`` refuses; see `check_arguments`.

    Examples
    --------
    >>> parameter_count("RNN_TANH", 10, 20)  # 20*10 + 20*20 + 20 + 20
    640
    """
    shapes = parameter_shapes(
        mode, input_size, hidden_size, num_layers, bias, bidirectional, proj_size
    )
    return sum(math.prod(shape) for shape in shapes.values())


def input_shape(L: int, N: int | None, input_size: int, batch_first: bool = False) -> Shape:
    """Return the shape of a module's input.

    Parameters
    ----------
    L : int
        Time steps.
    N : int or None
        Sequences in the batch; ``None`` for one sequence without a batch dimension.
    input_size : int
        Features of the input, ``H_in``.
    batch_first : bool, default False
        Constructor argument.

    Returns
    -------
    tuple of int
        ``(L, N, H_in)``; ``(N, L, H_in)`` with `batch_first`; ``(L, H_in)`` unbatched.

    Examples
    --------
    >>> input_shape(5, 3, 10), input_shape(5, 3, 10, batch_first=True), input_shape(5, None, 10)
    ((5, 3, 10), (3, 5, 10), (5, 10))
    """
    if N is None:
        return (L, input_size)
    return (N, L, input_size) if batch_first else (L, N, input_size)


def output_shape(
    L: int,
    N: int | None,
    hidden_size: int,
    bidirectional: bool = False,
    proj_size: int = 0,
    batch_first: bool = False,
) -> Shape:
    """Return the shape of ``output``, the hidden states of the last layer at all time steps.

    Parameters
    ----------
    L, N, batch_first
        As in `input_shape`.
    hidden_size, bidirectional, proj_size
        As in `parameter_shapes`.

    Returns
    -------
    tuple of int
        ``(L, N, D * H_out)``; ``(N, L, D * H_out)`` with `batch_first`; ``(L, D * H_out)``
        unbatched.

    Examples
    --------
    >>> output_shape(5, 3, 20), output_shape(5, 3, 20, bidirectional=True, batch_first=True)
    ((5, 3, 20), (3, 5, 40))
    """
    width = num_directions(bidirectional) * real_hidden_size(hidden_size, proj_size)
    return input_shape(L, N, width, batch_first)


def hidden_state_shape(
    N: int | None,
    hidden_size: int,
    num_layers: int = 1,
    bidirectional: bool = False,
    proj_size: int = 0,
) -> Shape:
    """Return the shape of ``h_0`` and ``h_n``. ``batch_first`` does not change it.

    Parameters
    ----------
    N, hidden_size, num_layers, bidirectional, proj_size
        As in `input_shape` and `parameter_shapes`.

    Returns
    -------
    tuple of int
        ``(D * num_layers, N, H_out)``; ``(D * num_layers, H_out)`` unbatched.

    Examples
    --------
    >>> hidden_state_shape(3, 20), hidden_state_shape(None, 20, num_layers=2, proj_size=7)
    ((1, 3, 20), (2, 7))
    """
    states = num_directions(bidirectional) * num_layers
    H_out = real_hidden_size(hidden_size, proj_size)
    return (states, H_out) if N is None else (states, N, H_out)


def cell_state_shape(
    N: int | None, hidden_size: int, num_layers: int = 1, bidirectional: bool = False
) -> Shape:
    """Return the shape of ``c_0`` and ``c_n`` of an LSTM. A projection does not change it.

    Parameters
    ----------
    N, hidden_size, num_layers, bidirectional
        As in `input_shape` and `parameter_shapes`.

    Returns
    -------
    tuple of int
        ``(D * num_layers, N, hidden_size)``; ``(D * num_layers, hidden_size)`` unbatched.

    Examples
    --------
    >>> cell_state_shape(3, 20, num_layers=2, bidirectional=True)
    (4, 3, 20)
    """
    return hidden_state_shape(N, hidden_size, num_layers, bidirectional)


def check_arguments(
    mode: str,
    input_size: object,
    hidden_size: object,
    num_layers: object = 1,
    *,
    bias: object = True,
    batch_first: object = False,
    dropout: object = 0.0,
    bidirectional: object = False,
    proj_size: object = 0,
) -> None:
    """Refuse the constructor arguments that ``torch.nn`` refuses.

    Parameters
    ----------
    mode : str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"LSTM"`` or ``"GRU"``.
    input_size, hidden_size, num_layers : object
        Should be integers greater than zero.
    bias, batch_first, bidirectional : object
        Should be booleans; `bidirectional` may be any object with a truth value.
    dropout : object
        Should be a number from 0 to 1.
    proj_size : object
        Should be an integer from 0 to ``hidden_size - 1``, and 0 for every mode except LSTM.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        For an argument of the wrong type or a value out of range, as in ``torch.nn``.

    Notes
    -----
    The exception types are PyTorch's. The messages also show the value that was passed.
    `torch.nn.RNN` accepts ``proj_size`` as its ninth positional argument and fails only in
    ``forward``; here the constructor raises the error.

    Examples
    --------
    >>> check_arguments("GRU", 10, 0)
    Traceback (most recent call last):
    ...
    ValueError: hidden_size must be greater than zero, got 0
    """
    # In PyTorch's order, so that of two mistakes both report the same one.
    probability = f"dropout should be a number in range [0, 1], a probability, got {dropout!r}"
    try:
        number = float(dropout)  # type: ignore[arg-type] # the exception is the check
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        raise type(error)(probability) from None
    if isinstance(dropout, bool) or not isinstance(dropout, numbers.Number) or not 0 <= number <= 1:
        raise ValueError(probability)
    for name, flag in (("bias", bias), ("batch_first", batch_first)):
        if not isinstance(flag, bool):
            raise TypeError(f"{name} should be of type bool, got {_typed(flag)}")
    try:
        bool(bidirectional)
    except (ValueError, RuntimeError) as error:  # from an array, NumPy's or torch's
        raise type(error)(f"bidirectional should be a bool, got {bidirectional!r}") from None
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
        if not isinstance(size, int):
            raise TypeError(f"{name} should be of type int, got {_typed(size)}")
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero, got {size}")
        # PyTorch takes True as 1 and refuses it only as a size by itself: 3 * True is an int.
        if size is True and name == "hidden_size" and mode in ("RNN_TANH", "RNN_RELU"):
            raise TypeError(f"{name} should be of type int, got {_typed(size)}")
    if _number("num_layers", num_layers) <= 0:
        raise ValueError(f"num_layers must be greater than zero, got {num_layers}")
    if _number("proj_size", proj_size) < 0:
        raise ValueError(
            f"proj_size should be a positive integer, or zero for no projection, got {proj_size}"
        )
    as_integer("num_layers", num_layers)
    projection = as_integer("proj_size", proj_size)
    if projection >= hidden_size:  # type: ignore[operator] # an int by now
        raise ValueError(
            "proj_size has to be smaller than hidden_size, "
            f"got proj_size={projection} and hidden_size={hidden_size}"
        )
    if isinstance(proj_size, bool) and projection:
        raise TypeError(f"proj_size should be of type int, got {_typed(proj_size)}")
    _check_mode(mode)
    if projection > 0 and mode != "LSTM":
        raise ValueError(
            f"proj_size argument is only supported for LSTM, got proj_size={projection} with "
            f"mode {mode!r}"
        )


def _typed(value: object) -> str:
    return f"{value!r} of type {type(value).__name__}"


def _number(name: str, value: object) -> Any:
    return value if isinstance(value, numbers.Real) else as_integer(name, value)


def as_integer(name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type] # the exception is the check
    except (TypeError, RuntimeError) as error:  # torch's, from a tensor without values
        raise type(error)(f"{name} should be an integer, got {_typed(value)}") from None


def _check_mode(mode: object) -> None:
    if not isinstance(mode, str):
        raise TypeError(f"mode should be a str, got {_typed(mode)}")
    if mode not in GATES:
        raise ValueError(f"mode should be one of {', '.join(map(repr, GATES))}, got {mode!r}")

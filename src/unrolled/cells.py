"""One time step, on NumPy arrays and torch tensors from the same lines.

A *step* takes input that is already projected by ``weight_ih``; a *cell* is that step after one
`linear`, as in `torch.nn.RNNCell`. The order of the additions is PyTorch's,
``(h @ weight_hh.T + bias_hh) + (x @ weight_ih.T + bias_ih)``, because in floating point another
order gives other bits.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 # its name everywhere

__all__ = [
    "ACTIVATIONS",
    "gru_cell",
    "gru_formula",
    "gru_step",
    "linear",
    "lstm_cell",
    "lstm_formula",
    "lstm_step",
    "relu",
    "rnn_cell",
    "rnn_formula",
    "rnn_step",
    "sigmoid",
    "tanh",
]

Array = TypeVar("Array", NDArray[Any], Tensor)
"""A NumPy array or a torch tensor; what goes in comes out."""


def linear(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Multiply by a weight stored ``(out, in)`` and add a bias: ``x @ weight.T + bias``.

    Parameters
    ----------
    x : ndarray or Tensor, shape (..., in)
        Rows to multiply.
    weight : ndarray or Tensor, shape (out, in)
        Weight, stored as in `torch.nn.Linear`.
    bias : ndarray or Tensor, shape (out,), optional
        Bias, added to every row.

    Returns
    -------
    ndarray or Tensor, shape (..., out)
        On tensors this is ``torch.nn.functional.linear``, with its dtype rules and its bits.

    Notes
    -----
    Source: the docstring of `torch.nn.functional.linear`.

    Examples
    --------
    >>> linear(np.ones((3, 2)), np.array([[1.0, 2.0]]), np.array([10.0]))
    array([[13.],
           [13.],
           [13.]])
    """
    if isinstance(x, Tensor):
        return F.linear(x, weight, bias)
    product = x @ weight.T
    return product if bias is None else product + bias


def tanh(a: Array) -> Array:
    """Take the hyperbolic tangent of each element.

    Parameters
    ----------
    a : ndarray or Tensor
        Any shape.

    Returns
    -------
    ndarray or Tensor
        The same shape, values from -1 to 1.

    Examples
    --------
    >>> tanh(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7616])
    """
    return torch.tanh(a) if isinstance(a, Tensor) else np.tanh(a)


def relu(a: Array) -> Array:
    """Take the larger of each element and zero.

    Parameters
    ----------
    a : ndarray or Tensor
        Any shape.

    Returns
    -------
    ndarray or Tensor
        The same shape, no value below zero.

    Examples
    --------
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return torch.relu(a) if isinstance(a, Tensor) else np.maximum(a, 0)


def sigmoid(a: Array) -> Array:
    """Take ``1 / (1 + exp(-a))`` of each element.

    Parameters
    ----------
    a : ndarray or Tensor
        Any shape.

    Returns
    -------
    ndarray or Tensor
        The same shape, values from 0 to 1.

    Notes
    -----
    On NumPy arrays it is ``(1 + tanh(a / 2)) / 2``, the same function without an overflow.

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    return torch.sigmoid(a) if isinstance(a, Tensor) else (1 + np.tanh(a / 2)) / 2


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"tanh": tanh, "relu": relu}
"""The two values of ``nonlinearity`` and their functions."""


def rnn_formula(
    x_projected: Array,
    h: Array,
    weight_hh: Array,
    bias_hh: Array | None,
    activation: Callable[[Array], Array],
) -> Array:
    """Compute `rnn_step` without its checks: what a loop over time calls once a step.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, H_out)
        ``x_t @ weight_ih.T + bias_ih``.
    h : ndarray or Tensor, shape (N, H_out)
        Hidden state after the previous step, ``h_{t-1}``.
    weight_hh : ndarray or Tensor, shape (H_out, H_out)
        Weight of the hidden state, stored (new, old).
    bias_hh : ndarray or Tensor, shape (H_out,), or None
        Its bias.
    activation : callable
        `tanh`, `relu` or another function of one array.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out)
        Hidden state after this step, ``h_t``.

    Notes
    -----
    ``h_t = tanh(h_{t-1} W_hh^T + b_hh + x_t W_ih^T + b_ih)``, from the docstring of
    `torch.nn.RNN`.

    Examples
    --------
    >>> rnn_formula(np.ones((1, 1)), np.ones((1, 1)), 2 * np.ones((1, 1)), None, relu)
    array([[3.]])
    """
    return activation(linear(h, weight_hh, bias_hh) + x_projected)


def rnn_step(
    x_projected: Array,
    h: Array,
    weight_hh: Array,
    bias_hh: Array | None = None,
    nonlinearity: str = "tanh",
) -> Array:
    """Take one step of a plain RNN from input that is already projected.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, H_out) or (H_out,)
        ``x_t @ weight_ih.T + bias_ih``.
    h : ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after the previous step, ``h_{t-1}``.
    weight_hh : ndarray or Tensor, shape (H_out, H_out)
        Weight of the hidden state, stored (new, old).
    bias_hh : ndarray or Tensor, shape (H_out,), optional
        Its bias.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step, ``h_t``.

    Raises
    ------
    TypeError
        If NumPy arrays and torch tensors are mixed.
    ValueError
        If `h` has neither one nor two dimensions.
    RuntimeError
        If shapes or dtypes do not fit, or `nonlinearity` is unknown: the type that
        `torch.nn.RNNCell` raises.

    Notes
    -----
    ``h_t = tanh(h_{t-1} W_hh^T + b_hh + x_t W_ih^T + b_ih)``, from the docstring of
    `torch.nn.RNN`; J. L. Elman, "Finding Structure in Time" (1990).

    Examples
    --------
    >>> rnn_step(np.array([1.0]), np.array([2.0]), np.array([[3.0]]), nonlinearity="relu")
    array([7.])
    """
    check_kinds(x_projected=x_projected, h=h, weight_hh=weight_hh, bias_hh=bias_hh)
    _check_state(h, weight_hh, bias_hh, gates=1)
    check_shape("x_projected", x_projected, (*h.shape[:-1], weight_hh.shape[0]))
    if nonlinearity not in ACTIVATIONS:
        raise RuntimeError(f"nonlinearity should be 'tanh' or 'relu', got {nonlinearity!r}")
    return rnn_formula(x_projected, h, weight_hh, bias_hh, ACTIVATIONS[nonlinearity])


def rnn_cell(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
    nonlinearity: str = "tanh",
) -> Array:
    """Take one step of a plain RNN, as `torch.nn.RNNCell` does.

    Parameters
    ----------
    x : ndarray or Tensor, shape (N, H_in) or (H_in,)
        Input at this time step, ``x_t``.
    h : ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after the previous step, ``h_{t-1}``.
    weight_ih : ndarray or Tensor, shape (H_out, H_in)
        Weight of the input.
    weight_hh : ndarray or Tensor, shape (H_out, H_out)
        Weight of the hidden state, stored (new, old).
    bias_ih, bias_hh : ndarray or Tensor, shape (H_out,), optional
        Their biases.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step, ``h_t``.

    Raises
    ------
    TypeError
        If NumPy arrays and torch tensors are mixed.
    ValueError
        If `x` or `h` has neither one nor two dimensions.
    RuntimeError
        If shapes or dtypes do not fit, or `nonlinearity` is unknown: the type that
        `torch.nn.RNNCell` raises.

    Notes
    -----
    ``h_t = tanh(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh)``, from the docstring of
    `torch.nn.RNN`; J. L. Elman, "Finding Structure in Time" (1990).

    Examples
    --------
    >>> cell = torch.nn.RNNCell(10, 20)
    >>> x, h = torch.randn(3, 10), torch.randn(3, 20)
    >>> torch.equal(rnn_cell(x, h, *cell.parameters()), cell(x, h))
    True

    The same lines run on NumPy:

    >>> parameters = [p.detach().numpy() for p in cell.parameters()]
    >>> rnn_cell(x.numpy(), h.numpy(), *parameters).shape
    (3, 20)
    """
    check_kinds(
        x=x, h=h, weight_ih=weight_ih, weight_hh=weight_hh, bias_ih=bias_ih, bias_hh=bias_hh
    )
    _check_input(x, weight_ih, bias_ih)
    return rnn_step(linear(x, weight_ih, bias_ih), h, weight_hh, bias_hh, nonlinearity)


def lstm_formula(
    x_projected: Array,
    state: tuple[Array, Array],
    weight_hh: Array,
    bias_hh: Array | None,
    weight_hr: Array | None = None,
) -> tuple[Array, Array]:
    """Compute `lstm_step` without its checks: what a loop over time calls once a step.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, 4 * hidden_size)
        ``x_t @ weight_ih.T + bias_ih``, gates ``i f g o`` side by side.
    state : tuple of two ndarrays or Tensors, shapes (N, H_out) and (N, hidden_size)
        Hidden state and cell state after the previous step.
    weight_hh : ndarray or Tensor, shape (4 * hidden_size, H_out)
        Weight of the hidden state.
    bias_hh : ndarray or Tensor, shape (4 * hidden_size,), or None
        Its bias.
    weight_hr : ndarray or Tensor, shape (H_out, hidden_size), or None
        Weight of the projection, if there is one.

    Returns
    -------
    h_t : ndarray or Tensor, shape (N, H_out)
        Hidden state after this step.
    c_t : ndarray or Tensor, shape (N, hidden_size)
        Cell state after this step.

    Notes
    -----
    ``c_t = f c_{t-1} + i g`` and ``h_t = o tanh(c_t)``, with ``i``, ``f``, ``o`` a sigmoid and
    ``g`` a hyperbolic tangent of their part of ``x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh``;
    with a projection ``h_t`` is multiplied by ``W_hr^T``. From the docstring of `torch.nn.LSTM`.

    Examples
    --------
    >>> zero = np.zeros((1, 1))
    >>> h, c = lstm_formula(np.array([[99.0, 99.0, 0.0, 99.0]]), (zero, zero + 2), np.zeros((4, 1)), None)
    >>> c  # the forget gate is open, and there is nothing to add
    array([[2.]])
    """  # noqa: E501 # an example of one line
    h_before, c_before = state
    gates = linear(h_before, weight_hh, bias_hh) + x_projected  # (N, 4 * hidden_size)
    i, f, g, o = _parts(gates, 4)  # (N, hidden_size) each
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c_t = f * c_before + i * g
    h_t = o * tanh(c_t)
    return (h_t if weight_hr is None else linear(h_t, weight_hr)), c_t


def lstm_step(
    x_projected: Array,
    state: tuple[Array, Array],
    weight_hh: Array,
    bias_hh: Array | None = None,
    weight_hr: Array | None = None,
) -> tuple[Array, Array]:
    """Take one step of an LSTM from input that is already projected.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, 4 * hidden_size) or (4 * hidden_size,)
        ``x_t @ weight_ih.T + bias_ih``, gates ``i f g o`` side by side.
    state : tuple of two ndarrays or Tensors, shapes (N, H_out) and (N, hidden_size)
        Hidden state and cell state after the previous step; unbatched without ``N``.
    weight_hh : ndarray or Tensor, shape (4 * hidden_size, H_out)
        Weight of the hidden state.
    bias_hh : ndarray or Tensor, shape (4 * hidden_size,), optional
        Its bias.
    weight_hr : ndarray or Tensor, shape (H_out, hidden_size), optional
        Weight of the projection. Without it ``H_out`` is ``hidden_size``.

    Returns
    -------
    h_t : ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step.
    c_t : ndarray or Tensor, shape (N, hidden_size) or (hidden_size,)
        Cell state after this step.

    Raises
    ------
    TypeError
        If `state` is not a tuple of two arrays, or NumPy arrays and torch tensors are mixed.
    ValueError
        If a state has neither one nor two dimensions.
    RuntimeError
        If shapes or dtypes do not fit, as `torch.nn.LSTMCell` does.

    Notes
    -----
    See `lstm_formula`. S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory" (1997), with
    the forget gate of F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to Forget" (2000).

    Examples
    --------
    >>> zeros = np.zeros((3, 20))
    >>> h, c = lstm_step(np.zeros((3, 80)), (zeros, zeros), np.zeros((80, 20)))
    >>> h.shape, c.shape
    ((3, 20), (3, 20))
    """
    h: Array
    c: Array
    h, c = _pair(state)
    check_kinds(
        x_projected=x_projected, h=h, c=c, weight_hh=weight_hh, bias_hh=bias_hh, weight_hr=weight_hr
    )
    _check_rank("h", h)
    _check_rank("c", c)
    H_out = h.shape[-1]
    hidden_size = H_out if weight_hr is None else weight_hr.shape[-1]
    check_shape("c", c, (*h.shape[:-1], hidden_size))
    check_shape("weight_hh", weight_hh, (4 * hidden_size, H_out))
    if bias_hh is not None:
        check_shape("bias_hh", bias_hh, (4 * hidden_size,))
    if weight_hr is not None:
        check_shape("weight_hr", weight_hr, (H_out, hidden_size))
    check_shape("x_projected", x_projected, (*h.shape[:-1], 4 * hidden_size))
    return lstm_formula(x_projected, (h, c), weight_hh, bias_hh, weight_hr)


def lstm_cell(
    x: Array,
    state: tuple[Array, Array],
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
    weight_hr: Array | None = None,
) -> tuple[Array, Array]:
    """Take one step of an LSTM, as `torch.nn.LSTMCell` does.

    Parameters
    ----------
    x : ndarray or Tensor, shape (N, H_in) or (H_in,)
        Input at this time step, ``x_t``.
    state : tuple of two ndarrays or Tensors, shapes (N, H_out) and (N, hidden_size)
        Hidden state and cell state after the previous step; unbatched without ``N``.
    weight_ih : ndarray or Tensor, shape (4 * hidden_size, H_in)
        Weight of the input, gates ``i f g o`` from top to bottom.
    weight_hh : ndarray or Tensor, shape (4 * hidden_size, H_out)
        Weight of the hidden state.
    bias_ih, bias_hh : ndarray or Tensor, shape (4 * hidden_size,), optional
        Their biases.
    weight_hr : ndarray or Tensor, shape (H_out, hidden_size), optional
        Weight of the projection, which `torch.nn.LSTMCell` does not have.

    Returns
    -------
    h_t : ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step.
    c_t : ndarray or Tensor, shape (N, hidden_size) or (hidden_size,)
        Cell state after this step.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As `lstm_step` does; ``RuntimeError`` also if `x` does not fit `weight_ih`.

    Notes
    -----
    See `lstm_formula`; the source is the docstring of `torch.nn.LSTM`.

    Examples
    --------
    >>> cell = torch.nn.LSTMCell(10, 20)
    >>> x, h, c = torch.randn(3, 10), torch.randn(3, 20), torch.randn(3, 20)
    >>> ours, theirs = lstm_cell(x, (h, c), *cell.parameters()), cell(x, (h, c))
    >>> [torch.equal(a, b) for a, b in zip(ours, theirs)]
    [True, True]
    """
    check_kinds(x=x, weight_ih=weight_ih, weight_hh=weight_hh, bias_ih=bias_ih)
    _check_input(x, weight_ih, bias_ih)
    return lstm_step(linear(x, weight_ih, bias_ih), state, weight_hh, bias_hh, weight_hr)


def gru_formula(
    x_projected: Array, h: Array, weight_hh: Array, bias_hh: Array | None = None
) -> Array:
    """Compute `gru_step` without its checks: what a loop over time calls once a step.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, 3 * H_out)
        ``x_t @ weight_ih.T + bias_ih``, parts ``r z n`` side by side.
    h : ndarray or Tensor, shape (N, H_out)
        Hidden state after the previous step.
    weight_hh : ndarray or Tensor, shape (3 * H_out, H_out)
        Weight of the hidden state.
    bias_hh : ndarray or Tensor, shape (3 * H_out,), or None
        Its bias.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out)
        Hidden state after this step.

    Notes
    -----
    ``r`` and ``z`` are a sigmoid of their part of ``x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh``,
    ``n = tanh(x_t W_in^T + b_in + r (h_{t-1} W_hn^T + b_hn))`` and
    ``h_t = (1 - z) n + z h_{t-1}``, from the docstring of `torch.nn.GRU`; the last is computed as
    ``(h_{t-1} - n) z + n``, as PyTorch does.

    Examples
    --------
    >>> h = np.array([[2.0]])
    >>> gru_formula(np.array([[0.0, 99.0, 0.0]]), h, np.zeros((3, 1)))  # z = 1 keeps the state
    array([[2.]])
    """
    H_out = h.shape[-1]
    h_projected = linear(h, weight_hh, bias_hh)  # (N, 3 * H_out)
    # Sums of r and z alone: n needs its two parts apart, and the product with r between them.
    (rz_h, n_h), (rz_x, n_x) = _cut(h_projected, 2 * H_out), _cut(x_projected, 2 * H_out)
    r, z = _cut(rz_h + rz_x, H_out)
    r, z = sigmoid(r), sigmoid(z)  # (N, H_out) each
    n = tanh(n_x + r * n_h)  # (N, H_out)
    return (h - n) * z + n


def gru_step(x_projected: Array, h: Array, weight_hh: Array, bias_hh: Array | None = None) -> Array:
    """Take one step of a GRU from input that is already projected.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, 3 * H_out) or (3 * H_out,)
        ``x_t @ weight_ih.T + bias_ih``, parts ``r z n`` side by side.
    h : ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after the previous step, ``h_{t-1}``.
    weight_hh : ndarray or Tensor, shape (3 * H_out, H_out)
        Weight of the hidden state.
    bias_hh : ndarray or Tensor, shape (3 * H_out,), optional
        Its bias.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step, ``h_t``.

    Raises
    ------
    TypeError
        If NumPy arrays and torch tensors are mixed.
    ValueError
        If `h` has neither one nor two dimensions.
    RuntimeError
        If shapes or dtypes do not fit, as `torch.nn.GRUCell` does.

    Notes
    -----
    See `gru_formula`. K. Cho and others, "Learning Phrase Representations using RNN
    Encoder-Decoder for Statistical Machine Translation" (2014), with the reset gate after the
    product.

    Examples
    --------
    >>> gru_step(np.zeros((3, 60)), np.ones((3, 20)), np.zeros((60, 20))).shape
    (3, 20)
    """
    check_kinds(x_projected=x_projected, h=h, weight_hh=weight_hh, bias_hh=bias_hh)
    _check_state(h, weight_hh, bias_hh, gates=3)
    check_shape("x_projected", x_projected, (*h.shape[:-1], weight_hh.shape[0]))
    return gru_formula(x_projected, h, weight_hh, bias_hh)


def gru_cell(
    x: Array,
    h: Array,
    weight_ih: Array,
    weight_hh: Array,
    bias_ih: Array | None = None,
    bias_hh: Array | None = None,
) -> Array:
    """Take one step of a GRU, as `torch.nn.GRUCell` does.

    Parameters
    ----------
    x : ndarray or Tensor, shape (N, H_in) or (H_in,)
        Input at this time step, ``x_t``.
    h : ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after the previous step, ``h_{t-1}``.
    weight_ih : ndarray or Tensor, shape (3 * H_out, H_in)
        Weight of the input, parts ``r z n`` from top to bottom.
    weight_hh : ndarray or Tensor, shape (3 * H_out, H_out)
        Weight of the hidden state.
    bias_ih, bias_hh : ndarray or Tensor, shape (3 * H_out,), optional
        Their biases.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step, ``h_t``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As `gru_step` does; ``RuntimeError`` also if `x` does not fit `weight_ih`.

    Notes
    -----
    See `gru_formula`; the source is the docstring of `torch.nn.GRU`.

    Examples
    --------
    >>> cell = torch.nn.GRUCell(10, 20)
    >>> x, h = torch.randn(3, 10), torch.randn(3, 20)
    >>> torch.equal(gru_cell(x, h, *cell.parameters()), cell(x, h))
    True
    """
    check_kinds(x=x, h=h, weight_ih=weight_ih, weight_hh=weight_hh, bias_ih=bias_ih)
    _check_input(x, weight_ih, bias_ih)
    return gru_step(linear(x, weight_ih, bias_ih), h, weight_hh, bias_hh)


def _parts(a: Array, count: int) -> list[Array]:
    """Cut the features into equal parts: views, whose rows lie as far apart as those of `a`.

    PyTorch applies activations to such views. On a contiguous copy its vector instructions would
    meet other elements, and round some of them the other way.
    """
    if isinstance(a, Tensor):
        return list(a.chunk(count, -1))
    width = a.shape[-1] // count
    return [a[..., part * width : (part + 1) * width] for part in range(count)]


def _cut(a: Array, width: int) -> tuple[Array, Array]:
    """Cut the features in two: views, as in `_parts`."""
    if isinstance(a, Tensor):
        # Not Tensor.split, which asks for subclasses in Python first and takes as long again.
        first, second = torch.split_with_sizes(a, (width, a.shape[-1] - width), -1)
        return first, second
    return a[..., :width], a[..., width:]


def _pair(state: object) -> tuple[Any, Any]:
    if not isinstance(state, tuple) or len(state) != 2:
        what = f"a tuple of {len(state)}" if isinstance(state, tuple) else type(state).__name__
        raise TypeError(f"state should be a tuple (h, c), got {what}")
    return state


def check_kinds(**arrays: NDArray[Any] | Tensor | None) -> None:
    """Refuse what is no array, two kinds of arrays, or two dtypes."""
    given = {name: array for name, array in arrays.items() if array is not None}
    first, expected = next(iter(given.items()))
    kind = Tensor if isinstance(expected, Tensor) else np.ndarray
    for name, array in given.items():
        if not isinstance(array, kind):
            raise TypeError(
                f"{name} should be a {'torch.Tensor' if kind is Tensor else 'numpy.ndarray'} "
                f"like {first}, got {type(array).__name__}"
            )
        if array.dtype != expected.dtype and not torch.is_autocast_enabled(_device(array)):
            raise RuntimeError(
                f"{name} should have the dtype of {first}, {expected.dtype}, got {array.dtype}"
            )


def _device(array: NDArray[Any] | Tensor) -> str:
    return array.device.type if isinstance(array, Tensor) else "cpu"


def _check_input(x: Array, weight_ih: Array, bias_ih: Array | None) -> None:
    _check_rank("x", x)
    if x.shape[-1] != weight_ih.shape[-1]:
        raise RuntimeError(
            f"x should have {weight_ih.shape[-1]} features, the columns of weight_ih, "
            f"got {x.shape[-1]}"
        )
    if bias_ih is not None:
        check_shape("bias_ih", bias_ih, (weight_ih.shape[0],))


def _check_state(h: Array, weight_hh: Array, bias_hh: Array | None, gates: int) -> None:
    _check_rank("h", h)
    H_out = h.shape[-1]
    check_shape("weight_hh", weight_hh, (gates * H_out, H_out))
    if bias_hh is not None:
        check_shape("bias_hh", bias_hh, (gates * H_out,))


def _check_rank(name: str, array: NDArray[Any] | Tensor) -> None:
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} should be 1D or 2D, got {array.ndim}D of shape {_shape(array)}")


def check_shape(name: str, array: NDArray[Any] | Tensor, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise RuntimeError(f"{name} should have shape {tuple(expected)}, got {_shape(array)}")


def _shape(array: NDArray[Any] | Tensor) -> tuple[int, ...]:
    return tuple(array.shape)

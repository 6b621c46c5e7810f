"""One time step, written once for NumPy arrays and torch tensors.

A *step* takes input that is already projected by ``weight_ih``; a *cell* projects the input with
one `linear` and then takes the step, as `torch.nn.RNNCell` does. The additions follow PyTorch's
order, ``(h @ weight_hh.T + bias_hh) + (x @ weight_ih.T + bias_ih)``, because in floating point a
different order rounds differently.

A step contains only the formula, since the loop over time calls it at every time step. Its
arguments are checked earlier, by the cell or at the start of a direction
(`unrolled.layers.plain_direction`). If you call a step directly, errors come from torch or NumPy,
and shapes that can be broadcast are broadcast.
"""

from collections.abc import Callable
from typing import Any

import numpy as np  # noqa: F401 # the examples use it
import torch  # noqa: F401 # the same

from unrolled._checks import check_step
from unrolled.arrays import Array, chunk, linear, relu, sigmoid, split, tanh

__all__ = [
    "ACTIVATIONS",
    "gru_cell",
    "gru_step",
    "lstm_cell",
    "lstm_step",
    "rnn_cell",
    "rnn_step",
]

ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"tanh": tanh, "relu": relu}
"""The function for each of the two values of ``nonlinearity``."""


def rnn_step(
    x_projected: Array,
    h: Array,
    weight_hh: Array,
    bias_hh: Array | None = None,
    nonlinearity: str = "tanh",
) -> Array:
    """Take one step of a plain RNN, given input that is already projected.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, H_out) or (H_out,)
        ``x_t @ weight_ih.T + bias_ih``.
    h : ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after the previous step, ``h_{t-1}``.
    weight_hh : ndarray or Tensor, shape (H_out, H_out)
        Weight of the hidden state; a row for each new feature, a column for each old one.
    bias_hh : ndarray or Tensor, shape (H_out,), optional
        Its bias.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step, ``h_t``.

    Notes
    -----
    ``h_t = tanh(h_{t-1} W_hh^T + b_hh + x_t W_ih^T + b_ih)``, from the docstring of
    `torch.nn.RNN`; J. L. Elman, "Finding Structure in Time" (1990).

    Examples
    --------
    >>> rnn_step(np.array([1.0]), np.array([2.0]), np.array([[3.0]]), nonlinearity="relu")
    array([7.])
    """
    activation = ACTIVATIONS[nonlinearity]
    return activation(linear(h, weight_hh, bias_hh) + x_projected)


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
    h, weight_hh, bias_hh, nonlinearity
        As in `rnn_step`.
    weight_ih : ndarray or Tensor, shape (H_out, H_in)
        Weight of the input.
    bias_ih : ndarray or Tensor, shape (H_out,), optional
        Its bias.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step, ``h_t``.

    Raises
    ------
    TypeError
        If an argument is not an array, or NumPy arrays are mixed with torch tensors.
    ValueError
        If `x` or `h` has neither one nor two dimensions.
    RuntimeError
        If shapes, dtypes or devices do not match, dtypes are not floating-point, or `nonlinearity`
        is unknown. `torch.nn.RNNCell` raises this type too.

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

    The same code runs on NumPy arrays:

    >>> parameters = [p.detach().numpy() for p in cell.parameters()]
    >>> rnn_cell(x.numpy(), h.numpy(), *parameters).shape
    (3, 20)
    """
    _check_cell(x, {"h": h}, weight_ih, weight_hh, bias_ih, bias_hh, gates=1)
    if not isinstance(nonlinearity, str) or nonlinearity not in ACTIVATIONS:
        raise RuntimeError(f"nonlinearity should be 'tanh' or 'relu', got {nonlinearity!r}")
    return rnn_step(linear(x, weight_ih, bias_ih), h, weight_hh, bias_hh, nonlinearity)


def lstm_step(
    x_projected: Array,
    state: tuple[Array, Array],
    weight_hh: Array,
    bias_hh: Array | None = None,
) -> tuple[Array, Array]:
    """Take one step of an LSTM, given input that is already projected.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, 4 * hidden_size) or (4 * hidden_size,)
        ``x_t @ weight_ih.T + bias_ih``, with the gates ``i f g o`` side by side.
    state : tuple of two ndarrays or Tensors, shapes (N, H_out) and (N, hidden_size)
        Hidden state and cell state after the previous step; without ``N`` if unbatched.
    weight_hh : ndarray or Tensor, shape (4 * hidden_size, H_out)
        Weight of the hidden state.
    bias_hh : ndarray or Tensor, shape (4 * hidden_size,), optional
        Its bias.

    Returns
    -------
    h_t : ndarray or Tensor, shape (N, hidden_size) or (hidden_size,)
        Hidden state after this step, before any projection.
    c_t : ndarray or Tensor, shape (N, hidden_size) or (hidden_size,)
        Cell state after this step.

    Notes
    -----
    ``c_t = f c_{t-1} + i g`` and ``h_t = o tanh(c_t)``, where ``i``, ``f`` and ``o`` are the
    sigmoids, and ``g`` is the hyperbolic tangent, of the corresponding parts of
    ``x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh``; from the docstring of `torch.nn.LSTM`.
    S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory" (1997), with the forget gate of
    F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to Forget" (2000).

    Examples
    --------
    >>> zero, open_gates = np.zeros((1, 1)), np.array([[99.0, 99.0, 0.0, 99.0]])
    >>> h, c = lstm_step(open_gates, (zero, zero + 2), np.zeros((4, 1)))
    >>> c  # the forget gate is open, and there is nothing to add
    array([[2.]])
    """
    h_before, c_before = state
    gates = linear(h_before, weight_hh, bias_hh) + x_projected  # (N, 4 * hidden_size)
    i, f, g, o = chunk(gates, 4)  # (N, hidden_size) each
    i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
    c_t = f * c_before + i * g
    h_t = o * tanh(c_t)
    return h_t, c_t


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
    state, weight_hh, bias_hh
        As in `lstm_step`; `state` may also be a list, as for `torch.nn.LSTMCell`.
    weight_ih : ndarray or Tensor, shape (4 * hidden_size, H_in)
        Weight of the input, with the gates ``i f g o`` from top to bottom.
    bias_ih : ndarray or Tensor, shape (4 * hidden_size,), optional
        Its bias.
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
        As in `rnn_cell`; ``TypeError`` also if `state` is not a pair.

    Notes
    -----
    See `lstm_step`; a projection then multiplies ``h_t`` by ``W_hr^T``. Source: the docstring of
    `torch.nn.LSTM`.

    Examples
    --------
    >>> cell = torch.nn.LSTMCell(10, 20)
    >>> x, h, c = torch.randn(3, 10), torch.randn(3, 20), torch.randn(3, 20)
    >>> ours, theirs = lstm_cell(x, (h, c), *cell.parameters()), cell(x, (h, c))
    >>> [torch.equal(a, b) for a, b in zip(ours, theirs)]
    [True, True]
    """
    if not isinstance(state, (tuple, list)) or len(state) != 2:
        kind = type(state).__name__
        what = f"a {kind} of {len(state)}" if isinstance(state, (tuple, list)) else kind
        raise TypeError(f"state should be a tuple (h, c), got {what}")
    given = {"state[0]": state[0], "state[1]": state[1]}
    _check_cell(x, given, weight_ih, weight_hh, bias_ih, bias_hh, weight_hr, gates=4)
    h, c = lstm_step(linear(x, weight_ih, bias_ih), state, weight_hh, bias_hh)
    return (h if weight_hr is None else linear(h, weight_hr)), c


def gru_step(x_projected: Array, h: Array, weight_hh: Array, bias_hh: Array | None = None) -> Array:
    """Take one step of a GRU, given input that is already projected.

    Parameters
    ----------
    x_projected : ndarray or Tensor, shape (N, 3 * H_out) or (3 * H_out,)
        ``x_t @ weight_ih.T + bias_ih``, with the parts ``r z n`` side by side.
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

    Notes
    -----
    ``r`` and ``z`` are the sigmoids of their parts of
    ``x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh``,
    ``n = tanh(x_t W_in^T + b_in + r (h_{t-1} W_hn^T + b_hn))`` and
    ``h_t = (1 - z) n + z h_{t-1}``; from the docstring of `torch.nn.GRU`. Like PyTorch, the code
    computes ``h_t`` as ``(h_{t-1} - n) z + n``. K. Cho and others, "Learning Phrase Representations
    using RNN Encoder-Decoder for Statistical Machine Translation" (2014), but with the reset gate
    applied after the product.

    Examples
    --------
    >>> h = np.array([[2.0]])
    >>> gru_step(np.array([[0.0, 99.0, 0.0]]), h, np.zeros((3, 1)))  # z = 1 keeps the state
    array([[2.]])
    """
    H_out = h.shape[-1]
    h_projected = linear(h, weight_hh, bias_hh)  # (N, 3 * H_out)
    # Add the two parts for r and z only: n keeps them separate, since r multiplies one of them.
    rz_h, n_h = split(h_projected, (2 * H_out, H_out))
    rz_x, n_x = split(x_projected, (2 * H_out, H_out))
    r, z = split(rz_h + rz_x, (H_out, H_out))  # (N, H_out) each
    r, z = sigmoid(r), sigmoid(z)
    n = tanh(n_x + r * n_h)  # (N, H_out)
    return (h - n) * z + n


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
    h, weight_hh, bias_hh
        As in `gru_step`.
    weight_ih : ndarray or Tensor, shape (3 * H_out, H_in)
        Weight of the input, with the parts ``r z n`` from top to bottom.
    bias_ih : ndarray or Tensor, shape (3 * H_out,), optional
        Its bias.

    Returns
    -------
    ndarray or Tensor, shape (N, H_out) or (H_out,)
        Hidden state after this step, ``h_t``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As in `rnn_cell`.

    Notes
    -----
    See `gru_step`. Source: the docstring of `torch.nn.GRU`.

    Examples
    --------
    >>> cell = torch.nn.GRUCell(10, 20)
    >>> x, h = torch.randn(3, 10), torch.randn(3, 20)
    >>> torch.equal(gru_cell(x, h, *cell.parameters()), cell(x, h))
    True
    """
    _check_cell(x, {"h": h}, weight_ih, weight_hh, bias_ih, bias_hh, gates=3)
    return gru_step(linear(x, weight_ih, bias_ih), h, weight_hh, bias_hh)


def _check_cell(x: Any, states: dict[str, Any], *weights: Any, gates: int) -> None:
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    given = dict(zip(names, weights))  # noqa: B905 # PyTorch 2.6 compiles no `strict=False`
    check_step({"x": x}, states, given, gates=gates)

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

__all__ = ["ACTIVATIONS", "linear", "relu", "rnn_cell", "rnn_formula", "rnn_step", "tanh"]

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
    _check_kinds(x_projected=x_projected, h=h, weight_hh=weight_hh, bias_hh=bias_hh)
    _check_state(h, weight_hh, bias_hh, gates=1)
    _check_shape("x_projected", x_projected, (*h.shape[:-1], weight_hh.shape[0]))
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
    _check_kinds(
        x=x, h=h, weight_ih=weight_ih, weight_hh=weight_hh, bias_ih=bias_ih, bias_hh=bias_hh
    )
    _check_input(x, weight_ih, bias_ih)
    return rnn_step(linear(x, weight_ih, bias_ih), h, weight_hh, bias_hh, nonlinearity)


def _check_kinds(**arrays: NDArray[Any] | Tensor | None) -> None:
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
        _check_shape("bias_ih", bias_ih, (weight_ih.shape[0],))


def _check_state(h: Array, weight_hh: Array, bias_hh: Array | None, gates: int) -> None:
    _check_rank("h", h)
    H_out = h.shape[-1]
    _check_shape("weight_hh", weight_hh, (gates * H_out, H_out))
    if bias_hh is not None:
        _check_shape("bias_hh", bias_hh, (gates * H_out,))


def _check_rank(name: str, array: NDArray[Any] | Tensor) -> None:
    if array.ndim not in (1, 2):
        raise ValueError(f"{name} should be 1D or 2D, got {array.ndim}D of shape {_shape(array)}")


def _check_shape(name: str, array: NDArray[Any] | Tensor, expected: tuple[int, ...]) -> None:
    if array.shape != expected:
        raise RuntimeError(f"{name} should have shape {tuple(expected)}, got {_shape(array)}")


def _shape(array: NDArray[Any] | Tensor) -> tuple[int, ...]:
    return tuple(array.shape)

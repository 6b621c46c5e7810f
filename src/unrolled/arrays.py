"""The only place where NumPy and torch differ: each operation, under torch's name for it.

Formulas use `linear`, `tanh` and the others, which check the type of their argument at each call.
A loop that runs many steps calls `namespace` once instead. Arrays and tensors are never mixed.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 # its name everywhere

__all__ = ["Array", "chunk", "linear", "namespace", "relu", "sigmoid", "split", "tanh", "where"]

Array = TypeVar("Array", NDArray[Any], Tensor)
"""A NumPy array or a torch tensor; a function returns the kind that it is given."""


class _Torch:
    cat: Callable[..., Any] = torch.cat
    linear: Callable[..., Any] = F.linear
    mul: Callable[..., Any] = torch.mul
    stack: Callable[..., Any] = torch.stack
    sub: Callable[..., Any] = torch.sub
    sum: Callable[..., Any] = torch.sum
    unbind: Callable[..., Any] = torch.unbind
    zeros_like: Callable[..., Any] = torch.zeros_like

    addcmul_: Callable[..., Any] = Tensor.addcmul_
    addmm_: Callable[..., Any] = Tensor.addmm_
    lerp: Callable[..., Any] = torch.lerp
    masked_fill_: Callable[..., Any] = Tensor.masked_fill_
    relu_: Callable[..., Any] = torch.relu_
    sigmoid_: Callable[..., Any] = torch.sigmoid_
    tanh_: Callable[..., Any] = torch.tanh_

    new_empty: Callable[..., Any] = Tensor.new_empty
    new_zeros: Callable[..., Any] = Tensor.new_zeros
    to: Callable[..., Any] = Tensor.to

    @staticmethod
    def addmm(bias: Any, a: Tensor, b: Tensor, out: Tensor) -> Tensor:
        return torch.mm(a, b, out=out) if bias is None else torch.addmm(bias, a, b, out=out)

    @staticmethod
    def chunk(a: Tensor, chunks: int) -> Sequence[Tensor]:
        return a.chunk(chunks, -1)

    @staticmethod
    def clone(a: Tensor) -> Tensor:
        return a.clone(memory_format=torch.contiguous_format)

    @staticmethod
    def split(a: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
        # Not Tensor.split, which first checks for subclasses in Python and so takes twice as long.
        return torch.split_with_sizes(a, sizes, -1)

    @staticmethod
    def where(mask: Tensor, a: Tensor, b: Tensor) -> Tensor:
        # Under autocast a step may return a different dtype from the one it was given.
        return torch.where(mask[..., None], a, b.to(a.dtype))


class _NumPy:
    cat: Callable[..., Any] = np.concatenate
    mul: Callable[..., Any] = np.multiply
    stack: Callable[..., Any] = np.stack
    sub: Callable[..., Any] = np.subtract
    sum: Callable[..., Any] = np.add.reduce
    unbind: Callable[..., Any] = list
    zeros_like: Callable[..., Any] = np.zeros_like

    @staticmethod
    def addcmul_(to: Any, a: Any, b: Any) -> None:
        to += a * b

    @staticmethod
    def addmm_(to: Any, a: Any, b: Any) -> None:
        to += a.dot(b)  # less overhead than @

    @staticmethod
    def addmm(bias: Any, a: Any, b: Any, out: Any) -> Any:
        np.matmul(a, b, out=out)
        if bias is not None:
            out += bias
        return out

    @staticmethod
    def chunk(a: Any, chunks: int) -> Sequence[Any]:
        width = a.shape[-1] // chunks
        return [a[..., part * width : (part + 1) * width] for part in range(chunks)]

    @staticmethod
    def clone(a: Any) -> Any:
        return np.array(a, order="C")

    @staticmethod
    def lerp(n: Any, h: Any, z: Any, out: Any) -> Any:
        np.subtract(h, n, out=out)
        out *= z
        out += n
        return out

    @staticmethod
    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        # Given an array with three dimensions, NumPy would compute one product per time step.
        rows = x.reshape(-1, x.shape[-1]) if x.ndim > 2 else x
        product = rows.dot(weight.T).reshape(*x.shape[:-1], len(weight))
        return product if bias is None else product + bias

    @staticmethod
    def masked_fill_(a: Any, mask: Any, value: float) -> None:
        np.copyto(a, value, where=mask)

    @staticmethod
    def new_empty(like: Any, shape: Sequence[int]) -> Any:
        return np.empty(shape, like.dtype)

    @staticmethod
    def new_zeros(like: Any, shape: Sequence[int]) -> Any:
        return np.zeros(shape, like.dtype)

    @staticmethod
    def relu_(a: Any) -> Any:
        return np.maximum(a, 0, out=a)

    @staticmethod
    def sigmoid_(a: Any) -> Any:
        a *= 0.5
        np.tanh(a, out=a)
        a += 1
        a *= 0.5
        return a

    @staticmethod
    def split(a: Any, sizes: Sequence[int]) -> Sequence[Any]:
        return [
            a[..., end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)
        ]

    @staticmethod
    def tanh_(a: Any) -> Any:
        return np.tanh(a, out=a)

    @staticmethod
    def to(a: Any, dtype: Any) -> Any:
        return a.astype(dtype)

    @staticmethod
    def where(mask: Any, a: Any, b: Any) -> Any:
        return np.where(mask[..., None], a, b)


def namespace(array: Any) -> Any:
    """Return the operations for an array, under torch's names.

    Parameters
    ----------
    array : ndarray or Tensor
        One of the arrays that the operations will work on.

    Returns
    -------
    type
        It has ``cat``, ``clone``, ``linear``, ``mul``, ``new_empty``, ``new_zeros``, ``stack``,
        ``sub``, ``sum``, ``to``, ``unbind``, ``where`` and ``zeros_like``; ``chunk`` and ``split``,
        which return views of the features; ``addcmul_``, ``addmm_``, ``masked_fill_``, ``relu_``,
        ``sigmoid_`` and ``tanh_``, which write to their first argument; and ``addmm`` and ``lerp``,
        which write to ``out``. The bias of ``addmm`` may be None.

    Examples
    --------
    >>> for ones in (np.ones, torch.ones):
    ...     to = ones((1, 1))
    ...     _ = namespace(to).addmm_(to, ones((1, 3)), ones((3, 1)))
    ...     print(to)
    [[4.]]
    tensor([[4.]])
    """
    return _Torch if isinstance(array, Tensor) else _NumPy


def check_array(name: str, value: Any) -> None:
    """Refuse a value that is neither a tensor nor a NumPy array of numbers."""
    if not isinstance(value, Tensor):
        got = getattr(value, "dtype", type(value).__name__)
        if not isinstance(value, np.ndarray | np.number) or value.dtype.kind not in "biufc":
            expected = "a numpy.ndarray of numbers or a torch.Tensor"
            raise TypeError(f"{name} should be {expected}, got {got}")


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
        On tensors this is ``torch.nn.functional.linear``, with its dtype rules, rounding and
        errors.

    Raises
    ------
    TypeError, ValueError
        On arrays, if an argument is not an array of numbers or has the wrong shape.

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
    for name, array in (("x", x), ("weight", weight), ("bias", bias)):
        if array is not None or name != "bias":
            check_array(name, array)
            if not isinstance(array, np.ndarray) or array.ndim == 0:
                raise TypeError(f"{name} should be a numpy.ndarray like x, got {array!r}")
    if weight.shape != (len(weight), x.shape[-1]):
        raise ValueError(f"weight should have shape (out, {x.shape[-1]}), got {weight.shape}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"bias should have shape {weight.shape[:1]}, got {bias.shape}")
    return _NumPy.linear(x, weight, bias)


def tanh(a: Array) -> Array:
    """Compute the hyperbolic tangent of each element.

    Examples
    --------
    >>> tanh(np.array([0.0, 1.0])).round(4)
    array([0.    , 0.7616])
    """
    return torch.tanh(a) if isinstance(a, Tensor) else np.tanh(a)


def relu(a: Array) -> Array:
    """Compute the maximum of each element and zero.

    Examples
    --------
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return torch.relu(a) if isinstance(a, Tensor) else np.maximum(a, 0)


def sigmoid(a: Array) -> Array:
    """Compute ``1 / (1 + exp(-a))`` for each element.

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
    On NumPy arrays it is computed as ``(1 + tanh(a / 2)) / 2``: the same function, but it cannot
    overflow.

    Examples
    --------
    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0]))
    array([0. , 0.5, 1. ])
    """
    check_array("a", a)
    return torch.sigmoid(a) if isinstance(a, Tensor) else (1 + np.tanh(a / 2)) / 2


def chunk(a: Array, chunks: int) -> Sequence[Array]:
    """Split the features into equal parts.

    Parameters
    ----------
    a : ndarray or Tensor, shape (..., features)
        The array to split.
    chunks : int
        The number of parts.

    Returns
    -------
    sequence of ndarrays or Tensors, shape (..., features / chunks)
        Views, with the row stride of `a`. PyTorch applies activations to such views; on a
        contiguous copy its vector instructions would group the elements differently, and could
        round some of them differently.

    Examples
    --------
    >>> chunk(np.arange(4), 2)
    [array([0, 1]), array([2, 3])]
    """
    return namespace(a).chunk(a, chunks)


def split(a: Array, sizes: Sequence[int]) -> Sequence[Array]:
    """Split the features into parts of the given sizes; the parts are views, as in `chunk`.

    Examples
    --------
    >>> split(np.arange(4), (3, 1))
    [array([0, 1, 2]), array([3])]
    """
    return namespace(a).split(a, sizes)


def where(mask: Array, a: Array, b: Array) -> Array:
    """Take the rows of `a` where a mask of shape (...) is true, and those of `b` elsewhere.

    Examples
    --------
    >>> where(np.array([True, False]), np.ones((2, 1)), np.zeros((2, 1))).tolist()
    [[1.0], [0.0]]
    """
    return namespace(a).where(mask, a, b)

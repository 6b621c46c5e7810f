"""Operations that write into arrays that are there, for NumPy and torch under the same names.

`unrolled.bptt` and `unrolled.fast` are written in them. At small sizes a call costs more than what
it computes; NumPy's cost less, and a tensor on a CPU and an array can share their memory.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 # its name everywhere

__all__ = ["InNumPy", "InTorch", "library", "take"]


class InTorch:
    """The operations on tensors.

    Examples
    --------
    >>> to = torch.ones(1, 1)
    >>> _ = InTorch.add_product(to, torch.ones(1, 3), torch.ones(3, 1))
    >>> to
    tensor([[4.]])
    """

    add_product: Callable[..., Any] = Tensor.addmm_
    add_times: Callable[..., Any] = Tensor.addcmul_
    concatenate: Callable[..., Any] = torch.cat
    linear: Callable[..., Any] = F.linear
    multiply: Callable[..., Any] = torch.mul
    relu: Callable[..., Any] = torch.relu_
    sigmoid: Callable[..., Any] = torch.sigmoid_
    stack: Callable[..., Any] = torch.stack
    sum_rows: Callable[..., Any] = staticmethod(lambda a: torch.sum(a, 0))
    tanh: Callable[..., Any] = torch.tanh_

    @staticmethod
    def affine(h: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> None:
        """Write ``h @ weight + bias``.

        Examples
        --------
        >>> out = torch.empty(1, 1)
        >>> InTorch.affine(torch.ones(1, 3), torch.ones(3, 1), torch.ones(1), out)
        >>> out
        tensor([[4.]])
        """
        if bias is None:
            torch.mm(h, weight, out=out)
        else:
            torch.addmm(bias, h, weight, out=out)

    @staticmethod
    def between(n: Tensor, h: Tensor, z: Tensor, out: Tensor) -> Tensor:
        """Write ``n + z (h - n)``.

        Examples
        --------
        >>> InTorch.between(torch.zeros(1), torch.ones(1), torch.full((1,), 0.25), torch.empty(1))
        tensor([0.2500])
        """
        return torch.lerp(n, h, z, out=out)

    @staticmethod
    def one_minus_square(a: Tensor) -> Tensor:
        """Give ``1 - a * a`` in one new array, since new memory costs more than the arithmetic.

        Examples
        --------
        >>> InTorch.one_minus_square(torch.tensor([0.0, 0.5]))
        tensor([1.0000, 0.7500])
        """
        square = a * a
        return torch.sub(1, square, out=square)

    @staticmethod
    def empty(like: Tensor, *shape: int) -> Tensor:
        """Make an array of this shape and the dtype of another.

        Examples
        --------
        >>> InTorch.empty(torch.ones(1), 5, 3).shape
        torch.Size([5, 3])
        """
        return like.new_empty(shape)

    @staticmethod
    def zeros(like: Tensor, *shape: int) -> Tensor:
        """Make an array of zeros of the dtype of another.

        Examples
        --------
        >>> InTorch.zeros(torch.ones(1), 2)
        tensor([0., 0.])
        """
        return like.new_zeros(shape)

    @staticmethod
    def contiguous_copy(a: Tensor) -> Tensor:
        """Copy an array into memory of its own, its elements in order.

        Examples
        --------
        >>> InTorch.contiguous_copy(torch.ones(2, 3).T).is_contiguous()
        True
        """
        return a.clone(memory_format=torch.contiguous_format)

    @staticmethod
    def steps(a: Tensor) -> tuple[Tensor, ...]:
        """Give a view of each time step.

        Examples
        --------
        >>> InTorch.steps(torch.tensor([[1], [2]]))
        (tensor([1]), tensor([2]))
        """
        return a.unbind(0)

    @staticmethod
    def parts(a: Tensor, count: int) -> tuple[Tensor, ...]:
        """Cut the features into equal parts, views.

        Examples
        --------
        >>> InTorch.parts(torch.tensor([1, 2]), 2)
        (tensor([1]), tensor([2]))
        """
        return a.chunk(count, -1)

    @staticmethod
    def cut(a: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Cut the features in two, views.

        Examples
        --------
        >>> InTorch.cut(torch.tensor([1, 2, 3]), 2)
        (tensor([1, 2]), tensor([3]))
        """
        first, second = torch.split_with_sizes(a, (width, a.shape[-1] - width), -1)
        return first, second


class InNumPy:
    """The operations on NumPy arrays.

    Examples
    --------
    >>> to = np.ones((1, 1))
    >>> InNumPy.add_product(to, np.ones((1, 3)), np.ones((3, 1)))
    >>> to
    array([[4.]])
    """

    concatenate: Callable[..., Any] = np.concatenate
    multiply: Callable[..., Any] = np.multiply
    stack: Callable[..., Any] = np.stack
    steps: Callable[..., Any] = list
    sum_rows: Callable[..., Any] = np.add.reduce

    @staticmethod
    def add_product(to: Any, a: Any, b: Any) -> None:
        """Add ``a @ b``.

        Examples
        --------
        >>> to = np.ones((1, 1))
        >>> InNumPy.add_product(to, np.ones((1, 2)), np.ones((2, 1)))
        >>> to
        array([[3.]])
        """
        to += a.dot(b)  # sooner at work than @

    @staticmethod
    def add_times(to: Any, a: Any, b: Any) -> None:
        """Add ``a * b``.

        Examples
        --------
        >>> to = np.ones(1)
        >>> InNumPy.add_times(to, np.array([2.0]), np.array([3.0]))
        >>> to
        array([7.])
        """
        to += a * b

    @staticmethod
    def linear(x: Any, weight: Any, bias: Any = None) -> Any:
        """Give ``x @ weight.T + bias``, as one product of matrices.

        Examples
        --------
        >>> InNumPy.linear(np.ones((5, 3, 2)), np.ones((4, 2))).shape
        (5, 3, 4)
        """
        # Of arrays with three dimensions NumPy makes a product for each time step.
        product = x.reshape(-1, x.shape[-1]).dot(weight.T)
        if bias is not None:
            product += bias
        return product.reshape(*x.shape[:-1], len(weight))

    @staticmethod
    def affine(h: Any, weight: Any, bias: Any, out: Any) -> None:
        """Write ``h @ weight + bias``.

        Examples
        --------
        >>> out = np.empty((1, 1))
        >>> InNumPy.affine(np.ones((1, 3)), np.ones((3, 1)), np.ones(1), out)
        >>> out
        array([[4.]])
        """
        np.matmul(h, weight, out=out)
        if bias is not None:
            out += bias

    @staticmethod
    def between(n: Any, h: Any, z: Any, out: Any) -> Any:
        """Write ``n + z (h - n)``.

        Examples
        --------
        >>> InNumPy.between(np.zeros(1), np.ones(1), np.full(1, 0.25), np.empty(1))
        array([0.25])
        """
        np.subtract(h, n, out=out)
        out *= z
        out += n
        return out

    @staticmethod
    def tanh(a: Any) -> Any:
        """Take the hyperbolic tangent.

        Examples
        --------
        >>> InNumPy.tanh(np.array([0.0, 1.0])).round(4)
        array([0.    , 0.7616])
        """
        return np.tanh(a, out=a)

    @staticmethod
    def relu(a: Any) -> Any:
        """Take the larger of each element and zero.

        Examples
        --------
        >>> InNumPy.relu(np.array([-1.0, 2.0]))
        array([0., 2.])
        """
        return np.maximum(a, 0, out=a)

    @staticmethod
    def sigmoid(a: Any) -> Any:
        """Take ``1 / (1 + exp(-a))``, as ``(1 + tanh(a / 2)) / 2``, which cannot overflow.

        Examples
        --------
        >>> InNumPy.sigmoid(np.array([-1000.0, 0.0, 1000.0]))
        array([0. , 0.5, 1. ])
        """
        a *= 0.5
        np.tanh(a, out=a)
        a += 1
        a *= 0.5
        return a

    @staticmethod
    def one_minus_square(a: Any) -> Any:
        """Give ``1 - a * a`` in one new array.

        Examples
        --------
        >>> InNumPy.one_minus_square(np.array([0.0, 0.5]))
        array([1.  , 0.75])
        """
        square = a * a
        return np.subtract(1, square, out=square)

    @staticmethod
    def empty(like: Any, *shape: int) -> Any:
        """Make an array of this shape and the dtype of another.

        Examples
        --------
        >>> InNumPy.empty(np.ones(1), 5, 3).shape
        (5, 3)
        """
        return np.empty(shape, like.dtype)

    @staticmethod
    def zeros(like: Any, *shape: int) -> Any:
        """Make an array of zeros of the dtype of another.

        Examples
        --------
        >>> InNumPy.zeros(np.ones(1), 2)
        array([0., 0.])
        """
        return np.zeros(shape, like.dtype)

    @staticmethod
    def contiguous_copy(a: Any) -> Any:
        """Copy an array into memory of its own, its elements in order.

        Examples
        --------
        >>> InNumPy.contiguous_copy(np.ones((2, 3)).T).flags.c_contiguous
        True
        """
        return np.array(a, order="C")

    @staticmethod
    def parts(a: Any, count: int) -> list[Any]:
        """Cut the features into equal parts, views.

        Examples
        --------
        >>> InNumPy.parts(np.array([1, 2]), 2)
        [array([1]), array([2])]
        """
        width = a.shape[-1] // count
        return [a[..., part * width : (part + 1) * width] for part in range(count)]

    @staticmethod
    def cut(a: Any, width: int) -> tuple[Any, Any]:
        """Cut the features in two, views.

        Examples
        --------
        >>> InNumPy.cut(np.array([1, 2, 3]), 2)
        (array([1, 2]), array([3]))
        """
        return a[..., :width], a[..., width:]


def library(array: Any) -> Any:
    """Give the operations for an array.

    Parameters
    ----------
    array : ndarray or Tensor
        One of those to be worked on.

    Returns
    -------
    type
        `InTorch` or `InNumPy`.

    Examples
    --------
    >>> library(np.ones(1)).__name__, library(torch.ones(1)).__name__
    ('InNumPy', 'InTorch')
    """
    return InTorch if isinstance(array, Tensor) else InNumPy


def take(a: Any, part: slice | None) -> Any:
    """Cut a part from an array, a view.

    Parameters
    ----------
    a : ndarray or Tensor
        What to cut from, along the first dimension.
    part : slice or None
        What to cut; ``None`` is all.

    Returns
    -------
    ndarray or Tensor
        The part.

    Examples
    --------
    >>> take(np.arange(4), slice(1, 3)), take(np.arange(2), None)
    (array([1, 2]), array([0, 1]))
    """
    return a if part is None else a[part]

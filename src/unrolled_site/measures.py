"""What the pages measure of tensors and calls."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["gap", "operators"]


def gap(a: Tensor, b: Tensor) -> float:
    """Measure the largest difference between two tensors of one shape, whatever their precision.

    Parameters
    ----------
    a, b : Tensor, same shape
        Real or complex numbers.

    Returns
    -------
    float
        The largest magnitude of ``a - b``, computed in float64.

    Raises
    ------
    ValueError
        If the shapes differ: broadcasting would compare what does not belong together.

    Examples
    --------
    >>> gap(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 2.5], dtype=torch.bfloat16))
    0.5
    """
    if a.shape != b.shape:
        raise ValueError(f"b should have the shape {tuple(a.shape)} of a, got {tuple(b.shape)}")
    wide = torch.complex128 if a.is_complex() or b.is_complex() else torch.float64
    return (a.to(wide) - b.to(wide)).abs().max().item()


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's is untyped
    """Write down the name of each operator that runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # torch's is untyped
        self.names: list[str] = []

    def __torch_dispatch__(
        self, operator: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.names.append(operator.overloadpacket.__name__)
        return operator(*args, **(kwargs or {}))


def operators(call: Callable[..., object], *arguments: Any) -> list[str]:
    """Name the operators that a call runs.

    Parameters
    ----------
    call : callable
        A module or a function.
    *arguments : object
        What it is called with.

    Returns
    -------
    list of str
        Names of ATen operators, in the order in which they run.

    Examples
    --------
    >>> operators(torch.tanh, torch.ones(2))
    ['tanh']
    """
    with _Recorder() as recorder:
        call(*arguments)
    return recorder.names

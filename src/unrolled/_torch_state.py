"""PyTorch's private names that we use: why each is needed, and what happens if it is missing.

PyTorch has no public way to ask whether operators are being watched or transformed. In a version
that lacks one of these names the package can still be imported: the answer then counts as yes, and
the plain loop runs, which is always right and only slower than the fast one.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

__all__ = ["PRIVATE", "is_batched", "is_transformed"]

PRIVATE = {
    "_C._is_any_autocast_enabled": "autocast chooses the dtype of each operator",
    "_C._functorch.peek_interpreter_stack": "torch.func transforms each operator",
    "_C._get_tracing_state": "torch.jit would record what NumPy computes as constants",
    "_C._len_torch_dispatch_stack": "modes may watch or change operators",
    "_C._len_torch_function_stack": "modes may watch functions, as `unrolled.trace` does",
    "autograd.forward_ad._current_level": "operators carry tangents where dual numbers may be",
    "_C._functorch.is_batchedtensor": "numbers are not known under torch.func.vmap",
    "_C._functorch.is_legacy_batchedtensor": "nor are those of gradients that come in batches",
}
"""The names below ``torch``, and why each is needed; a test says which of them exist."""


def _find(path: str, missing: Callable[..., Any]) -> Callable[..., Any]:
    found: Any = torch
    for name in path.split("."):
        found = getattr(found, name, None)
    return found or missing


def _somebody(*_: Any) -> Any:
    return True


# Looked up once: every call needs these, and a small network runs in a few microseconds.
_is_compiling = torch.compiler.is_compiling
_is_autocast = _find("_C._is_any_autocast_enabled", _somebody)
_transform = _find("_C._functorch.peek_interpreter_stack", _somebody)
_tracing = _find("_C._get_tracing_state", _somebody)
_dispatch_modes = _find("_C._len_torch_dispatch_stack", _somebody)
_function_modes = _find("_C._len_torch_function_stack", _somebody)
_is_batched = _find("_C._functorch.is_batchedtensor", lambda _: False)
_is_one_of_old = _find("_C._functorch.is_legacy_batchedtensor", lambda _: False)


def is_batched(tensor: Tensor) -> bool:
    """Tell whether vmap hides the values of a tensor; where this cannot tell, vmap itself objects.

    Examples
    --------
    >>> is_batched(torch.zeros(3))
    False
    """
    return _is_batched(tensor) or _is_one_of_old(tensor)


def is_transformed() -> bool:
    """Tell whether operators are compiled, transformed, traced or watched.

    Examples
    --------
    >>> is_transformed()
    False
    >>> with torch.autocast("cpu"):
    ...     is_transformed()
    True
    """
    return (
        _is_compiling()
        or _is_autocast()
        or _transform() is not None
        or _tracing() is not None
        or _dispatch_modes() > 0
        or _function_modes() > 0
        or getattr(forward_ad, "_current_level", 0) >= 0
    )

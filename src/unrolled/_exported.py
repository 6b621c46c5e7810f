"""The loop over time as one operator, for graphs that are exported and then run at any length.

`torch.export` records operators. A loop in Python would be recorded as the steps of the example,
and the graph could run at that length alone. PyTorch's ``scan`` is recorded as one operator, whose
length is that of its input; exported to ONNX, it becomes one ``Scan``.
"""

from collections.abc import Callable, Sequence
from typing import Any

from torch._higher_order_ops.scan import scan

__all__ = ["exported_scan"]


def exported_scan(
    step: Callable[..., Any],
    inputs: Any,
    state: Any,
    reverse: bool,
    parameters: Sequence[Any] = (),
) -> tuple[Any, Any]:
    """Carry a state through a sequence in one operator.

    Parameters
    ----------
    step : callable
        ``step(input, state, *parameters)`` returns the next state.
    inputs : Tensor, shape (L, N, ...), or a tuple of these
        One input, or one tuple, per time step.
    state : Tensor, shape (N, ...), or a tuple of these
        State before the first step.
    reverse : bool
        Whether the last time step comes first.
    parameters : sequence of objects, optional
        Further arguments for every step.

    Returns
    -------
    states : Tensor, shape (L, N, ...), or a tuple of these
        State after each step, in the order of `inputs`.
    state : Tensor, shape (N, ...), or a tuple of these
        State after the step that ran last.

    Notes
    -----
    This is for exported graphs alone. To train with it takes several times as long as the loop, and
    its second derivatives were wrong in PyTorch 2.13 and 2.14.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(3.0).reshape(3, 1)
    >>> exported_scan(lambda x, state: state + x, x, torch.tensor([10.0]), reverse=True)
    (tensor([[13.],
            [13.],
            [12.]]), tensor([13.]))
    """

    def one(carried: Any, x: Any) -> tuple[Any, Any]:  # pragma: no cover # PyTorch's tracer runs it
        after = step(x, carried, *parameters)
        # Copies, since a step may return what it was given, or one tensor twice.
        return _copy(after), _copy(after)

    last, states = scan(one, _copy(state), inputs, reverse=reverse)
    return states, last


def _copy(state: Any) -> Any:
    return tuple([part.clone() for part in state]) if isinstance(state, tuple) else state.clone()

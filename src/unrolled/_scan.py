"""The loop over time: carry a state through a sequence, one step after another.

The loop does not know what a step computes. To project the input of all time steps together, call
`unrolled.arrays.linear` before this loop instead of inside it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch

from unrolled._checks import checked_order, is_exporting
from unrolled.arrays import namespace

__all__ = ["Order", "each", "scan", "scan_joined"]

Input = TypeVar("Input")
State = TypeVar("State")


class Order(NamedTuple):
    """The order in which a direction goes through its time steps.

    Attributes
    ----------
    reverse : bool, default False
        Whether it runs from the last time step to the first.
    sizes : sequence of int, optional
        ``batch_sizes`` of packed sequences: how many sequences reach each time step. They never
        increase.

    Examples
    --------
    >>> order = Order(reverse=True, sizes=[2, 2, 1])
    >>> [step.tolist() for step in order.steps(torch.arange(5))]
    [[4], [2, 3], [0, 1]]
    """

    reverse: bool = False
    sizes: Sequence[int] | None = None

    def steps(self, a: Any) -> Sequence[Any]:
        """Split an array into steps: views, in the order in which the direction runs.

        Parameters
        ----------
        a : ndarray, Tensor or iterable, shape (L, N, ...); packed, a Tensor (sum of lengths, ...)
            An array in time order.

        Returns
        -------
        sequence of L ndarrays or Tensors, shape (N, ...)
            The step that runs first comes first.

        Examples
        --------
        >>> Order().steps([1, 2]), Order(reverse=True).steps([1, 2])
        ([1, 2], [2, 1])
        """
        steps = namespace(a).unbind(a) if self.sizes is None else a.split(list(self.sizes))
        return steps[::-1] if self.reverse else steps

    def join(self, steps: Sequence[Any]) -> Any:
        """Join steps into one array, in the layout of a direction's input.

        Parameters
        ----------
        steps : sequence of L ndarrays or Tensors, shape (N, ...)
            The steps in time order.

        Returns
        -------
        ndarray or Tensor, shape (L, N, ...); packed (sum of lengths, ...)
            A copy.

        Examples
        --------
        >>> Order(sizes=[2, 1]).join([torch.tensor([1, 10]), torch.tensor([2])])
        tensor([ 1, 10,  2])
        """
        return namespace(steps[0]).stack(steps) if self.sizes is None else torch.cat(list(steps))


def scan(
    step: Callable[..., State],
    inputs: Iterable[Input],
    state: State,
    order: Order = Order(),  # noqa: B008 # a tuple
    parameters: Sequence[Any] = (),
) -> tuple[list[State], State]:
    """Carry a state through a sequence.

    Parameters
    ----------
    step : callable
        ``step(input, state, *parameters)`` returns the next state.
    inputs : iterable of L inputs; packed, a Tensor of shape (sum of lengths, ...)
        One input per time step, such as a tensor or array of shape (L, ...). If packed, the data of
        a ``PackedSequence``: the rows of all sequences that reach step 0, then of all that reach
        step 1, and so on.
    state : object; packed, a Tensor of shape (N, ...) or a tuple of these
        State before the first step; if packed, of each sequence before its own first step.
    order : Order, optional
        Which step comes first and, for packed sequences, how many rows each step has.
    parameters : sequence of objects, optional
        Further arguments for every step.

    Returns
    -------
    states : list of L states
        State after each step, in the order of `inputs`, even if the steps run in reverse.
    state : object
        State after the last step that ran; if packed, of each sequence after its own last step.

    Notes
    -----
    Going forward, packed sequences leave the batch as they end; in reverse, they join it as they
    begin. Source: ``PackedLayer`` and ``ReversedPackedLayer`` in PyTorch's
    ``aten/src/ATen/native/RNN.cpp``.

    Examples
    --------
    >>> scan(lambda x, state: state + x, [1, 2, 3], 10)
    ([11, 13, 16], 16)
    >>> scan(lambda x, state: state + x, [1, 2, 3], 10, Order(reverse=True))
    ([16, 15, 13], 16)

    Two sequences, (1, 2, 3) and (10, 20), summed:

    >>> data, zeros = torch.tensor([1, 10, 2, 20, 3]), torch.zeros(2, dtype=int)
    >>> states, last = scan(lambda x, state: state + x, data, zeros, Order(sizes=[2, 2, 1]))
    >>> [state.tolist() for state in states], last.tolist()
    ([[1, 10], [3, 30], [6]], [6, 30])
    """
    kinds: list[Any] = [Callable, Iterable, Order, Iterable]
    given = {"step": step, "inputs": inputs, "order": order, "parameters": parameters}
    for kind, (name, value) in zip(kinds, given.items(), strict=True):
        right = callable(value) if kind is Callable else isinstance(value, kind)
        if kind is Iterable and isinstance(value, (torch.Tensor, np.ndarray)):
            right = value.ndim > 0  # one number has no steps
        if not right:
            raise TypeError(f"{name} should be {kind.__name__}, got {type(value).__name__}")
    order = Order(order.reverse, checked_order(inputs, state, order.sizes))
    initial, sizes, states, ended = state, order.sizes, [], []
    if sizes is not None and order.reverse:  # sequences that join later are not there yet
        state = each(lambda part: part[: sizes[-1]], state)
    for x in order.steps(inputs):
        if sizes is not None:
            state, left = _entering(state, initial, len(x))
            ended += left
        state = step(x, state, *parameters)
        states.append(state)
    if order.reverse:
        states.reverse()
    if ended:
        state = each(lambda *parts: torch.cat(parts[::-1]), *ended, state)
    return states, state


def scan_joined(
    step: Callable[..., Any], inputs: Any, state: Any, order: Order, parameters: Sequence[Any]
) -> tuple[Any, Any]:
    """Carry a state through a sequence, as `scan` does, and join the states of all steps.

    A tuple of arrays in place of `inputs` gives each step a tuple. While a graph is exported, one
    operator takes the place of the loop, so that the graph can run at any length.
    """
    if order.sizes is None and is_exporting():
        from unrolled._exported import exported_scan  # loads nothing that the loop needs

        return exported_scan(step, inputs, state, order.reverse, parameters)
    if isinstance(inputs, tuple):
        inputs = list(zip(*[namespace(a).unbind(a) for a in inputs], strict=True))
    states, last = scan(step, inputs, state, order, parameters)
    return each(lambda *parts: order.join(parts), *states), last


def each(function: Callable[..., Any], *states: Any) -> Any:
    """Apply a function to a state, or to each part of a state that is a tuple.

    Parameters
    ----------
    function : callable
        Takes one array from each of `states`.
    *states : ndarrays or Tensors, or tuples of these
        ``h`` alone, or for an LSTM ``(h, c)``.

    Returns
    -------
    object
        The result for ``h``, or a tuple of the results for ``h`` and ``c``.

    Examples
    --------
    >>> each(max, 1, 2), each(max, (1, 20), (2, 10))
    (2, (2, 20))
    """
    if isinstance(states[0], tuple):
        return tuple([function(*parts) for parts in zip(*states, strict=True)])
    return function(*states)


def _entering(state: Any, initial: Any, rows: int) -> tuple[Any, list[Any]]:
    """Return the states that enter a step with so many rows, and those of sequences that ended.

    The slices are taken in PyTorch's order, because autograd adds gradients in that order.
    """
    known = len(state[0] if isinstance(state, tuple) else state)
    if rows < known:
        left = each(lambda part: part[rows:], state)
        return each(lambda part: part[:rows], state), [left]
    if rows > known:
        return each(lambda now, first: torch.cat([now, first[known:rows]]), state, initial), []
    return state, []

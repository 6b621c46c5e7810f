"""The loop over time: carry a state through a sequence, one step after the other.

The loop knows nothing of what a step computes. Projecting the input of all time steps at once is
nothing but calling `unrolled.cells.linear` before this loop instead of inside it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

import torch
from torch import Tensor

__all__ = ["packed_scan", "scan"]

Input = TypeVar("Input")
State = TypeVar("State")
Tensors: TypeAlias = tuple[Tensor, ...]


def scan(
    step: Callable[[Input, State], State],
    inputs: Iterable[Input],
    state: State,
    reverse: bool = False,
) -> tuple[list[State], State]:
    """Carry a state through a sequence.

    Parameters
    ----------
    step : callable
        ``step(input, state)`` gives the next state.
    inputs : iterable of L inputs
        One input a time step. A tensor or array of shape (L, ...) is one.
    state : object
        State before the first step.
    reverse : bool, default False
        Whether to run from the last input to the first.

    Returns
    -------
    states : list of L states
        State after each step, in the order of `inputs`, also if `reverse`.
    state : object
        State after the last step that ran: ``states[-1]``, if `reverse` ``states[0]``.

    Examples
    --------
    >>> scan(lambda x, state: state + x, [1, 2, 3], 10)
    ([11, 13, 16], 16)
    >>> scan(lambda x, state: state + x, [1, 2, 3], 10, reverse=True)
    ([16, 15, 13], 16)
    """
    states = []
    for x in reversed(list(inputs)) if reverse else inputs:
        state = step(x, state)
        states.append(state)
    if reverse:
        states.reverse()
    return states, state


def packed_scan(
    step: Callable[[Tensor, Tensors], Tensors],
    data: Tensor,
    batch_sizes: Sequence[int],
    state: Tensors,
    reverse: bool = False,
) -> tuple[list[Tensors], Tensors]:
    """Carry a state through sequences of unequal length, longest first.

    Parameters
    ----------
    step : callable
        ``step(input, state)`` gives the next state, a tuple of tensors, for any number of rows.
    data : Tensor, shape (sum of lengths, ...)
        ``PackedSequence.data``: the rows of all sequences that reach step 0, then of all that
        reach step 1, and so on.
    batch_sizes : sequence of int
        How many sequences reach each time step; never increasing.
    state : tuple of Tensors, shape (N, ...)
        State of each sequence before its first step, ``N = batch_sizes[0]``.
    reverse : bool, default False
        Whether each sequence runs from its last row to its first.

    Returns
    -------
    states : list of L tuples of Tensors, shape (batch_sizes[t], ...)
        States after each step, in the order of time; concatenated they fit `data`.
    state : tuple of Tensors, shape (N, ...)
        State of each sequence after its own last step.

    Notes
    -----
    Source: ``PackedLayer`` and ``ReversedPackedLayer`` in PyTorch's
    ``aten/src/ATen/native/RNN.cpp``. Forward, sequences leave the batch as they end; in reverse,
    they join it as they begin.

    Examples
    --------
    Two sequences, (1, 2, 3) and (10, 20), summed:

    >>> data = torch.tensor([[1], [10], [2], [20], [3]])
    >>> zeros = torch.zeros(2, 1, dtype=int)
    >>> states, (last,) = packed_scan(lambda x, s: (s[0] + x,), data, [2, 2, 1], (zeros,))
    >>> [state.flatten().tolist() for state, in states], last.flatten().tolist()
    ([[1, 10], [3, 30], [6]], [6, 30])
    """
    inputs = torch.split(data, list(batch_sizes))
    states = []
    if reverse:
        running = tuple(part[: batch_sizes[-1]] for part in state)
        for x in reversed(inputs):
            rows = len(running[0])
            if len(x) > rows:  # sequences begin
                running = tuple(
                    torch.cat([now, initial[rows : len(x)]])
                    for now, initial in zip(running, state, strict=True)
                )
            running = step(x, running)
            states.append(running)
        states.reverse()
        return states, running
    finished: list[Tensors] = []
    running = state
    for x in inputs:
        if len(x) < len(running[0]):  # sequences have ended
            finished.append(tuple(part[len(x) :] for part in running))
            running = tuple(part[: len(x)] for part in running)
        running = step(x, running)
        states.append(running)
    finished.append(running)
    return states, tuple(torch.cat(parts[::-1]) for parts in zip(*finished, strict=True))

"""The backward pass by hand: backpropagation through time, on NumPy arrays and torch tensors.

The backward pass through one direction of a layer has three parts. The *slopes* are the local
derivatives at all time steps, and need only the forward pass. The *chain* carries the gradient from
the last step to the first, and is the only loop. The *products*, one for each weight, cover all
time steps together.

Shapes are written ``(..., features)``. The dots are ``L, N`` or, for packed sequences, the sum of
their lengths, as in `torch.nn.utils.rnn.PackedSequence`. An `unrolled.Order` says which rows make
up a step.

NaN and infinity appear where autograd through `torch.nn` has them, with two exceptions. Autograd
computes the gradient of a GRU's candidate as ``dh - dh z``, which is NaN for an infinite ``dh``;
here it is ``dh (1 - z)``, which is infinite. And whether an intermediate result overflows depends
on the order of products and sums: near the largest representable number, one of the two may stay
finite where the other overflows.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Generic, NamedTuple, TypeAlias

import numpy as np  # noqa: F401 # the examples use it
import torch

from unrolled._checks import check_kinds, check_shape
from unrolled._scan import Order
from unrolled.arrays import Array, chunk, linear, namespace, sigmoid, tanh
from unrolled.layers import STEPS, Weights, plain_direction, run_network
from unrolled.shapes import GATES

__all__ = [
    "CHAINS",
    "Chained",
    "Gradients",
    "Tape",
    "backward_direction",
    "gru_backward",
    "gru_chain",
    "gru_slopes",
    "last_state",
    "lstm_backward",
    "lstm_chain",
    "lstm_slopes",
    "rnn_backward",
    "rnn_chain",
    "rnn_slope",
    "state_before",
    "stretches",
    "take",
]

# How many numbers get their slopes before the chain goes through them: few enough to stay in the
# processor's cache and to need no new pages of memory, and enough to make a call worthwhile.
_STRETCH = 2**15


class Tape(NamedTuple, Generic[Array]):
    """What the backward pass of one direction needs from its forward pass.

    Attributes
    ----------
    inputs : ndarray or Tensor, shape (..., layer_input_size)
        Input of the layer.
    before : tuple of ndarrays or Tensors, shape (..., features)
        State before each step: ``(h,)``, or ``(h, c)`` for an LSTM. For a plain RNN that starts
        from zeros it may be ``(None,)``, since `gates` already holds these states.
    gates : tuple of ndarrays or Tensors, shape (..., hidden_size)
        What each step computed. RNN: ``(h,)``, the state after the step. GRU: ``(r, z, n, m)`` with
        the projected state ``m = h W_hn^T + b_hn``. LSTM: ``(i, f, g, o, tanh(c))``.

    Examples
    --------
    >>> x, h = np.ones((5, 3, 10)), np.ones((5, 3, 20))
    >>> Tape(x, (h,), (h,)).inputs.shape
    (5, 3, 10)
    """

    inputs: Array
    before: tuple[Array | None, ...]
    gates: tuple[Array, ...]


class Gradients(NamedTuple, Generic[Array]):
    """The results of a backward pass through a network.

    Attributes
    ----------
    input : ndarray or Tensor, shape (L, N, H_in)
        Gradient of the input.
    hx : tuple of ndarrays or Tensors, shape (D * num_layers, N, ...)
        Gradients of the initial states, ``(h_0,)``, or ``(h_0, c_0)`` for an LSTM.
    layers : list of num_layers lists of D Weights
        Gradients of the parameters by layer and direction; ``None`` for absent parameters.

    Examples
    --------
    >>> weights = Weights(np.ones((1, 1)), np.ones((1, 1)))
    >>> one = np.ones((1, 1, 1))
    >>> rnn_backward(one, one, [[weights]], one, nonlinearity="relu").layers[0][0].weight_hh
    array([[1.]])
    """

    input: Array
    hx: tuple[Array, ...]
    layers: list[list[Weights[Array]]]


def stretches(
    order: Order, L: int, width: int, numbers: int = 0
) -> Iterator[tuple[int, slice | None, Order]]:
    """Divide a direction into stretches of steps, in the order of the backward pass.

    Parameters
    ----------
    order : Order
        Order of the direction.
    L : int
        Time steps.
    width : int
        How many numbers there are for one step, over all arrays involved.
    numbers : int, optional
        How many numbers a stretch may have; the default suits the slopes.

    Yields
    ------
    first : int
        Index of the stretch's first step, counted in the order in which the direction runs.
    part : slice or None
        The part of each array that belongs to the stretch; ``None`` means all of it.
    order : Order
        Order of the stretch by itself.

    Examples
    --------
    >>> [(first, part) for first, part, _ in stretches(Order(), 4, 30)]
    [(0, None)]
    >>> [(first, part) for first, part, _ in stretches(Order(), 4, 15_000)]
    [(2, slice(2, 4, None)), (0, slice(0, 2, None))]
    """
    count = max(1, (numbers or _STRETCH) // max(1, width))
    if count >= L:
        yield 0, None, order
        return
    for last in range(L, 0, -count):
        first = max(0, last - count)
        times = slice(L - last, L - first) if order.reverse else slice(first, last)
        if order.sizes is None:
            yield first, times, order
        else:
            start, sizes = sum(order.sizes[: times.start]), order.sizes[times]
            yield first, slice(start, start + sum(sizes)), Order(order.reverse, sizes)


def state_before(order: Order, after: Any, initial: Any) -> Any:
    """Return the state before each step, given the states after.

    Parameters
    ----------
    order : Order
        Order of the direction.
    after : ndarray or Tensor, shape (..., features)
        State after each step.
    initial : ndarray or Tensor, shape (N, features)
        State of each sequence before its first step.

    Returns
    -------
    ndarray or Tensor, shape (..., features)
        The initial state at a sequence's first step, and the state of the previous step elsewhere.

    Examples
    --------
    >>> after, initial = torch.tensor([1, 10, 2, 20, 3]), torch.tensor([-1, -10])
    >>> state_before(Order(sizes=[2, 2, 1]), after, initial).tolist()
    [-1, -10, 1, 10, 2]
    >>> state_before(Order(reverse=True, sizes=[2, 2, 1]), after, initial).tolist()
    [2, 20, 3, -10, -1]
    """
    cat = namespace(after).cat
    if order.sizes is None:
        return cat([after[1:], initial[None]] if order.reverse else [initial[None], after[:-1]])
    steps = order.steps(after)
    found = [initial[: len(steps[0])]]
    for earlier, later in pairwise(steps):
        known = earlier[: len(later)]
        found.append(cat([known, initial[len(known) : len(later)]]))
    return cat(found[::-1] if order.reverse else found)


def last_state(order: Order, after: Any) -> Any:
    """Return the state of each sequence after its own last step.

    Parameters
    ----------
    order : Order
        Order of the direction.
    after : ndarray or Tensor, shape (..., features)
        State after each step.

    Returns
    -------
    ndarray or Tensor, shape (N, features)
        A view, unless sequences end at different steps.

    Examples
    --------
    >>> after = torch.tensor([1, 10, 2, 20, 3])
    >>> last_state(Order(sizes=[2, 2, 1]), after).tolist()
    [3, 20]
    >>> last_state(Order(reverse=True, sizes=[2, 2, 1]), after).tolist()
    [1, 10]
    """
    if order.sizes is None:
        return after[0] if order.reverse else after[-1]
    if order.reverse:
        return after[: order.sizes[0]]
    ends = [*order.sizes[1:], 0]
    steps = order.steps(after)
    return torch.cat([step[end:] for step, end in zip(steps, ends, strict=True)][::-1])


def take(a: Any, part: slice | None) -> Any:
    """Take a part of an array, as a view.

    Parameters
    ----------
    a : ndarray or Tensor
        The array; its first dimension is sliced.
    part : slice or None
        The part to take; ``None`` means all.

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


def rnn_slope(h: Array, nonlinearity: str = "tanh") -> Array:
    """Differentiate the activation of a plain RNN, in terms of its result.

    Parameters
    ----------
    h : ndarray or Tensor
        State after the step, any shape.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.

    Returns
    -------
    ndarray or Tensor
        ``dh_t / da_t`` for each element, where ``a_t`` is the sum inside the activation. It has the
        shape and dtype of `h`.

    Notes
    -----
    ``tanh'(a) = 1 - tanh(a)^2``. The derivative of relu is 0 where `h` is zero or negative and 1
    elsewhere, also for NaN, as in PyTorch. M. Abramowitz and I. A. Stegun, "Handbook of
    Mathematical Functions", 4.5.73.

    Examples
    --------
    >>> rnn_slope(np.array([0.0, 0.6]))
    array([1.  , 0.64])
    >>> rnn_slope(np.array([0.0, 0.6]), "relu")
    array([0., 1.])
    """
    if nonlinearity == "tanh":
        square = h * h  # new memory costs more than the arithmetic
        slope: Array = namespace(h).sub(1, square, out=square)
        return slope
    positive: Any = ~(h <= 0)
    return namespace(h).to(positive, h.dtype)


def gru_slopes(r: Array, z: Array, n: Array, m: Array, h: Array) -> Array:
    """Differentiate one step of a GRU with respect to the inputs of its gates.

    Parameters
    ----------
    r, z, n : ndarray or Tensor, shape (..., H_out)
        Gates and candidate.
    m : ndarray or Tensor, shape (..., H_out)
        Projected state ``h_{t-1} W_hn^T + b_hn``, which is multiplied by `r`.
    h : ndarray or Tensor, shape (..., H_out)
        State before the step.

    Returns
    -------
    ndarray or Tensor, shape (..., 4, H_out)
        The first three are the derivatives of ``h_t`` with respect to what the projected state
        contributes to ``r``, ``z`` and ``n``, in the order of the rows of ``weight_hh``. The fourth
        is the one with respect to what the projected input contributes to ``n``. In ``r`` and ``z``
        the two contributions are added, so their slopes are the same.

    Notes
    -----
    These are the derivatives of ``h_t = (1 - z) n + z h_{t-1}`` with ``n = tanh(x_n + r m)``,
    expressed in the values of the gates: ``sigmoid' = s (1 - s)`` and ``tanh' = 1 - n^2``. The
    formula comes from the docstring of `torch.nn.GRU`.

    Examples
    --------
    >>> zero, half = np.zeros((1, 1)), np.full((1, 1), 0.5)
    >>> gru_slopes(half, half, zero, zero, zero + 1).tolist()
    [[[0.0], [0.25], [0.25], [0.5]]]
    """
    new = 1 - z  # how much of the candidate the new state takes
    n_slope = new * (1 - n * n)
    m_slope = n_slope * r
    r_slope, z_slope = m_slope * m * (1 - r), (h - n) * z * new
    slopes: Array = namespace(h).stack([r_slope, z_slope, m_slope, n_slope], -2)
    return slopes


def lstm_slopes(
    i: Array, f: Array, g: Array, o: Array, tanh_c: Array, c: Array
) -> tuple[Array, Array]:
    """Differentiate one step of an LSTM with respect to the inputs of its gates.

    Parameters
    ----------
    i, f, g, o : ndarray or Tensor, shape (..., hidden_size)
        Gates and candidate.
    tanh_c : ndarray or Tensor, shape (..., hidden_size)
        Hyperbolic tangent of the cell state after the step.
    c : ndarray or Tensor, shape (..., hidden_size)
        Cell state before the step.

    Returns
    -------
    slopes : ndarray or Tensor, shape (..., 4, hidden_size)
        Derivatives of ``c_t`` with respect to the sums inside ``i``, ``f`` and ``g``, and of
        ``h_t`` with respect to the sum inside ``o``.
    c_slope : ndarray or Tensor, shape (..., hidden_size)
        Derivative of ``h_t`` with respect to ``c_t``.

    Notes
    -----
    These are the derivatives of ``c_t = f c_{t-1} + i g`` and ``h_t = o tanh(c_t)``, expressed in
    the values of the gates. The formulas come from the docstring of `torch.nn.LSTM`.

    Examples
    --------
    >>> zero, half = np.zeros((1, 1)), np.full((1, 1), 0.5)
    >>> slopes, c_slope = lstm_slopes(half, half, zero, half, zero, zero + 1)
    >>> slopes.tolist(), c_slope.tolist()
    ([[[0.0], [0.25], [0.5], [0.0]]], [[0.5]])
    """
    i_slope, f_slope = g * i * (1 - i), c * f * (1 - f)
    g_slope, o_slope = i * (1 - g * g), tanh_c * o * (1 - o)
    slopes = [i_slope, f_slope, g_slope, o_slope]
    return namespace(c).stack(slopes, -2), o * (1 - tanh_c * tanh_c)


class Chained(NamedTuple):
    """The results of the chain of one direction.

    Attributes
    ----------
    gates : ndarray or Tensor, shape (..., gate_size)
        Gradient of the projected state; also of the projected input, except where `n` differs.
    first : tuple of ndarrays or Tensors, shape (N, features), or None
        Gradients of the state before the first step, if requested.
    n : ndarray or Tensor, shape (..., H_out), or None
        Gradient of the projected input of a GRU's candidate, which the reset gate does not scale.
    weight_hr : ndarray or Tensor, shape (H_out, hidden_size), or None
        Gradient of the projection of an LSTM.

    Examples
    --------
    >>> Chained(np.ones((15, 20)), (np.ones((3, 20)),)).n is None
    True
    """

    gates: Any
    first: tuple[Any, ...]
    n: Any = None
    weight_hr: Any = None


def rnn_chain(
    tape: Tape[Array],
    grads: tuple[Array, ...],
    weights: Weights[Array],
    order: Order,
    truncate: int | None = None,
    first_needed: bool = True,
    nonlinearity: str = "tanh",
) -> Chained:
    """Carry the gradient of a plain RNN from its last step to its first.

    Parameters
    ----------
    tape : Tape
        What the forward pass kept.
    grads : tuple of one ndarray or Tensor, shape (..., H_out)
        Gradient of the state after each step, without the part that arrives through later steps.
        **Overwritten** by the result.
    weights : Weights
        Parameters of this direction.
    order : Order
        Which rows make up a step, and which step comes first.
    truncate : int, optional
        Cut the chain before every step whose index is a multiple of this.
    first_needed : bool, default True
        Whether to compute the gradient of the initial state.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.

    Returns
    -------
    Chained
        Gradients of the sums inside the activation, and of the initial state.

    Notes
    -----
    ``da_t = dh_t * slope_t`` and ``dh_{t-1} += da_t W_hh``. P. J. Werbos, "Backpropagation Through
    Time" (1990).

    Examples
    --------
    >>> weights, ones = Weights(np.ones((1, 1)), np.full((1, 1), 0.5)), np.ones((3, 1, 1))
    >>> tape = Tape(ones, (ones,), (ones,))
    >>> last_alone = np.array([0.0, 0.0, 1.0]).reshape(3, 1, 1)
    >>> chained = rnn_chain(tape, (last_alone,), weights, Order(), nonlinearity="relu")
    >>> chained.gates.ravel(), chained.first[0].ravel()
    (array([0.25, 0.5 , 1.  ]), array([0.125]))
    """
    (h,), (grad_h,), relu = tape.gates, grads, nonlinearity == "relu"
    xp, steps = namespace(h), order.steps(grad_h)  # L times (N, H_out)
    first, before = _accumulators(steps, order, truncate, first_needed)
    for start, part, stretch in stretches(order, len(steps), _width(steps)):
        slope: Any = rnn_slope(take(h, part), nonlinearity)
        slopes = stretch.steps(slope == 0 if relu else slope)
        for t in reversed(range(start, start + len(slopes))):
            da = steps[t]  # (N, H_out), so far dh_t
            if relu:  # not a product with a slope of 0: an infinite gradient would become NaN
                xp.masked_fill_(da, slopes[t - start], 0)
            else:
                da *= slopes[t - start]
            for to, rows in before[t]:
                xp.addmm_(to, da if rows is None else da[rows], weights.weight_hh)
    return Chained(grad_h, (first,))


def gru_chain(
    tape: Tape[Array],
    grads: tuple[Array, ...],
    weights: Weights[Array],
    order: Order,
    truncate: int | None = None,
    first_needed: bool = True,
) -> Chained:
    """Carry the gradient of a GRU from its last step to its first.

    Parameters
    ----------
    tape : Tape
        What the forward pass kept.
    grads : tuple of one ndarray or Tensor, shape (..., H_out)
        Gradient of the state after each step, without the part that arrives through later steps.
        **Overwritten**.
    weights : Weights
        Parameters of this direction.
    order : Order
        Which rows make up a step, and which step comes first.
    truncate : int, optional
        Cut the chain before every step whose index is a multiple of this.
    first_needed : bool, default True
        Whether to compute the gradient of the initial state.

    Returns
    -------
    Chained
        Gradients of the sums inside ``r``, ``z`` and ``n``, and of the initial state.

    Notes
    -----
    A state reaches the next one along two paths: directly, multiplied by ``z``, and through the
    gates; see `gru_slopes`.

    Examples
    --------
    >>> zero, half, one = np.zeros((1, 1, 1)), np.full((1, 1, 1), 0.5), np.ones((1, 1, 1))
    >>> weights = Weights(np.ones((3, 1)), np.ones((3, 1)))
    >>> tape = Tape(one, (one,), (half, half, zero, zero))
    >>> chained = gru_chain(tape, (one,), weights, Order())
    >>> chained.gates.ravel(), chained.n.ravel()
    (array([0.  , 0.25, 0.25]), array([0.5]))
    >>> chained.first[0]  # z + 0 + 0.25 + 0.25
    array([[1.]])
    """
    (r, z, n, m), (h,), (grad_h,) = tape.gates, tape.before, grads
    xp, (*dots, H_out) = namespace(n), n.shape
    gates = xp.new_empty(n, (*dots, 4, H_out))
    from_h, grad_n = xp.split(gates.reshape(*dots, 4 * H_out), (3 * H_out, H_out))
    steps, keep = order.steps(grad_h), order.steps(z)  # L times (N, H_out)
    by_gate, side_by_side = order.steps(gates), order.steps(from_h)
    first, before = _accumulators(steps, order, truncate, first_needed)
    for start, part, stretch in stretches(order, len(steps), 4 * _width(steps)):
        slopes = stretch.steps(gru_slopes(*(take(a, part) for a in (r, z, n, m, h))))
        for t in reversed(range(start, start + len(slopes))):
            xp.mul(steps[t][:, None], slopes[t - start], out=by_gate[t])  # (N, 4, H_out)
            for to, rows in before[t]:
                xp.addcmul_(to, take(steps[t], rows), take(keep[t], rows))
                xp.addmm_(to, take(side_by_side[t], rows), weights.weight_hh)
    return Chained(from_h, (first,), n=grad_n)


def lstm_chain(
    tape: Tape[Array],
    grads: tuple[Array, ...],
    weights: Weights[Array],
    order: Order,
    truncate: int | None = None,
    first_needed: bool = True,
) -> Chained:
    """Carry the gradients of an LSTM from its last step to its first.

    Parameters
    ----------
    tape : Tape
        What the forward pass kept.
    grads : tuple of two ndarrays or Tensors, shapes (..., H_out) and (..., hidden_size)
        Gradients of the hidden and the cell state after each step, without the part that arrives
        through later steps. **Overwritten**.
    weights : Weights
        Parameters of this direction.
    order : Order
        Which rows make up a step, and which step comes first.
    truncate : int, optional
        Cut the chain before every step whose index is a multiple of this.
    first_needed : bool, default True
        Whether to compute the gradient of the initial state.

    Returns
    -------
    Chained
        Gradients of the sums inside ``i``, ``f``, ``g`` and ``o``, of the initial states, and of
        the projection if there is one.

    Notes
    -----
    The cell state passes its gradient back multiplied by ``f`` alone; the hidden state passes its
    gradient back through the gates; see `lstm_slopes`. S. Hochreiter and J. Schmidhuber, "Long
    Short-Term Memory" (1997).

    Examples
    --------
    >>> zero, half, one = np.zeros((1, 1, 1)), np.full((1, 1, 1), 0.5), np.ones((1, 1, 1))
    >>> weights = Weights(np.ones((4, 1)), np.ones((4, 1)))
    >>> tape = Tape(one, (one, one), (half, half, zero, half, zero))
    >>> chained = lstm_chain(tape, (one, zero), weights, Order())
    >>> chained.gates.ravel()
    array([0.   , 0.125, 0.25 , 0.   ])
    >>> chained.first  # the sum of the gates, and f times o
    (array([[0.375]]), array([[0.25]]))
    """
    (i, f, g, o, tanh_c), (_, c), (grad_h, grad_c) = tape.gates, tape.before, grads
    xp, (*dots, hidden_size) = namespace(f), f.shape
    gates = xp.new_empty(f, (*dots, 4, hidden_size))
    flat = gates.reshape(*dots, 4 * hidden_size)
    steps, cells, keep = map(order.steps, (grad_h, grad_c, f))  # L times (N, ...)
    ifg, output, side_by_side = map(order.steps, (gates[..., :3, :], gates[..., 3, :], flat))
    first, before = _accumulators(steps, order, truncate, first_needed)
    first_c, before_c = _accumulators(cells, order, truncate, first_needed)
    for start, part, stretch in stretches(order, len(steps), 4 * _width(cells)):
        every, every_c = lstm_slopes(*(take(a, part) for a in (i, f, g, o, tanh_c, c)))
        slopes, slopes_o, slopes_c = map(
            stretch.steps, (every[..., :3, :], every[..., 3, :], every_c)
        )
        for t in reversed(range(start, start + len(slopes))):
            dh, dc = steps[t], cells[t]  # (N, H_out), (N, hidden_size)
            if weights.weight_hr is not None:
                dh = dh @ weights.weight_hr  # (N, hidden_size)
            xp.addcmul_(dc, dh, slopes_c[t - start])
            xp.mul(dc[:, None], slopes[t - start], out=ifg[t])  # (N, 3, hidden_size)
            xp.mul(dh, slopes_o[t - start], out=output[t])
            for (to_h, rows), (to_c, _) in zip(before[t], before_c[t], strict=True):
                xp.addcmul_(to_c, take(dc, rows), take(keep[t], rows))
                xp.addmm_(to_h, take(side_by_side[t], rows), weights.weight_hh)
    weight_hr = None
    if weights.weight_hr is not None:
        weight_hr = _as_rows(grad_h).T @ _as_rows(o * tanh_c)  # (H_out, hidden_size)
    return Chained(flat, (first, first_c), weight_hr=weight_hr)


CHAINS: dict[str, Any] = {
    "RNN_TANH": rnn_chain,
    "RNN_RELU": partial(rnn_chain, nonlinearity="relu"),
    "GRU": gru_chain,
    "LSTM": lstm_chain,
}
"""The chain of each mode."""


def backward_direction(
    mode: str,
    tape: Tape[Array],
    grad_states: Sequence[Array | None],
    grad_last: Sequence[Array | None],
    weights: Weights[Array],
    order: Order,
    truncate: int | None = None,
    input_needed: bool = True,
    first_needed: bool = True,
) -> tuple[Array | None, tuple[Array | None, ...], Weights[Array]]:
    """Go backward through one direction of one layer: slopes, chain, products.

    Parameters
    ----------
    mode : str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"GRU"`` or ``"LSTM"``.
    tape : Tape
        What the forward pass kept.
    grad_states : sequence of ndarrays or Tensors, shape (..., features), or None
        Gradient of the state after each step, ``(h,)`` or ``(h, c)``; ``None`` means zero.
    grad_last : sequence of ndarrays or Tensors, shape (N, ...), or None
        Gradient of the last state of each sequence, which is added to that.
    weights : Weights
        Parameters of this direction.
    order : Order
        Which rows make up a step, and which step comes first.
    truncate : int, optional
        Cut the chain before every step whose index is a multiple of this.
    input_needed : bool, default True
        Whether to compute the gradient of the input, which takes one more product.
    first_needed : bool, default True
        Whether to compute the gradient of the initial state.

    Returns
    -------
    grad_inputs : ndarray or Tensor, shape (..., layer_input_size), or None
        Gradient of the layer's input.
    grad_first : tuple of ndarrays or Tensors, shape (N, ...)
        Gradient of the initial state.
    grad_weights : Weights
        Gradients of the parameters.

    Examples
    --------
    >>> weights, one = Weights(np.ones((1, 1)), np.ones((1, 1))), np.ones((1, 1, 1))
    >>> grad_x, (grad_h_0,), grads = backward_direction(
    ...     "RNN_RELU", Tape(one, (one,), (one,)), (one,), (None,), weights, Order())
    >>> grad_x, grads.weight_ih
    (array([[[1.]]]), array([[1.]]))
    """
    grads = tuple(
        _total(states, last, like, order)
        for states, last, like in zip(grad_states, grad_last, _like(tape), strict=True)
    )
    chained = CHAINS[mode](tape, grads, weights, order, truncate, first_needed)
    xp = namespace(tape.inputs)
    gates = _as_rows(chained.gates)  # (R, gate_size), R rows of all sequences and time steps
    if tape.before[0] is None:
        # The first step adds nothing, and the states before the others are in the gates.
        earlier, later = (
            (slice(1, None), slice(-1)) if order.reverse else (slice(-1), slice(1, None))
        )
        h, grad_a = tape.gates[0][earlier], chained.gates[later]
        weight_hh = _as_rows(grad_a).T @ _as_rows(h)  # (gate_size, H_out)
    else:
        weight_hh = gates.T @ _as_rows(tape.before[0])  # (gate_size, H_out)
    biased = weights.bias_ih is not None or weights.bias_hh is not None
    bias = xp.sum(gates, 0) if biased else None  # (gate_size,)
    bias_hh = None if weights.bias_hh is None else bias
    # Copied: two parameters whose gradients share memory would be clipped twice.
    bias_ih = None if weights.bias_ih is None else xp.clone(bias)
    x = _as_rows(tape.inputs)  # (R, layer_input_size)
    if chained.n is None:
        weight_ih = gates.T @ x  # (gate_size, layer_input_size)
        grad_x = gates @ weights.weight_ih if input_needed else None  # (R, layer_input_size)
    else:
        n = _as_rows(chained.n)  # (R, H_out)
        rz, _ = xp.split(gates, (2 * n.shape[1], n.shape[1]))  # (R, 2 * H_out)
        weight_ih = xp.cat([rz.T @ x, n.T @ x])
        if bias_ih is not None:
            bias_ih[rz.shape[1] :] = xp.sum(n, 0)
        grad_x = None
        if input_needed:
            grad_x = rz @ weights.weight_ih[: rz.shape[1]]
            xp.addmm_(grad_x, n, weights.weight_ih[rz.shape[1] :])
    grad_inputs = None if grad_x is None else grad_x.reshape(tape.inputs.shape)
    grad_weights = Weights(weight_ih, weight_hh, bias_ih, bias_hh, chained.weight_hr)
    return grad_inputs, chained.first, grad_weights


def rnn_backward(
    input: Array,
    h_0: Array,
    layers: Sequence[Sequence[Weights[Array]]],
    grad_output: Array | None = None,
    grad_h_n: Array | None = None,
    *,
    nonlinearity: str = "tanh",
    truncate: int | None = None,
) -> Gradients[Array]:
    """Go forward and backward through a plain RNN with any layers and directions.

    Parameters
    ----------
    input : ndarray or Tensor, shape (L, N, H_in)
        Input of layer 0, time-major. All arguments must be real floating-point numbers. Tensors may
        require a gradient, as the parameters of a module do; the results do not.
    h_0 : ndarray or Tensor, shape (D * num_layers, N, H_out)
        States before the first step.
    layers : sequence of num_layers sequences of D Weights
        Parameters by layer and direction. For a module use ``weights_of(module)``; see
        `unrolled.layers.weights_of`.
    grad_output : ndarray or Tensor, shape (L, N, D * H_out), optional
        Gradient of the output; zero if left out.
    grad_h_n : ndarray or Tensor, shape (D * num_layers, N, H_out), optional
        Gradient of the last states; zero if left out.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.
    truncate : int, optional
        Cut the gradient before every step whose index is a multiple of this, as if the state were
        detached there (`torch.Tensor.detach`). Steps are counted from 0 in the order in which a
        direction runs.

    Returns
    -------
    Gradients
        Gradients of the input, the initial states and all parameters.

    Raises
    ------
    TypeError
        If NumPy arrays and torch tensors are mixed, `layers` does not consist of Weights, or
        `truncate` is not an integer.
    ValueError
        If `truncate` is less than 1, `nonlinearity` is unknown, or the layers do not all have one
        direction or all have two.
    RuntimeError
        If shapes, dtypes or devices do not match, or numbers are not real.

    Notes
    -----
    See `rnn_chain` for the formulas. P. J. Werbos, "Backpropagation Through Time: What It Does and
    How to Do It" (1990).

    Examples
    --------
    >>> from unrolled.layers import weights_of
    >>> rnn = torch.nn.RNN(10, 20, num_layers=2, dtype=torch.float64)
    >>> x = torch.randn(5, 3, 10, dtype=torch.float64)
    >>> h_0 = torch.randn(2, 3, 20, dtype=torch.float64)
    >>> output, h_n = rnn(x, h_0)
    >>> output.sum().backward()
    >>> ours = rnn_backward(
    ...     x, h_0, weights_of(rnn), torch.ones_like(output))
    >>> torch.allclose(ours.layers[0][0].weight_hh, rnn.weight_hh_l0.grad, rtol=0, atol=1e-12)
    True
    """
    if not isinstance(nonlinearity, str) or nonlinearity not in ("tanh", "relu"):
        raise ValueError(f"nonlinearity should be 'tanh' or 'relu', got {nonlinearity!r}")
    mode = f"RNN_{nonlinearity.upper()}"
    grad_last = {"grad_h_n": grad_h_n}
    return _network_backward(mode, input, {"h_0": h_0}, layers, grad_output, grad_last, truncate)


def gru_backward(
    input: Array,
    h_0: Array,
    layers: Sequence[Sequence[Weights[Array]]],
    grad_output: Array | None = None,
    grad_h_n: Array | None = None,
    *,
    truncate: int | None = None,
) -> Gradients[Array]:
    """Go forward and backward through a GRU with any layers and directions.

    Parameters
    ----------
    input : ndarray or Tensor, shape (L, N, H_in)
        Input of layer 0, time-major. All arguments must be real floating-point numbers. Tensors may
        require a gradient, as the parameters of a module do; the results do not.
    h_0 : ndarray or Tensor, shape (D * num_layers, N, H_out)
        States before the first step.
    layers : sequence of num_layers sequences of D Weights
        Parameters by layer and direction. For a module use ``weights_of(module)``; see
        `unrolled.layers.weights_of`.
    grad_output : ndarray or Tensor, shape (L, N, D * H_out), optional
        Gradient of the output; zero if left out.
    grad_h_n : ndarray or Tensor, shape (D * num_layers, N, H_out), optional
        Gradient of the last states; zero if left out.
    truncate : int, optional
        As in `rnn_backward`.

    Returns
    -------
    Gradients
        Gradients of the input, the initial states and all parameters.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As in `rnn_backward`.

    Notes
    -----
    See `gru_slopes` and `gru_chain` for the formulas, which are the derivatives of those in the
    docstring of `torch.nn.GRU`.

    Examples
    --------
    >>> from unrolled.layers import weights_of
    >>> gru = torch.nn.GRU(10, 20, dtype=torch.float64)
    >>> x = torch.randn(5, 3, 10, dtype=torch.float64)
    >>> h_0 = torch.randn(1, 3, 20, dtype=torch.float64)
    >>> gru(x, h_0)[1].sum().backward()
    >>> layers = weights_of(gru, lambda p: p.detach().numpy())
    >>> ours = gru_backward(x.numpy(), h_0.numpy(), layers, grad_h_n=np.ones((1, 3, 20)))
    >>> bool(np.allclose(ours.layers[0][0].bias_hh, gru.bias_hh_l0.grad, rtol=0, atol=1e-12))
    True
    """
    grad_last = {"grad_h_n": grad_h_n}
    return _network_backward("GRU", input, {"h_0": h_0}, layers, grad_output, grad_last, truncate)


def lstm_backward(
    input: Array,
    hx: tuple[Array, Array],
    layers: Sequence[Sequence[Weights[Array]]],
    grad_output: Array | None = None,
    grad_h_n: Array | None = None,
    grad_c_n: Array | None = None,
    *,
    truncate: int | None = None,
) -> Gradients[Array]:
    """Go forward and backward through an LSTM with any layers, directions and projection.

    Parameters
    ----------
    input : ndarray or Tensor, shape (L, N, H_in)
        Input of layer 0, time-major. All arguments must be real floating-point numbers. Tensors may
        require a gradient, as the parameters of a module do; the results do not.
    hx : tuple or list of two ndarrays or Tensors
        States before the first step: ``h_0`` of shape ``(D * num_layers, N, H_out)`` and ``c_0``
        of shape ``(D * num_layers, N, hidden_size)``.
    layers : sequence of num_layers sequences of D Weights
        Parameters by layer and direction. For a module use ``weights_of(module)``; see
        `unrolled.layers.weights_of`.
    grad_output : ndarray or Tensor, shape (L, N, D * H_out), optional
        Gradient of the output; zero if left out.
    grad_h_n, grad_c_n : ndarray or Tensor, shapes as in `hx`, optional
        Gradients of the last states; zero if left out.
    truncate : int, optional
        As in `rnn_backward`.

    Returns
    -------
    Gradients
        Gradients of the input, the initial states and all parameters.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As in `rnn_backward`; ``TypeError`` also if `hx` is not a tuple of two.

    Notes
    -----
    See `lstm_slopes` and `lstm_chain` for the formulas, which are the derivatives of those in the
    docstring of `torch.nn.LSTM`.

    Examples
    --------
    >>> from unrolled.layers import weights_of
    >>> lstm = torch.nn.LSTM(10, 20, proj_size=7, dtype=torch.float64)
    >>> x = torch.randn(5, 3, 10, dtype=torch.float64)
    >>> hx = torch.randn(1, 3, 7, dtype=x.dtype), torch.randn(1, 3, 20, dtype=x.dtype)
    >>> output, _ = lstm(x, hx)
    >>> output.sum().backward()
    >>> ours = lstm_backward(
    ...     x, hx, weights_of(lstm), torch.ones_like(output))
    >>> torch.allclose(ours.layers[0][0].weight_hr, lstm.weight_hr_l0.grad, rtol=0, atol=1e-12)
    True
    """
    if not isinstance(hx, tuple | list) or len(hx) != 2:
        kind = type(hx).__name__
        what = f"a {kind} of {len(hx)}" if isinstance(hx, tuple | list) else kind
        raise TypeError(f"hx should be a tuple (h_0, c_0), got {what}")
    given = {"hx[0]": hx[0], "hx[1]": hx[1]}
    grad_last = {"grad_h_n": grad_h_n, "grad_c_n": grad_c_n}
    return _network_backward("LSTM", input, given, layers, grad_output, grad_last, truncate)


def _network_backward(
    mode: str,
    input: Array,
    hx: dict[str, Array],
    layers: Sequence[Sequence[Weights[Array]]],
    grad_output: Array | None,
    grad_last: dict[str, Array | None],
    truncate: int | None,
) -> Gradients[Array]:
    """Run all layers forward, keeping what the backward pass needs, and then backward."""
    _check_network(mode, input, hx, layers, grad_output, grad_last, truncate)
    # Tensors that require a gradient are detached: the backward pass may write in place.
    input, grad_output = _detached(input), _detached(grad_output)
    hx, grad_last = ({k: _detached(a) for k, a in given.items()} for given in (hx, grad_last))
    layers = [[Weights(*map(_detached, weights)) for weights in layer] for layer in layers]
    D, count = len(layers[0]), len(layers) * len(layers[0])
    states = list(zip(*hx.values(), strict=True))  # (h_0,) or (h_0, c_0)
    last: list[Any] = list(
        zip(*([None] * count if g is None else g for g in grad_last.values()), strict=True)
    )
    seen: list[tuple[Any, tuple[Any, ...]]] = []  # what entered each direction, and its states

    def remember(inputs: Any, initial: Any, weights: Weights[Any], order: Order) -> Any:
        after, ended = plain_direction(STEPS[mode], inputs, initial, weights, order)
        seen.append((inputs, after if isinstance(after, tuple) else (after,)))
        return after, ended

    run_network(
        [remember] * count, input, states if len(hx) > 1 else [h for (h,) in states], layers
    )
    grads: list[list[Weights[Array]]] = []
    grad_hx: list[tuple[Any, ...]] = []
    for number in reversed(range(len(layers))):
        grad_input: Any = None
        found = []
        for direction, weights in enumerate(layers[number]):
            at, order = number * D + direction, Order(reverse=direction == 1)
            inputs, after = seen[at]
            tape = _remember(mode, inputs, states[at], after, weights, order)
            from_above = None if grad_output is None else _part(grad_output, direction, D)
            # The cell state goes only to the next step.
            grad_states = (from_above, None)[: len(hx)]
            grad, first, grad_weights = backward_direction(
                mode, tape, grad_states, last[at], weights, order, truncate
            )
            grad_input = grad if grad_input is None else grad_input + grad
            found.append((first, grad_weights))
        grad_hx = [first for first, _ in found] + grad_hx
        grads.insert(0, [grad_weights for _, grad_weights in found])
        grad_output = grad_input
    assert grad_output is not None
    parts = zip(*grad_hx, strict=True)
    stack = namespace(input).stack
    return Gradients(grad_output, tuple(stack(part) for part in parts), grads)


def _remember(
    mode: str,
    inputs: Any,
    initial: tuple[Any, ...],
    after: Sequence[Any],
    weights: Weights[Any],
    order: Order,
) -> Tape[Any]:
    """Compute once more what the steps computed, for all time steps together."""
    before = tuple(
        state_before(order, part, first) for part, first in zip(after, initial, strict=True)
    )
    if mode.startswith("RNN"):
        return Tape(inputs, before, (after[0],))
    x_projected = linear(inputs, weights.weight_ih, weights.bias_ih)  # (L, N, gate_size)
    h_projected = linear(before[0], weights.weight_hh, weights.bias_hh)  # (L, N, gate_size)
    gates = "rzn" if mode == "GRU" else "ifgo"
    from_x, from_h = (
        dict(zip(gates, chunk(part, len(gates)), strict=True))
        for part in (x_projected, h_projected)
    )
    if mode == "GRU":
        r, z = sigmoid(from_x["r"] + from_h["r"]), sigmoid(from_x["z"] + from_h["z"])
        n = tanh(from_x["n"] + r * from_h["n"])
        return Tape(inputs, before, (r, z, n, from_h["n"]))
    i, f, o = (sigmoid(from_x[gate] + from_h[gate]) for gate in "ifo")
    return Tape(inputs, before, (i, f, tanh(from_x["g"] + from_h["g"]), o, tanh(after[1])))


def _detached(a: Any) -> Any:
    return a.detach() if isinstance(a, torch.Tensor) else a


def _check_network(
    mode: str,
    input: Any,
    hx: dict[str, Any],
    layers: Any,
    grad_output: Any,
    grad_last: dict[str, Any],
    truncate: Any,
) -> None:
    """Refuse arguments that would be broadcast or mixed without an error."""
    if truncate is not None:
        if not isinstance(truncate, int) or isinstance(truncate, bool):
            raise TypeError(f"truncate should be an int or None, got {type(truncate).__name__}")
        if truncate < 1:
            raise ValueError(f"truncate should be at least 1, got {truncate}")
    if not isinstance(layers, Sequence) or not all(isinstance(part, Sequence) for part in layers):
        got = f"a {type(layers).__name__}"
        if isinstance(layers, Sequence):
            got += f" of {', '.join(type(part).__name__ for part in layers)}"
        raise TypeError(f"layers should be what weights_of(module) gives, got {got}")
    named: dict[str, Any] = {}  # by the name that a message uses; optional values may be None
    for layer, directions in enumerate(layers):
        for direction, weights in enumerate(directions):
            where = f"layers[{layer}][{direction}]"
            if not isinstance(weights, Weights):
                raise TypeError(f"{where} should be Weights, got {type(weights).__name__}")
            named |= {f"{where}.{kind}": array for kind, array in weights._asdict().items()}
    counts = [len(directions) for directions in layers]
    if set(counts) not in ({1}, {2}):
        raise ValueError(
            "layers should have at least one layer of 1 or 2 directions, each of as many "
            f"directions, got {counts}"
        )
    needed = {name for name in named if name.endswith(("weight_ih", "weight_hh"))}
    optional = {"grad_output": grad_output} | grad_last | named
    there = {name: a for name, a in optional.items() if a is not None or name in needed}
    check_kinds(input=input, **hx, **there)
    if "complex" in str(input.dtype):
        raise RuntimeError(f"input should have a real floating-point dtype, got {input.dtype}")
    if input.ndim != 3 or len(input) == 0:
        raise RuntimeError(
            f"input should have shape (L, N, H_in) with L at least 1, got {tuple(input.shape)}"
        )
    for name, array in there.items():
        if ".weight" in name and array.ndim != 2:
            raise RuntimeError(f"{name} should be 2D, got shape {tuple(array.shape)}")
    (L, N, width), D, first = input.shape, counts[0], layers[0][0]
    if width != (columns := first.weight_ih.shape[1]):
        raise RuntimeError(
            f"input should have {columns} features, the columns of weight_ih, got {width}"
        )
    H_out = first.weight_hh.shape[1]
    projected = mode == "LSTM" and first.weight_hr is not None
    hidden_size = first.weight_hr.shape[1] if projected else H_out
    rows = len(GATES[mode]) * hidden_size
    for name, array in named.items():
        place, _, kind = name.rpartition(".")
        shapes = {
            "weight_ih": (rows, width if place.startswith("layers[0]") else D * H_out),
            "weight_hh": (rows, H_out),
            "weight_hr": (H_out, hidden_size),
        }
        if kind == "weight_hr" and (array is not None) != projected:
            wanted = f"{shapes[kind]}, as in layer 0" if projected else "None"
            raise RuntimeError(f"{name} should be {wanted}, got {_shape(array)}")
        if array is not None:
            check_shape(name, array, shapes.get(kind, (rows,)))
    count = D * len(layers)
    for (name, state), size in zip(hx.items(), (H_out, hidden_size), strict=False):
        check_shape(name, state, (count, N, size))
    for (name, grad), size in zip(grad_last.items(), (H_out, hidden_size), strict=False):
        if grad is not None:
            check_shape(name, grad, (count, N, size))
    if grad_output is not None:
        check_shape("grad_output", grad_output, (L, N, D * H_out))


def _shape(array: Any) -> Any:
    return None if array is None else tuple(array.shape)


def _like(tape: Tape[Any]) -> tuple[Any, ...]:
    """Return arrays with the shapes of the states."""
    return tape.gates if tape.before[0] is None else tape.before


def _as_rows(a: Any) -> Any:
    return a.reshape(-1, a.shape[-1])  # (L, N, features) becomes (L * N, features)


def _width(steps: Sequence[Any]) -> int:
    return math.prod(steps[0].shape)  # numbers of one step; of packed sequences, of the first


def _part(a: Any, direction: int, directions: int) -> Any:
    return chunk(a, directions)[direction]


def _total(states: Any, last: Any, like: Any, order: Order) -> Any:
    """Copy the gradient of all states, and add that of each sequence's last state."""
    xp = namespace(like)
    total = xp.new_zeros(like, like.shape) if states is None else xp.clone(states)
    if last is None:
        return total
    if order.sizes is None or order.reverse:
        ending = last_state(order, total)
        ending += last
    else:
        ends = [*order.sizes[1:], 0]
        for step, end in zip(order.steps(total), ends, strict=True):
            step[end:] += last[end : len(step)]
    return total


Accumulator: TypeAlias = tuple[Any, slice | None]


def _accumulators(
    steps: Sequence[Any], order: Order, truncate: int | None, first_needed: bool
) -> tuple[Any, list[list[Accumulator]]]:
    """Say where the gradient of the state before each step is added up.

    Returns the gradient of the initial states, zero so far or None, and the pieces of each step:
    where to add, and which rows of the step (None for all). Sequences that begin at a step come
    from their initial states, the others from the previous step.
    """
    L, sizes = len(steps), order.sizes
    N = len(steps[0]) if sizes is None else sizes[0]
    shape = (N, *steps[0].shape[1:])
    first = namespace(steps[0]).new_zeros(steps[0], shape) if first_needed else None
    if sizes is None and truncate is None:
        before: list[list[Accumulator]] = [[(to, None)] for to in steps[:-1]]
        return first, [[(first, None)] if first_needed else [], *before]
    sizes = [N] * L if sizes is None else sizes[::-1] if order.reverse else sizes
    before = []
    for t, now in enumerate(sizes):
        earlier = sizes[t - 1] if t else 0
        shared = min(now, earlier)
        pieces: list[Accumulator] = []
        if shared and not (truncate and t % truncate == 0):
            to = steps[t - 1] if shared == earlier else steps[t - 1][:shared]
            pieces.append((to, None if shared == now else slice(shared)))
        if shared < now and first is not None:
            part = None if shared == 0 else slice(shared, now)
            pieces.append((first[shared:now], part))
        before.append(pieces)
    return first, before

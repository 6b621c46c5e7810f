"""A readable loop that is faster than PyTorch's: a ladder of improvements, rung by rung.

The first half of this module is the ladder for a plain RNN. Each rung makes one change to the rung
before it and computes the output of `torch.nn.RNN`. The second half is the top rung for all three
modules, with everything that ``unrolled.RNN(..., fast=True)`` and the others need: states,
directions, packed sequences, and gradients from the hand-written backward pass in `unrolled.bptt`.

Biases are merged and sums are taken in a different order from PyTorch's, so results agree up to
rounding but are not bitwise identical. Memory is overwritten, and NumPy replaces some of PyTorch's
operators, so nothing that watches or transforms operators can follow. `try_fast` therefore leaves
autocast, `torch.func`, compilation, tracing and modes to the plain loop; `unrolled.trace`, which is
such a mode, relies on this.
"""

import ctypes
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import repeat
from typing import Any, Generic, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere
from torch.nn.utils.rnn import PackedSequence

from unrolled._checks import check_packed
from unrolled._scan import Order
from unrolled._torch_state import is_batched, is_transformed
from unrolled.arrays import Array, linear, namespace
from unrolled.bptt import Tape, backward_direction, last_state, state_before, stretches, take
from unrolled.layers import STEPS, Direction, State, Weights, plain_direction
from unrolled.shapes import GATES, parameter_shapes

__all__ = [
    "FEATURES_FOR_NUMPY",
    "FORWARD",
    "NUMBERS_FOR_NUMPY",
    "RUNGS",
    "Forward",
    "accumulate",
    "as_array",
    "check_finite",
    "contiguous_weight",
    "fast_direction",
    "gru_forward",
    "in_place",
    "lstm_forward",
    "merge_biases",
    "project_once",
    "rnn_forward",
    "skip_zeros",
    "suits_numpy",
    "textbook",
    "through_numpy",
    "try_fast",
    "views_first",
]


NUMBERS_FOR_NUMPY = 1024
"""The largest number of elements in a state for which switching to NumPy pays off."""

FEATURES_FOR_NUMPY = 512
"""The largest ``H_out`` for which it does: a large weight for one sequence suits PyTorch better."""

# How many numbers of the gates are computed together if they need not be kept.
_PIECE = 2**18
# The same for their gradients: each piece ends in products as large as a weight.
_PIECE_BACK = 2**22
# With fewer steps, a transposed copy of the weight costs more than it saves.
_STEPS_WORTH_A_COPY = 9
# With fewer steps, the backward pass of autograd through an LSTM is as fast as the one by hand.
_STEPS_WORTH_A_TAPE = 16

# -- The ladder -----------------------------------------------------------------------------------


def textbook(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Rung 0: the formula, once per time step.

    Parameters
    ----------
    x : Tensor, shape (L, N, H_in)
        Input, time-major.
    h : Tensor, shape (N, H_out)
        Initial hidden state.
    weight_ih, weight_hh, bias_ih, bias_hh : Tensor
        Parameters of `torch.nn.RNN` with one layer and one direction.

    Returns
    -------
    output : Tensor, shape (L, N, H_out)
        Hidden states at all time steps.
    h : Tensor, shape (N, H_out)
        The last hidden state.

    Notes
    -----
    ``h_t = tanh(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh)``, from the docstring of
    `torch.nn.RNN`.

    Examples
    --------
    >>> rnn, x, h_0 = torch.nn.RNN(10, 20), torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> torch.allclose(textbook(x, h_0[0], *rnn.parameters())[0], rnn(x, h_0)[0], atol=2e-6)
    True
    """
    states = []
    for x_t in x:
        h = torch.tanh(x_t @ weight_ih.T + bias_ih + h @ weight_hh.T + bias_hh)  # (N, H_out)
        states.append(h)
    return torch.stack(states), h  # (L, N, H_out), (N, H_out)


def merge_biases(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Rung 1: add the two biases to each other once, since every step adds both.

    For the parameters, results and the source of the formula, see `textbook`.

    Examples
    --------
    >>> rnn, x, h_0 = torch.nn.RNN(10, 20), torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> torch.allclose(merge_biases(x, h_0[0], *rnn.parameters())[0], rnn(x, h_0)[0], atol=2e-6)
    True
    """
    bias = bias_ih + bias_hh  # (H_out,)
    states = []
    for x_t in x:
        h = torch.tanh(x_t @ weight_ih.T + bias + h @ weight_hh.T)  # (N, H_out)
        states.append(h)
    return torch.stack(states), h  # (L, N, H_out), (N, H_out)


def project_once(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Rung 2: project the whole input before the loop, since no projection depends on a state.

    For the parameters, results and the source of the formula, see `textbook`. Of all the changes,
    this is the only one that `torch.nn.RNN` makes too.

    Examples
    --------
    >>> rnn, x, h_0 = torch.nn.RNN(10, 20), torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> torch.allclose(project_once(x, h_0[0], *rnn.parameters())[0], rnn(x, h_0)[0], atol=2e-6)
    True
    """
    projected = linear(x, weight_ih, bias_ih + bias_hh)  # (L, N, H_out)
    states = []
    for x_t in projected:
        h = torch.tanh(x_t + h @ weight_hh.T)  # (N, H_out)
        states.append(h)
    return torch.stack(states), h  # (L, N, H_out), (N, H_out)


def accumulate(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Rung 3: use `torch.addmm`, which adds while it multiplies: one call instead of two.

    For the parameters, results and the source of the formula, see `textbook`.

    Examples
    --------
    >>> rnn, x, h_0 = torch.nn.RNN(10, 20), torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> torch.allclose(accumulate(x, h_0[0], *rnn.parameters())[0], rnn(x, h_0)[0], atol=2e-6)
    True
    """
    projected, weight = linear(x, weight_ih, bias_ih + bias_hh), weight_hh.T
    states = []
    for x_t in projected:
        h = torch.tanh(torch.addmm(x_t, h, weight))  # (N, H_out)
        states.append(h)
    return torch.stack(states), h  # (L, N, H_out), (N, H_out)


def in_place(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Rung 4: write the output over the projected input, which is not needed afterwards.

    For the parameters, results and the source of the formula, see `textbook`. From this rung on,
    autograd cannot follow, because the values that it needs are overwritten.

    Examples
    --------
    >>> rnn, x, h_0 = torch.nn.RNN(10, 20), torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> with torch.no_grad():
    ...     ours, _ = in_place(x, h_0[0], *rnn.parameters())
    >>> torch.allclose(ours, rnn(x, h_0)[0], atol=2e-6)
    True
    """
    states, weight = linear(x, weight_ih, bias_ih + bias_hh), weight_hh.T
    for t in range(len(x)):
        h = states[t].addmm_(h, weight).tanh_()  # (N, H_out)
    return states, h  # (L, N, H_out), (N, H_out)


def contiguous_weight(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Rung 5: store the transposed weight contiguously once, since every step reads it.

    For the parameters, results and the source of the formula, see `textbook`.

    Examples
    --------
    >>> rnn, x, h_0 = torch.nn.RNN(10, 20), torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> with torch.no_grad():
    ...     ours, _ = contiguous_weight(x, h_0[0], *rnn.parameters())
    >>> torch.allclose(ours, rnn(x, h_0)[0], atol=2e-6)
    True
    """
    states, weight = linear(x, weight_ih, bias_ih + bias_hh), weight_hh.T.contiguous()
    for t in range(len(x)):
        h = states[t].addmm_(h, weight).tanh_()  # (N, H_out)
    return states, h  # (L, N, H_out), (N, H_out)


def views_first(
    x: Tensor, h: Tensor, weight_ih: Tensor, weight_hh: Tensor, bias_ih: Tensor, bias_hh: Tensor
) -> tuple[Tensor, Tensor]:
    """Rung 6: make the views of all time steps in a single call.

    For the parameters, results and the source of the formula, see `textbook`.

    Examples
    --------
    >>> rnn, x, h_0 = torch.nn.RNN(10, 20), torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> with torch.no_grad():
    ...     ours, _ = views_first(x, h_0[0], *rnn.parameters())
    >>> torch.allclose(ours, rnn(x, h_0)[0], atol=2e-6)
    True
    """
    states, weight = linear(x, weight_ih, bias_ih + bias_hh), weight_hh.T.contiguous()
    for state in states.unbind(0):
        h = state.addmm_(h, weight).tanh_()  # (N, H_out)
    return states, h  # (L, N, H_out), (N, H_out)


def skip_zeros(
    x: Tensor,
    h: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    activate: Callable[[Tensor], Tensor] = torch.tanh_,
) -> tuple[Tensor, Tensor]:
    """Rung 7: skip the product with a state of zeros, and any copy that does not pay off.

    Parameters
    ----------
    x : Tensor, shape (L, N, H_in)
        Input, time-major.
    h : Tensor, shape (N, H_out), or None
        Initial hidden state; ``None`` means zeros, and saves a product.
    weight_ih, weight_hh, bias_ih, bias_hh : Tensor
        Parameters of `torch.nn.RNN` with one layer and one direction; the biases may be left out.
    activate : callable, default ``torch.tanh_``
        Activation, in place.

    Returns
    -------
    output : Tensor, shape (L, N, H_out)
        Hidden states at all time steps.
    h : Tensor, shape (N, H_out)
        The last hidden state, a view of `output`.

    Notes
    -----
    See `textbook` for the source of the formula.

    Examples
    --------
    >>> rnn, x = torch.nn.RNN(10, 20), torch.randn(5, 3, 10)
    >>> with torch.no_grad():
    ...     ours, _ = skip_zeros(x, None, *rnn.parameters())
    >>> torch.allclose(ours, rnn(x)[0], atol=2e-6)
    True
    """
    bias = None if bias_ih is None or bias_hh is None else bias_ih + bias_hh
    states = F.linear(x, weight_ih, bias)  # (L, N, H_out)
    every, weight = states.unbind(0), weight_hh.T
    if len(every) >= _STEPS_WORTH_A_COPY:
        weight = weight.contiguous()
    steps = iter(every)
    if h is None:
        h = activate(next(steps))  # (N, H_out)
    for state in steps:
        h = activate(state.addmm_(h, weight))  # (N, H_out)
    return states, h  # (L, N, H_out), (N, H_out)


def through_numpy(
    x: Tensor,
    h: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None = None,
    bias_hh: Tensor | None = None,
    activate: Callable[..., Any] = np.tanh,
) -> tuple[Tensor, Tensor]:
    """Rung 8, for small states: call NumPy on the same memory, since its calls cost less.

    For the parameters, results and the source of the formula, see `skip_zeros`; here `activate`
    takes an array and, as `out`, the array to write to. The tensors must be on a CPU. For states
    with more than about a thousand numbers, PyTorch's operators are faster. NumPy's floating-point
    warnings, for example of an underflow, are suppressed, since PyTorch gives none.

    Raises
    ------
    FloatingPointError
        If the result has an infinity or NaN, or if a weight whose product with a state of zeros is
        skipped has one. With sums in a different order, infinities and NaN may differ from
        PyTorch's.

    Examples
    --------
    >>> rnn, x = torch.nn.RNN(10, 20), torch.randn(5, 3, 10)
    >>> ours, _ = through_numpy(x, None, *rnn.parameters())
    >>> torch.allclose(ours, rnn(x)[0], atol=2e-6)
    True
    """
    bias = None if bias_ih is None or bias_hh is None else bias_ih + bias_hh
    output = F.linear(x, weight_ih, bias)  # (L, N, H_out)
    if output.requires_grad:
        output = output.detach()  # autograd does not see what NumPy does
    states, weight = as_array(output), as_array(weight_hh).T
    last: Any = None if h is None else as_array(h)  # (N, H_out)
    with np.errstate(all="ignore"):  # as PyTorch does
        for state in states:
            if last is not None:
                state += last.dot(weight)
            last = activate(state, out=state)
        check_finite(states, weight)
    return output, output[-1]  # (L, N, H_out), (N, H_out)


RUNGS: dict[str, Callable[..., tuple[Tensor, Tensor]]] = {
    rung.__name__: rung
    for rung in (
        textbook,
        merge_biases,
        project_once,
        accumulate,
        in_place,
        contiguous_weight,
        views_first,
        skip_zeros,
        through_numpy,
    )
}
"""The rungs of the ladder by name, from bottom to top."""


# -- The top, for all three modules ---------------------------------------------------------------


class Forward(NamedTuple, Generic[Array]):
    """The results of a forward pass through one direction.

    Attributes
    ----------
    states : tuple of ndarrays or Tensors, shape (..., features)
        States after each step, in time order: ``(h,)`` or ``(h, c)``.
    gates : tuple of ndarrays or Tensors
        As in `unrolled.bptt.Tape`; empty unless requested.

    Examples
    --------
    >>> Forward((torch.zeros(5, 3, 20),), ()).gates
    ()
    """

    states: tuple[Array, ...]
    gates: tuple[Array, ...]


def rnn_forward(
    inputs: Array,
    initial: tuple[Any, ...],
    weights: Weights[Array],
    order: Order,
    keep: bool,
    nonlinearity: str = "tanh",
) -> Forward[Array]:
    """Run one direction of a plain RNN: the top of the ladder, for any order of steps.

    Parameters
    ----------
    inputs : ndarray or Tensor, shape (..., layer_input_size)
        Input of the layer.
    initial : tuple of one ndarray or Tensor, shape (N, H_out), or None
        State before the first step; ``None`` means zeros, for input that is not packed.
    weights : Weights
        Parameters of this direction.
    order : Order
        Which rows make up a step, and which step comes first.
    keep : bool
        Whether to keep what the backward pass needs, which for a plain RNN is the output.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.

    Returns
    -------
    Forward
        The states, and what the backward pass needs.

    Notes
    -----
    See `textbook` for the source of the formula.

    Examples
    --------
    >>> rnn, x, h_0 = torch.nn.RNN(10, 20), torch.randn(5, 3, 10), torch.randn(3, 20)
    >>> with torch.no_grad():
    ...     (ours,), _ = rnn_forward(x, (h_0,), Weights(*rnn.parameters()), Order(), keep=False)
    >>> torch.allclose(ours, rnn(x, h_0[None])[0], atol=2e-6)
    True
    """
    xp = namespace(inputs)
    activate, addmm_ = getattr(xp, f"{nonlinearity}_"), xp.addmm_
    bias = _merged(weights)
    states = xp.linear(inputs, weights.weight_ih, bias)  # (L, N, H_out)
    every, (h_0,) = order.steps(states), initial
    weight, packed = _transposed(weights.weight_hh, len(every)), order.sizes is not None
    steps = iter(every)
    h = activate(next(steps)) if h_0 is None else h_0
    for state in steps:
        if packed:
            h = _entering(h, h_0, len(state))
        addmm_(state, h, weight)
        h = activate(state)  # (N, H_out)
    return Forward((states,), (states,))


def gru_forward(
    inputs: Array, initial: tuple[Any, ...], weights: Weights[Array], order: Order, keep: bool
) -> Forward[Array]:
    """Run one direction of a GRU, overwriting the projected input of ``n`` with ``n``.

    Parameters
    ----------
    inputs, initial, weights, order, keep
        As in `rnn_forward`, except that `initial` must not be None.

    Returns
    -------
    Forward
        The states, and what the backward pass needs.

    Notes
    -----
    See `unrolled.cells.gru_step` for the source of the formula.

    Examples
    --------
    >>> gru, x, h_0 = torch.nn.GRU(10, 20), torch.randn(5, 3, 10), torch.randn(3, 20)
    >>> with torch.no_grad():
    ...     (ours,), _ = gru_forward(x, (h_0,), Weights(*gru.parameters()), Order(), keep=False)
    >>> torch.allclose(ours, gru(x, h_0[None])[0], atol=2e-6)
    True
    """
    if keep or order.sizes is not None:
        return _gru_forward_kept(inputs, initial, weights, order)
    xp, (h,) = namespace(inputs), initial
    addmm, addcmul_, lerp = xp.addmm, xp.addcmul_, xp.lerp
    sigmoid_, tanh_ = xp.sigmoid_, xp.tanh_
    N, H_out = h.shape
    dots: tuple[int, ...] = inputs.shape[:-1]
    states = xp.new_empty(h, (*dots, H_out))
    gates = xp.new_empty(h, (N, 3 * H_out))  # of one step and the next, in the same memory
    rz, m = xp.split(gates, (2 * H_out, H_out))
    r, z = xp.split(rz, (H_out, H_out))
    weight, bias = _transposed(weights.weight_hh, len(inputs)), weights.bias_hh
    for part in _pieces(order, dots, 3 * H_out):
        start = xp.linear(take(inputs, part), weights.weight_ih, weights.bias_ih)
        start_rz, start_m = xp.split(start, (2 * H_out, H_out))
        candidates = xp.clone(start_m)  # (L, N, H_out), n_x: what n gets from the input
        if bias is not None:
            start_rz += bias[: 2 * H_out]
        start_m[...] = 0 if bias is None else bias[2 * H_out :]  # to m comes nothing of the input
        for state, start_t, n in zip(
            *map(order.steps, (take(states, part), start, candidates)), strict=True
        ):
            addmm(start_t, h, weight, out=gates)  # (N, 3 * H_out)
            sigmoid_(rz)  # (N, 2 * H_out)
            addcmul_(n, r, m)
            tanh_(n)  # (N, H_out)
            h = lerp(n, h, z, out=state)  # (N, H_out)
    return Forward((states,), ())


def _gru_forward_kept(
    inputs: Any, initial: tuple[Any, ...], weights: Weights[Any], order: Order
) -> Forward[Any]:
    """Run one direction of a GRU, keeping the gates of all steps, whose inputs are laid out first.

    This saves a pass over the gates but needs more views, which pays off only for long sequences.
    """
    xp, (h_0,), packed = namespace(inputs), initial, order.sizes is not None
    addmm_, addcmul_, lerp, sigmoid_, tanh_ = (
        xp.addmm_, xp.addcmul_, xp.lerp, xp.sigmoid_, xp.tanh_
    )  # fmt: skip # looked up once
    H_out = h_0.shape[1]
    states = xp.new_empty(h_0, (*inputs.shape[:-1], H_out))
    weight = _transposed(weights.weight_hh, len(inputs))
    from_h, n = xp.split(_gru_gates(inputs, weights), (3 * H_out, H_out))
    rz, m = xp.split(from_h, (2 * H_out, H_out))
    r, z = xp.split(rz, (H_out, H_out))
    h = h_0
    for state, from_h_t, rz_t, r_t, z_t, m_t, n_t in zip(
        *map(order.steps, (states, from_h, rz, r, z, m, n)), strict=True
    ):
        if packed:
            h = _entering(h, h_0, len(state))
        addmm_(from_h_t, h, weight)  # (N, 3 * H_out)
        sigmoid_(rz_t)  # (N, 2 * H_out)
        addcmul_(n_t, r_t, m_t)
        tanh_(n_t)  # (N, H_out)
        h = lerp(n_t, h, z_t, out=state)  # (N, H_out)
    return Forward((states,), (r, z, n, m))


def _gru_gates(inputs: Any, weights: Weights[Any]) -> Any:
    """Lay out what enters the gates apart from the states: r, z, m and n of each step.

    The contribution of the state to the candidate, m, is multiplied by r, so it is kept separate
    from that of the input, n.
    """
    xp, H_out = namespace(inputs), weights.weight_hh.shape[1]
    rows = inputs.reshape(-1, inputs.shape[-1])  # (L * N, layer_input_size)
    gates = xp.new_empty(inputs, (len(rows), 4 * H_out))
    rzm, n = xp.split(gates, (3 * H_out, H_out))
    rz, m = xp.split(rzm, (2 * H_out, H_out))
    weight_rz, weight_n = weights.weight_ih[: 2 * H_out], weights.weight_ih[2 * H_out :]
    bias, bias_ih, bias_hh = _merged(weights), weights.bias_ih, weights.bias_hh
    bias_rz = None if bias is None else bias[: 2 * H_out]
    bias_n = None if bias_ih is None else bias_ih[2 * H_out :]
    m[...] = 0 if bias_hh is None else bias_hh[2 * H_out :]
    xp.addmm(bias_rz, rows, weight_rz.T, out=rz)
    xp.addmm(bias_n, rows, weight_n.T, out=n)
    return gates.reshape(*inputs.shape[:-1], 4 * H_out)


def lstm_forward(
    inputs: Array, initial: tuple[Any, ...], weights: Weights[Array], order: Order, keep: bool
) -> Forward[Array]:
    """Run one direction of an LSTM, overwriting the projected input with the gates.

    Parameters
    ----------
    inputs, initial, weights, order, keep
        As in `rnn_forward`; `initial` is a pair of arrays, ``(N, H_out)`` and
        ``(N, hidden_size)``.

    Returns
    -------
    Forward
        The states, and what the backward pass needs.

    Notes
    -----
    See `unrolled.cells.lstm_step` for the source of the formula.

    Examples
    --------
    >>> lstm, x, zeros = torch.nn.LSTM(10, 20), torch.randn(5, 3, 10), torch.zeros(3, 20)
    >>> with torch.no_grad():
    ...     (ours, _), _ = lstm_forward(
    ...         x, (zeros, zeros), Weights(*lstm.parameters()), Order(), keep=False)
    >>> torch.allclose(ours, lstm(x)[0], atol=2e-6)
    True
    """
    xp, (h_0, c_0), packed = namespace(inputs), initial, order.sizes is not None
    size, weight_hr = c_0.shape[1], weights.weight_hr
    dots: tuple[int, ...] = inputs.shape[:-1]
    states, cells = xp.new_empty(h_0, (*dots, h_0.shape[1])), xp.new_empty(c_0, (*dots, size))
    # As in a GRU: of all steps, or of one and the same.
    every: bool = keep or packed
    tanh_cells = xp.new_empty(c_0, (*(dots if every else dots[1:]), size))
    tanh_steps: Any = order.steps(tanh_cells) if every else repeat(tanh_cells)
    weight, bias = _transposed(weights.weight_hh, len(inputs)), _merged(weights)
    h, c = h_0, c_0
    for part in [None] if every else _pieces(order, dots, 4 * size):
        gates = xp.linear(take(inputs, part), weights.weight_ih, bias)  # (L, N, 4 * hidden_size)
        i_f, (i, f, g, o) = gates[..., : 2 * size], xp.chunk(gates, 4)
        here = (take(states, part), take(cells, part), gates, i_f, i, f, g, o)
        for state, cell, gates_t, i_f_t, i_t, f_t, g_t, o_t, tanh_c in zip(
            *map(order.steps, here), tanh_steps, strict=False
        ):
            if packed:
                h, c = _entering(h, h_0, len(state)), _entering(c, c_0, len(state))
            xp.addmm_(gates_t, h, weight)  # (N, 4 * hidden_size)
            xp.sigmoid_(i_f_t)  # (N, 2 * hidden_size)
            xp.tanh_(g_t)  # (N, hidden_size)
            xp.sigmoid_(o_t)
            xp.mul(i_t, g_t, out=cell)
            xp.addcmul_(cell, f_t, c)
            tanh_c[...] = cell
            xp.tanh_(tanh_c)
            if weight_hr is None:
                xp.mul(o_t, tanh_c, out=state)
            else:
                xp.addmm(None, o_t * tanh_c, weight_hr.T, out=state)  # (N, H_out)
            h, c = state, cell
    return Forward((states, cells), (i, f, g, o, tanh_cells) if keep else ())


FORWARD: dict[str, Callable[..., Forward[Any]]] = {
    "RNN_TANH": rnn_forward,
    "RNN_RELU": partial(rnn_forward, nonlinearity="relu"),
    "GRU": gru_forward,
    "LSTM": lstm_forward,
}
"""The top rung of the forward pass of each mode."""

_FORWARD = Order()
_TYPES: dict[Any, Any] = {
    torch.float32: np.dtype(np.float32),
    torch.float64: np.dtype(np.float64),
}
_PLAIN = (Tensor, nn.Parameter)  # a subclass may have no numbers, or want to see each operator
_lstm: Any = torch.lstm  # what `torch.nn.LSTM` calls
_ACTIVATIONS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "RNN_TANH": (torch.tanh_, np.tanh),
    "RNN_RELU": (torch.relu_, partial(np.maximum, 0)),
}


def _merged(weights: Weights[Any]) -> Any:
    return None if weights.bias_ih is None else weights.bias_ih + weights.bias_hh


def _pieces(order: Order, dots: Sequence[int], width: int) -> list[slice | None]:
    """Cut a long sequence into pieces whose projected inputs reuse the same memory.

    The operating system hands out new memory page by page, which takes longer than filling it.
    """
    L, N = dots
    parts = [part for _, part, _ in stretches(order, L, N * width, _PIECE)]
    return parts[::-1]  # in the order in which this direction runs


def _transposed(weight: Any, steps: int) -> Any:
    if steps < _STEPS_WORTH_A_COPY:
        return weight.T
    return namespace(weight).clone(weight.T)


def _entering(h: Any, h_0: Any, rows: int) -> Any:
    """Return the states that enter a step: some sequences have ended, or others begin."""
    known = len(h)
    return h[:rows] if rows <= known else torch.cat([h, h_0[known:rows]])


def suits_numpy(inputs: Tensor, weight_hh: Tensor, order: Order) -> bool:
    """Tell whether a state is so small that the calls cost more than the computation.

    Parameters
    ----------
    inputs : Tensor, shape (L, N, layer_input_size)
        Input of the layer.
    weight_hh : Tensor, shape (gate_size, H_out)
        Weight of the hidden state.
    order : Order
        Which rows make up a step.

    Returns
    -------
    bool
        Whether to use NumPy instead of PyTorch: true on a CPU, for input that is not packed and a
        state of at most 1024 numbers, at most 512 of them for one sequence.

    Examples
    --------
    >>> weight = torch.zeros(20, 20)
    >>> [suits_numpy(torch.zeros(5, N, 10), weight, Order()) for N in (3, 300)]
    [True, False]
    """
    if order.sizes is not None or not inputs.is_cpu:
        return False
    H_out = weight_hh.size(1)
    return inputs.size(1) * H_out <= NUMBERS_FOR_NUMPY and H_out <= FEATURES_FOR_NUMPY


def check_finite(*arrays: NDArray[Any]) -> None:
    """Refuse infinity and NaN: with sums in a different order they may differ from PyTorch's.

    Parameters
    ----------
    *arrays : ndarrays
        The arrays to check. The check is a sum of squares, which is one short call but also refuses
        very large numbers: above 1e19 in float32.

    Raises
    ------
    FloatingPointError
        If an array contains one.

    Examples
    --------
    >>> check_finite(np.ones(3), np.zeros(2))
    >>> check_finite(np.array([np.inf]))
    Traceback (most recent call last):
    FloatingPointError: arrays should be finite and not huge
    """
    for a in arrays:
        if not math.isfinite(np.vdot(a, a)):
            raise FloatingPointError("arrays should be finite and not huge")


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a NumPy array that shares the memory of a tensor and leaves the tensor unchanged.

    `torch.Tensor.numpy` would return the same array, but it marks the storage, which then can never
    be resized again. FSDP resizes the storage of parameters at each step.

    Parameters
    ----------
    tensor : Tensor
        A float32 or float64 tensor on a CPU.

    Returns
    -------
    ndarray
        Writing to it writes to the tensor, and autograd does not see it.

    Raises
    ------
    TypeError
        If the tensor has a different dtype or is not on a CPU.
    RuntimeError
        If its memory was released.

    Examples
    --------
    >>> tensor = torch.zeros(3)
    >>> as_array(tensor)[0] = 1
    >>> tensor, tensor.untyped_storage().resizable()
    (tensor([1., 0., 0.]), True)
    """
    kind = _TYPES.get(tensor.dtype)
    if kind is None or not tensor.is_cpu:
        raise TypeError(
            "tensor should be of float32 or float64 on a CPU, "
            f"got {tensor.dtype} on {tensor.device}"
        )
    if tensor.is_neg():
        tensor = tensor.resolve_neg()
    shape, strides, count, place = tensor.shape, None, tensor.numel(), tensor.data_ptr()
    if not place and count:
        raise RuntimeError(f"tensor should have memory, got none for shape {tuple(shape)}")
    if count and not tensor.is_contiguous():
        steps = tensor.stride()
        count = 1 + sum([(size - 1) * step for size, step in zip(shape, steps, strict=True)])
        strides = tuple([step * kind.itemsize for step in steps])
    memory: Any = (ctypes.c_char * (count * kind.itemsize)).from_address(place)
    memory.tensor = tensor  # keeps it alive as long as the array
    return np.ndarray(shape, kind, memory, 0, strides)


class _Direction(torch.autograd.Function):
    """One direction of one layer, with the backward pass of `unrolled.bptt`."""

    @staticmethod
    def forward(ctx: Any, mode: str, order: Order, *tensors: Any) -> tuple[Tensor, ...]:
        *needed, bias_ih, bias_hh, weight_hr = tensors
        ctx.mode, ctx.order, ctx.in_numpy = mode, order, suits_numpy(tensors[0], needed[-1], order)
        with np.errstate(all="ignore"):  # as PyTorch does
            inputs, initial, weights = _named(mode, tensors, ctx.in_numpy)
            states, gates = FORWARD[mode](inputs, initial, weights, order, keep=True)
            # Initial states enter a gradient; without them, one step alone never reads weight_hh.
            seen = [states[0], *(initial if initial[0] is not None else [weights.weight_hh])]
            check_finite(*(seen if ctx.in_numpy else map(as_array, seen)))
        if ctx.in_numpy:
            states, gates = (tuple(map(torch.from_numpy, parts)) for parts in (states, gates))
        ctx.save_for_backward(*needed, weight_hr, *states, *gates)
        # The backward pass does not read the biases, which may change meanwhile, as with PyTorch's.
        ctx.biases = [
            None if bias is None else (bias, bias._version, bias.clone())
            for bias in (bias_ih, bias_hh)
        ]
        ctx.set_materialize_grads(False)
        # Copies, since views of a result would cost autograd more than they save.
        return *states, *[last_state(order, part).clone() for part in states]

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        mode, order, parts = ctx.mode, ctx.order, len(grads) // 2
        saved = ctx.saved_tensors  # raises an error if one of them was changed in the meantime
        if all(grad is None for grad in grads):
            return (None,) * (2 + parts + 6)
        *needed, weight_hr = saved[: parts + 4]
        tensors, kept = [*needed, *map(_as_it_was, ctx.biases), weight_hr], saved[parts + 4 :]
        if not (torch.is_grad_enabled() or is_transformed() or any(map(_is_hidden, grads))):
            with suppress(FloatingPointError):
                return None, None, *_by_hand(ctx, tensors, kept, grads)
        return None, None, *_differentiable(mode, order, tensors, grads)


def _as_it_was(kept: tuple[Tensor, int, Tensor] | None) -> Tensor | None:
    """Return a bias with its earlier values, for the gradient of the present one."""
    if kept is None or kept[0]._version == kept[1]:
        return None if kept is None else kept[0]
    bias, _, before = kept
    with torch.enable_grad():
        return bias + (before - bias).detach()


def _is_hidden(grad: Tensor | None) -> bool:
    """Tell whether the values of a gradient are missing, or hidden from us."""
    return grad is not None and (
        type(grad) not in _PLAIN or grad.layout is not torch.strided or is_batched(grad)
    )


def _fit(
    mode: str, inputs: Tensor, parts: tuple[Any, ...], weights: Weights[Tensor], order: Order
) -> bool:
    """Tell whether the top rung can run these; if not, the plain loop runs or refuses them."""
    dtype = inputs.dtype
    for t in (inputs, *parts, *weights):  # run so often that function calls would be noticeable
        if t is not None and (
            t.dtype is not dtype
            or type(t) not in _PLAIN
            or not t.is_cpu
            or t.layout is not torch.strided
        ):
            return False
    weight_ih, weight_hh, bias_ih, bias_hh, weight_hr = weights
    if dtype not in _TYPES or weight_hh.dim() != 2:
        return False
    rows, H_out = weight_hh.shape
    hidden_size = H_out if weight_hr is None else weight_hr.shape[1]
    wanted = len(GATES[mode]) * hidden_size
    N = inputs.shape[-2] if order.sizes is None else order.sizes[0]
    return (
        rows == wanted
        and weight_ih.shape == (wanted, inputs.shape[-1])
        and (bias_ih is None) == (bias_hh is None)
        and (bias_ih is None or bias_ih.shape == (wanted,))
        and (bias_hh is None or bias_hh.shape == (wanted,))
        and (weight_hr is None or weight_hr.shape == (H_out, hidden_size))
        and (parts[0] is None or parts[0].shape == (N, H_out))
        and (len(parts) == 1 or parts[1].shape == (N, hidden_size))
    )


def _arrays(tensors: Sequence[Tensor | None]) -> list[Any]:
    return [None if tensor is None else as_array(tensor) for tensor in tensors]


def _by_hand(
    ctx: Any, tensors: Sequence[Any], kept: Sequence[Any], grads: Sequence[Any]
) -> tuple[Any, ...]:
    """Go backward as `unrolled.bptt` does, in NumPy if the forward pass used it."""
    mode, parts = ctx.mode, len(grads) // 2
    with np.errstate(all="ignore"):
        inputs, initial, weights = _named(mode, tensors, ctx.in_numpy)
        if ctx.in_numpy:
            kept, grads = _arrays(kept), _arrays(grads)
        states, gates = kept[:parts], kept[parts:]
        found = _backward(
            mode, ctx.order, inputs, initial, weights, states, gates, grads[:parts], grads[parts:],
            input_needed=ctx.needs_input_grad[2],
            first_needed=any(ctx.needs_input_grad[3 : 3 + parts]),
        )  # fmt: skip # as wide as the page
        # Sums in a different order, or a product with zero, may give NaN where autograd does not.
        # Any NaN shows in the gradient of weight_ih, a product that involves all of them.
        check_finite(found[parts + 1] if ctx.in_numpy else as_array(found[parts + 1]))
    if ctx.in_numpy:  # copied, since NumPy's memory could not be resized
        return tuple([None if a is None else torch.from_numpy(a).clone() for a in found])
    return found


def _backward(
    mode: str,
    order: Order,
    inputs: Any,
    initial: tuple[Any, ...],
    weights: Weights[Any],
    states: Sequence[Any],
    gates: Sequence[Any],
    grad_states: Sequence[Any],
    grad_last: Sequence[Any],
    input_needed: bool,
    first_needed: bool,
) -> tuple[Any, ...]:
    """Go backward piece by piece, passing the gradient of a piece's first state to the one before.

    The pieces have the same purpose as in `_pieces`; packed sequences are one piece.
    """
    parts: list[slice | None] = [None]
    width = inputs.shape[-2] * gates[0].shape[-1] * len(gates)  # of a step
    if order.sizes is None and len(inputs) * width > _PIECE_BACK:
        parts = [part for _, part, _ in stretches(order, len(inputs), width, _PIECE_BACK)]
    grad_inputs, total = [], None
    for part in parts:
        entering, last = initial, part is parts[-1]
        if part is not None and not last:
            at = part.stop if order.reverse else part.start - 1
            entering = tuple([state[at] for state in states])
        before = tuple(
            [
                None if first is None else state_before(order, take(after, part), first)
                for after, first in zip(states, entering, strict=True)
            ]
        )
        tape = Tape(take(inputs, part), before, tuple([take(gate, part) for gate in gates]))
        grads = [None if grad is None else take(grad, part) for grad in grad_states]
        grad_x, grad_last, found = backward_direction(
            mode, tape, grads, grad_last, weights, order,
            input_needed=input_needed, first_needed=first_needed or not last,
        )  # fmt: skip # as wide as the page
        grad_inputs.append(grad_x)
        if total is None:
            total = found
        else:
            for grad, more in zip(total, found, strict=True):
                if grad is not None:
                    grad += more
    assert total is not None
    whole = grad_inputs[0]
    if input_needed and len(parts) > 1:
        whole = namespace(inputs).cat(grad_inputs if order.reverse else grad_inputs[::-1])
    return whole, *grad_last, *total


def _named(
    mode: str, tensors: Sequence[Any], in_numpy: bool = False
) -> tuple[Any, tuple[Any, ...], Weights[Any]]:
    """Separate input, initial states and parameters, as arrays if requested."""
    parts, tensors = 2 if mode == "LSTM" else 1, _arrays(tensors) if in_numpy else tensors
    return tensors[0], tuple(tensors[1 : 1 + parts]), Weights(*tensors[1 + parts :])


def _differentiable(
    mode: str, order: Order, tensors: Sequence[Tensor | None], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """Let autograd go back through the plain loop, for second derivatives: rare and slow."""
    create_graph = torch.is_grad_enabled()
    with torch.enable_grad():
        # Aliases, so that a tensor made from another tensor does not count for it too.
        aliases = [None if t is None else t.view_as(t) for t in tensors]
        inputs, initial, weights = _named(mode, aliases)
        state = initial if mode == "LSTM" else initial[0]
        states, last = _plainly(mode, inputs, state, weights, order)
        results = [*states, *last] if mode == "LSTM" else [states, last]
        used = [(r, g) for r, g in zip(results, grads, strict=True) if g is not None]
        wanted = [alias for alias in aliases if alias is not None and alias.requires_grad]
        found = iter(
            torch.autograd.grad(
                [r for r, _ in used], wanted, [g for _, g in used],
                create_graph=create_graph, allow_unused=True,
            )
        )  # fmt: skip # as wide as the page
    return [next(found) if a is not None and a.requires_grad else None for a in aliases]


def fast_direction(
    mode: str, inputs: Tensor, initial: State, weights: Weights[Tensor], order: Order
) -> tuple[State, State]:
    """Run one layer in one direction on the top rung; with `mode` bound, this is a direction.

    Parameters
    ----------
    mode : str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"GRU"`` or ``"LSTM"``.
    inputs : Tensor, shape (..., layer_input_size)
        Input of the layer; float32 or float64, like all the other arguments.
    initial : Tensor, shape (N, H_out), or a tuple of two
        State before the first step. For a plain RNN and input that is not packed, ``None`` means
        zeros.
    weights : Weights
        Parameters of this layer and direction.
    order : Order
        Which rows make up a step, and which step comes first.

    Returns
    -------
    states : Tensor, shape (..., H_out), or a tuple of two
        State after each step, laid out like `inputs`.
    last : Tensor, shape (N, H_out), or a tuple of two
        State of each sequence after its own last step; a view if no gradients are needed.

    Notes
    -----
    If gradients are needed, the backward pass is `unrolled.bptt.backward_direction`. Second
    derivatives, and backward passes that are transformed, for example by `torch.func`, go through
    the plain loop. So does any call whose result has an infinity or a NaN.

    Examples
    --------
    >>> gru, x, h_0 = torch.nn.GRU(10, 20), torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> states, _ = fast_direction("GRU", x, h_0[0], Weights(*gru.parameters()), Order())
    >>> torch.allclose(states, gru(x, h_0)[0], atol=2e-6)
    True
    """
    inputs = inputs.contiguous()  # for the products, which would copy it twice
    parts = initial if mode == "LSTM" else (initial,)
    tensors: Sequence[Any] = (inputs, *parts, *weights)
    if not _fit(mode, inputs, parts, weights, order):
        return _plainly(mode, inputs, initial, weights, order)
    try:
        if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
            # Aliases, which keep their memory if the tensor is given a different one.
            tensors = [None if t is None else t.view_as(t) for t in tensors]
            results = _Direction.apply(mode, order, *tensors)  # type: ignore[no-untyped-call] # torch's is
        elif mode in _ACTIVATIONS and not order.reverse and order.sizes is None:
            results = _top_rung(mode, inputs, initial, *weights[:4])
        else:
            found, _ = FORWARD[mode](inputs, parts, weights, order, keep=False)
            check_finite(as_array(found[0]))
            results = *found, *[last_state(order, part) for part in found]
    except FloatingPointError:
        return _plainly(mode, inputs, initial, weights, order)
    return results if len(results) == 2 else (results[:2], results[2:])


def _plainly(
    mode: str, inputs: Tensor, initial: State, weights: Weights[Tensor], order: Order
) -> tuple[State, State]:
    if initial is None:
        initial = inputs.new_zeros(inputs.shape[1], weights.weight_hh.shape[1])
    return plain_direction(STEPS[mode], inputs, initial, weights, order)


def _top_rung(
    mode: str,
    x: Tensor,
    h: Tensor | None,
    weight_ih: Tensor,
    weight_hh: Tensor,
    bias_ih: Tensor | None,
    bias_hh: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Run a plain RNN forward in time and without gradients: the top of the ladder."""
    activate_, activate = _ACTIVATIONS[mode]
    if suits_numpy(x, weight_hh, _FORWARD):
        return through_numpy(x, h, weight_ih, weight_hh, bias_ih, bias_hh, activate)
    results = skip_zeros(x, h, weight_ih, weight_hh, bias_ih, bias_hh, activate_)
    check_finite(as_array(results[0]))
    if h is None:
        check_finite(as_array(weight_hh))
    return results


def try_fast(
    module: nn.RNNBase, input: Any, hx: Any, all_states: bool
) -> tuple[tuple[Any, ...] | None, Direction | None]:
    """Run the simplest case right away; otherwise return the function that runs a direction.

    Parameters
    ----------
    module : RNN, GRU or LSTM
        A module of `unrolled` with ``fast=True``.
    input, hx
        The arguments that the module was called with.
    all_states : bool
        Whether to return the states of all layers.

    Returns
    -------
    returned : tuple or None
        What the module returns, if this call has computed it already.
    direction : callable or None
        `fast_direction`, or None if the plain loop has to run: off a CPU, for dtypes other than
        float32 and float64, for subclasses of tensors, and while operators are transformed or
        watched.

    Examples
    --------
    >>> from unrolled import GRU
    >>> returned, _ = try_fast(GRU(10, 20), torch.randn(5, 3, 10), None, all_states=False)
    >>> output, h_n = returned
    >>> output.shape
    torch.Size([5, 3, 20])
    """
    inputs = input.data if isinstance(input, PackedSequence) else input
    if type(inputs) not in _PLAIN or inputs.dtype not in _TYPES or not inputs.is_cpu:
        return None, None
    if inputs.numel() == 0 or is_transformed():  # of nothing, autograd keeps less than we do
        return None, None
    if not all_states:
        in_one = _one_call if module.mode == "LSTM" else _one_layer
        returned = in_one(module, input, hx)
        if returned is not None:
            return returned, None
    return None, partial(fast_direction, module.mode)


@cache
def _parameter_shapes(*arguments: Any) -> list[tuple[int, ...]]:
    return list(parameter_shapes(*arguments).values())


def _one_call(module: Any, input: Any, hx: Any) -> tuple[Any, ...] | None:
    """Run an LSTM, all layers and directions, with the operator that `torch.nn.LSTM` calls.

    In float32, oneDNN computes a whole sequence there, which no loop in Python can match. Otherwise
    the operator is a loop in C++, faster than ours unless it needs the gradients of many steps.
    Returns None where ours is faster, where something computes a parameter, and where an argument
    may have to be refused.
    """
    packed = isinstance(input, PackedSequence)
    inputs, order = (input.data, input.sorted_indices) if packed else (input, None)
    D, num_layers, batch_first = 1 + module.bidirectional, module.num_layers, module.batch_first
    hidden_size, proj_size = module.hidden_size, module.proj_size
    if inputs.size(-1) != module.input_size:
        return None
    batched = packed or inputs.dim() == 3
    if batch_first and not packed and batched:
        inputs = inputs.transpose(0, 1)  # (L, N, H_in)
    if packed:
        sizes = check_packed(input)
        steps, N = len(sizes), sizes[0]
    elif batched:
        steps, N, _ = inputs.shape
    elif inputs.dim() == 2:
        steps, N = len(inputs), 1
    else:
        return None
    count, H_out, dtype = D * num_layers, proj_size or hidden_size, inputs.dtype
    weights = [*map(module._parameters.get, module._flat_weights_names)]
    shapes = _parameter_shapes(
        "LSTM", module.input_size, hidden_size, num_layers, module.bias, D == 2, proj_size
    )
    tensors: Sequence[Any] = weights
    if hx is not None:
        if type(hx) not in (tuple, list) or len(hx) != 2:
            return None
        among = (N,) if batched else ()
        tensors = [*weights, *hx]
        shapes = [*shapes, (count, *among, H_out), (count, *among, hidden_size)]
    for t, shape in zip(tensors, shapes, strict=True):
        if (
            type(t) not in _PLAIN
            or t.dtype is not dtype
            or t.shape != shape
            or not t.is_cpu
            or t.layout is not torch.strided
        ):
            return None
    if (
        steps >= _STEPS_WORTH_A_TAPE
        and torch.is_grad_enabled()
        and (inputs.requires_grad or any(t.requires_grad for t in tensors))
        and not _suits_onednn(dtype, proj_size, packed and sizes[0] != sizes[-1])
    ):
        return None
    if hx is None:
        h_0 = inputs.new_zeros(count, N, H_out)
        hx = h_0, inputs.new_zeros(count, N, hidden_size) if proj_size else h_0
    elif not batched:
        hx = [state.unsqueeze(1) for state in hx]
    elif order is not None:
        hx = [state.index_select(1, order) for state in hx]
    options = (module.bias, num_layers, module.dropout, module.training, D == 2)
    if packed:
        rows, *last = _lstm(inputs, input.batch_sizes, hx, weights, *options)
        if order is not None:
            last = [state.index_select(1, input.unsorted_indices) for state in last]
        return input._replace(data=rows), tuple(last)
    if not batched:
        output, *last = _lstm(inputs.unsqueeze(1), hx, weights, *options, False)
        return output.squeeze(1), tuple([state.squeeze(1) for state in last])
    output, h_n, c_n = _lstm(inputs, hx, weights, *options, False)
    if output.requires_grad or batch_first:  # as in `_one_layer`, and oneDNN keeps it too
        output = output.clone()
    return output.transpose_(0, 1) if batch_first else output, (h_n, c_n)


def _suits_onednn(dtype: torch.dtype, proj_size: int, ragged: bool) -> bool:
    """Tell whether PyTorch hands an LSTM on a CPU to oneDNN; source: `use_mkldnn` in RNN.cpp."""
    onednn = torch.backends.mkldnn
    is_on = onednn.is_available() and onednn.enabled  # type: ignore[no-untyped-call] # torch's is
    return bool(is_on and dtype is torch.float32 and not proj_size and not ragged)


def _one_layer(module: Any, input: Any, hx: Any) -> tuple[Any, ...] | None:
    """Run the common case of an RNN or a GRU, one layer over a batch, with only a few checks.

    At the sizes of the worked example, making all checks takes longer than the loop. Returns None
    in any other case, and if an argument might have to be refused.
    """
    if module.num_layers > 1 or module.bidirectional or isinstance(input, PackedSequence):
        return None
    find = module._parameters.get
    weight_ih, weight_hh = find("weight_ih_l0"), find("weight_hh_l0")
    bias_ih, bias_hh = find("bias_ih_l0"), find("bias_hh_l0")
    if (
        weight_ih is None
        or weight_hh is None
        or (module.bias and (bias_ih is None or bias_hh is None))
    ):
        return None  # something computes them
    mode, dtype = module.mode, input.dtype
    if input.dim() != 3 or dtype is not weight_ih.dtype:
        return None
    if module.batch_first:
        input = input.transpose(0, 1)  # (L, N, H_in)
    _, N, H_in = input.shape
    if H_in != module.input_size or not weight_ih.is_cpu:
        return None
    initial = None
    if hx is not None:
        if type(hx) is not Tensor or hx.dtype != dtype:
            return None
        if hx.shape != (1, N, module.hidden_size) or not hx.is_cpu:
            return None
        initial = hx[0]
    elif mode not in _ACTIVATIONS:
        initial = input.new_zeros(N, module.hidden_size)
    weights = Weights(weight_ih, weight_hh, bias_ih, bias_hh)
    quick = mode in _ACTIVATIONS and not torch.is_grad_enabled()
    if quick and _fit(mode, input, (initial,), weights, _FORWARD):
        try:
            output, last = _top_rung(mode, input, initial, *weights[:4])
        except FloatingPointError:
            return None
    else:
        output, last = fast_direction(mode, input, initial, weights, _FORWARD)
    last = torch.stack([last])  # no view, as in torch.nn
    if output.requires_grad or output._is_view():
        output = output.clone()  # the backward pass keeps it, and callers may change theirs
    return output.transpose_(0, 1) if module.batch_first else output, last

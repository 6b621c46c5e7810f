"""From one loop over time to a whole network: directions, layers, dropout between layers.

A *step* is a function ``(x_projected, state, weight_hh, bias_hh) -> state``, either one from this
package or one that you write; a projection is applied after it. A *direction* is a function
``(inputs, initial, weights, order) -> (states, last)``. It takes the input of the layer, the state
before the first step, the parameters and the order of the time steps; it returns the states after
all steps and the state after the last one. `plain_direction` runs a step, `masked_direction` skips
time steps, and `unrolled.fast.fast_direction` is faster. `run_network` stacks any of them.

Input is time-major, ``(L, N, H_in)``, or packed, ``(sum of lengths, H_in)`` with ``batch_sizes``.
Packing and dropout need torch; everything else also runs on NumPy arrays. A state is ``h``, or
``(h, c)`` for an LSTM.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeAlias

import numpy as np  # noqa: F401 # the examples use it
import torch  # noqa: F401 # the same
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled._checks import check_direction, check_shape
from unrolled._scan import Order, each, scan_joined
from unrolled.arrays import Array, linear, namespace, where
from unrolled.cells import gru_step, lstm_step, rnn_step
from unrolled.shapes import num_directions, parameter_name

__all__ = [
    "STEPS",
    "Direction",
    "Results",
    "State",
    "Step",
    "Weights",
    "masked_direction",
    "plain_direction",
    "run_network",
    "weights_of",
]


class Weights(NamedTuple, Generic[Array]):
    """The parameters of one layer in one direction, in PyTorch's order.

    Attributes
    ----------
    weight_ih : ndarray or Tensor, shape (gate_size, layer_input_size)
        Weight of the input.
    weight_hh : ndarray or Tensor, shape (gate_size, H_out)
        Weight of the hidden state.
    bias_ih, bias_hh : ndarray or Tensor, shape (gate_size,), or None
        Their biases.
    weight_hr : ndarray or Tensor, shape (H_out, hidden_size), or None
        Weight of an LSTM's projection.

    Examples
    --------
    >>> rnn = torch.nn.RNN(10, 20)
    >>> Weights(*rnn.parameters()).weight_ih.shape
    torch.Size([20, 10])
    """

    weight_ih: Array
    weight_hh: Array
    bias_ih: Array | None = None
    bias_hh: Array | None = None
    weight_hr: Array | None = None


State: TypeAlias = Any
"""``h``, or ``(h, c)`` for an LSTM."""

Step: TypeAlias = Callable[..., State]
"""``step(x_projected, state, weight_hh, bias_hh)`` returns the next state. A projection is applied
after it: the ``h`` that a step returns has the size of ``c``."""

Direction: TypeAlias = Callable[[Any, State, Any, Order], tuple[Any, State]]
"""``direction(inputs, initial, weights, order)`` returns the states after all steps, laid out like
`inputs`, and the state after the last one."""

STEPS: dict[str, Step] = {
    "RNN_TANH": rnn_step,
    "RNN_RELU": partial(rnn_step, nonlinearity="relu"),
    "GRU": gru_step,
    "LSTM": lstm_step,
}
"""The step of each mode."""


class Results(NamedTuple):
    """The results of a network.

    Attributes
    ----------
    output : ndarray or Tensor, shape (L, N, D * H_out)
        Hidden states of the last layer at all time steps; packed ``(sum of lengths, D * H_out)``.
    last : list of D * num_layers states
        For each layer and direction, ``h`` or ``(h, c)`` after the step that ran last.
    every : list of num_layers states
        For each layer, the states at all time steps, directions side by side; empty unless
        requested.

    Examples
    --------
    >>> Results(np.zeros((5, 3, 20)), [], []).output.shape
    (5, 3, 20)
    """

    output: Any
    last: list[State]
    every: list[State]


def plain_direction(
    step: Step, inputs: Array, initial: State, weights: Weights[Array], order: Order
) -> tuple[State, State]:
    """Run one layer in one direction. Bind `step` with `functools.partial` to get a direction.

    Parameters
    ----------
    step : callable
        ``step(x_projected, state, weight_hh, bias_hh)`` returns the next state; see `STEPS`. Your
        own may have weights of any number of blocks.
    inputs : ndarray or Tensor, shape (L, N, layer_input_size)
        Input of the layer; packed ``(sum of lengths, layer_input_size)``.
    initial : ndarray or Tensor, shape (N, H_out), or a tuple of two
        State before the first step.
    weights : Weights
        Parameters of this layer and direction.
    order : Order
        Which time step comes first and, for packed sequences, how many of them reach each step.

    Returns
    -------
    states : ndarray or Tensor, shape (L, N, H_out), or a tuple of two
        State after each step, laid out like `inputs`.
    last : ndarray or Tensor, shape (N, H_out), or a tuple of two
        State after the step that ran last.

    Raises
    ------
    TypeError
        If NumPy arrays and torch tensors are mixed, or NumPy arrays are packed.
    RuntimeError
        If shapes or dtypes do not match.

    Notes
    -----
    One product projects the input of all time steps before the loop begins, as PyTorch does on a
    CPU. Source: ``FullLayer`` in PyTorch's ``aten/src/ATen/native/RNN.cpp``.

    Examples
    --------
    >>> rnn = torch.nn.RNN(10, 20)
    >>> x, h_0 = torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> states, h_n = plain_direction(rnn_step, x, h_0[0], Weights(*rnn.parameters()), Order())
    >>> torch.equal(states, rnn(x, h_0)[0])
    True
    """
    check_direction(inputs, initial, weights, order.sizes)
    step = _projecting(step, weights.weight_hr)
    projected = linear(inputs, weights.weight_ih, weights.bias_ih)  # (L, N, gate_size)
    return scan_joined(step, projected, initial, order, (weights.weight_hh, weights.bias_hh))


def _projecting(step: Step, weight_hr: Any) -> Step:
    """Add the projection to a step, if there is one."""
    if weight_hr is None:
        return step

    def step_and_project(*arguments: Any) -> State:
        h, c = step(*arguments)
        return linear(h, weight_hr), c

    return step_and_project


def masked_direction(
    step: Step,
    mask: Array | None,
    inputs: Array,
    initial: State,
    weights: Weights[Array],
    order: Order,
    resets: Array | None = None,
) -> tuple[State, State]:
    """Run one layer in one direction over the time steps that a mask selects, piece by piece.

    Parameters
    ----------
    step : callable
        As in `plain_direction`.
    mask : ndarray or Tensor of bool, shape (L, N), or None
        Where it is false, the state does not change and the output is 0.
    inputs, initial, weights, order
        As in `plain_direction`, but not packed.
    resets : ndarray or Tensor of bool, shape (L, N), optional
        Where it is true, a new piece begins, which knows nothing of the one before: in either
        direction, the first step of a piece that runs starts from zeros.

    Returns
    -------
    states, last
        As in `plain_direction`.

    Raises
    ------
    TypeError, RuntimeError
        As in `plain_direction`; and if `mask` or `resets` has another shape.
    ValueError
        If the order is that of packed inputs.

    Examples
    --------
    >>> x, mask = np.ones((3, 1, 1)), np.array([[True], [False], [True]])
    >>> weights = Weights(np.ones((1, 1)), np.ones((1, 1)))
    >>> count = STEPS["RNN_RELU"]
    >>> states, last = masked_direction(count, mask, x, np.zeros((1, 1)), weights, Order())
    >>> states.ravel(), last.ravel()
    (array([1., 0., 2.]), array([2.]))
    """
    if order.sizes is not None:
        raise ValueError(
            "order.sizes should be None, since packed inputs have no mask and no resets, got "
            f"{order.sizes}"
        )
    check_direction(inputs, initial, weights, None)
    for name, flags in (("mask", mask), ("resets", resets)):
        if flags is not None:
            check_shape(name, flags, inputs.shape[:2])
    if resets is not None and order.reverse:  # before the last step of the piece below
        xp = namespace(resets)
        resets = xp.cat((resets, xp.zeros_like(resets[:1])))[1:]
    step = _projecting(step, weights.weight_hr)

    def masked_step(x: Any, state: State, *parameters: Any) -> State:
        x_projected, *flags = x  # (N, gate_size), (N,) or two of these
        if resets is not None:
            state = each(partial(_blank, flags[-1]), state)
        after = step(x_projected, state, *parameters)
        return after if mask is None else each(partial(where, flags[0]), after, state)

    def padded(a: Any) -> Any:
        return a if mask is None else where(mask, a, namespace(a).zeros_like(a))

    projected = linear(padded(inputs), weights.weight_ih, weights.bias_ih)
    given = tuple([flags for flags in (projected, mask, resets) if flags is not None])
    parameters = weights.weight_hh, weights.bias_hh
    states, last = scan_joined(masked_step, given, initial, order, parameters)
    return each(padded, states), last


def run_network(
    directions: Sequence[Direction],
    inputs: Array,
    states: Sequence[State],
    layers: Sequence[Sequence[Weights[Array]]],
    dropout: float = 0.0,
    sizes: Sequence[int] | None = None,
    all_states: bool = False,
) -> Results:
    """Run all layers, each on the output of the layer below.

    Parameters
    ----------
    directions : sequence of D * num_layers callables
        Layer by layer; within a layer, forward before reverse.
    inputs : ndarray or Tensor, shape (L, N, H_in)
        Input of layer 0; packed ``(sum of lengths, H_in)``.
    states : sequence of D * num_layers states
        State of each direction before its first step.
    layers : sequence of num_layers sequences of D Weights
        Parameters by layer and direction.
    dropout : float, default 0.0
        Probability of zeroing an element in the output of every layer except the last. The other
        elements are divided by ``1 - dropout``.
    sizes : sequence of int, optional
        ``batch_sizes`` of packed `inputs`: how many sequences reach each time step.
    all_states : bool, default False
        Whether to keep the states of all layers.

    Returns
    -------
    Results
        The output of the last layer, the last state of every layer and direction and, with
        `all_states`, the states of every layer at all time steps.

    Raises
    ------
    TypeError
        If `dropout` is not zero and `inputs` is a NumPy array: the random numbers come from torch.

    Notes
    -----
    The last state of the reverse direction is the one at time step 0. Source: ``apply_layer_stack``
    and ``FullBidirectionalLayer`` in PyTorch's ``aten/src/ATen/native/RNN.cpp``.

    Examples
    --------
    >>> gru = torch.nn.GRU(10, 20, num_layers=2)
    >>> x, h_0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20)
    >>> directions = [partial(plain_direction, gru_step)] * 2
    >>> torch.equal(run_network(directions, x, h_0, weights_of(gru)).output, gru(x, h_0)[0])
    True
    """
    last: list[State] = []
    every: list[State] = []
    for layer in layers:
        if dropout and last:  # never on the input of layer 0, nor on the output of the last
            inputs = _drop(inputs, dropout)
        after = []
        for number, weights in enumerate(layer):
            at, order = len(last), Order(number == 1, sizes)
            ran, end = directions[at](inputs, states[at], weights, order)
            after.append(ran)
            last.append(end)
        beside = after[0] if len(after) == 1 else each(_side_by_side, *after)
        inputs = beside[0] if isinstance(beside, tuple) else beside  # (L, N, D * H_out)
        if all_states:
            every.append(beside)
    return Results(inputs, last, every)


def weights_of(
    module: nn.RNNBase | nn.RNNCellBase, convert: Callable[[Tensor], Any] | None = None
) -> list[list[Weights[Any]]]:
    """Collect the parameters of a recurrent module by layer and direction.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM, or one of their cells
        From `torch.nn` or from `unrolled`. A cell counts as one layer in one direction.
    convert : callable, optional
        Applied to each parameter, for example ``lambda p: p.detach().numpy()``.

    Returns
    -------
    list of num_layers lists of D Weights
        In the form that `run_network` takes.

    Examples
    --------
    >>> layers = weights_of(torch.nn.LSTM(10, 20, num_layers=2, bidirectional=True))
    >>> len(layers), len(layers[0]), layers[1][0].weight_ih.shape
    (2, 2, torch.Size([80, 40]))
    """
    own = module._parameters  # looked up here first, since asking a module for an attribute is slow

    def find(name: str) -> Any:
        found = own.get(name)
        if found is None:  # something else computes it
            found = getattr(module, name)
        if found is None:
            raise TypeError(f"{name} should be a Tensor, got None")
        return found if convert is None else convert(found)

    there = [True, True, module.bias, module.bias, getattr(module, "proj_size", 0) > 0]
    kinds = list(zip(Weights._fields, there, strict=True))
    if isinstance(module, nn.RNNCellBase):
        return [[Weights(*[find(kind) if is_there else None for kind, is_there in kinds])]]
    return [
        [
            Weights(
                *[
                    find(parameter_name(kind, layer, direction)) if is_there else None
                    for kind, is_there in kinds
                ]
            )
            for direction in range(num_directions(module.bidirectional))
        ]
        for layer in range(module.num_layers)
    ]


def _blank(flags: Any, a: Any) -> Any:
    return where(flags, namespace(a).zeros_like(a), a)


def _drop(inputs: Array, dropout: float) -> Array:
    if not isinstance(inputs, Tensor):
        raise TypeError(
            f"dropout should be 0 for inputs of type {type(inputs).__name__}, got {dropout}: "
            "only torch.Tensor has it"
        )
    return F.dropout(inputs, dropout)


def _side_by_side(*arrays: Any) -> Any:
    return namespace(arrays[0]).cat(arrays, -1)

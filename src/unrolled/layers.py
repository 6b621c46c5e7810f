"""From one loop over time to a whole network: directions, layers, dropout between layers.

Nothing here knows what a step computes: a step comes in as a function, and so a plain RNN, a GRU,
an LSTM and a recurrence of your own are stacked by the same lines.

Input is time-major, ``(L, N, H_in)``, or packed, ``(sum of lengths, H_in)`` with ``batch_sizes``.
Packing and dropout need torch; everything else also runs on NumPy arrays. A state is a tuple:
``(h,)``, or ``(h, c)`` for an LSTM.
"""

from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled._scan import packed_scan, scan
from unrolled.cells import ACTIVATIONS, Array, gru_formula, linear, lstm_formula, rnn_formula
from unrolled.shapes import num_directions, parameter_name

__all__ = [
    "STEPS",
    "Results",
    "Weights",
    "mode_of",
    "run_direction",
    "run_layer",
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
        Weight of the projection of an LSTM.

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


State: TypeAlias = tuple[Any, ...]
Step: TypeAlias = Callable[[Any, State, Weights[Any]], State]


class Results(NamedTuple):
    """What a layer or a network puts out.

    Attributes
    ----------
    output : ndarray or Tensor, shape (L, N, D * H_out)
        Hidden states of the last layer at all time steps; packed ``(sum of lengths, D * H_out)``.
    last : list of D * num_layers tuples of ndarrays or Tensors
        State of each layer and direction after the step that ran last.
    every : list of num_layers tuples of ndarrays or Tensors
        Of each layer all states at all time steps, directions side by side; empty unless asked
        for.

    Examples
    --------
    >>> Results(np.zeros((5, 3, 20)), [], []).output.shape
    (5, 3, 20)
    """

    output: Any
    last: list[State]
    every: list[State]


def _rnn(nonlinearity: str) -> Step:
    activation = ACTIVATIONS[nonlinearity]

    def step(x_projected: Any, state: State, weights: Weights[Any]) -> State:
        return (rnn_formula(x_projected, state[0], weights.weight_hh, weights.bias_hh, activation),)

    return step


def _gru(x_projected: Any, state: State, weights: Weights[Any]) -> State:
    return (gru_formula(x_projected, state[0], weights.weight_hh, weights.bias_hh),)


def _lstm(x_projected: Any, state: State, weights: Weights[Any]) -> State:
    h, c = state
    return lstm_formula(x_projected, (h, c), weights.weight_hh, weights.bias_hh, weights.weight_hr)


STEPS: dict[str, Step] = {
    "RNN_TANH": _rnn("tanh"),
    "RNN_RELU": _rnn("relu"),
    "GRU": _gru,
    "LSTM": _lstm,
}
"""For each mode its step: ``step(x_projected, state, weights)`` gives the next state."""


def run_direction(
    step: Step,
    inputs: Array,
    state: State,
    weights: Weights[Array],
    reverse: bool = False,
    batch_sizes: Sequence[int] | None = None,
    mask: Array | None = None,
) -> tuple[list[State], State]:
    """Run one layer in one direction.

    Parameters
    ----------
    step : callable
        ``step(x_projected, state, weights)`` gives the next state; see `STEPS`.
    inputs : ndarray or Tensor, shape (L, N, layer_input_size)
        What enters the layer; packed ``(sum of lengths, layer_input_size)``.
    state : tuple of ndarrays or Tensors, shape (N, ...)
        State before the first step.
    weights : Weights
        Parameters of this layer and direction.
    reverse : bool, default False
        Whether to run from the last time step to the first.
    batch_sizes : sequence of int, optional
        How many sequences reach each time step, for packed `inputs`.
    mask : ndarray or Tensor of bool, shape (L, N), optional
        Where it is false, a step leaves the state as it is.

    Returns
    -------
    states : list of L tuples of ndarrays or Tensors
        State after each step, in the order of time.
    last : tuple of ndarrays or Tensors, shape (N, ...)
        State after the step that ran last.

    Raises
    ------
    TypeError
        If there are `batch_sizes` and `inputs` is a NumPy array.

    Notes
    -----
    The input of all time steps is projected before the loop by one product, as PyTorch does on a
    CPU. Source: ``FullLayer`` in PyTorch's ``aten/src/ATen/native/RNN.cpp``.

    Examples
    --------
    >>> rnn = torch.nn.RNN(10, 20)
    >>> x, h_0 = torch.randn(5, 3, 10), torch.randn(1, 3, 20)
    >>> states, (h_n,) = run_direction(STEPS["RNN_TANH"], x, (h_0[0],), Weights(*rnn.parameters()))
    >>> torch.equal(torch.stack([h for h, in states]), rnn(x, h_0)[0])
    True
    """

    def advance(x_projected: Any, state: State) -> State:
        return step(x_projected, state, weights)

    def advance_where(pair: tuple[Any, Any], state: State) -> State:
        x_projected, keep = pair
        after = advance(x_projected, state)
        return tuple(_where(keep, new, old) for new, old in zip(after, state, strict=True))

    projected = linear(inputs, weights.weight_ih, weights.bias_ih)  # (L, N, gate_size)
    if batch_sizes is not None:
        if not isinstance(projected, Tensor):
            raise TypeError(
                f"batch_sizes should be None for inputs of type {type(inputs).__name__}, got "
                f"{batch_sizes}: only torch.Tensor is packed"
            )
        return packed_scan(advance, projected, batch_sizes, state, reverse)
    if mask is not None:
        return scan(advance_where, zip(projected, mask, strict=True), state, reverse)
    return scan(advance, projected, state, reverse)


def run_layer(
    steps: Sequence[Step],
    inputs: Array,
    states: Sequence[State],
    directions: Sequence[Weights[Array]],
    batch_sizes: Sequence[int] | None = None,
    mask: Array | None = None,
    all_states: bool = False,
) -> Results:
    """Run one layer in all its directions.

    Parameters
    ----------
    steps : sequence of D callables
        The step of the forward and, if there are two, of the reverse direction.
    inputs : ndarray or Tensor, shape (L, N, layer_input_size)
        What enters the layer; packed ``(sum of lengths, layer_input_size)``.
    states : sequence of D tuples of ndarrays or Tensors
        State of each direction before its first step.
    directions : sequence of D Weights
        Their parameters.
    batch_sizes, mask
        As in `run_direction`. Where `mask` is false, the output is 0.
    all_states : bool, default False
        Whether to keep all states, not only the hidden ones that are the output.

    Returns
    -------
    Results
        The hidden states of the directions side by side; that of the reverse direction after its
        last step belongs to time step 0.

    Notes
    -----
    Source: ``FullBidirectionalLayer`` in PyTorch's ``aten/src/ATen/native/RNN.cpp``.

    Examples
    --------
    >>> weights = Weights(np.ones((1, 1)), np.ones((1, 1)))
    >>> x, zeros = np.array([[[1.0]], [[2.0]]]), np.zeros((1, 1))
    >>> both = run_layer([STEPS["RNN_RELU"]] * 2, x, [(zeros,), (zeros,)], [weights, weights])
    >>> both.output[:, 0]  # prefix sums and suffix sums
    array([[1., 3.],
           [3., 2.]])
    """
    ran = [
        run_direction(step, inputs, state, weights, direction == 1, batch_sizes, mask)
        for direction, (step, state, weights) in enumerate(
            zip(steps, states, directions, strict=True)
        )
    ]
    join = _stack if batch_sizes is None else torch.cat
    parts = range(len(ran[0][1]) if all_states else 1)  # (h,) or (h, c)
    every = tuple(
        _side_by_side([join([state[part] for state in after]) for after, _ in ran])
        for part in parts
    )
    if mask is not None:
        every = tuple(_where(mask, part, _zeros(part)) for part in every)
    return Results(every[0], [last for _, last in ran], [every] if all_states else [])


def run_network(
    steps: Sequence[Step],
    inputs: Array,
    states: Sequence[State],
    layers: Sequence[Sequence[Weights[Array]]],
    dropout: float = 0.0,
    batch_sizes: Sequence[int] | None = None,
    mask: Array | None = None,
    all_states: bool = False,
) -> Results:
    """Run all layers, each on what the layer below puts out.

    Parameters
    ----------
    steps : sequence of D * num_layers callables
        The step of each layer and direction: layer by layer, in each layer forward then reverse.
    inputs : ndarray or Tensor, shape (L, N, H_in)
        Input of layer 0; packed ``(sum of lengths, H_in)``.
    states : sequence of D * num_layers tuples of ndarrays or Tensors
        States before the first step, in the order of `steps`.
    layers : sequence of num_layers sequences of D Weights
        Parameters by layer and direction.
    dropout : float, default 0.0
        Probability that an element of the output of a layer, except the last, is zeroed; the
        others are divided by ``1 - dropout``.
    batch_sizes, mask, all_states
        As in `run_layer`.

    Returns
    -------
    Results
        The output of the last layer, and the states of all.

    Raises
    ------
    TypeError
        If `dropout` is not zero and `inputs` is a NumPy array: the random numbers are torch's.

    Notes
    -----
    Source: ``apply_layer_stack`` in PyTorch's ``aten/src/ATen/native/RNN.cpp``.

    Examples
    --------
    >>> gru = torch.nn.GRU(10, 20, num_layers=2)
    >>> x, h_0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20)
    >>> layers = [[Weights(*layer)] for layer in gru.all_weights]
    >>> results = run_network([STEPS["GRU"]] * 2, x, [(h_0[0],), (h_0[1],)], layers)
    >>> torch.equal(results.output, gru(x, h_0)[0])
    True
    """
    if mask is not None:
        inputs = _where(mask, inputs, _zeros(inputs))
    last: list[State] = []
    every: list[State] = []
    for directions in layers:
        if dropout and last:  # never on the input of layer 0, nor on the output of the last
            inputs = _drop(inputs, dropout)
        here = slice(len(last), len(last) + len(directions))
        results = run_layer(
            steps[here], inputs, states[here], directions, batch_sizes, mask, all_states
        )
        inputs = results.output
        last += results.last
        every += results.every
    return Results(inputs, last, every)


def mode_of(module: nn.Module) -> str:
    """Name the recurrence of a module or a cell.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM, or one of their cells
        One of PyTorch's or ours.

    Returns
    -------
    str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"GRU"`` or ``"LSTM"``.

    Raises
    ------
    TypeError
        If `module` is not recurrent.

    Examples
    --------
    >>> mode_of(torch.nn.RNN(10, 20)), mode_of(torch.nn.GRUCell(10, 20))
    ('RNN_TANH', 'GRU')
    """
    if isinstance(module, nn.RNNBase):
        return module.mode
    if isinstance(module, nn.RNNCellBase):
        gates = len(module.weight_ih) // module.hidden_size
        return {3: "GRU", 4: "LSTM"}.get(gates) or f"RNN_{str(module.nonlinearity).upper()}"
    raise TypeError(
        "module should be an RNN, GRU or LSTM or one of their cells, of torch.nn or unrolled, "
        f"got {type(module).__name__}"
    )


def weights_of(
    module: nn.RNNBase | nn.RNNCellBase, convert: Callable[[Tensor], Any] | None = None
) -> list[list[Weights[Any]]]:
    """Collect the parameters of a recurrent module by layer and direction.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM, or one of their cells
        One of PyTorch's or ours; a cell is one layer in one direction.
    convert : callable, optional
        Applied to each parameter, for example ``lambda p: p.detach().numpy()``.

    Returns
    -------
    list of num_layers lists of D Weights
        As `run_network` takes them.

    Examples
    --------
    >>> layers = weights_of(torch.nn.LSTM(10, 20, num_layers=2, bidirectional=True))
    >>> len(layers), len(layers[0]), layers[1][0].weight_ih.shape
    (2, 2, torch.Size([80, 40]))
    """

    def collect(names: Sequence[str]) -> Weights[Any]:
        named = [getattr(module, name, None) for name in names]
        return Weights(*(p if p is None or convert is None else convert(p) for p in named))

    kinds = Weights._fields
    if isinstance(module, nn.RNNCellBase):
        return [[collect(kinds)]]
    return [
        [
            collect([parameter_name(kind, layer, direction) for kind in kinds])
            for direction in range(num_directions(module.bidirectional))
        ]
        for layer in range(module.num_layers)
    ]


def _where(mask: Any, new: Any, old: Any) -> Any:
    """Take `new` in the rows where `mask` is true."""
    if isinstance(new, Tensor):  # under autocast a step may give another dtype than it got
        return torch.where(mask[..., None], new, old.to(new.dtype))
    return np.where(mask[..., None], new, old)


def _drop(inputs: Array, dropout: float) -> Array:
    if not isinstance(inputs, Tensor):
        raise TypeError(
            f"dropout should be 0 for inputs of type {type(inputs).__name__}, got {dropout}: "
            "only torch.Tensor has it"
        )
    return F.dropout(inputs, dropout)


def _stack(arrays: list[Any]) -> Any:
    """Stack along a new first dimension."""
    return torch.stack(arrays) if isinstance(arrays[0], Tensor) else np.stack(arrays)


def _side_by_side(arrays: list[Any]) -> Any:
    """Concatenate the features; of one array this is the array."""
    if len(arrays) == 1:
        return arrays[0]
    if isinstance(arrays[0], Tensor):
        return torch.cat(arrays, -1)
    return np.concatenate(arrays, -1)


def _zeros(like: Any) -> Any:
    return torch.zeros_like(like) if isinstance(like, Tensor) else np.zeros_like(like)

"""From one loop over time to a whole network: directions, layers, dropout between layers.

Input here is time-major, ``(L, N, H_in)``, or packed, ``(sum of lengths, H_in)`` with
``batch_sizes``. Packing and dropout need torch; everything else also runs on NumPy arrays.
"""

from collections.abc import Sequence
from typing import Any, Generic, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled.cells import ACTIVATIONS, Array, linear, rnn_formula
from unrolled.scan import packed_scan, scan

__all__ = ["Weights", "rnn_direction", "rnn_layer", "rnn_network"]


class Weights(NamedTuple, Generic[Array]):
    """The parameters of one layer in one direction, in PyTorch's order.

    Attributes
    ----------
    weight_ih : ndarray or Tensor, shape (H_out, layer_input_size)
        Weight of the input.
    weight_hh : ndarray or Tensor, shape (H_out, H_out)
        Weight of the hidden state, stored (new, old).
    bias_ih, bias_hh : ndarray or Tensor, shape (H_out,), or None
        Their biases.

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


def rnn_direction(
    inputs: Array,
    h_0: Array,
    weights: Weights[Array],
    nonlinearity: str = "tanh",
    reverse: bool = False,
    batch_sizes: Sequence[int] | None = None,
) -> tuple[Array, Array]:
    """Run one layer in one direction.

    Parameters
    ----------
    inputs : ndarray or Tensor, shape (L, N, layer_input_size)
        What enters the layer; packed ``(sum of lengths, layer_input_size)``.
    h_0 : ndarray or Tensor, shape (N, H_out)
        Hidden state before the first step.
    weights : Weights
        Parameters of this layer and direction.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.
    reverse : bool, default False
        Whether to run from the last time step to the first.
    batch_sizes : sequence of int, optional
        How many sequences reach each time step, for packed `inputs`.

    Returns
    -------
    output : ndarray or Tensor, shape (L, N, H_out)
        Hidden state after each step, in the order of time; packed ``(sum of lengths, H_out)``.
    h_n : ndarray or Tensor, shape (N, H_out)
        Hidden state after the step that ran last.

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
    >>> output, h_n = rnn_direction(x, h_0[0], Weights(*rnn.parameters()))
    >>> torch.equal(output, rnn(x, h_0)[0])
    True
    """
    activation = ACTIVATIONS[nonlinearity]

    def step(x_projected: Any, h: Any) -> Any:
        return rnn_formula(x_projected, h, weights.weight_hh, weights.bias_hh, activation)

    projected = linear(inputs, weights.weight_ih, weights.bias_ih)  # (L, N, H_out)
    if batch_sizes is None:
        states, h_n = scan(step, projected, h_0, reverse)
        return _stack(states), h_n
    if not (isinstance(projected, Tensor) and isinstance(h_0, Tensor)):
        raise TypeError(
            f"batch_sizes should be None for inputs of type {type(inputs).__name__}, got "
            f"{batch_sizes}: only torch.Tensor is packed"
        )
    packed_states, h_n = packed_scan(step, projected, batch_sizes, h_0, reverse)
    return torch.cat(packed_states), h_n


def rnn_layer(
    inputs: Array,
    h_0: Sequence[Array],
    directions: Sequence[Weights[Array]],
    nonlinearity: str = "tanh",
    batch_sizes: Sequence[int] | None = None,
) -> tuple[Array, list[Array]]:
    """Run one layer in all its directions.

    Parameters
    ----------
    inputs : ndarray or Tensor, shape (L, N, layer_input_size)
        What enters the layer; packed ``(sum of lengths, layer_input_size)``.
    h_0 : sequence of D ndarrays or Tensors, shape (N, H_out)
        Hidden state before the first step of each direction.
    directions : sequence of D Weights
        Parameters of the forward and, if there are two, of the reverse direction.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.
    batch_sizes : sequence of int, optional
        How many sequences reach each time step, for packed `inputs`.

    Returns
    -------
    output : ndarray or Tensor, shape (L, N, D * H_out)
        States of the forward direction, then of the reverse, side by side.
    h_n : list of D ndarrays or Tensors, shape (N, H_out)
        Last state of each direction. That of the reverse direction belongs to time step 0.

    Notes
    -----
    Source: ``FullBidirectionalLayer`` in PyTorch's ``aten/src/ATen/native/RNN.cpp``.

    Examples
    --------
    >>> weights = Weights(np.ones((1, 1)), np.ones((1, 1)))
    >>> x, zeros = np.array([[[1.0]], [[2.0]]]), np.zeros((1, 1))
    >>> output, _ = rnn_layer(x, [zeros, zeros], [weights, weights], "relu")
    >>> output[:, 0]  # prefix sums and suffix sums
    array([[1., 3.],
           [3., 2.]])
    """
    outputs, h_n = [], []
    for direction, weights in enumerate(directions):
        output, h = rnn_direction(
            inputs, h_0[direction], weights, nonlinearity, direction == 1, batch_sizes
        )
        outputs.append(output)
        h_n.append(h)
    return _side_by_side(outputs), h_n


def rnn_network(
    inputs: Array,
    h_0: Array,
    layers: Sequence[Sequence[Weights[Array]]],
    nonlinearity: str = "tanh",
    dropout: float = 0.0,
    batch_sizes: Sequence[int] | None = None,
) -> tuple[Array, Array]:
    """Run all layers, each on what the layer below puts out.

    Parameters
    ----------
    inputs : ndarray or Tensor, shape (L, N, H_in)
        Input of layer 0; packed ``(sum of lengths, H_in)``.
    h_0 : ndarray or Tensor, shape (D * num_layers, N, H_out)
        Hidden states before the first step, layer by layer, in each layer forward then reverse.
    layers : sequence of num_layers sequences of D Weights
        Parameters by layer and direction.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.
    dropout : float, default 0.0
        Probability that an element of the output of a layer, except the last, is zeroed; the
        others are divided by ``1 - dropout``.
    batch_sizes : sequence of int, optional
        How many sequences reach each time step, for packed `inputs`.

    Returns
    -------
    output : ndarray or Tensor, shape (L, N, D * H_out)
        Hidden states of the last layer.
    h_n : ndarray or Tensor, shape (D * num_layers, N, H_out)
        Last hidden states, in the order of `h_0`.

    Raises
    ------
    TypeError
        If `dropout` is not zero and `inputs` is a NumPy array: the random numbers are torch's.

    Notes
    -----
    Source: ``apply_layer_stack`` in PyTorch's ``aten/src/ATen/native/RNN.cpp``.

    Examples
    --------
    >>> rnn = torch.nn.RNN(10, 20, num_layers=2)
    >>> x, h_0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20)
    >>> layers = [[Weights(*layer)] for layer in rnn.all_weights]
    >>> torch.equal(rnn_network(x, h_0, layers)[1], rnn(x, h_0)[1])
    True
    """
    states = tuple(h_0)  # D * num_layers of (N, H_out)
    h_n: list[Array] = []
    for directions in layers:
        if dropout and h_n:  # never on the input of layer 0, nor on the output of the last
            inputs = _drop(inputs, dropout)
        inputs, last = rnn_layer(inputs, states[len(h_n) :], directions, nonlinearity, batch_sizes)
        h_n += last
    return inputs, _stack(h_n)


def _drop(inputs: Array, dropout: float) -> Array:
    if not isinstance(inputs, Tensor):
        raise TypeError(
            f"dropout should be 0 for inputs of type {type(inputs).__name__}, got {dropout}: "
            "only torch.Tensor has it"
        )
    return F.dropout(inputs, dropout)


def _stack(arrays: list[Array]) -> Array:
    """Stack along a new first dimension."""
    return torch.stack(arrays) if isinstance(arrays[0], Tensor) else np.stack(arrays)


def _side_by_side(arrays: list[Array]) -> Array:
    """Concatenate the features; of one array this is the array."""
    if len(arrays) == 1:
        return arrays[0]
    if isinstance(arrays[0], Tensor):
        return torch.cat(arrays, -1)
    return np.concatenate(arrays, -1)

"""Drop-in modules: torch's constructors, parameters and errors, and a forward pass you can read.

They inherit `torch.nn.RNNBase`, from which parameters and their initialisation come, and not
`torch.nn.RNN`, `torch.nn.GRU` or `torch.nn.LSTM`, subclasses of which
``torch.compile(fullgraph=True)`` refuses.
"""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence

from unrolled.bptt import Order
from unrolled.cells import linear
from unrolled.fast import (
    NUMBERS_FOR_NUMPY,
    exact_direction,
    fast_direction,
    is_followed,
    run_network_by,
    skip_zeros,
    through_numpy,
)
from unrolled.in_place import InTorch
from unrolled.init import uniform_bound
from unrolled.layers import STEPS, Results, State, Step, Weights, run_direction, run_network
from unrolled.shapes import check_arguments, num_directions, parameter_name, real_hidden_size

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "States"]

Sequences: TypeAlias = Tensor | PackedSequence
CustomStep: TypeAlias = Callable[..., Any]


class States(NamedTuple):
    """All states of all layers, at all time steps: what ``all_states=True`` adds.

    Attributes
    ----------
    h : list of num_layers Tensors or PackedSequences, shape (L, N, D * H_out)
        Hidden states of each layer, laid out like ``output`` and before dropout; the last one is
        ``output``.
    c : list of num_layers Tensors or PackedSequences, shape (L, N, D * hidden_size), or None
        Cell states of an LSTM, likewise; ``None`` for the other modules.

    Examples
    --------
    >>> _, _, states = LSTM(10, 20, 2)(torch.randn(5, 3, 10), all_states=True)
    >>> len(states.c), states.c[0].shape
    (2, torch.Size([5, 3, 20]))
    """

    h: list[Any]
    c: list[Any] | None


class Recurrent(nn.RNNBase):
    """What `RNN`, `GRU` and `LSTM` share: the forward pass, its checks and its options.

    Parameters
    ----------
    mode : str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"GRU"`` or ``"LSTM"``.
    arguments : dict of str to object
        The other arguments of `torch.nn.RNNBase` by name.
    step : callable or sequence of D * num_layers callables, optional
        A step of your own instead of that of `mode`.
    fast : bool, default False
        Whether to run `unrolled.fast` wherever it applies.

    Raises
    ------
    TypeError, ValueError
        Where ``torch.nn`` raises them; also if `step` is neither callable nor as many callables as
        there are layers and directions, if `fast` is no bool, or if there is a step and `fast`.

    Examples
    --------
    >>> isinstance(GRU(10, 20), Recurrent)
    True
    """

    step: CustomStep | Sequence[CustomStep] | None
    fast: bool

    def __init__(
        self,
        mode: str,
        arguments: dict[str, Any],
        step: CustomStep | Sequence[CustomStep] | None = None,
        fast: bool = False,
    ) -> None:
        own = {name: arguments.pop(name) for name in ("device", "dtype")}
        check_arguments(mode, **arguments)
        if step is not None:
            D = num_directions(arguments["bidirectional"])
            step = _checked_step(step, D * arguments["num_layers"])
        if not isinstance(fast, bool):
            raise TypeError(f"fast should be a bool, got {type(fast).__name__}")
        if fast and step is not None:
            raise ValueError("fast should be False where there is a step of your own, got True")
        super().__init__(mode, **arguments, **own)
        self.step = step
        self.fast = fast
        self._has_cell_state = mode == "LSTM"
        self._single = self.num_layers == 1 and not self.bidirectional
        activations: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
            "RNN_TANH": (InTorch.tanh, np.tanh),
            "RNN_RELU": (InTorch.relu, partial(np.maximum, 0)),
        }
        self._in_place = activations.get(mode)
        # Names of the parameters by layer and direction, put together once.
        there = {"weight_ih": True, "weight_hh": True, "bias_ih": self.bias, "bias_hh": self.bias}
        there["weight_hr"] = self.proj_size > 0
        self._names = [
            [
                [
                    parameter_name(kind, layer, direction) if there[kind] else None
                    for kind in Weights._fields
                ]
                for direction in range(self._D)
            ]
            for layer in range(self.num_layers)
        ]

    def extra_repr(self) -> str:
        """Say the arguments, as `torch.nn` does.

        Examples
        --------
        >>> RNN(10, 20, fast=True)
        RNN(10, 20, fast=True)
        """
        return super().extra_repr() + (", fast=True" if self.fast else "")

    def reset_parameters(self) -> None:
        """Draw the parameters anew, except those of a step of your own.

        Examples
        --------
        >>> rnn = RNN(10, 20)
        >>> rnn.reset_parameters()
        >>> bool(rnn.weight_hh_l0.abs().max() <= uniform_bound(20))
        True
        """
        bound = uniform_bound(self.hidden_size)
        for name in self._flat_weights_names:
            nn.init.uniform_(getattr(self, name), -bound, bound)

    def forward(
        self,
        input: Sequences,
        hx: Any = None,
        *,
        lengths: Sequence[int] | Tensor | None = None,
        mask: Tensor | None = None,
        all_states: bool = False,
    ) -> tuple[Any, ...]:
        """Run the network over a batch of sequences.

        Parameters
        ----------
        input : Tensor or PackedSequence
            Shape ``(L, N, H_in)``, with `batch_first` ``(N, L, H_in)``, unbatched ``(L, H_in)``.
        hx : Tensor, or for an LSTM a tuple of two Tensors, optional
            States before the first step: ``h_0`` of shape ``(D * num_layers, N, H_out)``, and for
            an LSTM ``c_0`` of shape ``(D * num_layers, N, hidden_size)``; unbatched without ``N``.
            Zeros if left out.
        lengths : sequence of int or Tensor of integers, shape (N,), optional
            How many time steps of each sequence count, from 0 to ``L``; the rest is padding.
        mask : Tensor of bool, shape (L, N), with `batch_first` (N, L), unbatched (L,), optional
            Which time steps count; padding may stand anywhere.
        all_states : bool, default False
            Whether to return the states of all layers at all time steps too.

        Returns
        -------
        output : Tensor or PackedSequence
            Hidden states of the last layer at all time steps, ``(L, N, D * H_out)``, laid out like
            `input`; 0 where a time step does not count.
        h_n : Tensor, or for an LSTM a tuple of two Tensors
            States after the last step that counts, laid out like `hx`.
        states : States
            Only with `all_states`.

        Raises
        ------
        AttributeError
            If `input` or a state is no tensor.
        TypeError
            If `lengths` are no integers or `mask` is not of bool.
        RuntimeError, ValueError
            If shapes, dtypes or devices do not fit, as ``torch.nn`` does; if a length is not
            between 0 and ``L``; if there is more than one of a PackedSequence, `lengths` and
            `mask`.

        Notes
        -----
        A time step that does not count leaves the state as it is, so that the result is that of
        packing, without sorting: up to rounding, since products have other sizes.

        Examples
        --------
        >>> output, h_n = RNN(10, 20)(torch.randn(5, 3, 10), lengths=[5, 2, 4])
        >>> output.shape, h_n.shape, output[2:, 1].abs().max().item()
        (torch.Size([5, 3, 20]), torch.Size([1, 3, 20]), 0.0)
        """
        if lengths is None and mask is None and not all_states:
            returned = self._forward_plain(input, hx)
            if returned is not None:
                return returned
        if isinstance(input, PackedSequence):
            return self._forward_packed(input, hx, lengths, mask, all_states)
        _check_tensor("input", input)
        if input.dim() not in (2, 3):
            raise ValueError(
                f"input should be 2D or 3D, got {input.dim()}D of shape {tuple(input.shape)}"
            )
        given = self._given_states(hx)
        for name, state in given.items():
            if state.dim() != input.dim():
                raise RuntimeError(
                    f"{name} should be {input.dim()}D like input, got {state.dim()}D of shape "
                    f"{tuple(state.shape)}"
                )
        self._check_features(input)
        batched = input.dim() == 3
        if not batched:
            input = input.unsqueeze(1)  # (L, 1, H_in)
            given = {name: state.unsqueeze(1) for name, state in given.items()}
        elif self.batch_first:
            input = input.transpose(0, 1)  # (L, N, H_in)
        if input.size(0) == 0:
            raise RuntimeError(
                "input should have at least one time step, got shape "
                f"{tuple(input.shape)} as (L, N, H_in)"
            )
        keep = self._mask(input, lengths, mask, batched)
        states = self._initial_states(input, input.size(1), given)
        results = self._network(input, states, mask=keep, all_states=all_states)

        def laid_out(time_major: Tensor) -> Tensor:
            if not batched:
                return time_major.squeeze(1)
            return time_major.transpose(0, 1) if self.batch_first else time_major

        last = [part if batched else part.squeeze(1) for part in _stacked(results.last)]
        return self._returned(results, laid_out, last, all_states)

    def _forward_plain(self, input: Any, hx: Any) -> tuple[Any, ...] | None:
        """Take the common case, one layer over a batch, with few questions asked.

        At the sizes of the worked example, asking them all takes longer than the loop. Gives None
        for any other case, and where there may be something to complain of.
        """
        if type(input) is not Tensor or self.step is not None or not self._single:
            return None
        find = self._parameters.get
        weight_ih, weight = find("weight_ih_l0"), find("weight_hh_l0")
        bias_ih, bias_hh = find("bias_ih_l0"), find("bias_hh_l0")
        if (
            weight_ih is None
            or weight is None
            or (self.bias and (bias_ih is None or bias_hh is None))
        ):
            return None  # something computes them
        dtype = input.dtype
        if input.dim() != 3 or dtype is not weight.dtype or not _in_place_applies(dtype):
            return None
        if self.batch_first:
            input = input.transpose(0, 1)  # (L, N, H_in)
        L, N, H_in = input.shape
        if L == 0 or N == 0 or H_in != self.input_size or input.device != weight.device:
            return None
        h_0: Tensor | None = None
        if hx is not None:
            if self._has_cell_state or type(hx) is not Tensor or hx.dtype != dtype:
                return None
            if hx.shape != (1, N, weight.shape[1]) or hx.device != weight.device:
                return None
            h_0 = hx[0]
        followed = torch.is_grad_enabled() and (
            weight.requires_grad or is_followed((input, h_0, *self._parameters.values()))
        )
        if self.fast and not followed and self._in_place is not None:
            tensors = (input, h_0, weight_ih, weight, bias_ih, bias_hh)
            if input.is_cpu and N * self.hidden_size <= NUMBERS_FOR_NUMPY:
                output, h = through_numpy(*tensors, self._in_place[1])
                last: list[Tensor] = [h.unsqueeze(0)]
            else:
                output, h = skip_zeros(*tensors, self._in_place[0])
                last = [torch.stack((h,))]  # no view of the output
        elif self._has_cell_state and not self.fast:
            return None
        else:
            weights = self._find(self._names[0][0])
            initial: tuple[Any, ...] = (h_0,)
            if h_0 is None and not (self.fast and self._in_place is not None):
                initial = (input.new_zeros(N, weight.shape[1]),)
                if self._has_cell_state:
                    initial += (input.new_zeros(N, self.hidden_size),)
            ends: Sequence[Tensor]
            if self.fast:
                states, ends = fast_direction(self.mode, input, initial, weights, Order(), followed)
                output = states[0]
            elif followed:
                every, ends = run_direction(STEPS[self.mode], input, initial, weights)
                output = torch.stack([state[0] for state in every])  # (L, N, H_out)
            else:
                (output,), ends = exact_direction(self.mode, input, initial, weights, Order())
            last = [end.unsqueeze(0) for end in ends]
        if self.batch_first:
            output = output.transpose(0, 1)  # (N, L, H_out)
        return output, tuple(last) if self._has_cell_state else last[0]

    def _forward_packed(
        self,
        input: PackedSequence,
        hx: Any,
        lengths: object,
        mask: object,
        all_states: bool,
    ) -> tuple[Any, ...]:
        for name, value in (("lengths", lengths), ("mask", mask)):
            if value is not None:
                raise ValueError(
                    f"{name} should be left out for a PackedSequence, which has lengths of its "
                    f"own, got {type(value).__name__}"
                )
        data, batch_sizes, sorted_indices, unsorted_indices = input
        if data.dim() != 2:
            raise RuntimeError(
                f"input.data should be 2D, got {data.dim()}D of shape {tuple(data.shape)}"
            )
        self._check_features(data)
        sizes = _checked_batch_sizes(batch_sizes, len(data))
        given = self._given_states(hx)
        for name, state in given.items():
            if sorted_indices is not None and state.dim() < 2:  # has no sequences to sort
                raise IndexError(
                    f"{name} should be 3D, got {state.dim()}D of shape {tuple(state.shape)}"
                )
        states = self._initial_states(data, sizes[0], given)
        if given and sorted_indices is not None:
            states = [state.index_select(1, sorted_indices) for state in states]
        results = self._network(data, states, sizes, all_states=all_states)

        def laid_out(rows: Tensor) -> PackedSequence:
            return PackedSequence(rows, batch_sizes, sorted_indices, unsorted_indices)

        last = _stacked(results.last)
        if unsorted_indices is not None:
            last = [part.index_select(1, unsorted_indices) for part in last]
        return self._returned(results, laid_out, last, all_states)

    def _returned(
        self,
        results: Results,
        laid_out: Callable[[Tensor], Sequences],
        last: list[Tensor],
        all_states: bool,
    ) -> tuple[Any, ...]:
        returned = laid_out(results.output), tuple(last) if self._has_cell_state else last[0]
        if not all_states:
            return returned
        parts = [[laid_out(part) for part in parts] for parts in zip(*results.every, strict=True)]
        return *returned, States(parts[0], parts[1] if self._has_cell_state else None)

    def _network(
        self,
        inputs: Tensor,
        states: list[Tensor],
        batch_sizes: list[int] | None = None,
        mask: Tensor | None = None,
        all_states: bool = False,
    ) -> Results:
        layers = self._layers()
        each = list(zip(*states, strict=True))  # D * num_layers of (h,) or (h, c)
        dropout = self.dropout if self.training else 0.0
        plain = type(inputs) in _PLAIN and mask is None and self.step is None
        if plain and _in_place_applies(inputs.dtype):
            way: Any = None
            weights = [w for directions in layers for each in directions for w in each]
            if self.fast:
                way = fast_direction
            elif not self._has_cell_state and not is_followed((inputs, *states, *weights)):
                way = exact_direction
            if way is not None:
                return run_network_by(
                    way, self.mode, inputs, each, layers, dropout, batch_sizes, all_states
                )
        return run_network(
            self._steps(), inputs, each, layers, dropout, batch_sizes, mask, all_states
        )

    def _steps(self) -> list[Step]:
        count = self._D * self.num_layers
        if self.step is None:
            return [STEPS[self.mode]] * count
        own: list[Any] = [self.step] * count if _is_one_step(self.step) else list(self.step)  # type: ignore[arg-type] # the other case is a sequence
        wrap = _own_lstm_step if self._has_cell_state else _own_step
        return [wrap(step) for step in own]

    @property
    def _D(self) -> int:  # noqa: N802 # the field's name
        return num_directions(self.bidirectional)

    def _layers(self) -> list[list[Weights[Tensor]]]:
        """Collect the parameters by layer and direction."""
        return [[self._find(names) for names in layer] for layer in self._names]

    def _find(self, names: list[str | None]) -> Weights[Tensor]:
        own: Any = self._parameters  # first, since to ask a module for an attribute takes its time
        try:
            return Weights(*[name and own[name] for name in names])
        except KeyError:  # a parameter that something computes
            return Weights(*[name and getattr(self, name) for name in names])

    def _given_states(self, hx: Any) -> dict[str, Tensor]:
        """Name the states in `hx`, none if it was left out."""
        if hx is None:
            return {}
        if not self._has_cell_state:
            _check_tensor("hx", hx)
            return {"hx": hx}
        if isinstance(hx, Tensor):  # torch.nn.LSTM takes its rows for the two states
            error = IndexError if hx.dim() == 0 or len(hx) < 2 else RuntimeError
            raise error(
                f"hx should be a tuple (h_0, c_0), got one Tensor of shape {tuple(hx.shape)}"
            )
        try:
            count = len(hx)
        except TypeError:
            raise TypeError(f"hx should be a tuple (h_0, c_0), got {type(hx).__name__}") from None
        if count != 2:
            error = IndexError if count < 2 else RuntimeError  # as torch.nn.LSTM
            raise error(f"hx should be a tuple (h_0, c_0), got {count} states")
        h_0, c_0 = hx
        _check_tensor("hx[0]", h_0)
        _check_tensor("hx[1]", c_0)
        return {"hx[0]": h_0, "hx[1]": c_0}

    def _initial_states(self, inputs: Tensor, N: int, given: dict[str, Tensor]) -> list[Tensor]:
        H_out = real_hidden_size(self.hidden_size, self.proj_size)
        widths = (H_out, self.hidden_size) if self._has_cell_state else (H_out,)
        count = self._D * self.num_layers
        if not given:
            return [inputs.new_zeros(count, N, width) for width in widths]
        for (name, state), width in zip(given.items(), widths, strict=True):
            self._check_state(name, state, (count, N, width), inputs)
        return list(given.values())

    def _check_state(
        self, name: str, state: Tensor, expected: tuple[int, int, int], inputs: Tensor
    ) -> None:
        if state.shape != expected:
            width = "hidden_size" if name == "hx[1]" else "H_out"
            raise RuntimeError(
                f"{name} should have shape {expected} as (D * num_layers, N, {width}), "
                f"got {tuple(state.shape)}"
            )
        if state.device != inputs.device:
            raise RuntimeError(
                f"{name} should be on the device of input, {inputs.device}, got {state.device}"
            )
        if state.dtype != inputs.dtype and not torch.is_autocast_enabled(inputs.device.type):
            raise RuntimeError(
                f"{name} should have the dtype of input, {inputs.dtype}, got {state.dtype}"
            )

    def _check_features(self, inputs: Tensor) -> None:
        weight = self.weight_ih_l0
        if inputs.dtype != weight.dtype and not torch.is_autocast_enabled(inputs.device.type):
            raise ValueError(
                f"input should have the dtype of the weights, {weight.dtype}, got {inputs.dtype}: "
                f"convert with input.to({weight.dtype}) or module.to({inputs.dtype})"
            )
        if inputs.size(-1) != self.input_size:
            raise RuntimeError(
                f"input should have input_size={self.input_size} features in its last dimension, "
                f"got {inputs.size(-1)} in shape {tuple(inputs.shape)}"
            )
        if inputs.device != weight.device:
            raise RuntimeError(
                f"input should be on the device of the weights, {weight.device}, "
                f"got {inputs.device}"
            )

    def _mask(
        self,
        inputs: Tensor,
        lengths: Sequence[int] | Tensor | None,
        mask: Tensor | None,
        batched: bool,
    ) -> Tensor | None:
        """Turn `lengths` or `mask` into a mask of shape (L, N)."""
        L, N = inputs.size(0), inputs.size(1)
        if lengths is not None:
            if mask is not None:
                raise ValueError("lengths should be left out where there is a mask, got both")
            if not batched:
                raise ValueError("lengths should be left out for unbatched input, got some")
            steps = torch.arange(L, device=inputs.device)
            return steps[:, None] < _checked_lengths(lengths, L, N, inputs.device)
        if mask is None:
            return None
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
            raise TypeError(f"mask should be a Tensor of torch.bool, got {got}")
        expected = ((N, L) if self.batch_first else (L, N)) if batched else (L,)
        if mask.shape != expected:
            raise RuntimeError(f"mask should have shape {expected}, got {tuple(mask.shape)}")
        if mask.device != inputs.device:
            raise RuntimeError(
                f"mask should be on the device of input, {inputs.device}, got {mask.device}"
            )
        if not batched:
            return mask[:, None]
        return mask.T.contiguous() if self.batch_first else mask


class RNN(Recurrent):
    """A plain recurrent network: `torch.nn.RNN` in readable Python.

    On a CPU its outputs, final states and gradients are those of `torch.nn.RNN` bit for bit, and
    with the same state of the random generator so is its dropout.

    Parameters
    ----------
    input_size : int
        Features of the input, ``H_in``.
    hidden_size : int
        Features of the hidden state, ``H_out``.
    num_layers : int, default 1
        Layers on top of each other.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    batch_first : bool, default False
        Whether input and output are ``(N, L, ...)`` instead of ``(L, N, ...)``. It does not touch
        the hidden states.
    dropout : float, default 0.0
        Probability that, in training, an element of the output of each layer except the last is
        zeroed.
    bidirectional : bool, default False
        Whether each layer also runs from the last time step to the first.
    device : torch.device, optional
        Where the parameters live.
    dtype : torch.dtype, optional
        Type of the parameters.
    step : callable or sequence of D * num_layers callables, optional
        A step of your own in place of `unrolled.cells.rnn_step`, called as
        ``step(x_projected, h, weight_hh, bias_hh)``; it then decides the activation.
    fast : bool, default False
        Whether to run `unrolled.fast` wherever it applies: the same results to rounding, sooner.

    Raises
    ------
    TypeError, ValueError
        Where `torch.nn.RNN` raises them; the message also says what came.

    Notes
    -----
    ``h_t = tanh(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh)``, from the docstring of
    `torch.nn.RNN`. With `fast`, the results are within 2e-6 in float32 and 1e-12 in float64, and a
    plain loop still runs for `lengths` and `mask`, other dtypes, autocast, `torch.func`,
    `torch.compile` and modes that watch operators; `output` is kept for the backward pass, so
    that to change it in place before is an error.

    The signature is that of `torch.nn.RNN`: of the positional arguments the fourth is
    `nonlinearity` and the ninth would be ``proj_size``, which must be 0.

    Examples
    --------
    >>> theirs = torch.nn.RNN(10, 20, batch_first=True)
    >>> ours = RNN(10, 20, batch_first=True)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x, h_0 = torch.randn(3, 5, 10), torch.randn(1, 3, 20)
    >>> [torch.equal(a, b) for a, b in zip(ours(x, h_0), theirs(x, h_0))]
    [True, True]
    """

    nonlinearity: str

    def __init__(self, *args: Any, step: Any = None, fast: bool = False, **kwargs: Any) -> None:
        _refuse_projection("RNN", kwargs)
        arguments = _rnn_arguments(*args, **kwargs)
        nonlinearity = arguments.pop("nonlinearity")
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"nonlinearity should be 'tanh' or 'relu', got {nonlinearity!r}")
        super().__init__(f"RNN_{nonlinearity.upper()}", arguments, step, fast)
        self.nonlinearity = nonlinearity


class GRU(Recurrent):
    """A gated recurrent unit: `torch.nn.GRU` in readable Python.

    On a CPU its outputs, final states and gradients are those of `torch.nn.GRU` bit for bit, and
    with the same state of the random generator so is its dropout.

    Parameters
    ----------
    input_size : int
        Features of the input, ``H_in``.
    hidden_size : int
        Features of the hidden state, ``H_out``.
    num_layers : int, default 1
        Layers on top of each other.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    batch_first : bool, default False
        Whether input and output are ``(N, L, ...)`` instead of ``(L, N, ...)``. It does not touch
        the hidden states.
    dropout : float, default 0.0
        Probability that, in training, an element of the output of each layer except the last is
        zeroed.
    bidirectional : bool, default False
        Whether each layer also runs from the last time step to the first.
    device : torch.device, optional
        Where the parameters live.
    dtype : torch.dtype, optional
        Type of the parameters.
    step : callable or sequence of D * num_layers callables, optional
        A step of your own in place of `unrolled.cells.gru_step`, called as
        ``step(x_projected, h, weight_hh, bias_hh)``.
    fast : bool, default False
        Whether to run `unrolled.fast` wherever it applies: the same results to rounding, sooner.

    Raises
    ------
    TypeError, ValueError
        Where `torch.nn.GRU` raises them; the message also says what came.

    Notes
    -----
    For the formula see `unrolled.cells.gru_formula`; its source is the docstring of
    `torch.nn.GRU`.

    Examples
    --------
    >>> theirs, ours = torch.nn.GRU(10, 20, 2), GRU(10, 20, 2)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x, h_0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20)
    >>> [torch.equal(a, b) for a, b in zip(ours(x, h_0), theirs(x, h_0))]
    [True, True]
    """

    def __init__(self, *args: Any, step: Any = None, fast: bool = False, **kwargs: Any) -> None:
        _refuse_projection("GRU", kwargs)
        super().__init__("GRU", _gru_arguments(*args, **kwargs), step, fast)


class LSTM(Recurrent):
    """A long short-term memory: `torch.nn.LSTM` in readable Python.

    On a CPU its outputs, final states and gradients are those of `torch.nn.LSTM` bit for bit
    wherever PyTorch runs its own loop: in float64, with a projection, with packed sequences of
    unequal length, or with oneDNN off. Otherwise PyTorch hands float32 and lower precisions to
    oneDNN, and the float32 results agree to 1e-6.

    Parameters
    ----------
    input_size : int
        Features of the input, ``H_in``.
    hidden_size : int
        Features of the cell state and, without a projection, of the hidden state.
    num_layers : int, default 1
        Layers on top of each other.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    batch_first : bool, default False
        Whether input and output are ``(N, L, ...)`` instead of ``(L, N, ...)``. It does not touch
        the states.
    dropout : float, default 0.0
        Probability that, in training, an element of the output of each layer except the last is
        zeroed.
    bidirectional : bool, default False
        Whether each layer also runs from the last time step to the first.
    proj_size : int, default 0
        Features of the hidden state after the projection; 0 is no projection.
    device : torch.device, optional
        Where the parameters live.
    dtype : torch.dtype, optional
        Type of the parameters.
    step : callable or sequence of D * num_layers callables, optional
        A step of your own in place of `unrolled.cells.lstm_step`, called as
        ``step(x_projected, (h, c), weight_hh, bias_hh)``. It returns ``(h, c)``, both
        `hidden_size` wide; the projection comes after it, so that with one the ``h`` that enters
        is `proj_size` wide.
    fast : bool, default False
        Whether to run `unrolled.fast` wherever it applies: the same results to rounding, sooner.

    Raises
    ------
    TypeError, ValueError
        Where `torch.nn.LSTM` raises them; the message also says what came.

    Notes
    -----
    For the formula see `unrolled.cells.lstm_formula`; its source is the docstring of
    `torch.nn.LSTM`.

    Examples
    --------
    >>> theirs = torch.nn.LSTM(10, 20, dtype=torch.float64)
    >>> ours = LSTM(10, 20, dtype=torch.float64)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x = torch.randn(5, 3, 10, dtype=torch.float64)
    >>> (ours_out, (ours_h, ours_c)), (out, (h, c)) = ours(x), theirs(x)
    >>> [torch.equal(a, b) for a, b in ((ours_out, out), (ours_h, h), (ours_c, c))]
    [True, True, True]
    """

    def __init__(self, *args: Any, step: Any = None, fast: bool = False, **kwargs: Any) -> None:
        super().__init__("LSTM", _lstm_arguments(*args, **kwargs), step, fast)


def _rnn_arguments(
    input_size: Any,
    hidden_size: Any,
    num_layers: Any = 1,
    nonlinearity: Any = "tanh",
    bias: Any = True,
    batch_first: Any = False,
    dropout: Any = 0.0,
    bidirectional: Any = False,
    proj_size: Any = 0,
    device: Any = None,
    dtype: Any = None,
) -> dict[str, Any]:
    """Name the arguments of `torch.nn.RNN`, in the order in which it takes them."""
    return locals()


def _gru_arguments(
    input_size: Any,
    hidden_size: Any,
    num_layers: Any = 1,
    bias: Any = True,
    batch_first: Any = False,
    dropout: Any = 0.0,
    bidirectional: Any = False,
    proj_size: Any = 0,
    device: Any = None,
    dtype: Any = None,
) -> dict[str, Any]:
    """Name the arguments of `torch.nn.GRU`, in the order in which it takes them."""
    return locals()


def _lstm_arguments(
    input_size: Any,
    hidden_size: Any,
    num_layers: Any = 1,
    bias: Any = True,
    batch_first: Any = False,
    dropout: Any = 0.0,
    bidirectional: Any = False,
    proj_size: Any = 0,
    device: Any = None,
    dtype: Any = None,
) -> dict[str, Any]:
    """Name the arguments of `torch.nn.LSTM`, in the order in which it takes them."""
    return locals()


def _show_arguments(module: type, arguments: Callable[..., Any], hidden: tuple[str, ...]) -> None:
    """Name them in Python's own messages, in help() and in the API reference."""
    arguments.__qualname__ = module.__name__
    shown = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for name, parameter in inspect.signature(arguments).parameters.items()
        if name not in hidden
    ]
    own = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
        for name, default in (("step", None), ("fast", False))
    ]
    module.__signature__ = inspect.Signature([*shown, *own])  # type: ignore[attr-defined] # inspect looks for it


_show_arguments(RNN, _rnn_arguments, hidden=("proj_size",))
_show_arguments(GRU, _gru_arguments, hidden=("proj_size",))
_show_arguments(LSTM, _lstm_arguments, hidden=())


def _refuse_projection(module: str, keywords: dict[str, Any]) -> None:
    if "proj_size" in keywords:  # refused by name even where it is 0, as torch.nn does
        raise ValueError(
            f"proj_size is only supported by LSTM, not by {module}, "
            f"got proj_size={keywords['proj_size']!r}"
        )


def _checked_step(step: Any, count: int) -> Any:
    """Refuse what is neither a step nor one step for each layer and direction."""
    if _is_one_step(step):
        return step
    try:
        steps = list(step)
    except TypeError:
        raise TypeError(
            f"step should be callable or a sequence of callables, got {type(step).__name__}"
        ) from None
    for index, one in enumerate(steps):
        if not callable(one):
            raise TypeError(f"step[{index}] should be callable, got {type(one).__name__}")
    if len(steps) != count:
        raise ValueError(
            f"step should have {count} callables, one for each layer and direction, "
            f"got {len(steps)}"
        )
    # Modules become submodules, so that their parameters are trained and saved.
    return nn.ModuleList(steps) if all(isinstance(one, nn.Module) for one in steps) else steps


def _is_one_step(step: object) -> bool:
    """Tell one step from a sequence of steps; a ModuleList claims to be callable."""
    return callable(step) and not isinstance(step, nn.ModuleList | nn.Sequential | list | tuple)


# Annotations in quotes: torch.compile evaluates those of nested functions, and fails on generics.
def _own_step(step: CustomStep) -> Step:
    def run(x_projected: Any, state: State, weights: "Weights[Any]") -> State:
        h = step(x_projected, state[0], weights.weight_hh, weights.bias_hh)
        _check_returned("h", h, state[0].shape)
        return (h,)

    return run


def _own_lstm_step(step: CustomStep) -> Step:
    def run(x_projected: Any, state: State, weights: "Weights[Any]") -> State:
        returned = step(x_projected, state, weights.weight_hh, weights.bias_hh)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(f"step should return (h, c), got {type(returned).__name__}")
        h, c = returned
        _check_returned("c", c, state[1].shape)
        _check_returned("h", h, state[1].shape)
        return (h if weights.weight_hr is None else linear(h, weights.weight_hr)), c

    return run


def _check_returned(name: str, value: object, expected: tuple[int, ...]) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"step should return {name} as a Tensor, got {type(value).__name__}")
    if value.shape != expected:
        raise RuntimeError(
            f"step should return {name} of shape {tuple(expected)}, got {tuple(value.shape)}"
        )


# Looked up once: this is asked at each call, and a small network is run in a few microseconds.
_is_compiling = torch.compiler.is_compiling
_is_autocast = torch._C._is_any_autocast_enabled
_transform = torch._C._functorch.peek_interpreter_stack  # that of torch.func, if one runs
_listeners = torch._C._len_torch_dispatch_stack, torch._C._len_torch_function_stack  # as in trace
_tracing = torch._C._get_tracing_state  # that of torch.jit, which would record NumPy's results
_IN_PLACE = frozenset((torch.float32, torch.float64))
_PLAIN = (Tensor, nn.Parameter)  # a subclass may have no numbers, or want to see each operator


def _in_place_applies(dtype: torch.dtype) -> bool:
    """Tell whether writing in place is safe; what transforms operators needs the plain loop."""
    return (
        dtype in _IN_PLACE
        and not _is_compiling()
        and not _is_autocast()
        and _transform() is None
        and _tracing() is None
        and _listeners[0]() == 0
        and _listeners[1]() == 0
        and forward_ad._current_level < 0  # dual numbers
    )


def _stacked(last: list[State]) -> list[Tensor]:
    """Stack the states of all layers and directions: h_n, and for an LSTM c_n."""
    return [torch.stack(parts) for parts in zip(*last, strict=True)]


def _check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        # torch.nn asks whatever came for its .dim() and so ends with this type.
        raise AttributeError(f"{name} should be a torch.Tensor, got {type(value).__name__}")


def _checked_lengths(
    lengths: Sequence[int] | Tensor, L: int, N: int, device: torch.device
) -> Tensor:
    """Refuse lengths that PyTorch's packing takes silently for others."""
    try:
        # Of an empty list torch would make floating-point numbers.
        dtype = torch.int64 if isinstance(lengths, list | tuple) and not lengths else None
        counts = torch.as_tensor(lengths, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"lengths should be integers, got {lengths!r}") from None
    if counts.is_floating_point() or counts.is_complex() or counts.dtype == torch.bool:
        raise TypeError(f"lengths should be integers, got {counts.dtype}")
    if counts.shape != (N,):
        raise RuntimeError(f"lengths should have shape {(N,)}, got {tuple(counts.shape)}")
    if not isinstance(lengths, Tensor):
        values = list(lengths)
    elif torch.compiler.is_compiling() or torch._C._functorch.is_batchedtensor(counts):
        values = []  # not known while a tensor is compiled, nor under torch.func.vmap
    else:
        values = counts.tolist()
    if not all(0 <= value <= L for value in values):
        raise RuntimeError(f"lengths should be from 0 to L={L}, got {values}")
    return counts


def _checked_batch_sizes(batch_sizes: Tensor, rows: int) -> list[int]:
    """Refuse a hand-made PackedSequence whose batch_sizes do not describe its data."""
    expected = "PackedSequence.batch_sizes should"
    if batch_sizes.dim() != 1:
        raise IndexError(f"{expected} be 1D, got {batch_sizes.dim()}D")
    sizes: list[int] = batch_sizes.tolist()
    if batch_sizes.dtype != torch.int64:
        error = TypeError if batch_sizes.is_floating_point() else RuntimeError
        raise error(f"{expected} have dtype torch.int64, got {batch_sizes.dtype}")
    if not sizes:
        raise IndexError(f"{expected} have at least one time step, got none")
    if sizes[-1] <= 0 or any(later > earlier for earlier, later in pairwise(sizes)):
        raise RuntimeError(f"{expected} be positive and never increase, got {sizes}")
    if sum(sizes) != rows:
        raise RuntimeError(f"{expected} sum to the {rows} rows of data, got {sizes}")
    return sizes

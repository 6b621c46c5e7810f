"""Drop-in modules: torch's constructors, parameters and errors, and a forward pass you can read.

They inherit their parameters and initialisation from `torch.nn.RNNBase`. They do not inherit from
`torch.nn.RNN`, `torch.nn.GRU` or `torch.nn.LSTM`, because ``torch.compile(fullgraph=True)`` refuses
subclasses of those.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Never, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from unrolled import _checks
from unrolled._scan import each
from unrolled.layers import (
    STEPS,
    Direction,
    State,
    Step,
    masked_direction,
    plain_direction,
    run_network,
    weights_of,
)
from unrolled.shapes import check_arguments, num_directions, uniform_bound

__all__ = ["GRU", "LSTM", "RNN", "Recurrent", "States"]

Sequences: TypeAlias = Tensor | PackedSequence
Device: TypeAlias = torch.device | str | int | None


class States(NamedTuple):
    """The states of all layers at all time steps, which ``all_states=True`` adds to the results.

    Attributes
    ----------
    h : list of num_layers Tensors or PackedSequences, shape (L, N, D * H_out)
        Hidden states of each layer before dropout, laid out like ``output``. The last element is
        ``output``.
    c : list of num_layers Tensors or PackedSequences, shape (L, N, D * hidden_size), or None
        Cell states of an LSTM, in the same layout; ``None`` for the other modules.

    Examples
    --------
    >>> _, _, states = LSTM(10, 20, 2)(torch.randn(5, 3, 10), all_states=True)
    >>> len(states.c), states.c[0].shape
    (2, torch.Size([5, 3, 20]))
    """

    h: list[Any]
    c: list[Any] | None


class _Batch(NamedTuple):
    """Input in the layout of the loop, and functions that restore the caller's layout."""

    inputs: Tensor  # (L, N, H_in), packed (sum of lengths, H_in)
    states: list[State]  # D * num_layers of h or (h, c), (N, ...) each
    sizes: list[int] | None  # batch_sizes of packed input
    mask: Tensor | None  # (L, N)
    resets: Tensor | None  # (L, N)
    laid_out: Callable[..., Any]  # for results with all time steps; in place or as a view
    laid_last: Callable[[Tensor], Tensor]  # for the last states


class Recurrent(nn.RNNBase):
    """What `RNN`, `GRU` and `LSTM` share: the forward pass and its options.

    Parameters
    ----------
    mode : str
        ``"RNN_TANH"``, ``"RNN_RELU"``, ``"GRU"`` or ``"LSTM"``.
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size
        As in `torch.nn.RNNBase`.
    device, dtype
        The same.
    step : callable or sequence of D * num_layers callables, optional
        Your own step, which replaces that of `mode`.
    fast : bool, default False
        Whether to run `unrolled.fast` wherever it applies.

    Raises
    ------
    TypeError, ValueError
        Where ``torch.nn`` raises them. Also if `step` is neither a callable nor one callable for
        each layer and direction, if `fast` is not a bool, or if both `step` and `fast` are given.

    Examples
    --------
    >>> isinstance(GRU(10, 20), Recurrent)
    True
    """

    step: Step | Sequence[Step] | None
    fast: bool
    __prepare_scriptable__ = _checks.refuse_script  # which torch.jit.script calls

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        step: Step | Sequence[Step] | None = None,
        fast: bool = False,
    ) -> None:
        sizes = (input_size, hidden_size, num_layers)
        options = {"bias": bias, "batch_first": batch_first, "dropout": dropout,
                   "bidirectional": bidirectional, "proj_size": proj_size}  # fmt: skip # a table
        check_arguments(mode, *sizes, **options)
        if step is not None:
            step = _checks.checked_steps(step, num_directions(bidirectional) * num_layers)
        if not isinstance(fast, bool):
            raise TypeError(f"fast should be a bool, got {type(fast).__name__}")
        if fast and step is not None:
            raise ValueError("fast should be False where there is a step of your own, got True")
        super().__init__(mode, *sizes, **options, device=device, dtype=dtype)  # type: ignore[arg-type] # checked by now
        self.step = step
        self.fast = fast

    def extra_repr(self) -> str:
        """Show the arguments, as `torch.nn` does.

        Examples
        --------
        >>> RNN(10, 20, fast=True)
        RNN(10, 20, fast=True)
        """
        return super().extra_repr() + (", fast=True" if self.fast else "")

    def reset_parameters(self) -> None:
        """Draw the parameters again, except those of a step that you supplied.

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
        *others: Never,  # not a mere star: a tool that passes all by position gets our message
        lengths: Sequence[int] | Tensor | None = None,
        mask: Tensor | None = None,
        resets: Tensor | None = None,
        all_states: bool = False,
    ) -> tuple[Any, ...]:
        """Run the network over a batch of sequences.

        Parameters
        ----------
        input : Tensor or PackedSequence
            Shape ``(L, N, H_in)``; ``(N, L, H_in)`` with `batch_first`; ``(L, H_in)`` unbatched.
        hx : Tensor, or for an LSTM a tuple of two Tensors, optional
            States before the first step: ``h_0`` of shape ``(D * num_layers, N, H_out)``, and for
            an LSTM ``c_0`` of shape ``(D * num_layers, N, hidden_size)``; without ``N`` if
            unbatched. Zeros if left out.
        lengths : sequence of int or Tensor of integers, shape (N,), optional
            How many time steps of each sequence count, from 0 to ``L``; the rest is padding.
        mask : Tensor of bool, shape (L, N), with `batch_first` (N, L), unbatched (L,), optional
            Which time steps count; padding may be anywhere.
        resets : Tensor of bool, shape (L, N), with `batch_first` (N, L), unbatched (L,), optional
            Where a sequence starts again: the state before that time step is zeros instead of that
            of the step before it, or of `hx`. The reverse direction has the same pieces.
        all_states : bool, default False
            Whether to return the states of all layers at all time steps as well.

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
            If `input` or a state is not a tensor.
        TypeError
            If `lengths` are not integers, or `mask` or `resets` are not boolean.
        RuntimeError, ValueError
            If shapes, dtypes or devices do not match, as in ``torch.nn``; if a length is not
            between 0 and ``L``; or if more than one of a PackedSequence, `lengths` and `mask` is
            given, or `resets` with a PackedSequence.

        Notes
        -----
        A time step that does not count leaves the state unchanged. The result is therefore the same
        as with packing, but without sorting; it agrees only up to rounding, since the products have
        different sizes.

        `torch.compile`, ``torch.jit.trace`` and ``torch.func.vmap`` cannot look at the values in
        `lengths`: with them a length above ``L`` counts as ``L``, and one below 0 as 0. A
        PackedSequence is refused under ``torch.jit.trace`` and `torch.export`, whose graph would
        fix its lengths.

        While `torch.export` records, one operator ``scan`` takes the place of the loop, so that the
        graph runs at any length; PyTorch has it from 2.7 on.

        Examples
        --------
        >>> output, h_n = RNN(10, 20)(torch.randn(5, 3, 10), lengths=[5, 2, 4])
        >>> output.shape, h_n.shape, output[2:, 1].abs().max().item()
        (torch.Size([5, 3, 20]), torch.Size([1, 3, 20]), 0.0)
        """
        if others:
            raise TypeError(f"input and hx alone should be positional, got more{_checks.BACK}")
        direction = None
        if self.fast and lengths is None and mask is None and resets is None:
            returned, direction = _try_fast(self, input, hx, all_states)
            if returned is not None:
                return returned
        layers = weights_of(self)  # only once, since they may have to be computed
        packed = isinstance(input, PackedSequence)
        lay_out: Callable[..., _Batch] = self._packed_batch if packed else self._batch
        batch = lay_out(input, hx, lengths, mask, resets, layers[0][0].weight_ih)
        results = run_network(
            self._directions(direction, batch.mask, batch.resets),
            batch.inputs,
            batch.states,
            layers,
            self.dropout if self.training else 0.0,
            batch.sizes,
            all_states,
        )
        output = results.output
        if direction is not None and (output.requires_grad or output._is_view()):
            output = output.clone()  # the backward pass keeps it, and you may change yours
        output = batch.laid_out(output, True)
        last = each(batch.laid_last, each(_stacked, *results.last))
        if not all_states:
            return output, last
        every = [each(batch.laid_out, states) for states in results.every[:-1]]
        if self.mode != "LSTM":
            return output, last, States([*every, output], None)
        every.append((output, batch.laid_out(results.every[-1][1])))
        return output, last, States([h for h, _ in every], [c for _, c in every])

    def _directions(
        self, direction: Direction | None, mask: Tensor | None, resets: Tensor | None
    ) -> list[Direction]:
        """Choose the function that runs each layer and direction."""
        count = num_directions(self.bidirectional) * self.num_layers
        if direction is not None:
            return [direction] * count
        if self.step is None:
            steps: Sequence[Step] = [STEPS[self.mode]] * count
        elif _checks.is_one_step(self.step):
            steps = [_checks.checked_step(self.step)] * count
        else:
            steps = [_checks.checked_step(step) for step in self.step]  # type: ignore[union-attr] # a sequence
        if mask is not None or resets is not None:
            return [partial(masked_direction, step, mask, resets=resets) for step in steps]
        return [partial(plain_direction, step) for step in steps]

    def _batch(
        self, input: Any, hx: Any, lengths: Any, mask: Any, resets: Any, weight: Tensor
    ) -> "_Batch":
        """Make input and states time-major, ``(L, N, H_in)``, and return functions that undo it."""
        _checks.check_input(input)
        given = _checks.named_states(self, hx)
        _checks.check_ranks(given, input)
        _checks.check_features(self, input, weight)
        batched, batch_first = input.dim() == 3, self.batch_first
        if not batched:
            input = input.unsqueeze(1)  # (L, 1, H_in)
            given = {name: state.unsqueeze(1) for name, state in given.items()}
        elif batch_first:
            input = input.transpose(0, 1)  # (L, N, H_in)
        if input.size(0) == 0:
            raise RuntimeError(
                "Expected sequence length to be larger than 0 in RNN: input should have at least "
                f"one time step, got shape {tuple(input.shape)} as (L, N, H_in)"
            )
        keep = _checks.checked_mask(lengths, mask, input, batched, batch_first)
        fresh = _checks.checked_flags("resets", resets, input, batched, batch_first)
        if lengths is not None and fresh is not None:  # what is beyond them is no part of it
            fresh = fresh & keep  # type: ignore[operator] # there are lengths, so there is a mask
        states = self._states(given, input, input.size(1))

        def laid_out(time_major: Tensor, in_place: bool = False) -> Tensor:
            if not batched:
                return time_major.squeeze(1)
            if not batch_first:
                return time_major
            # As in torch.nn, the output is not a view, which could not be detached in place.
            return time_major.transpose_(0, 1) if in_place else time_major.transpose(0, 1)

        def laid_last(last: Tensor) -> Tensor:
            return last if batched else last.squeeze(1)

        return _Batch(input, states, None, keep, fresh, laid_out, laid_last)

    def _packed_batch(
        self, input: PackedSequence, hx: Any, lengths: Any, mask: Any, resets: Any, weight: Tensor
    ) -> "_Batch":
        """Sort the states in the order of the sequences, and return functions that undo it."""
        data, batch_sizes, sorted_indices, unsorted_indices = input
        sizes = _checks.check_packed(input, lengths=lengths, mask=mask, resets=resets)
        _checks.check_features(self, data, weight)
        given = _checks.named_states(self, hx)
        if sorted_indices is not None:
            _checks.check_sortable(given)
        states = self._states(given, data, sizes[0], sorted_indices)

        def laid_out(rows: Tensor, in_place: bool = False) -> PackedSequence:
            return PackedSequence(rows, batch_sizes, sorted_indices, unsorted_indices)

        def laid_last(last: Tensor) -> Tensor:
            return last if unsorted_indices is None else last.index_select(1, unsorted_indices)

        return _Batch(data, states, sizes, None, None, laid_out, laid_last)

    def _states(
        self,
        given: dict[str, Tensor],
        inputs: Tensor,
        N: int,
        sorted_indices: Tensor | None = None,
    ) -> list[State]:
        """Return the state of each layer and direction before its first step."""
        if given:
            _checks.check_states(self, given, inputs, N)
            states = list(given.values())
            if sorted_indices is not None:
                states = [state.index_select(1, sorted_indices) for state in states]
        else:
            states = [inputs.new_zeros(shape) for shape in _checks.state_shapes(self, N)]
        return list(zip(*states, strict=True)) if self.mode == "LSTM" else list(states[0])


class RNN(Recurrent):
    """A plain recurrent network: `torch.nn.RNN` in readable Python.

    On a CPU its outputs, final states and gradients are bitwise identical to those of
    `torch.nn.RNN`. So is its dropout, given the same state of the random generator.

    Parameters
    ----------
    input_size : int
        Features of the input, ``H_in``.
    hidden_size : int
        Features of the hidden state, ``H_out``.
    num_layers : int, default 1
        Number of stacked layers.
    nonlinearity : {"tanh", "relu"}, default "tanh"
        Activation.
    bias : bool, default True
        Whether there are ``bias_ih`` and ``bias_hh``.
    batch_first : bool, default False
        Whether input and output are ``(N, L, ...)`` instead of ``(L, N, ...)``. This does not
        affect the hidden states.
    dropout : float, default 0.0
        Probability of zeroing an element, during training, in the output of every layer except the
        last.
    bidirectional : bool, default False
        Whether each layer also runs from the last time step to the first.
    device : torch.device, optional
        Device of the parameters.
    dtype : torch.dtype, optional
        Type of the parameters.
    step : callable or sequence of D * num_layers callables, optional
        Your own step, which replaces `unrolled.cells.rnn_step`. It is called as
        ``step(x_projected, h, weight_hh, bias_hh)``, where the weights have one block of ``H_out``
        rows, and the activation is up to it.
    fast : bool, default False
        Whether to run `unrolled.fast` wherever it applies: faster, and the same up to rounding.

    Raises
    ------
    TypeError, ValueError
        Where `torch.nn.RNN` raises them; the message also shows the value that was passed.

    Notes
    -----
    ``h_t = tanh(x_t W_ih^T + b_ih + h_{t-1} W_hh^T + b_hh)``, from the docstring of
    `torch.nn.RNN`. With `fast`, results agree with PyTorch's to within 2e-6 in float32 and 1e-12 in
    float64, for weights as `torch.nn` starts them and some hundred steps. The fast path handles any
    number of layers, both directions and every layout; where it does not apply, the plain loop
    runs without a warning:

    ===============================================  =====================================
    what you do                                      what runs with ``fast=True``
    ===============================================  =====================================
    call it on a CPU, in float32 or float64          `unrolled.fast`
    pass `lengths`, `mask` or `resets`               the plain loop
    use another dtype or another device              the plain loop
    pass a subclass of ``Tensor``                    the plain loop
    autocast, `torch.func`, compile, trace, modes    the plain loop
    backward under these, or a second derivative     the plain loop, in the backward pass
    get infinity, NaN or a value above 1e19          `unrolled.fast`, then the plain loop
    ===============================================  =====================================

    As in `torch.nn.RNN`, the ninth positional argument is ``proj_size``. It must be 0, and cannot
    be passed by name.

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

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        _proj_size: int = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        step: Step | Sequence[Step] | None = None,
        fast: bool = False,
        **refused: Never,
    ) -> None:
        _checks.check_keywords("RNN", refused)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                "Unknown nonlinearity: nonlinearity should be 'tanh' or 'relu', "
                f"got {nonlinearity!r}"
            )
        mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(
            mode, input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional,
            _proj_size, device, dtype, step=step, fast=fast,
        )  # fmt: skip # as wide as the page
        self.nonlinearity = nonlinearity


class GRU(Recurrent):
    """A gated recurrent unit: `torch.nn.GRU` in readable Python.

    On a CPU its outputs, final states and gradients are bitwise identical to those of
    `torch.nn.GRU`. So is its dropout, given the same state of the random generator.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As in `RNN`.
    device, dtype
        The same.
    step : callable or sequence of D * num_layers callables, optional
        Your own step, which replaces `unrolled.cells.gru_step`. It is called as
        ``step(x_projected, h, weight_hh, bias_hh)``, where the weights have three blocks of
        ``H_out`` rows; it may leave some of them unused.
    fast : bool, default False
        Whether to run `unrolled.fast` wherever it applies: faster, and the same up to rounding.

    Raises
    ------
    TypeError, ValueError
        Where `torch.nn.GRU` raises them; the message also shows the value that was passed.

    Notes
    -----
    For the formula, from the docstring of `torch.nn.GRU`, see `unrolled.cells.gru_step`. The table
    in `RNN` shows where `fast` applies.

    As in `torch.nn.GRU`, the ninth positional argument is ``proj_size``. It must be 0, and cannot
    be passed by name.

    Examples
    --------
    >>> theirs, ours = torch.nn.GRU(10, 20, 2), GRU(10, 20, 2)
    >>> ours.load_state_dict(theirs.state_dict())
    <All keys matched successfully>
    >>> x, h_0 = torch.randn(5, 3, 10), torch.randn(2, 3, 20)
    >>> [torch.equal(a, b) for a, b in zip(ours(x, h_0), theirs(x, h_0))]
    [True, True]
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        _proj_size: int = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        step: Step | Sequence[Step] | None = None,
        fast: bool = False,
        **refused: Never,
    ) -> None:
        _checks.check_keywords("GRU", refused)
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, _proj_size, device, dtype, step=step, fast=fast,
        )  # fmt: skip # as wide as the page


class LSTM(Recurrent):
    """A long short-term memory: `torch.nn.LSTM` in readable Python.

    On a CPU its outputs, final states and gradients are bitwise identical to those of
    `torch.nn.LSTM` wherever PyTorch runs its own loop: in float64, with a projection, with packed
    sequences of unequal length, or with oneDNN off. Otherwise PyTorch hands float32 and reduced
    precision to oneDNN, and the float32 results agree to 1e-6. Under autocast, oneDNN returns
    reduced precision; this module follows what autocast does with each operator, and so returns
    float32 for float32 input, like `torch.nn.GRU`, and like `torch.nn.LSTM` without oneDNN.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        As in `RNN`; `hidden_size` is the number of features of the cell state and, without a
        projection, of the hidden state.
    proj_size : int, default 0
        Features of the hidden state after the projection; 0 means no projection.
    device, dtype
        As in `RNN`.
    step : callable or sequence of D * num_layers callables, optional
        Your own step, which replaces `unrolled.cells.lstm_step`. It is called as
        ``step(x_projected, (h, c), weight_hh, bias_hh)`` and returns ``(h, c)``, both
        `hidden_size` wide. A projection is applied after the step; the ``h`` that the next step
        receives is then `proj_size` wide.
    fast : bool, default False
        Whether to run `unrolled.fast` wherever it applies: faster, and the same up to rounding.

    Raises
    ------
    TypeError, ValueError
        Where `torch.nn.LSTM` raises them; the message also shows the value that was passed.

    Notes
    -----
    For the formula, from the docstring of `torch.nn.LSTM`, see `unrolled.cells.lstm_step`. The
    table in `RNN` shows where `fast` applies. There an LSTM calls the operator of `torch.nn.LSTM`,
    with the same bits, unless it returns all states, or needs the gradients of 16 steps or more and
    oneDNN does not run. oneDNN keeps the biases until the backward pass, and they may not be
    changed in place before.

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

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Device = None,
        dtype: torch.dtype | None = None,
        *,
        step: Step | Sequence[Step] | None = None,
        fast: bool = False,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, proj_size, device, dtype, step=step, fast=fast,
        )  # fmt: skip # as wide as the page


def _try_fast(*arguments: Any) -> Any:
    """Replace itself with the fast path, which is loaded only when it is first needed."""
    global _try_fast
    from unrolled.fast import try_fast as _try_fast

    return _try_fast(*arguments)


def _stacked(*states: Tensor) -> Tensor:
    return torch.stack(states)  # (D * num_layers, N, ...)

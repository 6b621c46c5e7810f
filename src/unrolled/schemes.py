"""Initial values other than PyTorch's, gate by gate, written into a module in place.

``weight_ih`` and ``weight_hh`` of a GRU or an LSTM are stacks: one block of ``hidden_size`` rows
for each gate. `torch.nn.init` takes a stack for one matrix with many rows. The functions here cut
it first and then call `torch.nn.init`, for all layers and directions; their names end in an
underscore, as there. PyTorch's own draw is in `unrolled.init`.

Everything is looked at before anything is written. For a module of bfloat16 or half, numbers are
drawn in float32 and rounded: the QR decomposition of `orthogonal_` has no form for such numbers.
"""

import math
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from unrolled._summary import mode_of, shapes_of
from unrolled.shapes import (
    GATES,
    num_directions,
    parameter_name,
    real_hidden_size,
)

__all__ = [
    "Block",
    "LearnedState",
    "chrono_",
    "forget_bias_",
    "gate_blocks",
    "identity_",
    "orthogonal_",
    "xavier_uniform_",
]

ModuleT = TypeVar("ModuleT", bound=nn.Module)

_KINDS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
_KEEPS = {"LSTM": "f", "GRU": "z"}  # the gate that is 1 where the old state stays


class Block(NamedTuple):
    """The rows of one gate in one parameter.

    Attributes
    ----------
    name : str
        The parameter, as in ``state_dict``.
    gate : str
        The gate, as in `unrolled.shapes.GATES`; ``"h"`` in a plain RNN.
    values : Tensor, shape (hidden_size, ...)
        A view without gradients: what is written into it is in the parameter.

    Examples
    --------
    >>> Block("bias_ih_l0", "f", torch.zeros(20)).gate
    'f'
    """

    name: str
    gate: str
    values: Tensor


def gate_blocks(module: nn.Module, kind: str) -> list[Block]:
    """Cut the parameters of one kind into the blocks of the gates.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM or one of their cells
        One of PyTorch's or ours.
    kind : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
        Which parameters.

    Returns
    -------
    list of Block
        Layer by layer, in each layer forward then reverse, in each parameter from top to bottom;
        empty for the biases of a module without.

    Raises
    ------
    TypeError
        If `module` is not recurrent.
    ValueError
        If `kind` is none of the four, or what is written into a parameter would be lost or end up
        elsewhere: it is not there because something computes it, such as weight normalisation; it
        is on the meta device, an inference tensor, or expanded; it has another shape than the
        module's sizes say, or no floating-point numbers.

    Notes
    -----
    Source of the order: `unrolled.shapes.GATES`.

    Examples
    --------
    >>> for name, gate, values in gate_blocks(nn.GRU(10, 20), "weight_ih"):
    ...     print(name, gate, tuple(values.shape))
    weight_ih_l0 r (20, 10)
    weight_ih_l0 z (20, 10)
    weight_ih_l0 n (20, 10)
    """
    if kind not in _KINDS:
        raise ValueError(f"kind should be one of {', '.join(map(repr, _KINDS))}, got {kind!r}")
    gates = GATES[mode_of(module)]
    names = [kind]  # of a cell
    if isinstance(module, nn.RNNBase):
        names = [
            parameter_name(kind, layer, direction)
            for layer in range(module.num_layers)
            for direction in range(num_directions(module.bidirectional))
        ]
    if kind.startswith("bias") and not module.bias:
        return []
    return [
        Block(name, gate, values)
        for name in names
        for gate, values in zip(gates, _writable(module, name).chunk(len(gates)), strict=True)
    ]


def orthogonal_(
    module: ModuleT, gain: float = 1.0, generator: torch.Generator | None = None
) -> ModuleT:
    """Fill each gate's block of ``weight_hh`` with an orthogonal matrix of its own.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM or one of their cells
        One of PyTorch's or ours.
    gain : float, default 1.0
        All singular values of each block, at least 0.
    generator : torch.Generator, optional
        Where the random numbers come from; PyTorch's global generator if left out.

    Returns
    -------
    torch.nn.Module
        The module.

    Raises
    ------
    TypeError, ValueError
        As `gate_blocks`; also if `gain` is no number or `generator` none (``TypeError``), or if
        `gain` is negative, NaN or larger than the dtype can hold (``ValueError``). Nothing is
        changed then.

    Notes
    -----
    With a projection a block is taller than wide, ``(hidden_size, proj_size)``; its columns are
    then orthogonal, so that it still changes no length. ``weight_hr`` is left alone. Source:
    A. M. Saxe, J. L. McClelland, S. Ganguli (2014), "Exact solutions to the nonlinear dynamics of
    learning in deep linear neural networks".

    Examples
    --------
    >>> lstm = orthogonal_(nn.LSTM(10, 20))
    >>> forget = lstm.weight_hh_l0[20:40]
    >>> torch.allclose(forget @ forget.T, torch.eye(20), atol=1e-6)
    True
    """
    return _fill(module, "weight_hh", nn.init.orthogonal_, gain, generator)


def xavier_uniform_(
    module: ModuleT, gain: float = 1.0, generator: torch.Generator | None = None
) -> ModuleT:
    """Fill each gate's block of ``weight_ih`` from Xavier's uniform distribution.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM or one of their cells
        One of PyTorch's or ours.
    gain : float, default 1.0
        A factor of the bound, at least 0, such as `torch.nn.init.calculate_gain` gives.
    generator : torch.Generator, optional
        Where the random numbers come from; PyTorch's global generator if left out.

    Returns
    -------
    torch.nn.Module
        The module.

    Raises
    ------
    TypeError, ValueError
        As `gate_blocks`; also if `gain` is no number or `generator` none (``TypeError``), or if
        `gain` is negative, NaN or larger than the dtype can hold (``ValueError``). Nothing is
        changed then.

    Notes
    -----
    The bound of a block is ``gain * sqrt(6 / (layer_input_size + hidden_size))``. Source:
    X. Glorot, Y. Bengio (2010), "Understanding the difficulty of training deep feedforward neural
    networks"; Xavier is Glorot's first name.

    Examples
    --------
    >>> gru = xavier_uniform_(nn.GRU(10, 20))
    >>> bound = (6 / (10 + 20)) ** 0.5
    >>> bool(0.9 * bound < gru.weight_ih_l0.abs().max() <= bound)
    True
    """
    return _fill(module, "weight_ih", nn.init.xavier_uniform_, gain, generator)


def forget_bias_(module: ModuleT, value: float = 1.0) -> ModuleT:
    """Set the bias of the gate that keeps the state: `value` in all, whatever the two parts are.

    Parameters
    ----------
    module : torch.nn.LSTM, torch.nn.GRU or one of their cells
        One of PyTorch's or ours. The gate is ``f`` in an LSTM and ``z`` in a GRU, of which 1 keeps
        the old state in both.
    value : float, default 1.0
        Goes into ``bias_ih``; the same rows of ``bias_hh``, which are added to them, become 0.

    Returns
    -------
    torch.nn.Module
        The module.

    Raises
    ------
    TypeError, ValueError
        As `gate_blocks`; also if `value` is no number (``TypeError``), if it is NaN or larger than
        the dtype can hold, if the module is a plain RNN, has no biases, or has one parameter for
        both (``ValueError``). Nothing is changed then.

    Notes
    -----
    Source: F. A. Gers, J. Schmidhuber, F. Cummins (2000), "Learning to forget: continual prediction
    with LSTM"; the value 1 is the advice of R. Jozefowicz, W. Zaremba, I. Sutskever (2015), "An
    empirical exploration of recurrent network architectures".

    Examples
    --------
    >>> lstm = forget_bias_(nn.LSTM(10, 20))
    >>> (lstm.bias_ih_l0 + lstm.bias_hh_l0)[20:40].unique()
    tensor([1.], grad_fn=<Unique2Backward0>)
    """
    pairs = _bias_pairs(module, _keeping_gate(module, "forget_bias_"))
    number = _number("value", value, [bias_ih.dtype for bias_ih, _ in pairs])
    for bias_ih, bias_hh in pairs:
        bias_ih.fill_(number)
        bias_hh.zero_()
    return module


def chrono_(module: ModuleT, longest: float, generator: torch.Generator | None = None) -> ModuleT:
    """Spread the biases of the gate that keeps the state, for memories of different lengths.

    Parameters
    ----------
    module : torch.nn.LSTM, torch.nn.GRU or one of their cells
        One of PyTorch's or ours.
    longest : float
        The largest number of time steps that something has to be remembered, at least 2: ``T_max``
        in the paper.
    generator : torch.Generator, optional
        Where the random numbers come from; PyTorch's global generator if left out.

    Returns
    -------
    torch.nn.Module
        The module.

    Raises
    ------
    TypeError, ValueError
        As `gate_blocks`; also if `longest` is no number or `generator` none (``TypeError``), if
        `longest` is less than 2, NaN or too large to draw, if the module is a plain RNN, has no
        biases, or has one parameter for both (``ValueError``). Nothing is changed then.

    Notes
    -----
    The bias of ``f``, of ``z`` in a GRU, is ``log(u)`` with ``u`` uniform between 1 and
    ``longest - 1``, so that the gate is ``1 - 1 / (u + 1)``; the bias of ``i`` in an LSTM is the
    opposite number. All in all, that is: the parts in ``bias_hh`` become 0. Source: C. Tallec,
    Y. Ollivier (2018), "Can recurrent neural networks warp time?".

    Examples
    --------
    >>> lstm = chrono_(nn.LSTM(10, 20), longest=100)
    >>> i, f, _, _ = (lstm.bias_ih_l0 + lstm.bias_hh_l0).chunk(4)
    >>> torch.equal(i, -f), bool((0 <= f).all() and (f <= math.log(99)).all())
    (True, True)
    """
    keeps = _bias_pairs(module, _keeping_gate(module, "chrono_"))
    inputs = _bias_pairs(module, "i") if mode_of(module) == "LSTM" else []
    last = _number("longest", longest, [_drawn(keep.dtype) for keep, _ in keeps], least=2) - 1
    _check_generator(generator)
    drawn = [torch.empty_like(keep, dtype=_drawn(keep.dtype)) for keep, _ in keeps]
    for new in drawn:
        new.uniform_(1, last, generator=generator).log_()
    for (bias_ih, bias_hh), new in zip(keeps, drawn, strict=True):
        bias_ih.copy_(new)
        bias_hh.zero_()
    for (bias_ih, bias_hh), (keep, _) in zip(inputs, keeps, strict=bool(inputs)):
        bias_ih.copy_(-keep)
        bias_hh.zero_()
    return module


def identity_(module: ModuleT, scale: float = 1.0) -> ModuleT:
    """Start a plain RNN with relu from the identity: ``weight_hh = scale * I`` and no bias.

    Parameters
    ----------
    module : torch.nn.RNN or torch.nn.RNNCell
        One of PyTorch's or ours, with ``nonlinearity="relu"``. What is not negative then stays as
        it is until an input changes it.
    scale : float, default 1.0
        The diagonal. Below 1, states fade.

    Returns
    -------
    torch.nn.Module
        The module.

    Raises
    ------
    TypeError, ValueError
        As `gate_blocks`; also if `scale` is no number (``TypeError``), if it is NaN or larger than
        the dtype can hold, or the module is no plain RNN with relu (``ValueError``). Nothing is
        changed then.

    Notes
    -----
    ``weight_ih`` is left alone. Source: Q. V. Le, N. Jaitly, G. E. Hinton (2015), "A simple way to
    initialize recurrent networks of rectified linear units".

    Examples
    --------
    >>> rnn = identity_(nn.RNN(10, 20, nonlinearity="relu"))
    >>> torch.equal(rnn.weight_hh_l0, torch.eye(20))
    True
    """
    if not mode_of(module).startswith("RNN"):
        raise ValueError(
            f"module of identity_ should be a plain RNN with relu, got {type(module).__name__}"
        )
    if module.nonlinearity != "relu":
        raise ValueError(f"nonlinearity should be 'relu', got {module.nonlinearity!r}")
    weights = gate_blocks(module, "weight_hh")
    biases = [*gate_blocks(module, "bias_ih"), *gate_blocks(module, "bias_hh")]
    number = _number("scale", scale, [block.values.dtype for block in weights])
    for block in weights:
        nn.init.eye_(block.values).mul_(number)
    for block in biases:
        block.values.zero_()
    return module


class LearnedState(nn.Module):
    """An initial state that is learned: one for each layer and direction, for all sequences.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU or torch.nn.LSTM
        One of PyTorch's or ours, whose initial state it is to be. Only its sizes, dtype and device
        are looked at.

    Attributes
    ----------
    h_0 : Parameter, shape (D * num_layers, 1, H_out)
        Zeros at first, as if there were none.
    c_0 : Parameter, shape (D * num_layers, 1, hidden_size), or None
        Likewise, of an LSTM.

    Raises
    ------
    TypeError
        If `module` is none of these.
    ValueError
        If it has no parameter, which would say dtype and device.

    Examples
    --------
    >>> lstm = nn.LSTM(10, 20, num_layers=2)
    >>> start = LearnedState(lstm)
    >>> output, (h_n, c_n) = lstm(torch.randn(5, 3, 10), start(3))
    >>> output.sum().backward()
    >>> start.c_0.grad.shape
    torch.Size([2, 1, 20])
    """

    def __init__(self, module: nn.RNNBase) -> None:
        if not isinstance(module, nn.RNNBase):
            raise TypeError(
                "module should be a recurrent module with layers, such as torch.nn.LSTM, "
                f"got {type(module).__name__}"
            )
        super().__init__()
        count = num_directions(module.bidirectional) * module.num_layers
        H_out = real_hidden_size(module.hidden_size, module.proj_size)
        like = next(module.parameters(), None)
        if like is None:
            raise ValueError("module should have a parameter, got one without")
        self.h_0 = nn.Parameter(like.new_zeros(count, 1, H_out))
        c_0 = like.new_zeros(count, 1, module.hidden_size)
        self.c_0 = nn.Parameter(c_0) if module.mode == "LSTM" else None

    def forward(self, N: int | None) -> Tensor | tuple[Tensor, Tensor]:
        """Give ``hx`` for a batch.

        Parameters
        ----------
        N : int or None
            Sequences in the batch; ``None`` for one sequence without a batch dimension.

        Returns
        -------
        Tensor, or for an LSTM a tuple of two Tensors
            What the module takes as ``hx``: ``(D * num_layers, N, H_out)``, and for ``c_0``
            ``(D * num_layers, N, hidden_size)``.

        Raises
        ------
        TypeError
            If `N` is neither an integer nor None.
        RuntimeError
            If `N` is negative, as `torch.zeros` does.

        Examples
        --------
        >>> LearnedState(nn.GRU(10, 20))(3).shape
        torch.Size([1, 3, 20])
        """
        if not torch.jit.is_tracing():  # type: ignore[no-untyped-call, attr-defined] # torch's; sizes are tensors there
            _check_count("N", N)

        def for_all(state: Tensor) -> Tensor:
            if N is None:
                return state.squeeze(1)
            return state.expand(-1, N, -1).contiguous()  # cuDNN takes no expanded state

        h_0 = for_all(self.h_0)
        return h_0 if self.c_0 is None else (h_0, for_all(self.c_0))


def _writable(module: nn.Module, name: str) -> Tensor:
    """Give a parameter of the module without its gradient, if what is written into it stays."""
    own = module._parameters.get(name)  # named_parameters() leaves out the second of two tied ones
    expected = shapes_of(module)[name]
    if own is None:
        problem = "a parameter of the module, got one that something computes"
    elif own.is_meta:
        problem = "a parameter with numbers, got one on the meta device"
    elif own.shape != expected:
        problem = f"of shape {expected}, got {tuple(own.shape)}"
    elif not own.is_floating_point():
        problem = f"of floating-point numbers, got {own.dtype}"
    elif own.is_inference() and not torch.is_inference_mode_enabled():
        problem = "a parameter that can be written to, got an inference tensor"
    elif any(step == 0 and size > 1 for step, size in zip(own.stride(), own.shape, strict=True)):
        problem = "a parameter with memory for each number, got an expanded one"
    else:
        return own.detach()
    raise ValueError(f"{name} should be {problem}")


def _check_count(name: str, value: Any) -> None:
    whole = isinstance(value, numbers.Integral | torch.SymInt) and not isinstance(value, bool)
    if value is not None and not whole:
        raise TypeError(f"{name} should be an integer or None, got {value!r}")
    if value is not None and value < 0:  # which expand() takes for leaving a size alone
        raise RuntimeError(f"{name} should not be negative, got {value}")


def _number(name: str, value: Any, dtypes: list[torch.dtype], least: float = -math.inf) -> float:
    """Refuse what is no number, or one that a dtype cannot hold, be it some times as large."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} should be a number, got {type(value).__name__}")
    largest = min(torch.finfo(dtype).max for dtype in dtypes) / 4
    if not max(least, -largest) <= value <= largest:  # type: ignore[operator] # real numbers compare
        at_least = "" if least == -math.inf else f"at least {least} and "
        raise ValueError(f"{name} should be {at_least}finite in the dtype, got {value}")
    return float(value)


def _drawn(dtype: torch.dtype) -> torch.dtype:
    """Say in which dtype random numbers are drawn: short ones in float32, and then rounded."""
    return torch.float32 if dtype.itemsize < 4 else dtype


def _check_generator(generator: object) -> None:
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator should be a torch.Generator, got {type(generator).__name__}")


def _fill(
    module: ModuleT,
    kind: str,
    initialise: Callable[..., object],
    gain: float,
    generator: torch.Generator | None,
) -> ModuleT:
    """Draw all blocks of a kind, and then write them."""
    blocks = gate_blocks(module, kind)
    number = _number("gain", gain, [block.values.dtype for block in blocks], least=0)
    _check_generator(generator)
    drawn = [torch.empty_like(b.values, dtype=_drawn(b.values.dtype)) for b in blocks]
    for new in drawn:
        initialise(new, number, generator)
    for block, new in zip(blocks, drawn, strict=True):
        block.values.copy_(new)
    return module


def _keeping_gate(module: nn.Module, function: str) -> str:
    mode = mode_of(module)
    if mode not in _KEEPS:
        raise ValueError(
            f"module of {function} should be an LSTM or a GRU, got {type(module).__name__}"
        )
    return _KEEPS[mode]


def _bias_pairs(module: nn.Module, gate: str) -> list[tuple[Tensor, Tensor]]:
    """Give the parts of one gate's bias in ``bias_ih`` and ``bias_hh``, by layer and direction."""
    if not module.bias:
        raise ValueError("module should have biases, got one with bias=False")
    bias_ih, bias_hh = (
        [block for block in gate_blocks(module, kind) if block.gate == gate]
        for kind in ("bias_ih", "bias_hh")
    )
    taken = {block.values.data_ptr(): block.name for block in bias_ih}
    for block in bias_hh:
        if block.values.data_ptr() in taken:
            other = taken[block.values.data_ptr()]
            raise ValueError(f"{block.name} should be a parameter of its own, got that of {other}")
    return [(one.values, other.values) for one, other in zip(bias_ih, bias_hh, strict=True)]

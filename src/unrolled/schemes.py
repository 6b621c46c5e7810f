"""Initial values other than PyTorch's, gate by gate, written into a module in place.

``weight_ih`` and ``weight_hh`` of a GRU or an LSTM are stacks: one block of ``hidden_size`` rows
for each gate. `torch.nn.init` treats such a stack as one tall matrix. The functions here split it
into blocks first and then call `torch.nn.init`, for all layers and directions. Their names end in
an underscore, as in `torch.nn.init`. For PyTorch's own initial values see `unrolled.init`.

All checks are made before anything is written. For a module in bfloat16 or half precision, numbers
are drawn in float32 and rounded, because the QR decomposition in `orthogonal_` does not support
reduced precision.
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
_KEEPS = {"LSTM": "f", "GRU": "z"}  # the gate that keeps the old state where it is 1


class Block(NamedTuple):
    """The rows of one gate in one parameter.

    Attributes
    ----------
    name : str
        The parameter, as in ``state_dict``.
    gate : str
        The gate, as in `unrolled.shapes.GATES`; ``"h"`` in a plain RNN.
    values : Tensor, shape (hidden_size, ...)
        A view without gradients: writing to it writes to the parameter.

    Examples
    --------
    >>> Block("bias_ih_l0", "f", torch.zeros(20)).gate
    'f'
    """

    name: str
    gate: str
    values: Tensor


def gate_blocks(module: nn.Module, kind: str) -> list[Block]:
    """Split the parameters of one kind into the blocks of the gates.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM or one of their cells
        From `torch.nn` or from `unrolled`.
    kind : {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
        Which parameters.

    Returns
    -------
    list of Block
        Layer by layer; within a layer, forward before reverse; within a parameter, from top to
        bottom. Empty for the biases of a module that has none.

    Raises
    ------
    TypeError
        If `module` is not recurrent.
    ValueError
        If `kind` is not one of the four, or if values written to a parameter would be lost or end
        up elsewhere: because the parameter is computed, for example by weight normalisation; is on
        the meta device, an inference tensor or expanded; has a shape that does not match the
        module's sizes; or is not floating-point.

    Notes
    -----
    The order is that of `unrolled.shapes.GATES`.

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
    """Fill each gate's block of ``weight_hh`` with a separate orthogonal matrix.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM or one of their cells
        From `torch.nn` or from `unrolled`.
    gain : float, default 1.0
        The value of all singular values of each block, at least 0.
    generator : torch.Generator, optional
        Source of the random numbers; PyTorch's global generator if left out.

    Returns
    -------
    torch.nn.Module
        The same module.

    Raises
    ------
    TypeError, ValueError
        As in `gate_blocks`. Also if `gain` is not a number or `generator` is not a generator
        (``TypeError``), or if `gain` is negative, NaN or too large for the dtype (``ValueError``).
        The module is then unchanged.

    Notes
    -----
    With a projection a block is taller than it is wide, ``(hidden_size, proj_size)``. Its columns
    are then orthogonal, so with a `gain` of 1 the product with it still preserves norms.
    ``weight_hr`` is not changed. Source: A. M. Saxe, J. L. McClelland, S. Ganguli (2014), "Exact
    solutions to the nonlinear dynamics of learning in deep linear neural networks".

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
    """Fill each gate's block of ``weight_ih`` by Xavier's uniform initialisation.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU, torch.nn.LSTM or one of their cells
        From `torch.nn` or from `unrolled`.
    gain : float, default 1.0
        A factor in the bound, at least 0, for example from `torch.nn.init.calculate_gain`.
    generator : torch.Generator, optional
        Source of the random numbers; PyTorch's global generator if left out.

    Returns
    -------
    torch.nn.Module
        The same module.

    Raises
    ------
    TypeError, ValueError
        As in `gate_blocks`. Also if `gain` is not a number or `generator` is not a generator
        (``TypeError``), or if `gain` is negative, NaN or too large for the dtype (``ValueError``).
        The module is then unchanged.

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
    """Set the bias of the gate that keeps the state, so that its two parts add up to `value`.

    Parameters
    ----------
    module : torch.nn.LSTM, torch.nn.GRU or one of their cells
        From `torch.nn` or from `unrolled`. The gate is ``f`` in an LSTM and ``z`` in a GRU; both
        keep the old state where they are 1.
    value : float, default 1.0
        Written to ``bias_ih``. The same rows of ``bias_hh``, which are added to it, are set to 0.

    Returns
    -------
    torch.nn.Module
        The same module.

    Raises
    ------
    TypeError, ValueError
        As in `gate_blocks`. Also if `value` is not a number (``TypeError``), if it is NaN or too
        large for the dtype, or if the module is a plain RNN, has no biases, or has one parameter
        for both biases (``ValueError``). The module is then unchanged.

    Notes
    -----
    Source: F. A. Gers, J. Schmidhuber, F. Cummins (2000), "Learning to forget: continual prediction
    with LSTM". The value 1 is recommended by R. Jozefowicz, W. Zaremba, I. Sutskever (2015), "An
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
    """Vary the biases of the gate that keeps the state, so that units remember for different times.

    Parameters
    ----------
    module : torch.nn.LSTM, torch.nn.GRU or one of their cells
        From `torch.nn` or from `unrolled`.
    longest : float
        The largest number of time steps for which something has to be remembered, at least 2;
        ``T_max`` in the paper.
    generator : torch.Generator, optional
        Source of the random numbers; PyTorch's global generator if left out.

    Returns
    -------
    torch.nn.Module
        The same module.

    Raises
    ------
    TypeError, ValueError
        As in `gate_blocks`. Also if `longest` is not a number or `generator` is not a generator
        (``TypeError``), if `longest` is less than 2, NaN or too large to draw, or if the module is
        a plain RNN, has no biases, or has one parameter for both biases (``ValueError``). The
        module is then unchanged.

    Notes
    -----
    The bias of ``f`` in an LSTM, or of ``z`` in a GRU, is ``log(u)`` with ``u`` sampled uniformly
    between 1 and ``longest - 1``. With this bias alone the gate is ``1 - 1 / (u + 1)``. The bias of
    ``i`` in an LSTM is ``-log(u)``. These values go to ``bias_ih``, and the same rows of
    ``bias_hh`` are set to 0. Source: C. Tallec, Y. Ollivier (2018), "Can recurrent neural networks
    warp time?".

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
        From `torch.nn` or from `unrolled`, with ``nonlinearity="relu"``. A state that is not
        negative then stays the same until an input changes it.
    scale : float, default 1.0
        The value on the diagonal. Below 1, states decay.

    Returns
    -------
    torch.nn.Module
        The same module.

    Raises
    ------
    TypeError, ValueError
        As in `gate_blocks`. Also if `scale` is not a number (``TypeError``), if it is NaN or too
        large for the dtype, or if the module is not a plain RNN with relu (``ValueError``). The
        module is then unchanged.

    Notes
    -----
    ``weight_ih`` is not changed. Source: Q. V. Le, N. Jaitly, G. E. Hinton (2015), "A simple way to
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
    """A learned initial state: one for each layer and direction, shared by all sequences.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU or torch.nn.LSTM
        The module that the initial state is for, from `torch.nn` or from `unrolled`. Only its
        sizes, dtype and device are used.

    Attributes
    ----------
    h_0 : Parameter, shape (D * num_layers, 1, H_out)
        Zeros at first, as if no state were given.
    c_0 : Parameter, shape (D * num_layers, 1, hidden_size), or None
        Also zeros at first; ``None`` unless the module is an LSTM.

    Raises
    ------
    TypeError
        If `module` is none of these.
    ValueError
        If it has no parameters from which to take dtype and device.

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
        """Return ``hx`` for a batch.

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
            If `N` is negative, as in `torch.zeros`.

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
            return state.expand(-1, N, -1).contiguous()  # cuDNN does not take an expanded state

        h_0 = for_all(self.h_0)
        return h_0 if self.c_0 is None else (h_0, for_all(self.c_0))


def _writable(module: nn.Module, name: str) -> Tensor:
    """Return a parameter without its gradient, if values written to it stay."""
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
    """Refuse what is not a number, or too large for a dtype, with room for a factor."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} should be a number, got {type(value).__name__}")
    largest = min(torch.finfo(dtype).max for dtype in dtypes) / 4
    if not max(least, -largest) <= value <= largest:  # type: ignore[operator] # real numbers compare
        at_least = "" if least == -math.inf else f"at least {least} and "
        raise ValueError(f"{name} should be {at_least}finite in the dtype, got {value}")
    return float(value)


def _drawn(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which to draw: float32 for reduced precision, rounded afterwards."""
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
    """Draw all blocks of a kind first, and then write them."""
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
    """List the parts of one gate's bias in ``bias_ih`` and ``bias_hh``, by layer and direction."""
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

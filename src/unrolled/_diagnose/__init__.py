"""Where is my mistake? Compare a hand-written network with PyTorch's, and name what explains it.

A *mistake* is a change of a `Recipe`, which describes one forward pass; the default recipe is
PyTorch's. `diagnose` runs the candidate and the reference, and if they differ, runs the recipe
with each known mistake, then with each pair. A mistake is named only where the changed recipe gives
the numbers of the candidate, on inputs with which it was not found as well.
"""

import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, count, permutations
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unrolled._scan import scan
from unrolled.cells import linear, relu, sigmoid, tanh
from unrolled.layers import State, Weights, mode_of, weights_of
from unrolled.shapes import GATES, Shape, num_directions

__all__ = ["MISTAKES", "Diagnosis", "Explanation", "Mistake", "Recipe", "diagnose"]

Values: TypeAlias = NDArray[np.float64]
Results: TypeAlias = dict[str, Values]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one forward pass is computed. The defaults are PyTorch's way.

    Attributes
    ----------
    parameters : {"reference", "candidate"}
        Whose parameters are used.
    weight_ih, weight_hh : {"transposed", "as stored", "reshaped"}
        What is done to each before the product: transposed; multiplied as it is stored, block by
        block where there are gates; or given the transposed shape without moving a number.
    bias_ih, bias_hh : float
        How often each is added.
    biases : {"own", "merged", "merged inside", "ih for both", "hh for both"}
        What is added to the projected input and to the projected state: to each its own bias; to
        the first the sum of both, and nothing to the second; the other way round; or the same bias
        to both.
    gates : str
        The gates from top to bottom, as they are read; empty for the order of `unrolled.shapes`.
    activation, gate_activation, cell_activation : str
        Names of functions: of the new state or the candidate (empty for PyTorch's), of the gates,
        and between the cell state of an LSTM and its hidden state.
    cell_state : {"new", "old", "squashed"}
        Which cell state makes the hidden state of an LSTM: that after the step, that before it, or
        the activated one, which is then also carried on.
    forget_bias : float
        What is added to the forget gate of an LSTM before its activation.
    reset : {"after", "before", "nowhere"}
        Where the reset gate of a GRU multiplies: the product with the state, the state itself, or
        nothing.
    update : {"keeps", "takes"}
        What an update gate of 1 does in a GRU: keep the old state, or take the candidate.
    products : {"exact", "cut to TF32", "rounded to TF32"}
        How many bits of the operands enter a product.
    carried : str
        Which states go from one step to the next, of ``"hc"``.
    restart : {"given", "zeros"}
        Where a state that is not carried starts each step.
    recorded : {"after", "before"}
        Which hidden state of a step becomes output.
    order : {"forward", "reverse"}
        In which order a single direction runs through time.
    initial : {"given", "zeros", "first", "by direction", "exchanged"}
        Which initial state each layer and direction gets: its own; zeros; that of layer 0; its own,
        if they were ordered by direction first; or, in an LSTM, ``c_0`` for ``h_0`` and vice versa.
    loop : {"time", "batch"}
        Over which dimension the loop runs.
    input : {"transposed", "reshaped"}
        How batch and time of the input are exchanged with ``batch_first``.
    output : {"as it is", "transposed", "reshaped", "flipped"}
        What is done to the output: nothing; batch and time exchanged once too often; exchanged by
        giving another shape; time reversed.
    reverse : {"flipped back", "not flipped back", "forward"}
        The reverse direction: its states put back into the order of time; left in the order in
        which they were computed; or it runs like the forward direction.
    reverse_weights : {"own", "forward"}
        The parameters of the reverse direction.
    side_by_side : {"forward first", "reverse first"}
        In which order the directions are concatenated.
    layers : {"own", "first"}
        The parameters of the layers above layer 0.
    last : {"each its own", "reversed", "by direction", "of the last time step", "exchanged"}
        The final states: of each layer and direction, in their order; in reversed order; ordered by
        direction first; of the reverse direction that of the last time step, not of its last step;
        or, in an LSTM, ``c_n`` for ``h_n`` and vice versa.

    Examples
    --------
    >>> replace(Recipe(), reset="before").reset
    'before'
    """

    parameters: str = "reference"
    weight_ih: str = "transposed"
    weight_hh: str = "transposed"
    bias_ih: float = 1.0
    bias_hh: float = 1.0
    biases: str = "own"
    gates: str = ""
    activation: str = ""
    gate_activation: str = "sigmoid"
    cell_activation: str = "tanh"
    cell_state: str = "new"
    forget_bias: float = 0.0
    reset: str = "after"
    update: str = "keeps"
    products: str = "exact"
    carried: str = "hc"
    restart: str = "given"
    recorded: str = "after"
    order: str = "forward"
    initial: str = "given"
    loop: str = "time"
    input: str = "transposed"
    output: str = "as it is"
    reverse: str = "flipped back"
    reverse_weights: str = "own"
    side_by_side: str = "forward first"
    layers: str = "own"
    last: str = "each its own"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A known mistake: a change of the recipe.

    Attributes
    ----------
    name : str
        A few words.
    says : str
        A sentence or two: what the candidate does, and what PyTorch does.
    page, section : str
        Where the site explains it: a page, and the label of a section there.
    changes : mapping of str to object
        Fields of `Recipe` and their values.
    needs : frozenset of str
        What must be the case for the mistake to be possible, such as ``"GRU"`` or ``"layers"``.

    Examples
    --------
    >>> mistake = next(mistake for mistake in MISTAKES if mistake.name == "reset before the product")
    >>> mistake.changes, mistake.section
    ({'reset': 'before'}, 'gru-which')
    """  # noqa: E501 # an example of one line

    name: str
    says: str
    page: str
    section: str
    changes: Mapping[str, Any]
    needs: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Explanation:
    """One or two mistakes that give the numbers of the candidate.

    Attributes
    ----------
    mistakes : tuple of Mistake
        One, or two that are needed together.
    difference : float
        Largest difference between candidate and reference, on fresh inputs.
    remaining : float
        Largest difference between the candidate and the reference with these mistakes, on the
        same inputs.

    Examples
    --------
    >>> str(Explanation(MISTAKES[:1], 0.5, 1e-16)).splitlines()[0]
    'weight_hh not transposed'
    """

    mistakes: tuple[Mistake, ...]
    difference: float
    remaining: float

    @property
    def name(self) -> str:
        """Name the mistakes.

        Returns
        -------
        str
            Their names, joined by ``" + "``.
        """
        return " + ".join(mistake.name for mistake in self.mistakes)

    def __str__(self) -> str:
        """Say what it is, the evidence, and where to read on."""
        lines = [self.name]
        for mistake in self.mistakes:
            lines += textwrap.wrap(mistake.says, 74, initial_indent="  ", subsequent_indent="  ")
        lines += [
            f"  off from the reference by up to                     {self.difference:.2g}",
            f"  off from the reference with this change by up to    {self.remaining:.2g}",
        ]
        lines += [f"  read {mistake.page}, {mistake.section}" for mistake in self.mistakes]
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What `diagnose` finds; ``print`` shows it as a report.

    Attributes
    ----------
    verdict : {"equal", "rounding", "explained", "unexplained"}
        Equal up to the rounding of the dtype; up to that of float32 although the candidate was
        given float64; different, as known mistakes are; or different in another way.
    candidate, reference : str
        What was compared.
    compared : tuple of str
        The results, such as ``"output"`` and ``"h_n"``.
    sizes : dict of str to int
        ``L`` (not for a cell), ``N``, ``H_in`` and ``H_out``.
    dtype : torch.dtype
        In which the candidate ran.
    difference : float
        Largest difference between candidate and reference, on fresh inputs.
    allowed : float
        The difference, relative to the largest number if that is more than 1, up to which two
        results count as equal.
    explanations : tuple of Explanation
        All single mistakes that explain the difference; if there is none, all pairs, among which
        TF32 is not.
    clues : tuple of str
        Where the results differ, and where they do not.
    invisible : tuple of str
        Known mistakes that the comparison could not see, because with these parameters they change
        nothing.
    notes : tuple of str
        What else is worth knowing.

    Examples
    --------
    >>> rnn = nn.RNN(10, 20)
    >>> diagnosis = diagnose(lambda x: rnn(x)[0].flip(0), rnn)
    >>> diagnosis.verdict, diagnosis.names
    ('explained', ('output in reverse order',))
    """

    verdict: str
    candidate: str
    reference: str
    compared: tuple[str, ...]
    sizes: dict[str, int]
    dtype: torch.dtype
    difference: float
    allowed: float
    explanations: tuple[Explanation, ...] = ()
    clues: tuple[str, ...] = ()
    invisible: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Name the explanations.

        Returns
        -------
        tuple of str
            One name for each.
        """
        return tuple(explanation.name for explanation in self.explanations)

    def __str__(self) -> str:
        """Write the report."""
        sizes = ", ".join(f"{name}={size}" for name, size in self.sizes.items())
        dtype = str(self.dtype).removeprefix("torch.")
        lines = [
            f"candidate  {self.candidate}",
            f"reference  {self.reference}",
            f"compared   {', '.join(self.compared)} in {dtype}, {sizes}",
            f"verdict    {self._sentence()}",
        ]
        for explanation in self.explanations:
            lines += ["", str(explanation)]
        several = ", ".join(self.invisible)
        hidden = [f"With these parameters nothing would show of: {several}."] * bool(several)
        for title, entries in (("clues", self.clues), ("notes", (*self.notes, *hidden))):
            if entries:
                lines += ["", title]
            for entry in entries:
                lines += textwrap.wrap(
                    entry, 74, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False
                )
        return "\n".join(lines)

    def _sentence(self) -> str:
        if self.verdict == "equal":
            return f"equal, up to {self.difference:.2g}"
        if self.verdict == "rounding":
            return f"equal up to the rounding of float32: off by up to {self.difference:.2g}"
        if self.verdict == "unexplained":
            return f"off by up to {self.difference:.2g}; no known mistake, nor two, explain it"
        count = len(self.explanations)
        what = ("one known mistake", "two known mistakes")[len(self.explanations[0].mistakes) - 1]
        return f"explained by {what}" + (f", and {count - 1} more explain it" * (count > 1))


def diagnose(
    candidate: Callable[..., Any],
    reference: nn.RNNBase | nn.RNNCellBase,
    *,
    cell: bool = False,
    L: int | None = None,
    N: int | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Say which known mistake explains why a hand-written network differs from PyTorch's.

    Parameters
    ----------
    candidate : callable
        A function or a module that uses the parameters of `reference`, or copies of them. If
        `reference` is ``torch.nn.RNN``, ``GRU`` or ``LSTM``, one of

        - ``candidate(x, hx) -> (output, h_n)``, as the reference is called; in an LSTM `hx` and
          `h_n` are tuples ``(h_0, c_0)`` and ``(h_n, c_n)``;
        - ``candidate(x, hx) -> output``;
        - ``candidate(x)`` with either result, which starts from zeros. A function that can be
          called with two arguments is called with two.

        `x` has the layout of the reference, ``(L, N, H_in)`` or with ``batch_first``
        ``(N, L, H_in)``. If `reference` is a cell, or with `cell`,
        ``candidate(x_t, state) -> state``, where `x_t` is ``(N, H_in)`` and a state ``(N, H_out)``,
        in an LSTM a tuple of two.
    reference : torch.nn.RNNBase or torch.nn.RNNCellBase
        What the candidate should equal: a module or a cell of ``torch.nn`` or of `unrolled`, with
        any layers and directions, of float32 or float64. It is copied, and evaluated without
        dropout.
    cell : bool, default False
        Whether the candidate is a cell although the reference is a module; this has one layer and
        one direction then.
    L, N : int, optional
        Time steps and sequences, at least 2 of each. By default different from each other and from
        the other sizes, so that a confusion of dimensions does not go unnoticed.
    seed : int, default 0
        Of the inputs. The global generator is left alone.

    Returns
    -------
    Diagnosis
        What was compared, the verdict and the evidence.

    Raises
    ------
    TypeError
        If `candidate` is not callable or takes other arguments, or returns something else;
        if `reference` is not a recurrent module or cell; if `L`, `N` or `seed` is no integer.
    ValueError
        If `reference` has another dtype, or a step of its own; if two calls of `candidate` with the
        same input differ; if `cell` does not fit `reference`; if `L` or `N` is less than 2.
    RuntimeError
        If `candidate` raises an error, with that error as its cause, or returns another shape.

    Notes
    -----
    The candidate runs in float64 if it can: as a rule a module can, because a copy of it is
    converted, and a function that uses float32 parameters cannot. It is called with states that are
    not zero and with zeros; one of the sequences has large numbers, so that activations saturate.
    If it fails with ``N`` and ``L`` different from each other, it is tried with equal ones.

    Examples
    --------
    >>> gru = nn.GRUCell(10, 20)
    >>> W_ih, W_hh, b_ih, b_hh = gru.parameters()
    >>> def cell(x, h):
    ...     r_x, z_x, n_x = (x @ W_ih.T + b_ih).chunk(3, dim=1)
    ...     r_h, z_h, n_h = (h @ W_hh.T + b_hh).chunk(3, dim=1)
    ...     r, z = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
    ...     return (1 - z) * h + z * torch.tanh(n_x + r * n_h)
    >>> diagnose(cell, gru).names
    ('z and 1 - z exchanged',)
    """
    if not callable(candidate):
        raise TypeError(f"candidate should be callable, got {type(candidate).__name__}")
    _check_reference(reference, cell)
    for name, size in (("L", L), ("N", N), ("seed", seed)):
        if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
            raise TypeError(f"{name} should be an integer, got {type(size).__name__}")
        if name != "seed" and size is not None and size < 2:
            raise ValueError(f"{name} should be at least 2, got {size}")
    network = _Network.of(reference, candidate, cell, L, N)
    run, network, dtype, notes = _running(candidate, reference, network, seed)

    truth = _reference_in(reference, torch.float64, network)
    cases = []
    for fresh in (False, True):
        for zero in (False, True) if network.takes_state else (True,):
            probe = _Probe.draw(network, seed + fresh, zero)
            measured = run(probe)
            right = truth(probe)
            cases.append(_Case(probe, measured, {name: right[name] for name in measured}, fresh))
    search = cases[0]
    for case in cases:
        if case.measured.keys() != search.measured.keys():
            raise TypeError(
                "candidate should return the same results at each call, got "
                f"{', '.join(search.measured)} and then {', '.join(case.measured)}"
            )
    network = replace(network, compared=tuple(search.measured))
    _check_deterministic(run(search.probe), search.measured)
    if any(_off(network.run(Recipe(), case.probe), case.expected) > 1e-9 for case in cases):
        raise ValueError(f"reference should compute what torch.nn does, got {reference}")

    in_single = all(_is_single(values) for case in cases for values in case.measured.values())
    if in_single and dtype == torch.float64:
        notes.append("All numbers that came back are float32, though float64 was given.")
    rounding = _rounding_of_single(reference, network, cases)
    allowed = rounding if in_single else _EXACT
    worst = max(_off(case.measured, case.expected) for case in cases)
    diagnosis = Diagnosis(
        verdict="unexplained",
        candidate=getattr(candidate, "__qualname__", type(candidate).__name__),
        reference=str(reference),
        compared=network.compared,
        sizes=network.sizes,
        dtype=dtype,
        difference=max(_gap(case.measured, case.expected) for case in cases if case.fresh),
        allowed=allowed,
        notes=tuple(notes),
    )
    known = [mistake for mistake in MISTAKES if mistake.needs <= network.facts]
    changed = [network.run(replace(Recipe(), **one.changes), search.probe) for one in known]
    shows = [_off(results, search.expected) > allowed for results in changed]
    if worst <= allowed:
        return replace(
            diagnosis,
            verdict="rounding" if in_single and dtype == torch.float64 else "equal",
            invisible=tuple(one.name for one, seen in zip(known, shows, strict=True) if not seen),
        )
    visible = [one for one, seen in zip(known, shows, strict=True) if seen]
    found = _explanations(network, cases, visible, allowed, worst)
    clues = [*_clues(network, cases, allowed)]
    if worst <= rounding:
        clues.append("The difference is no larger than the rounding of float32.")
    return replace(
        diagnosis,
        verdict="explained" if found else "unexplained",
        explanations=found,
        clues=tuple(clues),
    )


_EXACT = 1e-10  # what rounding in float64 leaves, with room
_SINGLE = 1e-6  # at least that, in float32


# The readable forward pass, with a branch for each mistake.


def _as_read(recipe: Recipe, mode: str, weights: Weights[Any]) -> Weights[Any]:
    """Change the parameters so that the right formula does what the candidate does."""
    weight_ih, weight_hh, bias_ih, bias_hh, weight_hr = weights
    parts = {
        "weight_ih": _as_multiplied(recipe.weight_ih, weight_ih, len(GATES[mode])),
        "weight_hh": _as_multiplied(recipe.weight_hh, weight_hh, len(GATES[mode])),
    }
    if bias_ih is not None and bias_hh is not None:
        bias_ih, bias_hh = recipe.bias_ih * bias_ih, recipe.bias_hh * bias_hh
        bias_ih, bias_hh = {
            "own": (bias_ih, bias_hh),
            "merged": (bias_ih + bias_hh, 0 * bias_hh),
            "merged inside": (0 * bias_ih, bias_ih + bias_hh),
            "ih for both": (bias_ih, bias_ih),
            "hh for both": (bias_hh, bias_hh),
        }[recipe.biases]
        parts |= {"bias_ih": bias_ih, "bias_hh": bias_hh}
    if recipe.gates:
        rows = [recipe.gates.index(gate) for gate in GATES[mode]]
        for name, part in parts.items():
            blocks = part.reshape(len(rows), -1, *part.shape[1:])
            parts[name] = blocks[rows].reshape(part.shape)
    return Weights(**parts, weight_hr=weight_hr)


def _as_multiplied(how: str, weight: Values, gates: int) -> Values:
    if how == "as stored":
        blocks = weight.reshape(gates, -1, weight.shape[1])  # each square
        return blocks.swapaxes(1, 2).reshape(weight.shape)
    if how == "reshaped":
        return weight.reshape(weight.shape[::-1]).T
    return weight


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
    "nothing": lambda a: a,
    "hard sigmoid of Keras 2": lambda a: np.clip(0.2 * a + 0.5, 0, 1),
    "hard sigmoid of PyTorch": lambda a: np.clip(a / 6 + 0.5, 0, 1),
}


def _parts(a: Values, count: int) -> Values:
    """Cut the features into equal parts, side by side before, one after the other now."""
    return np.moveaxis(a.reshape(*a.shape[:-1], count, -1), -2, 0)


def _step(
    recipe: Recipe,
    mode: str,
    x_projected: Values,
    state: State,
    weights: Weights[Any],
    product: Callable[..., Values],
) -> State:
    """Take one step from projected input."""
    _, weight_hh, _, bias_hh, weight_hr = weights
    h = state[0]
    default = "relu" if mode == "RNN_RELU" else "tanh"
    activation = _FUNCTIONS[recipe.activation or default]
    gate = _FUNCTIONS[recipe.gate_activation]
    h_projected = product(h, weight_hh, bias_hh)  # (N, gate_size)
    if mode == "LSTM":
        c = state[1]
        i, f, g, o = _parts(h_projected + x_projected, 4)  # (N, hidden_size) each
        i, f, g, o = gate(i), gate(f + recipe.forget_bias), activation(g), gate(o)
        c_t = f * c + i * g
        squashed = _FUNCTIONS[recipe.cell_activation](c if recipe.cell_state == "old" else c_t)
        h_t = o * squashed
        if weight_hr is not None:
            h_t = product(h_t, weight_hr)
        return h_t, squashed if recipe.cell_state == "squashed" else c_t
    if mode == "GRU":
        r_x, z_x, n_x = _parts(x_projected, 3)  # (N, H_out) each
        r_h, z_h, n_h = _parts(h_projected, 3)  # (N, H_out) each
        r, z = gate(r_x + r_h), gate(z_x + z_h)
        if recipe.reset == "after":
            n_h = r * n_h
        elif recipe.reset == "before":
            rows = slice(2 * h.shape[-1], None)  # of n
            bias = None if bias_hh is None else bias_hh[rows]
            n_h = product(r * h, weight_hh[rows], bias)
        n = activation(n_x + n_h)
        keeps = z if recipe.update == "keeps" else 1 - z
        return ((1 - keeps) * n + keeps * h,)
    return (activation(h_projected + x_projected),)


def _direction(
    recipe: Recipe,
    mode: str,
    inputs: Values,
    initial: State,
    weights: Weights[Any],
    direction: int,
) -> tuple[list[State], State]:
    """Run one layer in one direction; give the states that become output, and the final one."""
    weights = _as_read(recipe, mode, weights)
    product = linear if recipe.products == "exact" else _TF32[recipe.products]
    restart = tuple(map(np.zeros_like, initial)) if recipe.restart == "zeros" else initial

    def advance(x_projected: Values, state: State) -> State:
        before = tuple(
            now if name in recipe.carried else start
            for name, now, start in zip("hc", state, restart, strict=False)
        )
        return _step(recipe, mode, x_projected, before, weights, product)

    reverse = recipe.reverse != "forward" if direction == 1 else recipe.order == "reverse"
    projected = product(inputs, weights.weight_ih, weights.bias_ih)  # (L, N, gate_size)
    states, last = scan(advance, projected, initial, reverse)
    if recipe.recorded == "before":
        states = [*states[1:], initial] if reverse else [initial, *states[:-1]]
    if direction == 1:
        if recipe.last == "of the last time step":
            last = states[-1]
        if recipe.reverse == "not flipped back":
            states = states[::-1]
    return states, last


def _cut(a: Values) -> Values:
    """Drop all but 10 bits of the mantissa, as TF32 does."""
    mantissa, exponent = np.frexp(a)
    return np.ldexp(np.trunc(np.ldexp(mantissa, 11)), exponent - 11)


def _round(a: Values) -> Values:
    """Round the mantissa to 10 bits."""
    mantissa, exponent = np.frexp(a)
    return np.ldexp(np.rint(np.ldexp(mantissa, 11)), exponent - 11)


_TF32: dict[str, Callable[..., Values]] = {
    "cut to TF32": lambda x, weight, bias=None: linear(_cut(x), _cut(weight), bias),
    "rounded to TF32": lambda x, weight, bias=None: linear(_round(x), _round(weight), bias),
}


@dataclass(frozen=True)
class _Probe:
    """One input with its initial states, laid out as the candidate gets them, in NumPy."""

    x: Values
    states: tuple[Values, ...]
    zero: bool

    @staticmethod
    def draw(network: "_Network", seed: int, zero: bool) -> "_Probe":
        generator = torch.Generator().manual_seed(seed)
        N = network.N
        steps = (N, network.L) if network.batch_first else (network.L, N)
        shape = (N,) if network.cell else steps
        x = torch.randn(*shape, network.H_in, generator=generator).double().numpy()
        large = x[-1] if network.cell else x[-1:] if network.batch_first else x[:, -1]
        large *= 10  # saturates the activations
        rows = (N,) if network.cell else (network.D * network.num_layers, N)
        states = tuple(
            torch.randn(*rows, width, generator=generator).double().numpy() * (not zero)
            for width in network.widths
        )
        return _Probe(x, states, zero)


@dataclass(frozen=True)
class _Network:
    """What a recipe needs to know of the reference, and of the way in which it is compared."""

    mode: str
    cell: bool
    batch_first: bool
    D: int
    layers: list[list[Weights[Any]]]
    own: list[list[Weights[Any]]] | None  # parameters of the candidate, if they are others
    takes_state: bool
    L: int
    N: int
    compared: tuple[str, ...] = ()

    @staticmethod
    def of(
        reference: nn.RNNBase | nn.RNNCellBase,
        candidate: Callable[..., Any],
        cell: bool,
        L: int | None,
        N: int | None,
    ) -> "_Network":
        module = reference if isinstance(reference, nn.RNNBase) else None
        layers = _parameters(reference)
        sizes = {size for directions in layers for size in directions[0].weight_ih.shape}
        sizes |= {reference.input_size, reference.hidden_size, layers[0][0].weight_hh.shape[1]}
        if N is None:
            N = next(size for size in count(3) if size not in sizes | {L})
        if L is None:
            L = next(size for size in count(5) if size not in sizes | {N})
        return _Network(
            mode=mode_of(reference),
            cell=cell or module is None,
            batch_first=module is not None and module.batch_first and not cell,
            D=1 if module is None else num_directions(module.bidirectional),
            layers=layers,
            own=_own_parameters(candidate, reference),
            takes_state=_takes_state(candidate, cell or module is None),
            L=L,
            N=N,
        )

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def H_in(self) -> int:  # noqa: N802 # its name everywhere
        return int(self.layers[0][0].weight_ih.shape[1])

    @property
    def widths(self) -> tuple[int, ...]:
        """Give the sizes of h and, in an LSTM, of c."""
        H_out = int(self.layers[0][0].weight_hh.shape[1])
        hidden_size = len(self.layers[0][0].weight_hh) // len(GATES[self.mode])
        return (H_out, hidden_size) if self.mode == "LSTM" else (H_out,)

    @property
    def sizes(self) -> dict[str, int]:
        steps = {} if self.cell else {"L": self.L}
        return {**steps, "N": self.N, "H_in": self.H_in, "H_out": self.widths[0]}

    @cached_property
    def facts(self) -> frozenset[str]:
        """Say which conditions of mistakes are met."""
        first = self.layers[0][0]
        shapes = {weights.weight_ih.shape for layer in self.layers for weights in layer}
        size = len(first.weight_hh) // len(GATES[self.mode])
        facts = {
            self.mode: True,
            self.mode.partition("_")[0]: True,  # RNN, of RNN_TANH
            "gates": len(GATES[self.mode]) > 1,
            "sequence": not self.cell,
            "hx": self.takes_state,
            "bias": first.bias_ih is not None,
            "output": "output" in self.compared,
            "H_in = H_out": all(columns == size for _, columns in shapes),
            "weight_ih not square": any(rows != columns for rows, columns in shapes),
            "H_out = hidden_size": first.weight_hr is None,
            "directions": self.D == 2,
            "one direction": self.D == 1,
            "layers": self.num_layers > 1,
            "several states": self.D * self.num_layers > 1,
            "layers alike": len(shapes) == 1,
            "N = L": self.N == self.L,
            "N not L": self.N != self.L,
            "N = L or no hx": self.N == self.L or not self.takes_state,
            "batch_first": self.batch_first,
            "h_n": "h_n" in self.compared or self.cell,
            "own parameters": self.own is not None,
        }
        return frozenset(fact for fact, is_so in facts.items() if is_so)

    @np.errstate(over="ignore", invalid="ignore")  # some mistakes let the state grow
    def run(self, recipe: Recipe, probe: _Probe) -> Results:
        """Compute what a candidate with these mistakes returns."""
        x, states = probe.x, probe.states
        if self.cell:
            x, states = x[None], tuple(state[None] for state in states)
        second = self.batch_first != (recipe.loop == "batch")  # whether the loop takes the second
        inputs = np.swapaxes(x, 0, 1) if second else x
        if recipe.input == "reshaped":
            inputs = x.reshape(inputs.shape)
        if states[0].shape[1] != inputs.shape[1]:  # only where the candidate makes its own zeros
            states = tuple(np.zeros((len(s), inputs.shape[1], s.shape[2])) for s in states)
        if recipe.initial == "exchanged":
            states = states[::-1]

        own = self.layers if recipe.parameters == "reference" else self.own
        assert own is not None  # see needs
        last: list[State] = []
        for layer in range(self.num_layers):
            ran = []
            for direction in range(self.D):
                weights = own[0 if recipe.layers == "first" else layer][
                    0 if recipe.reverse_weights == "forward" else direction
                ]
                place = {
                    "first": 0,
                    "by direction": direction * self.num_layers + layer,
                }.get(recipe.initial, layer * self.D + direction)
                factor = 0.0 if recipe.initial == "zeros" else 1.0
                initial = tuple(factor * part[place] for part in states)
                ran.append(_direction(recipe, self.mode, inputs, initial, weights, direction))
            last += [state for _, state in ran]
            if recipe.side_by_side == "reverse first":
                ran.reverse()
            inputs = np.concatenate(
                [np.stack([state[0] for state in every]) for every, _ in ran], -1
            )
        return self._laid_out(recipe, inputs, last, second)

    def _laid_out(self, recipe: Recipe, output: Values, last: list[State], second: bool) -> Results:
        if recipe.last == "reversed":
            last = last[::-1]
        if recipe.last == "by direction":
            last = [state for direction in range(self.D) for state in last[direction :: self.D]]
        finals = [np.stack(parts) for parts in zip(*last, strict=True)]
        if recipe.last == "exchanged":
            finals.reverse()
        if self.cell:
            return dict(zip(("h", "c"), (part[0] for part in finals), strict=False))
        if recipe.output == "flipped":
            output = output[::-1]
        right = np.swapaxes(output, 0, 1)
        laid_out = right if second else output
        if recipe.output == "transposed":
            laid_out = np.swapaxes(laid_out, 0, 1)
        if recipe.output == "reshaped":
            laid_out = (output if second else right).reshape(laid_out.shape)
        results = {"output": laid_out, **dict(zip(("h_n", "c_n"), finals, strict=False))}
        return {name: results[name] for name in self.compared or results}


# Running the candidate and the reference.

_Run: TypeAlias = Callable[[_Probe], Results]


def _running(
    candidate: Callable[..., Any],
    reference: nn.RNNBase | nn.RNNCellBase,
    network: _Network,
    seed: int,
) -> tuple[_Run, _Network, torch.dtype, list[str]]:
    """Find the best way in which the candidate runs: in float64, with different N and L."""
    ways = [(_in_double(candidate), torch.float64), (candidate, _first_weight(reference).dtype)]
    device = _first_weight(reference).device
    failures: list[RuntimeError] = []
    square = replace(network, N=network.L)
    for tried in [network] if network.cell or network.N == network.L else [network, square]:
        for function, dtype in ways:
            notes: list[str] = []
            run = _calling(function, tried, dtype, device, notes)
            try:
                run(_Probe.draw(tried, seed, zero=not tried.takes_state))
            except RuntimeError as error:
                failures.append(error)
                continue
            if tried is square:
                notes.append(f"It runs only where N = L. Otherwise: {failures[1]}.")
            return run, tried, dtype, notes
    raise failures[1]  # in its own dtype, with different sizes


def _in_double(candidate: Callable[..., Any]) -> Callable[..., Any]:
    if not isinstance(candidate, nn.Module):
        return candidate
    try:
        return copy.deepcopy(candidate).double()
    except RuntimeError:  # of a tensor that somebody computes
        return candidate


def _calling(
    function: Callable[..., Any],
    network: _Network,
    dtype: torch.dtype,
    device: torch.device,
    notes: list[str],
) -> _Run:
    """Give a function that runs the candidate on a probe and names what comes back."""

    def run(probe: _Probe) -> Results:
        x, *states = (
            torch.tensor(array, dtype=dtype, device=device) for array in (probe.x, *probe.states)
        )
        hx = tuple(states) if network.mode == "LSTM" else states[0]
        try:
            with torch.no_grad():
                returned = function(x, hx) if network.takes_state else function(x)
        except Exception as error:
            raise RuntimeError(
                f"candidate raised {type(error).__name__} for x of shape {tuple(x.shape)} and "
                f"{dtype}: {error}"
            ) from error
        return _named(returned, network, notes)

    return run


def _named(returned: Any, network: _Network, notes: list[str]) -> Results:
    """Name what a candidate returned, and refuse what does not fit."""
    N, rows = network.N, network.D * network.num_layers
    widths = dict(zip(("h", "c") if network.cell else ("h_n", "c_n"), network.widths, strict=False))
    many = len(widths) == 2
    states = f"({', '.join(widths)})" if many else next(iter(widths))
    if network.cell:
        expected = f"{states} as {'a tuple' if many else 'a Tensor'}"
        parts = returned if many else (returned,)
        shapes: dict[str, Shape] = {name: (N, width) for name, width in widths.items()}
    else:
        expected = f"a Tensor, output, or a tuple (output, {states})"
        time_major = (network.L, N, network.D * network.widths[0])
        output = (N, network.L, time_major[2]) if network.batch_first else time_major
        shapes = {name: (rows, N, width) for name, width in widths.items()}
        if isinstance(returned, Tensor):
            parts, shapes = (returned,), {"output": output}
        else:
            shapes = {"output": output, **shapes}
            parts = returned
            if many and _is_pair(returned) and _is_pair(returned[1]):
                parts = (returned[0], *returned[1])
    if not (
        isinstance(parts, tuple | list)
        and len(parts) == len(shapes)
        and all(isinstance(part, Tensor) for part in parts)
    ):
        raise TypeError(f"candidate should return {expected}, got {_described(returned)}")
    results = {}
    for (name, shape), part in zip(shapes.items(), parts, strict=True):
        if name in ("h_n", "c_n") and rows == 1 and part.shape == shape[1:]:
            note = f"{name} has no first dimension for the layer: {shape[1:]} instead of {shape}."
            notes += [note] * (note not in notes)
            part = part[None]
        if part.shape != shape:
            raise RuntimeError(
                f"candidate should return {name} of shape {shape}, got {tuple(part.shape)}"
            )
        results[name] = part.detach().cpu().double().numpy()
    return results


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2


def _described(value: object) -> str:
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {', '.join(map(_described, value)) or 'nothing'}"
    return type(value).__name__


def _reference_in(
    reference: nn.RNNBase | nn.RNNCellBase, dtype: torch.dtype, network: _Network
) -> _Run:
    """Give a function that runs a copy of the reference on a probe, always with states."""
    module = copy.deepcopy(reference).to(dtype).eval()

    def as_cell(x: Tensor, hx: Any) -> Any:
        single = network.mode != "LSTM"
        given = hx[None] if single else tuple(part[None] for part in hx)
        _, last = module(x[:, None] if module.batch_first else x[None], given)
        return last[0] if single else tuple(part[0] for part in last)

    looped = network.cell and isinstance(reference, nn.RNNBase)
    with_states = replace(network, takes_state=True)
    device = _first_weight(reference).device
    return _calling(as_cell if looped else module, with_states, dtype, device, [])


def _first_weight(reference: nn.RNNBase | nn.RNNCellBase) -> Tensor:
    weight = reference.weight_ih_l0 if isinstance(reference, nn.RNNBase) else reference.weight_ih
    assert isinstance(weight, Tensor)
    return weight


def _parameters(reference: nn.RNNBase | nn.RNNCellBase) -> list[list[Weights[Any]]]:
    return weights_of(reference, lambda parameter: parameter.detach().cpu().double().numpy())


def _own_parameters(
    candidate: Callable[..., Any], reference: nn.RNNBase | nn.RNNCellBase
) -> list[list[Weights[Any]]] | None:
    """Give the parameters of a candidate that names them as PyTorch does, if they are others."""
    if not isinstance(candidate, nn.Module):
        return None
    theirs, ours = dict(candidate.named_parameters()), dict(reference.named_parameters())
    if {n: p.shape for n, p in theirs.items()} != {n: p.shape for n, p in ours.items()}:
        return None
    if all(torch.equal(theirs[name], ours[name]) for name in ours):
        return None
    other = copy.deepcopy(reference)
    other.load_state_dict(theirs)
    return _parameters(other)


def _takes_state(candidate: Callable[..., Any], cell: bool) -> bool:
    called = candidate.forward if isinstance(candidate, nn.Module) else candidate
    try:
        signature = inspect.signature(called)
    except (TypeError, ValueError):  # of something built in
        return True
    for arguments in (2,) if cell else (2, 1):
        try:
            signature.bind(*range(arguments))
        except TypeError:
            continue
        return arguments == 2
    wanted = "(x_t, state)" if cell else "(x, hx) or (x)"
    raise TypeError(f"candidate should take {wanted}, got a signature {signature}")


def _check_reference(reference: object, cell: bool) -> None:
    if not isinstance(reference, nn.RNNBase | nn.RNNCellBase):
        raise TypeError(
            "reference should be a recurrent module or cell of torch.nn, got "
            f"{type(reference).__name__}"
        )
    for name, parameter in reference.named_parameters():
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ValueError(
                f"reference should have parameters of float32 or float64, got {parameter.dtype} "
                f"as {name}"
            )
    several = isinstance(reference, nn.RNNBase) and (
        reference.num_layers > 1 or reference.bidirectional
    )
    if cell and several:
        raise ValueError(
            f"cell should be False for more than one layer or direction, got {reference}"
        )


# Comparing.


@dataclass(frozen=True)
class _Case:
    """A probe, what the candidate makes of it, and what the reference does."""

    probe: _Probe
    measured: Results
    expected: Results
    fresh: bool  # not used in the search


def _gap(results: Results, wanted: Results) -> float:
    """Give the largest difference; infinity where something is not finite, or of another shape."""
    return max(_gap_of(results[name], wanted[name]) for name in results)


def _gap_of(values: Values, wanted: Values) -> float:
    if values.shape != wanted.shape:
        return float("inf")
    gap = float(np.abs(values - wanted).max())
    return float("inf") if np.isnan(gap) else gap


def _off(results: Results, wanted: Results) -> float:
    """Give the largest difference, relative to numbers larger than 1."""
    largest = max(float(np.abs(values).max()) for values in wanted.values())
    return _gap(results, wanted) / max(1.0, largest)


def _is_single(values: Values) -> bool:
    """Tell whether every number is one of float32."""
    return np.array_equal(values, values.astype(np.float32))


def _rounding_of_single(
    reference: nn.RNNBase | nn.RNNCellBase, network: _Network, cases: Sequence[_Case]
) -> float:
    """Give a multiple of what the reference itself loses in float32."""
    run = _reference_in(reference, torch.float32, network)
    return max(_SINGLE, *(16 * _off(case.expected, run(case.probe)) for case in cases))


def _check_deterministic(again: Results, results: Results) -> None:
    gap = _gap(again, results)
    if gap > 0 and not any(np.isnan(values).any() for values in results.values()):
        raise ValueError(
            "candidate should return the same for the same input, got two results that differ by "
            f"up to {gap:.2g}: is dropout on (candidate.eval() turns it off), or does a state stay "
            "between calls?"
        )


def _explanations(
    network: _Network,
    cases: Sequence[_Case],
    mistakes: Sequence[Mistake],
    allowed: float,
    worst: float,
) -> tuple[Explanation, ...]:
    """Try the mistakes one by one and, if none explains all cases, in pairs."""

    def explanation(*tried: Mistake) -> Explanation | None:
        recipe = Recipe()
        for mistake in tried:
            recipe = replace(recipe, **mistake.changes)
        # Of a difference near that of rounding, nearly all must be explained. With TF32 an operand
        # on the edge between two numbers may fall to either side.
        limit = min(allowed, worst / 50) if recipe.products == "exact" else min(worst / 10, 0.01)
        remaining = 0.0
        for case in cases:
            wanted = network.run(recipe, case.probe)
            if _off(case.measured, wanted) > limit:
                return None
            if case.fresh:
                remaining = max(remaining, _gap(case.measured, wanted))
        difference = max(_gap(case.measured, case.expected) for case in cases if case.fresh)
        return Explanation(tried, difference, remaining)

    found = [explanation(one) for one in mistakes]
    if not any(found):
        found = [
            explanation(one, other)
            for one, other in combinations(mistakes, 2)
            if "products" not in {**one.changes, **other.changes}
            and not one.changes.keys() & other.changes
        ]
    return tuple(one for one in found if one)


def _clues(network: _Network, cases: Sequence[_Case], allowed: float) -> Iterator[str]:
    """Say where the results differ and where they do not."""
    results, wanted = cases[0].measured, cases[0].expected
    if not all(np.isfinite(values).all() for values in results.values()):
        yield "Some numbers are infinite or not numbers."
    for name in results if len(results) > 1 else ():
        gap = _gap_of(results[name], wanted[name])
        yield f"{name} {'is right' if gap <= allowed else f'is off by up to {gap:.2g}'}."
    if "output" in results:
        apart = np.abs(results["output"] - wanted["output"])
        if network.batch_first:
            apart = apart.swapaxes(0, 1)
        wrong = ~(apart.max(axis=(1, 2)) <= allowed)  # (L,), true where it is no number
        if wrong.any() and not wrong.all():
            steps = ", ".join(str(t + 1) for t in np.flatnonzero(wrong))
            yield f"Of the {network.L} time steps these are wrong: {steps}."
        halves = [~(half.max() <= allowed) for half in np.split(apart, network.D, -1)]
        if any(halves) and not all(halves):
            yield f"Only the {'reverse' if halves[1] else 'forward'} half of the features is wrong."
    from_zero = cases[1]  # the last two are fresh
    if network.takes_state and _off(from_zero.measured, from_zero.expected) <= allowed:
        yield "From states of zero everything is right."


# The known mistakes.

_CLAIMS, _ONE_STEP = "walkthrough/claims", "walkthrough/one_step"
_LSTM, _GRU = "module/lstm", "module/gru"
_STATES, _LAYERS = "module/states", "module/layers"


def _mistake(
    name: str, says: str, page: str, section: str, needs: str = "", /, **changes: Any
) -> Mistake:
    return Mistake(name, says, page, section, changes, frozenset(filter(None, needs.split("; "))))


_ORDERS = {
    "igfo": "as TensorFlow 1 did",
    "iofg": "as ONNX does",
    "zrn": "as Keras and ONNX do",
}


def _gate_orders(mode: str) -> Iterator[Mistake]:
    """Give every wrong order of the gates."""
    right = GATES[mode]
    page, section = (_LSTM, "lstm-formulas") if mode == "LSTM" else (_GRU, "gru")
    for order in permutations(right):
        if order != right:
            also = _ORDERS.get("".join(order), "")
            says = (
                f"The blocks of the parameters are read as {' '.join(order)}, from top to bottom"
                f"{f', {also}' if also else ''}. PyTorch has {' '.join(right)}."
            )
            name = f"gates read as {' '.join(order)}"
            yield _mistake(name, says, page, section, mode, gates="".join(order))


MISTAKES: tuple[Mistake, ...] = (
    _mistake(
        "weight_hh not transposed",
        "The state is multiplied by weight_hh as it is stored, (new, old). PyTorch multiplies by "
        "its transpose. Each block is square, so both products are legal.",
        _CLAIMS, "claim-s5", "H_out = hidden_size", weight_hh="as stored",
    ),
    _mistake(
        "weight_ih not transposed",
        "The input is multiplied by weight_ih as it is stored, (out, in). PyTorch multiplies by "
        "its transpose. With as many features in as out, both products are legal.",
        _CLAIMS, "claim-s13", "H_in = H_out", weight_ih="as stored",
    ),
    _mistake(
        "weight_hh reshaped",
        "weight_hh gets the shape of its transpose by view or reshape, which leaves the numbers "
        "in their old order.",
        "walkthrough/matrix_multiplication", "matrix-multiplication", "gates",
        weight_hh="reshaped",
    ),
    _mistake(
        "weight_ih reshaped",
        "weight_ih gets the shape of its transpose by view or reshape, which leaves the numbers "
        "in their old order.",
        "walkthrough/matrix_multiplication", "matrix-multiplication",
        "weight_ih not square", weight_ih="reshaped",
    ),
    _mistake(
        "parameters of its own",
        "The formula is right and the parameters are others: those of the candidate have the names "
        "and shapes of the reference's, and not their values. load_state_dict copies them.",
        "walkthrough/initialisation", "initialisation", "own parameters", parameters="candidate",
    ),
    *_gate_orders("LSTM"),
    *_gate_orders("GRU"),
    _mistake(
        "bias_ih missing", "bias_ih is not added.",
        _CLAIMS, "claim-s7", "bias", bias_ih=0.0,
    ),
    _mistake(
        "bias_hh missing", "bias_hh is not added.",
        _CLAIMS, "claim-s7", "bias", bias_hh=0.0,
    ),
    _mistake(
        "both biases missing", "Neither bias_ih nor bias_hh is added.",
        _CLAIMS, "claim-s7", "bias", bias_ih=0.0, bias_hh=0.0,
    ),
    _mistake(
        "bias_ih added twice", "bias_ih is added twice, and bias_hh once.",
        _CLAIMS, "claim-s7", "bias", bias_ih=2.0,
    ),
    _mistake(
        "bias_hh added twice", "bias_hh is added twice, and bias_ih once.",
        _CLAIMS, "claim-s7", "bias", bias_hh=2.0,
    ),
    _mistake(
        "both biases added twice", "bias_ih and bias_hh are added twice each.",
        _CLAIMS, "claim-s7", "bias", bias_ih=2.0, bias_hh=2.0,
    ),
    _mistake(
        "bias_ih in place of bias_hh", "bias_ih is added in both places, and bias_hh nowhere.",
        _CLAIMS, "claim-s7", "bias", biases="ih for both",
    ),
    _mistake(
        "bias_hh in place of bias_ih", "bias_hh is added in both places, and bias_ih nowhere.",
        _CLAIMS, "claim-s7", "bias", biases="hh for both",
    ),
    _mistake(
        "biases merged",
        "bias_ih and bias_hh are one vector, added to the projected input. In PyTorch's GRU the "
        "last part of bias_hh is multiplied by the reset gate.",
        _GRU, "gru-biases", "GRU; bias", biases="merged",
    ),
    _mistake(
        "biases merged inside the reset",
        "bias_ih and bias_hh are one vector, added to the projected state. In PyTorch's GRU the "
        "last part of bias_ih is not multiplied by the reset gate.",
        _GRU, "gru-biases", "GRU; bias", biases="merged inside",
    ),
    _mistake(
        "relu in place of tanh", "The activation is relu. The reference has tanh.",
        _ONE_STEP, "one-step", "RNN_TANH", activation="relu",
    ),
    _mistake(
        "tanh in place of relu", "The activation is tanh. The reference has relu.",
        _ONE_STEP, "one-step", "RNN_RELU", activation="tanh",
    ),
    _mistake(
        "sigmoid as the activation", "The activation is a sigmoid. The reference has another.",
        _ONE_STEP, "one-step", "RNN", activation="sigmoid",
    ),
    _mistake(
        "no activation", "The sum becomes the new state as it is, without an activation.",
        _ONE_STEP, "one-step", "RNN", activation="nothing",
    ),
    *(
        _mistake(
            name, f"The candidate g, in a GRU n, is {what}. PyTorch takes its tanh.",
            _LSTM, "lstm-formulas", "gates", activation=activation,
        )
        for name, what, activation in (
            ("sigmoid on the candidate", "the sigmoid of its sum", "sigmoid"),
            ("relu on the candidate", "the relu of its sum", "relu"),
            ("no activation on the candidate", "its sum, without an activation", "nothing"),
        )
    ),
    *(
        _mistake(
            name, f"The gates are {what}. PyTorch takes their sigmoid.",
            _LSTM, "lstm-formulas", "gates", gate_activation=activation,
        )
        for name, what, activation in (
            ("no sigmoid on the gates", "their sums, without an activation", "nothing"),
            ("tanh on the gates", "the tanh of their sums", "tanh"),
            ("hard sigmoid of Keras 2", "clip(0.2 a + 0.5, 0, 1) of their sums a",
             "hard sigmoid of Keras 2"),
            ("hard sigmoid of PyTorch", "clip(a / 6 + 0.5, 0, 1) of their sums a",
             "hard sigmoid of PyTorch"),
        )
    ),
    _mistake(
        "no tanh on the cell state",
        "The hidden state is o * c. PyTorch has o * tanh(c).",
        _LSTM, "lstm-formulas", "LSTM", cell_activation="nothing",
    ),
    _mistake(
        "sigmoid on the cell state",
        "The hidden state is o * sigmoid(c). PyTorch has o * tanh(c).",
        _LSTM, "lstm-formulas", "LSTM", cell_activation="sigmoid",
    ),
    _mistake(
        "old cell state in the output",
        "The hidden state is made from the cell state before the step. PyTorch takes the new one.",
        _LSTM, "lstm-formulas", "LSTM", cell_state="old",
    ),
    _mistake(
        "tanh kept in the cell state",
        "The tanh of the cell state is carried to the next step. PyTorch carries the cell state.",
        _LSTM, "lstm-formulas", "LSTM", cell_state="squashed",
    ),
    _mistake(
        "1 added to the forget gate",
        "The sum of the forget gate gets 1 more, as TensorFlow 1 did by default. PyTorch adds "
        "nothing.",
        _LSTM, "lstm-forget", "LSTM", forget_bias=1.0,
    ),
    _mistake(
        "reset before the product",
        "The reset gate multiplies the state before its product with weight_hh. PyTorch multiplies "
        "the product, bias included.",
        _GRU, "gru-which", "GRU", reset="before",
    ),
    _mistake(
        "reset gate not used", "The candidate sees the whole state; r multiplies nothing.",
        _GRU, "gru-which", "GRU", reset="nowhere",
    ),
    _mistake(
        "z and 1 - z exchanged",
        "The new state is (1 - z) * h + z * n. PyTorch has (1 - z) * n + z * h.",
        _GRU, "gru", "GRU", update="takes",
    ),
    _mistake(
        "one state for all time steps",
        "Every time step starts from the initial state. In PyTorch it starts from the state after "
        "the step before.",
        _CLAIMS, "claim-s3", "sequence", carried="",
    ),
    _mistake(
        "every step from zeros",
        "Every time step starts from zeros. In PyTorch it starts from the state after the step "
        "before, and the first one from hx.",
        _CLAIMS, "claim-s6", "sequence; hx", carried="", restart="zeros",
    ),
    _mistake(
        "h not carried",
        "Every time step starts from the initial hidden state; only the cell state is carried on.",
        _LSTM, "lstm", "LSTM; sequence", carried="c",
    ),
    _mistake(
        "c not carried",
        "Every time step starts from the initial cell state; only the hidden state is carried on.",
        _LSTM, "lstm", "LSTM; sequence", carried="h",
    ),
    _mistake(
        "hx not used", "The first step starts from zeros, whatever hx is.",
        _STATES, "states", "hx", initial="zeros",
    ),
    _mistake(
        "state stored before the step",
        "The output of a time step is the state before it. In PyTorch it is the state after it.",
        _CLAIMS, "claim-s6", "sequence", recorded="before",
    ),
    _mistake(
        "batch and time confused",
        "The loop goes over the sequences of the batch, as if they were time steps. Compare "
        "batch_first of both.",
        _STATES, "states-mistakes", "sequence; N = L or no hx", loop="batch",
    ),
    _mistake(
        "input reshaped, not transposed",
        "Batch and time of the input are exchanged by view or reshape, which leaves the numbers in "
        "their old order and so mixes the sequences.",
        _STATES, "states-mistakes", "sequence; batch_first", input="reshaped",
    ),
    _mistake(
        "output reshaped, not transposed",
        "Batch and time of the output are exchanged by view or reshape, which leaves the numbers "
        "in their old order and so mixes the sequences.",
        _STATES, "states-mistakes", "sequence; output; N not L", output="reshaped",
    ),
    _mistake(
        "output transposed", "Batch and time of the output are exchanged. Compare batch_first.",
        _STATES, "states", "sequence; N = L; output", output="transposed",
    ),
    _mistake(
        "output in reverse order", "The last time step of the output comes first.",
        _LAYERS, "layers", "sequence; output", output="flipped",
    ),
    _mistake(
        "sequence read backwards", "The loop runs from the last time step to the first.",
        _LAYERS, "layers", "sequence; one direction", order="reverse",
    ),
    _mistake(
        "reverse direction not flipped back",
        "The states of the reverse direction stand in the order in which they were computed. In "
        "PyTorch both halves of a row of the output belong to the same time step.",
        _LAYERS, "layers", "directions", reverse="not flipped back",
    ),
    _mistake(
        "reverse direction runs forward",
        "Both directions run from the first time step to the last.",
        _LAYERS, "layers-reach", "directions", reverse="forward",
    ),
    _mistake(
        "reverse direction with the forward parameters",
        "Both directions use the parameters of the forward direction. In PyTorch the reverse one "
        "has its own, whose names end in _reverse.",
        _LAYERS, "layers", "directions", reverse_weights="forward",
    ),
    _mistake(
        "reverse half first",
        "The reverse direction stands before the forward one in the features, in all layers.",
        _LAYERS, "layers", "directions", side_by_side="reverse first",
    ),
    _mistake(
        "all layers with the parameters of the first",
        "Every layer uses the parameters of layer 0. In PyTorch each has its own.",
        _LAYERS, "layers", "layers; layers alike", layers="first",
    ),
    _mistake(
        "first state for all layers and directions",
        "Every layer and direction starts from hx[0]. In PyTorch each starts from its own row.",
        _LAYERS, "layers", "several states; hx", initial="first",
    ),
    _mistake(
        "hx read by direction",
        "The rows of hx are read as all layers forward, then all reverse. In PyTorch they are "
        "ordered by layer, and in each layer forward then reverse.",
        _LAYERS, "layers", "directions; layers; hx", initial="by direction",
    ),
    _mistake(
        "h_0 and c_0 exchanged", "hx is read as (c_0, h_0). In PyTorch it is (h_0, c_0).",
        _STATES, "states-mistakes", "LSTM; hx; H_out = hidden_size", initial="exchanged",
    ),
    _mistake(
        "h_n and c_n exchanged",
        "The final states are returned as (c, h). In PyTorch they are (h, c).",
        _STATES, "states-mistakes", "LSTM; h_n; H_out = hidden_size", last="exchanged",
    ),
    _mistake(
        "h_n in reversed order",
        "The final states stand in reversed order. In PyTorch those of layer 0 come first, and in "
        "each layer the forward one.",
        _LAYERS, "layers", "several states; h_n", last="reversed",
    ),
    _mistake(
        "h_n ordered by direction",
        "The final states are ordered as all layers forward, then all reverse. In PyTorch they are "
        "ordered by layer, and in each layer forward then reverse.",
        _LAYERS, "layers", "directions; layers; h_n", last="by direction",
    ),
    _mistake(
        "h_n of the last time step",
        "The final state of the reverse direction is taken from the last time step, where that "
        "direction begins. In PyTorch it is the one at the first time step, where it ends.",
        _STATES, "states-last", "directions; h_n", last="of the last time step",
    ),
    *(
        _mistake(
            f"products {precision}",
            f"The operands of each product are {how} to the 10 bits of TF32, as on a GPU with TF32 "
            "switched on. This is rounding, not another formula.",
            "module/kernels", "kernels-tf32", products=precision,
        )
        for precision, how in (("cut to TF32", "cut"), ("rounded to TF32", "rounded"))
    ),
)  # fmt: skip # a table
"""All known mistakes; see `Mistake`."""

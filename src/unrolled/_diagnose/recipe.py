"""An independent implementation: one forward pass as a recipe describes it, mistakes included."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unrolled.arrays import linear, relu, sigmoid, tanh
from unrolled.layers import Weights
from unrolled.shapes import GATES

__all__ = [
    "FUNCTIONS",
    "Memory",
    "Network",
    "Place",
    "Recipe",
    "Results",
    "Trace",
    "Values",
    "state_of",
]

Values: TypeAlias = NDArray[np.float64]
State: TypeAlias = tuple[Values, ...]  # (h,) or (h, c)
Results: TypeAlias = dict[str, Values]
# "h", "c", "h_0", "c_0" or "zeros"; place; time step; sequence
Source: TypeAlias = tuple[str, int, int, int]
# "output", "h_n" or "c_n"; row; direction, of output; sequence
Target: TypeAlias = tuple[str, int, int, int]


class Place(NamedTuple):
    """Where in a network a change of the recipe applies; None or empty means everywhere."""

    layer: int | tuple[int, ...] | None = None
    direction: int | None = None
    gate: str = ""  # or several, one letter each

    def holds(self, layer: int, direction: int) -> bool:
        """Tell whether a layer and direction belong to it."""
        one = self.layer is None or layer in (
            self.layer if isinstance(self.layer, tuple) else (self.layer,)
        )
        return one and self.direction in (None, direction)


class Recipe(NamedTuple):
    """How one forward pass is computed. The defaults are PyTorch's choices.

    Attributes
    ----------
    parameters : {"reference", "candidate"}
        Whose parameters are used.
    weights : {"own", "first layer", "last layer", "forward", "other direction"}
        The layer and direction whose parameters are used.
    weights_of : str
        Part of the names of the parameters to which `weights` applies; empty for all parameters.
    weight_ih, weight_hh : {"transposed", "as stored", "reshaped", "blocks reshaped", "none"}
        What happens to each before the product: it is transposed; it is multiplied as stored, block
        by block if there are gates; it is reshaped to the transposed shape without moving a number,
        as a whole or block by block; or it is left out.
    weight_hr : str
        The projection of the hidden state: by the ``"transposed"`` or the ``"reshaped"`` weight;
        ``"cut"`` to the first features instead, or ``"cut in the feedback"`` only. Or a projection
        of the cell state, ``"late"`` before its activation or ``"before the output gate"`` after
        it.
    joined : {"", "h, x", "weights h, x", "weights exchanged"}
        How the products are combined: in one product with the state before the input, or with
        `weight_hh` before `weight_ih`; or with the two weights exchanged.
    bias_ih, bias_hh : float
        How often each is added.
    biases : str
        What is added to the projected input and to the projected state: to each its own bias; the
        sum of both to the first and nothing to the second, or the reverse; to each the bias of the
        other; the same bias to both; or one or both biases after the activation.
    gates : str
        The gates from top to bottom, as they are read; empty for the order of `unrolled.shapes`.
    gates_of : str
        Part of the names of the parameters to which `gates` and `block` apply; empty for all
        parameters.
    block : str
        The gate whose block of the parameters is read instead; empty for its own block.
    chunks : {"side by side", "interleaved", "by batch"}
        How the sums are split into gates: into blocks of features; every fourth or third feature;
        or by reshaping, with the gates as the first dimension.
    times_ih, times_hh : str
        A factor applied to each weight.
    scale, scale_x, scale_h : str
        A factor applied to the sums, the projected input or the projected state.
    normalised : {"", "sum", "x", "h"}
        What goes through a layer normalisation: nothing, the sums, the projected input or state.
    added : float
        A number added to the sums.
    peephole : {"", "c", "h", "new c"}
        A state that is added to the sums.
    reads : {"h", "c", "new c", "h before"}
        The state that is multiplied by `weight_hh`.
    activation, gate_activation, cell_activation : str
        Names of the functions applied to the new state or the candidate (empty for PyTorch's), to
        the gates, and to the cell state of an LSTM on the way to its hidden state.
    value : str
        The value of a gate: empty for its formula, a number, the name of a different gate, or
        ``"1 - f"``.
    cell_state : {"new", "old", "squashed"}
        The cell state from which an LSTM computes its hidden state: the one after the step, the one
        before it, or the activated one, which is then also carried on.
    cell : str
        The new cell state of an LSTM.
    hidden : str
        The new hidden state of an LSTM.
    reset : str
        Where the reset gate of a GRU multiplies: ``"after"`` the product with the state,
        ``"before"`` it, ``"nowhere"``, ``"bias outside"``, ``"both parts"``, ``"input"`` or
        ``"twice"``; or ``"z"``, with the update gate instead.
    update : str
        What an update gate of 1 does in a GRU: it ``"keeps"`` the old state or ``"takes"`` the
        candidate. Or a formula for the new state.
    h_after, c_after : str
        A function of the new state before it is carried on.
    mixed : str
        What is added to a new hidden state, or how much of the old one is kept.
    products : {"exact", "cut to TF32", "rounded to TF32"}
        The precision of the operands of a product.
    carried : str
        Which states, among ``"hc"``, are carried from one step to the next.
    restart : {"given", "zeros"}
        The value from which a state that is not carried starts each step.
    delay : int
        How many steps old the state is.
    window : int
        The number of steps after which the state restarts, as `restart` says; 0 for never.
    recorded : str
        What becomes the output of a step: the hidden state ``"after"`` or ``"before"`` it, ``"c"``,
        ``"plus input"``, or a function of the hidden state.
    steps : {"all", "not the first", "not the last"}
        Which time steps run; the others leave zeros.
    order : {"forward", "reverse"}
        The order in which a single direction runs through time.
    fed : str
        The input of a layer: the output of the layer ``"below"``, or something else.
    shift : str
        How the input of a layer is shifted in time.
    initial : str
        Which initial state a layer and direction gets: its own, ``"given"``, or a different one.
    shared : {"", "h", "hc"}
        The states that all layers read and write as one variable, in each time step.
    loop : {"time", "batch"}
        The dimension over which the loop runs.
    input : {"transposed", "reshaped"}
        How batch and time of the input are exchanged with ``batch_first``.
    output : {"as it is", "transposed", "reshaped", "flipped"}
        What happens to the output: nothing; batch and time are exchanged once too often; they are
        exchanged by reshaping; or time is reversed.
    reverse : {"flipped back", "not flipped back", "forward", "only flipped back"}
        The reverse direction: its states are put back into time order; they stay in the order in
        which they were computed; it runs like the forward direction; or its states are flipped
        although it ran forward.
    side_by_side : {"forward first", "reverse first", "interleaved", "stacked"}
        How the directions are combined.
    last : str
        The final states: those of each layer and direction, in order; in reversed order; ordered by
        direction first; for the reverse direction, the state at the last time step instead of after
        its last step; or, in an LSTM, ``c_n`` for ``h_n`` and vice versa.
    taken : tuple
        For single rows of the results, the state that each holds.
    at : tuple
        Changes that apply in one place only.

    Examples
    --------
    >>> Recipe().reset, Recipe(reset="before").reset
    ('after', 'before')
    """

    parameters: str = "reference"
    weights: str = "own"
    weights_of: str = ""
    weight_ih: str = "transposed"
    weight_hh: str = "transposed"
    weight_hr: str = "transposed"
    joined: str = ""
    bias_ih: float = 1.0
    bias_hh: float = 1.0
    biases: str = "own"
    gates: str = ""
    gates_of: str = ""
    block: str = ""
    chunks: str = "side by side"
    times_ih: str = "1"
    times_hh: str = "1"
    scale: str = "1"
    scale_x: str = "1"
    scale_h: str = "1"
    normalised: str = ""
    added: float = 0.0
    peephole: str = ""
    reads: str = "h"
    activation: str = ""
    gate_activation: str = "sigmoid"
    cell_activation: str = "tanh"
    value: str = ""
    cell_state: str = "new"
    cell: str = "f * c + i * g"
    hidden: str = "o * tanh(c)"
    reset: str = "after"
    update: str = "keeps"
    h_after: str = "nothing"
    c_after: str = "nothing"
    mixed: str = ""
    products: str = "exact"
    carried: str = "hc"
    restart: str = "given"
    delay: int = 1
    window: int = 0
    recorded: str = "after"
    steps: str = "all"
    order: str = "forward"
    fed: str = "below"
    shift: str = ""
    initial: str = "given"
    shared: str = ""
    loop: str = "time"
    input: str = "transposed"
    output: str = "as it is"
    reverse: str = "flipped back"
    side_by_side: str = "forward first"
    last: str = "each its own"
    taken: tuple[tuple[Target, Source], ...] = ()
    at: tuple[tuple[Place, tuple[tuple[str, Any], ...]], ...] = ()

    def changed(self, changes: Mapping[str, Any], place: Place | None = None) -> "Recipe":
        """Return a recipe with further changes, everywhere or in one place."""
        if place is None or place == Place():
            return self._replace(**changes)
        return self._replace(at=(*self.at, (place, tuple(changes.items()))))


@lru_cache(4096)
def _here(recipe: Recipe, layer: int, direction: int) -> Recipe:
    """Resolve what holds in one layer and direction; what is left in `at` are its gates."""
    if not recipe.at and all(getattr(recipe, name) == own for name, own in _EVERYWHERE.items()):
        return recipe
    changes: dict[str, Any] = {}
    gates = []
    for place, these in recipe.at:
        if place.holds(layer, direction):
            if place.gate:
                gates.append((Place(gate=place.gate), these))
            else:
                changes |= dict(these)
    return recipe._replace(**{**_EVERYWHERE, **changes}, at=tuple(gates))


@lru_cache(4096)
def _gate(local: Recipe, gate: str) -> Recipe:
    """Resolve what holds for one gate."""
    if not local.at:
        return local
    changes = {name: value for place, these in local.at if gate in place.gate
               for name, value in these}  # fmt: skip # one thought
    return local._replace(**changes, at=())


# Choices that concern the whole network: recipes that differ only here share what layers compute.
_NETWORK = ("shared", "loop", "input", "output", "last", "taken")
_EVERYWHERE = {name: Recipe._field_defaults[name] for name in _NETWORK}


class Trace(NamedTuple):
    """Everything that one pass computes; lists are by layer, then direction."""

    h: list[Values]  # (L, N, H_out), in the order of time
    c: list[Values]  # (L, N, hidden_size)
    initial: list[State]
    last: list[State]
    output: Values  # (L, N, D * H_out)
    swapped: bool  # whether time is the second dimension of the input


class Memory(dict[Any, Any]):
    """A cache of what layers computed on one probe, by recipe; it is emptied when it is full."""

    computed = 0

    def __setitem__(self, key: Any, value: Any) -> None:
        if len(self) > 400:
            self.clear()
        self.computed += 1
        super().__setitem__(key, value)


@dataclass(frozen=True)
class Network:
    """What a recipe needs to know about the reference, and about how it is compared."""

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

    @property
    def num_layers(self) -> int:
        return len(self.layers)

    @property
    def H_in(self) -> int:  # noqa: N802 # its name everywhere
        return int(self.layers[0][0].weight_ih.shape[1])

    @property
    def hidden_size(self) -> int:
        return len(self.layers[0][0].weight_hh) // len(GATES[self.mode])

    @property
    def widths(self) -> tuple[int, ...]:
        """Return the sizes of h and, in an LSTM, of c."""
        H_out = int(self.layers[0][0].weight_hh.shape[1])
        return (H_out, self.hidden_size) if self.mode == "LSTM" else (H_out,)

    @property
    def sizes(self) -> dict[str, int]:
        steps = {} if self.cell else {"L": self.L}
        return {**steps, "N": self.N, "H_in": self.H_in, "H_out": self.widths[0]}

    def run(self, recipe: Recipe, x: Values, states: tuple[Values, ...]) -> Results:
        """Compute what a candidate with these mistakes returns."""
        return self.laid_out(recipe, self.trace(recipe, x, states, Memory()))

    @np.errstate(all="ignore")  # some mistakes let the state grow
    def trace(self, recipe: Recipe, x: Values, states: tuple[Values, ...], memory: Memory) -> Trace:
        """Run all layers and directions."""
        if self.cell:
            x, states = x[None], tuple(state[None] for state in states)
        second = self.batch_first != (recipe.loop == "batch")  # whether the loop takes the second
        inputs = np.swapaxes(x, 0, 1) if second else x
        if recipe.input == "reshaped":
            inputs = x.reshape(inputs.shape)
        if states[0].shape[1] != inputs.shape[1]:  # only where the candidate makes its own zeros
            states = tuple(np.zeros((len(s), inputs.shape[1], s.shape[2])) for s in states)
        trace = Trace([], [], [], [], inputs, second)
        if recipe.shared:
            return self._one_state(recipe, trace, states)
        key: Any = (recipe.loop, recipe.input)
        below = [inputs, inputs]  # of the layer, and of the one below
        for layer in range(self.num_layers):
            halves: list[Values] = []
            keys: list[Any] = []
            for direction in range(self.D):
                local = _here(recipe, layer, direction)
                after = keys[0] if direction and local.fed == "forward output" else ()
                after = (*after, *(keys if "final" in local.initial else ()))
                own = (layer, direction, local, key, after)
                if own not in memory:
                    fed = _fed(local, self, inputs, below, trace, halves, layer)
                    start = _initial(local, self, states, trace, (layer, direction))
                    weights = self._weights(local, layer, direction)
                    done = _direction(local, self.mode, bool(direction), fed, start, weights)
                    memory[own] = (start, *done)
                start, recorded, h, c, last = memory[own]
                trace.initial.append(start)
                trace.h.append(h)
                trace.c.append(c)
                trace.last.append(last)
                halves.append(recorded)
                keys.append(own)
            key = tuple(keys)
            below = [_beside(halves, _here(recipe, layer, 0).side_by_side), below[0]]
        return trace._replace(output=below[0])

    def _one_state(self, recipe: Recipe, trace: Trace, states: tuple[Values, ...]) -> Trace:
        """Run all layers step by step on one variable for their states."""
        steps = []
        for layer in range(self.num_layers):
            local = _here(recipe, layer, 0)
            steps.append(_Step(local, self.mode, self._weights(local, layer, 0)))
            trace.initial.append(tuple(part[layer] for part in states))
        at = list(trace.initial)
        passed: list[list[State]] = [[] for _ in steps]
        common = at[0]
        for x_t in trace.output:
            below = x_t
            for layer, step in enumerate(steps):
                own = tuple(
                    (common if name in recipe.shared else at[layer])[part]
                    for part, name in enumerate("hc"[: len(common)])
                )
                weight, bias = step.weights.weight_ih, step.weights.bias_ih
                at[layer], below = step(step.product(below, weight, bias), own)
                common = at[layer]
                passed[layer].append(common)
        for own_states in passed:
            h = np.stack([state[0] for state in own_states])
            trace.h.append(h)
            trace.c.append(np.stack([s[1] for s in own_states]) if self.mode == "LSTM" else h)
            trace.last.append(own_states[-1])
        return trace._replace(output=trace.h[-1])

    def _weights(self, local: Recipe, layer: int, direction: int) -> Weights[Any]:
        """Return the parameters that one layer and direction uses."""
        all_of = self.layers if local.parameters == "reference" else self.own
        assert all_of is not None  # see needs
        place = {
            "own": (layer, direction),
            "first layer": (0, direction),
            "last layer": (self.num_layers - 1, direction),
            "forward": (layer, 0),
            "other direction": (layer, self.D - 1 - direction),
        }[local.weights]
        own, other = all_of[layer][direction], all_of[place[0]][place[1]]
        return own._replace(
            **{name: part for name, part in other._asdict().items() if local.weights_of in name}
        )

    def laid_out(self, recipe: Recipe, trace: Trace) -> Results:
        """Return the results in the form in which the candidate returns them."""
        output, last, second = trace.output, trace.last, trace.swapped
        if recipe.last == "of the last time step":
            last = [
                (h[-1], *rest) if place % self.D else state
                for place, (h, state) in enumerate(zip(trace.h, last, strict=True))
                for rest in [[trace.c[place][-1]] * (len(state) - 1)]
            ]
        if recipe.last == "reversed":
            last = last[::-1]
        if recipe.last == "by direction":
            last = [state for direction in range(self.D) for state in last[direction :: self.D]]
        finals = [np.stack(parts) for parts in zip(*last, strict=True)]
        if recipe.last == "exchanged":
            finals.reverse()
        if recipe.last == "reshaped":
            finals = [part.swapaxes(0, 1).reshape(part.shape) for part in finals]
        if recipe.output == "flipped":
            output = output[::-1]
        if recipe.taken:
            output = output.copy()
            width = output.shape[-1] // self.D
            for (name, row, half, n), source in recipe.taken:
                values = state_of(trace, source)
                if name == "output":
                    output[row, n, half * width : (half + 1) * width] = values
                else:
                    finals[name == "c_n"][row, n] = values
        if self.cell:
            return dict(zip(("h", "c"), (part[0] for part in finals), strict=False))
        right = np.swapaxes(output, 0, 1)
        laid_out = right if second else output
        if recipe.output == "transposed":
            laid_out = np.swapaxes(laid_out, 0, 1)
        if recipe.output == "reshaped":
            laid_out = (output if second else right).reshape(laid_out.shape)
        results = {"output": laid_out, **dict(zip(("h_n", "c_n"), finals, strict=False))}
        return {name: results[name] for name in self.compared or results}


def state_of(trace: Trace, source: Source) -> Values:
    """Find a state in a trace."""
    kind, place, step, n = source
    if kind in ("h", "c"):
        return (trace.h if kind == "h" else trace.c)[place][step, n]
    if kind in ("h_0", "c_0"):
        return trace.initial[place][kind == "c_0"][n]
    return np.zeros(trace.h[place].shape[2:])


# What a layer gets.

_NEEDS_A_LAYER_BELOW = frozenset(
    (
        "two below", "below plus its input", "below plus network input", "forward half twice",
        "reverse half twice", "halves exchanged", "forward half and zeros", "sum twice",
        "mean twice", "interleaved", "c below", "initial state below", "final state below",
        "states before, below",
    )
)  # fmt: skip # a table


def _fed(
    local: Recipe,
    network: Network,
    inputs: Values,
    below: list[Values],
    trace: Trace,
    halves: list[Values],
    layer: int,
) -> Values:
    own, before = below
    D = network.D
    half = np.split(own, D, -1) if layer else [own]
    place = (layer - 1) * D
    how = local.fed
    if (not layer and how in _NEEDS_A_LAYER_BELOW) or (layer and how == "forward output"):
        how = "below"
    fed: dict[str, Callable[[], Values]] = {
        "below": lambda: own,
        "network input": lambda: inputs,
        "two below": lambda: before,
        "below plus its input": lambda: own + before,
        "below plus network input": lambda: own + inputs,
        "forward half twice": lambda: np.concatenate([half[0]] * D, -1),
        "reverse half twice": lambda: np.concatenate([half[-1]] * D, -1),
        "halves exchanged": lambda: np.concatenate(half[::-1], -1),
        "forward half and zeros": lambda: np.concatenate([half[0], 0 * half[0]], -1),
        "sum twice": lambda: np.concatenate([half[0] + half[-1]] * D, -1),
        "mean twice": lambda: np.concatenate([(half[0] + half[-1]) / 2] * D, -1),
        "interleaved": lambda: np.stack(half, -1).reshape(own.shape),
        "c below": lambda: np.concatenate(trace.c[place : place + D], -1),
        "initial state below": lambda: np.broadcast_to(
            np.concatenate([start[0] for start in trace.initial[place : place + D]], -1), own.shape
        ),
        "final state below": lambda: np.broadcast_to(
            np.concatenate([last[0] for last in trace.last[place : place + D]], -1), own.shape
        ),
        "states before, below": lambda: np.concatenate(
            [
                np.concatenate([h[1:], start[0][None]] if k else [start[0][None], h[:-1]])
                for k, (h, start) in enumerate(
                    zip(trace.h[place:][:D], trace.initial[place:][:D], strict=True)
                )
            ],
            -1,
        ),
        "forward output": lambda: halves[0] if halves else own,
        "zeros": lambda: 0 * own,
    }
    chosen = fed[how]() if how in fed else function(how)(own)
    zero = np.zeros_like(chosen[:1])
    moved: dict[str, Callable[[], Values]] = {
        "": lambda: chosen,
        "late, zeros": lambda: np.concatenate([zero, chosen[:-1]]),
        "late, first twice": lambda: np.concatenate([chosen[:1], chosen[:-1]]),
        "late, round": lambda: np.roll(chosen, 1, 0),
        "early, zeros": lambda: np.concatenate([chosen[1:], zero]),
        "early, last twice": lambda: np.concatenate([chosen[1:], chosen[-1:]]),
        "early, round": lambda: np.roll(chosen, -1, 0),
        "flipped": lambda: chosen[::-1],
        "first only": lambda: np.broadcast_to(chosen[:1], chosen.shape),
        "last only": lambda: np.broadcast_to(chosen[-1:], chosen.shape),
        "mean": lambda: np.broadcast_to(chosen.mean(0), chosen.shape),
        "sequences exchanged": lambda: chosen[:, ::-1],
    }
    return moved[local.shift]()


def _initial(
    local: Recipe,
    network: Network,
    states: tuple[Values, ...],
    trace: Trace,
    place: tuple[int, int],
) -> State:
    layer, direction = place
    D, layers = network.D, network.num_layers
    row = layer * D + direction
    count = D * layers
    rows = {
        "first": 0,
        "last": count - 1,
        "by direction": direction * layers + layer,
        "reversed": count - 1 - row,
        "forward": layer * D,
        "other direction": layer * D + D - 1 - direction,
        "layer below": max(row - D, direction),
        "reversed layers": (layers - 1 - layer) * D + direction,
        "first layer": direction,
    }
    own = tuple(part[rows.get(local.initial, row)] for part in states)
    if local.initial in rows or local.initial == "given":
        return own
    if local.initial == "exchanged":
        return own[::-1]
    if local.initial == "final below":
        return own if not layer else trace.last[row - D]
    if local.initial == "final forward":
        return own if not direction else trace.last[row - 1]
    h = own[0]
    if local.initial == "sequences exchanged":
        return tuple(part[::-1] for part in own)
    if local.initial == "first sequence":
        return tuple(np.broadcast_to(part[:1], part.shape) for part in own)
    if local.initial in ("h for both", "c for both"):
        return (h, h) if local.initial == "h for both" else (own[1], own[1])
    if local.initial in ("c zeros", "h zeros"):
        return (h, 0 * own[1]) if local.initial == "c zeros" else (0 * h, own[1])
    if local.initial in FUNCTIONS or " " in local.initial:
        return tuple(function(local.initial)(part) for part in own)
    return tuple(0 * part + (local.initial == "ones") for part in own)  # or zeros


def _beside(halves: list[Values], how: str) -> Values:
    if how == "reverse first":
        halves = halves[::-1]
    if how == "interleaved":
        return np.stack(halves, -1).reshape(*halves[0].shape[:-1], -1)
    if how == "stacked":  # (D, L, N, H) in the shape of (L, N, D * H)
        return np.stack(halves).reshape(*halves[0].shape[:-1], -1)
    return np.concatenate(halves, -1) if len(halves) > 1 else halves[0]


# The parameters, as they are read.


@lru_cache(4096)
def _ways(local: Recipe, mode: str) -> tuple[Recipe, ...]:
    return tuple(_gate(local, gate) for gate in GATES[mode])


def _as_read(local: Recipe, mode: str, weights: Weights[Any]) -> Weights[Any]:
    """Change the parameters so that the correct formula does what the candidate does."""
    letters, ways = GATES[mode], _ways(local, mode)
    count = len(letters)
    H = len(weights.weight_hh) // count
    bias_ih, bias_hh = weights.bias_ih, weights.bias_hh
    parts = {"weight_ih": weights.weight_ih, "weight_hh": weights.weight_hh}
    if bias_ih is not None and bias_hh is not None:
        parts |= {"bias_ih": bias_ih, "bias_hh": bias_hh}
    new = {name: np.empty_like(part) for name, part in parts.items()}
    for k, way in enumerate(ways):
        rows = slice(k * H, k * H + H)
        # Which block is read for this gate, of each parameter.
        other = letters.index(way.block) if way.block else k
        if way.gates:
            other = way.gates.index(letters[other])
        read = {}
        for name, part in parts.items():
            block = other if way.gates_of in name else k
            source = slice(block * H, block * H + H)
            how = getattr(way, name) if name.startswith("weight") else ""
            read[name] = _as_multiplied(how, part, source)
        W_ih, W_hh = read["weight_ih"], read["weight_hh"]
        if way.times_ih != "1" or way.times_hh != "1":
            W_ih = _factor(way.times_ih, H, weights.weight_ih.shape[1]) * W_ih
            W_hh = _factor(way.times_hh, H, weights.weight_ih.shape[1]) * W_hh
        if way.joined == "weights exchanged":
            W_ih, W_hh = W_hh, W_ih
        elif way.joined:
            side = [W_ih, W_hh] if way.joined == "h, x" else [W_hh, W_ih]
            both = np.concatenate(side, 1)
            cut = W_hh.shape[1] if way.joined == "h, x" else W_ih.shape[1]
            first, rest = both[:, :cut], both[:, cut:]
            W_hh, W_ih = (first, rest) if way.joined == "h, x" else (rest, first)
        new["weight_ih"][rows], new["weight_hh"][rows] = W_ih, W_hh
        if "bias_ih" in read:
            b, c = way.bias_ih * read["bias_ih"], way.bias_hh * read["bias_hh"]
            if way.biases != "own":
                b, c = {
                    "merged": (b + c, 0 * c),
                    "merged inside": (0 * b, b + c),
                    "exchanged": (c, b),
                    "ih for both": (b, b),
                    "hh for both": (c, c),
                    "after": (0 * b, 0 * c),
                    "bias_ih after": (0 * b, c),
                    "bias_hh after": (b, 0 * c),
                }[way.biases]
            new["bias_ih"][rows], new["bias_hh"][rows] = b, c
    return Weights(**new, weight_hr=weights.weight_hr)


def _as_multiplied(how: str, part: Values, rows: slice) -> Values:
    if how == "as stored":
        return part[rows].T  # square
    if how == "reshaped":
        return part.reshape(part.shape[::-1]).T[rows]
    if how == "blocks reshaped":
        block = part[rows]
        return block.reshape(block.shape[::-1]).T
    return 0 * part[rows] if how == "none" else part[rows]


# Functions by name.


def _normalised(a: Values) -> Values:
    return (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-5)


def _softmax(a: Values, axis: int = -1) -> Values:
    e = np.exp(a - a.max(axis, keepdims=True))
    return np.asarray(e / e.sum(axis, keepdims=True))


_erf: Callable[[Any], Any] = np.vectorize(math.erf, otypes=[float])

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "tanh": tanh,
    "relu": relu,
    "sigmoid": sigmoid,
    "nothing": lambda a: a,
    "hard sigmoid of Keras 2": lambda a: np.clip(0.2 * a + 0.5, 0, 1),
    "hard sigmoid of PyTorch": lambda a: np.clip(a / 6 + 0.5, 0, 1),
    "hard tanh": lambda a: np.clip(a, -1, 1),
    "leaky relu": lambda a: np.where(a > 0, a, 0.01 * a),
    "prelu": lambda a: np.where(a > 0, a, 0.25 * a),
    "relu6": lambda a: np.clip(a, 0, 6),
    "relu cut at 1": lambda a: np.clip(a, 0, 1),
    "relu cut at 20": lambda a: np.clip(a, 0, 20),
    "elu": lambda a: np.where(a > 0, a, np.expm1(np.minimum(a, 0))),
    "selu": lambda a: (
        1.0507009873554805 * np.where(a > 0, a, 1.6732632423543772 * np.expm1(np.minimum(a, 0)))
    ),
    "gelu": lambda a: a / 2 * (1 + _erf(a / np.sqrt(2))),
    "gelu by tanh": lambda a: a / 2 * (1 + tanh(np.sqrt(2 / np.pi) * (a + 0.044715 * a**3))),
    "silu": lambda a: a * sigmoid(a),
    "mish": lambda a: a * tanh(np.logaddexp(0, a)),
    "softplus": lambda a: np.logaddexp(0, a),
    "softsign": lambda a: a / (1 + abs(a)),
    "log-sigmoid": lambda a: -np.logaddexp(0, -a),
    "hard swish": lambda a: a * np.clip(a / 6 + 0.5, 0, 1),
    "softmax": _softmax,
    "softmax over the gates": lambda a: a,  # see _Step
    "softmax over the batch": lambda a: _softmax(a, 0),
    "log-softmax": lambda a: (
        a
        - a.max(-1, keepdims=True)
        - np.log(np.exp(a - a.max(-1, keepdims=True)).sum(-1, keepdims=True))
    ),
    "sin": np.sin,
    "arctan": np.arctan,
    "erf": _erf,
    "exp": np.exp,
    "square": np.square,
    "absolute value": abs,
    "negative": lambda a: -a,
    "tanh of Lecun": lambda a: 1.7159 * tanh(2 * a / 3),
    "tanh shrunk": lambda a: a - tanh(a),
    "tanh twice": lambda a: tanh(tanh(a)),
    "sigmoid twice": lambda a: sigmoid(sigmoid(a)),
    "tanh of the sigmoid": lambda a: tanh(sigmoid(a)),
    "sigmoid of the tanh": lambda a: sigmoid(tanh(a)),
    "relu of the tanh": lambda a: relu(tanh(a)),
    "tanh of the relu": lambda a: tanh(relu(a)),
    "2 sigmoid - 1": lambda a: 2 * sigmoid(a) - 1,
    "1 - sigmoid": lambda a: sigmoid(-a),
    "(tanh + 1) / 2": lambda a: (tanh(a) + 1) / 2,
    "step": lambda a: (a > 0) * 1.0,
    "sign": np.sign,
    "layer norm": _normalised,
    "tanh of the layer norm": lambda a: tanh(_normalised(a)),
    "sigmoid of the layer norm": lambda a: sigmoid(_normalised(a)),
    "layer norm of the tanh": lambda a: _normalised(tanh(a)),
    "unit length": lambda a: a / np.maximum(np.linalg.norm(a, axis=-1, keepdims=True), 1e-12),
    "reversed features": lambda a: a[..., ::-1],
    "reversed batch": lambda a: a[..., ::-1, :],
    "divided by the root of H": lambda a: a / np.sqrt(a.shape[-1]),
    "mean over the batch": lambda a: np.broadcast_to(a.mean(-2, keepdims=True), a.shape),
}
"""The functions that may replace one of PyTorch's, except those with a number in their name."""

_WITH_A_NUMBER: dict[str, Callable[[Any, float], Any]] = {
    "clip at ": lambda a, edge: np.clip(a, -edge, edge),
    "times ": lambda a, factor: factor * a,
    "plus ": lambda a, more: a + more,
    "leaky relu of slope ": lambda a, slope: np.where(a > 0, a, slope * a),
    "hard sigmoid of slope ": lambda a, slope: np.clip(slope * a + 0.5, 0, 1),
    "elu of alpha ": lambda a, alpha: np.where(a > 0, a, alpha * np.expm1(np.minimum(a, 0))),
    "tanh of the sum times ": lambda a, factor: tanh(factor * a),
    "sigmoid of the sum times ": lambda a, factor: sigmoid(factor * a),
}


@lru_cache(1024)
def function(name: str) -> Callable[[Any], Any]:
    """Find a function, such as ``"tanh"`` or ``"clip at 3"``."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    prefix = next(prefix for prefix in _WITH_A_NUMBER if name.startswith(prefix))
    number = float(name.removeprefix(prefix))
    return lambda a: _WITH_A_NUMBER[prefix](a, number)


def _factor(name: str, H: int, inputs: int) -> float:
    roots = {"1/sqrt(H)": H**-0.5, "sqrt(H)": H**0.5, "1/H": 1 / H, "1/sqrt(H_in)": inputs**-0.5}
    return roots[name] if name in roots else float(name)


def _parts(a: Values, count: int, how: str = "side by side") -> Values:
    """Split the features into equal parts along an extra dimension."""
    if how == "interleaved":
        return np.moveaxis(a.reshape(*a.shape[:-1], -1, count), -1, 0)
    if how == "by batch":
        return a.reshape(count, *a.shape[:-1], -1)
    return a.reshape(*a.shape[:-1], count, -1).swapaxes(0, -2)  # of one sequence or of a batch


# One step, and one direction.


class _Step:
    """One step from projected input, as a recipe describes it; constant parts are computed once."""

    def __init__(self, local: Recipe, mode: str, original: Weights[Any]) -> None:
        weights = _as_read(local, mode, original)
        self.local, self.mode, self.weights = local, mode, weights
        self.gates, self.ways = GATES[mode], _ways(local, mode)
        self.product = linear if local.products == "exact" else _TF32[local.products]
        default = "relu" if mode == "RNN_RELU" else "tanh"
        self.functions = [
            function(way.activation or default if gate in "gnh" else way.gate_activation)
            for gate, way in zip(self.gates, self.ways, strict=True)
        ]
        H = len(weights.weight_hh) // len(self.gates)
        inputs = weights.weight_ih.shape[1]
        self.factors = [
            tuple(_factor(name, H, inputs) for name in (way.scale, way.scale_x, way.scale_h))
            for way in self.ways
        ]
        self.later: dict[int, Values] = {}  # biases to add after the activation
        if original.bias_ih is not None and original.bias_hh is not None:
            parts = [_parts(bias, len(self.gates)) for bias in (original.bias_ih, original.bias_hh)]
            for k, way in enumerate(self.ways):
                if way.biases.endswith("after"):
                    wanted = {"bias_ih after": [0], "bias_hh after": [1]}.get(way.biases, [0, 1])
                    self.later[k] = sum(parts[which][k] for which in wanted)

    def _sum(self, k: int, x_part: Values, h_part: Values, state: State) -> Values:
        way = self.ways[k]
        total, of_x, of_h = self.factors[k]
        if of_x != 1:
            x_part = of_x * x_part
        if of_h != 1:
            h_part = of_h * h_part
        if way.normalised == "x":
            x_part = _normalised(x_part)
        if way.normalised == "h":
            h_part = _normalised(h_part)
        a = h_part + x_part
        if total != 1:
            a = total * a
        if way.added:
            a = a + way.added
        if way.peephole in ("c", "h"):
            a = a + state[way.peephole == "c"]
        return _normalised(a) if way.normalised == "sum" else a

    def _activated(self, k: int, a: Values) -> Values:
        value = self.functions[k](a)
        if k in self.later:
            value = value + self.later[k]
        return np.asarray(value)

    def _gates(self, sums: list[Values], squashed: tuple[int, ...]) -> list[Values]:
        if self.local.gate_activation != "softmax over the gates":
            return [self._activated(k, a) for k, a in enumerate(sums)]
        shares = iter(_softmax(np.stack([sums[k] for k in squashed]), 0))
        return [
            next(shares) if k in squashed else self._activated(k, a) for k, a in enumerate(sums)
        ]

    def _exchanged(self, values: list[Values]) -> list[Values]:
        """Replace gates by constants or by other gates, where the recipe says so."""
        named = dict(zip(self.gates, values, strict=True))
        for gate, way in zip(self.gates, self.ways, strict=True):
            if way.value:
                source = named.get(way.value[-1])
                if source is None:
                    named[gate] = np.full_like(named[gate], float(way.value))
                else:
                    named[gate] = 1 - source if way.value.startswith("1 -") else source
        return list(named.values())

    def _recurrent(self, h: Values) -> Values:
        weight, bias = self.weights.weight_hh, self.weights.bias_hh
        return _parts(self.product(h, weight, bias), len(self.gates), self.local.chunks)

    def __call__(self, x_projected: Values, state: State) -> tuple[State, Values]:
        """Take one step; return the new state, and h as it becomes output."""
        local, h = self.local, state[0]
        x_parts = _parts(x_projected, len(self.gates), local.chunks)
        h_parts = self._recurrent(h)
        if self.mode == "LSTM":
            new = self._lstm(x_parts, h_parts, state)
        elif self.mode == "GRU":
            new = (self._gru(x_parts, h_parts, state),)
        else:
            self.sums = self._sum(0, x_parts[0], h_parts[0], state)
            new = (self._activated(0, self.sums),)
        h_t = function(local.h_after)(new[0])
        if local.mixed:
            h_t = h_t + h if local.mixed == "h + before" else (
                float(local.mixed) * h_t + (1 - float(local.mixed)) * h
            )  # fmt: skip # one choice
        if local.weight_hr == "cut in the feedback" and self.whole is not None:
            return (self.whole, *new[1:]), h_t
        return (h_t, *new[1:]), h_t

    def _lstm(self, x_parts: Values, h_parts: Values, state: State) -> State:
        local, c = self.local, state[1]
        if any(way.reads == "c" for way in self.ways):
            from_c = self._recurrent(c)
            h_parts = np.stack(
                [(from_c if way.reads == "c" else h_parts)[k] for k, way in enumerate(self.ways)]
            )
        sums = [self._sum(k, x_parts[k], h_parts[k], state) for k in range(4)]
        i, f, g, o = self._exchanged(self._gates(sums, (0, 1, 3)))
        self.sums = o
        if local.cell == "f * c + i * g":
            c_t = f * c + i * g
        else:
            formulas: dict[str, Callable[[], Values]] = {
                "f * (c + i * g)": lambda: f * (c + i * g),
                "f + i * g": lambda: f + i * g,
                "f * c + i + g": lambda: f * c + i + g,
                "(f + i) * c + g": lambda: (f + i) * c + g,
                "f * c - i * g": lambda: f * c - i * g,
                "f * h + i * g": lambda: f * state[0] + i * g,
                "f * g + i * c": lambda: f * g + i * c,
                "f * tanh(c) + i * g": lambda: f * tanh(c) + i * g,
                "f * c + i * tanh(g)": lambda: f * c + i * tanh(g),
                "(f * c + i * g) / 2": lambda: (f * c + i * g) / 2,
                "f * c * i * g": lambda: f * c * i * g,
                "f * c + i * c": lambda: f * c + i * c,
                "max(f * c, i * g)": lambda: np.maximum(f * c, i * g),
                "f * c + i * g + c": lambda: f * c + i * g + c,
            }
            c_t = formulas[local.cell]()
        c_t = function(local.c_after)(c_t)
        last = self.ways[3]
        if last.reads == "new c":
            o = self._activated(3, self._sum(3, x_parts[3], self._recurrent(c_t)[3], state))
        if last.peephole == "new c":
            o = self._activated(3, self._sum(3, x_parts[3], h_parts[3], state) + c_t)
        seen = c if local.cell_state == "old" else c_t
        activation = function(local.cell_activation)
        squashed = activation(seen)
        outputs: dict[str, Callable[[], Values]] = {
            "o * tanh(c)": lambda: o * squashed,
            "tanh(o * c)": lambda: activation(o * seen),
            "o + tanh(c)": lambda: o + squashed,
            "tanh(c)": lambda: squashed,
            "o": lambda: o,
            "o * c * tanh(c)": lambda: o * seen * squashed,
            "o * tanh(g)": lambda: o * activation(g),
            "o * g": lambda: o * g,
            "tanh(o) * tanh(c)": lambda: tanh(o) * squashed,
        }
        h_t = outputs[local.hidden]()
        weight = self.weights.weight_hr
        self.whole = None
        if weight is not None:
            self.whole = h_t[..., : len(weight)]
            if local.weight_hr == "late":
                h_t = o[..., : len(weight)] * activation(self.product(seen, weight))
            elif local.weight_hr == "before the output gate":
                h_t = o[..., : len(weight)] * self.product(squashed, weight)
            elif local.weight_hr == "cut":
                h_t = h_t[..., : len(weight)]
            elif local.weight_hr == "reshaped":
                h_t = self.product(h_t, weight.reshape(weight.shape[::-1]).T)
            else:
                h_t = self.product(h_t, weight)
        return h_t, squashed if local.cell_state == "squashed" else c_t

    def _gru(self, x_parts: Values, h_parts: Values, state: State) -> Values:
        local, h = self.local, state[0]
        r, z = self._gates([self._sum(k, x_parts[k], h_parts[k], state) for k in (0, 1)], (0, 1))
        _, weight_hh, _, bias_hh, _ = self.weights
        n_x, n_h = x_parts[2], h_parts[2]
        r, z, _ = self._exchanged([r, z, n_x])
        rows = slice(2 * h.shape[-1], None)  # of n
        bias = None if bias_hh is None else bias_hh[rows]
        if local.reset == "after":
            n_h = r * n_h
        elif local.reset == "before":
            n_h = self.product(r * h, weight_hh[rows], bias)
        elif local.reset == "twice":
            n_h = r * self.product(r * h, weight_hh[rows], bias)
        elif local.reset == "z":
            n_h = z * n_h
        elif local.reset == "complement":
            n_h = (1 - r) * n_h
        elif local.reset == "in place":
            h = r * h
            n_h = self.product(h, weight_hh[rows], bias)
        elif local.reset == "bias outside":
            n_h = r * self.product(h, weight_hh[rows], None) + (0 if bias is None else bias)
        elif local.reset == "both parts":
            n_x, n_h = r * n_x, r * n_h
        elif local.reset == "input":
            n_x = r * n_x
        n = self.sums = self._activated(2, self._sum(2, n_x, n_h, state))
        if local.reset == "outside the tanh":
            n = r * n
        r, z, n = self._exchanged([r, z, n])
        if local.update in ("keeps", "takes"):
            keeps = z if local.update == "keeps" else 1 - z
            return (1 - keeps) * n + keeps * h
        new: Values = {
            "n + z * h": lambda: n + z * h,
            "(1 - z) * n": lambda: (1 - z) * n,
            "(1 - z) * n + h": lambda: (1 - z) * n + h,
            "z * n + z * h": lambda: z * n + z * h,
            "z * n": lambda: z * n,
            "(1 - z) * h": lambda: (1 - z) * h,
            "n": lambda: n,
            "h + z * n": lambda: h + z * n,
            "(1 - z) * n + r * h": lambda: (1 - z) * n + r * h,
            "(1 - z) * (n + h)": lambda: (1 - z) * (n + h),
            "r * n + (1 - r) * h": lambda: r * n + (1 - r) * h,
            "(1 - r) * n + r * h": lambda: (1 - r) * n + r * h,
            "(1 - z) * n - z * h": lambda: (1 - z) * n - z * h,
            "(1 - z) * n + z * r * h": lambda: (1 - z) * n + z * r * h,
            "n + z * (n - h)": lambda: n + z * (n - h),
            "z * h": lambda: z * h,
            "z * (n + h)": lambda: z * (n + h),
        }[local.update]()
        return new


def _direction(
    local: Recipe,
    mode: str,
    reverse: bool,
    inputs: Values,
    initial: State,
    weights: Weights[Any],
) -> tuple[Values, Values, Values, State]:
    """Run one layer in one direction; return what becomes output, all states, and the final one.

    The states are in time order; `reverse` is PyTorch's order, which the recipe may override.
    """
    step = _Step(local, mode, weights)
    restart = tuple(map(np.zeros_like, initial)) if local.restart == "zeros" else initial
    backwards = (
        local.reverse in ("flipped back", "not flipped back")
        if reverse
        else local.order == "reverse"
    )
    if reverse and local.reverse == "flipped in the batch":
        inputs = inputs[:, ::-1]
    projected = step.product(inputs, step.weights.weight_ih, step.weights.bias_ih)
    L = len(inputs)
    steps = range(L)[::-1] if backwards else range(L)
    history = [initial]
    states: list[State] = [()] * L
    recorded: list[Values] = [np.zeros(0)] * L
    for count, t in enumerate(steps):
        before = history[max(len(history) - local.delay, 0)]
        if local.carried != "hc":
            before = tuple(
                now if name in local.carried else start
                for name, now, start in zip("hc", before, restart, strict=False)
            )
        if local.window and not count % local.window:
            before = restart if count else initial
        skipped = (local.steps == "not the first" and not count) or (
            local.steps == "not the last" and count == L - 1
        )
        new, out = (history[-1], 0 * history[-1][0]) if skipped else step(projected[t], before)
        if local.recorded == "before":
            out = history[-1][0]
        elif local.recorded in ("the sums", "gate o", "candidate n"):
            out = step.sums
        elif local.recorded == "c":
            out = new[1]
        elif local.recorded == "plus input":
            out = out + inputs[t]
        elif local.recorded == "mean with before":
            out = (out + history[-1][0]) / 2
        elif local.recorded == "plus before":
            out = out + history[-1][0]
        elif local.recorded != "after":
            out = function(local.recorded)(out)
        history.append(new)
        states[t], recorded[t] = new, out
    last = history[-1]
    if reverse and local.reverse == "flipped in the batch":
        recorded = [out[::-1] for out in recorded]
    if reverse and local.reverse in ("not flipped back", "only flipped back"):
        recorded = recorded[::-1]
    h = np.stack([state[0] for state in states])
    c = np.stack([state[1] for state in states]) if mode == "LSTM" else h
    return np.stack(recorded), h, c, last


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

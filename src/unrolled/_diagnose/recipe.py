"""The independent formulas: one forward pass, as a recipe describes it, with its mistakes."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from unrolled._scan import Order, scan
from unrolled.arrays import linear, relu, sigmoid, tanh
from unrolled.layers import Weights, run_network
from unrolled.shapes import GATES

__all__ = ["Network", "Recipe", "Results", "Values"]

Values: TypeAlias = NDArray[np.float64]
State: TypeAlias = tuple[Values, ...]  # (h,) or (h, c)
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
    >>> Recipe().reset, Recipe(reset="before").reset
    ('after', 'before')
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


@dataclass(frozen=True)
class Network:
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
        """Give the sizes of h and, in an LSTM, of c."""
        H_out = int(self.layers[0][0].weight_hh.shape[1])
        return (H_out, self.hidden_size) if self.mode == "LSTM" else (H_out,)

    @property
    def sizes(self) -> dict[str, int]:
        steps = {} if self.cell else {"L": self.L}
        return {**steps, "N": self.N, "H_in": self.H_in, "H_out": self.widths[0]}

    @np.errstate(over="ignore", invalid="ignore")  # some mistakes let the state grow
    def run(self, recipe: Recipe, x: Values, states: tuple[Values, ...]) -> Results:
        """Compute what a candidate with these mistakes returns."""
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
        layers = [
            [
                own[0 if recipe.layers == "first" else layer][
                    0 if recipe.reverse_weights == "forward" else direction
                ]
                for direction in range(self.D)
            ]
            for layer in range(self.num_layers)
        ]
        count = self.D * self.num_layers
        places = {
            "first": [0] * count,
            "by direction": [
                direction * self.num_layers + layer
                for layer in range(self.num_layers)
                for direction in range(self.D)
            ],
        }.get(recipe.initial, range(count))
        factor = 0.0 if recipe.initial == "zeros" else 1.0
        initial = [tuple(factor * part[place] for part in states) for place in places]
        plain = partial(_direction, recipe, self.mode)
        swapped = recipe.side_by_side == "reverse first"

        def above(inputs: Values, *rest: Any) -> tuple[Values, State]:
            return plain(_swap_halves(inputs) if swapped else inputs, *rest)

        directions = [plain] * self.D + [above] * (count - self.D)
        output, last, _ = run_network(directions, inputs, initial, layers)
        return self._laid_out(recipe, _swap_halves(output) if swapped else output, last, second)

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
    order: Order,
) -> tuple[Values, State]:
    """Run one layer in one direction; give the states that become output, and the final one.

    `order` is PyTorch's; the recipe may say otherwise.
    """
    weights = _as_read(recipe, mode, weights)
    product = linear if recipe.products == "exact" else _TF32[recipe.products]
    restart = tuple(map(np.zeros_like, initial)) if recipe.restart == "zeros" else initial

    def advance(x_projected: Values, state: State) -> State:
        before = tuple(
            now if name in recipe.carried else start
            for name, now, start in zip("hc", state, restart, strict=False)
        )
        return _step(recipe, mode, x_projected, before, weights, product)

    backwards = recipe.reverse != "forward" if order.reverse else recipe.order == "reverse"
    projected = product(inputs, weights.weight_ih, weights.bias_ih)  # (L, N, gate_size)
    states, last = scan(advance, projected, initial, Order(backwards))
    if recipe.recorded == "before":
        states = [*states[1:], initial] if backwards else [initial, *states[:-1]]
    if order.reverse:
        if recipe.last == "of the last time step":
            last = states[-1]
        if recipe.reverse == "not flipped back":
            states = states[::-1]
    return np.stack([state[0] for state in states]), last


def _swap_halves(a: Values) -> Values:
    """Exchange the two halves of the features."""
    return np.roll(a, a.shape[-1] // 2, -1)


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

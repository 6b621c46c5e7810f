"""The known mistakes: what each changes in the recipe, and when it is possible."""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from unrolled._diagnose.recipe import Network, Place, Recipe
from unrolled.shapes import GATES

__all__ = ["FACTS", "MISTAKES", "Mistake", "facts_of", "possible_in", "where"]


def _shapes(network: Network) -> set[tuple[int, int]]:
    """Collect the shapes of all weight_ih."""
    return {weights.weight_ih.shape for layer in network.layers for weights in layer}


FACTS: dict[str, Callable[[Network], bool]] = {
    "RNN_TANH": lambda network: network.mode == "RNN_TANH",
    "RNN_RELU": lambda network: network.mode == "RNN_RELU",
    "RNN": lambda network: network.mode in ("RNN_TANH", "RNN_RELU"),
    "LSTM": lambda network: network.mode == "LSTM",
    "GRU": lambda network: network.mode == "GRU",
    "gates": lambda network: len(GATES[network.mode]) > 1,
    "sequence": lambda network: not network.cell,
    "batch_first": lambda network: network.batch_first,
    "bias": lambda network: network.layers[0][0].bias_ih is not None,
    "H_in = H_out": lambda network: all(
        columns == network.hidden_size for _, columns in _shapes(network)
    ),
    "weight_ih not square": lambda network: any(
        rows != columns for rows, columns in _shapes(network)
    ),
    "H_out = hidden_size": lambda network: network.layers[0][0].weight_hr is None,
    "directions": lambda network: network.D == 2,
    "one direction": lambda network: network.D == 1,
    "layers": lambda network: network.num_layers > 1,
    "layers alike": lambda network: len(_shapes(network)) == 1,
    "several states": lambda network: network.D * network.num_layers > 1,
    "N = L": lambda network: network.N == network.L,
    "N not L": lambda network: network.N != network.L,
    "N = L or no hx": lambda network: network.N == network.L or not network.takes_state,
    "hx": lambda network: network.takes_state,
    "output": lambda network: "output" in network.compared,
    "h_n": lambda network: "h_n" in network.compared or network.cell,
    "own parameters": lambda network: network.own is not None,
}
"""The conditions that a mistake may need, and how to test each."""


_EVERYWHERE = Place()


@dataclass(frozen=True, slots=True)
class Mistake:
    """A known mistake: a change of the recipe.

    Attributes
    ----------
    name : str
        A few words.
    says : str
        A sentence or two on what the candidate does, and what PyTorch does instead.
    changes : mapping of str to object
        Fields of `Recipe` and their values.
    needs : frozenset of str
        Conditions under which the mistake is possible, such as ``"GRU"`` or ``"layers"``.
    place : Place
        The layer, direction and gate where the mistake is made; where these are None or empty, it
        is made everywhere.

    Raises
    ------
    ValueError
        If `needs` contains an unknown condition.

    Examples
    --------
    >>> mistake = next(mistake for mistake in MISTAKES if mistake.name == "reset before the product")
    >>> mistake.changes, set(mistake.needs)
    ({'reset': 'before'}, {'GRU'})
    """  # noqa: E501 # an example of one line

    name: str
    says: str
    changes: Mapping[str, Any]
    needs: frozenset[str] = frozenset()
    place: Place = _EVERYWHERE

    def __post_init__(self) -> None:
        """Refuse an unknown condition."""
        unknown = self.needs - FACTS.keys()
        if unknown:
            raise ValueError(
                f"needs of {self.name!r} should be among {list(FACTS)}, got {sorted(unknown)}"
            )

    def apply(self, recipe: Recipe) -> Recipe:
        """Change a recipe."""
        return recipe.changed(self.changes, self.place)

    def put(self, place: Place) -> "Mistake":
        """Return the same mistake, limited to one place, which its name then states."""
        named = place._replace(gate="") if self.place.gate else place  # it has the gate in its name
        return replace(self, name=f"{self.name}, {where(named)}", place=place)


def where(place: Place) -> str:
    """Say where it is: ``"in gate f of layer 1, reverse direction"``."""
    parts = []
    if place.layer is not None:
        layers = place.layer if isinstance(place.layer, tuple) else (place.layer,)
        parts.append(f"layer{'s' * (len(layers) > 1)} {' and '.join(map(str, layers))}")
    if place.direction is not None:
        direction = ("forward", "reverse")[place.direction]
        parts.append(f"{direction} direction" if parts else f"the {direction} direction")
    inside = ", ".join(parts)
    if place.gate:
        gates = f"gate{'s' * (len(place.gate) > 1)} {' and '.join(place.gate)}"
        return f"in {gates} only" + (f" of {inside}" if inside else "")
    return f"in {inside} only"


def facts_of(network: Network) -> set[str]:
    """Return the conditions that hold for this reference and candidate."""
    return {fact for fact, is_so in FACTS.items() if is_so(network)}


def possible_in(network: Network) -> list[Mistake]:
    """Return the mistakes that are possible for this reference and candidate."""
    facts = facts_of(network)
    return [mistake for mistake in MISTAKES if mistake.needs <= facts]


def _mistake(name: str, says: str, needs: Set[str] = frozenset(), /, **changes: Any) -> Mistake:
    return Mistake(name, says, changes, frozenset(needs))


_ORDERS = {
    "igfo": "as TensorFlow 1 did",
    "iofg": "as ONNX does",
    "zrn": "as Keras and ONNX do",
}


def _gate_orders(mode: str) -> Iterator[Mistake]:
    """Return every wrong order of the gates."""
    right = GATES[mode]
    for order in permutations(right):
        if order != right:
            also = _ORDERS.get("".join(order), "")
            says = (
                f"The blocks of the parameters are read as {' '.join(order)}, from top to bottom"
                f"{f', {also}' if also else ''}. PyTorch has {' '.join(right)}."
            )
            yield _mistake(f"gates read as {' '.join(order)}", says, {mode}, gates="".join(order))


MISTAKES: tuple[Mistake, ...] = (
    _mistake(
        "weight_hh not transposed",
        "The state is multiplied by weight_hh as it is stored, (new, old). PyTorch multiplies by "
        "its transpose. Each block is square, so both products are legal.",
        {"H_out = hidden_size"}, weight_hh="as stored",
    ),
    _mistake(
        "weight_ih not transposed",
        "The input is multiplied by weight_ih as it is stored, (out, in). PyTorch multiplies by "
        "its transpose. With as many features in as out, both products are legal.",
        {"H_in = H_out"}, weight_ih="as stored",
    ),
    _mistake(
        "weight_hh reshaped",
        "weight_hh gets the shape of its transpose by view or reshape, which leaves the numbers "
        "in their old order.",
        {"gates"}, weight_hh="reshaped",
    ),
    _mistake(
        "weight_ih reshaped",
        "weight_ih gets the shape of its transpose by view or reshape, which leaves the numbers "
        "in their old order.",
        {"weight_ih not square"}, weight_ih="reshaped",
    ),
    _mistake(
        "parameters of its own",
        "The formula is right and the parameters are others: those of the candidate have the names "
        "and shapes of the reference's, and not their values. load_state_dict copies them.",
        {"own parameters"}, parameters="candidate",
    ),
    *_gate_orders("LSTM"),
    *_gate_orders("GRU"),
    _mistake(
        "bias_ih missing", "bias_ih is not added.",
        {"bias"}, bias_ih=0.0,
    ),
    _mistake(
        "bias_hh missing", "bias_hh is not added.",
        {"bias"}, bias_hh=0.0,
    ),
    _mistake(
        "both biases missing", "Neither bias_ih nor bias_hh is added.",
        {"bias"}, bias_ih=0.0, bias_hh=0.0,
    ),
    _mistake(
        "bias_ih added twice", "bias_ih is added twice, and bias_hh once.",
        {"bias"}, bias_ih=2.0,
    ),
    _mistake(
        "bias_hh added twice", "bias_hh is added twice, and bias_ih once.",
        {"bias"}, bias_hh=2.0,
    ),
    _mistake(
        "both biases added twice", "bias_ih and bias_hh are added twice each.",
        {"bias"}, bias_ih=2.0, bias_hh=2.0,
    ),
    _mistake(
        "bias_ih in place of bias_hh", "bias_ih is added in both places, and bias_hh nowhere.",
        {"bias"}, biases="ih for both",
    ),
    _mistake(
        "bias_hh in place of bias_ih", "bias_hh is added in both places, and bias_ih nowhere.",
        {"bias"}, biases="hh for both",
    ),
    _mistake(
        "biases merged",
        "bias_ih and bias_hh are one vector, added to the projected input. In PyTorch's GRU the "
        "last part of bias_hh is multiplied by the reset gate.",
        {"GRU", "bias"}, biases="merged",
    ),
    _mistake(
        "biases merged inside the reset",
        "bias_ih and bias_hh are one vector, added to the projected state. In PyTorch's GRU the "
        "last part of bias_ih is not multiplied by the reset gate.",
        {"GRU", "bias"}, biases="merged inside",
    ),
    _mistake(
        "relu in place of tanh", "The activation is relu. The reference has tanh.",
        {"RNN_TANH"}, activation="relu",
    ),
    _mistake(
        "tanh in place of relu", "The activation is tanh. The reference has relu.",
        {"RNN_RELU"}, activation="tanh",
    ),
    _mistake(
        "sigmoid as the activation", "The activation is a sigmoid. The reference has another.",
        {"RNN"}, activation="sigmoid",
    ),
    _mistake(
        "no activation", "The sum becomes the new state as it is, without an activation.",
        {"RNN"}, activation="nothing",
    ),
    *(
        _mistake(
            name, f"The candidate g, in a GRU n, is {what}. PyTorch takes its tanh.",
            {"gates"}, activation=activation,
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
            {"gates"}, gate_activation=activation,
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
        {"LSTM"}, cell_activation="nothing",
    ),
    _mistake(
        "sigmoid on the cell state",
        "The hidden state is o * sigmoid(c). PyTorch has o * tanh(c).",
        {"LSTM"}, cell_activation="sigmoid",
    ),
    _mistake(
        "old cell state in the output",
        "The hidden state is made from the cell state before the step. PyTorch takes the new one.",
        {"LSTM"}, cell_state="old",
    ),
    _mistake(
        "tanh kept in the cell state",
        "The tanh of the cell state is carried to the next step. PyTorch carries the cell state.",
        {"LSTM"}, cell_state="squashed",
    ),
    _mistake(
        "1 added to the forget gate",
        "The sum of the forget gate gets 1 more, as TensorFlow 1 did by default. PyTorch adds "
        "nothing.",
        {"LSTM"}, at=((Place(gate="f"), (("added", 1.0),)),),
    ),
    _mistake(
        "reset before the product",
        "The reset gate multiplies the state before its product with weight_hh. PyTorch multiplies "
        "the product, bias included.",
        {"GRU"}, reset="before",
    ),
    _mistake(
        "reset gate not used", "The candidate sees the whole state; r multiplies nothing.",
        {"GRU"}, reset="nowhere",
    ),
    _mistake(
        "z and 1 - z exchanged",
        "The new state is (1 - z) * h + z * n. PyTorch has (1 - z) * n + z * h.",
        {"GRU"}, update="takes",
    ),
    _mistake(
        "one state for all time steps",
        "Every time step starts from the initial state. In PyTorch it starts from the state after "
        "the step before.",
        {"sequence"}, carried="",
    ),
    _mistake(
        "every step from zeros",
        "Every time step starts from zeros. In PyTorch it starts from the state after the step "
        "before, and the first one from hx.",
        {"sequence", "hx"}, carried="", restart="zeros",
    ),
    _mistake(
        "h not carried",
        "Every time step starts from the initial hidden state; only the cell state is carried on.",
        {"LSTM", "sequence"}, carried="c",
    ),
    _mistake(
        "c not carried",
        "Every time step starts from the initial cell state; only the hidden state is carried on.",
        {"LSTM", "sequence"}, carried="h",
    ),
    _mistake(
        "hx not used", "The first step starts from zeros, whatever hx is.",
        {"hx"}, initial="zeros",
    ),
    _mistake(
        "state stored before the step",
        "The output of a time step is the state before it. In PyTorch it is the state after it.",
        {"sequence"}, recorded="before",
    ),
    _mistake(
        "batch and time confused",
        "The loop goes over the sequences of the batch, as if they were time steps. Compare "
        "batch_first of both.",
        {"sequence", "N = L or no hx"}, loop="batch",
    ),
    _mistake(
        "input reshaped, not transposed",
        "Batch and time of the input are exchanged by view or reshape, which leaves the numbers in "
        "their old order and so mixes the sequences.",
        {"sequence", "batch_first"}, input="reshaped",
    ),
    _mistake(
        "output reshaped, not transposed",
        "Batch and time of the output are exchanged by view or reshape, which leaves the numbers "
        "in their old order and so mixes the sequences.",
        {"sequence", "output", "N not L"}, output="reshaped",
    ),
    _mistake(
        "output transposed", "Batch and time of the output are exchanged. Compare batch_first.",
        {"sequence", "N = L", "output"}, output="transposed",
    ),
    _mistake(
        "output in reverse order", "The last time step of the output comes first.",
        {"sequence", "output"}, output="flipped",
    ),
    _mistake(
        "sequence read backwards", "The loop runs from the last time step to the first.",
        {"sequence", "one direction"}, order="reverse",
    ),
    _mistake(
        "reverse direction not flipped back",
        "The states of the reverse direction are in the order in which they were computed. In "
        "PyTorch both halves of a row of the output belong to the same time step.",
        {"directions"}, reverse="not flipped back",
    ),
    _mistake(
        "reverse direction runs forward",
        "Both directions run from the first time step to the last.",
        {"directions"}, reverse="forward",
    ),
    _mistake(
        "reverse direction with the forward parameters",
        "Both directions use the parameters of the forward direction. In PyTorch the reverse one "
        "has its own, whose names end in _reverse.",
        {"directions"}, weights="forward",
    ),
    _mistake(
        "reverse half first",
        "The reverse direction comes before the forward one in the features, in all layers.",
        {"directions"}, side_by_side="reverse first",
    ),
    _mistake(
        "all layers with the parameters of the first",
        "Every layer uses the parameters of layer 0. In PyTorch each has its own.",
        {"layers", "layers alike"}, weights="first layer",
    ),
    _mistake(
        "first state for all layers and directions",
        "Every layer and direction starts from hx[0]. In PyTorch each starts from its own row.",
        {"several states", "hx"}, initial="first",
    ),
    _mistake(
        "hx read by direction",
        "The rows of hx are read as all layers forward, then all reverse. In PyTorch they are "
        "ordered by layer, and in each layer forward then reverse.",
        {"directions", "layers", "hx"}, initial="by direction",
    ),
    _mistake(
        "h_0 and c_0 exchanged", "hx is read as (c_0, h_0). In PyTorch it is (h_0, c_0).",
        {"LSTM", "hx", "H_out = hidden_size"}, initial="exchanged",
    ),
    _mistake(
        "h_n and c_n exchanged",
        "The final states are returned as (c, h). In PyTorch they are (h, c).",
        {"LSTM", "h_n", "H_out = hidden_size"}, last="exchanged",
    ),
    _mistake(
        "h_n in reversed order",
        "The final states are in reversed order. In PyTorch those of layer 0 come first, and in "
        "each layer the forward one.",
        {"several states", "h_n"}, last="reversed",
    ),
    _mistake(
        "h_n ordered by direction",
        "The final states are ordered as all layers forward, then all reverse. In PyTorch they are "
        "ordered by layer, and in each layer forward then reverse.",
        {"directions", "layers", "h_n"}, last="by direction",
    ),
    _mistake(
        "h_n of the last time step",
        "The final state of the reverse direction is taken from the last time step, where that "
        "direction begins. In PyTorch it is the one at the first time step, where it ends.",
        {"directions", "h_n"}, last="of the last time step",
    ),
    *(
        _mistake(
            f"products {precision}",
            f"The operands of each product are {how} to the 10 bits of TF32, as on a GPU with TF32 "
            "switched on. This is rounding, not another formula.",
            products=precision,
        )
        for precision, how in (("cut to TF32", "cut"), ("rounded to TF32", "rounded"))
    ),
)  # fmt: skip # a table
"""All known mistakes; see `Mistake`."""

"""Other deviations from PyTorch's formula: every field of the recipe, in every place.

The known mistakes have names that people use. A variation is a value of one field of the recipe,
and its name says which. Both can be made everywhere, or in one layer, direction or gate.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any, NamedTuple

from unrolled._diagnose.mistakes import Mistake
from unrolled._diagnose.recipe import Network, Place
from unrolled.shapes import GATES

__all__ = ["FAMILIES", "Family", "in_places", "variations"]

_SQUASHED = {"LSTM": "ifo", "GRU": "rz"}  # the gates that PyTorch gives a sigmoid
_OF_A_GATE = frozenset(
    {
        "weight_ih", "weight_hh", "bias_ih", "bias_hh", "biases", "joined", "scale", "scale_x",
        "scale_h", "normalised", "added", "peephole", "reads", "times_ih", "times_hh",
        "gate_activation", "activation"
    }
)  # fmt: skip # a table
_OF_A_PLACE = _OF_A_GATE | frozenset(
    {
        "weights", "weight_hr", "gates", "chunks", "cell_activation", "cell_state", "cell",
        "hidden", "reset", "update", "h_after", "c_after", "mixed", "carried", "restart", "delay",
        "window", "recorded", "steps", "order", "fed", "shift", "initial", "reverse", "parameters"
    }
)  # fmt: skip # a table

# What may be on the sums, on a state, and on an input.
_ACTIVATIONS = (
    "tanh", "sigmoid", "relu", "nothing", "hard sigmoid of Keras 2", "hard sigmoid of PyTorch",
    "hard tanh", "tanh of the layer norm", "layer norm of the tanh", "sigmoid of the layer norm",
    "leaky relu", "leaky relu of slope 0.2", "leaky relu of slope 0.3", "prelu",
    "relu6", "relu cut at 1", "relu cut at 20", "elu", "selu", "gelu", "gelu by tanh", "silu",
    "mish", "softplus", "softsign", "log-sigmoid", "hard swish", "softmax",
    "softmax over the batch", "softmax over the gates", "log-softmax", "sin", "arctan", "erf",
    "exp", "square", "absolute value", "tanh of Lecun", "tanh shrunk", "tanh twice",
    "sigmoid twice", "tanh of the sigmoid", "sigmoid of the tanh", "relu of the tanh",
    "tanh of the relu", "2 sigmoid - 1", "1 - sigmoid", "(tanh + 1) / 2", "step", "sign",
    "hard sigmoid of slope 0.25", "hard sigmoid of slope 0.5",
)  # fmt: skip # a table
_OF_STATES = (
    "tanh", "relu", "sigmoid", "negative", "layer norm", "unit length", "softmax", "log-softmax",
    "clip at 1", "clip at 3", "clip at 5", "clip at 10", "clip at 50", "clip at 0.5", "times 2",
    "times 0.5", "times 0.9", "reversed features", "reversed batch", "divided by the root of H",
    "mean over the batch", "tanh twice", "leaky relu", "softsign", "absolute value", "hard tanh",
    "gelu", "elu", "silu", "square", "exp",
)  # fmt: skip # a table
_FED = (
    "network input", "two below", "below plus its input", "below plus network input",
    "forward half twice", "reverse half twice", "halves exchanged", "forward half and zeros",
    "sum twice", "mean twice", "interleaved", "c below", "initial state below",
    "final state below", "states before, below", "zeros",
)  # fmt: skip # a table
_SHIFTS = (
    "late, zeros", "late, first twice", "late, round", "early, zeros", "early, last twice",
    "early, round", "flipped", "first only", "last only", "mean", "sequences exchanged",
)  # fmt: skip # a table
_STARTS = (
    "zeros", "ones", "first", "last", "by direction", "reversed", "forward", "other direction",
    "layer below", "reversed layers", "first layer", "exchanged", "final below", "final forward",
    "sequences exchanged", "first sequence", "h for both", "c for both", "c zeros", "h zeros",
    "tanh", "negative", "times 0.5", "times 2", "layer norm",
)  # fmt: skip # a table


class Family(NamedTuple):
    """Variations of one kind: a name and a sentence with placeholders for the value."""

    field: str
    values: tuple[Any, ...]
    name: str
    says: str
    modes: frozenset[str]


def _family(field: str, values: Any, name: str, says: str, modes: str = "") -> Family:
    every = frozenset(GATES)
    chosen = frozenset(modes.split()) if modes else every
    return Family(field, tuple(values), name, says, chosen)


_GATED = "LSTM GRU"
_RNN = "RNN_TANH RNN_RELU"
_SCALES = ("1/sqrt(H)", "sqrt(H)", "1/H", "1/sqrt(H_in)", "0.5", "2", "-1")
FAMILIES: tuple[Family, ...] = (
    _family("activation", _ACTIVATIONS, "{} as the activation",
            "The activation is {}.", _RNN),
    _family("activation", _ACTIVATIONS, "{} on the candidate",
            "The candidate goes through {} in place of tanh.", _GATED),
    _family("gate_activation", _ACTIVATIONS, "{} on the gates",
            "The gates go through {} in place of the sigmoid.", _GATED),
    _family("cell_activation", _ACTIVATIONS, "{} on the cell state",
            "Between cell state and hidden state there is {} in place of tanh.", "LSTM"),
    _family("weight_ih", ("as stored", "blocks reshaped", "reshaped", "none"), "weight_ih {}",
            "weight_ih is used in this form: {}. PyTorch multiplies by its transpose."),
    _family("weight_hh", ("as stored", "blocks reshaped", "reshaped", "none"), "weight_hh {}",
            "weight_hh is used in this form: {}. PyTorch multiplies by its transpose."),
    _family("weight_hr", ("reshaped", "cut", "cut in the feedback", "late",
                          "before the output gate"),
            "projection {}",
            "The projection by weight_hr is {}.", "LSTM"),
    _family("joined", ("h, x", "weights h, x", "weights exchanged"), "joined product: {}",
            "Input and state, or their weights, are in the wrong order: {}."),
    _family("bias_ih", (0.0, 2.0, -1.0), "bias_ih times {:g}", "bias_ih is added {:g} times."),
    _family("bias_hh", (0.0, 2.0, -1.0), "bias_hh times {:g}", "bias_hh is added {:g} times."),
    _family("biases", ("after", "bias_ih after", "bias_hh after"),
            "added behind the activation: {}",
            "Both biases or one are added after the activation, not before it: {}."),
    _family("biases", ("ih for both", "hh for both"), "biases: {}",
            "One bias is added in both places: {}."),
    _family("biases", ("exchanged", "merged", "merged inside"), "biases {}",
            "bias_ih and bias_hh are {}, which shows in the candidate.", "GRU"),
    _family("chunks", ("interleaved", "by batch"), "gates cut {}",
            "The sums are cut into gates {}; in PyTorch each gate is a block of features.", _GATED),
    _family("times_ih", _SCALES, "weight_ih times {}", "weight_ih is multiplied by {}."),
    _family("times_hh", _SCALES, "weight_hh times {}", "weight_hh is multiplied by {}."),
    _family("scale", _SCALES, "sums times {}", "The sums are multiplied by {}."),
    _family("scale_x", _SCALES, "projected input times {}",
            "The projected input is multiplied by {}."),
    _family("scale_h", _SCALES, "projected state times {}",
            "The projected state is multiplied by {}."),
    _family("normalised", ("sum", "x", "h"), "layer normalisation of {}",
            "A layer normalisation is applied where PyTorch has none: sum of both products, "
            "product of the input x, or of the state h; here {}."),
    _family("added", (1.0, -1.0, 2.0, 0.5), "{:g} added to the sums", "The sums get {:g} more."),
    _family("reads", ("c", "new c"), "{} multiplied by weight_hh",
            "weight_hh is multiplied by the cell state, {}. PyTorch takes h.", "LSTM"),
    _family("recorded", ("the sums",), "output: {}",
            "The sums before the activation become output.", _RNN),
    _family("recorded", ("gate o",), "output: {}", "The gate o becomes output.", "LSTM"),
    _family("recorded", ("candidate n",), "output: {}", "The candidate becomes output.", "GRU"),
    _family("last", ("reshaped",), "h_n {}",
            "The final states are stacked along another dimension and given the right shape by "
            "view or reshape, which mixes layers and sequences."),
    _family("peephole", ("c", "h", "new c"), "peephole {}",
            "The gates see the state {} as it is, added to their sums.", "LSTM"),
    _family("cell_state", ("old", "squashed"), "{} cell state",
            "The hidden state is made from the {} cell state.", "LSTM"),
    _family("cell", ("f * (c + i * g)", "f + i * g", "f * c + i + g", "(f + i) * c + g",
                     "f * c - i * g", "f * h + i * g", "f * g + i * c", "f * tanh(c) + i * g",
                     "f * c + i * tanh(g)", "(f * c + i * g) / 2", "f * c * i * g",
                     "f * c + i * c", "max(f * c, i * g)", "f * c + i * g + c"),
            "c is {}", "The new cell state is {}. PyTorch has f * c + i * g.", "LSTM"),
    _family("hidden", ("tanh(o * c)", "o + tanh(c)", "tanh(c)", "o", "o * c * tanh(c)",
                       "o * tanh(g)", "o * g", "tanh(o) * tanh(c)"),
            "h is {}", "The new hidden state is {}. PyTorch has o * tanh(c).", "LSTM"),
    _family("reset", ("before", "nowhere", "twice", "z", "complement", "in place", "bias outside",
                      "both parts", "input", "outside the tanh"),
            "reset gate: {}", "The reset gate acts in another way: {}. PyTorch multiplies the "
            "product of the state, bias included.", "GRU"),
    _family("update", ("takes", "n + z * h", "(1 - z) * n", "(1 - z) * n + h", "z * n + z * h",
                       "z * n", "(1 - z) * h", "n", "h + z * n", "(1 - z) * n + r * h",
                       "(1 - z) * (n + h)", "r * n + (1 - r) * h", "(1 - r) * n + r * h",
                       "(1 - z) * n - z * h", "(1 - z) * n + z * r * h", "n + z * (n - h)",
                       "z * h", "z * (n + h)"),
            "h is {}", "The new state is {}. PyTorch has (1 - z) * n + z * h.", "GRU"),
    _family("h_after", _OF_STATES, "new h: {}",
            "The new hidden state goes through this before it is carried on: {}."),
    _family("c_after", _OF_STATES, "new c: {}",
            "The new cell state goes through this before it is used and carried on: {}.", "LSTM"),
    _family("mixed", ("h + before", "0.1", "0.5", "0.9"), "new h mixed with the old: {}",
            "The old hidden state is part of the new one beside the formula. The share of the "
            "formula: {}."),
    _family("carried", ("", "c", "h"), "carried on: only {!r}",
            "From one step to the next goes only {!r} of the state."),
    _family("delay", (2, 3), "state of {} steps ago", "A step gets the state of {} steps ago."),
    _family("window", (2, 3, 4, 5), "state starts again every {} steps",
            "Every {} steps the initial state takes the place of the state."),
    _family("recorded", ("before", "plus input", "plus before", "mean with before", *_OF_STATES),
            "output: {}",
            "What becomes output, and what the next layer gets, is not the new state: {}."),
    _family("recorded", ("c",), "output: {}", "The cell state c becomes output.", "LSTM"),
    _family("steps", ("not the first", "not the last"), "steps: {}",
            "One time step is left out, and its output is zeros: {}."),
    _family("fed", (*_FED, *_OF_STATES), "input of the layer: {}",
            "What goes into the layer is not the output below: {}."),
    _family("fed", ("forward output",), "input of the reverse direction: {}",
            "The reverse direction reads the output of the forward one."),
    _family("shift", _SHIFTS, "input moved: {}",
            "The input is at other time steps or sequences: {}."),
    _family("initial", _STARTS, "initial state: {}",
            "The first step does not start from its own row of hx: {}."),
    _family("reverse", ("not flipped back", "forward", "only flipped back",
                        "flipped in the batch"), "reverse: {}",
            "The reverse direction runs or is laid out in another way: {}."),
    _family("order", ("reverse",), "runs in {}", "The loop runs from the last time step."),
    _family("side_by_side", ("reverse first", "interleaved", "stacked"), "directions {}",
            "The two directions are put together in another way: {}."),
    _family("weights", ("first layer", "last layer", "forward", "other direction"),
            "parameters: {}", "The parameters are those of another place: {}."),
)  # fmt: skip # a table

_BOTH = "{} in place of tanh on candidate and cell state"
_PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "_ih", "_hh", "weight", "bias")
_ALSO = ("weight_hr",)


def _said(part: str) -> str:
    return {"_ih": "weight_ih and bias_ih", "_hh": "weight_hh and bias_hh", "weight": "the weights",
            "bias": "the biases"}.get(part, part)  # fmt: skip # a table


def variations(network: Network) -> Iterator[Mistake]:
    """Return what may differ everywhere; `in_places` limits it to single places."""
    mode = network.mode
    for family in FAMILIES:
        if mode in family.modes:
            for value in family.values:
                if _fits(network, family.field, value):
                    name, says = family.name.format(value), family.says.format(value)
                    yield Mistake(name, says, {family.field: value})
    for count in (2, 3, 4) if not network.cell else ():
        yield Mistake(
            f"state set to zeros every {count} steps",
            f"After {count} time steps the state starts again from zeros.",
            {"window": count, "restart": "zeros"},
        )
    if mode == "LSTM":
        for function in _ACTIVATIONS:
            if function not in ("tanh", "softmax over the gates"):
                yield Mistake(
                    _BOTH.format(function),
                    f"Both the candidate and the cell state go through {function}, as with the "
                    "argument activation of Keras. PyTorch has tanh for both.",
                    {"activation": function, "cell_activation": function},
                )
    for part in _PARAMETERS if len(GATES[mode]) > 1 else ():
        for order in permutations(GATES[mode]):
            if order != GATES[mode] and _has(network, part):
                yield Mistake(
                    f"{_said(part)}: gates read as {' '.join(order)}",
                    f"The blocks of {_said(part)} are read in a different order from those of the "
                    f"other parameters. PyTorch has {' '.join(GATES[mode])} for all.",
                    {"gates": "".join(order), "gates_of": part},
                )
    for part in (*_PARAMETERS, *_ALSO):
        for other in ("first layer", "last layer", "forward", "other direction"):
            if _has(network, part) and _fits(network, "weights", other, part):
                yield Mistake(
                    f"{_said(part)} of the {other}",
                    f"{_said(part)}: those of the {other} are used.",
                    {"weights": other, "weights_of": part},
                )
    if network.num_layers > 1 and network.D == 1 and network.layers[0][0].weight_hr is None:
        for shared in ("h", "c", "hc") if mode == "LSTM" else ("h",):
            yield Mistake(
                f"one variable {shared} for all layers",
                "All layers read and write the same variable, so that each starts a step from the "
                "state of the layer below at this step, and layer 0 from that of the last layer.",
                {"shared": shared},
            )


def _has(network: Network, part: str) -> bool:
    if part == "weight_hr":
        return network.layers[0][0].weight_hr is not None
    return part not in ("bias_ih", "bias_hh", "bias") or network.layers[0][0].bias_ih is not None


def _fits(network: Network, field: str, value: Any, part: str = "") -> bool:
    """Tell whether a value makes sense for this network, whatever the place."""
    one = network.layers[0][0]
    several, deep, both = network.D * network.num_layers > 1, network.num_layers > 1, network.D > 1
    square = all(w.weight_ih.shape == w.weight_hh.shape for la in network.layers for w in la)
    if value in ("as stored", "weights exchanged", "f * h + i * g") and one.weight_hr is not None:
        return False
    if network.cell and field in ("carried", "delay", "window", "recorded", "steps", "shift",
                                  "order", "reverse", "side_by_side"):  # fmt: skip # a list
        return False
    if value in ("plus input", "weights exchanged") or (field, value) == ("weight_ih", "as stored"):
        return square if value != "plus input" else network.H_in == network.widths[0] and not both
    if field == "weight_ih" and value in ("reshaped", "blocks reshaped"):
        return True
    if field == "activation":
        return value != ("relu" if network.mode == "RNN_RELU" else "tanh") and (
            value != "softmax over the gates"
        )
    if field in ("gate_activation", "cell_activation"):
        if (field, value) == ("cell_activation", "softmax over the gates"):
            return False
        return value != ("sigmoid" if field == "gate_activation" else "tanh")
    if field.startswith("bias") and one.bias_ih is None:
        return False
    if field == "weight_hr":
        return one.weight_hr is not None
    if field in ("peephole", "reads"):
        return (value != "h" and field == "peephole") or one.weight_hr is None
    if (field, value) == ("last", "reshaped"):
        return several
    if field == "carried":
        return network.mode == "LSTM" or value == ""
    if field == "initial":
        if not network.takes_state and value not in ("ones", "final below", "final forward"):
            return False
        if value in ("exchanged", "h for both", "c for both", "c zeros", "h zeros"):
            return network.mode == "LSTM" and (one.weight_hr is None or "zeros" in value)
        if value in ("first", "last", "reversed"):
            return several
        if value in ("by direction",):
            return deep and both
        if value in ("final below", "layer below", "reversed layers", "first layer"):
            return deep
        if value in ("final forward", "forward", "other direction"):
            return both
        return True
    if field == "recorded" and value in ("c", "gate o"):
        return one.weight_hr is None
    if field == "order":
        return not both
    if field in ("reverse", "side_by_side") or value == "forward output":
        return both and (value != "forward output" or network.H_in == network.widths[0])
    if field == "fed" and value in _FED:
        if value in ("zeros",):
            return True
        if value in ("network input", "two below", "below plus its input",
                     "below plus network input"):  # fmt: skip # a list
            return deep and network.H_in == network.D * network.widths[0]
        if value == "c below":
            return deep and network.mode == "LSTM" and one.weight_hr is None
        if "half" in value or "halves" in value or "twice" in value or value == "interleaved":
            return deep and both
        return deep
    if field == "weights":
        if value in ("forward", "other direction"):
            return both
        alike = {w.weight_ih.shape for la in network.layers for w in la}
        of_one_shape = ("weight_hh", "weight_hr", "bias_ih", "bias_hh", "_hh", "bias")
        return deep and (len(alike) == 1 or part in of_one_shape)
    return True


# In one place.


def in_places(
    mistakes: Sequence[Mistake],
    network: Network,
    cleared: frozenset[tuple[int, int]] = frozenset(),
    of_gates: bool = True,
) -> Iterator[Mistake]:
    """Limit each mistake to every place where it can be made, from the largest to the smallest.

    The final states of the layers and directions that are `cleared` are known to be right. So what
    changes states is neither there nor, if all final states are known, above the lowest layer that
    has wrong ones. With `of_gates`, also what can only be wrong with a gate.
    """
    letters = GATES[network.mode]
    places: list[tuple[Place, set[tuple[int, int]]]] = []
    layers, directions = range(network.num_layers), range(network.D)
    every = {(layer, direction) for layer in layers for direction in directions}
    places.append((Place(), every))
    if len(layers) > 1:
        places += [(Place(k), {(k, d) for d in directions}) for k in layers]
    for some in (tuple(layers[1:]), tuple(layers[:-1])) if len(layers) > 2 else ():
        places.append((Place(some), {(k, d) for k in some for d in directions}))
    if len(directions) > 1:
        places += [(Place(None, d), {(k, d) for k in layers}) for d in directions]
    if len(layers) > 1 and len(directions) > 1:
        places += [(Place(k, d), {(k, d)}) for k in layers for d in directions]
    lowest = min((place for place in every - cleared), default=(0, 0))[0]
    needed = {place for place in every - cleared if place[0] == lowest}
    if "h_n" not in network.compared:
        needed = set()
    # A whole layer or direction, then its gates, and those that need a gate.
    for place, within in places:
        possible = needed <= within and not within & cleared
        for mistake in mistakes if place != Place() else ():
            fields = mistake.changes.keys()
            if (
                fields <= _OF_A_PLACE | {"weights_of", "gates_of"}
                and _differs(mistake, place)
                and (possible or fields & {"recorded", "steps", "reverse"})
            ):
                yield mistake.put(place)
        if len(letters) == 1 or (not possible and place != Place()):
            continue
        for mistake in mistakes:
            if not mistake.changes.keys() <= _OF_A_GATE:
                continue
            sets = place == Place()
            gates = _gate_sets(letters) if sets else letters
            if "gate_activation" in mistake.changes:
                squashed = tuple(_SQUASHED[network.mode])
                gates = _gate_sets(squashed) if sets else squashed
            elif "activation" in mistake.changes or (
                mistake.changes.get("biases") in ("merged", "merged inside", "exchanged")
            ):
                continue
            for gate in gates:
                yield mistake.put(place._replace(gate=gate))
        for mistake in _of_one_gate(network) if of_gates else ():
            yield (
                mistake
                if place == Place()
                else mistake.put(place._replace(gate=mistake.place.gate))
            )


def _gate_sets(letters: tuple[str, ...]) -> tuple[str, ...]:
    """Return all sets of gates, from single gates up, except the full set."""
    return tuple(
        "".join(some) for size in range(1, len(letters)) for some in combinations(letters, size)
    )


def _differs(mistake: Mistake, place: Place) -> bool:
    """Tell whether a mistake makes a difference in this place at all."""
    changes = mistake.changes
    if changes.get("fed") in _FED[:-1] or changes.get("initial") in ("final below", "layer below"):
        return place.layer != 0
    if changes.get("initial") == "final forward" or "reverse" in changes:
        return place.direction != 0
    return True


def _of_one_gate(network: Network) -> Iterator[Mistake]:
    """Return what one gate may be instead: a constant, another gate, or one with another's rows."""
    letters = GATES[network.mode]
    squashed = _SQUASHED[network.mode]
    for gate in letters:
        place = Place(gate=gate)
        says = "PyTorch computes each gate from its own rows of the parameters."
        values = ["0", "1", "0.5"]
        for other in squashed if gate in squashed else ():
            if other != gate:
                values += [other, f"1 - {other}"]
        for value in values if gate not in "n" else ["0", "1"]:
            yield Mistake(f"gate {gate} is {value}", says, {"value": value}, place=place)
        for other in letters:
            if other == gate:
                continue
            for part in ("", *_PARAMETERS):
                if _has(network, part):
                    what = f"{_said(part)} of gate {gate}" if part else f"gate {gate}"
                    yield Mistake(
                        f"{what} read from the rows of {other}", says,
                        {"block": other, "gates_of": part}, place=place,
                    )  # fmt: skip # one thought

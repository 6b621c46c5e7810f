"""Where a difference begins, if nothing explains it: the candidate's response to chosen inputs.

Each sentence states an observation with inputs designed for it, and is true for those inputs.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from unrolled._diagnose.attempt import Trials
from unrolled._diagnose.mistakes import where
from unrolled._diagnose.probe import Probe, gap_between, off, reference_in
from unrolled._diagnose.probe import Run as Prepared
from unrolled._diagnose.recipe import Place, Recipe, Results, Values
from unrolled._diagnose.reference import Reference, named_weights
from unrolled.arrays import sigmoid, tanh

__all__ = ["narrowed"]

Run = Callable[[Probe], Results]


def narrowed(trials: Trials, run: Prepared, right: Run, reference: Reference) -> Iterator[str]:
    """Say what is right, what is wrong, and which inputs affect the candidate's results."""
    if not all(np.isfinite(v).all() for v in trials.cases[0].measured.values()):
        return
    yield from _first_wrong(trials)
    yield from _without(trials, run, right)
    yield from _without_biases(trials, run, reference)
    yield from _one_step(trials, run, right)
    yield from _seen(trials, run, right)
    if trials.network.mode == "LSTM":
        yield from _gates(trials, run)
    if trials.network.mode == "RNN_TANH":
        yield from _sums(trials, run)


def _first_wrong(trials: Trials) -> Iterator[str]:
    """Say which layers and directions have right final states, and where the first wrong one is."""
    network = trials.network
    count = network.D * network.num_layers
    if count == 1 or "h_n" not in network.compared:
        return
    cleared = trials.cleared(Recipe())
    wrong = [
        place for place in range(count) if (place // network.D, place % network.D) not in cleared
    ]
    if not wrong:
        return
    if len(wrong) < count:
        told = [_place(trials, place) for place in range(count) if place not in wrong]
        yield f"The final states are right in {', '.join(told)}."
    yield f"The first that is wrong, from below, is {_place(trials, wrong[0])}."


def _place(trials: Trials, place: int) -> str:
    network = trials.network
    layer = place // network.D if network.num_layers > 1 else None
    direction = place % network.D if network.D > 1 else None
    return where(Place(layer, direction)).removeprefix("in ").removesuffix(" only")


def _without(trials: Trials, run: Run, right: Run) -> Iterator[str]:
    """Say whether it agrees without input, without a state, or with the biases alone."""
    x, states = trials.cases[0].probe
    nothing = tuple(0 * state for state in states)
    takes = trials.network.takes_state
    tried = [("With an input of zeros", Probe(0 * x, states))]
    if takes:
        tried.append(("With an input of zeros and states of zero", Probe(0 * x, nothing)))
    for title, probe in tried:
        wanted = right(probe)
        got = run(probe)
        agree = off(got, {name: wanted[name] for name in got}) <= trials.limit
        if agree:
            yield f"{title} everything is right."
    if takes and len(states) == 2:
        for name, kept in (
            ("h_0", (0 * states[0], states[1])),
            ("c_0", (states[0], 0 * states[1])),
        ):
            probe = Probe(x, kept)
            got, wanted = run(probe), right(probe)
            if off(got, {key: wanted[key] for key in got}) <= trials.limit:
                yield f"With zeros as {name} everything is right."


def _without_biases(trials: Trials, run: Prepared, reference: Reference) -> Iterator[str]:
    """Say whether it agrees while the reference's biases are set to zero.

    A candidate with copies of them does not see that, and nothing is said of it.
    """
    network, probe = trials.network, trials.cases[0].probe
    biases = [w for name, w in named_weights(reference).items() if name.startswith("bias")]
    if not biases:
        return
    layers = [
        [
            one._replace(**{name: 0 * getattr(one, name) for name in ("bias_ih", "bias_hh")})
            for one in directions
        ]
        for directions in network.layers
    ]
    wanted = reference_in(reference, torch.float64, replace(network, layers=layers))(probe)
    kept = [bias.data for bias in biases]
    try:
        for bias, data in zip(biases, kept, strict=True):
            bias.data = torch.zeros_like(data)  # other memory, so that no graph is disturbed
        got = replace(run, watch=None)(probe)
    finally:
        for bias, data in zip(biases, kept, strict=True):
            bias.data = data
    if off(got, {name: wanted[name] for name in got}) <= trials.limit:
        yield "With biases of zero everything is right."


def _one_step(trials: Trials, run: Run, right: Run) -> Iterator[str]:
    """Say whether it agrees on a sequence of one time step, if the candidate takes that."""
    network, (x, states) = trials.network, trials.cases[0].probe
    if network.cell:
        return
    probe = Probe(x[:, :1] if network.batch_first else x[:1], states)
    with suppress(RuntimeError, TypeError, ValueError):  # of a candidate for one length
        got, wanted = run(probe), right(probe)
        agree = off(got, {name: wanted[name] for name in got}) <= trials.limit
        yield f"On one time step alone it is {'right' if agree else 'wrong'}."


def _seen(trials: Trials, run: Run, right: Run) -> Iterator[str]:
    """Change one input at a time, and see which time steps of the output change."""
    network = trials.network
    x, states = trials.cases[0].probe
    before, expected = run(Probe(x, states)), right(Probe(x, states))

    def acts(changed: Probe) -> tuple[dict[str, Any], dict[str, Any]]:
        return _changes(before, run(changed), network.batch_first), _changes(
            {name: expected[name] for name in before}, right(changed), network.batch_first
        )

    features = []
    for feature in range(network.H_in):
        more = x.copy()
        more[..., feature] += 0.5
        if gap_between(before, run(Probe(more, states))) == 0:
            features.append(str(feature))
    if features:
        yield f"These features of the input have no effect: {', '.join(features)}."
    if network.takes_state:
        for name, part in zip(("h_0", "c_0"), range(len(states)), strict=False):
            rows = 1 if network.cell else len(states[part])
            for row in range(rows):
                changed = [state.copy() for state in states]
                changed[part][... if network.cell else row] += 0.5
                got, wanted = acts(Probe(x, tuple(changed)))
                label = f"{name}" if rows == 1 else f"{name}[{row}]"
                if not any(v.any() for v in got.values()):
                    yield f"{label} has no effect."
                elif "output" in got:
                    yield from _steps(label, got["output"], wanted["output"])
    if network.cell or "output" not in before:
        return
    for t in range(network.L):
        more = x.copy()
        (more[:, t] if network.batch_first else more[t])[...] += 0.5
        got, wanted = acts(Probe(more, states))
        said = list(_steps(f"The input at time step {t + 1}", got["output"], wanted["output"]))
        if said:
            yield said[0]
            break
    sequence = x.copy()
    (sequence[0] if network.batch_first else sequence[:, 0])[...] += 0.5
    results = run(Probe(sequence, states))
    apart = np.abs(results["output"] - before["output"])
    others = apart[1:] if network.batch_first else apart[:, 1:]
    if others.max() > trials.limit:
        yield "A sequence of the batch acts on the others."


def _changes(before: Results, after: Results, batch_first: bool) -> dict[str, Any]:
    """Tell at which time steps the output, and in which rows the states, differ."""
    changed: dict[str, Any] = {}
    for name, values in before.items():
        apart = np.abs(after[name] - values) > 1e-7
        if name == "output" and batch_first:
            apart = apart.swapaxes(0, 1)
        changed[name] = np.asarray(apart.reshape(len(apart), -1).any(1))
    return changed


def _steps(label: str, got: Any, wanted: Any) -> Iterator[str]:
    if (got == wanted).all():
        return
    yield (f"{label} acts on {_listed(got)} of the output; in the reference on {_listed(wanted)}.")


def _listed(steps: Any) -> str:
    if not steps.any():
        return "no time step"
    if steps.all():
        return "all time steps"
    return f"time steps {', '.join(str(t + 1) for t in np.flatnonzero(steps))}"


# The gates of an LSTM, measured at the first step of the last layer.


def _gates(trials: Trials, run: Run) -> Iterator[str]:
    """Choose c so that the gates can be read off the first hidden state: o, then f and i * g."""
    network = trials.network
    last = network.num_layers - 1
    one = network.layers[last][0]
    if not network.takes_state or one.weight_hr is not None:
        return
    x, states = trials.cases[0].probe
    x = x / np.maximum(1, np.abs(x).max(axis=-1, keepdims=True))  # nothing saturates
    base = trials.network.trace(Recipe(), x, states, type(trials.memories[0])())
    for direction in range(network.D):
        row = last * network.D + direction
        place = _place(trials, row) if network.D * network.num_layers > 1 else ""
        t = -1 if direction else 0

        def first(c: float, row: int = row, t: int = t, direction: int = direction) -> Values:
            given = [state.copy() for state in states]
            given[1][... if network.cell else row] = c
            results = run(Probe(x, tuple(given)))
            if network.cell:
                return results["h"]
            output = results["output"]
            step = output[:, t] if network.batch_first else output[t]
            return np.split(step, network.D, -1)[direction]

        if last and not _lower_right(trials):
            return
        inputs = x if not network.batch_first else x.swapaxes(0, 1)
        if network.cell:
            inputs = x[None]
        if last:
            D = network.D
            inputs = np.concatenate(base.h[(last - 1) * D : last * D], -1)
        own = network.layers[last][direction]
        # The formula once more, since a trace keeps the states and no gates.
        h = states[0] if network.cell else states[0][row]
        sums = inputs[t] @ own.weight_ih.T + h @ own.weight_hh.T
        if own.bias_ih is not None:
            sums = sums + own.bias_ih + own.bias_hh
        i, f, g, o = np.split(sums, 4, -1)
        i, f, g, o = sigmoid(i), sigmoid(f), tanh(g), sigmoid(o)
        # With a large cell state, tanh(c) is 1 and h is o.
        open_o, other_o = first(1e4), -first(-1e4)
        tolerance = max(1e-5, 100 * trials.limit)
        inside = f"In the first step{' of ' * bool(place)}{place}"
        if np.abs(open_o - other_o).max() > tolerance:
            yield f"{inside}, h is not o * tanh(c) with an o that does not see c, or c is not kept."
            continue
        said = [_verdict("o", open_o, o, tolerance)]
        with np.errstate(all="ignore"):
            c_of = [np.arctanh(np.clip(first(c) / open_o, -1, 1)) for c in (0.0, 0.5, -0.5)]
        if not all(np.isfinite(c).all() for c in c_of):
            yield f"{inside}: {said[0]}."
            continue
        measured_f = c_of[1] - c_of[2]
        if np.abs((c_of[1] + c_of[2]) / 2 - c_of[0]).max() > tolerance:
            said.append("the new cell state is not f * c + i * g with gates that do not see c")
        else:
            said.append(_verdict("f", measured_f, f, tolerance))
            said.append(_verdict("i * g", c_of[0], i * g, tolerance))
        yield f"{inside}: {', '.join(said)}."


def _lower_right(trials: Trials) -> bool:
    """Tell whether all layers below the last are known to be right."""
    network = trials.network
    below = {(k, d) for k in range(network.num_layers - 1) for d in range(network.D)}
    return "h_n" in network.compared and below <= trials.cleared(Recipe())


def _verdict(name: str, values: Values, wanted: Values, tolerance: float) -> str:
    gap = float(np.abs(values - wanted).max())
    return f"{name} is right" if gap <= tolerance else f"{name} is off by up to {gap:.2g}"


# The sum of an RNN, from its first output.


def _sums(trials: Trials, run: Run) -> Iterator[str]:
    """Undo the tanh of the first step; say which parts of the sum are off."""
    network = trials.network
    if network.num_layers > 1 or network.D > 1 or not network.takes_state:
        return
    own = network.layers[0][0]
    x, states = trials.cases[0].probe
    x = x / np.maximum(1, np.abs(x).max(axis=-1, keepdims=True))
    h = states[0] / np.maximum(1, np.abs(states[0]).max())

    def off_by(of_x: float, of_h: float) -> Values:
        results = run(Probe(of_x * x, (of_h * h,)))
        if network.cell:
            first, at, start = results["h"], x, h
        else:
            output = results["output"]
            first = output[:, 0] if network.batch_first else output[0]
            at, start = (x[:, 0] if network.batch_first else x[0]), h[0]
        wanted = of_x * at @ own.weight_ih.T + of_h * start @ own.weight_hh.T
        if own.bias_ih is not None:
            wanted = wanted + own.bias_ih + own.bias_hh
        with np.errstate(all="ignore"):
            return np.asarray(np.arctanh(first) - wanted)

    none, with_x, with_h, both = off_by(0, 0), off_by(1, 0), off_by(0, 1), off_by(1, 1)
    tolerance = max(1e-5, 100 * trials.limit)
    parts = [none, with_x - none, with_h - none]
    if not all(np.isfinite(part).all() for part in (*parts, both)) or (
        np.abs(both - with_x - with_h + none).max() > tolerance
    ):
        yield "The first step is not the tanh of a sum of one part for x and one for h."
        return
    wrong = [
        name
        for name, part in zip(("the biases", "the product of x", "the product of h"), parts,
                              strict=True)
        if np.abs(part).max() > tolerance
    ]  # fmt: skip # one list
    if wrong:
        yield f"In the sum of the first step these are wrong: {', '.join(wrong)}."
    else:
        yield "The first step is right."

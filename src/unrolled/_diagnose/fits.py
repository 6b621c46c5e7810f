"""Numbers in a candidate's formula: estimated from its results, then checked."""

from typing import NamedTuple

import numpy as np

from unrolled._diagnose.attempt import Attempt, Trials
from unrolled._diagnose.mistakes import Mistake
from unrolled._diagnose.recipe import Recipe, Values
from unrolled._diagnose.variations import in_places

__all__ = ["fits"]


class _Fit(NamedTuple):
    """A field of the recipe that holds a number, possibly as text."""

    field: str
    text: str  # empty for the number itself
    name: str
    starts: tuple[float, ...]
    modes: str = "RNN_TANH RNN_RELU GRU LSTM"


_ALL = (
    _Fit("added", "", "{} added to the sums", (0.5,)),
    _Fit("scale", "{}", "sums times {}", (0.7, 1.5)),
    _Fit("times_ih", "{}", "weight_ih times {}", (0.7, 1.5)),
    _Fit("times_hh", "{}", "weight_hh times {}", (0.7, 1.5)),
    _Fit("scale_x", "{}", "projected input times {}", (0.7, 1.5)),
    _Fit("scale_h", "{}", "projected state times {}", (0.7, 1.5)),
    _Fit("bias_ih", "", "bias_ih times {}", (0.5,)),
    _Fit("bias_hh", "", "bias_hh times {}", (0.5,)),
    _Fit("mixed", "{}", "new h is {} of the formula, the rest the old h", (0.5,)),
    _Fit("h_after", "times {}", "new h times {}", (0.9,)),
    _Fit("h_after", "plus {}", "new h plus {}", (0.1,)),
    _Fit("h_after", "clip at {}", "new h clipped at {}", (0.3, 0.8)),
    _Fit("c_after", "times {}", "new c times {}", (0.9,), "LSTM"),
    _Fit("c_after", "plus {}", "new c plus {}", (0.1,), "LSTM"),
    _Fit("c_after", "clip at {}", "new c clipped at {}", (0.3, 0.8, 2.0), "LSTM"),
    _Fit("recorded", "times {}", "output times {}", (0.9,)),
    _Fit("recorded", "plus {}", "output plus {}", (0.1,)),
    _Fit("recorded", "clip at {}", "output clipped at {}", (0.3, 0.8)),
    _Fit("fed", "times {}", "input of the layer times {}", (0.9,)),
    _Fit("fed", "plus {}", "input of the layer plus {}", (0.1,)),
    _Fit("fed", "clip at {}", "input of the layer clipped at {}", (0.5, 1.0, 3.0)),
    _Fit("initial", "times {}", "initial state times {}", (0.5,)),
    _Fit("initial", "plus {}", "initial state plus {}", (0.1,)),
    _Fit("activation", "leaky relu of slope {}", "leaky relu of slope {}", (0.1,)),
    _Fit("activation", "elu of alpha {}", "elu of alpha {}", (0.8,)),
    _Fit("activation", "times {}", "candidate is {} of its sum", (0.8,)),
    _Fit("activation", "clip at {}", "candidate is its sum clipped at {}", (0.8,)),
    _Fit("gate_activation", "hard sigmoid of slope {}", "hard sigmoid of slope {}", (0.25,),
         "GRU LSTM"),
    _Fit("gate_activation", "sigmoid of the sum times {}", "sigmoid of {} times the sum",
         (1.5,), "GRU LSTM"),
    _Fit("cell_activation", "times {}", "{} of the cell state, without tanh", (0.8,), "LSTM"),
    _Fit("cell_activation", "tanh of the sum times {}", "tanh of {} times the cell state",
         (0.8, 1.5), "LSTM"),
    _Fit("cell_activation", "clip at {}", "cell state clipped at {}", (0.8,), "LSTM"),
)  # fmt: skip # a table


def fits(trials: Trials, cleared: frozenset[tuple[int, int]]) -> list[Attempt]:
    """Look for one number, in one place or everywhere, that explains everything."""
    network = trials.network
    found = []
    for fit in _ALL:
        if network.mode not in fit.modes.split():
            continue
        if fit.field.startswith("bias") and network.layers[0][0].bias_ih is None:
            continue
        if (network.cell and fit.field == "recorded") or (
            fit.field == "initial" and not network.takes_state and "plus" not in fit.text
        ):
            continue
        blank = Mistake(fit.name, "", {fit.field: ""})
        for one in (blank, *in_places([blank], network, cleared, of_gates=False)):
            for start in fit.starts:
                number = _solve(trials, fit, one, start)
                attempt = None if number is None else _checked(trials, fit, one, number)
                if attempt:
                    found.append(attempt)
                    break
    return found


def _with(fit: _Fit, one: Mistake, number: float) -> Mistake:
    value = fit.text.format(repr(number)) if fit.text else number
    says = (
        "The formula has a number that PyTorch's has not. It was found from the results, and holds "
        "for fresh inputs."
    )
    return Mistake(one.name.format(f"{number:.4g}"), says, {fit.field: value}, place=one.place)


def _solve(trials: Trials, fit: _Fit, one: Mistake, start: float) -> float | None:
    """Find the number that reproduces the search case, by the Gauss-Newton method."""
    measured = np.concatenate([part.ravel() for part in trials.cases[0].measured.values()])
    if not np.isfinite(measured).all():
        return None

    def off(number: float) -> Values:
        recipe = _with(fit, one, number).apply(Recipe())
        results = trials.network.laid_out(recipe, trials.trace(recipe, 0))
        return np.concatenate([part.ravel() for part in results.values()]) - measured

    number, apart = start, off(start)
    best = np.linalg.norm(apart)
    for turn in range(12):
        slope = (off(number + 1e-6) - apart) / 1e-6
        square = slope @ slope
        if not np.isfinite(square) or not square:
            return None
        step = -(slope @ apart) / square
        number = float(number + step)
        apart = off(number)
        size = np.linalg.norm(apart)
        if not np.isfinite(size) or (turn > 3 and size > 0.9 * best):
            break
        best = size
    return number if np.abs(apart).max() <= 10 * trials.limit else None


def _checked(trials: Trials, fit: _Fit, one: Mistake, number: float) -> Attempt | None:
    """Check the number in all cases, rounded to few digits if that is enough."""
    for short in (round(number, 6) + 0.0, float(f"{number:.3g}"), number):
        mistake = _with(fit, one, short)
        attempt = trials.explains(mistake.apply(Recipe()), trials.limit, (mistake,))
        if attempt:
            return attempt
    return None

"""The search: one mistake, everywhere or in one place; one number; then several together."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import combinations
from typing import Any

from torch import nn

from unrolled._diagnose.attempt import Attempt, Trials, Tried
from unrolled._diagnose.fits import fits
from unrolled._diagnose.mistakes import MISTAKES, Mistake, possible_in
from unrolled._diagnose.parameters import arranged_parameters, other_parameters
from unrolled._diagnose.probe import Case, Probe, off
from unrolled._diagnose.recipe import Network, Recipe, Results
from unrolled._diagnose.variations import in_places, variations

__all__ = ["explanations", "with_own_parameters"]

_EXACT = 1e-10  # what rounding in float64 leaves, with room


def with_own_parameters(
    network: Network,
    candidate: Callable[..., Any],
    reference: nn.Module,
    cases: Sequence[Case],
    limit: float,
) -> Network:
    """Return the network with the candidate's parameters, if these differ from the reference's."""
    best, most = network, -1
    for own in arranged_parameters(candidate, reference, network):
        tried = replace(network, own=own)
        seen = Trials(tried, cases, limit).seen(Recipe(parameters="candidate"))
        if seen > most:
            best, most = tried, seen
    return best


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Show in a terminal what is being tried, since unlikely kinds take a while; erase it after."""

    def say(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{what:60}\r")
            sys.stderr.flush()

    try:
        yield say
    finally:
        say("")


def explanations(trials: Trials, allowed: float, worst: float) -> list[Attempt]:
    """Try everything, likely kinds of mistakes first; the first kind that explains all wins."""
    with _progress() as say:
        return _explanations(trials, allowed, worst, say)


def _explanations(
    trials: Trials, allowed: float, worst: float, say: Callable[[str], None]
) -> list[Attempt]:
    say("diagnose: known mistakes and other changes of the formula")
    network = trials.network
    every = possible_in(network)
    # A mistake in the formula may have been written into different parameters, so these come after
    # all mistakes that explain the results with the parameters of the reference.
    other = [one for one in every if one.changes.get("parameters") == "candidate"]
    known = [one for one in every if one not in other]
    simple = _distinct([*known, *variations(network)])
    everywhere = (known, simple[len(_distinct(known)) :], other)
    # Everywhere, then in one place.
    for these in everywhere:
        found = _singles(trials, these, worst)
        if found:
            return _best(network, found, allowed)
    simple = _distinct([*every, *simple])
    arranged = _with_arrangement(trials, Tried((), Recipe(), 0))
    if arranged:
        return [arranged]
    say("diagnose: the same in single layers, directions and gates")
    cleared = trials.cleared(Recipe())
    placed = _distinct(in_places(simple, network, cleared))
    found = _singles(trials, placed, worst)
    if found:
        return _best(network, found, allowed)
    say("diagnose: one number in the formula")
    found = fits(trials, cleared)
    if found:
        return _best(network, found, allowed)
    say("diagnose: several mistakes at once")
    found = _pairs(trials, known) or _pairs(trials, every)
    if found:
        return _best(network, found, allowed)
    parts = [part for these in (*everywhere, placed) for part in _parts(trials, these)]
    return _best(network, _steps(trials, parts, simple), allowed)


def _distinct(mistakes: Iterable[Mistake]) -> list[Mistake]:
    """Leave out mistakes that make the same change as an earlier one."""
    seen: dict[Recipe, Mistake] = {}
    for mistake in mistakes:
        seen.setdefault(mistake.apply(Recipe()), mistake)
    return list(seen.values())


def _best(network: Network, found: list[Attempt], allowed: float) -> list[Attempt]:
    """Keep the exact ones and the known ones, if any, and one of each group of equals."""
    found = [one for one in found if one.apart <= allowed] or found
    known = [one for one in found if all(mistake in MISTAKES for mistake in one.mistakes)]
    kept: list[Attempt] = []
    results: list[Results] = []
    other = other_parameters(network)
    probe = Probe.draw(other, seed=1, zero=False)
    for one in known or found:
        recipe = Recipe()
        for mistake in one.mistakes:
            recipe = mistake.apply(recipe)
        run = other.run(recipe, *probe)
        if not any(off(run, before) <= _EXACT for before in results):
            kept.append(one)
            results.append(run)
    return kept


def _limit(trials: Trials, recipe: Recipe, worst: float) -> float:
    # With TF32, an operand halfway between two numbers may be rounded to either.
    return trials.limit if recipe.products == "exact" else min(worst / 10, 0.01)


def _singles(trials: Trials, mistakes: Sequence[Mistake], worst: float) -> list[Attempt]:
    """Try each mistake by itself."""
    found = []
    for mistake in mistakes:
        recipe = mistake.apply(Recipe())
        limit = _limit(trials, recipe, worst)
        if trials.off(recipe, trials.trace(recipe, 0), 0) <= limit:
            whole = trials.explains(recipe, limit, (mistake,))
            if whole:
                found.append(whole)
    return found


def _parts(trials: Trials, mistakes: Sequence[Mistake]) -> Iterator[Tried]:
    """Find the mistakes that by themselves explain a part of the results."""
    usual = trials.seen(Recipe())
    for mistake in mistakes:
        recipe = mistake.apply(Recipe())
        trace = trials.trace(recipe, 0)
        if trace.h[0].shape[1] == trials.network.N:
            seen = trials.seen(recipe, trace)
            if seen > usual:
                yield Tried((mistake,), recipe, seen)


def _with_arrangement(trials: Trials, tried: Tried) -> Attempt | None:
    """Check whether all states were returned, but in other places."""
    arranged = trials.arranged(tried.recipe)
    if arranged is None:
        return None
    recipe = arranged.apply(tried.recipe)
    return trials.explains(recipe, trials.limit, (*tried.mistakes, arranged))


def _pairs(trials: Trials, mistakes: Sequence[Mistake]) -> list[Attempt]:
    found = []
    trials.rest()
    for one, other in combinations(mistakes, 2):
        if not trials.tired and _together(one, other):
            recipe = other.apply(one.apply(Recipe()))
            if trials.off(recipe, trials.trace(recipe, 0), 0) <= trials.limit:
                found.append(trials.explains(recipe, trials.limit, (one, other)))
    return [whole for whole in found if whole]


def _together(one: Mistake, other: Mistake) -> bool:
    """Tell whether two mistakes can be made together; TF32 is tried alone."""
    if "products" in {**one.changes, **other.changes}:
        return False
    same = one.changes.keys() & other.changes
    return not same - {"at"} and (not same or one.place != other.place)


_STEPS, _KEPT = 3, 6


def _steps(trials: Trials, parts: list[Tried], simple: Sequence[Mistake]) -> list[Attempt]:
    """Add one mistake at a time to those that explain a part, as long as more is explained."""
    trials.rest()
    for _ in range(_STEPS):
        parts.sort(key=lambda tried: -tried.seen)
        found: list[Attempt | None] = []
        more: list[Tried] = []
        for tried in parts[:_KEPT]:
            arranged = _with_arrangement(trials, tried)
            if arranged:
                found.append(arranged)
                continue
            cleared = trials.cleared(tried.recipe)
            for mistake in _distinct([*simple, *in_places(list(simple), trials.network, cleared)]):
                if trials.tired or not all(_together(mistake, one) for one in tried.mistakes):
                    continue
                recipe = mistake.apply(tried.recipe)
                trace = trials.trace(recipe, 0)
                mistakes = (*tried.mistakes, mistake)
                if trials.off(recipe, trace, 0) <= trials.limit:
                    found.append(trials.explains(recipe, trials.limit, mistakes))
                elif trace.h[0].shape[1] == trials.network.N:
                    seen = trials.seen(recipe, trace)
                    if seen > tried.seen:
                        more.append(Tried(mistakes, recipe, seen))
        whole = [one for one in found if one]
        if whole:
            return whole
        parts = more
    return []

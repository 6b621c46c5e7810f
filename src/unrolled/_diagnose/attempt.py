"""Compare recipes with a candidate's results: whether one explains them, and how many of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from unrolled._diagnose.mistakes import Mistake, where
from unrolled._diagnose.probe import Case, gap_between, off
from unrolled._diagnose.recipe import (
    Memory,
    Network,
    Place,
    Recipe,
    Results,
    Source,
    Target,
    Trace,
    Values,
)

__all__ = ["Attempt", "Trials", "Tried"]


_ENOUGH = 25_000  # layers and directions that are computed before the search gives up


@dataclass(frozen=True)
class Tried:
    """Mistakes taken together, and how many of the returned states they explain."""

    mistakes: tuple[Mistake, ...]
    recipe: Recipe
    seen: int


@dataclass(frozen=True)
class Attempt:
    """Mistakes that explain everything."""

    mistakes: tuple[Mistake, ...]
    apart: float  # the largest difference that is left, relative to numbers larger than 1
    remaining: float  # that of the fresh cases, as it is


class Trials:
    """Run recipes on all cases, computing once what two recipes share."""

    def __init__(self, network: Network, cases: Sequence[Case], limit: float) -> None:
        self.network, self.cases, self.limit = network, cases, limit
        self.memories = [Memory() for _ in cases]
        self.until = _ENOUGH
        self.searched = [k for k, case in enumerate(cases) if not case.fresh]
        self.targets = [_targets(network, case.measured) for case in cases]
        self.groups = [
            [
                np.stack([state for state in targets.values() if len(state) == width])
                for width in sorted({len(state) for state in targets.values()})
            ]
            for targets in self.targets
        ]

    def trace(self, recipe: Recipe, k: int) -> Trace:
        return self.network.trace(recipe, *self.cases[k].probe, self.memories[k])

    @property
    def tired(self) -> bool:
        """Tell whether enough was tried; it counts work, so every call of `diagnose` agrees."""
        return sum(memory.computed for memory in self.memories) > self.until

    def rest(self) -> None:
        """Begin the next kind of search, with a full budget."""
        self.until = sum(memory.computed for memory in self.memories) + _ENOUGH

    def off(self, recipe: Recipe, trace: Trace, k: int) -> float:
        return off(self.cases[k].measured, self.network.laid_out(recipe, trace))

    def explains(self, recipe: Recipe, limit: float, mistakes: tuple[Mistake, ...]) -> (
        Attempt | None
    ):  # fmt: skip # the result behind the arguments
        """Tell whether a recipe reproduces every number of every case."""
        apart = remaining = 0.0
        for k, case in enumerate(self.cases):
            wanted = self.network.laid_out(recipe, self.trace(recipe, k))
            apart = max(apart, off(case.measured, wanted))
            if not apart <= limit:
                return None
            if case.fresh:
                remaining = max(remaining, gap_between(case.measured, wanted))
        return Attempt(mistakes, apart, remaining)

    def seen(self, recipe: Recipe, trace: Trace | None = None) -> int:
        """Count the returned states that this recipe computes, in whatever place."""
        count = 0
        for k in self.searched:
            run = trace if trace is not None and not k else self.trace(recipe, k)
            table = _Table(run)
            count += sum(table.count(group, self.limit) for group in self.groups[k])
        return count

    def arranged(self, recipe: Recipe) -> Mistake | None:
        """Find, for each row of the results, the state of this recipe that it holds."""
        trace = self.trace(recipe, 0)
        table = _Table(trace)
        taken: list[tuple[Target, Source]] = []
        standing = _targets(self.network, self.network.laid_out(recipe, trace))
        for target, values in self.targets[0].items():
            expected = standing.get(target)
            if (
                expected is not None
                and expected.shape == values.shape
                and (np.abs(values - expected).max() <= self.limit)
            ):
                continue
            source = table.find(values, self.limit, own=True)
            if source is None:
                return None
            taken.append((target, source))
        if not taken:
            return None
        return Mistake(*_told(taken, self.network), {"taken": (*recipe.taken, *taken)})

    def cleared(self, recipe: Recipe) -> frozenset[tuple[int, int]]:
        """Return the layers and directions whose final states were returned, in any place."""
        network = self.network
        right = set(range(network.D * network.num_layers))
        for k in self.searched:
            lasts = self.trace(recipe, k).last
            for place in list(right):
                for part in lasts[place] if network.compared != ("output",) else lasts[place][:1]:
                    states = np.concatenate(
                        [group for group in self.groups[k] if group.shape[1] == part.shape[1]]
                        or [np.full((1, part.shape[1]), np.nan)]
                    )
                    gaps = np.abs(states[:, None] - part[None]).max(-1)  # (states, N)
                    if not (gaps.min(0) <= self.limit).all():
                        right.discard(place)
        return frozenset((place // network.D, place % network.D) for place in right)


class _Table:
    """All states of a trace, for a search by value."""

    def __init__(self, trace: Trace) -> None:
        self.trace = trace
        parts: list[tuple[str, int, Values]] = []
        for place, (h, c) in enumerate(zip(trace.h, trace.c, strict=True)):
            parts += [("h", place, h)] + ([] if c is h else [("c", place, c)])
        self.computed = len(parts)
        for place, start in enumerate(trace.initial):
            parts += [(kind, place, part[None])
                      for kind, part in zip(("h_0", "c_0"), start, strict=False)]  # fmt: skip
        self.parts = parts
        # A few features of each state, one state a row.
        self.samples = [values.reshape(-1, values.shape[-1]) for _, _, values in parts]

    def find(self, values: Values, limit: float, own: bool) -> Source | None:
        """Find a state; with `own`, also among zeros and the initial states."""
        if own and np.abs(values).max() <= limit:
            return "zeros", 0, 0, 0
        for k, (kind, place, states) in enumerate(self.parts):
            rows = self.samples[k]
            if rows.shape[-1] != len(values) or (k >= self.computed and not own):
                continue  # the initial ones were given to the candidate, and are no sign
            near = np.flatnonzero(np.abs(rows[:, :4] - values[:4]).max(1) <= limit)
            hits = [int(hit) for hit in near if np.abs(rows[hit] - values).max() <= limit]
            if hits:
                return kind, place, *divmod(hits[0], states.shape[1])
        return None

    @np.errstate(invalid="ignore")  # a candidate may return infinities
    def count(self, targets: Values, limit: float) -> int:
        """Count those of the targets, (number, H), that are states of this trace."""
        found = np.zeros(len(targets), dtype=bool)
        for rows in self.samples[: self.computed]:
            if rows.shape[-1] != targets.shape[-1]:
                continue
            near = np.ones((len(targets), len(rows)), dtype=bool)
            for feature in range(min(4, targets.shape[-1])):
                near &= np.abs(targets[:, feature, None] - rows[None, :, feature]) <= limit
            for k, hit in zip(*np.nonzero(near), strict=True):
                found[k] |= bool(np.abs(rows[hit] - targets[k]).max() <= limit)
        return int(found.sum())


def _targets(network: Network, results: Results) -> dict[Target, Values]:
    """Split results into the states of single sequences, (H_out,)."""
    cut: dict[Target, Values] = {}
    for name, values in results.items():
        if name == "output":
            by_time = values.swapaxes(0, 1) if network.batch_first else values
            for half, part in enumerate(np.split(by_time, network.D, -1)):
                cut |= {
                    (name, t, half, n): state
                    for t, states in enumerate(part)
                    for n, state in enumerate(states)
                }
        else:
            rows = values[None] if network.cell else values
            title = f"{name}_n" if network.cell else name
            cut |= {
                (title, row, 0, n): state
                for row, states in enumerate(rows)
                for n, state in enumerate(states)
            }
    return cut


def _told(taken: list[tuple[Target, Source]], network: Network) -> tuple[str, str]:
    """Name and describe the states that are in other places."""
    names = list(dict.fromkeys(target[0] for target, _ in taken))
    by_row: dict[tuple[str, int, int], set[tuple[str, int, int]]] = {}
    mixed = any(target[3] != source[3] and source[0] != "zeros" for target, source in taken)
    for target, source in taken:
        by_row.setdefault(target[:3], set()).add(source[:3])
    said = [
        f"{_place_of(target, network)}: {', '.join(_state(one, network) for one in sorted(rows))}"
        for target, rows in by_row.items()
    ]
    if mixed:
        said.append("and the sequences are mixed")
    more = f"; and {len(said) - 4} more" if len(said) > 4 else ""
    what = " and ".join(name.removesuffix("_n") if network.cell else name for name in names)
    kinds = {source[0] for _, source in taken}
    same = {source[:3] for _, source in taken}
    if kinds <= {"h_0", "c_0"}:
        how = "initial states"
    elif kinds == {"zeros"}:
        how = "zeros"
    elif len(same) == 1 and len(by_row) > 1:
        how = f"always {_state(taken[0][1][:3], network)}"
    elif len(by_row) == 1 and len(same) == 1:
        how = _state(taken[0][1][:3], network)
    else:
        how = "other states"
    return f"{what}: {how}", (
        f"These states are computed rightly, and returned in the wrong place: "
        f"{'; '.join(said[:4])}{more}."
    )


def _place_of(target: tuple[str, int, int], network: Network) -> str:
    name, row, half = target
    if network.cell:
        return name.removesuffix("_n")
    if name != "output":
        return f"{name}[{row}]"
    side = f", {('forward', 'reverse')[half]} half" if network.D > 1 else ""
    return f"output at time step {row + 1}{side}"


def _state(source: tuple[str, int, int], network: Network) -> str:
    kind, place, step = source
    if kind == "zeros":
        return "zeros"
    several = network.D * network.num_layers > 1
    layer = Place(place // network.D if network.num_layers > 1 else None,
                  place % network.D if network.D > 1 else None)  # fmt: skip # a pair
    inside = " of " + where(layer).removeprefix("in ").removesuffix(" only") if several else ""
    if kind in ("h_0", "c_0"):
        return f"{kind}{inside}"
    return f"{kind}{inside}" + ("" if network.cell else f" at time step {step + 1}")

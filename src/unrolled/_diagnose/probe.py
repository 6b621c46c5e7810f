"""Run the candidate and the reference on the same inputs, and compare their results."""

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import count, product
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from unrolled._diagnose.forms import Arguments, Form, arguments_of, one_line, read
from unrolled._diagnose.mapping import Parameters, fill, translated
from unrolled._diagnose.recipe import Network, Results, Values
from unrolled._diagnose.reference import (
    Reference,
    Watch,
    check_computes,
    check_reference,
    named_weights,
    parameters_of,
    plain,
    quiet,
    tensors_of,
)
from unrolled._summary import mode_of
from unrolled.shapes import num_directions

__all__ = [
    "Case",
    "Probe",
    "Run",
    "check_deterministic",
    "check_reference",
    "clues",
    "gap_between",
    "is_single",
    "network_of",
    "off",
    "out_of_range",
    "reference_in",
    "rounding_of_single",
    "running",
]

_SINGLE = 1e-6  # what rounding in float32 leaves, at least
_LONG = 150  # time steps in which the cell state of an LSTM may grow


class Probe(NamedTuple):
    """One input with its initial states, in NumPy and in the candidate's layout."""

    x: Values
    states: tuple[Values, ...]

    @staticmethod
    def draw(network: Network, seed: int, zero: bool) -> "Probe":
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
        return Probe(x, states)

    def times(self, factor: float, what: str) -> "Probe":
        """Make x or the states larger."""
        if what == "x":
            return self._replace(x=self.x * factor)
        return self._replace(states=tuple(state * factor for state in self.states))

    def nearby(self, distance: float) -> "Probe":
        """Change every number a little, to see how large rounding errors may grow."""
        signs = np.random.default_rng(0)
        x, *states = (
            array * (1 + distance * signs.choice([-1, 1], array.shape))
            for array in (self.x, *self.states)
        )
        return Probe(x, tuple(states))

    def prolonged(self, network: Network, L: int) -> "Probe":
        """Repeat one time step, so that an open gate stays open, and end with zeros.

        A state that saturates its activation becomes small, and so visible, again at the end.
        """
        time = 1 if network.batch_first else 0
        first = np.take(self.x, [0], time)
        return self._replace(x=np.concatenate([first] * L + [0 * first] * (L // 10), time))


# Running the candidate and the reference.


@dataclass
class Run:
    """A way to run the candidate; called with a probe, it returns the named results.

    `named` does the same with tensors, keeping the graph that gradients need.
    """

    function: Callable[..., Any]
    form: Form
    network: Network
    dtype: torch.dtype
    device: torch.device
    watch: Watch | None = None
    notes: list[str] = field(default_factory=list)
    copied: bool = False  # whether nobody else has the function
    parameters: Sequence[Tensor] = ()  # of the reference

    def __call__(self, probe: Probe) -> Results:
        with torch.no_grad():
            named = self.named(*self.tensors(probe))
        results = {}
        for name, part in named.items():
            values = part.cpu().resolve_conj().numpy()
            imaginary = np.abs(values.imag)
            if part.is_complex():
                how = f"up to {imaginary.max():.2g}, which count as no numbers"
                how = how if imaginary.any() else "of 0"
                self._note(f"{name} is complex, with imaginary parts {how}.")
            # A copy: the next call may write into the same memory.
            results[name] = np.where(imaginary == 0, values.real.astype(float), np.nan)
        return results

    def tensors(self, probe: Probe) -> list[Tensor]:
        arrays = (probe.x, *probe.states)
        return [torch.tensor(array, dtype=self.dtype, device=self.device) for array in arrays]

    def named(self, x: Tensor, *states: Tensor) -> dict[str, Tensor]:
        network, form = self.network, self.form
        if form.batched:
            return self._once(x, states)
        of_x = 0 if network.cell or network.batch_first else 1
        of_states = 0 if network.cell else 1
        one_by_one = [
            self._once(x.select(of_x, n), tuple(state.select(of_states, n) for state in states))
            for n in range(network.N)
        ]
        return {
            name: torch.stack(
                [results[name] for results in one_by_one],
                dim=of_x if name == "output" else of_states,
            )
            for name in one_by_one[0]
        }

    def _once(self, x: Tensor, states: Sequence[Tensor]) -> dict[str, Tensor]:
        given = [tensor.clone() for tensor in (x, *states)]
        try:
            with warnings.catch_warnings():  # NumPy's, of a tensor that it takes for an array
                warnings.filterwarnings("error", "__array__ implementation", DeprecationWarning)
                returned = self.form.call(self.function, given[0], given[1:])
        except Exception as error:  # somebody's code can raise anything
            raise RuntimeError(
                f"candidate raised {type(error).__name__} for x of shape {tuple(x.shape)} and "
                f"{self.dtype}: {one_line(error)}"
            ) from error
        finally:
            self._look_after()
        for name, before, after in zip("xhc", (x, *states), given, strict=False):
            if before.shape != after.shape or not torch.equal(before, after):
                self._note(f"It changes its input in place: {name}.")
        network = self.network
        L = 1 if network.cell else x.shape[-2 if network.batch_first else 0]
        return read(returned, network, self.form, L, self.notes)

    def _look_after(self) -> None:
        changed = self.watch.put_back() if self.watch else []
        if changed:
            more = f" and {len(changed) - 4} more" if len(changed) > 4 else ""
            self._note(
                f"It changes the reference, in each call: {', '.join(changed[:4])}{more}. "
                "What is compared with did not see that, and the reference is as it was."
            )

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def network_of(
    reference: Reference,
    cell: bool,
    L: int | None,
    N: int | None,
    seed: int,
) -> Network:
    """Describe what is compared, with sizes that all differ unless they are given."""
    module = reference if isinstance(reference, nn.RNNBase) else None
    layers = parameters_of(reference)
    D = 1 if module is None else num_directions(module.bidirectional)
    sizes = {size for directions in layers for size in directions[0].weight_ih.shape}
    sizes |= {reference.input_size, reference.hidden_size, layers[0][0].weight_hh.shape[1]}
    sizes |= {D * len(layers)}
    if N is None:
        N = next(size for size in count(3) if size not in sizes | {L})
    if L is None:
        L = next(size for size in count(5) if size not in sizes | {N})
    network = Network(
        mode=mode_of(reference),
        cell=cell or module is None,
        batch_first=module is not None and module.batch_first and not cell,
        D=D,
        layers=layers,
        own=None,
        takes_state=True,
        L=L,
        N=N,
    )
    x, *states = (
        torch.tensor(array, dtype=weight.dtype, device=weight.device)
        for weight in [named_weights(reference)[_first(reference)]]
        for part in [Probe.draw(network, seed, zero=False)]
        for array in (part.x, *part.states)
    )
    check_computes(reference, network, x, states)
    # What computes a parameter has run now.
    return replace(network, layers=parameters_of(reference))


def running(
    candidate: Callable[..., Any],
    reference: Reference,
    network: Network,
    seed: int,
    parameters: Parameters | None = None,
) -> tuple[Run, Network, torch.dtype, list[str]]:
    """Find the best way to run the candidate: in float64, on tensors, with N different from L."""
    watch = Watch(reference)
    forms, left = arguments_of(candidate, network)
    first: RuntimeError | None = None  # as its author expects: the first form, in its own dtype
    for tried, form, double in _ways(network, forms):
        run = _prepared(candidate, reference, tried, form, double, parameters)
        run.watch = watch
        try:
            run(Probe.draw(tried, seed, zero=not tried.takes_state))
        except RuntimeError as error:
            first = first or (None if double else error)
            continue
        run.notes[:0] = form.notes()
        if tried.N != network.N:
            run.notes.append(f"It runs only where N = L. Otherwise: {first}.")
        if left and not tried.takes_state:
            run.notes.append(
                f"Left at its default: {', '.join(left)}. A state is known by a name such as hx, "
                "h or state."
            )
        return run, tried, run.dtype, run.notes
    assert first is not None
    if first.__cause__ is None:
        raise first
    given = "x_t, state" if network.cell else "x, hx"
    raise RuntimeError(
        f"{first}; if it takes something else, wrap it: def wrapped({given}): ..."
    ) from first.__cause__


def _ways(network: Network, forms: Sequence[Arguments]) -> Iterator[tuple[Network, Form, bool]]:
    """Yield the ways to run a candidate, the most natural and the most exact first."""
    square = replace(network, N=network.L)
    sizes = [network] if network.cell or network.N == network.L else [network, square]
    single = not network.cell and network.D * network.num_layers == 1
    for arrays, batched in product((False, True), (True, False)):
        for tried, arguments in product(sizes if batched else [network], forms):
            layers = (True, False) if single and len(arguments) > 1 else (True,)
            for layered, double in product(layers, (True,) if arrays else (True, False)):
                form = Form(arguments, batched, layered, arrays)
                yield replace(tried, takes_state=form.takes_state), form, double


def _prepared(
    candidate: Callable[..., Any],
    reference: Reference,
    network: Network,
    form: Form,
    double: bool,
    parameters: Parameters | None,
) -> Run:
    """Prepare a run of a copy if the candidate is a module, and of the candidate itself if not."""
    weight = named_weights(reference)[_first(reference)]
    device, notes, function = weight.device, [], candidate
    if isinstance(candidate, nn.Module):
        device = next((p.device for p in candidate.parameters()), device)
        try:
            function = copy.deepcopy(candidate)
            function = function.double() if double else function
        except Exception as error:  # whatever somebody holds in a module
            function = candidate
            notes.append(f"It cannot be copied, and ran itself: {one_line(error)}")
        if parameters is not None:
            if function is candidate:
                raise ValueError(
                    "parameters should be given only for a module that can be copied, got one "
                    f"that cannot: {notes[0]}"
                )
            theirs = dict(zip(named_weights(reference), tensors_of(network.layers), strict=True))
            untouched = fill(function, translated(parameters, theirs))
            if untouched:
                notes.append(f"Of its parameters these are its own: {', '.join(untouched)}.")
    dtype = torch.float64 if double else weight.dtype
    copied = function is not candidate
    return Run(function, form, network, dtype, device, notes=notes, copied=copied)


def reference_in(reference: Reference, dtype: torch.dtype, network: Network) -> Run:
    """Return a function that runs a copy of the reference on a probe, always with states."""
    device = named_weights(reference)[_first(reference)].device
    module = plain(reference, network.layers, dtype, device)

    def call(x: Tensor, hx: Any) -> Any:
        with quiet():
            return as_cell(x, hx) if network.cell else module(x, hx)

    def as_cell(x: Tensor, hx: Any) -> Any:
        single = network.mode != "LSTM"
        given = hx[None] if single else tuple(part[None] for part in hx)
        _, last = module(x[:, None] if module.batch_first else x[None], given)
        return last[0] if single else tuple(part[0] for part in last)

    form = Form((("x", ""), ("hx", "")))
    return Run(call, form, network, dtype, device, parameters=list(module.parameters()))


def _first(reference: Reference) -> str:
    return "weight_ih_l0" if isinstance(reference, nn.RNNBase) else "weight_ih"


# Comparing.


@dataclass(frozen=True)
class Case:
    """A probe, with the results of the candidate and of the reference."""

    probe: Probe
    measured: Results
    expected: Results
    fresh: bool  # not used in the search


def gap_between(results: Results, wanted: Results) -> float:
    """Return the largest difference; infinity if values are not finite or shapes differ."""
    return max(_gap_of(results[name], wanted[name]) for name in results)


def _gap_of(values: Values, wanted: Values) -> float:
    if values.shape != wanted.shape:
        return float("inf")
    if np.array_equal(values, wanted, equal_nan=True):
        return 0.0
    gap = float(_apart(values, wanted).max())
    return float("inf") if np.isnan(gap) else gap


@np.errstate(invalid="ignore", over="ignore")  # infinity minus infinity is no number
def _apart(values: Values, wanted: Values) -> Values:
    return np.where(values == wanted, 0.0, np.abs(values - wanted))


def off(results: Results, wanted: Results) -> float:
    """Return the largest difference, relative to numbers larger than 1."""
    largest = max(float(np.abs(values).max()) for values in wanted.values())
    return gap_between(results, wanted) / max(1.0, largest)


def is_single(values: Values) -> bool:
    """Tell whether every number is exactly representable in float32."""
    with np.errstate(over="ignore"):
        return np.array_equal(values, values.astype(np.float32), equal_nan=True)


def rounding_of_single(reference: Reference, network: Network, cases: Sequence[Case]) -> float:
    """Return a multiple of the rounding error of the reference itself in float32."""
    run = reference_in(reference, torch.float32, network)
    return max(_SINGLE, *(16 * off(case.expected, run(case.probe)) for case in cases))


def check_deterministic(again: Results, results: Results) -> None:
    if again.keys() != results.keys():
        raise TypeError(
            "candidate should return the same results at each call, got "
            f"{', '.join(results)} and then {', '.join(again)}"
        )
    gap = gap_between(again, results)
    if gap > 0:
        raise ValueError(
            "candidate should return the same for the same input, got two results that differ by "
            f"up to {gap:.2g}: is dropout on (candidate.eval() turns it off), or does a state stay "
            "between calls?"
        )


_SCALES = (10, 100, 1000)


def out_of_range(run: Run, reference: Reference, seed: int, single: bool) -> tuple[float, str, str]:
    """Try larger numbers than the search does, to reveal clipping.

    Gives the difference with the first that are off, 0 if none is; a clue to it; and a note of what
    was tried.
    """
    network = run.network
    drawn = Probe.draw(network, seed + 2, zero=not network.takes_state)
    larger = [("x", drawn.times(scale, "x")) for scale in _SCALES]
    if network.takes_state:
        larger += [("states", drawn.times(scale, "states")) for scale in _SCALES]
    elif network.mode == "LSTM":  # whose cell state may grow by 1 in a time step
        larger.append((f"x of {_LONG} time steps", drawn.times(10, "x").prolonged(network, _LONG)))
    truth, coarse = (reference_in(reference, t, network) for t in (torch.float64, torch.float32))
    tried: dict[str, str] = {}
    for what, probe in larger:
        parts = probe.states if what == "states" else (probe.x,)
        what += f" up to {max(float(np.abs(part).max()) for part in parts):.0f}"
        try:
            with np.errstate(all="ignore"):  # where a sigmoid in NumPy overflows on the right way
                got = run(probe)
        except RuntimeError as error:
            if "time steps" in what:  # it may count on its L
                tried[what] = f"not {what}"
                continue
            return float("inf"), f"With smaller numbers it is right; with {what}, {error}.", ""
        whole = truth(probe)
        right, nearby, rounded = (
            {name: results[name] for name in got}
            for results in (
                whole,
                truth(probe.nearby(_SINGLE if single else 1e-14)),
                coarse(probe) if single else whole,
            )
        )
        rounding = 16 * max(_off_by_name(nearby, right), _off_by_name(rounded, right))
        if not _off_by_name(got, right) <= max(rounding, _SINGLE if single else 1e-10):
            gap = gap_between(got, right)
            clue = (
                f"With smaller numbers it is right; with {what} it is off by up to {gap:.2g}. Is "
                "something clipped, or does something overflow?"
            )
            return gap, clue, ""
        tried[what.partition(" up ")[0]] = what
    return 0.0, "", f"The largest numbers tried: {', '.join(tried.values())}."


def _off_by_name(results: Results, wanted: Results) -> float:
    """Return the largest difference, relative to the numbers of the same result."""
    return max(off({name: results[name]}, {name: wanted[name]}) for name in wanted)


def clues(network: Network, cases: Sequence[Case], allowed: float) -> Iterator[str]:
    """Say where the results differ and where they do not."""
    results, wanted = cases[0].measured, cases[0].expected
    places = [
        f"{np.count_nonzero(~np.isfinite(values))} of {values.size} in {name}"
        + _steps_of(~np.isfinite(values), network, name)
        for name, values in results.items()
        if not np.isfinite(values).all()
    ]
    if places:
        yield f"Some numbers are infinite or not numbers: {'; '.join(places)}."
    for name in results if len(results) > 1 else ():
        gap = _gap_of(results[name], wanted[name])
        yield f"{name} {'is right' if gap <= allowed else f'is off by up to {gap:.2g}'}."
    if "output" in results:
        apart = _apart(results["output"], wanted["output"])
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
    if network.takes_state and off(from_zero.measured, from_zero.expected) <= allowed:
        yield "From states of zero everything is right."


def _steps_of(where: Any, network: Network, name: str) -> str:
    if name != "output":
        return ""
    steps = where.any(axis=(0, 2) if network.batch_first else (1, 2))
    return f" (time steps {', '.join(str(t + 1) for t in np.flatnonzero(steps))})"

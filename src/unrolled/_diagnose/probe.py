"""Running the candidate and the reference on the same inputs, and comparing what they return."""

import copy
import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from unrolled._diagnose.recipe import Network, Results, Values
from unrolled._summary import mode_of
from unrolled.layers import Weights, weights_of
from unrolled.shapes import Shape, num_directions

__all__ = [
    "Case",
    "Probe",
    "check_deterministic",
    "check_reference",
    "clues",
    "gap_between",
    "is_single",
    "network_of",
    "off",
    "reference_in",
    "rounding_of_single",
    "running",
]

_SINGLE = 1e-6  # what rounding in float32 leaves, at least


class Probe(NamedTuple):
    """One input with its initial states, laid out as the candidate gets them, in NumPy."""

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


# Running the candidate and the reference.

Run: TypeAlias = Callable[[Probe], Results]


def network_of(
    reference: nn.RNNBase | nn.RNNCellBase,
    candidate: Callable[..., Any],
    cell: bool,
    L: int | None,
    N: int | None,
) -> Network:
    """Say what is compared, with sizes that differ from each other unless they are given."""
    module = reference if isinstance(reference, nn.RNNBase) else None
    layers = _parameters(reference)
    sizes = {size for directions in layers for size in directions[0].weight_ih.shape}
    sizes |= {reference.input_size, reference.hidden_size, layers[0][0].weight_hh.shape[1]}
    if N is None:
        N = next(size for size in count(3) if size not in sizes | {L})
    if L is None:
        L = next(size for size in count(5) if size not in sizes | {N})
    return Network(
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


def running(
    candidate: Callable[..., Any],
    reference: nn.RNNBase | nn.RNNCellBase,
    network: Network,
    seed: int,
) -> tuple[Run, Network, torch.dtype, list[str]]:
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
                run(Probe.draw(tried, seed, zero=not tried.takes_state))
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
    network: Network,
    dtype: torch.dtype,
    device: torch.device,
    notes: list[str],
) -> Run:
    """Give a function that runs the candidate on a probe and names what comes back."""

    def run(probe: Probe) -> Results:
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


def _named(returned: Any, network: Network, notes: list[str]) -> Results:
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


def reference_in(
    reference: nn.RNNBase | nn.RNNCellBase, dtype: torch.dtype, network: Network
) -> Run:
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


def check_reference(reference: object, cell: bool) -> None:
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
class Case:
    """A probe, what the candidate makes of it, and what the reference does."""

    probe: Probe
    measured: Results
    expected: Results
    fresh: bool  # not used in the search


def gap_between(results: Results, wanted: Results) -> float:
    """Give the largest difference; infinity where something is not finite, or of another shape."""
    return max(_gap_of(results[name], wanted[name]) for name in results)


def _gap_of(values: Values, wanted: Values) -> float:
    if values.shape != wanted.shape:
        return float("inf")
    gap = float(np.abs(values - wanted).max())
    return float("inf") if np.isnan(gap) else gap


def off(results: Results, wanted: Results) -> float:
    """Give the largest difference, relative to numbers larger than 1."""
    largest = max(float(np.abs(values).max()) for values in wanted.values())
    return gap_between(results, wanted) / max(1.0, largest)


def is_single(values: Values) -> bool:
    """Tell whether every number is one of float32."""
    return np.array_equal(values, values.astype(np.float32))


def rounding_of_single(
    reference: nn.RNNBase | nn.RNNCellBase, network: Network, cases: Sequence[Case]
) -> float:
    """Give a multiple of what the reference itself loses in float32."""
    run = reference_in(reference, torch.float32, network)
    return max(_SINGLE, *(16 * off(case.expected, run(case.probe)) for case in cases))


def check_deterministic(again: Results, results: Results) -> None:
    gap = gap_between(again, results)
    if gap > 0 and not any(np.isnan(values).any() for values in results.values()):
        raise ValueError(
            "candidate should return the same for the same input, got two results that differ by "
            f"up to {gap:.2g}: is dropout on (candidate.eval() turns it off), or does a state stay "
            "between calls?"
        )


def clues(network: Network, cases: Sequence[Case], allowed: float) -> Iterator[str]:
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
    if network.takes_state and off(from_zero.measured, from_zero.expected) <= allowed:
        yield "From states of zero everything is right."

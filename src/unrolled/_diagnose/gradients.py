"""Comparing gradients: of the input, the initial states and the parameters."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

from unrolled._diagnose.forms import one_line
from unrolled._diagnose.mapping import Parameters, translated
from unrolled._diagnose.probe import Case, Run, reference_in
from unrolled._diagnose.reference import Reference, named_weights, tensors_of

__all__ = ["compare_gradients"]

_EXACT, _SINGLE = 1e-10, 1e-6  # what rounding leaves in float64, and in float32 at least

Leaves: TypeAlias = Mapping[str, Sequence[Tensor]]  # by name the tensors that stand for one


def compare_gradients(
    run: Run,
    reference: Reference,
    cases: Sequence[Case],
    parameters: Parameters | None,
    single: bool,
) -> tuple[bool, tuple[str, ...]]:
    """Tell whether the gradients equal those of the reference, and which were compared.

    What is differentiated is the sum of all results with random weights; in the second case they
    are large, so that what clips a gradient shows.
    """
    if run.form.arrays:
        raise TypeError("gradients should be False for a candidate in NumPy, got True")
    names = list(named_weights(reference))
    values = dict(zip(names, tensors_of(run.network.layers), strict=True))
    leaves, skipped = _leaves(run, reference, values, parameters)
    off: dict[str, float] = {}  # relative to the weights of the results
    wrong: dict[str, None] = {}
    missing: dict[str, None] = {}
    for case, size in zip(cases[:2], (1.0, 1000.0), strict=False):
        wanted, rounded = (
            _gradients(of, case, size, {n: [p] for n, p in zip(names, own, strict=True)})
            for dtype in (torch.float64, torch.float32)
            for of in [reference_in(reference, dtype, run.network)]
            for own in [list(of.parameters)]
        )
        got = _gradients(run, case, size, leaves)
        if parameters is not None:
            got |= _pulled_back(parameters, values, got)
        for name, right in wanted.items():
            gradient = got.get(name)
            if gradient is None:
                if right is not None and right.any() and name not in skipped:
                    missing[name] = None
                continue
            right = torch.zeros_like(gradient) if right is None else right
            scale, allowed = max(1.0, float(right.abs().max())), _EXACT
            if single:
                loss = float((torch.as_tensor(rounded[name]) - right).abs().max())
                allowed = max(_SINGLE, 16 * loss / scale)
            gap = float((gradient - right).abs().max())
            off[name] = max(gap / size, off.get(name, 0.0))
            if not gap / scale <= allowed:
                wrong[name] = None
    for name in list(missing):
        if name in leaves and not _matters(run, leaves[name], cases[0]):
            skipped[name] = "not used, or as a copy"
            del missing[name]
    said = []
    right_ones = [name for name in off if name not in wrong and name not in missing]
    if right_ones:
        worst = max(off[name] for name in right_ones)
        said.append(f"Of {', '.join(right_ones)}: equal, up to {worst:.2g}.")
    said += [f"Of {name}: off by up to {off[name]:.2g}." for name in wrong if name not in missing]
    if missing:
        said.append(
            f"Of {', '.join(missing)}: none arrives, though the numbers are used. Is there a "
            "detach, .data, no_grad or item()?"
        )
    for reason in dict.fromkeys(skipped.values()):
        these = ", ".join(name for name in skipped if skipped[name] == reason)
        said.append(f"Not compared: {these} ({reason}).")
    return not wrong and not missing, tuple(said)


def _leaves(
    run: Run, reference: Reference, values: Mapping[str, Tensor], parameters: Parameters | None
) -> tuple[dict[str, list[Tensor]], dict[str, str]]:
    """Find the tensors of the candidate, and say why any of them are not compared."""
    skipped: dict[str, str] = {}
    leaves: dict[str, list[Tensor]] = {}
    own = dict(run.function.named_parameters()) if isinstance(run.function, nn.Module) else {}
    if parameters is not None:
        filled = translated(parameters, dict(values))
        return {f"{name} of candidate": [own[name].requires_grad_()] for name in filled}, skipped
    weights = named_weights(reference)
    for name, weight in weights.items():
        copies = [mine for mine, p in own.items() if _equal(p, values[name])]
        alike = [other for other in values if _equal(values[name], values[other])]
        if len(alike) > 1:  # as biases of zeros are
            copies = [mine for mine in copies if f".{mine}".endswith(f".{name}")]
        leaves[name] = [own[mine] for mine in copies]
        if [id(other) for other in weights.values()].count(id(weight)) > 1:
            leaves[name] = []  # to each its part of the gradient, which nobody can tell apart
            skipped[name] = "one parameter under several names"
        elif isinstance(weight, nn.Parameter):
            leaves[name].append(weight)
        elif not copies:
            skipped[name] = "something computes it"
        for mine in copies if run.copied else ():
            own[mine].requires_grad_()
        frozen = [leaf for leaf in leaves[name] if not leaf.requires_grad]
        if frozen and len(frozen) == len(leaves[name]):
            skipped[name] = "its requires_grad is False"
    known = {id(leaf) for group in leaves.values() for leaf in group}
    skipped |= {
        f"{mine} of candidate": "no parameter of the reference equals it; see the argument "
        "parameters"
        for mine, parameter in own.items()
        if id(parameter) not in known
    }
    return leaves, skipped


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.detach().cpu().double(), other)


def _gradients(run: Run, case: Case, size: float, leaves: Leaves) -> dict[str, Tensor | None]:
    """Differentiate with respect to input, states and these leaves."""
    inputs = [tensor.requires_grad_() for tensor in run.tensors(case.probe)]
    states = ("h", "c") if run.network.cell else ("h_0", "c_0")
    given = dict(zip(("x", *states), inputs, strict=False))
    if not run.network.takes_state:
        given = {"x": inputs[0]}
    wanted = {**{name: [tensor] for name, tensor in given.items()}, **leaves}
    tensors = [leaf for group in wanted.values() for leaf in group]
    generator = torch.Generator().manual_seed(0)
    with torch.enable_grad():
        results = run.named(*inputs)
        total = torch.zeros((), dtype=torch.float64)
        for name in case.measured:
            part = results[name].cpu().to(torch.float64)
            weights = torch.randn(part.shape, generator=generator, dtype=torch.float64)
            total = total + (size * weights * part).sum()
    trained = [tensor for tensor in tensors if tensor.requires_grad]
    gradients: Sequence[Tensor | None] = [None] * len(trained)
    if total.requires_grad:
        try:
            gradients = torch.autograd.grad(total, trained, allow_unused=True)
        except RuntimeError as error:
            raise RuntimeError(
                f"candidate raised {type(error).__name__} in its backward pass: {one_line(error)}"
            ) from error
    by_tensor = dict(zip(map(id, trained), gradients, strict=True))
    found: dict[str, Tensor | None] = {}
    for name, group in wanted.items():
        parts = [
            g.detach().cpu().double() for t in group if (g := by_tensor.get(id(t))) is not None
        ]
        found[name] = torch.stack(parts).sum(0) if parts else None
    return found


def _pulled_back(
    parameters: Parameters, values: Mapping[str, Tensor], got: Mapping[str, Tensor | None]
) -> dict[str, Tensor | None]:
    """Convert gradients of the candidate's parameters to those of the reference's."""
    theirs = {name: tensor.clone().requires_grad_() for name, tensor in values.items()}
    with torch.enable_grad():
        mine = translated(parameters, dict(theirs))
    pairs = [
        (tensor, gradient)
        for name, tensor in mine.items()
        if (gradient := got[f"{name} of candidate"]) is not None and tensor.requires_grad
    ]
    if not pairs:
        return dict.fromkeys(theirs)
    tensors, gradients = zip(*pairs, strict=True)
    found = torch.autograd.grad(tensors, [*theirs.values()], gradients, allow_unused=True)
    return dict(zip(theirs, found, strict=True))


def _matters(run: Run, leaves: Sequence[Tensor], case: Case) -> bool:
    """Tell whether the candidate's results depend on the numbers in these tensors."""
    watch, run.watch = run.watch, None
    kept = [leaf.detach().clone() for leaf in leaves]
    try:
        for leaf in leaves:
            leaf.detach().add_(0.5)
        again = run(case.probe)
    finally:
        for leaf, values in zip(leaves, kept, strict=True):
            leaf.detach().copy_(values)
        run.watch = watch
    return any((again[name] != case.measured[name]).any() for name in again)

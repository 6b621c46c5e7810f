"""What a program can observe of a call besides its numbers: views, memory, changes in place.

Each observation is made on a call of its own, so that none disturbs the next.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from tests.comparisons import Configuration, tensors

Build = Callable[..., nn.RNNBase]


class Call:
    """One call of a module: what was passed, and what came back."""

    def __init__(self, build: Build, configuration: Configuration, grad: bool) -> None:
        self.module = configuration.module(build)
        inputs, states = configuration.leaves()
        self.leaves = [leaf.requires_grad_(grad) for leaf in (*inputs, *states)]
        with torch.set_grad_enabled(grad):
            torch.manual_seed(configuration.seed + 2)  # of the dropout
            # Not the leaves themselves, which must not be changed in place.
            given = configuration.input(inputs)
            passed = given.data if isinstance(given, PackedSequence) else given * 1
            hx = [state * 1 for state in states]
            first = given if isinstance(given, PackedSequence) else passed
            output, last = self.module(first, configuration.hx(hx))
        self.passed = {"input": passed} | dict(zip(("hx[0]", "hx[1]"), hx, strict=False))
        self.passed |= dict(self.module.named_parameters())
        self.results = {"output": output.data if isinstance(output, PackedSequence) else output}
        self.results |= dict(zip(("h_n", "c_n"), tensors(last), strict=False))

    @property
    def everything(self) -> dict[str, Tensor]:
        return self.passed | self.results

    def gradients(self, *names: str) -> Tensor:
        """Go backward from some results, and give all gradients in a row."""
        chosen = [self.results[name] for name in names or self.results]
        leaves = [*self.leaves, *self.module.parameters()]
        found = torch.autograd.grad(
            chosen, leaves, [torch.ones_like(t) for t in chosen], materialize_grads=True
        )
        return torch.cat([gradient.flatten() for gradient in found])


def attempt(action: Callable[..., Any], *arguments: Any) -> Any:
    """Give what an action gives, or the type of its error."""
    try:
        return action(*arguments)
    except (RuntimeError, ValueError) as error:
        return type(error).__name__


def observations(build: Build, configuration: Configuration, grad: bool) -> dict[str, Any]:
    """Name everything that a program can see of a call besides its results."""

    def fresh() -> Call:
        return Call(build, configuration, grad)

    call = fresh()
    seen: dict[str, Any] = dict(_properties(call))
    for name in call.results:
        one = fresh()
        before = {other: value.detach().clone() for other, value in one.everything.items()}
        seen[f"{name}.detach_()"] = attempt(_shape_of, one.results[name].detach_)
        with torch.no_grad():
            seen[f"{name}.mul_(2)"] = attempt(_shape_of, one.results[name].mul_, 2)
        seen[f"what changes with {name}"] = [
            other
            for other, value in one.everything.items()
            if not torch.equal(value.detach(), before[other])
        ]
    if grad:
        seen |= _backward(fresh)
    return seen


def _shape_of(method: Callable[..., Tensor], *arguments: Any) -> torch.Size:
    return method(*arguments).shape


def _properties(call: Call) -> Iterator[tuple[str, Any]]:
    everything = call.everything
    for name, value in everything.items():
        yield f"storage of {name} can be resized", value.untyped_storage().resizable()
    for name, value in call.results.items():
        yield f"{name} is a view", value._is_view()
        yield f"{name} is a leaf", value.is_leaf
        yield f"{name} requires a gradient", value.requires_grad
        yield f"strides of {name}", value.stride()
        yield f"{name} starts at", value.storage_offset()
        yield f"bytes of {name}", value.untyped_storage().nbytes()
        for other, another in everything.items():
            if other != name and value.numel() and another.numel():  # an empty tensor has none
                places = [t.untyped_storage().data_ptr() for t in (value, another)]
                yield f"{name} shares memory with {other}", places[0] == places[1]


def _backward(fresh: Callable[[], Call]) -> dict[str, Any]:
    """Go backward after each result, and all that was passed, was changed in place."""
    seen: dict[str, Any] = {}
    for name in fresh().results:
        for of in ([name], [n for n in fresh().results if n != name]):
            one = fresh()
            one.results[name].mul_(2)
            seen[f"backward of {of} after {name}.mul_(2)"] = attempt(one.gradients, *of)
    for name in fresh().passed:
        one = fresh()
        with torch.no_grad():
            one.passed[name].mul_(2)
        seen[f"backward after {name}.mul_(2)"] = attempt(one.gradients)
    one = fresh()
    leaves = [*one.leaves, *one.module.parameters()]
    total = torch.stack([result.sum() for result in one.results.values()]).sum()
    for number, gradient in enumerate(torch.autograd.grad(total, leaves, materialize_grads=True)):
        seen[f"gradient {number}"] = (
            gradient.shape,
            gradient.requires_grad,
            gradient.untyped_storage().resizable(),
        )
    one = fresh()
    one.gradients()
    seen["backward twice"] = attempt(one.gradients)
    return seen


def differences(ours: dict[str, Any], theirs: dict[str, Any], bound: float) -> list[str]:
    """Say what is not observed alike; gradients up to a bound, relative to the largest."""
    wrong = []
    if ours.keys() != theirs.keys():
        wrong.append(f"seen {ours.keys() ^ theirs.keys()} of one alone")
    for name in ours.keys() & theirs.keys():
        a, b = ours[name], theirs[name]
        if isinstance(a, Tensor) and isinstance(b, Tensor):
            if (a - b).abs().max() <= bound * max(1.0, float(b.abs().max())):
                continue
        elif type(a) is type(b) and a == b:
            continue
        wrong.append(f"{name}: {a}, expected {b}")
    return wrong

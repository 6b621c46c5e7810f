"""Give a module the reference's parameters, under the names that the module uses."""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

__all__ = ["Parameters", "check_parameters", "fill", "translated"]

Parameters: TypeAlias = Mapping[str, str] | Callable[[dict[str, Tensor]], Mapping[str, Tensor]]


def check_parameters(parameters: object, candidate: object, names: Mapping[str, Any]) -> None:
    """Check that `parameters` says where each parameter of the reference belongs."""
    if parameters is None:
        return
    if not isinstance(candidate, nn.Module):
        raise TypeError(
            "parameters should be given only for a candidate that is a torch.nn.Module, got "
            f"{type(candidate).__name__}"
        )
    if callable(parameters):
        return
    if not isinstance(parameters, Mapping):
        raise TypeError(
            "parameters should be a mapping from the names of the reference to those of the "
            f"candidate, or a function, got {type(parameters).__name__}"
        )
    if parameters.keys() != names.keys():
        missing, unknown = names.keys() - parameters.keys(), parameters.keys() - names.keys()
        got = f"none for {sorted(missing)[0]}" if missing else f"{sorted(map(str, unknown))[0]!r}"
        raise ValueError(f"parameters should have the keys {', '.join(names)}, got {got}")
    twice = [name for name in parameters.values() if [*parameters.values()].count(name) > 1]
    if twice:
        raise ValueError(
            f"parameters should name {twice[0]!r} once, got it for several; a function makes one "
            "parameter of several: lambda theirs: {'name': theirs['bias_ih_l0'] + ...}"
        )


def translated(parameters: Parameters, theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the reference's tensors under the names of the candidate."""
    if not callable(parameters):
        return {parameters[name]: tensor for name, tensor in theirs.items()}
    try:
        mine = parameters(dict(theirs))
    except KeyError as error:
        raise ValueError(
            f"parameters should take names among {', '.join(theirs)}, got {error}"
        ) from error
    if not isinstance(mine, Mapping) or not all(isinstance(t, Tensor) for t in mine.values()):
        raise TypeError(
            "parameters should return a mapping from names of the candidate to tensors, got "
            f"{type(mine).__name__}"
        )
    return dict(mine)


def fill(module: nn.Module, mine: Mapping[str, Tensor]) -> list[str]:
    """Copy the tensors into the module; name the parameters that remain unchanged."""
    there = dict(module.named_parameters())
    for name, tensor in mine.items():
        if name not in there:
            raise ValueError(
                f"parameters should name parameters of candidate, {', '.join(there) or 'none'}, "
                f"got {name!r}"
            )
        if there[name].shape != tensor.shape:
            raise ValueError(
                f"parameters should fill {name} with shape {tuple(there[name].shape)}, got "
                f"{tuple(tensor.shape)}; a function may change it: lambda theirs: "
                "{'name': theirs['weight_ih_l0'].T, ...}"
            )
        with torch.no_grad():
            there[name].copy_(tensor)
    return [name for name in there if name not in mine]

"""A candidate's parameters under its names, and different parameters for the same network."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice, permutations, product
from typing import Any

import numpy as np
from torch import nn

from unrolled._diagnose.recipe import Network, Values
from unrolled.layers import Weights
from unrolled.shapes import GATES

__all__ = ["arranged_parameters", "other_parameters"]

_TRIED = 48  # arrangements of parameters at most


def other_parameters(network: Network) -> Network:
    """Return the network with other parameters, which have none of the given ones' symmetries."""
    random = np.random.default_rng(0)

    def drawn(layers: list[list[Weights[Any]]]) -> list[list[Weights[Any]]]:
        return [
            [Weights(*(part if part is None else random.normal(size=part.shape) for part in own))
             for own in layer]
            for layer in layers
        ]  # fmt: skip # one list in another

    own = None if network.own is None else drawn(network.own)
    return replace(network, layers=drawn(network.layers), own=own)


def arranged_parameters(
    candidate: Callable[..., Any], reference: nn.Module, network: Network
) -> Iterator[list[list[Weights[Any]]]]:
    """Return ways in which the candidate's parameters may correspond to the network's.

    They are found by shape and in their order: one weight for input and state side by side, one
    for each gate, or transposed, and one bias in place of two.
    """
    for module in _modules(candidate):
        if module is reference:
            continue
        theirs = {name: part.detach().cpu().double().numpy()
                  for name, part in module.named_parameters()}  # fmt: skip # one thought
        ours = {
            part.tobytes() for layer in network.layers for own in layer for part in own
            if part is not None
        }  # fmt: skip # one thought
        if not theirs or all(part.tobytes() in ours for part in theirs.values()):
            continue
        # In their own order first, and in no other if they have PyTorch's names.
        named = theirs.keys() == dict(reference.named_parameters()).keys()
        yield from islice(_arrangements(theirs, network), 1 if named else _TRIED)


def _modules(candidate: Callable[..., Any]) -> Iterator[nn.Module]:
    """Find the modules that a candidate is, belongs to or closes over."""
    inside = [candidate, getattr(candidate, "__self__", None)]
    for cell in getattr(candidate, "__closure__", None) or ():
        try:
            inside.append(cell.cell_contents)
        except ValueError:  # of a name that has no value yet
            continue
    for one in inside:
        if isinstance(one, nn.Module):
            yield one


def _arrangements(
    theirs: dict[str, Values], network: Network
) -> Iterator[list[list[Weights[Any]]]]:
    slots: list[tuple[str, tuple[int, ...]]] = []
    for layer, directions in enumerate(network.layers):
        for direction, own in enumerate(directions):
            slots += [
                (f"{layer} {direction} {name}", part.shape)
                for name, part in own._asdict().items()
                if part is not None
            ]
    pieces = _pieces(theirs, network)
    by_shape: dict[tuple[int, ...], list[Values]] = {}
    for piece in pieces:
        by_shape.setdefault(piece.shape, []).append(piece)
    choices = []
    for shape in dict.fromkeys(shape for _, shape in slots):
        names = [name for name, own in slots if own == shape]
        given = by_shape.get(shape, [])
        if len(given) * 2 == len(names) and len(shape) == 1:  # one bias in place of two
            given = [part for piece in given for part in (piece, 0 * piece)]
        if len(given) != len(names):
            return
        orders = permutations(given) if len(given) <= 4 else iter([tuple(given)])
        choices.append([dict(zip(names, order, strict=True)) for order in orders])
    for chosen in product(*choices):
        parts = {name: piece for some in chosen for name, piece in some.items()}
        yield [
            [
                Weights(
                    **{name: parts.get(f"{layer} {direction} {name}") for name in Weights._fields}
                )
                for direction in range(network.D)
            ]
            for layer in range(network.num_layers)
        ]


def _pieces(theirs: dict[str, Values], network: Network) -> list[Values]:
    """Split and join parameters so that they have the shapes of the network's."""
    count = len(GATES[network.mode])
    H = network.hidden_size
    wanted = {part.shape for layer in network.layers for own in layer for part in own
              if part is not None}  # fmt: skip # one thought
    gates: dict[tuple[int, ...], list[Values]] = {}
    pieces: list[Values] = []

    def add(piece: Values) -> None:
        if piece.shape in wanted:
            pieces.append(piece)
        elif piece.T.shape in wanted:
            pieces.append(piece.T)
        elif piece.ndim == 2 and len(piece) == count * H:
            for layer in network.layers:
                inputs, state = layer[0].weight_ih.shape[1], layer[0].weight_hh.shape[1]
                if piece.shape[1] == inputs + state:
                    pieces.extend([piece[:, :inputs], piece[:, inputs:]])
                    return
        elif count > 1 and len(piece) == H:
            group = gates.setdefault(piece.shape, [])
            group.append(piece)
            if len(group) == count:
                del gates[piece.shape]
                add(np.concatenate(group))

    for piece in theirs.values():
        add(piece)
    return pieces

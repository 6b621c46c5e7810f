"""A second way through a whole network: each sequence by itself, one cell after the other.

Nothing here is hoisted, batched, packed or masked. Of a sequence, only the time steps that count
are visited. On NumPy arrays it is the independent witness of the modules; on tensors its gradients
are those of the same plain loop.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

KINDS_OF_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")

Cell = Callable[..., tuple[Any, ...]]
"""``cell(x, state, *weights)`` takes one step of one sequence; the state is a tuple."""


def witness(
    cells: Cell | Sequence[Cell],
    module: nn.RNNBase,
    inputs: Any,
    states: Sequence[Any],
    mask: Any = None,
) -> tuple[Any, list[Any], list[tuple[Any, ...]]]:
    """Run the network of a module, whose constructor arguments and parameters are used.

    Takes (L, N, H_in) and states (D * num_layers, N, ...); gives output, last states and, of each
    layer, all states.
    """
    xp: Any = torch if isinstance(inputs, Tensor) else np
    parameters: dict[str, Any] = dict(module.named_parameters())
    if xp is np:
        parameters = {name: value.detach().numpy() for name, value in parameters.items()}
    D = 2 if module.bidirectional else 1
    L, N = inputs.shape[:2]
    if callable(cells):
        cells = [cells] * (D * module.num_layers)
    last, every = [], []
    for layer in range(module.num_layers):
        directions = []
        for direction in range(D):
            at = layer * D + direction
            suffix = f"_l{layer}" + "_reverse" * direction
            weights = [parameters.get(kind + suffix) for kind in KINDS_OF_WEIGHTS]
            after: list[list[Any]] = [[None] * N for _ in range(L)]  # states by time and sequence
            ends = []
            for n in range(N):
                state = tuple(part[at, n] for part in states)
                for t in reversed(range(L)) if direction else range(L):
                    if mask is None or mask[t][n]:
                        state = cells[at](inputs[t, n], state, *weights)
                        after[t][n] = state
                    else:
                        after[t][n] = tuple(0 * part for part in state)
                ends.append(state)
            parts = range(len(states))
            directions.append(
                [xp.stack([xp.stack([s[part] for s in row]) for row in after]) for part in parts]
            )
            last.append([xp.stack([end[part] for end in ends]) for part in parts])
        every.append(tuple(xp.concatenate(part, -1) for part in zip(*directions, strict=True)))
        inputs = every[-1][0]
    return inputs, [xp.stack(part) for part in zip(*last, strict=True)], every

"""Our own mutations: change the mathematics in a copy of the package and see a check fail."""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeAlias

import pytest

import unrolled
from tests import comparisons

SOURCE = Path(unrolled.__file__).parent


Check: TypeAlias = Callable[[Any], Iterable[str]]


class Mutation(NamedTuple):
    file: str
    original: str
    mutated: str
    check: Check


RNN = comparisons.rnn_differences
GRU = comparisons.gru_differences
LSTM = comparisons.lstm_differences
CELL = comparisons.cell_differences
HAND = comparisons.hand_differences
SHAPES = comparisons.shape_differences
INIT = comparisons.init_differences
TRACE = comparisons.trace_differences
MASK = comparisons.mask_differences
STATES = comparisons.state_differences
STEPS = comparisons.step_differences
REFUSALS = comparisons.refusal_differences
CHECKS = [RNN, GRU, LSTM, CELL, HAND, SHAPES, INIT, TRACE, MASK, STATES, STEPS, REFUSALS]

LINEAR = "activation(linear(h, weight_hh, bias_hh) + x_projected)"
TRANSPOSE = LINEAR.replace("weight_hh,", "weight_hh.T,")
H_N = "h_projected[..., 2 * H_out :]"
GRU_N = f"n = tanh(x_projected[..., 2 * H_out :] + r * {H_N})"
B_HN = "(0 if bias_hh is None else bias_hh[2 * H_out :])"
PRODUCT_N = "linear(%s, weight_hh[2 * H_out :], None if bias_hh is None else bias_hh[2 * H_out :])"
CARRY = "state = step(x, state)\n        states.append(state)"
NOT_CARRIED = "states.append(step(x, state))"
GATES = "i, f, g, o = _parts(gates, 4)"
KEEP = "_where(keep, new, old)"


def mutations_of_each(
    name: str, file: str, original: str, mutated: str, *checks: Check
) -> dict[str, Mutation]:
    """Make one mutation for each check that should notice it."""
    return {
        f"{name}, seen by {check.__name__}": Mutation(file, original, mutated, check)
        for check in checks
    }


MUTATIONS = {
    **mutations_of_each(
        "W_hh without its transpose", "cells.py", LINEAR, TRANSPOSE, RNN, HAND, CELL, MASK
    ),
    **mutations_of_each(
        "bias_hh dropped", "cells.py", LINEAR, LINEAR.replace("bias_hh", "None"), RNN, CELL
    ),
    "another order of the additions": Mutation(
        "cells.py",
        LINEAR,
        "activation(linear(h, weight_hh) + (x_projected if bias_hh is None"
        " else x_projected + bias_hh))",
        RNN,
    ),
    "no activation": Mutation("cells.py", LINEAR, LINEAR.removeprefix("activation"), RNN),
    **mutations_of_each(
        "b_hn dropped",
        "cells.py",
        GRU_N,
        GRU_N.replace(f"r * {H_N}", "r * " + PRODUCT_N % "h").replace(
            "None if bias_hh is None else bias_hh[2 * H_out :]", "None"
        ),
        *(GRU, CELL, HAND, MASK, STATES),
    ),
    **mutations_of_each(
        "b_hn outside of the product with r",
        "cells.py",
        GRU_N,
        f"n = tanh(x_projected[..., 2 * H_out :] + {B_HN} + r * ({H_N} - {B_HN}))",
        *(GRU, CELL, HAND),
    ),
    **mutations_of_each(
        "reset before the product",
        "cells.py",
        GRU_N,
        GRU_N.replace(f"r * {H_N}", PRODUCT_N % "r * h"),
        *(GRU, CELL, HAND),
    ),
    **mutations_of_each(
        "1 - z for z",
        "cells.py",
        "return (h - n) * z + n",
        "return (n - h) * z + h",
        *(GRU, CELL, HAND),
    ),
    **mutations_of_each(
        "r and z exchanged",
        "cells.py",
        "r, z = sigmoid(r), sigmoid(z)",
        "z, r = sigmoid(r), sigmoid(z)",
        *(GRU, CELL, HAND),
    ),
    "z never computed": Mutation("cells.py", "sigmoid(r), sigmoid(z)", "sigmoid(r), z", GRU),
    "another order of rounding in a GRU": Mutation(
        "cells.py", "return (h - n) * z + n", "return (1 - z) * n + z * h", GRU
    ),
    **{
        f"{order} for i f g o, seen by {check.__name__}": Mutation(
            "cells.py", GATES, GATES.replace("i, f, g, o", order), check
        )
        for order in ("f, i, g, o", "i, f, o, g", "i, g, f, o", "o, f, g, i", "g, f, i, o")
        for check in (LSTM, CELL, HAND)
    },
    **mutations_of_each(
        "forget and input gate exchanged",
        "cells.py",
        "f * c_before + i * g",
        "i * c_before + f * g",
        *(LSTM, CELL, HAND, STATES),
    ),
    **mutations_of_each(
        "cell state not fed back",
        "cells.py",
        "f * c_before + i * g",
        "i * g",
        *(LSTM, CELL, HAND, STATES),
    ),
    **mutations_of_each(
        "no tanh of the cell state", "cells.py", "o * tanh(c_t)", "o * c_t", LSTM, CELL, HAND
    ),
    **mutations_of_each(
        "sigmoid for the candidate", "cells.py", "tanh(g)", "sigmoid(g)", LSTM, CELL, HAND
    ),
    **mutations_of_each(
        "c_n for h_n",
        "cells.py",
        "return (h_t if weight_hr is None else linear(h_t, weight_hr)), c_t",
        "return c_t, h_t",
        *(LSTM, CELL, STATES, MASK),
    ),
    "projection dropped": Mutation(
        "cells.py", "linear(h_t, weight_hr)", "h_t[..., : len(weight_hr)]", LSTM
    ),
    "tanh after the projection": Mutation(
        "cells.py", "linear(h_t, weight_hr)", "tanh(linear(h_t, weight_hr))", LSTM
    ),
    "biases of an LSTM dropped": Mutation(
        "cells.py",
        "linear(h_before, weight_hh, bias_hh)",
        "linear(h_before, weight_hh)",
        LSTM,
    ),
    "sigmoid on arrays twice as steep": Mutation("cells.py", "np.tanh(a / 2)", "np.tanh(a)", CELL),
    "gradient cut between steps": Mutation(
        "cells.py", LINEAR, LINEAR.replace("linear(h,", "linear(h.detach(),"), RNN
    ),
    "gradient cut between steps of a GRU": Mutation(
        "cells.py", "return (h - n) * z + n", "return (h.detach() - n) * z + n", GRU
    ),
    "gradient cut along the cell state": Mutation(
        "cells.py", "f * c_before + i * g", "f * c_before.detach() + i * g", LSTM
    ),
    "relu for tanh": Mutation("cells.py", '{"tanh": tanh,', '{"tanh": relu,', CELL),
    "abs for relu on arrays": Mutation("cells.py", "np.maximum(a, 0)", "np.abs(a)", CELL),
    "weight without its transpose on arrays": Mutation(
        "cells.py", "product = x @ weight.T", "product = x @ weight.reshape(weight.T.shape)", CELL
    ),
    "bias dropped on arrays": Mutation(
        "cells.py", "return product if bias is None else product + bias", "return product", CELL
    ),
    **mutations_of_each(
        "bias_ih dropped",
        "layers.py",
        "projected = linear(inputs, weights.weight_ih, weights.bias_ih)",
        "projected = linear(inputs, weights.weight_ih)",
        *(RNN, GRU, LSTM),
    ),
    **mutations_of_each(
        "state not fed back", "scan.py", CARRY, NOT_CARRIED, RNN, GRU, LSTM, HAND, MASK, STATES
    ),
    **mutations_of_each(
        "reverse direction not in the order of time",
        "scan.py",
        "if reverse:\n        states.reverse()\n    return states, state",
        "return states, state",
        *(RNN, GRU, LSTM),
    ),
    **mutations_of_each(
        "reverse direction runs forward", "layers.py", "direction == 1", "False", RNN, GRU, LSTM
    ),
    **mutations_of_each(
        "directions exchanged",
        "layers.py",
        "for after, _ in ran])",
        "for after, _ in ran[::-1]])",
        *(RNN, GRU, LSTM),
    ),
    **mutations_of_each(
        "h_n in another order",
        "layers.py",
        "last += results.last",
        "last = results.last + last",
        *(RNN, GRU, LSTM),
    ),
    **mutations_of_each(
        "h_0 of layer 0 in every layer",
        "layers.py",
        "states[here], directions",
        "states[: len(directions)], directions",
        *(RNN, GRU, LSTM),
    ),
    "dropout on the last layer": Mutation(
        "layers.py",
        "return Results(inputs, last, every)",
        "return Results(F.dropout(inputs, dropout), last, every)",
        RNN,
    ),
    "dropout on the input": Mutation("layers.py", "if dropout and last:", "if dropout:", RNN),
    "dropout not applied": Mutation("layers.py", "if dropout and last:", "if False:", RNN),
    "dropout in evaluation": Mutation(
        "modules.py", "self.dropout if self.training else 0.0", "self.dropout", RNN
    ),
    "mask ignored": Mutation(
        "layers.py",
        "    if mask is not None:\n        return scan",
        "    if False:\n        return scan",
        MASK,
    ),
    "mask inverted": Mutation("layers.py", KEEP, "_where(keep, old, new)", MASK),
    "mask of the output ignored": Mutation(
        "layers.py", "_where(mask, part, _zeros(part))", "part", MASK
    ),
    "mask of the output inverted": Mutation(
        "layers.py", "_where(mask, part, _zeros(part))", "_where(mask, _zeros(part), part)", MASK
    ),
    "masked state forgotten": Mutation("layers.py", KEEP, "_where(keep, new, _zeros(old))", MASK),
    "one time step too many": Mutation(
        "modules.py", "steps[:, None] < ", "steps[:, None] <= ", MASK
    ),
    "one time step too few": Mutation(
        "modules.py", "steps[:, None] < ", "steps[:, None] + 1 < ", MASK
    ),
    "mask batch first, or not": Mutation(
        "modules.py", "mask.T.contiguous() if self.batch_first else mask", "mask", MASK
    ),
    "hidden states for cell states": Mutation(
        "modules.py", "parts[1] if self._has_cell_state", "parts[0] if self._has_cell_state", STATES
    ),
    "states of the last layer alone": Mutation(
        "layers.py", "every += results.every", "every = results.every", STATES
    ),
    "own step ignored": Mutation("modules.py", "if self.step is None:", "if True:", STEPS),
    "own step of layer 0 everywhere": Mutation("layers.py", "steps[here],", "steps,", STEPS),
    "own steps in another order": Mutation(
        "modules.py", "else list(self.step)", "else list(self.step)[::-1]", STEPS
    ),
    "length above L accepted": Mutation("modules.py", "0 <= value <= L", "0 <= value", REFUSALS),
    "negative length accepted": Mutation("modules.py", "0 <= value <= L", "value <= L", REFUSALS),
    "lengths of other sequences accepted": Mutation(
        "modules.py", "if counts.shape != (N,):", "if False:", REFUSALS
    ),
    "fractions of a step accepted": Mutation(
        "modules.py", "counts.is_floating_point() or ", "", REFUSALS
    ),
    "mask that broadcasts accepted": Mutation(
        "modules.py", "if mask.shape != expected:", "if False:", REFUSALS
    ),
    "hx that broadcasts accepted": Mutation(
        "modules.py", "if state.shape != expected:", "if False:", REFUSALS
    ),
    "step that broadcasts accepted": Mutation(
        "modules.py", "if value.shape != expected:", "if False:", REFUSALS
    ),
    "output not batch first": Mutation(
        "modules.py",
        "time_major.transpose(0, 1) if self.batch_first else time_major",
        "time_major",
        RNN,
    ),
    **mutations_of_each(
        "ones for hx", "modules.py", "inputs.new_zeros(", "inputs.new_ones(", RNN, GRU, LSTM
    ),
    **mutations_of_each(
        "biases left out of the weights",
        "modules.py",
        'parameter("bias_hh") if self.bias else None',
        "None",
        *(RNN, GRU, LSTM),
    ),
    "hx of unsorted sequences not sorted": Mutation(
        "modules.py",
        "states = [state.index_select(1, sorted_indices) for state in states]",
        "pass",
        RNN,
    ),
    "c_0 of unsorted sequences not sorted": Mutation(
        "modules.py",
        "states = [state.index_select(1, sorted_indices) for state in states]",
        "states = [states[0].index_select(1, sorted_indices), *states[1:]]",
        LSTM,
    ),
    "h_n of unsorted sequences left sorted": Mutation(
        "modules.py",
        "last = [part.index_select(1, unsorted_indices) for part in last]",
        "pass",
        RNN,
    ),
    "c_n of unsorted sequences left sorted": Mutation(
        "modules.py",
        "last = [part.index_select(1, unsorted_indices) for part in last]",
        "last = [last[0].index_select(1, unsorted_indices), *last[1:]]",
        LSTM,
    ),
    "packed sequences end in another order": Mutation(
        "scan.py", "torch.cat(parts[::-1])", "torch.cat(parts)", RNN
    ),
    "packed sequences begin with others' states": Mutation(
        "scan.py", "initial[rows : len(x)]", "initial[: len(x) - rows]", RNN
    ),
    "layers above get one direction": Mutation(
        "shapes.py",
        "return real_hidden_size(hidden_size, proj_size) * num_directions(bidirectional)",
        "return real_hidden_size(hidden_size, proj_size)",
        SHAPES,
    ),
    "projection ignored": Mutation(
        "shapes.py",
        "return proj_size if proj_size > 0 else hidden_size",
        "return hidden_size",
        SHAPES,
    ),
    "weight_hh before weight_ih": Mutation(
        "shapes.py",
        'shapes[parameter_name("weight_ih", layer, direction)] = (gates, H_in)\n'
        '            shapes[parameter_name("weight_hh", layer, direction)] = (gates, H_out)',
        'shapes[parameter_name("weight_hh", layer, direction)] = (gates, H_out)\n'
        '            shapes[parameter_name("weight_ih", layer, direction)] = (gates, H_in)',
        SHAPES,
    ),
    "three gates for an LSTM": Mutation(
        "shapes.py", '("i", "f", "g", "o")', '("i", "f", "g")', SHAPES
    ),
    "bound from the variance": Mutation(
        "init.py", "1.0 / math.sqrt(hidden_size)", "1.0 / hidden_size", INIT
    ),
    "bound not rounded": Mutation(
        "init.py",
        "np.float64(np.float32(uniform_bound(hidden_size)))",
        "np.float64(uniform_bound(hidden_size))",
        INIT,
    ),
    "one bit less of each draw": Mutation(
        "init.py", "_MANTISSA_BITS = 24", "_MANTISSA_BITS = 23", INIT
    ),
    "trace reads the reverse direction forward": Mutation(
        "trace.py", "(1 if self._direction else -1)", "(-1)", TRACE
    ),
    "trace does not restore the generator": Mutation(
        "trace.py", "torch.set_rng_state(before)", "pass", TRACE
    ),
    "trace records the product for the sum": Mutation(
        "trace.py",
        'self._write("sum", total, result,',
        'self._write("sum", total, product,',
        TRACE,
    ),
    "trace names the gates in another order": Mutation("trace.py", '"ifgo"', '"figo"', TRACE),
    "trace exchanges r and z": Mutation(
        "trace.py", 'gate("r", "rz", 0)', 'gate("r", "rz", 1)', TRACE
    ),
    "trace names another cell state": Mutation(
        "trace.py",
        'self._sources["c"] = self._state_source("c", rows)',
        'self._sources["c"] = self._state_source("h", rows)',
        TRACE,
    ),
    "trace leaves the projection out": Mutation(
        "trace.py", '"h_full" if projected', '"h" if projected', TRACE
    ),
}


@contextmanager
def copied(folder: Path, change: Mutation | None = None) -> Iterator[ModuleType]:
    """Import a copy of the package, changed in one place, under another name."""
    name = folder.name
    folder.mkdir()
    for file in SOURCE.glob("*.py"):
        text = file.read_text(encoding="utf-8")
        if change is not None and change.file == file.name:
            assert text.count(change.original) == 1, f"{change.original!r} in {file.name}"
            text = text.replace(change.original, change.mutated)
        text = re.sub(r"^(from|import) unrolled\b", rf"\1 {name}", text, flags=re.MULTILINE)
        (folder / file.name).write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    try:
        spec.loader.exec_module(package)
        yield package
    finally:
        for module in [key for key in sys.modules if key.partition(".")[0] == name]:
            del sys.modules[module]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_an_unchanged_copy_passes(check: Check, tmp_path: Path) -> None:
    with copied(tmp_path / "unchanged") as package:
        assert package.RNN is not unrolled.RNN
        assert list(check(package)) == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, tmp_path: Path) -> None:
    mutation = MUTATIONS[name]
    with copied(tmp_path / "mutated", mutation) as package:
        try:
            wrong = next(iter(mutation.check(package)), "")
        except (
            LookupError,
            NameError,
            RuntimeError,
            TypeError,
            ValueError,
        ) as error:  # nothing fits
            wrong = str(error)
    assert wrong, f"{mutation.check.__name__} does not notice"

"""Our own mutations: change the mathematics in a copy of the package and see a check fail."""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest

import unrolled
from tests import comparisons

SOURCE = Path(unrolled.__file__).parent


class Mutation(NamedTuple):
    file: str
    original: str
    mutated: str
    check: Callable[[Any], Iterable[str]]


RNN = comparisons.rnn_differences
CELL = comparisons.cell_differences
HAND = comparisons.hand_differences
SHAPES = comparisons.shape_differences
INIT = comparisons.init_differences
TRACE = comparisons.trace_differences

LINEAR = "activation(linear(h, weight_hh, bias_hh) + x_projected)"
TRANSPOSE = LINEAR.replace("weight_hh,", "weight_hh.T,")
MUTATIONS = {
    "W_hh without its transpose": Mutation("cells.py", LINEAR, TRANSPOSE, RNN),
    "W_hh without its transpose, by hand": Mutation("cells.py", LINEAR, TRANSPOSE, HAND),
    "W_hh without its transpose, in the cell": Mutation("cells.py", LINEAR, TRANSPOSE, CELL),
    "bias_hh dropped": Mutation("cells.py", LINEAR, LINEAR.replace("bias_hh", "None"), RNN),
    "bias_hh dropped in the cell": Mutation(
        "cells.py", LINEAR, LINEAR.replace("bias_hh", "None"), CELL
    ),
    "another order of the additions": Mutation(
        "cells.py",
        LINEAR,
        "activation(linear(h, weight_hh) + (x_projected if bias_hh is None"
        " else x_projected + bias_hh))",
        RNN,
    ),
    "no activation": Mutation("cells.py", LINEAR, LINEAR.removeprefix("activation"), RNN),
    "gradient cut between steps": Mutation(
        "layers.py",
        "return rnn_formula(x_projected, h,",
        "return rnn_formula(x_projected, h.detach(),",
        RNN,
    ),
    "relu for tanh": Mutation("cells.py", '{"tanh": tanh,', '{"tanh": relu,', CELL),
    "abs for relu on arrays": Mutation("cells.py", "np.maximum(a, 0)", "np.abs(a)", CELL),
    "weight without its transpose on arrays": Mutation(
        "cells.py", "product = x @ weight.T", "product = x @ weight.reshape(weight.T.shape)", CELL
    ),
    "bias dropped on arrays": Mutation(
        "cells.py", "return product if bias is None else product + bias", "return product", CELL
    ),
    "bias_ih dropped": Mutation(
        "layers.py",
        "projected = linear(inputs, weights.weight_ih, weights.bias_ih)",
        "projected = linear(inputs, weights.weight_ih)",
        RNN,
    ),
    "state not carried": Mutation(
        "scan.py",
        "state = step(x, state)\n        states.append(state)",
        "states.append(step(x, state))",
        RNN,
    ),
    "state not carried, by hand": Mutation(
        "scan.py",
        "state = step(x, state)\n        states.append(state)",
        "states.append(step(x, state))",
        HAND,
    ),
    "reverse direction not in the order of time": Mutation(
        "scan.py",
        "if reverse:\n        states.reverse()\n    return states, state",
        "return states, state",
        RNN,
    ),
    "reverse direction runs forward": Mutation("layers.py", "direction == 1", "False", RNN),
    "directions swapped": Mutation(
        "layers.py", "_side_by_side(outputs)", "_side_by_side(outputs[::-1])", RNN
    ),
    "h_n in another order": Mutation(
        "layers.py", "return inputs, _stack(h_n)", "return inputs, _stack(h_n[::-1])", RNN
    ),
    "h_0 of layer 0 in every layer": Mutation("layers.py", "states[len(h_n) :]", "states", RNN),
    "dropout on the last layer": Mutation(
        "layers.py",
        "return inputs, _stack(h_n)",
        "return F.dropout(inputs, dropout), _stack(h_n)",
        RNN,
    ),
    "dropout on the input": Mutation("layers.py", "if dropout and h_n:", "if dropout:", RNN),
    "dropout not applied": Mutation("layers.py", "if dropout and h_n:", "if False:", RNN),
    "dropout in evaluation": Mutation(
        "modules.py", "self.dropout if self.training else 0.0", "self.dropout", RNN
    ),
    "output not batch first": Mutation(
        "modules.py", "output.transpose(0, 1) if self.batch_first else output", "output", RNN
    ),
    "ones for hx": Mutation("modules.py", "torch.zeros(expected", "torch.ones(expected", RNN),
    "biases left out of the weights": Mutation(
        "modules.py", '["bias_ih", "bias_hh"] * self.bias', "[]", RNN
    ),
    "hx of unsorted sequences not sorted": Mutation(
        "modules.py", "h_0 = h_0.index_select(1, sorted_indices)", "pass", RNN
    ),
    "h_n of unsorted sequences left sorted": Mutation(
        "modules.py", "h_n = h_n.index_select(1, unsorted_indices)", "pass", RNN
    ),
    "packed sequences end in another order": Mutation(
        "scan.py",
        "torch.cat([running, *reversed(finished)])",
        "torch.cat([running, *finished])",
        RNN,
    ),
    "packed sequences begin with others' states": Mutation(
        "scan.py", "state[len(running) : len(x)]", "state[: len(x) - len(running)]", RNN
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
        'self._write("sum", total, result, expression, operands, of_layer)',
        'self._write("sum", total, product, expression, operands, of_layer)',
        TRACE,
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


@pytest.mark.parametrize("check", [RNN, CELL, HAND, SHAPES, INIT, TRACE], ids=lambda c: c.__name__)
def test_an_unchanged_copy_passes(check: Callable[[Any], Iterable[str]], tmp_path: Path) -> None:
    with copied(tmp_path / "unchanged") as package:
        assert package.RNN is not unrolled.RNN
        assert list(check(package)) == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, tmp_path: Path) -> None:
    mutation = MUTATIONS[name]
    with copied(tmp_path / "mutated", mutation) as package:
        try:
            wrong = next(iter(mutation.check(package)), "")
        except (LookupError, RuntimeError, ValueError) as error:  # shapes or names do not fit
            wrong = str(error)
    assert wrong, f"{mutation.check.__name__} does not notice"

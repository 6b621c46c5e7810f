"""Our own mutations: change the mathematics in a copy of the package and see a check fail."""

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_loader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, NamedTuple, TypeAlias

import pytest

import unrolled
from tests import comparisons

pytestmark = pytest.mark.no_cover
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
RESETS = comparisons.reset_differences
STATES = comparisons.state_differences
STEPS = comparisons.step_differences
REFUSALS = comparisons.refusal_differences
BPTT = comparisons.bptt_differences
FAST = comparisons.fast_differences
RUNGS = comparisons.rung_differences
CHECKS = [RNN, GRU, LSTM, CELL, HAND, SHAPES, INIT, TRACE, MASK, STATES, STEPS, REFUSALS]
SCHEMES = comparisons.scheme_differences
DIAGNOSE = comparisons.diagnose_differences
CHECKS += [RESETS, BPTT, FAST, RUNGS, SCHEMES, DIAGNOSE]

LINEAR = "activation(linear(h, weight_hh, bias_hh) + x_projected)"
TRANSPOSE = LINEAR.replace("weight_hh,", "weight_hh.T,")
GRU_N = "n = tanh(n_x + r * n_h)"
B_HN = "(0 if bias_hh is None else bias_hh[2 * H_out :])"
PRODUCT_N = "linear(%s, weight_hh[2 * H_out :], None if bias_hh is None else bias_hh[2 * H_out :])"
CARRY = "state = step(x, state, *parameters)\n        states.append(state)"
NOT_CARRIED = "states.append(step(x, state, *parameters))"
GATES = "i, f, g, o = chunk(gates, 4)"
KEEP = "each(partial(where, flags[0]), after, state)"


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
        GRU_N.replace("r * n_h", "r * " + PRODUCT_N % "h").replace(
            "None if bias_hh is None else bias_hh[2 * H_out :]", "None"
        ),
        *(GRU, CELL, HAND, MASK, STATES),
    ),
    **mutations_of_each(
        "b_hn outside of the product with r",
        "cells.py",
        GRU_N,
        f"n = tanh(n_x + {B_HN} + r * (n_h - {B_HN}))",
        *(GRU, CELL, HAND),
    ),
    **mutations_of_each(
        "reset before the product",
        "cells.py",
        GRU_N,
        GRU_N.replace("r * n_h", PRODUCT_N % "r * h"),
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
        "return h_t, c_t",
        "return c_t, h_t",
        *(LSTM, CELL, STATES, MASK),
    ),
    "projection dropped": Mutation(
        "layers.py", "linear(h, weight_hr)", "h[..., : len(weight_hr)]", LSTM
    ),
    "tanh after the projection": Mutation(
        "layers.py", "linear(h, weight_hr)", "linear(h, weight_hr).tanh()", LSTM
    ),
    "biases of an LSTM dropped": Mutation(
        "cells.py",
        "linear(h_before, weight_hh, bias_hh)",
        "linear(h_before, weight_hh)",
        LSTM,
    ),
    "sigmoid on arrays twice as steep": Mutation("arrays.py", "np.tanh(a / 2)", "np.tanh(a)", CELL),
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
    "abs for relu on arrays": Mutation(
        "arrays.py", "else np.maximum(a, 0)", "else np.abs(a)", CELL
    ),
    "weight without its transpose on arrays": Mutation(
        "arrays.py", "rows.dot(weight.T)", "rows.dot(weight.reshape(weight.T.shape))", CELL
    ),
    "bias dropped on arrays": Mutation(
        "arrays.py", "return product if bias is None else product + bias", "return product", CELL
    ),
    **mutations_of_each(
        "bias_ih dropped",
        "layers.py",
        "projected = linear(inputs, weights.weight_ih, weights.bias_ih)",
        "projected = linear(inputs, weights.weight_ih)",
        *(RNN, GRU, LSTM),
    ),
    **mutations_of_each(
        "state not fed back", "_scan.py", CARRY, NOT_CARRIED, RNN, GRU, LSTM, HAND, MASK, STATES
    ),
    **mutations_of_each(
        "reverse direction not in the order of time",
        "_scan.py",
        "    if order.reverse:\n        states.reverse()\n",
        "",
        *(RNN, GRU, LSTM),
    ),
    **mutations_of_each(
        "reverse direction runs forward",
        "layers.py",
        "Order(number == 1, sizes)",
        "Order(False, sizes)",
        *(RNN, GRU, LSTM, FAST),
    ),
    **mutations_of_each(
        "directions exchanged",
        "layers.py",
        "each(_side_by_side, *after)",
        "each(_side_by_side, *after[::-1])",
        *(RNN, GRU, LSTM, FAST),
    ),
    **mutations_of_each(
        "h_n in another order",
        "layers.py",
        "last.append(end)",
        "last.insert(0, end)",
        *(RNN, GRU, LSTM, FAST),
    ),
    **mutations_of_each(
        "h_0 of layer 0 in every layer",
        "layers.py",
        "inputs, states[at],",
        "inputs, states[at % len(layer)],",
        *(RNN, GRU, LSTM, FAST),
    ),
    "dropout on the last layer": Mutation(
        "layers.py",
        "return Results(inputs, last, every)",
        "return Results(F.dropout(inputs, dropout), last, every)",
        RNN,
    ),
    **mutations_of_each(
        "dropout on the input", "layers.py", "if dropout and last:", "if dropout:", RNN, FAST
    ),
    **mutations_of_each(
        "dropout not applied", "layers.py", "if dropout and last:", "if False:", RNN, FAST
    ),
    "dropout in evaluation": Mutation(
        "modules.py", "self.dropout if self.training else 0.0", "self.dropout", RNN
    ),
    "mask ignored": Mutation(
        "modules.py",
        "return [partial(masked_direction, step, mask, resets=resets) for step in steps]",
        "pass",
        MASK,
    ),
    "mask inverted": Mutation("layers.py", KEEP, KEEP.replace("flags", "~flags"), MASK),
    "mask of the output ignored": Mutation(
        "layers.py", "each(padded, states), last", "states, last", MASK
    ),
    "mask of the output inverted": Mutation(
        "layers.py",
        "where(mask, a, namespace(a).zeros_like(a))",
        "where(mask, namespace(a).zeros_like(a), a)",
        MASK,
    ),
    "masked state forgotten": Mutation(
        "layers.py",
        KEEP,
        KEEP.replace("state", "each(namespace(inputs).zeros_like, state)"),
        MASK,
    ),
    "one time step too many": Mutation(
        "_checks.py", "steps[:, None] < ", "steps[:, None] <= ", MASK
    ),
    "one time step too few": Mutation(
        "_checks.py", "steps[:, None] < ", "steps[:, None] + 1 < ", MASK
    ),
    "mask batch first, or not": Mutation(
        "_checks.py", "flags.T.contiguous() if batch_first else flags", "flags", MASK
    ),
    "resets ignored": Mutation(
        "layers.py", "state = each(partial(_blank, flags[-1]), state)", "pass", RESETS
    ),
    "resets where there are none": Mutation(
        "layers.py", "partial(_blank, flags[-1])", "partial(_blank, ~flags[-1])", RESETS
    ),
    "resets of the reverse direction one step late": Mutation(
        "layers.py", "if resets is not None and order.reverse:", "if False:", RESETS
    ),
    "reset of the last step from the first": Mutation(
        "layers.py", "zeros_like(resets[:1])", "zeros_like(resets[:1]) | resets[:1]", RESETS
    ),
    "resets beyond the lengths": Mutation("modules.py", "fresh = fresh & keep", "pass", RESETS),
    "hidden states for cell states": Mutation(
        "modules.py", "[c for _, c in every]", "[h for h, _ in every]", STATES
    ),
    "states of the last layer alone": Mutation(
        "layers.py", "every.append(beside)", "every = [beside]", STATES
    ),
    "own step ignored": Mutation("modules.py", "if self.step is None:", "if True:", STEPS),
    "own step of layer 0 everywhere": Mutation(
        "layers.py", "directions[at](", "directions[number](", STEPS
    ),
    "own steps in another order": Mutation(
        "modules.py", "for step in self.step]", "for step in list(self.step)[::-1]]", STEPS
    ),
    "length above L accepted": Mutation("_checks.py", "0 <= value <= L", "0 <= value", REFUSALS),
    "negative length accepted": Mutation("_checks.py", "0 <= value <= L", "value <= L", REFUSALS),
    "fractions of a step accepted": Mutation(
        "_checks.py",
        "(kind := counts.dtype).is_floating_point or ",
        "(kind := counts.dtype) is None or ",
        REFUSALS,
    ),
    # Of lengths, masks and states; a mask is looked at twice, so that one look may go.
    "shapes that broadcast accepted": Mutation(
        "_checks.py", "if array.shape != expected:", "if False:", REFUSALS
    ),
    "step that broadcasts accepted": Mutation(
        "_checks.py", "if value.shape != expected:", "if False:", REFUSALS
    ),
    "output not batch first": Mutation(
        "modules.py",
        "time_major.transpose_(0, 1) if in_place else time_major.transpose(0, 1)",
        "time_major",
        RNN,
    ),
    **mutations_of_each(
        "ones for hx", "modules.py", "inputs.new_zeros(", "inputs.new_ones(", RNN, GRU, LSTM
    ),
    **mutations_of_each(
        "biases left out of the weights",
        "layers.py",
        "module.bias, module.bias, getattr",
        "module.bias, False, getattr",
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
        "last if unsorted_indices is None else last.index_select(1, unsorted_indices)",
        "last",
        RNN,
    ),
    "c_n of unsorted sequences left sorted": Mutation(
        "modules.py",
        "each(batch.laid_last, each(_stacked, *results.last))",
        "(batch.laid_last((p := each(_stacked, *results.last))[0]), p[1])",
        LSTM,
    ),
    "packed sequences end in another order": Mutation(
        "_scan.py", "torch.cat(parts[::-1])", "torch.cat(parts)", RNN
    ),
    "packed sequences begin with others' states": Mutation(
        "_scan.py", "first[known:rows]", "first[: rows - known]", RNN
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
        "shapes.py", "1.0 / math.sqrt(hidden_size)", "1.0 / hidden_size", INIT
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
        "_trace.py", "(1 if self._direction else -1)", "(-1)", TRACE
    ),
    "trace does not restore the generator": Mutation(
        "_trace.py", "torch.set_rng_state(before)", "pass", TRACE
    ),
    "trace records the product for the sum": Mutation(
        "_trace.py",
        'self._write("sum", total, result,',
        'self._write("sum", total, product,',
        TRACE,
    ),
    "trace names the gates in another order": Mutation("_trace.py", '"ifgo"', '"figo"', TRACE),
    "trace exchanges r and z": Mutation(
        "_trace.py", 'gate("r", "rz", 0)', 'gate("r", "rz", 1)', TRACE
    ),
    "trace names another cell state": Mutation(
        "_trace.py",
        'self._sources["c"] = self._state_source("c", rows)',
        'self._sources["c"] = self._state_source("h", rows)',
        TRACE,
    ),
    "trace leaves the projection out": Mutation(
        "_trace.py", '"h_full" if projected', '"h" if projected', TRACE
    ),
    # The backward pass by hand
    **mutations_of_each(
        "slope of tanh without its square",
        "bptt.py",
        "namespace(h).sub(1, square, out=square)",
        "1 - h",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "slope of relu where it is zero",
        "bptt.py",
        "positive: Any = ~(h <= 0)",
        "positive: Any = ~(h < 0)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "no slope of a plain RNN",
        "bptt.py",
        "da *= slopes[t - start]\n",
        "pass\n",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "relu lets every gradient through",
        "bptt.py",
        "xp.masked_fill_(da, slopes[t - start], 0)",
        "pass",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "sign of the slope of z",
        "bptt.py",
        "(h - n) * z * new",
        "(n - h) * z * new",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "z for its slope",
        "bptt.py",
        "(h - n) * z * new",
        "(h - n) * z",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "slope of r without its sigmoid",
        "bptt.py",
        "m_slope * m * (1 - r)",
        "m_slope * m",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "slope of r without the projected state",
        "bptt.py",
        "m_slope * m * (1 - r)",
        "m_slope * (1 - r)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "slope of n without its tanh",
        "bptt.py",
        "n_slope = new * (1 - n * n)",
        "n_slope = new",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "z for 1 - z in a slope",
        "bptt.py",
        "n_slope = new * (1 - n * n)",
        "n_slope = z * (1 - n * n)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "reset gate left out of a slope",
        "bptt.py",
        "m_slope = n_slope * r",
        "m_slope = n_slope * 1",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "slopes of r and z exchanged",
        "bptt.py",
        "[r_slope, z_slope,",
        "[z_slope, r_slope,",
        BPTT,
        FAST,
    ),
    **mutations_of_each("slope of i", "bptt.py", "g * i * (1 - i)", "i * (1 - i)", BPTT, FAST),
    **mutations_of_each("slope of f", "bptt.py", "c * f * (1 - f)", "f * (1 - f)", BPTT, FAST),
    **mutations_of_each("slope of g", "bptt.py", "i * (1 - g * g)", "i * (1 - g)", BPTT, FAST),
    **mutations_of_each(
        "slope of o", "bptt.py", "tanh_c * o * (1 - o)\n", "tanh_c * o\n", BPTT, FAST
    ),
    **mutations_of_each(
        "slopes of i and f exchanged",
        "bptt.py",
        "i_slope, f_slope = g",
        "f_slope, i_slope = g",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "slope of the tanh of the cell state",
        "bptt.py",
        "o * (1 - tanh_c * tanh_c)",
        "o",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "chain with the transposed weight",
        "bptt.py",
        "da if rows is None else da[rows], weights.weight_hh)",
        "da if rows is None else da[rows], weights.weight_hh.T)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "direct path of z left out",
        "bptt.py",
        "                xp.addcmul_(to, take(steps[t], rows), take(keep[t], rows))\n",
        "",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "direct path of f left out",
        "bptt.py",
        "                xp.addcmul_(to_c, take(dc, rows), take(keep[t], rows))\n",
        "",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "path through the gates of a GRU left out",
        "bptt.py",
        "                xp.addmm_(to, take(side_by_side[t], rows), weights.weight_hh)\n",
        "",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "path through the gates of an LSTM left out",
        "bptt.py",
        "                xp.addmm_(to_h, take(side_by_side[t], rows), weights.weight_hh)\n",
        "",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "cell state gets nothing from the hidden state",
        "bptt.py",
        "            xp.addcmul_(dc, dh, slopes_c[t - start])\n",
        "",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "gradient of n in the projected input multiplied by r",
        "bptt.py",
        "if chained.n is None:",
        "if True:",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "chain not carried through the projection",
        "bptt.py",
        "dh = dh @ weights.weight_hr  # (N",
        "dh = dh[:, :1] * weights.weight_hr.sum(0)  # (N",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "projection's gradient from the cell state",
        "bptt.py",
        "_as_rows(o * tanh_c)",
        "_as_rows(tanh_c)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "projection's gradient left out",
        "bptt.py",
        "weight_hr=weight_hr)\n\n\nCHAINS",
        "weight_hr=None)\n\n\nCHAINS",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "gradient of bias_hh of a GRU twice",
        "bptt.py",
        "bias_hh = None if weights.bias_hh is None else bias\n",
        "bias_hh = None if weights.bias_hh is None else bias * (1 if chained.n is None else 2)\n",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "gradient of a bias over the first rows alone",
        "bptt.py",
        "bias = xp.sum(gates, 0) if biased",
        "bias = xp.sum(gates[:-1], 0) if biased",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "gradient of weight_hh from other steps",
        "bptt.py",
        "weight_hh = gates.T @ _as_rows(tape.before[0])",
        "weight_hh = gates.T @ _as_rows(tape.before[0][::-1])",
        BPTT,
        FAST,
    ),
    "gradient of weight_hh a step later, from zeros": Mutation(
        "bptt.py",
        "(slice(1, None), slice(-1)) if order.reverse else (slice(-1), slice(1, None))",
        "(slice(-1), slice(1, None)) if order.reverse else (slice(1, None), slice(-1))",
        FAST,
    ),
    "gradient of the input without that of the other direction": Mutation(
        "bptt.py",
        "grad_input = grad if grad_input is None else grad_input + grad",
        "grad_input = grad",
        BPTT,
    ),
    "layers exchanged": Mutation("bptt.py", "grads.insert(0, [", "grads.append([", BPTT),
    "initial states of layers exchanged": Mutation(
        "bptt.py",
        "[first for first, _ in found] + grad_hx",
        "grad_hx + [first for first, _ in found]",
        BPTT,
    ),
    **mutations_of_each(
        "gradient of the last states left out",
        "bptt.py",
        "        ending += last\n",
        "        pass\n",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "gradient of the last states at the first",
        "bptt.py",
        "ending = last_state(order, total)",
        "ending = last_state(Order(not order.reverse) if order.sizes is None else order, total)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "packed sequences end elsewhere",
        "bptt.py",
        "step[end:] += last[end : len(step)]",
        "step[: len(step) - end] += last[end : len(step)]",
        BPTT,
        FAST,
    ),
    "chain not truncated": Mutation(
        "bptt.py", "not (truncate and t % truncate == 0)", "True", BPTT
    ),
    "chain truncated a step later": Mutation(
        "bptt.py", "t % truncate == 0", "t % truncate == 1", BPTT
    ),
    **mutations_of_each(
        "sequences that enter get others' gradients",
        "bptt.py",
        "pieces.append((first[shared:now], part))",
        "pieces.append((first[: now - shared], part))",
        BPTT,
        FAST,
    ),
    "reverse direction backward in the other order": Mutation(
        "_scan.py", "return steps[::-1] if self.reverse else steps", "return steps", BPTT
    ),
    "stretches of the reverse direction counted from the front": Mutation(
        "bptt.py",
        "slice(L - last, L - first) if order.reverse else slice(first, last)",
        "slice(first, last)",
        BPTT,
    ),
    "stretch of packed sequences begins elsewhere": Mutation(
        "bptt.py", "sum(order.sizes[: times.start])", "self.sizes[0] * times.start", BPTT
    ),
    **mutations_of_each(
        "state before the first step",
        "bptt.py",
        "[initial[None], after[:-1]]",
        "[after[:1], after[:-1]]",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "state before the first step of the reverse direction",
        "bptt.py",
        "[after[1:], initial[None]] if",
        "[after[1:], after[-1:]] if",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "states of packed sequences before",
        "bptt.py",
        "initial[len(known) : len(later)]]",
        "initial[: len(later) - len(known)]]",
        BPTT,
        FAST,
    ),
    # The ladder and its top
    "merged bias counts one bias": Mutation(
        "fast.py", "    bias = bias_ih + bias_hh  # (H_out,)", "    bias = bias_ih", RUNGS
    ),
    "textbook without the transpose": Mutation(
        "fast.py", "h @ weight_hh.T + bias_hh)  # (N", "h @ weight_hh + bias_hh)  # (N", RUNGS
    ),
    **mutations_of_each(
        "bias of skip_zeros left out",
        "fast.py",
        "states = F.linear(x, weight_ih, bias)",
        "states = F.linear(x, weight_ih)",
        RUNGS,
        FAST,
    ),
    **mutations_of_each(
        "step of skip_zeros skipped",
        "fast.py",
        "activate(next(steps))  # (N, H_out)\n    for state in steps:\n        h = activate(state.",
        "next(steps)\n    for state in steps:\n        h = activate(state.",
        RUNGS,
        FAST,
    ),
    **mutations_of_each(
        "bias through NumPy left out",
        "fast.py",
        "output = F.linear(x, weight_ih, bias)",
        "output = F.linear(x, weight_ih, bias_ih)",
        RUNGS,
        FAST,
    ),
    **mutations_of_each(
        "weight through NumPy not transposed",
        "fast.py",
        "as_array(output), as_array(weight_hh).T",
        "as_array(output), as_array(weight_hh)",
        RUNGS,
        FAST,
    ),
    **mutations_of_each(
        "one bias for two",
        "fast.py",
        "None if weights.bias_ih is None else weights.bias_ih + weights.bias_hh",
        "weights.bias_ih",
        BPTT,
        FAST,
    ),
    "transposed only if it is short": Mutation(
        "fast.py",
        "        return weight.T\n    return namespace(weight).clone(weight.T)",
        "        return weight.T\n    return namespace(weight).clone(weight)",
        FAST,
    ),
    **mutations_of_each(
        "bias of the candidate's state left out",
        "fast.py",
        "m[...] = 0 if bias_hh is None else bias_hh[2 * H_out :]",
        "m[...] = 0",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "the candidate with the merged bias",
        "fast.py",
        "else bias_ih[2 * H_out :]\n",
        "else bias[2 * H_out :]\n",
        BPTT,
        FAST,
    ),
    "a piece of the way back enters with the first state": Mutation(
        "fast.py", "if part is not None and not last:", "if False:", FAST
    ),
    "a piece of the way back enters with its own last state": Mutation(
        "fast.py", "else part.start - 1\n", "else part.stop - 1\n", FAST
    ),
    "a reversed piece of the way back enters with its own last state": Mutation(
        "fast.py", "at = part.stop if order.reverse", "at = part.start if order.reverse", FAST
    ),
    "pieces of the way back not connected": Mutation(
        "fast.py",
        "tape, grads, grad_last, weights",
        "tape, grads, [None, None][: len(grads)], weights",
        FAST,
    ),
    "gradient of the first piece alone": Mutation(
        "fast.py", "grad += more", "grad += 0 * more", FAST
    ),
    "gradients of the input in the order of the way back": Mutation(
        "fast.py",
        "grad_inputs if order.reverse else grad_inputs[::-1]",
        "grad_inputs",
        FAST,
    ),
    **mutations_of_each(
        "gradient of the candidate's input bias from its state's",
        "bptt.py",
        "bias_ih[rz.shape[1] :] = xp.sum(n, 0)",
        "bias_ih[rz.shape[1] :] += 0 * xp.sum(n, 0)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "gradient of the input without the candidate",
        "bptt.py",
        "xp.addmm_(grad_x, n, weights",
        "xp.addmm_(grad_x, 0 * n, weights",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "gates r and z exchanged in place",
        "fast.py",
        "    r, z = xp.split(rz, (H_out, H_out))\n    h = h_0",
        "    z, r = xp.split(rz, (H_out, H_out))\n    h = h_0",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "gates r and z exchanged, nothing kept",
        "fast.py",
        "    r, z = xp.split(rz, (H_out, H_out))\n    weight, bias",
        "    z, r = xp.split(rz, (H_out, H_out))\n    weight, bias",
        FAST,
    ),
    **mutations_of_each(
        "reset gate left out, nothing kept", "fast.py", "addcmul_(n, r, m)", "n += m", FAST
    ),
    **mutations_of_each(
        "states the wrong way round, nothing kept",
        "fast.py",
        "lerp(n, h, z, out=state)",
        "lerp(h, n, z, out=state)",
        FAST,
    ),
    **mutations_of_each(
        "reset gate left out in place",
        "fast.py",
        "addcmul_(n_t, r_t, m_t)",
        "n_t += m_t",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "h_0 for the state of a GRU",
        "fast.py",
        "lerp(n_t, h, z_t, out=state)",
        "lerp(n_t, h_0[: len(n_t)], z_t, out=state)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "forget gate left out in place",
        "fast.py",
        "        xp.addcmul_(cell, f_t, c)\n",
        "        cell += c\n",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "cell state without tanh in place",
        "fast.py",
        "\n            xp.tanh_(tanh_c)\n",
        "\n",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "output gate left open in place",
        "fast.py",
        "\n            xp.sigmoid_(o_t)\n",
        "\n",
        BPTT,
        FAST,
    ),
    "projection in place without the output gate": Mutation(
        "fast.py", "xp.addmm(None, o_t * tanh_c,", "xp.addmm(None, tanh_c * 1,", FAST
    ),
    **mutations_of_each(
        "states enter that belong to others",
        "fast.py",
        "torch.cat([h, h_0[known:rows]])",
        "torch.cat([h, h_0[: rows - known]])",
        BPTT,
        FAST,
    ),
    "one call: states in the order of the caller": Mutation(
        "fast.py", "hx = [state.index_select(1, order)", "hx = [state", FAST
    ),
    "one call: last states in the order of the sequences": Mutation(
        "fast.py", "[state.index_select(1, input.unsorted_indices)", "[state", FAST
    ),
    "one call: no dropout": Mutation(
        "fast.py", "module.dropout, module.training, D == 2)", "0.0, module.training, D == 2)", FAST
    ),
    "one call: c_0 as h_0": Mutation(
        "fast.py", "inputs.new_zeros(count, N, hidden_size) if proj_size else h_0", "h_0 + 1", FAST
    ),
    "gradient of the input not made": Mutation(
        "fast.py", "input_needed=ctx.needs_input_grad[2]", "input_needed=False", FAST
    ),
    "gradient of the initial state not made": Mutation(
        "fast.py",
        "first_needed=any(ctx.needs_input_grad[3 : 3 + parts])",
        "first_needed=False",
        FAST,
    ),
    "gradients of output and last states exchanged": Mutation(
        "fast.py", "grads[:parts], grads[parts:]", "grads[:parts], [None] * parts", FAST
    ),
    # NumPy's operations in place
    **mutations_of_each(
        "NumPy's sigmoid twice as steep",
        "arrays.py",
        "        a *= 0.5\n        np.tanh(a, out=a)\n",
        "        np.tanh(a, out=a)\n",
        FAST,
        BPTT,
    ),
    **mutations_of_each(
        "NumPy between n and h the other way",
        "arrays.py",
        "        np.subtract(h, n, out=out)\n        out *= z\n        out += n\n",
        "        np.subtract(n, h, out=out)\n        out *= z\n        out += h\n",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "NumPy between without n",
        "arrays.py",
        "        out *= z\n        out += n\n",
        "        out *= z\n",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "torch between n and h the other way",
        "arrays.py",
        "lerp: Callable[..., Any] = torch.lerp",
        "lerp: Callable[..., Any] = lambda n, h, z, out: torch.lerp(h, n, z, out=out)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "NumPy's affine without its bias",
        "arrays.py",
        "        if bias is not None:\n            out += bias\n",
        "",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "torch's affine without its bias",
        "arrays.py",
        "torch.addmm(bias, a, b, out=out)",
        "torch.mm(a, b, out=out)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "NumPy's linear without its bias",
        "arrays.py",
        "return product if bias is None else product + bias",
        "return product",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "NumPy's product in the place of a sum",
        "arrays.py",
        "to += a.dot(b)",
        "to[...] = a.dot(b)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "NumPy adds the first factor", "arrays.py", "to += a * b", "to += a", BPTT, FAST
    ),
    **mutations_of_each(
        "NumPy's relu of the absolute value",
        "arrays.py",
        "return np.maximum(a, 0, out=a)",
        "return np.abs(a, out=a)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "NumPy's square minus one",
        "arrays.py",
        "sub: Callable[..., Any] = np.subtract",
        "sub: Callable[..., Any] = lambda a, b, out: np.subtract(b, a, out=out)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "torch's square minus one",
        "arrays.py",
        "sub: Callable[..., Any] = torch.sub",
        "sub: Callable[..., Any] = lambda a, b, out: torch.sub(b, a, out=out)",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "NumPy's parts in another order",
        "arrays.py",
        "for part in range(chunks)]",
        "for part in range(chunks)[::-1]]",
        BPTT,
        FAST,
    ),
    **mutations_of_each(
        "torch sums columns",
        "arrays.py",
        "= torch.sum\n",
        "= lambda a, dim: 2 * torch.sum(a, dim)\n",
        BPTT,
        FAST,
    ),
    "the bias of the wrong gate": Mutation("schemes.py", '"LSTM": "f"', '"LSTM": "i"', SCHEMES),
    "lengths without their logarithm": Mutation(
        "schemes.py", "generator=generator).log_()", "generator=generator)", SCHEMES
    ),
    "lengths up to twice the longest": Mutation(
        "schemes.py", "least=2) - 1", "least=2) * 2", SCHEMES
    ),
    "the input gate open as long as the other": Mutation(
        "schemes.py", "copy_(-keep)", "copy_(keep)", SCHEMES
    ),
    "gates of another recurrence": Mutation(
        "schemes.py", "gates = GATES[mode_of(module)]", "gates = GATES['RNN_TANH']", SCHEMES
    ),
    "an update gate that always keeps": Mutation(
        "_diagnose/recipe.py", 'z if local.update == "keeps" else 1 - z', "z", DIAGNOSE
    ),
    "a reset before the product without its bias": Mutation(
        "_diagnose/recipe.py", "None if bias_hh is None else bias_hh[rows]", "None", DIAGNOSE
    ),
    "gates always in PyTorch's order": Mutation(
        "_diagnose/recipe.py", "way.gates.index(letters[other])", "other", DIAGNOSE
    ),
    "a cause need not reproduce anything": Mutation(
        "_diagnose/attempt.py", "if not apart <= limit:", "if False:", DIAGNOSE
    ),
}


COPY = "copy_of_unrolled"


@cache
def compiled(text: str, file: str) -> CodeType:
    """Compile a file, once for all copies that have it as it is."""
    return compile(text, file, "exec", dont_inherit=True)


class Copy(InspectLoader, MetaPathFinder):
    """Finds the modules of the package under another name, and changes them in one place."""

    def __init__(self, change: Mutation | None) -> None:
        self.change = change

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return spec_from_loader(name, self) if name.partition(".")[0] == COPY else None

    def is_package(self, name: str) -> bool:
        return self.file(name).name == "__init__.py"

    def get_source(self, name: str) -> str:
        file = self.file(name)
        text = file.read_text(encoding="utf-8")
        change = self.change
        if change is not None and change.file == file.relative_to(SOURCE).as_posix():
            if text.count(change.original) != 1:  # an assertion would print the file
                raise AssertionError(
                    f"{change.file} does not have once what is changed here, {change.original!r}: "
                    "if the formula is right, write it here as it is now"
                )
            text = text.replace(change.original, change.mutated)
        return re.sub(r"^( *)(from|import) unrolled\b", rf"\1\2 {COPY}", text, flags=re.MULTILINE)

    def get_code(self, name: str) -> CodeType:
        return compiled(self.get_source(name), f"<{name}>")  # no file, of which lines would count

    @staticmethod
    def file(name: str) -> Path:
        place = SOURCE.joinpath(*name.split(".")[1:])
        return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


@contextmanager
def copied(change: Mutation | None = None) -> Iterator[ModuleType]:
    """Import a copy of the package, changed in one place, under another name."""
    finder = Copy(change)
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module(COPY)
    finally:
        sys.meta_path.remove(finder)
        for module in [key for key in sys.modules if key.partition(".")[0] == COPY]:
            del sys.modules[module]


@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__)
def test_an_unchanged_copy_passes(check: Check) -> None:
    with copied() as package:
        assert package.RNN is not unrolled.RNN
        assert list(check(package)) == []


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str) -> None:
    mutation = MUTATIONS[name]
    with copied(mutation) as package:
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

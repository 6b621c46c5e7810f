"""PyTorch's recurrent module, taken apart and put back together.

Each module is one floor of the explanation and imports only from the floors below it. `FLOORS`
lists them from lowest to highest. A leading underscore marks a module whose function has the same
name without it, or a module that others share.

Everything here is loaded on first use, so the floors that do not need PyTorch work without it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unrolled._convert import from_torch as from_torch
    from unrolled._convert import to_torch as to_torch
    from unrolled._diagnose import MISTAKES as MISTAKES
    from unrolled._diagnose import Diagnosis as Diagnosis
    from unrolled._diagnose import Explanation as Explanation
    from unrolled._diagnose import Mistake as Mistake
    from unrolled._diagnose import Recipe as Recipe
    from unrolled._diagnose import diagnose as diagnose
    from unrolled._scan import Order as Order
    from unrolled._scan import scan as scan
    from unrolled._summary import Summary as Summary
    from unrolled._summary import summary as summary
    from unrolled._trace import Record as Record
    from unrolled._trace import Trace as Trace
    from unrolled._trace import trace as trace
    from unrolled.arrays import linear as linear
    from unrolled.arrays import sigmoid as sigmoid
    from unrolled.bptt import gru_backward as gru_backward
    from unrolled.bptt import lstm_backward as lstm_backward
    from unrolled.bptt import rnn_backward as rnn_backward
    from unrolled.cell_modules import GRUCell as GRUCell
    from unrolled.cell_modules import LSTMCell as LSTMCell
    from unrolled.cell_modules import RNNCell as RNNCell
    from unrolled.cells import gru_cell as gru_cell
    from unrolled.cells import gru_step as gru_step
    from unrolled.cells import lstm_cell as lstm_cell
    from unrolled.cells import lstm_step as lstm_step
    from unrolled.cells import rnn_cell as rnn_cell
    from unrolled.cells import rnn_step as rnn_step
    from unrolled.init import uniform_parameters as uniform_parameters
    from unrolled.modules import GRU as GRU
    from unrolled.modules import LSTM as LSTM
    from unrolled.modules import RNN as RNN
    from unrolled.shapes import parameter_count as parameter_count
    from unrolled.shapes import parameter_shapes as parameter_shapes
    from unrolled.shapes import uniform_bound as uniform_bound

FLOORS = (
    "shapes",
    "init",
    "arrays",
    "_torch_state",
    "_checks",
    "cells",
    "_exported",
    "_scan",
    "layers",
    "bptt",
    "fast",
    "modules",
    "cell_modules",
    "_convert",
    "_summary",
    "_trace",
    "files",
    "schemes",
    "porting",
    "_diagnose",
)
"""The modules of the package, from the lowest floor to the highest."""

_NAMES = {
    "shapes": ("parameter_count", "parameter_shapes", "uniform_bound"),
    "init": ("uniform_parameters",),
    "arrays": ("linear", "sigmoid"),
    "cells": (
        *("rnn_step", "gru_step", "lstm_step"),
        *("rnn_cell", "gru_cell", "lstm_cell"),
    ),
    "_scan": ("scan", "Order"),
    "bptt": ("rnn_backward", "gru_backward", "lstm_backward"),
    "modules": ("RNN", "GRU", "LSTM"),
    "cell_modules": ("RNNCell", "GRUCell", "LSTMCell"),
    "_convert": ("from_torch", "to_torch"),
    "_summary": ("summary", "Summary"),
    "_trace": ("trace", "Trace", "Record"),
    "_diagnose": ("diagnose", "Diagnosis", "Explanation", "MISTAKES", "Mistake", "Recipe"),
}
_HOME = {name: floor for floor, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)  # `_NAMES` is the only list to maintain


def __getattr__(name: str) -> Any:
    """Load a floor when it, or one of its names, is first asked for."""
    if name in FLOORS:
        return import_module(f"{__name__}.{name}")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value  # so that this runs once per name
    return value


def __dir__() -> list[str]:
    """List the names that can be asked for."""
    return sorted({*globals(), *__all__, *FLOORS})

"""PyTorch's recurrent module, taken apart and put back together.

Each module is one floor of the explanation and imports only from floors below it: `shapes`,
`init`, `cells`, `scan`, `layers`, `in_place`, `bptt`, `fast`, `modules`, `summary`, `trace`,
`files`, `schemes`, `porting`, `diagnose`, `language`; `figures`, `tasks` and `source` are for the
pages.
"""

from importlib import import_module
from typing import Any

from unrolled.bptt import gru_backward, lstm_backward, rnn_backward
from unrolled.cell_modules import GRUCell, LSTMCell, RNNCell
from unrolled.cells import (
    gru_cell,
    gru_step,
    linear,
    lstm_cell,
    lstm_step,
    rnn_cell,
    rnn_step,
    sigmoid,
)
from unrolled.diagnose import diagnose
from unrolled.init import uniform_bound, uniform_parameters
from unrolled.modules import GRU, LSTM, RNN
from unrolled.scan import packed_scan, scan
from unrolled.shapes import parameter_count, parameter_shapes
from unrolled.summary import summary
from unrolled.trace import trace

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "GRUCell",
    "LSTMCell",
    "RNNCell",
    "diagnose",
    "gru_backward",
    "gru_cell",
    "gru_step",
    "linear",
    "lstm_backward",
    "lstm_cell",
    "lstm_step",
    "packed_scan",
    "parameter_count",
    "parameter_shapes",
    "rnn_backward",
    "rnn_cell",
    "rnn_step",
    "scan",
    "sigmoid",
    "summary",
    "trace",
    "uniform_bound",
    "uniform_parameters",
]

_MODULES = frozenset(("figures", "files", "language", "porting", "schemes", "source", "tasks"))


def __getattr__(name: str) -> Any:
    """Import a floor that not everybody needs when somebody asks for it."""
    if name in _MODULES:
        return import_module(f"unrolled.{name}")
    raise AttributeError(f"module 'unrolled' has no attribute {name!r}")

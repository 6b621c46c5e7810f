"""PyTorch's recurrent module, taken apart and put back together.

Each module is one floor of the explanation and imports only from floors below it: `shapes`,
`init`, `cells`, `scan`, `layers`, `in_place`, `bptt`, `fast`, `modules`, `summary`, `trace`;
`figures` and `source` are for the pages.
"""

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
from unrolled.init import uniform_bound, uniform_parameters
from unrolled.modules import GRU, LSTM, RNN
from unrolled.scan import scan
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
    "gru_backward",
    "gru_cell",
    "gru_step",
    "linear",
    "lstm_backward",
    "lstm_cell",
    "lstm_step",
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

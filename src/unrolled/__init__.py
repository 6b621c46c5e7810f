"""PyTorch's recurrent module, taken apart and put back together.

Each module is one floor of the explanation and imports only from floors below it: `shapes`,
`init`, `cells`, `scan`, `layers`, `modules`, `trace`; `figures` and `source` are for the pages.
"""

from unrolled.cells import linear, rnn_cell, rnn_step
from unrolled.init import uniform_bound, uniform_parameters
from unrolled.modules import RNN
from unrolled.scan import scan
from unrolled.shapes import parameter_count, parameter_shapes
from unrolled.trace import trace

__all__ = [
    "RNN",
    "linear",
    "parameter_count",
    "parameter_shapes",
    "rnn_cell",
    "rnn_step",
    "scan",
    "trace",
    "uniform_bound",
    "uniform_parameters",
]

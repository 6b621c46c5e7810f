"""SVG drawings of shapes and values, in the colours of the site.

Every function gives a `Figure`, which shows itself in a notebook. Values are plain nested lists, or
anything with ``tolist``: NumPy arrays and tensors.
"""

from .architecture import KINDS, folded, influence, sequence_problem, sequence_problems, unrolled
from .arithmetic import addition_trees, output_layer, product, step_equation
from .backward import backward_through_time
from .charts import bars, histogram, lines
from .draws import bits_to_weight, eigenvalues
from .gates import gate_by_gate, gru_cell, lstm_cell
from .images import as_images, image
from .ladder import ladder
from .language import text_streams, unit_over_text
from .layers import layer_stack, output_and_states
from .lengths import packing
from .loop import broadcast_picture, recurrence, states_over_time
from .notation import legend
from .palette import PALETTE, Token, stylesheet
from .parameters import gate_sizes, parameter_blocks, parameter_loops, uniform_draw
from .porting import gate_layouts
from .projections import projection
from .shading import shaded
from .slices import block
from .small import small_example
from .svg import Figure

__all__ = [
    "KINDS",
    "PALETTE",
    "Figure",
    "Token",
    "addition_trees",
    "as_images",
    "backward_through_time",
    "bars",
    "bits_to_weight",
    "block",
    "broadcast_picture",
    "eigenvalues",
    "folded",
    "gate_by_gate",
    "gate_layouts",
    "gate_sizes",
    "gru_cell",
    "histogram",
    "image",
    "influence",
    "ladder",
    "layer_stack",
    "legend",
    "lines",
    "lstm_cell",
    "output_and_states",
    "output_layer",
    "packing",
    "parameter_blocks",
    "parameter_loops",
    "product",
    "projection",
    "recurrence",
    "sequence_problem",
    "sequence_problems",
    "shaded",
    "small_example",
    "states_over_time",
    "step_equation",
    "stylesheet",
    "text_streams",
    "uniform_draw",
    "unit_over_text",
    "unrolled",
]

"""Weights to and from Keras, ONNX, Flax and Equinox, as NumPy arrays.

A table, `LAYOUTS`, says how each library stores the parameters of a recurrent module; `to_layout`
and `from_layout` read it, one in each direction. Nothing here imports one of those libraries.
``python -m unrolled.porting --help`` does the same for files.
"""

from unrolled.porting.layouts import LAYOUTS, Layout, Setting, from_layout, to_layout

__all__ = ["LAYOUTS", "Layout", "Setting", "from_layout", "to_layout"]

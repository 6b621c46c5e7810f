"""Weights to and from Keras, ONNX, Flax and Equinox, as NumPy arrays.

The table `LAYOUTS` says how each library stores the parameters of a recurrent module; `to_layout`
and `from_layout` use it to convert in the two directions. None of those libraries is imported here.
To convert files, see ``python -m unrolled.porting --help``.
"""

from unrolled.porting.layouts import LAYOUTS, Layout, Setting, from_layout, to_layout

__all__ = ["LAYOUTS", "Layout", "Setting", "from_layout", "to_layout"]

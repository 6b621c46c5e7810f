"""Where the site explains each mistake that `unrolled.diagnose` knows."""

from collections.abc import Iterator
from itertools import permutations
from typing import NamedTuple

from unrolled.shapes import GATES

__all__ = ["SECTIONS", "Section"]


class Section(NamedTuple):
    """A section of a page.

    Attributes
    ----------
    page : str
        The page, as the table of contents names it.
    label : str
        The label of the section there.

    Examples
    --------
    >>> SECTIONS["reset before the product"]
    Section(page='module/gru', label='gru-which')
    """

    page: str
    label: str


def _orders(mode: str) -> Iterator[str]:
    """Name every wrong order of the gates."""
    right = GATES[mode]
    return (f"gates read as {' '.join(order)}" for order in permutations(right) if order != right)


_EXPLAINED: dict[Section, tuple[str, ...]] = {
    Section("walkthrough/one_step", "one-step"): (
        "relu in place of tanh",
        "tanh in place of relu",
        "sigmoid as the activation",
        "no activation",
    ),
    Section("walkthrough/initialisation", "initialisation"): ("parameters of its own",),
    Section("walkthrough/matrix_multiplication", "matrix-multiplication"): (
        "weight_hh reshaped",
        "weight_ih reshaped",
    ),
    Section("walkthrough/matrix_multiplication", "matrix-broadcast"): (
        "one state for all time steps",
    ),
    Section("walkthrough/matrix_multiplication", "matrix-transpose"): (
        "weight_hh not transposed",
        "weight_ih not transposed",
    ),
    Section("walkthrough/matrix_multiplication", "matrix-loop"): (
        "every step from zeros",
        "state stored before the step",
    ),
    Section("walkthrough/one_step", "one-step-biases"): (
        "bias_ih missing",
        "bias_hh missing",
        "both biases missing",
        "bias_ih added twice",
        "bias_hh added twice",
        "both biases added twice",
        "bias_ih in place of bias_hh",
        "bias_hh in place of bias_ih",
    ),
    Section("module/lstm", "lstm"): ("h not carried", "c not carried"),
    Section("module/lstm", "lstm-formulas"): (
        *_orders("LSTM"),
        "sigmoid on the candidate",
        "relu on the candidate",
        "no activation on the candidate",
        "no sigmoid on the gates",
        "tanh on the gates",
        "hard sigmoid of Keras 2",
        "hard sigmoid of PyTorch",
        "no tanh on the cell state",
        "sigmoid on the cell state",
        "old cell state in the output",
        "tanh kept in the cell state",
    ),
    Section("module/lstm", "lstm-forget"): ("1 added to the forget gate",),
    Section("module/gru", "gru"): (*_orders("GRU"), "z and 1 - z exchanged"),
    Section("module/gru", "gru-which"): ("reset before the product", "reset gate not used"),
    Section("module/gru", "gru-biases"): ("biases merged", "biases merged inside the reset"),
    Section("module/layers", "layers"): (
        "output in reverse order",
        "sequence read backwards",
        "reverse direction not flipped back",
        "reverse direction with the forward parameters",
        "reverse half first",
        "all layers with the parameters of the first",
        "first state for all layers and directions",
        "hx read by direction",
        "h_n in reversed order",
        "h_n ordered by direction",
    ),
    Section("module/layers", "layers-reach"): ("reverse direction runs forward",),
    Section("module/states", "states"): ("hx not used", "output transposed"),
    Section("module/states", "states-last"): ("h_n of the last time step",),
    Section("module/states", "states-mistakes"): (
        "batch and time confused",
        "input reshaped, not transposed",
        "output reshaped, not transposed",
        "h_0 and c_0 exchanged",
        "h_n and c_n exchanged",
    ),
    Section("module/kernels", "kernels-tf32"): (
        "products cut to TF32",
        "products rounded to TF32",
    ),
}

SECTIONS: dict[str, Section] = {
    mistake: section for section, mistakes in _EXPLAINED.items() for mistake in mistakes
}
"""For each mistake of `unrolled.MISTAKES`, by name, the section that explains it."""

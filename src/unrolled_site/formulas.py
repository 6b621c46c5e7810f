r"""The notation of the site as commands for formulas: one symbol, one colour.

The index belongs to the symbol and has its colour, so a formula says
``\ht = \act{\tanh}(\xt \Wih^\top + \bih + \hprev \Whh^\top + \bhh)``.
"""

from typing import NamedTuple

__all__ = ["MACROS", "Macro"]


class Macro(NamedTuple):
    """One command of the notation.

    Attributes
    ----------
    token : str
        The name in ``unrolled_site.figures.PALETTE`` that colours it; ``""`` for none.
    tex : str
        What it expands to; ``#1`` is its argument.
    meaning : str
        What the symbol stands for, in a few words, and an example if it has an argument.
    """

    token: str
    tex: str
    meaning: str


MACROS: dict[str, Macro] = {
    r"\x": Macro("x", "x", "input"),
    r"\xt": Macro("x", "x_t", "input at time step t"),
    r"\h": Macro("h", "h", "hidden state"),
    r"\ht": Macro("h", "h_t", "hidden state after time step t"),
    r"\hprev": Macro("h", "h_{t-1}", "hidden state before time step t"),
    r"\hzero": Macro("h", "h_0", "initial hidden state"),
    r"\hn": Macro("h", "h_n", "last hidden state"),
    r"\c": Macro("c", "c", "cell state"),  # \c is the cedilla, of no use in a formula
    r"\ct": Macro("c", "c_t", "cell state after time step t"),
    r"\cprev": Macro("c", "c_{t-1}", "cell state before time step t"),
    r"\czero": Macro("c", "c_0", "initial cell state"),
    r"\cn": Macro("c", "c_n", "last cell state"),
    r"\Wih": Macro("wih", "W_{ih}", "weights from input to hidden"),
    r"\Whh": Macro("whh", "W_{hh}", "weights from hidden to hidden"),
    r"\bih": Macro("b", "b_{ih}", "bias of the input's product"),
    r"\bhh": Macro("b", "b_{hh}", "bias of the hidden state's product"),
    r"\act": Macro("act", "#1", r"activation: \act{\tanh}"),
    r"\grad": Macro("grad", "#1", r"gradient: \grad{\partial}"),
    r"\gate": Macro("g#1", "#1_t", r"gate at time step t: \gate{i}; i f g o, r z n"),
    # `gg` as a command would hide LaTeX's \gg, which is why gates have one command for all.
    r"\token": Macro("#1", "#2", r"anything in the colour of a token: \token{wih}{W_{ii}}"),
    r"\Hin": Macro("", r"H_{\text{in}}", "features of the input"),
    r"\Hout": Macro("", r"H_{\text{out}}", "features of the hidden state"),
}
"""The commands of the notation, for the pages to use and for the notation page to list.

:meta hide-value:
"""

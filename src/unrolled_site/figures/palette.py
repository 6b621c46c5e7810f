"""One symbol, one colour: the colours of formulas, figures and tables, defined here alone.

The style sheet of the site (`stylesheet`), the KaTeX macros and the figures all read `PALETTE`.
Every colour has a contrast of at least 4.5 : 1 as text on the site's backgrounds, and colours that
are side by side stay apart for readers with protanopia, deuteranopia or tritanopia;
``tests/test_palette.py`` computes both.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["INK", "PALETTE", "Token", "figure_rules", "stylesheet", "token_rules"]


@dataclass(frozen=True, slots=True)
class Token:
    """A symbol and the colour that it has everywhere.

    Attributes
    ----------
    name : str
        The name in CSS: class ``u-name``, custom property ``--u-name``.
    symbol : str
        The symbol as formulas and figures write it; ``_{}`` sets an index, ``^{}`` an exponent.
    meaning : str
        What the symbol stands for, in a few words.
    light, dark : str
        The colour on light and on dark backgrounds, ``#rrggbb``.
    """

    name: str
    symbol: str
    meaning: str
    light: str
    dark: str


PALETTE: dict[str, Token] = {
    token.name: token
    for token in (
        Token("x", "x_{t}", "input", "#0761e9", "#72affd"),
        Token("h", "h_{t}", "hidden state", "#9e2f33", "#ed866c"),
        Token("c", "c_{t}", "cell state", "#76378e", "#c092c1"),
        Token("wih", "W_{ih}", "weights from input to hidden", "#0c7983", "#4adef4"),
        Token("whh", "W_{hh}", "weights from hidden to hidden", "#9b6107", "#eab84b"),
        Token("b", "b", "biases", "#59595e", "#c3c8cc"),
        Token("act", "tanh", "activation", "#1e4b03", "#b4e096"),
        Token("grad", "∂", "gradient", "#b4186b", "#f58cbb"),
        Token("gi", "i_{t}", "input gate (LSTM)", "#0467e9", "#87b2e5"),
        Token("gf", "f_{t}", "forget gate (LSTM)", "#8b1a23", "#e38486"),
        Token("gg", "g_{t}", "cell candidate (LSTM)", "#247a57", "#99f3bc"),
        Token("go", "o_{t}", "output gate (LSTM)", "#8f6403", "#e0bf5f"),
        Token("gr", "r_{t}", "reset gate (GRU)", "#694fa9", "#bda8f3"),
        Token("gz", "z_{t}", "update gate (GRU)", "#95590e", "#e8b467"),
        Token("gn", "n_{t}", "candidate state (GRU)", "#247a6f", "#72d3c5"),
    )
}
"""The tokens by name, in the order of the legend."""

INK: dict[str, str] = {"light": "#222832", "dark": "#ced6dd"}
"""The text of a drawing that is a file of its own; in a page the ink is the page's."""


def token_rules(dark: bool = True) -> str:
    """Write the tokens for a drawing that is a file of its own.

    Parameters
    ----------
    dark : bool, default True
        False leaves out the colours for dark backgrounds.

    Returns
    -------
    str
        CSS: the ink and the tokens, for a reader who prefers light and one who prefers dark.

    Examples
    --------
    >>> "@media (prefers-color-scheme: dark)" in token_rules()
    True
    """
    light = f":root {{ color: {INK['light']}; {_properties('light')} }}"
    if not dark:
        return f"{light}\n{_classes()}"
    on_dark = f":root {{ color: {INK['dark']}; {_properties('dark')} }}"
    return f"{light}\n@media (prefers-color-scheme: dark) {{ {on_dark} }}\n{_classes()}"


def figure_rules() -> str:
    """Write the rules for the text and the size of figures.

    Returns
    -------
    str
        CSS for everything inside the class ``u-figure``.

    Examples
    --------
    >>> ".u-figure .f-code" in figure_rules()
    True
    """
    serif = '"Cambria Math", "STIX Two Text", "Times New Roman", serif'
    return f"""\
.u-figure {{
  margin: 1.75rem auto;
  text-align: center;
  font-family: var(--pst-font-family-base, sans-serif);
}}
.u-figure > svg {{
  display: block;
  width: 100%;
  max-width: 30rem;
  height: auto;
  margin: 0 auto;
}}
.u-figure > svg.f-wide {{ display: none; max-width: 44rem; }}
.u-figure:has(> .f-wide) {{ container-type: inline-size; }}
@container (min-width: 40rem) {{
  .u-figure > svg.f-narrow {{ display: none; }}
  .u-figure > svg.f-wide {{ display: block; }}
}}
.u-figure > figcaption {{ max-width: 30rem; margin: 0.5rem auto 0; font-size: 0.9em; }}
.u-figure text {{ font-variant-numeric: tabular-nums; }}
.u-figure .f-code {{ font-family: var(--pst-font-family-monospace, monospace); }}
.u-figure .f-math {{ font-family: KaTeX_Main, {serif}; }}
.u-figure .f-var {{ font-family: KaTeX_Math, {serif}; font-style: italic; }}
.u-figure .f-dim {{ color: var(--pst-color-text-muted, inherit); }}
"""


def stylesheet() -> str:
    """Write the tokens and the rules of the figures as the site's CSS.

    Returns
    -------
    str
        A rule that sets ``--u-name`` for every token on light pages, one for dark pages, a
        class ``.u-name`` for every token that colours text and, through ``currentColor``,
        drawings, and `figure_rules`.

    Examples
    --------
    >>> css = stylesheet()
    >>> ".u-whh { color: var(--u-whh); }" in css
    True
    """
    return (
        f':root, html[data-theme="light"] {{ {_properties("light")} }}\n'
        f'html[data-theme="dark"] {{ {_properties("dark")} }}\n'
        f"{_classes()}{figure_rules()}"
    )


def _properties(theme: Literal["light", "dark"]) -> str:
    """Set the custom properties of all tokens for one theme."""
    return " ".join(f"--u-{name}: {getattr(token, theme)};" for name, token in PALETTE.items())


def _classes() -> str:
    """Write one class a token."""
    return "".join(f".u-{name} {{ color: var(--u-{name}); }}\n" for name in PALETTE)

r"""Mathematics is set while the site is built, by KaTeX's own script inside Python.

The page then carries finished HTML for the eye and MathML for screen readers; no script runs in
the reader's browser. A formula that KaTeX refuses is a Sphinx warning with its place in the
source, so that a strict build fails.

The notation of the site is in ``unrolled_site.formulas``: one symbol, one colour (the classes of
``unrolled_site.figures.palette``).
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

from unrolled_site.figures.palette import PALETTE
from unrolled_site.formulas import MACROS, Macro

logger = logging.getLogger(__name__)


# One function in JavaScript: the error or the formula's HTML. `strict` refuses whatever LaTeX
# would not take, except \htmlClass, on which the colours rest.
SET_FORMULA = r"""
function setFormula(tex, displayMode) {
  const strict = (code) => (code === "htmlExtension" ? "ignore" : "error");
  const trust = ({command}) => command === "\\htmlClass";
  try {
    return ["", katex.renderToString(tex, {displayMode, strict, trust, macros: {...MACROS}})];
  } catch (error) {
    return [error.message, ""];
  }
}
"""
KATEX = Path(__file__).parent.parent / "_static" / "vendor" / "katex" / "katex.min.js"


class Formula(NamedTuple):
    """TeX, and whether it has a line to itself."""

    tex: str
    display: bool


class Result(NamedTuple):
    """What came of a formula: an error, or else its HTML."""

    error: str
    html: str


_results: dict[Formula, Result] = {}


def _colour(macro: Macro) -> str:
    """Expand a command. Symbol and index are coloured one by one, so that an exponent fits."""
    if not macro.token:
        return macro.tex
    symbol, _, index = macro.tex.partition("_")
    coloured = rf"\htmlClass{{u-{macro.token}}}"
    # KaTeX tucks an index under a bare W, and not under one with a class.
    tuck = r"\mkern-3mu" if symbol == "W" else ""
    return f"{coloured}{{{symbol}}}" + (f"_{{{tuck}{coloured}{{{index}}}}}" if index else "")


def set_formulas(formulas: Iterable[Formula]) -> None:
    """Set the formulas that have not been set before.

    The engine lives for one call (20 ms to start): its thread would otherwise keep Sphinx, and
    the processes of a parallel build, from ending.
    """
    new = dict.fromkeys(formula for formula in formulas if formula not in _results)
    if not new:
        return
    macros = {name: _colour(macro) for name, macro in MACROS.items()}
    with MiniRacer() as engine:
        engine.eval(KATEX.read_text("utf-8"))
        engine.eval(f"const MACROS = {json.dumps(macros)};{SET_FORMULA}")
        for formula in new:
            error, html = engine.call("setFormula", *formula)
            tokens = set(re.findall(r'class="enclosing u-([\w-]*)', html))
            if unknown := tokens - PALETTE.keys():
                error = f"no such token in the palette: {', '.join(sorted(unknown))}"
            _results[formula] = Result(error, html)


def formula_of(node: nodes.TextElement) -> Formula:
    tex = node.astext()
    if isinstance(node, nodes.math):
        return Formula(tex, display=False)
    if node.get("no-wrap", node.get("nowrap", False)):  # an environment of its own
        return Formula(tex, display=True)
    # As Sphinx does for MathJax: `\\` breaks a line and `&` aligns, blank lines part equations.
    parts = [part.strip() for part in tex.split("\n\n") if part.strip()]
    parts = [rf"\begin{{aligned}}{p}\end{{aligned}}" if r"\\" in p else p for p in parts]
    joined = r" \\ ".join(parts)
    if len(parts) > 1:
        joined = rf"\begin{{gathered}}{joined}\end{{gathered}}"
    return Formula(joined, display=True)


def set_page(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Set all formulas of a page in one call, and tie the stop or comma after one to it."""
    if app.builder.format != "html":
        return
    inline, blocks = list(doctree.findall(nodes.math)), doctree.findall(nodes.math_block)
    set_formulas([formula_of(node) for node in (*inline, *blocks)])
    for node in inline:
        text = node.next_node(descend=False, siblings=True)
        if isinstance(text, nodes.Text) and (stop := re.match(r"[^\w\s(\[-]+", text)):
            node["stop"] = stop[0]
            parent = text.parent  # its replace() would take another text that reads the same
            place = next(index for index, child in enumerate(parent) if child is text)
            parent[place] = nodes.Text(text[stop.end() :])


def _html(self: HTML5Translator, node: nodes.TextElement) -> str:
    formula = formula_of(node)
    set_formulas([formula])  # done already, but for titles that Sphinx copies into contents
    error, html = _results[formula]
    if not error and re.match(r"\\begin\{(align|alignat|equation|gather)\}", formula.tex):
        # KaTeX would number these itself, at odds with Sphinx's numbers.
        error = "write the starred environment, or the math directive with a label"
    if error:
        logger.warning("%s in the formula: %s", error, formula.tex, location=node, type="katex")
    mathml = re.search(r"<math.*</math>", html, re.DOTALL)
    if self.builder.name == "epub" and mathml:
        return mathml[0]  # the device sets it
    return html


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """Write a formula inside a sentence."""
    html = _html(self, node)
    formula = self.starttag(node, "span", "", CLASS="math notranslate nohighlight")
    formula += f"{html}</span>{self.encode(node.get('stop', ''))}"
    # Browsers may break a line after every part, even before a full stop; a long formula has to.
    if html.count('class="base"') <= 3:
        formula = f'<span class="u-unbroken">{formula}</span>'
    self.body.append(formula)
    raise nodes.SkipNode


def visit_math_block(self: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula on a line of its own, with its number and the link to it."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node.get("number"):
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    # A box of its own, so that a wide formula scrolls and its number stays.
    self.body.append(f'<div class="u-scroll">{_html(self, node)}</div></div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> ExtensionMetadata:
    """Make KaTeX the renderer of mathematics."""
    app.add_html_math_renderer("katex", (visit_math, None), (visit_math_block, None))
    app.add_css_file("vendor/katex/katex.min.css")
    app.connect("doctree-resolved", set_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

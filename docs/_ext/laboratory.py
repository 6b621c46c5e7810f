"""The scripts of the laboratory: one file for each element, which pages with that element load.

The sources are ES modules in ``docs/_lab``: ``core`` has the mathematics, with the floors of the
Python package, ``parts`` what elements have in common, and ``NAME-lab.js`` defines the element
``<unrolled-NAME>``. The tests run the same scripts.

A chapter brings a drawing to life with the directive ``alive``::

    :::{alive} step
    :state: mode=LSTM&H_in={H_in}&seed=0
    Step through this drawing
    :::

It comes under the cell that draws. Its button loads the script and puts the element in the place
of the drawing; until then the page loads nothing. The state may name sizes of the worked example.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import directives
from joined_modules import bundle
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata

from unrolled_site import example

SOURCES = Path(__file__).parent.parent / "_lab"
SHIPPED = re.compile(
    r'<script type="application/json" data-file="(lab-[a-z-]+\.js)">([^<]*)</script>'
)
ELEMENT = re.compile(r"<unrolled-([a-z]+)")


def elements() -> dict[str, Path]:
    """Give the files that define elements, by the names of the elements."""
    return {path.stem.removesuffix("-lab"): path for path in sorted(SOURCES.glob("*-lab.js"))}


def write_scripts(app: Sphinx) -> None:
    """Write the scripts before any page asks for them."""
    if isinstance(app.builder, StandaloneHTMLBuilder):
        folder = Path(app.outdir) / "_static"
        folder.mkdir(parents=True, exist_ok=True)
        for name, path in elements().items():
            (folder / f"lab-{name}.js").write_text(bundle(path), "utf-8")


def load_scripts(
    app: Sphinx, pagename: str, templatename: str, context: object, doctree: nodes.document | None
) -> None:
    """Let a page load the scripts of its elements and their style, and no other page."""
    found = doctree.findall(nodes.raw) if doctree is not None else ()
    names = {name for node in found for name in ELEMENT.findall(node.astext())}
    for name in sorted(names):
        app.add_js_file(f"lab-{name}.js", loading_method="defer")
    if names:
        app.add_css_file("lab.css")


def ship_files(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Move a script that a cell displays, such as trained weights, into a file of its own.

    The cell displays ``<script type="application/json" data-file="lab-NAME.js">…</script>``. It
    arrives here whether the cell ran now or its output comes from the cache, and whenever the page
    is written the file is.
    """
    folder = Path(app.outdir) / "_static"

    def ship(found: re.Match[str]) -> str:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / found[1]).write_text(found[2], "utf-8")
        return ""

    if SHIPPED.search(context.get("body", "")):
        context["body"] = SHIPPED.sub(ship, context["body"])


class Alive(SphinxDirective):
    """A button that brings the drawing above it to life."""

    required_arguments = 1
    has_content = True
    option_spec = {"state": directives.unchanged}  # noqa: RUF012 # the class of Sphinx has it so

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        if name not in elements():
            raise self.error(f"There is no laboratory element {name!r}: {', '.join(elements())}")
        text = " ".join(self.content) or "Play with this drawing"
        sizes = {size: getattr(example, size) for size in ("N", "L", "H_in", "H_out")}
        state = self.options.get("state", "").format(**sizes)
        html = (
            f'<p class="u-alive" hidden data-lab="{name}" data-state="{escape(state)}">'
            f'<button type="button">{escape(text)}</button></p>'
        )
        return [nodes.raw("", html, format="html")]


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("builder-inited", write_scripts)
    app.connect("html-page-context", load_scripts)
    app.connect("html-page-context", ship_files)
    app.add_directive("alive", Alive)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

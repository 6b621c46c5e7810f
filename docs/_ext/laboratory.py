"""The scripts of the laboratory, in one file that pages with a laboratory element load.

The sources are ES modules in ``docs/_lab``: ``core`` has the mathematics, with the floors of the
Python package, and the files beside it have the custom elements. The tests run the same script.
"""

import re
from pathlib import Path

from docutils import nodes
from joined_modules import bundle
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.util.typing import ExtensionMetadata

SOURCES = Path(__file__).parent.parent / "_lab"
ELEMENT = re.compile(r"<unrolled-[a-z]")


def elements() -> list[Path]:
    """Give the files that define elements: those beside the core."""
    return sorted(SOURCES.glob("*.js"))


def write_script(app: Sphinx) -> None:
    """Write the script before any page asks for it."""
    if isinstance(app.builder, StandaloneHTMLBuilder):
        path = Path(app.outdir) / "_static" / "lab.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(bundle(*elements()), "utf-8")


def load_script(
    app: Sphinx, pagename: str, templatename: str, context: object, doctree: nodes.document | None
) -> None:
    """Let a page with a laboratory element load the script and its style, and no other."""
    if doctree is not None and any(
        ELEMENT.search(node.astext()) for node in doctree.findall(nodes.raw)
    ):
        app.add_js_file("lab.js", loading_method="defer")
        app.add_css_file("lab.css")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("builder-inited", write_script)
    app.connect("html-page-context", load_script)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

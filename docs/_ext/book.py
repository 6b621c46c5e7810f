"""The site as an EPUB: what a page has for a browser becomes what a reader's device shows.

An EPUB is XML and runs no scripts. Drawings get the name space that HTML does without, tools of the
laboratory become a link to the page that has them, and formulas are MathML alone.
"""

import re
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from unrolled_site.figures import images, palette

RULES = """\
details { margin: 1em 0; }
summary { font-weight: bold; }
pre { white-space: pre-wrap; }
table { border-collapse: collapse; }
td, th { padding: 0.2em 0.5em; border-bottom: 1px solid; text-align: left; }
.u-figure > svg.f-narrow { display: block; }
"""
STYLES = {"epub.css", "pygments.css", "book.css"}


def in_a_book(html: str, address: str) -> str:
    """Turn HTML of a page into that of a book."""
    drawings, caption = images.parts(html)
    if drawings:  # of two layouts the narrow one
        svg = drawings[0].replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        return f'<figure class="u-figure">{svg}{caption}</figure>'
    if "<unrolled-" in html:
        return f'<p>This tool runs in a browser: <a href="{escape(address)}">open it there</a>.</p>'
    if link := re.fullmatch(r'<a href="(#[^"]*)">', html):
        return f'<a href="{escape(address)}{link[1]}">'
    return html if html == "</a>" else ""


def for_devices(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Rewrite the HTML of a page."""
    if app.builder.name != "epub":
        return
    address = f"{app.config.html_baseurl}{docname}.html"
    for node in list(doctree.findall(nodes.raw)):
        if text := in_a_book(node.astext(), address):
            node.parent.replace(node, nodes.raw("", text, format="html"))
        else:
            node.parent.remove(node)


def write_style(app: Sphinx) -> None:
    """Write the one style sheet of ours, and leave out what is for browsers."""
    if app.builder.name == "epub":
        path = Path(app.outdir, "_static", "book.css")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{palette.token_rules()}{palette.figure_rules()}{RULES}", "utf-8")
        app.config.html_static_path = []
        app.add_css_file("book.css")


def keep_styles(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Let a page of the book ask for the style sheets that are in it."""
    if app.builder.name == "epub":
        context["script_files"] = []
        context["css_files"] = [
            file for file in context["css_files"] if Path(str(file.filename)).name in STYLES
        ]


def setup(app: Sphinx) -> ExtensionMetadata:
    # After the extensions that add theirs, and after html-page-context of those.
    app.connect("builder-inited", write_style, priority=900)
    app.connect("html-page-context", keep_styles, priority=900)
    app.connect("doctree-resolved", for_devices, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

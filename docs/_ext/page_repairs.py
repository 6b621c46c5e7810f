"""Markup of other extensions that this site writes differently.

- A solution is a ``details`` element, closed until the reader opens it; sphinx-exercise leaves it
  open or needs another extension.
- The ``summary`` of a hidden cell has its visible text as its name; MyST-NB names every one
  "Toggle hidden content".
- What a cell prints is put together from the pieces in which the kernel sends it. MyST-NB begins a
  new line between two pieces, wherever the clock cut them.
"""

from copy import copy
from html import escape
from typing import Any

from docutils import nodes
from myst_nb.core import render  # type: ignore[import-untyped]  # it has no types
from myst_nb.sphinx_ import HideCodeCellNode  # type: ignore[import-untyped]  # it has no types
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator
from sphinx_exercise.nodes import solution_node  # type: ignore[import-untyped]  # it has no types


def _open(self: HTML5Translator, node: nodes.Element, css_class: str, summary: str) -> None:
    self.body.append(self.starttag(node, "details", CLASS=css_class))
    self.body.append(f"<summary>{escape(summary)}</summary>\n")


def visit_solution(self: HTML5Translator, node: nodes.Element) -> None:
    _open(self, node, "u-details", node.pop(0).astext())  # the first child is the title


def visit_hidden_cell(self: HTML5Translator, node: nodes.Element) -> None:
    node["classes"] = []  # the theme's rules for them are for the other markup
    kind = node.get("unrolled_kind", "")
    _open(self, node, f"u-details {kind}".rstrip(), node["prompt_show"])


def depart(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append("</details>\n")


_coalesce_streams = render.coalesce_streams


def join_streams(outputs: list[Any]) -> Any:
    joined: list[Any] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output["output_type"] == "stream" and output["name"] == before.get("name"):
            before["text"] += output["text"]
        else:
            joined.append(copy(output))
    return _coalesce_streams(joined)


def setup(app: Sphinx) -> ExtensionMetadata:
    render.coalesce_streams = join_streams
    app.add_node(solution_node, override=True, html=(visit_solution, depart))
    app.add_node(HideCodeCellNode, override=True, html=(visit_hidden_cell, depart))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Markup of other extensions that this site writes differently.

- A solution is a ``details`` element, closed until the reader opens it; sphinx-exercise leaves it
  open or needs another extension.
- The ``summary`` of a hidden cell has its visible text as its name; MyST-NB names every one
  "Toggle hidden content".
"""

from html import escape

from docutils import nodes
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
    _open(self, node, "u-details", node["prompt_show"])


def depart(self: HTML5Translator, node: nodes.Element) -> None:
    self.body.append("</details>\n")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_node(solution_node, override=True, html=(visit_solution, depart))
    app.add_node(HideCodeCellNode, override=True, html=(visit_hidden_cell, depart))
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""The names that a page of the API documents, each with its first sentence.

The directive ``api-names PAGE`` is for the page that leads to the pages of the modules. It lists
what ``site_search`` has collected from the page that it names, so that a name is written once.
"""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode
from sphinx.util.typing import ExtensionMetadata


class api_names(nodes.General, nodes.Element):  # noqa: N801 # docutils names nodes so
    """The place of a list until all pages have been read."""


class ApiNames(SphinxDirective):
    """Put the list of a page here."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        page = str(PurePosixPath(self.env.docname).with_name(self.arguments[0]))
        if page not in self.env.found_docs:
            raise self.error(f"There is no page {page!r}")
        self.env.metadata[self.env.docname].setdefault("lists_names_of", []).append(page)
        return [api_names(page=page)]


def documented(env: BuildEnvironment, page: str) -> Iterator[tuple[str, str, str]]:
    """Give anchor, name and first sentence of what a page documents, methods aside."""
    for place in env.metadata[page]["sections"]:
        if "." in place["anchor"] and "." not in place["title"]:
            sentence, *_ = re.split(r"(?<=[.:])\s", place["text"])
            yield place["anchor"], place["title"], sentence


def resolve(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the lists in their places."""

    def link(page: str, anchor: str, text: str) -> nodes.Node:
        return make_refnode(app.builder, docname, page, anchor, nodes.literal(text, text))

    for node in list(doctree.findall(api_names)):
        page = node["page"]
        names = nodes.bullet_list()
        for anchor, name, sentence in documented(app.env, page):
            line = nodes.paragraph("", "", link(page, anchor, name), nodes.Text(f": {sentence}"))
            names += nodes.list_item("", line)
        head = nodes.paragraph("", "", link(page, "", app.env.titles[page].astext()))
        node.replace_self([head, names] if len(names) else [head])


def changed(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Name the pages with lists if a name or a sentence has changed on a page that they list."""
    pages = {
        name: data["lists_names_of"]
        for name, data in env.metadata.items()
        if "lists_names_of" in data
    }
    now = [list(documented(env, page)) for listed in pages.values() for page in listed]
    before = getattr(env, "unrolled_api_names", None)
    env.unrolled_api_names = now  # type: ignore[attr-defined]  # extensions may keep things there
    return [] if now == before else sorted(pages)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_node(api_names)
    app.add_directive("api-names", ApiNames)
    app.connect("doctree-resolved", resolve)
    app.connect("env-updated", changed)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

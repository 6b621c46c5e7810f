"""A page as plain Markdown, for readers without this site: notebooks, scripts, assistants.

It is made from what Sphinx has resolved, not from the source: roles, substitutions and glued values
are text by then, and links have their addresses. What comes out is the Markdown that GitHub and
Jupyter know, with formulas between dollars. A node that is not known here is a warning.
"""

import re
from collections.abc import Iterable, Iterator
from html import unescape
from itertools import groupby
from typing import Any, NamedTuple
from urllib.parse import urljoin

from docutils import nodes
from katex_build import formula_of
from myst_nb.sphinx_ import HideCodeCellNode  # type: ignore[import-untyped]  # it has no types
from sphinx import addnodes
from sphinx.util import logging
from sphinx_design.dropdown import dropdown_main, dropdown_title
from sphinx_exercise.nodes import (  # type: ignore[import-untyped]  # it has no types
    exercise_enumerable_node,
    exercise_node,
    solution_node,
)

from unrolled_site.figures import images
from unrolled_site.formulas import MACROS

logger = logging.getLogger(__name__)


class Cell(NamedTuple):
    """A cell of a page: its place in the notebook, and its Markdown outputs, resolved."""

    place: int
    markdown: str


Part = str | Cell


# -- Formulas -------------------------------------------------------------------------------------


def _argument(tex: str, start: int) -> tuple[str, int]:
    """Read an argument in braces; give it and where it ends."""
    start += len(tex[start:]) - len(tex[start:].lstrip())
    depth = 0
    for place in range(start, len(tex)):
        escaped = tex[place - 1] == "\\"
        depth += (tex[place] == "{" and not escaped) - (tex[place] == "}" and not escaped)
        if depth == 0:
            return tex[start : place + 1].removeprefix("{").removesuffix("}"), place + 1
    raise ValueError(f"an argument of a formula has no end: {tex}")


def expand(tex: str) -> str:
    r"""Write the notation of the site as TeX that every renderer knows.

    ``\act{\tanh}(\xt)`` becomes ``\tanh(x_t)``. The colours are lost.
    """
    written, place = "", 0
    while command := re.compile(r"\\(?:[A-Za-z]+|.)", re.DOTALL).search(tex, place):
        written += tex[place : command.start()]
        place = command.end()
        text = command[0]
        if macro := MACROS.get(text):
            text = macro.tex
            count = max(map(int, re.findall(r"#(\d)", macro.token + macro.tex)), default=0)
            for number in range(1, count + 1):
                argument, place = _argument(tex, place)
                text = text.replace(f"#{number}", expand(argument))
        if re.search(r"\\[A-Za-z]+$", written) and text[:1].isalpha():
            written += " "  # \odot\h is not \odoth
        written += text
        if re.search(r"\\[A-Za-z]+$", written) and tex[place : place + 1].isalpha():
            written += " "
    return written + tex[place:]


# -- Figures --------------------------------------------------------------------------------------


def described(html: str) -> str:
    """Say what a drawing shows, in a quotation: its title, its description, its caption."""
    drawings, caption = images.parts(html)
    if not drawings:
        return ""
    below = unescape(caption.removeprefix("<figcaption>").removesuffix("</figcaption>")).strip()
    title, *rest = map(escape, filter(None, [*images.words(drawings[0]), below]))
    return "> " + " ".join([f"**Figure: {title.rstrip('.')}.**", *rest])


# -- Text -----------------------------------------------------------------------------------------


def escape(text: str) -> str:
    """Keep Markdown from reading marks in a text."""
    text = re.sub(r"([\\`*$<])", r"\\\1", text)
    text = re.sub(r"(?<!\w)_", r"\\_", text)  # where one begins emphasis
    return re.sub(r"\](?=[(\[])", r"\\]", text)


def code(text: str) -> str:
    """Set code in a sentence, whatever backticks it contains."""
    text = " ".join(text.split("\n"))
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def fenced(text: str, language: str = "") -> str:
    """Set a block of code, whatever fences it contains."""
    longest = max(map(len, re.findall("`{3,}", text)), default=2)
    fence = "`" * (longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"


def quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _indented(text: str, by: int) -> str:
    first, *rest = text.splitlines() or [""]
    return "\n".join([first, *(" " * by + line if line else "" for line in rest)])


def _joined(blocks: Iterable[str]) -> str:
    return "\n\n".join(block for block in blocks if block)


INVISIBLE = (
    addnodes.index,
    addnodes.toctree,
    addnodes.highlightlang,
    nodes.target,
    nodes.comment,
    nodes.meta,
    nodes.substitution_definition,
    nodes.colspec,
)
WRAPPERS = (
    nodes.compound,
    nodes.document,
    addnodes.desc_content,
    addnodes.glossary,
    addnodes.only,
    HideCodeCellNode,
    dropdown_main,
)
EXERCISES = (exercise_node, exercise_enumerable_node, solution_node)


class Page:
    """One page, walked through once.

    Parameters
    ----------
    document : docutils.nodes.document
        Resolved by Sphinx.
    address : str
        Where the page is on the hosted site; links are relative to it.
    """

    def __init__(self, document: nodes.document, address: str) -> None:
        self.address = address
        self._exercises = 0
        self.parts = list(self._merged(self._blocks(document, level=0)))

    @staticmethod
    def _merged(parts: Iterable[Part]) -> Iterator[Part]:
        """Join neighbouring text."""
        for is_text, group in groupby(parts, lambda part: isinstance(part, str)):
            if not is_text:
                yield from group
            elif text := _joined(part for part in group if isinstance(part, str)):
                yield text

    # Blocks that may hold cells.

    def _blocks(self, parent: nodes.Element, level: int) -> Iterator[Part]:
        for node in parent.children:
            yield from self._block(node, level)

    def _block(self, node: Any, level: int) -> Iterator[Part]:
        if isinstance(node, nodes.section):
            yield from self._blocks(node, level + (node.parent is not None and self._titled(node)))
        elif isinstance(node, EXERCISES):
            yield self._exercise(node)
            yield from (part for child in node[1:] for part in self._block(child, level))
        elif isinstance(node, nodes.container) and node.get("nb_element") == "cell_code":
            yield Cell(node["cell_index"], self._markdown_output(node))
        elif isinstance(node, (nodes.container, *WRAPPERS)) and not node.get(
            "design_component", ""
        ).startswith("grid-c"):
            yield from self._blocks(node, level)
        elif node.get("design_component") == "grid-container":
            yield "\n".join(map(self._card, node.findall(self._is_card)))
        elif text := self.block(node, level):
            yield text

    @staticmethod
    def _titled(section: nodes.section) -> bool:
        return any(isinstance(child, nodes.title) for child in section)

    @staticmethod
    def _is_card(node: Any) -> bool:
        return isinstance(node, nodes.container) and node.get("design_component") == "card"

    def _markdown_output(self, cell: nodes.Element) -> str:
        """Give what a cell showed as Markdown, with its roles resolved."""
        return _joined(
            self.block(node, 6)
            for output in cell.findall(nodes.container)
            if output.get("nb_element") == "cell_code_output"
            for node in output
            if "output" not in node.get("classes", ())  # type: ignore[attr-defined]  # of elements
        )

    def _exercise(self, node: Any) -> str:
        """Give the heading of an exercise, with its number on this page, or of a solution."""
        title = self.inline(node[0]).strip()
        if isinstance(node, exercise_enumerable_node):
            self._exercises += 1
            title = f"Exercise {self._exercises} {title}".strip()
        return f"**{title}**"

    # Blocks of text.

    def _text(self, parent: Any, level: int = 6) -> str:
        return _joined(self.block(node, level) for node in parent.children)

    def block(self, node: Any, level: int = 6) -> str:
        """Write a block without cells."""
        match node:
            case nodes.title() | nodes.subtitle():
                return f"{'#' * min(level, 6)} {self.inline(node)}"
            case nodes.rubric() | dropdown_title():
                return f"**{self.inline(node)}**"
            case nodes.paragraph() | nodes.caption():
                return self._paragraph(node)
            case nodes.literal_block() | nodes.doctest_block():
                return fenced(node.astext(), self._language(node))
            case nodes.math_block():
                return self._display(node)
            case nodes.bullet_list() | nodes.enumerated_list():
                return self._list(node)
            case nodes.definition_list():
                return "\n".join(self._definition(item) for item in node.children)
            case nodes.field_list():
                fields: Any = node.children
                return _joined(
                    f"**{self.inline(name)}**\n\n{self._text(body)}" for name, body in fields
                )
            case nodes.block_quote():
                return quoted(self._text(node))
            case addnodes.desc():
                heads = [
                    f"**{code(self._signature(child))}**"
                    for child in node
                    if isinstance(child, addnodes.desc_signature)
                ]
                return _joined([*heads, self._text(node[-1])])
            case nodes.Admonition() | addnodes.versionmodified():
                return quoted(_joined([f"**{type(node).__name__.title()}**", self._text(node)]))
            case nodes.table():
                return self._table(node)
            case nodes.raw():
                return self._raw(node)
            case nodes.transition():
                return "---"
            case nodes.container() if self._is_card(node):
                return self._card(node)
            case nodes.container() | nodes.section():
                return self._text(node)
            case _ if isinstance(node, WRAPPERS):
                return self._text(node)
            case _ if isinstance(node, INVISIBLE):
                return ""
            case nodes.Text() | nodes.Inline() | nodes.TextElement():
                return self.inline(node)
        logger.warning("no Markdown for the node %s", type(node).__name__, location=node)
        return ""

    @staticmethod
    def _language(node: Any) -> str:
        language = node.get("language", "python" if isinstance(node, nodes.doctest_block) else "")
        return {"ipython3": "python", "default": "", "none": ""}.get(language, language)

    def _paragraph(self, node: nodes.Element) -> str:
        """Write a paragraph, one line of the source a line."""
        return "\n".join(line.strip() for line in self.inline(node).splitlines())

    def _display(self, node: Any) -> str:
        number = node.get("number")
        tag = f" \\tag{{{number}}}" if number else ""
        return f"$$\n{expand(formula_of(node).tex).strip()}{tag}\n$$"

    def _list(self, node: Any) -> str:
        start = node.get("start", 1)
        lines = []
        for number, item in enumerate(node.children, start):
            mark = f"{number}. " if isinstance(node, nodes.enumerated_list) else "- "
            lines.append(mark + _indented(self._text(item), len(mark)))
        return "\n".join(lines)

    def _definition(self, item: Any) -> str:
        terms = [
            f"*{self.inline(child)}*" if isinstance(child, nodes.classifier) else self.inline(child)
            for child in item.children
            if isinstance(child, nodes.term | nodes.classifier)
        ]
        head = f"**{terms[0].strip('*')}**" + "".join(f" ({term})" for term in terms[1:])
        text = _joined(self._text(child) for child in item if isinstance(child, nodes.definition))
        return "- " + _indented(f"{head}: {text}" if text else head, 2)

    def _card(self, node: nodes.Element) -> str:
        """Write a card as a line of a list, its title as the link."""
        title = next(
            self._text(child)
            for child in node.findall(nodes.container)
            if child.get("design_component") == "card-title"
        )
        text = " ".join(map(self._paragraph, node.findall(nodes.paragraph)))
        link = next(node.findall(nodes.reference), None)
        head = f"[{title}]({self._address(link)})" if link is not None else title
        return f"- {head}: {text}"

    def _table(self, node: nodes.Element) -> str:
        rows = [
            [self._entry(entry) for entry in row.findall(nodes.entry)]
            for row in node.findall(nodes.row)
        ]
        head, *body = rows
        lines = [head, ["---"] * len(head), *body]
        return "\n".join(f"| {' | '.join(row)} |" for row in lines)

    def _entry(self, node: nodes.Element) -> str:
        text = " ".join(self._text(node).split())
        return re.sub(r"(?<!\\)\|", r"\\|", text)

    def _raw(self, node: nodes.raw) -> str:
        """Write a drawing as its description, and say where a tool for the browser is."""
        html = node.astext()
        if "<unrolled-" in html:
            return f"> This tool runs in a browser: [open it on the site]({self.address})."
        return described(html)

    @staticmethod
    def _signature(node: addnodes.desc_signature) -> str:
        return "".join(
            f"({', '.join(each.astext() for each in child)})"
            if isinstance(child, addnodes.desc_parameterlist)
            else child.astext()
            for child in node
            if not isinstance(child, nodes.reference)  # to the source
        )

    # Inside a sentence.

    def inline(self, node: Any) -> str:
        """Write what is inside a sentence."""
        match node:
            case nodes.Text():
                return escape(node.astext())
            case nodes.literal():
                return code(node.astext())
            case nodes.math():
                return f"${expand(node.astext()).strip()}${escape(node.get('stop', ''))}"
            case nodes.reference():
                return self._reference(node)
            case nodes.raw():
                return self._inline_raw(node.astext())
            case nodes.image():
                return escape(node.get("alt", ""))
            case nodes.emphasis() | nodes.title_reference():
                return f"*{self._all(node)}*"
            case nodes.strong():
                return f"**{self._all(node)}**"
            case nodes.Element() if "viewcode-link" in node.get("classes", ()):
                return ""
            case _ if isinstance(node, INVISIBLE):
                return ""
        return self._all(node)

    def _all(self, node: nodes.Element) -> str:
        return "".join(map(self.inline, node.children))

    def _reference(self, node: nodes.Element) -> str:
        text = self._all(node)
        return f"[{text}]({self._address(node)})" if text else ""

    def _address(self, node: nodes.Element) -> str:
        relative = node.get("refuri") or f"#{node['refid']}"
        return urljoin(self.address, relative)

    def _inline_raw(self, html: str) -> str:
        """Write a link that a page sets in HTML."""
        if link := re.fullmatch(r'<a href="([^"]*)">', html):
            self._open = urljoin(self.address, unescape(link[1]))
            return "["
        return f"]({self._open})" if html == "</a>" else ""

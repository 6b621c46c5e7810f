"""How a page teaches: its opening, what of its cells is folded, the numbers of its exercises.

- ``{opening}`` says what the reader will be able to do, what they need first, and how many minutes
  a first reading takes. The minutes are counted, not typed.
- A cell with the tag ``setup`` is folded to one line, and a cell of nothing but ``assert`` to a
  small mark. Both run, and both open.
- Exercises are numbered within their page.
"""

import ast
from collections.abc import Iterable, Iterator

from docutils import nodes
from docutils.parsers.rst import directives
from myst_nb.sphinx_ import HideCodeCellNode  # type: ignore[import-untyped]  # it has no types
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata
from sphinx_exercise.nodes import (  # type: ignore[import-untyped]  # it has no types
    exercise_enumerable_node,
    exercise_node,
    solution_node,
)

logger = logging.getLogger(__name__)

# A first reading: prose at an adult's usual pace, code line by line, each figure looked at.
WORDS_PER_MINUTE = 220
SECONDS_PER_LINE = 2.5
SECONDS_PER_FIGURE = 12.0
WALKTHROUGH = "walkthrough/"
WALKTHROUGH_MINUTES = 45


class minutes(nodes.Inline, nodes.TextElement):  # noqa: N801 - nodes of docutils are lower case
    """Where the minutes of a page, or of all pages below a folder, are set."""


# -- The opening ----------------------------------------------------------------------------------


class Opening(SphinxDirective):
    """What a reader can do after a page, what they need before it, how long it takes."""

    option_spec = {  # noqa: RUF012 - so docutils declares it
        "able": directives.unchanged_required,
        "needs": directives.unchanged_required,
        "total": directives.unchanged_required,  # a folder, whose minutes are meant
    }

    def run(self) -> list[nodes.Node]:
        box = nodes.container(classes=["u-opening"])
        for option, head in (("able", "You will be able to"), ("needs", "You need")):
            if option not in self.options:
                raise self.error(f"an opening needs :{option}:")
            text, messages = self.state.inline_text(self.options[option], self.lineno)
            line = nodes.paragraph("", "", nodes.strong(head, head), nodes.Text(" "))
            line += [*text, nodes.Text("."), *messages]
            box += line
        count = minutes(page=self.options.get("total", self.env.docname))
        of = " for the walk-through" if "total" in self.options else ""
        box += nodes.paragraph(
            "", "", nodes.strong("Time", "Time"), nodes.Text(" "), count, nodes.Text(f"{of}.")
        )
        return [box]


def minutes_role(
    name: str, rawtext: str, text: str, lineno: int, inliner: object, *_: object
) -> tuple[list[nodes.Node], list[nodes.system_message]]:
    """Set the minutes of all pages below a folder: ``{minutes}`walkthrough/` ``."""
    return [minutes(page=text)], []


# -- Cells that are folded ------------------------------------------------------------------------


def only_asserts(code: str) -> bool:
    """Say whether a cell asserts and does nothing else, be it in a loop or a context."""

    def asserts(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.For | ast.With):
            return all(map(asserts, statement.body))
        return isinstance(statement, ast.Assert)

    try:
        body = ast.parse(code).body
    except SyntaxError:
        return False
    return bool(body) and all(map(asserts, body))


def _in_solution(node: nodes.Node | None) -> bool:
    """Say whether a node is part of a solution, which is folded already."""
    while node is not None and not isinstance(node, solution_node):
        node = node.parent
    return node is not None


class Fold(SphinxTransform):
    """Fold cells of set-up and cells that only check, before MyST-NB folds what it folds."""

    default_priority = 700

    def apply(self, **_: object) -> None:
        for cell in list(self.document.findall(nodes.container)):
            if cell.get("nb_element") != "cell_code" or not cell.children:
                continue
            source = cell.children[0]
            if not isinstance(source, nodes.container) or "cell_input" not in source["classes"]:
                continue
            code = source.astext()
            if "tag_setup" in cell["classes"]:
                prompt, kind = "Set-up", "u-setup"
            elif only_asserts(code) and not _in_solution(cell):
                prompt, kind = "Checked", "u-checked"
            else:
                continue
            fold = HideCodeCellNode(prompt_show=prompt, prompt_hide=prompt)
            fold["unrolled_kind"] = kind
            cell["classes"].append("u-folded")
            cell.replace(source, fold)
            fold += source


# -- Minutes --------------------------------------------------------------------------------------

ASIDE = (exercise_node, exercise_enumerable_node, solution_node, HideCodeCellNode)


def read_first(node: nodes.Element) -> Iterator[nodes.Node]:
    """Walk through what a first reading sees: no exercises, solutions, and folded cells."""
    for child in node.children:
        if isinstance(child, ASIDE) or (
            isinstance(child, nodes.container) and "u-opening" in child["classes"]
        ):
            continue
        yield child
        if isinstance(child, nodes.Element):
            yield from read_first(child)


def seconds(document: nodes.document) -> float:
    """Estimate how long a first reading of a page takes."""
    total = 0.0
    for node in read_first(document):
        if isinstance(node, nodes.paragraph | nodes.title):
            total += len(node.astext().split()) / WORDS_PER_MINUTE * 60
        elif isinstance(node, nodes.literal_block):
            total += len(node.astext().splitlines()) * SECONDS_PER_LINE
        elif isinstance(node, nodes.raw) and "<svg" in node.astext():
            total += SECONDS_PER_FIGURE
    return total


def count_seconds(app: Sphinx, document: nodes.document) -> None:
    app.env.metadata[app.env.docname]["seconds"] = seconds(document)


def minutes_of(env: BuildEnvironment, page: str) -> int:
    """Add up the minutes of a page, or of all pages of a folder."""
    taken = (
        data["seconds"]
        for name, data in env.metadata.items()
        if "seconds" in data and (name.startswith(page) if page.endswith("/") else name == page)
    )
    return max(1, round(sum(taken) / 60))


def set_minutes(app: Sphinx, document: nodes.document, docname: str) -> None:
    for node in list(document.findall(minutes)):
        count = minutes_of(app.env, node["page"])
        unit = "minute" if count == 1 else "minutes"
        node.replace_self(nodes.Text(f"{count} {unit}"))


def check_walkthrough(app: Sphinx, env: BuildEnvironment) -> None:
    """Warn of a walk-through that takes longer than its pages promise."""
    count = minutes_of(env, WALKTHROUGH)
    if count > WALKTHROUGH_MINUTES:
        logger.warning("the walk-through takes %d minutes, not %d", count, WALKTHROUGH_MINUTES)


# -- Exercises ------------------------------------------------------------------------------------


def restore_numbers(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Give Sphinx its own numbers back, for it compares the next ones with them."""
    env.toc_fignumbers = getattr(env, "unrolled_fignumbers", env.toc_fignumbers)
    return []


def number_exercises(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Number the exercises of each page from 1."""
    env.unrolled_fignumbers = env.toc_fignumbers  # type: ignore[attr-defined]  # as above
    env.toc_fignumbers = {
        page: {
            kind: {ids: (i,) for i, ids in enumerate(of_kind, start=1)}
            if kind == "exercise"
            else of_kind
            for kind, of_kind in kinds.items()
        }
        for page, kinds in env.toc_fignumbers.items()
    }
    return []


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_node(minutes)
    app.add_directive("opening", Opening)
    app.add_role("minutes", minutes_role)
    app.add_transform(Fold)
    app.connect("doctree-read", count_seconds)
    app.connect("env-check-consistency", check_walkthrough)
    app.connect("doctree-resolved", set_minutes)
    app.connect("env-get-updated", restore_numbers, priority=100)
    app.connect("env-get-updated", number_exercises, priority=800)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}

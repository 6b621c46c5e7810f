"""A parallel build that deals out its pages a few at a time.

Sphinx deals out ten, whatever they take: one process was still busy with the slowest pages when
all others had long been done.
"""

from collections.abc import Sequence

import sphinx.builders
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

PAGES = 2  # fewer, and more time would go into handing results back


def shares(pages: Sequence[str], processes: int, most: int = PAGES) -> list[Sequence[str]]:
    """Cut a list of pages into shares; fewer pages than processes have one each."""
    size = min(most, -(-len(pages) // processes))
    return [pages[first : first + size] for first in range(0, len(pages), size or 1)]


def setup(app: Sphinx) -> ExtensionMetadata:
    sphinx.builders.make_chunks = shares  # type: ignore[attr-defined, assignment]  # it has no setting
    return {"parallel_read_safe": True, "parallel_write_safe": True}

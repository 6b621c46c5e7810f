"""What was executed: where cells failed, and which pages take longest.

MyST-NB keeps the seconds of every page, also of those whose outputs come from the cache.
"""

import sys
import time
from typing import Any

from myst_nb.sphinx_ import NbMetadataCollector  # type: ignore[import-untyped]  # it has no types
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

logger = logging.getLogger(__name__)
STARTED = time.time()
ROWS = 10


def executed(app: Sphinx) -> dict[str, Any]:
    """Give what MyST-NB keeps of each page with cells, by name."""
    kept = {name: NbMetadataCollector.get_exec_data(app.env, name) for name in app.env.found_docs}
    return {name: kept[name] for name in sorted(kept) if kept[name]}


def stop(app: Sphinx, env: Any) -> None:
    """Name the pages with a cell that failed, once all are read, and write none.

    What Sphinx prints of an error, its versions and its own traceback, would hide the cell.
    """
    if failed := [name for name, data in executed(app).items() if not data["succeeded"]]:
        sys.exit(
            f"A cell failed on {', '.join(failed)}: its traceback is above. To see everything "
            f"that fails on a page: python docs/_scripts/run_pages.py {failed[0]}"
        )


def table(pages: dict[str, tuple[float, bool]]) -> str:
    """Set seconds and origin of pages (name to seconds, from the cache), slowest first."""
    ranked = sorted(pages.items(), key=lambda page: (-page[1][0], page[0]))
    cached = sum(from_cache for _, from_cache in pages.values())
    seconds = sum(seconds for seconds, _ in pages.values())
    lines = [f"Slowest pages, in seconds of execution ({seconds:.1f} for all {len(pages)} pages,"]
    lines += ["longer than alone, since several run at a time):"]
    lines += [
        f"{seconds:8.1f}  {name}{'  (from the cache)' if from_cache else ''}"
        for name, (seconds, from_cache) in ranked[:ROWS]
    ]
    lines += [f"Executed now: {len(pages) - cached} pages; from the cache: {cached}."]
    return "\n".join(lines)


def report(app: Sphinx, exception: Exception | None) -> None:
    """Print the table. What was executed before this build began comes from a cache."""
    if exception:
        return
    now = time.time()
    logger.info(
        "\n%s\n",
        table(
            {
                name: (data["runtime"], not STARTED <= data["mtime"] <= now)
                for name, data in executed(app).items()
            }
        ),
    )


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("env-updated", stop)
    app.connect("build-finished", report)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

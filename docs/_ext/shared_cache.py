"""The cache of executed cells, shared by the processes of a parallel build.

jupyter-cache is made for one process. Its tables are made by whoever comes first, so they are made
here, before there are others. And after each page it deletes all entries but the newest thousand,
in two steps: an entry made by another process between these is deleted, or stops the build.
"""

from jupyter_cache import get_cache  # type: ignore[import-untyped]  # it has no types
from jupyter_cache.cache.main import JupyterCacheBase  # type: ignore[import-untyped]  # the same
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata


def make_tables(app: Sphinx) -> None:
    if app.config.nb_execution_mode == "cache":
        assert get_cache(app.config.nb_execution_cache_path).db


def setup(app: Sphinx) -> ExtensionMetadata:
    JupyterCacheBase.truncate_caches = lambda self: None
    app.connect("builder-inited", make_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

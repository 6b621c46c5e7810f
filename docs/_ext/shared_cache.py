"""The cache of executed cells, shared by the processes of a parallel build.

jupyter-cache is made for one process. Its tables are made by whoever comes first, so they are made
here, before there are others. And after each page it deletes all entries but the newest thousand,
in two steps: an entry made by another process between these is deleted, or stops the build.

What MyST-NB writes into ``jupyter_execute`` has no outputs where they come from the cache: it is
the notebook that MyST-NB has read. Here that one gets them too, for what readers download.
"""

from typing import Any

from jupyter_cache import get_cache  # type: ignore[import-untyped]  # it has no types
from jupyter_cache.cache.main import JupyterCacheBase  # type: ignore[import-untyped]  # the same
from myst_nb.core.execute.cache import NotebookClientCache  # type: ignore[import-untyped]  # the same
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata


def make_tables(app: Sphinx) -> None:
    if app.config.nb_execution_mode == "cache":
        assert get_cache(app.config.nb_execution_cache_path).db


_start = NotebookClientCache.start_client


def start_client(client: Any) -> None:
    read = client.notebook
    _start(client)
    read["cells"] = client.notebook["cells"]


def setup(app: Sphinx) -> ExtensionMetadata:
    JupyterCacheBase.truncate_caches = lambda self: None
    NotebookClientCache.start_client = start_client
    app.connect("builder-inited", make_tables)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

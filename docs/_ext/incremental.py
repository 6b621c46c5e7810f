"""Build again only what a change can reach, and nothing less.

Sphinx reads a page again when its file is newer. It does not see an older file put back, nor an
edit made while the page was being executed, so here contents are compared.

Sphinx also writes a page again only when the page itself has changed, and with that keeps silent
about a link whose target is gone, or shows the old title of another page. Here all pages are
written again, with all their warnings, unless what the pages show of each other is as it was.
"""

import hashlib
import json
import shutil
from pathlib import Path
from pprint import pformat

from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.environment import BuildEnvironment
from sphinx.util.typing import ExtensionMetadata
from teaching import WALKTHROUGH, minutes_of


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def changed_pages(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Name the pages whose text has changed since they were read; delete those that are gone."""
    if isinstance(app.builder, StandaloneHTMLBuilder):
        for name in removed:
            Path(app.builder.get_outfilename(name)).unlink(missing_ok=True)
    before = getattr(env, "unrolled_sources", {})
    now = {name: _digest(env.doc2path(name).read_bytes()) for name in env.found_docs}
    env.unrolled_sources = now  # type: ignore[attr-defined]  # extensions may keep things there
    return [name for name in now if now[name] != before.get(name)]


def shared(env: BuildEnvironment) -> str:
    """Collect what pages show of each other: titles, contents, numbers, glue, minutes and so on."""
    exercises = getattr(env, "sphinx_exercise_registry", {})
    glue = Path(env.mystnb_config.output_folder).rglob("*.glue.json")  # type: ignore[attr-defined]  # MyST-NB puts it there
    return pformat(
        (
            {name: str(title) for name, title in env.titles.items()},
            {name: str(contents) for name, contents in env.tocs.items()},
            (env.toctree_includes, env.toc_secnumbers, env.toc_fignumbers),
            {domain.name: domain.data for domain in env.domains.sorted()},
            {label: str(exercise["node"]) for label, exercise in exercises.items()},
            {str(path): json.loads(path.read_text("utf-8")) for path in glue},
            minutes_of(env, WALKTHROUGH),
            # Of the headings that links lead to, id and title, but not their line.
            {
                name: {slug: seen[1:] for slug, seen in data.get("myst_slugs", {}).items()}
                for name, data in env.metadata.items()
            },
        )
    )


def reached_pages(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Name the pages to write besides those that were read: all of them, or none."""
    before = getattr(env, "unrolled_shared", "")
    now = _digest(shared(env).encode())
    env.unrolled_shared = now  # type: ignore[attr-defined]  # extensions may keep things there
    if now == before:
        return []
    # Their side bars have titles too, and viewcode looks only at the time of the module.
    shutil.rmtree(app.outdir / "_modules", ignore_errors=True)
    return sorted(env.found_docs)


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("env-get-outdated", changed_pages)
    app.connect("env-get-updated", reached_pages, priority=900)  # when numbers have been given
    return {"parallel_read_safe": True, "parallel_write_safe": True}

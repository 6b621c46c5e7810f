"""Old addresses lead to where their content is now.

``moved`` in ``conf.py`` maps them: a page to a page, ``walkthrough/claims`` to ``deeper/claims``,
and a section of a page to a page and section, ``module/speed#speed-floor`` to
``module/speed_tables#speed-floor``. A page that is gone leaves a file that leads on; a section that
is gone from a page that is still there is looked up by ``site.js``.
"""

import json
from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.osutil import relative_uri
from sphinx.util.typing import ExtensionMetadata

logger = logging.getLogger(__name__)
STUB = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>This page has moved</title>
<meta name="robots" content="noindex">
<link rel="canonical" href="{there}">
<script defer src="{script}"></script>
<meta http-equiv="refresh" content="1; url={to}">
<p>This page has moved to <a href="{to}">{to}</a>.</p>
</html>
"""


def uri(app: Sphinx, page: str, target: str) -> str:
    """Give the address of a target, relative to a page."""
    to, _, section = target.partition("#")
    builder: Any = app.builder
    address: str = relative_uri(builder.get_target_uri(page), builder.get_target_uri(to))
    return f"{address}#{section}" if section else address


def sections(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Give a page the sections that it once had, each with its new address."""
    there = {
        old.partition("#")[2]: uri(app, page, new)
        for old, new in app.config.moved.items()
        if old.startswith(f"{page}#")
    }
    context["moved"] = json.dumps(there) if there else ""


def pages(app: Sphinx, exception: Exception | None) -> None:
    """Write a file for each page that is gone, and warn of a new address that is not there."""
    if exception or app.builder.name != "html":
        return
    for old, new in app.config.moved.items():
        to, _, section = new.partition("#")
        file = Path(app.outdir, f"{to}.html")
        if not file.exists() or (section and f'id="{section}"' not in file.read_text("utf-8")):
            logger.warning("%s has moved to %s, which is not there", old, new)
        if "#" not in old:
            if old in app.env.found_docs:
                logger.warning("%s has moved, and is there", old)
            stub = Path(app.outdir, f"{old}.html")
            script = "../" * old.count("/") + "_static/moved.js"
            stub.parent.mkdir(parents=True, exist_ok=True)
            there = f"{app.config.html_baseurl}{app.builder.get_target_uri(to)}"
            text = STUB.format(to=escape(uri(app, old, new)), there=escape(there), script=script)
            stub.write_text(text, "utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_config_value("moved", {}, "html", types=[dict])
    app.connect("html-page-context", sections)
    app.connect("build-finished", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

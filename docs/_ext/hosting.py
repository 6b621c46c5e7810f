"""What a page says to those who link to it, and what the site says to those who visit its host.

- Each page has a description, its own first sentences in plain text; a card for messengers and
  social networks, drawn here; and its canonical address.
- ``sitemap.xml`` lists the pages and ``robots.txt`` names it.
- ``404.html`` is what the host shows at an address that is not there. It has a ``base`` element,
  because that address may be in any folder.
- ``versions.json`` says which version this is to the pages of older ones, which lie in folders
  beside it; ``site.js`` asks.
"""

import json
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from docutils import nodes
from plain_markdown import expand
from social_card import SIZE, draw_card
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata

logger = logging.getLogger(__name__)
LONGEST = 200  # characters of a description, unless its first sentence is longer
NOT_FOUND = "404"
# The little TeX that opens a page, in plain text.
PLAIN = (
    (re.compile(r"\\(tanh\b|_)"), r"\1"),
    (re.compile(r"\\approx\b"), "≈"),
    (re.compile(r"\\text\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\sqrt\{([^{}]*)\}"), r"√\1"),
    (re.compile(r"_\{([^{}]*)\}"), r"_\1"),
)


def plain(tex: str) -> str:
    """Write a formula as plain text; what it does not know stays TeX, with its backslash."""
    tex = expand(tex)
    for pattern, replacement in PLAIN:
        tex = pattern.sub(replacement, tex)
    return tex


def text_of(node: nodes.Node) -> str:
    """Write what a paragraph says as plain text; its lines stay lines."""
    if isinstance(node, nodes.math):
        return plain(node.astext()) + str(node.get("stop", ""))
    if isinstance(node, nodes.Text):
        return node.astext()
    return "".join(map(text_of, node.children))


def sentences(document: nodes.document) -> list[str]:
    """Give the sentences of the first paragraph: in the source, each has a line of its own."""
    section = next(iter(document.findall(nodes.section)), None)
    paragraphs = (node for node in section or () if isinstance(node, nodes.paragraph))
    lines = text_of(next(paragraphs, nodes.paragraph())).splitlines()
    return [sentence for line in lines if (sentence := " ".join(line.split()))]


def description(opening: list[str]) -> str:
    """Give as many of the first two sentences as there is room for, and at least one."""
    both = " ".join(opening[:2])
    return both if len(both) <= LONGEST else opening[0]


def part_of(env: BuildEnvironment, page: str) -> str:
    """Name the part of the site in whose contents a page is."""
    parents = {child: name for name, children in env.toctree_includes.items() for child in children}
    root = env.config.root_doc
    while parents.get(page, root) != root:
        page = parents[page]
    for contents in env.tocs[root].findall(addnodes.toctree):
        if page in contents["includefiles"]:
            return str(contents["caption"] or "")
    return ""


def address(app: Sphinx, page: str) -> str:
    """Give the canonical address of a page; that of the first page is that of the site."""
    at = "" if page == app.config.root_doc else str(app.builder.get_target_uri(page))
    return f"{app.config.html_baseurl}{at}"


def meta(kind: str, name: str, content: object) -> str:
    return f'<meta {kind}="{name}" content="{escape(str(content))}">\n'


def describe(
    app: Sphinx, page: str, template: str, context: dict[str, Any], document: nodes.document | None
) -> None:
    """Write the head of a page, and draw its card."""
    if app.builder.name != "html":
        return
    if page == NOT_FOUND:
        folder = escape(urlsplit(app.config.html_baseurl).path)
        context["metatags"] = f'<base href="{folder}">\n<meta name="robots" content="noindex">\n'
        del context["pageurl"]
    if document is None:  # an index or a page of source
        return
    context["pageurl"] = address(app, page)
    if not (opening := sentences(document)):
        logger.warning("a page opens with a paragraph, which describes it", location=page)
        return
    said = description(opening)
    if "\\" in said:
        logger.warning("say without a formula what describes this page: %s", said, location=page)
    title = app.env.titles[page].astext()
    card = f"_cards/{page}.png"
    file = Path(app.outdir, card)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(draw_card(title, opening[0], part_of(app.env, page)))
    context["metatags"] += (
        meta("name", "description", said)
        + meta("property", "og:type", "website" if page == app.config.root_doc else "article")
        + meta("property", "og:site_name", app.config.project)
        + meta("property", "og:title", title)
        + meta("property", "og:description", said)
        + meta("property", "og:url", context["pageurl"])
        + meta("property", "og:image", f"{app.config.html_baseurl}{card}")
        + meta("property", "og:image:width", SIZE[0])
        + meta("property", "og:image:height", SIZE[1])
        + meta("property", "og:image:alt", f"{title}: {opening[0]}")
        + meta("name", "twitter:card", "summary_large_image")
    )


def files(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Write what a host and its visitors look for, and give Sphinx the page of lost addresses."""
    if app.builder.name != "html":
        return
    base = app.config.html_baseurl
    places = "".join(
        f"<url><loc>{escape(address(app, page))}</loc></url>\n"
        for page in sorted(app.env.found_docs)
    )
    contents = {
        "sitemap.xml": '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{places}</urlset>\n',
        "robots.txt": f"User-agent: *\nDisallow:\n\nSitemap: {base}sitemap.xml\n",
        "versions.json": json.dumps({"newest": app.config.release}) + "\n",
    }
    for name, text in contents.items():
        Path(app.outdir, name).write_text(text, "utf-8")
    cards = Path(app.outdir, "_cards")
    for card in cards.rglob("*.png"):
        if card.relative_to(cards).with_suffix("").as_posix() not in app.env.found_docs:
            card.unlink()
    yield NOT_FOUND, {}, "404.html"


def repair_404(app: Sphinx, exception: Exception | None) -> None:
    """Repair the one link of 404.html to a part of itself: ``base`` would lead it elsewhere.

    A link to another file is no way to skip, says axe-core: it has to be in a landmark.
    """
    if exception or app.builder.name != "html":
        return
    file = Path(app.outdir, f"{NOT_FOUND}.html")
    text = file.read_text("utf-8")
    text, times = re.subn(
        r'<div (id="pst-skip-link"[^>]*)>(<a href=")(#main-content">[^<]*</a>)</div>',
        rf'<nav \1 aria-label="Skip">\g<2>{file.name}\3</nav>',
        text,
    )
    if times != 1:
        logger.warning("%s has no link that skips to its content", file)
    file.write_text(text, "utf-8")


def check_base(app: Sphinx) -> None:
    """Refuse an address to which a page cannot be appended."""
    if not re.fullmatch(r"https://\S+/", app.config.html_baseurl):
        logger.warning("html_baseurl is an https address that ends with a slash")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("builder-inited", check_base)
    app.connect("html-page-context", describe)
    app.connect("html-collect-pages", files)
    app.connect("build-finished", repair_404)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

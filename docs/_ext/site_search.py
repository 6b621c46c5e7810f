"""The search of this site: its results are sections, not pages.

Sphinx's own search finds pages that have all the words. Here each section, each documented object
and each term of the glossary is a document of its own for MiniSearch, which runs in the reader's
browser: with its title, the titles above it, its index entries, its prose, and the words of its
code and output. They are collected while pages are read and written to ``_static/sections.js``,
which only the search page loads; as a script, so that it works from ``file://`` too.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sphinx.search
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.builders.html import StandaloneHTMLBuilder
from sphinx.environment import BuildEnvironment
from sphinx.search.en import SearchEnglish
from sphinx.util import docname_join
from sphinx.util.typing import ExtensionMetadata

STEMMERS = Path(sphinx.search.__file__).parent / "minified-js"
# In code, what a reader may search for: names with parts, and slices. In output, all words.
NAME = re.compile(r"[A-Za-z_]\w*(?:[._]\w+|[a-z][A-Z]\w*)|\[[^\[\]\n]*:[^\[\]\n]*\]|\[-?\d\]")
WORD = re.compile(r"[A-Za-z]\w+")
# Sections that lead elsewhere.
NOT_A_PLACE = {"Where to go next"}
# What is set but not read: contents that repeat headings, formulas, drawings.
PASSED_OVER = (
    nodes.raw,
    nodes.math,
    nodes.math_block,
    nodes.comment,
    nodes.title,
    nodes.topic,
    addnodes.index,
    addnodes.toctree,
    addnodes.desc_signature,
)
TITLED = {"ref", "doc", "myst"}
CODE = (nodes.literal_block, nodes.doctest_block)
LANGUAGES = {"ipython3", "python"}


def is_place(node: Any) -> bool:
    """Say whether a node is a result: a section, an object of the API, a term of the glossary."""
    if isinstance(node, nodes.section):  # an exercise is one too, without a title
        titles = [child.astext() for child in node if isinstance(child, nodes.title)]
        return bool(titles) and titles[0] not in NOT_A_PLACE
    head: Any = node[0] if isinstance(node, addnodes.desc | nodes.definition_list_item) else None
    return isinstance(head, addnodes.desc_signature | nodes.term) and bool(head["ids"])


def title_of(place: Any) -> tuple[str, str]:
    """Give the title of a place and where it is on its page."""
    head: Any
    if isinstance(place, addnodes.desc):
        head = place[0]
        return head.get("fullname") or head.astext(), head["ids"][-1]
    head = next(node for node in place if isinstance(node, nodes.title | nodes.term))
    ids = (head if isinstance(head, nodes.term) else place)["ids"]
    # A label comes before the id that is made of the heading: it stays when the heading changes.
    return head.astext(), next(name for name in ids if not re.fullmatch(r"index-\d+", name))


def stands_in(node: Any) -> bool:
    """Say whether a node is the plain text of something that is drawn or set in another way."""
    return (
        isinstance(node, nodes.container)
        and node.get("mime_type") == "text/plain"
        and len(node.parent) > 1
    )


def words(node: nodes.Element) -> Iterator[tuple[str, str]]:
    """Walk through what a place holds without the places in it: pairs of kind and text."""
    for child in node.children:
        if isinstance(child, CODE):
            looked_for = NAME if child.get("language") in LANGUAGES else WORD
            yield from (("code", word) for word in looked_for.findall(child.astext()))
        elif isinstance(child, nodes.Text):
            yield "text", child.astext()
        elif isinstance(child, addnodes.pending_xref) and not child["refexplicit"]:
            # Its text is a title that is known when all pages have been read.
            target, section = child["reftarget"], child.get("reftargetid") or ""
            if child["reftype"] == "doc":
                target = docname_join(child["refdoc"], target)
            titled = child["reftype"] in TITLED
            yield "text", f"\0{target}#{section}\0" if titled else child.astext()
        elif isinstance(child, nodes.Element) and not isinstance(child, PASSED_OVER):
            if is_place(child) or stands_in(child):
                continue
            yield from words(child)
            # Two paragraphs, or two cells of a table, do not make one word.
            if not isinstance(child, nodes.Inline):
                yield "text", " "


def summary(place: addnodes.desc) -> Iterator[tuple[str, str]]:
    """Give the first paragraph of a docstring: the rest is for who reads it there."""
    paragraph = next(iter(place.findall(nodes.paragraph)), None)
    if paragraph is not None:
        yield from words(paragraph)


def index_entries(document: nodes.document) -> dict[nodes.Element, list[str]]:
    """Give each section the index entries before its heading, or those inside it."""
    found: dict[nodes.Element, list[str]] = {}
    for index in document.findall(addnodes.index):
        if index.parent is None or isinstance(index.parent, addnodes.desc):
            continue
        entries = [entry[1].removeprefix("!").strip() for entry in index["entries"]]
        # An entry before a heading is read as the end of the section before it.
        place = index.next_node(
            lambda node: not isinstance(node, addnodes.index | nodes.target | nodes.Invisible),
            descend=False,
            siblings=True,
            ascend=True,
        )
        while place is not None and not isinstance(place, nodes.section):
            place = place.parent
        if isinstance(place, nodes.section):
            found.setdefault(place, []).extend(entries)
    return found


def sections(document: nodes.document) -> Iterator[dict[str, str]]:
    """Give every place of a page."""
    entries = index_entries(document)
    for place in document.findall(is_place):
        assert isinstance(place, nodes.Element)
        title, anchor = title_of(place)
        above, parent = [], place.parent
        while parent is not None:
            if is_place(parent):
                above.append(title_of(parent)[0])
            parent = parent.parent
        kinds: dict[str, list[str]] = {"text": [], "code": []}
        for kind, text in summary(place) if isinstance(place, addnodes.desc) else words(place):
            kinds[kind].append(text)
        yield {
            "anchor": anchor if above else "",  # the page itself needs none
            "title": title,
            "above": " › ".join(reversed(above)),
            "index": ", ".join(entries.get(place, [])),
            "text": " ".join("".join(kinds["text"]).split()),
            "code": " ".join(dict.fromkeys(kinds["code"])),
        }


def collect(app: Sphinx, document: nodes.document) -> None:
    """Keep the sections of a page where Sphinx keeps what it knows of it."""
    app.env.metadata[app.env.docname]["sections"] = list(sections(document))


def replace_search(app: Sphinx) -> None:
    """Leave out Sphinx's own search."""
    if isinstance(app.builder, StandaloneHTMLBuilder):
        app.builder.search = False


def titles(env: BuildEnvironment) -> dict[str, str]:
    """Give the title of everything that a link without a text can lead to."""
    found = {f"{name}#": title.astext() for name, title in env.titles.items()}
    for label, (*_, title) in env.domains.standard_domain.labels.items():
        found[f"{label}#"] = title
    for name, data in env.metadata.items():
        for slug, (_, _, title) in data.get("myst_slugs", {}).items():
            found[f"{name}#{slug}"] = title
    return found


def script(app: Sphinx) -> str:
    """Write the script that the search page loads."""
    known = titles(app.env)

    def named(text: str) -> str:
        return re.sub("\0(.*?)\0", lambda target: known.get(target[1], ""), text)

    documents = [
        {"page": app.builder.get_target_uri(name)}
        | {key: named(value) for key, value in section.items()}
        for name in sorted(app.env.found_docs)
        for section in app.env.metadata[name].get("sections", [])
    ]
    lines = ",\n".join(json.dumps(document, ensure_ascii=False) for document in documents)
    stop = json.dumps(sorted(SearchEnglish.stopwords))
    return f"const STOP_WORDS = {stop};\nconst SECTIONS = [\n{lines}\n];\n"


def search_page(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Write what the search page loads, and give Sphinx the page to write."""
    if not isinstance(app.builder, StandaloneHTMLBuilder):
        return
    static, sections = Path(app.outdir, "_static"), script(app)
    (static / "sections.js").write_text(sections, "utf-8")
    for name in ("base-stemmer.js", "english-stemmer.js"):
        shutil.copyfile(STEMMERS / name, static / name)
    # A browser that has the script of an earlier build asks for the new one.
    yield (
        "search",
        {"sections_version": hashlib.sha256(sections.encode()).hexdigest()[:8]},
        "search.html",
    )


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("builder-inited", replace_search)
    # After the cells have been folded and their outputs have been put into the page.
    app.connect("doctree-read", collect, priority=900)
    app.connect("html-collect-pages", search_page)
    return {"version": "4", "parallel_read_safe": True, "parallel_write_safe": True}

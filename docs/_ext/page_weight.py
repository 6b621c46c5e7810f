"""What a page loads: one style sheet, one script, and the letters that the site uses.

The theme and the extensions bring a dozen style sheets and as many scripts; most of their rules
and glyphs are for other sites. When all pages are written,

- the style sheets that every page has are joined, without the rules for elements, classes and ids
  that no page has and no script can add; what a script can add is taken to be any word of it,
- the fonts that are left are reduced to the characters of the site,
- the scripts that every page has are joined.

A file that only some pages have, such as a script of the laboratory, stays as it is.

Icons are the drawings in ``docs/_icons``. The markup names them as the theme does, by a class
``fa-NAME``; a name without a drawing is a warning. The theme's icon font is left out.
"""

import hashlib
import html
import os
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import tinycss2
from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]  # has no types
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]  # it has no types
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata
from tinycss2 import ast

logger = logging.getLogger(__name__)

ICONS = Path(__file__).parent.parent / "_icons"
STYLE, SCRIPT = "unrolled.css", "unrolled.js"
# Named by the theme's templates; Sphinx does not know of them.
THEME_STYLES = ("styles/theme.css", "styles/pydata-sphinx-theme.css")
THEME_SCRIPTS = ("scripts/pydata-sphinx-theme.js",)
# Shortcuts for Sphinx's search and marks for what it found: the search of this site is another.
LEFT_OUT = {"doctools.js", "sphinx_highlight.js"}
# What the theme ships and no page asks for: its maps are larger than the rest of the site.
UNUSED = ("**/*.map", "scripts/fontawesome.js", "scripts/bootstrap.js*", "vendor/fontawesome/**/*")
# Scripts that are text to be searched, not a program: their words are not names of classes.
TEXTS = {"sections.js", "searchtools.js", "language_data.js"}
# What a font does besides placing letters. Contextual alternates are not among it: in the face
# for code they are ligatures, which site.css switches off.
FEATURES = ["ccmp", "kern", "liga", "locl", "mark", "mkmk", "lnum", "tnum"]

# Classes of the theme that say how large an icon is.
SIZES = {"fw", "lg", "solid"}
ICON_FONT = r"var\(--(pst-icon|fa-font)-"
ICON_CLASS = re.compile(r"\.fa[bsr]?(?:-[\w-]+)?(?![\w-])")
KEPT_IN_URL = " '/:=,.-+()<>"

# Before anything is drawn: the colours that the reader has chosen here, or has in the system.
THEME = """\
const { dataset } = document.documentElement;
dataset.mode = localStorage.getItem("mode") || "auto";
const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
dataset.theme = dataset.mode === "auto" ? dark : dataset.mode;
"""
# A page asks for nothing but what this site has. Formulas and figures are placed by attributes
# `style`; icons are drawings inside the style sheet.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'sha256-{hash}'",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
    )
)


def policy() -> str:
    """Write the content security policy of a page."""
    digest = hashlib.sha256(THEME.encode()).digest()
    return POLICY.format(hash=b64encode(digest).decode())


# -- Pages ----------------------------------------------------------------------------------------


def gather(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take what every page has from a page, before what only this page has is added."""
    context |= {"joined_style": STYLE, "joined_script": SCRIPT, "theme_script": THEME}
    context["policy"] = policy()
    # They are the same for each page. Other processes write pages too; those that this one
    # writes, such as the search page, are enough to know them in the end.
    vars(app)["joined"] = {
        kind: [str(file.filename).removeprefix("_static/") for file in context[kind]]
        for kind in ("css_files", "script_files")
    }
    context["css_files"].clear()
    context["script_files"].clear()


def without_options(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Leave out the theme's inline scripts: options of a search and a menu that are not here."""
    context["script_files"][:] = [
        script
        for script in context["script_files"]
        if not script.attributes.get("body", "").startswith("DOCUMENTATION_OPTIONS.")
    ]


# -- What pages have and scripts can add ----------------------------------------------------------


class Used(NamedTuple):
    """What a style sheet may be asked for."""

    names: set[str]  # of elements, classes and ids
    icons: set[str]
    characters: str
    text: str  # where custom properties may be named: attributes `style`, and scripts


def used_by(pages: Iterable[str], scripts: Iterable[str]) -> Used:
    """Find what pages have, and what scripts can add to them: any of their words."""
    names, icons, characters, styles = set[str](), set[str](), set[str](), set[str]()
    for page in pages:
        names.update(map(str.lower, re.findall(r"<([a-zA-Z][\w-]*)", page)))
        for value in set(re.findall(r'\b(?:class|id)="([^"]*)"', page)):
            names.update(html.unescape(value).split())
        icons.update(re.findall(r'[" ]fa-([a-z-]+)(?=[ "])', page))
        characters.update(page)
        for entity in set(re.findall(r"&#?\w+;", page)):
            characters.update(html.unescape(entity))
        styles.update(re.findall(r'style="([^"]*--[^"]*)"', page))
    for script in scripts:
        names.update(re.findall(r"[\w-]+", script))
        characters.update(script)
        characters.update(chr(int(code, 16)) for code in re.findall(r"\\u([0-9a-fA-F]{4})", script))
        styles.add(script)
    characters = {character for character in characters if character.isprintable()}
    return Used(names, icons, "".join(sorted(characters)), "\n".join(sorted(styles)))


# -- Style sheets ---------------------------------------------------------------------------------


@dataclass
class Declaration:
    """A property and its value."""

    name: str
    value: str

    def __str__(self) -> str:
        return f"{self.name}:{self.value};"


@dataclass
class Rule:
    """Selectors, or an at-rule, and what stands in its braces."""

    head: str
    body: list["Rule | Declaration"]

    def __str__(self) -> str:
        return f"{self.head}{{{''.join(map(str, self.body))}}}"


def parts(tokens: list[ast.Node]) -> list[list[ast.Node]]:
    """Split what commas separate."""
    found: list[list[ast.Node]] = [[]]
    for token in tokens:
        if token == ",":
            found.append([])
        elif not isinstance(token, ast.Comment):
            found[-1].append(token)
    return found


def can_match(selector: list[ast.Node], names: set[str]) -> bool:
    """Say whether a selector can match anything: all that it names has to be there."""
    before: ast.Node | None = None
    for token in selector:
        known = True
        if isinstance(token, ast.IdentToken) and before != ":":
            known = (token.value if before == "." else token.lower_value) in names
        elif isinstance(token, ast.HashToken):
            known = token.value in names
        elif isinstance(token, ast.FunctionBlock) and token.lower_name in ("is", "where", "has"):
            known = any(can_match(part, names) for part in parts(token.arguments))
        if not known:
            return False
        before = token
    return True


def text_of(tokens: list[ast.Node]) -> str:
    """Write tokens, white space as one space."""
    for token in tokens:
        if isinstance(token, ast.WhitespaceToken):
            token.value = " "
    text: str = tinycss2.serialize(tokens)
    return text.strip()


def body_of(tokens: list[ast.Node]) -> list[Rule | Declaration]:
    """Give the declarations between braces, and the rules that are nested there."""
    found: list[Rule | Declaration] = []
    for node in tinycss2.parse_blocks_contents(tokens, skip_comments=True, skip_whitespace=True):
        if isinstance(node, ast.Declaration):
            important = "!important" if node.important else ""
            found.append(Declaration(node.name, text_of(node.value) + important))
        elif isinstance(node, ast.QualifiedRule):
            found.append(Rule(text_of(node.prelude), body_of(node.content)))
        elif isinstance(node, ast.AtRule):
            head = f"@{node.at_keyword} {text_of(node.prelude)}"
            found.append(Rule(head, body_of(node.content)))
        # A browser passes over what it cannot read, such as *zoom; it is of no use.
    return found


def rules_of(nodes: list[ast.Node], names: set[str]) -> Iterator[Rule]:
    """Give the rules that can match."""
    for node in nodes:
        if isinstance(node, ast.QualifiedRule):
            selectors = [part for part in parts(node.prelude) if can_match(part, names)]
            if selectors:
                yield Rule(",".join(map(text_of, selectors)), body_of(node.content))
        elif isinstance(node, ast.AtRule) and node.content is not None:
            head = f"@{node.at_keyword} {text_of(node.prelude)}".strip()
            if node.lower_at_keyword in ("media", "supports", "layer", "container"):
                inner = tinycss2.parse_rule_list(node.content, skip_comments=True)
                if rules := list(rules_of(inner, names)):
                    yield Rule(head, [*rules])
            elif node.lower_at_keyword.endswith("keyframes"):
                inner = tinycss2.parse_rule_list(node.content, skip_comments=True)
                yield Rule(
                    head,
                    [Rule(text_of(step.prelude), body_of(step.content)) for step in inner
                     if isinstance(step, ast.QualifiedRule)],
                )  # fmt: skip
            else:
                yield Rule(head, body_of(node.content))
        elif isinstance(node, ast.ParseError):
            raise ValueError(f"a style sheet that cannot be read: {node.message}")


def rules_in(css: str, names: set[str]) -> list[Rule]:
    """Give the rules of a style sheet that can match."""
    return list(rules_of(tinycss2.parse_stylesheet(css, skip_comments=True), names))


def without_icon_font(rules: list[Rule]) -> list[Rule]:
    """Leave out the theme's icon font and what would be written with it."""
    for rule in walk(rules):
        rule.body = [
            item
            for item in rule.body
            if not (isinstance(item, Declaration) and re.search(ICON_FONT, item.value))
        ]
    return [
        rule
        for rule in rules
        if not (rule.head == "@font-face" and "Font Awesome" in bare(str(rule)))
        and not all(ICON_CLASS.search(selector) for selector in rule.head.split(","))
    ]


def walk(rules: Iterable[Rule | Declaration]) -> Iterator[Rule]:
    """Give all rules, those inside others too."""
    for rule in rules:
        if isinstance(rule, Rule):
            yield rule
            yield from walk(rule.body)


def drop_unused(rules: list[Rule], used: Used) -> list[Rule]:
    """Leave out custom properties, faces and animations that nothing asks for."""
    while True:
        css = "".join(map(str, rules))
        asked = set(re.findall(r"--[\w-]+", used.text))
        asked.update(re.findall(r"var\(\s*(--[\w-]+)", css))
        dropped = 0
        for rule in walk(rules):
            body = [
                item
                for item in rule.body
                if not (
                    isinstance(item, Declaration)
                    and item.name.startswith("--")
                    and item.name not in asked
                )
            ]
            dropped += len(rule.body) - len(body)
            rule.body = body
        if not dropped:
            break
    for rule in walk(rules):
        rule.body = [item for item in rule.body if not (isinstance(item, Rule) and not item.body)]
    rules = [rule for rule in rules if rule.body]
    said = " ".join(
        item.value
        for rule in walk(rules)
        if rule.head != "@font-face"
        for item in rule.body
        if isinstance(item, Declaration)
    )

    def asked_for(rule: Rule) -> bool:
        if rule.head == "@font-face":
            return bare(descriptor(rule, "font-family")) in bare(said)
        if re.match(r"@(-\w+-)?keyframes", rule.head):
            return rule.head.split()[-1] in said
        return True

    return [rule for rule in rules if asked_for(rule)]


def bare(text: str) -> str:
    return re.sub(r"[\"'\\]", "", text)


def descriptor(rule: Rule, name: str) -> str:
    return next(
        (item.value for item in rule.body if isinstance(item, Declaration) and item.name == name),
        "",
    )


def load(path: Path, static: Path) -> str:
    """Read a style sheet, with those it imports, its addresses relative to the static folder."""

    def rebased(found: re.Match[str]) -> str:
        address = found[2]
        if re.match(r"[a-z]+:|#", address):
            return found[0]
        file, mark, rest = address.partition("#")
        target = Path(os.path.relpath(path.parent / file, static)).as_posix()
        return f"url({found[1]}{target}{mark}{rest}{found[1]})"

    def imported(found: re.Match[str]) -> str:
        return load(path.parent / found[1], static)

    css = re.sub(r"""url\((["']?)(?!data:)([^"')]+)\1\)""", rebased, path.read_text("utf-8"))
    return re.sub(r"""@import\s+["']([^"']+)["'];""", imported, css)


# -- Icons and fonts ------------------------------------------------------------------------------


def icons(names: set[str], missing: list[str]) -> str:
    """Write the drawings as custom properties, and a rule for each class that asks for one."""
    drawings = {
        path.stem: path.read_text("utf-8").strip().replace('"', "'")
        for path in sorted(ICONS.glob("*.svg"))
    }
    missing += sorted(names - drawings.keys() - SIZES)
    properties = "".join(
        f'--u-icon-{name}:url("data:image/svg+xml,{quote(svg, safe=KEPT_IN_URL)}");'
        for name, svg in drawings.items()
    )
    classes = "".join(
        f".fa-{name}{{--u-icon:var(--u-icon-{name});}}" for name in sorted(names & drawings.keys())
    )
    return f":root{{{properties}}}{classes}"


def subset(font: Path, characters: str, folder: Path) -> Path:
    """Write a font with some of its characters, unless it is there already."""
    key = hashlib.sha256(font.read_bytes() + characters.encode()).hexdigest()[:8]
    path = folder / f"{font.stem}.{key}.woff2"
    if not path.exists():
        options = Options()
        options.layout_features = FEATURES
        options.name_IDs = ["*"]  # with copyright and licence
        with TTFont(font, recalcTimestamp=False) as face:
            subsetter = Subsetter(options)
            subsetter.populate(text=characters)
            subsetter.subset(face)
            face.flavor = "woff2"
            folder.mkdir(exist_ok=True)
            face.save(path)
    return path


def with_fewer_letters(rules: list[Rule], characters: str, static: Path) -> list[Rule]:
    """Let the faces load fonts that have the characters of the site, and no others."""
    folder, written = static / "fonts", set[Path]()
    for rule in rules:
        if rule.head == "@font-face":
            source = next(
                item for item in rule.body if isinstance(item, Declaration) and item.name == "src"
            )
            address = re.search(r"""url\(["']?([^"')]+\.woff2)["']?\)""", source.value)
            if address is None:
                raise ValueError(f"a face without a woff2 font: {rule}")
            font = subset(static / address[1], characters, folder)
            source.value = f'url("fonts/{font.name}") format("woff2")'
            written.add(font)
    for path in folder.glob("*"):
        if path not in written:
            path.unlink()
    return rules


# -- The end of a build ---------------------------------------------------------------------------


def join(app: Sphinx, exception: Exception | None) -> None:
    """Write the style sheet and the script."""
    joined = vars(app).get("joined")
    if exception or joined is None:  # no page has been written
        return
    outdir = Path(app.outdir)
    static = outdir / "_static"
    scripts = [
        (static / name).read_text("utf-8")
        for name in (*joined["script_files"], *THEME_SCRIPTS)
        if name not in LEFT_OUT
    ]
    (static / SCRIPT).write_text(";\n".join(scripts), "utf-8")

    others = [path for path in sorted(static.glob("*.js")) if path.name not in TEXTS]
    pages = (
        path.read_text("utf-8")
        for path in sorted(outdir.rglob("*.html"))
        if static not in path.parents
    )
    used = used_by(pages, (*scripts, *(path.read_text("utf-8") for path in others)))
    missing: list[str] = []
    sheets = [load(static / name, static) for name in (*THEME_STYLES, *joined["css_files"])]
    drawings = icons(used.icons, missing)
    for name in missing:
        logger.warning("There is no drawing for the icon fa-%s in %s", name, ICONS.name)
    rules = rules_in("".join(sheets[: len(THEME_STYLES)]), used.names)
    rules = [
        *without_icon_font(rules),
        *rules_in("".join((drawings, *sheets[len(THEME_STYLES) :])), used.names),
    ]
    rules = with_fewer_letters(drop_unused(rules, used), used.characters, static)
    (static / STYLE).write_text("".join(map(str, rules)), "utf-8")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("html-page-context", gather, priority=0)
    app.connect("html-page-context", without_options, priority=900)
    # After pages that have moved have left their files.
    app.connect("build-finished", join, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

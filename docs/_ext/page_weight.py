"""What a page loads: one style sheet, one script, and the letters that the site uses.

The theme and the extensions bring a dozen style sheets and as many scripts; most of their rules
and glyphs are for other sites. When all pages are written,

- the style sheets that every page has are joined, without the rules for elements, classes and ids
  that no page has and no script can add; what a script can add is taken to be any word of it,
- the fonts that are left are reduced to the characters of the site, and those of every chapter are
  put into the style sheet, so that no page is drawn twice,
- the scripts that every page has are joined,
- and each page names the two with a digest of their content: a browser keeps them for as long as
  they are the same, and asks anew after a deployment that changed them.

A file that only some pages have, such as a script of the laboratory, stays as it is.

Icons are the drawings in ``docs/_icons``. The markup names them as the theme does, by a class
``fa-NAME``; a name without a drawing is a warning. The theme's icon font is left out.
"""

import hashlib
import json
import re
from base64 import b64encode
from logging import getLogger
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fontTools.subset import Options, Subsetter  # type: ignore[import-untyped]  # has no types
from fontTools.ttLib import TTFont  # type: ignore[import-untyped]  # it has no types
from sphinx.application import Sphinx
from sphinx.util import logging
from sphinx.util.typing import ExtensionMetadata
from used_styles import (
    Declaration,
    Rule,
    drop_unused,
    load,
    rules_in,
    stamped,
    used_by,
    without_icon_font,
)

logger = logging.getLogger(__name__)
getLogger("fontTools").setLevel("WARNING")  # it tells of every table of every font

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
# Fonts of every chapter, by the names that the style sheet gives them. They come inside it, and are
# asked for before the page is laid out: a page that is first drawn with another font jumps when its
# own arrives, by up to a quarter of the screen where a line breaks anew.
FIRST = {
    "source-serif-4-latin-wght-normal": '1em "Source Serif 4"',
    "source-serif-4-latin-wght-italic": 'italic 1em "Source Serif 4"',
    "jetbrains-mono-latin-wght-normal": '1em "JetBrains Mono"',
    "KaTeX_Main-Regular": "1em KaTeX_Main",
    "KaTeX_Math-Italic": "italic 1em KaTeX_Math",
}
FONTS = f"for (const font of {json.dumps([*FIRST.values()])}) document.fonts.load(font);"
# What a font does besides placing letters. Contextual alternates are not among it: in the face
# for code they are ligatures, which site.css switches off.
FEATURES = ["ccmp", "kern", "liga", "locl", "mark", "mkmk", "lnum", "tnum"]

# Classes of the theme that say how large an icon is.
SIZES = {"fw", "lg", "solid"}
KEPT_IN_URL = " '/:=,.-+()<>"

# Before anything is drawn: the colours that the reader has chosen here, or has in the system.
THEME = """\
const { dataset } = document.documentElement;
dataset.mode = localStorage.getItem("mode") || "auto";
const dark = matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
dataset.theme = dataset.mode === "auto" ? dark : dataset.mode;
"""
# A page asks for nothing but what this site has. Formulas and figures are placed by attributes
# `style`; icons and the first fonts are inside the style sheet.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' {scripts}",
        "style-src 'self'",
        "style-src-attr 'unsafe-inline'",
        "img-src 'self' data:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'self'",
    )
)


def policy() -> str:
    """Write the content security policy of a page."""
    digests = (hashlib.sha256(script.encode()).digest() for script in (THEME, FONTS))
    scripts = (f"'sha256-{b64encode(digest).decode()}'" for digest in digests)
    return POLICY.format(scripts=" ".join(scripts))


# -- Pages ----------------------------------------------------------------------------------------


def gather(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: object
) -> None:
    """Take what every page has from a page, before what only this page has is added."""
    if app.builder.name != "html":
        return
    context |= {"joined_style": STYLE, "joined_script": SCRIPT, "policy": policy()}
    context |= {"theme_script": THEME, "fonts_script": FONTS}
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
            named = re.search(r"""url\(["']?([^"')]+\.woff2)["']?\)""", source.value)
            if named is None:
                raise ValueError(f"a face without a woff2 font: {rule}")
            font = subset(static / named[1], characters, folder)
            if font.stem.partition(".")[0] in FIRST:
                address = f"data:font/woff2;base64,{b64encode(font.read_bytes()).decode()}"
            else:
                address = f"fonts/{font.name}"
            source.value = f'url("{address}") format("woff2")'
            written.add(font)
    for path in folder.glob("*"):
        if path not in written:
            path.unlink()
    return rules


# -- The end of a build ---------------------------------------------------------------------------


def pages_of(site: Path) -> list[Path]:
    """List the pages of a built site."""
    return [path for path in sorted(site.rglob("*.html")) if site / "_static" not in path.parents]


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
    pages = (path.read_text("utf-8") for path in pages_of(outdir))
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
    digests = {
        name: hashlib.sha256((static / name).read_bytes()).hexdigest()[:8]
        for name in (STYLE, SCRIPT)
    }
    for path in pages_of(outdir):
        text = path.read_text("utf-8")
        if (now := stamped(text, digests)) != text:
            path.write_text(now, "utf-8")
    for pattern in UNUSED:
        for path in static.glob(pattern):
            if path.is_file():
                path.unlink()


def setup(app: Sphinx) -> ExtensionMetadata:
    app.connect("html-page-context", gather, priority=0)
    app.connect("html-page-context", without_options, priority=900)
    # After pages that have moved have left their files.
    app.connect("build-finished", join, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

"""Keep typed numbers out of the prose of pages: a cell computes them, or a list says what they are.

    nox -s lint    # runs it over every page

A number in a sentence comes from `{glue}` or a substitution; all others were typed. Typed digits
pass where nothing measures them, or where a change of the code would be noticed:

- a number that the code of the page contains: "over 20 seeds" below `range(20)`;
- a whole number below ten without a unit or a decimal: an index, a dimension, an example;
- in a formula, where an approximation has its exact value beside it; a number alone is no formula;
- part of a name (`float32`), or of the text of a link to another site, which names what is there;
- what `docs/_data/numbers.toml` lists, with a reason.

Words pass as well ("three gates"), except those of a measurement: "three times faster".
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser

ROOT = Path(__file__).parent.parent.parent
CONF, SETTING = ROOT / "docs" / "conf.py", "myst_enable_extensions"
LIST = ROOT / "docs" / "_data" / "numbers.toml"
# What holds code, or is shown nowhere as a sentence: addresses, names, words of the index.
SILENT = {"code-cell", "eval-rst", "glue", "glue:md", "include", "index", "math", "raw", "toctree"}
OPTION = re.compile(r":([\w-]+):")
SPOKEN = {"able", "needs"}  # options that hold sentences
# Code, formulas, roles and substitutions leave this mark, so that a pattern can see them.
MARK = "□"
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[-+]?\d+)?"
LITERAL = re.compile(r"(?<![\w.])(?:\d(?:[\d_]*\d)?)?\.?\d+(?:e[-+]?\d+)?", re.I)
MORE = r"times (?:faster|slower|quicker|as|more|less|longer|shorter|larger|smaller)"
UNITS = rf"%|×|per ?cent|{MORE}|fold|ns|µs|us|ms|s|seconds?|minutes?|hours?|[KMG]i?B|points?"
WORDS = "two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|fifty|hundred"
TYPED = re.compile(
    rf"(?<![\w.])(?P<number>{NUMBER})(?P<unit>[ -]?(?:{UNITS})(?!\w))?(?!\w)"
    rf"|\b(?:{WORDS}) (?:per ?cent\b|times (?:faster|slower|as (?:fast|slow|long)\b))",
    re.I,
)


class Kind(NamedTuple):
    """Numbers that may be typed: a pattern, why, an example, and on which pages."""

    pattern: re.Pattern[str]
    reason: str
    example: str
    pages: list[str]


def kinds() -> list[Kind]:
    """Read the list."""
    listed = tomllib.loads(LIST.read_text("utf-8"))["kind"]
    return [
        Kind(
            re.compile(each["pattern"]),
            each["reason"],
            each["example"],
            each.get("pages", ["*"]),
        )
        for each in listed
    ]


def parser() -> MarkdownIt:
    """Make the parser that the site uses; to import its settings would take seconds."""
    for node in ast.parse(CONF.read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == SETTING:
            extensions = set(ast.literal_eval(node.value))
            return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)
    raise LookupError(f"{SETTING} is not set in {CONF}")


class Text(NamedTuple):
    """What is read as one piece: its line, its words, and whether it is a paragraph of the page."""

    line: int
    words: str
    paragraph: bool = False  # not a heading, nor in a table or a list


class Page:
    """What a reader of a page reads as text, and the numbers in its code."""

    def __init__(self, text: str, md: MarkdownIt) -> None:
        self.texts: list[Text] = []
        self.literals: set[float] = set()
        self._md = md
        self._read(text, 1)

    def _read(self, text: str, first: int, prose: bool = True) -> None:
        before = ""
        for token in self._md.parse(text):
            line = first + (token.map[0] if token.map else 0)
            if token.type == "inline":
                paragraph = prose and before == "paragraph_open" and token.level == 1
                self.texts.append(Text(line, self._words(token), paragraph))
            elif token.type in ("fence", "colon_fence"):
                self._block(token, line)
            before = token.type

    def _block(self, token: Token, line: int) -> None:
        name, _, title = token.info.removeprefix("{").partition("}")
        if name in ("code-cell", "python") or not token.info.startswith("{"):
            self._code(token.content)
        elif name not in SILENT:
            self.texts.append(Text(line, title))
            content = token.content.splitlines()
            for number, each in enumerate(content):
                if option := OPTION.match(each):
                    content[number] = ""
                    if option[1] in SPOKEN:
                        (words, *_) = self._md.parseInline(each[option.end() :])
                        self.texts.append(Text(line + 1 + number, self._words(words)))
            self._read("\n".join(content), line + 1, prose=name != "glossary")

    def _words(self, token: Token) -> str:
        """Write the text of a paragraph, and a mark for what is not text."""
        words, named = [], 0
        for child in token.children or []:
            if child.type == "link_open":
                named += str(child.attrs.get("href", "")).startswith("http")
            elif child.type == "link_close":
                named = 0
            elif child.type == "softbreak":
                words.append("\n")
            elif child.type == "text" or re.fullmatch(rf"{NUMBER}\s*(\\?%)?", child.content):
                words.append(MARK if named else child.content)
            elif child.content:
                words.append(MARK)
                if child.type == "code_inline":
                    self._code(child.content)
        return "".join(words)

    def _code(self, code: str) -> None:
        """Keep the numbers of some code, without comments, which are as typed as a sentence."""
        code = re.sub(r"#.*", "", code)
        self.literals |= {float(each[0].replace("_", "")) for each in LITERAL.finditer(code)}


def found(text: str, name: str, listed: list[Kind], md: MarkdownIt) -> Iterator[tuple[int, str]]:
    """Give the line and the words around each number that nothing allows."""
    here = [kind for kind in listed if any(fnmatch(name, each) for each in kind.pages)]
    page = Page(text, md)
    for line, words, _ in page.texts:
        left = words
        for kind in here:
            left = kind.pattern.sub(lambda match: re.sub(r"\w", MARK, match[0]), left)
        for match in TYPED.finditer(left):
            if (number := match["number"]) and not match["unit"]:
                value = float(number.replace(",", ""))
                if value in page.literals or (number.isdigit() and value < 10):
                    continue
            around = words[max(0, match.start() - 30) : match.end() + 20]
            yield line + words.count("\n", 0, match.start()), " ".join(around.split())


def pages() -> dict[str, str]:
    """Read the pages of the site, by their place under `docs`."""
    return {
        path.relative_to(ROOT / "docs").as_posix(): path.read_text("utf-8")
        for path in sorted((ROOT / "docs").rglob("*.md"))
        if not {"_build", "_static", "jupyter_execute"} & set(path.parts)
    }


def mistaken(listed: list[Kind], read: dict[str, str]) -> Iterator[str]:
    """Say which kinds miss their example, or have nothing left to allow."""
    md = parser()
    words = {
        name: "\n".join(each.words for each in Page(text, md).texts) for name, text in read.items()
    }
    for kind in listed:
        if not kind.pattern.fullmatch(kind.example):
            yield f"numbers.toml: {kind.pattern.pattern} does not match “{kind.example}”"
        elif not any(
            kind.pattern.search(text)
            for name, text in words.items()
            if any(fnmatch(name, each) for each in kind.pages)
        ):
            yield f"numbers.toml: no page needs {kind.pattern.pattern} ({kind.reason})"


def main() -> int:
    """Print each number that is typed by hand; the status is 1 if there is one."""
    listed, read, md = kinds(), pages(), parser()
    wrong = [*mistaken(listed, read)]
    for name, text in read.items():
        for line, words in found(text, name, listed, md):
            wrong.append(f"docs/{name}:{line}: “{words}”")
    if wrong:
        print(*wrong, sep="\n")
        print(
            f"{len(wrong)} typed numbers: compute each in a cell and show it with {{glue:text}}, "
            "or say in docs/_data/numbers.toml what it is."
        )
    else:
        print("No number is typed by hand.")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

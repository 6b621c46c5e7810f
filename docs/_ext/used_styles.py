"""The rules of a style sheet that a site can ask for.

A rule stays while each element, class and id that its selector names is on some page, or is a word
of some script, which may add it. Then custom properties, faces and animations go that no rule that
is left asks for. So nothing is lost that a page could show: a name too many only keeps a rule.
"""

import html
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import tinycss2  # type: ignore[import-untyped]  # it has no types
from tinycss2 import ast

ICON_FONT = r"var\(--(pst-icon|fa-font)-"
# A rule of the font itself, not one that places an icon inside something.
ICON_CLASS = re.compile(r"\s*(\.fa[bsr]?(-[\w-]+)?)+(:{1,2}[\w-]+)?\s*")


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
    """Selectors, or an at-rule, and what is between its braces."""

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
        and not all(ICON_CLASS.fullmatch(selector) for selector in rule.head.split(","))
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


def stamped(page: str, digests: dict[str, str]) -> str:
    """Put the digests of files into the addresses by which a page asks for them."""
    for name, digest in digests.items():
        page = re.sub(rf'(_static/{re.escape(name)})(\?v=[0-9a-f]+)?(?=")', rf"\1?v={digest}", page)
    return page

"""Join ES modules into one script, since a browser does not load them from ``file://``.

The tools that do so run in Node, which neither the build of the site nor its tests need.

What is understood of a module is what the laboratory uses: imports of names from other files, and
declarations that begin with ``export``. The rest is refused.
"""

import re
from pathlib import Path

IMPORT = re.compile(
    r'^import \{\s*(\w+(?:,\s*\w+)*),?\s*\} from "(\.[\w./-]*\.js)";[ ]*$', re.MULTILINE
)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)
# Whole lines, so that a string with two slashes stays; JSDoc is for who reads the sources, and so
# is the indentation: both are left out. Neither would be right inside a string of several lines.
COMMENT = re.compile(r"^[ ]*(?:/\*(?s:(?!\*/).)*\*/|//.*)[ ]*\n", re.MULTILINE)
CAST = re.compile(r"/\*\* @(?:(?!\*/).)*\*/[ ]?")
INDENTATION = re.compile(r"^[ ]+", re.MULTILINE)
LEFT = re.compile(r"^(?:import|export)\b.*$|\bimport *\(.*$|\bimport\.meta\b.*$", re.MULTILINE)


class NotUnderstoodError(ValueError):
    """A module uses something that cannot be joined."""


def bundle(*entries: Path, name: str = "") -> str:
    """Join modules and all that they import into one script, each in a scope of its own.

    With a `name`, the script declares it: an object with the exports of each module, by the name
    of its file, such as ``LAB.shapes.parameterShapes``.
    """
    joined: dict[Path, str] = {}
    for entry in entries:
        _join(entry.resolve(), joined, ())
    scopes = {path: _scope(number) for number, path in enumerate(joined)}
    lines = ['"use strict";']
    for path, text in joined.items():

        def known(found: re.Match[str], path: Path = path) -> str:
            names, where = " ".join(found[1].split()), (path.parent / found[2]).resolve()
            return f"const {{ {names} }} = {scopes[where]};"

        exported = ", ".join(EXPORT.findall(text))
        body = EXPORT.sub("", IMPORT.sub(known, text)).strip()
        lines.append(f"const {scopes[path]} = (() => {{\n{body}\nreturn {{ {exported} }};\n}})();")
    if name:
        stems = [path.stem for path in joined]
        if len(set(stems)) < len(stems):
            raise NotUnderstoodError(f"two files have one name among {', '.join(stems)}")
        lines.append(f"return {{ {', '.join(f'{p.stem}: {s}' for p, s in scopes.items())} }};")
    head = f"const {name} = " if name else ""
    return f"{head}(() => {{\n" + "\n".join(lines) + "\n})();\n"


def _scope(number: int) -> str:
    return f"_module{number}"


def _join(path: Path, joined: dict[Path, str], above: tuple[Path, ...]) -> None:
    """Add a module after those that it imports."""
    if path in above:
        circle = " -> ".join(file.name for file in (*above[above.index(path) :], path))
        raise NotUnderstoodError(f"modules import each other in a circle: {circle}")
    if path in joined:
        return
    text = CAST.sub("", COMMENT.sub("", path.read_text("utf-8") + "\n"))
    text = INDENTATION.sub("", text)
    for line in text.splitlines():
        if line.count("`") % 2:
            raise NotUnderstoodError(f"{path.name}: not understood, a string over lines: {line}")
    for left in LEFT.findall(EXPORT.sub("", IMPORT.sub("", text))):
        raise NotUnderstoodError(f"{path.name}: not understood: {left.strip()}")
    for names, where in IMPORT.findall(text):
        other = (path.parent / where).resolve()
        if not other.is_file():
            raise NotUnderstoodError(f"{path.name} imports {where}, which is not there")
        _join(other, joined, (*above, path))
        for imported in re.findall(r"\w+", names):
            if imported not in EXPORT.findall(joined[other]):
                raise NotUnderstoodError(f"{path.name} imports {imported}, not in {other.name}")
    joined[path] = text

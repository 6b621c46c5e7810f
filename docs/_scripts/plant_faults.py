"""Plant faults for every gate and see each caught.

    nox -s gates                 # all
    nox -s gates -- numbers mypy # some gates
    nox -s gates -- --alone      # each fault alone, also where a gate lists all that it finds

`tests/gates/faults.toml` is the table: gates, each with the command that must be green on what is
here, and faults, each with the text that it replaces (it must be there exactly once), and with what
the gate must then say. The table also names every command of noxfile.py: that of a gate, or one
that it says is none. The commands run in copies: of the working tree (`source`), of the tree with a
site of three pages (`small`), and of that with a few pages more (`site`). The exit code is 1 if a
fault goes through, if a gate is red without one, or if a command has no gate.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "tests" / "gates"
NOXFILE = ROOT / "noxfile.py"
# The places, and what is put over the tree there: with pages of their own, a build takes seconds.
PLACES = {"source": [], "small": ["small"], "site": ["small", "site"]}
COLOURS = re.compile(r"\x1b\[[\d;]*m")
SHOWN = 4000  # of what a gate says, the last characters


class Fault(NamedTuple):
    """What is replaced by what, and what its gate must say."""

    gate: str
    what: str
    file: str
    was: str
    becomes: str
    says: str
    times: int = 1  # that it is replaced by this
    alone: bool = False  # it ends the command, so that nothing else would be found


def read() -> tuple[dict[str, Any], list[Fault]]:
    """Read the table; give all of it, and its faults."""
    table = tomllib.loads((FOLDER / "faults.toml").read_text("utf-8"))
    return table, [Fault(**fault) for fault in table["fault"]]


def word(node: ast.expr, known: dict[str, str]) -> str:
    """Give a word of a command as far as it is written there."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return known.get(name, "")
        case ast.JoinedStr(values=parts):
            return "".join(word(part, known) for part in parts)
        case ast.FormattedValue(value=value):
            return word(value, known)
    return ""


def commands(node: ast.AST, known: dict[str, str]) -> Iterator[str]:
    """Give what a part of noxfile.py runs, each command without the words that vary."""
    match node:
        case ast.Assign(
            targets=[ast.Name(id=name)], value=(ast.Constant() | ast.JoinedStr()) as text
        ):
            known[name] = word(text, known)
        case ast.For(target=ast.Name(id=name), iter=ast.Tuple(elts=values), body=body):
            for value in values:
                known[name] = word(value, known)
                for line in body:
                    yield from commands(line, known)
            return
        case (
            ast.Call(func=ast.Attribute(value=ast.Name(id="session"), attr="run"), args=words)
            | ast.Call(
                func=ast.Attribute(attr="submit"),
                args=[ast.Attribute(value=ast.Name(id="session"), attr="run"), *words],
            )
        ):
            yield " ".join(filter(None, (word(each, known) for each in words)))
    for child in ast.iter_child_nodes(node):
        yield from commands(child, known)


def unnamed(table: dict[str, Any], noxfile: str) -> Iterator[str]:
    """Say which commands of sessions the table does not name, and which it names for nothing."""
    sessions = (
        node
        for node in ast.parse(noxfile).body
        if isinstance(node, ast.FunctionDef) and node.decorator_list
    )
    there = {f"{each.name}: {command}" for each in sessions for command in commands(each, {})}
    gates, none = {gate["of"] for gate in table["gates"].values()}, set(table["no_gate"])
    yield from (f"no gate is of the command: {each}" for each in sorted(there - gates - none))
    yield from (f"no session runs: {each}" for each in sorted((gates | none) - there))
    yield from (f"a gate, and none: {each}" for each in sorted(gates & none))


def mistakes(table: dict[str, Any], faults: list[Fault], noxfile: str) -> Iterator[str]:
    """Say what is wrong with the table itself."""
    gates = table["gates"]
    yield from unnamed(table, noxfile)
    yield from (
        f"no fault is planted for {gate}" for gate in gates.keys() - {f.gate for f in faults}
    )
    yield from (f"there is no gate {f.gate}: {f.what}" for f in faults if f.gate not in gates)


def copied(folder: Path) -> dict[str, Path]:
    """Copy the working tree to each place, and make small sites of it in two; give the places."""
    shutil.rmtree(folder, ignore_errors=True)
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(git, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout.decode()
    places = {name: folder / name for name in PLACES}
    for name, place in places.items():
        for file in filter(None, listed.split("\0")):
            if (ROOT / file).is_file():
                (place / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, place / file)
        if overlays := PLACES[name]:
            for page in (place / "docs").rglob("*.md"):
                page.unlink()
        for overlay in overlays:
            shutil.copytree(FOLDER / overlay, place, dirs_exist_ok=True)
        for arguments in (["init", "--quiet"], ["add", "--all"]):  # gates ask git for its files
            subprocess.run(["git", *arguments], cwd=place, check=True)
    return places


def run(command: str, place: Path) -> tuple[int, str]:
    """Run the command of a gate; give its exit code and all that it said."""
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=place,
        env=os.environ
        | {
            "CI": "true",
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(place / "src"),
            "MYPYPATH": str(place / "src"),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, COLOURS.sub("", done.stdout)


def planted(fault: Fault, place: Path) -> str:
    """Plant a fault; say why that is impossible, or nothing."""
    file = place / fault.file
    text = file.read_bytes().decode() if file.is_file() else ""
    if (count := text.count(fault.was)) != 1:
        return f"{fault.file} has {count} times what the fault replaces: {fault.was!r}"
    file.write_bytes(text.replace(fault.was, fault.becomes * fault.times).encode())
    return ""


def tried(faults: list[Fault], command: str, place: Path) -> tuple[list[str], str]:
    """Plant faults, run their gate, take them away; give what is wrong with each, and what it said.

    Nothing is wrong with a fault that is caught.
    """
    files = [file for fault in faults if (file := place / fault.file).is_file()]
    before = {file: file.read_bytes() for file in files}
    try:
        wrong = [planted(fault, place) for fault in faults]
        code, said = run(command, place)
    finally:
        for file, content in before.items():
            file.write_bytes(content)
    for number, fault in enumerate(faults):
        if not code:
            wrong[number] = wrong[number] or "the gate stays green"
        elif fault.says not in said:
            wrong[number] = wrong[number] or f"the gate does not say {fault.says!r}"
    return wrong, said


def groups(faults: list[Fault], together: bool) -> list[list[Fault]]:
    """Say which faults of a gate are planted at once."""
    many = [fault for fault in faults if together and not fault.alone]
    return [*([many] if many else []), *([fault] for fault in faults if fault not in many)]


def spent() -> float:
    """Give the seconds of the processor that commands have taken until now."""
    return os.times().children_user + os.times().children_system


def check(gate: str, settings: dict[str, Any], faults: list[list[Fault]], place: Path) -> int:
    """Run a gate without a fault, and with some at once; give how many it caught."""
    code, said = run(settings["run"], place)
    if code:
        print(f"RED WITHOUT A FAULT  {gate}: {settings['run']}\n{said[-SHOWN:]}")
        return 0
    caught = 0
    for together in faults:
        results, said = tried(together, settings["run"], place)
        for fault, wrong in zip(together, results, strict=True):
            print(
                f"NOT CAUGHT  {gate}: {fault.what}: {wrong}" if wrong else f"{gate}: {fault.what}"
            )
        if any(results):
            print(f"The gate says: {said[-SHOWN:]}")
        caught += results.count("")
    return caught


def main() -> int:
    """Plant all faults, or those of some gates, and count; the status is 1 if one goes through."""
    folder, *words = sys.argv[1:]
    names = [name for name in words if name != "--alone"]
    table, faults = read()
    gates: dict[str, dict[str, Any]] = table["gates"]
    if wrong := list(mistakes(table, faults, NOXFILE.read_text("utf-8"))):
        sys.exit("\n".join(wrong))
    if unknown := set(names) - set(gates):
        sys.exit(f"There is no gate {', '.join(unknown)}: choose from {', '.join(gates)}")
    places = copied(Path(folder).resolve())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    made: set[tuple[str, str]] = set()
    caught, total = 0, 0
    for gate in names or gates:
        begin, settings = spent(), gates[gate]
        place = places[settings["on"]]
        for step in settings.get("before", []):
            if (step, settings["on"]) not in made:
                made.add((step, settings["on"]))
                code, said = run(table["before"][step], place)
                if code:
                    sys.exit(f"{step} cannot be made for {gate}:\n{said[-SHOWN:]}")
        own = [fault for fault in faults if fault.gate == gate]
        together = settings.get("together", False) and "--alone" not in words
        caught, total = (
            caught + check(gate, settings, groups(own, together), place),
            total + len(own),
        )
        print(f"    {spent() - begin:.0f} s of the processor")
    print(f"{caught} of {total} faults caught, in {spent():.0f} s of the processor.")
    return caught < total or not total


if __name__ == "__main__":
    sys.exit(main())

"""Plant a fault for every gate and see it caught.

    nox -s gates                 # all
    nox -s gates -- numbers mypy # some gates

`tests/gates/faults.toml` is the table: gates, each with the command that must be green on what is
here, and faults, each with the text that it replaces (it must be there exactly once), and with what
the gate must then say. The commands run in copies: of the working tree, and of a site of one page,
`tests/gates/index.md`. The exit code is 1 if a fault goes through, or a gate is red without one.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parent.parent.parent
TABLE = ROOT / "tests" / "gates" / "faults.toml"
CHAPTERS = ("deeper", "laboratory", "module", "practice", "reference", "walkthrough")
SEARCHES = [{"searches": ["planted faults"], "places": ["index#planted"]}]
COLOURS = re.compile(r"\x1b\[[\d;]*m")


class Fault(NamedTuple):
    """What is replaced by what, and what its gate must say."""

    gate: str
    what: str
    file: str
    was: str
    becomes: str
    says: str


def copied(folder: Path) -> dict[str, Path]:
    """Copy the working tree, and make a small site of it; give both places."""
    shutil.rmtree(folder, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
    ).stdout.decode()
    places = {"source": folder / "source", "small": folder / "small"}
    for place in places.values():
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, place / name)
    docs = places["small"] / "docs"
    for chapter in CHAPTERS:
        shutil.rmtree(docs / chapter)
    shutil.copy2(TABLE.with_name("index.md"), docs / "index.md")
    data = docs / "_data"
    (data / "moved.json").write_text("{}", "utf-8")
    for name in ("questions.json", "searches.json"):
        (data / name).write_text(json.dumps(SEARCHES), "utf-8")
    for arguments in (["init", "--quiet"], ["add", "--all"]):  # for the gate that clones it
        subprocess.run(["git", *arguments], cwd=places["small"], check=True)
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


def caught(fault: Fault, command: str, place: Path) -> str:
    """Plant a fault, run its gate, take the fault away; say what is wrong, or nothing."""
    file = place / fault.file
    text = file.read_text("utf-8")
    if (count := text.count(fault.was)) != 1:
        return f"{fault.file} has {count} times what the fault replaces: {fault.was!r}"
    file.write_text(text.replace(fault.was, fault.becomes), "utf-8")
    try:
        code, said = run(command, place)
    finally:
        file.write_text(text, "utf-8")
    if not code:
        return "the gate stays green"
    if fault.says not in said:
        return f"the gate does not say {fault.says!r}, but:\n{said[-2000:]}"
    return ""


def main() -> int:
    """Plant all faults, or those of some gates, and count; the status is 1 if one goes through."""
    folder, *names = sys.argv[1:]
    table: dict[str, Any] = tomllib.loads(TABLE.read_text("utf-8"))
    gates: dict[str, dict[str, str]] = table["gates"]
    faults = [
        Fault(
            f["gate"], f["what"], f["file"], f["was"], f["becomes"] * f.get("times", 1), f["says"]
        )
        for f in table["fault"]
    ]
    if unknown := set(names) - set(gates):
        sys.exit(f"There is no gate {', '.join(unknown)}: choose from {', '.join(gates)}")
    if bare := set(gates) - {fault.gate for fault in faults}:
        sys.exit(f"No fault is planted for {', '.join(sorted(bare))}")
    places = copied(Path(folder).resolve())
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    planted, count = 0, 0
    for gate, settings in gates.items():
        if names and gate not in names:
            continue
        begin, command, place = time.monotonic(), settings["run"], places[settings["on"]]
        code, said = run(command, place)
        if code:
            print(f"RED WITHOUT A FAULT  {gate}: {command}\n{said[-2000:]}")
        for fault in (fault for fault in faults if fault.gate == gate):
            planted += 1
            wrong = "the gate is red without it" if code else caught(fault, command, place)
            count += not wrong
            print(
                f"NOT CAUGHT  {gate}: {fault.what}: {wrong}" if wrong else f"{gate}: {fault.what}"
            )
        print(f"    {time.monotonic() - begin:.0f} s")
    print(f"{count} of {planted} faults caught.")
    return count < planted or not planted


if __name__ == "__main__":
    sys.exit(main())

"""Change the source in every way mutmut knows, one change at a time: the tests have to notice.

    nox -s mutation                 # all modules: hours
    nox -s mutation -- shapes init  # some of them

Started again, it goes on where it was stopped; only a changed source or test makes a module begin
again. A change that no test notices is listed in `tests/survivors.toml` with the reason why it may
live; one that is not listed, and one that is listed and no longer lives, are failures.

mutmut changes what functions do. The tables beside them are changed by `tests/test_mutations.py`.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
LIST = ROOT / "tests" / "survivors.toml"
ENOUGH = 0.95

# The source of each module, and the tests that concern it.
MODULES = {
    "shapes": (["shapes.py"], ["shapes", "init"]),
    "init": (["init.py"], ["init"]),
    "arrays": (["arrays.py"], ["arrays", "cells", "bptt", "scan", "lengths", "resets"]),
    "cells": (["cells.py"], ["cells", "cell_modules"]),
    "scan": (["_scan.py"], ["scan", "modules", "lengths"]),
    "layers": (["layers.py"], ["layers", "modules", "lengths", "resets", "steps", "all_states"]),
    "modules": (
        ["modules.py"],
        ["modules", "drop_in", "lengths", "resets", "steps", "all_states", "fast"],
    ),
    "bptt": (["bptt.py"], ["bptt", "fast"]),
    "porting": (
        ["porting/*.py"],
        [
            *("porting", "porting_ways", "onnx_reader", "files"),
            *("porting_keras_npz_files", "porting_torch_files", "porting_onnx_files"),
        ],
    ),
}
# Loaded once, before the processes that try the mutants part ways.
PRELOADED = "import sympy\nimport torch._refs\n"
# torch.compile cannot read the functions that mutmut makes of ours, and they have other names.
UNFIT = "not compile and not help_shows_the_arguments"
# How the tests of a mutant end: one failed, or all ran for far longer than without the change, or
# they were killed.
NOTICED = (1, 24, 36, 152, -24, -11, -9)
LIVES = (0, 33)  # all passed, or none came there


class Survivor(NamedTuple):
    """A change that no test noticed: where, and the lines before and after it."""

    module: str
    function: str
    change: str


def fingerprint(sources: list[str], tests: list[str]) -> str:
    """Hash what decides about the mutants of a module: its source, its tests and their helpers."""
    key = hashlib.sha256(repr((sources, tests, UNFIT, PRELOADED)).encode())
    helpers = [path for path in (ROOT / "tests").glob("*.py") if not path.match("test_*.py")]
    chosen = [ROOT / "tests" / f"test_{name}.py" for name in tests]
    mutated = [path for each in sources for path in (ROOT / "src" / "unrolled").glob(each)]
    for path in sorted([*helpers, *chosen, *mutated, ROOT / "constraints.txt"]):
        key.update(path.read_bytes())
    return key.hexdigest()


def prepare(place: Path, sources: list[str], tests: list[str]) -> None:
    """Copy the project to where its mutants live, unless they are there already."""
    key, mark = fingerprint(sources, tests), place / "fingerprint"
    if mark.exists() and mark.read_text("utf-8") == key:
        return
    shutil.rmtree(place, ignore_errors=True)
    ignore = shutil.ignore_patterns("__pycache__")
    for folder in ("src", "tests", "docs/_data", "docs/_lab"):
        shutil.copytree(ROOT / folder, place / folder, ignore=ignore)
    settings: dict[str, object] = {
        "source_paths": ["src"],
        "only_mutate": [f"src/unrolled/{each}" for each in sources],
        "pytest_add_cli_args_test_selection": [f"tests/test_{name}.py" for name in tests],
        "pytest_add_cli_args": [*("-p", "no:cacheprovider", "-p", "preloaded"), f"-k={UNFIT}"],
        "also_copy": ["docs"],
        "process_isolation": "forkserver",  # torch's threads do not survive a plain fork
        "use_git_change_detection": False,
    }
    written = "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    (place / "pyproject.toml").write_text(f"{project}\n[tool.mutmut]\n{written}", "utf-8")
    (place / "plugin").mkdir()  # mutmut takes the folder itself off Python's path
    (place / "plugin" / "preloaded.py").write_text(PRELOADED, "utf-8")
    mark.write_text(key, "utf-8")


def mutmut(place: Path, *arguments: str, profile: str = "default") -> str | None:
    """Run mutmut where the mutants live; give what `show` prints."""
    environment = os.environ | {
        "HYPOTHESIS_PROFILE": profile,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(place / "plugin"),
    }
    quiet = arguments[0] == "show"
    return subprocess.run(
        ["mutmut", *arguments],
        cwd=place,
        env=environment,
        check=True,
        text=True,
        stdout=subprocess.PIPE if quiet else None,
    ).stdout


def verdicts(place: Path) -> dict[str, int | None]:
    """Read how the tests of each mutant ended."""
    return {
        mutant: ended
        for path in (place / "mutants" / "src").rglob("*.meta")
        for mutant, ended in json.loads(path.read_text("utf-8"))["exit_code_by_key"].items()
    }


def living(place: Path) -> tuple[list[str], int]:
    """Name the mutants that no test noticed, and count all. Tests that cannot be run end it."""
    ended = verdicts(place)
    if failed := [each for each in ended if ended[each] not in (*LIVES, *NOTICED)]:
        # mutmut counts them as noticed. A cause: `ids` with line breaks, which pytest escapes anew
        # each time that it collects, so that it does not find the test.
        sys.exit(
            f"{place.name}: the tests of {len(failed)} mutants cannot be run, {failed[0]} first"
        )
    return [each for each in ended if ended[each] in LIVES], len(ended)


def lives(place: Path, mutants: list[str]) -> Iterator[Survivor]:
    """Describe mutants by what they change, which stays when their numbers move."""
    for mutant in mutants:
        module, _, function = mutant.removeprefix("unrolled.").partition(".x")
        shown = mutmut(place, "show", mutant) or ""
        lines = [line for line in shown.splitlines() if line[:1] in "+-"][2:]
        change = "\n".join(line[0] + " " + line[1:].strip() for line in lines)
        name = function.rpartition("__mutmut_")[0].strip("_ǁ").replace("ǁ", ".")
        yield Survivor(module, name, change)


def main() -> int:
    """Try all mutants of the modules that were named; the status says whether all is explained."""
    place, *names = sys.argv[1:]
    if unknown := set(names) - set(MODULES):
        sys.exit(f"There is no module {', '.join(unknown)}: choose from {', '.join(MODULES)}")
    listed = tomllib.loads(LIST.read_text("utf-8"))["survivor"]
    reasons = {Survivor(e["module"], e["function"], e["change"]): e["reason"] for e in listed}
    failed = False
    for name in names or MODULES:
        print(f"\n== {name}", flush=True)
        here = Path(place).resolve() / name
        prepare(here, *MODULES[name])
        # First with few examples of each property. What lives meets the tests as they are, and what
        # could not be tried, as may happen on a busy machine, is tried once more.
        mutmut(here, "run", profile="mutation")
        if doubtful := [each for each, ended in verdicts(here).items() if ended not in NOTICED]:
            mutmut(here, "run", *doubtful)
        alive, count = living(here)
        found = set(lives(here, alive))
        share = 1 - len(alive) / count
        print(f"{name}: {count} mutants, {len(alive)} live, {share:.1%} noticed")
        modules = {each.removeprefix("unrolled.").partition(".x")[0] for each in verdicts(here)}
        unexplained = sorted(found - set(reasons))
        gone = sorted(each for each in set(reasons) - found if each.module in modules)
        for each in unexplained:
            print(f'\n[[survivor]]\nmodule = "{each.module}"\nfunction = "{each.function}"')
            print(f"change = '''\n{each.change}'''\nreason = \"\"")
        for each in gone:
            print(f"No longer lives: {each}")
        failed |= bool(unexplained or gone or share < ENOUGH)
    print("A mutant lives that has no reason to." if failed else "Every survivor has its reason.")
    return failed


if __name__ == "__main__":
    sys.exit(main())

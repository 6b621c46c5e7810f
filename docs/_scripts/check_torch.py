"""Try everything with the installed PyTorch, and say what is not as its account says.

    nox -s torch -- 2.14.1          # in an environment with that version; `newest`, `nightly`
    nox -s torch -- 2.14.1 --write  # the same, and keep what was found as its account

Tests, doctests and every page run to their ends, whatever fails. The table at the end names page,
heading, sentence or assertion, what was said, and what is so now. The exit code is 0 if nothing
differs from the account that is kept for this version, and 1 if something does or there is none.
"""

import argparse
import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.etree import ElementTree

import run_pages
from tabulate import tabulate
from torch_account import (
    DOCS,
    OFFICIAL,
    ROOT,
    Difference,
    Facts,
    compared,
    keep,
    kept,
    listed,
    nearest,
    plain,
    release,
)

TESTS = {
    "tests": ["-n", "auto", "--dist", "worksteal", "tests"],
    "doctests": ["-c", "pyproject.toml", "src", "README.md", "docs"],
}
HEADERS = ("page", "heading", "sentence or assertion: what was said", "what is so now")
VERDICTS = "__import__('json').dumps({says: verdict for says, verdict, _ in verdicts})"


def step(name: str) -> None:
    print(f"\n== {name}", flush=True)


def account() -> Facts:
    """Take the account in a process of its own, where no warning was shown before."""
    command = [sys.executable, str(ROOT / "docs/_scripts/torch_account.py")]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    return json.loads(done.stdout)


def failures(name: str) -> Iterator[Difference]:
    """Run tests, or the examples in docstrings and pages, and give those that fail."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        command += [f"--junitxml={report}", *TESTS[name]]
        code = subprocess.run(command, check=False, cwd=ROOT).returncode
        if code not in (0, 1):  # some tests failed: 1
            yield Difference(name, "pytest", "runs to its end", f"ends with exit code {code}")
        if not report.exists():
            return
        for case in ElementTree.parse(report).iter("testcase"):
            for fault in (*case.iter("failure"), *case.iter("error")):
                where = case.get("classname") or name
                yield Difference(
                    where, case.get("name", ""), "passes", plain(fault.get("message", ""))
                )


def warnings_of_site() -> Iterator[Difference]:
    """Build the site from nothing, and give Sphinx's warnings."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "warnings"
        command = [sys.executable, "-m", "sphinx", "-n", "-q", "-j", "2", "-w", str(log)]
        command += ["-D", "nb_execution_mode=force", "-D", "nb_execution_raise_on_error=0"]
        command += ["-b", "html", str(DOCS), str(Path(folder) / "html")]
        code = subprocess.run(command, check=False, cwd=ROOT).returncode
        if code:
            yield Difference("the site", "sphinx-build", "builds", f"ends with exit code {code}")
        for line in log.read_text("utf-8").splitlines() if log.exists() else ():
            if found := re.match(
                r"(?:.*/docs/)?(.+?)(?:\.md)?:(\d*):? *((?:WARNING|ERROR).*)", line
            ):
                yield Difference(found[1], f"line {found[2]}", "builds without it", plain(found[3]))


def table(rows: Sequence[Difference]) -> str:
    """Set a table for a terminal, as wide as it is."""
    width = max(shutil.get_terminal_size((160, 24)).columns - 14, 80)
    widths = [width * share // 100 for share in (17, 18, 30, 35)]
    return tabulate(rows, HEADERS, "grid", maxcolwidths=widths, disable_numparse=True)


def summary(title: str, rows: Sequence[Difference]) -> str:
    """Set the same table in Markdown, for the summary of a workflow."""
    cells = [[re.sub(r"([|<])", r"\\\1", cell) for cell in row] for row in rows]
    return f"## {title}\n\n{tabulate(cells, HEADERS, 'github', disable_numparse=True)}\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--write", action="store_true", help="keep what is found as the account")
    parser.add_argument("--site", action="store_true", help="build the site, too")
    options = parser.parse_args()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # not a file of a test

    step(f"PyTorch {release()}: the account")
    now, before = account(), kept(release())
    step("pages")
    run_pages.rehearse()
    faults, answers = run_pages.run(run_pages.names(), {OFFICIAL: VERDICTS})
    now["docstrings"] = json.loads(ast.literal_eval(answers[OFFICIAL] or "'{}'"))
    now["tests"] = []
    now["pages"] = listed(faults)
    if options.site:
        step("the site")
        now["pages"] += listed(warnings_of_site())
    if options.write:
        keep(now)  # tests look at it
    found: list[Difference] = []
    for name in TESTS:
        step(name)
        found += failures(name)
    now["tests"] = listed(found)

    old = before or kept(nearest(release())) or {}
    rows = compared(old, now)
    title = f"PyTorch {release()}, compared with the account of {old.get('torch', 'no version')}"
    if summary_file := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary_file).open("a", encoding="utf-8") as file:
            file.write(summary(title, rows) if rows else f"## {title}\n\nNothing differs.\n")
    step(title)
    print(table(rows) if rows else "Nothing differs.")
    if options.write:
        print(f"Kept in {keep(now).relative_to(ROOT)}.")
    elif before is None:
        sys.exit(f"There is no account of {release()}: --write keeps one.")
    elif rows:
        sys.exit(1)


if __name__ == "__main__":
    main()

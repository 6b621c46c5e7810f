"""Execute pages to their ends, past every fault, and say what each fault is about.

    python docs/_scripts/run_pages.py                       # all pages, two at a time
    python docs/_scripts/run_pages.py practice/errors index  # these

The build of the site executes each page up to the first cell that fails. Here each fault is
written down with the heading above it, the assertion that failed (or the sentence before the cell),
and what the values in it are now. As on the site, anything written to stderr is a fault.
"""

import ast
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.connect import LocalPortCache
from jupyter_client.manager import KernelManager
from myst_nb.core.read import read_myst_markdown_notebook  # type: ignore[import-untyped]  # no types
from myst_parser.config.main import MdParserConfig
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from torch_account import ANSI, DOCS, Difference, plain

AT_ONCE = 2
SECONDS = 600  # for one cell, on a busy machine
MARK = "\x1e"  # before what a question to the kernel prints
FENCES = re.compile(r"^(`{3,}|~{3,}).*?^\1[ ]*$", re.MULTILINE | re.DOTALL)


def names() -> list[str]:
    """Name all pages that have cells."""
    pages = sorted(p for p in DOCS.rglob("*.md") if p.relative_to(DOCS).parts[0][0] != "_")
    return [
        page.relative_to(DOCS).with_suffix("").as_posix()
        for page in pages
        if "{code-cell}" in page.read_text("utf-8")
    ]


class _Place:
    """Where one is on a page: the last heading and the last sentence."""

    def __init__(self) -> None:
        self.heading = self.sentence = ""

    def read(self, markdown: str) -> None:
        for line in FENCES.sub("", markdown).splitlines():
            if heading := re.match(r"#+ (.*)", line):
                self.heading = self.sentence = heading[1]
            elif re.match(r"[^\s`:(|{<].*[.:?!]$", line):
                self.sentence = line


def _failed(error: Any, source: str) -> ast.stmt | None:
    """Find the statement of a cell at which an error left it."""
    lines = re.findall(r"Cell In\[\d+\], line (\d+)", ANSI.sub("", "\n".join(error.traceback)))
    if not lines or error.ename == "SyntaxError":
        return None
    found = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.stmt) and node.lineno <= int(lines[-1]) <= (node.end_lineno or 0)
    ]
    return found[-1] if found else None


def _operands(condition: ast.expr) -> Iterator[ast.expr]:
    """Give what a condition compares, as far as its value is not written there."""
    match condition:
        case ast.BoolOp():
            for value in condition.values:
                yield from _operands(value)
        case ast.Compare():
            sides = (condition.left, *condition.comparators)
            yield from (
                side for side in sides if any(isinstance(n, ast.Name) for n in ast.walk(side))
            )
        case ast.UnaryOp(operand=operand):
            yield from _operands(operand)


def _ask(client: NotebookClient, expression: str, index: int) -> str:
    """Evaluate an expression in the kernel, as it is after the fault."""
    question = f"print({MARK!r}, repr({expression}), sep='')"
    cell = nbformat.v4.new_code_cell(question)  # type: ignore[no-untyped-call]  # no types
    client.execute_cell(cell, index)
    printed = "".join(output.get("text", "") for output in cell.outputs)
    return printed.rpartition(MARK)[2].strip() if MARK in printed else ""


def _faults_of_cell(
    client: NotebookClient, page: str, place: _Place, cell: Any, index: int
) -> Iterator[Difference]:
    for output in list(cell.outputs):
        said, now = place.sentence, ""
        if output.output_type == "error":
            now = f"{output.ename}: {output.evalue}" if output.evalue else output.ename
            statement = _failed(output, cell.source)
            if statement is not None and isinstance(statement, ast.Assert):
                said = ast.unparse(statement)
                for operand in list(_operands(statement.test))[:3]:
                    text = ast.unparse(operand)
                    if value := _ask(client, text, index):
                        now += f"; {text} is {value}"
            elif statement is not None:
                now += f"; in {ast.unparse(statement).splitlines()[0]}"
        elif output.output_type == "stream" and output.name == "stderr":
            now = f"on stderr: {output.text}"
        if now:
            yield Difference(page, place.heading, said, plain(now))


def faults(page: str, ask: str = "") -> tuple[list[Difference], str]:
    """Execute one page; give its faults and what `ask`, an expression, is at its end."""
    text = (DOCS / f"{page}.md").read_text("utf-8")
    notebook = read_myst_markdown_notebook(text, MdParserConfig(), add_source_map=False)
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        interrupt_on_timeout=True,
        allow_errors=True,
        kernel_name="python3",
        resources={"metadata": {"path": str((DOCS / f"{page}.md").parent)}},
    )
    found: list[Difference] = []
    place, answer = _Place(), ""
    with client.setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type == "markdown":
                place.read(cell.source)
                continue
            try:
                client.execute_cell(cell, index)
                found += _faults_of_cell(client, page, place, cell, index)
            except (CellTimeoutError, DeadKernelError) as error:
                found.append(Difference(page, place.heading, place.sentence, plain(repr(error))))
                break  # there is no kernel left to ask
        else:
            answer = _ask(client, ask, 0) if ask else ""
    return _without_consequences(found), answer


def _without_consequences(found: Sequence[Difference]) -> list[Difference]:
    """Count cells that only lack a name that a failed cell would have made, with that cell."""
    kept: list[Difference] = []
    followers = 0
    for fault in found:
        if kept and fault.now.startswith("NameError"):
            followers += 1
        else:
            kept.append(fault)
    if followers:
        needing = (
            f"(and {followers} more cells of the page, which need a name from cells that failed)"
        )
        kept[-1] = kept[-1]._replace(now=f"{kept[-1].now} {needing}")
    return kept


REHEARSAL = """# Faults

Nothing here is right.

```{code-cell} ipython3
two = 1
```

## Below

It is two.

```{code-cell} ipython3
assert two == 2
```

```{code-cell} ipython3
import sys; print("a warning", file=sys.stderr)
```

```{code-cell} ipython3
three = int("three")
```

```{code-cell} ipython3
three + two
```
"""


def rehearse() -> None:
    """Execute a page of faults, and stop everything if one of them is not found."""
    with tempfile.TemporaryDirectory() as folder:
        page = f"{folder}/faults"
        Path(f"{page}.md").write_text(REHEARSAL, "utf-8")
        found, answer = run([page], {page: "two"})
    assertion, warning, error = (fault[1:] for fault in found[0:3])
    assert assertion == ("Below", "assert two == 2", "AssertionError; two is 1"), assertion
    assert warning == ("Below", "It is two.", "on stderr: a warning"), warning
    assert error[2].startswith("ValueError: invalid literal"), error
    assert "and 1 more cells" in error[2], error
    assert answer == {page: "1"}


def prepare() -> None:
    """Set up this process, and the kernels that it starts, as the build of the site does."""
    sys.path.insert(0, str(DOCS / "_ext"))
    from kernel_ports import find_available_port

    os.environ["OMP_NUM_THREADS"] = "1"
    KernelManager.transport_encryption.default_value = "auto"
    LocalPortCache.find_available_port = find_available_port  # type: ignore[method-assign, assignment]  # for all kernels


def run(pages: Sequence[str], ask: dict[str, str]) -> tuple[list[Difference], dict[str, str]]:
    """Execute pages, a few at a time, and say how far it is; give the faults and the answers."""
    found: list[Difference] = []
    answers = {}
    with ProcessPoolExecutor(AT_ONCE, initializer=prepare) as pool:
        each = pool.map(faults, pages, [ask.get(page, "") for page in pages])
        for number, (page, (those, answer)) in enumerate(zip(pages, each, strict=True), 1):
            print(f"[{number:2} of {len(pages)}] {page}: {len(those) or 'no'} faults", flush=True)
            found += those
            answers[page] = answer
    return found, answers


if __name__ == "__main__":
    for fault in run(sys.argv[1:] or names(), {})[0]:
        print(*fault, "", sep="\n")

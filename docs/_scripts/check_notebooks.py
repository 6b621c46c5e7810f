"""Run the notebooks of the built site where nothing but the installed wheel is.

``python docs/_scripts/check_notebooks.py SITE [PAGE ...]`` runs them, two at a time, each in an
empty folder. A notebook that opens a file of the repository, wants to install something, or raises
an error is a fault; the exit code is 1 if there is one.
"""

import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

ROOT = Path(__file__).parents[2]
FOLDER = "notebooks"
AT_ONCE = 2
SECONDS = 600  # for one cell, on a busy machine
# What runs in the kernel before the notebook. The environment of this session lies in the
# repository too, and is what the notebook may read.
GUARD = """
import sys
def _guard(event, arguments):
    if event == "open" and isinstance(arguments[0], str):
        path = __import__("os").path.abspath(arguments[0])
        if path.startswith({root!r}) and not path.startswith({environment!r}):
            raise RuntimeError("a notebook should not need the repository, and opens " + path)
sys.addaudithook(_guard)
"""


class Result(NamedTuple):
    """What came of a notebook: the seconds that it took, and a fault or an empty text."""

    seconds: float
    fault: str


def run(file: Path) -> Result:
    """Run one notebook."""
    notebook = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]  # no types
    guard = GUARD.format(root=f"{ROOT}{os.sep}", environment=f"{sys.prefix}{os.sep}")
    notebook["cells"].insert(0, nbformat.v4.new_code_cell(guard))  # type: ignore[no-untyped-call]  # the same
    started, fault = time.perf_counter(), ""
    with tempfile.TemporaryDirectory() as empty:
        client = NotebookClient(
            notebook,
            timeout=SECONDS,
            kernel_name="python3",
            resources={"metadata": {"path": empty}},
        )
        try:
            client.execute()
            if notebook["cells"][2]["outputs"]:  # after the guard and the note
                fault = "its first cell installs something, so the extra `pages` lacks it"
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            fault = str(error)
    return Result(time.perf_counter() - started, fault)


def main() -> None:
    site, *pages = sys.argv[1:]
    folder = Path(site, FOLDER)
    files = [folder / f"{page}.ipynb" for page in pages] or sorted(folder.rglob("*.ipynb"))
    if missing := [file for file in files if not file.exists()]:
        sys.exit(f"There is no {missing[0]}: run `nox -s docs` first, and name pages without .html")
    if not files:
        sys.exit(f"There are no notebooks in {folder}: run `nox -s docs` first")
    if (distribution("unrolled").read_text("direct_url.json") or "").find('"editable": true') >= 0:
        sys.exit(
            "The package is installed from its sources: the notebooks have to run without them"
        )
    # Kernels take both over, and would find the sources there.
    os.environ.pop("PYTHONPATH", None)
    os.chdir(tempfile.gettempdir())
    faults = 0
    with ProcessPoolExecutor(AT_ONCE) as pool:
        for number, (file, result) in enumerate(zip(files, pool.map(run, files), strict=True), 1):
            faults += bool(result.fault)
            name = file.relative_to(folder).with_suffix("").as_posix()
            said = f"{result.seconds:.0f} s" if not result.fault else f"FAILS\n{result.fault}"
            print(f"[{number:2} of {len(files)}] {name}: {said}", flush=True)
    sys.exit(f"{faults} of {len(files)} notebooks fail" if faults else 0)


if __name__ == "__main__":
    main()

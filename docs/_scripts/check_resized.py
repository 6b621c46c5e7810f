"""Change the sizes of the worked example in its one place, build the site and see that all follow.

``python docs/_scripts/check_resized.py FOLDER OPTIONS`` copies what the site is built from into
FOLDER, edits the copy and builds it there, with the OPTIONS of ``sphinx-build``. The exit code is 1
if the build fails or a page still shows the old sizes.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SIZES = {"N": (3, 4), "L": (5, 6), "H_in": (10, 7), "H_out": (20, 12)}  # before and after
# The pages that show shapes of the example, except the article's claims: it has its own sizes.
PAGES = ("index", "walkthrough/*", "module/*", "reference/notation")
STALE = ("(3, 5, 10)", "(1, 3, 20)")


def copied(folder: Path) -> Path:
    """Copy what is needed to build the site, so that it can be changed; give the copy."""
    copy = folder.resolve() / "unrolled"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".*", "_build"))
    return copy


def build(copy: Path, site: str, options: Sequence[str], ci: bool = True) -> int:
    """Build a copy into its folder `site`, with its own packages; give the exit code."""
    environment = {**os.environ, "PYTHONPATH": str(copy / "src"), "CI": "true" if ci else ""}
    command = [sys.executable, "-m", "sphinx", *options, "-b", "html", "docs", site]
    return subprocess.run(command, cwd=copy, env=environment, check=False).returncode


def resize(example: Path) -> None:
    """Write other sizes into the file of the worked example."""
    text = example.read_text("utf-8")
    for name, (old, new) in SIZES.items():
        print(f"{name} = {old} becomes {new}", flush=True)
        if f"\n{name} = {old} " not in text:
            sys.exit(f"{name} = {old} should be in {example.name}")
        text = text.replace(f"\n{name} = {old} ", f"\n{name} = {new} ")
    example.write_text(text, "utf-8")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("At least one argument, please: a folder to work in.")
    copy = copied(Path(sys.argv[1]))
    resize(copy / "src" / "unrolled_site" / "example.py")
    if build(copy, "html", sys.argv[2:]):
        sys.exit("The build fails")
    for page in PAGES:
        for file in sorted((copy / "html").glob(f"{page}.html")):
            shown = re.sub("<[^>]*>", "", file.read_text("utf-8"))
            stale = [shape for shape in STALE if shape in shown]
            if stale and file.stem != "claims":
                sys.exit(f"{file.name} still shows {', '.join(stale)}")
            if file.stem == "matrix_multiplication" and "(4, 6, 7)" not in shown:
                sys.exit(f"{file.name} does not show the new sizes")
    print("Every page follows.")


if __name__ == "__main__":
    main()

"""Build the site twice, in two clones that have nothing in common but the commit, and compare.

``python docs/_scripts/check_reproducible.py FOLDER OPTIONS`` clones this repository into FOLDER
twice, at paths of different lengths, and builds both with the OPTIONS of ``sphinx-build``: with
another seed of Python's hashes, in another time zone and another locale. Nothing comes from a
cache. The exit code is 1 if one byte of one file differs. What is not committed is not built.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
WORLDS = {
    "a": {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C.UTF-8"},
    "somewhere/else/entirely": {"PYTHONHASHSEED": "20011", "TZ": "ACST-9:30", "LC_ALL": "C"},
}
SHOWN = 60  # bytes of each side of a difference


def built(place: Path, world: dict[str, str], options: list[str]) -> Path:
    """Clone the repository to a place, build it there, and give the folder of the site."""
    shutil.rmtree(place, ignore_errors=True)
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, place], check=True)
    environment = os.environ | world | {"CI": "true", "PYTHONPATH": str(place / "src")}
    options = [*options, "-d", "doctrees", "-b", "html"]
    command = [sys.executable, "-m", "sphinx", *options, "docs", "site"]
    if subprocess.run(command, cwd=place, env=environment, check=False).returncode:
        sys.exit(f"The build in {place} fails")
    return place / "site"


def differences(one: Path, other: Path) -> Iterator[str]:
    """Say which files two folders do not share, and where those that they share differ."""
    names = [
        {path.relative_to(site) for path in site.rglob("*") if path.is_file()}
        for site in (one, other)
    ]
    yield from (f"{name} is in one of the two sites" for name in sorted(names[0] ^ names[1]))
    for name in sorted(names[0] & names[1]):
        left, right = (one / name).read_bytes(), (other / name).read_bytes()
        if left != right:
            pairs = enumerate(zip(left, right, strict=False))
            at = next((at for at, (a, b) in pairs if a != b), min(len(left), len(right)))
            here = slice(max(0, at - SHOWN), at + SHOWN)
            yield f"{name} differs at byte {at}:\n    {left[here]!r}\n    {right[here]!r}"


def main() -> int:
    """Print what differs; the status is 1 if anything does."""
    if len(sys.argv) < 2:
        sys.exit("Name a folder to work in.")
    folder, options = Path(sys.argv[1]).resolve(), sys.argv[2:]
    sites = [built(folder / place, world, options) for place, world in WORLDS.items()]
    found = [*differences(*sites)]
    count = sum(path.is_file() for path in sites[0].rglob("*"))
    print(*found, f"{len(found)} of {count} files differ between two builds.", sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

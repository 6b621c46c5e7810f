"""Build what a release publishes, and use it where nothing else of this project is.

``python docs/_scripts/check_release.py DIST [--tag TAG]`` writes a source distribution and a wheel
to DIST and holds them to the following: a second build, and a wheel from the source distribution,
have the same bytes; they contain exactly the files that the repository keeps; their metadata is
valid. Then it installs the wheel, with what it depends on, in an empty environment in a folder
outside the repository, and runs there the examples of README.md and both command lines on small
real input. With a tag, the tag, CITATION.cff and CHANGELOG.md have to name the version. Whatever
does not hold ends it with a message.
"""

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

from packaging.metadata import Metadata

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSION = PROJECT["version"]
SAVE = """
import torch, unrolled
assert "site-packages" in unrolled.__file__, unrolled.__file__
torch.manual_seed(0)
torch.save(torch.nn.GRU(3, 5, num_layers=2, bidirectional=True).state_dict(), "gru.pt")
"""
COMPARE = """
import torch
before, after = torch.load("gru.pt"), torch.load("back.pt")
assert before.keys() == after.keys() and len(before) == 16
assert all(torch.equal(before[name], after[name]) for name in before)
"""
PORTING = ("-m", "unrolled.porting", "GRU")
LANGUAGE = ("-m", "unrolled_site.language")
SMALL = ("--hidden-size=16", "--N=4", "--L=16")


def say(what: str) -> None:
    print(f"-- {what}", flush=True)


def run(*command: str, cwd: Path = ROOT) -> str:
    """Run a command to its end and give what it printed; a failure ends everything."""
    done = subprocess.run(command, cwd=cwd, text=True, encoding="utf-8", capture_output=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


def require(holds: bool, why: str) -> None:
    if not holds:
        sys.exit(why)


def check_tag(tag: str) -> None:
    """Compare a tag with everything that names the version."""
    require(tag == f"v{VERSION}", f"The tag {tag} is not v{VERSION}, the version in pyproject.toml")
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    require(f"\nversion: {VERSION}\n" in citation, "CITATION.cff names another version")
    changes = (ROOT / "CHANGELOG.md").read_text("utf-8")
    heading = re.search(rf"^## {re.escape(VERSION)} \((.*)\)$", changes, re.MULTILINE)
    date = heading[1] if heading else "nothing"
    require(
        bool(re.fullmatch(r"\d{4}-\d\d-\d\d", date)),
        f"CHANGELOG.md should begin a section with ## {VERSION} and the date, and says {date}",
    )
    changed = run("git", "status", "--porcelain", "--untracked-files=no").rstrip()
    require(not changed, f"Commit first what is changed:\n{changed}")


def build(folder: Path, source: Path, *what: str) -> dict[str, Path]:
    """Build from a folder with the sources, without the network; give the files by their kind."""
    # The environment has what pyproject.toml requires, at the tested versions.
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), *what, cwd=source)
    return {file.suffix: file for file in folder.iterdir()}


def same(one: Path, other: Path) -> bool:
    return hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(other.read_bytes()).digest()


def check_files(wheel: Path, source: Path) -> None:
    """Compare the files in the distributions with those that git keeps."""
    kept = {PurePosixPath(name) for name in run("git", "ls-files", "-z").split("\0") if name}
    # What only the repository needs: workflows, git's and its hosts' settings.
    kept = {name for name in kept if not name.parts[0].startswith(".")}
    with tarfile.open(source) as archive:
        names = [PurePosixPath(file.name) for file in archive if file.isfile()]
    there = {name.relative_to(name.parts[0]) for name in names}
    there -= {PurePosixPath("PKG-INFO"), PurePosixPath(".gitignore")}  # hatchling adds them
    differ = ", ".join(sorted(map(str, there ^ kept)))
    require(not differ, f"In the source distribution or in git, but not in both: {differ}")
    with ZipFile(wheel) as archive:
        there = {
            PurePosixPath("src", name) for name in archive.namelist() if ".dist-info/" not in name
        }
        licences = [name for name in archive.namelist() if "/licenses/" in name]
        require(len(licences) == 1, f"The wheel has the licences {licences}")
        require(
            archive.read(licences[0]) == (ROOT / "LICENSE").read_bytes(),
            "The licence in the wheel is not LICENSE",
        )
    differ = ", ".join(sorted(str(n) for n in there ^ {n for n in kept if n.parts[0] == "src"}))
    require(not differ, f"In the wheel or in src, but not in both: {differ}")
    for package in ("unrolled", "unrolled_site"):
        require(PurePosixPath("src", package, "py.typed") in there, f"{package} has no py.typed")


def check_metadata(wheel: Path) -> None:
    """Validate the metadata as package indexes do."""
    with ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(archive.read(name))  # raises what is invalid
    require(str(metadata.version) == VERSION, f"The wheel has the version {metadata.version}")
    require(metadata.description == (ROOT / "README.md").read_text("utf-8"), "README.md differs")
    require(bool(metadata.license_expression), "The metadata does not name the licence")
    require(bool(metadata.project_urls), "The metadata does not say where the project is")


def use(wheel: Path, folder: Path) -> None:
    """Install the wheel in an empty environment, and use it from a folder of its own."""
    venv.create(folder / "environment", with_pip=True)
    scripts = "Scripts" if sys.platform == "win32" else "bin"
    python = str(folder / "environment" / scripts / "python")
    constraints = str(ROOT / "constraints.txt")
    run(python, "-m", "pip", "install", "--quiet", "-c", constraints, str(wheel), cwd=folder)
    run(python, "-m", "pip", "check", cwd=folder)
    here = folder / "here"
    here.mkdir()

    say("The examples of README.md")
    (here / "README.md").write_bytes((ROOT / "README.md").read_bytes())
    verbose = run(python, "-W", "error", "-m", "doctest", "-v", "README.md", cwd=here)
    print("\n".join(verbose.splitlines()[-3:]))

    say("python -m unrolled.porting: a GRU to Keras, and back")
    run(python, "-c", SAVE, cwd=here)
    run(python, *PORTING, "gru.pt", "keras.npz", "--layout=keras", cwd=here)
    run(python, *PORTING, "keras.npz", "back.pt", "--layout=keras", cwd=here)
    run(python, "-c", COMPARE, cwd=here)

    say("python -m unrolled_site.language: train for three updates, and let the model write")
    run(python, *LANGUAGE, "train", "model.pt", "--steps=3", *SMALL, cwd=here)
    print(run(python, *LANGUAGE, "sample", "model.pt", "--length=60", cwd=here))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("dist", type=Path)
    parser.add_argument("--tag", help="of the release, such as v1.2.3")
    options = parser.parse_args()
    if options.tag is not None:
        check_tag(options.tag)
        say(f"The tag is {options.tag}, and everything names this version")
    # Files in the distributions are as old as the commit, whenever they are built.
    os.environ["SOURCE_DATE_EPOCH"] = run("git", "log", "-1", "--format=%ct").strip()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = build(folder / "first", ROOT)
        wheel, source = first[".whl"], first[".gz"]
        second = build(folder / "second", ROOT, "--sdist", "--wheel")
        require(same(source, second[".gz"]), "Two source distributions differ")
        require(same(wheel, second[".whl"]), "The wheels from the source and from git differ")
        say("Built twice, with the same bytes; the wheel from the source distribution too")
        check_files(wheel, source)
        check_metadata(wheel)
        say("Exactly the files that git keeps, the licence, types, and valid metadata")
        use(wheel, folder)
        options.dist.mkdir(exist_ok=True)
        for file in options.dist.iterdir():
            file.unlink()
        for file in first.values():
            (options.dist / file.name).write_bytes(file.read_bytes())
            digest = hashlib.sha256(file.read_bytes()).hexdigest()
            print(f"{digest}  {file.name}  {file.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()

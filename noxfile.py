"""What this project checks, one session each: `nox --list` shows them, `nox` runs the first three.

Needs Python 3.11 or later and nox. Each session makes its own environment with pip, at the
versions of constraints.txt; `nox -R` uses the environments that are there already.
"""

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if sys.version_info < (3, 11):
    sys.exit(
        "Unrolled needs Python 3.11 or later, and this is Python %d.%d: install a newer one and "
        "start nox with it, for example `python3.11 -m nox`." % sys.version_info[:2]
    )

import nox
import nox.command
from packaging.specifiers import SpecifierSet

nox.needs_version = ">=2025.5.1"
nox.options.default_venv_backend = "virtualenv"

ROOT = Path(__file__).parent
BUILD = ROOT / "docs" / "_build"
SITE = BUILD / "html"
SCREENSHOTS = BUILD / "screenshots"
PICTURED = ("browser", "laboratory")  # the checks that can keep them
# Two processes for each of two cores: one that waits for its kernel leaves a core to others.
STRICT = ["-T", "-n", "-W", "--keep-going", "-j", "4"]
WARNINGS = BUILD / "warnings.txt"
SPHINX = [*STRICT, "-d", str(BUILD / "doctrees"), "-w", str(WARNINGS)]
# It is there while the last build was free of warnings. Sphinx does not repeat the warnings of
# pages that it does not read again, so a build may only rest on one that had none.
CLEAN = BUILD / "clean"
# It checks the types of the laboratory's scripts; npm comes with the group `lint`.
TYPESCRIPT = "typescript@7.0.2"
EXAMPLES = ("-c", "pyproject.toml", "src", "README.md", "docs")
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
# Each of many processes imports PyTorch, and would compile it anew where this is set, as it is in
# many containers.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def install(session: nox.Session, *groups: str, package: bool = True) -> None:
    """Install dependency groups and, with `package`, the package, at the tested versions."""
    # Python compiles what is imported when it is imported; to compile all takes three times as long
    # as to install it.
    constraints = ("--no-compile", "-c", "constraints.txt")
    if package:
        try:
            session.install(*constraints, "torch")
        except nox.command.CommandFailed:
            session.error(
                "pip could not install the torch of constraints.txt for Python "
                f"{sys.version_info[0]}.{sys.version_info[1]} on {sys.platform}: use a Python that "
                "PyTorch has wheels for (3.11 to 3.14) and see 'CPU-only PyTorch' in README.md."
            )
    session.install(*constraints, *nox.project.dependency_groups(PROJECT, *groups))
    if package:
        session.install(*constraints, "--no-deps", "-e", ".")


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, lint, types, spelling, turns of phrase, and workflow files by their schemas."""
    install(session, "lint", "test", "docs", "browser")
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")
    session.run("codespell")
    for script in ("check_voice.py", "check_numbers.py", "check_markdown.py"):
        session.run("python", f"docs/_scripts/{script}")
    compiler = ("npm", "exec", "--yes", "--prefer-offline", f"--package={TYPESCRIPT}", "--")
    session.run(*compiler, "tsc", "--project", "docs/_lab")
    session.run("check-jsonschema", "--builtin-schema", "vendor.readthedocs", ".readthedocs.yaml")
    session.run(
        "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        *map(str, sorted(ROOT.glob(".github/workflows/*.yml"))),
    )
    session.run(
        "check-jsonschema", "--builtin-schema", "vendor.citation-file-format", "CITATION.cff"
    )
    session.run("shellcheck", *map(str, sorted(ROOT.glob(".ci/*"))))
    session.run("jactionlint", "--strict-exit")  # what actionlint checks and more, from a wheel
    session.run("zizmor", "--offline", "--quiet", "--persona=pedantic", ".github")


@nox.session
def tests(session: nox.Session) -> None:
    """Run all tests with branch coverage, then doctest; or pytest with the arguments after --."""
    install(session, "test")
    everything = ["-n", "auto", "--dist", "worksteal", "--cov", "--cov-report=term"]
    session.run("pytest", *(session.posargs or everything))
    if not session.posargs:
        session.run("pytest", *EXAMPLES)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site, every warning an error; prints the slowest pages and where the site is."""
    install(session, "docs")
    if os.environ.get("CI") or not CLEAN.exists():
        for folder in (SITE, BUILD / "doctrees"):
            shutil.rmtree(folder, ignore_errors=True)
    CLEAN.unlink(missing_ok=True)
    try:
        session.run("sphinx-build", *SPHINX, "-b", "html", "docs", str(SITE), *session.posargs)
    except nox.command.CommandFailed:
        # They were printed where they arose, hundreds of lines ago.
        if again := WARNINGS.read_text("utf-8"):
            session.error(f"The site was not built. Its warnings once more:\n{again}")
        raise
    if not session.posargs:  # which may have switched something off
        session.run("python", "docs/_scripts/check_pages.py", str(SITE))
        CLEAN.touch()
    print(f"The site is built: open {SITE / 'index.html'}")


@nox.session(default=False)
def doctest(session: nox.Session) -> None:
    """Run every example in docstrings, in the README and in code blocks of pages, as tests does."""
    install(session, "test")
    session.run("pytest", *EXAMPLES, *session.posargs)


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Build wheel and source, and use the wheel in an empty environment; --tag v1.2.3 after --."""
    install(session, "release", package=False)
    dist = str(ROOT / "dist")
    session.run("python", "docs/_scripts/check_release.py", dist, *session.posargs)
    print(f"The distributions are in {dist}")


@nox.session(default=False)
def mutation(session: nox.Session) -> None:
    """Change the core in every way that mutmut knows; names of modules after --, all take hours."""
    install(session, "test", "mutation")
    place = session.cache_dir / "mutation"  # it stays, so that a run that was stopped goes on
    session.run("python", "docs/_scripts/mutate.py", str(place), *session.posargs)


@nox.session(default=False)
def torch(session: nox.Session) -> None:
    """Try all with another PyTorch (and NumPy, …): -- 2.14.1 [numpy==1.26.4], newest or nightly."""
    if not session.posargs or session.posargs[0].startswith("-"):
        session.error(
            "Say which PyTorch first, and options after it: `nox -s torch -- 2.15.0 --write`, "
            "or newest, or nightly in place of the number"
        )
    version, *rest = session.posargs
    others = [word for word in rest if not word.startswith("-")]
    options = [word for word in rest if word.startswith("-")]
    pre = ("--pre",) if version == "nightly" else ()
    release = "torch" if version in ("newest", "nightly") else f"torch=={version}"
    session.install(*pre, release, *others)
    # What is here now stays; everything else is at the tested versions.
    brought = installed(session)
    asked = SpecifierSet("" if version in ("newest", "nightly") else f"=={version}")
    if "torch" not in brought or not asked.contains(brought["torch"], prereleases=True):
        there = brought.get("torch", "none")
        session.error(f"The PyTorch of this environment is {there}: run this without -R")
    new = {"torch", "sphinx", "docutils"} if pre else {"torch"}
    constraints = Path(session.create_tmp()) / "constraints.txt"
    constraints.write_text(
        "".join(
            f"{line}\n"
            for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines()
            if line.partition("==")[0].lower().replace("_", "-") not in {*brought, *new}
        ),
        "utf-8",
    )
    groups = nox.project.dependency_groups(PROJECT, "test", "docs", "torch")
    session.install(*pre, "-c", str(constraints), *groups, *others)
    session.install("-c", str(constraints), ".")  # with its dependencies: these may stay
    for name in ("torch", "numpy"):
        if (now := installed(session)[name]) != brought.get(name, now):
            session.error(f"Installing this package replaced {name} {brought[name]} by {now}")
    session.install("--no-deps", "-e", ".")
    session.run("python", "docs/_scripts/check_torch.py", *(["--site"] if pre else []), *options)


def installed(session: nox.Session) -> dict[str, str]:
    """Give the versions of what is installed in the environment of a session, by name."""
    listed = session.run("python", "-m", "pip", "list", "--format=json", silent=True)
    return {
        package["name"].lower().replace("_", "-"): package["version"]
        for package in json.loads(listed or "[]")
    }


@nox.session(default=False)
def bench(session: nox.Session) -> None:
    """Measure the speed of everything against torch.nn, for the page on speed; --quick after --."""
    install(session, "bench")
    session.run("python", "docs/_scripts/bench.py", *session.posargs)


@nox.session(default=False)
def studies(session: nox.Session) -> None:
    """Record what takes too long for each build: networks that learn, tools; -- NAME for one."""
    install(session, "docs")
    session.run("python", "docs/_scripts/record_studies.py", *session.posargs)


@nox.session(default=False)
def porting(session: nox.Session) -> None:
    """Send weights to Keras, ONNX Runtime, Flax and Equinox and back, and compare the numbers."""
    install(session, "porting")
    session.run("python", "docs/_scripts/check_porting.py", *session.posargs)


@nox.session(default=False)
def clients(session: nox.Session) -> None:
    """Train with the drop-ins inside libraries that use torch.nn, and compare the losses."""
    install(session, "clients")
    session.run("python", "docs/_scripts/check_clients.py", *session.posargs)


@nox.session(default=False)
def live(session: nox.Session) -> None:
    """Serve the site, rebuild and reload it while you edit."""
    install(session, "docs")
    CLEAN.unlink(missing_ok=True)
    session.run(
        "sphinx-autobuild",
        *("-n", "-d", str(BUILD / "doctrees")),
        *("--watch", "src", "--open-browser", "--port=0"),
        *("--ignore", "*/_build/*", "--ignore", "*/jupyter_execute/*"),
        "docs",
        str(SITE),
        *session.posargs,
    )


@nox.session(default=False)
def linkcheck(session: nox.Session) -> None:
    """Ask every link on the site whether it still leads somewhere; needs the network."""
    install(session, "docs")
    CLEAN.unlink(missing_ok=True)
    session.run("sphinx-build", *SPHINX, "-b", "linkcheck", "docs", str(BUILD / "linkcheck"))


@nox.session(default=False)
def browser(session: nox.Session) -> None:
    """Look at the built site in Chromium and search it, after docs; -- --screenshots keeps some."""
    if not (SITE / "index.html").exists():
        session.error("There is no built site to look at: run `nox -s docs` first")
    install(session, "browser")  # with torch, whose numbers the laboratory shows
    if unknown := set(session.posargs) - {"--screenshots"}:
        session.error(f"Only --screenshots can be asked for here, not {', '.join(unknown)}")
    shots = "--screenshots" in session.posargs
    with ThreadPoolExecutor(2) as pool:  # beside one that waits for a page, another goes on
        checks = []
        for name in ("browser", "laboratory", "search", "weight", "hosting"):
            script = f"docs/_scripts/check_{name}.py"
            pictured = shots and name in PICTURED
            folder = ("--screenshots", str(SCREENSHOTS / name)) if pictured else ()
            checks.append(pool.submit(session.run, "python", script, str(SITE), *folder))
    for check in checks:
        check.result()
    if shots:
        print(f"The screenshots are in {SCREENSHOTS}")


@nox.session(default=False)
def lighthouse(session: nox.Session) -> None:
    """Ask Lighthouse, which npm fetches, about the built site: run `nox -s docs` first."""
    if not (SITE / "index.html").exists():
        session.error("There is no built site to ask about: run `nox -s docs` first")
    install(session, "browser", "lighthouse", package=False)
    script = "docs/_scripts/check_lighthouse.py"
    session.run("python", script, str(SITE), str(BUILD / "lighthouse"), *session.posargs)


@nox.session(default=False)
def notebooks(session: nox.Session) -> None:
    """Run the site's notebooks from empty folders, with only the wheel: -- PAGE for some."""
    if not (SITE / "notebooks").exists():
        session.error("There are no notebooks to run: run `nox -s docs` first")
    install(session, "notebooks", package=False)
    session.install("-c", "constraints.txt", ".[pages]")  # as a reader does, not editable
    session.run("python", "docs/_scripts/check_notebooks.py", str(SITE), *session.posargs)


@nox.session(default=False)
def bundle(session: nox.Session) -> None:
    """Add the whole as a zip and an EPUB to the built site: run `nox -s docs` first."""
    if not (SITE / "index.html").exists():
        session.error("There is no built site to pack: run `nox -s docs` first")
    install(session, "docs")
    session.run("python", "docs/_scripts/check_take_away.py", str(SITE))
    book = BUILD / "epub"
    shutil.rmtree(book, ignore_errors=True)
    # Outputs come from the cache: no cell is executed again. The templates are the site's alone.
    options = ("-d", str(BUILD / "epub-doctrees"), "-D", "templates_path=", "-b", "epub")
    session.run("sphinx-build", *STRICT, *options, "docs", str(book))
    session.run("python", "docs/_scripts/make_bundle.py", str(SITE), str(book))


@nox.session(default=False)
def resized(session: nox.Session) -> None:
    """Change the sizes of the worked example in its one place and build the site again."""
    install(session, "docs")
    session.run("python", "docs/_scripts/check_resized.py", session.create_tmp(), *STRICT)


@nox.session(default=False)
def rebuilt(session: nox.Session) -> None:
    """Change one page of a built site in ways that Sphinx overlooks, and build it again."""
    install(session, "docs")
    session.run("python", "docs/_scripts/check_rebuilt.py", session.create_tmp(), *STRICT)


@nox.session(default=False)
def audit(session: nox.Session) -> None:
    """Hold licences of what is installed to a list, and ask for known vulnerabilities."""
    install(session, "lint", "test", "docs", "browser", "mutation", "audit")
    session.run("python", "docs/_scripts/check_licences.py", *session.posargs)
    listed = ("--requirement", "constraints.txt", "--no-deps", "--disable-pip")
    session.run("pip-audit", "--progress-spinner=off", *listed)


@nox.session(default=False)
def reproducible(session: nox.Session) -> None:
    """Build the last commit in two clones, paths, time zones and locales: the same bytes."""
    install(session, "docs")
    strict = STRICT if not session.posargs else []  # a part of the site lacks what it refers to
    options = [*strict, *session.posargs]
    session.run("python", "docs/_scripts/check_reproducible.py", session.create_tmp(), *options)


@nox.session(default=False)
def gates(session: nox.Session) -> None:
    """Plant a fault for every gate and see it caught; names of gates after --."""
    install(session, "lint", "test", "docs", "browser", "mutation")
    environment = {"TYPESCRIPT": TYPESCRIPT}
    script = "docs/_scripts/plant_faults.py"
    session.run("python", script, session.create_tmp(), *session.posargs, env=environment)

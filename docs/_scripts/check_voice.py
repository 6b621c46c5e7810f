"""Keep turns of phrase out of pages, docstrings and comments that no English writer would use.

    nox -s lint    # runs it over the whole project

The list is `docs/_data/voice.toml`.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent.parent
LIST = ROOT / "docs" / "_data" / "voice.toml"
READ = ("*.md", "docs/**/*.md", "src/**/*.py", "docs/_ext/*.py", "docs/_scripts/*.py")


class Habit(NamedTuple):
    """A turn of phrase, an example of it, and what to say instead."""

    pattern: re.Pattern[str]
    today: str
    instead: str
    pages: bool  # it is kept out of pages alone


def habits() -> list[Habit]:
    """Read the list."""
    listed = tomllib.loads(LIST.read_text("utf-8"))["habit"]
    return [
        Habit(
            re.compile(each["pattern"].replace(" ", r"\s+"), re.I),  # a line may end in between
            each["today"],
            each["instead"],
            each.get("pages", False),
        )
        for each in listed
    ]


def files() -> Iterator[Path]:
    """Name what is read: the pages of the site and of the project, and the source."""
    for pattern in READ:
        for path in sorted(ROOT.glob(pattern)):
            if "_build" not in path.parts:
                yield path


def found(text: str, listed: list[Habit]) -> Iterator[tuple[int, str, Habit]]:
    """Give line, words and habit. A phrase may be broken over two lines, as in a docstring."""
    joined = re.sub(r"\n[ \t]*(# )?(?=\S)", lambda m: " " * len(m[0]), text)
    for habit in listed:
        for match in habit.pattern.finditer(joined):
            yield text.count("\n", 0, match.start()) + 1, " ".join(match[0].split()), habit


def main() -> int:
    """Print what is found, one line each; the status is 1 if there is anything."""
    count, listed = 0, habits()
    for path in files():
        hits = found(path.read_text("utf-8"), listed)
        for line, words, habit in sorted(hits, key=lambda hit: hit[:2]):
            if habit.pages and path.suffix != ".md":
                continue
            count += 1
            where = f"{path.relative_to(ROOT)}:{line}"
            print(f"{where}: “{words}”, as in: {habit.today} Better: {habit.instead}")
    print(f"{count} turns of phrase to put into English." if count else "The English is clean.")
    return bool(count)


if __name__ == "__main__":
    sys.exit(main())

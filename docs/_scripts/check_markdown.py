"""Keep the Markdown of pages in form: one sentence a line.

    nox -s lint    # runs it over every page

A sentence on its own line shows in a diff as the sentence that was changed.
"""

import re
import sys
from collections.abc import Iterator

from check_numbers import Page, pages, parser
from markdown_it import MarkdownIt

# The end of a sentence with another behind it. Initials ("J. L. Elman") and "et al." end none.
TWO = re.compile(r"(?<!\b[A-Z])(?<!\bal)(?<!\bvs)[.?!][\"”’)*]* +(?=[\"“(*]*[A-Z□])")
REFERENCES = "reference/bibliography.md"  # an entry has the form of a citation
BROKEN = re.compile(r"[^.?!:;…\"”’)*□|]$")


def sentences(text: str, md: MarkdownIt) -> Iterator[tuple[int, str]]:
    """Give the line and the words where a line has two sentences, or a sentence two lines."""
    for line, words, paragraph in Page(text, md).texts:
        if not paragraph:
            continue
        lines = words.split("\n")
        for number, each in enumerate(lines):
            # One word in front of a sentence is its answer ("No.") or its heading ("**LSTM.**").
            if (match := TWO.search(each)) and " " in each[: match.start()]:
                yield line + number, f"two sentences: “{each[max(0, match.start() - 20) :][:50]}”"
            if number < len(lines) - 1 and BROKEN.search(each):
                yield line + number, f"half a sentence: “{each[-40:]}”"


def main() -> int:
    """Print what is out of form; the status is 1 if there is anything."""
    md = parser()
    wrong = [
        f"docs/{name}:{line}: {what}"
        for name, text in pages().items()
        if name != REFERENCES
        for line, what in sentences(text, md)
    ]
    print(*wrong, f"{len(wrong)} places out of form." if wrong else "Pages are in form.", sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

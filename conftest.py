"""Examples as tests: docstrings of the package, code blocks of the README and of the pages.

Code cells of the pages are not among them: the site executes those while it is built.
"""

from doctest import ELLIPSIS, NORMALIZE_WHITESPACE
from pathlib import Path

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser
from sybil.parsers.rest import DocTestParser

ROOT = str(Path(__file__).parent)
OPTIONS = ELLIPSIS | NORMALIZE_WHITESPACE

docstrings = Sybil([DocTestParser(OPTIONS)], path=f"{ROOT}/src", pattern="*.py")

# This parser sees python fences; the one of sybil.parsers.myst would also run code cells.
code_blocks = Sybil(
    [PythonCodeBlockParser(doctest_optionflags=OPTIONS)],
    path=ROOT,
    patterns=["*.md", "docs/*.md", "docs/**/*.md"],
    excludes=["docs/_build/**"],
)

pytest_collect_file = (docstrings + code_blocks).pytest()

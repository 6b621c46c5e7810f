"""What was measured or collected once, for pages to read: it comes with the package.

``bench.json`` is written by ``nox -s bench``, ``clients.json`` by ``nox -s clients``,
``networks.json``, ``long_gap.json`` and ``tools.json`` by ``nox -s studies``, and the folder
``torch`` by ``nox -s torch``; ``questions.json`` lists the questions of the site.
"""

import json
from pathlib import Path
from typing import Any

__all__ = ["FOLDER", "read"]

FOLDER = Path(__file__).parent
"""Where the files are.

:meta hide-value:
"""


def read(name: str) -> Any:
    """Read a file.

    Parameters
    ----------
    name : str
        Without its ending: ``"bench"``, ``"clients"``, ``"licences"``, ``"long_gap"``,
        ``"networks"``, ``"questions"`` or ``"tools"``.

    Returns
    -------
    dict or list
        What it holds.

    Examples
    --------
    >>> read("bench")["runs"][0]["threads"]
    1
    """
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))

"""The accounts of PyTorch versions that `nox -s torch` keeps, read and compared for a page."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .data import FOLDER

__all__ = ["changes", "code", "read", "since_when", "table"]

Accounts = Mapping[str, Mapping[str, Any]]


def read(folder: str | Path = FOLDER / "torch") -> dict[str, dict[str, Any]]:
    """Read all accounts.

    Parameters
    ----------
    folder : str or Path, optional
        Where they are kept, one file for each version: ``2.14.1.json``. If left out, in the
        package.

    Returns
    -------
    dict of str to dict
        Version to account, the oldest first.

    Raises
    ------
    ValueError
        If there is none.

    Examples
    --------
    >>> read()["2.14.1"]["messages"]["error-script"].partition(":")[0]
    'FutureWarning'
    """
    files = {file.stem: file for file in Path(folder).glob("*.json")}
    if not files:
        raise ValueError(f"folder should hold accounts, got none in {Path(folder).name}")
    versions = sorted(files, key=lambda version: [int(n) for n in re.findall(r"\d+", version)])
    return {version: json.loads(files[version].read_text("utf-8")) for version in versions}


def changes(accounts: Accounts, section: str, *fields: str) -> dict[str, list[tuple[str, str]]]:
    """Say what changed between accounts.

    Parameters
    ----------
    accounts : dict of str to dict
        As `read` gives them.
    section : str
        Such as ``"messages"``.
    *fields : str
        If the section has several values under each name: the ones to look at.

    Returns
    -------
    dict of str to list of (version, value)
        For each name whose value is not always the same: the first account, and each account that
        says something else than the one before it. Where it says nothing, the value is ``""``.

    Examples
    --------
    >>> changes({"1": {"a": {"x": "old", "y": "kept"}}, "2": {"a": {"x": "new", "y": "kept"}}}, "a")
    {'x': [('1', 'old'), ('2', 'new')]}
    """
    names = dict.fromkeys(name for account in accounts.values() for name in account[section])
    found = {}
    for name in names:
        history: list[tuple[str, str]] = []
        for version, account in accounts.items():
            value = account[section].get(name, "")
            if fields and value:
                value = ", ".join(value[field] for field in fields)
            if not history or history[-1][1] != value:
                history.append((version, value))
        if len(history) > 1:
            found[name] = history
    return found


def since_when(accounts: Accounts, kind: str) -> list[tuple[dict[str, str], str]]:
    """List what does not hold in some account, and since which account it does.

    Parameters
    ----------
    accounts : dict of str to dict
        As `read` gives them.
    kind : {"pages", "tests"}
        Sentences and assertions of pages, or tests.

    Returns
    -------
    list of (dict, str)
        What was found (``page``, ``heading``, ``said``, ``now``), and the first of the versions
        without it that are newer than all those with it, or ``""``.

    Examples
    --------
    >>> fault = {"page": "index", "heading": "One", "said": "assert one", "now": "AssertionError"}
    >>> since_when({"1": {"pages": [fault]}, "2": {"pages": []}}, "pages")[0][1]
    '2'
    """
    versions = list(accounts)
    found: dict[tuple[str, ...], tuple[dict[str, str], str]] = {}
    for version, following in zip(versions, [*versions[1:], ""], strict=True):
        for fault in accounts[version][kind]:
            found[fault["page"], fault["heading"], fault["said"]] = (fault, following)
    return list(found.values())


def code(text: str, longest: int = 160) -> str:
    r"""Set text as code in a cell of a table, cut where it is long.

    Parameters
    ----------
    text : str
        Any text; line breaks become spaces.
    longest : int, default 160
        Number of characters that are kept.

    Returns
    -------
    str
        Markdown, or nothing for no text.

    Examples
    --------
    >>> print(code("a | b"), code("`a` is long", 3))
    `a \| b` `` `a` … ``
    """
    text = " ".join(text.split())
    if len(text) > longest:
        text = text[:longest] + " …"
    text = text.replace("|", r"\|")
    if not text:
        return ""
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Set a table in Markdown.

    Parameters
    ----------
    header : sequence of str
        Titles of the columns.
    rows : iterable of sequences of str
        Cells in Markdown.

    Returns
    -------
    str
        The table.

    Examples
    --------
    >>> print(table(("name", "value"), [("a", "1")]))
    | name | value |
    | --- | --- |
    | a | 1 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

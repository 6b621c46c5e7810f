from pathlib import Path

import pytest

from unrolled_site.accounts import changes, code, read, since_when, table

ACCOUNTS = {
    "2.9.0": {"messages": {"a": "old", "b": "kept"}, "pages": [], "tests": []},
    "2.10.0": {"messages": {"a": "new", "b": "kept"}, "pages": [], "tests": []},
    "2.11.0": {"messages": {"a": "new", "b": "kept", "c": "first"}, "pages": [], "tests": []},
}


def fault(said: str, now: str = "AssertionError") -> dict[str, str]:
    return {"page": "index", "heading": "One", "said": said, "now": now}


def test_versions_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for version in ("2.10.0", "2.9.0", "2.11.0"):
        (tmp_path / f"{version}.json").write_text(f'{{"torch": "{version}"}}', "utf-8")
    assert list(read(tmp_path)) == ["2.9.0", "2.10.0", "2.11.0"]
    assert read(str(tmp_path))["2.10.0"] == {"torch": "2.10.0"}


def test_a_folder_without_accounts(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="folder should hold accounts, got none in"):
        read(tmp_path)


def test_changes_begin_with_the_oldest() -> None:
    assert changes(ACCOUNTS, "messages") == {
        "a": [("2.9.0", "old"), ("2.10.0", "new")],
        "c": [("2.9.0", ""), ("2.11.0", "first")],
    }


def test_changes_of_some_fields() -> None:
    accounts = {
        "1": {"sources": {"f": {"lines": "3 to 4", "text": "x", "link": "l1"}}},
        "2": {"sources": {"f": {"lines": "5 to 6", "text": "x", "link": "l2"}}},
    }
    assert changes(accounts, "sources", "text") == {}
    found = changes(accounts, "sources", "lines", "text")
    assert found == {"f": [("1", "3 to 4, x"), ("2", "5 to 6, x")]}


def test_since_when() -> None:
    accounts = {
        "1": {"pages": [fault("assert a"), fault("assert b"), fault("assert c")]},
        "2": {"pages": [fault("assert b", "otherwise")]},
        "3": {"pages": [fault("assert c")]},
    }
    assert [
        (found["said"], found["now"], since) for found, since in since_when(accounts, "pages")
    ] == [
        ("assert a", "AssertionError", "2"),
        ("assert b", "otherwise", "3"),
        ("assert c", "AssertionError", ""),
    ]


def test_code_is_safe_in_a_table() -> None:
    assert code("") == code(" ") == ""
    assert code("a\n  b | c") == r"`a b \| c`"
    assert code("`a` b") == "`` `a` b ``"
    assert code("abcdef", 4) == "`abcd …`"
    assert code("abcd", 4) == "`abcd`"


def test_table() -> None:
    assert table(["a", "b"], [["1", "2"], ["3", "4"]]).splitlines() == [
        "| a | b |",
        "| --- | --- |",
        "| 1 | 2 |",
        "| 3 | 4 |",
    ]

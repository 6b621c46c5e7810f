"""The installed PyTorch is as its account says, and the comparison notices where one is not."""

import json
import re
import runpy
import subprocess
import sys
import tomllib
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = pytest.mark.no_cover
ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "docs/_scripts/torch_account.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text("utf-8")
ACCOUNTS = sorted((ROOT / "src/unrolled_site/data/torch").glob("*.json"))
SUPPORTED = ("2.13.0", "2.14.1", "2.15.0")


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(SCRIPT))


@pytest.fixture(params=ACCOUNTS, ids=lambda file: file.stem)
def account(request: pytest.FixtureRequest) -> dict[str, Any]:
    return json.loads(Path(request.param).read_text("utf-8"))


def minimum() -> str:
    """Name the oldest PyTorch with which the package installs."""
    (found,) = (r for r in PROJECT["dependencies"] if r.startswith("torch"))
    return re.fullmatch(r"torch>=([\d.]+)", found)[1]  # type: ignore[index]  # no upper bound


def test_installed_torch_is_as_its_account_says(script: dict[str, Any]) -> None:
    """In a process of its own: some warnings are shown once, and other tests may have been first.

    Without an account, `nox -s torch -- VERSION --write` keeps one. What depends on the processor
    is compared where the account was taken on one of the same family.
    """
    kept = script["kept"](script["release"]())
    assert kept is not None, "there is no account of this version"
    done = subprocess.run([sys.executable, SCRIPT], check=True, capture_output=True, text=True)
    now = json.loads(done.stdout)
    same = now["taken on"] == kept["taken on"]
    sections = tuple(script["SECTIONS"]) if same else script["EVERYWHERE"]
    assert script["differences"](kept, now, sections) == []


def test_accounts_are_those_of_the_oldest_the_tested_and_the_newest() -> None:
    versions = {file.stem for file in ACCOUNTS}
    assert {minimum(), *SUPPORTED} <= versions
    tested = next(line for line in CONSTRAINTS.splitlines() if line.startswith("torch=="))
    assert tested == f"torch=={SUPPORTED[0]}", "SUPPORTED begins with torch of constraints.txt"
    workflow = (ROOT / ".github/workflows/ci.yml").read_text("utf-8")
    assert f'torch: ["{minimum()}", "newest"]' in workflow


def test_accounts_are_complete(account: dict[str, Any], script: dict[str, Any]) -> None:
    head = ["torch", "revision", "taken on", "taken with"]
    assert list(account) == [*head, *script["SECTIONS"], "docstrings", "tests", "pages"]
    assert all(account[section] for section in (*script["SECTIONS"], "docstrings"))
    assert set(account["messages"]) == set(
        json.loads((ROOT / f"src/unrolled_site/data/torch/{SUPPORTED[0]}.json").read_text("utf-8"))[
            "messages"
        ]
    )


def test_nothing_fails_with_the_versions_that_the_site_is_written_for(
    account: dict[str, Any], script: dict[str, Any]
) -> None:
    """With an older one, some sentences do not hold; its account lists them."""
    fails = [*account["tests"], *account["pages"]]
    lacking = {name for name, verdict in account["features"].items() if verdict != "works"}
    assert (fails == [] and not lacking) or account["torch"] not in SUPPORTED
    assert lacking <= {script["NEW"]}
    assert not any("not within" in verdict for verdict in account["equality"].values())


@pytest.mark.parametrize("section", ["shapes", "sources", "messages", "defaults", "features"])
def test_every_change_is_noticed(section: str, script: dict[str, Any]) -> None:
    kept = script["kept"](SUPPORTED[0])
    assert script["differences"](kept, kept) == []
    changed = deepcopy(kept)
    name = next(iter(changed[section]))
    changed[section][name] = "other"
    found = script["differences"](kept, changed)
    assert {(each.page, each.heading.partition(":")[0]) for each in found} == {
        (f"account: {section}", name.partition(":")[0])
    }
    del changed[section][name]
    assert all(each.now == "(nothing)" for each in script["differences"](kept, changed))
    assert all(each.said == "(nothing)" for each in script["differences"](changed, kept))


def test_messages_do_not_depend_on_where_they_are_raised(script: dict[str, Any]) -> None:
    plain = script["plain"]
    long = "word " * 100
    assert plain("\x1b[1mat\x1b[0m 0x7f21a0\n  in /opt/lib/torch/rnn.py") == "at 0x… in …/rnn.py"
    assert plain("W1128 20:37:57.130000 27895 torch/a.py:183] no GPU") == "torch/a.py:183] no GPU"
    assert plain("see https://pytorch.org/docs/a.html") == "see https://pytorch.org/docs/a.html"
    assert plain(long).endswith("…")
    assert len(plain(long)) < len(long)


def test_a_difference_beyond_the_bound_is_said(script: dict[str, Any]) -> None:
    one = torch.ones(3, dtype=torch.float64)
    nearness = script["nearness"]
    assert nearness([one], [one]) == "bit for bit"
    assert nearness([one], [one], exact=False) == "within 1e-12"
    assert nearness([one + 1e-13], [one]) == "within 1e-12"
    assert nearness([one + 1e-11], [one]) == "not within 1e-12"
    with pytest.raises(AssertionError, match="not within"):
        script["_check"]((one + 1, one), (one, one))


def fault(heading: str, now: str = "AssertionError") -> dict[str, str]:
    return {"page": "index", "heading": heading, "said": "assert one", "now": now}


def test_what_fails_now_and_what_no_longer_fails(script: dict[str, Any]) -> None:
    kept = script["kept"](SUPPORTED[0])
    before = {**kept, "pages": [fault("a"), fault("b", "ValueError")]}
    now = {**kept, "pages": [fault("a", "other digits"), fault("c")]}
    found = script["compared"](before, now)
    assert [(each.heading, each.said, each.now) for each in found] == [
        ("c", "assert one", "AssertionError"),
        ("b", "failed: ValueError", "as the page or the test says"),
    ]
    assert script["compared"](before, before) == []
    assert [each.heading for each in script["compared"](kept, {**kept, "tests": [fault("t")]})] == [
        "t"
    ]


def test_a_difference_names_the_page_that_speaks_of_it(script: dict[str, Any]) -> None:
    kept = script["kept"](SUPPORTED[0])
    for section, name, page in (
        ("messages", "error-script", "practice/errors_training"),
        ("messages", "error-size-zero", "practice/errors_building"),
        ("docstrings", next(iter(kept["docstrings"])), "module/official_docs"),
        ("features", "torch.export", "account: features"),
    ):
        changed = deepcopy(kept)
        changed[section][name] = "other"
        (found,) = script["compared"](kept, changed)
        assert (found.page, found.heading, found.now) == (page, name, "other")


def test_a_new_version_is_compared_with_the_one_before(script: dict[str, Any]) -> None:
    newest = max(ACCOUNTS, key=lambda file: [int(n) for n in file.stem.split(".")]).stem
    assert script["nearest"]("100.0.0.dev20270101") == newest
    assert script["nearest"](SUPPORTED[1]) == SUPPORTED[1]
    assert script["nearest"]("2.14.0") == SUPPORTED[0]
    assert script["nearest"]("1.0") in {file.stem for file in ACCOUNTS}

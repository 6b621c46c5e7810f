import re
from pathlib import Path

from unrolled_site import accounts, data

CONSTRAINTS = Path(__file__).parent.parent / "constraints.txt"


def test_what_pages_read_comes_with_the_package() -> None:
    names = {"bench", "clients", "licences", "long_gap", "networks", "questions", "tools"}
    assert {file.stem for file in data.FOLDER.glob("*.json")} == names
    assert all(data.read(name) for name in names)
    assert set(accounts.read()) == {file.stem for file in (data.FOLDER / "torch").glob("*.json")}


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.lower())


def test_licences_are_those_of_the_tested_versions() -> None:
    lines = CONSTRAINTS.read_text("utf-8").splitlines()
    pinned = {_name(name): version for name, _, version in (line.partition("==") for line in lines)}
    listed = data.read("licences")
    assert len(listed) > 100
    for package in listed:
        assert pinned[_name(package["name"])] == package["version"], package

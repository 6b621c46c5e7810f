from unrolled_site import accounts, data


def test_what_pages_read_comes_with_the_package() -> None:
    names = {"bench", "clients", "long_gap", "networks", "questions"}
    assert {file.stem for file in data.FOLDER.glob("*.json")} == names
    assert all(data.read(name) for name in names)
    assert set(accounts.read()) == {file.stem for file in (data.FOLDER / "torch").glob("*.json")}

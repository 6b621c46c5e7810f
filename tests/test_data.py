from unrolled_site import accounts, data


def test_what_pages_read_comes_with_the_package() -> None:
    assert {file.stem for file in data.FOLDER.glob("*.json")} == {"bench", "clients", "questions"}
    assert data.read("clients")["rows"]
    assert data.read("questions")
    assert set(accounts.read()) == {file.stem for file in (data.FOLDER / "torch").glob("*.json")}

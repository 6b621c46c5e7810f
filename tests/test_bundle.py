"""The zip and the book of the site, and the look at what readers take away."""

import runpy
import zipfile
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parent.parent / "docs/_scripts"
bundle: dict[str, Any] = runpy.run_path(str(SCRIPTS / "make_bundle.py"))
look: dict[str, Any] = runpy.run_path(str(SCRIPTS / "check_take_away.py"))
OPF = (
    "<dc:rights>2026, us</dc:rights><dc:date>2026-11-29T12:00:00Z</dc:date>"
    '<item id="epub-1" href="one.xhtml" media-type="application/xhtml+xml" />'
    '<item id="epub-2" href="two.xhtml" media-type="application/xhtml+xml" />'
)


def site(folder: Path, names: list[str]) -> Path:
    for name in names:
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"what {name} holds", "utf-8")
    return folder


def test_a_zip_of_the_same_files_is_the_same(tmp_path: Path) -> None:
    names = ["index.html", "_static/a.css", "b/c.html", ".buildinfo", "unrolled.epub"]
    one = bundle["make_zip"](site(tmp_path / "one", names))
    other = bundle["make_zip"](site(tmp_path / "other", names[::-1]))
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:
        assert archive.namelist() == [
            f"unrolled-site/{name}" for name in ("_static/a.css", "b/c.html", "index.html")
        ]
    assert bundle["make_zip"](tmp_path / "one").read_bytes() == other.read_bytes()  # not itself


def book_of(folder: Path, pages: dict[str, str]) -> Path:
    """Write what Sphinx's builder of an EPUB leaves."""
    folder.mkdir()
    for name, text in pages.items():
        (folder / name).write_text(text, "utf-8")
    with zipfile.ZipFile(folder / "Unrolled.epub", "w") as archive:
        for name, text in {"content.opf": OPF, **pages, "mimetype": "application/epub+zip"}.items():
            archive.writestr(name, text)
    return folder


def test_a_book_says_what_its_pages_hold_and_not_when_it_was_made(tmp_path: Path) -> None:
    pages = {"one.xhtml": "<p><svg/><math/></p>", "two.xhtml": "<p/>"}
    book = book_of(tmp_path / "book", pages)
    made = bundle["make_epub"](site(tmp_path / "site", ["index.html"]), book)
    with zipfile.ZipFile(made) as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        manifest = archive.read("content.opf").decode()
    assert "<dc:date>2026-01-01T00:00:00Z</dc:date>" in manifest
    assert (
        'href="one.xhtml" media-type="application/xhtml+xml" properties="svg mathml" />' in manifest
    )
    assert 'href="two.xhtml" media-type="application/xhtml+xml" />' in manifest


def test_a_page_of_a_book_that_is_not_xml_is_refused(tmp_path: Path) -> None:
    book = book_of(tmp_path / "book", {"one.xhtml": "<p><br></p>", "two.xhtml": "<p/>"})
    with pytest.raises(SystemExit, match=r"one\.xhtml in the EPUB is not XML"):
        bundle["make_epub"](site(tmp_path / "site", ["index.html"]), book)


def test_a_book_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="There is no EPUB"):
        bundle["make_epub"](tmp_path, tmp_path)


@pytest.mark.parametrize(
    "planted",
    [
        "See {ref}`one-step`.",
        "It is {glue:text}`value`.",
        ":::{note}\nx\n:::",
        "(label)=\n",
        "It is {{ n }}.",
        r"$\act{\tanh}(x)$",
        r"$\xt$",
        "in /home/somebody/unrolled/docs",
        "```text\n/tmp/build/docs/index.md\n```",
    ],
)
def test_what_must_not_be_left_over_is_found(planted: str) -> None:
    assert list(look["leftovers"](f"A sentence.\n\n{planted}\n"))


@pytest.mark.parametrize(
    "allowed", ["`{ref}` is a role", "```python\nx = '{ref}`y`'\n```", "$x_t$ and `/proc/self`"]
)
def test_what_code_is_about_is_not_left_over(allowed: str) -> None:
    assert not list(look["leftovers"](allowed))

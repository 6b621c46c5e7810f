"""Make what readers download whole: the site as a zip, and as an EPUB.

``python docs/_scripts/make_bundle.py SITE EPUB`` takes the built site and the folder in which
Sphinx has built the EPUB, and adds ``unrolled-site.zip`` and ``unrolled.epub`` to the site. Each
page of the EPUB has to be XML, as the devices of readers want it. Both files are the same, byte for
byte, whenever they are made of the same files: names are sorted, and dates are left out.
"""

import re
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

NAME = "unrolled-site"  # the folder that the zip unpacks into
NO_DATE = (1980, 1, 1, 0, 0, 0)  # where the calendar of zip files begins
MIMETYPE = "mimetype"  # an EPUB begins with it, stored as it is
# What an EPUB has to say of a page with drawings, formulas or links to other hosts.
PROPERTIES = {"svg": "<svg", "mathml": "<math"}


def pack(file: Path, members: Iterable[tuple[str, bytes]]) -> None:
    """Write a zip; an EPUB is one, whose first member is not compressed."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in sorted(members, key=lambda member: (member[0] != MIMETYPE, member)):
            info = zipfile.ZipInfo(name, NO_DATE)
            info.create_system = 3  # Unix, on any system
            info.external_attr = 0o644 << 16
            how = zipfile.ZIP_STORED if name == MIMETYPE else zipfile.ZIP_DEFLATED
            archive.writestr(info, content, compress_type=how)


def files_of(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def with_properties(manifest: str, folder: Path) -> str:
    """Let the list of files of an EPUB say which hold drawings and formulas; Sphinx does not."""

    def item(found: re.Match[str]) -> str:
        text = (folder / found["href"]).read_text("utf-8")
        held = [name for name, element in PROPERTIES.items() if element in text]
        return found[0].replace("/>", f'properties="{" ".join(held)}" />') if held else found[0]

    return re.sub(
        r'<item id="[^"]+" href="(?P<href>[^"]+\.xhtml)" media-type="[^"]+" />', item, manifest
    )


def make_zip(site: Path) -> Path:
    """Pack the site, without what is made of it here."""
    made = site / f"{NAME}.zip"
    left_out = {made.name, "unrolled.epub", ".buildinfo"}
    names = sorted(set(files_of(site)) - left_out)
    pack(made, ((f"{NAME}/{name}", (site / name).read_bytes()) for name in names))
    return made


def make_epub(site: Path, folder: Path) -> Path:
    """Pack the EPUB again, with what it has to say, and without dates."""
    made = site / "unrolled.epub"
    listed = next(folder.glob("*.epub"), None)
    if listed is None:
        sys.exit(f"There is no EPUB in {folder}: Sphinx builds it with -b epub")
    with zipfile.ZipFile(listed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name in members:
        if name.endswith(".xhtml"):
            try:
                ElementTree.fromstring(members[name])
            except ElementTree.ParseError as error:
                sys.exit(f"{name} in the EPUB is not XML: {error}")
    manifest = with_properties(members["content.opf"].decode(), folder)
    # The time of the build gives way to the year of the copyright.
    year = re.search(r"<dc:rights>(\d{4})", manifest)
    day = f"{year[1] if year else 1980}-01-01T00:00:00Z"
    members["content.opf"] = re.sub(r"\d{4}-\d\d-\d\dT[\d:]+Z", day, manifest).encode()
    pack(made, members.items())
    return made


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("Say where the site and the EPUB are: make_bundle.py docs/_build/html …/epub")
    site, epub = map(Path, sys.argv[1:])
    if not (site / "index.html").exists():
        sys.exit(f"There is no site in {site}: run `nox -s docs` first")
    for made in (make_zip(site), make_epub(site, epub)):
        print(f"{made}: {made.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

"""Every known mistake has a section of the site that explains it."""

from pathlib import Path

from unrolled import MISTAKES
from unrolled_site.explanations import SECTIONS

DOCS = Path(__file__).parents[1] / "docs"


def test_each_mistake_is_explained_and_nothing_else() -> None:
    assert SECTIONS.keys() == {mistake.name for mistake in MISTAKES}


def test_the_sections_are_there() -> None:
    for page, label in SECTIONS.values():
        assert f"\n({label})=\n" in (DOCS / f"{page}.md").read_text("utf-8")

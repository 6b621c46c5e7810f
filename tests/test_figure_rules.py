"""The rules that every figure keeps, whatever it shows."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest

from tests import test_figures as general
from tests import test_figures_flow as flow
from tests import test_figures_language as language
from tests import test_figures_module as module
from tests.test_figures import tree
from unrolled_site.figures import PALETTE, Figure

SVG = "{http://www.w3.org/2000/svg}"
Drawings = dict[str, Callable[[], Figure]]

PLACED: Drawings = {**module.FIGURES, **flow.FIGURES}
INSIDE: Drawings = {**general.FIGURES, **language.FIGURES, **PLACED}
FIGURES: Drawings = {**INSIDE, **flow.COMPOSED}


@cache
def layouts(draw: Callable[[], Figure]) -> list[Figure]:
    """Draw a figure; give its layout for a phone and, if it has one, that for wide columns."""
    figure = draw()
    return [figure] if figure.wide is None else [figure, figure.wide]


@pytest.fixture(scope="module", params=FIGURES)
def drawings(request: pytest.FixtureRequest) -> list[Figure]:
    return layouts(FIGURES[request.param])


def test_no_figure_hides_another_of_its_name() -> None:
    parts = (general.FIGURES, language.FIGURES, module.FIGURES, flow.FIGURES, flow.COMPOSED)
    assert len(FIGURES) == sum(map(len, parts))


@pytest.mark.no_cover
def test_a_figure_is_valid_xml_and_says_what_it_shows(drawings: list[Figure]) -> None:
    for figure in drawings:
        for standalone in (False, True):
            root = tree(figure, standalone)
            space = SVG if standalone else ""
            name = figure.identifier
            assert root.attrib["role"] == "img"
            assert root.attrib["aria-labelledby"] == f"{name}-title {name}-desc"
            assert root.findtext(f"{space}title") == figure.title
            assert root.findtext(f"{space}desc") == figure.description
        page = figure._repr_html_()
        assert page.count("<svg") == (1 if figure.wide is None else 2)
        assert ET.fromstring(page).attrib["class"] == "u-figure"
        assert "\n\n" not in page  # a blank line ends raw HTML in Markdown


@pytest.mark.no_cover
def test_every_id_is_unique_and_every_reference_has_its_target(drawings: list[Figure]) -> None:
    for figure in drawings:
        markup = figure.svg()
        ids = re.findall(r'\bid="([^"]+)"', markup)
        assert len(ids) == len(set(ids))
        assert set(re.findall(r'(?:href="|url\()#([^")]+)', markup)) <= set(ids)


@pytest.mark.no_cover
def test_colours_are_those_of_the_palette(drawings: list[Figure]) -> None:
    for figure in drawings:
        markup = figure.svg()
        assert not re.search(
            r"#[0-9a-fA-F]{3,8}\b(?!-)|rgb|hsl", re.sub(r'"#u[^"]*"|\(#u[^)]*\)', "", markup)
        )
        classes = {c for value in re.findall(r'class="([^"]+)"', markup) for c in value.split()}
        assert classes <= {f"u-{name}" for name in PALETTE} | {"f-math", "f-var", "f-code", "f-dim"}
        assert set(re.findall(r"var\(--u-(\w+)\)", markup)) <= set(PALETTE)
        for node in tree(figure).iter():
            for name in ("fill", "stroke"):
                assert node.attrib.get(name, "none") in {"none", "currentColor"}


@pytest.mark.no_cover
def test_nothing_moves_runs_or_loads(drawings: list[Figure]) -> None:
    for figure in drawings:
        tags = {node.tag for node in tree(figure).iter()}
        assert not tags & {"script", "style", "animate", "metadata", "image", "foreignObject", "a"}
        assert "http" not in figure.svg()


@pytest.mark.no_cover
def test_text_is_large_enough_on_a_phone(drawings: list[Figure]) -> None:
    for figure in drawings:
        sizes = [
            float(re.sub("px", "", size))
            for size in re.findall(r'font-size(?:="|: )([\d.]+(?:px)?)', figure.svg())
        ]
        assert min(sizes) >= 11.4


@pytest.mark.no_cover
@pytest.mark.parametrize("name", INSIDE)
def test_everything_lies_inside(name: str) -> None:
    for figure in layouts(INSIDE[name]):
        for node in tree(figure).iter():
            if {"x", "y", "width", "height"} <= node.attrib.keys() and node.tag == "rect":
                x, y, width, height = (float(node.attrib[k]) for k in ("x", "y", "width", "height"))
                assert x >= 0
                assert y >= 0
                assert x + width <= figure.width
                assert y + height <= figure.height
            if node.tag == "text" and "y" in node.attrib:
                assert 10 <= float(node.attrib["y"]) <= figure.height - 2


@pytest.mark.no_cover
@pytest.mark.parametrize("name", module.FIGURES)
def test_no_wire_and_no_edge_crosses_a_text(name: str) -> None:
    for figure in layouts(module.FIGURES[name]):
        x, y = np.array(list(module.strokes(figure))).reshape(-1, 2).T
        for content, (left, upper, right, lower) in module.texts(figure):
            inside = (left < x) & (x < right) & (upper < y) & (y < lower)
            assert not inside.any(), (content, x[inside], y[inside])


@pytest.mark.parametrize("name", PLACED)
def test_no_two_texts_overlap_and_none_leaves_the_drawing(name: str) -> None:
    for figure in layouts(PLACED[name]):
        placed = list(module.texts(figure))
        for index, (content, (left, upper, right, lower)) in enumerate(placed):
            assert left >= 0, content
            assert right <= figure.width, content
            for other, box in placed[:index]:
                apart = box[2] <= left or right <= box[0] or box[3] <= upper or lower <= box[1]
                assert apart, (content, other)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_the_same_in_every_build(name: str) -> None:
    assert FIGURES[name]().svg() == layouts(FIGURES[name])[0].svg()

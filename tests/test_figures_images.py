"""Figures outside the site: images that bring their colours."""

import base64
import re
import sys
import xml.etree.ElementTree as ET
from types import SimpleNamespace
from typing import Any

import pytest

from unrolled_site import figures
from unrolled_site.figures import PALETTE, Figure, as_images, image


def drawn(html: str) -> ET.Element:
    data = re.search(r'src="data:image/svg\+xml;base64,([^"]+)"', html)
    assert data
    return ET.fromstring(base64.b64decode(data[1]))


def test_an_image_has_the_drawing_its_colours_and_its_words() -> None:
    figure = Figure("A line", 'It is "<" 3.', '<path d="M0 0h9"/>', 10, caption="Below.")
    html = image(figure._repr_html_())
    assert html.startswith('<figure><img alt="A line. It is &quot;&lt;&quot; 3" src="data:image')
    assert html.endswith("><figcaption>Below.</figcaption></figure>")
    root = drawn(html)
    assert (root.get("viewBox"), root.get("width"), root.get("height")) == (
        "0 0 360 10",
        "540",
        "15",
    )
    style = "".join(root.itertext())
    assert all(token.light in style for token in PALETTE.values())
    assert "prefers-color-scheme" not in style  # the paper is white, whatever the reader prefers


def test_of_two_layouts_an_image_has_the_wide_one() -> None:
    figure = figures.small_example()
    assert figure.wide is not None
    root = drawn(image(figure._repr_html_()))
    assert root.get("viewBox") == f"0 0 {figure.wide.width:g} {figure.wide.height:g}"
    assert root.get("width") == f"{figure.wide.width:g}"


@pytest.mark.parametrize(
    ("html", "message"),
    [("<p>none</p>", "html should hold an <svg>"), ("<svg></svg>", "should have a viewBox")],
)
def test_what_is_no_drawing(html: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        image(html)


def test_a_notebook_shows_images_from_now_on() -> None:
    shown: dict[Any, Any] = {}
    formatter = SimpleNamespace(for_type=shown.__setitem__)
    shell: Any = SimpleNamespace(
        display_formatter=SimpleNamespace(formatters={"text/html": formatter})
    )
    as_images(shell)
    assert "<img" in shown[Figure](Figure("A line", "One.", "<path/>", 10))


def test_without_a_notebook_nothing_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    ipython: Any = SimpleNamespace(get_ipython=lambda: None)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    as_images()

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from tests import test_figures as general
from unrolled_site.figures import Figure
from unrolled_site.figures.language import text_streams, unit_over_text
from unrolled_site.figures.svg import WIDTH

TEXT = 'so <be> it & "no"\n\nAnd then, again, she went on: nothing, & <nothing> at all.'
VALUES = torch.linspace(-1, 1, len(TEXT))
WORDS = {"title": "A unit", "description": "It rises."}
FIGURES: dict[str, Callable[[], Figure]] = {
    "streams": lambda: text_streams(["to be or not", "< & >\n'twas,", "            "], 4),
    "streams-most": lambda: text_streams([TEXT[n : n + 18] for n in range(5)], 3, caption="<5>"),
    "streams-one": lambda: text_streams(["a"], 1),
    "unit": lambda: unit_over_text(TEXT, VALUES, **WORDS),
    "unit-one": lambda: unit_over_text("\n", [0.0], caption="a < b", **WORDS),
}


def test_streams_show_every_character_the_states_and_the_gradients() -> None:
    figure = FIGURES["streams"]()
    root = general.tree(figure)
    shown = "".join(node.text or "" for node in root.iter("text"))
    letters = "tobeornot<&>'twas,"
    assert sorted(re.sub(r"chunk \d", "", shown)) == sorted(letters + "↵")
    colours = [node.attrib.get("class") for node in root.iter("g")]
    assert colours.count("u-h") == 3 * 2  # a state of three streams, from chunk to chunk
    assert colours.count("u-grad") == 3
    boxes = [node for node in root.iter("rect") if node.attrib["class"] == "u-x"]
    assert len(boxes) == 36
    right = max(float(node.attrib["x"]) + float(node.attrib["width"]) for node in boxes)
    assert right <= WIDTH
    assert 'stream 2 reads "< & >↵\'twas,"' in figure.description


def bars(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """Give place and length of the bars above and below the axis."""
    found: dict[str, list[tuple[float, float]]] = {"u-h": [], "f-dim": []}
    for node in general.tree(figure).iter("path"):
        if node.attrib["fill"] == "currentColor":
            pieces = re.findall(r"M([\d.]+) [\d.]+h[\d.]+v(-?[\d.]+)h", node.attrib["d"])
            found[node.attrib["class"]] += [(float(x), -float(v)) for x, v in pieces]
    return found


def test_a_bar_stands_under_every_character_on_the_side_of_its_value() -> None:
    figure = FIGURES["unit"]()
    heights = bars(figure)
    above, below = heights["u-h"], heights["f-dim"]
    assert len(above) + len(below) == len(TEXT)
    ordered = [height for _, height in (*below, *above)]  # the values rise
    assert ordered == pytest.approx((10 * VALUES).tolist(), abs=0.01)
    rows = list(general.tree(figure).iter("text"))
    assert "".join(node.text or "" for node in rows) == TEXT.replace("\n", "↵").replace(
        " ", "\u00a0"
    )
    cell = float(rows[0].attrib["textLength"]) / len(rows[0].text or "")
    places = sorted(x for x, _ in (*above, *below))
    assert places[0] == places[1] == pytest.approx(float(rows[0].attrib["x"]) + 0.75)  # two rows
    assert places[-1] == pytest.approx(places[0] + 47 * cell, abs=0.02)
    shades = [
        float(node.attrib["fill-opacity"])
        for node in general.tree(figure).iter("rect")
        if node.attrib["class"] == "u-h"
    ]
    assert shades == sorted(shades)
    assert shades[-1] == 0.35


def test_the_description_says_where_the_unit_is_largest_and_smallest() -> None:
    figure = unit_over_text("no, yes", [0.1, -0.2, -0.9, 0.4, 0.3, 0.8, 0.8], **WORDS)
    assert figure.description == (
        "It rises. Largest: 0.80 after 'no, ye' at character 6 of 7. "
        "Smallest: −0.90 after 'no,' at character 3 of 7."
    )


BAD: Any = 2.0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: text_streams([], 1), ValueError, "rows should be 1 to 5 of them, got 0"),
        (lambda: text_streams(["a"] * 6, 1), ValueError, "rows should be 1 to 5 of them, got 6"),
        (lambda: text_streams(["ab", "a"], 1), ValueError, r"got lengths \[2, 1\]"),
        (lambda: text_streams(["abc"], 2), ValueError, r"multiple of L = 2, .* lengths \[3\]"),
        (lambda: text_streams([""], 2), ValueError, r"got lengths \[0\]"),
        (lambda: text_streams(["a" * 20], 2), ValueError, r"at most 18, got lengths \[20\]"),
        (lambda: text_streams(["ab"], BAD), TypeError, "L should be int, got float"),
        (lambda: text_streams(["ab"], 0), ValueError, "L should be 1 to 18, got 0"),
        (lambda: unit_over_text("ab", [0.0], **WORDS), ValueError, r"should have shape \(2,\)"),
        (lambda: unit_over_text("", [], **WORDS), ValueError, "should have shape"),
        (lambda: unit_over_text("a", ["x"], **WORDS), TypeError, "values should be numbers"),
        (lambda: unit_over_text("a", [1.5], **WORDS), ValueError, r"from -1 to 1, got 1\.5"),
        (lambda: unit_over_text("a", [-1.5], **WORDS), ValueError, r"from -1 to 1, got -1\.5"),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()

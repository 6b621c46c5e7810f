import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise, product
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from tests import test_figures as general
from tests.strategies import FEWER
from unrolled.shapes import parameter_shapes
from unrolled_site import figures
from unrolled_site.figures import PALETTE, Figure
from unrolled_site.figures.svg import WIDTH, text_width

BAD: Any = 1  # neither True nor False
BOTH = (False, True)
LENGTHS = ([1], [5, 3, 2], [3, 5, 2], [8, 1, 7, 2, 6, 3, 5, 4], [8] * 8, [1] * 8, [1, 8], [2, 2])
SIZES = ((20, 7, 10), (12, 7, 7), (64, 16, 3), (2, 1, 1), (20, 19, 1000), (9999, 9998, 9999))
RATIOS = {"textbook": [1.3, 2.6, 1.2, 1.05], "in_place": [0.5, 0.625, 0.7, 0.76]}
HEADS = {"N": [3, 1, 32, 64], "L": [5, 100, 128, 256]}
FIGURES: dict[str, Callable[[], Figure]] = {
    "ladder": lambda: figures.ladder(RATIOS, HEADS, title="Rungs", caption="All < 3."),
    "ladder-bounds": lambda: figures.ladder(
        {"nn.RNN": [1.0, 1.0], "products alone": [0.25, 0.5], "fast": [0.5, 1.5]},
        {"N": [3, 32], "H_{out}": [20, 512]},
        title="Rungs",
        quartiles={"fast": [(0.4, 0.6), (1.25, 2.0)]},
        bounds=["products alone"],
    ),
    "ladder-slow": lambda: figures.ladder({"slow": [2.0]}, {}, title="One number"),
    "ladder-one": lambda: figures.ladder({"<fast>": [0.25]}, {}, title="One number"),
    "lstm_cell": figures.lstm_cell,
    "gru_cell": figures.gru_cell,
    **{
        f"layer_stack-{arguments}": partial(figures.layer_stack, *arguments)
        for arguments in product((1, 2, 3, 4), BOTH, BOTH)
    },
    **{
        f"output_and_states-{arguments}": partial(figures.output_and_states, *arguments)
        for arguments in product((1, 2, 5, 6), (1, 2, 3), BOTH, BOTH)
    },
    **{f"packing-{lengths}": partial(figures.packing, lengths) for lengths in LENGTHS},
    **{f"projection-{sizes}": partial(figures.projection, *sizes) for sizes in SIZES},
    **{
        f"backward_through_time-{L}": partial(figures.backward_through_time, L) for L in range(1, 7)
    },
}


# Where things lie.

Rectangle = tuple[float, float, float, float]


def plain(run: str | None) -> str:
    """Leave out the empty character that leads back to the baseline."""
    return (run or "").replace("\u200b", "")


def texts(figure: Figure) -> Iterator[tuple[str, Rectangle]]:
    """Give every line of text with an estimate of where it lies: left, upper, right, lower."""
    for node in general.tree(figure).iter("text"):
        size, code = float(node.attrib["font-size"]), "f-code" in node.attrib.get("class", "")
        width = 0.0
        for part in node.iter():
            own = float(part.attrib.get("font-size", size))
            tail = "" if part is node else plain(part.tail)
            width += text_width(plain(part.text), own, "code" if code else "plain")
            width += text_width(tail, size) + float(part.attrib.get("dx", 0))
        x, y = float(node.attrib["x"]), float(node.attrib["y"])
        left = x - width * {"middle": 0.5, "end": 1.0}.get(node.attrib.get("text-anchor", ""), 0.0)
        yield plain("".join(node.itertext())), (left, y - 0.6 * size, left + width, y)


def strokes(figure: Figure) -> Iterator[tuple[float, float]]:
    """Give points along every wire, and along the outline of every box."""
    for node in general.tree(figure).iter():
        corners: list[tuple[float, float]] = []
        if node.tag == "path" and node.attrib["fill"] == "none":
            numbers = [float(value) for value in re.findall(r"-?[\d.]+", node.attrib["d"])]
            corners = list(zip(numbers[::2], numbers[1::2], strict=True))
        elif node.tag == "rect" and node.attrib.get("stroke-opacity", "1") != "0":
            x, y, width, height = (float(node.attrib[k]) for k in ("x", "y", "width", "height"))
            corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
        for (x0, y0), (x1, y1) in pairwise(corners):
            for part in range(101):
                yield x0 + (x1 - x0) * part / 100, y0 + (y1 - y0) * part / 100


# What the drawings show.


def words(figure: Figure) -> list[str]:
    return [content for content, _ in texts(figure)]


def arrows(figure: Figure) -> list[tuple[str, tuple[float, float], tuple[float, float]]]:
    """Give the token, the start and the tip of every arrow."""
    found = []
    for node in general.tree(figure).iter("g"):
        if [child.tag for child in node] == ["path", "path"]:
            start, tip = (re.findall(r"-?[\d.]+", child.attrib["d"])[:2] for child in node)
            token = node.attrib.get("class", "")[2:]
            found.append(
                (token, (float(start[0]), float(start[1])), (float(tip[0]), float(tip[1])))
            )
    return found


def nodes(figure: Figure) -> list[tuple[str, float, float]]:
    """Give the sign and the place of every operation."""
    signs = [c for c in words(figure) if c in {"×", "+"}]
    places = [
        (float(node.attrib["cx"]), float(node.attrib["cy"]))
        for node in general.tree(figure).iter("circle")
        if float(node.attrib["r"]) > 5
    ]
    return [(sign, *place) for sign, place in zip(signs, places, strict=True)]


def operands(figure: Figure) -> list[tuple[str, list[str]]]:
    """Give for every operation the tokens of the wires that end at its circle.

    The wire of the state, which runs through along the top, has no arrow there.
    """
    return [
        (
            sign,
            sorted(
                token
                for token, _, tip in arrows(figure)
                if abs(tip[0] - x) <= 10.01 and abs(tip[1] - y) <= 10.01
            ),
        )
        for sign, x, y in nodes(figure)
    ]


def test_an_lstm_multiplies_and_adds_what_the_formula_says() -> None:
    found = sorted(operands(figures.lstm_cell()))
    assert found == [("+", ["c"]), ("×", ["", "go"]), ("×", ["gf"]), ("×", ["gg", "gi"])]


def test_a_gru_multiplies_and_adds_what_the_formula_says() -> None:
    found = sorted(operands(figures.gru_cell()))
    # The candidate: r times the product, plus the input; then (1 - z) times it, plus z h.
    assert found == [
        ("+", ["gn", "gn"]), ("+", ["h"]), ("×", ["gn", "gr"]), ("×", ["gn", "gz"]), ("×", ["gz"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("draw", "gates"), [(figures.lstm_cell, "ifgo"), (figures.gru_cell, "rzn")]
)
def test_every_gate_stands_in_the_drawing_of_its_cell(
    draw: Callable[[], Figure], gates: str
) -> None:
    figure = draw()
    for gate in gates:
        symbol = PALETTE[f"g{gate}"].symbol
        assert symbol.replace("{", "").replace("}", "") in figure.description
        assert f"{gate}t" in words(figure)
        assert f'class="u-g{gate}"' in figure.body
    assert {"tanh", "σ"} <= set(words(figure))
    # The bias of the candidate stands inside the product that r multiplies.
    assert ("+ bhn" in words(figure)) == (gates == "rzn")


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("bidirectional", BOTH)
def test_each_layer_has_the_names_of_its_parameters_and_the_order_of_h_n(
    num_layers: int, bidirectional: bool
) -> None:
    rnn = nn.RNN(3, 4, num_layers, bidirectional=bidirectional)
    names = [n.removeprefix("weight_hh") for n in rnn.state_dict() if n.startswith("weight_hh")]
    figure = figures.layer_stack(num_layers, bidirectional)
    drawn = words(figure)
    assert [word for word in drawn if word.startswith("_l")] == names
    assert [word for word in drawn if word.startswith("h_n")] == [
        f"h_n[{index}]" for index in range(rnn(torch.zeros(2, 3))[1].shape[0])
    ]
    assert re.findall(r"h_n\[\d\]", figure.description) == [f"h_n[{i}]" for i in range(len(names))]
    assert drawn.count("H_in") == drawn.count("input") == drawn.count("output") == 1
    assert drawn.count("2 · H_out" if bidirectional else "H_out") == num_layers
    assert drawn.count("forward") == drawn.count("reverse") == bidirectional * num_layers


@pytest.mark.parametrize("num_layers", [1, 2, 3, 4])
@pytest.mark.parametrize("bidirectional", BOTH)
def test_dropout_lies_between_layers_only(num_layers: int, bidirectional: bool) -> None:
    figure = figures.layer_stack(num_layers, bidirectional, dropout=True)
    assert words(figure).count("dropout") == num_layers - 1
    assert figure.description.endswith("That is output; no dropout comes after it.")
    between = [upper for content, (_, upper, _, _) in texts(figure) if content == "dropout"]
    tops = [upper for content, (_, upper, _, _) in texts(figure) if content.startswith("_l")]
    assert all(min(tops) < upper < max(tops) for upper in between)
    assert "dropout" not in figures.layer_stack(num_layers, bidirectional).description


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", BOTH)
def test_the_states_are_where_pytorch_has_them(num_layers: int, bidirectional: bool) -> None:
    L, H = 5, 4
    lstm = nn.LSTM(3, H, num_layers, bidirectional=bidirectional)
    output, (h_n, c_n) = lstm(torch.randn(L, 3))
    figure = figures.output_and_states(L, num_layers, bidirectional, cell_state=True)
    listed = re.findall(
        r"(h|c)_n\[(\d)\] is layer (\d)(?:, (forward|reverse),)? at t = (\d)", figure.description
    )
    assert [int(index) for _, index, *_ in listed] == 2 * list(range(h_n.shape[0]))
    D = 1 + bidirectional
    for kind, index, layer, way, t in listed:
        direction = int(way == "reverse")
        assert int(index) == D * int(layer) + direction
        if kind == "h" and int(layer) == num_layers - 1:
            block = output[int(t) - 1, H * direction : H * (direction + 1)]
            assert torch.equal(h_n[int(index)], block)
    drawn = words(figure)
    assert len([word for word in drawn if word.startswith("h_n")]) == h_n.shape[0]
    assert len([word for word in drawn if word.startswith("c_n")]) == c_n.shape[0]
    assert drawn.count("h") == drawn.count("c") == L * D * num_layers


@pytest.mark.parametrize("bidirectional", BOTH)
@pytest.mark.parametrize("cell_state", BOTH)
def test_the_frame_holds_the_output_and_nothing_else(bidirectional: bool, cell_state: bool) -> None:
    L, D = 6, 1 + bidirectional
    figure = figures.output_and_states(L, 3, bidirectional, cell_state)
    (frame,) = (
        node for node in general.tree(figure).iter("rect") if node.attrib["stroke-width"] == "1.75"
    )
    x, y, width, height = (float(frame.attrib[k]) for k in ("x", "y", "width", "height"))
    inside = [
        content
        for content, (left, upper, right, lower) in texts(figure)
        if x < left and right < x + width and y < upper and lower < y + height
    ]
    assert inside == L * D * ["h"]
    # The last state of the forward direction is dark at the right, of the reverse one at the left.
    tips = [tip[0] for token, _, tip in arrows(figure) if token == "h"]
    assert sum(tip > x + width for tip in tips) == 3
    assert sum(tip < x for tip in tips) == 3 * bidirectional


def order_of(figure: Figure) -> list[str]:
    return figure.description.partition("without padding: ")[2].partition(". ")[0].split(", ")


@given(st.lists(st.integers(1, 8), min_size=1, max_size=8))
@FEWER
def test_packing_is_that_of_pytorch(lengths: list[int]) -> None:
    padded = torch.zeros(len(lengths), max(lengths), dtype=torch.int64)
    for index, length in enumerate(lengths):
        padded[index, :length] = 10 * index + torch.arange(1, length + 1)
    in_order = lengths == sorted(lengths, reverse=True)
    packed = pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=in_order)
    names = [f"{'abcdefgh'[value // 10]}{value % 10}" for value in packed.data.tolist()]
    figure = figures.packing(lengths)
    assert order_of(figure) == names
    drawn = words(figure)
    assert drawn.count("0") == (1 if in_order else 2) * (padded == 0).sum()
    cells = [word for word in drawn if re.fullmatch(r"[a-h]\d", word)]
    assert cells[-len(names) :] == names
    assert len(cells) == (2 if in_order else 3) * len(names)
    assert f"batch_sizes = {packed.batch_sizes.tolist()}" in drawn
    for kind in ("sorted_indices", "unsorted_indices"):
        indices = getattr(packed, kind)
        found = [word for word in drawn if word.startswith(f"{kind} = ")]
        assert found == ([] if indices is None else [f"{kind} = {indices.tolist()}"])


def test_lengths_may_be_a_tensor() -> None:
    assert figures.packing(torch.tensor([3, 5, 2])) == figures.packing((3, 5, 2))


@pytest.mark.parametrize("sizes", SIZES)
def test_a_projection_names_every_width(sizes: tuple[int, int, int]) -> None:
    H, P, H_in = sizes
    figure = figures.projection(H, P, H_in)
    drawn = words(figure)
    shapes = parameter_shapes("LSTM", H_in, H, proj_size=P)
    for name in ("weight_ih", "weight_hh", "weight_hr"):
        shape = shapes[f"{name}_l0"]
        assert name in drawn
        assert str(shape) in drawn
        assert f"{name} {shape}" in figure.description
    assert drawn.count(f"hidden_size = {H}") == 2  # c_t, and what is projected
    assert drawn.count(f"proj_size = {P}") == 2  # h_{t-1} and h_t
    without = parameter_shapes("LSTM", H_in, H)["weight_hh_l0"]
    assert f"without a projection {without}" in drawn


def test_a_projection_is_to_scale() -> None:
    body = figures.projection(20, 7, 10).body
    rectangles = [n.attrib for n in ET.fromstring(f"<g>{body}</g>").iter("rect")]
    widths = [float(attributes["width"]) for attributes in rectangles]
    unit = widths[1] / 20
    assert widths[:9] == pytest.approx(
        [unit * n for n in (7, 20, 20, 20, 20, 20, 20, 10, 7)], abs=0.01
    )
    weights = [(float(a["width"]), float(a["height"])) for a in rectangles[9:]]
    cell = weights[0][1] / 80
    expected = [(10, 80), (20, 80), (7, 80), (20, 7)]
    for found, (columns, rows) in zip(weights, expected, strict=True):
        assert found == pytest.approx((cell * columns, cell * rows), abs=0.01)


def test_gates_that_are_too_narrow_have_no_names() -> None:
    assert "i" in words(figures.projection(20, 7, 10))
    assert "i" not in words(figures.projection(20, 7, 1000))


@pytest.mark.parametrize("L", range(1, 7))
def test_every_state_has_a_gradient_that_goes_the_other_way(L: int) -> None:
    figure = figures.backward_through_time(L)
    forward = [(start, tip) for token, start, tip in arrows(figure) if token in "hx"]
    back = [(start, tip) for token, start, tip in arrows(figure) if token == "grad"]
    # To the right L + 1 states, up L states and L inputs; the other way as many gradients, and
    # from each copy one to the parameters.
    assert len(forward) == 3 * L + 1
    assert len(back) == 4 * L + 1
    for start, tip in forward:
        assert tip[0] > start[0] if tip[1] == start[1] else tip[1] < start[1]
    for start, tip in back:
        assert tip[0] < start[0] if tip[1] == start[1] else tip[1] > start[1]
    across = [sum(start[1] == tip[1] for start, tip in some) for some in (forward, back)]
    assert across == [L + 1, L + 1]

    drawn = words(figure)
    names = [f"{symbol}{t}" for t in range(1, L + 1) for symbol in "hx"]
    assert sorted(word for word in drawn if word in names) == sorted(names)
    assert {"loss", "h0", "hn", "∂h0", "∂hn", "∂Wih,  ∂Whh,  ∂bih,  ∂bhh"} <= set(drawn)
    assert drawn.count("tanh") == (L if L <= 5 else 0)  # it needs room


def test_a_ladder_has_one_scale_and_fills_what_is_faster() -> None:
    figure = figures.ladder(RATIOS, HEADS, title="Rungs")
    values = [value for row in RATIOS.values() for value in row]
    bars = [node.attrib for node in ET.fromstring(figure.svg()).iter("rect")][: len(values)]
    scale = float(bars[0]["width"]) / values[0]
    for bar, value in zip(bars, values, strict=True):
        assert float(bar["width"]) == pytest.approx(scale * value, abs=0.01)
        assert (bar["fill"] == "none") == (value >= 1)
    # In each bar a mark where the ratio is 1.
    marks = [float(x) for x in re.findall(r'd="M([\d.]+) [\d.]+L\1 ', figure.body)]
    expected = [float(bar["x"]) + scale for bar in bars]
    assert marks == pytest.approx(expected, abs=0.01)
    assert "0.62" in words(figure)
    assert "For N 1, L 100: textbook 2.60, in_place 0.62." in figure.description


def test_a_ladder_of_fast_things_has_room_for_the_reference() -> None:
    figure = figures.ladder({"fast": [0.25]}, {}, title="One number")
    bar, _ = ET.fromstring(figure.svg()).iter("rect")  # and the one of the legend
    assert float(bar.attrib["x"]) + 4 * float(bar.attrib["width"]) <= WIDTH
    assert figure.description.endswith("is faster. fast 0.25.")


def test_a_ladder_tells_a_lower_bound_from_an_implementation() -> None:
    figure = FIGURES["ladder-bounds"]()
    assert figure.wide is not None
    assert "fast 0.50 (0.40 to 0.60)" in figure.description
    assert figure.description.endswith("Lower bounds, not implementations: products alone.")
    legend = ["faster", "not faster", "lower bound, not an implementation", "quartiles"]
    for drawing in (figure, figure.wide):
        assert words(drawing)[-4:] == legend
        assert words(drawing).count("lower bound") == 1
        assert words(drawing).count("nn.RNN") == 3  # a row, and the line in both columns
        bars = [node.attrib for node in ET.fromstring(drawing.svg()).iter("rect")]
        dashed = ["stroke-dasharray" in bar for bar in bars]
        assert dashed == [False, False, True, True, False, False, False, False, True]
    # A whisker goes from quartile to quartile, measured from the left edge of its bar.
    first, scale = bars[4], float(bars[4]["width"]) / 0.5
    whiskers = re.findall(
        r'd="M([\d.]+) ([\d.]+)L([\d.]+) \2"[^>]*stroke-width="1"', figure.wide.body
    )
    low, high = (float(edge) - float(first["x"]) for edge in (whiskers[0][0], whiskers[0][2]))
    assert (low, high) == pytest.approx((0.4 * scale, 0.6 * scale), abs=0.02)


# Bad input.


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: figures.ladder({"a": [1]}, {}, title="t", bounds=["b"]),
            ValueError,
            "bounds should be rows of the ladder, got 'b'",
        ),
        *(
            (
                partial(figures.ladder, {"a": [1]}, {}, title="t", quartiles=quartiles),
                ValueError,
                message,
            )
            for quartiles, message in (
                ({"b": [(1, 1)]}, "quartiles['b'] should belong to a row, one pair for each ratio"),
                ({"a": []}, "quartiles['a'] should belong to a row, one pair for each ratio"),
                (
                    {"a": [(2, 1)]},
                    "quartiles['a'] should be above 0, the lower first, got (2.0, 1.0)",
                ),
            )
        ),
        (lambda: figures.layer_stack(0), ValueError, "num_layers should be 1 to 4, got 0"),
        (lambda: figures.layer_stack(5), ValueError, "num_layers should be 1 to 4, got 5"),
        (lambda: figures.layer_stack(True), TypeError, "num_layers should be int, got bool"),
        (
            lambda: figures.layer_stack(1, BAD),
            TypeError,
            "bidirectional should be bool, got int",
        ),
        (
            lambda: figures.layer_stack(1, False, BAD),
            TypeError,
            "dropout should be bool, got int",
        ),
        (lambda: figures.output_and_states(7, 1), ValueError, "L should be 1 to 6, got 7"),
        (
            lambda: figures.output_and_states(5, 4),
            ValueError,
            "num_layers should be 1 to 3, got 4",
        ),
        (
            lambda: figures.output_and_states(5, 2, BAD),
            TypeError,
            "bidirectional should be bool, got int",
        ),
        (
            lambda: figures.output_and_states(5, 2, False, BAD),
            TypeError,
            "cell_state should be bool, got int",
        ),
        (
            lambda: figures.packing(3),
            TypeError,
            "lengths should be a sequence of int, got int",
        ),
        (lambda: figures.packing([]), ValueError, "lengths should be 1 to 8 of them, got 0"),
        (lambda: figures.packing([1] * 9), ValueError, "lengths should be 1 to 8 of them, got 9"),
        (lambda: figures.packing([3, 0]), ValueError, "lengths should be 1 to 8, got 0"),
        (lambda: figures.packing([9]), ValueError, "lengths should be 1 to 8, got 9"),
        (
            lambda: figures.packing([general.BAD]),
            TypeError,
            "lengths should be int, got float",
        ),
        (
            lambda: figures.ladder({}, {}, title="None"),
            ValueError,
            "ratios should have at least one row, got none",
        ),
        (
            lambda: figures.ladder({"a": [1] * 5}, {}, title="Five"),
            ValueError,
            "ratios should have 1 to 4 columns, got 5",
        ),
        (
            lambda: figures.ladder({"a": [1], "b": [1, 2]}, {}, title="Ragged"),
            ValueError,
            "ratios['b'] should have shape (1,), got shape (2,)",
        ),
        (
            lambda: figures.ladder({"a": [1, 0]}, {}, title="Zero"),
            ValueError,
            "ratios['a'] should be numbers above 0, got 0.0",
        ),
        (
            lambda: figures.ladder({"a": [1]}, {"N": [1, 2]}, title="Heads"),
            ValueError,
            "heads['N'] should have 1 entries, got 2",
        ),
        (
            lambda: figures.backward_through_time(0),
            ValueError,
            "L should be 1 to 6, got 0",
        ),
        (
            lambda: figures.backward_through_time(general.BAD),
            TypeError,
            "L should be int, got float",
        ),
        (
            lambda: figures.projection(1, 1, 1),
            ValueError,
            "hidden_size should be 2 to 9999, got 1",
        ),
        (
            lambda: figures.projection(20, 20, 10),
            ValueError,
            "proj_size should be 1 to 19, got 20",
        ),
        (
            lambda: figures.projection(20, 7, 0),
            ValueError,
            "input_size should be 1 to 9999, got 0",
        ),
    ],
)
def test_bad_input_is_named(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()

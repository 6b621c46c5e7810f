import ast
import itertools
import math
import re
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.strategies import FEWER
from unrolled.shapes import parameter_count, parameter_shapes
from unrolled_site import figures
from unrolled_site.figures import PALETTE, Figure
from unrolled_site.figures.blocks import cell_size, cells
from unrolled_site.figures.charts import _tick, spread
from unrolled_site.figures.svg import box, element, group, line, number, text, text_width

BAD: Any = 2.0
SVG = "{http://www.w3.org/2000/svg}"
SENTENCE = ("Alicia", "likes", "pets", "and", "has", "adopted", "a", "dog", "called", "Oliver")


def example(
    H_in: int = 10, H_out: int = 20, N: int = 3, L: int = 5, nonlinearity: str = "tanh"
) -> dict[str, Any]:
    """Give the operands and the results of PyTorch's own module."""
    torch.manual_seed(0)
    rnn = torch.nn.RNN(H_in, H_out, batch_first=True, nonlinearity=nonlinearity)
    x, h_0 = torch.randn(N, L, H_in), torch.randn(1, N, H_out)
    with torch.no_grad():
        output, _ = rnn(x, h_0)
        projected = torch.nn.functional.linear(x, *rnn.all_weights[0][::2])
    return {
        "x": x,
        "h_0": h_0[0],
        "output": output,
        "projected": projected,
        **{name[:-3]: p.detach() for name, p in rnn.named_parameters()},
    }


def step(nonlinearity: str = "tanh", **sizes: Any) -> Figure:
    e = example(nonlinearity=nonlinearity, **sizes)
    operands = (e["weight_ih"], e["bias_ih"], e["h_0"], e["weight_hh"], e["bias_hh"])
    return figures.step_equation(e["x"][:, 0], *operands, e["output"][:, 0], nonlinearity)


def loop(draw: Any, nonlinearity: str = "tanh", **sizes: Any) -> Figure:
    e = example(nonlinearity=nonlinearity, **sizes)
    operands = (e["projected"][0], e["weight_hh"], e["bias_hh"], e["h_0"][0])
    return draw(*operands, e["output"][0], nonlinearity)


def head(features: int = 4, **sizes: Any) -> Figure:
    states = example(**sizes)["output"][:, 0]
    linear = torch.nn.Linear(states.shape[1], features)
    with torch.no_grad():
        return figures.output_layer(states, linear.weight, linear.bias, linear(states))


def projection(highlight: tuple[int, int] | None = None, **sizes: Any) -> Figure:
    e = example(**sizes)
    x, w = e["x"][0], e["weight_ih"].T
    names = ("x", "W_{ih}^{⊤}", "xW_{ih}^{⊤}")
    return figures.product(x, w, x @ w, names, ("x", "wih", None), highlight)


PLOT: dict[str, Any] = {
    "title": "Recall",
    "description": "Accuracy falls with the gap.",
    "x_label": "gap",
}
FIGURES: dict[str, Callable[[], Figure]] = {
    "folded": figures.folded,
    **{f"unrolled-{L}": partial(figures.unrolled, L) for L in range(1, 9)},
    **{kind: partial(figures.sequence_problem, kind) for kind in figures.KINDS},
    "many-to-one-sizes": lambda: figures.sequence_problem("many-to-one", (3, 5, 10), (3,)),
    "sequence_problems": figures.sequence_problems,
    "step": step,
    "step-relu": lambda: step("relu"),
    "step-large": lambda: step(H_in=64, H_out=64, N=8),
    "step-small": lambda: step(H_in=1, H_out=1, N=1),
    "step-break": lambda: step(H_in=100, H_out=70, N=2),
    "head": head,
    "head-wide": lambda: head(H_out=64, features=12),
    "parameter_loops": lambda: figures.parameter_loops("RNN_TANH", 10, 20),
    "parameter_loops-large": lambda: figures.parameter_loops(
        "LSTM", 1000, 1024, 3, bidirectional=True, proj_size=7
    ),
    "gate_sizes": lambda: figures.gate_sizes(20),
    "gate_sizes-1": lambda: figures.gate_sizes(1),
    "parameter_blocks": lambda: figures.parameter_blocks("RNN_TANH", 10, 20),
    "parameter_blocks-large": lambda: figures.parameter_blocks(
        "LSTM", 10, 20, 2, bidirectional=True, proj_size=7
    ),
    "uniform_draw": lambda: figures.uniform_draw(example()["weight_hh"], 20**-0.5),
    "uniform_draw-few": lambda: figures.uniform_draw([0.1, 0.5], 0.5, "my_parameter", 60),
    "product": lambda: projection((1, 3)),
    "product-numbers": lambda: projection((0, 0), H_in=3, H_out=4, L=3),
    "product-break": lambda: projection((0, 69), H_in=100, H_out=70),
    "recurrence": lambda: loop(figures.recurrence),
    "recurrence-relu": lambda: loop(figures.recurrence, "relu", L=8),
    "recurrence-small": lambda: loop(figures.recurrence, H_out=2, L=1),
    "broadcast_picture": lambda: loop(figures.broadcast_picture),
    "broadcast_picture-relu": lambda: loop(figures.broadcast_picture, "relu", H_out=64),
    "influence": lambda: figures.influence(SENTENCE, np.linspace(-1, 2, len(SENTENCE))),
    "influence-zero": lambda: figures.influence(["a"], [0], caption="Nothing <happens>."),
    "states_over_time": lambda: figures.states_over_time(example()["output"][0]),
    "states_over_time-1": lambda: figures.states_over_time([[12.5]], "c_{t}", "c"),
    "states_over_time-break": lambda: figures.states_over_time(np.ones((80, 3))),
    "legend": figures.legend,
    "legend-tokens": lambda: figures.legend(["x", "h"], marks=False),
    "legend-marks": lambda: figures.legend([]),
    "lines": lambda: figures.lines(
        range(4), {"RNN & co": [1, 0.5, 0.4, 0.3], "none": [0] * 4}, y_label="accuracy", **PLOT
    ),
    "lines-log": lambda: figures.lines(
        range(1, 40), {"norm": [10.0**-k for k in range(39)]}, y_label="norm", **PLOT,
        tokens=["grad"], log_x=True, log_y=True,
    ),
    "histogram": lambda: figures.histogram({"a": [0.1, 0.2], "b": [0.3]}, bins=4, **PLOT),
    "histogram-one": lambda: figures.histogram({"a": [1, 1]}, tokens=["whh"], **PLOT),
    "bars": lambda: figures.bars({"GRU": 3, "LSTM": 4}, y_label="gates", **PLOT),
    "bars-tokens": lambda: figures.bars({"r": 3}, y_label="rows", tokens=["gr"], **PLOT),
}  # fmt: skip


def tree(figure: Figure, standalone: bool = False) -> ET.Element:
    return ET.fromstring(figure.svg(standalone))


def test_a_file_carries_its_colours() -> None:
    markup = figures.folded().svg(standalone=True)
    assert "prefers-color-scheme: dark" in markup
    assert PALETTE["whh"].light in markup
    assert PALETTE["whh"].dark in markup


def test_a_caption_is_optional_and_escaped() -> None:
    plain = figures.folded()
    assert "figcaption" not in plain._repr_html_()
    assert "<figcaption>a &lt; b</figcaption>" in plain.captioned("a < b")._repr_html_()
    assert plain.captioned("a").identifier != plain.identifier


# What the drawings show.


def pieces(markup: str) -> int:
    return sum(d.count("M") for d in re.findall(r' d="([^"]+z)"', markup))


@given(
    st.integers(1, 80), st.integers(1, 80), st.floats(0.5, 45), st.sampled_from((None, "h", "whh"))
)
@FEWER
def test_a_block_has_one_cell_for_each_number(
    rows: int, columns: int, cell: float, token: str | None
) -> None:
    markup = cells(0, 0, [[1.0] * columns] * rows, cell, token)
    shown = [count if count <= 64 else 60 for count in (rows, columns)]
    assert pieces(markup) == math.prod(shown)
    assert ET.fromstring(f"<g>{markup}</g>") is not None
    breaks = 2 * (rows > 64) + 2 * (columns > 64)
    assert len(re.findall(r'd="M[^z"]*"', markup)) == breaks


def test_a_cell_shows_sign_and_magnitude_without_colour() -> None:
    markup = cells(0, 0, [[1.0, -1.0, 0.5, -0.5, 0.0]], 10, None)
    paths = [n.attrib for n in ET.fromstring(f"<g>{markup}</g>").iter("path")]
    filled = [float(p["fill-opacity"]) for p in paths if p["fill"] == "currentColor"]
    hollow = [float(p["stroke-opacity"]) for p in paths if p["fill"] == "none"]
    assert filled == hollow == [0.55, 1.0]
    assert pieces(markup) == 4


def test_a_small_negative_cell_is_a_dot() -> None:
    filled = cells(0, 0, [[1.0]], 2, None)
    dot = cells(0, 0, [[-1.0]], 2, None)
    assert "h2v2h-2z" in filled
    assert "h0.8v0.8h-0.8z" in dot


def test_large_cells_show_their_numbers() -> None:
    markup = cells(0, 0, [[0.256, -1.5], [0.0, 123.4]], 40, "h")
    assert re.findall(r">([^<>]+)</text>", markup) == ["0.26", "−1.50", "0.00", "123"]
    assert "<text" not in cells(0, 0, [[0.256]], 38, "h")


def test_the_step_names_every_shape() -> None:
    description = step().description
    for shape in ("(3, 10)", "(10, 20)", "(20,)", "(3, 20)", "(20, 20)"):
        assert shape in description
        assert f">{shape}</text>" in step().svg()
    assert pieces(step().svg()) == 3 * 10 + 10 * 20 + 20 + 3 * 20 + 20 * 20 + 20 + 3 * 20


@pytest.mark.parametrize("name", ["weight_hh", "weight_ih", "bias_ih", "bias_hh"])
def test_a_step_that_is_not_the_formula_is_not_drawn(name: str) -> None:
    e = example(H_in=20)
    e[name] = e[name].T if name.startswith("weight") else 0 * e[name]
    with pytest.raises(ValueError, match="h_t should be the result of the formula, got one off by"):
        figures.step_equation(
            e["x"][:, 0], e["weight_ih"], e["bias_ih"], e["h_0"], e["weight_hh"], e["bias_hh"],
            e["output"][:, 0],
        )  # fmt: skip


def test_the_output_layer_is_not_part_of_the_module() -> None:
    figure = head()
    assert "not part of nn.RNN" in figure.description
    assert ">nn.RNN</text>" in figure.body
    assert ">yours</text>" in figure.body
    assert "stroke-dasharray" in figure.body
    with pytest.raises(ValueError, match="y_t should be the result"):
        figures.output_layer([[1.0]], [[1.0]], [0.0], [[2.0]])


def test_a_product_frames_the_row_and_column_of_one_element() -> None:
    e = example()
    value = (e["x"][0] @ e["weight_ih"].T)[1, 3].item()
    figure = projection((1, 3))
    assert (
        "x (5, 10) times W_ih transposed (10, 20) is xW_ih transposed (5, 20)."
        in figure.description
    )
    assert f"{value:.2f}".replace("-", "−") in figure.description
    assert figure.body.count('stroke-width="1.75"') == 3
    assert projection().body.count('stroke-width="1.75"') == 0


def test_the_loop_draws_every_step_and_its_state() -> None:
    for L in (1, 5, 8):
        figure = loop(figures.recurrence, L=L)
        # h_0, and three strips for each step, of 20 cells each, and one head for each arrow
        assert pieces(figure.body) == 20 * (1 + 3 * L) + 2 * L
        assert (
            len(re.findall(r'class="u-h"><path d="[^"]+" fill="none" stroke="c', figure.body)) == L
        )


def test_the_broadcast_is_wrong_from_the_second_step_on() -> None:
    e = example()
    first = e["h_0"][0] @ e["weight_hh"].T + e["bias_hh"]
    article = torch.tanh(e["projected"][0] + first)
    errors = (article - e["output"][0]).abs().amax(1).tolist()
    assert errors[0] < 1e-6
    assert min(errors[1:]) > 0.5
    figure = loop(figures.broadcast_picture)
    assert "Step 1: right." in figure.description
    for t, error in enumerate(errors[1:], 2):
        assert f"Step {t}: wrong by {error:.2g}." in figure.description
    assert len(re.findall(r">wrong by [\d.]+</text>", figure.body)) == 4


@pytest.mark.parametrize("draw", [figures.recurrence, figures.broadcast_picture])
def test_states_that_the_loop_does_not_give_are_not_drawn(draw: Any) -> None:
    e = example()
    operands = (e["projected"][0], e["weight_hh"], e["bias_hh"], e["h_0"][0])
    with pytest.raises(ValueError, match="states should be the result of the formula"):
        draw(*operands, e["output"][1])


@pytest.mark.parametrize("mode", ["RNN_TANH", "RNN_RELU", "LSTM", "GRU"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_parameters_are_drawn_with_their_names_and_shapes(
    mode: str, bidirectional: bool, bias: bool
) -> None:
    arguments = (mode, 10, 20, 2, bias, bidirectional, 7 if mode == "LSTM" else 0)
    blocks, loops = figures.parameter_blocks(*arguments), figures.parameter_loops(*arguments)
    for name, shape in parameter_shapes(*arguments).items():
        assert f">{name}</text>" in blocks.body
        assert f"{name} {shape}" in blocks.description
        assert f"{name} {shape}" in loops.description
    assert f"; {parameter_count(*arguments)} in all." in blocks.description
    assert len(re.findall(r'fill-opacity="0.18"', blocks.body)) == len(parameter_shapes(*arguments))


def test_parameter_blocks_are_to_scale() -> None:
    body = figures.parameter_blocks("RNN_TANH", 10, 20).body
    sizes = [
        (float(n.attrib["width"]), float(n.attrib["height"]))
        for n in ET.fromstring(f"<g>{body}</g>").iter("rect")
    ]
    (w_ih, h_ih), (w_hh, h_hh), *_ = sizes
    assert w_hh == pytest.approx(2 * w_ih, abs=0.02)
    assert h_ih == h_hh == w_hh


def test_layer_input_size_is_shown_where_it_changes() -> None:
    body = figures.parameter_loops("GRU", 10, 20, 3, bidirectional=True).body
    assert re.findall(r">layer_input_size = (\d+)<", body) == ["10", "40", "40"]
    assert ">= 2 · 20<" in body
    assert ">= 20<" in figures.parameter_loops("GRU", 10, 20, 2).body


def test_gates_are_stacked() -> None:
    figure = figures.gate_sizes(20)
    assert re.findall(r"gate_size (\d+)", figure.description) == ["20", "20", "60", "80"]
    tokens = re.findall(r'class="u-(\w+)"/>', figure.body)
    assert tokens == ["h", "h", "gr", "gz", "gn", "gi", "gf", "gg", "go"]


def test_the_histogram_of_a_draw_counts_every_number() -> None:
    values = example()["weight_hh"]
    figure = figures.uniform_draw(values, 20**-0.5, bins=10)
    heights = [float(h) for h in re.findall(r'height="([\d.]+)" rx', figure.body)]
    counts = np.histogram(values, 10, (-(20**-0.5), 20**-0.5))[0]
    assert np.array(heights) / sum(heights) == pytest.approx(counts / 400, abs=2e-4)
    assert "400 numbers" in figure.description
    with pytest.raises(ValueError, match=r"values should be magnitudes up to the bound 0.1"):
        figures.uniform_draw(values, 0.1)
    with pytest.raises(ValueError, match="bound should be a positive number, got 0"):
        figures.uniform_draw([0.0], 0)


def test_influence_wraps_and_says_the_numbers() -> None:
    figure = figures.influence(SENTENCE, range(len(SENTENCE)), digits=1)
    assert figure.description.endswith("The largest is Oliver.")
    assert figure.height > figures.influence(["a"], [1]).height
    for word in SENTENCE:
        assert f">{word}</text>" in figure.body


def test_kinds_have_the_right_inputs_and_outputs() -> None:
    counts = {}
    for kind in figures.KINDS:
        body = figures.sequence_problem(kind).body
        boxes = re.findall(
            r'fill-opacity="([\d.]+)"[^>]*?stroke-width="1.25"(?: class="u-(\w))?', body
        )
        inputs = sum(token == "x" for _, token in boxes)
        outputs = sum(fill == "0.04" for fill, _ in boxes)
        states = sum(token == "h" for _, token in boxes)
        counts[kind] = (inputs, states, outputs)
    assert counts == {
        "one-to-one": (1, 0, 1),
        "one-to-many": (1, 3, 3),
        "many-to-one": (3, 3, 1),
        "encoder-decoder": (2, 4, 2),
        "in-step": (3, 3, 3),
    }
    assert "Input (3, 5, 10), answer (3,)." in FIGURES["many-to-one-sizes"]().description


def test_the_legend_has_every_token() -> None:
    description = figures.legend().description
    assert all(token.meaning in description for token in PALETTE.values())
    assert figures.legend([]).description.startswith("Filled: positive")


def test_series_differ_without_colour() -> None:
    series = {str(k): [k, k] for k in range(8)}
    body = figures.lines([0, 1], series, y_label="y", **PLOT).body
    assert len(re.findall(r"<path id=\"u\w+-m[0-9a-f]+\"", body)) == 8 + 2  # markers and two ticks
    assert len(set(re.findall(r"stroke-dasharray: ([\d., ]+)", body))) == 3
    # No symbol's colour on what is not that symbol.
    assert "var(--u-" not in body
    assert {"stroke: currentColor", "stroke: var(--pst-color-text-muted, currentColor)"} <= set(
        re.findall(r"stroke: [^;\"]*", body)
    )


def test_the_axes_have_the_ink_of_the_page() -> None:
    body = FIGURES["lines-log"]().body
    assert "currentColor" in body
    assert "var(--u-grad)" in body
    assert "DejaVu" not in body
    assert ">10⁻" in body


def test_ticks_of_a_logarithmic_axis() -> None:
    values = [0.001, 1, 100, 1e-5, 3e-12, 1e5, -2e-7]
    assert [_tick(v, 0) for v in values] == [
        "0.001",
        "1",
        "100",
        "10⁻⁵",
        "3·10⁻¹²",
        "10⁵",
        "−2·10⁻⁷",
    ]


def test_ticks_stand_where_it_was_measured() -> None:
    body = figures.lines([1, 8, 64], {"a": [1, 2, 3]}, y_label="y", log_x=True, **PLOT).body
    labels = re.findall(r">([^<>\s]+)</text>", body)
    assert labels[:3] == ["1", "8", "64"]


def test_lines_have_their_names_at_their_ends() -> None:
    series = {"low": [3, 0, 1], "high": [1, 2, 9], "two words that are long": [0, 0, 1]}
    body = figures.lines([0, 1, 2], series, y_label="y", **PLOT).body
    assert "legend" not in body
    names = ("high", "low", "two words that", "are long")
    found = [
        re.search(rf'<text [^>]*x="([\d.]+)" y="([\d.]+)"[^>]*>{name}<', body) for name in names
    ]
    places = [(float(match[1]), float(match[2])) for match in found if match]
    assert len({x for x, _ in places}) == 1
    heights = [y for _, y in places]
    # Upside down; both lines end at 1, where "low" comes down from further above.
    assert heights == sorted(heights)
    assert min(b - a for a, b in itertools.pairwise(heights)) > 12


def test_a_bound_is_a_thin_line_without_markers() -> None:
    series = {"peak": [2, 2], "measured": [1, 1.5]}
    plain = figures.lines([0, 1], series, y_label="y", **PLOT).body
    bounded = figures.lines([0, 1], series, y_label="y", bounds=["peak"], **PLOT).body
    assert plain.count("<use") == bounded.count("<use") + 2
    assert bounded.count("stroke-width: 0.9") == 1
    with pytest.raises(ValueError, match=r"^bounds should be names of series, got 'roof'$"):
        figures.lines([0, 1], series, y_label="y", bounds=["roof"], **PLOT)


@pytest.mark.parametrize("names", [["a" * 25, "b"], [f"{k} with a long name" for k in range(8)]])
def test_names_that_have_no_room_stand_in_a_legend(names: list[str]) -> None:
    body = figures.lines([0, 1], {name: [0, 1] for name in names}, y_label="y", **PLOT).body
    legend = body[body.index("legend") :]
    assert all(f">{name}</text>" in legend for name in names)


def test_long_names_stand_below_each_other_in_the_legend() -> None:
    def rows(names: list[str]) -> int:
        body = figures.histogram({name: [0, 1] for name in names}, **PLOT).body
        legend = body[body.index("legend") :]
        return len(set(re.findall(r'<text [^>]* y="([\d.]+)"', legend)))

    assert rows(["a", "b"]) == 1
    assert rows(["a" * 25, "b" * 25]) == 2


@given(st.lists(st.tuples(st.floats(-50, 250), st.sampled_from((14.0, 28.0))), max_size=7))
def test_names_are_pushed_apart_and_stay_in_order(labels: list[tuple[float, float]]) -> None:
    wanted, heights = [place for place, _ in labels], [height for _, height in labels]
    places = spread(wanted, heights, 200.0)
    order = sorted(range(len(labels)), key=wanted.__getitem__)
    for a, b in itertools.pairwise(order):
        assert places[b] - places[a] >= (heights[a] + heights[b]) / 2 - 1e-9
    for place, height in zip(places, heights, strict=True):
        assert height / 2 - 1e-9 <= place <= 200 - height / 2 + 1e-9
    if len(labels) == 1:
        assert places == [min(max(wanted[0], heights[0] / 2), 200 - heights[0] / 2)]


def test_states_over_time_name_both_axes() -> None:
    body = figures.states_over_time(example()["output"][0], "c_{t}", "c").body
    assert ">time step</text>" in body
    assert ">feature of</text>" in body


# Small parts.


def test_numbers_are_short() -> None:
    assert [number(v) for v in (2, 0.126, -0.001, 100.0, -0.5)] == ["2", "0.13", "0", "100", "-0.5"]


def test_attributes_are_escaped_and_none_is_left_out() -> None:
    assert element("a", title='"<', x=None) == '<a title="&quot;&lt;"/>'
    assert element("g", "in") == "<g>in</g>"
    assert group("in", token="x") == '<g class="u-x">in</g>'


def test_an_index_and_an_exponent_stand_over_each_other() -> None:
    markup = text(0, 0, "W_{ih}^{⊤} + b", kind="math")
    spans = [n.attrib for n in ET.fromstring(markup).iter("tspan") if "class" not in n.attrib]
    assert [float(s["dy"]) for s in spans] == pytest.approx([3.52, -10.24, 6.72])
    assert float(spans[1]["dx"]) < 0  # back over the index
    assert float(spans[2]["dx"]) > 0  # and out to the wider of the two


def test_a_run_returns_to_the_baseline() -> None:
    markup = text(0, 0, [("x_{t}", "x"), ("^{2}", None), ("y", None)], kind="math")
    shifts = [float(n.attrib.get("dy", 0)) for n in ET.fromstring(markup).iter("tspan")]
    assert sum(shifts) == pytest.approx(0, abs=0.011)


def test_widths_are_estimated() -> None:
    assert text_width("W_{ih}^{⊤}", 10, "math") == text_width("W_{ih}", 10, "math")
    assert text_width([("ab", "x"), ("c", None)], 10) == text_width("abc", 10)
    assert text_width("abc", 10, "code") == pytest.approx(18)


def test_a_line_has_round_corners() -> None:
    assert "Q10 0" in line([(0, 0), (10, 0), (10, 10)])
    assert "Q" not in line([(0, 0), (0, 0)])
    assert 'stroke-opacity="0.4"' in line([(0, 0), (1, 0)], opacity=0.4)
    assert "stroke-opacity" not in box(0, 0, 10, 10)


def test_a_cell_that_fits_nowhere_is_still_drawn() -> None:
    assert cell_size([["a long operator that needs all the room there is"]], 10, 14) == 0.5


# Bad input.


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: figures.unrolled(0), ValueError, "L should be 1 to 8, got 0"),
        (lambda: figures.unrolled(9), ValueError, "L should be 1 to 8, got 9"),
        (lambda: figures.unrolled(BAD), TypeError, "L should be int, got float"),
        (lambda: figures.unrolled(True), TypeError, "L should be int, got bool"),
        (lambda: figures.gate_sizes(0), ValueError, "hidden_size should be at least 1, got 0"),
        (
            lambda: figures.sequence_problem("many"),
            ValueError,
            "kind should be one of 'one-to-one', 'one-to-many', 'many-to-one', "
            "'encoder-decoder', 'in-step', got 'many'",
        ),
        (
            lambda: figures.sequence_problem("in-step", (3, 0)),
            ValueError,
            "input_shape should be at least 1, got 0",
        ),
        (
            lambda: figures.states_over_time(5),
            TypeError,
            "values should be a matrix, got int",
        ),
        (
            lambda: figures.states_over_time([1, 2]),
            TypeError,
            "values should be a matrix, got int",
        ),
        (
            lambda: figures.states_over_time([[[1]]]),
            ValueError,
            "values should be a matrix, got one more dimension",
        ),
        (
            lambda: figures.states_over_time([["a"]]),
            TypeError,
            "values should be numbers, got str",
        ),
        (
            lambda: figures.states_over_time([[math.nan]]),
            ValueError,
            "values should be finite numbers, got nan",
        ),
        (
            lambda: figures.states_over_time([[1], [1, 2]]),
            ValueError,
            "values should be a matrix with rows of one length, got rows of lengths [1, 2]",
        ),
        (
            lambda: figures.states_over_time([[]]),
            ValueError,
            "values should be a matrix with rows of one length, got rows of lengths [0]",
        ),
        (
            lambda: figures.product([[1, 2]], [[1]], [[1]]),
            ValueError,
            "b should have shape (2, any), got (1, 1)",
        ),
        (
            lambda: figures.product([[1]], [[1]], [[1]], highlight=(0, 1)),
            ValueError,
            "highlight should be a row and a column that are drawn, got (0, 1)",
        ),
        (
            lambda: figures.product([[1]], [[1]], [[1]], tokens=("y", None, None)),
            ValueError,
            f"token should be one of {', '.join(PALETTE)}, got 'y'",
        ),
        (
            lambda: figures.recurrence([[1]], [[1]], [1, 2], [0], [[0]]),
            ValueError,
            "bias_hh should have shape (1,), got shape (2,)",
        ),
        (
            lambda: figures.recurrence([[1]], [[1]], [1], [0], [[0]], "sigmoid"),
            ValueError,
            "nonlinearity should be one of 'tanh', 'relu', got 'sigmoid'",
        ),
        (
            lambda: figures.uniform_draw([], 1.0),
            ValueError,
            "values should have at least one number, got shape (0,)",
        ),
        (
            lambda: figures.influence(["a"], 1),
            TypeError,
            "values should be a vector, got int",
        ),
        (
            lambda: figures.influence([BAD], [1]),
            TypeError,
            "tokens should be str, got float",
        ),
        (
            lambda: figures.legend(["y"]),
            ValueError,
            f"names should be names in {list(PALETTE)}, got 'y'",
        ),
        (
            lambda: figures.lines([1], {}, y_label="y", **PLOT),
            ValueError,
            "series should be 1 to 8 of them, got 0",
        ),
        (
            lambda: figures.bars({"a": 1}, y_label="y", tokens=[], **PLOT),
            ValueError,
            "tokens should be 1 of them, at least one, got 0",
        ),
        (
            lambda: figures.bars({"a": 1}, y_label="y", tokens=["y"], **PLOT),
            ValueError,
            f"tokens should be names in {[*PALETTE, 'ink', 'muted']}, got 'y'",
        ),
        (
            lambda: figures.lines([1], {"a": [1, 2]}, y_label="y", **PLOT),
            ValueError,
            "series['a'] should have shape (1,), got shape (2,)",
        ),
        (
            lambda: figures.bars({"a": 1}, title=" ", description="d", y_label="y"),
            ValueError,
            "title should be words, got ' '",
        ),
    ],
)
def test_bad_input_is_named(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_figures_need_the_standard_library_only() -> None:
    folder = Path(figures.__file__).parent
    # What one function needs, to plot or to run in a notebook; it imports that itself.
    when_called = {("matplotlib", "charts.py"), ("IPython", "images.py")}
    for path in folder.glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []  # never executed
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                # The worked example is imported when a figure of it is drawn.
                assert node.level < 2 or [alias.name for alias in node.names] == ["example"]
                modules = [] if node.level else [str(node.module)]
            else:
                continue
            for module in modules:
                top = module.partition(".")[0]
                allowed = top in sys.stdlib_module_names or module == "unrolled.shapes"
                assert allowed or (top, path.name) in when_called, module


def test_matplotlib_is_imported_by_the_first_plot_only() -> None:
    source = (Path(figures.__file__).parent / "charts.py").read_text(encoding="utf-8")
    top_level = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not any("matplotlib" in ast.unparse(node) for node in top_level)


def test_a_figure_is_a_value() -> None:
    assert figures.folded() == figures.folded()
    assert isinstance(figures.folded(), Figure)


def test_variables_are_italic_and_words_upright() -> None:
    root = ET.fromstring(text(0, 0, "H_{in} < H_{out}, W_{ih}", kind="math"))
    assert [n.text for n in root.iter("tspan") if "class" in n.attrib] == ["H", "H", "W", "ih"]
    assert "".join(root.itertext()).replace("\u200b", "") == "Hin < Hout, Wih"

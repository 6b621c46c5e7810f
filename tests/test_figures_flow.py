import re
from collections.abc import Callable
from functools import partial

import pytest
import torch

from tests import test_figures as general
from tests import test_figures_module as placed
from unrolled_site import example, figures
from unrolled_site.figures import Figure
from unrolled_site.figures.arithmetic import _INPUTS, _STATES, _tree
from unrolled_site.figures.gates import _lit


def wide(figure: Figure) -> Figure:
    assert figure.wide is not None
    return figure.wide


def copy(kind: str, part: str) -> Figure:
    return Figure("A copy", "One part is lit.", _lit(kind, part, "f says."), 300)


FIGURES: dict[str, Callable[[], Figure]] = {
    "block": figures.block,
    "block-large": lambda: figures.block(4, 4, 32, 12),
    "block-one": lambda: figures.block(1, 3, 1, 1),
    **{
        f"gate_by_gate-{kind}-{part}": partial(copy, kind, part)
        for kind, parts in (("LSTM", "figo"), ("GRU", "rnzh"))
        for part in parts
    },
    "tree": lambda: Figure(
        "A tree", "Sums.", _tree("a", (_INPUTS, _STATES), ((0, 1), (4, 2), (5, 3))), 230
    ),
    "shaded": lambda: figures.shaded(
        {"before": [False, False, True], "after, forwards": [True] * 3},
        range(1, 4),
        caption="What moves.",
        token="h",
        axis="time step",
    ),
    "shaded-long": lambda: figures.shaded(
        {"a label that is far too long for the left": [True, False] * 20},
        range(100, 140),
        yes="right",
        no="wrong",
        title="A title",
        description="A description.",
    ),
    "small_example": figures.small_example,
    "bits_to_weight": lambda: figures.bits_to_weight(2**31 + 2**23, 0.5, 0.0),
    "eigenvalues": lambda: figures.eigenvalues({"3 units": [0.5j, -0.5j, 1], "a": [0.9]}, 0.577),
}
# Drawings made of moved copies, whose coordinates are those before the move.
COMPOSED: dict[str, Callable[[], Figure]] = {
    "gate_by_gate-LSTM": partial(figures.gate_by_gate, "LSTM"),
    "gate_by_gate-GRU": partial(figures.gate_by_gate, "GRU"),
    "addition_trees": figures.addition_trees,
}


def test_a_batch_is_cut_into_slices() -> None:
    figure = figures.block()
    assert figure == figures.block(example.N, example.L, H_out=example.H_out)
    for shape in ("(3, 5, 10)", "(3, 10)", "(3, 5, 20)", "(3, 20)", "(1, 3, 20)"):
        assert shape in figure.description
    for drawing in (figure, wide(figure)):
        # Slices of x and of output, h_0 and h_n, with three faces each; and the heads of arrows.
        arrows = 2 * 5 + 4 + 2 + 1
        assert general.pieces(drawing.body) == 3 * (5 + 5 + 2) + arrows
    page = figure._repr_html_()
    assert page.count('class="f-narrow"') == page.count('class="f-wide"') == 1


@pytest.mark.parametrize("layout", [lambda figure: figure, wide])
def test_a_small_example_has_every_number(layout: Callable[[Figure], Figure]) -> None:
    rnn, x, h_0 = example.small_example()
    output, h_n = rnn(x, h_0)
    drawing = layout(figures.small_example())
    words = placed.words(drawing)
    for state in output[0]:
        for value in state.tolist():
            shown = f"{value:.3f}".replace("-", "−")
            assert shown in words
            assert sum(line.endswith(f") = {shown}") for line in words) == 1
            assert shown in drawing.description
    for name, parameter in rnn.named_parameters():
        assert name in words
        for value in parameter.flatten().tolist():
            assert f"{value:g}".replace("-", "−") in words
    assert torch.equal(h_n[0, 0], output[0, -1])


def test_the_sums_of_the_small_example_are_what_is_written() -> None:
    words = placed.words(figures.small_example())
    starts = [i for i, line in enumerate(words) if re.match(r"[−\d.]+·", line)]
    assert len(starts) == 6
    for start in starts:
        terms = "".join(words[start : start + 3]).replace("·", "*").replace("−", "-")
        made, _, result = terms.partition("=")
        # The states that the sums contain are rounded.
        assert eval(made) == pytest.approx(float(result), abs=1.5e-3)


@pytest.mark.parametrize(("kind", "parts"), [("LSTM", "figo"), ("GRU", "rnzh")])
def test_each_part_is_lit_once_and_alone(kind: str, parts: str) -> None:
    figure = figures.gate_by_gate(kind)
    for drawing in (figure, wide(figure)):
        assert drawing.body.count("translate(") == 4
    for part in parts:
        gates = set(re.findall(r'class="u-(g[ifgorzn])"', copy(kind, part).body))
        assert gates == (
            {"gr", "gn"} if part == "r" else {"gz", "gn"} if part == "h" else {f"g{part}"}
        )
    assert figure.description.count(" says how much of ") == (3 if kind == "LSTM" else 2)


def test_two_trees_have_three_additions_each() -> None:
    figure = figures.addition_trees()
    for drawing in (figure, wide(figure)):
        assert placed.words(drawing).count("+") == 6
        assert placed.words(drawing).count("tanh") == 2
        # The last sum of PyTorch's tree has a sum on both sides.
        ends = [tip for _, _, tip in placed.arrows(drawing)]
        assert len(ends) == 2 * (2 * 3 + 1)


def test_the_order_of_pytorch_is_the_one_that_is_drawn() -> None:
    torch.manual_seed(0)
    cell, x, h = torch.nn.RNNCell(10, 20), torch.randn(30, 10), torch.randn(30, 20)
    state, given = h @ cell.weight_hh.T, x @ cell.weight_ih.T
    # Additions of float32: which order they are in shows in the last bits.
    drawn = torch.nn.functional.linear(
        h, cell.weight_hh, cell.bias_hh
    ) + torch.nn.functional.linear(x, cell.weight_ih, cell.bias_ih)
    plain = given + cell.bias_ih + state + cell.bias_hh
    assert torch.equal(cell(x, h), torch.tanh(drawn))
    assert not torch.equal(cell(x, h), torch.tanh(plain))


def test_cells_are_filled_or_hollow_and_words_say_what_that_means() -> None:
    figure = FIGURES["shaded"]()
    fills = re.findall(r'<rect [^>]*fill-opacity="([\d.]+)"', figure.body)
    assert fills == ["0", "0", "0.6", "0.6", "0.6", "0.6", "0.6", "0"]  # the last two: the legend
    assert figure.body.count("stroke-dasharray") == 3
    assert placed.words(figure)[-2:] == ["moves", "same"]
    assert figure.title == "Moves or same"
    assert figure.description == (
        "before: same at 1, 2; moves at 3. after, forwards: moves at 1, 2, 3."
    )
    tensor = torch.tensor([True, False])
    assert figures.shaded({"h": tensor}, "ab") == figures.shaded({"h": [True, False]}, "ab")  # type: ignore[dict-item]


def test_narrow_columns_name_some_of_them() -> None:
    figure = FIGURES["shaded-long"]()
    assert 5 < sum(word.isdigit() for word in placed.words(figure)) < 15
    assert figures.shaded({"h": [True]}, ["a head that is much too long" * 2]).title


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: figures.block(5), ValueError, "N should be 1 to 4, got 5"),
        (
            lambda: figures.shaded({}, []),
            ValueError,
            "rows and columns should be at least one, got 0 and 0",
        ),
        (
            lambda: figures.shaded({"a": [True]}, [1, 2]),
            ValueError,
            "rows['a'] should have 2 values, got 1",
        ),
        (
            lambda: figures.shaded({"a": [1]}, [1]),  # type: ignore[list-item]
            TypeError,
            "rows['a'] should be bools, got int",
        ),
        (
            lambda: figures.gate_by_gate("RNN"),
            ValueError,
            "kind should be one of 'LSTM', 'GRU', got 'RNN'",
        ),
        (lambda: figures.block(H_in=general.BAD), TypeError, "H_in should be int, got float"),
        (
            lambda: figures.bits_to_weight(2**32, 0.5, 0.0),
            ValueError,
            "bits should be 0 to 4294967295, got 4294967296",
        ),
        (
            lambda: figures.bits_to_weight(2**23, 0.5, 0.1),
            ValueError,
            "weight should be the result of the formula, got one off by 0.1",
        ),
        (
            lambda: figures.eigenvalues({"a": [1.0]}, 0.5),
            ValueError,
            "matrices should be two, got 1",
        ),
        (
            lambda: figures.eigenvalues({"a": [1.0], "b": ["1"]}, 0.5),
            TypeError,
            "matrices['b'] should be complex numbers, got str",
        ),
        (
            lambda: figures.eigenvalues({"a": [], "b": [1.0]}, 0.5),
            ValueError,
            "matrices['a'] should be at least one number, got none",
        ),
        (
            lambda: figures.eigenvalues({"a": [0.9 - 1j], "b": [1.0]}, 0.5),
            ValueError,
            "matrices['a'] should have moduli up to 1.10, got (0.9-1j)",
        ),
    ],
)
def test_bad_input_is_named(
    call: Callable[[], object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        call()


def test_a_weight_is_made_of_the_lower_bits() -> None:
    figure = figures.bits_to_weight(2**31 + 3 * 2**22, 0.5, 0.25)
    words = placed.words(figure)
    assert "".join(words[2:34]) == f"{2**31 + 3 * 2**22:032b}"
    assert words[-2:] == ["u  =  bits / 2²⁴  =  0.750000", "u · 2 · bound − bound  =  0.250000"]


def test_eigenvalues_lie_where_they_are() -> None:
    figure = figures.eigenvalues({"a": [0.5 + 0.25j, -1], "b": [0.0]}, 0.577)
    circles = [
        [float(node.attrib[k]) for k in ("cx", "cy", "r")]
        for node in general.tree(figure).iter("circle")
    ]
    unit, inner, first, second, _, _, third = circles
    assert unit[:2] == inner[:2]
    assert inner[2] == pytest.approx(0.577 * unit[2], abs=0.01)
    x, y, scale = unit
    assert first[:2] == pytest.approx([x + 0.5 * scale, y - 0.25 * scale], abs=0.01)
    assert second[:2] == pytest.approx([x - scale, y], abs=0.01)
    assert third[:2] == [x + 180, y]

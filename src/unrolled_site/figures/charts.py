"""Plots of measured numbers: matplotlib's axes in the ink and the tokens of the site.

matplotlib is imported when the first plot is drawn, and nowhere else.
"""

import hashlib
import io
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from .palette import PALETTE
from .svg import WIDTH, Figure
from .values import vector, whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

__all__ = ["bars", "histogram", "lines"]

_LONGEST, _LINE = 17, 14.0  # letters of a line of a name, and its height
_APART = 4.0  # between two names
_DASHES = ("-", (0, (5, 2)), (0, (1.2, 1.8)), (0, (7, 2, 1.5, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
# What is not a symbol has no symbol's colour: series without a token are in ink, and muted.
_COLOURS = {
    **{name: f"var(--u-{name})" for name in PALETTE},
    "ink": "currentColor",
    "muted": "var(--pst-color-text-muted, currentColor)",
}
_NEUTRAL = ("ink", "muted")
# Colours that stand for these in matplotlib's file, and do not occur there otherwise.
_PLACEHOLDERS = {name: f"#0a00{index:02x}" for index, name in enumerate(_COLOURS)}
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_METADATA = ("Creator", "Date", "Format", "Type")
# Any: in matplotlib's types every key of its settings is a literal.
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "unrolled",
    "font.size": 12,
    "axes.labelsize": 12,
    "xtick.labelsize": 12,
    "ytick.labelsize": 12,
    "legend.fontsize": 12,
    "savefig.transparent": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 1.0,
    "legend.handlelength": 2.8,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color",
         "grid.color"), _PLACEHOLDERS["ink"]
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _End:
    """Where a line ends, and the name to write there."""

    name: str
    x: float
    y: float
    ink: str


def lines(
    x: Any,
    series: Mapping[str, Any],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str,
    tokens: Sequence[str] | None = None,
    log_x: bool = False,
    log_y: bool = False,
    height: float = 230,
    caption: str = "",
    bounds: Collection[str] = (),
) -> Figure:
    """Plot one or more series against `x`.

    Each series has its own marker and dashes, so that colour is not the only difference, and its
    name is written at its right end; where the names have no room there, a legend has them.

    Parameters
    ----------
    x : array_like
        Where the values were measured.
    series : mapping of str to array_like
        Their names and values.
    title, description : str
        As in `Figure`.
    x_label, y_label : str
        What the axes measure.
    tokens : sequence of str, optional
        The colour of each series: the token of what it measures, or ``"ink"`` or ``"muted"``,
        which alternate if left out.
    log_x, log_y : bool, default False
        Whether an axis is logarithmic.
    height : float, default 230
        In the units of the width, 360.
    caption : str, default ""
        A line under the plot.
    bounds : collection of str, default ()
        The series that are bounds and no measurements: thin lines without markers.

    Returns
    -------
    Figure
        The plot.

    Raises
    ------
    TypeError
        If a value is not a number.
    ValueError
        If there is no series, more than eight, one whose length is not that of `x`, an unknown
        token, or a bound that is no series.

    Examples
    --------
    >>> figure = lines([1, 2, 3], {"RNN": [0.9, 0.7, 0.5]}, title="Recall", x_label="gap",
    ...                description="Accuracy falls from 0.9 to 0.5.", y_label="accuracy")
    >>> "currentColor" in figure.body
    True
    """
    at = vector("x", x)
    values = {name: vector(f"series[{name!r}]", v, len(at)) for name, v in series.items()}
    inks = _inks(len(values), tokens)
    for name in bounds:
        if name not in values:
            raise ValueError(f"bounds should be names of series, got {name!r}")

    def draw(axes: "Axes") -> None:
        for index, (name, numbers) in enumerate(values.items()):
            axes.plot(
                at,
                numbers,
                label=name,
                color=inks[index],
                linewidth=0.9 if name in bounds else 1.6,
                linestyle=_DASHES[index % len(_DASHES)],
                marker=_MARKERS[index] if len(at) <= 24 and name not in bounds else None,
                markersize=4.5,
            )
        if log_x:
            axes.set_xscale("log")
            if len(at) <= 8:
                axes.set_xticks(at)  # where it was measured
        if log_y:
            axes.set_yscale("log")

    last = max(range(len(at)), key=at.__getitem__)
    ends = [
        _End(
            "\n".join(wrap(name, _LONGEST, break_long_words=False)),
            at[last],
            numbers[last],
            inks[index],
        )
        for index, (name, numbers) in enumerate(values.items())
    ]
    # Lines that end in one place have their names in the order in which they came there.
    means = [sum(numbers) for numbers in values.values()]
    ends = [ends[index] for index in sorted(range(len(ends)), key=means.__getitem__)]
    return _plot(draw, title, description, (x_label, y_label), height, caption, len(values), ends)


def histogram(
    series: Mapping[str, Any],
    *,
    title: str,
    description: str,
    x_label: str,
    y_label: str = "count",
    bins: int = 30,
    tokens: Sequence[str] | None = None,
    height: float = 230,
    caption: str = "",
) -> Figure:
    """Plot how often values occur; outlines of different dashes for several series.

    Parameters
    ----------
    series : mapping of str to array_like
        Their names and values; one bin size for all.
    title, description : str
        As in `Figure`.
    x_label : str
        What the values measure.
    y_label : str, default "count"
        The other axis.
    bins : int, default 30
        Number of bins.
    tokens : sequence of str, optional
        The colour of each series, as in `lines`.
    height : float, default 230
        In the units of the width, 360.
    caption : str, default ""
        A line under the plot.

    Returns
    -------
    Figure
        The plot.

    Raises
    ------
    TypeError
        If a value is not a number.
    ValueError
        If there is no series, more than eight, or an unknown token.

    Examples
    --------
    >>> figure = histogram({"weight_hh": [0.1, -0.1, 0.2]}, title="Weights", x_label="value",
    ...                    description="Three weights.", bins=4, tokens=["whh"])
    >>> "var(--u-whh)" in figure.body
    True
    """
    values = {name: vector(f"series[{name!r}]", v) for name, v in series.items()}
    whole("bins", bins)
    inks = _inks(len(values), tokens)

    def draw(axes: "Axes") -> None:
        every = [number for numbers in values.values() for number in numbers]
        low, high = min(every), max(every)
        span = (high - low) or 1.0
        edges = [low + span * index / bins for index in range(bins + 1)]
        for index, (name, numbers) in enumerate(values.items()):
            axes.hist(
                numbers,
                edges,
                label=name,
                histtype="stepfilled",
                facecolor=(inks[index], 0.18),
                edgecolor=inks[index],
                linewidth=1.4,
                linestyle=_DASHES[index % len(_DASHES)],
            )

    return _plot(draw, title, description, (x_label, y_label), height, caption, len(values))


def bars(
    values: Mapping[str, float],
    *,
    title: str,
    description: str,
    y_label: str,
    x_label: str = "",
    tokens: Sequence[str] | None = None,
    height: float = 230,
    caption: str = "",
) -> Figure:
    """Plot one bar for each name.

    Parameters
    ----------
    values : mapping of str to float
        Names, which are written under the bars, and heights.
    title, description : str
        As in `Figure`.
    y_label : str
        What the heights measure.
    x_label : str, default ""
        What the names are.
    tokens : sequence of str, optional
        The colour of each bar, as in `lines`; ink if left out.
    height : float, default 230
        In the units of the width, 360.
    caption : str, default ""
        A line under the plot.

    Returns
    -------
    Figure
        The plot.

    Raises
    ------
    TypeError
        If a value is not a number.
    ValueError
        If there are no values, or unknown tokens, or not as many as bars.

    Examples
    --------
    >>> figure = bars({"GRU": 3, "LSTM": 4}, title="Gates", y_label="gates",
    ...               description="GRU has 3 gates, LSTM 4.")
    >>> figure.title
    'Gates'
    """
    heights = vector("values", list(values.values()))
    names = list(values)
    inks = _inks(len(names), ["ink"] * len(names) if tokens is None else tokens)

    def draw(axes: "Axes") -> None:
        fills = [(ink, 0.25) for ink in inks]
        axes.bar(names, heights, 0.62, color=fills, edgecolor=inks, linewidth=1.4)

    return _plot(draw, title, description, (x_label, y_label), height, caption, 1)


def _inks(count: int, tokens: Sequence[str] | None) -> list[str]:
    """Choose the colour of each series, as a placeholder that `_in_tokens` finds again."""
    if tokens is None:
        if not 0 < count <= len(_MARKERS):
            raise ValueError(f"series should be 1 to {len(_MARKERS)} of them, got {count}")
        tokens = [_NEUTRAL[index % 2] for index in range(count)]
    if len(tokens) != count or count == 0:
        raise ValueError(f"tokens should be {count} of them, at least one, got {len(tokens)}")
    for token in tokens:
        if token not in _COLOURS:
            raise ValueError(f"tokens should be names in {list(_COLOURS)}, got {token!r}")
    return [_PLACEHOLDERS[token] for token in tokens]


def _plot(
    draw: Callable[["Axes"], None],
    title: str,
    description: str,
    labels: tuple[str, str],
    height: float,
    caption: str,
    count: int,
    ends: Sequence[_End] = (),
) -> Figure:
    """Draw on matplotlib's axes and turn the file into a figure."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

    for name, value in (("title", title), ("description", description)):
        if not value.strip():
            raise ValueError(f"{name} should be words, got {value!r}")
    with mpl.rc_context(mpl.rcParamsDefault), mpl.rc_context(_STYLE):
        canvas = Canvas(figsize=(WIDTH / 72, height / 72), layout="constrained")
        axes = canvas.subplots()
        draw(axes)
        axes.set(xlabel=labels[0], ylabel=labels[1])
        axes.grid(axis="y", alpha=0.18, linewidth=0.75)
        axes.set_axisbelow(True)
        for axis in (axes.xaxis, axes.yaxis):
            if axis.get_scale() == "log":
                if not isinstance(axis.get_major_locator(), FixedLocator):
                    axis.set_major_locator(LogLocator(numticks=6))
                axis.set_major_formatter(FuncFormatter(_tick))
                axis.set_minor_formatter(NullFormatter())
        if count > 1 and _have_room(ends, height):
            _name_ends(canvas, axes, ends)
        elif count > 1:
            longest = max(len(str(name)) for name in axes.get_legend_handles_labels()[1])
            columns = 2 if longest <= 24 else 1  # two longer names do not fit side by side
            canvas.legend(loc="outside upper left", ncols=columns, frameon=False)
        file = io.StringIO()
        canvas.savefig(file, format="svg", metadata=dict.fromkeys(_METADATA))
    return Figure(title, description, _in_tokens(file.getvalue()), height, caption=caption)


def _have_room(ends: Sequence[_End], height: float) -> bool:
    """Tell whether the names fit beside the plot."""
    rows = [row for end in ends for row in end.name.split("\n")]
    needed = len(rows) * _LINE + len(ends) * _APART
    return 0 < needed <= height - 60 and max(map(len, rows)) <= _LONGEST


def _name_ends(canvas: "Canvas", axes: "Axes", ends: Sequence[_End]) -> None:
    """Write the names of the lines at their ends, pushed apart, with thin lines that join them."""
    notes = [
        axes.annotate(
            end.name,
            (end.x, end.y),
            xytext=(1.03, 0.5),
            textcoords="axes fraction",
            color=end.ink,
            va="center",
            arrowprops={"arrowstyle": "-", "color": end.ink, "linewidth": 0.75, "alpha": 0.7,
                        "shrinkA": 1, "shrinkB": 3, "relpos": (0, 0.5)},
            annotation_clip=False,
        )
        for end in ends
    ]  # fmt: skip
    canvas.draw_without_rendering()  # the layout, which leaves room for the names
    points = axes.bbox.height / canvas.dpi * 72
    to_axes = axes.transData + axes.transAxes.inverted()
    wanted = [float(to_axes.transform((end.x, end.y))[1]) * points for end in ends]
    heights = [_LINE * (end.name.count("\n") + 1) + _APART for end in ends]
    for note, place in zip(notes, spread(wanted, heights, points), strict=True):
        note.set_position((1.03, place / points))


def spread(wanted: Sequence[float], heights: Sequence[float], room: float) -> list[float]:
    """Push labels apart until none overlaps, each near the place where it belongs.

    Parameters
    ----------
    wanted : sequence of float
        The middle of each label, where it should be.
    heights : sequence of float
        How high each is.
    room : float
        Where the room ends that begins at 0; it is at least as high as all labels.

    Returns
    -------
    list of float
        The middles of the labels, in the order of `wanted`.

    Examples
    --------
    >>> spread([50.0, 52.0, 90.0], [10.0, 10.0, 10.0], 100.0)
    [46.0, 56.0, 90.0]
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    middles, sizes = [wanted[index] for index in order], [heights[index] for index in order]
    # Half way between both every distance still holds; then both ends of the room.
    risen, sunk = _risen(middles, sizes, 0.0), _sunk(middles, sizes, room)
    middles = [(a + b) / 2 for a, b in zip(risen, sunk, strict=True)]
    middles = _sunk(_risen(middles, sizes, 0.0), sizes, room)
    places = dict(zip(order, middles, strict=True))
    return [places[index] for index in range(len(wanted))]


def _risen(middles: list[float], sizes: list[float], edge: float) -> list[float]:
    """Move each label up as far as the edge and the one before it make it."""
    risen = []
    for middle, size in zip(middles, sizes, strict=True):
        risen.append(max(middle, edge + size / 2))
        edge = risen[-1] + size / 2
    return risen


def _sunk(middles: list[float], sizes: list[float], edge: float) -> list[float]:
    """Do the same downwards, from the last label on."""
    turned = [-middle for middle in reversed(middles)]
    return [-middle for middle in reversed(_risen(turned, sizes[::-1], -edge))]


def _tick(value: float, _: int) -> str:
    """Write a label of a logarithmic axis."""
    if 1e-3 <= abs(value) < 1e5:
        return f"{value:g}".replace("-", "−")
    mantissa, exponent = f"{value:.0e}".split("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}".replace("-", "−")


def _in_tokens(svg: str) -> str:
    """Keep the drawing, in the fonts and colours of the page, and with names of its own."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 : svg.rindex("</svg>")]
    # The style rule of matplotlib would apply to the whole page.
    body = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", "", body, flags=re.S)
    body = re.sub(r"<defs>\s*</defs>", "", body)
    # The fonts of the page; older versions of matplotlib write the short form.
    body = re.sub(r"font: ([\d.]+px)[^;\"]*", r"font-size: \1", body)
    body = re.sub(r"font-family: [^;\"]*;? ?", "", body)
    body = body.replace("xlink:href", "href")
    for token, placeholder in _PLACEHOLDERS.items():
        body = body.replace(placeholder, _COLOURS[token])
    name = hashlib.sha256(body.encode()).hexdigest()[:8]
    body = re.sub(r'(id="|href="#|url\(#)', rf"\1u{name}-", body)
    body = re.sub(r">\s+<", "><", body).strip()
    return f'<g stroke-linejoin="round">{body}</g>'

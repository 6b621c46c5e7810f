"""A small SVG writer: elements, mathematical text, arrows, boxes, and the class `Figure`.

Nothing here has a colour of its own. A drawing inherits the ink of the page through
``currentColor``; a token of the palette is a class (``u-x``) that changes that ink.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from html import escape
from typing import Literal, TypeAlias

from .palette import PALETTE, figure_rules, token_rules

__all__ = [
    "BODY",
    "LINE",
    "RADIUS",
    "SMALL",
    "SYMBOL",
    "WIDTH",
    "Figure",
    "arrow",
    "box",
    "css_class",
    "element",
    "group",
    "line",
    "number",
    "signed",
    "text",
    "text_width",
]

WIDTH = 360
"""Every figure is drawn this wide, so that it is read one to one on a phone."""

SYMBOL, BODY, SMALL = 16.0, 13.0, 12.0
"""Sizes of text; an index of a symbol is 0.72 times the symbol, and nothing is smaller."""

LINE, RADIUS = 1.25, 5.0
"""The width of every line and the radius of every corner."""

Kind: TypeAlias = Literal["plain", "math", "code", "dim"]
Content: TypeAlias = str | Sequence[tuple[str, str | None]]

_INDEX = 0.72
_MARKUP = re.compile(r"_\{(?P<low>[^{}]*)\}(?:\^\{(?P<high>[^{}]*)\})?|\^\{(?P<only>[^{}]*)\}")
# Variables of mathematics are italic; words and entities are upright, as the "in" of H_in.
_VARIABLE = re.compile(r"(?<![A-Za-zα-ω&])(?!in\b)[A-Za-zα-ω]{1,2}(?![A-Za-zα-ω])")
# Advance widths in em, good enough for layout; what is not listed is 0.53 wide.
_WIDTHS = {
    **dict.fromkeys("il.,:;'|!jI", 0.28),
    **dict.fromkeys(" ftr()[]·-", 0.35),
    **dict.fromkeys("mwMW@—", 0.86),
    **dict.fromkeys("ABCDEFGHKLNOPQRSTUVXYZ", 0.66),
    **dict.fromkeys("+=−×≤<>√∂", 0.66),
}


def number(value: float) -> str:
    """Write a number for an attribute: two decimals, no trailing zeros.

    Parameters
    ----------
    value : float
        A length or an opacity.

    Returns
    -------
    str
        The number.

    Examples
    --------
    >>> number(2), number(1.256), number(-0.001)
    ('2', '1.26', '0')
    """
    return f"{round(value, 2) + 0.0:g}"


def signed(value: float, digits: int = 2) -> str:
    """Write a number for a reader: fixed decimals and a true minus sign.

    Parameters
    ----------
    value : float
        The number.
    digits : int, default 2
        Decimals.

    Returns
    -------
    str
        The number; one that rounds to zero has no sign.

    Examples
    --------
    >>> signed(-0.5), signed(-0.001)
    ('−0.50', '0.00')
    """
    written = f"{value:.{digits}f}"
    return written.lstrip("-") if float(written) == 0 else written.replace("-", "−")


def element(tag: str, *children: str, **attributes: str | float | None) -> str:
    """Write an element.

    Parameters
    ----------
    tag : str
        Its name.
    *children : str
        Markup inside it, already escaped.
    **attributes : str or float or None
        Attributes; ``_`` stands for ``-``, a trailing one is dropped; None leaves one out.

    Returns
    -------
    str
        The markup.

    Examples
    --------
    >>> element("rect", width=2.0, stroke_width=1.25, class_="u-x")
    '<rect width="2" stroke-width="1.25" class="u-x"/>'
    """
    written = ""
    for name, value in attributes.items():
        if value is not None:
            shown = escape(value) if isinstance(value, str) else number(value)
            written += f' {name.rstrip("_").replace("_", "-")}="{shown}"'
    inner = "".join(children)
    return f"<{tag}{written}>{inner}</{tag}>" if inner else f"<{tag}{written}/>"


def css_class(token: str | None, *others: str) -> str | None:
    """Join the class of a token and others; None if there is none.

    Parameters
    ----------
    token : str or None
        A name in `PALETTE`.
    *others : str
        More classes.

    Returns
    -------
    str or None
        The value of the attribute ``class``.

    Raises
    ------
    ValueError
        If `token` is not in the palette.
    """
    if token is not None and token not in PALETTE:
        raise ValueError(f"token should be one of {', '.join(PALETTE)}, got {token!r}")
    return " ".join(([f"u-{token}"] if token else []) + list(others)) or None


def group(*children: str, token: str | None = None, **attributes: str | float | None) -> str:
    """Write a group whose ink is that of a token.

    Parameters
    ----------
    *children : str
        Markup.
    token : str, optional
        A name in `PALETTE`; None keeps the ink.
    **attributes : str or float or None
        As in `element`.

    Returns
    -------
    str
        The markup.
    """
    return element("g", *children, class_=css_class(token), **attributes)


def text_width(content: Content, size: float = BODY, kind: Kind = "plain") -> float:
    """Estimate the width of a line of text, for layout.

    Parameters
    ----------
    content : str or sequence of (str, str or None)
        As in `text`.
    size : float, default 13
        Font size.
    kind : {"plain", "math", "code", "dim"}, default "plain"
        As in `text`.

    Returns
    -------
    float
        The width, some per cent too large rather than too small.

    Examples
    --------
    >>> text_width("weight_ih", 10, "code")
    54.0
    """
    runs = content if isinstance(content, str) else "".join(run for run, _ in content)
    if kind == "code":
        return 0.6 * size * len(runs)
    indices = sum(
        _INDEX * max(_em(part or "") for part in match.groups()) for match in _MARKUP.finditer(runs)
    )
    return size * (_em(_MARKUP.sub("", runs)) + indices)


def text(
    x: float,
    y: float,
    content: Content,
    *,
    size: float | None = None,
    anchor: Literal["start", "middle", "end"] = "middle",
    token: str | None = None,
    kind: Kind = "plain",
) -> str:
    """Write a line of text.

    Parameters
    ----------
    x, y : float
        The anchor, on the baseline.
    content : str or sequence of (str, str or None)
        The text, or runs of it with the token that colours each.
    size : float, optional
        Font size; `SYMBOL` for mathematics, `SMALL` for code and dim text, otherwise `BODY`.
    anchor : {"start", "middle", "end"}, default "middle"
        Which end of the line lies at `x`.
    token : str, optional
        Ink of the whole line.
    kind : {"plain", "math", "code", "dim"}, default "plain"
        In mathematics ``_{}`` sets an index, ``^{}`` an exponent, and names of one or two letters
        are italic.

    Returns
    -------
    str
        The markup.
    """
    if size is None:
        size = {"math": SYMBOL, "plain": BODY}.get(kind, SMALL)
    runs = [(content, None)] if isinstance(content, str) else content
    inner = ""
    for run, colour in runs:
        set_run = _mathematics(run, size) if kind == "math" else escape(run, quote=False)
        inner += element("tspan", set_run, class_=css_class(colour)) if colour else set_run
    return element(
        "text",
        inner,
        x=x,
        y=y,
        font_size=size,
        text_anchor=None if anchor == "start" else anchor,
        fill="currentColor",
        class_=css_class(token, *([] if kind == "plain" else [f"f-{kind}"])),
    )


def _em(content: str) -> float:
    """Add up the widths of the characters of `content`, in em."""
    return sum(_WIDTHS.get(character, 0.53) for character in content)


def _mathematics(content: str, size: float) -> str:
    """Set indices, exponents, italic names and minus signs with spans."""
    small = _INDEX * size
    down, up = 0.22 * size, -0.42 * size
    inner, position, dx, dy = "", 0, 0.0, 0.0
    for match in _MARKUP.finditer(content):
        inner, dx, dy = _append(inner, content[position : match.start()], dx, dy)
        low, high = match["low"], match["high"] or match["only"]
        if low:
            inner += _span(low, dx, dy + down, small)
            dx, dy = 0.0, -down
        if high:
            # An exponent is above the index before it, not after it.
            back = small * _em(low or "")
            inner += _span(high, dx - back, dy + up, small)
            dx, dy = max(0.0, back - small * _em(high)), -up
        position = match.end()
    inner, dx, dy = _append(inner, content[position:], dx, dy)
    # A run that ends raised or lowered returns to the baseline for the run after it.
    return inner + (element("tspan", "\u200b", dx=dx or None, dy=dy) if dy else "")


def _append(inner: str, content: str, dx: float, dy: float) -> tuple[str, float, float]:
    """Append text on the baseline; the offset that is left is none if there was any."""
    return (inner + _span(content, dx, dy), 0.0, 0.0) if content else (inner, dx, dy)


def _span(content: str, dx: float, dy: float, size: float | None = None) -> str:
    """Write a span of mathematics, moved by (`dx`, `dy`)."""
    written = _VARIABLE.sub(
        r'<tspan class="f-var">\g<0></tspan>', escape(content.replace("-", "−"), quote=False)
    )
    if not (dx or dy or size):
        return written
    return element("tspan", written, dx=dx or None, dy=dy or None, font_size=size)


def line(
    points: Iterable[tuple[float, float]],
    *,
    token: str | None = None,
    dashed: bool = False,
    width: float = LINE,
    opacity: float | None = None,
) -> str:
    """Write a line through points, its corners rounded.

    Parameters
    ----------
    points : iterable of (float, float)
        Two or more.
    token : str, optional
        Ink.
    dashed : bool, default False
        Whether it is dashed.
    width : float, default 1.25
        Width of the line.
    opacity : float, optional
        Opacity of the line.

    Returns
    -------
    str
        The markup.
    """
    corners = list(points)
    d = f"M{number(corners[0][0])} {number(corners[0][1])}"
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        x0, y0 = _towards(corner, before, RADIUS)
        x1, y1 = _towards(corner, after, RADIUS)
        d += f"L{number(x0)} {number(y0)}Q{number(corner[0])} {number(corner[1])}"
        d += f" {number(x1)} {number(y1)}"
    d += f"L{number(corners[-1][0])} {number(corners[-1][1])}"
    return element(
        "path",
        d=d,
        fill="none",
        stroke="currentColor",
        stroke_width=width,
        stroke_dasharray="3 3" if dashed else None,
        stroke_opacity=opacity,
        class_=css_class(token),
    )


def arrow(
    points: Iterable[tuple[float, float]], *, token: str | None = None, dashed: bool = False
) -> str:
    """Write a line whose last point carries a head.

    Parameters
    ----------
    points : iterable of (float, float)
        Two or more.
    token : str, optional
        Ink.
    dashed : bool, default False
        Whether the line is dashed.

    Returns
    -------
    str
        The markup.
    """
    corners = list(points)
    tip, base = corners[-1], _towards(corners[-1], corners[-2], 7.0)
    dx, dy = (tip[0] - base[0]) / 2, (tip[1] - base[1]) / 2
    head = (
        f"M{number(tip[0])} {number(tip[1])}"
        f"L{number(base[0] - dy)} {number(base[1] + dx)}"
        f"L{number(base[0] + dy)} {number(base[1] - dx)}z"
    )
    return group(
        line([*corners[:-1], base], dashed=dashed),
        element("path", d=head, fill="currentColor"),
        token=token,
    )


def _towards(
    start: tuple[float, float], end: tuple[float, float], distance: float
) -> tuple[float, float]:
    """Go `distance` from `start` towards `end`, half way at most."""
    (x0, y0), (x1, y1) = start, end
    length = max(abs(x1 - x0), abs(y1 - y0))
    part = min(0.5, distance / length) if length else 0.0
    return x0 + (x1 - x0) * part, y0 + (y1 - y0) * part


def box(
    x: float,
    y: float,
    width: float,
    height: float,
    *,
    token: str | None = None,
    fill: float = 0.1,
    dashed: bool = False,
    stroke: float = 1.0,
) -> str:
    """Write a rounded box with a light filling.

    Parameters
    ----------
    x, y, width, height : float
        Where, and how large.
    token : str, optional
        Ink.
    fill : float, default 0.1
        Opacity of the filling.
    dashed : bool, default False
        Whether the outline is dashed.
    stroke : float, default 1
        Opacity of the outline.

    Returns
    -------
    str
        The markup.
    """
    return element(
        "rect",
        x=x,
        y=y,
        width=width,
        height=height,
        rx=min(RADIUS, width / 4, height / 4),
        fill="currentColor",
        fill_opacity=fill,
        stroke="currentColor",
        stroke_width=LINE,
        stroke_opacity=None if stroke == 1 else stroke,
        stroke_dasharray="3 3" if dashed else None,
        class_=css_class(token),
    )


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawing with its title and its text alternative.

    Notebooks show it in the page, so that it follows the theme; `svg` writes it as a file.

    Attributes
    ----------
    title : str
        What it is, in a few words.
    description : str
        What it shows, for those who do not see it.
    body : str
        The markup inside ``<svg>``.
    height : float
        In the units of `width`.
    width : float, default 360
        One unit is one pixel on a phone.
    caption : str, default ""
        A line under the drawing; an empty one is left out.
    wide : Figure, optional
        The same content in a layout that a page shows where its column is wide.

    Examples
    --------
    >>> figure = Figure("A line", "One line.", line([(0, 5), (360, 5)]), height=10)
    >>> figure.svg().startswith('<svg viewBox="0 0 360 10" role="img"')
    True
    """

    title: str
    description: str
    body: str
    height: float
    width: float = WIDTH
    caption: str = ""
    wide: "Figure | None" = None

    @property
    def identifier(self) -> str:
        """A name made from the content: the same figure has the same one in every build."""
        content = "\0".join((self.title, self.description, self.body, self.caption))
        return "u-" + hashlib.sha256(content.encode()).hexdigest()[:12]

    def captioned(self, caption: str) -> "Figure":
        """Put a line under the drawing.

        Parameters
        ----------
        caption : str
            Plain text.

        Returns
        -------
        Figure
            The same drawing with this caption.
        """
        return replace(self, caption=caption)

    def svg(self, standalone: bool = False, layout: str | None = None) -> str:
        """Write the drawing as SVG.

        Parameters
        ----------
        standalone : bool, default False
            True writes a file: it carries the colours of both themes and follows the reader's
            preference. False writes a part of a page, which has them in its style sheet.
        layout : str, optional
            A class for the style sheet of the page: ``"f-narrow"`` or ``"f-wide"``.

        Returns
        -------
        str
            One ``<svg>`` element.
        """
        name = self.identifier
        return element(
            "svg",
            element("title", escape(self.title, quote=False), id=f"{name}-title"),
            element("desc", escape(self.description, quote=False), id=f"{name}-desc"),
            *([element("style", token_rules() + figure_rules())] if standalone else []),
            self.body,
            xmlns="http://www.w3.org/2000/svg" if standalone else None,
            class_="u-figure" if standalone else layout,
            viewBox=f"0 0 {number(self.width)} {number(self.height)}",
            width=1.5 * self.width if standalone else None,
            height=1.5 * self.height if standalone else None,
            role="img",
            aria_labelledby=f"{name}-title {name}-desc",
        )

    def _repr_html_(self) -> str:
        """Write the drawing for a notebook."""
        caption = element("figcaption", escape(self.caption, quote=False))
        drawings = [self.svg()]
        if self.wide is not None:
            drawings = [self.svg(layout="f-narrow"), self.wide.svg(layout="f-wide")]
        return element("figure", *drawings, *([caption] if self.caption else []), class_="u-figure")

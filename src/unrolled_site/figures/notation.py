"""The legend: every symbol with its colour, and every mark that the figures use."""

from collections.abc import Sequence

from .blocks import cells, outline
from .palette import PALETTE
from .svg import BODY, WIDTH, Figure, arrow, box, line, text

__all__ = ["legend"]


def legend(names: Sequence[str] | None = None, marks: bool = True) -> Figure:
    """Draw the legend of the figures.

    Parameters
    ----------
    names : sequence of str, optional
        Names of tokens; all of `PALETTE` by default.
    marks : bool, default True
        Whether the marks follow: filled and hollow cells, breaks, frames, arrows.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    ValueError
        If a name is not in the palette.

    Examples
    --------
    >>> legend(["x", "h"], marks=False).description
    'x_t: input. h_t: hidden state.'
    """
    chosen = list(PALETTE) if names is None else list(names)
    for name in chosen:
        if name not in PALETTE:
            raise ValueError(f"names should be names in {list(PALETTE)}, got {name!r}")
    parts, said = [], []
    y = 8.0
    for name in chosen:
        token = PALETTE[name]
        parts.append(box(24, y, 26, 18, token=name, fill=0.5))
        parts.append(text(84, y + 14.5, token.symbol, token=name, kind="math"))
        parts.append(text(122, y + 14, token.meaning, anchor="start", size=BODY))
        symbol = token.symbol.replace("{", "").replace("}", "")
        said.append(f"{symbol}: {token.meaning}.")
        y += 27
    if marks:
        if chosen:
            parts.append(line([(24, y + 3), (WIDTH - 24, y + 3)], width=0.75, opacity=0.4))
            y += 15
        for mark, meaning in _marks(y):
            parts.append(mark)
            parts.append(text(122, y + 14, meaning, anchor="start", size=BODY))
            said.append(f"{meaning[0].upper()}{meaning[1:]}.")
            y += 27
    return Figure("Symbols and marks", " ".join(said), "".join(parts), y + 2)


def _marks(y: float) -> list[tuple[str, str]]:
    """Draw the marks, one below the other, each with its meaning."""
    pitch = 27.0
    rows = [y + pitch * index for index in range(10)]
    return [
        (cells(33, rows[0], [[0.4, 0.7, 1.0]], 18, None), "filled: positive; stronger is larger"),
        (cells(33, rows[1], [[-0.4, -0.7, -1.0]], 18, None), "hollow: negative"),
        (cells(33, rows[2], [[0.0, 0.0, 0.0]], 18, None), "empty: zero"),
        (outline(51, rows[3] + 1, 17, 17), "framed: look here"),
        (
            line([(56, rows[4] - 1), (56, rows[4] + 19)])
            + line([(62, rows[4] - 1), (62, rows[4] + 19)]),
            "rows or columns are left out",
        ),
        (_arrow(rows[5], "x"), "an input goes in"),
        (_arrow(rows[6], "h"), "a hidden state goes on"),
        (_arrow(rows[7], None), "a result"),
        (box(34, rows[8], 50, 18, fill=0.06), "a part of PyTorch's module"),
        (box(34, rows[9], 50, 18, fill=0.06, dashed=True), "a part that you add"),
    ]


def _arrow(y: float, token: str | None) -> str:
    """Draw the arrow of a mark."""
    return arrow([(34, y + 9), (84, y + 9)], token=token)

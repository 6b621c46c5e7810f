"""A drawing of how libraries store the gates: in which order, which way round, which biases."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .svg import SMALL, WIDTH, Figure, box, text

if TYPE_CHECKING:
    from unrolled.porting import Layout

__all__ = ["gate_layouts"]

_SIDE, _GAP, _PITCH = 58.0, 3.0, 96.0


def gate_layouts(layouts: "Mapping[str, Layout]") -> Figure:
    """Draw, for each library, its weights of the hidden state and its biases.

    Parameters
    ----------
    layouts : mapping of str to `unrolled.porting.Layout`
        The layouts by the names that are written above them, all of the same kind of module.

    Returns
    -------
    Figure
        The drawing. Weights are cut into rows or, where they are transposed, into columns. Biases
        of the input are above those of the hidden state; the sum of both is as high as two.

    Raises
    ------
    ValueError
        If there are no layouts.

    Examples
    --------
    >>> from unrolled.porting import LAYOUTS
    >>> gate_layouts({name: LAYOUTS[name]["GRU"] for name in ("torch", "keras")}).description
    'torch: rows r, z, n; bias_ih r, z, n; bias_hh r, z, n. keras: columns z, r, n; \
bias_ih z, r, n; bias_hh z, r, n.'
    """
    if not layouts:
        raise ValueError("layouts should have at least one entry, got none")
    parts, described = [], []
    for place, (name, layout) in enumerate(layouts.items()):
        row, column = divmod(place, 2)
        x, y = 8 + column * WIDTH / 2, 20 + row * _PITCH
        parts.append(text(x, y - 6, name, anchor="start", kind="code"))
        weights = _gates(layout, "weight_hh")
        for index, gate in enumerate(weights):
            start, length = index * _SIDE / len(weights), _SIDE / len(weights)
            apart = _GAP if len(_holding(layout, "weight_hh")) > 1 else 0.0
            size = (length - apart, _SIDE) if layout.transposed else (_SIDE, length - apart)
            at = (x + start, y) if layout.transposed else (x, y + start)
            parts.append(_labelled(*at, *size, gate))
        width = min(26.0, (WIDTH / 2 - _SIDE - 30) / len(weights))
        words = []
        for of, up, high in (
            ("bias_ih+bias_hh", 0.0, _SIDE),
            ("bias_ih", 0.0, _SIDE / 2),
            ("bias_hh", _SIDE / 2, _SIDE / 2),
        ):
            gates = _gates(layout, of)
            for gate in gates:
                at = (x + _SIDE + 12 + width * weights.index(gate), y + up)
                parts.append(_labelled(*at, width - 1, high - 1, gate))
            words += [f"; {of} {', '.join(gates)}"] if gates else []
        way = "columns" if layout.transposed else "rows"
        described.append(f"{name}: {way} {', '.join(weights)}{''.join(words)}.")
    rows = (len(layouts) + 1) // 2
    return Figure(
        "How libraries store the gates", " ".join(described), "".join(parts), 6 + rows * _PITCH
    )


def _holding(layout: "Layout", of: str) -> list[str]:
    """List the arrays that have blocks of a parameter, or of a sum."""
    return [
        name
        for name in layout.arrays
        if any("+".join(sources) == of for row in layout.blocks(name) for sources, _ in row)
    ]


def _gates(layout: "Layout", of: str) -> list[str]:
    """List the gates of these blocks, in the library's order."""
    return [
        gate
        for name in _holding(layout, of)
        for row in layout.blocks(name)
        for sources, gate in row
        if "+".join(sources) == of
    ]


def _labelled(x: float, y: float, width: float, height: float, gate: str) -> str:
    token = "h" if gate == "h" else f"g{gate}"
    label = text(x + width / 2, y + height / 2 + 4, gate, token=token, kind="math", size=SMALL)
    return box(x, y, width, height, token=token, fill=0.16, stroke=0.6) + label

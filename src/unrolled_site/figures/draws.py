"""Drawings of what initialisation draws: one number, bit by bit, and eigenvalues."""

from collections.abc import Mapping
from numbers import Complex
from typing import Any

from .svg import WIDTH, Figure, arrow, box, element, group, line, signed, text
from .values import check_result, vector, whole

__all__ = ["bits_to_weight", "eigenvalues"]

_BITS, _KEPT = 32, 24


def bits_to_weight(bits: int, bound: float, weight: float) -> Figure:
    r"""Draw how 32 random bits become one weight.

    The weight is :math:`2 b u - b` with the bound :math:`b` and
    :math:`u = (\text{bits} \bmod 2^{24}) / 2^{24}`.

    Parameters
    ----------
    bits : int
        What the generator gives, 0 to 2**32 - 1.
    bound : float
        ``1 / sqrt(hidden_size)``.
    weight : float
        The weight that PyTorch makes of it.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If `bits` is not an int, or `bound` or `weight` not a number.
    ValueError
        If `bits` is out of range, or `weight` is not what the bits give.

    Examples
    --------
    >>> bits_to_weight(2**31 + 2**23, 0.5, 0.0).title
    'From 32 random bits to one weight'
    """
    whole("bits", bits, 0, 2**_BITS - 1)
    bound, weight = vector("bound", [bound])[0], vector("weight", [weight])[0]
    u = bits % 2**_KEPT / 2**_KEPT
    check_result("weight", [[weight + bound]], [[u * 2 * bound]])
    digits, dropped = f"{bits:032b}", _BITS - _KEPT
    middle = 222.0  # of the bits that are kept
    parts = [
        text(60, 16, f"{dropped} dropped", kind="dim"),
        text(middle, 16, f"{_KEPT} bits kept", kind="dim"),
        box(19, 24, 81, 26, fill=0.0, dashed=True, stroke=0.5),
        box(102, 24, 241, 26, token="wih", fill=0.15),
    ]
    for place, digit in enumerate(digits):
        kept = place >= dropped
        token = "wih" if kept else None
        parts.append(text(25 + 10 * place + 2 * kept, 41.5, digit, kind="code", token=token))
    parts += [
        arrow([(middle, 54), (middle, 78)]),
        text(middle, 96, f"u  =  bits / 2²⁴  =  {u:.6f}"),
        arrow([(middle, 106), (middle, 130)]),
        text(middle, 148, f"u · 2 · bound − bound  =  {signed(weight, 6)}", token="wih"),
    ]
    return Figure(
        "From 32 random bits to one weight",
        f"The random bits are {digits}. The upper {dropped} are dropped. The lower "
        f"{_KEPT}, divided by two to the power of {_KEPT}, are {u:.6f}. Stretched to the "
        f"interval between minus and plus the bound they become the weight {signed(weight, 6)}.",
        "".join(parts),
        158,
    )


def eigenvalues(matrices: Mapping[str, Any], radius: float) -> Figure:
    """Draw the eigenvalues of two matrices in the complex plane, side by side.

    Parameters
    ----------
    matrices : mapping of str to array_like of complex
        For each of the two matrices a label and its eigenvalues.
    radius : float
        The radius of a dashed circle inside the unit circle.

    Returns
    -------
    Figure
        The drawing.

    Raises
    ------
    TypeError
        If an eigenvalue is not a number.
    ValueError
        If there are not two matrices, or an eigenvalue lies outside the drawing.

    Examples
    --------
    >>> eigenvalues({"normal": [0.5j, -0.5j], "other": [0.9]}, 0.577).description
    'Two unit circles with a dashed circle of radius 0.577 inside. normal: 2 of 2 eigenvalues lie \
in the dashed circle, the largest has modulus 0.50. other: 0 of 1 eigenvalues lie in the dashed \
circle, the largest has modulus 0.90.'
    """
    if len(matrices) != 2:
        raise ValueError(f"matrices should be two, got {len(matrices)}")
    radius = vector("radius", [radius])[0]
    parts, words, middle, reach = [], [], 112.0, 86.0
    scale = 78.0  # the radius of the unit circle
    for centre, (name, given) in zip((WIDTH / 4, WIDTH * 3 / 4), matrices.items(), strict=True):
        found = _complex(f"matrices[{name!r}]", given, reach / scale)
        inside = sum(abs(value) <= radius for value in found)
        words.append(
            f"{name}: {inside} of {len(found)} eigenvalues lie in the dashed circle, the largest "
            f"has modulus {max(map(abs, found)):.2f}."
        )
        parts += [
            text(centre, 16, name),
            line([(centre - reach, middle), (centre + reach, middle)]),
            line([(centre, middle - reach), (centre, middle + reach)]),
            _circle(centre, middle, scale),
            _circle(centre, middle, scale * radius, stroke_dasharray="4 3"),
            group(*(_dot(centre + scale * z.real, middle - scale * z.imag) for z in found),
                  token="whh"),
        ]  # fmt: skip
    return Figure(
        "Eigenvalues in the complex plane",
        f"Two unit circles with a dashed circle of radius {radius:.3f} inside. " + " ".join(words),
        "".join(parts),
        206,
    )


def _complex(name: str, given: Any, reach: float) -> list[complex]:
    """Read complex numbers that lie inside the drawing."""
    found = given.tolist() if hasattr(given, "tolist") else list(given)
    for value in found:
        if not isinstance(value, Complex):
            raise TypeError(f"{name} should be complex numbers, got {type(value).__name__}")
    if not found:
        raise ValueError(f"{name} should be at least one number, got none")
    for value in found:
        if not abs(value) <= reach:
            raise ValueError(f"{name} should have moduli up to {reach:.2f}, got {value}")
    return found


def _circle(x: float, y: float, radius: float, **style: str) -> str:
    """Draw the outline of a circle."""
    return element("circle", cx=x, cy=y, r=radius, fill="none", stroke="currentColor",
                   stroke_width=1.25, **style)  # fmt: skip


def _dot(x: float, y: float) -> str:
    """Draw an eigenvalue."""
    return element("circle", cx=x, cy=y, r=1.8, fill="currentColor", fill_opacity=0.75)

"""Figures as images, for notebooks outside the site, which do not have its style sheet."""

import base64
import re
from html import escape, unescape
from typing import TYPE_CHECKING

from .palette import figure_rules, token_rules
from .svg import WIDTH, Figure, number

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__all__ = ["as_images", "image", "parts", "words"]

_SVG = re.compile(r"<svg(?P<attributes>[^>]*)>(?P<inside>.*?)</svg>", re.DOTALL)
_CAPTION = re.compile(r"<figcaption>.*?</figcaption>", re.DOTALL)
_WORDS = re.compile(r"<(?:title|desc) [^>]*>(.*?)</(?:title|desc)>", re.DOTALL)


def parts(html: str) -> tuple[list[str], str]:
    """Take the HTML of a figure apart.

    Parameters
    ----------
    html : str
        What a page has, or anything else.

    Returns
    -------
    drawings : list of str
        The ``<svg>`` elements: of two layouts the one for phones is the first.
    caption : str
        The ``<figcaption>`` element, or an empty text.

    Examples
    --------
    >>> parts("<figure><svg></svg><figcaption>A line.</figcaption></figure>")
    (['<svg></svg>'], '<figcaption>A line.</figcaption>')
    """
    caption = _CAPTION.search(html)
    return [found[0] for found in _SVG.finditer(html)], caption[0] if caption else ""


def words(drawing: str) -> list[str]:
    """Give what a drawing says to those who do not see it.

    Parameters
    ----------
    drawing : str
        An ``<svg>`` element.

    Returns
    -------
    list of str
        Its title, and its description if it has one, as text.

    Examples
    --------
    >>> words('<svg><title id="t">h &lt; 1</title><desc id="d">It shrinks.</desc></svg>')
    ['h < 1', 'It shrinks.']
    """
    return [unescape(found).strip() for found in _WORDS.findall(drawing)]


def image(html: str) -> str:
    """Turn a drawing of a page into an image that brings its colours, on white.

    Parameters
    ----------
    html : str
        The drawing as a page has it; of two layouts the wide one, the last, is taken.

    Returns
    -------
    str
        An ``<img>`` with the text alternative of the drawing, and its caption.

    Raises
    ------
    ValueError
        If there is no drawing.

    Examples
    --------
    >>> image('<svg viewBox="0 0 360 10"><title id="t">A line</title></svg>').partition(" src=")[0]
    '<figure><img alt="A line"'
    """
    drawings, caption = parts(html)
    if not drawings:
        raise ValueError(f"html should hold an <svg> element, got {html[:40]!r}")
    attributes, inside = _SVG.findall(drawings[-1])[0]
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', attributes)
    if size is None:
        raise ValueError(f"a drawing should have a viewBox, got <svg{attributes[:60]}>")
    width, height = map(float, size.groups())
    scale = 1.5 if width <= WIDTH else 1.0
    attributes = re.sub(r' (?:class|role|aria-labelledby)="[^"]*"', "", attributes)
    style = f"svg {{ background: #fff; }}\n{token_rules(dark=False)}{figure_rules()}"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="u-figure"{attributes} '
        f'width="{number(scale * width)}" height="{number(scale * height)}">'
        f"<style>{escape(style, quote=False)}</style>{inside}</svg>"
    )
    said = ". ".join(each.rstrip(".") for each in words(drawings[-1]))
    data = base64.b64encode(svg.encode()).decode()
    return (
        f'<figure><img alt="{escape(said)}" src="data:image/svg+xml;base64,{data}">'
        f"{caption}</figure>"
    )


def as_images(shell: "InteractiveShell | None" = None) -> None:
    """Let a notebook show figures as images from now on.

    Parameters
    ----------
    shell : InteractiveShell, optional
        IPython's; the one that runs, if left out. Nothing happens where none runs.
    """
    if shell is None:
        from IPython import get_ipython  # not imported above: pages need it, the package does not

        shell = get_ipython()
    if shell is not None and shell.display_formatter is not None:
        formatter = shell.display_formatter.formatters["text/html"]
        formatter.for_type(Figure, lambda figure: image(figure._repr_html_()))

"""Draw the card of a page, which messengers and social networks show beside a link to it.

No page loads its own card. The fonts are those of matplotlib, and nothing in a card depends on the
day or the machine.
"""

import io
from functools import cache
from pathlib import Path

import matplotlib
from PIL import Image, ImageDraw, ImageFont

from unrolled_site.figures.palette import INK, PALETTE

SIZE = (1200, 630)
MARGIN = 80
PAPER = "#ffffff"
FONTS = Path(matplotlib.get_data_path(), "fonts", "ttf")
BOLD, PLAIN = FONTS / "DejaVuSans-Bold.ttf", FONTS / "DejaVuSans.ttf"
FINE = 3  # shapes are drawn so many times larger and then reduced, which makes their edges smooth


def wrapped(text: str, font: ImageFont.FreeTypeFont) -> list[str]:
    """Break a text into lines that are as wide as the card allows."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= SIZE[0] - 2 * MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def fitting(
    text: str, path: Path, largest: int, height: float
) -> tuple[str, ImageFont.FreeTypeFont, float]:
    """Give a text in lines, the largest font in which it fits, and the height that it takes."""
    for size in range(largest, 11, -2):
        font = ImageFont.truetype(path, size)
        lines = wrapped(text, font)
        if (taken := len(lines) * size * 1.3) <= height:
            return "\n".join(lines), font, taken
    raise ValueError(f"there is no room on a card for: {text}")


@cache
def loop() -> Image.Image:
    """Draw the mark of the site, a loop unrolled: an input and a hidden state at each time step."""
    width, height = SIZE[0] - 2 * MARGIN, 120
    image = Image.new("RGB", (width * FINE, height * FINE), PAPER)
    draw = ImageDraw.Draw(image)
    h, x = PALETTE["h"].light, PALETTE["x"].light
    steps, radius, y, line = 8, 17 * FINE, 40 * FINE, 4 * FINE
    gap = (width * FINE - 2 * radius) / (steps - 1)
    draw.line((radius, y, width * FINE - radius, y), PALETTE["whh"].light, line)
    for step in range(steps):
        at = radius + step * gap
        draw.line((at, y, at, height * FINE), PALETTE["wih"].light, line)
        draw.ellipse((at - radius, y - radius, at + radius, y + radius), h)
        half = 11 * FINE
        draw.rectangle((at - half, height * FINE - 2 * half, at + half, height * FINE), x)
    return image.resize((width, height), Image.Resampling.BOX)


def draw_card(title: str, sentence: str, part: str) -> bytes:
    """Draw a card as a PNG: the part of the site, the title of the page, its first sentence."""
    image = Image.new("RGB", SIZE, PAPER)
    draw = ImageDraw.Draw(image)
    head = f"Unrolled · {part}" if part else "Unrolled"
    draw.text((MARGIN, 64), head, PALETTE["h"].light, ImageFont.truetype(BOLD, 30))
    lines, font, taken = fitting(title, BOLD, 64, 170)
    draw.multiline_text((MARGIN, 116), lines, INK["light"], font, spacing=font.size * 0.15)
    lines, font, _ = fitting(sentence, PLAIN, 34, 330 - taken)
    top = 116 + taken + 16
    draw.multiline_text((MARGIN, top), lines, INK["light"], font, spacing=font.size * 0.2)
    image.paste(loop(), (MARGIN, SIZE[1] - 40 - 120))
    file = io.BytesIO()
    # A palette makes the file a fifth as large.
    image.quantize(64, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(file, "PNG")
    return file.getvalue()

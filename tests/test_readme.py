"""The README's picture is the one that the code draws."""

import re
import runpy
from pathlib import Path

ROOT = Path(__file__).parent.parent
NUMBER = re.compile(r"-?\d+\.?\d*")


def test_picture_is_up_to_date() -> None:
    script = runpy.run_path(str(ROOT / "docs/_scripts/draw_readme_picture.py"))
    drawn = script["picture"]()
    kept = (ROOT / "docs/_static/recurrence.svg").read_text("utf-8")
    assert NUMBER.sub("0", drawn) == NUMBER.sub("0", kept)
    pairs = zip(NUMBER.findall(drawn), NUMBER.findall(kept), strict=True)
    # Shades are rounded to two digits; another machine may round a value the other way.
    assert all(abs(float(a) - float(b)) <= 0.02 for a, b in pairs)

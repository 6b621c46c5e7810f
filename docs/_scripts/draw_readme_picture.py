"""Draw the picture of the README: the recurrence of the worked example, for both themes.

Run as `python docs/_scripts/draw_readme_picture.py docs/_static/recurrence.svg` after a change of
the figure or of the example; `tests/test_readme.py` notices when it was forgotten.
"""

import sys
from pathlib import Path

from unrolled import linear
from unrolled_site import figures
from unrolled_site.example import worked_example


def picture() -> str:
    """Draw the first sequence of the worked example, as a file that needs no style sheet."""
    rnn, x, h_0 = worked_example()
    weight_ih, weight_hh, bias_ih, bias_hh = (p.detach() for p in rnn.parameters())
    projected = linear(x[0], weight_ih, bias_ih)  # (L, H_out)
    states = rnn(x, h_0)[0][0].detach()  # (L, H_out)
    figure = figures.recurrence(projected, weight_hh, bias_hh, h_0[0, 0], states)
    return figure.svg(standalone=True)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(picture(), "utf-8")

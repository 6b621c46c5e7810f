"""What Hypothesis draws: the whole space of constructor calls and inputs of the modules."""

import torch
from hypothesis import settings
from hypothesis import strategies as st

from tests.comparisons import KINDS, LAYOUTS, Configuration


def fraction(part: float) -> settings:
    """Draw a part of what the profile draws."""
    return settings(max_examples=int(settings().max_examples * part))


FEWER = fraction(1 / 4)
"""For what costs more or can go wrong in fewer ways than the module itself."""

sizes = st.integers(1, 40)
seeds = st.integers(-(2**63), 2**64 - 1)


@st.composite
def configurations(draw: st.DrawFn, kinds: tuple[str, ...] = KINDS) -> Configuration:
    """Draw a legal constructor call of a recurrent module and an input for it."""
    kind = draw(st.sampled_from(kinds))
    hidden_size = draw(sizes)
    projected = kind == "LSTM" and hidden_size > 1 and draw(st.integers(1, 3)) == 3
    layout = draw(st.sampled_from(LAYOUTS))
    batch = st.lists(st.integers(1, 7), min_size=layout.startswith("packed"), max_size=5)
    if layout.startswith("packed"):  # equal lengths may take another way, and are seldom drawn
        batch |= st.integers(1, 7).flatmap(lambda length: st.lists(st.just(length), min_size=1))
    return Configuration(
        kind=kind,
        input_size=draw(sizes),
        hidden_size=hidden_size,
        num_layers=draw(st.integers(1, 3)),
        nonlinearity=draw(st.sampled_from(["tanh", "relu"])),
        bias=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        dropout=draw(st.sampled_from([0.0, 0.3, 1.0]) | st.floats(0, 1)),
        bidirectional=draw(st.booleans()),
        proj_size=draw(st.integers(1, hidden_size - 1)) if projected else 0,
        dtype=draw(st.sampled_from([torch.float32, torch.float64])),
        training=draw(st.booleans()),
        layout=layout,
        lengths=tuple(draw(batch)),
        L=draw(st.integers(1, 7)),
        hx_given=draw(st.booleans()),
        loss=draw(st.sampled_from(["output and states", "output", "h_n", "states"])),
        scale=draw(st.sampled_from([1.0, 100.0])),
        onednn=kind != "LSTM" or draw(st.integers(1, 4)) < 4,
        seed=draw(st.integers(0, 2**32)),
    )

"""What Hypothesis draws: the whole space of constructor calls and inputs of `nn.RNN`."""

import torch
from hypothesis import settings
from hypothesis import strategies as st

from tests.comparisons import LAYOUTS, Configuration

FEWER = settings(max_examples=settings().max_examples // 4)
"""For what costs more or can go wrong in fewer ways than the module itself."""

sizes = st.integers(1, 40)
seeds = st.integers(-(2**63), 2**64 - 1)


@st.composite
def configurations(draw: st.DrawFn) -> Configuration:
    """Draw a legal constructor call of `nn.RNN` and an input for it."""
    layout = draw(st.sampled_from(LAYOUTS))
    batch = st.lists(st.integers(1, 7), min_size=layout.startswith("packed"), max_size=5)
    return Configuration(
        input_size=draw(sizes),
        hidden_size=draw(sizes),
        num_layers=draw(st.integers(1, 3)),
        nonlinearity=draw(st.sampled_from(["tanh", "relu"])),
        bias=draw(st.booleans()),
        batch_first=draw(st.booleans()),
        dropout=draw(st.sampled_from([0.0, 0.3, 1.0]) | st.floats(0, 1)),
        bidirectional=draw(st.booleans()),
        dtype=draw(st.sampled_from([torch.float32, torch.float64])),
        training=draw(st.booleans()),
        layout=layout,
        lengths=tuple(draw(batch)),
        L=draw(st.integers(1, 7)),
        hx_given=draw(st.booleans()),
        loss=draw(st.sampled_from(["output and h_n", "output", "h_n"])),
        scale=draw(st.sampled_from([1.0, 100.0])),
        seed=draw(st.integers(0, 2**32)),
    )

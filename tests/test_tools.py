"""Tools, tried on `torch.nn`, on ours, and on ours after `to_torch`."""

import pytest
import torch
from torch import nn

import unrolled
from unrolled_site.tools import TOOLS, tried

N, L, H_in, H_out = 3, 5, 10, 20
# Those that know the classes of `torch.nn`, and those that follow operators.
BY_CLASS = list(TOOLS)[:5]


@pytest.mark.parametrize("tool", TOOLS)
def test_what_works_where(tool: str) -> None:
    """If this fails, the page *In and out of your model* says something else."""
    torch.manual_seed(0)
    x, others = torch.randn(L, N, H_in), [torch.randn(other, N, H_in) for other in (2, 3, 7, 12)]
    ours = tried(tool, unrolled.LSTM(H_in, H_out), x, others)
    assert ours.works == (tool not in BY_CLASS), ours.why
    for rnn in (nn.LSTM(H_in, H_out), unrolled.to_torch(unrolled.LSTM(H_in, H_out))):
        assert tried(tool, rnn, x, others).works == (tool in BY_CLASS)


def test_a_wrong_number_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rnn, x = nn.RNN(H_in, H_out), torch.randn(L, N, H_in)
    monkeypatch.setitem(TOOLS, "frozen", lambda model, x: lambda other: model(x)[: len(other)])
    found = tried("frozen", rnn, x, [torch.randn(2, N, H_in)])
    assert not found.works
    assert found.why.startswith("At 2 steps the results are ")
    assert tried("frozen", rnn, x, [x]).works

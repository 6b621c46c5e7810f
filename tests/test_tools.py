"""Tools, tried on `torch.nn`, on ours, and on ours after `to_torch`."""

import pytest
import torch
from torch import nn

import unrolled
from unrolled_site import tools
from unrolled_site.source import since
from unrolled_site.tools import TOOLS, tried

N, L, H_in, H_out = 3, 5, 10, 20
# Those that know the classes of `torch.nn`, and those that follow operators.
BY_CLASS = list(TOOLS)[:5]
ONNX = "torch.onnx.export(dynamo=True)"  # which follows operators, and since 2.15 knows two classes


@pytest.mark.parametrize("tool", TOOLS)
def test_what_works_where(tool: str) -> None:
    """If this fails, the page *In and out of your model* says something else."""
    torch.manual_seed(0)
    x, others = torch.randn(L, N, H_in), [torch.randn(other, N, H_in) for other in (2, 3, 7, 12)]
    ours = tried(tool, unrolled.LSTM(H_in, H_out), x, others)
    assert ours.works == (tool not in BY_CLASS), ours.why
    for rnn in (nn.LSTM(H_in, H_out), unrolled.to_torch(unrolled.LSTM(H_in, H_out))):
        known = tool in BY_CLASS or (tool == ONNX and since("2.15"))
        assert tried(tool, rnn, x, others).works == known


@pytest.mark.parametrize("rnn", [nn.RNN(10, 20), nn.LSTM(10, 20, proj_size=4), nn.GRU(10, 20)])
def test_what_the_onnx_exporter_knows(rnn: nn.RNNBase) -> None:
    """Whatever was exported before: each trial begins as if nothing had been."""
    x, others = torch.randn(L, N, H_in), [torch.randn(other, N, H_in) for other in (2, 7)]
    for tool, known in (("torch.export", False), (ONNX, since("2.15") and rnn.mode == "GRU")):
        for _ in range(2):
            assert tried(tool, rnn, x, others).works == known


def test_the_onnx_exporter_does_not_know_what_was_exported_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """PyTorch keeps what `torch.export` took for an operator; the trials forget it."""
    rnn, x = nn.GRU(H_in, H_out), torch.randn(L, N, H_in)
    other = [torch.randn(7, N, H_in)]
    assert not tried("torch.export", rnn, x, other).works
    assert tried(ONNX, rnn, x, other).works == since("2.15")
    forget = tools._forget
    monkeypatch.setattr(tools, "_forget", lambda: None)
    forget()
    assert not tried("torch.export", rnn, x, other).works
    assert not tried(ONNX, rnn, x, other).works


def test_a_wrong_number_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    rnn, x = nn.RNN(H_in, H_out), torch.randn(L, N, H_in)
    monkeypatch.setitem(TOOLS, "frozen", lambda model, x: lambda other: model(x)[: len(other)])
    found = tried("frozen", rnn, x, [torch.randn(2, N, H_in)])
    assert not found.works
    assert found.why.startswith("At 2 steps the results are ")
    assert tried("frozen", rnn, x, [x]).works

"""Tools, tried on `torch.nn`, on ours, and on ours after `to_torch`."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import unrolled
from unrolled_site import data, tools
from unrolled_site.source import since
from unrolled_site.tools import BODIES, TOOLS, Trial, _ahead_of_time, compiled_scan, tried

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
    known = tool in BY_CLASS or (tool == ONNX and since("2.15"))
    theirs = tried(tool, nn.LSTM(H_in, H_out), x, others)
    assert theirs.works == known, theirs.why
    back = tried(tool, unrolled.to_torch(unrolled.LSTM(H_in, H_out)), x, others)
    assert back.works == known, back.why
    recorded = data.read("tools")
    if recorded["torch"] == torch.__version__.partition("+")[0]:
        found = {"torch.nn": theirs, "unrolled": ours, "after to_torch": back}
        assert {form: Trial(**trial) for form, trial in recorded["trials"][tool].items()} == found


@pytest.mark.no_cover
@pytest.mark.parametrize("rnn", [nn.RNN(10, 20), nn.LSTM(10, 20, proj_size=4), nn.GRU(10, 20)])
def test_what_the_onnx_exporter_knows(rnn: nn.RNNBase) -> None:
    """Whatever was exported before: each trial begins as if nothing had been."""
    x, others = torch.randn(L, N, H_in), [torch.randn(other, N, H_in) for other in (2, 7)]
    known = since("2.15") and rnn.mode == "GRU"
    assert not tried("torch.export", rnn, x, others).works
    for _ in range(2 if rnn.mode == "GRU" else 1):
        assert tried(ONNX, rnn, x, others).works == known


@pytest.mark.no_cover
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


@pytest.mark.parametrize("body", BODIES)
def test_a_compiled_scan_is_compared_with_a_loop(
    body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert compiled_scan(body, "aot_eager") == "right"
    monkeypatch.setattr(torch, "stack", lambda states: 2 * torch.cat(states))  # in the loop
    assert compiled_scan(body, "aot_eager").startswith("wrong by ")


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(function: Any, backend: str) -> Any:
        raise NotImplementedError("not\n   today")

    monkeypatch.setattr(torch, "compile", fail)
    assert compiled_scan("tanh(x + h + b)", "inductor") == "NotImplementedError: not today"


def test_what_aotinductor_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its compiler of C++ takes long: here the exported program stands for what it makes."""
    made: list[Any] = []

    def pack(program: Any, package_path: str) -> str:
        made.append(program.module())
        return package_path

    def load(path: str) -> Any:
        assert Path(path).parent.is_dir()
        return made.pop()

    inductor: Any = torch._inductor
    monkeypatch.setattr(inductor, "aoti_compile_and_package", pack)
    monkeypatch.setattr(inductor, "aoti_load_package", load)
    assert _ahead_of_time("L") == "right"
    monkeypatch.setattr(inductor, "aoti_load_package", lambda path: lambda x: (made[0](x)[0] + 1,))
    assert _ahead_of_time("L") == "wrong by 1"
    monkeypatch.delattr(inductor, "aoti_load_package")
    assert _ahead_of_time("L").startswith("AttributeError: ")


def test_the_record_holds_for_its_pytorch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = data.read("tools")
    monkeypatch.setattr(torch, "__version__", recorded["torch"] + "+cpu")
    assert tools.report() == recorded
    monkeypatch.setattr(tools, "tried", lambda *_: Trial(False, "no"))
    monkeypatch.setattr(tools, "compiled_scan", lambda body, backend: backend)
    monkeypatch.setattr(tools, "_ahead_of_time", lambda *free: str(len(free)))
    found = tools.report(again=True)
    monkeypatch.setattr(torch, "__version__", "2.999.0")
    assert tools.report() == found
    assert found.keys() == recorded.keys() - {"torch"}
    for part in ("trials", "others", "compiled", "ahead"):
        assert found[part].keys() == recorded[part].keys()
    assert set(found["trials"]["torch.export"]) == {"torch.nn", "unrolled", "after to_torch"}
    assert found["trials"]["torch.export"]["unrolled"] == {"works": False, "why": "no"}
    assert found["compiled"]["tanh(x + h + b)"]["inductor"] == "inductor"
    assert found["ahead"] == {"L": "1", "L, N": "2"}

"""The ways into `python -m unrolled.porting`: a file is read completely, or refused."""

import io
import json
import os
import random
import subprocess
import sys
import time
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import pytest
import safetensors.torch
import torch
from hypothesis import settings
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils import parametrizations, prune

from unrolled.porting import from_layout, to_layout
from unrolled.porting.__main__ import main
from unrolled.porting.torch_file import TORCH

I, H = 3, 4  # noqa: E741 # its name in the libraries
Capture = pytest.CaptureFixture[str]
Arrays = dict[str, NDArray[Any]]


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, so that messages have short names."""
    monkeypatch.chdir(tmp_path)


def works(capsys: Capture, line: str, *notes: str) -> str:
    """Run a command line that must work; give what it says, each note once."""
    assert main(line.split()) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert said.err == ""
    first, *rest = said.out.splitlines()
    assert len(rest) == len(notes), rest
    for note, expected in zip(rest, notes, strict=True):
        assert note.startswith("note: ")
        assert expected in note
    return first


def fails(capsys: Capture, line: str) -> str:
    """Run a command line that must fail and leave everything as it was."""

    def there() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in Path().iterdir() if path.is_file()}

    before = there()
    assert main(line.split()) == 1
    said = capsys.readouterr()
    assert there() == before
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    return said.err


def stops(capsys: Capture, line: str) -> str:
    """Run a command line whose arguments make no sense."""
    with pytest.raises(SystemExit) as stopped:
        main(line.split())
    assert stopped.value.code == 2
    return capsys.readouterr().err


def state_of(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def same(path: str, expected: dict[str, torch.Tensor], prefix: str = "") -> None:
    found = torch.load(path, weights_only=True)
    assert [*found] == [prefix + name for name in expected]
    for name, value in expected.items():
        assert found[prefix + name].dtype == value.dtype
        assert found[prefix + name].equal(value), name


# Checkpoints of PyTorch


@pytest.mark.parametrize("suffix", [*TORCH, ".PT", ".safetensors"])
def test_suffixes(suffix: str, capsys: Capture) -> None:
    gru = nn.GRU(I, H, 2, bidirectional=True)
    torch.save(gru.state_dict(), "a.pt")
    works(capsys, f"GRU a.pt b{suffix}")
    works(capsys, f"GRU b{suffix} c.pt")
    same("c.pt", state_of(gru))


@pytest.mark.no_cover
@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("wrapper", ["", "module.", "_orig_mod.", "module._orig_mod."])
@pytest.mark.parametrize("name", ["", "encoder.rnn."])
def test_state_dicts_further_down(key: str, wrapper: str, name: str, capsys: Capture) -> None:
    lstm = nn.LSTM(I, H)
    inner = {f"{wrapper}{name}{k}": v for k, v in lstm.state_dict().items()}
    if name:
        inner[f"{wrapper}head.weight"] = torch.ones(2)
    contents = {"epoch": 3, key: inner, "optimizer": {"state": {0: {"exp_avg": torch.ones(2)}}}}
    torch.save(contents, "a.ckpt")
    short = f"--prefix {name}" if name else ""
    for number, prefix in enumerate([short, f"--prefix {key}.{wrapper}{name}"]):
        works(capsys, f"LSTM a.ckpt {number}.npz --layout keras {prefix}")
        [[expected]] = to_layout("keras", "LSTM", lstm.state_dict())
        with np.load(f"{number}.npz") as found:
            assert all(np.array_equal(found[f"{k}_l0"], v) for k, v in expected.items())
    if name:
        assert f"--prefix should be one of ['{name}'] for a.ckpt, got ''" in (
            fails(capsys, "LSTM a.ckpt b.npz")
        )


def test_two_modules_of_one_name(capsys: Capture) -> None:
    first, second = nn.GRU(I, H), nn.GRU(I, H)
    torch.save({"state_dict": first.state_dict(), "model": second.state_dict()}, "a.pt")
    assert "should be one of ['model.', 'state_dict.'] for a.pt, got ''" in (
        fails(capsys, "GRU a.pt b.npz")
    )
    works(capsys, "GRU a.pt b.npz --prefix model.")
    with np.load("b.npz") as found:
        assert np.array_equal(found["weight_hh_l0"], second.state_dict()["weight_hh_l0"])
    shared = first.state_dict()
    ring = {"state_dict": shared, "model": shared}
    ring["ring"] = ring
    torch.save(ring, "ring.pt")
    works(capsys, "GRU ring.pt b.npz")
    torch.save({1: nn.Linear(2, 2).state_dict(), "weight_hh_l0": torch.ones(2)}, "none.pt")
    said = fails(capsys, "GRU none.pt b.npz")
    assert "none.pt should have the parameters of a recurrent module, weight_ih_l0 and" in said
    torch.save({f"layer{k}.weight": torch.ones(1) for k in range(900)}, "none.pt")
    assert "got 900 names: 'layer0.weight', " in fails(capsys, "GRU none.pt b.npz")
    torch.save({f"weight_ih_l{k}": torch.ones(1) for k in range(900)}, "none.pt")
    assert len(fails(capsys, "GRU none.pt b.npz")) < 1100


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells(kind: str, bias: bool, capsys: Capture) -> None:
    cell = getattr(nn, f"{kind}Cell")(I, H, bias)
    torch.save({f"cell.{name}": value for name, value in cell.state_dict().items()}, "a.pt")
    notes = ["does not say the nonlinearity"] if kind == "RNN" else []
    works(capsys, f"{kind} a.pt b.pth --prefix cell.", "a cell, read as a module of one", *notes)
    expected = {f"{name}_l0": value for name, value in state_of(cell).items()}
    same("b.pth", expected, "cell.")
    new = {name: torch.randn_like(value) for name, value in expected.items()}
    torch.save(new, "new.pt")
    works(capsys, f"{kind} new.pt c.pth", *notes)
    torch.save(cell.state_dict(), "cell.pt")  # a cell is updated as a cell
    works(capsys, f"{kind} new.pt cell.pt", *notes, "cell.pt is updated")
    same("cell.pt", {name.removesuffix("_l0"): value for name, value in new.items()})


def old_weight_norm(module: nn.Module, name: str, dim: Any) -> None:
    with warnings.catch_warnings(action="ignore"):  # it is the old one
        nn.utils.weight_norm(module, name, dim)


@pytest.mark.parametrize("dim", [0, 1, None])
@pytest.mark.parametrize("norm", [old_weight_norm, parametrizations.weight_norm])
@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0_reverse"])
def test_weight_norm(norm: Any, dim: Any, name: str, capsys: Capture) -> None:
    lstm = nn.LSTM(I, H, bidirectional=True)
    norm(lstm, name, dim=dim)
    with torch.no_grad():
        for parameter in lstm.parameters():
            parameter.uniform_(0.1, 2)
    stale = {name: torch.full_like(getattr(lstm, name), 99)}
    torch.save({**lstm.state_dict(), **stale}, "a.pt")
    works(capsys, "LSTM a.pt b.pt", f"{name} is computed from ")
    torch.save(lstm.state_dict(), "a.pt")
    x = torch.randn(5, 2, I)
    expected = lstm(x)[0]
    other = nn.LSTM(I, H, bidirectional=True)
    other.load_state_dict(torch.load("b.pt", weights_only=True))
    assert (other(x)[0] - expected).abs().max() < 1e-6
    assert other.state_dict()[name].equal(getattr(lstm, name))
    said = works(capsys, "LSTM a.pt c.pt", f"{name} is computed from ")
    assert "bidirectional=True" in said
    assert f"the {name} beside them is not used" not in said
    same("c.pt", state_of(other))
    assert f"['{name}'] at '' in a.pt should be stored" in fails(capsys, "LSTM b.pt a.pt")


def test_pruning(capsys: Capture) -> None:
    gru = nn.GRU(I, H)
    cut: Any = prune.random_unstructured  # it has no types
    cut(gru, "weight_hh_l0", 0.5)
    torch.save({**gru.state_dict(), "weight_hh_l0": torch.ones(3 * H, H)}, "a.pt")
    note = "weight_hh_l0 is computed from weight_hh_l0_orig and weight_hh_l0_mask; the weight_hh_l0"
    works(capsys, "GRU a.pt b.pt", note)
    found = torch.load("b.pt", weights_only=True)["weight_hh_l0"]
    assert found.equal(gru.weight_hh_l0)
    assert (found == 0).sum() == found.numel() // 2


def computed(*names: str, shape: Sequence[int] = (3 * H, H)) -> dict[str, torch.Tensor]:
    state = {k: v for k, v in nn.GRU(I, H).state_dict().items() if k not in ("weight_hh_l0",)}
    return {**state, **{name: torch.ones(*shape) for name in names}}


REFUSED_WEIGHTS = [
    computed("weight_hh_l0_raw", "weight_hh_l0"),
    computed("weight_hh_l0_orig", "weight_hh_l0"),
    computed("weight_hh_l0_orig", "weight_hh_l0_u", "weight_hh_l0_v"),
    computed("weight_hh_l0_g", "weight_hh_l0"),
    computed("weight_hh_l0_g", "weight_hh_l0_v", shape=(3 * H, 2)),
    computed("parametrizations.weight_hh_l0.original"),
    computed("parametrizations.weight_hh_l0.original0"),
    computed("parametrizations.weight_hh_l0.original", "parametrizations.weight_hh_l0.0.base"),
    computed("weight_hh_l0") | {"parametrizations.weight_hh_l0.original0": torch.ones(3 * H, 1)},
    computed("weight_hh_l0_orig") | {"weight_hh_l0_mask": torch.ones(1)},
    dict(parametrizations.spectral_norm(nn.GRU(I, H), "weight_hh_l0").state_dict()),
    dict(parametrizations.orthogonal(nn.GRU(I, H), "weight_hh_l0").state_dict()),
]


@pytest.mark.parametrize("number", range(len(REFUSED_WEIGHTS)))
def test_weights_computed_otherwise(number: int, capsys: Capture) -> None:
    torch.save(REFUSED_WEIGHTS[number], "a.pt")
    said = fails(capsys, "GRU a.pt b.pt")
    assert "weight_hh_l0 at '' in a.pt should be stored, but is computed from " in said
    assert "remove_parametrizations" in said


def test_a_copy_inside_a_weight_drop(capsys: Capture) -> None:
    inner = {f"rnns.0.module.{name}": v for name, v in nn.LSTM(I, H).state_dict().items()}
    torch.save({**inner, "rnns.0.weight_hh_l0_raw": torch.ones(4 * H, H)}, "a.pt")
    assert "is a copy of what is computed from 'rnns.0.weight_hh_l0_raw'" in (
        fails(capsys, "LSTM a.pt b.pt --prefix rnns.0.module.")
    )


def test_tensors_that_are_refused(capsys: Capture) -> None:
    state = nn.GRU(I, H).state_dict()
    for bad in (
        state["weight_hh_l0"].to(torch.float8_e4m3fn),
        state["weight_hh_l0"].to_sparse(),
        torch.ones(3 * H, H, device="meta"),
        state["weight_hh_l0"].int(),
    ):
        torch.save({**state, "weight_hh_l0": bad}, "a.pt")
        assert "weight_hh_l0 in a.pt should be a dense tensor of a floating" in (
            fails(capsys, "GRU a.pt b.pt")
        )
    torch.save({**state, "note": "hello"}, "a.pt")
    assert "got str under the name 'note'" in fails(capsys, "GRU a.pt b.pt")
    torch.save({**state, "lstm.weight": torch.ones(2)}, "a.pt")
    assert "unexpected: ['lstm.weight']" in fails(capsys, "GRU a.pt b.pt")
    torch.save({"args": __import__("argparse").Namespace(a=1), **state}, "a.pt")
    assert "refuses it: a argparse.Namespace could run code" in fails(capsys, "GRU a.pt b.pt")


def test_a_damaged_archive(capsys: Capture) -> None:
    gru = nn.GRU(I, H)
    torch.save(gru.state_dict(), "a.pt")
    data = bytearray(Path("a.pt").read_bytes())
    at = data.index(gru.get_parameter("bias_ih_l0").detach().numpy().tobytes())
    data[at] ^= 1
    Path("a.pt").write_bytes(data)
    assert "a.pt should be as it was written, but 'a/data/2' in it is damaged" in (
        fails(capsys, "GRU a.pt b.npz")
    )
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(nn.GRU(I, H).state_dict(), "a.pt")
    finally:
        torch.serialization.set_crc32_options(True)
    works(capsys, "GRU a.pt b.npz")  # no checksums, no damage


# Dtypes and values


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
def test_dtypes(name: str, capsys: Capture) -> None:
    dtype = getattr(torch, name)
    gru = nn.GRU(I, H, dtype=dtype)  # drawn in this dtype
    torch.save(gru.state_dict(), "a.pt")
    works(capsys, "GRU a.pt same.pt")
    same("same.pt", state_of(gru))
    works(capsys, "GRU a.pt same.safetensors")
    works(capsys, "GRU same.safetensors back.pt")
    same("back.pt", state_of(gru))
    halves = ["because an .npz file has no bfloat16"] if name == "bfloat16" else []
    works(capsys, "GRU a.pt b.npz", *halves)
    with np.load("b.npz") as found:
        assert found["weight_hh_l0"].dtype == ("float32" if halves else name)
        assert np.array_equal(
            found["weight_hh_l0"], gru.get_parameter("weight_hh_l0").detach().double().numpy()
        )
    halves = ["because an .onnx file has no bfloat16"] if name == "bfloat16" else []
    runs = ["but ONNX Runtime does not run them on a CPU"] if name == "float64" else []
    works(capsys, "GRU a.pt b.onnx", *halves, *runs)
    if not runs:
        session = onnxruntime.InferenceSession("b.onnx", providers=["CPUExecutionProvider"])
        dtypes = np.float16 if name == "float16" else np.float32
        x, h_0 = np.ones((5, 2, I), dtypes), np.zeros((1, 2, H), dtypes)
        feed = {"input": x, "lengths": np.full(2, 5, np.int32), "h_0": h_0}
        output = gru.float()(torch.ones(5, 2, I))[0].detach().numpy()
        found = session.run(["output"], feed)[0]
        assert np.abs(found - output).max() < (1e-3 if name == "float16" else 1e-6)
        gru = gru.to(dtype)
    for other in ("float16", "bfloat16", "float32", "float64"):
        converted = [f"converted from {name} to {other}"] if other != name else []
        works(capsys, f"GRU a.pt {other}.pt --dtype {other}", *converted)
        wanted = getattr(torch, other)
        same(f"{other}.pt", {k: v.to(wanted) for k, v in state_of(gru).items()})
    assert "--dtype should be one that .npz has, got bfloat16" in (
        stops(capsys, "GRU a.pt b.npz --dtype bfloat16")
    )


def test_sums_are_rounded_once(capsys: Capture) -> None:
    lstm = nn.LSTM(I, H).half()
    torch.save(lstm.state_dict(), "a.pt")
    works(capsys, "LSTM a.pt b.npz --layout keras --dtype float32", "from float16 to float32")
    with np.load("b.npz") as found:
        both = (
            lstm.get_parameter("bias_ih_l0").detach().float()
            + lstm.get_parameter("bias_hh_l0").detach().float()
        )
        assert np.array_equal(found["bias_l0"], both.numpy())


def test_arrays_of_two_dtypes(capsys: Capture) -> None:
    state = nn.GRU(I, H).state_dict()
    state["bias_hh_l0"] = state["bias_hh_l0"].bfloat16()
    torch.save(state, "a.pt")
    assert "should have arrays of one" in fails(capsys, "GRU a.pt b.npz --layout keras")
    works(capsys, "GRU a.pt b.pt --dtype float32", "converted from bfloat16 and float32 to float32")
    same("b.pt", {name: value.float() for name, value in state.items()})


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("target", ["b.npz", "b.pt", "b.onnx"])
def test_values_that_are_not_finite(value: float, target: str, capsys: Capture) -> None:
    gru = nn.GRU(I, H)
    with torch.no_grad():
        gru.get_parameter("bias_hh_l0")[2:4] = value
    torch.save(gru.state_dict(), "a.pt")
    assert "bias_hh_l0 in a.pt should be finite, got 2 values that are not" in (
        fails(capsys, f"GRU a.pt {target}")
    )


@pytest.mark.parametrize("target", ["b.npz", "b.pt", "c.pt"])
def test_values_that_are_too_large(target: str, capsys: Capture) -> None:
    gru = nn.GRU(I, H)
    torch.save({"rnn": gru.half().state_dict(), "epoch": 3}, "c.pt")
    gru = gru.float()
    with torch.no_grad():
        gru.get_parameter("bias_hh_l0")[1] = 1e5
    torch.save(gru.state_dict(), "a.pt")
    line = f"GRU a.pt {target} --dtype float16" + " --prefix rnn." * (target != "b.npz")
    if target != "b.npz":
        torch.save({f"rnn.{name}": v for name, v in gru.state_dict().items()}, "a.pt")
    said = fails(capsys, line)
    assert "bias_hh" in said
    assert "should have values that float16 can hold, got larger ones" in said


# A checkpoint that is there


def big(dtype: torch.dtype = torch.float32) -> nn.ModuleDict:
    parts = {"emb": nn.Embedding(5, I), "lstm": nn.LSTM(I, H), "head": nn.Linear(H, 2).half()}
    parts["lstm"].to(dtype)
    return nn.ModuleDict(parts)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_an_update_leaves_the_rest(suffix: str, capsys: Capture) -> None:
    before, new = big().state_dict(), nn.LSTM(I, H)
    if suffix == ".pt":
        torch.save(before, "big.pt")
    else:
        safetensors.torch.save_file(before, "big.safetensors", {"made by": "somebody"})
    torch.save(new.state_dict(), "new.pt")
    works(capsys, "LSTM new.pt new.npz")
    note = f"big{suffix} is updated: 4 tensors at 'lstm.' are new, the rest is as it was"
    works(capsys, f"LSTM new.npz big{suffix} --prefix lstm.", note)
    if suffix == ".pt":
        after = torch.load("big.pt", weights_only=True)
        assert isinstance(after, OrderedDict)
        assert [*after] == [*before]
        assert vars(after) == vars(before)  # _metadata
    else:
        after = safetensors.torch.load_file("big.safetensors")
        with safetensors.safe_open("big.safetensors", framework="pt") as file:
            assert file.metadata() == {"made by": "somebody"}
    expected = {**before, **{f"lstm.{k}": v for k, v in new.state_dict().items()}}
    assert {*after} == {*expected}
    for name, value in expected.items():
        assert after[name].dtype == value.dtype
        assert after[name].equal(value), name
    assert "name another target, or remove it" in (
        said := fails(capsys, f"LSTM new.npz big{suffix}")
    )
    assert "--prefix should be one of ['lstm.']" in said


def test_an_update_further_down(capsys: Capture) -> None:
    model = big(torch.bfloat16)
    adam = torch.optim.Adam(model.parameters())
    model["lstm"](torch.ones(5, 2, I, dtype=torch.bfloat16))[0].sum().backward()
    adam.step()
    wrapped = {f"module.{name}": value for name, value in model.state_dict().items()}
    contents = {"epoch": 3, "state_dict": wrapped, "optimizer": adam.state_dict(), "list": [1, 2.5]}
    torch.save(contents, "big.ckpt")
    new = {f"lstm.{name}": value for name, value in nn.LSTM(I, H).state_dict().items()}
    torch.save(new, "new.pt")
    notes = ("big.ckpt is updated: 4 tensors at 'state_dict.module.lstm.'", "have there, bfloat16")
    works(capsys, "LSTM new.pt big.ckpt --prefix lstm.", *notes)
    after = torch.load("big.ckpt", weights_only=True)
    for name, value in new.items():
        assert after["state_dict"][f"module.{name}"].equal(value.bfloat16())
    assert after["state_dict"]["module.head.weight"].equal(wrapped["module.head.weight"])
    assert (after["epoch"], after["list"]) == (3, [1, 2.5])
    moments = after["optimizer"]["state"][1]
    assert moments["exp_avg"].equal(adam.state_dict()["state"][1]["exp_avg"])
    asked = fails(capsys, "LSTM new.pt big.ckpt --prefix lstm. --dtype float32")
    assert "--dtype should be that of the module in big.ckpt, bfloat16, got float32" in asked


def test_an_update_that_does_not_fit(capsys: Capture) -> None:
    torch.save(big().state_dict(), "big.pt")
    for module in (nn.LSTM(I, H + 1), nn.LSTM(I, H, bias=False), nn.LSTM(I, H, 2)):
        torch.save({f"lstm.{k}": v for k, v in module.state_dict().items()}, "new.pt")
        said = fails(capsys, "LSTM new.pt big.pt --prefix lstm.")
        assert "should have a module of the same names and shapes at 'lstm.'" in said
        assert "big.pt is there and is not replaced, because it may hold more" in said
    assert "got 'other.'" in fails(capsys, "LSTM new.pt big.pt --prefix other.")
    Path("big.pt").write_bytes(b"somebody's notes")
    torch.save(nn.LSTM(I, H).state_dict(), "new.pt")
    assert "big.pt is there and is not replaced" in fails(capsys, "LSTM new.pt big.pt")


def test_a_file_that_holds_nothing_else_is_replaced(capsys: Capture) -> None:
    torch.save(nn.LSTM(I, H, 2).state_dict(), "old.pt")
    Path("empty.pt").touch()
    gru = nn.GRU(I, H)
    torch.save(gru.state_dict(), "new.pt")
    for target in ("old.pt", "empty.pt", "new.pt"):
        works(capsys, f"GRU new.pt {target}")
        same(target, state_of(gru))
    works(capsys, "GRU new.pt new.pt --dtype float64", "from float32 to float64")  # onto itself
    same("new.pt", {name: value.double() for name, value in state_of(gru).items()})
    safetensors.torch.save_file(gru.state_dict(), "a.safetensors", {"about": "a run"})
    said = fails(capsys, "GRU new.pt a.safetensors --dtype float64")
    assert "--dtype should be that of the module in a.safetensors, float32" in said


def test_tied_tensors(capsys: Capture) -> None:
    lstm = nn.LSTM(I, H)
    state: dict[str, Any] = {f"a.{k}": v for k, v in lstm.state_dict().items()}
    torch.save({f"a.{k}": v for k, v in nn.LSTM(I, H).state_dict().items()}, "new.pt")
    flat = torch.cat([v.flatten() for v in lstm.state_dict().values()] + [torch.ones(7)])
    parts = torch.split(flat, [v.numel() for v in state.values()] + [7])
    views = {k: p.view(v.shape) for (k, v), p in zip(state.items(), parts[:-1], strict=True)}
    torch.save({**views, "rest": parts[-1]}, "big.pt")  # one storage, and no overlap
    works(capsys, "LSTM new.pt big.pt --prefix a.", "the rest is as it was")
    after, new = torch.load("big.pt", weights_only=True), torch.load("new.pt", weights_only=True)
    assert after["rest"].equal(torch.ones(7))
    assert all(after[name].equal(value) for name, value in new.items())
    assert after["rest"].untyped_storage().data_ptr() == (
        after["a.bias_hh_l0"].untyped_storage().data_ptr()
    )
    torch.save({**state, "tied": state["a.weight_hh_l0"]}, "big.pt")
    assert "but 'tied' shares it and would change, too" in (
        fails(capsys, "LSTM new.pt big.pt --prefix a.")
    )
    torch.save({**state, "a.bias_hh_l0": state["a.bias_ih_l0"], "x": torch.ones(1)}, "big.pt")
    assert "is tied to another parameter that gets other values" in (
        fails(capsys, "LSTM new.pt big.pt --prefix a.")
    )


def test_tensors_that_cannot_be_written(capsys: Capture) -> None:
    state = nn.LSTM(I, H).state_dict()
    torch.save(state, "new.pt")
    torch.save({**state, "bias_hh_l0": torch.ones(1).expand(4 * H)}, "old.pt")
    assert "old.pt is there and is not replaced, " in fails(capsys, "LSTM new.pt old.pt")


def test_devices_are_said(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"lstm": nn.LSTM(I, H).state_dict(), "epoch": 1}, "big.pt")
    load = torch.load

    def as_from_a_gpu(file: Any, map_location: Any, **options: Any) -> Any:
        map_location(None, "cuda:0")
        return load(file, map_location=map_location, **options)

    torch.save({f"lstm.{k}": v for k, v in nn.LSTM(I, H).state_dict().items()}, "new.pt")
    monkeypatch.setattr(torch, "load", as_from_a_gpu)
    works(capsys, "LSTM new.pt big.pt --prefix lstm.", "is updated", "tensors of cuda:0 are now")


# Arrays of NumPy


def keras_arrays(
    kind: str, num_layers: int = 1, D: int = 1, bias: bool = True, size: int = I
) -> Any:
    module = getattr(nn, kind)(size, H, num_layers, bias=bias, bidirectional=D == 2)
    return to_layout("keras", kind, module.state_dict())


def savez(*arrays: Any, **named: Any) -> None:
    np.savez("a.npz", *arrays, **named)


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize(("num_layers", "D"), [(1, 1), (2, 1), (1, 2), (3, 2)])
@pytest.mark.parametrize("bias", [True, False])
def test_arrays_in_order(kind: str, num_layers: int, D: int, bias: bool, capsys: Capture) -> None:
    layers = keras_arrays(kind, num_layers, D, bias)
    savez(*(array for directions in layers for arrays in directions for array in arrays.values()))
    note = "arrays without names, taken in the order of layer.get_weights()"
    works(capsys, f"{kind} a.npz b.pt --layout keras", note)
    expected = from_layout("keras", kind, layers)
    same("b.pt", {name: torch.from_numpy(array) for name, array in expected.items()})


def test_parameters_in_order(capsys: Capture) -> None:
    gru = nn.GRU(I, H, bidirectional=True)
    savez(*(parameter.detach().numpy() for parameter in gru.parameters()))
    works(capsys, "GRU a.npz b.pt", "in the order of module.parameters()")
    same("b.pt", state_of(gru))


def test_arrays_in_an_order_that_is_not_clear(capsys: Capture) -> None:
    layers = keras_arrays("LSTM", 1, 2, size=H)  # it could be two layers as well
    savez(*(array for arrays in layers[0] for array in arrays.values()))
    said = fails(capsys, "LSTM a.npz b.pt --layout keras")
    assert "which fit 2 layers in 1 directions and 1 layers in 2 directions" in said
    assert "give names such as kernel_l0" in said
    [[arrays]] = keras_arrays("LSTM")
    savez(*reversed(arrays.values()))
    said = fails(capsys, "LSTM a.npz b.pt --layout keras")
    assert "should be those of layer.get_weights() of a keras.layers.LSTM, got the shapes" in said
    savez(*arrays.values(), np.ones(2))
    assert "which fit none" in fails(capsys, "LSTM a.npz b.pt --layout keras")
    savez(*arrays.values())
    assert "should be those of onnx, such as W_l0, got ['arr_0'" in (
        fails(capsys, "LSTM a.npz b.pt --layout onnx")
    )
    savez(arr_0=arrays["kernel"], arr_2=arrays["recurrent_kernel"])
    assert "should be those of keras, such as kernel_l0, got ['arr_0', 'arr_2']" in (
        fails(capsys, "LSTM a.npz b.pt --layout keras")
    )
    savez(*arrays.values(), **arrays)
    assert "names in a.npz should all end in a place such as _l0, or none of them" in (
        fails(capsys, "LSTM a.npz b.pt --layout keras")
    )


@pytest.mark.parametrize("layout", ["keras", "flax.linen", "equinox", "torch"])
def test_names_without_a_place(layout: str, capsys: Capture) -> None:
    gru = nn.GRU(I, H)
    [[arrays]] = to_layout(layout, "GRU", gru.state_dict())
    savez(**arrays)
    works(capsys, f"GRU a.npz b.pt --layout {layout}", "one layer in one direction: names have no")
    expected = from_layout(layout, "GRU", [[arrays]])
    same("b.pt", {name: torch.from_numpy(array) for name, array in expected.items()})


def test_numbers_of_layers(capsys: Capture) -> None:
    [[arrays]] = keras_arrays("GRU")
    big = {f"{name}_l99999999999": array for name, array in arrays.items()}
    savez(**{f"{name}_l0": array for name, array in arrays.items()}, **big)
    start = time.monotonic()
    assert "should be numbered from _l0 on, got [0, 99999999999]" in (
        fails(capsys, "GRU a.npz b.pt --layout keras")
    )
    savez(**{f"kernel_l{'9' * 5000}": arrays["kernel"]})
    fails(capsys, "GRU a.npz b.pt --layout keras")
    assert time.monotonic() - start < 5
    savez(**{f"{name}_l0_reverse": array for name, array in arrays.items()})
    assert "layer 0 in a.npz should have names without _reverse, too" in (
        fails(capsys, "GRU a.npz b.pt --layout keras")
    )
    savez(kernel_l0=arrays["kernel"])
    assert "kind should be one that equinox has" in fails(capsys, "RNN a.npz b.pt --layout equinox")


def npy(shape: str, descr: str = "<f4", data: bytes = b"1234") -> bytes:
    header = f"{{'descr': '{descr}', 'fortran_order': True, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00v\x00" + header.encode() + data


@pytest.mark.parametrize(
    ("shape", "why"),
    [("(10000000000000,)", "buffer is smaller"), ("(-1,)", "its shape is (-1,)"), ("0", "")],
)
def test_arrays_that_are_larger_than_their_file(shape: str, why: str, capsys: Capture) -> None:
    with zipfile.ZipFile("a.npz", "w") as file:
        file.writestr("kernel_l0.npy", npy(shape))
    said = fails(capsys, "GRU a.npz b.pt --layout keras")
    assert "kernel_l0.npy in a.npz should be an array of numbers" in said
    assert why in said


def test_an_archive_that_is_larger_than_its_file(capsys: Capture) -> None:
    with zipfile.ZipFile("a.npz", "w") as file:
        file.writestr("kernel_l0.npy", npy("(1,)"))
    data = Path("a.npz").read_bytes()
    at = data.index(b"PK\x01\x02") + 24
    Path("a.npz").write_bytes(data[:at] + (1 << 31).to_bytes(4, "little") + data[at + 4 :])
    assert "it says that it has more than fits into it" in fails(capsys, "GRU a.npz b.pt")


def test_arrays_of_another_machine(capsys: Capture) -> None:
    [[arrays]] = keras_arrays("GRU")
    savez(**{f"{name}_l0": np.asfortranarray(a.astype(">f4")) for name, a in arrays.items()})
    works(capsys, "GRU a.npz b.pt --layout keras")
    expected = from_layout("keras", "GRU", [[arrays]])
    same("b.pt", {name: torch.from_numpy(array) for name, array in expected.items()})


# Files of Keras, written as Keras 3.15 writes them; `nox -s porting` lets Keras write


def keras_layer(class_name: str, name: str, **config: Any) -> dict[str, Any]:
    own = {"name": name, "units": H, "use_bias": True, "return_sequences": True}
    if class_name != "SimpleRNN":
        own["recurrent_activation"] = "sigmoid"
    own |= {"activation": "tanh", "go_backwards": False, **config}
    if class_name == "GRU":
        own.setdefault("reset_after", True)
    return {"module": "keras.layers", "class_name": class_name, "config": own}


def bidirectional(layer: dict[str, Any], name: str, **config: Any) -> dict[str, Any]:
    back = {**layer, "config": {**layer["config"], "go_backwards": True}}
    own = {"name": name, "merge_mode": "concat", "layer": layer, "backward_layer": back, **config}
    return {"module": "keras.layers", "class_name": "Bidirectional", "config": own}


def plain(class_name: str, name: str) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": {"name": name}}


def model(*layers: dict[str, Any], name: str = "model") -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": name, "layers": [*layers]}}


Cells = dict[str, tuple[str, list[Arrays]]]  # by path: name of the layer, directions


def weights_h5(cells: Cells, cell: str, named: bool = True) -> bytes:
    """Write the weights of layers as Keras 3 does."""
    file = io.BytesIO()
    with h5py.File(file, "w") as h5:
        h5.create_group("optimizer/vars")["0"] = np.ones((2, 2))
        for path, (name, directions) in cells.items():
            for way, arrays in zip(("/forward_layer", "/backward_layer"), directions, strict=False):
                at = path + way * (len(directions) == 2)
                for number, array in enumerate(arrays.values()):
                    h5[f"{at}/cell/vars/{number}"] = array
                if named:
                    h5[f"{at}/cell/vars"].attrs["name"] = cell
            h5.require_group(f"{path}/vars")
            if named:
                h5[f"{path}/vars"].attrs["name"] = name
    return file.getvalue()


def write_keras(config: Any, weights: bytes, name: str = "a.keras") -> None:
    with zipfile.ZipFile(name, "w") as file:
        file.writestr("metadata.json", "{}")
        file.writestr("config.json", json.dumps(config))
        file.writestr("model.weights.h5", weights)


def write_h5(groups: Cells, cell: str, config: Any = None, end: str = ":0") -> None:
    """Write weights as Keras 2 does, with the configuration or without."""
    with h5py.File("a.h5", "w") as h5:
        top = "model_weights/" if config else ""
        if config:
            h5.attrs["model_config"] = json.dumps(config)
        for path, (name, directions) in groups.items():
            for way, arrays in zip(("forward_", "backward_"), directions, strict=False):
                at = f"{name}/{way}lstm" if len(directions) == 2 else name
                for kind, array in arrays.items():
                    h5["/".join(filter(None, [f"{top}{path}", at, cell, kind + end]))] = array
        h5[f"{top}dense/dense/kernel{end}"] = np.ones((2, 2))


def expect(kind: str, layers: Sequence[Sequence[Arrays]]) -> None:
    expected = from_layout("keras", kind, layers)
    same("b.pt", {name: torch.from_numpy(array) for name, array in expected.items()})
    os.remove("b.pt")


CLASSES = {"RNN": "SimpleRNN", "GRU": "GRU", "LSTM": "LSTM"}
CELLS = {"RNN": "simple_rnn_cell", "GRU": "gru_cell", "LSTM": "lstm_cell"}


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("bias", [True, False])
def test_one_layer_of_keras(kind: str, D: int, bias: bool, capsys: Capture) -> None:
    [directions] = keras_arrays(kind, 1, D, bias)
    of, options = CLASSES[kind], {"use_bias": bias}
    layer = keras_layer(of, "mine", **options)
    path = "bidirectional" if D == 2 else {"RNN": "simple_rnn"}.get(kind, kind.lower())
    if D == 2:
        layer = bidirectional(layer, "mine")
    config = model(plain("Embedding", "e"), layer, plain("Dense", "d"))
    weights = weights_h5({f"layers/{path}": ("mine", directions)}, CELLS[kind])
    write_keras(config, weights)
    end = "nonlinearity='tanh'" if kind == "RNN" else f"bidirectional={D == 2}"
    assert works(capsys, f"{kind} a.keras b.pt").endswith(end)
    expect(kind, [directions])
    Path("a.weights.h5").write_bytes(weights)
    silent = "does not say how a layer was set; it is right only with "
    notes = ["does not say the nonlinearity"] if kind == "RNN" else []
    works(capsys, f"{kind} a.weights.h5 b.pt", silent, *notes)
    expect(kind, [directions])
    for cell in (CELLS[kind], ""):
        write_h5({"mine": ("mine", directions)}, cell)
        works(capsys, f"{kind} a.h5 b.pt", silent, *notes)
        expect(kind, [directions])
    write_h5({"mine": ("model/mine", directions)}, CELLS[kind], config, "")
    works(capsys, f"{kind} a.h5 b.pt --layer mine")
    expect(kind, [directions])
    write_keras(config, weights_h5({f"layers/{path}": ("", directions)}, "", named=False))
    works(capsys, f"{kind} a.keras b.pt --layer mine")
    expect(kind, [directions])


@pytest.mark.parametrize("suffix", ["keras", "weights.h5", "h5"])
def test_what_a_file_without_configuration_may_be(suffix: str, capsys: Capture) -> None:
    """What the shapes say is not asked for; what they do not say is named."""
    [directions] = keras_arrays("GRU", 1, 2, bias=False)
    weights = weights_h5({"layers/bidirectional": ("b", directions)}, "gru_cell")
    Path("a.weights.h5").write_bytes(weights)
    note = "reset_after=True, activation='tanh', recurrent_activation='sigmoid', go_backwards=False"
    works(capsys, "GRU a.weights.h5 b.pt", f"{note}, merge_mode='concat'")


STACK = [[arrays] for [arrays] in keras_arrays("LSTM", 2)]
TWO: Cells = {"layers/lstm": ("low", STACK[0]), "layers/lstm_1": ("high", STACK[1])}


def test_a_stack(capsys: Capture) -> None:
    low, high = keras_layer("LSTM", "low"), keras_layer("LSTM", "high", return_sequences=False)
    weights = weights_h5(TWO, "lstm_cell")
    Path("a.weights.h5").write_bytes(weights)
    write_keras(model(low, high), weights)
    groups = {name: (name, directions) for name, directions in TWO.values()}
    write_h5(groups, "lstm_cell", model(low, high))
    both = "--layer low --layer high"
    for file, notes in {"a.keras": [], "a.h5": [], "a.weights.h5": ["nothing between"]}.items():
        works(capsys, f"LSTM {file} b.pt {both}", *notes)
        expect("LSTM", STACK)
        names = "['high', 'low']" if file == "a.h5" else "['low', 'high']"
        assert f"--layer should name a layer in {file}, or one after the other those of a stack, " \
            f"out of {names}, got none" in fails(capsys, f"LSTM {file} b.pt")  # fmt: skip # a line
        assert "got ['low', 'low']" in fails(capsys, f"LSTM {file} b.pt --layer low --layer low")
        assert "got ['mid']" in fails(capsys, f"LSTM {file} b.pt --layer mid")
        works(capsys, f"LSTM {file} b.pt --layer low", *(["go_backwards=False"] if notes else []))
        expect("LSTM", STACK[:1])
        fails(capsys, f"LSTM {file} b.pt --layer high --layer low")
    # In a file of an older Keras 3, whose paths could be other layers' names
    low["config"]["name"], high["config"]["name"] = "lstm_1", "lstm_2"
    write_keras(model(low, high), weights_h5(TWO, "", named=False))
    works(capsys, "LSTM a.keras b.pt --layer lstm_1")
    expect("LSTM", STACK[:1])
    works(capsys, "LSTM a.keras b.pt --layer lstm_1 --layer lstm_2")
    expect("LSTM", STACK)


def history(*names: str) -> list[Any]:
    tensors = [{"class_name": "t", "config": {"keras_history": [name, 0, 0]}} for name in names]
    return [{"args": tensors, "kwargs": {"mask": None}}]


BETWEEN: list[tuple[list[Any], str]] = [
    ([plain("Dense", "d")], "high in a.keras should take the output of low, got that of d"),
    ([plain("Dropout", "d")], ""),
]


@pytest.mark.parametrize(("between", "why"), BETWEEN)
def test_what_is_between(between: list[Any], why: str, capsys: Capture) -> None:
    low, high = keras_layer("LSTM", "low"), keras_layer("LSTM", "high")
    write_keras(model(low, *between, high), weights_h5(TWO, "lstm_cell"))
    line = "LSTM a.keras b.pt --layer low --layer high"
    if why:
        assert why in fails(capsys, line)
    else:
        works(capsys, line, "d in a.keras is not carried over: torch.nn has a dropout of its own")
        expect("LSTM", STACK)


@pytest.mark.parametrize(
    ("inbound", "why"),
    [
        (history("low"), ""),
        ([[["low", 0, 0, {}]]], ""),  # Keras 2
        (history("low", "other"), "got another input"),
        (history("plus"), "got that of plus"),
        ([], "got another input"),
    ],
)
def test_graphs(inbound: list[Any], why: str, capsys: Capture) -> None:
    low = keras_layer("LSTM", "low") | {"inbound_nodes": history("input")}
    high = keras_layer("LSTM", "high") | {"inbound_nodes": inbound}
    config = model(low, plain("Add", "plus"), high)
    write_keras(config, weights_h5(TWO, "lstm_cell"))
    line = "LSTM a.keras b.pt --layer low --layer high"
    if why:
        assert why in fails(capsys, line)
    else:
        works(capsys, line)
        expect("LSTM", STACK)


def test_models_in_models(capsys: Capture) -> None:
    inner = [model(keras_layer("LSTM", "same"), name=f"model{k}") for k in range(2)]
    old = {"class_name": "Sequential", "config": [keras_layer("LSTM", "same")]}  # of Keras 1
    config = model(*inner, keras_layer("LSTM", "last"), old)
    cells: Cells = {
        "layers/sequential/layers/lstm": ("same", STACK[0]),
        "layers/sequential_1/layers/lstm": ("same", STACK[1]),
        "layers/lstm": ("last", STACK[0]),
    }
    write_keras(config, weights_h5(cells, "lstm_cell"))
    assert "out of ['last', 'layers/sequential/layers/lstm', 'layers/sequential_1/" in (
        fails(capsys, "LSTM a.keras b.pt")
    )
    works(capsys, "LSTM a.keras b.pt --layer layers/sequential_1/layers/lstm")
    expect("LSTM", STACK[1:])


def cell(class_name: str, **config: Any) -> dict[str, Any]:
    inner = keras_layer(class_name, "cell", **config)
    inner["class_name"] += "Cell"
    outer = {"name": "mine", "go_backwards": False, "return_sequences": True, "cell": inner}
    return {"module": "keras.layers", "class_name": "RNN", "config": outer}


def test_cells_of_keras(capsys: Capture) -> None:
    write_keras(model(cell("LSTM")), weights_h5({"layers/rnn": ("mine", STACK[0])}, "lstm_cell"))
    works(capsys, "LSTM a.keras b.pt")
    expect("LSTM", STACK[:1])


LOW = keras_layer("LSTM", "mine")
REFUSED_LAYERS: list[tuple[dict[str, Any], str]] = [
    (keras_layer("LSTM", "mine", activation="relu"), "activation of keras.layers.LSTM should be"),
    (keras_layer("LSTM", "mine", recurrent_activation="hard_sigmoid"), "got 'hard_sigmoid'"),
    (keras_layer("LSTM", "mine", go_backwards=True), "go_backwards of mine in a.keras should be F"),
    (keras_layer("LSTM", "mine", use_bias=False), "use_bias of mine in a.keras should be True, go"),
    (keras_layer("LSTM", "mine", units=7), "units of mine in a.keras should be 4, got 7"),
    (keras_layer("GRU", "mine"), "kind of mine in a.keras should be 'LSTM', got 'GRU'"),
    (keras_layer("LSTM", "other"), "mine in a.keras should be in the configuration of the model"),
    (LOW | {"registered_name": "my>LSTM"}, "registered_name of mine in a.keras should be 'LSTM',"),
    (LOW | {"module": None}, "package of mine in a.keras should be 'keras', got 'None'"),
    (LOW | {"class_name": "CuDNNLSTM"}, "kind of mine in a.keras should be 'LSTM', got 'CuDN"),
    (bidirectional(LOW, "mine"), "directions of mine in a.keras should be 2, got 1"),
    ({"class_name": "TimeDistributed", "config": {"name": "t", "layer": LOW}}, "inside a layer T"),
    ({"class_name": "LSTM", "config": {"name": "mine"}}, "units of mine in a.keras should be"),
    ({"class_name": "RNN", "config": {"name": "mine"}}, "a.keras is not understood, KeyError"),
]  # fmt: skip # one a line


@pytest.mark.parametrize(("layer", "why"), REFUSED_LAYERS)
def test_refused_layers(layer: dict[str, Any], why: str, capsys: Capture) -> None:
    write_keras(model(layer), weights_h5({"layers/lstm": ("mine", STACK[0])}, "lstm_cell"))
    assert why in fails(capsys, "LSTM a.keras b.pt")


def test_refused_directions(capsys: Capture) -> None:
    [directions] = keras_arrays("LSTM", 1, 2)
    weights = weights_h5({"layers/bidirectional": ("mine", directions)}, "lstm_cell")
    backward = keras_layer("LSTM", "mine", go_backwards=True)
    hard = keras_layer("LSTM", "mine", go_backwards=True, recurrent_activation="hard_sigmoid")
    for layer, why in (
        (
            bidirectional(LOW, "mine", merge_mode="sum"),
            "merge_mode of mine in a.keras should be '",
        ),
        (
            bidirectional(LOW, "mine", backward_layer=LOW),
            "go_backwards of mine in a.keras should ",
        ),
        (bidirectional(backward, "mine"), "go_backwards of mine in a.keras should be False, got T"),
        (bidirectional(LOW, "mine", backward_layer=hard), "both directions of mine in a.keras sho"),
    ):
        write_keras(model(layer), weights)
        assert why in fails(capsys, "LSTM a.keras b.pt")
    write_keras(model(bidirectional(LOW, "mine", backward_layer=None)), weights)  # Keras 2
    works(capsys, "LSTM a.keras b.pt")
    expect("LSTM", [directions])


def test_the_other_gru(capsys: Capture) -> None:
    [[arrays]] = keras_arrays("GRU", bias=False)
    weights = weights_h5({"layers/gru": ("mine", [arrays])}, "gru_cell")
    layer = keras_layer("GRU", "mine", use_bias=False)
    del layer["config"]["reset_after"]  # a Keras that had the other GRU alone
    write_keras(model(layer), weights)
    assert "reset_after of keras.layers.GRU should be True" in fails(capsys, "GRU a.keras b.pt")


@pytest.mark.parametrize(("activation", "found"), [("relu", "relu"), ("linear", "")])
def test_activations_of_an_rnn(activation: str, found: str, capsys: Capture) -> None:
    [directions] = keras_arrays("RNN")
    layer = keras_layer("SimpleRNN", "mine", activation=activation, dropout=0.5)
    weights = weights_h5({"layers/simple_rnn": ("mine", directions)}, "simple_rnn_cell")
    write_keras(model(layer), weights)
    if not found:
        said = fails(capsys, "RNN a.keras b.pt")
        assert "activation of mine in a.keras should be tanh or relu, got 'linear'" in said
        return
    note = "dropout=0.5 of mine in a.keras is not carried over"
    assert works(capsys, "RNN a.keras b.pt", note).endswith("nonlinearity='relu'")
    assert "nonlinearity='relu'" in works(capsys, "RNN a.keras b.onnx --nonlinearity relu", note)
    assert "--nonlinearity should be relu, as in a.keras, got tanh" in (
        fails(capsys, "RNN a.keras b.onnx --nonlinearity tanh")
    )


def test_layers_that_are_set_differently(capsys: Capture) -> None:
    layers = keras_arrays("RNN", 2)
    config = model(*(keras_layer("SimpleRNN", a, activation=a) for a in ("tanh", "relu")))
    cells = {f"layers/simple_rnn{'_1' * k}": (["tanh", "relu"][k], layers[k]) for k in (0, 1)}
    write_keras(config, weights_h5(cells, "simple_rnn_cell"))
    assert "the layers in a.keras should be set alike, got " in (
        fails(capsys, "RNN a.keras b.pt --layer tanh --layer relu")
    )


REFUSED_FILES: list[tuple[Callable[[h5py.File], object], str]] = [
    (lambda h5: h5["mine/cell/vars"].__delitem__("1"), "should have one cell with kernel"),
    (lambda h5: h5["mine/cell/vars"].move("2", "x"), "should have one cell with kernel"),
    (lambda h5: h5["mine/cell"].move("vars", "cells/lstm_cell/vars"), "should have one cell with"),
    (lambda h5: h5["mine/cell/vars"].attrs.modify("name", "my_cell"), "a lstm_cell, got my_cell"),
    (lambda h5: h5.move("mine", "wrapper/layer"), "layer in a.weights.h5 should not be inside an"),
    (lambda h5: h5.__delitem__("mine"), "should have a recurrent layer of Keras, got none"),
    (lambda h5: h5.create_dataset("mine/cell/vars/3", (9**9,), "f8"), "more than fits into the f"),
    (lambda h5: h5.create_dataset("mine/cell/vars/3", 2, "f4", external="x"), "another file"),
]  # fmt: skip # one a line


@pytest.mark.parametrize("number", range(len(REFUSED_FILES)))
def test_refused_files(number: int, capsys: Capture) -> None:
    edit, why = REFUSED_FILES[number]
    Path("a.weights.h5").write_bytes(weights_h5({"mine": ("layer", STACK[0])}, "lstm_cell"))
    with h5py.File("a.weights.h5", "r+") as h5:
        edit(h5)
    assert why in fails(capsys, "LSTM a.weights.h5 b.pt")


def test_refused_files_of_keras_2(capsys: Capture) -> None:
    [[arrays]] = keras_arrays("LSTM")
    write_h5({"mine": ("mine", [arrays | {"peephole": np.ones(2)}])}, "lstm_cell")
    assert "should have the arrays ('kernel', 'recurrent_kernel', 'bias'), got {'peephole'}" in (
        fails(capsys, "LSTM a.h5 b.pt")
    )
    with zipfile.ZipFile("a.keras", "w") as file:
        file.writestr("config.json", "{}")
    assert "a file of Keras 3, but has no model.weights.h5" in fails(capsys, "LSTM a.keras b.pt")


def test_a_text_that_is_longer_than_its_file(capsys: Capture) -> None:
    """HDF5 would take two gigabytes before it looks."""
    data = bytearray(weights_h5({"mine": ("mine", STACK[0])}, "lstm_cell"))
    at = data.index(b"name\0\0\0\0\x19") + 8 + 24 + 8 + 3
    data[at] = 0x7F
    Path("a.weights.h5").write_bytes(data)
    assert "a text in it says that it is longer than the file" in (
        fails(capsys, "LSTM a.weights.h5 b.pt")
    )


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", ">f4"])
def test_dtypes_of_keras(dtype: str, capsys: Capture) -> None:
    as_torch = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    lstm = nn.LSTM(I, H).to(as_torch)
    [directions] = to_layout("keras", "LSTM", {k: v.float() for k, v in lstm.state_dict().items()})
    stored = directions
    if dtype == "bfloat16":
        stored = [{k: (a.view(np.uint32) >> 16).astype("u2") for k, a in directions[0].items()}]
        directions = [
            {k: (a.astype("u4") << 16).view("f4") for k, a in stored[0].items()},
        ]
    else:
        stored = [{k: a.astype(dtype) for k, a in directions[0].items()}]
        directions = [{k: a.astype(a.dtype.newbyteorder("=")) for k, a in stored[0].items()}]
    Path("a.weights.h5").write_bytes(weights_h5({"mine": ("mine", stored)}, "lstm_cell"))
    notes = ["bfloat16, which NumPy does not have, is read as float32"] * (dtype == "bfloat16")
    if notes:
        with h5py.File("a.weights.h5", "r+") as h5:
            for dataset in h5["mine/cell/vars"].values():
                dataset.attrs["dtype"] = "bfloat16"
    works(capsys, "LSTM a.weights.h5 b.pt", *notes, "does not say how a layer was set")
    expect("LSTM", [directions])


@pytest.mark.parametrize(
    ("package", "file"),
    [("h5py", "a.keras"), ("h5py", "a.h5"), ("safetensors.torch", "a.safetensors")],
)
def test_packages_that_are_not_there(
    package: str, file: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    Path(file).touch()
    suffix, name = Path(file).suffix, package.partition(".")[0]
    assert f"a {suffix} file needs the package {name}" in fails(capsys, f"LSTM {file} b.npz")


# The command line


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("GRU a.pt b.pt --layout keras", "--layout should be given only for an .npz file"),
        ("GRU a.npz b.onnx --prefix x.", "--prefix should be given only for one of .pt, "),
        ("GRU a.pt b.pt --layer x", "--layer should be given only for one of .keras, .h5, .hdf5"),
        ("GRU a.pt b.onnx --nonlinearity relu", "--nonlinearity should be given only for an RNN"),
        ("RNN a.pt b.npz --nonlinearity relu", "--nonlinearity should be given only for an RNN"),
        ("GRU a.pt b.onnx --dtype bfloat16", "--dtype should be one that .onnx has, got bfloat16"),
        ("GRU a.pt b.keras", "should end in one of"),
    ],
)
def test_options_that_would_be_ignored(line: str, why: str, capsys: Capture) -> None:
    assert why in stops(capsys, line)


def test_the_default_nonlinearity_is_said(capsys: Capture) -> None:
    torch.save(nn.RNN(I, H).state_dict(), "a.pt")
    note = "a.pt does not say the nonlinearity: tanh is torch.nn.RNN's default"
    assert works(capsys, "RNN a.pt b.onnx", note).endswith("nonlinearity='tanh'")


def test_targets_that_cannot_be_written(capsys: Capture) -> None:
    torch.save(nn.GRU(I, H).state_dict(), "a.pt")
    Path("folder.npz").mkdir()
    assert "no file that can be replaced" in fails(capsys, "GRU a.pt folder.npz")
    assert "There is no such folder" in fails(capsys, "GRU a.pt missing/b.npz")
    assert "Is a directory" in fails(capsys, "GRU folder.npz b.pt")
    Path("link.pt").symlink_to("b.pt")
    works(capsys, "GRU a.pt link.pt")
    assert Path("link.pt").is_symlink()
    assert Path("b.pt").exists()


def run(*arguments: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "unrolled.porting", *arguments]
    return subprocess.run(command, stderr=subprocess.PIPE, timeout=600, check=False, **options)


def test_streams(tmp_path: Path) -> None:
    """Full, closed, read by nobody, and in an encoding that does not have the name."""
    torch.save(nn.GRU(I, H).state_dict(), "a.pt")
    with open("/dev/full", "w") as full:
        done = run("GRU", "a.pt", "full.npz", stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith(b"error: full.npz is written, but standard output fails: ")
    assert done.stderr.count(b"\n") == 1
    closed = run("GRU", "a.pt", "closed.npz", preexec_fn=lambda: os.close(1))
    assert (closed.returncode, closed.stderr) == (0, b"")
    read, write = os.pipe()
    os.close(read)
    with open(write, "wb") as nobody:
        done = run("GRU", "a.pt", "pipe.npz", stdout=nobody)
    assert (done.returncode, done.stderr) == (0, b"")
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = run("GRU", "a.pt", "größe.npz", stdout=subprocess.PIPE, env=ascii_only)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"gr\\xf6\\xdfe.npz: torch.nn.GRU")
    assert {*os.listdir()} == {"a.pt", "full.npz", "closed.npz", "pipe.npz", "größe.npz"}


class Stream(io.StringIO):
    """A stream that fails when it is flushed, over a file that can be closed."""

    def __init__(self, error: OSError | None, path: str) -> None:
        super().__init__()
        self.error, self.file = error, open(path, "w")  # noqa: SIM115 # its user closes it

    def flush(self) -> None:
        if self.error:
            raise self.error

    def fileno(self) -> int:
        return self.file.fileno()


@pytest.mark.parametrize("error", [BrokenPipeError(), OSError(28, "No space left"), None])
def test_streams_here(
    error: OSError | None, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(nn.GRU(I, H).state_dict(), "a.pt")
    stream = Stream(error, "stream") if error else None
    monkeypatch.setattr(sys, "stdout", stream)
    full = error is not None and error.errno == 28
    assert main(["GRU", "a.pt", "b.npz"]) == full
    said = capsys.readouterr().err
    assert said == "error: b.npz is written, but standard output fails: " * full + (
        "[Errno 28] No space left\n" * full
    )
    if stream:
        assert os.path.samestat(os.fstat(stream.fileno()), os.stat(os.devnull))
        stream.file.close()


def test_an_interrupt(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(nn.GRU(I, H).state_dict(), "a.pt")

    def interrupt(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt  # as the signal does, which a process in the background ignores

    for during in ("os.fsync", "torch.load"):
        with monkeypatch.context() as patch:
            patch.setattr(during, interrupt)
            assert main(["GRU", "a.pt", "b.npz"]) == 130
        assert capsys.readouterr() == ("", "")
        assert os.listdir() == ["a.pt"]


# Files that are something else

FUZZED = settings().max_examples // 2  # files for each format


def sound(suffix: str) -> bytes:
    gru = nn.GRU(I, H, 2)
    if suffix in (".weights.h5", ".keras", ".h5"):
        [directions] = keras_arrays("GRU", 1, 2)
        weights = weights_h5({"layers/bidirectional": ("mine", directions)}, "gru_cell")
        config = model(bidirectional(keras_layer("GRU", "mine"), "mine"))
        write_keras(config, weights)
        write_h5({"mine": ("mine", directions)}, "gru_cell", config)
        Path("a.weights.h5").write_bytes(weights)
    else:
        old = suffix == ".pth"  # PyTorch's format before there were archives
        torch.save(gru.state_dict(), "a.pt", _use_new_zipfile_serialization=not old)
        assert main(["GRU", "a.pt", f"a{suffix}", *layout(suffix)]) == 0
        if old:
            Path("a.pth").write_bytes(Path("a.pt").read_bytes())
    return Path(f"a{suffix}").read_bytes()


def layout(suffix: str) -> list[str]:
    return ["--layout", "keras"] if suffix == ".npz" else []


def fuzzed(rng: random.Random, data: bytes, number: int) -> bytes:
    if number % 4 == 0:
        words = rng.choices([b"the ", b"cat\n", b"{}", b"e1", b".", b"(lp0\n", b"\x80"], k=60)
        return b"".join(words)[: rng.randrange(200)]
    if number % 4 == 1:
        return data[: rng.randrange(len(data))]
    changed = bytearray(data)
    for _ in range(1 if number % 4 == 2 else 8):
        changed[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(changed)


@pytest.mark.parametrize(
    "suffix", [".pt", ".pth", ".npz", ".onnx", ".safetensors", ".weights.h5", ".keras", ".h5"]
)
def test_files_of_something_else(suffix: str, capsys: Capture) -> None:
    data, rng = sound(suffix), random.Random(suffix)
    refused = 0
    for number in range(FUZZED):
        file = Path(f"fuzz{suffix}")
        file.write_bytes(fuzzed(rng, data, number))
        Path("out.safetensors").unlink(missing_ok=True)
        capsys.readouterr()
        start = time.monotonic()
        status = main(["GRU", str(file), "out.safetensors", *layout(suffix)])
        said = capsys.readouterr()
        assert time.monotonic() - start < 5
        assert status in (0, 1)  # a byte inside a number is no damage that anybody can see
        assert (said.err == "") == Path("out.safetensors").exists() == (status == 0)
        assert said.err.count("\n") == status
        assert len(said.err) < 1100
        assert number % 4 > 1 or status == 1, "text, or half a file"
        refused += status
    assert refused >= FUZZED / 2
    if suffix == ".weights.h5":  # and once with nothing of pytest around it
        file.write_bytes(data[:100])
        done = run("GRU", str(file), "out.npz", stdout=subprocess.PIPE)
        assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)

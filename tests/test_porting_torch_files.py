"""What is said of a checkpoint that is read or updated, word for word, and what is refused."""

import argparse
import io
import re
import sys
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils import prune

from tests.test_porting_ways import Capture, H, I, fails, same, state_of, stops
from unrolled.porting import __main__ as command_line
from unrolled.porting.__main__ import main
from unrolled.porting.torch_file import Checkpoint, read_torch, same_form, update

State = dict[str, Any]
HOLD = "a.pt should hold a state dict: names and tensors"
UNDO = (
    "undo what computes it before you save, with torch.nn.utils.parametrize.remove_parametrizations"
    " or what else removes it"
)
MORE = "is there and is not replaced, because it may hold more"
TARGETS = (".pt", ".pth", ".ckpt", ".bin", ".tar", ".safetensors", ".npz", ".onnx")
SOURCES = (*TARGETS, ".keras", ".h5", ".hdf5")
SIZES = "input_size=3, hidden_size=4, num_layers=1, bidirectional=False"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, so that messages have short names."""
    monkeypatch.chdir(tmp_path)


def says(capsys: Capture, line: str) -> list[str]:
    """Run a command line that must work; give the lines that it prints."""
    assert main(line.split()) == 0, capsys.readouterr().err
    said = capsys.readouterr()
    assert said.err == ""
    return said.out.splitlines()


def with_prefix(prefix: str, module: nn.Module) -> State:
    return {prefix + name: value for name, value in state_of(module).items()}


def without(state: State, *names: str) -> State:
    return {name: value for name, value in state.items() if name not in names}


GRU = state_of(nn.GRU(I, H))
NAMES = [f"layer{k}.weight" for k in range(10)]
NOTHING = "a.pt should have the parameters of a recurrent module, weight_ih_l0 and the others, got"
TWO_DTYPES = {**GRU, "bias_hh_l0": GRU["bias_hh_l0"].bfloat16()}
CANNOT_BE_READ: list[tuple[Any, str]] = [
    ([1], f"{HOLD}, got list"),
    (
        {**GRU, "note": "hello"},
        f"{HOLD}, and nothing else at '', got str under the name 'note'",
    ),
    (
        {"arguments": argparse.Namespace(a=1), **GRU},
        f"{HOLD}, and nothing else; torch.load(weights_only=True) refuses it: a argparse.Namespace "
        "could run code; where you trust the file, save its state dict",
    ),
    *(
        (
            dict.fromkeys(NAMES[:count], torch.ones(2)),
            f"{NOTHING} {count} names: {', '.join(map(repr, NAMES[:8]))}{', ...' * (count > 8)}",
        )
        for count in (8, 9, 10)
    ),
    (
        {**state_of(nn.GRUCell(I, H)), "extra": torch.ones(2)},
        f"state should have the names {[*GRU]}; missing: [], unexpected: ['extra']",
    ),
    (
        without(GRU, "weight_hh_l0")
        | {"weight_hh_l0_orig": GRU["weight_hh_l0"], "weight_hh_l0_u": torch.ones(2)},
        "weight_hh_l0 at '' in a.pt should be stored, but is computed from weight_hh_l0_orig and "
        f"weight_hh_l0_u: {UNDO}",
    ),
    (
        without(GRU, "weight_hh_l0")
        | {
            "weight_hh_l0_g": torch.ones(3 * H, 1, dtype=torch.float64),
            "weight_hh_l0_v": GRU["weight_hh_l0"],
        },
        "weight_hh_l0 at '' in a.pt should be stored, but is computed from weight_hh_l0_g and "
        f"weight_hh_l0_v: {UNDO}",
    ),
    (
        TWO_DTYPES,
        "a.pt should have arrays of one dtype, got bfloat16 and float32: --dtype makes them one",
    ),
]


@pytest.mark.parametrize("number", range(len(CANNOT_BE_READ)))
def test_what_is_wrong_with_a_checkpoint_is_said(number: int, capsys: Capture) -> None:
    contents, message = CANNOT_BE_READ[number]
    torch.save(contents, "a.pt")
    assert fails(capsys, "GRU a.pt b.npz") == f"error: {message}\n"


def test_a_file_that_is_not_of_safetensors_is_named(capsys: Capture) -> None:
    Path("a.safetensors").write_bytes(b"somebody's notes")
    said = fails(capsys, "GRU a.safetensors b.npz")
    assert re.fullmatch(r"error: a\.safetensors should be a \.safetensors file: .+\n", said)


class Code:
    """What creates a file as soon as it is loaded."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("it-ran"),)


def test_no_code_runs_even_where_pytorch_is_told_to_run_it(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({**GRU, "code": Code()}, "a.pt")
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    assert "torch.load(weights_only=True) refuses it" in fails(capsys, "GRU a.pt b.npz")
    assert [path.name for path in Path().iterdir()] == ["a.pt"]


def test_pytorch_does_not_warn_of_a_file_that_is_refused(capsys: Capture) -> None:
    torch.save(GRU, "a.pt")
    with zipfile.ZipFile("a.pt", "a") as archive:
        archive.writestr("a/constants.pkl", b"")  # as in a program of TorchScript
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        said = fails(capsys, "GRU a.pt b.npz")
    assert said == f"error: {HOLD}, and nothing else; torch.load(weights_only=True) refuses it\n"
    assert not warned


def test_a_module_needs_no_prefix() -> None:
    torch.save(GRU, "a.pt")
    found = read_torch(Path("a.pt"))
    assert (found.dtypes, found.notes) == (["float32"], [])
    assert [*found.state] == [*GRU]
    assert all(np.array_equal(found.state[name], GRU[name]) for name in GRU)


def test_a_module_is_found_by_its_whole_name_first() -> None:
    outer, inner = (with_prefix("rnn.", nn.GRU(I, H)) for _ in range(2))
    torch.save({**outer, "state_dict": inner}, "a.pt")
    for prefix, expected in (("rnn.", outer), ("state_dict.rnn.", inner)):
        found = read_torch(Path("a.pt"), prefix).state
        assert all(np.array_equal(found[name[4:]], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "prefix", ["nets.encoder.rnn.", "nets.encoder.state_dict.rnn.", "nets.encoder.module.rnn."]
)
def test_the_keys_on_the_way_to_a_module_are_part_of_its_name(prefix: str) -> None:
    inner = with_prefix("module.rnn." if "module" in prefix else "rnn.", nn.GRU(I, H))
    torch.save({"nets": {"encoder": {"state_dict": inner}}, "epoch": 3}, "a.pt")
    found = read_torch(Path("a.pt"), prefix).state
    assert all(np.array_equal(found[name.rpartition(".")[2]], inner[name]) for name in inner)


# Weights that are computed


def test_a_module_with_a_prefix_is_pruned_in_its_own_dtype() -> None:
    gru = nn.GRU(I, H).half()
    cut: Any = prune.random_unstructured  # it has no types
    cut(gru, "weight_hh_l0", 0.5)
    state = with_prefix("encoder.rnn.", gru)
    name = "encoder.rnn.weight_hh_l0_mask"
    torch.save({**state, name: state[name].float()}, "a.pt")
    found = read_torch(Path("a.pt"), "encoder.rnn.")
    assert found.dtypes == ["float16"]
    weight: Any = gru.weight_hh_l0  # which nn.GRU is not typed to compute
    assert np.array_equal(found.state["weight_hh_l0"], weight.detach())
    assert found.notes == ["weight_hh_l0 is computed from weight_hh_l0_orig and weight_hh_l0_mask"]


# Files of safetensors


def test_a_new_file_of_safetensors_says_that_it_is_of_pytorch(capsys: Capture) -> None:
    torch.save(GRU, "a.pt")
    assert says(capsys, "GRU a.pt b.safetensors") == [f"b.safetensors: torch.nn.GRU with {SIZES}"]
    checkpoint = Checkpoint.load(Path("b.safetensors"))
    assert checkpoint.metadata == {"format": "pt"}
    assert checkpoint.devices == []
    assert all(checkpoint.contents[name].equal(value) for name, value in GRU.items())


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "pt", "about": "a run"}])
def test_a_file_of_safetensors_is_replaced_unless_it_says_more(
    metadata: dict[str, str] | None, capsys: Capture
) -> None:
    torch.save(GRU, "a.pt")
    safetensors.torch.save_file(state_of(nn.GRU(I, H, 2)), "b.safetensors", metadata)
    if metadata and "about" in metadata:
        assert MORE in fails(capsys, "GRU a.pt b.safetensors")
        return
    assert says(capsys, "GRU a.pt b.safetensors") == [f"b.safetensors: torch.nn.GRU with {SIZES}"]
    assert {*safetensors.torch.load_file("b.safetensors")} == {*GRU}


# A checkpoint that is there


def test_what_has_no_shape_or_dtype_has_another_form() -> None:
    assert same_form(GRU, {name: torch.zeros_like(value) for name, value in GRU.items()})
    assert not same_form(dict.fromkeys(GRU, 1.5), GRU)
    assert not same_form({**GRU, "bias_hh_l0": GRU["bias_hh_l0"].half()}, GRU)


def test_an_update_keeps_the_dtypes_that_it_finds_unless_one_is_asked_for(
    capsys: Capture,
) -> None:
    torch.save({"rnn": TWO_DTYPES, "epoch": 3}, "big.pt")
    new = nn.GRU(I, H)
    torch.save(with_prefix("rnn.", new), "new.pt")
    line = "GRU new.pt big.pt --prefix rnn."
    assert fails(capsys, f"{line} --dtype float32") == (
        f"error: big.pt {MORE}: --dtype should be that of the module in big.pt, bfloat16 and "
        "float32, got float32; name another target, or remove it\n"
    )
    assert says(capsys, line) == [
        f"big.pt: torch.nn.GRU with {SIZES}",
        "note: big.pt is updated: 4 tensors at 'rnn.' are new, the rest is as it was",
        "note: the tensors keep the dtype that they have there, bfloat16 and float32",
    ]
    after = torch.load("big.pt", weights_only=True)
    assert after["epoch"] == 3
    for name, value in state_of(new).items():
        assert after["rnn"][name].dtype == TWO_DTYPES[name].dtype
        assert after["rnn"][name].equal(value.to(TWO_DTYPES[name].dtype))


def test_nobody_asks_for_a_dtype_by_default() -> None:
    torch.save({"rnn": state_of(nn.GRU(I, H).half()), "epoch": 3}, "big.pt")
    checkpoint = Checkpoint.load(Path("big.pt"))
    new = {name: value.numpy() for name, value in GRU.items()}
    assert update(checkpoint, "rnn.", new, "float32") == [
        "big.pt is updated: 4 tensors at 'rnn.' are new, the rest is as it was",
        "the tensors keep the dtype that they have there, float16",
    ]
    assert checkpoint.contents["rnn"]["bias_hh_l0"].equal(GRU["bias_hh_l0"].half())


def test_a_value_that_the_dtype_of_a_checkpoint_cannot_hold_is_named(capsys: Capture) -> None:
    torch.save({"rnn": state_of(nn.GRU(I, H).half()), "epoch": 3}, "big.pt")
    new = with_prefix("rnn.", nn.GRU(I, H))
    new["rnn.bias_hh_l0"][1] = 1e5
    torch.save(new, "new.pt")
    assert fails(capsys, "GRU new.pt big.pt --prefix rnn.") == (
        f"error: big.pt {MORE}: bias_hh_l0 should have values that float16 can hold, got larger "
        "ones; name another target, or remove it\n"
    )


@pytest.mark.parametrize(("inside", "name"), [("", "tied"), ("list", "tied"), ("dict", "x.tied")])
def test_a_tied_tensor_is_found_wherever_it_is(inside: str, name: str, capsys: Capture) -> None:
    state = with_prefix("rnn.", nn.GRU(I, H))
    tied = state["rnn.weight_hh_l0"]
    more = {"": {"tied": tied}, "list": {"tied": [1, tied]}, "dict": {"x": {"tied": tied}}}
    torch.save(state | more[inside], "big.pt")
    torch.save(with_prefix("rnn.", nn.GRU(I, H)), "new.pt")
    assert fails(capsys, "GRU new.pt big.pt --prefix rnn.") == (
        f"error: big.pt {MORE}: the module at 'rnn.' in big.pt should have memory of its own, but "
        f"{name!r} shares it and would change, too; name another target, or remove it\n"
    )


def test_all_devices_are_said(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"rnn": GRU, "epoch": 3}, "big.pt")
    torch.save(with_prefix("rnn.", nn.GRU(I, H)), "new.pt")
    load = torch.load

    def as_from_two_gpus(file: Any, map_location: Any, **options: Any) -> Any:
        for device in ("cuda:1", "cpu", "cuda:0"):
            map_location(None, device)
        return load(file, map_location=map_location, **options)

    monkeypatch.setattr(torch, "load", as_from_two_gpus)
    *_, last = says(capsys, "GRU new.pt big.pt --prefix rnn.")
    assert last == "note: tensors of cuda:0, cuda:1 are now saved as on the CPU"


# The command line

HELP = """
usage: python -m unrolled.porting [-h] [--layout LAYOUT] [--prefix PREFIX] [--layer NAME]
[--nonlinearity {tanh,relu}] [--dtype {float16,bfloat16,float32,float64}] {RNN,GRU,LSTM} source
target
positional arguments:
{RNN,GRU,LSTM} which module it is
source file to read: .pt, .pth, .ckpt, .bin, .tar, .safetensors, .npz, .onnx, .keras, .h5, .hdf5
target file to write: .pt, .pth, .ckpt, .bin, .tar, .safetensors, .npz, .onnx; a checkpoint that is
there is updated, another file is replaced
options:
-h, --help show this help message and exit
--layout LAYOUT how the arrays of an .npz file are laid out: torch, keras, onnx, flax.linen,
flax.nnx, flax.nnx.LSTMCell, equinox (default: torch)
--prefix PREFIX what comes before the names in a checkpoint, such as encoder.rnn.; other names are
left alone
--layer NAME a layer in a file of Keras, once for each layer of a stack, the first one first
--nonlinearity {tanh,relu} of an RNN, for an .onnx file (default: what the file says, otherwise
tanh)
--dtype {float16,bfloat16,float32,float64} dtype to write (default: that of the file that is read)
"""


def test_the_help_says_what_every_argument_is_for(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    said = capsys.readouterr().out
    usage, description, arguments = said.partition(command_line.__doc__ or "?")
    assert description.startswith("Convert the weights of a recurrent module")
    assert f"{usage} {arguments}".split() == HELP.split()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("gru a.pt b.npz", "argument kind: invalid choice: 'gru' "),
        ("GRU a.pt b.npz --layout Keras", "argument --layout: invalid choice: 'Keras' "),
        ("RNN a.pt b.onnx --nonlinearity gelu", "--nonlinearity: invalid choice: 'gelu' "),
        ("GRU a.pt b.npz --dtype int8", "argument --dtype: invalid choice: 'int8' "),
        ("GRU a.txt b.npz", f"argument source: should end in one of {SOURCES}, got 'a.txt'\n"),
        ("GRU a.pt b.keras", f"argument target: should end in one of {TARGETS}, got 'b.keras'\n"),
    ],
)
def test_arguments_that_are_none_of_the_choices(line: str, said: str, capsys: Capture) -> None:
    assert said in stops(capsys, line)


def test_an_error_without_a_message_is_named(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise MemoryError

    torch.save(GRU, "a.pt")
    monkeypatch.setattr("os.fsync", full)
    assert fails(capsys, "GRU a.pt b.npz") == "error: MemoryError\n"


@pytest.mark.parametrize("length", [999, 1000, 1001])
def test_a_message_of_more_than_a_thousand_characters_is_cut(length: int, capsys: Capture) -> None:
    said = f"error: {NOTHING} 1 names: ''"
    name = "x" * (length - len(said))
    torch.save({name: torch.ones(2)}, "a.pt")
    whole = f"{said[:-1]}{name}'"
    expected = whole if length <= 1000 else f"{whole[:1000]} ..."
    assert fails(capsys, "GRU a.pt b.npz") == f"{expected}\n"


def test_what_is_written_is_said_word_for_word(capsys: Capture) -> None:
    torch.save(GRU, "a.pt")
    settings = ", reset_after=True, activation='tanh', recurrent_activation='sigmoid'"
    assert says(capsys, "GRU a.pt b.npz --layout keras") == [
        f"b.npz: keras.layers.GRU with {SIZES}{settings}"
    ]
    assert says(capsys, "GRU a.pt b.onnx --dtype float64") == [
        f"b.onnx: ONNX GRU with {SIZES}, linear_before_reset=1",
        "note: converted from float32 to float64",
        "note: ONNX has these operators in float64, but ONNX Runtime does not run them on a CPU; "
        "--dtype float32 converts",
    ]
    torch.save(state_of(nn.GRUCell(I, H)), "cell.pt")
    assert says(capsys, "GRU cell.pt b.pt") == [
        f"b.pt: torch.nn.GRU with {SIZES}",
        "note: a cell, read as a module of one layer: its names have no _l0",
    ]


def test_a_dtype_does_not_make_weights_of_whole_numbers(capsys: Capture) -> None:
    arrays: State = {name: np.ones(value.shape, np.int32) for name, value in GRU.items()}
    np.savez("a.npz", **arrays)
    assert fails(capsys, "GRU a.npz b.pt --dtype float32") == (
        "error: layers[0][0] should have arrays of one floating-point dtype, got int32\n"
    )


def test_weights_beside_an_onnx_file_are_read(capsys: Capture) -> None:
    torch.save(GRU, "a.pt")
    says(capsys, "GRU a.pt a.onnx")
    Path("folder").mkdir()
    model = onnx.load("a.onnx")
    onnx.save(
        model, "folder/a.onnx", save_as_external_data=True, location="weights", size_threshold=0
    )
    says(capsys, "GRU folder/a.onnx b.pt")
    same("b.pt", GRU)


def test_a_message_is_one_line_whatever_a_file_is_called(capsys: Capture) -> None:
    torch.save([1], "two\nlines.pt")
    assert main(["GRU", "two\nlines.pt", "b.npz"]) == 1
    assert capsys.readouterr().err == f"error: {HOLD.replace('a.pt', 'two lines.pt')}, got list\n"


def test_what_an_encoding_does_not_have_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save(GRU, "a.pt")
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding="ascii"))
    assert main(["GRU", "a.pt", "größe.npz"]) == 0
    line = f"gr\\xf6\\xdfe.npz: torch.nn.GRU with {SIZES}"
    assert printed.getvalue().decode("ascii").splitlines() == [line]

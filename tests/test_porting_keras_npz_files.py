"""What `read_keras` and `read_npz` find in a file, note about it and refuse, word for word."""

import io
import re
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.test_porting_ways import (
    CELLS,
    bidirectional,
    cell,
    keras_arrays,
    keras_layer,
    model,
    plain,
    weights_h5,
    write_h5,
    write_keras,
)
from unrolled.porting.keras_file import read_keras
from unrolled.porting.layouts import Found
from unrolled.porting.npz_file import LARGEST_RATIO, read_npz, zip_members

Arrays = dict[str, NDArray[Any]]
LAYERS = keras_arrays("LSTM", 4)  # of them, the first alone has another shape
BOTH: list[Arrays] = keras_arrays("LSTM", 1, 2)[0]
USUAL = "activation='tanh', recurrent_activation='sigmoid', go_backwards=False"


@pytest.fixture(autouse=True)
def _inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, so that messages have short names."""
    monkeypatch.chdir(tmp_path)


def keras(name: str, kind: str = "LSTM", *wanted: str) -> Found:
    return read_keras(Path(name), kind, wanted)


def refused(message: str) -> Any:
    return pytest.raises(ValueError, match=f"^{re.escape(message)}$")


def holds(found: Found, layers: Sequence[Sequence[Arrays]]) -> None:
    assert [len(directions) for directions in found.layers] == [*map(len, layers)]
    for directions, expected in zip(found.layers, layers, strict=True):
        for arrays, those in zip(directions, expected, strict=True):
            assert {*arrays} == {*those}
            assert all(np.array_equal(arrays[name], those[name]) for name in those)


def edited(weights: bytes, edit: Any) -> bytes:
    file = io.BytesIO(weights)
    with h5py.File(file, "r+") as h5:
        edit(h5)
    return file.getvalue()


# Files of Keras


@pytest.mark.parametrize(
    ("kind", "num_layers", "D", "bias", "silent"),
    [
        ("LSTM", 1, 1, True, USUAL),
        ("GRU", 1, 1, True, USUAL),
        ("GRU", 1, 2, False, f"reset_after=True, {USUAL}, merge_mode='concat'"),
        ("GRU", 2, 1, False, f"reset_after=True, {USUAL} and nothing between the layers"),
    ],
)
def test_what_the_arrays_do_not_tell_is_noted(
    kind: str, num_layers: int, D: int, bias: bool, silent: str
) -> None:
    layers = keras_arrays(kind, num_layers, D, bias)
    names = [f"layer{k}" for k in range(num_layers)]
    cells = {name: (name, layers[k]) for k, name in enumerate(names)}
    Path("a.weights.h5").write_bytes(weights_h5(cells, CELLS[kind]))
    found = keras("a.weights.h5", kind, *names)
    holds(found, layers)
    assert found[1:] == ({}, None, [
        f"a.weights.h5 does not say how a layer was set; it is right only with {silent}"
    ])  # fmt: skip # a note


def test_numbers_that_numpy_does_not_have_are_noted() -> None:
    halves = {name: (a.view("u4") >> 16).astype("u2") for name, a in LAYERS[0][0].items()}
    weights = weights_h5({"layers/lstm": ("mine", [halves])}, "lstm_cell")

    def edit(h5: h5py.File) -> None:
        for array in h5["layers/lstm/cell/vars"].values():
            array.attrs["dtype"] = "bfloat16"

    write_keras(model(keras_layer("LSTM", "mine")), edited(weights, edit))
    found = keras("a.keras")
    holds(found, [[{name: (a.astype("u4") << 16).view("f4") for name, a in halves.items()}]])
    assert found.notes == ["bfloat16, which NumPy does not have, is read as float32"]


def test_a_cell_of_another_kind_is_refused() -> None:
    Path("a.weights.h5").write_bytes(weights_h5({"mine": ("mine", LAYERS[0])}, "my_cell"))
    with refused("mine in a.weights.h5 should have a lstm_cell, got my_cell"):
        keras("a.weights.h5")


@pytest.mark.parametrize("said", [True, False])
def test_a_layer_below_another_gives_all_steps(said: bool) -> None:
    low = keras_layer("LSTM", "low", return_sequences=False)
    high = keras_layer("LSTM", "high", return_sequences=False)
    if not said:
        del low["config"]["return_sequences"], high["config"]["return_sequences"]
    cells = {"layers/lstm": ("low", LAYERS[0]), "layers/lstm_1": ("high", LAYERS[1])}
    write_keras(model(low, high), weights_h5(cells, "lstm_cell"))
    holds(keras("a.keras", "LSTM", "high"), LAYERS[1:2])
    with refused("return_sequences of low in a.keras should be True, got False"):
        keras("a.keras", "LSTM", "low", "high")


def test_stacks_in_models_whose_layers_have_the_same_names() -> None:
    low, high = keras_layer("LSTM", "low"), keras_layer("LSTM", "high")
    each = {"class_name": "TimeDistributed", "config": {"name": "t", "layer": plain("Dense", "i")}}
    inner = [model(low, plain(of, "d"), high, name=of) for of in ("Dropout", "Dense")]
    paths = [f"layers/sequential{m}/layers/lstm{k}" for m in ("", "_1") for k in ("", "_1")]
    cells = {path: (["low", "high"][k % 2], LAYERS[k]) for k, path in enumerate(paths)}
    write_keras(model(each, *inner), weights_h5(cells, "lstm_cell"))
    found = keras("a.keras", "LSTM", *paths[:2])
    holds(found, LAYERS[:2])
    assert found.notes == ["d in a.keras is not carried over: torch.nn has a dropout of its own"]
    with refused("high in a.keras should take the output of low, got that of d"):
        keras("a.keras", "LSTM", *paths[2:])


@pytest.mark.parametrize("more", [0, 1])
def test_a_text_that_is_longer_than_its_file_is_refused(more: int) -> None:
    """A length that is as wrong but possible is for HDF5 to refuse."""
    data = bytearray(weights_h5({"mine": ("mine", LAYERS[0])}, "lstm_cell"))
    at = data.index(b"name\0\0\0\0\x19") + 8 + 24 + 8
    data[at : at + 4] = (len(data) + more).to_bytes(4, "little")
    Path("a.h5").write_bytes(data)
    with pytest.raises(ValueError, match=r"^a\.h5 should be a whole \.h5 file of Keras: ") as said:
        keras("a.h5")
    ours = str(said.value).endswith(": a text in it says that it is longer than the file")
    assert ours is bool(more)


@pytest.mark.parametrize("top", ["optimizer/adam", "optimizer_weights/Adam/m"])
def test_the_state_of_an_optimizer_is_no_layer(top: str) -> None:
    write_h5({"lstm": ("lstm", LAYERS[0])}, "lstm_cell")
    with h5py.File("a.h5", "r+") as h5:
        for name, array in LAYERS[0][0].items():
            h5[f"{top}/lstm/lstm_cell/{name}:0"] = array * 0
    holds(keras("a.h5"), LAYERS[:1])


def test_a_variable_may_be_as_large_as_its_file_can_hold() -> None:
    """Its values, all 0, are not in the file."""
    weights = weights_h5({"mine": ("mine", LAYERS[0])}, "lstm_cell")
    size = len(edited(weights, lambda h5: h5.create_dataset("mine/cell/vars/3", (1,), "u1")))
    for more, message in {
        0: "mine in a.weights.h5 should have one cell with kernel, recurrent_kernel and bias, got "
        "4 variables",
        1: "a.weights.h5 should be a whole .h5 file of Keras: mine/cell/vars/3 says that it has "
        "more than fits into the file",
    }.items():
        shape = (LARGEST_RATIO * size + more,)
        with h5py.File(file := io.BytesIO(weights), "r+") as h5:
            h5.create_dataset("mine/cell/vars/3", shape, "u1")
        assert len(file.getvalue()) == size
        Path("a.weights.h5").write_bytes(file.getvalue())
        with refused(message):
            keras("a.weights.h5")


def test_layers_are_named_as_the_attributes_of_their_model() -> None:
    paths = ["cell", "backward_layer", "encoder/layers/lstm", "encoder/forward_layer"]
    cells = {path: ("", LAYERS[k]) for k, path in enumerate(paths)}
    Path("a.weights.h5").write_bytes(weights_h5(cells, "", named=False))
    found = keras("a.weights.h5", "LSTM", *(path.rpartition("/")[2] for path in paths))
    holds(found, LAYERS)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
@pytest.mark.parametrize("stacked", [True, False])
def test_a_cell_with_other_variables_is_refused(suffix: str, stacked: bool) -> None:
    weights = weights_h5({"layers/rnn": ("mine", LAYERS[0])}, "lstm_cell")

    def edit(h5: h5py.File) -> None:
        layer = h5["layers/rnn"]
        if stacked:
            layer.move("cell/vars", "cell/cells/lstm_cell/vars")
            layer.copy("cell/cells/lstm_cell", "cell/cells/lstm_cell_1")
        else:
            del layer["cell/vars/1"], layer["cell/vars/2"]

    weights = edited(weights, edit)
    Path("a.weights.h5").write_bytes(weights)
    write_keras(model(cell("LSTM")), weights)
    with refused(
        f"mine in a{suffix} should have one cell with kernel, recurrent_kernel and bias, got "
        f"{6 if stacked else 1} variables"
    ):
        keras(f"a{suffix}")


ONE, TWO = LAYERS[1][0], LAYERS[2][0]
OLD: list[tuple[dict[str, Arrays], list[str], list[list[Arrays]]]] = [
    ({"lstm/lstm_cell": ONE}, ["lstm"], [[ONE]]),
    ({"my_cell": ONE}, ["my_cell"], [[ONE]]),
    ({"cells_of_words/cells_of_words": ONE}, ["cells_of_words"], [[ONE]]),
    ({"a/b/c/backward_my_lstm": ONE, "a/b/c/forward_my_lstm": TWO}, ["c"], [[TWO, ONE]]),
    ({"b/backward_my/lstm_cell": ONE, "b/forward_my/lstm_cell": TWO}, ["b"], [[TWO, ONE]]),
    ({"backward_x": ONE, "forward_x": TWO}, ["forward_x", "backward_x"], [[TWO], [ONE]]),
    ({"m/lstm/lstm_cell": ONE, "n/lstm/lstm_cell": TWO}, ["n/lstm", "m/lstm"], [[TWO], [ONE]]),
]


@pytest.mark.parametrize("number", range(len(OLD)))
def test_layers_of_keras_2_are_named_as_their_groups(number: int) -> None:
    groups, wanted, layers = OLD[number]
    with h5py.File("a.h5", "w") as h5:
        for group, arrays in groups.items():
            for name, array in arrays.items():
                h5[f"{group}/{name}:0"] = array
    holds(keras("a.h5", "LSTM", *wanted), layers)


@pytest.mark.parametrize("way", ["", "forward_", "backward_"])
def test_a_layer_of_keras_2_with_several_cells_is_refused(way: str) -> None:
    """Keras writes them beside each other; one of them would take the place of the others."""
    cells = {"lstm_cell": ONE, "lstm_cell_1": TWO}
    groups = {f"my/{way}rnn/stack/{name}": arrays for name, arrays in cells.items()}
    if way:
        groups = {f"my/{way}rnn/{name}": arrays for name, arrays in cells.items()}
        twin = "backward_" if way == "forward_" else "forward_"
        groups[f"my/{twin}rnn/lstm_cell"] = LAYERS[3][0]
    with h5py.File("a.h5", "w") as h5:
        for group, arrays in groups.items():
            for name, array in arrays.items():
                h5[f"{group}/{name}:0"] = array
    name = "my" if way else "stack"
    with refused(f"{name} in a.h5 should have one cell, got lstm_cell, lstm_cell_1"):
        keras("a.h5")


def test_a_model_that_does_not_list_its_layers_is_refused() -> None:
    config = {"class_name": "Mine", "config": {"name": "model"}}
    write_keras(config, weights_h5({"lstm": ("mine", LAYERS[0])}, "lstm_cell"))
    with refused("mine in a.keras should be in the configuration of the model, but is not"):
        keras("a.keras")


def test_a_layer_inside_another_is_refused() -> None:
    each = {"name": "each", "layer": keras_layer("LSTM", "inner")}
    config = model({"class_name": "TimeDistributed", "config": each})
    cells = {"layers/time_distributed/layer": ("", LAYERS[0])}
    write_keras(config, weights_h5(cells, "", named=False))
    with refused("inner in a.keras should not be inside a layer TimeDistributed"):
        keras("a.keras")


@pytest.mark.parametrize("D", [1, 2])
@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_what_a_configuration_leaves_out_is_the_default_of_keras(kind: str, D: int) -> None:
    """Keras 1 had other names, too."""
    [directions] = keras_arrays(kind, 1, D)
    of = {"RNN": "SimpleRNN"}.get(kind, kind)
    layer = keras_layer(of, "mine")
    layer["config"] = {"name": "mine", "output_dim": layer["config"]["units"]}
    path = {"RNN": "simple_rnn"}.get(kind, kind.lower())
    if D == 2:
        layer, path = bidirectional(layer, "mine"), "bidirectional"
        del layer["config"]["merge_mode"]
    weights = weights_h5({f"layers/{path}": ("mine", directions)}, CELLS[kind])
    write_keras(model(layer), weights)
    found = keras("a.keras", kind)
    holds(found, [directions])
    settings: dict[str, object] = {"reset_after": True} if kind == "GRU" else {}
    assert found[1:] == (settings, "tanh" if kind == "RNN" else None, [])


# Arrays of NumPy


def savez(*arrays: Any, **named: Any) -> None:
    np.savez("a.npz", *arrays, **named)


def npz(layout: str, kind: str) -> Found:
    return read_npz(Path("a.npz"), layout, kind)


@pytest.mark.parametrize(
    ("layout", "kind", "such"),
    [("torch", "GRU", "weight_ih_l0"), ("equinox", "RNN", "kernel_l0")],  # the second has no RNN
)
def test_names_of_no_library_are_refused(layout: str, kind: str, such: str) -> None:
    savez(mine=np.ones((3, 2)))
    with refused(
        f"names in a.npz should be those of {layout} with the place at the end, such as {such}, "
        "got 'mine' with shape (3, 2)"
    ):
        npz(layout, kind)


def test_one_layer_in_one_direction_needs_no_place() -> None:
    [[arrays]] = keras_arrays("GRU")
    savez(**arrays, reset_after=True)
    found = npz("keras", "GRU")
    holds(found, [[arrays]])
    notes = ["one layer in one direction: names have no _l0"]
    assert found[1:] == ({"reset_after": True}, None, notes)
    savez(reset_after=True, **arrays, kernel_l0=arrays["kernel"])
    with refused(
        "names in a.npz should all end in a place such as _l0, or none of them, got ['kernel', "
        "'recurrent_kernel', 'bias', 'kernel_l0']"
    ):
        npz("keras", "GRU")


KERNEL, RECURRENT, BIAS = LAYERS[1][0].values()
AMBIGUOUS = [array for arrays in keras_arrays("LSTM", 1, 2, size=4)[0] for array in arrays.values()]
UNCLEAR: list[tuple[list[NDArray[Any]], str]] = [
    ([KERNEL], "none; give names such as kernel_l0"),
    (
        [BIAS, RECURRENT, KERNEL],
        "none; give names such as kernel_l0: layers[0][0]['kernel'] should be a matrix, got shape "
        "(16,)",
    ),
    (
        AMBIGUOUS,
        "2 layers in 1 directions and 1 layers in 2 directions; give names such as kernel_l0",
    ),
]


@pytest.mark.parametrize("number", range(len(UNCLEAR)))
def test_arrays_in_an_order_that_is_not_clear_are_refused(number: int) -> None:
    arrays, ways = UNCLEAR[number]
    savez(*arrays)
    with refused(
        "arrays without names in a.npz should be those of layer.get_weights() of a "
        f"keras.layers.LSTM, got the shapes {[array.shape for array in arrays]}, which fit {ways}"
    ):
        npz("keras", "LSTM")


def test_arrays_in_order_are_read() -> None:
    savez(*(array for arrays in BOTH for array in arrays.values()), reset_after=True)
    found = npz("keras", "LSTM")
    holds(found, [BOTH])
    notes = ["arrays without names, taken in the order of layer.get_weights()"]
    assert found[1:] == ({"reset_after": True}, None, notes)


def test_an_archive_may_be_as_large_as_its_file_can_hold() -> None:
    with zipfile.ZipFile("a.npz", "w") as file:
        file.writestr("mine", b"1234")
    data = Path("a.npz").read_bytes()
    at = data.index(b"PK\x01\x02") + 24
    largest = LARGEST_RATIO * len(data)
    Path("a.npz").write_bytes(data[:at] + largest.to_bytes(4, "little") + data[at + 4 :])
    assert zip_members(Path("a.npz")) == {"mine": b"1234"}
    Path("a.npz").write_bytes(data[:at] + (largest + 1).to_bytes(4, "little") + data[at + 4 :])
    with refused("a.npz should be a whole .npz file: it says that it has more than fits into it"):
        zip_members(Path("a.npz"))


def test_arrays_that_python_2_wrote_are_read_without_a_warning() -> None:
    with zipfile.ZipFile("a.npz", "w") as file:
        for name, array in LAYERS[1][0].items():
            written = io.BytesIO()
            np.save(written, array)
            data = re.sub(rb"(\d)([,)].*) ", rb"\1L\2", written.getvalue(), count=1)
            assert re.search(rb"\d+L[,)]", data)
            file.writestr(f"{name}_l0.npy", data)
    with warnings.catch_warnings(action="error"):
        holds(npz("keras", "LSTM"), LAYERS[1:2])

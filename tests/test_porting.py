"""Other libraries' layouts, written out by hand; `nox -s porting` asks the libraries themselves."""

import importlib.util
import re
import runpy
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from unrolled.layers import STEPS, Weights, plain_direction, run_network
from unrolled.porting import LAYOUTS, from_layout, to_layout
from unrolled.porting.__main__ import main
from unrolled.shapes import parameter_shapes
from unrolled_site.figures import Figure
from unrolled_site.figures.porting import gate_layouts

I, H, L, N = 3, 4, 5, 2  # noqa: E741 # its name in the libraries
GATES = {"RNN": "h", "GRU": "rzn", "LSTM": "ifgo"}
MODES = {"RNN": "RNN_TANH", "GRU": "GRU", "LSTM": "LSTM"}
ALL = [(layout, kind) for layout, kinds in LAYOUTS.items() for kind in kinds]
Arrays = dict[str, NDArray[Any]]


def random_state(
    kind: str, num_layers: int = 1, bidirectional: bool = False, bias: bool = True, seed: int = 0
) -> Arrays:
    shapes = parameter_shapes(MODES[kind], I, H, num_layers, bias, bidirectional)
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal(shape) for name, shape in shapes.items()}


def needed(layout: str, kind: str) -> dict[str, Any]:
    return {name: setting.needed for name, setting in LAYOUTS[layout][kind].settings.items()}


def without_b_hn(layout: str, kind: str, state: Arrays) -> Arrays:
    """Make zero what flax.nnx.GRUCell does not have."""
    if (layout, kind) == ("flax.nnx", "GRU"):
        for name in state:
            if name.startswith("bias_hh"):
                state[name][2 * H :] = 0
    return state


def refused(error: type[Exception], message: str) -> Any:
    """Expect an error with this message, and nothing else in it."""
    return pytest.raises(error, match=f"^{re.escape(message)}$")


class Blocks:
    """The blocks of the first layer by gate: W and U of the weights, b and c of the biases."""

    def __init__(self, kind: str, state: Arrays) -> None:
        self.W, self.U, self.b, self.c = (
            SimpleNamespace(
                **dict(zip(GATES[kind], np.split(array, len(GATES[kind])), strict=True))
            )
            for array in state.values()
        )
        self.s = SimpleNamespace(
            **{g: getattr(self.b, g) + getattr(self.c, g) for g in GATES[kind]}
        )


def cat(blocks: SimpleNamespace, gates: str) -> NDArray[Any]:
    return np.concatenate([getattr(blocks, gate) for gate in gates])


def per_gate(p: Blocks, gates: str, renamed: dict[str, str]) -> Arrays:
    arrays = {f"i{renamed.get(g, g)}.kernel": getattr(p.W, g).T for g in gates}
    return arrays | {f"h{g}.kernel": getattr(p.U, g).T for g in gates}


BY_HAND: dict[tuple[str, str], Callable[[Blocks], Arrays]] = {
    ("keras", "RNN"): lambda p: {
        "kernel": p.W.h.T,
        "recurrent_kernel": p.U.h.T,
        "bias": p.s.h,
    },
    ("keras", "GRU"): lambda p: {
        "kernel": np.hstack([p.W.z.T, p.W.r.T, p.W.n.T]),
        "recurrent_kernel": np.hstack([p.U.z.T, p.U.r.T, p.U.n.T]),
        "bias": np.array([cat(p.b, "zrn"), cat(p.c, "zrn")]),
    },
    ("keras", "LSTM"): lambda p: {
        "kernel": np.hstack([p.W.i.T, p.W.f.T, p.W.g.T, p.W.o.T]),
        "recurrent_kernel": np.hstack([p.U.i.T, p.U.f.T, p.U.g.T, p.U.o.T]),
        "bias": cat(p.s, "ifgo"),
    },
    ("onnx", "RNN"): lambda p: {
        "W": p.W.h[None],
        "R": p.U.h[None],
        "B": np.concatenate([p.b.h, p.c.h])[None],
    },
    ("onnx", "GRU"): lambda p: {
        "W": cat(p.W, "zrn")[None],
        "R": cat(p.U, "zrn")[None],
        "B": np.concatenate([cat(p.b, "zrn"), cat(p.c, "zrn")])[None],
    },
    ("onnx", "LSTM"): lambda p: {
        "W": cat(p.W, "iofg")[None],
        "R": cat(p.U, "iofg")[None],
        "B": np.concatenate([cat(p.b, "iofg"), cat(p.c, "iofg")])[None],
    },
    ("flax.linen", "RNN"): lambda p: {
        "i.kernel": p.W.h.T,
        "i.bias": p.s.h,
        "h.kernel": p.U.h.T,
    },
    ("flax.linen", "GRU"): lambda p: {
        **per_gate(p, "rzn", {}),
        "ir.bias": p.s.r,
        "iz.bias": p.s.z,
        "in.bias": p.b.n,
        "hn.bias": p.c.n,
    },
    ("flax.linen", "LSTM"): lambda p: {
        **per_gate(p, "ifgo", {}),
        **{f"h{g}.bias": getattr(p.s, g) for g in "ifgo"},
    },
    ("flax.nnx", "RNN"): lambda p: {
        "dense_i.kernel": p.W.h.T,
        "dense_i.bias": p.s.h,
        "dense_h.kernel": p.U.h.T,
    },
    ("flax.nnx", "GRU"): lambda p: {
        "dense_i.kernel": cat(p.W, "rzn").T,
        "dense_i.bias": np.concatenate([p.s.r, p.s.z, p.b.n]),
        "dense_h.kernel": cat(p.U, "rzn").T,
    },
    ("flax.nnx", "LSTM"): lambda p: {
        "dense_i.kernel": cat(p.W, "ifgo").T,
        "dense_h.kernel": cat(p.U, "ifgo").T,
        "dense_h.bias": cat(p.s, "ifgo"),
    },
    ("flax.nnx.LSTMCell", "LSTM"): lambda p: {
        **per_gate(p, "ifgo", {"f": "f_"}),
        **{f"h{g}.bias": getattr(p.s, g) for g in "ifgo"},
    },
    ("equinox", "GRU"): lambda p: {
        "weight_ih": cat(p.W, "rzn"),
        "weight_hh": cat(p.U, "rzn"),
        "bias": np.concatenate([p.s.r, p.s.z, p.b.n]),
        "bias_n": p.c.n,
    },
    ("equinox", "LSTM"): lambda p: {
        "weight_ih": cat(p.W, "ifgo"),
        "weight_hh": cat(p.U, "ifgo"),
        "bias": cat(p.s, "ifgo"),
    },
}


def test_every_layout_is_written_out_by_hand() -> None:
    assert {*BY_HAND} == {(layout, kind) for layout, kind in ALL if layout != "torch"}


@pytest.mark.parametrize(("layout", "kind"), BY_HAND)
def test_to_layout_by_hand(layout: str, kind: str) -> None:
    state = without_b_hn(layout, kind, random_state(kind))
    [[arrays]] = to_layout(layout, kind, state)
    expected = BY_HAND[layout, kind](Blocks(kind, state))
    assert set(arrays) == set(expected)
    for name, array in expected.items():
        assert np.array_equal(arrays[name], array), name
        assert arrays[name].flags.c_contiguous


NAMES = {
    "torch": ("torch.nn.RNN", "torch.nn.GRU", "torch.nn.LSTM"),
    "keras": ("keras.layers.SimpleRNN", "keras.layers.GRU", "keras.layers.LSTM"),
    "onnx": ("ONNX RNN", "ONNX GRU", "ONNX LSTM"),
    "flax.linen": (
        "flax.linen.SimpleCell",
        "flax.linen.GRUCell",
        "flax.linen.OptimizedLSTMCell",
    ),
    "flax.nnx": ("flax.nnx.SimpleCell", "flax.nnx.GRUCell", "flax.nnx.OptimizedLSTMCell"),
    "flax.nnx.LSTMCell": ("", "", "flax.nnx.LSTMCell"),
    "equinox": ("", "equinox.nn.GRUCell", "equinox.nn.LSTMCell"),
}
NEEDED: dict[tuple[str, str], dict[str, object]] = {
    ("keras", "GRU"): {
        "reset_after": True,
        "activation": "tanh",
        "recurrent_activation": "sigmoid",
    },
    ("keras", "LSTM"): {"activation": "tanh", "recurrent_activation": "sigmoid"},
    ("onnx", "RNN"): {"clip": None},
    ("onnx", "GRU"): {"clip": None, "linear_before_reset": 1},
    ("onnx", "LSTM"): {"clip": None, "input_forget": 0, "peepholes": False},
    ("flax.linen", "RNN"): {"residual": False},
    ("flax.nnx", "RNN"): {"residual": False},
}


@pytest.fixture(scope="module")
def made_anew() -> Any:
    """Load the module once more, so that what makes its tables runs while it is tested."""
    spec = importlib.util.find_spec("unrolled.porting.layouts")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("layout", "kind"), ALL)
def test_tables_by_hand(made_anew: Any, layout: str, kind: str) -> None:
    entry = made_anew.LAYOUTS[layout][kind]
    assert entry.module == NAMES[layout][["RNN", "GRU", "LSTM"].index(kind)]
    settings = NEEDED.get((layout, kind), {})
    assert {name: setting.needed for name, setting in entry.settings.items()} == settings
    for bias in (True, False):
        state = without_b_hn(layout, kind, random_state(kind, bias=bias))
        [[arrays]] = made_anew.to_layout(layout, kind, state)
        zero = random_state(kind) | state
        if not bias:
            zero |= {name: 0 * array for name, array in zero.items() if name.startswith("bias")}
        expected = (
            {name.removesuffix("_l0"): array for name, array in state.items()}
            if layout == "torch"
            else BY_HAND[layout, kind](Blocks(kind, zero))
        )
        if not bias and not layout.startswith("flax"):  # which alone has zeros there
            expected = {name: a for name, a in expected.items() if name.lower()[:1] != "b"}
        assert set(arrays) == set(expected)
        for name, array in expected.items():
            assert np.array_equal(arrays[name], array), name
        back = made_anew.from_layout(layout, kind, [[arrays]], **settings)
        again = made_anew.to_layout(layout, kind, back)[0][0]
        assert all(np.array_equal(again[name], arrays[name]) for name in arrays)


@pytest.mark.no_cover
@pytest.mark.parametrize(("layout", "kind"), ALL)
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize("bias", [True, False])
def test_round_trips(
    layout: str, kind: str, num_layers: int, bidirectional: bool, bias: bool
) -> None:
    state = random_state(kind, num_layers, bidirectional, bias)
    state = without_b_hn(layout, kind, state)
    layers = to_layout(layout, kind, state)
    assert [len(d) for d in layers] == [2 if bidirectional and layout != "onnx" else 1] * num_layers
    back = from_layout(layout, kind, layers, **needed(layout, kind))
    biased = bias or LAYOUTS[layout][kind].always_biased
    shapes = parameter_shapes(MODES[kind], I, H, num_layers, biased, bidirectional)
    assert {name: array.shape for name, array in back.items()} == shapes
    assert list(back) == list(shapes)
    for name, array in back.items():
        assert array.flags.c_contiguous
        if name.startswith("weight"):
            assert np.array_equal(array, state[name]), name
        elif not bias:
            assert not array.any()
        elif layout in ("torch", "onnx") or (layout, kind) == ("keras", "GRU"):
            assert np.array_equal(array, state[name]), name
        elif name.startswith("bias_ih"):
            b_ih, b_hh = state[name], state[name.replace("ih", "hh")]
            kept = b_hh.copy()  # what stays in bias_hh: the candidate's part of a GRU
            kept[: 2 * H if kind == "GRU" else None] = 0
            assert np.array_equal(back[name.replace("ih", "hh")], kept), name
            assert np.array_equal(array, b_ih + (b_hh - kept)), name
    again = to_layout(layout, kind, back)
    for there, here in zip(layers, again, strict=True):
        for one, other in zip(there, here, strict=True):
            assert set(one) == set(other)
            assert all(np.array_equal(one[name], other[name]) for name in one)


def run(kind: str, state: Arrays, num_layers: int) -> NDArray[Any]:
    rng = np.random.default_rng(1)
    x, states = rng.standard_normal((L, N, I)), rng.standard_normal((2, 2 * num_layers, N, H))
    hx = [(h, c) if kind == "LSTM" else h for h, c in zip(*states, strict=True)]
    layers = [
        [
            Weights(*(state[f"{name}_l{layer}{way}"] for name in Weights._fields[:4]))
            for way in ("", "_reverse")
        ]
        for layer in range(num_layers)
    ]
    direction = partial(plain_direction, STEPS[MODES[kind]])
    return run_network([direction] * len(hx), x, hx, layers).output


@pytest.mark.parametrize(("layout", "kind"), ALL)
def test_there_and_back_is_the_same_network(layout: str, kind: str) -> None:
    state = without_b_hn(layout, kind, random_state(kind, 2, True))
    back = from_layout(layout, kind, to_layout(layout, kind, state), **needed(layout, kind))
    assert np.abs(run(kind, state, 2) - run(kind, back, 2)).max() < 1e-12


def test_values_need_not_be_numpy() -> None:
    gru = nn.GRU(I, H)
    [[arrays]] = to_layout("keras", "GRU", gru.state_dict())
    assert arrays["kernel"].dtype == np.float32
    lists = {name: array.tolist() for name, array in arrays.items()}
    back = from_layout("keras", "GRU", [[{**lists}]])
    assert np.array_equal(
        back["weight_ih_l0"].astype("f"), gru.get_parameter("weight_ih_l0").detach().numpy()
    )


def test_none_is_an_absent_bias() -> None:
    [[arrays]] = to_layout("equinox", "GRU", random_state("GRU", bias=False))
    back = from_layout("equinox", "GRU", [[{**arrays, "bias": None, "bias_n": None}]])  # type: ignore[dict-item] # as Equinox has it
    assert list(back) == ["weight_ih_l0", "weight_hh_l0"]


def test_input_is_left_alone_and_not_shared() -> None:
    state = random_state("GRU")
    before = {name: array.copy() for name, array in state.items()}
    layers = to_layout("torch", "GRU", state)
    for array in layers[0][0].values():
        array += 1
    back = from_layout("torch", "GRU", layers)
    for array in back.values():
        array += 1
    assert all(np.array_equal(state[name], before[name]) for name in state)
    assert np.array_equal(layers[0][0]["weight_ih"], before["weight_ih_l0"] + 1)


@pytest.mark.parametrize(("layout", "kind"), ALL)
def test_zeros_in_place_of_biases_have_the_dtype_of_the_weights(layout: str, kind: str) -> None:
    state = {k: v.astype("f4") for k, v in random_state(kind, bias=False).items()}
    [[arrays]] = to_layout(layout, kind, state)
    back = from_layout(layout, kind, [[arrays]], **needed(layout, kind))
    assert {a.dtype for a in (*arrays.values(), *back.values())} == {np.dtype("f4")}


RESET = "the reset gate then comes before the product, in a network that torch.nn.GRU is not"
GATES_HARD = "the gates then have another activation, for example hard_sigmoid in an older Keras"
REFUSED_SETTINGS = [
    ("keras", "GRU", {"reset_after": False}, RESET),
    ("keras", "GRU", {"recurrent_activation": "hard_sigmoid"}, GATES_HARD),
    ("keras", "LSTM", {"activation": "relu"}, "candidates then have another activation"),
    ("onnx", "GRU", {"linear_before_reset": 0}, RESET),
    ("onnx", "LSTM", {"input_forget": 1}, "the input and the forget gate are then coupled"),
    ("onnx", "LSTM", {"peepholes": True}, "the gates then see the cell state"),
    ("onnx", "RNN", {"clip": 3.0}, "the sums are then cut off before the activation"),
    ("flax.linen", "RNN", {"residual": True}, "the old state is then added to the sum"),
    ("flax.nnx", "RNN", {"residual": True}, "the old state is then added to the sum"),
]


@pytest.mark.parametrize(("layout", "kind", "settings", "why"), REFUSED_SETTINGS)
def test_settings_of_another_network(
    layout: str, kind: str, settings: dict[str, Any], why: str
) -> None:
    state = without_b_hn(layout, kind, random_state(kind))
    [(name, value)] = settings.items()
    module, right = LAYOUTS[layout][kind].module, needed(layout, kind)
    message = f"{name} of {module} should be {right[name]!r}, got {value!r}: {why}"
    with refused(ValueError, message):
        to_layout(layout, kind, state, **settings)
    layers = to_layout(layout, kind, state)
    with refused(ValueError, message):
        from_layout(layout, kind, layers, **{**right, **settings})


def test_a_gru_of_onnx_is_the_other_one_by_default() -> None:
    layers = to_layout("onnx", "GRU", random_state("GRU"))
    message = f"linear_before_reset of ONNX GRU should be 1, got 0: {RESET}"
    with refused(ValueError, message):
        from_layout("onnx", "GRU", layers)
    assert from_layout("keras", "GRU", to_layout("keras", "GRU", random_state("GRU")))


@pytest.mark.parametrize("place", ["l0_reverse", "l1", "l1_reverse"])
def test_bias_without_a_place(place: str) -> None:
    state = without_b_hn("flax.nnx", "GRU", random_state("GRU", 2, True))
    state[f"bias_hh_{place}"][-1] = -0.25
    message = (
        f"bias_hh_{place} should be zero for the gate n, got values up to 0.25: flax.nnx.GRUCell "
        "has no bias there, and no other can take its place, because the reset gate multiplies "
        "this one"
    )
    with refused(ValueError, message):
        to_layout("flax.nnx", "GRU", state)


def without(arrays: Arrays, part: str) -> Arrays:
    return {name: array for name, array in arrays.items() if part not in name}


GRU, DEEP = random_state("GRU"), random_state("GRU", 2, True)
LSTM = random_state("LSTM")
EMPTY = {"weight_ih_l0": np.ones((0, 3)), "weight_hh_l0": np.ones((0, 0))}
NO_REVERSE = [name for name in DEEP if name.endswith("l1_reverse")]
BAD_STATES: list[tuple[str, Any, type[Exception], str]] = [
    ("LSTM", [1], TypeError, "state should be a mapping of names to arrays, got list"),
    (
        "LSTM",
        {**LSTM, "bias_hh_l0": np.ones(16, "f")},
        TypeError,
        "state should have arrays of one floating-point dtype, got float32, float64",
    ),
    (
        "LSTM",
        {"weight_ih_l0": np.ones((4, 3), int)},
        TypeError,
        "state should have arrays of one floating-point dtype, got int64",
    ),
    *(
        (
            "LSTM",
            {**LSTM, name: np.ones((2, 4))},
            ValueError,
            f"proj_size should be 0, got the projection {name}: of the libraries here only PyTorch "
            "has one",
        )
        for name in ("weight_hr_l0", "weight_hr_l1_reverse")
    ),
    ("LSTM", {}, RuntimeError, "state should have a matrix weight_ih_l0, got the names []"),
    (
        "GRU",
        {"weight_ih_l0": GRU["weight_ih_l0"]},
        RuntimeError,
        "state should have a matrix weight_hh_l0, got the names ['weight_ih_l0']",
    ),
    *(
        (
            "LSTM",
            {**LSTM, name: np.ones(4)},
            RuntimeError,
            f"state should have a matrix {name}, got shape (4,)",
        )
        for name in ("weight_ih_l0", "weight_hh_l0")
    ),
    (
        "GRU",
        LSTM,
        RuntimeError,
        "weight_ih_l0 should have shape (12, 3), as in torch.nn.GRU, got (16, 3)",
    ),
    (
        "LSTM",
        {**LSTM, "x": np.ones(1)},
        RuntimeError,
        f"state should have the names {[*LSTM]}; missing: [], unexpected: ['x']",
    ),
    (
        "GRU",
        without(DEEP, "bias_hh_l1_reverse"),
        RuntimeError,
        f"state should have the names {[*DEEP]}; missing: ['bias_hh_l1_reverse'], unexpected: []",
    ),
    (
        "GRU",
        without(DEEP, "_l0_reverse"),
        RuntimeError,
        f"state should have the names {[*without(DEEP, 'reverse')]}; missing: [], unexpected: "
        f"{NO_REVERSE}",
    ),
    ("RNN", EMPTY, ValueError, "hidden_size must be greater than zero, got 0"),
]


@pytest.mark.parametrize("number", range(len(BAD_STATES)))
@pytest.mark.parametrize("layout", ["torch", "keras"])
def test_bad_states(layout: str, number: int) -> None:
    kind, state, error, message = BAD_STATES[number]
    with refused(error, message):
        to_layout(layout, kind, state)


@pytest.mark.parametrize("way", [to_layout, from_layout])
def test_bad_names(way: Callable[..., object]) -> None:
    with refused(ValueError, f"layout should be one of {[*LAYOUTS]}, got 'Keras'"):
        way("Keras", "GRU", {})
    with refused(ValueError, "kind should be one of ['RNN', 'GRU', 'LSTM'], got 'gru'"):
        way("keras", "gru", {})
    there = "equinox.nn.GRUCell and equinox.nn.LSTMCell"
    message = f"kind should be one that equinox has, which is {there}, got 'RNN'"
    with refused(ValueError, message):
        way("equinox", "RNN", {})
    names = "['activation', 'recurrent_activation']"
    message = f"settings of keras.layers.LSTM should be among {names}, got 'reset_after'"
    with refused(TypeError, message):
        way("keras", "LSTM", {}, reset_after=True)


ONE = to_layout("keras", "GRU", GRU)[0][0]
TWO = to_layout("keras", "GRU", DEEP)
ONNX = to_layout("onnx", "RNN", random_state("RNN", 1, True))[0][0]
CELL = to_layout("flax.linen", "GRU", random_state("GRU"))[0][0]
KERAS = "['kernel', 'recurrent_kernel', 'bias']"
SIZES = "should have one mapping to arrays whose first dimension, the directions, is 1 or 2, got"
BAD_LAYERS: list[tuple[str, str, Any, type[Exception], str]] = [
    ("keras", "GRU", [], RuntimeError, "layers should have at least one layer, got none"),
    ("keras", "GRU", [[]], RuntimeError, "layers[0] should have 1 or 2 directions, got 0"),
    ("keras", "GRU", [[ONE] * 3], RuntimeError, "layers[0] should have 1 or 2 directions, got 3"),
    (
        "keras",
        "GRU",
        [TWO[0], TWO[1][:1]],
        RuntimeError,
        "layers[1] should have 2 directions, got 1",
    ),
    (
        "keras",
        "GRU",
        ONE,
        TypeError,
        "layers[0][0] should be a mapping of names to arrays, got str",
    ),
    (
        "keras",
        "GRU",
        [[ONE], [ONE, 3]],
        TypeError,
        "layers[1][1] should be a mapping of names to arrays, got int",
    ),
    (
        "keras",
        "GRU",
        [[{"kernel": ONE["kernel"]}]],
        RuntimeError,
        "layers[0][0] should have the names ['kernel', 'recurrent_kernel']; missing: "
        "['recurrent_kernel'], unexpected: []",
    ),
    (
        "keras",
        "GRU",
        [[{**ONE, "P": ONE["bias"]}]],
        RuntimeError,
        f"layers[0][0] should have the names {KERAS}; missing: [], unexpected: ['P']",
    ),
    (
        "keras",
        "GRU",
        [TWO[0], [TWO[1][0], {**TWO[1][1], "P": ONE["bias"]}]],
        RuntimeError,
        f"layers[1][1] should have the names {KERAS}; missing: [], unexpected: ['P']",
    ),
    *(
        (
            "keras",
            "GRU",
            [[{**ONE, name: np.ones(3)}]],
            RuntimeError,
            f"layers[0][0]['{name}'] should be a matrix, got shape (3,)",
        )
        for name in ("kernel", "recurrent_kernel")
    ),
    (
        "keras",
        "GRU",
        [[{**ONE, "kernel": ONE["kernel"].T}]],
        RuntimeError,
        "layers[0][0]['kernel'] should have shape (12, 12), as in keras.layers.GRU with "
        "reset_after=True, got (12, 3)",
    ),
    (
        "keras",
        "GRU",
        [[{**ONE, "bias": ONE["bias"][0]}]],
        RuntimeError,
        "layers[0][0]['bias'] should have shape (2, 12), as in keras.layers.GRU with "
        "reset_after=True, got (12,)",
    ),
    (
        "keras",
        "LSTM",
        [[ONE]],
        RuntimeError,
        "layers[0][0]['kernel'] should have shape (3, 16), as in keras.layers.LSTM, got (3, 12)",
    ),
    (
        "keras",
        "GRU",
        [TWO[0], TWO[0]],
        RuntimeError,
        "layers[1][0]['kernel'] should have shape (8, 12), as in keras.layers.GRU with "
        "reset_after=True, got (3, 12)",
    ),
    (
        "keras",
        "GRU",
        [[{**ONE, "bias": ONE["bias"].astype("f")}]],
        TypeError,
        "layers[0][0] should have arrays of one floating-point dtype, got float32, float64",
    ),
    (
        "keras",
        "GRU",
        [[ONE], [{k: v[..., :0] for k, v in ONE.items()}]],
        RuntimeError,
        "layers[1][0]['kernel'] should have shape (4, 12), as in keras.layers.GRU with "
        "reset_after=True, got (3, 0)",
    ),
    ("onnx", "RNN", [[ONNX, ONNX]], RuntimeError, f"layers[0] {SIZES} 2 with the sizes [2]"),
    (
        "onnx",
        "RNN",
        [[{**ONNX, "W": np.ones(())}]],
        RuntimeError,
        f"layers[0] {SIZES} 1 with the sizes [0, 2]",
    ),
    (
        "onnx",
        "RNN",
        [[ONNX], [{"W": np.ones((3, 4, 8))}]],
        RuntimeError,
        f"layers[1] {SIZES} 1 with the sizes [3]",
    ),
    (
        "flax.linen",
        "GRU",
        [[without(CELL, "bias")]],
        RuntimeError,
        f"layers[0][0] should have the names {[*LAYOUTS['flax.linen']['GRU'].arrays]}; missing: "
        "['ir.bias', 'iz.bias', 'in.bias', 'hn.bias'], unexpected: []",
    ),
]


@pytest.mark.parametrize("number", range(len(BAD_LAYERS)))
def test_bad_layers(number: int) -> None:
    layout, kind, layers, error, message = BAD_LAYERS[number]
    with refused(error, message):
        from_layout(layout, kind, layers)


def test_layers_of_different_dtypes() -> None:
    layers = to_layout("keras", "RNN", random_state("RNN", 2))
    layers[1] = [{name: array.astype("f") for name, array in layers[1][0].items()}]
    message = "layers should have arrays of one floating-point dtype, got float32, float64"
    with refused(TypeError, message):
        from_layout("keras", "RNN", layers)


def drawn(kind: str, *layouts: str) -> Figure:
    return gate_layouts({name: LAYOUTS[name][kind] for name in layouts})


def test_figure_says_what_it_shows() -> None:
    figure = drawn("GRU", "onnx", "flax.nnx", "equinox")
    assert figure.description == (
        "onnx: rows z, r, n; bias_ih z, r, n; bias_hh z, r, n. "
        "flax.nnx: columns r, z, n; bias_ih+bias_hh r, z; bias_ih n. "
        "equinox: rows r, z, n; bias_ih+bias_hh r, z; bias_ih n; bias_hh n."
    )
    assert figure.body.count("<rect") == (3 + 6) + (3 + 3) + (3 + 4)
    assert figure.height == 6 + 2 * 96  # two in a row


def test_figure_separates_arrays() -> None:
    apart, together = (drawn("LSTM", f"flax.{name}").body for name in ("nnx.LSTMCell", "nnx"))
    assert apart.count('width="11.5"') == together.count('width="14.5"') == 4


def test_figure_of_nothing() -> None:
    with pytest.raises(ValueError, match="layouts should have at least one entry, got none"):
        gate_layouts({})


# Files


def save(path: Path, module: nn.Module, prefix: str = "") -> Path:
    torch.save({prefix + name: value for name, value in module.state_dict().items()}, path)
    return path


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if "GRU" in LAYOUTS[layout]])
def test_files_there_and_back(
    layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gru = nn.GRU(I, H, 2, bidirectional=True)
    gru.load_state_dict(
        {
            name: torch.from_numpy(array)
            for name, array in without_b_hn(layout, "GRU", random_state("GRU", 2, True)).items()
        }
    )
    there, file, back = save(tmp_path / "a.pt", gru), tmp_path / "a.npz", tmp_path / "b.pth"
    assert main(["GRU", str(there), str(file), "--layout", layout]) == 0
    assert main(["GRU", str(file), str(back), "--layout", layout, "--prefix", "rnn."]) == 0
    said = capsys.readouterr()
    sizes = "input_size=3, hidden_size=4, num_layers=2, bidirectional=True"
    assert said.err == ""
    assert said.out.startswith(f"{file}: {LAYOUTS[layout]['GRU'].module} with {sizes}")
    assert said.out.endswith(f"{back}: torch.nn.GRU with {sizes}\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.npz", "a.pt", "b.pth"]
    loaded = {
        name.removeprefix("rnn."): value
        for name, value in torch.load(back, weights_only=True).items()
    }
    expected = to_layout(layout, "GRU", gru.state_dict())
    found = to_layout(layout, "GRU", loaded)
    for ours, theirs in zip(found, expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert all(np.array_equal(one[name], other[name]) for name in other)


def test_names_in_an_npz_file(tmp_path: Path) -> None:
    gru = nn.GRU(I, H, 1, bidirectional=True)
    file = tmp_path / "a.npz"
    assert main(["GRU", str(save(tmp_path / "a.pt", gru)), str(file), "--layout", "keras"]) == 0
    names = [f"{name}_l0{way}" for name in ("kernel", "recurrent_kernel", "bias")
             for way in ("", "_reverse")]  # fmt: skip # as wide as the page
    with np.load(file) as arrays:
        assert {*arrays} == {*names, "reset_after", "activation", "recurrent_activation"}
        assert arrays["reset_after"].item() is True
        assert np.array_equal(
            arrays["kernel_l0_reverse"][:, H : 2 * H],
            gru.get_parameter("weight_ih_l0_reverse").detach().numpy()[:H].T,
        )


def test_onnx_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rnn = nn.RNN(I, H, nonlinearity="relu")
    there, model, back = save(tmp_path / "a.pt", rnn), tmp_path / "a.onnx", tmp_path / "b.pt"
    assert main(["RNN", str(there), str(model), "--nonlinearity", "relu"]) == 0
    assert main(["RNN", str(model), str(back)]) == 0
    assert capsys.readouterr().out.count("nonlinearity='relu'\n") == 2
    rnn.load_state_dict(torch.load(back, weights_only=True))
    assert main(["GRU", str(model), str(back)]) == 1
    assert f"error: kind should be RNN, as in {model}, got GRU" in capsys.readouterr().err


def test_onnx_files_need_onnx(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    there, model = save(tmp_path / "a.pt", nn.RNN(I, H)), tmp_path / "a.onnx"
    assert main(["RNN", str(there), str(model)]) == 1
    assert "error: an .onnx file needs the package onnx" in capsys.readouterr().err
    assert not model.exists()
    model.touch()
    assert main(["RNN", str(model), str(there)]) == 1
    assert "error: an .onnx file needs the package onnx" in capsys.readouterr().err


def fails(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: object) -> str:
    """Run a command line that must fail and must leave the folder as it is."""
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert main([str(argument) for argument in arguments]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    return said.err


def test_pt_files_that_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "a.pt", tmp_path / "b.npz"

    def refused() -> str:
        return fails(capsys, tmp_path, "GRU", source, target)

    assert "No such file" in refused()
    source.write_bytes(b"")
    assert "refuses it" in refused()
    source.write_bytes(b"no pickle")
    assert "refuses it" in refused()
    torch.save(nn.GRU(I, H), source)  # a module is code
    assert "names and tensors, and nothing else; torch.load(weights_only=True)" in refused()
    torch.save([1], source)
    assert "got list" in refused()
    torch.save({"weight_ih_l0": 1.0}, source)
    assert "got float under the name 'weight_ih_l0'" in refused()
    save(source, nn.GRU(I, H), "encoder.rnn.")
    assert "--prefix should be one of ['encoder.rnn.']" in refused()
    save(source, nn.LSTM(I, H))
    assert "weight_ih_l0 should have shape (12, 3), as in torch.nn.GRU, got (16, 3)" in refused()


def test_npz_files_that_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "a.npz", tmp_path / "b.pt"

    def refused(layout: str = "keras") -> str:
        return fails(capsys, tmp_path, "GRU", source, target, "--layout", layout)

    source.write_bytes(b"no zip file")
    assert f"{source} should be a whole .npz file: File is not a zip file" in refused()
    np.savez(source, kernel_l0=np.array([{}]))
    assert "kernel_l0.npy in " in (said := refused())
    assert "should be an array of numbers: its objects could run code" in said
    np.savez(source, reset_after=True)
    assert "at least one layer" in refused()
    arrays = {f"{name}_l1": array for name, array in ONE.items()}
    np.savez(source, **arrays)  # type: ignore[arg-type] # its third keyword is a flag
    assert f"the layers in {source} should be numbered from _l0 on, got [1]" in refused()
    arrays = {f"{name}_l0": array for name, array in ONE.items()}
    np.savez(source, **arrays, reset_after=False)  # type: ignore[arg-type] # the same
    assert "reset_after of keras.layers.GRU should be True, got False" in refused()
    np.savez(source, **arrays)  # type: ignore[arg-type] # the same
    assert "linear_before_reset of ONNX GRU should be 1, got 0" in refused("onnx")
    np.savez(source, **arrays, kernel_l01=arrays["kernel_l0"])  # type: ignore[arg-type] # the same
    shape = arrays["kernel_l0"].shape
    assert f"with the place at the end, such as kernel_l0, got 'kernel_l01' with shape {shape}" in (
        refused()
    )


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failing_write_leaves_nothing(
    failing: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = save(tmp_path / "a.pt", nn.GRU(I, H)), tmp_path / "b.npz"
    target.write_bytes(b"what was there")

    def full(*arguments: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(f"os.{failing}", full)
    assert "no space left" in fails(capsys, tmp_path, "GRU", source, target)
    assert target.read_bytes() == b"what was there"


def test_arguments_that_make_no_sense(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["GRU", "a.pt", "a.h5"])
    assert stopped.value.code == 2
    assert "'.safetensors', '.npz', '.onnx'), got 'a.h5'" in capsys.readouterr().err
    monkeypatch.setattr("sys.argv", ["porting", "GRU", str(tmp_path / "a.pt"), "a.npz"])
    monkeypatch.delitem(sys.modules, "unrolled.porting.__main__")
    with pytest.raises(SystemExit) as stopped:
        runpy.run_module("unrolled.porting", run_name="__main__", alter_sys=True)
    assert stopped.value.code == 1

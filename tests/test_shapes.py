import math
import re
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from tests.comparisons import MODES, shape_differences
from tests.strategies import FEWER
from unrolled import shapes


@st.composite
def constructor_arguments(draw: st.DrawFn) -> dict[str, Any]:
    mode = draw(st.sampled_from(sorted(MODES)))
    hidden_size = draw(st.integers(1, 40))
    projected = mode == "LSTM" and hidden_size > 1 and draw(st.booleans())
    return {
        "mode": mode,
        "input_size": draw(st.integers(1, 40)),
        "hidden_size": hidden_size,
        "num_layers": draw(st.integers(1, 3)),
        "bias": draw(st.booleans()),
        "bidirectional": draw(st.booleans()),
        "proj_size": draw(st.integers(1, hidden_size - 1)) if projected else 0,
    }


def torch_module(arguments: dict[str, Any], **more: Any) -> nn.RNNBase:
    """Call the class, not RNNBase, whose forward is the real one."""
    arguments = arguments | more
    mode = arguments.pop("mode")
    if mode.startswith("RNN"):
        arguments["nonlinearity"] = mode.removeprefix("RNN_").lower()
    if mode != "LSTM":
        arguments.pop("proj_size")
    return MODES[mode](**arguments)


@FEWER
@given(constructor_arguments())
def test_parameters_are_those_of_the_modules(arguments: dict[str, Any]) -> None:
    module: Any = torch_module(arguments, device="meta")
    expected = {name: tuple(p.shape) for name, p in module.named_parameters()}
    actual = shapes.parameter_shapes(**arguments)
    assert list(actual.items()) == list(expected.items())
    assert shapes.parameter_count(**arguments) == sum(p.numel() for p in module.parameters())
    for shape in actual.values():
        assert all(type(size) is int for size in shape)
    mode, hidden_size, proj_size = (arguments[k] for k in ("mode", "hidden_size", "proj_size"))
    rows = module.weight_hh_l0.shape[0]
    assert shapes.gate_size(mode, hidden_size) == rows == len(shapes.GATES[mode]) * hidden_size
    assert shapes.real_hidden_size(hidden_size, proj_size) == module.weight_hh_l0.shape[1]
    for layer in range(arguments["num_layers"]):
        assert (
            shapes.layer_input_size(
                layer,
                arguments["input_size"],
                hidden_size,
                arguments["bidirectional"],
                proj_size,
            )
            == getattr(module, f"weight_ih_l{layer}").shape[1]
        )


def test_parameters_in_all_modes() -> None:
    import unrolled

    assert shape_differences(unrolled) == []


# PyTorch says so of every LSTM with a projection on a CPU.
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
@FEWER
@given(
    arguments=constructor_arguments(),
    L=st.integers(1, 5),
    N=st.none() | st.integers(0, 4),
    batch_first=st.booleans(),
)
def test_inputs_states_and_outputs_are_those_of_a_run(
    arguments: dict[str, Any], L: int, N: int | None, batch_first: bool
) -> None:
    module = torch_module(arguments, batch_first=batch_first)
    hidden_size, num_layers = arguments["hidden_size"], arguments["num_layers"]
    bidirectional, proj_size = arguments["bidirectional"], arguments["proj_size"]
    h_shape = shapes.hidden_state_shape(N, hidden_size, num_layers, bidirectional, proj_size)
    c_shape = shapes.cell_state_shape(N, hidden_size, num_layers, bidirectional)
    hx: Any = torch.randn(h_shape)
    if arguments["mode"] == "LSTM":
        hx = (hx, torch.randn(c_shape))
    x = torch.randn(shapes.input_shape(L, N, arguments["input_size"], batch_first))
    output, states = module(x, hx)
    h_n, c_n = states if arguments["mode"] == "LSTM" else (states, None)
    assert output.shape == shapes.output_shape(
        L, N, hidden_size, bidirectional, proj_size, batch_first
    )
    assert h_n.shape == h_shape
    assert c_n is None or c_n.shape == c_shape


def test_articles_example() -> None:
    assert shapes.parameter_shapes("RNN_TANH", 10, 20) == {
        "weight_ih_l0": (20, 10),
        "weight_hh_l0": (20, 20),
        "bias_ih_l0": (20,),
        "bias_hh_l0": (20,),
    }
    assert shapes.parameter_count("RNN_TANH", 10, 20) == 640
    assert shapes.input_shape(5, 3, 10, batch_first=True) == (3, 5, 10)
    assert shapes.hidden_state_shape(3, 20) == (1, 3, 20)


@pytest.mark.parametrize("mode", sorted(MODES))
def test_count_is_the_closed_formula(mode: str) -> None:
    for num_layers, bias, D, proj_size in product((1, 2, 3), (0, 1), (1, 2), (0, 7)):
        if proj_size and mode != "LSTM":
            continue
        gates, H_out = {"LSTM": 4, "GRU": 3}.get(mode, 1) * 20, proj_size or 20
        expected = sum(
            D * (gates * ((10 if layer == 0 else H_out * D) + H_out + 2 * bias) + proj_size * 20)
            for layer in range(num_layers)
        )
        assert expected == shapes.parameter_count(
            mode, 10, 20, num_layers, bool(bias), D == 2, proj_size
        )


def test_names() -> None:
    module = nn.LSTM(10, 20, 3, bidirectional=True, proj_size=7, device="meta")
    kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr"]
    assert list(module.state_dict()) == [
        shapes.parameter_name(kind, layer, direction)
        for layer in range(3)
        for direction in range(2)
        for kind in kinds
    ]


def test_gates_are_stacked_in_this_order() -> None:
    # A gate is found by what it does: its bias alone drives it to 0 or 1.
    hidden, cell = torch.full((1, 1), 0.7), torch.full((1, 1), 0.3)
    one = math.tanh(1.0)
    effects = {  # c_1 and h_1 when the bias of one gate is 100, and all other numbers are zero
        "i": (0.3 / 2, math.tanh(0.15) / 2),
        "f": (0.3, math.tanh(0.3) / 2),
        "g": (0.3 / 2 + 1 / 2, math.tanh(0.65) / 2),
        "o": (0.3 / 2, math.tanh(0.15)),
    }
    for block, gate in enumerate(shapes.GATES["LSTM"]):
        lstm = _zeroed(nn.LSTMCell(1, 1), block)
        h, c = lstm(torch.zeros(1, 1), (hidden, cell))
        assert (c.item(), h.item()) == pytest.approx(effects[gate]), gate
    effects_gru = {"r": 0.7 / 2, "z": 0.7, "n": (1.0 + 0.7) / 2}
    for block, gate in enumerate(shapes.GATES["GRU"]):
        gru = _zeroed(nn.GRUCell(1, 1), block)
        assert gru(torch.zeros(1, 1), hidden).item() == pytest.approx(effects_gru[gate]), gate
    assert one < 1  # tanh(100) is 1 and tanh(1) is not: the biases saturate


def _zeroed(cell: nn.LSTMCell | nn.GRUCell, block: int) -> Any:
    for parameter in cell.parameters():
        nn.init.zeros_(parameter)
    cell.bias_ih.data[block] = 100.0
    return cell


class FloatSubclass(float):
    """A number that is not quite a float."""


REFUSED: dict[str, tuple[dict[str, Any], list[str]]] = {
    "input_size zero": ({"input_size": 0}, ["input_size", "greater than zero", "got 0"]),
    "input_size negative": ({"input_size": -1}, ["input_size", "greater than zero", "got -1"]),
    "input_size False": ({"input_size": False}, ["input_size", "got False"]),
    "input_size float": ({"input_size": 10.0}, ["input_size", "int", "10.0 of type float"]),
    "input_size NumPy": ({"input_size": np.int64(3)}, ["input_size", "int", "of type int64"]),
    "input_size None": ({"input_size": None}, ["input_size", "int", "None of type NoneType"]),
    "hidden_size zero": ({"hidden_size": 0}, ["hidden_size", "greater than zero", "got 0"]),
    "hidden_size float": ({"hidden_size": 2.0}, ["hidden_size", "int", "2.0 of type float"]),
    "hidden_size True": (  # 3 * True is an int, so a GRU takes it
        {"mode": "RNN_TANH", "hidden_size": True},
        ["hidden_size", "int", "True of type bool"],
    ),
    "hidden_size True, ReLU": (
        {"mode": "RNN_RELU", "hidden_size": True},
        ["hidden_size", "int", "True of type bool"],
    ),
    "hidden_size False": ({"hidden_size": False}, ["hidden_size", "got False"]),
    "hidden_size text": ({"hidden_size": "20"}, ["hidden_size", "int", "'20' of type str"]),
    "num_layers zero": ({"num_layers": 0}, ["num_layers", "greater than zero", "got 0"]),
    "num_layers False": ({"num_layers": False}, ["num_layers", "greater than zero"]),
    "num_layers 0.0": ({"num_layers": 0.0}, ["num_layers", "greater than zero", "got 0.0"]),
    "num_layers -1.5": ({"num_layers": -1.5}, ["num_layers", "greater than zero", "got -1.5"]),
    "num_layers 1.5": ({"num_layers": 1.5}, ["num_layers", "integer", "1.5 of type float"]),
    "num_layers None": ({"num_layers": None}, ["num_layers", "integer", "None"]),
    "num_layers text": ({"num_layers": "2"}, ["num_layers", "integer", "'2' of type str"]),
    "num_layers array": ({"num_layers": np.array([2])}, ["num_layers", "integer", "array"]),
    "bias 1": ({"bias": 1}, ["bias", "bool", "1 of type int"]),
    "bias None": ({"bias": None}, ["bias", "bool", "None"]),
    "batch_first 1": ({"batch_first": 1}, ["batch_first", "bool", "1 of type int"]),
    "dropout 1.5": ({"dropout": 1.5}, ["dropout", "[0, 1]", "got 1.5"]),
    "dropout negative": ({"dropout": -0.1}, ["dropout", "[0, 1]", "got -0.1"]),
    "dropout NaN": ({"dropout": math.nan}, ["dropout", "[0, 1]", "got nan"]),
    "dropout True": ({"dropout": True}, ["dropout", "[0, 1]", "got True"]),
    "dropout number in text": ({"dropout": "0.5"}, ["dropout", "[0, 1]", "got '0.5'"]),
    "dropout text": ({"dropout": "a"}, ["dropout", "[0, 1]", "got 'a'"]),
    "dropout bytes": ({"dropout": b"0.5"}, ["dropout", "[0, 1]", "got b'0.5'"]),
    "dropout None": ({"dropout": None}, ["dropout", "[0, 1]", "got None"]),
    "dropout complex": ({"dropout": 0.5j}, ["dropout", "[0, 1]", "got 0.5j"]),
    "dropout list": ({"dropout": [0.5]}, ["dropout", "[0, 1]", "got [0.5]"]),
    "dropout tensor": ({"dropout": torch.tensor(0.5)}, ["dropout", "[0, 1]", "got tensor"]),
    "dropout array": ({"dropout": np.ones(2)}, ["dropout", "[0, 1]", "got array"]),
    "dropout huge": ({"dropout": 10**400}, ["dropout", "[0, 1]", "got 1000"]),
    "proj_size negative": ({"mode": "LSTM", "proj_size": -1}, ["proj_size", "zero", "got -1"]),
    "proj_size text": ({"mode": "LSTM", "proj_size": "7"}, ["proj_size", "integer", "'7'"]),
    "proj_size float": ({"mode": "LSTM", "proj_size": 2.5}, ["proj_size", "integer", "2.5"]),
    "proj_size True": ({"mode": "LSTM", "proj_size": True}, ["proj_size", "int", "True"]),
    "proj_size too large": (
        {"mode": "LSTM", "proj_size": 20},
        ["proj_size", "smaller than hidden_size", "proj_size=20", "hidden_size=20"],
    ),
    "num_layers tensor": ({"num_layers": torch.tensor(0)}, ["num_layers", "zero", "got 0"]),
    "num_layers meta": (
        {"num_layers": torch.tensor(2, device="meta")}, ["num_layers", "integer", "got tensor"]
    ),
    "proj_size tensor": (
        {"mode": "LSTM", "proj_size": torch.tensor(-1)}, ["proj_size", "zero", "got -1"]
    ),
    "bidirectional array": ({"bidirectional": np.ones(2)}, ["bidirectional", "bool", "array"]),
    "bidirectional tensor": ({"bidirectional": torch.ones(2)}, ["bidirectional", "bool", "tensor"]),
    "dropout meta": ({"dropout": torch.tensor(0.5, device="meta")}, ["dropout", "[0, 1]", "meta"]),
    "mode list": ({"mode": ["LSTM"]}, ["mode", "str", "['LSTM'] of type list"]),
    "mode None": ({"mode": None}, ["mode", "str", "None of type NoneType"]),
    "mode": ({"mode": "FOO"}, ["mode", "'RNN_TANH', 'RNN_RELU', 'LSTM', 'GRU'", "got 'FOO'"]),
}  # fmt: skip # a table
"""Constructor calls that PyTorch refuses, and what our message says."""


def exception_of(call: Callable[[], object]) -> Exception:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of dropout in a single layer
        with pytest.raises(Exception) as caught:  # noqa: PT011 # which one is the question
            call()
    return caught.value


@pytest.mark.parametrize("case", REFUSED)
def test_what_torch_refuses_is_refused(case: str) -> None:
    keywords, words = REFUSED[case]
    arguments: dict[str, Any] = {"mode": "GRU", "input_size": 10, "hidden_size": 20} | keywords
    theirs = exception_of(lambda: nn.RNNBase(**arguments))
    ours = exception_of(lambda: shapes.check_arguments(**arguments))
    assert type(ours) is type(theirs), theirs
    assert str(ours).startswith(words[0])
    for word in words:
        assert word in str(ours)
    if not keywords.keys() & {"batch_first", "dropout"}:
        for function in (shapes.parameter_shapes, shapes.parameter_count):
            passed_on = exception_of(partial(function, **arguments))
            assert (type(passed_on), str(passed_on)) == (type(theirs), str(ours))


@pytest.mark.parametrize("mode", ["RNN_TANH", "RNN_RELU", "GRU"])
@pytest.mark.parametrize("proj_size", [1, 7])
def test_projection_is_for_lstm(mode: str, proj_size: int) -> None:
    words = f"proj_size argument is only supported for LSTM, got proj_size={proj_size}"
    with pytest.raises(ValueError, match=f"^{words} with mode '{mode}'$"):
        shapes.check_arguments(mode, 10, 20, proj_size=proj_size)


def test_gate_size_of_no_mode() -> None:
    with pytest.raises(ValueError, match=r"mode should be one of .*, got 'RNN'"):
        shapes.gate_size("RNN", 20)


@pytest.mark.parametrize(
    "keywords",
    [
        {"num_layers": True},
        {"num_layers": np.int64(2)},
        {"bidirectional": 1},
        {"bidirectional": None},
        {"input_size": True},
        {"hidden_size": True},
        {"proj_size": False},
        {"num_layers": 2, "dropout": 1},
        {"num_layers": 2, "dropout": np.float32(0.5)},
        {"num_layers": 2, "dropout": FloatSubclass(0.5)},
    ],
    ids=repr,
)
def test_what_torch_accepts_is_accepted(keywords: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"mode": "LSTM", "input_size": 10, "hidden_size": 20} | keywords
    module = nn.RNNBase(**arguments)
    shapes.check_arguments(**arguments)
    arguments.pop("dropout", None)
    expected = {name: tuple(p.shape) for name, p in module.named_parameters()}
    assert shapes.parameter_shapes(**arguments) == expected


@pytest.mark.parametrize("layer", [0, 1, 10, 101])
@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("kind", ["weight_ih", "bias_hh", "weight_hr", "kernel", "a_l3", "_l0"])
def test_a_name_is_parsed_into_its_place(kind: str, layer: int, direction: int) -> None:
    name = shapes.parameter_name(kind, layer, direction)
    assert shapes.parse_parameter_name(name) == (kind, layer, direction)


@pytest.mark.parametrize(
    "name", ["weight_hh", "weight_hh_l", "_l0", "weight_hh_l00", "weight_hh_l-1", "weight_hh_l٣",
             "weight_hh_l0_revers", "weight_hh_l0_reverse_", "weight_hh_l0\n", ""]
)  # fmt: skip # a table
def test_a_name_without_a_place_is_refused(name: str) -> None:
    message = f"^name should end in a place such as _l0 or _l0_reverse, got {re.escape(repr(name))}"
    with pytest.raises(ValueError, match=message):
        shapes.parse_parameter_name(name)


def test_the_shapes_of_one_bidirectional_lstm_of_two_layers() -> None:
    assert shapes.input_shape(5, 3, 10) == (5, 3, 10)
    assert shapes.input_shape(5, 3, 10, batch_first=True) == (3, 5, 10)
    assert shapes.input_shape(5, None, 10) == (5, 10)
    assert shapes.output_shape(5, 3, 20, bidirectional=True, proj_size=7) == (5, 3, 14)
    assert shapes.output_shape(5, 3, 20, bidirectional=True, batch_first=True) == (3, 5, 40)
    assert shapes.hidden_state_shape(3, 20, 2, True, 7) == (4, 3, 7)
    assert shapes.cell_state_shape(3, 20, 2, True) == (4, 3, 20)
    assert shapes.cell_state_shape(None, 20, 2, True) == (4, 20)


def test_what_is_not_said_is_as_in_torch() -> None:
    """One layer, one direction, no projection, time first."""
    assert shapes.real_hidden_size(20) == 20
    assert shapes.layer_input_size(1, 10, 20) == 20
    assert shapes.parameter_name("weight_hh", 0) == "weight_hh_l0"
    assert shapes.output_shape(5, 3, 20) == (5, 3, 20)
    assert shapes.hidden_state_shape(3, 20) == shapes.cell_state_shape(3, 20) == (1, 3, 20)


def test_a_projection_to_one_feature() -> None:
    expected = nn.LSTM(10, 20, 2, bidirectional=True, proj_size=1, device="meta").named_parameters()
    assert shapes.parameter_shapes("LSTM", 10, 20, 2, bidirectional=True, proj_size=1) == {
        name: tuple(parameter.shape) for name, parameter in expected
    }

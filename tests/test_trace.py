import json
import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from torch import nn

import unrolled
from tests.comparisons import TRACED, Configuration, record_differences, trace_differences
from tests.strategies import FEWER, configurations
from tests.test_modules import REFUSED_BY_MODULES
from tests.test_shapes import exception_of
from unrolled._trace import Record, Trace

N, L, H_in, H_out = 3, 5, 10, 20


def example(kind: str = "RNN", **keywords: Any) -> tuple[Any, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    rnn = getattr(nn, kind)(H_in, H_out, **keywords)
    states = rnn.num_layers * (2 if rnn.bidirectional else 1)
    return rnn, torch.randn(L, N, H_in), torch.randn(states, N, H_out)


def names(records: Trace) -> list[str]:
    return [record.name for record in records]


@pytest.mark.no_cover
def test_every_value_is_what_its_expression_says() -> None:
    assert list(trace_differences(unrolled)) == []


@pytest.mark.no_cover
@FEWER
@given(configurations())
def test_every_value_is_what_its_expression_says_everywhere(configuration: Configuration) -> None:
    # The share of what drops out is checked above, where there are elements enough for a share.
    configuration = replace(configuration, dtype=torch.float64, scale=1.0, dropout=0.0)
    if configuration.layout == "batched" and not configuration.lengths:
        configuration = replace(configuration, lengths=(5,))
    assert record_differences(unrolled, configuration) == []


def test_records_of_the_worked_example() -> None:
    rnn, x, h_0 = example()
    records = unrolled.trace(rnn, x, h_0)
    steps = [
        f"{name}_l0[{t}]" for t in range(L) for name in ("h_product", "h_projected", "sum", "h")
    ]
    operands = ["input", "hx", "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert names(records) == [
        *operands,
        *("x_product_l0", "x_projected_l0"),
        *steps,
        *("output", "h_n"),
    ]
    assert len(records) == len(records.records) == 6 + 2 + 4 * L + 2
    assert records["x_product_l0"] == Record(
        "product",
        "x_product_l0",
        x @ rnn.weight_ih_l0.detach().T,
        "input @ weight_ih_l0.T",
        0,
        0,
        None,
        (("input", (L, N, H_in)), ("weight_ih_l0", (H_out, H_in))),
    )
    step = records["h_product_l0[3]"]
    assert (step.operation, step.layer, step.direction, step.step) == ("product", 0, 0, 3)
    assert step.expression == "h_l0[2] @ weight_hh_l0.T"
    assert step.operands == (("h_l0[2]", (N, H_out)), ("weight_hh_l0", (H_out, H_out)))
    assert records["sum_l0[0]"].operands == (
        ("h_projected_l0[0]", (N, H_out)),
        ("x_projected_l0[0]", (N, H_out)),
    )
    assert records["h_l0[4]"].shape == (N, H_out)
    assert records["h_n"].expression == "h_l0[4]"
    assert not any(record.value.requires_grad for record in records)


def test_records_without_biases_and_in_two_directions() -> None:
    rnn, x, _ = example(bias=False, bidirectional=True, nonlinearity="relu")
    records = unrolled.trace(rnn, x)
    reverse = [
        f"{name}_l0_reverse[{t}]" for t in range(L)[::-1] for name in ("h_projected", "sum", "h")
    ]
    start = names(records).index("x_projected_l0_reverse")
    assert names(records)[start + 1 :] == [*reverse, "output", "h_n"]
    assert records["h_projected_l0_reverse[4]"].expression == "hx[1] @ weight_hh_l0_reverse.T"
    assert records["h_projected_l0_reverse[3]"].expression == (
        "h_l0_reverse[4] @ weight_hh_l0_reverse.T"
    )
    assert records["h_l0[0]"].expression == "relu(sum_l0[0])"
    assert records["output"].expression == "h_l0 beside h_l0_reverse, all steps"
    assert records["h_n"].expression == "h_l0[4], h_l0_reverse[0]"


def test_names_are_unique_in_deep_networks() -> None:
    for configuration in TRACED:
        leaves, states = configuration.leaves()
        hx = configuration.hx(states)
        records = unrolled.trace(configuration.theirs(), configuration.input(leaves), hx)
        assert len(set(names(records))) == len(records)
        known: set[str] = set()
        for record in records:  # what enters was there before, if it is no slice of something
            for operand, _ in record.operands:
                base = operand.partition("[")[0].partition(".")[0].lstrip("(")
                assert any(name.startswith(base) for name in known), operand
            known.add(record.name)


GRU_STEP = [
    ("product", "h_product_l0[2]", "h_l0[1] @ weight_hh_l0.T"),
    ("sum", "h_projected_l0[2]", "h_product_l0[2] + bias_hh_l0"),
    ("sum", "rz_l0[2]", "h_projected_l0[2][:, :40] + x_projected_l0[2][:, :40]"),
    ("activation", "r_l0[2]", "sigmoid(rz_l0[2][:, 0:20])"),
    ("activation", "z_l0[2]", "sigmoid(rz_l0[2][:, 20:40])"),
    ("elementwise product", "r_times_h_l0[2]", "r_l0[2] * h_projected_l0[2][:, 40:]"),
    ("sum", "sum_l0[2]", "x_projected_l0[2][:, 40:] + r_times_h_l0[2]"),
    ("activation", "n_l0[2]", "tanh(sum_l0[2])"),
    ("difference", "h_minus_n_l0[2]", "h_l0[1] - n_l0[2]"),
    ("elementwise product", "kept_l0[2]", "h_minus_n_l0[2] * z_l0[2]"),
    ("sum", "h_l0[2]", "kept_l0[2] + n_l0[2]"),
]
LSTM_STEP = [
    ("product", "h_product_l0[2]", "h_l0[1] @ weight_hh_l0.T"),
    ("sum", "h_projected_l0[2]", "h_product_l0[2] + bias_hh_l0"),
    ("sum", "gates_l0[2]", "h_projected_l0[2] + x_projected_l0[2]"),
    ("activation", "i_l0[2]", "sigmoid(gates_l0[2][:, 0:20])"),
    ("activation", "f_l0[2]", "sigmoid(gates_l0[2][:, 20:40])"),
    ("activation", "g_l0[2]", "tanh(gates_l0[2][:, 40:60])"),
    ("activation", "o_l0[2]", "sigmoid(gates_l0[2][:, 60:80])"),
    ("elementwise product", "f_times_c_l0[2]", "f_l0[2] * c_l0[1]"),
    ("elementwise product", "i_times_g_l0[2]", "i_l0[2] * g_l0[2]"),
    ("sum", "c_l0[2]", "f_times_c_l0[2] + i_times_g_l0[2]"),
    ("activation", "tanh_c_l0[2]", "tanh(c_l0[2])"),
    ("elementwise product", "h_l0[2]", "o_l0[2] * tanh_c_l0[2]"),
]
PROJECTED_STEP = [
    *LSTM_STEP[:-1],
    ("elementwise product", "h_full_l0[2]", "o_l0[2] * tanh_c_l0[2]"),
    ("product", "h_l0[2]", "h_full_l0[2] @ weight_hr_l0.T"),
]


@pytest.mark.parametrize(
    ("kind", "keywords", "expected"),
    [
        ("GRU", {}, GRU_STEP),
        ("LSTM", {}, LSTM_STEP),
        ("LSTM", {"proj_size": 7}, PROJECTED_STEP),
    ],
)
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_records_of_one_step(
    kind: str, keywords: dict[str, Any], expected: list[tuple[str, str, str]]
) -> None:
    module, x, _ = example(kind, **keywords)
    records = unrolled.trace(module, x)
    step = [record for record in records if record.step == 2]
    assert [(r.operation, r.name, r.expression) for r in step] == expected
    assert {(r.layer, r.direction) for r in step} == {(0, 0)}
    H = keywords.get("proj_size", H_out)
    assert records["h_l0[2]"].shape == (N, H)
    if kind == "LSTM":
        assert names(records)[1:3] == ["hx[0]", "hx[1]"]
        assert records["hx[0]"].expression == "zeros, as (D * num_layers, N, H_out)"
        assert records["hx[1]"].expression == "zeros, as (D * num_layers, N, hidden_size)"
        assert records["c_n"].expression == "c_l0[4]"
        assert names(records)[-3:] == ["output", "h_n", "c_n"]


def test_lstm_through_onednn_says_how_far_it_is() -> None:
    lstm, x, _ = example("LSTM")
    records = unrolled.trace(lstm, x)
    assert 0 < records.difference <= 1e-6
    assert str(records).endswith(
        f"output, h_n and c_n: within {records.difference:.1e} what the module returns"
    )
    in_float64 = unrolled.trace(lstm.double(), x.double())
    assert in_float64.difference == 0
    assert str(in_float64).endswith("output, h_n and c_n: bit for bit what the module returns")


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_own_step_is_refused(kind: str) -> None:
    step = getattr(unrolled, f"{kind.lower()}_step")
    module = getattr(unrolled, kind)(H_in, H_out, step=step)
    with pytest.raises(TypeError, match="step of its own"):
        unrolled.trace(module, torch.zeros(L, N, H_in))


@pytest.mark.parametrize("training", [True, False])
def test_module_is_left_as_it_was(training: bool) -> None:
    rnn, x, h_0 = example(num_layers=3, dropout=0.5)
    rnn.train(training)
    before = {name: p.clone() for name, p in rnn.named_parameters()}
    torch.manual_seed(1)
    rnn(x, h_0)
    after_one_forward = torch.get_rng_state()
    torch.manual_seed(1)
    records = unrolled.trace(rnn, x, h_0)
    assert torch.equal(torch.get_rng_state(), after_one_forward)
    assert records.difference == 0
    assert rnn.training is training
    assert all(parameter.grad is None for parameter in rnn.parameters())
    for name, parameter in rnn.named_parameters():
        assert torch.equal(parameter, before[name])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_our_module_gives_the_same_records(kind: str) -> None:
    rnn, x, h_0 = example(kind, num_layers=2, bidirectional=True)
    ours = getattr(unrolled, kind)(H_in, H_out, 2, bidirectional=True)
    ours.load_state_dict(rnn.state_dict())
    hx = (h_0, h_0 / 2) if kind == "LSTM" else h_0
    theirs = unrolled.trace(rnn, x, hx)
    for a, b in zip(unrolled.trace(ours, x, hx), theirs, strict=True):
        assert a == b
        assert torch.equal(a.value, b.value)


def test_tied_and_parametrised_weights() -> None:
    rnn, x, h_0 = example(num_layers=2)
    rnn.weight_hh_l1 = rnn.weight_hh_l0
    nn.utils.parametrizations.weight_norm(rnn, "weight_ih_l1")
    ours = unrolled.RNN(H_in, H_out, 2)
    ours.load_state_dict(example(num_layers=2)[0].state_dict())
    ours.weight_hh_l1 = ours.weight_hh_l0
    for module in (rnn, ours):
        records = unrolled.trace(module, x, h_0)
        assert records.difference == 0
        assert torch.equal(records["weight_hh_l1"].value, records["weight_hh_l0"].value)
        assert records["h_product_l0[1]"].expression == "h_l0[0] @ weight_hh_l0.T"
        assert records["h_product_l1[1]"].expression == "h_l1[0] @ weight_hh_l1.T"


def test_subclass_of_torch_rnn_that_computes_something_else() -> None:
    class Doubled(nn.RNN):
        def forward(self, input: Any, hx: Any = None) -> Any:
            output, h_n = super().forward(input, hx)
            return 2 * output, h_n

    torch.manual_seed(0)
    doubled = Doubled(H_in, H_out)
    x = torch.randn(L, N, H_in)
    records = unrolled.trace(doubled, x)
    assert records.difference == records["output"].value.abs().max()
    table = str(records)
    assert table.endswith(
        f"output and h_n: within {records.difference:.1e} what the module returns"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_nan_and_infinity_are_what_the_module_returns_too(value: float) -> None:
    rnn, x, h_0 = example(nonlinearity="relu")
    x[0, 0, 0] = value
    assert unrolled.trace(rnn, x, h_0).difference == 0


def test_no_sequences() -> None:
    rnn, x, h_0 = example()
    records = unrolled.trace(rnn, x[:, :0], h_0[:, :0])
    assert records.difference == 0
    assert records["h_l0[4]"].shape == (0, H_out)


def test_under_autocast() -> None:
    rnn, x, h_0 = example(num_layers=2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        records = unrolled.trace(rnn, x, h_0)
    assert records.difference == 0
    assert records["h_l1[4]"].value.dtype == torch.bfloat16


TABLE = """\
RNN(2, 3, batch_first=True)
step  name               shape      computed as
operands
   -  input              (4, 5, 2)  given, as (N, L, H_in)
   -  hx                 (1, 4, 3)  given, as (D * num_layers, N, H_out)
   -  weight_ih_l0       (3, 2)     parameter
   -  weight_hh_l0       (3, 3)     parameter
   -  bias_ih_l0         (3,)       parameter
   -  bias_hh_l0         (3,)       parameter
layer 0, forward
   -  x_product_l0       (5, 4, 3)  input.transpose(0, 1) @ weight_ih_l0.T
   -  x_projected_l0     (5, 4, 3)  x_product_l0 + bias_ih_l0
   0  h_product_l0[0]    (4, 3)     hx[0] @ weight_hh_l0.T
   0  h_projected_l0[0]  (4, 3)     h_product_l0[0] + bias_hh_l0
   0  sum_l0[0]          (4, 3)     h_projected_l0[0] + x_projected_l0[0]
   0  h_l0[0]            (4, 3)     tanh(sum_l0[0])
 ...  (12 more)
   4  h_product_l0[4]    (4, 3)     h_l0[3] @ weight_hh_l0.T
   4  h_projected_l0[4]  (4, 3)     h_product_l0[4] + bias_hh_l0
   4  sum_l0[4]          (4, 3)     h_projected_l0[4] + x_projected_l0[4]
   4  h_l0[4]            (4, 3)     tanh(sum_l0[4])
results
   -  output             (4, 5, 3)  h_l0, all steps
   -  h_n                (1, 4, 3)  h_l0[4]
output and h_n: bit for bit what the module returns"""


def test_table() -> None:
    records = unrolled.trace(
        nn.RNN(2, 3, batch_first=True), torch.zeros(4, 5, 2), torch.zeros(1, 4, 3)
    )
    assert str(records) == records.table() == TABLE
    whole = records.table(every_step=True)
    assert "more)" not in whole
    for record in records:
        assert f"  {record.name}  " in whole
    assert repr(records) == "<Trace of RNN(2, 3, batch_first=True): 30 records>"


def test_table_of_layers_with_dropout() -> None:
    rnn, x, _ = example(num_layers=2, dropout=0.5, bidirectional=True)
    lines = str(unrolled.trace(rnn, x)).splitlines()
    headings = [line for line in lines if line.startswith("layer")]
    assert headings == [
        *("layer 0, forward", "layer 0, reverse", "layer 0"),
        *("layer 1, forward", "layer 1, reverse"),
    ]
    assert sum("(12 more)" in line for line in lines) == 4
    assert any("dropout(output_l0, 0.5)" in line for line in lines)


def test_table_of_one_time_step_skips_nothing() -> None:
    rnn, x, _ = example()
    assert "more)" not in str(unrolled.trace(rnn, x[:1]))


@pytest.mark.no_cover
@pytest.mark.parametrize("configuration", TRACED, ids=lambda c: c.layout)
def test_json_holds_the_records(configuration: Configuration) -> None:
    leaves, states = configuration.leaves()
    module = configuration.theirs()
    records = unrolled.trace(module, configuration.input(leaves), configuration.hx(states))
    exported = json.loads(records.to_json())
    assert exported["module"] == repr(module)
    assert exported["difference"] == 0
    for entry, record in zip(exported["records"], records, strict=True):
        assert torch.equal(torch.tensor(entry["value"], dtype=torch.float64), record.value)
        assert tuple(entry["shape"]) == record.shape
        assert entry["direction"] == (
            None if record.direction is None else ("forward", "reverse")[record.direction]
        )
        operands = tuple((one["name"], tuple(one["shape"])) for one in entry["operands"])
        assert operands == record.operands
        for attribute in ("operation", "name", "expression", "layer", "step"):
            assert entry[attribute] == getattr(record, attribute)


def test_json_without_values() -> None:
    rnn, x, _ = example()
    records = unrolled.trace(rnn, x)
    assert "value" not in json.loads(records.to_json(values=False))["records"][0]
    assert "\n  " in records.to_json(values=False, indent=2)


def test_unknown_name() -> None:
    rnn, x, _ = example()
    with pytest.raises(KeyError, match=r"name should be one of input, hx, .*, got 'h_l0\[5\]'"):
        unrolled.trace(rnn, x)["h_l0[5]"]


@pytest.mark.parametrize("module", [nn.LSTMCell(H_in, H_out), nn.RNNCell(H_in, H_out), len])
def test_what_is_no_rnn(module: Any) -> None:
    with pytest.raises(
        TypeError, match=r"module should be an RNN, GRU or LSTM .*, got (torch|builtin)"
    ):
        unrolled.trace(module, torch.zeros(L, N, H_in))


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("kind", "case"),
    [
        (kind, case)
        for kind, cases in REFUSED_BY_MODULES.items()
        for case in cases
        if case != "nothing"
    ],
)
def test_bad_input_is_refused_as_by_the_module(kind: str, case: str) -> None:
    arguments, words = REFUSED_BY_MODULES[kind][case]
    module, _, _ = example(kind)
    before = torch.get_rng_state()
    expected = exception_of(lambda: module(*arguments))
    actual = exception_of(lambda: unrolled.trace(module, *arguments))
    assert type(actual) is type(expected)
    for word in words:
        assert word in str(actual)
    assert torch.equal(torch.get_rng_state(), before)


def test_states_of_an_lstm_may_be_a_list() -> None:
    """As for PyTorch."""
    lstm, x, h_0 = example("LSTM", dtype=torch.float64)
    x, states = x.double(), [h_0.double(), h_0.double() / 2]
    records = unrolled.trace(lstm, x, states)
    assert records.difference == 0
    assert torch.equal(records["hx[1]"].value, states[1])
    assert torch.equal(records["output"].value, lstm(x, states)[0])


def test_a_whole_model_says_what_to_trace() -> None:
    model = nn.Sequential(nn.Embedding(7, H_in), nn.ModuleDict({"a": nn.GRU(H_in, H_out)}))
    message = (
        r"module should be an RNN, GRU or LSTM of unrolled or torch.nn, got .*\.Sequential, "
        r"with '1.a' in it: trace module.get_submodule\('1.a'\)$"
    )
    with pytest.raises(TypeError, match=message):
        unrolled.trace(model, torch.zeros(L, N, H_in))  # type: ignore[arg-type] # the mistake
    unrolled.trace(model.get_submodule("1.a"), torch.zeros(L, N, H_in))  # type: ignore[arg-type] # a GRU


def test_weights_that_are_drawn_leave_the_generator_as_one_run_does() -> None:
    """PyTorch asks for such a weight more than once in a run: what is recorded is another draw."""

    class Dropped(nn.Module):
        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            return nn.functional.dropout(weight, 0.5)

    rnn, x, h_0 = example(num_layers=2, dropout=0.5)
    nn.utils.parametrize.register_parametrization(rnn, "weight_hh_l0", Dropped())
    torch.manual_seed(1)
    expected = rnn(x, h_0)[0]
    after = torch.get_rng_state()
    torch.manual_seed(1)
    records = unrolled.trace(rnn, x, h_0)
    assert torch.equal(torch.get_rng_state(), after)
    assert records.difference == (records["output"].value - expected).abs().max()
    assert records.difference > 0.1


def test_a_weight_that_is_not_there_yet() -> None:
    rnn, x, _ = example()
    del rnn._parameters["weight_hh_l0"]
    message = "module should have weight_hh_l0, got NoneType: if it is computed when the module"
    with pytest.raises(AttributeError, match=message):
        unrolled.trace(rnn, x)


def test_what_has_no_numbers() -> None:
    rnn, x, h_0 = example()
    for change, name in (({"input": x.to("meta")}, "input"), ({"hx": h_0.to("meta")}, "hx")):
        arguments: dict[str, Any] = {"module": rnn, "input": x, "hx": h_0} | change
        with pytest.raises(RuntimeError, match=f"{name} should be on the device of .*, got meta"):
            unrolled.trace(**arguments)
    with pytest.raises(RuntimeError, match="weight_ih_l0 should have numbers, got one on the meta"):
        unrolled.trace(nn.RNN(H_in, H_out, device="meta"), x)

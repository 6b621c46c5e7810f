"""The reader of ONNX models, against ONNX Runtime.

A default run draws 280 graphs: 75 stacks, which have to be accepted and to give the numbers of
ONNX Runtime; 2 of each of the 65 alterations, which have to be refused for the right reason; and
75 in which what lies between two operators is shuffled, of which exactly those are accepted that
pass on what PyTorch passes on. HYPOTHESIS_PROFILE=nightly draws two hundred times as many, and
fresh ones.
"""

import os
import re
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from tests.onnx_models import (
    EDITS,
    KINDS,
    Draft,
    Stack,
    altered,
    attribute,
    floats,
    insert,
    module_of,
    put,
    stack,
    store,
    word,
)
from unrolled.porting import from_layout, to_layout
from unrolled.porting.__main__ import main
from unrolled.porting._onnx_graph import Atom, Moved, Source, _reshape, _UnclearError
from unrolled.porting.onnx_file import FromOnnx, onnx_bytes, read_onnx

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
SEED = int.from_bytes(os.urandom(4), "big") if NIGHTLY else 0
TIMES = 200 if NIGHTLY else 1
STACKS, EACH, SHUFFLED = 75 * TIMES, 2 * TIMES, 75 * TIMES
CHUNKS = 25  # tests for each of the first and the last
TOLERANCE = 2e-6

Array = NDArray[Any]


def test_this_file_draws_what_it_says() -> None:
    stacks, each, moved = (n // TIMES for n in (STACKS, EACH, SHUFFLED))
    total = stacks + each * len(EDITS) + moved
    said = " ".join((__doc__ or "").split())
    assert (
        f"A default run draws {total:,} graphs: {stacks} stacks, which have to be accepted and to "
        f"give the numbers of ONNX Runtime; {each} of each of the {len(EDITS)} alterations, "
    ) in said
    assert f"{moved} in which what lies between" in said


def run(model: Any, feed: dict[str, Array]) -> list[Array]:
    """Run a model in ONNX Runtime."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {i.name: feed[i.name] for i in session.get_inputs()}))


def ported(data: bytes, folder: Path | None = None) -> tuple[FromOnnx, Any]:
    """Read a model, and load its weights into a module of PyTorch."""
    found = read_onnx(data, folder)
    state = from_layout("onnx", found.kind, found.layers, **found.settings)
    module = getattr(nn, found.kind)(
        state["weight_ih_l0"].shape[1],
        state["weight_hh_l0"].shape[1],
        len(found.layers),
        bias="bias_ih_l0" in state,
        bidirectional="weight_ih_l0_reverse" in state,
        **({"nonlinearity": found.nonlinearity} if found.kind == "RNN" else {}),
    )
    module.load_state_dict({name: torch.from_numpy(array) for name, array in state.items()})
    return found, module


def difference(drawn: Stack, module: Any) -> float:
    """Compare the output of the last operator and the final states of all."""
    x, y, *finals = run(drawn.model, drawn.feed)
    output, *last = drawn.expected(module, x)
    n = module.num_layers
    theirs = [y.transpose(0, 2, 1, 3).reshape(output.shape)]
    theirs += [np.concatenate(finals[n * i : n * i + n]) for i in range(len(last))]
    return max(float(np.abs(a - b).max()) for a, b in zip(theirs, [output, *last], strict=True))


def refusal(data: bytes, folder: Path | None = None) -> str:
    """Give the one line in which a model is refused."""
    with pytest.raises((ValueError, RuntimeError, TypeError)) as caught:
        ported(data, folder)
    said = str(caught.value)
    assert len(said.splitlines()) == 1
    return said


@pytest.mark.no_cover
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_stack_is_accepted_and_equal(chunk: int) -> None:
    for i in range(chunk, STACKS, CHUNKS):
        drawn = stack(np.random.default_rng([SEED, i]))
        found, module = ported(drawn.model.SerializeToString())
        assert (found.kind, found.batch_first) == (drawn.kind, drawn.batch_first), drawn.said
        for name, parameter in drawn.module.state_dict().items():
            assert torch.equal(module.state_dict()[name], parameter), (i, name, drawn.said)
        assert difference(drawn, module) < TOLERANCE, (SEED, i, drawn.said)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", EDITS)
def test_what_is_no_stack_is_refused_for_that_reason(name: str) -> None:
    for i in range(EACH):
        drawn = altered(np.random.default_rng([SEED, 1, i]), name)
        said = refusal(drawn.model.SerializeToString())
        assert word(name).search(said), (SEED, i, drawn.said, said)


# What lies between two operators, shuffled.


def shuffled(rng: np.random.Generator) -> tuple[Stack, bool]:
    """Draw two layers of small, often equal sizes, and say whether they are a stack.

    What goes from one to the other is transposed and reshaped at random, and each starts from rows
    of one state that are drawn.
    """
    kind, D = str(rng.choice(KINDS)), int(rng.integers(1, 3))
    L, N, H = (int(n) for n in rng.choice([1, 2, 2, 3], 3))
    module = module_of(rng, kind, 2, H, 2, D, bias=True)
    draft = Draft(rng, int(rng.choice([13, 17, 22])), 8)
    static = bool(rng.integers(4))
    x = draft.input(floats(rng, L, N, 2), [L, N, 2] if static else ["time", "batch", 2])
    draft.outputs.append(draft.op("Identity", x))
    h_0 = floats(rng, 2 * D, N, H)
    states = {s: draft.input(h_0, [2 * D, N if static else "batch", H], f"{s}_0")
              for s in ("h", "c")[: 1 + (kind == "LSTM")]}  # fmt: skip # as wide as the page
    right = True
    last = []
    for k, [arrays] in enumerate(to_layout("onnx", kind, module.state_dict())):
        initial = []
        for name in states.values():
            start = D * k if rng.integers(6) else int(rng.integers(D + 1))
            right &= start == D * k
            initial.append(draft.slice(name, start, start + D))
        more: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
        if kind == "RNN":
            more = {"activations": [module.nonlinearity.capitalize()] * D}
        weights = [draft.constant(arrays[name]) for name in "WRB"]
        way = "bidirectional" if D == 2 else "forward"
        more |= {"outputs": 2 + (kind == "LSTM"), "hidden_size": H, "direction": way}
        y, *finals = draft.op(kind, x, *weights, "", *initial, **more)
        last.append(finals)
        if k == 0:
            numbers = np.arange(L * D * N * H).reshape(L, D, N, H)
            x, moved = shuffle(draft, y, numbers, (L, N, D * H))
            right &= np.array_equal(moved, numbers.transpose(0, 2, 1, 3).reshape(L, N, D * H))
    draft.outputs += [y, *(name for names in zip(*last, strict=True) for name in names)]
    said = f"{kind}, {D} directions, L {L}, N {N}, H {H}, static {static}"
    return Stack(module, draft.model(), draft.feed, False, L, N, None, said), right


def shuffle(draft: Draft, name: str, numbers: Array, shape: tuple[int, ...]) -> tuple[str, Array]:
    """Move elements about, in the graph and in NumPy."""
    rng = draft.rng
    for _ in range(rng.integers(1, 5)):
        way = rng.integers(6)
        if way < 2:
            perm = [int(i) for i in rng.permutation(numbers.ndim)]
            if way and numbers.ndim == 4:
                perm = [0, 2, 1, 3]
            name, numbers = draft.op("Transpose", name, perm=perm), numbers.transpose(perm)
        elif way == 2 and 1 in numbers.shape:
            axis = numbers.shape.index(1)
            name, numbers = draft.squeeze(name, axis), numbers.squeeze(axis)
        elif way == 3 and numbers.ndim < 5:
            axis = int(rng.integers(numbers.ndim + 1))
            name, numbers = draft.unsqueeze(name, axis), np.expand_dims(numbers, axis)
        elif (
            way > 3 and numbers.ndim > 1
        ):  # two axes become one, or change places in the flat order
            axis = int(rng.integers(numbers.ndim - 1))
            target = [*numbers.shape[:axis], -1, *numbers.shape[axis + 2 :]]
            if way == 5:
                target.insert(axis, numbers.shape[axis + 1])
            name = draft.op("Reshape", name, draft.ints(*target))
            numbers = numbers.reshape(target)
    if numbers.shape != shape:
        name, numbers = draft.op("Reshape", name, draft.ints(*shape)), numbers.reshape(shape)
    return str(name), numbers


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_shuffled_graphs(chunk: int) -> None:
    for i in range(chunk, SHUFFLED, CHUNKS):
        drawn, right = shuffled(np.random.default_rng([SEED, 2, i]))
        try:
            _, module = ported(drawn.model.SerializeToString())
        except ValueError as error:
            said = str(error)
            # An axis that is cut is not followed, even where the parts come together again; and
            # sizes that are open might be others, for which the shapes would be wrong.
            assert not right or "'Reshape'" in said or "static False" in drawn.said, (i, said)
            assert re.search("X of|initial_h of|initial_c of|initial states of", said), (i, said)
            continue
        assert right, (SEED, i, drawn.said)
        assert difference(drawn, module) < TOLERANCE, (SEED, i, drawn.said)


# Exporters.


class Exported(nn.Module):
    """What people export: something before the stack, and something behind it."""

    def __init__(self, kind: str, states: bool, **options: Any) -> None:
        super().__init__()
        self.before, self.behind = (
            nn.Embedding(11, 5),
            nn.Linear(14 // (2 - options["bidirectional"]), 3),
        )
        self.rnn = module_of(
            np.random.default_rng(0), kind, 5, 7, 2, 1 + options["bidirectional"], True
        )
        self.rnn.batch_first = options["batch_first"]
        self.states = states

    def forward(self, ids: torch.Tensor, *hx: torch.Tensor) -> Any:
        states = hx if len(hx) == 2 else hx[0] if hx else None
        output, last = self.rnn(self.before(ids), states)
        return self.behind(output), last


@pytest.mark.no_cover
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_old_exporter(
    kind: str, batch_first: bool, bidirectional: bool, states: bool, tmp_path: Path
) -> None:
    for dynamic in (False, True):
        check_export(kind, batch_first, bidirectional, states, dynamic, False, tmp_path)


@pytest.mark.no_cover
@pytest.mark.parametrize(
    ("kind", "batch_first", "bidirectional", "states", "dynamic"),
    [
        ("LSTM", True, True, False, False),
        ("GRU", False, False, True, True),
        ("LSTM", True, False, True, True),
    ],
)
def test_the_new_exporter(
    kind: str, batch_first: bool, bidirectional: bool, states: bool, dynamic: bool, tmp_path: Path
) -> None:
    check_export(kind, batch_first, bidirectional, states, dynamic, True, tmp_path)


def export(module: Any, arguments: Any, file: Path, dynamo: bool, **options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # both exporters warn of their own future
        torch.onnx.export(module.eval(), arguments, file, dynamo=dynamo, verbose=False, **options)


def check_export(
    kind: str,
    batch_first: bool,
    bidirectional: bool,
    states: bool,
    dynamic: bool,
    dynamo: bool,
    tmp_path: Path,
) -> None:
    module = Exported(kind, states, batch_first=batch_first, bidirectional=bidirectional).eval()
    L, N = 3, 4  # the new exporter takes longer with every time step
    ids = torch.randint(0, 11, (N, L) if batch_first else (L, N))
    hx = (
        [torch.randn(4 if bidirectional else 2, N, 7) for _ in range(1 + (kind == "LSTM"))]
        if states
        else []
    )
    options: dict[str, Any] = {}
    if dynamic and dynamo:
        names = [torch.export.Dim(name) for name in ("time", "batch")]
        sizes = dict(enumerate(names[::-1] if batch_first else names))
        options["dynamic_shapes"] = (sizes, ({1: names[1]},) * len(hx)) if hx else (sizes, ())
    elif dynamic:
        options["dynamic_axes"] = {
            "ids": {0: "one", 1: "other"},
            **{f"h{i}": {1: "batch"} for i in range(len(hx))},
        }
        options["input_names"] = ["ids", *(f"h{i}" for i in range(len(hx)))]
    file = tmp_path / "model.onnx"
    export(module, (ids, *hx), file, dynamo, **options)
    found, again = ported(file.read_bytes(), tmp_path)
    assert found.batch_first == batch_first
    for name, parameter in module.rnn.state_dict().items():
        assert torch.equal(again.state_dict()[name], parameter)


@pytest.mark.no_cover
def test_an_rnn_that_was_taken_apart(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    export(nn.RNN(5, 7), (torch.randn(4, 3, 5),), file, dynamo=True)
    said = refusal(file.read_bytes(), tmp_path)
    assert "got []; torch.onnx.export takes an nn.RNN apart unless dynamo=False is given" in said


# One by one.


def simple(kind: str = "GRU", layers: int = 2, seed: int = 5, **fixed: Any) -> Stack:
    """Draw a stack that has not much else in its model."""
    usual = {"D": 1, "opset": 17, "ir": 8, "starts": "", "static": True, "lengths": False, "N": 8}
    return stack(np.random.default_rng(seed), layers, kind, **usual | fixed)


def accepted(drawn: Stack) -> FromOnnx:
    """Check that a model is read, and gives the numbers of ONNX Runtime."""
    found, module = ported(drawn.model.SerializeToString())
    assert difference(drawn, module) < TOLERANCE
    return found


def refused(drawn: Stack) -> str:
    return refusal(drawn.model.SerializeToString())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_and_runs(kind: str) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        layers, D, N, L = 1 + seed % 3, 1 + seed % 2, 3, 5
        module = module_of(rng, kind, 4, 7, layers, D, bias=seed < 4)
        nonlinearity = module.nonlinearity if kind == "RNN" else "tanh"
        written = to_layout("onnx", kind, module.state_dict())
        data = onnx_bytes(kind, written, nonlinearity)
        found, again = ported(data)
        assert (found.kind, found.nonlinearity, found.batch_first) == (kind, nonlinearity, False)
        for name, parameter in module.state_dict().items():
            assert torch.equal(again.state_dict()[name], parameter)
        lengths = np.array([5, 2, 4], np.int32)
        feed = {"input": floats(rng, L, N, 4), "lengths": lengths}
        feed |= {s: floats(rng, D * layers, N, 7) for s in ("h_0", "c_0")[: 1 + (kind == "LSTM")]}
        model = onnx.load_model_from_string(data)
        theirs = run(model, feed)
        ours = Stack(module, model, feed, False, L, N, lengths, "").expected(again, feed["input"])
        for one, other in zip(theirs, ours, strict=True):
            assert np.abs(one - other).max() < TOLERANCE


def test_what_stands_in_a_written_model() -> None:
    state = nn.LSTM(3, 4, 2, bidirectional=True).double().state_dict()
    layers = to_layout("onnx", "LSTM", state)
    model = onnx.load_model_from_string(onnx_bytes("LSTM", layers))
    assert (model.ir_version, model.opset_import[0].version) == (8, 14)
    shapes = {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {
        "input": ["L", "N", 3],
        "lengths": ["N"],
        "h_0": [4, "N", 4],
        "c_0": [4, "N", 4],
        "output": ["L", "N", 8],
        "h_n": [4, "N", 4],
        "c_n": [4, "N", 4],
    }
    assert {v.type.tensor_type.elem_type for v in model.graph.output} == {TensorProto.DOUBLE}
    operators = [node for node in model.graph.node if node.op_type == "LSTM"]
    assert [list(node.input) for node in operators] == [
        [x, f"W_l{k}", f"R_l{k}", f"B_l{k}", "lengths", f"h_0_l{k}", f"c_0_l{k}"]
        for k, x in enumerate(["input", "output_l0"])
    ]
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for k, [arrays] in enumerate(layers):
        for name, array in arrays.items():
            assert np.array_equal(stored[f"{name}_l{k}"], array)


@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("kind", KINDS)
def test_layout_with_the_batch_first(kind: str, upper: int) -> None:
    """ONNX Runtime has no such operators; the reference of the package onnx has."""
    rng = np.random.default_rng(0)
    L, N, I, H = 5, 3, 4, 7  # noqa: E741
    module = module_of(rng, kind, I, H, 2, 1)
    if kind == "RNN":  # the reference has no relu here
        tanh = nn.RNN(I, H, 2)
        tanh.load_state_dict(module.state_dict())
        module = tanh
    draft = Draft(rng, 22, 10)
    x = draft.input(floats(rng, N, L, I), [N, "time", I], "input")
    states = ("h_0", "c_0")[: 1 + (kind == "LSTM")]
    given = {s: floats(rng, 2, N, H) for s in states}
    for k, [arrays] in enumerate(to_layout("onnx", kind, module.state_dict())):
        layout = upper if k else 1
        names = []
        for s in states:
            state = given[s][k : k + 1]
            state = state.transpose(1, 0, 2) if layout else state
            names.append(draft.input(state, list(state.shape), f"{s}_l{k}"))
        weights = [draft.constant(arrays[name]) for name in "WRB"]
        more: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
        more |= {"outputs": 1 + len(names), "hidden_size": H, "layout": layout}
        x, *finals = draft.op(kind, x, *weights, "", *names, **more)
        draft.outputs += finals
        x = draft.squeeze(x, 2 if layout else 1)
        if not upper and not k:
            x = draft.op("Transpose", x, perm=[1, 0, 2])
    draft.outputs.append(x)
    found, again = ported(draft.model().SerializeToString())
    assert found.batch_first
    results: Any = onnx.reference.ReferenceEvaluator(draft.model()).run(None, draft.feed)
    *finals, y = results
    it = Stack(module, None, given, True, L, N, None, "")
    output, *last = it.expected(again, draft.feed["input"].swapaxes(0, 1))
    assert np.abs((y.swapaxes(0, 1) if upper else y) - output).max() < TOLERANCE
    for i, one in enumerate(finals):
        k, which = divmod(i, len(states))
        theirs = one if k and not upper else one.swapaxes(0, 1)
        assert np.abs(theirs[0] - last[which][k]).max() < TOLERANCE


def test_a_start_of_open_or_unknown_shape() -> None:
    drawn = simple("LSTM", 1, starts="apart")
    for value in drawn.model.graph.input[1:]:
        for dim in value.type.tensor_type.shape.dim:
            dim.dim_param = "any"
    accepted(drawn)
    for value in drawn.model.graph.input[1:]:
        value.type.tensor_type.ClearField("shape")
    accepted(drawn)
    drawn = simple("GRU", 2, starts="given")  # which rows of an unknown number are not known
    drawn.model.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "rows"
    assert re.search("initial_h of GRU operator 0 should be zero or an input", refused(drawn))


@pytest.mark.parametrize("right", [True, False])
def test_rows_of_rows(right: bool) -> None:
    drawn = simple("GRU", 3, starts="given")
    numbers = {n: store(drawn.model, np.array([n]), f"number{n}") for n in range(4)}
    node = drawn.operators[2]
    upper = insert(drawn.model, node, "Slice", "h_0", numbers[1], numbers[3], numbers[0])
    start, end = (1, 2) if right else (0, 1)
    row = insert(drawn.model, node, "Slice", upper, numbers[start], numbers[end], numbers[0])
    put(node, 5, row)
    if right:
        accepted(drawn)
    else:
        assert "initial_h of all layers should be the rows of one input" in refused(drawn)


def test_more_rows_than_layers() -> None:
    drawn = simple("GRU", 2, starts="given", seed=7)
    rows = drawn.model.graph.input[1].type.tensor_type.shape.dim[0]
    rows.dim_value = 3
    assert "initial_h" in refused(drawn)
    drawn = simple("GRU", 1, starts="apart")
    [node] = drawn.operators
    put(node, 5, node.input[0])
    assert re.search("initial_h of .* with 1 rows|initial states", refused(drawn))


def test_lengths_that_are_the_length_of_the_input() -> None:
    drawn = simple(seed=6)
    name = store(drawn.model, np.full(drawn.N, drawn.L, np.int32))
    for node in drawn.operators:
        put(node, 4, name)
    accepted(drawn)
    drawn = simple(static=False, seed=6)  # as many converters compute it
    for node in drawn.operators:
        shape = insert(drawn.model, node, "Shape", drawn.model.graph.output[0].name)
        numbers = [store(drawn.model, np.array([i]), f"{node.output[0]}{i}") for i in range(2)]
        L, N = (insert(drawn.model, node, "Gather", shape, number) for number in numbers)
        every = insert(drawn.model, node, ("Expand", "Tile")[node is drawn.operators[0]], L, N)
        put(node, 4, insert(drawn.model, node, "Cast", every, to=TensorProto.INT32))
    accepted(drawn)
    drawn = simple(static=False, seed=6)  # right for one length only
    name = store(drawn.model, np.full(drawn.N, drawn.L, np.int32))
    put(drawn.operators[0], 4, name)
    assert "sequence_lens of GRU operator 0 should be an input" in refused(drawn)


def test_open_sizes_are_not_taken_for_numbers_of_the_file() -> None:
    """Whatever primes stand for open sizes, a number in the file may be one of them."""
    for number in (1009, 1013, 1019, 2003, 2011, 2017):
        drawn = simple(static=False, seed=6)
        for node in drawn.operators:
            put(
                node,
                4,
                store(drawn.model, np.full(drawn.N, number, np.int32), node.output[0] + "n"),
            )
        assert "sequence_lens" in refused(drawn)


def test_one_name_for_two_sizes_does_not_make_them_one() -> None:
    drawn = simple(static=False)
    value = drawn.model.graph.input[0].type.tensor_type
    for dim in value.shape.dim[:2]:
        dim.dim_param = "any"
    node = drawn.operators[1]
    sizes = insert(drawn.model, node, "Shape", node.input[0])
    order = store(drawn.model, np.array([1, 0, 2]))
    sizes = insert(drawn.model, node, "Gather", sizes, order)
    put(node, 0, insert(drawn.model, node, "Reshape", node.input[0], sizes))
    assert "got the result of 'Reshape'" in refused(drawn)


def test_a_shape_that_the_file_claims_is_not_taken_for_one_that_holds() -> None:
    """A branch of an If says what shape it makes; the model runs, too, where it makes another."""
    drawn = simple(static=False)
    first, second = drawn.operators
    shape = [drawn.L, drawn.N, drawn.module.hidden_size]
    claimed = [*shape[:2], drawn.module.input_size]
    branches = [
        helper.make_graph(
            [helper.make_node("Identity", [first.input[0]], [name])],
            *(name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, claimed)]),
        )
        for name in ("then", "else")
    ]
    condition = store(drawn.model, np.array(True), "condition")
    more = dict(zip(("then_branch", "else_branch"), branches, strict=True))
    put(first, 0, insert(drawn.model, first, "If", condition, **more))
    fixed = store(drawn.model, np.array(shape), "fixed")
    put(second, 0, insert(drawn.model, second, "Reshape", second.input[0], fixed))
    info = helper.make_tensor_value_info(first.input[0], TensorProto.FLOAT, claimed)
    drawn.model.graph.value_info.append(info)
    assert "got the result of 'Reshape'" in refused(drawn)


def test_a_function_stands_for_what_is_in_it() -> None:
    def call(drawn: Stack, body: list[Any]) -> None:
        node = drawn.operators[-1]
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
        names = [f"x{i}" for i in range(len(node.input))]
        made = helper.make_function("mine", "Layer", names, ["y", "h"], body, opsets)
        drawn.model.functions.append(made)
        drawn.model.opset_import.append(opsets[1])
        node.op_type, node.domain = "Layer", "mine"
        del node.attribute[:]

    drawn = simple()
    inner = onnx.NodeProto()
    inner.CopyFrom(drawn.operators[-1])
    inner.input[:] = [f"x{i}" for i in range(len(inner.input))]
    inner.output[:] = ["y", "h"]
    call(drawn, [inner])
    accepted(drawn)
    call(drawn := simple(), [inner])
    drawn.model.functions[0].opset_import[0].version = 12
    assert "functions should be of the opset of the model, got" in refused(drawn)
    drawn = simple()
    call(drawn, [helper.make_node("Layer", ["x0"], ["y", "h"], domain="mine")])
    assert "got RecursionError" in refused(drawn)

    drawn = simple()
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)]
    for i in range(40):
        body = [helper.make_node(f"F{i - 1}", [a], [b], domain="mine") for a, b in ("xz", "zy")]
        drawn.model.functions.append(
            helper.make_function(
                "mine",
                f"F{i}",
                ["x"],
                ["y"],
                body if i else [helper.make_node("Relu", ["x"], ["y"])],
                opsets,
            )
        )
    drawn.model.opset_import.append(opsets[1])
    drawn.model.graph.node.append(helper.make_node("F39", ["input"], ["much"], domain="mine"))
    assert refused(drawn) == "the model should have at most 100,000 operators"


@pytest.mark.no_cover
@pytest.mark.parametrize("operator", ["Expand", "Tile", "ConstantOfShape", "Concat", "Mul"])
def test_sizes_that_nobody_has(operator: str) -> None:
    drawn = simple()
    node = drawn.operators[0]
    one = store(drawn.model, np.ones((1, 1, 1), "f"), "one")
    shape = store(drawn.model, np.array([1, 10**7, 10**7]), "shape")
    if operator == "ConstantOfShape":
        value = numpy_helper.from_array(np.ones(1, "f"))
        one = insert(drawn.model, node, operator, shape, value=value)
    elif operator in ("Concat", "Mul"):
        one = store(drawn.model, np.ones((2, 5000, 1), "f"), "many")
        for _ in range(14):
            axis = {"axis": 2} if operator == "Concat" else {}
            one = insert(drawn.model, node, operator, one, one, **axis)
            if operator == "Mul":
                shape = store(drawn.model, np.ones((2, 1, 5000), "f"), "across")
                one = insert(drawn.model, node, operator, one, shape)
                break
    else:
        one = insert(drawn.model, node, operator, one, shape)
    put(node, 2, one)
    assert re.search("should not (make so many|have more than)", refused(drawn))
    drawn = simple()
    drawn.model.graph.initializer[0].dims[:] = [10**9, 10**9]
    assert "should be readable in the model" in refused(drawn)


def test_what_can_be_left_out() -> None:
    drawn = simple()
    for node in drawn.operators:
        kept = [a for a in node.attribute if a.name != "hidden_size"]
        del node.attribute[:]
        node.attribute.extend(kept)
    read_onnx(drawn.model.SerializeToString())  # ONNX Runtime wants it
    drawn = simple()
    rows = 6 * drawn.module.hidden_size
    shape = store(drawn.model, np.array([1, rows]))
    for node in drawn.operators:
        put(node, 3, insert(drawn.model, node, "ConstantOfShape", shape))
    found = read_onnx(drawn.model.SerializeToString())
    assert all(
        not arrays["B"].any() and arrays["B"].shape == (1, rows) for [arrays] in found.layers
    )
    drawn = simple()
    nodes = drawn.model.graph.node
    del nodes[list(nodes).index(drawn.operators[-1]) + 1 :]
    drawn.operators[-1].output[0] = ""
    read_onnx(drawn.model.SerializeToString())


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_of_a_reversed_operator_can_be_used(kind: str) -> None:
    """By the detour that the refusal and the page describe."""
    drawn = simple(kind, 1, starts="apart")
    attribute(drawn.operators[0], "direction", "reverse")
    assert "set it to forward in the model, and flip input and output" in refused(drawn)
    x, y, *finals = run(drawn.model, drawn.feed)
    attribute(drawn.operators[0], "direction", "forward")
    _, module = ported(drawn.model.SerializeToString())
    output, *last = drawn.expected(module, np.flip(x, 0).copy())
    assert np.abs(np.flip(output, 0) - y[:, 0]).max() < TOLERANCE
    for one, other in zip(finals, last, strict=True):
        assert np.abs(one - other).max() < TOLERANCE


def test_what_nobody_knows_before_the_stack() -> None:
    drawn = simple(static=False)
    node = drawn.operators[0]
    put(node, 0, insert(drawn.model, node, "Anything", node.input[0], domain="com.example"))
    drawn.model.opset_import.append(helper.make_opsetid("com.example", 1))
    assert read_onnx(drawn.model.SerializeToString()).batch_first is False


def between_layers(operator: str, *more: Any, **attributes: Any) -> Stack:
    """Send what goes from the first to the second layer through an operator."""
    drawn = simple()
    node = drawn.operators[1]
    names = [store(drawn.model, np.asarray(m), f"more{i}") for i, m in enumerate(more)]
    put(node, 0, insert(drawn.model, node, operator, node.input[0], *names, **attributes))
    return drawn


@pytest.mark.parametrize(
    ("operator", "more", "attributes"),
    [
        ("Cast", (), {"to": TensorProto.DOUBLE}),
        ("Transpose", (), {"perm": [0, 0, 1]}),
        ("Reshape", (np.array([0, 0, -1]),), {"allowzero": 1}),
        ("Reshape", (np.arange(5000),), {}),
        ("Reshape", (np.array([0, 0, -1, 1, 1]),), {"allowzero": 1}),
        ("Reshape", (np.array([0, 4, -1]),), {}),
        ("Reshape", (np.array([0, 0, 0, 2]),), {}),
        ("Reshape", (np.array([0]),), {}),
        ("Split", (np.array([1]),), {"axis": 0}),
        ("Squeeze", (np.array([0]),), {}),
        ("Gather", (np.array([], np.int64),), {}),
        ("Unsqueeze", (np.array([0, 0]),), {}),
        ("Slice", (np.array([0]), np.array([9]), np.array([7])), {}),
        ("Slice", tuple(np.array([n]) for n in (0, 2**63 - 1, 0, 2)), {}),
    ],
)
def test_operators_that_do_something_else(operator: str, more: Any, attributes: Any) -> None:
    said = refused(between_layers(operator, *more, **attributes))
    assert f"got the result of '{operator}'" in said


def test_operators_that_do_nothing() -> None:
    accepted(between_layers("Cast", to=TensorProto.FLOAT))
    accepted(between_layers("Slice", np.array([0]), np.array([2**63 - 1]), np.array([0])))
    accepted(between_layers("Dropout", np.array(0.5, "f"), np.array(False)))
    drawn = simple(static=False)
    node = drawn.operators[1]
    name = insert(drawn.model, node, "Transpose", node.input[0])
    name = insert(drawn.model, node, "Transpose", name)  # all axes turned round, twice
    put(node, 0, name)
    accepted(drawn)


def test_operators_that_do_not_fit_together() -> None:
    drawn = simple()
    drawn.operators[1].input[2] = ""
    assert refused(drawn) == "GRU operator 1 should have the inputs X, W and R, got no R"
    drawn = simple()
    drawn.operators[1].attribute.append(helper.make_attribute("hidden_size", 3))
    assert "each once and of its type, got 'hidden_size'" in refused(drawn)
    drawn = simple("GRU", 1)
    [node] = drawn.operators
    attribute(node, "hidden_size", 0)
    for index, shape in ((1, (1, 0, drawn.module.input_size)), (2, (1, 0, 0)), (3, (1, 0))):
        put(node, index, store(drawn.model, np.ones(shape, "f"), f"none{index}"))
    assert "W of GRU operator 0 should have shape (1, 0, " in refused(drawn)
    drawn = simple("RNN")
    for node, name in zip(drawn.operators, ("Tanh", "Relu"), strict=True):
        attribute(node, "activations", [name])
    assert "the RNN operators should have the same attributes" in refused(drawn)
    drawn = simple()
    H, wide = drawn.module.hidden_size, drawn.module.hidden_size + 1
    node = drawn.operators[1]
    attribute(node, "hidden_size", wide)
    for index, shape in ((1, (1, 3 * wide, H)), (2, (1, 3 * wide, wide)), (3, (1, 6 * wide))):
        put(node, index, store(drawn.model, np.ones(shape, "f"), f"wide{index}"))
    assert "direction and hidden_size of GRU operator 1 should be those of" in refused(drawn)
    drawn = simple()
    name = store(drawn.model, np.array([1, 3 * H, H]))
    put(drawn.operators[1], 2, insert(drawn.model, drawn.operators[1], "ConstantOfShape", name))
    assert "R of GRU operator 1 should be stored in the model, got zeros" in refused(drawn)
    drawn = simple()
    node = drawn.operators[1]
    sizes = insert(drawn.model, node, "Shape", node.input[0])
    put(node, 5, insert(drawn.model, node, "Cast", sizes, to=TensorProto.FLOAT))
    assert "got sizes of tensors" in refused(drawn)
    drawn = simple("GRU", 2, starts="given")
    node = drawn.operators[0]
    put(
        node,
        5,
        insert(
            drawn.model,
            node,
            "Slice",
            "h_0",
            *(store(drawn.model, np.array([n]), f"n{i}") for i, n in enumerate((1, 1, 0))),
        ),
    )
    assert "initial_h of GRU operator 0 should be zero or an input" in refused(drawn)


# Data outside the file.


def outside(folder: Path, **changed: str) -> bytes:
    """Write a model with its data beside it; give the model with other entries for W."""
    model = onnx.load_model_from_string(
        onnx_bytes("GRU", to_layout("onnx", "GRU", nn.GRU(3, 4).state_dict()))
    )
    file = folder / "model.onnx"
    onnx.save(model, file, save_as_external_data=True, location="model.data", size_threshold=0)
    model = onnx.load(file, load_external_data=False)
    for tensor in model.graph.initializer:
        if tensor.name == "W_l0":
            for entry in tensor.external_data:
                entry.value = changed.pop(entry.key, entry.value)
            for key, value in changed.items():
                tensor.external_data.add(key=key, value=value)
    return bytes(model.SerializeToString())


def test_data_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        data = outside(folder)
    monkeypatch.chdir(there)
    _, module = ported(data, here)
    ours = onnx.load(here / "model.onnx")
    _, again = ported(ours.SerializeToString())
    assert torch.equal(module.weight_hh_l0, again.weight_hh_l0)
    assert "'W_l0', 'model.data', should be in the model, since its folder is not known" in refusal(
        data
    )
    (here / "model.data").rename(here / "moved.data")
    assert "should be a file beside the model, and there is none" in refusal(data, here)
    (here / "model.data").mkdir()
    assert "should be a file beside the model, and there is none" in refusal(data, here)


@pytest.mark.parametrize(
    "location",
    ["../there/model.data", "sub/../model.data", "link.data", "folder/model.data", "/etc/passwd",
     "C:\\model.data", "..\\model.data", "C:model.data", "\\\\host\\model.data",
     "../here_too/model.data"],
)  # fmt: skip # as few lines as it takes
def test_data_elsewhere(location: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    (tmp_path / "here_too").mkdir()
    outside(tmp_path / "here_too")
    for folder in (here, there):
        folder.mkdir()
        outside(folder)
    (here / "sub").mkdir()
    (here / "link.data").symlink_to(there / "model.data")
    (here / "folder").symlink_to(there)
    said = refusal(outside(here, location=location), here)
    assert "should lie in the folder of the model, and not outside it" in said


@pytest.mark.parametrize(
    "changed",
    [{"offset": "9999"}, {"length": "9999"}, {"length": "4"}, {"offset": "-4"}, {"length": "-4"},
     {"offset": "1e3"}, {"offset": "9" * 40}, {"location": ""}, {"location": "a\0b"},
     {"location": "."}],
)  # fmt: skip # as few lines as it takes
def test_data_that_is_not_there(changed: dict[str, str], tmp_path: Path) -> None:
    said = refusal(outside(tmp_path, **changed), tmp_path)
    assert re.search("'W_l0', .* should (have 144 bytes|be a file beside the model)", said)


def test_data_of_which_only_a_part_is_named(tmp_path: Path) -> None:
    model = onnx.load_model_from_string(outside(tmp_path))
    for tensor in model.graph.initializer:
        kept = [e for e in tensor.external_data if e.key != "length"]
        del tensor.external_data[:]
        tensor.external_data.extend(kept)
    ported(model.SerializeToString(), tmp_path)


# Files that make no sense.


def test_what_is_no_model() -> None:
    for data in (b"", b"no model", b"PK\3\4" + bytes(99), bytes(99), os.urandom(999)):
        assert refusal(data).startswith("the file should be an ONNX model ")


def test_a_damaged_model_is_refused_in_one_line() -> None:
    """Or read: many bytes are names, and weights may be any numbers."""
    for i in range(120 * TIMES):
        rng = np.random.default_rng([SEED, 3, i])
        drawn = stack(rng)
        data = bytearray(drawn.model.SerializeToString())
        for _ in range(rng.integers(1, 6)):
            at, way = int(rng.integers(len(data) - 1)), rng.integers(4)
            if way < 2:
                data[at] = rng.integers(256) if way else data[at] ^ (1 << rng.integers(8))
            elif way == 2:
                del data[at : at + int(rng.integers(1, 20))]
            else:
                data[at:at] = rng.bytes(int(rng.integers(1, 10)))
        said = "read"
        try:
            read_onnx(bytes(data))
        except ValueError as error:
            said = str(error)
        assert len(said.splitlines()) == 1, (SEED, i, said)
        assert len(said) < 2000, (SEED, i, said)


def test_names_cannot_write_lines_of_their_own() -> None:
    drawn = simple()
    put(drawn.operators[1], 0, insert(drawn.model, drawn.operators[1], "Evil\n\33[31m", "input"))
    assert "got the result of 'Evil\\n\\x1b[31m'" in refused(drawn)


# The command line.


def test_the_command_line_says_what_the_weights_do_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in range(8):
        drawn = simple(seed=seed)
        (tmp_path / "a.onnx").write_bytes(drawn.model.SerializeToString())
        assert main(["GRU", str(tmp_path / "a.onnx"), str(tmp_path / "a.pt")]) == 0
        said = capsys.readouterr()
        assert said.err == ""
        assert ("batch_first=True" in said.out) == drawn.batch_first


def test_a_reshape_keeps_axes_whole() -> None:
    """It may take axes apart only where an atom ends, and has to use them all."""
    nothing: Any = None  # is asked of the graph
    parts = Atom(0, 4), Atom(1, 3), Atom(2, 2)
    data = Moved(Source("X", "a tensor", ("L", "N", "H"), 4, True), (parts[:2], parts[2:]), 1)

    def reshaped(*target: int) -> Any:
        call: Any = SimpleNamespace(attributes={}, numbers=lambda name, place: list(target))
        (moved,) = _reshape(nothing, data, call)
        assert isinstance(moved, Moved)
        return moved.axes

    assert reshaped(4, 3, 2) == ((parts[0],), (parts[1],), (parts[2],))
    assert reshaped(4, -1) == ((parts[0],), parts[1:])
    assert reshaped(0, 1, 2) == (parts[:2], (), parts[2:])
    for target in ((6, 4), (4, 3), (12,)):
        with pytest.raises(_UnclearError):
            reshaped(*target)

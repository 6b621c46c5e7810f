"""The reader of ONNX models, against ONNX Runtime.

A default run draws 3,040 graphs: 1000 stacks, which have to be accepted and to give the numbers of
ONNX Runtime; 20 of each of the 62 alterations, which have to be refused for the right reason; and
550 in which what lies between two operators is shuffled, of which exactly those are accepted that
pass on what PyTorch passes on. HYPOTHESIS_PROFILE=nightly draws twenty times as many, and fresh ones.
"""

import os
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.onnx_models import (
    EDITS,
    FLOAT,
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
from torch import nn

from unrolled.porting import from_layout, to_layout
from unrolled.porting.__main__ import main
from unrolled.porting.onnx_file import FromOnnx, onnx_bytes, read_onnx

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
SEED = int.from_bytes(os.urandom(4), "big") if NIGHTLY else 0
TIMES = 20 if NIGHTLY else 1
STACKS, EACH, SHUFFLED = 1000 * TIMES, 20 * TIMES, 800 * TIMES
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


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_a_stack_is_accepted_and_equal(chunk: int) -> None:
    for i in range(chunk, STACKS, CHUNKS):
        drawn = stack(np.random.default_rng([SEED, i]))
        found, module = ported(drawn.model.SerializeToString())
        assert (found.kind, found.batch_first) == (drawn.kind, drawn.batch_first), drawn.said
        for name, parameter in drawn.module.state_dict().items():
            assert torch.equal(module.state_dict()[name], parameter), (i, name, drawn.said)
        assert difference(drawn, module) < TOLERANCE, (SEED, i, drawn.said)


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
        y, *finals = draft.op(
            *(kind, x, *(draft.constant(arrays[name]) for name in "WRB"), "", *initial),
            outputs=2 + (kind == "LSTM"),
            hidden_size=H,
            direction="bidirectional" if D == 2 else "forward",
            **({"linear_before_reset": 1} if kind == "GRU" else {}),
            **({"activations": [module.nonlinearity.capitalize()] * D} if kind == "RNN" else {}),
        )
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


@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_the_old_exporter(
    kind: str, batch_first: bool, bidirectional: bool, states: bool, tmp_path: Path
) -> None:
    for dynamic in (False, True):
        check_export(kind, batch_first, bidirectional, states, dynamic, False, tmp_path)


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
    L, N = 4, 3
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
        sizes = {0: "one", 1: "other"}
        options["dynamic_axes"] = {"ids": sizes, **{f"h{i}": {1: "batch"} for i in range(len(hx))}}
        options["input_names"] = ["ids", *(f"h{i}" for i in range(len(hx)))]
    file = tmp_path / "model.onnx"
    export(module, (ids, *hx), file, dynamo, **options)
    found, again = ported(file.read_bytes(), tmp_path)
    assert found.batch_first == batch_first
    for name, parameter in module.rnn.state_dict().items():
        assert torch.equal(again.state_dict()[name], parameter)


def test_an_rnn_that_was_taken_apart(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    export(nn.RNN(5, 7), (torch.randn(4, 3, 5),), file, dynamo=True)
    said = refusal(file.read_bytes(), tmp_path)
    assert "got []; torch.onnx.export takes an nn.RNN apart unless dynamo=False is given" in said

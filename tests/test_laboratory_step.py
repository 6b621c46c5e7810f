"""The lines of *Step through time*, run in V8: their numbers, their code and their sums."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from py_mini_racer import JSEvalException, MiniRacer
from torch import Tensor, nn

from tests import comparisons
from tests.laboratory import CLOSE, Engine, mutated, received
from tests.strategies import fraction
from tests.test_laboratory import apart

# What is compared with everywhere is the network of `layers` and `backward`, and torch.
STEP_HARNESS = """
Object.assign(RUN, {
  settings: ({ given }) => {
    const { seed, ...rest } = LAB.step.readSettings(given);
    return { seed: String(seed), ...rest };
  },
  lines: ({ given }) => {
    const settings = LAB.step.readSettings(given);
    const { lines, all, states } = LAB.step.passLines(settings);
    const drawn = LAB.step.drawn(settings);
    const pick = ({ code, name, step, number, result, operands }) => ({
      code, name, step, number, result,
      operands: operands.map((leaf) => ({ text: LAB.step.leafText(leaf), tensor: leaf.tensor })),
    });
    return {
      lines: lines.map(pick), all: all.map(pick), drawn,
      states: states.map(({ name, tensor }) => ({ name, tensor })),
      program: LAB.step.program(settings, all),
    };
  },
  explained: ({ given, places }) => {
    const { lines } = LAB.step.passLines(LAB.step.readSettings(given));
    return places.map(([at, row, column]) => {
      const found = LAB.step.explainDown(lines, lines[at], row, column);
      const name = (entry) => entry.name;
      const number = (entry) => String(entry.value).replace(/^-/, "−");
      return found.map(({ sum, ...rest }) => ({
        ...rest, sum, names: LAB.step.sumText(sum, name), numbers: LAB.step.sumText(sum, number),
      }));
    });
  },
  exact: ({ given }) => {
    const settings = LAB.step.readSettings(given);
    const { mode, L, N } = settings;
    const { all } = LAB.step.passLines({ ...settings, pass: "backward" });
    const { parameters, steps, first } = LAB.step.drawn(settings);
    const hx = first.map((state) => LAB.arrays.stack([state]));
    const layers = LAB.layers.weightsOf(parameters);
    const input = LAB.arrays.stack(steps);
    const { ran } = LAB.layers.runNetwork(LAB.layers.STEPS[mode], input, hx, layers);
    const begin = hx.map((state) => LAB.arrays.zeros(state.shape));
    if (settings.loss) begin[0].data[settings.loss[0] * begin[0].shape[2] + settings.loss[1]] = 1;
    else begin[0].data.fill(1);
    const back = LAB.backward.networkBackward(mode, input, hx, parameters, { hx: begin });
    const wrong = [];
    const compare = (name, theirs) => {
      const line = all.findLast((one) => one.name === name);
      const same = line.result.data.every((value, k) => value === theirs.data[k]);
      if (!same) wrong.push(name);
    };
    ran[0][0].states.forEach((state, t) =>
      state.forEach((part, k) => compare(`${"hc"[k]}_${t + 1}`, part)));
    hx.forEach((_, k) => compare(`d${"hc"[k]}_0`, back.hx[k]));
    return wrong;
  },
});
"""
MODULES = ["layers", "backward", "step"]  # with those that they import


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with MiniRacer() as racer:  # ends its thread
        yield Engine(racer, MODULES, STEP_HARNESS)


@st.composite
def states(draw: st.DrawFn, largest: int = 8) -> dict[str, str]:
    """Draw what an address may say."""
    mode = draw(st.sampled_from(["RNN_TANH", "RNN_RELU", "GRU", "LSTM"]))
    H_out = draw(st.integers(1, largest))
    projected = mode == "LSTM" and draw(st.booleans())
    proj_size = draw(st.integers(0, H_out - 1)) if projected else 0
    N = draw(st.integers(1, 4))
    place = draw(st.integers(0, N - 1)), draw(st.integers(0, (proj_size or H_out) - 1))
    return {
        "mode": mode,
        "pass": draw(st.sampled_from(["forward", "backward"])),
        "H_in": str(draw(st.integers(1, largest))),
        "H_out": str(H_out),
        "N": str(N),
        "L": str(draw(st.integers(1, 5))),
        "seed": str(draw(st.integers(-(2**63), 2**64 - 1))),
        "batch_first": draw(st.sampled_from("01")),
        "h_0": draw(st.sampled_from(["zeros", "randn"])),
        "bias": draw(st.sampled_from("01")),
        "proj_size": str(proj_size),
        "loss": draw(st.sampled_from(["sum", "{},{}".format(*place)])),
    }


def state(**said: str) -> dict[str, str]:
    normal = {"H_in": "3", "H_out": "4", "N": "2", "L": "3", "seed": "7", "h_0": "randn"}
    return normal | said


SAMPLES = [
    state(mode=mode, **{"pass": direction}, **more)
    for mode in ("RNN_TANH", "RNN_RELU", "GRU", "LSTM")
    for direction, more in (("forward", {}), ("backward", {"batch_first": "1", "loss": "1,2"}))
] + [state(mode="LSTM", proj_size="2", **{"pass": "backward"})]


def run_by_torch(given: dict[str, str]) -> tuple[nn.RNNBase, Tensor, dict[str, Tensor]]:
    """Build the module, the input and the first states as the page promises, without the page."""
    size = {name: int(given[name]) for name in ("H_in", "H_out", "N", "L")}
    mode, bias, proj_size = (
        given["mode"],
        given.get("bias", "1") == "1",
        int(given.get("proj_size", 0)),
    )
    batch_first = given.get("batch_first") == "1"
    options: dict[str, Any] = {"nonlinearity": "relu"} if mode == "RNN_RELU" else {}
    options |= {"proj_size": proj_size} if proj_size else {}
    torch.manual_seed(int(given["seed"]))
    kind = getattr(nn, mode.partition("_")[0])
    rnn: nn.RNNBase = kind(
        size["H_in"], size["H_out"], bias=bias, batch_first=batch_first, **options
    )
    shape = ("N", "L", "H_in") if batch_first else ("L", "N", "H_in")
    x = torch.randn(*(size[name] for name in shape))
    make = torch.randn if given["h_0"] == "randn" else torch.zeros
    first = {"h_0": make(1, size["N"], proj_size or size["H_out"])}
    if mode == "LSTM":
        first["c_0"] = make(1, size["N"], size["H_out"])
    return rnn, x, first


def line_differences(engine: Engine, given: dict[str, str]) -> Iterator[str]:
    """Run the program of the page, and compare every line, and its operands, with its numbers."""
    seen = engine("lines", given=given)
    namespace: dict[str, Any] = {}
    head, _, _ = seen["program"].partition(f"\n{seen['all'][0]['code']}\n")
    exec(head, namespace)
    exec(seen["program"], dict(namespace))  # the whole of it runs
    back = given["pass"] == "backward"
    lines = iter(seen["all"])
    theirs, ours = {}, {}
    for text in seen["program"][len(head) :].strip().splitlines():
        if (
            (text.partition(" = ")[0].startswith("d") and "_like(" in text)
            or "] = 1" in text
            or not text
        ):
            exec(text, namespace)
            continue
        line = next(lines)
        if line["code"] != text:
            yield f"{text} is not {line['code']}"
            return
        for k, operand in enumerate(line["operands"]):
            key = f"{line['code']}, operand {k}"
            theirs[key] = eval(operand["text"], namespace)
            ours[key] = received(operand["tensor"])
        exec(text, namespace)
        theirs[line["code"]] = namespace[line["name"]]
        ours[line["code"]] = received(line["result"])
    if next(lines, None) is not None:
        yield "a line is not in the program"
    if [line["name"] for line in seen["all"][-len(seen["lines"]) :]] != [
        line["name"] for line in seen["lines"]
    ]:
        yield "other lines are shown"
    yield from apart(ours, theirs)
    L = int(given["L"])
    names = [f"{'d' * back}h_{t}" for t in range(L + 1)]
    if [one["name"] for one in seen["states"]] != names:
        yield f"the states are {seen['states']}"
    shown = {name: received(one["tensor"]) for name, one in zip(names, seen["states"], strict=True)}
    yield from apart(shown, {name: namespace[name] for name in names})


def torch_differences(engine: Engine, given: dict[str, str]) -> Iterator[str]:
    """Compare the states with `torch.nn`, and the gradients with autograd."""
    rnn, x, first = run_by_torch(given)
    for tensor in (x, *first.values()):
        tensor.requires_grad_()
    hx = tuple(first.values()) if len(first) > 1 else first["h_0"]
    with comparisons.onednn(not rnn.proj_size):
        output, last = rnn(x, hx)
    by_name = {
        line["name"]: received(line["result"]) for line in engine("lines", given=given)["all"]
    }
    L, time = int(given["L"]), 1 if rnn.batch_first else 0
    found = {f"h_{t + 1}": state for t, state in enumerate(output.unbind(time))}
    if isinstance(last, tuple):
        found[f"c_{L}"] = last[1][0]
    yield from apart({name: by_name[name] for name in found}, found)
    if given["pass"] == "forward":
        return
    loss = given.get("loss", "sum")
    h_L = found[f"h_{L}"]
    chosen = h_L.sum() if loss == "sum" else h_L[tuple(map(int, loss.split(",")))]
    grads = torch.autograd.grad(chosen, list(first.values()))
    theirs = {f"d{name}": grad[0] for name, grad in zip(first, grads, strict=True)}
    begins = [torch.ones(())]
    yield from apart({name: by_name[name] for name in theirs}, theirs, begins)


OPERATIONS: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "oneMinus": lambda a: 1 - a,
    "square": lambda a: a * a,
    "where": lambda a, b: a * (b > 0),
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "sum": lambda *terms: sum(terms),
}


def evaluated(tree: Any) -> Tensor:
    """Evaluate a sum in float64."""
    if "op" in tree:
        return OPERATIONS[tree["op"]](*map(evaluated, tree["args"]))
    return torch.tensor(tree["value"], dtype=torch.float64)


def entries(tree: Any) -> Iterator[Any]:
    if "op" not in tree:
        yield tree
        return
    for arg in tree["args"]:
        yield from entries(arg)


def sum_differences(engine: Engine, given: dict[str, str]) -> Iterator[str]:
    """Evaluate the sums behind entries, from their parts and from their text."""
    seen = engine("lines", given=given)
    namespace: dict[str, Any] = {}
    exec(seen["program"], namespace)
    results = [received(line["result"]) for line in seen["lines"]]
    places = [
        (at, int(k) // result.shape[1], int(k) % result.shape[1])
        for at, result in enumerate(results)
        for k in torch.linspace(0, result.numel() - 1, 3)
    ]
    explained = engine("explained", given=given, places=places)
    for (at, row, column), found in zip(places, explained, strict=True):
        line = seen["lines"][at]
        top = found[0]
        if top["name"] != f"{line['name']}[{row}, {column}]":
            yield f"{top['name']} is not {line['name']}[{row}, {column}]"
        if abs(top["value"] - results[at][row, column].item()) > 0:
            yield f"{top['name']} is not the entry"
        for one in found:
            values = [abs(entry["value"]) for entry in entries(one["sum"])]
            limit = CLOSE * max(1.0, *values)
            if abs(evaluated(one["sum"]).item() - one["value"]) > limit:
                yield f"{one['names']} is not {one['value']}"
            for entry in entries(one["sum"]):
                # dc is completed in place, as its own operand
                if one["name"].startswith("dc") and entry["name"].startswith("dc"):
                    continue
                if abs(eval(entry["name"], namespace).item() - entry["value"]) > limit:
                    yield f"{entry['name']} is not {entry['value']}"
            if "more terms" in one["numbers"]:
                continue
            by_text = eval(one["numbers"].replace("−", "-"), {"torch": Calculator})
            if abs(by_text - one["value"]) > limit:
                yield f"{one['numbers']} is not {one['value']}"


class Calculator:
    """What the numbers of a sum use of torch, on floats."""

    @staticmethod
    def tanh(x: float) -> float:
        return torch.tensor(x, dtype=torch.float64).tanh().item()

    @staticmethod
    def sigmoid(x: float) -> float:
        return torch.tensor(x, dtype=torch.float64).sigmoid().item()

    @staticmethod
    def relu(x: float) -> float:
        return max(x, 0.0)


def exact_differences(engine: Engine, given: dict[str, str]) -> Iterator[str]:
    """Compare with the network that the other elements run: every bit."""
    yield from engine("exact", given=given)


CHECKS = [line_differences, torch_differences, sum_differences, exact_differences]


@fraction(1 / 8)
@given(states())
@example(
    state(mode="RNN_TANH", H_in="10", H_out="20", N="3", L="5", seed="0", batch_first="1")
    | {"pass": "backward"}
)
def test_the_lines_are_what_torch_computes(engine: Engine, given: dict[str, str]) -> None:
    assert [wrong for check in CHECKS for wrong in check(engine, given)] == []


@pytest.mark.parametrize("mode", ["RNN_RELU", "GRU", "LSTM"])
def test_the_largest_sizes(engine: Engine, mode: str) -> None:
    given = state(mode=mode, H_in="64", H_out="64", N="4", L="20", **{"pass": "backward"})
    if mode == "LSTM":  # which has the most numbers, and they take seconds
        assert [wrong for check in CHECKS for wrong in check(engine, given)] == []
    (found,) = engine("explained", given=given | {"pass": "forward"}, places=[(0, 3, 63)])
    first, dots, last = found[0]["names"].partition(" + … 57 more terms … + ")
    assert dots
    assert (first.count("*"), last.count("*")) == (4, 3)  # and the bias
    assert last.endswith("bias_ih[63]")


def test_the_second_hidden_state_is_seen_down_to_its_weights(engine: Engine) -> None:
    given = state(mode="RNN_TANH")
    names = [line["name"] for line in engine("lines", given=given)["lines"]]
    (found,) = engine("explained", given=given, places=[(names.index("h_2"), 1, 2)])
    assert [one["names"] for one in found] == [
        "torch.tanh(a_2[1, 2])",
        "from_state_2[1, 2] + from_input_2[1, 2]",
        " + ".join([*(f"h_1[1, {k}] * weight_hh[2, {k}]" for k in range(4)), "bias_hh[2]"]),
        " + ".join([*(f"x_2[1, {k}] * weight_ih[2, {k}]" for k in range(3)), "bias_ih[2]"]),
    ]


REFUSED = {
    "mode": ["RNN", "lstm", ""],
    "pass": ["back", ""],
    "H_in": ["0", "65", "-1", "2.5", "", "a", "1e1"],
    "H_out": ["0", "65"],
    "N": ["0", "5"],
    "L": ["0", "21"],
    "seed": ["", "0.5", str(2**64), str(-(2**63) - 1), "a"],
    "h_0": ["ones", ""],
    "bias": ["True"],
    "batch_first": ["2"],
    "proj_size": ["2", "-1"],
    "loss": ["2,0", "0,4", "0", "", "mean"],
    "hidden": ["3"],
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_understood_is_refused(engine: Engine, name: str) -> None:
    for value in REFUSED[name]:
        with pytest.raises(JSEvalException) as caught:
            engine("settings", given={name: value})
        assert "RangeError" in str(caught.value)
        assert name in str(caught.value)


MUTATIONS = {
    "x drawn in the other order": ("batch_first ? [N, L, H_in] : [L, N, H_in]);", "[L, N, H_in]);"),
    "steps of another sequence": ("(row * L + t) * features", "(t * N + row) * features"),
    "a state that is not drawn": (
        "randn ? generator.normal([N, width]) :",
        "false ? zeros([N, width]) :",
    ),
    "a weight without its transpose": ("transpose(weight), bias),", "weight, bias),"),
    "another block": ("[block];\n", "[0];\n"),
    "a block named from another column": ("from: block * width", "from: width"),
    "no bias": ("if (this.named[bias]) {", "if (false) {"),
    "the state before the step": (
        'at.product(h_before, "weight_hh.T"',
        'at.product(`h_0`, "weight_hh.T"',
    ),
    "no reset": ('op("mul", get("r"), parts[2][0])', "parts[2][0]"),
    "z for n": (
        'op("sub", at.get(h_before), get("n")), get("z")',
        'op("sub", at.get(h_before), get("z")), get("n")',
    ),
    "tanh for relu": ('mode === "RNN_RELU" ? "relu" : "tanh"', '"tanh"'),
    "tanh for sigmoid": ('gate === "g" ? "tanh" : "sigmoid"', '"tanh"'),
    "i for f": (
        'op("mul", get("f"), at.get(`c_${t - 1}`))',
        'op("mul", get("i"), at.get(`c_${t - 1}`))',
    ),
    "a cell state without its tanh": (
        'op("mul", get("o"), op("tanh", get("c")))',
        'op("mul", get("o"), get("c"))',
    ),
    "no projection": (
        'at.product(wide, "weight_hr.T")',
        'op("add", at.get(h_before), at.get(h_before))',
    ),
    "the slope of a sigmoid": ('op("mul", s, op("oneMinus", s))', "s"),
    "the slope of tanh": ('op("oneMinus", op("square", y))', 'op("oneMinus", y)'),
    "z for 1 - z": ('three(get("dh"), op("oneMinus", get("z"))', 'three(get("dh"), get("z")'),
    "n - h": (
        'op("sub", at.get(`h_${t - 1}`), get("n"))',
        'op("sub", get("n"), at.get(`h_${t - 1}`))',
    ),
    "another block of the state": (
        "at.block(`from_state_${t}`, 2, 3)",
        "at.block(`from_state_${t}`, 1, 3)",
    ),
    "dm without r": ('op("mul", get("da_n"), get("r"))', 'op("mul", get("da_n"), get("z"))'),
    "gates in another order": (
        'get("da_r"), get("da_z"), get("dm")',
        'get("da_z"), get("da_r"), get("dm")',
    ),
    "no direct path": (
        'op("mul", get("dh"), get("z")), get("through")',
        'get("through"), get("through")',
    ),
    "relu never closed": ("h.data[k] <= 0 ? 0 : grad", "grad"),
    "no gradient through h": (
        'op("add", get("dc"), three(dh, get("o"), tanhSlope(tanh_c)))',
        'op("add", get("dc"), get("dc"))',
    ),
    "c after for c before": ('three(get("dc"), at.get(`c_${t - 1}`)', 'three(get("dc"), get("c")'),
    "dc without f": ('op("mul", get("dc"), get("f"))', 'op("mul", get("dc"), get("i"))'),
    "the gradient of another entry": (
        "loss[0] * dh.shape[1] + loss[1]",
        "loss[0] + loss[1] * dh.shape[0]",
    ),
    "a sum without its bias": ("bias ? [...terms, entryOf(bias, 0, column)] : terms", "terms"),
    "a column for a row": ("entryOf(right, k, column)]", "entryOf(right, column, k)]"),
    "a name without its transpose": ("transposed ? [column, row]", "false ? [column, row]"),
    "a name in the block": ("[row, from + column]", "[row, column]"),
    "a part of another gate": ("entryOf(part, row, column - start)", "entryOf(part, row, 0)"),
    "no parentheses": ("inner > binds ||", "inner > 0 ||"),
    "a negative factor": ('text.startsWith("−") ? (k ? 1 : 2) : CALLS', "CALLS"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, tmp_path: Path) -> None:
    folder = mutated(tmp_path, "step", *MUTATIONS[name])
    with MiniRacer() as racer:
        engine = Engine(racer, MODULES, STEP_HARNESS, folder)
        assert noticed(engine), "no check notices"


def noticed(engine: Engine) -> bool:
    """Whether a check finds something; code that does not run is something as well."""
    for sample in SAMPLES:
        for check in CHECKS:
            try:
                if next(check(engine, sample), ""):
                    return True
            except (JSEvalException, RuntimeError, IndexError, KeyError, NameError, SyntaxError):
                return True
    return False


def test_without_a_mutation_nothing_is(engine: Engine) -> None:
    found = [wrong for given in SAMPLES for check in CHECKS for wrong in check(engine, given)]
    assert found == []

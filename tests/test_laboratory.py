"""The laboratory's scripts, run in V8 as the reader's browser does, against `torch.nn`."""

import inspect
import json
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from py_mini_racer import JSEvalException, MiniRacer
from torch import Tensor, nn

import unrolled
from tests import comparisons, strategies
from tests.laboratory import (
    CLOSE,
    CORE,
    ROOT,
    SOURCES,
    Engine,
    NotUnderstoodError,
    bundle,
    mutated,
    received,
)
from tests.strategies import FEWER, fraction
from unrolled._scan import Order, each
from unrolled.arrays import linear
from unrolled.layers import STEPS, run_network, weights_of

pytestmark = pytest.mark.no_cover
FLOORS = [
    "shapes",
    "construct",
    "settings",
    "init",
    "arrays",
    "cells",
    "scan",
    "layers",
    "backward",
]

HARNESS = """
function built(text, then) {
  try {
    return then(LAB.construct.construct(LAB.construct.parseCall(text)));
  } catch (error) {
    if (!(error instanceof LAB.construct.TorchError)) throw error;
    return { type: error.type, message: error.message };
  }
}
Object.assign(RUN, {
  uniform: ({ seed, shapes }) => {
    const generator = new LAB.init.Generator(BigInt(seed));
    return shapes.map(([shape, low, high]) => generator.uniform(shape, low, high));
  },
  normal: ({ seed, shapes }) => {
    const generator = new LAB.init.Generator(BigInt(seed));
    return shapes.map((shape) => generator.normal(shape));
  },
  parameters: ({ module, seed }) => LAB.init.uniformParameters(module, BigInt(seed)),
  network: ({ mode, input, hx, parameters, grads }) => {
    const layers = LAB.layers.weightsOf(parameters);
    hx = hx ?? LAB.layers.zeroStates(mode, input.shape[1], layers);
    const { output, hx: last } = LAB.layers.runNetwork(LAB.layers.STEPS[mode], input, hx, layers);
    const back = LAB.backward.networkBackward(mode, input, hx, parameters, grads);
    return { output, last, back };
  },
  call: ({ text }) =>
    built(text, ({ module, warnings }) => {
      return { shapes: Object.entries(LAB.shapes.parameterShapes(module)), warnings };
    }),
  forward: ({ text, size }) =>
    built(text, ({ module }) => LAB.construct.forwardShapes(module, size)),
  back: ({ text }) => LAB.construct.callText(LAB.construct.moduleOfStateDict(text)),
  cell: ({ name, args }) => LAB.cells[name](...args),
});
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with MiniRacer() as racer:  # ends its thread
        yield Engine(racer, FLOORS, HARNESS)


# -- What is drawn --------------------------------------------------------------------------------


class Network(NamedTuple):
    """A module, an input for it, and where the gradient begins."""

    mode: str
    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    bidirectional: bool = False
    proj_size: int = 0
    N: int = 3
    L: int = 5
    hx_given: bool = True
    loss: str = "output and states"
    batch_first: bool = False
    seed: int = 0

    def module(self) -> nn.RNNBase:
        torch.manual_seed(self.seed)
        options: dict[str, Any] = {"nonlinearity": "relu"} if self.mode == "RNN_RELU" else {}
        if self.proj_size:
            options["proj_size"] = self.proj_size
        kind = getattr(nn, self.mode.partition("_")[0])
        sizes = self.input_size, self.hidden_size, self.num_layers
        rnn: nn.RNNBase = kind(*sizes, bias=self.bias, bidirectional=self.bidirectional, **options)
        return rnn


@st.composite
def networks(draw: st.DrawFn, largest: int = 20) -> Network:
    hidden_size = draw(st.integers(1, largest))
    mode = draw(st.sampled_from(list(STEPS)))
    projected = mode == "LSTM" and hidden_size > 1 and draw(st.booleans())
    return Network(
        mode=mode,
        input_size=draw(st.integers(1, largest)),
        hidden_size=hidden_size,
        num_layers=draw(st.integers(1, 3)),
        bias=draw(st.booleans()),
        bidirectional=draw(st.booleans()),
        proj_size=draw(st.integers(1, hidden_size - 1)) if projected else 0,
        N=draw(st.integers(1, 4)),
        L=draw(st.integers(1, 7)),
        hx_given=draw(st.booleans()),
        loss=draw(st.sampled_from(["output and states", "output", "states"])),
        batch_first=draw(st.booleans()),
        seed=draw(strategies.seeds),
    )


ORDERS = {
    "RNN": ["input_size", "hidden_size", "num_layers", "nonlinearity"],
    "GRU": ["input_size", "hidden_size", "num_layers"],
    "LSTM": ["input_size", "hidden_size", "num_layers"],
}
COMMON = ["bias", "batch_first", "dropout", "bidirectional", "proj_size"]
ODD = [0, -1, 1, 2, 3, True, False, None, 0.0, 0.5, 1.0, 2.5, "tanh", "3"]
ILLEGAL = {
    "nonlinearity": [*ODD, "sigmoid", "Tanh", "RELU", ""],
    "dropout": [*ODD, "a half", "0.5", -0.1, 1.5, 2],
}


def drawn_call(random: Random) -> str:
    """Draw a constructor call, as a person types it: half of them have a mistake."""
    kind = random.choice(list(ORDERS))
    names = [*ORDERS[kind], *COMMON]
    hidden_size = random.randint(1, 30)
    values: dict[str, Any] = {
        "input_size": random.randint(1, 30),
        "hidden_size": hidden_size,
        "num_layers": random.randint(1, 3),
        "nonlinearity": random.choice(["tanh", "relu"]),
        "bias": random.random() < 0.5,
        "batch_first": random.random() < 0.5,
        "dropout": random.choice([0, 0.0, 1, 1.0, random.random(), random.random() / 1e5]),
        "bidirectional": random.random() < 0.5,
        "proj_size": random.choice([0, random.randint(1, 30), hidden_size - 1]),
    }
    wrong = random.choice(names)
    if random.random() < 0.4:
        values[wrong] = random.choice(ILLEGAL.get(wrong, ODD))
    positional = random.randint(0, len(names))
    rest = names[positional:]
    chosen = [
        name
        for name in random.sample(rest, len(rest))
        if name in ("input_size", "hidden_size")
        # Only an LSTM has a projection, and `proj_size` by keyword is a mistake elsewhere.
        or random.random() < (0.5 if kind == "LSTM" or name != "proj_size" else 0.05)
    ]
    parts = [repr(values[name]) for name in names[:positional]]
    parts += [f"{name}={values[name]!r}" for name in chosen]
    match random.randint(1, 40):
        case 1:
            parts += [f"hidden_sizes={hidden_size}"]
        case 2:
            parts = parts[1:]
        case 3:
            parts = [repr(random.choice(ODD)) for _ in range(random.randint(12, 14))]
        case 4 if positional:
            parts += [f"input_size={values['input_size']!r}"]
    return f"nn.{kind}({', '.join(parts)})"


# -- What differs ---------------------------------------------------------------------------------


def apart(
    ours: dict[str, Tensor], theirs: dict[str, Tensor], begins: Iterable[Tensor] = ()
) -> Iterator[str]:
    """Say which numbers differ by more than `CLOSE`, relative to the largest of theirs.

    The largest of all, and of the states or gradients with which a pass begins: where a sum of
    large terms is nearly zero, or a gate is nearly closed, the last bits depend on the order of the
    additions, in PyTorch's number as in ours.
    """
    if list(ours) != list(theirs):
        yield f"names are {list(ours)}, not {list(theirs)}"
        return
    largest = max(one.abs().max().item() for one in (*theirs.values(), *begins))
    for name, their in theirs.items():
        our = ours[name]
        if our.shape != their.shape:
            yield f"{name} has shape {tuple(our.shape)}, not {tuple(their.shape)}"
            return
        difference = (our - their).abs().max().item()
        if not difference <= CLOSE * largest:
            yield f"{name} differs by {difference:.2g}, the largest is {largest:.2g}"


def initial_differences(engine: Engine, network: Network) -> Iterator[str]:
    """Compare initial parameters: every bit."""
    theirs = dict(network.module().named_parameters())
    ours = received(engine("parameters", module=network._asdict(), seed=str(network.seed)))
    if list(ours) != list(theirs):
        yield f"names are {list(ours)}"
    for name in theirs.keys() & ours.keys():
        if not torch.equal(ours[name], theirs[name]):
            yield f"{name} differs"


def normal_differences(
    engine: Engine, seed: int, sizes: Iterable[int] = (3, 2, 48, 1, 37, 5)
) -> Iterator[str]:
    """Compare what `torch.randn` draws, fewer than sixteen numbers and more."""
    torch.manual_seed(seed)
    theirs = [torch.randn(size) for size in sizes]
    ours = received(engine("normal", seed=str(seed), shapes=[[size] for size in sizes]))
    for our, their in zip(ours, theirs, strict=True):
        if not torch.allclose(our, their, rtol=CLOSE, atol=4 * CLOSE):  # the largest are near 4
            yield f"{list(their.shape)}: {our} is not {their}"


def network_differences(engine: Engine, network: Network) -> Iterator[str]:
    """Compare output, last states and all gradients."""
    rnn = network.module()
    D, H_out = 1 + network.bidirectional, network.proj_size or network.hidden_size
    x = torch.randn(network.L, network.N, network.input_size, requires_grad=True)
    widths = [H_out, network.hidden_size][: 1 + (network.mode == "LSTM")]
    make = torch.randn if network.hx_given else torch.zeros
    hx = [make(D * network.num_layers, network.N, width, requires_grad=True) for width in widths]
    with comparisons.onednn(not network.proj_size):  # with a projection it warns that it cannot
        output, last = rnn(x, tuple(hx) if len(hx) > 1 else hx[0])
    results = {"output": output, "h_n": last} if len(hx) == 1 else {"output": output}
    results |= dict(zip(("h_n", "c_n"), last, strict=True)) if len(hx) > 1 else {}
    grads = {name: torch.randn_like(result) for name, result in results.items()}
    used = [name for name in grads if network.loss in ("output and states", _kind(name))]
    parameters = dict(rnn.named_parameters())
    theirs = torch.autograd.grad(
        [results[name] for name in used],
        [x, *hx, *parameters.values()],
        [grads[name] for name in used],
        materialize_grads=True,
    )
    begins: dict[str, Any] = {"output": grads["output"]} if "output" in used else {}
    if "h_n" in used:
        begins["hx"] = [grads[name] for name in used if name != "output"]
    ours = received(
        engine(
            "network",
            mode=network.mode,
            input=x,
            hx=hx if network.hx_given else None,
            parameters=parameters,
            grads=begins,
        )
    )
    forward = dict(zip(results, [ours["output"], *ours["last"]], strict=True))
    yield from apart(forward, results, hx)
    back = ours["back"]
    states = [f"hx[{part}]" for part in range(len(hx))]
    found = {"input": back["input"]} | dict(zip(states, back["hx"], strict=True))
    found |= back["parameters"]
    names = ["input", *states, *parameters]
    yield from apart(found, dict(zip(names, theirs, strict=True)), [grads[name] for name in used])


# Older versions of PyTorch do not look at these, and take what the laboratory refuses.
UNCHECKED = ("input_size", "bias", "batch_first")
NEW = "input_size should be" in inspect.getsource(nn.RNNBase.__init__)


def call_differences(engine: Engine, call: str) -> Iterator[str]:
    """Compare what comes of a constructor call: every shape, or the error, and the warnings."""
    theirs: dict[str, Any]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            module = eval(call, {"nn": nn})
        except Exception as error:  # whatever torch raises is what is compared
            said = str(error).partition(". Did you mean")[0]  # a guess that Python 3.13 adds
            theirs = {"type": type(error).__name__, "message": said}
        else:
            shapes = [[name, list(p.shape)] for name, p in module.named_parameters()]
            theirs = {"shapes": shapes, "warnings": [str(one.message) for one in warned]}
    ours = engine("call", text=call)
    if not NEW and ours.get("message", "").startswith(UNCHECKED):
        return
    if ours != theirs:
        yield f"{call}: {ours}, not {theirs}"


def drawn_differences(engine: Engine, network: Network) -> Iterator[str]:
    """Compare 100 calls, which is quicker than an example for each; only the seed counts."""
    random = Random(network.seed)
    for _ in range(100):
        yield from call_differences(engine, drawn_call(random))


def forward_differences(engine: Engine, network: Network) -> Iterator[str]:
    """Compare what comes of inputs of legal and illegal shapes: output and states, or the error."""
    module = network.module()
    module.batch_first = network.batch_first
    call = f"nn.{module!r}"  # which leaves out what is not said
    N, L, H_in = network.N, network.L, network.input_size
    batched = (N, L, H_in) if network.batch_first else (L, N, H_in)
    shapes: list[tuple[int, ...]] = [batched, (L, H_in), (H_in,), (*batched, 2), ()]
    shapes += [(*batched[:2], H_in + 1), (L, H_in + 1), (0, N, H_in), (N, 0, H_in), (0, H_in)]
    for shape in shapes:
        theirs: dict[str, Any]
        try:
            with comparisons.onednn(not network.proj_size):
                output, last = module(torch.zeros(shape))
        except Exception as error:  # whatever torch raises is what is compared
            theirs = {"type": type(error).__name__, "message": str(error)}
        else:
            states = last if isinstance(last, tuple) else (last,)
            theirs = {"output": list(output.shape), "states": [list(one.shape) for one in states]}
        ours = engine("forward", text=call, size=shape)
        if ours != theirs:
            yield f"{call}, {shape}: {ours}, not {theirs}"


def _kind(name: str) -> str:
    return "output" if name == "output" else "states"


def state_differences(engine: Engine, network: Network) -> Iterator[str]:
    """Compare the gradient of one entry of one state with respect to all states before it."""
    rnn = network.module()
    D, H_out = 1 + network.bidirectional, network.proj_size or network.hidden_size
    count = D * network.num_layers
    x = torch.randn(network.L, network.N, network.input_size)
    widths = [H_out, network.hidden_size][: 1 + (network.mode == "LSTM")]
    hx = [torch.randn(count, network.N, width) for width in widths]
    kept: list[list[Any]] = []  # by direction and time step: the states, each a list

    def remembering(inputs: Any, initial: Any, weights: Any, order: Order) -> tuple[Any, Any]:
        state, states = initial, []
        for projected in order.steps(linear(inputs, weights.weight_ih, weights.bias_ih)):
            state = STEPS[network.mode](projected, state, weights.weight_hh, weights.bias_hh)
            if weights.weight_hr is not None:
                state = linear(state[0], weights.weight_hr), state[1]
            states.append(state)
        ended = states[-1]
        states = states[::-1] if order.reverse else states
        kept.append([list(one) if isinstance(one, tuple) else [one] for one in states])
        return each(lambda *steps: torch.stack(steps), *states), ended

    initial = list(zip(*hx, strict=True)) if len(hx) > 1 else list(hx[0])
    run_network([remembering] * count, x, initial, weights_of(rnn))
    generator = np.random.default_rng(network.seed % 2**64)
    at, t = int(generator.integers(count)), int(generator.integers(network.L))
    part = int(generator.integers(len(hx)))
    chosen = kept[at][t][part]
    entry = tuple(int(generator.integers(size)) for size in chosen.shape)
    theirs = torch.autograd.grad(
        chosen[entry],
        [state for direction in kept for step in direction for state in step],
        allow_unused=True,
        materialize_grads=True,
    )
    seeds: list[Any] = [[None] * D for _ in range(network.num_layers)]
    begin = [torch.zeros(network.L, network.N, width) for width in widths]
    begin[part][t][entry] = 1
    seeds[at // D][at % D] = begin
    parameters = dict(rnn.named_parameters())
    ours = received(
        engine(
            "network",
            mode=network.mode,
            input=x,
            hx=hx,
            parameters=parameters,
            grads={"states": seeds},
        )["back"]["states"]
    )
    places = [
        (direction, step, which)
        for direction in range(count)
        for step in range(network.L)
        for which in range(len(hx))
    ]
    found = {
        f"state {(direction, step, which)}": ours[direction // D][direction % D][which][step]
        for direction, step, which in places
    }
    yield from apart(found, dict(zip(found, theirs, strict=True)))


# -- Properties -----------------------------------------------------------------------------------


@fraction(1 / 8)
@given(st.integers(0, 2**32))
def test_shapes_and_errors_of_calls_are_pytorchs(engine: Engine, seed: int) -> None:
    assert list(drawn_differences(engine, Network("", 0, 0, seed=seed))) == []


@FEWER
@given(networks())
def test_the_shapes_of_results_are_pytorchs(engine: Engine, network: Network) -> None:
    assert list(forward_differences(engine, network)) == []


@FEWER
@given(networks())
def test_a_state_dict_leads_back_to_its_call(engine: Engine, network: Network) -> None:
    parameters = network.module().state_dict()
    for text in (
        "\n".join(f"{name} {tuple(p.shape)}" for name, p in parameters.items()),
        str({f"rnn.{name}": p.shape for name, p in parameters.items()}),
    ):
        again = eval(engine("back", text=text), {"nn": nn}).state_dict()
        assert [*again] == [*parameters]
        assert all(again[name].shape == p.shape for name, p in parameters.items())


@given(networks())
def test_initial_parameters_are_pytorchs_bit_for_bit(engine: Engine, network: Network) -> None:
    assert list(initial_differences(engine, network)) == []


@given(networks())
def test_states_outputs_and_gradients_are_pytorchs(engine: Engine, network: Network) -> None:
    assert list(network_differences(engine, network)) == []


@fraction(1 / 2)
@given(networks(largest=12))
def test_the_gradients_of_all_states_are_autograds(engine: Engine, network: Network) -> None:
    assert list(state_differences(engine, network)) == []


@FEWER
@given(
    strategies.seeds,
    st.lists(st.tuples(st.integers(0, 700), st.floats(-9, 9), st.floats(0, 9)), max_size=3),
)
@example(-628, [(45, 4.0, 2**-7)])  # the last draw is rounded up to the upper bound
def test_random_numbers_are_pytorchs_bit_for_bit(
    engine: Engine, seed: int, draws: list[tuple[int, float, float]]
) -> None:
    torch.manual_seed(seed)
    theirs = [torch.empty(size).uniform_(low, low + width) for size, low, width in draws]
    asked = [[[size], low, low + width] for size, low, width in draws]
    ours = received(engine("uniform", seed=str(seed), shapes=asked))
    assert all(map(torch.equal, ours, theirs))


def test_rand_is_pytorchs(engine: Engine) -> None:
    torch.manual_seed(0)
    theirs = torch.rand(5, 3, 10)
    (ours,) = received(engine("uniform", seed="0", shapes=[[[5, 3, 10], 0, 1]]))
    assert torch.equal(ours, theirs)


@FEWER
@given(strategies.seeds, st.lists(st.integers(0, 70), max_size=6))
def test_normal_numbers_are_pytorchs(engine: Engine, seed: int, sizes: list[int]) -> None:
    assert list(normal_differences(engine, seed, sizes)) == []


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**64])
def test_a_seed_out_of_range_is_refused(engine: Engine, seed: int) -> None:
    with pytest.raises(JSEvalException, match=rf"seed should be in the range .*, got {seed}"):
        engine("uniform", seed=str(seed), shapes=[])


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bias", [True, False])
def test_cells_are_pytorchs(engine: Engine, kind: str, bias: bool) -> None:
    N, H_in, H_out = 3, 10, 20
    for nonlinearity in ("tanh", "relu") if kind == "RNN" else ("",):
        options = {"nonlinearity": nonlinearity} if nonlinearity else {}
        cell = getattr(nn, f"{kind}Cell")(H_in, H_out, bias=bias, **options)
        x, h, c = torch.randn(N, H_in), torch.randn(N, H_out), torch.randn(N, H_out)
        state: Any = [h, c] if kind == "LSTM" else h
        parameters = [*cell.parameters(), *([] if bias else [None, None]), *options.values()]
        ours = received(engine("cell", name=f"{kind.lower()}Cell", args=[x, state, *parameters]))
        theirs = cell(x, state)
        pairs = zip(ours, theirs, strict=True) if kind == "LSTM" else [(ours, theirs)]
        for our, their in pairs:
            assert list(apart({kind: our}, {kind: their})) == []


def test_what_does_not_fit_is_refused(engine: Engine) -> None:
    x, h, weight_ih, weight_hh = map(torch.ones, [(3, 10), (3, 20), (20, 10), (20, 20)])
    for wrong in ([x, h[:1], weight_ih, weight_hh], [x[:, :9], h, weight_ih, weight_hh]):
        with pytest.raises(JSEvalException, match=r"should have shape \(\d+,\d+\), got"):
            engine("cell", name="rnnCell", args=wrong)


# -- Modules --------------------------------------------------------------------------------------


def test_no_floor_imports_from_one_above() -> None:
    pages = {"influence", "language", "mistakes", "step"}  # the mathematics of one page each
    assert {path.stem for path in CORE.glob("*.js")} == {*FLOORS, *pages}
    for path in CORE.glob("*.js"):
        for imported in re.findall(r'from "(.*)";', path.read_text("utf-8")):
            assert imported.startswith("./")
            below = FLOORS if path.stem in pages else FLOORS[: FLOORS.index(path.stem)]
            assert Path(imported).stem in below


def test_floors_are_named_as_in_the_package() -> None:
    named = [floor.removeprefix("_") for floor in unrolled.FLOORS]
    # Python has constructors, and no page with fields.
    floors = [floor for floor in FLOORS if floor not in ("construct", "settings")]
    places = [named.index({"backward": "bptt"}.get(floor, floor)) for floor in floors]
    assert places == sorted(places)


def _files(folder: Path, **texts: str) -> Path:
    for name, text in texts.items():
        (folder / f"{name}.js").write_text(text, "utf-8")
    return folder / f"{next(iter(texts))}.js"


def test_modules_are_joined_in_scopes_of_their_own(tmp_path: Path) -> None:
    entry = _files(
        tmp_path,
        above='import { two } from "./below.js";\nconst own = two * 10;\n'
        'export const all = [own, "// no comment"];\n',
        below="/** @type {number} */\nconst own = 1; /* a remark */\n  // another\n"
        "export const two = /** @type {any} */ (own) + own;\n",
    )
    script = bundle(entry, name="JOINED")
    with MiniRacer() as racer:
        assert racer.eval(f"{script}JSON.stringify(JOINED)") == (
            '{"below":{"two":2},"above":{"all":[20,"// no comment"]}}'
        )
        assert racer.eval(f"{bundle(entry)}typeof own") == "undefined"
    assert "another" not in script
    assert "@type" not in script


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('import { a as b } from "./below.js";', "not understood: import { a as b }"),
        ('import a from "./below.js";', "not understood: import a"),
        ('import * as a from "./below.js";', r"not understood: import \* as a"),
        ('import "./below.js";', 'not understood: import "./below.js"'),
        ('import { a } from "below";', "not understood: import { a }"),
        ('const a = await import("./below.js");', "not understood: import"),
        ("export default 1;", "not understood: export default"),
        ("export { a };", "not understood: export { a }"),
        ('export * from "./below.js";', r"not understood: export \*"),
        ("const a = `\n`;", "a string over lines: const a = `"),
        ("export let a = 1;", "not understood: export let"),
        ('import { a } from "./gone.js";', "imports ./gone.js, which is not there"),
        ('import { c } from "./below.js";', "imports c, not in below.js"),
        ('import { a } from "./circle.js";', "in a circle: above.js -> circle.js -> above.js"),
    ],
)
def test_a_module_that_cannot_be_joined_is_refused(text: str, why: str, tmp_path: Path) -> None:
    circle = 'import { a } from "./above.js";\nexport const b = a;\n'
    below = "export const a = 1;\nconst c = 2;\n"
    entry = _files(tmp_path, above=f"{text}\n", below=below, circle=circle)
    with pytest.raises(NotUnderstoodError, match=why):
        bundle(entry)


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*-lab.js")), ids=lambda path: path.stem)
def test_what_a_page_loads_is_a_script_of_at_most_60_kilobytes(path: Path) -> None:
    script = bundle(path)
    with MiniRacer() as racer:  # which has no page to run it in
        assert racer.eval(f"typeof new Function({json.dumps(script)})") == "function"
    assert len(script.encode()) <= 60_000


@pytest.mark.parametrize(
    "page",
    [
        *("walkthrough/architecture", "walkthrough/one_step", "walkthrough/weight_shapes"),
        *("walkthrough/initialisation", "walkthrough/matrix_multiplication"),
        *("module/lstm", "module/gru", "module/backward"),
    ],
)
def test_a_chapter_has_a_drawing_that_comes_alive(page: str) -> None:
    text = (ROOT / "docs" / f"{page}.md").read_text("utf-8")
    # The button looks for its drawing in the cell above it.
    assert re.search(r"\n```\n\n:::\{alive\} (?:step|shapes)\n:state: \S.*\n\w.*\n:::\n", text)


# -- Mutations ------------------------------------------------------------------------------------


class Mutation(NamedTuple):
    floor: str
    original: str
    mutated: str
    check: Callable[[Engine, Network], Iterator[str]]


INITIAL, NUMBERS, STATES = initial_differences, network_differences, state_differences
CALLS, RESULTS = drawn_differences, forward_differences


def drawn_normal(engine: Engine, network: Network) -> Iterator[str]:
    return normal_differences(engine, network.seed)


SAMPLES = [
    Network("RNN_TANH", 10, 20, 2, bidirectional=True, seed=-1),
    Network("RNN_RELU", 10, 20, 2, seed=2**40 + 1),
    Network("GRU", 10, 20, 2, bidirectional=True, seed=2),
    Network("LSTM", 10, 20, 2, bidirectional=True, proj_size=7, seed=3),
    Network("LSTM", 10, 20, 1, bias=False, batch_first=True, seed=4),
]
MUTATIONS = {
    "the bound of a linear layer": Mutation(
        "shapes", "1 / Math.sqrt(hidden_size)", "Math.sqrt(3) / Math.sqrt(hidden_size)", INITIAL
    ),
    "the logarithm without its minus": Mutation(
        "init", "-2 * Math.log(1 - data[k])", "-2 * Math.log(data[k])", drawn_normal
    ),
    "a cosine for both": Mutation(
        "init", "radius * Math.sin(angle);\n  }", "radius * Math.cos(angle);\n  }", drawn_normal
    ),
    "the last ones drawn once": Mutation(
        "init", "data.set(this.uniform([2 * HALF]).data, count - 2 * HALF);", "", drawn_normal
    ),
    "the second of a pair dropped": Mutation(
        "init", "this.second = radius * Math.sin(angle);", "this.second = null;", drawn_normal
    ),
    "a float64 of other bits": Mutation(
        "init", "this.random() % 2 ** 21", "this.random() % 2 ** 20", drawn_normal
    ),
    "one gate fewer": Mutation(
        "shapes", 'LSTM: ["i", "f", "g", "o"]', 'LSTM: ["i", "f", "o"]', CALLS
    ),
    "a layer that does not see both directions": Mutation(
        "shapes",
        "numDirections(bidirectional) * realHiddenSize(hidden_size, proj_size);",
        "realHiddenSize(hidden_size, proj_size);",
        CALLS,
    ),
    "a layer that sees what is not projected": Mutation(
        "shapes",
        "numDirections(bidirectional) * realHiddenSize(hidden_size, proj_size);",
        "numDirections(bidirectional) * hidden_size;",
        CALLS,
    ),
    "a projection without its transpose": Mutation(
        "shapes", "= [proj_size, hidden_size];", "= [hidden_size, proj_size];", CALLS
    ),
    "a bias always": Mutation("shapes", "if (bias) {", "if (true) {", CALLS),
    "a projection as wide as the state": Mutation(
        "construct",
        "valueOf(proj_size) >= valueOf(hidden_size)",
        "valueOf(proj_size) > valueOf(hidden_size)",
        CALLS,
    ),
    "a size of zero": Mutation("construct", "valueOf(size) <= 0", "valueOf(size) < 0", CALLS),
    "a state for each layer only": Mutation(
        "shapes",
        "const count = numDirections(bidirectional) * num_layers;",
        "const count = num_layers;",
        RESULTS,
    ),
    "batch_first forgotten": Mutation(
        "shapes", "batch_first ? [N, L, features] : [L, N, features]", "[L, N, features]", RESULTS
    ),
    "the high bits of a draw": Mutation(
        "init", "(this.random() % MANTISSA)", "(this.random() >>> 8)", INITIAL
    ),
    "a seed of 31 bits": Mutation("init", "asUintN(32", "asUintN(31", INITIAL),
    "another twist": Mutation("init", "y & 1 ?", "y & 2 ?", INITIAL),
    "another middle": Mutation("init", "MIDDLE = 397", "MIDDLE = 396", INITIAL),
    "tempered otherwise": Mutation("init", "y ^= y >>> 11", "y ^= y >>> 12", INITIAL),
    "a bound that is not rounded": Mutation(
        "init",
        "Math.fround(end - start)",
        "high - low",
        INITIAL,
    ),
    "a linear without its bias": Mutation(
        "arrays", "bias ? Math.fround(sum) + bias.data[column] : sum", "sum", NUMBERS
    ),
    "a weight without its transpose": Mutation(
        "arrays", "weight.data[column * H_in + k]", "weight.data[k * H_in + column]", STATES
    ),
    "tanh for relu": Mutation("cells", "{ tanh, relu }", "{ tanh, relu: tanh }", NUMBERS),
    "bias_hh of an RNN dropped": Mutation(
        "cells",
        "add(linear(h, weight_hh, bias_hh), x_projected)); // (N, H_out)",
        "add(linear(h, weight_hh), x_projected)); // (N, H_out)",
        NUMBERS,
    ),
    "i g f o for i f g o": Mutation("cells", "const [i, f, g, o]", "const [i, g, f, o]", NUMBERS),
    "sigmoid for tanh of the candidate": Mutation("cells", "g: tanh(g)", "g: sigmoid(g)", NUMBERS),
    "a cell state without its tanh": Mutation("cells", "mul(o, tanh(c_t))", "mul(o, c_t)", NUMBERS),
    "the cell state forgotten": Mutation(
        "cells", "add(mul(f, c_before), mul(i, g))", "mul(i, g)", NUMBERS
    ),
    "z for r": Mutation("cells", "const [r, z] =", "const [z, r] =", NUMBERS),
    "no reset": Mutation("cells", "add(n_x, mul(r, m))", "add(n_x, m)", NUMBERS),
    "1 - z for z": Mutation(
        "cells", "add(mul(sub(h, n), z), n)", "add(mul(sub(n, h), z), h)", NUMBERS
    ),
    "a state that is not carried": Mutation(
        "scan",
        "state = step(inputs[t], state);\n    states[t] = state;",
        "states[t] = step(inputs[t], state);",
        NUMBERS,
    ),
    "always forwards": Mutation("scan", "reverse ? L - 1 - t : t", "t", NUMBERS),
    "the cell state projected": Mutation(
        "layers",
        "[w.weight_hr ? linear(h, w.weight_hr) : h, c]",
        "[w.weight_hr ? linear(c, w.weight_hr) : h, c]",
        NUMBERS,
    ),
    "bias_ih dropped": Mutation("layers", "weight_ih, bias_ih);", "weight_ih, null);", NUMBERS),
    "both directions forwards": Mutation("layers", "direction === 1);", "false);", NUMBERS),
    "the initial states of layer 0": Mutation(
        "layers", "part[number * D + direction]", "part[direction]", NUMBERS
    ),
    "the initial state ignored": Mutation(
        "backward",
        "at > 0 ? states[times[at - 1]] : initial",
        "states[times[Math.max(at - 1, 0)]]",
        NUMBERS,
    ),
    "1 - y for 1 - y * y": Mutation("backward", "oneMinus(mul(y, y))", "oneMinus(y)", STATES),
    "the slope of a sigmoid": Mutation("backward", "mul(s, oneMinus(s))", "s", STATES),
    "relu never closed": Mutation("backward", "h.data[k] <= 0 ?", "h.data[k] < 0 ?", NUMBERS),
    "no direct path of a GRU": Mutation(
        "backward", "before: [mul(dh, z)]", "before: [zeros(dh.shape)]", STATES
    ),
    "z of the direct path": Mutation("backward", "sub(h, n)", "sub(n, h)", STATES),
    "the reset gate scales both": Mutation(
        "backward", "cat([dr, dz, dm])", "cat([dr, dz, dn])", NUMBERS
    ),
    "or neither": Mutation(
        "backward", "from_x: cat([dr, dz, dn])", "from_x: cat([dr, dz, dm])", NUMBERS
    ),
    "the gradient of c not through h": Mutation(
        "backward", "dc.data.set(add(dc, mul(mul(d, o), tanhSlope(tanh_c))).data);", "", STATES
    ),
    "i for f": Mutation("backward", "mul(dc, f)", "mul(dc, i)", STATES),
    "c after for c before": Mutation("backward", "mul(mul(dc, c_before)", "mul(mul(dc, c)", STATES),
    "no chain": Mutation(
        "backward", "part === 0 ? add(direct, through) : direct", "direct", STATES
    ),
    "the gradient of the last states forgotten": Mutation(
        "backward", "last && grad.data.set", "!last && grad.data.set", NUMBERS
    ),
    "at the other end": Mutation("backward", "steps[reverse ? 0 : L - 1]", "steps[L - 1]", NUMBERS),
    "the gradient of one direction": Mutation(
        "backward", "below ? add(below, back.inputs) : back.inputs", "back.inputs", NUMBERS
    ),
    "the bias of the input twice": Mutation(
        "backward",
        "bias_hh: weights.bias_hh && sumRows(from_h)",
        "bias_hh: weights.bias_hh && sumRows(from_x)",
        NUMBERS,
    ),
    "states after for states before": Mutation(
        "backward", "h_before[t] = before[0]", "h_before[t] = states[t][0]", NUMBERS
    ),
    "the projected state for the state": Mutation(
        "backward", "h: mul(o, tanh_c)", "h: mul(o, c)", NUMBERS
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, tmp_path: Path) -> None:
    mutation = MUTATIONS[name]
    folder = mutated(tmp_path, mutation.floor, mutation.original, mutation.mutated)
    with MiniRacer() as racer:
        engine = Engine(racer, FLOORS, HARNESS, folder)
        found = (wrong for sample in SAMPLES for wrong in mutation.check(engine, sample))
        wrong = next(found, "")
    assert wrong, f"{mutation.check.__name__} does not notice"


@pytest.mark.parametrize(
    "check",
    [INITIAL, drawn_normal, NUMBERS, STATES, CALLS, RESULTS],
    ids=lambda check: check.__name__,
)
def test_without_a_mutation_nothing_is(check: Any, engine: Engine) -> None:
    assert [found for sample in SAMPLES for found in check(engine, sample)] == []

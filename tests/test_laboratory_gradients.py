"""What the laboratory's page on gradients computes, run in V8, against `torch.autograd`."""

import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from py_mini_racer import JSEvalException, MiniRacer
from torch import Tensor, nn

from tests import strategies
from tests.laboratory import CLOSE, Engine, mutated
from tests.strategies import fraction
from tests.test_laboratory import Network

H_IN = 10
GATES = {"RNN_TANH": "h", "RNN_RELU": "h", "GRU": "rzn", "LSTM": "ifgo"}
KEEPING = {"GRU": 1, "LSTM": 1}  # the place of the gate that keeps the state
WEIGHTS = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"]
QR = 1e-4  # PyTorch decomposes in float32, and small matrices may be nearly singular

# Here every number is a double.
HARNESS = """
const doubles = (network) => Object.fromEntries(Object.entries(network).map(([name, value]) =>
  [name, Array.isArray(value) ? Float64Array.from(value) : value]));
const setting_of = (setting) => ({ ...setting, seed: BigInt(setting.seed) });
const { influence: it } = LAB;
Object.assign(RUN, {
  draw: ({ setting }) => it.drawNetwork(setting_of(setting)),
  check: ({ setting }) => it.checkSetting(setting_of(setting)),
  radii: ({ network }) => it.spectralRadii(doubles(network)),
  orthogonal: ({ matrix, n }) => it.orthogonal(Float64Array.from(matrix), n),
  table: ({ network, of }) => {
    const steps = it.run(doubles(network));
    return steps.map((_, k) => it.influence(steps, network.H_out, k + 1, of));
  },
  below: ({ curve, share }) => it.belowFrom(Float64Array.from(curve), share),
  factor: ({ curve }) => it.stepFactor(Float64Array.from(curve)),
  median: ({ numbers }) => it.median(numbers),
});
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with MiniRacer() as racer:  # ends its thread
        yield Engine(racer, ["influence"], HARNESS)


# -- What is drawn --------------------------------------------------------------------------------


class Setting(NamedTuple):
    """What a reader sets, with the names of the script."""

    mode: str = "RNN_TANH"
    H_out: int = 6
    L: int = 7
    seed: int = 0
    start: str = "uniform"
    radius: float | None = None
    keep: float | None = None
    scale: float = 1

    def sent(self) -> dict[str, Any]:
        return self._asdict() | {"seed": str(self.seed)}

    @torch.no_grad()
    def drawn(self) -> tuple[Any, Tensor]:
        """Do what the code does that the page lets a reader copy."""
        H_out = self.H_out
        rnn: Any = Network(self.mode, H_IN, H_out, seed=self.seed).module()
        if self.start == "orthogonal":
            for block in rnn.weight_hh_l0.split(H_out):
                nn.init.orthogonal_(block)
        x = torch.randn(self.L, H_IN).double() * self.scale
        rnn.double()
        if self.start == "identity":
            rnn.weight_hh_l0.copy_(torch.eye(H_out))
            rnn.bias_ih_l0.zero_(), rnn.bias_hh_l0.zero_()
        if self.radius is not None:
            for block in rnn.weight_hh_l0.split(H_out):
                block *= self.radius / largest_eigenvalue(block)
        if self.keep is not None:
            rnn.bias_ih_l0.view(-1, H_out)[KEEPING[self.mode]] = self.keep
            rnn.bias_hh_l0.view(-1, H_out)[KEEPING[self.mode]] = 0
        return rnn, x


def largest_eigenvalue(matrix: Tensor) -> float:
    return torch.linalg.eigvals(matrix).abs().max().item()


def network_of(setting: Setting) -> dict[str, Any]:
    """Give what torch drew, as the script takes it."""
    rnn, x = setting.drawn()
    numbers = {name: getattr(rnn, f"{name}_l0").flatten().tolist() for name in WEIGHTS}
    numbers["x"] = x.flatten().tolist()
    return numbers | {"mode": setting.mode, "H_in": H_IN, "H_out": setting.H_out}


@st.composite
def drawn_settings(draw: st.DrawFn) -> Setting:
    mode = draw(st.sampled_from(list(GATES)))
    gated = mode in KEEPING
    return Setting(
        mode=mode,
        H_out=draw(st.integers(2, 12)),
        L=draw(st.integers(2, 9)),
        seed=draw(strategies.seeds),
        start=draw(st.sampled_from(["uniform", "orthogonal", *([] if gated else ["identity"])])),
        radius=draw(st.none() | st.floats(0.2, 2)),
        keep=draw(st.none() | st.floats(-2, 5)) if gated else None,
        scale=draw(st.floats(0, 3)),
    )


# -- What differs ---------------------------------------------------------------------------------


def near_by(ours: list[float], theirs: list[float], rtol: float, atol: float) -> bool:
    one, other = (torch.tensor(each, dtype=torch.float64) for each in (ours, theirs))
    return torch.allclose(one, other, rtol=rtol, atol=atol)


def network_differences(engine: Engine, setting: Setting) -> Iterator[str]:
    """Compare the network: the uniform draw in every bit, all else to what PyTorch rounds."""
    theirs, ours = network_of(setting), engine("draw", setting=setting.sent())
    if list(ours) != ["mode", "H_in", "H_out", *WEIGHTS, "x"]:
        yield f"the parts are {list(ours)}"
    for name, their in theirs.items():
        our = ours[name]
        if name == "weight_hh" and (setting.start == "orthogonal" or setting.radius is not None):
            near = QR if setting.start == "orthogonal" else CLOSE
            same = near_by(our, their, near, near)
        elif name == "x":
            same = near_by(our, their, CLOSE, 4 * CLOSE * setting.scale)  # the largest are near 4
        else:
            same = our == their
        if not same:
            yield f"{name} differs"


def expected_table(setting: Setting, of: str, first: int = 1) -> list[list[float]]:
    """Compute every entry with autograd: for each step from `first` on, by distance."""
    rnn, x = setting.drawn()
    lstm, H_out = setting.mode == "LSTM", setting.H_out
    inputs = x.requires_grad_()[:, None].unbind(0)  # (1, H_IN) each
    states = [torch.zeros(1, H_out).double().requires_grad_() for _ in range(1 + lstm)]
    for x_t in inputs:
        states += rnn(x_t, tuple(states[-2:]))[1] if lstm else [rnn(x_t, states[-1])[1]]
    eye = torch.eye(H_out).double()[:, None]  # (H_out, 1, H_out)
    table = []
    for t in range(first, setting.L + 1):
        at = t * (1 + lstm)
        every = states[: at + 1 + lstm] if of == "state" else list(inputs[:t])
        found = torch.autograd.grad(
            states[at], every, eye, retain_graph=True, is_grads_batched=True, materialize_grads=True
        )
        squares = torch.stack([J.square().sum() for J in found])
        if of == "state":
            squares = squares.view(-1, 1 + lstm).sum(1)
        table.append((squares / H_out).sqrt().flip(0).tolist())
    return table


def table_differences(engine: Engine, setting: Setting) -> Iterator[str]:
    """Compare each entry of the map, relative to itself, which is stricter than to the largest."""
    network = network_of(setting)
    for of in ("state", "input"):
        ours, theirs = engine("table", network=network, of=of), expected_table(setting, of)
        if [len(row) for row in ours] != [len(row) for row in theirs]:
            yield f"{of}: the rows have lengths {[len(row) for row in ours]}"
            return
        for t, (our, their) in enumerate(zip(ours, theirs, strict=True), start=1):
            for distance, (one, other) in enumerate(zip(our, their, strict=True)):
                if not math.isclose(one, other, rel_tol=CLOSE, abs_tol=1e-200):
                    yield f"{of}, h_{t}, {distance} back: {one}, not {other}"


def radius_differences(engine: Engine, setting: Setting) -> Iterator[str]:
    """Compare the spectral radius of each gate's block with the eigenvalues."""
    blocks = setting.drawn()[0].weight_hh_l0.detach().split(setting.H_out)
    for ours, block in zip(engine("radii", network=network_of(setting)), blocks, strict=True):
        theirs = largest_eigenvalue(block)
        if not math.isclose(ours, theirs, rel_tol=CLOSE):
            yield f"the spectral radius is {ours}, not {theirs}"


def summary_differences(engine: Engine, setting: Setting) -> Iterator[str]:
    """Compare what is said about curves, with the definitions written out."""
    (curve,) = expected_table(setting, "input", setting.L)
    for share in (0.5, 1e-1, 1e-3):
        after = [d for d in range(len(curve)) if all(v < share * curve[0] for v in curve[d:])]
        ours, theirs = engine("below", curve=curve, share=share), min(after, default=None)
        if ours != theirs:
            yield f"below {share} from {ours}, not {theirs}"
    last = len(curve) - 1
    first = math.floor(last / 5 + 0.5)
    factor = 0 if curve[last] == 0 else (curve[last] / curve[first]) ** (1 / (last - first))
    if not math.isclose(ours := engine("factor", curve=curve), factor, rel_tol=CLOSE):
        yield f"a step leaves {ours}, not {factor}"
    numbers = [int(1e6 * value) for value in curve]
    for some in (numbers, numbers[:2]):
        if engine("median", numbers=some) != statistics.median(some):
            yield "the median differs"


# -- Properties -----------------------------------------------------------------------------------


@fraction(1 / 8)
@given(drawn_settings())
def test_the_network_is_pytorchs(engine: Engine, setting: Setting) -> None:
    assert list(network_differences(engine, setting)) == []


@fraction(1 / 8)
@given(drawn_settings())
def test_every_entry_of_the_map_is_autograds(engine: Engine, setting: Setting) -> None:
    assert list(table_differences(engine, setting)) == []


@fraction(1 / 8)
@given(drawn_settings())
def test_the_spectral_radius_is_the_largest_eigenvalue(engine: Engine, setting: Setting) -> None:
    assert list(radius_differences(engine, setting)) == []


@fraction(1 / 8)
@given(drawn_settings())
def test_what_is_said_about_a_curve(engine: Engine, setting: Setting) -> None:
    assert list(summary_differences(engine, setting)) == []


@pytest.mark.parametrize("mode", GATES)
def test_a_long_way_back(engine: Engine, mode: str) -> None:
    vanishing = Setting(mode, H_out=16, L=40)
    exploding = vanishing._replace(
        start="orthogonal", radius=2, keep=5 if mode in KEEPING else None
    )
    for setting in (vanishing, exploding):
        assert list(table_differences(engine, setting)) == []
    left, grown = (expected_table(one, "state", 40)[0][-1] for one in (vanishing, exploding))
    assert left < 1e-6
    assert grown > 1e5 * left


def test_where_the_start_of_pytorch_leaves_a_thousandth(engine: Engine) -> None:
    found = []
    for seed in range(6):
        network = engine("draw", setting=Setting(H_out=32, L=40, seed=seed).sent())
        ours = engine("below", curve=engine("table", network=network, of="state")[-1], share=1e-3)
        (curve,) = expected_table(Setting(H_out=32, L=40, seed=seed), "state", 40)
        assert curve[ours] < 1e-3 <= curve[ours - 1]
        found.append(ours)
    assert engine("median", numbers=found) == statistics.median(found)


def test_orthogonal_is_the_factor_with_a_positive_diagonal(engine: Engine) -> None:
    torch.manual_seed(0)
    for n in (1, 2, 7, 64):
        matrix = torch.randn(n, n, dtype=torch.float64)
        q, r = torch.linalg.qr(matrix)
        theirs = q * r.diagonal().sign()
        ours = torch.tensor(engine("orthogonal", matrix=matrix.flatten().tolist(), n=n))
        assert torch.allclose(ours.view(n, n).double(), theirs, atol=1e-6)


def test_a_matrix_without_eigenvalues_but_zero_has_radius_zero(engine: Engine) -> None:
    network = {"mode": "RNN_TANH", "H_out": 2, "weight_hh": [0, 1, 0, 0]}
    assert engine("radii", network=network) == [0]


def test_a_median_of_what_is_missing(engine: Engine) -> None:
    assert engine("median", numbers=[3, None, 1]) == 3
    assert engine("median", numbers=[None, None, 1]) is None
    assert engine("median", numbers=[2, None]) is None


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (Setting(mode="RNN"), "mode should be RNN_TANH or RNN_RELU or .* got RNN"),
        (Setting(start="zeros"), "start should be uniform or .* got zeros"),
        (Setting(mode="GRU", start="identity"), "start=identity is for a plain RNN, got GRU"),
        (Setting(H_out=65), "H_out should be a whole number from 1 to 64, got 65"),
        (
            Setting(H_out=1.5),  # type: ignore[arg-type]  # which is refused
            "H_out should be a whole number from 1 to 64, got 1.5",
        ),
        (Setting(L=1), "L should be a whole number from 2 to 100, got 1"),
        (Setting(radius=0), "radius should be a number from 0.2 to 2, got 0"),
        (Setting(mode="LSTM", keep=6), "bias should be a number from -2 to 5, got 6"),
        (Setting(keep=1), "bias is for a gate of LSTM or GRU, got RNN_TANH"),
        (Setting(scale=-1), "scale should be a number from 0 to 3, got -1"),
    ],
)
def test_a_setting_that_cannot_be_is_refused(engine: Engine, wrong: Setting, why: str) -> None:
    with pytest.raises(JSEvalException, match=why):
        engine("check", setting=wrong.sent())


@fraction(1 / 8)
@given(drawn_settings())
def test_a_setting_that_can_be_is_not(engine: Engine, setting: Setting) -> None:
    assert engine("check", setting=setting.sent()) is None


# -- Mutations ------------------------------------------------------------------------------------


class Mutation(NamedTuple):
    original: str
    mutated: str
    check: Callable[[Engine, Setting], Iterator[str]]


DRAWN, TABLE, SUMMARY = network_differences, table_differences, summary_differences
SAMPLES = [
    Setting("RNN_TANH", radius=1.7, L=9),
    Setting("RNN_RELU", start="identity", seed=1),
    Setting("GRU", keep=-1.0, scale=0.5, L=11),
    Setting("LSTM", keep=2.0, seed=3),
    Setting("LSTM", start="orthogonal", H_out=5, seed=4),
]
MUTATIONS = {
    "scaled twice": Mutation("value * factor", "value * factor * factor", DRAWN),
    "the norm for the radius": Mutation("SQUARINGS = 26", "SQUARINGS = 1", DRAWN),
    "no exponent": Mutation("Math.log(norm) / k", "Math.log(norm)", radius_differences),
    "biases that stay": Mutation("    bias_hh.fill(0);\n", "", DRAWN),
    "both biases": Mutation("bias_hh.fill(0, from", "bias_hh.fill(keep, from", DRAWN),
    "another gate": Mutation('{ LSTM: "f", GRU: "z" }', '{ LSTM: "g", GRU: "r" }', DRAWN),
    "an input that is not scaled": Mutation("=> value * scale", "=> value", DRAWN),
    "columns that are not orthogonal": Mutation("value - share * before[k]", "value", DRAWN),
    "columns for rows": Mutation(
        "columns[k % n][Math.floor(k / n)]", "columns[Math.floor(k / n)][k % n]", DRAWN
    ),
    "a state that stays": Mutation("    state = made.state;\n", "", TABLE),
    "no input": Mutation("weight[row * columns + k] * vector[k]", "0", TABLE),
    "1 - y for 1 - y * y": Mutation("h: h.map((y) => 1 - y * y)", "h: h.map((y) => 1 - y)", TABLE),
    "relu never closed": Mutation("(y > 0 ? 1 : 0)", "1", TABLE),
    "columns scaled for rows": Mutation(
        "factor[Math.floor(k / columns)] * weight", "factor[k % H_out] * weight", TABLE
    ),
    "the first gate for all": Mutation("GATES[mode].indexOf(gate) * out.length", "0", TABLE),
    "no direct path of a GRU": Mutation("(through.state[k * H_out + k] += value)", "value", TABLE),
    "z without its sign": Mutation("(h[k] - n[k]) * value", "(n[k] - h[k]) * value", TABLE),
    "r forgotten": Mutation("n: candidate.map((value, k) => value * r[k])", "n: candidate", TABLE),
    "the reset gate scales the input": Mutation("{ ...slopes, n: candidate }", "slopes", TABLE),
    "m forgotten": Mutation("candidate[k] * m[k] * value", "candidate[k] * value", TABLE),
    "c after for c before": Mutation(
        "c_before[k] * value * (1 - value)", "c[k] * value * (1 - value)", TABLE
    ),
    "i for f": Mutation("kept: f,", "kept: i,", TABLE),
    "the cell state without its tanh": Mutation(
        "tanh_c[k] * value * (1 - value)", "c[k] * value * (1 - value)", TABLE
    ),
    "a slope of the cell state": Mutation("value * (1 - tanh_c[k] ** 2)", "value", TABLE),
    "i and g confused": Mutation(
        "i: i.map((value, k) => g[k]", "i: i.map((value, k) => i[k]", TABLE
    ),
    "the cell state forgotten": Mutation("sizes.push(size(dh, dc))", "sizes.push(size(dh))", TABLE),
    "not completed": Mutation("dc[k] += dh[k] * to_cell", "dc[k] = dh[k] * to_cell", TABLE),
    "nothing kept": Mutation("dc[k] *= kept[k % H_out]", "dc[k] = 0", TABLE),
    "kept by rows": Mutation(
        "dc[k] *= kept[k % H_out]", "dc[k] *= kept[Math.floor(k / H_out)]", TABLE
    ),
    "the wrong step": Mutation("steps[s - 1]", "steps[t - 1]", TABLE),
    "a sum for a mean": Mutation("Math.sqrt(sum / H_out)", "Math.sqrt(sum)", TABLE),
    "below at once": Mutation("< share * curve[0]", "< share", SUMMARY),
    "one too few": Mutation(
        "return from < curve.length ? from : null",
        "return from < curve.length ? from - 1 : null",
        SUMMARY,
    ),
    "another average": Mutation("Math.round(last / 5)", "0", SUMMARY),
    "the upper median": Mutation(
        "sorted[Math.ceil(half) - 1]", "sorted[Math.floor(half)]", SUMMARY
    ),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, tmp_path: Path) -> None:
    mutation = MUTATIONS[name]
    folder = mutated(tmp_path, "influence", mutation.original, mutation.mutated)
    with MiniRacer() as racer:
        engine = Engine(racer, ["influence"], HARNESS, folder)
        found = (wrong for sample in SAMPLES for wrong in mutation.check(engine, sample))
        assert next(found, ""), f"{mutation.check.__name__} does not notice"


@pytest.mark.parametrize(
    "check", [DRAWN, TABLE, SUMMARY, radius_differences], ids=lambda check: check.__name__
)
def test_without_a_mutation_nothing_is(check: Any, engine: Engine) -> None:
    assert [found for sample in SAMPLES for found in check(engine, sample)] == []

"""The laboratory's mistakes, run in V8, against the same mistakes written with torch."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from py_mini_racer import JSEvalException, MiniRacer
from torch import Tensor, nn
from torch.nn.functional import linear
from torch.nn.utils.rnn import pack_padded_sequence

import unrolled
from tests import strategies
from tests.laboratory import CLOSE, CORE, ROOT, Engine, mutated, received
from tests.strategies import fraction

HARNESS = """
const seeded = (setting) => ({ ...setting, seed: BigInt(setting.seed) });
Object.assign(RUN, {
  drift: ({ setting, mistake }) => LAB.mistakes.drift(seeded(setting), mistake),
  input: ({ setting, bidirectional }) => {
    const { kind, N, L, H_in, H_out, seed } = seeded(setting);
    const sizes = { input_size: H_in, hidden_size: H_out, num_layers: 1, proj_size: 0, bias: true };
    const mode = kind === "RNN" ? "RNN_TANH" : kind;
    const generator = new LAB.init.Generator(seed);
    LAB.init.uniformParameters({ mode, ...sizes, bidirectional }, generator);
    return generator.normal([L, N, H_in]);
  },
  table: () => JSON.parse(JSON.stringify(LAB.mistakes.MISTAKES)),
  lines: ({ setting, mistake }) => LAB.mistakes.MISTAKES[mistake].lines(setting),
});
"""


class Mistakes(Engine):
    """The joined scripts in an engine, and the table of mistakes."""

    def __init__(self, racer: MiniRacer, folder: Path = CORE) -> None:
        super().__init__(racer, ["mistakes"], HARNESS, folder)
        self.table: dict[str, dict[str, Any]] = self("table")

    def drift(self, setting: "Setting", mistake: str) -> dict[str, Any]:
        found: dict[str, Any] = self("drift", setting=setting.sent(), mistake=mistake)
        return found

    def input(self, setting: "Setting", *, bidirectional: bool) -> Tensor:
        x: Tensor = received(self("input", setting=setting.sent(), bidirectional=bidirectional))
        return x


@pytest.fixture(scope="module")
def engine() -> Iterator[Mistakes]:
    with MiniRacer() as racer:  # ends its thread
        yield Mistakes(racer)


class Setting(NamedTuple):
    kind: str
    N: int = 3
    L: int = 5
    H_in: int = 4
    H_out: int = 4
    seed: int = 0

    def sent(self) -> dict[str, Any]:
        return self._asdict() | {"seed": str(self.seed)}


@st.composite
def drawn_settings(draw: st.DrawFn) -> Setting:
    H_in = draw(st.integers(1, 7))
    return Setting(
        kind=draw(st.sampled_from(["RNN", "GRU", "LSTM"])),
        N=draw(st.integers(1, 5)),
        L=draw(st.integers(1, 9)),
        H_in=H_in,
        H_out=draw(st.just(H_in) | st.integers(1, 7)),
        seed=draw(strategies.seeds),
    )


# -- The same mistakes with torch -----------------------------------------------------------------


class Parameters(NamedTuple):
    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor


def loop(
    kind: str,
    p: Parameters,
    x: Tensor,
    *,
    order: str = "",
    gate_of: Callable[[Tensor], Tensor] = torch.sigmoid,
    forget: float = 0,
    carried: bool = True,
    reset: str = "after",
    kept: Callable[[Tensor], Tensor] = lambda z: z,
) -> Tensor:
    """Go through a sequence as a textbook does."""
    H = p.weight_hh.shape[-1]
    h = c = torch.zeros(x.shape[1], H)
    states = []
    for x_t in x:
        if not carried:
            h = c = torch.zeros(x.shape[1], H)
        from_x, from_h = linear(x_t, p.weight_ih, p.bias_ih), linear(h, p.weight_hh, p.bias_hh)
        if kind == "RNN":
            h = torch.tanh(from_x + from_h)
        elif kind == "LSTM":
            gates = dict(zip(order or "ifgo", (from_x + from_h).chunk(4, 1), strict=True))
            i, f, o = gate_of(gates["i"]), gate_of(gates["f"] + forget), gate_of(gates["o"])
            c = f * c + i * torch.tanh(gates["g"])
            h = o * torch.tanh(c)
        else:
            of_x = dict(zip(order or "rzn", from_x.chunk(3, 1), strict=True))
            of_h = dict(zip(order or "rzn", from_h.chunk(3, 1), strict=True))
            r, z = gate_of(of_x["r"] + of_h["r"]), gate_of(of_x["z"] + of_h["z"])
            inner = r * of_h["n"]
            if reset == "before":
                inner = linear(r * h, p.weight_hh, p.bias_hh)[:, -H:]
            z = kept(z)
            h = (1 - z) * torch.tanh(of_x["n"] + inner) + z * h
        states.append(h)
    return torch.stack(states)


def stored(weight: Tensor, H: int) -> Tensor:
    return torch.cat([block.T for block in weight.chunk(len(weight) // H)])


def reshaped(weight: Tensor) -> Tensor:
    return weight.reshape(weight.shape[1], weight.shape[0]).T


def hard_sigmoid(a: Tensor) -> Tensor:
    return (a / 5 + 0.5).clamp(0, 1)


def wrong_of(s: Setting, rnn: nn.RNNBase, x: Tensor, mistake: str) -> tuple[Tensor, Tensor]:
    """Give PyTorch's numbers, and those with the mistake."""
    first = [getattr(rnn, f"{name}_l0") for name in Parameters._fields]
    p = Parameters(*first)
    W_ih, W_hh, b_ih, b_hh = p
    nothing = torch.zeros_like(b_ih)
    if mistake == "last_output":
        both = [rnn(x[: t + 1]) for t in range(s.L)]
        last = [h_n[0] if s.kind == "LSTM" else h_n for _, h_n in both]
        right = torch.stack([torch.cat([*h_n], dim=1) for h_n in last])
        return right, torch.stack([output[-1] for output, _ in both])
    output = rnn(x)[0]
    if mistake == "padding":
        lengths = torch.tensor([-(-s.L * (s.N - n) // s.N) for n in range(s.N)])
        padded = x * (torch.arange(s.L)[:, None, None] < lengths[None, :, None])
        rows = []
        for t in range(s.L):
            h_n = rnn(pack_padded_sequence(x[: t + 1], lengths.clamp(max=t + 1)))[1]
            rows.append((h_n[0] if s.kind == "LSTM" else h_n)[0])
        return torch.stack(rows), rnn(padded)[0]
    if mistake == "batch_time":
        batch = x.transpose(0, 1).contiguous()
        return output, rnn(batch)[0].transpose(0, 1)
    if mistake == "view":
        batch = x.transpose(0, 1).contiguous()
        return output, rnn(batch.view(s.L, s.N, s.H_in))[0]
    changed: dict[str, tuple[Parameters, dict[str, Any]]] = {
        "one_state": (p, {"carried": False}),
        "hh_stored": (p._replace(weight_hh=stored(W_hh, s.H_out)), {}),
        "ih_stored": (p._replace(weight_ih=stored(W_ih, s.H_out)), {}),
        "hh_reshaped": (p._replace(weight_hh=reshaped(W_hh)), {}),
        "ih_reshaped": (p._replace(weight_ih=reshaped(W_ih)), {}),
        "onnx": (p, {"order": "iofg"}),
        "tensorflow": (p, {"order": "igfo"}),
        "keras_gru": (p, {"order": "zrn"}),
        "no_bias_ih": (p._replace(bias_ih=nothing), {}),
        "no_bias_hh": (p._replace(bias_hh=nothing), {}),
        "no_biases": (p._replace(bias_ih=nothing, bias_hh=nothing), {}),
        "biases_twice": (p._replace(bias_ih=2 * b_ih, bias_hh=2 * b_hh), {}),
        "merged": (p._replace(bias_ih=b_ih + b_hh, bias_hh=nothing), {}),
        "hard_sigmoid": (p, {"gate_of": hard_sigmoid}),
        "forget_bias": (p, {"forget": 1}),
        "reset_before": (p, {"reset": "before"}),
        "z_exchanged": (p, {"kept": lambda z: 1 - z}),
    }
    parameters, options = changed[mistake]
    return output, loop(s.kind, parameters, x, **options)


def made(
    engine: Mistakes, setting: Setting, *, bidirectional: bool = False
) -> tuple[nn.RNNBase, Tensor]:
    """Draw a module and an input, whose last bits are the laboratory's: torch's vary."""
    torch.manual_seed(setting.seed)
    kind = getattr(nn, setting.kind)
    rnn: nn.RNNBase = kind(setting.H_in, setting.H_out, bidirectional=bidirectional)
    x = engine.input(setting, bidirectional=bidirectional)
    drawn = torch.randn(setting.L, setting.N, setting.H_in)
    torch.testing.assert_close(x, drawn, rtol=CLOSE, atol=4 * CLOSE)
    return rnn, x


def differences(engine: Mistakes, setting: Setting, mistake: str) -> Iterator[str]:
    """Compare PyTorch's numbers, those with the mistake, and how far they are apart."""
    rnn, x = made(engine, setting, bidirectional=mistake == "last_output")
    with torch.no_grad():
        right, wrong = wrong_of(setting, rnn, x, mistake)
    found = engine.drift(setting, mistake)
    largest = right.abs().max()
    off = (wrong - right).abs().amax(dim=(1, 2))
    ours = {name: received(found[name]) for name in ("right", "wrong")}
    ours |= {name: torch.tensor(found[name]) for name in ("off", "largest")}
    theirs = {"right": right, "wrong": wrong, "off": off, "largest": largest}
    for name, their in theirs.items():
        if ours[name].shape != their.shape:
            yield f"{mistake}, {name}: {list(ours[name].shape)}, not {list(their.shape)}"
            return
        scale = max(largest, wrong.abs().max())
        if not (apart := (ours[name] - their).abs().max()) <= CLOSE * scale:
            yield f"{setting}, {mistake}, {name}: apart by {apart:.2g}"


def possible(engine: Mistakes, setting: Setting) -> list[str]:
    """Name the mistakes that raise no error with this setting."""
    known = [name for name, one in engine.table.items() if setting.kind in one["kinds"]]
    return [name for name in known if name != "ih_stored" or setting.H_in == setting.H_out]


@fraction(1 / 8)
@given(drawn_settings())
def test_each_mistake_gives_the_numbers_that_it_gives_in_torch(
    engine: Mistakes, setting: Setting
) -> None:
    for mistake in possible(engine, setting):
        assert list(differences(engine, setting, mistake)) == []


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_each_mistake_is_seen_where_the_page_begins(engine: Mistakes, kind: str) -> None:
    setting = Setting(kind, 3, 12, 5, 5)
    for mistake in possible(engine, setting):
        found = engine.drift(setting, mistake)
        assert found["off"][-1] > 0.01 * found["largest"], mistake


@pytest.mark.parametrize("mistake", ["view", "padding"])
def test_one_sequence_hides_what_mixes_sequences(engine: Mistakes, mistake: str) -> None:
    assert not any(engine.drift(Setting("GRU", N=1), mistake)["off"])


def test_what_the_shapes_catch_is_refused_in_torchs_words(engine: Mistakes) -> None:
    setting = Setting("RNN", 3, 5, 4, 5)
    rnn, x = made(engine, setting)
    weight_ih, *_ = rnn.parameters()
    with pytest.raises(RuntimeError) as error:
        x[0] @ weight_ih
    with pytest.raises(JSEvalException) as refused:
        engine.drift(setting, "ih_stored")
    assert f"RuntimeError: {error.value}." in str(refused.value)


@pytest.mark.parametrize(
    ("setting", "mistake", "why"),
    [
        (Setting("GRU"), "onnx", "mistake for GRU should be one_state or .* got onnx"),
        (Setting("CNN"), "onnx", "module should be RNN or GRU or LSTM, got CNN"),
        (Setting("LSTM", N=0), "onnx", "N should be a whole number from 1 to 8, got 0"),
        (Setting("LSTM", L=1000), "onnx", "L should be a whole number from 1 to 48, got 1000"),
        (Setting("LSTM", seed=2**64), "onnx", "seed should be in the range"),
    ],
)
def test_what_is_not_understood_is_refused(
    engine: Mistakes, setting: Setting, mistake: str, why: str
) -> None:
    with pytest.raises(JSEvalException, match=why):
        engine.drift(setting, mistake)


def test_names_and_sentences_are_those_of_diagnose(engine: Mistakes) -> None:
    known = {mistake.name: mistake for mistake in unrolled.MISTAKES}
    titles = (ROOT / "docs/practice/errors_silent.md").read_text("utf-8")
    for one in engine.table.values():
        if one["name"] in known:
            about = known[one["name"]]
            first = about.says.partition(". ")[0].partition(", as ")[0].rstrip(".")
            assert first.partition(" starts from")[0] in one["says"]
            for kind in about.needs & {"GRU", "LSTM"}:
                assert one["kinds"] == [kind]
        else:
            heading = one["name"].replace("output[:, -1]", "`output[:, -1]`")
            assert f"### {heading}\n" in titles


def test_the_sections_that_it_links_to_are_there(engine: Mistakes) -> None:
    for one in engine.table.values():
        page, label = one["see"].split(".html#")
        assert f"\n({label})=\n" in (ROOT / f"docs/{page}.md").read_text("utf-8")


def test_the_links_of_the_page_name_mistakes(engine: Mistakes) -> None:
    page = (ROOT / "docs/laboratory/mistakes.md").read_text("utf-8")
    links = re.findall(r'href="#module=(\w+)&amp;mistake=(\w+)">([^<]*)</a>', page)
    assert len(links) > 10
    for kind, mistake, text in links:
        assert kind in engine.table[mistake]["kinds"]
        assert text in (engine.table[mistake]["name"], "breaks it")


def test_the_lines_are_python(engine: Mistakes) -> None:
    for name, one in engine.table.items():
        for kind in one["kinds"]:
            right, wrong = engine("lines", setting=Setting(kind).sent(), mistake=name)
            assert right != wrong
            compile(right, name, "exec")
            compile(wrong, name, "exec")


# -- Mutations ------------------------------------------------------------------------------------

MUTATIONS = {
    "the state of another step": ("zeros(part.shape))", "part)"),
    "blocks as they are": ("blocks.map(transpose)", "blocks"),
    "one block for all": ("inBlocks(weight, gatesOf(setting)", "inBlocks(weight, 1"),
    "a transpose for a reshape": (
        "transpose({ shape: [columns, rows], data })",
        "({ shape: [rows, columns], data })",
    ),
    "the inverse order": (
        "blocks[order.indexOf(gate)]",
        "blocks[gates.indexOf(order[gates.indexOf(gate)])]",
    ),
    "the biases not read": ("bias_hh: bias_hh && read(bias_hh)", "bias_hh"),
    "added once": ("=> a && add(a, a)", "=> a"),
    "merged and kept": (
        "bias_ih: sum(bias_ih, bias_hh), bias_hh: null",
        "bias_ih: sum(bias_ih, bias_hh)",
    ),
    "another gate": ("Math.floor(k / H_out) === 1", "Math.floor(k / H_out) === 0"),
    "another slope": ("Math.max(0, 0.2 * a + 0.5)", "Math.max(0, a / 6 + 0.5)"),
    "no limit above": ("Math.min(1, Math.max(0, 0.2 * a + 0.5))", "Math.max(0, 0.2 * a + 0.5)"),
    "a right forget gate": ("mul(gate(f), c)", "mul(sigmoid(f), c)"),
    "a right output gate": ("[mul(gate(o), tanh(c_t)), c_t]", "[mul(sigmoid(o), tanh(c_t)), c_t]"),
    "reset after": ("? split(linear(mul(r, h)", "? split(linear(mul(z, h)"),
    "kept for taken": (
        "[oneMinus(z), z] : [z, oneMinus(z)]",
        "[z, oneMinus(z)] : [oneMinus(z), z]",
    ),
    "not exchanged back": (
        "exchange(run(made, { x: exchange(made.x) }))",
        "run(made, { x: exchange(made.x) })",
    ),
    "right through a view": ("data: exchange(x).data", "data: x.data"),
    "the last states at the first step": ("unbind(output)[t]]", "unbind(output)[0]]"),
    "one direction": ("cat(unbind(hx[0]))", "cat([unbind(hx[0])[0], unbind(hx[0])[0]])"),
    "a length too many": ("t >= lengths[n]", "t > lengths[n]"),
    "not padded": ("padding(t, n) || unbind(unbind", "unbind(unbind"),
    "lengths in another order": ("(L * (N - n)) / N", "(L * (n + 1)) / N"),
    "a bias dropped": (
        "reweighted(() => ({ bias_hh: null }))",
        "reweighted(() => ({ bias_ih: null }))",
    ),
    "the mean difference": (
        "Math.max(most, Math.abs(value - mine[t].data[k]))",
        "most + Math.abs(value - mine[t].data[k])",
    ),
    "the largest of ours": ("for (const value of right.data)", "for (const value of wrong.data)"),
}  # fmt: skip
SAMPLES = [
    Setting(kind, *sizes, seed=5)
    for kind in ("RNN", "GRU", "LSTM")
    for sizes in ((4, 4, 4, 4), (3, 6, 12, 1))  # with one unit, the sums of the gates are large
]


def all_differences(engine: Mistakes) -> Iterator[str]:
    for setting in SAMPLES:
        for mistake in possible(engine, setting):
            yield from differences(engine, setting, mistake)


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, tmp_path: Path) -> None:
    folder = mutated(tmp_path, "mistakes", *MUTATIONS[name])
    with MiniRacer() as racer:
        assert next(all_differences(Mistakes(racer, folder)), "")


def test_without_a_mutation_nothing_is(engine: Mistakes) -> None:
    assert list(all_differences(engine)) == []

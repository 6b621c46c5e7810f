"""The language model of the laboratory, run in V8, against `torch.nn` with the same weights."""

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from py_mini_racer import JSEvalException, MiniRacer
from torch import Tensor, nn

from tests import strategies
from tests.laboratory import CLOSE, Engine, mutated, received
from tests.strategies import FEWER

HARNESS = """
Object.assign(RUN, {
  half: ({ bits }) => bits.map(LAB.language.halfToNumber),
  read: ({ file, text }) => {
    const model = LAB.language.modelOf(file);
    return LAB.language.readText(model, LAB.language.encode(model, text));
  },
  likeliest: ({ file, text, t, count }) => {
    const model = LAB.language.modelOf(file);
    const read = LAB.language.readText(model, LAB.language.encode(model, text));
    return LAB.language.likeliest(model, read, t, count);
  },
  remembered: ({ file, text, position, instead, near }) => {
    const model = LAB.language.modelOf(file);
    const [number] = LAB.language.encode(model, instead);
    const numbers = LAB.language.encode(model, text);
    const { distance, after } = LAB.language.remembered(model, numbers, position, number, near);
    return { distance, after };
  },
});
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with MiniRacer() as racer:
        yield Engine(racer, ["language"], HARNESS)


class Drawn(NamedTuple):
    """A network with random weights, and a text."""

    characters: str = "abc \n\"'é"
    embedding_size: int = 3
    hidden_size: int = 5
    seed: int = 0
    text: str = 'a "cab\'\n cé bab" ca'

    def parameters(self) -> dict[str, Tensor]:
        """Draw weights that float16 holds exactly, large enough for gates to open and close."""
        torch.manual_seed(self.seed)
        V, E, H = len(self.characters), self.embedding_size, self.hidden_size
        shapes = {
            "embedding": (V, E),
            "weight_ih": (3 * H, E),
            "weight_hh": (3 * H, H),
            "bias_ih": (3 * H,),
            "bias_hh": (3 * H,),
            "weight": (V, H),
            "bias": (V,),
        }
        return {name: torch.randn(shape).half().float() for name, shape in shapes.items()}

    def file(self) -> dict[str, Any]:
        parts = self.parameters().values()
        halves = b"".join(part.half().numpy().astype("<f2").tobytes() for part in parts)
        return {
            "characters": self.characters,
            "embedding_size": self.embedding_size,
            "hidden_size": self.hidden_size,
            "weights": base64.b64encode(halves).decode(),
        }

    def read(self, text: str) -> dict[str, Tensor]:
        """Read a text in PyTorch: the gates by hand, the states by `nn.GRU`."""
        parameters = self.parameters()
        gru = nn.GRU(self.embedding_size, self.hidden_size)
        names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        gru.load_state_dict({f"{name}_l0": parameters[name] for name in names})
        x = parameters["embedding"][[self.characters.index(letter) for letter in text]]  # (L, E)
        with torch.no_grad():
            h = gru(x)[0]  # (L, H)
            before = torch.cat([torch.zeros(1, self.hidden_size), h[:-1]])
            from_x = nn.functional.linear(x, parameters["weight_ih"], parameters["bias_ih"])
            from_h = nn.functional.linear(before, parameters["weight_hh"], parameters["bias_hh"])
            (r_x, z_x, n_x), (r_h, z_h, m) = from_x.chunk(3, 1), from_h.chunk(3, 1)
            r, z = (r_x + r_h).sigmoid(), (z_x + z_h).sigmoid()
            logits = nn.functional.linear(h, parameters["weight"], parameters["bias"])
        return {"r": r, "z": z, "n": (n_x + r * m).tanh(), "h": h, "p": logits.softmax(1)}


@st.composite
def networks(draw: st.DrawFn) -> Drawn:
    characters = Drawn().characters[: draw(st.integers(2, 8))]
    return Drawn(
        characters,
        draw(st.integers(1, 6)),
        draw(st.integers(1, 12)),
        draw(strategies.seeds),
        draw(st.text(characters, min_size=1, max_size=20)),
    )


def reading_differences(engine: Engine, drawn: Drawn) -> Iterator[str]:
    """Compare gates, states and probabilities."""
    ours, theirs = engine("read", file=drawn.file(), text=drawn.text), drawn.read(drawn.text)
    for name, their in theirs.items():
        our = received(ours[name])
        if our.shape != their.shape or not (our - their).abs().max() <= 4 * CLOSE:  # all within 1
            yield f"{name} is {our}, not {their}"


def edit_differences(engine: Engine, drawn: Drawn) -> Iterator[str]:
    """Compare how far two readings are apart, and for how long."""
    position, near = len(drawn.text) // 3, 0.05
    instead = next(letter for letter in drawn.characters if letter != drawn.text[position])
    found = engine(
        "remembered",
        file=drawn.file(),
        text=drawn.text,
        position=position,
        instead=instead,
        near=near,
    )
    edited = drawn.text[:position] + instead + drawn.text[position + 1 :]
    one, other = drawn.read(drawn.text)["h"], drawn.read(edited)["h"]
    distance = (one - other).norm(dim=1) / one.norm(dim=1)
    close = 10 * CLOSE * (1 + distance + 1 / one.norm(dim=1))  # a small state is a small divisor
    if not ((torch.tensor(found["distance"]) - distance).abs() <= close).all():
        yield f"the distances are {found['distance']}, not {distance}"
    if ((distance - near).abs() < close).any():
        return  # either is right
    far = (distance >= near).nonzero().flatten().tolist()
    last = max(far, default=-1)
    after = None if last == len(edited) - 1 else max(0, last + 1 - position)
    if found["after"] != after:
        yield f"they are near each other after {found['after']} letters, not {after}"


def test_every_finite_half_is_read_exactly(engine: Engine) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    values = bits.view(np.float16).astype(np.float64)
    finite = np.isfinite(values)
    assert engine("half", bits=bits[finite].tolist()) == values[finite].tolist()
    with pytest.raises(JSEvalException, match="weights should be finite"):
        engine("half", bits=[0x7C00])


@FEWER
@given(networks())
def test_gates_states_and_probabilities_are_pytorchs(engine: Engine, drawn: Drawn) -> None:
    assert list(reading_differences(engine, drawn)) == []


@FEWER
@given(networks())
def test_what_is_remembered_is_what_pytorch_says(engine: Engine, drawn: Drawn) -> None:
    assert list(edit_differences(engine, drawn)) == []


def test_the_most_probable_letters_come_first(engine: Engine) -> None:
    drawn = Drawn(hidden_size=9)
    p = drawn.read(drawn.text)["p"][7]
    order = p.argsort(descending=True)[:4].tolist()
    found = engine("likeliest", file=drawn.file(), text=drawn.text, t=7, count=4)
    assert [one["character"] for one in found] == [drawn.characters[k] for k in order]
    assert torch.allclose(torch.tensor([one["p"] for one in found]), p[order], atol=4 * CLOSE)


@pytest.mark.parametrize(
    ("change", "text", "why"),
    [
        ({}, "aXbY", "The network has never seen ‘X’, ‘Y’"),
        ({}, "a\tb", "The network has never seen a tab"),
        ({}, "aßb", r"The network has never seen ‘ß’ \(U\+00DF\)"),
        ({}, "ABCDEFG", "‘E’ and 2 more"),
        ({"hidden_size": 6}, "a", "weights should be 556 bytes, got 444"),
        ({"weights": "AA*A"}, "a", r"weights should be base64, got \*"),
    ],
)
def test_what_is_not_understood_is_refused(
    engine: Engine, change: dict[str, Any], text: str, why: str
) -> None:
    with pytest.raises(JSEvalException, match=why):
        engine("read", file=Drawn().file() | change, text=text)


class Mutation(NamedTuple):
    original: str
    mutated: str
    check: Callable[[Engine, Drawn], Iterator[str]]


READING, EDIT = reading_differences, edit_differences
MUTATIONS = {
    "z for 1 - z": Mutation("add(mul(sub(h, n), z), n)", "add(mul(sub(n, h), z), h)", READING),
    "a state that is not kept": Mutation("data }, h, w", "data }, zeros(h.shape), w", READING),
    "no bias of the output": Mutation("read.h, weight, bias)", "read.h, weight)", READING),
    "no bias of the input": Mutation("weight_ih, bias_ih); // (V", "weight_ih); // (V", READING),
    "half of the bytes": Mutation("bytes[at + 2 * k] |", "0 |", READING),
    "a mantissa of nine bits": Mutation("bits & 1023", "bits & 511", READING),
    "an exponent off by one": Mutation("2 ** (exponent - 15)", "2 ** (exponent - 14)", READING),
    "powers that are not divided": Mutation("power / sum", "power", READING),
    "a letter earlier": Mutation("numbers.with(position,", "numbers.with(0,", EDIT),
    "the norm of the second": Mutation("norm += one.data[k]", "norm += other.data[k]", EDIT),
    "a norm that is not a root": Mutation("Math.sqrt(apart / norm)", "apart / norm", EDIT),
    "the first that is near": Mutation(
        "distance.findLastIndex((value) => value >= near)",
        "distance.findIndex((value) => value >= near)",
        EDIT,
    ),
    "counted from the beginning": Mutation("last + 1 - position", "last + 1", EDIT),
}  # fmt: skip
SAMPLES = [
    Drawn(seed=1, hidden_size=7),
    Drawn(seed=2, hidden_size=3),
    Drawn(seed=3, hidden_size=4, text="bbbabbbbbbbbbbbbbb"),
]


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_mutation_is_noticed(name: str, tmp_path: Path) -> None:
    original, mutation, check = MUTATIONS[name]
    folder = mutated(tmp_path, "language", original, mutation)
    with MiniRacer() as racer:
        engine = Engine(racer, ["language"], HARNESS, folder)
        assert any(True for sample in SAMPLES for _ in check(engine, sample))


@pytest.mark.parametrize("check", [READING, EDIT], ids=lambda check: check.__name__)
def test_without_a_mutation_nothing_is(check: Any, engine: Engine) -> None:
    assert [found for sample in SAMPLES for found in check(engine, sample)] == []

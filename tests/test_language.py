import copy
import hashlib
import io
import math
import os
import random
import re
import runpy
import signal
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

import unrolled_site
from unrolled_site.language import (
    LanguageModel,
    NGram,
    Settings,
    Training,
    Vocabulary,
    bits_per_character,
    correlations,
    features,
    load_model,
    load_settings,
    northanger_abbey,
    read_text,
    sample,
    split,
    streams,
    write,
)
from unrolled_site.language.command import main

TEXT = northanger_abbey()[2000:4000]
SETTINGS = Settings(
    embedding_size=4,
    hidden_size=7,
    num_layers=2,
    dropout=0.25,
    N=3,
    L=50,
    steps=25,  # two passes and a half
    learning_rate=0.02,
    max_norm=0.3,
    seed=5,
)
OPTIONS = [
    *("--embedding-size", "4", "--hidden-size", "7", "--num-layers", "2", "--dropout", "0.25"),
    *("--N", "3", "--L", "50", "--steps", "25", "--learning-rate", "0.02", "--max-norm", "0.3"),
    *("--seed", "5"),
]


def trained(steps: int = SETTINGS.steps, settings: Settings = SETTINGS) -> Training:
    run = Training(TEXT, settings)
    for _ in range(steps):
        run.advance()
    return run


@pytest.fixture
def double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


# -- The text -------------------------------------------------------------------------------------


def test_the_text_is_the_one_that_its_readme_describes() -> None:
    folder = Path(unrolled_site.__file__).parent / "texts"
    text = northanger_abbey()
    readme = (folder / "README.md").read_text("utf-8")
    said = re.search(r"SHA-256\*\*: `(\w{64})`", readme)
    assert said is not None
    data = (folder / "northanger_abbey.txt").read_bytes()
    assert hashlib.sha256(data).hexdigest() == said[1]
    assert f"{len(text):,} characters, {len(set(text))} different" in readme
    assert data.decode("ascii") == text  # no line ending was changed


def test_a_vocabulary_numbers_its_characters() -> None:
    vocabulary = Vocabulary("hello, hall")
    assert vocabulary.characters == " ,aehlo"
    assert len(vocabulary) == 7
    numbers = vocabulary.encode("hall")
    assert numbers.tolist() == [4, 2, 5, 5]
    assert numbers.dtype == torch.int64
    assert vocabulary.decode(numbers) == vocabulary.decode([4, 2, 5, 5]) == "hall"
    assert vocabulary.encode("").shape == (0,)
    assert vocabulary.encode("").dtype == torch.int64


def test_a_split_loses_nothing_and_repeats_nothing() -> None:
    for length in (0, 1, 9, 10, 11, 1999, 2000):
        parts = split(TEXT[:length])
        assert "".join(parts) == TEXT[:length]
        assert abs(len(parts.training) - 0.8 * length) < 1
        assert abs(len(parts.validation) - 0.1 * length) <= 1


def test_streams_lie_side_by_side() -> None:
    numbers = torch.arange(100, 123)
    x, target = streams(numbers, 4)
    assert x.shape == target.shape == (5, 4)
    for n in range(4):
        assert x[:, n].tolist() == list(range(100 + 5 * n, 105 + 5 * n))
        assert target[:, n].tolist() == list(range(101 + 5 * n, 106 + 5 * n))
    assert streams(torch.arange(5), 4)[0].tolist() == [[0, 1, 2, 3]]


def test_features_say_what_holds_after_each_character() -> None:
    text = '"No, I\'m\nit."\n"A\n\nbE9'
    described = {name: values.int().tolist() for name, values in features(text).items()}
    assert described == {
        # "  N  o  ,     I  '  m \n  i  t  .  " \n  "  A \n \n  b  E  9
        "place in the line": [1, 2, 3, 4, 5, 6, 7, 8, 0, 1, 2, 3, 4, 0, 1, 2, 0, 0, 1, 2, 3],
        "place in the word": [0, 1, 2, 0, 0, 1, 0, 1, 0, 1, 2, 0, 0, 0, 0, 1, 0, 0, 1, 2, 0],
        "in quotation marks": [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 0, 0, 0, 0],
        "vowel": [0, 0, 1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0],
        "capital letter": [0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0],
        "end of a word": [0, 0, 0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 1],
    }
    assert all(values.dtype == torch.float32 for values in features(text).values())


# -- The model that counts ------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_are_positive_and_add_up_to_one(order: int) -> None:
    vocabulary = Vocabulary(TEXT + "#~")
    model = NGram(TEXT[:1500], order, vocabulary)
    # Nothing, the beginning, something common, something rare, never seen, unknown characters.
    for context in ("", TEXT[:4], "the ", " Cath", "zzzq", "e~#"):
        probabilities = model.probabilities(context)
        assert abs(probabilities.sum() - 1) < 1e-12
        assert probabilities.min() > 0
        expected = [model.probability(context, c) for c in vocabulary.characters]
        assert probabilities.tolist() == expected


def test_kneser_ney_by_hand() -> None:
    one = NGram("abab", 1, Vocabulary("abc"))  # no count is 1: discount 1/2
    assert math.isclose(one.probability("", "a"), 1.5 / 4 + 0.5 * 2 / 4 / 3)
    assert math.isclose(one.probability("anything", "c"), 0.5 * 2 / 4 / 3)
    two = NGram("abab", 2, Vocabulary("abc"))  # ab twice and ba once: discount 1/3
    assert math.isclose(two.probability("a", "b"), (2 - 1 / 3) / 2 + 1 / 3 * 1 / 2 * 1 / 3)
    assert math.isclose(two.probability("ba", "c"), 1 / 3 * 1 / 2 * 1 / 3)
    assert math.isclose(two.probability("c", "a"), 1 / 3)  # a follows one character, so does b


def test_a_shorter_context_counts_contexts_and_not_occurrences() -> None:
    # "d" is frequent, but only after "c"; "a" comes after three different characters.
    text, vocabulary = "cdcdcdcdcdcdcdcdxayaza", Vocabulary("abcdxyz")
    often, widely = NGram(text, 1, vocabulary), NGram(text, 2, vocabulary)
    assert often.probability("b", "d") > often.probability("b", "a")
    assert widely.probability("b", "d") < widely.probability("b", "a")


def test_bits_per_character_of_counts() -> None:
    model = NGram(TEXT, 3, Vocabulary(TEXT))
    text = TEXT[300:340]
    bits = [
        -math.log2(model.probabilities(text[:i])[model.vocabulary.encode(text[i])].item())
        for i in range(1, len(text))
    ]
    assert math.isclose(model.bits_per_character(text), sum(bits) / len(bits), rel_tol=1e-12)


def test_a_longer_context_predicts_better_and_none_is_worse_than_uniform() -> None:
    parts = split(northanger_abbey()[:40_000])
    vocabulary = Vocabulary("".join(parts))
    bits = [NGram(parts.training, n, vocabulary).bits_per_character(parts.test) for n in (1, 2, 3)]
    assert math.log2(len(vocabulary)) > bits[0] > bits[1] > bits[2]


# -- The network ----------------------------------------------------------------------------------


class Chain(nn.Module):
    """A model that is known: the same distribution always, or a cycle that its state counts."""

    def __init__(self, probabilities: list[float], cycle: bool = False) -> None:
        super().__init__()
        self.logits = torch.tensor(probabilities).log()
        self.cycle = cycle
        self.seen: list[bool] = []

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        self.seen.append(self.training)
        L, N = x.shape
        count = (0 if hx is None else hx) + torch.arange(1, L + 1)  # steps so far
        if not self.cycle:
            return self.logits.expand(L, N, -1) + 3.0, count[-1]
        V = len(self.logits)
        one_hot = F.one_hot(count % V, V).float()  # (L, V)
        return (1000 * one_hot).unsqueeze(1).expand(L, N, V), count[-1]


def test_the_model_is_embedding_gru_and_linear(double: None) -> None:
    model = LanguageModel(11, 4, 7, num_layers=2)
    theirs = nn.GRU(4, 7, 2)
    theirs.load_state_dict(model.gru.state_dict())
    x, hx = torch.randint(11, (5, 3)), torch.randn(2, 3, 7)
    output, h_n = theirs(model.embedding.weight[x], hx)
    logits, ours = model(x, hx)
    expected = output @ model.output.weight.T + model.output.bias
    torch.testing.assert_close(logits, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(ours, h_n, rtol=0, atol=1e-12)


def test_dropout_is_where_it_should_be() -> None:
    model = LanguageModel(11, 4, 7, num_layers=2, dropout=0.5)
    assert model.gru.dropout == model.dropout.p == 0.5
    assert LanguageModel(11, 4, 7, dropout=0.5).gru.dropout == 0.0  # there is no between
    x = torch.randint(11, (5, 3))
    torch.manual_seed(1)
    output, _ = model.gru(model.dropout(model.embedding(x)))
    expected = model.output(model.dropout(output))
    torch.manual_seed(1)
    assert torch.equal(model(x)[0], expected)
    assert not torch.equal(model(x)[0], expected)
    model.eval()
    assert torch.equal(model(x)[0], model(x)[0])


def test_bits_per_character_of_a_known_distribution() -> None:
    probabilities = [0.5, 0.25, 0.125, 0.125]
    text = torch.tensor([3, 0, 0, 1, 2, 0, 1, 3, 0, 2, 1, 0])
    bits = -np.log2(np.array(probabilities))
    model = Chain(probabilities)
    for N, targets in ((1, text[1:]), (2, text[1:11]), (3, text[1:10]), (4, text[1:9])):
        for L in (1, 2, 1000):
            expected = bits[targets].mean()
            assert math.isclose(bits_per_character(model, text, N, L), expected, rel_tol=1e-6)


def test_the_state_goes_from_chunk_to_chunk() -> None:
    cycle = torch.arange(20) % 4
    assert bits_per_character(Chain([0.25] * 4, cycle=True), cycle, L=3) == 0
    torch.manual_seed(0)
    model, text = LanguageModel(11, 4, 7), torch.randint(11, (31,))
    whole = bits_per_character(model, text)
    assert math.isclose(bits_per_character(model, text, L=4), whole, rel_tol=1e-6)
    assert not math.isclose(bits_per_character(model, text, N=3), whole, rel_tol=1e-6)


def test_sampling_feeds_back_what_it_drew() -> None:
    vocabulary = Vocabulary("abcd")
    assert sample(Chain([0.25] * 4, cycle=True), vocabulary, 6, prompt="a") == "bcdabc"
    assert sample(Chain([0.25] * 4, cycle=True), vocabulary, 3, prompt="cc") == "cda"
    assert sample(Chain([0.25] * 4), vocabulary, 0, prompt="a") == ""
    model = LanguageModel(4, 3, 5)
    text = sample(model, vocabulary, 9, prompt="ab", generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(1)
    read = "ab"
    for _ in range(9):  # the whole text anew for every character
        logits, _ = model(vocabulary.encode(read).unsqueeze(1))
        drawn = torch.multinomial(logits[-1].softmax(1), 1, generator=generator)
        read += vocabulary.decode(drawn[0])
    assert read == "ab" + text


@pytest.mark.parametrize(
    ("characters", "opening"), [("a b\n", "\n"), ("a b", " "), ("ba", "a"), ("中国", "中")]
)
def test_without_a_prompt_it_begins_with_a_character_that_it_knows(
    characters: str, opening: str
) -> None:
    vocabulary = Vocabulary(characters)
    assert vocabulary.opening == opening
    V = len(vocabulary)
    model = LanguageModel(V, 3, 5)
    texts = [
        sample(model, vocabulary, 30, prompt=prompt, generator=torch.Generator().manual_seed(3))
        for prompt in (None, opening)
    ]
    assert texts[0] == texts[1]
    assert set(texts[0]) == set(characters)


def test_writing_gives_each_character_when_it_is_drawn() -> None:
    model, vocabulary = Chain([0.25] * 4, cycle=True), Vocabulary("abcd")
    drawn = write(model, vocabulary, 10**18, prompt="a")
    assert [next(drawn) for _ in range(6)] == list("bcdabc")
    assert len(model.seen) == 6  # nothing is drawn before it is asked for
    assert torch.is_grad_enabled()
    assert "".join(write(model, vocabulary, 3, prompt="cc")) == "cda"


@pytest.mark.no_cover
@pytest.mark.parametrize(("temperature", "power"), [(1.0, 1.0), (0.5, 2.0), (2.0, 0.5)])
def test_temperature_is_a_power_of_the_probabilities(temperature: float, power: float) -> None:
    p = np.array([0.6, 0.3, 0.1])
    generator = torch.Generator().manual_seed(0)
    text = sample(Chain(p.tolist()), Vocabulary("abc"), 4000, temperature, "a", generator)
    found = np.array([text.count(c) for c in "abc"]) / len(text)
    assert np.abs(found - p**power / (p**power).sum()).max() < 0.03


def test_a_low_temperature_takes_the_likeliest() -> None:
    for temperature in (1e-30, 1e-46, 5e-324):  # the last two are 0 in float32
        text = sample(Chain([0.3, 0.4, 0.3]), Vocabulary("abc"), 50, temperature, "a")
        assert text == "b" * 50
    assert set(sample(Chain([0.9, 0.1]), Vocabulary("ab"), 50, 1e308, "a")) == {"a", "b"}


def test_sampling_has_no_influence_on_other_random_numbers() -> None:
    before = torch.get_rng_state()
    sample(Chain([0.5, 0.5]), Vocabulary("ab"), 9, prompt="a", generator=torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)
    sample(Chain([0.5, 0.5]), Vocabulary("ab"), 9, prompt="a")
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_evaluated_and_left_as_it_was(training: bool) -> None:
    model = Chain([0.5, 0.5]).train(training)
    bits_per_character(model, torch.tensor([0, 1, 0]))
    sample(model, Vocabulary("ab"), 2, prompt="a")
    assert model.seen == [False, False, False]
    assert model.training is training


def test_correlations_are_pearsons() -> None:
    states, feature = torch.randn(50, 7) + 3, torch.randn(50)
    states[:, 0], states[:, 1], states[:, 2] = 0.1, feature * 2 + 1, -feature
    found = correlations(states, feature).numpy()
    expected = np.corrcoef(feature.numpy(), states[:, 1:].T.numpy())[0, 1:]
    assert found[0] == 0
    assert np.abs(found[1:] - expected).max() < 1e-6
    assert np.abs(found[1:3] - [1, -1]).max() < 1e-6
    assert correlations(states, torch.full((50,), 0.1)).abs().max() == 0


# -- Training -------------------------------------------------------------------------------------


@pytest.mark.no_cover
def test_training_is_truncated_backpropagation_with_a_carried_state(double: None) -> None:
    settings = Settings(**{**vars(SETTINGS), "dropout": 0.0})
    run = Training(TEXT, settings)
    numbers = run.vocabulary.encode(TEXT[:1600])
    embedding, gru = nn.Embedding(len(run.vocabulary), 4), nn.GRU(4, 7, 2)
    output = nn.Linear(7, len(run.vocabulary))
    theirs = nn.ModuleDict({"embedding": embedding, "gru": gru, "output": output})
    theirs.load_state_dict(run.model.state_dict())
    optimiser = torch.optim.Adam(theirs.parameters(), lr=0.02)
    norms = []
    for step in range(25):
        place = step % 10 * 50  # 533 characters a stream, 10 chunks of 50
        if place == 0:
            h = torch.zeros(2, 3, 7)
        chunk = torch.stack([numbers[n * 533 + place :][:51] for n in range(3)], dim=1)  # (51, 3)
        states, h = gru(embedding(chunk[:-1]), h.detach())
        loss = -output(states).log_softmax(2).gather(2, chunk[1:, :, None]).mean()
        optimiser.zero_grad()
        loss.backward()
        squares = [p.grad.square().sum() for p in theirs.parameters() if p.grad is not None]
        norm = torch.stack(squares).sum().sqrt()
        norms.append(float(norm))
        for parameter in theirs.parameters():
            assert parameter.grad is not None
            parameter.grad *= min(1.0, 0.3 / (float(norm) + 1e-6))
        optimiser.param_groups[0]["lr"] = 0.02 * (25 - step) / 25
        optimiser.step()
        assert math.isclose(run.advance(), loss.item() / math.log(2), rel_tol=1e-9)
        assert math.isclose(run.norm, norms[-1], rel_tol=1e-9)
        assert run.hx is not None
        torch.testing.assert_close(run.hx, h.detach(), rtol=0, atol=1e-9)
    assert max(norms) > 0.3  # clipping had something to do
    pairs = zip(run.model.parameters(), theirs.parameters(), strict=True)
    for ours, other in pairs:
        torch.testing.assert_close(ours, other, rtol=0, atol=1e-9)


@pytest.mark.no_cover
def test_two_runs_are_the_same_to_the_bit_whatever_else_draws() -> None:
    before = torch.get_rng_state()
    one = trained()
    assert torch.equal(torch.get_rng_state(), before)
    two = Training(TEXT, SETTINGS)
    while not two.finished:
        torch.randn(3)
        two.validate()
        two.advance()
    assert same(one.model.state_dict(), two.model.state_dict())
    assert one.validate() == two.validate()
    other = trained(settings=Settings(**{**vars(SETTINGS), "seed": 6}))
    assert not same(one.model.state_dict(), other.model.state_dict())


@pytest.mark.no_cover
def test_training_learns() -> None:
    run = Training(TEXT, Settings(hidden_size=24, N=5, L=20, steps=150, learning_rate=0.02))
    begin, uniform = run.validate(), math.log2(len(run.vocabulary))
    assert abs(begin - uniform) < 0.5
    while not run.finished:
        run.advance()
    assert run.validate() < begin - 1.0


def test_validation_is_measured_on_the_validation_part() -> None:
    run = trained(10)
    numbers = run.vocabulary.encode(split(TEXT).validation)
    assert run.validate(3) == bits_per_character(run.model, numbers, 3)
    assert run.validate(10_000) == bits_per_character(run.model, numbers, len(numbers) - 1)


# -- Checkpoints ----------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Compare what a checkpoint holds, to the bit."""
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return bool(one == other)


def state(run: Training) -> dict[str, Any]:
    return {
        "settings": vars(run.settings),
        "step": run.step,
        "hx": run.hx,
        "model": run.model.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "generator": run.generator,
    }


@pytest.mark.no_cover
@pytest.mark.parametrize("stop", [0, 1, 9, 10, 11, 24, 25])
def test_a_resumed_run_arrives_at_the_same_numbers(tmp_path: Path, stop: int) -> None:
    path = tmp_path / "run.ckpt"
    trained(stop).save(path)
    torch.randn(3)  # another process has another generator
    run = Training.resume(path, TEXT)
    assert run.step == stop
    bits = []
    while not run.finished:
        bits.append(run.advance())
    whole = Training(TEXT, SETTINGS)
    assert [whole.advance() for _ in range(25)][stop:] == bits
    assert same(state(run), state(whole))


def test_the_model_of_a_checkpoint_is_ready_to_sample(tmp_path: Path) -> None:
    run = trained(5)
    run.save(tmp_path / "run.ckpt")
    model, vocabulary = load_model(tmp_path / "run.ckpt")
    assert same(model.state_dict(), run.model.state_dict())
    assert vocabulary.characters == run.vocabulary.characters
    assert not model.training
    assert load_settings(tmp_path / "run.ckpt") == SETTINGS


def test_a_checkpoint_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    run = trained(1)
    run.save(path)
    run.advance()
    run.save(path)
    assert os.listdir(tmp_path) == ["run.ckpt"]
    assert Training.resume(path, TEXT).step == 2


def test_a_write_that_fails_leaves_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.ckpt"
    trained(1).save(path)
    data = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        trained(2).save(path)
    assert path.read_bytes() == data


def test_bytes_are_on_the_disk_before_they_have_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events, path = [], tmp_path / "run.ckpt"
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        events.append(("fsync", os.fstat(descriptor).st_size))
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        events.append(("replace", source.stat().st_size))
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    trained(1).save(path)
    size = path.stat().st_size
    assert events == [("fsync", size), ("replace", size)]


@pytest.mark.parametrize("where", [40, -1, -2000])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, where: int) -> None:
    path = tmp_path / "run.ckpt"
    trained(1).save(path)
    data = bytearray(path.read_bytes())
    data[where] ^= 1
    path.write_bytes(data)
    for read in (load_model, load_settings, lambda path: Training.resume(path, TEXT)):
        with pytest.raises(ValueError, match=r"run\.ckpt is damaged: its \d+ bytes"):
            read(path)
    path.write_bytes(data[:where])
    with pytest.raises(ValueError, match="is damaged"):
        load_settings(path)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    for data in (b"", b"unrolled_site.language checkpoint 0\n" + bytes(99)):
        path.write_bytes(data)
        with pytest.raises(ValueError, match="should be a checkpoint that begins with"):
            load_settings(path)
    torch.save({"step": 3}, path)
    with pytest.raises(ValueError, match=r"begins with .*checkpoint 1.*, got .* b'PK"):
        load_settings(path)


def test_another_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    trained(1).save(path)
    for text in ("", TEXT.replace("a", "o", 1), TEXT + " "):
        with pytest.raises(ValueError, match=f"text should be .* got {len(text)} characters"):
            Training.resume(path, text)


# Runs the command in children, which kill themselves at the moments of a list.
KILLED = """
import os, signal, sys
import torch
from unrolled_site.language import Settings, Training
from unrolled_site.language.command import main

torch.set_num_threads(1)
Training("a" * 1000, Settings(N=2, L=3))  # imports what else every child would have to import
fsync, replace, advance = os.fsync, os.replace, Training.advance

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def arm(moment, count):
    left = [count]
    def due():
        left[0] -= 1
        return left[0] == 0
    def half_written(descriptor):
        if due():
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die()
        fsync(descriptor)
    def written(descriptor):
        fsync(descriptor)
        if due():
            die()
    def renamed(source, target):
        replace(source, target)
        if due():
            die()
    def updated(self):
        bits = advance(self)
        if due():
            die()
        return bits
    if moment == "renamed":
        os.replace = renamed
    elif moment == "updated":
        Training.advance = updated
    else:
        os.fsync = {"half_written": half_written, "written": written}[moment]

for argument in sys.argv[1].split(","):
    moment, count = argument.split(":")
    child = os.fork()
    if child == 0:
        arm(moment, int(count))
        main(sys.argv[2:])
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, (argument, status)
    print("killed", argument, flush=True)
"""


@pytest.mark.no_cover
@pytest.mark.skipif(not hasattr(os, "fork"), reason="SIGKILL and fork are of Unix")
def test_a_run_that_is_killed_goes_on_to_the_same_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "run.ckpt"
    text.write_text(TEXT, "utf-8")
    command = ["train", str(path), "--text", str(text), "--every", "3", *OPTIONS]
    # In the first checkpoint there is nothing to go on from; the others come in their order.
    moments = "half_written:1,written:1,renamed:1,updated:2,half_written:1,updated:5,written:2"
    moments += ",renamed:1,half_written:2,updated:1"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", KILLED, moments, *command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith("killed ")] == [
        f"killed {moment}" for moment in moments.split(",")
    ]
    assert done.stderr == ""
    assert 0 < Training.resume(path, TEXT).step < 25
    assert main(command) == 0
    assert "update     25 of 25" in capsys.readouterr().out
    assert same(state(Training.resume(path, TEXT)), state(trained()))


@pytest.mark.no_cover
def test_a_process_that_is_killed_from_outside_goes_on_to_the_same_bits(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "run.ckpt"
    text.write_text(TEXT, "utf-8")
    command = ["train", str(path), "--text", str(text), "--every", "1", *OPTIONS]
    with subprocess.Popen(
        [sys.executable, "-m", "unrolled_site.language", *command],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("update      4 "):
                break
        process.send_signal(signal.SIGSTOP)  # it stays in the middle of its run
        capsys.readouterr()
        assert main(command) == 1
        assert capsys.readouterr().err == (
            f"error: {path} should be trained by one process at a time, got a second one while the "
            f"first holds {path}.lock\n"
        )
        assert main(["sample", str(path), "--length", "9"]) == 0
        process.kill()
        process.stdout.read()
    assert process.returncode == -signal.SIGKILL
    assert 4 <= Training.resume(path, TEXT).step <= 25
    assert main(command) == 0
    assert same(state(Training.resume(path, TEXT)), state(trained()))


# -- The command line -----------------------------------------------------------------------------


@pytest.mark.no_cover
def test_the_command_trains_goes_on_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "run.ckpt"
    text.write_text(TEXT, "utf-8")
    command = ["train", str(path), "--text", str(text)]
    assert main([*command, *OPTIONS, "--every", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    V = len(set(TEXT))
    count = 4 * V + 21 * (4 + 7 + 2) + 21 * (7 + 7 + 2) + V * (7 + 1)
    assert lines[0] == f"{V} characters, {count:,} parameters, 10 updates a pass."
    assert [line.partition(":")[0] for line in lines[1:]] == [
        f"update     {step} of 25" for step in (10, 20, 25)
    ]
    whole = Training(TEXT, SETTINGS)
    bits = [whole.advance() for _ in range(25)]
    shown = f"{sum(bits[20:]) / 5:.3f} bits per character in training, {whole.validate():.3f} in"
    assert shown in lines[3]
    assert load_settings(path) == SETTINGS

    assert main(command) == 0
    assert capsys.readouterr().out.startswith(f"{path} has 25 of 25 updates.\n")

    write = ["sample", str(path), "--length", "30", "--prompt", "\nIt"]
    assert main(write) == main(write) == 0
    written = capsys.readouterr().out
    assert written[: len(written) // 2] == written[len(written) // 2 :]
    model, vocabulary = load_model(path)
    generator = torch.Generator().manual_seed(0)
    expected = sample(model, vocabulary, 30, 0.7, "\nIt", generator)
    assert written == f"It{expected}\n" * 2
    assert main([*write, "--seed", "1"]) == 0
    assert capsys.readouterr().out != f"It{expected}\n"


def test_the_command_trains_on_the_novel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.ckpt"
    small = ["--hidden-size", "5", "--N", "4000", "--L", "5", "--steps", "1"]
    assert main(["train", str(path), *small]) == 0
    assert capsys.readouterr().out.startswith("74 characters, ")
    assert Training.resume(path, northanger_abbey()).finished
    assert load_settings(path) == Settings(hidden_size=5, N=4000, L=5, steps=1)


def test_the_command_refuses_settings_that_are_not_those_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.ckpt"
    trained(1).save(path)
    before = path.read_bytes()
    assert main(["train", str(path), "--hidden-size", "8"]) == 1
    message = f"error: --hidden-size should be 7, as in {path}, or left out, got 8\n"
    assert capsys.readouterr() == ("", message)
    assert main(["train", str(path), "--hidden-size", "7"]) == 1  # not the novel either
    assert "error: text should be the one that" in capsys.readouterr().err
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sample", "{folder}/nowhere.ckpt"], "No such file"),
        (["sample", "{folder}/run.ckpt", "--temperature", "0"], "temperature should be greater"),
        (["sample", "{folder}/run.ckpt", "--prompt", "é"], "prompt should have only characters"),
        (["train", "{folder}/no/new.ckpt"], "No such file"),
        (["train", "{folder}/new.ckpt", "--text", "{folder}/nowhere.txt"], "No such file"),
        (["train", "{folder}/new.ckpt", "--dropout", "2"], "dropout"),
        (["train", "{folder}/new.ckpt", "--encoding", "utf-8"], "encoding should be left out"),
        (["train", "{folder}/new.ckpt", "--steps", "0"], "steps should be at least 1, got 0"),
    ],
)
def test_the_command_says_what_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    trained(1).save(tmp_path / "run.ckpt")
    assert main([argument.format(folder=tmp_path) for argument in arguments]) == 1
    shown = capsys.readouterr()
    assert shown.err.startswith("error: ")
    assert message in shown.err
    assert not (tmp_path / "new.ckpt").exists()


@pytest.mark.no_cover
def test_an_interruption_keeps_the_last_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "run.ckpt"
    text.write_text(TEXT, "utf-8")
    command = ["train", str(path), "--text", str(text), "--every", "2", *OPTIONS]
    advance = Training.advance

    def interrupted(run: Training) -> float:
        if run.step == 5:
            raise KeyboardInterrupt
        return advance(run)

    monkeypatch.setattr(Training, "advance", interrupted)
    assert main(command) == 130
    assert capsys.readouterr().err == (
        "Stopped. The same command goes on from the last checkpoint.\n"
    )
    assert load_settings(path) == SETTINGS
    assert Training.resume(path, TEXT).step == 4
    monkeypatch.undo()
    assert main(command) == 0
    assert same(state(Training.resume(path, TEXT)), state(trained()))


def test_the_help_names_every_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["language", "train", "--help"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("unrolled_site.language", run_name="__main__")
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert "None" not in shown
    for name in vars(SETTINGS):
        assert f"--{name.replace('_', '-')} " in shown
        assert f"(default: {getattr(Settings(), name)})" in " ".join(shown.split())
    runpy.run_module("unrolled_site.language", run_name="imported")  # does nothing


def test_a_count_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["train", "run.ckpt", "--every", "0"])
    assert exit_.value.code == 2
    assert "argument --every: should be at least 1, got 0" in capsys.readouterr().err


# -- Bad input ------------------------------------------------------------------------------------

MODEL, NUMBERS, AB = LanguageModel(2, 3, 5), torch.tensor([0, 1, 0]), Vocabulary("ab")
BROKEN = Chain([math.nan, 1.0])
HUGE = Settings(hidden_size=2**14, num_layers=1, N=3, L=5)
WIDE = "".join(map(chr, range(0x4E00, 0x4E00 + 5000)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Vocabulary(""), ValueError, "characters should have at least one, got ''"),
        (lambda: AB.encode("abz"), ValueError, r"vocabulary, 'ab', got 'z'$"),
        (lambda: AB.encode("\u200bxzyé\0xq"), ValueError, r"got '\\u200b' \(U\+200B\), 'x', 'z', "),
        (lambda: AB.encode("xzyé\0xq"), ValueError, r"'y', 'é' \(U\+00E9\), '\\x00' and 1 more$"),
        (lambda: Vocabulary(WIDE).encode("a"), ValueError, r"vocabulary, 5,000 of them, got 'a'$"),
        (lambda: AB.decode([0, 2]), IndexError, "numbers should be from 0 to 1, got 2"),
        (lambda: AB.decode(torch.tensor([-1])), IndexError, "from 0 to 1, got -1"),
        (lambda: streams(NUMBERS, 0), ValueError, "N should be at least 1, got 0"),
        (lambda: streams(NUMBERS, 3), ValueError, r"at least N \+ 1 = 4 characters, got 3"),
        (lambda: NGram("abab", 0, AB), ValueError, "order should be at least 1, got 0"),
        (lambda: NGram("abab", 4, AB), ValueError, "more than 4 characters, got 4"),
        (lambda: NGram("abac", 2, AB), ValueError, "got 'c'"),
        (lambda: NGram("abab", 2, AB).probability("a", "c"), ValueError, "got 'c'"),
        (lambda: NGram("abab", 2, AB).probability("a", ""), ValueError, "got ''"),
        (lambda: NGram("abab", 2, AB).probability("a", "ab"), ValueError, "got 'ab'"),
        (lambda: NGram("abab", 2, AB).bits_per_character("a"), ValueError, "2 characters, got 1"),
        (lambda: NGram("abab", 2, AB).bits_per_character("abc"), ValueError, "got 'c'"),
        (lambda: LanguageModel(0, 3, 5), ValueError, "V should be at least 1, got 0"),
        (lambda: LanguageModel(2, 0, 5), ValueError, "embedding_size should be at least 1, got 0"),
        (lambda: LanguageModel(2, 3, 0), ValueError, "hidden_size must be greater than zero"),
        (lambda: LanguageModel(2, 3, 5, dropout=1.5), ValueError, "dropout probability"),
        (lambda: bits_per_character(MODEL, NUMBERS, 3), ValueError, "got 3"),
        (lambda: sample(MODEL, AB, -1, prompt="a"), ValueError, "length .* negative, got -1"),
        (lambda: sample(MODEL, AB, 1, 0.0, "a"), ValueError, r"temperature .* got 0\.0"),
        (lambda: sample(MODEL, AB, 1, -1.0, "a"), ValueError, r"temperature .* got -1\.0"),
        (lambda: sample(MODEL, AB, 1, math.inf, "a"), ValueError, "temperature .* got inf"),
        (lambda: sample(MODEL, AB, 1, math.nan, "a"), ValueError, "temperature .* got nan"),
        (lambda: sample(MODEL, AB, 1, 1.0, ""), ValueError, "prompt should have at least one"),
        (lambda: sample(MODEL, AB, 1, 1.0, "az"), ValueError, "prompt .* 'ab', got 'z'"),
        (lambda: sample(BROKEN, AB, 1), ValueError, "logits of the model .* got NaN"),
        (lambda: correlations(torch.ones(3, 5), torch.ones(4)), ValueError, "are states, 3, got 4"),
        (lambda: Settings(N=0), ValueError, "N should be at least 1, got 0"),
        (lambda: Settings(L=-1), ValueError, "L should be at least 1, got -1"),
        (lambda: Settings(learning_rate=0.0), ValueError, r"learning_rate .* got 0\.0"),
        (lambda: Settings(learning_rate=math.nan), ValueError, "learning_rate .* got nan"),
        (lambda: Settings(max_norm=-1.0), ValueError, r"max_norm .* got -1\.0"),
        (lambda: Settings(N=True), TypeError, "N should be int, got bool"),
        (lambda: Settings(dropout=np.float64(0.5)), TypeError, "dropout .* float, got float64"),
        (lambda: Training("", Settings()), ValueError, "at least 20 characters, got 0"),
        (lambda: Training("a" * 9, Settings()), ValueError, "at least 20 characters, got 9"),
        (lambda: Training("a" * 99, Settings(N=99)), ValueError, "N = 99 .* L = 64 .* got 0"),
        (lambda: Training(TEXT, HUGE), ValueError, "268,435,456 parameters, got 807,749,135"),
        (
            lambda: Training(WIDE * 30, Settings(N=2000, L=50, embedding_size=1)),
            ValueError,
            "N and L should give an update of at most 268,435,456 numbers .* got 602,500,000",
        ),
        (lambda: Training(TEXT, Settings(N=40, L=41)), ValueError, "N = 40 .* L = 41 .* got 39"),
        (lambda: trained(26), RuntimeError, "all 25 updates are made"),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


# -- What somebody may ask for --------------------------------------------------------------------

TINY = ["--hidden-size", "4", "--embedding-size", "3", "--N", "2", "--L", "5", "--steps", "2"]
NO_INT = ["nan", "inf", "1.5", "1e3", "x", "", "0x10", "9" * 5000]
NO_FLOAT = ["x", "", "0x10", "1,5"]


def outcome(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int | str, str]:
    """Run the command; give its status and what it says on standard error."""
    try:
        status: Any = main(arguments)
    except SystemExit as ended:
        status = ended.code
    return status, capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--embedding-size", [*NO_INT, "-1", "0", "65537", "1" + "0" * 40]),
        ("--hidden-size", [*NO_INT, "-1", "0", "65537", "65536", "1" + "0" * 40]),
        ("--num-layers", [*NO_INT, "-1", "0", "101", "1" + "0" * 40]),
        ("--dropout", [*NO_FLOAT, "nan", "inf", "1e400", "-1", "1.0001", "1e300"]),
        ("--N", [*NO_INT, "-1", "0", "999", "1048577", "1" + "0" * 40]),
        ("--L", [*NO_INT, "-1", "0", "999", "1048577", "1" + "0" * 40]),
        ("--steps", [*NO_INT, "-1", "0", "1000000001", "1" + "0" * 40]),
        ("--learning-rate", [*NO_FLOAT, "nan", "inf", "-1", "0", "-0.0", "1e-400", "1.1", "1e300"]),
        ("--max-norm", [*NO_FLOAT, "nan", "inf", "1e400", "-1", "0", "1e-400"]),
        ("--seed", [*NO_INT, "-1", str(2**64)]),
        ("--every", [*NO_INT, "-1", "0"]),
        ("--threads", [*NO_INT, "-1", "0", str((os.cpu_count() or 1) + 1), "1000000"]),
        ("--encoding", ["", "nonsense", "rot13", "hex", "undefined", "ascii", "utf-16"]),
        ("--text", ["", ".", "nowhere", os.devnull]),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, values: list[str]
) -> None:
    text, path, threads = tmp_path / "text.txt", tmp_path / "run.ckpt", torch.get_num_threads()
    text.write_text("the cät sat on the mat. " * 20, "utf-8")
    for value in values:
        command = ["train", str(path), "--text", str(text), *TINY, f"{option}={value}"]
        status, said = outcome(command, capsys)
        assert status in (1, 2), value
        assert said.splitlines()[-1].count("error: ") == 1, value
        assert status == 2 or said.count("\n") == 1, value
        assert os.listdir(tmp_path) == ["text.txt"], value
    assert torch.get_num_threads() == threads
    assert outcome(["train", str(path), "--text", str(text), *TINY], capsys) == (0, "")


@pytest.mark.parametrize(
    ("option", "values"),
    [
        ("--length", [*NO_INT, "-1"]),
        ("--temperature", [*NO_FLOAT, "nan", "inf", "-inf", "-1", "0", "-0.0", "1e-400", "1e400"]),
        ("--seed", [*NO_INT, "-1", str(2**64)]),
        ("--prompt", ["", "é", "\0", "\udcff", "\ufeff"]),
    ],
)
def test_sampling_refuses_what_cannot_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, values: list[str]
) -> None:
    trained(1).save(tmp_path / "run.ckpt")
    for value in values:
        command = ["sample", str(tmp_path / "run.ckpt"), f"{option}={value}"]
        status, said = outcome(command, capsys)
        assert status in (1, 2), value
        assert said.splitlines()[-1].count("error: ") == 1, value
        assert status == 2 or said.count("\n") == 1, value


@pytest.mark.parametrize(
    "option", [("--length", "0"), ("--temperature", "1e-320"), ("--seed", str(2**64 - 1))]
)
def test_the_ends_of_what_can_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: tuple[str, str]
) -> None:
    trained(1).save(tmp_path / "run.ckpt")
    assert outcome(["sample", str(tmp_path / "run.ckpt"), "--length", "3", *option], capsys) == (
        0,
        "",
    )


def test_the_command_writes_without_a_newline_in_the_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = tmp_path / "a text.txt", tmp_path / "a run.ckpt"
    text.write_text("to be or not to be, that is the question. " * 3, "utf-8")
    assert main(["train", str(path), "--text", str(text), *TINY]) == 0
    capsys.readouterr()
    assert main(["sample", str(path), "--length", "20"]) == 0
    written = capsys.readouterr().out
    assert len(written) == 21
    assert main(["sample", str(path), "--length", "20", "--prompt", " "]) == 0
    assert capsys.readouterr().out == " " + written
    with pytest.raises(SystemExit):
        main(["sample", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "(default: a newline; if the text had none, a space; if" in shown
    assert "None" not in shown


# -- Texts of others ------------------------------------------------------------------------------

LINES = "the cät\nsat on the mat.\n"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (LINES.encode(), "utf-8"),
        (b"\xef\xbb\xbf" + LINES.encode(), "utf-8"),
        (LINES.replace("\n", "\r\n").encode(), "utf-8"),
        (LINES.replace("\n", "\r").encode(), "utf-8"),
        (LINES.encode("utf-16"), "utf-16"),
        (b"\xff\xfe" + LINES.encode("utf-16-le"), "utf-16-le"),
        (LINES.encode("latin-1"), "latin-1"),
    ],
)
def test_a_text_is_the_same_however_it_is_written(
    tmp_path: Path, data: bytes, encoding: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    assert read_text(path, encoding) == read_text(str(path), encoding) == LINES


@pytest.mark.parametrize(
    ("data", "encoding", "message"),
    [
        (LINES.encode("utf-16"), "utf-8", r"a text in utf-8, or .* byte 0xff in position 0"),
        (LINES.encode("utf-16-le"), "utf-8", r"in position 10: "),
        (b"mat".ljust(9, b"\0"), "utf-8", r"text\.txt .* got a NUL character at place 3$"),
        (LINES.encode("latin-1"), "utf-8", r"byte 0xe4 in position 5: "),
        (b"+2AA-", "utf-7", r"utf-7, or .* surrogates not allowed"),
        (LINES.encode(), "nonsense", "encoding should be one that Python knows, .* 'nonsense'"),
        (LINES.encode(), "hex", "encoding should be one that Python knows"),
    ],
)
def test_a_file_that_is_no_such_text_is_refused(
    tmp_path: Path, data: bytes, encoding: str, message: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        read_text(path, encoding)


def test_a_text_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(b"abc")
    monkeypatch.setattr("unrolled_site.language.data._LARGEST", 3)
    assert read_text(path) == "abc"
    path.write_bytes(b"abcd")
    with pytest.raises(ValueError, match="should have at most 3 bytes, got more"):
        read_text(path)


# -- Output that goes nowhere ---------------------------------------------------------------------


@contextmanager
def read_by_nobody() -> Iterator[Any]:
    """Let standard output be a pipe that is closed at its other end."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as file, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", file)
        yield file
        os.dup2(os.open(os.devnull, os.O_WRONLY), writer)  # so that it can be closed


def test_output_that_nobody_reads_ends_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "run.ckpt"
    text.write_text(TEXT, "utf-8")
    with read_by_nobody():
        assert main(["train", str(path), "--text", str(text), *OPTIONS]) == 141
    assert Training.resume(path, TEXT).step == 0
    assert sorted(os.listdir(tmp_path)) == ["run.ckpt", "text.txt"]
    with read_by_nobody():
        assert main(["sample", str(path)]) == 141
    assert capsys.readouterr() == ("", "")


def test_the_interpreter_does_not_complain_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["language", "--help"])
    with read_by_nobody() as file:
        with pytest.raises(SystemExit) as exit_:
            runpy.run_module("unrolled_site.language", run_name="__main__")
        assert exit_.value.code == 1
        file.flush()  # as the interpreter does; it works now


def test_output_that_is_closed_or_full_or_of_another_alphabet_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rün.ckpt"
    run = Training("中国" * 100, Settings(hidden_size=4, N=3, L=5, steps=1))
    run.save(path)
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["sample", str(path)]) == 1
    monkeypatch.setattr(sys, "argv", ["language", "sample", "nowhere.ckpt"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_module("unrolled_site.language", run_name="__main__")
    assert exit_.value.code == 1
    closed = "error: [Errno 9] Bad file descriptor: 'standard output'\n"
    assert capsys.readouterr().err == closed * 2

    def full(self: io.StringIO, text: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", type("Full", (io.StringIO,), {"write": full})())
    assert main(["sample", str(path)]) == 1
    assert "error: [Errno 28] No space left on device: 'standard out" in capsys.readouterr().err

    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    assert main(["sample", str(path)]) == 1
    assert re.fullmatch(
        r"error: standard output should take '\\u(4e2d|56fd)', its encoding is ascii; .*\n",
        capsys.readouterr().err,
    )
    text = tmp_path / "text.txt"
    text.write_text("中国" * 100, "utf-8")
    assert main(["train", str(path), "--text", str(text)]) == 0  # a name can be escaped
    assert b"r\\xfcn.ckpt has 0 of 1 updates." in ascii_only.buffer.getvalue()


def test_an_interrupted_sample_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(1).save(tmp_path / "run.ckpt")

    def interrupted(*_: object) -> Iterator[str]:
        yield "so far"
        raise KeyboardInterrupt

    monkeypatch.setattr("unrolled_site.language.command.write", interrupted)
    assert main(["sample", str(tmp_path / "run.ckpt")]) == 130
    assert capsys.readouterr() == ("so far", "Stopped.\n")


# -- Two at once ----------------------------------------------------------------------------------


def test_a_checkpoint_is_trained_by_one_at_a_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text, path = tmp_path / "text.txt", tmp_path / "run.ckpt"
    text.write_text(TEXT, "utf-8")
    (tmp_path / "link.ckpt").symlink_to(path)
    with FileLock(f"{path}.lock"):
        for name in ("run.ckpt", "link.ckpt"):
            status, said = outcome(["train", str(tmp_path / name), "--text", str(text)], capsys)
            assert status == 1
            assert f"{name} should be trained by one process at a time, got a second" in said
    assert not path.exists()
    # What was left of a process that died holds nobody, and goes; what somebody wrote stays.
    command = ["train", str(path), "--text", str(text), *OPTIONS]
    assert (tmp_path / "run.ckpt.lock").read_bytes() == b""
    assert main(command) == 0
    assert not (tmp_path / "run.ckpt.lock").exists()
    (tmp_path / "run.ckpt.lock").write_text("mine")
    assert main(command) == 0
    assert (tmp_path / "run.ckpt.lock").read_text() == "mine"


def test_a_folder_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = outcome(["train", str(tmp_path / "no" / "run.ckpt"), "--steps", "1"], capsys)
    assert (status, os.listdir(tmp_path)) == (1, [])
    assert said == f"error: [Errno 2] No such file or directory: '{tmp_path}/no'\n"
    for command in ("train", "sample"):
        status, said = outcome([command, str(tmp_path)], capsys)
        assert (status, said) == (1, f"error: [Errno 21] Is a directory: '{tmp_path}'\n")


# -- Runs that go wrong ---------------------------------------------------------------------------


def test_a_gradient_that_is_not_finite_ends_the_run_before_the_update(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = trained(3)
    before = copy.deepcopy(run.model.state_dict())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run.model.output.bias, "data", torch.full_like(run.model.output.bias, 3e38))
        patch.setattr(run.model.output.weight, "data", run.model.output.weight.data * 1e38)
        with pytest.raises(FloatingPointError, match="gradient of update 4 should be finite, got"):
            run.advance()
    assert run.step == 3
    assert same(before, run.model.state_dict())

    text, path = tmp_path / "text.txt", tmp_path / "run.ckpt"
    text.write_text(TEXT, "utf-8")
    advance = Training.advance

    def diverging(run: Training) -> float:
        if run.step == 4:
            run.model.output.weight.data.fill_(math.inf)
        return advance(run)

    monkeypatch.setattr(Training, "advance", diverging)
    status, said = outcome(
        ["train", str(path), "--text", str(text), *OPTIONS, "--every", "3"], capsys
    )
    assert status == 1
    assert re.fullmatch("error: gradient of update 5 should be finite, got .* nan; .*\n", said)
    assert Training.resume(path, TEXT).step == 3


def test_what_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    run = trained(2)
    run.save(path)
    data = path.read_bytes()
    run.advance()
    run.model.output.weight.data[2, 3] = math.nan
    with pytest.raises(ValueError, match=r"output\.weight should be finite, got a number that"):
        run.save(path)
    assert path.read_bytes() == data


def test_validation_of_many_characters_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    run, parts = Training(WIDE * 3, Settings(hidden_size=3, N=3, L=5, steps=1)), []
    monkeypatch.setattr(
        "unrolled_site.language.training.bits_per_character",
        lambda model, numbers, N, L: parts.append((N, L)),
    )
    run.validate()
    assert parts == [(32, 2**24 // (32 * 5000))]


# -- Checkpoints of others ------------------------------------------------------------------------

HEADER = b"unrolled_site.language checkpoint 1\n"
SMALL = Settings(embedding_size=2, hidden_size=3, N=2, L=5, steps=9)


def sealed(data: bytes) -> bytes:
    """Give the header and the digest that make a file look like ours."""
    return HEADER + hashlib.sha256(data).digest() + data


def saved(contents: Any) -> bytes:
    file = io.BytesIO()
    torch.save(contents, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def honest() -> dict[str, Any]:
    run = Training("to be or not to be " * 10, SMALL)
    for _ in range(4):
        run.advance()
    return run.checkpoint()._asdict()


class Evil:
    """Something that writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def put(*keys: Any) -> Callable[[dict[str, Any], Any], None]:
    """Give what replaces a value deep in a checkpoint."""

    def replace(contents: dict[str, Any], value: Any) -> None:
        for key in keys[:-1]:
            contents = contents[key]
        contents[keys[-1]] = value

    return replace


GROUP, MEAN = ("optimiser", "param_groups", 0), ("optimiser", "state", 2, "exp_avg")
FORGED: list[tuple[Callable[[dict[str, Any], Any], None], Any, str | None]] = [
    (put("step"), -1, "step should be from 0 to 9, got -1"),
    (put("step"), 10, "step should be from 0 to 9, got 10"),
    (put("step"), True, "step should be from 0 to 9, got True"),
    (put("step"), 4.0, r"step should be from 0 to 9, got 4\.0"),
    (put("step"), 3, "optimiser lr should be"),
    (put("step"), 0, "hx should be None before the first update only, got step 0"),
    (put("hx"), None, "hx should be None before the first update only, got step 4"),
    (put("hx"), torch.zeros(1, 2, 4), r"hx should have shape \(1, 2, 3\), got \(1, 2, 4\)"),
    (
        put("hx"),
        torch.zeros(1, 2, 3).double(),
        r"hx should be torch\.float32, .* got torch\.float64",
    ),
    (put("hx"), torch.zeros(1, 2, 3).to_sparse(), r"got torch\.float32, torch\.sparse_coo"),
    (put("hx"), torch.full((1, 2, 3), math.nan), "hx should be finite"),
    (put("hx"), [0.0], "hx should be a tensor, got list"),
    (put("text"), "0", "text should be a SHA-256 in hexadecimal, got '0'"),
    (put("text"), 3, "text should be a SHA-256"),
    (put("characters"), "", "characters should have at least one"),
    (put("characters"), " benorr", "characters should be ' benor', got ' benorr'"),
    (put("characters"), "tronb e", "characters should be ' benort', got 'tronb e'"),
    (put("characters"), " beno", r"embedding\.weight should have shape \(5, 2\), got \(7, 2\)"),
    (put("characters"), [" ", "b"], "type of characters"),
    (put("characters"), " benor\ud800", "surrogates not allowed"),
    (put("settings"), {}, "settings should have"),
    (put("settings"), None, "settings should be a dict, got NoneType"),
    (put("settings", "hidden_size"), 60_000, r"hx should have shape \(1, 2, 60000\), got"),
    (put("settings", "num_layers"), 100, r"hx should have shape \(100, 2, 3\), got"),
    (put("settings", "num_layers"), 10**12, "num_layers should be at most 100"),
    (put("settings", "embedding_size"), 2, None),
    (put("settings", "embedding_size"), 65_000, r"shape \(7, 65000\), got \(7, 2\)"),
    (put("settings", "dropout"), math.nan, "dropout should be at least 0, got nan"),
    (put("settings", "N"), 2**20, r"hx should have shape \(1, 1048576, 3\)"),
    (put("settings", "N"), 2.0, "N should be int, got float"),
    (put("settings", "extra"), 2, "settings should have"),
    (put("model"), [], "model should be a dict, got list"),
    (put("model", "extra"), torch.zeros(2), "model should have"),
    (
        put("model", "output.bias"),
        torch.zeros(8),
        r"output\.bias should have shape \(7,\), got \(8,\)",
    ),
    (put("model", "output.bias"), torch.zeros(7, dtype=torch.int64), r"got torch\.int64"),
    (put("model", "output.bias"), torch.zeros(7).half(), r"got torch\.float16"),
    (put("model", "output.bias"), torch.full((7,), math.inf), r"output\.bias should be finite"),
    (put("model", "output.bias"), torch.empty(7, device="meta"), "and on meta"),
    (put("model", "output.bias"), "0000000", "output.bias should be a tensor, got str"),
    (put("optimiser"), None, "optimiser should be a dict"),
    (put("optimiser", "state"), {}, "state should have"),
    (put("optimiser", "state"), [], "state should be a dict"),
    (put("optimiser", "state"), {False: {}}, r"state should have .*, got \[False\]"),
    (put(*MEAN), torch.zeros(3, 3), r"exp_avg of 2 should have shape \(9, 3\), got \(3, 3\)"),
    (put(*MEAN), torch.full((9, 3), math.nan), "exp_avg of 2 should be finite"),
    (put(*MEAN[:-1], "exp_avg_sq"), torch.full((9, 3), -1.0), "exp_avg_sq of 2 should not be neg"),
    (put(*MEAN[:-1], "step"), torch.tensor(5.0), r"step of 2 should be 4\.0, got 5\.0"),
    (put(*MEAN[:-1], "step"), 4, "step of 2 should be a tensor, got int"),
    (put(*MEAN[:-1], "extra"), 4, "state of 2 should have"),
    (put("optimiser", "param_groups"), {}, "type of param_groups"),
    (put("optimiser", "param_groups"), [], "number of param_groups should be 1, got 0"),
    (put(*GROUP), {"lr": 1.0}, "optimiser lr should be"),
    (put(*GROUP), 7, "'int' object has no attribute 'items'"),
    (put(*GROUP, "betas"), (5.0, 5.0), r"optimiser betas should be \(0\.9, 0\.999\), got \(5"),
    (put(*GROUP, "lr"), math.nan, "optimiser lr should be"),
    (put(*GROUP, "lr"), torch.zeros(2), "optimiser lr|Boolean value"),
    (put(*GROUP, "of another PyTorch"), 1, None),
    (put("generator"), torch.zeros(3, dtype=torch.uint8), r"generator should have shape"),
    (put("generator"), torch.full((5056,), 255, dtype=torch.uint8), "Invalid mt19937 state"),
    (put("generator"), None, "generator should be a tensor, got NoneType"),
    (put("extra"), 1, "contents should have"),
]


@pytest.mark.parametrize(("replace", "value", "message"), FORGED)
def test_a_forged_checkpoint_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    honest: dict[str, Any],
    replace: Callable[[dict[str, Any], Any], None],
    value: Any,
    message: str | None,
) -> None:
    contents = copy.deepcopy(honest)
    replace(contents, value)
    path, text = tmp_path / "run.ckpt", tmp_path / "text.txt"
    path.write_bytes(sealed(saved(contents)))
    text.write_text("to be or not to be " * 10, "utf-8")
    before = path.read_bytes()
    for command in (["sample", str(path)], ["train", str(path), "--text", str(text)]):
        status, said = outcome(command, capsys)
        if message is None:
            assert (status, said) == (0, "")
            continue
        assert status == 1
        start = f"error: {path} should be a checkpoint as training writes it: "
        assert said.startswith(start)
        assert re.search(message, said)
        assert said.count("\n") == 1
        assert path.read_bytes() == before


def test_what_is_shared_or_spread_in_a_checkpoint_is_its_own_afterwards(
    tmp_path: Path, honest: dict[str, Any]
) -> None:
    contents = copy.deepcopy(honest)
    for name in ("exp_avg", "exp_avg_sq"):  # one number that stands for all
        contents["optimiser"]["state"][2][name] = torch.ones(1, 1).expand(9, 3)
    path = tmp_path / "run.ckpt"
    path.write_bytes(sealed(saved(contents)))
    run = Training.resume(path, "to be or not to be " * 10)
    run.advance()
    state = run.optimiser.state_dict()["state"][2]
    assert len(state["exp_avg"].unique()) > 1
    assert not torch.equal(state["exp_avg"], state["exp_avg_sq"])


def test_the_steps_of_adam_end_where_float32_does(honest: dict[str, Any], tmp_path: Path) -> None:
    contents, path = copy.deepcopy(honest), tmp_path / "run.ckpt"
    contents["settings"]["steps"], contents["step"] = 2**25, 2**24 + 5
    rate = contents["settings"]["learning_rate"] * (1 - (2**24 + 4) / 2**25)
    contents["optimiser"]["param_groups"][0]["lr"] = rate
    for each in contents["optimiser"]["state"].values():
        each["step"] = torch.tensor(2.0**24) + 1  # which is 2**24
    path.write_bytes(sealed(saved(contents)))
    assert Training.resume(path, "to be or not to be " * 10).step == 2**24 + 5


def test_characters_that_are_not_those_of_the_text_are_refused(
    tmp_path: Path, honest: dict[str, Any]
) -> None:
    path = tmp_path / "run.ckpt"
    path.write_bytes(sealed(saved({**honest, "characters": "abcdefg"})))
    assert load_model(path)[1].characters == "abcdefg"
    with pytest.raises(ValueError, match="should have the 7 characters of the text, got 7 others"):
        Training.resume(path, "to be or not to be " * 10)


def test_nothing_of_a_checkpoint_is_executed(tmp_path: Path, honest: dict[str, Any]) -> None:
    path, trace = tmp_path / "run.ckpt", tmp_path / "executed"
    for contents in (Evil(trace), {**honest, "step": Evil(trace)}):
        path.write_bytes(sealed(saved(contents)))
        with pytest.raises(ValueError, match=r"torch\.load\(weights_only=True\) refuses it$"):
            load_model(path)
    assert not trace.exists()
    torch.load(io.BytesIO(saved(Evil(trace))), weights_only=False)
    assert trace.exists()  # it would have been


def test_a_file_that_grows_when_it_is_unpacked_is_refused(
    tmp_path: Path, honest: dict[str, Any]
) -> None:
    path, file = tmp_path / "run.ckpt", io.BytesIO()
    contents = {**honest, "hx": torch.zeros(100_000)}
    with (
        zipfile.ZipFile(io.BytesIO(saved(contents))) as source,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for name in source.namelist():
            target.writestr(name, source.read(name))
    path.write_bytes(sealed(file.getvalue()))
    with pytest.raises(ValueError, match=r"its members should have at most \d+ bytes, got 4\d{5}"):
        load_settings(path)


def foreign(honest: dict[str, Any]) -> Iterator[bytes]:
    """Give 400 files, the last 300 with a digest that is right."""
    draw, whole = random.Random(0), sealed(saved(honest))
    data = saved(honest)
    for _ in range(40):
        yield draw.randbytes(draw.randrange(200))
        yield whole[: draw.randrange(len(whole))]
    for _ in range(20):
        flipped = bytearray(whole)
        flipped[draw.randrange(len(whole))] ^= 1 << draw.randrange(8)
        yield bytes(flipped)
    for _ in range(50):
        yield sealed(draw.randbytes(draw.randrange(200)))
        yield sealed(data[: draw.randrange(len(data))])
    with zipfile.ZipFile(io.BytesIO(data)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    (pickled,) = (name for name in members if name.endswith("data.pkl"))
    for _ in range(100):  # the pickle itself, in a sound archive
        changed, file = bytearray(members[pickled]), io.BytesIO()
        for _ in range(draw.choice([1, 1, 3, 10])):
            changed[draw.randrange(len(changed))] = draw.randrange(256)
        with zipfile.ZipFile(file, "w") as target:
            for name, each in {**members, pickled: bytes(changed)}.items():
                target.writestr(name, each)
        yield sealed(file.getvalue())
    values: list[Any] = [
        None,
        -1,
        0,
        1,
        2**70,
        math.nan,
        "",
        "a",
        [],
        {},
        (),
        torch.zeros(()),
        b"",
        True,
    ]
    for _ in range(100):  # another value somewhere
        contents: Any = copy.deepcopy(honest)
        inner = contents
        while True:
            key = draw.choice(list(inner))
            if not isinstance(inner[key], dict) or draw.random() < 0.2:
                break
            inner = inner[key]
        inner[key] = draw.choice(values)
        yield sealed(saved(contents))


@pytest.mark.no_cover
@pytest.mark.filterwarnings("error")
def test_400_foreign_files_are_refused_in_one_line_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], honest: dict[str, Any]
) -> None:
    path, text = tmp_path / "run.ckpt", tmp_path / "text.txt"
    text.write_text("to be or not to be " * 10, "utf-8")
    refused = understood = 0
    for data in foreign(honest):
        path.write_bytes(data)
        for command in (
            ["sample", str(path), "--length", "2"],
            ["train", str(path), "--text", str(text)],
        ):
            status, said = outcome(command, capsys)
            if status:
                assert status == 1
                assert said.startswith("error: ")
                assert said.count("\n") == 1
                refused += 1
            else:  # a bit that means nothing, or another number of the same kind
                assert said == ""
                understood += 1
    assert refused + understood == 800
    assert refused > 740

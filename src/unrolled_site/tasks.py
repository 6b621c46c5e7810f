"""Small tasks for recurrent networks, and a loop that trains on them in seconds on one core.

All but one are classification tasks. A function draws a batch and returns `x`, with symbols as
one-hot rows, and `target`, the index of each right answer. `TMaze` gives rewards instead. Random
numbers come from PyTorch's global generator, so ``torch.manual_seed`` makes a run repeatable.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

__all__ = [
    "ALPHABET",
    "DIGITS",
    "NAMES",
    "REVIEW_WORDS",
    "STORY",
    "STORY_WORDS",
    "TMaze",
    "accuracy",
    "addition",
    "bars",
    "encode",
    "fit",
    "pet_stories",
    "recall",
    "reversal",
    "reviews",
    "spelling",
    "train",
]

Batch: TypeAlias = tuple[Tensor, Tensor]

NAMES = ("Oliver", "Luna", "Coco", "Milo")
"""Possible names of the pet."""

_SENTENCES = """
Alicia likes pets . She adopted a dog called Oliver .
She always carries a shoulder bag . Going on holiday she cannot take her pet
"""
STORY = tuple(_SENTENCES.split())
"""Four sentences, word by word, up to a blank that the pet's name should fill."""

STORY_WORDS = (*NAMES, *sorted(set(STORY) - set(NAMES)))
"""The vocabulary of the stories: first the names, then all other words of the story."""

REVIEW_WORDS = ("bad", "good", "not", "the", "film", "was", "very", "and", "I", "say")
"""The vocabulary of the reviews: first the words that matter, then words that do not."""

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
"""How the digits are spelled."""

ALPHABET = "." + "".join(sorted(set("".join(DIGITS))))
"""The full stop, which ends and pads a spelling, and the letters of `DIGITS`."""


def encode(words: Sequence[str], vocabulary: Sequence[str]) -> Tensor:
    """Write words as one-hot rows.

    Parameters
    ----------
    words : sequence of str
        L words.
    vocabulary : sequence of str
        V words; a word's position here is the position of the 1 in its row.

    Returns
    -------
    Tensor, shape (L, V)
        The rows, in float32.

    Raises
    ------
    ValueError
        If a word is not in the vocabulary.

    Examples
    --------
    >>> encode(["good", "bad"], ["bad", "good"])
    tensor([[0., 1.],
            [1., 0.]])
    """
    for word in words:
        if word not in vocabulary:
            raise ValueError(f"words should be in the vocabulary, got {word!r}")
    return _one_hot(torch.tensor([vocabulary.index(word) for word in words]), len(vocabulary))


def recall(N: int, gap: int, symbols: int = 4) -> Batch:
    """Draw sequences to recall: a symbol, a gap of other symbols, and a question.

    Parameters
    ----------
    N : int
        Sequences.
    gap : int
        Time steps between the symbol and the question.
    symbols : int, default 4
        How many different symbols there are to recall; the same number of others fill the gap.

    Returns
    -------
    x : Tensor, shape (N, gap + 2, 2 * symbols + 1)
        One-hot features: the symbols to recall, those of the gap, the question.
    target : Tensor, shape (N,)
        The first symbol of each sequence.

    Examples
    --------
    >>> x, target = recall(N=3, gap=2)
    >>> x.shape, torch.equal(x[:, 0].argmax(-1), target), x[0, -1].argmax().item()
    (torch.Size([3, 4, 9]), True, 8)
    """
    _check(N=(N, 1), gap=(gap, 0), symbols=(symbols, 1))
    target = torch.randint(symbols, (N,))
    filler = torch.randint(symbols, 2 * symbols, (N, gap))
    question = torch.full((N, 1), 2 * symbols)
    indices = torch.cat([target.unsqueeze(1), filler, question], dim=1)  # (N, gap + 2)
    return _one_hot(indices, 2 * symbols + 1), target


def pet_stories(N: int, noise: float = 0.3) -> Batch:
    """Draw variations of `STORY`, with a random name for the pet and some words replaced.

    Parameters
    ----------
    N : int
        Stories.
    noise : float, default 0.3
        Probability that a word other than the name is replaced by one drawn from the vocabulary
        without the names.

    Returns
    -------
    x : Tensor, shape (N, len(STORY), len(STORY_WORDS))
        The stories up to the blank.
    target : Tensor, shape (N,)
        The name that fills the blank, as its index in `NAMES`.

    Examples
    --------
    >>> x, target = pet_stories(N=3)
    >>> x.shape == (3, len(STORY), len(STORY_WORDS))
    True
    >>> torch.equal(x[:, STORY.index("Oliver")].argmax(-1), target)
    True
    """
    _check(N=(N, 1))
    story = torch.tensor([STORY_WORDS.index(word) for word in STORY]).repeat(N, 1)
    others = torch.randint(len(NAMES), len(STORY_WORDS), story.shape)
    indices = torch.where(torch.rand(story.shape) < noise, others, story)
    target = torch.randint(len(NAMES), (N,))
    indices[:, STORY.index("Oliver")] = target
    return _one_hot(indices, len(STORY_WORDS)), target


def bars(N: int, size: int = 5) -> Batch:
    """Draw small noisy pictures in which one row or one column is lit.

    Parameters
    ----------
    N : int
        Pictures.
    size : int, default 5
        Number of rows and of columns.

    Returns
    -------
    x : Tensor, shape (N, size * size)
        Brightness: 1 where lit, 0 elsewhere, plus normal noise of standard deviation 0.5.
    target : Tensor, shape (N,)
        0 for a row, 1 for a column.

    Examples
    --------
    >>> x, target = bars(N=3)
    >>> x.shape, target.shape
    (torch.Size([3, 25]), torch.Size([3]))
    """
    _check(N=(N, 1), size=(size, 2))
    lit = F.one_hot(torch.randint(size, (N,)), size).float()  # (N, size)
    target = torch.randint(2, (N,))
    column = target.bool().view(N, 1, 1)
    picture = torch.where(column, lit.unsqueeze(1), lit.unsqueeze(2))  # (N, size, size)
    return (picture + 0.5 * torch.randn(N, size, size)).flatten(1), target


def spelling() -> Batch:
    """Return the ten digits and their spellings. Nothing here is random.

    Returns
    -------
    x : Tensor, shape (10, 10)
        The digits.
    target : Tensor, shape (10, 5)
        Their letters, as indices in `ALPHABET`, padded with full stops.

    Examples
    --------
    >>> x, target = spelling()
    >>> "".join(ALPHABET[letter] for letter in target[6])
    'six..'
    """
    longest = max(map(len, DIGITS))
    target = [[ALPHABET.index(letter) for letter in word.ljust(longest, ".")] for word in DIGITS]
    return torch.eye(len(DIGITS)), torch.tensor(target)


def reviews(N: int, L: int = 8) -> Batch:
    """Draw reviews: "good" or "bad", in most of them a "not", and words that do not matter.

    Parameters
    ----------
    N : int
        Reviews.
    L : int, default 8
        Words in each.

    Returns
    -------
    x : Tensor, shape (N, L, len(REVIEW_WORDS))
        The reviews.
    target : Tensor, shape (N,)
        1 for praise, 0 for criticism. A "not" before the verdict reverses it; after the verdict it
        has no effect. Three reviews in four have a "not".

    Examples
    --------
    >>> x, target = reviews(N=3)
    >>> x.shape, target.shape
    (torch.Size([3, 8, 10]), torch.Size([3]))
    """
    _check(N=(N, 1), L=(L, 2))
    good = torch.randint(2, (N,))
    negated = torch.rand(N) < 0.75
    verdict_at, not_at = torch.rand(N, L).argsort(1)[:, :2].unbind(1)  # two different positions
    indices = torch.randint(3, len(REVIEW_WORDS), (N, L))
    rows = torch.arange(N)
    indices[rows[negated], not_at[negated]] = REVIEW_WORDS.index("not")
    indices[rows, verdict_at] = good
    return _one_hot(indices, len(REVIEW_WORDS)), good ^ (negated & (not_at < verdict_at)).long()


def reversal(N: int, L: int = 5, symbols: int = 10) -> Batch:
    """Draw sequences of symbols to read and then to write backwards.

    Parameters
    ----------
    N : int
        Sequences.
    L : int, default 5
        Time steps.
    symbols : int, default 10
        Different symbols.

    Returns
    -------
    x : Tensor, shape (N, L, symbols)
        The symbols to read.
    target : Tensor, shape (N, L)
        The symbols to write.

    Examples
    --------
    >>> x, target = reversal(N=3)
    >>> torch.equal(x.argmax(-1).flip(1), target)
    True
    """
    _check(N=(N, 1), L=(L, 1), symbols=(symbols, 1))
    indices = torch.randint(symbols, (N, L))
    return _one_hot(indices, symbols), indices.flip(1)


def addition(N: int, L: int = 8) -> Batch:
    """Draw pairs of binary numbers to add, lowest bit first.

    Parameters
    ----------
    N : int
        Pairs.
    L : int, default 8
        Bits, at most 62; the highest is 0 in both numbers, so that the sum fits.

    Returns
    -------
    x : Tensor, shape (N, L, 2)
        One bit of each number at each time step.
    target : Tensor, shape (N, L)
        The digits of the sum, in base 2.

    Examples
    --------
    >>> x, target = addition(N=3)
    >>> powers = 2 ** torch.arange(8)
    >>> torch.equal((x * powers[:, None]).sum((1, 2)).long(), (target * powers).sum(1))
    True
    """
    _check(N=(N, 1), L=(L, 1))
    if L > 62:  # the sum is an int64
        raise ValueError(f"L should be at most 62, got {L}")
    bits = torch.randint(2, (N, L, 2))
    bits[:, -1] = 0
    powers = 2 ** torch.arange(L)
    total = (bits * powers.unsqueeze(1)).sum((1, 2))  # (N,)
    return bits.float(), total.unsqueeze(1) // powers % 2


class TMaze:
    """Corridors that end in a junction, where the first sign of the corridor says which way to go.

    Every corridor is an episode: a walker passes one sign after the other, reaches the junction,
    turns left or right, is paid, and finds itself at the first sign of another corridor. It walks
    by itself, so the only action that matters is the one at the junction. All signs look alike:
    those after the first, and those of earlier corridors, mislead.

    It follows the T-maze of B. Bakker (2001), "Reinforcement learning with long short-term memory",
    NIPS 14, whose corridor has one sign and is walked by the agent.

    Parameters
    ----------
    N : int
        Walkers, each in a corridor of its own.
    longest : int, default 6
        Signs in the longest corridor; all numbers from 1 are equally likely.

    Attributes
    ----------
    seen : Tensor, shape (N, 3)
        What is in front of each walker, as one-hot rows of float32: a sign to the left, a sign to
        the right, the junction.

    Raises
    ------
    ValueError
        If `N` or `longest` is below 1.

    Examples
    --------
    >>> maze = TMaze(N=3, longest=1)
    >>> sign = maze.seen.argmax(-1)  # the only one
    >>> maze.step(torch.tensor([0, 0, 0]))
    (tensor([0., 0., 0.]), tensor([False, False, False]))
    >>> maze.step(sign)
    (tensor([1., 1., 1.]), tensor([True, True, True]))
    """

    def __init__(self, N: int, longest: int = 6) -> None:
        _check(N=(N, 1), longest=(longest, 1))
        self._longest = longest
        self._first = self._left = torch.zeros(N, dtype=torch.long)  # sign; signs still to come
        self._walk(torch.ones(N, dtype=torch.bool))

    def step(self, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Pay for what the walkers do in front of `seen`, and let them walk on.

        Parameters
        ----------
        actions : Tensor of integers, shape (N,)
            0 to turn left, 1 to turn right; it matters only at the junction.

        Returns
        -------
        reward : Tensor, shape (N,)
            At the junction 1 for the right way and -1 for the other, elsewhere 0.
        done : Tensor of bool, shape (N,)
            Whether this step was the last one of its episode; `seen` is then already the first sign
            of the next.

        Raises
        ------
        ValueError
            If `actions` has another shape.
        """
        if actions.shape != self._first.shape:
            raise ValueError(
                f"actions should have shape {tuple(self._first.shape)}, got {tuple(actions.shape)}"
            )
        done = self._left == 0
        reward = torch.where(done, torch.where(actions == self._first, 1.0, -1.0), 0.0)
        self._walk(done)
        return reward, done

    def _walk(self, new: Tensor) -> None:
        """Go one step on, or into another corridor."""
        sign = torch.randint(2, new.shape)
        self._first = torch.where(new, sign, self._first)
        self._left = torch.where(new, torch.randint(self._longest, new.shape) + 1, self._left - 1)
        self.seen = _one_hot(torch.where(self._left > 0, sign, 2), 3)


def train(
    model: nn.Module,
    draw: Callable[[], Batch],
    steps: int,
    learning_rate: float = 1e-2,
    reports: int = 4,
) -> None:
    """Train a classifier with Adam and print the loss now and then.

    Gradients are clipped to norm 1: in a recurrent network they are occasionally far larger than
    usual, and one such step would undo many others.

    Parameters
    ----------
    model : torch.nn.Module
        Returns logits, ``(..., classes)``.
    draw : callable
        ``draw()`` returns a batch: ``x``, and ``target`` of shape ``(...)``.
    steps : int
        Updates, each with a separate batch.
    learning_rate : float, default 1e-2
        Learning rate of Adam.
    reports : int, default 4
        Lines to print; 0 prints none.

    Examples
    --------
    >>> model = nn.Linear(25, 2)
    >>> train(model, lambda: bars(N=8), steps=20, reports=2)  # doctest: +ELLIPSIS
    step  10: loss ...
    step  20: loss ...
    """
    _check(steps=(steps, 1), reports=(reports, 0))

    def loss(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits.flatten(0, -2), target.flatten())

    optimiser = torch.optim.Adam(model.parameters(), lr=learning_rate)
    for step, value in enumerate(_updates(model, draw, steps, loss, optimiser), start=1):
        if step * reports // steps > (step - 1) * reports // steps:
            print(f"step {step:3}: loss {value:.4f}")  # noqa: T201 # it is asked to


def fit(
    model: nn.Module,
    draw: Callable[[], Batch],
    steps: int,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    optimiser: torch.optim.Optimizer | None = None,
) -> list[float]:
    """Train as `train` does, with any loss and optimiser, and give the losses.

    Parameters
    ----------
    model : torch.nn.Module
        What it returns is what `loss` takes first.
    draw : callable
        ``draw()`` returns a batch: ``x`` and ``target``.
    steps : int
        Updates, each with a separate batch.
    loss : callable, default `torch.nn.functional.cross_entropy`
        ``loss(model(x), target)`` is minimised.
    optimiser : torch.optim.Optimizer, optional
        By default Adam with a learning rate of 0.01.

    Returns
    -------
    list of float
        The loss before each update.

    Examples
    --------
    >>> losses = fit(nn.Linear(4, 4), lambda: (torch.eye(4), torch.arange(4)), steps=20)
    >>> len(losses), losses[-1] < losses[0]
    (20, True)
    """
    _check(steps=(steps, 1))
    optimiser = optimiser or torch.optim.Adam(model.parameters(), lr=1e-2)
    return list(_updates(model, draw, steps, loss, optimiser))


def _updates(
    model: nn.Module,
    draw: Callable[[], Batch],
    steps: int,
    loss: Callable[[Tensor, Tensor], Tensor],
    optimiser: torch.optim.Optimizer,
) -> Iterator[float]:
    """Make updates, with the gradients clipped to norm 1; give the loss before each."""
    for _ in range(steps):
        x, target = draw()
        value = loss(model(x), target)
        optimiser.zero_grad()
        torch.autograd.backward(value)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimiser.step()
        yield value.item()


def accuracy(model: nn.Module, x: Tensor, target: Tensor) -> float:
    """Measure the share of right answers.

    Parameters
    ----------
    model : torch.nn.Module
        Returns logits, ``(..., classes)``.
    x : Tensor
        A batch.
    target : Tensor, shape (...)
        The right answers.

    Returns
    -------
    float
        The fraction of answers whose largest logit is the right one, from 0 to 1.

    Examples
    --------
    >>> accuracy(nn.Identity(), torch.tensor([[0.1, 0.9], [0.8, 0.2]]), torch.tensor([1, 1]))
    0.5
    """
    with torch.no_grad():
        return (model(x).argmax(-1) == target).float().mean().item()


def _one_hot(indices: Tensor, count: int) -> Tensor:
    """Turn indices into one-hot rows of float32."""
    return F.one_hot(indices, count).float()


def _check(**arguments: tuple[int, int]) -> None:
    """Refuse a count that is too small."""
    for name, (value, least) in arguments.items():
        if value < least:
            raise ValueError(f"{name} should be at least {least}, got {value}")

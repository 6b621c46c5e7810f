"""Seven networks of one size, trained on three tasks: what the page *What to choose* compares.

A network gets the learning rate of four that does best with a seed which is then not used again.
The whole comparison takes minutes; ``nox -s studies`` makes it and records it for the page.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled import schemes
from unrolled_site.alternatives import (
    DiagonalStateSpace,
    DilatedConvolution,
    Recurrent,
    SmallTransformer,
)
from unrolled_site.tasks import addition, recall, reversal

__all__ = [
    "BUDGET",
    "NETWORKS",
    "RATES",
    "SEEDS",
    "TASKS",
    "UPDATES",
    "compare",
    "drawn",
    "followed",
    "recalling",
    "score",
    "trained",
]

Batch = tuple[Tensor, Tensor]

BUDGET = 5200  # parameters, with the layers before and after
N, UPDATES, SEEDS = 32, 160, (1, 2)
RATES = 0.003, 0.01, 0.03, 0.1

#: How to make each network for a number of features and of classes.
NETWORKS: dict[str, Callable[[int, int], nn.Module]] = {
    "RNN": lambda features, C: Recurrent(nn.RNN, features, 67, C),
    "GRU": lambda features, C: Recurrent(nn.GRU, features, 37, C),
    "LSTM": lambda features, C: Recurrent(nn.LSTM, features, 32, C),
    "LSTM, chrono_": lambda features, C: Recurrent(nn.LSTM, features, 32, C),
    "convolution": lambda features, C: DilatedConvolution(features, 18, C),
    "transformer": lambda features, C: SmallTransformer(features, 16, C),
    "linear SSM": lambda features, C: DiagonalStateSpace(features, 22, C, states=22),
}


def recalling(steps: int) -> Batch:
    """Draw a batch of `recall` with a target of shape (N, 1)."""
    x, target = recall(N, steps)  # (N, steps + 2, 9), (N,)
    return x, target.unsqueeze(1)  # (N, 1)


def adding(bits: int) -> Batch:
    return addition(N, bits)  # (N, bits, 2), (N, bits)


def reversing(symbols: int) -> Batch:
    x, target = reversal(N, symbols, symbols=6)
    return F.pad(x, (0, 0, 0, symbols)), target  # nothing to read while writing


#: How to draw a batch of each task, the length of training, features and classes.
TASKS: dict[str, tuple[Callable[[int], Batch], int, int, int]] = {
    "recall": (recalling, 20, 9, 4),
    "addition": (adding, 16, 2, 2),
    "reversal": (reversing, 6, 6, 6),
}


def drawn(seed: int, task: str, number: int, length: int | None = None) -> list[Batch]:
    """Draw batches of a task.

    Parameters
    ----------
    seed : int
        Of PyTorch's generator.
    task : str
        A key of `TASKS`.
    number : int
        How many batches.
    length : int, optional
        That of training if left out.

    Returns
    -------
    list of tuple of Tensor
        ``x`` of shape (N, L, features) and ``target`` of shape (N, targets), each.
    """
    torch.manual_seed(seed)
    draw, usual, *_ = TASKS[task]
    return [draw(length or usual) for _ in range(number)]


def logits_of(model: nn.Module, x: Tensor, target: Tensor) -> Tensor:
    """Give the last steps, as many as there are targets: (N, C, targets)."""
    last: Tensor = model(x)[:, -target.shape[1] :]
    return last.transpose(1, 2)


def trained(name: str, task: str, seed: int, rate: float, batches: Sequence[Batch]) -> nn.Module:
    """Make a network and train it, with Adam and a rate that falls linearly to zero.

    Parameters
    ----------
    name, task : str
        Keys of `NETWORKS` and `TASKS`.
    seed : int
        Of the initial parameters.
    rate : float
        The learning rate of the first update.
    batches : sequence of tuple of Tensor
        One for each update, as `drawn` gives them.

    Returns
    -------
    torch.nn.Module
        The trained network, in evaluation mode.

    Examples
    --------
    >>> model = trained("GRU", "addition", 1, 0.03, drawn(1, "addition", 20))
    >>> 0.5 < score(model, drawn(2, "addition", 4))[1] < 1
    True
    """
    torch.manual_seed(seed)
    model = NETWORKS[name](*TASKS[task][2:])
    if name == "LSTM, chrono_":
        schemes.chrono_(model.get_submodule("rnn"), batches[0][0].shape[1])
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1, 0, len(batches))
    for x, target in batches:
        loss = F.cross_entropy(logits_of(model, x, target), target)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimiser.step()
        falling.step()
    return model.eval()


def score(model: nn.Module, batches: Sequence[Batch]) -> tuple[float, float]:
    """Give the mean loss and the share of right answers.

    Parameters
    ----------
    model : torch.nn.Module
        A network of `NETWORKS`.
    batches : sequence of tuple of Tensor
        As `drawn` gives them.

    Returns
    -------
    loss, right : float
        The mean cross entropy, and the share of targets that have the largest logit.

    Examples
    --------
    >>> torch.manual_seed(0)
    <torch._C.Generator object at 0x...>
    >>> loss, right = score(NETWORKS["GRU"](2, 2), drawn(1, "addition", 2))
    >>> 0.3 < right < 0.7
    True
    """
    with torch.no_grad():
        pairs = [(logits_of(model, *batch), batch[1]) for batch in batches]
    losses = [F.cross_entropy(*pair).item() for pair in pairs]
    right = [(logits.argmax(1) == target).float().mean().item() for logits, target in pairs]
    return sum(losses) / len(losses), sum(right) / len(right)


def followed(model: nn.Module) -> float:
    """Give how often a network that recalls names a decoy.

    The decoy is a second symbol, placed as many steps before the question as the first was in
    training; the gap is twice as long.

    Parameters
    ----------
    model : torch.nn.Module
        A network that was trained on ``"recall"``.

    Returns
    -------
    float
        The share of 500 answers that name the decoy; guessing gives one quarter.

    Examples
    --------
    >>> round(followed(lambda x: x[:, -22:-21, :4]), 1)  # it looks 22 steps back
    1.0
    """
    torch.manual_seed(1000)
    length = TASKS["recall"][1]
    sequence, _ = recall(500, 2 * length)  # (500, 2 * length + 2, 9)
    decoy = torch.randint(4, (500, 1))  # (500, 1)
    sequence[:, -length - 2] = F.one_hot(decoy[:, 0], 9).float()
    return score(model, [(sequence, decoy)])[1]


def compare(
    name: str,
    task: str,
    *,
    rates: Sequence[float] = RATES,
    seeds: Sequence[int] = SEEDS,
    updates: int = UPDATES,
) -> tuple[float, dict[int, nn.Module]]:
    """Choose a rate for a network, and train the network with this rate and each seed.

    Parameters
    ----------
    name, task : str
        Keys of `NETWORKS` and `TASKS`.
    rates : sequence of float
        To choose from.
    seeds : sequence of int
        One run each; seed 0 is for the choice.
    updates : int
        In every run.

    Returns
    -------
    rate : float
        The one with the lowest loss on held-out batches, after training with seed 0.
    models : dict
        A trained network for each seed.

    Examples
    --------
    >>> rate, models = compare("GRU", "addition", rates=(0.001, 0.03), seeds=(1,), updates=20)
    >>> rate, len(models)
    (0.03, 1)
    """
    held_out = drawn(2000, task, 8)
    first = drawn(0, task, updates)
    losses = {rate: score(trained(name, task, 0, rate, first), held_out)[0] for rate in rates}
    rate = min(losses, key=losses.__getitem__)
    return rate, {
        seed: trained(name, task, seed, rate, drawn(seed, task, updates)) for seed in seeds
    }

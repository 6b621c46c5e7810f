"""The usual remedies for long sequences, each tried on one task with a gap of 500 steps.

The page *When a network does not learn* shows what they achieve. All runs together take minutes;
``nox -s studies`` makes them and records them for the page.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

import unrolled
from unrolled import schemes
from unrolled_site.tasks import accuracy, recall

__all__ = ["GAP", "MOST", "RATE", "TRIALS", "Reader", "Run", "learn"]

Trial = tuple[Callable[[], Any], int, dict[str, Any]]

GAP, MOST, RATE = 500, 220, 0.015


class Reader(nn.Module):
    """Read a sequence and answer with one of some classes.

    Parameters
    ----------
    rnn : torch.nn.Module
        A recurrent module with ``batch_first=True``.
    classes : int
        To answer with.

    Examples
    --------
    >>> Reader(nn.GRU(9, 20, batch_first=True))(torch.zeros(3, 5, 9)).shape
    torch.Size([3, 4])
    """

    def __init__(self, rnn: nn.Module, classes: int = 4):
        super().__init__()
        self.rnn, self.out = rnn, nn.Linear(int(rnn.hidden_size), classes)  # type: ignore[arg-type]  # every recurrent module has it

    def forward(self, x: Tensor) -> Tensor:  # (N, L, H_in)
        """Give the logits of the answer, of shape (N, classes)."""
        last: Tensor = self.out(self.rnn(x)[0][:, -1])
        return last  # (N, classes)


class Truncated(Reader):
    """The same in pieces of 100 steps, between which no gradient passes."""

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for piece in torch.split(x, 100, dim=1):
            output, state = self.rnn(piece, state)
            state = tuple(part.detach() for part in state)
        last: Tensor = self.out(output[:, -1])
        return last


class NormalisedStep(nn.Module):
    """The step of an LSTM with layer normalisation, as in *Change the recurrence*."""

    def __init__(self, hidden_size: int):
        super().__init__()
        self.norm_x = nn.LayerNorm(4 * hidden_size)
        self.norm_h = nn.LayerNorm(4 * hidden_size)
        self.norm_c = nn.LayerNorm(hidden_size)

    def forward(
        self,
        x_projected: Tensor,
        state: tuple[Tensor, Tensor],
        weight_hh: Tensor,
        bias_hh: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        h, c = state  # (N, H_out) each
        from_h = self.norm_h(F.linear(h, weight_hh, bias_hh))  # (N, 4 * H_out)
        i, f, g, o = (self.norm_x(x_projected) + from_h).chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(self.norm_c(c)), c


def module(kind: Callable[..., Any], **options: Any) -> Any:
    return kind(9, 32, batch_first=True, **options)


def chrono(kind: Callable[..., Any]) -> Any:
    return schemes.chrono_(module(kind), GAP + 2)


def normalised(biases: Any = None) -> Any:
    step = NormalisedStep(32)
    if biases is not None:  # the shift of the normalisation has their place
        with torch.no_grad():
            step.norm_x.bias.copy_(biases.bias_ih_l0 + biases.bias_hh_l0)
    return module(unrolled.LSTM, bias=False, step=step)


def forgetting_little() -> Any:
    return schemes.forget_bias_(schemes.orthogonal_(module(nn.LSTM)))


def identity() -> Any:
    return schemes.identity_(module(nn.RNN, nonlinearity="relu"))


def short() -> int:
    return int(torch.randint(20, ()))


#: How the module is made, with how many seeds, and what else is different.
TRIALS: dict[str, Trial] = {
    "LSTM, as PyTorch starts": (lambda: module(nn.LSTM), 2, {}),
    "LSTM, orthogonal_, forget_bias_": (forgetting_little, 1, {}),
    "LSTM, chrono_": (lambda: chrono(nn.LSTM), 2, {}),
    "LSTM, chrono_, no clipping": (lambda: chrono(nn.LSTM), 2, {"clip": math.inf}),
    "LSTM, chrono_, cut every 100": (lambda: chrono(nn.LSTM), 1, {"reader": Truncated}),
    "LSTM, trained on gaps below 20": (lambda: module(nn.LSTM), 2, {"gap": short}),
    "LSTM, layer norm": (normalised, 1, {}),
    "LSTM, layer norm, chrono_": (lambda: normalised(chrono(nn.LSTM)), 2, {}),
    "GRU, as PyTorch starts": (lambda: module(nn.GRU), 1, {}),
    "GRU, chrono_": (lambda: chrono(nn.GRU), 1, {}),
    "RNN, as PyTorch starts": (lambda: module(nn.RNN), 2, {}),
    "RNN, orthogonal_": (lambda: schemes.orthogonal_(module(nn.RNN)), 2, {}),
    "RNN, relu, identity_": (identity, 1, {}),
}


class Run(NamedTuple):
    """What came of one run.

    Attributes
    ----------
    right : list of float
        The share of right answers in each batch of the training.
    at_gap : float
        The share of right answers over `GAP` steps afterwards.
    read : int
        The time steps that were read in training.
    """

    right: list[float]
    at_gap: float
    read: int


def learn(
    make: Callable[[], Any],
    seed: int,
    *,
    reader: type[Reader] = Reader,
    gap: Callable[[], int] = lambda: GAP,
    clip: float = 1.0,
    most: int = MOST,
) -> Run:
    """Train until five batches in a row are right, or for `most` updates.

    Parameters
    ----------
    make : callable
        Gives the recurrent module, as in `TRIALS`.
    seed : int
        Of the initial parameters and the batches.
    reader : type
        `Reader`, or a class derived from it.
    gap : callable
        Gives the gap of the next batch.
    clip : float
        The largest norm of a gradient.
    most : int
        Updates after which a run ends.

    Returns
    -------
    Run
        What came of it.

    Examples
    --------
    >>> run = learn(lambda: nn.GRU(9, 20, batch_first=True), 0, gap=lambda: 2, most=4)
    >>> len(run.right), run.read
    (4, 256)
    """
    torch.manual_seed(seed)
    model = reader(make())
    optimiser = torch.optim.Adam(model.parameters(), lr=RATE)
    right: list[float] = []
    in_a_row = read = 0
    while len(right) < most:
        x, target = recall(16, gap())  # (N, L, 9), (N,)
        logits = model(x)  # (N, 4)
        right.append((logits.argmax(1) == target).float().mean().item())
        in_a_row = in_a_row + 1 if right[-1] == 1 else 0
        read += x.shape[0] * x.shape[1]
        if in_a_row == 5:
            break
        optimiser.zero_grad()
        torch.autograd.backward(F.cross_entropy(logits, target))
        nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimiser.step()
    torch.manual_seed(100 + seed)
    return Run(right, accuracy(model, *recall(500, GAP)), read)

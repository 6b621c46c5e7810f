"""The network: an embedding, a GRU and an output layer; how to measure it and sample from it."""

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled.modules import GRU
from unrolled_site.language.data import Vocabulary, streams

__all__ = ["LanguageModel", "bits_per_character", "correlations", "sample", "write"]


class LanguageModel(nn.Module):
    """Predict each next character from all that came before.

    Parameters
    ----------
    V : int
        Characters in the vocabulary.
    embedding_size : int
        Features that represent a character in the input of the GRU.
    hidden_size : int
        Features of the GRU's hidden state.
    num_layers : int, default 1
        Layers of the GRU.
    dropout : float, default 0.0
        Probability of zeroing a feature during training: of the embedding, between the layers of
        the GRU, and of its output.

    Raises
    ------
    TypeError, ValueError
        Where ``torch.nn.Embedding``, ``torch.nn.GRU`` and ``torch.nn.Dropout`` raise them; also
        ``ValueError`` if `V` or `embedding_size` is not at least 1.

    Examples
    --------
    >>> model = LanguageModel(V=7, embedding_size=10, hidden_size=20)
    >>> logits, hx = model(torch.zeros(5, 3, dtype=torch.long))
    >>> logits.shape, hx.shape
    (torch.Size([5, 3, 7]), torch.Size([1, 3, 20]))
    """

    def __init__(
        self,
        V: int,
        embedding_size: int,
        hidden_size: int,
        num_layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        for name, value in (("V", V), ("embedding_size", embedding_size)):
            if value < 1:
                raise ValueError(f"{name} should be at least 1, got {value}")
        between = dropout if num_layers > 1 else 0.0  # else torch warns that there is no between
        self.embedding = nn.Embedding(V, embedding_size)
        self.gru = GRU(embedding_size, hidden_size, num_layers, dropout=between, fast=True)
        self.output = nn.Linear(hidden_size, V)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read N streams for L time steps.

        Parameters
        ----------
        x : Tensor of int64, shape (L, N)
            Numbers of characters.
        hx : Tensor, shape (num_layers, N, H_out), optional
            State before the first step; zeros if left out.

        Returns
        -------
        logits : Tensor, shape (L, N, V)
            Logits for the character after each one; softmax turns them into probabilities.
        hx : Tensor, shape (num_layers, N, H_out)
            State after the last step, from which the next part of the streams continues.

        Examples
        --------
        >>> model, x = LanguageModel(7, 10, 20).requires_grad_(False), torch.tensor([[3], [1], [4]])
        >>> whole, _ = model(x)
        >>> _, hx = model(x[:2])
        >>> torch.allclose(model(x[2:], hx)[0], whole[2:], atol=1e-6)
        True
        """
        output, hx = self.gru(self.dropout(self.embedding(x)), hx)  # (L, N, H_out)
        return self.output(self.dropout(output)), hx


def bits_per_character(model: nn.Module, numbers: Tensor, N: int = 1, L: int = 1000) -> float:
    """Measure how well a model predicts a text.

    Parameters
    ----------
    model : torch.nn.Module
        Called like `LanguageModel`. It is evaluated without dropout, and its mode is then restored.
    numbers : Tensor of int64, shape (characters,)
        The text.
    N : int, default 1
        Number of streams, as in `streams`. More streams are faster, but each begins with a state of
        zeros; with one, every character has all the text before it as context.
    L : int, default 1000
        Time steps per call of the model; more need more memory.

    Returns
    -------
    float
        The mean of ``-log2 p`` over the targets of the streams.

    Raises
    ------
    ValueError
        If there are not enough characters for `N`.

    Examples
    --------
    >>> model = LanguageModel(8, 10, 20)
    >>> _ = model.output.weight.data.zero_(), model.output.bias.data.zero_()
    >>> round(bits_per_character(model, torch.arange(8)), 3)  # all alike: log2 8
    3.0
    """
    x, target = streams(numbers, N)
    training, nats, hx = model.training, 0.0, None
    model.eval()
    with torch.no_grad():
        for start in range(0, len(x), L):
            part = slice(start, start + L)
            logits, hx = model(x[part], hx)  # (L, N, V), (num_layers, N, H_out)
            loss = F.cross_entropy(logits.flatten(0, 1), target[part].flatten(), reduction="sum")
            nats += loss.item()
    model.train(training)
    return nats / target.numel() / math.log(2)


def sample(
    model: nn.Module,
    vocabulary: Vocabulary,
    length: int,
    temperature: float = 1.0,
    prompt: str | None = None,
    generator: torch.Generator | None = None,
) -> str:
    """Let a model write: sample a character, feed it back, sample the next.

    Parameters
    ----------
    model : torch.nn.Module
        Called like `LanguageModel`. It runs without dropout, and its mode is then restored.
    vocabulary : Vocabulary
        What its numbers mean.
    length : int
        Characters to write.
    temperature : float, default 1.0
        The number by which the logits are divided: below 1, likely characters become likelier;
        above 1, the probabilities become more alike.
    prompt : str, optional
        The text that the model reads first, at least one character; `Vocabulary.opening` if left
        out.
    generator : torch.Generator, optional
        Source of the random numbers; PyTorch's global generator if left out.

    Returns
    -------
    str
        The text that the model writes, without the prompt.

    Raises
    ------
    ValueError
        If `length` is negative, `temperature` is not a finite number greater than zero, `prompt` is
        empty or has a character that is not in the vocabulary, or the logits of `model` do not give
        probabilities.

    Examples
    --------
    >>> vocabulary = Vocabulary("ab")
    >>> len(sample(LanguageModel(2, 3, 5), vocabulary, length=4, prompt="a"))
    4
    """
    return "".join(write(model, vocabulary, length, temperature, prompt, generator))


def write(
    model: nn.Module,
    vocabulary: Vocabulary,
    length: int,
    temperature: float = 1.0,
    prompt: str | None = None,
    generator: torch.Generator | None = None,
) -> Iterator[str]:
    """Let a model write as `sample` does, yielding each character as it is sampled.

    Parameters
    ----------
    model, vocabulary, length, temperature, prompt, generator
        As in `sample`.

    Returns
    -------
    iterator of str
        `length` characters.

    Raises
    ------
    ValueError
        As in `sample`, before the first character; because of the logits, when they are computed.

    Examples
    --------
    >>> len(list(write(LanguageModel(2, 3, 5), Vocabulary("ab"), length=4, prompt="a")))
    4
    """
    if length < 0:
        raise ValueError(f"length should not be negative, got {length}")
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature should be greater than zero and finite, got {temperature}")
    if prompt is None:
        prompt = vocabulary.opening
    if not prompt:
        raise ValueError("prompt should have at least one character, got ''")
    x = vocabulary.encode(prompt, "prompt").unsqueeze(1)  # (L, 1)
    drawn = islice(_drawn(model, x, temperature, generator), length)
    return map(vocabulary.characters.__getitem__, drawn)


@torch.no_grad()
def _drawn(
    model: nn.Module, x: Tensor, temperature: float, generator: torch.Generator | None
) -> Iterator[int]:
    """Draw numbers of characters without end."""
    hx = None
    while True:
        training = model.training
        model.eval()
        try:
            logits, hx = model(x, hx)  # (L, 1, V)
        finally:
            model.train(training)
        # The largest logit becomes 0, so that a low temperature makes none infinite. In float32
        # one below the smallest normal number could be 0, and would draw the same.
        smallest = torch.finfo(logits.dtype).tiny
        scaled = (logits[-1] - logits[-1].max()) / max(temperature, smallest)
        p = scaled.softmax(1)
        if p.isnan().any():
            raise ValueError("logits of the model should be numbers, got NaN or infinity")
        x = torch.multinomial(p, 1, generator=generator)  # (1, 1)
        yield int(x)


def correlations(states: Tensor, feature: Tensor) -> Tensor:
    """Correlate every unit with a feature of the text.

    Parameters
    ----------
    states : Tensor, shape (L, H_out)
        States after each character.
    feature : Tensor, shape (L,)
        Value of the feature after each character.

    Returns
    -------
    Tensor, shape (H_out,)
        Pearson's correlation, from -1 to 1; 0 if the unit or the feature never changes.

    Raises
    ------
    ValueError
        If the number of states differs from the number of feature values.

    Examples
    --------
    >>> states = torch.tensor([[0.0, 3.0, 1.0], [0.5, 2.0, 1.0], [1.0, 1.0, 1.0]])
    >>> correlations(states, torch.tensor([5.0, 6.0, 7.0]))
    tensor([ 1., -1.,  0.])
    """
    if len(states) != len(feature):
        raise ValueError(
            f"feature should have as many values as there are states, {len(states)}, "
            f"got {len(feature)}"
        )
    return (_standardised(feature) @ _standardised(states)).to(states.dtype)


def _standardised(values: Tensor) -> Tensor:
    """Subtract the mean and divide by the norm; zeros where nothing changes."""
    values = values.double()
    differences = values - values.mean(0)
    norm = differences.norm(dim=0)
    still = norm <= 1e-9 * values.norm(dim=0)  # that little is rounding
    return differences / norm.masked_fill(still, torch.inf)

"""Training that can be stopped at any moment and goes on to the same numbers, bit for bit."""

import hashlib
import io
import math
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled.files import write_whole
from unrolled_site.language.data import Vocabulary, split, streams
from unrolled_site.language.model import LanguageModel, bits_per_character

__all__ = ["Settings", "Training", "load_model", "load_settings"]

_HEADER = b"unrolled_site.language checkpoint 1\n"
_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Settings:
    """All that decides the numbers of a training run, the text excepted.

    Attributes
    ----------
    embedding_size, hidden_size, num_layers, dropout
        As in `LanguageModel`.
    N : int, default 32
        Streams that are read side by side.
    L : int, default 64
        Time steps from one update to the next: gradients go back no further.
    steps : int, default 20000
        Updates of the whole run.
    learning_rate : float, default 4e-3
        Of Adam, at the beginning; it falls in a straight line and is 0 after the last update.
    max_norm : float, default 1.0
        To which the norm of a gradient is clipped.
    seed : int, default 0
        Of the initial parameters and of dropout.

    Raises
    ------
    ValueError
        If a count is not at least 1, or a rate or a norm is not a finite number greater than 0.

    Examples
    --------
    >>> Settings(hidden_size=20).hidden_size
    20
    """

    embedding_size: int = 32
    hidden_size: int = 256
    num_layers: int = 1
    dropout: float = 0.2
    N: int = 32
    L: int = 64
    steps: int = 20_000
    learning_rate: float = 4e-3
    max_norm: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; the layers refuse the rest.

        Examples
        --------
        >>> Settings(steps=0)
        Traceback (most recent call last):
        ValueError: steps should be at least 1, got 0
        """
        for name in ("N", "L", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} should be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "max_norm"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(
                    f"{name} should be greater than zero and finite, got {getattr(self, name)}"
                )


class Training:
    """A training run: a model, and how far it has come.

    Random numbers come from a generator of its own: what else draws some, as sampling does, has no
    influence, and PyTorch's global generator stays as it is.

    Parameters
    ----------
    text : str
        It is cut in three by `split`.
    settings : Settings
        What decides the numbers.

    Attributes
    ----------
    model : LanguageModel
        It changes with every update.
    vocabulary : Vocabulary
        The characters of `text`.
    step : int
        Updates made.
    hx : Tensor, shape (num_layers, N, H_out), or None
        The state with which the next chunk begins; None is zeros.
    norm : float
        Norm of the last gradient, before it was clipped; not a number before the first.
    generator : Tensor of uint8
        State of the random generator.

    Raises
    ------
    ValueError
        If a part of the text is too short for the streams and chunks of the settings.

    Examples
    --------
    >>> run = Training("to be or not to be " * 40, Settings(hidden_size=20, N=3, L=5, steps=4))
    >>> bits = [run.advance() for _ in range(4)]
    >>> run.step, run.finished, run.hx.shape
    (4, True, torch.Size([1, 3, 20]))
    """

    def __init__(self, text: str, settings: Settings) -> None:
        self.settings = settings
        self.digest = _digest(text)
        self.vocabulary = Vocabulary(text)
        parts = split(text)
        if len(parts.validation) < 2:
            raise ValueError(f"text should have at least 20 characters, got {len(text)}")
        self.validation = self.vocabulary.encode(parts.validation)
        self.x, self.target = streams(self.vocabulary.encode(parts.training), settings.N)
        self.chunks = len(self.x) // settings.L  # in one pass over the text
        if self.chunks < 1:
            raise ValueError(
                f"text should give each of N = {settings.N} streams at least L = {settings.L} "
                f"characters to train on, got {len(self.x)}"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.model = _model(self.vocabulary, settings)
            self.generator = torch.get_rng_state()
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate)
        self.step = 0
        self.norm = math.nan
        self.hx: Tensor | None = None

    @property
    def finished(self) -> bool:
        """Whether all updates are made.

        Examples
        --------
        >>> Training("to be or not to be " * 40, Settings(N=3, L=5)).finished
        False
        """
        return self.step == self.settings.steps

    def advance(self) -> float:
        """Make one update.

        Returns
        -------
        float
            Bits per character of the chunk that it learnt from, before the update.

        Raises
        ------
        RuntimeError
            If all updates are made.

        Examples
        --------
        >>> run = Training("to be or not to be " * 40, Settings(N=3, L=5))
        >>> run.advance() < 4  # all 7 characters alike would be log2 7 = 2.8
        True
        """
        if self.finished:
            raise RuntimeError(f"all {self.step} updates are made")
        start = self.step % self.chunks * self.settings.L
        end = start + self.settings.L
        x, target = self.x[start:end], self.target[start:end]  # (L, N)
        hx = self.hx if start else None  # the text begins anew

        with torch.random.fork_rng(devices=[]):
            torch.set_rng_state(self.generator)
            logits, hx = self.model(x, hx)  # (L, N, V), (num_layers, N, H_out)
            self.generator = torch.get_rng_state()
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * (1 - self.step / self.settings.steps)
        self.optimiser.step()

        self.hx = hx.detach()  # the values go on, the graph ends
        self.norm = norm.item()
        self.step += 1
        return loss.item() / math.log(2)

    def validate(self, N: int = 32) -> float:
        """Measure bits per character on the validation part.

        Parameters
        ----------
        N : int, default 32
            Streams, as in `bits_per_character`; fewer if the part is short.

        Returns
        -------
        float
            Bits per character.

        Examples
        --------
        >>> run = Training("to be or not to be " * 40, Settings(N=3, L=5))
        >>> run.validate() < 4
        True
        """
        return bits_per_character(self.model, self.validation, min(N, len(self.validation) - 1))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: all that the rest of the run depends on.

        Whoever reads `path` finds the old file or the new one, whole, also if this process is
        killed while it writes; see `unrolled.files.write_whole`.

        Parameters
        ----------
        path : str or os.PathLike
            Where to.

        Raises
        ------
        OSError
            If it cannot be written; then `path` is as it was.

        Notes
        -----
        A checkpoint has the parameters, the averages of Adam, the state of the random generator,
        how many updates were made, from which follows the place in the text, and the state of
        every stream there. The settings, the alphabet and a hash of the text make sure that
        nothing else goes on from it.

        Examples
        --------
        >>> import tempfile
        >>> text, settings = "to be or not to be " * 40, Settings(N=3, L=5, hidden_size=20)
        >>> run = Training(text, settings)
        >>> _ = run.advance()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run.save(f"{folder}/run.ckpt")
        ...     again = Training.resume(f"{folder}/run.ckpt", text)
        >>> run.advance() == again.advance()
        True
        """
        contents = {
            "settings": asdict(self.settings),
            "characters": self.vocabulary.characters,
            "text": self.digest,
            "step": self.step,
            "hx": self.hx,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator,
        }
        file = io.BytesIO()
        torch.save(contents, file)
        data = file.getvalue()
        write_whole(path, _HEADER + hashlib.sha256(data).digest() + data)

    @classmethod
    def resume(cls, path: str | os.PathLike[str], text: str) -> "Training":
        """Go on from a checkpoint.

        On the same machine, with the same PyTorch and number of threads, the run arrives at the
        numbers at which it would have arrived without a stop.

        Parameters
        ----------
        path : str or os.PathLike
            What `save` wrote.
        text : str
            The text of the run.

        Returns
        -------
        Training
            The run, where it was.

        Raises
        ------
        OSError
            If `path` cannot be read.
        ValueError
            If it is no checkpoint, is damaged, or belongs to another text.

        Examples
        --------
        >>> Training.resume("nowhere.ckpt", "text")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.ckpt'
        """
        contents = _read(Path(path))
        digest = _digest(text)
        if digest != contents["text"]:
            raise ValueError(
                f"text should be the one that {path} was trained on, with SHA-256 "
                f"{contents['text']}, got {len(text)} characters with SHA-256 {digest}"
            )
        run = cls(text, Settings(**contents["settings"]))
        run.model.load_state_dict(contents["model"])
        run.optimiser.load_state_dict(contents["optimiser"])
        run.step, run.hx = contents["step"], contents["hx"]
        run.generator = contents["generator"]
        return run


def load_settings(path: str | os.PathLike[str]) -> Settings:
    """Read the settings of a checkpoint.

    Parameters
    ----------
    path : str or os.PathLike
        What `Training.save` wrote.

    Returns
    -------
    Settings
        Those of the run.

    Raises
    ------
    OSError, ValueError
        As `Training.resume`.

    Examples
    --------
    >>> import tempfile
    >>> run = Training("to be or not to be " * 40, Settings(N=3, L=5, hidden_size=20))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run.save(f"{folder}/run.ckpt")
    ...     load_settings(f"{folder}/run.ckpt").hidden_size
    20
    """
    return Settings(**_read(Path(path))["settings"])


def load_model(path: str | os.PathLike[str]) -> tuple[LanguageModel, Vocabulary]:
    """Read the model of a checkpoint, for sampling.

    Parameters
    ----------
    path : str or os.PathLike
        What `Training.save` wrote.

    Returns
    -------
    model : LanguageModel
        As it was, in evaluation mode.
    vocabulary : Vocabulary
        What its numbers mean.

    Raises
    ------
    OSError, ValueError
        As `Training.resume`.

    Examples
    --------
    >>> import tempfile
    >>> run = Training("to be or not to be " * 40, Settings(N=3, L=5, hidden_size=20))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run.save(f"{folder}/run.ckpt")
    ...     model, vocabulary = load_model(f"{folder}/run.ckpt")
    >>> model.training, vocabulary.characters
    (False, ' benort')
    """
    contents = _read(Path(path))
    vocabulary, settings = Vocabulary(contents["characters"]), Settings(**contents["settings"])
    model = _model(vocabulary, settings)
    model.load_state_dict(contents["model"])
    return model.eval(), vocabulary


def _model(vocabulary: Vocabulary, settings: Settings) -> LanguageModel:
    """Make the model of a run, with parameters drawn anew."""
    return LanguageModel(
        len(vocabulary),
        settings.embedding_size,
        settings.hidden_size,
        settings.num_layers,
        settings.dropout,
    )


def _digest(text: str) -> str:
    """Hash a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    """Read a checkpoint, and refuse what `Training.save` has not written."""
    data = path.read_bytes()
    if not data.startswith(_HEADER):
        raise ValueError(
            f"{path} should be a checkpoint that begins with {_HEADER!r}, "
            f"got a file that begins with {data[: len(_HEADER)]!r}"
        )
    digest = data[len(_HEADER) : len(_HEADER) + _DIGEST]
    data = data[len(_HEADER) + _DIGEST :]
    if hashlib.sha256(data).digest() != digest:
        raise ValueError(
            f"{path} is damaged: its {len(data)} bytes have another SHA-256 than it says"
        )
    return torch.load(io.BytesIO(data), weights_only=True)

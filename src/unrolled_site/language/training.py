"""Training that can be stopped at any moment and resumed, with bitwise identical results."""

import hashlib
import math
import os
from dataclasses import asdict

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812 # its name everywhere

from unrolled_site.language.checkpoint import (
    Checkpoint,
    Settings,
    read_checkpoint,
    write_checkpoint,
)
from unrolled_site.language.data import Vocabulary, split, streams
from unrolled_site.language.model import LanguageModel, bits_per_character

__all__ = ["Training", "load_model", "load_settings"]

_LARGEST = 2**28  # numbers, 1 GiB of float32: anything larger is a typing error


class Training:
    """A training run: a model, and how far its training has come.

    Random numbers come from a separate generator. Other code that draws some, such as `sample`,
    does not affect the run, and the run does not change PyTorch's global generator.

    Parameters
    ----------
    text : str
        The text, which `split` divides into three parts.
    settings : Settings
        Everything else that determines the numbers.

    Attributes
    ----------
    model : LanguageModel
        The model, which changes with every update.
    vocabulary : Vocabulary
        The characters of `text`.
    step : int
        Updates made so far.
    hx : Tensor, shape (num_layers, N, H_out), or None
        The state with which the next chunk begins; None means zeros.
    norm : float
        Norm of the last gradient before clipping; NaN before the first update.
    generator : Tensor of uint8
        State of the random generator.

    Raises
    ------
    ValueError
        If a part of the text is too short for the streams and chunks of the settings, or the model
        or an update would have more than 2**28 numbers.

    Examples
    --------
    >>> run = Training("to be or not to be " * 40, Settings(hidden_size=20, N=3, L=5, steps=4))
    >>> bits = [run.advance() for _ in range(4)]
    >>> run.step, run.finished, run.hx.shape
    (4, True, torch.Size([1, 3, 20]))
    """

    def __init__(self, text: str, settings: Settings) -> None:
        parts = split(text)
        if len(parts.validation) < 2:
            raise ValueError(f"text should have at least 20 characters, got {len(text)}")
        stream = (len(parts.training) - 1) // settings.N
        if stream < settings.L:
            raise ValueError(
                f"text should give each of N = {settings.N} streams at least L = {settings.L} "
                f"characters to train on, got {stream}"
            )
        self.settings = settings
        self.digest = _digest(text)
        self.vocabulary = Vocabulary(text)
        _refuse_too_large(settings, len(self.vocabulary))
        self.validation = self.vocabulary.encode(parts.validation)
        self.x, self.target = streams(self.vocabulary.encode(parts.training), settings.N)
        self.chunks = len(self.x) // settings.L  # in one pass over the text
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
        """Whether all updates have been made.

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
            Bits per character, before the update, of the chunk that it learned from.

        Raises
        ------
        RuntimeError
            If all updates have been made.
        FloatingPointError
            If the gradient is not finite; the parameters are then unchanged.

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
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.max_norm).item()
        if not math.isfinite(norm):
            raise FloatingPointError(
                f"gradient of update {self.step + 1} should be finite, got one with norm {norm}; "
                "a run with a smaller learning_rate may do better"
            )
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.rate(self.step)
        self.optimiser.step()

        self.hx = hx.detach()  # the values go on, the graph ends
        self.norm = norm
        self.step += 1
        return loss.item() / math.log(2)

    def validate(self, N: int = 32) -> float:
        """Measure bits per character on the validation part.

        Parameters
        ----------
        N : int, default 32
            Number of streams, as in `bits_per_character`; fewer if the part is short.

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
        N = min(N, len(self.validation) - 1)
        L = max(1, min(1000, 2**24 // (N * len(self.vocabulary))))  # a part of it fits in memory
        return bits_per_character(self.model, self.validation, N, L)

    def checkpoint(self) -> Checkpoint:
        """Return everything that the rest of the run depends on.

        Returns
        -------
        Checkpoint
            The checkpoint that `save` writes. It changes as the run continues.

        Examples
        --------
        >>> Training("to be or not to be " * 40, Settings(N=3, L=5)).checkpoint().step
        0
        """
        return Checkpoint(
            settings=asdict(self.settings),
            characters=self.vocabulary.characters,
            text=self.digest,
            step=self.step,
            hx=self.hx,
            model=self.model.state_dict(),
            optimiser=self.optimiser.state_dict(),
            generator=self.generator,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a checkpoint: everything that the rest of the run depends on.

        Anyone who reads `path` finds the complete old file or the complete new one, even if this
        process is killed while it writes; see `unrolled.files.write_whole`.

        Parameters
        ----------
        path : str or os.PathLike
            Where to write.

        Raises
        ------
        OSError
            If it cannot be written; `path` is then unchanged.
        ValueError
            If it could not be read back, because a parameter is not finite; `path` is then
            unchanged.

        Notes
        -----
        A checkpoint holds the parameters, Adam's averages, the state of the random generator, the
        number of updates, which determines the position in the text, and the state of every stream
        at that position. The settings, the vocabulary and a hash of the text ensure that no other
        run continues from it.

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
        write_checkpoint(path, self.checkpoint())

    @classmethod
    def resume(cls, path: str | os.PathLike[str], text: str) -> "Training":
        """Resume a run from a checkpoint.

        On the same machine, with the same PyTorch and number of threads, the run reaches the same
        numbers as it would have reached without the interruption.

        Parameters
        ----------
        path : str or os.PathLike
            A file that `save` wrote.
        text : str
            The text of the run.

        Returns
        -------
        Training
            The run, at the point where it was saved.

        Raises
        ------
        OSError
            If `path` cannot be read.
        ValueError
            If it is not a checkpoint, is damaged, holds values that no run can have, or belongs to
            a different text.

        Examples
        --------
        >>> Training.resume("nowhere.ckpt", "text")
        Traceback (most recent call last):
        FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.ckpt'
        """
        there = read_checkpoint(path)
        digest = _digest(text)
        if digest != there.text:
            raise ValueError(
                f"text should be the one that {os.fspath(path)} was trained on, with SHA-256 "
                f"{there.text}, got {len(text)} characters with SHA-256 {digest}"
            )
        run = cls(text, Settings(**there.settings))
        if there.characters != run.vocabulary.characters:
            raise ValueError(
                f"{os.fspath(path)} should have the {len(run.vocabulary)} characters of the text, "
                f"got {len(there.characters)} others"
            )
        run.model.load_state_dict(there.model)
        run.optimiser.load_state_dict(there.optimiser)
        run.step, run.hx, run.generator = there.step, there.hx, there.generator
        return run


def load_settings(path: str | os.PathLike[str]) -> Settings:
    """Read the settings of a checkpoint.

    Parameters
    ----------
    path : str or os.PathLike
        A file that `Training.save` wrote.

    Returns
    -------
    Settings
        The settings of the run.

    Raises
    ------
    OSError, ValueError
        As in `Training.resume`.

    Examples
    --------
    >>> import tempfile
    >>> run = Training("to be or not to be " * 40, Settings(N=3, L=5, hidden_size=20))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     run.save(f"{folder}/run.ckpt")
    ...     load_settings(f"{folder}/run.ckpt").hidden_size
    20
    """
    return Settings(**read_checkpoint(path).settings)


def load_model(path: str | os.PathLike[str]) -> tuple[LanguageModel, Vocabulary]:
    """Read the model of a checkpoint, for sampling.

    Parameters
    ----------
    path : str or os.PathLike
        A file that `Training.save` wrote.

    Returns
    -------
    model : LanguageModel
        The model as it was saved, in evaluation mode.
    vocabulary : Vocabulary
        The meaning of its numbers.

    Raises
    ------
    OSError, ValueError
        As in `Training.resume`.

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
    there = read_checkpoint(path)
    vocabulary = Vocabulary(there.characters)
    model = _model(vocabulary, Settings(**there.settings))
    model.load_state_dict(there.model)
    return model.eval(), vocabulary


def _model(vocabulary: Vocabulary, settings: Settings) -> LanguageModel:
    """Build the untrained model of a run."""
    return LanguageModel(
        len(vocabulary),
        settings.embedding_size,
        settings.hidden_size,
        settings.num_layers,
        settings.dropout,
    )


def _refuse_too_large(settings: Settings, V: int) -> None:
    """Refuse a model or an update that could fill the memory, before it is built."""
    parameters = sum(map(math.prod, settings.shapes(V).values()))
    if parameters > _LARGEST:
        raise ValueError(
            f"embedding_size, hidden_size and num_layers should give at most {_LARGEST:,} "
            f"parameters, got {parameters:,}"
        )
    state = settings.num_layers * settings.hidden_size
    update = settings.N * settings.L * (settings.embedding_size + 4 * state + V)
    if update > _LARGEST:
        raise ValueError(
            f"N and L should give an update of at most {_LARGEST:,} numbers with this text and "
            f"model, got {update:,}"
        )


def _digest(text: str) -> str:
    """Hash a text."""
    return hashlib.sha256(text.encode()).hexdigest()

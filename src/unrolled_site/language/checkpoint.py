"""A training run as a file: written atomically, and read only if all of it is understood."""

import hashlib
import io
import math
import os
import reprlib
import warnings
import zipfile
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from unrolled.files import write_whole
from unrolled.shapes import parameter_shapes
from unrolled_site.language.data import Vocabulary

__all__ = ["Checkpoint", "Settings", "read_checkpoint", "write_checkpoint"]

_HEADER = b"unrolled_site.language checkpoint 1\n"
_DIGEST = hashlib.sha256().digest_size
_RANGES = {  # the limits are far beyond any use: a larger number is a typing error
    "embedding_size": (1, 2**16),
    "hidden_size": (1, 2**16),
    "num_layers": (1, 100),
    "dropout": (0, 1),
    "N": (1, 2**20),
    "L": (1, 2**20),
    "steps": (1, 10**9),
    "learning_rate": (0, 1),  # Adam moves a parameter by about that much
    "max_norm": (0, math.inf),
    "seed": (0, 2**64 - 1),  # what torch.manual_seed takes
}


@dataclass(frozen=True)
class Settings:
    """Everything that determines the numbers of a training run, except the text.

    Attributes
    ----------
    embedding_size, hidden_size : int, default 32 and 256
        As in `LanguageModel`, at most 65,536.
    num_layers : int, default 1
        As in `LanguageModel`, at most 100.
    dropout : float, default 0.2
        As in `LanguageModel`, from 0 to 1.
    N : int, default 32
        Streams that are read side by side, at most 2**20.
    L : int, default 64
        Time steps between updates, at most 2**20. Gradients go back no further.
    steps : int, default 20000
        Updates of the whole run, at most 10**9.
    learning_rate : float, default 4e-3
        Initial learning rate of Adam, greater than 0 and at most 1. It decreases linearly to 0
        after the last update.
    max_norm : float, default 1.0
        The norm to which gradients are clipped, greater than 0 and finite.
    seed : int, default 0
        Seed of the initial parameters and of dropout, from 0 to 2**64 - 1.

    Raises
    ------
    TypeError
        If a setting is not a Python number of its type; an int may be given for a float.
    ValueError
        If a setting is outside its range.

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
        """Refuse impossible settings before anything is built or written.

        Examples
        --------
        >>> Settings(steps=0)
        Traceback (most recent call last):
        ValueError: steps should be at least 1, got 0
        """
        for field in fields(self):
            name, value, (low, high) = field.name, getattr(self, field.name), _RANGES[field.name]
            kinds = {type(field.default), int}
            if type(value) not in kinds:  # a bool or a number of NumPy could not be read back
                raise TypeError(
                    f"{name} should be {type(field.default).__name__}, got {type(value).__name__}"
                )
            if name in ("learning_rate", "max_norm") and not 0 < value < math.inf:
                raise ValueError(f"{name} should be greater than zero and finite, got {value}")
            if not value >= low:  # so that NaN is refused too
                raise ValueError(f"{name} should be at least {low}, got {value}")
            if value > high:
                raise ValueError(f"{name} should be at most {high}, got {value}")

    def rate(self, step: int) -> float:
        """Return the learning rate of an update.

        Parameters
        ----------
        step : int
            Number of earlier updates.

        Returns
        -------
        float
            `learning_rate` at first, decreasing linearly to 0 after `steps` updates.

        Examples
        --------
        >>> Settings(steps=4, learning_rate=0.5).rate(3)
        0.125
        """
        return self.learning_rate * (1 - step / self.steps)

    def shapes(self, V: int) -> dict[str, tuple[int, ...]]:
        """List the parameters of the model.

        Parameters
        ----------
        V : int
            Characters in the vocabulary.

        Returns
        -------
        dict of str to tuple of int
            The shape of each parameter of the `LanguageModel`, by name and in the model's order.

        Examples
        --------
        >>> Settings(embedding_size=10, hidden_size=20).shapes(V=7)["gru.weight_ih_l0"]
        (60, 10)
        """
        gru = parameter_shapes("GRU", self.embedding_size, self.hidden_size, self.num_layers)
        return {
            "embedding.weight": (V, self.embedding_size),
            **{f"gru.{name}": tuple(shape) for name, shape in gru.items()},
            "output.weight": (V, self.hidden_size),
            "output.bias": (V,),
        }


class Checkpoint(NamedTuple):
    """Everything that the rest of a run depends on.

    Attributes
    ----------
    settings : dict
        Settings of the run, by name.
    characters : str
        The vocabulary.
    text : str
        SHA-256 of the text.
    step : int
        Updates made so far.
    hx : Tensor, shape (num_layers, N, H_out), or None
        State of every stream; None before the first update.
    model : dict of str to Tensor
        The parameters.
    optimiser : dict
        Adam's averages and settings.
    generator : Tensor of uint8
        State of the random generator.

    Examples
    --------
    >>> Checkpoint._fields[:4]
    ('settings', 'characters', 'text', 'step')
    """

    settings: dict[str, Any]
    characters: str
    text: str
    step: int
    hx: Tensor | None
    model: dict[str, Tensor]
    optimiser: dict[str, Any]
    generator: Tensor


def write_checkpoint(path: str | os.PathLike[str], checkpoint: Checkpoint) -> None:
    """Write a checkpoint, provided that it can be read back.

    Parameters
    ----------
    path : str or os.PathLike
        Where to write; see `unrolled.files.write_whole`.
    checkpoint : Checkpoint
        The checkpoint.

    Raises
    ------
    OSError
        If it cannot be written.
    ValueError
        If `read_checkpoint` would refuse it, for example because a parameter has a NaN.

    Examples
    --------
    >>> import tempfile
    >>> from unrolled_site.language import Training
    >>> run = Training("to be or not to be " * 40, Settings(N=3, L=5, hidden_size=20))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_checkpoint(f"{folder}/run.ckpt", run.checkpoint())
    ...     read_checkpoint(f"{folder}/run.ckpt").characters
    ' benort'
    """
    _understood(checkpoint._asdict())
    file = io.BytesIO()
    torch.save(checkpoint._asdict(), file)
    data = file.getvalue()
    write_whole(path, _HEADER + hashlib.sha256(data).digest() + data)


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a checkpoint, and refuse any file that `write_checkpoint` has not written.

    No code from the file is executed, and every name, type, shape and number in it is checked
    before it is used.

    Parameters
    ----------
    path : str or os.PathLike
        A file that `write_checkpoint` wrote.

    Returns
    -------
    Checkpoint
        Its tensors are on the CPU and share no memory with others.

    Raises
    ------
    OSError
        If `path` cannot be read.
    ValueError
        If it is not a checkpoint, is damaged, or holds values that no run can have.

    Examples
    --------
    >>> read_checkpoint("nowhere.ckpt")
    Traceback (most recent call last):
    FileNotFoundError: [Errno 2] No such file or directory: 'nowhere.ckpt'
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        header = file.read(len(_HEADER))  # first: not all that can be read has an end
        if header != _HEADER:
            raise ValueError(
                f"{path} should be a checkpoint that begins with {_HEADER!r}, "
                f"got a file that begins with {header!r}"
            )
        digest, data = file.read(_DIGEST), file.read()
    if hashlib.sha256(data).digest() != digest:
        raise ValueError(
            f"{path} is damaged: its {len(data)} bytes have another SHA-256 than it says"
        )
    try:
        return _understood(_loaded(data))
    except Exception as error:  # a forged pickle can make torch.load raise anything
        reason = f"{error}".partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path} should be a checkpoint as training writes it: {reason}") from None


def _loaded(data: bytes) -> object:
    """Load tensors, numbers and texts, and nothing else."""
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        size = sum(member.file_size for member in file.infolist())
    if size > len(data):  # torch.save does not compress; others do, by a thousand to one
        raise ValueError(f"its members should have at most {len(data)} bytes, got {size}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is foreign; whoever checks it says so in one line
        try:
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except Exception:  # some of its messages advise to execute what is in the file
            raise ValueError("torch.load(weights_only=True) refuses it") from None


def _understood(contents: object) -> Checkpoint:
    """Check everything that a checkpoint holds."""
    there = _names("contents", contents, Checkpoint._fields)
    settings = Settings(
        **_names("settings", there["settings"], [field.name for field in fields(Settings)])
    )
    characters, text, step = there["characters"], there["text"], there["step"]
    _equal("type of characters", type(characters), str)
    _equal("characters", characters, Vocabulary(characters).characters)
    characters.encode()  # else they are of no text
    if not (type(text) is str and len(text) == 64 and set(text) <= set("0123456789abcdef")):
        raise ValueError(f"text should be a SHA-256 in hexadecimal, got {reprlib.repr(text)}")
    if not (type(step) is int and 0 <= step <= settings.steps):
        raise ValueError(f"step should be from 0 to {settings.steps}, got {reprlib.repr(step)}")
    hx = there["hx"]
    if (hx is None) != (step == 0):
        raise ValueError(f"hx should be None before the first update only, got step {step}")
    if hx is not None:
        _tensor("hx", hx, (settings.num_layers, settings.N, settings.hidden_size))

    shapes = settings.shapes(len(characters))
    model = _names("model", there["model"], shapes)
    for name, shape in shapes.items():
        _tensor(name, model[name], shape)
    generator = there["generator"]
    _tensor("generator", generator, torch.get_rng_state().shape, torch.uint8)
    generator = generator.clone(memory_format=torch.contiguous_format)
    torch.Generator().set_state(generator)  # refuses what is no state
    optimiser = _adam(there["optimiser"], settings, shapes, step)
    return Checkpoint(asdict(settings), characters, text, step, hx, model, optimiser, generator)


def _adam(
    optimiser: object, settings: Settings, shapes: dict[str, tuple[int, ...]], step: int
) -> dict[str, Any]:
    """Check the state of Adam."""
    there = _names("optimiser", optimiser, ("state", "param_groups"))
    parameters = [nn.Parameter(torch.empty(0)) for _ in shapes]
    own = torch.optim.Adam(parameters, settings.rate(max(step - 1, 0))).state_dict()["param_groups"]
    _equal("type of param_groups", type(there["param_groups"]), list)
    _equal("number of param_groups", len(there["param_groups"]), 1)
    for name, value in there["param_groups"][0].items():
        if name in own[0]:  # other versions of PyTorch have others
            _equal(f"optimiser {name}", value, own[0][name])
    state = _names("state", there["state"], range(len(shapes)) if step else ())
    copies = {}
    for number, each in state.items():
        shape = list(shapes.values())[number]
        averages = _names(f"state of {number}", each, ("step", "exp_avg", "exp_avg_sq"))
        _tensor(f"step of {number}", averages["step"], (), torch.float32)
        # Adam counts in float32, in which one more than 2**24 is as many.
        _equal(f"step of {number}", averages["step"].item(), float(min(step, 2**24)))
        for name in ("exp_avg", "exp_avg_sq"):
            _tensor(f"{name} of {number}", averages[name], shape)
        if averages["exp_avg_sq"].lt(0).any():
            raise ValueError(f"exp_avg_sq of {number} should not be negative")
        copies[number] = {  # in place of views, of which Adam could change several at once
            name: value.detach().clone(memory_format=torch.contiguous_format)
            for name, value in averages.items()
        }
    return {"state": copies, "param_groups": own}


def _names(what: str, found: object, expected: Any) -> dict[Any, Any]:
    """Return a dict, checked to have exactly these keys."""
    if not isinstance(found, dict):
        raise ValueError(f"{what} should be a dict, got {type(found).__name__}")
    if list(map(repr, found)) != list(map(repr, expected)):  # True is no 1
        raise ValueError(
            f"{what} should have {reprlib.repr(list(expected))}, got {reprlib.repr(list(found))}"
        )
    return dict(found)


def _equal(what: str, found: object, expected: object) -> None:
    """Refuse any other value."""
    if found != expected:
        raise ValueError(f"{what} should be {reprlib.repr(expected)}, got {reprlib.repr(found)}")


def _tensor(
    what: str, found: object, shape: tuple[int, ...], dtype: torch.dtype | None = None
) -> None:
    """Refuse what is not a tensor of that shape, or is not finite."""
    dtype = dtype or torch.get_default_dtype()
    if not isinstance(found, Tensor):
        raise ValueError(f"{what} should be a tensor, got {type(found).__name__}")
    if (found.dtype, found.layout, found.device.type) != (dtype, torch.strided, "cpu"):
        raise ValueError(
            f"{what} should be {dtype}, {torch.strided} and on cpu, "
            f"got {found.dtype}, {found.layout} and on {found.device.type}"
        )
    if found.shape != shape:
        raise ValueError(f"{what} should have shape {tuple(shape)}, got {tuple(found.shape)}")
    if not found.isfinite().all():
        raise ValueError(f"{what} should be finite, got a number that is not")

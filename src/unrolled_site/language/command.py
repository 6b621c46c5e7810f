"""The command line of the language model: ``train`` and ``sample``."""

import argparse
import errno
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from unrolled_site.language.checkpoint import Settings
from unrolled_site.language.data import northanger_abbey, read_text
from unrolled_site.language.model import write
from unrolled_site.language.training import Training, load_model, load_settings

__all__ = ["main"]

_HELP = {
    "embedding_size": "features by which the GRU sees a character",
    "hidden_size": "features of the state",
    "num_layers": "layers of the GRU",
    "dropout": "probability that a feature is dropped in training",
    "N": "streams that are read side by side",
    "L": "time steps from one update to the next",
    "steps": "updates of the whole run",
    "learning_rate": "of Adam, at the beginning; it falls to 0 at the end",
    "max_norm": "to which the norm of a gradient is clipped",
    "seed": "of the initial parameters and of dropout",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments after ``python -m unrolled_site.language``; those of the process if left out.

    Returns
    -------
    int
        0 for success; 1 for an error, which is printed; 130 if interrupted; or 141 if its output is
        no longer read, for example after ``| head``.

    Raises
    ------
    SystemExit
        If an argument is invalid, or after showing the help.

    Examples
    --------
    >>> main(["sample", "nowhere.ckpt"])  # it also says why, on standard error
    1
    """
    options = _parser().parse_args(arguments)
    try:
        if sys.stdout is None:  # the next file that is opened would get its number
            raise OSError(errno.EBADF, os.strerror(errno.EBADF), "standard output")
        options.run(options)
    except KeyboardInterrupt:
        _complain(options.stopped)
        return 130
    except BrokenPipeError:
        return 141
    except UnicodeEncodeError as error:
        _complain(
            f"error: standard output should take {error.object[error.start]!a}, its encoding is "
            f"{error.encoding}; PYTHONIOENCODING=utf-8 sets another"
        )
        return 1
    # torch has RuntimeError for memory that it does not get.
    except (OSError, ValueError, TypeError, ArithmeticError, RuntimeError, MemoryError) as error:
        _complain(f"error: {error or type(error).__name__}")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    """Describe the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m unrolled_site.language",
        description="Train a language model, character by character, and let it write.",
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    train = commands.add_parser(
        "train",
        help="train, or go on with what was interrupted",
        description="Train on 'Northanger Abbey', or on a text of yours. Interrupted at any "
        "moment, the same command goes on from the last checkpoint and arrives at the same "
        "parameters, bit for bit.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    # Of an option that is suppressed, what is set before is its default, and the help is silent.
    train.set_defaults(
        run=_train,
        stopped="Stopped. The same command goes on from the last checkpoint.",
        text=None,
        encoding=None,
    )
    train.add_argument("checkpoint", type=Path, help="file to write, and to go on from")
    train.add_argument(
        "--text",
        type=Path,
        default=argparse.SUPPRESS,
        help="file with another text (default: the novel)",
    )
    train.add_argument(
        "--encoding", default=argparse.SUPPRESS, help="of that file (default: utf-8)"
    )
    train.add_argument(
        "--every", type=_count(), default=250, help="updates from one checkpoint to the next"
    )
    processors = os.cpu_count() or 1
    train.add_argument(
        "--threads",
        type=_count(processors),
        default=1,
        help=f"of PyTorch, at most the {processors} processors of this machine",
    )
    settings = train.add_argument_group(
        "settings", "of a new run; one that goes on keeps its own, and refuses others"
    )
    for field in fields(Settings):
        settings.add_argument(
            "--" + field.name.replace("_", "-"),
            dest=field.name,
            type=type(field.default),
            default=argparse.SUPPRESS,  # to know which were given
            help=f"{_HELP[field.name]} (default: {field.default})",
        )
    sample = commands.add_parser(
        "sample",
        help="let a trained model write",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    sample.set_defaults(run=_sample, stopped="Stopped.", prompt=None)
    sample.add_argument("checkpoint", type=Path, help="file that `train` wrote")
    sample.add_argument("--length", type=int, default=500, help="characters to write")
    sample.add_argument("--temperature", type=float, default=0.7, help="lower is less daring")
    sample.add_argument(
        "--prompt",
        default=argparse.SUPPRESS,
        help="what it reads first (default: a newline; if the text had none, a space; if it had "
        "none either, the first character of the vocabulary)",
    )
    sample.add_argument("--seed", type=int, default=0, help="each seed gives a different text")
    return parser


def _train(options: argparse.Namespace) -> None:
    """Train until the end, with a line and a checkpoint now and then."""
    given = {name: value for name, value in vars(options).items() if name in _HELP}
    settings = Settings(**given)
    torch.set_num_threads(options.threads)
    if options.text is not None:
        text = read_text(options.text, "utf-8" if options.encoding is None else options.encoding)
    elif options.encoding is None:
        text = northanger_abbey()
    else:
        raise ValueError(f"encoding should be left out without a text, got {options.encoding!r}")
    path: Path = options.checkpoint
    with _alone(path):
        if path.exists():
            _refuse_others(given, load_settings(path), path)
            run = Training.resume(path, text)
            _say(f"{path} has {run.step} of {run.settings.steps} updates.")
        else:
            run = Training(text, settings)
            run.save(path)  # before the work, so that a path that cannot be written is noticed
        _finish(run, path, options.every)


def _finish(run: Training, path: Path, every: int) -> None:
    """Make the remaining updates."""
    numbers = sum(parameter.numel() for parameter in run.model.parameters())
    _say(f"{len(run.vocabulary)} characters, {numbers:,} parameters, {run.chunks} updates a pass.")
    begun, bits, count = time.monotonic(), 0.0, 0
    while not run.finished:
        bits, count = bits + run.advance(), count + 1
        if run.step % every == 0 or run.finished:
            run.save(path)
            _say(
                f"update {run.step:6} of {run.settings.steps}: {bits / count:.3f} bits per "
                f"character in training, {run.validate():.3f} in validation, "
                f"{time.monotonic() - begun:.0f} s"
            )
            bits, count = 0.0, 0


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Lock a checkpoint against other runs; the lock of a process that died has no effect."""
    name = os.path.realpath(path) + ".lock"
    Path(name).parent.stat()  # filelock would make the folder
    lock = FileLock(name)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ValueError(
            f"{path} should be trained by one process at a time, got a second one while the first "
            f"holds {name}"
        ) from None
    try:
        yield
    finally:
        with suppress(OSError):  # filelock leaves it; whoever waits for it notices that it is gone
            if os.path.getsize(name) == 0:  # else it is a file of somebody's
                os.unlink(name)
        lock.release()


def _refuse_others(given: dict[str, object], settings: Settings, path: Path) -> None:
    """Refuse settings that differ from those of the run."""
    for name, value in given.items():
        if value != (own := asdict(settings)[name]):
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} should be {own}, as in {path}, or left out, got {value}")


def _sample(options: argparse.Namespace) -> None:
    """Write a text with the trained model."""
    seed = Settings(seed=options.seed).seed  # for its check
    model, vocabulary = load_model(options.checkpoint)
    written = write(
        model,
        vocabulary,
        options.length,
        options.temperature,
        options.prompt,
        torch.Generator().manual_seed(seed),
    )
    _write((options.prompt or "").lstrip("\n"))
    for character in written:
        _write(character, flush=character == "\n")
    _write("\n")


def _count(most: int | None = None) -> Callable[[str], int]:
    """Return a function that parses a count."""

    def count(argument: str) -> int:
        try:
            number = int(argument)
        except ValueError:
            raise argparse.ArgumentTypeError(f"should be an int, got {argument!r}") from None
        if number < 1:
            raise argparse.ArgumentTypeError(f"should be at least 1, got {number}")
        if most is not None and number > most:
            raise argparse.ArgumentTypeError(f"should be at most {most}, got {number}")
        return number

    return count


def _say(line: str) -> None:
    """Print a line, escaping the characters that the output cannot show."""
    encoding = sys.stdout.encoding or "utf-8"
    _write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def _write(text: str, flush: bool = True) -> None:
    """Write to standard output and flush it, even if it is a file."""
    try:
        print(text, end="", flush=flush)  # noqa: T201 # a command line speaks
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def _complain(message: str) -> None:
    """Print one line to standard error."""
    print(" ".join(message.splitlines()), file=sys.stderr)  # noqa: T201 # a command line speaks

"""The command line of the language model: ``train`` and ``sample``."""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import torch

from unrolled_site.language.data import northanger_abbey
from unrolled_site.language.model import sample
from unrolled_site.language.training import Settings, Training, load_model, load_settings

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
        What stands behind ``python -m unrolled_site.language``; those of the process if left out.

    Returns
    -------
    int
        0, 1 for an error, which is printed, or 130 if it was interrupted.

    Raises
    ------
    SystemExit
        If an argument cannot be read, or to show the help.

    Examples
    --------
    >>> main(["sample", "nowhere.ckpt"])  # it also says why, on standard error
    1
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
    except KeyboardInterrupt:
        _say("Stopped. The same command goes on from the last checkpoint.")
        return 130
    except (OSError, ValueError, TypeError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 # a command line speaks
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
    train.add_argument("checkpoint", type=Path, help="file to write, and to go on from")
    train.add_argument("--text", type=Path, help="file with another text, in UTF-8")
    train.add_argument(
        "--every", type=_positive, default=250, help="updates from one checkpoint to the next"
    )
    train.add_argument("--threads", type=_positive, default=1, help="of PyTorch")
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
    train.set_defaults(run=_train)

    write = commands.add_parser(
        "sample",
        help="let a trained model write",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    write.add_argument("checkpoint", type=Path, help="file that `train` wrote")
    write.add_argument("--length", type=int, default=500, help="characters to write")
    write.add_argument("--temperature", type=float, default=0.7, help="lower is less daring")
    write.add_argument("--prompt", default="\n", help="what it reads first")
    write.add_argument("--seed", type=int, default=0, help="another one, another text")
    write.set_defaults(run=_sample)
    return parser


def _train(options: argparse.Namespace) -> None:
    """Train until the end, with a line and a checkpoint now and then."""
    torch.set_num_threads(options.threads)
    text = northanger_abbey() if options.text is None else options.text.read_text("utf-8")
    given = {name: value for name, value in vars(options).items() if name in _HELP}
    path: Path = options.checkpoint
    if path.exists():
        _refuse_others(given, load_settings(path), path)
        run = Training.resume(path, text)
        _say(f"{path} has {run.step} of {run.settings.steps} updates.")
    else:
        run = Training(text, Settings(**given))
        run.save(path)  # before the work, so that a path that cannot be written is noticed
    numbers = sum(parameter.numel() for parameter in run.model.parameters())
    _say(f"{len(run.vocabulary)} characters, {numbers:,} parameters, {run.chunks} updates a pass.")
    begun, bits, count = time.monotonic(), 0.0, 0
    while not run.finished:
        bits, count = bits + run.advance(), count + 1
        if run.step % options.every == 0 or run.finished:
            run.save(path)
            _say(
                f"update {run.step:6} of {run.settings.steps}: {bits / count:.3f} bits per "
                f"character in training, {run.validate():.3f} in validation, "
                f"{time.monotonic() - begun:.0f} s"
            )
            bits, count = 0.0, 0


def _refuse_others(given: dict[str, object], settings: Settings, path: Path) -> None:
    """Refuse settings that are not those of the run."""
    for name, value in given.items():
        if value != (own := asdict(settings)[name]):
            option = "--" + name.replace("_", "-")
            raise ValueError(f"{option} should be {own}, as in {path}, or left out, got {value}")


def _sample(options: argparse.Namespace) -> None:
    """Write."""
    model, vocabulary = load_model(options.checkpoint)
    generator = torch.Generator().manual_seed(options.seed)
    written = sample(
        model, vocabulary, options.length, options.temperature, options.prompt, generator
    )
    _say(options.prompt.lstrip("\n") + written)


def _positive(argument: str) -> int:
    """Read a count."""
    if (count := int(argument)) < 1:
        raise argparse.ArgumentTypeError(f"should be at least 1, got {count}")
    return count


def _say(line: str) -> None:
    """Print a line at once, also into a file."""
    print(line, flush=True)  # noqa: T201 # a command line speaks

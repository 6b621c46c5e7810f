"""Convert the weights of a recurrent module from one file to another.

The suffix says what a file is. With .pt, .pth, .ckpt, .bin or .tar it is a PyTorch checkpoint: a
state dict, or something that contains one. A .safetensors file holds a state dict too (this needs
the package safetensors). An .npz file holds NumPy arrays in the layout that --layout names; each
name ends in the layer and the direction, as in PyTorch (kernel_l0, kernel_l0_reverse). It also
holds, under their names, the arguments that must be passed to the other library, such as
reset_after. An .onnx file is a model (this needs the package onnx). The Keras files .keras,
.weights.h5 and .h5 can be read but not written (this needs the package h5py).

An existing checkpoint that contains such a module is updated; everything else in it stays the same.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import numpy as np
from numpy.typing import NDArray

from unrolled.files import write_whole
from unrolled.porting import LAYOUTS, from_layout, to_layout
from unrolled.porting.keras_file import KERAS, read_keras
from unrolled.porting.npz_file import npz_bytes, read_npz
from unrolled.porting.onnx_file import onnx_bytes, read_onnx
from unrolled.porting.torch_file import (
    SAFE,
    TORCH,
    Checkpoint,
    checkpoint_bytes,
    holds_only,
    read_torch,
    same_form,
    to_tensors,
    update,
)
from unrolled.shapes import parameter_name

__all__ = ["main"]

_NAMED = (*TORCH, SAFE)  # files with PyTorch's names
_TARGETS = (*_NAMED, ".npz", ".onnx")
_SOURCES = (*_TARGETS, *KERAS)
_DTYPES = ("float16", "bfloat16", "float32", "float64")
_LONGEST = 1000  # characters: a large model has many names
_FAILURES = (  # what reading, converting and writing raise for a bad file
    ImportError,
    OSError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)


class _Read(NamedTuple):
    """What a file holds."""

    state: dict[str, NDArray[Any]]
    dtypes: list[str]
    nonlinearity: str | None  # None if the file does not say it
    notes: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments of the command; ``sys.argv[1:]`` if left out.

    Returns
    -------
    int
        0 for success, 1 if nothing was written or the message could not be printed, or 130 after an
        interrupt. Invalid arguments raise ``SystemExit(2)``.

    Examples
    --------
    >>> main(["GRU", "missing.pt", "gru.npz"])
    1
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    _check_options(parser, options)
    try:
        try:
            read = _read(options)
        except (*_FAILURES, KeyboardInterrupt):
            raise
        except Exception as error:  # in what a damaged file says of itself
            what = f"{type(error).__name__}: {error}"
            raise ValueError(f"{options.source} is not understood, {what}") from None
        done = _write(options, read)
    except KeyboardInterrupt:
        return 130  # as a shell reports it
    except _FAILURES as error:
        said = f"error: {str(error) or type(error).__name__}"
        _say(sys.stderr, said if len(said) <= _LONGEST else f"{said[:_LONGEST]} ...")
        return 1
    try:
        for line in done:
            _say(sys.stdout, line)
    except OSError as error:
        _say(sys.stderr, f"error: {options.target} is written, but standard output fails: {error}")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m unrolled.porting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=["RNN", "GRU", "LSTM"], help="which module it is")
    parser.add_argument("source", type=_path(_SOURCES), help=f"file to read: {', '.join(_SOURCES)}")
    parser.add_argument(
        "target",
        type=_path(_TARGETS),
        help=f"file to write: {', '.join(_TARGETS)}; a checkpoint that is there is updated, "
        "another file is replaced",
    )
    parser.add_argument(
        "--layout",
        choices=list(LAYOUTS),
        metavar="LAYOUT",
        help=f"how the arrays of an .npz file are laid out: {', '.join(LAYOUTS)} (default: torch)",
    )
    parser.add_argument(
        "--prefix",
        help="what comes before the names in a checkpoint, such as encoder.rnn.; other names are "
        "left alone",
    )
    parser.add_argument(
        "--layer",
        action="append",
        metavar="NAME",
        help="a layer in a file of Keras, once for each layer of a stack, the first one first",
    )
    parser.add_argument(
        "--nonlinearity",
        choices=["tanh", "relu"],
        help="of an RNN, for an .onnx file (default: what the file says, otherwise tanh)",
    )
    parser.add_argument(
        "--dtype", choices=_DTYPES, help="dtype to write (default: that of the file that is read)"
    )
    return parser


def _path(suffixes: Sequence[str]) -> Any:
    def path(name: str) -> Path:
        if Path(name).suffix.lower() not in suffixes:
            raise argparse.ArgumentTypeError(f"should end in one of {suffixes}, got {name!r}")
        return Path(name)

    return path


def _check_options(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse options that would have no effect."""
    suffixes = {path.suffix.lower() for path in (options.source, options.target)}
    onnx = options.target.suffix.lower() == ".onnx"
    uses = {
        "layout": (".npz" in suffixes, "for an .npz file"),
        "prefix": (bool(suffixes & {*_NAMED}), f"for one of {', '.join(_NAMED)}"),
        "layer": (bool(suffixes & {*KERAS}), f"for one of {', '.join(KERAS)}"),
        "nonlinearity": (onnx and options.kind == "RNN", "for an RNN that becomes an .onnx file"),
    }
    for name, (used, where) in uses.items():
        if getattr(options, name) is not None and not used:
            parser.error(f"--{name} should be given only {where}")
    if options.dtype == "bfloat16" and not {options.target.suffix.lower()} & {*_NAMED}:
        parser.error(f"--dtype should be one that {options.target.suffix} has, got bfloat16")


def _read(options: argparse.Namespace) -> _Read:
    """Return the parameters under PyTorch's names."""
    kind, source = options.kind, options.source
    suffix = source.suffix.lower()
    nonlinearity: str | None = None
    notes: list[str] = []
    if suffix in _NAMED:
        state, dtypes, notes = read_torch(source, options.prefix or "")
        state = _of_one_dtype(options, state)
        state = from_layout("torch", kind, to_layout("torch", kind, state))  # for its checks
        return _Read(state, dtypes, None, notes)
    layout: str = {".npz": options.layout or "torch", ".onnx": "onnx"}.get(suffix, "keras")
    settings: Mapping[str, Any]
    if suffix == ".npz":
        layers, settings, nonlinearity, notes = read_npz(source, layout, kind)
    elif suffix == ".onnx":
        found = read_onnx(source.read_bytes(), source.parent)
        if found.kind != kind:
            raise ValueError(f"kind should be {found.kind}, as in {source}, got {kind}")
        if found.batch_first:
            notes.append(f"{source}: takes the batch first, as a module with batch_first=True")
        layers, settings, nonlinearity = found.layers, found.settings, found.nonlinearity
    else:
        layers, settings, nonlinearity, notes = read_keras(source, kind, options.layer or ())
    dtypes = sorted({str(a.dtype) for dirs in layers for arrays in dirs for a in arrays.values()})
    layers = [[_of_one_dtype(options, arrays) for arrays in directions] for directions in layers]
    state = from_layout(layout, kind, layers, **settings)
    return _Read(state, dtypes, nonlinearity, notes)


def _of_one_dtype(
    options: argparse.Namespace, arrays: Mapping[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Check the values; if a dtype is asked for, make arrays of different ones the widest."""
    for name, array in arrays.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            count = array.size - np.isfinite(array).sum()
            raise ValueError(
                f"{name} in {options.source} should be finite, got {count} values that are not"
            )
    if options.dtype is None or any(array.dtype.kind != "f" for array in arrays.values()):
        return dict(arrays)  # what is wrong with them is said later
    return {name: array.astype(np.float64) for name, array in arrays.items()}


def _write(options: argparse.Namespace, read: _Read) -> list[str]:
    """Write the file; return what to tell the user."""
    kind, target, state = options.kind, options.target, read.state
    suffix = target.suffix.lower()
    dtype, notes = _dtype(options, read)
    nonlinearity, more = _nonlinearity(options, read)
    layout = {".npz": options.layout or "torch", ".onnx": "onnx"}.get(suffix, "torch")
    layers = to_layout(layout, kind, state)
    entry = LAYOUTS[layout][kind]
    needed = {k: s.needed for k, s in entry.settings.items() if s.needed is not None}
    if suffix in _NAMED:
        data, updated = _checkpoint(options, state, dtype)
        more = [*more, *updated]
    else:
        layers = [[_converted(arrays, dtype) for arrays in directions] for directions in layers]
        data = (
            onnx_bytes(kind, layers, nonlinearity or "tanh")
            if suffix == ".onnx"
            else npz_bytes(layers, needed)
        )
    write_whole(target, data)
    with_these = "".join(f", {name}={value!r}" for name, value in needed.items() if value)
    if nonlinearity is not None:
        with_these += f", nonlinearity={nonlinearity!r}"
    H_in, H_out = (state[parameter_name(of, 0)].shape[1] for of in ("weight_ih", "weight_hh"))
    sizes = f"input_size={H_in}, hidden_size={H_out}, num_layers={len(layers)}"
    sizes += f", bidirectional={parameter_name('weight_ih', 0, 1) in state}"
    return [
        f"{target}: {entry.module} with {sizes}{with_these}",
        *(f"note: {note}" for note in (*read.notes, *notes, *more)),
    ]


def _dtype(options: argparse.Namespace, read: _Read) -> tuple[str, list[str]]:
    """Return the dtype to write, and what to say about it."""
    if len(read.dtypes) > 1 and options.dtype is None:
        raise ValueError(
            f"{options.source} should have arrays of one dtype, got {' and '.join(read.dtypes)}: "
            "--dtype makes them one"
        )
    dtype, why = options.dtype or read.dtypes[0], ""
    if dtype == "bfloat16" and options.target.suffix.lower() not in _NAMED:
        dtype, why = "float32", f", because an {options.target.suffix} file has no bfloat16"
    notes = []
    if [dtype] != read.dtypes:
        notes.append(f"converted from {' and '.join(read.dtypes)} to {dtype}{why}")
    if options.target.suffix.lower() == ".onnx" and dtype == "float64":
        notes.append(
            "ONNX has these operators in float64, but ONNX Runtime does not run them on a CPU; "
            "--dtype float32 converts"
        )
    return dtype, notes


def _nonlinearity(options: argparse.Namespace, read: _Read) -> tuple[str | None, list[str]]:
    """Return the nonlinearity of an RNN if it is known, and what to say about it."""
    if options.kind != "RNN":
        return None, []
    if options.nonlinearity and read.nonlinearity not in (None, options.nonlinearity):
        raise ValueError(
            f"--nonlinearity should be {read.nonlinearity}, as in {options.source}, got "
            f"{options.nonlinearity}"
        )
    known = options.nonlinearity or read.nonlinearity
    if known is not None:
        return known, []
    silent = f"{options.source} does not say the nonlinearity"
    if options.target.suffix.lower() == ".onnx":
        return "tanh", [f"{silent}: tanh is torch.nn.RNN's default, --nonlinearity sets another"]
    return None, [f"{silent}: give the module the one with which it was trained"]


def _converted(arrays: Mapping[str, NDArray[Any]], dtype: str) -> dict[str, NDArray[Any]]:
    with np.errstate(over="ignore"):  # it is refused in the next lines
        found = {name: array.astype(dtype) for name, array in arrays.items()}
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} should have values that {dtype} can hold, got larger ones")
    return found


def _checkpoint(
    options: argparse.Namespace, state: Mapping[str, NDArray[Any]], dtype: str
) -> tuple[bytes, list[str]]:
    """Return the bytes of a checkpoint, and what to say about an existing one."""
    target, prefix = options.target, options.prefix or ""
    tensors = {prefix + name: value for name, value in to_tensors(state, dtype).items()}
    if target.is_file() and target.stat().st_size:
        try:
            there = Checkpoint.load(target)
            if not holds_only(there, prefix) or same_form(there.contents, tensors):
                notes = update(there, prefix, state, dtype, asked=options.dtype is not None)
                return there.to_bytes(), notes
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{target} is there and is not replaced, because it may hold more: {error}; name "
                "another target, or remove it"
            ) from None
    return checkpoint_bytes(target, tensors), []


def _say(stream: TextIO | None, text: str) -> None:
    """Print a line, whatever characters it contains; print nothing if the output is closed."""
    if stream is None:  # it was closed before Python started
        return
    line = " ".join(text.splitlines())
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(line.encode(encoding, "backslashreplace").decode(encoding) + "\n")
        stream.flush()
    except OSError as error:
        # Python would try again at the end, and fail aloud.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        if not isinstance(error, BrokenPipeError):
            raise


if __name__ == "__main__":
    sys.exit(main())

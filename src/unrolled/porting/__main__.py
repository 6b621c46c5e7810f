"""Convert the weights of a recurrent module from file to file.

A name says what a file is: .pt or .pth a state dict of PyTorch; .npz arrays of NumPy, laid out as
--layout says, with the layer and the direction at the end of each name as in PyTorch (kernel_l0,
kernel_l0_reverse); .onnx a model (this needs the package onnx). An .npz file also has the
arguments that the other library has to be given, such as reset_after, by their names.
"""

import argparse
import io
import pickle
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.files import write_whole
from unrolled.porting import LAYOUTS, from_layout, to_layout
from unrolled.porting.onnx_file import onnx_bytes, read_onnx
from unrolled.shapes import parameter_name, parse_parameter_name

__all__ = ["main"]

_TORCH = (".pt", ".pth")
_SUFFIXES = (*_TORCH, ".npz", ".onnx")
_FAILURES = (  # what reading, converting and writing raise for a bad file
    ImportError,
    OSError,
    EOFError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        What follows the command; ``sys.argv[1:]`` if left out.

    Returns
    -------
    int
        0, or 1 if nothing was written. Arguments that make no sense end in ``SystemExit(2)``.

    Examples
    --------
    >>> main(["GRU", "missing.pt", "gru.npz"])
    1
    """
    parser = argparse.ArgumentParser(
        prog="python -m unrolled.porting",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("kind", choices=["RNN", "GRU", "LSTM"], help="which module it is")
    parser.add_argument("source", type=_path, help="file to read: .pt, .pth, .npz or .onnx")
    parser.add_argument("target", type=_path, help="file to write, likewise; it is replaced")
    parser.add_argument(
        "--layout",
        choices=list(LAYOUTS),
        default="torch",
        metavar="LAYOUT",
        help=f"how the arrays of an .npz file are laid out: {', '.join(LAYOUTS)} "
        "(default: %(default)s)",
    )
    parser.add_argument(
        "--prefix",
        default="",
        help="what stands before the names in a .pt file, such as encoder.rnn.; other names are "
        "left alone",
    )
    parser.add_argument(
        "--nonlinearity",
        choices=["tanh", "relu"],
        default="tanh",
        help="of an RNN, for an .onnx file (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        state, nonlinearity = _read(options)
        done = _write(options, state, nonlinearity)
    except _FAILURES as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(done)
    return 0


def _path(name: str) -> Path:
    path = Path(name)
    if path.suffix not in _SUFFIXES:
        raise argparse.ArgumentTypeError(f"should end in one of {_SUFFIXES}, got {name!r}")
    return path


def _read(options: argparse.Namespace) -> tuple[dict[str, NDArray[Any]], str]:
    """Give the parameters under PyTorch's names, and the nonlinearity."""
    kind, source = options.kind, options.source
    if source.suffix in _TORCH:
        state = _read_torch(source, options.prefix)
        to_layout("torch", kind, state)  # for its checks
        return state, options.nonlinearity
    if source.suffix == ".npz":
        layers, settings = _read_npz(source)
        return from_layout(options.layout, kind, layers, **settings), options.nonlinearity
    found = read_onnx(source.read_bytes(), source.parent)
    if found.kind != kind:
        raise ValueError(f"kind should be {found.kind}, as in {source}, got {kind}")
    if found.batch_first:
        sys.stdout.write(f"{source}: takes the batch first, as a module with batch_first=True\n")
    return from_layout("onnx", kind, found.layers, **found.settings), found.nonlinearity


def _read_torch(source: Path, prefix: str) -> dict[str, NDArray[Any]]:
    import torch

    refused = f"{source} should hold a state dict: names and tensors, and nothing else"
    try:
        saved = torch.load(source, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, pickle.UnpicklingError):  # one of them advises to load anything
        raise ValueError(f"{refused}; torch.load(weights_only=True) refuses it") from None
    if not isinstance(saved, Mapping):
        raise ValueError(f"{refused}, got {type(saved).__name__}")
    tensors = {str(name): value for name, value in saved.items() if str(name).startswith(prefix)}
    for name, value in tensors.items():
        if not isinstance(value, torch.Tensor):
            raise ValueError(f"{refused}, got {type(value).__name__} under the name {name!r}")
    last = parameter_name("weight_ih", 0)
    if prefix + last not in tensors:
        there = [str(name).removesuffix(last) for name in saved if str(name).endswith(last)]
        raise ValueError(f"--prefix should be one of {there} for {source}, got {prefix!r}")
    return {name.removeprefix(prefix): value.detach().numpy() for name, value in tensors.items()}


def _read_npz(source: Path) -> tuple[list[list[dict[str, NDArray[Any]]]], dict[str, Any]]:
    parts: dict[tuple[int, int], dict[str, NDArray[Any]]] = {}
    settings = {}
    with source.open("rb") as file:
        if not zipfile.is_zipfile(file):  # NumPy would take it for a pickle
            raise ValueError(f"{source} should be an .npz file")
        for name, array in np.load(file, allow_pickle=False).items():
            try:
                kind, layer, direction = parse_parameter_name(name)
            except ValueError as error:  # then it is a setting
                if array.size != 1:
                    raise ValueError(f"{error} with shape {array.shape} in {source}") from None
                settings[name] = array.item()
            else:
                parts.setdefault((layer, direction), {})[kind] = array
    layers = 1 + max((layer for layer, _ in parts), default=-1)
    return [
        [parts[layer, direction] for direction in (0, 1) if (layer, direction) in parts]
        for layer in range(layers)
    ], settings


def _write(options: argparse.Namespace, state: dict[str, NDArray[Any]], nonlinearity: str) -> str:
    """Write the file; give what to tell the user."""
    kind, target = options.kind, options.target
    layout = {".npz": options.layout, ".onnx": "onnx"}.get(target.suffix, "torch")
    layers = to_layout(layout, kind, state)
    entry = LAYOUTS[layout][kind]
    needed = {k: s.needed for k, s in entry.settings.items() if s.needed is not None}
    buffer = io.BytesIO()
    if target.suffix == ".onnx":
        buffer.write(onnx_bytes(kind, layers, nonlinearity))
    elif target.suffix == ".npz":
        flat = {
            parameter_name(name, layer, direction): array
            for layer, directions in enumerate(layers)
            for direction, arrays in enumerate(directions)
            for name, array in arrays.items()
        }
        np.savez(buffer, **flat, **needed)  # type: ignore[arg-type] # its third keyword is a flag
    else:
        import torch

        torch.save({options.prefix + k: torch.from_numpy(v) for k, v in state.items()}, buffer)
    write_whole(target, buffer.getvalue())
    with_these = "".join(f", {name}={value!r}" for name, value in needed.items() if value)
    if kind == "RNN":
        with_these += f", nonlinearity={nonlinearity!r}"
    H_in, H_out = (state[parameter_name(of, 0)].shape[1] for of in ("weight_ih", "weight_hh"))
    sizes = f"input_size={H_in}, hidden_size={H_out}, num_layers={len(layers)}"
    sizes += f", bidirectional={parameter_name('weight_ih', 0, 1) in state}"
    return f"{target}: {entry.module} with {sizes}{with_these}\n"


if __name__ == "__main__":
    sys.exit(main())

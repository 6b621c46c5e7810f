"""The arrays of a recurrent module in an ``.npz`` file, under the names of their library."""

import io
import math
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unrolled.porting.layouts import LAYOUTS, Arrays, Found, from_layout
from unrolled.shapes import parameter_name, parse_parameter_name

__all__ = ["LARGEST_RATIO", "npz_bytes", "read_npz", "zip_members"]

_LISTS = {  # the libraries that give arrays without names, in the order of the layout
    "keras": "layer.get_weights()",
    "torch": "module.parameters()",
}
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
LARGEST_RATIO = 1100  # deflate makes nothing smaller than this part of it


def read_npz(path: Path, layout: str, kind: str) -> Found:
    """Read the arrays of all layers and directions.

    Parameters
    ----------
    path : Path
        A NumPy file. Names end in a suffix for the layer and direction, as in ``kernel_l0``, which
        is optional for one layer in one direction. Without names (``arr_0`` and so on), the arrays
        must be in the order in which the library lists them.
    layout : str
        One of `LAYOUTS`.
    kind : {"RNN", "GRU", "LSTM"}
        Which module.

    Returns
    -------
    Found
        What it holds.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not such a file, or its names are not understood.
    """
    arrays = _arrays(path)
    settings: dict[str, Any] = {}
    places: dict[tuple[int, int], Arrays] = {}
    entry = LAYOUTS[layout].get(kind)
    expected = list(entry.arrays) if entry else []
    bare: Arrays = {}
    unnamed: Arrays = {}
    for name, array in arrays.items():
        try:
            of, layer, direction = parse_parameter_name(name)
        except ValueError:
            if name in expected:
                bare[name] = array
            elif name.startswith("arr_"):
                unnamed[name] = array
            elif array.size == 1:
                settings[name] = array.item()
            else:
                raise ValueError(
                    f"names in {path} should be those of {layout} with the place at the end, such "
                    f"as {parameter_name(expected[0] if expected else 'kernel', 0)}, got {name!r} "
                    f"with shape {array.shape}"
                ) from None
        else:
            places.setdefault((layer, direction), {})[of] = array
    if sum(map(bool, (places, bare, unnamed))) > 1:
        raise ValueError(
            f"names in {path} should all end in a place such as _l0, or none of them, got "
            f"{[name for name in arrays if name not in settings]}"
        )
    if bare:
        return Found([[bare]], settings, None, ["one layer in one direction: names have no _l0"])
    if unnamed:
        return _in_order(path, layout, kind, unnamed, settings)
    return Found(_in_layers(path, places), settings, None, [])


def npz_bytes(
    layers: Sequence[Sequence[Mapping[str, NDArray[Any]]]], settings: Mapping[str, object]
) -> bytes:
    """Write the arrays of all layers and directions.

    Parameters
    ----------
    layers : sequence of num_layers sequences of D mappings of str to ndarray
        Arrays as `unrolled.porting.to_layout` returns them.
    settings : mapping of str to object
        Arguments of the other library, which are written under their names.

    Returns
    -------
    bytes
        The content of the file.
    """
    flat = {
        parameter_name(name, layer, direction): array
        for layer, directions in enumerate(layers)
        for direction, arrays in enumerate(directions)
        for name, array in arrays.items()
    }
    buffer = io.BytesIO()
    np.savez(buffer, **flat, **settings)  # type: ignore[arg-type] # its third keyword is a flag
    return buffer.getvalue()


def zip_members(path: Path) -> dict[str, bytes]:
    """Read a zip archive.

    Parameters
    ----------
    path : Path
        Where it is.

    Returns
    -------
    dict of str to bytes
        Its members.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is not a zip archive, or is incomplete.
    """
    data = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > LARGEST_RATIO * len(data):
                raise ValueError("it says that it has more than fits into it")
            return {member.filename: archive.read(member) for member in members}
    except Exception as error:  # whatever a reader makes of bytes that are something else
        raise ValueError(f"{path} should be a whole {path.suffix} file: {error}") from None


def _arrays(path: Path) -> Arrays:
    arrays = {}
    for name, data in zip_members(path).items():
        try:
            arrays[name.removesuffix(".npy")] = _array(data)
        except Exception as error:  # whatever a reader makes of bytes that are something else
            raise ValueError(f"{name} in {path} should be an array of numbers: {error}") from None
    return arrays


def _array(data: bytes) -> NDArray[Any]:
    """Read an array without allocating more memory than its data needs."""
    file = io.BytesIO(data)
    with warnings.catch_warnings(action="ignore"):  # about headers that Python 2 wrote
        shape, fortran_order, dtype = _HEADERS[np.lib.format.read_magic(file)](file)
    if dtype.hasobject:
        raise ValueError("its objects could run code")
    if min(shape, default=0) < 0:
        raise ValueError(f"its shape is {shape}")
    array = np.frombuffer(data, dtype, math.prod(shape), file.tell())
    array = array.astype(dtype.newbyteorder("="))  # as this machine has it
    return array.reshape(shape, order="F" if fortran_order else "C")


def _in_layers(path: Path, places: Mapping[tuple[int, int], Arrays]) -> list[list[Arrays]]:
    layers: dict[int, dict[int, Arrays]] = {}
    for (layer, direction), arrays in sorted(places.items()):
        layers.setdefault(layer, {})[direction] = arrays
    if [*layers] != [*range(len(layers))]:
        raise ValueError(f"the layers in {path} should be numbered from _l0 on, got {[*layers]}")
    for layer, directions in layers.items():
        if 0 not in directions:
            raise ValueError(f"layer {layer} in {path} should have names without _reverse, too")
    return [[*directions.values()] for directions in layers.values()]


def _in_order(
    path: Path, layout: str, kind: str, unnamed: Arrays, settings: dict[str, Any]
) -> Found:
    """Name arrays by their order, if there is one way alone that fits."""
    names = [f"arr_{k}" for k in range(len(unnamed))]
    if layout not in _LISTS or {*names} != {*unnamed}:
        raise ValueError(
            f"names in {path} should be those of {layout}, such as "
            f"{parameter_name(next(iter(LAYOUTS[layout][kind].arrays)), 0)}, got {[*unnamed]}"
        )
    entry = LAYOUTS[layout][kind]
    needed = {name: setting.needed for name, setting in entry.settings.items()}
    arrays = [unnamed[name] for name in names]
    fitting, why = [], ""
    for biased in (True, False):
        of = [name for name in entry.arrays if biased or not entry.is_bias(name)]
        for D in (1, 2):
            if len(arrays) % (D * len(of)):
                continue
            parts = [
                dict(zip(of, arrays[k : k + len(of)], strict=True))
                for k in range(0, len(arrays), len(of))
            ]
            layers = [parts[k : k + D] for k in range(0, len(parts), D)]
            try:
                from_layout(layout, kind, layers, **needed)
            except (RuntimeError, TypeError, ValueError) as error:
                why = f": {error}"
            else:
                fitting.append(layers)
    if len(fitting) != 1:
        first = parameter_name(next(iter(entry.arrays)), 0)
        ways = [f"{len(layers)} layers in {len(layers[0])} directions" for layers in fitting]
        raise ValueError(
            f"arrays without names in {path} should be those of {_LISTS[layout]} of a "
            f"{entry.module}, got the shapes {[array.shape for array in arrays]}, which fit "
            f"{' and '.join(ways) or 'none'}; give names such as {first}{why if not ways else ''}"
        )
    note = f"arrays without names, taken in the order of {_LISTS[layout]}"
    return Found(fitting[0], settings, None, [note])

"""Read recurrent layers from a Keras file; needs the package ``h5py``, but not Keras.

There are three formats: ``.keras``, a zip archive with the configuration and the weights;
``.weights.h5``, with the same weights alone; and the older ``.h5``, with the configuration or, in
Keras 2, without it.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from unrolled.porting.layouts import LAYOUTS, Arrays, Found
from unrolled.porting.npz_file import LARGEST_RATIO, zip_members

__all__ = ["KERAS", "read_keras"]


KERAS = (".keras", ".h5", ".hdf5")
_NAMES = ("kernel", "recurrent_kernel", "bias")
_KINDS = {"SimpleRNN": "RNN", "GRU": "GRU", "LSTM": "LSTM"}
_CELLS = {"RNN": "simple_rnn_cell", "GRU": "gru_cell", "LSTM": "lstm_cell"}
_DROPOUTS = ("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise")
_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # the second in Keras 2
_DROPPED = ("dropout", "recurrent_dropout")  # while training; torch.nn drops somewhere else
# The length of the text in an attribute, in the HDF5 format. For a damaged file, the library would
# allocate as much memory as it states, before checking that the text is that long.
_LENGTH = re.compile(rb"(?:name|model_config)\0{4}\x19.{23}.{8}(.{4})", re.DOTALL)


class _Config(NamedTuple):
    """The configuration of a layer."""

    name: str
    path: tuple[str, ...]  # in a file of Keras 3
    layer: Mapping[str, Any]
    before: str | None  # the layer whose output it takes; None if it is not the only one
    plain: bool = True  # not inside another layer


class _Layer(NamedTuple):
    """A recurrent layer in a file."""

    name: str
    path: str
    cells: list[str]  # names of the cells, one for each direction; "" if unknown
    directions: list[Arrays]
    config: _Config | None  # None in a file without any
    refused: str = ""
    named: bool = True  # by itself, not by its path


def read_keras(path: Path, kind: str, wanted: Sequence[str] = ()) -> Found:
    """Read a recurrent layer, or a stack of several.

    Parameters
    ----------
    path : Path
        A file that Keras wrote.
    kind : {"RNN", "GRU", "LSTM"}
        Which module.
    wanted : sequence of str, optional
        Names of the layers in the order of the stack. May be left out if there is only one.

    Returns
    -------
    Found
        What it holds.

    Raises
    ------
    ImportError
        If the package ``h5py`` is not installed.
    OSError
        If the file cannot be read.
    ValueError
        If it is not such a file, if the layers are missing or not the only ones, or if they compute
        something that PyTorch's modules do not.
    """
    layers, configs, notes = _layers(path)
    layers = _chosen(path, layers, wanted)
    found: list[tuple[dict[str, object], str | None]] = []
    for layer in layers:
        where = f"{layer.name} in {path}"
        if layer.refused:
            raise ValueError(f"{where} {layer.refused}")
        if layer.config is None:
            _check_cells(where, kind, layer.cells)
            found.append(({}, None))
        else:
            goes_on = layer is not layers[-1]
            found.append(_meaning(where, kind, layer, layer.config.layer, goes_on, notes))
    if any(other != found[0] for other in found):
        raise ValueError(f"the layers in {path} should be set alike, got {found}")
    if configs is None:
        notes.append(
            f"{path} does not say how a layer was set; it is right {_silent(kind, layers)}"
        )
    else:
        _check_stack(path, layers, configs, notes)
    settings, nonlinearity = found[0]
    return Found([layer.directions for layer in layers], settings, nonlinearity, notes)


def _silent(kind: str, layers: Sequence[_Layer]) -> str:
    """Note what the arrays alone do not tell."""
    silent = {k: s.default for k, s in LAYOUTS["keras"][kind].settings.items()}
    if "bias" in layers[0].directions[0]:
        silent.pop("reset_after", None)  # it is seen in the shape
    silent |= {"go_backwards": False}
    if len(layers[0].directions) == 2:
        silent |= {"merge_mode": "concat"}
    between = " and nothing between the layers" * (len(layers) > 1)
    return f"only with {', '.join(f'{name}={value!r}' for name, value in silent.items())}{between}"


def _check_stack(
    path: Path, layers: Sequence[_Layer], configs: Sequence[_Config], notes: list[str]
) -> None:
    """Check that each layer takes the output of the one before, unchanged."""
    for below, layer in pairwise(layers):
        assert below.config is not None
        assert layer.config is not None
        beside = {c.name: c for c in configs if c.path[:-1] == layer.config.path[:-1]}
        name = layer.config.before
        while (at := beside.get(name or "")) and at.layer["class_name"] in _DROPOUTS:
            notes.append(f"{name} in {path} is not carried over: torch.nn has a dropout of its own")
            name = at.before
        if at is not below.config:
            raise ValueError(
                f"{layer.name} in {path} should take the output of {below.name}, got "
                f"{f'that of {name}' if name else 'another input'}"
            )


def _layers(path: Path) -> tuple[list[_Layer], list[_Config] | None, list[str]]:
    """Find the recurrent layers in a file and the configuration of all layers, with notes."""
    try:
        import h5py
    except ImportError as error:
        raise ImportError(f"a {path.suffix} file needs the package h5py: {error}") from None
    configs = None
    if path.suffix.lower() == ".keras":
        members = zip_members(path)
        missing = [name for name in ("config.json", "model.weights.h5") if name not in members]
        if missing:
            raise ValueError(f"{path} should be a file of Keras 3, but has no {missing[0]}")
        data, text = members["model.weights.h5"], members["config.json"]
    else:
        data, text = path.read_bytes(), b""
    try:
        if any(int.from_bytes(length, "little") > len(data) for length in _LENGTH.findall(data)):
            raise ValueError("a text in it says that it is longer than the file")
        with h5py.File(io.BytesIO(data)) as file:
            arrays, names, notes = _stored(file, len(data))
            text = text or file.attrs.get("model_config", b"")
        if text:
            configs = [*_configs(json.loads(text), ())]
    except Exception as error:  # whatever a reader makes of bytes that are something else
        raise ValueError(f"{path} should be a whole {path.suffix} file of Keras: {error}") from None
    found = [*_of_keras_3(arrays, names), *_of_keras_2(arrays)]
    if configs is not None:
        found = [_with_config(layer, configs) for layer in found]
    return found, configs, notes


def _stored(file: Any, size: int) -> tuple[Arrays, dict[str, str], list[str]]:
    """Return the arrays of cells, and the names of layers and cells, by path, with notes."""
    found, names = {}, {}

    def visit(path: str, item: Any) -> None:
        if path.startswith(("optimizer/", "optimizer_weights/")):
            return
        if hasattr(item, "shape"):
            found[path.removesuffix(":0")] = item
        elif path.rpartition("/")[2] == "vars" and "name" in item.attrs:
            names[path.removesuffix("vars").removesuffix("/")] = str(item.attrs["name"])

    file.visititems(visit)
    arrays: Arrays = {}
    notes: list[str] = []
    for path, item in found.items():
        if "/cell/" in f"/{path}" or f"{path.rpartition('/')[0]}/recurrent_kernel" in found:
            if item.external or item.is_virtual:
                raise ValueError(f"{path} is stored in another file")
            if item.nbytes > size * LARGEST_RATIO:
                raise ValueError(f"{path} says that it has more than fits into the file")
            array = np.asarray(item[()])
            if array.dtype.itemsize == 2 and item.attrs.get("dtype") == "bfloat16":
                array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
                notes = ["bfloat16, which NumPy does not have, is read as float32"]
            arrays[path] = array.astype(array.dtype.newbyteorder("="))  # as this machine has it
    return arrays, names, notes


def _of_keras_3(arrays: Arrays, names: Mapping[str, str]) -> Iterator[_Layer]:
    """Find layers by the paths of their cells: lstm/cell/vars/0, .../forward_layer/cell/vars/0."""
    cells: dict[str, Arrays] = {}
    for path, array in arrays.items():
        group, _, number = path.rpartition("/")
        owner, found, rest = f"/{group}/".rpartition("/cell/")
        if found and rest == "vars/":
            cells.setdefault(owner, {})[number] = array
        elif "/cell/cells/" in f"/{group}/":
            cells.setdefault(f"/{group}/".partition("/cell/cells/")[0], {})[path] = array
    for owner in cells:
        path = owner.removeprefix("/")
        above, _, last = owner.rpartition("/")
        if last == "backward_layer" and f"{above}/forward_layer" in cells:
            continue
        owners = [owner]
        if last == "forward_layer" and f"{above}/backward_layer" in cells:
            owners, path = [owner, f"{above}/backward_layer"], above.removeprefix("/")
        refused = "should not be inside another layer" if last == "layer" else ""
        directions = []
        for each in owners:
            if [*cells[each]] == ["0", "1", "2"][: len(cells[each])] and len(cells[each]) > 1:
                directions.append(dict(zip(_NAMES, cells[each].values(), strict=False)))
            else:
                refused = (
                    "should have one cell with kernel, recurrent_kernel and bias, got "
                    f"{len(cells[each])} variables"
                )
        inner = [names.get(f"{each}/cell".removeprefix("/"), "") for each in owners]
        name = names.get(path, path.rpartition("/")[2])
        yield _Layer(name, path, inner, directions, None, refused, path in names)


def _of_keras_2(arrays: Arrays) -> Iterator[_Layer]:
    """Find layers by the names of arrays: .../lstm/lstm_cell/kernel, .../forward_lstm/kernel."""
    found: dict[tuple[str, ...], dict[str, Arrays]] = {}  # by layer, then cell
    for path, array in arrays.items():
        group, _, name = path.rpartition("/")
        if f"{group}/recurrent_kernel" in arrays:
            parts = group.split("/")
            # An older file has no level for the cell, but may have the name of the layer twice.
            named = "cell" in parts[-1] and len(parts) > 1 and parts[-1] != parts[-2]
            cell = parts.pop() if named else ""
            found.setdefault((*parts,), {}).setdefault(cell, {})[name] = array
    for (*above, last), cells in found.items():
        way, _, name = last.partition("_")
        twin = {"forward": "backward", "backward": "forward"}.get(way)
        other = found.get((*above, f"{twin}_{name}")) if above else None
        both = [cells] if other is None else [cells, other]
        layer = _Layer(
            last if other is None else above[-1],
            "/".join([*above, last]),
            [next(iter(each)) for each in both],
            [next(iter(each.values())) for each in both],
            None,
        )
        unknown = {name for arrays in layer.directions for name in arrays} - {*_NAMES}
        if unknown:
            layer = layer._replace(refused=f"should have the arrays {_NAMES}, got {unknown}")
        if several := next((each for each in both if len(each) > 1), None):
            layer = layer._replace(refused=f"should have one cell, got {', '.join(several)}")
        if other is None or way == "forward":
            yield layer


def _chosen(path: Path, layers: list[_Layer], wanted: Sequence[str]) -> list[_Layer]:
    names = [layer.name for layer in layers]
    names = [name if names.count(name) == 1 else layers[k].path for k, name in enumerate(names)]
    if not layers:
        raise ValueError(f"{path} should have a recurrent layer of Keras, got none")
    if not wanted and len(layers) == 1:
        return layers
    if not wanted or len({*wanted}) < len(wanted) or {*wanted} - {*names}:
        raise ValueError(
            f"--layer should name a layer in {path}, or one after the other those of a stack, out "
            f"of {names}, got {[*wanted] if wanted else 'none'}"
        )
    return [layers[names.index(name)] for name in wanted]


def _configs(model: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[_Config]:
    """Walk through the layers of a model, and of the models in it."""
    config = model["config"]
    counts: Counter[str] = Counter()
    last = None
    for layer in config if isinstance(config, list) else config.get("layers", ()):
        # Keras 3 puts a layer under its class: lstm, the next one under lstm_1.
        of = re.sub("([a-z])([A-Z])", r"\1_\2", layer["class_name"]).lower()
        path = (*above, f"{of}_{counts[of]}" if counts[of] else of)
        counts[of] += 1
        inside = layer["config"]
        before = last
        if "inbound_nodes" in layer:  # a graph, not a list
            sources = [*_sources(layer["inbound_nodes"])]
            before = sources[0] if len(sources) == 1 else None
        if isinstance(inside, list) or "layers" in inside:
            yield from _configs(layer, path)
        elif "layer" in inside and layer["class_name"] != "Bidirectional":
            inner = inside["layer"]["config"]["name"]
            yield _Config(inner, (*path, "layer"), layer, None, plain=False)
        else:
            yield _Config(inside["name"], path, layer, before)
        last = None if isinstance(inside, list) else inside["name"]


def _sources(node: Any) -> Iterator[str]:
    """Find the layers that a layer takes its input from: in Keras 3 and, in lists, in Keras 2."""
    if isinstance(node, dict) and "keras_history" in node:
        yield node["keras_history"][0]
    elif isinstance(node, list) and node and isinstance(node[0], str):
        yield node[0]
    elif isinstance(node, dict | list):
        for part in node.values() if isinstance(node, dict) else node:
            yield from _sources(part)


def _with_config(layer: _Layer, configs: Sequence[_Config]) -> _Layer:
    """Find the configuration of a layer by its name or, if that is missing or shared, its path."""
    path = tuple(part for part in layer.path.split("/") if part not in _CONTAINERS)
    found = [each for each in configs if not layer.named or each.name == layer.name]
    if not layer.named or len(found) > 1:
        found = [each for each in found if each.path == path]
    if len(found) != 1:
        refused = layer.refused or "should be in the configuration of the model, but is not"
        return layer._replace(refused=refused)
    refused = layer.refused
    if not found[0].plain:
        refused = f"should not be inside a layer {found[0].layer['class_name']}"
    return layer._replace(name=found[0].name, config=found[0], refused=refused)


def _check_cells(where: str, kind: str, cells: Sequence[str]) -> None:
    for cell in cells:
        if cell and not cell.startswith(_CELLS[kind]):
            raise ValueError(f"{where} should have a {_CELLS[kind]}, got {cell}")


def _meaning(
    where: str,
    kind: str,
    layer: _Layer,
    config: Mapping[str, Any],
    goes_on: bool,
    notes: list[str],
) -> tuple[dict[str, object], str | None]:
    """Check options that the layout does not list; return its settings and the nonlinearity."""
    parts = [config]
    if config["class_name"] == "Bidirectional":
        around = config["config"]
        _check(where, "merge_mode", around.get("merge_mode", "concat"), "concat")
        backward = around.get("backward_layer") or {
            **around["layer"],
            "config": {**around["layer"]["config"], "go_backwards": True},
        }
        parts = [around["layer"], backward]
    _check(where, "directions", len(layer.directions), len(parts))
    found = []
    for direction, part in enumerate(parts):
        own = part["config"]
        _check(where, "go_backwards", own.get("go_backwards", False), direction == 1)
        if goes_on:
            _check(where, "return_sequences", own.get("return_sequences", False), True)
        name = part["class_name"]
        if name == "RNN":
            name, own = own["cell"]["class_name"].removesuffix("Cell"), own["cell"]["config"]
            part = part["config"]["cell"]
        of = part["class_name"]
        _check(where, "registered_name", part.get("registered_name") or of, of)
        _check(where, "package", str(part.get("module", "keras")).partition(".")[0], "keras")
        _check(where, "kind", _KINDS.get(name, name), kind)
        arrays = layer.directions[direction]
        _check(
            where, "units", own.get("units", own.get("output_dim")), len(arrays["recurrent_kernel"])
        )
        _check(where, "use_bias", own.get("use_bias", True), "bias" in arrays)
        settings = {k: own[k] for k in LAYOUTS["keras"][kind].settings if k in own}
        if kind == "GRU":
            settings.setdefault("reset_after", arrays.get("bias", np.zeros(0)).ndim == 2)
        nonlinearity = None
        if kind == "RNN":
            nonlinearity = own.get("activation", "tanh")
            if nonlinearity not in ("tanh", "relu"):
                raise ValueError(
                    f"activation of {where} should be tanh or relu, got {nonlinearity!r}"
                )
        notes += [
            f"{name}={own[name]} of {where} is not carried over: torch.nn has no such dropout"
            for name in _DROPPED
            if own.get(name) and direction == 0
        ]
        found.append((settings, nonlinearity))
    if found[0] != found[-1]:
        raise ValueError(f"both directions of {where} should be set alike, got {found}")
    return found[0]


def _check(where: str, name: str, got: object, expected: object) -> None:
    if got != expected:
        raise ValueError(f"{name} of {where} should be {expected!r}, got {got!r}")

"""Find a recurrent module among the tensors of a checkpoint, read it and write it; needs torch.

A checkpoint is a state dict or contains one, as in ``{"model_state_dict": ..., "epoch": 3}``. The
module is read completely: if a weight is computed from others, by weight_norm or by pruning, it is
computed here too, or else refused.
"""

import io
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from numpy.typing import NDArray

from unrolled.shapes import parameter_name

__all__ = [
    "SAFE",
    "TORCH",
    "Checkpoint",
    "FromTorch",
    "checkpoint_bytes",
    "holds_only",
    "read_torch",
    "same_form",
    "to_tensors",
    "update",
]

TORCH = (".pt", ".pth", ".ckpt", ".bin", ".tar")
SAFE = ".safetensors"
_INSIDE = ("state_dict", "model_state_dict", "model")  # where trainers put the state dict
_WRAPPERS = ("module.", "_orig_mod.")  # prefixes added by DataParallel and torch.compile
_UNDO = (
    "undo what computes it before you save, with torch.nn.utils.parametrize.remove_parametrizations"
    " or what else removes it"
)
_NAME = re.compile(
    r"(?P<front>.*?)(?P<hidden>parametrizations\.)?"
    r"(?P<of>(?:weight|bias)_(?:ih|hh|hr)(?P<place>_l(?:0|[1-9][0-9]*)(?:_reverse)?)?)"
    r"(?P<rest>[._](?!l[0-9]|reverse$).+)?",
    re.DOTALL,
)


class FromTorch(NamedTuple):
    """What a checkpoint holds.

    Attributes
    ----------
    state : dict of str to ndarray
        Parameters by PyTorch's names. A bfloat16 tensor, which NumPy does not support, is float32.
    dtypes : list of str
        The dtypes in the file, sorted.
    notes : list of str
        What a user should know about how the file was read.
    """

    state: dict[str, NDArray[Any]]
    dtypes: list[str]
    notes: list[str]


class Checkpoint(NamedTuple):
    """A file that was loaded.

    Attributes
    ----------
    path : Path
        Path of the file.
    contents : Mapping
        What it holds.
    metadata : dict of str to str, optional
        Metadata of a ``.safetensors`` file.
    devices : list of str
        Devices, other than the CPU, of the tensors when they were saved.
    """

    path: Path
    contents: Mapping[Any, Any]
    metadata: dict[str, str] | None
    devices: list[str]

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Load a file without running any code from it.

        Parameters
        ----------
        path : Path
            A file with one of the suffixes `TORCH` or `SAFE`.

        Returns
        -------
        Checkpoint
            What it holds.

        Raises
        ------
        ImportError
            If the package ``safetensors`` is needed but not installed.
        OSError
            If the file cannot be read.
        ValueError
            If it is not a checkpoint.
        """
        if path.suffix.lower() == SAFE:
            return cls(path, *_load_safe(path, path.read_bytes()), [])
        with path.open("rb") as file:
            contents, devices = _load_torch(path, file)
        if not isinstance(contents, Mapping):
            raise ValueError(f"{_refused(path)}, got {type(contents).__name__}")
        return cls(path, contents, None, devices)

    def find(self, prefix: str) -> "_Place":
        """Find the module whose names begin with a prefix.

        Parameters
        ----------
        prefix : str
            The prefix that the user gave. The names in `_INSIDE` and `_WRAPPERS` may be left out.

        Returns
        -------
        _Place
            Where it is.

        Raises
        ------
        ValueError
            If there is no such module, or more than one.
        """
        places = list(_places(self.contents, (), set()))
        found = [place for place in places if place.full == prefix]
        found = found or [place for place in places if prefix in place.short]
        if len(found) == 1:
            return found[0]
        if not places:
            names = [str(name) for _, part in _parts(self.contents, (), set()) for name in part]
            raise ValueError(
                f"{self.path} should have the parameters of a recurrent module, weight_ih_l0 and "
                f"the others, got {len(names)} names: {', '.join(map(repr, names[:8]))}"
                f"{', ...' * (len(names) > 8)}"
            )
        there = sorted(place.full for place in found) or sorted(place.short[-1] for place in places)
        raise ValueError(f"--prefix should be one of {there} for {self.path}, got {prefix!r}")

    def to_bytes(self) -> bytes:
        """Write it back.

        Returns
        -------
        bytes
            The content of the file.
        """
        return checkpoint_bytes(self.path, self.contents, self.metadata)


class _Place(NamedTuple):
    """Where a module is in a checkpoint."""

    mapping: Mapping[Any, Any]
    front: str  # what comes before the names in this mapping
    full: str  # the same, with the keys that lead to the mapping
    short: tuple[str, ...]  # the same, with less and less of what can be left out


def read_torch(path: Path, prefix: str = "") -> FromTorch:
    """Read the parameters of a recurrent module.

    Parameters
    ----------
    path : Path
        A file of one of the suffixes `TORCH` or `SAFE`.
    prefix : str, default ""
        What comes before the names.

    Returns
    -------
    FromTorch
        What it holds.

    Raises
    ------
    ImportError
        If the package ``safetensors`` is needed but not installed.
    OSError
        If the file cannot be read.
    ValueError
        If it is not a checkpoint, has no such module or more than one, or if a parameter is
        computed in an unknown way.
    """
    import torch

    checkpoint = Checkpoint.load(path)
    tensors, notes = _parameters(checkpoint, checkpoint.find(prefix))
    known = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    for name, value in tensors.items():
        if value.dtype not in known or value.layout != torch.strided or value.is_meta:
            raise ValueError(
                f"{name} in {path} should be a dense tensor of a floating-point dtype of 16 bits "
                f"or more, got {value.dtype} in {value.layout} on {value.device}"
            )
    state = {
        name: (value.float() if value.dtype == torch.bfloat16 else value).detach().numpy()
        for name, value in tensors.items()
    }
    dtypes = sorted({str(value.dtype).removeprefix("torch.") for value in tensors.values()})
    return FromTorch(state, dtypes, notes)


def checkpoint_bytes(
    path: Path, contents: Mapping[Any, Any], metadata: dict[str, str] | None = None
) -> bytes:
    """Write a checkpoint.

    Parameters
    ----------
    path : Path
        Its suffix says which format.
    contents : Mapping
        What to write.
    metadata : dict of str to str, optional
        Of a ``.safetensors`` file.

    Returns
    -------
    bytes
        The content of the file.

    Raises
    ------
    ImportError
        If the package ``safetensors`` is needed but not installed.
    """
    import torch

    if path.suffix.lower() == SAFE:
        tensors = {name: value.contiguous() for name, value in contents.items()}
        return _package().torch.save(tensors, metadata or {"format": "pt"})
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    return buffer.getvalue()


def update(
    checkpoint: Checkpoint,
    prefix: str,
    state: Mapping[str, NDArray[Any]],
    dtype: str,
    asked: bool = False,
) -> list[str]:
    """Replace parameters in a checkpoint and leave the rest unchanged.

    Parameters
    ----------
    checkpoint : Checkpoint
        The checkpoint, which is changed.
    prefix : str
        What comes before the names.
    state : mapping of str to ndarray
        Parameters by PyTorch's names.
    dtype : str
        The dtype that the parameters would have in a newly written file; here the tensors keep
        their dtype.
    asked : bool, default False
        Whether the user asked for `dtype`, so that any other is refused.

    Returns
    -------
    list of str
        What a user should know about the change.

    Raises
    ------
    ValueError
        If there is no such module, if its names, shapes or dtypes differ, or if something else
        would change with it.
    """
    import torch

    path, place = checkpoint.path, checkpoint.find(prefix)
    old, _ = _parameters(checkpoint, place, computed=False)
    shapes = {name: tuple(value.shape) for name, value in old.items()}
    new = {name: array.shape for name, array in state.items()}
    if shapes != new:
        raise ValueError(
            f"{path} should have a module of the same names and shapes at {place.full!r} to put the"
            f" parameters in its place, {new}, got {shapes}"
        )
    dtypes = sorted({str(value.dtype).removeprefix("torch.") for value in old.values()})
    if asked and dtypes != [dtype]:
        raise ValueError(
            f"--dtype should be that of the module in {path}, {' and '.join(dtypes)}, got {dtype}"
        )
    shared = {value.untyped_storage().data_ptr() for value in old.values()}
    others = [
        (name, value, value.detach().clone())
        for name, value in _others(checkpoint.contents, place)
        if value.untyped_storage().data_ptr() in shared
    ]
    with torch.no_grad():
        for name, value in old.items():
            value.copy_(torch.from_numpy(state[name]))
    for name, value in old.items():
        if not value.equal(torch.from_numpy(state[name]).to(value.dtype)):
            raise ValueError(
                f"{name} in {path} should have memory of its own, but is tied to another parameter "
                "that gets other values"
            )
        _check_finite(name, value.isfinite().all(), str(value.dtype))
    for name, value, before in others:
        if not value.equal(before):
            raise ValueError(
                f"the module at {place.full!r} in {path} should have memory of its own, but "
                f"{name!r} shares it and would change, too"
            )
    notes = []
    if not holds_only(checkpoint, prefix):
        where = f"{len(old)} tensors at {place.full!r}"
        notes.append(f"{path} is updated: {where} are new, the rest is as it was")
    if dtypes != [dtype]:
        notes.append(f"the tensors keep the dtype that they have there, {' and '.join(dtypes)}")
    if checkpoint.devices:
        notes.append(f"tensors of {', '.join(checkpoint.devices)} are now saved as on the CPU")
    return notes


def to_tensors(state: Mapping[str, NDArray[Any]], dtype: str) -> dict[str, Any]:
    """Convert arrays to tensors of a dtype.

    Parameters
    ----------
    state : mapping of str to ndarray
        Parameters by name.
    dtype : str
        Name of a dtype of PyTorch.

    Returns
    -------
    dict of str to Tensor
        The same in PyTorch.

    Raises
    ------
    ValueError
        If a value is too large for `dtype`.
    """
    import torch

    tensors = {k: torch.from_numpy(v).to(getattr(torch, dtype)) for k, v in state.items()}
    for name, value in tensors.items():
        _check_finite(name, value.isfinite().all(), dtype)
    return tensors


def holds_only(checkpoint: Checkpoint, prefix: str) -> bool:
    """Tell whether a checkpoint holds only the parameters of one recurrent module.

    Parameters
    ----------
    checkpoint : Checkpoint
        The checkpoint.
    prefix : str
        What comes before the names.

    Returns
    -------
    bool
        True if nothing else would be lost with the file.
    """
    found = [_NAME.fullmatch(str(name)) for name in checkpoint.contents]
    more = set(checkpoint.metadata or ()) - {"format"}
    return not more and all(
        m is not None and m["front"] == prefix and m["place"] and not m["rest"] for m in found
    )


def same_form(contents: Mapping[Any, Any], tensors: Mapping[str, Any]) -> bool:
    """Tell whether two state dicts have the same names, shapes and dtypes.

    Parameters
    ----------
    contents, tensors : mapping
        State dicts.

    Returns
    -------
    bool
        Whether one can take the place of the other.
    """
    one, other = (
        {name: (getattr(v, "shape", None), getattr(v, "dtype", None)) for name, v in each.items()}
        for each in (contents, tensors)
    )
    return one == other


def _check_finite(name: str, finite: object, dtype: str) -> None:
    if not finite:
        dtype = dtype.removeprefix("torch.")
        raise ValueError(f"{name} should have values that {dtype} can hold, got larger ones")


def _refused(path: Path) -> str:
    return f"{path} should hold a state dict: names and tensors"


def _package() -> Any:
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(f"a .safetensors file needs the package safetensors: {error}") from None
    return safetensors


def _load_safe(path: Path, data: bytes) -> tuple[dict[str, Any], dict[str, str] | None]:
    package = _package()
    try:
        tensors = package.torch.load(data)
        with package.safe_open(path, framework="pt") as file:
            return tensors, file.metadata()
    except Exception as error:  # whatever a reader makes of bytes that are something else
        raise ValueError(f"{path} should be a .safetensors file: {error}") from None


def _load_torch(path: Path, file: BinaryIO) -> tuple[Any, list[str]]:
    import torch

    if damaged := _damaged(file):
        raise ValueError(f"{path} should be as it was written, but {damaged[0]!r} in it is damaged")
    devices = set()

    def to_cpu(storage: Any, device: str) -> Any:
        devices.add(device)
        return storage

    try:
        with warnings.catch_warnings(action="ignore"):  # about files that are refused anyway
            saved = torch.load(file, map_location=to_cpu, weights_only=True)
    except Exception as error:  # whatever a reader makes of bytes that are something else
        # PyTorch's own message advises to load anything.
        found = re.search(r"Unsupported global: GLOBAL (\S+)", str(error))
        why = "torch.load(weights_only=True) refuses it"
        if found:
            why += f": a {found[1]} could run code; where you trust the file, save its state dict"
        raise ValueError(f"{_refused(path)}, and nothing else; {why}") from None
    return saved, sorted(devices - {"cpu"})


def _damaged(file: BinaryIO) -> list[str]:
    """Name the members of a zip archive with a wrong checksum; PyTorch does not check it."""
    wrong = []
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            for member in members:
                try:
                    with archive.open(member) as part:
                        while part.read(1 << 20):
                            pass
                except zipfile.BadZipFile:
                    wrong.append(member.filename)
    except Exception:  # no archive, or one that PyTorch will refuse
        wrong, members = [], []
    file.seek(0)
    # Where all are wrong, somebody told torch.serialization.set_crc32_options to leave them out.
    return wrong if len(wrong) < len(members) else []


def _parts(
    contents: Mapping[Any, Any], keys: tuple[str, ...], seen: set[int]
) -> Iterator[tuple[tuple[str, ...], Mapping[Any, Any]]]:
    """Walk through a mapping and the mappings in it, each once, even if they form a cycle."""
    seen.add(id(contents))
    yield keys, contents
    for key, value in contents.items():
        if isinstance(value, Mapping) and id(value) not in seen:
            yield from _parts(value, (*keys, str(key)), seen)


def _others(contents: Mapping[Any, Any], place: _Place) -> Iterator[tuple[str, Any]]:
    """Walk through all tensors that do not belong to the module, including those in lists."""
    import torch

    for keys, part in _parts(contents, (), set()):
        for key, value in part.items():
            if part is place.mapping and str(key).startswith(place.front):
                continue
            for item in value if isinstance(value, list | tuple) else [value]:
                if isinstance(item, torch.Tensor):
                    yield ".".join((*keys, str(key))), item


def _places(contents: Mapping[Any, Any], keys: tuple[str, ...], seen: set[int]) -> Iterator[_Place]:
    """Find the modules: the fronts of all first weights."""
    for path, part in _parts(contents, keys, seen):
        names = [name for name in part if isinstance(name, str)]
        wrapped = ""
        while more := [w for w in _WRAPPERS if _all_begin(names, wrapped + w)]:
            wrapped += more[0]
        found = [_NAME.fullmatch(name) for name in names]
        first = ("weight_ih", parameter_name("weight_ih", 0))
        for front in dict.fromkeys(m["front"] for m in found if m and m["of"] in first):
            outside = "".join(f"{key}." for key in path)
            known = "".join(f"{key}." for key in path if key not in _INSIDE)
            bare = front.removeprefix(wrapped)
            ways = (outside + front, known + front, outside + bare, known + bare)
            yield _Place(part, front, outside + front, ways)


def _all_begin(names: Sequence[str], front: str) -> bool:
    return bool(names) and all(name.startswith(front) for name in names)


def _parameters(
    checkpoint: Checkpoint, place: _Place, computed: bool = True
) -> tuple[dict[str, Any], list[str]]:
    """Return the tensors of a module by PyTorch's names, with notes about them."""
    import torch

    path, front = checkpoint.path, place.front
    plain: dict[str, Any] = {}
    made: dict[str, dict[str, Any]] = {}
    placed = []
    for name, value in place.mapping.items():
        if not str(name).startswith(front):
            continue
        if not isinstance(value, torch.Tensor):
            raise ValueError(
                f"{_refused(path)}, and nothing else at {place.full!r}, got "
                f"{type(value).__name__} under the name {name!r}"
            )
        found = _NAME.fullmatch(str(name).removeprefix(front))
        if found is None or found["front"] or (not found["hidden"] and found["rest"] is None):
            plain[str(name).removeprefix(front)] = value
        else:
            made.setdefault(found["of"], {})[str(name).removeprefix(front)] = value
        placed.append(bool(found and found["place"]))
    _check_outside(checkpoint, place, {*plain, *made})
    if made and not computed:
        raise ValueError(
            f"{[*made]} at {place.full!r} in {path} should be stored, to put others in their place,"
            f" but are computed: {_UNDO}"
        )
    notes = []
    for of, parts in made.items():
        beside = f"; the {of} beside them is not used" * (plain.pop(of, None) is not None)
        plain[of] = _computed(of, parts, f"at {place.full!r} in {path}")
        notes.append(f"{of} is computed from {' and '.join(parts)}{beside}")
    if not any(placed):
        notes.append("a cell, read as a module of one layer: its names have no _l0")
        cell = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"}
        plain = {f"{name}_l0" if name in cell else name: value for name, value in plain.items()}
    return plain, notes


def _check_outside(checkpoint: Checkpoint, place: _Place, names: set[str]) -> None:
    """Refuse copies of what a wrapper one level up computes, such as a weight drop."""
    above = place.front[:-1].rpartition(".")
    outer = "".join(above[:2])
    for name in place.mapping if place.front else ():
        found = _NAME.fullmatch(str(name))
        if found and found["front"] == outer and found["of"] in names and found["rest"]:
            raise ValueError(
                f"{found['of']} at {place.full!r} in {checkpoint.path} should be stored, but is a "
                f"copy of what is computed from {name!r}: {_UNDO}"
            )


def _computed(of: str, parts: Mapping[str, Any], where: str) -> Any:
    """Compute a weight as the module does."""
    weight = None
    if {*parts} == {f"{of}_orig", f"{of}_mask"}:  # torch.nn.utils.prune
        original, mask = parts[f"{of}_orig"], parts[f"{of}_mask"]
        weight = mask.to(original.dtype) * original if mask.shape == original.shape else None
    for g, v in (
        (f"{of}_g", f"{of}_v"),  # torch.nn.utils.weight_norm
        (f"parametrizations.{of}.original0", f"parametrizations.{of}.original1"),
    ):
        if {*parts} == {g, v}:
            weight = _weight_norm(parts[g], parts[v])
    if weight is None:
        raise ValueError(
            f"{of} {where} should be stored, but is computed from {' and '.join(parts)}: {_UNDO}"
        )
    return weight


def _weight_norm(g: Any, v: Any) -> Any:
    """Compute a weight as torch.nn.utils.parametrizations.weight_norm does; None if it cannot."""
    import torch

    dims: Sequence[int | None] = [
        dim
        for dim in range(v.ndim)
        if g.shape == (*(1,) * dim, v.shape[dim], *(1,) * (v.ndim - dim - 1))
    ]
    dims = [None] if g.ndim == 0 else dims
    if not dims or g.dtype != v.dtype or not v.is_floating_point():
        return None
    holder = torch.nn.Module()
    holder.register_parameter("weight", torch.nn.Parameter(v.detach().clone()))
    torch.nn.utils.parametrizations.weight_norm(
        holder,
        "weight",
        dim=dims[0],  # type: ignore[arg-type] # None, one norm of all, is documented
    )
    with torch.no_grad():
        holder.get_parameter("parametrizations.weight.original0").copy_(g)
        holder.get_parameter("parametrizations.weight.original1").copy_(v)
        return holder.weight

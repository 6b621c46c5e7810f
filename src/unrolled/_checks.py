"""Checks of arguments, with the type of error that torch raises for the same mistake.

Each message names the argument and says what it should be and what was passed.
"""

import operator
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any, Never

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from unrolled.arrays import check_array
from unrolled.shapes import num_directions, real_hidden_size

BACK = ": tools that know the classes of torch.nn alone need unrolled.to_torch(model)"
# Before PyTorch 2.7 nothing says so, and a loop is recorded step by step.
is_exporting = getattr(torch.compiler, "is_exporting", bool)
# PyTorch 2.6 compiles neither `strict=False` of zip, nor `|` of dictionaries or types, nor _asdict.

# -- Arrays ---------------------------------------------------------------------------------------


def check_kinds(**arrays: Any) -> None:
    """Refuse values that are not arrays of real numbers, or not all of one kind, device, dtype."""
    first, like = next(iter(arrays.items()))
    check_array(first, like)
    kind = Tensor if isinstance(like, Tensor) else np.ndarray
    dtype = like.dtype
    if not (dtype.is_floating_point or dtype.is_complex if kind is Tensor else dtype.kind in "fc"):
        raise RuntimeError(f"{first} should have a floating-point or complex dtype, got {dtype}")
    for name, array in arrays.items():
        if not isinstance(array, kind):
            wanted = f"{kind.__module__}.{kind.__name__}"
            raise TypeError(f"{name} should be a {wanted} like {first}, got {type(array).__name__}")
        for what in ("device", "dtype") if kind is Tensor else ("dtype",):
            one, got = getattr(like, what), getattr(array, what)
            if got != one and not (what == "dtype" and _is_autocast(array)):
                raise RuntimeError(f"{name} should have the {what} of {first}, {one}, got {got}")


def _is_autocast(array: Any) -> bool:
    kind = array.device.type if isinstance(array, Tensor) else "cpu"
    return kind != "meta" and torch.is_autocast_enabled(kind)


def check_shape(name: str, array: Any, expected: tuple[int, ...], axes: str = "") -> None:
    if array.shape != expected:
        what = f"{tuple(expected)}{axes and f' as {axes}'}"
        raise RuntimeError(f"{name} should have shape {what}, got {tuple(array.shape)}")


def _ranked(array: Any) -> str:
    return f"{array.ndim}D of shape {tuple(array.shape)}"


def check_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        # torch.nn calls .dim() on whatever it is given, and so raises this type.
        got = type(value).__name__
        raise AttributeError(f"{name} should be a torch.Tensor, got {got}{BACK * ('Proxy' in got)}")


def check_step(
    given: dict[str, Any],
    states: dict[str, Any],
    weights: dict[str, Any],
    rows: tuple[int, ...] | None = None,
    gates: int | None = None,
) -> None:
    """Refuse input, states and parameters that would broadcast or mix without an error.

    A cell has as many rows as its input, and knows its gates; elsewhere `rows` are given. The
    hidden state is the first of `states`, whatever its name.
    """
    weights = {k: w for k, w in weights.items() if w is not None or k in ("weight_ih", "weight_hh")}
    check_kinds(**given, **states, **weights)
    for one, array in ({**states, **weights} if rows else {**given, **states, **weights}).items():
        if not 0 < array.ndim < 3 and not one.startswith("bias"):
            error, wanted = (RuntimeError, "2D") if one in weights else (ValueError, "1D or 2D")
            raise error(f"{one} should be {wanted}, got {_ranked(array)}")
    ((name, x),), weight_hr = given.items(), weights.get("weight_hr")
    rows = rows or x.shape[:-1]
    columns, H_out = weights["weight_ih"].shape[-1], next(iter(states.values())).shape[-1]
    if x.shape[-1] != columns:
        raise RuntimeError(
            f"{name} should have {columns} features, the columns of weight_ih, got {x.shape[-1]}"
        )
    hidden_size = H_out if weight_hr is None else weight_hr.shape[-1]
    gate_size = len(weights["weight_hh"]) if gates is None else gates * hidden_size
    shapes = {
        **{one: (*rows, w) for one, w in zip(states, (H_out, hidden_size))},  # noqa: B905 # see above
        "weight_hh": (gate_size, H_out),
        "weight_ih": (gate_size, columns),
        "bias_ih": (gate_size,),
        "bias_hh": (gate_size,),
        "weight_hr": (H_out, hidden_size),
    }
    arrays = {**states, **weights}
    for one, shape in shapes.items():
        if one in arrays:
            check_shape(one, arrays[one], shape)


def check_direction(inputs: Any, initial: Any, weights: Any, sizes: Any) -> None:
    """Make the same checks once, before a loop over time, so that its steps need not."""
    check_kinds(inputs=inputs)
    sizes = checked_order(inputs, initial, sizes)
    if inputs.ndim != (wanted := 3 if sizes is None else 2):
        raise RuntimeError(f"inputs should be {wanted}D, got {_ranked(inputs)}")
    if inputs.shape[0] == 0:  # `len` would make a length that is free while exporting a number
        raise RuntimeError(
            f"inputs should have at least one time step, got shape {tuple(inputs.shape)}"
        )
    states = dict(zip("hc", initial if isinstance(initial, tuple) else (initial,)))  # noqa: B905 # see above
    N = inputs.shape[1] if sizes is None else sizes[0]
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
    check_step({"inputs": inputs}, states, dict(zip(names, weights, strict=True)), (N,))


def checked_order(inputs: Any, state: Any, sizes: Any) -> list[int] | None:
    """Refuse sizes of packed sequences that do not describe inputs and states."""
    if sizes is None:
        return None
    if not isinstance(inputs, Tensor):  # nothing else can be packed
        kind = type(inputs).__name__
        raise TypeError(f"order.sizes should be None for inputs of type {kind}, got {sizes}")
    found = check_sizes("order.sizes", sizes, len(inputs))
    for part in state if isinstance(state, tuple) and state else (state,):
        if not isinstance(part, Tensor) or part.shape[:1] != (found[0],):
            got = tuple(part.shape) if isinstance(part, Tensor) else type(part).__name__
            raise RuntimeError(f"state should be a Tensor of {found[0]} rows, got {got}")
    return found


def check_sizes(name: str, sizes: Any, rows: int) -> list[int]:
    """Refuse what cannot be the batch_sizes of so many packed rows; return them as integers."""
    try:
        found = [operator.index(size) for size in sizes]
    except TypeError:
        raise TypeError(f"{name} should be a sequence of integers, got {sizes!r}") from None
    if not found:
        raise IndexError(f"{name} should have at least one time step, got none")
    if found[-1] <= 0 or any(later > earlier for earlier, later in pairwise(found)):
        raise RuntimeError(f"{name} should be positive and never increase, got {found}")
    if sum(found) != rows:
        raise RuntimeError(f"{name} should sum to the {rows} rows of data, got {found}")
    return found


# -- Modules --------------------------------------------------------------------------------------


def check_input(input: Any) -> None:
    check_tensor("input", input)
    if input.dim() not in (2, 3):
        raise ValueError(f"input should be 2D or 3D, got {_ranked(input)}")


def check_features(module: nn.RNNBase, inputs: Tensor, weight: Tensor) -> None:
    if inputs.dtype != weight.dtype and not _is_autocast(inputs):
        raise ValueError(
            f"input should have the dtype of the weights, {weight.dtype}, got {inputs.dtype}: "
            f"convert with input.to({weight.dtype}) or module.to({inputs.dtype})"
        )
    if inputs.size(-1) != module.input_size:
        raise RuntimeError(
            "input.size(-1) must be equal to input_size: input should have "
            f"input_size={module.input_size} features in its last dimension, "
            f"got {inputs.size(-1)} in shape {tuple(inputs.shape)}"
        )
    _check_device("input", inputs, "the weights", weight)


def _check_device(name: str, value: Tensor, other: str, like: Tensor) -> None:
    if value.device != like.device:
        wanted = f"the device of {other}, {like.device}"
        raise RuntimeError(f"{name} should be on {wanted}, got {value.device}")


def named_states(module: nn.RNNBase, hx: Any) -> dict[str, Tensor]:
    """Name the states in `hx`, none if it was left out."""
    if hx is None:
        return {}
    if module.mode != "LSTM":
        check_tensor("hx", hx)
        return {"hx": hx}
    if isinstance(hx, Tensor):  # torch.nn.LSTM takes its rows as the two states
        error = IndexError if hx.dim() == 0 or len(hx) < 2 else RuntimeError
        raise error(f"hx should be a tuple (h_0, c_0), got one Tensor of shape {tuple(hx.shape)}")
    try:
        count = len(hx)
    except TypeError:
        raise TypeError(f"hx should be a tuple (h_0, c_0), got {type(hx).__name__}") from None
    if count != 2:
        error = IndexError if count < 2 else RuntimeError  # as torch.nn.LSTM
        raise error(f"hx should be a tuple (h_0, c_0), got {count} states")
    h_0, c_0 = hx
    check_tensor("hx[0]", h_0)
    check_tensor("hx[1]", c_0)
    return {"hx[0]": h_0, "hx[1]": c_0}


def check_ranks(states: dict[str, Tensor], input: Tensor) -> None:
    for name, state in states.items():
        if state.dim() != input.dim():
            raise RuntimeError(f"{name} should be {input.dim()}D like input, got {_ranked(state)}")


def check_sortable(states: dict[str, Tensor]) -> None:
    for name, state in states.items():
        if state.dim() < 2:  # has no sequences to sort
            raise IndexError(f"{name} should be 3D, got {_ranked(state)}")


def state_shapes(module: nn.RNNBase, N: int) -> list[tuple[int, int, int]]:
    """Return the shapes of the initial states: h_0, and for an LSTM c_0."""
    count = num_directions(module.bidirectional) * module.num_layers
    H_out = real_hidden_size(module.hidden_size, module.proj_size)
    widths = [H_out, module.hidden_size] if module.mode == "LSTM" else [H_out]
    return [(count, N, width) for width in widths]


def check_states(module: nn.RNNBase, states: dict[str, Tensor], inputs: Tensor, N: int) -> None:
    for (name, state), expected in zip(states.items(), state_shapes(module, N), strict=True):
        width = "hidden_size" if name == "hx[1]" else "H_out"
        check_shape(name, state, expected, f"(D * num_layers, N, {width})")
        _check_device(name, state, "input", inputs)
        if state.dtype != inputs.dtype and not _is_autocast(inputs):
            raise RuntimeError(
                f"{name} should have the dtype of input, {inputs.dtype}, got {state.dtype}"
            )


def check_packed(input: PackedSequence, **padded: object) -> list[int]:
    """Refuse a hand-made PackedSequence whose batch_sizes do not fit its data; return the sizes."""
    for name, value in padded.items():
        if value is not None:
            raise ValueError(
                f"{name} should be left out for a PackedSequence, which has lengths of its own, "
                f"got {type(value).__name__}"
            )
    if torch.jit.is_tracing() or is_exporting():  # type: ignore[attr-defined,no-untyped-call] # torch has no types for it
        raise RuntimeError(
            "input should be a Tensor where a graph is recorded, got a PackedSequence: its "
            "batch_sizes would become constants; pass lengths with a padded Tensor instead"
        )
    if input.data.dim() != 2:
        raise RuntimeError(f"input.data should be 2D, got {_ranked(input.data)}")
    name, batch_sizes = "PackedSequence.batch_sizes", input.batch_sizes
    if batch_sizes.dim() != 1:
        raise IndexError(f"{name} should be 1D, got {batch_sizes.dim()}D")
    if batch_sizes.dtype != torch.int64:
        error = TypeError if batch_sizes.is_floating_point() else RuntimeError
        raise error(f"{name} should have dtype torch.int64, got {batch_sizes.dtype}")
    return check_sizes(name, batch_sizes.tolist(), len(input.data))


def checked_mask(
    lengths: Sequence[int] | Tensor | None,
    mask: Any,
    inputs: Tensor,
    batched: bool,
    batch_first: bool,
) -> Tensor | None:
    """Turn `lengths` or `mask` into a mask of shape (L, N), or None where neither is given."""
    L, N = inputs.size(0), inputs.size(1)
    if lengths is not None:
        if mask is not None:
            raise ValueError("lengths should be left out where there is a mask, got both")
        if not batched:
            raise ValueError("lengths should be left out for unbatched input, got some")
        steps = torch.arange(L, device=inputs.device)
        return steps[:, None] < _checked_lengths(lengths, L, N, inputs.device)
    return checked_flags("mask", mask, inputs, batched, batch_first)


def checked_flags(
    name: str, flags: Any, inputs: Tensor, batched: bool, batch_first: bool
) -> Tensor | None:
    """Turn one flag for each time step of each sequence into the shape (L, N), if there are any."""
    if flags is None:
        return None
    L, N = inputs.size(0), inputs.size(1)
    if not isinstance(flags, Tensor) or flags.dtype != torch.bool:
        got = flags.dtype if isinstance(flags, Tensor) else type(flags).__name__
        raise TypeError(f"{name} should be a Tensor of torch.bool, got {got}")
    check_shape(name, flags, ((N, L) if batch_first else (L, N)) if batched else (L,))
    _check_device(name, flags, "input", inputs)
    if not batched:
        return flags[:, None]
    return flags.T.contiguous() if batch_first else flags


def _checked_lengths(
    lengths: Sequence[int] | Tensor, L: int, N: int, device: torch.device
) -> Tensor:
    """Refuse lengths that PyTorch's packing would silently change into others."""
    try:
        # torch would turn an empty list into floating-point numbers.
        dtype = torch.int64 if isinstance(lengths, (list, tuple)) and not lengths else None
        counts = torch.as_tensor(lengths, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"lengths should be integers, got {lengths!r}") from None
    if (kind := counts.dtype).is_floating_point or kind.is_complex or kind == torch.bool:
        raise TypeError(f"lengths should be integers, got {counts.dtype}")
    check_shape("lengths", counts, (N,))
    if not isinstance(lengths, Tensor):
        values = list(lengths)
    else:
        values = []
        if not torch.compiler.is_compiling():  # not known yet
            with suppress(RuntimeError):  # hidden by vmap, or not there at all
                values = counts.tolist()
    if not all(0 <= value <= L for value in values):
        raise RuntimeError(f"lengths should be from 0 to L={L}, got {values}")
    return counts


def check_keywords(module: str, refused: dict[str, Any]) -> None:
    """Refuse unknown keywords, and like torch also `proj_size`, even if it is 0."""
    for name, value in refused.items():
        if name == "proj_size":
            raise ValueError(
                "proj_size argument is only supported for LSTM, not RNN or GRU: it should be left "
                f"out for {module}, got proj_size={value!r}"
            )
        raise TypeError(f"{module}.__init__() got an unexpected keyword argument {name!r}")


def refuse_script(module: nn.Module) -> Never:
    raise RuntimeError(f"torch.jit.script does not know unrolled.{type(module).__name__}{BACK}")


# -- Steps of your own ----------------------------------------------------------------------------


def checked_steps(step: Any, count: int) -> Any:
    """Refuse what is neither a step nor one step for each layer and direction."""
    if is_one_step(step):
        return step
    try:
        steps = list(step)
    except TypeError:
        raise TypeError(
            f"step should be callable or a sequence of callables, got {type(step).__name__}"
        ) from None
    for index, one in enumerate(steps):
        if not callable(one):
            raise TypeError(f"step[{index}] should be callable, got {type(one).__name__}")
    if len(steps) != count:
        raise ValueError(
            f"step should have {count} callables, one for each layer and direction, "
            f"got {len(steps)}"
        )
    # Modules become submodules, so that their parameters are trained and saved.
    return nn.ModuleList(steps) if all(isinstance(one, nn.Module) for one in steps) else steps


def is_one_step(step: object) -> bool:
    """Tell one step from a sequence of steps; a ModuleList claims to be callable."""
    return callable(step) and not isinstance(step, (nn.ModuleList, nn.Sequential, list, tuple))


def checked_step(step: Any) -> Any:
    """Wrap a step in a check of what it returns."""

    def run(x_projected: Any, state: Any, weight_hh: Any, bias_hh: Any) -> Any:
        returned = step(x_projected, state, weight_hh, bias_hh)
        if not isinstance(state, tuple):
            _check_returned("h", returned, state.shape)
            return returned
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise TypeError(f"step should return (h, c), got {type(returned).__name__}")
        for name, value in zip("ch", returned[::-1], strict=True):
            _check_returned(name, value, state[1].shape)  # the projection comes after it
        return returned

    return run


def _check_returned(name: str, value: object, expected: tuple[int, ...]) -> None:
    if not isinstance(value, Tensor):
        raise TypeError(f"step should return {name} as a Tensor, got {type(value).__name__}")
    if value.shape != expected:
        raise RuntimeError(
            f"step should return {name} of shape {tuple(expected)}, got {tuple(value.shape)}"
        )

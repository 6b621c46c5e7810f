"""The forms in which people write networks: how to call one, and what its result means."""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from unrolled._diagnose.recipe import Network
from unrolled.shapes import Shape

__all__ = ["Arguments", "Form", "arguments_of", "one_line", "read"]

# How it is called.

Arguments: TypeAlias = tuple[tuple[str, str], ...]  # what is given, and its keyword if it has one

_INPUT = {"x", "xs", "xt", "input", "inputs", "inp", "u", "seq", "sequence", "data", "embedded"}
_HIDDEN = {
    *("h", "hs", "ht", "hx", "hc", "hidden", "hiddens", "state", "states", "carry"),
    *("prev", "previous", "initial", "init"),
}
_CELL = {"c", "cs", "ct", "cx", "cell", "memory"}
_BESIDE = {"t", "tm", "n", "in", "last", "old"}  # of h_t, h_tm1, h_n, h_in and the like


def _kind(name: str) -> str:
    """Tell by its name whether an argument is the input, x, a hidden state, h, or a cell state, c.

    ``hidden_size`` and ``c_dropout`` contain words that exclude them; they are none of these.
    """
    words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}
    if words - _INPUT - _HIDDEN - _CELL - _BESIDE:
        return ""
    if words & _INPUT:
        return "x"
    if words & _CELL and not words & {"h", "hx", "hidden"}:
        return "c"
    return "h" if words & _HIDDEN else ""


@dataclass(frozen=True)
class Form:
    """One way to call a candidate."""

    arguments: Arguments
    batched: bool = True  # or one sequence at a time
    layered: bool = True  # or states without the first dimension, for the layer
    arrays: bool = False  # NumPy's, or tensors

    @property
    def takes_state(self) -> bool:
        return len(self.arguments) > 1

    def call(self, function: Callable[..., Any], x: Tensor, states: Sequence[Tensor]) -> Any:
        given: list[Any] = [x, *(states if self.layered else (state[0] for state in states))]
        if self.arrays:
            given = [part.numpy() for part in given]
        first, *rest = given
        hx = tuple(rest) if len(rest) > 1 else rest[0]
        values = {"x": first, "hx": hx, "h": rest[0], "c": rest[-1]}
        positional = [values[what] for what, keyword in self.arguments if not keyword]
        return function(*positional, **{k: values[what] for what, k in self.arguments if k})

    def notes(self) -> Iterator[str]:
        """Describe what is unusual about this form."""
        given = [f"{keyword}={what}" if keyword else what for what, keyword in self.arguments]
        if given not in (["x"], ["x", "hx"]):
            yield f"It was called as candidate({', '.join(given)})."
        if self.arrays:
            yield "It was given NumPy arrays, since it does not run on tensors."
        if not self.batched:
            yield "It was given one sequence at a time, without the dimension of the batch."
        if not self.layered:
            yield "Its states were given without the first dimension, for the layer."


def arguments_of(
    candidate: Callable[..., Any], network: Network
) -> tuple[list[Arguments], list[str]]:
    """Find which argument is which; several possibilities only where no name tells.

    The second result names arguments that stay at their defaults although one might be a state.
    """
    many, cell = network.mode == "LSTM", network.cell
    x, hx, pair = ("x", ""), ("hx", ""), (("h", ""), ("c", ""))
    free: list[Arguments] = [(x, hx)] + [(x, *pair)] * many + [(x,)] * (not cell)
    # A scripted module may have no forward that can be asked.
    called = getattr(candidate, "forward", None) if isinstance(candidate, nn.Module) else candidate
    try:
        signature = inspect.signature(called or candidate)
    except (TypeError, ValueError):  # of something built in
        return free, []
    there = signature.parameters.values()
    spread = any(p.kind is p.VAR_POSITIONAL for p in there)
    named = [p for p in there if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    needed = [p for p in named if p.default is p.empty]
    if not needed and not spread:
        needed = named[:1]  # of (x=None, hx=None)
    others = [p for p in named if p not in needed]
    states = [p for p in others if _may_be_state(p)]
    if all(_kind(p.name) == "c" for p in states) and not (many and len(needed) == 2):
        states = []  # c alone is something else
    kinds = [_kind(p.name) for p in needed]
    if not needed and spread:
        return free[:1], []

    orders: list[tuple[str, ...]] = []
    if len(needed) == 1:
        orders = [("x",)]
    elif len(needed) == 2:
        orders = [("x", "hx"), ("hx", "x")]
        if kinds[0] == "x" or kinds[1] in ("h", "c"):
            orders = orders[:1]
        elif kinds[0] in ("h", "c"):
            orders = orders[1:]
        if many and kinds == ["x", "h"] and [_kind(p.name) for p in states] == ["c"]:
            orders = [("x", "h")]  # and c by its name
    elif len(needed) == 3 and many:
        orders = [("x", "h", "c")]
        if kinds.count("h") == kinds.count("c") == 1:
            orders = [tuple(kind if kind in ("h", "c") else "x" for kind in kinds)]
    found: list[Arguments] = []
    for order in orders:
        arguments = [
            (what, p.name if p.kind is p.KEYWORD_ONLY else "")
            for what, p in zip(order, needed, strict=True)
        ]
        by_kind = {_kind(p.name): p.name for p in reversed(states)}
        if order == ("x", "h"):
            arguments.append(("c", by_kind["c"]))
        elif order == ("x",) and many and len(by_kind) == 2:
            arguments += [("h", by_kind["h"]), ("c", by_kind["c"])]
        elif order == ("x",) and states:
            second = states[0] is named[1] and states[0].kind is not states[0].KEYWORD_ONLY
            arguments.append(("hx", "" if second else states[0].name))
        elif order == ("x",) and spread:
            found += [(*arguments, hx), *[(*arguments, *pair)] * many]
            continue
        if len(arguments) > 1 or not cell:
            found.append(tuple(arguments))
    if not found:
        wanted = "(x_t, state)" if cell else "(x, hx) or (x)"
        raise TypeError(
            f"candidate should take {wanted}, got a signature {one_line(signature)}; wrap it in a "
            f"function that does, such as lambda {'x_t, state' if cell else 'x, hx'}: ..."
        )
    left = [p.name for p in others] if len(found[0]) == 1 else []
    return found, left


def _may_be_state(parameter: inspect.Parameter) -> bool:
    """Tell from name and default whether an argument takes a state; ``c=5`` does not."""
    default = parameter.default
    return (
        _kind(parameter.name) in ("h", "c")
        and parameter.kind is not parameter.POSITIONAL_ONLY
        and (default is None or isinstance(default, Tensor | np.ndarray | tuple | list))
    )


# What it returns.

_NAMES = {
    "output": {"output", "outputs", "out", "outs", "y", "ys", "last_hidden_state", "sequence"},
    "h": {
        *("h", "hn", "h_n", "hx", "ht", "h_t", "h_last", "last_h", "hidden", "carry", "state_h"),
        *("state", "states", "hidden_state", "final_state", "last_state", "last_hidden", "last"),
    },
    "c": {"c", "cn", "c_n", "cx", "ct", "c_t", "c_last", "cell", "cell_state", "state_c", "memory"},
}


def read(
    returned: Any, network: Network, form: Form, L: int, notes: list[str]
) -> dict[str, Tensor]:
    """Name the results of one call of a candidate, as tensors, and refuse what does not fit."""
    reader = _Reader(network, form, L, notes)
    parts = reader.parts(returned)
    return {name: reader.fitting(name, part) for name, part in parts.items()}


class _Reader:
    def __init__(self, network: Network, form: Form, L: int, notes: list[str]) -> None:
        self.notes, self.L, self.cell = notes, L, network.cell
        self.rows = network.D * network.num_layers
        self.states = [f"{s}" if network.cell else f"{s}_n" for s in "hc"[: len(network.widths)]]
        self.many = len(self.states) == 2
        N = (network.N,) if form.batched else ()
        self.step = (*N, network.D * network.widths[0])  # one time step of output
        self.time = len(N) if network.batch_first else 0  # the axis of time in output
        lead = () if network.cell else (self.rows,)
        self.shapes: dict[str, Shape] = {
            name: (*lead, *N, width)
            for name, width in zip(self.states, network.widths, strict=True)
        }
        if not network.cell:
            self.shapes["output"] = (*self.step[: self.time], L, *self.step[self.time :])

    def refusal(self, returned: Any, hint: str = "") -> TypeError:
        states = f"({', '.join(self.states)})" if self.many else self.states[0]
        expected = f"a Tensor, output, or a tuple (output, {states})"
        if self.cell:
            expected = f"{states} as {'a tuple' if self.many else 'a Tensor'}"
        given = "x_t, state" if self.cell else "x, hx"
        wanted = states if self.cell else f"output, {states}"
        hint = hint or f"wrap it: def wrapped({given}): ...; return {wanted}"
        return TypeError(f"candidate should return {expected}, got {_described(returned)}; {hint}")

    def parts(self, returned: Any) -> dict[str, Any]:
        """Identify the parts of a result."""
        if hasattr(returned, "close") and hasattr(returned, "throw"):
            returned.close()  # a coroutine that nobody awaits would warn
        if _is_array(returned):
            if self.cell:
                if not self.many:
                    return {"h": returned}
            elif self._fits(returned, "h_n") and not self._fits(returned, "output"):
                self._note("It returns h_n alone.")
                return {"h_n": returned}
            else:
                return {"output": returned}
        named = _named_parts(returned)
        if named:
            return self._of_names(named, returned)
        if isinstance(returned, tuple | list):
            return self._of_cell(returned) if self.cell else self._of_sequence(returned)
        raise self.refusal(returned)

    def _of_names(self, named: Mapping[Any, Any], returned: Any) -> dict[str, Any]:
        kinds: dict[str, Any] = {}
        others = []
        for name, part in named.items():
            kind = next((kind for kind, known in _NAMES.items() if str(name).lower() in known), "")
            if not kind or (kind == "output" and self.cell):
                others.append(str(name))
            elif kind in kinds:
                raise self.refusal(returned, f"more than one of them may be {kind}")
            else:
                kinds[kind] = part
        if not kinds:
            raise self.refusal(returned)
        if others:
            self._note(f"Of what it returns these were not compared: {', '.join(others)}.")
        if "h" in kinds and "c" not in kinds and self.many:
            states = self._states_of(kinds["h"], returned)
        elif "h" in kinds:
            if self.many != ("c" in kinds):
                raise self.refusal(returned)
            states = {self.states[0]: self._stacked(kinds["h"])}
            if self.many:
                states[self.states[1]] = self._stacked(kinds["c"])
        elif self.cell or "c" in kinds:
            raise self.refusal(returned)
        else:
            states = {}
        output = {"output": self._output(kinds["output"])} if "output" in kinds else {}
        return {**output, **states}

    def _of_cell(self, returned: Sequence[Any]) -> dict[str, Any]:
        """Read (h, c), or (h,) for a single state, also next to an output that repeats h."""
        parts = list(returned)
        count = len(self.states)
        if len(parts) == count and all(map(_is_array, parts)):
            return dict(zip(self.states, parts, strict=True))
        if len(parts) == 2:  # as in Keras (output, states), as in Flax (states, output)
            nested = 0 if isinstance(parts[0], tuple | list) else 1
            inner, output = parts[nested], parts[1 - nested]
            inner = list(inner) if isinstance(inner, tuple | list) else [inner]
            if len(inner) == count and all(map(_is_array, [output, *inner])):
                if _same(output, inner[0]):
                    self._note("It returns h twice, as an output and as a state.")
                    return dict(zip(self.states, inner, strict=True))
                if self.many and _same(output, inner[1]):
                    self._note("Its state was read as (c, h), since its output is the second.")
                    return dict(zip(self.states, inner[::-1], strict=True))
        arrays = self.many and all(map(_is_array, parts))
        if len(parts) == 3 and arrays and _same(parts[0], parts[1]):
            self._note("It returns h twice, as an output and as a state.")
            return dict(zip(self.states, parts[1:], strict=True))
        raise self.refusal(returned)

    def _of_sequence(self, returned: Sequence[Any]) -> dict[str, Any]:
        """Read (output, h_n), (output, (h_n, c_n)), (output, h_n, c_n), or L time steps."""
        parts = list(returned)
        if self._is_steps(parts):
            return {"output": self._output(parts)}
        if self.many and len(parts) == 3:
            parts = [parts[0], tuple(parts[1:])]
        if len(parts) != 2:
            raise self.refusal(returned)
        if self._is_state(parts[0]) and self._is_output(parts[1]) and not self._is_output(parts[0]):
            self._note("It returns the final state first, and then output.")
            parts.reverse()
        output = self._output(parts[0])
        if not _is_array(output):
            raise self.refusal(returned)
        return {"output": output, **self._states_of(parts[1], returned)}

    def _states_of(self, value: Any, returned: Any) -> dict[str, Any]:
        if not self.many:
            state = self._stacked(value)
            if not _is_array(state):
                raise self.refusal(returned)
            return {self.states[0]: state}
        pairs = isinstance(value, tuple | list) and all(
            isinstance(pair, tuple | list) and len(pair) == 2 and all(map(_is_array, pair))
            for pair in value
        )
        if pairs and not self.cell and len(value) == self.rows:  # one (h, c) for each layer
            if self.rows == 2:
                hint = "(h, c) of each layer or h_n and c_n? torch.stack them to (2, N, H_out)"
                raise self.refusal(returned, hint)
            value = tuple(zip(*value, strict=True))
        if not isinstance(value, tuple | list) or len(value) != 2:
            raise self.refusal(returned)
        states = dict(zip(self.states, map(self._stacked, value), strict=True))
        if not all(map(_is_array, states.values())):
            raise self.refusal(returned)
        return states

    def _stacked(self, value: Any) -> Any:
        """Combine the states of several layers and directions."""
        if self.cell or not isinstance(value, tuple | list) or len(value) != self.rows:
            return value
        if all(_is_array(part) and part.ndim == len(self.step) for part in value):
            return torch.stack([_tensor("h_n", part) for part in value])
        return value[0] if len(value) == 1 else value

    def _output(self, value: Any) -> Any:
        if not self._is_steps(value):
            return value
        self._note("It returns output as a list of its time steps.")
        return torch.stack([_tensor("output", part) for part in value], self.time)

    def _is_steps(self, value: Any) -> bool:
        return (
            isinstance(value, tuple | list)
            and len(value) == self.L
            and all(_is_array(part) and tuple(part.shape) == self.step for part in value)
        )

    def _is_output(self, value: Any) -> bool:
        return self._is_steps(value) or self._fits(value, "output")

    def _is_state(self, value: Any) -> bool:
        parts = value if isinstance(value, tuple | list) else [value]
        return len(parts) == len(self.states) and all(map(self._fits, parts, self.states))

    def _fits(self, value: Any, name: str) -> bool:
        shape = self.shapes[name]
        without = [shape[1:]] if name != "output" and self.rows == 1 else []
        return _is_array(value) and tuple(value.shape) in [shape, *without]

    def fitting(self, name: str, part: Any) -> Tensor:
        """Check one result, and add the first dimension to a state that lacks it."""
        tensor, shape = _tensor(name, part), self.shapes[name]
        if not self.cell and name != "output" and self.rows == 1 and tensor.shape == shape[1:]:
            self._note(
                f"{name} has no first dimension for the layer: {shape[1:]} instead of {shape}."
            )
            tensor = tensor[None]
        if tensor.shape != shape:
            raise RuntimeError(
                f"candidate should return {name} of shape {shape}, got {tuple(tensor.shape)}"
            )
        return tensor

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)


def _is_array(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray)


def _same(one: Any, other: Any) -> bool:
    a, b = _tensor("output", one).detach(), _tensor("h", other).detach()
    return a.shape == b.shape and bool(((a == b) | (a.isnan() & b.isnan())).all())


def _named_parts(returned: Any) -> Mapping[Any, Any]:
    """Return the named parts of a result; nothing if it has no names, or none that we know."""
    if isinstance(returned, Mapping):
        return returned or {"nothing": None}  # refused as a mapping
    parts: dict[str, Any] = {}
    if isinstance(returned, tuple) and hasattr(returned, "_fields"):
        parts = dict(zip(returned._fields, returned, strict=True))
    elif is_dataclass(returned) and not isinstance(returned, type):
        parts = {field.name: getattr(returned, field.name) for field in fields(returned)}
    elif not isinstance(returned, type | tuple | list | Tensor | np.ndarray):
        parts = dict(getattr(returned, "__dict__", {}))
    known = set().union(*_NAMES.values())
    return parts if any(name.lower() in known for name in parts) else {}


def _tensor(name: str, part: Any) -> Tensor:
    """Convert a result to a dense tensor that can be compared, keeping its gradient."""
    if isinstance(part, np.ndarray):
        if part.dtype not in (np.float32, np.float64, np.complex64, np.complex128):
            raise TypeError(
                f"candidate should return float32 or float64, got {part.dtype} as {name}"
            )
        return torch.from_numpy(np.array(part, order="C"))
    tensor: Tensor = part
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        kind = "a nested tensor" if tensor.is_nested else f"a tensor of layout {tensor.layout}"
        raise TypeError(f"candidate should return dense tensors, got {kind} as {name}")
    if tensor.device.type == "meta":
        raise TypeError(
            f"candidate should return tensors with numbers, got one on the meta device as {name}"
        )
    if tensor.dtype not in (torch.float32, torch.float64, torch.complex64, torch.complex128):
        half = ", whose rounding is as large as what some mistakes do"
        raise TypeError(
            f"candidate should return float32 or float64, got {tensor.dtype} as {name}"
            f"{half if tensor.is_floating_point() else ''}"
        )
    return tensor


def one_line(text: object) -> str:
    """Put foreign text on one readable line."""
    line = " ".join(str(text).split())
    return line if len(line) <= 300 else f"{line[:297]}..."


def _described(value: object, depth: int = 0) -> str:
    """Describe a value in a few words."""
    kind = type(value).__name__
    if isinstance(value, Mapping):
        return one_line(f"{kind} with {', '.join(map(repr, [*value][:6])) or 'nothing'}")
    if not isinstance(value, tuple | list):
        return kind
    if depth and any(isinstance(part, tuple | list) for part in value):
        return f"{kind} of {len(value)}"
    shown = [_described(part, depth + 1) for part in value[:4]]
    more = [f"... ({len(value)} in all)"] * (len(value) > 4)
    return f"{kind} of {', '.join([*shown, *more]) or 'nothing'}"

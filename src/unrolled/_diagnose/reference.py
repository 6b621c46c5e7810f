"""The reference: its parameters, a copy that stays unchanged, and a watch for changes to it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from unrolled._diagnose.forms import one_line
from unrolled._diagnose.recipe import Network
from unrolled._summary import mode_of
from unrolled.layers import Weights, weights_of
from unrolled.shapes import num_directions, parameter_name

__all__ = [
    "Reference",
    "Watch",
    "check_computes",
    "check_reference",
    "named_weights",
    "parameters_of",
    "plain",
    "quiet",
    "tensors_of",
]

Reference: TypeAlias = nn.RNNBase | nn.RNNCellBase

_DTYPES = (torch.float32, torch.float64)


def check_reference(reference: object, cell: bool) -> None:
    if not isinstance(reference, nn.RNNBase | nn.RNNCellBase):
        raise TypeError(
            "reference should be a recurrent module or cell of torch.nn, got "
            f"{type(reference).__name__}"
        )
    try:
        weights = named_weights(reference)
    except (AttributeError, TypeError) as error:
        raise ValueError(
            "reference should have all its parameters, or what computes them should leave each "
            f"under its name: {one_line(error)}"
        ) from error
    for name, weight in weights.items():
        if weight.dtype not in _DTYPES:
            raise ValueError(
                "reference should have parameters of float32 or float64, "
                f"got {weight.dtype} as {name}"
            )
        if weight.device.type == "meta" or not weight.isfinite().all():
            what = "no numbers (meta)" if weight.device.type == "meta" else "infinite ones or NaN"
            raise ValueError(f"reference should have finite parameters, got {what} in {name}")
    several = isinstance(reference, nn.RNNBase) and (
        reference.num_layers > 1 or reference.bidirectional
    )
    if cell and several:
        raise ValueError(
            f"cell should be False for more than one layer or direction, got {reference}"
        )


def named_weights(reference: Reference) -> dict[str, Any]:
    """Return the parameters in PyTorch's order, including computed ones."""
    several = isinstance(reference, nn.RNNBase)
    there = (True, True, reference.bias, reference.bias, getattr(reference, "proj_size", 0) > 0)
    kinds = [kind for kind, is_there in zip(Weights._fields, there, strict=True) if is_there]
    return {
        parameter_name(kind, layer, direction) if several else kind: getattr(weights, kind)
        for layer, directions in enumerate(weights_of(reference))
        for direction, weights in enumerate(directions)
        for kind in kinds
    }


def parameters_of(reference: Reference) -> list[list[Weights[Any]]]:
    """Copy the numbers with which the reference computes."""
    return weights_of(reference, lambda weight: weight.detach().cpu().double().numpy().copy())


def tensors_of(layers: list[list[Weights[Any]]]) -> list[Tensor]:
    """Return copied parameters as float64 tensors, in PyTorch's order."""
    parts = [part for groups in layers for group in groups for part in group]
    return [torch.from_numpy(part) for part in parts if part is not None]


@contextmanager
def quiet() -> Iterator[None]:
    """Hide PyTorch's warnings about kernels in runs that the user did not ask for."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    flags = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in flags:
            part.training = training


def check_computes(reference: Reference, network: Network, x: Tensor, states: list[Tensor]) -> None:
    """Check that the reference computes what a torch.nn module with the same parameters does.

    It runs itself, so that what computes its parameters has run when they are read.
    """
    many = network.mode == "LSTM"
    if network.cell and isinstance(reference, nn.RNNBase):
        x, states = x.unsqueeze(1 if reference.batch_first else 0), [s[None] for s in states]
    hx = tuple(states) if many else states[0]
    with torch.no_grad(), quiet():
        try:
            with _evaluating(reference):
                returned = reference(x, hx)
        except Exception as error:  # hooks and parametrisations of its own can raise anything
            raise RuntimeError(
                f"reference raised {type(error).__name__} for x of shape {tuple(x.shape)}: "
                f"{one_line(error)}"
            ) from error
        right = plain(reference, parameters_of(reference), x.dtype, x.device)
        if isinstance(reference, nn.RNNCellBase):
            _, wanted = right(x[None], tuple(s[None] for s in states) if many else states[0][None])
            got = returned[0] if many else returned
            wanted = (wanted[0] if many else wanted)[0]
        else:
            wanted, got = right(x, hx)[0], returned[0]
        # Two kernels on one device; one may round its products to TF32.
        allowed = 1e-9 if x.dtype == torch.float64 else 1e-4 if x.device.type == "cpu" else 1e-2
        if got.shape != wanted.shape or not (got - wanted).abs().max() <= allowed * max(
            1.0, float(wanted.abs().max())
        ):
            raise ValueError(f"reference should compute what torch.nn does, got {reference}")


def plain(
    reference: Reference,
    layers: list[list[Weights[Any]]],
    dtype: torch.dtype,
    device: torch.device,
) -> nn.RNNBase:
    """Build a torch.nn module with these parameters, without dropout, hooks and the like.

    It stays in training mode, which changes nothing here, and which cuDNN wants for gradients.
    """
    first = layers[0][0]
    mode, hidden_size = mode_of(reference), reference.hidden_size
    options: dict[str, Any] = {"bias": first.bias_ih is not None, "device": "meta", "dtype": dtype}
    if isinstance(reference, nn.RNNBase):
        D = num_directions(reference.bidirectional)
        options |= {"batch_first": reference.batch_first, "bidirectional": D == 2}
    if mode.startswith("RNN"):
        options["nonlinearity"] = mode.removeprefix("RNN_").lower()
    if first.weight_hr is not None:
        options["proj_size"] = len(first.weight_hr)
    kind = {"GRU": nn.GRU, "LSTM": nn.LSTM}.get(mode, nn.RNN)
    # From the meta device, since to draw parameters would move the global generator.
    module: nn.RNNBase = kind(reference.input_size, hidden_size, len(layers), **options)
    module = module.to_empty(device=device)
    with torch.no_grad():
        for parameter, values in zip(module.parameters(), tensors_of(layers), strict=True):
            parameter.copy_(values)
    return module


# A watch.

_SIMPLE = (bool, int, float, str, type(None))


class Watch:
    """A snapshot of a module, to detect what a call changes in it and to undo the change."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.places = [(part, _contents(part)) for part in module.modules()]
        self.facts = self._facts()
        self.tensors = [
            (tensor, tensor.detach(), tensor.detach().clone(), tensor.requires_grad, tensor.grad)
            for tensor in self._tensors().values()
            if tensor.is_leaf
        ]
        self.values = {n: tensor.detach().clone() for n, tensor in self._tensors().items()}

    def _tensors(self) -> dict[str, Tensor]:
        own: list[tuple[str, Tensor]] = [*self.module.named_parameters(remove_duplicate=False)]
        own += self.module.named_buffers(remove_duplicate=False)
        computed = [
            (f"{prefix}{'.' * bool(prefix)}{name}{f'[{k}]' * listed}", tensor)
            for prefix, part in self.module.named_modules()
            for name, value in vars(part).items()
            for listed in [isinstance(value, list)]
            for k, tensor in enumerate(value if listed else [value])
            if isinstance(tensor, Tensor)
        ]
        gradients = [(f"{n}.grad", p.grad) for n, p in own if p.grad is not None]
        return dict(own + gradients + computed)

    def _facts(self) -> dict[str, Any]:
        """Collect what is not a tensor: flags, sizes, hooks, and what is trained."""
        facts: dict[str, Any] = {}
        for prefix, part in self.module.named_modules():
            dot = f"{prefix}{'.' * bool(prefix)}"
            for name, value in vars(part).items():
                if isinstance(value, _SIMPLE):
                    facts[dot + name] = value
                elif name.endswith("_hooks"):
                    facts[dot + name.removeprefix("_")] = list(value)
                elif not name.startswith("_") and not isinstance(value, Tensor):
                    facts[dot + name] = id(value)  # such as another forward
        for name, parameter in self.module.named_parameters(remove_duplicate=False):
            facts[f"{name}.requires_grad"] = parameter.requires_grad
        return facts

    def put_back(self) -> list[str]:
        """Name the changes, and undo them."""
        tensors, facts = self._tensors(), self._facts()
        changed = [
            name
            for name in {**self.values, **tensors}
            if name not in tensors or name not in self.values
            or not _equal(tensors[name], self.values[name])
        ]  # fmt: skip # one condition on two lines
        changed += [
            name
            for name in {**self.facts, **facts}
            if facts.get(name, Watch) != self.facts.get(name, Watch)
        ]
        if not changed:
            return []
        for part, contents in self.places:
            vars(part).clear()
            for name, (value, inside) in contents.items():
                if isinstance(value, dict):  # the same one, which handles of hooks know
                    value.clear()
                    value.update(inside)
                elif isinstance(value, list):
                    value[:] = inside
                vars(part)[name] = value
        with torch.no_grad():
            for tensor, memory, values, trained, gradient in self.tensors:
                if not _equal(memory, values):
                    memory.copy_(values)
                tensor.data = memory
                tensor.requires_grad_(trained)
                tensor.grad = gradient
        # What is private follows from what is not, as _flat_weights does.
        return [name for name in changed if not name.startswith("_")] or changed


def _contents(part: nn.Module) -> dict[str, tuple[Any, Any]]:
    """Copy what a module holds, one level deep."""
    return {
        name: (value, value.copy() if isinstance(value, dict | list) else None)
        for name, value in vars(part).items()
    }


def _equal(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype or one.device != other.device:
        return False
    return bool(((one == other) | (one.isnan() & other.isnan())).all())

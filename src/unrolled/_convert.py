"""Exchange the recurrent modules in a model: `torch.nn`'s for ours, and ours for `torch.nn`'s.

Ours hold what those of `torch.nn` hold, and `step` and `fast` besides. A module can therefore keep
everything and change its class alone, as `torch.nn.utils.parametrize` does it.
"""

from collections.abc import Iterator, Mapping

from torch import nn

from unrolled.cell_modules import GRUCell, LSTMCell, RNNCell
from unrolled.modules import GRU, LSTM, RNN, Recurrent

__all__ = ["from_torch", "to_torch"]

_OURS: dict[type[nn.Module], type[nn.Module]] = {
    nn.RNN: RNN,
    nn.GRU: GRU,
    nn.LSTM: LSTM,
    nn.RNNCell: RNNCell,
    nn.GRUCell: GRUCell,
    nn.LSTMCell: LSTMCell,
}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
_OPTIONS = ("step", "fast")  # what ours hold besides
# By name, since some of them are slow to import, and some are not in every version of PyTorch.
_WRAPPERS = {
    *("ScriptModule", "OptimizedModule"),  # torch.jit and torch.compile
    *("DataParallel", "DistributedDataParallel"),
    *("FullyShardedDataParallel", "FSDPModule"),
}


def from_torch(model: nn.Module, fast: bool = False) -> nn.Module:
    """Make the recurrent modules in a model ours, in place.

    Every `torch.nn.RNN`, `torch.nn.GRU`, `torch.nn.LSTM` and cell changes its class, and stays the
    same object. So everything else that belongs to it stays: parameters and the optimisers that
    hold them, keys of the ``state_dict``, hooks, training flag, frozen parameters, dtype, device,
    and wherever it is used, in this model or elsewhere.

    Parameters
    ----------
    model : torch.nn.Module
        A model, or a recurrent module itself. Modules that are ours already stay as they are.
    fast : bool, default False
        Whether `RNN`, `GRU` and `LSTM` get ``fast=True``. Cells have no fast path.

    Returns
    -------
    torch.nn.Module
        `model` itself, unchanged if nothing in it is recurrent. For a comparison, convert a copy:
        ``from_torch(copy.deepcopy(model))``.

    Raises
    ------
    TypeError
        If `model` is not a module, or `fast` is not a bool. Also if the model holds a subclass of
        a class above, whose own code would be lost; or a module that ``torch.jit``,
        ``torch.compile``, DataParallel, DistributedDataParallel or FSDP have wrapped: convert
        first, wrap afterwards.
    ValueError
        If a recurrent module has a weight that is not a parameter but computed, as by
        `torch.nn.utils.parametrize`, ``weight_norm`` or pruning; or an attribute in place of a
        method, such as a ``forward`` of its own; or one named ``step`` or ``fast``.
        The message names the module. Everything is checked before anything is changed.

    See Also
    --------
    to_torch : the way back.

    Notes
    -----
    A module is found if its model has registered it, as ``model.modules()`` lists it. One that is
    kept in a plain list or dict, or that the model creates later, is not found and stays as it is;
    neither is a function such as ``torch.lstm``.

    Examples
    --------
    >>> import torch
    >>> model = nn.Sequential(nn.Embedding(30, 10), nn.LSTM(10, 20))
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> from_torch(model, fast=True)
    Sequential(
      (0): Embedding(30, 10)
      (1): LSTM(10, 20, fast=True)
    )
    >>> type(model[1]).__module__
    'unrolled.modules'
    >>> optimizer.param_groups[0]["params"][1] is model[1].weight_ih_l0
    True
    """
    if not isinstance(fast, bool):
        raise TypeError(f"fast should be a bool, got {type(fast).__name__}")
    for module, ours in list(_checked(model, _OURS)):
        module.__class__ = ours
        if isinstance(module, Recurrent):
            module.step, module.fast = None, fast
    return model


def to_torch(model: nn.Module) -> nn.Module:
    """Make the recurrent modules in a model those of `torch.nn`, in place.

    This is for tools that know the classes of `torch.nn` alone: ``torch.jit.script``,
    ``torch.fx.symbolic_trace``, dynamic quantisation, ``torch.onnx.export(dynamo=False)``, and
    Opacus. Every `RNN`, `GRU`, `LSTM` and cell changes its class, and stays the same object with
    the same parameters, hooks, and all that `from_torch` lists.

    Parameters
    ----------
    model : torch.nn.Module
        A model, or a recurrent module itself. Modules of `torch.nn` stay as they are.

    Returns
    -------
    torch.nn.Module
        `model` itself, unchanged if nothing in it is ours. To go on with both, convert a copy:
        ``to_torch(copy.deepcopy(model))``.

    Raises
    ------
    TypeError
        If `model` is not a module, or holds a subclass of ours, or a module that is wrapped, as in
        `from_torch`.
    ValueError
        If a module has a step of your own, which `torch.nn` cannot run; or a weight or an attribute
        that `from_torch` refuses. Everything is checked before anything is changed.

    See Also
    --------
    from_torch : the way in, and what neither way can find.

    Notes
    -----
    Two things are lost. `fast` is forgotten, so that ``from_torch(to_torch(model))`` has
    ``fast=False`` everywhere. And calls with ``lengths=``, ``mask=``, ``resets=`` or
    ``all_states=`` fail afterwards, since `torch.nn` does not have them.

    Examples
    --------
    >>> import copy, torch
    >>> ours = GRU(10, 20, batch_first=True)
    >>> theirs = to_torch(copy.deepcopy(ours))
    >>> type(theirs).__module__
    'torch.nn.modules.rnn'
    >>> x = torch.randn(3, 5, 10)
    >>> torch.equal(theirs(x)[0], ours(x)[0])
    True
    """
    for module, theirs in list(_checked(model, _THEIRS)):
        if isinstance(module, Recurrent):
            del module.step, module.fast
        module.__class__ = theirs
    return model


def _checked(
    model: nn.Module, classes: Mapping[type[nn.Module], type[nn.Module]]
) -> Iterator[tuple[nn.Module, type[nn.Module]]]:
    """Find the modules that will change, and the class that each will have."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model should be a torch.nn.Module, got {type(model).__name__}")
    is_ours = classes is _THEIRS
    known: tuple[type[nn.Module], ...] = (*classes, Recurrent) if is_ours else (*classes,)
    for path, module in model.named_modules(prefix="model"):
        _check_not_wrapped(path, module)
        if isinstance(module, known):
            _check_weights(path, module)
            if type(module) not in classes:
                kind = next(base for base in type(module).__mro__ if base in known)
                raise TypeError(
                    f"{path} should be of class {_name(kind)}, got its subclass "
                    f"{_name(type(module))}, whose own code would be lost"
                )
            _check_attributes(path, module, is_ours)
            yield module, classes[type(module)]


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _check_not_wrapped(path: str, module: nn.Module) -> None:
    found = [
        kind.__name__
        for kind in type(module).__mro__
        if kind.__name__ in _WRAPPERS and kind.__module__.startswith("torch.")
    ]
    if vars(module).get("_compiled_call_impl") is not None:  # as Module.compile leaves it
        found.append("a module after its compile()")
    if found:
        raise TypeError(
            f"{path} should be converted before it is scripted, compiled or wrapped, got {found[0]}"
        )


def _check_weights(path: str, module: nn.Module) -> None:
    cell = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    for name in getattr(module, "_flat_weights_names", cell):
        if name not in module._parameters:
            raise ValueError(
                f"{path} should have {name} as a parameter, got one that is computed: remove what "
                "parametrises, normalises or prunes it first"
            )


def _check_attributes(path: str, module: nn.Module, is_ours: bool) -> None:
    for name in vars(module):
        if callable(getattr(type(module), name, None)):
            raise ValueError(f"{path} should have the {name} of its class, got one of its own")
    if not is_ours:
        for name in _OPTIONS:
            if hasattr(module, name):
                raise ValueError(f"{path} should have no attribute {name}, which ours use, got one")
    elif getattr(module, "step", None) is not None:
        raise ValueError(f"{path} should have no step of your own, which torch.nn cannot run")

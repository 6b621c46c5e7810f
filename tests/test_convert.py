"""Models whose recurrent modules become ours, and those of `torch.nn` again."""

import copy
import gc
import io
import pickle
import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

import unrolled
from tests.comparisons import REPRESENTATIVE, Configuration, compare, run
from unrolled import from_torch, to_torch
from unrolled.modules import Recurrent

N, L, I, H = 3, 5, 10, 20  # noqa: E741 # its name on the pages
KINDS = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")
SEQUENCES = KINDS[:3]
every_kind = pytest.mark.parametrize("kind", KINDS)
both_ways = pytest.mark.parametrize(
    ("library", "convert"), [(nn, from_torch), (unrolled, to_torch)], ids=["from_torch", "to_torch"]
)
# What PyTorch says of its own tools.
scripts = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
exports = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::UserWarning", "ignore::torch.jit.TracerWarning"
)


class Net(nn.Module):
    """A model with recurrent modules in every place that a model has for them."""

    def __init__(self, library: Any) -> None:
        super().__init__()
        self.embed = nn.Linear(I, I)
        self.encoder = nn.ModuleDict({"rnn": library.GRU(I, H, 2, bidirectional=True)})
        self.layers = nn.ModuleList([library.LSTM(2 * H, H, proj_size=7), library.RNN(7, H)])
        self.cells = nn.Sequential(
            library.RNNCell(H, H, nonlinearity="relu"), library.GRUCell(H, H)
        )
        self.last = library.LSTMCell(H, H)
        self.same = self.layers[1]  # is used twice
        self.nothing: nn.Module | None = None
        self.register_module("none", None)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        x = self.encoder["rnn"](self.embed(x))[0]  # (L, N, 2 * H)
        x = self.same(self.layers[0](x)[0])[0]
        h = self.cells(x[-1])  # (N, H)
        h, c = self.last(h, (x[0], x[1]))
        return h + c


def classes(model: nn.Module) -> list[str]:
    return [f"{type(m).__module__}.{type(m).__name__}" for m in model.modules()]


def losses(model: nn.Module, steps: int = 3) -> list[float]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(L, N, I, generator=generator, dtype=torch.float64)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    return _train(model, optimizer, x, steps)


def _train(
    model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, steps: int
) -> list[float]:
    found = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = model(x).pow(2).sum()
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


# -- What a module computes -----------------------------------------------------------------------


@pytest.mark.no_cover
@pytest.mark.parametrize("configuration", REPRESENTATIVE, ids=str)
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")
def test_a_module_computes_the_same_afterwards(configuration: Configuration) -> None:
    module: Any = configuration.theirs()
    expected, parameters = run(module, configuration), list(module.parameters())
    for convert, library in ((from_torch, unrolled), (to_torch, nn), (from_torch, unrolled)):
        assert id(convert(module)) == id(module)
        assert type(module) is getattr(library, configuration.kind)
        assert compare(run(module, configuration), expected) == []
        assert all(a is b for a, b in zip(module.parameters(), parameters, strict=True))
        assert all(a is b for a, b in zip(module._flat_weights, parameters, strict=True))


@every_kind
@both_ways
def test_a_module_is_afterwards_as_its_own_constructor_makes_it(
    kind: str, library: Any, convert: Callable[[nn.Module], nn.Module]
) -> None:
    other = unrolled if library is nn else nn
    options = {"nonlinearity": "relu"} if kind in ("RNN", "RNNCell") else {}
    found = convert(getattr(library, kind)(I, H, bias=False, **options))
    made = getattr(other, kind)(I, H, bias=False, **options)
    assert type(found) is type(made)
    assert str(found) == str(made)
    assert vars(found).keys() == vars(made).keys()
    for name, value in vars(made).items():
        if isinstance(value, bool | int | float | str | None):
            assert vars(found)[name] == value
    found.load_state_dict(made.state_dict())
    for module in (pickle.loads(pickle.dumps(found)), copy.deepcopy(found), found.float()):
        assert type(module) is type(made)
        x = torch.randn(L, I) if kind in SEQUENCES else torch.randn(N, I)
        results = [module(x), made(x)]
        for a, b in zip(*([*_tensors(result)] for result in results), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-6)  # of oneDNN


def _tensors(result: Any) -> list[Tensor]:
    return (
        [result] if isinstance(result, Tensor) else [t for part in result for t in _tensors(part)]
    )


@pytest.mark.parametrize("kind", SEQUENCES)
def test_fast_is_set_and_forgotten(kind: str) -> None:
    module: Any = from_torch(getattr(nn, kind)(I, H, dtype=torch.float64), fast=True)
    assert module.fast
    assert repr(module) == f"{kind}(10, 20, fast=True)"
    x = torch.randn(L, N, I, dtype=torch.float64)
    expected = getattr(nn, kind)(I, H, dtype=torch.float64)
    expected.load_state_dict(module.state_dict())
    for a, b in zip(_tensors(module(x)), _tensors(expected(x)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert not from_torch(to_torch(module)).fast
    ours = getattr(unrolled, kind)(I, H)
    assert not from_torch(ours, fast=True).fast  # is ours already


# -- What a model keeps ---------------------------------------------------------------------------


def test_a_model_keeps_everything_but_the_classes() -> None:
    torch.manual_seed(0)
    model = Net(nn)
    torch.manual_seed(0)
    original = Net(nn)
    before, parameters = classes(model), dict(model.named_parameters())
    modules, keys = dict(model.named_modules()), list(model.state_dict())
    assert from_torch(model) is model
    assert [name.rpartition(".")[2] for name in classes(model)] == [
        name.rpartition(".")[2] for name in before
    ]
    assert sum(name.startswith("unrolled.") for name in classes(model)) == 6
    assert not any(name.startswith("torch.nn.modules.rnn") for name in classes(model))
    assert model.same is model.layers[1]
    assert list(model.state_dict()) == keys
    for name, module in model.named_modules():
        assert module is modules[name]
    for name, parameter in model.named_parameters():
        assert parameter is parameters[name]
    assert losses(model) == losses(original)
    to_torch(model)
    assert classes(model) == before
    assert losses(model) == losses(original)


def test_an_optimiser_goes_on() -> None:
    x = torch.randn(L, N, I, dtype=torch.float64)
    found = []
    for conversions in ((), (from_torch, to_torch, from_torch)):
        torch.manual_seed(0)
        model = Net(nn)
        optimizer = torch.optim.Adam(model.parameters(), 1e-2)
        found.append(_train(model, optimizer, x, 2))
        for convert in conversions:
            convert(model)
            found[-1] += _train(model, optimizer, x, 2)
        found[-1] += _train(model, optimizer, x, 6 - 2 * len(conversions))
    assert found[0] == found[1]
    assert len(set(found[0])) == 8


@pytest.mark.no_cover
@both_ways
@every_kind
def test_a_module_keeps_hooks_flags_and_attributes(
    kind: str, library: Any, convert: Callable[[nn.Module], nn.Module]
) -> None:
    module = getattr(library, kind)(I, H).to(torch.bfloat16).eval()
    frozen = next(iter(module.parameters()))
    frozen.requires_grad_(False)
    module.note = "mine"
    module.register_buffer("count", torch.ones(2), persistent=False)
    seen: list[Any] = []
    handles = [
        module.register_forward_hook(lambda m, *_: seen.append(("forward", m))),
        module.register_forward_pre_hook(lambda m, *_: seen.append(("before", m))),
        module.register_full_backward_hook(lambda m, *_: seen.append(("backward", m))),
        module.register_load_state_dict_pre_hook(lambda m, *_: seen.append(("load", m))),
        module.register_state_dict_post_hook(lambda m, *_: seen.append(("save", m))),
    ]
    found = convert(module)
    del module
    gc.collect()  # some hooks hold their module weakly
    assert not found.training
    assert not next(iter(found.parameters())).requires_grad
    assert {p.dtype for p in found.parameters()} == {torch.bfloat16}
    assert found.note == "mine"
    assert torch.equal(found.count, torch.ones(2))  # type: ignore[arg-type] # is a buffer
    assert "count" not in found.state_dict()
    found.load_state_dict(found.state_dict())
    x = torch.randn(N, I, dtype=torch.bfloat16, requires_grad=True)
    torch.autograd.backward(_tensors(found(x))[0].sum())
    assert x.grad is not None
    assert {name for name, _ in seen} == {"forward", "before", "backward", "load", "save"}
    assert all(which is found for _, which in seen)
    seen.clear()
    for handle in handles:
        handle.remove()
    found.load_state_dict(found.state_dict())
    torch.autograd.backward(_tensors(found(x))[0].sum())
    assert seen == []


def test_a_model_may_be_on_the_meta_device() -> None:
    with torch.device("meta"):
        model = from_torch(Net(nn))
        assert model(torch.empty(L, N, I, dtype=torch.float64)).shape == (N, H)
    assert {p.device.type for p in model.parameters()} == {"meta"}


@both_ways
def test_nothing_else_is_changed(library: Any, convert: Callable[[nn.Module], nn.Module]) -> None:
    other = unrolled if library is nn else nn
    kept = nn.Sequential(nn.Linear(2, 3), other.GRU(3, 4), other.LSTMCell(3, 4))
    before = classes(kept)
    assert convert(kept) is kept
    assert classes(kept) == before


def test_what_is_in_a_plain_list_is_not_found() -> None:
    model = nn.Sequential(nn.GRU(I, H))
    hidden = [nn.GRU(I, H)]
    model.hidden = hidden  # type: ignore[assignment] # a list
    from_torch(model)
    assert type(model[0]) is unrolled.GRU
    assert type(hidden[0]) is nn.GRU


# -- What is refused ------------------------------------------------------------------------------


class Own(nn.LSTM):
    """A subclass of torch's."""


class OwnOfOurs(unrolled.GRU):
    """A subclass of ours."""


class OwnCell(unrolled.GRUCell):
    """A subclass of our cell."""


def with_forward(module: nn.Module) -> nn.Module:
    module.forward = lambda x: x
    return module


def with_attribute(module: nn.Module, name: str, value: Any) -> nn.Module:
    setattr(module, name, value)
    return module


def compiled(module: nn.Module) -> nn.Module:
    module.compile(backend="eager")
    return module


def old_weight_norm(module: nn.Module) -> nn.Module:
    with warnings.catch_warnings(action="ignore"):  # it is deprecated
        return torch.nn.utils.weight_norm(module, "weight_hh_l0")


def scripted(module: nn.Module) -> Any:
    with warnings.catch_warnings(action="ignore"):  # the same
        return torch.jit.script(module)


def traced(module: nn.Module) -> Any:
    with warnings.catch_warnings(action="ignore"):  # the same
        return torch.jit.trace(module, torch.randn(L, N, I))  # type: ignore[no-untyped-call] # torch's is


def step(x: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Tensor) -> Tensor:
    return h


class Step(nn.Module):
    """A step with parameters."""


COMPUTED = "model.1 should have weight_hh_l0 as a parameter, got one that is computed"
WRAPPED = "model.1 should be converted before it is scripted, compiled or wrapped, got "
REFUSED: dict[str, tuple[Callable[[], Any], Any, str]] = {
    "subclass": (
        lambda: Own(I, H), TypeError,
        "model.1 should be of class torch.nn.modules.rnn.LSTM, got its subclass .*[.]Own, whose",
    ),
    "subclass of ours": (
        lambda: OwnOfOurs(I, H), TypeError,
        "model.1 should be of class unrolled.modules.GRU, got its subclass .*[.]OwnOfOurs",
    ),
    "subclass of a cell": (
        lambda: OwnCell(I, H), TypeError,
        "model.1 should be of class unrolled.cell_modules.GRUCell, got its subclass .*[.]OwnCell",
    ),
    "parametrised": (
        lambda: parametrizations.weight_norm(nn.LSTM(I, H), "weight_hh_l0"), ValueError, COMPUTED,
    ),
    "parametrised, ours": (
        lambda: parametrizations.weight_norm(unrolled.GRU(I, H), "weight_hh_l0"), ValueError,
        COMPUTED,
    ),
    "parametrised cell": (
        lambda: parametrizations.orthogonal(nn.RNNCell(I, H), "weight_hh"), ValueError,
        "model.1 should have weight_hh as a parameter",
    ),
    "pruned": (
        lambda: prune.random_unstructured(nn.GRU(I, H), "weight_hh_l0", 0.5), ValueError, COMPUTED,  # type: ignore[no-untyped-call] # torch's is untyped
    ),
    "old weight norm": (lambda: old_weight_norm(nn.RNN(I, H)), ValueError, COMPUTED),
    "own forward": (
        lambda: with_forward(nn.GRU(I, H)), ValueError,
        "model.1 should have the forward of its class, got one of its own",
    ),
    "own forward, ours": (
        lambda: with_forward(unrolled.GRU(I, H)), ValueError,
        "model.1 should have the forward of its class, got one of its own",
    ),
    "a name that ours use": (
        lambda: with_attribute(nn.GRU(I, H), "fast", 3), ValueError,
        "model.1 should have no attribute fast, which ours use, got one",
    ),
    "another name that ours use": (
        lambda: with_attribute(nn.GRU(I, H), "step", Step()), ValueError,
        "model.1 should have no attribute step, which ours use, got one",
    ),
    "step": (
        lambda: unrolled.GRU(I, H, step=step), ValueError,
        "model.1 should have no step of your own, which torch.nn cannot run",
    ),
    "steps": (
        lambda: unrolled.GRU(I, H, 2, step=[Step(), Step()]), ValueError,
        "model.1 should have no step of your own, which torch.nn cannot run",
    ),
    "neither RNN, GRU nor LSTM": (
        lambda: Recurrent("GRU", I, H), TypeError,
        "model.1 should be of class unrolled.*, got its subclass unrolled.modules.Recurrent",
    ),
    "scripted": (
        lambda: scripted(nn.Sequential(nn.GRU(I, H))), TypeError, WRAPPED + "ScriptModule",
    ),
    "traced": (lambda: traced(nn.GRU(I, H)), TypeError, WRAPPED + "ScriptModule"),
    "DataParallel": (
        lambda: nn.DataParallel(nn.GRU(I, H)), TypeError, WRAPPED + "DataParallel",
    ),
    "torch.compile": (
        lambda: torch.compile(nn.GRU(I, H), backend="eager"), TypeError,
        WRAPPED + "OptimizedModule",
    ),
    "compile()": (
        lambda: compiled(nn.GRU(I, H)), TypeError, WRAPPED + r"a module after its compile\(\)",
    ),
}  # fmt: skip # a table
ONE_WAY = {
    "subclass": from_torch,
    "subclass of ours": to_torch,
    "subclass of a cell": to_torch,
    "parametrised, ours": to_torch,
    "own forward, ours": to_torch,
    "step": to_torch,
    "steps": to_torch,
    "neither RNN, GRU nor LSTM": to_torch,
    "scripted": None,  # both
    "traced": None,
    "DataParallel": None,
    "torch.compile": None,
    "compile()": None,
}


@pytest.mark.parametrize(
    ("case", "convert"),
    [
        (case, convert)
        for case in REFUSED
        for convert in (
            [ONE_WAY.get(case, from_torch)] if ONE_WAY.get(case, 1) else [from_torch, to_torch]
        )
    ],
)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated")
def test_what_cannot_be_converted_is_refused_by_name_and_nothing_is_changed(
    case: str, convert: Any
) -> None:
    build, error, message = REFUSED[case]
    library = nn if convert is from_torch else unrolled
    model = nn.Sequential(library.GRU(I, H), build(), library.LSTMCell(I, H))
    before = classes(model)
    with pytest.raises(error, match=f"^{message}"):
        convert(model)
    assert classes(model) == before
    with pytest.raises(error, match=f"^{message.replace('model.1', 'model')}"):
        convert(model[1])


def test_a_class_of_yours_may_be_called_like_a_wrapper() -> None:
    class DataParallel(nn.Sequential):
        """No wrapper."""

    model = from_torch(DataParallel(nn.GRU(I, H)))
    assert type(next(model.children())) is unrolled.GRU


def test_what_the_other_way_leaves_alone_may_be_anything() -> None:
    ours = nn.Sequential(OwnOfOurs(I, H), unrolled.GRU(I, H, step=step))
    theirs = nn.Sequential(Own(I, H), with_attribute(nn.GRU(I, H), "fast", 3))
    for model, convert in ((ours, from_torch), (theirs, to_torch)):
        before = classes(model)
        convert(model)
        assert classes(model) == before


@pytest.mark.parametrize("convert", [from_torch, to_torch])
def test_arguments_are_checked(convert: Any) -> None:
    for wrong, name in ((None, "NoneType"), ([nn.GRU(I, H)], "list"), (nn.GRU, "type")):
        with pytest.raises(TypeError, match=f"^model should be a torch.nn.Module, got {name}$"):
            convert(wrong)
    with pytest.raises(TypeError, match=r"^fast should be a bool, got int$"):
        from_torch(nn.GRU(I, H), fast=1)  # type: ignore[arg-type] # the mistake


# -- Tools that know torch.nn ---------------------------------------------------------------------


class First(nn.Module):
    """A model that returns one tensor."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[0]


BACK = "tools that know the classes of torch.nn alone need unrolled.to_torch(model)"
says_so = pytest.mark.parametrize("fast", [False, True])


def back(kind: str) -> tuple[First, First]:
    """Give a model with a module of ours, and a copy of it that is `torch.nn`'s."""
    ours = First(getattr(unrolled, kind)(I, H)).eval()
    theirs = to_torch(copy.deepcopy(ours))
    assert isinstance(theirs, First)
    return ours, theirs


@pytest.mark.parametrize("kind", SEQUENCES)
@exports
def test_the_old_exporter_to_onnx_takes_it_with_a_free_length(kind: str) -> None:
    ours, theirs = back(kind)
    file = io.BytesIO()
    torch.onnx.export(
        theirs,
        (torch.randn(L, N, I),),
        file,  # type: ignore[arg-type] # a file object is taken, too
        dynamo=False,
        input_names=["x"],
        output_names=["output"],
        dynamic_axes={"x": {0: "L"}, "output": {0: "L"}},
    )
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    for length in (L, 2, 7, 23):
        x = torch.randn(length, N, I)
        (found,) = session.run(None, {"x": x.numpy()})
        np.testing.assert_allclose(found, ours(x).detach().numpy(), rtol=0, atol=1e-6)


@pytest.mark.no_cover
@every_kind
@scripts
def test_torch_jit_script_takes_it(kind: str) -> None:
    ours = getattr(unrolled, kind)(I, H, dtype=torch.float64)
    x = torch.randn(N, I, dtype=torch.float64)
    script: Any = torch.jit.script(nn.Sequential(to_torch(copy.deepcopy(ours))))
    for a, b in zip(_tensors(script(x)), _tensors(ours(x)), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_dynamic_quantisation_takes_it(kind: str) -> None:
    ours = nn.Sequential(getattr(unrolled, kind)(I, H))
    quantize: Any = torch.ao.quantization.quantize_dynamic
    kinds = {nn.GRU, nn.LSTM, nn.RNNCell, nn.GRUCell, nn.LSTMCell}
    quantised = quantize(to_torch(copy.deepcopy(ours)), kinds, torch.qint8)
    assert type(quantised[0]).__module__.startswith("torch.ao.nn.quantized")
    x = torch.randn(L, N, I) if kind in SEQUENCES else torch.randn(N, I)
    for a, b in zip(_tensors(quantised(x)), _tensors(ours(x)), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0.02)  # eight bits
        assert not torch.equal(a, b)
    assert type(quantize(ours, kinds, torch.qint8)[0]) is type(ours[0])  # is passed over


@every_kind
def test_symbolic_trace_takes_it(kind: str) -> None:
    ours = getattr(unrolled, kind)(I, H, dtype=torch.float64)
    graph = torch.fx.symbolic_trace(nn.Sequential(to_torch(copy.deepcopy(ours))))
    assert [node.op for node in graph.graph.nodes] == ["placeholder", "call_module", "output"]
    x = torch.randn(N, I, dtype=torch.float64)
    for a, b in zip(_tensors(graph(x)), _tensors(ours(x)), strict=True):
        assert torch.equal(a, b)


@every_kind
def test_symbolic_trace_of_ours_says_what_to_do(kind: str) -> None:
    message = re.escape(f"input should be a torch.Tensor, got Proxy: {BACK}")
    with pytest.raises(AttributeError, match=f"^{message}$"):
        torch.fx.symbolic_trace(nn.Sequential(getattr(unrolled, kind)(I, H)))
    if kind in SEQUENCES:
        with pytest.raises(AttributeError, match=f"^{message}$"):
            torch.fx.symbolic_trace(nn.Sequential(getattr(unrolled, kind)(I, H, fast=True)))


@every_kind
@scripts
def test_torch_jit_script_of_ours_says_what_to_do(kind: str) -> None:
    message = re.escape(f"torch.jit.script does not know unrolled.{kind}: {BACK}")
    for model in (getattr(unrolled, kind)(I, H), First(getattr(unrolled, kind)(I, H))):
        with pytest.raises(RuntimeError, match=f"^{message}$"):
            torch.jit.script(model)


@pytest.mark.parametrize("kind", SEQUENCES)
@exports
def test_the_old_exporter_says_of_ours_what_to_do(kind: str) -> None:
    ours, x = getattr(unrolled, kind)(I, H), torch.randn(L, N, I)
    message = re.escape(f"input and hx alone should be positional, got more: {BACK}")
    with pytest.raises(TypeError, match=f"^{message}$"):
        torch.onnx.export(ours, (x,), io.BytesIO(), dynamo=False)  # type: ignore[arg-type] # the same
    with pytest.raises(TypeError, match=f"^{message}$"):
        ours(x, None, [L, L, L])

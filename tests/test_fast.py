"""The ladder, and `fast=True`: to rounding what `torch.nn` gives, with every way back."""

import copy
import inspect
import pickle
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import unrolled
import unrolled.fast
from tests.comparisons import (
    FAST,
    KINDS,
    Configuration,
    compare,
    fast_module_differences,
    onednn,
    own_loop,
    run,
    rung_differences,
    tensors,
)
from tests.strategies import FEWER, configurations
from unrolled import Order
from unrolled._scan import each
from unrolled.fast import RUNGS, suits_numpy

N, L, H_in, H_out = 3, 5, 10, 20

MODULES: dict[str, dict[str, Any]] = {
    "tanh": {"kind": "RNN"},
    "relu": {"kind": "RNN", "nonlinearity": "relu"},
    "GRU": {"kind": "GRU"},
    "LSTM": {"kind": "LSTM"},
    "LSTM with a projection": {"kind": "LSTM", "proj_size": 3},
}
make_dual: Any = forward_ad.make_dual  # untyped, as unpack_dual and torch.jit.trace
unpack_dual: Any = forward_ad.unpack_dual
record: Any = torch.jit.trace
LIBRARIES = {"NumPy": 2**62, "torch": -1}
every_module = pytest.mark.parametrize("name", MODULES)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Iterator[str]:
    """Let small states be computed by NumPy, or by torch."""
    with own_loop(unrolled, LIBRARIES[request.param]):
        yield request.param


def fast_of(configuration: Configuration) -> Any:
    return configuration.module(getattr(unrolled, configuration.kind), fast=True)


def plain_of(configuration: Configuration) -> Any:
    return configuration.module(getattr(unrolled, configuration.kind))


def small(kind: str, **keywords: Any) -> Any:
    """Build a fast module of one layer in float64."""
    torch.manual_seed(0)
    return getattr(unrolled, kind)(H_in, H_out, fast=True, dtype=torch.float64, **keywords)


def drawn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def values(returned: Any) -> list[Tensor]:
    """Give output, h_n and, of an LSTM, c_n."""
    output, last = returned[:2]
    return [output.data if isinstance(output, PackedSequence) else output, *tensors(last)]


def close(a: Tensor, b: Tensor, bound: float = 1e-12) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=bound)


# The ladder


def test_every_rung_is_that_of_torch() -> None:
    assert list(rung_differences(unrolled)) == []


def test_rungs_go_from_the_textbook_to_the_top() -> None:
    assert list(RUNGS) == [
        "textbook", "merge_biases", "project_once", "accumulate", "in_place",
        "contiguous_weight", "views_first", "skip_zeros", "through_numpy",
    ]  # fmt: skip # as wide as the page
    for name, rung in RUNGS.items():
        assert getattr(unrolled.fast, name) is rung
        assert name in unrolled.fast.__all__
    bodies = [inspect.getsource(rung).rpartition('"""')[2] for rung in RUNGS.values()]
    assert len(set(bodies)) == len(bodies)


@pytest.mark.parametrize("name", ["in_place", "contiguous_weight", "views_first", "skip_zeros"])
def test_from_the_fourth_rung_on_autograd_cannot_follow(name: str) -> None:
    rnn = nn.RNN(H_in, H_out)
    arguments = torch.randn(L, N, H_in), torch.randn(N, H_out), *rnn.parameters()
    with pytest.raises(RuntimeError, match=r"in-?place operation|is being modified inplace"):
        torch.autograd.grad(RUNGS[name](*arguments)[0].sum(), list(rnn.parameters()))


@pytest.mark.parametrize("name", RUNGS)
def test_rungs_do_not_write_to_what_they_get(name: str) -> None:
    rnn = nn.RNN(H_in, H_out)
    arguments = [torch.randn(L, N, H_in), torch.randn(N, H_out), *rnn.parameters()]
    before = [argument.detach().clone() for argument in arguments]
    with torch.no_grad():
        RUNGS[name](*arguments)
    assert all(torch.equal(a, b) for a, b in zip(arguments, before, strict=True))


@pytest.mark.parametrize("name", ["skip_zeros", "through_numpy"])
def test_relu_on_the_upper_rungs(name: str) -> None:
    relu = {"skip_zeros": torch.relu_, "through_numpy": partial(np.maximum, 0)}[name]
    rnn = nn.RNN(H_in, H_out, nonlinearity="relu", dtype=torch.float64)
    x, h_0 = drawn(L, N, H_in), drawn(1, N, H_out)
    with torch.no_grad():
        for hx in (h_0, None):
            ours = RUNGS[name](x, None if hx is None else hx[0], *rnn.parameters(), activate=relu)
            for a, b in zip(ours, rnn(x, hx), strict=True):
                close(a, b.reshape(a.shape))


@pytest.mark.parametrize(
    ("N", "device", "packed", "expected"),
    [
        (51, "cpu", False, True),
        (52, "cpu", False, False),
        (3, "meta", False, False),
        (3, "cpu", True, False),
    ],
)
def test_small_states_suit_numpy(N: int, device: str, packed: bool, expected: bool) -> None:
    x, weight = torch.zeros(L, N, H_in, device=device), torch.zeros(60, 20, device=device)
    assert suits_numpy(x, weight, Order(sizes=[N] * L if packed else None)) is expected


@pytest.mark.parametrize(
    ("N", "features", "expected"), [(1, 512, True), (2, 512, True), (1, 513, False)]
)
def test_large_weights_suit_pytorch(N: int, features: int, expected: bool) -> None:
    x, weight = torch.zeros(L, N, H_in), torch.zeros(features, features)
    assert suits_numpy(x, weight, Order()) is expected


# The modules


@pytest.mark.no_cover
@every_kind
@FEWER
@given(data=st.data())
def test_modules_have_the_values_of_torch(kind: str, data: st.DataObject) -> None:
    configuration = data.draw(configurations((kind,)))
    assert list(fast_module_differences(unrolled, configuration)) == []


@pytest.mark.parametrize("configuration", FAST, ids=str)
def test_modules_have_the_values_of_torch_in_cases_that_matter(
    configuration: Configuration,
) -> None:
    assert list(fast_module_differences(unrolled, configuration)) == []


@pytest.mark.no_cover
@every_module
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_as_many_numbers_as_usual(name: str, dtype: torch.dtype) -> None:
    """Not told which library to take, on both sides of the border between them."""
    keywords = MODULES[name] | ({"nonlinearity": "tanh"} if dtype == torch.float32 else {})
    for hidden_size in (64, 256):  # times 16 sequences
        configuration = Configuration(
            dtype=dtype,
            hidden_size=hidden_size,
            lengths=(5,) * 16,
            L=30,
            hx_given=False,
            **keywords,
        )
        with onednn(False), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "LSTM with projections is not supported")
            theirs = run(configuration.theirs(), configuration)
        bound = {torch.float32: 2e-6, torch.float64: 1e-12}[dtype]
        wrong = compare(run(fast_of(configuration), configuration), theirs, bound, unbounded=True)
        assert wrong == []


@pytest.mark.no_cover
@pytest.mark.usefixtures("library")
@every_module
@pytest.mark.parametrize("layout", ["batched", "unbatched", "packed unsorted"])
def test_all_states(name: str, layout: str) -> None:
    configuration = Configuration(
        num_layers=2, bidirectional=True, layout=layout, lengths=(2, 5, 3), batch_first=True,
        **MODULES[name],
    )  # fmt: skip # as wide as the page
    leaves, states = configuration.leaves()
    results = []
    for module in (fast_of(configuration), plain_of(configuration)):
        input, hx = configuration.input(leaves), configuration.hx(states)
        returned = module(input, hx, all_states=True)
        every = [*returned[2].h, *(returned[2].c or [])]
        found = values(returned) + [e.data if isinstance(e, PackedSequence) else e for e in every]
        assert len(every) == (4 if configuration.is_lstm else 2)
        generator = torch.Generator().manual_seed(5)
        weights = [torch.randn(f.shape, generator=generator, dtype=f.dtype) for f in found]
        gradients = torch.autograd.grad(found, list(module.parameters()), weights)
        results.append([*found, *gradients])
    for a, b in zip(*results, strict=True):
        close(a, b, 1e-11)


@pytest.mark.usefixtures("library")
@every_kind
def test_gradient_of_cell_states_alone(kind: str) -> None:
    """Of a lower layer's states too, whose gradient does not come through the output."""
    configuration = Configuration(kind=kind, num_layers=2, hx_given=False)
    (x,), _ = configuration.leaves()
    found = []
    for module in (fast_of(configuration), plain_of(configuration)):
        states = module(x, all_states=True)[2]
        states = states.h if states.c is None else states.c
        found.append(torch.autograd.grad(states[0].pow(2).sum(), list(module.parameters())[:4]))
    for a, b in zip(*found, strict=True):
        assert a.any()
        close(a, b)


@every_kind
@pytest.mark.parametrize("keywords", [{"lengths": [2, 5, 0]}, {"mask": torch.eye(L, N).bool()}])
def test_masks_take_the_plain_loop(kind: str, keywords: dict[str, Any]) -> None:
    configuration = Configuration(kind=kind, num_layers=2, bidirectional=True)
    (x,), states = configuration.leaves()
    hx = configuration.hx(states)
    ours, plain = (
        fast_of(configuration)(x, hx, **keywords),
        plain_of(configuration)(x, hx, **keywords),
    )
    for a, b in zip(values(ours), values(plain), strict=True):
        assert torch.equal(a, b)


@every_kind
def test_what_the_constructor_refuses(kind: str) -> None:
    module_type = getattr(unrolled, kind)
    for fast in (1, None, "yes", np.True_):
        with pytest.raises(TypeError, match=rf"^fast should be a bool, got {type(fast).__name__}$"):
            module_type(H_in, H_out, fast=fast)
    message = r"^fast should be False where there is a step of your own, got True$"
    with pytest.raises(ValueError, match=message):
        module_type(H_in, H_out, step=lambda *_: None, fast=True)
    with pytest.raises(TypeError, match="positional"):
        module_type(*(H_in, H_out, *range(20)), True)
    assert module_type(H_in, H_out, step=lambda *_: None, fast=False).fast is False
    assert inspect.signature(module_type).parameters["fast"].default is False
    assert module_type(H_in, H_out).fast is False
    fast = module_type(H_in, H_out, fast=True)
    assert fast.fast is True
    assert repr(fast) == f"{kind}({H_in}, {H_out}, fast=True)"


@every_kind
def test_it_is_another_way_to_the_same(kind: str) -> None:
    """If this fails, fast modules may as well have the bits of torch."""
    torch.manual_seed(0)
    ours = getattr(unrolled, kind)(64, 128, fast=True)
    plain = getattr(unrolled, kind)(64, 128)
    plain.load_state_dict(ours.state_dict())
    x = torch.randn(30, N, 64)
    with own_loop(unrolled, unrolled.fast.NUMBERS_FOR_NUMPY):
        output, _ = ours(x)
    assert not torch.equal(output, plain(x)[0])
    assert any("Direction" in str(f) for f in graph(output.grad_fn))
    assert not any("Direction" in str(f) for f in graph(plain(x)[0].grad_fn))


def graph(node: Any) -> set[Any]:
    """Collect what autograd will run."""
    seen, todo = set(), [node]
    while todo:
        one = todo.pop()
        if one is not None and one not in seen:
            seen.add(one)
            todo += [following for following, _ in one.next_functions]
    return seen


# Derivatives


@pytest.mark.no_cover
@every_module
@pytest.mark.parametrize(
    ("layout", "numbers"), [("batched", 2**62), ("batched", -1), ("packed unsorted", -1)]
)
def test_first_and_second_derivatives_against_differences(
    name: str, layout: str, numbers: int
) -> None:
    configuration = Configuration(
        input_size=2, hidden_size=4, bidirectional=True, lengths=(2, 3), L=3, layout=layout,
        **MODULES[name],
    )  # fmt: skip # as wide as the page
    module = fast_of(configuration)
    names = [name for name, _ in module.named_parameters()]
    inputs, states = configuration.leaves()
    first, second = len(inputs), len(inputs) + len(states)
    leaves = [leaf.requires_grad_() for leaf in (*inputs, *states)] + list(module.parameters())

    def call(*leaves: Tensor) -> Any:
        parameters = dict(zip(names, leaves[second:], strict=True))
        hx = configuration.hx(list(leaves[first:second]))
        arguments = configuration.input(list(leaves[:first])), hx
        return tuple(values(functional_call(module, parameters, arguments)))

    with own_loop(unrolled, numbers):
        assert torch.autograd.gradcheck(call, leaves, fast_mode=True)
        assert torch.autograd.gradgradcheck(call, leaves, fast_mode=True)


@pytest.mark.no_cover
@pytest.mark.usefixtures("library")
@every_module
@pytest.mark.parametrize("result", [0, 1])
def test_derivatives_of_one_layer_without_states(name: str, result: int) -> None:
    """Where nothing but the output counts, or nothing but the last state."""
    configuration = Configuration(input_size=2, hidden_size=4, **MODULES[name])
    module = fast_of(configuration)
    x = drawn(4, 2, 2).requires_grad_()
    names = [name for name, _ in module.named_parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Tensor:
        named = dict(zip(names, parameters, strict=True))
        return values(functional_call(module, named, (x,)))[result]

    assert torch.autograd.gradcheck(call, (x, *module.parameters()), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x, *module.parameters()), fast_mode=True)


@pytest.mark.usefixtures("library")
@every_kind
def test_second_derivatives_are_those_of_the_plain_loop(kind: str) -> None:
    configuration = Configuration(kind=kind, num_layers=2, bidirectional=True)
    found = []
    for module in (fast_of(configuration), plain_of(configuration)):
        (x,), states = configuration.leaves()
        x.requires_grad_()
        output, _ = module(x, configuration.hx(states))
        (gradient,) = torch.autograd.grad(output.pow(2).sum(), x, create_graph=True)
        found.append(torch.autograd.grad(gradient.pow(2).sum(), [x, *module.parameters()]))
    for a, b in zip(*found, strict=True):
        assert a.any()
        close(a, b, 1e-10)


@pytest.mark.usefixtures("library")
@every_kind
def test_gradients_add_up_over_two_backward_passes(kind: str) -> None:
    module, x = small(kind), drawn(L, N, H_in)
    loss = module(x)[0].pow(2).sum()
    loss.backward(retain_graph=True)
    once = [p.grad.clone() for p in module.parameters()]
    loss.backward()
    for p, gradient in zip(module.parameters(), once, strict=True):
        assert torch.equal(p.grad, 2 * gradient)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        loss.backward()


@pytest.mark.usefixtures("library")
@every_kind
def test_what_is_changed_before_the_backward_pass_is_noticed(kind: str) -> None:
    x = drawn(L, N, H_in)
    for changed in range(2):
        module, mine = small(kind), x.clone()
        output, _ = module(mine)
        loss: Any = output.sum()
        with torch.no_grad():
            (module.weight_hh_l0, mine)[changed].mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


@pytest.mark.usefixtures("library")
@every_kind
def test_gradients_share_no_memory(kind: str) -> None:
    """What clips two gradients in place would otherwise clip one twice."""
    module = small(kind, num_layers=2, bidirectional=True)
    x = drawn(L, N, H_in).requires_grad_()
    output, last = module(x)
    (output.sum() + sum(part.sum() for part in tensors(last))).backward()
    gradients = [x.grad, *(p.grad for p in module.parameters())]
    places = {gradient.untyped_storage().data_ptr() for gradient in gradients}
    assert len(places) == len(gradients) == 17
    with torch.no_grad():
        module.bias_ih_l0.grad.zero_()
    assert module.bias_hh_l0.grad.any()


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("num_layers", [1, 2])
@every_kind
def test_last_states_are_no_views_of_the_output(kind: str, num_layers: int, enabled: bool) -> None:
    module = small(kind, num_layers=num_layers)
    x = drawn(L, N, H_in)
    hx: Any = drawn(num_layers, N, H_out)
    for states in (None, (hx, hx.clone()) if kind == "LSTM" else hx):
        with torch.set_grad_enabled(enabled):
            output, last = module(x, states)
        for before in tensors(last):
            after = before.detach().clone()
            with torch.no_grad():
                output.zero_()
                x.add_(1)
            assert torch.equal(before, after)


@pytest.mark.usefixtures("library")
@every_kind
def test_the_input_is_not_written_to(kind: str) -> None:
    module = small(kind, num_layers=2, bidirectional=True)
    x, h_0 = drawn(L, N, H_in).requires_grad_(), drawn(4, N, H_out)
    hx: Any = (h_0, drawn(4, N, H_out)) if kind == "LSTM" else h_0
    given = [x, *tensors(hx), *module.parameters()]
    before = [tensor.detach().clone() for tensor in given]
    module(x, hx)[0].sum().backward()
    with torch.no_grad():
        module(x, hx)
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("hx_given", [False, True])
@every_kind
def test_frozen_parameters(kind: str, hx_given: bool) -> None:
    """Whatever part of them is frozen, the others have the gradients they had."""
    configuration = Configuration(kind=kind, num_layers=1 + hx_given, hx_given=hx_given)
    (x,), states = configuration.leaves()
    x.requires_grad_()
    hx = configuration.hx(states)
    for frozen in ((), ("weight_hh_l0",), ("weight_ih_l0", "bias_hh_l0"), ("weight", "bias")):
        found = []
        for module in (fast_of(configuration), plain_of(configuration)):
            for name, parameter in module.named_parameters():
                parameter.requires_grad_(not name.startswith(frozen or "-"))
            wanted = [x, *(p for p in module.parameters() if p.requires_grad)]
            found.append(torch.autograd.grad(module(x, hx)[0].pow(2).sum(), wanted))
            assert not module(x.detach(), hx)[0].requires_grad or len(wanted) > 1
        for a, b in zip(*found, strict=True):
            close(a, b)


@pytest.mark.usefixtures("library")
@every_kind
def test_layouts_in_memory(kind: str) -> None:
    module = small(kind)
    for x in (drawn(N, L, H_in).transpose(0, 1), drawn(L, N, 2 * H_in)[..., ::2],
              drawn(1, N, H_in).expand(L, N, H_in)):  # fmt: skip # as wide as the page
        found = []
        for input in (x, x.clone(memory_format=torch.contiguous_format)):
            input = input.detach().requires_grad_()
            output, _ = module(input)
            found.append(
                [output, *torch.autograd.grad(output.sum(), [input, *module.parameters()])]
            )
        for a, b in zip(*found, strict=True):
            close(a, b)


@pytest.mark.usefixtures("library")
@every_kind
def test_parametrised_weight(kind: str) -> None:
    module = small(kind)
    plain = getattr(unrolled, kind)(H_in, H_out, dtype=torch.float64)
    plain.load_state_dict(module.state_dict())
    x = drawn(L, N, H_in)
    found = []
    for one in (module, plain):
        nn.utils.parametrizations.weight_norm(one, "weight_hh_l0")
        one.parametrizations.weight_hh_l0.original0.data *= 3
        output = one(x)[0]
        with torch.no_grad():
            close(one(x)[0], output)
        found.append([output, *torch.autograd.grad(output.pow(2).sum(), list(one.parameters()))])
    for a, b in zip(*found, strict=True):
        close(a, b, 1e-11)


@pytest.mark.usefixtures("library")
@every_kind
def test_parameters_given_from_outside(kind: str) -> None:
    module, x = small(kind), drawn(L, N, H_in)
    doubled = {name: 2 * parameter for name, parameter in module.named_parameters()}
    output = functional_call(module, doubled, (x,))[0]
    output.sum().backward()
    plain = getattr(unrolled, kind)(H_in, H_out, dtype=torch.float64)
    plain.load_state_dict({name: 2 * value for name, value in module.state_dict().items()})
    expected = plain(x)[0]
    expected.sum().backward()
    close(output, expected)
    for p, q in zip(module.parameters(), plain.parameters(), strict=True):
        close(p.grad, 2 * q.grad)


@pytest.mark.usefixtures("library")
@every_kind
def test_checkpointing_and_saving_elsewhere(kind: str) -> None:
    module, x = small(kind), drawn(L, N, H_in).requires_grad_()
    expected = torch.autograd.grad(module(x)[0].sum(), [x, *module.parameters()])
    again = torch.utils.checkpoint.checkpoint(module, x, use_reentrant=False)
    with torch.autograd.graph.save_on_cpu():
        saved = module(x)
    for output, _ in (again, saved):
        found = torch.autograd.grad(output.sum(), [x, *module.parameters()])
        assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


# Where the plain loop runs


@pytest.mark.no_cover
@pytest.mark.usefixtures("library")
@every_module
@pytest.mark.parametrize("num_layers", [1, 2])
def test_vmap_grad_and_jacrev(name: str, num_layers: int) -> None:
    configuration = Configuration(
        input_size=3, hidden_size=4, num_layers=num_layers, hx_given=False, **MODULES[name]
    )
    ours, plain = fast_of(configuration), plain_of(configuration)
    x = drawn(L, N, 3)
    parameters = {name: p.detach() for name, p in plain.named_parameters()}

    def loss(module: Any) -> Callable[..., Tensor]:
        def run(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
            output: Tensor = functional_call(module, parameters, (x[:, None],))[0]
            return output.pow(2).sum()

        return run

    for a, b in zip(
        *(vmap(grad(loss(m)), in_dims=(None, 1))(parameters, x).values() for m in (ours, plain)),
        strict=True,
    ):
        assert torch.equal(a, b)
    a, b = (jacrev(lambda x, m=m: m(x)[0])(x) for m in (ours, plain))
    assert torch.equal(a, b)
    a, b = (vmap(lambda x, m=m: m(x)[0])(torch.stack((x, 2 * x))) for m in (ours, plain))
    close(a, b)


# torch scripts its own decompositions of operators, and warns of it.
@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.usefixtures("library")
@every_module
@pytest.mark.parametrize("num_layers", [1, 2])
def test_forward_mode(name: str, num_layers: int) -> None:
    configuration = Configuration(num_layers=num_layers, hx_given=False, **MODULES[name])
    (x,), _ = configuration.leaves()
    found = []
    for module in (fast_of(configuration), plain_of(configuration)):
        for enabled in (True, False):
            with torch.set_grad_enabled(enabled), forward_ad.dual_level():
                output = module(make_dual(x, torch.ones_like(x)))[0]
                found.append(unpack_dual(output).tangent.detach())
    assert found[0].any()
    assert all(torch.equal(a, found[0]) for a in found[1:])


@pytest.mark.no_cover
@every_kind
def test_compiles_to_one_graph(kind: str) -> None:
    torch.compiler.reset()
    configuration = Configuration(kind=kind, hx_given=False, L=3)
    (x,), _ = configuration.leaves()
    module, plain = fast_of(configuration), plain_of(configuration)
    compiled: Any = torch.compile(module, fullgraph=True, backend="aot_eager")
    found = []
    for call in (compiled, plain):
        output, last = call(x)
        total = output.pow(2).sum() + tensors(last)[-1].sum()
        found.append(
            [
                output,
                *torch.autograd.grad(
                    total, list(plain.parameters() if call is plain else module.parameters())
                ),
            ]
        )
        with torch.no_grad():
            found[-1].append(call(x)[0])
    for a, b in zip(*found, strict=True):
        close(a, b)


@pytest.mark.no_cover
@pytest.mark.usefixtures("library")
@every_module
@pytest.mark.parametrize("num_layers", [1, 2])
@pytest.mark.parametrize("enabled", [True, False])
def test_traced_by_torch_jit(name: str, num_layers: int, enabled: bool) -> None:
    """What is recorded must not be the numbers of one call."""
    configuration = Configuration(num_layers=num_layers, hx_given=False, **MODULES[name])
    module = fast_of(configuration)
    (x,), _ = configuration.leaves()
    with (
        torch.set_grad_enabled(enabled),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")  # what it records, and that it is deprecated
        traced = record(module, (x,), check_trace=False)
    other = 3 - x
    with torch.no_grad():
        close(traced(other)[0], plain_of(configuration)(other)[0])


@pytest.mark.usefixtures("library")
@every_kind
def test_autocast(kind: str) -> None:
    configuration = Configuration(kind=kind, num_layers=2, dtype=torch.float32, hx_given=False)
    (x,), _ = configuration.leaves()
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled), torch.autocast("cpu", dtype=torch.bfloat16):
            ours, plain = (
                module(x)[0] for module in (fast_of(configuration), plain_of(configuration))
            )
        assert torch.equal(ours, plain)
        assert ours.dtype == plain.dtype


@pytest.mark.no_cover
@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex128])
@pytest.mark.parametrize("num_layers", [1, 2])
@every_kind
def test_other_dtypes(kind: str, num_layers: int, dtype: torch.dtype) -> None:
    configuration = Configuration(kind=kind, num_layers=num_layers, dtype=dtype)
    (x,), states = configuration.leaves()
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            ours, plain = (
                module(x, configuration.hx(states))
                for module in (fast_of(configuration), plain_of(configuration))
            )
        for a, b in zip(values(ours), values(plain), strict=True):
            assert torch.equal(a, b)


class Nothing(torch.overrides.TorchFunctionMode):
    """Look at every call and change none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("num_layers", [1, 2])
@every_kind
def test_who_listens_hears_the_plain_loop(kind: str, num_layers: int) -> None:
    configuration = Configuration(kind=kind, num_layers=num_layers)
    (x,), states = configuration.leaves()
    ours, plain = fast_of(configuration), plain_of(configuration)
    for mode in (Nothing(), torch.device("cpu")):
        with mode:  # set_default_device is the latter
            found = [module(x, configuration.hx(states)) for module in (ours, plain)]
        for a, b in zip(*map(values, found), strict=True):
            assert torch.equal(a, b)
        assert not any("Direction" in str(f) for f in graph(found[0][0].grad_fn))


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2])
@every_kind
def test_subclasses_stay(kind: str, num_layers: int, enabled: bool) -> None:
    class Mine(Tensor):
        pass

    configuration = Configuration(kind=kind, num_layers=num_layers, hx_given=False)
    (x,), _ = configuration.leaves()
    with torch.set_grad_enabled(enabled):
        ours, plain = (
            module(x.as_subclass(Mine))[0]
            for module in (fast_of(configuration), plain_of(configuration))
        )
    assert type(ours) is type(plain) is Mine
    close(ours.as_subclass(Tensor), plain.as_subclass(Tensor))


@every_kind
def test_tensors_without_numbers(kind: str) -> None:
    """Fake tensors know their shapes alone, and so do those of the meta device."""
    with torch._subclasses.FakeTensorMode():
        fake, x = getattr(unrolled, kind)(H_in, H_out, fast=True), torch.randn(L, N, H_in)
    meta = getattr(unrolled, kind)(H_in, H_out, fast=True, device="meta")
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            assert fake(x)[0].shape == (L, N, H_out)
            output = meta(torch.randn(L, N, H_in, device="meta"))[0]
        assert (output.device.type, output.shape) == ("meta", (L, N, H_out))


@pytest.mark.no_cover
@pytest.mark.parametrize("shape", [(1, 1), (L, 0), (1, 3), (1, 0)])
@pytest.mark.parametrize("num_layers", [1, 2])
@every_kind
def test_few_steps_or_sequences(kind: str, num_layers: int, shape: tuple[int, int]) -> None:
    configuration = Configuration(kind=kind, num_layers=num_layers, hx_given=False,
                                  L=shape[0], lengths=(1,) * shape[1])  # fmt: skip # as wide
    for hx_given in (True, False):
        configuration = Configuration(
            kind=kind, num_layers=num_layers, hx_given=hx_given, L=shape[0],
            lengths=(1,) * shape[1], bidirectional=hx_given,
        )  # fmt: skip # as wide as the page
        assert list(fast_module_differences(unrolled, configuration)) == []


# A drop-in


@pytest.mark.usefixtures("library")
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@every_kind
def test_copies(kind: str, duplicate: Callable[[Any], Any]) -> None:
    module, x = small(kind), drawn(L, N, H_in)
    again = duplicate(module)
    assert again.fast is True
    assert torch.equal(again(x)[0], module(x)[0])
    with torch.no_grad():
        assert torch.equal(again(x)[0], module(x)[0])
        for parameter in again.parameters():
            parameter.zero_()
        assert not torch.equal(again(x)[0], module(x)[0])


@pytest.mark.usefixtures("library")
@every_kind
def test_state_dict_goes_there_and_back(kind: str) -> None:
    module, x = small(kind, num_layers=2, bidirectional=True), drawn(L, N, H_in)
    theirs = getattr(nn, kind)(H_in, H_out, 2, bidirectional=True, dtype=torch.float64)
    assert list(theirs.state_dict()) == list(module.state_dict())
    theirs.load_state_dict(module.state_dict())
    close(theirs(x)[0], module(x)[0])
    torch.manual_seed(1)
    theirs.reset_parameters()
    module.load_state_dict(theirs.state_dict())
    close(theirs(x)[0], module(x)[0])
    assert repr(module) == repr(theirs)[:-1] + ", fast=True)"


@every_kind
def test_trace_of_a_fast_module(kind: str) -> None:
    module, x = small(kind, num_layers=2), drawn(L, N, H_in)
    records = unrolled.trace(module, x)
    assert records.difference < 1e-12
    close(records["output"].value, module(x)[0])


@every_kind
def test_training_learns_what_the_plain_module_learns(kind: str) -> None:
    configuration = Configuration(kind=kind, num_layers=2, hx_given=False)
    (x,), _ = configuration.leaves()
    losses: list[list[float]] = []
    for module in (fast_of(configuration), plain_of(configuration)):
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        losses.append([])
        for _ in range(5):
            optimizer.zero_grad()
            loss = (module(x)[0] - 0.5).pow(2).mean()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[0], losses[1], rtol=0, atol=1e-12)


@pytest.mark.usefixtures("library")
@every_kind
def test_packed_by_hand_and_states_that_nobody_follows(kind: str) -> None:
    module = small(kind)
    rows = [drawn(5, H_in), drawn(3, H_in), drawn(2, H_in)]
    packed = pack_sequence(rows)
    by_hand = PackedSequence(packed.data, packed.batch_sizes)
    for output, _ in (module(packed), module(by_hand)):
        for n, x in enumerate(rows):
            alone = module(x[:, None])[0][:, 0]
            starts = [0, 3, 6, 8, 9]
            close(output.data[[start + n for start in starts[: len(x)]]], alone)


WRONG: dict[str, Callable[[Any], tuple[Any, ...]]] = {
    "features": lambda hx: (torch.zeros(L, N, H_in + 1), hx),
    "input dtype": lambda hx: (torch.zeros(L, N, H_in).double(), hx),
    "no time steps": lambda hx: (torch.zeros(0, N, H_in), hx),
    "four dimensions": lambda hx: (torch.zeros(1, L, N, H_in), hx),
    "a list": lambda hx: ([[0.0] * H_in], hx),
    "hx for other sequences": lambda hx: (torch.zeros(L, N + 1, H_in), hx),
    "hx dtype": lambda hx: (torch.zeros(L, N, H_in), each(torch.Tensor.double, hx)),
    "hx too wide": lambda hx: (
        torch.zeros(L, N, H_in), each(lambda h: torch.cat([h, h[..., :1]], -1), hx)
    ),
    "hx unbatched": lambda hx: (torch.zeros(L, N, H_in), each(lambda h: h[:, 0], hx)),
    "hx a list": lambda hx: (torch.zeros(L, N, H_in), [0.0]),
}  # fmt: skip # a table


@every_kind
@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_refused_in_the_same_words(kind: str, enabled: bool, case: str) -> None:
    h = torch.zeros(1, N, H_out)
    arguments = WRONG[case]((h, h) if kind == "LSTM" else h)
    raised = []
    for fast in (False, True):
        module = getattr(unrolled, kind)(H_in, H_out, fast=fast)
        with torch.set_grad_enabled(enabled), pytest.raises(Exception) as error:  # noqa: PT011 # which one is the question
            module(*arguments)
        raised.append((error.type, str(error.value)))
    assert raised[0] == raised[1]

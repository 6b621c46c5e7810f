"""Initial values by gate: every layer, direction and projection, and nothing beside the point."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

import unrolled
from unrolled import schemes
from unrolled.shapes import GATES

N, L, H_in, H_out, proj_size = 3, 5, 10, 20, 7
SUFFIXES = ("l0", "l0_reverse", "l1", "l1_reverse")
LAYERS = {"num_layers": 2, "bidirectional": True}
MODULES: dict[str, Callable[[], nn.Module]] = {}
for package in (nn, unrolled):
    for kind in ("RNN", "GRU", "LSTM"):
        name = f"{package.__name__}.{kind}"
        MODULES[name] = partial(getattr(package, kind), H_in, H_out, **LAYERS)
        MODULES[f"{name}Cell"] = partial(getattr(package, f"{kind}Cell"), H_in, H_out)
    MODULES[f"{name}, projected"] = partial(
        getattr(package, kind), H_in, H_out, proj_size=proj_size, **LAYERS
    )
every_module = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)
gated = [name for name in MODULES if "RNN" not in name]
every_gated_module = pytest.mark.parametrize("make", [MODULES[name] for name in gated], ids=gated)


def gates_of(module: nn.Module) -> tuple[str, ...]:
    name = type(module).__name__.removesuffix("Cell")
    return GATES["RNN_TANH" if name == "RNN" else name]


def parts(module: nn.Module, kind: str) -> Iterator[tuple[str, str, Tensor]]:
    """Give name, gate and rows, from the names and shapes alone."""
    for name, parameter in module.named_parameters():
        if name.startswith(kind):
            for index, gate in enumerate(gates_of(module)):
                rows = parameter[index * H_out : (index + 1) * H_out]
                yield name, gate, rows.detach()


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in module.named_parameters()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, p in module.named_parameters() if not torch.equal(p, before[name])}


def named(module: nn.Module, *kinds: str) -> set[str]:
    return {name for name, _ in module.named_parameters() if name.startswith(kinds)}


@every_module
def test_blocks_are_views_of_the_rows(make: Callable[[], nn.Module]) -> None:
    module = make()
    for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        blocks = schemes.gate_blocks(module, kind)
        expected = list(parts(module, kind))
        assert [(b.name, b.gate) for b in blocks] == [(name, gate) for name, gate, _ in expected]
        for block, (_, _, rows) in zip(blocks, expected, strict=True):
            assert torch.equal(block.values, rows)
            assert block.values.data_ptr() == rows.data_ptr()
            assert not block.values.requires_grad
    layered = isinstance(module, nn.RNNBase)
    names = list(dict.fromkeys(b.name for b in schemes.gate_blocks(module, "weight_hh")))
    assert names == ([f"weight_hh_{s}" for s in SUFFIXES] if layered else ["weight_hh"])


def test_no_biases_no_blocks() -> None:
    assert schemes.gate_blocks(nn.GRU(H_in, H_out, bias=False), "bias_ih") == []
    assert len(schemes.gate_blocks(nn.GRU(H_in, H_out, bias=False), "weight_ih")) == 3


@every_module
def test_orthogonal_by_gate(make: Callable[[], nn.Module]) -> None:
    module = make()
    before = snapshot(module)
    assert schemes.orthogonal_(module, gain=1.5) is module
    assert changed(module, before) == named(module, "weight_hh")
    seen: list[Tensor] = []
    for _, _, block in parts(module, "weight_hh"):
        width = block.shape[1]
        assert (block.T @ block / 1.5**2 - torch.eye(width)).abs().max() < 1e-6
        assert not any(torch.equal(block, other) for other in seen)
        seen.append(block)
    assert all(p.requires_grad and p.is_leaf for p in module.parameters())


@every_module
def test_xavier_by_gate(make: Callable[[], nn.Module]) -> None:
    module = make()
    before = snapshot(module)
    assert schemes.xavier_uniform_(module, gain=0.5) is module
    assert changed(module, before) == named(module, "weight_ih")
    for _, _, block in parts(module, "weight_ih"):
        bound = 0.5 * math.sqrt(6 / (block.shape[1] + H_out))
        assert 0.9 * bound < block.abs().max() <= bound
        assert block.std() == pytest.approx(bound / math.sqrt(3), rel=0.15)


@every_gated_module
@pytest.mark.parametrize("value", [1.0, -2, 0.1])
def test_forget_bias_is_exact_in_all(make: Callable[[], nn.Module], value: float) -> None:
    module = make()
    before = snapshot(module)
    assert schemes.forget_bias_(module, value) is module
    assert changed(module, before) == named(module, "bias")
    keeps = "z" if "GRU" in type(module).__name__ else "f"
    both = zip(parts(module, "bias_ih"), parts(module, "bias_hh"), strict=True)
    for (name, gate, bias_ih), (other, _, bias_hh) in both:
        if gate == keeps:
            assert torch.equal(bias_ih + bias_hh, torch.full((H_out,), float(value)))
            assert not bias_hh.any()
        else:
            rows = slice(gates_of(module).index(gate) * H_out, None)
            assert torch.equal(bias_ih, before[name][rows][:H_out])
            assert torch.equal(bias_hh, before[other][rows][:H_out])


def test_forget_bias_keeps_the_state() -> None:
    for module in (nn.GRU(1, H_out), nn.LSTM(1, H_out)):
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.zero_()
        schemes.forget_bias_(module, 1.0)
        state = torch.ones(1, N, H_out)
        hx = (state, state) if isinstance(module, nn.LSTM) else state
        last = module(torch.zeros(1, N, 1), hx)[1]
        kept = last[1] if isinstance(last, tuple) else last
        torch.testing.assert_close(kept, torch.sigmoid(state))  # of a gate of sigmoid(1)


@every_gated_module
def test_chrono_spreads_the_memories(make: Callable[[], nn.Module]) -> None:
    module = make()
    before = snapshot(module)
    assert schemes.chrono_(module, longest=50) is module
    assert changed(module, before) == named(module, "bias")
    lstm = "LSTM" in type(module).__name__
    total: dict[tuple[str, str], Tensor] = {}
    both = zip(parts(module, "bias_ih"), parts(module, "bias_hh"), strict=True)
    for (name, gate, bias_ih), (other, _, bias_hh) in both:
        total[name, gate] = bias_ih + bias_hh
        if gate not in ("f", "z", "i"):
            rows = slice(gates_of(module).index(gate) * H_out, None)
            assert torch.equal(bias_ih, before[name][rows][:H_out])
            assert torch.equal(bias_hh, before[other][rows][:H_out])
    steps = []
    for (name, gate), bias in total.items():
        if gate in ("f", "z"):
            steps.append(1 / (1 - torch.sigmoid(bias)))  # 1 + u
            if lstm:
                assert torch.equal(total[name, "i"], -bias)
    every = torch.cat(steps)
    assert 2 - 1e-4 <= every.min() < 10
    assert 40 < every.max() <= 50 + 1e-3
    assert len(set(every.tolist())) == len(every)


@pytest.mark.no_cover
def test_chrono_is_uniform_in_time() -> None:
    gru = schemes.chrono_(nn.GRU(1, 10_000), longest=11)
    u = gru.get_parameter("bias_ih_l0").detach().chunk(3)[1].exp()
    assert u.mean() == pytest.approx((1 + 10) / 2, rel=0.02)
    assert u.std() == pytest.approx((10 - 1) / math.sqrt(12), rel=0.02)
    two = schemes.chrono_(nn.LSTM(1, H_out), longest=2)
    assert not two.get_parameter("bias_ih_l0")[: 2 * H_out].any()  # log(1), and its opposite


@pytest.mark.parametrize("package", [nn, unrolled])
def test_identity(package: Any) -> None:
    for module in (
        package.RNN(H_in, H_out, 2, "relu", bidirectional=True),
        package.RNN(H_in, H_out, 2, "relu", bias=False),
        package.RNNCell(H_in, H_out, nonlinearity="relu"),
    ):
        before = snapshot(module)
        assert schemes.identity_(module, 0.5) is module
        assert changed(module, before) == named(module, "weight_hh", "bias")
        for _, _, block in parts(module, "weight_hh"):
            assert torch.equal(block, 0.5 * torch.eye(H_out))
        assert not any(rows.any() for _, _, rows in parts(module, "bias"))


def test_identity_remembers() -> None:
    rnn = schemes.identity_(nn.RNN(H_in, H_out, nonlinearity="relu"))
    state = torch.rand(1, N, H_out)
    _, h_n = rnn(torch.zeros(1000, N, H_in), state)
    assert torch.equal(h_n, state)


DRAWING: dict[str, Any] = {
    "orthogonal": schemes.orthogonal_,
    "xavier": schemes.xavier_uniform_,
    "chrono": lambda module, generator=None: schemes.chrono_(module, 50, generator),
}


def zeroed() -> nn.LSTM:
    lstm = nn.LSTM(H_in, H_out, 2, bidirectional=True)
    for parameter in lstm.parameters():
        nn.init.zeros_(parameter)
    return lstm


@pytest.mark.parametrize("initialise", DRAWING.values(), ids=DRAWING)
def test_generator(initialise: Any) -> None:
    first, module = zeroed(), zeroed()
    torch.manual_seed(3)
    by_global = snapshot(initialise(first))
    after = torch.get_rng_state()

    own = torch.Generator().manual_seed(3)
    before = torch.get_rng_state()
    initialise(module, generator=own)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(own.get_state(), after)
    assert changed(module, by_global) == set()
    initialise(module, generator=own)
    assert changed(module, by_global)


DRAWN: dict[str, tuple[str, str, Any]] = {
    "orthogonal": ("weight_hh", "ifgo", nn.init.orthogonal_),
    "xavier": ("weight_ih", "ifgo", nn.init.xavier_uniform_),
    "chrono": ("bias_ih", "f", lambda rows: rows.uniform_(1, 49).log_()),
}


@pytest.mark.parametrize("name", DRAWN)
def test_order_of_the_draw(name: str) -> None:
    kind, gates, draw = DRAWN[name]
    module = zeroed()
    torch.manual_seed(3)
    DRAWING[name](module)
    torch.manual_seed(3)
    for _, gate, rows in parts(module, kind):  # by layer, direction and gate
        if gate in gates:
            assert torch.equal(rows, draw(torch.zeros_like(rows)))


def test_without_gradients_and_seen_by_autograd() -> None:
    lstm = nn.LSTM(H_in, H_out)
    output, _ = lstm(torch.randn(L, N, H_in))
    schemes.orthogonal_(lstm)
    assert lstm.weight_hh_l0.grad_fn is None
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


INITIALISERS: dict[str, Any] = {
    "orthogonal_": schemes.orthogonal_,
    "xavier_uniform_": schemes.xavier_uniform_,
    "forget_bias_": schemes.forget_bias_,
    "chrono_": lambda module: schemes.chrono_(module, 50),
    "identity_": schemes.identity_,
    "gate_blocks": lambda module: schemes.gate_blocks(module, "weight_hh"),
}


@pytest.mark.parametrize("initialise", INITIALISERS.values(), ids=INITIALISERS)
@pytest.mark.parametrize("module", [nn.Linear(2, 3), nn.Sequential(nn.LSTM(2, 3)), "lstm"])
def test_not_recurrent(initialise: Any, module: object) -> None:
    name = type(module).__name__
    with pytest.raises(TypeError, match=f"module should be an RNN, GRU or LSTM .*, got {name}"):
        initialise(module)


def refuses(call: Callable[[], object], module: nn.Module, error: Any, message: str) -> None:
    before = snapshot(module)
    state = torch.get_rng_state()
    with pytest.raises(error, match=message):
        call()
    assert changed(module, before) == set()
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_kind() -> None:
    lstm = nn.LSTM(H_in, H_out, proj_size=proj_size)
    with pytest.raises(ValueError, match=r"kind should be .*'bias_hh', got 'weight_hr'"):
        schemes.gate_blocks(lstm, "weight_hr")


@pytest.mark.parametrize("name", ["orthogonal_", "xavier_uniform_", "identity_", "forget_bias_"])
def test_what_is_no_number(name: str) -> None:
    kind = "RNN" if name == "identity_" else "LSTM"
    module = nn.RNN(H_in, H_out, nonlinearity="relu") if kind == "RNN" else nn.LSTM(H_in, H_out)
    argument = {"identity_": "scale", "forget_bias_": "value"}.get(name, "gain")
    call = getattr(schemes, name)
    message = f"{argument} should be a number, got str"
    refuses(lambda: call(module, "1"), module, TypeError, message)


@pytest.mark.parametrize(
    ("longest", "error", "message"),
    [
        ("9", TypeError, "longest should be a number, got str"),
        (1.9, ValueError, "longest should be at least 2 and finite in the dtype, got 1.9"),
        (math.inf, ValueError, "got inf"),
        (math.nan, ValueError, "got nan"),
    ],
)
def test_chrono_refuses(longest: Any, error: Any, message: str) -> None:
    lstm = nn.LSTM(H_in, H_out)
    refuses(lambda: schemes.chrono_(lstm, longest), lstm, error, message)


@pytest.mark.parametrize("name", ["forget_bias_", "chrono_"])
def test_biases_are_needed(name: str) -> None:
    initialise = INITIALISERS[name]
    for module in (nn.RNN(H_in, H_out), nn.RNNCell(H_in, H_out)):
        message = f"module of {name} should be an LSTM or a GRU, got {type(module).__name__}"
        refuses(lambda m=module: initialise(m), module, ValueError, message)  # type: ignore[misc] # the module of this round
    without = nn.GRU(H_in, H_out, bias=False)
    message = "module should have biases, got one with bias=False"
    refuses(lambda: initialise(without), without, ValueError, message)


def test_identity_refuses() -> None:
    for module, message in (
        (nn.GRU(H_in, H_out), "module of identity_ should be a plain RNN with relu, got GRU"),
        (
            nn.LSTMCell(H_in, H_out),
            "module of identity_ should be a plain RNN with relu, got LSTMCell",
        ),
        (nn.RNN(H_in, H_out), "nonlinearity should be 'relu', got 'tanh'"),
    ):
        refuses(lambda m=module: schemes.identity_(m), module, ValueError, message)  # type: ignore[misc] # the module of this round


@pytest.mark.parametrize("name", ["orthogonal_", "gate_blocks"])
def test_a_weight_that_is_computed(name: str) -> None:
    lstm = nn.LSTM(H_in, H_out, 2)
    parametrizations.weight_norm(lstm, "weight_hh_l1")
    message = "weight_hh_l1 should be a parameter of the module, got one that something computes"
    refuses(lambda: INITIALISERS[name](lstm), lstm, ValueError, message)


NO_NUMBERS: dict[Any, tuple[type[Exception], str]] = {
    None: (TypeError, "a number, got NoneType"),
    True: (TypeError, "a number, got bool"),
    1j: (TypeError, "a number, got complex"),
    math.nan: (ValueError, "finite in the dtype, got nan"),
    math.inf: (ValueError, "finite in the dtype, got inf"),
    -math.inf: (ValueError, "finite in the dtype, got -inf"),
    1e39: (ValueError, "finite in the dtype, got 1e"),
    10**400: (ValueError, "finite in the dtype, got 1000"),
}
NUMBERED: dict[str, tuple[Any, str]] = {
    "orthogonal_": (schemes.orthogonal_, "gain"),
    "xavier_uniform_": (schemes.xavier_uniform_, "gain"),
    "forget_bias_": (schemes.forget_bias_, "value"),
    "chrono_": (schemes.chrono_, "longest"),
    "identity_": (schemes.identity_, "scale"),
}


def good(name: str, **keywords: Any) -> nn.Module:
    if name == "identity_":
        return nn.RNN(H_in, H_out, 2, "relu", **keywords)
    return nn.LSTM(H_in, H_out, 2, **keywords)


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: str(value)[:9])
@pytest.mark.parametrize("name", NUMBERED)
def test_what_is_no_number_for_this(name: str, value: Any) -> None:
    error, message = NO_NUMBERS[value]
    call, argument = NUMBERED[name]
    module = good(name)
    refuses(lambda: call(module, value), module, error, f"{argument} should be .*{message}")


@pytest.mark.parametrize("name", ["orthogonal_", "xavier_uniform_"])
def test_a_gain_is_not_negative(name: str) -> None:
    module = good(name)
    message = "gain should be at least 0 and finite in the dtype, got -1.0"
    refuses(lambda: NUMBERED[name][0](module, -1.0), module, ValueError, message)
    NUMBERED[name][0](module, 0.0)
    kind = "weight_hh" if name == "orthogonal_" else "weight_ih"
    assert not any(rows.any() for _, _, rows in parts(module, kind))


@pytest.mark.parametrize("name", ["orthogonal_", "forget_bias_", "identity_", "xavier_uniform_"])
def test_a_number_that_half_cannot_hold(name: str) -> None:
    module = good(name, dtype=torch.float16)
    call = NUMBERED[name][0]
    refuses(lambda: call(module, 2**15), module, ValueError, "finite in the dtype, got 32768")
    call(module, 2**13)
    assert all(parameter.isfinite().all() for parameter in module.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", INITIALISERS)
def test_short_formats_hold_what_float32_has_rounded(name: str, dtype: torch.dtype) -> None:
    found = []
    for module in (good(name), good(name, dtype=dtype)):
        for parameter in module.parameters():
            nn.init.zeros_(parameter)
        torch.manual_seed(3)
        INITIALISERS[name](module)
        found.append(snapshot(module))
    assert any(p.any() for p in found[0].values()) == (name != "gate_blocks")
    for whole, rounded in zip(found[0].values(), found[1].values(), strict=True):
        assert rounded.dtype == dtype
        assert torch.equal(whole.to(dtype), rounded)


@pytest.mark.parametrize("generator", [3, "cpu", torch.Generator])
@pytest.mark.parametrize("name", DRAWING)
def test_what_is_no_generator(name: str, generator: Any) -> None:
    module = nn.LSTM(H_in, H_out)
    message = f"generator should be a torch.Generator, got {type(generator).__name__}"
    call = DRAWING[name]
    refuses(lambda: call(module, generator=generator), module, TypeError, message)


def inference(*shape: int) -> nn.Parameter:
    with torch.inference_mode():
        return nn.Parameter(torch.ones(shape), requires_grad=False)


LOST: dict[str, tuple[Callable[..., nn.Parameter], str]] = {
    "on meta": (lambda *shape: nn.Parameter(torch.ones(shape, device="meta")), "meta device"),
    "shape": (lambda *shape: nn.Parameter(torch.ones(*shape, 1)), r"of shape \(.*, got \("),
    "integers": (
        lambda *shape: nn.Parameter(torch.ones(shape).long(), requires_grad=False),
        "of floating-point numbers, got torch.int64",
    ),
    "inference": (inference, "can be written to, got an inference tensor"),
    "expanded": (
        lambda *shape: nn.Parameter(torch.ones((1,) * len(shape)).expand(shape)),
        "memory for each number, got an expanded one",
    ),
}


@pytest.mark.parametrize("case", LOST)
@pytest.mark.parametrize("name", INITIALISERS)
def test_nothing_is_changed_where_one_parameter_cannot_be(name: str, case: str) -> None:
    make, message = LOST[case]
    biases = ["bias_ih_l1", "bias_hh_l1"]
    kinds = {"xavier_uniform_": ["weight_ih_l1"], "forget_bias_": biases, "chrono_": biases,
             "identity_": ["weight_hh_l1", *biases]}  # fmt: skip # a table
    for parameter in kinds.get(name, ["weight_hh_l1"]):
        module = good(name)
        setattr(module, parameter, make(*module.get_parameter(parameter).shape))
        kept = {n: p.clone() for n, p in module.named_parameters() if n != parameter}
        with pytest.raises(ValueError, match=f"{parameter} should be .*{message}"):
            INITIALISERS[name](module)
        assert all(torch.equal(module.get_parameter(n), p) for n, p in kept.items())


@pytest.mark.parametrize("name", INITIALISERS)
def test_frozen_parameters_are_written(name: str) -> None:
    module, frozen = good(name), good(name).requires_grad_(False)
    frozen.load_state_dict(module.state_dict())
    for one in (module, frozen):
        torch.manual_seed(3)
        INITIALISERS[name](one)
    assert changed(frozen, snapshot(module)) == set()


def test_tied_layers_are_written() -> None:
    lstm: Any = nn.LSTM(H_out, H_out, 2)
    lstm.weight_hh_l1 = lstm.weight_hh_l0
    schemes.orthogonal_(lstm)
    for block in lstm.weight_hh_l1.detach().chunk(4):
        assert (block.T @ block - torch.eye(H_out)).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["forget_bias_", "chrono_"])
def test_one_parameter_for_both_biases(name: str) -> None:
    """The second would be written over the first."""
    lstm = nn.LSTM(H_in, H_out, 2)
    lstm.bias_hh_l1 = lstm.bias_ih_l1
    message = "bias_hh_l1 should be a parameter of its own, got that of bias_ih_l1"
    refuses(lambda: INITIALISERS[name](lstm), lstm, ValueError, message)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_learned_state(kind: str, bidirectional: bool) -> None:
    more = {"proj_size": proj_size} if kind == "LSTM" else {}
    module = getattr(nn, kind)(
        H_in, H_out, 2, bidirectional=bidirectional, dtype=torch.float64, **more
    )
    start = schemes.LearnedState(module)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    for a, b in zip(module(x, start(N)), module(x), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)  # zeros at first

    for state in start.parameters():
        nn.init.normal_(state)
    output, _ = module(x, start(N))
    for n in range(N):  # each sequence by itself, unbatched
        torch.testing.assert_close(
            module(x[:, n], start(None))[0], output[:, n], rtol=0, atol=1e-12
        )

    given = [s.detach().expand(-1, N, -1).clone().requires_grad_() for s in start.parameters()]
    hx = tuple(given) if kind == "LSTM" else given[0]
    expected = torch.autograd.grad(module(x, hx)[0].square().sum(), given)
    output.square().sum().backward()
    for state, gradient in zip(start.parameters(), expected, strict=True):
        torch.testing.assert_close(state.grad, gradient.sum(1, keepdim=True), rtol=0, atol=1e-12)
    shapes = {name: tuple(p.shape) for name, p in start.named_parameters()}
    count = 2 * (1 + bidirectional)
    if kind == "LSTM":
        assert shapes == {"h_0": (count, 1, proj_size), "c_0": (count, 1, H_out)}
    else:
        assert shapes == {"h_0": (count, 1, H_out)}
    assert all(state.is_contiguous() for state in given)


def test_learned_state_is_contiguous() -> None:
    assert schemes.LearnedState(nn.GRU(H_in, H_out))(N).is_contiguous()


@pytest.mark.parametrize("module", [nn.LSTMCell(2, 3), nn.Linear(2, 3), None])
def test_learned_state_of_what_has_no_layers(module: Any) -> None:
    with pytest.raises(TypeError, match=f"module .* with layers, .*, got {type(module).__name__}"):
        schemes.LearnedState(module)


class Count(int):
    """An integer of a kind of its own."""


@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
@pytest.mark.parametrize(
    ("N", "error"),
    [(-1, RuntimeError), (np.int64(-2), RuntimeError), (2.5, TypeError), ("3", TypeError),
     (True, TypeError), ([3], TypeError), (torch.tensor(3), TypeError), (math.nan, TypeError)],
    ids=str,
)  # fmt: skip # a table
def test_learned_state_of_no_batch(kind: str, N: Any, error: type[Exception]) -> None:
    start = schemes.LearnedState(getattr(nn, kind)(H_in, H_out))
    with pytest.raises(error, match=r"N should (be an integer or None|not be negative), got "):
        start(N)


@pytest.mark.parametrize("N", [0, 1, 3, np.int64(3), Count(3)])
def test_learned_state_of_a_batch(N: Any) -> None:
    gru = nn.GRU(H_in, H_out)
    start = schemes.LearnedState(gru)
    assert start(N).shape == (1, N, H_out)
    assert gru(torch.zeros(L, N, H_in), start(N))[1].shape == (1, N, H_out)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated")
def test_learned_state_is_traced() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(H_in, H_out)
            self.start = schemes.LearnedState(self.gru)

        def forward(self, x: Tensor) -> Tensor:
            output: Tensor = self.gru(x, self.start(x.size(1)))[0]
            return output

    net = Net()
    nn.init.normal_(net.start.h_0)
    traced: Any = torch.jit.trace(net, torch.zeros(L, N, H_in))  # type: ignore[no-untyped-call] # torch's
    x = torch.randn(L, 2, H_in)
    assert torch.equal(traced(x), net(x))


@pytest.mark.parametrize("module", [-1, 20, "LSTM", True])
def test_learned_state_of_a_size(module: Any) -> None:
    with pytest.raises(TypeError, match=f"module should be .*, got {type(module).__name__}"):
        schemes.LearnedState(module)


def test_learned_state_of_a_module_without_parameters() -> None:
    gru = nn.GRU(H_in, H_out)
    gru._parameters.clear()
    with pytest.raises(ValueError, match="module should have a parameter, got one without"):
        schemes.LearnedState(gru)

"""A step of your own: stacked, run in both directions, packed, masked and trained."""

import copy
import io
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

import unrolled
from tests.comparisons import KINDS, tensors
from tests.witness import Cell, witness
from unrolled import Order
from unrolled.layers import Weights, plain_direction

N, L, H_in, H_out = 3, 5, 10, 20
every_kind = pytest.mark.parametrize("kind", KINDS)


class NormedLSTM(nn.Module):
    """Layer normalisation of the gates and of the cell state."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.LayerNorm(4 * H_out, dtype=torch.float64)
        self.cell = nn.LayerNorm(H_out, dtype=torch.float64)
        for parameter in self.parameters():
            nn.init.normal_(parameter)

    def forward(
        self,
        x_projected: Tensor,
        state: tuple[Tensor, Tensor],
        weight_hh: Tensor,
        bias_hh: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        h, c = state
        i, f, g, o = self.gates(x_projected + unrolled.linear(h, weight_hh, bias_hh)).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * self.cell(c).tanh(), c


class Peepholes(nn.Module):
    """The gates also see the cell state: F. A. Gers, J. Schmidhuber, "Recurrent nets that time
    and count" (2000)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, H_out, dtype=torch.float64))

    def forward(
        self,
        x_projected: Tensor,
        state: tuple[Tensor, Tensor],
        weight_hh: Tensor,
        bias_hh: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        h, c = state
        i, f, g, o = (x_projected + unrolled.linear(h, weight_hh, bias_hh)).chunk(4, -1)
        p_i, p_f, p_o = self.weight
        new = torch.sigmoid(f + p_f * c) * c + torch.sigmoid(i + p_i * c) * torch.tanh(g)
        return torch.sigmoid(o + p_o * new) * torch.tanh(new), new


class ScaledSine(nn.Module):
    """Another activation, with a factor that is learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.rand((), dtype=torch.float64))

    def forward(
        self, x_projected: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Tensor | None
    ) -> Tensor:
        return torch.sin(self.factor * (x_projected + unrolled.linear(h, weight_hh, bias_hh)))


class PaperGRU(nn.Module):
    """The reset gate before the product, as in the paper."""

    def forward(
        self, x_projected: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Tensor | None
    ) -> Tensor:
        H = h.shape[-1]
        bias_rz, bias_n = (None, None) if bias_hh is None else (bias_hh[: 2 * H], bias_hh[2 * H :])
        both = unrolled.linear(h, weight_hh[: 2 * H], bias_rz)
        r, z = torch.sigmoid(x_projected[..., : 2 * H] + both).chunk(2, -1)
        inner = unrolled.linear(r * h, weight_hh[2 * H :], bias_n)
        return torch.lerp(torch.tanh(x_projected[..., 2 * H :] + inner), h, z)


# The same, written once more by hand for one sequence in NumPy, from the formulas alone.


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def before_activation(x: Any, h: Any, W: Any, U: Any, b: Any, c: Any) -> Any:
    total = np.einsum("gi,i->g", W, x) + np.einsum("gh,h->g", U, h)
    return total if b is None else total + b + c


def layer_norm(a: Any, norm: nn.LayerNorm) -> Any:
    weight, bias = (p.detach().numpy() for p in (norm.weight, norm.bias))
    return (a - a.mean()) / np.sqrt(a.var() + 1e-5) * weight + bias


def cell_of(step: nn.Module) -> Cell:
    def normed(x: Any, state: Any, W: Any, U: Any, b: Any, c: Any, R: Any) -> Any:
        assert isinstance(step, NormedLSTM)
        gates = layer_norm(before_activation(x, state[0], W, U, b, c), step.gates)
        i, f, g, o = gates.reshape(4, H_out)
        c_t = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        h_t = sigmoid(o) * np.tanh(layer_norm(c_t, step.cell))
        return h_t if R is None else np.einsum("ph,h->p", R, h_t), c_t

    def peepholes(x: Any, state: Any, W: Any, U: Any, b: Any, c: Any, R: Any) -> Any:
        p: Any = next(step.parameters()).detach().numpy()
        i, f, g, o = before_activation(x, state[0], W, U, b, c).reshape(4, H_out)
        i, f = sigmoid(i + p[0] * state[1]), sigmoid(f + p[1] * state[1])
        c_t = f * state[1] + i * np.tanh(g)
        h_t = sigmoid(o + p[2] * c_t) * np.tanh(c_t)
        return h_t if R is None else np.einsum("ph,h->p", R, h_t), c_t

    def sine(x: Any, state: Any, W: Any, U: Any, b: Any, c: Any, _: Any) -> Any:
        factor = next(step.parameters()).item()
        return (np.sin(factor * before_activation(x, state[0], W, U, b, c)),)

    def paper(x: Any, state: Any, W: Any, U: Any, b: Any, c: Any, _: Any) -> Any:
        (h,), H = state, H_out
        b, c = (np.zeros(3 * H), np.zeros(3 * H)) if b is None else (b, c)
        rz, n = slice(2 * H), slice(2 * H, None)
        r, z = sigmoid(before_activation(x, h, W[rz], U[rz], b[rz], c[rz])).reshape(2, H)
        n = np.tanh(before_activation(x, r * h, W[n], U[n], b[n], c[n]))
        return ((1 - z) * n + z * h,)

    cells: dict[type, Cell] = {
        NormedLSTM: normed, Peepholes: peepholes, ScaledSine: sine, PaperGRU: paper
    }  # fmt: skip # a table
    return cells[type(step)]


CUSTOM: dict[str, tuple[str, type[nn.Module], dict[str, Any]]] = {
    "layer normalisation": ("LSTM", NormedLSTM, {}),
    "layer normalisation and a projection": ("LSTM", NormedLSTM, {"proj_size": 7}),
    "peepholes": ("LSTM", Peepholes, {}),
    "peepholes and a projection": ("LSTM", Peepholes, {"proj_size": 7, "bias": False}),
    "sine": ("RNN", ScaledSine, {}),
    "sine without biases": ("RNN", ScaledSine, {"bias": False}),
    "paper": ("GRU", PaperGRU, {}),
    "paper without biases": ("GRU", PaperGRU, {"bias": False}),
}


def build(
    name: str, each: bool = False, **more: Any
) -> tuple[Any, list[nn.Module], Tensor, list[Tensor]]:
    """Build two layers in two directions with a step of its own, or with four."""
    kind, step_type, keywords = CUSTOM[name]
    torch.manual_seed(0)
    steps = [step_type() for _ in range(4 if each else 1)]
    step = nn.ModuleList(steps) if each else steps[0]
    module = getattr(unrolled, kind)(
        H_in, H_out, 2, bidirectional=True, dtype=torch.float64, step=step, **keywords, **more
    )
    widths = [keywords.get("proj_size", H_out), H_out][: 1 + (kind == "LSTM")]
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    states = [torch.randn(4, N, width, dtype=torch.float64) for width in widths]
    return module, steps if each else steps * 4, x, states


def hx_of(states: list[Tensor]) -> Any:
    return tuple(states) if len(states) > 1 else states[0]


def numbers(values: list[Any]) -> list[Any]:
    return [value.detach().numpy() for value in values]


@pytest.mark.no_cover
@pytest.mark.parametrize("each", [False, True])
@pytest.mark.parametrize("layout", ["batched", "mask", "lengths", "packed"])
@pytest.mark.parametrize("name", CUSTOM)
def test_own_step_against_a_loop_by_hand(name: str, layout: str, each: bool) -> None:
    module, steps, x, states = build(name, each)
    lengths = [2, 5, 3]
    mask = np.arange(L)[:, None] < np.array(lengths)
    if layout == "mask":
        mask = np.random.default_rng(0).random((L, N)) < 0.6
    cells = [cell_of(step) for step in steps]
    arrays = numbers(states)
    counted = None if layout == "batched" else mask
    expected, last, every = witness(cells, module, x.numpy(), arrays, counted)
    if layout == "packed":
        packed = pack_sequence([x[:n, i] for i, n in enumerate(lengths)], enforce_sorted=False)
        output, ends = module(packed, hx_of(states))
        output, _ = pad_packed_sequence(output)
    else:
        keywords: dict[str, dict[str, Any]] = {
            "batched": {},
            "mask": {"mask": torch.tensor(mask)},
            "lengths": {"lengths": lengths},
        }
        output, ends, asked = module(x, hx_of(states), **keywords[layout], all_states=True)
        for layer, parts in enumerate(every):
            for got, part in zip((asked.h, asked.c), parts, strict=False):
                np.testing.assert_allclose(got[layer].detach(), part, rtol=0, atol=1e-12)
    for a, b in zip((output, *tensors(ends)), (expected, *last), strict=True):
        np.testing.assert_allclose(a.detach(), b, rtol=0, atol=1e-12)


@pytest.mark.no_cover
@pytest.mark.parametrize("name", CUSTOM)
def test_gradients_of_an_own_step_against_differences(name: str) -> None:
    module, _, x, _ = build(name, each=True)
    names = [name for name, _ in module.named_parameters()]
    leaves = [x[:2, :2].requires_grad_(), *module.parameters()]

    def call(x: Tensor, *parameters: Tensor) -> Any:
        values = dict(zip(names, parameters, strict=True))
        output, last = functional_call(module, values, (x,), {"lengths": [2, 1]})
        return (output, *tensors(last))

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, leaves, fast_mode=True)


@pytest.mark.parametrize(
    ("kind", "step", "keywords"),
    [
        ("RNN", unrolled.rnn_step, {}),
        ("GRU", unrolled.gru_step, {}),
        ("LSTM", unrolled.lstm_step, {}),
        ("LSTM", unrolled.lstm_step, {"proj_size": 7}),
    ],
)
def test_step_of_the_package_as_an_own_step_changes_nothing(
    kind: str, step: Any, keywords: dict[str, Any]
) -> None:
    results = []
    for own in (None, step):
        torch.manual_seed(0)
        module = getattr(unrolled, kind)(
            H_in, H_out, 3, bidirectional=True, dropout=0.5, step=own, **keywords
        )
        output, last = module(torch.randn(L, N, H_in))
        gradients = torch.autograd.grad(output.sum(), list(module.parameters()))
        results.append([output, *tensors(last), *gradients])
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("as_list", [list, tuple, nn.ModuleList])
def test_each_layer_and_direction_has_its_step_in_the_order_of_h_n(as_list: Any) -> None:
    class Constant(nn.Module):
        def __init__(self, value: int) -> None:
            super().__init__()
            self.value = value

        def forward(self, x_projected: Tensor, h: Tensor, *_: Any) -> Tensor:
            return torch.full_like(h, self.value)

    steps = as_list([Constant(number) for number in range(6)])
    module = unrolled.GRU(H_in, H_out, 3, bidirectional=True, step=steps)
    output, h_n = module(torch.zeros(L, N, H_in))
    assert h_n[:, 0, 0].tolist() == [0, 1, 2, 3, 4, 5]
    assert output[0, 0, [0, -1]].tolist() == [4, 5]


def test_functions_as_steps() -> None:
    def add(x_projected: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Any) -> Tensor:
        assert weight_hh.shape == (H_out, H_out)
        assert bias_hh is None
        return h + x_projected

    module = unrolled.RNN(H_in, H_out, 2, bias=False, step=[add, unrolled.rnn_step])
    x = torch.randn(L, N, H_in)
    states = module(x, all_states=True)[2].h
    expected = (x @ module.get_parameter("weight_ih_l0").T).cumsum(0)
    torch.testing.assert_close(states[0], expected, rtol=0, atol=1e-5)
    assert [name for name, _ in module.named_parameters()] == [
        *("weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1")
    ]


@pytest.mark.parametrize("each", [False, True])
def test_parameters_of_a_step_are_trained_moved_and_saved(each: bool) -> None:
    module, steps, x, _ = build("peepholes", each)
    own = [name for name in module.state_dict() if name.startswith("step")]
    assert len(own) == (4 if each else 1)
    before = copy.deepcopy(module.state_dict())
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    module(x)[0].pow(2).sum().backward()
    optimizer.step()
    for name, value in module.state_dict().items():
        assert not torch.equal(value, before[name]), name
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other, *_ = build("peepholes", each)
    other.load_state_dict(torch.load(file))
    assert torch.equal(other(x)[0], module(x)[0])
    assert {p.dtype for p in module.float().parameters()} == {torch.float32}
    assert module(x.float())[0].dtype == torch.float32
    assert torch.equal(copy.deepcopy(other)(x)[0], other(x)[0])
    module.eval()
    assert not any(step.training for step in steps)


def test_names_of_the_other_parameters_are_those_of_torch() -> None:
    module, *_ = build("peepholes")
    theirs = nn.LSTM(H_in, H_out, 2, bidirectional=True, dtype=torch.float64)
    shared = [name for name in module.state_dict() if not name.startswith("step")]
    assert shared == list(theirs.state_dict())


def test_parameters_of_the_module_are_drawn_as_without_a_step() -> None:
    step = Peepholes()
    torch.manual_seed(0)
    expected = nn.LSTM(H_in, H_out, dtype=torch.float64).state_dict()
    torch.manual_seed(0)
    module = unrolled.LSTM(H_in, H_out, dtype=torch.float64, step=step)
    for name, value in expected.items():
        assert torch.equal(module.state_dict()[name], value)


@pytest.mark.no_cover
def test_own_step_is_vectorised_and_compiled() -> None:
    module, _, x, states = build("layer normalisation", each=True)
    hx = hx_of(states)
    expected, _ = module(x, hx)
    output, _ = vmap(module, in_dims=1, out_dims=1)(x, hx)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.compiler.reset()
    compiled: Any = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x[:3], hx)[0], module(x[:3], hx)[0], rtol=0, atol=1e-12)

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(module, parameters, (x,))[0].pow(2).sum()

    parameters = {name: p.detach() for name, p in module.named_parameters()}
    each = vmap(grad(loss), in_dims=(None, 1))(parameters, x)
    for n in range(N):
        alone = torch.autograd.grad(module(x[:, n])[0].pow(2).sum(), list(module.parameters()))
        for name, gradient in zip(parameters, alone, strict=True):
            torch.testing.assert_close(each[name][n], gradient, rtol=0, atol=1e-11)


def test_dropout_inside_a_step_follows_the_mode() -> None:
    class Dropping(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x_projected: Tensor, h: Tensor, U: Tensor, b: Tensor) -> Tensor:
            return self.drop(unrolled.rnn_step(x_projected, h, U, b))

    module = unrolled.RNN(H_in, H_out, step=Dropping())
    x = torch.randn(L, N, H_in)
    assert not torch.equal(module(x)[0], module(x)[0])
    module.eval()
    assert torch.equal(module(x)[0], unrolled_without_step(module)(x)[0])


def unrolled_without_step(module: unrolled.RNN) -> unrolled.RNN:
    other = unrolled.RNN(H_in, H_out)
    other.load_state_dict(module.state_dict())
    return other


@every_kind
@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        (3, TypeError, "step should be callable or a sequence of callables, got int"),
        ("tanh", TypeError, "step"),
        ([torch.tanh, 3, torch.tanh, torch.tanh], TypeError, r"step\[1\] .* callable, got int"),
        ([torch.tanh] * 3, ValueError, "step should have 4 callables, .* got 3"),
        ([], ValueError, "step should have 4 callables, .* got 0"),
        (nn.ModuleList([nn.Tanh()] * 5), ValueError, "step should have 4 callables, .* got 5"),
        (True, TypeError, "step .* got bool"),
        ({"a": torch.tanh}, TypeError, "step"),
    ],
)
def test_what_is_no_step(kind: str, step: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        getattr(unrolled, kind)(H_in, H_out, 2, bidirectional=True, step=step)


@pytest.mark.parametrize(
    ("kind", "step", "error", "message"),
    [
        ("RNN", lambda x, h, U, b: h[:, :-1], RuntimeError, r"h of shape \(3, 20\), got \(3, 19\)"),
        ("RNN", lambda x, h, U, b: h[:1], RuntimeError, r"h of shape \(3, 20\), got \(1, 20\)"),
        ("RNN", lambda x, h, U, b: (h,), TypeError, "h as a Tensor, got tuple"),
        ("GRU", lambda x, h, U, b: x, RuntimeError, r"h of shape \(3, 20\), got \(3, 60\)"),
        ("GRU", lambda x, h, U, b: None, TypeError, "h as a Tensor, got NoneType"),
        ("LSTM", lambda x, s, U, b: s[0], TypeError, r"step should return \(h, c\), got Tensor"),
        ("LSTM", lambda x, s, U, b: (*s, s[0]), TypeError, r"step should return \(h, c\), got"),
        ("LSTM", lambda x, s, U, b: (x, s[1]), RuntimeError, r"h of shape .*, got \(3, 80\)"),
        ("LSTM", lambda x, s, U, b: (s[0], x), RuntimeError, r"c of shape .*, got \(3, 80\)"),
        ("LSTM", lambda x, s, U, b: (s[0], 1.0), TypeError, "c as a Tensor, got float"),
    ],
)
def test_what_a_step_may_not_return(
    kind: str, step: Any, error: type[Exception], message: str
) -> None:
    module = getattr(unrolled, kind)(H_in, H_out, step=step)
    with pytest.raises(error, match=message):
        module(torch.zeros(L, N, H_in))


def test_step_of_an_lstm_sees_the_whole_hidden_state_before_the_projection() -> None:
    def step(x: Tensor, state: Any, U: Tensor, b: Tensor) -> Any:
        h, c = state
        assert (h.shape[-1], c.shape[-1], U.shape) == (7, H_out, (4 * H_out, 7))
        return h, c  # of proj_size, and so not what is projected

    module = unrolled.LSTM(H_in, H_out, proj_size=7, step=step)
    with pytest.raises(RuntimeError, match=r"h of shape \(3, 20\), got \(3, 7\)"):
        module(torch.zeros(L, N, H_in))


def test_step_is_a_keyword() -> None:
    with pytest.raises(TypeError):
        unrolled.GRU(H_in, H_out, 1, True, False, 0.0, False, 0, None, None, unrolled.gru_step)  # type: ignore[call-arg] # the mistake
    with pytest.raises(TypeError, match="step"):
        nn.GRU(H_in, H_out, step=unrolled.gru_step)


def test_reset_parameters_leaves_a_step_of_your_own_alone() -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.LayerNorm(7)

        def forward(self, x_projected: Tensor, h: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
            return torch.tanh(self.norm(x_projected + h @ weight.T + bias))

    step = Normalised()
    rnn = unrolled.RNN(5, 7, step=step)
    before = {name: value.clone() for name, value in rnn.named_parameters()}
    rnn.reset_parameters()
    moved = [name for name, value in rnn.named_parameters() if not torch.equal(value, before[name])]
    assert moved == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert torch.equal(step.norm.weight, torch.ones(7))


def minimal_gated(x_projected: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Any) -> Tensor:
    """One gate, which also resets: two blocks."""
    W_f, W_n = weight_hh.chunk(2)
    b_f, b_n = bias_hh.chunk(2)
    x_f, x_n = x_projected.chunk(2, -1)
    f = (x_f + unrolled.linear(h, W_f, b_f)).sigmoid()
    return (1 - f) * h + f * (x_n + unrolled.linear(f * h, W_n, b_n)).tanh()


@pytest.mark.parametrize("reverse", [False, True])
def test_a_plain_direction_takes_two_blocks(reverse: bool) -> None:
    torch.manual_seed(3)
    shapes = ((2 * H_out, H_in), (2 * H_out, H_out), (2 * H_out,), (2 * H_out,))
    weights = [torch.randn(shape, dtype=torch.float64) / 4 for shape in shapes]
    x, h_0 = torch.randn(L, N, H_in).double(), torch.randn(N, H_out).double()
    states, last = plain_direction(minimal_gated, x, h_0, Weights(*weights), Order(reverse))
    W_ih, W_hh, b_ih, b_hh = (weight.numpy() for weight in weights)
    h, expected = h_0.numpy(), np.empty((L, N, H_out))
    for t in range(L)[:: -1 if reverse else 1]:
        x_f, x_n = np.split(x[t].numpy() @ W_ih.T + b_ih + b_hh, 2, axis=1)
        f = 1 / (1 + np.exp(-x_f - h @ W_hh[:H_out].T))
        h = expected[t] = (1 - f) * h + f * np.tanh(x_n + (f * h) @ W_hh[H_out:].T)
    np.testing.assert_allclose(states, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(last, h, rtol=0, atol=1e-12)


def test_a_step_may_leave_blocks_unused() -> None:
    """Of the three of a GRU, this one reads the first: a plain RNN."""

    def first(x_projected: Tensor, h: Tensor, weight_hh: Tensor, bias_hh: Any) -> Tensor:
        x, W, b = x_projected[..., :H_out], weight_hh[:H_out], bias_hh[:H_out]
        return unrolled.rnn_step(x, h, W, b)

    gru = unrolled.GRU(H_in, H_out, step=first, dtype=torch.float64)
    rnn = nn.RNN(H_in, H_out, dtype=torch.float64)
    rnn.load_state_dict({name: p[:H_out] for name, p in gru.named_parameters()})
    x, h_0 = torch.randn(L, N, H_in).double(), torch.randn(1, N, H_out).double()
    for ours, theirs in zip(gru(x, h_0), rnn(x, h_0), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)

from collections import Counter
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from tests.comparisons import KINDS, onednn, tensors
from unrolled import Order
from unrolled._scan import each
from unrolled.layers import STEPS, Weights, masked_direction, plain_direction, run_network
from unrolled.layers import weights_of as collected

L, N, H_in, H_out = 5, 3, 10, 20


TANH = partial(plain_direction, STEPS["RNN_TANH"])


def weights_of(rnn: nn.RNNBase, on_arrays: bool = False) -> list[list[Weights[Any]]]:
    """Give the parameters by layer and direction."""
    each = []
    for group in rnn.all_weights:
        found: list[Any] = [p.detach().numpy() if on_arrays else p for p in group]
        if not rnn.bias:
            found[2:2] = [None, None]  # before weight_hr
        each.append(Weights[Any](*found))
    D = 2 if rnn.bidirectional else 1
    return [each[first : first + D] for first in range(0, len(each), D)]


def network(
    kind: str = "RNN", dtype: torch.dtype = torch.float64, **keywords: Any
) -> tuple[Any, Tensor, list[Tensor]]:
    """Build a module of `torch.nn`, its input and its states."""
    torch.manual_seed(0)
    module = getattr(nn, kind)(H_in, H_out, dtype=dtype, **keywords)
    rows = module.num_layers * (2 if module.bidirectional else 1)
    widths = [keywords.get("proj_size", H_out), H_out][: 1 + (kind == "LSTM")]
    x = torch.randn(L, N, H_in, dtype=dtype)
    return module, x, [torch.randn(rows, N, width, dtype=dtype) for width in widths]


def by_direction(states: list[Any]) -> list[Any]:
    """Give the state of each layer and direction."""
    return list(zip(*states, strict=True)) if len(states) > 1 else list(states[0])


def run(module: Any, x: Any, states: list[Any], mask: Any = None, **keywords: Any) -> list[Any]:
    """Run a network on tensors or arrays: output, h_n and, of an LSTM, c_n."""
    on_arrays = isinstance(x, np.ndarray)
    layers, step = weights_of(module, on_arrays), STEPS[module.mode]
    direction = partial(plain_direction, step)
    if mask is not None:
        direction = partial(masked_direction, step, mask)
    directions = [direction] * sum(map(len, layers))
    results = run_network(directions, x, by_direction(states), layers, **keywords)
    stack: Any = np.stack if on_arrays else torch.stack
    return [results.output, *map(stack, zip(*map(tensors, results.last), strict=True))]


def theirs(module: Any, x: Tensor, states: list[Tensor]) -> list[Tensor]:
    with onednn(False):
        output, last = module(x, tuple(states) if len(states) > 1 else states[0])
    return [output, *tensors(last)]


KINDS_AND_MORE: list[tuple[str, dict[str, Any]]] = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("GRU", {}),
    ("LSTM", {}),
    ("LSTM", {"proj_size": 7}),
]
CASES: list[tuple[str, dict[str, Any]]] = [
    (kind, {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias} | more)
    for (kind, more), num_layers, bidirectional, bias in product(
        KINDS_AND_MORE,
        (1, 2, 3), (False, True), (True, False),
    )
]  # fmt: skip # a table


@pytest.mark.no_cover
@pytest.mark.parametrize(("kind", "keywords"), CASES)
def test_network_on_tensors_and_arrays(kind: str, keywords: dict[str, Any]) -> None:
    module, x, states = network(kind, **keywords)
    expected = theirs(module, x, states)
    for a, b in zip(run(module, x, states), expected, strict=True):
        assert torch.equal(a, b)
    arrays = run(module, x.numpy(), [state.numpy() for state in states])
    for a, b in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(a, b.detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_network_on_float32_arrays(kind: str) -> None:
    module, x, states = network(kind, torch.float32, num_layers=2, bidirectional=True)
    arrays = run(module, x.numpy(), [state.numpy() for state in states])
    for a, b in zip(arrays, theirs(module, x, states), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_allclose(a, b.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_mask_on_arrays(kind: str) -> None:
    module, x, states = network(kind, num_layers=2, bidirectional=True)
    mask = torch.arange(L)[:, None] < torch.tensor([2, 5, 0])
    expected = run(module, x, states, mask=mask)
    arrays = run(module, x.numpy(), [state.numpy() for state in states], mask=mask.numpy())
    for a, b in zip(arrays, expected, strict=True):
        np.testing.assert_allclose(a, b.detach(), rtol=0, atol=1e-12)


def test_two_directions_are_two_networks_and_a_flip() -> None:
    rnn, x, (h_0,) = network(bidirectional=True)
    forward, reverse = weights_of(rnn)[0]
    both = run_network([TANH] * 2, x, list(h_0), [[forward, reverse]])
    h_forward, h_reverse = both.last
    there = run_network([TANH], x, [h_0[0]], [[forward]])
    back = run_network([TANH], x.flip(0), [h_0[1]], [[reverse]])
    # Not bit for bit: where a row stands in a matrix may decide how its products are summed.
    expected = torch.cat([there.output, back.output.flip(0)], -1)
    torch.testing.assert_close(both.output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(h_forward, there.last[0], rtol=0, atol=1e-12)
    torch.testing.assert_close(h_reverse, back.last[0], rtol=0, atol=1e-12)
    assert torch.equal(h_reverse, both.output[0, :, H_out:])  # the reverse direction ends at 0
    assert both.every == []


def test_one_direction_is_not_copied() -> None:
    rnn, x, (h_0,) = network()
    ran = TANH(x, h_0[0], weights_of(rnn)[0][0], Order())
    results = run_network([lambda *_: ran], x, [h_0[0]], weights_of(rnn), all_states=True)
    assert results.output is results.every[0] is ran[0]
    assert results.last[0] is ran[1]


def test_each_direction_has_its_own_step() -> None:
    rnn, x, (h_0,) = network(bidirectional=True, num_layers=2)
    relu = partial(plain_direction, STEPS["RNN_RELU"])
    directions = [relu, TANH, TANH, relu]
    results = run_network(directions, x, list(h_0), weights_of(rnn), all_states=True)
    inputs = x
    for layer, weights in enumerate(weights_of(rnn)):
        sides = []
        for direction in range(2):
            at = 2 * layer + direction
            order = Order(reverse=direction == 1)
            states, last = directions[at](inputs, h_0[at], weights[direction], order)
            sides.append(states)
            assert torch.equal(last, results.last[at])
        inputs = torch.cat(sides, -1)
        assert torch.equal(results.every[layer], inputs)
    assert torch.equal(results.output, inputs)


def test_dropout_is_a_new_mask_between_layers() -> None:
    rnn, x, (h_0,) = network(num_layers=3, dropout=0.4)
    torch.manual_seed(1)
    output, h_n = run(rnn, x, [h_0], dropout=0.4)
    torch.manual_seed(1)
    inputs, last = x, []
    for layer, weights in enumerate(weights_of(rnn)):
        results = run_network([TANH], inputs, [h_0[layer]], [weights])
        inputs = results.output
        last.append(results.last[0])  # what drops out does not touch the states
        if layer < 2:
            inputs = nn.functional.dropout(inputs, 0.4)
    assert torch.equal(output, inputs)
    assert torch.equal(h_n, torch.stack(last))


def test_dropout_of_everything() -> None:
    rnn, x, (h_0,) = network(num_layers=2, bias=False)
    output, _ = run(rnn, x, [h_0], dropout=1.0)
    nothing = torch.zeros(L, N, H_out).double()
    without = run_network([TANH], nothing, [h_0[1]], weights_of(rnn)[1:])
    assert torch.equal(output, without.output)


def test_dropout_scales_what_is_kept() -> None:
    # Ones in, ones as weights: every output is a multiple of 2 * 10, and h_n is untouched.
    rnn = nn.RNN(10, 1000, 2, nonlinearity="relu", bias=False)
    for parameter in rnn.parameters():
        nn.init.ones_(parameter)
    torch.manual_seed(1)
    output, h_n = run(rnn, torch.ones(1, 1, 10), [torch.zeros(2, 1, 1000)], dropout=0.5)
    assert (h_n[0] == 10).all()
    assert torch.equal(output[0], h_n[1])
    assert (output == output[0, 0, 0]).all()
    assert output[0, 0, 0] % 20 == 0
    assert 8_000 < output[0, 0, 0] < 12_000
    assert output[0, 0, 0] != 10_000


def test_dropout_needs_torch() -> None:
    rnn, x, (h_0,) = network(num_layers=2)
    message = r"^dropout should be 0 for inputs of type ndarray, got 0.5: only torch.Tensor has it$"
    with pytest.raises(TypeError, match=message):
        run(rnn, x.numpy(), [h_0.numpy()], dropout=0.5)


def test_packing_needs_torch() -> None:
    rnn, x, (h_0,) = network()
    with pytest.raises(TypeError, match=r"order.sizes should be None .* ndarray, got \[2, 1\]"):
        run(rnn, x[:, 0].numpy(), [h_0.numpy()], sizes=[2, 1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", [False, True])
def test_packed_direction(kind: str, reverse: bool) -> None:
    module, x, states = network(kind, bidirectional=True)
    weights, step = weights_of(module)[0][reverse], STEPS[module.mode]
    lengths = [5, 3, 2]
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths)
    initial = by_direction(states)[0]
    sizes = packed.batch_sizes.tolist()
    states, last = plain_direction(step, packed.data, initial, weights, Order(reverse, sizes))
    starts = np.cumsum([0, *sizes])
    for n, length in enumerate(lengths):
        alone, alone_last = plain_direction(
            step, x[:length, n : n + 1], each(lambda h, n=n: h[n : n + 1], initial), weights,
            Order(reverse),
        )  # fmt: skip # as wide as the page
        for a, b in zip(tensors(states), tensors(alone), strict=True):
            rows = a[starts[:length] + n]
            torch.testing.assert_close(rows, b[:, 0], rtol=0, atol=1e-12)
        for a, b in zip(tensors(last), tensors(alone_last), strict=True):
            torch.testing.assert_close(a[n], b[0], rtol=0, atol=1e-12)


def good_direction(kind: str = "RNN", **keywords: Any) -> dict[str, Any]:
    """Give arguments that a direction takes."""
    module, x, states = network(kind, **keywords)
    return {
        "step": STEPS[module.mode],
        "inputs": x,
        "initial": by_direction(states)[0],
        "weights": weights_of(module)[0][0],
        "order": Order(),
    }


def zeros(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


REFUSED: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "no steps": ("RNN", {"inputs": zeros(0, N, H_in)}, RuntimeError, "inputs .* one time step"),
    "inputs 2D": ("RNN", {"inputs": zeros(N, H_in)}, RuntimeError, "inputs should be 3D, got 2D"),
    "features": ("RNN", {"inputs": zeros(L, N, 11)}, RuntimeError, "inputs .* 10 features, .* 11"),
    "dtype": ("RNN", {"inputs": zeros(L, N, H_in).float()}, RuntimeError, "h .*float32.*float64"),
    "array": ("RNN", {"inputs": np.zeros((L, N, H_in))}, TypeError, "h .*ndarray like inputs, got"),
    "h of one row": ("RNN", {"initial": zeros(1, H_out)}, RuntimeError, "h .*3, 20.*got .1, 20"),
    "h unbatched": ("RNN", {"initial": zeros(H_out)}, RuntimeError, r"h .*3, 20.*got \(20,\)"),
    "h an array": ("RNN", {"initial": np.zeros((N, H_out))}, TypeError, "h .*got ndarray"),
    "h too narrow": ("RNN", {"initial": zeros(N, 7)}, RuntimeError, "weight_hh .*20, 7.*20, 20"),
    "weight_hh 1D": ("RNN", {"weight_hh": zeros(H_out)}, RuntimeError, "weight_hh .*20, 20.*20,"),
    "weight_hh an array": ("RNN", {"weight_hh": np.eye(20)}, TypeError, "weight_hh .*got ndarray"),
    "bias_ih of one": ("RNN", {"bias_ih": zeros(1)}, RuntimeError, r"bias_ih .*20,\), got \(1,\)"),
    "bias_hh of rows": ("RNN", {"bias_hh": zeros(N, H_out)}, RuntimeError, r"bias_hh .*20,\), got"),
    "one gate": ("GRU", {"weight_ih": zeros(1, H_in)}, RuntimeError, "weight_ih .*60, 10.*1, 10"),
    "h of a GRU": ("GRU", {"initial": zeros(1, H_out)}, RuntimeError, "h .*3, 20.*got .1, 20"),
    "c of one row": (
        "LSTM", {"initial": (zeros(N, H_out), zeros(1, H_out))}, RuntimeError, "c .*3, 20.*1, 20"
    ),
    "weight_hr": (
        "LSTM with a projection", {"weight_hr": zeros(8, 20)}, RuntimeError, "weight_hr .*7, 20"
    ),
    "c projected": (
        "LSTM with a projection", {"initial": (zeros(N, 7), zeros(N, 7))}, RuntimeError, "c .*3, 20"
    ),
}  # fmt: skip # a table


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("masked", [False, True])
def test_what_a_direction_refuses(case: str, masked: bool) -> None:
    name, change, error, message = REFUSED[case]
    kind, _, projection = name.partition(" ")
    arguments = good_direction(kind, **({"proj_size": 7} if projection else {}))
    plain_direction(**arguments)
    for name, value in change.items():
        if name in arguments:
            arguments[name] = value
        else:
            arguments["weights"] = arguments["weights"]._replace(**{name: value})
    direction: Any = plain_direction
    if masked:
        mask: Any = torch.ones(arguments["inputs"].shape[:2], dtype=torch.bool)
        if isinstance(arguments["inputs"], np.ndarray):
            mask = mask.numpy()
        direction = partial(masked_direction, mask=mask)
    with pytest.raises(error, match=f"^{message}"):
        direction(**arguments)


class Count(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch's is untyped
    """Count what reaches the kernels."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # the same
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.counts[func.overloadpacket.__name__.rstrip("_")] += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("RNN", {"addmm": 1 + L, "tanh": L}),
        ("GRU", {"addmm": 1 + L, "tanh": L, "sigmoid": 2 * L}),
        ("LSTM", {"addmm": 1 + L, "tanh": 2 * L, "sigmoid": 3 * L}),
    ],
)
def test_input_is_projected_once(kind: str, expected: dict[str, int]) -> None:
    module, x, states = network(kind)
    with Count() as ours:
        run(module, x, states)
    with Count() as others:
        theirs(module, x, states)
    for name, count in expected.items():
        assert ours.counts[name] == others.counts[name] == count, name


@pytest.mark.parametrize("name", ["mask", "resets"])
@pytest.mark.parametrize("shape", [(1, N), (L, 1), (L + 1, N), (N, L), (L,)])
def test_flags_that_broadcast_are_refused(name: str, shape: tuple[int, ...]) -> None:
    flags: dict[str, Any] = {"mask": None, name: torch.ones(shape, dtype=torch.bool)}
    with pytest.raises(RuntimeError, match=rf"^{name} should have shape \(5, 3\), got"):
        masked_direction(**flags, **good_direction())


@pytest.mark.parametrize("flags", [{}, {"resets": torch.ones(11, dtype=torch.bool)}])
def test_flags_for_packed_inputs_are_refused(flags: dict[str, Any]) -> None:
    given = good_direction() | {"inputs": zeros(11, H_in), "order": Order(sizes=[3, 3, 2, 2, 1])}
    message = (
        r"^order.sizes should be None, since packed inputs have no mask and no resets, "
        r"got \[3, 3, 2, 2, 1\]$"
    )
    with pytest.raises(ValueError, match=message):
        masked_direction(mask=None, **flags, **given)


def as_array(parameter: Tensor) -> Any:
    return parameter.detach().numpy()


@pytest.mark.parametrize(("kind", "keywords"), CASES)
def test_weights_of_a_module(kind: str, keywords: dict[str, Any]) -> None:
    module, *_ = network(kind, **keywords)
    expected = weights_of(module)
    found, arrays = collected(module), collected(module, as_array)
    assert [len(layer) for layer in found] == [len(layer) for layer in expected]
    for layer, of_arrays, others in zip(found, arrays, expected, strict=True):
        for one, array, other in zip(layer, of_arrays, others, strict=True):
            for a, b, c in zip(one, array, other, strict=True):
                assert a is c
                assert c is b is None or np.shares_memory(b, as_array(c))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_a_cell(kind: str, bias: bool) -> None:
    cell = getattr(nn, f"{kind}Cell")(H_in, H_out, bias)
    expected = [cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, None]
    (((*found,),),) = collected(cell)
    (((*arrays,),),) = collected(cell, as_array)
    for a, b, c in zip(found, arrays, expected, strict=True):
        assert a is c
        assert c is b is None or np.shares_memory(b, as_array(c))


def test_weights_that_are_computed() -> None:
    rnn, *_ = network()
    nn.utils.parametrizations.weight_norm(rnn, "weight_hh_l0")
    assert torch.equal(collected(rnn)[0][0].weight_hh, rnn.weight_hh_l0)


def test_a_weight_that_is_missing() -> None:
    rnn, *_ = network()
    rnn.bias_hh_l0 = None
    with pytest.raises(TypeError, match=r"^bias_hh_l0 should be a Tensor, got None$"):
        collected(rnn)

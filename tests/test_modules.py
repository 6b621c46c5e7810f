import copy
import functools
import inspect
import io
import pickle
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

import unrolled
from tests.comparisons import REPRESENTATIVE, Configuration, compare, module_differences, run
from tests.strategies import configurations
from tests.test_shapes import REFUSED as REFUSED_BY_SHAPES
from tests.test_shapes import exception_of

# Sizes differ from each other, so that no two can be confused.
N, L, H_in, H_out = 3, 5, 10, 20


def pair(*arguments: Any, **keywords: Any) -> tuple[Any, Any]:
    """Build the same module twice, theirs and ours."""
    modules = []
    for module_type in (nn.RNN, unrolled.RNN):
        torch.manual_seed(0)
        modules.append(module_type(*arguments, **keywords))
    return modules[0], modules[1]


@given(configurations())
def test_rnn_has_the_bits_of_torch(configuration: Configuration) -> None:
    """Draw 400 configurations, in the nightly profile 20 000."""
    assert module_differences(unrolled.RNN, configuration) == []


@pytest.mark.parametrize("configuration", REPRESENTATIVE, ids=str)
def test_rnn_has_the_bits_of_torch_in_cases_that_matter(configuration: Configuration) -> None:
    assert module_differences(unrolled.RNN, configuration) == []


@pytest.mark.parametrize(
    "sizes",
    [{"input_size": 1, "hidden_size": 1}, {"input_size": 64, "hidden_size": 128, "L": 50}],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_sizes_for_which_blas_takes_other_kernels(
    sizes: dict[str, Any], dtype: torch.dtype
) -> None:
    configuration = Configuration(
        num_layers=2, bidirectional=True, dtype=dtype, lengths=(5,) * 16, **sizes
    )
    assert module_differences(unrolled.RNN, configuration) == []


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex64])
def test_other_dtypes(dtype: torch.dtype) -> None:
    theirs, ours = pair(H_in, H_out, 2, bidirectional=True, dtype=dtype)
    x, h_0 = torch.randn(L, N, H_in, dtype=dtype), torch.randn(4, N, H_out, dtype=dtype)
    for a, b in zip(ours(x, h_0), theirs(x, h_0), strict=True):
        assert a.dtype == dtype
        assert torch.equal(a, b)


def test_hx_left_out_is_zeros() -> None:
    _, ours = pair(H_in, H_out, 2, bidirectional=True)
    x = torch.randn(L, N, H_in)
    for a, b in zip(ours(x), ours(x, torch.zeros(4, N, H_out)), strict=True):
        assert torch.equal(a, b)


def test_training_drops_and_evaluation_does_not() -> None:
    _, ours = pair(H_in, H_out, 2, dropout=0.5)
    x = torch.randn(L, N, H_in)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    ours.eval()
    assert torch.equal(ours(x)[0], ours(x)[0])


def test_chunks_of_a_sequence_are_the_whole_sequence() -> None:
    _, ours = pair(H_in, H_out, 2, dtype=torch.float64)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    whole, last = ours(x)
    chunks, h = [], None
    for chunk in torch.split(x, 2):
        output, h = ours(chunk, h)
        chunks.append(output)
    torch.testing.assert_close(torch.cat(chunks), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(h, last, rtol=0, atol=1e-12)


# A drop-in


def test_state_dict_goes_there_and_back() -> None:
    for keywords in ({}, {"num_layers": 2, "bias": False, "bidirectional": True}):
        theirs, ours = pair(H_in, H_out, **keywords)
        file = io.BytesIO()
        torch.save(ours.state_dict(), file)
        file.seek(0)
        torch.manual_seed(1)
        loaded = nn.RNN(H_in, H_out, **keywords)
        loaded.load_state_dict(torch.load(file))
        back = unrolled.RNN(H_in, H_out, **keywords)
        back.load_state_dict(loaded.state_dict())
        x = torch.randn(L, N, H_in)
        for module in (loaded, back, ours):
            assert torch.equal(module(x)[0], theirs(x)[0])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies(duplicate: Callable[[unrolled.RNN], unrolled.RNN]) -> None:
    _, ours = pair(H_in, H_out, 2, "relu", batch_first=True)
    x = torch.randn(N, L, H_in)
    again = duplicate(ours)
    assert torch.equal(again(x)[0], ours(x)[0])
    with torch.no_grad():
        for parameter in again.parameters():
            parameter.zero_()
    assert not torch.equal(again(x)[0], ours(x)[0])


@pytest.mark.parametrize(
    "keywords",
    [
        {},
        {
            "num_layers": 3,
            "bias": False,
            "batch_first": True,
            "dropout": 0.5,
            "bidirectional": True,
        },
        {"nonlinearity": "relu"},
    ],
    ids=str,
)
def test_attributes_and_repr_are_those_of_torch(keywords: dict[str, Any]) -> None:
    theirs, ours = pair(H_in, H_out, **keywords)
    assert repr(ours) == repr(theirs)
    public = {name for name in vars(theirs) if not name.startswith("_")}
    assert public == {name for name in vars(ours) if not name.startswith("_")}
    for name in public:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert isinstance(ours, nn.RNNBase)
    assert not isinstance(ours, nn.RNN)  # torch.compile(fullgraph=True) would refuse it
    shapes = [[p.shape for p in group] for group in ours.all_weights]
    assert shapes == [[p.shape for p in group] for group in theirs.all_weights]


def test_help_shows_the_arguments() -> None:
    names = list(inspect.signature(unrolled.RNN).parameters)
    assert names[:4] == ["input_size", "hidden_size", "num_layers", "nonlinearity"]
    assert "proj_size" not in names
    with pytest.raises(TypeError, match=r"^RNN\(\) missing 1 required positional argument"):
        unrolled.RNN(10)


def test_double_is_a_cast() -> None:
    theirs, ours = pair(H_in, H_out)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    assert torch.equal(ours.double()(x)[0], theirs.double()(x)[0])


def test_reset_parameters_draws_again() -> None:
    theirs, ours = pair(H_in, H_out)
    for module in (theirs, ours):
        torch.manual_seed(5)
        module.reset_parameters()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


def test_parameters_given_from_outside() -> None:
    theirs, ours = pair(H_in, H_out, 2)
    x = torch.randn(L, N, H_in)
    doubled = {name: 2 * parameter for name, parameter in theirs.named_parameters()}
    a, b = (torch.func.functional_call(module, doubled, (x,))[0] for module in (ours, theirs))
    assert torch.equal(a, b)
    assert not torch.equal(a, ours(x)[0])


def test_tied_parameters() -> None:
    theirs, ours = pair(H_in, H_out, 2)
    for module in (theirs, ours):
        module.weight_hh_l1 = module.weight_hh_l0
    x = torch.randn(L, N, H_in)
    results = []
    for module in (ours, theirs):
        output, _ = module(x)
        output.sum().backward()
        results.append({"output": output, "gradient": module.weight_hh_l0.grad})
    assert compare(*results) == []


def test_parametrised_weight() -> None:
    theirs, ours = pair(H_in, H_out)
    for module in (theirs, ours):
        nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
        module.parametrizations.weight_hh_l0.original0.data *= 3
    x = torch.randn(L, N, H_in)
    assert torch.equal(ours(x)[0], theirs(x)[0])


def test_hooks_run() -> None:
    _, ours = pair(H_in, H_out)
    x = torch.randn(L, N, H_in)
    seen: list[Any] = []
    ours.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    ours.register_forward_hook(lambda module, arguments, result: seen.append(result[0]))
    ours.register_full_backward_hook(lambda module, inputs, outputs: seen.append(outputs[0]))
    output, _ = ours(x.requires_grad_())
    output.sum().backward()
    assert torch.equal(seen[0], x)
    assert torch.equal(seen[1], output)
    assert torch.equal(seen[2], torch.ones_like(output))


def test_no_gradient_where_none_is_wanted() -> None:
    _, ours = pair(H_in, H_out, 2)
    x = torch.randn(L, N, H_in)
    with torch.no_grad():
        assert not ours(x)[0].requires_grad
    ours.requires_grad_(False)
    assert not ours(x)[0].requires_grad
    assert ours(x.requires_grad_())[0].requires_grad


def test_input_and_hx_are_not_written_to() -> None:
    _, ours = pair(H_in, H_out, 2, bidirectional=True, dropout=0.5)
    x, h_0 = torch.randn(L, N, H_in), torch.randn(4, N, H_out)
    before = x.clone(), h_0.clone()
    with torch.no_grad():
        ours(x, h_0)
    assert torch.equal(x, before[0])
    assert torch.equal(h_0, before[1])


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_gradients_against_differences(nonlinearity: str) -> None:
    _, ours = pair(3, 4, 2, nonlinearity, bidirectional=True, dtype=torch.float64)
    names = [name for name, _ in ours.named_parameters()]
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    h_0 = torch.randn(4, 2, 4, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor, h_0: Tensor, *parameters: Tensor) -> Any:
        values = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(ours, values, (x, h_0))

    assert torch.autograd.gradcheck(call, (x, h_0, *ours.parameters()), fast_mode=True)
    assert torch.autograd.gradgradcheck(call, (x, h_0, *ours.parameters()), fast_mode=True)


def test_vmap_over_sequences() -> None:
    theirs, ours = pair(H_in, H_out, dtype=torch.float64)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    output, h_n = torch.func.vmap(ours, in_dims=1, out_dims=1)(x)
    expected, last = theirs(x)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(h_n, last, rtol=0, atol=1e-12)
    with pytest.raises(RuntimeError, match="Batching rule not implemented"):
        torch.func.vmap(theirs, in_dims=1)(x.unsqueeze(2))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: torch.dtype, packed: bool) -> None:
    theirs, ours = pair(H_in, H_out, 2, bidirectional=True)
    x: Any = torch.randn(L, N, H_in)
    if packed:
        x = pack_sequence([x[:5, 0], x[:3, 1], x[:2, 2]])
    for h_0 in (None, torch.randn(4, N, H_out), torch.randn(4, N, H_out, dtype=dtype)):
        with torch.autocast("cpu", dtype=dtype):
            results = [module(x, h_0) for module in (ours, theirs)]
        (output, h_n), (expected, last) = results
        if packed:
            output, expected = output.data, expected.data
        assert output.dtype == dtype
        assert torch.equal(output, expected)
        assert torch.equal(h_n, last)


def test_meta_device() -> None:
    theirs, ours = pair(H_in, H_out, 2, batch_first=True, device="meta")
    x = torch.randn(N, L, H_in, device="meta")
    for a, b in zip(ours(x), theirs(x), strict=True):
        assert (a.device.type, a.shape) == ("meta", b.shape)


@pytest.mark.parametrize("layout", ["batched", "unbatched"])
def test_compiles_to_one_graph(layout: str) -> None:
    configuration = Configuration(
        num_layers=2, bidirectional=True, dropout=0.5, layout=layout, batch_first=True
    )
    compiled: Any = torch.compile(
        configuration.module(unrolled.RNN), fullgraph=True, backend="eager"
    )
    seen = {
        name.replace("_orig_mod.", ""): value
        for name, value in run(compiled, configuration).items()
    }
    assert compare(seen, run(configuration.module(nn.RNN), configuration)) == []


# What is refused

REFUSED_BY_CONSTRUCTOR: dict[str, tuple[tuple[Any, ...], dict[str, Any], list[str]]] = {
    **{
        name: ((), {"input_size": H_in, "hidden_size": H_out} | keywords, words)
        for name, (keywords, words) in REFUSED_BY_SHAPES.items()
        if "mode" not in keywords
    },
    "hidden_size True": ((10, True), {}, ["hidden_size", "int", "True of type bool"]),
    "nonlinearity": (
        (10, 20),
        {"nonlinearity": "sigmoid"},
        ["nonlinearity", "'tanh' or 'relu'", "got 'sigmoid'"],
    ),
    "bias in the fourth place": (
        (10, 20, 1, True),
        {},
        ["nonlinearity", "'tanh' or 'relu'", "got True"],
    ),
    "nonlinearity before all others": (
        (10, 0, 0),
        {"nonlinearity": "TANH"},
        ["nonlinearity", "'tanh' or 'relu'", "got 'TANH'"],
    ),
    "dropout before sizes": ((10, 0), {"dropout": 2}, ["dropout", "[0, 1]", "got 2"]),
    "proj_size": ((10, 20), {"proj_size": 5}, ["proj_size", "LSTM", "got proj_size=5"]),
    "proj_size zero": ((10, 20), {"proj_size": 0}, ["proj_size", "LSTM", "got proj_size=0"]),
    "proj_size negative in the ninth place": (
        (10, 20, 1, "tanh", True, False, 0.0, False, -1),
        {},
        ["proj_size", "zero", "got -1"],
    ),
    "proj_size too large in the ninth place": (
        (10, 20, 1, "tanh", True, False, 0.0, False, 20),
        {},
        ["proj_size", "smaller", "proj_size=20"],
    ),
    # The words of Python and of torch.empty are as good as ours.
    "nothing": ((), {}, ["input_size", "hidden_size"]),
    "no hidden_size": ((10,), {}, ["hidden_size"]),
    "unknown": ((10, 20), {"foo": 1}, ["foo"]),
    "mode": ((10, 20), {"mode": "LSTM"}, ["mode"]),
    "twice": ((10, 20, 1, "tanh"), {"nonlinearity": "relu"}, ["nonlinearity"]),
    "too many": ((10, 20, 1, "tanh", True, False, 0.0, False, 0, None, None, 1), {}, []),
    "dtype of integers": ((10, 20), {"dtype": torch.int64}, ["floating point"]),
    "dtype in text": ((10, 20), {"dtype": "float32"}, ["dtype", "str"]),
    "device": ((10, 20), {"device": "moon"}, ["device", "moon"]),
}


@pytest.mark.parametrize("case", REFUSED_BY_CONSTRUCTOR)
def test_constructor_refuses_what_torch_refuses(case: str) -> None:
    arguments, keywords, words = REFUSED_BY_CONSTRUCTOR[case]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    theirs = exception_of(lambda: nn.RNN(*arguments, **keywords))
    ours = exception_of(lambda: unrolled.RNN(*arguments, **keywords))
    assert type(ours) is type(theirs), theirs
    for word in words:
        assert word in str(ours)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "keywords"),
    [
        ((), {"input_size": H_in, "hidden_size": H_out}),
        ((True, H_out), {}),
        ((H_in, H_out, np.int64(2)), {}),
        ((H_in, H_out, torch.tensor(2)), {}),
        ((H_in, H_out, 1, np.str_("relu")), {}),
        ((H_in, H_out, 1, "tanh", True, False, 0.0, False, 0, None, torch.float64), {}),
        ((H_in, H_out, 1, "tanh", True, False, 0.0, False, False), {}),
        ((H_in, H_out, 2), {"dropout": 1}),
        ((H_in, H_out, 2), {"dropout": np.float32(0.5)}),
        ((H_in, H_out, 2), {"dropout": Fraction(1, 2)}),
        ((H_in, H_out, 2), {"dropout": Decimal("0.5")}),
        ((H_in, H_out), {"device": "cpu", "dtype": torch.float64}),
    ],
    ids=str,
)
def test_constructor_accepts_what_torch_accepts(
    arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    theirs, ours = pair(*arguments, **keywords)
    assert repr(ours) == repr(theirs)
    x = torch.randn(L, N, int(theirs.input_size), dtype=theirs.weight_ih_l0.dtype)
    results = []
    for module in (ours, theirs):
        torch.manual_seed(0)
        results.append(module(x))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("oddity", "normal"),
    [
        ({"num_layers": True}, {"num_layers": 1}),
        ({"bidirectional": 1}, {"bidirectional": True}),
        ({"bidirectional": 2}, {"bidirectional": True}),
        ({"bidirectional": "no"}, {"bidirectional": True}),
        ({"bidirectional": np.True_}, {"bidirectional": True}),
        ({"bidirectional": None}, {"bidirectional": False}),
    ],
    ids=str,
)
def test_what_only_the_constructor_of_torch_accepts(
    oddity: dict[str, Any], normal: dict[str, Any]
) -> None:
    """PyTorch builds such a module and cannot run it; ours runs."""
    theirs, ours = pair(H_in, H_out, **oddity)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    x = torch.randn(L, N, H_in)
    with pytest.raises(TypeError, match="invalid combination of arguments"):
        theirs(x)
    assert torch.equal(ours(x)[0], pair(H_in, H_out, **normal)[0](x)[0])


def test_projection_in_the_ninth_place_is_refused_at_once() -> None:
    """PyTorch builds this module, whose forward then fails; ours fails in the constructor."""
    arguments = (H_in, H_out, 1, "tanh", True, False, 0.0, False, 5)
    theirs = nn.RNN(*arguments)
    with pytest.raises(RuntimeError, match="Expected hidden size"):
        theirs(torch.randn(L, N, H_in))
    with pytest.raises(ValueError, match="proj_size is only supported for mode 'LSTM', got"):
        unrolled.RNN(*arguments)


def test_dropout_in_a_single_layer_warns() -> None:
    for module_type in (nn.RNN, unrolled.RNN):
        with pytest.warns(UserWarning, match="expects num_layers greater than 1") as caught:
            module_type(H_in, H_out, dropout=0.5)
        assert len(caught) == 1


def zeros(*shape: int, **keywords: Any) -> Tensor:
    return torch.zeros(shape, **keywords)


SORTED = pack_sequence([zeros(5, H_in), zeros(3, H_in), zeros(2, H_in)])
UNSORTED = pack_sequence([zeros(2, H_in), zeros(5, H_in), zeros(3, H_in)], enforce_sorted=False)


def packed(data: Tensor, batch_sizes: Any = (3, 3, 2, 1, 1)) -> PackedSequence:
    """Make a PackedSequence by hand."""
    return PackedSequence(data, torch.as_tensor(batch_sizes))


X = zeros(L, N, H_in)
REFUSED_BY_FORWARD: dict[str, tuple[tuple[Any, ...], list[str]]] = {
    "input 1D": ((zeros(H_in),), ["input", "2D or 3D", "got 1D of shape (10,)"]),
    "input 4D": ((zeros(2, L, N, H_in),), ["input", "2D or 3D", "got 4D of shape (2, 5, 3, 10)"]),
    "input features": ((zeros(L, N, 11),), ["input", "input_size=10", "got 11", "(5, 3, 11)"]),
    "input features, unbatched": ((zeros(L, 11),), ["input", "input_size=10", "got 11"]),
    "input float64": ((X.double(),), ["input", "torch.float32", "got torch.float64"]),
    "input int64": ((X.long(),), ["input", "torch.float32", "got torch.int64"]),
    "input float64 and features": ((zeros(L, N, 11).double(),), ["input", "torch.float64"]),
    "input array": ((X.numpy(),), ["input", "torch.Tensor", "got ndarray"]),
    "input list": (([[1.0]],), ["input", "torch.Tensor", "got list"]),
    "input None": ((None,), ["input", "torch.Tensor", "got NoneType"]),
    "input tuple": (((X,),), ["input", "torch.Tensor", "got tuple"]),
    "input on another device": ((X.to("meta"),), ["input", "cpu", "got meta"]),
    "no time steps": ((zeros(0, N, H_in),), ["input", "at least one time step", "(0, 3, 10)"]),
    "no time steps, unbatched": ((zeros(0, H_in),), ["input", "at least one time step"]),
    "no time steps and no sequences": ((zeros(0, 0, H_in),), ["input", "one time step"]),
    "hx batch": ((X, zeros(1, 4, H_out)), ["hx", "(1, 3, 20)", "got (1, 4, 20)"]),
    "hx batch first": ((X, zeros(N, 1, H_out)), ["hx", "(1, 3, 20)", "got (3, 1, 20)"]),
    "hx layers": ((X, zeros(2, N, H_out)), ["hx", "(1, 3, 20)", "got (2, 3, 20)"]),
    "hx features": ((X, zeros(1, N, 21)), ["hx", "(1, 3, 20)", "got (1, 3, 21)"]),
    "hx 2D": ((X, zeros(1, H_out)), ["hx", "3D", "got 2D of shape (1, 20)"]),
    "hx 4D": ((X, zeros(1, 1, N, H_out)), ["hx", "3D", "got 4D"]),
    "hx 3D, unbatched": ((X[:, 0], zeros(1, 1, H_out)), ["hx", "2D", "got 3D"]),
    "hx layers, unbatched": ((X[:, 0], zeros(2, H_out)), ["hx", "(1, 1, 20)", "got (2, 1, 20)"]),
    "hx float64": ((X, zeros(1, N, H_out).double()), ["hx", "torch.float32", "torch.float64"]),
    "hx int64": ((X, zeros(1, N, H_out).long()), ["hx", "torch.float32", "got torch.int64"]),
    "hx tuple": ((X, (zeros(1, N, H_out),) * 2), ["hx", "torch.Tensor", "got tuple"]),
    "hx array": ((X, zeros(1, N, H_out).numpy()), ["hx", "torch.Tensor", "got ndarray"]),
    "hx on another device": ((X, zeros(1, N, H_out).to("meta")), ["hx", "cpu", "got meta"]),
    "hx 2D and input float64": ((X.double(), zeros(1, H_out)), ["hx", "3D", "got 2D"]),
    "nothing": ((), ["input"]),
    "packed, features": ((packed(zeros(10, 11)),), ["input", "input_size=10", "got 11"]),
    "packed, float64": ((packed(zeros(10, H_in).double()),), ["input", "got torch.float64"]),
    "packed, 3D": ((packed(zeros(10, 1, H_in)),), ["input.data", "2D", "(10, 1, 10)"]),
    "packed, other device": ((packed(zeros(10, H_in).to("meta")),), ["input", "got meta"]),
    "packed, hx batch": ((SORTED, zeros(1, 4, H_out)), ["hx", "(1, 3, 20)", "(1, 4, 20)"]),
    "packed, hx 2D": ((SORTED, zeros(N, H_out)), ["hx", "(1, 3, 20)", "got (3, 20)"]),
    "packed, hx tuple": ((SORTED, (zeros(1, N, H_out),)), ["hx", "torch.Tensor", "tuple"]),
    "unsorted, hx tuple": ((UNSORTED, (zeros(1, N, H_out),)), ["hx", "torch.Tensor", "tuple"]),
    "unsorted, hx batch": ((UNSORTED, zeros(1, 2, H_out)), ["hx", "(1, 3, 20)", "(1, 2, 20)"]),
    "unsorted, hx layers": ((UNSORTED, zeros(2, 3, H_out)), ["hx", "(1, 3, 20)", "(2, 3, 20)"]),
    "unsorted, hx 2D": ((UNSORTED, zeros(N, H_out)), ["hx", "(1, 3, 20)", "got (3, 20)"]),
    "unsorted, hx 1D": ((UNSORTED, zeros(H_out)), ["hx", "3D", "got 1D of shape (20,)"]),
    "unsorted, hx float64": ((UNSORTED, zeros(1, 3, 20).double()), ["hx", "torch.float64"]),
    "batch_sizes rise": ((packed(zeros(6, H_in), [1, 2, 3]),), ["batch_sizes", "[1, 2, 3]"]),
    "batch_sizes rise later": ((packed(zeros(6, H_in), [2, 3, 1]),), ["batch_sizes", "[2, 3, 1]"]),
    "batch_sizes negative": ((packed(zeros(2, H_in), [3, -1]),), ["batch_sizes", "[3, -1]"]),
    "batch_sizes too many rows": ((packed(zeros(9, H_in)),), ["batch_sizes", "9 rows", "[3, 3,"]),
    "batch_sizes none": (
        (packed(zeros(0, H_in), torch.tensor([], dtype=torch.int64)),),
        ["batch_sizes", "at least one time step", "none"],
    ),
    "batch_sizes 0D": ((packed(zeros(6, H_in), 3),), ["batch_sizes", "1D", "got 0D"]),
    "batch_sizes int32": (
        (packed(zeros(6, H_in), torch.tensor([3, 3], dtype=torch.int32)),),
        ["batch_sizes", "torch.int64", "got torch.int32"],
    ),
    "batch_sizes float": (
        (packed(zeros(6, H_in), [3.0, 3.0]),),
        ["batch_sizes", "torch.int64", "got torch.float32"],
    ),
}


@pytest.mark.parametrize("case", REFUSED_BY_FORWARD)
def test_forward_refuses_what_torch_refuses(case: str) -> None:
    arguments, words = REFUSED_BY_FORWARD[case]
    theirs, ours = pair(H_in, H_out)
    before = torch.get_rng_state()
    parameters = copy.deepcopy(ours.state_dict())
    expected = exception_of(lambda: theirs(*arguments))
    actual = exception_of(lambda: ours(*arguments))
    assert type(actual) is type(expected), expected
    for word in words:
        assert word in str(actual)
    assert torch.equal(torch.get_rng_state(), before)
    assert compare(dict(ours.state_dict()), dict(parameters)) == []


def test_nothing_is_drawn_before_a_refusal() -> None:
    _, ours = pair(H_in, H_out, 3, dropout=0.5)
    before = torch.get_rng_state()
    for arguments in ((zeros(L, N, 11),), (X, zeros(1, N, H_out)), (packed(zeros(9, H_in)),)):
        exception_of(functools.partial(ours, *arguments))
        assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        # hx is sorted, and what is too much of it is lost
        ((UNSORTED, zeros(1, 7, H_out)), ["hx", "(1, 3, 20)", "got (1, 7, 20)"]),
        # rows that belong to no time step
        ((packed(zeros(12, H_in)),), ["batch_sizes", "12 rows", "[3, 3, 2, 1, 1]"]),
        # time steps that no sequence reaches, which packing cannot make
        ((packed(zeros(6, H_in), [3, 3, 0]),), ["batch_sizes", "positive", "[3, 3, 0]"]),
        ((packed(zeros(6, H_in), [[3], [3]]),), ["batch_sizes", "1D", "got 2D"]),
    ],
)
def test_forward_refuses_more_than_torch(arguments: tuple[Any, ...], words: list[str]) -> None:
    """PyTorch returns something here: where a mistake would go unseen, ours says so."""
    theirs, ours = pair(H_in, H_out)
    theirs(*arguments)
    refused = exception_of(lambda: ours(*arguments))
    for word in words:
        assert word in str(refused)


@pytest.mark.parametrize(
    "arguments",
    [
        (zeros(L, 0, H_in),),
        (zeros(L, 0, H_in), zeros(1, 0, H_out)),
        (zeros(1, 1, H_in),),
        (zeros(1, H_in), zeros(1, H_out)),
        (torch.randn(N, L, H_in).transpose(0, 1),),
        (torch.randn(L, N, 2 * H_in)[..., ::2],),
        (torch.full((L, N, H_in), torch.nan),),
        (torch.full((L, N, H_in), torch.inf),),
        (
            PackedSequence(
                torch.randn(6, H_in), torch.tensor([3, 3]), None, torch.tensor([0, 2, 1])
            ),
        ),
    ],
    ids=lambda arguments: " ".join(str(tuple(a[0].shape)) for a in arguments),
)
def test_forward_accepts_what_torch_accepts(arguments: tuple[Any, ...]) -> None:
    theirs, ours = pair(H_in, H_out)
    for a, b in zip(ours(*arguments), theirs(*arguments), strict=True):
        x, y = (t.data if isinstance(t, PackedSequence) else t for t in (a, b))
        assert torch.allclose(x, y, rtol=0, atol=0, equal_nan=True)


def test_no_warning_in_normal_use() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, ours = pair(H_in, H_out, 2, bidirectional=True, dropout=0.5)
        ours(SORTED)
        ours(X)
        unrolled.trace(ours, X)

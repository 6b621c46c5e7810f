import copy
import functools
import inspect
import io
import pickle
import re
import warnings
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence

import unrolled
from tests.comparisons import (
    KINDS,
    REPRESENTATIVE,
    Configuration,
    compare,
    module_differences,
    onednn,
    run,
    tensors,
)
from tests.strategies import configurations
from tests.test_shapes import REFUSED as REFUSED_BY_SHAPES
from tests.test_shapes import exception_of
from unrolled_site.source import since

# Sizes differ from each other, so that no two can be confused.
N, L, H_in, H_out = 3, 5, 10, 20


every_kind = pytest.mark.parametrize("kind", KINDS)


def pair(*arguments: Any, kind: str = "RNN", **keywords: Any) -> tuple[Any, Any]:
    """Build the same module twice, theirs and ours."""
    modules = []
    for package in (nn, unrolled):
        torch.manual_seed(0)
        modules.append(getattr(package, kind)(*arguments, **keywords))
    return modules[0], modules[1]


def states_of(kind: str, *shape: int, **keywords: Any) -> Any:
    """Draw h_0, of an LSTM h_0 and c_0."""
    drawn = [torch.randn(shape, **keywords) for _ in range(1 + (kind == "LSTM"))]
    return tuple(drawn) if kind == "LSTM" else drawn[0]


def flat(result: Any) -> list[Tensor]:
    """Give output, h_n and, of an LSTM, c_n."""
    output, last = result
    return [output.data if isinstance(output, PackedSequence) else output, *tensors(last)]


@pytest.mark.no_cover
@every_kind
@given(data=st.data())
def test_modules_have_the_bits_of_torch(kind: str, data: st.DataObject) -> None:
    """Draw 80 configurations of each kind, in the nightly profile 20 000.

    A float32 LSTM that PyTorch hands to oneDNN is compared to a bound instead.
    """
    configuration = data.draw(configurations((kind,)))
    assert module_differences(getattr(unrolled, kind), configuration) == []


@pytest.mark.no_cover
@pytest.mark.parametrize("configuration", REPRESENTATIVE, ids=str)
def test_modules_have_the_bits_of_torch_in_cases_that_matter(configuration: Configuration) -> None:
    assert module_differences(getattr(unrolled, configuration.kind), configuration) == []


ONEDNN_TABLE: dict[str, tuple[dict[str, Any], bool]] = {
    "float32": ({}, True),
    "unbatched": ({"layout": "unbatched"}, True),
    "two directions": ({"bidirectional": True, "num_layers": 2, "dropout": 0.5}, True),
    "packed, equal lengths": ({"layout": "packed"}, True),
    "packed, unequal lengths": ({"layout": "packed", "lengths": (5, 3, 2)}, False),
    "float64": ({"dtype": torch.float64}, False),
    "projection": ({"proj_size": 7}, False),
    "no sequences": ({"lengths": ()}, False),
    "switched off": ({"onednn": False}, False),
    "GRU": ({"kind": "GRU"}, False),
    "RNN": ({"kind": "RNN"}, False),
}


@pytest.mark.parametrize("case", ONEDNN_TABLE)
def test_where_onednn_runs(case: str) -> None:
    keywords, expected = ONEDNN_TABLE[case]
    by_default: dict[str, Any] = {"kind": "LSTM", "dtype": torch.float32}
    configuration = Configuration(**(by_default | keywords))
    assert configuration.through_onednn == expected
    # This also sees which operators PyTorch runs.
    assert module_differences(getattr(unrolled, configuration.kind), configuration) == []


def test_onednn_has_other_bits() -> None:
    """If this fails, the bound is not needed any more."""
    configuration = Configuration(kind="LSTM", dtype=torch.float32, layout="batched")
    ours = run(configuration.module(unrolled.LSTM), configuration)
    theirs = run(configuration.theirs(), configuration)
    assert compare(ours, theirs) != []
    assert compare(ours, theirs, 1e-6) == []


@pytest.mark.no_cover
@pytest.mark.parametrize(
    "sizes",
    [{"input_size": 1, "hidden_size": 1}, {"input_size": 64, "hidden_size": 128, "L": 50}],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@every_kind
def test_sizes_for_which_blas_takes_other_kernels(
    kind: str, dtype: torch.dtype, sizes: dict[str, Any]
) -> None:
    configuration = Configuration(
        kind=kind,
        num_layers=2,
        bidirectional=True,
        dtype=dtype,
        lengths=(5,) * 16,
        onednn=False,
        **sizes,
    )
    assert module_differences(getattr(unrolled, kind), configuration) == []


# In complex64 the sigmoid rounds otherwise in place, as PyTorch takes it: a GRU or LSTM differs.
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.complex128])
@every_kind
def test_other_dtypes(kind: str, dtype: torch.dtype) -> None:
    theirs, ours = pair(H_in, H_out, 2, kind=kind, bidirectional=True, dtype=dtype)
    x = torch.randn(L, N, H_in, dtype=dtype)
    hx = states_of(kind, 4, N, H_out, dtype=dtype)
    with onednn(False):
        for a, b in zip(flat(ours(x, hx)), flat(theirs(x, hx)), strict=True):
            assert a.dtype == dtype
            assert torch.equal(a, b)


@every_kind
def test_hx_left_out_is_zeros(kind: str) -> None:
    _, ours = pair(H_in, H_out, 2, kind=kind, bidirectional=True)
    x, h_0 = torch.randn(L, N, H_in), torch.zeros(4, N, H_out)
    hx = (h_0, h_0) if kind == "LSTM" else h_0
    for a, b in zip(flat(ours(x)), flat(ours(x, hx)), strict=True):
        assert torch.equal(a, b)


@every_kind
def test_training_drops_and_evaluation_does_not(kind: str) -> None:
    _, ours = pair(H_in, H_out, 2, kind=kind, dropout=0.5)
    x = torch.randn(L, N, H_in)
    assert not torch.equal(ours(x)[0], ours(x)[0])
    ours.eval()
    assert torch.equal(ours(x)[0], ours(x)[0])


@every_kind
def test_chunks_of_a_sequence_are_the_whole_sequence(kind: str) -> None:
    _, ours = pair(H_in, H_out, 2, kind=kind, dtype=torch.float64)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    whole, last = ours(x)
    chunks, h = [], None
    for chunk in torch.split(x, 2):
        output, h = ours(chunk, h)
        chunks.append(output)
    torch.testing.assert_close(torch.cat(chunks), whole, rtol=0, atol=1e-12)
    torch.testing.assert_close(h, last, rtol=0, atol=1e-12)


# A drop-in


@every_kind
def test_state_dict_goes_there_and_back(kind: str) -> None:
    more = [{"proj_size": 7, "bidirectional": True}] if kind == "LSTM" else []
    for keywords in ({}, {"num_layers": 2, "bias": False, "bidirectional": True}, *more):
        theirs, ours = pair(H_in, H_out, kind=kind, dtype=torch.float64, **keywords)
        file = io.BytesIO()
        torch.save(ours.state_dict(), file)
        file.seek(0)
        torch.manual_seed(1)
        loaded = getattr(nn, kind)(H_in, H_out, dtype=torch.float64, **keywords)
        loaded.load_state_dict(torch.load(file))
        back = getattr(unrolled, kind)(H_in, H_out, dtype=torch.float64, **keywords)
        back.load_state_dict(loaded.state_dict())
        x = torch.randn(L, N, H_in, dtype=torch.float64)
        for module in (loaded, back, ours):
            assert torch.equal(module(x)[0], theirs(x)[0])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
@every_kind
def test_copies(kind: str, duplicate: Callable[[Any], Any]) -> None:
    more = {"nonlinearity": "relu"} if kind == "RNN" else {}
    _, ours = pair(H_in, H_out, 2, kind=kind, batch_first=True, **more)
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
        {"kind": "GRU"},
        {"kind": "GRU", "num_layers": 2, "bias": False, "dropout": 0.5},
        {"kind": "LSTM"},
        {"kind": "LSTM", "num_layers": 2, "bidirectional": True, "proj_size": 7},
    ],
    ids=str,
)
def test_attributes_and_repr_are_those_of_torch(keywords: dict[str, Any]) -> None:
    theirs, ours = pair(H_in, H_out, **keywords)
    assert repr(ours) == repr(theirs)
    public = {name for name in vars(theirs) if not name.startswith("_")}
    assert public | {"step", "fast"} == {name for name in vars(ours) if not name.startswith("_")}
    for name in public:
        assert getattr(ours, name) == getattr(theirs, name), name
    assert ours.step is None
    assert isinstance(ours, nn.RNNBase)
    # torch.compile(fullgraph=True) would refuse it
    assert not isinstance(ours, nn.RNN | nn.GRU | nn.LSTM)
    shapes = [[p.shape for p in group] for group in ours.all_weights]
    assert shapes == [[p.shape for p in group] for group in theirs.all_weights]


def test_help_shows_the_arguments() -> None:
    sizes, flags = ["input_size", "hidden_size", "num_layers"], ["bias", "batch_first", "dropout"]
    rest = ["device", "dtype", "step", "fast"]
    by_place = ["bidirectional", "_proj_size", *rest, "refused"]
    expected = {
        unrolled.RNN: [*sizes, "nonlinearity", *flags, *by_place],
        unrolled.GRU: [*sizes, *flags, *by_place],
        unrolled.LSTM: [*sizes, *flags, "bidirectional", "proj_size", *rest],
    }
    for module_type, names in expected.items():
        parameters = inspect.signature(module_type).parameters
        assert list(parameters) == names
        assert parameters["step"].kind is inspect.Parameter.KEYWORD_ONLY
        message = rf"^{module_type.__name__}\.__init__\(\) missing 1 required positional argument"
        with pytest.raises(TypeError, match=message):
            module_type(10)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
def test_unknown_keywords_are_refused_by_the_name_of_the_module(kind: str) -> None:
    build, name = getattr(unrolled, kind), re.escape(f"{kind}.__init__()")
    with pytest.raises(TypeError, match=rf"^{name} got an unexpected keyword argument 'biases'$"):
        build(H_in, H_out, biases=True)
    with pytest.raises(ValueError, match=rf"left out for {kind}, got proj_size=0$"):
        build(H_in, H_out, proj_size=0)


def test_another_nonlinearity_is_refused() -> None:
    message = r"^Unknown nonlinearity: nonlinearity should be 'tanh' or 'relu', got 'gelu'$"
    with pytest.raises(ValueError, match=message):
        unrolled.RNN(H_in, H_out, nonlinearity="gelu")


def test_what_modules_share_has_the_defaults_of_torch() -> None:
    theirs, ours = nn.RNNBase("LSTM", H_in, H_out), unrolled.modules.Recurrent("LSTM", H_in, H_out)
    public = {name for name in vars(theirs) if not name.startswith("_")}
    assert {name: getattr(ours, name) for name in public} == {
        name: getattr(theirs, name) for name in public
    }
    assert (ours.step, ours.fast) == (None, False)


@every_kind
def test_double_is_a_cast(kind: str) -> None:
    theirs, ours = pair(H_in, H_out, kind=kind)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    assert torch.equal(ours.double()(x)[0], theirs.double()(x)[0])


@every_kind
def test_reset_parameters_draws_again(kind: str) -> None:
    theirs, ours = pair(H_in, H_out, kind=kind)
    for module in (theirs, ours):
        torch.manual_seed(5)
        module.reset_parameters()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)


@every_kind
def test_parameters_given_from_outside(kind: str) -> None:
    theirs, ours = pair(H_in, H_out, 2, kind=kind, dtype=torch.float64)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    doubled = {name: 2 * parameter for name, parameter in theirs.named_parameters()}
    a, b = (torch.func.functional_call(module, doubled, (x,))[0] for module in (ours, theirs))
    assert torch.equal(a, b)
    assert not torch.equal(a, ours(x)[0])


@every_kind
def test_tied_parameters(kind: str) -> None:
    theirs, ours = pair(H_in, H_out, 2, kind=kind, dtype=torch.float64)
    for module in (theirs, ours):
        module.weight_hh_l1 = module.weight_hh_l0
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    results = []
    for module in (ours, theirs):
        output, _ = module(x)
        output.sum().backward()
        results.append({"output": output, "gradient": module.weight_hh_l0.grad})
    assert compare(results[0], results[1]) == []


@every_kind
def test_parametrised_weight(kind: str) -> None:
    theirs, ours = pair(H_in, H_out, kind=kind, dtype=torch.float64)
    for module in (theirs, ours):
        nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
        module.parametrizations.weight_hh_l0.original0.data *= 3
    x = torch.randn(L, N, H_in, dtype=torch.float64)
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


@every_kind
def test_input_and_hx_are_not_written_to(kind: str) -> None:
    _, ours = pair(H_in, H_out, 2, kind=kind, bidirectional=True, dropout=0.5)
    x, hx = torch.randn(L, N, H_in), states_of(kind, 4, N, H_out)
    given = [x, *tensors(hx)]
    before = [tensor.clone() for tensor in given]
    with torch.no_grad():
        ours(x, hx)
        ours(x, hx, lengths=[5, 0, 2])
    assert all(torch.equal(a, b) for a, b in zip(given, before, strict=True))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@every_kind
def test_autocast(kind: str, dtype: torch.dtype, packed: bool) -> None:
    theirs, ours = pair(H_in, H_out, 2, kind=kind, bidirectional=True)
    x: Any = torch.randn(L, N, H_in)
    if packed:
        x = pack_sequence([x[:5, 0], x[:3, 1], x[:2, 2]])
    for hx in (None, states_of(kind, 4, N, H_out), states_of(kind, 4, N, H_out, dtype=dtype)):
        with torch.autocast("cpu", dtype=dtype), onednn(False):
            results = [flat(module(x, hx)) for module in (ours, theirs)]
        assert kind != "RNN" or results[0][0].dtype == dtype
        for a, b in zip(*results, strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


@every_kind
def test_meta_device(kind: str) -> None:
    theirs, ours = pair(H_in, H_out, 2, kind=kind, batch_first=True, device="meta")
    x = torch.randn(N, L, H_in, device="meta")
    for a, b in zip(flat(ours(x)), flat(theirs(x)), strict=True):
        assert (a.device.type, a.shape) == ("meta", b.shape)


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


REFUSED_BY_OTHER_CONSTRUCTORS: dict[str, tuple[tuple[Any, ...], dict[str, Any], list[str]]] = {
    **{
        name: (arguments, keywords, words)
        for name, (arguments, keywords, words) in REFUSED_BY_CONSTRUCTOR.items()
        if not any(word in name for word in ("nonlinearity", "fourth", "True", "proj_size", "twi"))
    },
    "nonlinearity": ((10, 20), {"nonlinearity": "tanh"}, ["nonlinearity"]),
    "nonlinearity in the fourth place": ((10, 20, 1, "tanh"), {}, ["bias", "bool", "'tanh'"]),
    "bias zero": ((10, 20, 1, 0), {}, ["bias", "bool", "0 of type int"]),
    "twice": ((10, 20, 1, True), {"bias": True}, ["bias"]),
}
REFUSED_BY_CONSTRUCTORS = {
    "RNN": REFUSED_BY_CONSTRUCTOR,
    "GRU": REFUSED_BY_OTHER_CONSTRUCTORS
    | {
        "proj_size": ((10, 20), {"proj_size": 5}, ["proj_size", "LSTM", "got proj_size=5"]),
        "proj_size zero": ((10, 20), {"proj_size": 0}, ["proj_size", "LSTM", "got proj_size=0"]),
    },
    "LSTM": REFUSED_BY_OTHER_CONSTRUCTORS
    | {
        name: ((), {"input_size": H_in, "hidden_size": H_out} | keywords, words)
        for name, (keywords, words) in (
            (name, ({k: v for k, v in keywords.items() if k != "mode"}, words))
            for name, (keywords, words) in REFUSED_BY_SHAPES.items()
            if keywords.get("mode") == "LSTM"
        )
    },
}


@pytest.mark.parametrize(
    ("kind", "case"), [(kind, case) for kind in KINDS for case in REFUSED_BY_CONSTRUCTORS[kind]]
)
def test_constructor_refuses_what_torch_refuses(kind: str, case: str) -> None:
    arguments, keywords, words = REFUSED_BY_CONSTRUCTORS[kind][case]
    torch.manual_seed(0)
    before = torch.get_rng_state()
    theirs = exception_of(lambda: getattr(nn, kind)(*arguments, **keywords))
    ours = exception_of(lambda: getattr(unrolled, kind)(*arguments, **keywords))
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
        ((H_in, True), {"kind": "GRU"}),
        ((H_in, H_out, 2, True, False, 0.0, True, 0), {"kind": "GRU"}),
        ((H_in, H_out, 2, False, True, 0.5, True, 7), {"kind": "LSTM"}),
        ((H_in, H_out), {"kind": "LSTM", "proj_size": np.int64(7)}),
        ((H_in, H_out), {"kind": "LSTM", "proj_size": 0, "dtype": torch.float64}),
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")
def test_constructor_accepts_what_torch_accepts(
    arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> None:
    theirs, ours = pair(*arguments, **keywords)
    assert repr(ours) == repr(theirs)
    shape = (N, L) if theirs.batch_first else (L, N)
    x = torch.randn(*shape, int(theirs.input_size), dtype=theirs.weight_ih_l0.dtype)
    results = []
    for module in (ours, theirs):
        torch.manual_seed(0)
        results.append(flat(module(x)))
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
    with pytest.raises(ValueError, match="proj_size argument is only supported for LSTM, got"):
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


def for_lstm(case: str, which: int) -> tuple[tuple[Any, ...], list[str]]:
    """Put the wrong hx of a case in the place of h_0 or c_0, beside a right one."""
    (input, hx), words = REFUSED_BY_FORWARD[case]
    unbatched = not isinstance(input, PackedSequence) and input.dim() == 2
    good = zeros(1, H_out) if unbatched else zeros(1, N, H_out)
    pair_of_states = [good, good.clone()]
    pair_of_states[which] = hx
    return (input, tuple(pair_of_states)), [f"hx[{which}]", *words[1:]]


# Of packed input nn.LSTM checks nothing: these end in an error of some kernel, in another state
# than the one that was passed, or in a crash of the interpreter.
NOT_CHECKED = ["packed, float64", "packed, hx 2D", "unsorted, hx 2D", "unsorted, hx layers"]

REFUSED_BY_LSTM: dict[str, tuple[tuple[Any, ...], list[str]]] = (
    {
        case: (arguments, words)
        for case, (arguments, words) in REFUSED_BY_FORWARD.items()
        if len(arguments) < 2 and case not in NOT_CHECKED
    }
    | {
        f"{case}, as {name}": for_lstm(case, which)
        for case, (arguments, _) in REFUSED_BY_FORWARD.items()
        if len(arguments) == 2 and isinstance(arguments[1], Tensor) and case not in NOT_CHECKED
        for which, name in enumerate(("h_0", "c_0"))
    }
    | {
        "hx one tensor": ((X, zeros(1, N, H_out)), ["hx", "(h_0, c_0)", "(1, 3, 20)"]),
        "hx two rows": ((X, zeros(2, N, H_out)), ["hx", "(h_0, c_0)", "(2, 3, 20)"]),
        "hx of one": ((X, (zeros(1, N, H_out),)), ["hx", "(h_0, c_0)", "got"]),
        "hx of none": ((X, ()), ["hx", "(h_0, c_0)", "got"]),
        "hx of three": ((X, (zeros(1, N, H_out),) * 3), ["hx", "(h_0, c_0)", "got"]),
        "hx number": ((X, 5), ["hx", "(h_0, c_0)"]),
        "hx text": ((X, "hc"), ["hx[0]", "got str"]),
        "hx one row, unbatched": ((X[:, 0], zeros(1, H_out)), ["hx", "(h_0, c_0)", "(1, 20)"]),
        "hx no dimension": ((X, zeros()), ["hx", "(h_0, c_0)"]),
        "hx array in the pair": ((X, (zeros(1, N, H_out).numpy(),) * 2), ["hx[0]", "got ndarray"]),
        "hx None in the pair": ((X, (zeros(1, N, H_out), None)), ["hx[1]", "got NoneType"]),
        "hx 2D both": ((X, (zeros(1, H_out),) * 2), ["hx[0]", "3D", "got 2D"]),
    }
)
REFUSED_BY_MODULES = {
    "RNN": REFUSED_BY_FORWARD,
    "GRU": REFUSED_BY_FORWARD,
    "LSTM": REFUSED_BY_LSTM,
}


@pytest.mark.parametrize(
    ("kind", "case"), [(kind, case) for kind in KINDS for case in REFUSED_BY_MODULES[kind]]
)
def test_forward_refuses_what_torch_refuses(kind: str, case: str) -> None:
    arguments, words = REFUSED_BY_MODULES[kind][case]
    theirs, ours = pair(H_in, H_out, kind=kind)
    before = torch.get_rng_state()
    parameters = copy.deepcopy(ours.state_dict())
    expected = exception_of(lambda: theirs(*arguments))
    actual = exception_of(lambda: ours(*arguments))
    assert type(actual) is type(expected), expected
    for word in words:
        assert word in str(actual)
    assert torch.equal(torch.get_rng_state(), before)
    assert compare(dict(ours.state_dict()), dict(parameters)) == []


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("case", NOT_CHECKED)
def test_packed_lstm_is_refused_what_a_packed_rnn_is(case: str, which: int) -> None:
    arguments, words = REFUSED_BY_FORWARD[case]
    rnn, _ = pair(H_in, H_out)
    _, lstm = pair(H_in, H_out, kind="LSTM")
    expected = exception_of(lambda: rnn(*arguments))
    if len(arguments) == 2:
        arguments, words = for_lstm(case, which)
    actual = exception_of(lambda: lstm(*arguments))
    assert type(actual) is type(expected)
    for word in words:
        assert word in str(actual)


@pytest.mark.parametrize("which", [0, 1])
def test_projection_narrows_h_0_alone(which: int) -> None:
    theirs, ours = pair(H_in, H_out, kind="LSTM", proj_size=7)
    states = [zeros(1, N, 7), zeros(1, N, H_out)]
    states[which] = states[1 - which]
    expected = exception_of(lambda: theirs(X, tuple(states)))
    actual = exception_of(lambda: ours(X, tuple(states)))
    assert type(actual) is type(expected)
    assert f"hx[{which}] should have shape (1, 3, {(7, 20)[which]}) as (D * num_layers, N, " in (
        str(actual)
    )


@every_kind
def test_nothing_is_drawn_before_a_refusal(kind: str) -> None:
    _, ours = pair(H_in, H_out, 3, kind=kind, dropout=0.5)
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
@every_kind
def test_forward_refuses_more_than_torch(
    kind: str, arguments: tuple[Any, ...], words: list[str]
) -> None:
    """PyTorch returns something here: where a mistake would go unseen, ours says so."""
    theirs, ours = pair(H_in, H_out, kind=kind)
    if kind == "LSTM" and len(arguments) == 2:
        arguments = arguments[0], (arguments[1],) * 2
        words = ["hx[0]", *words[1:]]
    if "1D" in words and since("2.15"):
        with pytest.raises(RuntimeError, match="batch_sizes tensor should be 1D"):
            theirs(*arguments)
    else:
        theirs(*arguments)
    refused = exception_of(lambda: ours(*arguments))
    for word in words:
        assert word in str(refused)


def test_packed_lstm_refuses_more_than_torch() -> None:
    theirs, ours = pair(H_in, H_out, kind="LSTM")
    hx = zeros(1, N, H_out), zeros(2, N, H_out)  # c_0 of a layer that is not there
    theirs(UNSORTED, hx)
    with pytest.raises(RuntimeError, match=r"hx\[1\] should have shape \(1, 3, 20\) .* \(2, 3, 20"):
        ours(UNSORTED, hx)
    three = (zeros(1, N, H_out),) * 3  # the third is lost
    theirs(UNSORTED, three)
    with pytest.raises(RuntimeError, match=r"hx should be a tuple \(h_0, c_0\)"):
        ours(UNSORTED, three)


def test_lengths_that_packing_takes_and_that_are_wrong() -> None:
    """PyTorch packs more rows than there are and complains of a slice, or drops a fraction."""
    x = torch.randn(L, N, H_in)
    too_long = pack_padded_sequence(x, [6, 3, 1])
    fraction = pack_padded_sequence(x, torch.tensor([4.7, 3, 1]))
    assert fraction.batch_sizes.tolist() == [3, 2, 2, 1]
    for kind in KINDS:
        theirs, ours = pair(H_in, H_out, kind=kind)
        with pytest.raises(RuntimeError, match="exceeds dimension size"):
            theirs(too_long)
        with pytest.raises(
            RuntimeError, match=r"sum to the 9 rows of data, got \[3, 2, 2, 1, 1, 1"
        ):
            ours(too_long)
        with pytest.raises(RuntimeError, match=r"lengths should be from 0 to L=5, got \[6, 3, 1\]"):
            ours(x, lengths=[6, 3, 1])
        with pytest.raises(TypeError, match="lengths should be integers"):
            ours(x, lengths=torch.tensor([4.7, 3, 1]))


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
@every_kind
def test_forward_accepts_what_torch_accepts(kind: str, arguments: tuple[Any, ...]) -> None:
    theirs, ours = pair(H_in, H_out, kind=kind)
    if kind == "LSTM" and len(arguments) == 2:
        arguments = arguments[0], list(arguments[1:]) * 2  # a list of two, too
    with onednn(False):
        for a, b in zip(flat(ours(*arguments)), flat(theirs(*arguments)), strict=True):
            assert a.shape == b.shape
            assert torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)


@every_kind
def test_no_warning_in_normal_use(kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, ours = pair(H_in, H_out, 2, kind=kind, bidirectional=True, dropout=0.5)
        ours(SORTED)
        ours(X)
        ours(X, lengths=[5, 3, 0], all_states=True)
        unrolled.trace(ours, X)
    if kind == "LSTM":
        ours = unrolled.LSTM(H_in, H_out, proj_size=7)
        ours(X)

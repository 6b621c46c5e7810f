"""A drop-in is compared in everything that a program can observe, exact and fast."""

import copy
import io
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence
from torch.utils.checkpoint import checkpoint

import unrolled
from tests.comparisons import KINDS, Configuration, Operators, onednn, tensors
from tests.observables import differences, observations
from tests.strategies import FEWER, configurations, fraction
from tests.test_modules import flat
from unrolled import fast

N, L, H_in, H_out = 3, 5, 10, 20

every_kind = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize("quick", [False, True], ids=["exact", "fast"])
libraries = pytest.mark.parametrize("numbers", [0, 1024], ids=["torch", "NumPy"])


def run_own_loop(patch: pytest.MonkeyPatch, numbers: int) -> None:
    """Run the loop of `fast` also where an LSTM would be one call of PyTorch's."""
    patch.setattr(fast, "NUMBERS_FOR_NUMPY", numbers)
    patch.setattr(fast, "_one_call", lambda *_: None)


def builder(kind: str, quick: bool) -> Callable[..., Any]:
    return partial(getattr(unrolled, kind), fast=quick)


def pair(kind: str, quick: bool = False, **keywords: Any) -> tuple[Any, Any]:
    """Build the same module twice, theirs and ours."""
    theirs = getattr(nn, kind)(H_in, H_out, **keywords)
    ours = getattr(unrolled, kind)(H_in, H_out, fast=quick, **keywords)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


# Views, memory and changes in place


@pytest.mark.no_cover
@every_kind
@both
@fraction(1 / 8)
@given(data=st.data())
def test_all_that_can_be_observed(kind: str, quick: bool, data: st.DataObject) -> None:
    """Draw 10 configurations of each kind, exact and fast, with or without gradients.

    An LSTM of torch allows less, see below. A fast module keeps its weights for the backward pass,
    also `weight_hh` after a single time step, where PyTorch needs none.
    """
    configuration = data.draw(configurations((kind,)))
    grad, own_loop = data.draw(st.booleans()), data.draw(st.booleans())
    bound = 1e-3 if configuration.dtype == torch.float32 else 1e-9
    with onednn(False), warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.filterwarnings("ignore", "LSTM with projections is not supported")
        warnings.filterwarnings("ignore", "dropout option adds dropout after all but last")
        if own_loop:
            run_own_loop(patch, fast.NUMBERS_FOR_NUMPY)
        theirs = observations(getattr(nn, kind), configuration, grad)
        ours = observations(builder(kind, quick), configuration, grad)
    if kind == "LSTM" and configuration.batch_first:
        for name in ("output is a view", "output.detach_()"):
            del ours[name], theirs[name]
    packed = configuration.layout.startswith("packed")
    steps = max(configuration.lengths) if packed else configuration.L
    for name in [name for name in ours if quick and grad and steps == 1]:
        if name.startswith("backward after weight_h"):
            del ours[name], theirs[name]
    assert differences(ours, theirs, bound) == []


def test_an_lstm_of_torch_allows_less() -> None:
    """If this fails, PyTorch has changed it, and the page on drop-ins says otherwise."""
    theirs, ours = pair("LSTM", batch_first=True)
    x = torch.randn(N, L, H_in)
    with pytest.raises(RuntimeError, match="Can't detach views in-place"):
        theirs(x)[0].detach_()
    ours(x)[0].detach_()
    theirs, ours = pair("LSTM")
    for module in (theirs, ours):
        for changed in ("output", "bias"):
            output, _ = module(x.transpose(0, 1))
            loss = output.sum()
            with torch.no_grad():
                (output if changed == "output" else module.bias_hh_l0).mul_(2)
            if module is theirs:  # in oneDNN, which keeps both
                with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                    loss.backward()
            else:
                loss.backward()


@every_kind
@both
@pytest.mark.parametrize("batch_first", [False, True])
def test_the_usual_line_of_truncated_backpropagation(
    kind: str, quick: bool, batch_first: bool
) -> None:
    _, module = pair(kind, quick, batch_first=batch_first)
    x, hx = torch.randn(L, N, H_in), None
    for _ in range(2):
        output, hx = module(x, hx)
        output.sum().backward()
        for state in (output, *tensors(hx)):
            state.detach_()


@every_kind
@libraries
def test_memory_can_be_resized_afterwards(
    kind: str, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FSDP gives the memory of parameters back between the passes, and takes it again."""
    run_own_loop(monkeypatch, numbers)
    theirs, ours = pair(kind, True)
    gradients = []
    for module in (theirs, ours):
        output, _ = module(torch.ones(L, N, H_in))
        for p in module.parameters():
            kept, storage = p.detach().clone(), p.untyped_storage()
            size = storage.nbytes()
            storage.resize_(0)
            other = torch.full((10_000,), torch.nan)  # which may take the memory that is free now
            storage.resize_(size)
            p.data.copy_(kept)
            del other
        gradients.append(torch.autograd.grad(output.sum(), list(module.parameters())))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-4)


@every_kind
def test_errors_that_numpy_would_report_stay_inside(kind: str) -> None:
    _, module = pair(kind, True)
    x = torch.zeros(400, N, H_in)
    x[0] = 1e-30
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(1e-3)  # so that states and gradients vanish
    with np.errstate(all="raise"):
        output, _ = module(x.requires_grad_())
        output[-1].sum().backward()
        with torch.no_grad():
            module(x)
        assert set(np.geterr().values()) == {"raise"}
    assert x.grad is not None


# Infinities

SPECIAL = st.sampled_from(["inf", "-inf", "nan", "max", "-max", "tiny", "-tiny", "denormal", "0"])


def special(name: str, dtype: torch.dtype) -> float:
    """Give a number by its name; "denormal" is smaller than the smallest with all its bits."""
    limits = torch.finfo(dtype)
    sign = -1 if name.startswith("-") else 1
    named = {"max": limits.max, "tiny": limits.tiny, "denormal": limits.tiny / 8}
    return sign * (named.get(name.lstrip("-")) or abs(float(name)))


def results(module: Any, configuration: Configuration, plants: Any, grad: bool) -> dict[str, Any]:
    """Run a module with special numbers planted, and give results and gradients."""
    inputs, states = configuration.leaves()
    places = dict(enumerate([*inputs, *states, *module.parameters()]))
    with torch.no_grad():
        for place, index, name in plants:
            tensor = places[place % len(places)].view(-1)
            if tensor.numel():
                tensor[index % tensor.numel()] = special(name, configuration.dtype)
    leaves = [*(leaf.requires_grad_(grad) for leaf in (*inputs, *states)), *module.parameters()]
    torch.manual_seed(configuration.seed)
    with onednn(False), torch.set_grad_enabled(grad), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "LSTM with projections is not supported")
        output, last = module(configuration.input(inputs), configuration.hx(states))
    found = [output.data if isinstance(output, PackedSequence) else output, *tensors(last)]
    seen = dict(zip(("output", "h_n", "c_n"), found, strict=False))
    if grad:
        ones = [torch.ones_like(value) for value in found]
        gradients = torch.autograd.grad(found, leaves, ones, materialize_grads=True)
        seen |= {f"gradient {number}": value for number, value in enumerate(gradients)}
    return {name: value.detach() for name, value in seen.items()}


@pytest.mark.no_cover
@every_kind
@FEWER
@given(data=st.data())
def test_where_infinity_and_nan_stand(kind: str, data: st.DataObject) -> None:
    """Draw 20 configurations of each kind with up to three special numbers.

    They stand in inputs, states and parameters. The exact modules have the bits of `torch.nn`; the
    fast ones have infinity and NaN at the same places, in results and in gradients.
    """
    configuration = data.draw(configurations((kind,)))
    plants = data.draw(
        st.lists(
            st.tuples(st.integers(0, 99), st.integers(0, 9999), SPECIAL), min_size=1, max_size=3
        )
    )
    grad, own_loop = data.draw(st.booleans()), data.draw(st.booleans())
    numbers = data.draw(st.sampled_from([0, 1024]))
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "dropout option adds dropout after all but last")
        if own_loop:
            run_own_loop(patch, numbers)
        theirs, exact, quick = (
            results(configuration.module(build), configuration, plants, grad)
            for build in (getattr(nn, kind), builder(kind, False), builder(kind, True))
        )
    for name, expected in theirs.items():
        assert torch.equal(exact[name].isnan(), expected.isnan()), name
        assert torch.equal(exact[name].nan_to_num(), expected.nan_to_num()), name
        for where in (torch.isnan, torch.isposinf, torch.isneginf):
            assert torch.equal(where(quick[name]), where(expected)), (name, where)


@pytest.mark.parametrize("kind", ["RNN", "GRU"])
@libraries
def test_infinity_without_gradients(
    kind: str, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_own_loop(monkeypatch, numbers)
    _, quick = pair(kind, True)
    exact = copy.deepcopy(quick)
    exact.fast = False
    x = torch.randn(L, N, H_in)
    x[2, 1, 3] = torch.inf
    with torch.no_grad():
        quick.weight_ih_l0[0].zero_()  # 0 times infinity is NaN
        exact.weight_ih_l0[0].zero_()
        for a, b in zip(quick(x), exact(x), strict=True):
            assert a.isnan().any()
            assert torch.equal(a.nan_to_num(), b.nan_to_num())


# Transforms in the backward pass


@every_kind
@both
@libraries
def test_gradients_in_batches(
    kind: str, quick: bool, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_own_loop(monkeypatch, numbers)
    _, module = pair(kind, quick, num_layers=2, bidirectional=True, dtype=torch.float64)
    x = torch.randn(L, N, H_in, dtype=torch.float64, requires_grad=True)
    output, _ = module(x)
    leaves = [x, *module.parameters()]
    vectors = torch.randn(4, *output.shape, dtype=torch.float64)
    batched = torch.autograd.grad(output, leaves, vectors, is_grads_batched=True, retain_graph=True)
    each = [torch.autograd.grad(output, leaves, v, retain_graph=True) for v in vectors]
    for a, b in zip(batched, zip(*each, strict=True), strict=True):
        torch.testing.assert_close(a, torch.stack(b), rtol=0, atol=1e-12)
        assert not a.requires_grad


@pytest.mark.no_cover
@every_kind
def test_jacobians_and_their_checks(kind: str) -> None:
    module = getattr(unrolled, kind)(2, 3, dtype=torch.float64, fast=True)
    x = torch.randn(4, 2, 2, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor) -> Tensor:
        output: Tensor = module(x)[0]
        return output

    jacobian: Any = torch.autograd.functional.jacobian  # torch's is untyped
    jacobians = [jacobian(call, x, vectorize=vectorize) for vectorize in (False, True)]
    torch.testing.assert_close(jacobians[0], jacobians[1], rtol=0, atol=1e-12)
    assert torch.autograd.gradcheck(call, (x,), check_batched_grad=True)
    assert torch.autograd.gradgradcheck(call, (x,), check_batched_grad=True)


@every_kind
def test_modes_see_the_operators_of_the_backward_pass(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_own_loop(monkeypatch, fast.NUMBERS_FOR_NUMPY)
    seen = []
    for quick in (False, True):
        _, module = pair(kind, quick)
        output, _ = module(torch.randn(L, N, H_in))
        with Operators() as operators:
            output.sum().backward()
        seen.append(operators.names)
    assert "mm" in seen[0]
    assert "mm" in seen[1]


@every_kind
def test_a_plain_backward_pass_builds_no_graph(kind: str) -> None:
    """Gradients that the plain loop makes in the backward pass must not hold it."""
    _, module = pair(kind, True)
    x = torch.randn(L, N, H_in)
    x[2, 1, 3] = torch.inf
    module(x)[0].sum().backward()
    with Operators():
        module(torch.randn(L, N, H_in))[0].sum().backward()
    assert all(p.grad is not None and not p.grad.requires_grad for p in module.parameters())


@every_kind
@libraries
def test_biases_may_be_changed_before_the_backward_pass(
    kind: str, numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in `torch.nn`; where the plain loop runs again, it meets the biases as they were."""
    run_own_loop(monkeypatch, numbers)
    _, module = pair(kind, True, dtype=torch.float64)
    output, _ = module(torch.randn(L, N, H_in, dtype=torch.float64))
    expected = torch.autograd.grad(output.sum(), list(module.parameters()), retain_graph=True)
    with torch.no_grad():
        module.bias_ih_l0.add_(1)
    found = torch.autograd.grad(output.sum(), list(module.parameters()), retain_graph=True)
    assert all(map(torch.equal, found, expected))
    found = torch.autograd.grad(output.sum(), list(module.parameters()), create_graph=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@every_kind
@libraries
@pytest.mark.parametrize("swapped", ["input", "weight_hh_l0", "weight_ih_l0"])
def test_memory_may_be_exchanged_before_the_backward_pass(
    kind: str, numbers: int, swapped: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Buffers are refilled and averaged weights swapped in by `.data = other`."""
    run_own_loop(monkeypatch, numbers)
    found = []
    theirs, ours = pair(kind, True, dtype=torch.float64)
    given = torch.randn(L, N, H_in, dtype=torch.float64)
    for module in (theirs, ours):
        x = given.clone().requires_grad_()
        output, _ = module(x)
        tensor = x if swapped == "input" else getattr(module, swapped)
        tensor.data = torch.full_like(tensor, 100.0)
        found.append(torch.autograd.grad(output.sum(), [x, *module.parameters()]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


class Stop(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, output: Tensor) -> Tensor:
        return output.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> None:
        return None


@every_kind
@both
def test_no_gradient_is_none(kind: str, quick: bool) -> None:
    _, module = pair(kind, quick)
    stopped: Any = Stop.apply(module(torch.randn(L, N, H_in))[0])  # type: ignore[no-untyped-call] # torch's is
    stopped.sum().backward()
    assert all(p.grad is None for p in module.parameters())


@every_kind
def test_checkpointing(kind: str) -> None:
    theirs, ours = pair(kind, True, dtype=torch.float64)
    x = torch.randn(L, N, H_in, dtype=torch.float64, requires_grad=True)
    found = []
    for module in (theirs, ours):
        output, _ = checkpoint(module, x, use_reentrant=False)
        found.append(torch.autograd.grad(output.sum(), [x, *module.parameters()]))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


# Frozen values


class Packing(nn.Module):
    def __init__(self, rnn: nn.Module, given: str) -> None:
        super().__init__()
        self.rnn, self.given = rnn, given

    def forward(self, x: Tensor, lengths: Tensor) -> Any:
        if self.given == "lengths":
            return self.rnn(x, lengths=lengths)[0]
        packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
        return self.rnn(packed)[0].data


trace: Any = torch.jit.trace  # torch's is untyped
tracing = pytest.mark.filterwarnings(
    "ignore::torch.jit.TracerWarning", "ignore:.*torch.jit.* is deprecated"
)


@every_kind
@both
@tracing
def test_a_trace_of_a_packed_call_is_refused(kind: str, quick: bool) -> None:
    _, module = pair(kind, quick)
    x, lengths = torch.randn(L, N, H_in), torch.tensor([5, 2, 3])
    with pytest.raises(RuntimeError, match="got a PackedSequence: its batch_sizes would become"):
        trace(Packing(module, "packed"), (x, lengths))


@pytest.mark.no_cover
@every_kind
@both
@tracing
def test_a_trace_takes_other_lengths(kind: str, quick: bool) -> None:
    _, module = pair(kind, quick, dtype=torch.float64)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    model = Packing(module, "lengths")
    traced = trace(model, (x, torch.tensor([5, 2, 3])), check_trace=False)
    for lengths in ([1, 3, 5], [0, 0, 2]):
        given = torch.tensor(lengths)
        torch.testing.assert_close(traced(x, given), model(x, given), rtol=0, atol=1e-12)
    # It does not look at them, as the docstring says.
    beyond, within = torch.tensor([9, -1, 2]), torch.tensor([5, 0, 2])
    assert torch.equal(traced(x, beyond), traced(x, within))
    with pytest.raises(RuntimeError, match="lengths should be from 0 to L=5"):
        model(x, beyond)


# Pickles

PUBLIC = ["RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell"]


@pytest.mark.parametrize("name", PUBLIC)
@pytest.mark.parametrize("called", [False, True], ids=["new", "called"])
@both
def test_a_pickle_names_nothing_but_the_class(name: str, called: bool, quick: bool) -> None:
    keywords = {"fast": quick} if not name.endswith("Cell") else {}
    kind = getattr(unrolled, name)
    module = kind(H_in, H_out, **keywords)
    if called:
        module(torch.randn(N, H_in) if name.endswith("Cell") else torch.randn(L, N, H_in))
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    names = torch.serialization.get_unsafe_globals_in_checkpoint(file)
    assert names == [f"{kind.__module__}.{name}"]
    file.seek(0)
    with torch.serialization.safe_globals([kind]):
        loaded = torch.load(file, weights_only=True)
    assert loaded.__dict__.keys() == module.__dict__.keys()
    assert loaded.extra_repr() == module.extra_repr()
    theirs = getattr(nn, name)(H_in, H_out)
    more = {"step", "fast"} if not name.endswith("Cell") else set()
    assert module.__dict__.keys() - theirs.__dict__.keys() <= more


# Errors

PHRASES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "nonlinearity": ("Unknown nonlinearity", lambda p: p.RNN(10, 20, nonlinearity="gelu")),
    "nonlinearity of a cell": (
        "Unknown nonlinearity",
        lambda p: p.RNNCell(10, 20, nonlinearity="gelu")(torch.zeros(3, 10)),
    ),
    "no time steps": (
        "Expected sequence length to be larger than 0 in RNN",
        lambda p: p.GRU(10, 20)(torch.zeros(0, 3, 10)),
    ),
    "projection of an RNN": (
        "proj_size argument is only supported for LSTM",
        lambda p: p.RNN(10, 20, proj_size=3),
    ),
    "projection of a GRU": (
        "proj_size argument is only supported for LSTM",
        lambda p: p.GRU(10, 20, proj_size=3),
    ),
    "features": (
        "input.size(-1) must be equal to input_size",
        lambda p: p.LSTM(10, 20)(torch.zeros(5, 3, 11)),
    ),
    "large projection": ("has to be smaller than hidden_size", lambda p: p.LSTM(4, 5, proj_size=5)),
    "no layers": ("num_layers must be greater than zero", lambda p: p.LSTM(10, 20, 0)),
    "dropout": ("dropout should be a number in range [0, 1]", lambda p: p.GRU(4, 5, dropout=2)),
}


@pytest.mark.parametrize("case", PHRASES)
def test_errors_have_the_type_and_the_phrase_of_torch(case: str) -> None:
    phrase, call = PHRASES[case]
    raised = []
    for package in (nn, unrolled):
        with pytest.raises((RuntimeError, ValueError)) as caught:
            call(package)
        assert phrase in str(caught.value)
        raised.append(caught.type)
    assert raised[0] is raised[1]


def give(*names: str, data: Callable[[Tensor], Any]) -> Callable[[Any], Any]:
    """Put other data into some parameters of a module."""

    def change(module: Any) -> None:
        for name in names:
            getattr(module, name).data = data(getattr(module, name).detach())

    return change


WEIGHTS: dict[str, Callable[[Any], Any]] = {
    "weight_hh in float64": give("weight_hh_l0", data=lambda t: t.double()),
    "weight_ih in float64": give("weight_ih_l0", data=lambda t: t.double()),
    "biases in float64": give("bias_ih_l0", "bias_hh_l0", data=lambda t: t.double()),
    "one row of weight_hh": give("weight_hh_l0", data=lambda t: t[:1]),
    "one row of weight_ih": give("weight_ih_l0", data=lambda t: t[:1]),
    "a column too many": give("weight_hh_l0", data=lambda t: torch.cat([t, t[:, :1]], 1)),
    "a bias too long": give("bias_hh_l0", data=lambda t: t.repeat(2)),
    "memory given back": lambda m: m.weight_hh_l0.untyped_storage().resize_(0),
    "weight_hh None": lambda m: setattr(m, "weight_hh_l0", None),
    "bias_ih None": lambda m: setattr(m, "bias_ih_l0", None),
    "bias_hh None": lambda m: setattr(m, "bias_hh_l0", None),
}


@every_kind
@both
@pytest.mark.parametrize("case", WEIGHTS)
@pytest.mark.parametrize("grad", [False, True])
def test_weights_that_do_not_fit_are_refused(kind: str, quick: bool, case: str, grad: bool) -> None:
    raised = []
    for module in pair(kind, quick):
        WEIGHTS[case](module)
        with (
            onednn(False),
            torch.set_grad_enabled(grad),
            pytest.raises((RuntimeError, TypeError, ValueError)) as caught,
        ):
            module(torch.randn(L, N, H_in))
        raised.append(caught.type)
    assert raised[0] is raised[1]


# Autocast


@every_kind
@both
@pytest.mark.parametrize("low", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("already", [False, True], ids=["float32 input", "low input"])
def test_autocast_gives_the_dtype_of_torch(
    kind: str, quick: bool, low: torch.dtype, already: bool
) -> None:
    """Without oneDNN, which alone gives a low precision for float32 input, as a docstring says."""
    theirs, ours = pair(kind, quick)
    x = torch.randn(L, N, H_in).to(low if already else torch.float32)
    with onednn(False), torch.autocast("cpu", dtype=low):
        for a, b in zip(*(flat(module(x)) for module in (ours, theirs)), strict=True):
            assert a.dtype == b.dtype
            assert torch.equal(a, b)


def test_under_autocast_onednn_gives_a_low_precision() -> None:
    """If this fails, the docstring of LSTM says otherwise."""
    theirs, ours = pair("LSTM")
    x = torch.randn(L, N, H_in)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert ours(x)[0].dtype == torch.float32
        if torch.ops.mkldnn._is_mkldnn_bf16_supported():
            assert theirs(x)[0].dtype == torch.bfloat16
        else:  # on an older processor it is called all the same
            with pytest.raises(RuntimeError, match="could not create a primitive"):
                theirs(x)


# Where fast applies


class Mine(Tensor):
    pass


@every_kind
def test_what_fast_does_not_apply_to_runs_the_plain_loop(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table in the docstring of RNN, row by row."""
    _, module = pair(kind, True)
    exact = copy.deepcopy(module)
    exact.fast = False
    ran: list[str] = []

    def noting(name: str, run: Any) -> Any:
        def noted(*arguments: Any, **keywords: Any) -> Any:
            ran.append(name)
            return run(*arguments, **keywords)

        return noted

    monkeypatch.setattr(fast, "_plainly", noting("plain", fast._plainly))
    forward = {mode: noting("fast", run) for mode, run in fast.FORWARD.items()}
    monkeypatch.setattr(fast, "FORWARD", forward)
    monkeypatch.setattr(fast, "_lstm", noting("one call", fast._lstm))
    x = torch.randn(L, N, H_in)

    def runs(call: Callable[[], Any]) -> list[str]:
        ran.clear()
        call()
        return list(ran)

    path = "one call" if kind == "LSTM" else "fast"
    assert runs(lambda: module(x)) == [path]
    assert runs(lambda: module(pack_sequence([x[:, 0], x[:3, 1]]))) == [path]
    assert runs(lambda: module(x[:, 0])) == [path]
    if kind == "LSTM":  # the table in its own docstring
        long = torch.randn(16, N, H_in)
        assert runs(lambda: module(x, all_states=True)) == ["fast"]
        assert runs(lambda: module(long)) == ["one call"]
        assert runs(lambda: module(pack_sequence([long[:, 0], x[:, 1]]))) == ["fast"]
        with onednn(False):
            assert runs(lambda: module(long)) == ["fast"]
            assert runs(lambda: module(x)) == ["one call"]
            with torch.no_grad():
                assert runs(lambda: module(long)) == ["one call"]
        assert runs(lambda: module.double()(long.double())) == ["fast"]
        module.float()
        run_own_loop(monkeypatch, fast.NUMBERS_FOR_NUMPY)
    assert runs(lambda: module(x, lengths=[5, 3, 2])) == []
    assert runs(lambda: module(x, mask=torch.ones(L, N).bool())) == []
    assert runs(lambda: module.half()(x.half())) == []
    assert runs(lambda: module.float().to("meta")(x.to("meta"))) == []
    _, module = pair(kind, True)
    assert runs(lambda: module(x.as_subclass(Mine))) == []
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert runs(lambda: module(x)) == []
    assert runs(lambda: torch.func.vmap(module, in_dims=1)(x)) == []
    with Operators():
        assert runs(lambda: module(x)) == []
    x[0, 0, 0] = torch.inf
    with torch.no_grad():
        module.weight_ih_l0.zero_()  # 0 times infinity is NaN
    assert runs(lambda: module(x)) == ["fast", "plain"]
    module.weight_hh_l0 = nn.Parameter(module.weight_hh_l0.as_subclass(Mine))
    assert runs(lambda: module(x)) == ["plain"]


def test_arrays_are_the_memory_of_tensors() -> None:
    tensor = torch.arange(6.0).reshape(2, 3)
    for view in (tensor, tensor.T, tensor[:, 1:], tensor.expand(4, 2, 3), tensor[:0]):
        array = fast.as_array(view)
        assert array.shape == view.shape
        assert np.array_equal(array, view.numpy())
    negative = torch.tensor([1 + 2j]).conj().imag
    assert negative.is_neg()
    assert fast.as_array(negative).tolist() == [-2]
    fresh = torch.zeros(3)
    fast.as_array(fresh)[1] = 5
    assert fresh.tolist() == [0, 5, 0]
    assert fresh.untyped_storage().resizable()
    for wrong in (torch.zeros(3).int(), torch.zeros(3, device="meta")):
        with pytest.raises(
            TypeError, match=r"tensor should be of float32 or float64 on a CPU, got"
        ):
            fast.as_array(wrong)


@every_kind
def test_what_does_not_fit_a_direction_runs_plainly(kind: str) -> None:
    module = getattr(unrolled, kind)(H_in, H_out, dtype=torch.bfloat16)
    x = torch.randn(L, N, H_in, dtype=torch.bfloat16)
    h_0 = torch.zeros(N, H_out, dtype=torch.bfloat16)
    ((weights,),) = unrolled.layers.weights_of(module)
    mode, initial = module.mode, (h_0, h_0) if kind == "LSTM" else h_0
    states, _ = fast.fast_direction(mode, x, initial, weights, unrolled.Order())
    assert torch.equal(states[0] if kind == "LSTM" else states, module(x)[0])


def test_what_numpy_does_autograd_does_not_see() -> None:
    rnn: Any = nn.RNN(H_in, H_out)
    x = torch.randn(L, N, H_in)
    output, _ = fast.through_numpy(x, None, *rnn.parameters())
    assert not output.requires_grad
    torch.testing.assert_close(output, rnn(x)[0].detach(), rtol=0, atol=2e-6)


@every_kind
@pytest.mark.parametrize("numbers", [0, 1024])
@pytest.mark.parametrize("size", [1, 2])
def test_no_output_is_a_view(
    kind: str, numbers: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A product with a single row may be one."""
    run_own_loop(monkeypatch, numbers)
    module = getattr(unrolled, kind)(1, 1, size, fast=True)
    with torch.no_grad():
        module(torch.zeros(1, 1, 1))[0].detach_()


@pytest.mark.parametrize("batch_first", [False, True])
def test_a_fast_lstm_is_that_of_onednn(batch_first: bool) -> None:
    """Bitwise identical, and no view; only biases may not be changed in place before backward."""
    theirs, ours = pair("LSTM", True, batch_first=batch_first, num_layers=2, bidirectional=True)
    x = torch.randn(3, 20, H_in) if batch_first else torch.randn(20, 3, H_in)
    hx = torch.randn(4, 3, H_out), torch.randn(4, 3, H_out)
    for states in (hx, list(hx), None):
        found = []
        for module in (theirs, ours):
            output, last = module(x, states)
            leaves = [*module.parameters()]
            gradients = torch.autograd.grad([output, *last], leaves, [output, *last])
            found.append([output, *last, *gradients])
        assert all(map(torch.equal, *found))
        assert [a.stride() for a in found[0]] == [a.stride() for a in found[1]]
    output, _ = ours(x)
    output.mul_(2)
    output.sum().backward()
    output, _ = ours(x)
    with torch.no_grad():
        ours.bias_hh_l0.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        output.sum().backward()


@pytest.mark.parametrize("fault", ["shape", "none", "dtype", "states"])
def test_a_fast_lstm_refuses_what_the_exact_one_refuses(fault: str) -> None:
    _, ours = pair("LSTM", True)
    exact = copy.deepcopy(ours)
    exact.fast = False
    x, hx = torch.randn(L, N, H_in), None
    for module in (ours, exact):
        if fault == "shape":
            module.weight_hh_l0 = nn.Parameter(torch.zeros(4 * H_out, H_out - 1))
        elif fault == "none":
            module.bias_hh_l0 = None
    if fault == "dtype":
        x = x.double()
    elif fault == "states":
        hx = torch.zeros(1, N, H_out), torch.zeros(1, N + 1, H_out)
    errors = []
    for module in (ours, exact):
        with pytest.raises((RuntimeError, TypeError, ValueError)) as caught:
            module(x, hx)
        errors.append((type(caught.value), str(caught.value)))
    assert errors[0] == errors[1]

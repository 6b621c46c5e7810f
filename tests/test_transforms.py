"""Second derivatives, vmap, per-sample gradients and compilation of all modules."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev, vmap
from torch.nn.utils.rnn import pack_sequence

import unrolled
from tests.comparisons import KINDS, Configuration, compare, onednn, run, tensors

pytestmark = pytest.mark.no_cover
N, L, H_in, H_out = 3, 5, 10, 20
MASK = torch.arange(L)[:, None] < torch.tensor([2, 5, 3])

MODULES: dict[str, dict[str, Any]] = {
    "tanh": {"kind": "RNN"},
    "relu": {"kind": "RNN", "nonlinearity": "relu"},
    "GRU": {"kind": "GRU"},
    "LSTM": {"kind": "LSTM"},
    "LSTM with a projection": {"kind": "LSTM", "proj_size": 3},
}
every_module = pytest.mark.parametrize("name", MODULES)
every_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _nothing_is_compiled_yet() -> None:
    torch.compiler.reset()  # all modules share one forward, which may be compiled eight times


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


@every_module
@pytest.mark.parametrize("masked", [False, True])
def test_first_and_second_derivatives_against_differences(name: str, masked: bool) -> None:
    configuration = Configuration(
        input_size=2,
        hidden_size=4,
        num_layers=1 if masked else 2,
        bidirectional=True,
        lengths=(3, 3),
        L=3,
        **MODULES[name],
    )
    module = configuration.module(getattr(unrolled, configuration.kind))
    names = [name for name, _ in module.named_parameters()]
    (x,), states = configuration.leaves()
    leaves = [leaf.requires_grad_() for leaf in (x, *states)] + list(module.parameters())
    keywords = {"lengths": [3, 1]} if masked else {}

    def call(x: Tensor, *others: Tensor) -> Any:
        values = dict(zip(names, others[len(states) :], strict=True))
        hx = configuration.hx(list(others[: len(states)]))
        output, last = functional_call(module, values, (x, hx), keywords)
        return (output, *tensors(last))

    assert torch.autograd.gradcheck(call, leaves, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, leaves, fast_mode=True)


@every_module
def test_vmap_over_sequences(name: str) -> None:
    configuration = Configuration(num_layers=2, bidirectional=True, **MODULES[name])
    module = configuration.module(getattr(unrolled, configuration.kind))
    (x,), states = configuration.leaves()
    hx = configuration.hx(states)
    output, last = vmap(module, in_dims=1, out_dims=1)(x, hx)
    expected, expected_last = module(x, hx)
    close(output, expected)
    for a, b in zip(tensors(last), tensors(expected_last), strict=True):
        close(a, b)
    with (
        onednn(False),
        pytest.raises(RuntimeError, match="Batching rule not implemented"),
    ):
        vmap(configuration.theirs(), in_dims=1)(x.unsqueeze(2))


@every_kind
def test_vmap_over_sequences_and_masks(kind: str) -> None:
    configuration = Configuration(kind=kind, bidirectional=True)
    module = configuration.module(getattr(unrolled, kind))
    (x,), _ = configuration.leaves()

    def call(x: Tensor, mask: Tensor) -> Any:  # vmap takes no None, which the cells of a GRU are
        output, last, states = module(x, mask=mask, all_states=True)
        return [output, *tensors(last), *states.h, *(states.c or [])]

    results = vmap(call, in_dims=1, out_dims=1)(x, MASK)
    for a, b in zip(results, call(x, MASK), strict=True):
        close(a, b)


@every_kind
@pytest.mark.parametrize("lengths", [[2, 5, 3], torch.tensor([2, 5, 3])], ids=["list", "tensor"])
def test_vmap_over_draws_of_batches_with_lengths(kind: str, lengths: Any) -> None:
    module = getattr(unrolled, kind)(H_in, H_out, dtype=torch.float64)
    x = torch.randn(4, L, N, H_in, dtype=torch.float64)
    output = vmap(lambda x: module(x, lengths=lengths)[0])(x)
    for a, b in zip(output, x, strict=True):
        close(a, module(b, lengths=lengths)[0])


@every_kind
def test_vmap_over_lengths(kind: str) -> None:
    module = getattr(unrolled, kind)(H_in, H_out, dtype=torch.float64)
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    lengths = torch.tensor([2, 5, 3])
    output = vmap(
        lambda x, n: module(x.unsqueeze(1), lengths=n.unsqueeze(0))[0].squeeze(1),
        in_dims=(1, 0),
        out_dims=1,
    )(x, lengths)
    close(output, module(x, lengths=lengths)[0])


@every_kind
def test_vmap_over_models(kind: str) -> None:
    modules = [
        Configuration(kind=kind, num_layers=2, seed=seed).module(getattr(unrolled, kind))
        for seed in range(3)
    ]
    parameters, buffers = torch.func.stack_module_state(modules)
    assert not buffers
    x = torch.randn(L, N, H_in, dtype=torch.float64)
    output = vmap(lambda p: functional_call(modules[0], p, (x,))[0])(parameters)
    for a, module in zip(output, modules, strict=True):
        close(a, module(x)[0])


@every_module
def test_gradients_of_each_sample(name: str) -> None:
    configuration = Configuration(num_layers=2, bidirectional=True, **MODULES[name])
    module = configuration.module(getattr(unrolled, configuration.kind))
    (x,), _ = configuration.leaves()
    parameters = {name: p.detach() for name, p in module.named_parameters()}

    def loss(parameters: dict[str, Tensor], x: Tensor, mask: Tensor) -> Tensor:
        output = functional_call(module, parameters, (x,), {"mask": mask})[0]
        return output.pow(2).sum()

    each = vmap(grad(loss), in_dims=(None, 1, 1))(parameters, x, MASK)
    for n in range(N):
        total = module(x[MASK[:, n], n])[0].pow(2).sum()
        alone = torch.autograd.grad(total, list(module.parameters()))
        for (parameter, _), gradient in zip(module.named_parameters(), alone, strict=True):
            close(each[parameter][n], gradient)


@every_kind
def test_jacobian_is_lower_triangular_in_time(kind: str) -> None:
    module = getattr(unrolled, kind)(2, 3, dtype=torch.float64)
    jacobian = jacrev(lambda x: module(x)[0])(torch.randn(4, 2, dtype=torch.float64))
    size = jacobian.abs().amax((1, 3))  # (output time, input time)
    assert (size.tril() > 0).sum() == 10
    assert (size.triu(1) == 0).all()


@pytest.mark.parametrize(
    ("name", "layout"), [*((name, "batched") for name in MODULES), ("LSTM", "unbatched")]
)
def test_compiles_to_one_graph(name: str, layout: str) -> None:
    configuration = Configuration(
        num_layers=2,
        bidirectional=True,
        dropout=0.5,
        layout=layout,
        L=3,
        batch_first=True,
        **MODULES[name],
    )
    module = configuration.module(getattr(unrolled, configuration.kind))
    compiled: Any = torch.compile(module, fullgraph=True, backend="eager")
    seen = {
        name.replace("_orig_mod.", ""): value
        for name, value in run(compiled, configuration).items()
    }
    with onednn(False):
        assert compare(seen, run(configuration.theirs(), configuration)) == []


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *((name, "tensor of lengths") for name in ("tanh", "GRU", "LSTM with a projection")),
        *(("LSTM", given) for given in ("nothing", "lengths", "mask")),
    ],
)
def test_compiles_to_one_graph_with_its_gradient(name: str, given: str) -> None:
    configuration = Configuration(bidirectional=True, L=3, **MODULES[name])
    module = configuration.module(getattr(unrolled, configuration.kind))
    (x,), states = configuration.leaves()
    hx = configuration.hx(states)
    each: dict[str, dict[str, Any]] = {
        "nothing": {},
        "lengths": {"lengths": [2, 3, 0]},
        "tensor of lengths": {"lengths": torch.tensor([2, 3, 0])},
        "mask": {"mask": MASK[:3]},
    }
    compiled: Any = torch.compile(module, fullgraph=True, backend="aot_eager")
    results = []
    for call in (compiled, module):
        output, last, every = call(x, hx, **each[given], all_states=True)
        values = [output, *tensors(last), *every.h, *(every.c or [])]
        total = sum(value.sum() for value in values)
        results.append([*values, *torch.autograd.grad(total, list(module.parameters()))])
    for a, b in zip(*results, strict=True):
        close(a, b)


@every_kind
def test_packed_input_is_no_single_graph(kind: str) -> None:
    """How many rows a time step has is in the data; lengths are the way to one graph."""
    compiled: Any = torch.compile(
        getattr(unrolled, kind)(H_in, H_out), fullgraph=True, backend="eager"
    )
    with pytest.raises(torch._dynamo.exc.TorchDynamoException, match="data-dependent"):
        compiled(pack_sequence([torch.zeros(3, H_in), torch.zeros(2, H_in)]))


def test_compiled_module_still_refuses() -> None:
    module = unrolled.GRU(H_in, H_out)
    compiled: Any = torch.compile(module, backend="eager")
    with pytest.raises(RuntimeError, match=r"lengths should be from 0 to L=5, got \[6, 3, 1\]"):
        compiled(torch.zeros(L, N, H_in), lengths=[6, 3, 1])


def test_torch_is_not_compiled_to_one_graph() -> None:
    """If this fails, PyTorch has learned it, and a page says otherwise."""

    class Mine(nn.LSTM):
        pass

    compiled: Any = torch.compile(Mine(H_in, H_out), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match=r"RNN|LSTM"):  # of torch._dynamo
        compiled(torch.zeros(L, N, H_in))


@pytest.mark.filterwarnings("ignore")  # what PyTorch says of its own parts while it exports
def test_export() -> None:
    configuration = Configuration(kind="LSTM", num_layers=2, proj_size=7)
    module = configuration.module(unrolled.LSTM).eval()
    (x,), states = configuration.leaves()
    with torch.no_grad():  # with gradients it takes three times as long
        program = torch.export.export(module, (x, tuple(states)))
    for a, b in zip(
        program.module()(x, tuple(states))[1], module(x, tuple(states))[1], strict=True
    ):
        close(a, b)


@every_kind
def test_packed_input_has_second_derivatives(kind: str) -> None:
    module = getattr(unrolled, kind)(3, 4, bidirectional=True, dtype=torch.float64)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def call(x: Tensor) -> Tensor:
        output: Tensor = module(pack_sequence([x[:2], x[2:]], enforce_sorted=False))[0].data
        return output

    assert torch.autograd.gradgradcheck(call, (x,), fast_mode=True)

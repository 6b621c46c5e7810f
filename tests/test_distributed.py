"""Training in one and two processes, with DDP and FSDP, against `torch.nn` in the same wrapper.

The test starts this file twice, as a script. The processes need no network: they meet through a
file and talk through the loopback interface. FSDP is `fully_shard`; its older class
refuses to run without an accelerator.
"""

import copy
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import unrolled
from unrolled import fast, from_torch, modules, to_torch

N, L, I, H = 6, 5, 10, 20  # noqa: E741 # its name on the pages
STEPS = 10
count: list[None] = []  # one for each call that took the fast path
BOUND = 1e-12  # of fast, and between one process and two, in float64
# In PyTorch 2.6, `fully_shard` calls a method that the streams of a CPU do not have.
WRAPPERS = ("DDP", "FSDP") if hasattr(torch.cpu.Stream, "record_event") else ("DDP",)
LOOPBACK = {"linux": "lo", "darwin": "lo0"}


class Model(nn.Module):
    """Two recurrent layers and what reads them."""

    def __init__(self, kind: str, dtype: torch.dtype) -> None:
        super().__init__()
        options = {"num_layers": 2, "bidirectional": True}
        self.rnn = getattr(nn, kind)(I, H, **options, dtype=dtype)
        self.head = nn.Linear(2 * H, 3, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0].mean(0))  # (N, 3)


def data(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(STEPS, L, N, I, generator=generator, dtype=dtype)
    return x, torch.randn(STEPS, N, 3, generator=generator, dtype=dtype)


def train(model: Any, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    for inputs, target in zip(x, y, strict=True):
        optimizer.zero_grad()
        torch.autograd.backward((model(inputs) - target).pow(2).mean())
        optimizer.step()


def distributed(wrapper: str, model: nn.Module, world: int) -> Any:
    if wrapper == "DDP":
        return DistributedDataParallel(model)
    mesh = init_device_mesh("cpu", (world,))
    fully_shard(model.rnn, mesh=mesh)  # type: ignore[arg-type] # is a module
    return fully_shard(model, mesh=mesh)


def parameters(model: nn.Module) -> dict[str, Tensor]:
    """Give whole parameters, of which each process may hold a part."""
    return {
        name.removeprefix("module."): getattr(p, "full_tensor", lambda p=p: p)().detach()
        for name, p in model.named_parameters()
    }


def furthest(found: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    """Give the largest difference, which is 0 if the bits are the same."""
    assert found.keys() == expected.keys()
    return max(
        0.0 if torch.equal(found[name], value) else float((found[name] - value).abs().max())
        for name, value in expected.items()
    )


def refusals(model: Any) -> Iterator[str]:
    for convert in (from_torch, to_torch):
        try:
            convert(model)
        except TypeError as error:
            yield str(error)


def case(wrapper: str, kind: str, dtype: torch.dtype, rank: int, world: int) -> list[str]:
    """Train three models alike, and say what is wrong."""
    torch.manual_seed(0)
    single = Model(kind, dtype)
    start = {name: p.detach().clone() for name, p in single.named_parameters()}
    models = {
        "torch.nn": copy.deepcopy(single),
        "exact": from_torch(copy.deepcopy(single)),
        "fast": from_torch(copy.deepcopy(single), fast=True),
    }
    x, y = data(dtype)
    train(single, x, y)
    found, taken, wrong = {}, {}, []
    for name, model in models.items():
        count.clear()
        wrapped = distributed(wrapper, model, world)
        train(wrapped, x[:, :, rank::world], y[:, rank::world])
        taken[name] = len(count)
        found[name] = parameters(wrapped)
        kind_of = {"DDP": "DistributedDataParallel", "FSDP": "FSDPModule"}[wrapper]
        refused = "should be converted before it is scripted, compiled or wrapped, got " + kind_of
        if [f"model {refused}"] * 2 != [*refusals(wrapped)]:
            wrong.append(f"{name} can be converted inside {wrapper}")
    if taken != {"torch.nn": 0, "exact": 0, "fast": STEPS}:
        wrong.append(f"the fast path ran {taken}")
    if min(float((found["torch.nn"][k] - v).abs().max()) for k, v in start.items()) < 1e-4:
        wrong.append("nothing was learned")
    double = dtype == torch.float64
    bounds = {"exact": 0.0, "fast": BOUND if double else 1e-5}
    for name, bound in bounds.items():
        apart = furthest(found[name], found["torch.nn"])
        if not apart <= bound:
            wrong.append(f"{name} is {apart:.2g} from torch.nn, allowed {bound}")
        apart = furthest(found[name], parameters(single))
        if double and not apart <= BOUND:
            wrong.append(f"{name} is {apart:.2g} from one process without {wrapper}")
    return [f"{wrapper}, {world} processes, {kind}, {dtype}: {line}" for line in wrong]


def counted(*arguments: Any) -> Any:
    returned, direction = fast.try_fast(*arguments)
    if returned is not None or direction is not None:
        count.append(None)
    return returned, direction


def work(rank: int, world: int, meeting: str) -> Iterator[str]:
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world)
    for wrapper in WRAPPERS:
        for kind, dtype in (
            *((kind, torch.float64) for kind in ("RNN", "GRU", "LSTM")),
            ("GRU", torch.float32),
        ):
            yield from case(wrapper, kind, dtype, rank, world)
    dist.destroy_process_group()


def test_parameters_after_ten_steps_are_those_of_torch_nn(tmp_path: Path) -> None:
    """The first process trains alone, and then with the second, which waits for it."""
    environment = os.environ | {"PYTHONPATH": str(Path(unrolled.__file__).parents[1])}
    command = [sys.executable, "-W", "error", __file__, tmp_path.as_uri()]
    started = [
        subprocess.Popen([*command, rank], env=environment, stderr=subprocess.PIPE, text=True)
        for rank in "01"
    ]
    said = [process.communicate()[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], said


if __name__ == "__main__":
    folder, rank = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    modules._try_fast = counted
    if sys.platform in LOOPBACK:
        os.environ["GLOO_SOCKET_IFNAME"] = LOOPBACK[sys.platform]
    worlds = (1, 2) if rank == 0 else (2,)
    found = [line for world in worlds for line in work(rank, world, f"{folder}/{world}")]
    sys.exit("\n".join(found) or None)

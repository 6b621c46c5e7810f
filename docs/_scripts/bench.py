"""Measure how long recurrent modules take, as ratios to `torch.nn` in the same round.

    nox -s bench            # everything, about a quarter of an hour
    nox -s bench -- --quick # the two smaller sizes, few rounds

One process for each number of threads. Contenders are first compared with `torch.nn`, then timed
in rounds, one sample of each in a round and the order rotated, so that what disturbs the machine
disturbs all. A ratio is that of two samples of one round; medians and quartiles of these go to a
JSON file, which the pages on speed read.

Among the contenders are lower bounds, each of which does all that the one before it does. Where a
bound comes out below the one before it, something disturbed them: all are measured again, a few
times at most, and the file says how often and whether they ended in order.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from datetime import date
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

from unrolled_site.data import FOLDER

# (N, L, H_in, H_out)
SIZES = (
    (3, 5, 10, 20),
    (1, 100, 32, 32),
    (32, 128, 128, 128),
    (64, 128, 512, 512),
    (1, 64, 1024, 1024),  # one sequence, so that each weight read serves one multiplication
)
KINDS = ("RNN", "GRU", "LSTM")
MODES = ("inference", "training")
BASELINE = "torch.nn"
FLOORS = (
    "products alone",
    "products and activations alone",
    "products, activations and new memory alone",
)
READING = "reading weight_hh alone"
SEVERAL = (BASELINE, "unrolled", "unrolled, fast")  # what is timed with more than one thread
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
PACKAGES = ("torch", "numpy", "jax", "jaxlib", "onnxruntime")
LIBRARIES = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")
OUTPUT = FOLDER / "bench.json"
SAMPLE = 0.02  # seconds of one sample, at least
SLOW = 0.1  # seconds of a call of `torch.nn` from which half the rounds have to do
ATTEMPTS = 3  # measurements of the lower bounds, at most
COMPILED = 100  # time steps that torch.compile is given at most: it unrolls them all
PAGE = 1024  # float32 numbers in a page of memory

Call = Callable[[], Any]


class Case:
    """One module at one size, and everything that computes the same."""

    def __init__(self, kind: str, size: tuple[int, int, int, int]) -> None:
        import torch
        from torch import nn

        import unrolled

        self.kind = kind
        self.N, self.L, self.H_in, self.H_out = size
        torch.manual_seed(0)
        self.theirs = getattr(nn, kind)(self.H_in, self.H_out)
        self.parameters = list(self.theirs.parameters())
        self.x = torch.randn(self.L, self.N, self.H_in)
        self.grad = torch.randn(self.L, self.N, self.H_out)
        self.exact = self.copy(getattr(unrolled, kind)(self.H_in, self.H_out))
        self.fast = self.copy(getattr(unrolled, kind)(self.H_in, self.H_out, fast=True))

    def copy(self, module: Any) -> Any:
        module.load_state_dict(self.theirs.state_dict())
        return module

    def zeros(self) -> Any:
        return self.x.new_zeros(self.N, self.H_out)

    def contenders(self, mode: str, only: Collection[str] | None = None) -> dict[str, Call]:
        """Give the ways to the result: the output, or the gradients of the four parameters."""
        import torch

        found: dict[str, Call] = {}
        ways = {
            BASELINE: lambda: self.theirs(self.x)[0],
            "unrolled": lambda: self.exact(self.x)[0],
            "unrolled, fast": lambda: self.fast(self.x)[0],
            "loop over the cell": self.cell_loop(),
        }
        owners = {"unrolled": self.exact, "unrolled, fast": self.fast}
        if only is None and self.L <= COMPILED:
            torch.compiler.reset()  # it gives up on a function that it compiled too often
            compiled: Any = torch.compile(self.exact, fullgraph=True)
            ways["unrolled, compiled"] = lambda: compiled(self.x)[0]
            owners["unrolled, compiled"] = self.exact
        for name, way in ways.items():
            if only is not None and name not in only:
                continue
            if mode == "inference":
                found[name] = way
            else:
                parameters = list(owners.get(name, self.theirs).parameters())
                found[name] = self.with_backward(way, parameters)
        if only is not None:
            return found
        if self.kind == "RNN":
            found |= self.rungs(mode)
        found |= self.numpy(mode) | self.jax(mode)
        if mode == "inference":
            found |= self.onnx()
        return found

    def with_backward(self, way: Call, parameters: list[Any]) -> Call:
        import torch

        return lambda: torch.autograd.grad(way(), parameters, self.grad)

    def cell_loop(self) -> Call:
        import torch
        from torch import nn

        cell = getattr(nn, f"{self.kind}Cell")(self.H_in, self.H_out)
        for name, parameter in self.theirs.named_parameters():
            setattr(cell, name.removesuffix("_l0"), parameter)

        def run() -> Any:
            state: Any = (self.zeros(), self.zeros()) if self.kind == "LSTM" else self.zeros()
            states = []
            for x_t in self.x:
                state = cell(x_t, state)
                states.append(state[0] if self.kind == "LSTM" else state)
            return torch.stack(states)

        return run

    def rungs(self, mode: str) -> dict[str, Call]:

        from unrolled.fast import RUNGS

        found: dict[str, Call] = {}
        for number, (name, rung) in enumerate(RUNGS.items()):
            title = f"rung {number}: {name}"

            def way(rung: Callable[..., Any] = rung) -> Any:
                skips = rung.__name__ in ("skip_zeros", "through_numpy")
                return rung(self.x, None if skips else self.zeros(), *self.parameters)[0]

            if mode == "inference":
                found[title] = way
            elif number < 4:  # autograd cannot follow the others
                found[title] = self.with_backward(way, self.parameters)
        return found

    def numpy(self, mode: str) -> dict[str, Call]:
        """Leave PyTorch out altogether, with the lines of `unrolled.bptt` and `unrolled.fast`."""
        import numpy as np

        from unrolled import Order
        from unrolled.bptt import Tape, backward_direction, state_before
        from unrolled.fast import FORWARD
        from unrolled.layers import weights_of

        ((weights,),) = weights_of(self.theirs, lambda p: p.detach().numpy())
        x, grad, order = self.x.numpy(), self.grad.numpy(), Order()
        run = FORWARD[self.theirs.mode]
        count = 2 if self.kind == "LSTM" else 1

        def forward(keep: bool) -> Any:
            initial = [np.zeros((self.N, self.H_out), x.dtype)] * count
            return initial, run(x, initial, weights, order, keep=keep)

        def backward() -> Any:
            initial, (states, gates) = forward(keep=True)
            before = tuple(state_before(order, s, i) for s, i in zip(states, initial, strict=True))
            found = backward_direction(
                self.theirs.mode, Tape(x, before, gates), (grad, None)[:count], (None,) * count,
                weights, order, input_needed=False, first_needed=False,
            )  # fmt: skip # as wide as the page
            return found[2][:4]

        return {"NumPy": backward if mode == "training" else lambda: forward(keep=False)[1][0][0]}

    def jax(self, mode: str) -> dict[str, Call]:
        """Compile `jax.lax.scan` over a hoisted projection."""
        if find_spec("jax") is None:
            return {}
        import jax
        import jax.numpy as jnp

        arrays = [jnp.asarray(p.detach().numpy()) for p in self.parameters]
        x, grad = jnp.asarray(self.x.numpy()), jnp.asarray(self.grad.numpy())
        kind, shape = self.kind, (self.N, self.H_out)

        def outputs(parameters: Any) -> Any:
            weight_ih, weight_hh, bias_ih, bias_hh = parameters

            def step(state: Any, x_t: Any) -> Any:
                h, c = state
                a = h @ weight_hh.T
                if kind == "RNN":
                    h = jnp.tanh(x_t + a + bias_hh)
                elif kind == "GRU":
                    a = a + bias_hh
                    (r_x, z_x, n_x), (r_h, z_h, n_h) = (jnp.split(p, 3, 1) for p in (x_t, a))
                    r, z = jax.nn.sigmoid(r_x + r_h), jax.nn.sigmoid(z_x + z_h)
                    n = jnp.tanh(n_x + r * n_h)
                    h = n + z * (h - n)
                else:
                    i, f, g, o = jnp.split(x_t + a + bias_hh, 4, 1)
                    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                    h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            zeros = jnp.zeros(shape)
            return jax.lax.scan(step, (zeros, zeros), x @ weight_ih.T + bias_ih)[1]

        if mode == "inference":
            run = jax.jit(outputs)
        else:
            run = jax.jit(jax.grad(lambda parameters: (outputs(parameters) * grad).sum()))
        return {"JAX, scan": lambda: jax.block_until_ready(run(arrays))}

    def onnx(self) -> dict[str, Call]:
        """Run the operator of the ONNX standard by ONNX Runtime."""
        if find_spec("onnxruntime") is None or find_spec("onnx") is None:
            return {}
        import numpy as np
        import onnxruntime
        from onnx import TensorProto, helper, numpy_helper

        order = {"RNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 3, 1, 2]}[self.kind]  # z r h, i o f c

        def gates(parameter: Any) -> Any:
            blocks = np.split(parameter.detach().numpy(), len(order))
            return np.concatenate([blocks[gate] for gate in order])[None]

        weight_ih, weight_hh, bias_ih, bias_hh = map(gates, self.parameters)
        initial = {"W": weight_ih, "R": weight_hh, "B": np.concatenate([bias_ih, bias_hh], 1)}
        options: dict[str, Any] = {"linear_before_reset": 1} if self.kind == "GRU" else {}
        graph = helper.make_graph(
            [
                helper.make_node(
                    self.kind, ["X", *initial], ["Y"], hidden_size=self.H_out, **options
                )
            ],
            "recurrent",
            [helper.make_tensor_value_info("X", TensorProto.FLOAT, tuple(self.x.shape))],
            [helper.make_tensor_value_info("Y", TensorProto.FLOAT, None)],
            [numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in initial.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = int(os.environ["OMP_NUM_THREADS"])
        settings.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )
        feed = {"X": self.x.numpy()}
        return {"ONNX Runtime": lambda: session.run(None, feed)[0][:, 0]}

    def floors(self, mode: str) -> dict[str, Call]:
        """Give what a loop of PyTorch's operators does at least, each with all before it."""
        import torch

        gate_size = GATES[self.kind] * self.H_out
        rows = self.N * self.L
        x, weight_ih = self.x.view(rows, self.H_in), torch.randn(self.H_in, gate_size)
        weight_hh, weight_back = (
            torch.randn(self.H_out, gate_size),
            torch.randn(gate_size, self.H_out),
        )
        h, into = torch.randn(self.N, self.H_out), torch.empty(self.N, gate_size)
        whole, grad_a = torch.empty(rows, gate_size), torch.randn(self.N, gate_size)
        back, states = torch.empty(self.N, self.H_out), torch.randn(rows, self.H_out)

        def products() -> None:
            torch.mm(x, weight_ih, out=whole)
            for _ in range(self.L):
                torch.mm(h, weight_hh, out=into)
            if mode == "training":
                for _ in range(self.L):
                    torch.mm(grad_a, weight_back, out=back)
                whole.T @ x
                whole.T @ states

        values = torch.randn(self.N, gate_size)
        sigmoids = {"RNN": 0, "GRU": 2, "LSTM": 3}[self.kind] * self.H_out
        first, others = values[:, :sigmoids], values[:, sigmoids:]

        def with_activations() -> None:
            products()
            for _ in range(self.L):
                if sigmoids:
                    first.sigmoid_()
                others.tanh_()
                if self.kind == "LSTM":
                    h.tanh()

        def with_new_memory() -> None:
            with_activations()
            torch.empty(rows * self.H_out)[::PAGE].zero_()  # each page is touched once

        def reading() -> None:
            for _ in range(self.L if mode == "inference" else 2 * self.L):
                weight_hh.sum()

        floors = (products, with_activations, with_new_memory)
        return dict(zip(FLOORS, floors, strict=True)) | {READING: reading}

    @property
    def flops(self) -> int:
        """Count the floating-point operations of the products of a forward pass."""
        return 2 * self.N * self.L * GATES[self.kind] * self.H_out * (self.H_in + self.H_out)


def check(name: str, mode: str, got: Any, expected: Any) -> None:
    """Refuse to time what computes something else."""
    import torch

    pairs = [(got, expected)] if mode == "inference" else zip(got, expected, strict=True)
    for a, b in pairs:
        a, b = torch.as_tensor(a).double(), torch.as_tensor(b).double()
        largest = 1.0 if mode == "inference" else max(1.0, float(b.abs().max()))
        apart = float((a - b).abs().max()) / largest
        if not apart < 1e-5:
            sys.exit(f"{name} in {mode} is {apart:.1e} from {BASELINE}, expected less than 1e-5")


def seconds(call: Call, times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        call()
    return (time.perf_counter() - start) / times


def measure(calls: dict[str, Call], rounds: int) -> dict[str, dict[str, float]]:
    """Time all calls in rounds; give medians and quartiles of the ratios to the baseline."""
    times = {}
    for name, call in calls.items():
        took = seconds(call, 1)
        if took < SAMPLE:  # the first call may have been the one that warms up
            took = seconds(call, 1)
        times[name] = max(1, round(SAMPLE / max(took, 1e-7)))
    samples: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for number in range(rounds):
        at = number % len(names)
        for name in names[at:] + names[:at]:
            samples[name].append(seconds(calls[name], times[name]))
    found = {}
    for name, values in samples.items():
        ratios = [a / b for a, b in zip(values, samples[BASELINE], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        found[name] = {
            "ratio": round(median, 4),
            "low": round(low, 4),
            "high": round(high, 4),
            "microseconds": round(1e6 * statistics.median(values), 2),
        }
    return found


def disorder(results: dict[str, dict[str, float]]) -> float:
    """Tell by how much a bound is below the one before it, at most."""
    ratios = [results[name]["ratio"] for name in FLOORS]
    return max(0.0, *(a - b for a, b in pairwise(ratios)))


def measure_in_order(calls: dict[str, Call], rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure, and measure the bounds again while one of them is below the one before it.

    The measurement that is least out of order is kept. Give the results, and how it went.
    """
    results, attempts = measure(calls, rounds), 1
    bounds = {name: calls[name] for name in (BASELINE, *FLOORS, READING) if name in calls}
    while disorder(results) and attempts < ATTEMPTS:
        again = measure(bounds, rounds)
        attempts += 1
        if disorder(again) < disorder(results):
            results |= {name: again[name] for name in bounds if name != BASELINE}
    return results, {"attempts": attempts, "in_order": not disorder(results)}


def peak() -> float:
    """Measure the fastest product of square matrices, in GFLOP/s."""
    import torch

    best = 0.0
    for size in (512, 1024, 2048):
        a, b, out = torch.randn(size, size), torch.randn(size, size), torch.empty(size, size)
        product = partial(torch.mm, a, b, out=out)
        seconds(product, 2)
        best = max(best, *(2 * size**3 / seconds(product, 1) / 1e9 for _ in range(20)))
    return round(best, 1)


def work(sizes: list[int], kinds: list[str], rounds: int) -> dict[str, Any]:
    """Measure everything with as many threads as this process was given."""
    import torch

    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    found: dict[str, Any] = {"threads": threads, "peak_gflops": peak(), "results": []}
    for kind in kinds:
        for index in sizes:
            size = SIZES[index]
            case = Case(kind, size)
            for mode in MODES:
                start = time.perf_counter()
                # Around everything: to enter and leave it for each call costs as much as a call.
                with torch.inference_mode(mode == "inference"):
                    calls = case.contenders(mode, SEVERAL if threads > 1 else None)
                    expected = calls[BASELINE]()
                    for name, call in calls.items():
                        check(name, mode, call(), expected)
                    slow = seconds(calls[BASELINE], 1) > SLOW
                    some = max(5, rounds // 2) if slow else rounds
                    if threads == 1:
                        calls |= case.floors(mode)
                        results, bounds = measure_in_order(calls, some)
                    else:
                        results, bounds = measure(calls, some), None
                found["results"].append(
                    {
                        "kind": kind,
                        **dict(zip(("N", "L", "H_in", "H_out"), size, strict=True)),
                        "mode": mode,
                        "forward_flop": case.flops,
                        "rounds": some,
                        "bounds": bounds,
                        "contenders": results,
                    }
                )
                print(
                    f"{threads} thread{'s' * (threads > 1)}, {kind} {size}, {mode}: fast "
                    f"{results['unrolled, fast']['ratio']:.2f}, exact "
                    f"{results['unrolled']['ratio']:.2f} of {BASELINE} "
                    f"({time.perf_counter() - start:.0f} s)",
                    file=sys.stderr,
                    flush=True,
                )
    return found


def processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else platform.machine()


def installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="the two smaller sizes, few rounds")
    parser.add_argument("--rounds", type=int, default=11, help="rounds of each comparison")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=KINDS)
    indices = range(len(SIZES))
    parser.add_argument("--sizes", nargs="+", type=int, default=[*indices], choices=indices)
    parser.add_argument("--threads", nargs="+", type=int, default=[1, os.cpu_count() or 1])
    parser.add_argument("--output", type=Path, default=OUTPUT, help="JSON file to write")
    parser.add_argument(
        "--update", action="store_true", help="keep what the file has of other kinds and sizes"
    )
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.sizes, arguments.rounds = [0, 1], min(arguments.rounds, 7)
    if arguments.worker:
        json.dump(work(arguments.sizes, arguments.kinds, arguments.rounds), sys.stdout)
        return
    runs = []
    for threads in dict.fromkeys(arguments.threads):
        command = [sys.executable, __file__, "--worker", "--rounds", str(arguments.rounds)]
        command += ["--kinds", *arguments.kinds, "--sizes", *map(str, arguments.sizes)]
        environment = os.environ | {f"{name}_NUM_THREADS": str(threads) for name in LIBRARIES}
        if threads == 1:  # else XLA takes all processors
            environment["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        runs.append(json.loads(done.stdout))
    report = {
        "date": date.today().isoformat(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "rounds": arguments.rounds,
        "versions": {name: version for name in PACKAGES if (version := installed(name))},
        "runs": runs,
    }
    if arguments.update:
        report = updated(json.loads(arguments.output.read_text("utf-8")), report)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    show(report)
    print(f"Written to {arguments.output}")


def updated(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Put new results in the place of old ones of the same machine, versions and date."""
    for name in (key for key in new if key != "runs"):
        if old.get(name) != new[name]:
            sys.exit(f"--update: {name} of the file is {old.get(name)}, expected {new[name]}")
    for run in new["runs"]:
        (kept,) = [other for other in old["runs"] if other["threads"] == run["threads"]]
        kept["peak_gflops"] = max(kept["peak_gflops"], run["peak_gflops"])
        at = {case(result): number for number, result in enumerate(kept["results"])}
        for result in run["results"]:
            kept["results"][at[case(result)]] = result
    return old


def case(result: dict[str, Any]) -> tuple[Any, ...]:
    """Tell which of the comparisons it is."""
    return tuple(result[name] for name in ("kind", "mode", "N", "L", "H_in", "H_out"))


def show(report: dict[str, Any]) -> None:
    """Print the ratios as a table."""
    for run in report["runs"]:
        for result in run["results"]:
            size = tuple(result[name] for name in ("N", "L", "H_in", "H_out"))
            print(f"\n{result['kind']} {size}, {result['mode']}, threads: {run['threads']}")
            for name, figures in result["contenders"].items():
                print(
                    f"  {name:32}{figures['ratio']:8.2f}   ({figures['low']:.2f} to "
                    f"{figures['high']:.2f}){figures['microseconds']:14.1f} microseconds"
                )


if __name__ == "__main__":
    main()

"""What a tool makes of a recurrent module: tried, and compared with the module at other lengths."""

import io
import logging
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from textwrap import shorten
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import unrolled
from unrolled_site import data
from unrolled_site.example import H_in, H_out, L, N

__all__ = ["BODIES", "TOOLS", "Trial", "compiled_scan", "report", "tried"]

BOUND = 1e-6  # of float32 results, whatever adds them up
QUANTISED_BOUND = 0.1  # weights of 8 bits


class Trial(NamedTuple):
    """How a tool fared.

    Attributes
    ----------
    works : bool
        Whether it gave the numbers of the module at all lengths.
    why : str
        If not, the first sentence of what it said.

    Examples
    --------
    >>> Trial(True, "").works
    True
    """

    works: bool
    why: str


class _Output(nn.Module):
    """A model around a recurrent module, as tools are given it: it returns the output alone."""

    def __init__(self, rnn: nn.Module) -> None:
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor) -> Tensor:
        output: Tensor = self.rnn(x)[0]  # (L, N, H_out)
        return output


def _script(model: nn.Module, x: Tensor) -> Any:
    return torch.jit.script(model)


def _trace(model: nn.Module, x: Tensor) -> Any:
    record: Any = torch.jit.trace
    return record(model, x, check_trace=False)


def _symbolic_trace(model: nn.Module, x: Tensor) -> Any:
    return torch.fx.symbolic_trace(model)


def _quantize(model: nn.Module, x: Tensor) -> Any:
    dynamic: Any = torch.ao.quantization.quantize_dynamic
    quantised = dynamic(model, {nn.LSTM, nn.GRU}, dtype=torch.qint8)
    if type(quantised.rnn) is type(model.rnn):
        raise ValueError("The module is still in floating point.")
    return quantised


def _compile(model: nn.Module, x: Tensor) -> Any:
    torch.compiler.reset()
    return torch.compile(model, backend="eager", fullgraph=True)


def _vmap(model: nn.Module, x: Tensor) -> Any:
    def call(x: Tensor) -> Tensor:
        over: Tensor = torch.func.vmap(model)(torch.stack([x, x]))  # (2, L, N, H_out)
        return over[0]

    return call


def _forget() -> None:
    """Forget how the operators of `torch.nn` were exported before.

    PyTorch keeps what it took for them the first time in a process, and its ONNX exporter replaces
    them for a while: without this, what works would depend on what was exported before.
    """
    for name in ("lstm", "gru", "rnn_tanh", "rnn_relu"):
        operator: Any = getattr(torch.ops.aten, name).input
        operator._dispatch_cache.clear()  # there is no public way


def _export(model: nn.Module, x: Tensor) -> Any:
    _forget()
    return torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim("L")},)).module()


def _onnx(dynamo: bool) -> Callable[[nn.Module, Tensor], Any]:
    def export(model: nn.Module, x: Tensor) -> Any:
        import onnxruntime  # not imported above: only these two need it

        _forget()
        file: Any = io.BytesIO()  # which the older exporter takes, whatever its types say
        names: dict[str, Any] = {"input_names": ["x"], "output_names": ["output"]}
        if dynamo:
            shapes = ({0: torch.export.Dim("L")},)
            torch.onnx.export(model, (x,), file, dynamo=True, dynamic_shapes=shapes,
                              verbose=False, **names)  # fmt: skip # a call
        else:
            torch.onnx.export(model, (x,), file, dynamo=False, dynamic_axes={"x": {0: "L"}},
                              **names)  # fmt: skip # a call
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # errors are raised anyway
        session = onnxruntime.InferenceSession(file.getvalue(), options)
        return lambda x: torch.from_numpy(session.run(None, {"x": x.numpy()})[0])

    return export


TOOLS: dict[str, Callable[[nn.Module, Tensor], Any]] = {
    "torch.jit.script": _script,
    "torch.jit.trace": _trace,
    "torch.fx.symbolic_trace": _symbolic_trace,
    "quantize_dynamic": _quantize,
    "torch.onnx.export(dynamo=False)": _onnx(dynamo=False),
    "torch.onnx.export(dynamo=True)": _onnx(dynamo=True),
    "torch.export": _export,
    "torch.compile(fullgraph=True)": _compile,
    "torch.func.vmap": _vmap,
}
"""Each takes a model and an example of its input, and returns what runs in the model's place."""


def tried(tool: str, rnn: nn.Module, example: Tensor, others: Sequence[Tensor]) -> Trial:
    """Try a tool on a recurrent module.

    Parameters
    ----------
    tool : str
        A name in `TOOLS`.
    rnn : torch.nn.RNNBase
        A module in float32, on a CPU.
    example : Tensor, shape (L, N, H_in)
        What the tool is shown.
    others : sequence of Tensors, shape (any, N, H_in)
        What the result is run with afterwards, for example of other lengths.

    Returns
    -------
    Trial
        Whether what it made returns the output of the module within 1e-6 (0.1 where the weights are
        quantised), and if not, what it said.

    Examples
    --------
    >>> rnn, x = nn.GRU(10, 20), torch.randn(5, 3, 10)
    >>> tried("torch.fx.symbolic_trace", rnn, x, [x[:2]])
    Trial(works=True, why='')
    """
    model, bound = _Output(rnn).eval(), QUANTISED_BOUND if tool.startswith("quant") else BOUND
    with _quiet(), torch.no_grad():
        try:
            made = TOOLS[tool](model, example)
            for x in (example, *others):
                off = (made(x) - model(x)).abs().max().item()
                if off > bound:
                    return Trial(False, f"At {len(x)} steps the results are {off:.2g} off.")
        except Exception as error:  # whatever a tool raises is what it says
            return Trial(False, _said(error, 150))
    return Trial(True, "")


BODIES: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "tanh(x + h + b)": lambda x, h, b: torch.tanh(x + h + b),
    "0.5 * h + x + b": lambda x, h, b: 0.5 * h + x + b,
}
"""Two of the smallest recurrences there are: a step of an input, a state and a bias."""


def compiled_scan(body: str, backend: str) -> str:
    """Compile a scan with `torch.compile`, and compare its gradient with that of a loop.

    Parameters
    ----------
    body : str
        A name in `BODIES`.
    backend : str
        Such as ``"inductor"``.

    Returns
    -------
    str
        ``"right"``, ``"wrong by …"``, or the beginning of the error.

    Examples
    --------
    >>> compiled_scan("tanh(x + h + b)", "aot_eager")
    'right'
    """
    from torch._higher_order_ops.scan import scan

    step = BODIES[body]
    b = torch.ones(2, requires_grad=True)
    inputs = torch.linspace(-1, 1, 6).reshape(3, 1, 2)  # (L, N, H)

    def by_scan(inputs: Tensor) -> Tensor:  # pragma: no cover # torch.compile runs its own
        def one(h: Tensor, x_t: Tensor) -> tuple[Tensor, Tensor]:
            after = step(x_t, h, b)
            return after, after.clone()

        states: Tensor = scan(one, torch.zeros(1, 2), inputs)[1]
        return states

    def by_loop(inputs: Tensor) -> Tensor:
        h, states = torch.zeros(1, 2), []
        for x_t in inputs:
            h = step(x_t, h, b)
            states.append(h)
        return torch.stack(states)

    (expected,) = torch.autograd.grad(by_loop(inputs).sum(), b)
    torch.compiler.reset()
    with _quiet():
        try:
            output: Tensor = torch.compile(by_scan, backend=backend)(inputs)
            (found,) = torch.autograd.grad(output.sum(), b)
        except Exception as error:  # whatever it raises is what it says
            return f"{type(error).__name__}: {_said(error, 75)}"
    return _judged((found - expected).abs().max().item(), 1e-5)


def report(again: bool = False) -> dict[str, Any]:
    """Give what the page *In and out of your model* says of tools, with the installed PyTorch.

    Parameters
    ----------
    again : bool, default False
        Try everything now, whatever is recorded: it takes a minute.

    Returns
    -------
    dict
        What is recorded, if the record is of the installed PyTorch; else what was found now.
        ``"steps"`` is how many the example has; ``"trials"`` are by tool and form of the module;
        ``"others"`` of the newer ONNX exporter with other modules of `torch.nn`; ``"compiled"`` by
        body and backend; ``"ahead"``, of AOTInductor, by the axes that are free.

    Examples
    --------
    >>> report()["steps"]
    5
    """
    recorded: dict[str, Any] = data.read("tools")
    installed = torch.__version__.partition("+")[0]
    return _study() if again or recorded["torch"] != installed else recorded


def _ahead_of_time(*free: str) -> str:
    """Compile an exported GRU with AOTInductor, and run it at two other lengths."""
    torch.manual_seed(0)
    model = nn.Sequential(unrolled.GRU(H_in, H_out)).eval()
    axes = {axis: torch.export.Dim(name, min=1) for axis, name in enumerate(free)}
    longer = [torch.randn(steps, N, H_in) for steps in (2, L + 2)]
    torch.compiler.reset()  # else it meets what an export with other free axes has compiled
    with tempfile.TemporaryDirectory() as folder, _quiet():
        try:
            example = (torch.randn(L, N, H_in),)
            program = torch.export.export(model, example, dynamic_shapes=(axes,))
            package = torch._inductor.aoti_compile_and_package(
                program, package_path=str(Path(folder) / "gru.pt2")
            )
            library: Any = torch._inductor.aoti_load_package(package)
            off = max((library(x)[0] - model(x)[0]).abs().max().item() for x in longer)
        except Exception as error:  # whatever it raises is what it says
            return f"{type(error).__name__}: {_said(error, 60)}"
    return _judged(off, BOUND)


def _study() -> dict[str, Any]:
    """Try everything that the page *In and out of your model* says of tools: it takes a minute."""
    torch.manual_seed(0)
    x = torch.randn(L, N, H_in)
    longer = [torch.randn(steps, N, H_in) for steps in (2, L + 2, 2 * L, 3 * L)]
    forms = {
        "torch.nn": nn.LSTM(H_in, H_out),
        "unrolled": unrolled.LSTM(H_in, H_out),
        "after to_torch": unrolled.to_torch(unrolled.LSTM(H_in, H_out)),
    }
    others = {
        "nn.GRU": nn.GRU(H_in, H_out),
        "nn.RNN": nn.RNN(H_in, H_out),
        "nn.LSTM with proj_size": nn.LSTM(H_in, H_out, proj_size=H_out // 4),
    }
    onnx = "torch.onnx.export(dynamo=True)"
    return {
        "steps": L,
        "trials": {
            tool: {form: tried(tool, rnn, x, longer)._asdict() for form, rnn in forms.items()}
            for tool in TOOLS
        },
        "others": {name: tried(onnx, rnn, x, longer)._asdict() for name, rnn in others.items()},
        "compiled": {
            body: {backend: compiled_scan(body, backend) for backend in ("aot_eager", "inductor")}
            for body in BODIES
        },
        "ahead": {", ".join(free): _ahead_of_time(*free) for free in (("L",), ("L", "N"))},
    }


def _judged(off: float, bound: float) -> str:
    return "right" if off < bound else f"wrong by {off:.2g}"


def _said(error: Exception, most: int) -> str:
    return shorten(str(error) or type(error).__name__, most, placeholder="")


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what tools say beside their errors: that they are deprecated, or lack a package."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)

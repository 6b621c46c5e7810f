"""What a tool makes of a recurrent module: tried, and compared with the module at other lengths."""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

__all__ = ["TOOLS", "Trial", "tried"]

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
            said = " ".join(str(error).split()) or type(error).__name__
            return Trial(False, said[:150])
    return Trial(True, "")


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what tools say beside their errors: that they are deprecated, or lack a package."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(before)

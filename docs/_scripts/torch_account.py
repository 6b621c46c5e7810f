"""The account of a PyTorch: what it says and does, as far as this site depends on it.

    python docs/_scripts/torch_account.py  # the account of the installed PyTorch, as JSON

`src/unrolled_site/data/torch` keeps one account for each version that was tried, `nox -s torch`
writes them, and a test compares the installed version with its own. The values are those of any
machine with the same system and processor family: no times, and of differences only whether they
are within a bound.
"""

import contextlib
import copy
import inspect
import io
import json
import os
import pickle
import platform
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, rnn
from torch.utils.checkpoint import checkpoint

import unrolled
from unrolled_site.catalogue import RAISED
from unrolled_site.data import FOLDER
from unrolled_site.example import H_in, H_out, L, N
from unrolled_site.measures import gap, operators
from unrolled_site.source import message, quote

ROOT = Path(__file__).parent.parent.parent
DOCS = ROOT / "docs"
KEPT = FOLDER / "torch"
OFFICIAL = "module/official_docs"  # the page that decides about the docstrings
LONGEST = 400  # characters of a message
ANSI = re.compile(r"\x1b\[[\d;]*m")

Facts = dict[str, Any]


class Difference(NamedTuple):
    """Something that is not as a page, a test or an account says."""

    page: str  # without .md, or a file of tests, or a section of the account
    heading: str  # or the name of a test, or what the account describes
    said: str
    now: str


def release() -> str:
    """Name the installed version without its build, such as +cpu."""
    return torch.__version__.partition("+")[0]


def plain(text: str) -> str:
    """Make one line of a message, without colours, addresses and folders of this machine."""
    text = ANSI.sub("", text)
    text = re.sub(r"[EIW]\d{4} [\d:.]+ \d+ (?=\S+\.py:\d+\])", "", text)  # of PyTorch's log
    text = re.sub(r"0x[0-9a-f]{6,}", "0x…", text)
    text = re.sub(r"(?<![\w.:/])/(?:[\w.+-]+/)+([\w.+-]+)", r"…/\1", text)
    text = " ".join(text.split())
    return text if len(text) <= LONGEST else text[:LONGEST] + " …"


# -- Modules to look at ---------------------------------------------------------------------------

CONSTRUCTED = (
    f"nn.RNN({H_in}, {H_out})",
    f"nn.GRU({H_in}, {H_out})",
    f"nn.LSTM({H_in}, {H_out})",
    f'nn.RNN({H_in}, {H_out}, nonlinearity="relu", bias=False)',
    f"nn.GRU({H_in}, {H_out}, num_layers=2, bidirectional=True)",
    f"nn.LSTM({H_in}, {H_out}, num_layers=2, bidirectional=True, proj_size=7)",
)


def constructed(call: str, package: Any = nn, **keywords: Any) -> Any:
    """Call a constructor, of torch.nn or of this package, as it is written in the account."""
    torch.manual_seed(0)
    module = eval(call, {"nn": package})
    return module.to(keywords["dtype"]) if "dtype" in keywords else module


def given(dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(L, N, H_in, generator=torch.Generator().manual_seed(1), dtype=dtype)


def tensors(results: Any) -> list[Tensor]:
    """List output and final states of a recurrent module."""
    output, states = results
    return [output, *(states if isinstance(states, tuple) else (states,))]


# -- Facts ----------------------------------------------------------------------------------------


def shapes() -> Facts:
    found = {}
    for call in CONSTRUCTED:
        module = constructed(call)
        results = dict(zip(("output", "h_n", "c_n"), tensors(module(given())), strict=False))
        named = {**dict(module.named_parameters()), **results}
        found[call] = {name: str(tuple(tensor.shape)) for name, tensor in named.items()}
    return found


QUOTED: dict[str, Callable[..., Any]] = {
    "nn.RNN": nn.RNN,
    "nn.GRU": nn.GRU,
    "nn.LSTM": nn.LSTM,
    "nn.RNNBase.__init__": nn.RNNBase.__init__,
    "nn.RNNBase.reset_parameters": nn.RNNBase.reset_parameters,
    "nn.RNNBase.flatten_parameters": nn.RNNBase.flatten_parameters,
    "nn.RNNBase.check_input": nn.RNNBase.check_input,
    "nn.RNN.forward": nn.RNN.forward,
    "nn.GRU.forward": nn.GRU.forward,
    "nn.LSTM.forward": nn.LSTM.forward,
    "nn.RNNCell": nn.RNNCell,
    "nn.LSTMCell": nn.LSTMCell,
    "nn.GRUCell": nn.GRUCell,
    "nn.utils.rnn.pack_padded_sequence": rnn.pack_padded_sequence,
    "nn.utils.rnn.pad_packed_sequence": rnn.pad_packed_sequence,
    "nn.utils.clip_grads_with_norm_": getattr(
        nn.utils, "clip_grads_with_norm_", nn.utils.clip_grad_norm_
    ),
}
"""What pages quote or describe, by the name under which the account has it."""


def sources() -> Facts:
    found = {}
    for name, function in QUOTED.items():
        lines = quote(function)
        digest = sha256(lines.text.encode()).hexdigest()[:12]
        found[name] = {
            "lines": f"{lines.path}, {lines.first_line} to {lines.last_line}",
            "digest": digest,
            "permalink": lines.permalink,
        }
    return found


def _said(call: Callable[[], object]) -> str:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        try:
            said = message(call)
        except ValueError:  # what `message` raises where nothing is said
            return "no error and no warning"
    return plain(re.split(r"\n\s*\n", said.strip())[0])


def messages() -> Facts:
    projected = nn.LSTM(H_in, H_out, proj_size=7)
    # Shown once in a process, so it comes first.
    first = {"error-projection-onednn": _said(lambda: projected(given()))}
    return first | {anchor: _said(call) for anchor, _, call in RAISED}


DESCRIBED = (
    *("nn.RNNBase", "nn.RNN", "nn.GRU", "nn.LSTM", "nn.RNNCell", "nn.GRUCell", "nn.LSTMCell"),
    *("nn.utils.rnn.pack_padded_sequence", "nn.utils.rnn.pad_packed_sequence"),
    *("nn.utils.rnn.pad_sequence", "nn.utils.rnn.pack_sequence"),
    *("nn.utils.clip_grad_norm_", "nn.utils.clip_grad_value_"),
    *("nn.init.orthogonal_", "nn.init.xavier_uniform_", "nn.init.uniform_"),
    *("load", "save", "compile", "export.export", "onnx.export", "autograd.grad"),
    *("optim.SGD", "optim.Adam", "optim.AdamW", "nn.CrossEntropyLoss", "utils.data.DataLoader"),
)


def defaults() -> Facts:
    found: Facts = {}
    for path in DESCRIBED:
        described: Any = torch
        for name in path.split("."):
            described = getattr(described, name)
        parameters = inspect.signature(described).parameters.values()
        found[path] = ", ".join(
            str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in parameters
        )
    settings = {
        "torch.get_default_dtype()": torch.get_default_dtype(),
        "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision(),
        "torch.backends.cudnn.allow_tf32": torch.backends.cudnn.allow_tf32,
        "torch.backends.cuda.matmul.allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        "torch.backends.mkldnn.enabled": getattr(torch.backends.mkldnn, "enabled", True),
    }
    return {key: plain(value) for key, value in found.items()} | {
        key: str(value) for key, value in settings.items()
    }


def operators_run() -> Facts:
    found: Facts = {}
    for call in CONSTRUCTED:
        for dtype in (torch.float32, torch.float64):
            with torch.no_grad():
                names = operators(constructed(call, dtype=dtype), given(dtype))
            counts = sorted(Counter(names).items())
            found[f"{call}, {dtype}"] = ", ".join(f"{count} {name}" for name, count in counts)
    return found


def kernels() -> Facts:
    found: Facts = {}
    for call in CONSTRUCTED:
        for dtype in (torch.float32, torch.float64):
            for training in (False, True):
                module = constructed(call, dtype=dtype).requires_grad_(training)
                names = set(operators(module, given(dtype)))
                kernel = "oneDNN" if "mkldnn_rnn_layer" in names else "ATen loop"
                found[f"{call}, {dtype}, {'training' if training else 'inference'}"] = kernel
    return found


BOUNDS = {torch.float32: 2e-6, torch.float64: 1e-12}  # relative to numbers above 1


def nearness(ours: list[Tensor], theirs: list[Tensor], exact: bool = True) -> str:
    """Say how near results are; `exact` asks for bits that are equal on any processor."""
    if exact and all(map(torch.equal, ours, theirs)):
        return "bit for bit"
    bound = BOUNDS[theirs[0].dtype]
    near = all(
        gap(a, b) <= bound * max(1.0, b.abs().max().item())
        for a, b in zip(ours, theirs, strict=True)
    )
    return f"within {bound:.0e}" if near else f"not within {bound:.0e}"


def total(results: list[Tensor]) -> Tensor:
    """Make a loss of output and final states."""
    return torch.cat([result.flatten().sin() for result in results]).sum()


def equality() -> Facts:
    """Compare our modules with those of PyTorch: output, states, and all gradients."""
    found: Facts = {}
    for call in CONSTRUCTED:
        for fast in (False, True):
            for dtype in BOUNDS:
                theirs = constructed(call, dtype=dtype)
                ours = constructed(
                    call.removesuffix(")") + f", fast={fast})", unrolled, dtype=dtype
                )
                ours.load_state_dict(theirs.state_dict())
                where = f"{call}, {dtype}{', fast' if fast else ''}"
                our_results, their_results = (tensors(m(given(dtype))) for m in (ours, theirs))
                found[f"{where}, results"] = nearness(our_results, their_results, not fast)
                gradients = [
                    list(torch.autograd.grad(total(results), [*module.parameters()]))
                    for module, results in ((ours, our_results), (theirs, their_results))
                ]
                found[f"{where}, gradients"] = nearness(gradients[0], gradients[1], not fast)
    return found


# -- What our modules can do ----------------------------------------------------------------------


def _check(ours: Any, theirs: Any) -> None:
    """Refuse results that are not those expected: bit for bit, but for the rounding of `fast`."""
    near = nearness(tensors(ours), tensors(theirs))
    if near.startswith("not"):
        raise AssertionError(f"the results are {near}")


def compiled() -> None:
    module = unrolled.GRU(H_in, H_out)
    whole = torch.compile(module, backend="eager", fullgraph=True)
    _check(whole(given()), module(given()))


def compiled_with_lengths() -> None:
    module, lengths = unrolled.GRU(H_in, H_out), torch.tensor([L, L - 2, L - 3])
    whole = torch.compile(module, backend="eager", fullgraph=True)
    _check(whole(given(), lengths=lengths), module(given(), lengths=lengths))


def compiled_fast() -> None:
    module = unrolled.GRU(H_in, H_out, fast=True)
    whole = torch.compile(module, backend="eager", fullgraph=True)
    _check(whole(given()), module(given()))


def exported() -> None:
    module = unrolled.GRU(H_in, H_out)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The tensor attributes")
        program = torch.export.export(module, (given(),))
    _check(program.module()(given()), module(given()))


def exported_for_every_length() -> None:
    module = unrolled.GRU(H_in, H_out)
    free = {0: torch.export.Dim("L")}
    program = torch.export.export(module, (given(),), dynamic_shapes=(free,)).module()
    for x in (given()[:2], torch.cat([given()] * 3)):
        _check(program(x), module(x))


def traced() -> None:
    module = unrolled.GRU(H_in, H_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and says so in many ways
        trace = torch.jit.trace(module, given())  # type: ignore[no-untyped-call] # torch's is untyped
    _check(trace(given()), module(given()))


def mapped() -> None:
    module = unrolled.GRU(H_in, H_out).requires_grad_(False)
    x = torch.stack([given(), given() + 1])
    output, h_n = torch.func.vmap(module)(x)
    _check((output[1], h_n[1]), module(x[1]))


def forward_mode() -> None:
    module = unrolled.GRU(H_in, H_out, dtype=torch.float64).requires_grad_(False)
    x = given(torch.float64)
    tangent = torch.func.jvp(lambda x: module(x)[0].sum(), (x,), (torch.ones_like(x),))[1]
    slope = torch.func.grad(lambda x: module(x)[0].sum())(x).sum()
    _check((tangent, tangent), (slope, slope))


def second_derivatives() -> None:
    module = unrolled.GRU(H_in, H_out, dtype=torch.float64)
    x = given(torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(module(x)[0].sin().sum(), x, create_graph=True)
    torch.autograd.grad(slope.square().sum(), [*module.parameters()])


def _fast_gradients(run: Callable[[Any, Tensor], Any]) -> None:
    module = unrolled.GRU(H_in, H_out, fast=True)
    x = given().requires_grad_()
    run(module, x)[0].sin().sum().backward()
    (expected,) = torch.autograd.grad(
        module(given_x := x.detach().requires_grad_())[0].sin().sum(), given_x
    )
    _check((x.grad, x.grad), (expected, expected))


def fast_checkpointed() -> None:
    _fast_gradients(lambda module, x: checkpoint(module, x, use_reentrant=False))


def fast_with_hooks() -> None:
    def run(module: Any, x: Tensor) -> Any:
        with torch.autograd.graph.saved_tensors_hooks(lambda t: t.numpy(), torch.from_numpy):
            return module(x)

    _fast_gradients(run)


def under_autocast() -> None:
    module = unrolled.GRU(H_in, H_out)
    with torch.autocast("cpu"):
        module(given())


def normed() -> None:
    module = parametrizations.weight_norm(unrolled.GRU(H_in, H_out), "weight_hh_l0")
    module(given())


def copied() -> None:
    module = unrolled.GRU(H_in, H_out)
    for twin in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        _check(twin(given()), module(given()))


def for_numpy() -> None:
    drawn = unrolled.uniform_parameters("GRU", H_in, H_out, seed=7)
    torch.manual_seed(7)
    for name, parameter in nn.GRU(H_in, H_out).named_parameters():
        if not np.array_equal(parameter.detach().numpy(), drawn[name]):
            raise AssertionError(f"{name} is drawn in another way")


NEW = "torch.export for every length"  # which needs an operator that old versions lack
FEATURES: dict[str, Callable[[], None]] = {
    "torch.compile(fullgraph=True)": compiled,
    "torch.compile(fullgraph=True) with lengths": compiled_with_lengths,
    "torch.compile(fullgraph=True) of fast": compiled_fast,
    "torch.export": exported,
    NEW: exported_for_every_length,
    "torch.jit.trace": traced,
    "torch.func.vmap": mapped,
    "torch.func.jvp": forward_mode,
    "second derivatives": second_derivatives,
    "checkpointing of fast": fast_checkpointed,
    "saved-tensor hooks of fast": fast_with_hooks,
    "autocast": under_autocast,
    "weight_norm": normed,
    "copies and pickles": copied,
    "NumPy draws the parameters of torch.nn": for_numpy,
}


def features() -> Facts:
    found: Facts = {}
    for name, feature in FEATURES.items():
        torch.compiler.reset()
        torch.manual_seed(0)
        try:
            feature()
        except Exception as error:
            found[name] = plain(re.split(r"\n\s*\n", f"{type(error).__name__}: {error}")[0])
        else:
            found[name] = "works"
    return found


# -- Accounts -------------------------------------------------------------------------------------

SECTIONS: dict[str, Callable[[], Facts]] = {
    "messages": messages,
    "shapes": shapes,
    "sources": sources,
    "defaults": defaults,
    "operators": operators_run,
    "kernels": kernels,
    "equality": equality,
    "features": features,
}
EVERYWHERE = ("shapes", "sources", "defaults")
"""The sections that are the same on any machine; the others may depend on its processor."""


def machine() -> str:
    return f"{platform.system()} {platform.machine()}"


def take() -> Facts:
    """Take the account of the installed PyTorch, without what only running pages and tests says."""
    head = {
        "torch": release(),
        "revision": torch.version.git_version,
        "taken on": machine(),
        "taken with": f"Python {platform.python_version()}, NumPy {np.__version__}",
    }
    return head | {name: section() for name, section in SECTIONS.items()}


def kept(version: str) -> Facts | None:
    """Read the account that is kept for a version."""
    file = KEPT / f"{version}.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else None


def keep(account: Facts) -> Path:
    KEPT.mkdir(exist_ok=True)
    file = KEPT / f"{account['torch']}.json"
    file.write_text(json.dumps(account, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return file


def flat(facts: Any, *path: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Give each value of nested facts with the names that lead to it."""
    if not isinstance(facts, dict):
        yield path, str(facts)
        return
    for name, fact in facts.items():
        yield from flat(fact, *path, name)


def differences(
    before: Facts, now: Facts, sections: tuple[str, ...] = tuple(SECTIONS)
) -> list[Difference]:
    """List what is not as in an account."""
    found = []
    for section in sections:
        old, new = (dict(flat(account.get(section, {}))) for account in (before, now))
        for path in [*old, *(path for path in new if path not in old)]:
            said, is_now = old.get(path, "(nothing)"), new.get(path, "(nothing)")
            if said != is_now:
                found.append(Difference(f"account: {section}", ": ".join(path), said, is_now))
    return found


def placed(difference: Difference) -> Difference:
    """Say which page speaks of a difference from an account, if it is one page."""
    section = difference.page.removeprefix("account: ")
    if section == "docstrings":
        return difference._replace(page=OFFICIAL)
    if section == "messages":
        for page in DOCS.glob("practice/errors_*.md"):
            if f"({difference.heading})=" in page.read_text("utf-8"):
                return difference._replace(page=f"practice/{page.stem}")
    return difference


def compared(before: Facts, now: Facts) -> list[Difference]:
    """List facts that changed, what fails now and did not, and what failed and does no more."""
    found = [placed(d) for d in differences(before, now, (*SECTIONS, "docstrings"))]
    for name in ("tests", "pages"):
        old, new = (
            {fault[:3]: fault for each in facts.get(name, ()) if (fault := Difference(**each))}
            for facts in (before, now)
        )
        found += [fault for key, fault in new.items() if key not in old]
        found += [
            fault._replace(said=f"failed: {fault.now}", now="as the page or the test says")
            for key, fault in old.items()
            if key not in new
        ]
    return found


def listed(faults: Iterable[Difference]) -> list[dict[str, str]]:
    return [fault._asdict() for fault in faults]


def nearest(version: str) -> str:
    """Name the newest version that has an account and is not newer than this one."""

    def order(version: str) -> list[int]:
        return [int(number) for number in re.findall(r"\d+", version)[:3]]

    versions = sorted((file.stem for file in KEPT.glob("*.json")), key=order)
    older = [each for each in versions if order(each) <= order(version)]
    return (older or versions)[-1]


if __name__ == "__main__":
    # Whatever else is printed, by compilers above all, is not part of the account.
    with contextlib.redirect_stdout(sys.stderr):
        account = take()
    print(json.dumps(account, indent=1, ensure_ascii=False))

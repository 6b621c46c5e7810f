"""Train small networks in libraries that use `torch.nn`, with its modules and with ours in place.

    nox -s clients            # half a minute, once everything is installed
    nox -s clients -- skorch  # only the libraries whose name begins like this

One line for each library and module: a network is trained three times from one seed, with
`torch.nn`, and with our exact and our fast modules, which `from_torch` puts there. The largest
difference of all losses (or of what the library computes instead) counts, relative to the largest
loss if that is above 1. oneDNN is off, so that PyTorch runs its own loop for an LSTM, which ours
equals bit for bit. A full run writes the table to a JSON file, which a page reads. The exit status
is 1 if a difference is too large, or if a module did not run as it should.
"""

import copy
import json
import logging
import platform
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from importlib import metadata
from typing import Any, NamedTuple

import lightning
import numpy as np
import pandas as pd
import pytorch_forecasting
import torch
import torchinfo
from captum.attr import DeepLift, IntegratedGradients
from opacus import PrivacyEngine
from opacus.layers import DPGRU, DPLSTM
from opacus.validators import ModuleValidator
from pytorch_forecasting.models.nn import rnn as forecasting
from sb3_contrib import RecurrentPPO
from skorch import NeuralNetClassifier
from tensordict import TensorDict
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchrl.modules import GRUModule, LSTMModule, set_recurrent_mode

from unrolled import fast, from_torch, modules, to_torch
from unrolled_site.data import FOLDER

warnings.simplefilter("ignore")  # of the libraries, which are not ours to mend
logging.disable(logging.WARNING)
torch.set_num_threads(1)
backend: Any = torch.backends.mkldnn  # its attributes have other types than what they accept
backend.enabled = False

N, L, I, H = 48, 5, 10, 20  # noqa: E741 # its name on the pages
BATCH = 16
KINDS = ("RNN", "GRU", "LSTM")
ROUNDING = 1e-5  # of float32, after some steps of training
OUTPUT = FOLDER / "clients.json"
PACKAGES = (
    *("torch", "captum", "lightning", "skorch", "torchrl", "sb3-contrib", "opacus", "torchinfo"),
    *("pytorch-forecasting", "numpy"),
)

Convert = Callable[[Any], Any]
taken: list[None] = []  # one for each call that took the fast path
notes: dict[str, Any] = {}  # what else was found


class Case(NamedTuple):
    """A library with one kind of module in it."""

    library: str
    what: str
    kind: str
    run: Callable[[str, Convert], list[float]]
    bound: float = 0.0  # of the exact modules
    runs_fast: bool = True


class Net(nn.Module):
    """A recurrent module and what reads its last output."""

    def __init__(self, kind: str, convert: Convert) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.rnn = getattr(nn, kind)(I, H, batch_first=True)
        self.head = nn.Linear(H, 2)
        convert(self)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(x)[0][:, -1])  # (N, 2)


torch.manual_seed(0)
X = torch.randn(N, L, I)
Y = (X[:, 0, 0] > 0).long()  # what the network has to remember


def batches(shuffle: bool = False) -> Any:
    return DataLoader(TensorDataset(X, Y), BATCH, shuffle=shuffle)


def trained(model: Any, epochs: int = 2) -> list[float]:
    optimizer, losses = torch.optim.Adam(model.parameters(), 1e-2), []
    for _ in range(epochs):
        for x, y in batches():
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x), y)
            torch.autograd.backward(loss)
            optimizer.step()
            losses.append(loss.item())
    return losses


def in_captum(kind: str, convert: Convert) -> list[float]:
    net = Net(kind, convert)
    losses = trained(net)
    for method in (IntegratedGradients(net), DeepLift(net)):
        losses += method.attribute(X[:BATCH], target=1).flatten().tolist()
    return losses


class Lit(lightning.LightningModule):  # type: ignore[misc] # is Any where lightning is not installed
    def __init__(self, kind: str, convert: Convert) -> None:
        super().__init__()
        self.net = Net(kind, convert)
        self.losses: list[float] = []

    def training_step(self, batch: Any, _: int) -> Tensor:
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.losses.append(loss.item())
        return loss

    def configure_optimizers(self) -> Any:
        return torch.optim.Adam(self.parameters(), 1e-2)


def trainer(**options: Any) -> Any:
    return lightning.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        gradient_clip_val=1.0,
        **options,
    )


def in_lightning(kind: str, convert: Convert) -> list[float]:
    lit = Lit(kind, convert)
    trainer(max_epochs=2).fit(lit, batches(shuffle=True))
    return lit.losses


def in_skorch(kind: str, convert: Convert) -> list[float]:
    net = NeuralNetClassifier(
        Net,
        module__kind=kind,
        module__convert=convert,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=1e-2,
        max_epochs=3,
        batch_size=BATCH,
        verbose=0,
    )
    net.fit(X.numpy(), Y.numpy())
    history = net.history
    return [*history[:, "train_loss"], *history[:, "valid_loss"]]


def in_torchrl(kind: str, convert: Convert, resets: bool) -> list[float]:
    states = ["h", "c"] if kind == "LSTM" else ["h"]
    keys = {"in_keys": ["x", *states], "out_keys": ["y", *(("next", s) for s in states)]}
    torch.manual_seed(0)
    module = {"GRU": GRUModule, "LSTM": LSTMModule}[kind](input_size=I, hidden_size=H, **keys)
    convert(module)
    optimizer, losses = torch.optim.Adam(module.parameters(), 1e-2), []
    first = torch.zeros(N, L, 1, dtype=torch.bool)
    first[::2, 2] = resets  # a new trajectory begins
    for _ in range(4):
        data = {"x": X, "is_init": first} | {s: torch.zeros(N, L, 1, H) for s in states}
        with set_recurrent_mode(True):
            found = module(TensorDict(data, [N, L]))
        loss = (found["y"][:, -1, 0] - X[:, 0, 0]).pow(2).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    return losses


def in_sb3(kind: str, convert: Convert) -> list[float]:
    options = {"n_steps": 64, "batch_size": 32, "n_epochs": 2, "seed": 0, "device": "cpu"}
    model = RecurrentPPO(
        "MlpLstmPolicy", "CartPole-v1", policy_kwargs={"lstm_hidden_size": H}, **options
    )
    convert(model.policy)
    losses = []
    for _ in range(3):
        model.learn(64, reset_num_timesteps=False)
        losses.append(model.logger.name_to_value["train/loss"])
    return losses


def in_opacus(kind: str, convert: Convert) -> list[float]:
    net = Net(kind, convert)
    fixed = ModuleValidator.fix(to_torch(copy.deepcopy(net)))
    if type(fixed.rnn) is not {"GRU": DPGRU, "LSTM": DPLSTM}[kind]:
        sys.exit(f"Opacus has not replaced {type(fixed.rnn)}")
    apart = float((fixed(X) - net(X)).abs().max())
    notes[f"opacus, {kind}, DP{kind} against ours"] = max(
        apart, notes.get(f"opacus, {kind}, DP{kind} against ours", 0.0)
    )
    optimizer, losses = torch.optim.SGD(fixed.parameters(), 0.1), []
    private, optimizer, loader = PrivacyEngine().make_private(
        module=fixed,
        optimizer=optimizer,
        data_loader=batches(),
        noise_multiplier=0.5,
        max_grad_norm=1.0,
        poisson_sampling=False,
    )
    for x, y in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(private(x), y)
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    return losses


def in_opacus_as_it_is() -> None:
    """See what happens to somebody who does not know of `to_torch`."""
    net = ModuleValidator.fix(Net("LSTM", from_torch))
    found = [str(error) for error in ModuleValidator.validate(net, strict=False)]
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    private, _, loader = PrivacyEngine().make_private(
        module=net,
        optimizer=optimizer,
        data_loader=batches(),
        noise_multiplier=0.5,
        max_grad_norm=1.0,
    )
    try:
        for x, y in loader:
            torch.autograd.backward(nn.functional.cross_entropy(private(x), y))
    except TypeError as error:
        notes["opacus without to_torch"] = {"validate": found, "error": f"TypeError: {error}"}
    else:
        sys.exit("Opacus takes ours as they are: say so")


def in_torchinfo(kind: str, convert: Convert) -> list[float]:
    found = torchinfo.summary(Net(kind, convert), input_data=X[:3], verbose=0)
    rows = [number for info in found.summary_list for number in (*info.output_size, info.macs)]
    return [found.total_params, found.total_mult_adds, found.total_output_bytes, *rows]


def series() -> Any:
    t = np.arange(40)
    rows = [pd.DataFrame({"t": t, "y": np.sin(t / 3 + g), "group": str(g)}) for g in range(3)]
    return pytorch_forecasting.TimeSeriesDataSet(
        pd.concat(rows, ignore_index=True),
        time_idx="t",
        target="y",
        group_ids=["group"],
        min_encoder_length=3,
        max_encoder_length=8,
        max_prediction_length=3,
        time_varying_unknown_reals=["y"],
    )


class Losses(lightning.Callback):  # type: ignore[misc] # is Any where lightning is not installed
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, _: Any, __: Any, outputs: Any, *___: Any) -> None:
        self.losses.append(outputs["loss"].item())


def in_forecasting(kind: str, convert: Convert, model: str) -> list[float]:
    lightning.seed_everything(0, verbose=False)
    data, losses = series(), Losses()
    cell = {"cell_type": kind} if model == "RecurrentNetwork" else {}
    network = getattr(pytorch_forecasting, model).from_dataset(data, hidden_size=8, **cell)
    try:
        from_torch(network)
    except TypeError as error:
        notes[f"pytorch-forecasting, {model}, {kind}"] = str(error)
    else:
        sys.exit("pytorch-forecasting has no subclasses of torch.nn's modules any more: say so")
    for module in network.modules():
        if isinstance(module, forecasting.RNN):
            _rebase(module, kind, convert)
    loader = data.to_dataloader(train=True, batch_size=BATCH, num_workers=0)
    trainer(max_epochs=1, limit_train_batches=4, callbacks=[losses]).fit(network, loader)
    return losses.losses


def _rebase(module: Any, kind: str, convert: Convert) -> None:
    """Put the library's own methods on our class, as its subclass has them on torch's."""
    other = convert(getattr(nn, kind)(1, 1))
    own = {k: v for k, v in vars(getattr(forecasting, kind)).items() if callable(v)}
    module.__class__ = type(kind, (forecasting.RNN, type(other)), own)
    vars(module).update({k: v for k, v in vars(other).items() if k in ("step", "fast")})


def cases() -> Iterator[Case]:
    everywhere: dict[tuple[str, str], Any] = {
        ("captum", "IntegratedGradients and DeepLift of a trained network"): in_captum,
        ("lightning", "Trainer with clipped gradients"): in_lightning,
        ("skorch", "NeuralNetClassifier"): in_skorch,
        ("torchinfo", "summary: shapes, parameters, multiply-adds"): in_torchinfo,
    }
    for (library, what), run in everywhere.items():
        for kind in KINDS:
            yield Case(library, what, kind, run)
    for kind in ("GRU", "LSTM"):
        name = f"{kind}Module"
        yield Case("torchrl", name, kind, partial(in_torchrl, resets=False))
        yield Case(  # which packs for torch.nn, and passes a mask to ours
            *("torchrl", f"{name}, trajectories that end", kind, partial(in_torchrl, resets=True)),
            bound=ROUNDING,
            runs_fast=False,
        )
    yield Case("sb3-contrib", "RecurrentPPO on CartPole", "LSTM", in_sb3)
    for kind in ("GRU", "LSTM"):
        yield Case("opacus", f"to_torch, then DP{kind} and DP-SGD", kind, in_opacus)
    for kind, model in (
        *(("GRU", "RecurrentNetwork"), ("LSTM", "RecurrentNetwork")),
        ("LSTM", "TemporalFusionTransformer"),
    ):
        yield Case(
            *("pytorch-forecasting", f"{model}, our class below its methods", kind),
            partial(in_forecasting, model=model),
        )


def counted(*arguments: Any) -> Any:
    returned, direction = fast.try_fast(*arguments)
    if returned is not None or direction is not None:
        taken.append(None)
    return returned, direction


def converted(model: Any, fast: bool) -> Any:
    """Convert, and see to it that there was something to convert."""
    from_torch(model, fast)
    if not any(isinstance(m, modules.Recurrent) and m.fast == fast for m in model.modules()):
        sys.exit(f"Nothing of ours is in {type(model).__name__}")
    return model


def measured(case: Case) -> dict[str, Any]:
    found, calls = {}, {}
    ways: dict[str, Convert] = {
        "torch.nn": lambda model: model,
        "exact": partial(converted, fast=False),
        "fast": partial(converted, fast=True),
    }
    for way, convert in ways.items():
        taken.clear()
        lightning.seed_everything(0, verbose=False)
        found[way] = torch.tensor(case.run(case.kind, convert), dtype=torch.float64)
        calls[way] = len(taken)
    scale = max(1.0, float(found["torch.nn"].abs().max()))
    apart = {
        w: float((found[w] - found["torch.nn"]).abs().max()) / scale for w in ("exact", "fast")
    }
    right = (
        apart["exact"] <= case.bound
        and apart["fast"] <= ROUNDING
        and calls["torch.nn"] == calls["exact"] == 0
        and (calls["fast"] > 0) == case.runs_fast
        and len(found["torch.nn"]) > 1
    )
    print(
        f"{case.library:20}{case.kind:5}{case.what:56}{len(found['torch.nn']):5} numbers  "
        f"exact {apart['exact']:.1e}  fast {apart['fast']:.1e}, {calls['fast']:4} calls  "
        f"{'ok' if right else 'WRONG'}",
        flush=True,
    )
    return {
        "library": case.library,
        "what": case.what,
        "kind": case.kind,
        "numbers": len(found["torch.nn"]),
        **apart,
        "fast_calls": calls["fast"],
        "right": right,
    }


def main(wanted: str = "") -> int:
    modules._try_fast = counted
    versions = {name: metadata.version(name) for name in PACKAGES}
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    rows = [measured(case) for case in cases() if case.library.startswith(wanted)]
    if "opacus".startswith(wanted):
        in_opacus_as_it_is()
    for name, note in notes.items():
        print(f"{name}: {note}")
    if not wanted:
        content = {
            "date": date.today().isoformat(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "versions": versions,
            "rows": rows,
            "notes": notes,
        }
        OUTPUT.write_text(json.dumps(content, indent=1) + "\n", "utf-8")
    right = [row["right"] for row in rows]
    print(f"{len(right)} cases, {len(right) - sum(right)} wrong")
    return 0 if right and all(right) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""Ask the libraries themselves whether ported weights give the same numbers.

    nox -s porting          # about two minutes
    nox -s porting -- flax  # only the layouts whose name begins like this

One line for each case: random weights go from PyTorch to the library and from the library to
PyTorch, in one and two layers, one and two directions; both sides run on sequences of unequal
length, from random states, and the largest difference of all outputs and final states counts. Files
that Keras saves and models that PyTorch exports are read, too. The exit status is 1 if a difference
is too large.
"""

import contextlib
import io
import itertools
import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

os.environ["KERAS_BACKEND"] = "torch"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import equinox
import jax
import jax.numpy as jnp
import keras
import numpy as np
import onnx
import onnxruntime
import torch
from flax import linen, nnx, traverse_util
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unrolled.porting import LAYOUTS, from_layout, to_layout
from unrolled.porting.__main__ import main as command_line
from unrolled.porting.onnx_file import onnx_bytes

logging.getLogger("absl").setLevel(logging.ERROR)  # Keras warns that its older format is older
jax.config.update("jax_enable_x64", True)
torch.manual_seed(0)

N, L, H_in, H_out = 3, 6, 4, 5
LENGTHS = np.array([6, 2, 4])
VALID = np.arange(L) < LENGTHS[:, None]  # (N, L)
PACKAGES = ("torch", "numpy", "keras", "onnx", "onnxruntime", "flax", "equinox", "jax")
# ONNX Runtime has these operators in float32 alone; Keras, asked for float64, still rounds to it.
SINGLE = ("keras", "onnx")
TOLERANCE = {False: 1e-12, True: 1e-6}  # in float64, and in float32
RNG = np.random.default_rng(0)
BOUND = 1 / np.sqrt(H_out)  # of the weights that start at the library, as it is in PyTorch

Layers = list[list[dict[str, NDArray[Any]]]]


class Case(NamedTuple):
    """A network, and what goes in."""

    layout: str
    kind: str
    nonlinearity: str
    num_layers: int
    D: int
    x: NDArray[Any]  # (N, L, H_in)
    states: list[NDArray[Any]]  # h_0, of an LSTM also c_0: (D * num_layers, N, H_out)

    def module(self) -> Any:
        options = {"nonlinearity": self.nonlinearity} if self.kind == "RNN" else {}
        return getattr(nn, self.kind)(
            H_in,
            H_out,
            self.num_layers,
            batch_first=True,
            bidirectional=self.D == 2,
            dtype=torch.from_numpy(self.x).dtype,
            **options,
        )

    def initial(self, layer: int, direction: int) -> list[NDArray[Any]]:
        return [state[self.D * layer + direction] for state in self.states]


class Results(NamedTuple):
    """What comes out."""

    output: NDArray[Any]  # (N, L, D * H_out)
    states: list[NDArray[Any]]  # as in `Case`


def in_torch(case: Case, module: Any) -> Results:
    lengths = torch.from_numpy(LENGTHS)
    packed = pack_padded_sequence(torch.from_numpy(case.x), lengths, True, enforce_sorted=False)
    hx = [torch.from_numpy(state) for state in case.states]
    with torch.no_grad():
        output, states = module(packed, tuple(hx) if case.kind == "LSTM" else hx[0])
    output = pad_packed_sequence(output, batch_first=True, total_length=L)[0]
    return Results(output.numpy(), [s.numpy() for s in (states if len(hx) == 2 else [states])])


Step = Callable[[int, int, NDArray[Any]], tuple[NDArray[Any], list[NDArray[Any]]]]


def stacked(case: Case, run: Step) -> Results:
    """Put layers and directions together that a library runs one by one."""
    x, states = case.x, []
    for layer in range(case.num_layers):
        outputs = []
        for direction in range(case.D):
            output, last = run(layer, direction, x)
            outputs.append(output)
            states.append(last)
        x = np.concatenate(outputs, axis=2)
    return Results(x, [np.stack(parts) for parts in zip(*states, strict=True)])


def keras_layer(
    case: Case, number: int, directions: list[dict[str, NDArray[Any]]], **options: Any
) -> Any:
    """Make a layer of Keras with these weights."""
    name = {"RNN": "SimpleRNN"}.get(case.kind, case.kind)
    if case.kind == "RNN":
        options["activation"] = case.nonlinearity
    layer = getattr(keras.layers, name)(H_out, return_sequences=True, **options)
    if case.D == 2:
        layer = keras.layers.Bidirectional(layer, merge_mode="concat")
    layer.build((N, L, case.D * H_out if number else H_in))
    assert [w.shape for w in layer.get_weights()] == [
        a.shape for arrays in directions for a in arrays.values()
    ]
    layer.set_weights([array for arrays in directions for array in arrays.values()])
    return layer


def in_keras(case: Case, layers: Layers, **options: Any) -> Results:
    x, states = case.x, []
    for number, directions in enumerate(layers):
        layer = keras_layer(case, number, directions, return_state=True, **options)
        initial = [
            torch.from_numpy(state) for d in range(case.D) for state in case.initial(number, d)
        ]
        with torch.no_grad():
            output, *last = layer(
                torch.from_numpy(x), initial_state=initial, mask=torch.from_numpy(VALID)
            )
        x = output.numpy() * VALID[..., None]
        width = len(case.states)
        states += [last[width * d : width * (d + 1)] for d in range(case.D)]
    found = [np.stack([s.numpy() for s in parts]) for parts in zip(*states, strict=True)]
    return Results(x, found)


def in_onnx(case: Case, model: bytes) -> Results:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feed = dict(zip(("h_0", "c_0"), case.states, strict=False))
    feed |= {"input": case.x.swapaxes(0, 1), "lengths": LENGTHS.astype(np.int32)}
    output, *states = session.run(None, feed)
    return Results(output.swapaxes(0, 1), states)


def in_linen(case: Case, layers: Layers) -> Results:
    cells = {"RNN": linen.SimpleCell, "GRU": linen.GRUCell, "LSTM": linen.OptimizedLSTMCell}
    options = {"activation_fn": getattr(jax.nn, case.nonlinearity)} if case.kind == "RNN" else {}

    def run(layer: int, direction: int, x: NDArray[Any]) -> Any:
        results = []
        for cell in {cells[case.kind], *([linen.LSTMCell] if case.kind == "LSTM" else [])}:
            network = linen.RNN(
                cell(H_out, dtype=jnp.float64, param_dtype=jnp.float64, **options),
                return_carry=True,
                reverse=direction == 1,
                keep_order=True,
            )
            nested = traverse_util.unflatten_dict(layers[layer][direction], sep=".")
            fresh = network.init(jax.random.key(0), jnp.asarray(x))["params"]["cell"]
            assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, nested)
            carry = [jnp.asarray(state) for state in case.initial(layer, direction)]
            last, output = network.apply(
                {"params": {"cell": nested}},
                jnp.asarray(x),
                initial_carry=tuple(carry[::-1]) if len(carry) == 2 else carry[0],  # (c, h)
                seq_lengths=jnp.asarray(LENGTHS),
            )
            last = last[::-1] if len(carry) == 2 else (last,)
            results.append([np.asarray(output) * VALID[..., None], *map(np.asarray, last)])
        for other in results[1:]:
            assert all(np.allclose(a, b, 0, 1e-12) for a, b in zip(other, results[0], strict=True))
        output, *states = results[0]
        return output, states

    return stacked(case, run)


def in_nnx(case: Case, layers: Layers) -> Results:
    name = LAYOUTS[case.layout][case.kind].module.rpartition(".")[2]
    options = {"activation_fn": getattr(jax.nn, case.nonlinearity)} if case.kind == "RNN" else {}

    def run(layer: int, direction: int, x: NDArray[Any]) -> Any:
        cell = getattr(nnx, name)(
            x.shape[2],
            H_out,
            dtype=jnp.float64,
            param_dtype=jnp.float64,
            rngs=nnx.Rngs(0),
            **options,
        )
        arrays = layers[layer][direction]
        fresh = {
            ".".join(map(str, path)): value
            for path, value in nnx.to_flat_state(nnx.state(cell, nnx.Param))
        }
        fresh = {path: value for path, value in fresh.items() if value[...] is not None}
        assert {path: value[...].shape for path, value in fresh.items()} == {
            path: array.shape for path, array in arrays.items()
        }
        for path, array in arrays.items():
            part, leaf = path.split(".")
            setattr(getattr(cell, part), leaf, nnx.Param(jnp.asarray(array)))
        network = nnx.RNN(cell, return_carry=True, reverse=direction == 1, keep_order=True)
        carry = [jnp.asarray(state) for state in case.initial(layer, direction)]
        last, output = network(
            jnp.asarray(x),
            initial_carry=tuple(carry[::-1]) if len(carry) == 2 else carry[0],  # (c, h)
            seq_lengths=jnp.asarray(LENGTHS),
        )
        last = last[::-1] if len(carry) == 2 else (last,)
        return np.asarray(output) * VALID[..., None], [np.asarray(state) for state in last]

    return stacked(case, run)


def in_equinox(case: Case, layers: Layers) -> Results:
    def run(layer: int, direction: int, x: NDArray[Any]) -> Any:
        arrays = layers[layer][direction]
        cell = getattr(equinox.nn, f"{case.kind}Cell")(x.shape[2], H_out, key=jax.random.key(0))
        assert {name: getattr(cell, name).shape for name in arrays} == {
            name: array.shape for name, array in arrays.items()
        }
        cell = equinox.tree_at(
            lambda c: [getattr(c, name) for name in arrays],
            cell,
            [jnp.asarray(array) for array in arrays.values()],
        )
        batched = jax.jit(jax.vmap(cell))
        state: Any = tuple(jnp.asarray(part) for part in case.initial(layer, direction))
        output = np.zeros((N, L, H_out))
        for t in range(L) if direction == 0 else reversed(range(L)):
            new = batched(x[:, t], state if len(state) == 2 else state[0])
            new = new if isinstance(new, tuple) else (new,)
            there = VALID[:, t, None]
            state = tuple(jnp.where(there, a, b) for a, b in zip(new, state, strict=True))
            output[:, t] = np.where(there, state[0], 0)
        return output, [np.asarray(part) for part in state]

    return stacked(case, run)


LIBRARIES: dict[str, Any] = {
    "keras": in_keras,
    "onnx": in_onnx,
    "flax.linen": in_linen,
    "flax.nnx": in_nnx,
    "flax.nnx.LSTMCell": in_nnx,
    "equinox": in_equinox,
}


def difference(ours: Results, theirs: Results) -> float:
    pairs = zip([ours.output, *ours.states], [theirs.output, *theirs.states], strict=True)
    return max(float(np.abs(a - b).max()) for a, b in pairs)


def through_files(case: Case, source: str, content: bytes, target: str, *options: str) -> bytes:
    """Convert a file on the command line."""
    with tempfile.TemporaryDirectory() as name, contextlib.redirect_stdout(io.StringIO()):
        folder = Path(name)
        (folder / source).write_bytes(content)
        arguments = [case.kind, str(folder / source), str(folder / target)]
        if target.endswith(".onnx") and case.kind == "RNN":
            arguments += ["--nonlinearity", case.nonlinearity]
        if command_line([*arguments, *options]) != 0:
            sys.exit(f"{source} did not become {target}")
        return (folder / target).read_bytes()


def to_onnx(case: Case, module: Any) -> bytes:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    return through_files(case, "a.pt", file.getvalue(), "a.onnx")


def from_torch(case: Case) -> float:
    """Send PyTorch's weights to the library."""
    module = case.module()
    if (case.layout, case.kind) == ("flax.nnx", "GRU"):  # it has no b_hn
        for name, parameter in module.named_parameters():
            if name.startswith("bias_hh"):
                parameter.data[2 * H_out :] = 0
    if case.layout == "onnx":
        theirs = in_onnx(case, to_onnx(case, module))
    else:
        layers = to_layout(case.layout, case.kind, module.state_dict())
        theirs = LIBRARIES[case.layout](case, layers)
    return difference(in_torch(case, module), theirs)


def drawn(case: Case) -> Layers:
    """Draw weights that the library will have before PyTorch has them."""
    module = case.module()
    state = {k: p * (not k.startswith("bias")) for k, p in module.state_dict().items()}
    layers = to_layout(case.layout, case.kind, state)  # for the shapes
    for directions in layers:
        for arrays in directions:
            for name, array in arrays.items():
                arrays[name] = RNG.uniform(-BOUND, BOUND, array.shape).astype(array.dtype)
    return layers


def to_torch(case: Case) -> float:
    """Send weights that the library has run to PyTorch."""
    module, layers = case.module(), drawn(case)
    if case.layout == "onnx":
        model = onnx_bytes(case.kind, layers, case.nonlinearity)
        theirs = in_onnx(case, model)
        back = io.BytesIO(through_files(case, "a.onnx", model, "a.pt"))
        module.load_state_dict(torch.load(back, weights_only=True))
    else:
        theirs = LIBRARIES[case.layout](case, layers)
        ported = from_layout(case.layout, case.kind, layers)
        module.load_state_dict({name: torch.from_numpy(array) for name, array in ported.items()})
    return difference(in_torch(case, module), theirs)


def saved(case: Case, name: str) -> float:
    """Read the file that Keras writes for a model."""
    layers = [keras_layer(case, *numbered) for numbered in enumerate(drawn(case))]
    model = keras.Sequential([keras.Input((L, H_in)), *layers])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        (model.save_weights if name.endswith(".weights.h5") else model.save)(path)
        content = path.read_bytes()
    named = [part for layer in layers for part in ("--layer", layer.name)]
    state = io.BytesIO(through_files(case, name, content, "a.pt", *named))
    module = case.module()
    module.load_state_dict(torch.load(state, weights_only=True))
    with torch.no_grad():
        theirs, ours = model(torch.from_numpy(case.x)), module(torch.from_numpy(case.x))[0]
    return float((theirs - ours).abs().max())


def exported(case: Case) -> float:
    """Read the model that PyTorch's own exporter writes."""
    module, file = case.module(), io.BytesIO()
    with warnings.catch_warnings(action="ignore"):  # this exporter is the old one
        torch.onnx.export(
            module,
            (torch.from_numpy(case.x),),
            file,  # type: ignore[arg-type] # a file object is taken, too
            dynamo=False,
        )
    back = case.module()
    state = io.BytesIO(through_files(case, "a.onnx", file.getvalue(), "a.pt"))
    back.load_state_dict(torch.load(state, weights_only=True))
    return difference(in_torch(case, module), in_torch(case, back))


def other_gru(case: Case) -> float:
    """Run the weights in the GRU that is refused, to see that a mistake would show."""
    module = case.module()
    if case.layout == "onnx":
        model = onnx.load_model_from_string(to_onnx(case, module))
        for node in model.graph.node:
            for attribute in node.attribute:
                if attribute.name == "linear_before_reset":
                    attribute.i = 0
        theirs = in_onnx(case, model.SerializeToString())
    else:
        layers = to_layout(case.layout, case.kind, module.state_dict())
        for directions in layers:
            for arrays in directions:
                arrays["bias"] = arrays["bias"].sum(axis=0)
        theirs = in_keras(case, layers, reset_after=False)
    return difference(in_torch(case, module), theirs)


def cases(layout: str, kind: str) -> Iterator[Case]:
    dtype = np.float32 if layout in SINGLE else np.float64

    def draw(*shape: int) -> NDArray[Any]:
        return RNG.standard_normal(shape).astype(dtype)

    for nonlinearity in ("tanh", "relu") if kind == "RNN" else ("tanh",):
        for num_layers, D in itertools.product((1, 2), (1, 2)):
            states = [draw(D * num_layers, N, H_out) for _ in range(1 + (kind == "LSTM"))]
            yield Case(layout, kind, nonlinearity, num_layers, D, draw(N, L, H_in), states)


def report(case: Case, way: str, found: float, right: bool) -> bool:
    name = case.kind + ("" if case.nonlinearity == "tanh" else f" {case.nonlinearity}")
    print(
        f"{LAYOUTS[case.layout][case.kind].module:30}{name:9}{case.num_layers} layer"
        f"{'s' * (case.num_layers > 1):1}  {case.D} direction{'s' * (case.D > 1):1}  {way:12}"
        f"{found:.1e}  {'ok' if right else 'WRONG'}",
        flush=True,
    )
    return right


def main(wanted: str = "") -> int:
    versions = (f"{name} {metadata.version(name)}" for name in PACKAGES)
    print(", ".join(versions))
    right = []
    for layout in LIBRARIES:
        for kind in LAYOUTS[layout] if layout.startswith(wanted) else ():
            for case in cases(layout, kind):
                ways: dict[str, Callable[[Case], float]]
                ways = {"from torch": from_torch, "to torch": to_torch}
                if layout == "onnx":
                    ways["exported"] = exported
                if layout == "keras":
                    files = ("a.keras", "a.weights.h5", "a.h5")
                    ways |= {file[1:]: partial(saved, name=file) for file in files}
                for way, port in ways.items():
                    found = port(case)
                    right.append(report(case, way, found, found < TOLERANCE[layout in SINGLE]))
                if kind == "GRU" and layout in ("keras", "onnx"):
                    found = other_gru(case)
                    right.append(report(case, "other GRU", found, found > 0.01))
    print(f"{len(right)} cases, {len(right) - sum(right)} wrong")
    return 0 if right and all(right) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""What the tests of the laboratory share: its scripts in V8, tensors in and out, and mutations."""

import json
import math
import runpy
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from py_mini_racer import MiniRacer
from torch import Tensor

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "docs" / "_lab"
CORE = SOURCES / "core"
JOINING = runpy.run_path(str(ROOT / "docs" / "_ext" / "joined_modules.py"))
bundle, NotUnderstoodError = JOINING["bundle"], JOINING["NotUnderstoodError"]
CLOSE = 1e-6  # relative to the largest

# What a call receives and returns is JSON, which has no arrays of float32. Each is exact as a
# double. `RUN` holds the functions that a test calls.
TRANSFER = """
const RUN = {};
function read(value) {
  if (Array.isArray(value)) return value.map(read);
  if (value === null || typeof value !== "object") return value;
  if ("shape" in value) return { shape: value.shape, data: Float32Array.from(value.data) };
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, read(part)]));
}
function written(value) {
  if (ArrayBuffer.isView(value)) return Array.from(value);
  if (Array.isArray(value)) return value.map(written);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, written(part)]));
}
function run(name, text) {
  return JSON.stringify(written(RUN[name](read(JSON.parse(text)))) ?? null);
}
"""


class Engine:
    """The joined modules in an engine, in which `LAB` holds them, with the functions of a test."""

    def __init__(
        self, racer: MiniRacer, modules: Sequence[str], functions: str, folder: Path = CORE
    ) -> None:
        self.racer = racer
        files = [folder / f"{module}.js" for module in modules]
        racer.eval(bundle(*files, name="LAB") + TRANSFER + functions)

    def __call__(self, name: str, /, **arguments: Any) -> Any:
        return json.loads(self.racer.call("run", name, json.dumps(sent(arguments))))


def sent(value: Any) -> Any:
    """Write tensors as the scripts read them."""
    if isinstance(value, Tensor):
        return {"shape": list(value.shape), "data": value.detach().flatten().tolist()}
    if isinstance(value, dict):
        return {name: sent(part) for name, part in value.items()}
    return [sent(part) for part in value] if isinstance(value, list | tuple) else value


def received(value: Any) -> Any:
    """Read tensors, wherever they are, as the scripts write them."""
    if isinstance(value, list):
        return [received(part) for part in value]
    if "shape" not in value:
        return {name: received(part) for name, part in value.items()}
    # JSON has neither NaN nor infinity, and no number here should be one.
    numbers = [math.nan if number is None else number for number in value["data"]]
    return torch.tensor(numbers, dtype=torch.float32).reshape(value["shape"])


def mutated(folder: Path, module: str, original: str, mutation: str) -> Path:
    """Copy the core with one change, and give the folder of the copy."""
    copy = folder / "core"
    shutil.copytree(CORE, copy)
    file = copy / f"{module}.js"
    text = file.read_text("utf-8")
    assert text.count(original) == 1
    file.write_text(text.replace(original, mutation), "utf-8")
    return copy

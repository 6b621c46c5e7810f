"""Use the laboratory's page on shapes as a reader does, and compare what it shows with torch."""

import runpy
import tempfile
import warnings
from asyncio import Lock
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import torch
from check_browser import load_again
from playwright.async_api import Page
from torch import nn

PAGE = "laboratory/shapes.html"
CLIPBOARD = Lock()  # all windows of a browser share it
EXAMPLE = "weight_ih_l1_reverse"  # in the executed example
LAYERS_SHOWN = 4  # of more layers, the first two and the last
READ = """
() => {
  const lab = document.querySelector("unrolled-shapes");
  const rows = (table) => [...(table?.tBodies[0].rows ?? [])].map((row) =>
    [...row.cells].slice(0, 3).map((cell) => cell.textContent));
  const [parameters, results] = lab.querySelectorAll("table");
  return {
    call: lab.querySelector("textarea").value,
    status: lab.querySelector("[role=status]").textContent,
    text: lab.innerText,
    parameters: rows(parameters),
    results: rows(results).map(([names, shape]) => [names, shape]),
  };
}
"""


class Call(NamedTuple):
    """A call of a constructor."""

    kind: str
    args: tuple[Any, ...]
    options: dict[str, Any]

    def __str__(self) -> str:
        options = (f"{name}={value!r}" for name, value in self.options.items())
        return f"nn.{self.kind}({', '.join([*map(repr, self.args), *options])})"

    def module(self) -> nn.RNNBase:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # dropout of a single layer
            rnn: nn.RNNBase = getattr(nn, self.kind)(*self.args, **self.options)
        return rnn


LEGAL = [
    Call("LSTM", (10, 20), {"num_layers": 2, "bidirectional": True, "proj_size": 5}),
    Call("RNN", (10, 20, 3, "relu", False, True), {}),
    Call("GRU", (7, 11), {"bias": False, "bidirectional": True, "dropout": 0.5}),
    Call("LSTM", (), {"hidden_size": 6, "input_size": 3, "num_layers": 9, "batch_first": True}),
    Call("RNN", (1, 1), {"nonlinearity": "tanh"}),
]
ILLEGAL = [
    Call("LSTM", (10, 0), {}),
    Call("LSTM", (10, 20), {"proj_size": 20}),
    Call("GRU", (10, 20), {"proj_size": 5}),
    Call("RNN", (10, 20), {"nonlinearity": "sigmoid"}),
    Call("LSTM", (10,), {}),
    Call("LSTM", (10, 20.0), {}),
    Call("GRU", (10, 20, -1), {}),
    Call("LSTM", (10, 20), {"bias": 1}),
    Call("RNN", (10, 20), {"dropout": "a"}),
    Call("LSTM", (10, 20, 2), {"num_layer": None} | {"zzz": 3}),
]


STATES = {
    "legal": urlencode({"call": str(LEGAL[0])}),
    "error": urlencode({"call": str(ILLEGAL[0])}),
    "empty": "call=?",
}


def error_of(make: Any) -> str:
    """Say which error a function raises, as the page writes it."""
    try:
        make()
    except (TypeError, ValueError, RuntimeError) as error:
        return f"{type(error).__name__}: {str(error).partition('. Did you mean')[0]}"
    return "no error"


def rows_of(rnn: nn.RNNBase) -> Iterator[list[str]]:
    """Give the rows of the table of parameters."""
    for name, parameter in rnn.named_parameters():
        layer = int(name.removesuffix("_reverse").rpartition("_l")[2])
        if rnn.num_layers <= LAYERS_SHOWN or layer in (0, 1, rnn.num_layers - 1):
            yield [name, str(tuple(parameter.shape)), f"{parameter.numel():,}"]


def results_of(rnn: nn.RNNBase, *shape: int) -> list[list[str]]:
    """Give the rows of the table of what goes in and what comes out."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that oneDNN has no projections
        output, last = rnn(torch.zeros(shape))
    states = last if isinstance(last, tuple) else (last,)
    return [
        ["input", str(shape)],
        *([f"{s}_0, {s}_n", str(tuple(x.shape))] for s, x in zip("hc", states, strict=False)),
        ["output", str(tuple(output.shape))],
    ]


def compare(seen: dict[str, Any], rnn: nn.RNNBase, *shape: int) -> Iterator[str]:
    """Say what the page shows otherwise than torch."""
    count = sum(p.numel() for p in rnn.parameters())
    if seen["parameters"] != (rows := list(rows_of(rnn))):
        yield f"{rnn}: the parameters are {seen['parameters']}, not {rows}"
    if seen["results"] != (rows := results_of(rnn, *shape)):
        yield f"{rnn}: the results are {seen['results']}, not {rows}"
    bound = float(f"{rnn.hidden_size**-0.5:.7g}")
    tensors = len(list(rnn.parameters()))
    for text in (
        f"{tensors:,} parameters with {count:,} numbers",
        f"between -{bound:.7g} and {bound:.7g}",
        f"{4 * count:,} bytes in float32, {8 * count:,} in float64, and {2 * count:,} in float16",
    ):
        if text not in seen["text"]:
            yield f"{rnn}: the page does not say: {text}"


def shape_for(rnn: nn.RNNBase) -> tuple[int, ...]:
    return (3, 5, rnn.input_size) if rnn.batch_first else (5, 3, rnn.input_size)


async def enter(page: Page, text: str) -> dict[str, Any]:
    """Type into the large field and press Enter; return what the page shows."""
    field = page.get_by_label("A call, or")
    await field.fill(text)
    await field.press("Enter")
    seen: dict[str, Any] = await page.evaluate(READ)
    return seen


async def check_calls(page: Page, found: list[str]) -> None:
    for call in LEGAL:
        rnn = call.module()
        seen = await enter(page, str(call))
        found += compare(seen, rnn, *shape_for(rnn))
        await load_again(page)
        if (again := await page.evaluate(READ)) != seen:
            found.append(f"{call}: after loading the address again: {again['status']}")
    for call in ILLEGAL:
        seen = await enter(page, str(call))
        if seen["status"] != (error := error_of(call.module)):
            found.append(f"{call}: the page says {seen['status']}, torch {error}")
        if seen["parameters"]:
            found.append(f"{call}: there is a table although there is an error")


async def check_state_dicts(page: Page, found: list[str]) -> None:
    for call in LEGAL:
        rnn = call.module()
        shapes = {name: value.shape for name, value in rnn.state_dict().items()}
        lines = "\n".join(f"encoder.{name}: {tuple(shape)}" for name, shape in shapes.items())
        for text in (str(shapes), lines):
            seen = await enter(page, text)
            if seen["parameters"] != list(rows_of(rnn)):
                found.append(f"a state dict of {call} leads to {seen['call']}: {seen['status']}")
    del shapes["weight_hh_l0"]
    seen = await enter(page, str(shapes))
    if "weight_hh_l0 should be a matrix, got nothing" not in seen["status"]:
        found.append(f"a state dict without weight_hh_l0: {seen['status']}")


async def check_form(page: Page, found: list[str]) -> None:
    """Fill in the form without a mouse."""
    await enter(page, "nn.LSTM(10, 20)")
    await page.get_by_label("Module").focus()
    await page.keyboard.type("GRU")
    await page.keyboard.press("Tab")  # input_size: a GRU has no nonlinearity to choose
    await page.keyboard.type("7")
    await page.keyboard.press("Tab")
    await page.keyboard.type("11")
    await page.get_by_label("bidirectional").focus()
    await page.keyboard.press("Space")
    await page.get_by_label("batch_first").focus()
    await page.keyboard.press("Space")
    rnn: nn.RNNBase = nn.GRU(7, 11, bidirectional=True, batch_first=True)
    found += compare(await page.evaluate(READ), rnn, 3, 5, 7)
    await page.get_by_label("L, steps").fill("4")
    await page.get_by_label("N, sequences").fill("")
    found += compare(await page.evaluate(READ), rnn, 4, 7)
    for shape in ((4, 8), (3, 0, 7), (2, 3, 4, 7)):
        await page.get_by_label("Shape of the input").fill(str(shape))
        seen = await page.evaluate(READ)
        error = error_of(lambda shape=shape: rnn(torch.zeros(shape)))
        if error not in seen["status"]:
            found.append(f"{rnn} with {shape}: the page says {seen['status']}, torch {error}")
    await page.get_by_label("hidden_size").fill("0")
    seen = await page.evaluate(READ)
    if seen["status"] != (error := error_of(lambda: nn.GRU(7, 0))):
        found.append(f"a hidden_size of 0: the page says {seen['status']}, torch {error}")


async def check_copied(page: Page, found: list[str]) -> None:
    """Copy the code and run it."""
    for call in LEGAL[:2]:
        await enter(page, str(call))
        async with CLIPBOARD:
            await page.get_by_role("button", name="Copy the code").click()
            await page.get_by_text("Copied.").wait_for()
            code = await page.evaluate("navigator.clipboard.readText()")
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that oneDNN has no projections
            file = Path(folder) / "copied.py"
            file.write_text(code, "utf-8")
            made = runpy.run_path(str(file))
        if repr(made["rnn"]) != repr(call.module()):
            found.append(f"{call}: the copied code makes {made['rnn']}")
        if str(tuple(made["output"].shape)) not in code:
            found.append(f"{call}: the copied code does not say the shape of output")


async def check_touch(page: Page, found: list[str]) -> None:
    await enter(page, "nn.RNN(10, 20)")
    await page.get_by_label("L, steps").fill("5")
    await page.get_by_label("N, sequences").fill("3")
    await page.get_by_label("bidirectional").tap()
    found += compare(await page.evaluate(READ), nn.RNN(10, 20, bidirectional=True), 5, 3, 10)


async def check(page: Page, found: list[str]) -> None:
    await check_calls(page, found)
    await check_state_dicts(page, found)
    await check_form(page, found)
    await check_copied(page, found)

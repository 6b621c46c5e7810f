"""Use the laboratory's page on gradients as a reader does, and compare what it shows with torch."""

import json
import math
import runpy
import tempfile
from pathlib import Path
from typing import Any

from check_browser import load_again
from playwright.async_api import Page

PAGE = "laboratory/gradients.html"
EXAMPLE = "seeds 0 to 19: from"  # printed by the executed example
CLOSE = 1e-3  # the page shows three digits
STATES = {
    "start": "mode=RNN_TANH",
    "open": "mode=LSTM&bias=3&L=60",
    "exploding": "mode=RNN_RELU&start=orthogonal&radius=1.6&of=input",
    "error": "mode=GRU&H_out=65",
}
# As text: Playwright takes long over thousands of numbers.
READ = """
() => {
  const lab = document.querySelector("unrolled-gradients");
  const table = [...lab.querySelectorAll("tbody tr")].map((row) =>
    [...row.cells].map((cell) => Number(cell.textContent)));
  const sentences = [...lab.querySelectorAll("[role=status] p")];
  const [answer, , entry] = sentences.map((p) => p.textContent);
  return JSON.stringify({
    answer, entry, table,
    rows: lab.rows.map((row) => [...row]),
    seeds: lab.others.length,
  });
}
"""
CODE = "document.querySelector('unrolled-gradients').code"


async def shown(page: Page) -> dict[str, Any]:
    """Read the page."""
    result: dict[str, Any] = json.loads(await page.evaluate(READ))
    return result


async def seen(page: Page) -> dict[str, Any]:
    """Wait until all rows are computed, and read the page."""
    await page.locator("unrolled-gradients figure:not([aria-busy]) canvas").wait_for()
    return await shown(page)


async def copied_curve(page: Page) -> list[float]:
    """Run the code that the page lets a reader copy; give its curve."""
    code = await page.evaluate(CODE)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "copied.py"
        file.write_text(code.replace("print(curve)", ""), "utf-8")
        curve: list[float] = runpy.run_path(str(file))["curve"].tolist()
    return curve


def below_from(curve: list[float], share: float) -> int | None:
    after = [at for at in range(len(curve)) if all(v < share * curve[0] for v in curve[at:])]
    return min(after, default=None)


async def compare(page: Page, what: str, found: list[str], share: float = 1e-3) -> list[float]:
    """Compare curve, sentence and table with what PyTorch's autograd gives for the same setting."""
    result, theirs = await seen(page), await copied_curve(page)
    ours = result["rows"][-1]
    if len(ours) != len(theirs) or not all(
        math.isclose(one, other, rel_tol=CLOSE) for one, other in zip(ours, theirs, strict=False)
    ):
        found.append(f"{what}: the curve is {ours[:4]}…, torch's is {theirs[:4]}…")
    from_ = below_from(theirs, share)
    left = float(f"{theirs[-1] / theirs[0]:.3g}")
    begins = (
        f"After {len(theirs) - 1} steps, {left:g} times"
        if from_ is None
        else f"{from_} or more steps back, less"
    )
    if not result["answer"].startswith(begins):
        found.append(f"{what}: the page says {result['answer']}, torch: {begins}")
    for distance, *shown in result["table"]:
        if not all(math.isclose(one, theirs[int(distance)], rel_tol=6e-3) for one in shown):
            found.append(f"{what}, {distance} back: {shown}, not {theirs[int(distance)]}")
    if result["seeds"] != 20:
        found.append(f"{what}: {result['seeds']} seeds")
    return theirs


async def check_named(page: Page, found: list[str]) -> None:
    """Press the buttons; each shows what autograd gave when the page was built."""
    for name in ("LSTM", "LSTM, forget bias 3", "Orthogonal weights", "Exploding", "tanh RNN"):
        await page.get_by_role("button", name=name, exact=True).click()
        await compare(page, name, found)
        if any(len(row) != 3 for row in (await seen(page))["table"]):
            found.append(f"{name}: the table has no numbers of autograd")


async def check_form(page: Page, found: list[str]) -> None:
    """Set up networks with the keyboard alone."""
    await page.get_by_label("Module").focus()
    await page.keyboard.type("GRU")
    await page.get_by_label("H_out, units").fill("12")
    await page.get_by_label("L, steps").fill("25")
    await page.get_by_label("seed", exact=True).fill("-7")
    await compare(page, "a GRU", found)
    await page.get_by_label("Bias of the update gate z").focus()
    for _ in range(4):
        await page.keyboard.press("ArrowRight")
    await page.get_by_label("Spectral radius of weight_hh").focus()
    await page.keyboard.press("ArrowRight")
    before = await compare(page, "a GRU with another bias and radius", found)
    await page.get_by_label("Measured at").select_option("input")
    await page.get_by_label("Threshold").fill("0.01")
    await compare(page, "inputs of a GRU", found, 0.01)
    address = await load_again(page)
    await compare(page, "the same from its address", found, 0.01)
    if page.url != address:
        found.append(f"the address {address} becomes {page.url}")
    await page.get_by_role("button", name="Undo the changes").click()
    await page.get_by_label("Measured at").select_option("state")
    if (await compare(page, "as drawn", found, 0.01))[-1] == before[-1]:
        found.append("Undo the changes: nothing changes")
    await page.get_by_label("Module").select_option("RNN_RELU")
    await page.get_by_label("weight_hh starts").select_option("identity")
    await page.get_by_label("Size of the input").focus()
    await page.keyboard.press("Home")
    if "No gradient" not in (answer := (await seen(page))["answer"]) and "left" not in answer:
        found.append(f"without an input: {answer}")
    await page.keyboard.press("End")
    await compare(page, "the identity with relu", found, 0.01)
    for field, wrong, said in (
        ("H_out, units", "65", "H_out should be a whole number from 1 to 64, got 65"),
        ("L, steps", "", "L should be a whole number from 2 to 100, got nothing"),
        ("seed", "x", "seed should be a whole number, got x"),
        ("Threshold", "2", "below should be a number from 1e-12 to 0.999, got 2"),
    ):
        await page.get_by_role("button", name="tanh RNN").click()
        await page.get_by_label(field, exact=True).fill(wrong)
        if (answer := (await shown(page))["answer"]) != said:
            found.append(f"{field} of {wrong!r}: the page says {answer}, not {said}")


async def check_map(page: Page, found: list[str]) -> None:
    """Choose entries with the keyboard and the mouse."""
    await page.get_by_role("button", name="tanh RNN").click()
    rows = (await seen(page))["rows"]
    canvas = page.locator("unrolled-gradients canvas")
    await canvas.focus()
    for key in ("End", "ArrowLeft", "ArrowLeft", "ArrowUp"):  # h_40 at h_38, h_39 at h_38
        await page.keyboard.press(key)
    said(rows[39][1], "h_39", "h_38", (await seen(page))["entry"], found)
    cell = await page.evaluate("document.querySelector('unrolled-gradients').map.cell")
    await canvas.click(position={"x": 1 + 4.5 * cell, "y": 1 + 11.5 * cell})
    said(rows[12][8], "h_12", "h_4", (await seen(page))["entry"], found)
    await canvas.click(position={"x": 1 + 30.5 * cell, "y": 1 + 3.5 * cell})  # after the state
    said(rows[12][8], "h_12", "h_4", (await seen(page))["entry"], found)


def said(value: float, state: str, source: str, text: str, found: list[str]) -> None:
    if not (f"gradient of {state}," in text and f"{value:.2e} is left at {source}," in text):
        found.append(f"the entry of {state} at {source}, {value:.2e}: the page says {text}")


async def check_slider(page: Page, found: list[str]) -> None:
    """Move a slider far, fast: the last position counts, and the page answers at once."""
    await page.get_by_role("button", name="tanh RNN").click()
    await page.get_by_label("Spectral radius of weight_hh").focus()
    for _ in range(30):
        await page.keyboard.press("ArrowRight")
    await compare(page, "a slider that was moved", found)
    late = """() => {
      const range = document.querySelector("unrolled-gradients [type=range]");
      const times = [];
      for (let k = 0; k < 8; k++) {
        const start = performance.now();
        range.value = String(0.5 + k / 8);
        range.dispatchEvent(new Event("input", { bubbles: true }));
        times.push(performance.now() - start);
      }
      return times.sort((a, b) => a - b)[4];
    }"""
    if (median := await page.evaluate(late)) > 150:
        found.append(f"a slider answers after {median:.0f} ms")


async def check_touch(page: Page, found: list[str]) -> None:
    await page.get_by_role("button", name="Exploding").tap()
    rows = (await seen(page))["rows"]
    cell = await page.evaluate("document.querySelector('unrolled-gradients').map.cell")
    canvas = page.locator("unrolled-gradients canvas")
    await canvas.scroll_into_view_if_needed()
    await canvas.tap(position={"x": 1 + 2.5 * cell, "y": 1 + 19.5 * cell})
    said(rows[20][18], "h_20", "h_2", (await seen(page))["entry"], found)
    await page.get_by_role("button", name="Undo the changes").tap()
    await compare(page, "as drawn, by touch", found)


async def check(page: Page, found: list[str]) -> None:
    await compare(page, "the start", found)
    await check_named(page, found)
    await check_form(page, found)
    await check_map(page, found)
    await check_slider(page, found)

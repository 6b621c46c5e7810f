"""Use the laboratory's page on mistakes as a reader does, and compare what it shows with torch."""

from typing import Any

import torch
from check_browser import load_again, until
from playwright.async_api import Page
from torch import Tensor, nn

from unrolled import MISTAKES
from unrolled.shapes import GATES

PAGE = "laboratory/mistakes.html"
EXAMPLE = "one state for all time steps    0.00"  # printed by the executed example
STATES = {
    "start": "",
    "two-directions": "module=GRU&mistake=last_output&N=2&H_out=8&step=4",
    "padding": "module=RNN&mistake=padding&L=24&N=4&step=9",
    "caught": "module=LSTM&mistake=ih_stored&H_in=4",
}
READ = """
() => {
  const lab = document.querySelector("unrolled-mistakes");
  const matrix = ({ shown }) => shown && { shape: shown.shape, data: [...shown.data] };
  return {
    status: lab.querySelector("[role=status]").textContent,
    chosen: lab.querySelector("[type=radio]:checked")?.parentElement.textContent ?? null,
    radios: [...lab.querySelectorAll("[type=radio]")].map((one) => one.parentElement.textContent),
    rows: [...lab.querySelectorAll("tbody tr")].map((row) =>
      [...row.cells].map((cell) => cell.textContent)),
    points: lab.querySelectorAll("circle").length,
    hidden: lab.querySelector(".u-lab-mistakes-result").hidden,
    step: lab.querySelector("[type=range]").value,
    right: matrix(lab.right),
    wrong: matrix(lab.wrong),
  };
}
"""


def written(value: float) -> str:
    """Write a number as the page does."""
    return "0" if value == 0 else f"{value:.2g}"


def tensor_of(seen: dict[str, Any] | None) -> Tensor:
    return torch.tensor(seen["data"]).reshape(seen["shape"]) if seen else torch.empty(0)


def expected(
    kind: str, mistake: str, N: int = 3, L: int = 12, H_in: int = 5, H_out: int = 5, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Give the numbers of `torch.nn`, and those of the recipe with which `diagnose` confirms."""
    torch.manual_seed(seed)
    rnn = getattr(nn, kind)(H_in, H_out).requires_grad_(False)
    x = torch.randn(L, N, H_in)
    right = rnn(x)[0]
    known = next(one for one in MISTAKES if one.name == mistake)
    changes = dict(known.changes)
    W_ih, W_hh, b_ih, b_hh = rnn.parameters()
    if changes == {"weight_hh": "as stored"}:
        rnn.weight_hh_l0.copy_(torch.cat([block.T for block in W_hh.split(H_out)]))
    elif changes == {"bias_ih": 0.0, "bias_hh": 0.0}:
        b_ih.zero_(), b_hh.zero_()
    elif "gates" in changes:
        order, gates = changes["gates"], "".join(GATES[kind])
        for parameter in (W_ih, W_hh, b_ih, b_hh):
            blocks = dict(zip(order, parameter.clone().split(H_out), strict=True))
            parameter.copy_(torch.cat([blocks[gate] for gate in gates]))
    else:  # the states of single steps from zeros
        assert changes == {"carried": ""}
        return right, torch.cat([rnn(x_t[None])[0] for x_t in x])
    return right, rnn(x)[0]


def compare(
    seen: dict[str, Any], right: Tensor, wrong: Tensor, found: list[str], what: str
) -> None:
    """Say what the page shows otherwise than torch."""
    largest = right.abs().max().item()
    off = (wrong - right).abs().amax(dim=(1, 2)).tolist()
    if f"off by {written(off[-1])}, {written(100 * off[-1] / largest)} %" not in seen["status"]:
        found.append(f"{what}: the page says {seen['status']}, torch {off[-1]} of {largest}")
    shown = [float(row[1].replace("−", "-")) for row in seen["rows"]]
    if len(shown) != len(off) or seen["points"] != len(off):
        found.append(f"{what}: {len(shown)} rows and {seen['points']} points, not {len(off)}")
        return
    for t, (ours, theirs) in enumerate(zip(shown, off, strict=True)):
        if abs(ours - theirs) > 0.06 * theirs + 1e-6 * largest:  # two digits
            found.append(f"{what}, step {t + 1}: the page says {ours}, torch {theirs}")
    t = int(seen["step"]) - 1
    for name, states in (("right", right[t]), ("wrong", wrong[t])):
        drawn = tensor_of(seen[name])
        # The last bits of torch.randn depend on the processor.
        if drawn.shape != states.shape or (drawn - states).abs().max() > 4e-6 * largest:
            found.append(f"{what}: the matrix {name} of step {t + 1} is {drawn}, not {states}")


# Go to an address, and wait until the page, which was told first, has read it.
GO = """(hash) => new Promise((done) => {
  addEventListener("hashchange", () => done(), { once: true });
  location.hash = hash;
})"""


async def check(page: Page, found: list[str]) -> None:
    lab = page.locator("unrolled-mistakes")
    compare(
        await page.evaluate(READ), *expected("LSTM", "weight_hh not transposed"), found, "start"
    )

    # By keyboard: another mistake, and another step.
    await lab.get_by_role("radio", name="weight_hh not transposed").focus()
    for name in ("weight_ih not transposed", "weight_hh reshaped", "weight_ih reshaped"):
        await page.keyboard.press("ArrowDown")
        if (chosen := (await page.evaluate(READ))["chosen"]) != name:
            found.append(f"the arrow key chooses {chosen}, not {name}")
    await page.keyboard.press("ArrowDown")
    seen = await page.evaluate(READ)
    compare(seen, *expected("LSTM", "gates read as i o f g"), found, "by keyboard")
    await lab.get_by_role("slider").focus()
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowRight")
    seen = await page.evaluate(READ)
    if seen["step"] != "2":
        found.append(f"the slider is at step {seen['step']}, not 2")
    compare(seen, *expected("LSTM", "gates read as i o f g"), found, "another step")
    await load_again(page)
    if (again := await page.evaluate(READ)) != seen:
        found.append(f"after loading the address again: {again['status']}, step {again['step']}")

    # By mouse, and with other sizes typed in.
    await lab.get_by_label("Module").select_option("GRU")
    await lab.get_by_text("gates read as z r n").click()
    for name, size in (("N", 2), ("L", 20), ("H_in", 3), ("H_out", 7), ("seed", -4)):
        await lab.get_by_label(name, exact=True).fill(str(size))
    seen = await page.evaluate(READ)
    sizes = {"N": 2, "L": 20, "H_in": 3, "H_out": 7, "seed": -4}
    compare(seen, *expected("GRU", "gates read as z r n", **sizes), found, "a GRU")
    await lab.get_by_text("weight_ih not transposed").click()
    seen = await page.evaluate(READ)
    why = "mat1 and mat2 shapes cannot be multiplied (2x3 and 7x3)"
    if why not in seen["status"] or not seen["hidden"]:
        found.append(f"what the shapes catch: the page says {seen['status']}")
    for name, text in (("L", "0"), ("N", "two"), ("seed", "1.5")):
        before = await lab.get_by_label(name, exact=True).input_value()
        await lab.get_by_label(name, exact=True).fill(text)
        seen = await page.evaluate(READ)
        if f"{name} should be" not in seen["status"] or not seen["hidden"]:
            found.append(f"{name} = {text}: the page says {seen['status']}")
        await lab.get_by_label(name, exact=True).fill(before)

    # The table of ports leads to the tool.
    await page.get_by_role("link", name="both biases missing").click()
    await until(page, "location.hash.includes('no_biases')")
    seen = await page.evaluate(READ)
    compare(seen, *expected("LSTM", "both biases missing"), found, "a link of the page")
    await page.goto("about:blank")
    await page.go_back(wait_until="networkidle")
    for hash_, why in (
        ("mistake=none", "mistake for LSTM should be one_state or"),
        ("module=CNN", "module should be RNN or GRU or LSTM, got CNN"),
        ("step=13", "step should be a whole number from 1 to 12, got 13"),
    ):
        await page.evaluate(GO, hash_)
        seen = await page.evaluate(READ)
        if why not in seen["status"] or not seen["hidden"]:
            found.append(f"#{hash_}: the page says {seen['status']}")


async def check_touch(page: Page, found: list[str]) -> None:
    await page.evaluate(GO, "module=RNN&mistake=hh_stored")
    lab = page.locator("unrolled-mistakes")
    await lab.get_by_text("one state for all time steps").tap()
    seen = await page.evaluate(READ)
    compare(seen, *expected("RNN", "one state for all time steps"), found, "by touch")

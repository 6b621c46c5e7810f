"""Use the laboratory's page *Step through time* as a reader does, and compare with torch."""

from typing import Any

import torch
from check_browser import load_again, until
from playwright.async_api import Page
from torch import Tensor, nn

PAGE = "laboratory/step.html"
EXAMPLE = "a_2[1, 2] ="  # in the executed example
STATES = {
    "start": "at=2,4&entry=1,2",
    "lstm": "mode=LSTM&H_in=10&H_out=20&N=3&L=5&batch_first=1&h_0=randn&at=2,9&entry=1,2",
    "backward": "mode=GRU&pass=backward&at=3,6&entry=0,3",
    "refused": "H_out=65",
}
READ = """
() => {
  const lab = document.querySelector("unrolled-step");
  const result = lab.matrix(lab.line, lab.line.operands.length, lab.line.name, "", true);
  return {
    name: lab.line.name,
    code: lab.querySelector(".u-lab-step-code [aria-current]").textContent,
    shown: [...result.shown.data],
    lit: result.lit,
    status: lab.querySelector("[role=status]").textContent,
    sums: lab.querySelector(".u-lab-step-sums").innerText,
  };
}
"""
SPEED = """
async () => {
  const lab = document.querySelector("unrolled-step");
  const times = [];
  for (let at = 1; at <= Math.min(lab.player.last, 40); at++) {
    await new Promise(requestAnimationFrame);
    const start = performance.now();
    lab.player.go(at);
    lab.getBoundingClientRect();
    times.push(performance.now() - start);
  }
  times.sort((a, b) => a - b);
  return [times[times.length >> 1], times[Math.floor(0.95 * times.length)], times.length];
}
"""


async def go(page: Page, state: str) -> None:
    address = page.url.partition("#")[0].partition("?")[0]
    # A change of what follows the # alone would load nothing.
    await page.goto(f"{address}?{state}#{state}", wait_until="networkidle")
    await until(page, "document.querySelector('unrolled-step').player")


def compare(seen: dict[str, Any], name: str, expected: Tensor) -> list[str]:
    """Say what the page shows otherwise than torch."""
    if seen["name"] != name or not seen["code"].startswith(f"{name} = "):
        return [f"the line is {seen['code']}, not that of {name}"]
    shown = torch.tensor(seen["shown"])
    if not torch.allclose(shown, expected.detach().flatten(), rtol=0, atol=1e-6):
        return [f"{name} is {shown}, not {expected}"]
    return []


def small() -> Tensor:
    torch.manual_seed(0)
    rnn = nn.RNN(3, 4)
    output: Tensor = rnn(torch.randn(4, 2, 3))[0]
    return output  # (L, N, H_out)


async def check(page: Page, found: list[str]) -> None:
    output = small()
    await page.get_by_role("button", name="h_2", exact=False).first.click()
    await page.get_by_label("row", exact=True).fill("1")
    await page.get_by_label("column", exact=True).fill("2")
    seen = await page.evaluate(READ)
    found += compare(seen, "h_2", output[1])
    said = f"h_2[1, 2] is {output[1, 1, 2]:.4f}".replace("-", "\u2212")
    if said not in seen["status"] or "bias_ih[2]" not in seen["sums"]:
        found.append(f"{said}: the page says {seen['status']}, {seen['sums']}")
    await load_again(page)
    if (again := await page.evaluate(READ)) != seen:
        found.append(f"after loading the address again: {again}")
    result = page.locator(".u-lab-step-drawn canvas[tabindex]")
    await result.focus()
    await page.keyboard.press("ArrowLeft")
    seen = await page.evaluate(READ)
    if seen["lit"] != {"row": 1, "column": 1}:
        found.append(f"an arrow key leads to {seen['lit']}")
    await page.get_by_role("button", name="Forward").click()
    seen = await page.evaluate(READ)
    if seen["name"] != "from_input_3":
        found.append(f"Forward leads to {seen['name']}")
    await page.get_by_label("Seed").fill("")
    status = await page.locator("unrolled-step [role=status]").inner_text()
    if "seed should be a whole number" not in status:
        found.append(f"without a seed the page says {status}")
    await check_example(page, found)
    await check_backward(page, found)
    for mode in ("RNN_TANH", "LSTM"):
        await go(page, f"mode={mode}&H_in=64&H_out=64&N=4&L=20")
        median, slow, count = await page.evaluate(SPEED)
        print(
            f"{mode}, H = 64, N = 4: {median:.1f} ms, 95 % within {slow:.1f} ms, of {count} lines"
        )
    await go(page, "")


async def check_example(page: Page, found: list[str]) -> None:
    """Compare the last state of each mode at the sizes of the worked example."""
    for mode, last in (("RNN_TANH", 4), ("GRU", 6), ("LSTM", 9)):
        torch.manual_seed(0)
        rnn: nn.RNNBase = getattr(nn, mode.partition("_")[0])(10, 20, batch_first=True)
        x, h_0 = torch.randn(3, 5, 10), torch.randn(1, 3, 20)
        hx = (h_0, torch.randn(1, 3, 20)) if mode == "LSTM" else h_0
        state = f"mode={mode}&H_in=10&H_out=20&N=3&L=5&seed=0&batch_first=1&h_0=randn"
        await go(page, f"{state}&at=5,{last}")
        found += compare(await page.evaluate(READ), "h_5", rnn(x, hx)[0][:, 4])


async def check_backward(page: Page, found: list[str]) -> None:
    torch.manual_seed(0)
    rnn = nn.RNN(3, 4)
    x, h_0 = torch.randn(4, 2, 3), torch.zeros(1, 2, 4, requires_grad=True)
    (grad,) = torch.autograd.grad(rnn(x, h_0)[1][0, 1, 2], h_0)
    await go(page, "pass=backward&loss=1,2&at=1,2")
    found += compare(await page.evaluate(READ), "dh_0", grad[0])


async def check_touch(page: Page, found: list[str]) -> None:
    output = small()
    await page.get_by_role("button", name="h_3", exact=False).first.tap()
    await page.locator(".u-lab-step-drawn canvas[tabindex]").tap(position={"x": 20, "y": 30})
    seen = await page.evaluate(READ)
    found += compare(seen, "h_3", output[2])
    if seen["lit"].get("row") != 1:
        found.append(f"a tap leads to {seen['lit']}")

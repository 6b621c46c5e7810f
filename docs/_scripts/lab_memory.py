"""Use the laboratory's page on memory as a reader does, and compare what it shows with torch."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode, urlparse

import torch
from check_browser import load_again
from playwright.async_api import Page
from torch import Tensor, nn

PAGE = "laboratory/memory.html"
EXAMPLE = "letters later:"  # in the executed example
START = 'She smiled. "You are very kind," said Catherine, "but I cannot stay."'
TEXTS = [
    START,
    "It was a dark night, and she could not see.",
    '"No," he said; "not I!"\nThey went home.',
]
STATES = {
    "start": "",
    "edit": urlencode({"text": START, "at": 14, "instead": "H"}),
    "gates": urlencode({"text": TEXTS[1], "at": 20, "kind": "z", "unit": 3}),
    "error": urlencode({"text": "Ünder"}),
}
APART = "_static/lab-memory-weights.js"  # whose bytes are not counted as the page's
CLOSE = 1e-5  # of numbers within 1
# As text: Playwright takes long over thousands of numbers.
SHOWN = """
() => {
  const lab = document.querySelector("unrolled-memory");
  const text = (selector) => lab.querySelector(selector)?.textContent ?? "";
  const numbers = ({ shape, data }) => [shape, [...data]];
  return JSON.stringify({
    status: text("[role=status]"),
    next: [...lab.querySelectorAll(".u-lab-memory-next li")].map((item) =>
      [item.children[0].textContent, item.children[2].textContent]),
    strips: [...lab.querySelectorAll(".u-lab-memory-strips > div")].map((strip) =>
      strip.lastElementChild.textContent),
    edited: text(".u-lab-memory-edited"),
    read: lab.read && { h: numbers(lab.read.h), p: numbers(lab.read.p) },
    shown: lab.shown && [...lab.shown.data],
  });
}
"""


class Network:
    """The network whose weights the site ships."""

    def __init__(self, shipped: dict[str, Any]) -> None:
        self.characters: str = shipped["characters"]
        V, E, H = len(self.characters), shipped["embedding_size"], shipped["hidden_size"]
        halves = bytearray(base64.b64decode(shipped["weights"]))
        numbers = torch.frombuffer(halves, dtype=torch.float16).float()
        shapes = [(V, E), (3 * H, E), (3 * H, H), (3 * H,), (3 * H,), (V, H), (V,)]
        parts = []
        for shape in shapes:
            count = torch.Size(shape).numel()
            parts.append(numbers[:count].reshape(shape))
            numbers = numbers[count:]
        self.embedding, *weights, self.weight, self.bias = parts
        self.gru = nn.GRU(E, H)
        self.gru.load_state_dict(dict(zip(self.gru.state_dict(), weights, strict=True)))

    def read(self, text: str) -> dict[str, Tensor]:
        x = self.embedding[[self.characters.index(letter) for letter in text]]
        with torch.no_grad():
            h = self.gru(x)[0]  # (L, H)
        return {"h": h, "p": nn.functional.linear(h, self.weight, self.bias).softmax(1)}


async def network_of(page: Page) -> Network:
    """Read the file of weights that the page loads, from the site itself."""
    source = await page.evaluate("document.querySelector('script[src*=memory-weights]').src")
    if source.startswith("file:"):
        text = Path(unquote(urlparse(source).path)).read_text("utf-8")
    else:
        text = await (await page.request.get(source)).text()
    return Network(json.loads(text.partition("=")[2].rstrip().removesuffix(";")))


async def shown(page: Page) -> dict[str, Any]:
    """Read the page."""
    seen: dict[str, Any] = json.loads(await page.evaluate(SHOWN))
    return seen


def named(letter: str) -> str:
    return {" ": "space", "\n": "new line"}.get(letter, letter)


def compare(seen: dict[str, Any], network: Network, text: str, at: int) -> Iterator[str]:
    """Say what the page shows otherwise than torch."""
    for name, their in network.read(text).items():
        shape, numbers = seen["read"][name]
        if list(their.shape) != shape:
            yield f"{text!r}: {name} has shape {shape}, not {list(their.shape)}"
        elif (off := (torch.tensor(numbers).reshape(shape) - their).abs().max()) > CLOSE:
            yield f"{text!r}: {name} is off by {off:.1e}"
    p = network.read(text)["p"][at]
    order = p.argsort(descending=True)[:8].tolist()
    listed = [[named(network.characters[k]), f"{100 * p[k].item():.1f} %"] for k in order]
    if seen["next"] != listed:
        yield f"{text!r}, letter {at + 1}: the next ones are {seen['next']}, not {listed}"
    if f"is {listed[0][0]}, with {listed[0][1]}" not in seen["status"]:
        yield f"{text!r}, letter {at + 1}: the page says {seen['status']}"


async def check(page: Page, found: list[str]) -> None:
    await page.locator(".u-lab-memory-next li").first.wait_for()
    network = await network_of(page)
    slider = page.get_by_label("Letter", exact=True)
    for text in TEXTS:
        await page.get_by_label("Text").fill(text)
        await slider.focus()
        await page.keyboard.press("Home")
        for _ in range(5):
            await page.keyboard.press("ArrowRight")
        found += compare(await shown(page), network, text, 5)
        await load_again(page)
        await page.locator(".u-lab-memory-next li").first.wait_for()
        found += compare(await shown(page), network, text, 5)
    await check_units(page, network, found)
    await check_edit(page, network, found)
    await page.get_by_label("Text").fill("Ünder")
    seen = await shown(page)
    if "The network has never seen ‘Ü’" not in seen["status"]:
        found.append(f"a letter that is not known: the page says {seen['status']}")


async def check_units(page: Page, network: Network, found: list[str]) -> None:
    """Choose units by the field, by the button and in the map."""
    await page.get_by_label("Text").fill(START)
    unit = page.get_by_label("One unit")
    h = network.read(START)["h"]
    for chosen in (0, 77):
        await unit.fill(str(chosen))
        seen = await shown(page)
        at = await page.evaluate("document.querySelector('unrolled-memory').player.position")
        value = f"{h[at, chosen]:.2f}".replace("-", "−").replace("−0.00", "0.00")
        if seen["strips"][-1] != value:
            found.append(f"unit {chosen}: h is {seen['strips'][-1]}, not {value}")
    await unit.fill("128")
    if (
        "unit should be a whole number from 0 to 127, got 128"
        not in await page.locator("unrolled-memory").inner_text()
    ):
        found.append("a unit that there is not is not refused")
    await page.get_by_role("button", name="The unit that follows quotation marks").click()
    slider = page.get_by_label("Letter", exact=True)
    await slider.focus()
    for letter, where in ((20, "inside"), (38, "outside"), (58, "inside")):
        await page.evaluate(f"document.querySelector('unrolled-memory').player.go({letter})")
        text = await page.locator(".u-lab-memory-strips").inner_text()
        if f"takes this letter to be {where} quotation marks" not in text:
            found.append(f"letter {letter + 1} of {START!r} is not {where}: {text}")
    await page.get_by_label("All units").select_option("h")
    seen = await shown(page)
    if (torch.tensor(seen["shown"]).reshape(h.T.shape) - h.T).abs().max() > CLOSE:
        found.append("the map shows other states than torch's")
    canvas = page.locator(".u-lab-memory-units canvas")
    await canvas.focus()
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowDown")
    at = await page.evaluate("document.querySelector('unrolled-memory').player.position")
    if at != 0:
        found.append(f"Home in the map leads to letter {at + 1}")


async def check_edit(page: Page, network: Network, found: list[str]) -> None:
    """Replace one letter, and compare for how long that is remembered."""
    await page.get_by_label("Text").fill(START)
    for at, instead in ((13, "H"), (len(START) - 3, "!")):
        await page.evaluate(f"document.querySelector('unrolled-memory').player.go({at})")
        await page.get_by_label("Replace").fill(instead)
        seen = await shown(page)
        edited = START[:at] + instead + START[at + 1 :]
        one, other = network.read(START)["h"], network.read(edited)["h"]
        distance = (one - other).norm(dim=1) / one.norm(dim=1)
        last = max((distance >= 0.01).nonzero().flatten().tolist())
        said = (
            f"{len(START) - 1 - at} letters later the hidden states still differ by "
            f"{100 * distance[-1]:.1f} %"
            if last == len(START) - 1
            else f"from {last + 1 - at} letters later on"
        )
        if said not in seen["edited"]:
            found.append(f"{instead} at {at}: the page says {seen['edited']}, torch {said}")


async def check_touch(page: Page, found: list[str]) -> None:
    await page.get_by_label("Text").fill(START)
    network = await network_of(page)
    await page.locator(".u-lab-memory-letters span").nth(14).tap()
    found += compare(await shown(page), network, START, 14)
    await page.get_by_role("button", name="The unit that follows quotation marks").tap()

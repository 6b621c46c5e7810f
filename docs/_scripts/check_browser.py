"""Look at every page of the built site in headless Chromium, as readers do.

``python docs/_scripts/check_browser.py SITE`` opens each page on a wide screen and on a phone, in
light and in dark, and holds it to the following: nothing is asked of another host, no request
fails, the console stays quiet, the page does not scroll sideways, its opening is on the first
screen with no code before it, every formula is set, every drawing has a name and text that can be
read, and axe-core finds nothing to object to. Every address that has moved leads to a section that
is there. ``--screenshots FOLDER`` keeps a picture of each page in each mode, which takes about as
long again. The exit code is 1 if anything was found.
"""

import asyncio
import json
import os
import re
import shutil
import sys
import time
from argparse import ArgumentParser
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Literal
from urllib.parse import urljoin

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # has none
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Error,
    Page,
    Request,
    Response,
    async_playwright,
)

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # No name resolves: a request to another host is seen, and goes nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
PAGES_AT_ONCE = 3
# True once a page of the laboratory says what it shows.
READY = "document.querySelector('.bd-article [role=status]')?.innerText"
PATIENCE = 120_000  # milliseconds: nothing is measured, and the machine may be busy
SCREENS = {"wide": (1280, 900), "phone": (390, 844)}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# Which of axe-core's rules each mode has to pass. Colours do not depend on the width, nor the rest
# on the theme.
Part = Literal["colours", "the rest"]
COLOUR_RULES = ("color-contrast", "link-in-text-block")
AXE_MODES: dict[str, tuple[Part, ...]] = {
    "wide-light": ("colours", "the rest"),
    "wide-dark": ("colours",),
    "phone-light": ("the rest",),
    "phone-dark": (),
}
AXE = Axe().axe_script

# Runs axe-core; returns sentences, one an objection. Most of its time would go to the colours of
# thousands of letters and pieces of code that look the same: it gets three elements of each kind.
# A kind is all that the two rules about colours depend on, and of a single letter axe-core says
# nothing. `preload` is off because axe would fetch style sheets itself, at wrong addresses.
OBJECTIONS = r"""
async ([colours, rules]) => {
  const numbers = new Map();
  const number = (...parts) => {
    const key = parts.join("|");
    if (!numbers.has(key)) numbers.set(key, numbers.size);
    return numbers.get(key);
  };
  const styles = new Map();
  const styleOf = (element) => {
    if (!styles.has(element)) styles.set(element, getComputedStyle(element));
    return styles.get(element);
  };
  // What an element lies on: everything around it that is painted or lets something through.
  const grounds = new Map([[null, 0]]);
  const groundOf = (element) => {
    if (!grounds.has(element)) {
      const { backgroundColor, backgroundImage, opacity, filter, mixBlendMode } = styleOf(element);
      const painted = [backgroundColor, backgroundImage, opacity, filter, mixBlendMode].join(" ");
      const around = groundOf(element.parentElement);
      const clear = painted === "rgba(0, 0, 0, 0) none 1 none normal";
      grounds.set(element, clear ? around : number(around, painted));
    }
    return grounds.get(element);
  };
  const letters = (element) => {
    const { color, fontSize, fontWeight, textShadow } = styleOf(element);
    return [groundOf(element), color, fontSize, fontWeight, textShadow].join(" ");
  };
  const blockOf = (element) =>
    styleOf(element).display.startsWith("inline") ? blockOf(element.parentElement) : element;
  const size = (text) => text.replace(/\s+/g, "").length;
  const texts = new Map();
  // Is more than half of a block text outside of its links?
  const isText = (block) => {
    if (!texts.has(block)) {
      const links = [...block.querySelectorAll("a")].map((link) => link.textContent).join("");
      texts.set(block, size(block.textContent) > 2 * size(links));
    }
    return texts.get(block);
  };
  const kindOf = (element, link) => {
    const unused = element.closest("label")?.control?.disabled ||
      element.closest(":disabled, [aria-disabled=true]") !== null;
    if (!link) return number(unused, letters(element));
    // A link in a text has to differ from the text around it.
    const block = blockOf(link.parentElement);
    const { textDecorationLine, borderBottom, display } = styleOf(link);
    return number(unused, ...[element, link, link.parentElement, block].map(letters),
      textDecorationLine, borderBottom, display, isText(block));
  };

  const lengths = new Map();
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (colours && nodes.nextNode()) {
    const { data, parentElement } = nodes.currentNode;
    if (size(data)) lengths.set(parentElement, size(data) + (lengths.get(parentElement) ?? 0));
  }
  for (const field of colours ? document.querySelectorAll("input, select, textarea") : [])
    lengths.set(field, Infinity);
  const kinds = new Map();
  for (const [element, length] of lengths) {
    const { width, height } = element.getBoundingClientRect();
    const visible = element.checkVisibility({ visibilityProperty: true });
    if (!visible || width <= 1 || height <= 1) continue; // the last are for screen readers only
    const link = element.closest("a");
    const kind = kindOf(element, link);
    if (!kinds.has(kind)) kinds.set(kind, []);
    kinds.get(kind)[length > 1 ? "unshift" : "push"](link ?? element);
  }
  const chosen = new Set([...kinds.values()].flatMap((elements) => elements.slice(0, 3)));
  if (colours && !chosen.size) return [];
  const { violations } = await axe.run(colours ? { include: [...chosen] } : document, {
    resultTypes: ["violations"],
    preload: false,
    ...(colours
      ? { runOnly: { type: "rule", values: rules } }
      : { rules: Object.fromEntries(rules.map((rule) => [rule, { enabled: false }])) }),
  });
  return violations.flatMap(({ id, help, nodes }) =>
    nodes.map(({ target }) => `axe ${id}, ${help}: ${target.join(" ")}`));
}
"""

# What is asked of a page that has been laid out; returns sentences, one a finding.
INSPECT = r"""
async () => {
  const found = [];
  const excerpt = (text) => text.trim().replace(/\s+/g, " ").slice(0, 60);
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) {
    const wide = [...document.querySelectorAll("article *")].filter((e) =>
      e.getBoundingClientRect().right > root.clientWidth + 1 && !e.closest(
        ".u-scroll, .text_html, pre, .pst-scrollable-table-container, .visually-hidden"));
    found.push(`scrolls sideways, ${root.scrollWidth} > ${root.clientWidth} pixels: ` +
      (wide.length ? excerpt(wide[0].outerHTML) : "no element found"));
  }

  const formulas = [...document.querySelectorAll(".math")];
  const unset = formulas.filter((e) => !e.querySelector(".katex-html, .katex-mathml math"));
  for (const e of unset) found.push(`formula not set: ${excerpt(e.textContent)}`);
  const set = document.querySelectorAll(".katex-html").length;
  if (set !== formulas.length) found.push(`${formulas.length} formulas, but ${set} set by KaTeX`);
  for (const e of document.querySelectorAll(".katex-error"))
    found.push(`KaTeX error: ${excerpt(e.textContent)}`);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const { data, parentElement } = texts.currentNode;
    if (/\\[()[\]]|\\[a-zA-Z]{2,}|\$\$|\{\{|\}\}/.test(data) &&
        !parentElement.closest("pre, code, script, style, annotation"))
      found.push(`markup left in the text: ${excerpt(data)}`);
  }

  for (const svg of document.querySelectorAll("svg")) {
    if (svg.closest("[aria-hidden=true], button")) continue;
    const by = svg.getAttribute("aria-labelledby");
    const name = by ? by.split(/\s+/).map((id) => document.getElementById(id)?.textContent).join("")
      : svg.getAttribute("aria-label") ?? svg.querySelector(":scope > title")?.textContent;
    if (svg.getAttribute("role") !== "img" || !name?.trim())
      found.push(`drawing without role="img" and a name: ${excerpt(svg.outerHTML)}`);
    const scale = svg.getBoundingClientRect().width / (svg.viewBox.baseVal?.width || Infinity);
    for (const text of scale ? svg.querySelectorAll("text") : []) {
      const pixels = parseFloat(getComputedStyle(text).fontSize) * scale;
      if (pixels < 8) {
        const word = excerpt(text.textContent);
        found.push(`letters of ${pixels.toFixed(1)} pixels, "${word}" in: ${excerpt(name ?? "")}`);
        break;
      }
    }
  }

  for (const link of document.querySelectorAll("link[rel~=icon]")) {
    const { ok } = await fetch(link.href);
    if (!ok) found.push(`no icon at ${link.href}`);
  }
  return found;
}
"""


# What is asked of a page before anything on it has been opened.
FIRST_SCREEN = r"""
(wide) => {
  const opening = document.querySelector(".u-opening");
  if (!opening) return ["no opening"];
  const found = [];
  const top = opening.getBoundingClientRect().top;
  if (wide && top > innerHeight) found.push(`the opening is ${Math.round(top)} pixels down`);
  const before = [...document.querySelectorAll(".cell_input pre")].filter((e) =>
    e.checkVisibility() && e.getBoundingClientRect().top < top);
  if (before.length) found.push(`code before the opening: ${before[0].textContent.slice(0, 60)}`);
  return found;
}
"""
OPEN = ("walkthrough/", "module/", "practice/", "deeper/", "index.html")
MOVED = Path(__file__).parent.parent / "_data" / "moved.json"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve files without a line for each."""

    def log_message(self, format: str, *args: object) -> None:
        pass


def find_chromium() -> str:
    named = os.environ.get("CHROMIUM")
    for name in (named,) if named else CHROMIUM_NAMES:
        if found := shutil.which(name):
            return found
    sys.exit(
        f"There is no Chromium to look at the site with ({named or ', '.join(CHROMIUM_NAMES)}): "
        "install one (Debian and Ubuntu: `apt install chromium`), or say in the environment "
        "variable CHROMIUM where it is."
    )


def listen(page: Page, base: str, found: list[str]) -> None:
    """Note whatever the page asks of others, and whatever goes wrong while it does."""

    def on_request(request: Request) -> None:
        if not request.url.startswith((base, "data:", "blob:")):
            found.append(f"request to another host: {request.url}")

    def on_response(response: Response) -> None:
        if response.status >= 400:
            found.append(f"{response.status}: {response.url}")

    def on_console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.append(f"console {message.type}: {message.text}")

    def on_failed(request: Request) -> None:
        # A page that is left at once may not have its icon yet.
        if not (request.failure == "net::ERR_ABORTED" and "favicon" in request.url):
            found.append(f"request failed: {request.url}")

    page.on("request", on_request)
    page.on("response", on_response)
    page.on("console", on_console)
    page.on("requestfailed", on_failed)
    page.on("pageerror", lambda error: found.append(f"error in a script: {error}"))


async def objections(page: Page, to: Part) -> list[str]:
    """Say what axe-core objects to."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found: list[str] = await page.evaluate(OBJECTIONS, [to == "colours", COLOUR_RULES])
    return found


async def set_theme(page: Page, theme: Literal["light", "dark"]) -> None:
    """Take the reader's system to be light or dark, and wait until the page is."""
    await page.emulate_media(color_scheme=theme)
    await until(page, f"document.documentElement.dataset.theme === '{theme}'")


async def until(page: Page, condition: str) -> None:
    """Wait until a condition holds; Playwright's own way would break the pages' policy."""
    start = time.monotonic()
    while not await page.evaluate(f"!!({condition})"):
        if time.monotonic() - start > PATIENCE / 1000:
            raise Error(f"it never came to be that {condition}")
        await asyncio.sleep(0.05)


class Screen:
    """A window of one size. It goes from page to page, which is faster than to open new ones."""

    def __init__(self, browser: Browser, name: str, base: str) -> None:
        self.browser, self.name, self.base = browser, name, base
        self.page: Page | None = None
        self.found: list[str] = []

    async def opened(self) -> Page:
        """Give the window, a new one at the start and after a failure."""
        if self.page is None:
            width, height = SCREENS[self.name]
            # Reduced motion: colours that are still fading would be measured half-way.
            context = await self.browser.new_context(
                viewport={"width": width, "height": height}, reduced_motion="reduce"
            )
            context.set_default_timeout(PATIENCE)
            self.page = await context.new_page()
            listen(self.page, self.base, self.found)
        return self.page

    async def check_page(self, path: str, screenshots: Path | None) -> dict[str, list[str]]:
        """Look at one page in both themes; return what is wrong, by mode."""
        findings: dict[str, list[str]] = {}
        found = self.found
        found.clear()
        try:
            page = await self.opened()
            await page.emulate_media(color_scheme="light")
            await page.goto(self.base + path)
            if path.startswith(OPEN):
                found += await page.evaluate(FIRST_SCREEN, self.name == "wide")
            await page.evaluate(
                "document.querySelectorAll('details').forEach((e) => (e.open = true));"
                "document.fonts.ready.then(() => null)"
            )
            for theme in THEMES:
                mode = f"{self.name}-{theme}"
                await set_theme(page, theme)
                found += await page.evaluate(INSPECT)
                for part in AXE_MODES[mode]:
                    found += await objections(page, part)
                if screenshots:
                    file = screenshots / mode / f"{path.removesuffix('.html')}.jpg"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    await page.screenshot(path=file, full_page=True, type="jpeg", quality=80)
                findings[mode] = found.copy()
                found.clear()
        except Error as error:
            findings[self.name] = [*found, f"the page could not be looked at: {error}"]
            if self.page:
                await self.page.context.close()
                self.page = None
        for mode, texts in findings.items():
            print(f"{mode:11}  {'ok    ' if not texts else 'NOT OK'}  {path}")
        return findings


def address(place: str) -> str:
    """Give the address of a place, ``practice/change#change-peepholes``, on the built site."""
    page, mark, section = place.partition("#")
    return f"{page}.html{mark}{section}"


def pages_of(site: Path) -> list[str]:
    """Give the pages, the longest first, so that no process is left with a long one at the end."""
    static = site / "_static"
    # 404.html is for another folder, in which check_hosting.py looks at it.
    files = (f for f in site.rglob("*.html") if static not in f.parents and f.name != "404.html")
    lengths = {file.relative_to(site).as_posix(): file.stat().st_size for file in files}
    return sorted(lengths, key=lambda path: (-lengths[path], path))


def moved_wrongly(site: Path, moved: dict[str, str]) -> list[str]:
    """Read in the files themselves where every old address leads, and whether that is there."""
    texts = {path: (site / path).read_text("utf-8") for path in pages_of(site)}
    found = []
    for old, new in moved.items():
        before, after = map(address, (old, new))
        page, _, section = before.partition("#")
        table, link = (
            re.search(tag, texts.get(page, ""))
            for tag in (
                '<script id="u-moved"[^>]*>(.*?)</script>',
                'http-equiv="refresh" content="1; url=(.*?)"',
            )
        )
        if section:
            to = json.loads(table[1]).get(section) if table else None
        else:
            to = unescape(link[1]) if link else None
        if to is None or urljoin(page, to) != after:
            found.append(f"{before}: leads to {to}, not to {after}")
        page, _, section = after.partition("#")
        if page not in texts or (section and f'id="{section}"' not in texts[page]):
            found.append(f"{before}: there is no {after}")
    return found


async def check_moved(page: Page, base: str, moved: dict[str, str]) -> list[str]:
    """Go to one address of each page that something has moved from; the rest go the same way."""
    found = []
    one_of_each = {old.partition("#")[0]: (old, new) for old, new in moved.items()}
    for before, after in (map(address, pair) for pair in one_of_each.values()):
        try:
            # It need not finish loading before the next address, only be there.
            await page.goto(base + before, wait_until="commit")
            await page.wait_for_url(base + after, wait_until="commit")
        except Error:
            found.append(f"{before}: leads to {page.url.removeprefix(base)}, not to {after}")
    return found


async def check_site(site: Path, screenshots: Path | None, base: str, chromium: str) -> list[str]:
    """Look at all pages in all modes; return the findings, each with its page and modes."""
    moved: dict[str, str] = json.loads(MOVED.read_text("utf-8"))
    gone = {address(old) for old in moved if "#" not in old}
    pages = [path for path in pages_of(site) if path not in gone]
    if not pages:
        return [f"there is no page in {site}"]
    modes_of: dict[tuple[str, str], list[str]] = {}
    left = iter(pages)

    async def look(browser: Browser) -> None:
        screens = [Screen(browser, name, base) for name in SCREENS]
        for path in left:  # which all who look share
            for screen in screens:
                for mode, texts in (await screen.check_page(path, screenshots)).items():
                    for text in dict.fromkeys(texts):
                        modes_of.setdefault((path, text.replace(base, "/")), []).append(mode)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_ARGUMENTS
        )
        await asyncio.gather(*(look(browser) for _ in range(PAGES_AT_ONCE)))
        wrong = moved_wrongly(site, moved)
        wrong += await check_moved(await browser.new_page(), base, moved)
        await browser.close()
    print(f"{len(pages)} pages, each in {len(SCREENS) * len(THEMES)} modes.")
    return wrong + sorted(
        f"{path} ({', '.join(sorted(modes))}): {text}" for (path, text), modes in modes_of.items()
    )


def arguments(about: str | None) -> ArgumentParser:
    """Read what all checks of the built site are told."""
    parser = ArgumentParser(description=(about or "").partition("\n")[0])
    parser.add_argument("site", type=Path, help="the folder of the built site")
    parser.add_argument("--screenshots", type=Path, metavar="FOLDER", help="keep pictures there")
    return parser


def main() -> None:
    options = arguments(__doc__).parse_args()
    site = options.site.resolve()
    chromium = find_chromium()
    handler = partial(QuietHandler, directory=str(site))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/"
        findings = asyncio.run(check_site(site, options.screenshots, base, chromium))
        server.shutdown()
    if findings:
        sys.exit("\n".join(("Found:", *findings)))
    print("Nothing to object to.")


if __name__ == "__main__":
    main()

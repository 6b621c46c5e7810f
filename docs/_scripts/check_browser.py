"""Look at every page of the built site in headless Chromium, as readers do.

``python docs/_scripts/check_browser.py SITE SCREENSHOTS`` opens each page on a wide screen and on
a phone, in light and in dark, and holds it to the following: nothing is asked of another host, no
request fails, the console stays quiet, the page does not scroll sideways, its opening is on the
first screen with no code before it, every formula is set, every drawing has a name and text that
can be read, and axe-core finds nothing to object to. Every address that has moved is followed.
Screenshots are kept. The exit code is 1 if anything was found.
"""

import asyncio
import json
import os
import shutil
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # has none
from playwright.async_api import (
    BrowserContext,
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
SCREENS = {"wide": (1280, 900), "phone": (390, 844)}
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")

# Which of axe-core's rules each mode has to pass. Colours do not depend on the width, nor the rest
# on the theme. `preload` is off because axe would fetch style sheets itself, at wrong addresses.
COLOUR_RULES = ("color-contrast", "link-in-text-block")
AXE_OPTIONS: dict[str, dict[str, Any]] = {
    "wide-light": {},
    "wide-dark": {"runOnly": {"type": "rule", "values": COLOUR_RULES}},
    "phone-light": {"rules": {rule: {"enabled": False} for rule in COLOUR_RULES}},
}

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


async def check_page(
    context: BrowserContext, screen: str, base: str, path: str, screenshots: Path
) -> dict[str, list[str]]:
    """Open one page on one screen, in both themes; return what is wrong, by mode."""
    findings: dict[str, list[str]] = {}
    page = await context.new_page()
    found: list[str] = []
    listen(page, base, found)
    try:
        await page.emulate_media(color_scheme="light")
        await page.goto(base + path)
        if path.startswith(OPEN):
            found += await page.evaluate(FIRST_SCREEN, screen == "wide")
        await page.evaluate(
            "document.querySelectorAll('details').forEach((e) => (e.open = true));"
            "document.fonts.ready.then(() => null)"
        )
        for theme in THEMES:
            mode = f"{screen}-{theme}"
            await page.emulate_media(color_scheme=theme)
            await page.wait_for_function(
                f"document.documentElement.dataset.theme === '{theme}'", timeout=5000
            )
            found += await page.evaluate(INSPECT)
            if mode in AXE_OPTIONS:
                options = {"resultTypes": ["violations"], "preload": False, **AXE_OPTIONS[mode]}
                axe = await Axe().run(page, options=options)
                found += [
                    f"axe {rule['id']}, {rule['help']}: {' '.join(map(str, node['target']))}"
                    for rule in axe.response["violations"]
                    for node in rule["nodes"]
                ]
            file = screenshots / mode / f"{path.removesuffix('.html')}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            await page.screenshot(path=file, full_page=True, type="jpeg", quality=80)
            findings[mode] = found.copy()
            found.clear()
    except Error as error:
        findings[screen] = [*found, f"the page could not be looked at: {error}"]
    finally:
        await page.close()
    for mode, texts in findings.items():
        print(f"{mode:11}  {'ok    ' if not texts else 'NOT OK'}  {path}")
    return findings


async def check_moved(context: BrowserContext, base: str) -> list[str]:
    """Go to every address that has moved; return those that do not lead to the new one."""
    found = []
    # One page for all: it need not finish loading before the next address, only be there.
    page = await context.new_page()
    for old, new in json.loads(MOVED.read_text("utf-8")).items():
        before, after = ("{}.html{}{}".format(*address.partition("#")) for address in (old, new))
        try:
            await page.goto(base + before, wait_until="commit")
            await page.wait_for_url(base + after, wait_until="commit", timeout=5000)
        except Error:
            found.append(f"{before}: leads to {page.url.removeprefix(base)}, not to {after}")
    return found


async def check_site(site: Path, screenshots: Path, base: str, chromium: str) -> list[str]:
    """Look at all pages in all modes; return the findings, each with its page and modes."""
    static = site / "_static"
    gone = {f"{old}.html" for old in json.loads(MOVED.read_text("utf-8")) if "#" not in old}
    paths = (
        p.relative_to(site).as_posix() for p in site.rglob("*.html") if static not in p.parents
    )
    pages = sorted(path for path in paths if path not in gone)
    if not pages:
        return [f"there is no page in {site}"]
    gate = asyncio.Semaphore(PAGES_AT_ONCE)
    modes_of: dict[tuple[str, str], list[str]] = {}

    async def visit(context: BrowserContext, screen: str, path: str) -> None:
        async with gate:
            findings = await check_page(context, screen, base, path, screenshots)
        for mode, texts in findings.items():
            for text in dict.fromkeys(texts):
                modes_of.setdefault((path, text.replace(base, "/")), []).append(mode)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_ARGUMENTS
        )
        contexts = {
            # Reduced motion: colours that are still fading would be measured half-way.
            screen: await browser.new_context(
                viewport={"width": width, "height": height}, reduced_motion="reduce"
            )
            for screen, (width, height) in SCREENS.items()
        }
        await asyncio.gather(
            *(visit(context, name, path) for path in pages for name, context in contexts.items())
        )
        moved = await check_moved(contexts["wide"], base)
        await browser.close()
    print(f"{len(pages)} pages, each in {len(SCREENS) * len(THEMES)} modes.")
    return moved + sorted(
        f"{path} ({', '.join(sorted(modes))}): {text}" for (path, text), modes in modes_of.items()
    )


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit("Two arguments, please: the built site, and where screenshots go.")
    site, screenshots = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    chromium = find_chromium()
    handler = partial(QuietHandler, directory=str(site))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}/"
        findings = asyncio.run(check_site(site, screenshots, base, chromium))
        server.shutdown()
    if findings:
        sys.exit("\n".join(("Found:", *findings)))
    print("Nothing to object to.")


if __name__ == "__main__":
    main()

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
from collections.abc import Iterable
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, Literal
from urllib.parse import urljoin

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # has none
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Error,
    JSHandle,
    Page,
    Request,
    Response,
    ViewportSize,
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
PATIENCE = 60_000  # milliseconds: nothing is measured, and the machine may be busy
SCREENS: dict[str, ViewportSize] = {
    "wide": {"width": 1280, "height": 900},
    "phone": {"width": 390, "height": 844},
}
Theme = Literal["light", "dark"]
THEMES: tuple[Theme, ...] = ("light", "dark")

# In this order as little as possible changes from one mode to the next. What axe-core says of
# colours does not depend on the width, and it is asked on a wide screen; the rest does not depend
# on the theme, and it is asked in light.
MODES: tuple[tuple[str, Theme], ...] = (
    ("wide", "dark"),
    ("phone", "dark"),
    ("phone", "light"),
    ("wide", "light"),
)
COLOUR_RULES = ("color-contrast", "link-in-text-block")
AXE = Axe().axe_script
PASSED: set[str] = set()  # the kinds whose colours axe-core has not objected to

# Sorts what can be read on a page by kind; returns up to three elements of each. A kind is all that
# axe-core's two rules about colours depend on, and the name and classes of the element.
KINDS = r"""
() => {
  const styles = new Map();
  const styleOf = (element) => {
    if (!styles.has(element)) styles.set(element, getComputedStyle(element));
    return styles.get(element);
  };
  // What an element lies on: everything around it that is painted or lets something through.
  const grounds = new Map([[null, ""]]);
  const groundOf = (element) => {
    if (!grounds.has(element)) {
      const { backgroundColor, backgroundImage, opacity, filter, mixBlendMode } = styleOf(element);
      const painted = [backgroundColor, backgroundImage, opacity, filter, mixBlendMode].join(" ");
      const around = groundOf(element.parentElement);
      const clear = painted === "rgba(0, 0, 0, 0) none 1 none normal";
      grounds.set(element, clear ? around : `${around}|${painted}`);
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
    const unheard = element.closest("[aria-hidden=true]") !== null;
    const parts = [element.tagName, element.getAttribute("class"), unused, unheard,
      letters(element)];
    if (link) {
      // A link in a text has to differ from the text around it.
      const block = blockOf(link.parentElement);
      const { textDecorationLine, borderBottom, display } = styleOf(link);
      parts.push(...[link, link.parentElement, block].map(letters), textDecorationLine,
        borderBottom, display, isText(block));
    }
    return parts.join("; ");
  };

  const lengths = new Map();
  const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (nodes.nextNode()) {
    const { data, parentElement } = nodes.currentNode;
    if (size(data)) lengths.set(parentElement, size(data) + (lengths.get(parentElement) ?? 0));
  }
  for (const field of document.querySelectorAll("input, select, textarea"))
    lengths.set(field, Infinity);
  const kinds = new Map();
  for (const [element, length] of lengths) {
    const { width, height } = element.getBoundingClientRect();
    const visible = element.checkVisibility({ visibilityProperty: true });
    if (!visible || width <= 1 || height <= 1) continue; // the last are for screen readers only
    const link = element.closest("a");
    const kind = kindOf(element, link);
    if (!kinds.has(kind)) kinds.set(kind, []);
    kinds.get(kind).push([element, length]);
  }
  for (const [kind, all] of kinds) {
    // Of a single letter axe-core says nothing, unless it can be read well.
    const words = all.filter(([, length]) => length > 1);
    const some = (words.length ? words : all).map(([element]) => element);
    kinds.set(kind, [...new Set([some[0], some[some.length >> 1], some.at(-1)])]);
  }
  return kinds;
}
"""

# Makes code plain but for the samples of some kinds. Most of a page are the coloured pieces of its
# code, and of one that has nothing but a class axe-core could only say something about colours.
PLAIN_CODE = r"""
(samples) => {
  const kept = new Set(samples.flatMap((kinds) => [...kinds.values()].flat()));
  const isPiece = (node) => node.nodeType === Node.TEXT_NODE || (node.localName === "span" &&
    !kept.has(node) && [...node.attributes].every(({ name }) => name === "class") &&
    [...node.childNodes].every(isPiece));
  const simplify = (box) => {
    const parts = [];
    for (const node of box.childNodes) {
      if (!isPiece(node)) parts.push(node);
      else if (typeof parts.at(-1) !== "string") parts.push(node.textContent);
      else parts.push(parts.pop() + node.textContent);
    }
    box.replaceChildren(...parts);
    for (const part of box.children) simplify(part);
  };
  for (const code of document.querySelectorAll("pre")) simplify(code);
}
"""

# Runs axe-core, on the samples of some kinds or on all but colours; returns sentences, one an
# objection, and the kinds of which it could tell the colours. `preload` is off because axe would
# fetch style sheets itself, at wrong addresses.
OBJECTIONS = r"""
async ([kinds, names, rules]) => {
  const chosen = names.flatMap((name) => kinds.get(name));
  // It cannot tell the colours of what is scrolled out of the side bar.
  const bar = document.querySelector(".bd-sidebar-primary");
  if (kinds && bar) bar.style.maxHeight = "none";
  const { violations, incomplete } = await axe.run(
    kinds ? { include: chosen.flatMap((element) => [element.closest("a") ?? element]) } : document,
    {
      resultTypes: kinds ? ["violations", "incomplete"] : ["violations"],
      elementRef: true,
      preload: false,
      ...(kinds
        ? { runOnly: { type: "rule", values: rules } }
        : { rules: Object.fromEntries(rules.map((rule) => [rule, { enabled: false }])) }),
    });
  if (kinds && bar) bar.style.maxHeight = "";
  const unsure = new Set(incomplete.flatMap(({ nodes }) => nodes.map(({ element }) => element)));
  // It can never tell those of text in a drawing, of a letter and of a symbol.
  const told = (element) => !unsure.has(element) || element.ownerSVGElement ||
    !/[!-~\p{L}\p{N}]{2}/u.test(element.textContent);
  return [
    violations.flatMap(({ id, help, nodes }) =>
      nodes.map(({ target }) => `axe ${id}, ${help}: ${target.join(" ")}`)),
    names.filter((name) => kinds.get(name).some(told)),
  ];
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


# Unfolds what is folded, once all fonts are there.
UNFOLD = r"""
async () => {
  await document.fonts.ready;
  window.folded = document.querySelectorAll("details:not([open])");
  for (const details of window.folded) details.open = true;
}
"""
# What is asked of a page as long as nothing is unfolded.
FIRST_SCREEN = r"""
(mode) => {
  const opening = document.querySelector(".u-opening");
  if (!opening) return ["no opening"];
  for (const details of window.folded ?? []) details.open = false;
  const found = [];
  const top = opening.getBoundingClientRect().top;
  if (mode.startsWith("wide") && top > innerHeight)
    found.push(`the opening is ${Math.round(top)} pixels down`);
  const before = [...document.querySelectorAll(".cell_input pre")].filter((e) =>
    e.checkVisibility() && e.getBoundingClientRect().top < top);
  if (before.length) found.push(`code before the opening: ${before[0].textContent.slice(0, 60)}`);
  for (const details of window.folded ?? []) details.open = true;
  return found;
}
"""
OPEN = ("walkthrough/", "module/", "practice/", "deeper/", "index.html")
MOVED = Path(__file__).parent.parent / "_data" / "moved.json"

# True once what depends on the width has followed it.
PAINTED = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


class QuietHandler(SimpleHTTPRequestHandler):
    """Serve files without a line for each, to a browser that keeps them and the connection."""

    protocol_version = "HTTP/1.1"

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "max-age=600")
        super().end_headers()

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


async def kinds_of(page: Page, themes: Iterable[Theme], plain: bool) -> dict[Theme, JSHandle]:
    """Sort what can be read on a page by kind in some themes; with `plain`, simplify its code."""
    kinds = {}
    for theme in themes:
        await set_theme(page, theme)
        kinds[theme] = await page.evaluate_handle(KINDS)
    if plain:
        await page.evaluate(PLAIN_CODE, list(kinds.values()))
    return kinds


async def objections(page: Page, theme: Theme, kinds: JSHandle | None) -> list[str]:
    """Say what axe-core objects to: the colours of some kinds, and in light the rest."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(AXE)
    found: list[str] = []
    if kinds:
        names = set(await kinds.evaluate("(kinds) => [...kinds.keys()]")) - PASSED
        if names:
            found, told = await page.evaluate(OBJECTIONS, [kinds, list(names), COLOUR_RULES])
            PASSED.update(() if found else told)
    if theme == "light":
        found += (await page.evaluate(OBJECTIONS, [None, [], COLOUR_RULES]))[0]
    return found


async def set_theme(page: Page, theme: Theme) -> None:
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


async def load_again(page: Page) -> str:
    """Load a page of the laboratory again from its address, which says all, and give that."""
    # A page writes its address in a timer, and timers run in order.
    await page.evaluate("new Promise((done) => setTimeout(done, 100))")
    address = page.url
    await page.reload(wait_until="networkidle")
    await until(page, READY)
    return address


class Window:
    """A window that goes from page to page, which is faster than to open new ones."""

    def __init__(self, browser: Browser, base: str, **options: Any) -> None:
        self.browser, self.base, self.options = browser, base, options
        self.page: Page | None = None
        self.found: list[str] = []

    async def opened(self) -> Page:
        """Give the page of the window, a new one at the start and after a failure."""
        if self.page is None:
            context = await self.browser.new_context(**self.options)
            context.set_default_timeout(PATIENCE)
            self.page = await context.new_page()
            listen(self.page, self.base, self.found)
        return self.page

    async def close(self) -> None:
        if self.page:
            await self.page.context.close()
            self.page = None


async def check_page(
    window: Window, path: str, screenshots: Path | None, again: bool = True
) -> dict[str, list[str]]:
    """Look at one page on both screens and in both themes; return what is wrong, by mode.

    Chromium may lose a window on a busy machine: it draws it no more, or does not tell it that the
    system has become light. A page that could not be looked at for such a reason is looked at from
    its beginning in a new window, once.
    """
    findings: dict[str, list[str]] = {"-".join(mode): [] for mode in MODES}
    found = window.found
    found.clear()
    now = "wide-light"
    try:
        async with asyncio.timeout(PATIENCE / 1000):
            page = await window.opened()
            await page.goto(window.base + path)
            has_opening = path.startswith(OPEN)
            if has_opening:
                found += await page.evaluate(FIRST_SCREEN, now)
            await page.evaluate(UNFOLD)
            findings[now] += found
            found.clear()
            kinds = await kinds_of(page, THEMES, plain=not screenshots)
            for screen, theme in MODES:
                now = f"{screen}-{theme}"
                if page.viewport_size != SCREENS[screen]:
                    await page.set_viewport_size(SCREENS[screen])
                    await page.evaluate(PAINTED)
                await set_theme(page, theme)
                if has_opening and now == "phone-light":
                    found += await page.evaluate(FIRST_SCREEN, now)
                found += await page.evaluate(INSPECT)
                found += await objections(page, theme, kinds[theme] if screen == "wide" else None)
                if screenshots:
                    file = screenshots / now / f"{path.removesuffix('.html')}.jpg"
                    file.parent.mkdir(parents=True, exist_ok=True)
                    await page.screenshot(path=file, full_page=True, type="jpeg", quality=80)
                findings[now] += found
                found.clear()
    except (Error, TimeoutError) as error:
        lost = f"the page could not be looked at: {str(error) or 'it took too long'}"
        await window.close()
        if again:
            print(f"{now:11}  AGAIN   {path}: {lost}")
            return await check_page(window, path, screenshots, again=False)
        findings[now] += [*found, lost]
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
        # Reduced motion: colours that are still fading would be measured half-way.
        window = Window(browser, base, viewport=SCREENS["wide"], reduced_motion="reduce")
        for path in left:  # which all who look share
            for mode, texts in (await check_page(window, path, screenshots)).items():
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
    print(f"{len(pages)} pages, each in {len(MODES)} modes.")
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

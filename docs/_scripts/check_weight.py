"""Weigh the built site, and hold its pages to their content security policy.

``python docs/_scripts/check_weight.py SITE`` reads every page: it has the policy, no handler in an
attribute, no style element and no inline script but the one whose hash the policy has. Then it
opens some pages in headless Chromium, over a server that compresses: a page moves and asks for no
more than it may, nothing of it comes from another host, and nothing jumps while it loads. A chapter
is also opened from the disk. All chapters are weighed by what their markup names. The exit code is
1 if anything was found.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from check_browser import CHROMIUM_ARGUMENTS, SCREENS, find_chromium
from compressing_server import compressed, served
from page_policy import read_page
from playwright.sync_api import Browser, Page, Response, sync_playwright

CHAPTER = "module/lstm.html"
CHAPTERS = ("walkthrough", "module", "practice", "deeper")
PAGES = ("index.html", CHAPTER, "practice/questions.html", "reference/api.html")
MOST_BYTES, MOST_REQUESTS, MOST_SHIFT = 200_000, 16, 0.02
# What only the search page loads.
SEARCH = ("sections.js", "minisearch.js", "stemmer.js", "searchindex.js")
WAIT = 120_000  # ms, for a machine with much else to do

SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
# All fonts are there, and what they have moved has been painted.
SETTLED = """
async () => {
  await document.fonts.ready;
  for (let i = 0; i < 3; i++) await new Promise(requestAnimationFrame);
}
"""


def asked_for(file: Path) -> int:
    """Weigh a page, compressed, with the style sheets and scripts that its markup names."""
    text = file.read_text("utf-8")
    named = re.findall(r'<(?:link rel="stylesheet"|script\b)[^>]*? (?:href|src)="([^"?]+)', text)
    files = [file, *((file.parent / name).resolve() for name in named)]
    return sum(len(compressed(path)) for path in files)


def listen(page: Page, found: list[str]) -> list[Response]:
    """Note what a page loads and what goes wrong."""
    responses: list[Response] = []
    page.on("response", lambda response: responses.append(response))
    page.on("requestfailed", lambda request: found.append(f"request failed: {request.url}"))
    page.on("pageerror", lambda error: found.append(f"error in a script: {error}"))
    page.on(
        "console",
        lambda message: (
            found.append(f"console {message.type}: {message.text}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    return responses


def weigh(browser: Browser, base: str, path: str, screen: str) -> Iterator[str]:
    """Open a page for the first time and give what is wrong with what it loads."""
    found: list[str] = []
    with browser.new_context(viewport=SCREENS[screen]) as context:
        context.set_default_timeout(WAIT)
        page = context.new_page()
        page.add_init_script(SHIFTS)
        responses = listen(page, found)
        page.goto(base + path, wait_until="networkidle")
        page.evaluate(SETTLED)
        shift = page.evaluate("window.shifts")
        sizes = [response.request.sizes() for response in responses]
        moved = sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)
        print(f"{path:24} {screen:5} {moved / 1000:6.1f} KB  {len(sizes):2} requests  {shift:.4f}")
        yield from found
        for response in responses:
            if urlsplit(response.url).netloc != urlsplit(base).netloc:
                yield f"another host: {response.url}"
            if response.url.endswith(SEARCH):
                yield f"the search before anybody searches: {response.url}"
        if path == CHAPTER and moved > MOST_BYTES:
            yield f"{moved} bytes, more than {MOST_BYTES}"
        if len(sizes) > MOST_REQUESTS:
            yield f"{len(sizes)} requests, more than {MOST_REQUESTS}"
        if shift > MOST_SHIFT:
            yield f"a layout shift of {shift:.4f}, more than {MOST_SHIFT}"


def open_from_disk(browser: Browser, file: Path) -> Iterator[str]:
    """Open a page without a server: it has its style, its fonts and its scripts."""
    found: list[str] = []
    page = browser.new_page(color_scheme="dark")
    page.set_default_timeout(WAIT)
    listen(page, found)
    page.goto(file.resolve().as_uri())
    page.evaluate(SETTLED)
    loaded = page.evaluate("[...document.fonts].filter((font) => font.status === 'loaded').length")
    theme = page.evaluate("document.documentElement.dataset.theme")
    page.click("[popovertarget=u-menu-theme]")
    page.click(".theme-change-button[data-mode=light]")
    chosen = page.evaluate("document.documentElement.dataset.theme")
    page.close()
    yield from found
    if not loaded:
        yield "no font is loaded"
    if (theme, chosen) != ("dark", "light"):
        yield f"the colours do not follow the reader: {theme}, then {chosen}"


def main() -> int:
    site = Path(sys.argv[1])
    found = [
        (path, text)
        for file in sorted(site.rglob("*.html"))
        if "_static" not in (path := file.relative_to(site).as_posix())
        for text in read_page(file.read_text("utf-8"))
    ]
    for chapter in CHAPTERS:
        for file in sorted((site / chapter).glob("*.html")):
            if (weight := asked_for(file)) > MOST_BYTES:
                place = file.relative_to(site).as_posix()
                found.append((place, f"{weight} bytes in its markup, more than {MOST_BYTES}"))
    # What is painted before a page is all there may not move, nor where bars for scrolling come in.
    with sync_playwright() as playwright, served(site, pause=0.05) as base:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(),
            args=CHROMIUM_ARGUMENTS,
            ignore_default_args=["--hide-scrollbars"],
        )
        for path in PAGES:
            for screen in SCREENS:
                found += [
                    (f"{path}, {screen}", text) for text in weigh(browser, base, path, screen)
                ]
        found += [(f"{CHAPTER}, disk", text) for text in open_from_disk(browser, site / CHAPTER)]
        browser.close()
    for place, text in found:
        print(f"{place}: {text}")
    print(f"{len(found)} findings in the weight of the site and in its policy")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

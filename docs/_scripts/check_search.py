"""Ask the built site what readers ask, with its own search, and see which sections come first.

``python docs/_scripts/check_search.py SITE`` types every search of two lists into the search page
in headless Chromium: the key words of the questions that the site answers
(``docs/_data/questions.json``), and searches that were written by somebody who had not seen the
site (``docs/_data/searches.json``), each with the sections that answer it. A search is right when
one of its sections is among the first three results and a click on it brings the heading to the
screen. The exit code is 1 if fewer than nine tenths of a list are right; the others are printed.
"""

import asyncio
import json
import sys
from collections import Counter
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import quote

from check_browser import CHROMIUM_ARGUMENTS, QuietHandler, find_chromium
from playwright.async_api import BrowserContext, Error, Page, async_playwright

DATA = Path(__file__).parent.parent / "_data"
RESULTS_READ = 3
SHARE = 0.9
PAGES_AT_ONCE = 3
PATIENCE = 10_000  # milliseconds, for a search and for a page to come to rest

# Is the heading of the section with this id, or the top of the page, on the screen?
HEADING_IN_VIEW = """
(id) => {
  const place = id ? document.getElementById(id) : document.querySelector("article");
  const heading = place?.matches("section, article") ? place.querySelector("h1, h2, h3") : place;
  if (!heading) return false;
  const { top, bottom } = heading.getBoundingClientRect();
  return top >= 0 && bottom <= innerHeight;
}
"""


class Server(ThreadingHTTPServer):
    """Take it that a browser which goes on to another page does not wait for the rest of this."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]  # handed on


class Search(NamedTuple):
    """What is typed, and the addresses of the sections that answer it."""

    typed: str
    places: list[str]


def address(place: str) -> str:
    """Give the address of a place, ``practice/change#change-peepholes``, on the built site."""
    page, mark, section = place.partition("#")
    return f"{page}.html{mark}{section}"


def searches(name: str) -> list[Search]:
    """Read a list of entries with ``searches`` and ``places``."""
    entries = json.loads((DATA / name).read_text("utf-8"))
    return [
        Search(typed, list(map(address, entry["places"])))
        for entry in entries
        for typed in entry["searches"]
    ]


async def in_view(page: Page, anchor: str) -> bool:
    """Say whether the answer is on the screen once the page has come to rest."""
    await page.wait_for_load_state("load")
    # Two frames: the browser has scrolled to where the address points.
    await page.evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
    return bool(await page.evaluate(HEADING_IN_VIEW, anchor))


async def find(page: Page, base: str, search: Search) -> int | str:
    """Give the number of the first right result, or what a reader sees instead."""
    await page.goto(f"{base}search.html?q={quote(search.typed)}")
    await page.wait_for_function(
        "document.getElementById('u-search-status').textContent", timeout=PATIENCE
    )
    links = page.locator("#u-search-results > li > a")
    addresses = await links.evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    best = list(map(str, addresses[:RESULTS_READ]))
    right = [number for number, place in enumerate(best) if place in search.places]
    if not right:
        return f"the first results are {', '.join(best) or 'none'}"
    await links.nth(right[0]).click()
    if not await in_view(page, best[right[0]].partition("#")[2]):
        return f"result {right[0] + 1}, {best[right[0]]}, does not show its heading"
    return right[0] + 1


async def ask(base: str, chromium: str, asked: list[Search]) -> Counter[int]:
    """Ask everything; count the searches by the number of the first right result, 0 for none."""
    gate = asyncio.Semaphore(PAGES_AT_ONCE)

    async def visit(context: BrowserContext, search: Search) -> int:
        async with gate:
            page = await context.new_page()
            try:
                found = await find(page, base, search)
            except Error as error:
                found = str(error).partition("\n")[0]
            finally:
                await page.close()
        if isinstance(found, str):
            print(f"NOT FOUND  {search.typed!r}, {' or '.join(search.places)}: {found}")
            return 0
        return found

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_ARGUMENTS
        )
        context = await browser.new_context(
            viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
        )
        found = await asyncio.gather(*(visit(context, search) for search in asked))
        await browser.close()
    return Counter(found)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("One argument, please: the built site.")
    site = Path(sys.argv[1]).resolve()
    chromium = find_chromium()
    handler = partial(QuietHandler, directory=str(site))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    low = []
    with Server(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        for name in ("questions.json", "searches.json"):
            asked = searches(name)
            found = asyncio.run(ask(f"http://127.0.0.1:{server.server_port}/", chromium, asked))
            right = len(asked) - found[0]
            print(
                f"{name}: {right} of {len(asked)} searches show the right section among the first "
                f"{RESULTS_READ}, {found[1]} of them first."
            )
            if right < SHARE * len(asked):
                low.append(name)
        server.shutdown()
    if low:
        sys.exit(f"Too few searches of {' and '.join(low)} lead to the answer.")


if __name__ == "__main__":
    main()

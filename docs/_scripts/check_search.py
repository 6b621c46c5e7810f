"""Ask the built site what readers ask, with its own search, and see how far the answers are.

``python docs/_scripts/check_search.py SITE`` takes the key words of every question from
``docs/_data/questions.json``, opens the search page with them in headless Chromium, and clicks as
a reader would: first on one of the five best results that lead to the page with the answers, then,
if the answer is not on the screen yet, on a link of that page. An answer that is not there after
two clicks is printed. The exit code is 1 if there was one.
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

QUESTIONS = Path(__file__).parent.parent / "_data" / "questions.json"
ANSWERS = "practice/questions.html"
RESULTS_READ = 5
PAGES_AT_ONCE = 3
PATIENCE = 5000  # milliseconds, for a search and for a page to come to rest

# Is the heading of the section with this id on the screen?
HEADING_IN_VIEW = """
(id) => {
  const heading = document.getElementById(id)?.querySelector("h2, h3");
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


class Way(NamedTuple):
    """How a reader got to an answer: which result was clicked, and how many clicks it took."""

    rank: int
    clicks: int


async def in_view(page: Page, anchor: str) -> bool:
    """Say whether the answer is on the screen once the page has come to rest."""
    await page.wait_for_load_state("load")
    # Two frames: the browser has scrolled to where the address points.
    await page.evaluate("new Promise((r) => requestAnimationFrame(() => requestAnimationFrame(r)))")
    return bool(await page.evaluate(HEADING_IN_VIEW, anchor))


async def find(page: Page, base: str, words: str, anchor: str) -> Way | str:
    """Go to an answer by its key words; give the way, or what a reader sees instead."""
    await page.goto(f"{base}search.html?q={quote(words)}")
    # The best result comes first. The summary is written when all results are there.
    await page.wait_for_function(
        "n => document.querySelectorAll('ul.search > li').length >= n ||"
        " document.querySelector('.search-summary')?.textContent",
        arg=RESULTS_READ,
        timeout=PATIENCE,
    )
    links = page.locator("ul.search > li > a")
    addresses = await links.evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    best = list(map(str, addresses[:RESULTS_READ]))
    there = [address for address in best if address.partition("#")[0] == ANSWERS]
    if not there:
        return f"the first results are {', '.join(best) or 'none'}"
    # A reader sees in the title of a result which question it is.
    exact = f"{ANSWERS}#{anchor}"
    rank = best.index(exact if exact in there else there[0])
    await links.nth(rank).click()
    if await in_view(page, anchor):
        return Way(rank + 1, 1)
    onward = page.locator(f"article a[href='#{anchor}']").first
    if await onward.count():
        await onward.click()
        if await in_view(page, anchor):
            return Way(rank + 1, 2)
    return f"result {rank + 1}, {best[rank]}, has no link that shows it"


async def ask(base: str, chromium: str) -> tuple[list[str], Counter[Way]]:
    """Ask all questions; give those without an answer, and the ways to the others."""
    questions = json.loads(QUESTIONS.read_text("utf-8"))
    asked = [(words, entry["anchor"]) for entry in questions for words in entry["words"]]
    gate = asyncio.Semaphore(PAGES_AT_ONCE)
    ways: Counter[Way] = Counter()

    async def visit(context: BrowserContext, words: str, anchor: str) -> str | None:
        async with gate:
            page = await context.new_page()
            try:
                way = await find(page, base, words, anchor)
            except Error as error:
                way = str(error).partition("\n")[0]
            finally:
                await page.close()
        if isinstance(way, Way):
            ways[way] += 1
            return None
        print(f"NOT FOUND  {words!r}, #{anchor}: {way}")
        return words

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_ARGUMENTS
        )
        context = await browser.new_context(
            viewport={"width": 1280, "height": 900}, reduced_motion="reduce"
        )
        missed = await asyncio.gather(*(visit(context, *each) for each in asked))
        await browser.close()
    print(f"{len(questions)} questions, searched for in {len(asked)} ways.")
    return [words for words in missed if words is not None], ways


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("One argument, please: the built site.")
    site = Path(sys.argv[1]).resolve()
    chromium = find_chromium()
    handler = partial(QuietHandler, directory=str(site))
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    with Server(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        missed, ways = asyncio.run(ask(f"http://127.0.0.1:{server.server_port}/", chromium))
        server.shutdown()
    for (rank, clicks), count in sorted(ways.items()):
        print(f"{count:4} answers by result {rank}, in {clicks} click{'s' * (clicks > 1)}")
    if missed:
        sys.exit(f"{len(missed)} searches do not lead to the answer.")
    print("Every answer is at most two clicks away.")


if __name__ == "__main__":
    main()

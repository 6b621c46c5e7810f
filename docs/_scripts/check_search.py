"""Ask the built site what readers ask, with its own search, and see which sections come first.

``python docs/_scripts/check_search.py SITE`` types every search of two lists into the search page
in headless Chromium: the key words of the questions that the site answers
(``src/unrolled_site/data/questions.json``), and searches that were written by somebody who had not
seen the site (``docs/_data/searches.json``), each with the sections that answer it. A search is
right when one of its sections is among the first three results. On each page that has right results
one of them is followed, and has to bring its heading to the screen. The exit code is 1 if one does
not, or if fewer than nine tenths of a list are right; the others are printed.
"""

import json
import sys
from collections import Counter
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import NamedTuple
from urllib.parse import quote

from check_browser import (
    CHROMIUM_ARGUMENTS,
    PAINTED,
    SCREENS,
    QuietHandler,
    address,
    find_chromium,
)
from playwright.sync_api import Page, sync_playwright

from unrolled_site.data import FOLDER

DATA = Path(__file__).parent.parent / "_data"
RESULTS_READ = 3
SHARE = 0.9
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


def searches(file: Path) -> list[Search]:
    """Read a list of entries with ``searches`` and ``places``."""
    entries = json.loads(file.read_text("utf-8"))
    return [
        Search(typed, list(map(address, entry["places"])))
        for entry in entries
        for typed in entry["searches"]
    ]


def in_view(page: Page, anchor: str) -> bool:
    """Say whether the answer is on the screen once the page has come to rest."""
    page.wait_for_load_state("load")
    # Two frames: the browser has scrolled to where the address points.
    page.evaluate(PAINTED)
    return bool(page.evaluate(HEADING_IN_VIEW, anchor))


def results(page: Page, typed: str) -> list[str]:
    """Type into the search page; give the addresses of the first results."""
    page.locator(".bd-search-container input[type=search]").fill(typed)
    links = page.locator("#u-search-results > li > a")
    addresses = links.evaluate_all("links => links.map((link) => link.getAttribute('href'))")
    return list(map(str, addresses[:RESULTS_READ]))


def ask(page: Page, asked: list[Search]) -> tuple[Counter[int], dict[str, Search]]:
    """Count the searches by their first right result, 0 for none; give one of each page."""
    found: Counter[int] = Counter()
    to_follow: dict[str, Search] = {}
    for search in asked:
        best = results(page, search.typed)
        right = [number for number, place in enumerate(best, start=1) if place in search.places]
        found[right[0] if right else 0] += 1
        if right:
            place = best[right[0] - 1]
            to_follow.setdefault(place.partition("#")[0], Search(search.typed, [place]))
        else:
            wanted, got = " or ".join(search.places), ", ".join(best) or "none"
            print(f"NOT FOUND  {search.typed!r}, {wanted}: the first results are {got}")
    return found, to_follow


def follow(page: Page, start: str, search: Search) -> bool:
    """Search as a reader does who comes from another page, and click on a result."""
    (place,) = search.places
    page.goto(f"{start}?q={quote(search.typed)}")
    page.locator(f"#u-search-results a[href='{place}']").first.click(timeout=PATIENCE)
    there = in_view(page, place.partition("#")[2])
    if not there:
        print(f"NOT SHOWN  {search.typed!r}: {place} does not show its heading")
    return there


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("One argument, please: the built site.")
    site = Path(sys.argv[1]).resolve()
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    low, hidden = [], 0
    handler = partial(QuietHandler, directory=str(site))
    with Server(("127.0.0.1", 0), handler) as server, sync_playwright() as playwright:
        Thread(target=server.serve_forever, daemon=True).start()
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_ARGUMENTS
        )
        context = browser.new_context(viewport=SCREENS["wide"], reduced_motion="reduce")
        page, start = context.new_page(), f"http://127.0.0.1:{server.server_port}/search.html"
        for file in (FOLDER / "questions.json", DATA / "searches.json"):
            asked = searches(file)
            page.goto(start)
            found, to_follow = ask(page, asked)
            right = len(asked) - found[0]
            print(
                f"{file.name}: {right} of {len(asked)} searches show the right section among the "
                f"first {RESULTS_READ}, {found[1]} of them first."
            )
            if right < SHARE * len(asked):
                low.append(file.name)
            hidden += sum(not follow(page, start, search) for search in to_follow.values())
        browser.close()
        server.shutdown()
    if low:
        sys.exit(f"Too few searches of {' and '.join(low)} lead to the answer.")
    if hidden:
        sys.exit(f"{hidden} results do not show their heading.")


if __name__ == "__main__":
    main()

"""Look at the built site as its hosts do, and those who link to it.

``python docs/_scripts/check_hosting.py SITE`` holds every page to one canonical address, one
description and one card of its own; the sitemap to exactly these pages; and every address that has
moved to its new one. Then it serves the site below the path that it is built for, opens an address
that is not there in headless Chromium, and a page of an older version beside a newer one. The exit
code is 1 if anything was found.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from html.parser import HTMLParser
from http import HTTPStatus
from pathlib import Path
from threading import Thread
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # has none
from check_browser import CHROMIUM_ARGUMENTS, QuietHandler, find_chromium
from check_search import Server
from playwright.sync_api import Page, sync_playwright

NOT_PAGES = {"404.html", "genindex.html", "py-modindex.html", "search.html"}
CARD = (1200, 630)
LARGEST_CARD = 60_000  # bytes
LONGEST = 400  # characters of a first sentence
LOST = "no/such/page.html"
A_PAGE = "walkthrough/one_step.html"
BANNER = ".u-old-version"


class Head(HTMLParser):
    """What the head of a page says: meta by name, links by kind, and its base."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.meta: dict[str, list[str]] = {}
        self.links: dict[str, list[str]] = {}
        self.base = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "meta":
            name = given.get("name") or given.get("property") or ""
            self.meta.setdefault(name, []).append(given.get("content", ""))
        elif tag == "link":
            self.links.setdefault(given.get("rel", ""), []).append(given["href"])
        elif tag == "base":
            self.base = given["href"]


def png_size(data: bytes) -> tuple[int, int]:
    """Read the width and the height of a PNG, or give zeros for anything else."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return 0, 0
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def check_card(site: Path, base: str, text: str, head: Head) -> Iterator[str]:
    """Find what is wrong with the card of a page."""
    images = head.meta.get("og:image", [])
    if len(images) != 1 or not images[0].startswith(f"{base}_cards/"):
        yield f"has the cards {images}"
        return
    file = site / images[0].removeprefix(base)
    if not file.exists():
        yield f"has a card that is not there, {images[0]}"
    elif png_size(file.read_bytes()) != CARD or file.stat().st_size > LARGEST_CARD:
        yield f"has a card of {png_size(file.read_bytes())}, {file.stat().st_size} bytes"
    if text.count("_cards/") != 1:
        yield "names a card elsewhere than in its head, where readers may load it"
    if [head.meta.get(f"og:image:{side}") for side in ("width", "height")] != [
        [str(length)] for length in CARD
    ]:
        yield "does not say how large its card is"


def check_heads(site: Path, base: str) -> Iterator[str]:
    """Find what is wrong with the heads of all pages, with the sitemap and with robots.txt."""
    described: Counter[str] = Counter()
    cards: Counter[str] = Counter()
    places: list[str] = []
    for file in sorted(site.rglob("*.html")):
        name = file.relative_to(site).as_posix()
        if name in NOT_PAGES or name.startswith(("_modules/", "_static/")):
            continue
        text = file.read_text("utf-8")
        head = Head(text)
        canonical = head.links.get("canonical", [])
        if "<title>This page has moved</title>" in text:
            there = site / canonical[0].removeprefix(base) if len(canonical) == 1 else site
            if not there.is_file() or head.meta.get("robots") != ["noindex"]:
                yield f"{name} has moved to {canonical}, robots: {head.meta.get('robots')}"
            continue
        places.append(base if name == "index.html" else f"{base}{name}")
        if canonical != places[-1:]:
            yield f"{name} has the canonical addresses {canonical}, not {places[-1]}"
        descriptions = head.meta.get("description", [])
        if len(descriptions) != 1 or not 20 <= len(descriptions[0]) <= LONGEST:
            yield f"{name} has the descriptions {descriptions}"
        if any(mark in text for text in descriptions for mark in ("\\", "`", "<", "**", "{")):
            yield f"{name} has markup in its description, {descriptions}"
        for key in ("og:title", "og:description", "og:url", "twitter:card"):
            if len(head.meta.get(key, [])) != 1:
                yield f"{name} says {head.meta.get(key)} for {key}"
        described.update(descriptions)
        cards.update(head.meta.get("og:image", []))
        yield from (f"{name} {found}" for found in check_card(site, base, text, head))
    for what, seen in (("description", described), ("card", cards)):
        for one in (one for one, times in seen.items() if times > 1):
            yield f"several pages have the same {what}: {one}"
    drawn = {f"{base}{card.relative_to(site).as_posix()}" for card in site.rglob("_cards/**/*.png")}
    yield from (f"no page has the card {card}" for card in sorted(drawn - set(cards)))

    entries = ElementTree.parse(site / "sitemap.xml").getroot()
    listed = [entry.findtext("{*}loc") or "" for entry in entries]
    for place in sorted(set(listed) ^ set(places)):
        yield f"{place} is {'only' if place in listed else 'not'} in the sitemap"
    yield from (f"{place} is in the sitemap twice" for place in listed if listed.count(place) > 1)
    if f"Sitemap: {base}sitemap.xml\n" not in (site / "robots.txt").read_text("utf-8"):
        yield "robots.txt does not name the sitemap"


class Host(QuietHandler):
    """A host that has the site at a path, and the same site again as that of an older version."""

    base = "/"
    version = ""
    newest: str | None = None  # what versions.json says; None: there is no such file

    def translate_path(self, path: str) -> str:
        """Find the file of an address; what is outside the site is nowhere."""
        inside = urlsplit(path).path
        if not inside.startswith(self.base):
            return str(Path(self.directory, "nowhere"))
        inside = inside.removeprefix(self.base).removeprefix(f"{self.version}/")
        return super().translate_path(f"/{inside}")

    def do_GET(self) -> None:  # noqa: N802 - the name that http.server calls
        if urlsplit(self.path).path != f"{self.base}versions.json":
            super().do_GET()
        elif self.newest is None:
            self.send_error(HTTPStatus.NOT_FOUND)
        else:
            self.send(HTTPStatus.OK, "application/json", json.dumps({"newest": self.newest}))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Answer with 404.html where nothing is, as the hosts do."""
        self.send(code, "text/html", Path(self.directory, "404.html").read_text("utf-8"))

    def send(self, code: int, kind: str, text: str) -> None:
        data = text.encode()
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@contextmanager
def hosted(site: Path, base: str, version: str, newest: str | None) -> Iterator[str]:
    """Serve the site below its path, and give the address of its first page."""
    handler = type("ThisHost", (Host,), {"base": base, "version": version, "newest": newest})
    server = Server(("127.0.0.1", 0), partial(handler, directory=str(site)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}{base}"
    finally:
        server.shutdown()
        server.server_close()


def opened(page: Page, address: str) -> tuple[list[str], list[str]]:
    """Open an address; give what went wrong and what was asked of the host."""
    wrong: list[str] = []
    asked: list[str] = []

    def answered(url: str, status: int) -> None:
        asked.append(url)
        if status >= HTTPStatus.BAD_REQUEST and url != address:
            wrong.append(f"{status} for {url}")

    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("response", lambda response: answered(response.url, response.status))
    page.on("requestfailed", lambda request: wrong.append(f"no answer for {request.url}"))
    page.goto(address, wait_until="networkidle")
    return wrong, asked


def objections(page: Page) -> Iterator[str]:
    """Ask axe-core about a page."""
    # It would fetch style sheets itself, at wrong addresses.
    for rule in Axe().run(page, options={"preload": False}).response["violations"]:
        nodes = ", ".join(str(node["target"]) for node in rule["nodes"])
        yield f"axe-core objects to {rule['id']}: {nodes}"


def check_lost(page: Page, first: str) -> Iterator[str]:
    """Find what is wrong with what a reader sees at an address that is not there."""
    wrong, _ = opened(page, urljoin(first, LOST))
    yield from (f"404.html: {found}" for found in wrong)
    yield from (f"404.html: {found}" for found in objections(page))
    if page.locator("h1:visible").all_inner_texts() != ["No such page"]:
        yield f"404.html has the headings {page.locator('h1').all_inner_texts()}"
    skip = page.get_by_role("link", name="Skip to main content", exact=True)
    if skip.count() != 1 or skip.get_attribute("href") != "404.html#main-content":
        yield "404.html has no link that skips to its content"
    targets = page.evaluate("[...document.links].map((link) => link.href)")
    inside = {target for target in targets if urlsplit(target).netloc == urlsplit(first).netloc}
    if first not in inside and f"{first}index.html" not in inside:
        yield "404.html does not lead to the first page"
    for target in sorted(inside):
        if not (answer := page.request.get(target)).ok or not target.startswith(first):
            yield f"404.html leads to {target}, {answer.status}"
    page.locator("#u-stuck-field").fill("h_n")
    page.locator(".u-stuck button").click()
    page.wait_for_load_state("networkidle")
    results = page.locator("#u-search-results > li").count()
    if page.url != f"{first}search.html?q=h_n" or not results:
        yield f"a search on 404.html leads to {page.url}, with {results} results"


def check_versions(page: Page, first: str, version: str, newest: str | None) -> Iterator[str]:
    """Find what is wrong with a page beside a newer, an older or no other version."""
    folder = urljoin(first, f"{version}/")
    wrong, _ = opened(page, urljoin(folder, A_PAGE))
    is_old = newest is not None and newest.startswith("999")
    said = page.locator(BANNER).all_inner_texts()
    if (len(said) == 1) != is_old:
        yield f"beside version {newest}, a page of {version} says {said}"
    elif is_old:
        if version not in said[0] or str(newest) not in said[0]:
            yield f"the banner of an older version says {said[0]}"
        yield from (f"the banner: {found}" for found in objections(page))
        page.locator(f"{BANNER} a").click()
        if page.url != urljoin(first, A_PAGE):
            yield f"the banner of an older version leads to {page.url}"
    if newest is not None:
        yield from (f"a page beside version {newest}: {found}" for found in wrong)


def check_newest(page: Page, address: str) -> Iterator[str]:
    """Find a page that asks for versions although it is not in the folder of one."""
    _, asked = opened(page, address)
    if any("versions.json" in url for url in asked) or page.locator(BANNER).count():
        yield f"{address} asks which version is the newest"


def main() -> None:
    site = Path(sys.argv[1]).resolve()
    first_page = Head((site / "index.html").read_text("utf-8"))
    (base,) = first_page.links["canonical"]
    (version,) = first_page.meta["version"]
    lost = Head((site / "404.html").read_text("utf-8"))
    found = list(check_heads(site, base))
    if lost.base != urlsplit(base).path or "canonical" in lost.links:
        found.append(f"404.html has the base {lost.base}, {lost.links.get('canonical')}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=find_chromium(), args=CHROMIUM_ARGUMENTS
        )
        with hosted(site, lost.base, version, version) as first:
            found += check_lost(browser.new_page(), first)
            found += check_newest(browser.new_page(), urljoin(first, A_PAGE))
        found += check_newest(browser.new_page(), (site / A_PAGE).as_uri())
        for newest in ("999.10.0", version, "0.0.1", None):
            with hosted(site, lost.base, version, newest) as first:
                found += check_versions(browser.new_page(), first, version, newest)
        browser.close()
    for finding in found:
        print(finding)
    if found:
        sys.exit(f"{len(found)} findings")
    print("Addresses, descriptions, cards, sitemap, lost addresses and older versions are right")


if __name__ == "__main__":
    main()

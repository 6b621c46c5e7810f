"""Use the laboratory of the built site as a reader does, and compare what it shows with torch.

``python docs/_scripts/check_laboratory.py SITE`` drives every page, or those of ``--only NAME …``:
by keyboard and mouse, and on a phone by touch. ``lab_NAME.py`` says how, and what to compare with
torch. The pages come from a server, below a path, and once more, by touch, from the files
themselves. Nothing may be asked of another host, the console stays quiet, and axe-core
finds nothing to object to in any state. Without scripts and on paper there is an executed example
instead. Drawings in chapters come alive when they are touched, and not before. ``--screenshots
FOLDER`` keeps pictures of all this. The exit code is 1 if anything was found.
"""

import asyncio
import importlib
import json
import sys
from collections.abc import Coroutine
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

from check_browser import (
    CHROMIUM_ARGUMENTS,
    PAGES_AT_ONCE,
    READY,
    SCREENS,
    THEMES,
    QuietHandler,
    Theme,
    Window,
    arguments,
    find_chromium,
    kinds_of,
    load_again,
    objections,
    set_theme,
    until,
)
from playwright.async_api import (
    Browser,
    Error,
    JSHandle,
    Page,
    Request,
    async_playwright,
)

CHAPTERS = "walkthrough/*.html"
MORE = 120_000  # bytes that a page of the laboratory may move beyond the lightest chapter
Result = TypeVar("Result")
# The first sentence of what a page says; a later one may be about what is pointed at.
SAID = "document.querySelector('.bd-article [role=status]').innerText.split('\\n')[0]"
NAMES = sorted(path.stem.removeprefix("lab_") for path in Path(__file__).parent.glob("lab_*.py"))


def window(browser: Browser, base: str, screen: str, **options: Any) -> Window:
    return Window(browser, base, viewport=SCREENS[screen], has_touch=screen == "phone", **options)


async def check_states(
    page: Page, address: str, lab: Any, screen: str, shots: Path | None
) -> list[str]:
    """Look at some states of the page in both themes."""
    found = []
    for name, state in lab.STATES.items():
        # A change of what follows the # alone would load nothing.
        await page.goto(f"{address}?{name}#{state}", wait_until="networkidle")
        kinds = await kinds_of(page, THEMES if screen == "wide" else (), plain=not shots)
        for theme in THEMES:
            await set_theme(page, theme)
            wrong = await look(page, theme, kinds.get(theme))
            found += [f"{lab.PAGE}, {name}, {screen}, {theme}: {text}" for text in wrong]
            if shots:
                file = shots / f"{Path(lab.PAGE).stem}-{name}-{screen}-{theme}.png"
                await page.screenshot(path=file, full_page=True)
    return found


async def look(page: Page, theme: Theme, kinds: JSHandle | None) -> list[str]:
    """Say what axe-core objects to, and whether the page scrolls sideways."""
    found = await objections(page, theme, kinds)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    if (more := await page.evaluate(wide)) > 0:
        found.append(f"scrolls sideways by {more} pixels")
    return found


async def check_without(browser: Browser, base: str, labs: list[Any]) -> list[str]:
    """Without scripts, and on paper, the executed example is there and the element is not."""
    found = []
    for scripts in (False, True):
        without = window(browser, base, "wide", java_script_enabled=scripts)
        page = await without.opened()
        for lab in labs:
            await page.emulate_media(media="screen")
            await page.goto(base + lab.PAGE)
            if scripts:
                await page.emulate_media(media="print")
            box = await page.locator(f"unrolled-{Path(lab.PAGE).stem}").bounding_box()
            if box and box["height"] > 1:
                found.append(f"{lab.PAGE}, scripts {scripts}: an element of {box['height']} pixels")
            if not await page.get_by_text(lab.EXAMPLE).last.is_visible():
                found.append(f"{lab.PAGE}, scripts {scripts}: there is no executed example")
        await without.close()
    return found


def alive(site: Path) -> list[str]:
    """Give the pages with drawings that come alive."""
    return [
        path.relative_to(site).as_posix()
        for path in sorted(site.rglob("*.html"))
        if 'class="u-alive"' in path.read_text("utf-8")
    ]


async def check_alive(
    browser: Browser, base: str, names: list[str], screen: str, shots: Path | None
) -> list[str]:
    """Touch every drawing of some pages: before that nothing of the laboratory is loaded."""
    chapters = window(browser, base, screen)
    page, found = await chapters.opened(), chapters.found
    requests: list[Request] = []
    note_requests(page, "request", requests)
    for name in names:
        requests.clear()
        await page.goto(base + name, wait_until="networkidle")
        urls = [request.url for request in requests]
        if early := [url for url in urls if "/lab" in url.rpartition("_static")[2]]:
            found.append(f"{name} loads {early} before a drawing is touched")
        buttons = page.locator(".u-alive > button")
        for place in range(count := await buttons.count()):
            button = buttons.first  # those that were touched are gone
            if screen == "phone":
                await button.tap()
            elif place % 2:
                await button.focus()
                await page.keyboard.press("Enter")
            else:
                await page.locator(".u-alive-drawing:not(.u-alive-paper)").first.click()
            element = page.locator(".bd-article [state]").nth(place)
            await element.locator("[role=status]").first.wait_for(state="attached")
            if (await element.bounding_box() or {"height": 0})["height"] < 100:
                found.append(f"{name}, drawing {place}: nothing has come alive")
        kinds = await kinds_of(page, ("light",) if screen == "wide" else (), plain=not shots)
        wrong = await look(page, "light", kinds.get("light"))
        found += [f"{name}, {screen}, alive: {text}" for text in wrong]
        if shots:
            file = shots / f"alive-{Path(name).stem}-{screen}.png"
            await page.screenshot(path=file, full_page=True)
        print(f"{screen}: {count} drawings of {name} have come alive")
    await chapters.close()
    return found


def note_requests(page: Page, event: Any, requests: list[Request]) -> None:
    """Note what a page asks for, or what it got; Playwright cannot call a method of a list."""
    page.on(event, lambda request: requests.append(request))


async def moved(browser: Browser, base: str, ready: dict[str, str]) -> dict[str, int]:
    """Count the bytes that pages move into an empty browser until what is said is true of them."""
    empty = window(browser, base, "wide")
    page = await empty.opened()
    session = await page.context.new_cdp_session(page)
    requests: list[Request] = []
    note_requests(page, "requestfinished", requests)
    totals = {}
    for path, condition in ready.items():
        await page.goto("about:blank")  # what a page that is shown uses is not forgotten
        await session.send("Network.clearBrowserCache")
        requests.clear()
        # On a busy machine the network is also idle before the page has asked for everything.
        await page.goto(base + path, wait_until="load")
        await page.evaluate("document.fonts.ready.then(() => null)")
        await until(page, condition)
        await page.wait_for_load_state("networkidle")
        totals[path] = sum([(await request.sizes())["responseBodySize"] for request in requests])
    await empty.close()
    return totals


async def check_labs(
    browser: Browser, base: str, labs: list[Any], screen: str, shots: Path | None
) -> list[str]:
    """Use everything on some pages, on a phone also by touch, and from files by touch alone."""
    found = []
    served = base.startswith("http")
    permissions = ["clipboard-read", "clipboard-write"] if served else []
    used = window(browser, base, screen, reduced_motion="reduce", permissions=permissions)
    for lab in labs:
        try:
            page = await used.opened()
            await page.goto(base + lab.PAGE, wait_until="networkidle")
            await until(page, READY)
            if served:
                await lab.check(page, used.found)
            if screen == "phone":
                await lab.check_touch(page, used.found)
            if served:
                used.found += await check_states(page, base + lab.PAGE, lab, screen, shots)
            else:
                said = await page.evaluate(SAID)
                address = await load_again(page)
                await until(page, f"{SAID} === {json.dumps(said)}")
                if page.url != address:
                    used.found.append(
                        f"{lab.PAGE}: {address} is {page.url} when it is loaded again"
                    )
        except Error as error:
            used.found.append(f"{lab.PAGE}, {screen}: the page could not be used further: {error}")
            await used.close()
        where = "server" if served else "files"
        print(f"{lab.PAGE}, {where}, {screen}: {'NOT OK' if used.found else 'ok'}")
        found += used.found
        used.found.clear()
    await used.close()
    return found


async def check_site(
    site: Path, bases: dict[str, str], shots: Path | None, chromium: str, names: list[str]
) -> list[str]:
    labs = [importlib.import_module(f"lab_{name}") for name in names]
    gate = asyncio.Semaphore(PAGES_AT_ONCE)

    async def in_turn(work: Coroutine[Any, Any, Result]) -> Result:
        async with gate:
            return await work

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_ARGUMENTS
        )
        base = bases["server"]
        drawn = alive(site)
        checks = [
            *(check_labs(browser, base, labs, screen, shots) for screen in SCREENS),
            *(check_alive(browser, base, drawn, screen, shots) for screen in SCREENS),
            check_labs(browser, bases["files"], labs, "phone", shots),
            check_without(browser, base, labs),
        ]
        found = [text for texts in await asyncio.gather(*map(in_turn, checks)) for text in texts]
        chapters = [path.relative_to(site).as_posix() for path in site.glob(CHAPTERS)]
        ready = dict.fromkeys(chapters, "true") | dict.fromkeys([lab.PAGE for lab in labs], READY)
        weights = await moved(browser, base, ready)
        await browser.close()
    lightest = min(weights[path] for path in chapters)
    for lab in labs:
        apart = (site / lab.APART).stat().st_size if hasattr(lab, "APART") else 0
        more = weights[lab.PAGE] - lightest - apart
        said = f"{lab.PAGE} moves {more:,} bytes more than the lightest chapter"
        print(said)
        if more > MORE:
            found.append(said)
    return found


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, metavar="NAME")
    options = parser.parse_args()
    site, shots = options.site.resolve(), options.screenshots
    if shots:
        shots.mkdir(parents=True, exist_ok=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    handler = partial(QuietHandler, directory=str(site.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        bases = {
            "server": f"http://127.0.0.1:{server.server_port}/{site.name}/",
            "files": f"{site.as_uri()}/",
        }
        found = asyncio.run(check_site(site, bases, shots, find_chromium(), options.only))
        server.shutdown()
    if found:
        sys.exit("\n".join(("Found:", *found)))
    print(f"The pages {', '.join(options.only)} show what torch computes; nothing to object to.")


if __name__ == "__main__":
    main()

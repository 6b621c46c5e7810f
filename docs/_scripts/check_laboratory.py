"""Use the laboratory of the built site as a reader does, and compare what it shows with torch.

``python docs/_scripts/check_laboratory.py SITE SCREENSHOTS [NAME …]`` drives every page, or those
that are named, by keyboard, mouse and touch: ``lab_NAME.py`` says how, and what to compare with
torch. It does so from a server, below a path, and from the files themselves. Nothing may be asked
of another host, the console stays quiet, and axe-core finds nothing to object to in any state.
Without scripts and on paper there is an executed example instead. Drawings in chapters come alive
when they are touched, and not before. The exit code is 1 if anything was found.
"""

import asyncio
import importlib
import sys
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # has none
from check_browser import CHROMIUM_ARGUMENTS, SCREENS, THEMES, QuietHandler, find_chromium, listen
from playwright.async_api import Browser, Page, Request, async_playwright

CHAPTERS = "walkthrough/*.html"
MORE = 120_000  # bytes that a page of the laboratory may move beyond the lightest chapter
NAMES = sorted(path.stem.removeprefix("lab_") for path in Path(__file__).parent.glob("lab_*.py"))


async def check_states(page: Page, address: str, lab: Any, where: str, shots: Path) -> list[str]:
    """Look at some states of the page in both themes."""
    found = []
    for name, state in lab.STATES.items():
        await page.goto("about:blank")  # a change of the address alone would load nothing
        await page.goto(f"{address}#{state}", wait_until="networkidle")
        for theme in THEMES:
            await page.emulate_media(color_scheme=theme)
            await page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")
            found += [f"{name}, {where}, {theme}: {wrong}" for wrong in await objections(page)]
            file = shots / f"{Path(lab.PAGE).stem}-{name}-{where}-{theme}.png"
            await page.screenshot(path=file, full_page=True)
    return found


async def objections(page: Page) -> list[str]:
    """Say what axe-core objects to, and whether the page scrolls sideways."""
    axe = await Axe().run(page, options={"resultTypes": ["violations"], "preload": False})
    found = [
        f"axe {rule['id']}: {' '.join(map(str, node['target']))}"
        for rule in axe.response["violations"]
        for node in rule["nodes"]
    ]
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    if (more := await page.evaluate(wide)) > 0:
        found.append(f"scrolls sideways by {more} pixels")
    return found


async def check_without(browser: Browser, address: str, lab: Any, found: list[str]) -> None:
    """Without scripts, and on paper, the executed example is there and the element is not."""
    for scripts in (False, True):
        context = await browser.new_context(java_script_enabled=scripts)
        page = await context.new_page()
        await page.goto(address)
        if scripts:
            await page.emulate_media(media="print")
        box = await page.locator(f"unrolled-{Path(lab.PAGE).stem}").bounding_box()
        if box and box["height"] > 1:
            found.append(f"{lab.PAGE}, scripts {scripts}: an element of {box['height']} pixels")
        if not await page.get_by_text(lab.EXAMPLE).last.is_visible():
            found.append(f"{lab.PAGE}, scripts {scripts}: there is no executed example")
        await context.close()


async def check_alive(browser: Browser, base: str, site: Path, shots: Path) -> list[str]:
    """Touch every drawing that comes alive: before that nothing of the laboratory is loaded."""
    found: list[str] = []
    pages = [
        path.relative_to(site).as_posix()
        for path in sorted(site.rglob("*.html"))
        if 'class="u-alive"' in path.read_text("utf-8")
    ]
    for screen, (width, height) in SCREENS.items():
        for name in pages:
            context = await browser.new_context(
                viewport={"width": width, "height": height}, has_touch=screen == "phone"
            )
            page = await context.new_page()
            listen(page, base, found)
            requests: list[Request] = []
            note_requests(page, "request", requests)
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
            found += [f"{name}, {screen}, alive: {wrong}" for wrong in await objections(page)]
            file = shots / f"alive-{Path(name).stem}-{screen}.png"
            await page.screenshot(path=file, full_page=True)
            print(f"{screen}: {count} drawings of {name} have come alive")
            await context.close()
    return found


def note_requests(page: Page, event: Any, requests: list[Request]) -> None:
    """Note what a page asks for, or what it got; Playwright cannot call a method of a list."""
    page.on(event, lambda request: requests.append(request))


async def moved(browser: Browser, address: str) -> int:
    """Count the bytes that a page moves into an empty browser."""
    context = await browser.new_context()
    page = await context.new_page()
    requests: list[Request] = []
    note_requests(page, "requestfinished", requests)
    await page.goto(address, wait_until="networkidle")
    total = sum([(await request.sizes())["responseBodySize"] for request in requests])
    await context.close()
    return total


async def check_site(
    site: Path, bases: dict[str, str], shots: Path, chromium: str, names: list[str]
) -> list[str]:
    found: list[str] = []
    labs = [importlib.import_module(f"lab_{name}") for name in names]
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium, args=CHROMIUM_ARGUMENTS
        )
        chapters = [
            await moved(browser, bases["server"] + path.relative_to(site).as_posix())
            for path in site.glob(CHAPTERS)
        ]
        for lab in labs:
            for where, base in bases.items():
                for screen, (width, height) in SCREENS.items():
                    context = await browser.new_context(
                        viewport={"width": width, "height": height},
                        reduced_motion="reduce",
                        has_touch=screen == "phone",
                    )
                    if where == "server":
                        await context.grant_permissions(["clipboard-read", "clipboard-write"])
                    page = await context.new_page()
                    listen(page, base, found)
                    before = len(found)
                    await page.goto(base + lab.PAGE, wait_until="networkidle")
                    await lab.check(page, found)
                    if screen == "phone":
                        await lab.check_touch(page, found)
                    if where == "server":
                        found += await check_states(page, base + lab.PAGE, lab, screen, shots)
                    await context.close()
                    said = "ok" if len(found) == before else "NOT OK"
                    print(f"{lab.PAGE}, {where}, {screen}: {said}")
            await check_without(browser, bases["server"] + lab.PAGE, lab, found)
            more = await moved(browser, bases["server"] + lab.PAGE) - min(chapters)
            apart = (site / lab.APART).stat().st_size if hasattr(lab, "APART") else 0
            said = f"{lab.PAGE} moves {more - apart:,} bytes more than the lightest chapter"
            print(said)
            if more - apart > MORE:
                found.append(said)
        found += await check_alive(browser, bases["server"], site, shots)
        await browser.close()
    return found


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit("Two arguments, please: the built site, and where screenshots go.")
    site, screenshots = Path(sys.argv[1]).resolve(), Path(sys.argv[2]) / "laboratory"
    screenshots.mkdir(parents=True, exist_ok=True)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream
    names = sys.argv[3:] or NAMES
    handler = partial(QuietHandler, directory=str(site.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        bases = {
            "server": f"http://127.0.0.1:{server.server_port}/{site.name}/",
            "files": f"{site.as_uri()}/",
        }
        found = asyncio.run(check_site(site, bases, screenshots, find_chromium(), names))
        server.shutdown()
    if found:
        sys.exit("\n".join(("Found:", *found)))
    print(f"The pages {', '.join(names)} show what torch computes; nothing to object to.")


if __name__ == "__main__":
    main()

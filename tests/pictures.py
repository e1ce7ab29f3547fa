"""A picture of every page of the demo: light, dark, and on a phone, side by side.

python -m tests.pictures docs/pages
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Error, Page, sync_playwright

from tests.browser.conftest import FLAGS, chromium, log_in
from tests.site import Site, running_site

# By colour scheme and width in pixels: how wide the picture of it becomes.
VIEWS = (("light", 1280, 560), ("dark", 1280, 560), ("light", 360, 200))
# No more of a page than this is shown, in pixels of the picture.
TALLEST = 700
BETWEEN, PAPER = 8, (128, 128, 128)
NO_PAGE = re.compile(r"^/(admin|logout|static|api)|/(export|download|picture)|\.\w+$")
SECONDS = 600


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as place,
        running_site(Path(place)) as site,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium(playwright), args=FLAGS) as browser,
    ):
        for address, views in pictures_of(browser, site).items():
            beside(views).save(folder / f"{name_of(address)}.webp", quality=60, method=6)


def pictures_of(browser: Browser, site: Site) -> dict[str, list[Image.Image]]:
    """By address, a picture of each view."""
    with seen(browser, site, *VIEWS[0][:2]) as page:
        learn(page)
        pictures: dict[str, list[Image.Image]] = {address: [] for address in crawl(page)}
    for scheme, width, small in VIEWS:
        with seen(browser, site, scheme, width) as page:
            for address, views in pictures.items():
                page.goto(address)
                views.append(picture(page, small))
    return pictures


@contextmanager
def seen(browser: Browser, site: Site, scheme: str, width: int) -> Iterator[Page]:
    size = {"width": width, "height": 800}
    with browser.new_context(base_url=site.url, color_scheme=scheme, viewport=size, locale="en-GB") as context:
        page = context.new_page()
        log_in(page, site, next(iter(site.passwords)))
        yield page


def learn(page: Page) -> None:
    """Wait for the first round, which the worker runs; start it where nobody has."""
    page.goto("/")
    page.locator("main a[href^='/p/']").first.click()
    project, deadline = page.url, time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        page.goto(project)
        if page.locator("a[href$='/review/']").count() and "running" not in page.inner_text("main"):
            page.goto(f"{project}review/")
            if page.get_by_role("button", name="Accept").count():
                return
            page.goto(project)
        if (start := page.get_by_role("button", name=re.compile("^Start"))).count():
            start.first.click()
        time.sleep(2)
    raise TimeoutError("The first round is not over.")


def crawl(page: Page) -> Iterator[str]:
    """One address of every kind that links lead to: keys and what is asked for make no kind."""
    waiting, known = ["/"], {"/"}
    while waiting:
        address = waiting.pop(0)
        try:
            page.goto(address)
        except Error:
            continue  # A file to keep.
        yield address
        for link in page.locator("a[href^='/']").evaluate_all("all => all.map(a => a.getAttribute('href'))"):
            path = re.sub(r"[?#].*", "", link)
            if (kind := name_of(path)) not in known and not NO_PAGE.search(path):
                known.add(kind)
                waiting.append(path)


def name_of(address: str) -> str:
    plain = re.sub(r"^/p/[^/]+", "/project", address)
    return re.sub(r"\d+", "n", plain).strip("/").replace("/", "-") or "projects"


def picture(page: Page, width: int) -> Image.Image:
    """What the window shows when it is as tall as the page: what sticks to its edges is where people see it."""
    size = page.viewport_size or {"width": 0, "height": 0}
    tallest = TALLEST * size["width"] // width
    height = min(max(page.evaluate("document.documentElement.scrollHeight"), size["height"]), tallest)
    page.set_viewport_size({**size, "height": height})
    shot = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    page.set_viewport_size(size)
    return shot.resize((width, height * width // size["width"]), Image.Resampling.LANCZOS)


def beside(views: list[Image.Image]) -> Image.Image:
    whole = Image.new("RGB", (sum(v.width + BETWEEN for v in views) - BETWEEN, max(v.height for v in views)), PAPER)
    left = 0
    for view in views:
        whole.paste(view, (left, 0))
        left += view.width + BETWEEN
    return whole


if __name__ == "__main__":
    main(Path(sys.argv[1]))

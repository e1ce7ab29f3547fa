"""A real browser in front of the real thing."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, expect, sync_playwright

from tests.site import Site, running_site

SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# No sandbox: containers run as root. No background requests: the tests are to need no network.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Milliseconds after which something never comes; whatever else the machine does, it comes sooner.
PATIENCE = 120_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/browser/" in str(item.path):
            item.add_marker(pytest.mark.browser)


def chromium(playwright: Playwright) -> str | None:
    """Where a Chromium is: CHROMIUM_PATH, the system's, or Playwright's own."""
    places = [os.environ.get("CHROMIUM_PATH"), *map(shutil.which, SYSTEM_BROWSERS), playwright.chromium.executable_path]
    return next((place for place in places if place and Path(place).exists()), None)


# Package scope: Playwright keeps an event loop in this thread, in which Django refuses to touch the database.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = chromium(playwright)
        if path is None:
            missing = "No Chromium: set CHROMIUM_PATH or install one (Debian: apt-get install chromium)."
            if os.environ.get("CI"):
                pytest.fail(missing)
            pytest.skip(missing)
        expect.set_options(timeout=PATIENCE)
        with playwright.chromium.launch(executable_path=path, args=FLAGS) as launched:
            yield launched


@pytest.fixture(scope="package")
def site(tmp_path_factory) -> Iterator[Site]:
    with running_site(tmp_path_factory.mktemp("site"), "web", "worker", "model") as running:
        yield running


# What htmx logs when the page is left while a request of it, a poll say, is under way: the browser ends it. Requests
# that fail are still told by htmx:sendError, htmx:timeout, and htmx:responseError.
LEFT_THE_PAGE = ("htmx:sendAbort", "htmx:afterRequest")


@pytest.fixture
def console_errors() -> list[str]:
    """What the browser complained about; a test that provokes complaints clears it."""
    return []


@pytest.fixture
def page(browser: Browser, site: Site, console_errors: list[str]) -> Iterator[Page]:
    """A fresh browser profile; errors on the page's console fail the test."""
    with browser.new_context(base_url=site.url, accept_downloads=True, locale="en-GB") as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: console_errors.append(str(error)))
        page.on("console", lambda said: console_errors.append(said.text) if is_complaint(said, site) else None)
        yield page
        assert console_errors == []


def is_complaint(said: ConsoleMessage, site: Site) -> bool:
    """Whether it is ours: another site's page, a provider's log-in, may want pictures and fonts that are not there."""
    elsewhere = said.location["url"].startswith("http") and not said.location["url"].startswith(site.url)
    return said.type == "error" and not elsewhere and not said.text.startswith(LEFT_THE_PAGE)


def log_in(page: Page, site: Site, username: str) -> None:
    page.goto("/login/")
    page.get_by_label("Username").fill(username)
    page.get_by_label("Password").fill(site.passwords[username])
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/")

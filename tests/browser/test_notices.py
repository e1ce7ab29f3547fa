"""The bell and a webhook as a manager uses them, with the worker that sends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import log_in
from tests.receiver import Receiver, documented
from tests.site import ROOT, Site

pytestmark = pytest.mark.any_database


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("notices"), WEB_CONCURRENCY="1", WORKERS="1", WEBHOOKS_INSIDE="true")
    site.passwords = {"mia": "secret"}
    subprocess.run([sys.executable, "-m", "tests.browser.desk"], cwd=ROOT, env=site.environment, check=True)
    site.start("web", "worker")
    yield site
    site.stop()


def test_a_release_rings_the_bell_and_reaches_a_program(page: Page, site: Site):
    log_in(page, site, "mia")
    bell = page.locator("#bell")
    expect(bell).to_have_accessible_name("Notices: 2 unread")
    bell.click()
    expect(page.locator(".notices .unread")).to_have_count(2)
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.locator(".messages")).to_contain_text("2 notices marked as read.")
    expect(bell).to_have_accessible_name("Notices")

    with Receiver() as receiver:
        page.goto("/p/desk/settings/")
        page.get_by_role("link", name="Webhooks").click()
        page.get_by_label("Address").fill(receiver.url)
        page.get_by_label("An import is done").uncheck()
        page.get_by_role("button", name="Add it").click()
        secret = page.locator("code", has_text="whsec_").inner_text()
        page.goto("/p/desk/deliver/")
        page.get_by_role("button", name="Deliver").click()
        expect(page.get_by_role("link", name="labels.csv")).to_be_visible()
        page.goto("/p/desk/webhooks/")
        page.get_by_role("link", name=receiver.url).click()
        for _ in range(20):
            if receiver.got:
                break
            page.wait_for_timeout(1_000)
        ((headers, body),) = receiver.got
    documented()(secret, {name.lower(): value for name, value in headers.items()}, body)
    assert receiver.types == ["released"]
    page.reload()
    expect(page.get_by_role("row").nth(1)).to_contain_text("Release 1 is delivered.")
    expect(page.get_by_role("row").nth(1)).to_contain_text("arrived")

    bell.click()
    page.get_by_role("link", name="Release 1 is delivered.").click()
    expect(page).to_have_url(f"{site.url}/p/desk/releases/1/")
    expect(bell).to_have_accessible_name("Notices")

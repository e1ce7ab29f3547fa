"""A newcomer without a manual: from the demo to a delivered release, doing what the project page says next."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from labelling.management.commands.load_demo import DEMO, NAME
from tests.browser.conftest import log_in
from tests.site import Site

MOST_DECISIONS = 600
LIMIT = 0.10  # the demo's
# Where the states of the project page are kept; see CONTRIBUTING.md.
SHOTS = os.environ.get("SCREENSHOTS")


@pytest.fixture
def truth() -> dict[str, str]:
    with (DEMO / "texts.csv").open(encoding="utf-8") as file:
        return {row["text"]: row["label"] for row in csv.DictReader(file)}


def shot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def decide_all(page: Page, truth: dict[str, str]) -> int:
    """Decide by keys on all that waits, as somebody does who knows the right labels. Returns how many there were."""
    for n in range(MOST_DECISIONS):
        if not page.locator("#review .text").count():
            return n
        text = page.locator("#review .text").inner_text()
        wanted = truth[text]
        if page.locator(".predicted h2 bdi").inner_text() == wanted:
            page.keyboard.press("Enter")
        elif not wanted:
            page.keyboard.press("n")
        else:
            page.keyboard.press("/")
            page.keyboard.type(wanted)
            expect(page.locator("#found button").first).to_contain_text(wanted)
            page.keyboard.press("Enter")
        expect(page.locator("#review .text").filter(has_text=text)).to_have_count(0)
    raise AssertionError("The queue never ends.")


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_from_the_demo_to_a_delivered_release(page: Page, site: Site, truth):
    log_in(page, site, "admin")
    page.get_by_role("link", name=NAME).click()
    project = page.url
    shot(page, "project-running")
    n_decisions, certified = 0, False
    next_step = page.locator(".next .primary")
    while n_decisions < MOST_DECISIONS:
        expect(next_step).to_be_visible()
        name = next_step.inner_text()
        if not certified and page.get_by_text("Certified:", exact=True).count():
            certified = True
            shot(page, "project-certified")
        if name == "Deliver":
            break
        shot(page, f"project-{name.split()[0].lower()}")
        next_step.click()
        if name in ("Audit now", "Review now"):
            n_decisions += decide_all(page, truth)
            page.goto(project)
    assert certified
    shot(page, "project-done")

    next_step.click()
    shot(page, "deliver")
    page.get_by_role("button", name="Deliver").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="labels.csv").click()
    rows = list(csv.DictReader(io.StringIO(Path(download.value.path()).read_text(encoding="utf-8"), newline="")))
    shot(page, "release")
    with page.expect_download() as download:
        page.get_by_role("link", name="certificate.json").click()
    claim = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))

    promised = [row for row in rows if row["certified"] == "yes"]
    wrong = sum(row["label"] != truth[row["text"]] for row in promised)
    print(f"{n_decisions} decisions, {len(promised)} of {len(rows)} certified, {wrong} wrong")  # noqa: T201
    assert claim["certified"] == len(promised) > 0
    assert wrong <= LIMIT * len(promised)
    page.goto(project)
    expect(page.locator("#next-title")).to_contain_text("Done: release 1 is delivered")

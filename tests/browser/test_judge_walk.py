"""A judge that is paid for, as an admin meets it: price, forecast, consent, stop, ledger, drafts, measurement."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest
from playwright.sync_api import Page, expect

from labelling.fake_messages_api import FakeModel, MessagesApi
from tests.browser.conftest import log_in
from tests.site import Site, running_site

pytestmark = pytest.mark.slow

PROJECT = "/p/eastmere-contact-centre/"


@pytest.fixture(scope="module")
def model() -> FakeModel:
    return FakeModel(latency=0.3, cache_min_tokens=50)


@pytest.fixture(scope="module")
def site(tmp_path_factory, model: FakeModel) -> Iterator[Site]:
    """A site whose judge and drafting model are the stand-in."""
    with MessagesApi(model) as api:
        folder = tmp_path_factory.mktemp("paying")
        settings = {"JUDGE_BASE_URL": api.url, "JUDGE_MODEL": "stub-1", "DEFINITION_MODEL": "stub-1"}
        with running_site(folder, ANTHROPIC_API_KEY="any", **settings) as running:
            yield running


def start_round(page: Page, number: int) -> None:
    page.goto(PROJECT)
    expect(page.locator("#next-title")).not_to_contain_text("is running")
    page.get_by_text("Figures", exact=True).click()
    page.get_by_role("button", name=f"Start round {number}").click()


def spent(page: Page) -> Decimal:
    """What the ledger says was spent, in US dollars."""
    page.goto(f"{PROJECT}ledger/")
    said = page.locator(".figures dd").first.inner_text()
    return Decimal(re.sub(r"[^0-9.]", "", said.split("of")[0]))


def test_an_admin_and_a_judge_that_costs_money(page: Page, site: Site, model: FakeModel):
    log_in(page, site, "admin")

    # The judge is chosen, with a cap.
    page.goto(f"{PROJECT}settings/")
    page.locator("select[name=judge]").select_option("anthropic")
    page.get_by_text("Advanced", exact=True).click()
    page.locator("[name=round_cap]").fill("1.00")
    page.get_by_role("button", name="Save").click()

    # Without a price the forecast says so; no call has left.
    start_round(page, 2)
    page.get_by_role("link", name="See the forecast").click()
    expect(page.get_by_role("heading", name="Before anything is spent")).to_be_visible()
    expect(page.locator("main")).to_contain_text("No price is known for stub-1")
    page.get_by_role("button", name="Cancel round").click()
    assert model.books.calls == 0

    # The price is entered, with the day from which it holds.
    page.goto(f"{PROJECT}settings/")
    page.get_by_role("link", name="Enter its price").click()
    expect(page.get_by_label("Model:")).to_have_value("stub-1")
    for name, value in {
        "Prompt": "1.00",
        "Answer": "5.00",
        "Put into the cache": "1.25",
        "Found in the cache": "0.10",
        "Shortest cached prompt, in tokens": "50",
    }.items():
        page.get_by_label(f"{name}:", exact=True).fill(value)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".success")).to_contain_text("The price of stub-1 is known now.")

    # Now it says what the round will cost, and shows the prompts; it asks only when told to.
    start_round(page, 3)
    page.get_by_role("link", name="See the forecast").click()
    expect(page.locator("main")).to_contain_text("Expected cost$0.")
    prompt = page.locator("details", has_text="A prompt exactly as it will be sent").first
    prompt.locator("summary").click()
    expect(prompt.locator("pre").first).to_be_visible()
    assert model.books.calls == 0
    page.get_by_role("button", name="Ask the judge").click()

    # It shows what it spends, stops within seconds, and goes on.
    expect(page.locator("#round")).to_contain_text("Spent so far")
    page.get_by_role("button", name="Stop asking").click()
    expect(page.locator("main")).to_contain_text("Paused with what it has")
    assert 0 < model.books.calls < 30
    page.get_by_role("button", name="Go on").click()
    page.goto(PROJECT)
    next_round = page.get_by_role("button", name="Start round 4", include_hidden=True)
    expect(next_round).to_have_count(1)
    page.goto(f"{PROJECT}rounds/3/")
    expect(page.locator("main")).to_contain_text("What the judge cost")

    # The ledger agrees with the server's own books, to what the page rounds to.
    assert spent(page) == pytest.approx(model.books.cost, abs=Decimal("0.005"))
    expect(page.get_by_role("row")).to_have_count(min(model.books.calls, 30) + 1)

    # A definition is drafted for one label; nothing is spent before consent.
    calls = model.books.calls
    page.goto(f"{PROJECT}labels/")
    page.get_by_role("checkbox").nth(1).check()
    page.get_by_role("button", name=re.compile("Draft")).first.click()
    expect(page.get_by_role("heading", name="Before anything is spent")).to_be_visible()
    assert model.books.calls == calls
    page.get_by_role("button", name=re.compile(r"Draft \d+ definition")).click()
    approve = page.get_by_role("button", name=re.compile("Approve the definition of")).first
    expect(approve).to_be_visible()
    approve.click()
    expect(page.locator("article.draft .tag.human").first).to_contain_text("Approved")
    assert model.books.calls > calls

    # The page that measures the judge says that it needs audits first, and where they are done.
    page.goto(f"{PROJECT}judge/")
    expect(page.get_by_role("heading", name="Judge")).to_be_visible()
    expect(page.get_by_role("link", name="Review").last).to_be_visible()

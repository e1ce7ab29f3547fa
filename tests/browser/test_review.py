"""The review page under a browser's hands, on the demo: keys, a lost login, no JavaScript, no worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import log_in
from tests.site import Site, wait_for

pytestmark = pytest.mark.any_database

REVIEW = "/p/eastmere-contact-centre/review/"


@pytest.fixture
def expert(page: Page, site: Site) -> Page:
    """An expert in front of a document of the demo's first round."""
    log_in(page, site, "expert")
    # A pause: the round needs the cores that a page asked for without end would take.
    wait_for(lambda: page.goto(REVIEW) and page.locator(".predicted").count(), "the demo's first round", 600, pause=2)
    return page


def text_of(page: Page) -> str:
    return page.locator("#review .text").inner_text()


def test_keys_decide_nothing_while_somebody_types(expert):
    before = text_of(expert)
    expert.keyboard.press("/")
    expert.keyboard.type("nsn 123 ")
    expert.keyboard.press("Backspace")
    expect(expert.get_by_label("Search all labels")).to_have_value("nsn 123")
    assert text_of(expert) == before
    expert.keyboard.press("Escape")
    expert.keyboard.press("?")
    expect(expert.locator("details.keys p")).to_be_visible()
    assert text_of(expert) == before


def test_enter_takes_what_was_typed_not_what_an_earlier_word_found(expert):
    """Whoever types fast is ahead of the list."""
    before = text_of(expert)
    expert.keyboard.press("/")
    expert.keyboard.type("graffiti")
    expect(expert.locator("#found button .name").first).to_have_text("Graffiti")
    expert.get_by_label("Search all labels").fill("pothole")
    expert.keyboard.press("Enter")
    expect(expert.locator(".messages")).to_contain_text("Pothole")
    expert.keyboard.press("Backspace")
    expect(expert.locator("#review .text")).to_have_text(before)


def test_a_search_leaves_the_decisions_to_be_taken(expert, console_errors):
    before = text_of(expert)
    expert.route("**/review/labels/**", lambda route: None)  # an answer that never comes
    expert.keyboard.press("/")
    expert.keyboard.type("pothole")
    expert.wait_for_timeout(300)
    expect(expert.get_by_role("button", name="Skip")).to_be_enabled()
    expert.keyboard.press("Escape")
    expert.keyboard.press("s")
    expect(expert.locator("#review .text")).not_to_have_text(before)
    expert.keyboard.press("Backspace")
    expect(expert.locator("#review .text")).to_have_text(before)
    console_errors.clear()  # htmx reports what waits too long


def test_a_server_that_does_not_answer_is_said_until_it_answers_again(expert, console_errors):
    expert.context.set_offline(True)
    expect(expert.locator("#no-answer[role=alert]")).to_be_visible()
    expert.context.set_offline(False)
    expect(expert.locator("#no-answer")).to_be_hidden()
    console_errors.clear()


def test_the_document_stays_while_the_page_looks_for_rounds(expert):
    before = text_of(expert)
    with expert.expect_response("**/rounds/progress/?compact"):
        pass
    with expert.expect_response("**/rounds/progress/?compact"):
        pass
    assert text_of(expert) == before


def test_somebody_who_was_logged_out_comes_back_to_the_review(expert, site):
    before = text_of(expert)
    expert.context.clear_cookies(name="sessionid")
    expert.keyboard.press("Enter")
    expect(expert.get_by_role("button", name="Log in")).to_be_visible()
    expect(expert.locator("#review")).to_have_count(0)
    expert.get_by_label("Username").fill("expert")
    expert.get_by_label("Password").fill(site.passwords["expert"])
    expert.get_by_role("button", name="Log in").click()
    # The choice that led to the login was kept, and is saved now.
    expect(expert.locator(".messages")).to_contain_text("Accepted")
    expert.keyboard.press("Backspace")
    expect(expert.locator("#review .text")).to_have_text(before)


def test_two_reviewers_see_different_documents(expert, browser: Browser, site: Site):
    with browser.new_context(base_url=site.url) as context:
        colleague = context.new_page()
        log_in(colleague, site, "admin")
        colleague.goto(REVIEW)
        assert text_of(colleague) != text_of(expert)


def test_everything_works_without_javascript(browser: Browser, site: Site):
    with browser.new_context(base_url=site.url, java_script_enabled=False) as context:
        page = context.new_page()
        log_in(page, site, "expert")
        page.goto(REVIEW)
        before = text_of(page)
        page.get_by_label("Search all labels").fill("pothole")
        page.get_by_label("Search all labels").press("Enter")
        assert text_of(page) == before
        page.get_by_role("option", name="Pothole").first.click()
        expect(page.locator(".messages")).to_contain_text("Pothole")
        assert text_of(page) != before
        page.get_by_role("button", name="Undo").click()
        expect(page.locator(".messages")).to_contain_text("Undone")
        assert text_of(page) == before
        page.get_by_role("button", name="Skip").click()
        assert text_of(page) != before
        page.get_by_role("button", name="Undo").click()


@pytest.fixture
def without_worker(tmp_path) -> Iterator[Site]:
    site = Site(tmp_path, WEB_CONCURRENCY="1")
    site.set_up()
    site.start("web")
    yield site
    site.stop()


def test_without_a_worker_every_page_says_so_until_one_runs(browser: Browser, without_worker: Site):
    with browser.new_context(base_url=without_worker.url) as context:
        page = context.new_page()
        log_in(page, without_worker, "admin")
        alarm = page.get_by_text("No worker is running.")
        for address in ("/", "/p/eastmere-contact-centre/", REVIEW, "/p/eastmere-contact-centre/import/"):
            page.goto(address)
            expect(alarm).to_be_visible()
            expect(alarm.locator("..")).to_have_css("background-color", "rgb(251, 230, 228)")
        assert "Waiting for the worker" in page.goto("/p/eastmere-contact-centre/").text()

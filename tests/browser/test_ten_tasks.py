"""Ten things that a newcomer wants, in the README's words: each is at most four clicks away from the project page."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import log_in
from tests.site import ROOT, Site

pytestmark = pytest.mark.slow

DESK = "/p/desk/"
MOST_CLICKS = 4


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("tasks"), WEB_CONCURRENCY="1")
    site.passwords = dict.fromkeys(("ada", "mia"), "secret")
    subprocess.run([sys.executable, "-m", "tests.browser.desk"], cwd=ROOT, env=site.environment, check=True)
    site.start("web")
    yield site
    site.stop()


class Walk:
    """From the project page on. What is clicked, ticked or chosen counts; what is typed does not."""

    def __init__(self, page: Page):
        self.page = page
        self.n_clicks = 0
        page.goto(DESK)

    def click(self, role: str, name: str) -> None:
        self.page.get_by_role(role, name=name, exact=True).first.click()
        self.n_clicks += 1

    def choose(self, field: str, option: str) -> None:
        self._field(field).select_option(option)
        self.n_clicks += 1

    def fill(self, field: str, text: str) -> None:
        self._field(field).fill(text)

    def _field(self, name: str) -> Locator:
        return self.page.get_by_label(re.compile(f"^{name}:?$")).first

    def sees(self, text: str) -> None:
        expect(self.page.get_by_text(text).first).to_be_visible()
        assert self.n_clicks <= MOST_CLICKS


@pytest.fixture
def manager(page: Page, site: Site) -> Walk:
    log_in(page, site, "mia")
    return Walk(page)


@pytest.fixture
def reviewer(page: Page, site: Site) -> Walk:
    log_in(page, site, "ada")
    return Walk(page)


def test_find_out_which_labels_are_weak(manager):
    manager.click("link", "Labels")
    manager.click("link", "Health")
    manager.sees("8 labels. Weak ones first.")


def test_mend_a_decision_of_last_week(reviewer):
    page = reviewer.page
    page.goto(f"{DESK}review/")
    text = page.locator("#review .text").inner_text()
    page.keyboard.press("n")
    expect(page.locator("#review .text")).not_to_have_text(text)
    page.goto(DESK)
    reviewer.click("link", "My decisions")
    page.get_by_role("cell").get_by_role("link").first.click()
    reviewer.n_clicks += 1
    reviewer.choose("Put it right", "crème")
    reviewer.click("button", "Save")
    reviewer.sees("Labelled “crème”.")


def test_see_what_it_will_cost(manager):
    expect(manager.page.locator(".next")).to_contain_text("minutes")
    manager.click("link", "Settings")
    manager.choose("Judge", "anthropic")
    manager.sees("No price is known")
    manager.click("link", "Enter its price")
    manager.sees("What language models cost")


def test_invite_a_colleague(manager):
    manager.click("link", "Members")
    manager.fill("Whom it is for", "Grace")
    manager.click("button", "Make a link")
    manager.sees("Copy the link now")


def test_write_down_what_a_label_means(manager):
    manager.click("link", "Labels")
    manager.click("link", "crème")
    manager.fill("Definition", "Use when cream is meant, not butter.")
    manager.click("button", "Save")
    manager.sees("Version 1")


def test_deliver(manager):
    manager.click("link", "Deliver")
    manager.click("button", "Deliver")
    manager.sees("Release 1")


def test_see_how_often_each_reviewer_agrees_with_others(manager):
    manager.click("link", "Reviewers and agreement")
    manager.sees("Agrees with others")


def test_train_new_reviewers_with_documents_whose_label_is_known(manager):
    manager.click("link", "Documents")
    manager.page.get_by_role("checkbox").first.check()
    manager.n_clicks += 1
    manager.click("button", "Train reviewers …")
    manager.click("button", "Train reviewers")
    manager.sees("Picked to train reviewers")


def test_leave_to_people_what_no_machine_may_decide(manager):
    manager.click("link", "Settings")
    manager.click("link", "Always decided by a person")
    manager.fill("Labels", "card_lost")
    manager.click("button", "Count first")
    manager.click("button", "Leave them to people")
    manager.sees("It holds from the next round on.")


def test_bring_your_own_texts(manager, tmp_path):
    # The last one: no worker takes it in, and while it waits nothing is delivered.
    file = tmp_path / "own.csv"
    file.write_text("text,label\nmy card is stolen,card_lost\nwhat is the rate,\n")
    manager.click("link", "Import")
    manager.page.get_by_label("File").set_input_files(file)
    manager.click("button", "Upload and look at it")
    manager.click("button", "Check and import")
    manager.sees("own.csv")

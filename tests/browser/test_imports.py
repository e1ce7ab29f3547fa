"""The columns of a file are chosen while the server is slow: what was chosen last counts, and no click is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.conftest import log_in
from tests.site import Site

pytestmark = pytest.mark.any_database

SIZES = [pytest.param(1366, 768, id="laptop"), pytest.param(360, 740, id="phone"), pytest.param(1600, 2400, id="tall")]
SECONDS = 60.0
ODD = "Calls of May;;\nid;words;team\n" + "".join(f"{n};I paid twice, number {n};Money\n" for n in range(8))


class Answers:
    """Holds back what htmx asks for until it is let go."""

    def __init__(self, page: Page):
        self._page = page
        self._held: list[Route] = []
        page.route("**/import/*/", self._hold)

    def _hold(self, route: Route) -> None:
        if "hx-request" in route.request.headers:
            self._held.append(route)
        else:
            route.continue_()

    def wait(self, n: int = 1) -> None:
        """Until so many questions wait for their answer."""
        deadline = time.monotonic() + SECONDS
        while len(self._held) < n:
            assert time.monotonic() < deadline, f"{len(self._held)} of {n} questions came"
            self._page.wait_for_timeout(10)

    def let_go(self) -> None:
        for route in self._held:
            route.continue_()


@pytest.fixture
def button(page: Page) -> Locator:
    return page.get_by_role("button", name="Check and import")


@pytest.fixture
def upload(page: Page, site: Site, tmp_path) -> Callable[[str], Answers]:
    """Upload a file into a new project and hold back what htmx asks for on the page of its columns."""
    log_in(page, site, "admin")

    def to_the_columns(text: str) -> Answers:
        (path := tmp_path / "file.csv").write_text(text)
        page.goto("/projects/new/")
        page.get_by_label("Name").fill("Hasty")
        page.get_by_role("button", name="Create project").click()
        page.locator("#id_file").set_input_files(path)
        page.get_by_role("button", name="Upload and look at it").click()
        expect(page.get_by_role("heading", name="The first rows")).to_be_visible()
        page.wait_for_load_state()  # What is seen before its script runs asks nothing.
        return Answers(page)

    return to_the_columns


def check_imported(page: Page) -> None:
    """With the label that was chosen last."""
    expect(page.get_by_role("heading", name="Imported")).to_be_visible()
    expect(page.locator(".figures")).to_contain_text("With a label8")
    expect(page.locator(".figures")).to_contain_text("New labels1")


def test_a_click_before_the_answer_is_not_lost(page, upload, button):
    answers = upload(ODD)
    page.get_by_label("Label column").select_option("team")
    page.get_by_label("share of the labelled rows").fill("0")
    button.click()
    answers.let_go()
    check_imported(page)


def test_what_is_typed_while_an_answer_comes_stays(page, upload):
    answers = upload(ODD)
    page.get_by_label("Label column").select_option("team")
    answers.wait()
    share = page.get_by_label("share of the labelled rows")
    share.select_text()
    answers.let_go()
    page.wait_for_load_state("networkidle")
    page.keyboard.type("20")
    expect(share).to_have_value("20")


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_an_answer_during_a_click_moves_nothing(page, upload, button, width, height):
    page.set_viewport_size({"width": width, "height": height})
    answers = upload(ODD)
    page.get_by_label("lines above the column names").fill("8")  # leaves one row of nine
    answers.wait()
    button.scroll_into_view_if_needed()
    button.hover()
    page.mouse.down()
    answers.let_go()
    page.wait_for_timeout(300)
    with page.expect_request(lambda request: "start=" in (request.post_data or "")):
        page.mouse.up()


def test_what_is_chosen_is_read_anew_and_the_buttons_stay(page, upload, button):
    answers = upload(ODD)
    before = button.element_handle()
    page.get_by_label("lines above the column names").fill("0")
    answers.wait()
    answers.let_go()
    expect(page.get_by_role("columnheader", name="Calls of May")).to_be_visible()
    assert before.evaluate("button => button.isConnected")

"""The review page as one person uses it: everything on one screen, keys of any layout, nothing lost, for everyone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import is_complaint, log_in
from tests.browser.desk import ARABIC
from tests.site import ROOT, Site

pytestmark = pytest.mark.any_database

DESK = "/p/desk/"
REVIEW = f"{DESK}review/"
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("desk"), WEB_CONCURRENCY="1")
    site.passwords = dict.fromkeys(("ada", "ben", "mia"), "secret")
    subprocess.run([sys.executable, "-m", "tests.browser.desk"], cwd=ROOT, env=site.environment, check=True)
    site.start("web")
    yield site
    site.stop()


@pytest.fixture
def ada(page: Page, site: Site) -> Page:
    log_in(page, site, "ada")
    page.goto(REVIEW)
    return page


def text_of(page: Page) -> str:
    return page.locator("#review .text").inner_text()


@contextmanager
def another_text(page: Page) -> Iterator[None]:
    """What happens inside decides: another document is shown afterwards."""
    before = text_of(page)
    yield
    expect(page.locator("#review .text")).not_to_have_text(before)


def press(page: Page, key: str, code: str, **held: bool) -> None:
    """A key of a keyboard that this machine has not: what it types, and where it lies."""
    event = json.dumps({"key": key, "code": code, "bubbles": True, "cancelable": True} | held)
    page.evaluate(f"document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {event}))")


def undo(page: Page) -> None:
    with another_text(page):
        page.keyboard.press("Backspace")
    expect(page.locator(".messages")).to_contain_text("Undone")


def test_one_screen_shows_everything_that_decides(ada):
    asked = ada.locator(".predicted h2 bdi").inner_text()
    expect(ada.locator(".why summary")).to_have_text("Drawn at random.")
    expect(ada.get_by_text(" against ")).to_be_hidden()
    ada.locator(".why summary").evaluate("e => e.click()")
    expect(ada.locator(".why p")).to_contain_text(" against ")
    expect(ada.locator(".why p")).to_contain_text(asked)
    expect(ada.locator(".why p")).to_contain_text("After the judge's word it is")
    expect(ada.get_by_text("1 text says almost the same")).to_be_visible()
    expect(ada.locator(".near summary")).to_contain_text(f"{asked} ×1")
    expect(ada.locator(".flag")).to_contain_text("Two wishes in one text")
    expect(ada.locator(".metadata")).to_contain_text("web form")
    expect(ada.locator(".judgement")).to_have_text(f"The judge: {asked}.")
    judged = ada.get_by_role("group", name="The judge's verdict")
    expect(judged).to_contain_text(f"of the 10 nearest examples are {asked}.")
    ada.get_by_text("More about the judge").evaluate("e => e.click()")
    expect(ada.get_by_text("is not known: 20 more audits are needed")).to_be_visible()
    expect(ada.locator(".examples .tag.seed").first).to_be_visible()
    assert ada.locator(".examples h2").count() == 2
    for who in ("neighbour", "judge"):
        expect(ada.locator(".alternatives .tag").filter(has_text=who).first).to_be_visible()
    expect(ada.locator(".alternatives .definition").first).to_contain_text(re.compile("Use when a (machine|card)"))
    expect(ada.locator(".alternatives .definition").first).to_have_css("white-space", "nowrap")
    expect(ada.locator(".of-round")).to_contain_text("left in this batch")
    expect(ada.locator(".worker.on")).to_be_visible()
    for name in ("Accept", "None of these", "Skip", "Undo"):
        expect(ada.get_by_role("button", name=name, exact=False).first).to_be_in_viewport()
    # An audit says what it is, and what the judge said only afterwards.
    first = text_of(ada)
    with another_text(ada):
        ada.keyboard.press("Enter")
    expect(ada.locator("#said[role=status]")).to_contain_text("Accepted")
    expect(ada.locator(".of-round")).to_contain_text("59 of 60 left in this batch")
    expect(ada.locator(".tag.audit")).to_be_visible()
    expect(ada.locator(".judgement, .verdict, .tag.judge, .words, mark")).to_have_count(0)
    expect(ada.locator(".why")).not_to_contain_text("judge's word")
    audited = text_of(ada)
    with another_text(ada):
        ada.keyboard.press("n")
    expect(ada.locator(".messages")).to_contain_text("That was an audit. The judge had said:")
    # The last ten decisions, each of which opens again; what is undone teaches nothing.
    for _ in range(9):
        with another_text(ada):
            ada.keyboard.press("s")
    expect(ada.locator(".decided li")).to_have_count(10)
    with another_text(ada):
        ada.locator(".decided button").last.click()
    expect(ada.locator("#review .text")).to_have_text(audited)
    for _ in range(10):
        undo(ada)
    ada.goto(f"{DESK}documents/?{urlencode({'show': 'human', 'q': first})}")
    expect(ada.locator("main")).to_contain_text("No document fits.")


def test_keys_of_every_layout_decide_and_none_while_somebody_types(ada):
    for key, code, held, said in (
        ("&", "Digit1", {}, "Changed to"),  # French
        ("т", "KeyN", {}, "None of these"),  # Russian
        ("ν", "KeyN", {}, "None of these"),  # Greek
        ("2", "Digit2", {"shiftKey": True}, "Changed to"),  # French, with Shift
        ("n", "KeyL", {}, "None of these"),  # Dvorak
    ):
        with another_text(ada):
            press(ada, key, code, **held)
        expect(ada.locator(".messages")).to_contain_text(said)
        undo(ada)
    second = ada.locator(".alternatives .name").nth(1).inner_text()
    with another_text(ada):
        ada.keyboard.press("2")
    expect(ada.locator(".messages")).to_contain_text(f"Changed to {second}")
    undo(ada)
    before = text_of(ada)
    press(ada, "!", "Digit1", shiftKey=True)
    for key, code, shift in (("/", "Digit7", True), (".", "Slash", False)):  # German, Russian
        press(ada, key, code, shiftKey=shift)
        expect(ada.get_by_label("Search all labels")).to_be_focused()
        ada.keyboard.type("nsdf1")
        ada.keyboard.press("Escape")
        expect(ada.get_by_label("Search all labels")).to_have_value("")
    press(ada, "в", "KeyD")
    expect(ada.get_by_role("dialog")).to_be_visible()
    assert ada.get_by_role("dialog").locator("h3").all_inner_texts()[0] == ada.locator(".predicted bdi").inner_text()
    ada.keyboard.press("n")
    ada.keyboard.press("d")
    expect(ada.get_by_role("dialog")).to_have_count(0)
    press(ada, "?", "Minus", shiftKey=True)
    expect(ada.locator("details.keys p")).to_be_visible()
    assert text_of(ada) == before

    # A flag with a comment decides nothing; a skip may have its reason.
    ada.keyboard.press("f")
    ada.keyboard.type("s n 1 of two")
    ada.keyboard.press("Enter")
    expect(ada.locator(".messages")).to_contain_text("Flagged")
    expect(ada.locator(".flag").last).to_contain_text("s n 1 of two")
    assert text_of(ada) == before
    ada.keyboard.press("Shift+S")
    ada.keyboard.type("unclear")
    with another_text(ada):
        ada.keyboard.press("Enter")
    expect(ada.locator(".messages")).to_contain_text("Skipped")
    ada.goto(f"{DESK}documents/?show=skipped")
    ada.get_by_role("link", name=before[:60]).click()
    expect(ada.locator(".history")).to_contain_text("Skipped “unclear” by ada")
    ada.goto(REVIEW)
    # Each of the last decisions opens again.
    ada.locator(".decided button").first.click()
    expect(ada.locator("#review .text")).to_have_text(before)

    # Off is off, also after a new login.
    ada.keyboard.press("?")
    ada.get_by_role("button", name="Turn the keys off").click()
    ada.goto(REVIEW)
    for key in ("Enter", "1", "n", "s", "Backspace"):
        ada.keyboard.press(key)
    assert text_of(ada) == before
    expect(ada.locator("kbd").first).to_be_hidden()
    ada.locator(".keys summary").click()
    ada.get_by_role("button", name="Turn the keys on").click()
    ada.goto(REVIEW)
    ada.keyboard.press("?")
    expect(ada.get_by_role("button", name="Turn the keys off")).to_be_visible()


def test_the_search_is_walked_with_the_keyboard_alone(ada):
    search, found = ada.get_by_role("combobox", name="Search all labels"), ada.get_by_role("option")
    ada.keyboard.press("/")
    expect(found.first.locator(".name")).to_be_visible()  # what one chose last and the best guesses, untyped
    search.fill("stolen")
    expect(found).to_have_count(1)
    expect(search).to_have_attribute("aria-expanded", "true")
    search.fill("pin")
    expect(found).to_contain_text("too often")
    assert ada.evaluate("document.documentElement.scrollWidth <= innerWidth"), "a long definition stays in its column"
    search.fill("use card")
    expect(found).to_have_count(3)
    definitions = found.locator(".definition")
    assert definitions.nth(1).evaluate("e => getComputedStyle(e).whiteSpace") == "nowrap"
    for _ in range(2):
        ada.keyboard.press("ArrowDown")
    expect(search).to_have_attribute("aria-activedescendant", found.nth(1).get_attribute("id"))
    assert definitions.nth(1).evaluate("e => getComputedStyle(e).whiteSpace") != "nowrap"
    expect(search).to_be_focused()
    chosen = found.nth(1).locator(".name").inner_text()
    with another_text(ada):
        ada.keyboard.press("Enter")
    expect(ada.locator(".messages")).to_contain_text(chosen)
    undo(ada)


def test_a_label_of_any_length_stays_within_a_phone(ada):
    ada.set_viewport_size({"width": 360, "height": 800})
    within = "document.documentElement.scrollWidth <= innerWidth"
    assert ada.evaluate(within)
    for place in (".why summary", ".judgement", ".predicted bdi", ".alternatives .name", ".examples h2"):
        ada.locator(f"#review {place}").first.evaluate("e => e.textContent = 'a_label_'.repeat(12)")
        assert ada.evaluate(within), place


LONG_LABEL = "Manufacture of instruments for measuring and navigation, not elsewhere classified"
IN_SIGHT = """selector => {
  const e = document.querySelector(selector), pane = e.closest(".pane, .predicted").getBoundingClientRect();
  const { top, bottom, left, width } = e.getBoundingClientRect();
  const until = Math.min(bottom, pane.bottom, innerHeight), from = Math.max(top, pane.top);
  const at = document.elementFromPoint(left + Math.min(width, 40) / 2, from + 8);
  return { top, from, seen: until - from, height: bottom - top, on_top: e === at || e.contains(at) };
}"""


@pytest.mark.parametrize("size", [(1366, 768), (683, 384), (360, 740)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_text_label_accept_and_evidence_are_in_sight_whatever_their_length(ada, size):
    width, height = size
    ada.set_viewport_size({"width": width, "height": height})
    for n_words in (5, 300, 1_500):
        text = " ".join(f"word{n}" for n in range(n_words))
        ada.locator("#review .text").evaluate("(e, text) => e.textContent = text", text)
        for label in ("card", LONG_LABEL):
            ada.locator(".predicted bdi").first.evaluate("(e, label) => e.textContent = label", label)
            seen = {place: ada.evaluate(IN_SIGHT, place) for place in (".text", ".predicted h2", ".predicted .primary")}
            for place in (".predicted h2", ".predicted .primary"):
                assert seen[place]["seen"] == seen[place]["height"], (place, n_words, label)
            evidence = ada.evaluate(IN_SIGHT, ".judgement")
            assert evidence["seen"] >= 18, (n_words, label, evidence)
            assert seen[".text"]["seen"] >= min(seen[".text"]["height"], 48), (n_words, label)
            assert all(one["on_top"] for one in (*seen.values(), evidence)), seen
            assert ada.evaluate("document.documentElement.scrollHeight <= innerHeight"), "the page does not scroll"
    # A long text scrolls in its own pane, by the keyboard alone.
    ada.locator(".text-pane").focus()
    ada.keyboard.press("End")
    expect(ada.locator(".text-pane")).not_to_have_js_property("scrollTop", 0)
    ada.keyboard.press("Home")
    expect(ada.locator(".text-pane")).to_have_js_property("scrollTop", 0)
    ada.keyboard.press("/")
    ada.keyboard.type("crad")
    expect(ada.locator("#found [data-query=crad]")).to_be_attached()
    expect(ada.get_by_role("option").first).to_contain_text("card")
    assert ada.evaluate(IN_SIGHT, ".text")["seen"] >= 48
    assert ada.evaluate(IN_SIGHT, "#label-search")["on_top"]
    assert ada.evaluate(IN_SIGHT, "#found [role=option]")["on_top"]
    ada.get_by_role("link", name="Close the search").click()
    expect(ada.get_by_role("option")).to_have_count(0)
    expect(ada.get_by_role("button", name="Accept")).to_be_in_viewport()


def test_words_that_speak_are_marked_on_request_in_two_ways(ada):
    words = ada.locator("#review .text mark.one")
    expect(words.first).to_be_visible()
    plain = words.first.evaluate("e => getComputedStyle(e).textDecorationLine")
    ada.keyboard.press("w")
    assert plain == "none"
    expect(words.first).to_have_css("text-decoration-line", "underline")
    expect(words.first).to_have_css("text-decoration-style", "solid")
    expect(ada.locator("details.words")).to_contain_text(words.first.inner_text())
    ada.keyboard.press("w")
    expect(words.first).to_have_css("text-decoration-line", "none")


def n_decisions(page: Page) -> int:
    return page.locator(".decided li").count()


def test_a_choice_survives_a_lost_connection_a_broken_server_and_a_closed_tab(ada, console_errors):
    n_before, before = n_decisions(ada), text_of(ada)
    ada.context.set_offline(True)
    ada.keyboard.press("n")
    expect(ada.locator("#not-saved[role=alert]")).to_contain_text("Not saved yet, trying again: None of these")
    ada.keyboard.press("Enter")  # another mind: the last one counts
    expect(ada.locator("#not-saved")).to_contain_text("Accept")
    assert text_of(ada) == before
    asks = "() => !dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert ada.evaluate(asks)
    ada.context.set_offline(False)
    expect(ada.locator(".messages")).to_contain_text("Accepted")
    assert n_decisions(ada) == n_before + 1
    assert not ada.evaluate(asks)
    undo(ada)

    # Taken back before it could be sent.
    ada.context.set_offline(True)
    ada.keyboard.press("n")
    expect(ada.locator("#not-saved")).to_be_visible()
    ada.keyboard.press("Backspace")
    expect(ada.locator("#not-saved")).to_be_hidden()
    ada.context.set_offline(False)
    ada.wait_for_timeout(1_500)
    assert text_of(ada) == before

    # The server is restarted behind its proxy.
    answers = iter([503, 502])

    def broken(route) -> None:
        status = next(answers, None)
        route.fulfill(status=status) if status else route.continue_()

    ada.route("**/decide/", broken)
    with another_text(ada):
        ada.keyboard.press("n")
        expect(ada.locator("#not-saved")).to_be_visible()
    expect(ada.locator(".messages")).to_contain_text("None of these")
    undo(ada)

    # The tab is closed while the server is away.
    ada.context.set_offline(True)
    ada.keyboard.press("1")
    expect(ada.locator("#not-saved")).to_be_visible()
    ada.close()
    ada.context.set_offline(False)
    again = ada.context.new_page()
    again.goto(REVIEW)
    expect(again.locator(".messages")).to_contain_text("Changed to")
    expect(again.locator("#review .text")).not_to_have_text(before)
    assert n_decisions(again) == n_before + 1
    undo(again)
    expect(again.locator("#review .text")).to_have_text(before)
    console_errors.clear()


def test_who_comes_too_late_reads_who_decided_what_and_keeps_the_choice(ada, browser, site, console_errors):
    text = text_of(ada)
    with browser.new_context(base_url=site.url) as context:
        ben = context.new_page()
        log_in(ben, site, "ben")
        ben.goto(f"{DESK}documents/?{urlencode({'q': text})}")
        ben.get_by_role("link", name=text[:60]).first.click()
        ben.get_by_label("Put it right").select_option("crème")
        ben.get_by_role("button", name="Save").click()
        with ada.expect_response("**/decide/") as answer:
            ada.keyboard.press("n")
        assert answer.value.status == 409
        conflict = ada.locator("#conflict[role=alert]")
        expect(conflict).to_contain_text("ben has decided on this document already: Changed to crème")
        expect(conflict).to_contain_text("Your choice was: None of these")
        expect(conflict.get_by_role("link")).to_contain_text(text[:40])
        expect(ada.locator("#review .text")).not_to_have_text(text)
    console_errors.clear()  # Chromium reports each 409


# What the page itself says, beside texts, labels and numbers.
SAID = "h1, h2:not(:has(bdi)), button:not(.alternatives *, .plain), .actions a, label, summary, .tabs a, .of-round span"


def test_the_desk_works_without_javascript(browser: Browser, site: Site):
    with browser.new_context(base_url=site.url, java_script_enabled=False) as context:
        page = context.new_page()
        log_in(page, site, "ben")
        page.goto(REVIEW)
        before = text_of(page)
        page.get_by_label("What is odd").fill("seen without scripts")
        page.get_by_label("What is odd").press("Enter")
        expect(page.locator(".flag").last).to_contain_text("seen without scripts")
        page.get_by_role("link", name="Compare").click()
        expect(page.get_by_role("dialog")).to_be_visible()
        page.get_by_role("button", name="Close").click()
        page.get_by_label("Search all labels").fill("stolen")
        page.get_by_label("Search all labels").press("Enter")
        page.get_by_role("option", name="card_lost").click()
        expect(page.locator(".messages")).to_contain_text("card_lost")
        assert text_of(page) != before
        page.locator(".decided button").first.click()
        assert text_of(page) == before
        page.get_by_label("Skip, because").fill("unclear")
        page.get_by_label("Skip, because").press("Enter")
        expect(page.locator(".messages")).to_contain_text("Skipped")
        page.get_by_role("button", name="Undo").first.click()
        assert text_of(page) == before
        page.locator("details.menu summary").click()
        words = page.locator("#review").locator(SAID)
        in_english = set(words.all_text_contents())
        page.get_by_role("button", name="Deutsch").click()
        expect(page.get_by_role("button", name="Annehmen")).to_be_visible()
        assert not in_english & set(words.all_text_contents()), "the same in German"
        page.locator("details.menu summary").click()
        page.get_by_role("button", name="English").click()
        page.goto(f"{DESK}documents/?show=flagged")
        expect(page.get_by_text("seen without scripts")).to_be_visible()


def all_pages(page: Page) -> Iterator[str]:
    """Each page of the desk in turn, shown."""
    page.goto(DESK + "documents/")
    document = page.locator("td a").first.get_attribute("href") or ""
    page.goto(DESK + "labels/")
    label = page.locator("th a").first.get_attribute("href") or ""
    page.goto(DESK + "labels/suspicious/")
    suspicion = page.locator("td a").first.get_attribute("href") or ""
    page.goto(DESK + "members/")
    expertise = page.get_by_role("link", name="gets from the queue").first.get_attribute("href") or ""
    of_labels = ("", "tree/", "health/", "confusion/", "suspicious/", "changes/", "definitions/", "nowhere/")
    of_labels += ("revisions/", "revisions/1/")
    of_a_label = (label, f"{label}change/merge/?into=1", f"{label}change/split/?q=message", suspicion)
    others = (DESK, *of_a_label, DESK + "documents/", document, "/", DESK + "settings/")
    files = (
        DESK + "import/",
        DESK + "export/",
        DESK + "documents/delete/",
        DESK + "documents/decisions/",
        DESK + "documents/?verdict=valid&sort=sure",
        DESK + "remove/",
        DESK + "file/",
        "/projects/unpack/",
        DESK + "predict/",
        DESK + "diary/",
        DESK + "members/",
        expertise,
        DESK + "settings/people-only/",
        DESK + "prices/",
        DESK + "guidelines/",
        DESK + "guidelines/?edit",
        DESK + "rounds/1/",
        "/accounts/",
        "/mentions/",
        "/diary/",
        "/sessions/",
        "/tokens/",
        "/notices/",
        "/notices/settings/",
        DESK + "webhooks/",
        "/api/",
    )
    for address in (
        *(REVIEW, DESK + "bulk/", DESK + "disagreements/", DESK + "people/", *others, *files),
        *(f"{DESK}labels/{name}" for name in of_labels),
    ):
        page.goto(address)
        yield address


def faults(page: Page) -> list[str]:
    found = Axe().run(page, options=WCAG).response["violations"]
    return [f"{fault['id']}: {node['html'][:200]}" for fault in found for node in fault["nodes"]]


def test_guidelines_are_one_key_away_and_a_thread_names_a_colleague(page, site):
    log_in(page, site, "mia")
    page.goto(REVIEW)
    before = text_of(page)
    page.keyboard.press("g")
    dialog = page.get_by_role("dialog", name="Guidelines")
    expect(dialog.get_by_role("heading", name="Two wishes")).to_be_visible()
    page.keyboard.press("n")
    page.keyboard.press("g")
    expect(dialog).to_be_hidden()
    assert text_of(page) == before
    page.goto("/")
    page.get_by_role("link", name="A colleague has mentioned you").click()
    page.get_by_role("link", name="card_arrival").click()
    expect(page.locator(".thread li:target")).to_contain_text("fell into a lake")
    page.get_by_label("Say something").fill("Swallowed, @ada.")
    page.get_by_role("button", name="Send").press("Enter")
    expect(page.locator(".thread li:target")).to_contain_text("Swallowed, @ada.")
    page.locator(".thread li:target summary").click()
    page.locator(".thread li:target").get_by_role("button").click()
    expect(page.locator(".thread li")).to_have_count(1)


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (360, 740)])
def test_a_page_of_a_rounds_questions_is_under_three_screens_and_its_heads_stay(page, site, width, height):
    page.set_viewport_size({"width": width, "height": height})
    log_in(page, site, "mia")
    page.goto(f"{DESK}rounds/1/")
    rows = page.locator("table.rows tbody tr")
    expect(rows).to_have_count(30)
    assert page.evaluate("document.documentElement.scrollHeight") < 3 * height
    tallest = max(box["height"] for box in (row.bounding_box() for row in rows.all()))
    assert tallest < (40 if width > 1000 else 65)
    rows.nth(20).locator("summary").click()
    expect(rows.nth(20).get_by_text("Why asked")).to_be_visible()
    page.evaluate("scrollTo(0, document.body.scrollHeight / 2)")
    if width > 1000:
        assert page.locator("table.rows thead th").first.bounding_box()["y"] == 0
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("link", name="Probability").click()
    expect(page.locator("th[aria-sort]")).to_have_text("Probability")


def test_a_judge_without_key_or_price_says_so_when_it_is_chosen(page, site):
    log_in(page, site, "mia")
    page.goto(f"{DESK}settings/")
    expect(page.locator("#judge-needs .notice")).to_have_count(0)
    page.get_by_label("Judge:", exact=True).select_option("anthropic")
    expect(page.locator("#judge-needs")).to_contain_text("No price is known for")
    page.get_by_label("Judge model:").fill("big-1")
    page.get_by_label("Judge model:").blur()
    expect(page.locator("#judge-needs")).to_contain_text("No price is known for big-1.")
    page.get_by_role("link", name="Enter its price").click()
    expect(page.get_by_label("Model:")).to_have_value("big-1")


def test_a_label_is_made_of_what_belongs_nowhere_and_taken_back(page, site):
    log_in(page, site, "mia")
    page.goto(f"{DESK}labels/nowhere/")
    expect(page.get_by_role("heading", name="savings · interest")).to_contain_text("6 texts")
    page.get_by_label("Name").fill("savings")
    page.get_by_role("checkbox").first.uncheck()
    page.get_by_role("button", name="Make this a label").press("Enter")
    expect(page.locator(".messages")).to_contain_text("“savings” is a label now.")
    expect(page.locator("main")).to_contain_text("5")
    page.goto(f"{DESK}labels/changes/")
    page.get_by_role("row").nth(1).get_by_role("button", name="Undo").press("Enter")
    expect(page.get_by_role("row").nth(1)).to_contain_text("undone by mia")
    page.goto(f"{DESK}labels/nowhere/")
    expect(page.get_by_role("heading", name="savings · interest")).to_be_visible()
    page.get_by_role("button", name="Dismiss").click()
    page.get_by_text("1 proposal was dismissed").click()
    page.get_by_role("button", name="Propose again").click()
    expect(page.get_by_role("heading", name="savings · interest")).to_be_visible()


def test_a_revision_is_loaded_seen_carried_out_and_undone(page, site, tmp_path):
    table = tmp_path / "table.csv"
    table.write_text(
        "old,new,name\nexchange_rate,X1,rate\ntop_up_failed,T1,top up refused\ntop_up_failed,T2,top up late\n", "utf-8"
    )
    log_in(page, site, "mia")
    page.goto(f"{DESK}labels/revisions/")
    page.get_by_label("File").set_input_files(table)
    page.get_by_role("button", name="Show what changes").press("Enter")
    expect(page.get_by_role("row", name="top_up_failed")).to_contain_text("asked again")
    expect(page.get_by_role("row", name="exchange_rate")).to_contain_text("carried over")
    page.get_by_role("button", name="Carry out").press("Enter")
    expect(page.locator(".messages")).to_contain_text("Carried out.")
    expect(page.locator("dl.figures")).to_contain_text("To be asked again")
    page.goto(f"{DESK}labels/?q=top+up")
    expect(page.locator("table")).to_contain_text("T2 top up late")
    page.goto(f"{DESK}labels/revisions/")
    page.get_by_role("row").nth(1).get_by_role("link").click()
    page.get_by_role("button", name="Undo the revision").press("Enter")
    expect(page.locator("main")).to_contain_text("undone by mia")
    page.goto(f"{DESK}labels/?q=top")
    expect(page.locator("table")).not_to_contain_text("T2")
    expect(page.locator("table")).to_contain_text("top_up_failed")


def test_what_is_exported_is_chosen_and_nothing_goes_uncounted(page, site):
    log_in(page, site, "mia")
    page.goto(DESK)
    page.get_by_role("link", name="Export").click()
    page.get_by_label("JSON lines", exact=True).check()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").press("Enter")
    assert json.loads(download.value.path().read_text().splitlines()[0])["source"] == "seed"
    page.goto(DESK + "documents/")
    page.get_by_label("Tick").first.press("Space")
    page.get_by_role("button", name="Delete …").press("Enter")
    expect(page.get_by_text("1 document with all that is known of it")).to_be_visible()
    page.get_by_role("link", name="Back").click()
    expect(page.get_by_role("heading", name="Documents")).to_be_visible()


def test_documents_are_found_kept_as_a_view_and_labelled_many_at_once_and_back(page, site):
    log_in(page, site, "mia")
    page.goto(DESK + "documents/")
    page.get_by_label("Search the texts").fill("message crème")
    page.get_by_label("Which documents").select_option("Without a label")
    page.get_by_label("Search the texts").press("Enter")
    n = page.locator("td input[name=document]").count()
    assert 0 < n < 50
    page.get_by_text("More filters").click()
    page.get_by_label("Column").select_option("channel")
    page.get_by_label("has the value").fill("web form")
    page.get_by_role("button", name="Show", exact=True).press("Enter")
    expect(page.get_by_text("More filters (2)")).to_be_visible()
    expect(page.locator("td input[name=document]")).to_have_count(n)
    page.get_by_label("Keep this view as").fill("Creams")
    page.get_by_role("button", name="Save").press("Enter")
    page.goto(DESK + "documents/")
    page.get_by_role("link", name="Creams").click()
    expect(page.locator("td input[name=document]")).to_have_count(n)
    page.get_by_label("Tick this page").check()
    expect(page.locator("td input[name=document]:checked")).to_have_count(n)
    page.get_by_role("button", name="Give a label").press("Enter")
    page.get_by_label("Label", exact=True).select_option("crème")
    page.get_by_role("button", name="Give the label").press("Enter")
    expect(page.locator(".messages")).to_contain_text("It can be undone below.")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".messages")).to_contain_text("Undone")
    page.get_by_role("link", name="My decisions").click()
    expect(page.get_by_text("To look at one changes nothing.")).to_be_visible()
    page.goto(DESK + "documents/")
    page.locator("td a").first.click()
    page.get_by_role("link", name="More like this").click()
    expect(page.locator(".messages")).to_contain_text("manage.py serve_model")
    page.get_by_role("button", name="Remove the view Creams").click()
    expect(page.get_by_role("link", name="Creams")).to_have_count(0)


@pytest.mark.parametrize(
    ("scheme", "width"),
    [
        pytest.param("light", 1280, id="light", marks=pytest.mark.slow),
        pytest.param("dark", 1280, id="dark", marks=pytest.mark.slow),
        pytest.param("light", 360, id="phone", marks=pytest.mark.slow),
    ],
)
def test_everybody_can_read_and_reach_everything(browser: Browser, site: Site, scheme, width):
    size = {"width": width, "height": 800}
    found: dict[str, object] = {}
    with browser.new_context(base_url=site.url, color_scheme=scheme, viewport=size) as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda said: errors.append(said.text) if is_complaint(said, site) else None)
        page.goto("/login/")
        found["/login/"] = faults(page)
        paper = {"light": "rgb(246, 245, 242)", "dark": "rgb(22, 24, 27)"}[scheme]
        expect(page.locator("html")).to_have_css("background-color", paper)
        log_in(page, site, "mia")
        for address in all_pages(page):
            found[address] = faults(page)
            found[f"{address} in width"] = breadth(page)
        page.goto(REVIEW)
        page.keyboard.press("/")
        page.get_by_label("Search all labels").fill("card")
        expect(page.get_by_role("option").first).to_be_visible()
        page.keyboard.press("ArrowDown")
        found["search"] = faults(page)
        page.keyboard.press("Escape")
        page.locator("details.menu summary").click()
        found["menu"] = faults(page)
        page.locator("details.menu summary").click()
        page.keyboard.press("d")
        expect(page.get_by_role("dialog")).to_be_visible()
        found["dialog"] = faults(page)
        page.keyboard.press("Escape")
        # Twice as large, as browsers zoom: half as wide; and text alone.
        page.set_viewport_size({"width": max(width // 2, 320), "height": 400})
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found["zoomed"] = page.evaluate(TOO_WIDE)
    assert {place: wrong for place, wrong in found.items() if wrong} == {}
    assert errors == []


def test_every_page_fits_a_phone(page: Page, site: Site):
    page.set_viewport_size({"width": 360, "height": 800})
    log_in(page, site, "mia")
    found = {address: breadth(page) for address in all_pages(page)}
    assert {address: wrong for address, wrong in found.items() if wrong} == {}


def breadth(page: Page) -> list[str]:
    """What is wider than the window, and a header that takes its height."""
    wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    tall = page.locator("header.top").bounding_box()["height"] > 90
    return [*(page.evaluate(TOO_WIDE) if wide else []), *(["a tall header"] if tall else [])]


TOO_WIDE = """[...document.querySelectorAll("main *, header *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth
  && !e.closest(".scroll")).map(e => e.outerHTML.slice(0, 120)).slice(0, 5)"""


def test_tab_reaches_every_control_and_shows_where_it_is(ada):
    with another_text(ada):
        ada.keyboard.press("Enter")
    ada.goto(REVIEW)
    reached: list[str] = []
    for _ in range(60):
        ada.keyboard.press("Tab")
        name, outlined, at_start = ada.evaluate(
            """() => { const e = document.activeElement, s = getComputedStyle(e);
            return [(e.getAttribute("aria-label") || e.labels?.[0]?.innerText || e.innerText || "").trim(),
                    s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2, e === document.body]; }"""
        )
        if at_start:
            break
        assert outlined, name
        reached.append(name)
    for wanted in (
        "Skip to content",
        "Undo",
        "Accept",
        "None of these",
        "Compare",
        "Search all labels",
        "Skip",
        "Flag",
    ):
        assert any(name.startswith(wanted) for name in reached), (wanted, reached)
    # And a focused button does what it says, not what the key would.
    before = text_of(ada)
    ada.get_by_role("button", name="None of these").focus()
    ada.keyboard.press("Enter")
    expect(ada.locator("#review .text")).not_to_have_text(before)
    expect(ada.locator(".messages")).to_contain_text("None of these")
    expect(ada.locator("#review .text")).to_be_focused()
    for _ in range(2):
        undo(ada)


def test_a_label_gets_a_place_is_merged_and_parted_again(page: Page, site: Site):
    log_in(page, site, "mia")
    page.goto(DESK + "labels/")
    page.get_by_role("link", name="card_swallowed").click()
    page.get_by_label("Code").fill("12")
    page.get_by_label("Parent").select_option(label="card_lost")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("12 card_swallowed")
    page.goto(DESK + "labels/tree/")
    expect(page.locator("th.level-2")).to_have_text("12 card_swallowed")
    page.get_by_role("link", name="12 card_swallowed").click()
    page.get_by_role("link", name="Rename …").click()
    page.get_by_label("New name").fill("card_lost")
    page.get_by_role("button", name="Show what changes").click()
    page.get_by_role("link", name="Merge the two …").click()
    expect(page.locator(".figures")).to_contain_text("Examples6")
    page.get_by_role("button", name="Merge into “card_lost”").click()
    expect(page.locator(".messages")).to_contain_text("It is in the log, and can be undone there.")
    page.goto(DESK + "labels/")
    expect(page.get_by_role("link", name="12 card_swallowed")).to_have_count(0)
    page.get_by_role("link", name="Log").click()
    page.get_by_role("row").nth(1).get_by_role("button", name="Undo").click()
    expect(page.get_by_role("row").nth(1)).to_contain_text("undone by mia")
    page.goto(DESK + "labels/")
    page.get_by_role("link", name="12 card_swallowed").click()
    page.get_by_label("Code").fill("")
    page.get_by_label("Parent").select_option("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("card_swallowed")


def test_from_a_labels_health_to_the_documents_behind_it_and_a_doubt_dispelled(page: Page, site: Site):
    log_in(page, site, "mia")
    page.goto(DESK + "labels/health/")
    page.get_by_role("link", name="Suspicious", exact=True).click()
    first = page.locator("tbody tr").first
    expect(first).to_contain_text("crème")
    first.get_by_role("link", name="seed 6").click()
    expect(page.locator("tbody tr")).to_have_count(6)
    page.go_back()
    first.get_by_role("link", name="1", exact=True).click()
    page.get_by_role("link", name="Go through them").click()
    expect(page.get_by_role("heading", name="card_arrival")).to_be_visible()
    page.get_by_role("button", name="It is right").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".messages")).to_contain_text("Saved: crème.")
    page.goto(DESK + "labels/confusion/")
    expect(page.get_by_role("heading", name="Confused pairs")).to_be_visible()


def test_the_admin_and_the_texts_of_other_directions_keep_to_the_policy(page: Page, site: Site):
    log_in(page, site, "mia")
    for address in ("/admin/", "/admin/labelling/label/", "/admin/labelling/label/import/", "/admin/auth/user/add/"):
        assert page.goto(address).ok
    page.goto(f"{DESK}documents/?q=بطاقتي")
    page.locator("td a").first.click()
    direction = "e => getComputedStyle(e).direction"
    assert page.locator(".text").evaluate(direction) == "rtl"
    assert page.locator(".metadata dd", has_text=ARABIC).evaluate(direction) == "rtl"
    assert "unsafe" not in page.goto(REVIEW).headers["content-security-policy"]
    page.locator("#review .text").evaluate("(e, text) => e.textContent = text", ARABIC)
    assert page.locator("#review .text").evaluate(direction) == "rtl"

"""The review page as one person uses it: everything on one screen, keys of any layout, nothing lost, for everyone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import log_in
from tests.browser.desk import ARABIC
from tests.site import ROOT, Site

DESK = "/p/desk/"
REVIEW = f"{DESK}review/"
WCAG = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("desk"))
    site.passwords = dict.fromkeys(("ada", "ben", "mia"), "secret")
    site.manage("migrate", "--verbosity", "0")
    site.manage("collectstatic", "--no-input", "--verbosity", "0")
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
    expect(page.locator("#review .text")).not_to_have_text(before, timeout=20_000)


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
    expect(ada.locator(".why")).to_contain_text(" against ")
    expect(ada.locator(".why")).to_contain_text(asked)
    expect(ada.locator(".why")).to_contain_text("After the judge's word it is")
    expect(ada.locator(".why")).to_contain_text("Asked because it was drawn at random.")
    expect(ada.get_by_text("1 text says almost the same")).to_be_visible()
    expect(ada.locator(".near summary")).to_contain_text(f"{asked} ×1")
    expect(ada.locator(".flag")).to_contain_text("Two wishes in one text")
    expect(ada.locator(".metadata")).to_contain_text("web form")
    expect(ada.locator(".verdict")).to_be_visible()
    judged = ada.get_by_role("region", name="The judge's verdict")
    expect(judged).to_contain_text(f"of the 10 nearest examples are {asked}. Suggests card_arrival.")
    expect(ada.get_by_text("is not known: 20 more audits are needed")).to_be_visible()
    expect(ada.locator(".examples .tag.seed").first).to_be_visible()
    assert ada.locator(".examples h2").count() == 2
    for who in ("model", "neighbour", "judge"):
        expect(ada.locator(".alternatives .tag").filter(has_text=who).first).to_be_visible()
    expect(ada.locator(".alternatives .definition").first).to_contain_text("Use when a machine kept the card.")
    expect(ada.locator(".alternatives .definition").first).to_have_css("white-space", "nowrap")
    expect(ada.locator(".of-round")).to_contain_text("Round 1 · 0/")
    expect(ada.locator(".worker.on")).to_be_visible()
    for name in ("Accept", "None of these", "Skip", "Undo"):
        expect(ada.get_by_role("button", name=name, exact=False).first).to_be_in_viewport()
    # An audit says what it is, and what the judge said only afterwards.
    first = text_of(ada)
    with another_text(ada):
        ada.keyboard.press("Enter")
    expect(ada.locator("#said[role=status]")).to_contain_text("Accepted")
    expect(ada.locator(".of-round")).to_contain_text("Round 1 · 1/")
    expect(ada.locator(".tag.audit")).to_be_visible()
    expect(ada.locator(".verdict, .tag.judge")).to_have_count(0)
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
    fifth = ada.locator(".alternatives .name").nth(4).inner_text()
    with another_text(ada):
        ada.keyboard.press("5")
    expect(ada.locator(".messages")).to_contain_text(f"Changed to {fifth}")
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
    expect(found.first).to_contain_text(ada.locator(".predicted bdi").inner_text())  # the best guess, untyped
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
    for place in (".why strong", ".verdict", ".predicted bdi", ".alternatives .name", ".examples h2"):
        ada.locator(f"#review {place}").first.evaluate("e => e.textContent = 'a_label_'.repeat(12)")
        assert ada.evaluate(within), place


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
    expect(ada.locator(".messages")).to_contain_text("Accepted", timeout=20_000)
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
        ben.goto(f"{DESK}documents/?q={text[:40]}")
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
    page.goto(DESK + "bulk/")
    bulk = f"{DESK}bulk/?label={page.get_by_label('Predicted label').input_value()}"
    others = (DESK, DESK + "labels/", label, DESK + "documents/", document, "/", DESK + "settings/")
    for address in (REVIEW, bulk, DESK + "disagreements/", DESK + "people/", *others):
        page.goto(address)
        yield address


def faults(page: Page) -> list[str]:
    found = Axe().run(page, options=WCAG).response["violations"]
    return [f"{fault['id']}: {node['html'][:200]}" for fault in found for node in fault["nodes"]]


@pytest.mark.parametrize(
    ("scheme", "width"), [("light", 1280), ("dark", 1280), ("light", 360)], ids=["light", "dark", "phone"]
)
def test_everybody_can_read_and_reach_everything(browser: Browser, site: Site, scheme, width):
    size = {"width": width, "height": 800}
    found: dict[str, object] = {}
    with browser.new_context(base_url=site.url, color_scheme=scheme, viewport=size) as context:
        page = context.new_page()
        errors: list[str] = []
        page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
        page.goto("/login/")
        found["/login/"] = faults(page)
        paper = {"light": "rgb(246, 245, 242)", "dark": "rgb(22, 24, 27)"}[scheme]
        expect(page.locator("html")).to_have_css("background-color", paper)
        log_in(page, site, "mia")
        for address in all_pages(page):
            found[address] = faults(page)
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found[f"{address} is too wide"] = page.evaluate(TOO_WIDE)
            lines = page.locator("header.top").bounding_box()["height"]
            if lines > 90:
                found[f"{address} has a tall header"] = lines
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

"""The whole walk, as a new user takes it: log in, upload, map, round, review, undo, next round, export."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from playwright.sync_api import Page, expect

from labelling.management.commands.load_demo import DEMO
from tests.browser.conftest import log_in
from tests.site import Site

N_SEEDS = 6
LABELS = (
    "Allotments",
    "Blue Badge",
    "Dog fouling",
    "Graffiti",
    "Missed collection",
    "Postal vote",
    "Pothole",
    "Roadworks",
)


def demo_rows() -> list[dict[str, str]]:
    """Messages of eight of the demo's labels: six seeds each, the others without their label."""
    with (DEMO / "texts.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["label"] in LABELS]
    seen = dict.fromkeys(LABELS, 0)
    for row in rows:
        seen[row["label"]] += 1
        row["truth"] = row["label"]
        if seen[row["label"]] > N_SEEDS:
            row["label"] = ""
    return rows


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="cp1252", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Reference", "Message", "Team", "Channel"])
        for row in rows:
            writer.writerow([row["id"], row["text"], row["label"], "web – form"])


def rows_of(exported: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(exported)))


def press(page: Page, *keys: str, says: str) -> str:
    """Press keys that decide; wait for what the page says and for the next text. Returns the text decided on."""
    page.wait_for_load_state()  # A page can be seen before its scripts run: they listen to no key before.
    text = page.locator("#review .text")
    before = text.inner_text()
    for key in keys:
        page.keyboard.press(key)
    expect(page.locator(".messages")).to_contain_text(says)
    expect(text).not_to_have_text(before)
    return before


def test_the_whole_walk(page: Page, site: Site, tmp_path):
    rows = demo_rows()
    truth = {row["text"]: row["truth"] for row in rows}
    write_csv(tmp_path / "letters.csv", rows)

    # Log in and make a project.
    log_in(page, site, "admin")
    page.get_by_role("link", name="New project").click()
    page.get_by_label("Name").fill("Letters")
    page.get_by_role("button", name="Create project").click()

    # Upload and map the columns: nothing in the header is called text, label or id.
    page.locator("#id_file").set_input_files(tmp_path / "letters.csv")
    page.get_by_role("button", name="Upload and look at it").click()
    expect(page.get_by_role("heading", name="The first rows")).to_be_visible()
    expect(page.get_by_label("Encoding")).to_have_value("cp1252")
    expect(page.get_by_role("cell", name="web – form").first).to_be_visible()
    page.get_by_label("Text column").select_option("Message")
    page.get_by_label("Label column").select_option("Team")
    page.get_by_label("Id column").select_option("Reference")
    page.get_by_label("share of the labelled rows").fill("20")
    page.get_by_role("button", name="Check and import").click()
    expect(page.get_by_role("heading", name="Imported")).to_be_visible()
    expect(page.locator(".figures")).to_contain_text("Pool160")
    page.get_by_role("link", name="To the project").click()

    # Set the pace, then start the first round and watch it.
    page.get_by_role("link", name="Settings").click()
    page.get_by_label("Decisions a round").fill("5")
    page.get_by_role("button", name="Save").click()
    page.get_by_role("link", name="Letters").click()
    page.get_by_role("button", name="Start round 1").click()
    expect(page.locator("#round")).to_contain_text("Round 1")
    expect(page.get_by_role("link", name="Audit now")).to_be_visible()
    page.get_by_text("Figures", exact=True).click()
    expect(page.get_by_role("cell", name="% of").first).to_be_visible()

    # Review with the keyboard: accept, an alternative by its number, one found by search, none of these, undo.
    page.get_by_role("link", name="Audit now").click()
    expect(page.locator(".review-bar")).to_contain_text("5 waiting")
    first = press(page, "Enter", says="Accepted")

    alternative = page.locator(".alternatives .name").first.inner_text()
    press(page, "1", says=f"Changed to {alternative}")

    predicted = page.locator(".predicted h2 bdi").inner_text()
    wanted = next(label for label in LABELS if label != predicted)
    page.keyboard.press("/")
    page.keyboard.type(wanted.lower())
    expect(page.locator("#found button").first).to_contain_text(wanted)
    third = press(page, "Enter", says=f"Changed to {wanted}")

    press(page, "Backspace", says="Undone")
    expect(page.locator("#review .text")).to_have_text(third)
    press(page, "n", says="None of these")
    skipped = press(page, "s", says="Skipped")

    # Where an audit found an error somebody looks again: here, without colleagues, the same person.
    accepted = press(page, "Enter", says="Accepted")
    again = page.locator("#review .text").inner_text()
    press(page, *("n" if again == third else "1"), says="None of these" if again == third else "Changed to")
    page.keyboard.press("1" if again == third else "n")
    expect(page.locator("main")).to_contain_text("Nothing waits")

    # Four are decided on and one is skipped: nothing waits, and the next round starts by itself.
    page.get_by_role("link", name="Letters", exact=True).click()
    changed = page.get_by_role("link", name="What the decisions before round 2 changed")
    expect(changed).to_be_visible()
    page.get_by_text("Figures", exact=True).click()
    row = page.get_by_role("row", name="Round 2")
    n_examples = int(page.get_by_role("row", name="Round 1").get_by_role("cell").first.inner_text())
    expect(row.get_by_role("cell").first).to_have_text(str(n_examples + 4))
    expect(page.locator("canvas[data-key=uncertain]")).to_be_visible()

    # Export, and import the export into a second project.
    page.get_by_role("link", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    exported = Path(download.value.path()).read_text(encoding="utf-8-sig")
    out = {row["text"]: row for row in rows_of(exported)}
    assert out.keys() == truth.keys()
    assert {row["source"] for row in out.values()} == {"seed", "human", "model"}
    assert (out[third]["label"], out[third]["decision"], out[third]["reviewer"]) == ("", "none", "admin")
    assert (out[accepted]["source"], out[accepted]["decision"]) == ("human", "accept")
    assert out[skipped]["source"] == "model"
    assert sum(row["holdout"] == "yes" for row in out.values()) == round(0.2 * N_SEEDS * len(LABELS))
    assert out[first]["Channel"] == "web – form"

    copy = tmp_path / "export.csv"
    copy.write_text(exported, encoding="utf-8")
    page.goto("/projects/new/")
    page.get_by_label("Name").fill("Copy")
    page.get_by_role("button", name="Create project").click()
    page.locator("#id_file").set_input_files(copy)
    page.get_by_role("button", name="Upload and look at it").click()
    expect(page.get_by_label("this file was exported from here")).to_be_checked()
    page.get_by_role("button", name="Check and import").click()
    expect(page.get_by_role("heading", name="Imported")).to_be_visible()
    page.get_by_role("link", name="To the project").click()
    page.get_by_role("link", name="Export").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    copied = rows_of(Path(download.value.path()).read_text(encoding="utf-8-sig"))
    # What is certified is so by the audits of its own project.
    assert {row.pop("certified") for row in copied} == {""}
    assert {row.pop("certified") for row in out.values()} == {"no", ""}
    assert copied == list(out.values())

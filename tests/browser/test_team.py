"""Several people in real browsers: claims, documents for two, disagreements, bulk, numbers, what a round changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import log_in
from tests.load_review import PASSWORD
from tests.site import Site

# A project for each test, by the name of what it is about.
MAKE = """
from tests import load_review
for name in ("shared", "kept", "bulk", "changed"):
    load_review.make_project(180, 3, 4, name=name)
"""
SHARE = """
from labelling.models import Project, QueueEntry
shared = Project.objects.filter(slug="shared")
first = list(QueueEntry.objects.filter(project__in=shared).values_list("pk", flat=True)[:2])
QueueEntry.objects.filter(pk__in=first).update(people=2)
shared.update(overlap=0.1)
"""
# What a worker does when the page asks for it.
COUNT = (
    "from labelling import jobs; from labelling.models import Project; from labelling.services import measuring;"
    "jobs.run_measurement(measuring.measure(Project.objects.get(slug='shared')).pk)"
)
AGREE = (
    "from django.contrib.auth.models import User; from labelling.models import Measurement;"
    "said = {'value': 0.81, 'low': 0.66, 'high': 0.92, 'n': 40};"
    "two = list(User.objects.filter(username__in=['reviewer1', 'reviewer2']).values_list('pk', flat=True));"
    "Measurement.objects.update(people="
    "{'agreement': said, 'alpha': said, 'pairs': [{'reviewers': two, 'kappa': said}]})"
)
GIVE_AWAY = (
    "from django.contrib.auth.models import User; from labelling.models import QueueEntry;"
    "QueueEntry.objects.filter(project__slug='kept', claimed_by__username='reviewer1')"
    ".update(claimed_by=User.objects.get(username='reviewer2'))"
)
CHANGE = """
from labelling.models import Document, Label, Project, Round
project = Project.objects.get(slug="changed")
first, second, third = project.labels.values_list("pk", flat=True)
document = project.documents.filter(given_source="").first()
Round.objects.create(project=project, number=2, state="done", stop_reason="Enough.", changes={
    "since": 1, "learnt": {"human": 7}, "n_compared": 60, "n_moved": 1, "n_holdout": 30, "right_before": 20,
    "right_now": 23, "better": [[first, 4, 9, 10]], "worse": [[second, 8, 6, 10]],
    "confusions": [[second, third, 0, 2]], "moves": [[first, second, 1]],
    "moved": [[document.pk, first, second, 0.87]]})
from labelling.models import Certificate, Cohort, SettledLabel
from django.utils import timezone
project.rounds.filter(number=1).update(settled_at=timezone.now(), outlook={"settled": 150, "entered": 150})
first = project.rounds.get(number=1)
Cohort.objects.create(project=project, ledger=0, number=0, round=first)
Certificate.objects.create(
    project=project, round=first, ledger=0, limit=0.05, level=0.95, n=80, k=1, ever=150, now=150, depth=0.02,
    bound=0.0756, holds=False, still_needed=43, n_open=0, n_catching_up=0, finite=False,
)
"""


@pytest.fixture(scope="module")
def team(tmp_path_factory) -> Iterator[Site]:
    """Projects without a model, each with a manager, reviewer0, and three reviewers."""
    site = Site(tmp_path_factory.mktemp("team"), WEB_CONCURRENCY="1")
    site.manage("shell", "--no-imports", "-c", MAKE + SHARE + CHANGE)
    site.passwords = {f"reviewer{n}": PASSWORD for n in range(4)}
    site.start("web")
    yield site
    site.stop()


@contextmanager
def somebody(browser: Browser, site: Site, number: int, **options) -> Iterator[Page]:
    with browser.new_context(base_url=site.url, **options) as context:
        page = context.new_page()
        log_in(page, site, f"reviewer{number}")
        yield page


def text_of(page: Page) -> str:
    return page.locator("#review .text").inner_text()


def test_two_people_a_third_and_what_the_manager_sees(browser: Browser, team: Site):
    with (
        somebody(browser, team, 0) as manager,
        somebody(browser, team, 1) as first,
        somebody(browser, team, 2) as second,
        somebody(browser, team, 3) as third,
    ):
        first.goto("/p/shared/review/")
        shared = text_of(first)
        first.keyboard.press("Enter")
        expect(first.locator(".messages")).to_contain_text("Accepted")
        label = first.locator(".recent strong").first.inner_text().removeprefix("Accepted ")

        second.goto(f"/p/shared/documents/?{urlencode({'q': shared})}")
        second.get_by_role("link", name=shared[:60]).first.click()
        expect(second.locator("main h1")).to_be_visible()
        address = second.url
        expect(second.locator("main")).not_to_contain_text("Accepted")
        second.goto("/p/shared/review/")
        assert text_of(second) == shared, "the same document, and nothing told of the first decision"
        second.keyboard.press("n")
        expect(second.locator(".messages")).to_contain_text("None of these")

        first.get_by_role("link", name="Disagreements").click()
        expect(first.locator("main")).to_contain_text("1 waits for somebody who was not one of the two.")
        third.goto("/p/shared/review/")
        assert text_of(third) != shared
        third.get_by_role("link", name="Disagreements").click()
        expect(third.locator("main")).to_contain_text(shared)
        expect(third.locator("main")).to_contain_text("reviewer1 says")
        expect(third.locator("main")).to_contain_text("reviewer2 says")
        third.get_by_role("button", name=f"It is {label}").click()
        expect(third.locator(".messages")).to_contain_text("Saved")
        third.get_by_role("button", name="Undo").click()
        third.get_by_role("button", name=f"It is {label}").click()
        expect(third.locator("main")).to_contain_text("No disagreement waits for you")
        third.goto(address)
        expect(third.locator("main")).to_contain_text("Accepted")

        team.manage("shell", "--no-imports", "-c", COUNT)
        manager.goto("/p/shared/")
        manager.get_by_role("link", name="Reviewers and agreement").click()
        row = manager.get_by_role("row").filter(has=manager.get_by_role("rowheader", name="reviewer2"))
        expect(row).to_contain_text("100.0 % of 1")
        expect(manager.locator("main")).to_contain_text("Krippendorff's alpha")
        expect(manager.locator("main")).to_contain_text("1 so far, 19 more needed")
        second.goto("/p/shared/people/")
        expect(second.locator("table").first.get_by_role("rowheader").locator("bdi")).to_have_text(["reviewer2"])
        expect(second.locator("tbody").first.get_by_role("cell")).to_have_text(["1", "1", "0.0 % of 1", "100.0 % of 1"])
        expect(second.locator("tbody .metadata").first).to_contain_text("Agrees with the judge")
        team.manage("shell", "--no-imports", "-c", AGREE)
        manager.reload()
        expect(manager.get_by_role("row", name="Everybody")).to_contain_text("81.0 %66.0 % to 92.0 %, n = 40")
        for whose in ("Everybody", "reviewer1 reviewer2"):
            expect(manager.get_by_role("row", name=whose)).to_contain_text("0.810.66 to 0.92, n = 40")


def test_who_is_there_keeps_the_document_and_who_lost_it_is_told(browser: Browser, team: Site):
    with somebody(browser, team, 1) as page:
        renewals = []
        page.on("request", lambda request: renewals.append(request.url) if "/renew/" in request.url else None)
        page.clock.install()
        page.goto("/p/kept/review/")
        page.clock.fast_forward("03:00")
        assert renewals == []
        with page.expect_response(lambda response: "/renew/" in response.url and response.status == 204):
            page.clock.fast_forward("00:30")
        page.wait_for_load_state("networkidle")

        # Nobody has touched anything for longer than the project's claim_minutes.
        page.clock.fast_forward("11:00")
        renewals.clear()
        for _ in range(3):
            page.clock.fast_forward("05:00")
        page.wait_for_timeout(300)
        assert renewals == []

        team.manage("shell", "--no-imports", "-c", GIVE_AWAY)
        page.mouse.move(200, 200)
        page.clock.fast_forward("00:06")
        expect(page.locator("#claim[role=alert]")).to_contain_text("reviewer2 is reviewing this document now.")


def test_bulk_without_javascript_is_accepted_and_undone_as_one(browser: Browser, team: Site):
    with (
        somebody(browser, team, 1, java_script_enabled=False) as page,
        somebody(browser, team, 2) as colleague,
    ):
        page.goto("/p/bulk/review/")
        page.get_by_role("link", name="In bulk").click()
        rows = page.locator("tbody tr")
        n = rows.count()
        assert n == 50, "of 54, no more at a time"
        expect(rows.first).to_contain_text("0.40")
        expect(rows.locator(".verdict")).to_have_count(n)

        ticked = rows.filter(has=page.locator("input:checked"))
        n_ticked = ticked.count()
        assert 2 < n_ticked < n, "not what the judge refused"
        decided = ticked.nth(1).locator("input").get_attribute("value")
        kept, taken = (ticked.nth(place).locator("td").nth(1).inner_text() for place in (0, 1))
        ticked.first.get_by_role("checkbox").uncheck()
        colleague.goto(f"/p/bulk/documents/{decided}/")
        colleague.locator("#label").select_option("none")
        colleague.get_by_role("button", name="Save").click()

        page.get_by_role("button", name="Accept the ticked ones").click()
        said = page.locator(".messages")
        expect(said).to_contain_text(f"Accepted {n_ticked - 2} documents")
        expect(said).to_contain_text("reviewer2 has decided on it already")
        expect(said).to_contain_text(taken[:60])
        expect(rows).to_have_count(54 - (n_ticked - 1))
        expect(rows.filter(has_text=kept)).to_have_count(1)
        page.get_by_role("button", name="Undo the last bulk").click()
        expect(said).to_contain_text("Undone")
        expect(rows).to_have_count(n)


def test_what_a_round_changed_and_the_certificate_are_at_hand(browser: Browser, team: Site):
    with somebody(browser, team, 0) as page:
        page.goto("/p/changed/")
        expect(page.locator("main")).to_contain_text("80 random audits found 1 error")
        page.get_by_role("link", name="What the decisions before round 2 changed").click()
        changes = page.locator("#changes")
        expect(changes).to_contain_text("label 0: 4 → 9 of 10 right")
        expect(changes).to_contain_text("label 1: 8 → 6 of 10 right")
        expect(changes).to_contain_text("label 1 taken for label 2: 0 → 2")
        changes.locator("summary").click()
        expect(changes.get_by_role("row").filter(has_text="0.87")).to_be_visible()

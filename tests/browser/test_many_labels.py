"""A hundred decisions on a project of 943 labels and 100,000 documents, beside four other reviewers."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Response, expect

from tests import real_data
from tests.load_review import DATA_SETS, PASSWORD, SLUG, measure
from tests.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.alone, pytest.mark.timeout(1200)]

LABELS = 943
OTHERS = 4
DECISIONS = 100
# Milliseconds from the request to the answer's first byte, the others at work; half of that on a machine that does
# nothing else: `python -m tests.load_review --documents 100000 --reviewers 4 --think 1`.
MEDIAN_MS, P95_MS = 120, 300
PAGE_BYTES = 150_000


def test_a_hundred_decisions_with_the_keyboard_alone(browser: Browser, tmp_path: Path):
    for name in DATA_SETS:
        real_data.data_set(name)
    took: list[float] = []
    sizes: dict[str, int] = {}

    def weigh(answer: Response) -> None:
        if answer.ok and not answer.url.endswith((".woff2", "htmx.min.js")):
            sizes[answer.url] = len(answer.body())

    def decide(site: Site) -> None:
        with browser.new_context(base_url=site.url, locale="en-GB") as context:
            page = context.new_page()
            page.goto("/login/")
            page.get_by_label("Username").fill(f"reviewer{OTHERS}")
            page.get_by_label("Password").fill(PASSWORD)
            page.keyboard.press("Enter")
            # Idle: what still comes of this page would be asked for its size when it is gone.
            page.wait_for_url(f"{site.url}/", wait_until="networkidle")
            page.on("response", weigh)
            page.goto(f"/p/{SLUG}/review/")
            page.remove_listener("response", weigh)
            text = page.locator("#review .text")
            for n in range(DECISIONS):
                before = text.inner_text()
                with page.expect_response("**/decide/") as said:
                    if n % 10 == 9:
                        page.keyboard.press("/")
                        page.keyboard.type("civil")
                        expect(page.locator("#labels-found [role=option]").first).to_be_visible()
                        page.keyboard.press("ArrowDown")
                        page.keyboard.press("Enter")
                    else:
                        page.keyboard.press(("Enter", "1", "n")[n % 3])
                assert said.value.status == 200
                timing = said.value.request.timing
                took.append(timing["responseStart"] - timing["requestStart"])
                expect(text).not_to_have_text(before)

    figures = measure(
        tmp_path, documents=100_000, labels=LABELS, reviewers=OTHERS, think=1.0, real=True, meanwhile=decide
    )
    p95 = statistics.quantiles(took, n=20)[-1]
    print(  # noqa: T201
        f"\nmedian {statistics.median(took):.0f} ms, p95 {p95:.0f} ms, page {sum(sizes.values()):,} bytes\n{figures}"
    )
    assert (figures.too_many, figures.lost, figures.wrong_answers) == (0, -DECISIONS, {})
    assert sum(sizes.values()) < PAGE_BYTES
    assert statistics.median(took) < MEDIAN_MS
    assert p95 < P95_MS

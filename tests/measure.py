"""The figures of the README: the whole walk on a real data set, against the real server and worker.

python -m tests.measure banking77
"""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from playwright.sync_api import Page, expect, sync_playwright

from tests import real_data
from tests.browser.conftest import FLAGS, chromium, log_in
from tests.site import Site, running_site, wait_for

N_SEEDS = 30
N_REVIEWED = 20
N_REQUESTS = 30
MINUTE = 60_000


@dataclass
class Figures:
    """What was measured. Seconds unless the name says otherwise; memory is the peak in MB."""

    seconds: dict[str, float] = field(default_factory=dict)
    rounds: list[dict] = field(default_factory=list)
    reviewed: dict[str, int] = field(default_factory=lambda: {"accepted": 0, "overridden": 0})
    web_mb: float = 0.0
    worker_mb: float = 0.0
    review_ms: list[float] = field(default_factory=list)
    exports_equal: bool = False

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - started


def walk(name: str, folder: Path) -> Figures:
    """Import, round, review, round, export, import: as a person would, and measured."""
    source = real_data.data_set(name)
    train = real_data.read(source / "train.csv")
    truth = {text.strip(): label for text, label in train}
    mixed = real_data.write(folder / "train.csv", real_data.with_seeds(train, N_SEEDS))
    figures = Figures()
    with running_site(folder) as site, sync_playwright() as playwright:
        wait_for(lambda: _rounds(site, "eastmere-contact-centre")[0]["state"] == "done", "the demo's round", 180)
        browser = playwright.chromium.launch(executable_path=chromium(playwright), args=FLAGS)
        page = browser.new_context(base_url=site.url).new_page()
        with _memory(site, figures):
            log_in(page, site, "admin")
            _new_project(page, "Measured")
            with figures.timed("import"):
                _import(page, mixed)
            page.goto("/p/measured/import/")
            with figures.timed("import holdout"):
                _import(page, source / "test.csv", holdout_percent=100)
            _set(page, retrain_after=N_REVIEWED)
            with figures.timed("round 1"):
                page.get_by_role("button", name="Start round 1").click()
                expect(page.get_by_role("link", name=re.compile("Audit now|Review now"))).to_be_visible(
                    timeout=5 * MINUTE
                )
            figures.review_ms = [_request_ms(page) for _ in range(N_REQUESTS)]
            page.goto("/p/measured/review/")
            with figures.timed(f"review of {N_REVIEWED}"):
                _review(page, truth, figures)
            with figures.timed("round 2"):
                wait_for(lambda: [r["state"] for r in _rounds(site, "measured")] == ["done", "done"], "round 2", 300)
            _round_trip(page, folder, figures)
        figures.rounds = _rounds(site, "measured")
    return figures


def report(name: str, figures: Figures) -> str:
    """The figures as a table for the README."""
    first, second = figures.rounds
    steps = ", ".join(f"{step} {seconds:.1f}" for step, seconds in first["seconds"].items())
    embedded = sum(first[part] for part in ("training_examples", "pool", "holdout_size"))
    rows = [
        (f"import of {first['pool'] + first['training_examples']:,} rows", f"{figures.seconds['import']:.1f} s"),
        (f"round 1, {embedded:,} embeddings included", f"{figures.seconds['round 1']:.0f} s ({steps})"),
        (f"round 2, {N_REVIEWED} decisions later", f"{sum(second['seconds'].values()):.1f} s"),
        ("holdout accuracy before and after", f"{first['holdout_accuracy']:.3f}, {second['holdout_accuracy']:.3f}"),
        ("uncertain documents before and after", f"{first['uncertain']:,}, {second['uncertain']:,}"),
        ("reviewed", f"{figures.reviewed['accepted']} accepted, {figures.reviewed['overridden']} overridden"),
        (
            "review page, median and slowest",
            f"{statistics.median(figures.review_ms):.0f} ms, {max(figures.review_ms):.0f} ms",
        ),
        ("memory of the web server, two processes, peak", f"{figures.web_mb:.0f} MB"),
        ("memory of the working process, peak", f"{figures.worker_mb:.0f} MB"),
        ("export", f"{figures.seconds['export']:.1f} s"),
        ("the export, imported again, exports the same", "yes" if figures.exports_equal else "NO"),
    ]
    return "\n".join([f"| {name} | |", "|---|---|", *(f"| {what} | {value} |" for what, value in rows)])


def _new_project(page: Page, name: str) -> None:
    page.goto("/projects/new/")
    page.get_by_label("Name").fill(name)
    page.get_by_role("button", name="Create project").click()


def _import(page: Page, path: Path, holdout_percent: int = 0) -> None:
    page.locator("#id_file").set_input_files(path)
    page.get_by_role("button", name="Upload and look at it").click()
    page.get_by_label("share of the labelled rows").fill(str(holdout_percent))
    page.get_by_role("button", name="Check and import").click()
    expect(page.get_by_role("heading", name="Imported")).to_be_visible(timeout=MINUTE)


def _set(page: Page, retrain_after: int) -> None:
    page.goto("/p/measured/settings/")
    page.get_by_label("Decisions a round").fill(str(retrain_after))
    page.get_by_role("button", name="Save").click()
    page.goto("/p/measured/")


def _review(page: Page, truth: dict[str, str], figures: Figures) -> None:
    """Decide on all that waits as an expert who knows the true labels: accept what is right, override what is not."""
    text = page.locator("#review .text")
    while text.count():
        before = text.inner_text()
        right = truth[before]
        if page.locator(".predicted h2 bdi").inner_text() == right:
            page.keyboard.press("Enter")
            figures.reviewed["accepted"] += 1
        else:
            page.keyboard.press("/")
            page.keyboard.type(right)
            expect(page.locator("#found button .name").first).to_have_text(right)
            page.keyboard.press("Enter")
            figures.reviewed["overridden"] += 1
        expect(text.filter(has_text=before)).to_have_count(0)


def _round_trip(page: Page, folder: Path, figures: Figures) -> None:
    with figures.timed("export"):
        first = _export(page, "measured")
    copy = folder / "export.csv"
    copy.write_bytes(first)
    _new_project(page, "Again")
    with figures.timed("import of the export"):
        _import(page, copy)
    figures.exports_equal = _rows(_export(page, "again")) == _rows(first)


def _rows(exported: bytes) -> list[dict[str, str]]:
    """All but what is certified: that is so by the audits of its own project."""
    rows = csv.DictReader(io.StringIO(exported.decode("utf-8-sig"), newline=""))
    return [{name: cell for name, cell in row.items() if name != "certified"} for row in rows]


def _export(page: Page, slug: str) -> bytes:
    return page.context.request.get(f"/p/{slug}/export.csv", timeout=MINUTE).body()


def _request_ms(page: Page) -> float:
    started = time.monotonic()
    assert page.context.request.get("/p/measured/review/").ok
    return 1000 * (time.monotonic() - started)


def _rounds(site: Site, slug: str) -> list[dict]:
    """The project's rounds, oldest first, as they stand in the database."""
    code = (
        "import json; from labelling.models import Round; "
        "fields = 'state seconds training_examples pool uncertain holdout_size holdout_accuracy'.split(); "
        f"print(json.dumps(list(Round.objects.filter(project__slug='{slug}').order_by('number').values(*fields))))"
    )
    return json.loads(site.manage("shell", "--no-imports", "-c", code))


@contextmanager
def _memory(site: Site, figures: Figures) -> Iterator[None]:
    """Watch the web server, all its processes together, and the worker's largest process."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(0.25):
            figures.web_mb = max(figures.web_mb, sum(_sizes_mb(site.web_processes)))
            figures.worker_mb = max(figures.worker_mb, max(_sizes_mb(site.worker_processes), default=0.0))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _sizes_mb(processes: Callable[[], list[psutil.Process]]) -> Iterator[float]:
    for process in processes():
        with suppress(psutil.NoSuchProcess):
            yield process.memory_full_info().pss / 2**20  # what processes share counts once


if __name__ == "__main__":
    data_set = sys.argv[1]
    with tempfile.TemporaryDirectory() as temporary:
        sys.stdout.write(report(data_set, walk(data_set, Path(temporary))) + "\n")

"""Milliseconds of CPU that each page of a project takes, by how many documents the project has.

python -m tests.measure_pages --documents 100000 300000

A project in the middle of its work is written: nine tenths of the documents predicted and settled, in the ledger, 400
audited; 400 wait for people. Each page is asked for by a manager, or a reviewer where it is theirs, three times in one
process; the quickest counts, that of SQLite included. ``--pages`` names some.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests import load_review
from tests.site import Site

SETTLED = 0.9
N_WAITING = N_AUDITS = 400
TIMES = 3
MAKE = "from tests import measure_pages; measure_pages.make({documents}, {labels})"
TELL = "from tests import measure_pages; measure_pages.tell({pages})"
# Named addresses, and what follows the first page of each.
PAGES = {
    "project_list": "",
    "project": "",
    "review": "",
    "bulk": "",
    "documents": "",
    "documents, by label": "?label={label}",
    "documents, settled": "?state=settled",
    "decisions": "",
    "labels": "",
    "label": "",
    "label_health": "",
    "confusion": "",
    "suspicions": "",
    "nowhere": "",
    "round": "",
    "people": "",
    "judge": "",
    "certificate": "",
    "releases": "",
    "export_page": "",
    "diary": "",
    "project_settings": "",
    "round_progress": "",
    "document": "",
}


def make(n_documents: int, n_labels: int) -> None:
    """Write the project: all of load_review's, of which most is settled and little waits."""
    from labelling.models import AuditDraw, Cohort, CohortMember, Project, QueueEntry, SettledLabel

    load_review.make_project(n_documents, n_labels, 2)
    project = Project.objects.get()
    round_ = project.rounds.get()
    project.rounds.update(pool=n_documents, settled_at=round_.queued_at)
    settled = round(SETTLED * n_documents)
    asked = round_.queries.order_by("rank")
    rows = list(asked.values_list("document", "label", "posterior")[:settled])
    keep = list(asked.values_list("document", flat=True)[settled : settled + N_WAITING])
    QueueEntry.objects.filter(project=project).exclude(document__in=keep).delete()
    for rank in range(4 * N_AUDITS, settled, load_review.CHUNK):
        round_.queries.filter(rank__gte=rank, rank__lt=min(rank + load_review.CHUNK, settled)).delete()
    cohort = Cohort.objects.create(project=project, ledger=project.restarts, number=1, round=round_)
    rng = random.Random(0)
    for start in range(0, len(rows), load_review.CHUNK):
        labels = SettledLabel.objects.bulk_create(
            SettledLabel(
                project=project, document_id=document, label_id=label, source="model", posterior=0.97, round=round_
            )
            for document, label, _ in rows[start : start + load_review.CHUNK]
        )
        CohortMember.objects.bulk_create(CohortMember(cohort=cohort, settled=one, key=rng.random()) for one in labels)
    members = CohortMember.objects.filter(settled__document__queries__isnull=False).select_related("settled")
    queries = {query.document_id: query for query in round_.queries.all()}
    AuditDraw.objects.bulk_create(
        AuditDraw(
            member=member,
            query=queries[member.settled.document_id],
            number=number,
            ever=len(rows),
            now=len(rows),
            depth=member.key,
        )
        for number, member in enumerate(members[:N_AUDITS], start=1)
    )


def tell(names: list[str]) -> None:
    """Print a line for each page: its name, milliseconds of CPU, queries, and status."""
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from labelling.models import Project

    settings.ALLOWED_HOSTS = ["*"]
    project = Project.objects.get()
    client = Client()
    for name in names:
        client.force_login(project.memberships.get(role="reviewer" if name in ("review",) else "manager").user)
        took = []
        with CaptureQueriesContext(connection) as queries:
            for _ in range(TIMES):
                started = time.process_time()
                response = client.get(address(project, name), follow=True)
                took.append(time.process_time() - started)
        sys.stdout.write(f"{name}\t{1000 * min(took):.0f}\t{len(queries) // TIMES}\t{response.status_code}\n")


def address(project: Any, name: str) -> str:
    from django.urls import reverse

    label = project.labels.first()
    arguments = {"label": [project.slug, label.pk], "round": [project.slug, 1], "project_list": []}
    arguments["document"] = [project.slug, project.documents.last().pk]
    view, _, _ = name.partition(",")
    return reverse(view, args=arguments.get(view, [project.slug])) + PAGES[name].format(label=label.pk)


def measured(folder: Path, documents: int, labels: int, pages: list[str]) -> Iterator[tuple[str, int, int, int]]:
    site = Site(folder)
    site.manage("shell", "--no-imports", "-c", MAKE.format(documents=documents, labels=labels))
    for line in site.manage("shell", "--no-imports", "-c", TELL.format(pages=pages)).splitlines():
        name, ms, queries, status = line.split("\t")
        yield name, int(ms), int(queries), int(status)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--labels", type=int, default=1_000)
    parser.add_argument("--pages", nargs="+", default=list(PAGES), choices=list(PAGES))
    wanted = parser.parse_args(arguments)
    figures: dict[str, list[str]] = {name: [] for name in wanted.pages}
    for n_documents in wanted.documents:
        with tempfile.TemporaryDirectory() as folder:
            for name, ms, queries, status in measured(Path(folder), n_documents, wanted.labels, wanted.pages):
                assert status == 200, name
                figures[name] += [str(ms), str(queries)]
    sizes = [f"{n:,} documents: ms, queries" for n in wanted.documents]
    sys.stdout.write(f"| page | {' | '.join(sizes)} |\n| --- |{' ---: |' * len(sizes)}\n")
    for name, row in figures.items():
        cells = [f"{row[at]}, {row[at + 1]}" for at in range(0, len(row), 2)]
        sys.stdout.write(f"| {name} | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main(sys.argv[1:])

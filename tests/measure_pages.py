"""Milliseconds of CPU that each page of a project takes, by how many documents the project has.

python -m tests.measure_pages --documents 100000 300000

A project in the middle of its work is written: nine tenths of the documents predicted and settled, in the ledger, 400
audited; 400 wait for people, who have decided on a hundred. Most of it are copies, made by the database, of its first
10,000 documents. A worker's last act, to let the database look at its tables, is done. Each page is asked for by a
manager, or a reviewer where it is theirs, three times in one process; the quickest counts, that of SQLite included.
``--pages`` names some.
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
from tests.site import Site, collect_static

SETTLED = 0.9
N_WAITING = N_AUDITS = 400
N_DECIDED = 100
PART = 10_000
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
    """Write the project: a part as load_review has it, of which most is settled and little waits, and copies of it."""
    from labelling.jobs import statistics
    from labelling.models import AuditDraw, Cohort, CohortMember, Project, QueueEntry, SettledLabel
    from labelling.services import review

    n_part = min(n_documents, PART)
    load_review.make_project(n_part, n_labels, 2)
    project = Project.objects.get()
    round_ = project.rounds.get()
    project.rounds.update(pool=n_documents, settled_at=round_.queued_at)
    settled = round(SETTLED * n_part)
    asked = round_.queries.order_by("rank")
    rows = list(asked.values_list("document", "label", "posterior")[:settled])
    keep = list(asked.values_list("document", flat=True)[settled : settled + N_WAITING])
    QueueEntry.objects.filter(project=project).exclude(document__in=keep).delete()
    for rank in range(4 * N_AUDITS, settled, load_review.CHUNK):
        round_.queries.filter(rank__gte=rank, rank__lt=min(rank + load_review.CHUNK, settled)).delete()
    cohort = Cohort.objects.create(project=project, ledger=project.restarts, number=1, round=round_)
    rng = random.Random(0)
    labels = SettledLabel.objects.bulk_create(
        SettledLabel(
            project=project, document_id=document, label_id=label, source="model", posterior=0.97, round=round_
        )
        for document, label, _ in rows
    )
    CohortMember.objects.bulk_create(CohortMember(cohort=cohort, settled=one, key=rng.random()) for one in labels)
    members = CohortMember.objects.filter(settled__document__queries__isnull=False).select_related("settled")
    queries = {query.document_id: query for query in round_.queries.all()}
    AuditDraw.objects.bulk_create(
        AuditDraw(
            member=member,
            query=queries[member.settled.document_id],
            number=number,
            ever=round(SETTLED * n_documents),
            now=round(SETTLED * n_documents),
            depth=member.key,
        )
        for number, member in enumerate(members[:N_AUDITS], start=1)
    )
    multiply(n_documents // n_part, settled)
    reviewer = project.memberships.get(role="reviewer").user
    for entry in list(project.queue.all()[:N_DECIDED]):
        review.decide(project, entry.pk, reviewer, "accept")
    statistics.gather()


def multiply(times: int, settled: int) -> None:
    """Copy each document of the pool, with its prediction, settled label or question, until there are so many times."""
    from django.db import connection, transaction
    from django.db.models import Max

    from labelling.models import CohortMember, Document, Prediction, Query, SettledLabel, Verdict

    asked = {"document__given_source": "", "rank__gte": settled}
    copied: list[tuple[Any, dict[str, str]]] = [
        (
            Document.objects.filter(given_source=""),
            {"text": "text || ' {n}'", "text_hash": "substr(text_hash, 9) || '{n:08}'"},
        ),
        (Prediction.objects.all(), {}),
        (SettledLabel.objects.all(), {}),
        (CohortMember.objects.all(), {}),
        (Query.objects.filter(**asked), {}),
        (Verdict.objects.filter(**{f"query__{name}": value for name, value in asked.items()}), {}),
    ]
    last = {rows.model: rows.model._default_manager.aggregate(last=Max("pk"))["last"] or 0 for rows, _ in copied}
    with transaction.atomic(), connection.cursor() as cursor:
        for rows, changed in copied:
            columns = {field.column: f'"{field.column}"' for field in rows.model._meta.concrete_fields} | changed
            for field in rows.model._meta.concrete_fields:
                if (target := field.related_model or (field.primary_key and rows.model)) in last:
                    columns[field.column] += f" + {{n}} * {last[target]}"
            pks, parameters = rows.filter(pk__lte=last[rows.model]).order_by().values("pk").query.sql_with_params()
            into, taken = ", ".join(f'"{column}"' for column in columns), ", ".join(columns.values())
            table = rows.model._meta.db_table
            for n in range(1, times):
                values = taken.format(n=n)
                cursor.execute(
                    f"INSERT INTO {table} ({into}) SELECT {values} FROM {table} WHERE id IN ({pks})", parameters
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
    collect_static()
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

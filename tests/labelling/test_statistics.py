"""What the database knows of its tables once a worker is done."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from labelling.jobs import statistics
from labelling.models import Decision, Document, GoldAnswer
from tests.factories import import_rows, make_project

pytestmark = pytest.mark.django_db

N_DOCUMENTS = 5_000
KNOWN = {
    "sqlite": "SELECT max(stat) FROM sqlite_stat1 WHERE tbl = 'labelling_document'",
    "postgresql": "SELECT reltuples FROM pg_class WHERE relname = 'labelling_document'",
}


def test_a_question_about_few_rows_begins_at_them_and_not_at_all_documents():
    project = make_project()
    Document.objects.bulk_create(
        Document(project=project, text=f"{n}", text_hash=f"{n:064}") for n in range(N_DOCUMENTS)
    )
    import_rows(project, [("one more", "")])
    with connection.cursor() as cursor:
        cursor.execute(KNOWN[connection.vendor])
        [said] = cursor.fetchone()
    assert str(said).startswith(f"{N_DOCUMENTS + 1}")
    for model in (Decision, GoldAnswer) if connection.vendor == "sqlite" else ():
        plan = model.objects.filter(document__project=project).order_by().explain()
        assert model._meta.db_table in plan.splitlines()[0], "though there are none yet"


def test_a_database_that_is_busy_is_left_alone(monkeypatch):
    def busy(*args):
        raise OperationalError("database is locked")

    monkeypatch.setattr(connection, "cursor", busy)
    statistics.gather()

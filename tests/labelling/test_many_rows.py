"""What SQLite takes in one query is limited: nothing counts on a list of all of a project's documents fitting in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from labelling.models import Call, Document, Project, Query, Verdict
from labelling.services import removals
from tests.factories import import_rows, make_project, make_user, run_round

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL takes a list as one value"),
]

# What goes in one piece is smaller everywhere.
VARIABLES = 2_100
MANY = 2_400


@contextmanager
def few_variables() -> Iterator[None]:
    """Fewer variables in a query than there are rows."""
    sqlite = connection.connection
    before = sqlite.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, VARIABLES)
    try:
        yield
    finally:
        sqlite.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, before)


@pytest.fixture
def project() -> Project:
    project = make_project(make_user("ann"))
    import_rows(project, [(f"{fruit} {fruit} {n}", fruit) for fruit in ("apple", "plum") for n in range(4)])
    return project


def test_a_large_import_is_learnt_and_undone(project):
    large = import_rows(project, [(f"{fruit} {n}", "") for fruit in ("apple", "plum") for n in range(MANY // 2)])
    with few_variables():
        run_round(project)
        run_round(project)
        assert project.settled_labels.count() > VARIABLES
        assert removals.undo_import(large, project.memberships.get().user) == MANY
    assert project.documents.count() == 8


def test_many_documents_are_deleted(project):
    import_rows(project, [(f"text {n}", "") for n in range(MANY)])
    with few_variables():
        removals.delete_documents(project, project.memberships.get().user, project.documents.all(), "")
    assert not project.documents.exists()


def test_a_project_goes_with_all_its_calls(project):
    import_rows(project, [("apple", "")])
    round_ = run_round(project)
    document, label = project.documents.first(), project.labels.first()
    query = Query.objects.create(
        round=round_,
        document=document,
        label=label,
        rank=0,
        reason="review",
        probability=1,
        posterior=1,
        entropy=0,
        candidates=[],
        examples=[],
        neighbours=[],
    )
    Call.objects.bulk_create(
        Call(project=project, round=round_, label=label, model="m", purpose="definition") for _ in range(MANY)
    )
    Verdict.objects.create(query=query, verdict="valid", call=Call.objects.first())
    with few_variables():
        removals.delete_project(project, project.memberships.get().user, project.name)
    assert not any(model.objects.exists() for model in (Call, Document, Project, Query, Verdict))

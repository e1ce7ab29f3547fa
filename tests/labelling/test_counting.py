"""Counts of large projects are kept until many documents change, or it is their time; of small ones nothing is."""

from __future__ import annotations

import pytest
from django.core.cache import cache
from django.urls import reverse
from django.utils import timezone

from labelling.models import CsvImport, DiaryEntry, Document, Round
from labelling.services import counting, diary
from labelling.services.progress import counts
from labelling.services.projects import set_member
from tests.factories import make_project, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _empty_cache():
    cache.clear()
    yield
    cache.clear()


def project_of(size: int):
    project = make_project()
    Round.objects.create(project=project, number=1, state="done", pool=size, settled_at=timezone.now())
    add(project)
    return project


def add(project) -> None:
    n = project.documents.count()
    Document.objects.create(project=project, text=f"text {n}", text_hash=str(n))


def test_a_small_project_is_counted_to_the_document():
    project = project_of(counting.LARGE - 1)
    assert counts(project).open == 1
    add(project)
    assert counts(project).open == 2


def _a_round(project):
    Round.objects.create(project=project, number=2, state="done", pool=counting.LARGE, settled_at=timezone.now())


def _an_import(project):
    CsvImport.objects.create(project=project, finished_at=timezone.now())


def _an_act(project):
    diary.write(DiaryEntry.Act.SETTINGS, project)


@pytest.mark.parametrize("change", [_a_round, _an_import, _an_act])
def test_a_large_one_is_counted_again_after_what_changes_much(monkeypatch, change):
    monkeypatch.setattr(counting, "TIMES_AS_LONG", 1_000_000)
    project = project_of(counting.LARGE)
    assert counts(project).open == 1
    add(project)
    assert counts(project).open == 1, "as it was counted last"
    change(project)
    assert counts(project).open == 2


def test_and_when_it_is_time(monkeypatch):
    monkeypatch.setattr(counting, "TIMES_AS_LONG", 0)
    project = project_of(counting.LARGE)
    assert counts(project).open == 1
    add(project)
    assert counts(project).open == 2


def test_many_projects_are_asked_about_at_once_and_only_what_is_missing_is_counted(monkeypatch):
    monkeypatch.setattr(counting, "TIMES_AS_LONG", 1_000_000)
    asked = []

    def count(keys):
        asked.append(sorted(keys))
        return {pk: pk for pk in keys}

    large, small = project_of(counting.LARGE).pk, project_of(1).pk
    for _ in range(2):
        assert counting.kept([large, small], "any", count) == {large: large, small: small}
    assert asked == [[large, small], [small]]
    assert counting.kept([], "any", count) == {}


def test_pages_show_what_is_kept(client, monkeypatch):
    monkeypatch.setattr(counting, "TIMES_AS_LONG", 1_000_000)
    project, manager = project_of(counting.LARGE), make_user()
    set_member(project, manager, "manager")
    client.force_login(manager)
    for page in ("project", "certificate", "nowhere", "deliver"):
        for _ in range(2):
            assert client.get(reverse(page, args=[project.slug])).status_code == 200

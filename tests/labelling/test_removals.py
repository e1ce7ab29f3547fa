"""The way back: what goes is counted first, goes as a whole, and is in the log."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from labelling.models import (
    Call,
    ComparedAnswer,
    Comparison,
    CsvImport,
    Decision,
    DiaryEntry,
    Document,
    Embedding,
    Label,
    Project,
    ProposedLabel,
    Query,
    Release,
    Row,
)
from labelling.services import Refused, imports, removals
from labelling.services.diary import Act
from labelling.services.review import relabel
from tests.factories import csv_file, fruit_project, import_rows, make_project, make_user, run_round

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann() -> User:
    return make_user("ann")


@pytest.fixture
def client(client: Client, ann: User) -> Client:
    client.force_login(ann)
    return client


@pytest.fixture
def project(ann: User) -> Project:
    return fruit_project(manager=ann, name="Fruit", batch_size=5, retrain_after=5)


def address(project: Project, name: str, *arguments: object) -> str:
    return reverse(name, args=[project.slug, *arguments])


# Imports


def test_an_import_is_undone_but_for_what_people_decided_and_others_brought(project, ann, client, settings):
    before = set(project.documents.values_list("text", flat=True))
    rows = [("plum one", "plum"), ("plum two", "plum"), ("kiwi", "kiwi"), ("pear", ""), ("fig", ""), ("pear", "")]
    done = import_rows(project, [(str(n), *row) for n, row in enumerate(rows)], header=("id", "text", "label"))
    again = import_rows(project, [("x", "fig", "")], header=("id", "text", "label"))
    pear = project.documents.get(text="pear")
    relabel(pear, ann, project.labels.get(name="kiwi"))
    undoing = removals.undoing(done)
    assert (undoing.n_documents, undoing.n_lines, undoing.n_labels) == (3, 1, 2)
    assert (undoing.n_decided, undoing.n_shared, undoing.decided) == (1, 1, [pear])
    page = client.get(address(project, "undo_import", done.pk)).content.decode()
    for said in ("3 documents with their labels", "1 document stays, as people decided", "pear", "2 labels"):
        assert said in page
    file = Path(settings.MEDIA_ROOT) / done.file.name
    assert file.exists()
    assert "Undone on" in client.post(address(project, "undo_import", done.pk), follow=True).content.decode()
    assert set(project.documents.values_list("text", flat=True)) == before | {"pear", "fig"}
    assert set(project.labels.values_list("name", flat=True)) >= {"kiwi", "apple"}
    assert not project.labels.filter(name="plum").exists()
    assert Row.objects.filter(csv_import=again).exists()
    assert not file.exists()
    entry = DiaryEntry.objects.get(act=Act.IMPORT_UNDONE)
    assert (entry.user, entry.before["documents"]) == (ann, 3)
    done.refresh_from_db()
    for no_more in (lambda: removals.undo_import(done, ann), lambda: imports.retry(done)):
        with pytest.raises(Refused):
            no_more()
    assert "Import undone" in client.get(address(project, "diary")).content.decode()
    run_round(project)


def test_an_import_that_wrote_nothing_or_runs_is_not_undone(project, ann):
    waiting = imports.upload(project, csv_file([("new", "")]), user=None)
    with pytest.raises(Refused, match="nothing to undo"):
        removals.undo_import(waiting, ann)
    imports.start(waiting)
    with pytest.raises(Refused, match="running"):
        removals.undo_import(CsvImport.objects.filter(project=project, state="done").get(), ann)
    assert not DiaryEntry.objects.filter(act=Act.IMPORT_UNDONE).exists()


# Documents


def test_a_document_goes_with_its_vector_and_evidence_and_the_costs_stay(project, ann, client):
    run_round(project)
    document = project.queue.first().document
    relabel(document, ann, project.labels.first())
    query = document.queries.first()
    Call.objects.create(project=project, query=query, purpose="verdict", model="m", answer={"reason": document.text})
    comparison = Comparison.objects.create(project=project, state=Comparison.State.DONE)
    ComparedAnswer.objects.create(comparison=comparison, query=query)
    proposals = [ProposedLabel.objects.create(project=project, name=str(n), size=n) for n in (1, 2)]
    proposals[0].documents.add(document)
    proposals[1].documents.add(document, project.documents.exclude(pk=document.pk).first())
    proposals[1].neighbours.add(document)
    other = make_project()
    import_rows(other, [(document.text, ""), ("its own", "")])
    removals.delete_documents(other, ann, other.documents.filter(text=document.text), "")
    assert Embedding.objects.filter(text_hash=document.text_hash).exists(), "this project has the text still"
    page = client.post(address(project, "delete_documents"), {"document": document.pk})
    assert "On 1 of them people decided." in page.content.decode()
    assert Document.objects.filter(pk=document.pk).exists()
    client.post(address(project, "delete_documents"), {"document": document.pk, "confirmed": 1})
    assert not Document.objects.filter(pk=document.pk).exists()
    assert not Embedding.objects.filter(text_hash=document.text_hash).exists()
    assert not Decision.objects.filter(document=document.pk).exists()
    assert not Query.objects.filter(document=document.pk).exists()
    call = Call.objects.get()
    assert (call.query, call.answer) == (None, None)
    assert not any(csv_import.file for csv_import in project.imports.all())
    assert not ComparedAnswer.objects.exists()
    assert list(ProposedLabel.objects.values_list("name", "size")) == [("2", 1)]
    assert project.diary.get(act=Act.DOCUMENTS_DELETED).before["decisions"] == 1


def test_documents_are_deleted_by_filter_as_they_were_counted(project, ann, client):
    where = address(project, "delete_documents") + "?q=mango+mango+in+the+pool&show=pool"
    assert "5 documents with all that is known" in client.get(where).content.decode()
    client.post(where, {"all": "", "confirmed": 4})
    assert project.documents.count() == 36, "not what was counted"
    client.post(where, {"all": "", "confirmed": 5})
    assert project.documents.count() == 31
    assert project.diary.get(act=Act.DOCUMENTS_DELETED).about == "Without a label, mango mango in the pool"
    client.post(address(project, "delete_documents"))
    client.post(where, {"confirmed": 31})
    assert project.documents.count() == 31, "nothing was ticked"
    stranger = make_project()
    import_rows(stranger, [("theirs", "")])
    client.post(address(project, "delete_documents"), {"document": stranger.documents.get().pk, "confirmed": 1})
    assert stranger.documents.exists()


def test_without_its_audits_the_ledger_begins_anew(project, ann):
    run_round(project)
    run_round(project)
    audited = project.documents.filter(settled_labels__memberships__draw__isnull=False)
    assert removals.loss(project, audited).n_audited == audited.count() > 0
    removals.delete_documents(project, ann, audited, "audited")
    project.refresh_from_db()
    assert project.restarts == 1
    run_round(project)


# Projects


def test_an_archived_project_is_listed_apart_and_changed_by_nobody(project, ann, client):
    client.post(address(project, "remove_project"), {"archive": ""})
    page = client.get(reverse("project_list"))
    assert list(page.context["page"].object_list) == []
    assert list(page.context["archived"]) == [project]
    refused = client.post(address(project, "start_round"), follow=True)
    assert "This project is archived" in refused.content.decode()
    assert not project.rounds.exists()
    client.post(address(project, "remove_project"), {"reopen": ""})
    assert list(client.get(reverse("project_list")).context["page"].object_list) == [project]


def test_a_project_goes_once_its_name_is_typed(project, ann, client, settings):
    run_round(project)
    relabel(project.queue.first().document, ann, project.labels.first())
    release = Release.objects.create(project=project, number=1, state="done")
    release.folder.mkdir(parents=True)
    assert project.model_file.exists()
    page = client.get(address(project, "remove_project")).content.decode()
    assert "36 documents with all that is known" in page
    assert "1 release with its files" in page
    refused = client.post(address(project, "remove_project"), {"name": "Fruits"}, follow=True)
    assert "as it is written here" in refused.content.decode()
    client.post(address(project, "remove_project"), {"name": "Fruit"})
    assert not Project.objects.exists()
    assert not Label.objects.exists()
    assert not Document.objects.exists()
    assert not release.folder.exists()
    assert not project.model_file.exists()
    assert not list(Path(settings.MEDIA_ROOT, "imports").iterdir())
    entry = DiaryEntry.objects.get(act=Act.PROJECT_DELETED)
    assert (entry.project, entry.about, entry.before["documents"]) == (None, "Fruit", 36)


# Vectors


def test_vectors_that_no_document_needs_are_swept(project, capsys):
    run_round(project)
    needed = set(project.documents.values_list("text_hash", flat=True))
    Embedding.objects.create(text_hash="f" * 64, encoder="another", vector=b"", n_windows=1)
    call_command("sweep_vectors")
    assert "vectors were deleted" in capsys.readouterr().out
    assert set(Embedding.objects.values_list("text_hash", flat=True)) == needed
    round_ = run_round(project)
    Project.objects.get().rounds.filter(pk=round_.pk).update(state="running")
    with pytest.raises(CommandError, match="running"):
        call_command("sweep_vectors")

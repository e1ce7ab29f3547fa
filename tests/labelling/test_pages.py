"""What the pages say, and what their forms do."""

from __future__ import annotations

import io
import re
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from django.utils import timezone

from labelling.models import CsvImport, Decision, JudgeFailure, Label, Project, Query, QueueEntry, Round, Worker
from labelling.services import claims, labels, review, rounds
from tests.factories import (
    account,
    fresh,
    fruit_project,
    import_doubtful,
    import_rows,
    make_project,
    make_user,
    run_round,
    typed,
)

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    manager = account("manager", is_staff=True)
    project = fruit_project(manager=manager, judge="neighbours", batch_size=20, retrain_after=0)
    import_doubtful(project)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out):
    return fresh(laid_out)


@pytest.fixture
def manager():
    return account("manager", is_staff=True)


@pytest.fixture
def client(client, manager):
    client.force_login(manager)
    return client


def page(client, name: str, *args: object, **query: str) -> str:
    response = client.get(reverse(name, args=args), query)
    assert response.status_code == 200
    return response.content.decode()


def judged(project) -> QueueEntry:
    """What waits next has a verdict; it is made so."""
    entry = project.queue.exclude(query__reason__in=Query.AUDITS).filter(query__verdict__isnull=False).first()
    QueueEntry.objects.filter(pk=entry.pk).update(priority=-(10**17))
    return entry


def said(response) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


# The worker


def test_every_page_says_that_no_worker_runs(client, project):
    for name, args in (("project_list", []), ("project", [project.slug]), ("review", [project.slug])):
        assert "No worker is running" in page(client, name, *args)


def test_a_living_worker_ends_the_alarm_and_a_dead_one_brings_it_back(client, project):
    worker = Worker.objects.create(host="here", pid=1)
    assert "No worker is running" not in page(client, "project", project.slug)
    Worker.objects.filter(pk=worker.pk).update(seen_at=timezone.now() - timedelta(minutes=1))
    assert "No worker is running" in page(client, "worker_status")


# The project page


def test_an_empty_project_says_what_to_do(client, manager):
    project = make_project(manager)
    assert "Bring in your texts" in page(client, "project", project.slug)
    assert "Nothing waits for you" in page(client, "review", project.slug)


def test_the_project_page_shows_each_rounds_figures(client, project, manager):
    import_rows(project, [("another apple", "apple"), ("another mango", "mango")], holdout_percent=100)
    review.decide(project, claims.claim_next(project, manager).pk, manager, "accept")
    run_round(project)
    text = page(client, "project", project.slug)
    for figure in ("Round 2", "Holdout accuracy", "100.0 %", "17", '"holdout_accuracy": 1.0'):
        assert figure in text


def test_a_running_round_shows_its_step_and_can_be_cancelled(client, project):
    round_ = rounds.start_round(project)
    Round.objects.filter(pk=round_.pk).update(
        state="running", step="fit", done=3, total=8, lease_until=timezone.now() + timedelta(minutes=1)
    )
    assert "Training the classifiers, 3 of 8" in page(client, "round_progress", project.slug, round="2")
    client.post(reverse("cancel_round", args=[project.slug, round_.number]))
    assert "was cancelled while training the classifiers" in page(client, "project", project.slug)


def test_when_the_round_has_ended_the_page_is_loaded_again(client, project):
    address = reverse("round_progress", args=[project.slug])
    assert client.get(address, {"round": 1})["HX-Refresh"] == "true"
    rounds.start_round(project)
    assert client.get(address, {"round": 1})["HX-Refresh"] == "true", "the next round is none of the first one's page"


def test_an_interrupted_round_says_so(client, project):
    round_ = rounds.start_round(project)
    Round.objects.filter(pk=round_.pk).update(
        state="running", step="predict", lease_until=timezone.now() - timedelta(seconds=1)
    )
    assert "interrupted while predicting the pool" in page(client, "round_progress", project.slug, round="2")


def test_a_failed_round_says_why_and_goes_on(client, project, messages):
    round_ = rounds.start_round(project)
    Round.objects.filter(pk=round_.pk).update(state="failed", step="judge", error="Set the key.")
    text = page(client, "project", project.slug)
    assert "Set the key." in text
    assert "Go on with round 2" in text
    client.post(reverse("go_on_round", args=[project.slug, 2]))
    round_.refresh_from_db()
    assert round_.state == "queued"


def test_the_reason_to_stop_is_shown(client, project):
    Round.objects.update(stop_reason="Nothing more is gained.")
    project.queue.all().delete()
    assert "Nothing more is gained." in page(client, "project", project.slug)


def test_starting_a_round_that_cannot_start_says_why(client, manager):
    project = make_project(manager)
    response = client.post(reverse("start_round", args=[project.slug]))
    assert "At least two labels" in said(response)


def test_the_judge_is_asked_again_about_what_it_left_open(client, project):
    round_ = project.rounds.get()
    query = judged(project).query
    query.verdict.delete()
    JudgeFailure.objects.create(query=query, reason="The judge's rate limit was hit.")
    assert "1 unanswered" in page(client, "project", project.slug)
    assert "rate limit was hit" in page(client, "round", project.slug, 1, verdict="failed")
    client.post(reverse("retry_judge", args=[project.slug, 1]))
    assert not JudgeFailure.objects.exists()
    round_.refresh_from_db()
    assert round_.state == "queued"


# Review


def test_the_review_page_has_all_that_decides(client, project, manager):
    entry = judged(project)
    labels.define(Label.objects.get(pk=entry.query.predicted_id), "Use when it is an apple.", manager)
    text = re.sub("</?mark[^>]*>", "", page(client, "review", project.slug))
    for part in (
        entry.document.text,
        f"Nearest examples of {Label.objects.get(pk=entry.query.predicted_id)}",
        entry.query.verdict.reason,
        "offline: nearest examples",
        "Accept",
        "None of these",
        "Skip",
        "Search all labels",
        "Use when it is an apple.",
    ):
        assert part in text


def test_a_decision_without_htmx_is_saved_and_leads_to_the_next(client, project, manager):
    page(client, "review", project.slug)
    entry = project.queue.get(claimed_by=manager)
    response = client.post(reverse("decide", args=[project.slug, entry.pk]), {"choice": "accept"}, follow=True)
    assert "Accepted" in response.content.decode()
    assert Decision.objects.get().document == entry.document
    assert project.queue.get(claimed_by=manager) != entry


def test_a_decision_with_htmx_brings_the_next_document(client, project, manager):
    page(client, "review", project.slug)
    entry = project.queue.get(claimed_by=manager)
    other = project.labels.exclude(pk=entry.query.label_id)[0]
    response = client.post(
        reverse("decide", args=[project.slug, entry.pk]),
        {"choice": f"override:{other.pk}"},
        headers={"HX-Request": "true"},
    )
    text = response.content.decode()
    assert text.lstrip().startswith('<div id="review"')
    assert f"Changed to {other}" in text


def test_a_conflict_answers_409_names_the_other_and_shows_the_next(client, project, manager):
    page(client, "review", project.slug)
    entry = project.queue.get(claimed_by=manager)
    project.queue.update(claimed_until=timezone.now() - timedelta(seconds=1))
    bob = make_user("bob")
    claims.claim_next(project, bob)
    review.decide(project, entry.pk, bob, "none")
    response = client.post(reverse("decide", args=[project.slug, entry.pk]), {"choice": "accept"})
    assert response.status_code == 409
    text = response.content.decode()
    assert "bob has decided on this document already" in text
    assert 'data-key="Enter"' in text


def test_undo_brings_the_document_back(client, project, manager):
    page(client, "review", project.slug)
    entry = project.queue.get(claimed_by=manager)
    client.post(reverse("decide", args=[project.slug, entry.pk]), {"choice": "accept"})
    decision = {"decision": Decision.objects.get().pk}
    response = client.post(reverse("undo", args=[project.slug]), decision, follow=True)
    assert "Undone" in response.content.decode()
    assert project.queue.get(claimed_by=manager).document == entry.document
    for again in (decision, {}, {"decision": "²"}):
        response = client.post(reverse("undo", args=[project.slug]), again, follow=True)
        assert "nothing to undo" in response.content.decode()


def test_another_answer_from_an_old_page_is_a_conflict(client, project, manager):
    page(client, "review", project.slug)
    entry = project.queue.get(claimed_by=manager)
    address = reverse("decide", args=[project.slug, entry.pk])
    client.post(address, {"choice": "accept"})
    again = client.post(address, {"choice": "accept"}, follow=True)
    assert (again.status_code, Decision.objects.count()) == (200, 1)
    other = client.post(address, {"choice": "none"}, follow=True)
    assert other.status_code == 409
    assert "Undo that first" in other.content.decode()


@pytest.mark.parametrize("odd", ["²", "9" * 30, "9" * 5_000, "-1", "1.5", "x"])
def test_odd_numbers_are_no_labels(client, project, odd):
    page(client, "documents", project.slug, label=odd)
    document = project.documents.first()
    response = client.post(reverse("document", args=[project.slug, document.pk]), {"label": odd}, follow=True)
    assert "Choose a label." in response.content.decode()
    decide = reverse("decide", args=[project.slug, project.queue.first().pk])
    assert client.post(decide, {"choice": f"override:{odd}"}).status_code == 400


@pytest.mark.parametrize("name", ["documents", "labels", "search_labels"])
def test_a_search_for_a_nul_finds_what_it_would_without(client, project, name):
    page(client, name, project.slug, q="app\0le")


def test_the_page_promises_a_round_only_when_one_would_start(client, manager):
    project = fruit_project(manager=manager, batch_size=5, retrain_after=3)
    import_doubtful(project)
    assert "The first round is started by hand" in page(client, "project", project.slug)
    round_ = run_round(project)
    assert "starts by itself after 3 more decisions" in page(client, "project", project.slug)
    Round.objects.filter(pk=round_.pk).update(state="cancelled")
    assert "has to be started by hand" in page(client, "project", project.slug)


def test_a_missing_verdict_says_why(client, project):
    query = judged(project).query
    query.verdict.delete()
    JudgeFailure.objects.create(query=query, reason="The judge did not answer in time.")
    assert "The judge did not answer in time." in page(client, "review", project.slug)


def test_what_the_judge_suggests_is_among_the_alternatives(client, project, manager):
    entry = judged(project)
    stranger = Label.objects.create(project=project, name="kiwi")
    entry.query.verdict.better_label = stranger
    entry.query.verdict.save()
    text = page(client, "review", project.slug)
    assert f'value="override:{stranger.pk}"' in text


def test_search_works_without_htmx(client, project):
    assert "override:" in page(client, "review", project.slug, q="mango")


def test_markup_in_a_text_is_shown_not_run(client, manager):
    project = fruit_project(manager=manager, batch_size=30)
    attack = "<script>alert(1)</script> apple apple"
    import_rows(project, [(attack, ""), ("<b>apple</b> apple apple", "apple")])
    run_round(project)
    for _ in range(25):
        text = page(client, "review", project.slug)
        assert "<script>alert" not in text
        assert "<b>apple" not in text
        review.decide(project, project.queue.get(claimed_by=manager).pk, manager, "accept")
        if not project.queue.exists():
            break
    assert "<script>alert" not in page(client, "documents", project.slug, q="alert")


# Documents and labels


@pytest.mark.parametrize(
    ("show", "n"), [("", 60), ("pool", 44), ("seed", 16), ("human", 0), ("holdout", 0), ("skipped", 0)]
)
def test_documents_are_filtered(client, project, show, n):
    assert client.get(reverse("documents", args=[project.slug]), {"show": show}).context["page"].n == n


def test_documents_are_searched_and_shown_by_label(client, project):
    apple = project.labels.get(name="apple")
    found = client.get(reverse("documents", args=[project.slug]), {"q": "APPLE"}).context["page"].n
    labelled = client.get(reverse("documents", args=[project.slug]), {"label": apple.pk}).context["page"].n
    assert (found, labelled) == (21, 4)


def test_a_skipped_document_is_found_and_decided_on_its_own_page(client, project, manager):
    entry = claims.claim_next(project, manager)
    review.decide(project, entry.pk, manager, "skip")
    assert entry.document.text in page(client, "documents", project.slug, show="skipped")
    address = reverse("document", args=[project.slug, entry.document_id])
    client.post(address, {"label": "none"})
    assert entry.document.text not in page(client, "documents", project.slug, show="skipped")
    assert "None of these" in page(client, "document", project.slug, entry.document_id)


@pytest.mark.parametrize("choice", ["", "999999", "x"])
def test_a_label_that_is_none_changes_nothing(client, project, choice):
    document = project.documents.first()
    client.post(reverse("document", args=[project.slug, document.pk]), {"label": choice})
    assert not Decision.objects.exists()


def test_a_definition_is_versioned(client, project, manager):
    label = project.labels.get(name="apple")
    for text in ("First.", "Second.", "Second."):
        client.post(reverse("label", args=[project.slug, label.pk]), {"name": "apple", "definition": text})
    label.refresh_from_db()
    assert (label.definition, label.definition_version) == ("Second.", 2)
    assert [d.text for d in label.definitions.all()] == ["Second.", "First."]
    assert "Version 2" in page(client, "label", project.slug, label.pk)


def test_a_label_name_is_unique_in_its_project(client, project):
    response = client.post(reverse("create_label", args=[project.slug]), {"name": " apple ", "definition": ""})
    assert "has a label of this name already" in response.content.decode()
    client.post(reverse("create_label", args=[project.slug]), {"name": "kiwi", "definition": "Green."})
    assert project.labels.get(name="kiwi").definition == "Green."


def test_a_label_in_use_cannot_be_deleted_an_unused_one_can(client, project):
    apple, kiwi = project.labels.get(name="apple"), Label.objects.create(project=project, name="kiwi")
    assert "in use" in said(client.post(reverse("delete_label", args=[project.slug, apple.pk])))
    client.post(reverse("delete_label", args=[project.slug, kiwi.pk]))
    assert set(project.labels.values_list("name", flat=True)) == {"apple", "banana", "cherry", "mango"}


def test_the_label_list_shows_examples_and_the_holdout(client, project):
    import_rows(project, [("one more apple apple", "apple")], holdout_percent=100)
    run_round(project)
    text = page(client, "labels", project.slug)
    assert "1 of 1" in text
    assert "4 labels have no approved definition" in text
    assert "apple" not in page(client, "labels", project.slug, q="cherry").split("<main")[1].split("<table>")[1]


def test_definitions_go_out_and_come_in_as_csv(client, project):
    rows = "name,definition\napple,Red or green.\nkiwi,Brown.\nbanana,\n".encode("utf-16")
    address = reverse("import_definitions", args=[project.slug])
    client.post(address, {"file": SimpleUploadedFile("labels.csv", rows)})
    found = dict(project.labels.values_list("name", "definition"))
    assert (found["apple"], found["kiwi"], found["banana"]) == ("Red or green.", "Brown.", "")
    exported = client.get(reverse("export_definitions", args=[project.slug])).content.decode()
    assert "Red or green." in exported
    client.post(address, {"file": SimpleUploadedFile("labels.csv", exported.encode())})
    assert project.labels.get(name="apple").definition_version == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"fruit\napple\n", "column"),
        (b"", "empty"),
        (b"name,definition\n,nameless\n", "no name"),
        (b"name,more\napple,x\n", "no column definition"),
        (b"name,definition\n", "no rows"),
        (b"name,definition\nkiwi,a\nkiwi,b\n", "More than one row: kiwi"),
        (b"name,definition\nkiwi\n", "Line 2, column definition: The row has 1 of 2 columns."),
        (b'name,definition\nkiwi,"brown\nfig,x\n', "Line 2: A quotation mark is opened here"),
        (b"name,definition\nki\0wi,x\n", "NUL"),
        (b"name,definition\n" + 300 * b"k" + b",x\n", "300 characters"),
        (b"name,definition\nkiwi," + 1_100_000 * b"x" + b"\n", "Line 2"),
        (b"%PDF-1.7 x", "PDF"),
    ],
)
def test_bad_definition_files_say_what_is_wrong_and_change_nothing(client, project, content, reason):
    address = reverse("import_definitions", args=[project.slug])
    response = client.post(address, {"file": SimpleUploadedFile("labels.csv", content)})
    assert reason in response.content.decode()
    assert project.labels.count() == 4


# Import pages


def upload(client, project, content: bytes, name="texts.csv"):
    address = reverse("upload", args=[project.slug])
    return client.post(address, {"file": SimpleUploadedFile(name, content)}, follow=True)


def test_definitions_that_look_like_formulas_go_out_tame_and_come_back(client, project):
    label = project.labels.get(name="apple")
    labels.define(label, "=1+1", None)
    address = reverse("export_definitions", args=[project.slug])
    exported = client.get(address).content
    assert exported.startswith(b"\xef\xbb\xbf")
    assert b"'=1+1" in exported
    client.post(
        reverse("import_definitions", args=[project.slug]), {"file": SimpleUploadedFile("labels.csv", exported)}
    )
    label.refresh_from_db()
    assert (label.definition, label.definition_version) == ("=1+1", 1)


def test_an_upload_is_previewed_with_guessed_columns(client, project):
    text = upload(client, project, "Kategorie;Nachricht\nObst;Äpfel für alle\n".encode("cp1252")).content.decode()
    assert "Äpfel für alle" in text
    csv_import = CsvImport.objects.first()
    assert (csv_import.encoding, csv_import.delimiter, csv_import.text_column) == ("cp1252", ";", "Nachricht")


def test_another_delimiter_shows_the_file_anew(client, project):
    response = upload(client, project, b"text,label\none; two,a\n")
    address = response.redirect_chain[-1][0]
    data = {"encoding": "utf-8", "delimiter": ";", "has_header": "on"}
    text = client.post(address, data, headers={"HX-Request": "true"}).content.decode()
    assert "text,label</th>" in text
    assert CsvImport.objects.first().delimiter == ",", "looking changes nothing"


@pytest.mark.parametrize(("content", "reason"), [(b"", "empty"), (b"\x89PNG\r\n", "PNG"), (b"PK\x03\x04xl", "Excel")])
def test_a_file_that_is_no_csv_is_turned_away_with_a_reason(client, project, content, reason):
    assert reason in upload(client, project, content).content.decode()
    assert not CsvImport.objects.filter(state="waiting").exists()


def test_a_file_that_is_too_large_is_turned_away(client, project, settings):
    settings.MAX_UPLOAD_MB = 0
    assert "at most" in upload(client, project, b"text\nx\n").content.decode()


def test_another_encoding_keeps_what_was_chosen(client, project):
    upload(client, project, b"id,ticket,message\n1,a,b\n")
    chosen = {"encoding": "cp1252", "delimiter": ",", "has_header": "on", "text_column": "message"}
    chosen |= {"id_column": "ticket", "holdout_percent": "33", "keep_good_rows": "on"}
    form = client.post(CsvImport.objects.first().get_absolute_url(), chosen).context["form"]
    kept = {name: form[name].value() for name in ("id_column", "text_column", "holdout_percent", "keep_good_rows")}
    assert kept == {
        "id_column": "ticket",
        "text_column": "message",
        "holdout_percent": "33",
        "keep_good_rows": True,
    }


def test_a_mapping_started_in_another_tab_is_loaded_anew(client, project):
    upload(client, project, b"text,label\na,b\n")
    csv_import = CsvImport.objects.first()
    CsvImport.objects.update(state="done", step="write")
    response = client.post(csv_import.get_absolute_url(), {"encoding": "cp1252"}, headers={"HX-Request": "true"})
    assert response["HX-Refresh"] == "true"


def test_one_column_cannot_be_text_and_label(client, project):
    address = upload(client, project, b"text,label\nx,a\n").redirect_chain[-1][0]
    data = {
        "encoding": "utf-8",
        "delimiter": ",",
        "has_header": "on",
        "text_column": "text",
        "label_column": "text",
        "holdout_percent": "0",
        "start": "",
    }
    assert "one was chosen twice" in client.post(address, data).content.decode()


def test_rejected_rows_are_listed_and_can_be_downloaded(client, project):
    csv_import = import_rows(project, [("good", ""), ("", "apple")])
    text = page(client, "import", project.slug, csv_import.pk)
    for part in ("1 row can", "Import the 1 good row", "The text is empty."):
        assert part in text
    download = client.get(reverse("rejected_rows", args=[project.slug, csv_import.pk]))
    assert "3,text,The text is empty." in b"".join(download.streaming_content).decode()


def test_nothing_rejected_is_nothing_to_download(client, project):
    csv_import = import_rows(project, [("good", "")])
    assert client.get(reverse("rejected_rows", args=[project.slug, csv_import.pk])).status_code == 404


# Members and settings


def test_members_are_added_changed_and_removed_but_one_manager_stays(client, project, manager):
    make_user("ann")
    address = reverse("members", args=[project.slug])
    client.post(address, {"user": "ann", "role": "reviewer"})
    assert project.memberships.get(user__username="ann").role == "reviewer"
    assert "needs at least one manager" in said(client.post(address, {"user": "manager", "role": "reviewer"}))
    own = project.memberships.get(user=manager)
    assert "needs at least one manager" in said(client.post(reverse("remove_member", args=[project.slug, own.pk])))
    client.post(address, {"user": "ann", "role": "manager"})
    client.post(reverse("remove_member", args=[project.slug, own.pk]))
    assert [str(m.user) for m in project.memberships.all()] == ["ann"]


def test_an_unknown_user_is_no_member(client, project):
    response = client.post(reverse("members", args=[project.slug]), {"user": "nobody", "role": "reviewer"})
    assert "no such user" in response.content.decode()


def test_settings_are_checked_and_kept(client, manager):
    project = make_project(manager)
    address = reverse("project_settings", args=[project.slug])
    form = client.get(address).context["form"]
    data = typed(form)
    client.post(address, data | {"batch_size": "7", "certainty": "0.5"})
    project.refresh_from_db()
    assert (project.batch_size, project.certainty) == (7, 0.5)


@pytest.mark.parametrize(
    ("field", "value"),
    [("claim_minutes", "0"), ("certainty", "1"), ("batch_size", "0"), ("overlap", "-1"), ("name", "")],
)
def test_impossible_settings_are_refused(client, manager, field, value):
    project = make_project(manager)
    address = reverse("project_settings", args=[project.slug])
    form = client.get(address).context["form"]
    data = typed(form) | {field: value}
    response = client.post(address, data)
    assert response.context["form"].errors[field]
    # Nobody has to look for what is wrong.
    assert ('<details class="advanced" open>' in response.content.decode()) == (field != "name")


def test_a_new_project_belongs_to_its_creator(client, manager):
    for _ in range(2):
        client.post(reverse("create_project"), {"name": "Übung: 100 %", "task": ""})
    slugs = Project.objects.filter(name="Übung: 100 %").order_by("pk").values_list("slug", flat=True)
    assert list(slugs) == ["ubung-100", "ubung-100-2"]
    assert Project.objects.get(slug="ubung-100").is_managed_by(manager)


def test_the_export_is_a_download(client, project):
    response = client.get(reverse("export", args=[project.slug]))
    assert response["Content-Disposition"].startswith(f'attachment; filename="{project.slug}-')
    lines = io.StringIO(b"".join(response.streaming_content).decode("utf-8-sig")).readlines()
    assert len(lines) == 1 + project.documents.count()


def test_health_answers_without_login(client):
    client.logout()
    assert client.get("/health/").content == b"ok"

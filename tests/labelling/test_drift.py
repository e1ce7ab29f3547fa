"""Texts that come after a certificate: a few are audited, and what they say is told."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db.models import QuerySet
from django.urls import reverse

from labelling import jobs
from labelling.models import (
    CohortMember,
    Decision,
    DriftLook,
    Event,
    LaterCount,
    LaterText,
    Project,
    Query,
    QueueEntry,
    SettledLabel,
)
from labelling.services import certificates, claims, imports, notices, predicting, projects, review, tokens, watching
from labelling.services.suggesting import Standing, covered
from tests.factories import FRUIT, account, csv_file, fresh, fruit_project, run_round
from tests.labelling.test_suggesting import certify

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

N_LATER = 12
WATCH = Query.Reason.WATCH


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """A certificate covers labels as sure as one in ten, and every later text is drawn."""
    project = fruit_project(manager=account("mia"), name="Fruit", retrain_after=40, watch_share=1, batch_size=5)
    run_round(project)
    certify(project, 0.1)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    Event.objects.all().delete()
    return fresh(laid_out)


@pytest.fixture
def mia():
    return account("mia")


@pytest.fixture
def suggest(client, project, mia, served):
    """Ask for the labels of texts, as a program does."""
    headers = {"Authorization": f"Bearer {tokens.create(mia, 'test', 'manage', 1)[1]}"}

    def ask(*texts: str, queue: bool = True) -> dict:
        body = {"texts": texts, "queue": queue}
        address = f"/api/projects/{project.slug}/suggest"
        response = client.post(address, body, content_type="application/json", headers=headers)
        assert response.status_code == 200, response.content
        return response.json()

    return ask


def later(n: int = N_LATER) -> list[str]:
    return [f"{FRUIT[number % 4]} {FRUIT[number % 4]} that came later, {number}" for number in range(n)]


def bring_in(project: Project, answer: dict) -> None:
    """Let the import run, and the round that starts because of it."""
    jobs.run_import(answer["queued"])
    jobs.run_round(project.active_round.pk)


def asked(project: Project) -> QuerySet[QueueEntry]:
    """Later texts that wait for people; a few may have been drawn as audits of the ledger, too."""
    hashes = project.later_texts.values("text_hash")
    return project.queue.filter(query__reason__in=Query.BLIND, document__text_hash__in=hashes)


def decide(project: Project, mia, n_wrong: int) -> None:
    """Decide on all later texts, so many of them otherwise than was answered."""
    for entry in asked(project).select_related("document"):
        answered = project.later_texts.get(text_hash=entry.document.text_hash).label
        other = project.labels.exclude(pk=answered.pk)[0]
        label, n_wrong = (other, n_wrong - 1) if n_wrong > 0 else (answered, 0)
        claims.release(project, mia)
        project.queue.filter(pk=entry.pk).update(claimed_by=mia)
        review.decide(project, entry.pk, mia, "override", label)


def test_without_queue_nothing_is_kept(project, suggest):
    answer = suggest(*later(), queue=False)
    assert all(one["certified"] for one in answer["suggestions"])
    assert (answer["queued"], answer["drift"]) == (None, None)
    assert not LaterText.objects.exists()
    assert not LaterCount.objects.exists()


def test_of_certified_answers_a_share_is_drawn_and_all_are_counted_once(project, suggest, monkeypatch):
    projects.change(project, watch_share=0.25)
    monkeypatch.setattr(watching._random, "random", iter([0.1, 0.9, 0.3, 0.24] * 3).__next__)
    known = project.documents.first().text
    answer = suggest(*later(), *later(1), f" {known} ")
    assert project.later_texts.count() == 6
    assert sum(project.later_counts.values_list("n", flat=True)) == N_LATER, "what is known already is no later text"
    jobs.run_import(answer["queued"])
    assert set(project.later_texts.values_list("text_hash", flat=True)) <= set(
        project.documents.values_list("text_hash", flat=True)
    )


@pytest.mark.parametrize("by", ["command", "page"])
def test_a_file_is_watched_where_that_is_wanted(client, project, served, mia, tmp_path, capsys, monkeypatch, by):
    monkeypatch.setattr(predicting, "CHUNK", 5)
    texts = [*later(), *later(1), project.documents.first().text]
    (path := tmp_path / "later.csv").write_bytes(csv_file([(text,) for text in texts], header=("text",)).read())

    def label(watch: bool) -> None:
        if by == "command":
            call_command("predict", project.slug, str(path), *["--watch"] * watch)
        else:
            client.force_login(mia)
            with path.open("rb") as file:
                answer = client.post(
                    reverse("predict", args=[project.slug]), {"file": file} | ({"watch": "on"} if watch else {})
                )
            assert b"".join(answer).count(b"certified") == 1

    label(watch=False)
    assert not project.later_counts.exists()
    label(watch=True)
    assert sum(project.later_counts.values_list("n", flat=True)) == N_LATER == project.later_texts.count()
    bring_in(project, {"queued": project.imports.first().pk})
    assert asked(project).count() == N_LATER
    label(watch=True)
    assert sum(project.later_counts.values_list("n", flat=True)) == N_LATER, "all are known by now"
    if by == "command":
        assert "Texts to be audited: none" in capsys.readouterr().err


def test_a_file_is_not_watched_beside_another_import(client, project, served, mia, tmp_path):
    imports.start(imports.upload(project, csv_file([("apple", "")]), mia))
    (path := tmp_path / "later.csv").write_text("text\nmango mango that came later")
    with pytest.raises(CommandError, match="Something is running"):
        call_command("predict", project.slug, str(path), "--watch")
    client.force_login(mia)
    with path.open("rb") as file:
        answer = client.post(reverse("predict", args=[project.slug]), {"file": file, "watch": "on"})
    assert b"Something is running" in answer.content
    assert not project.later_counts.exists()


def test_what_can_not_be_watched_any_more_is_labelled_all_the_same(project, served, mia, client, tmp_path, caplog):
    """Another import begins while the file is on its way back."""
    client.force_login(mia)
    upload = csv_file([(text,) for text in later()], header=("text",))
    answer = client.post(reverse("predict", args=[project.slug]), {"file": upload, "watch": "on"})
    imports.start(imports.upload(project, csv_file([("apple", "")]), mia))
    assert len(b"".join(answer).splitlines()) == N_LATER + 1
    assert "are not watched" in caplog.text
    assert not project.later_counts.exists()
    assert not project.later_texts.exists()


def test_reviewers_have_no_file_watched(client, project, served):
    project.memberships.create(user=(rita := account("rita")))
    client.force_login(rita)
    address = reverse("predict", args=[project.slug])
    assert 'name="watch"' not in client.get(address).content.decode()
    b"".join(client.post(address, {"file": csv_file([("mango later", "")]), "watch": "on"}))
    assert not project.later_counts.exists()


def test_a_share_of_nothing_watches_nobody(project, suggest):
    projects.change(project, watch_share=0)
    assert suggest(*later())["queued"] is None
    assert not LaterText.objects.exists()


def test_later_texts_are_audited_blind_and_right_answers_say_nothing(client, project, suggest, mia):
    bring_in(project, suggest(*later()))
    assert asked(project).count() == N_LATER
    watched = asked(project).filter(query__reason=WATCH).first()
    assert watched.query.is_audit
    client.force_login(mia)
    page = client.get(reverse("document", args=[project.slug, watched.document_id])).content.decode()
    assert "Hidden until somebody has decided on the audit." in page
    decide(project, mia, n_wrong=0)
    run_round(project)
    look = watching.last_look(project)
    assert (look.n, look.k, look.at_least, look.says_something) == (N_LATER, 0, 0.0, False)
    assert not project.events.filter(kind=Event.Kind.DRIFT).exists()
    assert suggest("mango mango once more", queue=False)["drift"]["audited"] == N_LATER
    assert "does not hold for later texts" not in client.get(project.get_absolute_url()).content.decode()


def test_wrong_answers_are_told_once_and_nothing_is_answered_as_certified_any_more(client, project, suggest, mia):
    bring_in(project, suggest(*later()))
    decide(project, mia, n_wrong=8)
    for _ in range(2):
        run_round(project)
    look = watching.last_look(project)
    assert (look.n, look.k, look.is_wrong) == (N_LATER, 8, True)
    assert project.drift_looks.count() == 1, "the second round found nothing new"
    assert project.events.filter(kind=Event.Kind.DRIFT).count() == 1
    assert certificates.in_force(project), "the project's own labels are another matter"
    answer = suggest("mango mango once more")
    assert (answer["promise"], answer["suggestions"][0]["certified"]) == (None, False)
    assert answer["drift"]["more_wrong"]
    assert answer["drift"]["at_least"] > answer["drift"]["limit"]
    client.force_login(mia)
    for name in ("project", "certificate"):
        page = client.get(reverse(name, args=[project.slug])).content.decode()
        assert "The promise does not hold for later texts" in page
    client.post(reverse("watch_anew", args=[project.slug]))
    project.refresh_from_db()
    assert watching.last_look(project) is None
    assert Standing.of(project).threshold is not None
    assert watching.audited(project) == (0, 0)


def test_at_most_half_of_the_reviews_are_of_later_texts(project, suggest):
    project.queue.all().delete()
    projects.change(project, retrain_after=7)
    bring_in(project, suggest(*later()))
    assert 1 <= project.queue.filter(query__reason=WATCH).count() <= 4
    assert watching.to_audit(project).count() == N_LATER - asked(project).count() >= 5


def test_what_was_skipped_is_not_laid_out_again_and_does_not_count(project, suggest, mia):
    bring_in(project, suggest(*later(1)))
    entry = asked(project).get()
    project.queue.exclude(pk=entry.pk).delete()
    assert claims.claim_next(project, mia) == entry
    review.decide(project, entry.pk, mia, "skip")
    assert not watching.to_audit(project).exists()
    assert watching.audited(project) == (0, 0)


def test_a_label_that_was_merged_counts_as_what_it_is_now(project, suggest, mia):
    bring_in(project, suggest("mango mango that came later"))
    text = project.later_texts.get()
    entry = asked(project).get()
    apple = project.labels.get(name="apple")
    Decision.objects.create(document=entry.document, query=entry.query, reviewer=mia, action="override", label=apple)
    assert watching.audited(project) == (1, 1)
    project.labels.filter(pk=text.label_id).update(merged_into=apple)
    assert watching.audited(project) == (1, 0)


def test_other_labels_than_before_are_told(project):
    mango = project.labels.get(name="mango")
    LaterCount.objects.create(project=project, watch=0, label=mango, n=99)
    run_round(project)
    assert not DriftLook.objects.exists()
    LaterCount.objects.update(n=100)
    members = CohortMember.objects.filter(cohort__project=project)
    members.update(certificate=project.certificates.get(holds=True))
    SettledLabel.objects.filter(memberships__in=members).update(label=project.labels.get(name="apple"))
    assert covered(project).count() > 5
    run_round(project)
    look = watching.last_look(project)
    assert (look.is_shifted, look.is_wrong) == (True, False)
    assert look.divergence > 0.5
    assert project.events.filter(kind=Event.Kind.DRIFT).count() == 1
    run_round(project)
    assert project.drift_looks.count() == 1, "the next look needs four times as many"


def test_the_watch_of_another_project_is_another(project, suggest):
    other = fruit_project(manager=account("mia"))
    bring_in(project, suggest(*later(4)))
    assert watching.audited(other) == (0, 0)
    assert not watching.to_audit(other).exists()
    assert notices.of(account("mia"), other).filter(event__kind=Event.Kind.DRIFT).count() == 0

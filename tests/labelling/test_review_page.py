"""What the review page says in one sentence, what it marks and hides, and definitions that are mended on it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from labelling.jobs import rounds as round_job
from labelling.jobs.rounds import querying
from labelling.models import Decision, Label, Query, QueueEntry, Verdict
from labelling.services import bulk, labels, leaning
from labelling.services.claims import claim_next
from labelling.services.evidence import Evidence, in_one_sentence
from labelling.services.review import decide, undo
from tests.factories import fruit_project, import_doubtful, make_user, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

A, B, C = (Label(pk=pk, name=name) for pk, name in enumerate("ABC", start=1))


def said(verdict: str, label: Label, better: Label | None = None, form: str = "validate") -> Verdict:
    query = Query(label=label, form=form, offered=[1, 2, 3])
    return Verdict(query=query, verdict=verdict, better_label=better)


@pytest.mark.parametrize(
    ("verdicts", "sentence"),
    [
        ([], ""),
        ([said("valid", A)], "The judge: A."),
        ([said("invalid", A)], "The judge: not A."),
        ([said("invalid", A, B)], "The judge: not A, rather B."),
        ([said("invalid", A), said("valid", B)], "The judge: not A, but B."),
        ([said("invalid", A), said("invalid", B)], "The judge: not A nor B."),
        ([said("invalid", A), said("invalid", B, C)], "The judge: not A nor B, rather C."),
        ([said("invalid", A), said("invalid", B, A)], "The judge: not B; of A it said both yes and no."),
        ([said("invalid", A, A)], "The judge said both yes and no of A."),
        ([said("invalid", A), said("valid", A)], "The judge: A."),
        ([said("unsure", A)], "The judge is unsure."),
        ([said("unsure", A, B)], "The judge is unsure, rather B."),
        ([said("valid", A, form="choose")], "The judge chose A from 3."),
        ([said("invalid", A, B, form="choose")], "The judge chose B from 3."),
        ([said("invalid", A, form="choose")], "The judge chose none of these from 3."),
    ],
)
def test_what_the_judge_said_is_one_sentence_that_does_not_contradict_itself(verdicts, sentence):
    assert in_one_sentence(verdicts) == sentence


@pytest.fixture
def project(ann):
    project = fruit_project(manager=ann, judge="neighbours", batch_size=8, retrain_after=6)
    import_doubtful(project)
    return project


def shown(client, user, project, **query) -> str:
    client.force_login(user)
    return client.get(reverse("review", args=[project.slug]), query).content.decode()


def first(project, **change) -> QueueEntry:
    """A question that is no audit, made the next one."""
    entry = project.queue.exclude(query__reason__in=Query.AUDITS).first()
    QueueEntry.objects.filter(pk=entry.pk).update(priority=-(10**17), **change)
    entry.refresh_from_db()
    return entry


# Words


def test_a_round_notes_the_words_that_speak_for_the_likeliest_labels_and_none_of_audits(client, ann, project):
    run_round(project)
    waiting = Query.objects.filter(queue_entry__isnull=False)
    assert not waiting.filter(reason__in=Query.AUDITS).exclude(words={}).exists()
    entry = first(project)
    evidence = Evidence.of(entry.query)
    marked = {str(label): words for label, words in evidence.speaking_words}
    one, other = entry.document.text.split()[:2]
    assert marked == {one: [one], other: [other]}
    assert "".join(piece for piece, _ in evidence.marked_text) == entry.document.text
    text = shown(client, ann, project)
    assert '<mark class="one">' in text
    assert '<mark class="other">' in text
    assert 'data-key="w"' in text


def test_the_nearest_examples_of_a_label_that_the_judge_suggests_are_noted_too(ann, project, monkeypatch):
    monkeypatch.setattr(querying, "N_LABELS_SHOWN", 1)
    settle = round_job.settle

    def settle_and_suggest(lease) -> None:
        """Let the judge suggest a label of which the questions show no example."""
        settle(lease)
        for entry in project.queue.filter(query__verdict=None).exclude(query__reason__in=Query.AUDITS):
            shown = [*entry.query.labels_with_examples, entry.query.predicted_id]
            judge = {"judge": "neighbours", "model": "m", "prompt_version": "p"}
            better = project.labels.exclude(pk__in=shown).last()
            Verdict.objects.create(query=entry.query, verdict="invalid", better_label=better, **judge)

    monkeypatch.setattr(round_job, "settle", settle_and_suggest)
    run_round(project)
    waiting = [entry for entry in project.queue.all() if not entry.query.is_audit]
    assert waiting
    for entry in waiting:
        evidence = Evidence.of(entry.query)
        label, examples = evidence.examples[-1]
        assert label == evidence.verdicts[-1].better_label == evidence.rival.label
        assert len(examples) > 0


# Answer first


def test_who_answers_first_is_shown_nothing_of_the_machine_until_they_have(client, ann, project):
    project.answer_first = 1.0
    project.save()
    run_round(project)
    assert not project.queue.filter(answer_first=False).exists()
    assert not bulk.offered(project, ann).exists()
    entry = first(project)
    predicted = Label.objects.get(pk=entry.query.predicted_id)
    text = shown(client, ann, project)
    assert "Answer first" in text
    for hidden in ("accept:", 'class="judgement"', "Nearest examples", "against", "<mark", "neighbour", 'id="compare"'):
        assert hidden not in text, hidden
    found = client.get(reverse("search_labels", args=[project.slug]), {"q": "", "entry": entry.pk})
    assert found.context["found"].labels == []
    other = project.labels.exclude(pk=predicted.pk).first()
    address = reverse("decide", args=[project.slug, entry.pk])
    answer = client.post(address, {"choice": f"override:{other.pk}", "answered": "first"}, follow=True)
    assert f"Answered: {other}. The machine says {predicted}." in answer.content.decode()
    decision = Decision.objects.get()
    assert decision.answered_first

    # Whoever was told and thinks again does not answer first.
    undo(project, ann, decision.pk)
    text = shown(client, ann, project)
    assert f"accept:{predicted.pk}" in text
    again = project.queue.get(document=entry.document)
    client.post(reverse("decide", args=[project.slug, again.pk]), {"choice": "accept", "answered": "first"})
    assert not Decision.objects.standing().get().answered_first

    entry = claim_next(project, ann)
    label = Label.objects.get(pk=entry.query.predicted_id)
    client.post(
        reverse("decide", args=[project.slug, entry.pk]), {"choice": f"override:{label.pk}", "answered": "first"}
    )
    text = shown(client, ann, project)
    assert f"Answered: {label}. The machine says the same." in text


def test_a_share_is_drawn_and_managers_see_how_much_people_lean_on_the_machine(client, ann, project):
    bob = make_user("bob")
    project.memberships.create(user=bob, role="reviewer")
    project.answer_first = 0.5
    project.save()
    run_round(project)
    first_ones = project.queue.filter(answer_first=True).count()
    assert 0 < first_ones < project.queue.count()
    for entry in list(project.queue.all()):
        label = project.labels.exclude(pk=entry.query.predicted_id).first() if entry.answer_first else None
        action = "override" if label else "accept"
        decide(project, entry.pk, ann, action, label, answered_first=entry.answer_first)
    found = leaning.measured(project)
    assert (found.n_first, found.n_first_same, found.same_first) == (first_ones, 0, 0.0)
    assert (found.n_after, found.same_after) == (found.n_after_same, 1.0)
    address = reverse("people", args=[project.slug])
    client.force_login(ann)
    page = client.get(address).content.decode()
    assert "How much people lean on the machine" in page
    client.force_login(bob)
    assert "How much people lean on the machine" not in client.get(address).content.decode()


# Definitions


def test_managers_mend_a_definition_beside_the_document_and_nobody_overwrites_a_colleagues(client, ann, project):
    run_round(project)
    entry = first(project)
    label = Label.objects.get(pk=entry.query.predicted_id)
    assert 'id="mend"' in shown(client, ann, project)
    address = reverse("mend_definition", args=[project.slug, label.pk])
    page = client.post(address, {"definition": "Use when red.", "version": 0}, follow=True).content.decode()
    assert "Use when red." in page
    assert label.definitions.get().author == ann
    labels.define(label, "Use when green.", None)
    late = client.post(address, {"definition": "Use when blue.", "version": 1})
    assert late.status_code == 409
    text = late.content.decode()
    assert "it now is “Use when green.”" in text
    assert "Use when blue.</textarea>" in text, "what was typed is kept"
    empty = client.post(address, {"definition": " ", "version": 2})
    assert "The definition is empty." in empty.content.decode()
    label.refresh_from_db()
    assert label.definition == "Use when green."
    bob = make_user("bob")
    project.memberships.create(user=bob, role="reviewer")
    assert 'id="mend"' not in shown(client, bob, project)

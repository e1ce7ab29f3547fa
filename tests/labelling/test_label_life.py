"""The life of a label: counted before, done as one, logged, undone."""

from __future__ import annotations

import csv

import pytest
from django.contrib.messages import get_messages
from django.db.models import F
from django.urls import reverse

from labelling.models import (
    Decision,
    Document,
    Label,
    LabelEvent,
    Prediction,
    Project,
    Query,
    QueueEntry,
    Round,
    SettledLabel,
    TrainingExample,
    Verdict,
)
from labelling.services import Refused, audits, definitions, examples, label_life, labels, review
from labelling.services.exports import export_lines
from labelling.services.searching import find_labels
from tests.factories import account, fresh, fruit_project, import_rows, make_project, queued, quickest, run_round

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = fruit_project(manager=account("ann"), reviewers=[account("bob")], retrain_after=0)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def by_name(project) -> dict[str, Label]:
    return {label.name: label for label in project.labels.all()}


@pytest.fixture
def client(client, ann):
    client.force_login(ann)
    return client


def state(project: Project) -> list[object]:
    """Everything that a step may change."""
    return [
        list(project.labels.order_by("pk").values_list("pk", "name", "synonyms", "since", "retired_at", "merged_into")),
        list(project.labels.order_by("pk").values_list("parent", "code", "definition_version")),
        list(TrainingExample.objects.order_by("document").values_list("document", "label", "source")),
        list(Document.objects.order_by("pk").values_list("pk", "given_label", "given_source")),
        list(Prediction.objects.order_by("pk").values_list("pk", "label", "posterior_label", "candidates")),
        list(SettledLabel.objects.order_by("pk").values_list("pk", "label", "left_at", "left_because")),
        list(Decision.objects.standing().order_by("document").values_list("document", "label")),
    ]


def exported(project: Project) -> dict[str, dict[str, str]]:
    return {row["text"]: row for row in csv.DictReader(export_lines(project, for_programs=True))}


def address(name: str, label: Label, kind: str) -> str:
    return reverse(name, args=[label.project.slug, label.pk, kind])


# Merging


def test_a_merged_label_is_a_part_of_the_other_everywhere(project, by_name, ann):
    apple, banana = by_name["apple"], by_name["banana"]
    decided = project.documents.pool()[0]
    review.relabel(decided, ann, apple)
    label_life.merge(apple, banana, ann)
    banana.refresh_from_db()
    assert not TrainingExample.objects.filter(label=apple).exists()
    assert banana.examples.count() == 9
    assert {row["label"] for row in exported(project).values()} == {"banana", "cherry", "mango"}
    assert Decision.objects.get(document=decided).label == apple, "evidence stays as it was"
    examples.settle(decided.pk)
    assert TrainingExample.objects.get(document=decided).label == banana
    assert [found.label.name for found in find_labels(project, "apple").labels] == ["banana"]
    import_rows(project, [("a new text about it", "apple")])
    assert project.documents.get(text="a new text about it").example.label == banana
    round_ = run_round(project)
    assert round_.labels_learned == 3
    assert not Prediction.objects.filter(document__project=project, label=apple).exists()


@pytest.mark.parametrize("kind", ["merge", "retire", "rename", "move", "split"])
def test_a_step_is_undone_without_a_trace(project, by_name, ann, kind):
    apple, banana = by_name["apple"], by_name["banana"]
    review.relabel(project.documents.pool()[0], ann, apple)
    before = state(project)
    ids = list(apple.examples.values_list("document", flat=True)[:2])
    event = {
        "merge": lambda: label_life.merge(apple, banana, ann),
        "retire": lambda: label_life.retire(apple, ann),
        "rename": lambda: label_life.rename(apple, "pear", ann),
        "move": lambda: label_life.move(apple, banana, ids, ann),
        "split": lambda: label_life.split(apple, "crab apple", ids, ann),
    }[kind]()
    assert state(project) != before
    label_life.undo(event, ann)
    if kind == "split":
        new = project.labels.get(name="crab apple")
        assert new.retired_at
        assert not new.examples.exists()
        before = before[2:]
        assert state(project)[2:] == before
        return
    assert state(project) == before
    with pytest.raises(Refused, match="undone already"):
        label_life.undo(event, ann)


def test_nothing_is_half_done(project, by_name, ann, monkeypatch):
    before = state(project)

    def killed(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(label_life, "log_step", killed)
    with pytest.raises(KeyboardInterrupt):
        label_life.merge(by_name["apple"], by_name["banana"], ann)
    assert state(project) == before
    assert not LabelEvent.objects.exists()


def test_what_was_decided_since_stays_when_a_merge_is_undone(project, by_name, ann):
    apple, banana = by_name["apple"], by_name["banana"]
    event = label_life.merge(apple, banana, ann)
    seed = Document.objects.get(text="apple apple seed number 0")
    review.relabel(seed, ann, banana)
    label_life.undo(event, ann)
    assert TrainingExample.objects.get(document=seed).label == banana
    assert apple.examples.count() == 3


def test_labels_below_go_along_and_circles_are_refused(project, by_name, ann):
    apple, banana, cherry, mango = (by_name[name] for name in ("apple", "banana", "cherry", "mango"))
    labels.place(cherry, apple)
    labels.place(mango, banana)
    event = label_life.merge(apple, banana, ann)
    cherry.refresh_from_db()
    assert cherry.parent == banana
    label_life.undo(event, ann)
    cherry.refresh_from_db()
    assert cherry.parent == apple
    with pytest.raises(Refused, match="lies above"):
        label_life.merge(apple, cherry, ann)
    with pytest.raises(Refused, match="Labels lie below"):
        label_life.retire(apple, ann)
    for other in (apple, label_life.retire(mango, ann).label):
        with pytest.raises(Refused, match="in use"):
            label_life.merge(apple, other, ann)


def test_a_chain_of_merges_leads_to_the_last_and_is_undone_from_the_end(project, by_name, ann):
    apple, banana, cherry = (by_name[name] for name in ("apple", "banana", "cherry"))
    before = state(project)
    first = label_life.merge(apple, banana, ann)
    second = label_life.merge(banana, cherry, ann)
    assert project.labels.current()[apple.pk] == cherry
    with pytest.raises(Refused, match="later step"):
        label_life.undo(first, ann)
    label_life.undo(second, ann)
    label_life.undo(first, ann)
    assert state(project) == before


def test_nothing_changes_while_a_round_runs(project, by_name, ann):
    Round.objects.filter(project=project).update(state="running")
    for step in (
        lambda: label_life.merge(by_name["apple"], by_name["banana"], ann),
        lambda: label_life.retire(by_name["apple"], ann),
        lambda: label_life.restore(by_name["apple"], ann),
    ):
        with pytest.raises(Refused, match="is running"):
            step()


def test_verdicts_from_before_a_merge_say_nothing_and_are_asked_for_again(ann):
    project = fruit_project(manager=ann, judge="neighbours", auto_accept=False, retrain_after=0)
    round_ = run_round(project)
    Verdict.objects.filter(query__round=round_).delete()
    asked = round_.queries.filter(verdict=None, document__example=None).exclude(reason__in=Query.UNASKED)
    query = asked.exclude(document__in=audits.waiting(project).values("document"))[0]
    verdict = Verdict.objects.create(query=query, verdict="invalid", judge="anthropic", model="m", prompt_version="1")
    other = project.labels.exclude(pk=query.label_id).first()
    assert not definitions.stale(project).exists()
    assert label_life.effect(query.label, other).verdicts == 1
    event = label_life.merge(other, query.label, ann)
    assert definitions.stale(project).get() == verdict
    assert not definitions.meant_as_now(Verdict.objects.all()).exists()
    label_life.undo(event, ann)
    assert not definitions.stale(project).exists()
    assert definitions.meant_as_now(Verdict.objects.all()).get() == verdict


# Audits


def audited(project: Project, label: Label) -> QueueEntry:
    return next(entry for entry in queued(project) if entry.query.reason == "audit" and entry.query.label == label)


def test_an_audit_of_a_merged_label_is_right_when_the_other_is_accepted(project, by_name, ann):
    mango, banana = by_name["mango"], by_name["banana"]
    entry = audited(project, mango)
    label_life.merge(mango, banana, ann)
    decision = review.decide(project, entry.pk, ann, "accept")
    assert (decision.action, decision.label) == ("accept", banana)
    assert audits.states(project)[entry.query_id] == audits.State.RIGHT


def test_an_error_found_before_the_merge_stays_one(project, by_name, ann, bob):
    mango, banana = by_name["mango"], by_name["banana"]
    entry = audited(project, mango)
    for who in (ann, bob):
        review.decide(project, entry.pk, who, "override", banana)
    assert audits.states(project)[entry.query_id] == audits.State.WRONG
    label_life.merge(mango, banana, ann)
    assert audits.states(project)[entry.query_id] == audits.State.WRONG


def test_an_audit_of_a_retired_label_may_still_say_that_it_was_right(project, by_name, ann):
    mango = by_name["mango"]
    entry = audited(project, mango)
    other = next(one for one in queued(project) if one.query.label != mango)
    label_life.retire(mango, ann)
    with pytest.raises(Refused, match="is retired"):
        review.decide(project, other.pk, ann, "override", Label.objects.get(pk=mango.pk))
    assert review.decide(project, entry.pk, ann, "accept").label == mango
    assert audits.states(project)[entry.query_id] == audits.State.RIGHT


# Retiring


def test_a_retired_label_is_proposed_and_learnt_no_more_but_keeps_its_examples(project, by_name, ann, client):
    apple = by_name["apple"]
    label_life.retire(apple, ann)
    assert apple.examples.count() == 4
    assert not find_labels(project, "apple").labels
    unlabelled = next(iter(project.documents.filter(text__startswith="apple", given_source="")))
    assert exported(project)[unlabelled.text]["label"] == ""
    assert exported(project)["apple apple seed number 0"]["label"] == "apple"
    unlabelled = project.documents.get(pk=unlabelled.pk)
    assert unlabelled.belief is None
    listed = client.get(reverse("documents", args=[project.slug]), {"q": unlabelled.text}).content.decode()
    assert "the next round predicts it" in listed
    assert '<td dir="auto">apple</td>' not in listed
    run_round(project)
    assert not Prediction.objects.filter(document__project=project, posterior_label=apple).exists()
    with pytest.raises(Refused, match="is retired"):
        review.relabel(unlabelled, ann, Label.objects.get(pk=apple.pk))
    assert "1 retired label" in client.get(reverse("labels", args=[project.slug])).content.decode()
    shown = client.get(reverse("labels", args=[project.slug]), {"show": "retired"}).content.decode()
    assert ">apple</a>" in shown
    event = label_life.restore(apple, ann)
    assert run_round(project).labels_learned == 4
    label_life.undo(event, ann)
    assert Label.objects.get(pk=apple.pk).retired_at


# Splitting


def test_ticked_examples_become_a_label_of_their_own(project, by_name, ann):
    apple = by_name["apple"]
    labels.place(apple, by_name["mango"])
    apple.refresh_from_db()
    found = list(label_life.movable(apple, "number 1"))
    assert [document.text for document in found] == ["apple apple seed number 1"]
    event = label_life.split(apple, "crab apple", [document.pk for document in found], ann)
    assert event.other.parent == by_name["mango"]
    assert [example.document for example in event.other.examples.all()] == found
    assert Decision.objects.get(document=found[0]).reviewer == ann
    apple.refresh_from_db()
    assert apple.since
    for name in ("", "banana"):
        with pytest.raises(Refused, match="needs a name"):
            label_life.split(apple, name, [found[0].pk], ann)
    for ids in ([], [10**9]):
        with pytest.raises(Refused, match="Choose between 1 and 500"):
            label_life.move(apple, by_name["banana"], ids, ann)


# Pages


def test_a_rename_that_meets_another_name_offers_to_merge(client, project, by_name):
    apple, banana = by_name["apple"], by_name["banana"]
    page = client.get(address("change_label", apple, "rename"), {"name": "banana"}).content.decode()
    merge = f"{address('change_label', apple, 'merge')}?into={banana.pk}"
    assert merge in page
    page = client.get(merge).content.decode()
    assert "Merge into “<bdi>banana</bdi>”" in page
    for figure in ("Examples", "Settled, to be settled anew", "Audits that go on", "Verdicts that count no more"):
        assert figure in page
    response = client.post(address("change_label", apple, "merge"), {"into": banana.pk, "confirm": "1"}, follow=True)
    assert "Merged: apple. It is in the log" in response.content.decode()
    event = LabelEvent.objects.get()
    assert (event.counts["n_examples"], event.counts["examples"]) == (4, {"seed": 4})
    log = client.get(reverse("label_events", args=[project.slug])).content.decode()
    assert "Merged" in log
    client.post(reverse("undo_label_event", args=[project.slug, event.pk]))
    assert "undone by ann" in client.get(reverse("label_events", args=[project.slug])).content.decode()
    apple.refresh_from_db()
    assert apple.retired_at is None


def test_renaming_from_the_page(client, project, by_name):
    apple = by_name["apple"]
    page = client.get(address("change_label", apple, "rename"), {"name": " pear "}).content.decode()
    assert "<del>apple</del> → <ins>pear</ins>" in page
    assert "Goes by the new name: 4 examples, 0 held-out texts" in page
    client.post(address("change_label", apple, "rename"), {"name": "pear", "confirm": "1"})
    assert Label.objects.get(pk=apple.pk).name == "pear"
    response = client.post(address("change_label", apple, "rename"), {"name": "", "confirm": "1"})
    assert "A name has 1 to 200 characters." in response.content.decode()


def test_moving_shows_first_how_many(client, project, by_name):
    apple, banana = by_name["apple"], by_name["banana"]
    move = address("change_label", apple, "move")
    page = client.get(move, {"q": "number"}).content.decode()
    assert page.count("checked") == 4
    ids = list(apple.examples.values_list("document", flat=True)[:2])
    page = client.post(f"{move}?q=number", {"document": ids, "into": banana.pk}).content.decode()
    assert "2 documents get another label" in page
    assert page.count("checked") == 2
    assert "4 examples of 4" in page
    assert apple.examples.count() == 4
    client.post(move, {"document": ids, "into": banana.pk, "confirm": "1"})
    assert (apple.examples.count(), banana.examples.count()) == (2, 6)
    response = client.post(move, {"document": ids, "confirm": "1"})
    assert "Choose another label" in [str(told) for told in get_messages(response.wsgi_request)][-1]


@pytest.mark.parametrize("kind", ["retire", "restore", "split", "merge"])
def test_every_step_has_its_page(client, project, by_name, kind):
    assert client.get(address("change_label", by_name["apple"], kind)).status_code == 200
    assert client.get(address("change_label", by_name["apple"], "burn")).status_code == 404


# Many


def test_two_labels_with_five_thousand_documents_are_merged_and_parted_within_seconds(ann):
    project = make_project(ann)
    one, other = labels.create_labels(project, ["one", "other"]).values()
    round_ = Round.objects.create(project=project, number=1, state="done")
    documents = Document.objects.bulk_create(
        Document(project=project, text=f"{n}", text_hash=f"{n}", given_label=one, given_source="seed")
        for n in range(5_000)
    )
    TrainingExample.objects.bulk_create(
        TrainingExample(document=document, label=(one, other)[document.pk % 2], source="seed")
        for document in documents[:2_500]
    )
    Prediction.objects.bulk_create(
        Prediction(
            document=document,
            round=round_,
            label=one,
            posterior_label=one,
            probability=0.9,
            posterior=0.9,
            entropy=0.1,
            candidates=[[one.pk, 0.9], [other.pk, 0.1]],
            belief=[0.9, 0.05, 0.05],
        )
        for document in documents[2_500:]
    )
    SettledLabel.objects.bulk_create(
        SettledLabel(project=project, document=document, label=one, source="model", posterior=0.9, round=round_)
        for document in documents[2_500:]
    )
    before = state(project)
    merged = quickest(lambda: label_life.merge(one, other, ann), runs=1)
    assert other.examples.count() == 2_500
    event = LabelEvent.objects.get(project=project, kind="merge")
    undone = quickest(lambda: label_life.undo(event, ann), runs=1)
    assert state(project) == before
    assert max(merged, undone) < 5, (merged, undone)
    assert TrainingExample.objects.exclude(label=F("document__given_label")).exists()

"""How well labels do: the figures, the documents behind them, and examples whose label is doubted."""

from __future__ import annotations

from collections import Counter

import pytest
from django.urls import reverse

from labelling import jobs
from labelling.models import (
    Document,
    Label,
    Measurement,
    Prediction,
    Project,
    Round,
    Suspicion,
    TrainingExample,
)
from labelling.services import health, labels, review, suspicions
from labelling.services.health import Health, Share
from tests.factories import FRUIT, account, fresh, fruit_project, import_rows, queued, quickest, run_round

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = fruit_project(manager=account("ann"), reviewers=[account("bob")], retrain_after=0)
    # Two of the held-out bananas read like cherries.
    rows = [(f"{fruit} {fruit} held out, number {n}", fruit) for fruit in FRUIT for n in range(3)]
    rows += [(f"cherry cherry held out as something else, {n}", "banana") for n in range(2)]
    import_rows(project, rows)
    Document.objects.filter(text__contains="held out").update(holdout=True)
    TrainingExample.objects.filter(document__holdout=True).delete()
    import_rows(project, [("mango mango, wrongly labelled", "apple")])
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


def page(client, name: str, project: Project, *args: object, **query: object) -> str:
    response = client.get(reverse(name, args=[project.slug, *args]), query)
    assert response.status_code == 200
    return response.content.decode()


def rows(project: Project) -> dict[str, Health]:
    return {row.label.name: row for row in health.table(project)}


# Figures


@pytest.mark.parametrize(
    ("figures", "strength"),
    [
        ({}, 0.0),
        ({"sources": Counter(seed=9)}, 0.9),
        ({"sources": Counter(seed=99), "found": Share(0, 2)}, 0.25),
        ({"sources": Counter(seed=99), "found": Share(8, 8), "right": Share(1, 8), "audited": Share(4, 8)}, 0.2),
    ],
)
def test_a_label_is_as_strong_as_the_worst_that_is_known(figures, strength):
    assert Health(Label(name="x"), **figures).strength == pytest.approx(strength)


def test_the_holdout_tells_what_is_missed_and_what_is_taken_for_it(project, by_name):
    found = rows(project)
    assert (found["banana"].found, found["banana"].right) == (Share(3, 5), Share(3, 3))
    assert (found["cherry"].found, found["cherry"].right) == (Share(3, 3), Share(3, 5))
    assert (found["banana"].rival, found["banana"].n_confused) == (by_name["cherry"], 2)
    assert (found["cherry"].rival, found["cherry"].n_confused) == (by_name["banana"], 2)
    odd = set(project.documents.filter(text__contains="something else"))
    assert set(health.behind(project, "missed", by_name["banana"])) == odd
    assert set(health.behind(project, "taken", by_name["cherry"])) == odd
    assert set(health.behind(project, "confused", by_name["cherry"], by_name["banana"])) == odd
    assert not health.behind(project, "taken", by_name["banana"])
    assert health.worst_pairs(project, 5) == [(by_name["banana"], by_name["cherry"], 2)]


def test_people_and_audits_count(ann, bob):
    project = fruit_project(manager=ann, reviewers=[bob], retrain_after=0)
    run_round(project)
    entry = next(entry for entry in queued(project) if entry.query.reason == "audit")
    label = entry.query.label
    other = project.labels.exclude(pk=label.pk)[0]
    for who in (ann, bob):
        review.decide(project, entry.pk, who, "override", other)
    right = next(one for one in queued(project) if one.query.reason == "audit" and one.query.label == label)
    review.decide(project, right.pk, ann, "accept")
    row = rows(project)[label.name]
    assert (row.audited, row.n_overridden, row.instead) == (Share(1, 2), 2, other)
    assert list(health.behind(project, "wrong", label)) == [entry.document]
    assert list(health.behind(project, "overridden", label)) == [entry.document]
    assert entry.document in health.behind(project, "confused", label, other)
    assert rows(project)[other.name].sources == Counter(seed=4, human=1)


def test_the_judges_record_is_what_its_page_says(project, by_name):
    agreement = {"value": 0.75, "n": 20}
    labels_measured = [{"label": by_name["apple"].pk, "agreement": agreement}]
    labels_measured += [{"label": by_name["mango"].pk, "agreement": {"value": None, "n": 3}}]
    Measurement.objects.update_or_create(project=project, defaults={"figures": [{"labels": labels_measured}]})
    found = rows(project)
    assert (found["apple"].judge, found["mango"].judge) == (Share(15, 20), Share(0, 0))


def test_parents_and_retired_labels_have_no_row(project, by_name):
    labels.place(by_name["apple"], by_name["mango"])
    Label.objects.filter(name="banana").update(retired_at=project.created_at)
    assert rows(project).keys() == {"apple", "cherry"} == {label.name for label in project.labels.leaves()}


# Pages


def test_weak_labels_come_first_and_every_column_sorts(client, project, by_name):
    shown = page(client, "label_health", project)
    order = [row.label.name for row in sorted(health.table(project), key=health.SORTS["weak"])]
    assert order[0] in ("banana", "cherry")
    assert sorted(order, key=shown.index) == order or shown.index(order[0]) < shown.index(order[-1])
    for sort in [*health.SORTS, "unknown"]:
        assert "banana" in page(client, "label_health", project, sort=sort)
    assert "Suspicious examples" in shown
    for show in health.FILTERS:
        page(client, "label_health", project, show=show)
    labels.define(by_name["apple"], "Round.", None)
    link = reverse("label", args=[project.slug, by_name["apple"].pk])
    assert link in shown
    assert link not in page(client, "label_health", project, show="undefined")
    assert link not in page(client, "label_health", project, q="BANA")


def test_each_figure_leads_to_its_documents(client, project, by_name):
    cherry, banana = by_name["cherry"], by_name["banana"]
    for figure, label in (("missed", banana), ("taken", cherry), ("confused", cherry)):
        other = banana.pk if figure == "confused" else ""
        shown = page(client, "documents", project, figure=figure, label=label.pk, other=other)
        assert shown.count("something else") == 2, figure
    assert "cherry and banana taken for each other" in shown
    assert "No document fits" in page(client, "documents", project, figure="wrong", label=banana.pk)


def test_confused_definitions_are_edited_side_by_side(client, project, by_name, bob):
    cherry, banana = by_name["cherry"], by_name["banana"]
    address = reverse("confusion", args=[project.slug])
    shown = client.get(address).content.decode()
    assert "<bdi>banana</bdi> ↔ <bdi>cherry</bdi>" in shown
    assert shown.count("<textarea") == 2
    response = client.post(f"{address}?label={banana.pk}&label={cherry.pk}", {"label": cherry.pk, "definition": "Red."})
    assert response["Location"] == f"{address}?label={banana.pk}&label={cherry.pk}"
    cherry.refresh_from_db()
    assert cherry.definition == "Red."
    client.force_login(bob)
    assert "<textarea" not in client.get(address).content.decode()
    assert client.post(address, {"label": cherry.pk, "definition": "x"}).status_code == 403


@pytest.mark.slow
def test_a_thousand_labels_are_quick(client, project):
    made = Label.objects.bulk_create(
        Label(project=project, name=f"label {n}", code=f"{n}", definition="Use when …") for n in range(1000)
    )
    round_ = project.rounds.first()
    documents = Document.objects.bulk_create(
        Document(project=project, text=f"t{n}", text_hash=f"t{n}", holdout=n % 2 == 0, given_label=made[n % 1000])
        for n in range(6000)
    )
    Prediction.objects.bulk_create(
        Prediction(
            document=document,
            round=round_,
            label=made[(n * 7) % 1000],
            probability=0.5,
            posterior=0.5,
            entropy=1.0,
            candidates=[],
        )
        for n, document in enumerate(documents[::2])
    )
    TrainingExample.objects.bulk_create(
        TrainingExample(document=document, label=made[n % 1000], source="seed")
        for n, document in enumerate(documents[1::2])
    )
    page(client, "label_health", project)
    assert (took := quickest(lambda: page(client, "label_health", project))) < 0.2, took


# Suspicious examples


def test_a_wrong_seed_is_suspicious_and_is_put_right(client, project, by_name, ann):
    apple, mango = by_name["apple"], by_name["mango"]
    found = suspicions.standing(project).get()
    assert (found.document.text, found.label, found.rival) == ("mango mango, wrongly labelled", apple, mango)
    assert rows(project)["apple"].n_suspicious == 1
    assert "mango mango, wrongly labelled" in page(client, "suspicions", project, label=apple.pk)
    shown = page(client, "suspicion", project, found.pk)
    assert "Change to this" in shown
    address = reverse("suspicion", args=[project.slug, found.pk])
    assert "Choose a label." in client.post(address, {}, follow=True).content.decode()
    client.post(address, {"label": mango.pk})
    assert found.document.decisions.get().reviewer == ann
    assert TrainingExample.objects.get(document=found.document).label == mango
    assert not suspicions.standing(project)
    assert "suspicious no more" in page(client, "suspicion", project, found.pk)
    assert "decided on it already" in client.post(address, {"label": apple.pk}, follow=True).content.decode()
    run_round(project)
    assert not suspicions.standing(project)


def test_what_somebody_has_found_right_is_suspected_no_more(project, by_name, ann):
    found = suspicions.standing(project).get()
    suspicions.check(found, ann, found.label)
    assert TrainingExample.objects.get(document=found.document).source == "human"
    run_round(project)
    assert not suspicions.standing(project)
    review.relabel(found.document, ann, by_name["cherry"])
    run_round(project)
    assert suspicions.standing(project).get().label == by_name["cherry"], "another label is another question"


def test_a_text_of_no_label_may_be_suspicious_too(project, by_name, ann):
    document = project.documents.get(text="apple apple seed number 0")
    for text in ("nothing of the kind", "nothing of this kind", "nothing of that kind"):
        import_rows(project, [(text, "")])
        review.relabel(project.documents.get(text=text), ann, None)
    review.relabel(document, ann, None)
    run_round(project)
    found = suspicions.standing(project).get(document=document)
    assert (found.label, found.rival) == (None, by_name["apple"])


def test_a_round_that_is_run_twice_suspects_once(project):
    round_ = Round.objects.get(project=project)
    Round.objects.filter(pk=round_.pk).update(state="queued", queried_at=None)
    jobs.run_round(round_.pk)
    assert Suspicion.objects.count() == 1

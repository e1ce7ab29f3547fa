"""What belongs nowhere: grouped, proposed, made a label with one click, dismissed, and undone."""

from __future__ import annotations

import pytest
from django.urls import reverse

from labelling.models import Decision, LabelEvent, Project, ProposedLabel, TrainingExample
from labelling.services import Refused, label_life, nowhere, review
from tests.factories import account, fresh, fruit_project, import_rows, run_round

pytestmark = pytest.mark.django_db

TOOLS = ("hammer", "spanner", "chisel")


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    """Texts about two tools among the fruits; a person has put most of them to none of these."""
    ann = account("ann")
    project = fruit_project(manager=ann, retrain_after=0)
    import_rows(project, [(f"{tool} {tool} {tool} in the box, item {n}", "") for tool in TOOLS for n in range(9)])
    for document in project.documents.filter(text__contains="in the box"):
        if "item 8" not in document.text:
            review.relabel(document, ann, None)
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def client(client, ann):
    client.force_login(ann)
    return client


def proposal(project: Project, word: str = "hammer") -> ProposedLabel:
    return nowhere.waiting(project).get(name__contains=word)


def page(client, project: Project) -> str:
    response = client.get(reverse("nowhere", args=[project.slug]))
    assert response.status_code == 200
    return response.content.decode()


def test_groups_are_proposed_with_name_definition_and_nearest_label(project, client):
    for tool in TOOLS:
        found = proposal(project, tool)
        assert {document.text.split()[0] for document in found.documents.all()} == {tool}
        assert found.size == found.documents.count() >= 8
        assert tool in found.definition
        assert found.nearest in project.labels.all()
        assert found.nearest.name in found.definition
        assert not set(found.neighbours.all()) & set(found.documents.all())
    shown = page(client, project)
    assert shown.count("Make this a label") == 3
    assert "texts belong to none of these" in shown


def test_one_click_makes_the_label_and_its_texts_are_decided(project, client, ann):
    found = proposal(project)
    ticked = list(found.documents.values_list("pk", flat=True))[1:]
    answer = client.post(
        reverse("make_label", args=[project.slug, found.pk]),
        {"name": "hammers", "definition": "Tools to hit with.", "document": ticked},
    )
    label = project.labels.get(name="hammers")
    assert answer.url == reverse("label", args=[project.slug, label.pk])
    assert label.definition == "Tools to hit with."
    assert set(TrainingExample.objects.filter(label=label).values_list("document", flat=True)) == set(ticked)
    assert not nowhere.waiting(project).filter(pk=found.pk).exists()
    import_rows(project, [("hammer hammer hammer in the shed", "")])
    run_round(project)
    assert nowhere.waiting(project).count() == 2, "the others are proposed still"
    assert project.documents.get(text__contains="in the shed").prediction.label == label


def test_only_its_neighbours_are_asked_again(project, ann):
    found = proposal(project)
    near, far = (project.documents.get(text__contains=f"{tool} in the box, item 8") for tool in TOOLS[:2])
    round_ = project.rounds.get()
    for document in (near, far):
        project.settled_labels.filter(document=document).delete()
        project.settled_labels.create(document=document, label=None, source="model", posterior=0.95, round=round_)
    found.documents.remove(near)
    found.neighbours.add(near)
    found.neighbours.remove(far)
    event = nowhere.make(found, "hammers", "", found.documents.values_list("pk", flat=True), ann)
    assert not project.settled_labels.filter(document=near, left_at=None).exists()
    assert project.settled_labels.filter(document=far, left_at=None).exists()
    label_life.undo(event, ann)
    assert project.settled_labels.filter(document=near, left_at=None).exists()
    assert project.labels.get(name="hammers").retired_at
    assert set(TrainingExample.objects.filter(label=None).values_list("source", flat=True)) == {"human"}
    assert proposal(project) == found


def test_texts_that_are_not_listed_are_ticked_as_one(project, client, monkeypatch):
    monkeypatch.setattr("labelling.views.nowhere.SHOWN_TEXTS", 2)
    found = proposal(project)
    assert f"and {found.size - 2} more" in page(client, project)
    data = {"name": "hammers", "document": [nowhere.texts(found)[0].pk], "rest": "1"}
    client.post(reverse("make_label", args=[project.slug, found.pk]), data)
    assert project.labels.get(name="hammers").examples.count() == found.size - 1


@pytest.mark.parametrize(
    ("name", "n_ticked", "reason"),
    [("", 1, "A name has 1 to 200"), ("apple", 1, "of this name already"), ("hammers", 0, "at least one text")],
)
def test_what_can_not_be_is_refused(project, ann, name, n_ticked, reason):
    found = proposal(project)
    with pytest.raises(Refused, match=reason):
        nowhere.make(found, name, "", found.documents.values_list("pk", flat=True)[:n_ticked], ann)
    assert not LabelEvent.objects.exists()
    assert not Decision.objects.filter(label__isnull=False).exists()


def test_a_dismissed_proposal_does_not_come_back_until_it_is_taken_back(project, client):
    found = proposal(project)
    client.post(reverse("dismiss_proposal", args=[project.slug, found.pk]))
    run_round(project)
    assert not nowhere.waiting(project).filter(name__contains="hammer").exists()
    assert "1 proposal was dismissed" in page(client, project)
    with pytest.raises(Refused, match="decided on it"):
        nowhere.make(found, "hammers", "", [found.documents.first().pk], project.memberships.get().user)
    client.post(reverse("dismiss_proposal", args=[project.slug, found.pk]), {"again": "1"})
    assert proposal(project) == found


def test_the_page_says_why_there_is_nothing(ann, client):
    project = fruit_project(manager=ann)
    assert "The first round looks for groups." in page(client, project)
    run_round(project)
    assert "Every text belongs to one of your labels" in page(client, project)
    document = project.documents.pool().first() or project.documents.first()
    review.relabel(document, ann, None)
    assert "No group stands out" in page(client, project)
    assert project.labels.count() == 4

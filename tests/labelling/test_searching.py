"""The search for one label among many: what it finds, in which order, and how fast."""

from __future__ import annotations

from functools import partial

import pytest
from django.urls import reverse

from labelling.models import Decision, Label
from labelling.services import claims, labels
from labelling.services.searching import MAX_FOUND, find_labels, recent_labels
from tests.factories import fruit_project, import_doubtful, import_rows, make_project, make_user, quickest, run_round

pytestmark = pytest.mark.django_db

LABELS = (
    ("card_arrival", "", "Where is my card; Kartenlieferung", "The card has not come."),
    ("crème fraîche", "", "", "Sour."),
    ("lost_card", "", "stolen", "Use when a card is gone, not when it has not come."),
    ("Manufacturing of food products", "10", "", "Machines."),
    ("Manufacture of sugar", "10.81", "", "From beet and cane."),
    ("Sale of sugar", "46.36", "", "Also of chocolate."),
    ("pineapple", "", "", "A tropical fruit."),
    ("apple", "", "", ""),
    ("quince", "", "", "Like an apple."),
)


@pytest.fixture
def project(ann):
    project = make_project(ann)
    for name, code, synonyms, definition in LABELS:
        label = Label.objects.create(project=project, name=name, code=code, synonyms=synonyms)
        labels.define(label, definition, ann)
    labels.place(project.labels.get(code="10.81"), project.labels.get(code="10"))
    return project


def names(project, query, guesses=(), recent=()) -> list[str]:
    return [one.label.name for one in find_labels(project, query, guesses, recent).labels]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("card arrival", ["card_arrival"]),
        ("where is", ["card_arrival"]),
        ("KARTEN", ["card_arrival"]),
        ("creme fraiche", ["crème fraîche"]),
        ("stolen come", ["lost_card"]),
        # The name before the definition.
        ("apple", ["apple", "pineapple", "quince"]),
        ("card", ["card_arrival", "lost_card"]),
        ("like apple", ["quince"]),
        ("tropical pine", ["pineapple"]),
        # Codes, whole and their beginning; what lies below a label that is named.
        ("10.81", ["Manufacture of sugar"]),
        ("46", ["Sale of sugar"]),
        ("food products", ["Manufacturing of food products", "Manufacture of sugar"]),
        # Word starts, in any order, before what is inside a word.
        ("sug man", ["Manufacture of sugar"]),
        ("prod food", ["Manufacturing of food products", "Manufacture of sugar"]),
        # Typos: left out, doubled, swapped, wrong; also where a word is not written out yet.
        ("manfacture suger", ["Manufacture of sugar"]),
        ("manfacturing suger", ["Manufacture of sugar"]),
        ("manfacturing", ["Manufacturing of food products", "Manufacture of sugar"]),
        ("manufcat", ["Manufacturing of food products", "Manufacture of sugar"]),
        ("suagr", ["Manufacture of sugar", "Sale of sugar"]),
        ("aple", ["apple"]),
        ("crad", ["card_arrival", "lost_card"]),
        # Not in three letters, nor so many of them.
        ("xap", []),
        ("nothing like it", []),
        ("", []),
        ("   ", []),
        ("\x1f", []),
    ],
)
def test_the_search_finds(project, query, expected):
    assert names(project, query) == expected


def test_guesses_then_recent_labels_decide_between_equals_and_nothing_typed_shows_them(project):
    lost, arrival, quince = (project.labels.get(name=name).pk for name in ("lost_card", "card_arrival", "quince"))
    assert names(project, "come") == ["card_arrival", "lost_card"]
    assert names(project, "come", [lost]) == ["lost_card", "card_arrival"]
    assert names(project, "come", recent=[lost]) == ["lost_card", "card_arrival"]
    assert names(project, "come", [arrival], [lost]) == ["card_arrival", "lost_card"]
    assert names(project, "", [lost, arrival], [quince, lost]) == ["quince", "lost_card", "card_arrival"]
    found = find_labels(project, "", [lost], [quince]).labels
    assert [one.is_recent for one in found] == [True, False]


def test_what_changes_is_found_at_once_and_what_is_retired_no_more(project, ann):
    sugar = project.labels.get(code="10.81")
    (found,) = find_labels(project, "beet").labels
    assert (found.label, found.above) == (sugar, ("10 Manufacturing of food products",))
    labels.define(sugar, "From plants.", ann)
    Label.objects.filter(pk=sugar.pk).update(synonyms="sweet stuff")
    assert names(project, "beet") == []
    assert names(project, "sweet stuff") == ["Manufacture of sugar"]
    Label.objects.filter(pk=sugar.pk).update(retired_at=project.created_at)
    assert names(project, "sweet stuff") == []


def test_it_says_how_many_more_there_are(client, ann):
    project = make_project(ann)
    Label.objects.bulk_create(Label(project=project, name=f"label {n:02d}") for n in range(MAX_FOUND + 3))
    found = find_labels(project, "label")
    assert (len(found.labels), found.n_more) == (MAX_FOUND, 3)
    client.force_login(ann)
    page = client.get(reverse("search_labels", args=[project.slug]), {"q": "label"}).content.decode()
    assert "3 more: type on to see them." in page
    assert (
        "No label matches."
        in client.get(reverse("search_labels", args=[project.slug]), {"q": "nothing"}).content.decode()
    )


@pytest.mark.parametrize("n_labels", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_labels_are_searched_in_two_queries_and_50_ms(ann, django_assert_num_queries, n_labels):
    project = make_project(ann)
    text = "Use when a customer wants to know about it, not when something else is meant. " * 3
    Label.objects.bulk_create(
        Label(project=project, name=f"label_{n}", definition=f"{text} héllo{n}", synonyms=f"word {n}; other {n}")
        for n in range(n_labels)
    )
    find_labels(project, "made ready")
    for query in ("label 77", "customer hello9", "nothing like it at all", "wo", "lable othre"):
        with django_assert_num_queries(1 if query.startswith("nothing") else 2):
            find_labels(project, query)
        assert (took := quickest(partial(find_labels, project, query))) < 0.1, (query, took)


def test_an_empty_search_offers_what_one_chose_last_and_the_documents_best_guesses(client, ann):
    project = fruit_project(manager=ann, judge="neighbours", batch_size=5, retrain_after=3)
    import_doubtful(project)
    run_round(project)
    entry = claims.claim_next(project, ann)
    client.force_login(ann)
    address, asked = reverse("search_labels", args=[project.slug]), {"q": "", "entry": entry.pk}
    found = client.get(address, asked).context["found"]
    assert [one.label.pk for one in found.labels] == [pk for pk, _ in entry.query.candidates]
    # A colleague's choices are theirs, and what was taken back is no choice.
    import_rows(project, [("one more", "")])
    document, (kiwi, fig) = (
        project.documents.get(text="one more"),
        (Label.objects.create(project=project, name=name) for name in ("kiwi", "fig")),
    )
    for user, label in ((ann, kiwi), (make_user(), fig)):
        Decision.objects.create(document=document, reviewer=user, action="override", label=label)
    undone = Decision.objects.create(document=document, reviewer=ann, action="override", label=fig)
    Decision.objects.create(document=document, reviewer=ann, action="undo", withdraws=undone)
    assert recent_labels(project, ann) == [kiwi.pk]
    found = client.get(address, asked).context["found"]
    assert found.labels[0].label == kiwi
    assert 'role="option"' in client.get(address, asked).content.decode()

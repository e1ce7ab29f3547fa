"""Documents whose label is known: new reviewers practise on them, others are measured, and nothing learns from it."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from labelling.models import BulkAct, Decision, Gold, GoldAnswer, People, Project, Query, TrainingExample
from labelling.services import Refused, bulk, claims, desk, finding, gold, labels, people, progress, review
from labelling.services.claims import claim_next
from tests.factories import account, fresh, fruit_project, import_doubtful, run_round

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = fruit_project(manager=account("ann"), reviewers=[account("bob"), account("cem")], retrain_after=0)
    import_doubtful(project)
    for name in ("apple", "mango"):
        labels.define(project.labels.get(name=name), f"The {name} itself.", account("ann"))
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


def pick(project: Project, user, n: int = 3) -> list[Gold]:
    seeds = project.documents.filter(example__source="seed").order_by("pk").values_list("pk", flat=True)[:n]
    desk.train_with(project, user, project.documents.filter(pk__in=list(seeds)), "some")
    return list(Gold.objects.select_related("document__example__label"))


def answered(project: Project, user, n_right: int, n_wrong: int) -> None:
    documents = project.documents.order_by("pk")[: n_right + n_wrong]
    GoldAnswer.objects.bulk_create(
        GoldAnswer(document=document, reviewer=user, is_right=n < n_right) for n, document in enumerate(documents)
    )


def demand(project: Project, **settings) -> Project:
    Project.objects.filter(pk=project.pk).update(**settings)
    project.refresh_from_db()
    return project


def question(project: Project):
    return next(entry for entry in project.queue.all() if entry.query.reason not in Query.BLIND)


# Picking


def test_managers_pick_what_has_a_known_label_and_take_it_back(project, client, ann, bob):
    act = reverse("act", args=[project.slug])
    seed = project.documents.filter(example__source="seed").first()
    open_ = project.documents.filter(example=None).first()
    asked = {"act": "gold", "document": [seed.pk, open_.pk]}
    client.force_login(bob)
    assert client.post(act, asked).status_code == 403
    client.force_login(ann)
    page = client.post(act, asked).content.decode()
    assert "Train reviewers with documents?" in page
    assert "1 more is left out." in page
    client.post(act, asked | {"confirmed": "1"})
    assert [one.document for one in Gold.objects.all()] == [seed]
    assert list(finding.find(project, ann, finding.Criteria(show="gold"))) == [seed]
    with pytest.raises(Refused):
        desk.train_with(project, ann, project.documents.filter(pk=seed.pk), "twice")
    desk.undo(BulkAct.objects.get(kind="gold"), ann)
    assert not Gold.objects.exists()


# Practice


def test_a_new_reviewer_begins_with_practice_and_is_told_what_is_right(project, client, ann, bob):
    first, second, third = pick(project, ann)
    before = (progress.counts(project), TrainingExample.objects.count(), project.queue.count())
    client.force_login(bob)
    page = client.get(reverse("review", args=[project.slug])).content.decode()
    assert "Practice: <strong>0</strong> of 3" in page
    assert first.document.text in page
    assert "Accept" not in page
    assert page.count(reverse("answer_gold", args=[project.slug, first.document_id])) == 4

    address = reverse("answer_gold", args=[project.slug, first.document_id])
    right = {"choice": f"override:{first.document.example.label_id}"}
    page = client.post(address, right, headers=HTMX).content.decode()
    assert "Right." in page
    assert "The apple itself." in page
    assert second.document.text in page
    wrong = {"choice": f"override:{project.labels.get(name='mango').pk}"}
    page = client.post(address, wrong, headers=HTMX).content.decode()
    assert "Right." in page, "what was said first stays said"
    address = reverse("answer_gold", args=[project.slug, second.document_id])
    page = client.post(address, wrong, follow=True).content.decode()
    assert "Wrong." in page
    assert "The apple itself." in page
    assert "Practice: <strong>2</strong> of 3" in page
    page = client.post(
        reverse("answer_gold", args=[project.slug, third.document_id]), {"choice": "skip"}, follow=True
    ).content.decode()
    assert "Practice" not in page
    assert project.queue.filter(claimed_by=bob).exists()

    assert gold.records(project) == {bob.pk: gold.Record(n=2, n_right=1)}
    assert not Decision.objects.exists()
    assert (progress.counts(project), TrainingExample.objects.count(), project.queue.count()) == before
    page = client.get(reverse("people", args=[project.slug])).content.decode()
    assert "Right on gold documents" in page
    assert "of 2" in page


def test_practice_is_for_reviewers_who_have_decided_nothing(project, ann, bob):
    pick(project, ann)
    assert gold.practice(project, ann) is None
    assert gold.practice(project, bob).n_practice == 3
    review.decide(project, claim_next(project, bob).pk, bob, "accept")
    assert gold.practice(project, bob) is None


def test_practice_has_an_end(project, ann, bob, monkeypatch):
    monkeypatch.setattr(gold, "PRACTICE", 2)
    for one in pick(project, ann, 4)[:2]:
        assert gold.practice(project, bob).n_practice == 2
        gold.answer(one.document, bob, "none", None)
    assert gold.practice(project, bob) is None


def test_where_it_is_demanded_nobody_decides_before(project, client, ann, bob):
    picked = pick(project, ann)
    demand(project, practice_first=True)
    entry, label = question(project), project.labels.get(name="apple")
    document = project.documents.filter(example=None).last()
    client.force_login(bob)
    address = reverse("decide", args=[project.slug, entry.pk])
    assert client.post(address, {"choice": "none"}, headers=HTMX).status_code == 400
    assert not bulk.offered(project, bob).exists()
    for decide in (
        lambda: review.decide(project, entry.pk, bob, "accept"),
        lambda: review.decide(project, entry.pk, bob, "skip"),
        lambda: review.relabel(document, bob, label),
        lambda: review.relabel_together(project, [document], bob, label),
        lambda: bulk.accept(project, bob, label, [document.pk]),
    ):
        with pytest.raises(Refused, match="practice first"):
            decide()
    assert not Decision.objects.exists()
    for one in picked:
        gold.answer(one.document, bob, "skip", None)
    assert bulk.offered(project, bob).exists()
    review.decide(project, entry.pk, bob, "accept")
    review.relabel(document, ann, label)


def test_who_has_decided_before_it_was_demanded_goes_on(project, ann, bob):
    review.decide(project, claim_next(project, bob).pk, bob, "accept")
    pick(project, ann)
    demand(project, practice_first=True)
    review.decide(project, claim_next(project, bob).pk, bob, "accept")


def test_no_answer_is_taken_to_what_is_no_gold(project, client, bob):
    client.force_login(bob)
    address = reverse("answer_gold", args=[project.slug, project.documents.first().pk])
    assert client.post(address, {"choice": "none"}).status_code == 400
    assert not GoldAnswer.objects.exists()


def test_a_label_below_the_known_one_is_right(project, ann, bob):
    one = pick(project, ann)[0]
    below = labels.add(project, "green apple", author=ann)
    labels.place(below, one.document.example.label)
    assert gold.answer(one.document, bob, "override", below).is_right


# Mixed in


def test_gold_is_mixed_in_at_the_share_and_stays_until_it_is_answered(project, ann, bob):
    pick(project, ann, 12)
    entry = claim_next(project, bob)
    assert gold.in_place_of(entry, bob) is None, "off by default"
    review.decide(project, entry.pk, bob, "accept")
    demand(project, gold_share=0.5)
    drawn = 0
    for _turn in range(16):
        if not (entry := claim_next(project, bob)):
            break
        if found := gold.in_place_of(entry, bob):
            assert gold.in_place_of(claim_next(project, bob), bob).document == found.document
            assert found.n_practice is None
            gold.answer(found.document, bob, "none", None)
            drawn += 1
        else:
            review.decide(project, entry.pk, bob, "accept")
    assert 3 <= drawn <= 12


def test_nobody_is_asked_what_they_decided_themselves(project, ann, bob):
    entry = claim_next(project, bob)
    review.relabel(entry.document, bob, project.labels.first())
    desk.train_with(project, ann, project.documents.filter(pk=entry.document_id), "bob's")
    demand(project, gold_share=1)
    assert gold.in_place_of(claim_next(project, bob), bob) is None
    pick(project, ann)
    assert gold.in_place_of(claim_next(project, bob), bob)


def test_of_later_rounds_as_many_are_answered_first(project):
    demand(project, gold_share=1)
    assert not project.queue.filter(answer_first=True).exists()
    round_ = run_round(project)
    assert set(project.queue.filter(query__round=round_).values_list("answer_first", flat=True)) == {True}


@pytest.fixture
def mixed(project, ann, bob) -> Project:
    """Everything is answered before the machine's word, and the next thing that bob gets is gold."""
    review.decide(project, claim_next(project, bob).pk, bob, "accept")
    project.queue.update(answer_first=True)
    pick(project, ann)
    return demand(project, gold_share=1)


def bare(page: str) -> str:
    """A page without what each document brings: its texts, its labels, its numbers, and which turn it is."""
    page = re.sub(
        r'<ol class="alternatives">.*?</ol>', lambda found: f"{found[0].count('<li>')} labels", page, flags=re.S
    )
    page = re.sub(r'(<p class="text"[^>]*>).*?</p>', r"\1", page, flags=re.S)
    return re.sub(r"\d+", "0", re.sub(r'((?:csrfmiddlewaretoken" value=|csrftoken": )")\w+', r"\1", page))


def test_a_page_with_gold_is_as_any_that_is_answered_first(mixed, client, bob):
    client.force_login(bob)
    address = reverse("review", args=[mixed.slug])
    as_gold = client.get(address)
    demand(mixed, gold_share=0)
    as_any = client.get(address)
    entry = claim_next(mixed, bob)
    assert entry.document.text in as_any.content.decode()
    assert entry.document.text not in as_gold.content.decode()
    assert bare(as_gold.content.decode()) == bare(as_any.content.decode())
    # Addresses are the same to the last digit: of what waits.
    addresses = [re.findall(r'(?:action|hx-\w+)="(/[^"]*)"', page.content.decode()) for page in (as_gold, as_any)]
    flag = reverse("flag", args=[mixed.slug, 0]).split("0")[0]
    of_gold, of_any = ([one for one in each if not one.startswith(flag)] for each in addresses)
    assert of_gold == of_any


def test_what_is_sent_is_the_same_and_counts_for_what_was_shown(mixed, client, bob):
    client.force_login(bob)
    entry = claim_next(mixed, bob)
    shown = gold.in_place_of(entry, bob).document
    address = reverse("decide", args=[mixed.slug, entry.pk])
    said = {"choice": f"override:{shown.example.label_id}", "document": shown.pk, "answered": "first"}
    # Also when managers turn it off between page and answer.
    demand(mixed, gold_share=0)
    page = client.post(address, said, headers=HTMX).content.decode()
    assert "Right." in page
    assert entry.document.text in page
    assert not Decision.objects.filter(document__in=[shown, entry.document]).exists()
    client.post(address, said, headers=HTMX)
    assert GoldAnswer.objects.filter(reviewer=bob).count() == 1

    client.post(address, said | {"document": entry.document_id}, headers=HTMX)
    assert Decision.objects.get(document=entry.document_id).reviewer == bob


def test_the_search_tells_no_more_than_elsewhere(mixed, client, bob):
    client.force_login(bob)
    entry = claim_next(mixed, bob)
    address = f"{reverse('search_labels', args=[mixed.slug])}?entry={entry.pk}&q="
    with_gold = client.get(address).content
    mixed.queue.update(answer_first=False)
    assert client.get(address).content == with_gold


def test_only_managers_find_out_which_documents_are_gold(mixed, ann, bob):
    assert finding.find(mixed, ann, finding.Criteria(show="gold")).count() == 3
    assert not finding.find(mixed, bob, finding.Criteria(show="gold")).exists()


# Below the limit


@pytest.mark.parametrize(
    ("limit", "n_right", "n_wrong", "needs"),
    [(0, 0, 20, False), (0.8, 7, 2, False), (0.8, 8, 2, False), (0.8, 7, 3, True), (1, 20, 0, False)],
)
def test_who_is_right_too_seldom_needs_a_second_person(project, ann, bob, limit, n_right, n_wrong, needs):
    review.relabel(project.documents.filter(example=None).last(), ann, project.labels.first())
    demand(project, gold_limit=limit)
    answered(project, bob, n_right, n_wrong)
    assert gold.needs_second(project, bob) is needs


def test_alone_nobody_needs_a_second_person(project, ann, bob):
    demand(project, gold_limit=0.8)
    answered(project, bob, 0, 10)
    assert not gold.needs_second(project, bob)


def test_their_decisions_wait_for_a_second_person_who_does_not_see_them(project, client, ann, bob):
    review.relabel(project.documents.filter(example=None).last(), ann, project.labels.first())
    demand(project, gold_limit=0.8)
    answered(project, bob, 0, 10)
    entry = question(project)
    assert review.decide(project, entry.pk, bob, "accept").people == People.TWO
    assert not TrainingExample.objects.filter(document=entry.document_id).exists()
    assert not claims.available(project, bob).filter(pk=entry.pk).exists()
    assert claims.available(project, ann).filter(pk=entry.pk).exists()
    review.decide(project, entry.pk, ann, "accept")
    assert TrainingExample.objects.get(document=entry.document_id).source == "human"

    assert not bulk.offered(project, bob).exists()
    document = project.documents.filter(example=None).first()
    for alone in (
        lambda: review.relabel(document, bob, project.labels.first()),
        lambda: review.relabel_together(project, [document], bob, project.labels.first()),
        lambda: bulk.accept(project, bob, project.labels.first(), [document.pk]),
    ):
        with pytest.raises(Refused, match="second person"):
            alone()
    assert [one.needs_second for one in people.numbers(project, bob)] == [True]
    client.force_login(ann)
    assert "needs a second person" in client.get(reverse("people", args=[project.slug])).content.decode()

"""The documents desk: each filter, each order, what is done with many at once, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labelling import jobs
from labelling.models import (
    BulkAct,
    Certificate,
    Cohort,
    CohortMember,
    Decision,
    Document,
    Prediction,
    Project,
    Query,
    SettledLabel,
    Verdict,
)
from labelling.services import Refused, claims, desk, finding, flags, removals, review, rounds, suggesting
from labelling.services.finding import Criteria
from labelling.views import paging
from tests.factories import fruit_project, import_rows, make_project, make_user, run_round

pytestmark = pytest.mark.django_db


@pytest.fixture
def project(ann, bob) -> Project:
    return fruit_project(manager=ann, reviewers=[bob], batch_size=5, retrain_after=0)


@pytest.fixture
def learnt(project) -> Project:
    run_round(project)
    return project


def texts(documents: Iterable[Document]) -> list[str]:
    return sorted(document.text for document in documents)


def found(project: Project, user, **asked) -> list[str]:
    return texts(finding.find(project, user, Criteria(**asked)))


def desk_page(client, project: Project, **asked):
    return client.get(reverse("documents", args=[project.slug]), asked)


# Words

TEXTS = (
    "Die Öffnung der Straße",
    "card lost, card stolen",
    "the lost card",
    "e-mail to x@y.org, 110.5",
    "naïve café a b",
)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("card", [1, 2]),
        ("CARD lost", [1, 2]),
        ("car", [1, 2]),
        ("ard", []),
        ('"lost card"', [1, 2]),
        ('"the lost"', [2]),
        ('"lost car"', []),
        ('"card lost" stolen', [1]),
        ("öffnung", [0]),
        ("Öff", [0]),
        ("e-mail", [3]),
        ("mail org", [3]),
        ("110.5", [3]),
        ("a", [4]),
        ("s", []),
        ("café", [4]),
        ("cafe", []),
        ("card -lost", [1, 2]),
        ("card OR mail", []),
        ("' \" ) ( : * & | ! <->", []),
        ("card')", [1, 2]),
        ("nothing", []),
    ],
)
def test_a_text_is_found_by_its_words(query, expected):
    project = make_project()
    import_rows(project, [(text, "") for text in TEXTS])
    other = make_project()
    import_rows(other, [("another card", "")])
    assert found(project, None, words=query) == texts(Document(text=TEXTS[place]) for place in expected)


def test_words_follow_the_text():
    project = make_project()
    import_rows(project, [("before", "")])
    document = project.documents.get()
    document.text = "after"
    document.save()
    assert (found(project, None, words="before"), found(project, None, words="after")) == ([], ["after"])
    document.delete()
    assert found(project, None, words="after") == []
    assert found(project, None, words="?!") == []


@pytest.mark.parametrize("value", ["web", "web form", "Büro 5", 'a "quoted" one', "–", "5", "back\\slash"])
@pytest.mark.parametrize("column", ["channel", "2020", 'of "x"', "a.b", "Größe", "a__b"])
def test_metadata_is_found_by_any_column_and_value(column, value):
    project = make_project()
    import_rows(
        project, [("one", "", value), ("two", "", f"{value} more"), ("three", "", "")], header=("text", "label", column)
    )
    assert found(project, None, column=column, value=value) == ["one"]
    assert found(project, None, column="other", value=value) == []


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite's own plans")
def test_the_index_of_a_projects_documents_leaves_their_key_to_sqlite():
    """Where it is named, each document is compared with each key that is wanted, as soon as predictions are joined."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA index_info(documents_of_a_project)")
        assert [name for *_, name in cursor.fetchall()] == ["project_id"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite's own plans")
@pytest.mark.parametrize("asked", [{"words": "apple"}, {"column": "colour", "value": "red"}])
@pytest.mark.parametrize("sort", ["doubtful", "sure"])
def test_the_first_by_belief_are_found_along_the_index_whatever_words_they_have(learnt, ann, asked, sort):
    criteria = Criteria(**asked, sort=sort)
    documents, in_order = finding.find_in_order(learnt, ann, criteria)
    assert texts(documents) == texts(in_order)
    plan = in_order.order_by(*(f"-{name}" if largest else name for name, largest in criteria.order))[:51].explain()
    assert "predictions_by_belief" in plan
    assert "ORDER BY" not in plan


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite's own plans")
def test_where_a_predicted_label_is_asked_for_its_predictions_are_read_and_not_all_that_have_the_words(learnt, ann):
    label = learnt.labels.get(name="apple")
    documents = finding.find(learnt, ann, Criteria(words="apple", predicted=label))
    assert documents.count() > 0
    assert set(documents) == {
        one for one in finding.find(learnt, ann, Criteria(predicted=label)) if "apple" in one.text
    }
    assert "(posterior_label_id=?)" in documents.explain()


# Filters


def test_each_filter_finds_what_it_says(learnt, ann, bob):
    project, pool = learnt, learnt.documents.pool()
    apple, mango = (project.labels.get(name=name) for name in ("apple", "mango"))
    first, second, third = pool.filter(queue_entry=None)[:3]
    review.relabel(first, ann, apple)
    review.relabel(second, bob, mango)
    Prediction.objects.filter(document=third).update(posterior=0.123, posterior_label=mango)
    query = Query.objects.filter(document__project=project)[0]
    Query.objects.filter(pk=query.pk).update(reason=Query.Reason.UNCERTAIN)
    Verdict.objects.filter(query=query).delete()
    Verdict.objects.create(query=query, verdict="unsure", judge="anthropic")
    project.settled_labels.all().delete()
    round_ = project.rounds.get()
    settled = [
        SettledLabel.objects.create(project=project, document=one, label=apple, posterior=0.9, round=round_)
        for one in (second, third)
    ]
    cohort = Cohort.objects.create(project=project, ledger=9, number=1, round=round_)
    numbers = dict.fromkeys(("n", "k", "ever", "now", "still_needed", "n_open", "n_catching_up", "ledger"), 0)
    figures = dict.fromkeys(("limit", "level", "depth", "bound"), 0.1)
    certificate = Certificate.objects.create(
        project=project, round=round_, holds=True, finite=False, **numbers, **figures
    )
    CohortMember.objects.create(cohort=cohort, settled=settled[1], key=0.1, certificate=certificate)
    today = timezone.now().date()
    flags.flag(third, ann, "odd")
    import_rows(project, [("from elsewhere", "", "x-1")], header=("text", "label", "id"), id_column="id")
    elsewhere = project.imports.first()

    def of(**asked) -> list[str]:
        return found(project, ann, **asked)

    assert first.text in of(show="human")
    assert of(label=mango, show="human") == [second.text]
    assert of(show="flagged") == of(least=0.12, most=0.13) == [third.text]
    assert third.text in of(predicted=mango)
    assert third.text not in of(predicted=apple)
    assert of(show="settled") == texts([second, third])
    assert (of(certified="yes"), of(certified="no")) == ([third.text], [second.text])
    assert query.document.text in of(verdict="unsure")
    assert of(reviewer=bob) == of(reviewer=bob, since=today, until=today) == [second.text]
    assert of(reviewer=bob, until=today.replace(year=2000)) == []
    assert set(of(round=round_)) == set(Document.objects.filter(queries__round=round_).values_list("text", flat=True))
    assert of(csv_import=elsewhere) == of(own_id="x-1") == ["from elsewhere"]
    assert of(own_id="x") == of(own_id="x-1", show="holdout") == []
    assert len(of()) == 37
    assert len(of(sort="sure")) < 37


def test_a_parent_stands_for_what_lies_below_it(project, ann):
    apple, mango = (project.labels.get(name=name) for name in ("apple", "mango"))
    mango.parent = apple
    mango.save()
    assert len(found(project, ann, label=apple)) == 4
    assert len(found(project, ann, label=apple, below=True)) == 8


def test_nobody_finds_out_what_the_judge_said_of_an_audit_or_what_the_other_of_two_said(learnt, ann, bob):
    entry = learnt.queue.first()
    Query.objects.filter(pk=entry.query_id).update(reason=Query.Reason.POOL_CHECK)
    Verdict.objects.filter(query__document=entry.document).delete()
    Verdict.objects.create(query=entry.query, verdict="valid", judge="anthropic")
    document = entry.document
    for asked in (
        {"verdict": "valid"},
        {"least": 0.0},
        {"sort": "sure"},
        {"predicted": document.prediction.posterior_label},
    ):
        assert document.text not in found(learnt, ann, **asked), asked
    other = learnt.queue.exclude(pk=entry.pk).first()
    learnt.queue.filter(pk=other.pk).update(people=2)
    review.decide(learnt, other.pk, bob, "accept")
    assert found(learnt, ann, reviewer=bob) == []
    assert found(learnt, bob, reviewer=bob) == [other.document.text]


# The page


@pytest.mark.parametrize("asked", [{}, {"sort": "newest"}, {"sort": "sure"}, {"sort": "doubtful"}, {"show": "queue"}])
def test_pages_show_each_document_once_there_and_back(client, ann, learnt, monkeypatch, asked):
    monkeypatch.setattr(paging, "PER_PAGE", 3)
    client.force_login(ann)
    page, seen = desk_page(client, learnt, **asked).context["page"], []
    while True:
        seen.append([document.pk for document in page.rows])
        if not page.after:
            break
        page = desk_page(client, learnt, **asked, after=page.after).context["page"]
    flat = [pk for pks in seen for pk in pks]
    assert sorted(flat) == sorted(set(flat))
    assert len(flat) == page.n
    for pks in reversed(seen[:-1]):
        page = desk_page(client, learnt, **asked, before=page.before).context["page"]
        assert [document.pk for document in page.rows] == pks
    assert not page.before


@pytest.mark.parametrize(
    "place", ["x", "[", "[1,2,3]", '["1"]', "[NaN]", "[1e999]", "{}", "null", "[99999999999999999999]"]
)
def test_a_place_that_is_none_is_the_first_page(client, ann, project, place):
    client.force_login(ann)
    assert desk_page(client, project, after=place).context["page"].rows[0] == project.documents.first()


@pytest.mark.parametrize(
    "asked",
    [
        {"label": "x"},
        {"show": "no"},
        {"least": "2"},
        {"since": "yesterday"},
        {"until": "9999-12-31"},
        {"column": "none"},
        {"like_document": "0"},
        {"figure": "odd"},
        {"sort": "odd"},
    ],
)
def test_a_filter_with_mistakes_finds_nothing_and_deletes_nothing(client, ann, project, asked):
    client.force_login(ann)
    answer = desk_page(client, project, **asked)
    assert answer.context["page"].n == 0
    assert "errorlist" in answer.content.decode()
    where = f"{reverse('delete_documents', args=[project.slug])}?" + "&".join(f"{k}={v}" for k, v in asked.items())
    client.post(where, {"all": "", "confirmed": 36})
    assert project.documents.count() == 36


def test_the_page_asks_as_many_questions_however_many_documents(client, ann, learnt, django_assert_max_num_queries):
    client.force_login(ann)
    desk_page(client, learnt)
    with CaptureQueriesContext(connection) as few:
        desk_page(client, learnt, q="apple", show="pool", sort="sure")
    assert len(few) <= 21


def test_views_are_kept_shared_and_removed(client, ann, bob, project):
    client.force_login(bob)
    address = reverse("save_view", args=[project.slug])
    for shared in ({}, {"is_shared": "on"}):
        client.post(address, {"name": "mine", "query": "q=apple&show=pool"} | shared)
    view = project.saved_views.get()
    shown = client.get(view.get_absolute_url(), follow=True)
    assert shown.context["page"].n == 5
    stranger = make_user("stranger")
    for user, status in ((ann, 302), (stranger, 404)):
        client.force_login(user)
        assert client.get(view.get_absolute_url()).status_code == status
    client.force_login(ann)
    private = project.saved_views.create(user=bob, name="private")
    assert client.post(private.get_absolute_url()).status_code == 404
    assert "Keep this view" in desk_page(client, project).content.decode()
    client.post(view.get_absolute_url())
    assert list(project.saved_views.all()) == [private]
    assert "needs a name" in client.post(address, {"name": ""}, follow=True).content.decode()


def test_my_decisions_go_back_to_the_first_and_looking_changes_nothing(client, bob, learnt, monkeypatch):
    monkeypatch.setattr(paging, "PER_PAGE", 2)
    while entry := claims.claim_next(learnt, bob):
        review.decide(learnt, entry.pk, bob, "accept")
    n = Decision.objects.count()
    client.force_login(bob)
    address, rows = reverse("decisions", args=[learnt.slug]), []
    page = client.get(address).context["page"]
    rows += page.rows
    while page.after:
        page = client.get(address, {"after": page.after}).context["page"]
        rows += page.rows
    assert [row.pk for row in rows] == list(Decision.objects.values_list("pk", flat=True))
    client.get(reverse("document", args=[learnt.slug, rows[-1].document_id]))
    assert Decision.objects.count() == n
    word = rows[0].document.text.split()[0]
    found = client.get(address, {"q": word}).context["page"].rows
    assert found
    assert all(word in row.document.text for row in found)


# Meaning


def test_documents_like_a_text_or_another_document_come_the_most_alike_first(client, ann, learnt, served):
    client.force_login(ann)
    page = desk_page(client, learnt, like="mango mango").context["page"]
    assert all("mango" in document.text for document in page.rows[:9])
    assert page.rows[0].similarity >= page.rows[1].similarity >= page.rows[-1].similarity
    first = learnt.documents.filter(text__startswith="cherry")[0]
    alike = desk_page(client, learnt, like_document=first.pk, show="pool").context["page"].rows
    assert first not in alike
    assert all("cherry" in document.text for document in alike[:5])
    import_rows(learnt, [("not embedded yet", "")])
    assert desk_page(client, learnt, like="mango").context["page"].n == 36


def test_what_a_round_has_read_is_found_at_once_and_what_is_deleted_takes_nobodys_place(ann, learnt, served):
    import_rows(learnt, [("a mango that came later", "")])
    later = learnt.documents.get(text__contains="later")
    assert later.pk not in suggesting.nearest(learnt, later.text, 100)
    run_round(learnt)
    found = list(suggesting.nearest(learnt, later.text, 3))
    assert found[0] == later.pk
    removals.delete_documents(learnt, ann, learnt.documents.filter(pk__in=found), "the first")
    again = suggesting.nearest(learnt, later.text, 3)
    assert len(again) == 3
    assert not set(again) & set(found)


def test_whoever_asks_for_what_is_alike_counts_no_documents(learnt, served):
    suggesting.nearest(learnt, "mango", 3)
    with CaptureQueriesContext(connection) as asked:
        suggesting.nearest(learnt, "apple", 3)
    assert len(asked) <= 5
    assert not [query for query in asked if "COUNT(" in query["sql"]]


def test_without_the_process_that_knows_meaning_the_page_says_what_to_start(client, ann, learnt):
    client.force_login(ann)
    answer = desk_page(client, learnt, like="mango")
    assert "manage.py serve_model" in answer.content.decode()
    assert answer.context["page"].n == 0


# Many at once


def act(client, project: Project, kind: str, documents=(), query: str = "", **told):
    ticked = [document.pk for document in documents]
    address = f"{reverse('act', args=[project.slug])}?{query}"
    return client.post(address, {"act": kind, "document": ticked} | told, follow=True)


def test_a_label_is_given_to_the_ticked_after_they_were_counted_and_taken_back_as_one(client, bob, learnt):
    client.force_login(bob)
    mango, audited = learnt.labels.get(name="mango"), learnt.queue.first()
    Query.objects.filter(pk=audited.query_id).update(reason=Query.Reason.POOL_CHECK)
    Document.objects.filter(pk=learnt.documents.last().pk).update(holdout=True)
    some = [
        *learnt.documents.filter(text__startswith="apple", queue_entry=None)[:3],
        audited.document,
        learnt.documents.last(),
    ]
    page = act(client, learnt, "label", some).content.decode()
    assert "3 documents. Chosen: ticked." in page
    assert "2 more are left out" in page
    act(client, learnt, "label", some, confirmed=4, to=mango.pk)
    act(client, learnt, "label", some, confirmed=3, to="")
    act(client, learnt, "label", confirmed=3, to=mango.pk)
    assert not BulkAct.objects.exists()
    before = {document.pk: getattr(document, "example", None) for document in some[:3]}
    page = act(client, learnt, "label", some, confirmed=3, to=mango.pk).content.decode()
    assert "Labelled: 3" in page
    assert found(learnt, bob, label=mango, show="human") == texts(some[:3])
    done = BulkAct.objects.get()
    client.post(reverse("undo_act", args=[learnt.slug, done.pk]))
    after = {document.pk: getattr(document, "example", None) for document in learnt.documents.in_bulk(before).values()}
    assert {pk: one and (one.label, one.source) for pk, one in after.items()} == {
        pk: one and (one.label, one.source) for pk, one in before.items()
    }
    with pytest.raises(Refused, match="undone already"):
        desk.undo(done, bob)


def test_all_that_fit_are_for_managers(client, ann, bob, learnt):
    client.force_login(bob)
    where = reverse("act", args=[learnt.slug]) + "?show=seed"
    assert client.post(where, {"act": "flag", "all": ""}).status_code == 403
    client.force_login(ann)
    assert "16 documents. Chosen: Seed examples." in client.post(where, {"act": "flag", "all": ""}).content.decode()
    client.post(where, {"act": "flag", "all": "", "confirmed": 16, "comment": ""})
    assert not BulkAct.objects.exists()
    client.post(where, {"act": "flag", "all": "", "confirmed": 16, "comment": "look"})
    assert flags.standing(learnt).count() == 16
    client.force_login(bob)
    client.post(reverse("undo_act", args=[learnt.slug, BulkAct.objects.get().pk]))
    assert flags.standing(learnt).count() == 16
    client.force_login(ann)
    client.post(reverse("undo_act", args=[learnt.slug, BulkAct.objects.get().pk]))
    assert flags.standing(learnt).count() == 0
    monkey = desk.reach(learnt, "flag", learnt.documents.all())
    assert (monkey.n, monkey.n_left_out) == (36, 0)


def test_too_many_are_refused(learnt, ann, monkeypatch):
    monkeypatch.setattr(desk, "AT_MOST", 2)
    with pytest.raises(Refused, match="At most 2"):
        desk.flag(learnt, ann, learnt.documents.all(), "all", "odd")
    with pytest.raises(Refused, match="none of these"):
        desk.flag(learnt, ann, learnt.documents.none(), "none", "odd")


def test_what_is_sent_to_review_comes_first_survives_a_round_and_is_decided_on(client, ann, bob, learnt):
    client.force_login(ann)
    learnt.queue.all().delete()
    seed = learnt.documents.filter(example__source="seed", queries=None, prediction=None)[0]
    some = list(learnt.documents.filter(prediction__isnull=False, holdout=False, example=None)[:3])
    Query.objects.filter(document=some[0]).delete()
    page = act(client, learnt, "review", [*some, seed]).content.decode()
    assert "1 more is left out" in page
    act(client, learnt, "review", [*some, seed], confirmed=3)
    assert learnt.queue.filter(sent_by=ann).count() == 3
    jobs.run_round(rounds.start_round(learnt).pk)
    assert learnt.queue.filter(sent_by=ann).count() == 3
    client.force_login(bob)
    assert client.get(reverse("review", args=[learnt.slug])).status_code == 200
    entry = learnt.queue.filter(sent_by=ann).last()
    review.decide(learnt, entry.pk, bob, "accept")
    assert entry.document.decisions.get().reviewer == bob
    claims.release(learnt, bob)
    assert desk.undo(BulkAct.objects.get(), ann) == 2
    assert not learnt.queue.filter(sent_by=ann).exists()


def test_what_is_exported_is_what_was_ticked_or_fits(client, ann, learnt):
    client.force_login(ann)
    some = list(learnt.documents.all()[:2])
    page = client.post(reverse("export_page", args=[learnt.slug]), {"document": [one.pk for one in some]})
    assert "Only the 2 documents that were ticked" in page.content.decode()
    file = reverse("export_file", args=[learnt.slug])

    def exported(**asked) -> list[str]:
        lines = client.get(file, {"format": "jsonl"} | asked).getvalue().decode().splitlines()
        return sorted(json.loads(line)["text"] for line in lines)

    assert exported(document=[one.pk for one in some]) == texts(some)
    page = client.post(reverse("export_page", args=[learnt.slug]) + "?q=mango&show=seed", {"all": ""}).content.decode()
    assert "Only documents that fit: Seed examples, mango" in page
    assert exported(fits="q=mango&show=seed") == found(learnt, ann, words="mango", show="seed")
    refused = client.get(file, {"fits": "label=x"}, follow=True).content.decode()
    assert "can&#x27;t be read" in refused or "can't be read" in refused


def test_an_empty_desk_says_how_documents_come_to_whoever_may_bring_them(client):
    manager, reviewer = make_user(), make_user()
    project = make_project(manager, [reviewer])
    for user, may_import in ((manager, True), (reviewer, False)):
        client.force_login(user)
        said = desk_page(client, project).content.decode()
        assert "Nothing has been imported yet" in said
        assert (reverse("upload", args=[project.slug]) in said) == may_import
    assert "No document fits" in desk_page(client, project, q="word").content.decode()

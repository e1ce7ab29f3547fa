"""Reviewers who get what they are experts in, and documents that only people decide on."""

from __future__ import annotations

from itertools import pairwise

import pytest
from django.urls import reverse

from labelling.models import AuditDraw, DiaryEntry, Expertise, Label, PeopleOnly, Project, Query, SettledLabel
from labelling.services import access, audits, claims, domains, glances, labels, progress, projects, review
from labelling.services.claims import claim_next
from labelling.services.domains import leave_to_people, limit
from labelling.services.suggesting import Standing
from tests.factories import account, fresh, fruit_rows, import_rows, make_project, run_round

pytestmark = pytest.mark.django_db

LANGUAGES = ("de", "fr", "en")


def tagged_project() -> Project:
    """60 texts of which the model is sure, each with a language: a third of them begins the ledger."""
    people = {"manager": account("ann"), "reviewers": [account("bob"), account("cem")]}
    project = make_project(**people, retrain_after=0, strategy="gain")
    rows = [(*row, LANGUAGES[n % 3]) for n, row in enumerate(fruit_rows(n_seeds=6, n_pool=15))]
    import_rows(project, rows, header=("text", "label", "language"))
    return fresh(project)


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = tagged_project()
    run_round(project)
    assert AuditDraw.objects.exists()
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


def named(project: Project, *names: str) -> list[Label]:
    return list(project.labels.filter(name__in=names))


def membership(project: Project, user):
    return project.memberships.get(user=user)


def seen_by(project: Project, user) -> list[tuple[str, str]]:
    """What the user could be given, by the label that is asked about and the language."""
    entries = claims.available(project, user).select_related("query__label", "document")
    return [(entry.query.label.name, entry.document.metadata.get("language", "")) for entry in entries]


# Expertise


def test_a_reviewer_gets_what_fits_both_limits_and_everybody_else_the_rest(project, ann, bob):
    everything = seen_by(project, bob)
    limit(membership(project, bob), named(project, "apple", "mango"), "", [])
    assert seen_by(project, bob) == [one for one in everything if one[0] in ("apple", "mango")]
    limit(membership(project, bob), [], "language", ["de", "fr"])
    assert seen_by(project, bob) == [one for one in everything if one[1] in ("de", "fr")]
    limit(membership(project, bob), named(project, "apple"), "language", ["de"])
    assert seen_by(project, bob) == [one for one in everything if one == ("apple", "de")] != []
    assert seen_by(project, ann) == everything
    assert claims.n_available(project, bob) == everything.count(("apple", "de"))
    waiting = glances.waiting_for(bob, Project.objects.filter(pk=project.pk))
    assert waiting[project.pk].n == everything.count(("apple", "de"))
    # Whether there are limits is read with the project.
    asked_by_bob = access.project_of(bob, project.slug)
    assert seen_by(asked_by_bob, bob) == seen_by(project, bob)
    assert seen_by(asked_by_bob, ann) == seen_by(access.project_of(ann, project.slug), ann) == everything
    assert seen_by(access.project_of(ann, project.slug), bob) == seen_by(project, bob)
    limit(membership(project, bob), [], "", [])
    assert not Expertise.objects.exists()
    assert seen_by(project, bob) == seen_by(access.project_of(bob, project.slug), bob) == everything
    assert DiaryEntry.objects.filter(act="member", after__only="apple, language: de").exists()


def test_a_label_stands_for_all_below_it_and_for_what_has_become_a_part_of_it(project, bob):
    everything = seen_by(project, bob)
    stone = labels.add(project, "stone fruit", author=account("ann"))
    cherry, mango = named(project, "cherry", "mango")
    labels.place(cherry, stone)
    Label.objects.filter(pk=mango.pk).update(merged_into=cherry)
    limit(membership(project, bob), [stone], "", [])
    assert seen_by(project, bob) == [one for one in everything if one[0] in ("cherry", "mango")]


def test_limits_hold_in_their_project_alone_and_not_for_managers(project, bob):
    everything = seen_by(project, bob)
    other = make_project(reviewers=[bob])
    limit(membership(other, bob), [labels.add(other, "fig", author=bob)], "", [])
    assert seen_by(project, bob) == everything
    limit(membership(project, bob), [], "language", ["none"])
    assert seen_by(project, bob) == []
    projects.set_member(project, bob, "manager")
    assert seen_by(project, bob) == everything


def test_audits_that_do_not_fit_wait_for_others_and_the_ledger_is_the_same(project, ann, bob):
    draws = list(AuditDraw.objects.values_list("query", "number", "ever", "now", "depth"))
    limit(membership(project, bob), named(project, "apple"), "", [])
    while entry := claim_next(project, bob):
        assert entry.query.label.name == "apple"
        review.decide(project, entry.pk, bob, "accept")
    assert list(AuditDraw.objects.values_list("query", "number", "ever", "now", "depth")) == draws
    states = audits.states(project)
    assert {states[query_id] for query_id, *_ in draws} == {audits.State.OPEN, audits.State.RIGHT}
    members, settled = {pk for pk, *_ in draws}, SettledLabel.objects.filter(left_at=None).count()
    run_round(project)
    assert members <= set(AuditDraw.objects.values_list("query", flat=True))
    assert SettledLabel.objects.filter(left_at=None).count() >= settled
    depths = list(AuditDraw.objects.values_list("depth", flat=True))
    assert all(one <= other for one, other in pairwise(depths))
    found = project.certificates.first()
    assert (found.n, found.n_open) != (len(draws), 0), "what is open is not taken for right"
    waiting = project.queue.filter(query__reason=Query.Reason.AUDIT)
    assert (
        waiting.exclude(query__label__name="apple").count()
        == claims.available(project, ann)
        .filter(query__reason=Query.Reason.AUDIT)
        .exclude(query__label__name="apple")
        .count()
        != 0
    )


def test_what_fits_nobody_is_counted_and_goes_to_managers(project, client, ann, bob):
    cem = account("cem")
    limit(membership(project, bob), named(project, "apple"), "", [])
    assert domains.n_for_nobody(project) == 0, "cem gets everything"
    limit(membership(project, cem), named(project, "mango"), "", [])
    rest = [one for one in seen_by(project, ann) if one[0] not in ("apple", "mango")]
    client.force_login(ann)
    with_limits = client.get(reverse("people", args=[project.slug])).content.decode()
    assert f"{len(rest)} documents that wait fit no reviewer" in with_limits
    assert domains.n_for_nobody(project) == len(rest) > 0


def test_managers_limit_reviewers_on_the_members_page(project, client, ann, bob):
    address = reverse("expertise", args=[project.slug, membership(project, bob).pk])
    client.force_login(bob)
    assert client.get(address).status_code == 403
    client.force_login(ann)
    page = client.post(address, {"labels": "apple\nplum", "column": "", "values": ""}).content.decode()
    assert "No label is called plum." in page
    page = client.post(address, {"labels": "", "column": "language", "values": ""}).content.decode()
    assert "a column needs values" in page
    page = client.post(address, {"labels": " Apple\n\n", "column": "language", "values": "de\nfr"}, follow=True)
    assert "only <bdi>apple, language: de, language: fr</bdi>" in page.content.decode()
    page = client.get(address).content.decode()
    assert "apple</textarea>" in page
    assert client.get(reverse("expertise", args=[project.slug, membership(project, ann).pk])).status_code == 404


# Always decided by a person


def test_the_rule_is_counted_first(project, client, ann):
    address = reverse("people_only", args=[project.slug])
    asked = {"labels": "apple", "column": "", "values": ""}
    client.force_login(ann)
    page = client.post(address, asked).content.decode()
    n = domains.documents_of(project, named(project, "apple"), "", []).pool().count()
    assert f"{n} documents without a label go to people now." in page
    assert not PeopleOnly.objects.exists()
    client.post(address, asked | {"confirmed": str(n + 1)})
    assert not PeopleOnly.objects.exists(), "another number was counted"
    client.post(address, asked | {"confirmed": str(n)})
    assert str(PeopleOnly.objects.get()) == "apple"
    assert DiaryEntry.objects.filter(act="settings", after={"people only": "apple"}).exists()


@pytest.mark.parametrize(
    ("names", "column", "values"), [(["apple"], "", []), ([], "language", ["de"]), (["mango"], "language", ["fr"])]
)
def test_no_machine_settles_what_the_rule_names_and_people_get_it(ann, names, column, values):
    project = tagged_project()
    leave_to_people(project, named(project, *names), column, values)
    run_round(project)
    reserved = set(domains.for_people(project).pool().values_list("pk", flat=True))
    settled = set(project.settled_labels.values_list("document", flat=True))
    assert reserved
    assert settled
    assert not reserved & settled
    queued = set(project.queue.values_list("document", flat=True))
    assert len(reserved & queued) == min(len(reserved), claims.reviews_a_round(project))
    for label, language in project.settled_labels.values_list("label__name", "document__metadata__language"):
        assert label not in names
        assert language not in values


def test_what_was_settled_before_leaves_but_for_what_is_audited(project, ann):
    apple = project.settled_labels.filter(label__name="apple", left_at=None)
    drawn = set(apple.filter(memberships__draw__isnull=False).values_list("pk", flat=True))
    free = set(apple.exclude(pk__in=drawn).values_list("pk", flat=True))
    assert drawn
    assert free
    before = progress.counts(project)
    leave_to_people(project, named(project, "apple"), "", [])
    run_round(project)
    left = project.settled_labels.filter(left_because="reserved")
    assert set(left.values_list("pk", flat=True)) == free
    assert set(apple.values_list("pk", flat=True)) == drawn
    after = progress.counts(project)
    assert after.total == before.total
    assert after.settled == before.settled - len(free)
    entry = project.queue.get(document=left[0].document)
    review.decide(project, entry.pk, ann, "accept")
    assert progress.counts(project).decided == after.decided + 1


def test_the_loop_goes_on_until_people_have_decided_what_is_theirs(ann):
    project = make_project(ann, retrain_after=4)
    import_rows(project, fruit_rows(n_seeds=6, n_pool=4))
    # Every other document is decided: what is left is people's, and no audit.
    leave_to_people(project, named(project, "apple"), "", [])
    for document in project.documents.pool().exclude(text__startswith="apple"):
        review.relabel(document, ann, project.labels.get(name=document.text.split()[0]))
    round_ = run_round(project)
    assert not project.settled_labels.exists()
    assert (round_.learning_over != "", round_.stop_reason) == (True, "")
    assert project.queue.count() == domains.for_people(project).pool().count() == 4
    while entry := claim_next(project, ann):
        review.decide(project, entry.pk, ann, "skip")
    assert run_round(project).stop_reason


def test_programs_are_answered_nothing_as_certified_that_people_decide(project):
    (apple,) = named(project, "apple")
    assert Standing(None, 0.5, None).covers(apple, 0.9)
    leave_to_people(project, [apple], "", [])
    assert not Standing(None, 0.5, None, reserved=frozenset(domains.reserved_labels(project))).covers(apple, 0.9)

"""The list of projects: where each stands, what waits for whoever looks, all in as many queries as for one."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from labelling.models import Decision, DiaryEntry, Project, Query, QueueEntry, Round
from labelling.services import claims, glances, projects, removals, review
from labelling.services.glances import Waiting
from labelling.services.next_action import Kind, next_action
from labelling.services.progress import counts, counts_of
from tests.factories import account, fresh, fruit_project, import_rows, make_project, make_user, run_round

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    project = fruit_project(
        manager=account("ann"), reviewers=[account("bob")], name="Fruit", batch_size=5, retrain_after=0
    )
    run_round(project)
    return project


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


def show(client, **query: str) -> str:
    return " ".join(client.get(reverse("project_list"), query).content.decode().split())


def waiting(user) -> dict[str, Waiting]:
    found = glances.waiting_for(user, Project.objects.visible_to(user))
    return {Project.objects.get(pk=pk).name: one for pk, one in found.items()}


def test_what_waits_is_what_the_project_page_says(project, ann, bob):
    make_project(ann, name="Empty")
    for user in (ann, bob):
        found, action = waiting(user), next_action(project, user)
        assert set(found) == {"Fruit"}
        assert found["Fruit"].n == claims.n_available(project, user) > 0
        assert found["Fruit"].n_audits == (action.n if action.kind == Kind.AUDIT else 0)


def test_what_one_has_decided_or_another_has_open_waits_no_more(project, ann, bob):
    n = waiting(ann)["Fruit"].n
    entry = claims.claim_next(project, bob)
    assert waiting(ann)["Fruit"].n == n - 1
    assert waiting(bob)["Fruit"].n == n
    review.decide(project, entry.pk, bob, Decision.Action.SKIP)
    assert waiting(bob)["Fruit"].n == n - 1
    assert waiting(ann)["Fruit"].n == n


def test_audits_and_disagreements_are_told_apart(project, ann):
    one, other, *_rest = project.queue.all()
    before = waiting(ann)["Fruit"]
    Query.objects.filter(pk=one.query_id).update(reason=Query.Reason.UNCERTAIN)
    QueueEntry.objects.filter(pk=other.pk).update(people=3)
    now = waiting(ann)["Fruit"]
    assert (now.n, now.n_audits, now.n_disputed) == (before.n - 1, before.n_audits - 2, 1)


def test_a_second_look_of_ones_own_waits_too(ann):
    project = fruit_project(manager=ann, name="Alone", batch_size=5, retrain_after=0)
    run_round(project)
    n = waiting(ann)["Alone"].n
    review.decide(project, claims.claim_next(project, ann).pk, ann, Decision.Action.NONE)
    assert claims.second_looks(project, ann).count() == 1
    assert waiting(ann)["Alone"].n == n


@pytest.mark.parametrize("state", ["waiting", "failed", "paused", "cancelled"])
def test_a_round_that_stopped_waits_for_managers_alone(project, ann, bob, state):
    Round.objects.create(project=project, number=2, state=state)
    assert waiting(ann)["Fruit"].stopped == 2
    assert waiting(bob)["Fruit"].stopped == 0
    Round.objects.create(project=project, number=3, state="done")
    assert waiting(ann)["Fruit"].stopped == 0


def test_where_very_many_wait_nobody_counts(project, ann, monkeypatch):
    monkeypatch.setattr(claims, "MANY", 2)
    found = waiting(ann)["Fruit"]
    assert found.n == 2
    assert found.is_many


def test_a_project_stands_in_the_list_as_on_its_page(project, ann, bob):
    review.decide(project, claims.claim_next(project, bob).pk, bob, Decision.Action.ACCEPT)
    second, empty = fruit_project(manager=ann), make_project(ann)
    together = counts_of([project.pk, second.pk, empty.pk])
    assert together == {one.pk: counts(one) for one in (project, second, empty)}
    assert together[project.pk].decided == 1
    assert together[project.pk].total == 20
    assert together[second.pk].open == 20
    assert together[empty.pk].total == 0


def test_the_last_activity_is_a_decision_or_what_the_diary_tells(project, ann, bob):
    def active_at():
        return glances.glances([project], {})[0].active_at

    DiaryEntry.objects.filter(project=project).update(at=timezone.now() - timedelta(days=9))
    assert active_at() == DiaryEntry.objects.filter(project=project).latest("at").at
    review.decide(project, claims.claim_next(project, bob).pk, bob, Decision.Action.SKIP)
    assert active_at() == Decision.objects.latest("pk").created_at
    projects.change(project, overlap=0.5)
    assert active_at() == DiaryEntry.objects.filter(project=project).latest("at").at


def test_what_waits_comes_first_then_the_name(client, project, ann):
    make_project(ann, name="Apples")
    client.force_login(ann)
    page = client.get(reverse("project_list"))
    assert [one.project.name for one in page.context["glances"]] == ["Fruit", "Apples"]
    shown = show(client)
    assert "In 1 project something waits for you: it comes first." in shown
    assert "No texts yet." in shown
    assert f"Audit {claims.n_available(project, ann)}</a>" in shown


def test_projects_are_found_by_name_and_task_and_archived_ones_stand_apart(client, project, ann):
    make_project(ann, name="Trams", task="Letters to the transport board")
    old = make_project(ann, name="Old letters")
    removals.archive(old)
    client.force_login(ann)
    shown = show(client, q="board letters")
    assert "Trams" in shown
    assert "Fruit" not in shown
    assert "1 archived project" in show(client)
    assert "Old letters" in show(client, q="old")
    assert "No project fits." in show(client, q="zzz")


def test_nobody_sees_the_projects_of_others(client, project):
    client.force_login(make_user())
    assert "Fruit" not in show(client)
    assert "Ask an administrator" in show(client)


def test_two_hundred_projects_take_as_many_queries_as_two(client, project, ann, django_assert_max_num_queries):
    client.force_login(ann)
    made = Project.objects.bulk_create(Project(name=f"Survey {n:03}", slug=f"survey-{n}") for n in range(200))
    for one in made:
        one.memberships.create(user=ann, role="manager")
    import_rows(made[0], [("a text", "")])
    with django_assert_max_num_queries(22):
        shown = show(client)
    assert "Page 1 of 11" in shown
    assert "Survey 199" in show(client, page="11")

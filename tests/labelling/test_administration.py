"""Accounts outside the back office: invited by link, given roles, let in no more."""

from __future__ import annotations

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from labelling.forms import AccountInvitationForm
from labelling.models import AccountKind, DiaryEntry, Session
from labelling.services import Refused, accounts, claims, invitations, projects
from labelling.services.diary import Act
from tests.factories import fruit_project, make_project, make_user, run_round

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

LONG = "a long word for a gate"
POSTS = ("set_account_kind", "deactivate_account", "activate_account")


@pytest.fixture
def root(client) -> User:
    root = make_user("root", is_staff=True, is_superuser=True)
    client.force_login(root)
    return root


def show(client, **query: str) -> str:
    return " ".join(client.get(reverse("accounts"), query).content.decode().split())


@pytest.mark.parametrize("flags", [{}, {"is_staff": True}])
def test_only_administrators_see_and_change_accounts(client, ann, flags):
    other = make_user(**flags)
    client.force_login(other)
    assert client.get(reverse("accounts")).status_code == 403
    assert client.post(reverse("invite_account"), {"name": "x", "role": "reviewer"}).status_code == 403
    for name in POSTS:
        assert client.post(reverse(name, args=[ann.pk]), {"kind": "administrator"}).status_code == 403
    ann.refresh_from_db()
    assert ann.is_active
    assert not ann.is_superuser


def test_nothing_is_done_by_a_look(client, root, ann):
    for name in POSTS:
        assert client.get(reverse(name, args=[ann.pk])).status_code == 405


def test_accounts_are_listed_with_their_projects_and_found(client, root, ann):
    project = make_project(ann, name="Trams")
    shown = show(client)
    assert project.name in shown
    assert "Administers the site" in shown
    assert "<bdi>root</bdi>" not in show(client, q="an")
    assert "No account fits." in show(client, q="nobody")


def test_the_list_takes_as_many_queries_for_thirty_accounts_as_for_three(client, root, django_assert_max_num_queries):
    for _ in range(30):
        make_project(make_user())
    with django_assert_max_num_queries(12):
        show(client)


@pytest.mark.parametrize("before", AccountKind)
@pytest.mark.parametrize("after", AccountKind)
def test_an_account_becomes_what_it_is_told_to_be(root, before, after):
    user = make_user()
    accounts.set_kind(user, before)
    n = DiaryEntry.objects.filter(act=Act.ACCOUNT).count()
    accounts.set_kind(user, after)
    user.refresh_from_db()
    assert accounts.kind_of(user) == after
    assert (user.is_superuser, user.is_staff) == (after == "administrator", after != "member")
    assert DiaryEntry.objects.filter(act=Act.ACCOUNT).count() == n + (before != after)


def test_one_administrator_stays(client, root):
    gone = make_user(is_staff=True, is_superuser=True)
    accounts.deactivate(gone)
    for act in (lambda: accounts.deactivate(root), lambda: accounts.set_kind(root, "member")):
        with pytest.raises(Refused, match="at least one administrator"):
            act()
    client.post(reverse("deactivate_account", args=[root.pk]))
    assert "at least one administrator" in show(client)
    accounts.activate(gone)
    accounts.set_kind(root, "member")


def test_whoever_is_deactivated_is_out_at_once_and_holds_up_nobody(client, root, ann, bob):
    project = fruit_project(manager=ann, reviewers=[bob], batch_size=5, retrain_after=0)
    run_round(project)
    entry = claims.claim_next(project, ann)
    there = Client()
    there.force_login(ann)
    shown = client.post(reverse("deactivate_account", args=[ann.pk]), follow=True).content.decode()
    assert f"Nobody manages these projects now: {project.name}." in shown
    assert there.get("/").status_code == 302
    assert not there.login(username="ann", password="secret")
    assert not Session.objects.filter(user=ann).exists()
    entry.refresh_from_db()
    assert entry.claimed_by is None
    assert "can&#x27;t log in" in show(client) or "can't log in" in show(client)
    client.post(reverse("activate_account", args=[ann.pk]))
    assert there.login(username="ann", password="secret")
    assert project.is_managed_by(ann)


def test_projects_with_another_manager_are_not_told_of(root, ann, bob):
    project = make_project(ann)
    projects.set_member(project, bob, "manager")
    assert accounts.deactivate(ann) == []


def test_a_link_onto_the_site_makes_somebody_who_makes_projects(client, root):
    shown = client.post(reverse("invite_account"), {"name": "Zoe", "project": "", "role": "reviewer"}).content.decode()
    link = re.search(r"/join/[\w-]+/", shown)[0]
    assert link not in show(client)
    assert "Zoe" in show(client)
    zoe = Client()
    assert "in projects of your own" in zoe.get(link).content.decode()
    zoe.post(link, {"username": "zoe", "password1": LONG, "password2": LONG})
    assert accounts.kind_of(User.objects.get(username="zoe")) == AccountKind.CREATOR
    assert zoe.post(reverse("create_project"), {"name": "Mine"}).status_code == 302
    assert Client().get(link).status_code == 410


def test_an_administrator_loses_nothing_by_following_such_a_link(root):
    invitations.accept(invitations.invite(None, root, "me", "reviewer"), root)
    root.refresh_from_db()
    assert root.is_superuser


def test_a_link_into_a_project_is_made_and_taken_back(client, root, ann):
    project = make_project(ann)
    data = {"name": "Bo", "project": project.pk, "role": "manager"}
    shown = client.post(reverse("invite_account"), data).content.decode()
    secret = re.search(r"/join/([\w-]+)/", shown)[1]
    invitation = project.invitations.get()
    assert invitation.role == "manager"
    client.post(reverse("take_back_account_invitation", args=[invitation.pk]))
    assert invitations.find(secret) is None


def test_nobody_is_invited_into_an_archived_project(ann):
    make_project(ann, name="Old", archived_at="2026-01-01T00:00Z")
    assert "Old" not in str(AccountInvitationForm())

"""A person is erased: everything they did stays, and nothing says that it was they."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.apps import apps
from django.contrib.auth.models import User
from django.core import serializers
from django.test import Client
from django.urls import reverse

from labelling import jobs
from labelling.models import Comment, Decision, DiaryEntry, Invitation, Membership, Release, Session, Token
from labelling.services import (
    Refused,
    claims,
    diary,
    erasing,
    invitations,
    projects,
    releases,
    review,
    threads,
    tokens,
)
from labelling.services.diary import Act
from tests.factories import fruit_project, make_project, make_user, run_round

pytestmark = pytest.mark.django_db(transaction=True)

NAME, MAIL = "Zoe.Quisling", "zoe@quisling.example"


@pytest.fixture
def root(client) -> User:
    root = make_user("root", is_staff=True, is_superuser=True)
    client.force_login(root)
    return root


@pytest.fixture
def zoe() -> User:
    user = make_user(NAME, email=MAIL, is_staff=True)
    user.first_name = "Zoe"
    user.save()
    return user


def everything_said() -> str:
    """All rows of all tables, as text."""
    rows = (row for model in apps.get_models(include_auto_created=True) for row in model._base_manager.all())
    return serializers.serialize("json", rows)


def released(project) -> Release:
    release = releases.start_here(project)
    jobs.run_release(release.pk)
    release.refresh_from_db()
    return release


def test_everything_stays_but_the_name(client, root, zoe, ann):
    project = fruit_project(manager=ann, reviewers=[zoe], retrain_after=0, limit="0.10")
    run_round(project)
    her = Client()
    her.post(reverse("login"), {"username": NAME, "password": "secret"}, REMOTE_ADDR="192.0.2.77")
    for _ in range(2):
        review.decide(project, claims.claim_next(project, zoe).pk, zoe, "accept")
    claims.claim_next(project, zoe)
    past = released(project)
    label = project.labels.first()
    threads.say(label, zoe, "I doubt it.")
    threads.say(label, ann, f"@{NAME}, why? (@{NAME.lower()}.) Not @{NAME}son.")
    tokens.create(zoe, "script", Token.Scope.READ, 1)
    invitations.accept(invitations.invite(project, ann, "Zoe", "reviewer"), zoe)
    projects.set_member(project, zoe, Membership.Role.MANAGER)
    Authenticator.objects.create(user=zoe, type="totp", data={"secret": "x"})
    SocialAccount.objects.create(user=zoe, provider="oidc", uid="zoe-at-home")
    diary.write(Act.ADMIN, about="x", after={"change": [MAIL, {"user": NAME}]})
    kept = (Decision, Comment, DiaryEntry)
    before = [model.objects.count() for model in kept]

    page = " ".join(client.get(reverse("erase_account", args=[zoe.pk])).content.decode().split())
    assert "2 decisions" in page
    assert "1 past release stays as it was delivered" in page
    assert "1 token are deleted" in page
    refused = client.post(reverse("erase_account", args=[zoe.pk]), {"name": "Zoe"}, follow=True)
    assert "as it is written here" in refused.content.decode()
    done = client.post(reverse("erase_account", args=[zoe.pk]), {"name": NAME}, follow=True)
    assert "former reviewer 1" in done.content.decode()

    assert [model.objects.count() for model in kept] == [*before[:2], before[2] + 1]
    assert NAME in str(Release.objects.get().certificate), "what was delivered stays"
    Release.objects.update(certificate={})
    said = everything_said().replace(f"@{NAME}son", "")
    assert not re.findall(r"(?i)quisling|\bzoe\b|192\.0\.2\.77", said)
    assert "@former reviewer 1, why? (@former reviewer 1.)" in said
    assert her.get("/").status_code == 302
    assert not Session.objects.filter(user=zoe).exists()
    assert not project.queue.filter(claimed_by=zoe).exists()
    assert DiaryEntry.objects.filter(act=Act.ERASED, about="former reviewer 1", who="root").exists()
    assert set(Invitation.objects.values_list("name", flat=True)) == {"former reviewer 1"}
    assert "former reviewer 1" in str(released(project).certificate)
    assert releases.is_intact(past, Release.LABELS_CSV)


def test_whom_somebody_depends_on_is_not_erased(root, zoe):
    project = make_project(zoe, name="Trams")
    with pytest.raises(Refused, match="Nobody else manages Trams"):
        erasing.erase(zoe, NAME, root)
    gone = make_user(is_active=False)
    projects.set_member(project, gone, Membership.Role.MANAGER)
    with pytest.raises(Refused, match="Nobody else"):
        erasing.erase(zoe, NAME, root)
    with pytest.raises(Refused, match="themselves"):
        erasing.erase(root, "root", root)
    with pytest.raises(Refused, match="at least one administrator"):
        erasing.erase(root, "root", zoe)
    projects.set_member(project, root, Membership.Role.MANAGER)
    assert erasing.erase(zoe, NAME, root) == "former reviewer 1"
    assert erasing.erase(make_user("eve"), "eve", root) == "former reviewer 2"


def test_only_administrators_erase(client, zoe):
    client.force_login(make_user(is_staff=True))
    for act in (client.get, client.post):
        assert act(reverse("erase_account", args=[zoe.pk]), {"name": NAME}).status_code == 403
    zoe.refresh_from_db()
    assert zoe.is_active

"""The diary: every act of a person leaves one entry, and what stands there stays."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount, SocialLogin
from allauth.socialaccount.signals import social_account_added
from django.conf import settings
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from labelling import jobs
from labelling.csv_io.label_lists import ListedLabel
from labelling.models import DiaryEntry, Event, Invitation, Label, Mailbox, Membership, Price, Project, Release, Token
from labelling.services import (
    account_changes,
    accounts,
    certificates,
    diary,
    documents,
    erasing,
    exports,
    guidelines,
    invitations,
    label_life,
    labels,
    mails,
    notices,
    packing,
    prices,
    projects,
    releases,
    removals,
    rounds,
    second_factor,
    selections,
    sign_on,
    threads,
    tokens,
    watching,
    webhooks,
)
from labelling.services.diary import Act
from tests.factories import fruit_project, import_rows, make_project, make_user, run_round

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann():
    return make_user("ann")


@pytest.fixture
def project(ann) -> Project:
    return fruit_project(manager=ann, reviewers=[make_user("rea")])


@pytest.fixture
def acts(ann, project, monkeypatch) -> dict[Act, Callable[[], object]]:
    """By act: what does it. They are done one after another, in this order."""
    monkeypatch.setattr("labelling.jobs.releasing.snapshot", nullcontext)
    rea, zoe = project.memberships.get(user__username="rea").user, make_user("zoe")

    def label(name: str = "apple") -> Label:
        return project.labels.get(name=name)

    def release() -> Release:
        made = project.releases.first()
        jobs.run_release(made.pk)
        made.refresh_from_db()
        return made

    def agree() -> None:
        round_ = rounds.start_round(project)
        project.rounds.filter(pk=round_.pk).update(state="waiting")
        round_.refresh_from_db()
        rounds.agree(round_)
        project.rounds.filter(pk=round_.pk).update(state="cancelled")

    def certify() -> None:
        project.cohorts.create(number=1, ledger=project.restarts, round=project.rounds.first())
        certificates.begin_anew(project)

    return {
        Act.PROJECT_CREATED: lambda: projects.create_project("Another", ann),
        Act.SETTINGS: lambda: projects.change(project, overlap=0.5, limit="0.05"),
        Act.MEMBER: lambda: projects.set_member(project, zoe, "manager"),
        Act.MEMBER_REMOVED: lambda: projects.remove_member(project.memberships.get(user=rea)),
        Act.INVITED: lambda: invitations.invite(project, ann, "Bob", "reviewer"),
        Act.UNINVITED: lambda: invitations.take_back(Invitation.objects.get()),
        Act.LABEL_ADDED: lambda: labels.add(project, "quince", "A hard fruit."),
        Act.LABEL_CHANGED: lambda: labels.define(label(), "Round and sweet.", ann),
        Act.LABEL_STEP: lambda: label_life.rename(label("mango"), "mangoes", ann),
        Act.LABEL_STEP_UNDONE: lambda: label_life.undo(project.label_events.first(), ann),
        Act.LABEL_DELETED: lambda: labels.delete_label(label("quince")),
        Act.LABELS_IMPORTED: lambda: labels.import_labels(project, [ListedLabel("fig", definition="Soft.")], ann),
        Act.IMPORTED: lambda: import_rows(project, [("a date", "")]),
        Act.IMPORT_UNDONE: lambda: removals.undo_import(project.imports.first(), ann),
        Act.DOCUMENTS_DELETED: lambda: removals.delete_documents(
            project, ann, project.documents.filter(pk=project.documents.last().pk), "ticked"
        ),
        Act.EXPORTED: lambda: selections.write(project, "csv", selections.Selection()),
        Act.PROJECT_PACKED: lambda: packing.start(project, ann),
        Act.PROJECT_UNPACKED: lambda: packing.note_unpacked(project, ann),
        Act.RELEASED: lambda: releases.start(project, ann, "for the meeting"),
        Act.RELEASE_TAKEN: lambda: releases.take(release(), Release.LABELS_CSV).close(),
        Act.SPENDING_AGREED: agree,
        Act.LEDGER_RESTARTED: certify,
        Act.GUIDELINES: lambda: guidelines.write(project, "# Rules", ann, 0),
        Act.COMMENT_REMOVED: lambda: threads.remove(threads.say(label(), ann, "Is it?"), ann),
        Act.ACCOUNT: lambda: accounts.set_kind(rea, "creator"),
        Act.PRICE: lambda: prices.enter(
            Price(model="big-1", input=1, output=5, cache_write=1, cache_read=1, cache_min_tokens=0), project
        ),
        Act.WATCHED_ANEW: lambda: watching.begin_anew(project),
        Act.TOKEN_CREATED: lambda: tokens.create(ann, "script", Token.Scope.READ, 30, project),
        Act.TOKEN_REVOKED: lambda: tokens.revoke(ann, ann.tokens.get().pk),
        Act.WEBHOOK_ADDED: lambda: webhooks.add(project, ann, "https://93.184.215.14/", [Event.Kind.RELEASED]),
        Act.WEBHOOK_PAUSED: lambda: webhooks.pause(project.webhooks.get()),
        Act.WEBHOOK_RESUMED: lambda: webhooks.resume(project.webhooks.get()),
        Act.WEBHOOK_RESENT: lambda: webhooks.resend(notices.tell(project, Event.Kind.RELEASED, 1, 1).deliveries.get()),
        Act.WEBHOOK_REMOVED: lambda: webhooks.remove(project.webhooks.get()),
        Act.MAILS: lambda: mails.choose(ann, Mailbox.Mail.OFF),
        Act.ADMIN: lambda: LogEntry.objects.create(
            user=ann, action_flag=CHANGE, object_repr="Price 1", change_message="Changed input."
        ),
        Act.LOGIN: lambda: Client().login(username="ann", password="secret"),
        Act.LOGIN_FAILED: lambda: Client().login(username="ann", password="wrong"),
        Act.LOGOUT: lambda: in_and_out(ann),
        Act.PASSWORD: lambda: account_changes.note(ann, Act.PASSWORD),
        Act.LINKED: lambda: link(ann),
        Act.UNLINKED: lambda: sign_on.unlink(ann),
        Act.SECOND_FACTOR: lambda: account_changes.note(ann, Act.SECOND_FACTOR),
        Act.RECOVERY_CODES: lambda: account_changes.note(ann, Act.RECOVERY_CODES),
        Act.ERASED: lambda: erasing.erase(make_user("eve"), "eve", ann),
        Act.SECOND_FACTOR_GONE: lambda: second_factor.take_away(with_second_factor(zoe)),
        Act.PROJECT_ARCHIVED: lambda: removals.archive(project),
        Act.PROJECT_REOPENED: lambda: removals.reopen(project),
        Act.PROJECT_DELETED: lambda: removals.delete_project(make_project(ann, name="Old"), ann, "Old"),
    }


def link(user) -> None:
    """What is left of a link once the provider has answered."""
    account = SocialAccount.objects.create(user=user, provider=settings.OIDC_ID, uid="x")
    social_account_added.send(SocialLogin, request=None, sociallogin=SocialLogin(user=user, account=account))


def with_second_factor(user) -> User:
    TOTP.activate(user, generate_totp_secret())
    return user


def in_and_out(user) -> None:
    client = Client()
    client.force_login(user)
    DiaryEntry.objects.filter(act=Act.LOGIN).delete()
    client.logout()


def test_every_act_leaves_one_entry(acts, ann, project):
    assert set(acts) == set(Act), "a new act has to be done here"
    for act, do in acts.items():
        last = DiaryEntry.objects.first().pk
        with diary.acting(lambda: ann, "192.0.2.1"):
            do()
        told = [entry for entry in DiaryEntry.objects.filter(pk__gt=last) if entry.act == act]
        assert len(told) == 1, act
        others = {entry.act for entry in DiaryEntry.objects.filter(pk__gt=last)} - {act}
        assert others <= {Act.PROJECT_CREATED}, act
        assert told[0].address == "192.0.2.1" or act in (Act.LOGIN, Act.LOGIN_FAILED, Act.LOGOUT), act
        assert told[0].about or act == Act.LABELS_IMPORTED, act
        if act not in (Act.LOGIN_FAILED, Act.IMPORTED):
            assert told[0].who == "ann", act


def test_one_document_that_goes_alone_is_told_too(project):
    documents.delete(project.documents.filter(queries=None, decisions=None).last())
    assert DiaryEntry.objects.first().act == Act.DOCUMENTS_DELETED


def test_before_and_after_are_told_of_what_has_changed_alone(ann, project):
    projects.change(project, overlap=0.5, limit=project.limit, name="Fruit")
    entry = DiaryEntry.objects.first()
    assert entry.changes == [("name", entry.before["name"], "Fruit"), ("share decided by two people", 0.0, 0.5)]
    n = DiaryEntry.objects.count()
    projects.change(project, overlap=0.5)
    labels.define(project.labels.first(), "", ann)
    assert DiaryEntry.objects.count() == n
    projects.set_member(project, ann, Membership.Role.MANAGER)
    assert DiaryEntry.objects.count() == n, "the same role is no change"


def test_what_is_undone_leaves_no_entry(project):
    n = DiaryEntry.objects.count()
    with pytest.raises(projects.Refused):
        projects.remove_member(project.memberships.get(role="manager"))
    assert DiaryEntry.objects.count() == n


def test_an_entry_is_never_changed(project):
    with pytest.raises(TypeError):
        DiaryEntry.objects.first().save()


def test_names_stay_when_person_and_project_have_gone(ann):
    project = make_project(ann, name="Old")
    with diary.acting(lambda: ann):
        projects.change(project, overlap=0.5)
        removals.delete_project(project, ann, "Old")
    ann.delete()
    changed = DiaryEntry.objects.get(act=Act.SETTINGS)
    assert (changed.who, changed.project_name, changed.user, changed.project) == ("ann", "Old", None, None)


def test_managers_filter_the_diary_and_take_it_along(client, ann, project):
    client.force_login(ann)
    client.post(reverse("project_settings", args=[project.slug]), REMOTE_ADDR="192.0.2.7")
    projects.change(project, task="<b>Sort</b>")
    address = reverse("diary", args=[project.slug])
    page = client.get(address, {"act": Act.SETTINGS}).content.decode()
    assert "&lt;b&gt;Sort" in page
    assert "Member added" not in page.split("<tbody>")[1]
    assert "Nothing of that kind" in client.get(address, {"until": "2020-01-01"}).content.decode()
    assert "Nothing of that kind" in client.get(address, {"since": "nonsense"}).content.decode()
    today = str(timezone.localdate())
    lines = b"".join(client.get(address, {"csv": 1, "since": today, "until": today}).streaming_content).decode(
        "utf-8-sig"
    )
    rows = list(csv.DictReader(io.StringIO(lines)))
    assert {row["project"] for row in rows} == {project.name}
    assert len(rows) == project.diary.count()


def test_administrators_alone_see_all_projects_and_the_door(client, ann, project):
    client.force_login(ann)
    address = reverse("diary_of_everything")
    assert client.get(address).status_code == 403
    client.force_login(make_user("root", is_superuser=True))
    page = client.get(address).content.decode()
    assert project.name in page
    assert "Logged in" in page


def test_the_address_is_what_our_own_proxy_saw(client, ann, settings):
    for proxies, seen in ((0, "10.0.0.9"), (1, "192.0.2.1"), (2, "203.0.113.5"), (9, "6.6.6.6")):
        settings.PROXIES = proxies
        client.post(
            reverse("login"),
            {"username": "ann", "password": "wrong"},
            headers={"X-Forwarded-For": "6.6.6.6, 203.0.113.5, 192.0.2.1"},
            REMOTE_ADDR="10.0.0.9",
        )
        assert DiaryEntry.objects.first().address == seen


def test_old_entries_go_by_command_alone(project):
    DiaryEntry.objects.filter(act=Act.PROJECT_CREATED).update(at=timezone.now() - timedelta(days=400))
    call_command("trim_diary", days=365)
    assert not DiaryEntry.objects.filter(act=Act.PROJECT_CREATED).exists()
    assert DiaryEntry.objects.filter(act=Act.MEMBER).exists()


def test_reviewers_export_unless_the_project_says_otherwise(client, project):
    run_round(project)
    rea = project.memberships.get(role="reviewer").user
    _token, secret = tokens.create(rea, "script", Token.Scope.READ, 1)
    client.force_login(rea)
    bearer = {"Authorization": f"Bearer {secret}"}
    pages = [reverse(name, args=[project.slug]) for name in ("export", "export_page", "export_file")]
    programs = [reverse("api:export", args=[project.slug])]
    for may, status in ((True, 200), (False, 403)):
        projects.change(project, reviewers_export=may)
        assert {client.get(page).status_code for page in pages} == {status}
        assert {client.get(page, headers=bearer).status_code for page in programs} == {status}
    assert exports.header(project)

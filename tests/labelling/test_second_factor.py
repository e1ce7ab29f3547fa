"""The second factor: set up, asked for, lost, taken away, demanded by a project."""

from __future__ import annotations

import html
import re
import time

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from labelling.models import DiaryEntry, Membership, Project, Token
from labelling.services import account_changes, logins, projects, second_factor, threads, tokens
from labelling.services.diary import Act
from labelling.services.logins import FREE_FOR_ACCOUNT
from tests.factories import fruit_project, make_project, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """A clock that the tests move: codes are those of half minutes."""
    clock = [1_800_000_000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    return clock


@pytest.fixture
def project(ann) -> Project:
    return make_project(ann)


def code_of(secret: str, at: float) -> str:
    return format_hotp_value(hotp_value(secret, int(at) // 30))


def read(response) -> str:
    return html.unescape(" ".join(response.content.decode().split()))


def sure(client: Client, name: str) -> str:
    """Open a page that asks for the password first."""
    asked = client.get(reverse(name))
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    back = client.post(asked["Location"], {"password": "secret"})
    return read(client.get(back["Location"]))


def set_up(client: Client, now: list[float]) -> tuple[str, list[str]]:
    """Set up a second factor; return its secret and the recovery codes."""
    page = sure(client, "mfa_activate_totp")
    assert "data:image/svg+xml;base64," in page
    secret = re.search(r"<code[^>]*>([A-Z2-7]{32})<", page)[1]
    assert "wrong" in read(client.post(reverse("mfa_activate_totp"), {"code": "000000"}))
    done = client.post(reverse("mfa_activate_totp"), {"code": code_of(secret, now[0])}, follow=True)
    codes = re.findall(r"<code>(\d{8})</code>", read(done))
    assert len(codes) == 10
    now[0] += 60
    return secret, codes


@pytest.fixture
def guarded(ann, now) -> tuple[str, list[str]]:
    """Ann's secret and recovery codes."""
    client = Client()
    client.force_login(ann)
    return set_up(client, now)


def log_in(client: Client, code: str = "", name: str = "ann") -> str:
    """Give password and code; return ``in`` or what the page says."""
    answer = client.post(f"{reverse('login')}?next=/tokens/", {"username": name, "password": "secret"})
    if answer.status_code == 302 and answer["Location"] == reverse("mfa_authenticate") and code:
        assert client.get("/").status_code == 302, "the password alone lets nobody in"
        answer = client.post(reverse("mfa_authenticate"), {"code": code})
    return "in" if answer.status_code == 302 and answer["Location"] == "/tokens/" else read(answer)


def test_without_one_the_password_is_enough(ann):
    assert log_in(Client()) == "in"


def test_a_code_is_asked_for_and_good_for_one_time(guarded, now, monkeypatch):
    secret, _codes = guarded
    assert "wrong" in log_in(Client(), "123456")
    code = code_of(secret, now[0])
    assert log_in(Client(), code) == "in"
    assert "used before" in log_in(Client(), code)
    # As another process of the web server, which has its own memory.
    monkeypatch.setattr("django.core.cache.cache.add", lambda *args, **kwargs: True)
    assert "used before" in log_in(Client(), f"{code[:3]} {code[3:]}")
    now[0] += 30
    assert log_in(Client(), code_of(secret, now[0])) == "in"
    assert "used before" in log_in(Client(), code)


@pytest.mark.parametrize(("steps", "expected"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_clocks_may_differ_by_half_a_minute(guarded, now, steps, expected):
    assert (log_in(Client(), code_of(guarded[0], now[0] + 30 * steps)) == "in") == expected


def test_nothing_of_the_account_is_changed_before_the_code(guarded):
    client = Client()
    log_in(client)
    for name in ("project_list", "mfa_index", "password_change", "mfa_activate_totp", "mfa_deactivate_totp"):
        assert client.get(reverse(name))["Location"].startswith(reverse("login"))
    assert Client().get(reverse("mfa_authenticate"))["Location"] == reverse("login")


def test_a_recovery_code_lets_in_once(client, guarded, ann):
    _secret, codes = guarded
    assert log_in(client, codes[3]) == "in"
    assert second_factor.n_recovery_codes(ann) == 9
    assert "9 recovery codes are left" in read(client.get(reverse("mfa_index")))
    assert "wrong" in log_in(Client(), codes[3])


def test_recovery_codes_are_shown_once_and_made_anew(client, guarded, ann):
    _secret, codes = guarded
    client.force_login(ann)
    shown = sure(client, "mfa_view_recovery_codes")
    assert not any(code in shown for code in codes)
    assert "not shown again" in shown
    made = client.post(reverse("mfa_generate_recovery_codes"), follow=True)
    fresh = re.findall(r"<code>(\d{8})</code>", read(made))
    assert len(fresh) == 10
    assert not set(fresh) & set(codes)
    assert DiaryEntry.objects.filter(act=Act.RECOVERY_CODES, who="ann").exists()
    assert "wrong" in log_in(Client(), codes[0])
    assert log_in(Client(), fresh[0]) == "in"


def test_whoever_guesses_codes_waits_as_for_passwords(guarded, now, caplog):
    secret, _codes = guarded
    for _ in range(FREE_FOR_ACCOUNT):
        assert "wrong" in log_in(Client(), "123456")
    assert "second factor of 'ann' failed" in caplog.text
    entry = DiaryEntry.objects.filter(act=Act.LOGIN_FAILED).first()
    assert (entry.about, entry.after) == ("ann", {"by": "second factor"})
    assert logins.seconds_to_wait("ann", "") > 0
    client = Client()
    assert "Too many" in log_in(client)
    DiaryEntry.objects.filter(act=Act.LOGIN_FAILED).delete()
    log_in(client)
    for _ in range(FREE_FOR_ACCOUNT):
        client.post(reverse("mfa_authenticate"), {"code": "123456"})
    right = client.post(reverse("mfa_authenticate"), {"code": code_of(secret, now[0])})
    assert "Too many" in read(right), "the right code has to wait, too"


def test_to_remove_it_the_password_is_asked_for_again(client, guarded, ann):
    address, unasked = reverse("mfa_deactivate_totp"), Client()
    for one in (client, unasked):
        one.force_login(ann)
    assert unasked.post(address)["Location"].startswith(reverse("account_reauthenticate"))
    asked = client.get(address)["Location"]
    assert "not your password" in read(client.post(asked, {"password": "wrong"}))
    assert DiaryEntry.objects.filter(act=Act.LOGIN_FAILED, about="ann").exists()
    assert second_factor.is_set_up(ann)
    assert "recovery codes go, too" in sure(client, "mfa_deactivate_totp")
    assert "The second factor is removed." in read(client.post(address, follow=True))
    assert not Authenticator.objects.filter(user=ann).exists()
    assert log_in(Client()) == "in"


def test_whoever_guesses_the_password_again_waits(client, guarded, ann):
    client.force_login(ann)
    asked = client.get(reverse("mfa_deactivate_totp"))["Location"]
    for _ in range(FREE_FOR_ACCOUNT):
        client.post(asked, {"password": "wrong"})
    assert "Too many" in read(client.post(asked, {"password": "secret"}))


def test_what_is_changed_is_told_in_diary_and_mail(ann, now, settings, django_capture_on_commit_callbacks):
    settings.EMAIL_URL = "smtp://localhost"
    ann.email = "ann@example.org"
    ann.save()
    client = Client()
    client.force_login(ann)
    with django_capture_on_commit_callbacks(execute=True):
        set_up(client, now)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("mfa_deactivate_totp"))
    assert [message.subject for message in mail.outbox] == [
        "R.E.D.: Second factor set up",
        "R.E.D.: Second factor taken away",
    ]
    assert mail.outbox[0].to == ["ann@example.org"]
    assert "If it was not you" in mail.outbox[0].body
    acts = (Act.SECOND_FACTOR, Act.SECOND_FACTOR_GONE)
    assert DiaryEntry.objects.filter(act__in=acts, who="ann", about="ann", address="127.0.0.1").count() == 2


def test_a_mail_that_does_not_go_out_stops_nobody(
    ann, settings, monkeypatch, caplog, django_capture_on_commit_callbacks
):
    def refuse(*args: object) -> None:
        raise ConnectionRefusedError("nobody listens")

    settings.EMAIL_URL, ann.email = "smtp://localhost", "ann@example.org"
    monkeypatch.setattr("labelling.services.account_changes.send_mail", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        account_changes.note(ann, Act.PASSWORD)
    assert "nobody listens" in caplog.text


def test_an_administrator_takes_a_lost_one_away(client, guarded, ann, bob):
    address = reverse("take_second_factor_away", args=[ann.pk])
    client.force_login(bob)
    assert client.post(address).status_code == 403
    assert second_factor.is_set_up(ann)
    client.force_login(make_user("root", is_superuser=True))
    assert "Take the second factor of ann away" in read(client.get(reverse("accounts")))
    assert client.get(address).status_code == 405
    assert "ann logs in with a password alone now." in read(client.post(address, follow=True))
    entry = DiaryEntry.objects.get(act=Act.SECOND_FACTOR_GONE)
    assert (entry.who, entry.about) == ("root", "ann")
    assert "Take the second factor of ann away" not in read(client.get(reverse("accounts")))
    client.post(address)
    assert DiaryEntry.objects.filter(act=Act.SECOND_FACTOR_GONE).count() == 1
    assert log_in(Client()) == "in"


def test_so_does_a_command_where_no_administrator_can(guarded, ann):
    call_command("take_second_factor_away", "ann")
    assert not second_factor.is_set_up(ann)
    for name in ("ann", "nobody"):
        with pytest.raises(CommandError):
            call_command("take_second_factor_away", name)


def test_the_secret_is_in_no_back_office(client):
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    assert "allauth" not in read(client.get(reverse("admin:index")))
    for path in ("mfa/authenticator", "account/emailaddress"):
        assert client.get(f"/admin/{path}/").status_code == 404


@pytest.mark.parametrize("path", ["signup/", "email/", "password/set/", "2fa/", "confirm-email/", "inactive/"])
def test_pages_of_the_library_that_nobody_needs_are_not_there(client, ann, path):
    client.force_login(ann)
    for prefix in ("/", "/accounts/", "/login/", "/security/"):
        assert client.get(f"{prefix}{path}").status_code == 404


def test_a_project_that_demands_one_lets_nobody_in_without(client, ann, bob, project, now):
    projects.set_member(project, bob, Membership.Role.REVIEWER)
    threads.say(project.labels.create(name="apple"), ann, "Look, @bob")
    _token, secret = tokens.create(bob, "script", Token.Scope.READ, 1)
    client.force_login(bob)

    def seen() -> tuple[int, int, bool, bool]:
        page = client.get(reverse("labels", args=[project.slug]))
        told = client.get(
            reverse("api:get_project", args=[project.slug]), headers={"Authorization": f"Bearer {secret}"}
        )
        listed = client.get(reverse("api:list_projects"), headers={"Authorization": f"Bearer {secret}"})
        mentioned = "Look," in read(client.get(reverse("mentions")))
        return page.status_code, told.status_code, project.slug in listed.content.decode(), mentioned

    assert seen() == (200, 200, True, True)
    projects.change(project, demands_second_factor=True)
    assert seen() == (403, 403, False, False)
    page = read(client.get(project.get_absolute_url()))
    assert "demands a second factor" in page
    assert reverse("mfa_activate_totp") in page
    set_up(client, now)
    assert seen() == (200, 200, True, True)


def test_the_back_office_keeps_such_a_project_too(client, ann, now):
    fruit_project(manager=ann, demands_second_factor=True)
    ann.is_staff = True
    ann.save()
    for superuser in (False, True):
        ann.is_superuser = superuser
        ann.save()
        client.force_login(ann)
        assert "apple" not in read(client.get(reverse("admin:labelling_document_changelist")))
        assert client.get(reverse("admin:labelling_project_change", args=[Project.objects.get().pk])).status_code == 302
    set_up(client, now)
    assert "apple" in read(client.get(reverse("admin:labelling_document_changelist")))


def test_so_does_the_diary_of_the_site(client, now):
    project = make_project(name="Closely kept", demands_second_factor=True)
    client.force_login(make_user("root", is_superuser=True))
    address = reverse("diary_of_everything")
    assert "Logged in" in read(client.get(address))
    assert project.name not in read(client.get(address))
    set_up(client, now)
    assert project.name in read(client.get(address))


def test_a_manager_demands_it_in_the_settings(client, ann, project):
    client.force_login(ann)
    page = read(client.get(reverse("project_settings", args=[project.slug])))
    assert 'name="demands_second_factor"' in page.split("Advanced")[1]
    stranger = Client()
    stranger.force_login(make_user("stranger"))
    projects.change(project, demands_second_factor=True)
    assert stranger.get(project.get_absolute_url()).status_code == 404, "a stranger is told nothing"

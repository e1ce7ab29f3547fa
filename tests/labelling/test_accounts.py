"""In and out: invitations, waiting after failures, where one is logged in, what browsers may keep."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
from django.conf import settings as site_settings
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from labelling.models import DiaryEntry, Invitation, Membership, Session
from labelling.services import Refused, invitations, logins
from labelling.services.diary import Act
from labelling.services.logins import FREE_FOR_ACCOUNT, FREE_FROM_ADDRESS, LONGEST_WAIT
from tests.factories import make_project, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

LONG = "a long word for a gate"


@pytest.fixture
def ann():
    return make_user("ann", email="ann@example.org")


@pytest.fixture
def project(ann):
    return make_project(ann)


def link_in(page: str) -> str:
    return re.search(r"/join/[\w-]+/", page)[0]


def test_a_link_makes_one_stranger_a_member(client, ann, project):
    client.force_login(ann)
    page = client.post(reverse("invite", args=[project.slug]), {"name": "Bob", "role": "reviewer"}).content.decode()
    link = link_in(page)
    assert "Bob" in client.get(reverse("members", args=[project.slug])).content.decode()
    assert link not in client.get(reverse("members", args=[project.slug])).content.decode()

    bob = Client()
    assert "Join" in bob.get(link).content.decode()
    weak = bob.post(link, {"username": "bob", "password1": "short", "password2": "short"})
    assert "at least 12 characters" in weak.content.decode()
    assert not User.objects.filter(username="bob").exists()
    joined = bob.post(link, {"username": "bob", "password1": LONG, "password2": LONG})
    assert joined["Location"] == project.get_absolute_url()
    assert bob.get(project.get_absolute_url()).status_code == 200
    assert project.memberships.get(user__username="bob").role == "reviewer"
    assert Client().get(link).status_code == 410
    assert Client().post(link, {"username": "eve", "password1": LONG, "password2": LONG}).status_code == 410


def test_a_link_lets_an_account_in_and_makes_no_manager_less(ann, project):
    zoe, client = make_user("zoe"), Client()
    client.force_login(zoe)
    assert client.post(f"/join/{invitations.invite(project, ann, 'Zoe', 'manager')}/").status_code == 302
    assert project.is_managed_by(zoe)
    client.post(f"/join/{invitations.invite(project, ann, 'Zoe', 'reviewer')}/")
    assert project.is_managed_by(zoe)


def test_a_link_ends(client, ann, project):
    taken_back, old = (invitations.invite(project, ann, name, "reviewer") for name in ("Bob", "Eve"))
    client.force_login(ann)
    client.post(reverse("take_back_invitation", args=[project.slug, Invitation.objects.get(name="Bob").pk]))
    Invitation.objects.filter(name="Eve").update(expires_at=timezone.now() - timedelta(seconds=1))
    for secret in (taken_back, old, "nonsense"):
        with pytest.raises(Refused):
            invitations.accept(secret, make_user())
    assert Membership.objects.filter(project=project).count() == 1


def try_in(name: str, password: str, address: str = "192.0.2.1") -> str:
    page = Client().post(reverse("login"), {"username": name, "password": password}, REMOTE_ADDR=address)
    return "in" if page.status_code == 302 else page.content.decode()


def test_whoever_fails_too_often_waits_longer_each_time(ann):
    for _ in range(FREE_FOR_ACCOUNT):
        assert "Too many" not in try_in("ann", "wrong")
    assert "Try again in 1 minute." in try_in("ann", "secret"), "the right password has to wait, too"
    assert logins.seconds_to_wait("ann", "198.51.100.1") in (9, 10)
    waits = []
    for _ in range(8):
        DiaryEntry.objects.create(act=Act.LOGIN_FAILED, about="ann")
        waits.append(logins.seconds_to_wait("ann", ""))
    assert waits == sorted(waits)
    assert waits[-1] in (LONGEST_WAIT.seconds - 1, LONGEST_WAIT.seconds)
    assert logins.seconds_to_wait("bob", "") == 0
    DiaryEntry.objects.filter(act=Act.LOGIN_FAILED).update(at=timezone.now() - LONGEST_WAIT)
    assert try_in("ann", "secret") == "in"
    assert logins.seconds_to_wait("ann", "") == 0, "what was before a log-in is forgotten"


def test_an_address_that_tries_many_accounts_waits(ann):
    for n in range(FREE_FROM_ADDRESS):
        DiaryEntry.objects.create(act=Act.LOGIN_FAILED, about=f"user{n}", address="192.0.2.1")
    assert "Too many" in try_in("ann", "secret")
    assert try_in("ann", "secret", "192.0.2.2") == "in"


def test_the_admins_door_is_the_same(client):
    assert client.get("/admin/login/?next=/admin/")["Location"] == f"{reverse('login')}?next=/admin/"


def test_one_sees_and_ends_where_one_is_logged_in(ann):
    here, there, stranger = Client(), Client(), Client()
    for client, user in ((here, ann), (there, ann), (stranger, make_user())):
        client.force_login(user)
    there.get("/", headers={"User-Agent": "A browser"})
    page = here.get(reverse("sessions")).content.decode()
    assert page.count("Log out there</button>") == 1
    assert not any(key in page for key in Session.objects.values_list("session_key", flat=True))
    place = re.search(r'name="place" value="([0-9a-f]{16})"', page)[1]
    stranger.post(reverse("sessions"), {"place": place})
    assert there.get("/").status_code == 200, "nobody ends another's"
    here.post(reverse("sessions"), {"place": place})
    assert there.get("/").status_code == 302
    there.force_login(ann)
    here.post(reverse("sessions"), {"place": "others"})
    assert (here.get("/").status_code, there.get("/").status_code) == (200, 302)


@pytest.fixture
def clock(monkeypatch) -> list[datetime]:
    """What time it is, for tests to move."""
    now = [timezone.now()]
    monkeypatch.setattr(timezone, "now", lambda: now[0])
    return now


def test_a_log_in_ends_whatever_is_done(client, ann, clock, settings):
    client.force_login(ann)
    ends = Session.objects.get(user=ann).expire_date
    assert ends == clock[0] + timedelta(seconds=settings.SESSION_COOKIE_AGE)
    clock[0] = ends - timedelta(seconds=1)
    session = client.session
    session["written"] = "late"
    session.save()
    assert Session.objects.get(user=ann).expire_date == ends
    assert client.get("/").status_code == 200
    clock[0] = ends + timedelta(seconds=1)
    assert client.get("/").status_code == 302


def test_so_it_does_without_a_sign_of_life_where_that_is_asked_for(client, ann, clock, settings):
    def wait(minutes: int) -> None:
        clock[0] += timedelta(minutes=minutes)

    client.force_login(ann)
    for limit, status in ((0, 200), (30, 302)):
        settings.SESSION_IDLE_MINUTES = limit
        assert client.get("/").status_code == 200
        wait(29)
        assert client.get("/").status_code == 200
        wait(29)
        # A page's own questions keep nobody in.
        for _ in range(2):
            client.get(reverse("worker_status"), headers={"HX-Request": "true"})
        wait(2)
        assert client.get("/").status_code == status
    assert DiaryEntry.objects.filter(act=Act.LOGOUT, who="ann").exists()


def test_a_sign_of_life_is_written_once_a_minute(client, ann, clock, settings):
    settings.SESSION_IDLE_MINUTES = 30
    client.force_login(ann)
    client.get("/")
    written = client.session["seen"]
    clock[0] += timedelta(seconds=59)
    client.get("/")
    assert client.session["seen"] == written
    clock[0] += timedelta(seconds=2)
    client.post(reverse("sessions"), {"place": "others"}, headers={"HX-Request": "true"})
    assert client.session["seen"] > written


def test_a_forgotten_password_comes_back_by_mail(client, ann, settings):
    settings.EMAIL_URL = "smtp://localhost"
    assert "Forgotten password" in client.get(reverse("login")).content.decode()
    client.post(reverse("password_reset"), {"email": "ann@example.org"})
    link = re.search(r"/password/new/\S+", mail.outbox[0].body)[0]
    page = client.get(link, follow=True)
    client.post(page.redirect_chain[-1][0], {"new_password1": LONG, "new_password2": LONG})
    assert try_in("ann", LONG) == "in"
    assert DiaryEntry.objects.filter(act=Act.PASSWORD, who="ann").exists()


def test_browsers_keep_no_page(client, ann):
    client.force_login(ann)
    answer = client.get("/")
    assert answer["Cache-Control"] == "no-store"
    assert "camera=()" in answer["Permissions-Policy"]


def test_behind_tls_cookies_are_the_hosts_own_and_nothing_is_left_to_warn_of(run_python):
    said = run_python(
        "import os; os.environ['HTTPS'] = 'true'; os.environ['SECRET_KEY'] = 'abcdefghij' * 3 + 'klmnopqrst' * 3;"
        "import django; django.setup(); from django.conf import settings;"
        "from django.core.management import call_command;"
        "call_command('check', deploy=True, fail_level='WARNING');"
        "print(settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, settings.SECURE_HSTS_SECONDS)"
    )
    assert said.split("\n")[-2] == "__Host-sessionid __Host-csrftoken 31536000"
    assert site_settings.SESSION_COOKIE_NAME == "sessionid"

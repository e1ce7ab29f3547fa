"""Single sign-on, against a real provider on this machine: who gets in by it, and who does not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import oidc_provider_mock
import pytest
import requests
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from allauth.socialaccount.models import SocialAccount
from django.conf import settings as site_settings
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from labelling.models import DiaryEntry
from labelling.services import Refused, accounts, invitations, sign_on
from labelling.services.diary import Act
from tests.factories import make_project, make_user

pytestmark = [pytest.mark.django_db, pytest.mark.filterwarnings("ignore::DeprecationWarning"), pytest.mark.any_database]

PEOPLE = {
    "zoe-1": {"preferred_username": "zoe", "email": "zoe@example.org", "email_verified": True},
    "eve-1": {"preferred_username": "eve", "email": "ann@example.org", "email_verified": False},
    "ann-1": {"preferred_username": "ann", "email": "ann@example.org", "email_verified": True},
}
NAME = "Town hall"


@dataclass
class Provider:
    """A provider outside, and the browser that goes to and fro."""

    url: str

    def go(self, client: Client, person: str, **query: str):
        """Follow the link, say there who one is, and come back; return what the site answers."""
        away = client.get(reverse("openid_connect_login"), query)
        assert away.status_code == 302
        assert away["Location"].startswith(self.url)
        back = requests.post(away["Location"], data={"sub": person}, allow_redirects=False, timeout=5)
        return client.get(back.headers["Location"].removeprefix("http://testserver"))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    people = [oidc_provider_mock.User(sub=sub, claims=claims) for sub, claims in PEOPLE.items()]
    with oidc_provider_mock.run_server_in_thread(user_claims=people) as running:
        yield f"http://localhost:{running.server_port}"


def configure(settings: Any, url: str) -> None:
    app = {
        "provider_id": site_settings.OIDC_ID,
        "name": NAME,
        "client_id": "red",
        "secret": "s3cret",
        "settings": {"server_url": url},
    }
    settings.OIDC_SERVER_URL, settings.OIDC_NAME = url, NAME
    settings.SOCIALACCOUNT_PROVIDERS = {"openid_connect": {"OAUTH_PKCE_ENABLED": True, "APPS": [app]}}


@pytest.fixture
def provider(server, settings) -> Provider:
    configure(settings, server)
    return Provider(server)


@pytest.fixture
def linked(ann, provider) -> User:
    """Ann, whose account is linked."""
    SocialAccount.objects.create(user=ann, provider=site_settings.OIDC_ID, uid="ann-1")
    return ann


def read(response) -> str:
    return " ".join(response.content.decode().split())


def state_of(away) -> str:
    return parse_qs(urlsplit(away["Location"]).query)["state"][0]


def who(client: Client) -> str:
    key = client.session.get("_auth_user_id")
    return User.objects.get(pk=key).username if key else ""


def test_without_a_provider_nothing_is_new(client, ann):
    assert "oidc" not in read(client.get(reverse("login")))
    for name in ("openid_connect_login", "openid_connect_callback"):
        assert client.get(reverse(name)).status_code == 404
    client.force_login(ann)
    assert "unlink" not in read(client.get(reverse("mfa_index"))).lower()


def test_a_stranger_gets_no_account(client, provider, caplog):
    assert f"Log in with {NAME}" in read(client.get(reverse("login")))
    page = provider.go(client, "zoe-1")
    assert "No account is linked with you yet" in read(page)
    assert not User.objects.exists()
    assert who(client) == ""
    assert "'zoe-1' of single sign-on has no account" in caplog.text


def test_where_an_administrator_allows_it_whoever_comes_gets_one(client, provider, settings):
    settings.OIDC_MAKES_ACCOUNTS = True
    assert provider.go(client, "zoe-1", next="/tokens/")["Location"] == "/tokens/"
    zoe = User.objects.get()
    assert (zoe.username, zoe.email, zoe.has_usable_password()) == ("zoe", "zoe@example.org", False)
    assert (zoe.is_staff, zoe.is_superuser) == (False, False)
    assert who(client) == "zoe"
    assert SocialAccount.objects.get().extra_data == {}
    acts = DiaryEntry.objects.filter(about="zoe").values_list("act", flat=True)
    assert set(acts) == {Act.ACCOUNT, Act.LOGIN}
    provider.go(Client(), "zoe-1")
    assert User.objects.count() == 1


@pytest.mark.parametrize("person", ["ann-1", "eve-1"])
def test_nobody_gets_anothers_account_by_a_mail_address(client, ann, provider, settings, person):
    ann.email = "Ann@example.org"
    ann.save()
    settings.OIDC_MAKES_ACCOUNTS = True
    provider.go(client, person)
    assert who(client) != "ann"
    assert not SocialAccount.objects.filter(user=ann).exists()
    # An address that the provider has not verified is no one's.
    assert list(User.objects.exclude(pk=ann.pk).values_list("username", "email")) == (
        [("eve", "")] if person == "eve-1" else []
    )


def test_an_invitation_opens_the_door_for_one(client, ann, provider):
    project = make_project(ann)
    link = reverse("join", args=[invitations.invite(project, ann, "Zoe", "reviewer")])
    assert f"Join with {NAME}" in read(client.get(link))
    assert provider.go(client, "zoe-1", next=link)["Location"] == project.get_absolute_url()
    assert client.get(project.get_absolute_url()).status_code == 200
    assert project.memberships.get(user__username="zoe").role == "reviewer"
    assert "No account is linked" in read(provider.go(Client(), "eve-1", next=link)), "the link is used"


@pytest.mark.parametrize("path", ["/join/nonsense/", "/tokens/", "/nowhere/", "", "//evil.example/join/x/"])
def test_no_other_path_does(path):
    assert not sign_on.makes_account([], path)


def test_whoever_was_quicker_with_the_link_has_it(client, ann, provider, monkeypatch):
    link = reverse("join", args=[invitations.invite(make_project(ann), ann, "Zoe", "reviewer")])

    def refuse(secret: str, user: User) -> None:
        raise Refused("used")

    monkeypatch.setattr(invitations, "accept", refuse)
    assert "No account is linked" in read(provider.go(client, "zoe-1", next=link))
    assert not User.objects.filter(username="zoe").exists()


def test_an_account_is_linked_by_its_person_with_the_password(client, ann, provider):
    client.force_login(ann)
    assert f"Link with {NAME}" in read(client.get(reverse("mfa_index")))
    asked = provider.go(client, "zoe-1", process="connect")
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    assert not SocialAccount.objects.exists()
    assert "not your password" in read(client.post(asked["Location"], {"password": "wrong"}))
    done = client.post(asked["Location"], {"password": "secret"}, follow=True)
    assert "Your account is linked." in read(done)
    assert DiaryEntry.objects.filter(act=Act.LINKED, who="ann", about="ann").count() == 1
    other = Client()
    provider.go(other, "zoe-1")
    assert who(other) == "ann"
    rea = Client()
    rea.force_login(make_user("rea"))
    asked = provider.go(rea, "zoe-1", process="connect")
    assert "linked with another account" in read(rea.post(asked["Location"], {"password": "secret"}, follow=True))


def test_and_unlinked(client, linked, provider):
    client.force_login(linked)
    address = reverse("unlink")
    assert client.get(address).status_code == 405
    asked = client.post(address)
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    done = client.post(asked["Location"], {"password": "secret"}, follow=True)
    assert "not linked any more" in read(done)
    assert DiaryEntry.objects.filter(act=Act.UNLINKED, about="ann").exists()
    assert "No account is linked" in read(provider.go(Client(), "ann-1"))


def test_nobody_unlinks_their_only_way_in(client, linked, provider):
    linked.set_unusable_password()
    linked.save()
    client.force_login(linked)
    assert "your only way in" in read(client.post(reverse("unlink"), follow=True))
    assert SocialAccount.objects.exists()


def test_a_second_factor_is_asked_for_all_the_same(client, linked, provider):
    TOTP.activate(linked, generate_totp_secret())
    assert provider.go(client, "ann-1")["Location"] == reverse("mfa_authenticate")
    assert who(client) == ""


def test_whoever_was_deactivated_stays_out(client, linked, provider):
    make_user("root", is_superuser=True)
    accounts.deactivate(linked)
    assert provider.go(client, "ann-1")["Location"] == reverse("login")
    assert "can&#x27;t log in any more" in read(client.get(reverse("login")))
    assert who(client) == ""


def test_another_provider_knows_nobody(client, linked, provider):
    SocialAccount.objects.update(provider="oidc-another")
    assert "No account is linked" in read(provider.go(client, "ann-1"))


def test_who_changes_their_mind_is_back_where_they_were(client, ann, provider):
    for process, leads_to in (("login", "login"), ("connect", "mfa_index")):
        state = state_of(client.get(reverse("openid_connect_login"), {"process": process}))
        refused = {"state": state, "error": "access_denied"}
        back = client.get(reverse("openid_connect_callback"), refused, follow=True)
        assert "nothing has changed" in read(back)
        assert back.redirect_chain[-1][0] == reverse(leads_to)
        client.force_login(ann)


@pytest.mark.parametrize(
    "query", [{}, {"state": "forged", "code": "x"}, {"error": "server_error"}, {"code": "x"}], ids=str
)
def test_an_answer_that_nobody_asked_for_is_a_clear_page(client, provider, caplog, query):
    page = client.get(reverse("openid_connect_callback"), query)
    assert page.status_code == 401
    assert f"The log-in with {NAME} has failed" in read(page)
    assert "Log-in by single sign-on failed, from 127.0.0.1" in caplog.text


def test_an_answer_is_good_for_one_browser_and_one_time(client, linked, provider):
    away = client.get(reverse("openid_connect_login"))
    back = requests.post(away["Location"], data={"sub": "ann-1"}, allow_redirects=False, timeout=5).headers["Location"]
    back = back.removeprefix("http://testserver")
    assert Client().get(back).status_code == 401
    assert client.get(back).status_code == 302
    assert who(client) == "ann"
    assert client.get(back).status_code == 401


def test_a_wrong_code_is_a_clear_page(client, provider):
    state = state_of(client.get(reverse("openid_connect_login")))
    assert client.get(reverse("openid_connect_callback"), {"state": state, "code": "wrong"}).status_code == 401


def test_a_provider_that_does_not_answer_is_a_clear_page(client, settings):
    configure(settings, "http://localhost:1")
    for name in ("openid_connect_login", "openid_connect_callback"):
        page = client.get(reverse(name))
        assert page.status_code == 401
        assert "has failed" in read(page)


def test_the_log_in_leads_to_no_other_site(client, linked, provider):
    assert provider.go(client, "ann-1", next="https://evil.example/")["Location"] == "/"


def test_the_installation_is_told_by_its_environment(run_python):
    said = run_python(
        "import os; os.environ.update(HTTPS='true', SECRET_KEY='abcdefghij' * 3 + 'klmnopqrst' * 3,"
        " OIDC_SERVER_URL='https://id.example', OIDC_CLIENT_ID='red', OIDC_CLIENT_SECRET='s', OIDC_NAME='Town hall');"
        "import django; django.setup(); from django.conf import settings;"
        "from django.core.management import call_command; from django.urls import reverse;"
        "call_command('check', deploy=True, fail_level='WARNING');"
        "print(settings.OIDC_APPS[0]['settings'], reverse('openid_connect_callback'))"
    )
    assert said.split("\n")[-2] == "{'server_url': 'https://id.example'} /login/oidc/callback/"

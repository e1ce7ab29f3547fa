"""What guards an account, in a real browser: a second factor, and a real provider of single sign-on."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

import oidc_provider_mock
import pytest
from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from playwright.sync_api import Page, expect

from tests.browser.conftest import log_in
from tests.browser.test_desk import breadth, faults
from tests.site import Site

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

PASSWORD = "a long word for a gate"
MAKE = f"from django.contrib.auth.models import User; User.objects.create_user('ada', password='{PASSWORD}')"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Site]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    people = [oidc_provider_mock.User(sub="ada-1", claims={"preferred_username": "ada"})]
    with oidc_provider_mock.run_server_in_thread(user_claims=people) as provider:
        site = Site(
            tmp_path_factory.mktemp("security"),
            WEB_CONCURRENCY="2",
            OIDC_SERVER_URL=f"http://localhost:{provider.server_port}",
            OIDC_CLIENT_ID="red",
            OIDC_CLIENT_SECRET="s3cret",
            OIDC_NAME="Town hall",
        )
        site.manage("shell", "--command", MAKE)
        site.passwords = {"ada": PASSWORD}
        site.start("web")
        yield site
        site.stop()


def code_of(secret: str) -> str:
    return format_hotp_value(hotp_value(secret, int(time.time()) // 30))


def give_password(page: Page, then: str) -> None:
    page.get_by_label("Your password").fill(PASSWORD)
    page.get_by_role("button", name=then).click()


def say_there_who_one_is(page: Page) -> None:
    page.get_by_role("button", name="ada-1").click()


def log_out(page: Page) -> None:
    page.locator("details.menu summary").click()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login/")


def test_an_account_is_guarded_by_a_second_factor_and_by_a_provider(page: Page, site: Site, console_errors):
    found: dict[str, object] = {}

    def look(place: str) -> None:
        """At the page as it is, dark, and on a phone."""
        wide = page.viewport_size
        for scheme, width in (("light", 1280), ("dark", 1280), ("light", 360)):
            page.emulate_media(color_scheme=scheme)
            page.set_viewport_size({"width": width, "height": 800})
            found[f"{place} {scheme} {width}"] = [*faults(page), *breadth(page)]
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(wide)

    log_in(page, site, "ada")
    page.locator("details.menu summary").click()
    page.get_by_role("link", name="Security").click()
    look("security")
    page.get_by_role("link", name="Set up a second factor").click()
    look("password")
    give_password(page, "Go on")
    look("set up")
    picture = page.get_by_alt_text("QR code of the secret")
    assert picture.evaluate("image => image.complete && image.naturalWidth > 0"), "the policy lets it be seen"
    secret = page.locator("main code").inner_text()
    page.get_by_label("Code").fill(code_of(secret))
    page.get_by_role("button", name="Set up").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    look("recovery codes")
    recovery = page.locator(".codes code").first.inner_text()
    page.get_by_role("link", name="I have them").click()
    expect(page.get_by_text("10 recovery codes are left")).to_be_visible()

    assert console_errors == []
    page.get_by_role("link", name="Link with Town hall").click()
    say_there_who_one_is(page)
    expect(page.locator(".messages")).to_contain_text("Your account is linked.")
    look("linked")
    log_out(page)

    look("log-in")
    assert console_errors == []
    page.get_by_role("link", name="Log in with Town hall").click()
    say_there_who_one_is(page)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    look("code")
    page.get_by_label("Code").fill(recovery)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{site.url}/")
    page.goto("/security/")
    expect(page.get_by_text("9 recovery codes are left")).to_be_visible()

    page.get_by_role("link", name="New recovery codes").click()
    give_password(page, "Go on")
    look("new recovery codes")
    page.goto("/security/")
    page.get_by_role("link", name="Remove the second factor").click()
    look("remove")
    page.get_by_role("button", name="Remove").click()
    expect(page.locator(".messages")).to_contain_text("The second factor is removed.")
    assert {place: wrong for place, wrong in found.items() if wrong} == {}

"""Events on their way to programs: signed, none lost, none to where it does not belong, and nobody waits."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from http.server import BaseHTTPRequestHandler

import pytest
from django.urls import reverse
from django.utils import timezone

from labelling.jobs import delivering
from labelling.jobs.worker import Heart
from labelling.models import Delivery, Event, Project, Webhook
from labelling.services import Refused, addresses, notices, tokens, webhooks
from tests.factories import account, fresh, make_project
from tests.receiver import Receiver, documented

pytestmark = [pytest.mark.django_db, pytest.mark.any_database]

Kind = Event.Kind
PUBLIC = "93.184.215.14"
HANG_SECONDS = 0.3
# How long a receiver that hangs would take: who has waited for it takes longer.
HANGS_FOR = 60


@pytest.fixture
def receive(settings) -> Iterator[Callable[[], Receiver]]:
    """Starts receivers on this machine, which is allowed then."""
    settings.WEBHOOKS_INSIDE = True
    with ExitStack() as started:
        yield lambda: started.enter_context(Receiver())


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    return make_project(account("mia"), name="Fruit")


@pytest.fixture
def project(laid_out) -> Project:
    return fresh(laid_out)


@pytest.fixture
def mia():
    return account("mia")


def hook(project: Project, receiver: Receiver, *kinds: str) -> tuple[Webhook, str]:
    return webhooks.add(project, project.memberships.get().user, receiver.url, kinds or Kind.values)


def let_it_be_due() -> None:
    Delivery.objects.exclude(next_try_at=None).update(next_try_at=timezone.now())


# Signatures


def test_what_arrives_is_verified_as_documented_and_nothing_else_is(project, receive, monkeypatch):
    receiver, verify = receive(), documented()
    _webhook, secret = hook(project, receiver)
    event = notices.tell(project, Kind.RELEASED, 3, 3)
    delivering.run()
    ((headers, body),) = receiver.got
    headers = {name.lower(): value for name, value in headers.items()}
    verify(secret, headers, body)
    assert (headers["webhook-id"], headers["content-type"]) == (f"event_{event.pk}", "application/json")
    assert json.loads(body) == {
        "type": "released",
        "timestamp": event.at.isoformat(timespec="milliseconds"),
        "data": {"project": "fruit", "about": "3", "url": "http://127.0.0.1:8000/p/fruit/releases/3/"},
    }
    _other, another = hook(project, receiver)
    later = str(int(headers["webhook-timestamp"]) + 1)
    for wrong in (
        (another, headers, body),
        (secret, headers, body + b" "),
        (secret, headers | {"webhook-timestamp": later}, body),
        (secret, headers | {"webhook-id": "event_0"}, body),
    ):
        with pytest.raises(ValueError, match="not signed"):
            verify(*wrong)
    old = int(time.time()) - 301
    with pytest.raises(ValueError, match="too old"):
        verify(secret, webhooks.signed(_webhook, event, body, old), body)


def test_the_secret_is_kept_nowhere_and_hangs_on_the_installations_key(project, receive, settings):
    webhook, secret = hook(project, receive())
    kept = [str(value) for value in Webhook.objects.values_list().get(pk=webhook.pk)]
    assert not any(secret.removeprefix("whsec_") in value for value in kept)
    event = notices.tell(project, Kind.CERTIFIED)
    before = webhooks.signed(webhook, event, b"", 0)
    settings.SECRET_KEY = "another"
    assert webhooks.signed(webhook, event, b"", 0) != before


# Where it goes


def test_a_webhook_is_told_what_it_wants_of_its_own_project_alone(project, receive):
    some, every = receive(), receive()
    hook(project, some, Kind.CERTIFIED, Kind.CERTIFICATE_LOST)
    hook(project, every)
    other = make_project()
    hook(other, receive())
    notices.tell(project, Kind.CERTIFIED)
    notices.tell(project, Kind.IMPORTED, "texts.csv", 1)
    notices.tell(project, Kind.CERTIFICATE_LOST)
    notices.tell(other, Kind.CERTIFIED)
    delivering.run()
    assert some.types == ["certified", "certificate-lost"]
    assert every.types == ["certified", "imported", "certificate-lost"], "in their order"
    assert {json.loads(body)["data"]["project"] for _headers, body in every.got} == {"fruit"}
    assert not webhooks.due().exists()


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
        "::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b:1::7f00:1", "2002:7f00:1::", "2002:c0a8:101::",
    ],
)  # fmt: skip
def test_addresses_of_the_own_network_are_not_public(ip):
    assert not addresses.is_public(ip)


@pytest.mark.parametrize("ip", [PUBLIC, "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"])
def test_others_are(ip):
    assert addresses.is_public(ip)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("http://localhost/", "own network"),
        ("http://127.0.0.1:8000/", "own network"),
        ("http://[::1]/", "own network"),
        ("http://[::ffff:127.0.0.1]/", "own network"),
        ("http://2130706433/", "own network"),
        ("http://0x7f.1/", "own network"),
        ("http://0/", "own network"),
        ("ftp://93.184.215.14/", "begins with"),
        ("file:///etc/hostname", "begins with"),
        ("93.184.215.14", "begins with"),
        ("https://", "begins with"),
        ("https://user:word@93.184.215.14/", "no password"),
        ("https://@93.184.215.14/", "no password"),
        ("https://93.184.215.14:99999/", "no address"),
        ("https://[::1/", "no address"),
        ("https://bücher.example/", "encoded"),
        ("https://93.184.215.14/a b", "encoded"),
        ("https://93.184.215.14/\r\nX-More: 1", "encoded"),
        (f"https://{'a' * 70}.example/", "can't be found"),
    ],
)
def test_where_nothing_may_be_posted(project, mia, address, reason):
    with pytest.raises(Refused, match=reason):
        webhooks.add(project, mia, address, [Kind.RELEASED])


def looked_up(monkeypatch, *answers: list[str]) -> list[str]:
    """Let names lead to these addresses, one list at each look-up; return what is looked up."""
    asked: list[str] = []
    really = socket.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        if host[0].isdigit():
            return really(host, port, *args, **kwargs)
        asked.append(host)
        ips = answers[min(len(asked), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ips]

    monkeypatch.setattr("labelling.services.addresses.socket.getaddrinfo", getaddrinfo)
    return asked


def test_all_addresses_of_a_name_are_checked(project, mia, monkeypatch):
    looked_up(monkeypatch, [PUBLIC, "10.0.0.1"])
    with pytest.raises(Refused, match="own network"):
        webhooks.add(project, mia, "https://hooks.example/", [Kind.RELEASED])


def test_a_name_that_leads_elsewhere_by_now_is_not_followed(project, mia, monkeypatch):
    """It is looked up once for each try, and connected to where that led."""
    connected = []
    asked = looked_up(monkeypatch, [PUBLIC], [PUBLIC], ["127.0.0.1"])

    def connect(address, *args, **kwargs):
        connected.append(address[0])
        raise ConnectionRefusedError("nobody")

    monkeypatch.setattr("httpcore2._backends.sync.socket.create_connection", connect)
    webhooks.add(project, mia, "http://hooks.example/", [Kind.RELEASED])
    delivery = notices.tell(project, Kind.RELEASED, 1, 1).deliveries.get()
    for said in ("No answer: nobody", "hooks.example is in the server's own network"):
        let_it_be_due()
        delivering.run()
        delivery.refresh_from_db()
        assert said in delivery.error
    assert asked == ["hooks.example"] * 3
    assert connected == [PUBLIC]


def test_another_of_a_names_addresses_is_tried(project, receive, monkeypatch):
    receiver = receive()
    hook(project, receiver)
    looked_up(monkeypatch, ["127.0.0.2", "127.0.0.1"])
    notices.tell(project, Kind.CERTIFIED)
    delivering.run()
    assert receiver.types == ["certified"]


# What fails


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Answer one byte at a time, for ever."""
    try:
        for letter in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000:
            handler.wfile.write(bytes([letter]))
            time.sleep(HANG_SECONDS / 5)
    except OSError:
        pass


def hang(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(HANGS_FOR)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    handler.connection.close()


def babble(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"220 this is no web server\r\n")


@pytest.mark.parametrize(
    ("acts", "status", "said"),
    [
        (None, 500, "It answered 500."),
        (None, 404, "It answered 404."),
        (None, 302, "not followed"),
        (None, 308, "not followed"),
        (hang, None, "No answer within"),
        (drip, None, "No answer within"),
        (hang_up, None, "No answer"),
        (babble, None, "No answer"),
    ],
)
def test_what_fails_is_tried_again_and_not_lost(project, receive, monkeypatch, acts, status, said):
    monkeypatch.setattr(delivering, "TRY_SECONDS", HANG_SECONDS)
    receiver = receive()
    receiver.acts, receiver.status = acts, status
    hook(project, receiver)
    delivery = notices.tell(project, Kind.CERTIFIED).deliveries.get()
    began = time.monotonic()
    delivering.run()
    assert time.monotonic() - began < HANGS_FOR
    delivery.refresh_from_db()
    assert (delivery.tries, delivery.status, delivery.delivered_at) == (1, status, None)
    assert said in delivery.error
    assert timedelta(seconds=50) < delivery.next_try_at - timezone.now() <= timedelta(minutes=1)
    assert not webhooks.due().exists()
    receiver.acts, receiver.status = None, 200
    let_it_be_due()
    delivering.run()
    delivery.refresh_from_db()
    assert (delivery.tries, delivery.status, delivery.error, delivery.next_try_at) == (2, 200, "", None)
    ids = [headers["webhook-id"] for headers, _body in receiver.got]
    assert len(ids) == 2
    assert len(set(ids)) == 1


def test_an_endless_answer_is_not_read(project, receive):
    def pour(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65_536)
        except OSError:
            pass

    receiver = receive()
    receiver.acts = pour
    hook(project, receiver)
    delivery = notices.tell(project, Kind.CERTIFIED).deliveries.get()
    delivering.run()
    delivery.refresh_from_db()
    assert delivery.delivered_at


def test_nobody_listens_there(project, receive):
    receiver = receive()
    hook(project, receiver)
    receiver.close()
    delivery = notices.tell(project, Kind.CERTIFIED).deliveries.get()
    delivering.run()
    delivery.refresh_from_db()
    assert "No answer: " in delivery.error


def test_a_receiver_that_hangs_keeps_no_other_waiting(project, receive, monkeypatch):
    monkeypatch.setattr(delivering, "TRY_SECONDS", HANG_SECONDS)
    hangs, works = receive(), receive()
    hangs.acts = hang
    hanging, _secret = hook(project, hangs)
    hook(project, works)
    for n in range(5):
        notices.tell(project, Kind.ROUND_FAILED, n, n)
    began = time.monotonic()
    delivering.run()
    assert time.monotonic() - began < HANGS_FOR
    assert (len(hangs.got), len(works.got)) == (1, 5)
    assert not webhooks.due().exists(), "it rests for a minute, with all that is for it"
    assert hanging.deliveries.exclude(next_try_at=None).count() == 5


def test_waits_grow_over_a_day_and_then_the_webhook_is_paused_with_a_notice(project, receive, mia):
    receiver = receive()
    receiver.status = 500
    webhook, _secret = hook(project, receiver)
    delivery = notices.tell(project, Kind.CERTIFIED).deliveries.get()
    waits: list[timedelta] = []
    while not waits or delivery.next_try_at:
        let_it_be_due()
        delivering.run()
        delivery.refresh_from_db()
        if delivery.next_try_at:
            waits.append(delivery.next_try_at - timezone.now())
    assert len(receiver.got) == 8
    assert waits == sorted(waits)
    assert timedelta(hours=24) < sum(waits, timedelta()) < timedelta(hours=25)
    webhook.refresh_from_db()
    assert webhook.paused_at
    assert (
        str(notices.of(mia).first().event)
        == f"The webhook to {receiver.url} is paused: nothing arrived there for a day."
    )

    notices.tell(project, Kind.RELEASED, 1, 1)
    delivering.run()
    assert len(receiver.got) == 8, "while paused nothing is sent"
    with pytest.raises(Refused, match="paused"):
        webhooks.resend(project.webhooks.get().deliveries.first())
    receiver.status, receiver.got = 200, []
    webhooks.resume(webhook)
    delivering.run()
    assert receiver.types == ["certified", "webhook-paused", "released"], "none is lost"


def test_one_event_that_is_never_taken_does_not_pause_what_else_arrives(project, receive):
    receiver = receive()
    webhook, _secret = hook(project, receiver)
    receiver.status = 500
    notices.tell(project, Kind.CERTIFIED)
    for n in range(8):
        receiver.status = 500
        let_it_be_due()
        delivering.run()
        if n == 3:
            receiver.status = 200
            notices.tell(project, Kind.RELEASED, 1, 1)
            Delivery.objects.filter(event__kind=Kind.CERTIFIED).update(next_try_at=timezone.now() + timedelta(days=1))
            delivering.run()
    webhook.refresh_from_db()
    assert webhook.paused_at is None
    assert webhook.deliveries.get(event__kind=Kind.CERTIFIED).next_try_at is None


def test_two_workers_send_an_event_once_and_a_killed_one_leaves_it_to_the_other(project, receive):
    hook(project, receive())
    notices.tell(project, Kind.CERTIFIED)
    first, second = webhooks.due().get(), webhooks.due().get()
    until = timezone.now() + timedelta(minutes=1)
    assert [webhooks.claim(first, until), webhooks.claim(second, until)] == [True, False]
    assert not webhooks.due().exists()
    let_it_be_due()
    assert webhooks.due().get().tries == 1


def test_a_webhook_that_is_removed_during_a_try_stays_away(project, receive):
    webhook, _secret = hook(project, receive())
    notices.tell(project, Kind.CERTIFIED)
    delivery = webhooks.due().get()
    webhooks.claim(delivery, timezone.now())
    delivery.tries = 8
    webhooks.remove(webhook)
    webhooks.record(delivery, 500, "It answered 500.")
    assert not Delivery.objects.exists()
    assert not project.events.filter(kind=Kind.WEBHOOK_PAUSED).exists()


def test_the_quick_lanes_heart_has_sent_what_is_due_and_does_not_insist(
    project, receive, monkeypatch, django_capture_on_commit_callbacks
):
    asked = []
    monkeypatch.setattr("labelling.services.queueing.async_task", lambda task, cluster: asked.append((task, cluster)))
    hook(project, receive())
    quick, slow = Heart(1, "quick"), Heart(1, "red")
    quick.beat()
    assert asked == []
    notices.tell(project, Kind.CERTIFIED)
    with django_capture_on_commit_callbacks(execute=True):
        for heart in (slow, quick, quick):
            heart.beat()
    assert asked == [("labelling.jobs.run_sending", "quick")]
    quick.busy = True
    quick._asked_at -= 60
    with django_capture_on_commit_callbacks(execute=True):
        quick.beat()
    assert len(asked) == 1


# Pages and API


def test_the_pages_show_the_secret_once_and_what_was_sent(client, project, mia, receive):
    client.force_login(mia)
    receiver, address = receive(), reverse("webhooks", args=[project.slug])
    assert "No program is told yet." in client.get(address).content.decode()
    page = client.post(address, {"address": receiver.url, "kinds": ["certified"]}).content.decode()
    assert re.search("<code>whsec_[A-Za-z0-9+/=]{44}</code>", page)
    assert "whsec_" not in client.get(address).content.decode()
    webhook = project.webhooks.get()
    detail = reverse("webhook", args=[project.slug, webhook.pk])
    assert "Nothing has happened yet" in client.get(detail).content.decode()
    receiver.status = 500
    delivery = notices.tell(project, Kind.CERTIFIED).deliveries.get()
    delivering.run()
    page = client.get(detail).content.decode()
    assert "It answered 500." in page
    assert "next try" in page
    receiver.status = 200
    client.post(reverse("resend", args=[project.slug, webhook.pk, delivery.pk]))
    delivering.run()
    assert "arrived" in client.get(detail).content.decode()
    client.post(reverse("pause_webhook", args=[project.slug, webhook.pk]))
    page = client.get(detail).content.decode()
    assert "Paused since" in page
    assert "Send again" not in page
    client.post(reverse("resume_webhook", args=[project.slug, webhook.pk]))
    client.post(reverse("remove_webhook", args=[project.slug, webhook.pk]))
    assert not project.webhooks.exists()


def test_the_form_says_what_is_wrong(client, project, mia):
    client.force_login(mia)
    address = reverse("webhooks", args=[project.slug])
    assert (
        "own network" in client.post(address, {"address": "http://localhost/", "kinds": ["certified"]}).content.decode()
    )
    assert "This field is required" in client.post(address, {"address": f"https://{PUBLIC}/"}).content.decode()
    assert not project.webhooks.exists()


def test_a_project_has_not_any_number_of_them(project, mia, monkeypatch):
    monkeypatch.setattr(webhooks, "MAX_WEBHOOKS", 1)
    webhooks.add(project, mia, f"https://{PUBLIC}/", [Kind.CERTIFIED])
    with pytest.raises(Refused, match="at most 1"):
        webhooks.add(project, mia, f"https://{PUBLIC}/", [Kind.CERTIFIED])


def test_programs_add_list_and_remove_webhooks(client, project, mia):
    headers = {"Authorization": f"Bearer {tokens.create(mia, 'test', 'manage', 1)[1]}"}
    path = f"/api/projects/{project.slug}/webhooks"

    def add(address: str, kinds: list[str]):
        body = {"address": address, "kinds": kinds}
        return client.post(path, body, content_type="application/json", headers=headers)

    added = add(f"https://{PUBLIC}/", ["certified"])
    assert (added.status_code, added.json()["secret"][:6]) == (201, "whsec_")
    (listed,) = client.get(path, headers=headers).json()["items"]
    assert (listed["address"], listed["kinds"], "secret" in listed) == (f"https://{PUBLIC}/", ["certified"], False)
    assert [add("http://127.0.0.1/", ["certified"]).status_code, add(f"https://{PUBLIC}/", ["x"]).status_code] == [
        409,
        422,
    ]
    assert client.delete(f"{path}/{listed['id']}", headers=headers).status_code == 204
    assert client.delete(f"{path}/{listed['id']}", headers=headers).status_code == 404

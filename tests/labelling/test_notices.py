"""What is told to whom: on the page, and by mail."""

from __future__ import annotations

import re
from contextlib import nullcontext
from datetime import datetime, timedelta
from smtplib import SMTPRecipientsRefused

import pytest
from django.core import mail
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from labelling import jobs
from labelling.jobs import mailing
from labelling.jobs.calls import AtCap, JudgeFails
from labelling.jobs.lease import MAX_ATTEMPTS, JobFailed
from labelling.models import Certificate, Event, Mailbox, Membership, Notice, Project, Round
from labelling.services import imports, mails, notices, projects, releases, rounds
from tests.factories import account, csv_file, fresh, fruit_project, import_rows, make_project, run_round

pytestmark = pytest.mark.django_db

Kind = Event.Kind
Mail = Mailbox.Mail


@pytest.fixture(scope="module")
def laid_out(laying_out) -> Project:
    people = {"manager": account("mia", email="mia@example.org"), "reviewers": [account("rea", email="rea@x.example")]}
    return fruit_project(**people, batch_size=5, retrain_after=0, name="Fruit")


@pytest.fixture
def project(laid_out) -> Project:
    Event.objects.all().delete()
    return fresh(laid_out)


@pytest.fixture
def mia():
    return account("mia")


@pytest.fixture
def rea():
    return account("rea")


@pytest.fixture
def posted(settings) -> list:
    """Mail is set up; what left."""
    settings.EMAIL_URL = "smtp://localhost"
    return mail.outbox


def told(project: Project) -> list[str]:
    return list(project.events.order_by("pk").values_list("kind", flat=True))


def told_to(user) -> list[str]:
    return [notice.event.kind for notice in notices.of(user).order_by("event_id")]


# What happens


def test_a_round_tells_reviewers_that_documents_wait_and_managers_what_else_there_is(project, mia, rea):
    assert run_round(project).state == "done"
    assert told(project) == [Kind.QUEUE_READY]
    notices.tell(project, Kind.RELEASED, 1, 1)
    assert told_to(rea) == [Kind.QUEUE_READY]
    assert told_to(mia) == [Kind.QUEUE_READY, Kind.RELEASED]


@pytest.mark.parametrize(
    ("paused", "kind"),
    [(AtCap("The round's cap is reached."), Kind.ROUND_AT_CAP), (JudgeFails("No use."), Kind.JUDGE_FAILING)],
)
def test_a_round_that_pauses_says_why_and_that_documents_wait(project, monkeypatch, paused, kind):
    monkeypatch.setattr("labelling.jobs.rounds.ask_judge", lambda lease: paused)
    project.judge = "neighbours"
    project.save()
    round_ = run_round(project)
    assert (round_.state, round_.error) == ("paused", str(paused))
    assert told(project) == [kind, Kind.QUEUE_READY]
    assert project.events.get(kind=kind).about == "1"


def test_a_round_that_waits_for_agreement_tells_managers_once(project, monkeypatch):
    monkeypatch.setattr("labelling.jobs.rounds.awaits_consent", lambda round_: round_.confirmed_at is None)
    round_ = run_round(project)
    assert (round_.state, told(project)) == ("waiting", [Kind.ROUND_WAITS])
    rounds.agree(round_)
    jobs.run_round(round_.pk)
    assert told(project) == [Kind.ROUND_WAITS, Kind.QUEUE_READY]


def test_a_round_that_fails_tells_in_the_same_transaction(project, monkeypatch):
    def fail(lease):
        raise JobFailed("No key.")

    monkeypatch.setattr("labelling.jobs.rounds.fit", fail)
    round_ = rounds.start_round(project)
    with pytest.raises(JobFailed):
        jobs.run_round(round_.pk)
    assert told(project) == [Kind.ROUND_FAILED]
    assert project.events.get().get_absolute_url() == reverse("round", args=[project.slug, 1])


def test_what_was_cancelled_meanwhile_does_not_fail(project, monkeypatch):
    def fail(lease):
        Round.objects.update(state="cancelled")
        raise JobFailed("No key.")

    monkeypatch.setattr("labelling.jobs.rounds.fit", fail)
    round_ = rounds.start_round(project)
    with pytest.raises(JobFailed):
        jobs.run_round(round_.pk)
    assert told(project) == []


def test_an_import_tells_that_it_is_done_or_failed(project, monkeypatch):
    done = import_rows(project, [("a fig", "")])
    event = project.events.get()
    assert (event.kind, str(event)) == (Kind.IMPORTED, "The import of “texts.csv” is done.")
    assert event.get_absolute_url() == done.get_absolute_url()
    waiting = imports.upload(project, csv_file([("a date", "")]), user=None)
    imports.start_here(waiting)
    waiting.file.storage.delete(waiting.file.name)
    for _ in range(MAX_ATTEMPTS):
        assert told(project) == [Kind.IMPORTED]
        with pytest.raises(FileNotFoundError):
            jobs.run_import(waiting.pk)
    assert told(project) == [Kind.IMPORTED, Kind.IMPORT_FAILED]


def test_a_release_tells_that_it_is_delivered(project, monkeypatch):
    monkeypatch.setattr("labelling.jobs.releasing.snapshot", nullcontext)
    run_round(project)
    jobs.run_release(releases.start_here(project).pk)
    assert told(project) == [Kind.QUEUE_READY, Kind.RELEASED]


def test_a_certificate_is_gained_once_and_lost_when_audits_find_too_much_wrong(project):
    round_ = run_round(project)
    Event.objects.all().delete()
    look: dict[str, float] = dict.fromkeys(("ledger", "k", "still_needed", "n_open", "n_catching_up"), 0)
    look |= {"n": 71, "ever": 99, "now": 99, "depth": 0.7, "bound": 0.05, "limit": 0.05, "level": 0.95}

    def happens(*, holds: bool = True, stopped: bool = False) -> list[str]:
        before = project.events.count()
        with transaction.atomic(), notices.certificate_watched(project):
            Certificate.objects.create(project=project, round=round_, holds=holds, finite=False, **look)
            Round.objects.update(settling_stopped=stopped)
        return told(project)[before:]

    assert happens(holds=False) == []
    assert happens() == [Kind.CERTIFIED]
    assert happens(holds=False) == [], "more is being certified: what held stands"
    assert happens(stopped=True) == [Kind.CERTIFICATE_LOST]
    assert happens(stopped=True) == []
    assert happens() == [Kind.CERTIFIED]


def test_every_kind_has_its_sentence_and_its_page(project):
    for kind in Kind:
        event = notices.tell(project, kind, "about it", 1)
        assert str(event)
        event.key = None if Event.PAGES[kind] in ("review", "project", "certificate") else 1
        assert event.get_absolute_url().startswith(f"/p/{project.slug}/")


def test_an_event_is_written_once_and_with_what_happened_or_not_at_all(project):
    event = notices.tell(project, Kind.CERTIFIED)
    with pytest.raises(TypeError):
        event.save()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        notices.tell(project, Kind.CERTIFICATE_LOST)
        raise ZeroDivisionError
    assert told(project) == [Kind.CERTIFIED]


def test_who_leaves_a_project_or_manages_it_no_longer_sees_nothing_of_it(project, mia, rea):
    projects.set_member(project, rea, Membership.Role.MANAGER)
    for kind in (Kind.QUEUE_READY, Kind.CERTIFIED):
        notices.tell(project, kind, 1)
    assert told_to(rea) == [Kind.QUEUE_READY, Kind.CERTIFIED]
    projects.set_member(project, rea, Membership.Role.REVIEWER)
    assert told_to(rea) == [Kind.QUEUE_READY]
    projects.remove_member(project.memberships.get(user=rea))
    assert told_to(rea) == []
    assert notices.count_unread(rea, 100) == 0
    assert len(told_to(mia)) == 2


# The bell


def bell(page: str) -> str:
    return re.search(r'<a id="bell".*?</a>', page, re.DOTALL).group()


def test_the_bell_counts_what_is_unread_and_the_list_shows_it(client, project, mia):
    client.force_login(mia)
    assert "count" not in bell(client.get(reverse("project_list")).content.decode())
    page = client.get(reverse("notices")).content.decode()
    assert "Nothing has happened yet" in page
    assert "Mark all as read" not in page

    other = make_project(mia, name="Birds")
    notices.tell(project, Kind.ROUND_WAITS, 3)
    notices.tell(other, Kind.CERTIFIED)
    page = client.get(reverse("notices")).content.decode()
    assert "Notices: 2 unread" in bell(page)
    assert page.index("A certificate holds.") < page.index("Round 3 waits"), "the newest first"
    only = client.get(reverse("notices"), {"project": other.slug}).content.decode()
    assert "Round 3 waits" not in only

    notice = notices.of(mia, project).get()
    assert client.get(reverse("notice", args=[notice.pk])).url == f"/p/{project.slug}/"
    assert ">1<" in bell(client.get(reverse("worker_status")).content.decode()), "it comes with the worker's banner"
    assert 'hx-swap-oob="true"' in client.get(reverse("worker_status")).content.decode()
    assert client.post(reverse("read_notices"), {"project": other.slug}).url == f"/notices/?project={other.slug}"
    assert notices.count_unread(mia, 100) == 0


def test_another_persons_notice_is_not_reached(client, project, mia, rea):
    notices.tell(project, Kind.CERTIFIED)
    client.force_login(rea)
    assert client.get(reverse("notice", args=[Notice.objects.get(user=mia).pk])).status_code == 404
    client.post(reverse("read_notices"), {"project": project.slug})
    assert notices.count_unread(mia, 100) == 1
    assert client.get(reverse("read_notices")).status_code == 405


def test_many_unread_notices_are_not_counted_to_the_last(client, project, mia):
    events = Event.objects.bulk_create(Event(project=project, kind=Kind.CERTIFIED) for _ in range(120))
    Notice.objects.bulk_create(Notice(event=event, user=mia) for event in events)
    client.force_login(mia)
    page = client.get(reverse("notices")).content.decode()
    assert "99+" in bell(page)
    assert "Page 1 of 3" in page
    client.post(reverse("read_notices"))
    assert notices.count_unread(mia, 100) == 0


def test_the_bell_costs_a_page_one_query_and_a_part_of_a_page_none(client, project, mia):
    run_round(project)
    client.force_login(mia)

    def asked(name: str, *args: object) -> list[str]:
        client.get(reverse(name, args=args))
        with CaptureQueriesContext(connection) as queries:
            client.get(reverse(name, args=args))
        return [query["sql"] for query in queries if "labelling_notice" in query["sql"]]

    pages = ["project_list", "tokens", "sessions"]
    of_project = ["project", "review", "documents", "labels", "members", "judge", "webhooks", "project_settings"]
    for n in (0, 60):
        for _ in range(n):
            notices.tell(project, Kind.QUEUE_READY, 1)
        for name, args in [*((name, []) for name in pages), *((name, [project.slug]) for name in of_project)]:
            assert len(asked(name, *args)) == 1, name
        assert len(asked("notices")) <= 4
        assert asked("search_labels", project.slug) == []


# Mail


def due_in_the_morning(monkeypatch) -> None:
    """Let it be tomorrow, after seven."""
    tomorrow = timezone.localtime().replace(hour=8) + timedelta(days=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: tomorrow)


def test_without_a_mail_server_nothing_is_sent(project, settings):
    settings.EMAIL_URL = ""
    notices.tell(project, Kind.QUEUE_READY, 1)
    Mailbox.objects.update(mail=Mail.AT_ONCE)
    assert not mails.due().exists()


def test_by_default_a_digest_comes_in_the_morning_and_once(project, posted, mia, monkeypatch):
    notices.tell(project, Kind.QUEUE_READY, 1)
    notices.tell(project, Kind.CERTIFIED)
    mailing.run()
    assert posted == []
    due_in_the_morning(monkeypatch)
    for _ in range(2):
        mailing.run()
    assert sorted(sent.to for sent in posted) == [["mia@example.org"], ["rea@x.example"]]
    to_mia = next(sent for sent in posted if sent.to == ["mia@example.org"])
    assert to_mia.subject == "R.E.D. · 2 notices"
    assert "A certificate holds.\nhttp://127.0.0.1:8000/p/fruit/certificate/" in to_mia.body
    assert "certificate" not in next(sent for sent in posted if sent.to != to_mia.to).body


@pytest.mark.parametrize(
    ("now", "morning"), [("2026-03-02T06:59", "2026-03-01T07:00"), ("2026-03-02T07:00", "2026-03-02T07:00")]
)
def test_the_last_morning_is_at_seven(now, morning):
    at = timezone.make_aware(datetime.fromisoformat(now))
    assert mails._last_morning(at) == timezone.make_aware(datetime.fromisoformat(morning))


def test_at_once_is_at_once_and_off_is_off(project, posted, mia, rea):
    mails.choose(mia, Mail.AT_ONCE)
    mails.choose(rea, Mail.OFF)
    notices.tell(project, Kind.QUEUE_READY, 7)
    mailing.run()
    assert [(sent.to, sent.subject) for sent in posted] == [
        (["mia@example.org"], "R.E.D. · Fruit: Round 7 has laid out documents: they wait for people.")
    ]


def test_what_was_read_on_the_page_is_not_mailed_nor_what_is_old_nor_to_whom_has_no_address(project, posted, mia, rea):
    for person in (mia, rea):
        mails.choose(person, Mail.AT_ONCE)
    notices.tell(project, Kind.QUEUE_READY, 1)
    notices.mark_read(notices.of(mia))
    rea.email = ""
    rea.save()
    assert not mails.due().exists()
    rea.email = "rea@x.example"
    rea.save()
    assert mails.due().get().user == rea
    Event.objects.update(at=timezone.now() - mails.LASTS)
    assert not mails.due().exists()


def test_a_server_that_fails_is_left_in_peace_and_the_mail_is_sent_later(project, posted, mia, rea, monkeypatch):
    for person in (mia, rea):
        mails.choose(person, Mail.AT_ONCE)
    notices.tell(project, Kind.QUEUE_READY, 1)
    tries = []

    def refuse(message):
        tries.append(message.to)
        raise ConnectionRefusedError

    with monkeypatch.context() as patch:
        patch.setattr("django.core.mail.EmailMessage.send", refuse)
        mailing.run()
        mailing.run()
    assert len(tries) == 1
    assert not mails.due().exists()
    Mailbox.objects.update(not_before=timezone.now())
    mailing.run()
    assert len(posted) == 2
    assert not mails.due().exists()


def test_one_bad_address_keeps_nobody_else_waiting(project, posted, mia, rea, monkeypatch):
    for person in (mia, rea):
        mails.choose(person, Mail.AT_ONCE)
    notices.tell(project, Kind.QUEUE_READY, 1)
    sent = []

    def send(message):
        if message.to == ["mia@example.org"]:
            raise SMTPRecipientsRefused({})
        sent.append(message.to)

    monkeypatch.setattr("django.core.mail.EmailMessage.send", send)
    mailing.run()
    assert sent == [["rea@x.example"]]


def test_two_workers_send_a_mail_once(project, posted, mia):
    mails.choose(mia, Mail.AT_ONCE)
    notices.tell(project, Kind.CERTIFIED)
    mailbox = mails.due().get()
    assert [mailing._claim(mailbox), mailing._claim(mailbox)] == [True, False]


def test_long_digests_end_with_how_many_more_there_are(project, posted, mia, monkeypatch):
    monkeypatch.setattr("labelling.jobs.mailing.MAX_LISTED", 2)
    mails.choose(mia, Mail.AT_ONCE)
    for n in range(5):
        notices.tell(project, Kind.ROUND_FAILED, n, n)
    mailing.run()
    (sent,) = posted
    assert sent.body.count("failed") == 2
    assert "And 3 more: http://127.0.0.1:8000/notices/" in sent.body


def test_the_way_out_needs_no_login_and_one_click(project, posted, mia, settings):
    settings.SITE_URL = "https://red.example"
    mails.choose(mia, Mail.AT_ONCE)
    notices.tell(project, Kind.CERTIFIED)
    mailing.run()
    (sent,) = posted
    out = sent.extra_headers["List-Unsubscribe"].strip("<>")
    assert out in sent.body
    assert sent.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    path = out.removeprefix("https://red.example")
    stranger = Client(enforce_csrf_checks=True)
    assert "No more mails about notices?" in stranger.get(path).content.decode()
    assert mails.mailbox_of(mia).mail == Mail.AT_ONCE, "looking changes nothing"
    assert stranger.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert mails.mailbox_of(mia).mail == Mail.OFF
    forged = reverse("stop_mails", args=[f"{path.split('/')[-2][:-1]}x"])
    assert [stranger.get(forged).status_code, stranger.post(forged).status_code] == [410, 410]


def test_the_settings_page_says_what_is_missing_and_saves(client, mia, settings, posted):
    client.force_login(mia)
    address = reverse("notice_settings")
    assert "Mails go to <bdi>mia@example.org" in client.get(address).content.decode()
    assert client.post(address, {"mail": Mail.AT_ONCE}).status_code == 302
    assert mails.mailbox_of(mia).mail == Mail.AT_ONCE
    assert "Select a valid choice" in client.post(address, {"mail": "hourly"}).content.decode()
    settings.EMAIL_URL = ""
    assert "sends no mail" in client.get(address).content.decode()

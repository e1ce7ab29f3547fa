"""The judge under load: a thousand questions to a server that fails, workers that are killed, and a cap in money."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connections
from django.db.models import QuerySet
from django.utils import timezone

from labelling import jobs
from labelling.jobs.lease import JobFailed
from labelling.jobs.worker import requeue_lost_jobs
from labelling.models import Call, JudgeFailure, Price, Project, Query, Round, Verdict
from labelling.services import claims, rounds
from tests.factories import import_rows, make_project
from tests.site import free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

ROOT = Path(__file__).resolve().parents[2]
N_LABELS = 20
# Of 16; fewer are under way while a rate limit is waited for, and when the last questions are put.
LEAST_AT_A_TIME = 6
PASSING = ("rate_limit", "overloaded", "server_error", "timeout", "connection_lost", "cut_off")
PAID = ("refusal", "truncated", "malformed", "other_document")
LASTING = ("unauthorized", "unknown_model", "spend_limit")


class Server:
    """`manage.py fake_messages_api` in a process of its own."""

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}"

    def books(self) -> dict:
        with urllib.request.urlopen(f"{self.url}/fake/books", timeout=10) as response:
            return json.loads(response.read())


@contextmanager
def serving(fail: dict[str, float] | None = None, **options: float) -> Iterator[Server]:
    port = free_port()
    fails = [f"--fail={name}={share}" for name, share in (fail or {}).items()]
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "manage.py", "fake_messages_api", f"--port={port}", *arguments, *fails]
    environment = os.environ | {"SECRET_KEY": "test"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert "answers at" in process.stdout.readline()
        try:
            yield Server(port)
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def _judge(monkeypatch, settings):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "any")
    monkeypatch.setenv("NO_PROXY", "*")
    settings.JUDGE_MODEL = "stub-1"
    settings.JUDGE_CONCURRENCY = 16
    settings.JUDGE_TIMEOUT_SECONDS = 5


def set_price(times: int = 1) -> None:
    figures = {"input": "1.00", "output": "5.00", "cache_write": "1.25", "cache_read": "0.10"}
    prices = {name: times * Decimal(figure) for name, figure in figures.items()}
    Price.objects.create(model="stub-1", valid_from="2020-01-01", cache_min_tokens=1024, **prices)


def big_project(n: int, **settings) -> Project:
    """A project whose round asks n questions or more about 20 labels, besides those for people alone."""
    wanted = {"judge": "anthropic", "strategy": "random", "retrain_after": 0, "auto_accept": False}
    # Calls are reckoned with, several a document: a label that the judge refuses is followed by the next one.
    project = make_project(batch_size=3 * n, confirm_spending=False, **wanted | settings)
    rows = [
        (f"word{label} seed text number {i} word{label}", f"label {label}")
        for label in range(N_LABELS)
        for i in range(6)
    ]
    rows += [
        (f"word{i % N_LABELS} word{(i + 1) % N_LABELS} in the pool, text {i} of many", "")
        for i in range(n + n // 20 + 60)
    ]
    import_rows(project, rows)
    return project


def asked(round_: Round) -> QuerySet[Query]:
    """What the judge is asked; the rest is for people alone."""
    return round_.queries.exclude(reason__in=Query.UNASKED)


def tell(figures: str) -> None:
    """Show what was measured: pytest -s."""
    sys.stdout.write(f"\n{figures}\n")


def n_side_by_side() -> float:
    """How many calls were under way on average, while any was."""
    calls = Call.objects.order_by("started_at").values_list("started_at", "ended_at")
    until, seconds, of_all = calls[0][0], 0.0, 0.0
    for begun, ended in calls:
        assert ended, "none is left in flight"
        of_all += (ended - begun).total_seconds()
        seconds += max((ended - max(begun, until)).total_seconds(), 0)
        until = max(until, ended)
    return of_all / seconds


def run_on(round_: Round) -> int:
    """Run a round to its end, as somebody does who presses "Go on" whenever it stops; return how often that was."""
    stops = 0
    while True:
        try:
            jobs.run_round(round_.pk)
        except JobFailed:
            stops += 1
            round_.refresh_from_db()
            assert any(hint in round_.error for hint in ("ANTHROPIC_API_KEY", "knows no model", "spend limit"))
            rounds.go_on(round_)
        else:
            round_.refresh_from_db()
            return stops


@pytest.mark.parametrize("question", ["validate", "choose"])
def test_a_thousand_verdicts_from_a_server_that_fails_in_every_way(settings, question):
    """10 % of the calls fail, in all 13 ways, and the books agree to the cent; 16 calls at a time."""
    set_price()
    shares = dict.fromkeys((*PASSING, *PAID), 0.0097) | dict.fromkeys(LASTING, 0.001)
    with serving(latency=0.3, fail=shares) as server:
        settings.JUDGE_BASE_URL = server.url
        project = big_project(1000, question=question)
        round_ = rounds.start_round(project)
        stops = run_on(round_)
        books = server.books()
    at_a_time = n_side_by_side()
    queries = asked(round_).count()
    states = Counter(Call.objects.values_list("state", flat=True))
    told = f"{queries} questions, {books['calls']} calls, {stops} stops, {at_a_time:.1f} at a time"
    tell(f"{question}: {told}, {dict(states)}")

    assert round_.state == "done"
    assert queries >= 1000
    assert Verdict.objects.count() + JudgeFailure.objects.count() == queries
    assert not Verdict.objects.filter(query__judge_failure__isnull=False).exists()
    assert all(JudgeFailure.objects.values_list("reason", flat=True))
    assert set(books["outcomes"]) - {"answered"} >= {*PASSING, *PAID}, "else this proves little"
    billed = Call.objects.filter(cost__gt=0)
    assert Counter(billed.values_list("query", flat=True)).most_common(1)[0][1] == 1, "none was asked twice for money"
    assert not Verdict.objects.exclude(call__state="done").exists()
    assert sorted(billed.values_list("request_id", flat=True)) == sorted(books["request_ids"])
    assert Call.objects.count() == books["calls"]
    assert round(Call.objects.all().known_cost(), 6) == round(Decimal(books["cost"]), 6)
    assert not Call.objects.in_flight().exists()
    assert at_a_time > LEAST_AT_A_TIME


def test_a_worker_killed_at_ten_random_moments_leaves_books_that_agree(settings, monkeypatch):
    """What was in flight at a kill is in the ledger as lost, and asked again."""
    set_price()
    settings.JUDGE_CONCURRENCY = 8
    rng = random.Random(4)
    with serving(latency=0.2) as server:
        settings.JUDGE_BASE_URL = server.url
        environment = os.environ | {
            "SECRET_KEY": "test",
            "DJANGO_SETTINGS_MODULE": "red_project.settings",
            "DATABASE_URL": database_url(),
            "JUDGE_BASE_URL": server.url,
            "JUDGE_MODEL": "stub-1",
            "JUDGE_CONCURRENCY": "8",
        }
        round_ = rounds.start_round(big_project(400))
        # All but the asking is done here, where the encoder is a fake.
        with monkeypatch.context() as without, pytest.raises(JobFailed):
            without.delenv("ANTHROPIC_API_KEY")
            jobs.run_round(round_.pk)
        round_.refresh_from_db()
        rounds.go_on(round_)
        for _ in range(10):
            kill_while_asking(round_, environment, rng.uniform(0.1, 1.0))
            Round.objects.filter(pk=round_.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
            requeue_lost_jobs()
        jobs.run_round(round_.pk)
        round_.refresh_from_db()
        books = server.books()
    lost = Call.objects.filter(state="lost")
    unseen = set(books["request_ids"]) - set(Call.objects.values_list("request_id", flat=True))
    tell(f"{asked(round_).count()} questions, {books['calls']} calls, {lost.count()} lost, {len(unseen)} unseen")
    assert round_.state == "done"
    assert Verdict.objects.count() == asked(round_).count() >= 400
    assert set(Verdict.objects.values_list("request_id", flat=True)) <= set(books["request_ids"])
    assert 1 <= lost.count() <= 10 * 8
    assert len(unseen) <= lost.count()
    assert books["calls"] <= Call.objects.count()
    known = Call.objects.all().known_cost()
    assert known <= Decimal(books["cost"]) <= Call.objects.all().at_most()
    assert Call.objects.filter(state="done").count() == asked(round_).count()


def kill_while_asking(round_: Round, environment: dict[str, str], seconds: float) -> None:
    """Run the round in a process of its own and kill that so many seconds after its first call has left."""
    before = Call.objects.count()
    code = f"import django; django.setup(); from labelling.jobs import run_round; run_round({round_.pk})"
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=environment) as process:
        wait_for(lambda: Call.objects.count() > before, "the first call")
        time.sleep(seconds)
        process.kill()
    assert process.returncode == -signal.SIGKILL, "the round ended too soon: this proves nothing"


def database_url() -> str:
    """Of the tests' own database."""
    name = connections["default"].settings_dict["NAME"]
    server = os.environ.get("DATABASE_URL", "")
    return urlunsplit(urlsplit(server)._replace(path=f"/{name}")) if server else f"sqlite:///{name}"


def test_a_cap_of_one_dollar_is_kept(settings):
    set_price(times=10)
    with serving(latency=0.1) as server:
        settings.JUDGE_BASE_URL = server.url
        project = big_project(1000, round_cap=Decimal("1.00"))
        round_ = rounds.start_round(project)
        jobs.run_round(round_.pk)
        round_.refresh_from_db()
        assert round_.state == "paused"
        cost = Call.objects.all().known_cost()
        tell(f"{Verdict.objects.count()} verdicts for ${cost}")
        assert Decimal("0.9") < cost <= Decimal("1.00")
        assert project.queue.count() == claims.REVIEWS_BY_HAND
        project.round_cap = None
        project.save()
        rounds.go_on(round_)
        assert run_on(round_) == 0
        assert Verdict.objects.count() == asked(round_).count()
        assert len(server.books()["request_ids"]) == asked(round_).count()

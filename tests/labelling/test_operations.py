"""Running it: is it well, may it start, what is in the way, and what a lost database leaves behind."""

from __future__ import annotations

import errno
import socket
import sqlite3
from collections import namedtuple
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DataError, InterfaceError, OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.sql.compiler import SQLInsertCompiler
from django.urls import reverse
from django.utils import timezone

from labelling.jobs import vectors
from labelling.jobs.lease import LEASE, MAX_ATTEMPTS, hold
from labelling.models import BackgroundJob, Embedding, Round, Worker
from labelling.services import Refused, backups, imports, operations, queueing, upgrading
from labelling.views import status
from tests.factories import csv_file, fruit_project, make_project, make_user, run_round

pytestmark = pytest.mark.django_db

State = BackgroundJob.State
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def round_() -> Round:
    queued_at = timezone.now() - timedelta(minutes=2)
    return Round.objects.create(project=make_project(), number=1, state=State.QUEUED, queued_at=queued_at)


@pytest.fixture
def no_database(monkeypatch):
    def refuse(*args, **kwargs):
        raise OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr("labelling.services.operations._jobs", refuse)
    monkeypatch.setattr(operations.connection, "close", lambda: None)


def test_health_is_one_word_for_strangers_and_more_for_staff(client, round_):
    assert client.get("/health/").content == b"ok"
    client.force_login(make_user())
    assert client.get("/health/").content == b"ok"
    client.force_login(make_user(is_staff=True))
    told = client.get("/health/").json()
    assert told["jobs"] == [{"kind": "round", "state": "queued", "n": 1}]
    assert 120 <= told["oldest_job_seconds"] < 200
    assert (told["database"], told["workers"]) == (True, 0)


def test_health_tells_a_lost_database_and_a_full_disk(client, monkeypatch, no_database):
    assert client.get("/health/").status_code == 503
    monkeypatch.undo()
    monkeypatch.setattr("shutil.disk_usage", lambda folder: Usage(100, 99, 1))
    assert (client.get("/health/").status_code, client.get("/health/").content) == (503, b"not well")


def test_metrics_are_for_programs_of_this_machine_or_with_the_token(client, round_, settings):
    Worker.objects.create(host="here", pid=1)
    said = client.get("/metrics/").content.decode()
    assert 'red_jobs{kind="round",state="queued"} 1.0' in said
    assert "red_workers 1.0" in said
    assert client.get("/metrics/", REMOTE_ADDR="192.0.2.1").status_code == 404
    assert client.get("/metrics/", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 404
    settings.METRICS_TOKEN = "pass"
    assert client.get("/metrics/").status_code == 404
    assert client.get("/metrics/", headers={"Authorization": "Bearer past"}).status_code == 404
    assert client.get("/metrics/", headers={"Authorization": "Bearer pass"}, REMOTE_ADDR="192.0.2.1").status_code == 200


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "disk is full"),
        (OperationalError("database or disk is full"), 507, "disk is full"),
        (OSError(errno.EROFS, "Read-only file system"), 507, "can't write"),
        (OperationalError("attempt to write a readonly database"), 507, "can't write"),
        (FileNotFoundError(errno.ENOENT, "gone"), 500, "A file is gone"),
        (InterfaceError("connection already closed"), 503, "does not answer"),
        (ValueError("secret"), 500, "in the server's log"),
    ],
)
def test_the_page_for_errors_says_what_is_in_the_way(client, monkeypatch, error, code, said):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr("labelling.services.operations.look", fail)
    client.raise_request_exception = False
    page = client.get("/health/")
    assert (page.status_code, said in page.content.decode().replace("&#x27;", "'")) == (code, True)
    assert "secret" not in page.content.decode()
    assert status._why(None)[0] == 500


@pytest.mark.parametrize("error", [OperationalError("server closed"), InterfaceError("connection already closed")])
def test_a_job_that_loses_the_database_is_given_back(round_, monkeypatch, error):
    monkeypatch.setattr("labelling.jobs.lease.connection", namedtuple("Connection", "close")(lambda: None))
    with pytest.raises(type(error)), hold(Round, round_.pk):
        raise error
    round_.refresh_from_db()
    assert (round_.state, round_.lease, round_.finished_at) == (State.QUEUED, None, None)
    with hold(Round, round_.pk) as lease:
        assert lease


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES])
def test_a_job_that_can_write_nothing_says_so_and_is_tried_again(client, round_, code):
    for _ in range(MAX_ATTEMPTS + 1):
        with pytest.raises(OSError, match="no"), hold(Round, round_.pk):
            raise OSError(code, "no room")
    round_.refresh_from_db()
    assert (round_.state, round_.finished_at, round_.attempts) == (State.QUEUED, None, 0)
    client.force_login(round_.project.memberships.get().user)
    page = client.get(reverse("project", args=[round_.project.slug])).content.decode()
    assert "Make room on its disk: it tries again by itself." in page
    with hold(Round, round_.pk) as lease:
        assert lease.job.error == ""


@pytest.mark.parametrize("code", [errno.ENOENT, errno.ESTALE, errno.EIO])
def test_a_job_whose_file_is_not_there_looks_for_it_again_and_gives_up_at_last(client, round_, code):
    def look() -> None:
        with pytest.raises(OSError, match="away"), hold(Round, round_.pk):
            raise OSError(code, "away")
        round_.refresh_from_db()

    client.force_login(round_.project.memberships.get().user)
    for _ in range(MAX_ATTEMPTS - 1):
        look()
        assert (round_.state, round_.finished_at) == (State.QUEUED, None)
    page = client.get(reverse("project", args=[round_.project.slug])).content.decode()
    assert "It looks for it again by itself, up to 10 times." in page
    look()
    assert (round_.state, "Unexpected error: " in round_.error) == (State.FAILED, True)


def test_what_is_the_jobs_own_fault_is_told(round_):
    with pytest.raises(DataError), hold(Round, round_.pk):
        raise DataError("too long")
    round_.refresh_from_db()
    assert (round_.state, "Unexpected error: DataError" in round_.error) == (State.FAILED, True)


def test_the_clock_of_a_lease_is_the_databases(round_, monkeypatch):
    late = timezone.now() + timedelta(hours=1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: late)
    with hold(Round, round_.pk) as lease:
        lease.renew()
        round_.refresh_from_db()
        assert round_.lease_until < late - timedelta(minutes=50)
        assert round_.lease_until > late - timedelta(hours=1, seconds=-LEASE.seconds + 5)


def test_nothing_starts_on_a_database_that_it_does_not_know():
    upgrading.check()
    newest = MigrationRecorder.Migration.objects.filter(app="labelling").order_by("name").last()
    MigrationRecorder.Migration.objects.create(app="labelling", name="0999_future")
    with pytest.raises(Refused, match=r"newer version.*labelling\.0999_future"):
        upgrading.check()
    newest.delete()
    with pytest.raises(Refused, match=rf"lacks labelling\.{newest.name}"):
        upgrading.check()
    for command in ("worker", "serve"):
        with pytest.raises(CommandError, match=r"manage\.py migrate"):
            call_command(command)


def test_no_web_server_starts_where_another_one_answers(monkeypatch):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as granian listens
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CommandError, match=rf"Address already in use.*{port}.*PORT={port + 1} make run"):
            call_command("serve", port=port)
    started: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda server, arguments: started.append(arguments))
    call_command("serve", port=port)
    assert str(port) in started[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="tests/slow/test_backup.py does it there")
def test_a_backup_is_whole_or_not_there(tmp_path, settings, monkeypatch):
    project = fruit_project()
    settings.MEDIA_ROOT.joinpath("encoders").mkdir(parents=True)
    settings.MEDIA_ROOT.joinpath("encoders", "model.bin").write_text("a cache")
    folder = tmp_path / "backup"
    call_command("backup", str(folder))
    with sqlite3.connect(folder / backups.SQLITE) as database:
        kept = database.execute("SELECT count(*) FROM labelling_document").fetchone()
    assert kept == (project.documents.count(),)
    files = [path.name for path in folder.joinpath(backups.FILES).rglob("*") if path.is_file()]
    assert len(files) == project.imports.count()
    with pytest.raises(CommandError, match="exists already"):
        call_command("backup", str(folder))
    with pytest.raises(CommandError, match="holds something"):
        call_command("restore", str(folder))
    with pytest.raises(CommandError, match="is no backup"):
        call_command("restore", str(tmp_path))

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("labelling.services.backups._copy_files", full)
    with pytest.raises(CommandError, match="No space"):
        call_command("backup", str(tmp_path / "second"))
    assert [path.name for path in tmp_path.iterdir() if "second" in path.name] == []


def test_an_export_that_fails_leaves_the_last_one(tmp_path, monkeypatch):
    project = fruit_project()
    file = tmp_path / "out.csv"
    call_command("export_csv", project.slug, str(file))
    before = file.read_bytes()

    def broken(*args):
        yield "half"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("labelling.services.selections.write", broken)
    with pytest.raises(CommandError, match="No space"):
        call_command("export_csv", project.slug, str(file))
    assert (file.read_bytes(), [path.name for path in tmp_path.iterdir() if path.is_file()]) == (before, ["out.csv"])


def test_a_damaged_model_is_fitted_anew():
    project = fruit_project()
    project.model_file.parent.mkdir(parents=True)
    project.model_file.write_bytes(b"PK\x03\x04 no zip file")
    assert run_round(project).state == State.DONE


def test_a_damaged_vector_is_computed_anew(encoder):
    project = fruit_project()
    hashes = sorted(set(project.documents.values_list("text_hash", flat=True)))
    texts = dict(project.documents.values_list("text_hash", "text"))
    for _ in vectors.embed(texts.items(), encoder):
        pass
    whole = vectors.load(hashes, encoder)
    damages = [b"", b"abc", np.zeros(256, np.float32).tobytes(), np.full(256, np.nan, np.float32).tobytes()]
    for key, damage in zip(hashes, damages, strict=False):
        Embedding.objects.filter(text_hash=key).update(vector=damage)
    assert np.array_equal(vectors.load(hashes, encoder), whole)
    Embedding.objects.filter(text_hash=hashes[0]).delete()
    with pytest.raises(KeyError):
        vectors.load(hashes, encoder)


def test_a_queue_that_is_away_fails_nobody(round_, monkeypatch, django_capture_on_commit_callbacks):
    """The job is in the database, and a heartbeat sends it again."""

    def refuse(*args, **kwargs):
        raise ConnectionError("Error 111 connecting to redis")

    monkeypatch.setattr("labelling.services.queueing.async_task", refuse)
    with django_capture_on_commit_callbacks(execute=True):
        queueing.notify(round_)
        queueing.send()
    assert Round.objects.get().state == State.QUEUED


def test_a_file_whose_row_is_not_taken_does_not_stay(monkeypatch, settings):
    def files() -> list[Path]:
        return [path for path in settings.MEDIA_ROOT.rglob("*") if path.is_file()]

    def refuse(compiler: SQLInsertCompiler, *args):
        compiler.as_sql()
        assert files()
        raise OperationalError("database is locked")

    project = make_project()
    monkeypatch.setattr(SQLInsertCompiler, "execute_sql", refuse)
    with pytest.raises(OperationalError):
        imports.upload(project, csv_file([("a text", "a label")]), user=None)
    assert files() == []

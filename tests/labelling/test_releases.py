"""Releases: from the button to the files, what they promise, and that nothing changes them."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import threading
from datetime import timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, connections
from django.db.models import ProtectedError
from django.urls import reverse
from django.utils import timezone

from labelling import jobs
from labelling.jobs.lease import Lease
from labelling.jobs.snapshot import snapshot
from labelling.jobs.worker import requeue_lost_jobs
from labelling.models import BackgroundJob, Document, Project, Release, TrainingExample
from labelling.services import Refused, exports, promises, queueing, releases, rounds
from labelling.services.claims import claim_next
from labelling.services.differences import Kind, difference_lines, differences
from labelling.services.review import decide, relabel
from tests.factories import fruit_project, import_rows, make_project, make_user, run_round

# A release reads in a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager() -> User:
    return make_user("manager")


@pytest.fixture
def reviewer() -> User:
    return make_user("reviewer")


@pytest.fixture
def project(manager, reviewer) -> Project:
    """A project after its first round: the machine has settled all 20 texts, and drawn 7 of them for audits."""
    project = fruit_project(manager=manager, reviewers=[reviewer], retrain_after=0, limit="0.10")
    run_round(project)
    return project


def audit(project: Project, user: User) -> int:
    """Decide rightly on everything that waits; return on how many documents."""
    n = 0
    while entry := claim_next(project, user):
        decide(project, entry.pk, user, "override", project.labels.get(name=entry.document.text.split()[0]))
        n += 1
    return n


def delivered(project: Project, note: str = "") -> Release:
    release = releases.start_here(project, note)
    jobs.run_release(release.pk)
    release.refresh_from_db()
    assert release.state == "done", release.error
    return release


def csv_rows(release: Release) -> list[dict[str, str]]:
    with (release.folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def json_rows(release: Release) -> list[dict[str, str]]:
    return [json.loads(line) for line in (release.folder / "labels.jsonl").read_text("utf-8").splitlines()]


# The whole path


def test_from_the_button_to_the_files(client, project, manager, reviewer, messages):
    n_audits = audit(project, reviewer)
    client.force_login(manager)
    listed = client.get(reverse("releases", args=[project.slug])).content.decode()
    assert f'href="{reverse("deliver", args=[project.slug])}"' in listed

    assert 'name="note"' in client.get(reverse("deliver", args=[project.slug])).content.decode()
    messages.clear()
    sent = client.post(reverse("deliver", args=[project.slug]), {"note": "For the spring report"})
    release = project.releases.get()
    assert sent["Location"] == release.get_absolute_url()
    assert messages == [("labelling.jobs.run_release", release.pk)]
    assert 'hx-trigger="every 1s"' in client.get(release.get_absolute_url()).content.decode()
    assert client.get(reverse("release_progress", args=[project.slug, 1])).status_code == 200

    jobs.run_release(release.pk)
    assert client.get(reverse("release_progress", args=[project.slug, 1]))["HX-Refresh"] == "true"
    page = client.get(release.get_absolute_url()).content.decode()
    assert "For the spring report" in page
    assert f"Of the {n_audits} labels marked as certified at most 0 (0.0 %) are wrong" in page
    release.refresh_from_db()
    for name, file in release.files.items():
        address = reverse("release_file", args=[project.slug, 1, name])
        assert address in page
        assert file["sha256"] in page
        response = client.get(address)
        content = b"".join(response.streaming_content)
        assert hashlib.sha256(content).hexdigest() == file["sha256"]
        assert len(content) == file["bytes"] == int(response["Content-Length"])
        assert response["Content-Disposition"] == f'attachment; filename="{project.slug}-release-1-{name}"'
    assert "For the spring report" in client.get(reverse("releases", args=[project.slug])).content.decode()


def test_the_files_hold_the_export_and_the_certificate_what_it_rests_on(project, reviewer, settings):
    project.labels.filter(name="apple").update(definition_version=3)
    n_audits = audit(project, reviewer)
    release = delivered(project, "The first one")
    assert (release.folder / "labels.csv").read_bytes() == "".join(
        exports.export_lines(project, for_programs=True)
    ).encode()
    rows = csv_rows(release)
    assert rows == json_rows(release)
    assert [row["certified"] for row in rows].count("yes") == n_audits == 17

    certificate = json.loads((release.folder / "certificate.json").read_text("utf-8"))
    assert certificate == release.certificate
    assert certificate["claim"].startswith("Of the 17 labels marked as certified at most 0 (0.0 %) are wrong, with a")
    assert (certificate["project"], certificate["release"], certificate["note"]) == (project.name, 1, "The first one")
    assert certificate["rows"] == release.counts
    assert release.counts == {
        "all": 36,
        "seed": 16,
        "human": 17,
        "judge": 0,
        "model": 3,
        "certified": 17,
        "holdout": 0,
        "without_label": 0,
    }
    audits = certificate["audits"]
    assert (audits["limit"], audits["level"], audits["n"], audits["k"]) == (0.1, 0.95, 17, 0)
    assert (audits["holds"], audits["ever"], audits["now"], audits["bound"]) == (True, 17, 17, 0.0)
    assert audits["first_audit"] <= audits["last_audit"] <= audits["looked_at"] <= certificate["released_at"]
    assert certificate["people"] == [{"user": "reviewer", "decisions": 17, "audits": 17}]
    assert (certificate["judges"], certificate["encoder"]) == ([], settings.ENCODER)
    assert certificate["rounds"]["number"] == 1
    assert certificate["definitions"] == {"apple": 3, "banana": 0, "cherry": 0, "mango": 0}
    assert certificate["settings"]["limit"] == "0.10"
    assert certificate["product"] == {"name": "R.E.D.", "version": settings.VERSION}
    for name in ("labels.csv", "labels.jsonl"):
        content = (release.folder / name).read_bytes()
        assert certificate["files"][name] == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def test_audits_since_the_last_round_count(project, reviewer):
    assert not delivered(project).counts["certified"]
    audit(project, reviewer)
    assert delivered(project).counts["certified"] == 17


def test_texts_and_labels_of_any_kind_stay_one_row_each():
    project = make_project()
    nasty = ["=1+1", "two\nlines", "a\u2028b\x85c", "'quoted'", 'say "hi"', "שלום", "👩‍👩‍👧", "-5 %"]
    import_rows(project, [(text, f"@{n}", "=x") for n, text in enumerate(nasty)], header=("text", "label", "meta"))
    release = delivered(project)
    with (release.folder / "labels.jsonl").open(encoding="utf-8", newline="\n") as file:
        rows = [json.loads(line) for line in file]
    assert rows == csv_rows(release), "no apostrophe, no byte order mark: programs read it"
    assert [(row["text"], row["label"], row["meta"]) for row in rows] == [
        (text, f"@{n}", "=x") for n, text in enumerate(nasty)
    ]
    assert all(isinstance(cell, str) for row in rows for cell in row.values())


def test_what_another_project_certified_is_not_certified_here(project, reviewer):
    audit(project, reviewer)
    delivered(project)
    lines = "".join(exports.export_lines(project))
    copy = make_project()
    import_rows(copy, list(csv.reader(lines.lstrip("\ufeff").splitlines()))[1:], header=exports.header(project))
    assert copy.documents.filter(provenance__certified="yes").exists(), "else this proves little"
    release = delivered(copy)
    assert release.counts["certified"] == 0
    assert {row["certified"] for row in csv_rows(release)} == {""}


# What is promised


ROWS = {"all": 100, "seed": 0, "human": 0, "judge": 0, "model": 100, "certified": 0, "holdout": 0, "without_label": 0}
AUDITS = {"limit": 0.05, "level": 0.95, "n": 40, "k": 1, "bound": 0.1234, "now": 5906}


@pytest.mark.parametrize(
    ("certified", "rows", "audits", "expected"),
    [
        (5906, {}, AUDITS | {"n": 166, "k": 2}, "Of the 5,906 labels marked as certified at most 283 (4.8 %)"),
        (0, {}, AUDITS, "40 random audits found 1 wrong or could not tell: with a probability of 95 % at most 12.3 %"),
        (0, {}, None, "none that the machine gave has been audited"),
        (0, {}, AUDITS | {"n": 0}, "none that the machine gave has been audited"),
        (0, {"model": 0, "human": 100}, None, "People gave every label that there is"),
    ],
)
def test_the_claim_in_words(certified, rows, audits, expected):
    told = {"certified": certified, "wrong_at_most": 283, "audits": audits, "rows": ROWS | rows}
    assert expected in promises.claim(told)


def test_what_is_left_of_the_certified_labels_has_no_more_errors_than_all_had(project, reviewer):
    audit(project, reviewer)
    run_round(project)
    look = project.certificates.first()
    fields = {name: getattr(look, name) for name in ("project", "round", "limit", "level", "n", "k", "ever", "depth")}
    rest = {"still_needed": 0, "n_open": 0, "n_catching_up": 0, "finite": False}
    project.certificates.create(**fields, **rest, ledger=0, now=100, bound=0.04, holds=True)
    project.certificates.create(**fields, **rest, ledger=1, now=50, bound=0.029, holds=True)
    project.certificates.create(**fields, **rest, ledger=1, now=80, bound=0.5, holds=False)
    assert promises._wrong_at_most(project) == 4 + 1


def test_the_page_speaks_the_readers_language_and_the_file_english(project, client, manager):
    release = delivered(project)
    client.force_login(manager)
    page = client.get(release.get_absolute_url(), headers={"Accept-Language": "de"})
    assert page.status_code == 200
    assert release.certificate["claim"].startswith("No label is certified")


def test_a_simulated_judge_is_named_in_the_certificate(project, client, manager, settings):
    settings.SIMULATED_JUDGE = 0.95
    release = delivered(project)
    assert release.certificate["judge_is_simulated"] is True
    client.force_login(manager)
    assert "A demonstration" in client.get(release.get_absolute_url()).content.decode()


# What is refused


def test_nothing_absurd_is_released(project):
    with pytest.raises(Refused, match="no documents"):
        releases.start(make_project())
    unlabelled = make_project()
    import_rows(unlabelled, [("a", ""), ("b", "")])
    with pytest.raises(Refused, match="No document has a label"):
        releases.start(unlabelled)
    round_ = rounds.start_round(project)
    with pytest.raises(Refused, match="Round 2 is running"):
        releases.start(project)
    queueing.cancel(round_)
    first = releases.start(project)
    with pytest.raises(Refused, match="being written already"):
        releases.start(project)
    queueing.cancel(first)
    assert releases.start(project).number == 2, "a number is never given twice"


def test_the_page_says_why_nothing_can_be_delivered(client, project, manager):
    rounds.start_round(project)
    client.force_login(manager)
    address = reverse("deliver", args=[project.slug])
    page = client.get(address).content.decode()
    assert "Round 2 is running" in page
    assert 'name="note"' not in page
    refused = client.post(address, follow=True)
    assert "Round 2 is running" in refused.content.decode()
    assert not project.releases.exists()


def test_a_round_that_has_begun_meanwhile_is_told_and_can_be_waited_for(project):
    release = releases.start_here(project)
    round_ = rounds.start_round(project)
    project.rounds.filter(pk=round_.pk).update(state="running")
    with pytest.raises(Refused):
        jobs.run_release(release.pk)
    release.refresh_from_db()
    assert release.state == "failed"
    assert "Round 2 is running" in release.error
    assert not release.folder.exists()
    with pytest.raises(Refused, match="Round 2"):
        releases.retry(release)
    project.rounds.filter(pk=round_.pk).update(state="cancelled")
    releases.retry(release)
    jobs.run_release(release.pk)
    release.refresh_from_db()
    assert (release.state, release.number) == ("done", 1)
    with pytest.raises(Refused, match="A new one is the way"):
        releases.retry(release)


# Never changed


def test_a_release_stays_what_it_is_and_corrections_make_the_next(project, reviewer):
    first = delivered(project)
    before = {name: (first.folder / name).read_bytes() for name in first.files}
    document = project.documents.filter(example=None).first()
    relabel(document, reviewer, project.labels.exclude(name=document.text.split()[0]).first())
    second = delivered(project)
    assert {name: (first.folder / name).read_bytes() for name in first.files} == before
    assert second.files["labels.csv"] != first.files["labels.csv"]
    assert not [path for path in first.folder.parent.iterdir() if path.name.startswith(".")]


def test_a_file_that_was_tampered_with_is_not_served(client, project, reviewer):
    release = delivered(project)
    path = release.folder / "labels.csv"
    content = path.read_bytes()
    assert path.stat().st_mode & 0o222 == 0, "nobody writes to it by mistake"
    path.chmod(0o644)
    path.write_bytes(content.replace(b"apple", b"mango", 1))
    client.force_login(reviewer)
    address = reverse("release_file", args=[project.slug, 1, "labels.csv"])
    response = client.get(address)
    assert response.status_code == 409
    assert "attachment" not in response.get("Content-Disposition", "")
    assert "labels.csv is not what was released" in response.content.decode()
    assert "not what was released" in client.get(release.get_absolute_url()).content.decode()
    path.unlink()
    assert "labels.csv is gone" in client.get(address).content.decode()
    assert client.get(reverse("release_file", args=[project.slug, 1, "labels.jsonl"])).status_code == 200


def test_only_the_three_files_can_be_fetched(client, project, manager):
    release = delivered(project)
    (release.folder / "more.txt").write_text("x")
    client.force_login(manager)
    for name in ("more.txt", "..", "%2e%2e%2f%2e%2e%2fmodels"):
        assert client.get(f"{release.get_absolute_url()}files/{name}").status_code == 404


def test_a_release_can_not_be_deleted(client, project):
    delivered(project)
    with pytest.raises(ProtectedError):
        project.delete()
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    release = project.releases.get()
    assert client.post(reverse("admin:labelling_release_delete", args=[release.pk])).status_code == 403
    page = client.get(reverse("admin:labelling_project_delete", args=[project.pk]))
    assert "release 1" in page.content.decode()
    client.post(reverse("admin:labelling_project_delete", args=[project.pk]), {"post": "yes"})
    assert Release.objects.filter(pk=release.pk).exists()


def test_what_happens_meanwhile_is_not_in_it(project, reviewer, monkeypatch):
    """People go on deciding while a release is written: it is what there was when it began."""
    monkeypatch.setattr(exports, "CHUNK", 5)
    expected = "".join(exports.export_lines(project, for_programs=True))
    rows = exports.rows

    def disturbed(project):
        for n, row in enumerate(rows(project)):
            if n == 3:
                beside(lambda: relabel(project.documents.last(), reviewer, project.labels.first()))
            yield row

    monkeypatch.setattr(exports, "rows", disturbed)
    release = delivered(project)
    assert TrainingExample.objects.filter(source="human").count() == 1
    assert (release.folder / "labels.csv").read_bytes() == expected.encode()
    assert release.counts["human"] == 0


def beside(act) -> None:
    """Do something on a connection of its own, while this one reads."""
    failed = []

    def run() -> None:
        try:
            act()
        except Exception as error:  # noqa: BLE001 (told by the assertion below)
            failed.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=30)
    assert not thread.is_alive(), "whoever writes had to wait"
    assert not failed, failed


def test_a_snapshot_shows_one_moment_and_keeps_nobody_waiting(project):
    with snapshot():
        n = Document.objects.count()
        beside(lambda: Document.objects.create(project=project, text="late", text_hash="late"))
        assert Document.objects.count() == n
    assert Document.objects.count() == n + 1


# From the command line


def test_engineers_get_the_files_with_their_digests_as_sha256sum_writes_them(project, tmp_path, capsys):
    call_command("deliver", project.slug, to=tmp_path / "out", note="Nightly")
    release = project.releases.get()
    printed = capsys.readouterr()
    lines = dict(reversed(line.split("  ")) for line in printed.out.splitlines())
    assert {Path(path).name for path in lines} == {
        f"{project.slug}-release-1-{name}" for name in ("labels.csv", "labels.jsonl", "certificate.json")
    }
    assert all(hashlib.sha256(Path(path).read_bytes()).hexdigest() == digest for path, digest in lines.items())
    assert (release.note, release.certificate["claim"] in printed.err) == ("Nightly", True)
    call_command("deliver", project.slug)
    assert str(project.releases.get(number=2).folder / "labels.csv") in capsys.readouterr().out
    with pytest.raises(CommandError, match="There is no project"):
        call_command("deliver", "nothing")
    with pytest.raises(CommandError, match="no documents"):
        call_command("deliver", make_project().slug)


# Killed


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def kill_before_the_end() -> None:
    """Die with the files in their place, and nothing committed."""
    Lease.finish = lambda self, state, **values: die()


def kill_in_the_middle() -> None:
    from labelling.jobs import releasing

    releasing.promises.describe = lambda *arguments: die()


@pytest.mark.parametrize("arm", [kill_in_the_middle, kill_before_the_end])
def test_a_release_whose_worker_is_killed_is_written_by_the_next(arm, project):
    release = releases.start_here(project)
    connections.close_all()
    child = os.fork()
    if child == 0:
        try:
            arm()
            jobs.run_release(release.pk)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "the moment was never reached"
    release.refresh_from_db()
    assert (release.state, release.files) == (BackgroundJob.State.RUNNING, {})
    Release.objects.filter(pk=release.pk).update(lease_until=timezone.now() - timedelta(seconds=1))
    requeue_lost_jobs()
    jobs.run_release(release.pk)
    release.refresh_from_db()
    assert release.state == "done"
    assert all(releases.is_intact(release, name) for name in release.files)
    assert [path.name for path in release.folder.parent.iterdir()] == ["1"]


# Compared


def test_two_releases_are_compared_by_kind(client, project, reviewer):
    import_rows(project, [("a late banana", "")])
    first = delivered(project)
    document = project.documents.filter(text__startswith="apple apple in the pool").first()
    relabel(document, reviewer, project.labels.get(name="mango"))
    none = project.documents.filter(text__startswith="mango mango in the pool").first()
    relabel(none, reviewer, None)
    relabel(project.documents.get(text="a late banana"), reviewer, project.labels.get(name="banana"))
    import_rows(project, [("a new cherry", "cherry"), ("nothing known", "")])
    second = delivered(project)

    found = {one.text: one for one in differences(first, second)}
    assert {text: one.kind for text, one in found.items()} == {
        document.text: Kind.CHANGED,
        none.text: Kind.CHANGED,
        "a late banana": Kind.ADDED,
        "a new cherry": Kind.ADDED,
    }
    assert found[document.text].before[:2] == ("apple", "model")
    assert found[document.text].now[:2] == ("mango", "human")
    assert found[none.text].now[:2] == ("", "human")
    back = {one.text: one.kind for one in differences(second, first)}
    assert back == {
        document.text: Kind.CHANGED,
        none.text: Kind.CHANGED,
        "a late banana": Kind.REMOVED,
        "a new cherry": Kind.REMOVED,
    }
    assert list(differences(first, first)) == []

    client.force_login(reviewer)
    address = reverse("release_diff", args=[project.slug, 2])
    page = client.get(address).content.decode()
    assert "4 labels differ" in page
    assert document.text in page
    assert "none of these" in page
    assert "4 labels differ" in client.get(address, {"since": "1"}).content.decode()
    assert (
        "4 labels differ" in client.get(reverse("release_diff", args=[project.slug, 1]), {"since": 2}).content.decode()
    )
    response = client.get(reverse("release_diff_csv", args=[project.slug, 2]))
    assert response["Content-Disposition"] == f'attachment; filename="{project.slug}-release-1-to-2.csv"'
    lines = b"".join(response.streaming_content).decode()
    assert lines == "".join(difference_lines(differences(first, second)))
    table = list(csv.DictReader(lines.lstrip("\ufeff").splitlines()))
    assert [row["difference"] for row in table] == ["changed", "changed", "added", "added"]
    assert client.get(reverse("release_diff", args=[project.slug, 1])).status_code == 404, "none is before the first"
    for since in ("3", "x", ""):
        assert client.get(address, {"since": since}).status_code == 404


def test_what_was_tampered_with_is_not_compared(client, project, manager):
    first, _ = delivered(project), delivered(project)
    path = first.folder / "labels.jsonl"
    path.chmod(0o644)
    path.write_text("")
    client.force_login(manager)
    for name in ("release_diff", "release_diff_csv"):
        page = client.get(reverse(name, args=[project.slug, 2]), follow=True).content.decode()
        assert "labels.jsonl is not what was released" in page


def test_rows_that_share_a_text_differ_once(project, monkeypatch):
    rows = exports.rows

    def doubled(project):
        for row in rows(project):
            yield row
            yield row

    monkeypatch.setattr(exports, "rows", doubled)
    first = delivered(project)
    import_rows(project, [("a new cherry", "cherry")])
    second = delivered(project)
    assert [one.kind for one in differences(first, second)] == [Kind.ADDED]
    assert [one.kind for one in differences(second, first)] == [Kind.REMOVED]


def test_numbers_are_unique_in_the_database(project):
    Release.objects.create(project=project, number=1, state="done")
    with pytest.raises(IntegrityError):
        Release.objects.create(project=project, number=1, state="failed")

"""From the button to the file, and from the file to the project."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.urls import reverse

from labelling import jobs
from labelling.jobs.packing import pack, unpack
from labelling.models import BackgroundJob, Packing, Project, Unpacking
from labelling.services import Refused, documents, packing, removals, rounds, senders
from tests.factories import fresh, fruit_project, make_project, make_user, run_round

# Packing reads in a transaction of its own.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def manager():
    return make_user("manager")


@pytest.fixture
def olga():
    """Who brings projects in."""
    return make_user("olga", is_staff=True)


@pytest.fixture
def project(manager) -> Project:
    return fruit_project(manager=manager, reviewers=[make_user("rea")], retrain_after=0)


def logged_in(user) -> Client:
    client = Client()
    client.force_login(user)
    return client


def page(client: Client, name: str, *arguments: object) -> str:
    return client.get(reverse(name, args=arguments)).content.decode()


def sent(client: Client, content: bytes) -> Unpacking:
    response = client.post(reverse("unpack"), {"file": SimpleUploadedFile("fruit.zip", content)})
    unpacking = Unpacking.objects.get(created_by__is_staff=True, state="queued")
    assert response["Location"] == unpacking.get_absolute_url()
    return unpacking


def files() -> list[str]:
    kept = Path(settings.MEDIA_ROOT)
    return [str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file()]


def test_from_the_button_to_a_project_elsewhere(project, manager, olga, messages):
    run_round(project)
    client, slug = logged_in(manager), project.slug
    assert reverse("pack", args=[slug]) in page(client, "project_settings", slug)
    assert "Download" not in page(client, "pack", slug)
    messages.clear()
    client.post(reverse("pack", args=[slug]))
    order = project.packing
    assert messages == [("labelling.jobs.run_packing", order.pk)]
    assert 'hx-trigger="every 1s"' in page(client, "pack", slug)
    assert "Waiting for the worker" in page(client, "packing_progress", slug)
    jobs.run_packing(order.pk)
    assert client.get(reverse("packing_progress", args=[slug]))["HX-Refresh"] == "true"
    order.refresh_from_db()
    assert (order.state, order.error) == ("done", "")
    assert order.sha256 in page(client, "pack", slug)
    response = client.get(reverse("packed_project", args=[slug]))
    content = b"".join(response)
    assert hashlib.sha256(content).hexdigest() == order.sha256
    assert len(content) == order.size
    assert f'filename="{slug}-' in response["Content-Disposition"]

    client = logged_in(olga)
    assert reverse("unpack") in page(client, "project_list")
    messages.clear()
    unpacking = sent(client, content)
    assert messages == [("labelling.jobs.run_unpacking", unpacking.pk)]
    assert "Waiting for the worker" in page(client, "unpacking", unpacking.pk)
    assert 'hx-trigger="every 1s"' in page(client, "unpacking_progress", unpacking.pk)
    jobs.run_unpacking(unpacking.pk)
    assert client.get(reverse("unpacking_progress", args=[unpacking.pk]))["HX-Refresh"] == "true"
    unpacking.refresh_from_db()
    assert (unpacking.state, unpacking.error) == ("done", "")
    assert unpacking.project.get_absolute_url() in page(client, "unpacking", unpacking.pk)
    assert unpacking.project.get_absolute_url() in page(client, "unpack")
    assert unpacking.project.is_managed_by(olga)
    assert not [name for name in files() if name.startswith("unpacking/")]
    # Nothing starts by itself.
    assert [name for name, _ in messages] == ["labelling.jobs.run_unpacking"]
    assert client.get(reverse("project", args=[unpacking.project.slug])).status_code == 200


def test_a_file_that_is_refused_says_why_and_goes(olga):
    client = logged_in(olga)
    unpacking = sent(client, b"id,text\n1,apple\n")
    with pytest.raises(Refused):
        jobs.run_unpacking(unpacking.pk)
    told = page(client, "unpacking", unpacking.pk)
    assert "Nothing was unpacked." in told
    assert "it is no ZIP file." in told
    assert files() == []
    assert not Project.objects.exists()


def test_it_is_cancelled_before_anything_is_written(project, manager, olga):
    client = logged_in(olga)
    unpacking = sent(client, b"a file")
    client.post(reverse("cancel_unpacking", args=[unpacking.pk]))
    assert "cancelled" in page(client, "unpacking", unpacking.pk)
    jobs.run_unpacking(unpacking.pk)
    assert Unpacking.objects.get().state == "cancelled"
    assert not [name for name in files() if name.startswith("unpacking/")]
    client = logged_in(manager)
    client.post(reverse("pack", args=[project.slug]))
    client.post(reverse("cancel_packing", args=[project.slug]))
    assert "cancelled" in page(client, "pack", project.slug)
    jobs.run_packing(project.packing.pk)
    assert not project.packing.path.exists()


def test_who_was_cancelled_while_it_is_read_writes_nothing(project, olga, tmp_path, monkeypatch):
    pack(project, tmp_path / "a.zip")
    unpacking = sent(logged_in(olga), (tmp_path / "a.zip").read_bytes())
    monkeypatch.setattr("labelling.jobs.packing.reading.Packed.check", lambda packed: packing.cancel(unpacking))
    jobs.run_unpacking(unpacking.pk)
    assert Project.objects.count() == 1
    assert Unpacking.objects.get().state == "cancelled"


def test_only_who_makes_projects_brings_one_in(client, project, manager, olga):
    unpacking = sent(logged_in(olga), b"a file")
    own = [("unpacking", [unpacking.pk]), ("unpacking_progress", [unpacking.pk]), ("unpack", [])]
    for user, status in ((manager, 403), (make_user(is_staff=True), 404)):
        for name, arguments in own[: 2 if status == 404 else 3]:
            assert logged_in(user).get(reverse(name, args=arguments)).status_code == status
        assert logged_in(user).post(reverse("cancel_unpacking", args=[unpacking.pk])).status_code == status
    for name, arguments in own:
        assert client.get(reverse(name, args=arguments)).status_code == 302
    assert Unpacking.objects.get().state == "queued"


def test_who_makes_projects_may_send_large_files_before_having_one(olga):
    for user, key in ((olga, olga.pk), (make_user(), None)):
        cookie = logged_in(user).cookies[settings.SESSION_COOKIE_NAME].value
        assert senders.find_sender({"cookie": f"{settings.SESSION_COOKIE_NAME}={cookie}"}) == key


def test_a_file_that_is_too_large_is_not_kept(olga, settings):
    settings.MAX_UPLOAD_MB = 0
    response = logged_in(olga).post(reverse("unpack"), {"file": SimpleUploadedFile("a.zip", b"more than nothing")})
    assert "on the command line" in response.content.decode()
    assert not Unpacking.objects.exists()


def test_nothing_is_packed_while_it_changes(project, manager, tmp_path):
    round_ = rounds.start_round(project)
    client = logged_in(manager)
    assert "Something is running" in client.post(reverse("pack", args=[project.slug]), follow=True).content.decode()
    with pytest.raises(Refused):
        pack(project, tmp_path / "a.zip")
    project.rounds.filter(pk=round_.pk).update(state=BackgroundJob.State.PAUSED)
    project.calls.create(purpose="verdict", model="stub-1")
    with pytest.raises(Refused, match="on their way"):
        pack(project, tmp_path / "a.zip")
    assert list(tmp_path.glob("*.zip")) == list(tmp_path.glob(".*.part")) == []
    project.calls.all().delete()
    packing.start(project, manager)
    with pytest.raises(Refused, match="already"):
        packing.start(project, manager)


def packed_file(project: Project, manager) -> Path:
    jobs.run_packing(packing.start(project, manager).pk)
    path = project.packing.path
    assert path.exists()
    return path


def test_the_file_goes_with_what_is_in_it(project, manager):
    path = packed_file(project, manager)
    documents.delete(project.documents.first())
    assert not path.exists()
    packed_file(fresh(project), manager)
    removals.delete_documents(project, manager, project.documents.filter(holdout=False, example=None), "the pool")
    assert not path.exists()
    packed_file(fresh(project), manager)
    removals.undo_import(project.imports.get(), manager)
    assert not path.exists()
    packed_file(fresh(project), manager)
    removals.delete_project(project, manager, project.name)
    assert not path.exists()
    assert not Packing.objects.exists()


def test_a_file_that_is_gone_is_packed_again(project, manager):
    packed_file(project, manager).unlink()
    response = logged_in(manager).get(reverse("packed_project", args=[project.slug]), follow=True)
    assert "pack the project again" in response.content.decode()
    assert packed_file(project, manager).exists()


def test_a_project_that_rests_is_packed_too(project, manager):
    removals.archive(project)
    logged_in(manager).post(reverse("pack", args=[project.slug]))
    assert project.packing.state == "queued"


def test_the_commands(project, olga, tmp_path, capsys):
    file = tmp_path / "fruit.zip"
    call_command("pack_project", project.slug, str(file))
    call_command("unpack_project", str(file), manager="olga", same_people=True)
    assert capsys.readouterr().out.splitlines()[1] == f"Made the project {project.slug}-2."
    other = Project.objects.get(slug=f"{project.slug}-2")
    assert {one.user.username for one in other.memberships.all()} == {"manager", "rea", "olga"}
    for command, message in (
        (["pack_project", "none", str(tmp_path / "x.zip")], "no project"),
        (["pack_project", project.slug, str(file)], "exists already"),
        (["unpack_project", str(file), "--manager", "nobody"], "no account"),
        (["unpack_project", str(tmp_path / "none.zip"), "--manager", "olga"], r"none.zip: it can't be read"),
    ):
        with pytest.raises(CommandError, match=message):
            call_command(*command)


def test_a_project_that_has_nothing_yet_is_packed_as_well(olga, tmp_path):
    pack(make_project(name="New"), tmp_path / "a.zip")
    other = unpack(tmp_path / "a.zip", olga)
    assert (other.name, other.slug, other.documents.count()) == ("New", "new-2", 0)

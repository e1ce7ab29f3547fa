"""Label Studio and doccano themselves: what goes there comes back as it was.

Each is installed into an environment of its own, kept for the next run, and answers in an empty folder.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from labelling.models import Project
from labelling.services import selections
from tests.factories import make_project, make_user
from tests.labelling.test_peers import NASTY, load, make_mail, rows_of, written
from tests.site import ROOT, free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db, pytest.mark.timeout(1_800)]

USER, PASSWORD = "ann@example.org", "correct horse 42"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
SECONDS_TO_INSTALL, SECONDS_TO_START = 1_200, 600


class Peer(ABC):
    """Another labelling program, with a project of its own for what goes there.

    Attributes:
        name: of the program and its version, as a folder's.
        packages: what to install.
        format_name: of our export for it.
        formats: what it exports with labels.
    """

    name: str
    packages: tuple[str, ...]
    format_name: str
    formats: tuple[str, ...]

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.http = requests.Session()
        self._processes: list[subprocess.Popen[bytes]] = []

    @abstractmethod
    def start(self) -> None:
        """Start it and log in."""

    @abstractmethod
    def bring(self, project: Project) -> None:
        """Import our export of a project through its API."""

    @abstractmethod
    def take(self, format_name: str) -> bytes:
        """Export through its API."""

    def stop(self) -> None:
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def install(self) -> None:
        environment = ROOT / "var" / "peers" / self.name
        self._bin = environment / "bin"
        if (done := environment / "installed").exists():
            return
        try:
            for command in (
                [sys.executable, "-m", "venv", "--clear", str(environment)],
                [str(self._bin / "pip"), "install", "--quiet", *self.packages],
            ):
                subprocess.run(command, check=True, capture_output=True, text=True, timeout=SECONDS_TO_INSTALL)
        except subprocess.SubprocessError as error:
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            pytest.skip(f"{self.name} can't be installed: {said[-1]}")
        done.touch()

    def run(self, *arguments: str, wait: bool = False) -> None:
        """Run its command, with nothing of our own environment."""
        environment = {"PATH": f"{self._bin}:{os.defpath}", "HOME": str(self.folder), **self.settings()}
        with (self.folder / "log.txt").open("ab") as log:
            process = subprocess.Popen(
                arguments, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        if wait:
            assert process.wait(SECONDS_TO_START) == 0, self.log()
        else:
            self._processes.append(process)

    def settings(self) -> dict[str, str]:
        return {}

    def log(self) -> str:
        return (self.folder / "log.txt").read_text(errors="replace")[-2_000:]

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        response = self.http.request(method, f"http://127.0.0.1:{self.port}{path}", timeout=SECONDS_TO_START, **options)
        assert response.ok, (path, response.status_code, response.text[:500])
        return response

    def wait_until_it_answers(self, path: str) -> None:
        def answers() -> bool:
            assert all(process.poll() is None for process in self._processes), self.log()
            try:
                return self.http.get(f"http://127.0.0.1:{self.port}{path}", timeout=5).ok
            except requests.ConnectionError:
                return False

        wait_for(answers, self.name, seconds=SECONDS_TO_START, pause=0.5)


class LabelStudio(Peer):
    name = "label-studio-1.23.2"
    packages = ("label-studio==1.23.2",)
    format_name = "label-studio"
    formats = ("JSON", "JSON_MIN", "CSV", "TSV")

    def settings(self) -> dict[str, str]:
        return {
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }

    def start(self) -> None:
        account = ("--username", USER, "--password", PASSWORD, "--user-token", TOKEN)
        place = ("--port", str(self.port), "--data-dir", str(self.folder / "data"))
        self.run("label-studio", "start", "--no-browser", *place, *account)
        self.wait_until_it_answers("/health")
        self.http.headers["Authorization"] = f"Token {TOKEN}"

    def bring(self, project: Project) -> None:
        asked = {"title": "Mail", "label_config": selections.configuration(project)}
        self._project = self.ask("POST", "/api/projects/", json=asked).json()["id"]
        tasks = {"file": ("tasks.json", written(project, self.format_name))}
        done = self.ask("POST", f"/api/projects/{self._project}/import", files=tasks).json()
        assert done["task_count"] == project.documents.count()

    def take(self, format_name: str) -> bytes:
        asked = {"exportType": format_name, "download_all_tasks": "true"}
        return self.ask("GET", f"/api/projects/{self._project}/export", params=asked).content


class Doccano(Peer):
    name = "doccano-1.8.4"
    packages = ("doccano==1.8.4", "marshmallow<4", "numpy<2")
    format_name = "doccano"
    formats = ("JSONL",)

    def settings(self) -> dict[str, str]:
        return {"DOCCANO_HOME": str(self.folder)}

    def start(self) -> None:
        self.run("doccano", "init", wait=True)
        self.run("doccano", "createuser", "--username", "ann", "--password", PASSWORD, wait=True)
        self.run("doccano", "webserver", "--port", str(self.port), "--workers", "1")
        self.run("doccano", "task", "--concurrency", "1")
        self.wait_until_it_answers("/v1/health")
        self.ask("POST", "/v1/auth/login/", json={"username": "ann", "password": PASSWORD})
        self.http.headers["X-CSRFToken"] = self.http.cookies["csrftoken"]

    def bring(self, project: Project) -> None:
        kind = "DocumentClassification"
        asked = {"name": "Mail", "description": "-", "project_type": kind, "resourcetype": "TextClassificationProject"}
        self._project = self.ask("POST", "/v1/projects", json=asked).json()["id"]
        lines = {"filepond": ("mail.jsonl", written(project, self.format_name))}
        upload = self.ask("POST", "/v1/fp/process/", files=lines).text
        how = {"column_data": "text", "column_label": "label", "encoding": "utf_8"}
        said = self._run("upload", {"format": "JSONL", "task": kind, "uploadIds": [upload], **how})
        assert said["result"] == {"error": []}

    def take(self, format_name: str) -> bytes:
        said = self._run("download", {"format": format_name, "exportApproved": False})
        return self.ask("GET", f"/v1/projects/{self._project}/download", params={"taskId": said["id"]}).content

    def _run(self, act: str, asked: dict[str, Any]) -> dict[str, Any]:
        """Have something done in the background, and wait for it."""
        task = self.ask("POST", f"/v1/projects/{self._project}/{act}", json=asked).json()["task_id"]
        said: dict[str, Any] = {}

        def is_done() -> bool:
            said.update(self.ask("GET", f"/v1/tasks/status/{task}").json())
            return said["ready"]

        wait_for(is_done, f"{self.name}'s {act}", seconds=SECONDS_TO_START, pause=0.3)
        return said | {"id": task}


@contextmanager
def running(peer: Peer) -> Iterator[None]:
    peer.install()
    try:
        peer.start()
        yield
    finally:
        peer.stop()


@pytest.mark.parametrize("kind", [LabelStudio, Doccano])
def test_nothing_changes_on_the_way_there_and_back(kind, tmp_path):
    mail, peer = make_mail(make_user("ann@example.org")), kind(tmp_path)
    before = rows_of(mail)
    assert (len(before), len(NASTY)) == (46, 39)
    with running(peer):
        peer.bring(mail)
        files = {name: peer.take(name) for name in peer.formats}
    for name, data in files.items():
        copy = make_project()
        done = load(copy, data, name)
        assert (done.state, done.counts["rejected"], done.questions) == ("done", 0, []), (name, done.problems)
        assert rows_of(copy) == before, name

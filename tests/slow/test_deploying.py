"""The container file and the units of systemd: they start what they say, and it is well."""

from __future__ import annotations

import configparser
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.site import ROOT, Site, collect_static, free_port, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]

DEPLOY = ROOT / "deploy"
UNITS = sorted(DEPLOY.glob("*.service"))
CONTAINERS = next(filter(None, map(shutil.which, ("podman", "docker"))), "")


def service(unit: Path) -> dict[str, str]:
    read = configparser.ConfigParser(interpolation=None, strict=False)
    read.optionxform = str
    read.read(unit)
    return dict(read["Service"])


@contextmanager
def started(site: Site, command: list[str]) -> Iterator[subprocess.Popen]:
    with subprocess.Popen(command, cwd=ROOT, env=site.environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def is_well(site: Site) -> bool:
    """As the container is asked."""
    command = [sys.executable, str(DEPLOY / "healthcheck.py")]
    environment = site.environment | {"PORT": str(site.port)}
    return subprocess.run(command, env=environment, stderr=subprocess.DEVNULL, check=False).returncode == 0


def command_of(words: list[str], site: Site) -> list[str]:
    """A command line of the installation in /srv/red, here."""
    words = [sys.executable, *words[1:]]
    return [str(site.port) if word == "8000" else word for word in words]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_a_units_command_starts(unit, tmp_path):
    site = Site(tmp_path)
    collect_static()
    words = shlex.split(service(unit)["ExecStart"])
    assert words[:2] == ["/srv/red/.venv/bin/python", "manage.py"]
    with started(site, command_of(words, site)) as process:
        if "serve" in words:
            assert not is_well(site)
            wait_for(lambda: is_well(site), "the web server")
        time.sleep(5)
        assert process.poll() is None, "it has ended"
        process.terminate()
        assert process.wait(20) in (0, -15)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_understands_the_unit_and_finds_little_exposed(unit, tmp_path):
    here = tmp_path / unit.name
    told = unit.read_text().replace("/srv/red/.venv/bin/python", sys.executable).replace("/srv/red", str(ROOT))
    here.write_text(told.replace("User=red\n", ""))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", here], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", unit]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said)[1]) < 2.5


def test_the_container_file_starts_what_the_procfile_does(tmp_path):
    told = (DEPLOY / "Containerfile").read_text()
    assert re.search(r"^USER (?!root)\w+$", told, re.MULTILINE)
    assert "deploy/healthcheck.py" in re.search(r"^HEALTHCHECK .*$", told, re.MULTILINE)[0]
    copied = re.findall(r"^COPY (.*) \./?$", told, re.MULTILINE)
    assert all((ROOT / name).exists() for names in copied for name in names.split())
    site = Site(tmp_path)
    entry = ["python", "manage.py"]
    assert f"ENTRYPOINT {entry}".replace("'", '"') in told
    with started(site, command_of([*entry, "serve", "--port", "8000"], site)):
        wait_for(lambda: is_well(site), "the web server")


def _can_build() -> bool:
    """Whether there is a program for containers that runs, and the image that ours begins with."""
    image = re.search(r"^FROM (\S+)$", (DEPLOY / "Containerfile").read_text(), re.MULTILINE)[1]
    command = [CONTAINERS, "image", "inspect", image]
    return bool(CONTAINERS) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not _can_build(), reason="needs podman or docker, and the image python:3.11-slim")
def test_the_container_is_well(tmp_path):
    def contain(*arguments: str) -> str:
        return subprocess.run([CONTAINERS, *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    port = free_port()
    secret = "SECRET_KEY=a key for the tests only, longer than fifty characters, it is"
    given = ("--env", secret, "--volume", "red-tested:/data")
    contain("build", "--file", "deploy/Containerfile", "--tag", "red-tested", ".")
    contain("run", "--rm", *given, "red-tested", "migrate", "--verbosity", "0")
    name = contain("run", "--detach", *given, "--publish", f"127.0.0.1:{port}:8000", "red-tested").strip()
    try:
        ask = [CONTAINERS, "exec", name, "python", "deploy/healthcheck.py"]
        wait_for(lambda: subprocess.run(ask, capture_output=True, check=False).returncode == 0, "the web server")
    finally:
        contain("rm", "--force", name)
        contain("volume", "rm", "--force", "red-tested")

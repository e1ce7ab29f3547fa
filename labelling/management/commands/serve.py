"""Start the web server, on a database that it knows."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from django.core.management.base import BaseCommand, CommandError, CommandParser

from labelling.services import Refused, upgrading

# Heads that take longer are no longer waited for; bodies are for red_project.front_door to keep.
HEAD_MILLISECONDS = 20_000
# Connections that may be open at the same time.
BACKLOG = 2_048
# What is being answered when the server is stopped has so long to end; what is half sent is not waited for.
GRACE_SECONDS = 5
# By this whoever started it knows that it would not help to do so again; granian ends with 1 when its processes die
# twice within 5.5 s, which no option of it changes.
REFUSED = 2


class Command(BaseCommand):
    help = "Starts the web server (granian); HOST and WEB_CONCURRENCY in the environment say where and how many."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=8000)

    def handle(self, *args, **options) -> None:
        try:
            upgrading.check()
        except Refused as refusal:
            raise CommandError(str(refusal), returncode=REFUSED) from refusal
        host = os.environ.get("HOST", "127.0.0.1")
        _make_sure_it_is_free(host, options["port"])
        server = Path(sys.executable).with_name("granian")
        told = {
            "--interface": "asgi",
            "--http": "1",
            "--host": host,
            "--port": str(options["port"]),
            "--workers": os.environ.get("WEB_CONCURRENCY", "2"),
            "--http1-header-read-timeout": str(HEAD_MILLISECONDS),
            "--backlog": str(BACKLOG),
            "--workers-kill-timeout": str(GRACE_SECONDS),
            "--log-level": "warning",
        }
        flags = ["--no-ws", "--respawn-failed-workers"]
        arguments = [part for pair in told.items() for part in pair]
        os.execv(server, [str(server), "red_project.asgi:application", *arguments, *flags])  # noqa: S606


def _make_sure_it_is_free(host: str, port: int) -> None:
    """Granian listens beside whoever else does, and each of them gets a part of the requests.

    Raises:
        CommandError: when nothing may listen there.
    """
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        instead = f"HOST ({host}) and PORT ({port}) name another place, as in: PORT={port + 1} make run"
        raise CommandError(f"Can't listen: {error.strerror}. {instead}", returncode=REFUSED) from error

"""Answer what the web process asks of the models, over a socket of this machine.

Messages are JSON in both directions; whoever connects has to know the installation's secret key.
"""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path
from typing import Any, NoReturn

from django.db import DatabaseError, close_old_connections, connections
from threadpoolctl import threadpool_limits

from labelling.jobs.suggesting import Models
from labelling.models import Project
from labelling.services.suggesting import socket_key

logger = logging.getLogger(__name__)

# Requests answered at the same time; further ones wait their turn.
THREADS = 4
REFRESH_SECONDS = 1.0
# A thousand texts as long as an import lets through, several bytes a character.
MAX_BYTES = 2**28


class AlreadyServed(Exception):
    """Another process answers at this socket."""


class ModelServer:
    """Answers at a socket until the process ends.

    Args:
        path: of the socket; one that a killed process left behind is taken over.

    Raises:
        AlreadyServed: when another process answers there.
        OSError: when there can't be a socket, its path being too long, say.
    """

    def __init__(self, path: Path):
        self.models = Models()
        self._path = path
        self._threads = [threading.Thread(target=self._answer_for_ever, daemon=True) for _ in range(THREADS)]
        self._closing = threading.Event()
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_answered(path):
            raise AlreadyServed(f"Another process answers at {path}.")
        path.unlink(missing_ok=True)
        self._listener = Listener(str(path), family="AF_UNIX", backlog=64, authkey=socket_key())

    def run(self) -> NoReturn:
        """Answer for ever, by the newest models that there are."""
        # For good: a limit that is lifted while others hold theirs would leave some at one thread and some not.
        threadpool_limits(limits=1)
        self.start()
        self.warm_up()
        while True:
            time.sleep(REFRESH_SECONDS)
            close_old_connections()
            try:
                self.models.refresh()
            except DatabaseError:
                logger.warning("No look for newer models this time", exc_info=True)

    def start(self) -> None:
        """Answer in threads of their own."""
        for thread in self._threads:
            thread.start()

    def warm_up(self) -> None:
        """Load encoder and models before anybody asks; where there is no model the encoder stays out of memory."""
        for project in Project.objects.all():
            if project.model_file.exists() and (model := self.models.of(project.pk)):
                model.propose(["A text."])

    def close(self) -> None:
        """Answer what is under way and nobody else, and remove the socket."""
        self._closing.set()
        for thread in self._threads:
            while thread.is_alive():
                # It waits for somebody to connect.
                with socket.socket(socket.AF_UNIX) as knock:
                    knock.connect(str(self._path))
                thread.join(0.01)
        self._listener.close()

    def _answer_for_ever(self) -> None:
        while not self._closing.is_set():
            try:
                with self._listener.accept() as connection:
                    self._answer(connection)
            except (AuthenticationError, EOFError, ConnectionError):
                continue  # Nobody who knows the key, or somebody who has not waited.
        connections.close_all()

    def _answer(self, connection: Connection) -> None:
        asked = connection.recv_bytes(MAX_BYTES)
        close_old_connections()
        try:
            found = answer(self.models, json.loads(asked))
        except Exception as error:
            logger.exception("A request could not be answered")
            found = {"error": f"{type(error).__name__}: {error}"}
        connection.send_bytes(json.dumps(found).encode())


def answer(models: Models, asked: dict[str, Any]) -> dict[str, Any]:
    """Answer ``{"project": key, "texts": [...]}`` with the round whose model it is, and proposals for each text.

    The round is None where there is no model. ``{"project": key, "like": text, "n": number}`` is answered with the keys
    of the nearest documents and how alike each is.
    """
    if "like" in asked:
        return {"nearest": models.nearest.of(asked["project"], asked["like"], asked["n"])}
    model = models.of(asked["project"])
    if model is None:
        return {"round": None, "proposals": []}
    return {"round": model.memory.round_number, "proposals": model.propose(asked["texts"])}


def _is_answered(path: Path) -> bool:
    try:
        Client(str(path), family="AF_UNIX", authkey=socket_key()).close()
    except (FileNotFoundError, ConnectionError):
        return False
    return True

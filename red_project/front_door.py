"""The front door: what stands between the network and Django.

A request gets a thread once all of it is here. Until then it costs a socket and a temporary file, however slowly it
comes; how long its head may take is for the server to say (``--http1-header-read-timeout``), how long its body here.
A body that is larger than any form is refused before it is read, unless its sender may upload.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable
from concurrent.futures import ThreadPoolExecutor
from tempfile import SpooledTemporaryFile
from typing import Any

from asgiref.wsgi import WsgiToAsgiInstance

logger = logging.getLogger("labelling.front_door")

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# What anybody may send: the largest form has a few thousand characters of text.
FORM_BYTES = 256 * 1024
# Up to here a body stays in memory.
SPOOL_BYTES = 64 * 1024
PATIENCE_SECONDS = 20.0
SLOWEST_BYTES_A_SECOND = 20_000
# Whoever takes nothing of an answer for so long is gone.
READER_SECONDS = 60.0
UPLOADS_AT_ONCE = 2
# With more requests than these under way a process keeps no connection: whoever is sent away comes back to the process
# that is free. Otherwise the first one that is ready would keep all who wait for the server.
CROWD = 2


class Turned(Exception):
    """The request doesn't get in: status and sentence."""

    def __init__(self, status: int, sentence: str):
        super().__init__(sentence)
        self.status = status


class Gone(Exception):
    """Nobody waits for the answer any more."""


class FrontDoor:
    """An ASGI application before a WSGI one.

    Args:
        application: the WSGI application.
        find_sender: by the headers, in lower case, of a request: who sends it, if they may upload. Called in a thread.
        max_bytes: of one upload.
        n_threads: requests that are answered at the same time.
    """

    def __init__(
        self,
        application: Callable[..., Iterable[bytes]],
        find_sender: Callable[[dict[str, str]], Hashable | None],
        max_bytes: int,
        n_threads: int = 8,
    ):
        self.application = application
        self.find_sender = find_sender
        self.max_bytes = max_bytes
        self.threads = ThreadPoolExecutor(n_threads, thread_name_prefix="request")
        # Apart from the others: a question of milliseconds doesn't wait behind requests.
        self.doorkeeper = ThreadPoolExecutor(1, thread_name_prefix="door")
        self.uploads: Counter[Hashable] = Counter()
        self.n_under_way = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        with SpooledTemporaryFile(SPOOL_BYTES) as body:
            try:
                await self._take(scope, receive, body)
                environ = _environ(scope, body)
            except Gone:
                return
            except Turned as turned:
                logger.warning("%s %r from %s: %s", scope["method"], scope["path"], scope["client"], turned)
                await _refuse(send, turned)
                return
            loop = asyncio.get_running_loop()
            self.n_under_way += 1
            try:
                await loop.run_in_executor(self.threads, self._answer, environ, send, loop)
            finally:
                self.n_under_way -= 1

    async def _take(self, scope: Message, receive: Receive, body: SpooledTemporaryFile[bytes]) -> None:
        """Read the whole body.

        Raises:
            Turned: when it is too long, too slow, or there is no room for it.
            Gone: when it ends too early.
        """
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        told = headers.get("content-length", "0")
        length = int(told) if told.isdecimal() else 0
        sender = await self._admit(headers) if length > FORM_BYTES else None
        try:
            async with asyncio.timeout(PATIENCE_SECONDS + length / SLOWEST_BYTES_A_SECOND):
                await _read(receive, body, length, self.max_bytes if sender is not None else FORM_BYTES)
        except TimeoutError as error:
            raise Turned(408, "The request came too slowly.") from error
        except OSError as error:
            logger.exception("A body can't be kept")
            raise Turned(507, "The server has no room for this file. Tell its administrator.") from error
        finally:
            if sender is not None:
                self.uploads[sender] -= 1
        body.seek(0)

    async def _admit(self, headers: dict[str, str]) -> Hashable:
        """Count one more upload of whoever sends it.

        Raises:
            Turned: when they may not upload, or not now.
        """
        sender = await asyncio.get_running_loop().run_in_executor(self.doorkeeper, self.find_sender, headers)
        if sender is None:
            raise Turned(413, "Log in to upload a file.")
        if self.uploads[sender] >= UPLOADS_AT_ONCE:
            raise Turned(429, "You are uploading other files already. Wait until they have arrived.")
        self.uploads[sender] += 1
        return sender

    def _answer(self, environ: Message, send: Send, loop: asyncio.AbstractEventLoop) -> None:
        """Have the application answer, in a thread of its own; what it yields leaves as fast as the reader takes it.

        An answer of one chunk leaves at once: each way to the loop's thread and back waits twice for the interpreter.
        """
        ready: list[Message] = []

        def emit() -> None:
            asyncio.run_coroutine_threadsafe(_sent(send, ready), loop).result(READER_SECONDS)
            ready.clear()

        def start_response(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
            encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            if self.n_under_way > CROWD:
                encoded.append((b"connection", b"close"))
            ready.append({"type": "http.response.start", "status": int(status[:3]), "headers": encoded})

        chunks = self.application(environ, start_response)
        try:
            for n, chunk in enumerate(chunks):
                if n:
                    emit()
                ready.append({"type": "http.response.body", "body": chunk, "more_body": True})
            ready.append({"type": "http.response.body", "body": b"", "more_body": False})
            emit()
        except (TimeoutError, OSError, RuntimeError):
            logger.info("%s went away before the answer's end", environ.get("REMOTE_ADDR"))
        finally:
            if close := getattr(chunks, "close", None):
                close()


def _environ(scope: Message, body: SpooledTemporaryFile[bytes]) -> dict[str, Any]:
    """Raise Turned for a head that WSGI can't say."""
    request = WsgiToAsgiInstance(None)
    request.scope = scope
    try:
        return request.build_environ(scope, body)
    except ValueError as error:
        raise Turned(400, "The request can't be read.") from error


async def _read(receive: Receive, body: SpooledTemporaryFile[bytes], length: int, limit: int) -> None:
    if length > limit:
        raise Turned(413, f"The file is too large: at most {limit // 2**20} MB are allowed.")
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body.write(message.get("body", b""))
        more = message.get("more_body", False)
        if body.tell() > limit:
            raise Turned(413, "The request is longer than it said, or doesn't say how long it is.")


async def _sent(send: Send, messages: list[Message]) -> None:
    for message in messages:
        await send(message)


async def _refuse(send: Send, turned: Turned) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": turned.status, "headers": headers})
    await send({"type": "http.response.body", "body": str(turned).encode()})


async def _lifespan(receive: Receive, send: Send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})

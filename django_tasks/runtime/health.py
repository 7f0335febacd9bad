"""
HTTP probes: /livez (the loops turn) and /readyz (the database answers); beside them, pages.

They are answered in the process that renews the lease. So all probes have one thread, a
connection has a few seconds, and there are only so many: the oldest goes when there is one more.
A page may ask the database, so it has a thread while it is made, and is made once at a time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from ..redaction.exceptions import loggable_fault

logger = logging.getLogger("django_tasks.worker")

#: Seconds without a sign of life from one of the loops after which the worker is not live.
LONGEST_SILENCE = 30.0
#: Seconds from a connection to its end.
TIMEOUT = 5.0
MOST_CONNECTIONS = 32
#: Bytes of a request.
LONGEST_REQUEST = 8192


class Answer(NamedTuple):
    """What a request is answered."""

    status: HTTPStatus
    text: str
    content_type: str = "text/plain; charset=utf-8"


#: Makes a page; called in a thread of its own.
Page = Callable[[], Answer]


def serve(
    silence: Callable[[], float],
    is_ready: Callable[[], bool],
    host: str,
    port: int,
    remark: Callable[[], str] = str,
    pages: Mapping[str, Page] | None = None,
) -> socket.socket:
    """
    Answer probes on `host`:`port` in a thread of this process; return the socket it listens on.

    `silence`: seconds since the most silent of the loops gave a sign of life.
    `remark`: a line that /readyz adds for people, whatever it answers; empty for none.
    `pages`: what else is served, by path; None: nothing.

    /livez never depends on the database: restarting workers does not bring it back. No payload, no
    change of state.
    """

    def answer(path: str) -> Answer:
        if path == "/livez":
            return _verdict(silence() < LONGEST_SILENCE)
        if path == "/readyz":
            return _verdict(is_ready(), remark())
        return Answer(HTTPStatus.NOT_FOUND, "not found\n")

    listening = socket.create_server((host, port), family=family_of(host))
    server = ProbeServer(answer, {path: SlowPage(page) for path, page in (pages or {}).items()})
    threading.Thread(
        target=lambda: asyncio.run(server.run(listening)), name="health", daemon=True
    ).start()
    return listening


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family of a host's name or address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _verdict(is_well: bool, remark: str = "") -> Answer:
    lines = ["ok" if is_well else "not ok", remark]
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, "".join(f"{line}\n" for line in lines if line))


class SlowPage:
    """Makes a page in a thread, unless it is being made: a database that hangs holds one thread."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._is_busy = False

    async def answer(self) -> Answer:
        """Return the page, or that it cannot be had now."""
        if self._is_busy:
            return Answer(HTTPStatus.SERVICE_UNAVAILABLE, "busy with the request before\n")
        self._is_busy = True
        loop = asyncio.get_running_loop()
        made: asyncio.Future[Answer] = loop.create_future()

        def make() -> None:
            answer = self._made()
            loop.call_soon_threadsafe(self._finish, made, answer)

        # Not the loop's executor, whose threads are waited for when the process ends.
        threading.Thread(target=make, name="page", daemon=True).start()
        return await made

    def _made(self) -> Answer:
        try:
            return self._page()
        except Exception as error:
            logger.error("A page of the health port fails.", exc_info=loggable_fault(error))
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "failed, see the log\n")

    def _finish(self, made: asyncio.Future[Answer], answer: Answer) -> None:
        self._is_busy = False
        if not made.done():  # the connection's time was over
            made.set_result(answer)


class ProbeServer:
    """Serves one request per connection."""

    def __init__(self, answer: Callable[[str], Answer], pages: Mapping[str, SlowPage]) -> None:
        self._answer = answer
        self._pages = pages
        #: The oldest first.
        self._connections: dict[asyncio.StreamWriter, None] = {}

    async def run(self, listening: socket.socket) -> None:
        """Serve until the process ends."""
        server = await asyncio.start_server(self._serve, sock=listening, limit=LONGEST_REQUEST)
        await server.serve_forever()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= MOST_CONNECTIONS:
            oldest = next(iter(self._connections))
            del self._connections[oldest]
            oldest.transport.abort()
        self._connections[writer] = None
        try:
            async with asyncio.timeout(TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(_response(await self._answer_to(head)))
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:  # OSError: also the timeout
            logger.debug("A probe came to no end: %r", error)
        finally:
            self._connections.pop(writer, None)
            writer.close()

    async def _answer_to(self, head: bytes) -> Answer:
        line = head.partition(b"\r\n")[0].decode("latin-1")
        try:
            method, target, _ = line.split(" ")
        except ValueError:
            return Answer(HTTPStatus.BAD_REQUEST, "bad request\n")
        if method != "GET":
            return Answer(HTTPStatus.NOT_IMPLEMENTED, "only GET\n")
        path = target.partition("?")[0]
        page = self._pages.get(path)
        return self._answer(path) if page is None else await page.answer()


def _response(answer: Answer) -> bytes:
    content = answer.text.encode()
    return (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\n"
        f"Content-Length: {len(content)}\r\n"
        "Connection: close\r\n\r\n"
    ).encode() + content

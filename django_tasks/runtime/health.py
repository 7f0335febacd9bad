"""
HTTP probes: /livez (the loops turn) and /readyz (the database answers).

They are answered in the process that renews the lease. So all of them have one thread, a
connection has a few seconds, and there are only so many: the oldest goes when there is one more.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus

logger = logging.getLogger("django_tasks.worker")

#: Seconds without a sign of life from one of the loops after which the worker is not live.
LONGEST_SILENCE = 30.0
#: Seconds from a connection to its end.
TIMEOUT = 5.0
MOST_CONNECTIONS = 32
#: Bytes of a request.
LONGEST_REQUEST = 8192


def serve(
    silence: Callable[[], float],
    is_ready: Callable[[], bool],
    host: str,
    port: int,
    remark: Callable[[], str] = str,
) -> socket.socket:
    """
    Answer probes on `host`:`port` in a thread of this process; return the socket it listens on.

    `silence`: seconds since the most silent of the loops gave a sign of life.
    `remark`: a line that /readyz adds for people, whatever it answers; empty for none.

    /livez never depends on the database: restarting workers does not bring it back. No other
    path, no payload, no change of state.
    """

    def answer(path: str) -> tuple[HTTPStatus, str]:
        if path == "/livez":
            return _verdict(silence() < LONGEST_SILENCE)
        if path == "/readyz":
            return _verdict(is_ready(), remark())
        return HTTPStatus.NOT_FOUND, "not found\n"

    listening = socket.create_server((host, port), family=family_of(host))
    server = ProbeServer(answer)
    threading.Thread(
        target=lambda: asyncio.run(server.run(listening)), name="health", daemon=True
    ).start()
    return listening


def family_of(host: str) -> socket.AddressFamily:
    """Return the address family of a host's name or address."""
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _verdict(is_well: bool, remark: str = "") -> tuple[HTTPStatus, str]:
    lines = ["ok" if is_well else "not ok", remark]
    status = HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE
    return status, "".join(f"{line}\n" for line in lines if line)


class ProbeServer:
    """Serves one request per connection."""

    def __init__(self, answer: Callable[[str], tuple[HTTPStatus, str]]) -> None:
        self._answer = answer
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
                writer.write(self._response(head))
                await writer.drain()
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:  # OSError: also the timeout
            logger.debug("A probe came to no end: %r", error)
        finally:
            self._connections.pop(writer, None)
            writer.close()

    def _response(self, head: bytes) -> bytes:
        line = head.partition(b"\r\n")[0].decode("latin-1")
        try:
            method, target, _ = line.split(" ")
        except ValueError:
            status, body = HTTPStatus.BAD_REQUEST, "bad request\n"
        else:
            status, body = HTTPStatus.NOT_IMPLEMENTED, "only GET\n"
            if method == "GET":
                status, body = self._answer(target.partition("?")[0])
        content = body.encode()
        return (
            f"HTTP/1.1 {status.value} {status.phrase}\r\n"
            "Content-Type: text/plain; charset=utf-8\r\n"
            f"Content-Length: {len(content)}\r\n"
            "Connection: close\r\n\r\n"
        ).encode() + content

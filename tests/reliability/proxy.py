"""A TCP proxy before PostgreSQL: it can be far, go dark, cut lines, swallow answers to commits."""

import asyncio
import struct
from urllib.parse import urlsplit, urlunsplit

from tests.reliability.loop_server import LoopServer

BACKEND_IDLE = b"I"
#: What ends a request: a simple query, or the Sync behind an extended one.
REQUESTS = (b"Q", b"S")


class Proxy(LoopServer):
    """Use in a `with`; `url(of)` is where clients connect instead of `of`."""

    def __init__(self, url):
        super().__init__()
        parts = urlsplit(url)
        self.target = parts.hostname, parts.port
        self.connections = set()
        #: Answers swallowed so far.
        self.swallowed = 0
        #: Seconds that a request and its answer take on their way.
        self.latency = 0.0
        self._pattern = None
        self._left = 0

    def url(self, of):
        parts = urlsplit(of)
        address = f"{parts.username}@127.0.0.1:{self.port}"
        return urlunsplit(parts._replace(netloc=address))

    def go_dark(self):
        """Forward nothing any more, and say nothing: no end, no reset."""
        self._call(self._set_light(False))

    def light_up(self):
        """Forward again; the lines that were dark are cut."""
        self._call(self._set_light(True))
        self.cut()

    def light_up_for_new_lines(self):
        """Forward what connects from now on; the lines that were dark stay so."""
        self._call(self._leave_in_the_dark())

    def cut(self):
        """Cut all lines."""
        self._call(self._cut())

    def swallow(self, pattern, times=1):
        """Cut the line instead of telling that a transaction was committed, so many times.

        It concerns transactions in which the client sent `pattern`.
        """
        self._pattern, self._left = pattern, times

    def is_to_be_swallowed(self, line):
        if self._left and any(self._pattern in text for text in line.sent):
            self._left -= 1
            self.swallowed += 1
            return True
        return False

    async def _open(self):
        self.light = asyncio.Event()
        self.light.set()
        await super()._open()

    def _tasks(self):
        return [line.task for line in self.connections]

    async def _set_light(self, is_on):
        if is_on:
            self.light.set()
        else:
            self.light.clear()

    async def _leave_in_the_dark(self):
        self.light = asyncio.Event()
        self.light.set()

    async def _cut(self):
        for line in list(self.connections):
            line.abort()

    async def _serve(self, reader, writer):
        line = Line(self, reader, writer)
        line.task = asyncio.create_task(line.run())
        self.connections.add(line)
        try:
            await asyncio.wait([line.task])
        finally:
            line.abort()
            self.connections.discard(line)


class Line:
    """One client's connection."""

    def __init__(self, proxy, reader, writer):
        self.proxy = proxy
        self.light = proxy.light
        self.client = reader, writer
        self.server = self.task = None
        #: What the client sent since it was last idle: texts of queries.
        self.sent = []
        self._prepared = {}
        self._held = []

    async def run(self):
        """Forward until either side is gone."""
        await self.light.wait()
        self.server = await asyncio.open_connection(*self.proxy.target)
        ways = [asyncio.create_task(way()) for way in (self._upwards, self._downwards)]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            ends = await asyncio.gather(*ways, return_exceptions=True)
        expected = (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError)
        assert all(isinstance(end, expected) for end in ends), ends

    def abort(self):
        for _, writer in filter(None, (self.client, self.server)):
            writer.transport.abort()

    async def _upwards(self):
        """Forward what the client sends, and remember what it asks for."""
        reader, to = self.client[0], self.server[1]
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        startup = await reader.readexactly(length - 4)
        to.write(struct.pack("!i", length) + startup)
        while True:
            kind, body = await self._frame(reader)
            self._remember(kind, body)
            if self.proxy.latency and kind in REQUESTS:
                await asyncio.sleep(self.proxy.latency)
            await self.light.wait()
            to.write(kind + struct.pack("!i", len(body) + 4) + body)

    async def _downwards(self):
        """Forward what the server answers; hold the end of each command until all is known."""
        reader, to = self.server[0], self.client[1]
        while True:
            kind, body = await self._frame(reader)
            frame = kind + struct.pack("!i", len(body) + 4) + body
            await self.light.wait()
            if kind != b"Z":
                if kind == b"C" or self._held:
                    self._held.append(frame)
                else:
                    to.write(frame)
                continue
            if body == BACKEND_IDLE and self.proxy.is_to_be_swallowed(self):
                self.abort()
                raise ConnectionAbortedError("as asked")
            to.write(b"".join([*self._held, frame]))
            self._held.clear()
            if body == BACKEND_IDLE:
                self.sent.clear()

    async def _frame(self, reader):
        kind = await reader.readexactly(1)
        (length,) = struct.unpack("!i", await reader.readexactly(4))
        return kind, await reader.readexactly(length - 4)

    def _remember(self, kind, body):
        if kind == b"Q":
            self.sent.append(body)
        elif kind == b"P":
            name, query = body.split(b"\0", 2)[:2]
            self._prepared[name] = query
            self.sent.append(query)
        elif kind == b"B":
            name = body.split(b"\0", 2)[1]
            self.sent.append(self._prepared.get(name, b""))

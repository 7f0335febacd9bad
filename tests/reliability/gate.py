"""A TCP proxy that can be shut: to its clients the server was killed, and came back."""

import asyncio

from tests.reliability.loop_server import LoopServer


class Gate(LoopServer):
    """Use in a `with`; `port` is where clients connect instead of the server's `port_behind`."""

    def __init__(self, port_behind):
        super().__init__()
        self._port_behind = port_behind
        self._is_open = True
        self._lines = set()

    def open(self):
        """Let new lines through."""
        self._is_open = True

    def shut(self):
        """Cut all lines, and new ones as soon as they are made."""
        self._is_open = False
        self._call(self._cancel_lines())

    def _tasks(self):
        return list(self._lines)

    async def _serve(self, reader, writer):
        line = asyncio.current_task()
        self._lines.add(line)
        ends = [writer]
        try:
            if self._is_open:
                behind_reader, behind = await asyncio.open_connection(
                    "127.0.0.1", self._port_behind
                )
                ends.append(behind)
                await asyncio.gather(_forward(reader, behind), _forward(behind_reader, writer))
        except OSError:
            pass  # cut, or the server is away itself
        finally:
            self._lines.discard(line)
            for end in ends:
                end.transport.abort()


async def _forward(reader, writer):
    while chunk := await reader.read(1 << 16):
        writer.write(chunk)
        await writer.drain()
    raise ConnectionResetError  # ends the other way, too

"""A TCP proxy that can be shut: to its clients the server was killed, and came back."""

import asyncio
import threading


class Gate:
    """Use in a `with`; `port` is where clients connect instead of the server's `port_behind`."""

    def __init__(self, port_behind):
        self.port = None
        self._port_behind = port_behind
        self._is_open = True
        self._lines = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(self, *_exception):
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def open(self):
        """Let new lines through."""
        self._is_open = True

    def shut(self):
        """Cut all lines, and new ones as soon as they are made."""
        self._is_open = False
        self._call(self._cut())

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _listen(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self):
        self._server.close()
        await self._cut()

    async def _cut(self):
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

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

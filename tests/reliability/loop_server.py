"""A TCP server in a thread of its own, for the proxies of these tests."""

import asyncio
import threading


class LoopServer:
    """Use in a `with`; `port` is where clients connect. Subclasses say how a line is served."""

    def __init__(self):
        self.port = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        self._call(self._open())
        return self

    def __exit__(self, *_exception):
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(30)

    async def _open(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self):
        self._server.close()
        await self._cancel_lines()

    async def _cancel_lines(self):
        tasks = self._tasks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader, writer):
        """Serve a client until its line ends."""
        raise NotImplementedError

    def _tasks(self):
        """Return a list of the tasks that serve the lines there are."""
        raise NotImplementedError

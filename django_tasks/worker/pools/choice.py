"""Choose the pool of a process, by the name that `runworker --pool` was given."""

from __future__ import annotations

from asgiref.sync import SyncToAsync

from ..board import Board
from ..execution.jobs import Post
from ..execution.runner import Runner
from ..execution.side_threads import CallThreads
from .base import Pool
from .coroutines import AsyncioPool
from .main_thread import MainThreadPool
from .threads import ThreadPool


def make_pool(name: str, runner: Runner, post: Post, board: Board, slots: int) -> Pool:
    """Return the pool of this name."""
    # For code that is in none of the threads that a pool gives to each body.
    SyncToAsync.single_thread_executor = CallThreads(1, "sync_to_async")
    if name in ("prefork", "solo"):
        return MainThreadPool(runner, post, board)
    if name == "asyncio":
        return AsyncioPool(runner, post, board, slots)
    if name == "gevent":
        from .greenlets import GeventPool

        return GeventPool(runner, post, board, slots)
    return ThreadPool(runner, post, board, slots)

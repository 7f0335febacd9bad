"""Choose the pool of a process, by what `runworker --pool` was given."""

from __future__ import annotations

from collections.abc import Callable

from asgiref.sync import SyncToAsync

from ...conf import suggest
from ...runtime.extensions import WrongExtension, is_dotted_path, load_class
from ...store.workers.leases import BEAT
from ..board import Board
from ..config import POOLS
from ..execution.jobs import Post
from ..execution.runner import Runner
from ..execution.side_threads import CallThreads
from .base import Pool
from .coroutines import AsyncioPool
from .main_thread import MainThreadPool
from .threads import ThreadPool

#: What the row of a worker, or of a beat, has in the place of a pool.
RESERVED = {*POOLS, BEAT}


def make_pool(name: str, runner: Runner, post: Post, board: Board, slots: int) -> Pool:
    """Return the pool of this name, or of the class at this dotted path; see `pool_class`."""
    # For code that is in none of the threads that a pool gives to each body.
    SyncToAsync.single_thread_executor = CallThreads(1, "sync_to_async")
    if name in ("prefork", "solo"):
        return MainThreadPool(runner, post, board)
    if name == "asyncio":
        return AsyncioPool(runner, post, board, slots)
    if name == "gevent":
        from .greenlets import GeventPool

        return GeventPool(runner, post, board, slots)
    if name == "threads":
        return ThreadPool(runner, post, board, slots)
    return pool_class("--pool", name)(runner, post, board, slots)


def pool_class(where: str, path: str) -> Callable[[Runner, Post, Board, int], Pool]:
    """
    Return the class at a dotted path, which is imported now.

    `where`: the option or setting that names it. Raise WrongExtension unless it meets the contract.
    """
    if not is_dotted_path(path):
        raise WrongExtension(
            f"{where} must be one of {', '.join(POOLS)}, or the dotted path of a class, not"
            f" {path!r}{suggest(path, POOLS)}"
        )
    found = load_class(where, path, Pool, ["runner", "post", "board", "slots"])
    if found.__name__ in RESERVED:
        raise WrongExtension(
            f"{where} is {path!r}, whose name people would take for the built-in"
            f" {found.__name__!r}: give the class another one."
        )
    made: Callable[[Runner, Post, Board, int], Pool] = found
    return made

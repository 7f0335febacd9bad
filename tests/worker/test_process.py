"""A process of a worker, put together without being forked."""

import json
import os
import threading
from dataclasses import replace
from uuid import uuid4

import pytest

from django_tasks.routing import QueueSelection
from django_tasks.runtime.wakeups import WakeUp
from django_tasks.store.values import Claim, EndingKind
from django_tasks.worker.board import NEVER, Board
from django_tasks.worker.config import WorkerConfig
from django_tasks.worker.execution.jobs import Job
from django_tasks.worker.process import build_engine
from tests.worker import tasks
from tests.worker.ledger import lines


@pytest.fixture
def config():
    return WorkerConfig(
        backend="default", database="default", queues=QueueSelection(), pool="threads",
        processes=2, slots=1, grace=1.0, host="tests.example",
    )  # fmt: skip


def test_process_is_on_the_board_before_it_claims(config):
    """Otherwise a sweep of the keeper would take its first tasks for those of a dead process."""
    board = Board(2, 4)

    build_engine(config, board, 1, 7, WakeUp())

    assert (board.pids[1], board.processes[1]) == (os.getpid(), 7)


def job_of(engine, task, *args):
    """Return a job as the engine hands it to the pool."""
    claim = Claim(
        id=uuid4(), task_path=task.module_path, args=json.dumps(args), kwargs="{}",
        queue_name="default", priority=0, attempts=1, max_attempts=None, lost=0, hooks=0, claims=1,
        is_expired=False,
    )  # fmt: skip
    return Job(claim, task, engine.lane.reserve(claim.id, claim.claims))


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
@pytest.mark.parametrize(
    "task", [tasks.process_id, tasks.until_cancelled_async], ids=["plain", "coroutine"]
)
def test_cancelled_task_does_not_begin(config, book, pool, task):
    """What is cancelled between its claim and its turn runs nothing of its body."""
    board = Board(2, 4)
    engine = build_engine(replace(config, pool=pool), board, 0, 1, WakeUp())
    job = job_of(engine, task, book)
    board.cancel(board.entry(job.entry), NEVER)

    engine.pool.submit([job])
    thread = threading.Thread(target=engine.pool.run)
    thread.start()
    engine.pool.stop()
    thread.join(5)

    [(_, outcome)] = engine.outcomes
    assert outcome.kind is EndingKind.CANCEL
    assert lines(book) == []

"""A worker whose database connections come from psycopg's pool (OPTIONS["pool"])."""

from importlib.util import find_spec

import pytest
from django.conf import settings
from django.db import connection

from django_tasks import TaskResultStatus
from tests.report import UNAVAILABLE
from tests.worker import tasks
from tests.worker.ledger import PATIENCE

pytestmark = [
    pytest.mark.skipif(
        connection.vendor != "postgresql", reason="Django pools connections to PostgreSQL only"
    ),
    pytest.mark.skipif(
        find_spec("psycopg_pool") is None, reason=f"{UNAVAILABLE}psycopg_pool is not installed"
    ),
]


@pytest.fixture
def pooled():
    """The settings of a worker process: this run's database, through a pool."""
    default = settings.DATABASES["default"] | {"NAME": connection.settings_dict["NAME"]}
    default |= {"OPTIONS": default["OPTIONS"] | {"pool": True}, "CONN_MAX_AGE": 0}
    return {"DATABASES": {"default": default}}


def test_processes_have_pools_of_their_own(start, pooled, tmp_path):
    """Bodies of two forked processes query at the same time, each on a connection of its own."""
    worker = start("--pool", "prefork", "--concurrency", 2, settings=pooled)

    results = tasks.meet_on_pooled_connection.enqueue_many([(str(tmp_path), 2)] * 2)

    pids, server_pids = zip(*(result.wait(PATIENCE) for result in results), strict=True)
    assert len(set(pids)) == len(set(server_pids)) == 2
    assert worker.stop() == 0


def test_pool_survives_many_tasks_and_replaced_processes(start, pooled):
    """No connection of the pool is kept: many more tasks than it holds run, in many processes."""
    options = ("--pool", "prefork", "--concurrency", 2, "--max-tasks-per-child", 15)
    worker = start(*options, settings=pooled)

    results = tasks.write_group.enqueue_many([(f"pooled {n}",) for n in range(60)])

    for result in results:
        result.wait(PATIENCE)
    assert {result.status for result in results} == {TaskResultStatus.SUCCESSFUL}
    assert {result.attempts for result in results} == {1}
    assert worker.stop() == 0


def test_threads_share_a_pool(start, pooled, tmp_path):
    """Bodies in three threads, and the process' own statements, need no more than its four."""
    pooled["DATABASES"]["default"]["OPTIONS"]["pool"] = {"max_size": 4}
    worker = start("--pool", "threads", "--concurrency", 3, settings=pooled)

    results = tasks.meet_on_pooled_connection.enqueue_many([(str(tmp_path), 3)] * 3)

    server_pids = {result.wait(PATIENCE)[1] for result in results}
    assert len(server_pids) == 3
    assert worker.stop() == 0

"""What a worker costs while it has nothing to do."""

import time

import pytest
from django.db import connection

from tests.worker import tasks
from tests.worker.ledger import PATIENCE
from tests.worker.processes import children_of, cpu_seconds

SECONDS = 5.0
#: Autovacuum's transactions count, too: one window without them is enough.
WINDOWS = 6
#: The goal is 5; one more for what a lucky second holds.
MOST = 6
#: The defaults; pruning, once a minute, would count as if it were always.
SETTINGS = {"DJANGO_TASKS": {"POLL_INTERVAL": 1.0, "PRUNE_INTERVAL": None}}


@pytest.fixture
def count_transactions():
    """Return a function that counts those of the test database, without adding to them."""
    name = connection.settings_dict["NAME"]
    own = connection.copy()
    own.settings_dict["NAME"] = "postgres"

    def count():
        with own.cursor() as cursor:
            cursor.execute(
                "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = %s",
                [name],
            )
            return cursor.fetchone()[0]

    yield count
    own.close()


@pytest.mark.skipif(connection.vendor != "postgresql", reason="counts with PostgreSQL's statistics")
def test_idle_worker_asks_little_of_postgresql(start, count_transactions, record_property):
    """Fewer than five statements a second, each a transaction of its own, at the defaults."""
    start("-c", 2, settings=SETTINGS)
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    connection.close()
    time.sleep(1.5)  # what came before is reported by now
    rates = []
    for _ in range(WINDOWS):
        before, began = count_transactions(), time.monotonic()
        time.sleep(SECONDS)  # measuring takes its time
        rates.append((count_transactions() - before) / (time.monotonic() - began))
        if rates[-1] < MOST:
            break

    record_property("statements_per_second", round(rates[-1], 2))
    print(f"idle: {rates} statements per second")
    assert min(rates) < MOST


def test_idle_worker_needs_no_processor(start, record_property):
    """Below 1 % of a core is the goal; the bound allows for a machine that is shared."""
    worker = start("-c", 2, settings=SETTINGS)
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    time.sleep(0.5)  # let it settle
    pids = [worker.pid, *children_of(worker.pid)]
    before, began = cpu_seconds(pids), time.monotonic()

    time.sleep(SECONDS)
    share = (cpu_seconds(pids) - before) / (time.monotonic() - began)

    record_property("cpu_share", round(share, 4))
    print(f"idle: {share:.2%} of a core")
    assert share < 0.1

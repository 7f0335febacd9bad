"""Redis killed, emptied and filled with garbage under workers of both brokers on one table."""

import json
import time
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle, islice

import pytest
from django.test import override_settings

from tests import servers
from tests.reliability import audit, tasks
from tests.reliability.brokers import MortalRedis, settings_of
from tests.reliability.harness import ALIAS, wait_until

#: Tasks, rounds with a fault in each, seconds from one fault to the next at least.
SMOKE, FULL = (2_000, 8, 0.0), (20_000, 20, 5.0)
#: Of the settings of these tests, and what it may be followed by.
POLL_INTERVAL, AND = 0.5, 1.0


@pytest.fixture
def redis(project):
    """A Redis that may be killed, and that this process' enqueues use."""
    with servers.private_redis() as server:
        redis = MortalRedis(server)
        with override_settings(**settings_of(redis.url, database=ALIAS)):
            yield redis


def enqueue_mixed(project, number, count):
    """Enqueue short tasks: in bulk, one by one, and a bit later; return {key: id}."""
    bulk = project.enqueue(tasks.work, [f"{number}-{i}" for i in range(count - 30)], 0.005)
    single = {
        key: project.enqueue_one(tasks.work, key)
        for key in (f"{number}-single-{i}" for i in range(15))
    }
    later = tasks.work.using(run_after=timedelta(seconds=0.3))
    return bulk | single | project.enqueue(later, [f"{number}-later-{i}" for i in range(15)])


@contextmanager
def more_starts(project, count):
    """Wait at the end until so many tasks have started since the beginning."""
    enough = project.ledger.count("start") + count
    yield
    wait_until(lambda: project.ledger.count("start") >= enough, f"{count} more tasks start")


def test_redis_may_do_what_it_likes(project, redis, is_full):
    """Emptied, killed, away and lying, under workers of both brokers: each task runs once."""
    count, rounds, spacing = FULL if is_full else SMOKE
    guided = [project.worker("-c", 3, environment=redis.environment) for _ in range(2)]
    workers = [*guided, project.worker("-c", 2)]
    wait_until(lambda: all(len(w.children) == w.row.concurrency + 1 for w in workers), "processes")
    pids = [sorted(worker.children) for worker in workers]
    acknowledged, began = {}, time.monotonic()

    for number, fault in enumerate(islice(cycle(["flush", "crash", "away", "forge"]), rounds)):
        with more_starts(project, count // rounds // 3):
            acknowledged |= enqueue_mixed(project, number, count // rounds)
        if fault == "away":
            keys = [f"{number}-away-{i}" for i in range(50)]
            with redis.away(), more_starts(project, len(keys)):
                acknowledged |= project.enqueue(tasks.work, keys)
        elif fault == "forge":
            redis.forge(acknowledged.values())
        else:
            getattr(redis, fault)()
        next_at = began + (number + 1) * spacing
        wait_until(lambda: time.monotonic() >= next_at, "the time for the next")  # noqa: B023
    project.drain(120)

    report = audit.check(project, acknowledged)
    seconds = time.monotonic() - began
    print(json.dumps({"faults": rounds, "seconds": round(seconds, 1)} | report.figures()))
    assert not report.mistakes, report.figures()
    assert report.starts == len(acknowledged)
    assert not report.outcomes, report.figures()
    assert set(project.records.values_list("attempts", "lost")) == {(1, 0)}
    assert [sorted(worker.children) for worker in workers] == pids, "a process ended"
    for worker in workers:
        assert worker.stop() == 0
        assert "Traceback" not in worker.log
    assert all(worker.log.count("held what is no task id") <= 4 * rounds for worker in workers)


@pytest.mark.parametrize("fault", ["flush", "crash"])
def test_lost_ids_are_soon_picked_up(project, redis, fault, record_property):
    """What Redis lost while no worker had room is there again after a poll and little more."""
    worker = project.worker("-c", 2, environment=redis.environment)
    took = []
    for number in range(3):
        gate = project.directory / f"gate-{number}"
        project.enqueue(tasks.wait_for, [f"busy-{number}-{i}" for i in range(2)], str(gate))
        running = 2 + number * 12
        wait_until(lambda: project.ledger.count("start") == running, "no room")  # noqa: B023
        project.enqueue(tasks.work, [f"{number}-{i}" for i in range(10)])
        getattr(redis, fault)()
        lost_at = time.monotonic()
        gate.touch()
        project.drain()
        took.append(max(project.ledger.events("start"), key=lambda event: event.at).at - lost_at)

    print(json.dumps({fault: [round(seconds, 2) for seconds in took]}))
    record_property("pick_up_seconds", [round(seconds, 3) for seconds in took])
    # A loaded machine takes its time; without the marks it would be ten seconds.
    assert min(took) < 10 * (POLL_INTERVAL + AND)
    assert worker.is_alive

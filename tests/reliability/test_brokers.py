"""Brokers killed, emptied, away and filled with garbage, under workers of both kinds on a table."""

import json
import time
from contextlib import contextmanager
from datetime import timedelta
from itertools import cycle, islice

import pytest
from django.test import override_settings

from tests import servers
from tests.reliability import audit, tasks
from tests.reliability.brokers import MortalRabbitMQ, MortalRedis
from tests.reliability.gate import Gate
from tests.reliability.harness import ALIAS, wait_until

#: Tasks, faults, and seconds from one fault to the next at least.
FULL, SPACING = (20_000, 20), 5.0
#: Of the settings of these tests, and what it may be followed by.
POLL_INTERVAL, AND = 0.5, 1.0
#: Tasks of one round of losses: those that leave no room, and those that wait, and seconds of each
#: of these: together longer than a worker takes to find the broker again.
BUSY, WAITING, SHORT = 2, 40, 0.02


@pytest.fixture(params=["redis", "rabbitmq"])
def broker(request, project):
    """A broker that may be killed, and that this process' enqueues use."""
    if request.param == "redis":
        with servers.private_redis() as server:
            yield from used(MortalRedis(server))
    else:
        pytest.importorskip("kombu")
        server = request.getfixturevalue("private_rabbitmq")
        with Gate(server.port) as gate:
            yield from used(MortalRabbitMQ(server, gate))


def used(broker):
    with override_settings(**broker.settings(database=ALIAS)):
        yield broker


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


def test_broker_may_do_what_it_likes(project, broker, is_full):
    """Emptied, killed, away and lying, under workers of both kinds: each task runs once."""
    (count, rounds), spacing = (FULL, SPACING) if is_full else (broker.smoke, 0.0)
    with_broker = [project.worker("-c", 3, environment=broker.environment) for _ in range(2)]
    workers = [*with_broker, project.worker("-c", 2)]
    wait_until(lambda: all(len(w.children) == w.row.concurrency + 1 for w in workers), "processes")
    pids = [sorted(worker.children) for worker in workers]
    acknowledged, began = {}, time.monotonic()

    for number, fault in enumerate(islice(cycle(broker.faults), rounds)):
        with more_starts(project, count // rounds // 3):
            acknowledged |= enqueue_mixed(project, number, count // rounds)
        if fault == "away":
            keys = [f"{number}-away-{i}" for i in range(50)]
            with broker.away(), more_starts(project, len(keys)):
                acknowledged |= project.enqueue(tasks.work, keys)
        elif fault == "forge":
            broker.forge(acknowledged.values())
        else:
            getattr(broker, fault)()
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


@contextmanager
def loss(broker, fault):
    """Let what waits be lost. Within, it is over; or it lasts, where the broker is away."""
    if fault == "away":
        with broker.away():
            yield
    else:
        getattr(broker, fault)()
        yield


def pick_up(project, broker, fault, number):
    """Return the seconds from a loss until all that had waited, and one more task, were started."""
    gate = project.directory / f"gate-{number}"
    project.enqueue(tasks.wait_for, [f"busy-{number}-{i}" for i in range(BUSY)], str(gate))
    running = BUSY + number * (BUSY + WAITING + 1)
    wait_until(lambda: project.ledger.count("start") == running, "no room")
    project.enqueue(tasks.work, [f"{number}-{i}" for i in range(WAITING)], SHORT)
    with loss(broker, fault):
        lost_at = time.monotonic()
        gate.touch()
        project.enqueue_one(tasks.work, f"{number}-after")
        project.drain()
    return max(event.at for event in project.ledger.events("start")) - lost_at


def test_pick_up_is_soon_back(project, broker, is_full, record_property):
    """What was lost while no worker had room is run after a poll and little more."""
    worker = project.worker("-c", BUSY, environment=broker.environment)
    took = {fault: [] for fault in broker.losses}
    for number, fault in enumerate(broker.losses * (3 if is_full else broker.smoke_rounds)):
        took[fault].append(pick_up(project, broker, fault, number))

    figures = {fault: [round(s, 2) for s in seconds] for fault, seconds in took.items()}
    print(json.dumps(figures))
    record_property("pick_up_seconds", figures)
    assert all(max(seconds) < POLL_INTERVAL + AND for seconds in took.values()), figures
    assert worker.is_alive

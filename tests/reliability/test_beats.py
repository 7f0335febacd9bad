"""Beats without their database, with wrong clocks, and with very much to do."""

import os
import re
import signal
import time
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from django.db import connections

from django_tasks.beat.tick import tick
from django_tasks.models import Schedule, TaskRecord
from tests.reliability import scheduled
from tests.reliability.faults import Repeating
from tests.reliability.harness import ALIAS, wait_until
from tests.reliability.proxy import Proxy
from tests.reliability.test_clock import SHIFTS, Clock, library  # noqa: F401 - a fixture
from tests.reliability.test_outages import restart, terminate_backends


@pytest.fixture
def proxy(project):
    with Proxy(project.url) as proxy:
        yield proxy


# --- outages ------------------------------------------------------------------------------------


def test_crashes_of_the_server_lose_no_slot(project, server, is_full):
    """PostgreSQL restarted in immediate mode: no beat ends, no slot is missing or double."""
    beats = [project.beat() for _ in range(2)]
    began = scheduled.save_many(50, 20 if is_full else 8)

    for crash in range(8 if is_full else 2):
        count = scheduled.runs().count()
        wait_until(lambda: scheduled.runs().count() > count + 50, "slots")  # noqa: B023
        restart(server)
        assert crash >= 0
    scheduled.wait_until_over(40)

    scheduled.assert_each_slot_once(began)
    assert [beat.stop() for beat in beats] == [0, 0]


def test_terminated_connections_lose_no_slot(project):
    """Connections ended every 100 ms, in the midst of transactions: nothing missing or double."""
    beats = [project.beat() for _ in range(2)]
    began = scheduled.save_many(50, 6)

    with Repeating(lambda: terminate_backends(project), 0.1) as terminations:
        connections[ALIAS].close()
        end = time.monotonic() + 5
        wait_until(lambda: time.monotonic() > end, "five seconds")
    connections[ALIAS].close()
    scheduled.wait_until_over(30)

    assert terminations.rounds > 20
    scheduled.assert_each_slot_once(began)
    assert [beat.stop() for beat in beats] == [0, 0]


def test_lost_answer_to_a_commit_doubles_no_slot(project, proxy):
    """The transaction committed, its answer was lost: the slots are not enqueued again."""
    beat = project.beat(url=proxy.url(project.url))
    began = scheduled.save_many(20, 8)

    for number in range(3):
        count = scheduled.runs().count()
        proxy.swallow(b"COMMIT")
        wait_until(lambda: proxy.swallowed > number, "an answer is swallowed")  # noqa: B023
        wait_until(lambda: scheduled.runs().count() > count, "it goes on")  # noqa: B023
    scheduled.wait_until_over(30)

    scheduled.assert_each_slot_once(began)
    assert beat.stop() == 0


def test_beat_waits_for_its_database(project, server):
    """While the server is down the beat waits, says so once, and does not burn a core."""
    beat = project.beat()
    row = scheduled.save("waits", every=1.0, catch_up="LATEST")
    wait_until(lambda: scheduled.runs().exists(), "the first slot")

    connections[ALIAS].close()
    server.stop("immediate")
    end = time.monotonic() + 4
    wait_until(lambda: time.monotonic() > end, "four seconds without it")
    assert beat.is_alive
    server.start()

    count = scheduled.runs().filter(outcome="ENQUEUED").count()
    wait_until(
        lambda: scheduled.runs().filter(outcome="ENQUEUED").count() > count + 1, "it goes on"
    )
    assert beat.log.count("Lost the schedules' database") <= 2
    missed = scheduled.runs().filter(outcome="MISSED")
    assert missed.filter(schedule=row, left_out__gte=1).exists()
    assert beat.stop() == 0


# --- clocks -------------------------------------------------------------------------------------


def seconds_off(log):
    """Return how far the times of a log are from this machine's, at most half a day."""
    hours, minutes, seconds = map(int, re.findall(r"^(\d\d):(\d\d):(\d\d) ", log, re.M)[-1])
    now = datetime.now()
    told = hours * 3600 + minutes * 60 + seconds
    off = told - (now.hour * 3600 + now.minute * 60 + now.second)
    return (off + 43200) % 86400 - 43200


def made_at(task_id):
    """Return the moment that an id of version 7 holds, in Unix seconds."""
    return (UUID(str(task_id)).int >> 80) / 1000


@pytest.mark.parametrize("seconds", SHIFTS)
def test_clock_of_the_host_does_not_matter(project, library, seconds):  # noqa: F811
    """A beat two hours off, jumping to the other side: no slot early, late, double or missing."""
    clock = Clock(library, project.directory, seconds)
    beat = project.beat(environment=clock.environment)
    began = scheduled.save_many(20, 11, first_in=3)
    wait_until(lambda: scheduled.runs().count() > 20, "slots")
    assert abs(seconds_off(beat.log) - seconds) < 5, "the shim does not work"

    clock.set(-seconds)
    count = scheduled.runs().count()
    wait_until(lambda: scheduled.runs().count() > count + 20, "more slots")
    assert abs(seconds_off(beat.log) + seconds) < 5, "the shim does not work"
    scheduled.wait_until_over(30)

    scheduled.assert_each_slot_once(began)
    assert scheduled.lateness()["p95"] < 1.0
    assert all(run.created_at >= run.slot_at for run in scheduled.runs())
    for task in TaskRecord.objects.using(ALIAS):
        assert abs(task.enqueued_at.timestamp() - time.time()) < 60
        assert abs(made_at(task.pk) - task.enqueued_at.timestamp()) < 5
    assert beat.stop() == 0


# --- very much ----------------------------------------------------------------------------------


def test_very_many_slots_of_one_second(project, is_full):
    """Thousands due in the same second are enqueued in time, each once, while others wait."""
    count = 10_000 if is_full else 1_000
    slot = scheduled.now().replace(microsecond=0)
    make_rows(count, slot)
    beats = [project.beat() for _ in range(2)]
    began = time.monotonic()
    scheduled.rows().update(next_run_at=slot)

    wait_until(lambda: scheduled.runs().count() >= count, "all slots", timeout=30)

    seconds = time.monotonic() - began
    print(f"{count} slots of one second enqueued in {seconds:.1f} s")
    assert seconds < 10
    assert scheduled.runs().count() == count == TaskRecord.objects.using(ALIAS).count()
    assert [beat.stop() for beat in beats] == [0, 0]


def test_idle_tick_does_not_grow_with_the_schedules(project, is_full):
    """With a hundred thousand enabled schedules a look takes milliseconds."""
    count = 100_000 if is_full else 10_000
    later = scheduled.now() + timedelta(hours=1)
    make_rows(count, later, next_run_at=later)
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("VACUUM ANALYZE django_tasks_schedule")
        cursor.execute(
            "EXPLAIN SELECT next_run_at FROM django_tasks_schedule"
            " WHERE next_run_at IS NOT NULL ORDER BY next_run_at LIMIT 1"
        )
        assert "Index" in str(cursor.fetchall())

    times = []
    for _ in range(200):
        started_at = time.perf_counter()
        assert tick(ALIAS) > 3000
        times.append(time.perf_counter() - started_at)

    median = sorted(times)[100]
    print(f"idle tick over {count} schedules: median {median * 1000:.2f} ms")
    assert median < 0.005


def make_rows(count, anchor, **columns):
    rows = (
        Schedule(
            name=f"s{n}", task_path="tests.reliability.tasks.work", args='["x"]', kind="INTERVAL",
            every=3600.0, anchor_at=anchor, **columns,
        )
        for n in range(count)
    )  # fmt: skip
    scheduled.rows().bulk_create(rows, batch_size=1000)


# --- stopping -----------------------------------------------------------------------------------


def test_stops_lose_no_slot(project, is_full):
    """Beats stopped gently again and again under load: exit code 0, and each slot once."""
    began = scheduled.save_many(50, 20 if is_full else 8)
    stays = project.beat()

    for _ in range(5 if is_full else 2):
        beat = project.beat()
        count = scheduled.runs().count()
        wait_until(lambda: scheduled.runs().count() > count + 20, "slots")  # noqa: B023
        os.kill(beat.pid, signal.SIGTERM)
        assert beat.wait(10) == 0
    scheduled.wait_until_over(30)

    scheduled.assert_each_slot_once(began)
    assert stays.stop() == 0

"""Beats that are killed at random, on the database of this run: each slot once."""

import json
import os
import random
import signal
import time

from django.db import connection

from tests.reliability import scheduled
from tests.reliability.harness import wait_until
from tests.reliability.test_kills import SEED

#: Seconds in all, and seconds between two kills.
SMOKE, FULL = (15.0, 3.0), (180.0, 5.0)
BEATS, SCHEDULES = 3, 200


def kill_now_and_then(project, beats, seconds, interval):
    """kill -9 a random beat every `interval` seconds, at any moment of it; return how many."""
    choice = random.Random(SEED)
    end, kills = time.monotonic() + seconds, 0
    while time.monotonic() + interval < end:
        time.sleep(interval * choice.uniform(0.7, 1.3))
        index = choice.randrange(len(beats))
        os.kill(beats[index].pid, signal.SIGKILL)
        beats[index].process.wait()
        beats[index] = project.beat(ready=False)
        kills += 1
    return kills


def test_killed_beats_lose_and_double_no_slot(project, is_full):
    """Three beats, 200 schedules of 1 to 5 s, one beat killed every few seconds."""
    seconds, interval = FULL if is_full else SMOKE
    beats = [project.beat() for _ in range(BEATS)]
    began = scheduled.save_many(SCHEDULES, seconds)

    kills = kill_now_and_then(project, beats, seconds, interval)
    scheduled.wait_until_over(30)

    slots = scheduled.assert_each_slot_once(began)
    late = scheduled.lateness()
    figures = {"database": connection.vendor, "kills": kills, "slots": slots, "lateness": late}
    print(json.dumps(figures))
    assert kills >= (30 if is_full else 3)
    assert late["p95"] < 1.0, figures
    for beat in beats:
        wait_until(lambda: beat.row or not beat.is_alive, "it registers")  # noqa: B023
        assert beat.stop() == 0
        assert "ERROR" not in beat.log and "WARNING" not in beat.log


def test_control_without_kills(project):
    """Three beats and nothing else: each slot once, and the work is shared without waiting."""
    beats = [project.beat() for _ in range(BEATS)]
    began = scheduled.save_many(50, 8, first_in=3)

    scheduled.wait_until_over(30)

    scheduled.assert_each_slot_once(began)
    assert scheduled.lateness()["p95"] < 1.0
    assert [beat.stop() for beat in beats] == [0] * BEATS


def test_one_beat_takes_over_from_a_frozen_one(project):
    """SIGSTOP for longer than the lease: the other enqueues; the frozen one doubles nothing."""
    frozen, other = project.beat(), project.beat()
    began = scheduled.save_many(20, 9)
    os.kill(frozen.pid, signal.SIGSTOP)

    wait_until(lambda: frozen.row is None or scheduled.runs().count() > 60, "the other goes on")
    os.kill(frozen.pid, signal.SIGCONT)
    scheduled.wait_until_over(30)

    scheduled.assert_each_slot_once(began)
    assert [frozen.stop(), other.stop()] == [0, 0]

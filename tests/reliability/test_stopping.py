"""SIGTERM, SIGINT and SIGQUIT, once, twice, and at the wrong moment."""

import os
import random
import signal
import time

import pytest

from django_tasks.models import WorkerRecord
from tests.reliability import audit, tasks
from tests.reliability.harness import (
    ALIAS,
    LEASE,
    children_of,
    ignored_by,
    processes_of,
    wait_until,
)


def started(project, count=1):
    wait_until(lambda: project.ledger.count("start") >= count, f"{count} bodies run")


def assert_given_back(project, task_id):
    """The task waits for its next run as if it had not been tried, and the trail says why."""
    row = project.records.get(pk=task_id)
    assert (row.status, row.attempts, row.lost) == ("READY", 0, 0)
    assert project.outcomes(task_id) == ["INTERRUPTED"]


def assert_gone(project, worker):
    """Nothing is left: no process, no row that says somebody is there."""
    wait_until(lambda: not processes_of(project), "all processes end")
    assert not WorkerRecord.objects.using(ALIAS).filter(pid=worker.pid).exists()


def test_idle_worker_stops_at_once(project):
    """An idle worker is gone without a grace period, exit code 0."""
    worker = project.worker("--concurrency", 2, "--grace", 600)

    assert worker.stop() == 0

    assert_gone(project, worker)


def test_running_tasks_finish_and_no_other_starts(project):
    """SIGTERM: what runs ends within the grace, what waits is left to others, exit code 0."""
    worker = project.worker("--concurrency", 2, "--grace", 20)
    acknowledged = project.enqueue(tasks.work, range(10), 1.0)
    started(project, 2)

    assert worker.stop() == 0

    starts, ends = project.ledger.times("start"), project.ledger.times("end")
    assert starts.keys() == ends.keys()
    assert len(starts) == 2
    assert project.records.filter(status="READY", attempts=0).count() == 8
    assert not project.attempts.exists()
    assert not audit.check(project, {key: acknowledged[key] for key in starts}).mistakes
    assert_gone(project, worker)


@pytest.mark.parametrize("body", [tasks.beat_until, tasks.swallow_all])
def test_tasks_longer_than_the_grace_are_given_back(project, body):
    """At the end of the grace bodies are interrupted, deaf ones killed; exit code 3."""
    worker = project.worker("--concurrency", 1, "--grace", 0.5)
    [task_id] = project.enqueue(body, ["long"], 600.0).values()
    started(project)

    assert worker.stop() == 3

    assert_given_back(project, task_id)
    assert_gone(project, worker)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_second_signal_means_now(project, second):
    """The grace is not waited for when asked twice."""
    worker = project.worker("--concurrency", 1, "--grace", 600)
    [task_id] = project.enqueue(tasks.beat_until, ["long"], 600.0).values()
    started(project)
    worker.send(signal.SIGTERM)
    wait_until(lambda: "Stopping" in worker.log, "the first is heard")
    time.sleep(0.3)  # two within a moment count as one: a wrapper may forward the terminal's

    assert worker.stop(second) == 3

    assert_given_back(project, task_id)
    assert_gone(project, worker)


def test_control_c_in_the_terminal_is_the_parents(project):
    """SIGINT for the whole foreground group: children leave it to their parent."""
    worker = project.worker("--concurrency", 2)
    acknowledged = project.enqueue(tasks.work, ["a", "b"], 1.0)
    started(project, 2)

    assert [os.getpgid(pid) == worker.pid for pid in worker.children] == [False] * 3
    os.killpg(worker.pid, signal.SIGINT)

    assert worker.wait() == 0
    report = audit.check(project, acknowledged)
    assert not report.mistakes and not report.outcomes, report.figures()


def test_sigterm_to_every_process_at_once(project):
    """A service manager that signals all processes: tasks finish, exit code 0."""
    worker = project.worker("--concurrency", 2)
    acknowledged = project.enqueue(tasks.work, ["a", "b"], 1.0)
    started(project, 2)

    worker.send_all(signal.SIGTERM)

    assert worker.wait() == 0
    report = audit.check(project, acknowledged)
    assert not report.mistakes and not report.outcomes, report.figures()


def test_body_that_swallows_the_signal_does_not_keep_the_process(project):
    """A body ignores SIGTERM while it comes: its process claims nothing after it all the same."""
    worker = project.worker("--concurrency", 1, "--grace", 30)
    project.enqueue(tasks.swallow_term, ["deaf"], 1.5)
    started(project)
    worker.send(signal.SIGTERM)
    wait_until(lambda: "Stopping" in worker.log, "the signal came")
    project.enqueue(tasks.work, range(100), 0.1)

    assert worker.wait() == 0

    assert project.ledger.count("end", "deaf") == 1
    assert project.ledger.count("start") == 1


def test_sigterm_while_starting(project):
    """Wherever in its start the signal finds it, nothing is left over."""
    for delay in (0.05, 0.2, 0.35, 0.5, 0.65, 0.8):
        worker = project.worker("--concurrency", 2, ready=False)
        # There is nothing to wait on: any moment is the wrong one.
        time.sleep(delay)
        assert worker.stop() in (0, -signal.SIGTERM)
        assert_gone(project, worker)


def test_kill_of_the_parent_leaves_no_process(project):
    """kill -9 of the supervisor: its children are gone, even deaf ones."""
    worker = project.worker("--concurrency", 3)
    project.enqueue(tasks.swallow_all, ["a", "b"], 600.0)
    started(project, 2)
    assert len(worker.children) == 4

    worker.send(signal.SIGKILL)
    worker.wait()

    wait_until(lambda: not processes_of(project), "all processes end")


def test_tasks_of_a_killed_group_run_again_in_time(project):
    """A whole worker dies: another runs its tasks after lease + sweep interval at the latest."""
    worker = project.worker("--concurrency", 2)
    acknowledged = project.enqueue(tasks.outlive, ["a", "b"], 60.0)
    started(project, 2)
    other = project.worker("--concurrency", 2)

    worker.send_all(signal.SIGKILL)
    died_at = time.monotonic()
    started(project, 4)

    assert project.ledger.events("start")[-1].at - died_at < LEASE + 0.5 + 1
    project.drain()
    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.outcomes == {"LOST": 2}
    assert other.stop() == 0


def test_on_lost_fail_is_not_run_twice(project):
    """on_lost="fail": the task FAILS at the first loss."""
    worker = project.worker("--concurrency", 1)
    [task_id] = project.enqueue(tasks.not_twice, ["once"], 60.0).values()
    started(project)

    [pid] = worker.task_pids
    os.kill(pid, signal.SIGKILL)
    project.drain()

    assert project.status(task_id) == "FAILED"
    assert project.outcomes(task_id) == ["LOST"]
    assert project.attempts.get().signal == signal.SIGKILL
    assert project.ledger.count("start") == 1


def test_killed_keepers_cost_nothing(project, is_full):
    """kill -9 of the keeper again and again: another one comes, no task is lost or run twice."""
    worker = project.worker("--concurrency", 2)
    rounds = 20 if is_full else 3
    acknowledged = project.enqueue(tasks.work, range(70 * rounds), 0.05)

    for _ in range(rounds):
        pid = wait_until(lambda: worker.keeper_pid, "there is a keeper")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: worker.keeper_pid not in (None, pid), "another one")  # noqa: B023
        before = project.ledger.count("end")
        wait_until(lambda: project.ledger.count("end") > before + 10, "work goes on")  # noqa: B023
    project.drain(60)

    report = audit.check(project, acknowledged)
    assert not report.mistakes and not report.outcomes, report.figures()
    assert worker.stop() == 0


def test_report_of_a_death_survives_the_keeper(project):
    """A child and the keeper die together: the sweep finds what nobody reported."""
    worker = project.worker("--concurrency", 1)
    [task_id] = project.enqueue(tasks.outlive, ["a"], 60.0).values()
    started(project)

    os.kill(worker.keeper_pid, signal.SIGKILL)
    os.kill(worker.task_pids[0], signal.SIGKILL)
    project.drain()

    assert project.outcomes(task_id) == ["LOST"]
    assert project.ledger.count("start") == 2


def test_restarts_under_load_lose_nothing(project, is_full):
    """Graceful restarts all the time: nothing is lost, no attempt is charged, all exit with 0."""
    rounds = 100 if is_full else 5
    acknowledged = project.enqueue(tasks.retried, range(rounds * 40), 0.02)
    rng, codes = random.Random(1), []
    workers = [project.worker("--concurrency", 2) for _ in range(2)]

    for number in range(rounds):
        workers[number % 2].send(signal.SIGTERM)
        codes.append(workers[number % 2].wait())
        workers[number % 2] = project.worker("--concurrency", 2)
        time.sleep(rng.random() / 4)  # part of the seeded plan
    project.drain(60)

    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert not report.outcomes and report.duplicates == 0, report.figures()
    assert set(project.records.values_list("attempts", "lost")) == {(1, 0)}
    assert codes == [0] * rounds


def test_children_keep_to_themselves(project):
    """The keeper ignores SIGTERM, and no child shares its parent's process group."""
    worker = project.worker("--concurrency", 2)

    assert signal.SIGTERM in ignored_by(worker.keeper_pid)
    assert worker.pid not in {os.getpgid(pid) for pid in children_of(worker.pid)}

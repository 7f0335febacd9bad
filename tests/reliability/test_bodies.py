"""Bodies that die, do not stop, or leave a mess: the worker and its other tasks live with them."""

import signal

import pytest
from django.db import connections

from tests.reliability import audit, tasks
from tests.reliability.harness import ALIAS, processes_of, state_of, wait_until

DEATHS = {
    "segfault": (signal.SIGSEGV, None),
    "abort": (signal.SIGABRT, None),
    "exit 0": (None, 0),
    "exit 3": (None, 3),
    "kill": (signal.SIGKILL, None),
}


def notes():
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT name FROM reliability_note ORDER BY name")
        return [name for (name,) in cursor.fetchall()]


def one_process(project, *options):
    """Start a worker with one process; return it and the pid."""
    worker = project.worker("--concurrency", 1, *options)
    [pid] = wait_until(lambda: worker.task_pids, "its process is ready")
    return worker, pid


def test_poison_fails_after_three_losses(project):
    """Tasks that kill their process FAIL after exactly MAX_LOST = 3 losses; others go on."""
    worker = project.worker("--concurrency", 2)
    poison = {}
    for how in DEATHS:
        key = how.replace(" ", "-")
        poison[how] = project.enqueue_one(tasks.die, key, how)
    healthy = project.enqueue(tasks.work, range(200), 0.002)

    project.drain()

    for how, task_id in poison.items():
        row = project.records.get(pk=task_id)
        assert (row.status, row.lost) == ("FAILED", 3), how
        lost = project.attempts.filter(task_id=task_id)
        assert [(a.outcome, a.signal, a.exit_code) for a in lost] == [("LOST", *DEATHS[how])] * 3
        assert project.ledger.count("start", how.replace(" ", "-")) == 3
    report = audit.check(project, healthy)
    assert not report.mistakes, report.figures()
    assert report.statuses == {"SUCCESSFUL": 200}
    assert not project.records.filter(pk__in=healthy.values(), lost__gt=1).exists()
    assert worker.is_alive


def test_quick_killers_stop_no_slot(project):
    """Processes that die in their first task, again and again, are replaced without a pause."""
    project.worker("--concurrency", 2)
    killers = project.enqueue(tasks.die, [f"killer {n}" for n in range(20)], "kill")
    healthy = project.enqueue(tasks.work, range(300))

    project.drain()  # each pause would be twice as long as the one before

    statuses = project.records.filter(pk__in=killers.values()).values_list("status", "lost")
    assert set(statuses) == {("FAILED", 3)}
    assert audit.check(project, healthy).statuses == {"SUCCESSFUL": 300}


def test_exceptions_of_every_kind_are_errors(project):
    """Whatever a body raises, its process lives on and the attempt says ERROR."""
    worker, pid = one_process(project)
    ids = {
        "SystemExit": project.enqueue_one(tasks.leave, "a", "SystemExit"),
        "KeyboardInterrupt": project.enqueue_one(tasks.leave, "b", "KeyboardInterrupt"),
        "MemoryError": project.enqueue_one(tasks.eat_memory, "c"),
        "Hostile": project.enqueue_one(tasks.raise_hostile, "d", "str"),
        "RecursionError": project.enqueue_one(tasks.raise_hostile, "e", "recursion"),
    }
    for how in ("huge", "nul", "chain"):
        ids[how] = project.enqueue_one(tasks.raise_hostile, how, how)
    last = project.enqueue_one(tasks.work, "last")

    project.drain()

    for kind, task_id in ids.items():
        attempt = project.attempts.get(task_id=task_id)
        assert attempt.outcome == "ERROR"
        assert kind in attempt.exception_path or attempt.exception_path.endswith("ValueError")
        assert len(attempt.traceback) < 200_000
    assert project.status(last) == "SUCCESSFUL"
    assert worker.task_pids == [pid]


@pytest.mark.parametrize("body", [tasks.loop_for_ever, tasks.loop_deaf])
def test_time_limit_stops_any_body(project, body):
    """`except BaseException` in a loop, every signal blocked: killed at the limit, TIMEOUT."""
    worker = project.worker("--concurrency", 1)
    task_id = project.enqueue_one(body, "endless")
    after = project.enqueue_one(tasks.work, "after")

    project.drain()

    assert project.status(task_id) == "FAILED"
    assert project.outcomes(task_id) == ["TIMEOUT"]
    assert project.status(after) == "SUCCESSFUL"
    assert project.ledger.count("start") == 2
    assert worker.is_alive


@pytest.mark.parametrize("body", [tasks.fork_and_return, tasks.fork_and_raise])
@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_fork_that_comes_back_ends(project, body, pool):
    """A forked child that returns into the worker's code runs nothing, writes nothing, and ends."""
    worker = project.worker("--pool", pool, "--concurrency", 1)
    acknowledged = project.enqueue(tasks.work, range(50))
    wait_until(lambda: project.ledger.count("end") == 50, "the pace is known: claims are large")
    acknowledged |= project.enqueue(body, [f"fork-{number}" for number in range(3)])
    acknowledged |= project.enqueue(tasks.work, range(50, 100), 0.001)

    project.drain()

    wait_until(lambda: project.ledger.count("child") == 3, "the forks ran")
    wait_until(lambda: len(processes_of(project)) == 3, "the forks end")
    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.duplicates == 0
    assert not report.outcomes, report.figures()
    assert worker.stop() == 0


def test_signal_handlers_are_put_back(project):
    """Handlers replaced and signals blocked by a body do not disarm the limits of the next."""
    worker, pid = one_process(project, "--grace", 20)
    for number in range(50):
        project.enqueue_one(tasks.work, f"warm-{number}")
    wait_until(lambda: not project.unfinished, "the pace is known: claims are large")
    project.enqueue_one(tasks.mess_with_signals, "mess")
    limited = project.enqueue_one(tasks.softly_limited, "limited", 4.0)
    project.enqueue_one(tasks.block_signals, "block")
    limited_too = project.enqueue_one(tasks.softly_limited, "limited-too", 4.0)

    project.drain()

    assert project.outcomes(limited) == ["TIMEOUT"]
    assert project.outcomes(limited_too) == ["TIMEOUT"]
    assert worker.task_pids == [pid]
    assert worker.stop() == 0


def test_alarm_of_a_body_does_not_hit_the_next(project):
    """An alarm that a body set and left goes off in nobody else."""
    worker, pid = one_process(project)
    project.enqueue_one(tasks.leave_alarm, "alarm", 0.3)
    task_id = project.enqueue_one(tasks.work, "next", 0.8)

    project.drain()

    assert project.status(task_id) == "SUCCESSFUL"
    assert not project.attempts.exists()
    assert worker.task_pids == [pid]


@pytest.mark.parametrize("how", ["autocommit", "atomic", "begin", "aborted"])
def test_transaction_left_open_is_rolled_back(project, how):
    """What a body did not commit is not committed by the next one, and locks nothing."""
    worker, pid = one_process(project)
    project.enqueue_one(tasks.leave_transaction, "left", how)
    task_id = project.enqueue_one(tasks.write_note, "kept")

    project.drain()

    assert project.status(task_id) == "SUCCESSFUL"
    assert notes() == ["kept"]
    assert worker.task_pids == [pid]


@pytest.mark.parametrize("body", [tasks.close_connections, tasks.break_connection])
def test_lost_connection_of_a_body_is_replaced(project, body):
    """A body that closes or breaks its connection leaves the next one a working connection."""
    worker = project.worker("--concurrency", 1)
    for number in range(3):
        project.enqueue_one(body, f"breaker-{number}")
        project.enqueue_one(tasks.write_note, f"note-{number}")

    project.drain()

    assert not project.records.exclude(status="SUCCESSFUL").exists(), project.attempts.values()
    assert notes() == ["note-0", "note-1", "note-2"]
    assert worker.is_alive


@pytest.mark.parametrize("first", [3, 0])
def test_closed_descriptors_cost_a_process_at_most(project, first):
    """A body closes the descriptors under its worker: nothing is lost, a new process goes on."""
    worker = project.worker("--concurrency", 1)
    acknowledged = project.enqueue(tasks.work, range(20), 0.002)
    acknowledged |= project.enqueue(tasks.close_once, ["closer"], first)
    acknowledged |= project.enqueue(tasks.work, range(20, 60), 0.002)

    project.drain()

    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.statuses == {"SUCCESSFUL": 61}
    assert worker.is_alive


def test_changes_to_the_process_do_not_stop_it(project):
    """Other folder, umask, environment, time zone, threads, closed streams, bytes in the log."""
    worker, pid = one_process(project)
    for body in (tasks.wander, tasks.leave_thread, tasks.spill, tasks.close_standard_streams):
        project.enqueue_one(body, body.name)
        project.enqueue_one(tasks.write_note, f"after-{body.name}")
    project.enqueue_one(tasks.raise_hostile, "with a traceback", "str")
    last = project.enqueue_one(tasks.work, "last")

    project.drain()

    assert project.status(last) == "SUCCESSFUL"
    assert [attempt.task.task_path for attempt in project.attempts] == [
        tasks.raise_hostile.module_path
    ], project.attempts.values("outcome", "traceback", "exit_code", "signal")
    assert len(notes()) == 4
    assert state_of(pid) is not None
    assert worker.stop() == 0


def test_time_limit_takes_what_the_body_started_along(project):
    """The processes that a body started are killed with it: they are of its process group."""
    worker = project.worker("--concurrency", 1)
    task_id = project.enqueue_one(tasks.start_process, "parent")

    project.drain()

    assert project.outcomes(task_id) == ["TIMEOUT"]
    [event] = project.ledger.events("child")
    wait_until(lambda: state_of(int(event.note)) in (None, "Z"), "it is killed, too")
    assert worker.is_alive

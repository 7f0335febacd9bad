"""Workers that stand still, or hold their interpreter, for longer than their lease."""

import os
import signal

from tests.reliability import audit, tasks
from tests.reliability.faults import freeze, thaw
from tests.reliability.harness import LEASE, children_of, state_of, wait_until

#: Ways to end, and the attempts that must be left. A snooze has none to be refused.
REFUSED = {
    "return": ["LOST", "LATE"],
    "fail": ["LOST", "LATE"],
    "retry": ["LOST", "LATE"],
    "snooze": ["LOST"],
    "cancel": ["LOST", "LATE"],
}
ENDINGS = list(REFUSED)


def take_over(project, task, names, *args):
    """Freeze a worker in the middle of its tasks and let another take them over.

    Return the frozen worker, the pids of its bodies, the other worker and {key: id}.
    """
    zombie = project.worker("--concurrency", len(names))
    acknowledged = project.enqueue(task, names, *args)
    wait_until(lambda: project.ledger.count("start") == len(names), "the bodies run")
    bodies = [event.pid for event in project.ledger.events("start")]
    pids = [zombie.pid, *zombie.children]
    freeze(pids)
    heir = project.worker("--concurrency", len(names))
    wait_until(lambda: project.ledger.count("start") == 2 * len(names), "another takes over")
    return zombie, bodies, heir, acknowledged


def test_outcome_of_a_zombie_is_refused(project):
    """SIGSTOP past the lease, another finishes, SIGCONT: whatever the zombie says is LATE."""
    path = project.directory / "go"
    zombie, bodies, heir, acknowledged = take_over(project, tasks.outlast, ENDINGS, str(path))

    path.write_text(" ".join(map(str, bodies)))
    project.drain()
    winners = dict(project.records.values_list("pk", "worker_id"))
    thaw(bodies)  # not their supervisor, which would kill them first
    wait_until(lambda: project.outcomes_of(acknowledged) == REFUSED, "they are refused")
    thaw([zombie.pid, *children_of(zombie.pid)])

    for name, task_id in acknowledged.items():
        row = project.records.get(pk=task_id)
        assert (row.status, row.return_value, row.claims) == ("SUCCESSFUL", '"heir"', 2), name
        assert row.worker_id == heir.row.id == winners[task_id], name
    report = audit.check(project, acknowledged)
    report.overlapping.clear()  # the zombie's end comes after the heir's start: it was frozen
    assert not report.mistakes, report.figures()
    heir.stop()
    [after] = project.enqueue(tasks.work, ["after"]).values()
    wait_until(lambda: project.status(after) == "SUCCESSFUL", "the zombie is a worker again")
    assert zombie.stop() == 0


def test_late_outcome_of_a_task_that_still_runs_is_refused(project):
    """The zombie finishes while its heir still runs: the heir's claim holds."""
    path = project.directory / "go"
    _, bodies, heir, acknowledged = take_over(project, tasks.outlast, ENDINGS, str(path))

    zombies_path = project.directory / "go.zombies"
    zombies_path.write_text(" ".join(map(str, bodies)))
    thaw(bodies)
    wait_until(lambda: project.outcomes_of(acknowledged) == REFUSED, "they are refused")
    assert set(project.records.values_list("status", "worker_id")) == {("RUNNING", heir.row.id)}
    path.write_text("")
    project.drain()

    assert {project.status(task_id) for task_id in acknowledged.values()} == {"SUCCESSFUL"}
    assert set(project.records.values_list("return_value", flat=True)) == {'"heir"'}
    assert project.ledger.count("start") == 2 * len(ENDINGS)


def test_zombie_stops_its_bodies_when_it_wakes(project):
    """SIGCONT of all: bodies whose lease is over are killed within a second, by their own."""
    path = project.directory / "go"
    zombie, bodies, _, acknowledged = take_over(project, tasks.wait_for, ["a", "b"], str(path))

    zombie.send_all(signal.SIGCONT)
    wait_until(lambda: all(state_of(pid) in (None, "Z") for pid in bodies), "they die", timeout=1.5)
    path.touch()
    project.drain()

    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.starts == 4
    assert not report.outcomes["LATE"], report.figures()
    assert zombie.is_alive


def test_body_that_holds_the_interpreter_is_not_dead(project):
    """No other thread of its process runs for longer than the lease: the lease is renewed."""
    worker = project.worker("--concurrency", 1)
    project.worker("--concurrency", 1)
    acknowledged = project.enqueue(tasks.hold_interpreter, ["a", "b"], LEASE + 2)

    wait_until(lambda: project.ledger.count("start") == 2, "both run")
    project.drain()

    assert not project.attempts.exists()
    report = audit.check(project, acknowledged)
    assert not report.mistakes and report.starts == 2, report.figures()
    assert worker.is_alive


def test_frozen_process_of_a_living_worker_is_not_run_twice(project):
    """Only the process stands still, its keeper renews: nobody takes its task over."""
    worker = project.worker("--concurrency", 1)
    [task_id] = project.enqueue(tasks.work, ["a"], 1.0).values()
    wait_until(lambda: project.ledger.count("start"), "it runs")
    [pid] = worker.task_pids
    other = project.worker("--concurrency", 1)

    freeze([pid])
    [probe] = project.enqueue(tasks.work.using(queue_name="probe"), ["probe"], LEASE + 2).values()
    wait_until(lambda: project.status(probe) == "SUCCESSFUL", "time passes")
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: project.status(task_id) == "SUCCESSFUL", "it ends")

    assert not project.attempts.exists()
    assert project.ledger.count("start", "a") == 1
    assert other.is_alive


def test_frozen_keeper_is_not_waited_for(project):
    """The keeper stands still: the bodies stop before the lease ends, and another keeper comes."""
    worker = project.worker("--concurrency", 1)
    [task_id] = project.enqueue(tasks.beat_until, ["a"], 8.0).values()
    wait_until(lambda: project.ledger.count("beat"), "it runs")

    freeze([worker.keeper_pid])
    wait_until(lambda: project.ledger.count("start") == 2, "it runs again", timeout=20)

    assert project.outcomes(task_id)[0] in ("INTERRUPTED", "LOST")
    assert worker.is_alive

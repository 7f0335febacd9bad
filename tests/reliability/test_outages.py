"""The database goes away: restarts in immediate mode, cut lines, lost answers, darkness."""

import threading
import time

import psycopg
import pytest
from django.db import OperationalError, connections, transaction

from django_tasks.ids import uuid7
from tests.reliability import audit, tasks
from tests.reliability.faults import Repeating
from tests.reliability.harness import ALIAS, LEASE, SWEEP_INTERVAL, cpu_seconds, wait_until
from tests.reliability.proxy import Proxy


@pytest.fixture
def proxy(project):
    with Proxy(project.url) as proxy:
        yield proxy


def restart(server):
    """Crash the server, and drop this process's own dead connection."""
    connections[ALIAS].close()
    server.restart("immediate")


def terminate_backends(project):
    """End every connection to the project's database but the one that does it."""
    with psycopg.connect(project.url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def assert_nothing_was_charged(project, report, workers, pids):
    """No process of a worker ended, no attempt was lost or charged."""
    assert not report.mistakes, report.figures()
    assert report.starts == report.tasks, report.figures()
    assert not report.outcomes, report.figures()
    assert set(project.records.values_list("attempts", "lost")) == {(1, 0)}
    assert [worker.is_alive for worker in workers] == [True] * len(workers)
    assert [sorted(worker.children) for worker in workers] == pids


def test_crashes_of_the_server_cost_nothing(project, server, is_full):
    """PostgreSQL restarted in immediate mode: no process ends, no task is lost or charged."""
    workers = [project.worker("--concurrency", 3) for _ in range(2)]
    wait_until(lambda: all(len(worker.children) == 4 for worker in workers), "all processes")
    pids = [sorted(worker.children) for worker in workers]
    acknowledged = {}

    for crash in range(20 if is_full else 4):
        acknowledged |= project.enqueue(tasks.retried, range(crash * 40, crash * 40 + 40), 0.1)
        before = project.ledger.count("end")
        wait_until(lambda: project.ledger.count("end") > before + 5, "tasks run")  # noqa: B023
        restart(server)
    project.drain(60)

    report = audit.check(project, acknowledged)
    assert_nothing_was_charged(project, report, workers, pids)


def test_terminated_backends_cost_nothing(project, is_full):
    """Every backend terminated each second: each process reconnects by itself."""
    workers = [project.worker("--concurrency", 3) for _ in range(2)]
    wait_until(lambda: all(len(worker.children) == 4 for worker in workers), "all processes")
    pids = [sorted(worker.children) for worker in workers]
    rounds = 60 if is_full else 6
    acknowledged = project.enqueue(tasks.retried, range(rounds * 50), 0.1)
    connections[ALIAS].close()

    with Repeating(lambda: terminate_backends(project), 1.0) as repeating:
        wait_until(lambda: repeating.rounds >= rounds, "so many rounds", timeout=rounds * 3 + 10)
    project.drain(90)

    report = audit.check(project, acknowledged)
    assert_nothing_was_charged(project, report, workers, pids)


def notes(project):
    """Return {key: how often it was noted}."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT name, count(*) FROM reliability_note GROUP BY name")
        return dict(cursor.fetchall())


def assert_outages_were_free(project, acknowledged):
    """Each took effect once, and no fault of the database spent an attempt."""
    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert dict(report.statuses) == {"SUCCESSFUL": len(acknowledged)}, report.figures()
    assert set(report.outcomes) == {"INTERRUPTED"}, report.figures()
    assert notes(project) == dict.fromkeys(acknowledged, 2)
    assert set(project.records.values_list("attempts", "lost")) == {(1, 0)}
    paths = project.attempts.values_list("exception_path", flat=True)
    assert set(paths) == {"django_tasks.exceptions.TransactionLost"}


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_terminated_backends_fail_no_atomic_task(project, is_full, pool):
    """Whichever statement they meet: the body's, those of the worker around it, the commit."""
    options = ("--pool", pool, "--concurrency", 3)
    for _ in range(2):
        project.worker(*options)
    rounds = 20 if is_full else 4
    acknowledged = project.enqueue(tasks.transfer, range(rounds * 25), 0.05)
    connections[ALIAS].close()

    with Repeating(lambda: terminate_backends(project), 0.4) as repeating:
        wait_until(lambda: repeating.rounds >= rounds, "so many rounds", timeout=rounds * 3 + 10)
    project.drain(90)

    assert_outages_were_free(project, acknowledged)


def test_crashes_of_the_server_fail_no_atomic_task(project, server, is_full):
    """PostgreSQL restarted in immediate mode under bodies that are transactions."""
    for _ in range(2):
        project.worker("--concurrency", 3)
    acknowledged = {}

    for crash in range(10 if is_full else 3):
        acknowledged |= project.enqueue(tasks.transfer, range(crash * 40, crash * 40 + 40), 0.05)
        before = project.ledger.count("end")
        wait_until(lambda: project.ledger.count("end") > before + 5, "tasks run")  # noqa: B023
        restart(server)
    project.drain(90)

    assert_outages_were_free(project, acknowledged)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_lost_answer_to_the_commit_of_a_body_is_no_failure(project, proxy, pool):
    """The body's commit took effect, its answer was lost: a success, and nothing else."""
    worker = project.worker("--pool", pool, "--concurrency", 1, url=proxy.url(project.url))

    for number in range(5):
        proxy.swallow(b"INSERT INTO reliability_note")
        acknowledged = project.enqueue(tasks.transfer, [f"{number}-{i}" for i in range(5)], 0.0)
        wait_until(lambda: proxy.swallowed > number, "an answer is swallowed")  # noqa: B023
        project.drain()

        assert not (report := audit.check(project, acknowledged)).mistakes, report.figures()
        assert report.duplicates == 0
    assert not project.attempts.exists()
    assert set(notes(project).values()) == {2}
    assert worker.log.count(" succeeded in ") == 25


def test_long_outage_stops_bodies_and_costs_no_attempt(project, server):
    """The database away for longer than the lease: bodies stop in time, nothing is lost or spun."""
    worker = project.worker("--concurrency", 2)
    [long] = project.enqueue(tasks.beat_until, ["long"], 30.0).values()
    wait_until(lambda: project.ledger.count("beat"), "the body runs")
    connections[ALIAS].close()

    server.stop("immediate")
    went_at = time.monotonic()
    wait_until(lambda: time.monotonic() > went_at + LEASE + 1, "longer than a lease")
    used = sum(map(cpu_seconds, [worker.pid, *worker.children]))
    wait_until(lambda: time.monotonic() > went_at + LEASE + 3, "two seconds more")
    used = sum(map(cpu_seconds, [worker.pid, *worker.children])) - used
    server.start()

    assert project.ledger.events("beat")[-1].at < went_at + LEASE
    wait_until(lambda: project.ledger.count("start") == 2, "it runs again")
    assert worker.is_alive
    assert project.outcomes(long) == ["INTERRUPTED"]
    assert project.records.get(pk=long).attempts == 1
    assert used < 0.8, f"{used:.2f} s of processor time in 2 s of waiting"


def test_body_that_ended_in_an_outage_is_not_run_again(project, server):
    """What ends in time while the database is away is written later: past lease and limit."""
    worker = project.worker("--concurrency", 2)
    path = project.directory / "may-end"
    acknowledged = project.enqueue(tasks.wait_for_in_time, ["a", "b"], str(path))
    wait_until(lambda: project.ledger.count("start") == 2, "the bodies run")
    connections[ALIAS].close()

    server.stop("immediate")
    path.touch()
    wait_until(lambda: project.ledger.count("end") == 2, "the bodies end")
    ended_at = time.monotonic()
    wait_until(lambda: time.monotonic() > ended_at + LEASE + 1, "longer than a lease")
    server.start()
    project.drain()

    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.starts == 2 and not report.outcomes, report.figures()
    assert worker.stop() == 0


def test_cut_off_worker_stops_before_its_lease_ends(project, proxy):
    """A worker alone in the dark stops its bodies before others may take them over."""
    alone = project.worker("--concurrency", 1, url=proxy.url(project.url))
    [task_id] = project.enqueue(tasks.beat_until, ["alone"], 12.0).values()
    wait_until(lambda: project.ledger.count("beat"), "the body runs")
    other = project.worker("--concurrency", 1)

    proxy.go_dark()
    wait_until(lambda: project.ledger.count("start") == 2, "another worker takes over")
    first, second = [event.pid for event in project.ledger.events("start")]
    last_beat = max(event.at for event in project.ledger.events("beat") if event.pid == first)
    proxy.light_up()

    assert last_beat < project.ledger.events("start")[1].at
    assert project.outcomes(task_id) == ["LOST"]
    assert {first, second} & set(other.children) == {second}
    [after] = project.enqueue(tasks.work.using(queue_name="after"), ["after"]).values()
    other.stop()
    wait_until(lambda: project.status(after) == "SUCCESSFUL", "the lone worker works again")
    assert alone.is_alive


def test_dark_lines_are_given_up(project, proxy):
    """Lines that stay dark, without an end or a reset, are given up; the worker comes back."""
    worker = project.worker("--concurrency", 1, url=proxy.url(project.url))

    proxy.go_dark()
    proxy.light_up_for_new_lines()
    [task_id] = project.enqueue(tasks.work, ["after"]).values()

    wait_until(lambda: project.status(task_id) == "SUCCESSFUL", "it runs", timeout=15 + LEASE)
    assert worker.is_alive


def test_lost_answer_to_a_claim_is_found_again(project, proxy):
    """The claim committed, its answer was lost: the process finds its task and runs it once."""
    worker = project.worker("--concurrency", 1, url=proxy.url(project.url))

    for number in range(5):
        proxy.swallow(b"SET status = 'RUNNING'")
        acknowledged = project.enqueue(tasks.work, [f"{number}-{i}" for i in range(20)])
        wait_until(lambda: proxy.swallowed > number, "an answer is swallowed")  # noqa: B023
        project.drain()

        assert not (report := audit.check(project, acknowledged)).mistakes, report.figures()
        assert report.duplicates == 0
    assert not project.attempts.exists()
    assert worker.is_alive


def test_lost_answer_to_a_success_is_no_late_result(project, proxy):
    """The success committed, its answer was lost: it is neither taken for late nor run again."""
    worker = project.worker("--concurrency", 1, url=proxy.url(project.url))

    for number in range(5):
        acknowledged = project.enqueue(tasks.work, [f"{number}-{i}" for i in range(20)], 0.01)
        proxy.swallow(b"SET status = 'SUCCESSFUL'")
        wait_until(lambda: proxy.swallowed > number, "an answer is swallowed")  # noqa: B023
        project.drain()

        assert not (report := audit.check(project, acknowledged)).mistakes, report.figures()
        assert report.duplicates == 0
    assert not project.attempts.exists()
    assert worker.is_alive


def test_lost_answer_to_a_failure_is_recorded_once(project, proxy):
    """The failure committed, its answer was lost: one attempt is in the table, not two."""
    project.worker("--concurrency", 1, url=proxy.url(project.url))
    proxy.swallow(b"django_tasks_taskattempt", times=2)

    ids = [project.enqueue_one(tasks.leave, str(number), "SystemExit") for number in range(10)]
    project.drain()

    assert proxy.swallowed
    assert [project.outcomes(task_id) for task_id in ids] == [["ERROR"]] * 10
    assert {project.status(task_id) for task_id in ids} == {"FAILED"}
    assert project.ledger.count("start") == 10


def test_lost_answer_to_a_loss_is_recorded_once(project, proxy):
    """The report of a dead process committed, its answer was lost: one LOST attempt, not two."""
    project.worker("--concurrency", 1, url=proxy.url(project.url))
    proxy.swallow(b"django_tasks_taskattempt")

    task_id = project.enqueue_one(tasks.die_once, "once")
    project.drain()

    assert proxy.swallowed
    assert project.outcomes(task_id) == ["LOST"]
    assert project.records.get(pk=task_id).attempts == 1
    assert project.ledger.count("start") == 2


def test_lost_answer_to_an_enqueue_leaves_one_task(project, proxy):
    """The enqueue committed, its answer was lost: the caller gets its id, and there is one row."""
    with project.through(proxy):
        connections[ALIAS].ensure_connection()
        proxy.swallow(b"INSERT INTO")

        task_id = project.enqueue_one(tasks.work, "once")

    assert proxy.swallowed == 1
    assert [row.pk for row in project.records] == [task_id]


def test_lost_answer_to_the_callers_commit_is_the_callers(project, proxy):
    """In a transaction of the caller's the error is theirs; the task runs as the data says."""
    worker = project.worker("--concurrency", 1)
    with project.through(proxy):
        connections[ALIAS].ensure_connection()
        proxy.swallow(b"INSERT INTO")

        with pytest.raises(OperationalError), transaction.atomic(using=ALIAS):
            task_id = project.enqueue_one(tasks.work, "once")

    assert proxy.swallowed == 1
    wait_until(lambda: project.status(task_id) == "SUCCESSFUL", "the committed task runs")
    assert project.ledger.count("start") == 1
    assert worker.stop() == 0


@pytest.mark.parametrize(
    ("way", "where"),
    [("one", "in a transaction"), ("many", "in a transaction"), ("one", "on its own")],
)
def test_blind_retry_with_the_same_id_makes_one_task(project, proxy, way, where):
    """The commit's answer is lost, the caller enqueues again: one row, and it runs once."""
    worker = project.worker("--concurrency", 1)
    task_ids = [uuid7(), uuid7()]

    def enqueue():
        if way == "one":
            for task_id in task_ids:
                tasks.work.using(task_id=task_id).enqueue(str(task_id))
        else:
            tasks.work.enqueue_many([(str(i),) for i in task_ids], task_ids=task_ids)

    with project.through(proxy):
        connections[ALIAS].ensure_connection()
        # Once more than it is tried by itself.
        proxy.swallow(b"INSERT INTO", times=1 if where == "in a transaction" else 2)
        with pytest.raises(OperationalError):
            if where == "in a transaction":
                with transaction.atomic(using=ALIAS):
                    enqueue()
            else:
                enqueue()
        enqueue()

    assert proxy.swallowed == (1 if where == "in a transaction" else 2)
    project.drain()
    assert {row.pk for row in project.records} == set(task_ids)
    assert project.ledger.count("start") == 2
    assert worker.stop() == 0


def test_enqueue_while_the_server_restarts(project, server):
    """Callers see an error or get an id; each id that was given is a task that runs."""
    project.worker("--concurrency", 2)
    acknowledged, errors, is_over = {}, [], threading.Event()

    def enqueue():
        number = 0
        while not is_over.is_set():
            number += 1
            try:
                acknowledged[str(number)] = project.enqueue_one(tasks.work, str(number))
            except OperationalError as error:
                errors.append(error)
                connections[ALIAS].close()
        connections[ALIAS].close()

    thread = threading.Thread(target=enqueue)
    thread.start()
    for _ in range(2):
        before = project.ledger.count("end")
        wait_until(lambda: project.ledger.count("end") > before + 100, "tasks run")  # noqa: B023
        restart(server)
    is_over.set()
    thread.join()
    wait_until(lambda: not project.unfinished, "all done", timeout=LEASE + SWEEP_INTERVAL + 30)

    assert errors
    report = audit.check(project, acknowledged)
    assert not report.mistakes, report.figures()
    assert report.duplicates == 0

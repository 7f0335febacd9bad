"""Why a task does not run: each reason, in the order in which they stand in the way."""

import io
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from django_tasks.models import QueueState, TaskAttempt, TaskRecord, WorkerRecord
from django_tasks.monitoring import reading
from django_tasks.monitoring.diagnosis import count_ahead, diagnose
from django_tasks.statuses import AttemptOutcome, Status
from django_tasks.store.workers import leases as worker_rows
from tests import tasks
from tests.test_admin import CANARY, NOW, attempt, make, make_worker

pytestmark = pytest.mark.django_db


def codes(record):
    record.refresh_from_db()
    return [reason.code for reason in diagnose(record)]


def only(record):
    """Return the one reason."""
    record.refresh_from_db()
    [reason] = diagnose(record)
    return reason


def database_time():
    return reading.database_now("default")


def pause(queue_name="default", by="ada"):
    now = database_time()
    return QueueState.objects.create(
        backend="default",
        queue_name=queue_name,
        paused_at=now,
        paused_by=by,
        created_at=now,
        changed_at=now,
    )


def set_worker(worker, **columns):
    WorkerRecord.objects.filter(pk=worker.pk).update(**columns)


# --- waiting -------------------------------------------------------------------------------------


def test_a_ready_task_of_an_idle_worker_is_next():
    make_worker()

    reason = only(make())

    assert (reason.code, reason.is_problem, reason.command) == ("next", False, "")


def test_no_worker_comes_with_the_command():
    make_worker(queues="other,mails*")
    make_worker(backend="second")
    make_worker(pool=worker_rows.BEAT)

    reason = only(make(queue_name="mail"))

    assert (reason.code, reason.is_problem) == ("no_worker", True)
    assert reason.sentence == "No worker serves its queue “mail”."
    assert reason.command == "manage.py runworker --queues mail"


@pytest.mark.parametrize("queues", ["mail", "*", "a,mail", "ma*", "a*,*"])
def test_workers_are_matched_as_they_match_queues(queues):
    make_worker(queues=queues)

    assert only(make(queue_name="mail")).code == "next"


def test_the_command_is_quoted_and_names_the_backend():
    reason = diagnose(make(queue_name="a;b'c", backend="second"))[-1]

    assert reason.command == """manage.py runworker --queues 'a;b'"'"'c' --backend second"""


def test_a_worker_that_is_gone_or_stops_serves_nobody():
    late = make_worker(lease=-5.0)
    record = make()
    assert "host1:4711 did; it was last heard of on" in only(record).sentence

    set_worker(late, expires_at=database_time() + timedelta(minutes=1), is_stopping=True)
    assert "host1:4711 does, but is stopping." in only(record).sentence

    set_worker(late, is_stopping=False, stop_requested_at=database_time())
    assert only(record).code == "no_worker"


def test_tasks_ahead_are_those_that_workers_take_first():
    """Higher priority first, then the older; other queues, backends and statuses do not count."""
    make_worker()
    older, record = make(priority=5), make(priority=5)
    make(priority=6)
    make(priority=-1)
    make(priority=5)
    make(priority=9, queue_name="mail")
    make(priority=9, backend="second")
    make(Status.SCHEDULED, priority=9)

    assert only(record).sentence == "2 tasks of its queue are ahead of it."
    assert only(older).sentence == "1 task of its queue is ahead of it."


def test_the_count_of_tasks_ahead_is_capped(monkeypatch):
    monkeypatch.setattr(reading.capped_count, "__defaults__", (3,))
    for _ in range(5):
        make()

    assert str(count_ahead(make())) == "3+"


def test_busy_workers_are_counted_with_their_slots():
    one, other = make_worker(concurrency=1), make_worker(concurrency=2)
    record = make()
    for worker in (one, other):
        make(Status.RUNNING, worker_id=worker.pk)
    assert only(record).code == "next"

    make(Status.RUNNING, worker_id=other.pk)

    reason = only(record)
    assert (reason.code, reason.is_problem) == ("busy", False)
    assert reason.sentence == (
        "All 2 workers that serve its queue are busy: 3 of 3 slots are taken."
    )


def test_queues_that_all_workers_serve_first_are_named():
    make_worker(queues="first,a*,default")
    record = make()
    make(queue_name="later")
    assert codes(record) == ["next"]

    make(queue_name="first")
    make(queue_name="ab")
    assert only(record).sentence.endswith("these have ready tasks: ab, first.")

    make_worker(queues="default")
    assert codes(record) == ["next"]


def test_a_paused_queue_says_who_and_when():
    make_worker()
    record = make()
    pause("mail")
    assert codes(record) == ["next"]

    pause()

    reason = only(record)
    assert (reason.code, reason.is_problem) == ("paused", True)
    assert "Its queue “default” was paused by ada on " in reason.sentence
    assert reason.command == "manage.py tasks_control resume default"
    QueueState.objects.update(paused_at=None)
    assert codes(record) == ["next"]


def test_a_task_for_later_says_when():
    make_worker()

    reason = only(make(Status.SCHEDULED))

    assert (reason.code, reason.is_problem) == ("scheduled", False)
    assert "It is scheduled for " in reason.sentence and "(in 23 h 59 min)" in reason.sentence


def test_a_retry_says_which_attempt_of_how_many():
    make_worker()
    record = make(Status.SCHEDULED, attempts=1, claims=1)

    reason = only(record)

    assert reason.code == "retry"
    assert reason.sentence.startswith("Attempt 1 of 3 did not succeed; the next one is due on ")


def test_what_was_put_off_is_told_from_what_is_scheduled():
    make_worker()
    assert codes(make(Status.SCHEDULED, claims=2)) == ["put_off"]


def test_a_task_that_is_due_waits_for_a_look():
    make_worker()
    assert codes(make(Status.SCHEDULED, run_after=NOW - timedelta(seconds=9))) == ["due"]


def test_a_task_that_waits_for_others_says_so():
    make_worker()
    assert codes(make(Status.WAITING)) == ["waiting"]


def test_an_overdue_task_expires():
    assert codes(make(expires_at=NOW - timedelta(seconds=1))) == ["expired"]


def test_unknown_code_and_settings_are_told():
    make_worker()
    assert codes(make(task_path="gone.tasks.old")) == ["unknown_task", "next"]
    assert codes(make(backend="second")) == ["no_backend", "no_worker"]


def test_reasons_are_in_the_order_in_which_they_stand_in_the_way():
    pause()
    record = make(Status.SCHEDULED, task_path="gone.tasks.f", backend="default")

    assert codes(record) == ["scheduled", "unknown_task", "paused", "no_worker"]


# --- running -------------------------------------------------------------------------------------


def test_a_running_task_says_where():
    record = make(Status.RUNNING, worker_id=make_worker().pk)
    assert codes(record) == ["running"]

    TaskRecord.objects.update(cancel_requested=True)

    assert codes(record) == ["running", "stopping"]


def test_a_worker_that_misses_heartbeats_is_given_until_its_lease_ends():
    worker = make_worker(lease=60.0)
    set_worker(worker, heartbeat_at=database_time() - timedelta(seconds=40))

    reason = only(make(Status.RUNNING, worker_id=worker.pk))

    assert (reason.code, reason.is_problem) == ("worker_late", False)
    assert "another one takes the task over within about 1 min" in reason.sentence


def test_a_lost_worker_is_replaced_by_another_if_there_is_one():
    dead = make_worker(lease=-5.0)
    record, orphan = make(Status.RUNNING, worker_id=dead.pk), make(Status.RUNNING)
    for lost in (record, orphan):
        reason = only(lost)
        assert (reason.code, reason.is_problem) == ("worker_lost", True)
        assert "No worker is alive to take the task over." in reason.sentence
        assert reason.command == "manage.py runworker --queues default"

    make_worker(host="host2", queues="other")

    reason = only(record)
    assert (reason.code, reason.is_problem, reason.command) == ("worker_lost", False, "")
    assert "Another worker takes the task over within about 5.0 s." in reason.sentence


# --- finished ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.SUCCESSFUL, Status.FAILED, Status.CANCELLED])
def test_a_finished_task_does_not_run_because_it_is_done(status):
    record = make(status)

    reason = only(record)

    assert reason.code == status.lower()
    again = f"manage.py tasks_requeue {record.pk}"
    assert reason.command == ("" if status == Status.SUCCESSFUL else again)


def test_an_expired_task_is_told_from_a_cancelled_one():
    record = make(Status.CANCELLED, expires_at=NOW)
    attempt(record, outcome=AttemptOutcome.EXPIRED)

    assert "It expired: no worker had started it by " in only(record).sentence


# --- what it costs, and broken rows ---------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
def test_queries_are_bounded(status):
    pause("other")
    for _ in range(20):
        make_worker()
        make()
        make(Status.RUNNING)
    record = TaskRecord.objects.get(pk=make(status, run_after=NOW).pk)

    with CaptureQueriesContext(connection) as queries:
        diagnose(record)

    assert len(queries) <= 7


def test_broken_rows_do_not_break_it():
    make_worker(queues="")
    make_worker(queues="a b,*x*", host="")

    assert codes(make(task_path="", queue_name="", backend="")) == [
        "no_backend",
        "unknown_task",
        "no_worker",
    ]


# --- the command ---------------------------------------------------------------------------------


def run(*arguments):
    out = io.StringIO()
    call_command("tasks_inspect", *map(str, arguments), stdout=out, no_color=True)
    return out.getvalue()


def secretive():
    record = make(
        queue_name="mail",
        task_path=tasks.fail.module_path,
        args=json.dumps([CANARY]),
        kwargs=json.dumps({"x": CANARY}),
        metadata=json.dumps({"x": CANARY}),
        log=CANARY,
        attempts=1,
    )
    attempt(record, traceback=f"ValueError: {CANARY}", run_time=1.5)
    return record


def test_command_says_why_a_task_does_not_run():
    record = secretive()

    text = run(record.pk)

    assert f"Task {record.pk}" in text and "attempts  1 of 3" in text
    assert "Why it is not running\n  No worker serves its queue “mail”." in text
    assert "\n    manage.py runworker --queues mail\n" in text
    assert "builtins.ZeroDivisionError" in text
    assert CANARY not in text


def test_command_prints_the_same_as_json():
    record = secretive()

    text = run(record.pk, "--json")

    document = json.loads(text)
    assert document["task"]["id"] == str(record.pk)
    assert document["task"]["max_attempts"] == 3
    [reason] = document["reasons"]
    assert (reason["code"], reason["is_problem"]) == ("no_worker", True)
    assert reason["command"] == "manage.py runworker --queues mail"
    [tried] = document["attempts"]
    assert (tried["number"], tried["outcome"], tried["run_time"]) == (1, "ERROR", 1.5)
    assert CANARY not in text


def test_command_refuses_unknown_ids():
    with pytest.raises(CommandError, match="No task has the id"):
        run(uuid4())
    with pytest.raises(CommandError, match="is no task id"):
        run("nonsense")


def test_command_lists_the_newest_attempts_only():
    record = make(Status.FAILED)
    for number in range(1, 31):
        TaskAttempt.objects.create(
            task=record, number=number, claim=number, outcome="ERROR", finished_at=NOW
        )

    numbers = [tried["number"] for tried in json.loads(run(record.pk, "--json"))["attempts"]]

    assert numbers == list(range(11, 31))

"""Beats as processes: `runbeat`, and `runworker --beat`."""

import json
import os
import signal
import socket
import sys
import time
from datetime import timedelta
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction
from django.test.utils import override_settings

from django_tasks.models import Schedule, ScheduleRun, TaskRecord, WorkerRecord
from django_tasks.statuses import Status
from django_tasks.store.schedules import edits
from django_tasks.worker.supervisor.managed_process import ManagedProcess
from tests.conformance.steps import IS_POSTGRESQL
from tests.schedules.steps import DATABASE, ago, now, overdue, saved, slots_of
from tests.worker.ledger import PATIENCE, until
from tests.worker.processes import WorkerProcess, children_of, session_members
from tests.worker.test_health import probe

RUNBEAT = [sys.executable, "-m", "django", "runbeat"]


def beats():
    return WorkerRecord.objects.filter(pool="beat")


@pytest.fixture
def start():
    """Return a function that starts a process which ends with the test."""
    processes = []

    def start(*options, **kwargs):
        processes.append(WorkerProcess(*options, **kwargs))
        return processes[-1]

    yield start
    for process in processes:
        print(f"--- {process.pid}\n{process.output}")
        process.close()
    connections.close_all()


@pytest.fixture
def runbeat(start):
    """Return a function that starts a beat and waits until it is registered."""

    def runbeat(*options, **kwargs):
        count = beats().count()
        beat = start(*options, command=RUNBEAT, **kwargs)
        until(lambda: beats().count() > count or beat.popen.poll() is not None, "it registers")
        assert beat.popen.poll() is None, beat.output
        return beat

    return runbeat


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


# --- runbeat ------------------------------------------------------------------------------------


def test_beat_enqueues_and_stops_gently(runbeat):
    """It says what it is, enqueues with a line per slot, and leaves nothing behind."""
    row = saved(every=1.0, catch_up="ALL")
    beat = runbeat()

    until(lambda: len(slots_of(row)) >= 2, "two slots")
    [worker] = beats()
    assert (worker.pid, worker.queues, worker.concurrency) == (beat.pid, "", 0)
    assert beat.stop() == 0

    assert not beats().exists()
    assert "django_tasks beat " in beat.output and "1 schedule with a next run" in beat.output
    for slot in slots_of(row):
        assert f"slot {slot.isoformat()} enqueued as tests.tasks.add" in beat.output


def test_run_by_hand_does_not_defeat_the_overlap_policy(runbeat):
    """A run by hand that is over does not hide the slot's task, which still runs."""
    row = saved(every=1.0, overlap="SKIP")
    runbeat()
    until(lambda: slots_of(row), "a slot")
    [task] = TaskRecord.objects.all()

    by_hand = row.run_now()
    finished = {"status": Status.SUCCESSFUL, "finished_at": now()}
    TaskRecord.objects.filter(pk=by_hand.id).update(**finished)
    skipped = len(slots_of(row, "SKIPPED"))
    until(lambda: len(slots_of(row, "SKIPPED")) >= skipped + 2, "slots that are left out")
    assert len(slots_of(row)) == 1

    TaskRecord.objects.filter(pk=task.pk).update(**finished)
    until(lambda: len(slots_of(row)) == 2, "the next slot's task")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_idle_beat_stops_at_once(runbeat, number):
    """A signal ends its sleep."""
    beat = runbeat(settings={"DJANGO_TASKS": {"BEAT_INTERVAL": 600.0}})
    asked_at = time.monotonic()

    beat.signal(number)

    assert beat.wait() == 0
    assert time.monotonic() - asked_at < 5


@pytest.fixture
def slow_rows():
    """Have each write of a worker's row take longer than any test; return whether one is at it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION be_slow() RETURNS trigger LANGUAGE plpgsql AS"
            " $$BEGIN PERFORM pg_sleep(600); RETURN OLD; END$$"
        )
        cursor.execute(
            f"CREATE TRIGGER slow BEFORE UPDATE OR DELETE ON {WorkerRecord._meta.db_table}"
            " FOR EACH ROW EXECUTE FUNCTION be_slow()"
        )

    def is_writing():
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'")
            return cursor.fetchone() is not None

    yield is_writing
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        )
        cursor.execute("DROP FUNCTION be_slow CASCADE")


@pytest.mark.skipif(not IS_POSTGRESQL, reason="PostgreSQL tells what a server is waiting for")
def test_second_signal_ends_it_now(runbeat, request):
    """While it waits for the database, the second signal ends it with exit code 3."""
    beat = runbeat(settings={"DJANGO_TASKS": {"LEASE": 1.0}})
    is_writing = request.getfixturevalue("slow_rows")
    until(is_writing, "it waits for the database")

    def ended():
        beat.signal(signal.SIGTERM)  # two at once would be one
        return beat.popen.poll() is not None

    until(ended, "a further signal ends it")
    assert beat.wait() == 3


def test_changes_are_noticed_while_it_runs(runbeat):
    """Added, edited, paused and deleted schedules are effective within seconds, without restart."""
    runbeat()
    row = saved(every=1.0, catch_up="ALL")
    until(lambda: slots_of(row), "the new schedule", timeout=8)

    edited = Schedule.objects.get(pk=row.pk)
    edited.args = "[20, 22]"
    edits.save(edited, using=DATABASE)
    until(lambda: TaskRecord.objects.filter(args="[20,22]").exists(), "the new arguments", 8)

    edits.pause([row.pk], ago(seconds=-3600), using=DATABASE)
    count = len(slots_of(row))
    other = saved(every=1.0, catch_up="ALL")
    until(lambda: len(slots_of(other)) >= 2, "another schedule", timeout=8)
    assert len(slots_of(row)) == count

    edits.delete([other.pk], using=DATABASE)
    assert not ScheduleRun.objects.filter(schedule_id=other.pk).exists()


def test_probes(runbeat, port):
    """/livez while the loop turns, /readyz while the database answers."""
    runbeat("--health-port", port)

    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")
    assert probe(port, "/livez") == (200, "ok\n")
    assert probe(port, "/")[0] == 404


def test_cut_off_beat_is_live_and_not_ready(runbeat, port):
    """While the row cannot be renewed: 503 on /readyz."""
    runbeat("--health-port", port, settings={"DJANGO_TASKS": {"LEASE": 1.0}})
    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness")

    with transaction.atomic():
        list(beats().select_for_update())  # SQLite: the transaction is the lock
        until(lambda: probe(port, "/readyz") == (503, "not ok\n"), "503")
        assert probe(port, "/livez") == (200, "ok\n")

    until(lambda: probe(port, "/readyz") == (200, "ok\n"), "readiness again")


def test_row_that_others_removed_comes_back(runbeat):
    """Taken for dead, it registers anew."""
    beat = runbeat(settings={"DJANGO_TASKS": {"LEASE": 1.0}})

    beats().delete()

    until(lambda: beats().exists(), "it registers anew")
    beat.await_output("was taken for dead")


def test_wrong_options_are_refused(start):
    """Unknown backends and options, with the exit codes of runworker."""
    assert start("--backend", "nowhere", command=RUNBEAT).wait() == 1
    assert start("--interval", "1", command=RUNBEAT).wait() == 2
    assert start("--beat", "--burst").wait() == 2


@pytest.mark.parametrize("command", [["runbeat"], ["runworker", "--beat", "-c", "1"]])
def test_tables_are_missed(start, tmp_path, command):
    """A database that was not migrated, or not far enough, is a matter of configuration."""
    empty = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path / "empty")}
    process = start(
        command=[sys.executable, "-m", "django", *command],
        settings={"DATABASES": {"default": empty}},
    )

    assert process.wait() == 1
    assert "manage.py migrate" in process.output


@pytest.mark.parametrize("command", [["runbeat"], ["runworker"], ["runworker", "--beat"]])
def test_local_times_are_refused(command, monkeypatch):
    """Also by call_command(), which skips the system checks."""
    monkeypatch.setattr("django_tasks.beat.start.run_beat", lambda *args: 0)
    monkeypatch.setattr("django_tasks.worker.start.run_worker", lambda *args: 0)
    with override_settings(USE_TZ=False), pytest.raises(CommandError, match="USE_TZ = True"):
        call_command(*command)


@pytest.mark.skipif(IS_POSTGRESQL, reason="PostgreSQL stores moments with their zone")
@pytest.mark.parametrize("command", ["runbeat", "runworker"])
def test_database_with_a_time_zone_of_its_own_is_refused(start, command):
    """It would run tasks hours early, or never; also when the system checks are skipped."""
    database = {**settings.DATABASES["default"], "TIME_ZONE": "Europe/Paris"}
    database["NAME"] = connections[DATABASE].settings_dict["NAME"]
    process = start(
        command=[sys.executable, "-m", "django", command, "--skip-checks"],
        settings={"DATABASES": {"default": database}},
    )

    assert process.wait() == 1
    assert "['TIME_ZONE'] is 'Europe/Paris'" in process.output
    assert "Remove TIME_ZONE" in process.output


@pytest.mark.skipif(not IS_POSTGRESQL, reason="the others store moments without a zone")
def test_zone_of_a_postgresql_connection_shifts_nothing(runbeat):
    """Slots, and the due times of what they enqueue, are moments."""
    database = {**settings.DATABASES["default"], "TIME_ZONE": "Asia/Kathmandu"}
    database["NAME"] = connections[DATABASE].settings_dict["NAME"]
    row = saved(every=1.0, jitter=0.5, expires=60.0)
    runbeat(settings={"DATABASES": {"default": database}, "TIME_ZONE": "America/New_York"})

    [slot, *_] = until(lambda: slots_of(row), "a slot")
    task = TaskRecord.objects.order_by("pk").first()

    assert abs(slot - now()) < timedelta(minutes=5)
    assert slot <= task.run_after <= slot + timedelta(seconds=0.5)
    assert timedelta(seconds=60) <= task.expires_at - slot <= timedelta(seconds=61)


# --- runworker --beat ---------------------------------------------------------------------------


def successes():
    return TaskRecord.objects.filter(status="SUCCESSFUL").count()


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_worker_with_a_beat_does_it_all(start, pool):
    """Slots become tasks and tasks run, by one command; both rows go at the end."""
    saved(every=1.0, catch_up="ALL")
    worker = start("--beat", "--pool", pool, "-c", 1)

    until(lambda: successes() >= 2, "two tasks")
    assert set(WorkerRecord.objects.values_list("pool", flat=True)) == {pool, "beat"}

    assert worker.stop() == 0
    assert not WorkerRecord.objects.exists()
    assert ", and a beat" in worker.output


def test_killed_beat_is_started_again(start):
    """The supervisor replaces it; no slot is lost, and tasks run on."""
    row = saved(every=1.0, catch_up="ALL")
    worker = start("--beat", "-c", 1)
    until(lambda: len(slots_of(row)) >= 1 and beats().exists(), "the first slot")

    first = beats().get().pid
    assert first in children_of(worker.pid)
    os.kill(first, signal.SIGKILL)
    until(lambda: beats().exclude(pid=first).exists(), "another beat")
    count = len(slots_of(row))
    until(lambda: len(slots_of(row)) >= count + 2, "more slots")

    assert "The beat died (signal 9 SIGKILL); starting another." in worker.output
    found = slots_of(row)
    assert found == [found[0] + timedelta(seconds=n) for n in range(len(found))]
    assert worker.stop() == 0
    assert not session_members(worker.pid)


def test_beat_ends_with_its_supervisor(start):
    """A killed supervisor leaves no beat behind."""
    worker = start("--beat", "-c", 1)
    until(lambda: beats().exists(), "the beat registers")

    os.kill(worker.pid, signal.SIGKILL)

    until(lambda: not session_members(worker.pid), "no process is left")


@pytest.mark.skipif(not IS_POSTGRESQL, reason="only PostgreSQL wakes workers")
def test_workers_are_woken_by_a_tick(start):
    """A worker that polls once a minute starts the task when it is enqueued."""
    worker = start("-c", 1, settings={"DJANGO_TASKS": {"POLL_INTERVAL": 60.0}})
    until(lambda: WorkerRecord.objects.filter(pool="prefork").exists(), "the worker registers")
    start(command=RUNBEAT)
    row = saved(kind="CLOCKED", clocked_at=ago(seconds=-4))

    until(lambda: successes() == 1, "the task", timeout=PATIENCE)

    record = TaskRecord.objects.get()
    assert slots_of(row) == [row.clocked_at]
    assert record.started_at - record.enqueued_at < timedelta(seconds=3)
    assert worker.stop() == 0


class Fork:
    """Counts starts; what it starts has the pid of nothing."""

    def __init__(self):
        self.count = 0

    def __call__(self):
        self.count += 1
        return 2**22 + self.count  # beyond the kernel's largest pid


def test_managed_process_is_not_started_again_at_once():
    """One that dies at its start burns no core; a stopped one is not started."""
    fork = Fork()
    managed_process = ManagedProcess("beat", fork, lambda: None, lambda: 0.0)

    managed_process.keep()
    managed_process.ended("exit code 1")
    managed_process.keep()
    assert fork.count == 1 and managed_process.pid == 0
    until(lambda: managed_process.keep() or managed_process.pid, "it is started again")
    managed_process.stop()
    managed_process.ended("exit code 0")
    until(lambda: managed_process.keep() or managed_process.pid == 0, "it is not")
    assert fork.count == 2


def test_silent_managed_process_is_killed():
    """What has shown no life for the limit is killed, to be replaced."""
    silence = 0.0
    managed_process = ManagedProcess("beat", lambda: pid, lambda: None, lambda: silence)
    pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-c", "input()"])
    managed_process.keep()

    managed_process.kill_if_silent(10.0)
    silence = 10.1
    managed_process.kill_if_silent(10.0)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


# --- tasks_inspect ------------------------------------------------------------------------------


def inspected(*options):
    out = StringIO()
    call_command("tasks_inspect", *options, stdout=out, no_color=True)
    return out.getvalue()


def test_inspect_shows_beats(runbeat):
    """Beats have a table of their own; they are no workers."""
    saved()
    assert "No beat is alive, and schedules wait: 1. Start one" in inspected()

    beat = runbeat()

    document = json.loads(inspected("--json"))
    assert [(b["pid"], b["state"]) for b in document["beats"]] == [(beat.pid, "alive")]
    assert document["workers"] == [] and document["schedules"] == 1
    text = inspected()
    assert f":{beat.pid}" in text and "No worker is alive" in text and "No beat" not in text


def test_inspect_without_schedules_says_nothing_of_beats():
    """Who uses no schedules is not told of beats."""
    assert "eat" not in inspected().replace("heartbeat", "")
    overdue()
    assert "No beat is alive" in inspected()


def test_beat_logs_json(runbeat):
    """A line per slot with its keys, and the banner, each an object."""
    row = saved(every=1.0, catch_up="ALL")
    beat = runbeat("--log-format", "json")
    until(lambda: slots_of(row), "a slot")
    beat.await_output("task_id")
    assert beat.stop() == 0

    first, *lines = map(json.loads, beat.output.splitlines())
    assert first["message"].startswith("django_tasks beat")
    slot = next(line for line in lines if "slot" in line)
    assert slot["logger"] == "django_tasks.beat"
    assert slot["schedule"] == row.name

"""What a worker writes to its log."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from django_tasks import TaskFailed
from django_tasks.models import TaskRecord
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, until

JSON_LOG = {
    "LOGGING": {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "tests.worker.json_log.JsonFormatter"}},
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
        "loggers": {"django_tasks": {"handlers": ["console"], "level": "INFO"}},
    }
}


def test_one_line_per_transition_with_keys(start, tmp_path):
    """Each transition is one record with task_id, path, attempt and worker; LOGGING is followed."""
    worker = start("-c", 1, "-v", 0, settings=JSON_LOG)
    result = tasks.flaky.enqueue(str(tmp_path / "runs"), 1)
    result.wait(PATIENCE)
    until(lambda: "succeeded" in worker.output, "the line")

    records = [json.loads(line) for line in worker.output.splitlines()]
    mine = [record for record in records if record.get("task_id") == result.id]
    assert [record["level"] for record in mine] == ["WARNING", "INFO"]
    assert [record["attempt"] for record in mine] == [1, 2]
    assert {record["path"] for record in mine} == {"tests.worker.tasks.flaky"}
    assert {record["worker"] for record in mine} == set(result.worker_ids)


def test_root_handler_is_enough(start):
    """A root logger that sends everything somewhere gets the worker's lines as well."""
    root = {"handlers": ["console"], "level": "INFO"}
    worker = start(
        "-c", 1, "-v", 0,
        settings={"LOGGING": JSON_LOG["LOGGING"] | {"loggers": {}, "root": root}},
    )  # fmt: skip
    result = tasks.add.enqueue(1, 2)
    result.wait(PATIENCE)
    until(lambda: "succeeded" in worker.output, "the line")

    [record] = map(json.loads, worker.output.splitlines())
    assert record["task_id"] == result.id


def test_failure_has_its_traceback(start):
    """A failed task is an ERROR with the traceback, which tells the place and the type."""
    worker = start("-c", 1)
    with pytest.raises(TaskFailed):
        tasks.fail.enqueue("on purpose").wait(PATIENCE)

    worker.await_output("ValueError: (text not logged: see the task in the admin)")
    assert "ERROR tests.worker.tasks.fail" in worker.output
    assert "Traceback (most recent call last)" in worker.output
    assert 'tests/worker/tasks.py", line' in worker.output


def test_no_line_can_be_forged(start):
    """Control characters in names and messages do not begin a line or move the cursor."""
    forged = "12:00:00 INFO tests.worker.tasks.pay succeeded"
    unknown = tasks.add.enqueue(1, 1)
    TaskRecord.objects.filter(pk=unknown.id).update(task_path=f"gone\n{forged}\x1b[2J")

    worker = start("-c", 1, settings={"DJANGO_TASKS": {"LOG_EXCEPTION_TEXT": True}})
    with pytest.raises(TaskFailed):
        tasks.fail.enqueue(f"harmless\n{forged}\x1b[2J\rover").wait(PATIENCE)
    worker.await_output("harmless")
    worker.await_output("is not known")

    assert forged not in worker.output.splitlines()
    assert "\x1b" not in worker.output
    assert "\r" not in worker.output


def test_idle_worker_is_quiet(start):
    """After its banner a worker that has nothing to do says nothing."""
    worker = start("-c", 1)
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    worker.await_output("succeeded")
    before = worker.output

    snoozed = tasks.add.using(run_after=timedelta(seconds=1)).enqueue(1, 2)
    snoozed.wait(PATIENCE)  # a second of idling
    worker.await_output(snoozed.id)

    assert len(worker.output.splitlines()) == len(before.splitlines()) + 1


@pytest.mark.parametrize("verbosity", [0, 1, 2])
def test_verbosity(start, verbosity):
    """-v 0: warnings only and no banner; 1: transitions; 2: what goes on inside, too."""
    worker = start("-c", 1, "-v", verbosity)
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    with pytest.raises(TaskFailed):
        tasks.fail.enqueue("x").wait(PATIENCE)
    worker.await_output("tests.worker.tasks.fail")
    worker.stop()

    assert ("queues" in worker.output) == (verbosity > 0)
    assert ("succeeded" in worker.output) == (verbosity > 0)
    assert "ERROR" in worker.output


def log_settings(**root):
    """Return LOGGING whose only logger is the root's, with the keys of `root`."""
    handlers = {"console": {"class": "logging.StreamHandler", "formatter": "theirs"}}
    formatters = {"theirs": {"format": "THEIRS %(levelname)s %(message)s"}}
    return {
        "LOGGING": JSON_LOG["LOGGING"]
        | {"formatters": formatters, "handlers": handlers, "loggers": {}, "root": root}
    }


def test_root_logger_for_warnings_hides_no_task(start):
    """Most projects have one: who starts a worker sees what it does, and each line once."""
    worker = start("-c", 1, settings=log_settings(handlers=["console"], level="WARNING"))
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    with pytest.raises(TaskFailed):
        tasks.fail.enqueue("x").wait(PATIENCE)
    worker.await_output("tests.worker.tasks.fail")
    worker.stop()

    [success] = [line for line in worker.output.splitlines() if "succeeded" in line]
    [failure] = [line for line in worker.output.splitlines() if "tests.worker.tasks.fail " in line]
    assert " INFO tests.worker.tasks.add " in success
    assert failure.startswith("THEIRS ERROR ")  # to where the project wants it


def test_root_logger_elsewhere_is_told_of_warnings_only(start, tmp_path):
    """Its file gets what it got before; the terminal shows all."""
    file = {"class": "logging.FileHandler", "filename": str(tmp_path / "log"), "level": "WARNING"}
    settings = log_settings(handlers=["file"])
    settings["LOGGING"]["handlers"]["file"] = file
    worker = start("-c", 1, settings=settings)
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    with pytest.raises(TaskFailed):
        tasks.fail.enqueue("x").wait(PATIENCE)
    worker.await_output("tests.worker.tasks.fail")
    worker.stop()

    assert "INFO tests.worker.tasks.add " in worker.output
    assert "ERROR tests.worker.tasks.fail " in worker.output
    written = (tmp_path / "log").read_text()
    assert "tests.worker.tasks.fail " in written
    assert "succeeded" not in written


@pytest.mark.parametrize("name", ["django_tasks", "django_tasks.worker"])
def test_named_logger_is_left_alone(start, name):
    """A project that sets the level of one of our loggers has decided."""
    settings = log_settings(handlers=["console"], level="WARNING")
    settings["LOGGING"]["loggers"] = {name: {"level": "ERROR"}}
    worker = start("-c", 1, settings=settings)
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    with pytest.raises(TaskFailed):
        tasks.fail.enqueue("x").wait(PATIENCE)
    worker.await_output("tests.worker.tasks.fail")
    worker.stop()

    assert "succeeded" not in worker.output
    assert "THEIRS ERROR tests.worker.tasks.fail" in worker.output


def test_level_alone_leaves_the_lines_on_the_terminal(start):
    """Where no logger has a handler, the worker's own prints what the level lets through."""
    settings = log_settings()
    settings["LOGGING"]["loggers"] = {"django_tasks.worker": {"level": "WARNING"}}
    worker = start("-c", 1, settings=settings)
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    with pytest.raises(TaskFailed):
        tasks.fail.enqueue("x").wait(PATIENCE)
    worker.await_output("ERROR tests.worker.tasks.fail")
    worker.stop()

    assert "succeeded" not in worker.output
    assert "INFO Stopping" in worker.output


# --- --log-format json ----------------------------------------------------------------------------


def json_lines(worker):
    """Return what a worker has written, each line an object; none is anything else."""
    return [json.loads(line) for line in worker.output.splitlines()]


def test_json_lines_tell_all_that_is_known_of_a_task(start, tmp_path):
    worker = start("-c", 1, "--log-format", "json")
    result = tasks.flaky.using(queue_name="mail").enqueue(str(tmp_path / "runs"), 1)
    result.wait(PATIENCE)
    until(lambda: "succeeded" in worker.output, "the line")
    assert worker.stop() == 0

    lines = json_lines(worker)
    assert "django_tasks worker" in lines[0]["message"] and "queues" in lines[0]["message"]
    mine = [line for line in lines if line.get("task_id") == result.id]
    assert [(line["outcome"], line["attempt"], line["level"]) for line in mine] == [
        ("retry", 1, "WARNING"),
        ("succeed", 2, "INFO"),
    ]
    for line in mine:
        assert line["path"] == "tests.worker.tasks.flaky"
        assert line["queue"] == "mail"
        assert line["logger"] == "django_tasks.worker"
        assert 0 < line["duration"] < PATIENCE
        moment = datetime.fromisoformat(line["time"])
        assert moment.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - moment) < timedelta(seconds=2 * PATIENCE)


def test_json_line_has_the_traceback_and_no_secret(start):
    """What an exception says is as hidden as in lines of text; a traceback begins no line."""
    worker = start("-c", 1, "--log-format", "json")
    with pytest.raises(TaskFailed):
        tasks.fail.enqueue('on purpose\n{"level": "forged"}').wait(PATIENCE)
    worker.await_output("failed (ValueError)")

    assert "on purpose" not in worker.output
    [line] = [line for line in json_lines(worker) if line.get("outcome") == "fail"]
    assert line["level"] == "ERROR"
    assert line["exception"].startswith("Traceback (most recent call last):")
    assert 'tests/worker/tasks.py", line' in line["exception"]
    assert "(text not logged: see the task in the admin)" in line["exception"]


ROOT_ALONE = JSON_LOG["LOGGING"] | {"loggers": {}, "root": {"handlers": ["console"]}}


@pytest.mark.parametrize("logging", [JSON_LOG["LOGGING"], ROOT_ALONE], ids=["own", "root"])
def test_json_is_refused_where_the_project_formats(start, logging):
    worker = start("-c", 1, "--log-format", "json", settings={"LOGGING": logging})

    assert worker.wait() == 2
    assert "django_tasks.worker.reporting.json_lines.JsonFormatter" in worker.output


def test_quiet_json_worker_writes_nothing_of_successes(start):
    worker = start("-c", 1, "--log-format", "json", "-v", 0)
    tasks.add.enqueue(1, 2).wait(PATIENCE)
    assert worker.stop() == 0

    assert worker.output == ""

"""Options of runworker, what it refuses, and what it says."""

import re
import socket
import sys

import pytest
from django import VERSION

import django_tasks
from django_tasks import TaskFailed
from django_tasks.management.commands.runworker import Command
from django_tasks.models import WorkerRecord
from tests.worker import tasks
from tests.worker.ledger import PATIENCE, until
from tests.worker.processes import ROOT

MANAGE = [sys.executable, str(ROOT / "manage.py"), "runworker"]


def refusal(start, *options, code=1, **kwargs):
    """Return the last line of a worker that refuses to start."""
    worker = start(*options, **kwargs)
    assert worker.wait() == code, worker.output
    assert "Traceback" not in worker.output
    return worker.output


@pytest.mark.parametrize(
    "options",
    [
        ("--pool", "fork"),
        ("--concurrency", 0),
        ("--concurrency", "many"),
        ("--processes", -1),
        ("--grace", "soon"),
        ("--grace", "nan"),
        ("--grace", -1),
        ("--autoscale", "1,3"),
        ("--autoscale", "x"),
        ("--max-tasks-per-child", 0),
        ("--max-memory-per-child", 1.5),
        ("--health-port", 0),
        ("--health-port", "70000"),
        ("--queues", "a b"),
        ("--queues", ","),
        ("--queue-names", "a"),
    ],
    ids=lambda options: " ".join(map(str, options)),
)
def test_wrong_usage(options, capsys):
    """Exit 2 with the option's name."""
    parser = Command().create_parser("manage.py", "runworker")
    parser.called_from_command_line = True

    with pytest.raises(SystemExit) as exit_:
        parser.parse_args(list(map(str, options)))

    assert exit_.value.code == 2
    assert options[0] in capsys.readouterr().err


def test_wrong_usage_of_a_real_command(start):
    """The same from a shell."""
    assert "--concurrency" in refusal(start, "--concurrency", "many", code=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--pool", "solo", "-c", 2), "one task at a time"),
        (("--pool", "solo", "--autoscale", "3,1"), "--autoscale does not go with it"),
        (("--pool", "solo", "--max-tasks-per-child", 5), "--max-tasks-per-child does not go"),
        (("--pool", "solo", "--max-memory-per-child", 50), "--max-memory-per-child does not go"),
        (("--pool", "prefork", "-c", 2, "--processes", 3), "--concurrency only"),
        (("--reload", "--burst"), "exclude each other"),
        (("--backend", "nope"), "Choose from: default"),
    ],
    ids=["solo", "scale", "tasks", "memory", "prefork", "reload", "backend"],
)
def test_options_that_do_not_fit(start, options, words):
    """Exit 1 or 2 with a sentence that says why."""
    output = refusal(start, *options, code=1 if "nope" in options else 2)

    assert words in output


def test_other_backend(start):
    """A backend without a queue: exit 1 and the fix, in one line."""
    immediate = {"other": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}

    output = refusal(start, "--backend", "other", settings={"TASKS": immediate})

    assert "does not store its tasks" in output
    assert "'django_tasks.backends.database.DatabaseBackend'" in output


def test_before_migrate(start, tmp_path):
    """Without tables: exit 1 and `manage.py migrate`, in one line."""
    output = refusal(
        start, env={"TEST_DATABASE_URL": "sqlite", "TEST_DATABASE_NAME": str(tmp_path / "empty")}
    )

    assert "has no task tables. Run: manage.py migrate" in output
    assert len(output.strip().splitlines()) == 1


def test_database_away(start):
    """A server that does not answer at boot: exit 1 in one line, without its password."""
    pytest.importorskip("psycopg")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        url = f"postgresql://postgres:s3cret@127.0.0.1:{port}/test"
        output = refusal(start, env={"TEST_DATABASE_URL": url})

    assert "cannot be reached" in output
    assert "s3cret" not in output
    assert len(output.strip().splitlines()) == 1


def test_wrong_setting(start):
    """A mistake in DJANGO_TASKS: exit 1 and the likely name."""
    worker = start(settings={"DJANGO_TASKS": {"LEESE": 5}})

    assert worker.wait() == 1
    assert "unknown setting 'LEESE', did you mean 'LEASE'?" in worker.output


def test_health_port_in_use(start):
    """Exit 1 in one line, not a keeper that dies again and again."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        output = refusal(start, "--health-port", taken.getsockname()[1])

    assert "in use" in output
    assert len(output.strip().splitlines()) == 1


def test_help(start):
    """--help has examples and exit codes."""
    worker = start("--help")

    assert worker.wait() == 0
    assert "exit codes:" in worker.output
    assert "--max-tasks-per-child" in worker.output


def test_banner_and_record_say_what_it_serves(start):
    """The first lines and the worker's row name queues, pool, size and database."""
    worker = start("--queues", "a,b*", "--pool", "threads", "-c", 3, "--grace", 7)
    row = until(WorkerRecord.objects.first, "the worker's row")

    worker.await_output("7 s")
    assert str(row.id) in worker.output
    assert re.search(r"queues +a,b\*", worker.output)
    assert re.search(r"pool +threads, 1 process of 3 slots", worker.output)
    assert (row.queues, row.pool, row.concurrency) == ("a,b*", "threads", 3)
    assert row.pid == worker.pid
    assert row.versions.startswith(f"django_tasks {django_tasks.__version__}, Django {VERSION[0]}.")


def test_manage_py(start, tmp_path):
    """`python manage.py runworker` works as `python -m django` does."""
    worker = start("--burst", command=MANAGE, cwd=tmp_path)

    assert worker.wait() == 0


def test_nothing_secret_is_shown(start):
    """Arguments of the processes carry no password; what a body prints goes to the log."""
    secret = "pa55word"
    result = tasks.process_state.enqueue()
    start("-c", 1, env={"SECRET": secret}, command=MANAGE)

    for line in result.wait(PATIENCE):
        assert "runworker" in line
        assert secret not in line
        assert "://" not in line


def test_arguments_metadata_and_results_are_not_shown(start):
    """Neither by `ps` nor by the log at its most talkative; a traceback tells no variables."""
    secret = "canary-6150"
    worker = start("-c", 1, "-v", 2)
    kept = tasks.keep_secret.using(metadata={"note": secret}).enqueue(secret)
    lost = tasks.betray_nothing.using(metadata={"note": secret}).enqueue(secret=secret)

    value, *shown = kept.wait(PATIENCE)
    with pytest.raises(TaskFailed):
        lost.wait(PATIENCE)
    worker.await_output(lost.id)
    assert worker.stop() == 0

    assert value == secret
    assert secret not in " ".join(shown)
    assert secret not in worker.output

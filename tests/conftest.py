"""Fixtures and reporting shared by all tests run by pytest."""

import os
from contextlib import ExitStack, contextmanager

import pytest
from django.db import connection

from tests import report, servers

#: What no database decides. It is tested once for each Django: beside SQLite.
ONCE = [
    # The example project and the runner of these tests.
    *("browser", "test_demo.py", "test_runner.py", "test_servers.py"),
    # When a slot is.
    *("schedules/test_clock_changes.py", "schedules/test_cron.py", "schedules/test_matrix.py"),
    *("schedules/test_slots.py", "schedules/test_specs.py", "schedules/test_sun.py"),
    # Who may do what, what a form takes, what is escaped and drawn.
    *("control_room/test_charts.py", "control_room/test_hostile_text.py"),
    *("control_room/test_roles.py", "schedule_admin/test_form.py"),
    *("schedule_admin/test_permissions.py", "schedule_admin/test_preview.py"),
    # What is in the files of metrics, and what a Prometheus server makes of them.
    *("metrics/test_files.py", "metrics/test_prometheus.py"),
    # What a worker's processes are to each other, and say.
    *("worker/test_command.py", "worker/test_forks.py", "worker/test_health.py"),
    *("worker/test_logs.py", "worker/test_reload.py", "worker/test_signals.py"),
    "worker/test_process_state.py",
    # Signals and children; reliability/test_stopping.py stops workers on all.
    "worker/test_stopping.py",
    # What brokers do with ids; that they hand out what is in the table is tested on all.
    *("brokers/test_kombu.py", "brokers/test_kombu_workers.py"),
    *("brokers/test_servers.py", "brokers/test_workers.py"),
]
#: What reaches processes by PostgreSQL's wake-ups or by polls. MariaDB's polls are SQLite's; what
#: they ask is tested in conformance, and beats are in reliability/test_kills_of_beats.py.
WOKEN_OR_POLLING = ["schedules/test_process.py", "worker/test_control.py"]
if connection.vendor != "sqlite":
    collect_ignore = [*ONCE]
    if connection.vendor == "mysql":
        collect_ignore += WOKEN_OR_POLLING


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup):
    """Create the test database, and point the processes that tests start at it."""
    os.environ["TEST_DATABASE_NAME"] = str(connection.settings_dict["NAME"])
    yield
    del os.environ["TEST_DATABASE_NAME"]


@contextmanager
def or_skip(server):
    """Enter `server`; skip the test where there is none."""
    with ExitStack() as stack:
        try:
            found = stack.enter_context(server)
        except servers.ServerUnavailable as error:
            pytest.skip(str(error))
        yield found


@pytest.fixture(scope="session")
def redis_url():
    """The URL of a Redis that others use, too: never flush it."""
    with or_skip(servers.redis()) as server:
        yield server.url("0")


@pytest.fixture(scope="session")
def rabbitmq_url():
    """The URL of a RabbitMQ that others use, too: leave their queues alone."""
    with or_skip(servers.rabbitmq()) as server:
        yield server.url("/")


@pytest.fixture(scope="session")
def private_rabbitmq_server():
    with or_skip(servers.private_rabbitmq()) as server:
        yield server


@pytest.fixture
def private_rabbitmq(private_rabbitmq_server):
    """A RabbitMQ server that a test may stop. One for all: it takes seconds to start."""
    yield private_rabbitmq_server
    if private_rabbitmq_server.process.poll() is not None:
        private_rabbitmq_server.start()


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter):
    """Leave the counts and the reasons of skipped tests for the closing lines of `tests.run`."""
    stats = terminalreporter.stats
    report.write(
        passed=len(stats.get("passed", [])),
        # A test whose body and whose clean-up both failed is in both.
        failures={
            test.nodeid: test.longreprtext
            for word in ("error", "failed")
            for test in stats.get(word, [])
        },
        skipped=[skip_reason(skipped) for skipped in stats.get("skipped", [])],
    )


def skip_reason(skipped):
    _path, _line, reason = skipped.longrepr
    return reason.removeprefix("Skipped: ")

"""
One private server for all tests here, and a database of its own for each.

TEST_CHAOS chooses how much: "off", "smoke" (default: short, for every run) or "full" (the issue's
60 seconds of kills under 20,000 tasks). What needs a server to crash, or a proxy, is tested on
PostgreSQL only; kills and stops on the database of the run.
"""

import os
from pathlib import Path

import pytest
from django.db import connection

from tests import servers
from tests.reliability.databases import MariaDBDatabases, PostgreSQLDatabases, SQLiteDatabases
from tests.reliability.harness import Project

ON_EVERY_DATABASE = (
    *("test_kills.py", "test_kills_of_beats.py", "test_kills_of_workflows.py"),
    "test_stopping.py",
    *("test_foreign_locks.py", "test_rows.py"),
)
AMOUNT = os.environ.get("TEST_CHAOS", "smoke")
if AMOUNT not in ("off", "smoke", "full"):
    raise pytest.UsageError(f"TEST_CHAOS must be off, smoke or full, not {AMOUNT!r}")
if AMOUNT == "off":
    collect_ignore_glob = ["test_*.py"]
elif connection.vendor != "postgresql":
    here = Path(__file__).parent.glob("test_*.py")
    collect_ignore = [file.name for file in here if file.name not in ON_EVERY_DATABASE]


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/reliability/" in item.path.as_posix():
            item.add_marker(pytest.mark.chaos)


@pytest.fixture(scope="session")
def is_full():
    """Whether to take the time for all of it."""
    return AMOUNT == "full"


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server that may be crashed."""
    with servers.private_postgresql() as server:
        yield server


@pytest.fixture(scope="session")
def databases(tmp_path_factory, django_db_blocker, request):
    """Where new databases come from."""
    directory = tmp_path_factory.mktemp("template")
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            server = request.getfixturevalue("server")
            yield PostgreSQLDatabases(server, directory)
        elif connection.vendor == "mysql":
            with servers.mariadb() as server:
                yield MariaDBDatabases(server, directory)
        else:
            yield SQLiteDatabases(directory)


@pytest.fixture
def project(databases, tmp_path, django_db_blocker):
    """An empty database with the tables; workers that were started on it end with the test."""
    with django_db_blocker.unblock(), databases.new(tmp_path) as url:
        project = Project(url, tmp_path)
        with project.connected():
            try:
                yield project
            finally:
                project.close()

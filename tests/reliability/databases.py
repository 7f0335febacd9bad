"""Where the tests here get their databases: copied, for each, from one that was migrated."""

import contextlib
import os
import shutil
import subprocess
import sys
from itertools import count
from pathlib import Path

import psycopg
from django.db import connections

from tests.reliability import audit
from tests.reliability.harness import ALIAS, ROOT, Project

_numbers = count(1)


def migrate(project):
    """Make the tables, and the audit trail."""
    command = [sys.executable, "-m", "django", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=project.environment(), check=True)
    with project.connected():
        audit.install(ALIAS)


class PostgreSQLDatabases:
    """Databases on one server, copied from a template."""

    TEMPLATE = "reliability_template"

    def __init__(self, server, directory):
        self.server = server
        self._execute(f"CREATE DATABASE {self.TEMPLATE}")
        migrate(Project(self.server.url(self.TEMPLATE), directory))

    def _execute(self, statement):
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    @contextlib.contextmanager
    def new(self, _directory):
        name = f"reliability_{next(_numbers)}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self.TEMPLATE}")
        # Plain connections: the proxy reads what travels on them.
        yield self.server.url(name) + "?sslmode=disable&gssencmode=disable"
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")


class MariaDBDatabases:
    """Databases on one server, copied from one that was migrated: it has no CREATE … TEMPLATE."""

    def __init__(self, server, directory):
        self.server = server
        self.directory = directory
        with self._empty() as url:
            migrate(Project(url, directory))
            with self._cursor(url) as cursor:
                self.tables = list(tables_of(cursor))
                cursor.execute("SHOW CREATE TRIGGER reliability_audit")
                self.trigger = cursor.fetchone()[2]

    @contextlib.contextmanager
    def new(self, _directory):
        with self._empty() as url:
            with self._cursor(url) as cursor:
                cursor.execute("SET foreign_key_checks = 0")  # they come in the order of names
                for name, definition, rows in self.tables:
                    cursor.execute(definition)
                    for row in rows:
                        values = ", ".join(["%s"] * len(row))
                        cursor.execute(f"INSERT INTO {name} VALUES ({values})", row)
                cursor.execute(self.trigger)
            yield url

    @contextlib.contextmanager
    def _empty(self):
        name = f"reliability_{os.getpid()}_{next(_numbers)}"
        with self._cursor(self.server.url("mysql")) as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        try:
            yield self.server.url(name)
        finally:
            with self._cursor(self.server.url("mysql")) as cursor:
                cursor.execute(f"DROP DATABASE {name}")

    @contextlib.contextmanager
    def _cursor(self, url):
        # Through Django: it knows which driver there is.
        with Project(url, self.directory).connected(), connections[ALIAS].cursor() as cursor:
            yield cursor


def tables_of(cursor):
    """Yield the name, the definition and the rows of each table of a MariaDB."""
    cursor.execute("SHOW TABLES")
    for [name] in cursor.fetchall():
        cursor.execute(f"SHOW CREATE TABLE {name}")
        definition = cursor.fetchone()[1]
        cursor.execute(f"SELECT * FROM {name}")
        yield name, definition, cursor.fetchall()


class SQLiteDatabases:
    """Files, copied from a template."""

    def __init__(self, directory):
        self.template = Path(directory, "template.sqlite3")
        migrate(Project(f"sqlite:///{self.template}", directory))

    @contextlib.contextmanager
    def new(self, directory):
        path = Path(directory, "reliability.sqlite3")
        shutil.copy(self.template, path)
        yield f"sqlite:///{path}"

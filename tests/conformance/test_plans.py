"""
Claims read the index in order, however much history and future lies beside the ready rows.

By what the databases plan; what they read is counted in tests/reads. One filled table serves all
tests here, which change nothing in it, but the last.
"""

import contextlib
import itertools
import json
import re
from uuid import uuid4

import psycopg
import pytest
from django.db import connection, transaction

from django_tasks.ids import uuid7
from django_tasks.models import TaskRecord
from django_tasks.statuses import Status
from django_tasks.store import dialects
from django_tasks.store.dialects import TABLE, base
from django_tasks.store.dialects.mysql import NAMES_READ
from django_tasks.store.values import BrokerClaimRequest, ClaimRequest, Success
from tests.conformance.steps import (
    FAR_AHEAD,
    IS_MYSQL,
    IS_POSTGRESQL,
    IS_SQLITE,
    LONG_AGO,
    make,
)
from tests.tasks import add

BESIDE = 10_000 if IS_POSTGRESQL else 5_000

postgresql = pytest.mark.skipif(not IS_POSTGRESQL, reason="plans of PostgreSQL")
mysql = pytest.mark.skipif(not IS_MYSQL, reason="plans of MySQL and MariaDB")
sqlite = pytest.mark.skipif(not IS_SQLITE, reason="plans of SQLite")


@pytest.fixture(autouse=True)
def clean():
    """Leave the rows to the next test."""


@pytest.fixture(scope="module", autouse=True)
def forgotten(tables):
    yield
    TaskRecord.objects.all()._raw_delete("default")


@pytest.fixture(scope="module")
def filled(tables):
    """Store finished, future and a few ready rows, and let the planner know."""
    add.using(run_after=FAR_AHEAD).enqueue_many((i, 1) for i in range(BESIDE))
    add.enqueue_many((i, 2) for i in range(BESIDE))
    TaskRecord.objects.filter(status=Status.READY).update(
        status=Status.SUCCESSFUL, finished_at=LONG_AGO, worker_id=uuid4(), claims=1
    )
    for priority in (5, 0, -5):
        make(100, priority=priority)
    analyze()


def analyze():
    with connection.cursor() as cursor:
        cursor.execute(f"ANALYZE TABLE {TABLE}" if IS_MYSQL else f"ANALYZE {TABLE}")
        cursor.fetchall() if IS_MYSQL else None


class Recorder:
    """Stands for a connection and keeps what a dialect would execute."""

    def __init__(self):
        self.statements = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def cursor(self):
        return self

    def execute(self, sql, parameters=()):
        self.statements.append((sql, parameters))

    def fetchall(self):
        return []

    rowcount = 0


def plans(call):
    """Return the plans of the statements that `call(dialect, connection)` executes, as JSON."""
    return [explain(*statement) for statement in statements_of(call)]


def statements_of(call):
    """Return what `call(dialect, connection)` would execute, with its parameters."""
    recorder = Recorder()
    with contextlib.suppress(ValueError):  # it does not like the empty answer
        call(dialects.dialect_for(connection), recorder)
    return recorder.statements


def explain(sql, parameters):
    with connection.cursor() as cursor:
        if IS_SQLITE:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", parameters)
            return "\n".join(row[3] for row in cursor.fetchall())
        kind = "FORMAT=JSON" if IS_MYSQL else "(FORMAT JSON)"
        cursor.execute(f"EXPLAIN {kind} {sql}", parameters)
        plan = cursor.fetchone()[0]
        return json.loads(plan) if isinstance(plan, str) else plan


def nodes(plan):
    """Yield every dict in a plan."""
    if isinstance(plan, dict):
        yield plan
    for part in plan.values() if isinstance(plan, dict) else plan:
        if isinstance(part, (dict, list)):
            yield from nodes(part)


def request(beyond=None, until=None):
    return ClaimRequest("default", 100, uuid4(), 1, "default", beyond, until)


def successes(count=100):
    return [Success(uuid7(), 1, "null", 0.1) for _ in range(count)]


BEYOND = (0, uuid7())
CLAIMS = {
    "claim": lambda d, c: d.claim(c, request()),
    "claim beyond": lambda d, c: d.claim(c, request(BEYOND)),
    "claim between": lambda d, c: d.claim(c, request(BEYOND, 5)),
    "claim until": lambda d, c: d.claim(c, request(None, 5)),
}
STEPS = {
    **CLAIMS,
    "finish and claim": lambda d, c: d.succeed_and_claim(c, successes(), request()),
    "finish and claim beyond": lambda d, c: d.succeed_and_claim(c, successes(), request(BEYOND)),
}


@postgresql
def test_postgresql_kept_plans_of_an_empty_table():
    """
    A general plan is kept while the table changes, and knows neither limit nor ids.

    So it goes by indexes, row by row, whatever the table was like when it was made.
    """
    analyze()
    check_kept_plans()


@postgresql
def test_postgresql_kept_plans_over_history(filled):
    check_kept_plans()


@postgresql
def test_postgresql_claims_read_the_ready_index_in_order(filled):
    """No sort, no sequential scan: the rows come out of django_tasks_ready as they are taken."""
    for name, call in STEPS.items():
        [plan] = plans(call)
        found = list(nodes(plan))
        assert "django_tasks_ready" in {node.get("Index Name") for node in found}, name
        assert not [n for n in found if n.get("Node Type") in ("Sort", "Seq Scan")], (name, plan)


@postgresql
def test_postgresql_cursor_is_an_index_condition(filled):
    """Rows before the cursor are not read and dropped: the comparison bounds the index scan."""
    [plan] = plans(CLAIMS["claim beyond"])

    [scan] = [n for n in nodes(plan) if n.get("Index Name") == "django_tasks_ready"]

    assert "ROW(" in scan["Index Cond"], scan
    assert "priority" not in scan.get("Filter", "")  # the status is, as a locked row may change


@postgresql
def test_postgresql_small_looks_use_their_index(filled):
    """Ready queues, due and expiry times cost no scan of the table."""
    for call in (lambda d, c: d.ready_queues(c, "default"), lambda d, c: d.succeed(c, successes())):
        for plan in plans(call):
            assert not [n for n in nodes(plan) if n.get("Node Type") == "Seq Scan"], plan
    dialect = dialects.dialect_for(connection)
    for column, condition, index in (
        ("run_after", base.SCHEDULED, "django_tasks_scheduled"),
        ("expires_at", base.UNSTARTED, "django_tasks_expires"),
    ):
        plan = explain(f"SELECT {dialect._until(column, condition)}", [])
        assert index in {n.get("Index Name") for n in nodes(plan)}


def check_kept_plans():
    own = connection.copy()
    dialects.dialect_for(own).prepare_claiming_connection(own)
    with contextlib.closing(own):
        for name, call in STEPS.items():
            found = kept_plan(own, call)
            kinds = {node.get("Node Type") for node in found}
            assert kinds.isdisjoint(OF_MANY_ROWS), (name, kinds)
            assert indexes(found) == {READY_INDEX, PRIMARY_KEY}, name
        by_broker = kept_plan(own, lambda d, c: d.claim(c, BROKER_CLAIM))
        assert indexes(by_broker) == {PRIMARY_KEY}


OF_MANY_ROWS = {"Sort", "Incremental Sort", "Merge Join", "Hash Join", "Seq Scan"}
OF_MANY_ROWS |= {"Bitmap Heap Scan", "Bitmap Index Scan"}
READY_INDEX, PRIMARY_KEY = "django_tasks_ready", "django_tasks_taskrecord_pkey"
BROKER_CLAIM = BrokerClaimRequest([uuid7()], ["default"], uuid4(), 1, "default")


def indexes(found):
    return {node["Index Name"] for node in found if "Index Name" in node}


def kept_plan(own, call):
    """Return the nodes of the plan that `own` keeps for a statement."""
    [(sql, parameters)] = statements_of(call)
    numbers = itertools.count(1)
    own.ensure_connection()
    with psycopg.ClientCursor(own.connection) as cursor:
        cursor.execute(f"PREPARE kept AS {re.sub('%s', lambda _: f'${next(numbers)}', sql)}")
        places = ", ".join(["%s"] * len(parameters))
        cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE kept ({places})", parameters)
        [[plan]] = cursor.fetchall()
        cursor.execute("DEALLOCATE kept")
    return list(nodes(plan))


@mysql
def test_mysql_claims_do_not_sort(filled):
    """The index order is the claim order, so that locking stops at the limit."""
    with transaction.atomic():
        plan = explain(dialects.dialect_for(connection)._pick, ["default", "default", 100])

    assert "filesort" not in json.dumps(plan)
    assert {n["key"] for n in nodes(plan) if "key" in n} == {"django_tasks_ready"}


@mysql
def test_mysql_ready_queues_are_found_by_few_of_their_tasks(filled):
    """A long queue is not read to its end, and not once per queue."""
    for name in ("a", "m", "z"):
        make(2000, queue_name=name)
    dialect = dialects.dialect_for(connection)

    before = rows_read()
    names = dialect.ready_queues(connection, "default")
    read = rows_read() - before

    assert names == ["a", "default", "m", "z"]
    assert read < 5 * 2 * NAMES_READ  # of them, and of their names


def rows_read():
    """Return how many rows this session has read by an index or from a temporary table."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(int(value) for _name, value in cursor.fetchall())


@mysql
def test_mysql_successes_are_found_by_primary_key(filled):
    """Finishing a batch looks each row up; it never reads the table."""
    known = list(TaskRecord.objects.values_list("pk", flat=True)[:100])
    told = [Success(task_id, 1, "null", 0.1) for task_id in known]

    [plan] = plans(lambda d, c: d.succeed(c, told))

    tables = [n for n in nodes(plan) if n.get("table_name") in ("t", TABLE)]
    assert tables
    assert all(n["key"] == "PRIMARY" for n in tables), plan


@sqlite
def test_sqlite_claims_read_the_ready_index_in_order(filled):
    """No temporary B-tree for ORDER BY, no scan of the table."""
    for name, call in CLAIMS.items():
        [plan] = plans(call)
        assert "INDEX django_tasks_ready" in plan, name
        assert "TEMP B-TREE" not in plan, plan
        assert f"SCAN {TABLE}" not in plan, plan


@sqlite
def test_sqlite_successes_are_found_by_primary_key(filled):
    """Finishing a batch looks each row up; it never reads the table."""

    [plan] = plans(lambda d, c: d.succeed(c, successes()))

    assert f"SEARCH {TABLE} USING" in plan
    assert f"SCAN {TABLE}" not in plan


@postgresql
def test_postgresql_kept_plans_of_nothing_but_ready_tasks(filled):
    """The last test of this module: it changes the rows."""
    TaskRecord.objects.update(status=Status.READY, finished_at=None, run_after=None)
    analyze()
    check_kept_plans()

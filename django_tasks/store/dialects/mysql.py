"""MySQL 8 and MariaDB."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, IntegrityError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from ...conf import app_settings
from ...redaction.refused_values import number_of
from ...statuses import Status
from ..values import AnyRequest, BrokerClaimRequest, Claim, Held, NewRow, Success
from .base import FIRST_CLAIM, LAST_CLAIM, MOST_ATTEMPTS, NEXT_CLAIM, Dialect, columns
from .batches import TABLE, Columns, as_json

#: Seconds.
CONNECT_TIMEOUT = 10
#: The number of the error "Duplicate entry".
DUPLICATE_KEY = 1062
#: Ready tasks that one statement of ready_queues() reads, in about a millisecond.
NAMES_READ = 500
#: The errors of MariaDB and of MySQL.
_OVER_TIME = (1969, 3024)
#: Drivers that know the three timeouts by these names.
_WITH_TIMEOUTS = ("MySQLdb", "pymysql")


class MySQL(Dialect):
    """
    MySQL and MariaDB: lock rows, then update them by primary key.

    `lock`: SKIP LOCKED, or empty before MariaDB 10.6, where a claim waits for other claims.
    """

    has_claim_cursor = False
    # From the few values to the rows by primary key. The optimizer would read, and lock, all
    # running rows while the statistics say they are few, and the whole of a small table.
    _JOINED = f"STRAIGHT_JOIN {TABLE} t FORCE INDEX (PRIMARY)"
    _UPDATE = (
        "UPDATE {given} STRAIGHT_JOIN {table} t FORCE INDEX (PRIMARY)"
        " SET {assignments} WHERE {match}"
    )
    _ORDER = "priority DESC, id"
    _NAMES = f"""
SELECT queue_name, COUNT(*) FROM (
  SELECT queue_name FROM {TABLE} FORCE INDEX (django_tasks_ready)
  WHERE status = 'READY' AND backend = %s{{beyond}} ORDER BY queue_name LIMIT %s) AS ahead
GROUP BY queue_name ORDER BY queue_name"""

    def __init__(self, lock: str) -> None:
        self._lock = lock
        found = f"SELECT {columns()}, COALESCE(expires_at <= {self.now()}, 0) FROM {TABLE}"
        self._pick = (
            f"{found} WHERE status = 'READY' AND queue_name = %s AND backend = %s"
            f" ORDER BY priority DESC, id LIMIT %s FOR UPDATE {lock}"
        )
        # FORCE INDEX: by the index of ready tasks it would lock all of a queue.
        self._pick_for_broker = (
            f"{found} FORCE INDEX (PRIMARY) WHERE status = 'READY' AND id IN ({{ids}})"
            f" AND queue_name IN ({{queues}}) AND backend = %s FOR UPDATE {lock}"
        )

    def now(self, delay: float = 0.0) -> str:
        if delay:
            return f"(UTC_TIMESTAMP(6) + INTERVAL {round(delay * 1e6)} MICROSECOND)"
        return "UTC_TIMESTAMP(6)"

    def later(self, since: str, seconds: str) -> str:
        return f"({since} + INTERVAL CAST(ROUND({seconds} * 1e6) AS SIGNED) MICROSECOND)"

    def _given(self, columns: Columns) -> str:
        paths = (
            f"`{name}` {_TYPES[kind]} PATH '$[{place}]'"
            for place, (name, kind) in enumerate(columns.items())
        )
        return f"JSON_TABLE(%s, '$[*]' COLUMNS ({', '.join(paths)})) given"

    def _giving(self, columns: Columns, rows: Sequence[Sequence[Any]]) -> list[Any]:
        return [as_json(rows)]

    def lock_running(
        self, connection: BaseDatabaseWrapper, task_ids: Sequence[UUID]
    ) -> dict[UUID, Held]:
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, claims, cancel_requested, hooks FROM {TABLE} FORCE INDEX (PRIMARY)"
                f" WHERE id IN ({_placeholders(task_ids)}) AND status = 'RUNNING'"
                f" ORDER BY id FOR UPDATE {self._lock}",
                [task_id.hex for task_id in task_ids],
            )
            return {
                self.from_id(task_id): Held(claims, bool(is_cancelled), hooks)
                for task_id, claims, is_cancelled, hooks in cursor.fetchall()
            }

    def seconds_between(self, since: str, until: str) -> str:
        return f"(TIMESTAMPDIFF(MICROSECOND, {since}, {until}) / 1e6)"

    def clock(self, connection: BaseDatabaseWrapper) -> datetime:
        with connection.cursor() as cursor:
            cursor.execute("SELECT UTC_TIMESTAMP(6)")
            now: datetime = cursor.fetchone()[0]
        return now.replace(tzinfo=UTC)

    def sees_commits(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            # By two names: tx_isolation in older releases of MariaDB.
            cursor.execute("SHOW SESSION VARIABLES LIKE 't%%_isolation'", [])
            return all(str(level).startswith("READ-") for _name, level in cursor.fetchall())

    def uptime(self, connection: BaseDatabaseWrapper) -> float:
        with connection.cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Uptime'")
            row = cursor.fetchone()
        return float(row[1]) if row else float("inf")

    @contextmanager
    def time_limit(self, connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
        """For the session, which has its own limit back afterwards; MySQL limits SELECT alone."""
        is_mariadb = getattr(connection, "mysql_is_mariadb", False)
        name, unit = ("max_statement_time", 1) if is_mariadb else ("max_execution_time", 1000)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT @@{name}")
            [before] = cursor.fetchone()
            cursor.execute(f"SET SESSION {name} = %s", [round(seconds * unit)])
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute(f"SET SESSION {name} = %s", [before])

    def is_over_time(self, error: DatabaseError) -> bool:
        return bool(error.args) and error.args[0] in _OVER_TIME

    def _until(self, column: str, condition: str) -> str:
        return (
            f"TIMESTAMPDIFF(MICROSECOND, UTC_TIMESTAMP(6), {self._least(column, condition)}) / 1e6"
        )

    def insert_unless_there(self, connection: BaseDatabaseWrapper, row: NewRow, wake: bool) -> bool:
        """
        See the base class. The look spares the lock that an insert leaves on what it collides with.

        Not INSERT IGNORE, which stores what it should refuse. A statement that failed leaves the
        transaction as it was.
        """
        task_id = row.values[row.columns.index("id")]
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT 1 FROM {TABLE} WHERE id = %s", [task_id])
            if cursor.fetchone():
                return False
        try:
            self.insert(connection, row, wake)
        except IntegrityError as error:
            if number_of(error) != DUPLICATE_KEY:
                raise
            return False
        return True

    def _least(self, column: str, condition: str) -> str:
        """By status: their index has one after another, each in the order of the column."""
        each = (
            f"(SELECT {column} AS least FROM {TABLE} WHERE {condition} AND status = '{status}'"
            f" ORDER BY {column} LIMIT 1)"
            for status in (Status.SCHEDULED, Status.READY)
        )
        return f"(SELECT MIN(least) FROM ({' UNION ALL '.join(each)}) AS found)"

    def claim(self, connection: BaseDatabaseWrapper, request: AnyRequest) -> list[Claim]:
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            cursor.execute(*self._picking(request))
            rows = cursor.fetchall()
            if not rows:
                return []
            ids = _placeholders(rows)
            cursor.execute(
                f"UPDATE {TABLE} SET status = 'RUNNING', claims = {NEXT_CLAIM},"
                f" attempts = LEAST(attempts, {MOST_ATTEMPTS}) + 1, worker_id = %s, process = %s,"
                f" last_attempted_at = {self.now()},"
                f" started_at = COALESCE(started_at, {self.now()})"
                f" WHERE id IN ({ids}) AND status = 'READY'",
                [request.worker_id.hex, request.process, *(row[0] for row in rows)],
            )
        return [self._claimed(row) for row in rows]

    def ready_queues(self, connection: BaseDatabaseWrapper, backend: str) -> list[str]:
        """
        Return the names of a backend's queues with ready tasks, by one statement for most.

        Not by the hops of the base class: compared with a value of another row, queue_name is no
        range of the index, and each hop would read all that is ready. GROUP BY alone would, too:
        MariaDB makes no hops in an index that has a descending part.
        """
        names: list[str] = []
        with connection.cursor() as cursor:
            while True:
                sql = self._NAMES.format(beyond=" AND queue_name > %s" if names else "")
                cursor.execute(sql, [backend, *names[-1:], NAMES_READ])
                found = cursor.fetchall()
                names += [name for name, _count in found]
                if sum(count for _name, count in found) < NAMES_READ:
                    return names

    def _picking(self, request: AnyRequest) -> tuple[str, list[Any]]:
        if not isinstance(request, BrokerClaimRequest):
            return self._pick, [request.queue_name, request.backend, request.limit]
        sql = self._pick_for_broker.format(
            ids=_placeholders(request.ids), queues=_placeholders(request.queue_names)
        )
        return sql, [*(i.hex for i in request.ids), *request.queue_names, request.backend]

    def _claimed(self, row: Sequence[Any]) -> Claim:
        claim = Claim._make((self.from_id(row[0]), *row[1:]))
        return claim._replace(
            attempts=min(claim.attempts, MOST_ATTEMPTS) + 1,
            claims=FIRST_CLAIM if claim.claims == LAST_CLAIM else claim.claims + 1,
        )

    def prepare_worker_connection(self, connection: BaseDatabaseWrapper) -> None:
        """
        Have the driver give up on a server that says nothing: it would wait for ever.

        A lease is long enough for any statement of a worker: whoever waits longer for one has
        lost its tasks to others.
        """
        super().prepare_worker_connection(connection)
        vars(connection)[_LIMITED] = True
        connection_created.connect(_limit_lock_waits, dispatch_uid=_LIMITED)
        driver = connection.Database  # type: ignore[attr-defined]
        if driver.__name__ not in _WITH_TIMEOUTS:
            return
        options = connection.settings_dict.setdefault("OPTIONS", {})
        options.setdefault("connect_timeout", CONNECT_TIMEOUT)
        for name in ("read_timeout", "write_timeout"):
            options.setdefault(name, max(CONNECT_TIMEOUT, math.ceil(app_settings.LEASE)))

    def _not_waiting(self, connection: Any) -> str:
        """Return what keeps MariaDB from waiting for a lock in the statement that follows."""
        return (
            "SET STATEMENT innodb_lock_wait_timeout=0 FOR " if connection.mysql_is_mariadb else ""
        )

    def _succeed(self, connection: BaseDatabaseWrapper, successes: Sequence[Success]) -> int:
        document = json.dumps([(s[0].hex, s[1], s[2], round(s[3], 6)) for s in successes])
        waits = "" if _LIMITED not in vars(connection) else self._not_waiting(connection)
        with connection.cursor() as cursor:
            cursor.execute(
                f"{waits}UPDATE JSON_TABLE(%s, '$[*]' COLUMNS ("
                " id CHAR(32) PATH '$[0]', claims BIGINT PATH '$[1]',"
                " value LONGTEXT PATH '$[2]', run_time DOUBLE PATH '$[3]')) done"
                f" {self._JOINED} ON t.id = done.id AND t.claims = done.claims"
                f" SET t.status = 'SUCCESSFUL', t.finished_at = {self.now()},"
                f" t.prune_after = {self.prune_after()},"
                " t.return_value = done.value, t.run_time = done.run_time"
                " WHERE t.status = 'RUNNING'",
                [document],
            )
            return int(cursor.rowcount)


def _limit_lock_waits(sender: Any, connection: BaseDatabaseWrapper, **kwargs: Any) -> None:
    """Have a worker's connection wait for a lock as short as every server can: a second."""
    if _LIMITED in vars(connection):
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")


#: Set on a connection of a worker.
_LIMITED = "django_tasks_limited"
#: What the values of a table travel as.
_TYPES = {UUID: "CHAR(32)", int: "BIGINT", float: "DOUBLE", str: "LONGTEXT"}


def _placeholders(values: Sequence[Any]) -> str:
    return ", ".join(["%s"] * len(values))

"""What every dialect offers, and what can be said in common SQL."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from ...brokers.base import Listener
from ..values import CLAIMED, AnyRequest, Claim, NewRow, NewRows, Success
from .batches import TABLE, BatchWrites, by_id
from .listening import PostgreSQLListener

#: Sent instead of a queue when people ask something of workers. No queue can have this name.
CONTROL_REQUEST = "*"
#: A counter at the column's end stays there: it must not stop the whole queue.
MOST_ATTEMPTS = 2**31 - 2
#: Which claim it is, is asked for equality alone: behind the column's end it goes on at the other.
LAST_CLAIM, FIRST_CLAIM = 2**63 - 1, -(2**63) + 1
NEXT_CLAIM = f"CASE claims WHEN {LAST_CLAIM} THEN {FIRST_CLAIM} ELSE claims + 1 END"
#: Seconds that a statement of a worker waits for a lock that somebody else has.
LOCK_TIMEOUT = 0.25


class Dialect(BatchWrites):
    """One database's ways. The base class holds what can be said in common SQL."""

    #: Whether claims begin behind the ones before, as claimed rows may stay in the index. It takes
    #: one by which rows can be told apart by (priority * -1, id) > (x, y).
    has_claim_cursor = True
    #: Whether a listening connection can be woken by the database.
    has_notify = False
    #: The order of claims, and what lies behind a place in it.
    _ORDER = "(priority * -1), id"
    _BEYOND = " AND ((priority * -1), id) > (%s, %s)"

    def seconds_between(self, since: str, until: str) -> str:
        """Return SQL for the seconds from one time to another; `since` comes first in it."""
        raise NotImplementedError

    def to_id(self, task_id: UUID) -> Any:
        """Return an id as the driver takes it."""
        return task_id.hex

    def from_id(self, value: Any) -> UUID:
        """Return an id that the driver gave."""
        return value if isinstance(value, UUID) else UUID(value)

    def insert(self, connection: BaseDatabaseWrapper, row: NewRow, wake: bool) -> None:
        """
        Insert one row: READY, or SCHEDULED when its run_after is ahead by the database's clock.

        `wake`: wake the workers of its queue when the transaction commits.
        """
        sql, parameters = self._insert(row)
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def insert_unless_there(self, connection: BaseDatabaseWrapper, row: NewRow, wake: bool) -> bool:
        """
        Insert one row as insert() does, and tell whether there was none with its id.

        Another transaction that has just inserted the same id is waited for. What the caller's
        transaction did before stays as it is either way.
        """
        sql, parameters = self._insert(row)
        with connection.cursor() as cursor:
            cursor.execute(f"{sql} ON CONFLICT (id) DO NOTHING", parameters)
            return bool(cursor.rowcount)

    def insert_many(self, connection: BaseDatabaseWrapper, rows: NewRows, wake: bool) -> None:
        """Insert rows that differ in id, args and kwargs only."""
        first = NewRow(
            (*rows.columns, "id", "args", "kwargs"),
            (*rows.shared, "", "", ""),
            rows.run_after,
            waits=rows.waits,
        )
        sql, _ = self._insert(first)
        _, after = self._status_of(rows)
        with connection.cursor() as cursor:
            cursor.executemany(
                sql,
                [
                    (*rows.shared, self.to_id(id_), args, kwargs, *after)
                    for id_, args, kwargs in rows.own
                ],
            )

    def _insert(self, row: NewRow) -> tuple[str, Sequence[Any]]:
        names = ", ".join((*row.columns, "status"))
        values = ", ".join(["%s"] * len(row.columns))
        status, parameters = self._status_of(row)
        return f"INSERT INTO {TABLE} ({names}) VALUES ({values}, {status})", (
            *row.values,
            *parameters,
        )

    def _status_of(self, row: NewRow | NewRows) -> tuple[str, Sequence[Any]]:
        if row.waits:
            return "'WAITING'", ()
        if row.run_after is None:
            return "'READY'", ()
        return f"CASE WHEN %s <= {self.now()} THEN 'READY' ELSE 'SCHEDULED' END", (row.run_after,)

    def claim(self, connection: BaseDatabaseWrapper, request: AnyRequest) -> list[Claim]:
        """
        Take ready tasks, READY to RUNNING: the next of a queue, or those that a broker points to.

        Rows that others hold are passed over where the database can.
        """
        raise NotImplementedError

    def succeed(
        self,
        connection: BaseDatabaseWrapper,
        successes: Sequence[Success],
        *,
        skip_locked: bool = False,
    ) -> int:
        """
        RUNNING to SUCCESSFUL for each claim that still holds; return how many did.

        Rows are locked in the order of their ids. One that somebody else has locked is waited for,
        as long as the connection allows; `skip_locked` leaves it as it is.
        """
        if not skip_locked:
            return self._succeed(connection, sorted(successes, key=by_id))
        with transaction.atomic(using=connection.alias):
            held = self.lock_running(connection, [success.id for success in successes])
            free = [success for success in successes if success.id in held]
            return self._succeed(connection, sorted(free, key=by_id)) if free else 0

    def _succeed(self, connection: BaseDatabaseWrapper, successes: Sequence[Success]) -> int:
        raise NotImplementedError

    def succeed_and_claim(
        self,
        connection: BaseDatabaseWrapper,
        successes: Sequence[Success],
        request: AnyRequest,
        *,
        skip_locked: bool = False,
    ) -> tuple[int, list[Claim]]:
        """Do both, in one statement where the database can."""
        accepted = self.succeed(connection, successes, skip_locked=skip_locked)
        return accepted, self.claim(connection, request)

    def ready_queues(self, connection: BaseDatabaseWrapper, backend: str) -> list[str]:
        """Return the names of a backend's queues with ready tasks, by hops through the index."""
        with connection.cursor() as cursor:
            cursor.execute(LOOSE_SCAN, [backend, backend])
            return [name for (name,) in cursor.fetchall()]

    def look_at_ready(
        self,
        connection: BaseDatabaseWrapper,
        queues: Sequence[tuple[str, str]],
        *,
        counted: int,
        aged: int,
    ) -> list[tuple[int, float | None]]:
        """
        Return per (backend, queue) how many are ready, and the seconds for which the first is.

        Not more than `counted` are counted. The first is that of the `aged` that are next in turn:
        their times are not in the index.
        """
        if not queues:
            return []
        ready = f"FROM {TABLE} WHERE status = 'READY' AND backend = %s AND queue_name = %s"
        count = f"SELECT COUNT(*) FROM (SELECT 1 AS one {ready} LIMIT {counted:d}) counted"
        age = (
            f"SELECT {self.seconds_between('MIN(since)', self.now())} FROM (SELECT"
            f" COALESCE(run_after, enqueued_at) AS since {ready}"
            f" ORDER BY {self._ORDER} LIMIT {aged:d}) aged"
        )
        looks = (f"SELECT {n:d}, ({count}), ({age})" for n in range(len(queues)))
        with connection.cursor() as cursor:
            cursor.execute(
                " UNION ALL ".join(looks), [name for queue in queues for name in queue * 2]
            )
            found = sorted(cursor.fetchall())
        return [
            (number, None if seconds is None else max(0.0, float(seconds)))
            for _place, number, seconds in found
        ]

    def ready_priorities(
        self, connection: BaseDatabaseWrapper, queues: Sequence[tuple[str, str]], most: int
    ) -> list[tuple[str, str, int, int]]:
        """
        Return (backend, queue, priority, number) of ready tasks, the first to run first.

        `queues`: pairs of backend and name, for each of which `most` tasks are looked at, those
        that are next in turn.
        """
        if not queues:
            return []
        ahead = (
            f"SELECT * FROM (SELECT backend, queue_name, priority FROM {TABLE} WHERE"
            f" status = 'READY' AND backend = %s AND queue_name = %s ORDER BY {self._ORDER}"
            f" LIMIT {most:d}) AS queue"
        )
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT backend, queue_name, priority, COUNT(*) FROM"
                f" ({' UNION ALL '.join([ahead] * len(queues))}) AS ready"
                " GROUP BY backend, queue_name, priority ORDER BY priority DESC",
                [value for queue in queues for value in queue],
            )
            return [tuple(row) for row in cursor.fetchall()]

    def next_in_turn(
        self, connection: BaseDatabaseWrapper, backend: str, queue_name: str, limit: int,
        beyond: tuple[int, UUID] | None = None,
    ) -> list[tuple[UUID, int]]:  # fmt: skip
        """Return (id, priority) of a queue's ready tasks in their order, from the index alone."""
        behind, place = "", []
        if beyond is not None:
            behind, place = self._BEYOND, [beyond[0], self.to_id(beyond[1])]
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, priority FROM {TABLE} WHERE status = 'READY' AND backend = %s"
                f" AND queue_name = %s{behind} ORDER BY {self._ORDER} LIMIT %s",
                [backend, queue_name, *place, limit],
            )
            return [(self.from_id(task_id), priority) for task_id, priority in cursor.fetchall()]

    def seconds_until_next(self, connection: BaseDatabaseWrapper) -> tuple[float, float]:
        """Return the seconds until the next task is due, and until the next one expires."""
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT {self._until('run_after', SCHEDULED)},"
                f" {self._until('expires_at', UNSTARTED)}",
                [],
            )
            due, expiry = cursor.fetchone()
        return (
            float("inf") if due is None else float(due),
            float("inf") if expiry is None else float(expiry),
        )

    def _until(self, column: str, condition: str) -> str:
        """Return SQL for the seconds from now to the smallest `column`."""
        raise NotImplementedError

    def _least(self, column: str, condition: str) -> str:
        """Return SQL for the smallest `column`: the first of an index, see LOOSE_SCAN."""
        return f"(SELECT {column} FROM {TABLE} WHERE {condition} ORDER BY {column} LIMIT 1)"

    @contextmanager
    def time_limit(self, connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
        """Have the database give up what takes longer, where it can; see is_over_time()."""
        yield

    def is_over_time(self, error: DatabaseError) -> bool:
        """Tell whether the database gave a statement up because it took too long."""
        return False

    def clock(self, connection: BaseDatabaseWrapper) -> datetime:
        """Return the database's time."""
        return datetime.now(UTC)

    def sees_commits(self, connection: BaseDatabaseWrapper) -> bool:
        """Tell whether the transaction that is open sees what others commit meanwhile."""
        return False

    def uptime(self, connection: BaseDatabaseWrapper) -> float:
        """Return the seconds since the server started; infinity where there is no server."""
        return float("inf")

    def change_marker(self, connection: BaseDatabaseWrapper) -> int | None:
        """Return a number that changes when others commit, if that costs next to nothing."""
        return None

    def notify(self, connection: BaseDatabaseWrapper, queue: str) -> None:
        """Wake the workers of `queue` when the transaction commits."""

    def listener(self, connection: BaseDatabaseWrapper) -> Listener | None:
        """Return what hears notifications, on a connection beside this one; None without any."""
        return PostgreSQLListener(connection) if self.has_notify else None

    def keep_to_order(self, connection: BaseDatabaseWrapper) -> None:
        """Have what the open transaction reads come out of an index in its order, not be sorted."""

    def prepare_worker_connection(self, connection: BaseDatabaseWrapper) -> None:
        """
        Set a worker's own connection up, before it is opened.

        It commits each statement, whatever DATABASES says of AUTOCOMMIT: the worker does not call
        commit(). And it remembers no queries while settings.DEBUG is true: there is no request
        whose end would forget them, and all return values are among them.
        """
        connection.settings_dict = copy.deepcopy(connection.settings_dict) | {"AUTOCOMMIT": True}
        connection.queries_log = deque(maxlen=0)

    def prepare_claiming_connection(self, connection: BaseDatabaseWrapper) -> None:
        """Set up the one by which a process claims and records: a few statements, over and over."""
        self.prepare_worker_connection(connection)


SCHEDULED = "status = 'SCHEDULED'"
UNSTARTED = "status IN ('SCHEDULED', 'READY') AND expires_at IS NOT NULL"

# Not by MIN(): while the statistics say that little is ready, PostgreSQL reads all of it for that.
LOOSE_SCAN = f"""
WITH RECURSIVE queue(name) AS (
  SELECT (SELECT queue_name FROM {TABLE} WHERE status = 'READY' AND backend = %s
          ORDER BY queue_name LIMIT 1)
  UNION ALL
  SELECT (SELECT t.queue_name FROM {TABLE} t
          WHERE t.status = 'READY' AND t.backend = %s AND t.queue_name > queue.name
          ORDER BY t.queue_name LIMIT 1)
  FROM queue WHERE queue.name IS NOT NULL)
SELECT name FROM queue WHERE name IS NOT NULL"""


def columns(prefix: str = "") -> str:
    return ", ".join(prefix + column for column in CLAIMED)

"""PostgreSQL 14 and later."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from ..rows import CLAIMED, AnyRequest, Claim, NewRow, NewRows, PointedRequest, Success
from .base import MOST_ATTEMPTS, NOTIFY_CHANNEL, TABLE, Dialect, columns


class PostgreSQL(Dialect):
    """Batches as arrays; claims by one UPDATE over SKIP LOCKED rows."""

    has_notify = True

    _PICK_NEXT = f"""
picked AS MATERIALIZED (
  SELECT id FROM {TABLE}
  WHERE status = 'READY' AND queue_name = %s AND backend = %s{{range}}
  ORDER BY (priority * -1), id LIMIT %s FOR UPDATE SKIP LOCKED)"""
    # LIKE: with "=" it would go through the index of all that is ready while the statistics say
    # that this is little.
    _PICK_POINTED = f"""
picked AS MATERIALIZED (
  SELECT id FROM {TABLE}
  WHERE id = ANY(%s::uuid[]) AND status LIKE 'READY' AND queue_name = ANY(%s) AND backend = %s
  FOR UPDATE SKIP LOCKED)"""
    _TAKE = f"""
UPDATE {TABLE} t SET status = 'RUNNING', claims = t.claims + 1,
  attempts = LEAST(t.attempts, {MOST_ATTEMPTS}) + 1, worker_id = %s::uuid, process = %s,
  last_attempted_at = statement_timestamp(),
  started_at = COALESCE(t.started_at, statement_timestamp())
FROM picked WHERE t.id = picked.id
RETURNING {columns("t.")}, COALESCE(t.expires_at <= statement_timestamp(), FALSE) AS is_expired"""
    _FINISH = f"""
UPDATE {TABLE} t SET status = 'SUCCESSFUL', finished_at = statement_timestamp(),
  return_value = done.value, run_time = done.run_time
FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::float8[])
  AS done(id, claims, value, run_time)
WHERE t.id = done.id AND t.claims = done.claims AND t.status = 'RUNNING'"""
    _BEYOND = " AND ((priority * -1), id) > (%s, %s::uuid)"
    _UNTIL = " AND (priority * -1) <= %s"
    #: By whether a claim has a place to begin behind, and one to end at.
    _PICKS = {
        (False, False): _PICK_NEXT.format(range=""),
        (False, True): _PICK_NEXT.format(range=_UNTIL),
        (True, False): _PICK_NEXT.format(range=_BEYOND),
        (True, True): _PICK_NEXT.format(range=_BEYOND + _UNTIL),
    }

    def now(self, delay: float = 0.0) -> str:
        # Not clock_timestamp(): it is volatile, and no condition on it can use an index.
        if not delay:
            return "statement_timestamp()"
        return f"(statement_timestamp() + interval '{delay:.6f} seconds')"

    def seconds_between(self, since: str, until: str) -> str:
        return f"(-EXTRACT(EPOCH FROM {since} - {until})::float8)"

    def to_id(self, task_id: UUID) -> Any:
        return str(task_id)

    def _until(self, column: str, condition: str) -> str:
        return f"EXTRACT(EPOCH FROM {self._least(column, condition)} - clock_timestamp())"

    def clock(self, connection: BaseDatabaseWrapper) -> datetime:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
            now: datetime = cursor.fetchone()[0]
        return now.replace(tzinfo=UTC)

    def uptime(self, connection: BaseDatabaseWrapper) -> float:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT EXTRACT(EPOCH FROM clock_timestamp() - pg_postmaster_start_time())"
            )
            return float(cursor.fetchone()[0])

    @contextmanager
    def time_limit(self, connection: BaseDatabaseWrapper, seconds: float) -> Iterator[None]:
        """In a transaction, as poolers hand a session on with whatever was set for it."""
        with transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute(f"SET LOCAL statement_timeout = {round(seconds * 1000)}")
            yield

    def is_over_time(self, error: DatabaseError) -> bool:
        cause = error.__cause__  # psycopg calls it sqlstate, psycopg2 pgcode
        return _QUERY_CANCELED in (getattr(cause, "sqlstate", ""), getattr(cause, "pgcode", ""))

    def insert(self, connection: BaseDatabaseWrapper, row: NewRow, wake: bool) -> None:
        sql, parameters = self._insert(row)
        if wake:  # in one statement: a second one would be a second commit in autocommit mode
            sql += f" RETURNING pg_notify('{NOTIFY_CHANNEL}', queue_name)"
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def insert_many(self, connection: BaseDatabaseWrapper, rows: NewRows, wake: bool) -> None:
        """Unnest arrays of what differs; the shared values are sent once."""
        ids, args, kwargs = zip(*rows.own, strict=True)
        names = ", ".join((*rows.columns, "id", "args", "kwargs", "status"))
        shared = ", ".join(["%s"] * len(rows.shared))
        status, parameters = self._status_of(rows.run_after)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {TABLE} ({names}) SELECT {shared}, own.id, own.args, own.kwargs,"
                f" {status} FROM unnest(%s::uuid[], %s::text[], %s::text[])"
                " AS own(id, args, kwargs)",
                (
                    *rows.shared,
                    *parameters,
                    _array(map(str, ids)),
                    _text_array(args),
                    _text_array(kwargs),
                ),
            )
        if wake:
            self.notify(connection, rows.queue_name)

    def notify(self, connection: BaseDatabaseWrapper, queue: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", (NOTIFY_CHANNEL, queue))

    def claim(self, connection: BaseDatabaseWrapper, request: AnyRequest) -> list[Claim]:
        with _claiming_cursor(connection) as cursor:
            cursor.execute(_claiming(self._pick(request)), self._claim_parameters(request))
            return [Claim._make(row) for row in cursor.fetchall()]

    def succeed(self, connection: BaseDatabaseWrapper, successes: Sequence[Success]) -> int:
        with _claiming_cursor(connection) as cursor:
            cursor.execute(self._FINISH, self._success_parameters(successes))
            return int(cursor.rowcount)

    def succeed_and_claim(
        self, connection: BaseDatabaseWrapper, successes: Sequence[Success], request: AnyRequest
    ) -> tuple[int, list[Claim]]:
        parameters = (*self._success_parameters(successes), *self._claim_parameters(request))
        with _claiming_cursor(connection) as cursor:
            cursor.execute(_ending_and_claiming(self._pick(request)), parameters)
            *claimed, counts = cursor.fetchall()
        return counts[len(CLAIMED) - 1], [Claim._make(row) for row in claimed]

    def _pick(self, request: AnyRequest) -> str:
        if isinstance(request, PointedRequest):
            return self._PICK_POINTED
        return self._PICKS[request.beyond is not None, request.until is not None]

    def _claim_parameters(self, request: AnyRequest) -> list[Any]:
        if isinstance(request, PointedRequest):
            ids = _array(map(str, request.ids))
            picked: list[Any] = [ids, list(request.queue_names), request.backend]
        else:
            beyond = [request.beyond[0], str(request.beyond[1])] if request.beyond else []
            until = [] if request.until is None else [request.until]
            picked = [request.queue_name, request.backend, *beyond, *until, request.limit]
        return [*picked, str(request.worker_id), request.process]

    def _success_parameters(self, successes: Sequence[Success]) -> list[str]:
        ids, claims, values, run_times = zip(*successes, strict=True)
        return [
            _array(map(str, ids)),
            _array(map(str, claims)),
            _text_array(values),
            _array(f"{s:.6f}" for s in run_times),
        ]

    def prepare_worker_connection(self, connection: BaseDatabaseWrapper) -> None:
        """
        Prepare statements, which halves the time of a small claim.

        Never from a pool: heartbeats and results must not wait for a connection that bodies hold.
        Not behind PgBouncer in transaction mode, of which DISABLE_SERVER_SIDE_CURSORS is Django's
        sign: prepared statements and session settings do not work there.
        """
        self._prepare(connection, _SESSION)

    def prepare_claiming_connection(self, connection: BaseDatabaseWrapper) -> None:
        """Plan each statement once, too: planning a batch costs more than claiming it."""
        self._prepare(connection, _SESSION + _PLANNED_ONCE)
        vars(connection)[_KEPT] = KeptCursor(connection)

    def _prepare(self, connection: BaseDatabaseWrapper, session: Sequence[str]) -> None:
        settings = copy.deepcopy(connection.settings_dict)
        options = settings.setdefault("OPTIONS", {})
        options.pop("pool", None)
        # A line that is cut without a word is found out in seconds, not in a quarter of an hour.
        for name, value in _WATCHFUL.items():
            options.setdefault(name, value)
        if _has_psycopg3() and not settings.get("DISABLE_SERVER_SIDE_CURSORS"):
            options |= {"server_side_binding": True, "prepare_threshold": 2}
            given = options.get("options", "")
            options["options"] = " ".join([given, *(f"-c {each}" for each in session)]).strip()
        connection.settings_dict = settings


# Cached, as a kept cursor goes on where it was when it is given the very same text.


@cache
def _claiming(pick: str) -> str:
    return f"WITH{pick}{PostgreSQL._TAKE}"


@cache
def _ending_and_claiming(pick: str) -> str:
    return (
        f"WITH finished AS ({PostgreSQL._FINISH} RETURNING 1),{pick},"
        f" taken AS ({PostgreSQL._TAKE})"
        f" SELECT {columns()}, is_expired FROM taken"
        f" UNION ALL SELECT {'NULL, ' * (len(CLAIMED) - 1)} count(*), NULL FROM finished"
    )


class KeptCursor:
    """
    The cursor of a claiming connection, for as long as its line to the server lasts.

    On a processor that was idle, to make one takes a third of the time that Python needs for a
    small claim; and psycopg keeps with it how it wrote the last statement's parameters.
    """

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection
        self._cursor: CursorWrapper | None = None

    def __enter__(self) -> CursorWrapper:
        if self._cursor is None or self._cursor.connection is not self._connection.connection:
            self._cursor = self._connection.cursor()
        return self._cursor

    def __exit__(self, *exception: object) -> None:
        """Keep it."""


def _claiming_cursor(connection: BaseDatabaseWrapper) -> AbstractContextManager[CursorWrapper]:
    kept: KeptCursor | None = vars(connection).get(_KEPT)
    return kept or connection.cursor()


_QUERY_CANCELED = "57014"
#: Where a connection that claims has its kept cursor.
_KEPT = "django_tasks_cursor"
#: A plan that is kept must not be one of the moment when the table was empty.
_SESSION = ("jit=off", "enable_seqscan=off")
#: A general plan does not know the limit of a claim. It would rather sort or merge all that is
#: ready than go through the indexes, row by row.
_PLANNED_ONCE = (
    "plan_cache_mode=force_generic_plan",
    "enable_sort=off",
    "enable_mergejoin=off",
    "enable_hashjoin=off",
    "enable_bitmapscan=off",
)
_WATCHFUL = {
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "connect_timeout": 10,
}


def _has_psycopg3() -> bool:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)


def _array(values: Iterable[str]) -> str:
    """Return a PostgreSQL array literal of values that need no quotes."""
    return "{" + ",".join(values) + "}"


def _text_array(values: Sequence[str | None]) -> str:
    """Return a PostgreSQL array literal of any text; None is NULL."""
    quoted = (
        "NULL" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for v in values
    )
    return "{" + ",".join(quoted) + "}"

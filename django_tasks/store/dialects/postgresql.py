"""PostgreSQL 14 and later."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from functools import cache
from typing import Any
from uuid import UUID

from django.db import DatabaseError, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from ...definitions.options import LONGEST
from ..values import CLAIMED, AnyRequest, BrokerClaimRequest, Claim, Held, NewRow, NewRows, Success
from .base import LOCK_TIMEOUT, MOST_ATTEMPTS, NEXT_CLAIM, Dialect, columns
from .batches import TABLE, Columns, by_id
from .listening import NOTIFY_CHANNEL

#: In the statement that inserts: a second one would be a second commit in autocommit mode.
_AND_NOTIFY = f" RETURNING pg_notify('{NOTIFY_CHANNEL}', queue_name)"


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
    _PICK_FOR_BROKER = f"""
picked AS MATERIALIZED (
  SELECT id FROM {TABLE}
  WHERE id = ANY(%s::uuid[]) AND status LIKE 'READY' AND queue_name = ANY(%s) AND backend = %s
  FOR UPDATE SKIP LOCKED)"""
    _TAKE = f"""
UPDATE {TABLE} t SET status = 'RUNNING', claims = {NEXT_CLAIM.replace("claims", "t.claims")},
  attempts = LEAST(t.attempts, {MOST_ATTEMPTS}) + 1, worker_id = %s::uuid, process = %s,
  last_attempted_at = statement_timestamp(),
  started_at = COALESCE(t.started_at, statement_timestamp())
FROM picked WHERE t.id = picked.id
RETURNING {columns("t.")}, COALESCE(t.expires_at <= statement_timestamp(), FALSE) AS is_expired"""
    _PRUNE_AFTER = (
        "CASE WHEN result_ttl IS NOT NULL THEN statement_timestamp()"
        f" + make_interval(secs => LEAST(GREATEST(result_ttl, 0.0), {LONGEST})) END"
    )
    _FINISH = f"""
UPDATE {TABLE} t SET status = 'SUCCESSFUL', finished_at = statement_timestamp(),
  prune_after = {_PRUNE_AFTER},
  return_value = done.value, run_time = done.run_time
FROM unnest(%s::uuid[], %s::bigint[], %s::text[], %s::float8[])
  AS done(id, claims, value, run_time)
WHERE t.id = done.id AND t.claims = done.claims AND t.status = 'RUNNING'"""
    # For what waits for nobody, and for connections whose waiting cannot be limited.
    _HELD = f"""
held AS MATERIALIZED (
  SELECT id FROM {TABLE} WHERE id = ANY(%s::uuid[]) AND status LIKE 'RUNNING'
  ORDER BY id FOR NO KEY UPDATE SKIP LOCKED)"""
    _FINISH_HELD = f"{_FINISH} AND t.id IN (SELECT id FROM held)"
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

    def _given(self, columns: Columns) -> str:
        arrays = ", ".join(f"%s::{_ARRAYS[kind]}[]" for kind in columns.values())
        return f"unnest({arrays}) AS given({', '.join(columns)})"

    def _giving(self, columns: Columns, rows: Sequence[Sequence[Any]]) -> list[Any]:
        values = zip(*rows, strict=True)
        return [
            _text_array(each) if kind is str else _array(map(_plain, each))
            for kind, each in zip(columns.values(), values, strict=True)
        ]

    def lock_running(
        self, connection: BaseDatabaseWrapper, task_ids: Sequence[UUID]
    ) -> dict[UUID, Held]:
        # NO KEY: a foreign key of the project to tasks, in an open transaction, bars nobody.
        with connection.cursor() as cursor:
            cursor.execute(
                f"SELECT id, claims, cancel_requested, hooks FROM {TABLE}"
                " WHERE id = ANY(%s::uuid[]) AND status LIKE 'RUNNING'"
                " ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
                [_id_array(task_ids)],
            )
            return {row[0]: Held._make(row[1:]) for row in cursor.fetchall()}

    def seconds_between(self, since: str, until: str) -> str:
        return f"(-EXTRACT(EPOCH FROM {since} - {until})::float8)"

    def later(self, since: str, seconds: str) -> str:
        return f"({since} + make_interval(secs => {seconds}))"

    def prune_after(self) -> str:
        return self._PRUNE_AFTER

    def to_id(self, task_id: UUID) -> Any:
        return str(task_id)

    def _until(self, column: str, condition: str) -> str:
        return f"EXTRACT(EPOCH FROM {self._least(column, condition)} - clock_timestamp())"

    def clock(self, connection: BaseDatabaseWrapper) -> datetime:
        with connection.cursor() as cursor:
            cursor.execute("SELECT clock_timestamp() AT TIME ZONE 'UTC'")
            now: datetime = cursor.fetchone()[0]
        return now.replace(tzinfo=UTC)

    def sees_commits(self, connection: BaseDatabaseWrapper) -> bool:
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            return str(cursor.fetchone()[0]).startswith("read ")

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
        if wake:
            sql += _AND_NOTIFY
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)

    def insert_unless_there(self, connection: BaseDatabaseWrapper, row: NewRow, wake: bool) -> bool:
        sql, parameters = self._insert(row)
        sql += f" ON CONFLICT (id) DO NOTHING{_AND_NOTIFY if wake else ''}"
        with connection.cursor() as cursor:
            cursor.execute(sql, parameters)
            return bool(cursor.rowcount)

    def insert_many(self, connection: BaseDatabaseWrapper, rows: NewRows, wake: bool) -> None:
        """Unnest arrays of what differs; the shared values are sent once."""
        ids, args, kwargs = zip(*rows.own, strict=True)
        names = ", ".join((*rows.columns, "id", "args", "kwargs", "status"))
        shared = ", ".join(["%s"] * len(rows.shared))
        status, parameters = self._status_of(rows)
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {TABLE} ({names}) SELECT {shared}, own.id, own.args, own.kwargs,"
                f" {status} FROM unnest(%s::uuid[], %s::text[], %s::text[])"
                " AS own(id, args, kwargs)",
                (
                    *rows.shared,
                    *parameters,
                    _id_array(ids),
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

    def succeed(
        self,
        connection: BaseDatabaseWrapper,
        successes: Sequence[Success],
        *,
        skip_locked: bool = False,
    ) -> int:
        finish, parameters = self._finishing(connection, successes, skip_locked)
        sql = finish if finish is self._FINISH else f"WITH {self._HELD} {finish}"
        with _claiming_cursor(connection) as cursor:
            cursor.execute(sql, parameters)
            return int(cursor.rowcount)

    def succeed_and_claim(
        self,
        connection: BaseDatabaseWrapper,
        successes: Sequence[Success],
        request: AnyRequest,
        *,
        skip_locked: bool = False,
    ) -> tuple[int, list[Claim]]:
        finish, parameters = self._finishing(connection, successes, skip_locked)
        with _claiming_cursor(connection) as cursor:
            cursor.execute(
                _ending_and_claiming(finish, self._pick(request)),
                [*parameters, *self._claim_parameters(request)],
            )
            *claimed, counts = cursor.fetchall()
        return counts[len(CLAIMED) - 1], [Claim._make(row) for row in claimed]

    def _finishing(
        self, connection: BaseDatabaseWrapper, successes: Sequence[Success], skip_locked: bool
    ) -> tuple[str, list[Any]]:
        parameters = self._success_parameters(successes)
        if not (skip_locked or vars(connection).get(_WAITS)):
            return self._FINISH, parameters
        ids, *_rest = parameters
        return self._FINISH_HELD, [ids, *parameters]

    def _pick(self, request: AnyRequest) -> str:
        if isinstance(request, BrokerClaimRequest):
            return self._PICK_FOR_BROKER
        return self._PICKS[request.beyond is not None, request.until is not None]

    def _claim_parameters(self, request: AnyRequest) -> list[Any]:
        if isinstance(request, BrokerClaimRequest):
            ids = _id_array(request.ids)
            picked: list[Any] = [ids, list(request.queue_names), request.backend]
        else:
            beyond = [request.beyond[0], str(request.beyond[1])] if request.beyond else []
            until = [] if request.until is None else [request.until]
            picked = [request.queue_name, request.backend, *beyond, *until, request.limit]
        return [*picked, str(request.worker_id), request.process]

    def _success_parameters(self, successes: Sequence[Success]) -> list[Any]:
        # The rows are locked as the statement comes to them, by a loop over these arrays.
        ids, claims, values, run_times = zip(*sorted(successes, key=by_id), strict=True)
        return [
            _id_array(ids),
            _array(map(str, claims)),
            _text_array(values),
            _array(f"{s:.6f}" for s in run_times),
        ]

    def keep_to_order(self, connection: BaseDatabaseWrapper) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('enable_sort', 'off', true),"
                " set_config('enable_bitmapscan', 'off', true)"
            )

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
        super().prepare_worker_connection(connection)
        options = connection.settings_dict.setdefault("OPTIONS", {})
        options.pop("pool", None)
        # A line that is cut without a word is found out in seconds, not in a quarter of an hour.
        for name, value in _WATCHFUL.items():
            options.setdefault(name, value)
        if _has_psycopg3() and not connection.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS"):
            options |= {"server_side_binding": True, "prepare_threshold": 2}
            given = options.get("options", "")
            options["options"] = " ".join([given, *(f"-c {each}" for each in session)]).strip()
        else:
            vars(connection)[_WAITS] = True


# Cached, as a kept cursor goes on where it was when it is given the very same text.


@cache
def _claiming(pick: str) -> str:
    return f"WITH{pick}{PostgreSQL._TAKE}"


@cache
def _ending_and_claiming(finish: str, pick: str) -> str:
    held = "" if finish is PostgreSQL._FINISH else f"{PostgreSQL._HELD},"
    return (
        f"WITH{held} finished AS ({finish} RETURNING 1),{pick},"
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


#: Set on a connection that waits for locks as long as they last.
_WAITS = "django_tasks_waits"
_QUERY_CANCELED = "57014"
#: Where a connection that claims has its kept cursor.
_KEPT = "django_tasks_cursor"
#: A plan that is kept must not be one of the moment when the table was empty.
_SESSION = ("jit=off", "enable_seqscan=off", f"lock_timeout={LOCK_TIMEOUT * 1000:.0f}")
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


#: What the values of a table travel as.
_ARRAYS = {UUID: "uuid", int: "bigint", float: "float8", str: "text"}


def _has_psycopg3() -> bool:
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    return bool(is_psycopg3)


def _array(values: Iterable[str]) -> str:
    """Return a PostgreSQL array literal of values that need no quotes."""
    return "{" + ",".join(values) + "}"


def _id_array(ids: Iterable[UUID]) -> str:
    """Return an array literal of ids, without the hyphens that cost more than all else in it."""
    return _array([task_id.hex for task_id in ids])


def _plain(value: UUID | float | None) -> str:
    """Return a value as it stands in an array literal."""
    if isinstance(value, float):
        return f"{value:.6f}"
    return "NULL" if value is None else str(value)


def _text_array(values: Sequence[str | None]) -> str:
    """Return a PostgreSQL array literal of any text; None is NULL."""
    quoted = (
        "NULL" if v is None else '"' + v.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for v in values
    )
    return "{" + ",".join(quoted) + "}"

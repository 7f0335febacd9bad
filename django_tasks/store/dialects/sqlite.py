"""SQLite 3.38 and later."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from ..values import AnyRequest, BrokerClaimRequest, Claim, Held, Success
from .base import MOST_ATTEMPTS, NEXT_CLAIM, Dialect, columns
from .batches import TABLE, Columns, as_json


class SQLite(Dialect):
    """One writer at a time: claims and finishes are single UPDATE … RETURNING statements."""

    _GREATER, _SMALLER = "MAX", "MIN"
    has_claim_cursor = False  # what was claimed leaves the index at once, whoever still reads
    _CLAIM = f"""
UPDATE {TABLE} SET status = 'RUNNING', claims = {NEXT_CLAIM},
  attempts = MIN(attempts, {MOST_ATTEMPTS}) + 1, worker_id = %s, process = %s,
  last_attempted_at = {{now}}, started_at = COALESCE(started_at, {{now}})
WHERE id IN ({{picked}})
RETURNING {columns()}, COALESCE(expires_at <= {{now}}, 0)"""
    _PICK = f"""
SELECT id FROM {TABLE} WHERE status = 'READY' AND queue_name = %s AND backend = %s
ORDER BY (priority * -1), id LIMIT %s"""
    # By ids: the unary plus keeps the index of ready tasks out of it.
    _PICK_FOR_BROKER = f"""
SELECT id FROM {TABLE} WHERE id IN (SELECT value FROM json_each(%s)) AND status = 'READY'
  AND +queue_name IN (SELECT value FROM json_each(%s)) AND +backend = %s"""
    _FINISH = f"""
UPDATE {TABLE} SET status = 'SUCCESSFUL', finished_at = {{now}}, prune_after = {{prune_after}},
  return_value = json_extract(done.value, '$[2]'), run_time = json_extract(done.value, '$[3]')
FROM json_each(%s) AS done
WHERE {TABLE}.id = json_extract(done.value, '$[0]') AND claims = json_extract(done.value, '$[1]')
  AND status = 'RUNNING'"""

    def now(self, delay: float = 0.0) -> str:
        return _datetime("'now'", f"'{delay:+.3f} seconds'" if delay else None)

    def later(self, since: str, seconds: str) -> str:
        # Rounded, as it reads no exponents; not by printf(), which makes 0 of NULL.
        return _datetime(since, f"round({seconds}, 3) || ' seconds'")

    def _given(self, columns: Columns) -> str:
        values = ", ".join(
            f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(columns)
        )
        return f"(SELECT {values} FROM json_each(%s)) AS given"

    def _giving(self, columns: Columns, rows: Sequence[Sequence[Any]]) -> list[Any]:
        return [as_json(rows)]

    def lock_running(
        self, connection: BaseDatabaseWrapper, task_ids: Sequence[UUID]
    ) -> dict[UUID, Held]:
        with connection.cursor() as cursor:
            # It has one writer. To become that one after having read is refused if there was
            # another meanwhile; a write of nothing waits for its turn.
            cursor.execute(f"UPDATE {TABLE} SET status = status WHERE 0")
            cursor.execute(
                f"SELECT id, claims, cancel_requested, hooks FROM {TABLE}"
                " WHERE id IN (SELECT value FROM json_each(%s)) AND +status = 'RUNNING'",
                [json.dumps([task_id.hex for task_id in task_ids])],
            )
            return {
                UUID(task_id): Held(claims, bool(is_cancelled), hooks)
                for task_id, claims, is_cancelled, hooks in cursor.fetchall()
            }

    def seconds_between(self, since: str, until: str) -> str:
        return f"((julianday({since}) - julianday({until})) * -86400.0)"

    def _until(self, column: str, condition: str) -> str:
        return f"(julianday({self._least(column, condition)}) - julianday('now')) * 86400.0"

    def change_marker(self, connection: BaseDatabaseWrapper) -> int | None:
        connection.ensure_connection()
        # The driver's own connection: Django's cursors take ten times as long as the pragma.
        with connection.wrap_database_errors:
            row = connection.connection.execute("PRAGMA data_version").fetchone()
        return int(row[0])

    def claim(self, connection: BaseDatabaseWrapper, request: AnyRequest) -> list[Claim]:
        pick, parameters = self._picking(request)
        with connection.cursor() as cursor:
            cursor.execute(
                self._CLAIM.format(now=self.now(), picked=pick),
                [request.worker_id.hex, request.process, *parameters],
            )
            rows = cursor.fetchall()
        return [Claim._make((UUID(row[0]), *row[1:])) for row in rows]

    def _picking(self, request: AnyRequest) -> tuple[str, list[Any]]:
        if isinstance(request, BrokerClaimRequest):
            ids = json.dumps([task_id.hex for task_id in request.ids])
            return self._PICK_FOR_BROKER, [ids, json.dumps(request.queue_names), request.backend]
        return self._PICK, [request.queue_name, request.backend, request.limit]

    def _succeed(self, connection: BaseDatabaseWrapper, successes: Sequence[Success]) -> int:
        document = json.dumps([(s[0].hex, s[1], s[2], round(s[3], 6)) for s in successes])
        with connection.cursor() as cursor:
            cursor.execute(
                self._FINISH.format(now=self.now(), prune_after=self.prune_after()), [document]
            )
            return int(cursor.rowcount)


def _datetime(*arguments: str | None) -> str:
    """Return SQL for a moment, shifted or not, in Django's own text format."""
    # Microseconds, which SQLite has none of, as zeros. Doubled percent signs: Django formats
    # statements with parameters.
    given = ", ".join(argument for argument in arguments if argument is not None)
    return f"strftime('%%Y-%%m-%%d %%H:%%M:%%f000', {given})"

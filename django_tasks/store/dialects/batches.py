"""Write many rows at once, each with values of its own: what can be said in common SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from ...definitions.options import LONGEST
from ...models import TaskAttempt, TaskRecord, WorkflowJoin
from ...statuses import FINAL_STATUSES, Status
from ..values import AttemptRow, Change, Counted, Held

TABLE = TaskRecord._meta.db_table
ATTEMPTS = TaskAttempt._meta.db_table
JOINS = WorkflowJoin._meta.db_table

#: The columns of a table of values: their names and types.
Columns = Mapping[str, type]

_CHANGE: Columns = {
    "task_id": UUID, "claim": int, "new_status": str, "delay": float, "more_attempts": int,
    "more_lost": int, "new_run_time": float,
}  # fmt: skip
_ATTEMPT: Columns = {
    "task_id": UUID, "number": int, "claim": int, "outcome": str, "worker_id": UUID,
    "process": int, "host": str, "run_time": float, "exception_path": str, "traceback": str,
    "signal": int, "exit_code": int,
}  # fmt: skip
_COUNTED: Columns = {
    "join_id": UUID, "new_done": int, "new_failed": int, "new_state": int, "new_failed_step": UUID,
}  # fmt: skip
_FINAL = ", ".join(f"'{status}'" for status in FINAL_STATUSES)
#: What a number of 32 bits holds. Counters stay at their ends: one that somebody set there must
#: not make the statement fail.
_LEAST, _MOST = -(2**31), 2**31 - 1


class BatchWrites:
    """
    Changes and attempts by the batch.

    Their values travel as a table `given`, which each database makes of few large parameters.
    """

    _GREATER, _SMALLER = "GREATEST", "LEAST"
    _UPDATE = "UPDATE {table} AS t SET {assignments} FROM {given} WHERE {match}"

    def now(self, delay: float = 0.0) -> str:
        """Return SQL for the database's clock, `delay` seconds ahead."""
        raise NotImplementedError

    def later(self, since: str, seconds: str) -> str:
        """Return SQL for the moment `seconds` after `since`, both SQL; NULL if one of them is."""
        raise NotImplementedError

    def prune_after(self) -> str:
        """Return SQL for the `prune_after` of a row that ends now: NULL without a result_ttl."""
        # An absurd one must not make the statement fail, which ends other tasks, too.
        kept = f"{self._SMALLER}({self._GREATER}(result_ttl, 0.0), {LONGEST})"
        return f"CASE WHEN result_ttl IS NOT NULL THEN {self.later(self.now(), kept)} END"

    def _given(self, columns: Columns) -> str:
        """Return SQL for a table `given` with these columns."""
        raise NotImplementedError

    def _giving(self, columns: Columns, rows: Sequence[Sequence[Any]]) -> list[Any]:
        """Return the parameters for `_given`, with `rows` in it."""
        raise NotImplementedError

    def lock_running(
        self, connection: BaseDatabaseWrapper, task_ids: Sequence[UUID]
    ) -> dict[UUID, Held]:
        """
        Lock running tasks in the order of their ids; return what their rows say.

        Those that somebody else has locked are left out, where the database can.
        """
        raise NotImplementedError

    def change(
        self,
        connection: BaseDatabaseWrapper,
        changes: Sequence[Change],
        expected: Sequence[Status] = (Status.RUNNING,),
    ) -> int:
        """Write changes to rows with these claims and statuses; return how many there were."""
        changed = 0
        for names in sorted({tuple(change.fields) for change in changes}):
            alike = [change for change in changes if tuple(change.fields) == names]
            columns = {**_CHANGE, **{f"new_{name}": str for name in names}}
            rows = [(*change[:-1], *change.fields.values()) for change in alike]
            sql = self._UPDATE.format(
                table=TABLE,
                assignments=self._assignments(names),
                given=self._given(columns),
                match="t.id = given.task_id AND t.claims = given.claim AND t.status IN"
                f" ({', '.join(f'{status.value!r}' for status in expected)})",
            )
            with connection.cursor() as cursor:
                cursor.execute(sql, self._giving(columns, rows))
                changed += int(cursor.rowcount)
        return changed

    def count_ends(self, connection: BaseDatabaseWrapper, counted: Sequence[Counted]) -> None:
        """Write what joins of workflows have counted, whose rows are locked."""
        sql = self._UPDATE.format(
            table=JOINS,
            assignments="done = new_done, failed = new_failed, state = new_state,"
            " failed_step = new_failed_step",
            given=self._given(_COUNTED),
            match="t.id = given.join_id",
        )
        with connection.cursor() as cursor:
            cursor.execute(sql, self._giving(_COUNTED, counted))

    def _assignments(self, fields: Sequence[str]) -> str:
        return ", ".join(
            [
                "status = new_status",
                f"finished_at = CASE WHEN new_status IN ({_FINAL}) THEN {self.now()} END",
                f"prune_after = CASE WHEN new_status IN ({_FINAL}) THEN {self.prune_after()} END",
                "run_after = CASE new_status WHEN 'READY' THEN NULL"
                f" WHEN 'SCHEDULED' THEN {self.later(self.now(), 'delay')} ELSE run_after END",
                f"attempts = {self._GREATER}(attempts, {_LEAST} - more_attempts) + more_attempts",
                f"lost = {self._SMALLER}(lost, {_MOST} - more_lost) + more_lost",
                "run_time = COALESCE(new_run_time, run_time)",
                *(f"{name} = new_{name}" for name in fields),
            ]
        )

    def insert_attempts(
        self, connection: BaseDatabaseWrapper, attempts: Sequence[AttemptRow]
    ) -> None:
        """Insert attempts that end now."""
        quote = connection.ops.quote_name
        names = ", ".join(map(quote, _ATTEMPT))
        began = self.later(self.now(), "-given.run_time")
        with connection.cursor() as cursor:
            cursor.execute(
                f"INSERT INTO {ATTEMPTS} ({names}, started_at, finished_at)"
                f" SELECT {names}, {began}, {self.now()} FROM {self._given(_ATTEMPT)}",
                self._giving(_ATTEMPT, attempts),
            )


def as_json(rows: Sequence[Sequence[Any]]) -> str:
    """Return rows as a JSON array of arrays, ids as 32 hexadecimal digits."""
    return json.dumps(rows, default=attrgetter("hex"))


#: Sorts what has an id into the order in which rows are locked everywhere.
by_id = attrgetter("id.int")

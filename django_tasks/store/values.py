"""Values that travel between the store and the worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntFlag, StrEnum
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import UUID

from ..statuses import AttemptOutcome, Status

#: Columns that a claim brings, in the order of `Claim`; the number of claims comes last.
CLAIMED = (
    "id",
    "task_path",
    "args",
    "kwargs",
    "queue_name",
    "priority",
    "attempts",
    "max_attempts",
    "lost",
    "hooks",
    "claims",
)


class NewRow(NamedTuple):
    """
    A row to insert: columns and their values as the driver takes them, without the status.

    `run_after` is the value of that column again, None when the task may run at once.
    """

    columns: Sequence[str]
    values: Sequence[Any]
    run_after: Any = None
    queue_name: str = ""
    #: As in NewRows.
    waits: bool = False


@dataclass(frozen=True, slots=True)
class NewRows:
    """Rows to insert that share `columns`, with an (id, args, kwargs) of their `own` each."""

    columns: Sequence[str]
    shared: Sequence[Any]
    own: Sequence[tuple[UUID, str, str]]
    run_after: Any = None
    queue_name: str = ""
    #: Whether they wait for others: WAITING, whatever `run_after` says.
    waits: bool = False


class Claim(NamedTuple):
    """A task that this process owns: what is needed to run it, and the token to finish it."""

    id: UUID
    task_path: str
    args: str
    kwargs: str
    queue_name: str
    priority: int
    attempts: int
    max_attempts: int | None
    lost: int
    #: See Hook.
    hooks: int
    claims: int
    is_expired: bool


class ClaimRequest(NamedTuple):
    """
    Whose claim, of which queue and backend, and how many.

    `beyond`: (-priority, id) of a task in this order; look behind it only. `until`: look no
    further than this -priority. Both are for databases that have a claim cursor.
    """

    queue_name: str
    limit: int
    worker_id: UUID
    process: int
    backend: str
    beyond: tuple[int, UUID] | None = None
    until: int | None = None


class BrokerClaimRequest(NamedTuple):
    """Whose claim of the tasks with these ids, as far as they are ready in one of these queues."""

    ids: Sequence[UUID]
    queue_names: Sequence[str]
    worker_id: UUID
    process: int
    backend: str


AnyRequest = ClaimRequest | BrokerClaimRequest


class Hook(IntFlag):
    """What is to happen with a task's start and end beyond its own row. Plain tasks have none."""

    #: It is a step of a workflow: its end is counted where others wait for it.
    STEP = 1
    #: Its arguments name results of other steps, which take their places when it starts.
    REFERENCES = 2


class Held(NamedTuple):
    """What a running task's row says while it is locked."""

    claims: int | None
    is_cancelled: bool
    hooks: int


class Success(NamedTuple):
    """A body that returned. `value` is JSON, None when it is not kept."""

    id: UUID
    claims: int
    value: str | None
    run_time: float


class Writer(NamedTuple):
    """The process that writes what became of tasks."""

    worker_id: UUID
    process: int
    host: str


class Attempt(NamedTuple):
    """How an attempt that did not succeed ended, for its own row."""

    outcome: AttemptOutcome
    exception_path: str = ""
    traceback: str = ""
    run_time: float | None = None
    signal: int | None = None
    exit_code: int | None = None
    #: Whose attempt it was. None: that of whoever writes it.
    worker_id: UUID | None = None
    process: int | None = None


class AttemptRow(NamedTuple):
    """The row of an attempt that ends now."""

    task_id: UUID
    number: int
    claim: int
    outcome: AttemptOutcome
    worker_id: UUID | None = None
    process: int | None = None
    host: str = ""
    run_time: float | None = None
    exception_path: str = ""
    traceback: str = ""
    signal: int | None = None
    exit_code: int | None = None


class Change(NamedTuple):
    """
    What is written to a task's row, if it still has these `claims`.

    `delay`: seconds until a SCHEDULED one runs. `attempts` and `lost` are added to the row's.
    `run_time`: None leaves the row's. `fields`: columns of text, and their values.
    """

    id: UUID
    claims: int
    status: Status
    delay: float = 0.0
    attempts: int = 0
    lost: int = 0
    run_time: float | None = None
    fields: Mapping[str, str | None] = MappingProxyType({})


class Counted(NamedTuple):
    """What a join of a workflow has counted so far, and whose failure was the first."""

    id: UUID
    done: int
    failed: int
    state: int
    failed_step: UUID | None


class EndingKind(StrEnum):
    """What can become of a claimed task that did not succeed."""

    FAIL = "fail"
    RETRY = "retry"
    SNOOZE = "snooze"
    #: Given back: not started, or interrupted by a stop.
    RELEASE = "release"
    #: Its worker was lost; it runs again.
    LOSE = "lose"
    #: Its worker was lost once too often.
    POISON = "poison"
    CANCEL = "cancel"
    EXPIRE = "expire"
    #: The claim is known to be lost: nothing is written but the attempt that says so.
    LATE = "late"


class Ending(NamedTuple):
    """
    What becomes of a claimed task that did not succeed.

    `fields`: columns to write with it, and their values; each ending has a dict of its own.
    `delay`: seconds until it runs again. `attempt` is None when there is nothing to tell (a task
    given back unstarted).
    """

    id: UUID
    claims: int
    number: int
    kind: EndingKind
    fields: dict[str, Any]
    delay: float = 0.0
    attempt: Attempt | None = None

    @classmethod
    def of(
        cls, claim: Claim, kind: EndingKind, attempt: Attempt | None = None, delay: float = 0.0
    ) -> Ending:
        """Return the ending of a claim."""
        return cls(claim.id, claim.claims, claim.attempts, kind, {}, delay, attempt)

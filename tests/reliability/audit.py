"""
What the queue did, by the database's own account, and whether it may have done that.

Triggers write down every change of a task's status or claims. `check` holds this trail, the
attempts and the records against the ledger.
"""

import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from django.db import connections

from django_tasks.models import TaskAttempt, TaskRecord
from django_tasks.statuses import FINAL_STATUSES

TABLE = TaskRecord._meta.db_table
CHANGES = {  # DESIGN: the status machine, without what only a person does (requeue)
    ("READY", "RUNNING"),
    ("RUNNING", "READY"),
    ("RUNNING", "SCHEDULED"),
    ("SCHEDULED", "READY"),
    ("RUNNING", "SUCCESSFUL"),
    ("RUNNING", "FAILED"),
    ("RUNNING", "CANCELLED"),
    ("READY", "CANCELLED"),
    ("SCHEDULED", "CANCELLED"),
}
#: Outcomes of an attempt after which a task may run again.
EXPLAINING = {"LOST", "INTERRUPTED", "ERROR", "TIMEOUT"}

_COLUMNS = "task_id, old_status, status, old_claims, claims"
_VALUES = "OLD.id, OLD.status, NEW.status, OLD.claims, NEW.claims"
_INSERT = f"INSERT INTO reliability_audit ({_COLUMNS}) VALUES ({_VALUES})"
_TABLE = (
    "CREATE TABLE reliability_audit (seq {serial} PRIMARY KEY, task_id {id}, old_status"
    " varchar(10), status varchar(10), old_claims bigint, claims bigint)"
)
NOTES = "CREATE TABLE reliability_note (name varchar(100))"
SCHEMA = {
    "postgresql": [
        _TABLE.format(serial="bigserial", id="uuid"),
        f"CREATE FUNCTION reliability_audit() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN {_INSERT}; RETURN NULL; END $$",
        f"CREATE TRIGGER reliability_audit AFTER UPDATE ON {TABLE} FOR EACH ROW WHEN"
        " (OLD.status <> NEW.status OR OLD.claims <> NEW.claims)"
        " EXECUTE FUNCTION reliability_audit()",
    ],
    "sqlite": [
        _TABLE.format(serial="integer", id="char(32)"),
        f"CREATE TRIGGER reliability_audit AFTER UPDATE ON {TABLE} WHEN"
        f" OLD.status <> NEW.status OR OLD.claims <> NEW.claims BEGIN {_INSERT}; END",
    ],
    "mysql": [
        _TABLE.format(serial="bigint auto_increment", id="char(36)"),
        f"CREATE TRIGGER reliability_audit AFTER UPDATE ON {TABLE} FOR EACH ROW BEGIN"
        f" IF OLD.status <> NEW.status OR OLD.claims <> NEW.claims THEN {_INSERT};"
        " END IF; END",
    ],
}


def install(alias):
    """Make the triggers, and a table for bodies to write in."""
    with connections[alias].cursor() as cursor:
        for statement in [*SCHEMA[connections[alias].vendor], NOTES]:
            cursor.execute(statement)


@dataclass
class Report:
    """What `check` found. All but the numbers must be empty."""

    tasks: int = 0
    starts: int = 0
    duplicates: int = 0
    outcomes: Counter = field(default_factory=Counter)
    #: What was refused, as the attempts say it.
    late: Counter = field(default_factory=Counter)
    statuses: Counter = field(default_factory=Counter)
    lost: list = field(default_factory=list)
    unfinished: list = field(default_factory=list)
    false_successes: list = field(default_factory=list)
    never_enqueued: list = field(default_factory=list)
    finalised_twice: list = field(default_factory=list)
    forbidden_changes: list = field(default_factory=list)
    unexplained: list = field(default_factory=list)
    overlapping: list = field(default_factory=list)
    broken_claims: list = field(default_factory=list)

    MISTAKES = (
        "lost",
        "unfinished",
        "false_successes",
        "never_enqueued",
        "finalised_twice",
        "forbidden_changes",
        "unexplained",
        "overlapping",
        "broken_claims",
    )

    @property
    def mistakes(self):
        """Return {kind: the first few}; empty when every promise held."""
        return {name: getattr(self, name)[:5] for name in self.MISTAKES if getattr(self, name)}

    def figures(self):
        """Return the numbers, for a report."""
        mistakes = {name: len(getattr(self, name)) for name in self.MISTAKES}
        return {
            "tasks": self.tasks,
            "starts": self.starts,
            "duplicates": self.duplicates,
            "statuses": dict(self.statuses),
            "attempts": dict(self.outcomes),
            "late": dict(self.late),
        } | mistakes


def check(project, acknowledged, never=()):
    """
    Hold ledger, audit trail and rows of a quiet queue against each other.

    `acknowledged`: {key: id} of committed enqueues; `never`: keys of those rolled back.
    """
    report = Report(tasks=len(acknowledged))
    starts, ends = project.ledger.times("start"), project.ledger.times("end")
    rows = {row.pk: row for row in project.records.defer("args", "kwargs")}
    attempts = _attempts(project, report)
    report.starts = sum(map(len, starts.values()))
    report.never_enqueued = [key for key in never if key in starts]
    for key, task_id in acknowledged.items():
        row = rows.get(task_id)
        if row is None:
            report.lost.append((key, "no row"))
            continue
        report.statuses[row.status] += 1
        if row.status not in FINAL_STATUSES:
            report.unfinished.append((key, row.status, row.claims, row.lost))
        elif row.status == "SUCCESSFUL" and not ends[key]:
            report.false_successes.append(key)
        elif not ends[key] and row.status != "FAILED":
            report.lost.append((key, row.status))
        _check_runs(report, key, sorted(starts[key]), attempts[task_id], row)
    _check_overlaps(report, project.ledger)
    _check_trail(report, project)
    return report


def _attempts(project, report):
    """Return {task id: [moments at which an attempt was recorded that explains another run]}."""
    offset = time.time() - time.monotonic()
    moments = defaultdict(list)
    rows = TaskAttempt.objects.using(project.alias)
    columns = "task_id", "outcome", "finished_at", "traceback"
    for task_id, outcome, finished_at, text in rows.values_list(*columns):
        report.outcomes[outcome] += 1
        if outcome == "LATE":
            report.late[text] += 1
        if outcome in EXPLAINING:
            moments[task_id].append(finished_at.timestamp() - offset)
    return moments


def _check_runs(report, key, starts, recorded, row):
    """Each start but the first comes after as many recorded attempts as there were starts."""
    report.duplicates += max(0, len(starts) - 1)
    if row.claims < len(starts):
        report.broken_claims.append((key, row.claims, len(starts)))
    for number, moment in enumerate(starts):
        # 50 ms: clocks are read in different places, and SQLite's has milliseconds only.
        if sum(at <= moment + 0.05 for at in recorded) < number:
            report.unexplained.append((key, f"start {number + 1} of {len(starts)}"))


def _check_overlaps(report, ledger):
    """No task runs in two processes at a time."""
    running = {}
    for event in ledger.events():
        if event.kind == "start":
            running.setdefault(event.key, {})[event.pid] = event.at
        elif event.kind == "end":
            began = running.get(event.key, {}).pop(event.pid, None)
            others = running.get(event.key, {}).values()
            if began is not None and any(at > began for at in others):
                report.overlapping.append(event.key)


def _check_trail(report, project):
    """Every change is one of the machine's, the fence only grows, and there is one end."""
    final = Counter()
    with connections[project.alias].cursor() as cursor:
        cursor.execute(f"SELECT {_COLUMNS} FROM reliability_audit ORDER BY seq")
        for task_id, old, new, old_claims, claims in cursor.fetchall():
            if old != new and (old, new) not in CHANGES:
                report.forbidden_changes.append((task_id, old, new))
            if claims != old_claims + (new == "RUNNING" and old == "READY"):
                report.broken_claims.append((task_id, old, new, old_claims, claims))
            final[task_id] += new in FINAL_STATUSES and old != new
    report.finalised_twice += [task_id for task_id, count in final.items() if count > 1]

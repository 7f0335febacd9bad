"""How long finished tasks are kept: by the row, or by the settings; and what pruning reads."""

import random
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_tasks.base import task
from django_tasks.definitions.options import LONGEST
from django_tasks.models import Rollup, Schedule, ScheduleRun, TaskAttempt, TaskRecord
from django_tasks.models.rollups import Span
from django_tasks.monitoring.reading import database_now
from django_tasks.statuses import FINAL_STATUSES, AttemptOutcome, Status
from django_tasks.store import locking
from django_tasks.store.rollups import counting
from django_tasks.store.schedules import calls
from django_tasks.store.schedules import due as slots
from django_tasks.store.schedules import records as scheduled
from django_tasks.store.tasks import enqueue, policy, pruning, transitions
from tests.conformance.steps import (
    DATABASE,
    FAR_AHEAD,
    IS_MYSQL,
    IS_POSTGRESQL,
    LONG_AGO,
    at_once,
    claim_one,
    claimer,
    ending,
    make,
    prune,
    record,
    settle,
    shift,
    statuses,
    store,
    success,
)
from tests.rows_read import rows_read
from tests.tasks import add

#: One chunk and a part of the next.
MANY = locking.CHUNK + 234
DAY = 86400.0


@task(result_ttl=timedelta(hours=1), on_lost="fail")
def particular():
    """Do nothing: it says how long it is kept, and what becomes of it when its worker is lost."""


# --- who finishes a task says how long it is kept -------------------------------------------------


def fused(claim):
    claimer().finish_and_claim([success(claim)], 10)


def in_transaction(claim):
    with transaction.atomic():
        assert transitions.succeed_in_transaction(DATABASE, success(claim), {})


def cancelled_while_it_ran(claim):
    transitions.cancel(DATABASE, [claim.id])
    settle(ending(claim, "retry"))


def given_back(claim):
    settle(ending(claim, "release", outcome=None))


def expired(claim):
    given_back(claim)
    shift([claim.id], "expires_at", seconds=-1)
    transitions.expire(DATABASE)


def cancelled(claim):
    given_back(claim)
    transitions.cancel(DATABASE, [claim.id])


#: Every way to a final status, for a claimed task.
ENDS = {
    "succeed": lambda claim: claimer().finish([success(claim)]),
    "succeed and claim": fused,
    "succeed in a transaction": in_transaction,
    "fail": lambda claim: settle(ending(claim, "fail")),
    "poison": lambda claim: settle(ending(claim, "poison", outcome=AttemptOutcome.LOST)),
    "cancel": lambda claim: settle(ending(claim, "cancel", outcome=AttemptOutcome.CANCELLED)),
    "expire": lambda claim: settle(ending(claim, "expire", outcome=AttemptOutcome.EXPIRED)),
    "cancelled while it ran": cancelled_while_it_ran,
    "cancelled before": cancelled,
    "expired before": expired,
}

#: result_ttl of the row, and how long it is kept.
KEPT = [
    (None, None),
    (0.0, 0.0),
    (0.5, 0.5),
    (100.0, 100.0),
    (LONGEST, LONGEST),
    # What no code writes. None of it may stop the statement, which ends a hundred other tasks.
    (-1.0, 0.0),
    (-1e300, 0.0),
    (LONGEST * 2, LONGEST),
    (1e300, LONGEST),
    *([] if IS_MYSQL else [(float("inf"), LONGEST), (float("-inf"), 0.0)]),
    *([(float("nan"), LONGEST)] if IS_POSTGRESQL else []),
]


def seconds_kept(task_id):
    row = record(task_id)
    assert row.status in FINAL_STATUSES
    if row.prune_after is None:
        return None
    return (row.prune_after - row.finished_at).total_seconds()


@pytest.mark.parametrize("end", ENDS)
def test_who_finishes_a_task_writes_until_when_it_is_kept(end):
    """As the row says, between now and in a century; NULL if it says nothing."""
    for ttl, expected in KEPT:
        [task_id] = make(result_ttl=ttl)

        ENDS[end](claim_one())

        assert seconds_kept(task_id) == (
            expected if expected is None else pytest.approx(expected, abs=0.001)
        ), ttl


@pytest.mark.parametrize("kind", ["succeed", "fail"])
def test_absurd_policies_stop_no_batch(kind):
    """One statement ends all kinds of rows."""
    ids = [make(result_ttl=ttl)[0] for ttl, _ in KEPT]
    claims = claimer().claim(100)

    if kind == "succeed":
        claimer().finish([success(claim) for claim in claims])
    else:
        assert settle(*(ending(claim, "fail") for claim in claims)) == []

    for task_id, (ttl, expected) in zip(ids, KEPT, strict=True):
        assert seconds_kept(task_id) == (
            expected if expected is None else pytest.approx(expected, abs=0.001)
        ), ttl


@pytest.mark.skipif(IS_MYSQL, reason="no partial indexes")
@pytest.mark.parametrize(
    ("end", "ttl", "names"),
    [
        ("succeed", None, {"successful"}),
        ("succeed", 60.0, {"prune", "finished"}),
        ("fail", None, {"unsuccessful", "failed"}),
        ("cancel", 60.0, {"prune", "finished", "failed"}),
    ],
)
def test_a_plain_success_is_in_one_index(end, ttl, names):
    """Beside the primary key: each further entry costs every task that ends."""
    [task_id] = make(result_ttl=ttl)
    ENDS[end](claim_one())

    found = {
        name
        for name, condition in partial_indexes()
        if TaskRecord.objects.extra(where=[condition]).filter(pk=task_id).exists()
    }

    assert found == {f"django_tasks_{name}" for name in names}


def partial_indexes():
    """Return the names and conditions of all indexes but that of the primary key."""
    table = TaskRecord._meta.db_table
    with connection.cursor() as cursor:
        if IS_POSTGRESQL:
            cursor.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s"
                " AND indexname NOT LIKE %s",
                [table, "%pkey"],
            )
        else:
            cursor.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = %s"
                " AND sql IS NOT NULL",
                [table],
            )
        return [(name, sql.split(" WHERE ")[1]) for name, sql in cursor.fetchall()]


def finished_tasks():
    """Store a task of each final status and age in days; return their ids."""
    made = {(s, age): make(status=s)[0] for s in FINAL_STATUSES for age in (0, 2, 5)}
    for (_, age), task_id in made.items():
        shift([task_id], "finished_at", days=-age, seconds=-10)
    return made


def pruned(made):
    """Prune, and return which of finished_tasks() are gone."""
    pruning.prune_due(DATABASE)
    left = set(TaskRecord.objects.values_list("pk", flat=True))
    return {which for which, task_id in made.items() if task_id not in left}


def test_failures_have_a_retention_of_their_own(settings):
    """RETENTION_FAILED is that of failed and of cancelled tasks."""
    settings.DJANGO_TASKS = {
        "RETENTION_SUCCESSFUL": timedelta(days=1),
        "RETENTION_FAILED": timedelta(days=3),
    }

    assert pruned(finished_tasks()) == {
        ("SUCCESSFUL", 2), ("SUCCESSFUL", 5), ("FAILED", 5), ("CANCELLED", 5)
    }  # fmt: skip


def test_changed_settings_hold_at_once(settings):
    """Also for what has finished: longer, shorter, and for ever."""
    made = finished_tasks()
    for successful, failed, gone in (
        (None, None, set()),
        (timedelta(days=10), timedelta(days=10), set()),
        (None, timedelta(days=3), {("FAILED", 5), ("CANCELLED", 5)}),
        (timedelta(0), timedelta(days=3), {("SUCCESSFUL", age) for age in (0, 2, 5)}),
        (None, timedelta(0), {(s, age) for s in ("FAILED", "CANCELLED") for age in (0, 2)}),
    ):
        settings.DJANGO_TASKS = {"RETENTION_SUCCESSFUL": successful, "RETENTION_FAILED": failed}
        assert pruned(made) == gone
        made = {which: task_id for which, task_id in made.items() if which not in gone}


def test_a_result_ttl_takes_the_place_of_the_settings(settings):
    """A shorter one goes early, a longer one stays, whatever the settings of who prunes say."""
    short, long = make(result_ttl=60.0), make(result_ttl=86400.0)
    claimer().finish([success(claim) for claim in claimer().claim(10)])
    for task_id in short + long:
        shift([task_id], "finished_at", hours=-2)
        kept([task_id], hours=-2, seconds=record(task_id).result_ttl)

    settings.DJANGO_TASKS = {"RETENTION_SUCCESSFUL": timedelta(hours=1)}
    assert pruning.prune_due(DATABASE) == (1, True)
    assert statuses(short + long) == [None, Status.SUCCESSFUL]


def test_the_longest_retention_is_a_date_that_every_database_knows(settings):
    """It would be the year 2,700,000 before Christ."""
    settings.DJANGO_TASKS = {
        "RETENTION_SUCCESSFUL": timedelta.max,
        "RETENTION_FAILED": timedelta.max,
    }

    assert pruned(finished_tasks()) == set()


def test_a_batch_keeps_each_of_its_tasks_as_its_row_says():
    """One statement ends tasks with different times."""
    ids = [make(result_ttl=ttl)[0] for ttl in (None, 5.0, None, 0.0)]
    claims = claimer().claim(10)

    claimer().finish([success(claim) for claim in claims])

    assert [seconds_kept(task_id) for task_id in ids] == [None, 5.0, None, 0.0]


def test_a_task_that_runs_again_is_not_about_to_be_deleted():
    """requeue() takes back what its end had written; the row's own policy stays."""
    [task_id] = make(result_ttl=0.0, on_lost="fail")
    settle(ending(claim_one(), "fail"))
    assert record(task_id).prune_after is not None

    transitions.requeue(DATABASE, [task_id])

    row = record(task_id)
    assert (row.prune_after, row.result_ttl, row.on_lost) == (None, 0.0, "fail")
    assert pruning.prune_due(DATABASE) == (0, True)


@pytest.mark.parametrize("status", [s for s in Status if s not in FINAL_STATUSES])
def test_what_has_not_finished_is_never_due(status):
    """Whatever somebody wrote into its row."""
    [task_id] = make(status=status, prune_after=LONG_AGO, result_ttl=0.0)

    assert pruning.prune_due(DATABASE) == (0, True)
    assert pruning.count_due(DATABASE) == 0
    assert statuses([task_id]) == [status]


# --- the policy travels with the row --------------------------------------------------------------


def policy_of(task_id):
    return TaskRecord.objects.values_list(*policy.COLUMNS).get(pk=task_id)


def test_every_way_to_enqueue_writes_what_the_code_says():
    """One, many, and by a schedule."""
    one = particular.enqueue()
    many = particular.enqueue_many([(), ()])
    row = Schedule(task_path=particular.module_path, args="[]", kwargs="{}", backend="default")
    by_schedule = scheduled.record_of(calls.call_of(row, DATABASE), LONG_AGO)
    by_schedule.save(force_insert=True)

    ids = [one.id, *many.ids, by_schedule.pk]
    assert [policy_of(task_id) for task_id in ids] == [(3600.0, "fail")] * 4


def test_every_way_to_run_again_keeps_it():
    """A retry, a run after a loss, a requeue, and a copy of a task that has succeeded."""
    result = particular.using(max_attempts=5).enqueue()
    for end in (ending(claim_one(), "retry"), None):
        settle(end or ending(claim_one(), "lose", outcome=AttemptOutcome.LOST))
        assert policy_of(result.id) == (3600.0, "fail")
    claimer().finish([success(claim_one())])

    transitions.copy(DATABASE, [record(result.id).pk])

    [copied] = TaskRecord.objects.exclude(pk=result.id)
    assert policy_of(copied.pk) == (3600.0, "fail")


def test_plain_tasks_write_no_columns_for_it():
    """The INSERT of a task that says nothing is what it was; of one that does, two longer."""
    inserts = {}
    for name, each in {"plain": add, "particular": particular}.items():
        with CaptureQueriesContext(connection) as captured:
            each.enqueue(*[1, 2] if each is add else [])
            each.enqueue_many([(1, 2)] if each is add else [()])
        inserts[name] = [q["sql"] for q in captured if "INSERT" in q["sql"]]

    for sql in inserts["plain"]:
        assert not [column for column in policy.COLUMNS if column in sql], sql
    for sql in inserts["particular"]:
        assert not [column for column in policy.COLUMNS if column not in sql], sql
    assert {len(each) for each in inserts.values()} == {2}


def test_a_result_says_what_the_row_says(monkeypatch):
    """Code that changed since does not matter; in its own words while it says the same."""
    result = particular.enqueue()
    plain = add.enqueue(1, 2)

    assert particular.get_result(result.id).task == particular
    changed = particular.restored(result_ttl=5.0, on_lost="retry")
    monkeypatch.setattr("django_tasks.definitions.registry.find", lambda path: changed)
    stored = enqueue.load(DATABASE, record(result.id).pk).task
    assert (stored.result_ttl, stored.on_lost) == (3600.0, "fail")

    monkeypatch.setattr("django_tasks.definitions.registry.find", lambda path: None)
    unknown = enqueue.load(DATABASE, record(result.id).pk).task
    assert (unknown.result_ttl, unknown.on_lost) == (3600.0, "fail")
    of_plain = enqueue.load(DATABASE, record(plain.id).pk).task
    assert (of_plain.result_ttl, of_plain.on_lost) == (None, "retry")


# --- what is due ----------------------------------------------------------------------------------


def kept(task_ids, **delta):
    """Let finished tasks be kept until a timedelta from the database's present."""
    shift(task_ids, "prune_after", **delta)


def ended(task_ids, **delta):
    """Let the time that the settings give to successful tasks end so."""
    shift(task_ids, "finished_at", **{**delta, "days": -14})


#: How the time of a task is known.
TIMES = pytest.mark.parametrize("until", [kept, ended], ids=["own", "by settings"])


@TIMES
def test_what_is_due_goes_and_nothing_else(until, settings):
    """With its attempts; not what is kept longer, or for ever, or has not finished."""
    settings.DJANGO_TASKS = {"RETENTION_FAILED": timedelta(days=14)}
    gone = make(2, status=Status.SUCCESSFUL) + make(status=Status.FAILED)
    until(gone, seconds=-1)
    TaskAttempt.objects.create(
        task_id=gone[-1], number=1, claim=1, outcome="ERROR", finished_at=LONG_AGO
    )
    later = make(status=Status.SUCCESSFUL)
    until(later, seconds=60)
    stays = [task_id for status in Status for task_id in make(status=status)]
    TaskRecord.objects.filter(pk__in=stays, finished_at__isnull=False).update(
        finished_at=database_now(DATABASE)
    )

    assert pruning.count_due(DATABASE) == 3
    assert pruning.prune_due(DATABASE) == (3, True)

    assert statuses(gone) == [None] * 3
    assert None not in statuses(later + stays)
    assert not TaskAttempt.objects.exists()


@TIMES
def test_what_is_due_late_waits(until):
    """So that what has just finished is counted first."""
    made = make(2, status=Status.SUCCESSFUL)
    until(made[:1], seconds=-100)
    until(made[1:], seconds=-200)

    assert pruning.prune_due(DATABASE, late=150.0) == (1, True)
    assert statuses(made) == [Status.SUCCESSFUL, None]


@TIMES
@pytest.mark.parametrize("chosen", FINAL_STATUSES)
def test_what_is_due_can_be_chosen_by_status(until, chosen, settings):
    """For tasks_prune --status."""
    settings.DJANGO_TASKS = {"RETENTION_FAILED": timedelta(days=14)}
    made = [make(status=status)[0] for status in FINAL_STATUSES]
    until(made, seconds=-1)

    assert pruning.count_due(DATABASE, [chosen]) == 1
    assert pruning.prune_due(DATABASE, statuses=[chosen]) == (1, True)
    assert set(statuses(made)) == {*FINAL_STATUSES, None} - {chosen}


@TIMES
def test_a_round_begins_no_further_chunk_after_its_time(until):
    """A keeper comes back to its heartbeat, and goes on in the next round."""
    until(make(MANY, status=Status.SUCCESSFUL), seconds=-1)

    assert pruning.prune_due(DATABASE, seconds=0.0) == (locking.CHUNK, False)
    assert pruning.prune_due(DATABASE, seconds=0.0).number == MANY - locking.CHUNK
    assert pruning.prune_due(DATABASE, seconds=0.0) == (0, True)


def test_no_kind_of_task_waits_for_another_that_is_never_done(monkeypatch):
    """Rounds that have time for one chunk come to all kinds."""
    monkeypatch.setattr(locking, "CHUNK", 1)
    kept(make(100, status=Status.SUCCESSFUL), seconds=-1)
    ended(make(100, status=Status.SUCCESSFUL), seconds=-1)
    failed = make(status=Status.FAILED)

    rounds = iter(range(100))
    while statuses(failed) != [None]:
        assert pruning.prune_due(DATABASE, seconds=0.0).number == 1
        assert next(rounds) < 90  # with three kinds, one of 10**15 runs of this test


@TIMES
def test_two_pruners_share_what_is_due(until):
    """Every worker has a keeper: they do not wait for each other."""
    until(make(2 * MANY, status=Status.SUCCESSFUL), seconds=-1)

    def prune_all():
        deleted = 0
        while TaskRecord.objects.exists():
            deleted += pruning.prune_due(DATABASE).number
        return deleted

    assert sum(at_once(prune_all, prune_all)) == 2 * MANY


@TIMES
def test_due_tasks_go_in_chunks_without_loading_rows(until):
    """Thousands of rows go in short transactions of a few statements each, after a look."""
    until(make(MANY, status=Status.SUCCESSFUL), seconds=-1)

    with CaptureQueriesContext(connection) as captured:
        assert pruning.prune_due(DATABASE).number == MANY

    assert len(captured) <= 2 * 6 + 5 * 4  # and a look at each other kind
    assert not any('"args"' in query["sql"] or "`args`" in query["sql"] for query in captured)


# --- rows read ------------------------------------------------------------------------------------

#: What is not due, of as many task types as a large project has.
LITTLE, TYPES = 500, 200
MUCH = 10 * LITTLE
DUE = 50
OWN = "own"
#: What is due beside history of which the rest is kept for ever; and what the settings say of it.
DUE_KINDS = {
    Status.SUCCESSFUL: {"RETENTION_FAILED": None},
    Status.FAILED: {"RETENTION_SUCCESSFUL": None, "RETENTION_FAILED": timedelta(days=14)},
    Status.CANCELLED: {"RETENTION_SUCCESSFUL": None, "RETENTION_FAILED": timedelta(days=14)},
    OWN: {"RETENTION_SUCCESSFUL": None, "RETENTION_FAILED": None},
}


def history(count, due=OWN):
    """
    Store finished tasks that are not due; those kept for ever finished before all others.

    A third of each: successes, failures, and tasks with a time of their own, most years ahead.
    """
    now = database_now(DATABASE)
    made = []
    for number in range(count):
        kind, status = number % 3, FINAL_STATUSES[number // 3 % len(FINAL_STATUSES)]
        own = {}
        if kind == 2:
            own = {"result_ttl": 1e9, "prune_after": FAR_AHEAD + timedelta(seconds=number)}
        else:
            status = FINAL_STATUSES[kind and 1 + number // 3 % 2]
        is_young = kind < 2 and due != OWN and kind == (due != Status.SUCCESSFUL)
        made.append(
            TaskRecord(
                task_path=f"app.tasks.task{number % TYPES}", queue_name="default", status=status,
                backend="default", args="[]", kwargs="{}", enqueued_at=LONG_AGO,
                finished_at=(now - timedelta(days=1) if is_young else LONG_AGO)
                + timedelta(seconds=number),
                worker_id=uuid4(), claims=1, **own,
            )
        )  # fmt: skip
    TaskRecord.objects.bulk_create(made, batch_size=1000)


def analyze(*models):
    with connection.cursor() as cursor:
        kind = "ANALYZE TABLE" if IS_MYSQL else "ANALYZE"
        for model in models or (TaskRecord,):
            cursor.execute(f"{kind} {model._meta.db_table}")
            cursor.fetchall() if IS_MYSQL else None


def read_by(function):
    with rows_read() as read:
        function()
    return read.total


@pytest.mark.parametrize("is_analyzed", [True, False], ids=["fresh statistics", "stale"])
@pytest.mark.parametrize("kind", DUE_KINDS)
def test_pruning_reads_what_it_deletes_and_nothing_more(kind, is_analyzed, settings):
    """The same with a tenth of the history, though others are kept for ever, and older."""
    settings.DJANGO_TASKS = DUE_KINDS[kind]
    analyze()
    read = {}
    for size, more in ((LITTLE, LITTLE), (MUCH, MUCH - LITTLE)):
        history(more, kind)
        if is_analyzed:
            analyze()
        nothing = read_by(lambda: pruning.prune_due(DATABASE, late=120.0))
        if kind == OWN:
            kept(store(DUE, status=Status.SUCCESSFUL), seconds=-300)
        else:
            ended(store(DUE, status=kind), seconds=-300)
        due = read_by(lambda: pruning.prune_due(DATABASE, late=120.0))
        read[size] = nothing, due
        assert TaskRecord.objects.count() == size

    nothing, due = read[MUCH]
    assert nothing < 60 + 5 * DUE, read  # entries of what was deleted before are passed once
    assert due < 80 * DUE, read  # each row, its attempts, and its entry in each index
    assert due < read[LITTLE][1] * 3, read


def ask_only_for(column, monkeypatch):
    """Leave the other kinds out: the updates of a test leave dead entries in their indexes."""
    other = {"prune_after": "kept_by_settings", "finished_at": "kept_by_themselves"}[column]
    monkeypatch.setattr(pruning.finished, other, lambda *args: [])


@pytest.mark.skipif(IS_MYSQL, reason="they may read a whole table of which most is due")
@pytest.mark.parametrize("column", ["prune_after", "finished_at"])
def test_a_chunk_of_very_much_that_is_due_reads_no_more(column, settings, monkeypatch):
    """Also while the statistics say that it is little: PostgreSQL would sort all of it."""
    ask_only_for(column, monkeypatch)
    settings.DJANGO_TASKS = {"RETENTION_SUCCESSFUL": timedelta(days=14), "RETENTION_FAILED": None}
    history(MUCH, Status.SUCCESSFUL)
    TaskRecord.objects.update(
        status=Status.SUCCESSFUL,
        finished_at=database_now(DATABASE),
        prune_after=FAR_AHEAD if column == "prune_after" else None,
    )
    # The update left dead entries before what will be due: whoever comes first passes them.
    assert pruning.prune_due(DATABASE).number == 0
    moments = random.Random(7)

    def make_due(rows):
        for row in rows:
            setattr(row, column, LONG_AGO + timedelta(seconds=moments.random() * 1e6))
        TaskRecord.objects.bulk_update(rows, [column], batch_size=1000)

    made = list(TaskRecord.objects.only("pk"))
    moments.shuffle(made)
    make_due(made[: locking.CHUNK])
    analyze()
    make_due(made[: 3 * locking.CHUNK])
    much = read_by(lambda: pruning.prune_due(DATABASE, seconds=0.0))
    TaskRecord.objects.filter(pk__in=[row.pk for row in made[: 3 * locking.CHUNK]]).delete()
    make_due(made[3 * locking.CHUNK : 4 * locking.CHUNK])
    analyze()
    little = read_by(lambda: pruning.prune_due(DATABASE, seconds=0.0))

    assert TaskRecord.objects.count() == MUCH - 4 * locking.CHUNK
    assert much < 1.5 * little, (much, little)


@TIMES
def test_chunks_do_not_read_what_earlier_chunks_left_behind(until, monkeypatch):
    """Each begins where the last ended: entries of deleted rows stay in the index for a while."""
    ask_only_for("prune_after" if until is kept else "finished_at", monkeypatch)
    until(store(4 * locking.CHUNK, status=Status.SUCCESSFUL), seconds=-1)
    analyze()

    def reads(seconds):
        with rows_read() as read:
            pruning.prune_due(DATABASE, seconds=seconds)
        return read.rows

    first = reads(0.0)
    others = reads(None)

    assert others < 3.5 * first


def old_rollups(count, age):
    """Store rollups of minutes and hours, the oldest of this age."""
    start = database_now(DATABASE).replace(second=0, microsecond=0) - age
    Rollup.objects.bulk_create(
        Rollup(
            span=span, starts_at=start + timedelta(seconds=number), backend="default",
            queue_name=f"{number} of {count}",
        )
        for span in Span
        for number in range(count)
    )  # fmt: skip


def old_runs(count, age):
    """Store runs of a schedule, the oldest of this age."""
    moment = database_now(DATABASE) - age
    row = Schedule(name=uuid4().hex, task_path="x", kind="INTERVAL", every=60, anchor_at=LONG_AGO)
    row.save_base(force_insert=True)  # no beat reads it
    moments = [moment + timedelta(seconds=number) for number in range(count)]
    ScheduleRun.objects.bulk_create(
        ScheduleRun(schedule=row, slot_at=at, outcome="ENQUEUED", created_at=at) for at in moments
    )


#: What else is pruned: how to store some of an age, the call, and ages that are kept and not.
OTHERS = {
    "rollups": (
        old_rollups,
        lambda: counting.prune(DATABASE, database_now(DATABASE)),
        (timedelta(days=1), timedelta(days=90)),
    ),
    "runs of schedules": (
        old_runs,
        lambda: slots.prune_runs(DATABASE, 5 * DAY, seconds=1.0),
        (timedelta(days=1), timedelta(days=6)),
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_other_pruning_reads_what_it_deletes_and_nothing_more(what):
    """History and counts cost the same to prune, however much of them is kept."""
    fill, prune_it, (young, old) = OTHERS[what]
    read = {}
    for size, more in ((LITTLE, LITTLE), (MUCH, MUCH - LITTLE)):
        fill(more, young)
        analyze(Rollup, ScheduleRun)
        nothing = read_by(prune_it)
        fill(DUE, old)
        read[size] = nothing, read_by(prune_it)
    kept = Rollup.objects.count() // len(Span) + ScheduleRun.objects.count()
    for model in (Rollup, ScheduleRun, Schedule):
        model.objects.all()._raw_delete(DATABASE)

    assert kept == MUCH
    nothing, due = read[MUCH]
    assert nothing < 40 + 5 * DUE, read
    assert due < read[LITTLE][1] * 3, read


# --- by age, for people ---------------------------------------------------------------------------


def test_prune_deletes_finished_tasks_of_an_age():
    """By status, age in seconds and path; attempts go too; nothing unfinished is touched."""
    old = {status: make(status=status)[0] for status in Status}
    young = make(status=Status.SUCCESSFUL)
    shift(young, "finished_at", seconds=-50)
    TaskAttempt.objects.create(
        task_id=old[Status.FAILED], number=1, claim=1, outcome="ERROR", finished_at=LONG_AGO
    )

    assert prune([Status.SUCCESSFUL], 100.0) == 1
    assert TaskAttempt.objects.count() == 1
    assert prune(FINAL_STATUSES, 100.0) == 2
    assert TaskAttempt.objects.count() == 0
    assert prune(FINAL_STATUSES, 10.0) == 1

    left = set(TaskRecord.objects.values_list("status", flat=True))
    assert left == set(Status) - set(FINAL_STATUSES)


@pytest.mark.parametrize("status", [s for s in Status if s not in FINAL_STATUSES])
def test_prune_refuses_unfinished_statuses(status):
    """A mistaken caller cannot delete tasks that are still to run."""
    make(status=status)

    with pytest.raises(ValueError, match="Only finished tasks"):
        prune([Status.FAILED, status], 0.0)

    assert TaskRecord.objects.count() == 1


def test_prune_is_by_the_databases_clock(wrong_clock):
    """Nothing is deleted early because a process's clock is wrong."""
    young = make(status=Status.FAILED)
    shift(young, "finished_at", seconds=-50)

    assert prune([Status.FAILED], 100.0) == 0
    assert prune([Status.FAILED], 10.0) == 1


def test_prune_works_in_chunks_without_loading_rows():
    """Thousands of rows go in short transactions of a few statements each, after a look."""
    make(MANY, status=Status.SUCCESSFUL)

    with CaptureQueriesContext(connection) as captured:
        assert prune([Status.SUCCESSFUL], 0.0) == MANY

    # Two chunks, and a look at the rows that say themselves for how long they are kept.
    assert len(captured) <= 2 * 6 + 4
    assert not any('"args"' in query["sql"] or "`args`" in query["sql"] for query in captured)


def test_two_pruners_delete_each_row_once():
    """Every worker has a keeper: they share the work and do not wait for each other."""
    make(2 * MANY, status=Status.SUCCESSFUL)

    def prune_all():
        return prune([Status.SUCCESSFUL], 0.0)

    counts = at_once(prune_all, prune_all)

    assert sum(counts) == 2 * MANY
    assert not TaskRecord.objects.exists()

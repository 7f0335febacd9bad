"""The schema that a task was enqueued in is the one that its body runs in, in every pool."""

import importlib.util

import pytest
from django.db import connection, connections
from django.test import override_settings

from django_tasks import TaskFailed
from django_tasks.beat.tick import tick
from django_tasks.models import Schedule, ScheduleRun, TaskRecord
from tests.schedules.steps import overdue
from tests.worker import tenants
from tests.worker.ledger import PATIENCE, await_lines
from tests.worker.tenants import notes, schema_context

pytestmark = pytest.mark.skipif(
    connection.vendor != "postgresql", reason="schemas are PostgreSQL's"
)

TASKS = {
    "CONTEXT_PROPAGATORS": ["tests.worker.tenants.TenantSchema"],
    "TASK_MODULES": ["tests.worker.tenants"],
}


@pytest.fixture(scope="module", params=["prefork", "threads", "asyncio", "gevent", "solo"])
def worker(request, shared_worker, schemas):
    """A worker whose bodies have one connection after each other."""
    if request.param == "gevent" and importlib.util.find_spec("gevent") is None:
        pytest.skip("gevent is not installed")
    slots = () if request.param == "solo" else ("--concurrency", 1)
    database = connections.settings["default"] | {
        "NAME": connection.settings_dict["NAME"],
        "CONN_MAX_AGE": None,
    }
    return shared_worker(
        "--queues", "default", "--pool", request.param, *slots,
        settings={"DATABASES": {"default": database}, "DJANGO_TASKS": TASKS},
    )  # fmt: skip


@pytest.fixture(scope="module")
def schemas(tables):
    """Two tenants' schemas, and public, with a table each."""
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA acme; CREATE SCHEMA bravo")
        for name in ("public", "acme", "bravo"):
            cursor.execute(f"CREATE TABLE {name}.note (text text)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA acme CASCADE; DROP SCHEMA bravo CASCADE; DROP TABLE note")


@pytest.fixture(autouse=True)
def emptied(schemas, clean):
    with override_settings(DJANGO_TASKS=TASKS):
        yield
    ScheduleRun.objects.all().delete()
    Schedule.objects.all().delete()
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE public.note, acme.note, bravo.note")


def await_all(results):
    for result in results:
        result.wait(PATIENCE)


@pytest.mark.parametrize("name", ["write", "write_async", "write_atomic"])
def test_body_runs_in_the_schema_it_was_enqueued_in(worker, name):
    """Tenants in turns, and without a tenant in public."""
    results = []
    for number in range(3):
        for schema in ("acme", "public", "bravo"):
            with schema_context(schema):
                results.append(getattr(tenants, name).enqueue(f"{schema} {number}"))

    await_all(results)

    for schema in ("acme", "public", "bravo"):
        assert notes(schema) == [f"{schema} {number}" for number in range(3)]


@pytest.mark.parametrize("kind", ["leave_schema", "leave_schema_async"])
def test_what_a_body_left_is_put_back(worker, kind):
    """For tasks that carry a schema, and for those that a schedule made."""
    write = tenants.write if kind == "leave_schema" else tenants.write_async
    with override_settings(DJANGO_TASKS={}):  # it carries nothing, as one of a schedule
        left = getattr(tenants, kind).enqueue("bravo")
    await_all([left])
    overdue(task_path=write.module_path, args='["scheduled"]')
    with schema_context("acme"):
        tick("default")
    [made] = TaskRecord.objects.filter(metadata=None, task_path=write.module_path)
    await_all([write.get_result(str(made.pk)), write.enqueue("enqueued")])

    assert notes("public") == ["enqueued", "scheduled"]
    assert notes("acme") == notes("bravo") == []


def test_tasks_that_bodies_enqueue_and_retries_stay_in_it(worker):
    """As do tasks whose body saves metadata of its own."""
    with schema_context("acme"):
        first, retried = tenants.write_and_enqueue.enqueue("a"), tenants.write_twice.enqueue("b")
    await_all([first, retried])
    await_all(
        tenants.write.get_result(str(pk))
        for pk in TaskRecord.objects.filter(task_path=tenants.write.module_path).values_list(
            "pk", flat=True
        )
    )

    assert notes("acme") == ["a", "a, next", "b, attempt 1", "b, attempt 2"]
    assert retried.metadata == {"seen": True}


@pytest.mark.parametrize("name", ["wait_for_cancel", "wait_for_cancel_async"])
def test_body_that_is_cancelled_leaves_it(worker, name, book):
    """As any other; the next one writes where it belongs."""
    write = tenants.write_async if name.endswith("async") else tenants.write
    with schema_context("acme"):
        result = getattr(tenants, name).enqueue(book)
    await_lines(book, 1)
    result.cancel()
    with pytest.raises(TaskFailed, match="TaskCancelRequested"):
        result.wait(PATIENCE)
    await_all([write.enqueue("public")])

    assert notes("public") == ["public"]
    assert "was not left" not in worker.output


def test_body_that_breaks_its_transaction_breaks_nothing_else(worker):
    """The next one writes where it belongs."""
    with schema_context("acme"):
        with pytest.raises(TaskFailed, match="no_such_column"):
            tenants.break_transaction.enqueue().wait(PATIENCE)
        await_all([tenants.write_atomic.enqueue("acme")])
    await_all([tenants.write_atomic.enqueue("public")])

    assert (notes("acme"), notes("public")) == (["acme"], ["public"])


def test_claims_whose_context_could_not_be_read_are_adopted(start, schemas):
    """They run when the connection is back, in their schema, and once."""
    modules = [*TASKS["TASK_MODULES"], "tests.worker.cut_read"]
    worker = start("--queues", "cut", settings={"DJANGO_TASKS": TASKS | {"TASK_MODULES": modules}})
    write = tenants.write.using(queue_name="cut")
    with schema_context("acme"):
        results = [write.enqueue(str(number)) for number in range(3)]

    await_all(results)

    assert notes("acme") == ["0", "1", "2"]
    assert {result.attempts for result in results} == {1}
    assert "Lost the task database" in worker.output

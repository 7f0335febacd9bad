"""What CONTEXT_PROPAGATORS capture travels with a task, and its body runs within it."""

import asyncio
import contextlib
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from django_tasks.definitions import propagation
from django_tasks.exceptions import InvalidTask
from django_tasks.models import TaskRecord
from django_tasks.store.tasks import transitions
from django_tasks.testing import run_pending_tasks
from django_tasks.worker.execution import contexts
from tests import propagators
from tests.propagators import events, language, tell, tenant
from tests.schedules.steps import overdue

PATH = "tests.propagators."
LANGUAGE = f"{PATH}Language"
TENANT = f"{PATH}tenant_object"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def use(settings):
    """Return a function that names the propagators; two of them unless it is called."""

    def use(*paths):
        settings.DJANGO_TASKS = {"CONTEXT_PROPAGATORS": paths}

    use(LANGUAGE, TENANT)
    tokens = language.set("de"), tenant.set({"schema": "acme"})
    events.clear()
    yield use
    language.reset(tokens[0])
    tenant.reset(tokens[1])


def run_elsewhere(**options):
    """Run what is pending where nothing of the caller's is set, as in a worker."""
    tokens = language.set("left behind"), tenant.set("left behind")
    events.clear()
    try:
        return run_pending_tasks(**options)
    finally:
        language.reset(tokens[0])
        tenant.reset(tokens[1])


# --- capturing ----------------------------------------------------------------------------------


def test_result_has_it_beside_the_metadata():
    """The one that enqueue() returns, the one that is read, and its task can be enqueued again."""
    result = tell.using(metadata={"order": 7}).enqueue()
    read = tell.get_result(result.id)

    for one in (result, read):
        assert one.metadata == one.task.metadata == {"order": 7}
        assert one.propagated == {LANGUAGE: "de", TENANT: {"schema": "acme"}}
    read.task.enqueue()


def test_none_is_not_stored():
    language.set(None)
    tenant.set(None)

    tell.enqueue()

    assert TaskRecord.objects.get().metadata is None


def test_once_for_many():
    results = tell.enqueue_many([()] * 3)

    assert events == ["capture language", "capture tenant"]
    assert {result.propagated[LANGUAGE] for result in results} == {"de"}
    assert len(set(TaskRecord.objects.values_list("metadata", flat=True))) == 1


@pytest.mark.django_db(transaction=True, databases=["default"])
def test_on_commit_at_the_call(monkeypatch):
    """Not at the commit, when the tenant may be another one. (As for tasks in another database.)"""
    backend = tell.get_backend()
    with transaction.atomic():
        monkeypatch.setattr(backend, "database", "other")
        result = tell.enqueue_on_commit()
        monkeypatch.setattr(backend, "database", "default")
        language.set("fr")
        assert not TaskRecord.objects.exists()

    assert tell.get_result(result.id).propagated[LANGUAGE] == "de"


def test_of_async_callers():
    """aenqueue() captures in the caller's context."""

    async def enqueue():
        language.set("it")
        return await tell.aenqueue()

    assert async_to_sync(enqueue)().propagated[LANGUAGE] == "it"


def test_schedules_capture_nothing():
    """Whoever looks at them."""
    from django_tasks.beat.tick import tick

    overdue(task_path=tell.module_path, args="[]")
    tick("default")

    assert events == []
    [result] = run_elsewhere()
    assert result.return_value == [None, None]


def test_repeated_call_keeps_what_the_first_captured():
    once = tell.using(task_id="01920000-0000-7000-8000-000000000001")
    once.enqueue()
    language.set("fr")

    assert once.enqueue().propagated[LANGUAGE] == "de"


def test_what_capture_raises_is_raised_with_its_name(use):
    use(f"{PATH}Raises")

    with pytest.raises(LookupError, match="no tenant") as caught:
        tell.enqueue()

    [note] = caught.value.__notes__
    assert f"capture() of '{PATH}Raises' in DJANGO_TASKS['CONTEXT_PROPAGATORS']" in note
    assert not TaskRecord.objects.exists()


def test_value_that_is_no_json_is_refused(use, monkeypatch):
    monkeypatch.setattr(propagators.Raises, "at", "value")
    use(f"{PATH}Raises")

    with pytest.raises(TypeError, match=r"what capture\(\) of 'tests.propagators.Raises'"):
        tell.enqueue()


def test_key_is_reserved():
    """In code that enqueues, and in bodies."""
    with pytest.raises(InvalidTask, match=r"may not have the key 'django_tasks\.context'"):
        tell.using(metadata={propagation.KEY: {}})

    result = propagators.save_reserved.enqueue()
    run_elsewhere()
    result.refresh()

    assert "may not have the key" in result.errors[0].traceback
    assert result.propagated[LANGUAGE] == "de"


# --- restoring ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tell", "tell_async", "tell_atomic"])
def test_body_runs_in_it(name):
    getattr(propagators, name).enqueue()

    [result] = run_elsewhere()

    assert result.return_value == ["de", {"schema": "acme"}]


@pytest.mark.parametrize("name", ["tell", "tell_async"])
def test_in_the_order_of_the_settings(name):
    getattr(propagators, name).enqueue()

    run_elsewhere()

    assert events == [
        "enter language de", "enter tenant {'schema': 'acme'}", "body",
        "leave tenant", "leave language",
    ]  # fmt: skip


def test_is_entered_for_nothing_too(use):
    """So that it puts back what the body before has left; also for tasks from before it was."""
    use()
    tell.enqueue()
    use(LANGUAGE)

    [result] = run_elsewhere()

    assert result.return_value == [None, "left behind"]


def test_without_propagators_everything_is_as_it_is(use):
    """Values that a row carries are not even read."""
    tell.enqueue()
    use()

    [result] = run_elsewhere()

    assert result.return_value == ["left behind", "left behind"]


def test_one_query_per_claim_and_none_without(use):
    tell.enqueue()
    with CaptureQueriesContext(connection) as within:
        run_elsewhere()
    use()
    tell.enqueue()
    with CaptureQueriesContext(connection) as without:
        run_elsewhere()

    assert len(within) == len(without) + 1


def test_travels_on():
    """To tasks that bodies enqueue, to retries, to what is requeued and to copies."""
    propagators.enqueue_tell.enqueue()
    retried = propagators.tell_at_second.enqueue()
    results = run_elsewhere(include_scheduled=True)

    assert [r.return_value for r in results if r.task.name == "tell"] == [
        ["de", {"schema": "acme"}]
    ]
    retried.refresh()
    assert retried.return_value == [
        "de", {"seen": True}, {LANGUAGE: "de", TENANT: {"schema": "acme"}},
    ]  # fmt: skip

    failed = propagators.fail.enqueue()
    run_elsewhere()
    assert transitions.copy("default", [UUID(retried.id)]) == 1
    assert failed.requeue() is True
    assert [r.propagated[LANGUAGE] for r in run_elsewhere()] == ["de", "de"]


def test_what_restore_raises_fails_the_task_with_its_name(use, monkeypatch):
    """Those that were entered before it are left."""
    monkeypatch.setattr(propagators.Raises, "at", "restore")
    use(LANGUAGE, f"{PATH}Raises")
    for task in (tell, propagators.tell_async):
        task.enqueue()

    results = run_elsewhere()

    for result in results:
        [error] = result.errors
        assert error.exception_class is LookupError
        assert f"Raised in restore() of '{PATH}Raises'" in error.traceback
    assert events == ["enter language de", "leave language"] * 2


def test_error_while_leaving_is_logged(use, monkeypatch, caplog):
    """The body has run."""
    monkeypatch.setattr(propagators.Raises, "at", "leave")
    use(LANGUAGE, f"{PATH}Raises")
    tell.enqueue()

    [result] = run_elsewhere()

    assert result.return_value == ["de", "left behind"]
    assert f"The context that restore() of '{PATH}Raises' gave was not left." in caplog.text
    assert events[-1] == "leave language"


def test_error_of_the_body_is_its_own(use, caplog):
    """A context can neither swallow nor replace it, and one that lets it pass is no fault."""
    use(LANGUAGE, f"{PATH}Swallows")
    propagators.fail.enqueue()

    [result] = run_elsewhere()

    assert result.errors[0].exception_class is ValueError
    assert result.errors[0].traceback.count("\n  File") == 1
    assert "was not left" not in caplog.text


def test_value_of_an_unknown_propagator_waits(use, caplog):
    """For a worker that knows it, without costing an attempt."""
    result = tell.enqueue()
    use(LANGUAGE)

    run_elsewhere(limit=1)

    result.refresh()
    assert (result.record_status, result.attempts) == ("SCHEDULED", 0)
    assert f"carries what '{TENANT}' captured, which is not in this worker's" in caplog.text
    use(LANGUAGE, TENANT)
    [result] = run_elsewhere(include_scheduled=True)
    assert result.return_value == ["de", {"schema": "acme"}]


@pytest.mark.parametrize("metadata", ["{", '{"django_tasks.context": 1}'])
def test_corrupt_row_fails_its_own_task(metadata):
    """It does not run without its context, and stops no other."""
    corrupt, other = tell.enqueue(), propagators.tell_async.enqueue()
    TaskRecord.objects.filter(pk=corrupt.id).update(metadata=metadata)
    records = TaskRecord.objects.filter(pk__in=[corrupt.id, other.id])

    with contextlib.suppress(ValueError):  # that result cannot be read
        run_elsewhere()

    assert list(records.order_by("pk").values_list("status", flat=True)) == ["FAILED", "SUCCESSFUL"]


def test_coroutine_does_not_change_its_callers_context():
    """A variable is reset in the context in which it was set."""

    async def tell_twice():
        captured = {LANGUAGE: "it"}
        first = await contexts.run_coroutine(captured, propagators.tell_async.func, (), {})
        return first, await contexts.run_coroutine({}, propagators.tell_async.func, (), {})

    assert asyncio.run(tell_twice()) == (["it", None], [None, None])


# --- settings -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("tests.propagators.Nothing", "cannot be imported"),
        ("nothing", "cannot be imported"),
        (f"{PATH}HasNoRestore", r"has no method restore\(\)"),
        (f"{PATH}NeedsArguments", "is made without arguments"),
    ],
)
def test_path_that_leads_to_none(use, path, message):
    """Is told by the checks, by whoever enqueues, and by workers that skip the checks."""
    use(LANGUAGE, path)

    [error] = [m for m in checks.run_checks() if m.id == "django_tasks.E013"]
    assert path in error.msg
    with pytest.raises(ImproperlyConfigured, match=message):
        tell.enqueue()


def test_worker_refuses_to_start(use, monkeypatch):
    from django_tasks.management.commands import runworker

    for name in ("check_caller", "check_tables"):
        monkeypatch.setattr(runworker, name, lambda *args: None)
    use("nothing.at.all")

    with pytest.raises(CommandError, match=r"'nothing.at.all' cannot be imported"):
        call_command("runworker", skip_checks=True)

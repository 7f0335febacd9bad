"""The contract of django.tasks, which must be the same on every Django the package supports."""

import asyncio
import copy
import enum
import logging
import pickle
import subprocess
import sys
from collections import OrderedDict, UserList
from dataclasses import FrozenInstanceError, dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from threading import Thread

import django
import pytest
from django.core.checks import Warning as CheckWarning
from django.core.checks import registry, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext_lazy

from django_tasks.dep14 import backends, base, checks, exceptions, handler, json, signals
from django_tasks.dep14.backends import BaseTaskBackend, DummyBackend, ImmediateBackend
from django_tasks.dep14.base import Task, TaskContext, TaskError, TaskResultStatus, task
from django_tasks.dep14.exceptions import (
    InvalidTask,
    InvalidTaskBackend,
    TaskException,
    TaskResultDoesNotExist,
    TaskResultMismatch,
)
from django_tasks.dep14.handler import default_task_backend, task_backends
from django_tasks.dep14.json import normalize_json

HAS_DJANGO_TASKS = django.VERSION >= (6, 0)
MODULES = [backends, base, checks, exceptions, handler, json, signals]

needs_61 = pytest.mark.skipif(
    django.VERSION[:2] == (6, 0), reason="Django 6.0's own Task has this only from 6.1 on"
)


def add(a, b=1):
    return a + b


async def add_async(a, b=1):
    return a + b


def fail():
    try:
        raise KeyError("cause")
    except KeyError as error:
        raise ValueError("outcome") from error


def leave():
    raise SystemExit(3)


def interrupt():
    raise KeyboardInterrupt


def return_set():
    return {1}


def attempt_number(context):
    assert isinstance(context, TaskContext)
    return [context.attempt, context.task_result.id]


def no_context(first):
    return first


class PlainBackend(BaseTaskBackend):
    """Supports nothing but what every backend must."""

    def enqueue(self, task, args, kwargs):
        self.validate_task(task)
        return args, kwargs

    def check(self, **kwargs):
        return [CheckWarning(f"seen {self.alias}", id="tests.W001")]


class WithoutEnqueue(BaseTaskBackend):
    pass


class DeferringBackend(PlainBackend):
    supports_defer = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ColouredTask(Task):
    colour: str = "grey"


class ColouringBackend(DummyBackend):
    task_class = ColouredTask


def path(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


@pytest.fixture(autouse=True)
def tasks_setting(settings):
    settings.USE_TZ = True
    settings.TASKS = {
        "default": {"BACKEND": path(DummyBackend), "QUEUES": ["default", "mail"]},
        "immediate": {"BACKEND": path(ImmediateBackend), "QUEUES": [], "OPTIONS": {"a": 1}},
        "plain": {"BACKEND": path(PlainBackend)},
        "deferring": {"BACKEND": path(DeferringBackend)},
        "colouring": {"BACKEND": path(ColouringBackend)},
        "abstract": {"BACKEND": path(WithoutEnqueue)},
        "gone": {"BACKEND": "tests.no_such_module.Backend"},
    }
    return settings.TASKS


@pytest.fixture
def sent():
    """The (signal name, sender, status at that moment) of every task signal."""
    events = []
    receivers = []
    for name in signals.__all__:

        def receive(sender, task_result, name=name, **kwargs):
            events.append((name, sender, task_result.status))

        receivers.append((getattr(signals, name), receive))
    for signal, receive in receivers:
        signal.connect(receive)
    yield events
    for signal, receive in receivers:
        signal.disconnect(receive)


def run(function, *args, **options):
    return task(backend="immediate", **options)(function).enqueue(*args)


class TestImports:
    def test_every_name_comes_from_django_where_django_has_it(self):
        home = "django." if HAS_DJANGO_TASKS else "django_tasks.dep14._django52."
        named = [getattr(module, name) for module in MODULES for name in module.__all__]
        homes = [value.__module__ for value in named if hasattr(value, "__qualname__")]

        assert len(homes) >= 15
        assert all(each.startswith(home) for each in homes)

    @pytest.mark.skipif(not HAS_DJANGO_TASKS, reason="Django 5.2 has no django.tasks")
    def test_objects_are_djangos_own(self):
        import django.tasks.signals

        assert base.Task is django.tasks.Task
        assert base.TASK_REFRESH_ATTRS is django.tasks.base.TASK_REFRESH_ATTRS
        assert handler.task_backends is django.tasks.task_backends
        assert handler.default_task_backend is django.tasks.default_task_backend
        assert signals.task_finished is django.tasks.signals.task_finished

    def test_needs_neither_settings_nor_apps_and_any_module_may_come_first(self):
        script = """
import importlib, sys
names = sys.argv[1:]
for first in names:
    for loaded in [name for name in sys.modules if name.startswith("django_tasks")]:
        del sys.modules[loaded]
    for name in [first, *names]:
        importlib.import_module(name)

from django.apps import apps
from django.conf import settings
assert not settings.configured
assert not apps.ready and not apps.all_models, dict(apps.all_models)
"""
        names = [module.__name__ for module in MODULES]
        subprocess.run([sys.executable, "-c", script, *names], check=True, timeout=60)

    def test_constants(self):
        assert base.DEFAULT_TASK_BACKEND_ALIAS == base.DEFAULT_TASK_QUEUE_NAME == "default"
        assert base.DEFAULT_TASK_PRIORITY == 0
        assert (base.TASK_MIN_PRIORITY, base.TASK_MAX_PRIORITY) == (-100, 100)
        assert TaskResultStatus.values == ["READY", "RUNNING", "FAILED", "SUCCESSFUL"]
        assert TaskResultStatus.labels == ["Ready", "Running", "Failed", "Successful"]

    def test_refresh_takes_over_what_can_change(self):
        fixed = {"task", "id", "args", "kwargs", "backend"}

        assert set(base.TaskResult.__slots__) - base.TASK_REFRESH_ATTRS == fixed

    def test_exceptions(self):
        assert issubclass(InvalidTaskBackend, ImproperlyConfigured)
        for exception in (InvalidTask, TaskResultDoesNotExist, TaskResultMismatch):
            assert issubclass(exception, TaskException)


class TestHandler:
    def test_knows_its_backends(self, tasks_setting):
        backend = task_backends["immediate"]

        assert isinstance(backend, ImmediateBackend)
        assert backend is task_backends["immediate"]
        assert (backend.alias, backend.queues, backend.options) == ("immediate", set(), {"a": 1})
        assert default_task_backend == task_backends["default"]
        assert set(task_backends) == set(tasks_setting)

    def test_unknown_alias(self):
        with pytest.raises(InvalidTaskBackend, match="The connection 'x' doesn't exist"):
            task_backends["x"]

    def test_unimportable_backend(self):
        with pytest.raises(InvalidTaskBackend, match=r"Could not find backend 'tests\.") as e:
            task_backends["gone"]
        assert isinstance(e.value.__cause__, ImportError)

    def test_abstract_backend(self):
        with pytest.raises(TypeError, match=r"abstract.*enqueue"):
            task_backends["abstract"]

    def test_changed_setting_drops_the_instances(self, settings):
        before = default_task_backend.queues

        settings.TASKS = {"default": {"BACKEND": path(DummyBackend), "QUEUES": ["other"]}}

        assert (before, default_task_backend.queues) == ({"default", "mail"}, {"other"})
        assert list(task_backends) == ["default"]

    def test_other_settings_leave_the_instances(self, settings):
        backend = task_backends["default"]
        settings.TIME_ZONE = "Europe/Paris"
        assert task_backends["default"] is backend

    def test_each_thread_has_its_own_instance(self):
        others = []
        thread = Thread(target=lambda: others.append(task_backends["default"]))
        thread.start()
        thread.join()

        assert others[0] is not task_backends["default"]

    @pytest.mark.skipif(HAS_DJANGO_TASKS, reason="Django 6.0 has its own default for TASKS")
    def test_default_is_the_database_backend(self, settings):
        del settings.TASKS

        path = "django_tasks.backends.database.DatabaseBackend"
        assert task_backends.settings == {"default": {"BACKEND": path, "QUEUES": []}}

    def test_empty_setting_means_no_backend(self, settings):
        settings.TASKS = {}
        with pytest.raises(InvalidTaskBackend):
            task(add)

    def test_check_asks_every_backend(self, settings):
        setting = {"one": {"BACKEND": path(PlainBackend)}, "two": {"BACKEND": path(PlainBackend)}}
        settings.TASKS = setting

        messages = list(checks.check_tasks(app_configs=None))

        assert [message.msg for message in messages] == ["seen one", "seen two"]
        # The app's own takes its place.
        assert checks.check_tasks not in registry.registry.registered_checks
        ours = [message for message in run_checks() if message.id == "tests.W001"]
        assert ours == messages


class TestValidation:
    @pytest.mark.parametrize(
        ("function", "options", "message"),
        [
            (print, {}, "Task function must be defined at a module level."),
            ("text", {}, "Task function must be defined at a module level."),
            (add_async, {}, "Backend does not support async Tasks."),
            (
                no_context,
                {"takes_context": True},
                "Task takes context but does not have a first argument of 'context'.",
            ),
            (add, {"priority": 1}, "Backend does not support setting priority of tasks."),
            (add, {"queue_name": "mail"}, "Queue 'mail' is not valid for backend."),
        ],
    )
    def test_a_backend_that_supports_little(self, function, options, message):
        with pytest.raises(InvalidTask) as error:
            task(backend="plain", **options)(function)
        assert str(error.value) == message

    def test_inner_function(self):
        def inner():
            pass

        with pytest.raises(InvalidTask, match="module level"):
            task(inner)

    def test_bound_method(self):
        with pytest.raises(InvalidTask, match="module level"):
            task(PlainBackend("x", {}).check)

    @pytest.mark.parametrize("priority", [-101, 101, 1.5, Decimal("0.5")])
    def test_priority_out_of_range(self, priority):
        with pytest.raises(InvalidTask) as error:
            task(priority=priority)(add)
        assert str(error.value) == "priority must be a whole number between -100 and 100."

    @pytest.mark.parametrize("priority", [-100, 100, 5.0, True])
    def test_priority_in_range(self, priority):
        assert task(priority=priority)(add).priority == priority

    def test_priority_of_another_type(self):
        with pytest.raises(TypeError):
            task(priority="5")(add)

    def test_run_after(self, settings):
        naive, aware = datetime(2030, 1, 1), datetime(2030, 1, 1, tzinfo=UTC)
        plain, deferring = (task(backend=alias)(add) for alias in ("plain", "deferring"))

        with pytest.raises(InvalidTask, match=r"^Backend does not support run_after\.$"):
            plain.using(run_after=aware)
        with pytest.raises(InvalidTask, match=r"^run_after must be an aware datetime\.$"):
            deferring.using(run_after=naive)
        assert deferring.using(run_after=aware).run_after == aware
        settings.USE_TZ = False
        assert deferring.using(run_after=naive).run_after == naive

    def test_no_queues_means_any_queue(self):
        assert task(backend="immediate", queue_name="anything")(add).queue_name == "anything"

    @pytest.mark.parametrize("alias", ["default", "immediate"])
    def test_enqueue_validates_again(self, alias, settings):
        made = task(backend=alias)(add)
        settings.TASKS = {
            name: {**params, "QUEUES": ["other"]} for name, params in settings.TASKS.items()
        }

        with pytest.raises(InvalidTask, match="Queue 'default'"):
            made.enqueue(1)
        with pytest.raises(InvalidTask, match="Queue 'default'"):
            asyncio.run(made.aenqueue(1))


class TestTask:
    def test_decorator_with_and_without_parentheses(self):
        assert task(add) == task()(add)
        assert task(add).func is add
        assert (task(add).name, task(add).module_path) == ("add", f"{__name__}.add")

    def test_decorator_options(self):
        made = task(priority=3, queue_name="mail")(add)

        assert (made.priority, made.queue_name, made.backend) == (3, "mail", "default")
        assert (made.run_after, made.takes_context) == (None, False)

    def test_decorator_refuses_a_moment(self):
        with pytest.raises(TypeError, match="run_after"):
            task(run_after=datetime.now(tz=UTC))

    @needs_61
    def test_further_options_go_to_the_task_class(self):
        made = task(backend="colouring", colour="red")(add)

        assert type(made) is ColouredTask
        assert (made.colour, task(backend="colouring")(add).colour) == ("red", "grey")
        assert made.using(priority=4) == replace(made, priority=4)
        with pytest.raises(TypeError, match="taste"):
            task(backend="colouring", taste="sweet")(add)

    def test_using_returns_a_changed_copy(self):
        made = task(add)
        moment = datetime(2030, 1, 1, tzinfo=UTC)

        changed = made.using(priority=9, queue_name="mail", run_after=moment)
        moved = made.using(backend="immediate")

        assert (changed.priority, changed.queue_name, changed.run_after) == (9, "mail", moment)
        assert (made.priority, made.queue_name, made.run_after) == (0, "default", None)
        assert isinstance(moved.get_backend(), ImmediateBackend)
        assert changed.using(priority=None, queue_name=None, run_after=None) == changed
        assert changed.using(priority=0).priority == 0

    def test_is_frozen_and_hashable(self):
        made = task(add)
        with pytest.raises(FrozenInstanceError):
            made.priority = 3
        assert not hasattr(made, "__dict__")
        assert len({made, task(add), made.using(priority=1)}) == 2

    def test_call_runs_either_kind_of_function(self):
        assert task(add).call(1, b=2) == task(add_async).call(1, b=2) == 3
        assert asyncio.run(task(add).acall(1, b=2)) == 3
        assert asyncio.run(task(add_async).acall(1, b=2)) == 3

    @needs_61
    def test_pickles_by_the_path_of_its_function(self, monkeypatch):
        made = task(backend="colouring", colour="red")(add)
        monkeypatch.setattr(sys.modules[__name__], "add", made)

        assert pickle.loads(pickle.dumps(made.using(priority=2))) == made.using(priority=2)
        assert copy.deepcopy(made) == made

    @needs_61
    def test_unpickling_needs_a_task_at_that_path(self):
        pickled = pickle.dumps(task(add))  # The module's attribute is the bare function here.

        with pytest.raises(ValueError, match=f"Expected '{__name__}.add' to point to a Task"):
            pickle.loads(pickled)


class TestDummyBackend:
    @pytest.fixture
    def adding(self, monkeypatch):
        made = task(add)
        monkeypatch.setattr(sys.modules[__name__], "add", made)  # deepcopy looks there from 6.1 on
        return made

    def test_keeps_results(self, adding, sent):
        result = adding.enqueue((1, 2), b=[b"x"])

        assert result.status == TaskResultStatus.READY
        assert (result.args, result.kwargs) == ([[1, 2]], {"b": ["x"]})
        assert (result.backend, result.attempts, result.errors) == ("default", 0, [])
        assert (result.started_at, result.last_attempted_at, result.finished_at) == (None,) * 3
        assert result.enqueued_at.tzinfo is not None
        assert 0 < len(result.id) < 64
        assert default_task_backend.results == [result]
        assert sent == [("task_enqueued", DummyBackend, "READY")]

    def test_returns_a_copy(self, adding):
        result = adding.enqueue([])
        result.args.append(3)
        assert default_task_backend.results[0].args == [[]]

    def test_result_is_found_again(self, adding):
        result = adding.enqueue(1)

        assert adding.get_result(result.id) == result
        assert asyncio.run(adding.aget_result(result.id)) == result

    def test_unknown_id(self, adding):
        with pytest.raises(TaskResultDoesNotExist, match="123"):
            adding.get_result("123")
        with pytest.raises(TaskResultDoesNotExist, match="123"):
            asyncio.run(adding.aget_result("123"))

    def test_result_of_another_task(self, adding):
        result, other = adding.enqueue(1), task(fail)
        message = rf"Task does not match \(received '{__name__}.add'\)"

        with pytest.raises(TaskResultMismatch, match=message):
            other.get_result(result.id)
        with pytest.raises(TaskResultMismatch, match=message):
            asyncio.run(other.aget_result(result.id))

    def test_refresh(self, adding):
        first, second = adding.enqueue(1), adding.enqueue(1)
        for stored in default_task_backend.results:
            object.__setattr__(stored, "status", TaskResultStatus.SUCCESSFUL)
            object.__setattr__(stored, "_return_value", 7)
            stored.worker_ids.append("w")

        first.refresh()
        asyncio.run(second.arefresh())

        for result in (first, second):
            assert (result.return_value, result.attempts, result.is_finished) == (7, 1, True)

    def test_return_value_needs_an_end(self, adding):
        result = adding.enqueue(1)
        with pytest.raises(ValueError, match=r"^Task has not finished yet$"):
            result.return_value  # noqa: B018
        assert not result.is_finished

    def test_aenqueue(self, adding):
        async def enqueue():
            return await adding.aenqueue(1, b=2)

        assert asyncio.run(enqueue()).kwargs == {"b": 2}

    def test_clear(self, adding):
        adding.enqueue(1)
        default_task_backend.clear()
        assert default_task_backend.results == []

    def test_arguments_must_be_json(self, adding):
        with pytest.raises(TypeError, match="Unsupported type"):
            adding.enqueue({1, 2})
        assert default_task_backend.results == []


class TestBaseBackend:
    def test_supports_nothing_by_default(self):
        names = ["defer", "async_task", "get_result", "priority"]
        assert not any(getattr(BaseTaskBackend, f"supports_{name}") for name in names)
        assert BaseTaskBackend.task_class is Task

    def test_results_are_unsupported(self):
        made = task(backend="plain")(add)
        with pytest.raises(NotImplementedError, match="retrieving or refreshing results"):
            made.get_result("1")
        with pytest.raises(NotImplementedError, match="retrieving or refreshing results"):
            asyncio.run(made.aget_result("1"))

    def test_aenqueue_calls_enqueue(self):
        args, kwargs = asyncio.run(task(backend="plain")(add).aenqueue(1, b=2))
        assert (list(args), kwargs) == ([1], {"b": 2})


class TestImmediateBackend:
    def test_success(self, sent):
        result = run(add, 1, 2)

        assert (result.status, result.return_value) == (TaskResultStatus.SUCCESSFUL, 3)
        assert result.worker_ids == [task_backends["immediate"].worker_id]
        assert result.enqueued_at <= result.started_at == result.last_attempted_at
        assert result.started_at <= result.finished_at
        assert sent == [
            ("task_enqueued", ImmediateBackend, "READY"),
            ("task_started", ImmediateBackend, "RUNNING"),
            ("task_finished", ImmediateBackend, "SUCCESSFUL"),
        ]

    def test_coroutine_function(self):
        assert run(add_async, 1).return_value == 2
        assert asyncio.run(task(backend="immediate")(add_async).aenqueue(1)).return_value == 2

    def test_failure(self, sent):
        result = run(fail)

        (error,) = result.errors
        assert result.status == TaskResultStatus.FAILED
        assert error.exception_class is ValueError
        assert "KeyError: 'cause'" in error.traceback
        assert error.traceback.endswith("ValueError: outcome\n")
        assert sent[-1] == ("task_finished", ImmediateBackend, "FAILED")
        with pytest.raises(ValueError, match=r"^Task failed$"):
            result.return_value  # noqa: B018

    @pytest.mark.parametrize(("function", "kind"), [(leave, SystemExit), (return_set, TypeError)])
    def test_other_failures(self, function, kind):
        (error,) = run(function).errors
        assert error.exception_class is kind

    def test_keyboard_interrupt_ends_the_process_not_the_task(self, sent):
        with pytest.raises(KeyboardInterrupt):
            run(interrupt)
        assert [name for name, _sender, _status in sent] == ["task_enqueued", "task_started"]

    def test_context(self):
        result = run(attempt_number, takes_context=True)
        assert result.return_value == [1, result.id]


class TestLog:
    @pytest.fixture(autouse=True)
    def all_levels(self, caplog):
        caplog.set_level(logging.DEBUG, "django.tasks")

    @staticmethod
    def lines(caplog):
        return [
            (record.levelname, record.getMessage())
            for record in caplog.records
            if record.name == "django.tasks"
        ]

    def test_success(self, caplog):
        result = run(add, 1)
        start = f"Task id={result.id} path={__name__}.add"

        assert self.lines(caplog) == [
            ("DEBUG", f"{start} enqueued backend=immediate"),
            ("INFO", f"{start} state=RUNNING"),
            ("INFO", f"{start} state=SUCCESSFUL"),
        ]
        assert [record.exc_info for record in caplog.records] == [None] * 3
        assert "None" not in caplog.text

    def test_failure_shows_the_exception(self, caplog):
        result = run(fail)

        assert self.lines(caplog)[-1] == (
            "ERROR",
            f"Task id={result.id} path={__name__}.fail state=FAILED",
        )
        assert isinstance(caplog.records[-1].exc_info[1], ValueError)
        assert "ValueError: outcome" in caplog.text


class TestTaskError:
    def test_class_is_imported(self):
        error = TaskError(exception_class_path="decimal.DivisionByZero", traceback="")
        assert issubclass(error.exception_class, ZeroDivisionError)

    @pytest.mark.parametrize("found", ["json.loads", "decimal.Decimal"])
    def test_not_an_exception(self, found):
        error = TaskError(exception_class_path=found, traceback="")
        with pytest.raises(ValueError, match=f"'{found}' does not reference a valid exception"):
            error.exception_class  # noqa: B018

    def test_class_no_longer_exists(self):
        error = TaskError(exception_class_path="decimal.Gone", traceback="")
        with pytest.raises(ImportError):
            error.exception_class  # noqa: B018


class Colour(enum.IntEnum):
    RED = 1


class TestNormalizeJson:
    @pytest.mark.parametrize(
        ("value", "normal"),
        [
            (None, None),
            (True, True),
            (1.5, 1.5),
            ("ä", "ä"),
            ("ä".encode(), "ä"),
            (Colour.RED, 1),
            ((1, (2, b"3")), [1, [2, "3"]]),
            (range(3), [0, 1, 2]),
            (bytearray(b"ab"), [97, 98]),
            (UserList([1]), [1]),
            (OrderedDict(a=(1,)), {"a": [1]}),
            ({b"k": {1: None}}, {"k": {1: None}}),
        ],
    )
    def test_supported(self, value, normal):
        result = normalize_json(value)
        assert result == normal
        assert type(result) is type(value) or type(result) is type(normal)

    @pytest.mark.parametrize(
        "value",
        [{1}, Decimal(1), datetime(2030, 1, 1), object(), gettext_lazy("a"), {(1,): 2}, [{1}]],
    )
    def test_unsupported_type(self, value):
        with pytest.raises(TypeError):
            normalize_json(value)

    def test_bytes_that_are_no_text(self):
        with pytest.raises(ValueError, match="Unsupported value: <class 'bytes'>"):
            normalize_json([b"\xff"])

    def test_copies(self):
        value = {"a": [1]}
        normalize_json(value)["a"].append(2)
        assert value == {"a": [1]}

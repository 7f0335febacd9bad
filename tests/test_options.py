"""The options of a task: wrong ones are named with the fix where the task is defined."""

import copy
import functools
import pickle
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime, timedelta

import pytest

from django_tasks import InvalidTask, Task, TaskContext, exponential, task
from django_tasks.definitions import registry
from django_tasks.definitions.options import ON_LOST, check_names
from django_tasks.schedules import crontab
from tests import tasks as shared
from tests.tasks import add, fail, log_in, send_mail


def plain(a=1):
    return a


async def plain_async():
    pass


def with_context(context: TaskContext, a=1):
    return a


def context_last(a, context):
    return a


class Holder:
    def method(self):
        pass

    @staticmethod
    def static():
        pass


@pytest.fixture(autouse=True)
def keep_registry(monkeypatch):
    monkeypatch.setattr(registry, "_tasks", dict(registry._tasks))


def message_of(error, function=plain, **options):
    with pytest.raises(error) as caught:
        task(**options)(function)
    return str(caught.value)


def test_defaults():
    """A bare @task: one attempt, no limits, a lost worker is no failure."""
    made = task(plain)

    assert (made.max_attempts, made.effective_max_attempts) == (None, 1)
    assert (made.time_limit, made.soft_time_limit, made.expires, made.result_ttl) == (None,) * 4
    assert (made.retry_on, made.give_up_on, made.sensitive) == ((Exception,), (), ())
    assert (made.on_lost, made.ignore_result, made.atomic) == ("retry", False, False)
    assert (made.queue_name, made.priority, made.backend) == ("default", 0, "default")
    assert isinstance(made.effective_backoff, exponential)


def test_every_option_is_kept():
    """What the decorator gets is what the task has, and what a copy and a pickle have."""
    options = {
        "priority": -5,
        "queue_name": "mail",
        "takes_context": True,
        "max_attempts": 4,
        "backoff": (1, 2.5),
        "retry_on": (OSError,),
        "give_up_on": (ConnectionError,),
        "time_limit": 10,
        "soft_time_limit": 9.5,
        "expires": timedelta(hours=1),
        "result_ttl": 3600,
        "ignore_result": True,
        "on_lost": "fail",
        "sensitive": ("a",),
        "metadata": {"k": [1]},
        "schedule": {"daily": crontab("@daily")},
        "schedulable": False,
        "name": "reports.daily",
        "aliases": ("reports.nightly",),
    }
    made = task(**options)(with_context)

    options["path"] = options.pop("name")
    assert {name: getattr(made, name) for name in options} == options
    for other in (made.using(), pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert other == made
    assert {f.name for f in fields(made)} - options.keys() == {
        "func", "backend", "run_after", "atomic", "task_id",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("maxattempts", "did you mean 'max_attempts'?"),
        ("timelimit", "did you mean 'time_limit'?"),
        ("qeue_name", "did you mean 'queue_name'?"),
        ("sensitiv", "did you mean 'sensitive'?"),
        ("retries", "use max_attempts"),
        ("max_retries", "use max_attempts"),
        ("retry_backoff", "use backoff"),
        ("autoretry_for", "use retry_on"),
        ("bind", "use takes_context"),
        ("queue", "use queue_name"),
        ("timeout", "use time_limit"),
        ("enqueue_on_commit", "task.enqueue_on_commit()"),
    ],
)
def test_unknown_options_are_named_with_the_fix(name, hint):
    """A typo or another system's name: TypeError says which one and what to write."""
    message = message_of(TypeError, **{name: 1})

    assert f"no option {name!r}" in message
    assert hint in message


def test_unlike_names_have_no_suggestion():
    """No far-fetched guess."""
    with pytest.raises(TypeError, match=r"^@task has no option 'zzz'$"):
        check_names(["zzz"], ["priority"])


def test_run_after_is_no_option_of_the_decorator():
    """A fixed time in the code would be past from the second day on."""
    assert "using(run_after=...)" in message_of(TypeError, run_after=timedelta(1))


NAN, INF = float("nan"), float("inf")
WRONG = [
    *[("max_attempts", v) for v in (0, -1, 1.5, "3", True, NAN)],
    *[("time_limit", v) for v in (0, -1, "5", True, NAN, INF, timedelta(1))],
    *[("soft_time_limit", v) for v in (0, -1, NAN)],
    *[("on_lost", v) for v in ("ignore", None, True)],
    *[("retry_on", v) for v in (ValueError, ("ValueError",), (ValueError(),), None)],
    *[("give_up_on", v) for v in (ValueError, (int,))],
    *[("backoff", v) for v in (-1, "5", [], [1, -1], [1, "2"], True, NAN, [NAN], {1: 2})],
    *[("expires", v) for v in (-1, timedelta(-1), "1h", datetime(2030, 1, 1), NAN, INF)],
    *[("result_ttl", v) for v in (-1, timedelta(-1), "1h", NAN, INF)],
    *[("sensitive", v) for v in ("password", (1,), None, 5)],
    *[("metadata", v) for v in ([], "x", 1)],
    *[("priority", v) for v in (101, -101, 1.5, True, 5.0)],
    *[("queue_name", v) for v in ("", "a b", "a,b", "a*", "x" * 101, "a\n", "a\0", 5)],
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda v: repr(v)[:30])
def test_wrong_values_are_refused_where_the_task_is_defined(name, value):
    """InvalidTask names the option, so that nobody has to search."""
    message = message_of(InvalidTask, **{name: value})

    assert name in message
    assert "plain" in message or name == "priority"


LATER = [
    ("backoff", INF),  # the next attempt would be due after the end of time
    ("backoff", timedelta(-1)),
    ("max_attempts", 2**31),  # the column is a 32-bit integer
    ("expires", 1e300),
    ("queue_name", "\ud800"),
    ("metadata", {"a": {1}}),
]


@pytest.mark.parametrize(("name", "value"), LATER, ids=lambda v: repr(v)[:30])
def test_values_that_would_fail_later_are_refused_where_the_task_is_defined(name, value):
    """What no database or clock can hold is a mistake of the definition."""
    assert name in message_of(InvalidTask, **{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_attempts", 1),
        ("max_attempts", 1000),
        ("time_limit", 0.5),
        ("backoff", 0),
        ("backoff", timedelta(0)),
        ("backoff", (0, 1.5)),
        ("backoff", exponential(first=1)),
        ("backoff", lambda exception, task_result: None),
        ("expires", 0),
        ("expires", datetime.now(UTC)),
        ("result_ttl", 0),
        ("result_ttl", timedelta(0)),
        ("retry_on", ()),
        ("retry_on", (BaseException,)),
        ("priority", -100),
        ("priority", 100),
        ("queue_name", "x" * 100),
        ("queue_name", "é.-_/:#漢"),
        *[("on_lost", word) for word in ON_LOST],
    ],
    ids=lambda v: repr(v)[:30],
)
def test_right_values_are_accepted(name, value):
    """The edges of what is allowed."""
    assert getattr(task(**{name: value})(plain), name) == value


def test_soft_time_limit_is_below_the_hard_one():
    """A soft limit that never comes is a mistake."""
    assert "soft_time_limit (5) must be below time_limit (5)" in message_of(
        InvalidTask, time_limit=5, soft_time_limit=5
    )
    task(time_limit=5, soft_time_limit=4.9)(plain)


def test_atomic_needs_a_plain_function():
    """Django has no transactions in coroutines."""
    assert "atomic=True needs a plain function" in message_of(InvalidTask, plain_async, atomic=True)
    task(atomic=True)(plain)


@pytest.mark.parametrize(
    "function",
    [
        lambda: None,
        functools.partial(plain),
        Holder().method,
        len,
        Holder,
        functools.lru_cache(plain),
    ],
    ids=["lambda", "partial", "method", "builtin", "class", "cached"],
)
def test_functions_that_no_worker_finds_are_refused(function):
    """A worker looks a task up by its dotted path."""
    assert "must be defined at a module level" in message_of(InvalidTask, function)


def test_local_functions_are_refused():
    """Defined inside of a function, it has no path; the message names it."""

    def local():
        pass

    assert "test_local_functions_are_refused.<locals>.local" in message_of(InvalidTask, local)


@pytest.mark.parametrize("function", [plain, context_last])
def test_takes_context_needs_a_first_argument_of_that_name(function):
    """The worker passes the context first."""
    message = message_of(InvalidTask, function, takes_context=True)

    assert "first argument of 'context'" in message


def test_unknown_queue_is_named_with_the_known_ones(settings):
    """QUEUES is the list of the allowed; the message has it and a suggestion."""
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "QUEUES": ["default", "mail"],
        }
    }
    for use in (lambda: task(queue_name="mial")(plain), lambda: add.using(queue_name="mial")):
        with pytest.raises(InvalidTask) as caught:
            use()
        assert "Queue 'mial' is not valid for backend" in str(caught.value)
        assert "TASKS['default']['QUEUES'] has: default, mail" in str(caught.value)
        assert "did you mean 'mail'?" in str(caught.value)


def test_a_refused_queue_comes_with_the_task_its_place_and_the_setting_to_paste(settings):
    """Whoever reads the message can go there, or paste the list."""
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "QUEUES": ["default", "mail"],
        }
    }
    line = plain.__code__.co_firstlineno

    assert message_of(InvalidTask, plain, queue_name="reports") == (
        f"Queue 'reports' is not valid for backend. {__name__}.plain ({__file__}:{line}) asks for"
        " it, and TASKS['default']['QUEUES'] has: default, mail. To add it, set"
        ' "QUEUES": ["default", "mail", "reports"] in TASKS["default"]; "QUEUES": [] allows any.'
    )


def test_naive_run_after_is_refused():
    """A time without a zone means something else on each machine."""
    with pytest.raises(InvalidTask, match="run_after must be an aware datetime"):
        add.using(run_after=datetime(2030, 1, 1))
    with pytest.raises(InvalidTask, match="aware datetime or a timedelta"):
        add.using(run_after=60)


# --- using, copies, identity --------------------------------------------------------------------


def test_using_changes_a_copy():
    """The task itself stays as decorated; None keeps what it has."""
    changed = send_mail.using(
        priority=1, queue_name="other", run_after=timedelta(seconds=5), expires=60,
        max_attempts=7, metadata={"k": "v"},
    )  # fmt: skip

    assert (changed.priority, changed.queue_name, changed.max_attempts) == (1, "other", 7)
    assert (changed.run_after, changed.expires) == (timedelta(seconds=5), 60)
    assert changed.metadata == {"k": "v"}
    assert (send_mail.priority, send_mail.queue_name, send_mail.metadata) == (10, "mail", None)
    assert send_mail.using(priority=None) == send_mail
    assert changed.using(priority=2).queue_name == "other"


def test_using_checks_like_the_decorator():
    """Wrong values of one call are refused as well."""
    with pytest.raises(InvalidTask, match="priority"):
        add.using(priority=101)
    with pytest.raises(InvalidTask, match="max_attempts"):
        add.using(max_attempts=0)
    with pytest.raises(TypeError):
        add.using(time_limit=5)


def test_tasks_are_frozen():
    """An option cannot be changed behind the registry's back."""
    with pytest.raises(FrozenInstanceError):
        add.priority = 5


def test_tasks_are_equal_by_value_and_hashable():
    """As Django's own: usable in sets, metadata aside."""
    assert add.using(priority=3) == add.using(priority=3) != add
    assert len({add, add.using(priority=3), add.using(priority=3)}) == 2
    assert hash(add.using(metadata={"a": []})) == hash(add)


def test_lists_are_kept_as_tuples():
    """Lists may be written; the task stays hashable and frozen."""
    made = task(backoff=[0, 1.5], retry_on=[OSError], give_up_on=[EOFError], sensitive=["a"])(plain)

    assert made.backoff == (0, 1.5)
    assert (made.retry_on, made.give_up_on, made.sensitive) == ((OSError,), (EOFError,), ("a",))
    assert len({fail, fail.using()}) == 1


def test_pickling_goes_by_the_path():
    """A pickle holds the path, and gives the decorated function back with the call's options."""
    changed = log_in.using(priority=9, metadata={"a": 1})

    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(changed, protocol))
        assert again == changed
        assert again.func is log_in.func
        assert again.metadata == {"a": 1}


def test_unpickling_something_else_is_refused(monkeypatch):
    """A path that names no task is an error, not an object that looks like one."""
    data = pickle.dumps(add)
    monkeypatch.setattr(registry, "_tasks", {})
    monkeypatch.setattr(shared, "add", "no task")

    with pytest.raises(ValueError, match=r"Expected 'tests.tasks.add' to point to a Task instance"):
        pickle.loads(data)


def test_restored_tasks_outlive_the_settings(settings):
    """A stored task is rebuilt without asking whether its queue is still allowed."""
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "QUEUES": ["only"],
        }
    }

    restored = send_mail.restored(priority=3, backend="gone")

    assert (restored.priority, restored.backend, restored.queue_name) == (3, "gone", "mail")
    assert restored.func is send_mail.func


def test_the_registry_knows_decorated_tasks_only():
    """Copies do not replace the original; a path that was never decorated is unknown."""
    add.using(priority=5)

    assert registry.find("tests.tasks.add") is shared.add
    assert registry.find("tests.tasks.timedelta") is None
    assert registry.find("os.system") is None
    paths = [known.module_path for known in registry.known_tasks()]
    assert paths == sorted(paths)
    assert "tests.tasks.send_mail" in paths


# --- a backend's own defaults -------------------------------------------------------------------


def test_backend_options_are_defaults(settings):
    """A task's own value comes first, then OPTIONS, then the default."""
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "OPTIONS": {"max_attempts": 5, "backoff": 7.5},
        }
    }

    assert (add.effective_max_attempts, add.effective_backoff) == (5, 7.5)
    assert fail.effective_max_attempts == 3
    assert fail.effective_backoff == (1, 2)


def linear(exception, task_result):
    return 4.0


def test_backend_backoff_may_be_a_dotted_path(settings):
    """Settings name functions, as elsewhere in Django."""
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "OPTIONS": {"backoff": f"{__name__}.linear"},
        }
    }

    assert add.effective_backoff is linear


def test_backend_backoff_of_none_is_the_default(settings):
    """None means the same here as in @task: what the next one says."""
    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "OPTIONS": {"backoff": None},
        }
    }

    assert add.effective_backoff == exponential()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"databse": "x"}, "unknown option 'databse', did you mean 'database'?"),
        ({"max_attempts": 0}, "['max_attempts'] must be a whole number from 1 on, not 0"),
        ({"max_attempts": "3"}, "['max_attempts'] must be a whole number from 1 on, not '3'"),
        ({"broker": 7}, "['broker'] must be"),
        ({"database": 1}, "['database'] must be an alias in DATABASES, not 1"),
        ({"backoff": -1}, "['backoff']: backoff must be seconds"),
        ({"backoff": []}, "['backoff']: backoff must be seconds"),
        ({"backoff": [1, "2"]}, "['backoff']: backoff must be seconds"),
        ({"backof": 1}, "unknown option 'backof', did you mean 'backoff'?"),
    ],
)
def test_wrong_backend_options_are_named(settings, options, message):
    """The setting's path, the value and the allowed ones."""
    from django.core.exceptions import ImproperlyConfigured

    settings.TASKS = {
        "default": {
            "BACKEND": "django_tasks.backends.database.DatabaseBackend",
            "OPTIONS": options,
        }
    }
    made = task(plain)
    with pytest.raises(ImproperlyConfigured) as caught:
        made.enqueue(1)

    assert message in str(caught.value)
    assert "TASKS['default']['OPTIONS']" in str(caught.value)


def test_other_backends_take_our_tasks(settings):
    """The immediate and dummy backends for tests run tasks with all their options."""
    settings.TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}
    made = task(max_attempts=3, sensitive=("a",))(plain)

    assert isinstance(made, Task)
    assert made.enqueue(5).return_value == 5
    assert made.call(6) == 6


# --- first mistakes -----------------------------------------------------------------------------


def yields():
    yield 1


async def yields_async():
    yield 1


@pytest.mark.parametrize("function", [yields, yields_async])
def test_generators_are_refused(function):
    """A call would make a generator, and run nothing."""
    assert "is a generator, whose body a call does not run" in message_of(InvalidTask, function)


@pytest.mark.parametrize(
    ("name", "ours"),
    [("delay", "enqueue"), ("apply_async", "enqueue"), ("apply", "call"), ("signature", "s")],
)
def test_methods_of_celery_name_ours(name, ours):
    """And hasattr() still says that there is none."""
    made = task(plain)

    with pytest.raises(AttributeError, match=rf"no attribute '{name}'; use \.{ours}\("):
        getattr(made, name)
    assert not hasattr(made, name)
    with pytest.raises(AttributeError, match=r"no attribute 'nothing'$"):
        made.nothing  # noqa: B018


def test_context_says_how_to_write_it():
    message = message_of(InvalidTask, plain, takes_context=True)

    assert "`def plain(context, ...)`" in message

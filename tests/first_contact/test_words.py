"""What a task says to words of other systems, and to arguments that it cannot take."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from uuid import uuid4

import pytest
from django.contrib.auth.models import User
from django.template import Context, Template

from django_tasks.schedules import every
from tests.tasks import add, echo, greet


def test_a_task_that_is_called_says_what_to_write():
    with pytest.raises(TypeError) as caught:
        add(2, 3)

    assert str(caught.value) == (
        "tests.tasks.add is a task, which is not called itself: add.enqueue(...) has a worker run"
        " it, add.call(...) runs it here and now."
    )


def test_templates_show_a_task_without_calling_it():
    text = Template("{{ task.module_path }}").render(Context({"task": add}))

    assert text == "tests.tasks.add"


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("delay", "use .enqueue(...)"),
        (
            "apply_async",
            "use .enqueue(...), or"
            " .using(run_after=timedelta(seconds=...), queue_name=...).enqueue(...)",
        ),
        ("delay_on_commit", "use .enqueue_on_commit(...)"),
        ("apply", "use .call(...)"),
        ("send", "use .enqueue(...)"),
        ("AsyncResult", "use .get_result(id)"),
    ],
)
def test_methods_of_other_systems(name, instead):
    with pytest.raises(AttributeError) as caught:
        getattr(add, name)

    assert str(caught.value) == f"'Task' object has no attribute {name!r}; {instead}"


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("countdown", "; use run_after=timedelta(seconds=...)"),
        ("eta", "; use run_after=..., an aware datetime"),
        ("queue", "; use queue_name=..."),
        ("max_retries", "; use max_attempts=... (attempts in all, so one more than retries)"),
        ("time_limit", "; set it in the decorator, @task(time_limit=...)"),
        ("priorty", ", did you mean 'priority'?"),
        ("x", ""),
    ],
)
def test_names_that_using_does_not_take(name, instead):
    with pytest.raises(TypeError) as caught:
        add.using(**{name: 3})

    assert str(caught.value) == f"using() has no argument {name!r}{instead}"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            5,
            "every(5) does not say of what: write every(seconds=5), every(minutes=5) or"
            " every(hours=5).",
        ),
        (timedelta(minutes=2), "every() takes no timedelta: write every(seconds=120)."),
    ],
)
def test_every_without_a_unit(given, text):
    with pytest.raises(TypeError) as caught:
        every(given)

    assert str(caught.value) == text


class Colour(Enum):
    RED = 1


@pytest.mark.parametrize(
    ("value", "cure"),
    [
        (
            datetime.now(UTC),
            "Pass its isoformat(), and read that in the task with fromisoformat().",
        ),
        (User(pk=3), "Pass its pk, and get it in the task with User.objects.get(pk=...)."),
        (timedelta(days=1), "Pass its total_seconds()."),
        (uuid4(), "Pass str() of it, and make a UUID of that in the task."),
        (Decimal("1.5"), "Pass str() of it, and make a Decimal of that in the task."),
        ({1, 2}, "Pass a list, as of sorted()."),
        (Colour.RED, "Pass its value."),
        (b"\xff", "Pass base64 text, or store the data elsewhere and pass its id."),
    ],
)
def test_an_argument_that_is_not_json_is_named_with_its_cure(value, cure):
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    with pytest.raises(TypeError) as caught:
        add.enqueue(1, value)

    assert str(caught.value) == (
        f"Unsupported type: argument 'b' is of type {kind}, which JSON does not have. {cure}"
    )


@pytest.mark.parametrize(
    ("task", "args", "kwargs", "place"),
    [
        (greet, [], {"name": [1, {"at": object()}]}, "argument 'name'[1].at"),
        (echo, [1, object()], {}, "argument '*args[1]'"),
        (echo, [], {"when": object()}, "argument 'when'"),
    ],
)
def test_the_place_of_a_value_inside_of_an_argument(task, args, kwargs, place):
    with pytest.raises(TypeError) as caught:
        task.enqueue(*args, **kwargs)

    assert f"{place} is of type builtins.object" in str(caught.value)


def test_arguments_that_are_too_large_together():
    with pytest.raises(ValueError, match=r"^args is [\d,]+ bytes of JSON, more than"):
        add.enqueue("x" * 600_000, "x" * 600_000)

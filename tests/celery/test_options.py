"""Options of tasks and calls, and what they become natively."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from django.test import override_settings

from django_tasks.celery import Celery, notices
from django_tasks.celery.app.routes import route_of
from django_tasks.definitions import registry
from django_tasks.models import TaskRecord
from tests.celery import tasks

app = Celery("options", set_as_current=False)


@app.task(name="options.many", verbose_name="many")
def many():
    """Has options that mean nothing here, and one of its own."""


@pytest.fixture(autouse=True)
def _say_again():
    notices._said.clear()


def test_decorator():
    of_task = registry.find("tests.celery.tasks.with_options")
    assert of_task.queue_name == "mail"
    assert of_task.priority == 7
    assert of_task.on_lost == "retry"
    assert of_task.ignore_result is True
    assert registry.find("tests.celery.tasks.add").on_lost == "fail"
    assert registry.find("tests.celery.tasks.too_slow").time_limit == 30
    assert registry.find("tests.celery.tasks.too_slow").soft_time_limit == 0.3
    assert registry.find("sync").func.__doc__ == tasks.renamed.__doc__
    assert many.verbose_name == "many"


LATER = datetime(2099, 1, 1, tzinfo=UTC)

CALLS = [
    ({"countdown": 60}, "run_after", lambda now: now + timedelta(seconds=60)),
    ({"eta": LATER}, "run_after", lambda now: LATER),
    ({"eta": LATER.replace(tzinfo=None)}, "run_after", lambda now: LATER),
    ({"expires": 90}, "expires_at", lambda now: now + timedelta(seconds=90)),
    ({"queue": "slow"}, "queue_name", lambda now: "slow"),
    ({"priority": 9}, "priority", lambda now: 9),
    ({"priority": 255}, "priority", lambda now: 100),
]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize(("options", "column", "wanted"), CALLS)
def test_calls(options, column, wanted):
    result = tasks.add.apply_async((1,), **options)
    row = TaskRecord.objects.get(pk=result.native_id)
    value = wanted(row.enqueued_at)
    if isinstance(value, datetime):
        assert abs(getattr(row, column) - value) < timedelta(seconds=2)
    else:
        assert getattr(row, column) == value


@pytest.mark.django_db
def test_unknown_options_are_named_once(caplog):
    for _ in range(2):
        tasks.add.apply_async((1,), MessageGroupId="x", serializer="json")
    assert [r.getMessage() for r in caplog.records] == [
        "The option 'MessageGroupId' of apply_async() has no effect here."
    ]


def test_rate_limit_is_named(caplog):
    @app.task(name="options.limited", rate_limit="10/m")
    def limited():
        return None

    assert "rate_limit of options.limited has no effect" in caplog.text


def test_wrong_arguments():
    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        tasks.add.delay()
    with pytest.raises(TypeError, match="z"):
        tasks.add.delay(1, z=2)


@pytest.mark.django_db
def test_typing_false():
    @app.task(name="options.untyped", typing=False)
    def untyped(x):
        return x

    assert untyped.delay().id


@pytest.mark.django_db
def test_model_instances_are_refused_by_name():
    with pytest.raises(TypeError, match="argument 'y'"):
        tasks.add.delay(1, object())


ROUTES = [
    ({"a.*": {"queue": "all"}}, "a.b", {"queue": "all"}),
    ({"a.b": "mail", "a.*": "all"}, "a.b", {"queue": "mail"}),
    ([("a.*", {"queue": "all", "priority": 3})], "a.c", {"queue": "all", "priority": 3}),
    ([{"x.*": "no"}, {"a.*": "yes"}], "a.c", {"queue": "yes"}),
    (lambda name, args, kwargs, options, task=None, **kw: {"queue": name}, "a.c", {"queue": "a.c"}),
    ({"x": "no"}, "a.c", {}),
    (None, "a.c", {}),
]


@pytest.mark.parametrize(("routes", "name", "wanted"), ROUTES)
def test_routes(routes, name, wanted):
    assert route_of(routes, name, (), {}, {}, None) == wanted


@pytest.mark.django_db
def test_routes_of_the_settings():
    app.config_from_object("django.conf:settings", namespace="CELERY")
    with override_settings(CELERY_TASK_ROUTES={"options.*": {"queue": "routed"}}):
        assert TaskRecord.objects.get(pk=many.delay().native_id).queue_name == "routed"
        given = many.apply_async(queue="given")
        assert TaskRecord.objects.get(pk=given.native_id).queue_name == "given"
    assert TaskRecord.objects.get(pk=many.delay().native_id).queue_name == "default"


def test_configuration(caplog):
    configured = Celery("configured", set_as_current=False)
    configured.config_from_object(
        {"CELERY_TASK_ALWAYS_EAGER": True, "CELERY_BROKER_URL": "redis://"}, namespace="CELERY"
    )
    assert configured.conf.task_always_eager is True
    assert configured.conf["task_always_eager"] is True
    assert configured.conf.CELERY_TASK_ALWAYS_EAGER is True
    configured.conf.update(task_default_queue="q")
    assert configured.conf.task_default_queue == "q"
    with pytest.raises(AttributeError, match="task_nothing"):
        configured.conf.task_nothing  # noqa: B018
    with caplog.at_level(logging.WARNING):
        configured.conf.announce()
        configured.conf.announce()
    messages = [record.getMessage() for record in caplog.records]
    assert messages == [
        "Celery's setting broker_url has no effect here: there is no broker to connect to."
    ]


@pytest.mark.parametrize("name", ["steps", "amqp", "connection", "worker_main"])
def test_what_an_app_does_not_offer(name):
    with pytest.raises(AttributeError, match=rf"app\.{name} is not offered: "):
        getattr(app, name)

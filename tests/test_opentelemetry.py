"""The spans of tasks, by OpenTelemetry's own SDK."""

import asyncio

import pytest
from django.test import override_settings

from django_tasks import Snooze, task
from django_tasks.testing import run_pending_tasks

pytest.importorskip("opentelemetry.sdk.trace")
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)
from opentelemetry.trace import SpanKind, StatusCode

SETTINGS = {"CONTEXT_PROPAGATORS": ["django_tasks.contrib.opentelemetry.OpenTelemetryPropagator"]}

pytestmark = pytest.mark.django_db


@task(queue_name="mail")
async def child():
    await asyncio.sleep(0)


@task
def parent():
    child.enqueue()


@task
def failing(number):
    raise LookupError(number)


@task
def snoozing():
    raise Snooze(60)


@pytest.fixture(scope="module")
def exporter():
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)  # once per process
    return exporter


@pytest.fixture
def spans(exporter):
    exporter.clear()
    with override_settings(DJANGO_TASKS=SETTINGS):
        yield exporter.get_finished_spans


def test_trace_goes_on_from_the_request_to_the_task_and_its_task(spans):
    with trace.get_tracer("tests").start_as_current_span("request"):
        result = parent.enqueue()
    run_pending_tasks()

    request, first, second = spans()
    assert [each.name for each in (first, second)] == ["process default", "process mail"]
    assert {each.kind for each in (first, second)} == {SpanKind.CONSUMER}
    assert {each.context.trace_id for each in (first, second)} == {request.context.trace_id}
    assert first.parent.span_id == request.context.span_id
    assert second.parent.span_id == first.context.span_id
    assert dict(first.attributes) == {
        "messaging.system": "django_tasks",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "default",
        "messaging.message.id": result.id,
        "django_tasks.task": "tests.test_opentelemetry.parent",
        "django_tasks.attempt": 1,
    }
    assert first.status.status_code == StatusCode.UNSET


@pytest.mark.parametrize("is_shown", [False, True])
def test_error_is_told_as_far_as_the_log_tells_it(spans, is_shown):
    with override_settings(DJANGO_TASKS=SETTINGS | {"LOG_EXCEPTION_TEXT": is_shown}):
        failing.enqueue("4111-1111")
        run_pending_tasks()

    [span] = spans()
    assert span.status.status_code == StatusCode.ERROR
    assert span.attributes["error.type"] == "builtins.LookupError"
    assert ("4111-1111" in span.to_json()) is is_shown


def test_what_a_task_asks_for_is_no_error(spans):
    snoozing.enqueue()
    run_pending_tasks(limit=1)

    [span] = spans()
    assert span.status.status_code == StatusCode.UNSET


def test_each_task_has_a_trace_of_its_own_without_one_around(spans):
    parent.enqueue()
    failing.enqueue("x")
    run_pending_tasks()

    roots = [span for span in spans() if span.parent is None]
    assert len({span.context.trace_id for span in roots}) == len(roots) == 2

"""
OpenTelemetry: a consumer span per attempt, in the trace of what enqueued the task.

Needs the extra `otel`, which is the API alone; without an SDK spans cost next to nothing. Name
`OpenTelemetryPropagator` in CONTEXT_PROPAGATORS. See docs/howto/opentelemetry.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from ..definitions.current import current_task
from ..exceptions import Cancel, Snooze
from ..redaction.exceptions import are_logged


class OpenTelemetryPropagator:
    """Carries the context, trace and baggage, from where a task is enqueued to its body."""

    def capture(self) -> dict[str, str] | None:
        """Return the context as the configured propagators write it; None for nothing."""
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        return carrier or None

    @contextmanager
    def restore(self, value: Mapping[str, str] | None) -> Iterator[None]:
        """Run a body within its span, whose names are those of the messaging conventions."""
        task = current_task.get()
        if task is None:
            yield
            return
        span = trace.get_tracer("django_tasks").start_as_current_span(
            f"process {task.queue_name}",
            context=propagate.extract(dict(value or {}), Context()),
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": "django_tasks",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.destination.name": task.queue_name,
                "messaging.message.id": str(task.id),
                "django_tasks.task": task.path,
                "django_tasks.attempt": task.attempt,
            },
            # Not by the API: it would record what the exception says.
            record_exception=False,
            set_status_on_exception=False,
        )
        with span as current:
            try:
                yield
            except BaseException as error:
                _note(current, error)
                raise


def _note(span: Span, error: BaseException) -> None:
    """Say what a body ended in; what the exception says only if the log may tell it."""
    if isinstance(error, (Snooze, Cancel)):
        return  # asked for
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    span.set_attribute("error.type", name)
    span.set_status(Status(StatusCode.ERROR, name))
    if are_logged():
        span.record_exception(error)

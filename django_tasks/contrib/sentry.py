"""
Sentry: a transaction per task, in the trace of what enqueued it, and errors that tell their task.

Needs the extra `sentry`. Name `SentryPropagator` in CONTEXT_PROPAGATORS; the project calls
`sentry_sdk.init()` as it does anyway. See docs/howto/sentry.md.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sentry_sdk
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.scope import add_global_event_processor

from ..definitions.current import current_task
from ..exceptions import Cancel, Snooze
from ..redaction.exceptions import are_logged

#: Tasks whose trace is remembered until their error is logged: more than a process has in hand.
MOST_REMEMBERED = 1000


class SentryPropagator:
    """
    Carries the trace from where a task is enqueued to its body.

    Each body has an isolation scope and a transaction of its own. Its error is captured once, by
    Sentry's integration with logging, when the task has failed for good.
    """

    def __init__(self) -> None:
        _memory.listen()

    def capture(self) -> dict[str, str] | None:
        """Return the trace's headers; None while Sentry is not set up."""
        headers = {
            "sentry-trace": sentry_sdk.get_traceparent(),
            "baggage": sentry_sdk.get_baggage(),
        }
        return {name: value for name, value in headers.items() if value} or None

    @contextmanager
    def restore(self, value: Mapping[str, str] | None) -> Iterator[None]:
        """Run a body within its transaction."""
        task = current_task.get()
        if task is None or not sentry_sdk.is_initialized():
            yield
            return
        asked: Snooze | Cancel | None = None
        with sentry_sdk.isolation_scope() as scope:
            scope.clear_breadcrumbs()
            transaction = sentry_sdk.continue_trace(
                dict(value or {}),
                op="queue.process",
                name=task.path,
                source="task",
                origin="auto.queue.django_tasks",
            )
            with sentry_sdk.start_transaction(transaction):
                for name, text in _tags(task.path, task.queue_name).items():
                    scope.set_tag(name, text)
                transaction.set_data("messaging.message.id", str(task.id))
                transaction.set_data("messaging.destination.name", task.queue_name)
                transaction.set_data("messaging.message.retry.count", task.attempt - 1)
                _memory.remember(str(task.id), transaction.get_trace_context())
                try:
                    yield
                except (Snooze, Cancel) as error:
                    asked = error
                transaction.set_status("cancelled" if isinstance(asked, Cancel) else "ok")
        if asked is not None:
            raise asked  # behind the transaction, for which it would be an error


def _tags(path: str, queue_name: str) -> dict[str, str]:
    return {"task": path, "queue": queue_name}


class _Memory:
    """The traces of tasks that run or have just run, for the lines that are logged of them."""

    def __init__(self) -> None:
        self._traces: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()
        self._listens = False

    def listen(self) -> None:
        """Have Sentry ask about each event; once, however often it is said."""
        with self._lock:
            if self._listens:
                return
            self._listens = True
        add_global_event_processor(self._complete)
        # Django's line about a task that failed would be a second event, without the task's trace.
        ignore_logger("django.tasks")

    def remember(self, task_id: str, trace: Any) -> None:
        """Keep a trace; forget the oldest of more than MOST_REMEMBERED."""
        with self._lock:
            self._traces[task_id] = trace
            while len(self._traces) > MOST_REMEMBERED:
                self._traces.popitem(last=False)

    def _complete(self, event: Any, hint: dict[str, Any]) -> Any:
        """Give the event of a task's log line the task's name, tags and trace."""
        record = hint.get("log_record")
        path = getattr(record, "path", None)
        if record is None or path is None or not record.name.startswith("django_tasks."):
            return event
        event["transaction"] = path
        tags = _tags(path, getattr(record, "queue", ""))
        event["tags"] = dict(event.get("tags") or {}) | tags
        trace = self._traces.get(getattr(record, "task_id", ""))
        if trace is not None:
            event.setdefault("contexts", {})["trace"] = trace
        if not are_logged():
            _leave_variables_out(event)
        return event


def _leave_variables_out(event: Any) -> None:
    """Drop local variables: a task's arguments are among them."""
    for exception in (event.get("exception") or {}).get("values", ()):
        for frame in (exception.get("stacktrace") or {}).get("frames", ()):
            frame.pop("vars", None)


_memory = _Memory()

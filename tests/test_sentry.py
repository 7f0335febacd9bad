"""What Sentry is sent of tasks: by its own transport, captured."""

import asyncio
import logging

import pytest
from django.test import override_settings

from django_tasks import Cancel, Snooze, task
from django_tasks.testing import run_pending_tasks

sentry_sdk = pytest.importorskip("sentry_sdk")
from sentry_sdk.transport import Transport  # noqa: E402

PATH = "django_tasks.contrib.sentry.SentryPropagator"
SETTINGS = {"CONTEXT_PROPAGATORS": [PATH]}

pytestmark = pytest.mark.django_db


@task(queue_name="mail")
def tagged(word):
    sentry_sdk.set_tag("word", word)
    sentry_sdk.add_breadcrumb(message=word)
    sentry_sdk.capture_message("told")


@task(max_attempts=2, backoff=0)
def failing(number):
    raise LookupError(number)


@task
def parent():
    tagged.enqueue("child")


@task
def asking(what):
    raise Snooze(60) if what == "Snooze" else Cancel


@task
async def waiting():
    await asyncio.sleep(0)
    sentry_sdk.set_tag("word", "async")


class Captured(Transport):
    """Keeps what would be sent."""

    def __init__(self, options=None):
        super().__init__(options)
        self.items = []

    def capture_envelope(self, envelope):
        self.items += [item.payload.json for item in envelope.items]

    @property
    def transactions(self):
        return [item for item in self.items if item and item.get("type") == "transaction"]

    @property
    def messages(self):
        return [item for item in self.items if item and item.get("message") == "told"]

    @property
    def errors(self):
        return [item for item in self.items if item and "exception" in item]


@pytest.fixture(scope="module", autouse=True)
def plain_logging():
    """Take back what Sentry changes of logging for good."""
    method = logging.Logger.callHandlers
    yield
    logging.Logger.callHandlers = method


@pytest.fixture
def sent():
    transport = Captured()
    client = sentry_sdk.get_global_scope().client
    sentry_sdk.init(
        dsn="https://key@sentry.example/1", traces_sample_rate=1.0, transport=transport,
        default_integrations=True, auto_enabling_integrations=False,
    )  # fmt: skip
    with override_settings(DJANGO_TASKS=SETTINGS), sentry_sdk.isolation_scope():
        yield transport
    sentry_sdk.get_global_scope().set_client(client)


def test_task_has_a_transaction_and_a_scope_of_its_own(sent):
    result = tagged.enqueue("first")
    tagged.enqueue("second")
    run_pending_tasks()

    first, second = sent.transactions
    assert first["transaction"] == "tests.test_sentry.tagged"
    assert first["transaction_info"] == {"source": "task"}
    trace = first["contexts"]["trace"]
    assert (trace["op"], trace["status"]) == ("queue.process", "ok")
    assert trace["data"]["messaging.message.id"] == result.id
    assert trace["data"]["messaging.destination.name"] == "mail"
    assert trace["data"]["messaging.message.retry.count"] == 0
    tags = [each["tags"]["word"] for each in (first, second)]
    assert tags == ["first", "second"]
    assert first["tags"]["queue"] == "mail"
    crumbs = [[b["message"] for b in told["breadcrumbs"]["values"]] for told in sent.messages]
    assert crumbs == [["first"], ["second"]]
    assert sentry_sdk.get_isolation_scope()._tags.get("word") is None


def test_the_line_of_django_is_no_event(sent):
    failing.using(max_attempts=1).enqueue(1)
    run_pending_tasks()
    error = LookupError("told by Django")
    logging.getLogger("django.tasks").error("Task failed", exc_info=error)
    logging.getLogger("elsewhere").error("Something else failed", exc_info=error)
    assert {each["logger"] for each in sent.errors} == {"django_tasks.worker", "elsewhere"}


def test_coroutine_has_a_transaction(sent):
    waiting.enqueue()
    run_pending_tasks()

    [sent_of_it] = sent.transactions
    assert sent_of_it["transaction"] == "tests.test_sentry.waiting"
    assert sent_of_it["tags"]["word"] == "async"
    assert "word" not in sentry_sdk.get_isolation_scope()._tags


@pytest.mark.parametrize(("asks", "status"), [(Snooze, "ok"), (Cancel, "cancelled")])
def test_what_a_task_asks_for_is_no_error(sent, asks, status):
    asking.enqueue(asks.__name__)
    [result] = run_pending_tasks(limit=1)

    assert result.state == {Snooze: "PENDING", Cancel: "REVOKED"}[asks]
    [transaction] = sent.transactions
    assert transaction["contexts"]["trace"]["status"] == status
    assert not sent.errors


def test_trace_goes_on_from_the_request_to_the_task_and_its_task(sent):
    with sentry_sdk.start_transaction(name="request") as request:
        parent.enqueue()
    run_pending_tasks()

    _, first, second = sent.transactions
    assert [each["transaction"].rpartition(".")[2] for each in (first, second)] == [
        "parent",
        "tagged",
    ]
    for each in (first, second):
        assert each["contexts"]["trace"]["trace_id"] == request.trace_id
    assert first["contexts"]["trace"]["parent_span_id"] == request.span_id
    assert second["contexts"]["trace"]["parent_span_id"] != request.span_id


def test_error_is_captured_once_and_tells_its_task(sent):
    """When it has failed for good; in the trace of its last attempt."""
    failing.enqueue("4111-1111")
    run_pending_tasks(include_scheduled=True)

    first, last = sent.transactions
    assert first["contexts"]["trace"]["status"] == "internal_error"
    assert last["contexts"]["trace"]["data"]["messaging.message.retry.count"] == 1
    [error] = sent.errors
    assert error["exception"]["values"][-1]["type"] == "LookupError"
    assert error["transaction"] == "tests.test_sentry.failing"
    assert error["tags"] == {"task": "tests.test_sentry.failing", "queue": "default"}
    assert error["contexts"]["trace"]["span_id"] == last["contexts"]["trace"]["span_id"]


@pytest.mark.parametrize("is_shown", [False, True])
def test_texts_and_variables_are_as_hidden_as_in_the_log(sent, is_shown):
    with override_settings(DJANGO_TASKS=SETTINGS | {"LOG_EXCEPTION_TEXT": is_shown}):
        failing.using(max_attempts=1).enqueue("4111-1111")
        run_pending_tasks()

    [error] = sent.errors
    assert ("4111-1111" in str(error)) is is_shown


@override_settings(DJANGO_TASKS=SETTINGS)
def test_nothing_travels_while_sentry_is_not_set_up():
    assert not sentry_sdk.is_initialized()
    tagged.enqueue("alone")

    [result] = run_pending_tasks()
    assert result.is_finished and not result.metadata

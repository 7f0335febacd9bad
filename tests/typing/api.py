"""
What a type checker knows of the API. Checked by mypy, never run.

Strict mypy reports an unused `type: ignore`: each one below is a mistake that must be found.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, assert_type
from uuid import uuid4

from django.http import HttpRequest

from django_tasks import Task, TaskContext, TaskResult, TaskResultStatus, exponential, task
from django_tasks.models import Schedule
from django_tasks.schedules import crontab, every
from django_tasks.workflows import Signature, Step, Workflow, chain, chord, chunks, group
from django_tasks.workflows import map as map_


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task(queue_name="mail", max_attempts=3, backoff=[1, 2.5], retry_on=(OSError,))
def send(to: str, *, subject: str) -> None: ...


@task(backoff=exponential(first=1), expires=timedelta(hours=1), on_lost="fail", sensitive=("a",))
async def fetch_all(urls: list[str]) -> dict[str, int]:
    return dict.fromkeys(urls, 1)


@task(takes_context=True)
def count(context: TaskContext, limit: int) -> list[int]:
    context.progress.set(0, limit, "counting")
    context.set_state("COUNTING", {"limit": limit})
    assert_type(context.attempt, int)
    assert_type(context.is_cancelled, bool)
    return list(range(limit))


@task(takes_context=True, time_limit=5)
async def count_async(context: TaskContext, limit: int) -> int:
    await context.asave_metadata()
    return limit


@task(schedule=crontab("0 7 * * *", timezone="Europe/Berlin"), schedulable=True)
def report() -> None: ...


@task(schedule={"often": every(minutes=5), "late": {"schedule": every(hours=1), "jitter": 60}})
async def report_async(pages: int = 1) -> int:
    return pages


def enqueueing() -> None:
    assert_type(report.enqueue(), TaskResult[None])
    assert_type(report_async.enqueue(pages=2), TaskResult[int])
    assert_type(add.enqueue(1, 2), TaskResult[int])
    assert_type(add.enqueue(1, b=2), TaskResult[int])
    assert_type(add.using(priority=5, run_after=timedelta(hours=1)).enqueue(1), TaskResult[int])
    assert_type(send.enqueue("a", subject="b"), TaskResult[None])
    assert_type(fetch.enqueue("a"), TaskResult[bytes])
    assert_type(fetch_all.enqueue(["a"]), TaskResult[dict[str, int]])
    assert_type(count.enqueue(3), TaskResult[list[int]])
    assert_type(count_async.enqueue(limit=3), TaskResult[int])
    assert_type(add.enqueue_on_commit(1, 2), TaskResult[int])
    assert_type(add.enqueue_on_commit_of("reports", 1, b=2), TaskResult[int])
    assert_type(add.enqueue_many([(1, 2), ((1,), {"b": 2})]), Sequence[TaskResult[int]])

    add.enqueue("1")  # type: ignore[arg-type]
    add.enqueue()  # type: ignore[call-arg]
    add.enqueue(1, 2, 3)  # type: ignore[call-arg]
    add.enqueue(1, c=2)  # type: ignore[call-arg]
    add(1, 2)  # type: ignore[operator]
    add.using(priority=1).enqueue("1")  # type: ignore[arg-type]
    add.enqueue_on_commit("1")  # type: ignore[arg-type]
    add.enqueue_on_commit_of("reports", "1")  # type: ignore[arg-type]
    add.enqueue_on_commit_of()  # type: ignore[call-arg]
    send.enqueue("a", "b")  # type: ignore[call-arg]
    fetch.enqueue(1)  # type: ignore[arg-type]
    count.enqueue("3")  # type: ignore[arg-type]
    count_async.enqueue()  # type: ignore[call-arg]


async def enqueueing_async() -> None:
    assert_type(await add.aenqueue(1, 2), TaskResult[int])
    assert_type(await fetch.aenqueue("a"), TaskResult[bytes])
    assert_type(await count_async.aget_result("id"), TaskResult[int])
    assert_type(await (await add.aenqueue(1)).await_(timeout=1.5), int)

    await add.aenqueue("1")  # type: ignore[arg-type]


def results(result: TaskResult[int]) -> None:
    assert_type(result.wait(timeout=5), int)
    assert_type(result.return_value, int)
    assert_type(result.status, TaskResultStatus)
    assert_type(result.state, str)
    assert_type(result.attempts, int)
    assert_type(result.cancel(), bool)
    assert_type(result.requeue(), bool)
    assert_type(add.get_result("id"), TaskResult[int])
    assert_type(fetch.get_result("id").return_value, bytes)

    result.wait("5")  # type: ignore[arg-type]


def progress(result: TaskResult[int], request: HttpRequest) -> None:
    assert_type(result.progress_token(), str)
    assert_type(result.progress_url(), str)
    assert_type(result.progress_url(request, max_age=timedelta(hours=1), allows="result"), str)
    assert_type(result.progress_url(max_age=None), str)

    result.progress_token(allows="all")  # type: ignore[arg-type]
    result.progress_url(max_age="1 h")  # type: ignore[arg-type]
    result.progress_url("/")  # type: ignore[arg-type]


def schedules(row: Schedule) -> None:
    assert_type(Schedule.objects.schedule("x", add, every(hours=1), args=[1]), Schedule)
    Schedule.objects.schedule("x", report, crontab("@daily"), overlap="skip", jitter=5, max_runs=3)
    row.edit(schedule=every(hours=1), priority=5, expires=timedelta(minutes=5))
    row.edit(task=add, args=(1,), kwargs={"b": 2}, enabled=False)
    row.pause(datetime.now(UTC))
    assert_type(row.run_now().id, str)
    assert_type(row.next_slots(3), list[datetime])

    Schedule.objects.schedule("x", add, "0 7 * * *")  # type: ignore[arg-type]
    Schedule.objects.schedule("x", add, every(hours=1), overlaps="skip")  # type: ignore[call-arg]
    row.edit(overlap="sometimes")  # type: ignore[arg-type]
    row.edit(priority="high")  # type: ignore[arg-type]
    row.pause(60)  # type: ignore[arg-type]


def using() -> None:
    add.using(run_after=datetime.now(UTC), expires=60, max_attempts=2, metadata={"a": 1})
    add.using(task_id=uuid4()).enqueue(1)
    add.enqueue_many([(1, 2)], task_ids=[uuid4(), str(uuid4())])

    add.using(priority="high")  # type: ignore[arg-type]
    add.using(run_after=60)  # type: ignore[arg-type]
    add.using(max_retries=3)  # type: ignore[arg-type]
    add.using(task_id=7)  # type: ignore[arg-type]


def canvases() -> None:
    assert_type(add.s(1), Signature[int])
    assert_type(add.using(priority=5).si(1, b=2), Signature[int])
    assert_type(add.s(1).using(priority=5, on_failure=report), Signature[int])
    assert_type(add.s(1) | fetch.si("a"), chain[bytes])
    assert_type(add.s(1) | add.s(2) | group(fetch.si("a")), chain[list[bytes]])
    assert_type(chain(add.s(1), fetch.s()), chain[bytes])
    assert_type(chain(add.s(1), add.s(1), fetch.s(), on_failure=report.si()), chain[bytes])
    assert_type(group(add.s(1), add.s(2)), group[int])
    assert_type(group(add.s(i) for i in range(3)).call(), list[int])
    assert_type(chord([add.s(1), fetch.s()], count.s(), allow_failures=1), chord[list[int]])
    assert_type(chunks(add, [(1, 2)], 10).call(), list[list[int]])
    assert_type(map_(add, [1]).call(), list[int])
    assert_type(add.s(1).call(), int)

    add.si("1")  # type: ignore[arg-type]
    add.si()  # type: ignore[call-arg]
    add.s(1) | add  # type: ignore[operator]
    chain(add)  # type: ignore[call-overload]
    group(add.s(1), allow_failures="all")  # type: ignore[call-overload]
    chord([add.s(1)], add)  # type: ignore[arg-type]


def workflows() -> None:
    workflow = Workflow("report", metadata={"day": 1}, on_failure=report)
    first = workflow.add(add, 1, b=2)
    assert_type(first, Step[int])
    assert_type(first.result, int)
    pages = workflow.add(fetch_all, ["a"], name="pages", on_failure=send.s(subject="failed"))
    assert_type(pages, Step[dict[str, int]])
    assert_type(workflow.add(add, first.result, pages.result["a"]), Step[int])
    assert_type(workflow.add(report, after=[first, pages], always=True), Step[None])
    assert_type(workflow.add(add, 1, allow_failures=-1), Step[int])
    assert_type(workflow.add(group(add.s(1)), after=first), Step[list[int]])
    assert_type(workflow.add(Workflow("inner"), name="inner"), Step[dict[str, Any]])
    assert_type(workflow.call(), dict[str, Any])

    workflow.add(add, "1")  # type: ignore[call-overload]
    workflow.add(add)  # type: ignore[call-overload]
    workflow.add(fetch, first.result)  # type: ignore[call-overload]
    workflow.add(add, pages.result)  # type: ignore[call-overload]
    workflow.add(add, 1, after="pages")  # type: ignore[call-arg]
    workflow.add(print, 1)  # type: ignore[call-overload]


def passing_on(anything: Task[[int], int]) -> TaskResult[int]:
    return anything.enqueue(1)


@task(max_retries=3)  # type: ignore[call-overload, untyped-decorator]
def typo(a: int) -> int:
    return a


@task(schedule="0 7 * * *")  # type: ignore[call-overload, untyped-decorator]
def wrong_schedule(a: int) -> int:
    return a


@task(on_lost="ignore")  # type: ignore[call-overload, untyped-decorator]
def wrong_value(a: int) -> int:
    return a


@task(takes_context=True)  # type: ignore[arg-type]
def without_context(a: int) -> int:
    return a

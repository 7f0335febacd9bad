"""The tasks that the workflows of these tests are made of."""

import json
import zlib

from django_tasks import TaskContext, task

#: What `tell` was called with.
told = []


@task
def mix(*args):
    """Return a number that differs with each value, place and nesting of the arguments."""
    return zlib.crc32(json.dumps(args).encode())


@task
def add(a: int, b: int) -> int:
    return a + b


@task
def total(numbers: list[int]) -> int:
    return sum(numbers)


@task
def echo(*args, **kwargs):
    return [list(args), kwargs]


@task
def page(title: str, sizes: list[int] | None = None) -> dict:
    return {"title": title, "sizes": sizes or [1, 2, 3]}


@task
def fail(*args, message: str = "failed on purpose"):
    raise ValueError(message)


@task
def tell(failed: dict, label: str = "") -> str:
    told.append((label, failed))
    return label


@task
async def add_async(a: int, b: int) -> int:
    return a + b


@task(takes_context=True)
def attempt(context: TaskContext, number: int) -> int:
    context.progress.set(1, 2)
    return context.attempt + number + len(context.task_result.args)


@task(sensitive=("password",))
def log_in(password: str) -> None: ...


@task(atomic=True)
def store(row: int) -> None: ...


@task
def named(name: str, after: int = 0) -> str:
    return f"{name}{after}"


@task
def bad_value():
    return object()


@task(max_attempts=3)
def thrice(): ...

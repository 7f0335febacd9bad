from __future__ import annotations

from benchmarks import bodies
from django_tasks import task


@task
def noop(number: int) -> int:
    return number


@task
def stamp(path: str, number: int) -> None:
    bodies.stamp(path, number)


@task
def nap(seconds: float) -> None:
    bodies.nap(seconds)


@task
async def anap(seconds: float) -> None:
    await bodies.anap(seconds)


class Down(Exception):
    """What a task calls does not answer."""


@task
def flaky(number: int, failing: int) -> int:
    if number % 100 < failing:
        raise Down(number)
    return number


@task(max_attempts=2, backoff=[3600.0])
def flaky_retried(number: int, failing: int) -> int:
    if number % 100 < failing:
        raise Down(number)
    return number

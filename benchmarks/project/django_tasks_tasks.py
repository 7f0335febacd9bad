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

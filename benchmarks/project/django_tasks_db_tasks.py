from __future__ import annotations

from django.tasks import task

from benchmarks import bodies


@task
def noop(number: int) -> int:
    return number


@task
def stamp(path: str, number: int) -> None:
    bodies.stamp(path, number)

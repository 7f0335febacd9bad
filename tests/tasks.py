"""The tasks that tests enqueue. `tests` is an installed app, so workers find them here."""

from datetime import timedelta

from django_tasks import Cancel, Retry, Snooze, TaskContext, exponential, task


@task
def add(a: int, b: int) -> int:
    return a + b


@task
async def add_async(a: int, b: int) -> int:
    return a + b


@task
def subtract(a: int, b: int = 1) -> int:
    return a - b


@task
def echo(*args, **kwargs):
    return [list(args), kwargs]


@task
def greet(*, name: str, greeting: str = "Hello") -> str:
    return f"{greeting} {name}"


@task(takes_context=True)
def attempt_number(context: TaskContext, offset: int = 0) -> int:
    return context.attempt + offset


@task(queue_name="mail", priority=10)
def send_mail(to: str) -> str:
    return to


@task(sensitive=("password",))
def log_in(user: str, password: str) -> str:
    return user


@task(max_attempts=3, backoff=[1, 2])
def fail(message: str = "failed on purpose"):
    raise ValueError(message)


@task(max_attempts=5, backoff=exponential(first=1, jitter=0), retry_on=(OSError,))
def fail_now_and_then():
    raise ConnectionResetError("try again")


@task
def control(verb: str, delay: float = 0):
    raise {"retry": Retry, "snooze": Snooze}[verb](delay) if verb != "cancel" else Cancel("enough")


@task(expires=timedelta(hours=1))
def urgent():
    pass


@task(ignore_result=True)
def count_to(limit: int) -> int:
    return sum(range(limit))


@task
def total(numbers: list[int], extra: int = 0) -> int:
    return sum(numbers) + extra


@task
def describe(value):
    return {"value": value, "items": [value, value]}


@task(atomic=True)
def add_atomically(a: int, b: int) -> int:
    return a + b


@task
def broken(*args):
    raise ValueError("broken on purpose")


@task(name="tests.a-name", aliases=("tests.old-name",))
def under_a_name():
    """Has a name of its own, and one that it had."""

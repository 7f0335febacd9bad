"""`demo --once`: enqueue every kind of task, wait, and check what they really did."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from PIL import Image

from django_tasks import TaskResult
from django_tasks.models import ScheduleRun

from . import pictures, starts, tasks
from .data import make_calendar
from .models import Run

#: The numbers that the batch factorises.
NUMBERS = range(10_000, 10_300)

#: Seconds that all tasks together may take.
TIMEOUT = 120.0

Check = Callable[[], str]


class NotAsExpected(Exception):
    """A task did something else than it should; the message says what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """
    What a task, or a batch of them, should do.

    `check` looks at the results and at the files and rows that the tasks wrote; it returns what
    it found, or raises NotAsExpected.
    """

    name: str
    expected: str
    results: Sequence[TaskResult] = ()
    #: Instead of results: finds them, once a schedule has made its tasks.
    find: Callable[[], Sequence[TaskResult]] | None = None
    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One line of the table. `attempts`: the most that any task of the batch took."""

    name: str
    expected: str
    outcome: str
    attempts: int
    seconds: float | None
    is_as_expected: bool


def start() -> list[Expectation]:
    """Enqueue every kind of task."""
    calendar = starts.calendar_import()
    return [
        schedule(),
        mail(),
        thumbnail(),
        calendar_import(calendar),
        leap_years(calendar),
        crash(),
        batch(),
    ]


def check(expectation: Expectation, deadline: float, on_pause: Callable[[], None]) -> Outcome:
    """
    Wait for a task until `deadline` (on the monotonic clock), then check what it did.

    `on_pause` is called while it waits; it may raise to give up.
    """
    results = expectation.results
    try:
        if expectation.find is not None:
            results = find(expectation.find, deadline, on_pause)
        for result in results:
            wait(result, deadline, on_pause)
        outcome, is_as_expected = expectation.check(), True
    except NotAsExpected as error:
        outcome, is_as_expected = str(error), False
    return Outcome(
        name=expectation.name,
        expected=expectation.expected,
        outcome=outcome,
        attempts=max((result.attempts for result in results), default=0),
        seconds=seconds_of(results),
        is_as_expected=is_as_expected,
    )


def find(
    results: Callable[[], Sequence[TaskResult]], deadline: float, on_pause: Callable[[], None]
) -> Sequence[TaskResult]:
    """Wait until there are results. Raise NotAsExpected after the deadline."""
    while not (found := results()):
        require(time.monotonic() < deadline, f"no task after {TIMEOUT:g} s")
        on_pause()
        time.sleep(0.05)
    return found


def wait(result: TaskResult, deadline: float, on_pause: Callable[[], None]) -> None:
    """Wait until the task has finished, well or not. Raise NotAsExpected after the deadline."""
    result.refresh()
    while not result.is_finished:
        require(time.monotonic() < deadline, f"still {result.state} after {TIMEOUT:g} s")
        on_pause()
        time.sleep(0.05)
        result.refresh()


def seconds_of(results: Sequence[TaskResult]) -> float | None:
    """Return the time from the first enqueue to the last finish; None if one is unfinished."""
    if not results or not all(result.finished_at for result in results):
        return None
    first = min(result.enqueued_at for result in results)
    return (max(result.finished_at for result in results) - first).total_seconds()


def result_of(task, run: Run) -> TaskResult:
    return task.get_result(run.task_id)


def require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise NotAsExpected(otherwise)


def succeeded(result: TaskResult):
    """Return the task's value; raise NotAsExpected with its last error if it has none."""
    last = f": {result.errors[-1].traceback.strip().splitlines()[-1]}" if result.errors else ""
    require(result.state == "SUCCESS", f"{result.state}{last}")
    return result.return_value


def schedule() -> Expectation:
    row = starts.greeting(seconds=2.0)
    runs = ScheduleRun.objects.filter(schedule=row, slot_at=row.clocked_at)

    def find() -> list[TaskResult]:
        return [tasks.greet.get_result(str(run.task_id)) for run in runs.all()]

    def check() -> str:
        [run], [result] = runs.all(), find()
        require(succeeded(result) == "Hello, Ada!", f"it said {result.return_value!r}")
        late = (run.created_at - run.slot_at).total_seconds()
        require(0 <= late < 5, f"its slot was {late:.2f} s ago")
        return f"enqueued {late:.2f} s after its slot"

    return Expectation(name="schedule", expected="enqueued when due", find=find, check=check)


def thumbnail() -> Expectation:
    run = starts.thumbnail(pictures.draw(seed=1))
    result = result_of(tasks.make_thumbnail, run)

    def look() -> str:
        size = succeeded(result)
        run.picture.refresh_from_db()
        path = Path(run.picture.thumbnail.path)
        require(path.is_file(), f"there is no file {path}")
        with Image.open(path) as image:
            require(list(image.size) == size, f"the file has {image.size}, the task said {size}")
            return f"{image.format} {image.width} × {image.height}, {path.stat().st_size:,} bytes"

    def check() -> str:
        found = look()
        require(found.startswith("WEBP 320 × 240,"), found)
        return found

    return Expectation(name="thumbnail", expected="WEBP 320 × 240", results=[result], check=check)


def calendar_import(run: Run) -> Expectation:
    result = result_of(tasks.import_csv, run)
    expected = len(make_calendar.YEARS)

    def check() -> str:
        rows = succeeded(result)
        years = run.calendar_import.years
        require(rows == years.count() == expected, f"said {rows}, wrote {years.count()} rows")
        for row in years.filter(year__in=[1583, 2024, 6582]):
            require(row.easter == make_calendar.easter(row.year), f"wrong Easter in {row.year}")
        progress = result.progress
        require(progress is not None and progress.done == expected, f"progress is {progress}")
        return f"{rows:,} rows, progress 100 %"

    return Expectation(
        name="CSV import", expected=f"{expected:,} rows", results=[result], check=check
    )


def leap_years(run: Run) -> Expectation:
    task = tasks.count_leap_years.using(expires=TIMEOUT)
    result = task.enqueue(run.calendar_import_id)
    expected = sum(make_calendar.row(year)[1] for year in make_calendar.YEARS)

    def check() -> str:
        counted = succeeded(result)
        require(counted == expected, f"{counted} leap years")
        return f"{counted:,} leap years"

    return Expectation(
        name="async task", expected=f"{expected:,} leap years", results=[result], check=check
    )


def mail() -> Expectation:
    run = starts.mail("ada@example.org")
    result = result_of(tasks.send_welcome, run)

    def check() -> str:
        succeeded(result)
        codes = [delivery.reply[:3] for delivery in run.mail.deliveries.order_by("pk")]
        require(codes == ["451", "451", "250"], f"the server answered {codes}")
        errors = [error.exception_class_path for error in result.errors]
        require(errors == ["smtplib.SMTPDataError"] * 2, f"errors: {errors}")
        require(result.attempts == 3, f"{result.attempts} attempts")
        files = mail_files(run.mail.pk)
        require(len(files) == 1, f"{len(files)} mail files")
        return f"refused twice, then 1 file of {files[0].stat().st_size} bytes"

    return Expectation(
        name="flaky e-mail", expected="1 mail file at attempt 3", results=[result], check=check
    )


def mail_files(mail_id: uuid.UUID) -> list[Path]:
    """Return the files of Django's file backend that hold this message."""
    header = f"X-Demo-Mail: {mail_id}\n".encode()
    folder = settings.VAR_DIR / "mail"
    return [path for path in folder.glob("*.log") if header in path.read_bytes()]


def crash() -> Expectation:
    run = starts.crash()
    result = result_of(tasks.split_bill, run)

    def check() -> str:
        require(result.state == "FAILURE", f"the state is {result.state}")
        require(len(result.errors) == 1, f"{len(result.errors)} errors")
        error = result.errors[0]
        require(error.exception_class_path == "builtins.ZeroDivisionError", str(error))
        require("return total // people" in error.traceback, "the traceback lacks its line")
        return "ZeroDivisionError, traceback with its line"

    return Expectation(
        name="crash", expected="FAILURE with a traceback", results=[result], check=check
    )


def batch() -> Expectation:
    results = list(tasks.factorise.enqueue_many((number,) for number in NUMBERS))

    def check() -> str:
        wrong = [
            number
            for number, result in zip(NUMBERS, results, strict=True)
            if not is_factorisation(number, succeeded(result))
        ]
        require(not wrong, f"wrong factors of {wrong}")
        return f"{len(results)} right factorisations"

    return Expectation(
        name="batch", expected=f"{len(NUMBERS)} factorisations", results=results, check=check
    )


def is_factorisation(number: int, factors: list[int]) -> bool:
    are_primes = all(all(f % d for d in range(2, math.isqrt(f) + 1)) for f in factors)
    return math.prod(factors) == number and are_primes


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """Yield the lines of the table."""
    head = ("task", "expected", "outcome", "attempts", "seconds", "")
    rows = [head, *(cells(outcome) for outcome in outcomes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    for row in rows:
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(padded).rstrip()


def cells(outcome: Outcome) -> tuple[str, ...]:
    seconds = "-" if outcome.seconds is None else f"{outcome.seconds:.2f}"
    verdict = "ok" if outcome.is_as_expected else "NOT AS EXPECTED"
    attempts = f"{outcome.attempts}"
    return (outcome.name, outcome.expected, outcome.outcome, attempts, seconds, verdict)

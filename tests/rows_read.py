"""
Count what a block of code makes the database read.

    with rows_read() as read:
        prune()
    assert read.total < 50

A plan says what is meant to be read; this says what was. `total` is for comparing the same block
over little and over much history, on one database: its unit is another one on each.

- PostgreSQL: tuples that sequential scans and index entries that index scans returned (`rows`), and
  pages of tables and indexes that were looked at (`pages`). The pages tell of what a scan passes
  over without returning it: dead rows, and entries that a condition behind a gap in an index's
  columns drops. Reads of other sessions count as soon as these have reported them (at the latest
  when they end), so a process that the block runs to its end is counted, too.
- MariaDB and MySQL: rows that handlers were asked for, from tables, indexes and temporary tables,
  and index entries that a pushed condition dropped (MariaDB alone tells of those).
- SQLite: jumps of its virtual machine: one to four per row that a loop visits, and some five per
  statement. A bare COUNT(*) without a condition loops inside one step: it hardly counts.

It counts for one connection, `using`, but where said otherwise. Statistics of PostgreSQL 14 arrive
late: there, put the block in a transaction.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connections

_POSTGRESQL = """
SELECT
  SUM(pg_stat_get_tuples_returned(oid) + pg_stat_get_xact_tuples_returned(oid)),
  SUM(pg_stat_get_blocks_fetched(oid) + pg_stat_get_xact_blocks_fetched(oid))
FROM pg_class WHERE relkind IN ('r', 'i', 'm') AND relnamespace = 'public'::regnamespace"""


@dataclass(slots=True)
class Read:
    """What was read. `pages` is 0 where the database does not tell."""

    rows: int = 0
    pages: int = 0

    @property
    def total(self) -> int:
        """Rows and pages together: what grows when anything is read that need not be."""
        return self.rows + self.pages


@contextmanager
def rows_read(using: str = "default") -> Iterator[Read]:
    """Count what is read by the connection `using` until the block ends, errors included."""
    connection = connections[using]
    connection.ensure_connection()
    read = Read()
    with _METERS[connection.vendor](connection) as measure:
        before = measure()
        try:
            yield read
        finally:
            after = measure()
            read.rows, read.pages = (b - a for a, b in zip(before, after, strict=True))


Measure = Callable[[], tuple[int, int]]


@contextmanager
def _postgresql(connection) -> Iterator[Measure]:
    def measure():
        with connection.cursor() as cursor:
            # What this session has reported, and what it has not: the sum moves by reads alone.
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(_POSTGRESQL)
            rows, pages = cursor.fetchone()
            return int(rows), int(pages)

    yield measure


@contextmanager
def _mysql(connection) -> Iterator[Measure]:
    def measure():
        with connection.cursor() as cursor:
            cursor.execute(
                "SHOW SESSION STATUS WHERE Variable_name LIKE 'Handler_read%'"
                " OR Variable_name = 'Handler_icp_attempts'"
            )
            status = {name: int(value) for name, value in cursor.fetchall()}
            passed = status.pop("Handler_icp_attempts", 0)
            return sum(status.values()) + passed, 0

    # The answer of SHOW STATUS is a temporary table, which is read, too.
    own = -(measure()[0] - measure()[0])
    times = 0

    def measure_others():
        nonlocal times
        times += 1
        rows, pages = measure()
        return rows - own * times, pages

    yield measure_others


@contextmanager
def _sqlite(connection) -> Iterator[Measure]:
    steps = 0

    def count():
        nonlocal steps
        steps += 1
        return 0

    connection.connection.set_progress_handler(count, 1)
    try:
        yield lambda: (steps, 0)
    finally:
        if connection.connection is not None:
            connection.connection.set_progress_handler(None, 0)


_METERS = {"postgresql": _postgresql, "mysql": _mysql, "sqlite": _sqlite}

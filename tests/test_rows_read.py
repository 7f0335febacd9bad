"""The counter of rows that other tests rely on counts what it should, and nothing else."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from tests.rows_read import rows_read

pytestmark = pytest.mark.django_db

ROWS = 500


@pytest.fixture(autouse=True)
def rows():
    ContentType.objects.all().delete()
    ContentType.objects.bulk_create(
        ContentType(app_label=f"app{number % 10}", model=f"model{number}") for number in range(ROWS)
    )


def test_nothing_read_is_nothing_counted():
    """The counter does not count itself; a statement without a table takes a few steps at most."""
    with rows_read() as read, connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchall()

    assert read.total < 10


def test_a_scan_counts_every_row_that_it_drops():
    """A condition without an index returns nothing, and reads everything."""
    with rows_read() as read:
        assert not ContentType.objects.filter(model__contains="nothing").exists()

    assert ROWS <= read.total < 5 * ROWS


def test_an_index_is_read_as_far_as_it_is_used():
    """A row by its unique key, beside many: a few steps, however many rows there are."""
    with rows_read() as read:
        assert ContentType.objects.get(app_label="app3", model="model3")

    assert 1 <= read.total < 20


def test_entries_that_an_index_scan_passes_over_are_seen():
    """The second column of an index bounds nothing: entries are walked, and few come back."""
    with rows_read() as read, connection.cursor() as cursor:
        cursor.execute(
            "SELECT COUNT(*) FROM django_content_type"
            " WHERE app_label >= 'app' AND model = 'model499'"
        )
        assert cursor.fetchone() == (1,)

    assert read.total >= (2 if connection.vendor == "postgresql" else ROWS)


def test_what_is_read_before_an_error_counts():
    """The counter ends with the block, whatever ends the block."""
    with pytest.raises(LookupError), rows_read() as read:
        list(ContentType.objects.all())
        raise LookupError

    assert read.total >= ROWS
    with rows_read() as read:
        pass
    assert read.total == 0

"""Committed rows for every test here, as they use several connections at a time."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent
TABLES = pytest.mark.django_db(transaction=True, available_apps=["django_tasks"])


def pytest_collection_modifyitems(items):
    """Give each test empty tables. available_apps keeps the flush to this app's own."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(
                pytest.mark.django_db(transaction=True, available_apps=["django_tasks"])
            )

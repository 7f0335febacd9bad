"""Committed rows for every test here, as they use several connections at a time."""

from pathlib import Path

import pytest

from tests.brokers.steps import Redis, broker_settings

HERE = Path(__file__).parent
TABLES = pytest.mark.django_db(transaction=True, available_apps=["django_tasks"])


def pytest_collection_modifyitems(items):
    """Give each test empty tables. available_apps keeps the flush to this app's own."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(
                pytest.mark.django_db(transaction=True, available_apps=["django_tasks"])
            )


@pytest.fixture(params=["database", "redis"])
def broker(request, settings):
    """Run a test of claims with each broker that needs no server of its own for it."""
    if request.param == "database":
        yield
        return
    redis = Redis(request.getfixturevalue("redis_url"))
    for name, value in broker_settings(redis).items():
        setattr(settings, name, value)
    yield
    redis.delete_all()

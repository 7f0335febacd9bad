"""A Redis for the tests of this folder, with keys of their own for each; workers and tables."""

from pathlib import Path

import pytest

from tests.brokers.steps import Redis, broker_settings
from tests.servers import private_redis
from tests.worker.conftest import book, clean, gate, start, tables  # noqa: F401

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Ask for the database. available_apps: the flush touches no table, see `clean`."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.django_db(transaction=True, available_apps=["tests"]))


@pytest.fixture
def redis(redis_url, settings):
    """Let this process' default backend use a Redis broker; return a look at what it holds."""
    redis = Redis(redis_url)
    for name, value in broker_settings(redis).items():
        setattr(settings, name, value)
    yield redis
    redis.delete_all()


@pytest.fixture
def mortal_redis(settings):
    """Return a Redis server that a test may kill, and let this process use it."""
    with private_redis() as server:
        redis = Redis(server.url(), server)
        for name, value in broker_settings(redis).items():
            setattr(settings, name, value)
        yield redis

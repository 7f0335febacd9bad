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


@pytest.fixture(params=["database", "redis", "kombu"])
def broker(request, settings):
    """Run a test of claims with each broker; kombu's as it speaks to RabbitMQ."""
    if request.param == "database":
        yield
    elif request.param == "redis":
        redis = Redis(request.getfixturevalue("redis_url"))
        for name, value in broker_settings(redis).items():
            setattr(settings, name, value)
        yield
        redis.delete_all()
    else:
        pytest.importorskip("kombu")
        from tests.brokers.kombu_steps import Post

        post = Post(request.getfixturevalue("rabbitmq_url"))
        settings.TASKS = post.settings["TASKS"]
        yield
        post.delete_all(
            "low", "mail-a", "mail-b", "high", "x", "a", "b", "c", "Mail", "maíl", "nothing-here"
        )

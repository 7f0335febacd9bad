"""What `manage.py check` says of a backend's broker."""

import sys

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_tasks.backends.database import DatabaseBackend
from django_tasks.brokers import configured
from tests.brokers.steps import Redis


def backend(broker):
    return DatabaseBackend("default", {"OPTIONS": {"broker": broker}})


@pytest.fixture
def checked(settings):
    """Return a function that gives the checks' messages for a broker and caches."""

    def check(broker, caches):
        settings.CACHES = caches
        settings.TASKS = {
            "default": {
                "BACKEND": "django_tasks.backends.database.DatabaseBackend",
                "OPTIONS": {"broker": broker},
            }
        }
        return list(backend(broker)._check_broker())

    return check


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ("reddis", "did you mean 'redis'?"),
        (None, "not None"),
        ({"cache": "default"}, "a dict with its 'name'"),
        ({"name": "redis", "cahce": "default"}, "did you mean 'cache'?"),
        ({"name": "redis", "cache": 3}, "must be a string, not 3"),
        ({"name": "database", "cache": "default"}, "unknown setting 'cache'"),
        ({"url": "amqp://u:hunter2@host"}, "not a dict of 'url'"),
        ("amqp://u:hunter2@host", "is a URL"),
        ({"name": "kombu", "url": ["amqp://u:hunter2@host"]}, "must be a string, not list"),
        ({"name": "kombu", "transport_options": "hunter2"}, "must be a dict, not str"),
    ],
)
def test_wrong_options_are_told_with_what_was_meant(given, part):
    """At the start of every command, and naming the option."""
    with pytest.raises(ImproperlyConfigured) as caught:
        _ = backend(given).database

    assert part in str(caught.value)
    assert "TASKS['default']['OPTIONS']['broker']" in str(caught.value)
    assert "hunter" not in str(caught.value)


def test_good_settings_are_silent(redis_url, checked):
    """No server is asked."""
    caches = Redis(redis_url).caches

    assert checked("redis", caches) == []
    assert checked({"name": "redis", "cache": "default", "prefix": "x"}, caches) == []
    assert checked("database", {}) == []


def test_cache_must_be_one_of_django_redis(checked):
    """E010 for an alias that is not there, with a suggestion, and for another kind of cache."""
    local = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}

    [missing] = checked({"name": "redis", "cache": "task"}, {"default": local, "tasks": local})
    [wrong] = checked("redis", {"default": local})

    assert missing.id == wrong.id == "django_tasks.E010"
    assert "did you mean 'tasks'?" in missing.msg
    assert "LocMemCache" in wrong.msg


def test_missing_package_is_told(checked, monkeypatch):
    """E009 names the extra to install."""
    monkeypatch.setitem(sys.modules, "django_redis", None)
    for name in ("redis", "redis.broker", "redis.connections", "redis.source"):
        monkeypatch.delitem(sys.modules, f"django_tasks.brokers.{name}", raising=False)
    monkeypatch.delattr("django_tasks.brokers.redis", raising=False)

    [error] = checked("redis", {})

    assert error.id == "django_tasks.E009"
    assert "django-tasks-engine[redis]" in error.msg
    with pytest.raises(ImproperlyConfigured):
        configured.broker_for("default")

"""DJANGO_TASKS: defaults, and mistakes named with the fix."""

from dataclasses import fields
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from django_tasks.conf import AppSettings, app_settings, read, suggest


def error_of(**user):
    """Return the one mistake in these settings."""
    _, [message] = read(user)
    return message


def test_documented_defaults():
    """The values that the documentation promises."""
    assert (app_settings.LEASE, app_settings.SWEEP_INTERVAL) == (20.0, 5.0)
    assert (app_settings.POLL_INTERVAL, app_settings.GRACE_PERIOD) == (1.0, 25.0)
    assert app_settings.MAX_LOST == 3
    assert timedelta(days=14) == app_settings.RETENTION_SUCCESSFUL
    assert timedelta(days=30) == app_settings.RETENTION_FAILED
    assert app_settings.MAX_ARGS_BYTES == app_settings.MAX_RESULT_BYTES == 1024 * 1024


def test_no_settings_are_the_defaults():
    """An empty dict and none at all are the same."""
    assert read({}) == (AppSettings(), [])


def test_every_default_is_a_value_that_may_be_set():
    """Writing the defaults into the settings changes nothing."""
    defaults = {field.name: getattr(AppSettings(), field.name) for field in fields(AppSettings)}

    assert read(defaults) == (AppSettings(), [])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LEASES", ", did you mean 'LEASE'?"),
        ("POLLINTERVAL", ", did you mean 'POLL_INTERVAL'?"),
        ("RETENTION_SUCCESS", ", did you mean 'RETENTION_SUCCESSFUL'?"),
        ("zzz", ""),
        (5, ""),
    ],
)
def test_unknown_settings_are_named_with_the_nearest(name, hint):
    """A typo does not pass silently."""
    _, [message] = read({name: 1})

    assert message == f"DJANGO_TASKS has an unknown setting {name!r}{hint}"


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("LEASE", 0, "a number of seconds above 0"),
        ("LEASE", -1.5, "a number of seconds above 0"),
        ("LEASE", "20", "a number of seconds above 0"),
        ("LEASE", True, "a number of seconds above 0"),
        ("LEASE", float("nan"), "a number of seconds above 0"),
        ("LEASE", timedelta(seconds=20), "a number of seconds above 0"),
        ("POLL_INTERVAL", 0, "a number of seconds above 0"),
        ("GRACE_PERIOD", -1, "a number of seconds from 0 on"),
        ("MAX_LOST", 1.5, "a whole number from 0 on"),
        ("MAX_LOST", -1, "a whole number from 0 on"),
        ("BATCH_SIZE", 0, "a whole number above 0"),
        ("MAX_ARGS_BYTES", "1M", "a whole number from 0 on"),
        ("RETENTION_FAILED", 30, "a timedelta"),
        ("RETENTION_FAILED", timedelta(days=-1), "a timedelta"),
        ("NOTIFY", 1, "True or False"),
        ("NOTIFY", "yes", "True or False"),
        ("LOG_EXCEPTION_TEXT", "no", "True, False or None"),
        ("TASK_MODULES", "app.jobs", "a list or tuple of dotted paths"),
        ("TASK_MODULES", [1], "a list or tuple of dotted paths"),
    ],
)
def test_wrong_values_are_named_with_what_is_wanted(name, value, wanted):
    """Name, wanted kind with its unit, given value."""
    assert error_of(**{name: value}) == f"DJANGO_TASKS[{name!r}] must be {wanted}, not {value!r}."


NONE_MEANS_SOMETHING = {
    "PRUNE_INTERVAL",
    "LOG_EXCEPTION_TEXT",
    "UNKNOWN_TASK_TIMEOUT",
    "METRICS_TOKEN",
}


@pytest.mark.parametrize("name", [field.name for field in fields(AppSettings)])
def test_none_is_allowed_where_it_means_something(name):
    """None turns deleting off; elsewhere it is a mistake."""
    values, errors = read({name: None})

    if name.startswith("RETENTION_") or name in NONE_MEANS_SOMETHING:
        assert (getattr(values, name), errors) == (None, [])
    else:
        assert errors == [f"DJANGO_TASKS[{name!r}] may not be None."]


@pytest.mark.parametrize("name", ["LEASE", "UNKNOWN_TASK_DELAY"])
def test_endless_durations_are_refused(name):
    """A time that is added to the database's clock must end."""
    _, errors = read({name: float("inf")})

    assert errors


def test_all_mistakes_are_told_at_once():
    """One run of `check` shows them all; right ones are kept."""
    values, errors = read({"LEASE": 0, "LEASES": 5, "MAX_LOST": 7})

    assert len(errors) == 2
    assert (values.LEASE, values.MAX_LOST) == (20.0, 7)


@pytest.mark.parametrize("user", [None, [], "LEASE", 5])
def test_something_else_than_a_dict_is_named(user):
    """The commonest mistake of all: the wrong shape."""
    assert read(user)[1] == [f"DJANGO_TASKS must be a dict, not {type(user).__name__}."]


def test_settings_follow_overrides(settings):
    """Tests override DJANGO_TASKS like any other setting."""
    settings.DJANGO_TASKS = {"LEASE": 3}
    assert app_settings.LEASE == 3

    settings.DJANGO_TASKS = {"MAX_LOST": 1}
    assert (app_settings.LEASE, app_settings.MAX_LOST) == (20.0, 1)


def test_mistakes_stop_whoever_reads_a_setting(settings):
    """A worker with a mistake in its settings does not run on the defaults."""
    settings.DJANGO_TASKS = {"LEASE": 0, "POLL": 1}

    for _ in range(2):
        with pytest.raises(ImproperlyConfigured, match=r"LEASE.*POLL"):
            _ = app_settings.MAX_LOST


def test_suggestions():
    """The nearest name, or nothing."""
    assert suggest("prority", ["priority", "queue"]) == ", did you mean 'priority'?"
    assert suggest("zzz", ["priority", "queue"]) == ""
    assert suggest("x", []) == ""

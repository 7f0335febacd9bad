"""Settings that name a broker or a pool by a dotted path: what is refused, and how it is told."""

import sys

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError
from shop.brokers import DirectoryBroker

from django_tasks import checks
from django_tasks.backends.database import DatabaseBackend
from django_tasks.brokers import configured
from django_tasks.dep14.handler import task_backends
from django_tasks.management.commands.runworker import Command
from django_tasks.worker.config import WorkerConfig

BROKER = "TASKS['default']['OPTIONS']['broker']"


class NoBroker:
    """Has one of the methods."""

    def publish(self, ready):
        """Do nothing."""


def nothing():
    """Be no class."""


class NoPool:
    """Is no pool at all."""


class TakesNoArguments:
    """Has what a pool has, and cannot be made as one."""

    def submit(self, jobs): ...
    def run(self): ...
    def resize(self, slots): ...
    def stop(self): ...
    def look(self): ...


class solo(TakesNoArguments):  # noqa: N801 - that is the mistake
    """Has the name of a built-in pool."""

    def __init__(self, runner, post, board, slots): ...


@pytest.fixture
def use(settings):
    """Return a function that gives the default backend a broker."""

    def use(broker):
        path = "django_tasks.backends.database.DatabaseBackend"
        settings.TASKS = {"default": {"BACKEND": path, "OPTIONS": {"broker": broker}}}
        return task_backends["default"]

    return use


@pytest.mark.parametrize(
    ("broker", "said"),
    [
        ("shop.nowhere.Broker", "is 'shop.nowhere.Broker', which cannot be imported: No module"),
        ("shop.brokers.Brokers", 'cannot be imported: Module "shop.brokers" does not define'),
        (f"{__name__}.nothing", "which is not a class but function: name a class that meets"),
        (f"{__name__}.NoBroker", "which lacks wakes(), expect(), pulse(), missing(), listen()"),
        ("shop.brokers.DirectoryBroker", "cannot be made with (alias): missing a required"),
        (
            {"name": "shop.brokers.DirectoryBroker", "path": "/x", "password": "hunter2"},
            "(alias, path=…, password=…): got an unexpected keyword argument 'password'.",
        ),
    ],
)
def test_wrong_broker_is_told_in_one_sentence(use, broker, said):
    """E014, with the setting, the path and the reason; and by whoever needs the broker."""
    backend = use(broker)

    [error] = backend.check()

    assert error.id == "django_tasks.E014"
    assert error.msg.startswith(f"{BROKER} is ")
    assert said in error.msg
    assert "hunter2" not in error.msg
    assert "write-an-extension" in error.hint
    with pytest.raises(ImproperlyConfigured):
        configured.broker_for("default")


def test_broker_is_imported_when_it_is_needed(use, monkeypatch):
    """Not when its backend is made: that happens while apps load."""
    monkeypatch.delitem(sys.modules, "shop.brokers")
    backend = use({"name": "shop.brokers.DirectoryBroker", "path": "/run/shop"})
    assert isinstance(backend, DatabaseBackend)
    assert "shop.brokers" not in sys.modules

    made = backend.broker

    assert (made.path.name, type(made).__name__) == ("shop", DirectoryBroker.__name__)
    assert list(backend.check()) == []


def test_own_check_of_a_broker_is_shown(use):
    """What its check() finds is among the backend's."""
    [error] = use({"name": "shop.brokers.DirectoryBroker", "path": "here"}).check()

    assert "needs an absolute path" in error.msg


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("thread", "or the dotted path of a class, not 'thread', did you mean 'threads'?"),
        ("shop.nowhere.Pool", "cannot be imported"),
        (f"{__name__}.NoPool", "lacks submit(), run(), resize(), stop(), look()"),
        (f"{__name__}.TakesNoArguments", "cannot be made with (runner, post, board, slots)"),
        (f"{__name__}.solo", "whose name people would take for the built-in 'solo'"),
    ],
)
def test_wrong_pool_is_told_in_one_sentence(settings, path, said):
    """E014 for the setting, which names it; a worker refuses it, whichever way it was given."""
    settings.DJANGO_TASKS = {"POOL": path}

    [error] = checks.check_pool()

    assert error.id == "django_tasks.E014"
    assert error.msg.startswith("DJANGO_TASKS['POOL'] ")
    assert said in error.msg
    with pytest.raises(CommandError) as caught:
        config_of()
    assert caught.value.returncode == 1
    assert said in str(caught.value)


def config_of(*arguments):
    """Return what runworker makes of its command line."""
    command = Command()
    options = command.create_parser("manage.py", "runworker").parse_args(arguments)
    return command._config(vars(options))


def test_pool_comes_from_the_command_line_or_else_the_settings(settings):
    """The setting is the default; without it, it is prefork."""
    assert config_of().pool == "prefork"
    settings.DJANGO_TASKS = {"POOL": "threads"}
    assert config_of().pool == "threads"
    assert config_of("--pool", "asyncio").pool == "asyncio"
    given = config_of("--pool", "shop.pools.FreshThreadPool", "--concurrency", "7")
    assert (given.pool, given.slots, given.processes) == ("shop.pools.FreshThreadPool", 7, 1)
    assert checks.check_pool() == []


def test_path_on_the_command_line_is_told_of_with_the_option():
    """Exit code 2, as for other options that are wrong."""
    with pytest.raises(CommandError, match=r"^--pool is 'shop.nowhere.Pool'") as caught:
        config_of("--pool", "shop.nowhere.Pool")

    assert caught.value.returncode == 2


def test_name_of_a_pool_fits_its_column():
    """People are shown the class, whatever its module is called."""
    made = WorkerConfig(
        backend="default", database="default", queues=None, pool=f"a.b.{'C' * 40}",
        processes=1, slots=1, grace=1,
    )  # fmt: skip

    assert made.pool_name == "C" * 20

"""Letting ``import celery`` lead to this package, for a project that moves by one line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["install"]

#: Modules that are offered, by the names that they have where they come from.
OFFERED = {
    **{
        f"celery{suffix}": f"django_tasks.celery{suffix}"
        for suffix in (
            "", "._state", ".app", ".app.autoretry", ".app.base", ".app.control", ".app.registry",
            ".app.routes", ".app.task", ".app.trace", ".canvas", ".contrib", ".contrib.django",
            ".contrib.django.task", ".contrib.testing", ".contrib.testing.worker", ".exceptions",
            ".local", ".result", ".schedules", ".signals", ".states", ".utils", ".utils.dispatch",
            ".utils.log", ".utils.time",
        )
    },
    **{
        name: f"django_tasks.celery.{name}"
        for name in (
            "billiard", "billiard.einfo", "billiard.exceptions", "kombu", "kombu.exceptions",
            "kombu.utils", "kombu.utils.json", "kombu.utils.uuid",
        )
    },
}  # fmt: skip

#: Why others are not, and what to do instead.
_REFUSED = {
    "celery.bin": "use `manage.py runworker`, `runbeat`, `tasks_inspect` and `tasks_control`",
    "celery.worker": "workers are those of `manage.py runworker`; for what bootsteps and requests"
    " did, use hooks of the Task class and the signals of workers",
    "celery.bootsteps": "for a liveness probe use `manage.py runworker --health-port`",
    "celery.beat": "schedules are rows that are edited in the admin, or declared in code",
    "celery.events": "there are no events; connect to the signals of tasks",
    "celery.backends": "results are rows of the database",
    "celery.loaders": "settings are Django's",
    "celery.concurrency": "choose a pool by `manage.py runworker --pool`",
    "celery.security": "there are no messages that could be signed",
    "celery.fixups": "nothing has to be fixed up: workers are Django commands",
    "celery.platforms": "workers do not become daemons; let systemd or a container start them",
    "celery.contrib.abortable": "look at context.is_cancelled, or let revoke(terminate=True) stop"
    " the body",
    "celery.contrib.migrate": "there are no messages that could be moved",
    "celery.contrib.rdb": "use a debugger on manage.py runworker --pool solo",
    "celery.contrib.pytest": "call task.apply(), or django_tasks.testing.run_pending_tasks()",
    "celery.task": "this is a module of Celery 3; import shared_task and Task from celery",
    "celery.decorators": "this is a module of Celery 3; import shared_task from celery",
    "kombu": "there are no messages. For the length of a queue, count the rows of"
    " django_tasks.models.TaskRecord",
    "billiard": "processes are those of the worker; use multiprocessing for others",
}


class _Refusal(MetaPathFinder):
    """Says why a module is not offered, where Python would say that it is not there."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in ("celery", "kombu", "billiard"):
            return None
        if fullname in OFFERED:
            return None
        why = next(
            (why for name, why in _REFUSED.items() if f"{fullname}.".startswith(f"{name}.")),
            "see the page Coming from Celery of the documentation",
        )
        raise ModuleNotFoundError(
            f"{fullname} is not offered by django_tasks.celery: {why}.", name=fullname
        )


def install(*, force: bool = False) -> None:
    """
    Let ``import celery``, kombu and billiard lead to django_tasks.celery in this process.

    Call it before they are imported, as at the top of manage.py and wsgi.py, or of the settings.
    `force`: also where Celery is installed. Raise RuntimeError where it is, and without `force`.
    """
    if any(isinstance(finder, _Refusal) for finder in sys.meta_path):
        return
    there = PathFinder.find_spec("celery")
    if there is not None and not force:
        raise RuntimeError(
            f"Celery is installed ({there.origin}), and would be hidden: uninstall it, or call"
            " django_tasks.celery.install(force=True)."
        )
    modules = {name: import_module(target) for name, target in OFFERED.items()}
    _forget_others(modules)
    sys.modules.update(modules)
    sys.meta_path.insert(0, _Refusal())


def _forget_others(modules: dict[str, Any]) -> None:
    """Take what was imported of Celery itself away, so that nothing mixes the two."""
    for name in list(sys.modules):
        if name.partition(".")[0] in ("celery", "kombu", "billiard") and name not in modules:
            del sys.modules[name]

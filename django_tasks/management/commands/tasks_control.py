"""Pause and resume queues, stop and scale workers."""

from __future__ import annotations

import getpass
import json
import os
import socket
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias

from django.core.management.base import CommandError

from ...backends.database import DatabaseBackend
from ...conf import app_settings, suggest
from ...models import WorkerRecord
from ...monitoring.queue_list import known_names
from ...routing import is_queue_name
from ...store.workers import queues, requests
from ...store.workers.leases import BEAT
from ...store.workers.requests import RequestRefused
from ..tasks_command import TasksCommand, counted


class Command(TasksCommand):
    help = (
        "Pause and resume queues, stop and scale workers. Nothing is changed when a queue or a"
        " worker is unknown. Exit code 1 when something was refused; the others are asked all the"
        " same."
    )
    examples = """\
  manage.py tasks_control pause mail
  manage.py tasks_control resume mail reports
  manage.py tasks_control stop web1:4711
  manage.py tasks_control stop 0190f5fe 0190f60a
  manage.py tasks_control scale web1:4711 8
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, (help_text, _) in ACTIONS.items():
            action = actions.add_parser(name, help=help_text, description=help_text)
            if name in ("pause", "resume"):
                action.add_argument("queues", nargs="+", metavar="QUEUE", help="name of a queue")
            elif name == "stop":
                action.add_argument("workers", nargs="+", metavar="WORKER", help=_WORKER)
            else:
                action.add_argument("worker", metavar="WORKER", help=_WORKER)
                action.add_argument("concurrency", type=int, metavar="N", help="slots in all")
            if name == "pause":
                action.add_argument(
                    "--any-name", action="store_true", help="also a queue that nobody knows yet"
                )
            action.add_argument(
                "--json", action="store_true", dest="as_json", help="print one JSON document"
            )

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        _, do = ACTIONS[options["action"]]
        do(self, backend, options)

    def answer(self, options: dict[str, Any], document: Any, lines: Iterable[str]) -> None:
        """Print the result in one form or the other."""
        as_json = options["as_json"]
        self.say(json.dumps(document, indent=2) if as_json else "\n".join(lines))


_WORKER = "host:pid as tasks_inspect shows it, or how the worker's id begins"


def _pause(command: Command, backend: DatabaseBackend, options: dict[str, Any]) -> None:
    names = _queue_names(options)
    if not options["any_name"]:
        _check_known(backend, names)
    changed = {n: queues.pause(backend.database, backend.alias, n, _who()) for n in names}
    lines = [
        f"Paused queue {name!r}." if is_new else f"Queue {name!r} was paused already."
        for name, is_new in changed.items()
    ]
    if any(changed.values()):
        lines.append(f"Workers apply it within {app_settings.POLL_INTERVAL:g} s.")
    command.answer(options, {"queues": _changes(changed)}, lines)


def _resume(command: Command, backend: DatabaseBackend, options: dict[str, Any]) -> None:
    names = _queue_names(options)
    paused = queues.paused_names(backend.database, backend.alias)
    _check_known(backend, [name for name in names if name not in paused])
    changed = {name: queues.resume(backend.database, backend.alias, name) for name in names}
    lines = [
        f"Resumed queue {name!r}." if is_new else f"Queue {name!r} was not paused."
        for name, is_new in changed.items()
    ]
    command.answer(options, {"queues": _changes(changed)}, lines)


def _changes(changed: dict[str, bool]) -> list[dict[str, Any]]:
    return [{"name": name, "changed": is_new} for name, is_new in changed.items()]


def _queue_names(options: dict[str, Any]) -> list[str]:
    for name in options["queues"]:
        if not is_queue_name(name):
            raise CommandError(f"{name!r} is no queue name.", returncode=2)
    return list(dict.fromkeys(options["queues"]))


def _check_known(backend: DatabaseBackend, names: Sequence[str]) -> None:
    """Raise CommandError for a name that no setting, task or worker has: it is likely misspelt."""
    known = known_names(backend.database, backend.alias) if names else ()
    for name in names:
        if name not in known:
            hint = suggest(name, known) or " (to pause it all the same: --any-name)"
            raise CommandError(
                f"No setting, task or worker of backend {backend.alias!r} names a queue"
                f" {name!r}{hint}"
            )


def _stop(command: Command, backend: DatabaseBackend, options: dict[str, Any]) -> None:
    def ask(worker: WorkerRecord) -> tuple[bool, str]:
        if not requests.ask_to_stop(backend.database, worker.pk, _who()):
            return False, f"{worker} is stopping already."
        seconds = f"{app_settings.POLL_INTERVAL:g} s"
        return True, f"Asked {worker} to stop: within {seconds} it claims no more, and then ends."

    found = [_worker(backend.database, text) for text in options["workers"]]
    _ask(command, options, {worker.pk: worker for worker in found}.values(), ask)


def _scale(command: Command, backend: DatabaseBackend, options: dict[str, Any]) -> None:
    concurrency = options["concurrency"]
    slots = counted(concurrency, "slot")

    def ask(worker: WorkerRecord) -> tuple[bool, str]:
        if not requests.ask_for_concurrency(backend.database, worker.pk, concurrency, _who()):
            return False, f"{worker} has {slots} already, or was asked for them before."
        return True, f"Asked {worker} to have {slots} instead of {worker.concurrency}."

    _ask(command, options, [_worker(backend.database, options["worker"])], ask)


def _ask(
    command: Command,
    options: dict[str, Any],
    workers: Iterable[WorkerRecord],
    ask: Callable[[WorkerRecord], tuple[bool, str]],
) -> None:
    """Ask each worker, tell what became of it, and raise CommandError with what was refused."""
    document, lines, refused = [], [], []
    for worker in workers:
        each: dict[str, Any] = {"id": str(worker.pk), "worker": str(worker)}
        try:
            each["changed"], line = ask(worker)
            lines.append(line)
        except RequestRefused as error:
            each |= {"changed": False, "refused": str(error)}
            refused.append(str(error))
        document.append(each)
    if lines or options["as_json"]:
        command.answer(options, {"workers": document}, lines)
    if refused:
        raise CommandError(" ".join(refused))


def _worker(database: str, text: str) -> WorkerRecord:
    """Return the one worker that is meant. Raise CommandError for none or several."""
    workers = list(WorkerRecord.objects.using(database).exclude(pool=BEAT))
    prefix = text.replace("-", "").lower()
    found = [worker for worker in workers if text == str(worker)]
    found = found or [w for w in workers if len(prefix) >= 4 and w.pk.hex.startswith(prefix)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(f"{worker} ({worker.pk})" for worker in found)
    if found:
        raise CommandError(f"{text!r} may be any of {names}: give more of the id.")
    hint = suggest(text, map(str, workers)) or ". See manage.py tasks_inspect"
    raise CommandError(f"No worker is called {text!r}{hint}")


def _who() -> str:
    """Return who runs the command, to be shown beside what it did."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may have users without a name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


_Action: TypeAlias = Callable[[Command, DatabaseBackend, dict[str, Any]], None]

#: By name: what it does, and the function.
ACTIONS: dict[str, tuple[str, _Action]] = {
    "pause": ("Have workers start no more tasks of queues; what runs goes on.", _pause),
    "resume": ("Have workers run the tasks of queues again.", _resume),
    "stop": ("Have workers stop gently, as SIGTERM does.", _stop),
    "scale": ("Change how many tasks a worker runs at the same time.", _scale),
}

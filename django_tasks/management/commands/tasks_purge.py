"""Delete the waiting tasks of a queue."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from ...backends.database import DatabaseBackend
from ...monitoring.queue_list import QueueKey, waiting_count
from ...monitoring.reading import queue_names
from ...routing import is_queue_name
from ...store.tasks import deletions
from ..tasks_command import TasksCommand, add_confirmation, confirm, counted


class Command(TasksCommand):
    help = (
        "Delete the tasks of a queue that have not started: ready, scheduled and waiting ones."
        " Running and finished tasks stay. There is no way back."
    )
    examples = """\
  manage.py tasks_purge mail
  manage.py tasks_purge mail --yes
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("queue", metavar="QUEUE", help="name of the queue")
        add_confirmation(parser)

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        name = options["queue"]
        if not is_queue_name(name):
            raise CommandError(f"{name!r} is no queue name; name exactly one.", returncode=2)
        count = waiting_count(backend.database, QueueKey(backend.alias, name))
        if not count:
            self.say(f"Queue {name!r} has no waiting tasks{self._known(backend, name)}.")
            return
        tasks = f"{count} task{'s' if count != 1 else ''}"
        confirm(f"Delete {tasks} of queue {name!r} that have not started?", options)
        deleted, _ = deletions.purge(backend.database, backend.alias, name)
        self.say(f"Deleted {counted(deleted)} of queue {name!r}.")

    def _known(self, backend: DatabaseBackend, name: str) -> str:
        names = queue_names([backend])
        return "" if name in names else f" (known queues: {', '.join(sorted(names)) or 'none'})"

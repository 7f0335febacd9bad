"""Enqueue the tasks of schedules."""

from __future__ import annotations

import os
import socket
import sys
from argparse import ArgumentParser
from typing import Any

from django.db import connections

from ...beat.loop import BeatConfig
from ...store.schedules import due
from ..serving import ServingCommand, check_address, check_beat, check_instrumentation
from ..tasks_command import find_backend

EXAMPLES = """
examples:
  manage.py runbeat                                     one of them is enough; more do no harm
  manage.py runbeat --health-port 8001                  with probes for an orchestrator
  manage.py runworker --beat                            worker and beat in one

exit codes: 0 stopped gently; 1 configuration; 2 usage; 3 stopped at once by a second signal
"""


class Command(ServingCommand):
    """Enqueue the tasks of schedules when they are due, until stopped."""

    help = "Enqueue the tasks of schedules when they are due. Any number of beats may run at once."
    epilog = EXAMPLES

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--backend", default="default",
            help="alias in TASKS whose database has the schedules (default: default)",
        )  # fmt: skip
        self.add_health_port(parser)
        self.add_log_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        backend = find_backend(options["backend"])
        config = BeatConfig(
            backend=backend.alias, database=backend.database, host=socket.gethostname()
        )
        check_beat(config.database)
        check_instrumentation()
        if options["health_port"] is not None:
            check_address(*options["health_port"])
        self.introduce(banner(config), options["verbosity"], options["log_format"])
        from ...beat.start import run_beat

        sys.exit(run_beat(config, options["health_port"]))


def banner(config: BeatConfig) -> str:
    """Return what a beat says when it starts."""
    count = due.count_enabled(config.database)
    database = connections[config.database]
    return (
        f"django_tasks beat {config.beat_id} (pid {os.getpid()})\n"
        f"  database {config.database} ({database.display_name}),"
        f" {count} schedule{'' if count == 1 else 's'} with a next run\n"
        f"  stop     Ctrl+C or SIGTERM"
    )

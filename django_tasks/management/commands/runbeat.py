"""Enqueue the tasks of schedules."""

from __future__ import annotations

import os
import socket
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections

from ...beat.loop import BeatConfig
from ...store import slots
from .runworker import address, check_address, check_beat, database_backend, set_up_logging

EXAMPLES = """
examples:
  manage.py runbeat                                     one of them is enough; more do no harm
  manage.py runbeat --health-port 8001                  with probes for an orchestrator
  manage.py runworker --beat                            worker and beat in one

exit codes: 0 stopped gently; 1 configuration; 2 usage; 3 stopped at once by a second signal
"""


class Command(BaseCommand):
    """Enqueue the tasks of schedules when they are due, until stopped."""

    help = "Enqueue the tasks of schedules when they are due. Any number of beats may run at once."
    requires_system_checks = "__all__"
    suppressed_base_arguments = {"--traceback"}

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> Any:
        kwargs |= {"epilog": EXAMPLES, "formatter_class": RawDescriptionHelpFormatter}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--backend", default="default",
            help="alias in TASKS whose database has the schedules (default: default)",
        )  # fmt: skip
        parser.add_argument(
            "--health-port", type=address, default=None, metavar="[HOST:]PORT",
            help="answer /livez and /readyz (default: off; host 127.0.0.1)",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        backend = database_backend(options["backend"])
        config = BeatConfig(
            backend=backend.alias, database=backend.database, host=socket.gethostname()
        )
        check_beat(config.database)
        if options["health_port"] is not None:
            check_address(*options["health_port"])
        set_up_logging(options["verbosity"])
        if options["verbosity"]:
            self.stdout.write(banner(config))
            self.stdout.flush()
        from ...beat.start import run_beat

        sys.exit(run_beat(config, options["health_port"]))


def banner(config: BeatConfig) -> str:
    """Return what a beat says when it starts."""
    count = slots.count_enabled(config.database)
    database = connections[config.database]
    return (
        f"django_tasks beat {config.beat_id} (pid {os.getpid()})\n"
        f"  database {config.database} ({database.display_name}),"
        f" {count} schedule{'' if count == 1 else 's'} with a next run\n"
        f"  stop     Ctrl+C or SIGTERM"
    )

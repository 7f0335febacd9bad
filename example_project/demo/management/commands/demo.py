"""Start the demo: python manage.py demo"""

from __future__ import annotations

import socket
import sys
import time
from urllib.error import HTTPError
from urllib.request import urlopen

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import BaseCommand, CommandError, CommandParser, call_command
from django.db import connection, connections

from example_project.demo import once, starts
from example_project.demo.processes import Process, Processes
from example_project.demo.terminal import LabelledStream, Terminal

HOST = "127.0.0.1"
PORTS_TRIED = 50
START_SECONDS = 30.0

#: Seconds that running tasks have to finish when the demo stops; then they are given back.
GRACE = "3"
WORKER = ("runworker", "--grace", GRACE)
BEAT = ("runbeat",)

#: Seconds from the start of the page to its one-off schedule.
GREETING_AFTER = 20.0

USER = PASSWORD = "demo"


class Command(BaseCommand):
    help = "Show background tasks at work: a web page, a worker and a beat in one terminal."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="No web page: run every kind of task once, check what it did, print a table.",
        )
        parser.add_argument(
            "--port", type=int, default=8000, help="Port of the web page, or the next free one."
        )

    def handle(self, *args, once: bool, port: int, force_color: bool, no_color: bool, **options):
        sys.stdout.reconfigure(errors="replace")  # A terminal may lack the signs of the table.
        is_coloured = True if force_color else False if no_color else None
        self.terminal = Terminal(sys.stdout, is_coloured=is_coloured)
        if not settings.DEBUG:
            raise CommandError(
                "The demo creates an administrator with a known password and runs with DEBUG"
                " only. Unset DEBUG in the environment, or set DEBUG=1."
            )
        self.migrate()
        with Processes(self.terminal.write) as processes:
            succeeded = self.check_all(processes) if once else self.serve(processes, port)
        self.say("Everything has stopped.")
        if not succeeded:
            sys.exit(1)

    def say(self, text: str) -> None:
        self.terminal.write("demo", text)

    def migrate(self) -> None:
        self.say(f"Database: {connection.display_name}, {connection.settings_dict['NAME']}")
        stream = LabelledStream(self.terminal, "migrate")
        call_command("migrate", interactive=False, stdout=stream, no_color=True)

    def serve(self, processes: Processes, port: int) -> bool:
        """Run page, worker and beat until somebody stops them; return whether that went well."""
        self.create_user()
        starts.greeting(GREETING_AFTER)
        connections.close_all()
        free = free_port(port)
        if free != port:
            self.say(f"Port {port} is in use: taking {free}.")
        processes.start("web", "runserver", "--noreload", f"{HOST}:{free}")
        processes.start("worker", *WORKER)
        processes.start("beat", *BEAT)
        if self.wait_for_web(processes, free):
            self.say(f"http://{HOST}:{free}/        try the buttons")
            self.say(f"http://{HOST}:{free}/admin/  log in as {USER} / {PASSWORD}")
            self.say("Ctrl+C stops everything.")
        return self.wait_for_end(processes)

    def create_user(self) -> None:
        """Create the administrator, if there is nobody with that name."""
        users = get_user_model()._default_manager
        if not users.filter(username=USER).exists():
            users.create_superuser(USER, email="demo@example.org", password=PASSWORD)
            self.say(f"Created the administrator {USER} with the password {PASSWORD}.")

    def wait_for_web(self, processes: Processes, port: int) -> bool:
        """Wait until the page answers; return False if something ended or stopped the demo."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if processes.ended() or processes.is_asked_to_stop:
                return False
            if answers(port):
                return True
            time.sleep(0.1)
        raise CommandError(f"The web server did not answer within {START_SECONDS:g} s.")

    def wait_for_end(self, processes: Processes) -> bool:
        ended = processes.run()
        if ended is None:
            self.say("Stopping…")
            return True
        self.say(end_of(ended))
        return False

    def check_all(self, processes: Processes) -> bool:
        """Run every kind of task; return whether each did what it should."""

        def give_up_when_over() -> None:
            if processes.is_asked_to_stop:
                raise Stopped("Stopped before all tasks had finished.")
            if ended := processes.ended():
                raise Stopped(end_of(ended))

        processes.start("worker", *WORKER)
        processes.start("beat", *BEAT)
        deadline = time.monotonic() + once.TIMEOUT
        expectations = once.start()
        self.say(f"Enqueued {sum(len(each.results) for each in expectations)} tasks.")
        try:
            outcomes = [once.check(each, deadline, give_up_when_over) for each in expectations]
        except Stopped as stopped:
            self.say(str(stopped))
            return False
        return self.report(outcomes)

    def report(self, outcomes: list[once.Outcome]) -> bool:
        """Print the table; return whether all outcomes are as expected."""
        self.say("")
        for line in once.table(outcomes):
            self.say(line)
        self.say("")
        wrong = [outcome.name for outcome in outcomes if not outcome.is_as_expected]
        self.say(f"Not as expected: {', '.join(wrong)}." if wrong else "Everything as expected.")
        return not wrong


class Stopped(Exception):
    """The tasks will not finish: the message says why."""


def end_of(process: Process) -> str:
    return f"The {process.label} process ended by itself (exit code {process.exit_code})."


def free_port(wanted: int) -> int:
    """Return the first free port from `wanted` on. Raise CommandError if none of 50 is."""
    for port in range(wanted, min(wanted + PORTS_TRIED, 65536)):
        if is_free(port):
            return port
    raise CommandError(f"No free port from {wanted} to {port}.")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As runserver does: a port whose last connections are still closing is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def answers(port: int) -> bool:
    """Return whether a web server answers, whatever it says."""
    try:
        with urlopen(f"http://{HOST}:{port}/state/", timeout=5):
            return True
    except HTTPError:
        return True
    except OSError:
        return False

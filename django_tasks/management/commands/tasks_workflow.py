"""Show workflows, and cancel and retry them."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError

from ...backends.database import DatabaseBackend
from ...exceptions import TaskResultDoesNotExist
from ...monitoring.reading import database_now
from ...runtime.printing import printable
from ...statuses import FINAL_STATUSES, Status
from ...store.workflows.handle import WorkflowResult
from ..tasks_command import TasksCommand, counted, task_id
from ..workflow_report import (
    HEADERS,
    LIST_HEADERS,
    WorkflowReport,
    list_cells,
    list_document,
    newest,
    report_of,
)

#: Workflows that are listed, unless --limit says otherwise, and at the most.
LISTED, MOST_LISTED = 20, 1000
STATUSES = tuple(str(status) for status in (Status.RUNNING, *FINAL_STATUSES))
ACTIONS = {
    "list": "Show the newest workflows.",
    "show": "Show one workflow: its steps, and why it does not go on.",
    "cancel": "Cancel all steps that have not ended; running ones are told to stop.",
    "retry": "Run the steps again that failed or were cancelled; what waits for them waits again.",
}


class Command(TasksCommand):
    help = (
        "Show workflows, and cancel and retry them. Arguments and results are not shown. Exit code"
        " 1 when a workflow is unknown, or when there was nothing to cancel or retry."
    )
    examples = """\
  manage.py tasks_workflow list --status FAILED
  manage.py tasks_workflow show 0190f5fe-7b3a-7c51-8f0e-3a1e6f6f7c11
  manage.py tasks_workflow show 0190f5fe-7b3a-7c51-8f0e-3a1e6f6f7c11 --json
  manage.py tasks_workflow retry 0190f5fe-7b3a-7c51-8f0e-3a1e6f6f7c11
"""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
        for name, help_text in ACTIONS.items():
            action = actions.add_parser(name, help=help_text, description=help_text)
            if name == "list":
                _add_choice(action)
            else:
                action.add_argument("id", type=task_id, metavar="ID", help="id of a workflow")
            action.add_argument(
                "--json", action="store_true", dest="as_json", help="print one JSON document"
            )

    def run(self, backend: DatabaseBackend, options: dict[str, Any]) -> None:
        if options["action"] == "list":
            self._list(backend.database, options)
            return
        try:
            handle = WorkflowResult.load(backend.database, options["id"])
        except TaskResultDoesNotExist as error:
            raise CommandError(f"No workflow has the id {options['id']}.") from error
        if options["action"] == "show":
            self._show(report_of(handle), as_json=options["as_json"])
        else:
            self._change(handle, options["action"], as_json=options["as_json"])

    def _list(self, database: str, options: dict[str, Any]) -> None:
        found = newest(database, options["limit"], options["status"])
        if options["as_json"]:
            document = {"workflows": [list_document(*each) for each in found]}
            self.say(json.dumps(document, indent=2))
            return
        now = database_now(database)
        self.show_table("Workflows", LIST_HEADERS, [list_cells(*each, now) for each in found])

    def _show(self, report: WorkflowReport, *, as_json: bool) -> None:
        if as_json:
            self.say(json.dumps(report.document(), indent=2))
            return
        self.say(f"Workflow {report.record.pk}", self.style.MIGRATE_HEADING)
        for name, value in report.facts():
            self.say(f"  {name:9} {printable(value)}")
        self.say("")
        is_open = report.record.status not in FINAL_STATUSES
        title = "How far it is, and why" if is_open else "Now"
        self.say(title, self.style.MIGRATE_HEADING)
        for reason in report.reasons:
            text = printable(f"  {reason.sentence} {reason.remedy}".rstrip())
            self.say(text, self.style.WARNING if reason.is_problem else None)
            if reason.command and reason.is_problem:
                self.say(f"    {printable(reason.command)}")
        self.say("")
        if report.graph is not None:
            self.show_table("Steps", HEADERS, report.cells())
            if report.graph.hidden:
                self.say(f"(not shown: {report.graph.hidden} more; --json has all steps)")

    def _change(self, handle: WorkflowResult, action: str, *, as_json: bool) -> None:
        number = handle.cancel() if action == "cancel" else handle.retry()
        if as_json:
            document = {"id": handle.id, "status": str(handle.status), "changed": number}
            self.say(json.dumps(document, indent=2))
        elif number and action == "cancel":
            self.say(f"Cancelled {counted(number, 'step')}; running ones were told to stop.")
        elif number:
            self.say(f"Retried {counted(number, 'step')}.")
        if not number:
            word = "has not ended" if action == "cancel" else "failed or was cancelled"
            raise CommandError(f"No step of workflow {handle.id} {word}.")


def _add_choice(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--status", choices=STATUSES, metavar="STATUS",
        help=f"only those in this status: {', '.join(STATUSES)} (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--limit", type=_positive, default=LISTED, metavar="N",
        help=f"the newest N (default: {LISTED}, at most {MOST_LISTED})",
    )  # fmt: skip


def _positive(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_LISTED:
        raise ArgumentTypeError(f"{text!r} is no number from 1 to {MOST_LISTED}.")
    return int(text)

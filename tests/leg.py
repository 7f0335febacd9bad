"""Run pytest on one database: `python -m tests.leg postgresql [pytest arguments]`.

Finds or starts the server. Where that is impossible the leg is skipped, exit code 0, and the reason
is printed and left in the report for the closing lines of `python3 -m tests`.

A few tests that failed are run once more, alone: most of the suite are real processes on machines
that are busy with other things. One that fails again is a failure; one that passes is UNSTABLE: a
fault to mend, of the test or of what it tests, and the closing lines say so loudly.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests import report, servers

SERVERS = {"postgresql": servers.postgresql, "mariadb": servers.mariadb}
#: With more failures than these something is broken, and running them again only takes time.
MOST_UNSTABLE = 3


def main(database, *pytest_arguments):
    try:
        with database_url(database) as url:
            return run(url, pytest_arguments)
    except servers.ServerUnavailable as error:
        reason = str(error).removeprefix(report.UNAVAILABLE)
        report.write(unavailable=reason)
        print(f"SKIPPED, nothing was tested on {database}: {reason}", file=sys.stderr)
        return 0


def run(url, pytest_arguments):
    """Run pytest, and what failed once more; return the exit code and leave the report of both."""
    code, found = run_pytest(url, pytest_arguments)
    failures = found.get("failures", {})
    if code == 1 and 0 < len(failures) <= MOST_UNSTABLE:
        print(f"\nOnce more, alone: {', '.join(failures)}", flush=True)
        code, again = run_pytest(url, failures)
        found = report.merged(found, again)
    report.write(**found)
    return code


def run_pytest(url, arguments):
    """Return pytest's exit code and its report; an empty one if it broke off."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "report.json")
        environment = os.environ | {"TEST_DATABASE_URL": url, "TEST_REPORT": str(path)}
        command = [sys.executable, "-m", "pytest", *arguments]
        code = subprocess.run(command, env=environment, check=False).returncode
        return code, report.read(path) or {}


@contextlib.contextmanager
def database_url(database):
    if database == "sqlite":
        yield "sqlite"
        return
    with SERVERS[database]() as server:
        yield server.url("django_tasks")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""The report a leg leaves for the runner (tests/__main__.py): one small JSON file."""

import json
import os
from pathlib import Path

# A test or leg skipped for this reason was not run because this machine lacks something, not
# because it does not apply. The closing lines name it, and --require-all makes it a failure.
UNAVAILABLE = "unavailable: "


def write(*, passed=0, failed=0, failures=None, skipped=(), unstable=None, unavailable=None):
    """Write the report to the file named by TEST_REPORT; do nothing if that is not set.

    `failures` are the tests that failed, where their names are known, each with what pytest said of
    it, and `unstable` those that failed once and then passed; `skipped` has a reason per test,
    `unavailable` the reason why the whole leg could not run.
    """
    path = os.environ.get("TEST_REPORT")
    if path:
        report = {
            "passed": passed,
            "failed": failed or len(failures or {}),
            "failures": failures or {},
            "skipped": list(skipped),
            "unstable": unstable or {},
            "unavailable": unavailable,
        }
        Path(path).write_text(json.dumps(report), encoding="utf-8")


def merged(first, again):
    """Return the report of a run and of a second one of what failed in it.

    A test that the second run left out, as it broke off, still counts as failed.
    """
    is_whole = "passed" in again
    before = first["failures"]
    failures = again["failures"] if is_whole else before
    return first | {
        "passed": first["passed"] + again.get("passed", 0),
        "failed": len(failures),
        "failures": failures,
        "unstable": {test: why for test, why in before.items() if test not in failures},
    }


def read(path):
    """Return the report a leg wrote, or None if the leg did not come that far."""
    path = Path(path)
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

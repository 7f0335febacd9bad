"""Run one variant: `python -m tests.upstream.suite VARIANT DIRECTORY RESULT`.

DIRECTORY holds the package `tasks`; RESULT is the JSON file to write the counts to.
"""

import json
import sys
from pathlib import Path

import django
from django.conf import settings
from django.test.utils import get_runner

from tests.upstream.variants import VARIANTS


def main(variant_name, directory, result_path):
    variant = VARIANTS[variant_name]
    sys.path.insert(0, directory)
    django.setup()
    runner = get_runner(settings)(interactive=False, top_level=directory, verbosity=1)
    suite = runner.build_suite(["tasks"])
    expect_failures(suite, variant.not_applicable)
    result = run(runner, suite)
    Path(result_path).write_text(json.dumps(counts_of(result)), encoding="utf-8")
    return int(not result.wasSuccessful())


def run(runner, suite):
    runner.setup_test_environment()
    databases = runner.get_databases(suite)
    old_config = runner.setup_databases(aliases=databases) if databases else []
    try:
        return runner.run_suite(suite)
    finally:
        runner.teardown_databases(old_config)
        runner.teardown_test_environment()


def expect_failures(suite, not_applicable):
    """Expect the tests that cannot apply to fail; one that is not there is a stale entry."""
    missing = dict(not_applicable)
    for test in suite:
        reason = missing.pop(test.id().removeprefix("tasks."), None)
        if reason:
            print(f"expected to fail: {test.id()}: {reason}")
            # On the instance: Django replaces an async test method by one without its marks.
            test.__unittest_expecting_failure__ = True
    if missing:
        raise SystemExit(f"listed as not applicable, but there is no such test: {list(missing)}")


def counts_of(result):
    bad = len(result.failures) + len(result.errors) + len(result.unexpectedSuccesses)
    other = len(result.skipped) + len(result.expectedFailures)
    return {"passed": result.testsRun - bad - other, "failed": bad}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

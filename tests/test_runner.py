"""The command that runs every test tells the truth about what it ran."""

import contextlib
import io
import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import TestCase, mock

from tests import __main__ as runner
from tests import leg, report

PASSING = {"test": [{"retcode": 0, "elapsed": 2.0}]}
FAILING = {"test": [{"retcode": 1, "elapsed": 2.0}]}
FAILS = """
def test_{name}():
    import os, pathlib
    tries = pathlib.Path(os.environ["FOLDER"], "{name}")
    tries.open("a").write("x")
    assert len(tries.read_text()) > {times}
"""


class PlanTests(TestCase):
    def test_leg_keeps_its_interpreter_if_there_is_one(self):
        """A leg runs on the Python version its name says."""
        planned, impossible = runner.plan(["py312-django60-sqlite"], {12: "a", 13: "b"})

        self.assertEqual(planned, ["py312-django60-sqlite"])
        self.assertEqual(impossible, {})

    def test_leg_moves_to_an_interpreter_its_django_supports(self):
        """A machine with one new Python still tests every Django that supports it."""
        legs = ["py311-django52-sqlite", "py313-django61-mariadb", "lint"]

        planned, _ = runner.plan(legs, {14: "a"})

        self.assertEqual(planned, ["py314-django52-sqlite", "py314-django61-mariadb", "lint"])

    def test_leg_without_interpreter_is_named_with_what_it_needs(self):
        """No leg disappears in silence."""
        planned, impossible = runner.plan(["lint", "types", "py312-django60-sqlite"], {11: "a"})

        self.assertEqual(planned, ["lint"])
        self.assertEqual(set(impossible), {"types", "py312-django60-sqlite"})
        self.assertIn("needs Python 3.12, 3.13, 3.14", impossible["py312-django60-sqlite"])


class OutcomeTests(TestCase):
    def outcome(self, result, **left):
        directory = Path(self.enterContext(TemporaryDirectory()))
        path = directory / "report.json"
        self.enterContext(mock.patch.dict("os.environ", TEST_REPORT=str(path)))
        if left:
            report.write(**left)
        with mock.patch.object(runner, "report_path", lambda leg: path):
            return runner.outcome_of("leg", result)

    def test_leg_with_counts(self):
        """A leg that left a report is counted by its tests."""
        outcome = self.outcome(PASSING, passed=7, skipped=["not on SQLite"])

        self.assertEqual((outcome.word, outcome.passed, outcome.failed), (runner.PASSED, 7, 0))
        self.assertEqual(outcome.note, "7 passed, 1 skipped, 2 s")
        self.assertEqual(outcome.not_tested, ())

    def test_leg_that_broke_off_counts_as_a_failure(self):
        """Neither a crash before the report nor a setup that failed can look like success."""
        for result in (FAILING, {}, None):
            with self.subTest(result):
                outcome = self.outcome(result)

                self.assertEqual((outcome.word, outcome.failed), (runner.FAILED, 1))

    def test_leg_without_tests_counts_as_one(self):
        """Lint and types have no counts of their own."""
        outcome = self.outcome(PASSING)

        self.assertEqual((outcome.word, outcome.passed), (runner.PASSED, 1))

    def test_unavailable_server_is_a_skipped_leg(self):
        """A leg that found no server exits with 0, and is not counted as passed."""
        outcome = self.outcome(PASSING, unavailable="no server")

        self.assertEqual((outcome.word, outcome.note), (runner.SKIPPED, "no server"))
        self.assertEqual(outcome.passed, 0)

    def test_unavailable_tests_are_named_once(self):
        """What a passing leg could not test on this machine comes into the closing lines."""
        reason = report.UNAVAILABLE + "no browser"
        outcome = self.outcome(PASSING, passed=1, skipped=[reason, reason, "not on SQLite"])

        self.assertEqual(outcome.not_tested, ("no browser",))

    def test_unstable_tests_are_counted_and_named(self):
        """A leg that passed at the second try passed, but nobody can overlook it."""
        outcome = self.outcome(PASSING, passed=7, unstable={"tests/test_a.py::test_b": "why"})

        self.assertEqual((outcome.word, outcome.note), (runner.PASSED, "7 passed, 1 unstable, 2 s"))
        self.assertEqual(outcome.unstable, {"tests/test_a.py::test_b": "why"})


class ClosingTests(TestCase):
    passed = runner.Outcome(leg="lint", word=runner.PASSED, passed=3)
    skipped = runner.Outcome(leg="py311-django52-mariadb", word=runner.SKIPPED, note="no server")
    partly = runner.Outcome(leg="types", word=runner.PASSED, passed=1, not_tested=("no browser",))
    failed = runner.Outcome(leg="packaging", word=runner.FAILED, passed=4, failed=2)
    unstable = runner.Outcome(
        leg="types", word=runner.PASSED, unstable={"tests/a.py::test_b": "too late"}
    )

    def test_unstable_tests_are_named(self):
        """They stand below a line of their own, with their leg, and before it why they failed."""
        with contextlib.redirect_stdout(io.StringIO()) as output:
            runner.print_closing_lines([self.passed, self.unstable], 5)

        lines = output.getvalue().splitlines()
        [start] = [number for number, line in enumerate(lines) if "UNSTABLE" in line]
        self.assertEqual(lines[start + 1].split(), ["types", "tests/a.py::test_b"])
        self.assertIn("too late", lines[:start])

    def test_last_line_counts_and_skipped_legs_are_named(self):
        """The last line is the sum, and before it stands everything not tested, with the reason."""
        with contextlib.redirect_stdout(io.StringIO()) as output:
            runner.print_closing_lines([self.passed, self.skipped, self.partly, self.failed], 5)

        lines = output.getvalue().splitlines()
        self.assertEqual(lines[-1], "8 passed, 2 failed")
        (start,) = [number for number, line in enumerate(lines) if "NOT TESTED" in line]
        self.assertEqual(
            [line.split(maxsplit=1) for line in lines[start + 1 : start + 3]],
            [["py311-django52-mariadb", "no server"], ["types", "no browser"]],
        )

    def test_exit_code(self):
        """A failed leg fails the run; a skipped one, or a part of one, only with --require-all."""
        with contextlib.redirect_stderr(io.StringIO()):
            for outcomes, code, strict_code in [
                ([self.passed], 0, 0),
                ([self.passed, self.skipped], 0, 1),
                ([self.passed, self.partly], 0, 1),
                ([self.passed, self.failed], 1, 1),
            ]:
                with self.subTest(outcomes):
                    self.assertEqual(runner.exit_code(outcomes, require_all=False), code)
                    self.assertEqual(runner.exit_code(outcomes, require_all=True), strict_code)


class OnceMoreTests(TestCase):
    """What fails is run once more: real runs of pytest, of tests that fail as they are told."""

    def run_leg(self, *tests):
        """Run tests that fail that often; return the exit code and the report."""
        folder = Path(self.enterContext(TemporaryDirectory()))
        Path(folder, "conftest.py").write_text("from tests.conftest import *\n", encoding="utf-8")
        body = "".join(FAILS.format(name=name, times=times) for name, times in tests)
        Path(folder, "test_it.py").write_text(body, encoding="utf-8")
        path = folder / "report.json"
        told = {"TEST_REPORT": str(path), "FOLDER": str(folder), "PYTHONPATH": os.getcwd()}
        self.enterContext(mock.patch.dict("os.environ", told))
        with contextlib.redirect_stdout(io.StringIO()), contextlib.chdir(folder):
            code = leg.run("sqlite", ["-q", "-p", "no:django", "-p", "no:cacheprovider"])
        return code, report.read(path)

    def test_passing_the_second_time_is_unstable(self):
        """The leg passes, and its report names the test."""
        code, left = self.run_leg(("fine", 0), ("shaky", 1))

        self.assertEqual(code, 0)
        self.assertEqual((left["passed"], left["failed"]), (2, 0))
        self.assertEqual(list(left["unstable"]), ["test_it.py::test_shaky"])

    def test_failing_twice_is_a_failure(self):
        """Nothing is forgiven to a test that fails each time."""
        code, left = self.run_leg(("fine", 0), ("shaky", 1), ("broken", 9))

        self.assertEqual(code, 1)
        self.assertEqual((left["passed"], left["failed"]), (2, 1))
        self.assertEqual(list(left["failures"]), ["test_it.py::test_broken"])
        self.assertEqual(list(left["unstable"]), ["test_it.py::test_shaky"])

    def test_many_failures_are_not_run_again(self):
        """Then something is broken: they all count."""
        many = [(f"shaky_{n}", 1) for n in range(leg.MOST_UNSTABLE + 1)]
        code, left = self.run_leg(*many)

        self.assertEqual(code, 1)
        self.assertEqual((left["failed"], left["unstable"]), (len(many), {}))

    def test_second_run_that_breaks_off_forgives_nothing(self):
        """What the first run found stays."""
        first = {"passed": 4, "failed": 1, "failures": {"test_it.py::test_shaky": "why"}}

        self.assertEqual(report.merged(first, {}), first | {"unstable": {}})


class ReportTests(TestCase):
    def test_nothing_is_written_unless_asked(self):
        """Plain pytest leaves no file."""
        with mock.patch.dict("os.environ"), mock.patch.object(json, "dumps") as dumps:
            runner.os.environ.pop("TEST_REPORT", None)
            report.write(passed=1)

        dumps.assert_not_called()

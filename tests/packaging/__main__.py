"""Run the packaging tests with unittest alone: they need neither pytest nor Django here."""

import sys
import unittest

from tests import report

suite = unittest.defaultTestLoader.loadTestsFromName("tests.packaging.suite")
result = unittest.TextTestRunner(verbosity=2).run(suite)
failed = len(result.failures) + len(result.errors)
report.write(
    passed=result.testsRun - failed - len(result.skipped),
    failed=failed,
    skipped=[reason for _test, reason in result.skipped],
)
sys.exit(not result.wasSuccessful())

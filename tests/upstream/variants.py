"""The ways in which Django's tests are run, which tests cannot apply to each, and why.

Django's tests know two backends: the dummy one, which remembers what was enqueued, and the
immediate one, which runs a task where it is enqueued. The variants on this project's backend put
`tests.upstream.backends` in their places: `Enqueueing` is the database backend plus the list
`results` and the method `clear()` that those tests look at; `Draining` also runs the queue after
each enqueue.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import django

HAS_DJANGO_TASKS = django.VERSION >= (6, 0)

ON_THIS_BACKEND = (
    # The backends, where they are imported and where settings name them.
    (
        r"from django\.tasks\.backends\.dummy import DummyBackend",
        "from tests.upstream.backends import Enqueueing as DummyBackend",
    ),
    (
        r"from django\.tasks\.backends\.immediate import ImmediateBackend",
        "from tests.upstream.backends import Draining as ImmediateBackend",
    ),
    (r"django\.tasks\.backends\.dummy\.DummyBackend", "tests.upstream.backends.Enqueueing"),
    (r"django\.tasks\.backends\.immediate\.ImmediateBackend", "tests.upstream.backends.Draining"),
    # Rows are written: the tests need a database, emptied after each, with this app's tables.
    (r"\bSimpleTestCase\b", "TransactionTestCase"),
    (r"available_apps = \[\]", "available_apps = None"),
)
# The logger keeps its name, "django.tasks".
NAMES_OF_DJANGO_TASKS = ((r'django\.tasks\b(?!")', "django_tasks"),)

IN_MEMORY = "changes the dummy backend's list in memory; this backend's results are rows"
PYTHON_311 = (
    {
        "test_custom_backend.CustomBackendTestCase.test_no_enqueue": (
            "Python words the error otherwise before 3.12, the oldest that Django 6 runs on"
        )
    }
    if sys.version_info < (3, 12)
    else {}
)
CAN_GET_RESULTS = "the immediate backend cannot get results; this one can"
NOT_ON_THIS_BACKEND = {
    **PYTHON_311,
    "test_dummy_backend.DummyBackendTestCase.test_refresh_result": IN_MEMORY,
    "test_dummy_backend.DummyBackendTestCase.test_refresh_result_async": IN_MEMORY,
    "test_immediate_backend.ImmediateBackendTestCase.test_cannot_get_result": CAN_GET_RESULTS,
    "test_immediate_backend.ImmediateBackendTestCase.test_cannot_refresh_result": CAN_GET_RESULTS,
    "test_immediate_backend.ImmediateBackendTestCase.test_cannot_pass_run_after": (
        "the immediate backend cannot defer tasks; this one can"
    ),
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way of running the tests.

    The tests that are not applicable are run too and must fail, so that the list stays true.
    """

    name: str
    what: str
    applies: Callable[[], bool] = lambda: True
    rewrites: tuple = ()  # pairs of a regular expression and its replacement
    not_applicable: dict = field(default_factory=dict)  # the reason for each test

    def rewrite(self, source):
        for pattern, replacement in self.rewrites:
            source = re.sub(pattern, replacement, source)
        return source


VARIANTS = {
    variant.name: variant
    for variant in [
        Variant(
            name="as-they-are",
            what="Django's tests of django.tasks, unchanged, with this app installed.",
            applies=lambda: HAS_DJANGO_TASKS,
        ),
        Variant(
            name="on-this-backend",
            what="Django's tests of django.tasks, on this project's backend.",
            applies=lambda: HAS_DJANGO_TASKS,
            rewrites=ON_THIS_BACKEND,
            not_applicable=NOT_ON_THIS_BACKEND,
        ),
        Variant(
            name="names-of-django_tasks",
            what="The same tests, importing django_tasks instead of django.tasks.",
            rewrites=NAMES_OF_DJANGO_TASKS,
            not_applicable=PYTHON_311,
        ),
        Variant(
            name="names-of-django_tasks-on-this-backend",
            what="The same tests, importing django_tasks, on this project's backend.",
            rewrites=ON_THIS_BACKEND + NAMES_OF_DJANGO_TASKS,
            not_applicable=NOT_ON_THIS_BACKEND,
        ),
    ]
}

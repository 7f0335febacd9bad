"""Who looks, and what is left behind."""

import pytest

from django_tasks.models import Rollup, RollupMark
from tests.control_room.conftest import root  # noqa: F401
from tests.worker.conftest import tables  # noqa: F401


@pytest.fixture
def forgotten_counts(tables):  # noqa: F811
    """Delete what keepers have counted, after their workers have ended: name it before `start`."""
    yield
    for model in (Rollup, RollupMark):
        model.objects.all().delete()

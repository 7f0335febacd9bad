"""A worker with a pool of others."""

import pytest

from django_tasks.models import WorkerRecord
from tests.worker import tasks
from tests.worker.conftest import clean, start, tables  # noqa: F401
from tests.worker.ledger import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True, available_apps=["tests"])


def test_worker_runs_tasks_in_a_pool_of_others(start):  # noqa: F811
    """Its row has the name of the class."""
    start("--pool", "tests.extensions.shop.pools.FreshThreadPool", "--concurrency", 2)

    results = [tasks.add.enqueue(1, 2), tasks.add_async.enqueue(3, 4)]

    assert [result.wait(PATIENCE) for result in results] == [3, 7]
    assert WorkerRecord.objects.get().pool == "FreshThreadPool"

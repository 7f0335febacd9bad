"""
Tasks of a release that not every worker has.

A worker knows them when its TASK_MODULES has this module: they are in no app's `tasks`.
"""

import time
from datetime import timedelta

from django_tasks import task
from tests.reliability.tasks import noted


@task(on_lost="fail")
def pay(key, seconds):
    """Must not be done twice."""
    with noted(key):
        time.sleep(seconds)


@task(result_ttl=timedelta(days=3650))
def sign(key):
    """Is kept for ten years."""
    with noted(key):
        return key

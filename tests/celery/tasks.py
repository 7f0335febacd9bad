"""Tasks in Celery's spelling, as projects have them."""

import os
import signal
import time
from pathlib import Path

from django_tasks.celery import Task, shared_task
from django_tasks.celery.exceptions import Ignore, Reject, SoftTimeLimitExceeded
from django_tasks.celery.utils.log import get_task_logger

logger = get_task_logger(__name__)


class Gone(Exception):
    """What a service raises that is not there."""


class Hooked(Task):
    """Writes down what is called, and in which order."""

    calls = []

    def before_start(self, task_id, args, kwargs):
        self.calls.append(("before_start", task_id, args, kwargs))

    def on_success(self, retval, task_id, args, kwargs):
        self.calls.append(("on_success", retval, task_id, args, kwargs))

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        self.calls.append(("on_retry", repr(exc), task_id, args, kwargs))

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        assert einfo.exception is exc
        assert "Traceback" in einfo.traceback
        self.calls.append(("on_failure", repr(exc), task_id, args, kwargs))

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        self.calls.append(("after_return", status, task_id))


@shared_task
def add(x, y=1):
    return x + y


@shared_task(name="sync")
def renamed(value):
    return value


@shared_task(bind=True)
def about(self, *args, **kwargs):
    request = self.request
    return {
        "id": request.id,
        "args": request.args,
        "kwargs": request.kwargs,
        "retries": request.retries,
        "called_directly": request.called_directly,
        "is_eager": request.is_eager,
        "headers": request.headers,
        "queue": request.delivery_info["routing_key"] if request.delivery_info else None,
        "parent_id": request.parent_id,
        "root_id": request.root_id,
        "hostname": request.hostname,
        "task": self.name,
    }


@shared_task
def takes_context(context, other=None):
    return [context, other]


@shared_task(bind=True, base=Hooked, max_retries=2, default_retry_delay=0)
def hooked(self, fails=0, error="gone"):
    if self.request.retries < fails:
        raise self.retry(exc=Gone(error))
    if error == "now":
        raise ValueError("no")
    return self.request.retries


@shared_task(autoretry_for=(Gone,), retry_backoff=2, max_retries=3)
def patient():
    raise Gone("still")


@shared_task(bind=True, max_retries=1, default_retry_delay=0)
def other_arguments(self, *args, **kwargs):
    if not self.request.retries:
        self.retry(args=(1, 2), kwargs={"x": 3}, countdown=0)
    return [list(args), kwargs]


@shared_task(bind=True)
def ignores(self, state=None):
    if state:
        self.update_state(state=state, meta={"why": "done elsewhere"})
    raise Ignore()


@shared_task
def rejects(requeue=False):
    raise Reject("no", requeue=requeue)


@shared_task
def echo(value):
    return value


@shared_task(bind=True)
def progresses(self):
    self.update_state(state="PROGRESS", meta={"done": 3})
    raise Gone("after progress")


@shared_task(bind=True)
def parent(self):
    child = about.delay()
    return [self.request.id, child.id, [c.id for c in self.request.children]]


@shared_task(soft_time_limit=0.3, time_limit=30)
def too_slow():
    try:
        time.sleep(20)
    except SoftTimeLimitExceeded:
        return "cleaned up"


@shared_task(queue="mail", priority=7, expires=600, acks_late=True, ignore_result=True)
def with_options():
    return "nobody reads it"


@shared_task
def sleeps(seconds):
    time.sleep(seconds)


@shared_task
def dies(path):
    die_once(path)


@shared_task(acks_late=True)
def dies_late(path):
    die_once(path)


def die_once(path):
    """Kill the process, the first time."""
    once = Path(path)
    if not once.exists():
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)

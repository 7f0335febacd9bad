"""
Celery's signals.

Those of tasks are sent around bodies and calls; those of workers in each process that runs tasks,
before its first and after its last. The others exist, and say when somebody connects that they are
never sent.
"""

from __future__ import annotations

import logging
import socket
from typing import Any

from .. import signals as native
from .utils.dispatch import Signal

_DATABASE = "no messages arrive here; workers claim rows."
_ONE = "a worker's process runs tasks, and no pool of it forks or spawns others by this name."

before_task_publish = Signal(
    "before_task_publish",
    {"body", "exchange", "routing_key", "headers", "properties", "declare", "retry_policy"},
)
after_task_publish = Signal("after_task_publish", {"body", "exchange", "routing_key"})
task_prerun = Signal("task_prerun", {"task_id", "task", "args", "kwargs"})
task_postrun = Signal("task_postrun", {"task_id", "task", "args", "kwargs", "retval"})
task_success = Signal("task_success", {"result"})
task_retry = Signal("task_retry", {"request", "reason", "einfo"})
task_failure = Signal(
    "task_failure", {"task_id", "exception", "args", "kwargs", "traceback", "einfo"}
)
task_internal_error = Signal(
    "task_internal_error", {"task_id", "args", "kwargs", "request", "exception", "einfo"}
)

worker_init = Signal("worker_init")
worker_process_init = Signal("worker_process_init")
worker_ready = Signal("worker_ready")
worker_process_shutdown = Signal("worker_process_shutdown", {"pid", "exitcode"})
worker_shutting_down = Signal("worker_shutting_down", {"sig", "how", "exitcode"})
worker_shutdown = Signal("worker_shutdown")
after_setup_logger = Signal("after_setup_logger", {"logger", "loglevel", "logfile", "format"})
after_setup_task_logger = Signal(
    "after_setup_task_logger", {"logger", "loglevel", "logfile", "format"}
)
#: Connecting to it keeps Celery from setting up logging; here Django's LOGGING always holds.
setup_logging = Signal("setup_logging", {"loglevel", "logfile", "format", "colorize"})

task_received = Signal("task_received", why_never=_DATABASE)
task_unknown = Signal(
    "task_unknown", why_never="a task that the worker's code does not know waits for one that does."
)
task_rejected = Signal("task_rejected", why_never=_DATABASE)
task_revoked = Signal(
    "task_revoked",
    {"request", "terminated", "signum", "expired"},
    why_never="a task may be cancelled where no code of yours runs; connect to"
    " django_tasks.signals.task_finished and look at the result's record_status.",
)
task_sent = Signal("task_sent", why_never="use after_task_publish.")
worker_before_create_process = Signal("worker_before_create_process", why_never=_ONE)
heartbeat_sent = Signal(
    "heartbeat_sent",
    why_never="leases are renewed in the database; for a health check use"
    " `manage.py runworker --health-port`.",
)
celeryd_init = Signal("celeryd_init", why_never="use worker_process_init.")
celeryd_after_setup = Signal("celeryd_after_setup", why_never="use worker_process_init.")
import_modules = Signal(
    "import_modules", why_never="name the modules in DJANGO_TASKS['TASK_MODULES']."
)
beat_init = Signal("beat_init", why_never="beats share the work and run no code of the project's.")
beat_embedded_init = Signal("beat_embedded_init", why_never=beat_init.why_never)
user_preload_options = Signal("user_preload_options", why_never="there are no such options.")
_POOLS = "the pool of greenlets starts with the process: use worker_process_init."
eventlet_pool_started = Signal("eventlet_pool_started", why_never=_POOLS)
eventlet_pool_preshutdown = Signal("eventlet_pool_preshutdown", why_never=_POOLS)
eventlet_pool_postshutdown = Signal("eventlet_pool_postshutdown", why_never=_POOLS)
eventlet_pool_apply = Signal("eventlet_pool_apply", why_never=_POOLS)


def _on_start(sender: object, worker_id: str, process: int, **kwargs: Any) -> None:
    nodename = f"celery@{socket.gethostname()}"
    told = {"loglevel": None, "logfile": None, "format": None, "colorize": None}
    after_setup_logger.send(None, logger=logging.getLogger(), **told)
    after_setup_task_logger.send(None, logger=logging.getLogger("celery.task"), **told)
    worker_init.send(nodename)
    worker_process_init.send(None)
    worker_ready.send(nodename)


def _on_stop(sender: object, worker_id: str, process: int, **kwargs: Any) -> None:
    import os

    nodename = f"celery@{socket.gethostname()}"
    worker_shutting_down.send(nodename, sig="SIGTERM", how="Warm", exitcode=0)
    worker_process_shutdown.send(None, pid=os.getpid(), exitcode=0)
    worker_shutdown.send(nodename)


native.worker_started.connect(_on_start, dispatch_uid="django_tasks.celery")
native.worker_stopped.connect(_on_stop, dispatch_uid="django_tasks.celery")

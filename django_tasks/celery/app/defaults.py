"""Celery's settings: which have an effect here, and what the others would have been for."""

from __future__ import annotations

from typing import Any

#: Settings that change what happens, with their defaults.
DEFAULTS: dict[str, Any] = {
    "task_always_eager": False,
    "task_eager_propagates": False,
    "task_default_queue": "default",
    "task_default_priority": None,
    "task_routes": None,
    "task_time_limit": None,
    "task_soft_time_limit": None,
    "task_acks_late": False,
    "task_ignore_result": False,
    "result_expires": None,
    "timezone": None,
    "enable_utc": True,
    "beat_schedule": {},
    "imports": (),
    "include": (),
}

#: Settings that are so in any case, so that nobody has to be told.
ALWAYS_SO = {
    "accept_content",
    "result_accept_content",
    "result_extended",
    "result_persistent",
    "task_track_started",
    "task_create_missing_queues",
    "task_reject_on_worker_lost",
    "task_store_errors_even_if_ignored",
    "worker_hijack_root_logger",
}

_BROKER = "there is no broker to connect to."
_OPTION = "it is an option of `manage.py runworker`."

#: Settings without an effect, and why.
IGNORED = {
    "broker_url": _BROKER,
    "broker_transport": _BROKER,
    "broker_transport_options": "a task may run for days: its worker renews a lease.",
    "broker_connection_retry": _BROKER,
    "broker_connection_retry_on_startup": _BROKER,
    "broker_connection_timeout": _BROKER,
    "broker_connection_max_retries": _BROKER,
    "broker_pool_limit": _BROKER,
    "broker_heartbeat": _BROKER,
    "broker_use_ssl": _BROKER,
    "redis_max_connections": _BROKER,
    "redis_backend_use_ssl": _BROKER,
    "result_backend": "results are kept with the tasks, in the database.",
    "result_backend_transport_options": "results are kept with the tasks, in the database.",
    "cache_backend": "results are kept with the tasks, in the database.",
    "task_serializer": "arguments are JSON.",
    "result_serializer": "results are JSON.",
    "event_serializer": "there are no events.",
    "task_compression": "rows are not compressed.",
    "task_queues": "a queue is there as soon as a task names it.",
    "task_default_exchange": "queues have no exchanges.",
    "task_default_exchange_type": "queues have no exchanges.",
    "task_default_routing_key": "queues have no routing keys.",
    "task_default_delivery_mode": "rows are always stored.",
    "task_queue_max_priority": "priorities go from -100 to 100 on every queue.",
    "task_inherit_parent_priority": "give the priority where the task is called.",
    "task_send_sent_event": "there are no events; the admin shows the tasks.",
    "task_publish_retry": "a task is a row of the caller's transaction.",
    "task_publish_retry_policy": "a task is a row of the caller's transaction.",
    "task_protocol": "there are no messages.",
    "task_annotations": "set the options on the tasks, or in a base class.",
    "task_remote_tracebacks": "tracebacks are always stored.",
    "worker_concurrency": _OPTION.replace("it is", "it is -c,"),
    "worker_pool": _OPTION.replace("it is", "it is --pool,"),
    "worker_prefetch_multiplier": "a slow task holds no other behind it.",
    "worker_max_tasks_per_child": _OPTION.replace("it is", "it is --max-tasks-per-child,"),
    "worker_max_memory_per_child": _OPTION.replace("it is", "it is --max-memory-per-child,"),
    "worker_disable_rate_limits": "tasks have no rate limits.",
    "worker_send_task_events": "there are no events; the admin shows the tasks.",
    "worker_redirect_stdouts": "what a body prints is printed.",
    "worker_redirect_stdouts_level": "what a body prints is printed.",
    "worker_log_format": "Django's LOGGING holds.",
    "worker_task_log_format": "Django's LOGGING holds.",
    "worker_log_color": "Django's LOGGING holds.",
    "worker_cancel_long_running_tasks_on_connection_loss": _BROKER,
    "worker_enable_remote_control": "workers are asked by rows of the database.",
    "worker_state_db": "what is revoked is in the database.",
    "worker_proc_alive_timeout": "a process that does not start is replaced.",
    "worker_lost_wait": "the lease says when a worker is lost.",
    "worker_deduplicate_successful_tasks": "a task that succeeded never runs again.",
    "beat_scheduler": "schedules are rows, edited in the admin.",
    "beat_schedule_filename": "schedules are rows of the database.",
    "beat_max_loop_interval": "see DJANGO_TASKS['BEAT_INTERVAL'].",
    "beat_sync_every": "schedules are rows of the database.",
    "beat_cron_starting_deadline": "see catch_up_deadline in the docs of schedules.",
    "database_url": "results are kept with the tasks.",
    "security_key": "there are no signed messages.",
}

#: Upper-case names of Celery 3, in today's.
OLD_NAMES = {
    "CELERY_ALWAYS_EAGER": "task_always_eager",
    "CELERY_EAGER_PROPAGATES_EXCEPTIONS": "task_eager_propagates",
    "CELERY_DEFAULT_QUEUE": "task_default_queue",
    "CELERY_ROUTES": "task_routes",
    "CELERYD_TASK_TIME_LIMIT": "task_time_limit",
    "CELERYD_TASK_SOFT_TIME_LIMIT": "task_soft_time_limit",
    "CELERY_ACKS_LATE": "task_acks_late",
    "CELERY_IGNORE_RESULT": "task_ignore_result",
    "CELERY_TASK_RESULT_EXPIRES": "result_expires",
    "CELERYBEAT_SCHEDULE": "beat_schedule",
    "CELERY_IMPORTS": "imports",
    "BROKER_URL": "broker_url",
    "CELERY_RESULT_BACKEND": "result_backend",
}

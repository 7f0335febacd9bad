DEFAULT_TASK_BACKEND_ALIAS = "default"
DEFAULT_TASK_QUEUE_NAME = "default"
DEFAULT_TASK_PRIORITY = 0
TASK_MIN_PRIORITY = -100
TASK_MAX_PRIORITY = 100

# What TaskResult.refresh() takes over from the stored result; the rest never changes.
TASK_REFRESH_ATTRS = {
    "status",
    "enqueued_at",
    "started_at",
    "last_attempted_at",
    "finished_at",
    "errors",
    "worker_ids",
    "_return_value",
}

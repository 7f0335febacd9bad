"""What the keys of a backend are called in Redis."""

from __future__ import annotations


class Keys:
    """The names of a backend's keys."""

    def __init__(self, alias: str, prefix: str) -> None:
        self._tag = f"{prefix}:{{django_tasks:{alias}}}" if prefix else f"{{django_tasks:{alias}}}"
        #: The queues that something was ever published to.
        self.names = f"{self._tag}:queues"
        #: What is there until all is lost; what changes when a task is to run later.
        self.generation, self.later = f"{self._tag}:generation", f"{self._tag}:later"

    def ready(self, queue_name: str) -> str:
        """Return the key of a queue's ready tasks."""
        return f"{self._tag}:ready:{queue_name}"

    def queue_of(self, key: bytes) -> str:
        """Return the queue whose key this is."""
        return key.decode().removeprefix(f"{self._tag}:ready:")

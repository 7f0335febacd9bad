"""The database backend in the shapes that Django's tests look at."""

from asgiref.sync import sync_to_async

from django_tasks.backends.database import DatabaseBackend
from django_tasks.models import TaskRecord
from django_tasks.testing import run_pending_tasks


class Enqueueing(DatabaseBackend):
    """The database backend, where no worker runs: what the tests expect of the dummy backend."""

    @property
    def results(self):
        ids = TaskRecord.objects.order_by("enqueued_at", "id").values_list("id", flat=True)
        return [self.get_result(str(id)) for id in ids]

    def clear(self):
        TaskRecord.objects.all().delete()


class Draining(DatabaseBackend):
    """The database backend, with a worker that runs each task right after it is enqueued."""

    def enqueue(self, task, args, kwargs):
        result = super().enqueue(task, args, kwargs)
        run_pending_tasks(backend=self.alias)
        result.refresh()
        return result

    async def aenqueue(self, task, args, kwargs):
        return await sync_to_async(self.enqueue, thread_sensitive=True)(task, args, kwargs)

"""A broker for workers on one host: a directory with an empty file per ready task."""

from collections.abc import Iterable
from pathlib import Path
from uuid import UUID, uuid4

from django.core.checks import CheckMessage, Error

from django_tasks.brokers.base import BrokerAway, Pulse, Ready
from django_tasks.runtime.outages import Outage


class DirectoryBroker:
    publishes = True

    def __init__(self, alias: str, *, path: str) -> None:
        self.path = Path(path)
        self.outage = Outage(f"the directory broker of {alias}", "workers look into the table; ")

    def check(self) -> Iterable[CheckMessage]:
        if not self.path.is_absolute():
            yield Error(f"The directory broker needs an absolute path, not {str(self.path)!r}.")

    def wakes(self, queue_name):
        return False

    def listen(self, to_database):
        return None

    def publish(self, ready):
        try:
            for task in ready:
                self.file_of(task).parent.mkdir(exist_ok=True)
                self.file_of(task).touch()
        except OSError as error:
            self.outage.began(error)
            return False
        self.outage.over()
        return True

    def file_of(self, task):
        """Names sort as tasks run: by priority, then by the id, which begins with the time."""
        return self.path / task.queue_name / f"{100 - task.priority:03} {task.id}"

    def expect(self):
        try:
            (self.path / ".later").write_text(str(uuid4()))
        except OSError as error:
            self.outage.began(error)

    def pulse(self):
        if not self.path.is_dir():
            raise BrokerAway(f"{self.path} is not there")
        later = self.path / ".later"
        inode = str(self.path.stat().st_ino).encode()  # another one if somebody emptied it
        return Pulse(generation=inode, later=later.read_bytes() if later.exists() else None)

    def missing(self, ready):
        return [task for task in ready if not self.file_of(task).exists()]

    def source(self, queues):
        return DirectorySource(self, queues)


class DirectorySource:
    def __init__(self, broker, queues):
        self.broker = broker
        self.queues = queues

    def take(self, limit, without):
        try:
            names = [d.name for d in self.broker.path.iterdir() if d.is_dir()]
        except OSError as error:
            raise BrokerAway(str(error)) from error
        taken = []
        for name in self.queues.ordered(names):
            if name not in without:
                taken += self.take_from(name, limit - len(taken))
        return taken

    def take_from(self, queue_name, limit):
        """Whoever deletes the file has the task."""
        taken = []
        for file in sorted((self.broker.path / queue_name).iterdir()):
            if len(taken) == limit:
                break
            try:
                file.unlink()
            except FileNotFoundError:
                continue
            priority, task_id = file.name.split()
            taken.append(Ready(UUID(task_id), queue_name, 100 - int(priority)))
        return taken

    def give_back(self, ready):
        self.broker.publish(ready)

    def watch(self, without):
        return []  # nothing to wait for: a process looks every POLL_INTERVAL

    def settle(self):
        pass  # what was taken is not there any more

    def unwatch(self):
        pass  # it waits for nothing

    def close(self):
        pass

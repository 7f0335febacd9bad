"""Extensions with one fault each."""

import os
import socket
import threading
import time
from contextvars import copy_context
from uuid import uuid4

from shop.brokers import DirectoryBroker, DirectorySource
from shop.pools import FreshThreadPool

from django_tasks.brokers.base import Pulse
from django_tasks.worker.pools.threads import ThreadCaller

# --- pools --------------------------------------------------------------------------------------


class LosesJobs(FreshThreadPool):
    def submit(self, jobs):
        super().submit([job for job in jobs if job.entry % 5])


class PostsTwice(FreshThreadPool):
    def work(self, job):
        super().work(job)
        self.post(job, self.bodies.run(job, ThreadCaller()))


class AsksNobodyBeforeItStarts(FreshThreadPool):
    def start(self, job):
        job.take()
        self.running += 1
        threading.Thread(target=self.work, args=(job,), daemon=True).start()


class KnowsNoSlots(FreshThreadPool):
    def __init__(self, runner, post, board, slots):
        super().__init__(runner, post, board, 1000)


class StartsOneByOne(FreshThreadPool):
    def __init__(self, runner, post, board, slots):
        super().__init__(runner, post, board, 1)


class CannotBeResized(FreshThreadPool):
    def resize(self, slots):
        pass


class LeavesAtOnce(FreshThreadPool):
    def run(self):
        runs = threading.Thread(target=super().run, daemon=True)
        runs.start()
        while not self.is_stopping:
            time.sleep(0.01)


class NeverLeaves(FreshThreadPool):
    def stop(self):
        pass


class KnowsNoSoftLimit(FreshThreadPool):
    def timer_of(self, job):
        return None


class NeverLooks(FreshThreadPool):
    def look(self):
        pass


class CancelsAll(FreshThreadPool):
    def look(self):
        for job in self.bodies.running():
            self.board.cancel(self.board.entry(job.entry), 0.0)
        super().look()


class CallsBodiesItself(FreshThreadPool):
    """It asks the board for nothing, and each body finds what the ones before have left."""

    def __init__(self, runner, post, board, slots):
        super().__init__(runner, post, board, slots)
        self.context = copy_context()

    def work(self, job):
        context = self.context.copy()
        outcome = context.run(self.bodies.runner.run, job, ThreadCaller())
        self.context = context
        self.post(job, outcome)
        with self.changed:
            self.running -= 1


class Dies(FreshThreadPool):
    def run(self):
        os._exit(3)


# --- brokers ------------------------------------------------------------------------------------


class RaisesWhenAway(DirectoryBroker):
    def publish(self, ready):
        for task in ready:
            self.file_of(task).parent.mkdir(exist_ok=True)
            self.file_of(task).touch()
        return True


class SaysThatItTookAll(DirectoryBroker):
    def publish(self, ready):
        super().publish(ready)
        return True


class TellsNobodyThatItIsAway(DirectoryBroker):
    def publish(self, ready):
        return self.path.is_dir() and super().publish(ready)

    def expect(self):
        if self.path.is_dir():
            super().expect()


class PretendsToBeWell(DirectoryBroker):
    def pulse(self):
        return super().pulse() if self.path.is_dir() else Pulse(None, None)


class ForgetsAll(DirectoryBroker):
    def publish(self, ready):
        return True


class MissesNothing(DirectoryBroker):
    def missing(self, ready):
        return []


class MissesAll(DirectoryBroker):
    def missing(self, ready):
        return ready


class AlwaysNew(DirectoryBroker):
    def pulse(self):
        return Pulse(uuid4().bytes, None)


class DeafToLater(DirectoryBroker):
    def expect(self):
        pass


class FindsFault(DirectoryBroker):
    def check(self):
        return ["wrong"]


class _WithSource(DirectoryBroker):
    def source(self, queues):
        return self.Source(self, queues)


class TakesAll(_WithSource):
    class Source(DirectorySource):
        def take(self, limit, without):
            return super().take(1000, without)


class Waits(_WithSource):
    class Source(DirectorySource):
        def take(self, limit, without):
            until = time.monotonic() + 2
            while not (taken := super().take(limit, without)) and time.monotonic() < until:
                time.sleep(0.05)
            return taken


class ServesAllQueues(_WithSource):
    class Source(DirectorySource):
        def take(self, limit, without):
            names = [d.name for d in self.broker.path.iterdir() if d.is_dir()]
            return [
                task for name in sorted(names, reverse=True) for task in self.take_from(name, 1)
            ]


class ServesPausedQueues(_WithSource):
    class Source(DirectorySource):
        def take(self, limit, without):
            return super().take(limit, ())


class NewestFirst(_WithSource):
    class Source(DirectorySource):
        def take(self, limit, without):
            return super().take(limit, without)[::-1]


class KeepsWhatItWasGivenBack(_WithSource):
    class Source(DirectorySource):
        def give_back(self, ready):
            pass


class NeverWakes(_WithSource):
    class Source(DirectorySource):
        def watch(self, without):
            self.ends = socket.socketpair()
            return self.ends[:1]

        def close(self):
            for end in self.ends:
                end.close()


class KeepsWhatItWaitedFor(_WithSource):
    class Source(DirectorySource):
        def watch(self, without):
            self.ahead = threading.Thread(target=self.prefetch)
            self.ahead.start()
            read, self.write = os.pipe()
            self.reader = os.fdopen(read)
            return [self.reader]

        def prefetch(self):
            while not super().take(1, ()):
                time.sleep(0.01)
            os.write(self.write, b".")

        def close(self):
            if hasattr(self, "reader"):
                self.reader.close()

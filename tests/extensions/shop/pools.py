"""A pool that starts a thread for each body: nothing that a thread keeps reaches the next one."""

import threading
from collections import deque

from django_tasks.exceptions import SoftTimeLimitExceeded
from django_tasks.worker.execution.limits import next_interruption
from django_tasks.worker.pools.threads import BodyThreads, ThreadCaller


class FreshThreadPool:
    def __init__(self, runner, post, board, slots):
        self.bodies = BodyThreads(runner)  # raises in a body from another thread
        self.post = post
        self.board = board
        self.slots = slots
        self.waiting = deque()
        self.running = 0
        self.is_stopping = False
        self.changed = threading.Condition(threading.RLock())
        self.is_to_look = False

    def submit(self, jobs):
        with self.changed:
            self.waiting.extend(jobs)
            self.changed.notify()

    def resize(self, slots):
        with self.changed:
            self.slots = slots
            self.changed.notify()

    def stop(self):
        with self.changed:
            self.is_stopping = True
            self.changed.notify()

    def look(self):
        self.is_to_look = True  # in a signal handler: no more than this

    def run(self):
        while not (self.is_stopping and not self.waiting and not self.running):
            with self.changed:
                while self.waiting and self.running < self.slots:
                    self.start(self.waiting.popleft())
                self.changed.wait(0.05)
            if self.is_to_look:
                self.is_to_look = False
                self.stop_bodies()

    def start(self, job):
        if job.take():  # False: it was given back meanwhile
            self.running += 1
            threading.Thread(target=self.work, args=(job,), daemon=True).start()

    def work(self, job):
        timer = self.timer_of(job)
        caller = ThreadCaller()
        caller.enter()
        outcome = self.bodies.run(job, caller)
        caller.tidy()
        caller.close()
        if timer is not None:
            timer.cancel()
        self.post(job, outcome)
        with self.changed:
            self.running -= 1
            self.changed.notify()

    def timer_of(self, job):
        seconds = job.task.soft_time_limit if job.task is not None else None
        if not seconds:
            return None
        timer = threading.Timer(seconds, self.bodies.stop, (job, SoftTimeLimitExceeded))
        timer.start()
        return timer

    def stop_bodies(self):
        for job in self.bodies.running():
            if kind := next_interruption(self.board, job):
                self.bodies.stop(job, kind)

"""Subscribers that the settings of tests name."""

import json
import os

told = []


def keep(batch):
    """Keep a batch for the test."""
    told.append(batch)


class Counter:
    """Counts tasks."""

    made = 0

    def __init__(self):
        type(self).made += 1

    def __call__(self, batch):
        told.append(len(batch.tasks))


class NeedsSomething:
    """Is not made without arguments."""

    def __init__(self, address): ...
    def __call__(self, batch): ...


def write(batch):
    """Write a line per task to the file that the environment names: for other processes."""
    for event in batch.tasks:
        line = {"event": batch.event, "process": batch.process, **event._asdict()}
        line["worker"] = str(batch.worker_id)
        with open(os.environ["BOOK_OF_EVENTS"], "a") as book:
            book.write(json.dumps(line, default=str) + "\n")

"""The app that brings these tests' tasks, receivers and patches into worker processes."""

import json
import os
from importlib import import_module

from django.apps import AppConfig


class WorkerTestsConfig(AppConfig):
    """Only in the settings of worker processes: see tests.worker.settings."""

    name = "tests.worker"
    label = "worker_tests"

    def ready(self):
        for path, value in json.loads(os.environ.get("WORKER_PATCHES", "{}")).items():
            module, _, name = path.rpartition(".")
            if not hasattr(import_module(module), name):
                raise AttributeError(f"WORKER_PATCHES: there is no {path}")
            setattr(import_module(module), name, value)
        if ledger := os.environ.get("WORKER_SIGNALS"):
            from tests.worker import receivers

            receivers.connect(ledger)

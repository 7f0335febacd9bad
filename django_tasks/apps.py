"""The Django app: settles the default backend, finds tasks modules, registers checks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.db.models.signals import post_migrate, pre_save
from django.utils.module_loading import autodiscover_modules
from django.utils.translation import gettext_lazy as _

from .worker import reload

#: Called when all apps are ready, before their tasks modules are imported, and after.
before_discovery: list[Callable[[], None]] = []
after_discovery: list[Callable[[], None]] = []

#: QUEUES is empty: whoever sets nothing may name any queue.
DEFAULT_TASKS = {
    "default": {"BACKEND": "django_tasks.backends.database.DatabaseBackend", "QUEUES": []}
}


class DjangoTasksConfig(AppConfig):
    """Background tasks."""

    name = "django_tasks"
    label = "django_tasks"
    verbose_name = _("Background tasks")
    default_auto_field = "django.db.models.BigAutoField"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        if reload.is_asked_for(sys.argv):
            reload.take_over()  # before code is imported that may be half-typed
        use_database_backend_by_default()

    def import_models(self) -> None:
        # As soon as there are models: other apps may use schedules in their ready(), before ours.
        super().import_models()
        from .models.schedules import use_store
        from .store.schedules import methods

        use_store(methods)

    def ready(self) -> None:
        from . import checks  # noqa: F401 - registers the checks
        from .backends.waiting import use_diagnosis
        from .models import Schedule
        from .monitoring.diagnosis import diagnose
        from .store.schedules.after_migrate import sync_schedules
        from .store.schedules.fixtures import plan_loaded_schedule

        use_diagnosis(diagnose)
        pre_save.connect(
            plan_loaded_schedule, sender=Schedule, dispatch_uid="django_tasks.plan_loaded_schedule"
        )
        _after_the_last_app(self, import_tasks)

        post_migrate.connect(
            sync_schedules, sender=self, dispatch_uid="django_tasks.sync_schedules"
        )


def import_tasks() -> None:
    """
    Import the tasks module of each app, and TASK_MODULES: decorating makes tasks known.

    A mistake in DJANGO_TASKS is left to the checks, and to whoever reads a setting.
    """
    from . import conf

    for call in before_discovery:
        call()
    autodiscover_modules("tasks")
    for module in conf.current()[0].TASK_MODULES:
        if not conf.is_missing(module):
            import_module(module)
    for call in after_discovery:
        call()


def _after_the_last_app(config: AppConfig, do: Callable[[], None]) -> None:
    """
    Call `do` when all apps are ready, but still in django.setup(), so that what it raises is seen.

    What an app listed after this one does in its ready() is then there for the tasks. Django has
    no hook for that moment; it is the end of the last app's ready().
    """
    assert config.apps is not None  # they are being made ready
    *_, last = config.apps.get_app_configs()
    if last is config:
        do()
        return
    its_ready = last.ready

    def ready() -> None:
        its_ready()
        do()

    last.ready = ready  # type: ignore[method-assign]


def use_database_backend_by_default() -> None:
    """
    Make the database backend the default when the project does not set TASKS.

    It happens while Django creates the app's config, before any app's models or tasks modules
    are imported, so that every ``@task`` sees it.
    """
    if settings.is_overridden("TASKS"):  # type: ignore[misc]
        return
    settings.TASKS = DEFAULT_TASKS
    from .dep14.private import read_tasks_setting_again

    read_tasks_setting_again()

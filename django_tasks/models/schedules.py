"""The tables of periodic schedules, and of what they made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NoReturn, Protocol, Unpack
from uuid import UUID

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from ..definitions.results import TaskResult
from ..definitions.schedule_options import ScheduleOptions
from ..definitions.task import Task
from ..schedules import Spec


class ScheduleStore(Protocol):
    """What the methods of schedules do: `store.schedules.methods`, which says where each stands."""

    def schedule(
        self, name: str, task: Task[..., Any], when: Spec, options: Mapping[str, Any]
    ) -> Schedule: ...
    def edit(
        self,
        row: Schedule,
        options: Mapping[str, Any],
        *,
        task: Task[..., Any] | None,
        name: str | None,
        using: str,
    ) -> None: ...
    def save(
        self, row: Schedule, *, using: str, is_new: bool, only: Iterable[str] | None
    ) -> None: ...
    def delete(self, ids: Iterable[int], *, using: str) -> int: ...
    def enable(self, row: Schedule, *, using: str) -> None: ...
    def set_enabled(self, ids: Iterable[int], enabled: bool, *, using: str) -> int: ...
    def pause(self, ids: Iterable[int], until: datetime | None, *, using: str) -> int: ...
    def run_now(self, schedule_id: int, *, using: str) -> TaskResult[Any]: ...
    def next_slots(
        self, row: Schedule, count: int, *, after: datetime | None
    ) -> list[datetime]: ...
    def task_database(self) -> str: ...


_store: ScheduleStore


def use_store(store: ScheduleStore) -> None:
    """Let `store` do what the methods of schedules say: it imports models, not they it."""
    global _store
    _store = store


class ScheduleKind(models.TextChoices):
    """Which columns say when a schedule is due."""

    INTERVAL = "INTERVAL", pgettext_lazy("schedule kind", "Interval")
    CRONTAB = "CRONTAB", pgettext_lazy("schedule kind", "Crontab")
    SOLAR = "SOLAR", pgettext_lazy("schedule kind", "Sun")
    CLOCKED = "CLOCKED", pgettext_lazy("schedule kind", "Once")


class DayMatch(models.TextChoices):
    """How a crontab's day of the month and day of the week go together when both are given."""

    ANY = "ANY", pgettext_lazy("crontab days", "Either matches (cron)")
    ALL = "ALL", pgettext_lazy("crontab days", "Both match (Celery)")


class Overlap(models.TextChoices):
    """What a due slot does while a task of its schedule, by a slot or by hand, is unfinished."""

    ALLOW = "ALLOW", pgettext_lazy("overlap policy", "Allow")
    SKIP = "SKIP", pgettext_lazy("overlap policy", "Skip")
    QUEUE_ONE = "QUEUE_ONE", pgettext_lazy("overlap policy", "Queue one")
    CANCEL_PREVIOUS = "CANCEL_PREVIOUS", pgettext_lazy("overlap policy", "Cancel previous")


class CatchUp(models.TextChoices):
    """What becomes of slots that passed while no beat ran."""

    NONE = "NONE", pgettext_lazy("catch-up policy", "None")
    LATEST = "LATEST", pgettext_lazy("catch-up policy", "Latest")
    ALL = "ALL", pgettext_lazy("catch-up policy", "All")


class Owner(models.TextChoices):
    """Who declares a schedule."""

    CODE = "CODE", pgettext_lazy("schedule owner", "Code")
    ADMIN = "ADMIN", pgettext_lazy("schedule owner", "Admin")


class RunOutcome(models.TextChoices):
    """What became of one slot."""

    ENQUEUED = "ENQUEUED", pgettext_lazy("slot outcome", "Enqueued")
    #: The overlap policy left it out.
    SKIPPED = "SKIPPED", pgettext_lazy("slot outcome", "Skipped: still running")
    #: The catch-up policy left it out, and `left_out` slots with it.
    MISSED = "MISSED", pgettext_lazy("slot outcome", "Missed")
    #: Somebody ran it by hand.
    MANUAL = "MANUAL", pgettext_lazy("slot outcome", "Run by hand")


class ScheduleManager(models.Manager["Schedule"]):
    """Makes schedules by code."""

    def get_by_natural_key(self, name: str) -> Schedule:
        """Return the schedule of this name, for fixtures. Raise Schedule.DoesNotExist."""
        return self.get(name=name)

    def schedule(
        self,
        name: str,
        task: Task[..., Any],
        when: Spec,
        **options: Unpack[ScheduleOptions],
    ) -> Schedule:
        """
        Make a schedule of this name, or give the one that has it these values; return it.

        `options` are those of a schedule in code; one that is not given has its default, but a
        schedule that somebody disabled or paused stays so unless `enabled` is given. When nothing
        differs nothing is written, so this may be called as often as you like. It is stored where
        the task's backend stores its tasks; beats follow within BEAT_INTERVAL seconds. Raise
        ValidationError with the columns' names for what a beat could not enqueue, and for the
        name of a schedule that the code declares.
        """
        return _store.schedule(name, task, when, options)

    def bulk_create(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Raise TypeError: rows that are not planned would never run."""
        raise TypeError(
            "Schedules are made one by one, by Schedule.objects.schedule(), create() or save():"
            " bulk_create() would not plan their next run."
        )


class Schedule(models.Model):
    """
    When to enqueue a task, again and again.

    Only `store` writes to it, also when save() and the other methods here are called; update() of
    a queryset passes it by and moves no run. A slot is a moment at which it is due; slots follow
    from these columns, never from when a beat looked. Durations are seconds; times are the
    database's.
    """

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(_("name"), max_length=200, unique=True)
    description = models.TextField(_("description"), blank=True, default="")
    task_path = models.CharField(_("task"), max_length=255)
    args = models.TextField(_("arguments"), default="[]")
    kwargs = models.TextField(_("keyword arguments"), default="{}")
    #: The backend that the task is enqueued on. Blank: the task's own.
    backend = models.CharField(_("backend"), max_length=64, blank=True, default="")
    #: Blank: the task's own.
    queue_name = models.CharField(_("queue"), max_length=100, blank=True, default="")
    #: None: the task's own.
    priority = models.SmallIntegerField(_("priority"), null=True, blank=True)

    kind = models.CharField(_("kind"), max_length=10, choices=ScheduleKind.choices)
    #: INTERVAL: seconds between two slots.
    every = models.FloatField(_("every"), null=True, blank=True)
    #: INTERVAL: slots are whole multiples of `every` away from it. None: set when first saved.
    anchor_at = models.DateTimeField(_("counted from"), null=True, blank=True)
    #: CRONTAB: five fields.
    crontab = models.CharField(_("crontab"), max_length=255, blank=True, default="")
    day_match = models.CharField(
        _("days"), max_length=3, choices=DayMatch.choices, default=DayMatch.ANY
    )
    #: SOLAR: dawn, sunrise, noon, sunset or dusk (see `schedules.SOLAR_EVENTS`).
    solar_event = models.CharField(_("event of the sun"), max_length=24, blank=True, default="")
    latitude = models.FloatField(_("latitude"), null=True, blank=True)
    longitude = models.FloatField(_("longitude"), null=True, blank=True)
    #: CLOCKED: the one slot.
    clocked_at = models.DateTimeField(_("at"), null=True, blank=True)
    #: IANA name. Blank: settings.TIME_ZONE.
    timezone = models.CharField(_("time zone"), max_length=64, blank=True, default="")

    start_at = models.DateTimeField(_("from"), null=True, blank=True)
    end_at = models.DateTimeField(_("until"), null=True, blank=True)
    #: Slots that it enqueues at most. None: no limit.
    max_runs = models.PositiveIntegerField(_("most runs"), null=True, blank=True)
    #: A task not started this many seconds after its slot is cancelled. None: the task's own.
    expires = models.FloatField(_("expires after"), null=True, blank=True)
    #: The task starts up to this many seconds after its slot, at random.
    jitter = models.FloatField(_("jitter"), default=0.0)
    overlap = models.CharField(
        _("overlap"), max_length=16, choices=Overlap.choices, default=Overlap.ALLOW
    )
    catch_up = models.CharField(
        _("catch-up"), max_length=8, choices=CatchUp.choices, default=CatchUp.LATEST
    )
    #: ALL: the newest this many. None: no limit.
    catch_up_limit = models.PositiveIntegerField(_("at most"), null=True, blank=True)
    #: LATEST and ALL: slots later than this many seconds are left out. None: no limit.
    catch_up_deadline = models.FloatField(_("no later than"), null=True, blank=True)

    enabled = models.BooleanField(_("enabled"), default=True)
    #: No slots until then. None: not paused.
    paused_until = models.DateTimeField(_("paused until"), null=True, blank=True)
    owner = models.CharField(
        _("owner"), max_length=5, choices=Owner.choices, default=Owner.ADMIN, editable=False
    )
    #: What the code declares, as JSON; blank for the admin's own. Differs from the row: drift.
    #: Of a schedule that was imported: what it was then.
    declared = models.TextField(_("declared in code"), default="", editable=False)
    #: False: it was declared in code and is there no more.
    is_declared = models.BooleanField(_("in the code"), default=True, editable=False)
    #: Why it does not run. Blank: nothing is wrong.
    error = models.TextField(_("error"), default="", editable=False)

    #: When a beat looks at it: at its next slot, or later while that waits. None: never.
    next_run_at = models.DateTimeField(_("next run"), null=True, editable=False)
    #: The first slot not decided on, while `next_run_at` is later than it. None: nothing waits.
    waiting_slot_at = models.DateTimeField(_("waiting slot"), null=True, editable=False)
    #: The latest slot that was decided on. It only grows: no slot up to it ever runs again.
    last_slot_at = models.DateTimeField(_("last slot"), null=True, editable=False)
    last_run_at = models.DateTimeField(_("last run"), null=True, editable=False)
    #: The task made last. No foreign key: tasks are pruned.
    last_task_id = models.UUIDField(_("last task"), null=True, editable=False)
    #: Tasks that had not finished when the last one was made, as a JSON list of ids, the oldest
    #: first. None: there were none.
    earlier_task_ids = models.TextField(null=True, editable=False)
    #: Slots enqueued; runs by hand do not count.
    runs = models.PositiveBigIntegerField(_("runs"), default=0, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    changed_at = models.DateTimeField(_("changed"), auto_now=True)

    objects = ScheduleManager()

    class Meta:
        verbose_name = _("schedule")
        verbose_name_plural = _("schedules")
        ordering = ("name",)
        permissions = [
            ("run_schedule", "Can run schedules by hand"),
            ("pause_schedule", "Can pause, enable and disable schedules"),
        ]
        indexes = [
            # beat: what is due, and when next
            models.Index(
                name="django_tasks_due",
                fields=["next_run_at"],
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="django_tasks_kind_known", condition=Q(kind__in=ScheduleKind.values)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(
        self,
        *,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        """
        Check the columns, store them, and plan the next run.

        With `update_fields`, the other columns are read from the database. Raise ValidationError
        with the columns' names, Schedule.DoesNotExist for a row that was deleted meanwhile.
        """
        _store.save(
            self, using=self._database(using), is_new=bool(force_insert), only=update_fields
        )

    def natural_key(self) -> tuple[str]:
        """Return what it is called in fixtures made by `dumpdata --natural-primary`."""
        return (self.name,)

    def edit(
        self,
        *,
        schedule: Spec | None = None,
        task: Task[..., Any] | None = None,
        name: str | None = None,
        **options: Unpack[ScheduleOptions],
    ) -> None:
        """
        Change what is given, keep the rest, and save.

        Raise ValidationError with the columns' names, Schedule.DoesNotExist.
        """
        given = {**options} if schedule is None else {**options, "schedule": schedule}
        _store.edit(self, given, task=task, name=name, using=self._database())

    def delete(
        self, using: str | None = None, keep_parents: bool = False
    ) -> tuple[int, dict[str, int]]:
        """
        Delete it and its runs, not its tasks; return how many schedules, as Django does.

        One that the code declares comes back with the next migrate: disable it instead.
        """
        count = _store.delete([self.pk], using=self._database(using))
        self.pk = None
        return count, {self._meta.label: count}

    def pause(self, until: datetime) -> None:
        """Leave out the slots up to then. Raise ValidationError unless it is ahead, and aware."""
        _store.pause([self.pk], until, using=self._database())
        self.refresh_from_db()

    def resume(self) -> None:
        """End the pause. Slots that passed in it stay left out."""
        _store.pause([self.pk], None, using=self._database())
        self.refresh_from_db()

    def enable(self) -> None:
        """
        Switch it on. Slots that passed meanwhile stay left out.

        Raise ValidationError if it says no time, as somebody broke its row: it stays disabled.
        """
        _store.enable(self, using=self._database())

    def disable(self) -> None:
        """Switch it off until it is enabled again."""
        _store.set_enabled([self.pk], False, using=self._database())
        self.refresh_from_db()

    def run_now(self) -> TaskResult[Any]:
        """
        Enqueue its task once, whether or not it is enabled; slots stay as they are.

        Raise ValidationError when its task or its arguments are wrong, Schedule.DoesNotExist.
        """
        return _store.run_now(self.pk, using=self._database())

    def next_slots(self, count: int = 1, *, after: datetime | None = None) -> list[datetime]:
        """
        Return the next slots, at most `count`, after `after` (None: now, by the database's clock).

        Pause, start, end and the number of runs left are obeyed; `enabled` is not. Raise
        InvalidSchedule, or ValidationError, if its columns say no time.
        """
        return _store.next_slots(self, count, after=after)

    @property
    def tasks_in_hand(self) -> list[UUID]:
        """
        The tasks that overlap policies ask about, the oldest first; they may have finished since.

        The last one, by a slot or by hand, and those that had not finished when it was made.
        """
        last = () if self.last_task_id is None else (self.last_task_id,)
        try:
            return [*map(UUID, json.loads(self.earlier_task_ids or "[]")), *last]
        except (AttributeError, TypeError, ValueError):  # somebody wrote SQL
            return [*last]

    def _database(self, using: str | None = None) -> str:
        return using or self._state.db or _store.task_database()


class ScheduleRun(models.Model):
    """One slot of a schedule and what became of it. Written with the task, in one transaction."""

    id = models.BigAutoField(primary_key=True)
    schedule = models.ForeignKey(
        Schedule, on_delete=models.CASCADE, related_name="run_set", verbose_name=_("schedule")
    )
    slot_at = models.DateTimeField(_("slot"))
    outcome = models.CharField(_("outcome"), max_length=8, choices=RunOutcome.choices)
    #: The task it made. No foreign key: tasks are pruned.
    task_id = models.UUIDField(_("task"), null=True)
    #: MISSED and SKIPPED: how many slots before this one were left out with it.
    left_out = models.PositiveIntegerField(_("slots left out"), default=0)
    created_at = models.DateTimeField(_("enqueued"))

    class Meta:
        verbose_name = _("run")
        verbose_name_plural = _("runs")
        ordering = ("-slot_at",)
        constraints = [
            # A slot makes one task, however many beats run.
            models.UniqueConstraint(name="django_tasks_slot", fields=["schedule", "slot_at"]),
        ]
        indexes = [
            # prune
            models.Index(name="django_tasks_run_age", fields=["created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.schedule_id} {self.slot_at:%Y-%m-%d %H:%M:%S}"

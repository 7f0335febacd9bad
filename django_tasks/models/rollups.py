"""The table of counts that charts are drawn from, and how far the counting came."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

#: The span of the one row per queue that counts everything, and is never deleted: it only grows.
EVER = 0


class Span(models.IntegerChoices):
    """The lengths of time that are counted, in seconds."""

    MINUTE = 60, pgettext_lazy("span", "Minute")
    HOUR = 3600, pgettext_lazy("span", "Hour")


class Rollup(models.Model):
    """
    The tasks of one queue that finished in one minute or hour, or (EVER) since counting began.

    Only `store.rollups.counting` writes to it. No row: none finished.

    Histograms are JSON, see `store.rollups.histograms`.
    """

    id = models.BigAutoField(primary_key=True)
    span = models.PositiveSmallIntegerField(_("span"), choices=Span.choices)
    #: Whole minutes and hours of UTC.
    starts_at = models.DateTimeField(_("from"))
    backend = models.CharField(_("backend"), max_length=64)
    queue_name = models.CharField(_("queue"), max_length=100)
    successful = models.BigIntegerField(_("successful"), default=0)
    failed = models.BigIntegerField(_("failed"), default=0)
    cancelled = models.BigIntegerField(_("cancelled"), default=0)
    #: Attempts that the tasks needed beyond their first.
    retries = models.BigIntegerField(_("retries"), default=0)
    #: From when a task could have run to its start; of those that ran once.
    wait_times = models.TextField(_("wait times"), default="[]")
    #: Of the last attempt.
    run_times = models.TextField(_("run times"), default="[]")

    class Meta:
        verbose_name = _("rollup")
        verbose_name_plural = _("rollups")
        ordering = ("span", "starts_at")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                name="django_tasks_rollup_key",
                fields=["span", "starts_at", "backend", "queue_name"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.queue_name} {self.starts_at:%Y-%m-%d %H:%M}"


class RollupMark(models.Model):
    """How far the counting came: one row. Whoever moves it counts what it moved over."""

    id = models.PositiveSmallIntegerField(primary_key=True)
    #: Tasks that finished before are counted.
    counted_until = models.DateTimeField(_("counted until"))

    class Meta:
        verbose_name = _("rollup mark")
        verbose_name_plural = _("rollup marks")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.counted_until:%Y-%m-%d %H:%M:%S}"

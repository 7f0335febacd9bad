"""The table of what people said about queues."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _


class QueueStates(models.QuerySet["QueueState"]):
    """Chosen by what people said."""

    def paused(self) -> Self:
        """Return those of queues that workers leave out."""
        return self.filter(paused_at__isnull=False)


class QueueState(models.Model):
    """
    Whether one queue of one backend is paused. A queue without a row runs.

    Only `store.workers.queues` writes to it.
    """

    id = models.BigAutoField(primary_key=True)
    backend = models.CharField(_("backend"), max_length=64)
    queue_name = models.CharField(_("queue"), max_length=100)
    #: Since when workers leave it out. None: it runs.
    paused_at = models.DateTimeField(_("paused"), null=True)
    #: Who paused it, as text: people and machines come and go.
    paused_by = models.CharField(_("paused by"), max_length=255, blank=True, default="")
    created_at = models.DateTimeField(_("created"))
    changed_at = models.DateTimeField(_("changed"))

    objects = QueueStates.as_manager()

    class Meta:
        verbose_name = _("queue")
        verbose_name_plural = _("queues")
        ordering = ("backend", "queue_name")
        default_permissions = ("view",)
        permissions = [("manage_queues", "Can pause, resume and purge queues")]
        constraints = [
            models.UniqueConstraint(name="django_tasks_queue", fields=["backend", "queue_name"]),
        ]

    def __str__(self) -> str:
        return self.queue_name

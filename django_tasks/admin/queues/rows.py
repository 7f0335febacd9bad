"""Format one row of the list of queues."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from ...monitoring.queue_list import QueueKey, QueueOverview
from ...statuses import Status
from .. import formats


@dataclass(frozen=True, slots=True)
class QueueRow:
    """A queue, and where its tasks are listed (empty: nowhere)."""

    queue: QueueOverview
    tasks_url: str

    @property
    def key(self) -> QueueKey:
        """The backend and the name."""
        return self.queue.key

    @property
    def value(self) -> str:
        """The queue as a form names it."""
        return value_of(self.key)

    @property
    def name(self) -> str:
        """The name, as a link to all tasks of the queue."""
        return self._link(self.key.name)

    @property
    def state(self) -> str:
        """Whether it is paused, in words."""
        if self.queue.paused_at is None:
            return formats.badge(pgettext("queue", "Runs"), "successful")
        return formats.badge(pgettext("queue", "Paused"), "cancelled")

    @property
    def pause(self) -> str:
        """Since when it is paused, and by whom; empty when it runs."""
        if self.queue.paused_at is None:
            return ""
        since = formats.timestamp(self.queue.paused_at)
        if not self.queue.paused_by:
            return format_html(_("since {}"), since)
        return format_html(_("since {} by {}"), since, self.queue.paused_by)

    @property
    def warning(self) -> str:
        """What somebody should know about its workers; empty when all is well."""
        behind = self.queue.workers_behind
        if behind:
            text = ngettext(
                "%d worker has not left it out yet.", "%d workers have not left it out yet.", behind
            )
            return text % behind
        has_tasks = self.queue.ready or self.queue.scheduled
        return _("No worker serves it.") if has_tasks and not self.queue.workers else ""

    @property
    def ready(self) -> str:
        """How many are ready, with a link."""
        return self._link(str(self.queue.ready), Status.READY) if self.queue.ready else "0"

    @property
    def oldest(self) -> str:
        """For how long the first could have run."""
        return formats.duration(self.queue.oldest)

    @property
    def priorities(self) -> str:
        """How many of those next in turn have which priority, the first to run first."""
        texts = [f"{priority}: {count}" for priority, count in self.queue.priorities]
        is_capped = self.queue.ready > sum(count for _, count in self.queue.priorities)
        return ", ".join(texts + ["…"] * is_capped) or formats.NOTHING

    @property
    def running(self) -> str:
        """How many are running, with a link."""
        return self._link(str(self.queue.running), Status.RUNNING) if self.queue.running else "0"

    @property
    def scheduled(self) -> str:
        """How many are scheduled, with a link."""
        count = self.queue.scheduled
        return self._link(str(count), Status.SCHEDULED) if count else "0"

    @property
    def workers(self) -> int:
        """How many live workers serve it."""
        return self.queue.workers

    def _link(self, text: str, status: Status | None = None) -> SafeString | str:
        if not self.tasks_url:
            return text
        filters = {"queue_name": self.key.name} | ({"status": status.value} if status else {})
        return format_html('<a href="{}?{}">{}</a>', self.tasks_url, urlencode(filters), text)


def value_of(key: QueueKey) -> str:
    """
    Return a queue as a form names it: in letters that come back as they were sent.

    Control characters would be shown as escapes, and browsers change the ends of lines.
    """
    return f"{quote(key.backend, safe='')} {quote(key.name, safe='')}"

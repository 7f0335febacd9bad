"""The screen of queues: what is in them, and pausing, resuming and purging them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, DELETION, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.csrf import csrf_protect

from ...conf import app_settings
from ...models import QueueState, TaskRecord
from ...monitoring.queue_list import QueueKey, Queues, waiting_count
from ...store.databases import task_database
from ...store.tasks import deletions
from ...store.workers import queues
from ..base import ReadOnlyAdmin
from ..tasks.actions import MOST_SECONDS
from .rows import QueueRow, value_of

#: Queues on one page.
PAGE = 25


@admin.register(QueueState)
class QueueStateAdmin(ReadOnlyAdmin):
    """
    Lists all queues that settings, tasks, workers or a pause name, not only those with a row.

    People may pause, resume and purge them.
    """

    class Media:
        css = {"all": ["django_tasks/control.css"]}

    # --- who may ----------------------------------------------------------------------------------

    def has_manage_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may pause and resume queues."""
        return request.user.has_perm("django_tasks.manage_queues")

    def has_purge_permission(self, request: HttpRequest) -> bool:
        """Tell whether the user may delete what waits in queues."""
        may_delete = request.user.has_perm("django_tasks.delete_taskrecord")
        return may_delete and self.has_manage_permission(request)

    # --- the list ---------------------------------------------------------------------------------

    @method_decorator(csrf_protect)
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        if not self.has_view_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            return self._act(request) or HttpResponseRedirect(request.get_full_path())
        return self._list(request, extra_context)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Lead to the list, from the history: a queue has no page of its own."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(self.address("changelist"))

    def _list(self, request: HttpRequest, extra_context: Any) -> HttpResponse:
        found = Queues.of(task_database())
        query = request.GET.get("q", "").strip()
        keys = [key for key in found.keys if query.lower() in key.name.lower()]
        page = Paginator(keys, PAGE).get_page(request.GET.get("p"))
        tasks_url = ""
        if self.admin_site.is_registered(TaskRecord):
            tasks_url = reverse(
                "admin:django_tasks_taskrecord_changelist", current_app=self.admin_site.name
            )
        looked_at = found.look_at(list(page.object_list))
        context = {
            "title": self.opts.verbose_name_plural.capitalize(),  # type: ignore[union-attr]
            "rows": [QueueRow(queue, tasks_url) for queue in looked_at],
            "has_backends": len({key.backend for key in found.keys}) > 1,
            "page": page,
            "query": query,
            "query_string": urlencode({"q": query}) if query else "",
            "may_manage": self.has_manage_permission(request),
            "may_purge": self.has_purge_permission(request),
            "media": self.media,
        }
        return self.own_page(request, "queuestate/change_list", **context, **(extra_context or {}))

    # --- actions ----------------------------------------------------------------------------------

    def _act(self, request: HttpRequest) -> HttpResponse | None:
        """Do what the button says to the chosen queues; return a page if it asks first."""
        deed = request.POST.get("deed", "")
        if deed not in ("pause", "resume", "purge"):
            raise PermissionDenied
        may = self.has_purge_permission if deed == "purge" else self.has_manage_permission
        if not may(request):
            raise PermissionDenied
        found = Queues.of(task_database())
        by_value = {value_of(key): key for key in found.keys}
        chosen = [by_value[v] for v in request.POST.getlist("queue") if v in by_value]
        if not chosen:
            self.message_user(request, _("Choose at least one queue."), messages.WARNING)
            return None
        if deed == "purge":
            return self._purge(request, found, chosen)
        self._switch(request, chosen, is_pause=deed == "pause")
        return None

    def _switch(self, request: HttpRequest, chosen: Sequence[QueueKey], *, is_pause: bool) -> None:
        """Pause or resume each, and tell which were so already."""
        changed: list[str] = []
        same: list[str] = []
        for key in chosen:
            if is_pause:
                is_new = queues.pause(task_database(), *key, str(request.user))
            else:
                is_new = queues.resume(task_database(), *key)
            (changed if is_new else same).append(key.name)
            if is_new:
                self._log(request, key, _("Paused.") if is_pause else _("Resumed."))
        done, seconds = ", ".join(changed), f"{app_settings.POLL_INTERVAL:g}"
        texts = []
        if changed and is_pause:
            text = _("Paused: %(queues)s. Workers start no more of their tasks within %(s)s s.")
            texts.append(text % {"queues": done, "s": seconds})
        elif changed:
            texts.append(_("Resumed: %s.") % done)
        if same:
            text = _("Paused already: %s.") if is_pause else _("Not paused: %s.")
            texts.append(text % ", ".join(same))
        level = messages.WARNING if same else messages.SUCCESS
        self.message_user(request, " ".join(texts), level)

    def _purge(
        self, request: HttpRequest, found: Queues, chosen: Sequence[QueueKey]
    ) -> HttpResponse | None:
        """Ask, then delete what has not started in these queues, as long as there is time."""
        if "confirmed" not in request.POST:
            return self._ask(request, chosen)
        end = time.monotonic() + MOST_SECONDS
        for key in chosen:
            self._purge_one(request, key, found.running[key], end - time.monotonic())
        return None

    def _purge_one(self, request: HttpRequest, key: QueueKey, running: int, seconds: float) -> None:
        deleted, is_done = deletions.purge(task_database(), *key, seconds=seconds)
        texts = [
            ngettext(
                "%(count)d task of queue “%(queue)s” was deleted.",
                "%(count)d tasks of queue “%(queue)s” were deleted.",
                deleted,
            )
            % {"count": deleted, "queue": key.name}
        ]
        if running:
            texts.append(_("Running tasks stay: %s.") % running)
        if not is_done:
            texts.append(_("Time was up before all were deleted: do it again for the rest."))
        if deleted:
            self._log(request, key, _("Purged: %d tasks deleted.") % deleted, DELETION)
        level = messages.SUCCESS if is_done and deleted else messages.WARNING
        self.message_user(request, " ".join(texts), level)

    def _ask(self, request: HttpRequest, chosen: Sequence[QueueKey]) -> HttpResponse:
        counts = [(key.name, waiting_count(task_database(), key)) for key in chosen]
        return self.own_page(
            request,
            "confirm",
            title=_("Purge queues") if len(chosen) > 1 else _("Purge queue"),
            crumb=_("Purge queue"),
            question=_question(counts),
            points=[_count_text(*count) for count in counts] if len(counts) > 1 else [],
            choice=[("deed", "purge"), *(("queue", value_of(key)) for key in chosen)],
            back=request.get_full_path(),
            media=self.media,
        )

    def _log(self, request: HttpRequest, key: QueueKey, text: str, flag: int = CHANGE) -> None:
        """Write to the history. A queue that was never paused has no row."""
        if request.user.pk is None:
            return
        states = QueueState.objects.using(task_database())
        state = states.filter(backend=key.backend, queue_name=key.name).first()
        LogEntry.objects.create(
            user_id=request.user.pk,
            content_type=ContentType.objects.get_for_model(QueueState),
            object_id=str(state.pk) if state else None,
            object_repr=key.name[:200],
            action_flag=flag,
            change_message=text,
        )


def _question(counts: Sequence[tuple[str, int]]) -> str:
    if len(counts) > 1:
        text = _("Delete the tasks of these %d queues that have not started? There is no way back.")
        return text % len(counts)
    [(name, count)] = counts
    return ngettext(
        "Delete %(count)s task of queue “%(queue)s” that has not started? There is no way back.",
        "Delete %(count)s tasks of queue “%(queue)s” that have not started? There is no way back.",
        count,
    ) % {"count": count, "queue": name}


def _count_text(name: str, count: int) -> str:
    text = ngettext("%(queue)s: %(count)s task", "%(queue)s: %(count)s tasks", count)
    return text % {"count": count, "queue": name}

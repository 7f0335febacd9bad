"""The form of schedules: one for all kinds."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.forms.models import construct_instance
from django.utils.translation import gettext as _

from ... import serializers
from ...conf import app_settings
from ...definitions import registry
from ...definitions.backends import database_backends
from ...definitions.declared_schedules import schedulable_tasks
from ...models import Schedule
from ...models.schedules import ScheduleKind
from ...monitoring.reading import queue_names
from ...schedules import SOLAR_EVENTS, InvalidSchedule
from ...schedules.zones import zone_named
from ...store.databases import task_database
from ...store.schedules import edits as store
from ..widgets import DurationField, SuggestingInput
from . import secrets
from .audit import Snapshot
from .words import CATCH_UPS, HELP, OVERLAPS, explained

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[Schedule]
else:
    _ModelForm = forms.ModelForm

#: The columns that each kind has to itself.
KIND_COLUMNS: dict[str, tuple[str, ...]] = {
    ScheduleKind.INTERVAL: ("every", "anchor_at"),
    ScheduleKind.CRONTAB: ("crontab", "day_match"),
    ScheduleKind.SOLAR: ("solar_event", "latitude", "longitude"),
    ScheduleKind.CLOCKED: ("clocked_at",),
}
#: What says when it is due; the preview needs no more than these.
TIMING = {"kind", "timezone", "start_at", "end_at", "max_runs"}.union(*KIND_COLUMNS.values())
CALL = ("task_path", "args", "kwargs")
_JSON_AREA = {"rows": 2, "spellcheck": "false", "class": "vLargeTextField schedule-json"}


def _task_choices() -> Iterator[tuple[str, str]]:
    for task in schedulable_tasks():
        yield task.module_path, (task.func.__doc__ or "").strip().partition("\n")[0]


def _queue_choices() -> Iterator[tuple[str, str]]:
    return ((name, "") for name in sorted(queue_names(database_backends().values())))


def _zone_choices() -> Iterator[tuple[str, str]]:
    return ((name, "") for name in sorted(available_timezones()))


def _backend_choices() -> list[tuple[str, str]]:
    """Return the aliases whose tasks are where the schedules are."""
    here = task_database()
    aliases = [alias for alias, b in database_backends().items() if b.database == here]
    return [("", "---------"), *((alias, alias) for alias in aliases)]


class ScheduleForm(_ModelForm):
    """
    Checks everything that a beat would otherwise find out.

    `copied_from` is the schedule that a new one is a copy of: masks stand for what it stores.
    """

    copied_from: Schedule | None = None

    class Meta:
        model = Schedule
        fields = "__all__"
        help_texts = HELP
        field_classes = dict.fromkeys(
            ("every", "jitter", "expires", "catch_up_deadline"), DurationField
        )
        widgets = {
            "task_path": SuggestingInput(_task_choices),
            "args": forms.Textarea(_JSON_AREA),
            "kwargs": forms.Textarea(_JSON_AREA),
            "description": forms.Textarea({"rows": 2, "class": "vLargeTextField"}),
            "crontab": forms.TextInput({"class": "vTextField schedule-crontab"}),
            "solar_event": forms.Select(choices=[("", "---------"), *SOLAR_EVENTS.items()]),
            "timezone": SuggestingInput(_zone_choices),
            "queue_name": SuggestingInput(_queue_choices),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.instance._state.db = task_database()
        #: The row before the form changes it.
        self.stored = copy.copy(self.instance)
        self.before = Snapshot.of(self.instance)
        if source := self._source():
            self.initial.update(zip(("args", "kwargs"), secrets.shown(source), strict=True))
        self._explain()

    def _source(self) -> Schedule | None:
        """Return the row whose arguments the form began with."""
        return self.copied_from if self.stored.pk is None else self.stored

    def _explain(self) -> None:
        """Have each policy say what it means, and the time zone what it is when left empty."""
        for name, sentences in (("overlap", OVERLAPS), ("catch_up", CATCH_UPS)):
            if name in self.fields:
                field: Any = self.fields[name]
                field.choices = explained(field.choices, sentences)
        if "timezone" in self.fields:
            self.fields["timezone"].help_text = _("Empty: %s.") % settings.TIME_ZONE
        if "backend" in self.fields:
            self.fields["backend"].widget = forms.Select(choices=_backend_choices())
        for name in ("args", "kwargs"):
            if name in self.fields:
                self.fields[name].required = False

    # --- one field --------------------------------------------------------------------------------

    def clean_name(self) -> str:
        """Refuse a name that is taken, in the database that the schedules are in."""
        name = str(self.cleaned_data["name"])
        namesakes = Schedule.objects.using(task_database()).filter(name=name)
        if namesakes.exclude(pk=self.instance.pk).exists():
            raise ValidationError(_("There is a schedule of this name already."))
        return name

    def clean_task_path(self) -> str:
        """Refuse tasks that were not offered; the one that it has may stay."""
        path = str(self.cleaned_data["task_path"])
        if self.stored.pk is not None and path == self.stored.task_path:
            return path
        task = registry.find(path)
        if task is None:
            raise ValidationError(_("There is no such task. Choose one from the list."))
        if not task.is_schedulable:
            raise ValidationError(
                _("This task may not be scheduled. Its code allows it by @task(schedulable=True).")
            )
        return path

    def clean_timezone(self) -> str:
        """Refuse unknown ones even for intervals, which need none: times are shown in it."""
        try:
            zone_named(self.cleaned_data["timezone"])
        except InvalidSchedule as error:
            raise ValidationError(str(error)) from None
        return str(self.cleaned_data["timezone"])

    def clean_args(self) -> str:
        return self._clean_json("args", list, "[]", _('Give a JSON list such as [1, "two"].'))

    def clean_kwargs(self) -> str:
        return self._clean_json(
            "kwargs", dict, "{}", _('Give a JSON object such as {"name": "value"}.')
        )

    def clean_expires(self) -> float | None:
        return self._above_0("expires")

    def clean_catch_up_deadline(self) -> float | None:
        return self._above_0("catch_up_deadline")

    def clean_max_runs(self) -> float | None:
        return self._above_0("max_runs")

    def clean_catch_up_limit(self) -> float | None:
        return self._above_0("catch_up_limit")

    def _above_0(self, column: str) -> float | None:
        """Refuse 0: with it no task would start, and every slot be too late."""
        seconds: float | None = self.cleaned_data[column]
        if seconds == 0:
            raise ValidationError(_("Give more than 0, or nothing for no limit."))
        return seconds

    def clean_jitter(self) -> float:
        return self.cleaned_data["jitter"] or 0.0

    def _clean_json(self, column: str, kind: type, empty: str, hint: str) -> str:
        """Return the text with what the masks in it stand for, as the store writes it."""
        try:
            value = json.loads(self.cleaned_data[column].strip() or empty)
            if not isinstance(value, kind):
                raise ValidationError(hint)
            value = secrets.restored(value, column, self._source_of_masks())
            return serializers.dumps(value, column, app_settings.MAX_ARGS_BYTES)
        except json.JSONDecodeError as error:
            raise ValidationError(
                _("This is no valid JSON: %(error)s. %(hint)s") % {"error": error, "hint": hint}
            ) from None
        except (TypeError, ValueError, RecursionError) as error:
            raise ValidationError(str(error)) from None

    def _source_of_masks(self) -> Schedule | None:
        """Return whose secrets masks stand for: none when another task is to get them."""
        source = self._source()
        path = self.cleaned_data.get("task_path", source.task_path if source else None)
        return source if source is not None and path == source.task_path else None

    # --- fields together --------------------------------------------------------------------------

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        self._forget_other_kinds(data)
        if not self.has_timing_errors:
            self._check(self._check_timing)
        if not self.errors.keys() & set(CALL):
            self._check(self._check_call)
        return data

    @property
    def has_timing_errors(self) -> bool:
        """Whether a field that says when it is due is wrong."""
        return bool(self.errors.keys() & TIMING)

    def _forget_other_kinds(self, data: dict[str, Any]) -> None:
        """Drop what was entered for a kind that was not chosen in the end, right or wrong."""
        for kind, columns in KIND_COLUMNS.items():
            if kind != data.get("kind"):
                for name in columns:
                    column: Any = Schedule._meta.get_field(name)
                    data[name] = column.get_default()
                    self.errors.pop(name, None)

    def _check_timing(self) -> None:
        row = self._row()
        store.next_slots(row, 1)
        if row.start_at and row.end_at and row.end_at < row.start_at:
            raise ValidationError({"end_at": _("It ends before it starts.")})

    def _check_call(self) -> None:
        store.check_call(self._row())

    def _row(self) -> Schedule:
        """Return what would be saved, without touching `instance`."""
        row = copy.copy(self.stored)
        row._state = copy.copy(row._state)
        return construct_instance(self, row, self._meta.fields)

    def _check(self, check: Callable[[], None]) -> None:
        """Call `check`, and show what it refuses at the field that it names."""
        try:
            check()
        except InvalidSchedule as error:
            self._add(error.field, str(error))
        except ValidationError as error:
            for name, messages in error.message_dict.items():
                self._add(name, messages)

    def _add(self, name: str, messages: Any) -> None:
        self.add_error(name if name in self.fields else None, messages)

    def validate_unique(self) -> None:
        # clean_name() has asked the right database; Django would ask the default one.
        pass


class PreviewForm(ScheduleForm):
    """Checks no more than what says when it is due: the rest may not be entered yet."""

    def clean_task_path(self) -> str:
        """Keep the path of a task that may be scheduled: its signature is shown."""
        path = str(self.cleaned_data["task_path"])
        task = registry.find(path)
        return path if task is not None and task.is_schedulable else self.stored.task_path

    def _check_call(self) -> None:
        pass

"""Fields of the form of schedules: durations with a unit, and text with suggestions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from ..definitions.options import LONGEST

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

UNITS: tuple[tuple[int, _StrPromise], ...] = (
    (1, _("seconds")),
    (60, _("minutes")),
    (3600, _("hours")),
    (86400, _("days")),
    (604800, _("weeks")),
)


class DurationWidget(forms.MultiWidget):
    """A number and its unit, side by side. Names: ``every`` and ``every_unit``."""

    template_name = "admin/django_tasks/schedule/duration.html"
    use_fieldset = False

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        number = forms.NumberInput(attrs={"min": 0, "step": "any", "class": "schedule-number"})
        unit = forms.Select(choices=UNITS, attrs={"aria-label": _("unit")})
        super().__init__({"": number, "unit": unit}, attrs)

    def decompress(self, value: float | str | None) -> list[Any]:
        """Return the number and the largest unit in which it is whole."""
        if value is None:
            return [None, 60]
        if isinstance(value, str):  # out of the address of the form, unchecked
            return [value, 1]
        units = [seconds for seconds, _name in UNITS if value and value % seconds == 0]
        unit = max(units, default=1)
        number = value / unit
        return [int(number) if number.is_integer() else number, unit]

    def id_for_label(self, id_: str) -> str:
        return id_

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        """Give the number the field's own id, so that the label belongs to it."""
        context = super().get_context(name, value, attrs)
        if attrs and "id" in attrs:
            number, unit = context["widget"]["subwidgets"]
            number["attrs"]["id"] = attrs["id"]
            unit["attrs"]["id"] = f"{attrs['id']}_unit"
        return context


class DurationField(forms.MultiValueField):
    """Seconds as a float, entered as a number and a unit. Empty, which is allowed: None."""

    widget = DurationWidget

    def __init__(self, *, least: float = 0.0, **kwargs: Any) -> None:
        self.least = least
        units = forms.TypedChoiceField(choices=UNITS, coerce=int)
        fields = (forms.FloatField(required=False), units)
        kwargs |= {"required": False, "require_all_fields": False}
        super().__init__(fields, **kwargs)

    def compress(self, data_list: Any) -> float | None:
        number, unit = data_list or (None, None)
        if number is None:
            return None
        seconds = float(number * unit)
        if not self.least <= seconds <= LONGEST:
            raise ValidationError(
                _("Give a duration from %(least)g seconds to 100 years."),
                params={"least": self.least},
            )
        return seconds


class SuggestingInput(forms.TextInput):
    """A text field with a list to choose from, which the browser searches as one types."""

    template_name = "admin/django_tasks/schedule/suggesting_input.html"

    def __init__(
        self,
        suggestions: Callable[[], Iterable[tuple[str, str]]],
        attrs: dict[str, Any] | None = None,
    ) -> None:
        super().__init__({"class": "vTextField", "autocomplete": "off", **(attrs or {})})
        self.suggestions = suggestions

    def get_context(self, name: str, value: Any, attrs: dict[str, Any] | None) -> dict[str, Any]:
        context = super().get_context(name, value, attrs)
        list_id = f"{context['widget']['attrs'].get('id', name)}_list"
        context["widget"]["attrs"]["list"] = list_id
        context["list_id"] = list_id
        context["suggestions"] = self.suggestions()
        return context

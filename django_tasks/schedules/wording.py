"""Schedules in words."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import get_language, gettext, ngettext, to_locale

from . import cron
from .specs import Clocked, Crontab, Interval, Solar, Spec
from .sun import SOLAR_EVENTS

WEEK, DAY, HOUR, MINUTE = 604800, 86400, 3600, 60


def words(spec: Spec) -> str:
    """
    Return `spec` as a short text in the active language.

    Crontabs are told by cron-descriptor (the extra `cron-text`), and repeated without it.
    """
    if isinstance(spec, Interval):
        return gettext("Every %(length)s") % {"length": _length(spec.every)}
    if isinstance(spec, Crontab):
        return _crontab(spec)
    if isinstance(spec, Solar):
        return f"{SOLAR_EVENTS[spec.event]}, {spec.latitude:g}°, {spec.longitude:g}°"
    assert isinstance(spec, Clocked)
    moment = date_format(localtime(spec.at), "DATETIME_FORMAT")
    return gettext("Once: %(moment)s") % {"moment": moment}


def _length(seconds: float) -> str:
    """Return a duration in the largest units that leave no rest: `1 hour 30 minutes`."""
    parts = []
    rest = seconds
    for unit in (WEEK, DAY, HOUR, MINUTE):
        count, rest = divmod(rest, unit)
        if count:
            parts.append(_unit(unit, int(count)))
    if rest:
        parts.append(gettext("%(count)s s") % {"count": f"{rest:g}"})
    return " ".join(parts)


def _unit(unit: int, count: int) -> str:
    if unit == WEEK:
        text = ngettext("%(count)d week", "%(count)d weeks", count)
    elif unit == DAY:
        text = ngettext("%(count)d day", "%(count)d days", count)
    elif unit == HOUR:
        text = ngettext("%(count)d hour", "%(count)d hours", count)
    else:
        text = ngettext("%(count)d minute", "%(count)d minutes", count)
    return text % {"count": count}


def _crontab(spec: Crontab) -> str:
    fields = cron.fields_of(spec.expression)
    module = _descriptor()
    if module is None:
        return f"crontab {spec.expression}"
    if cron.is_open(fields[cron.DAY]) or cron.is_open(fields[cron.WEEKDAY]):
        return _described(module, fields)
    if spec.day_match == "ALL":
        return _described_both(module, fields)
    return gettext("%(text)s (either day matches)") % {"text": _described(module, fields)}


def _described_both(module: ModuleType, fields: list[str]) -> str:
    """Put ", only on Monday" after the rest: for both days at once it says "or on Monday"."""
    midnight = _described(module, ["0", "0", "*", "*", "*"])
    weekday = _described(module, ["0", "0", "*", "*", fields[cron.WEEKDAY]])
    rest = _described(module, [*fields[: cron.WEEKDAY], "*"])
    return rest + weekday.removeprefix(midnight)


def _described(module: ModuleType, fields: list[str]) -> str:
    weekday = re.sub(r"l([0-7])", r"\1l", fields[cron.WEEKDAY])  # croniter's L5 is 5L elsewhere
    expression = " ".join([*fields[: cron.WEEKDAY], weekday]).upper()
    return str(module.get_description(expression, _options(module)))


@cache
def _descriptor() -> ModuleType | None:
    try:
        return import_module("cron_descriptor")
    except ImportError:
        return None


def _options(module: ModuleType) -> Any:
    locale = _locale(module, to_locale(get_language() or "en"))
    try:
        return module.Options(locale_code=locale, use_24hour_time_format=True)
    except TypeError:  # before 2.0
        options = module.Options()
        options.locale_code, options.use_24hour_time_format = locale, True
        return options


@cache
def _locale(module: ModuleType, locale: str) -> str:
    """Return the locale that cron-descriptor has for a language of Django's: `de_DE` for `de`."""
    assert module.__file__
    known = sorted(path.stem for path in Path(module.__file__).parent.glob("locale/*.mo"))
    language = locale.split("_")[0]
    alike = [name for name in known if name.split("_")[0] == language]
    return locale if locale in known else alike[0] if alike and language != "en" else "en_US"

"""
Finding another distribution's files under this import name.

The backport of django.tasks, distribution ``django-tasks``, installs the same import name and a
dozen of the same paths; installers overwrite without a word. This file is only in ours, and looks
at what no other `__init__` has.
"""

from __future__ import annotations

import sys
from importlib import metadata

DISTRIBUTION = "django-tasks-engine"
OTHER = "django-tasks"


def fix() -> str:
    """Return the two commands that leave only this distribution's files."""
    return (
        f"pip uninstall -y {OTHER} && pip install --force-reinstall --no-deps {DISTRIBUTION}."
        " For packages that require it, see docs/howto/wagtail."
    )


def other_version() -> str | None:
    """Return the version of the other distribution, None when it is not installed."""
    try:
        return metadata.version(OTHER)
    except metadata.PackageNotFoundError:
        return None


def overwritten() -> str | None:
    """Return what is wrong, and the fix, if `django_tasks/__init__.py` is not ours."""
    package = sys.modules[__name__.partition(".")[0]]
    if getattr(package, "__distribution__", None) == DISTRIBUTION:
        return None
    version = other_version()
    owner = f"{OTHER!r} {version}" if version else "another one"
    return (
        f"django_tasks/__init__.py belongs to the distribution {owner}, not to {DISTRIBUTION!r}."
        f" Fix: {fix()}"
    )

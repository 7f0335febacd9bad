"""
Celery's schedules, with the fields that Celery 5.7 gives them.

The package reads fields and never imports Celery, so the tests need none either.
"""

from datetime import timedelta


class schedule:  # noqa: N801 - Celery's own names
    def __init__(self, run_every, relative=False):
        self.run_every = run_every if isinstance(run_every, timedelta) else timedelta(0, run_every)
        self.relative = relative
        self.nowfun = None
        self._app = None


class crontab:  # noqa: N801
    LIMITS = {
        "minute": range(60),
        "hour": range(24),
        "day_of_week": range(7),
        "day_of_month": range(1, 32),
        "month_of_year": range(1, 13),
    }

    def __init__(self, **fields):
        for name, numbers in self.LIMITS.items():
            setattr(self, f"_orig_{name}", fields.get(name, "*"))
            setattr(self, name, set(numbers))  # Celery expands what was given
        self.nowfun = None
        self._app = None


class solar:  # noqa: N801
    def __init__(self, event, lat, lon):
        self.event, self.lat, self.lon = event, lat, lon
        self.ephem = self.method = None
        self.nowfun = None
        self._app = None

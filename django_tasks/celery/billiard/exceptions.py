"""Time limits and lost workers, by billiard's names."""

from __future__ import annotations

from ...exceptions import SoftTimeLimitExceeded, TimeLimitExceeded
from ...exceptions import WorkerLost as WorkerLostError

__all__ = ["SoftTimeLimitExceeded", "TimeLimitExceeded", "WorkerLostError"]

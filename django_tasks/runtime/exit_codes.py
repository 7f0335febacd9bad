"""How runworker and runbeat exit."""

from __future__ import annotations

#: All tasks ended, or were given back; or the grace period was over, and they were stopped.
EXIT_GRACEFUL, EXIT_FORCED = 0, 3

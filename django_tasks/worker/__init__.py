"""
Workers: a supervisor (`supervisor`), one `keeper`, and processes that claim and run tasks.

    supervisor ── forks ──> keeper     heartbeat, promote, expire, rescue, prune, wake-ups
               └─ forks ──> processes  `engine` (the database) feeds a pool (the bodies)

They share a `board` in memory that says who runs what since when.
"""

"""The database side of a process: claim, hand to the pool, record."""

"""Counts of finished tasks by minute and hour."""

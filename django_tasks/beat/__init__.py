"""Beats: they enqueue the tasks of schedules that are due. Any number may run; none leads."""

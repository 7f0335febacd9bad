"""Tests of django_tasks.schedules: when schedules are due."""

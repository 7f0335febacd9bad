"""Run Django's own tests of django.tasks against this project: `python -m tests.upstream`."""

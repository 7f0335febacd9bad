"""Celery's Django integration: nothing has to be integrated."""

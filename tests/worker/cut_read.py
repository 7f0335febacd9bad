"""Cuts the engine's connection between its first claim and the reading of what the tasks carry."""

from itertools import count

from django.db import connections

from django_tasks.worker.execution import contexts

_read = contexts.metadata_of
_claims = count(1)


def metadata_of(database, claims):
    if claims and next(_claims) == 1:
        connections[database].connection.close()
    return _read(database, claims)


contexts.metadata_of = metadata_of

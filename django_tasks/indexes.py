"""An index of the rows in some statuses."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q


class StatusIndex(models.Index):
    """
    Index `fields` of the rows in one of `statuses`; no statuses stand for all.

    Partial where the database has partial indexes, so that other rows cost nothing; elsewhere
    (MySQL, MariaDB) the status leads. A leading "-" orders downwards: as an expression in a
    partial index, so that rows compare as ``(priority * -1, id) > (x, y)``.

    `only_set`: leave out rows whose first field is NULL. On a field that these rows always have
    it keeps PostgreSQL from using the index for what is looked up by primary key and guarded by
    the status: while the statistics say that few rows run, it prefers to read all that do.

    SQLite uses a partial index only for queries that repeat its condition to the letter: see
    `store.dialects.status_is`.
    """

    def __init__(
        self, *, fields: Any, name: str, statuses: Any = (), only_set: bool = False
    ) -> None:
        self.statuses = tuple(str(s) for s in statuses)
        self.only_set = only_set
        super().__init__(fields=fields, name=name)

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        return path, args, {**kwargs, "statuses": list(self.statuses), "only_set": self.only_set}

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        features = schema_editor.connection.features
        index = self._partial() if features.supports_partial_indexes else self._whole()
        return index.create_sql(model, schema_editor, using, **kwargs)

    def _partial(self) -> models.Index:
        expressions = [F(f) if not f.startswith("-") else F(f[1:]) * -1 for f in self.fields]
        condition = Q()
        if len(self.statuses) == 1:
            condition &= Q(status=self.statuses[0])
        elif self.statuses:
            condition &= Q(status__in=self.statuses)
        if self.only_set:
            condition &= Q(**{f"{self.fields[0]}__isnull": False})
        return models.Index(*expressions, name=self.name, condition=condition)

    def _whole(self) -> models.Index:
        leading = ["status"] if self.statuses else []
        return models.Index(fields=[*leading, *self.fields], name=self.name)

"""An index of the rows in some statuses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import models
from django.db.backends.ddl_references import Statement
from django.db.models import F, Q

#: What MySQL and MariaDB are told where there is nothing to create: something has to be executed.
NOTHING = Statement("DO 0")


class StatusIndex(models.Index):
    """
    Index `fields` of the rows in one of `statuses`; no statuses stand for all.

    Partial where the database has partial indexes, so that other rows cost nothing; elsewhere
    (MySQL, MariaDB) the status leads. A leading "-" orders downwards: as an expression in a
    partial index, so that rows compare as ``(priority * -1, id) > (x, y)``.

    `nulls`: leave out rows in which a field is not NULL (True), or is (False). `whole`: the fields
    where there are no partial indexes, instead of the status and `fields`; none stand for no index.

    `only_set`: leave out rows whose first field is NULL. On a field that these rows always have
    it keeps PostgreSQL from using the index for what is looked up by primary key and guarded by
    the status: while the statistics say that few rows run, it prefers to read all that do.

    SQLite uses a partial index only for queries that repeat its condition to the letter: see
    `store.dialects.status_is`.
    """

    def __init__(
        self,
        *,
        fields: Any,
        name: str,
        statuses: Any = (),
        only_set: bool = False,
        nulls: Mapping[str, bool] | None = None,
        whole: Sequence[str] | None = None,
    ) -> None:
        self.statuses = tuple(str(s) for s in statuses)
        self.only_set = only_set
        self.nulls = dict(nulls or {})
        self.whole = None if whole is None else list(whole)
        super().__init__(fields=fields, name=name)

    def deconstruct(self) -> Any:
        path, args, kwargs = super().deconstruct()
        kwargs |= {"statuses": list(self.statuses), "only_set": self.only_set}
        if self.nulls:
            kwargs["nulls"] = self.nulls
        if self.whole is not None:
            kwargs["whole"] = self.whole
        return path, args, kwargs

    def create_sql(self, model: Any, schema_editor: Any, using: str = "", **kwargs: Any) -> Any:
        if self._is_partial(schema_editor):
            return self._partial().create_sql(model, schema_editor, using, **kwargs)
        if self.whole == []:
            return NOTHING
        return self._whole().create_sql(model, schema_editor, using, **kwargs)

    def remove_sql(self, model: Any, schema_editor: Any, **kwargs: Any) -> Any:
        if self.whole == [] and not self._is_partial(schema_editor):
            return NOTHING
        return super().remove_sql(model, schema_editor, **kwargs)

    def _is_partial(self, schema_editor: Any) -> bool:
        return bool(schema_editor.connection.features.supports_partial_indexes)

    def _partial(self) -> models.Index:
        expressions = [F(f) if not f.startswith("-") else F(f[1:]) * -1 for f in self.fields]
        condition = Q()
        if len(self.statuses) == 1:
            condition &= Q(status=self.statuses[0])
        elif self.statuses:
            condition &= Q(status__in=self.statuses)
        if self.only_set:
            condition &= Q(**{f"{self.fields[0]}__isnull": False})
        for field, is_null in self.nulls.items():
            condition &= Q(**{f"{field}__isnull": is_null})
        return models.Index(*expressions, name=self.name, condition=condition)

    def _whole(self) -> models.Index:
        fields = self.whole or [*(["status"] if self.statuses else []), *self.fields]
        return models.Index(fields=fields, name=self.name)

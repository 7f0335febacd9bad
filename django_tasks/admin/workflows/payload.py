"""The value and the metadata of a workflow, for those who may see them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext as _

from ...definitions import registry
from ...models import WorkflowRecord
from ...redaction import arguments
from ...statuses import Status
from ...store.workflows import references
from .. import formats

#: Results in a value that is shown.
MOST_RESULTS = 100


def known_tasks(paths: Iterable[str] | None) -> list[Any]:
    """Return the tasks of steps; None for each that this process does not know, or for all."""
    return [None] if paths is None else [registry.find(path) for path in paths]


def payload_of(
    database: str, record: WorkflowRecord, known: Sequence[Any]
) -> list[tuple[str, str]]:
    """
    Return titles and blocks, masked; those that say nothing left out.

    `known`: see known_tasks(); one that is None hides everything.
    """
    blocks = []
    if record.status == Status.SUCCESSFUL and record.value not in (None, "null", "{}"):
        blocks.append((_("value"), _value(database, str(record.value), known)))
    if record.metadata is not None:
        blocks.append((_("metadata"), _block(_read(record.metadata), known)))
    return blocks


def _value(database: str, text: str, known: Any) -> str:
    number = text.count(f'"{references.MARK}"')
    if number > MOST_RESULTS:
        said = _("It is made of the results of %s steps: see them there.")
        return formats.text_block(said % formats.count(number))
    try:
        value = references.value_of(database, text)
    except (references.BadReference, ValueError, TypeError, LookupError) as error:
        return formats.text_block(str(error))
    return _block(value, known)


def _read(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return arguments.UNREADABLE


def _block(value: Any, known: Any) -> str:
    return formats.json_block(arguments.mask_results(value, known))

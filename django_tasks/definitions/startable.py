"""What canvases and workflows have in common: they are enqueued as a whole, or called here."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Startable(Generic[R]):
    """Several calls that are made as one; R is the type of the value."""

    __slots__ = ()

    def enqueue(self) -> Any:
        """
        Store all steps in the caller's transaction, and return the WorkflowResult at once.

        Raise TypeError or ValueError, which names the step, for arguments that do not fit its
        task or that JSON does not have; InvalidTask for a wrong option.
        """
        from ..workflows import starting

        return starting.enqueue(self)

    async def aenqueue(self) -> Any:
        """See enqueue()."""
        from ..workflows import starting

        return await starting.aenqueue(self)

    def enqueue_on_commit(self, *, using: str = "default") -> Any:
        """Enqueue when the transaction on the database `using` commits; see enqueue()."""
        from ..workflows import starting

        return starting.enqueue_on_commit(self, using)

    def call(self) -> R:
        """
        Run all steps here and now, in order, and return the value: a workflow's by name.

        Without retries, time limits or a database. Raise what the first failing step raised, when
        the others are through, unless that was allowed.
        """
        from ..workflows import starting

        value: R = starting.call(self)
        return value

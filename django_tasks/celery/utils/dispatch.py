"""Signals with Celery's rules: used as decorators, with names as senders, heard one by one."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from ..local import maybe_evaluate
from ..notices import say_once

__all__ = ["Signal"]

logger = logging.getLogger("django_tasks.celery")


class _Receiver(NamedTuple):
    key: Any
    #: None: whoever sends.
    sender: Any
    #: Returns the function, or None when it is gone.
    get: Callable[[], Any]


class Signal:
    """
    A signal; `why_never` says why nothing sends it, to whoever connects.

    `connects_late(receiver)`: called for a receiver that connects, where the moment may be over.
    """

    def __init__(
        self,
        name: str,
        providing_args: set[str] | None = None,
        *,
        why_never: str = "",
        connects_late: Callable[[Callable[..., Any]], None] | None = None,
    ) -> None:
        self.name = name
        self.providing_args = providing_args or set()
        self.why_never = why_never
        self._connects_late = connects_late
        self._receivers: list[_Receiver] = []

    @property
    def receivers(self) -> list[Callable[..., Any]]:
        """The functions that are connected."""
        return [found for receiver in self._receivers if (found := receiver.get()) is not None]

    def connect(self, *args: Any, **options: Any) -> Any:
        """
        Connect a function: ``connect(function)``, or as a decorator, with or without options.

        `sender`: whom to hear; a task, or its name. None: all. `weak` (True): forget the function
        with its module. `dispatch_uid`: connects once, whatever the function. `retry`: ignored.
        """
        if args and callable(args[0]):
            return self._connect(*args, **options)
        return lambda receiver: self._connect(receiver, *args, **options)

    def _connect(
        self,
        receiver: Callable[..., Any],
        sender: Any = None,
        weak: bool = True,
        dispatch_uid: Any = None,
        retry: bool = False,
    ) -> Callable[..., Any]:
        if self.why_never:
            say_once(f"celery.signals.{self.name} is never sent: {self.why_never}")
        key = (dispatch_uid or id(receiver), _sender_key(sender))
        if all(known.key != key for known in self._receivers):
            get = _weak_or_strong(receiver) if weak else (lambda: receiver)
            self._receivers.append(_Receiver(key, maybe_evaluate(sender), get))
            if self._connects_late is not None:
                self._connects_late(receiver)
        return receiver

    def disconnect(
        self,
        receiver: Callable[..., Any] | None = None,
        sender: Any = None,
        weak: bool | None = None,
        dispatch_uid: Any = None,
    ) -> bool:
        """Disconnect a function; return whether it was connected."""
        key = (dispatch_uid or id(receiver), _sender_key(sender))
        kept = [known for known in self._receivers if known.key != key]
        was_connected = len(kept) < len(self._receivers)
        self._receivers = kept
        return was_connected

    def has_listeners(self, sender: Any = None) -> bool:
        """Tell whether somebody listens to this sender."""
        return any(_hears(known.sender, sender) for known in self._receivers)

    def send(self, sender: Any, **named: Any) -> list[tuple[Any, Any]]:
        """Call the receivers; what one raises is logged and returned, and the next is called."""
        responses = []
        for known in list(self._receivers):
            if not _hears(known.sender, sender):
                continue
            receiver = known.get()
            if receiver is None:
                self._receivers.remove(known)
                continue
            try:
                response = receiver(signal=self, sender=sender, **named)
            except Exception as error:
                logger.exception("Signal handler %r raised: %r", receiver, error)
                response = error
            responses.append((receiver, response))
        return responses

    send_robust = send

    def __repr__(self) -> str:
        return f"<Signal: {self.name} providing_args={self.providing_args!r}>"


def _sender_key(sender: Any) -> Any:
    sender = maybe_evaluate(sender)
    return sender if isinstance(sender, str) or sender is None else id(sender)


def _hears(wanted: Any, sender: Any) -> bool:
    if wanted is None or wanted is sender:
        return True
    name = getattr(sender, "name", sender)
    return isinstance(name, str) and getattr(wanted, "name", wanted) == name


def _weak_or_strong(receiver: Callable[..., Any]) -> Callable[[], Any]:
    if hasattr(receiver, "__self__") and hasattr(receiver, "__func__"):
        return weakref.WeakMethod(receiver)
    try:
        return weakref.ref(receiver)
    except TypeError:  # what cannot be referred to weakly, such as a partial of C
        return lambda: receiver

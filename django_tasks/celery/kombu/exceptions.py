"""Errors of brokers, to be caught; nothing here raises them."""

from __future__ import annotations

from ..exceptions import OperationalError

__all__ = ["ConnectionError", "DecodeError", "EncodeError", "KombuError", "OperationalError"]


class KombuError(Exception):
    """Base of kombu's errors."""


class ConnectionError(KombuError):
    """A broker could not be reached."""


class EncodeError(KombuError):
    """A value could not be serialized; here that is a TypeError or ValueError."""


class DecodeError(KombuError):
    """A value could not be read."""

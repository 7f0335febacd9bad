"""Who looks."""

from tests.control_room.conftest import root  # noqa: F401

"""What the engines may know of the world, as protocols. `app/world.py` holds the real ones."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """The time, as an argument."""

    def now(self) -> datetime:
        """Return the wall clock, timezone-aware UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go backwards; only differences mean something."""
        ...


class Ids(Protocol):
    """New identities."""

    def object_id(self) -> str:
        """Return 24 hex digits; a later id of this process sorts after an earlier one."""
        ...

    def uuid(self) -> str:
        """Return a random UUID in its usual text form."""
        ...

    def secret(self, size_bytes: int) -> str:
        """Return `size_bytes` of unguessable bytes as lower-case hex."""
        ...


class Chance(Protocol):
    """Randomness that is not a secret, as for back-off jitter."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        ...


__all__ = ["Chance", "Clock", "Ids"]

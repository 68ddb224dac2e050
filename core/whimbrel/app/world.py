"""The one place that touches the real clock, chance and identity."""

import random
import secrets
import time
import uuid
from datetime import UTC, datetime

FRACTION_BITS = 24
NODE_BITS = 40


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the wall clock, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since some fixed point."""
        return time.monotonic()


class RandomIds:
    """Random identities; object ids of one process sort by creation.

    An object id is 32 bits of Unix seconds, 24 bits of the second's fraction and 40 bits that are random
    per process. When the clock stands still or steps back, the last id is counted up instead.
    """

    def __init__(self) -> None:
        self._last = 0
        self._node = secrets.randbits(NODE_BITS)

    def object_id(self) -> str:
        """Return 24 hex digits, greater than any returned before."""
        moment = (time.time_ns() << FRACTION_BITS) // 1_000_000_000
        fresh = moment << NODE_BITS | self._node
        self._last = fresh if fresh > self._last else self._last + 1
        return f"{self._last:024x}"

    def uuid(self) -> str:
        """Return a random UUID."""
        return str(uuid.uuid4())

    def secret(self, size_bytes: int) -> str:
        """Return unguessable bytes as hex."""
        return secrets.token_hex(size_bytes)


class RandomChance:
    """The default random generator."""

    def fraction(self) -> float:
        """Return a number in [0, 1)."""
        return random.random()


__all__ = ["RandomChance", "RandomIds", "SystemClock"]

"""The Bus port: announcements out, events in."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from whimbrel import errors

EVENT_SUBJECTS = "whimbrel.event.>"
"""Where outside programs publish trigger events."""


class BusDown(errors.Unavailable):
    """The bus cannot be reached now; what was not acknowledged has to be sent again."""


class Announcement(msgspec.Struct, frozen=True):
    """A thing that happened. `message_id` is stable over re-sends, so that receivers see it once.

    `data` is a CloudEvent in structured JSON form.
    """

    subject: str
    message_id: str
    data: bytes


class Inbound(msgspec.Struct, frozen=True):
    """A message that an outside program published. `message_id` is its `Nats-Msg-Id`, or empty."""

    subject: str
    message_id: str
    headers: dict[str, str]
    data: bytes


class Refused(errors.InvalidInput):
    """The message can never be accepted; the bus drops it and announces it on `whimbrel.refused`."""


Accept = Callable[[Inbound], Awaitable[None]]
"""Returns once the message is durable; raises `Refused` to drop it, anything else to get it again."""


class Bus(Protocol):
    """What the broker asks of a bus."""

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Send all; return when the bus has them. Raises `BusDown`; some may then have been sent."""
        ...

    async def receive(self, accept: Accept) -> None:
        """Hand each inbound message to `accept` until cancelled; acknowledge it afterwards.

        At most 256 messages are under way at once. A lost connection is re-made for ever.
        """
        ...

    @property
    def connected(self) -> bool:
        """Whether the bus can be reached now."""
        ...

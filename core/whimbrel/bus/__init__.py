"""The Bus port and its values. The implementations are known to `app/wiring.py` alone."""

from whimbrel.bus.cloudevents import CloudEvent, cloud_event, read_event
from whimbrel.bus.port import (
    EVENT_SUBJECTS,
    Accept,
    Announcement,
    Bus,
    BusDown,
    Inbound,
    Refused,
)

__all__ = [
    "EVENT_SUBJECTS",
    "Accept",
    "Announcement",
    "Bus",
    "BusDown",
    "CloudEvent",
    "Inbound",
    "Refused",
    "cloud_event",
    "read_event",
]

"""What is announced when a published message can never be accepted."""

from datetime import datetime
from typing import Final

from whimbrel.bus import subjects
from whimbrel.bus.cloudevents import cloud_event
from whimbrel.bus.port import Announcement, Inbound, Refused
from whimbrel.model import timestamp

REASON_LIMIT: Final = 500
"""Characters of a reason that are announced."""


def refusal(inbound: Inbound, error: Refused, event_id: str, moment: datetime) -> Announcement:
    """Return the announcement: subject, message id and reason, never the data, which may be secret."""
    data = {
        "subject": inbound.subject,
        "message_id": inbound.message_id,
        "reason": str(error)[:REASON_LIMIT],
    }
    event = cloud_event(subjects.REFUSED, "/whimbrel/bus", event_id, timestamp(moment), data)
    return Announcement(subjects.REFUSED, event_id, event)

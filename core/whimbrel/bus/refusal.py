"""What is announced when a published message can never be accepted."""

from datetime import datetime
from typing import Final

import structlog

from whimbrel.bus import subjects
from whimbrel.bus.cloudevents import cloud_event
from whimbrel.bus.port import Announcement, Inbound, Refused
from whimbrel.model import timestamp

REASON_LIMIT: Final = 500
"""Characters of a reason, and of the subject and id that it is about, that are announced."""

log = structlog.get_logger(__name__)


def refusal(inbound: Inbound, error: Refused, event_id: str, moment: datetime) -> Announcement:
    """Return the announcement: subject, message id and reason, never the data, which may be secret."""
    data = {
        "subject": inbound.subject[:REASON_LIMIT],
        "message_id": inbound.message_id[:REASON_LIMIT],
        "reason": str(error)[:REASON_LIMIT],
    }
    event = cloud_event(subjects.REFUSED, "/whimbrel/bus", event_id, timestamp(moment), data)
    return Announcement(subjects.REFUSED, event_id, event)


def fitting(announcement: Announcement, limit_bytes: int, moment: datetime) -> Announcement:
    """Return the announcement, or the refusal of one that no bus can take.

    Raising would make the sender try it for ever, and hold up everything behind it.
    """
    subject, size = announcement.subject, len(announcement.data)
    if not subjects.is_announced(subject):
        error = Refused("nothing is announced on this subject")
    elif size > limit_bytes:
        error = Refused(f"an announcement is limited to {limit_bytes} bytes, got {size}")
    else:
        return announcement
    log.error("announcement refused", subject=subject[:REASON_LIMIT], reason=str(error))
    inbound = Inbound(subject, announcement.message_id, {}, b"")
    return refusal(inbound, error, announcement.message_id, moment)

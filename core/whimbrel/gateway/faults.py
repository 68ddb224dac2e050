"""What an error is over HTTP: a status and `{"faultstring": …}`."""

from typing import Any

from whimbrel import errors
from whimbrel.broker.identity import TooManyAttempts
from whimbrel.gateway.bodies import BodyTooLarge, Disconnected
from whimbrel.gateway.endpoint import Reply
from whimbrel.gateway.routing import MethodNotAllowed

INTERNAL = "Internal Server Error"


class NotOffered(errors.WhimbrelError):
    """StackStorm has this; this version of Whimbrel does not."""


STATUSES: tuple[tuple[type[errors.WhimbrelError], int], ...] = (
    (BodyTooLarge, 413),
    (errors.InvalidInput, 400),
    (errors.Unauthenticated, 401),
    (errors.PermissionDenied, 403),
    (errors.NotFound, 404),
    (MethodNotAllowed, 405),
    (errors.Conflict, 409),
    (TooManyAttempts, 429),
    (NotOffered, 501),
    (Disconnected, 400),
    (errors.Unavailable, 503),
)
"""The first class that the error is an instance of decides; any other error is 500."""


def fault(error: errors.WhimbrelError) -> Reply | None:
    """Return the answer to an error, or None for one that says something is broken here."""
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    if status == 500:
        return None
    document: dict[str, Any] = {"faultstring": str(error)}
    headers: tuple[tuple[bytes, bytes], ...] = ()
    match error:
        case errors.Conflict(conflict_id=conflict_id) if conflict_id:
            document["conflict-id"] = conflict_id
        case BodyTooLarge(is_bounded=False):
            headers = ((b"connection", b"close"),)
        case MethodNotAllowed(allowed=allowed):
            headers = ((b"allow", ", ".join(allowed).encode()),)
        case TooManyAttempts(retry_after_seconds=seconds):
            headers = ((b"retry-after", b"%d" % max(1, round(seconds))),)
        case _:
            pass
    return Reply(document, status=status, headers=headers)


def internal_fault(reference: str) -> Reply:
    """Return the answer to a failure of our own; `reference` finds it in the log."""
    return Reply({"faultstring": INTERNAL, "reference": reference}, status=500)

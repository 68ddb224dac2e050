"""The error tree. Data is in attributes; the docstring says whose fault it is and what helps.

WhimbrelError
├── InvalidInput          the caller's value is wrong, retrying it unchanged cannot help
│   └── LimitExceeded     the value is right in form and over a written limit
├── Unauthenticated       no credentials, or none that are valid
├── PermissionDenied      known caller, not allowed
├── NotFound              the named thing does not exist
├── Conflict              the name is taken, or somebody changed the record first
├── Unavailable           this service cannot do it now; the same call may work later
└── Corrupt               stored data cannot be read back; an operator has to look
"""

from collections.abc import Sequence


class WhimbrelError(Exception):
    """Root of all errors that Whimbrel raises on purpose; `str()` is fit to show to a person."""


class InvalidInput(WhimbrelError):
    """The caller's value is wrong. `place` says where it stands: `file.yaml:3`, `/parameters/cmd`."""

    def __init__(self, message: str, *, place: str = "") -> None:
        super().__init__(f"{place}: {message}" if place else message)
        self.place = place


class LimitExceeded(InvalidInput):
    """The value is over a written limit; the message names the limit, its maximum and the value."""

    def __init__(self, limit: str, *, value: int, maximum: int, unit: str = "") -> None:
        suffix = f" {unit}" if unit else ""
        super().__init__(f"{limit} is limited to {maximum}{suffix}, got {value}{suffix}")
        self.limit = limit
        self.value = value
        self.maximum = maximum


class Unauthenticated(WhimbrelError):
    """No credentials, or none that are valid. Log in, or send another token or API key."""


class PermissionDenied(WhimbrelError):
    """The caller is known and may not do this."""


class NotFound(WhimbrelError):
    """The thing that the caller named does not exist."""


class Conflict(WhimbrelError):
    """The name is taken, or the record was changed first. `conflict_id` is the id of the other one."""

    def __init__(self, message: str, *, conflict_id: str = "") -> None:
        super().__init__(message)
        self.conflict_id = conflict_id


class Unavailable(WhimbrelError):
    """The service cannot do this now; the same call may work later."""


class Corrupt(WhimbrelError):
    """Stored data cannot be read back (wrong key, damage). Nothing is guessed in its place."""


class ContentErrors(InvalidInput):
    """Several refusals in one document or pack, each with its place."""

    def __init__(self, refusals: Sequence[InvalidInput]) -> None:
        super().__init__("\n".join(str(refusal) for refusal in refusals))
        self.refusals = tuple(refusals)


__all__ = [
    "Conflict",
    "ContentErrors",
    "Corrupt",
    "InvalidInput",
    "LimitExceeded",
    "NotFound",
    "PermissionDenied",
    "Unauthenticated",
    "Unavailable",
    "WhimbrelError",
]

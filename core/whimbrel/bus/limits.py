"""The written limits of the bus, all in one value."""

from typing import Final

import msgspec

MEBIBYTE: Final = 1024 * 1024
HEADER_BYTES: Final = 256
"""Set aside in each message for headers; a message id is shorter than this."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much the bus holds.

    `event_bytes`: published and not yet accepted; when it is full the publisher gets an error and
    nothing is dropped. `announce_bytes` and `announce_seconds`: what a late subscriber can still read;
    the oldest go first. `message_bytes`: one message, enforced by the embedded server.
    `replicas`: copies of each stream, 1 on the embedded server.
    """

    event_bytes: int = 256 * MEBIBYTE
    announce_bytes: int = 8 * MEBIBYTE
    announce_seconds: int = 3600
    message_bytes: int = 4 * MEBIBYTE
    replicas: int = 1

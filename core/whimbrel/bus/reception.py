"""From delivery to acknowledgement: what happens to each event that JetStream hands out."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from nats.aio.msg import Msg

from whimbrel.bus.port import Accept, Announcement, Inbound, Refused
from whimbrel.bus.refusal import refusal
from whimbrel.bus.streams import ACK_WAIT_SECONDS, EVENT_STREAM, IN_FLIGHT_LIMIT
from whimbrel.seams import Clock

STILL_WORKING_SECONDS: Final = ACK_WAIT_SECONDS / 3
FIRST_RETRY_SECONDS: Final = 0.1
LAST_RETRY_SECONDS: Final = 30.0

ACCEPTED: Final = b"+ACK"
STILL_WORKING: Final = b"+WPI"
NEVER: Final = b"+TERM"
AGAIN: Final = b"-NAK"

_PLAIN_TOKENS: Final = 9
_NANO: Final = 1_000_000_000

log = structlog.get_logger(__name__)

Send = Callable[[str, bytes], Awaitable[bool]]
Announce = Callable[[Sequence[Announcement]], Awaitable[None]]


class Reception:
    """Runs `accept` for each delivery, at most 256 at once, started in the stream's order.

    It outlives connections: an answer goes out on the connection that there is by then. An answer that
    gets lost means that the event comes again, after at most 10 seconds.
    """

    def __init__(
        self,
        accept: Accept,
        *,
        send: Send,
        announce: Announce,
        clock: Clock,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._accept = accept
        self._send = send
        self._announce = announce
        self._clock = clock
        self._tasks = tasks
        self._free = asyncio.Semaphore(IN_FLIGHT_LIMIT)
        self._under_way: dict[int, str] = {}

    async def take(self, message: Msg) -> None:
        """Start on a delivery; waits while 256 are under way."""
        sequence, deliveries = delivery_of(message.reply)
        if sequence in self._under_way:  # handed out anew while we work on it: answer the newest
            self._under_way[sequence] = message.reply
            return
        await self._free.acquire()
        self._under_way[sequence] = message.reply
        headers = message.headers or {}
        inbound = Inbound(message.subject, headers.get("Nats-Msg-Id", ""), headers, message.data)
        self._tasks.create_task(self._handle(inbound, sequence, deliveries))

    async def keep_alive(self) -> None:
        """Tell the server, until cancelled, that what is under way is being worked on."""
        while True:
            await asyncio.sleep(STILL_WORKING_SECONDS)
            for reply in tuple(self._under_way.values()):
                await self._send(reply, STILL_WORKING)

    async def _handle(self, inbound: Inbound, sequence: int, deliveries: int) -> None:
        answer = AGAIN
        try:
            answer = await self._outcome(inbound, sequence, deliveries)
        finally:
            reply = self._under_way.pop(sequence)
            self._free.release()
            await self._send(reply, answer)

    async def _outcome(self, inbound: Inbound, sequence: int, deliveries: int) -> bytes:
        try:
            return await self._accept_or_refuse(inbound, sequence)
        except Exception as error:  # noqa: BLE001 - whatever it was, the event comes again
            wait_seconds = retry_seconds(deliveries)
            log.warning(
                "event comes again",
                subject=inbound.subject,
                message_id=inbound.message_id,
                deliveries=deliveries,
                in_seconds=wait_seconds,
                reason=f"{type(error).__name__}: {error}",
            )
            return b'-NAK {"delay":%d}' % int(wait_seconds * _NANO)

    async def _accept_or_refuse(self, inbound: Inbound, sequence: int) -> bytes:
        try:
            await self._accept(inbound)
        except Refused as error:
            log.info("event refused", subject=inbound.subject, message_id=inbound.message_id)
            event_id = f"{EVENT_STREAM}.{sequence}"
            await self._announce([refusal(inbound, error, event_id, self._clock.now())])
            return NEVER
        return ACCEPTED


def delivery_of(reply: str) -> tuple[int, int]:
    """Return the stream sequence and the count of deliveries that an ack subject tells.

    `$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.…`, or with domain and account before the stream.
    """
    parts = reply.split(".")
    first = 4 if len(parts) == _PLAIN_TOKENS else 6
    return int(parts[first + 1]), int(parts[first])


def retry_seconds(deliveries: int) -> float:
    """Return how long a failed event waits: 0.1 s, doubled with each delivery, at most 30 s."""
    return float(min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(deliveries - 1, 16)))

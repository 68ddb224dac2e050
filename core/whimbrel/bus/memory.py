"""A bus within one process, with the contract of the real one: for tests and simulations."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from whimbrel.bus.limits import HEADER_BYTES, Limits
from whimbrel.bus.port import Accept, Announcement, BusDown, Inbound, Refused
from whimbrel.bus.refusal import fitting, refusal
from whimbrel.seams import Clock

DUPLICATE_SECONDS: Final = 120.0
"""How long a message id is remembered."""
IN_FLIGHT_LIMIT: Final = 256
"""Messages under way at once."""
WAITING_LIMIT: Final = 1024
"""Published messages that are not accepted yet; a further `publish` waits."""
KEPT_ANNOUNCEMENTS: Final = 10_000
"""The newest announcements that a test can look at."""

log = structlog.get_logger(__name__)


class MemoryBus:
    """Keeps everything in memory; `announced` shows what the outside would have seen."""

    def __init__(
        self, clock: Clock, *, limits: Limits | None = None, retry_seconds: float = 0.01
    ) -> None:
        self._clock = clock
        self._limit_bytes = (limits or Limits()).message_bytes - HEADER_BYTES
        self._retry_seconds = retry_seconds
        self._connected = True
        self._announced: deque[Announcement] = deque(maxlen=KEPT_ANNOUNCEMENTS)
        self._seen: dict[str, float] = {}
        self._room = asyncio.Semaphore(WAITING_LIMIT)
        self._waiting: asyncio.Queue[tuple[Inbound, asyncio.Future[None]]] = asyncio.Queue()
        self._serial = 0

    @property
    def connected(self) -> bool:
        """Whether `go_down` was not called last."""
        return self._connected

    @property
    def announced(self) -> tuple[Announcement, ...]:
        """The newest 10,000 announcements, oldest first, each message id once."""
        return tuple(self._announced)

    def go_down(self) -> None:
        """Behave as a bus that cannot be reached: announcements raise `BusDown`."""
        self._connected = False

    def come_back(self) -> None:
        """Undo `go_down`."""
        self._connected = True

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Keep all, once per message id. Raises `BusDown`.

        What can never be sent, being too large or on no known subject, is kept as a refusal.
        """
        if not self._connected:
            raise BusDown("the bus was told to be down")
        for announcement in announcements:
            if self._is_new(f"announce {announcement.message_id}"):
                self._announced.append(fitting(announcement, self._limit_bytes, self._clock.now()))

    async def publish(
        self,
        subject: str,
        data: bytes,
        *,
        message_id: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publish as an outside program; return when a receiver has accepted or refused it."""
        if message_id and not self._is_new(f"publish {message_id}"):
            return
        done = asyncio.get_running_loop().create_future()
        inbound = Inbound(subject, message_id, dict(headers or {}), data)
        async with self._room:
            self._waiting.put_nowait((inbound, done))
            await done

    async def receive(self, accept: Accept) -> None:
        """Hand each published message to `accept` until cancelled."""
        free = asyncio.Semaphore(IN_FLIGHT_LIMIT)
        async with asyncio.TaskGroup() as tasks:
            while True:
                await free.acquire()
                inbound, done = await self._waiting.get()
                task = tasks.create_task(self._hand_over(accept, inbound, done))
                task.add_done_callback(lambda _: free.release())

    async def _hand_over(
        self, accept: Accept, inbound: Inbound, done: asyncio.Future[None]
    ) -> None:
        try:
            await self._until_accepted(accept, inbound)
        except asyncio.CancelledError:
            self._waiting.put_nowait((inbound, done))
            raise
        if not done.done():
            done.set_result(None)

    async def _until_accepted(self, accept: Accept, inbound: Inbound) -> None:
        while True:
            try:
                return await self._accept_or_refuse(accept, inbound)
            except Exception as error:  # noqa: BLE001 - whatever it was, the message comes again
                log.warning("event comes again", subject=inbound.subject, reason=str(error))
                await asyncio.sleep(self._retry_seconds)

    async def _accept_or_refuse(self, accept: Accept, inbound: Inbound) -> None:
        try:
            await accept(inbound)
        except Refused as error:
            self._serial += 1
            event_id = f"refused.{self._serial}"
            await self.announce([refusal(inbound, error, event_id, self._clock.now())])

    def _is_new(self, message_id: str) -> bool:
        now = self._clock.monotonic()
        while self._seen and next(iter(self._seen.values())) <= now - DUPLICATE_SECONDS:
            del self._seen[next(iter(self._seen))]
        if message_id in self._seen:
            return False
        self._seen[message_id] = now
        return True

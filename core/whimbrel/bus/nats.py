"""The bus on NATS JetStream: the embedded server, or any that a URL names.

On a server of your own, the broker's user has to be allowed to publish `whimbrel.>`, `$JS.API.>` and
`$JS.ACK.>`, and to subscribe `_WHIMBREL.>`. JetStream has to be of nats-server 2.12 or later.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import msgspec
import structlog
from nats.errors import Error as NatsError

from whimbrel.bus import streams
from whimbrel.bus.cancellation import heeded
from whimbrel.bus.credentials import Credentials
from whimbrel.bus.limits import HEADER_BYTES, Limits
from whimbrel.bus.link import Link
from whimbrel.bus.port import Accept, Announcement, BusDown
from whimbrel.bus.reception import Reception
from whimbrel.bus.refusal import fitting
from whimbrel.errors import InvalidInput, WhimbrelError
from whimbrel.seams import Clock

BATCH_LIMIT: Final = 256
"""Announcements under way at once in one `announce`."""
PUBLISH_SECONDS: Final = 2.0
"""How long an answer may take before an announcement is sent again with the same id."""
PUBLISH_ATTEMPTS: Final = 3
LINK_SECONDS: Final = 2.0
"""How long `announce` waits for a connection before it raises `BusDown`."""
FIRST_BACKOFF_SECONDS: Final = 0.05
LAST_BACKOFF_SECONDS: Final = 1.0
CONSUMER_CHECK_SECONDS: Final = 5.0

log = structlog.get_logger(__name__)


async def _nothing() -> None:
    return


class NatsBus:
    """Connected between `async with` and its end; a lost connection is re-made for ever.

    Entering raises `BusDown` when no server answers, `Unauthenticated` when it refuses the login,
    `InvalidInput` when its JetStream is too old. `make_durable` is awaited after a stream or consumer
    on disk was made or changed. `url` is `nats://host:port` or `tls://host:port`, several with commas
    between them for a cluster.
    """

    def __init__(
        self,
        url: str,
        credentials: Credentials | None = None,
        *,
        clock: Clock,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        make_durable: Callable[[], Awaitable[None]] = _nothing,
    ) -> None:
        self._url = _checked(url)
        self._credentials = credentials
        self._clock = clock
        self._limits = limits or Limits()
        self._tls = tls
        self._make_durable = make_durable
        self._linked = asyncio.Event()
        self._tasks = asyncio.TaskGroup()

    @property
    def connected(self) -> bool:
        """Whether the bus can be reached, as far as is known now."""
        return self._linked.is_set() and self._link.alive

    async def __aenter__(self) -> Self:
        self._link = await self._open_link()
        self._linked.set()
        await self._tasks.__aenter__()
        self._keeper = self._tasks.create_task(self._keep_linked())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._keeper.cancel()
        try:
            await self._tasks.__aexit__(kind, error, traceback)
        finally:
            self._linked.clear()
            await self._link.close()

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Send all, in order; return when JetStream has them. Raises `BusDown`.

        What is sent again after a lost connection may come behind what was sent after it. What can
        never be sent, being too large or on no known subject, is announced on `whimbrel.refused`.
        """
        for start in range(0, len(announcements), BATCH_LIMIT):
            await self._announce(announcements[start : start + BATCH_LIMIT])

    async def receive(self, accept: Accept) -> None:
        """Hand each inbound event to `accept` until cancelled; one call at a time."""
        async with asyncio.TaskGroup() as tasks:
            reception = Reception(
                accept, send=self._send, announce=self.announce, clock=self._clock, tasks=tasks
            )
            tasks.create_task(reception.keep_alive())
            while True:
                await self._receive_on(await self._present_link(), reception)

    async def _receive_on(self, link: Link, reception: Reception) -> None:
        """Until the link is lost. Deleting the consumer is not told to us, so we look."""
        group = streams.DELIVERY_GROUP
        try:
            subscription = await link.subscribe(streams.DELIVERY, group, reception.take)
            try:
                while await self._is_consumed(link):
                    pass
            finally:
                with suppress(NatsError):
                    await heeded(subscription.unsubscribe())
        except BusDown as error:
            log.warning("events cannot be received", reason=str(error))
        link.abandon()

    async def _is_consumed(self, link: Link) -> bool:
        try:
            async with asyncio.timeout(CONSUMER_CHECK_SECONDS):
                await link.lost.wait()
        except TimeoutError:
            return await link.jetstream.has_consumer()
        return False

    async def _announce(self, batch: Sequence[Announcement]) -> None:
        reasons: set[str] = set()
        for _ in range(PUBLISH_ATTEMPTS):
            link = await self._link_soon()
            unsent = await link.publish(self._fitting(batch, link), PUBLISH_SECONDS)
            if not unsent:
                return
            batch = [one.announcement for one in unsent]
            reasons = {one.error.description if one.error else "no answer" for one in unsent}
            if any(one.error and one.error.code == streams.NO_RESPONDERS for one in unsent):
                link.abandon()  # the next one makes the streams anew
        raise BusDown(f"{len(batch)} announcements were not taken: {', '.join(sorted(reasons))}")

    def _fitting(self, batch: Sequence[Announcement], link: Link) -> list[Announcement]:
        limit = min(link.message_limit_bytes, self._limits.message_bytes) - HEADER_BYTES
        now = self._clock.now()
        return [fitting(announcement, limit, now) for announcement in batch]

    async def _send(self, subject: str, data: bytes) -> bool:
        return await self._link.send(subject, data)

    async def _link_soon(self) -> Link:
        try:
            async with asyncio.timeout(LINK_SECONDS):
                return await self._present_link()
        except TimeoutError:
            raise BusDown(f"{self._url} cannot be reached") from None

    async def _present_link(self) -> Link:
        while True:
            await self._linked.wait()
            if self._link.alive:
                return self._link
            await asyncio.sleep(FIRST_BACKOFF_SECONDS)  # it is closing: `lost` is about to be set

    async def _keep_linked(self) -> None:
        while True:
            await self._link.lost.wait()
            self._linked.clear()
            log.warning("connection to NATS lost", url=self._url)
            await self._link.close()
            self._link = await self._link_again()
            self._linked.set()
            log.info("connection to NATS is back", url=self._url)

    async def _link_again(self) -> Link:
        wait_seconds = FIRST_BACKOFF_SECONDS
        while True:
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, LAST_BACKOFF_SECONDS)
            try:
                return await self._open_link()
            except WhimbrelError as error:
                log.info("NATS is not back yet", url=self._url, reason=str(error))

    async def _open_link(self) -> Link:
        link = await Link.open(self._url, self._credentials, self._tls)
        try:
            await self._prepare(link)
        except BaseException:
            await link.close()
            raise
        return link

    async def _prepare(self, link: Link) -> None:
        try:
            await link.jetstream.check_level()
            await link.jetstream.ensure_stream(streams.announce_stream(self._limits))
            changed = await link.jetstream.ensure_stream(streams.event_stream(self._limits))
            changed |= await link.jetstream.ensure_consumer()
        except (OSError, msgspec.DecodeError) as error:
            raise BusDown(f"{self._url}: {error}") from error
        if changed:
            await self._make_durable()


def _checked(url: str) -> str:
    parts = [urlsplit(one) for one in url.split(",")]
    if any("@" in part.netloc for part in parts):
        raise InvalidInput("a login belongs into a credentials file, not into the URL of NATS")
    if {part.scheme for part in parts} not in ({"nats"}, {"tls"}) or not all(
        part.hostname for part in parts
    ):
        raise InvalidInput("has to be nats://host:port or tls://host:port", place=url)
    return url

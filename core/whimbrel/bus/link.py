"""One connection to NATS, from login to loss. It is never mended: the bus makes another one."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self

import msgspec
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.errors import NoServersError

from whimbrel.bus.cancellation import heeded
from whimbrel.bus.credentials import Credentials
from whimbrel.bus.port import Announcement, BusDown
from whimbrel.bus.streams import ANNOUNCE_STREAM, NO_RESPONDERS, ApiError, JetStream
from whimbrel.errors import PermissionDenied, Unauthenticated

INBOX: Final = "_WHIMBREL.inbox"
"""Not `_INBOX`, which publishers may subscribe."""
CONNECT_SECONDS: Final = 2
CLOSE_SECONDS: Final = 1.0
PING_SECONDS: Final = 5
"""A silent connection counts as lost after three of these."""

log = structlog.get_logger(__name__)


class PubAck(msgspec.Struct, frozen=True):
    """JetStream's answer to one message."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False
    error: ApiError | None = None


class Unsent(msgspec.Struct, frozen=True):
    """An announcement that was not taken, and JetStream's reason, if it gave one."""

    announcement: Announcement
    error: ApiError | None = None


class _Batch:
    """What was published together and is not yet answered."""

    def __init__(self, announcements: Sequence[Announcement]) -> None:
        self.open = dict(enumerate(announcements))
        self.refused: list[Unsent] = []
        self.answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def settle(self, position: int, error: ApiError | None) -> None:
        announcement = self.open.pop(position, None)
        if announcement is not None and error is not None:
            self.refused.append(Unsent(announcement, error))
        if not self.open:
            self.give_up()

    def give_up(self) -> None:
        if not self.answered.done():
            self.answered.set_result(None)

    def unsent(self) -> list[Unsent]:
        return [*self.refused, *(Unsent(announcement) for announcement in self.open.values())]


class Link:
    """A connection that is logged in; `lost` is set once it is gone for good."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.lost = asyncio.Event()
        self.client = Client()
        self.jetstream = JetStream(self.client, url)
        self._cause: Exception | None = None
        self._batches: dict[str, _Batch] = {}
        self._serial = 0
        self._answers = ""
        self._decoder = msgspec.json.Decoder(PubAck)

    @classmethod
    async def open(
        cls, url: str, credentials: Credentials | None, tls: ssl.SSLContext | None
    ) -> Self:
        """Connect and log in. Raises `BusDown`, `Unauthenticated` or `PermissionDenied`."""
        link = cls(url)
        try:
            await heeded(link._connect(credentials, tls))
            await link._listen_for_answers()
        except BaseException:
            await link.close()
            raise
        return link

    @property
    def alive(self) -> bool:
        """Whether it is connected as far as is known now."""
        return not self.lost.is_set() and self.client.is_connected

    @property
    def message_limit_bytes(self) -> int:
        """The largest message that this server takes."""
        return self.client.max_payload

    def abandon(self) -> None:
        """Say that this connection is of no more use; the bus closes it and makes another one."""
        self.lost.set()
        for batch in self._batches.values():
            batch.give_up()

    async def close(self) -> None:
        """End the connection; what was published before is sent first."""
        self.abandon()
        # After a failed TLS handshake the client waits for ever, after a reset it may raise.
        with suppress(TimeoutError, OSError, NatsError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await heeded(self.client.close())
        self._finish_closing()

    def _finish_closing(self) -> None:
        """The client leaves these behind when a reset broke its closing off."""
        for subscription in tuple(self.client._subs.values()):
            subscription._stop_processing()
        if (transport := self.client._transport) is not None:
            transport.close()  # type: ignore[no-untyped-call]  # it has no annotations

    async def subscribe(
        self, subject: str, queue: str, callback: Callable[[Msg], Awaitable[None]]
    ) -> Subscription:
        """Subscribe as one of a queue group. Raises `BusDown`."""
        try:
            return await heeded(self.client.subscribe(subject, queue=queue, cb=callback))
        except NatsError as error:
            raise BusDown(f"{self.url}: {error}") from error

    async def send(self, subject: str, data: bytes) -> bool:
        """Publish without an answer; return whether the connection was there."""
        try:
            await heeded(self.client.publish(subject, data))
        except (NatsError, OSError):
            return False
        return True

    async def publish(
        self, announcements: Sequence[Announcement], timeout_seconds: float
    ) -> list[Unsent]:
        """Publish to JetStream, in order; return what it did not take within the time."""
        batch = _Batch(announcements)
        self._serial += 1
        key = str(self._serial)
        self._batches[key] = batch
        try:
            await heeded(self._publish_all(announcements, f"{self._answers}.{key}"))
            async with asyncio.timeout(timeout_seconds):
                await batch.answered
        except (TimeoutError, NatsError, OSError) as error:
            log.info("announcements not answered", count=len(batch.open), reason=repr(error))
        finally:
            del self._batches[key]
        return batch.unsent()

    async def _publish_all(self, announcements: Sequence[Announcement], reply: str) -> None:
        publish = self.client.publish
        for position, announcement in enumerate(announcements):
            await publish(
                announcement.subject,
                announcement.data,
                f"{reply}.{position}",
                {"Nats-Msg-Id": announcement.message_id},
            )

    async def _listen_for_answers(self) -> None:
        self._answers = self.client.new_inbox()
        await self.subscribe(f"{self._answers}.*.*", "", self._answered)

    async def _answered(self, message: Msg) -> None:
        _, key, position = message.subject.rsplit(".", 2)
        batch = self._batches.get(key)
        if batch is None:  # it gave up waiting
            return
        if message.data:
            batch.settle(int(position), self._decoder.decode(message.data).error)
        else:
            batch.settle(int(position), ApiError(NO_RESPONDERS, f"no stream {ANNOUNCE_STREAM}"))

    async def _connect(self, credentials: Credentials | None, tls: ssl.SSLContext | None) -> None:
        try:
            await self.client.connect(
                self.url.split(","),
                name="whimbrel",
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_SECONDS,
                ping_interval=PING_SECONDS,
                inbox_prefix=INBOX,
                error_cb=self._failed,
                tls=tls,
                **self._login(credentials),
            )
        except (NatsError, OSError, TimeoutError) as error:
            raise self._reason(error, credentials) from error
        self._check_encryption()
        self._watch_reading()

    def _check_encryption(self) -> None:
        """The client itself would go on in clear when a server does not ask for TLS."""
        if self.url.startswith("tls://") and not self.client._server_info.get("tls_required"):
            raise PermissionDenied(f"{self.url}: the server offers no TLS, and tls:// asks for it")

    def _reason(self, error: Exception, credentials: Credentials | None) -> Exception:
        text = str(error).lower()
        if "authorization" in text or "authentication" in text:
            who = credentials.origin if credentials else "no credentials"
            return Unauthenticated(f"{self.url}: NATS refused the login with {who}")
        cause = self._cause if isinstance(error, NoServersError) and self._cause else error
        return BusDown(f"{self.url}: no NATS server answers: {cause!r}")

    async def _failed(self, error: Exception) -> None:
        self._cause = error
        if "permissions violation" in str(error).lower():
            log.warning("NATS forbids it", url=self.url, reason=str(error))

    def _watch_reading(self) -> None:
        """Nothing is ever read again once the client's reading task ends, whatever ended it.

        The client's `closed_cb` is not enough: a reset with data still to be written breaks its closing
        off before the callback.
        """
        reading = self.client._reading_task
        if reading is None:
            raise BusDown(f"{self.url}: the connection ended at once")
        reading.add_done_callback(self._reading_ended)

    def _reading_ended(self, reading: asyncio.Task[None]) -> None:
        if not reading.cancelled() and (error := reading.exception()) is not None:
            log.info("connection to NATS broke", url=self.url, reason=repr(error))
        self.abandon()

    def _login(self, credentials: Credentials | None) -> dict[str, Any]:
        if credentials is None:
            return {}
        if credentials.seed:
            return {"nkeys_seed_str": credentials.seed}
        if credentials.creds_file:
            return {"user_credentials": credentials.creds_file}
        return {"user": credentials.user, "password": lambda: self._password(credentials)}

    def _password(self, credentials: Credentials) -> str:
        """Asked for after the TLS handshake, if there was one."""
        self._check_encryption()
        return credentials.password

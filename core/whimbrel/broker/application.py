"""The application: every door (REST, gRPC, bus, timers) calls these same services."""

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import msgspec
import structlog

from whimbrel import errors
from whimbrel.broker.content import Content
from whimbrel.broker.dispatch import Dispatcher
from whimbrel.broker.events import Events
from whimbrel.broker.executions import Executions
from whimbrel.broker.identity import Identity
from whimbrel.broker.inbound import event_of
from whimbrel.broker.keys import Keys
from whimbrel.broker.outbox import Outbox
from whimbrel.broker.records import SEEN_EVENTS
from whimbrel.broker.stream import Stream
from whimbrel.bus import Bus, Inbound, Refused
from whimbrel.host import Host
from whimbrel.seams import Clock
from whimbrel.store import Store, StoreFull

SEEN_EVENT_DAYS = 2
"""How long an event id is remembered; sources that repeat themselves later are new events."""

COUNTED = ("execution", "output", "trigger_instance", "rule_enforcement", "trace", "key")
"""The tables whose sizes an operator watches."""

PURGE_SECONDS = 600.0
PURGE_LIMIT = 1000

log = structlog.get_logger(__name__)


class Broker(msgspec.Struct, frozen=True, kw_only=True):
    """The services by name, and the life of what runs beside requests.

    `started` is when it was built, on the monotonic clock.
    """

    store: Store
    bus: Bus
    host: Host
    content: Content
    identity: Identity
    keys: Keys
    executions: Executions
    events: Events
    stream: Stream
    dispatcher: Dispatcher
    outbox: Outbox
    clock: Clock
    version: str
    started: float

    async def run(self, ready: asyncio.Event) -> None:
        """Recover, then carry out what comes until cancelled; sets `ready` once new work is taken."""
        recovered = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.dispatcher.run(recovered))
            tasks.create_task(self.outbox.drain())
            await recovered.wait()
            tasks.create_task(self.bus.receive(self._accept))
            tasks.create_task(self._purge())
            ready.set()

    async def _accept(self, message: Inbound) -> None:
        """Take an event that an outside program published."""
        event = event_of(message)
        try:
            await self.events.ingest(event)
        except (errors.InvalidInput, errors.NotFound) as error:
            raise Refused(str(error)) from error

    async def _purge(self) -> None:
        while True:
            try:
                await self.purge()
            except StoreFull as error:
                log.warning("purging waits for space", reason=str(error))
            await asyncio.sleep(PURGE_SECONDS)

    async def purge(self) -> None:
        """Forget event ids that are older than `SEEN_EVENT_DAYS`, expired tokens and expired keys."""
        today = self.clock.now().date()
        for age in range(SEEN_EVENT_DAYS + 1, SEEN_EVENT_DAYS + 15):
            index = ("day", (today - timedelta(days=age)).isoformat())
            while old := SEEN_EVENTS.page(self.store, limit=PURGE_LIMIT, index=index):
                await self.store.commit([SEEN_EVENTS.delete(seen.key) for seen in old])
        await self.identity.purge()
        await self.keys.purge()

    def status(self) -> Mapping[str, Any]:
        """Return what operators want to know first; `GET /api/v1/status` shows it."""
        return {
            "version": self.version,
            "ready": True,
            "uptime_seconds": round(self.clock.monotonic() - self.started, 1),
            "bus": {"connected": self.bus.connected, "unannounced": self.outbox.waiting()},
            "executions": {
                "active": self.dispatcher.active(),
                "queued": self.dispatcher.queued(),
            },
            "store": {table: self.store.count(table) for table in COUNTED},
            "plugins": msgspec.to_builtins(self.host.statuses()),
        }

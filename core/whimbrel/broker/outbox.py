"""The transactional outbox: announcements commit with the change, and are sent afterwards.

At least once, in commit order, with stable message ids: a receiver that remembers ids sees each once.
"""

import asyncio
from collections.abc import Sequence

import msgspec
import structlog

from whimbrel.bus import Announcement, Bus, BusDown
from whimbrel.seams import Ids
from whimbrel.store import Delete, Op, Put, Store, StoreFull

TABLE = "outbox"
BATCH_LIMIT = 64
GATHER_SECONDS = 0.005
"""Announcements wait this long for company: sending them must not delay the runs they are about."""

RETRY_SECONDS = 0.2
FORGET_LIMIT = 500
"""Sent records that one commit removes; after an outage there are many."""

FORGET_SECONDS = 0.25
"""Sent records are removed in groups this far apart: a crash re-sends them, ids make that harmless."""

log = structlog.get_logger(__name__)


class Outbox:
    """Writes announcements into commits and drains them to the bus."""

    def __init__(self, store: Store, bus: Bus, ids: Ids) -> None:
        self._store = store
        self._bus = bus
        self._ids = ids
        self._wake = asyncio.Event()
        self._sent: set[str] = set()
        self._cursor: str | None = None
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(list[Announcement])

    def op(self, announcements: Sequence[Announcement]) -> Op:
        """Return the write that must be part of the commit which it announces."""
        return Put(TABLE, self._ids.object_id(), self._encoder.encode(announcements))

    def committed(self) -> None:
        """Say that a commit with an `op` of this outbox is durable."""
        self._wake.set()

    def waiting(self) -> int:
        """Return how many commits are not announced yet."""
        return self._store.count(TABLE) - len(self._sent)

    async def drain(self) -> None:
        """Send what waits, and what comes, until cancelled; a bus that is down is tried for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._forget())
            while True:
                self._wake.clear()
                await self._send_waiting()
                await self._wake.wait()
                await asyncio.sleep(GATHER_SECONDS)

    async def _send_waiting(self) -> None:
        while records := self._store.page(
            TABLE, limit=BATCH_LIMIT, before=self._cursor, ascending=True
        ):
            self._cursor = records[-1].key
            fresh = [record for record in records if record.key not in self._sent]
            await self._announce([a for r in fresh for a in self._decoder.decode(r.value)])
            self._sent.update(record.key for record in fresh)

    async def _announce(self, batch: list[Announcement]) -> None:
        while batch:
            try:
                await self._bus.announce(batch)
                return
            except BusDown as error:
                log.info("announcements wait for the bus", count=len(batch), reason=str(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _forget(self) -> None:
        while True:
            await asyncio.sleep(FORGET_SECONDS)
            try:
                await self.forget_sent()
            except StoreFull as error:
                log.warning("sent announcements stay until there is space", reason=str(error))

    async def forget_sent(self) -> None:
        """Remove what was sent.

        Keys are given out before they commit, so one may commit behind the cursor: after each removal the
        table is read from its start again.
        """
        sent = list(self._sent)
        if not sent:
            return
        for start in range(0, len(sent), FORGET_LIMIT):
            group = sent[start : start + FORGET_LIMIT]
            await self._store.commit([Delete(TABLE, key) for key in group])
            self._sent.difference_update(group)
        self._cursor = None
        if self._store.count(TABLE):
            self._wake.set()

"""The transactional outbox: in order, at least once, nothing left behind."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from whimbrel.broker.outbox import TABLE, Outbox
from whimbrel.bus import Announcement
from whimbrel.bus.memory import MemoryBus
from whimbrel.store import Op, StoreFull
from whimbrel.store.memory import MemoryStore
from whimbrel.testing import CountedIds, FixedClock


def announcement(name: str) -> Announcement:
    """Return an announcement with `name` as its id and data."""
    return Announcement("whimbrel.rule.create.p.r", name, name.encode())


class ForgetfulBus(MemoryBus):
    """A bus that loses the connection after it took the first announcements of a batch."""

    def __init__(self, losses: int) -> None:
        super().__init__(FixedClock())
        self.losses = losses

    async def announce(self, announcements: Sequence[Announcement]) -> None:
        """Take the first announcement alone, as often as told; then all."""
        if not self.losses:
            return await super().announce(announcements)
        self.losses -= 1
        await super().announce(announcements[:1])
        self.go_down()
        try:
            await super().announce(announcements[1:])
        finally:
            self.come_back()
        return None


class FullStore(MemoryStore):
    """A store that takes nothing while it is `full`."""

    full = False
    refused = 0

    async def commit(self, ops: Sequence[Op]) -> int:
        """Refuse while full."""
        if self.full:
            self.refused += 1
            raise StoreFull("the disk is full")
        return await super().commit(ops)


class Bench:
    """An outbox between a store and a bus."""

    def __init__(self, bus: MemoryBus | None = None, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.bus = bus or MemoryBus(FixedClock())
        self.ids = CountedIds()
        self.outbox = Outbox(self.store, self.bus, self.ids)

    async def put(self, *names: str) -> None:
        """Commit one announcement each."""
        for name in names:
            await self.store.commit([self.outbox.op([announcement(name)])])
            self.outbox.committed()

    async def until_sent(self, *names: str) -> None:
        """Return once the bus has these, in this order."""
        async with asyncio.timeout(5):
            while [a.message_id for a in self.bus.announced] != list(names):
                await asyncio.sleep(0.001)


def drive(bench: Bench, scenario: Callable[[], Awaitable[None]]) -> None:
    """Run the scenario while the outbox drains."""

    async def run() -> None:
        async with asyncio.TaskGroup() as tasks:
            draining = tasks.create_task(bench.outbox.drain())
            await scenario()
            draining.cancel()

    asyncio.run(run())


def test_announcements_are_sent_in_the_order_of_their_commits() -> None:
    """More than a batch of commits is sent, in order."""
    bench = Bench()
    names = [f"a{number}" for number in range(200)]

    async def scenario() -> None:
        await bench.put(*names)
        await bench.until_sent(*names)

    drive(bench, scenario)


def test_what_a_former_process_left_is_sent_at_the_start() -> None:
    """Announcements that were committed and not sent before the end are sent by the next broker."""
    former = Bench()
    asyncio.run(former.put("a", "b"))
    bench = Bench(store=former.store)

    async def scenario() -> None:
        await bench.until_sent("a", "b")

    drive(bench, scenario)


def test_a_bus_that_is_down_is_tried_again() -> None:
    """What was committed while the bus was down is sent when it is back; nothing is dropped."""
    bench = Bench()
    bench.bus.go_down()

    async def scenario() -> None:
        await bench.put("a", "b")
        assert 2 == bench.outbox.waiting()
        bench.bus.come_back()
        await bench.put("c")
        await bench.until_sent("a", "b", "c")

    drive(bench, scenario)


def test_a_batch_that_was_cut_off_is_sent_again_under_the_same_ids() -> None:
    """After a loss in the middle of a batch all of it is sent again, so receivers see each once."""
    bench = Bench(ForgetfulBus(losses=2))

    async def scenario() -> None:
        await bench.put("a", "b", "c")
        await bench.until_sent("a", "b", "c")

    drive(bench, scenario)


def test_a_commit_behind_the_cursor_is_sent() -> None:
    """A key that was given out early and commits late is sent though later keys went first."""
    bench = Bench()

    async def scenario() -> None:
        late: Op = bench.outbox.op([announcement("late")])
        await bench.put("early")
        await bench.until_sent("early")
        await bench.store.commit([late])
        bench.outbox.committed()
        await bench.outbox.forget_sent()
        await bench.until_sent("early", "late")

    drive(bench, scenario)


def test_what_was_sent_is_removed_and_what_waits_is_not() -> None:
    """Only announcements that the bus has are forgotten."""
    bench = Bench()

    async def scenario() -> None:
        await bench.put("a")
        await bench.until_sent("a")
        async with asyncio.timeout(5):
            while bench.outbox.waiting():
                await asyncio.sleep(0.001)
        bench.bus.go_down()
        await bench.put("b")
        await bench.outbox.forget_sent()
        assert 1 == bench.store.count(TABLE)
        assert 1 == bench.outbox.waiting()

    drive(bench, scenario)


def test_a_great_many_sent_announcements_are_forgotten_in_commits_of_their_size() -> None:
    """More sent records than one commit may remove are removed all the same."""
    bench = Bench()
    names = [f"a{number}" for number in range(2500)]

    async def scenario() -> None:
        for name in names:
            await bench.store.commit([bench.outbox.op([announcement(name)])])
        bench.outbox.committed()
        await bench.until_sent(*names)
        async with asyncio.timeout(5):
            while bench.store.count(TABLE):
                await asyncio.sleep(0.001)

    drive(bench, scenario)


def test_a_full_store_does_not_end_the_sending() -> None:
    """While nothing can be removed, announcements still go out, and are removed when there is space."""
    store = FullStore()
    bench = Bench(store=store)

    async def scenario() -> None:
        await bench.put("a", "b")
        store.full = True
        await bench.until_sent("a", "b")
        async with asyncio.timeout(5):
            while store.refused < 2:
                await asyncio.sleep(0.001)
            store.full = False
            while store.count(TABLE):
                await asyncio.sleep(0.001)

    drive(bench, scenario)

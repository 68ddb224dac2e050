"""What the bus in memory can do beyond the port."""

import asyncio
from datetime import UTC, datetime

import pytest
from whimbrel.bus import Announcement, BusDown, Inbound, Refused
from whimbrel.bus.memory import DUPLICATE_SECONDS, MemoryBus

KEY = Announcement("whimbrel.key.updated.st2kv%2Esystem", "one", b"{}")


class HandClock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        """Return the seconds after an epoch."""
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.seconds


def test_ids_are_forgotten_after_the_window() -> None:
    """A message id counts as new again after two minutes."""
    clock = HandClock()
    bus = MemoryBus(clock)

    async def scenario() -> None:
        await bus.announce([KEY])
        clock.seconds = DUPLICATE_SECONDS - 1
        await bus.announce([KEY])
        assert list(bus.announced) == [KEY]
        clock.seconds = DUPLICATE_SECONDS
        await bus.announce([KEY])
        assert list(bus.announced) == [KEY, KEY]

    asyncio.run(scenario())


def test_a_bus_that_is_down_says_so() -> None:
    """Announcements fail while it is down and work afterwards."""
    bus = MemoryBus(HandClock())

    async def scenario() -> None:
        bus.go_down()
        assert not bus.connected
        with pytest.raises(BusDown):
            await bus.announce([KEY])
        bus.come_back()
        assert bus.connected
        await bus.announce([KEY])

    asyncio.run(scenario())
    assert bus.announced == (KEY,)


def test_a_refusal_waits_for_the_bus() -> None:
    """What cannot be announced as refused comes again, rather than vanishing."""
    bus = MemoryBus(HandClock(), retry_seconds=0)

    async def refuse(_: Inbound) -> None:
        if bus.connected:
            bus.go_down()
        else:
            bus.come_back()
        raise Refused("never")

    async def scenario() -> None:
        async with asyncio.TaskGroup() as tasks:
            receiver = tasks.create_task(bus.receive(refuse))
            await bus.publish("whimbrel.event.a", b"")
            receiver.cancel()

    asyncio.run(scenario())
    assert [one.subject for one in bus.announced] == ["whimbrel.refused"]

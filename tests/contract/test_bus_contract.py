"""What every bus keeps, whatever it is made of."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Protocol

import msgspec
import nats
import pytest
from nats.aio.client import Client
from whimbrel.app.world import RandomIds, SystemClock
from whimbrel.bus import Announcement, Bus, Inbound, Refused
from whimbrel.bus.memory import MemoryBus
from whimbrel.bus.nats import NatsBus
from whimbrel.bus.server import EmbeddedServer
from whimbrel.bus.streams import ANNOUNCE_STREAM

SUBJECT = "whimbrel.event.sample.happened"
ENOUGH_SECONDS = 20


class Outside(Protocol):
    """What programs around the broker can do and see."""

    bus: Bus

    async def publish(self, data: bytes, *, message_id: str = "", **headers: str) -> None:
        """Publish an event; may return before it is accepted."""
        ...

    async def announced(self) -> list[Announcement]:
        """Return what was announced, each message id once."""
        ...


class AroundMemory:
    """The outside of a `MemoryBus`."""

    def __init__(self) -> None:
        self.memory = MemoryBus(SystemClock())
        self.bus: Bus = self.memory

    async def publish(self, data: bytes, *, message_id: str = "", **headers: str) -> None:
        """Wait until it is accepted, as this bus does."""
        await self.memory.publish(SUBJECT, data, message_id=message_id, headers=headers)

    async def announced(self) -> list[Announcement]:
        """Return what the bus kept."""
        return list(self.memory.announced)


class AroundNats:
    """The outside of a `NatsBus`: another connection to its server."""

    def __init__(self, bus: Bus, client: Client, publisher: Client) -> None:
        self.bus = bus
        self._client = client
        self._stream = publisher.jetstream()

    async def publish(self, data: bytes, *, message_id: str = "", **headers: str) -> None:
        """Publish as a program with the publisher's key; return when it is durable."""
        own = {"Nats-Msg-Id": message_id} if message_id else {}
        await self._stream.publish(SUBJECT, data, headers={**own, **headers} or None)

    async def announced(self) -> list[Announcement]:
        """Read the stream from its start."""
        stream = self._client.jetstream()
        found = []
        for sequence in range(1, (await stream.stream_info(ANNOUNCE_STREAM)).state.last_seq + 1):
            message = await stream.get_msg(ANNOUNCE_STREAM, seq=sequence)
            assert message.subject is not None
            message_id = (message.headers or {})["Nats-Msg-Id"]
            found.append(Announcement(message.subject, message_id, message.data or b""))
        return found


@asynccontextmanager
async def around_memory(_: Path) -> AsyncIterator[Outside]:
    """Give a bus in memory."""
    yield AroundMemory()


@asynccontextmanager
async def around_nats(folder: Path) -> AsyncIterator[Outside]:
    """Give a bus on an embedded server."""
    async with (
        EmbeddedServer(folder / "run", folder / "data", ids=RandomIds()) as server,
        NatsBus(server.url, server.credentials, clock=SystemClock()) as bus,
        await nats.connect(server.url, nkeys_seed_str=server.credentials.seed) as client,
        await nats.connect(server.url, nkeys_seed=str(server.publisher_file)) as publisher,
    ):
        yield AroundNats(bus, client, publisher)


Around = Callable[[Path], AbstractAsyncContextManager[Outside]]


@pytest.fixture(params=[around_memory, around_nats], ids=["memory", "nats"])
def around(request: pytest.FixtureRequest) -> Around:
    """Run each test with each bus."""
    chosen: Around = request.param
    return chosen


def run(around: Around, folder: Path, scenario: Callable[[Outside], Awaitable[None]]) -> None:
    """Run a scenario with a bus, with an end."""

    async def bounded() -> None:
        async with asyncio.timeout(ENOUGH_SECONDS), around(folder) as outside:
            await scenario(outside)

    asyncio.run(bounded())


@asynccontextmanager
async def receiving(
    outside: Outside, accept: Callable[[Inbound], Awaitable[None]]
) -> AsyncIterator[asyncio.TaskGroup]:
    """Receive during the block; the group is for publishing."""
    async with asyncio.TaskGroup() as tasks:
        receiver = tasks.create_task(outside.bus.receive(accept))
        yield tasks
        receiver.cancel()


def announcements(*message_ids: str) -> list[Announcement]:
    """Return announcements with these ids."""
    return [
        Announcement("whimbrel.execution.succeeded.core.local", message_id, message_id.encode())
        for message_id in message_ids
    ]


class Handler:
    """Accepts events after raising what it was told to raise."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tried: list[Inbound] = []
        self.accepted: asyncio.Queue[Inbound] = asyncio.Queue()

    async def __call__(self, inbound: Inbound) -> None:
        """Fail as told, then accept."""
        self.tried.append(inbound)
        if self.failures:
            raise self.failures.pop(0)
        self.accepted.put_nowait(inbound)


def test_announcements_are_seen_in_order(around: Around, tmp_path: Path) -> None:
    """What is announced in one call reaches the outside in its order, whole."""
    batch = announcements(*(f"a{number}" for number in range(300)))

    async def scenario(outside: Outside) -> None:
        await outside.bus.announce(batch)
        assert batch == await outside.announced()
        assert outside.bus.connected

    run(around, tmp_path, scenario)


def test_nothing_to_announce_is_fine(around: Around, tmp_path: Path) -> None:
    """An empty batch has no effect."""

    async def scenario(outside: Outside) -> None:
        await outside.bus.announce([])
        assert await outside.announced() == []

    run(around, tmp_path, scenario)


def test_an_announcement_sent_again_is_seen_once(around: Around, tmp_path: Path) -> None:
    """The message id tells a re-send from news."""
    first, second = announcements("first", "second")

    async def scenario(outside: Outside) -> None:
        await outside.bus.announce([first])
        await outside.bus.announce([first, second])
        assert [first, second] == await outside.announced()

    run(around, tmp_path, scenario)


@pytest.mark.parametrize(
    "subject",
    ["whimbrel.event.sample.happened", "whimbrel.execution", "whimbrel.key.*", "other.thing", ""],
)
def test_what_cannot_be_announced_is_told_as_refused(
    around: Around, tmp_path: Path, subject: str
) -> None:
    """It holds up nothing, and whoever watches learns of it."""
    good = announcements("good", "next")
    batch = [good[0], Announcement(subject, "bad", b"{}"), good[1]]

    async def scenario(outside: Outside) -> None:
        await outside.bus.announce(batch)
        first, told, last = await outside.announced()
        assert [first, last] == good
        assert told.subject == "whimbrel.refused"
        assert msgspec.json.decode(told.data)["data"] == {
            "subject": subject,
            "message_id": "bad",
            "reason": "nothing is announced on this subject",
        }

    run(around, tmp_path, scenario)


def test_what_is_too_large_is_told_as_refused(around: Around, tmp_path: Path) -> None:
    """An announcement is limited to 4 MiB less the room for headers, at its edge."""
    limit = 4 * 1024 * 1024 - 256
    fits = Announcement("whimbrel.pack.loaded.core", "fits", b"x" * limit)
    large = Announcement("whimbrel.pack.loaded.core", "large", b"x" * (limit + 1))

    async def scenario(outside: Outside) -> None:
        await outside.bus.announce([fits, large])
        kept, told = await outside.announced()
        assert kept == fits
        assert f"limited to {limit} bytes, got {limit + 1}" in told.data.decode()

    run(around, tmp_path, scenario)


def test_many_announce_at_once(around: Around, tmp_path: Path) -> None:
    """Concurrent calls do not disturb each other."""
    batches = [announcements(*(f"{task}.{n}" for n in range(20))) for task in range(10)]

    async def scenario(outside: Outside) -> None:
        async with asyncio.TaskGroup() as tasks:
            for batch in batches:
                tasks.create_task(outside.bus.announce(batch))
        seen = await outside.announced()
        assert [a for batch in batches for a in batch] == sorted(seen, key=numbers_of)

    run(around, tmp_path, scenario)


def numbers_of(announcement: Announcement) -> list[int]:
    """Return the numbers of a message id."""
    return [int(part) for part in announcement.message_id.split(".")]


def test_an_event_arrives_whole(around: Around, tmp_path: Path) -> None:
    """Subject, message id, headers and data are what was published."""
    handler = Handler()

    async def scenario(outside: Outside) -> None:
        async with receiving(outside, handler) as tasks:
            tasks.create_task(outside.publish(b'{"a":1}', message_id="id-1", color="red"))
            inbound = await handler.accepted.get()
        assert (
            inbound.subject,
            inbound.message_id,
            inbound.data,
        ) == (SUBJECT, "id-1", b'{"a":1}')
        assert inbound.headers["color"] == "red"

    run(around, tmp_path, scenario)


def test_an_event_waits_for_a_receiver(around: Around, tmp_path: Path) -> None:
    """What was published while nobody received is there for who comes."""
    handler = Handler()

    async def scenario(outside: Outside) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outside.publish(b"early"))
            async with receiving(outside, handler):
                assert (await handler.accepted.get()).data == b"early"

    run(around, tmp_path, scenario)


def test_an_event_published_twice_is_accepted_once(around: Around, tmp_path: Path) -> None:
    """The publisher may send again what was not answered, with the same id."""
    handler = Handler()

    async def scenario(outside: Outside) -> None:
        async with receiving(outside, handler) as tasks:
            publishing = tasks.create_task(outside.publish(b"first", message_id="same"))
            await handler.accepted.get()
            await publishing
            await outside.publish(b"second", message_id="same")
            tasks.create_task(outside.publish(b"third", message_id="other"))
            assert (await handler.accepted.get()).data == b"third"

    run(around, tmp_path, scenario)


def test_an_event_comes_again_until_it_is_accepted(around: Around, tmp_path: Path) -> None:
    """A failure that is no refusal costs the event nothing."""
    handler = Handler(OSError("disk"), RuntimeError("bug"))

    async def scenario(outside: Outside) -> None:
        async with receiving(outside, handler) as tasks:
            tasks.create_task(outside.publish(b"persistent"))
            await handler.accepted.get()
        assert [inbound.data for inbound in handler.tried] == [b"persistent"] * 3

    run(around, tmp_path, scenario)


def test_a_refused_event_is_dropped_and_announced(around: Around, tmp_path: Path) -> None:
    """Who watches learns subject, id and reason, and nothing of the data."""
    handler = Handler(Refused("has to be a number", place="data"))

    async def scenario(outside: Outside) -> None:
        async with receiving(outside, handler) as tasks:
            tasks.create_task(outside.publish(b"hunter2", message_id="bad"))
            tasks.create_task(outside.publish(b"good", message_id="good"))
            await handler.accepted.get()
            announced = await until_announced(outside)
        assert len(handler.tried) == 2
        assert [one.subject for one in announced] == ["whimbrel.refused"]
        event = msgspec.json.decode(announced[0].data)
        refused = next(i for i in handler.tried if i.message_id == event["data"]["message_id"])
        assert {
            "subject": SUBJECT,
            "message_id": refused.message_id,
            "reason": "data: has to be a number",
        } == event["data"]
        assert b"hunter2" not in announced[0].data
        assert datetime.fromisoformat(event["time"]).tzinfo is not None

    run(around, tmp_path, scenario)


async def until_announced(outside: Outside) -> list[Announcement]:
    """Return the announcements once there are any."""
    while not (found := await outside.announced()):
        await asyncio.sleep(0)
    return found


def test_at_most_256_events_are_under_way(around: Around, tmp_path: Path) -> None:
    """A slow broker is not flooded, and the rest follows."""
    running: set[str] = set()
    most = 0
    full, go_on, all_done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    accepted = 0

    async def accept(inbound: Inbound) -> None:
        nonlocal most, accepted
        running.add(inbound.message_id)
        most = max(most, len(running))
        if len(running) == 256:
            full.set()
        await go_on.wait()
        running.remove(inbound.message_id)
        accepted += 1
        if accepted == 300:
            all_done.set()

    async def scenario(outside: Outside) -> None:
        async with receiving(outside, accept) as tasks:
            for number in range(300):
                tasks.create_task(outside.publish(b"{}", message_id=f"m{number}"))
            await full.wait()
            go_on.set()
            await all_done.wait()
        assert most == 256

    run(around, tmp_path, scenario)


def test_the_next_receiver_gets_what_the_last_left_open(around: Around, tmp_path: Path) -> None:
    """A receiver that is cancelled in the middle gives its events back at once."""
    started = asyncio.Event()
    handler = Handler()

    async def never(_: Inbound) -> None:
        started.set()
        await asyncio.Event().wait()

    async def scenario(outside: Outside) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(outside.publish(b"open"))
            async with receiving(outside, never):
                await started.wait()
            async with asyncio.timeout(2), receiving(outside, handler):
                assert (await handler.accepted.get()).data == b"open"

    run(around, tmp_path, scenario)

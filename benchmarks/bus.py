"""What the bus costs: announcing against plain publishing, and publishing until accepted.

Both figures come from one run on one server, so that their ratio holds on any machine.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
from nats.aio.client import Client
from whimbrel.app.world import RandomIds, SystemClock
from whimbrel.bus import Announcement, Inbound
from whimbrel.bus.memory import MemoryBus
from whimbrel.bus.nats import NatsBus
from whimbrel.bus.server import EmbeddedServer

ROUNDS = 7
BATCH = 64
BATCHES = 50
EVENTS = 200
PAYLOAD = b"x" * 256
SUBJECT = "whimbrel.execution.succeeded.core.local"
MICROSECONDS = 1e6


async def timed(work: Callable[[], Awaitable[None]], count: int) -> tuple[float, float]:
    """Return (per second, CPU microseconds each) of the best round of `work`, which does `count`."""
    best_seconds = best_cpu = float("inf")
    for _ in range(ROUNDS):
        started, cpu = time.perf_counter(), time.process_time()
        await work()
        best_cpu = min(best_cpu, time.process_time() - cpu)
        best_seconds = min(best_seconds, time.perf_counter() - started)
    return count / best_seconds, best_cpu / count * MICROSECONDS


async def measure_announcing(bus: NatsBus, client: Client) -> dict[str, float]:
    """Compare acknowledged, deduplicated announcing with unacknowledged publishing."""
    ids = RandomIds()

    async def announce() -> None:
        for _ in range(BATCHES):
            await bus.announce(
                [Announcement(SUBJECT, ids.object_id(), PAYLOAD) for _ in range(BATCH)]
            )

    async def publish() -> None:
        for _ in range(BATCHES):
            for _ in range(BATCH):
                await client.publish("floor", PAYLOAD)
            await client.flush()

    rate, cpu = await timed(announce, BATCHES * BATCH)
    floor_rate, floor_cpu = await timed(publish, BATCHES * BATCH)
    return {
        "announce_per_second": rate,
        "announce_cpu_us": cpu,
        "core_publish_per_second": floor_rate,
        "core_publish_cpu_us": floor_cpu,
        "announce_over_core_cpu": cpu / floor_cpu,
    }


async def measure_accepting(bus: NatsBus, client: Client) -> dict[str, float]:
    """Time from publishing an event until `accept` has it; the floor is the durable publish alone."""
    accepted: asyncio.Queue[Inbound] = asyncio.Queue()
    stream = client.jetstream()
    durable, whole = [], []
    async with asyncio.TaskGroup() as tasks:
        receiver = tasks.create_task(bus.receive(accepted.put))
        for _ in range(EVENTS):
            started = time.perf_counter()
            await stream.publish("whimbrel.event.sample", PAYLOAD, timeout=5)
            durable.append(time.perf_counter() - started)
            await accepted.get()
            whole.append(time.perf_counter() - started)
        receiver.cancel()
    return {
        "event_durable_p50_us": statistics.median(durable) * MICROSECONDS,
        "event_accepted_p50_us": statistics.median(whole) * MICROSECONDS,
        "event_accepted_p99_us": statistics.quantiles(whole, n=100)[98] * MICROSECONDS,
    }


async def measure_memory() -> dict[str, float]:
    """The bus of tests, to know that it does not slow them."""
    bus, ids = MemoryBus(SystemClock()), RandomIds()

    async def announce() -> None:
        await bus.announce([Announcement(SUBJECT, ids.object_id(), PAYLOAD) for _ in range(BATCH)])

    return {"memory_announce_cpu_us": (await timed(announce, BATCH))[1]}


async def measured(folder: Path) -> dict[str, float]:
    """Run everything on one server."""
    async with EmbeddedServer(folder / "run", folder / "data", ids=RandomIds()) as server:
        url, clock = server.url, SystemClock()
        async with (
            NatsBus(url, server.credentials, clock=clock) as bus,
            await nats.connect(url, nkeys_seed_str=server.credentials.seed) as client,
        ):
            return (
                await measure_announcing(bus, client)
                | await measure_accepting(bus, client)
                | await measure_memory()
            )


def measure() -> dict[str, float]:
    """Return the figures; names end in their unit."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(measured(Path(folder)))


if __name__ == "__main__":
    print(json.dumps({name: round(value, 1) for name, value in measure().items()}, indent=2))

"""The embedded server's life: start, death, restart, end, and what lies on the disk."""

import asyncio
import itertools
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import msgspec
import nats
import pytest
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeout
from nats.js.errors import APIError
from whimbrel.app.world import RandomIds, SystemClock
from whimbrel.bus import Announcement, BusDown, Inbound
from whimbrel.bus.limits import Limits
from whimbrel.bus.nats import NatsBus
from whimbrel.bus.server import EmbeddedServer, ServerFailed

ENOUGH_SECONDS = 20
EVENT = "whimbrel.event.sample"
KEPT_FILES = {"nats.conf", "nats.url", "nats-publisher.nk", "nats-server.err"}

BROKER = """
import asyncio, sys
from pathlib import Path
from whimbrel.app.world import RandomIds
from whimbrel.bus.server import EmbeddedServer

async def main():
    run, data = map(Path, sys.argv[1:])
    async with EmbeddedServer(run, data, ids=RandomIds()) as server:
        print(server.pid, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario, with an end."""

    async def bounded() -> None:
        async with asyncio.timeout(ENOUGH_SECONDS):
            await scenario()

    asyncio.run(bounded())


def embedded(folder: Path, limits: Limits | None = None) -> EmbeddedServer:
    """Return a server with its folders below `folder`."""
    return EmbeddedServer(folder / "run", folder / "data", ids=RandomIds(), limits=limits)


def bus_on(server: EmbeddedServer, limits: Limits | None = None) -> NatsBus:
    """Return the broker's bus on this server."""
    return NatsBus(
        server.url,
        server.credentials,
        clock=SystemClock(),
        limits=limits,
        make_durable=server.make_durable,
    )


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    while not condition():
        await asyncio.sleep(0.005)


async def kill(server: EmbeddedServer) -> int:
    """Kill the server with -9, wait for the next one; return the old process id."""
    killed = server.pid
    os.kill(killed, signal.SIGKILL)
    await until(lambda: server.pid != killed)
    return killed


def group_is_gone(group: int) -> bool:
    """Say whether no living process is in a process group; a zombie awaits its parent only."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[2]) == group and fields[0] != "Z":
                return False
    return True


def test_the_port_is_kept_over_starts(tmp_path: Path) -> None:
    """Programs that know the URL go on after a restart of the broker."""

    async def scenario() -> None:
        urls = []
        for _ in range(2):
            async with embedded(tmp_path) as server:
                urls.append(server.url)
        assert urls[0] == urls[1]
        assert (tmp_path / "run/nats.url").read_text() == f"{urls[0]}\n"

    run(scenario)


def test_a_busy_port_is_given_up(tmp_path: Path) -> None:
    """Another program on the kept port moves the server, and the file says where to."""

    async def scenario() -> None:
        with socket.socket() as other:
            other.bind(("127.0.0.1", 0))
            other.listen()
            taken = f"nats://127.0.0.1:{other.getsockname()[1]}"
            (tmp_path / "run").mkdir()
            (tmp_path / "run/nats.url").write_text(taken)
            async with embedded(tmp_path) as server, bus_on(server) as bus:
                assert bus.connected
                assert server.url != taken
                assert (tmp_path / "run/nats.url").read_text() == f"{server.url}\n"

    run(scenario)


def test_nothing_secret_is_written_or_readable(tmp_path: Path) -> None:
    """Folders and files are the owner's; the broker's key is in none of them, nor in argv or env."""

    async def scenario() -> None:
        async with embedded(tmp_path) as server:
            for folder in ("run", "data"):
                assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
            for name in KEPT_FILES:
                assert stat.S_IMODE((tmp_path / "run" / name).stat().st_mode) == 0o600
            seed = server.credentials.seed.encode()
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            process = Path(f"/proc/{server.pid}")
            seen = [p.read_bytes() for p in [*files, process / "cmdline", process / "environ"]]
            assert not any(seed in content for content in seen)
            publisher = server.publisher_file.read_bytes().strip()
            assert publisher not in (tmp_path / "run/nats.conf").read_bytes()

    run(scenario)


def test_the_publisher_can_publish_and_no_more(tmp_path: Path) -> None:
    """The key for local programs: acknowledged events and watching; no announcing, no streams."""

    async def scenario() -> None:
        denied: asyncio.Queue[Exception] = asyncio.Queue()
        async with (
            embedded(tmp_path) as server,
            bus_on(server) as bus,
            await nats.connect(
                server.url, nkeys_seed=str(server.publisher_file), error_cb=denied.put
            ) as client,
        ):
            stream = client.jetstream(timeout=0.2)
            assert (await stream.publish(EVENT, b"{}", timeout=5)).seq == 1
            with pytest.raises(NatsTimeout):
                await stream.publish("whimbrel.execution.succeeded.x", b"{}")
            assert "publish to" in str(await denied.get())
            with pytest.raises(NatsTimeout):
                await stream.stream_info("WHIMBREL_EVENTS")
            assert "$js.api.stream.info" in str(await denied.get())
            for hidden in ("_WHIMBREL.>", "$JS.>", ">"):
                await client.subscribe(hidden)
                assert "subscription to" in str(await denied.get())
            watched = await client.subscribe("whimbrel.>")
            for _ in range(2):  # the client's first PING may overtake its SUB
                await client.flush()
            await bus.announce([pack("m")])
            assert (await watched.next_msg(5)).subject == "whimbrel.pack.loaded.core"

    run(scenario)


def test_a_stranger_is_not_let_in(tmp_path: Path) -> None:
    """Without a key nothing is possible."""

    async def scenario() -> None:
        async with embedded(tmp_path) as server:
            client = Client()
            with pytest.raises(NatsError, match="Authorization"):
                await client.connect(server.url, allow_reconnect=False, error_cb=ignore)
            await client.close()

    run(scenario)


async def ignore(_: Exception) -> None:
    """Leave it to what `connect` raises."""


def test_the_publisher_key_is_kept(tmp_path: Path) -> None:
    """A program's key works after a restart too; the broker's own is new."""

    async def scenario() -> None:
        keys = []
        for _ in range(2):
            async with embedded(tmp_path) as server:
                keys.append((server.publisher_file.read_text(), server.credentials.seed))
        assert keys[0][0] == keys[1][0]
        assert keys[0][1] != keys[1][1]

    run(scenario)


def test_a_killed_server_comes_back_with_what_it_acknowledged(tmp_path: Path) -> None:
    """An acknowledged event survives kill -9 of the server and arrives; announcing goes on."""
    accepted: asyncio.Queue[Inbound] = asyncio.Queue()

    async def scenario() -> None:
        async with embedded(tmp_path) as server, bus_on(server) as bus:
            async with await nats.connect(
                server.url, nkeys_seed=str(server.publisher_file)
            ) as client:
                await client.jetstream().publish(EVENT, b"kept", timeout=5)
            killed = await kill(server)
            await bus.announce([pack("m")])
            async with asyncio.TaskGroup() as tasks:
                receiver = tasks.create_task(bus.receive(accepted_into(accepted)))
                assert (await accepted.get()).data == b"kept"
                receiver.cancel()
            assert group_is_gone(killed)

    run(scenario)


def accepted_into(queue: asyncio.Queue[Inbound]) -> Callable[[Inbound], Awaitable[None]]:
    """Return a handler that accepts everything."""
    return queue.put


def test_receiving_goes_on_over_restarts(tmp_path: Path) -> None:
    """One `receive` outlives its connections, and an event under way is not handed out twice over."""
    accepted: asyncio.Queue[Inbound] = asyncio.Queue()

    async def scenario() -> None:
        async with (
            embedded(tmp_path) as server,
            bus_on(server) as bus,
            asyncio.TaskGroup() as tasks,
        ):
            receiver = tasks.create_task(bus.receive(accepted_into(accepted)))
            for turn in range(3):
                async with await nats.connect(
                    server.url, nkeys_seed=str(server.publisher_file)
                ) as client:
                    await client.jetstream().publish(EVENT, b"%d" % turn, timeout=5)
                while (await accepted.get()).data != b"%d" % turn:
                    pass  # an acknowledgement may be lost with the server: at least once
                await kill(server)
                await until(lambda: bus.connected)
            receiver.cancel()

    run(scenario)


def test_announcing_goes_on_over_kills_in_the_middle_of_writing(tmp_path: Path) -> None:
    """However a connection breaks, the next one follows, and every announcement gets through."""
    sent: list[int] = []

    async def scenario() -> None:
        async with (
            embedded(tmp_path) as server,
            bus_on(server) as bus,
            asyncio.TaskGroup() as tasks,
        ):

            async def announce_on() -> None:
                for number in itertools.count():
                    await for_sure(bus, [pack(f"{number}.{part}") for part in range(64)])
                    sent.append(number)

            announcing = [tasks.create_task(announce_on()) for _ in range(4)]
            for _ in range(4):
                killed_after = len(sent)
                await kill(server)
                await until(partial(is_longer, sent, killed_after + 8))
            for task in announcing:
                task.cancel()

    run(scenario)


def is_longer(items: list[int], length: int) -> bool:
    """Say whether there are more items than `length`."""
    return len(items) > length


async def for_sure(bus: NatsBus, batch: list[Announcement]) -> None:
    """Announce until it worked, as the outbox does."""
    while True:
        try:
            return await bus.announce(batch)
        except BusDown:
            continue


def pack(message_id: str) -> Announcement:
    """Return an announcement."""
    return Announcement("whimbrel.pack.loaded.core", message_id, b"{}")


def test_the_server_is_gone_soon_after_a_killed_broker(tmp_path: Path) -> None:
    """Kill -9 of the broker leaves neither server nor guard, and the next broker starts at once."""
    arguments = [sys.executable, "-I", "-c", BROKER, str(tmp_path / "run"), str(tmp_path / "data")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as broker:
        assert broker.stdout is not None
        group = int(broker.stdout.readline())
        assert not group_is_gone(group)
        broker.kill()
        broker.wait()
        killed_at = time.monotonic()

        async def scenario() -> None:
            async with embedded(tmp_path) as server, bus_on(server) as bus:
                assert bus.connected
                assert group_is_gone(group)
                assert time.monotonic() - killed_at < 5

        run(scenario)


def test_the_server_and_its_guard_end_with_the_broker(tmp_path: Path) -> None:
    """An orderly end leaves no process behind."""

    async def scenario() -> None:
        async with embedded(tmp_path) as server:
            group = server.pid
        await until(lambda: group_is_gone(group))

    run(scenario)


def test_a_data_folder_has_one_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second broker on the same data is told, and harms nothing."""
    monkeypatch.setattr("whimbrel.bus.server.LOCK_SECONDS", 0.05)

    async def scenario() -> None:
        async with embedded(tmp_path) as server, bus_on(server) as bus:
            second = EmbeddedServer(tmp_path / "other", tmp_path / "data", ids=RandomIds())
            with pytest.raises(ServerFailed, match="used by another nats-server"):
                await second.__aenter__()
            assert bus.connected

    run(scenario)


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("echo no licence >&2; exit 3", "ended with 3: no licence"),
        ("exit 1", "ended with 1: it said nothing"),
    ],
)
def test_a_server_that_fails_is_quoted(tmp_path: Path, script: str, words: str) -> None:
    """Why it does not start is in the error."""
    program = tmp_path / "nats-server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o700)
    server = EmbeddedServer(tmp_path / "run", tmp_path / "data", ids=RandomIds(), program=program)

    async def scenario() -> None:
        with pytest.raises(ServerFailed, match=words):
            await server.__aenter__()

    run(scenario)


def test_a_program_that_cannot_run_is_named(tmp_path: Path) -> None:
    """A wrong path of the program is an error with that path."""
    missing = tmp_path / "no-such-program"
    server = EmbeddedServer(tmp_path / "run", tmp_path / "data", ids=RandomIds(), program=missing)

    async def scenario() -> None:
        with pytest.raises(ServerFailed, match="no-such-program"):
            await server.__aenter__()

    run(scenario)


def test_a_full_event_stream_tells_the_publisher(tmp_path: Path) -> None:
    """At the limit a publisher gets an error, and everything acknowledged before still arrives."""
    limits = Limits(event_bytes=64 * 1024)
    accepted: asyncio.Queue[Inbound] = asyncio.Queue()

    async def scenario() -> None:
        async with embedded(tmp_path, limits) as server, bus_on(server, limits) as bus:
            taken = 0
            async with await nats.connect(
                server.url, nkeys_seed=str(server.publisher_file)
            ) as client:
                stream = client.jetstream()
                while await is_taken(stream.publish(EVENT, b"x" * 4096, timeout=5)):
                    taken += 1
                with pytest.raises(APIError, match="maximum bytes exceeded"):
                    await stream.publish(EVENT, b"x" * 4096, timeout=5)
            assert taken > 10
            async with asyncio.TaskGroup() as tasks:
                receiver = tasks.create_task(bus.receive(accepted_into(accepted)))
                for _ in range(taken):
                    await accepted.get()
                receiver.cancel()

    run(scenario)


async def is_taken(publishing: Awaitable[object]) -> bool:
    """Say whether JetStream acknowledged."""
    try:
        await publishing
    except APIError:
        return False
    return True


def test_streams_keep_their_settings_up_to_date(tmp_path: Path) -> None:
    """New limits reach streams that exist already."""

    async def scenario() -> None:
        for limit in (Limits(event_bytes=65_536), Limits(event_bytes=131_072)):
            async with (
                embedded(tmp_path, limit) as server,
                bus_on(server, limit),
                await nats.connect(server.url, nkeys_seed_str=server.credentials.seed) as client,
            ):
                answer = await client.request("$JS.API.STREAM.INFO.WHIMBREL_EVENTS", timeout=5)
                assert msgspec.json.decode(answer.data)["config"]["max_bytes"] == limit.event_bytes

    run(scenario)


def test_a_deleted_stream_is_made_again(tmp_path: Path) -> None:
    """Announcing finds out, and repairs it."""

    async def scenario() -> None:
        async with (
            embedded(tmp_path) as server,
            bus_on(server) as bus,
            await nats.connect(server.url, nkeys_seed_str=server.credentials.seed) as client,
        ):
            await client.jetstream().delete_stream("WHIMBREL_ANNOUNCE")
            await bus.announce([pack("m")])
            assert (await client.jetstream().stream_info("WHIMBREL_ANNOUNCE")).state.messages == 1

    run(scenario)


def test_a_deleted_consumer_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Receiving finds out by looking, since nobody tells it."""
    monkeypatch.setattr("whimbrel.bus.nats.CONSUMER_CHECK_SECONDS", 0.05)
    accepted: asyncio.Queue[Inbound] = asyncio.Queue()

    async def scenario() -> None:
        async with (
            embedded(tmp_path) as server,
            bus_on(server) as bus,
            await nats.connect(server.url, nkeys_seed_str=server.credentials.seed) as client,
            asyncio.TaskGroup() as tasks,
        ):
            receiver = tasks.create_task(bus.receive(accepted_into(accepted)))
            await client.jetstream().delete_consumer("WHIMBREL_EVENTS", "broker")
            await client.jetstream().publish(EVENT, b"x", timeout=5)
            assert (await accepted.get()).data == b"x"
            receiver.cancel()

    run(scenario)


def test_a_bus_without_its_server_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the server is away `announce` raises `BusDown` within its time, and `connected` is false."""
    monkeypatch.setattr("whimbrel.bus.nats.LINK_SECONDS", 0.05)

    async def scenario() -> None:
        async with AsyncExitStack() as stack:
            server = await stack.enter_async_context(embedded(tmp_path))
            async with bus_on(server) as bus:
                await stack.aclose()
                await until(lambda: not bus.connected)
                with pytest.raises(BusDown, match="cannot be reached"):
                    await bus.announce([pack("m")])

    run(scenario)

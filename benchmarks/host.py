"""What a run costs through the plugin host, against a bare gRPC stream that moves the same bytes.

Plugin and floor are measured turn by turn in the same run, so that their ratio holds on any machine.
"""

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
from grpc.aio import ServicerContext as Context
from whimbrel.app.world import RandomChance, RandomIds, SystemClock
from whimbrel.host.plugins import PluginHost
from whimbrel.host.wire import request_to_wire
from whimbrel.model import RunRequest
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire

ROOT = Path(__file__).parents[1]
ROUNDS = 5
METHOD = "/floor/Session"
SIZE_BYTES = 4
SINGLE_RUNS = 300
IN_FLIGHT = 64
BATCHED_RUNS = 3200
ANSWER_BYTES = 110
"""A started and a result event of the noop runner, on the wire."""

MICROSECONDS = 1e6


def request(number: str) -> RunRequest:
    """Return a run as the broker sends it: about 300 bytes of parameters, schema and context."""
    return RunRequest(
        run_id=f"65f0c0ffee{number:>014}",
        attempt=1,
        runner="noop",
        action_ref="core.noop",
        pack="core",
        pack_path="/opt/packs/core",
        entry_point="",
        user="operator",
        runner_parameters={},
        action_parameters={"host": "web-1", "count": 3, "tags": ["a", "b"]},
        action_schema={"host": {"type": "string"}, "count": {"type": "integer"}},
        timeout_seconds=60,
        env={"ST2_ACTION_PACK_NAME": "core", "ST2_ACTION_EXECUTION_ID": number},
    )


def frame_of(runs: int) -> bytes:
    """Return a session frame with that many runs, marked with the size of its answer."""
    message, _ = request_to_wire(request("0"), runner="noop", max_output_bytes=1)
    frame = wire.SessionRequest(commands=[wire.SessionCommand(run=message)] * runs)
    return (ANSWER_BYTES * runs).to_bytes(SIZE_BYTES) + frame.SerializeToString()


def cpu_seconds(pid: int) -> float:
    """Return what a process has used, to the kernel's tick."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Return a process's resident memory."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@asynccontextmanager
async def floor_stream() -> AsyncIterator[tuple[grpc.aio.StreamStreamCall[bytes, bytes], int]]:
    """Open the bare stream to a process of its own; yield it and the process's id."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"unix:{folder}/s"
        process = subprocess.Popen(
            [sys.executable, __file__, address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        process.stdout.readline()
        options = [("grpc.default_authority", "localhost")]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            yield channel.stream_stream(METHOD)(), process.pid
        process.communicate()


async def single(work: Callable[[], Awaitable[object]]) -> float:
    """Return the median of one at a time, in microseconds."""
    times = []
    for _ in range(SINGLE_RUNS):
        started = time.perf_counter()
        await work()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * MICROSECONDS


class Floor(grpc.GenericRpcHandler):
    """Answers each frame of a bare stream; the first bytes are the size of the answer."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[bytes, bytes] | None":
        """Return the handler for every call."""
        return grpc.stream_stream_rpc_method_handler(self._session)

    async def _session(self, _requests: object, context: "Context[bytes, bytes]") -> None:
        while isinstance(frame := await context.read(), bytes):
            await context.write(bytes(int.from_bytes(frame[:SIZE_BYTES])))


async def serve_floor(address: str) -> None:
    """Serve until stdin ends."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((Floor(),))
    server.add_insecure_port(address)
    await server.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)


class Batched:
    """Figures of work with many in flight; the best of the rounds."""

    def __init__(self, pid: int) -> None:
        self.per_second = 0.0
        self.cpu_host = self.cpu_plugin = float("inf")
        self._pid = pid

    async def round(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do `work`, which is BATCHED_RUNS runs."""
        host, plugin, started = time.process_time(), cpu_seconds(self._pid), time.perf_counter()
        await work()
        seconds = time.perf_counter() - started
        host, plugin = time.process_time() - host, cpu_seconds(self._pid) - plugin
        self.per_second = max(self.per_second, BATCHED_RUNS / seconds)
        self.cpu_host = min(self.cpu_host, host / BATCHED_RUNS * MICROSECONDS)
        self.cpu_plugin = min(self.cpu_plugin, plugin / BATCHED_RUNS * MICROSECONDS)

    def figures(self) -> dict[str, float]:
        """Return them by name."""
        return {
            "per_second": self.per_second,
            "host_cpu_microseconds": self.cpu_host,
            "plugin_cpu_microseconds": self.cpu_plugin,
        }


class Runs:
    """Runs of the bundled runner that does nothing."""

    def __init__(self, host: PluginHost) -> None:
        self._host = host
        self._count = 0

    async def one(self) -> None:
        """Run once."""
        self._count += 1
        await self._host.run(request(str(self._count)), lambda: None, lambda _: None)

    async def many(self) -> None:
        """Run BATCHED_RUNS times, IN_FLIGHT at once."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(IN_FLIGHT):
                tasks.create_task(self._worker())

    async def _worker(self) -> None:
        for _ in range(BATCHED_RUNS // IN_FLIGHT):
            await self.one()


class FloorRuns:
    """The same bytes with nothing around them."""

    def __init__(self, call: grpc.aio.StreamStreamCall[bytes, bytes]) -> None:
        self._call = call
        self._frames = {runs: frame_of(runs) for runs in (1, IN_FLIGHT)}

    async def one(self) -> None:
        """Move one run's bytes there and back."""
        await self._call.write(self._frames[1])
        await self._call.read()

    async def many(self) -> None:
        """Move BATCHED_RUNS runs' bytes, IN_FLIGHT in each frame."""
        for _ in range(BATCHED_RUNS // IN_FLIGHT):
            await self._call.write(self._frames[IN_FLIGHT])
            await self._call.read()


async def _measure() -> dict[str, object]:
    started = time.perf_counter()
    async with (
        PluginHost(
            [ROOT / "runners"],
            clock=SystemClock(),
            ids=RandomIds(),
            chance=RandomChance(),
            environment=os.environ,
            host_version="0.1.0",
        ) as host,
        floor_stream() as (call, floor_pid),
    ):
        runs, floor = Runs(host), FloorRuns(call)
        await runs.one()
        first = time.perf_counter() - started
        pid = next(s.pid for s in host.statuses() if s.name == "noop")
        assert pid is not None
        singles: list[float] = []
        floor_singles: list[float] = []
        batched, floor_batched = Batched(pid), Batched(floor_pid)
        for _ in range(ROUNDS):
            floor_singles.append(await single(floor.one))
            singles.append(await single(runs.one))
            await floor_batched.round(floor.many)
            await batched.round(runs.many)
        return {
            "first_run_seconds": first,
            "single_p50_microseconds": min(singles),
            "floor_single_p50_microseconds": min(floor_singles),
            "single_ratio": min(singles) / min(floor_singles),
            f"in_flight_{IN_FLIGHT}": batched.figures(),
            f"floor_in_flight_{IN_FLIGHT}": floor_batched.figures(),
            "plugin_resident_mib": resident_mib(pid),
        }


def measure() -> dict[str, object]:
    """Return the figures, the best of the rounds."""
    return asyncio.run(_measure())


if __name__ == "__main__":
    asyncio.run(serve_floor(sys.argv[1]))

"""Talk to a plugin: dial, shake hands, and carry runs over one session or one call each."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Protocol

import grpc
import grpc.aio
from whimbrel_sdk.frames import FrameQueue
from whimbrel_sdk.wire.api.v1 import types_pb2 as types
from whimbrel_sdk.wire.plugin.v1 import plugin_service_pb2 as plugin_wire
from whimbrel_sdk.wire.plugin.v1 import plugin_service_pb2_grpc as plugin_service
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2_grpc as runner_service

from whimbrel import errors
from whimbrel.host.manifest import Manifest

RUNNER_SERVICE = "whimbrel.plugin.v1.RunnerService"
SESSION = "runner.session"
MESSAGE_BYTES = 16 * 1024 * 1024
CONNECTION_LOST = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}
PLUGIN_SAYS_BYTES = 500
"""How much of a plugin's own error text is repeated."""

OnEvent = Callable[[str, wire.RunEvent], None]
OnFrameOver = Callable[[], None]


class Disagreement(errors.Unavailable):
    """The handshake failed: the plugin and its manifest, or the versions, do not agree."""


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a plugin said of itself, checked against its manifest."""

    has_session: bool
    max_concurrent_runs: int
    max_message_bytes: int


class Link(Protocol):
    """How runs travel to a plugin; their events come back through the callbacks it was made with."""

    async def carry(self) -> None:
        """Carry messages until the plugin ends the connection."""
        ...

    def send(self, message: wire.RunRequest, size_bytes: int) -> None:
        """Send a run off."""
        ...

    def cancel(self, run_id: str, user: str) -> None:
        """Ask the plugin to end a run."""
        ...


def dial(address: str) -> grpc.aio.Channel:
    """Return a channel to the plugin. Call it on the loop that uses it."""
    return grpc.aio.insecure_channel(
        address,
        options=[
            # Without it, C-core sends the socket's path as authority, which Rust and .NET refuse.
            ("grpc.default_authority", "localhost"),
            ("grpc.max_receive_message_length", MESSAGE_BYTES),
            ("grpc.max_send_message_length", MESSAGE_BYTES),
            ("grpc.use_local_subchannel_pool", 1),
        ],
    )


async def shake_hands(
    channel: grpc.aio.Channel,
    manifest: Manifest,
    *,
    instance_id: str,
    host_version: str,
    heartbeat_seconds: float,
    timeout_seconds: float,
) -> Greeting:
    """Agree on a version. Raises Disagreement when there is none or the manifest is not true."""
    request = plugin_wire.HandshakeRequest(
        protocol_versions=manifest.protocols,
        host_version=host_version,
        instance_id=instance_id,
        capabilities=[SESSION],
        limits=types.Limits(max_message_bytes=MESSAGE_BYTES),
    )
    request.limits.heartbeat_interval.FromMilliseconds(int(heartbeat_seconds * 1000))
    stub: plugin_service.PluginServiceAsyncStub = plugin_service.PluginServiceStub(channel)
    try:
        said = await stub.Handshake(request, timeout=timeout_seconds)
    except grpc.aio.AioRpcError as error:
        raise Disagreement(f"did not shake hands: {status_text(error)}") from error
    _check(said, manifest, instance_id)
    return Greeting(
        has_session=SESSION in said.capabilities,
        max_concurrent_runs=said.limits.max_concurrent_runs,
        max_message_bytes=min(said.limits.max_message_bytes or MESSAGE_BYTES, MESSAGE_BYTES),
    )


def _check(said: plugin_wire.HandshakeResponse, manifest: Manifest, instance_id: str) -> None:
    if said.protocol_version not in manifest.protocols:
        reason = said.failure.message or f"it chose {said.protocol_version}"
        raise Disagreement(f"has no protocol in common with this host: {reason}")
    if said.instance_id != instance_id:
        raise Disagreement(f"is another launch: {said.instance_id!r} instead of {instance_id!r}")
    for field, found, declared in (
        ("name", said.info.name, manifest.name),
        ("version", said.info.version, manifest.version),
    ):
        if found != declared:
            raise Disagreement(f"says its {field} is {found!r}, its manifest {declared!r}")
    if RUNNER_SERVICE not in said.services:
        raise Disagreement(f"does not serve {RUNNER_SERVICE}, which a runner plugin has to")
    missing = [entry.name for entry in manifest.runners if entry.name not in said.runners]
    if missing:
        served = ", ".join(said.runners) or "none"
        lacking = ", ".join(missing)
        raise Disagreement(
            f"does not serve {lacking}, which its manifest declares; it serves: {served}"
        )


async def ask_to_drain(channel: grpc.aio.Channel, timeout_seconds: float) -> Sequence[str]:
    """Tell the plugin to take no more runs; return the ids of those going on."""
    stub: plugin_service.PluginServiceAsyncStub = plugin_service.PluginServiceStub(channel)
    said = await stub.Drain(plugin_wire.DrainRequest(), timeout=timeout_seconds)
    return tuple(said.active_run_ids)


async def ask_to_shut_down(
    channel: grpc.aio.Channel, *, grace_seconds: float, timeout_seconds: float
) -> None:
    """Tell the plugin to end itself within the grace time."""
    request = plugin_wire.ShutdownRequest()
    request.grace.FromMilliseconds(int(grace_seconds * 1000))
    stub: plugin_service.PluginServiceAsyncStub = plugin_service.PluginServiceStub(channel)
    await stub.Shutdown(request, timeout=timeout_seconds)


class SessionLink:
    """All runs over one stream, in frames of whatever is queued."""

    def __init__(
        self, channel: grpc.aio.Channel, on_event: OnEvent, on_frame_over: OnFrameOver
    ) -> None:
        self._stub: runner_service.RunnerServiceAsyncStub = runner_service.RunnerServiceStub(
            channel
        )
        self._queue: FrameQueue[wire.SessionCommand] = FrameQueue()
        self._on_event = on_event
        self._on_frame_over = on_frame_over

    async def carry(self) -> None:
        """Read and write until the plugin ends the stream."""
        call = self._stub.Session()
        async with asyncio.TaskGroup() as tasks:
            writer = tasks.create_task(self._write(call))
            try:
                await self._read(call)
            finally:
                writer.cancel()
                call.cancel()

    def send(self, message: wire.RunRequest, size_bytes: int) -> None:
        """Queue a run."""
        self._queue.put(wire.SessionCommand(run=message), size_bytes)

    def cancel(self, run_id: str, user: str) -> None:
        """Queue the request to end a run; it stays behind the run it is about."""
        cancel = wire.CancelRunRequest(run_id=run_id, requested_by=user)
        self._queue.put(wire.SessionCommand(cancel=cancel))

    async def _read(
        self, call: grpc.aio.StreamStreamCall[wire.SessionRequest, wire.SessionResponse]
    ) -> None:
        on_event, on_frame_over = self._on_event, self._on_frame_over
        try:
            while isinstance(frame := await call.read(), wire.SessionResponse):
                for item in frame.events:
                    on_event(item.run_id, item.event)
                on_frame_over()
                # Asking for the next frame takes a while: who waits for this one goes first.
                await asyncio.sleep(0)
        except grpc.aio.AioRpcError:
            return

    async def _write(
        self, call: grpc.aio.StreamStreamCall[wire.SessionRequest, wire.SessionResponse]
    ) -> None:
        try:
            while True:
                await call.write(wire.SessionRequest(commands=await self._queue.take()))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            return


class CallLink:
    """One call for each run, as tasks of `tasks`, for plugins without a session."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        on_event: OnEvent,
        on_frame_over: OnFrameOver,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._stub: runner_service.RunnerServiceAsyncStub = runner_service.RunnerServiceStub(
            channel
        )
        self._on_event = on_event
        self._on_frame_over = on_frame_over
        self._tasks = tasks
        self._calls: set[asyncio.Task[None]] = set()

    async def carry(self) -> None:
        """Be there for the calls until cancelled; the end of the process ends them."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            for call in self._calls:
                call.cancel()

    def send(self, message: wire.RunRequest, size_bytes: int) -> None:
        """Start the call."""
        self._start(self._run(message))

    def cancel(self, run_id: str, user: str) -> None:
        """Start the call that asks to end a run."""
        self._start(self._cancel(run_id, user))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        call = self._tasks.create_task(work)
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _run(self, message: wire.RunRequest) -> None:
        run_id, ended = message.run_id, False
        try:
            async for response in self._stub.Run(message):
                for event in response.events:
                    ended = ended or event.HasField("result")
                    self._on_event(run_id, event)
                self._on_frame_over()
            reason = "the plugin ended the run's stream without a result"
            kind = types.Failure.KIND_PLUGIN_BUG
        except grpc.aio.AioRpcError as error:
            if error.code() in CONNECTION_LOST:
                return  # the supervisor tells why, and ends every run with the same report
            reason, kind = status_text(error), types.Failure.KIND_PLUGIN_BUG
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                kind = types.Failure.KIND_RESOURCE_EXHAUSTED
        if not ended:
            failure = types.Failure(kind=kind, message=reason)
            result = wire.RunResult(status=wire.RunResult.STATUS_FAILED, failure=failure)
            self._on_event(run_id, wire.RunEvent(result=result))

    async def _cancel(self, run_id: str, user: str) -> None:
        try:
            await self._stub.CancelRun(wire.CancelRunRequest(run_id=run_id, requested_by=user))
        except grpc.aio.AioRpcError:
            return  # the run's own stream tells how it ended


def status_text(error: grpc.aio.AioRpcError) -> str:
    """Say what a plugin answered in place of a message."""
    return f"{error.code().name}: {(error.details() or '')[:PLUGIN_SAYS_BYTES]}"

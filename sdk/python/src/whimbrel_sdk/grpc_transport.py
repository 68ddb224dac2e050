"""The gRPC transport: serves the plugin contract on a Unix socket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import NoReturn, TypeVar

import grpc
import grpc.aio
from grpc.aio import ServicerContext as Context

from whimbrel_sdk.frames import FrameQueue
from whimbrel_sdk.grpc_wire import CHANNELS, result_to_wire, run_from_wire
from whimbrel_sdk.plugin import SDK_VERSION, Plugin
from whimbrel_sdk.runs import DEFAULT_MESSAGE_BYTES, Ended, RunTable
from whimbrel_sdk.wire.api.v1 import types_pb2 as types
from whimbrel_sdk.wire.plugin.v1 import plugin_service_pb2 as plugin_wire
from whimbrel_sdk.wire.plugin.v1 import plugin_service_pb2_grpc as plugin_service
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2_grpc as runner_service

PROTOCOL = 1
SERVICES = ("whimbrel.plugin.v1.PluginService", "whimbrel.plugin.v1.RunnerService")
CAPABILITIES = ("runner.session",)
STARTED_PATIENCE_SECONDS = 0.01
"""How long the news that a run has started may wait for company in its frame."""

CLOSE_GRACE_SECONDS = 1.0

Request = TypeVar("Request")
Response = TypeVar("Response")
StopRequest = Callable[[float], None]


class WireSink:
    """Events of one stream, queued until its writer takes them as a frame."""

    def __init__(self) -> None:
        self.queue: FrameQueue[wire.SessionEvent] = FrameQueue()
        self._sequences: dict[str, int] = {}

    def started(self, run_id: str, *, duplicate: bool) -> None:
        """Queue the first event of a run; most runs are short, so it waits for the next."""
        self._sequences[run_id] = 1
        event = wire.RunEvent(sequence=1, started=wire.RunStarted(duplicate=duplicate))
        item = wire.SessionEvent(run_id=run_id, event=event)
        self.queue.put_patiently(item, STARTED_PATIENCE_SECONDS)

    def output(self, run_id: str, channel: str, data: bytes, offset: int) -> None:
        """Queue a chunk."""
        chunk = wire.OutputChunk(channel=CHANNELS[channel], data=data, offset=offset)
        self._put(run_id, wire.RunEvent(output=chunk), len(data))

    def heartbeat(self, run_id: str) -> None:
        """Queue a sign of life."""
        self._put(run_id, wire.RunEvent(heartbeat=wire.RunHeartbeat()))

    def ended(self, run_id: str, ended: Ended) -> None:
        """Queue the last event of a run."""
        self._put(run_id, wire.RunEvent(result=result_to_wire(ended)), len(ended.result))
        del self._sequences[run_id]

    async def drained(self) -> None:
        """Wait while too much is unsent."""
        await self.queue.drained()

    def _put(self, run_id: str, event: wire.RunEvent, size_bytes: int = 0) -> None:
        event.sequence = sequence = self._sequences.get(run_id, 0) + 1
        self._sequences[run_id] = sequence
        self.queue.put(wire.SessionEvent(run_id=run_id, event=event), size_bytes)


class PluginService(plugin_service.PluginServiceServicer):
    """Handshake, drain, shutdown."""

    def __init__(
        self, plugin: Plugin, table: RunTable, instance_id: str, stop: StopRequest
    ) -> None:
        self.handshaken = False
        self._plugin = plugin
        self._table = table
        self._instance_id = instance_id
        self._stop = stop

    async def Handshake(  # noqa: N802 - the contract's name
        self,
        request: plugin_wire.HandshakeRequest,
        context: Context[plugin_wire.HandshakeRequest, plugin_wire.HandshakeResponse],
    ) -> plugin_wire.HandshakeResponse:
        """Agree on a version and limits, say who this is and what it can."""
        response = plugin_wire.HandshakeResponse(
            instance_id=self._instance_id,
            info=plugin_wire.PluginInfo(
                name=self._plugin.name,
                version=self._plugin.version,
                language="python",
                sdk_name="whimbrel-sdk",
                sdk_version=SDK_VERSION,
            ),
        )
        if PROTOCOL not in request.protocol_versions:
            offered = list(request.protocol_versions)
            response.failure.kind = types.Failure.KIND_INVALID_INPUT
            response.failure.message = f"speaks protocol {PROTOCOL}, the host offers {offered}"
            return response
        interval = request.limits.heartbeat_interval
        self._table.configure(
            heartbeat_seconds=interval.seconds + interval.nanos / 1e9,
            max_message_bytes=request.limits.max_message_bytes,
        )
        self.handshaken = True
        response.protocol_version = PROTOCOL
        response.capabilities.extend(CAPABILITIES)
        response.services.extend(SERVICES)
        response.runners.extend(self._plugin.runners)
        response.limits.max_message_bytes = DEFAULT_MESSAGE_BYTES
        return response

    async def Drain(  # noqa: N802 - the contract's name
        self,
        request: plugin_wire.DrainRequest,
        context: Context[plugin_wire.DrainRequest, plugin_wire.DrainResponse],
    ) -> plugin_wire.DrainResponse:
        """Take no new runs."""
        return plugin_wire.DrainResponse(active_run_ids=self._table.drain())

    async def Shutdown(  # noqa: N802 - the contract's name
        self,
        request: plugin_wire.ShutdownRequest,
        context: Context[plugin_wire.ShutdownRequest, plugin_wire.ShutdownResponse],
    ) -> plugin_wire.ShutdownResponse:
        """Begin to stop; the answer comes first."""
        self._stop(request.grace.seconds + request.grace.nanos / 1e9)
        return plugin_wire.ShutdownResponse()


class RunnerService(runner_service.RunnerServiceServicer):
    """Runs, one stream each or all over one session."""

    def __init__(self, table: RunTable, plugin_half: PluginService) -> None:
        self._table = table
        self._plugin_half = plugin_half
        self._sessions: set[WireSink] = set()

    async def Run(  # noqa: N802 - the contract's name
        self,
        request: wire.RunRequest,
        context: Context[wire.RunRequest, wire.RunResponse],
    ) -> AsyncIterator[wire.RunResponse]:
        """Run to the end, streaming its events."""
        await self._must_be_handshaken(context)
        run, sink = run_from_wire(request), WireSink()
        self._table.start(run, sink)
        try:
            while True:
                events = [item.event for item in await sink.queue.take()]
                if events[0].sequence == 1 and events[0].HasField("result"):
                    await _refuse(context, events[0].result.failure)
                yield wire.RunResponse(events=events)
                if events[-1].HasField("result"):
                    return
        finally:
            self._forget(sink)

    async def CancelRun(  # noqa: N802 - the contract's name
        self,
        request: wire.CancelRunRequest,
        context: Context[wire.CancelRunRequest, wire.CancelRunResponse],
    ) -> wire.CancelRunResponse:
        """Ask a run to end."""
        return wire.CancelRunResponse(known=self._table.cancel(request.run_id))

    async def Session(  # type: ignore[override]  # noqa: N802 - reader and writer cost less
        self,
        _requests: AsyncIterator[wire.SessionRequest],
        context: Context[wire.SessionRequest, wire.SessionResponse],
    ) -> None:
        """Carry all runs until the host closes the stream."""
        await self._must_be_handshaken(context)
        sink = WireSink()
        self._sessions.add(sink)
        try:
            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(self._read(context, sink))
                while events := await sink.queue.take():
                    await context.write(wire.SessionResponse(events=events))
                reader.cancel()
        finally:
            self._sessions.discard(sink)
            self._forget(sink)

    def finish(self) -> None:
        """End every session once its queued events are sent; there will be no more runs."""
        for sink in self._sessions:
            sink.queue.finish()

    async def _read(
        self, context: Context[wire.SessionRequest, wire.SessionResponse], sink: WireSink
    ) -> None:
        while isinstance(frame := await context.read(), wire.SessionRequest):
            for command in frame.commands:
                self._obey(command, sink)
            # Asking for the next frame costs more than a short run takes: let runs and writer pass.
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._forget(sink)

    def _forget(self, sink: WireSink) -> None:
        sink.queue.drop()
        self._table.leave(sink)

    def _obey(self, command: wire.SessionCommand, sink: WireSink) -> None:
        if command.HasField("run"):
            self._table.start(run_from_wire(command.run), sink)
        elif command.HasField("cancel"):
            self._table.cancel(command.cancel.run_id)

    async def _must_be_handshaken(self, context: "Context[Request, Response]") -> None:
        if not self._plugin_half.handshaken:
            await context.abort(
                grpc.StatusCode.FAILED_PRECONDITION, "PluginService.Handshake comes first"
            )


class GrpcTransport:
    """A gRPC server for one plugin on one Unix socket."""

    def __init__(
        self, plugin: Plugin, table: RunTable, *, instance_id: str, stop: StopRequest
    ) -> None:
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", DEFAULT_MESSAGE_BYTES),
                ("grpc.max_send_message_length", DEFAULT_MESSAGE_BYTES),
                ("grpc.so_reuseport", 0),
            ]
        )
        plugin_half = PluginService(plugin, table, instance_id, stop)
        plugin_service.add_PluginServiceServicer_to_server(plugin_half, self._server)
        self._runner_half = RunnerService(table, plugin_half)
        runner_service.add_RunnerServiceServicer_to_server(self._runner_half, self._server)

    async def listen(self, address: str) -> None:
        """Bind and serve; raises when the address cannot be bound."""
        self._server.add_insecure_port(address)
        await self._server.start()

    async def close(self) -> None:
        """Close every stream and stop."""
        self._runner_half.finish()
        await self._server.stop(CLOSE_GRACE_SECONDS)


async def _refuse(
    context: Context[wire.RunRequest, wire.RunResponse], failure: types.Failure
) -> NoReturn:
    refused = failure.kind == types.Failure.KIND_RESOURCE_EXHAUSTED
    code = grpc.StatusCode.RESOURCE_EXHAUSTED if refused else grpc.StatusCode.NOT_FOUND
    await context.abort(code, failure.message)

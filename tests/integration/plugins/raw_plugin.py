"""The contract without the SDK, badly: the first argument says what is wrong."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from whimbrel_sdk.wire.api.v1 import types_pb2 as types
from whimbrel_sdk.wire.plugin.v1 import plugin_service_pb2 as plugin_wire
from whimbrel_sdk.wire.plugin.v1 import runner_service_pb2 as wire

FAULT = sys.argv[1]
SERVICE = "whimbrel.plugin.v1"
SHUTDOWN = asyncio.Event()


async def handshake(request: plugin_wire.HandshakeRequest, _: object) -> object:
    """Answer, with one thing wrong."""
    if FAULT == "deaf":
        await asyncio.sleep(3600)
    return plugin_wire.HandshakeResponse(
        protocol_version=0 if FAULT == "old" else 1,
        instance_id="other" if FAULT == "stale" else request.instance_id,
        info=plugin_wire.PluginInfo(
            name="stranger" if FAULT == "name" else "odd",
            version="9.9.9" if FAULT == "version" else "0.1.0",
        ),
        capabilities=[] if FAULT in {"calls", "silent-call"} else ["runner.session"],
        services=[] if FAULT == "service" else [f"{SERVICE}.RunnerService"],
        runners=[] if FAULT == "runner" else ["odd.run"],
        limits=types.Limits(max_concurrent_runs=1 if FAULT == "one" else 0),
    )


async def drain(*_: object) -> plugin_wire.DrainResponse:
    """Agree."""
    return plugin_wire.DrainResponse()


async def shutdown(*_: object) -> plugin_wire.ShutdownResponse:
    """End soon."""
    SHUTDOWN.set()
    return plugin_wire.ShutdownResponse()


def done(run_id: str) -> wire.RunResult:
    """Return the end of a run, with what this fault does to it."""
    result = wire.RunResult(status=wire.RunResult.STATUS_SUCCEEDED)
    result.result.data = json.dumps(run_id).encode()
    if FAULT == "status":
        result.status = wire.RunResult.STATUS_UNSPECIFIED
    elif FAULT == "json":
        result.result.data = b"{oops"
    return result


async def run(request: wire.RunRequest, _: object) -> AsyncIterator[wire.RunResponse]:
    """Run over a stream of its own."""
    chunk = wire.OutputChunk(channel=wire.OutputChunk.CHANNEL_STDOUT, data=b"out")
    started = wire.RunEvent(sequence=1, started=wire.RunStarted())
    yield wire.RunResponse(events=[started, wire.RunEvent(sequence=2, output=chunk)])
    if FAULT == "calls":
        if request.action.params.data == b'{"wait":true}':
            await CANCELED.wait()
        yield wire.RunResponse(events=[wire.RunEvent(sequence=3, result=done(request.run_id))])


CANCELED = asyncio.Event()


async def cancel(*_: object) -> wire.CancelRunResponse:
    """End the run that waits."""
    CANCELED.set()
    return wire.CancelRunResponse(known=True)


async def session(requests: AsyncIterator[wire.SessionRequest], _: object) -> AsyncIterator[bytes]:
    """Answer each run at once."""
    if FAULT == "hangup":
        return
    async for frame in requests:
        for command in frame.commands:
            if FAULT == "garbage":
                yield b"\xff\xff\xff"
            if FAULT == "stranger":
                event = wire.RunEvent(sequence=1, result=done("nobody"))
                item = wire.SessionEvent(run_id="nobody", event=event)
                yield wire.SessionResponse(events=[item] * 3).SerializeToString()
            run_id = command.run.run_id
            item = wire.SessionEvent(run_id=run_id, event=wire.RunEvent(result=done(run_id)))
            yield wire.SessionResponse(events=[item, item]).SerializeToString()


def handlers() -> list[grpc.GenericRpcHandler]:
    """Return both services."""
    plugin: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Handshake": grpc.unary_unary_rpc_method_handler(
            handshake,
            plugin_wire.HandshakeRequest.FromString,
            plugin_wire.HandshakeResponse.SerializeToString,
        ),
        "Drain": grpc.unary_unary_rpc_method_handler(
            drain, None, plugin_wire.DrainResponse.SerializeToString
        ),
        "Shutdown": grpc.unary_unary_rpc_method_handler(
            shutdown, None, plugin_wire.ShutdownResponse.SerializeToString
        ),
    }
    runner: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Run": grpc.unary_stream_rpc_method_handler(
            run, wire.RunRequest.FromString, wire.RunResponse.SerializeToString
        ),
        "CancelRun": grpc.unary_unary_rpc_method_handler(
            cancel, None, wire.CancelRunResponse.SerializeToString
        ),
        "Session": grpc.stream_stream_rpc_method_handler(session, wire.SessionRequest.FromString),
    }
    return [
        grpc.method_handlers_generic_handler(f"{SERVICE}.PluginService", plugin),
        grpc.method_handlers_generic_handler(f"{SERVICE}.RunnerService", runner),
    ]


async def main() -> None:
    """Serve until told to end."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(tuple(handlers()))
    address = os.environ["WHIMBREL_LISTEN"]
    server.add_insecure_port(address)
    await server.start()
    print("a banner that nobody asked for")
    print("WHIMBREL-PLUGIN-1", json.dumps({"transport": "grpc", "address": address}), flush=True)
    await SHUTDOWN.wait()
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(main())

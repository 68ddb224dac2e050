"""Listens for gRPC: on a unix socket for this machine, on a TCP port for others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from grpc_reflection.v1alpha import reflection
from whimbrel_sdk.wire.api.v1 import execution_service_pb2 as execution_pb
from whimbrel_sdk.wire.api.v1 import execution_service_pb2_grpc as execution_rpc

from whimbrel.broker.application import Broker
from whimbrel.errors import Unavailable
from whimbrel.gateway.grpc.executions import ExecutionService
from whimbrel.gateway.grpc.services import add_services

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
STOP_SECONDS = 2.0
SOCKET_PATH_BYTES_MAX = 100
SOCKET_MODE = 0o600

OPTIONS = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    ("grpc.so_reuseport", 0),
)


@asynccontextmanager
async def serve_grpc(
    broker: Broker,
    socket_path: Path,
    *,
    address: str = "",
    tls: tuple[bytes, bytes] | None = None,
) -> AsyncIterator[int]:
    """Serve the API until the end of the block; gives the TCP port, or 0 without an address.

    `address` is `host:port`, port 0 takes a free one; `tls` is (key, certificate chain) in PEM. Raises
    `Unavailable` when the address is taken. The socket can be used by its owner alone.
    """
    server = grpc.aio.server(options=OPTIONS)
    names = [*add_services(server, broker), *_add_executions(server, broker)]
    checker = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checker, server)
    for name in ("", *names):
        await checker.set(name, health_pb2.HealthCheckResponse.SERVING)
    reflection.enable_server_reflection(
        [*names, reflection.SERVICE_NAME, "grpc.health.v1.Health"], server
    )
    try:
        _listen_on_socket(server, socket_path)
        port = _listen_on_address(server, address, tls) if address else 0
        await server.start()
        socket_path.chmod(SOCKET_MODE)  # noqa: ASYNC240  one call on a local file
        yield port
    finally:
        await server.stop(STOP_SECONDS)
        socket_path.unlink(missing_ok=True)  # noqa: ASYNC240  one call on a local file


def _add_executions(server: grpc.aio.Server, broker: Broker) -> list[str]:
    execution_rpc.add_ExecutionServiceServicer_to_server(ExecutionService(broker), server)
    return [s.full_name for s in execution_pb.DESCRIPTOR.services_by_name.values()]


def _listen_on_socket(server: grpc.aio.Server, path: Path) -> None:
    if len(str(path).encode()) > SOCKET_PATH_BYTES_MAX:
        raise Unavailable(
            f"{path} is too long for a socket ({SOCKET_PATH_BYTES_MAX} bytes); choose a shorter "
            "--run-folder"
        )
    path.unlink(missing_ok=True)
    server.add_insecure_port(f"unix:{path}")


def _listen_on_address(
    server: grpc.aio.Server, address: str, tls: tuple[bytes, bytes] | None
) -> int:
    try:
        if tls is not None:
            return server.add_secure_port(address, grpc.ssl_server_credentials([tls]))
        return server.add_insecure_port(address)
    except RuntimeError as error:
        raise Unavailable(
            f"grpc_port: {address} cannot be listened on. Choose another with --grpc-port; 0 takes "
            "a free one"
        ) from error

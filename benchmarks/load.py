"""A load generator that costs little: prebuilt requests over keep-alive sockets, one process, one poll."""

import select
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

HEADER_END = b"\r\n\r\n"


def request_bytes(method: str, path: str, token: str, body: Any) -> bytes:
    """Return one HTTP/1.1 request."""
    data = msgspec.json.encode(body)
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Auth-Token: {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def response_length(buffer: bytes) -> int | None:
    """Return how many bytes the first response in the buffer has, or None while it is not whole."""
    end = buffer.find(HEADER_END)
    if end < 0:
        return None
    head = buffer[:end].lower()
    start = head.find(b"content-length:")
    stop = head.find(b"\r\n", start)
    length = int(head[start + 15 : stop if stop > 0 else end])
    total = end + len(HEADER_END) + length
    return total if len(buffer) >= total else None


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.sent = 0.0


def run(
    port: int, requests: Iterator[bytes], *, connections: int, expect: bytes
) -> tuple[int, float, list[float]]:
    """Send all requests; return how many, the seconds it took and each latency in seconds."""
    poll = select.epoll()
    open_connections: dict[int, _Connection] = {}
    latencies: list[float] = []
    begun = time.perf_counter()
    for _ in range(connections):
        connection = _Connection(port)
        if not _send(connection, requests):
            connection.socket.close()
            break
        open_connections[connection.socket.fileno()] = connection
        poll.register(connection.socket.fileno(), select.EPOLLIN)
    while open_connections:
        for number, _ in poll.poll():
            connection = open_connections[number]
            connection.buffer += connection.socket.recv(65536)
            length = response_length(connection.buffer)
            if length is None:
                continue
            if expect not in connection.buffer[:32]:
                raise RuntimeError(f"unexpected answer: {connection.buffer[:300]!r}")
            connection.buffer = connection.buffer[length:]
            latencies.append(time.perf_counter() - connection.sent)
            if not _send(connection, requests):
                poll.unregister(number)
                connection.socket.close()
                del open_connections[number]
    return len(latencies), time.perf_counter() - begun, latencies


def _send(connection: _Connection, requests: Iterator[bytes]) -> bool:
    data = next(requests, None)
    if data is None:
        return False
    connection.sent = time.perf_counter()
    connection.socket.sendall(data)
    return True


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def wait_until(done: Callable[[], bool], *, seconds_max: float = 120.0) -> None:
    """Return once `done` says so."""
    deadline = time.perf_counter() + seconds_max
    while not done():
        if time.perf_counter() > deadline:
            raise RuntimeError(f"not done in {seconds_max} s")
        time.sleep(0.01)

"""A run's output on its way out: small writes become one chunk, floods are cut off."""

import asyncio
from collections.abc import Callable

from whimbrel_sdk.run import STDERR, STDOUT, OutputOptions

EmitChunk = Callable[[str, bytes, int], None]


class OutputBuffer:
    """Gathers writes and emits chunks `(channel, data, offset)` in the order of writing.

    What is written after a quiet time goes out with the loop's next turn. After that, chunks leave
    every `flush_interval_seconds`, or as soon as one is full. Bytes beyond `max_total_bytes` are
    dropped and `truncated` is set. Belongs to the loop's thread.
    """

    def __init__(self, options: OutputOptions, emit: EmitChunk) -> None:
        self.truncated = False
        self._options = options
        self._emit = emit
        self._pending: list[tuple[str, bytearray]] = []
        self._pending_bytes = 0
        self._room_bytes = options.max_total_bytes
        self._offsets = {STDOUT: 0, STDERR: 0}
        self._timer: asyncio.Handle | None = None
        self._quiet_until = 0.0

    def write(self, channel: str, data: bytes) -> None:
        """Take `data`; the channel must be "stdout" or "stderr"."""
        if channel not in self._offsets:
            raise ValueError(f"output channel {channel!r}: allowed are {sorted(self._offsets)}")
        if len(data) > self._room_bytes:
            self.truncated = True
            data = data[: self._room_bytes]
        if not data:
            return
        self._room_bytes -= len(data)
        self._pending_bytes += len(data)
        if self._pending and self._pending[-1][0] == channel:
            self._pending[-1][1].extend(data)
        else:
            self._pending.append((channel, bytearray(data)))
        self._plan_flush()

    def flush(self) -> None:
        """Emit what is pending."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._pending:
            return
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        for channel, data in pending:
            self._emit_pieces(channel, bytes(data))
        interval = self._options.flush_interval_seconds
        self._quiet_until = asyncio.get_running_loop().time() + interval

    def _plan_flush(self) -> None:
        if self._pending_bytes >= self._options.max_chunk_bytes:
            self.flush()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            if loop.time() >= self._quiet_until:
                self._timer = loop.call_soon(self.flush)
            else:
                self._timer = loop.call_at(self._quiet_until, self.flush)

    def _emit_pieces(self, channel: str, data: bytes) -> None:
        offset, size = self._offsets[channel], self._options.max_chunk_bytes
        for start in range(0, len(data), size):
            self._emit(channel, data[start : start + size], offset + start)
        self._offsets[channel] = offset + len(data)

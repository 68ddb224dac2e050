"""Frames for a stream: whatever is queued when the writer is free travels as one message."""

import asyncio
from typing import Generic, TypeVar

FRAME_BYTES = 1024 * 1024
"""A frame takes queued items up to this; a single larger one travels alone."""

UNSENT_BYTES = 1024 * 1024
"""Beyond this much that was not taken yet, `drained` waits."""

Item = TypeVar("Item")


class FrameQueue(Generic[Item]):
    """Items on their way into frames. One writer; belongs to the loop's thread.

    It bounds nothing by itself: who puts large items waits for `drained`.
    """

    def __init__(self) -> None:
        self._items: list[Item] = []
        self._sizes: list[int] = []
        self._unsent_bytes = 0
        self._queued = asyncio.Event()
        self._room = asyncio.Event()
        self._closed = False

    def put(self, item: Item, size_bytes: int = 0) -> None:
        """Queue an item; `size_bytes` matters only when it is large."""
        if self._closed:
            return
        self._items.append(item)
        self._sizes.append(size_bytes)
        self._unsent_bytes += size_bytes
        self._queued.set()

    async def take(self) -> list[Item]:
        """Return the next frame's items, at least one; waits for it."""
        while not self._items:
            self._queued.clear()
            await self._queued.wait()
        if self._unsent_bytes <= FRAME_BYTES:
            taken, self._items, self._sizes, self._unsent_bytes = self._items, [], [], 0
        else:
            taken = self._take_some()
        self._room.set()
        return taken

    async def drained(self) -> None:
        """Wait while too much is unsent."""
        while self._unsent_bytes > UNSENT_BYTES and not self._closed:
            self._room.clear()
            await self._room.wait()

    def close(self) -> None:
        """Drop what is queued and all that follows; nobody reads it."""
        self._closed = True
        self._items, self._sizes = [], []
        self._room.set()

    def _take_some(self) -> list[Item]:
        count = frame_bytes = 0
        for size in self._sizes:
            if count and frame_bytes + size > FRAME_BYTES:
                break
            count, frame_bytes = count + 1, frame_bytes + size
        taken, self._items = self._items[:count], self._items[count:]
        self._sizes = self._sizes[count:]
        self._unsent_bytes -= frame_bytes
        return taken

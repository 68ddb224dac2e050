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
        self._due = asyncio.Event()
        self._room = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._finished = False

    def put(self, item: Item, size_bytes: int = 0) -> None:
        """Queue an item; `size_bytes` matters only when it is large."""
        if self._finished:
            return
        self._append(item, size_bytes)
        self._due.set()

    def put_patiently(self, item: Item, patience_seconds: float) -> None:
        """Queue a small item that would rather travel with the next one than cost a frame."""
        if self._finished:
            return
        self._append(item, 0)
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(patience_seconds, self._out_of_patience)

    async def take(self) -> list[Item]:
        """Return the next frame's items; waits for them. None are left when it is empty."""
        while not self._due.is_set():
            await self._due.wait()
        if self._unsent_bytes > FRAME_BYTES:
            taken = self._take_some()
        else:
            taken, self._items, self._sizes, self._unsent_bytes = self._items, [], [], 0
            if not self._finished:
                self._due.clear()
        self._room.set()
        return taken

    async def drained(self) -> None:
        """Wait while too much is unsent."""
        while self._unsent_bytes > UNSENT_BYTES and not self._finished:
            self._room.clear()
            await self._room.wait()

    def finish(self) -> None:
        """Take no more items; `take` returns what is queued, and then nothing."""
        self._finished = True
        self._due.set()
        self._room.set()

    def drop(self) -> None:
        """Finish, and forget what is queued: nobody reads it."""
        self._items, self._sizes, self._unsent_bytes = [], [], 0
        self.finish()

    def _append(self, item: Item, size_bytes: int) -> None:
        self._items.append(item)
        self._sizes.append(size_bytes)
        self._unsent_bytes += size_bytes

    def _out_of_patience(self) -> None:
        """One timer serves many items: an item put late in its time just leaves earlier."""
        self._timer = None
        if self._items:
            self._due.set()

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

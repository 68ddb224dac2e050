"""The change feed: one bounded queue for each watcher, filled in commit order."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence

from whimbrel import errors
from whimbrel.store.port import Change

WATCH_QUEUE_MAX = 10_000


class Watch(AsyncIterator[Change]):
    """One watcher's view of the feed. It ends when the store closes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._changes: deque[Change] = deque()
        self._wake: asyncio.Future[None] | None = None
        self._ended = False
        self._too_slow = False

    def offer(self, changes: Sequence[Change]) -> bool:
        """Queue the changes; return False when this watcher has fallen too far behind."""
        if len(self._changes) + len(changes) > self._limit:
            self._changes.clear()
            self._too_slow = True
        else:
            self._changes.extend(changes)
        self._notify()
        return not self._too_slow

    def end(self) -> None:
        """Let the watcher read what is queued, and then stop."""
        self._ended = True
        self._notify()

    async def __anext__(self) -> Change:
        while not self._changes:
            if self._too_slow:
                raise errors.Unavailable(
                    f"this watcher fell more than {self._limit} changes behind; "
                    "watch again and read the state anew"
                )
            if self._ended:
                raise StopAsyncIteration
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake
        return self._changes.popleft()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


class ChangeFeed:
    """Hands each committed change to every watcher.

    A watcher that was left without a word is let go when its queue overflows.
    """

    def __init__(self, limit: int = WATCH_QUEUE_MAX) -> None:
        self._limit = limit
        self._watches: list[Watch] = []
        self._closed = False

    def __bool__(self) -> bool:
        """Return whether anybody watches."""
        return bool(self._watches)

    def watch(self) -> Watch:
        """Return a watch of all changes from now on."""
        watch = Watch(self._limit)
        if self._closed:
            watch.end()
        else:
            self._watches.append(watch)
        return watch

    def publish(self, changes: Sequence[Change]) -> None:
        """Queue the changes for each watcher."""
        self._watches = [watch for watch in self._watches if watch.offer(changes)]

    def close(self) -> None:
        """End every watch, and those that are still to come."""
        self._closed = True
        for watch in self._watches:
            watch.end()
        self._watches.clear()

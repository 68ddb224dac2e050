"""What happens, told to subscribers inside this process as it happens (SSE, gRPC watch).

This is a live view and keeps nothing: what was durable before is asked from the store.
"""

import asyncio
import fnmatch
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from whimbrel import errors

QUEUE_LIMIT = 1000
"""Events that may wait for one subscriber; a slower one is cut off with `Unavailable`."""


class StreamEvent(msgspec.Struct, frozen=True):
    """One happening, with StackStorm's event name (`st2.execution__update`) and document."""

    name: str
    data: dict[str, Any]


class Subscription:
    """An async iterator over the events that were asked for."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._queue: asyncio.Queue[StreamEvent | None] = asyncio.Queue(QUEUE_LIMIT + 1)
        self._cut_off = False

    def wants(self, name: str) -> bool:
        """Whether the event's name matches one of the asked names or globs."""
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self._names)

    def push(self, event: StreamEvent) -> None:
        """Hand over an event; a full queue ends the subscription."""
        if self._cut_off:
            return
        if self._queue.qsize() >= QUEUE_LIMIT:
            self._cut_off = True
            self._queue.put_nowait(None)
            return
        self._queue.put_nowait(event)

    def __aiter__(self) -> AsyncIterator[StreamEvent]:
        return self

    async def __anext__(self) -> StreamEvent:
        event = await self._queue.get()
        if event is None:
            raise errors.Unavailable(
                f"this subscriber fell more than {QUEUE_LIMIT} events behind and was cut off"
            )
        return event


class Stream:
    """The fan-out to all subscriptions. An event that nobody wants costs nothing."""

    def __init__(self) -> None:
        self._subscriptions: set[Subscription] = set()

    @contextmanager
    def subscribe(self, names: Sequence[str]) -> Iterator[Subscription]:
        """Give a subscription to events whose name matches one of `names` (globs allowed)."""
        subscription = Subscription(names)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def publish(self, name: str, document: Callable[[], dict[str, Any]]) -> None:
        """Tell subscribers; `document` is only called when somebody wants the event."""
        wanting = [s for s in self._subscriptions if s.wants(name)]
        if not wanting:
            return
        event = StreamEvent(name, document())
        for subscription in wanting:
            subscription.push(event)

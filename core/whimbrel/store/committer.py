"""Group commit: what commits while the disk is busy shares the next sync."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from whimbrel import errors
from whimbrel.store.admission import Admission
from whimbrel.store.environment import Environment, Faults, LmdbOptions
from whimbrel.store.layout import Batch
from whimbrel.store.tree import Head, Tree
from whimbrel.store.writer import Group, Writer

# The writer thread and the loop share the interpreter's lock. LMDB gives it up in every call, and a
# busy loop takes it and keeps it: a group of 64 ops took 30 to 900 ms, most of it waiting. So the loop
# steps aside: for the 10 us an op that applying takes, and then, at growing intervals, for a moment
# in which a writer that waits for the lock gets it. The bounds hold for a slow disk, on which the
# writer waits for pages and not for the lock.
_APPLY_SECONDS_MAX = 0.02
_GIVE_WAY_SECONDS = 0.0002
_GIVE_WAY_AFTER_SECONDS = 0.001

Written = Callable[[Head, Sequence[tuple[Batch, int]]], None]


class Committer:
    """Queues commits, and hands them to the writer thread a group at a time.

    `written` hears of each durable group, on the loop, before the commits return. A commit whose
    caller is cancelled may still be applied.
    """

    def __init__(
        self,
        environment: Environment,
        tree: Tree,
        *,
        options: LmdbOptions,
        faults: Faults,
        written: Written,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._writer = Writer(environment, tree, faults, self._report)
        self._written = written
        self._group_ops_max = options.group_ops_max
        self._admission = Admission(
            commits_max=options.queue_commits_max, bytes_max=options.queue_bytes_max
        )
        self._queue: deque[tuple[Batch, asyncio.Future[int]]] = deque()
        self._in_flight: list[tuple[Batch, asyncio.Future[int]]] = []
        self._writing = False
        self._closed = False

    def start(self) -> None:
        """Start the writer thread."""
        self._writer.start()

    async def commit(self, batch: Batch) -> int:
        """Return the revision once the batch is durable; waits for room in the queue first."""
        if self._closed:
            raise errors.Unavailable("the store is closed")
        if not self._admission.try_enter(batch.size):
            await self._admission.enter(batch.size)
        return await self._enqueue(batch)

    def submit(self, batch: Batch) -> asyncio.Future[int]:
        """Queue a batch of the store's own, whether there is room or not."""
        if self._closed:
            raise errors.Unavailable("the store is closed")
        self._admission.force(batch.size)
        return self._enqueue(batch)

    async def close(self) -> None:
        """Refuse new commits, finish those asked for, and end the writer thread."""
        self._closed = True
        await self._admission.drained()
        await asyncio.to_thread(self._writer.stop)

    def _enqueue(self, batch: Batch) -> asyncio.Future[int]:
        done: asyncio.Future[int] = self._loop.create_future()
        self._queue.append((batch, done))
        self._write_soon()
        return done

    def _write_soon(self) -> None:
        if self._queue and not self._writing:
            self._writing = True
            # Not at once: what else commits in this turn of the loop joins the group.
            self._loop.call_soon(self._write)

    def _write(self) -> None:
        ops = 0
        while self._queue and ops < self._group_ops_max:
            self._in_flight.append(self._queue.popleft())
            ops += len(self._in_flight[-1][0].writes)
        group = Group([batch for batch, _ in self._in_flight])
        self._writer.submit(group)
        group.applied.wait(_APPLY_SECONDS_MAX)
        self._loop.call_later(
            _GIVE_WAY_AFTER_SECONDS, self._give_way, group, 2 * _GIVE_WAY_AFTER_SECONDS
        )

    def _give_way(self, group: Group, again_seconds: float) -> None:
        if group.reported.reached:
            return
        group.reported.wait(_GIVE_WAY_SECONDS)
        if not group.reported.reached:
            self._loop.call_later(again_seconds, self._give_way, group, 2 * again_seconds)

    def _report(self, group: Group) -> None:
        self._loop.call_soon_threadsafe(self._finish, group)

    def _finish(self, group: Group) -> None:
        in_flight, self._in_flight = self._in_flight, []
        self._writing = False
        if group.head is not None:
            self._written(
                group.head,
                [
                    (batch, result)
                    for batch, result in zip(group.batches, group.results, strict=True)
                    if isinstance(result, int)
                ],
            )
        for (_, done), result in zip(in_flight, group.results, strict=True):
            if done.cancelled():
                continue
            if isinstance(result, int):
                done.set_result(result)
            else:
                done.set_exception(result)
        self._admission.leave(len(in_flight), sum(batch.size for batch in group.batches))
        self._write_soon()

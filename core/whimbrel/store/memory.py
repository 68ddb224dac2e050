"""A Store in memory, with the meaning of the durable one: for tests, simulations and dry runs."""

import asyncio
from bisect import bisect_left, insort
from collections.abc import AsyncIterator, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from whimbrel import errors
from whimbrel.store import layout
from whimbrel.store.feed import WATCH_QUEUE_MAX, ChangeFeed
from whimbrel.store.port import Change, Op, Record, RevisionConflict
from whimbrel.store.progress import Progress
from whimbrel.store.vault import Vault


class _Stored(msgspec.Struct, frozen=True):
    revision: int
    entries: tuple[bytes, ...]
    sealed: bytes


class MemoryStore:
    """Keeps everything in this process, sealed as on a disk, and loses it at the end."""

    def __init__(
        self, vault: Vault | None = None, *, watch_queue_max: int = WATCH_QUEUE_MAX
    ) -> None:
        self._vault = vault or Vault.ephemeral()
        self._feed = ChangeFeed(watch_queue_max)
        self._records: dict[bytes, _Stored] = {}
        # Table spaces and index entries alike: the sorted keys of their records.
        self._orders: dict[bytes, list[bytes]] = {}
        self._progress = Progress()
        self._closed = False

    async def __aenter__(self) -> "MemoryStore":
        return self

    async def __aexit__(self, *_exc: object) -> None:
        self._closed = True
        self._feed.close()
        self._progress.close()

    async def commit(self, ops: Sequence[Op]) -> int:
        """Apply all ops; `Store.commit`."""
        batch = layout.encode_commit(ops, self._vault)
        # A real store gives way to other tasks here; so does this one, lest callers rely on less.
        await asyncio.sleep(0)
        self._check_open()
        self._check_expectations(batch.checks)
        if not ops:
            return self._progress.revision
        revision = self._progress.revision + 1
        for write in batch.writes:
            self._apply(write, revision)
        self._feed.publish(layout.changes(batch, revision))
        self._progress.reach(revision)
        return revision

    def get(self, table: str, key: str) -> Record | None:
        """Return the record, or None."""
        self._check_open()
        record_key = layout.table_space(table) + layout.key_bytes(table, key)
        stored = self._records.get(record_key)
        return None if stored is None else self._open(table, key, stored)

    def page(
        self,
        table: str,
        *,
        limit: int,
        before: str | None = None,
        offset: int = 0,
        index: tuple[str, str] | None = None,
        ascending: bool = False,
        prefix: str = "",
    ) -> list[Record]:
        """Return up to `limit` records in key order; `Store.page`."""
        self._check_open()
        window = layout.page_window(
            table, limit=limit, before=before, offset=offset, ascending=ascending, prefix=prefix
        )
        space = layout.table_space(table)
        order = self._orders.get(space if index is None else layout.entry_key(table, *index), [])
        start = bisect_left(order, window.low)
        end = len(order) if window.high is None else bisect_left(order, window.high)
        positions = range(start, end) if ascending else range(end - 1, start - 1, -1)
        names = [order[position] for position in islice(positions, offset, offset + limit)]
        return [self._open(table, name.decode(), self._records[space + name]) for name in names]

    def count(self, table: str, *, index: tuple[str, str] | None = None) -> int:
        """Return how many records there are."""
        self._check_open()
        space = layout.table_space(table) if index is None else layout.entry_key(table, *index)
        return len(self._orders.get(space, ()))

    def watch(self) -> AsyncIterator[Change]:
        """Yield each change committed from now on; `Store.watch`."""
        return self._feed.watch()

    async def barrier(self, revision: int) -> None:
        """Return once local reads include that revision."""
        await self._progress.wait(revision)

    async def backup(self, target: Path) -> None:
        """Refuse: what lives in memory has no durable form."""
        raise errors.Unavailable(f"a store in memory cannot be backed up to {target}")

    def sealed(self, table: str, key: str) -> bytes:
        """Return the stored bytes of a record, which never hold its value in clear."""
        return self._records[layout.table_space(table) + key.encode()].sealed

    def _check_open(self) -> None:
        if self._closed:
            raise errors.Unavailable("the store is closed")

    def _check_expectations(self, checks: Sequence[layout.Check]) -> None:
        for check in checks:
            stored = self._records.get(check.record_key)
            found = stored.revision if stored else 0
            if found != check.expect:
                raise RevisionConflict(check.table, check.key, expected=check.expect, found=found)

    def _apply(self, write: layout.Write, revision: int) -> None:
        space = layout.table_space(write.table)
        old = self._records.pop(write.record_key, None)
        if old is not None:
            for order in (space, *old.entries):
                self._leave(order, write.key_bytes)
        if write.sealed is None:
            return
        self._records[write.record_key] = _Stored(revision, write.entries, write.sealed)
        for order in (space, *write.entries):
            insort(self._orders.setdefault(order, []), write.key_bytes)

    def _leave(self, order: bytes, name: bytes) -> None:
        keys = self._orders[order]
        del keys[bisect_left(keys, name)]
        if not keys:
            del self._orders[order]

    def _open(self, table: str, key: str, stored: _Stored) -> Record:
        return Record(
            table, key, self._vault.open(table, key.encode(), stored.sealed), stored.revision
        )

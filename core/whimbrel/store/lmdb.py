"""The durable Store: one LMDB file, written by one thread, read on the thread that asks."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from whimbrel import errors
from whimbrel.store import layout
from whimbrel.store.backup import write_backup
from whimbrel.store.committer import Committer
from whimbrel.store.environment import Answer, Faults, LmdbOptions, NoFaults
from whimbrel.store.feed import ChangeFeed
from whimbrel.store.opening import OpenStore, open_store
from whimbrel.store.port import Change, Op, Record
from whimbrel.store.progress import Progress
from whimbrel.store.schema import MIGRATIONS, Migration
from whimbrel.store.tree import Head, Transaction
from whimbrel.store.vault import Keyring, MasterKeySource


class LmdbStore:
    """A Store in a data folder; `LmdbStore.open` makes one. Use it in the event loop it opened in."""

    def __init__(self, files: OpenStore, options: LmdbOptions, faults: Faults) -> None:
        self._files = files
        self._options = options
        self._env = files.environment.lmdb
        self._tree = files.tree
        self._vault = files.keys.vault
        self._progress = Progress(files.head.revision)
        self._feed = ChangeFeed(options.watch_queue_max)
        self._committer = Committer(
            files.environment, files.tree, options=options, faults=faults, written=self._written
        )
        self._rotation: asyncio.Future[int] | None = None
        self._closed = False

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        folder: Path,
        master: MasterKeySource,
        *,
        options: LmdbOptions | None = None,
        faults: Faults | None = None,
        migrations: Sequence[Migration] = MIGRATIONS,
    ) -> AsyncIterator["LmdbStore"]:
        """Open the store in `folder`, making it when there is none; close it at the end.

        Raises `StoreLocked`, `SchemaTooNew`, `Corrupt`, or what the master key source raises.
        Closing finishes the commits already asked for.
        """
        options = options or LmdbOptions()
        files = await asyncio.to_thread(open_store, folder, master, options, migrations)
        try:
            store = cls(files, options, faults or NoFaults())
            async with store._running():
                yield store
        finally:
            await asyncio.to_thread(files.close)

    async def commit(self, ops: Sequence[Op]) -> int:
        """Apply all ops atomically and durably; `Store.commit`."""
        batch = layout.encode_commit(ops, self._vault)
        return await self._committer.commit(batch) if batch.writes else self._progress.revision

    def get(self, table: str, key: str) -> Record | None:
        """Return the record, or None."""
        name = layout.key_bytes(table, key)
        return self._read(lambda txn: self._tree.get(txn, table, key, name, self._vault))

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
        window = layout.page_window(
            table, limit=limit, before=before, offset=offset, ascending=ascending, prefix=prefix
        )
        entry = None if index is None else layout.entry_key(table, *index)
        return self._read(lambda txn: self._tree.page(txn, table, entry, window, self._vault))

    def count(self, table: str, *, index: tuple[str, str] | None = None) -> int:
        """Return how many records there are."""
        layout.table_space(table)
        if index is None:
            return self._read(lambda txn: self._tree.count_records(txn, table))
        entry = layout.entry_key(table, *index)
        return self._read(lambda txn: self._tree.count_entries(txn, entry))

    def watch(self) -> AsyncIterator[Change]:
        """Yield each change committed from now on; `Store.watch`."""
        return self._feed.watch()

    async def barrier(self, revision: int) -> None:
        """Return once local reads include that revision."""
        await self._progress.wait(revision)

    async def backup(self, target: Path) -> None:
        """Write a compact copy to a new file while commits go on.

        It holds the wrapped data keys too: with the master key it is all that `restore` needs.
        """
        await asyncio.to_thread(write_backup, self._env, target)

    async def rotate_key(self) -> int:
        """Seal new values under a new data key from now on; return its id. Old values stay readable."""
        await asyncio.shield(self._rotate())
        return self._vault.key_id

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        self._committer.start()
        self._check_readers(loop)
        try:
            yield
        finally:
            self._closed = True
            self._reader_check.cancel()
            await self._committer.close()
            self._feed.close()
            self._progress.close()

    def _check_readers(self, loop: asyncio.AbstractEventLoop) -> None:
        # A reading process that was killed would otherwise keep old pages from being used again.
        self._env.reader_check()
        self._reader_check = loop.call_later(
            self._options.reader_check_seconds, self._check_readers, loop
        )

    def _read(self, query: Callable[[Transaction], Answer]) -> Answer:
        if self._closed:
            raise errors.Unavailable("the store is closed")
        return self._files.environment.read(query)

    def _written(self, head: Head, commits: Sequence[tuple[layout.Batch, int]]) -> None:
        if self._feed:
            self._feed.publish(
                [
                    change
                    for batch, revision in commits
                    for change in layout.changes(batch, revision)
                ]
            )
        self._progress.reach(head.revision)
        if head.seals >= self._options.seals_per_key_max and not self._closed:
            self._rotate()

    def _rotate(self) -> asyncio.Future[int]:
        if self._rotation is None:
            keyring = self._files.keys.grown()
            self._rotation = self._committer.submit(layout.Batch((), keyring=keyring.encode()))
            self._rotation.add_done_callback(lambda done: self._end_rotation(keyring, done))
        return self._rotation

    def _end_rotation(self, keyring: Keyring, done: asyncio.Future[int]) -> None:
        self._rotation = None
        # Only a durable key may seal; after a failure the next group asks again.
        if done.exception() is None:
            self._files.keys.adopt(keyring)

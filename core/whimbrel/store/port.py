"""The Store port: atomic durable commits, synchronous local reads, indexed newest-first pages."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from whimbrel import errors


class RevisionConflict(errors.Conflict):
    """A record was not at the expected revision; nothing of the commit was applied."""

    def __init__(self, table: str, key: str, *, expected: int, found: int) -> None:
        super().__init__(f"{table}/{key}: expected revision {expected}, found {found}")
        self.table = table
        self.key = key
        self.expected = expected
        self.found = found


class StoreFull(errors.Unavailable):
    """The disk or the configured maximum size is reached; nothing of the commit was applied."""


class StoreLocked(errors.Unavailable):
    """Another process has this data folder open for writing."""


class Put(msgspec.Struct, frozen=True):
    """Write a record. `indexes` are (index name, value) pairs that `page` and `count` can select by.

    `expect` is the revision the record must be at; 0 means that it must not exist; None: any.
    """

    table: str
    key: str
    value: bytes
    indexes: tuple[tuple[str, str], ...] = ()
    expect: int | None = None


class Delete(msgspec.Struct, frozen=True):
    """Remove a record, if it is there. `expect` as in `Put`."""

    table: str
    key: str
    expect: int | None = None


Op = Put | Delete


class Record(msgspec.Struct, frozen=True):
    """A stored record. `revision` is that of the commit which wrote it."""

    table: str
    key: str
    value: bytes
    revision: int


class Change(msgspec.Struct, frozen=True):
    """A committed change, in commit order."""

    revision: int
    table: str
    key: str
    deleted: bool


class Store(Protocol):
    """What the broker asks of a store. Reads see every commit that has returned.

    Limits: a table or index name is at most 64 characters of ASCII, a key at most 255 bytes of UTF-8,
    an index value is cut to 128 bytes, a value at most 64 MiB, a record has at most 64 indexes, a
    commit 1000 ops and 256 MiB; over a limit raises `LimitExceeded`.
    """

    async def commit(self, ops: Sequence[Op]) -> int:
        """Apply all ops atomically and durably; return the new revision.

        Every expectation is about the state before the commit; of several ops on one record, the
        last one counts.
        Raises `RevisionConflict`, `StoreFull` or `LimitExceeded`; then nothing was applied.
        Concurrent commits share one disk sync.
        """
        ...

    def get(self, table: str, key: str) -> Record | None:
        """Return the record, or None."""
        ...

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
        """Return up to `limit` records in key order, newest (greatest key) first.

        `before` continues after the last key of the page before; `offset` skips that many without
        reading them; `index` selects records by one (name, value) pair; `prefix` selects by key.
        """
        ...

    def count(self, table: str, *, index: tuple[str, str] | None = None) -> int:
        """Return how many records there are. Does not get slower as they get more."""
        ...

    def watch(self) -> AsyncIterator[Change]:
        """Yield each change committed from now on; raises `Unavailable` for a reader too slow."""
        ...

    async def barrier(self, revision: int) -> None:
        """Return once local reads include that revision."""
        ...

    async def backup(self, target: Path) -> None:
        """Write a consistent copy to a new file while commits go on."""
        ...

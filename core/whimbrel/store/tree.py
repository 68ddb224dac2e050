"""The records and index entries as they stand in LMDB, and how a commit changes them.

Three key spaces in one file: `records` (table, key → revision, own entries, sealed value); `entries`
(table, index, value → sorted record keys), whose size LMDB keeps by itself; and the file's own facts
in the unnamed one: head revision, record count of each table, wrapped data keys, schema version.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, takewhile
from typing import TypeAlias

import lmdb
import msgspec

from whimbrel import errors
from whimbrel.store.layout import (
    NO_ENTRIES,
    Batch,
    Check,
    Window,
    Write,
    table_space,
    unpack_entries,
)
from whimbrel.store.port import Record, RevisionConflict
from whimbrel.store.vault import Vault

# In quotes: these classes are generic for the type checker alone.
Transaction: TypeAlias = "lmdb.Transaction[bytes]"
Cursor: TypeAlias = "lmdb.Cursor[bytes]"
Outcome = int | RevisionConflict

_HEAD_KEY = b"head"
_KEYRING_KEY = b"keyring"
_SCHEMA_KEY = b"schema"
_COUNT_SPACE = b"count\0"
_HEAD = struct.Struct(">QQ")
_FRAME = struct.Struct(">QH")


class Head(msgspec.Struct, frozen=True):
    """The newest revision, and how many values the newest data key has sealed."""

    revision: int
    seals: int


class Tree:
    """The key spaces of one open LMDB environment. Every method works inside the given transaction."""

    def __init__(self, env: lmdb.Environment, txn: Transaction, *, create: bool = True) -> None:
        self.records = env.open_db(b"records", txn, create=create)
        self.entries = env.open_db(b"entries", txn, dupsort=True, create=create)

    def head(self, txn: Transaction) -> Head:
        """Return the newest revision and the seals under the newest data key; zeros when new."""
        data = txn.get(_HEAD_KEY)
        return Head(0, 0) if data is None else Head(*_HEAD.unpack(data))

    def keyring(self, txn: Transaction) -> bytes | None:
        """Return the wrapped data keys; None in a new store."""
        return txn.get(_KEYRING_KEY)

    def set_keyring(self, txn: Transaction, keyring: bytes) -> None:
        """Write the wrapped data keys."""
        txn.put(_KEYRING_KEY, keyring)

    def schema(self, txn: Transaction) -> int:
        """Return the schema version of the file; 0 for a new one."""
        data = txn.get(_SCHEMA_KEY)
        return 0 if data is None else int(data)

    def set_schema(self, txn: Transaction, version: int) -> None:
        """Write the schema version."""
        txn.put(_SCHEMA_KEY, str(version).encode())

    def apply(self, txn: Transaction, batches: Iterable[Batch]) -> tuple[list[Outcome], Head]:
        """Apply each batch whose expectations hold.

        Return the revision or the conflict of each, in order, and the new head.
        """
        head = self.head(txn)
        revision, seals = head.revision, head.seals
        growth: dict[str, int] = {}
        outcomes: list[Outcome] = []
        for batch in batches:
            conflict = self._conflict(txn, batch.checks) if batch.checks else None
            if conflict is not None:
                outcomes.append(conflict)
                continue
            revision += 1
            outcomes.append(revision)
            for write in batch.writes:
                self._write(txn, write, revision, growth)
            seals += len(batch.writes)
            if batch.keyring is not None:
                self.set_keyring(txn, batch.keyring)
                seals = 0
        for table, records in growth.items():
            self._count_on(txn, table, records)
        if revision != head.revision:
            txn.put(_HEAD_KEY, _HEAD.pack(revision, seals))
        return outcomes, Head(revision, seals)

    def _conflict(self, txn: Transaction, checks: Sequence[Check]) -> RevisionConflict | None:
        for check in checks:
            record = txn.get(check.record_key, None, self.records)
            found = 0 if record is None else int.from_bytes(record[:8])
            if found != check.expect:
                return RevisionConflict(check.table, check.key, expected=check.expect, found=found)
        return None

    def _write(self, txn: Transaction, write: Write, revision: int, growth: dict[str, int]) -> None:
        record_key, listing, entries = write.record_key, write.listing, write.entries
        record = txn.get(record_key, None, self.records)
        listed = NO_ENTRIES if record is None else _open_listing(record)
        if listed != listing:
            if listed:
                entries = self._unlist(txn, write, unpack_entries(listed))
            for entry in entries:
                txn.put(entry, write.key_bytes, True, True, False, self.entries)
        if write.sealed is not None:
            frame = _FRAME.pack(revision, len(listing)) + listing + write.sealed
            txn.put(record_key, frame, True, True, False, self.records)
            if record is None:
                growth[write.table] = growth.get(write.table, 0) + 1
        elif record is not None:
            txn.delete(record_key, b"", self.records)
            growth[write.table] = growth.get(write.table, 0) - 1

    def _unlist(
        self, txn: Transaction, write: Write, listed: tuple[bytes, ...]
    ) -> tuple[bytes, ...]:
        """Remove the entries that the record no longer has; return those it does not have yet."""
        for entry in listed:
            if entry not in write.entries:
                txn.delete(entry, write.key_bytes, self.entries)
        return tuple(entry for entry in write.entries if entry not in listed)

    def _count_on(self, txn: Transaction, table: str, growth: int) -> None:
        records = self.count_records(txn, table) + growth
        txn.put(_COUNT_SPACE + table.encode(), records.to_bytes(8))

    def count_records(self, txn: Transaction, table: str) -> int:
        """Return the number of records of a table."""
        data = txn.get(_COUNT_SPACE + table.encode())
        return 0 if data is None else int.from_bytes(data)

    def count_entries(self, txn: Transaction, entry: bytes) -> int:
        """Return the number of records under an index entry."""
        cursor = txn.cursor(self.entries)
        return cursor.count() if cursor.set_key(entry) else 0

    def get(
        self, txn: Transaction, table: str, key: str, name: bytes, vault: Vault
    ) -> Record | None:
        """Return a record, or None; `name` is the key as stored."""
        stored = txn.get(table_space(table) + name, None, self.records)
        return None if stored is None else _open_record(table, key, name, stored, vault)

    def page(
        self, txn: Transaction, table: str, entry: bytes | None, window: Window, vault: Vault
    ) -> list[Record]:
        """Return the records of one page: of a table, or of one of its index entries."""
        if entry is None:
            found = self._table_page(txn, table, window)
        else:
            found = self._entry_page(txn, table, entry, window)
        return [_open_record(table, name.decode(), name, stored, vault) for name, stored in found]

    def check(self, txn: Transaction, vault: Vault) -> int:
        """Open every record; return how many there are. Raises `Corrupt` for what does not fit."""
        found: dict[str, int] = {}
        entries = 0
        for record_key, record in txn.cursor(self.records):
            space, _, name = record_key.partition(b"\0")
            table = space.decode()
            _open_record(table, name.decode(), name, record, vault)
            found[table] = found.get(table, 0) + 1
            entries += len(unpack_entries(_open_listing(record)))
        for table, records in found.items():
            counted = self.count_records(txn, table)
            if counted != records:
                raise errors.Corrupt(f"{table} has {records} records, but {counted} are counted")
        listed = txn.stat(self.entries)["entries"]
        if listed != entries:
            raise errors.Corrupt(f"there are {listed} index entries for {entries} in the records")
        return sum(found.values())

    def _table_page(
        self, txn: Transaction, table: str, window: Window
    ) -> Iterator[tuple[bytes, bytes]]:
        cursor = txn.cursor(self.records)
        space = table_space(table)
        low = space + window.low
        # The space ends in a zero byte; raising it gives the first key after the table.
        high = space[:-1] + b"\1" if window.high is None else space + window.high
        if window.ascending:
            found = cursor.set_range(low)
            keys = cursor.iternext(True, False)
        else:
            found = cursor.prev() if cursor.set_range(high) else cursor.last()
            keys = cursor.iterprev(True, False)
        if found:
            start = len(space)
            for key in _cut(keys, low, high, window):
                yield key[start:], cursor.value()

    def _entry_page(
        self, txn: Transaction, table: str, entry: bytes, window: Window
    ) -> Iterator[tuple[bytes, bytes]]:
        cursor = txn.cursor(self.entries)
        if window.ascending:
            found = cursor.set_range_dup(entry, window.low) if window.low else cursor.set_key(entry)
            names = cursor.iternext_dup(False, True)
        else:
            found = _seek_below(cursor, entry, window.high)
            names = cursor.iterprev_dup(False, True)
        if found:
            space = table_space(table)
            for name in _cut(names, window.low, window.high, window):
                stored = txn.get(space + name, None, self.records)
                if stored is None:
                    raise errors.Corrupt(f"{table}: an index lists {name!r}, which is not there")
                yield name, stored


def _seek_below(cursor: Cursor, entry: bytes, high: bytes | None) -> bool:
    if high is not None and cursor.set_range_dup(entry, high):
        return cursor.prev_dup()
    return cursor.set_key(entry) and cursor.last_dup()


def _cut(names: Iterator[bytes], low: bytes, high: bytes | None, window: Window) -> Iterator[bytes]:
    if not window.ascending:
        names = takewhile(low.__le__, names)
    elif high is not None:
        names = takewhile(high.__gt__, names)
    return islice(names, window.offset, window.offset + window.limit)


def _open_record(table: str, key: str, name: bytes, stored: bytes, vault: Vault) -> Record:
    revision, length = _FRAME.unpack_from(stored)
    return Record(table, key, vault.open(table, name, stored, _FRAME.size + length), revision)


def _open_listing(stored: bytes) -> bytes:
    _, length = _FRAME.unpack_from(stored)
    return stored[_FRAME.size : _FRAME.size + length]

"""How records and index entries are named and framed, and the limits that every store keeps."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec

from whimbrel import errors
from whimbrel.store.port import Change, Delete, Op
from whimbrel.store.vault import Vault

NAME_LENGTH_MAX = 64
KEY_BYTES_MAX = 255
INDEX_VALUE_BYTES = 128
INDEXES_MAX = 64
VALUE_BYTES_MAX = 64 * 1024 * 1024
COMMIT_OPS_MAX = 1000
COMMIT_BYTES_MAX = 256 * 1024 * 1024

NO_ENTRIES = b""

_PACKER = msgspec.msgpack.Encoder()
_UNPACKER = msgspec.msgpack.Decoder(tuple[bytes, ...])


class Write(msgspec.Struct, frozen=True):
    """One op made ready: checked, encoded and sealed; without a sealed value it removes the record.

    `entries` are the full keys of its index entries, sorted and without repeats; `listing` is their
    packed form, which a record keeps so that its entries can go when it does.
    """

    table: str
    key: str
    record_key: bytes
    key_bytes: bytes
    sealed: bytes | None
    entries: tuple[bytes, ...]
    listing: bytes


class Check(msgspec.Struct, frozen=True):
    """What a commit expects of a record before any of its ops apply."""

    table: str
    key: str
    record_key: bytes
    expect: int


class Batch(msgspec.Struct, frozen=True):
    """A commit made ready: at most one write for each record. `size` is in bytes of sealed values.

    `keyring`, if there is one, replaces the store's wrapped data keys.
    """

    writes: tuple[Write, ...]
    checks: tuple[Check, ...] = ()
    size: int = 0
    keyring: bytes | None = None


@lru_cache(maxsize=1024)
def table_space(table: str) -> bytes:
    """Return the prefix under which a table's records stand; refuses a name that is not one."""
    _check_name("table name", table)
    return table.encode() + b"\0"


@lru_cache(maxsize=1024)
def index_space(table: str, index: str) -> bytes:
    """Return the prefix under which the entries of one index of a table stand."""
    _check_name("index name", index)
    return table_space(table) + index.encode() + b"\0"


def _check_name(what: str, name: str) -> None:
    if len(name) > NAME_LENGTH_MAX:
        raise errors.LimitExceeded(
            what, value=len(name), maximum=NAME_LENGTH_MAX, unit="characters"
        )
    if not (name and name.isascii() and name.isprintable()):
        raise errors.InvalidInput(f"a {what} is printable ASCII and not empty, got {name!r}")


def key_bytes(table: str, key: str) -> bytes:
    """Return the key as stored; refuses an empty one, one too long, and one that is not Unicode."""
    try:
        data = key.encode()
    except UnicodeEncodeError as error:
        raise errors.InvalidInput(f"{table}: the key {key!r} is not valid Unicode") from error
    if len(data) > KEY_BYTES_MAX:
        raise errors.LimitExceeded(
            f"a key of {table}", value=len(data), maximum=KEY_BYTES_MAX, unit="bytes"
        )
    if not data:
        raise errors.InvalidInput(f"{table}: a key must not be empty")
    return data


def entry_key(table: str, index: str, value: str) -> bytes:
    """Return the name of one (index, value) pair; the value is cut to `INDEX_VALUE_BYTES`."""
    try:
        return index_space(table, index) + value.encode()[:INDEX_VALUE_BYTES]
    except UnicodeEncodeError as error:
        raise errors.InvalidInput(
            f"{table}: the value {value!r} of index {index} is not valid Unicode"
        ) from error


def encode_commit(ops: Sequence[Op], vault: Vault) -> Batch:
    """Return the ops checked, encoded and sealed. Of several ops on one record the last one counts."""
    if len(ops) == 1:
        write = _encode_op(ops[0], vault)
        size = len(write.sealed) if write.sealed else 0
        return Batch((write,), _checks(ops[0], write), size)
    if len(ops) > COMMIT_OPS_MAX:
        raise errors.LimitExceeded("a commit", value=len(ops), maximum=COMMIT_OPS_MAX, unit="ops")
    writes: dict[bytes, Write] = {}
    checks: tuple[Check, ...] = ()
    size = 0
    for op in ops:
        write = _encode_op(op, vault)
        writes[write.record_key] = write
        checks += _checks(op, write)
        size += len(write.sealed) if write.sealed else 0
        if size > COMMIT_BYTES_MAX:
            raise errors.LimitExceeded(
                "a commit", value=size, maximum=COMMIT_BYTES_MAX, unit="bytes"
            )
    return Batch(tuple(writes.values()), checks, size)


def _checks(op: Op, write: Write) -> tuple[Check, ...]:
    if op.expect is None:
        return ()
    return (Check(op.table, op.key, write.record_key, op.expect),)


def _encode_op(op: Op, vault: Vault) -> Write:
    table, key = op.table, op.key
    name = key_bytes(table, key)
    record_key = table_space(table) + name
    if isinstance(op, Delete):
        return Write(table, key, record_key, name, None, (), NO_ENTRIES)
    if len(op.value) > VALUE_BYTES_MAX:
        raise errors.LimitExceeded(
            f"the value of {table}/{key}",
            value=len(op.value),
            maximum=VALUE_BYTES_MAX,
            unit="bytes",
        )
    sealed = vault.seal(table, name, op.value)
    if not op.indexes:
        return Write(table, key, record_key, name, sealed, (), NO_ENTRIES)
    if len(op.indexes) > INDEXES_MAX:
        raise errors.LimitExceeded(
            f"the indexes of {table}/{key}", value=len(op.indexes), maximum=INDEXES_MAX
        )
    entries = tuple(sorted({entry_key(table, index, value) for index, value in op.indexes}))
    return Write(table, key, record_key, name, sealed, entries, pack_entries(entries))


def pack_entries(entries: tuple[bytes, ...]) -> bytes:
    """Return the stored list of a record's own index entries."""
    return _PACKER.encode(entries) if entries else NO_ENTRIES


def unpack_entries(listing: bytes) -> tuple[bytes, ...]:
    """Return the index entries of a stored list; raises `Corrupt` for what is none."""
    try:
        return _UNPACKER.decode(listing) if listing else ()
    except msgspec.MsgspecError as error:
        raise errors.Corrupt(f"a record's list of index entries is damaged: {error}") from error


def changes(batch: Batch, revision: int) -> list[Change]:
    """Return what watchers are told of a commit."""
    return [
        Change(revision, write.table, write.key, write.sealed is None) for write in batch.writes
    ]


class Window(msgspec.Struct, frozen=True):
    """What a page may show: keys from `low` on, below `high` (None: to the end), cut to a slice."""

    low: bytes
    high: bytes | None
    offset: int
    limit: int
    ascending: bool


def page_window(
    table: str, *, limit: int, before: str | None, offset: int, ascending: bool, prefix: str
) -> Window:
    """Return the window of a page; refuses a negative limit or offset."""
    if limit < 0 or offset < 0:
        raise errors.InvalidInput(
            f"limit and offset are 0 or more, got limit {limit} and offset {offset}"
        )
    low = key_bytes(table, prefix) if prefix else b""
    # No byte of UTF-8 is 0xff, so the last byte can always be raised.
    high = low[:-1] + bytes([low[-1] + 1]) if prefix else None
    if before is not None:
        edge = key_bytes(table, before)
        if ascending:
            low = max(low, edge + b"\0")
        else:
            high = edge if high is None else min(high, edge)
    return Window(low, high, offset, limit, ascending)

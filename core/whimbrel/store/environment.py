"""One LMDB environment: how it is opened, how its map grows, and what its errors mean."""

import errno
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import lmdb
import msgspec

from whimbrel import errors
from whimbrel.store.feed import WATCH_QUEUE_MAX
from whimbrel.store.port import StoreFull

Answer = TypeVar("Answer")

GIB = 1024**3
_SPACE_TO_WRITE_BYTES = 4 * 1024 * 1024
_OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.IncompatibleError,
    lmdb.NotFoundError,
)
# Address space, not memory or disk; a 32-bit process has little of it.
_MAP_SIZE_BYTES = 64 * GIB if sys.maxsize > 2**32 else GIB


class LmdbOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The store's limits. `max_size_bytes` bounds the file; at it, commits raise `StoreFull`.

    `map_size_bytes` is what is reserved at the start: addresses, not memory or disk.
    `metasync=False` saves one disk flush a commit; a power cut may then take the last commits, whole.
    A commit waits when `queue_commits_max` or `queue_bytes_max` are in flight.
    """

    map_size_bytes: int = _MAP_SIZE_BYTES
    max_size_bytes: int = _MAP_SIZE_BYTES
    metasync: bool = True
    queue_commits_max: int = 8192
    queue_bytes_max: int = 64 * 1024 * 1024
    group_ops_max: int = 1024
    watch_queue_max: int = WATCH_QUEUE_MAX
    # Random nonces stay safe for 2**32 values under one key; a data key retires well before.
    seals_per_key_max: int = 2**31
    reader_check_seconds: float = 60.0


class Faults(Protocol):
    """Points at which a test may fail or kill the writer. They run on the writer thread."""

    def before_commit(self, revision: int) -> None:
        """Called with the group applied and not yet durable; what it raises ends the group."""
        ...

    def after_commit(self, revision: int) -> None:
        """Called with the group durable and nobody told yet."""
        ...


class NoFaults:
    """The points as they are in production."""

    def before_commit(self, revision: int) -> None:
        """Go on."""

    def after_commit(self, revision: int) -> None:
        """Go on."""


class Environment:
    """An open LMDB file whose map grows by doubling, up to a maximum."""

    def __init__(self, path: Path, options: LmdbOptions, *, readonly: bool = False) -> None:
        self.path = path
        self._max_size_bytes = options.max_size_bytes
        self._resizing = threading.Lock()
        # Raised when a resize begins and when it ends, so it is odd during one.
        self._resize_steps = 0
        try:
            self.lmdb = lmdb.open(
                str(path),
                subdir=False,
                map_size=min(options.map_size_bytes, options.max_size_bytes),
                metasync=options.metasync,
                max_dbs=8,
                mode=0o600,
                max_spare_txns=2,
                readonly=readonly,
                # What is read alone is a draft that nobody else opens; a lock file would stay behind.
                lock=not readonly,
            )
        except lmdb.Error as error:
            raise failure(error, path) from error

    def close(self) -> None:
        """Close the file."""
        self.lmdb.close()

    def grow(self) -> bool:
        """Double the map; return False when it is at its maximum. Not inside a transaction."""
        size = self.size_bytes
        if size >= self._max_size_bytes:
            return False
        self.resize(min(2 * size, self._max_size_bytes))
        return True

    def resize(self, size_bytes: int) -> None:
        """Set the size of the map; never less than what is in use. Not inside a transaction."""
        with self._resizing:
            self._resize_steps += 1
            try:
                self.lmdb.set_mapsize(size_bytes)
            finally:
                self._resize_steps += 1

    def read(self, query: Callable[["lmdb.Transaction[bytes]"], Answer]) -> Answer:
        """Return the query's answer from one moment of the store; from any thread.

        A resize breaks the reads under way. Such a read begins again after it.
        """
        while True:
            steps = self._resize_steps
            try:
                with self.lmdb.begin() as txn:
                    return query(txn)
            except lmdb.Error as error:
                if steps == self._resize_steps and not steps % 2:
                    raise failure(error, self.path) from error
            with self._resizing:
                pass

    @property
    def size_bytes(self) -> int:
        """Return the present size of the map."""
        size: int = self.lmdb.info()["map_size"]
        return size


def failure(error: Exception, place: Path) -> errors.WhimbrelError:
    """Return what an LMDB or disk error means to a caller of the store."""
    if isinstance(error, errors.WhimbrelError):
        return error
    code = error.errno if isinstance(error, OSError) else getattr(error, "code", None)
    if isinstance(error, lmdb.MapFullError):
        return StoreFull(f"{place}: the store is at its maximum size; delete records or raise it")
    # LMDB reports a write that was cut short, as the last one on a full disk is, as an I/O error.
    if code in _OUT_OF_SPACE or (code == errno.EIO and _free_bytes(place) < _SPACE_TO_WRITE_BYTES):
        return StoreFull(f"{place}: the disk is full ({error}); free some space")
    if isinstance(error, _DAMAGE):
        return errors.Corrupt(f"{place}: the store's file is damaged ({error}); restore a backup")
    return errors.Unavailable(f"{place}: the store failed ({error})")


def _free_bytes(path: Path) -> int:
    disk = os.statvfs(path if path.exists() else path.parent)
    return disk.f_bavail * disk.f_frsize

"""One LMDB environment: how it is opened, how its map grows, and what its errors mean."""

import errno
import sys
from pathlib import Path
from typing import Protocol

import lmdb
import msgspec

from whimbrel import errors
from whimbrel.store.feed import WATCH_QUEUE_MAX
from whimbrel.store.port import StoreFull

GIB = 1024**3
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
    """The store's limits. Sizes are of the file; the map reserves addresses, not memory or disk.

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
        self._max_size_bytes = max(options.max_size_bytes, options.map_size_bytes)
        self.growths = 0
        try:
            self.lmdb = lmdb.open(
                str(path),
                subdir=False,
                map_size=options.map_size_bytes,
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
        size = self.lmdb.info()["map_size"]
        if size >= self._max_size_bytes:
            return False
        self.resize(min(2 * size, self._max_size_bytes))
        return True

    def resize(self, size_bytes: int) -> None:
        """Set the size of the map; never less than what is in use."""
        # Counted first: a read that the growth breaks must find the count changed.
        self.growths += 1
        self.lmdb.set_mapsize(size_bytes)

    @property
    def size_bytes(self) -> int:
        """Return the present size of the map."""
        size: int = self.lmdb.info()["map_size"]
        return size


def failure(error: Exception, place: object) -> errors.WhimbrelError:
    """Return what an LMDB or disk error means to a caller of the store."""
    if isinstance(error, errors.WhimbrelError):
        return error
    code = error.errno if isinstance(error, OSError) else getattr(error, "code", None)
    if isinstance(error, lmdb.MapFullError):
        return StoreFull(f"{place}: the store is at its maximum size; delete records or raise it")
    if code in _OUT_OF_SPACE:
        return StoreFull(f"{place}: the disk is full ({error}); free some space")
    if isinstance(error, _DAMAGE):
        return errors.Corrupt(f"{place}: the store's file is damaged ({error}); restore a backup")
    return errors.Unavailable(f"{place}: the store failed ({error})")

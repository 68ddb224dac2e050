"""The data folder: private to its owner, and open for writing in one process at a time."""

import fcntl
import os
from pathlib import Path

from whimbrel import errors
from whimbrel.store.port import StoreLocked

DATA_FILE = "store.lmdb"
LOCK_FILE = "store.pid"


class DataFolder:
    """A folder that holds one store. The lock ends with the process, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def data_file(self) -> Path:
        """Return where the records are."""
        return self.path / DATA_FILE

    def acquire(self) -> None:
        """Make the folder if need be and lock it; raises `StoreLocked` while another has it."""
        make_private(self.path)
        lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = os.pread(lock, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(lock)
            raise StoreLocked(
                f"the data folder {self.path} is in use by process {owner}; "
                "stop that one first, or use another folder"
            ) from error
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
        self._lock = lock

    def release(self) -> None:
        """Unlock; does nothing when it is not locked."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def make_private(folder: Path) -> None:
    """Make a folder of mode 0700; refuses one with content that others may enter."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise errors.InvalidInput(
            f"the data folder cannot be made: {error.strerror}", place=str(folder)
        ) from error
    mode = folder.stat().st_mode & 0o777
    if not mode & 0o077:
        return
    if any(folder.iterdir()):
        raise errors.InvalidInput(
            f"the data folder is open to others (mode {mode:04o}); run: chmod 0700 {folder}",
            place=str(folder),
        )
    folder.chmod(0o700)

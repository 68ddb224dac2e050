"""Backup of a live store to one file, and the way back.

A backup is a copy of the LMDB file with a trailer: a mark, and the SHA-256 of what stands before. LMDB
trusts its file and may crash on a damaged one, so none is opened before its trailer was checked.
"""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import lmdb

from whimbrel import errors
from whimbrel.store.environment import Environment, LmdbOptions, failure
from whimbrel.store.folder import DataFolder
from whimbrel.store.schema import check_version
from whimbrel.store.tree import Tree
from whimbrel.store.vault import Keyring, MasterKeySource, Vault, sync_folder

TRAILER_MARK = b"whimbrel-backup1"
TRAILER_BYTES = len(TRAILER_MARK) + hashlib.sha256().digest_size

_CHUNK_BYTES = 1024 * 1024


def write_backup(env: lmdb.Environment, target: Path) -> None:
    """Write a compact, durable copy of an open environment to a new file; never over an old one."""
    draft = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise errors.InvalidInput(
            f"cannot write a backup here: {error}", place=str(target)
        ) from error
    try:
        with os.fdopen(descriptor, "r+b") as file:
            env.copyfd(file.fileno(), compact=True)
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").digest()
            file.seek(0, os.SEEK_END)
            file.write(TRAILER_MARK + digest)
            file.flush()
            os.fsync(file.fileno())
        _publish(draft, target)
    except (lmdb.Error, OSError) as error:
        raise failure(error, target) from error
    finally:
        draft.unlink(missing_ok=True)


def restore(source: Path, folder: Path, master: MasterKeySource) -> int:
    """Make a store in `folder` from a backup; return how many records it holds.

    Every record is opened with the master key before the store comes to be. Raises `Conflict` for a
    folder that holds a store, and `Corrupt` for a damaged backup or the wrong master key.
    """
    place = DataFolder(folder)
    place.acquire()
    try:
        if place.data_file.exists():
            raise errors.Conflict(f"{folder} holds a store already; restore into an empty folder")
        draft = place.data_file.with_suffix(".restoring")
        try:
            _copy_checked(source, draft)
            records = check(draft, master)
            _publish(draft, place.data_file)
        finally:
            draft.unlink(missing_ok=True)
        return records
    finally:
        place.release()


def check(file: Path, master: MasterKeySource) -> int:
    """Open every record of a store's file that nobody writes to; return how many there are."""
    environment = Environment(file, LmdbOptions(), readonly=True)
    try:
        with environment.lmdb.begin() as txn:
            tree = Tree(environment.lmdb, txn, create=False)
            check_version(tree.schema(txn))
            stored = tree.keyring(txn)
            if stored is None:
                raise errors.Corrupt(f"{file} holds no data keys: it is not a Whimbrel store")
            vault = Vault(Keyring.decode(stored).unlock(master.load(create=False)))
            return tree.check(txn, vault)
    except lmdb.Error as error:
        raise failure(error, file) from error
    finally:
        environment.close()


def _copy_checked(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as reader, target.open("xb") as writer:
            target.chmod(0o600)
            if not _copy_before_trailer(reader, writer):
                raise errors.Corrupt(f"{source} is damaged or incomplete, or not a backup")
            writer.flush()
            os.fsync(writer.fileno())
    except FileNotFoundError as error:
        raise errors.NotFound(f"there is no backup file {source}") from error


def _copy_before_trailer(reader: BinaryIO, writer: BinaryIO) -> bool:
    """Copy all but the trailer; return whether the trailer fits what was copied."""
    left = reader.seek(0, os.SEEK_END) - TRAILER_BYTES
    reader.seek(0)
    digest = hashlib.sha256()
    while left > 0 and (chunk := reader.read(min(left, _CHUNK_BYTES))):
        digest.update(chunk)
        writer.write(chunk)
        left -= len(chunk)
    return reader.read() == TRAILER_MARK + digest.digest()


def _publish(draft: Path, target: Path) -> None:
    try:
        # A link, unlike a rename, never replaces.
        os.link(draft, target)
    except FileExistsError as error:
        raise errors.Conflict(f"{target} exists already; it is left as it was") from error
    sync_folder(target.parent)

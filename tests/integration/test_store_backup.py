"""Backups of a store in use, and what is restored from them."""

import asyncio
import hashlib
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.store import Put, StoreLocked
from whimbrel.store.backup import TRAILER_BYTES, TRAILER_MARK, restore
from whimbrel.store.folder import DATA_FILE
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile


def master(folder: Path) -> MasterKeyFile:
    """Return the test's master key."""
    return MasterKeyFile(folder / "key")


def backed_up(folder: Path) -> Path:
    """Write a store of 50 records in `folder` and a backup of it; return the backup."""

    async def main() -> None:
        async with LmdbStore.open(folder / "data", master(folder)) as store:
            await store.commit([Put("t", f"k{n}", b"v%d" % n, (("i", "x"),)) for n in range(50)])
            await store.backup(folder / "backup")

    asyncio.run(main())
    return folder / "backup"


def test_a_backup_taken_while_writing_is_a_moment_of_the_store(tmp_path: Path) -> None:
    """A backup holds every commit up to some revision, whole, and none after it."""

    async def main() -> None:
        async with LmdbStore.open(tmp_path / "data", master(tmp_path)) as store:
            backup_done = False

            async def write(writer: int) -> None:
                number = 0
                while not backup_done:
                    number += 1
                    name = f"{writer}-{number}"
                    await store.commit([Put("t", f"{name}-{part}", b"v" * 500) for part in "ab"])

            async with asyncio.TaskGroup() as tasks:
                for writer in range(4):
                    tasks.create_task(write(writer))
                await store.barrier(100)
                await store.rotate_key()
                await store.barrier(200)
                await store.backup(tmp_path / "backup")
                backup_done = True
                taken_by = await store.commit([Put("t", "later", b"")])

        records = restore(tmp_path / "backup", tmp_path / "restored", master(tmp_path))

        async with LmdbStore.open(tmp_path / "restored", master(tmp_path)) as store:
            revisions = [record.revision for record in store.page("t", limit=1_000_000)]
            assert len(revisions) == records == store.count("t")
            # Revision 101 or so changed the data key; every other one wrote two records.
            newest = max(revisions)
            assert 200 <= newest < taken_by
            assert sorted({*revisions}) == sorted({*range(1, newest + 1)} - gaps(revisions, newest))
            assert len(revisions) == 2 * len({*revisions})
            assert await store.commit([Put("t", "new", b"")]) == newest + 1

    def gaps(revisions: list[int], newest: int) -> set[int]:
        missing = {*range(1, newest + 1)} - {*revisions}
        assert len(missing) == 1
        return missing

    asyncio.run(main())


def test_a_backup_is_private_and_leaves_no_draft(tmp_path: Path) -> None:
    """The backup can be read by its owner alone, and stands alone in its folder."""
    (tmp_path / "store").mkdir()
    backup = backed_up(tmp_path / "store").rename(tmp_path / "backup")

    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    assert {path.name for path in (tmp_path / "store").iterdir()} == {"data", "key"}


def test_a_backup_never_replaces(tmp_path: Path) -> None:
    """A backup onto a file that exists is refused, and the file stays as it was."""
    (tmp_path / "backup").write_bytes(b"precious")

    with pytest.raises(errors.Conflict, match="backup exists already"):
        backed_up(tmp_path)

    assert (tmp_path / "backup").read_bytes() == b"precious"


def test_a_backup_into_nowhere_is_refused(tmp_path: Path) -> None:
    """A target whose folder does not exist is the caller's mistake."""

    async def main() -> None:
        async with LmdbStore.open(tmp_path / "data", master(tmp_path)) as store:
            with pytest.raises(errors.InvalidInput, match="cannot write a backup here"):
                await store.backup(tmp_path / "missing" / "backup")

    asyncio.run(main())


def test_a_restore_makes_the_same_store(tmp_path: Path) -> None:
    """Records, counts and indexes come back, and the new store has its own life."""
    backup = backed_up(tmp_path)

    assert restore(backup, tmp_path / "restored", master(tmp_path)) == 50

    async def main() -> None:
        async with LmdbStore.open(tmp_path / "restored", master(tmp_path)) as store:
            assert (store.count("t"), store.count("t", index=("i", "x"))) == (50, 50)
            record = store.get("t", "k7")
            assert record is not None
            assert record.value == b"v7"

    asyncio.run(main())


def test_a_restore_onto_a_store_is_refused(tmp_path: Path) -> None:
    """A folder that holds a store is never restored into, open or not."""
    backup = backed_up(tmp_path)
    before = (tmp_path / "data" / DATA_FILE).read_bytes()

    with pytest.raises(errors.Conflict, match="data holds a store already"):
        restore(backup, tmp_path / "data", master(tmp_path))

    async def main() -> None:
        async with LmdbStore.open(tmp_path / "data", master(tmp_path)):
            with pytest.raises(StoreLocked):
                restore(backup, tmp_path / "data", master(tmp_path))

    assert (tmp_path / "data" / DATA_FILE).read_bytes() == before
    asyncio.run(main())


def test_a_restore_without_a_backup_is_refused(tmp_path: Path) -> None:
    """A backup that is not there is named."""
    with pytest.raises(errors.NotFound, match=r"there is no backup file .*/none"):
        restore(tmp_path / "none", tmp_path / "data", master(tmp_path))


def truncate(data: bytes) -> bytes:
    """Return the first half."""
    return data[: len(data) // 2]


def flip_a_value(data: bytes) -> bytes:
    """Return the data with one bit of a stored value changed."""
    place = data.index(b"t\0k7") + 80
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def forge_a_value(data: bytes) -> bytes:
    """Return the data with one bit of a stored value changed, and a trailer that fits."""
    forged = flip_a_value(data)[:-TRAILER_BYTES]
    return forged + TRAILER_MARK + hashlib.sha256(forged).digest()


def cut_the_trailer(data: bytes) -> bytes:
    """Return the data without its last byte."""
    return data[:-1]


def something_else(_data: bytes) -> bytes:
    """Return what was never a store."""
    return b"no store" * 2000


def nothing(_data: bytes) -> bytes:
    """Return an empty file."""
    return b""


@pytest.mark.parametrize(
    "damage", [truncate, flip_a_value, forge_a_value, cut_the_trailer, something_else, nothing]
)
def test_a_damaged_backup_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A backup that was changed is not restored, and nothing is left of the attempt."""
    backup = backed_up(tmp_path)
    backup.write_bytes(damage(backup.read_bytes()))

    with pytest.raises(errors.Corrupt):
        restore(backup, tmp_path / "restored", master(tmp_path))

    assert not (tmp_path / "restored" / DATA_FILE).exists()
    assert not list((tmp_path / "restored").glob("*.restoring*"))


def test_a_backup_needs_its_master_key(tmp_path: Path) -> None:
    """A backup is restored neither with another master key nor without one."""
    backup = backed_up(tmp_path)
    MasterKeyFile(tmp_path / "other").load(create=True)

    with pytest.raises(errors.Corrupt, match="other does not open data key 1"):
        restore(backup, tmp_path / "restored", MasterKeyFile(tmp_path / "other"))
    with pytest.raises(errors.NotFound, match="none is missing"):
        restore(backup, tmp_path / "restored", MasterKeyFile(tmp_path / "none"))

    assert not (tmp_path / "restored" / DATA_FILE).exists()
    assert not (tmp_path / "none").exists()

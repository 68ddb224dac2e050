"""What is on the disk, and which keys open it."""

import asyncio
from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.store import Put
from whimbrel.store.environment import Environment, LmdbOptions
from whimbrel.store.folder import DATA_FILE
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.tree import Tree
from whimbrel.store.vault import MasterKeyFile

CANARY = b"canary-5f1e-in-clear-text"


async def write(folder: Path, key: str = "key", options: LmdbOptions | None = None) -> None:
    """Open the store, write a record, and close it."""
    master = MasterKeyFile(folder / key)
    async with LmdbStore.open(folder / "data", master, options=options) as store:
        await store.commit([Put("t", "k", CANARY, (("status", "visible"),))])


def everything(folder: Path) -> bytes:
    """Return all that is in the files below a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_no_value_is_on_the_disk_in_clear(tmp_path: Path) -> None:
    """Neither data folder nor backup hold a value's text, nor any key; index values they do hold."""

    async def main() -> None:
        await write(tmp_path)
        async with LmdbStore.open(tmp_path / "data", MasterKeyFile(tmp_path / "key")) as store:
            await store.rotate_key()
            await store.commit([Put("t", "large", CANARY * 1000), Put("t", "k2", CANARY)])
            await store.backup(tmp_path / "data" / "backup")

    asyncio.run(main())

    on_disk = everything(tmp_path / "data")
    master = bytes.fromhex((tmp_path / "key").read_text())
    assert b"visible" in on_disk
    for secret in (CANARY, CANARY[:10], master, master.hex().encode()):
        assert secret not in on_disk


def test_only_its_owner_reads_the_data(tmp_path: Path) -> None:
    """Every file of the store is closed to group and others."""
    asyncio.run(write(tmp_path))

    modes = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "data").iterdir()}
    assert set(modes.values()) == {0}


def test_a_missing_master_key_stops_the_start(tmp_path: Path) -> None:
    """A store whose master key is gone is not opened, and gets no new key."""
    asyncio.run(write(tmp_path))
    key = (tmp_path / "key").rename(tmp_path / "kept")

    with pytest.raises(errors.NotFound, match=f"{tmp_path}/key is missing"):
        asyncio.run(write(tmp_path))

    assert not (tmp_path / "key").exists()
    key.rename(tmp_path / "key")
    asyncio.run(write(tmp_path))


def test_another_master_key_stops_the_start(tmp_path: Path) -> None:
    """A store is not opened with the key of another one; the store stays as it was."""
    asyncio.run(write(tmp_path))
    before = (tmp_path / "data" / DATA_FILE).read_bytes()
    MasterKeyFile(tmp_path / "other").load(create=True)

    with pytest.raises(errors.Corrupt, match="other does not open data key 1 of this store"):
        asyncio.run(write(tmp_path, "other"))

    assert (tmp_path / "data" / DATA_FILE).read_bytes() == before
    asyncio.run(write(tmp_path))


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """Something else under the store's name is reported as damage, and not overwritten."""
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / DATA_FILE).write_bytes(b"something else" * 1000)

    with pytest.raises(errors.Corrupt, match="the store's file is damaged"):
        asyncio.run(write(tmp_path))

    assert (tmp_path / "data" / DATA_FILE).read_bytes() == b"something else" * 1000


def test_a_changed_value_is_noticed_when_read(tmp_path: Path) -> None:
    """A bit that changed on the disk is an error that names the record."""
    asyncio.run(write(tmp_path))
    file = tmp_path / "data" / DATA_FILE
    data = bytearray(file.read_bytes())
    # Each page that was ever written has the record; the one in use is among them.
    place = data.find(b"t\0k")
    while place >= 0:
        data[place + 60] ^= 1
        place = data.find(b"t\0k", place + 1)
    file.write_bytes(data)

    async def main() -> None:
        async with LmdbStore.open(tmp_path / "data", MasterKeyFile(tmp_path / "key")) as store:
            with pytest.raises(errors.Corrupt, match="t/k: the stored value was changed"):
                store.get("t", "k")

    asyncio.run(main())


def test_a_new_data_key_outlives_a_restart(tmp_path: Path) -> None:
    """After a rotation and a restart, old and new values open, and the new key seals."""

    async def main() -> None:
        await write(tmp_path)
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master) as store:
            assert {*await asyncio.gather(store.rotate_key(), store.rotate_key())} == {2}
            await store.commit([Put("t", "new", b"sealed under key 2")])
        async with LmdbStore.open(tmp_path / "data", master) as store:
            assert [record.value for record in store.page("t", limit=9)] == [
                b"sealed under key 2",
                CANARY,
            ]
            assert await store.rotate_key() == 3

    asyncio.run(main())


def test_a_data_key_retires_by_itself(tmp_path: Path) -> None:
    """After as many values as one key may seal, the store changes to a new one unasked."""

    async def main() -> None:
        options = LmdbOptions(seals_per_key_max=10)
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, options=options) as store:
            for number in range(25):
                await store.commit([Put("t", f"{number:02}", b"")])
            assert 3 <= await store.rotate_key() <= 4
            assert store.count("t") == len(store.page("t", limit=99)) == 25

    asyncio.run(main())


def test_a_damaged_record_harms_no_other_commit(tmp_path: Path) -> None:
    """Commits that share a group with one that meets a damaged record are applied."""
    asyncio.run(write(tmp_path))
    environment = Environment(tmp_path / "data" / DATA_FILE, LmdbOptions())
    with environment.lmdb.begin(write=True) as txn:
        tree = Tree(environment.lmdb, txn)
        txn.put(b"t\0k", bytes(8) + b"\0\x05wrong", db=tree.records)
    environment.close()

    async def main() -> None:
        async with LmdbStore.open(tmp_path / "data", MasterKeyFile(tmp_path / "key")) as store:
            results = await asyncio.gather(
                *(store.commit([Put("t", key, b"")]) for key in ("a", "k", "z")),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [int, errors.Corrupt, int]
            assert store.get("t", "z") is not None

    asyncio.run(main())

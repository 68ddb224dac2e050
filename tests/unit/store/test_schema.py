"""Migrations of the stored form."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from whimbrel.store import Put
from whimbrel.store.environment import Environment, LmdbOptions
from whimbrel.store.folder import DATA_FILE
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.schema import Migration, SchemaTooNew
from whimbrel.store.tree import Transaction, Tree
from whimbrel.store.vault import MasterKeyFile, Vault


def note(name: bytes) -> Migration:
    """Return a migration that notes that it ran; its version is the number in the name."""

    def apply(_tree: Tree, txn: Transaction, _vault: Vault) -> None:
        txn.put(b"note " + name, b"ran")

    return Migration(int(name), f"note {name.decode()}", apply)


def refuse(_tree: Tree, txn: Transaction, _vault: Vault) -> None:
    """Change something and fail."""
    txn.put(b"note 3", b"ran")
    raise RuntimeError("step 3 failed")


def start(folder: Path, migrations: Sequence[Migration]) -> list[bool]:
    """Open and close a store; return which of the notes 2 and 3 it holds."""

    async def main() -> None:
        master = MasterKeyFile(folder / "key")
        async with LmdbStore.open(folder / "data", master, migrations=migrations) as store:
            await store.commit([Put("t", "k", b"kept")])

    asyncio.run(main())
    environment = Environment(folder / "data" / DATA_FILE, LmdbOptions(), readonly=True)
    try:
        with environment.lmdb.begin() as txn:
            return [txn.get(name) is not None for name in (b"note 2", b"note 3")]
    finally:
        environment.close()


def test_a_new_store_takes_no_steps(tmp_path: Path) -> None:
    """A new store is written in the newest form from the start."""
    assert start(tmp_path, [note(b"2")]) == [False, False]
    assert start(tmp_path, [note(b"2")]) == [False, False]


def test_an_old_store_takes_each_step_once(tmp_path: Path) -> None:
    """Steps that the store does not have yet run in order, and never again."""
    start(tmp_path, [])

    assert start(tmp_path, [note(b"2")]) == [True, False]
    assert start(tmp_path, [note(b"2"), note(b"3")]) == [True, True]


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    """All steps of a start take effect, or none."""
    start(tmp_path, [])

    with pytest.raises(RuntimeError, match="step 3 failed"):
        start(tmp_path, [note(b"2"), Migration(3, "fails", refuse)])

    assert start(tmp_path, []) == [False, False]


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    """A store of a newer version is left alone, with both versions named."""
    start(tmp_path, [note(b"2"), note(b"3")])

    with pytest.raises(SchemaTooNew, match="schema version 3, and this Whimbrel knows 2 at most"):
        start(tmp_path, [note(b"2")])

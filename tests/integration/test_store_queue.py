"""Commits in a crowd: sharing syncs, waiting in line, giving up, and closing."""

import asyncio
import threading
from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.store import Put
from whimbrel.store.environment import LmdbOptions, NoFaults
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile


class Gate(NoFaults):
    """Holds the writer thread before each sync until opened; counts the syncs."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.arrived = threading.Event()
        self.syncs = 0

    def before_commit(self, revision: int) -> None:
        """Wait for the gate."""
        self.arrived.set()
        assert self.open.wait(30)
        self.syncs += 1


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_concurrent_commits_share_a_sync(tmp_path: Path) -> None:
    """A hundred commits at once cost one sync or two, and not a hundred."""

    async def main() -> None:
        gate = Gate()
        gate.open.set()
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, faults=gate) as store:
            async with asyncio.TaskGroup() as tasks:
                for number in range(100):
                    tasks.create_task(store.commit([Put("t", str(number), b"")]))
            assert store.count("t") == 100
            assert gate.syncs <= 2

    asyncio.run(main())


def test_the_loop_and_the_readers_go_on_while_the_disk_is_busy(tmp_path: Path) -> None:
    """While a sync is under way reads show the state before it, and tasks run."""

    async def main() -> None:
        gate = Gate()
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, faults=gate) as store:
            async with asyncio.TaskGroup() as tasks:
                commit = tasks.create_task(store.commit([Put("t", "k", b"")]))
                await asyncio.to_thread(gate.arrived.wait, 30)
                assert store.get("t", "k") is None
                assert not commit.done()
                gate.open.set()
            assert store.get("t", "k") is not None

    asyncio.run(main())


def test_a_full_queue_makes_commits_wait(tmp_path: Path) -> None:
    """Past the queue's bound a commit waits, in order, and is applied in its turn."""

    async def main() -> None:
        gate = Gate()
        options = LmdbOptions(queue_commits_max=3)
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, options=options, faults=gate) as store:
            async with asyncio.TaskGroup() as tasks:
                commits = [
                    tasks.create_task(store.commit([Put("t", str(number), b"")]))
                    for number in range(10)
                ]
                await settle()
                assert len(store._committer._queue) <= 3
                gate.open.set()
            assert [commit.result() for commit in commits] == list(range(1, 11))

    asyncio.run(main())


def test_a_caller_that_gives_up_harms_nobody(tmp_path: Path) -> None:
    """A cancelled commit may have been applied; those beside it and after it are."""

    async def main() -> None:
        gate = Gate()
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, faults=gate) as store:
            loop = asyncio.get_running_loop()
            first, second = (
                loop.create_task(store.commit([Put("t", name, b"")])) for name in ("a", "b")
            )
            await asyncio.to_thread(gate.arrived.wait, 30)
            first.cancel()
            gate.open.set()
            assert await second == 2
            assert first.cancelled()
            assert await store.commit([Put("t", "c", b"")]) == 3

    asyncio.run(main())


def test_closing_finishes_what_was_asked_for(tmp_path: Path) -> None:
    """Commits under way when the store closes are applied; later ones are refused."""
    master = MasterKeyFile(tmp_path / "key")

    async def main() -> None:
        gate = Gate()
        options = LmdbOptions(queue_commits_max=2)
        loop = asyncio.get_running_loop()
        async with LmdbStore.open(tmp_path / "data", master, options=options, faults=gate) as store:
            commits = [
                loop.create_task(store.commit([Put("t", str(number), b"")])) for number in range(9)
            ]
            await settle()
            gate.open.set()
        assert [await commit for commit in commits] == list(range(1, 10))
        with pytest.raises(errors.Unavailable, match="closed"):
            await store.commit([Put("t", "late", b"")])

    async def count() -> int:
        async with LmdbStore.open(tmp_path / "data", master) as store:
            return store.count("t")

    asyncio.run(main())
    assert asyncio.run(count()) == 9


def test_large_values_come_back_whole(tmp_path: Path) -> None:
    """Values of many sizes, up to some MiB, are stored beside each other and read back."""

    async def main() -> None:
        sizes = [0, 1, 1000, 4000, 4096, 5000, 100_000, 4 * 1024 * 1024]
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master) as store:
            await store.commit(
                [Put("t", f"{size:08}", bytes([size % 251]) * size) for size in sizes]
            )
            page = store.page("t", limit=99, ascending=True)
            assert [bytes([size % 251]) * size for size in sizes] == [each.value for each in page]

    asyncio.run(main())

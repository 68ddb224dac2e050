"""The file's growth, and its end."""

import asyncio
import errno
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.store import Delete, Put, StoreFull
from whimbrel.store.backup import check
from whimbrel.store.environment import LmdbOptions, NoFaults
from whimbrel.store.folder import DATA_FILE
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile

MIB = 1024 * 1024
BLOCK = b"x" * 20_000


def big(number: int) -> Put:
    """Return the put of a record of 20 kB."""
    return Put("t", f"{number:05}", BLOCK, (("i", "x"), ("n", str(number))))


def small(number: int) -> Put:
    """Return the put of a record that shares a page with others."""
    return Put("small", f"{number:05}", BLOCK[:500])


async def fill(store: LmdbStore, put: Callable[[int], Put] = big) -> int:
    """Write until the store is full; return how many records it took."""
    for number in range(100_000):
        try:
            await store.commit([put(number)])
        except StoreFull:
            return number
    raise AssertionError("never full")


def test_the_map_grows_under_readers(tmp_path: Path) -> None:
    """Writing past the map's size grows it, while readers on this and another thread go on."""

    async def main() -> None:
        options = LmdbOptions(map_size_bytes=MIB)
        done = False

        async with LmdbStore.open(
            tmp_path / "data", MasterKeyFile(tmp_path / "key"), options=options
        ) as store:
            await store.commit([Put("t", "first", b"1")])

            def read() -> int:
                reads = 0
                while not done:
                    assert store.get("t", "first") is not None
                    assert store.page("t", limit=5, index=("i", "x")) is not None
                    reads += 1
                return reads

            async with asyncio.TaskGroup() as tasks:
                reader = tasks.create_task(asyncio.to_thread(read))
                for start in range(0, 2000, 40):
                    await store.commit([big(number) for number in range(start, start + 40)])
                    assert store.count("t") == start + 41
                done = True

            assert reader.result() > 0
        assert (tmp_path / "data" / DATA_FILE).stat().st_size > 32 * MIB
        assert check(tmp_path / "data" / DATA_FILE, MasterKeyFile(tmp_path / "key")) == 2001

    asyncio.run(main())


def test_a_full_store_can_be_emptied(tmp_path: Path) -> None:
    """At its maximum size the store refuses what does not fit, reads and deletes, and goes on."""

    async def main() -> None:
        options = LmdbOptions(map_size_bytes=MIB, max_size_bytes=4 * MIB)
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, options=options) as store:
            taken = await fill(store)
            assert 4 * MIB / len(BLOCK) / 2 < taken < 4 * MIB / len(BLOCK)
            assert (store.count("t"), store.count("t", index=("i", "x"))) == (taken, taken)
            assert store.get("t", f"{taken:05}") is None
            # Fill the last pages too: a delete then finds none to copy the pages it changes to.
            assert await fill(store, small) > 0

            for number in range(taken):
                await store.commit([Delete("t", f"{number:05}")])

            assert store.count("t") == 0
            assert await fill(store) >= taken * 3 // 4
        assert (tmp_path / "data" / DATA_FILE).stat().st_size < 6 * MIB

    asyncio.run(main())


def test_what_fits_is_kept_when_its_neighbour_does_not(tmp_path: Path) -> None:
    """Of commits that share a group at the maximum size, only those too large are refused."""

    async def main() -> None:
        options = LmdbOptions(max_size_bytes=4 * MIB)
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, options=options) as store:
            small, large = await asyncio.gather(
                store.commit([Put("t", "small", b"x")]),
                store.commit([Put("t", "large", bytes(5 * MIB))]),
                return_exceptions=True,
            )

            assert isinstance(small, int)
            assert isinstance(large, StoreFull)
            assert "at its maximum size" in str(large)
            assert [record.key for record in store.page("t", limit=9)] == ["small"]

    asyncio.run(main())


def test_a_larger_maximum_helps(tmp_path: Path) -> None:
    """A full store takes more once it is opened with a larger maximum."""

    async def main(maximum: int) -> int:
        options = LmdbOptions(map_size_bytes=MIB, max_size_bytes=maximum)
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, options=options) as store:
            await fill(store)
            return store.count("t")

    first = asyncio.run(main(2 * MIB))
    second = asyncio.run(main(4 * MIB))

    assert first < second


class FullDisk(NoFaults):
    """A disk that has no space while `full`."""

    def __init__(self, code: int) -> None:
        self.full = False
        self.code = code

    def before_commit(self, revision: int) -> None:
        """Fail as the system call would."""
        if self.full:
            raise OSError(self.code, "the disk says no")


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (errno.ENOSPC, StoreFull, "disk is full"),
        (errno.EDQUOT, StoreFull, "disk is full"),
        (errno.EIO, errors.Unavailable, "the store failed"),
    ],
)
def test_a_failing_disk_refuses_and_recovers(
    tmp_path: Path, code: int, kind: type[Exception], words: str
) -> None:
    """What the disk refuses is refused to every commit of the group; later ones work again."""
    disk = FullDisk(code)

    async def main() -> None:
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master, faults=disk) as store:
            disk.full = True
            failures = await asyncio.gather(
                *(store.commit([Put("t", str(number), b"")]) for number in range(3)),
                return_exceptions=True,
            )
            assert [kind] * 3 == [type(failure) for failure in failures]
            assert words in str(failures[0])
            assert store.count("t") == 0

            disk.full = False
            assert await store.commit([Put("t", "k", b"")]) == 1

    asyncio.run(main())


FILL = """
import asyncio, itertools, sys
from pathlib import Path
from whimbrel.errors import Unavailable
from whimbrel.store import Delete, Put
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile

async def main():
    folder = Path(sys.argv[1])
    async with LmdbStore.open(folder / "data", MasterKeyFile(folder / "key")) as store:
        try:
            for number in itertools.count():
                await store.commit([Put("t", f"{number:05}", b"x" * 20_000)])
        except Unavailable as error:
            failure = type(error).__name__
        for emptied in range(number // 2):
            await store.commit([Delete("t", f"{emptied:05}")])
        for again in range(number // 4):
            await store.commit([Put("t", f"again-{again:05}", b"x" * 20_000)])
        print(failure, number, store.count("t"), flush=True)

asyncio.run(main())
"""


def fill_process(folder: Path, *before: str) -> tuple[str, int, int]:
    """Fill a store in a process of its own, empty half of it, and write a quarter again.

    Return the failure's type, how many records fitted, and how many there are in the end.
    """
    filled = subprocess.run(
        [*before, sys.executable, "-c", FILL, str(folder)], capture_output=True, text=True
    )
    if before and "mount" in filled.stderr:
        pytest.skip(f"a small file system cannot be mounted here: {filled.stderr.strip()}")
    assert (filled.returncode, filled.stderr) == (0, "")
    failure, fitted, left = filled.stdout.split()
    return failure, int(fitted), int(left)


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """When the system refuses to let the file grow, commits fail whole, and deletes help."""
    limits = "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000000,) * 2);"
    limits += "os.execv(sys.argv[1], sys.argv[1:])"

    failure, fitted, left = fill_process(tmp_path, sys.executable, "-c", limits)

    assert failure in {"Unavailable", "StoreFull"}
    assert fitted > 50
    assert left == fitted - fitted // 2 + fitted // 4
    assert check(tmp_path / "data" / DATA_FILE, MasterKeyFile(tmp_path / "key")) == left


def test_a_disk_that_is_full(tmp_path: Path) -> None:
    """On a disk without space commits raise `StoreFull`, and deletes help."""
    mount = f'mount -t tmpfs -o size=4m tmpfs {tmp_path} && exec "$0" "$@"'

    failure, fitted, left = fill_process(tmp_path, "unshare", "--mount", "sh", "-c", mount)

    assert failure == "StoreFull"
    assert fitted > 50
    assert left == fitted - fitted // 2 + fitted // 4

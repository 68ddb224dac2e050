"""One writing process for a data folder."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
from whimbrel.store import Put, StoreLocked
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile

HOLDER = """
import asyncio, sys
from pathlib import Path
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile

async def main():
    folder = Path(sys.argv[1])
    async with LmdbStore.open(folder / "data", MasterKeyFile(folder / "key")):
        print("open", flush=True)
        sys.stdin.read()

asyncio.run(main())
"""


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    """The second process is told who has the folder; when that one is killed, it may have it."""

    async def write() -> int:
        async with LmdbStore.open(tmp_path / "data", MasterKeyFile(tmp_path / "key")) as store:
            return await store.commit([Put("t", "k", b"")])

    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"

        with pytest.raises(StoreLocked, match=f"{tmp_path}/data is in use by process {holder.pid}"):
            asyncio.run(write())

        holder.kill()

    assert asyncio.run(write()) == 1


def test_an_open_store_is_locked_within_its_process_too(tmp_path: Path) -> None:
    """Opening twice in one process is refused, and the first goes on undisturbed."""

    async def main() -> None:
        master = MasterKeyFile(tmp_path / "key")
        async with LmdbStore.open(tmp_path / "data", master) as store:
            with pytest.raises(StoreLocked):
                async with LmdbStore.open(tmp_path / "data", master):
                    pass
            await store.commit([Put("t", "k", b"")])
            assert store.count("t") == 1

    asyncio.run(main())

"""The store's promise: what was acknowledged is there after a kill, and nothing is there by half."""

import asyncio
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from whimbrel.store import Record
from whimbrel.store.backup import check
from whimbrel.store.folder import DATA_FILE
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile

ROUNDS = 6
WRITERS = 8
PARTS = ("a", "b", "c")

# Eight tasks commit three records at a time, and name each commit on standard output once it returned.
# The kill switches die inside the writer thread: "before" the group is durable, or "after" it.
WRITER = """
import asyncio, itertools, os, signal, sys
from pathlib import Path
from whimbrel.store import Put
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.vault import MasterKeyFile

folder, round_name, kill_at, kill_revision = Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4])

class Kill:
    def before_commit(self, revision):
        self.die("before", revision)
    def after_commit(self, revision):
        self.die("after", revision)
    def die(self, point, revision):
        if point == kill_at and revision >= kill_revision:
            os.kill(os.getpid(), signal.SIGKILL)

async def write(store, writer):
    for number in itertools.count():
        name = f"{round_name}-{writer}-{number}"
        await store.commit([
            Put("t", f"{name}-{part}", name.encode() * 20, (("part", part), ("commit", name)))
            for part in "abc"
        ])
        sys.stdout.write(name + "\\n")
        sys.stdout.flush()

async def main():
    async with LmdbStore.open(folder / "data", MasterKeyFile(folder / "key"), faults=Kill()) as store:
        async with asyncio.TaskGroup() as tasks:
            for writer in range(8):
                tasks.create_task(write(store, writer))

asyncio.run(main())
"""


def killed_writer(
    folder: Path, round_name: str, *, acknowledged: int, point: str = "", revision: int = 0
) -> list[str]:
    """Run a writer and kill it after so many acknowledgements; return all that it made."""
    arguments = [sys.executable, "-c", WRITER, str(folder), round_name, point, str(revision)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        seen = [line for line, _ in zip(writer.stdout, range(acknowledged), strict=False)]
        if not point:
            writer.kill()
        seen += list(writer.stdout)
    assert writer.returncode == -signal.SIGKILL
    # A line cut off by the kill was not read whole; what it names counts as not acknowledged.
    return [line.strip() for line in seen if line.endswith("\n")]


def stored(folder: Path) -> dict[str, list[Record]]:
    """Open the store and return its records by commit; checks every index entry on the way."""

    async def main() -> dict[str, list[Record]]:
        async with LmdbStore.open(folder / "data", MasterKeyFile(folder / "key")) as store:
            commits: dict[str, list[Record]] = {}
            for record in store.page("t", limit=1_000_000):
                commits.setdefault(record.key.rpartition("-")[0], []).append(record)
            for part in PARTS:
                assert store.count("t", index=("part", part)) == len(commits)
            for name, records in commits.items():
                assert store.page("t", limit=9, index=("commit", name)) == records
            return commits

    commits = asyncio.run(main())
    assert check(folder / "data" / DATA_FILE, MasterKeyFile(folder / "key")) == 3 * len(commits)
    return commits


def check_whole(commits: dict[str, list[Record]]) -> None:
    """Every commit that is there is there with all its records, at one revision."""
    for name, records in commits.items():
        assert [f"{name}-{part}" for part in reversed(PARTS)] == [each.key for each in records]
        assert len({record.revision for record in records}) == 1
        assert {record.value for record in records} == {name.encode() * 20}


@pytest.mark.timeout(120)
def test_a_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    """Killed at random moments, again and again, no acknowledged commit is lost or partial."""
    moments = random.Random(20)
    acknowledged: set[str] = set()
    for number in range(ROUNDS):
        acknowledged.update(
            killed_writer(tmp_path, f"r{number}", acknowledged=moments.randrange(1, 400))
        )

    commits = stored(tmp_path)

    assert acknowledged <= commits.keys()
    # At each kill, a writer had at most one commit that was durable and not acknowledged yet.
    assert len(commits) <= len(acknowledged) + ROUNDS * 2 * WRITERS
    check_whole(commits)


@pytest.mark.parametrize("point", ["before", "after"])
def test_a_kill_around_the_sync(tmp_path: Path, point: str) -> None:
    """Killed just before a group is durable, the group is gone whole; just after, it is there."""
    acknowledged = killed_writer(
        tmp_path, "r", acknowledged=1_000_000, point=point, revision=5 * WRITERS
    )

    commits = stored(tmp_path)

    assert set(acknowledged) <= commits.keys()
    newest = max(record.revision for records in commits.values() for record in records)
    assert (newest >= 5 * WRITERS) == (point == "after")
    check_whole(commits)

"""The store's figures: commits a second against bare synced LMDB, and reads; printed as JSON.

Values are 400 bytes with three indexes, as an execution has. Commit figures depend on the disk, so each
stands beside the floor that the same disk gave in the same run.
"""

import asyncio
import itertools
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lmdb
from whimbrel.store import Put
from whimbrel.store.environment import LmdbOptions
from whimbrel.store.layout import encode_commit
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.opening import open_store
from whimbrel.store.vault import MasterKeyFile

WAITERS = (1, 64, 512)
VALUE = b"v" * 400
RUN_SECONDS = 0.5
ROUNDS = 5
RECORDS = 20_000
STATUSES = ("requested", "running", "succeeded", "failed")

Figures = dict[str, float]


def measure() -> Figures:
    """Return the figures: commits/s, CPU microseconds a commit, microseconds a read."""
    folder = Path(tempfile.mkdtemp(prefix="whimbrel-bench-", dir=os.environ.get("BENCH_FOLDER")))
    try:
        figures: Figures = {}
        for waiters in WAITERS:
            figures |= _beside_floor(folder, waiters)
        figures |= asyncio.run(_commits(folder / "busy", 64, "64_busy", busy=True))
        figures |= _op_cost(folder)
        figures |= asyncio.run(_reads(folder))
        return {name: round(value, 3) for name, value in figures.items()}
    finally:
        shutil.rmtree(folder)


def _beside_floor(folder: Path, waiters: int) -> Figures:
    """Return commit figures beside the floor's, the medians of rounds in turn."""
    rounds: list[Figures] = []
    for number in range(ROUNDS):
        place = folder / f"{waiters}-{number}"
        floor = _floor(place, waiters)
        found = asyncio.run(_commits(place, waiters, str(waiters)))
        share = found[f"commits_per_second_{waiters}"] / floor
        found |= {
            f"floor_commits_per_second_{waiters}": floor,
            f"share_of_floor_{waiters}": share,
        }
        rounds.append(found)
    return {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}


def _floor(folder: Path, waiters: int) -> float:
    """Return puts/s of bare LMDB: the same values and index entries, in clear, a group at a time."""
    numbers = itertools.count()
    puts = 0
    folder.mkdir()
    with lmdb.open(str(folder / "floor"), map_size=2**30, max_dbs=1) as env:
        entries = env.open_db(b"entries", dupsort=True)
        started = time.perf_counter()
        while time.perf_counter() - started < RUN_SECONDS:
            ops = [put(next(numbers)) for _ in range(waiters)]
            with env.begin(write=True) as txn:
                for op in ops:
                    key = op.key.encode()
                    txn.put(key, op.value)
                    for name, value in op.indexes:
                        txn.put(f"{name} {value}".encode(), key, db=entries)
            puts += waiters
        return puts / (time.perf_counter() - started)


async def _commits(folder: Path, waiters: int, label: str, *, busy: bool = False) -> Figures:
    numbers = itertools.count()
    waits: list[float] = []
    async with LmdbStore.open(folder / "data", MasterKeyFile(folder / "key")) as store:
        started = time.perf_counter()

        async def waiter() -> None:
            while (now := time.perf_counter()) - started < RUN_SECONDS:
                await store.commit([put(next(numbers))])
                waits.append(time.perf_counter() - now)

        cpu = time.process_time()
        async with asyncio.TaskGroup() as tasks:
            if busy:
                tasks.create_task(_keep_busy(started + RUN_SECONDS))
            for _ in range(waiters):
                tasks.create_task(waiter())
        cpu = time.process_time() - cpu
        elapsed = time.perf_counter() - started
    return {
        f"commits_per_second_{label}": len(waits) / elapsed,
        f"commit_p50_ms_{label}": statistics.median(waits) * 1e3,
        f"commit_cpu_us_{label}": cpu / len(waits) * 1e6,
    }


def _op_cost(folder: Path) -> Figures:
    """Return the CPU of one op in a group of 64, the sync left out: the store's own share."""
    files = open_store(folder / "ops", MasterKeyFile(folder / "key"), LmdbOptions(), ())
    vault, tree = files.keys.vault, files.tree
    encode: list[float] = []
    apply: list[float] = []
    for start in range(0, 64 * 100, 64):
        puts = [put(number) for number in range(start, start + 64)]
        at = time.perf_counter()
        batches = [encode_commit([op], vault) for op in puts]
        encode.append(time.perf_counter() - at)
        with files.environment.lmdb.begin(write=True, buffers=False) as txn:
            at = time.perf_counter()
            tree.apply(txn, batches)
            apply.append(time.perf_counter() - at)
    files.close()
    return {
        "op_encode_and_seal_us": min(encode) / 64 * 1e6,
        "op_apply_us": min(apply) / 64 * 1e6,
    }


async def _keep_busy(until: float) -> None:
    """Leave the loop no idle moment, as a broker at its limit does."""
    while time.perf_counter() < until:
        sum(range(6000))
        await asyncio.sleep(0)


def put(number: int) -> Put:
    """Return the put of an execution-like record: id, status, action, parent."""
    return Put(
        "execution",
        f"{number:024x}",
        VALUE,
        (
            ("status", STATUSES[number % 4]),
            ("action", f"pack.action{number % 50}"),
            ("parent", f"{number // 10:024x}"),
        ),
    )


async def _reads(folder: Path) -> Figures:
    async with LmdbStore.open(folder / "reads", MasterKeyFile(folder / "key")) as store:
        for start in range(0, RECORDS, 500):
            await store.commit([put(number) for number in range(start, start + 500)])
        keys = itertools.cycle(f"{number:024x}" for number in range(0, RECORDS, 37))
        middle = f"{RECORDS // 2:024x}"
        return {
            "get_us": _cost(lambda: store.get("execution", next(keys))),
            "page_50_us": _cost(lambda: store.page("execution", limit=50)),
            "page_50_middle_us": _cost(lambda: store.page("execution", limit=50, before=middle)),
            "page_50_index_us": _cost(
                lambda: store.page("execution", limit=50, index=("status", "running"))
            ),
            "page_50_offset_half_us": _cost(
                lambda: store.page("execution", limit=50, offset=RECORDS // 2)
            ),
            "count_us": _cost(lambda: store.count("execution")),
            "count_index_us": _cost(lambda: store.count("execution", index=("status", "running"))),
        }


def _cost(read: Callable[[], object]) -> float:
    """Return the microseconds of the quietest of some rounds: what else runs can only add."""
    rounds = []
    for _ in range(9):
        calls = 0
        started = time.perf_counter()
        while time.perf_counter() - started < 0.03:
            read()
            calls += 1
        rounds.append((time.perf_counter() - started) / calls * 1e6)
    return min(rounds)


if __name__ == "__main__":
    print(json.dumps(measure(), indent=2))

"""What every Store does: the same tests for the one in memory and the durable one."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from whimbrel import errors
from whimbrel.store import Change, Delete, Put, Record, RevisionConflict, Store
from whimbrel.store.environment import LmdbOptions
from whimbrel.store.layout import COMMIT_OPS_MAX, INDEXES_MAX, VALUE_BYTES_MAX
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.memory import MemoryStore
from whimbrel.store.vault import MasterKeyFile

WATCH_QUEUE_MAX = 20
Opened = AbstractAsyncContextManager[Store]


@asynccontextmanager
async def memory(_folder: Path) -> AsyncIterator[Store]:
    """Open a store in memory."""
    async with MemoryStore(watch_queue_max=WATCH_QUEUE_MAX) as store:
        yield store


@asynccontextmanager
async def lmdb(folder: Path) -> AsyncIterator[Store]:
    """Open a durable store."""
    options = LmdbOptions(watch_queue_max=WATCH_QUEUE_MAX)
    master = MasterKeyFile(folder / "master.key")
    async with LmdbStore.open(folder / "data", master, options=options) as store:
        yield store


@pytest.fixture(params=[memory, lmdb], ids=["memory", "lmdb"])
def run(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Callable[[Callable[[Store], Awaitable[None]]], None]:
    """Return what runs a scenario against an open store."""
    opener: Callable[[Path], Opened] = request.param

    def run_scenario(scenario: Callable[[Store], Awaitable[None]]) -> None:
        async def main() -> None:
            async with opener(tmp_path) as store:
                await scenario(store)

        asyncio.run(main())

    return run_scenario


Scenario = Callable[[Store], Awaitable[None]]
Runner = Callable[[Scenario], None]


def keys(records: list[Record]) -> list[str]:
    """Return the keys of a page."""
    return [record.key for record in records]


async def next_change(watch: AsyncIterator[Change]) -> Change:
    """Return the next change, as a coroutine that a task can run."""
    return await anext(watch)


def numbered(count: int, **indexes: str) -> list[Put]:
    """Return puts with the keys k00, k01 and so on."""
    return [Put("t", f"k{n:02}", b"%d" % n, tuple(indexes.items())) for n in range(count)]


def test_a_record_is_read_as_it_was_written(run: Runner) -> None:
    """A record comes back with its value and the revision of its commit."""

    async def scenario(store: Store) -> None:
        value = bytes(range(256))

        revision = await store.commit([Put("t", "k", value)])

        assert Record("t", "k", value, revision) == store.get("t", "k")

    run(scenario)


def test_nothing_is_found_under_a_key_not_written(run: Runner) -> None:
    """A missing record, or one of another table, is None."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "k", b"")])

        assert store.get("t", "other") is None
        assert store.get("other", "k") is None
        assert store.get("t", "k\0") is None

    run(scenario)


def test_an_empty_value_is_a_value(run: Runner) -> None:
    """A record may hold no bytes at all."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "k", b"")])

        record = store.get("t", "k")
        assert record is not None
        assert record.value == b""

    run(scenario)


def test_revisions_grow(run: Runner) -> None:
    """Each commit has a greater revision than the one before; an empty one changes nothing."""

    async def scenario(store: Store) -> None:
        first = await store.commit([Put("t", "a", b"1")])
        second = await store.commit([Put("t", "a", b"2")])
        same = await store.commit([])

        assert 0 < first < second == same

    run(scenario)


def test_one_commit_writes_many_tables(run: Runner) -> None:
    """All ops of a commit have one revision and are seen together."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("gone", "x", b"")])

        revision = await store.commit([Put("a", "1", b""), Put("b", "2", b""), Delete("gone", "x")])

        found = [store.get("a", "1"), store.get("b", "2")]
        assert [Record("a", "1", b"", revision), Record("b", "2", b"", revision)] == found
        assert store.get("gone", "x") is None

    run(scenario)


def test_of_two_ops_on_one_record_the_last_counts(run: Runner) -> None:
    """Within a commit, a later op on the same record replaces an earlier one."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "a", b"1", (("i", "x"),)), Put("t", "a", b"2")])
        await store.commit([Put("t", "b", b"1", (("i", "x"),)), Delete("t", "b")])

        assert [record.value for record in store.page("t", limit=9)] == [b"2"]
        assert store.count("t", index=("i", "x")) == 0

    run(scenario)


def test_a_record_that_must_not_exist(run: Runner) -> None:
    """`expect=0` creates once; the second time it is refused with both revisions named."""

    async def scenario(store: Store) -> None:
        first = await store.commit([Put("t", "k", b"1", expect=0)])

        with pytest.raises(RevisionConflict, match="t/k: expected revision 0") as caught:
            await store.commit([Put("t", "k", b"2", expect=0)])

        assert ("t", "k", 0, first) == (
            caught.value.table,
            caught.value.key,
            caught.value.expected,
            caught.value.found,
        )
        assert store.get("t", "k") == Record("t", "k", b"1", first)

    run(scenario)


def test_a_record_at_its_expected_revision_is_replaced(run: Runner) -> None:
    """`expect` with the record's revision lets the write through, with another it does not."""

    async def scenario(store: Store) -> None:
        first = await store.commit([Put("t", "k", b"1")])
        second = await store.commit([Put("t", "k", b"2", expect=first)])

        with pytest.raises(RevisionConflict):
            await store.commit([Put("t", "k", b"3", expect=first)])

        assert store.get("t", "k") == Record("t", "k", b"2", second)

    run(scenario)


def test_a_delete_may_expect_a_revision(run: Runner) -> None:
    """A delete is refused when the record moved on, and when it is not there."""

    async def scenario(store: Store) -> None:
        first = await store.commit([Put("t", "k", b"1")])
        second = await store.commit([Put("t", "k", b"2")])

        with pytest.raises(RevisionConflict):
            await store.commit([Delete("t", "k", expect=first)])
        with pytest.raises(RevisionConflict):
            await store.commit([Delete("t", "none", expect=first)])
        await store.commit([Delete("t", "k", expect=second)])

        assert store.get("t", "k") is None

    run(scenario)


def test_a_conflict_leaves_nothing(run: Runner) -> None:
    """When one op's expectation fails, no op of the commit is applied."""

    async def scenario(store: Store) -> None:
        before = await store.commit([Put("t", "old", b"1", (("i", "x"),))])

        with pytest.raises(RevisionConflict):
            await store.commit(
                [
                    Put("t", "new", b"", (("i", "x"),)),
                    Delete("t", "old"),
                    Put("t", "other", b"", expect=77),
                ]
            )

        assert [Record("t", "old", b"1", before)] == store.page("t", limit=9)
        assert (store.count("t"), store.count("t", index=("i", "x"))) == (1, 1)

    run(scenario)


def test_expectations_are_about_the_state_before(run: Runner) -> None:
    """An expectation does not see what the same commit does."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "k", b"1", expect=0), Put("t", "k", b"2", expect=0)])

        record = store.get("t", "k")
        assert record is not None
        assert record.value == b"2"

    run(scenario)


def test_one_of_many_wins(run: Runner) -> None:
    """Of concurrent commits that expect the same revision, exactly one is applied."""

    async def scenario(store: Store) -> None:
        async def claim(number: int) -> bool:
            try:
                await store.commit([Put("t", "lock", b"%d" % number, expect=0)])
            except RevisionConflict:
                return False
            return True

        async with asyncio.TaskGroup() as tasks:
            claims = [tasks.create_task(claim(number)) for number in range(50)]

        won = [number for number, claimed in enumerate(claims) if claimed.result()]
        record = store.get("t", "lock")
        assert record is not None
        assert [int(record.value)] == won

    run(scenario)


def test_concurrent_commits_all_count(run: Runner) -> None:
    """Commits made at once are each applied, once, and each sees its own write on return."""

    async def scenario(store: Store) -> None:
        async def write(number: int) -> int:
            revision = await store.commit([Put("t", f"k{number}", b"", (("i", "x"),))])
            record = store.get("t", f"k{number}")
            assert record is not None
            assert record.revision == revision
            return revision

        async with asyncio.TaskGroup() as tasks:
            writes = [tasks.create_task(write(number)) for number in range(200)]

        assert len({write.result() for write in writes}) == 200
        assert (store.count("t"), store.count("t", index=("i", "x"))) == (200, 200)

    run(scenario)


def test_pages_are_newest_first(run: Runner) -> None:
    """A page has the greatest keys, in falling order; the next begins after its last key."""

    async def scenario(store: Store) -> None:
        await store.commit(numbered(7))

        first = keys(store.page("t", limit=3))
        second = keys(store.page("t", limit=3, before=first[-1]))
        third = keys(store.page("t", limit=3, before=second[-1]))

        assert [first, second, third] == [["k06", "k05", "k04"], ["k03", "k02", "k01"], ["k00"]]
        assert store.page("t", limit=3, before="k00") == []

    run(scenario)


def test_pages_can_rise(run: Runner) -> None:
    """Ascending, a page has the smallest keys, and `before` continues upwards."""

    async def scenario(store: Store) -> None:
        await store.commit(numbered(5))

        first = keys(store.page("t", limit=3, ascending=True))
        second = keys(store.page("t", limit=3, before=first[-1], ascending=True))

        assert [first, second] == [["k00", "k01", "k02"], ["k03", "k04"]]

    run(scenario)


def test_pages_know_no_other_table(run: Runner) -> None:
    """A page never shows a neighbour's records, whatever the tables are called."""

    async def scenario(store: Store) -> None:
        await store.commit([Put(table, "k", b"") for table in ("a", "aa", "ab", "b")])

        for ascending in (False, True):
            for table in ("a", "aa", "ab", "b"):
                page = store.page(table, limit=9, ascending=ascending)
                assert [(table, "k")] == [(record.table, record.key) for record in page]
        assert store.page("c", limit=9) == []

    run(scenario)


def test_offset_skips(run: Runner) -> None:
    """`offset` leaves out that many, counted after `before`; beyond the end there is nothing."""

    async def scenario(store: Store) -> None:
        await store.commit(numbered(6))

        assert keys(store.page("t", limit=2, offset=2)) == ["k03", "k02"]
        assert keys(store.page("t", limit=1, offset=1, before="k03")) == ["k01"]
        assert store.page("t", limit=2, offset=6) == []
        assert store.page("t", limit=0) == []

    run(scenario)


def test_prefix_selects(run: Runner) -> None:
    """`prefix` shows only keys that begin so, also at the edges of Unicode."""

    async def scenario(store: Store) -> None:
        names = ["a", "ab", "ab1", "ab\U0010ffff", "ac", "é", "éa", "ê"]
        await store.commit([Put("t", name, b"") for name in names])

        assert keys(store.page("t", limit=9, prefix="ab")) == ["ab\U0010ffff", "ab1", "ab"]
        assert keys(store.page("t", limit=9, prefix="é", ascending=True)) == ["é", "éa"]
        assert keys(store.page("t", limit=9, prefix="ab", before="ab1")) == ["ab"]
        assert keys(store.page("t", limit=1, prefix="ab", before="ab", ascending=True)) == ["ab1"]
        assert store.page("t", limit=9, prefix="b") == []

    run(scenario)


def test_an_index_selects(run: Runner) -> None:
    """`index` shows the records with one value of it, with all that pages can do."""

    async def scenario(store: Store) -> None:
        await store.commit(
            [Put("t", f"k{n:02}", b"", (("odd", str(n % 2)), ("all", ""))) for n in range(10)]
        )
        odd = ("odd", "1")

        assert keys(store.page("t", limit=2, index=odd)) == ["k09", "k07"]
        assert keys(store.page("t", limit=1, index=odd, before="k07")) == ["k05"]
        assert keys(store.page("t", limit=2, index=odd, before="k06")) == ["k05", "k03"]
        assert keys(store.page("t", limit=1, index=odd, offset=2)) == ["k05"]
        assert keys(store.page("t", limit=2, index=odd, ascending=True)) == ["k01", "k03"]
        assert keys(store.page("t", limit=1, index=odd, before="k03", ascending=True)) == ["k05"]
        assert store.page("t", limit=2, index=odd, before="k09", ascending=True) == []
        assert keys(store.page("t", limit=9, index=odd, prefix="k09")) == ["k09"]
        assert keys(store.page("t", limit=2, index=("all", ""))) == ["k09", "k08"]
        assert store.page("t", limit=2, index=("odd", "2")) == []
        assert store.page("t", limit=2, index=("none", "1")) == []

    run(scenario)


def test_an_index_holding_one_record_pages_too(run: Runner) -> None:
    """A value that one record has is found, and passed by, as one that many have."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "m", b"", (("i", "x"),))])
        index = ("i", "x")

        for ascending in (False, True):
            assert keys(store.page("t", limit=9, index=index, ascending=ascending)) == ["m"]
        assert keys(store.page("t", limit=9, index=index, before="n")) == ["m"]
        assert store.page("t", limit=9, index=index, before="m") == []
        assert store.page("t", limit=9, index=index, before="a") == []
        assert keys(store.page("t", limit=9, index=index, before="a", ascending=True)) == ["m"]
        assert store.page("t", limit=9, index=index, before="m", ascending=True) == []
        assert store.page("t", limit=9, index=index, prefix="n", ascending=True) == []

    run(scenario)


def test_counts_follow_the_records(run: Runner) -> None:
    """Counts of tables and index values are exact after puts, overwrites and deletes."""

    async def scenario(store: Store) -> None:
        await store.commit(numbered(4, status="new"))
        await store.commit([Put("t", "k00", b"", (("status", "done"),)), Delete("t", "k01")])

        assert store.count("t") == 3
        assert store.count("t", index=("status", "new")) == 2
        assert store.count("t", index=("status", "done")) == 1
        assert store.count("t", index=("status", "none")) == 0
        assert store.count("none") == 0

    run(scenario)


def test_an_overwrite_moves_index_entries(run: Runner) -> None:
    """After an overwrite a record is found under its new values alone."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "k", b"1", (("a", "1"), ("b", "1"), ("b", "2")))])
        await store.commit([Put("t", "k", b"2", (("b", "2"), ("c", "3")))])

        found = {
            index: keys(store.page("t", limit=9, index=index))
            for index in (("a", "1"), ("b", "1"), ("b", "2"), ("c", "3"))
        }
        assert found == {("a", "1"): [], ("b", "1"): [], ("b", "2"): ["k"], ("c", "3"): ["k"]}

        await store.commit([Put("t", "k", b"3")])

        assert store.page("t", limit=9, index=("c", "3")) == []

    run(scenario)


def test_a_repeated_index_pair_counts_once(run: Runner) -> None:
    """A pair named twice in one put is one entry."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "k", b"", (("a", "1"), ("a", "1")))])

        assert store.count("t", index=("a", "1")) == 1

    run(scenario)


def test_deleting_what_is_not_there_is_no_error(run: Runner) -> None:
    """A delete of a missing record changes no count."""

    async def scenario(store: Store) -> None:
        await store.commit([Delete("t", "k")])

        assert store.count("t") == 0

    run(scenario)


def test_a_deleted_record_can_come_back(run: Runner) -> None:
    """After a delete the record does not exist, and it can be created anew."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "k", b"1", (("i", "x"),))])
        await store.commit([Delete("t", "k")])
        assert store.page("t", limit=1, index=("i", "x")) == []

        await store.commit([Put("t", "k", b"2", (("i", "x"),), expect=0)])

        assert keys(store.page("t", limit=1, index=("i", "x"))) == ["k"]

    run(scenario)


def test_a_watch_tells_every_change_in_order(run: Runner) -> None:
    """A watcher hears each change once, in commit order, from the moment it asked."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "before", b"")])
        watch = store.watch()
        first = await store.commit([Put("t", "a", b""), Delete("t", "before")])
        second = await store.commit([Put("u", "b", b"")])

        changes = [await anext(watch) for _ in range(3)]

        assert changes == [
            Change(first, "t", "a", deleted=False),
            Change(first, "t", "before", deleted=True),
            Change(second, "u", "b", deleted=False),
        ]

    run(scenario)


def test_a_watch_waits(run: Runner) -> None:
    """A watcher with nothing to read goes on when something is committed."""

    async def scenario(store: Store) -> None:
        watch = store.watch()
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(next_change(watch))
            await store.commit([Put("t", "a", b"")])

        assert waiting.result().key == "a"

    run(scenario)


def test_a_watcher_does_not_hear_of_refused_commits(run: Runner) -> None:
    """What was not applied is not announced."""

    async def scenario(store: Store) -> None:
        watch = store.watch()
        with pytest.raises(RevisionConflict):
            await store.commit([Put("t", "refused", b"", expect=5)])
        await store.commit([Put("t", "applied", b"")])

        assert (await anext(watch)).key == "applied"

    run(scenario)


def test_a_slow_watcher_is_told(run: Runner) -> None:
    """A watcher that falls too far behind gets an error, and the others go on."""

    async def scenario(store: Store) -> None:
        slow, quick = store.watch(), store.watch()
        for number in range(WATCH_QUEUE_MAX + 1):
            await store.commit([Put("t", str(number), b"")])
            assert (await anext(quick)).key == str(number)

        with pytest.raises(errors.Unavailable, match=f"more than {WATCH_QUEUE_MAX} changes"):
            await anext(slow)

    run(scenario)


def test_a_barrier_passes_what_is_reached(run: Runner) -> None:
    """A barrier returns at once for a revision already there, and waits for one to come."""

    async def scenario(store: Store) -> None:
        revision = await store.commit([Put("t", "a", b"")])
        await store.barrier(revision)
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(store.barrier(revision + 1))
            await asyncio.sleep(0)
            assert not waiting.done()
            await store.commit([Put("t", "b", b"")])

    run(scenario)


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (Put("t" * 65, "k", b""), "table name is limited to 64 characters, got 65"),
        (Put("t", "k", b"", (("i" * 65, "v"),)), "index name is limited to 64 characters, got 65"),
        (Put("t", "k" * 256, b""), "a key of t is limited to 255 bytes, got 256"),
        (Put("t", "é" * 128, b""), "limited to 255 bytes, got 256"),
        (Delete("t", "k" * 256), "limited to 255 bytes, got 256"),
        (Put("t", "k", bytes(VALUE_BYTES_MAX + 1)), f"limited to {VALUE_BYTES_MAX} bytes"),
        (
            Put("t", "k", b"", tuple(("i", str(n)) for n in range(INDEXES_MAX + 1))),
            f"limited to {INDEXES_MAX}, got {INDEXES_MAX + 1}",
        ),
    ],
    ids=["table", "index", "key", "key-utf8", "delete-key", "value", "indexes"],
)
def test_over_a_limit_is_refused(run: Runner, op: Put | Delete, words: str) -> None:
    """One over a limit is refused with the limit and the value named, and nothing is applied."""

    async def scenario(store: Store) -> None:
        with pytest.raises(errors.LimitExceeded, match=words):
            await store.commit([Put("t", "good", b""), op])

        assert store.count("t") == 0

    run(scenario)


def test_at_a_limit_all_is_well(run: Runner) -> None:
    """Names, keys and index values of the greatest size are stored and found."""

    async def scenario(store: Store) -> None:
        table, index, value = "t" * 64, "i" * 64, "v" * 128
        greatest = ["k" * 254 + "a", "k" * 254 + "b", "\U0010ffff" * 63 + "abc"]
        await store.commit([Put(table, key, b"x", ((index, value),)) for key in greatest])

        assert greatest[::-1] == keys(store.page(table, limit=9))
        assert greatest == keys(store.page(table, limit=9, index=(index, value), ascending=True))
        assert greatest[2:] == keys(
            store.page(table, limit=9, index=(index, value), before=greatest[1], ascending=True)
        )
        assert greatest[:1] == keys(store.page(table, limit=9, prefix=greatest[0]))
        await store.commit([Put("t", f"{n}", b"") for n in range(COMMIT_OPS_MAX)])
        assert store.count("t") == COMMIT_OPS_MAX

    run(scenario)


def test_too_many_ops_are_refused(run: Runner) -> None:
    """A commit of more ops than the limit is refused as a whole."""

    async def scenario(store: Store) -> None:
        ops = [Put("t", f"{n}", b"") for n in range(COMMIT_OPS_MAX + 1)]
        with pytest.raises(errors.LimitExceeded, match=f"limited to {COMMIT_OPS_MAX} ops"):
            await store.commit(ops)

        assert store.count("t") == 0

    run(scenario)


def test_long_index_values_are_cut(run: Runner) -> None:
    """Index values that agree in their first 128 bytes select the same records."""

    async def scenario(store: Store) -> None:
        await store.commit([Put("t", "k", b"", (("i", "v" * 200),))])

        assert keys(store.page("t", limit=1, index=("i", "v" * 128 + "other"))) == ["k"]
        assert store.count("t", index=("i", "v" * 128)) == 1
        assert store.count("t", index=("i", "v" * 127)) == 0

    run(scenario)


@pytest.mark.parametrize(
    ("op", "words"),
    [
        (Put("", "k", b""), "table name is printable ASCII and not empty"),
        (Put("tä", "k", b""), "got 'tä'"),
        (Put("a\0b", "k", b""), "table name is printable ASCII"),
        (Put("t", "", b""), "t: a key must not be empty"),
        (Put("t", "\ud800", b""), "not valid Unicode"),
        (Put("t", "k", b"", (("", "v"),)), "index name is printable ASCII"),
        (Put("t", "k", b"", (("i", "\ud800"),)), "index i is not valid Unicode"),
    ],
    ids=["no-table", "table-umlaut", "table-zero", "no-key", "surrogate", "no-index", "value"],
)
def test_what_is_no_name_is_refused(run: Runner, op: Put, words: str) -> None:
    """Names and keys that cannot be stored are refused as the caller's fault."""

    async def scenario(store: Store) -> None:
        with pytest.raises(errors.InvalidInput, match=words):
            await store.commit([op])

    run(scenario)


def test_keys_with_zero_bytes_keep_apart(run: Runner) -> None:
    """Zero characters in keys and index values do not mix records up."""

    async def scenario(store: Store) -> None:
        await store.commit(
            [
                Put("t", "a", b"1", (("i", "x\0y"),)),
                Put("t", "a\0", b"2", (("i", "x"),)),
                Put("t", "y\0a", b"3", (("i", "x"),)),
            ]
        )

        assert keys(store.page("t", limit=9)) == ["y\0a", "a\0", "a"]
        assert keys(store.page("t", limit=1, before="a", ascending=True)) == ["a\0"]
        assert keys(store.page("t", limit=9, index=("i", "x"))) == ["y\0a", "a\0"]
        assert keys(store.page("t", limit=9, index=("i", "x\0y"))) == ["a"]

    run(scenario)


def test_a_negative_page_is_refused(run: Runner) -> None:
    """A page takes no negative limit or offset."""

    async def scenario(store: Store) -> None:
        with pytest.raises(errors.InvalidInput, match="got limit -1 and offset 0"):
            store.page("t", limit=-1)
        with pytest.raises(errors.InvalidInput, match="got limit 1 and offset -2"):
            store.page("t", limit=1, offset=-2)

    run(scenario)


def test_a_closed_store_says_so(run: Runner) -> None:
    """After closing, commits and reads are refused, watches end and barriers break."""
    held: list[Store] = []
    watches: list[AsyncIterator[Change]] = []

    async def scenario(store: Store) -> None:
        held.append(store)
        watches.append(store.watch())

    run(scenario)

    async def after() -> None:
        store = held[0]
        assert [change async for change in watches[0]] == []
        with pytest.raises(errors.Unavailable, match="closed"):
            await store.commit([Put("t", "k", b"")])
        with pytest.raises(errors.Unavailable, match="closed"):
            store.get("t", "k")
        with pytest.raises(errors.Unavailable, match="closed"):
            store.page("t", limit=1)
        with pytest.raises(errors.Unavailable, match="closed"):
            store.count("t")
        with pytest.raises(errors.Unavailable, match="closed before revision 9"):
            await store.barrier(9)

    asyncio.run(after())


def test_closing_breaks_waiting_barriers(run: Runner) -> None:
    """Who waits for a revision that never came is told when the store closes."""
    waiting: list[asyncio.Task[None]] = []

    async def wait(store: Store) -> None:
        with pytest.raises(errors.Unavailable, match="closed before revision 5"):
            await store.barrier(5)

    async def scenario(store: Store) -> None:
        loop = asyncio.get_running_loop()
        waiting.append(loop.create_task(wait(store)))
        await asyncio.sleep(0)

    run(scenario)

    assert waiting[0].done()

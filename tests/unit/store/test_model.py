"""Both stores against a dict that does the same in the plainest way."""

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from whimbrel.store import Delete, Op, Put, Record, RevisionConflict, Store
from whimbrel.store.lmdb import LmdbStore
from whimbrel.store.memory import MemoryStore
from whimbrel.store.vault import MasterKeyFile

TABLES = ("t", "tt")
NAMES = ("a", "ab", "abc", "b", "ü", "\U0010ffff", "a\0", "\x7f")
PAIRS = (("i", ""), ("i", "x"), ("i", "xy"), ("j", "x"))
WRONG_REVISION = 1_000_000

tables = st.sampled_from(TABLES)
names = st.sampled_from(NAMES)
expects = st.sampled_from(("any", "any", "any", "right", "none", "wrong"))
puts = st.tuples(tables, names, expects, st.binary(max_size=5), st.sets(st.sampled_from(PAIRS)))
deletes = st.tuples(tables, names, expects)


class Kept(msgspec.Struct, frozen=True):
    """A record of the model."""

    value: bytes
    revision: int
    pairs: frozenset[tuple[str, str]]


class StoreMachine(RuleBasedStateMachine):
    """A store and its model; subclasses say which store."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.kept: dict[tuple[str, str], Kept] = {}
        self.store: Store = self.runner.run(self.open())

    async def open(self) -> Store:
        """Open the store under test."""
        raise NotImplementedError

    def teardown(self) -> None:
        """Close it."""
        self.runner.run(self.stack.aclose())
        self.runner.close()

    @rule(written=st.lists(puts, max_size=4), removed=st.lists(deletes, max_size=2))
    def commit(
        self,
        written: Sequence[tuple[str, str, str, bytes, set[tuple[str, str]]]],
        removed: Sequence[tuple[str, str, str]],
    ) -> None:
        """Commit some ops; both must agree on whether, and on what."""
        ops: list[Op] = [
            Put(table, name, value, tuple(pairs), self.expectation(table, name, expect))
            for table, name, expect, value, pairs in written
        ]
        ops += [
            Delete(table, name, self.expectation(table, name, expect))
            for table, name, expect in removed
        ]
        allowed = all(op.expect in {None, self.revision(op.table, op.key)} for op in ops)
        if not allowed:
            with pytest.raises(RevisionConflict):
                self.runner.run(self.store.commit(ops))
            return
        revision = self.runner.run(self.store.commit(ops))
        for op in ops:
            if isinstance(op, Put):
                self.kept[op.table, op.key] = Kept(op.value, revision, frozenset(op.indexes))
            else:
                self.kept.pop((op.table, op.key), None)

    def revision(self, table: str, name: str) -> int:
        """Return the model's revision of a record."""
        kept = self.kept.get((table, name))
        return kept.revision if kept else 0

    def expectation(self, table: str, name: str, expect: str) -> int | None:
        """Return what an op shall expect."""
        if expect == "any":
            return None
        if expect == "right":
            return self.revision(table, name)
        return 0 if expect == "none" else WRONG_REVISION

    @rule(
        table=tables,
        index=st.none() | st.sampled_from(PAIRS),
        before=st.none() | names,
        prefix=st.sampled_from(("", "a", "ab", "ü", "\U0010ffff")),
        offset=st.integers(0, 3),
        limit=st.integers(0, 4),
        ascending=st.booleans(),
    )
    def page(
        self,
        table: str,
        index: tuple[str, str] | None,
        before: str | None,
        prefix: str,
        offset: int,
        limit: int,
        ascending: bool,
    ) -> None:
        """Read a page of any kind."""
        records = [
            Record(table, name, kept.value, kept.revision)
            for (kept_table, name), kept in sorted(self.kept.items(), reverse=not ascending)
            if kept_table == table
            and (index is None or index in kept.pairs)
            and name.startswith(prefix)
            and (before is None or (name > before if ascending else name < before))
        ]

        assert records[offset : offset + limit] == self.store.page(
            table,
            limit=limit,
            before=before,
            offset=offset,
            index=index,
            ascending=ascending,
            prefix=prefix,
        )

    @invariant()
    def counts_agree(self) -> None:
        """Counts are exact at every moment."""
        for table in TABLES:
            kept = [kept for (kept_table, _), kept in self.kept.items() if kept_table == table]
            assert len(kept) == self.store.count(table)
            for pair in PAIRS:
                having = sum(pair in one.pairs for one in kept)
                assert having == self.store.count(table, index=pair)

    @invariant()
    def records_agree(self) -> None:
        """Every record, and every missing one, is as in the model."""
        for table in TABLES:
            for name in NAMES:
                kept = self.kept.get((table, name))
                record = Record(table, name, kept.value, kept.revision) if kept else None
                assert record == self.store.get(table, name)


class MemoryMachine(StoreMachine):
    """The store in memory."""

    async def open(self) -> Store:
        """Open it."""
        return await self.stack.enter_async_context(MemoryStore())


class LmdbMachine(StoreMachine):
    """The durable store, which can also be closed and opened again, and change its data key."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="whimbrel-model-")
        super().__init__()

    async def open(self) -> Store:
        """Open it."""
        root = Path(self.folder.name)
        opened = LmdbStore.open(root / "data", MasterKeyFile(root / "key"))
        self.lmdb = await self.stack.enter_async_context(opened)
        return self.lmdb

    @precondition(lambda self: self.kept)
    @rule()
    def open_again(self) -> None:
        """Close and open: everything is still there."""
        self.runner.run(self.stack.aclose())
        self.store = self.runner.run(self.open())

    @rule()
    def rotate(self) -> None:
        """Seal with a new data key from here on."""
        self.runner.run(self.lmdb.rotate_key())

    def teardown(self) -> None:
        """Close it and remove its folder."""
        super().teardown()
        self.folder.cleanup()


TestMemoryModel = MemoryMachine.TestCase
TestMemoryModel.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)
TestLmdbModel = LmdbMachine.TestCase
TestLmdbModel.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)

"""The datastore."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import msgspec
import pytest
from whimbrel.broker.keys import (
    STORED_NAME_BYTES_MAX,
    TTL_SECONDS_MAX,
    VALUE_BYTES_MAX,
    KeyChange,
    Keys,
    KeyWrite,
    full_scope,
)
from whimbrel.errors import InvalidInput, LimitExceeded, NotFound
from whimbrel.store import Op, Put
from whimbrel.store.memory import MemoryStore
from whimbrel.testing import CountedIds, FixedClock


class World:
    """A datastore that keeps what it announces."""

    def __init__(self) -> None:
        self.clock = FixedClock()
        self.store = MemoryStore()
        self.changes: list[KeyChange] = []
        self.commits = 0
        self.keys = Keys(
            self.store, self.clock, CountedIds(), outbox=self.announce, committed=self.committed
        )

    def announce(self, change: KeyChange) -> Sequence[Op]:
        """Keep the change, and write something with it."""
        self.changes.append(change)
        return [Put("outbox", f"{len(self.changes):04}", change.change.encode())]

    def committed(self) -> None:
        """Count the commits."""
        self.commits += 1

    async def set(self, name: str, value: str = "v", **more: Any) -> None:
        """Set a key."""
        await self.keys.set(msgspec.convert({"name": name, "value": value, **more}, KeyWrite))


def play(case: Callable[[World], Awaitable[None]]) -> None:
    """Run a case in a world of its own."""

    async def run() -> None:
        await case(World())

    asyncio.run(run())


def test_what_is_set_is_read() -> None:
    """An item keeps its id when it is replaced."""

    async def case(world: World) -> None:
        await world.set("a", "one")
        first = world.keys.get("a")

        await world.set("a", "two", description="d")

        second = world.keys.get("a")
        assert ("one", "two", first.id) == (first.value, second.value, second.id)
        assert (second.scope, second.uid) == ("st2kv.system", "key_value_pair:st2kv.system:a")
        assert (second.user, second.description) == (None, "d")

    play(case)


def test_scopes_and_users_are_apart() -> None:
    """The same name is another item in another scope or of another user."""

    async def case(world: World) -> None:
        await world.set("a", "system")
        await world.set("a", "ada's", scope="user", user="ada")
        await world.set("a", "bob's", user="bob")

        assert world.keys.get("a").value == "system"
        assert world.keys.get("a", scope="st2kv.user", user="ada").value == "ada's"
        bobs = world.keys.get("a", scope="user", user="bob")
        assert (
            bobs.value,
            bobs.user,
            bobs.uid,
        ) == ("bob's", "bob", "key_value_pair:st2kv.user:bob:a")

    play(case)


def test_expressions_read_by_full_name() -> None:
    """Expressions name the user in front of the name, and get None for what is not there."""

    async def case(world: World) -> None:
        await world.set("a.b", "1")
        await world.set("c:d", "2", user="ada")

        assert world.keys.read("st2kv.system", "a.b") == "1"
        assert world.keys.read("st2kv.user", "ada:c:d") == "2"
        assert world.keys.read("st2kv.system", "c:d") is None
        assert world.keys.read("st2kv.user", "bob:c:d") is None

    play(case)


def test_lists_are_ordered_and_paged() -> None:
    """Items come in the order of their names, by prefix, in pages."""

    async def case(world: World) -> None:
        for name in ("b2", "a1", "b1", "b3"):
            await world.set(name)
        await world.set("b2", scope="user", user="ada")

        def names(**selection: Any) -> list[str]:
            return [item.name for item in world.keys.find(**selection)]

        assert names() == ["a1", "b1", "b2", "b3"]
        assert names(prefix="b", limit=2) == ["b1", "b2"]
        assert names(prefix="b", limit=2, offset=1) == ["b2", "b3"]
        assert names(scope="user", user="ada", limit=-1) == ["b2"]
        assert names(scope="user", user="bob") == []
        assert names(scope="all", user="ada", limit=1) == ["a1", "b2"]

    play(case)


def test_an_item_ends_at_its_time() -> None:
    """An expired item is not there any more, and a new one of its name is created, not updated."""

    async def case(world: World) -> None:
        await world.set("a", ttl=2)
        await world.set("b")
        assert world.keys.get("a").expire_timestamp == "2026-01-31T09:30:02.000000Z"
        world.clock.advance(2)

        with pytest.raises(
            NotFound, match='The key "a" does not exist in the StackStorm datastore'
        ):
            world.keys.get("a")
        assert world.keys.read("st2kv.system", "a") is None
        assert [item.name for item in world.keys.find()] == ["b"]

        await world.set("a")
        assert [change.change for change in world.changes] == ["create", "create", "create"]
        assert world.keys.get("a").expire_timestamp is None

    play(case)


def test_purging_removes_what_is_over() -> None:
    """Items without an end, or with a later one, stay."""

    async def case(world: World) -> None:
        await world.set("a", ttl=1)
        await world.set("b", ttl=100)
        await world.set("c")
        world.clock.advance(1)

        assert await world.keys.purge() == 1

        assert world.store.count("key") == 2
        assert world.changes[-1].change == "delete"

    play(case)


def test_changes_are_announced_in_their_commit() -> None:
    """Create, update and delete say what was and what is."""

    async def case(world: World) -> None:
        await world.set("a", "1")
        await world.set("a", "2")
        await world.keys.delete("a")

        seen = [
            (c.change, c.old.value if c.old else None, c.new.value if c.new else None)
            for c in world.changes
        ]
        assert seen == [("create", None, "1"), ("update", "1", "2"), ("delete", "2", None)]
        assert (world.commits, world.store.count("outbox")) == (3, 3)
        assert world.changes[-1].item.name == "a"

    play(case)


def test_writers_of_one_key_do_not_lose_each_other() -> None:
    """Of many writers at once each one is announced against the value it really replaced."""

    async def case(world: World) -> None:
        await asyncio.gather(*(world.set("a", str(number)) for number in range(4)))

        assert world.store.count("key") == 1
        assert world.commits == 4

    play(case)


def test_deleting_what_is_not_there_is_an_error() -> None:
    """A key can be deleted once."""

    async def case(world: World) -> None:
        await world.set("a")
        await world.keys.delete("a")
        with pytest.raises(NotFound):
            await world.keys.delete("a")

    play(case)


@pytest.mark.parametrize("write", [{"secret": True}, {"encrypted": True}])
def test_secrets_need_a_key(write: dict[str, Any]) -> None:
    """Without an encryption key a secret is refused, not kept in clear text."""

    async def case(world: World) -> None:
        with pytest.raises(InvalidInput, match="Crypto key not found"):
            await world.set("a", **write)
        assert world.store.count("key") == 0

    play(case)


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        ({"name": ""}, "printable text"),
        ({"name": "a\nb"}, "printable text"),
        ({"scope": "bogus"}, 'Invalid scope "bogus"'),
        ({"scope": "all"}, 'Invalid scope "all"'),
        ({"scope": "user"}, "needs a user"),
        ({"ttl": -1}, "ttl"),
        ({"ttl": TTL_SECONDS_MAX + 1}, "ttl"),
    ],
)
def test_what_makes_no_sense_is_refused(write: dict[str, Any], expected: str) -> None:
    """The error says what is allowed."""

    async def case(world: World) -> None:
        with pytest.raises(InvalidInput, match=expected):
            await world.set(**{"name": "a", **write})

    play(case)


def test_names_and_values_have_limits() -> None:
    """At the limit it works, beyond it the error names the limit."""

    async def case(world: World) -> None:
        longest = STORED_NAME_BYTES_MAX - len("system:")
        await world.set("n" * longest, "v" * VALUE_BYTES_MAX)
        with pytest.raises(LimitExceeded, match="250"):
            await world.set("n" * (longest + 1))
        with pytest.raises(LimitExceeded, match="a key's value"):
            await world.set("a", "v" * (VALUE_BYTES_MAX + 1))

    play(case)


def test_a_user_implies_the_user_scope() -> None:
    """Naming a user is enough."""
    assert full_scope("system", "ada") == "st2kv.user"

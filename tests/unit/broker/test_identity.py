"""Tokens and API keys."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import bcrypt
import pytest
from whimbrel.broker import identity as module
from whimbrel.broker.identity import (
    FREE_FAILURES,
    METADATA_BYTES_MAX,
    SESSION_SECONDS,
    Identity,
    Throttle,
    TooManyAttempts,
    api_key_hash,
    token_hash,
)
from whimbrel.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Unauthenticated
from whimbrel.model import MASK
from whimbrel.store.memory import MemoryStore
from whimbrel.testing import CountedIds, FixedClock

TTL_SECONDS = 3600


class World:
    """An identity service with one user, ada, whose password is `right`."""

    def __init__(self, folder: Path) -> None:
        self.clock = FixedClock()
        self.store = MemoryStore()
        self.file = folder / "users"
        hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
        self.file.write_text(f"ada:{hashed}\n")
        self.ids = CountedIds()
        self.identity = self.another()

    def another(self) -> Identity:
        """Return a service over the same store, as after a restart."""
        return Identity(
            self.store,
            self.clock,
            self.ids,
            users_file=self.file,
            token_ttl_seconds=TTL_SECONDS,
        )


Case = Callable[[World], Awaitable[None]]


def play(folder: Path, case: Case) -> World:
    """Run a case in a world of its own."""

    async def run() -> World:
        world = World(folder)
        await case(world)
        return world

    return asyncio.run(run())


def test_a_login_gives_a_token_that_names_its_user(tmp_path: Path) -> None:
    """The token is accepted until it expires, and says who it is."""

    async def case(world: World) -> None:
        issued = await world.identity.login("ada", "right", metadata={"from": "desk"})

        caller = world.identity.authenticate(token=issued.token, location="query")

        assert (caller.user, caller.method) == ("ada", "authentication token")
        assert ("query", issued.record.expiry) == (caller.location, caller.token_expire)
        assert issued.record.metadata == {"from": "desk"}
        assert len(issued.token) == 32
        assert issued.record.expiry == "2026-01-31T10:30:00.000000Z"

    play(tmp_path, case)


@pytest.mark.parametrize(("user", "password"), [("ada", "wrong"), ("nobody", "right"), ("", "")])
def test_a_wrong_password_gives_nothing(tmp_path: Path, user: str, password: str) -> None:
    """Wrong passwords and unknown users get the same answer."""

    async def case(world: World) -> None:
        with pytest.raises(Unauthenticated, match=r"^Invalid or missing credentials$"):
            await world.identity.login(user, password)
        assert world.store.count("token") == 0

    play(tmp_path, case)


def test_only_the_hash_of_a_token_is_stored(tmp_path: Path) -> None:
    """Whoever reads the store learns no token."""

    async def case(world: World) -> None:
        issued = await world.identity.login("ada", "right")

        (record,) = world.store.page("token", limit=2)

        assert token_hash(issued.token) == record.key
        assert issued.token.encode() not in record.value

    play(tmp_path, case)


@pytest.mark.parametrize("ttl", [0, -1, TTL_SECONDS + 1])
def test_a_time_to_live_has_bounds(tmp_path: Path, ttl: int) -> None:
    """A token lives for at least a second and at most the configured time."""

    async def case(world: World) -> None:
        with pytest.raises(InvalidInput, match="TTL"):
            await world.identity.login("ada", "right", ttl_seconds=ttl)
        await world.identity.login("ada", "right", ttl_seconds=TTL_SECONDS)

    play(tmp_path, case)


def test_a_token_dies_at_its_time_though_it_was_in_use(tmp_path: Path) -> None:
    """A remembered session never outlives its token."""

    async def case(world: World) -> None:
        issued = await world.identity.login("ada", "right", ttl_seconds=2)
        world.clock.advance(1.9)
        assert world.identity.is_valid(issued.token)

        world.clock.advance(0.1)

        with pytest.raises(Unauthenticated, match="expired"):
            world.identity.authenticate(token=issued.token)

    play(tmp_path, case)


def test_tokens_survive_a_restart(tmp_path: Path) -> None:
    """Another service over the same store knows the token."""

    async def case(world: World) -> None:
        issued = await world.identity.login("ada", "right")

        assert world.another().is_valid(issued.token)

    play(tmp_path, case)


def test_revoking_works_at_once(tmp_path: Path) -> None:
    """A revoked token is refused with the very next call, and revoking twice is no error."""

    async def case(world: World) -> None:
        first = await world.identity.login("ada", "right")
        second = await world.identity.login("ada", "right")
        assert world.identity.is_valid(first.token)

        await world.identity.revoke(first.token)
        await world.identity.revoke(first.token)

        assert not world.identity.is_valid(first.token)
        assert await world.identity.revoke_user("ada") == 1
        assert not world.identity.is_valid(second.token)

    play(tmp_path, case)


def test_a_revocation_elsewhere_is_seen_within_the_session_time(tmp_path: Path) -> None:
    """What another process took away counts at the latest after `SESSION_SECONDS`."""

    async def case(world: World) -> None:
        issued = await world.identity.login("ada", "right")
        assert world.identity.is_valid(issued.token)
        await world.another().revoke(issued.token)

        world.clock.advance(SESSION_SECONDS)

        assert not world.identity.is_valid(issued.token)

    play(tmp_path, case)


def test_purging_removes_expired_tokens_only(tmp_path: Path) -> None:
    """Tokens that are still good stay."""

    async def case(world: World) -> None:
        await world.identity.login("ada", "right", ttl_seconds=10)
        kept = await world.identity.login("ada", "right", ttl_seconds=100)
        world.clock.advance(10)

        assert await world.identity.purge() == 1

        assert world.identity.is_valid(kept.token)
        assert world.store.count("token") == 1

    play(tmp_path, case)


def test_nothing_given_is_told_apart_from_something_wrong(tmp_path: Path) -> None:
    """The reason is named, the secret never is."""

    async def case(world: World) -> None:
        with pytest.raises(Unauthenticated, match=r"^One of Token or API key required\.$"):
            world.identity.authenticate()
        with pytest.raises(Unauthenticated, match=r"^Token is not found\.$"):
            world.identity.authenticate(token="zz")
        with pytest.raises(Unauthenticated, match=r"^API key is not found\.$"):
            world.identity.authenticate(api_key="zz")

    play(tmp_path, case)


def test_a_service_token_dies_with_its_run(tmp_path: Path) -> None:
    """A run's token works while the run lives, is not stored, and a second one replaces the first."""

    async def case(world: World) -> None:
        first = world.identity.service_token("ada", "run-1")
        caller = world.identity.authenticate(token=first)
        assert (caller.user, caller.execution_id) == ("ada", "run-1")

        second = world.identity.service_token("ada", "run-1")

        assert not world.identity.is_valid(first)
        world.identity.end_service("run-1")
        world.identity.end_service("run-1")
        assert not world.identity.is_valid(second)
        assert world.store.count("token") == 0

    play(tmp_path, case)


def test_guessing_gets_slower(tmp_path: Path) -> None:
    """After the free tries a user has to wait, even with the right password; waiting helps."""

    async def case(world: World) -> None:
        for _ in range(FREE_FAILURES):
            with pytest.raises(Unauthenticated):
                await world.identity.login("ada", "wrong")

        with pytest.raises(TooManyAttempts) as caught:
            await world.identity.login("ada", "right")

        world.clock.advance(caught.value.retry_after_seconds)
        await world.identity.login("ada", "right")
        with pytest.raises(Unauthenticated):
            await world.identity.login("ada", "wrong")

    play(tmp_path, case)


def test_the_wait_grows_to_a_bound() -> None:
    """Each further failure doubles the wait, up to the bound."""
    waits = [Throttle.wait_seconds(FREE_FAILURES + more) for more in range(100)]

    assert waits[:6] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0]
    assert {60.0} == set(waits[6:])


def test_the_throttle_forgets_rather_than_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full table drops the user that failed longest ago."""
    monkeypatch.setattr(module, "FAILED_USERS_MAX", 2)
    throttle = Throttle(FixedClock())
    for user in ("a", "b", "a", "c"):
        for _ in range(FREE_FAILURES):
            throttle.failed(user)

    throttle.check("b")
    for user in ("a", "c"):
        with pytest.raises(TooManyAttempts):
            throttle.check(user)


def test_logins_in_crowds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No more logins wait for a check than the limit; the others hear when to come back."""
    monkeypatch.setattr(module, "VERIFYING_WAITING_MAX", 2)

    async def case(world: World) -> None:
        tries = [world.identity.login("ada", "right") for _ in range(3)]

        results = await asyncio.gather(*tries, return_exceptions=True)

        refused = [result for result in results if isinstance(result, TooManyAttempts)]
        assert len(refused) == 1

    play(tmp_path, case)


def test_sessions_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest session is forgotten, which its user does not notice."""
    monkeypatch.setattr(module, "SESSIONS_MAX", 1)

    async def case(world: World) -> None:
        first = await world.identity.login("ada", "right")
        second = await world.identity.login("ada", "right")

        for token in (first.token, second.token, first.token):
            assert world.identity.is_valid(token)

    play(tmp_path, case)


def test_tokens_per_user_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user with too many live tokens gets no other one."""
    monkeypatch.setattr(module, "TOKENS_PER_USER_MAX", 1)

    async def case(world: World) -> None:
        await world.identity.issue_token("bob")
        with pytest.raises(LimitExceeded, match="tokens of one user"):
            await world.identity.issue_token("bob")

    play(tmp_path, case)


def test_metadata_is_bounded(tmp_path: Path) -> None:
    """Metadata is for notes, not for data."""

    async def case(world: World) -> None:
        with pytest.raises(LimitExceeded, match="metadata"):
            await world.identity.issue_token("bob", metadata={"x": "y" * METADATA_BYTES_MAX})

    play(tmp_path, case)


def test_the_first_start_makes_an_administrator(tmp_path: Path) -> None:
    """The new password works at once."""

    async def case(world: World) -> None:
        password = await world.identity.create_admin("root")

        assert (await world.identity.login("root", password)).token

    play(tmp_path, case)


def test_an_api_key_is_shown_once_and_stored_as_a_hash(tmp_path: Path) -> None:
    """The key works; what is stored is StackStorm's digest of it."""

    async def case(world: World) -> None:
        issued = await world.identity.create_api_key("ada", metadata={"for": "ci"})

        caller = world.identity.authenticate(api_key=issued.key)

        assert (caller.user, caller.method, caller.token_expire) == ("ada", "API key", None)
        assert api_key_hash(issued.key) == issued.record.key_hash
        (record,) = world.store.page("api_key", limit=2)
        assert issued.key.encode() not in record.value

    play(tmp_path, case)


def test_a_disabled_key_is_refused_at_once(tmp_path: Path) -> None:
    """Disabling and enabling count with the next call; masked and unsaid fields stay as they are."""

    async def case(world: World) -> None:
        issued = await world.identity.create_api_key("ada", metadata={"a": 1})
        world.identity.authenticate(api_key=issued.key)

        await world.identity.update_api_key(issued.record.id, enabled=False, key_hash=MASK)

        with pytest.raises(Unauthenticated, match="disabled"):
            world.identity.authenticate(api_key=issued.key)
        again = await world.identity.update_api_key(issued.key, enabled=True)
        assert issued.record == again
        world.identity.authenticate(api_key=issued.key)

    play(tmp_path, case)


def test_the_hash_of_a_key_cannot_change(tmp_path: Path) -> None:
    """Another hash is refused."""

    async def case(world: World) -> None:
        issued = await world.identity.create_api_key("ada")
        with pytest.raises(InvalidInput, match="key_hash"):
            await world.identity.update_api_key(issued.record.id, key_hash="0" * 128)

    play(tmp_path, case)


def test_a_key_can_be_taken_over_by_its_hash(tmp_path: Path) -> None:
    """A key of an export works; the same hash or id a second time is a conflict."""

    async def case(world: World) -> None:
        hashed = api_key_hash("from elsewhere")
        issued = await world.identity.create_api_key("ada", key_hash=hashed, key_id="0" * 24)

        assert (issued.key, issued.record.id) == ("", "0" * 24)
        assert world.identity.authenticate(api_key="from elsewhere").user == "ada"
        with pytest.raises(Conflict) as caught:
            await world.identity.create_api_key("ada", key_hash=hashed)
        assert caught.value.conflict_id == "0" * 24
        with pytest.raises(Conflict):
            await world.identity.create_api_key("ada", key_id="0" * 24)
        with pytest.raises(InvalidInput, match="128"):
            await world.identity.create_api_key("ada", key_hash="abc")

    play(tmp_path, case)


def test_the_hash_is_the_one_that_stackstorm_stores() -> None:
    """A fixed example, so that keys of other installations go on working."""
    assert api_key_hash("k").startswith("c396ec79aa96bbb2")


def test_keys_are_listed_in_pages_and_removed(tmp_path: Path) -> None:
    """Oldest first; a removed key is unknown and worthless."""

    async def case(world: World) -> None:
        made = [await world.identity.create_api_key("ada") for _ in range(3)]

        page, total = world.identity.api_keys(limit=2, offset=1)

        assert ([key.record for key in made[1:]], 3) == (page, total)
        await world.identity.delete_api_key(made[0].key)
        with pytest.raises(NotFound):
            world.identity.api_key(made[0].record.id)
        with pytest.raises(Unauthenticated):
            world.identity.authenticate(api_key=made[0].key)
        assert world.identity.api_keys()[1] == 2

    play(tmp_path, case)

"""The datastore: named text values of the system and of users, some with an end."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Literal

import msgspec

from whimbrel.broker.records import Table
from whimbrel.errors import Conflict, InvalidInput, LimitExceeded, NotFound
from whimbrel.model import SYSTEM_SCOPE, USER_SCOPE, KeyValue, timestamp
from whimbrel.seams import Clock, Ids
from whimbrel.store import Delete, Op, RevisionConflict, Store

ALL_SCOPES = "all"
SCOPES = {
    "system": SYSTEM_SCOPE,
    SYSTEM_SCOPE: SYSTEM_SCOPE,
    "user": USER_SCOPE,
    USER_SCOPE: USER_SCOPE,
}
ALLOWED_SCOPES = tuple(SCOPES)

STORED_NAME_BYTES_MAX = 250
"""Of the scope, the user and the name together; the store's keys have a limit too."""

VALUE_BYTES_MAX = 1 << 20
TTL_SECONDS_MAX = 100 * 365 * 86400
PAGE = 256
WRITE_TRIES = 16
"""How often a write is tried again that another writer of the same key came before."""

EXPIRES = ("expires", "yes")


class KeyWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A value to set. `scope` in any spelling; giving `user` implies the user scope; seconds to live."""

    name: str
    value: str
    scope: str = "system"
    user: str | None = None
    secret: bool = False
    encrypted: bool = False
    description: str | None = None
    ttl: int | None = None


class KeyChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a commit does to a key. `old` is None for a create, `new` is None for a delete."""

    change: Literal["create", "update", "delete"]
    old: KeyValue | None = None
    new: KeyValue | None = None

    @property
    def item(self) -> KeyValue:
        """The key as it is after the change, or was before its removal."""
        found = self.new or self.old
        assert found is not None
        return found


KeyOutbox = Callable[[KeyChange], Sequence[Op]]
"""Returns the writes that must commit together with a change, such as its announcements."""


def _stored_name(scope: str, name: str, user: str | None) -> str:
    return f"user:{user}:{name}" if scope == USER_SCOPE else f"system:{name}"


def _key_of(item: KeyValue) -> str:
    return _stored_name(item.scope, item.name, item.user)


def _is_over(item: KeyValue, now: str) -> bool:
    return item.expire_timestamp is not None and item.expire_timestamp <= now


KEYS: Table[KeyValue] = Table(
    "key",
    KeyValue,
    key=_key_of,
    indexes=lambda k: (EXPIRES,) if k.expire_timestamp else (),
)


def full_scope(scope: str, user: str | None = None) -> str:
    """Return `st2kv.system` or `st2kv.user` for any spelling. Raises `InvalidInput` for another one."""
    known = SCOPES.get(scope)
    if known is None:
        raise InvalidInput(f'Invalid scope "{scope}"! Allowed scopes are {list(ALLOWED_SCOPES)}.')
    return USER_SCOPE if user else known


class Keys:
    """Reads and writes datastore items. An item whose time is over is not there any more."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        *,
        outbox: KeyOutbox | None = None,
        committed: Callable[[], None] | None = None,
    ) -> None:
        """`committed` is called after each commit that `outbox` gave writes for."""
        self._store = store
        self._clock = clock
        self._ids = ids
        self._outbox = outbox
        self._committed = committed

    # -- reading ------------------------------------------------------------------------------------

    def read(self, scope: str, name: str) -> str | None:
        """Return a value for an expression, or None. In the user scope the name is `user:name`."""
        full = full_scope(scope)
        user = None
        if full == USER_SCOPE:
            user, _, name = name.partition(":")
        item = self._peek(full, name, user)
        return None if item is None else item.value

    def get(self, name: str, *, scope: str = "system", user: str | None = None) -> KeyValue:
        """Return an item. Raises `NotFound`; `user` is whose item it is in the user scope."""
        item = self._peek(full_scope(scope), name, user)
        if item is None:
            raise NotFound(f'The key "{name}" does not exist in the StackStorm datastore.')
        return item

    def find(
        self,
        *,
        scope: str = "system",
        user: str | None = None,
        prefix: str = "",
        limit: int = 100,
        offset: int = 0,
    ) -> list[KeyValue]:
        """Return items in the order of their names; `limit` -1 means all.

        Scope `all` gives the system's items and then the user's, each with the limit applied.
        """
        if scope == ALL_SCOPES:
            pages = [(SYSTEM_SCOPE, None), (USER_SCOPE, user)]
        else:
            pages = [(full_scope(scope), user)]
        found: list[KeyValue] = []
        for one, owner in pages:
            live = self._live(_stored_name(one, prefix, owner))
            end = None if limit < 0 else offset + limit
            found += itertools.islice(live, offset, end)
        return found

    def _live(self, prefix: str) -> Iterator[KeyValue]:
        now = self._now()
        before = None
        while page := KEYS.page(
            self._store, limit=PAGE, before=before, ascending=True, prefix=prefix
        ):
            before = _key_of(page[-1])
            yield from (item for item in page if not _is_over(item, now))

    def _peek(self, scope: str, name: str, user: str | None) -> KeyValue | None:
        item = KEYS.get(self._store, _stored_name(scope, name, user))
        return None if item is None or _is_over(item, self._now()) else item

    def _now(self) -> str:
        return timestamp(self._clock.now())

    # -- writing ------------------------------------------------------------------------------------

    async def set(self, write: KeyWrite) -> KeyValue:
        """Create or replace an item and return it. Without a `ttl` it lives until it is deleted.

        Raises `InvalidInput` for an unknown scope or a secret (there is no key to encrypt it with), and
        `LimitExceeded` for a long name or value.
        """
        scope = full_scope(write.scope, write.user)
        stored_name = _checked(write, scope)
        expires = None
        if write.ttl:
            expires = timestamp(self._clock.now() + timedelta(seconds=write.ttl))
        for _ in range(WRITE_TRIES):
            record = self._store.get(KEYS.name, stored_name)
            old = KEYS.get(self._store, stored_name)
            uid_name = f"{write.user}:{write.name}" if scope == USER_SCOPE else write.name
            new = KeyValue(
                id=old.id if old else self._ids.object_id(),
                uid=f"key_value_pair:{scope}:{uid_name}",
                name=write.name,
                value=write.value,
                scope=scope,
                user=write.user if scope == USER_SCOPE else None,
                description=write.description,
                expire_timestamp=expires,
            )
            alive = None if old is None or _is_over(old, self._now()) else old
            change = KeyChange(change="update" if alive else "create", old=alive, new=new)
            put = KEYS.put(new, expect=record.revision if record else 0)
            if await self._commit(put, change):
                return new
        raise _contended(write.name)

    async def delete(self, name: str, *, scope: str = "system", user: str | None = None) -> None:
        """Remove an item. Raises `NotFound`."""
        stored_name = _stored_name(full_scope(scope), name, user)
        for _ in range(WRITE_TRIES):
            old = self.get(name, scope=scope, user=user)
            record = self._store.get(KEYS.name, stored_name)
            assert record is not None, "nothing awaited since it was read"
            removal = Delete(KEYS.name, stored_name, expect=record.revision)
            if await self._commit(removal, KeyChange(change="delete", old=old)):
                return
        raise _contended(name)

    async def _commit(self, op: Op, change: KeyChange) -> bool:
        """Write a change with what announces it; False when somebody else wrote the item first."""
        extra = self._outbox(change) if self._outbox else ()
        try:
            await self._store.commit([op, *extra])
        except RevisionConflict:
            return False
        if extra and self._committed:
            self._committed()
        return True

    async def purge(self) -> int:
        """Remove items whose time is over; return how many there were."""
        now = self._now()
        removed, before = 0, None
        while page := KEYS.page(self._store, limit=PAGE, before=before, index=EXPIRES):
            before = _key_of(page[-1])
            for item in page:
                removed += await self._expire(item) if _is_over(item, now) else 0
        return removed

    async def _expire(self, item: KeyValue) -> int:
        record = self._store.get(KEYS.name, _key_of(item))
        if record is None or KEYS.get(self._store, record.key) != item:
            return 0
        removal = Delete(KEYS.name, record.key, expect=record.revision)
        return int(await self._commit(removal, KeyChange(change="delete", old=item)))


def _checked(write: KeyWrite, scope: str) -> str:
    """Refuse what cannot be stored; return the name that it is stored under."""
    if not write.name or not write.name.isprintable():
        raise InvalidInput(f"a key's name is printable text, got {write.name!r}", place="/name")
    if scope == USER_SCOPE and not write.user:
        raise InvalidInput("an item of the user scope needs a user", place="/user")
    if write.secret or write.encrypted:
        raise InvalidInput(
            "Crypto key not found. Unable to encrypt / decrypt value for key "
            f"{write.name}. Secret items need an encryption key, and none is configured."
        )
    stored_name = _stored_name(scope, write.name, write.user)
    _limit("a key's name with its scope", stored_name, STORED_NAME_BYTES_MAX)
    _limit("a key's value", write.value, VALUE_BYTES_MAX)
    if write.ttl is not None and not 0 <= write.ttl <= TTL_SECONDS_MAX:
        raise InvalidInput(
            f"ttl is from 0 (no end) to {TTL_SECONDS_MAX} seconds, got {write.ttl}", place="/ttl"
        )
    return stored_name


def _limit(what: str, text: str, maximum: int) -> None:
    size = len(text.encode())
    if size > maximum:
        raise LimitExceeded(what, value=size, maximum=maximum, unit="bytes")


def _contended(name: str) -> Conflict:
    return Conflict(f'The key "{name}" was changed {WRITE_TRIES} times while it was written.')


__all__ = ["KeyChange", "KeyOutbox", "KeyWrite", "Keys", "full_scope"]

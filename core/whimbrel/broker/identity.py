"""Who calls: logins, tokens, service tokens, API keys. Secrets are stored as hashes only."""

import asyncio
import base64
import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from whimbrel import errors
from whimbrel.broker.records import Table
from whimbrel.broker.users import Users, check_name
from whimbrel.errors import Conflict, InvalidInput, LimitExceeded, NotFound, Unauthenticated
from whimbrel.model import MASK, ApiKey, Caller, Token, timestamp
from whimbrel.seams import Clock, Ids
from whimbrel.store import RevisionConflict, Store

TOKEN_METHOD = "authentication token"  # noqa: S105  # what `whoami` shows, no secret
API_KEY_METHOD = "API key"
API_KEY_SALT = b"saltnpeper"
"""What StackStorm puts before a key that it hashes, so that the keys of an export go on working."""

TOKEN_BYTES = 16
SERVICE_TOKEN_BYTES = 16
API_KEY_BYTES = 48
ADMIN_PASSWORD_BYTES = 12

SESSIONS_MAX = 10_000
SESSION_SECONDS = 30.0
"""How long a checked token is believed without a look into the store. A revocation here is at once."""

TOKENS_PER_USER_MAX = 10_000
METADATA_BYTES_MAX = 64 * 1024
VERIFYING_MAX = 2
VERIFYING_WAITING_MAX = 64
"""Password checks at one time, each with its 19 MiB, and how many logins may wait for one."""

FREE_FAILURES = 5
LOCKED_SECONDS_MAX = 60.0
FAILED_USERS_MAX = 10_000
"""After `FREE_FAILURES` wrong passwords for a user, the next try has to wait: 1 s, 2 s, … 60 s."""

PURGE_BATCH = 500


class TooManyAttempts(errors.Unavailable):
    """Too many wrong passwords, or logins at one time. `retry_after_seconds` says when to try again."""

    def __init__(self, message: str, *, retry_after_seconds: float) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class Issued(msgspec.Struct, frozen=True):
    """A new token: what its user is shown once, and what is stored."""

    token: str
    record: Token


class IssuedKey(msgspec.Struct, frozen=True):
    """A new API key: `key` is shown once; empty when the key was imported by its hash."""

    key: str
    record: ApiKey


class _Session(msgspec.Struct):
    """A checked secret. Believed until `deadline` on the monotonic clock; one caller per location."""

    caller: Caller
    deadline: float
    located: dict[str, Caller]


TOKENS: Table[Token] = Table(
    "token", Token, key=lambda t: t.token_hash, indexes=lambda t: (("user", t.user),)
)
API_KEYS: Table[ApiKey] = Table(
    "api_key", ApiKey, key=lambda k: k.key_hash, indexes=lambda k: (("id", k.id), ("user", k.user))
)


def token_hash(token: str) -> str:
    """Return what is stored of a token. Tokens are random, so a plain digest is enough."""
    return hashlib.sha256(token.encode()).hexdigest()


def api_key_hash(key: str) -> str:
    """Return what is stored of an API key: the same digest that StackStorm stores."""
    return hashlib.sha512(API_KEY_SALT + key.encode()).hexdigest()


class Throttle:
    """Slows down who guesses passwords of a user. Remembers `FAILED_USERS_MAX` users at most."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures: dict[str, tuple[int, float]] = {}

    def check(self, user: str) -> None:
        """Raise `TooManyAttempts` while the user has to wait."""
        count, last = self._failures.get(user, (0, 0.0))
        if count < FREE_FAILURES:
            return
        wait = last + self.wait_seconds(count) - self._clock.monotonic()
        if wait > 0:
            raise TooManyAttempts(
                f"Too many failed logins of this user; try again in {wait:.0f} seconds",
                retry_after_seconds=wait,
            )

    @staticmethod
    def wait_seconds(failures: int) -> float:
        """Return how long to wait after so many failures in a row."""
        return min(2.0 ** min(failures - FREE_FAILURES, 16), LOCKED_SECONDS_MAX)

    def failed(self, user: str) -> None:
        """Count a wrong password. When the table is full, the longest unseen user is forgotten."""
        count, _ = self._failures.pop(user, (0, 0.0))
        if len(self._failures) >= FAILED_USERS_MAX:
            del self._failures[next(iter(self._failures))]
        self._failures[user] = (count + 1, self._clock.monotonic())

    def succeeded(self, user: str) -> None:
        """Forget the failures of a user."""
        self._failures.pop(user, None)


class Identity:
    """Logs users in, and says who a token or API key belongs to."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        *,
        users_file: Path | None = None,
        token_ttl_seconds: int = 86400,
    ) -> None:
        self.users = Users(users_file)
        self.token_ttl_seconds = token_ttl_seconds
        self._store = store
        self._clock = clock
        self._ids = ids
        self._throttle = Throttle(clock)
        self._verifying = asyncio.Semaphore(VERIFYING_MAX)
        self._waiting = 0
        self._sessions: dict[str, _Session] = {}
        self._services: dict[str, Caller] = {}
        self._service_hashes: dict[str, str] = {}

    # -- logging in ---------------------------------------------------------------------------------

    async def login(
        self,
        user: str,
        password: str,
        *,
        ttl_seconds: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Issued:
        """Return a new token for the right password.

        Raises `Unauthenticated` for a wrong one, `TooManyAttempts` after several, `InvalidInput` for a
        time to live over `token_ttl_seconds`.
        """
        self._throttle.check(user)
        if not await self._verify(user, password):
            self._throttle.failed(user)
            raise Unauthenticated("Invalid or missing credentials")
        self._throttle.succeeded(user)
        return await self.issue_token(user, ttl_seconds=ttl_seconds, metadata=metadata)

    async def _verify(self, user: str, password: str) -> bool:
        if self._waiting >= VERIFYING_WAITING_MAX:
            raise TooManyAttempts(
                f"{self._waiting} logins wait already; the limit is {VERIFYING_WAITING_MAX}",
                retry_after_seconds=1.0,
            )
        self._waiting += 1
        try:
            async with self._verifying:
                return await asyncio.to_thread(self.users.verify, user, password)
        finally:
            self._waiting -= 1

    async def issue_token(
        self,
        user: str,
        *,
        ttl_seconds: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Issued:
        """Return a new token without asking for a password; the caller has to know whom it trusts."""
        ttl = self._checked_ttl(ttl_seconds)
        check_name(user)
        _check_metadata(metadata)
        held = self._store.count(TOKENS.name, index=("user", user))
        if held >= TOKENS_PER_USER_MAX:
            raise LimitExceeded("tokens of one user", value=held + 1, maximum=TOKENS_PER_USER_MAX)
        secret = self._ids.secret(TOKEN_BYTES)
        record = Token(
            id=self._ids.object_id(),
            user=user,
            token_hash=token_hash(secret),
            expiry=timestamp(self._clock.now() + timedelta(seconds=ttl)),
            metadata=dict(metadata or {}),
        )
        await self._store.commit([TOKENS.put(record, expect=0)])
        return Issued(secret, record)

    def _checked_ttl(self, ttl_seconds: int | None) -> int:
        if ttl_seconds is None:
            return self.token_ttl_seconds
        if ttl_seconds < 1:
            raise InvalidInput(f"TTL must be at least 1 second, got {ttl_seconds}")
        if ttl_seconds > self.token_ttl_seconds:
            raise InvalidInput(
                f"TTL specified {ttl_seconds} is greater than max allowed {self.token_ttl_seconds}."
            )
        return ttl_seconds

    async def create_admin(self, name: str) -> str:
        """Write a user with a new password to the users file, for a first start; return the password."""
        password = self._ids.secret(ADMIN_PASSWORD_BYTES)
        await asyncio.to_thread(self.users.put, name, password)
        return password

    # -- asking who it is ---------------------------------------------------------------------------

    def authenticate(
        self, *, token: str = "", api_key: str = "", location: str = "header"
    ) -> Caller:
        """Return the caller that the token or API key belongs to; `location` says where it was sent.

        Raises `Unauthenticated`, which names the reason, never the secret.
        """
        hashed = token_hash(token) if token else api_key_hash(api_key)
        session = self._sessions.get(hashed)
        if session is None or session.deadline <= self._clock.monotonic():
            session = self._open(hashed, bool(token), bool(token or api_key))
        caller = session.located.get(location)
        if caller is None:
            caller = msgspec.structs.replace(session.caller, location=location)
            session.located[location] = caller
        return caller

    def _open(self, hashed: str, is_token: bool, is_given: bool) -> _Session:
        """Look into the store, and remember the answer for a while if it is a yes."""
        self._sessions.pop(hashed, None)
        if not is_given:
            raise Unauthenticated("One of Token or API key required.")
        caller, life = self._token_caller(hashed) if is_token else self._key_caller(hashed)
        if len(self._sessions) >= SESSIONS_MAX:
            del self._sessions[next(iter(self._sessions))]
        deadline = self._clock.monotonic() + min(life, SESSION_SECONDS)
        session = _Session(caller, deadline, {})
        self._sessions[hashed] = session
        return session

    def _token_caller(self, hashed: str) -> tuple[Caller, float]:
        if service := self._services.get(hashed):
            return service, SESSION_SECONDS
        record = TOKENS.get(self._store, hashed)
        if record is None:
            raise Unauthenticated("Token is not found.")
        life = (datetime.fromisoformat(record.expiry) - self._clock.now()).total_seconds()
        if life <= 0:
            raise Unauthenticated("Token has expired.")
        return Caller(user=record.user, method=TOKEN_METHOD, token_expire=record.expiry), life

    def _key_caller(self, hashed: str) -> tuple[Caller, float]:
        record = API_KEYS.get(self._store, hashed)
        if record is None:
            raise Unauthenticated("API key is not found.")
        if not record.enabled:
            raise Unauthenticated("API key is disabled.")
        return Caller(user=record.user, method=API_KEY_METHOD), SESSION_SECONDS

    def is_valid(self, token: str) -> bool:
        """Whether the token would be accepted now."""
        try:
            self.authenticate(token=token)
        except Unauthenticated:
            return False
        return True

    async def revoke(self, token: str) -> None:
        """Make a token worthless at once. One that is not there is no error."""
        hashed = token_hash(token)
        await self._store.commit([TOKENS.delete(hashed)])
        self._sessions.pop(hashed, None)

    async def revoke_user(self, user: str) -> int:
        """Make all tokens of a user worthless at once; return how many there were."""
        count = 0
        index = ("user", user)
        while held := TOKENS.page(self._store, limit=PURGE_BATCH, index=index):
            await self._store.commit([TOKENS.delete(record.token_hash) for record in held])
            for record in held:
                self._sessions.pop(record.token_hash, None)
            count += len(held)
        return count

    # -- service tokens -----------------------------------------------------------------------------

    def service_token(self, user: str, execution_id: str) -> str:
        """Return the token that a run calls back with; it is kept in memory and dies with the run."""
        self.end_service(execution_id)
        secret = self._ids.secret(SERVICE_TOKEN_BYTES)
        hashed = token_hash(secret)
        self._services[hashed] = Caller(user=user, method=TOKEN_METHOD, execution_id=execution_id)
        self._service_hashes[execution_id] = hashed
        return secret

    def end_service(self, execution_id: str) -> None:
        """Make the token of a run worthless at once. A run without one is no error."""
        hashed = self._service_hashes.pop(execution_id, None)
        if hashed is not None:
            del self._services[hashed]
            self._sessions.pop(hashed, None)

    # -- API keys -----------------------------------------------------------------------------------

    async def create_api_key(
        self,
        user: str,
        *,
        metadata: Mapping[str, Any] | None = None,
        enabled: bool = True,
        key_hash: str = "",
        key_id: str = "",
    ) -> IssuedKey:
        """Return a new API key, or take one over whose `key_hash` an export of StackStorm holds.

        Raises `Conflict` when the hash or the id is known already.
        """
        check_name(user)
        _check_metadata(metadata)
        secret = "" if key_hash else self._new_key()
        hashed = _checked_hash(key_hash) if key_hash else api_key_hash(secret)
        if key_id and (known := self._by_id(key_id)):
            raise Conflict(f'API key with id "{key_id}" already exists.', conflict_id=known.id)
        record = ApiKey(
            id=key_id or self._ids.object_id(),
            uid=f"api_key:{hashed}",
            user=user,
            key_hash=hashed,
            created_at=timestamp(self._clock.now()),
            enabled=enabled,
            metadata=dict(metadata or {}),
        )
        try:
            await self._store.commit([API_KEYS.put(record, expect=0)])
        except RevisionConflict as conflict:
            other = API_KEYS.get(self._store, hashed)
            raise Conflict(
                "Tried to save duplicate unique keys", conflict_id=other.id if other else ""
            ) from conflict
        return IssuedKey(secret, record)

    def _new_key(self) -> str:
        raw = bytes.fromhex(self._ids.secret(API_KEY_BYTES))
        return base64.urlsafe_b64encode(raw).decode()

    def api_keys(self, *, limit: int = 50, offset: int = 0) -> tuple[list[ApiKey], int]:
        """Return a page of API keys, oldest first, and how many there are; `limit` -1 means all."""
        total = self._store.count(API_KEYS.name)
        keys = API_KEYS.page(self._store, limit=total) if total else []
        keys.sort(key=lambda key: key.id)
        return keys[offset : None if limit < 0 else offset + limit], total

    def api_key(self, id_or_key: str) -> ApiKey:
        """Return an API key by its id or by itself. Raises `NotFound`."""
        found = self._by_id(id_or_key) or API_KEYS.get(self._store, api_key_hash(id_or_key))
        if found is None:
            raise NotFound("ApiKey with the given id or key not found.")
        return found

    def _by_id(self, key_id: str) -> ApiKey | None:
        found = API_KEYS.page(self._store, limit=1, index=("id", key_id))
        return found[0] if found else None

    async def update_api_key(
        self,
        id_or_key: str,
        *,
        user: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        enabled: bool | None = None,
        key_hash: str = "",
    ) -> ApiKey:
        """Change what is given. A masked `key_hash` is taken as "as it is"; another one is refused."""
        record = self.api_key(id_or_key)
        if key_hash not in ("", MASK, record.key_hash):
            raise InvalidInput("Change of key_hash is not allowed.", place="/key_hash")
        if user is not None:
            check_name(user)
        _check_metadata(metadata)
        changed = msgspec.structs.replace(
            record,
            user=record.user if user is None else user,
            metadata=record.metadata if metadata is None else dict(metadata),
            enabled=record.enabled if enabled is None else enabled,
        )
        await self._store.commit([API_KEYS.put(changed)])
        self._sessions.pop(record.key_hash, None)
        return changed

    async def delete_api_key(self, id_or_key: str) -> None:
        """Remove an API key; it is worthless at once. Raises `NotFound`."""
        record = self.api_key(id_or_key)
        await self._store.commit([API_KEYS.delete(record.key_hash)])
        self._sessions.pop(record.key_hash, None)

    # -- upkeep -------------------------------------------------------------------------------------

    async def purge(self) -> int:
        """Remove expired tokens; return how many there were."""
        now = timestamp(self._clock.now())
        removed, before = 0, None
        while page := TOKENS.page(self._store, limit=PURGE_BATCH, before=before):
            before = page[-1].token_hash
            expired = [TOKENS.delete(token.token_hash) for token in page if token.expiry <= now]
            if expired:
                await self._store.commit(expired)
            removed += len(expired)
            await asyncio.sleep(0)  # a table of many tokens must not hold up the loop
        return removed


def _checked_hash(key_hash: str) -> str:
    if len(key_hash) != 128 or not set(key_hash) <= set("0123456789abcdef"):
        raise InvalidInput(
            "a key hash is 128 lower-case hexadecimal digits (SHA-512)", place="/key_hash"
        )
    return key_hash


def _check_metadata(metadata: Mapping[str, Any] | None) -> None:
    size = len(msgspec.json.encode(metadata or {}))
    if size > METADATA_BYTES_MAX:
        raise LimitExceeded("metadata", value=size, maximum=METADATA_BYTES_MAX, unit="bytes")


__all__ = ["Identity", "Issued", "IssuedKey", "TooManyAttempts", "api_key_hash", "token_hash"]

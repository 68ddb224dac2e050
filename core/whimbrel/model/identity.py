"""Who calls: users, tokens, API keys."""

from typing import Any

import msgspec


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A session token. Only `token_hash` is stored; the token itself is shown once."""

    id: str
    user: str
    token_hash: str
    expiry: str
    metadata: dict[str, Any] = {}
    service: bool = False
    execution_id: str = ""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A long-lived key. Only its hash is stored; the key itself is shown once."""

    id: str
    uid: str
    user: str
    key_hash: str
    created_at: str
    enabled: bool = True
    metadata: dict[str, Any] = {}


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """An authenticated caller. `method` is StackStorm's text for `whoami`."""

    user: str
    method: str
    location: str = "header"
    token_expire: str | None = None
    is_admin: bool = True
    execution_id: str = ""

"""Datastore items."""

import msgspec

SYSTEM_SCOPE = "st2kv.system"
USER_SCOPE = "st2kv.user"


class KeyValue(msgspec.Struct, frozen=True, kw_only=True):
    """One key. `user` is set in the user scope only; `expire_timestamp` is RFC 3339 or None."""

    id: str
    uid: str
    name: str
    value: str
    scope: str
    user: str | None = None
    secret: bool = False
    encrypted: bool = False
    description: str | None = None
    expire_timestamp: str | None = None

"""Who a NATS client is: an nkey seed, a `.creds` file, or a user and password; never shown."""

from pathlib import Path
from typing import Final

import msgspec
import nkeys  # type: ignore[import-untyped]  # the package has no stubs

from whimbrel.errors import InvalidInput
from whimbrel.seams import Ids

SEED_BYTES: Final = 32
CREDS_MARK: Final = "-----BEGIN NATS USER JWT-----"
SEED_MARK: Final = "SU"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """One way to log in; `origin` says in errors where it came from."""

    origin: str
    seed: str = ""
    creds_file: str = ""
    user: str = ""
    password: str = ""

    def __repr__(self) -> str:
        return f"Credentials(origin={self.origin!r})"


def new_seed(ids: Ids) -> str:
    """Return a new nkey seed of a user."""
    raw = bytes.fromhex(ids.secret(SEED_BYTES))
    return str(nkeys.encode_seed(raw, nkeys.PREFIX_BYTE_USER).decode())


def public_key(seed: str) -> str:
    """Return the public nkey of a user's seed. Raises `InvalidInput`, without repeating the seed."""
    try:
        pair = nkeys.from_seed(bytearray(seed.encode()))
        key = pair.public_key.decode()
        pair.wipe()
    except (nkeys.NkeysError, ValueError):
        raise InvalidInput("is not the seed of a NATS user key (SU...)") from None
    return str(key)


def read_credentials(path: Path) -> Credentials:
    """Return what a file holds: a `.creds` file, an nkey seed, or one line `user:password`.

    Raises `InvalidInput` naming the file, never its contents.
    """
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"credentials cannot be read: {error}", place=str(path)) from error
    origin = f"file {path}"
    if CREDS_MARK in text:
        return Credentials(origin=origin, creds_file=str(path))
    if text.startswith(SEED_MARK) and ":" not in text:
        public_key(text)
        return Credentials(origin=origin, seed=text)
    user, colon, password = text.partition(":")
    if user and colon and password and "\n" not in text:
        return Credentials(origin=origin, user=user, password=password)
    raise InvalidInput("holds no .creds, no nkey seed and no user:password", place=str(path))

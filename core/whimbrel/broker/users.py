"""Who may log in: a file of `name:hash` lines, bcrypt or Argon2id, read again when it changes."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import structlog

from whimbrel.errors import ContentErrors, InvalidInput, LimitExceeded

if TYPE_CHECKING:
    import argon2

ARGON2ID = re.compile(r"\$argon2id\$v=\d+\$m=\d+,t=\d+,p=\d+\$[A-Za-z0-9+/]+\$[A-Za-z0-9+/]+")
BCRYPT = re.compile(r"\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}")
BCRYPT_BYTES_MAX = 72
"""bcrypt looks at no more; what stands behind it is ignored, as by every other reader of such files."""

FILE_BYTES_MAX = 1 << 20
PASSWORD_BYTES_MAX = 1024
ARGON2_TIME_COST = 2
ARGON2_MEMORY_KIB = 19 * 1024
ARGON2_PARALLELISM = 1
"""The least that OWASP advises for Argon2id: a login takes 19 MiB for some 30 ms, not 64 MiB."""

DECOY = (
    "$argon2id$v=19$m=19456,t=2,p=1$fVLCdZRSXwJOOQ43jSgsCA"
    "$fwlIhmWUxENjePpdtHgGxE/fLP+bD/pzUpscvSY2tVY"
)
"""Checked in place of the hash of a user who is not there, so that both answers take as long."""

log = structlog.get_logger(__name__)

_Stamp = tuple[int, int, int]


class _Read(msgspec.Struct, frozen=True):
    """What the file said when its state was `stamp`."""

    stamp: _Stamp | None = None
    hashes: Mapping[str, str] = MappingProxyType({})
    refusals: tuple[InvalidInput, ...] = ()


class Users:
    """The users of a file; without a file there are none. Methods block: call them in a thread."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self._read = _Read()

    def check(self) -> None:
        """Read the file. Raises `ContentErrors` with every line that is refused, by its place."""
        if refusals := self._current().refusals:
            raise ContentErrors(refusals)

    def names(self) -> frozenset[str]:
        """Return who may log in."""
        return frozenset(self._current().hashes)

    def verify(self, name: str, password: str) -> bool:
        """Whether the password is that of the user. An unknown user takes as long as a wrong password."""
        hashes = self._current().hashes
        stored = hashes.get(name)
        matches = verify_password(password, stored or next(iter(hashes.values()), DECOY))
        return matches and stored is not None

    def put(self, name: str, password: str) -> None:
        """Add a user or replace the password; a new file is readable by its owner alone."""
        if self.file is None:
            raise InvalidInput("there is no file to write a user to", place="users_file")
        check_name(name)
        line = f"{name}:{hash_password(password)}"
        lines = self.file.read_text().splitlines() if self.file.exists() else []
        kept = [other for other in lines if other.partition(":")[0].strip() != name]
        _replace(self.file, "\n".join([*kept, line, ""]).encode())

    def _current(self) -> _Read:
        """Return what the file says, read anew when the file is another than at the last look."""
        if self.file is None or not self.file.exists():
            return _Read()
        state = self.file.stat()
        stamp = (state.st_mtime_ns, state.st_size, state.st_ino)
        if stamp != self._read.stamp:
            self._read = _parse(self.file, stamp)
            for refusal in self._read.refusals:
                log.warning("refused a line of the users file", reason=str(refusal))
        return self._read


def hash_password(password: str) -> str:
    """Return the Argon2id hash that stands for the password in a users file."""
    data = password.encode()
    if not data:
        raise InvalidInput("a password cannot be empty")
    if len(data) > PASSWORD_BYTES_MAX:
        raise LimitExceeded("a password", value=len(data), maximum=PASSWORD_BYTES_MAX, unit="bytes")
    return _hasher().hash(data)


def verify_password(password: str, stored: str) -> bool:
    """Whether the password has this hash (bcrypt or Argon2id). Takes tens of milliseconds."""
    data = password.encode()
    if len(data) > PASSWORD_BYTES_MAX:
        return False
    if not stored.startswith("$argon2"):
        import bcrypt

        return b"\0" not in data and bcrypt.checkpw(data[:BCRYPT_BYTES_MAX], stored.encode())
    import argon2

    try:
        return _hasher().verify(stored, data)
    except argon2.exceptions.VerificationError:
        return False


def check_name(name: str) -> None:
    """Refuse a user name that a users file or the name of a key could not hold."""
    if not name or ":" in name or not name.isprintable() or name != name.strip():
        raise InvalidInput(
            f"user name {name!r}: allowed is printable text without a colon or spaces around it"
        )


def _hasher() -> "argon2.PasswordHasher":
    import argon2  # the hash libraries cost memory that a broker where nobody logs in does not need

    return argon2.PasswordHasher(ARGON2_TIME_COST, ARGON2_MEMORY_KIB, ARGON2_PARALLELISM)


def _parse(file: Path, stamp: _Stamp) -> _Read:
    if stamp[1] > FILE_BYTES_MAX:
        refusal = LimitExceeded(
            "a users file", value=stamp[1], maximum=FILE_BYTES_MAX, unit="bytes"
        )
        return _Read(stamp, {}, (refusal,))
    hashes: dict[str, str] = {}
    refusals: list[InvalidInput] = []
    text = file.read_text(errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, stored = line.strip().partition(":")
        if problem := _problem(name, stored, hashes):
            refusals.append(InvalidInput(problem, place=f"{file}:{number}"))
        else:
            hashes[name] = stored
    return _Read(stamp, hashes, tuple(refusals))


def _problem(name: str, stored: str, hashes: Mapping[str, str]) -> str:
    """Say what is wrong with a line, never what stands where the hash should: it may be a password."""
    if name in hashes:
        return f"user {name!r} is given twice"
    try:
        check_name(name)
    except InvalidInput as error:
        return str(error)
    if ARGON2ID.fullmatch(stored) or BCRYPT.fullmatch(stored):
        return ""
    return (
        f"user {name!r}: what follows the colon is not a password hash; allowed are bcrypt ($2b$…) and"
        " Argon2id ($argon2id$…), and never the password itself (htpasswd -nB NAME makes such a line)"
    )


def _replace(file: Path, data: bytes) -> None:
    """Write the whole file or nothing of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o600
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
        os.fchmod(stream.fileno(), mode)
    Path(temporary).replace(file)


__all__ = ["Users", "check_name", "hash_password", "verify_password"]

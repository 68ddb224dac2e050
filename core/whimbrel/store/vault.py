"""Sealing of values at rest: AES-256-GCM under data keys, which the master key wraps.

A sealed value is `0x01 | key id (4) | nonce (12) | ciphertext and tag`. It is bound to its table and
key: moved to another record it does not open. Each (data key, table) has its own sub-key.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Protocol

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from whimbrel import errors

Entropy = Callable[[int], bytes]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12

_VERSION: Final = b"\x01"
_HEADER_BYTES: Final = 5


class MasterKey:
    """The key that wraps data keys. `origin` says where it came from; the key itself never prints."""

    def __init__(self, secret: bytes, *, origin: str) -> None:
        if len(secret) != KEY_BYTES:
            raise errors.InvalidInput(
                f"a master key has {KEY_BYTES} bytes, got {len(secret)}", place=origin
            )
        self.origin = origin
        self._cipher = AESGCM(_derive(secret, b"whimbrel/keyring/1"))

    def __repr__(self) -> str:
        return f"MasterKey(origin={self.origin!r})"

    def wrap(self, key_id: int, data_key: bytes, *, entropy: Entropy = os.urandom) -> bytes:
        """Return the data key, readable only with this master key and under this id."""
        nonce = entropy(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, data_key, _wrap_context(key_id))

    def unwrap(self, key_id: int, wrapped: bytes) -> bytes:
        """Return the data key; raises `Corrupt` when another master key wrapped it, or for damage."""
        nonce, sealed = wrapped[:NONCE_BYTES], wrapped[NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, sealed, _wrap_context(key_id))
        except (InvalidTag, ValueError) as error:
            raise errors.Corrupt(
                f"the master key from {self.origin} does not open data key {key_id} of this store: "
                "it is the key of another store, or the key list is damaged. "
                "Use the master key that this store was created with."
            ) from error


class MasterKeySource(Protocol):
    """Where the master key comes from."""

    def load(self, *, create: bool) -> MasterKey:
        """Return the key. Makes a new one only when `create` is true and there is none yet."""
        ...


class MasterKeyFile:
    """A master key in a file of one line of hex, mode 0400. Keep the file outside the data folder."""

    def __init__(self, path: Path, *, entropy: Entropy = os.urandom) -> None:
        self._path = path
        self._entropy = entropy

    def load(self, *, create: bool) -> MasterKey:
        """Return the key; raises `NotFound` for a missing file, `InvalidInput` for an unfit one."""
        try:
            return self._read()
        except FileNotFoundError as error:
            if not create:
                raise errors.NotFound(
                    f"the master key file {self._path} is missing, and this store holds data that "
                    "only that key opens. Put the file back from its safe copy, or point the "
                    "configuration at it; a new key would not open the old data."
                ) from error
        self._create()
        return self._read()

    def _read(self) -> MasterKey:
        with self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & 0o077:
                raise errors.InvalidInput(
                    f"the master key must be readable by its owner alone, but its mode is "
                    f"{status.st_mode & 0o777:04o}; run: chmod 0400 {self._path}",
                    place=str(self._path),
                )
            text = file.read(4 * KEY_BYTES)
        try:
            secret = bytes.fromhex(text.decode("ascii"))
        except ValueError as error:
            raise errors.InvalidInput(
                f"a master key file holds {2 * KEY_BYTES} hex digits", place=str(self._path)
            ) from error
        return MasterKey(secret, origin=str(self._path))

    def _create(self) -> None:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._path.with_name(f"{self._path.name}.{self._entropy(8).hex()}.new")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(self._entropy(KEY_BYTES).hex().encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                # A link never replaces: when two starts race, both go on with the first key.
                os.link(draft, self._path)
            except FileExistsError:
                return
        finally:
            draft.unlink()
        sync_folder(self._path.parent)


class WrappedKey(msgspec.Struct, frozen=True):
    """A data key as it is stored."""

    id: int
    wrapped: bytes


class Keyring(msgspec.Struct, frozen=True):
    """The wrapped data keys of a store, oldest first; the last one seals new values."""

    keys: tuple[WrappedKey, ...] = ()

    def encode(self) -> bytes:
        """Return the stored form; it holds nothing secret in clear."""
        return msgspec.json.encode(self)

    @staticmethod
    def decode(data: bytes) -> "Keyring":
        """Return the keyring; raises `Corrupt` for anything that `encode` did not write."""
        try:
            return msgspec.json.decode(data, type=Keyring)
        except msgspec.MsgspecError as error:
            raise errors.Corrupt(f"the store's key list cannot be read: {error}") from error

    def grown(self, master: MasterKey, *, entropy: Entropy = os.urandom) -> "Keyring":
        """Return this keyring with one new random data key, which new values will use."""
        key_id = self.keys[-1].id + 1 if self.keys else 1
        wrapped = master.wrap(key_id, entropy(KEY_BYTES), entropy=entropy)
        return Keyring((*self.keys, WrappedKey(key_id, wrapped)))

    def unlock(self, master: MasterKey) -> dict[int, bytes]:
        """Return the data keys by id; raises `Corrupt` when the master key is not the right one."""
        return {key.id: master.unwrap(key.id, key.wrapped) for key in self.keys}


class _TableSeal:
    """What sealing a value of one table under one data key needs, made once."""

    __slots__ = ("context", "decrypt", "encrypt")

    def __init__(self, header: bytes, data_key: bytes, table: str) -> None:
        cipher = AESGCM(_derive(data_key, b"whimbrel/table/1\0" + table.encode()))
        self.encrypt = cipher.encrypt
        self.decrypt = cipher.decrypt
        self.context = header + table.encode() + b"\0"


class Vault:
    """Seals and opens values. The newest data key seals; every key that it was given opens.

    A value is bound to its table and key (the key as UTF-8).
    """

    def __init__(self, data_keys: Mapping[int, bytes], *, entropy: Entropy = os.urandom) -> None:
        self._entropy = entropy
        self._data_keys = dict(data_keys)
        self._seals: dict[tuple[bytes, str], _TableSeal] = {}
        self._header = _header(max(self._data_keys))

    @classmethod
    def ephemeral(cls) -> "Vault":
        """Return a vault whose key dies with it: for stores that keep nothing."""
        return cls({1: os.urandom(KEY_BYTES)})

    def __repr__(self) -> str:
        return f"Vault(key_id={self.key_id})"

    def use(self, data_keys: Mapping[int, bytes]) -> None:
        """Add data keys; the one with the greatest id seals from now on."""
        self._data_keys.update(data_keys)
        self._header = _header(max(self._data_keys))

    @property
    def key_id(self) -> int:
        """Return the id of the data key that seals."""
        return int.from_bytes(self._header[1:])

    def seal(self, table: str, key: bytes, value: bytes) -> bytes:
        """Return the value sealed for this record alone."""
        header = self._header
        seal = self._seals.get((header, table)) or self._table_seal(header, table)
        nonce = self._entropy(NONCE_BYTES)
        return header + nonce + seal.encrypt(nonce, value, seal.context + key)

    def open(self, table: str, key: bytes, sealed: bytes, start: int = 0) -> bytes:
        """Return the value whose sealed form begins at `start`.

        Raises `Corrupt` for damage, an unknown data key, or another record's value.
        """
        nonce_start = start + _HEADER_BYTES
        nonce_end = nonce_start + NONCE_BYTES
        header = sealed[start:nonce_start]
        seal = self._seals.get((header, table)) or self._table_seal(header, table)
        try:
            return seal.decrypt(
                sealed[nonce_start:nonce_end], sealed[nonce_end:], seal.context + key
            )
        except (InvalidTag, ValueError) as error:
            raise errors.Corrupt(
                f"{table}/{key.decode(errors='replace')}: the stored value was changed, "
                "or is another record's"
            ) from error

    def _table_seal(self, header: bytes, table: str) -> _TableSeal:
        if len(header) != _HEADER_BYTES or header[:1] != _VERSION:
            raise errors.Corrupt(f"{table}: a stored value does not begin as sealed values do")
        key_id = int.from_bytes(header[1:])
        data_key = self._data_keys.get(key_id)
        if data_key is None:
            raise errors.Corrupt(
                f"{table}: a value is sealed under data key {key_id}, which this store does not hold"
            )
        seal = self._seals[header, table] = _TableSeal(header, data_key, table)
        return seal


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _header(key_id: int) -> bytes:
    return _VERSION + key_id.to_bytes(4)


def _wrap_context(key_id: int) -> bytes:
    return b"data key" + key_id.to_bytes(4)


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose).derive(secret)

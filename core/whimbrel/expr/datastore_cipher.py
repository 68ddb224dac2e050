"""The cipher of StackStorm's secret datastore items.

A ciphertext is upper-case hex of: 5 header bytes, a 16 byte IV, AES-CBC blocks with PKCS#5 padding,
and a 20 byte HMAC-SHA1 over everything before it. Keys are URL-safe base64 without padding.
"""

import base64
import binascii
import hmac
import json
from typing import Any

import msgspec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from whimbrel.errors import InvalidInput

HEADER = b"00000"
IV_BYTES = 16
BLOCK_BYTES = 16
SIGNATURE_BYTES = 20
KEY_BITS_MIN = 128


class CipherError(InvalidInput):
    """The key or the ciphertext cannot be used; `category` is a fixed word for programs.

    About keys: malformed_key_file, unsafe_key_size, unsupported_mode, invalid_key_size, bad_base64,
    type_error, value_error. About ciphertexts: not_hex, too_short, bad_signature, not_utf8,
    empty_plaintext_block, value_error, type_error.
    """

    def __init__(self, message: str, *, category: str) -> None:
        super().__init__(message)
        self.category = category


class CipherKey(msgspec.Struct, frozen=True, kw_only=True):
    """The AES and HMAC keys of a datastore, as raw bytes."""

    aes: bytes
    hmac: bytes

    def __repr__(self) -> str:
        return "CipherKey(...)"

    @classmethod
    def parse(cls, json_text: str) -> "CipherKey":
        """Return the key that the text of a key file holds; raise `CipherError`."""
        try:
            document = json.loads(json_text)
        except ValueError as error:
            raise CipherError(str(error), category="malformed_key_file") from error
        return cls.of(document)

    @classmethod
    def of(cls, document: object) -> "CipherKey":
        """Return the key that the parsed key file `document` holds; raise `CipherError`."""
        if not isinstance(document, dict):
            raise CipherError("the key file must hold an object", category="type_error")
        aes_text = _member(document, "aesKeyString")
        signing = _member(document, "hmacKey")
        if not isinstance(signing, dict):
            raise CipherError("hmacKey must be an object", category="type_error")
        hmac_text = _member(signing, "hmacKeyString")
        _check_hmac_size(_member(signing, "size"))
        _check_mode(_member(document, "mode"))
        _check_size(_member(document, "size"))
        return cls(aes=_key_bytes(aes_text), hmac=_key_bytes(hmac_text))

    def decrypt(self, ciphertext: str) -> str:
        """Return the text of `ciphertext`; raise `CipherError`."""
        return decrypt(self, ciphertext)


def decrypt(key: CipherKey, ciphertext: object) -> str:
    """Return the text of a ciphertext in hex; raise `CipherError` saying what is wrong with it."""
    data = _unhex(ciphertext)
    if len(data) < len(HEADER) + IV_BYTES + SIGNATURE_BYTES:
        raise CipherError("the ciphertext is too short", category="too_short")
    signed, signature = data[:-SIGNATURE_BYTES], data[-SIGNATURE_BYTES:]
    if not hmac.compare_digest(hmac.digest(key.hmac, signed, "sha1"), signature):
        raise CipherError("the signature does not match", category="bad_signature")
    start = len(HEADER) + IV_BYTES
    blocks = signed[start:]
    if len(blocks) % BLOCK_BYTES:
        raise CipherError("the ciphertext ends inside a block", category="value_error")
    if not blocks:
        raise CipherError("the ciphertext holds no block", category="empty_plaintext_block")
    decryptor = _cipher(key, signed[len(HEADER) : start]).decryptor()
    plain = decryptor.update(blocks) + decryptor.finalize()
    try:
        text = plain.decode()
    except UnicodeDecodeError as error:
        raise CipherError(str(error), category="not_utf8") from error
    return text[: -ord(text[-1])]


def encrypt(key: CipherKey, text: str, iv: bytes) -> str:
    """Return the ciphertext of `text` in hex. `iv` is 16 bytes that were never used before."""
    if len(iv) != IV_BYTES:
        raise CipherError(
            f"the IV must have {IV_BYTES} bytes, got {len(iv)}", category="value_error"
        )
    plain = text.encode()
    padding = BLOCK_BYTES - len(plain) % BLOCK_BYTES
    encryptor = _cipher(key, iv).encryptor()
    blocks = encryptor.update(plain + bytes([padding]) * padding) + encryptor.finalize()
    signed = HEADER + iv + blocks
    return (signed + hmac.digest(key.hmac, signed, "sha1")).hex().upper()


def _cipher(key: CipherKey, iv: bytes) -> "Cipher[modes.CBC]":
    try:
        return Cipher(algorithms.AES(key.aes), modes.CBC(iv))
    except ValueError as error:
        raise CipherError(str(error), category="invalid_key_size") from error


def _unhex(ciphertext: object) -> bytes:
    if not isinstance(ciphertext, str | bytes):
        kind = type(ciphertext).__name__
        raise CipherError(f"a ciphertext is text or bytes, not {kind}", category="type_error")
    try:
        return binascii.unhexlify(ciphertext)
    except ValueError as error:
        raise CipherError(str(error), category="not_hex") from error


def _member(document: dict[str, Any], name: str) -> Any:
    try:
        return document[name]
    except KeyError:
        message = f"the key file lacks {name!r}"
        raise CipherError(message, category="malformed_key_file") from None


def _check_hmac_size(size: object) -> None:
    try:
        int(size)  # type: ignore[call-overload]  # the check is that it can be cast
    except (TypeError, ValueError) as error:
        category = "type_error" if isinstance(error, TypeError) else "value_error"
        raise CipherError(f"hmacKey.size: {error}", category=category) from error


def _check_mode(mode: object) -> None:
    if not isinstance(mode, str):
        raise CipherError(f"mode must be text, got {mode!r}", category="malformed_key_file")
    if mode.upper() != "CBC":
        raise CipherError(f"mode must be CBC, got {mode!r}", category="unsupported_mode")


def _check_size(size: object) -> None:
    if not isinstance(size, int | float):
        raise CipherError(f"size must be a number of bits, got {size!r}", category="type_error")
    # The declared size is not compared with the real one: existing key files disagree.
    if size < KEY_BITS_MIN:
        message = f"size must be at least {KEY_BITS_MIN} bits, got {size}"
        raise CipherError(message, category="unsafe_key_size")


def _key_bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise CipherError("a key must be base64 text", category="type_error")
    text = text.replace(" ", "")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (ValueError, binascii.Error) as error:
        raise CipherError(f"a key is not base64: {error}", category="bad_base64") from error

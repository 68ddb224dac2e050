"""The cipher of secret datastore items."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel.expr import CipherError, CipherKey, decrypt, encrypt

KEY = CipherKey(aes=bytes(range(32)), hmac=bytes(range(32, 64)))
FILE = {
    "hmacKey": {"hmacKeyString": "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8", "size": 256},
    "aesKeyString": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
    "mode": "CBC",
    "size": 256,
}


@given(st.text(), st.binary(min_size=16, max_size=16))
def test_round_trip(text: str, iv: bytes) -> None:
    """What was encrypted is decrypted to the same text."""
    assert decrypt(KEY, encrypt(KEY, text, iv)) == text


def test_format() -> None:
    """A ciphertext is upper-case hex of header, IV, blocks and signature."""
    ciphertext = encrypt(KEY, "hello", b"\0" * 16)
    assert len(ciphertext) == 2 * (5 + 16 + 16 + 20)
    assert ciphertext.startswith("3030303030" + "00" * 16)
    assert ciphertext == ciphertext.upper()


def test_key_file() -> None:
    """A key file gives the raw keys, which its printed form does not show."""
    key = CipherKey.parse(json.dumps(FILE))
    assert key == KEY
    assert "1" not in repr(key)


@given(st.integers(min_value=0, max_value=56))
def test_any_changed_byte_is_noticed(position: int) -> None:
    """A ciphertext with one byte changed has a bad signature."""
    data = bytearray.fromhex(encrypt(KEY, "hello", b"i" * 16))
    data[position] ^= 1
    with pytest.raises(CipherError) as caught:
        decrypt(KEY, data.hex())
    assert caught.value.category == "bad_signature"


@pytest.mark.parametrize(
    ("change", "category"),
    [
        ({"mode": "GCM"}, "unsupported_mode"),
        ({"mode": None}, "malformed_key_file"),
        ({"size": 64}, "unsafe_key_size"),
        ({"size": "256"}, "type_error"),
        ({"aesKeyString": "A"}, "bad_base64"),
        ({"aesKeyString": 5}, "type_error"),
        ({"hmacKey": "x"}, "type_error"),
        ({"hmacKey": {"hmacKeyString": "AAAA", "size": "x"}}, "value_error"),
        ({"hmacKey": {"hmacKeyString": "AAAA"}}, "malformed_key_file"),
    ],
)
def test_bad_key_files(change: dict[str, object], category: str) -> None:
    """What is wrong with a key file is told by its category."""
    with pytest.raises(CipherError) as caught:
        CipherKey.of({**FILE, **change})
    assert caught.value.category == category


def test_an_iv_has_sixteen_bytes() -> None:
    """Encrypting with an IV of another length is refused."""
    with pytest.raises(CipherError):
        encrypt(KEY, "x", b"short")

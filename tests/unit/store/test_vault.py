"""Sealing, the data keys, and the master key's file."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel import errors
from whimbrel.store.vault import KEY_BYTES, Keyring, MasterKey, MasterKeyFile, Vault, WrappedKey

ONE, TWO = b"1" * KEY_BYTES, b"2" * KEY_BYTES


def counting_entropy() -> Callable[[int], bytes]:
    """Return an entropy that never repeats and is the same in each run."""
    calls = iter(range(1, 1_000_000))
    return lambda size: next(calls).to_bytes(size)


@given(st.sampled_from(("t", "other_table")), st.binary(min_size=1), st.binary())
def test_what_was_sealed_opens(table: str, key: bytes, value: bytes) -> None:
    """A value opens for its own table and key, and its clear text is not in the sealed form."""
    vault = Vault({1: ONE})

    sealed = vault.seal(table, key, value)

    assert vault.open(table, key, sealed) == value
    assert vault.open(table, key, b"before" + sealed, 6) == value
    assert len(value) < 4 or value not in sealed


def test_the_sealed_form_is_as_described() -> None:
    """Version, key id and nonce stand in front, in this order and size."""
    sealed = Vault({7: ONE}, entropy=counting_entropy()).seal("t", b"k", b"value")

    assert sealed[:17] == b"\x01" + (7).to_bytes(4) + (1).to_bytes(12)
    assert len(sealed) == 17 + len(b"value") + 16


def test_a_sealed_value_stays_where_it_belongs() -> None:
    """Moved to another key, another table, or across the border of both, it does not open."""
    vault = Vault({1: ONE})
    sealed = vault.seal("table", b"key", b"value")

    for table, key in (("table", b"other"), ("other", b"key"), ("tabl", b"e\0key")):
        with pytest.raises(errors.Corrupt, match=f"{table}/.*another record's"):
            vault.open(table, key, sealed)


def test_every_changed_bit_is_noticed() -> None:
    """No bit of a sealed value can be flipped, and no byte cut off."""
    vault = Vault({1: ONE})
    sealed = vault.seal("t", b"k", b"value")

    for position in range(len(sealed) * 8):
        flipped = bytearray(sealed)
        flipped[position // 8] ^= 1 << position % 8
        with pytest.raises(errors.Corrupt):
            vault.open("t", b"k", bytes(flipped))
    for length in range(len(sealed)):
        with pytest.raises(errors.Corrupt):
            vault.open("t", b"k", sealed[:length])


def test_tables_have_keys_of_their_own() -> None:
    """The same value, key and nonce give another ciphertext in another table."""
    first, second = (
        Vault({1: ONE}, entropy=counting_entropy()).seal(table, b"k", b"value")
        for table in ("a", "b")
    )

    assert first[:17] == second[:17]
    assert first[17:] != second[17:]


def test_the_newest_data_key_seals() -> None:
    """After a new key came, new values need it, and old ones still open."""
    vault = Vault({1: ONE})
    old = vault.seal("t", b"k", b"old")

    vault.use({2: TWO})
    new = vault.seal("t", b"k", b"new")

    assert (vault.key_id, new[1:5]) == (2, (2).to_bytes(4))
    assert (vault.open("t", b"k", old), vault.open("t", b"k", new)) == (b"old", b"new")
    with pytest.raises(errors.Corrupt, match="data key 2, which this store does not hold"):
        Vault({1: ONE}).open("t", b"k", new)


def test_keys_do_not_print() -> None:
    """Neither the master key nor the vault shows key bytes in its text form."""
    assert repr(MasterKey(ONE, origin="here")) == "MasterKey(origin='here')"
    assert repr(Vault({1: ONE})) == "Vault(key_id=1)"


def test_a_keyring_grows() -> None:
    """Each growth adds a data key; the encoded form opens with the master key, and holds no key."""
    master = MasterKey(ONE, origin="here")
    keyring = Keyring().grown(master).grown(master)

    keys = Keyring.decode(keyring.encode()).unlock(master)

    assert list(keys) == [1, 2]
    assert keys[1] != keys[2]
    assert not any(key in keyring.encode() for key in keys.values())


def test_another_master_key_is_recognised() -> None:
    """Unwrapping with the wrong master key is refused with where that key came from."""
    keyring = Keyring().grown(MasterKey(ONE, origin="here"))

    with pytest.raises(errors.Corrupt, match="from there does not open data key 1 of this store"):
        keyring.unlock(MasterKey(TWO, origin="there"))


def test_wrapped_keys_cannot_change_places() -> None:
    """A wrapped data key is bound to its id."""
    master = MasterKey(ONE, origin="here")
    (key,) = Keyring().grown(master).keys

    with pytest.raises(errors.Corrupt):
        Keyring((WrappedKey(2, key.wrapped),)).unlock(master)
    with pytest.raises(errors.Corrupt):
        Keyring((WrappedKey(1, b""),)).unlock(master)


def test_a_damaged_keyring_is_corrupt() -> None:
    """What is not a keyring is refused as damage."""
    with pytest.raises(errors.Corrupt, match="key list cannot be read"):
        Keyring.decode(b"{")


def test_the_first_load_makes_the_master_key(tmp_path: Path) -> None:
    """The file is made once, for its owner to read, and loads as the same key from then on."""
    path = tmp_path / "keys" / "master.key"

    made = MasterKeyFile(path).load(create=True)

    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [path] == list(path.parent.iterdir())
    keyring = Keyring().grown(made)
    assert keyring.unlock(MasterKeyFile(path).load(create=True)) == keyring.unlock(made)
    assert keyring.unlock(MasterKeyFile(path).load(create=False)) == keyring.unlock(made)


def test_a_missing_master_key_is_never_replaced(tmp_path: Path) -> None:
    """Without leave to create, a missing file is an error that names it and says what to do."""
    path = tmp_path / "master.key"

    with pytest.raises(errors.NotFound, match=r"master\.key is missing.* safe copy"):
        MasterKeyFile(path).load(create=False)

    assert not path.exists()


@pytest.mark.parametrize("mode", [0o440, 0o404, 0o420, 0o644])
def test_a_master_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """A key file open to group or others is not used; the error says how to close it."""
    path = tmp_path / "master.key"
    MasterKeyFile(path).load(create=True)
    path.chmod(mode)

    with pytest.raises(errors.InvalidInput, match=f"mode is {mode:04o}; run: chmod 0400 {path}"):
        MasterKeyFile(path).load(create=True)


@pytest.mark.parametrize("content", [b"", b"zz", b"00" * 31, b"00" * 33, b"\xff" * 64])
def test_a_file_that_is_no_master_key_is_refused(tmp_path: Path, content: bytes) -> None:
    """A file of another form or length is refused with its path."""
    path = tmp_path / "master.key"
    path.write_bytes(content)
    path.chmod(0o400)

    with pytest.raises(errors.InvalidInput, match=r"master\.key: a master key"):
        MasterKeyFile(path).load(create=True)

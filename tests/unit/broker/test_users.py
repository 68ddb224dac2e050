"""The users file: who may log in."""

import os
from pathlib import Path

import bcrypt
import pytest
from whimbrel.broker.users import (
    BCRYPT_BYTES_MAX,
    FILE_BYTES_MAX,
    PASSWORD_BYTES_MAX,
    Users,
    hash_password,
    verify_password,
)
from whimbrel.errors import ContentErrors, InvalidInput, LimitExceeded


def bcrypted(password: str) -> str:
    """Return a hash as htpasswd -B makes it, at the least cost."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def write(file: Path, text: str) -> Users:
    """Return the users of a file with this text."""
    file.write_text(text)
    return Users(file)


def test_a_hash_verifies_its_password_alone() -> None:
    """The right password passes, another one does not."""
    hashed = hash_password("correct horse")

    assert hashed.startswith("$argon2id$")
    assert verify_password("correct horse", hashed)
    assert not verify_password("battery staple", hashed)


def test_bcrypt_lines_of_htpasswd_are_understood(tmp_path: Path) -> None:
    """Each of bcrypt's prefixes is taken."""
    hashed = bcrypted("s3cret")
    lines = "".join(f"{name}:{hashed.replace('$2b$', name)}\n" for name in ("$2a$", "$2b$", "$2y$"))
    users = write(tmp_path / "users", lines)

    users.check()

    assert {"$2a$", "$2b$", "$2y$"} == users.names()
    assert users.verify("$2y$", "s3cret")
    assert not users.verify("$2y$", "secret")


def test_bcrypt_ignores_what_is_behind_its_limit() -> None:
    """A password over bcrypt's limit is compared as far as bcrypt looks, as everywhere else."""
    hashed = bcrypted("x" * BCRYPT_BYTES_MAX)

    assert verify_password("x" * (BCRYPT_BYTES_MAX + 8), hashed)


def test_a_password_that_no_hash_takes_is_wrong_not_an_error() -> None:
    """Null bytes and endless passwords are refused quietly."""
    assert not verify_password("a\0b", bcrypted("a"))
    assert not verify_password("x" * (PASSWORD_BYTES_MAX + 1), hash_password("x"))


def test_passwords_have_limits() -> None:
    """An empty password and one over the limit cannot be set."""
    with pytest.raises(InvalidInput, match="cannot be empty"):
        hash_password("")
    with pytest.raises(LimitExceeded, match="1024"):
        hash_password("x" * (PASSWORD_BYTES_MAX + 1))


def test_clear_text_is_refused_without_being_shown(tmp_path: Path) -> None:
    """A password in clear text is refused with its line and is not repeated; the rest still counts."""
    users = write(tmp_path / "users", f"# staff\n\nada:hunter2\nbob:{bcrypted('b')}\n")

    with pytest.raises(ContentErrors, match=r"users:3: .*'ada'.*bcrypt") as caught:
        users.check()

    assert "hunter2" not in str(caught.value)
    assert {"bob"} == users.names()
    assert not users.verify("ada", "hunter2")


@pytest.mark.parametrize("name", ["", " ada", "a\tb"])
def test_names_that_cannot_be_users_are_refused(tmp_path: Path, name: str) -> None:
    """A line without a usable name is refused; a space in front of it is not part of the name."""
    users = write(tmp_path / "users", f"x:{bcrypted('x')}\n{name}:{bcrypted('y')}\n")

    if name == " ada":
        users.check()
    else:
        with pytest.raises(ContentErrors, match="users:2"):
            users.check()


def test_a_name_given_twice_is_refused(tmp_path: Path) -> None:
    """The first of two lines for a user counts, the second is reported."""
    users = write(tmp_path / "users", f"ada:{bcrypted('1')}\nada:{bcrypted('2')}\n")

    with pytest.raises(ContentErrors, match="given twice"):
        users.check()

    assert users.verify("ada", "1")


def test_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    """What the file says now decides, not what it said before."""
    users = write(tmp_path / "users", f"ada:{bcrypted('1')}\n")
    assert users.verify("ada", "1")

    (tmp_path / "users").write_text(f"ada:{bcrypted('two')}\nbob:{bcrypted('3')}\n")

    assert not users.verify("ada", "1")
    assert users.verify("ada", "two")
    assert users.verify("bob", "3")


def test_a_file_that_is_not_there_has_no_users(tmp_path: Path) -> None:
    """Neither a missing file nor no file at all lets anybody in."""
    assert frozenset() == Users(tmp_path / "users").names() == Users(None).names()
    assert not Users(None).verify("ada", "x")


def test_an_endless_file_is_refused(tmp_path: Path) -> None:
    """A file over the limit is not read."""
    file = tmp_path / "users"
    with file.open("wb") as stream:
        os.truncate(stream.fileno(), FILE_BYTES_MAX + 1)

    with pytest.raises(ContentErrors, match="a users file is limited"):
        Users(file).check()


def test_put_adds_and_replaces_one_line(tmp_path: Path) -> None:
    """Setting a password keeps comments and other users; a new file is the owner's alone."""
    file = tmp_path / "etc" / "users"
    Users(file).put("ada", "one")
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text(f"# staff\n{file.read_text()}")

    Users(file).put("bob", "two")
    Users(file).put("ada", "three")

    users = Users(file)
    assert file.read_text().splitlines()[0] == "# staff"
    assert {"ada", "bob"} == users.names()
    assert users.verify("ada", "three")
    assert not users.verify("ada", "one")


def test_put_needs_a_file_and_a_name() -> None:
    """There is no user without a place to write it to."""
    with pytest.raises(InvalidInput, match="no file"):
        Users(None).put("ada", "x")

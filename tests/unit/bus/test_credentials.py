"""Logins come from files and are never shown."""

from pathlib import Path

import pytest
from whimbrel.app.world import RandomIds
from whimbrel.bus.credentials import Credentials, new_seed, public_key, read_credentials
from whimbrel.errors import InvalidInput


def written(folder: Path, text: str) -> Path:
    """Return a file with this text."""
    path = folder / "login"
    path.write_text(text)
    return path


def test_a_seed_has_a_public_key() -> None:
    """New seeds are different users' keys."""
    one, other = new_seed(RandomIds()), new_seed(RandomIds())

    assert one.startswith("SU")
    assert public_key(one).startswith("U")
    assert public_key(one) != public_key(other)


def test_a_seed_file_is_read(tmp_path: Path) -> None:
    """One line with a seed."""
    seed = new_seed(RandomIds())

    assert read_credentials(written(tmp_path, f"{seed}\n")).seed == seed


def test_a_user_and_password_are_read(tmp_path: Path) -> None:
    """One line with a colon; the password may have more of them."""
    found = read_credentials(written(tmp_path, "ann:pass:word\n"))

    assert (found.user, found.password) == ("ann", "pass:word")


def test_a_creds_file_is_left_to_the_client(tmp_path: Path) -> None:
    """The file's path is enough."""
    path = written(tmp_path, "-----BEGIN NATS USER JWT-----\nx\n------END NATS USER JWT------\n")

    assert read_credentials(path).creds_file == str(path)


@pytest.mark.parametrize("text", ["", "hunter2", "SUhunter2", "a:b\nc:d", ":x", "x:", "é\x00"])
def test_other_contents_are_refused_unseen(tmp_path: Path, text: str) -> None:
    """The error names the file, or what a seed is, and never what was found."""
    with pytest.raises(InvalidInput) as refused:
        read_credentials(written(tmp_path, text))

    assert "hunter2" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A path that is not there is the first thing people get wrong."""
    with pytest.raises(InvalidInput, match="no-such-file"):
        read_credentials(tmp_path / "no-such-file")


def test_credentials_are_not_printed() -> None:
    """Neither repr nor str has the secret."""
    login = Credentials(origin="file x", seed="SECRET", user="ann", password="SECRET")

    assert "SECRET" not in f"{login!r} {login}"

"""The files that remember who is logged in."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from whimbrel.cli import credentials
from whimbrel.cli.failures import CommandFailed

from tests.unit.cli import served

LATER = datetime.fromtimestamp(served.NOW, UTC) + timedelta(hours=1)
URL = "http://127.0.0.1:9110"


def test_a_saved_token_is_found_for_its_server_alone(tmp_path: Path) -> None:
    """The token goes back to the host and port that gave it, under any name of this machine."""
    credentials.save(URL, "ann", "tok", LATER, tmp_path)

    for same in (f"{URL}/api/v1", "http://localhost:9110/api/v1", "http://[::1]:9110"):
        assert credentials.find(same, served.NOW, tmp_path) is not None
    for other in ("http://127.0.0.1:9111", "http://elsewhere:9110", "https://127.0.0.1"):
        assert credentials.find(other, served.NOW, tmp_path) is None


def test_files_are_the_owners_alone(tmp_path: Path) -> None:
    """Files have mode 0600, folders that are made have 0700."""
    home = tmp_path / "new" / "home"
    path = credentials.save(URL, "ann", "tok", LATER, home)
    credentials.write_user(home / "config", "ann", "secret")

    for file in (path, home / "config"):
        assert file.stat().st_mode & 0o777 == 0o600
        assert not credentials.is_open(file)
    for folder in (home, home / "tokens", tmp_path / "new"):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_an_open_file_is_closed_when_it_is_written_again(tmp_path: Path) -> None:
    """A file that others could read is replaced by one that they cannot."""
    path = tmp_path / "config"
    path.write_text("")
    path.chmod(0o644)

    credentials.write_private(path, "x")

    assert (path.stat().st_mode & 0o777, path.read_text()) == (0o600, "x")
    assert [path] == list(tmp_path.iterdir())


@pytest.mark.parametrize(("seconds", "found"), [(16, True), (14, False), (-1, False)])
def test_a_token_that_is_about_to_expire_is_not_used(
    seconds: int, found: bool, tmp_path: Path
) -> None:
    """Fifteen seconds before its end a token counts as expired."""
    expiry = datetime.fromtimestamp(served.NOW + seconds, UTC)
    credentials.save(URL, "ann", "tok", expiry, tmp_path)

    assert found is (credentials.find(URL, served.NOW, tmp_path) is not None)


def test_a_token_of_another_user_is_not_used(tmp_path: Path) -> None:
    """Who is named in the configuration does not act as somebody else."""
    credentials.save(URL, "ann", "tok", LATER, tmp_path)

    assert credentials.find(URL, served.NOW, tmp_path, "bob") is None
    assert credentials.find(URL, served.NOW, tmp_path, "ann") is not None


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    """The message names the file and the way out."""
    path = credentials.save(URL, "ann", "tok", LATER, tmp_path)
    path.write_text("{")

    with pytest.raises(CommandFailed, match="delete it and log in again"):
        credentials.find(URL, served.NOW, tmp_path)


def test_writing_the_user_keeps_the_rest_of_the_file(tmp_path: Path) -> None:
    """Other sections stay; an old password goes with its user."""
    path = tmp_path / "config"
    path.write_text("[cli]\ntimezone = UTC\n[credentials]\nusername = old\npassword = old\n")

    credentials.write_user(path, "ann", None)

    assert (credentials.read_config(path, required=True)) == {
        "cli": {"timezone": "UTC"},
        "credentials": {"username": "ann"},
    }

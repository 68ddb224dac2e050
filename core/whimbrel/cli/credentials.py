"""The files that remember who is logged in: readable by their owner alone.

A token is kept under the address of the API that it is good for, and is sent nowhere else.
"""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from whimbrel.cli.failures import CommandFailed

FOLDER_MODE = 0o700
FILE_MODE = 0o600
# A token that is about to expire is as good as expired: the request takes its time, too.
MARGIN_SECONDS = 15
THIS_MACHINE = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "::"}  # noqa: S104  # only compared


class Credential(NamedTuple):
    """A stored token."""

    user: str
    token: str
    expires: float


def home(environment: Mapping[str, str]) -> Path:
    """Return the folder of the command line's files: `~/.whimbrel`."""
    own = environment.get("HOME")
    return (Path(own) if own else Path.home()) / ".whimbrel"


def save(url: str, user: str, token: str, expiry: datetime, config_home: Path) -> Path:
    """Remember a token for the API at `url`, good until `expiry` (UTC when it has no zone); returns the file's path.

    The file has mode 0600 in a folder of mode 0700, and replaces an earlier one whole.
    """
    path = config_home / "tokens" / _file_name(url)
    record = {"user": user, "token": token, "expiry": _in_utc(expiry).isoformat()}
    write_private(path, json.dumps(record) + "\n")
    return path


def find(url: str, now: float, config_home: Path, user: str = "") -> Credential | None:
    """Return the token that is kept for the API at `url`, of `user` when one is named.

    None when there is none or it is about to expire. A file that cannot be read is an error.
    """
    path = config_home / "tokens" / _file_name(url)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        expires = _in_utc(datetime.fromisoformat(record["expiry"])).timestamp()
        found = Credential(str(record["user"]), str(record["token"]), expires)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{path} cannot be read ({error}); delete it and log in again"
        raise CommandFailed(message) from error
    if found.expires - MARGIN_SECONDS < now or (user and found.user != user):
        return None
    return found


def read_config(path: Path, *, required: bool) -> dict[str, dict[str, str]]:
    """Return the sections of a configuration file; empty when it need not be there and is not."""
    if not required and not path.exists():
        return {}
    import configparser

    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8"), source=str(path))
    except (OSError, ValueError, configparser.Error) as error:
        raise CommandFailed(f"the configuration file {path} cannot be read: {error}") from error
    return {section: dict(parser[section]) for section in parser.sections()}


def write_user(path: Path, user: str, password: str | None) -> None:
    """Write the user, and the password when there is one, into the configuration file at `path`."""
    import configparser
    import io

    parser = configparser.RawConfigParser()
    parser.read_dict(read_config(path, required=False))
    if not parser.has_section("credentials"):
        parser.add_section("credentials")
    parser["credentials"]["username"] = user
    parser.remove_option("credentials", "password")
    if password is not None:
        parser["credentials"]["password"] = password
    text = io.StringIO()
    parser.write(text)
    write_private(path, text.getvalue())


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone can read; folders that are made for it are private, too.

    Readers see the old text or the new one, whole.
    """
    _make_private(path.parent)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(partial, flags, FILE_MODE), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), FILE_MODE)
        file.write(text)
    partial.replace(path)


def is_open(path: Path) -> bool:
    """Return whether others than the owner can read the file."""
    return bool(path.stat().st_mode & 0o077)


def _make_private(folder: Path) -> None:
    if not folder.is_dir():
        _make_private(folder.parent)
        folder.mkdir(mode=FOLDER_MODE)


def _in_utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _file_name(url: str) -> str:
    """Return a file name for the server of `url`: its host and port; this machine has one name."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    name = "localhost" if host in THIS_MACHINE else host
    kept = (letter if letter.isalnum() or letter in ".-" else "_" for letter in name)
    return f"{''.join(kept)}_{port}.json"


__all__ = [
    "Credential",
    "find",
    "home",
    "is_open",
    "read_config",
    "save",
    "write_private",
    "write_user",
]

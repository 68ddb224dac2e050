"""`passwd`: give a user of the broker's users file a password. It works on the file, broker or not."""

import getpass

from whimbrel.broker.users import Users
from whimbrel.cli import up
from whimbrel.cli.failures import CommandFailed
from whimbrel.cli.shell import Invocation


def passwd(invocation: Invocation) -> int:
    """Add the user or replace the password; a running broker knows at once."""
    file = up.users_file(up.settings(invocation))
    user = invocation.text("username")
    if not file.parent.is_dir():
        raise CommandFailed(
            f"there is no folder {file.parent}; start the broker once, or name --folder"
        )
    Users(file).put(user, _password(invocation, user))
    invocation.shell.say(f"{user} has a new password ({file})")
    return 0


def _password(invocation: Invocation, user: str) -> str:
    if not invocation.shell.input.isatty():
        return invocation.shell.input.readline().rstrip("\r\n")
    first = getpass.getpass(f"New password of {user}: ")
    if first != getpass.getpass("The same again: "):
        raise CommandFailed("the two passwords differ; nothing was changed")
    return first


__all__ = ["passwd"]

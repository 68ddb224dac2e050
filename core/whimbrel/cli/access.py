"""Logging in: a token from user and password, kept for the commands to come."""

from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import datetime
from typing import Any

from whimbrel.cli import credentials, render
from whimbrel.cli.api import Api
from whimbrel.cli.failures import CommandFailed, Refused, Usage
from whimbrel.cli.shell import Invocation, Shell
from whimbrel.cli.target import Target


def with_credentials(target: Target, shell: Shell, debug: Callable[[str], None] | None) -> Target:
    """Return the target with the best credential there is: given, kept, or got by logging in."""
    if target.token or target.api_key:
        return target
    kept = credentials.find(target.api_url, shell.now(), target.config_home, target.username)
    if kept is not None:
        return target._replace(token=kept.token)
    if not target.username or not target.password:
        return target
    with closing(Api(target, debug)) as server:
        made = server.log_in(target.username, target.password, None)
    if target.cache_token:
        _keep(target, str(made["user"]), str(made["token"]), str(made["expiry"]))
    return target._replace(token=str(made["token"]))


def login(invocation: Invocation) -> int:
    """Get a token and keep it, with the user's name, for the commands to come."""
    user = invocation.text("username")
    password = _password(invocation)
    target = invocation.target
    try:
        made = _logged_in(invocation, user, password)
    except Refused as error:
        raise CommandFailed(f"Failed to log in as {user}: {error}") from error
    keep_password = invocation.switch("write_password")
    credentials.write_user(target.config_file, user, password if keep_password else None)
    _keep(target, user, str(made["token"]), str(made["expiry"]))
    invocation.shell.say(f"Logged in as {user}")
    if not keep_password:
        until = render.moment(str(made["expiry"]), target.timezone)
        invocation.shell.note(
            f"The login lasts until {until}; --write-password renews it by itself."
        )
    return 0


def auth(invocation: Invocation) -> int:
    """Print a new token."""
    made = _logged_in(invocation, invocation.text("username"), _password(invocation))
    if invocation.switch("only_token"):
        invocation.shell.say(str(made["token"]))
    else:
        render.show_one(invocation, dict(made), ("user", "token", "expiry"))
    return 0


def whoami(invocation: Invocation) -> int:
    """Print who is logged in, how, and with which roles."""
    shell = invocation.shell
    try:
        found = invocation.api.get("/user").document()
    except Refused as error:
        # Scripts ask this to find out; not being logged in is an answer.
        shell.say("Unable to retrieve currently logged-in user")
        shell.note(f"ERROR: {error}")
        return 0
    if invocation.format:
        render.show_one(invocation, found, ("all",))
        return 0
    authentication = found.get("authentication", {})
    rbac = found.get("rbac", {})
    shell.say(f'Currently logged in as "{found["username"]}".\n')
    shell.say(f"Authentication method: {authentication.get('method')}")
    if authentication.get("token_expire"):
        shell.say(f"Authentication token expire time: {authentication['token_expire']}")
    shell.say(f"\nRBAC:\n - Enabled: {rbac.get('enabled')}")
    shell.say(f" - Roles: {', '.join(rbac.get('roles', []))}")
    return 0


def _logged_in(invocation: Invocation, user: str, password: str) -> Mapping[str, Any]:
    """Return a new token. The stored credentials play no part: who logs in has none, or wants others."""
    debug = invocation.shell.note if invocation.flags.get("debug") else None
    with closing(Api(invocation.target, debug)) as server:
        return server.log_in(user, password, invocation.number("ttl"))


def _password(invocation: Invocation) -> str:
    shell = invocation.shell
    if invocation.given("password"):
        return invocation.text("password")
    if invocation.switch("password_stdin"):
        return shell.input.readline().rstrip("\r\n")
    if not shell.input.isatty():
        raise Usage("no terminal to ask for the password; use --password-stdin")
    import getpass

    return getpass.getpass(f"Password of {invocation.text('username')}: ")


def _keep(target: Target, user: str, token: str, expiry: str) -> None:
    moment = datetime.fromisoformat(expiry)
    credentials.save(target.api_url, user, token, moment, target.config_home)


__all__ = ["auth", "login", "whoami", "with_credentials"]

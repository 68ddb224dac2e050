"""Builds the command lines of the local runners: quoting, arguments, sudo, environment.

Everything here is pure: values in, text out. The text is what StackStorm builds, so that packs see
the same shell, the same quoting and the same arguments; a script path is quoted everywhere.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

MASK = "********"
DEFAULT_KWARG_OP = "--"
OWN_VARIABLE_PREFIX = "WHIMBREL_"
UNQUOTED_PATH = re.compile(r"[\w@%+=:,./-]+")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """Who runs a command: `user` is wanted, `service_user` is who this process runs as.

    No user is the service's. `sudo` means root, whatever `user` is. `repr` hides the password.
    """

    service_user: str
    user: str | None = None
    sudo: bool = False
    sudo_password: str | None = None

    def __repr__(self) -> str:
        return f"Account({self.service_user!r}, user={self.user!r}, sudo={self.sudo!r})"

    @property
    def needs_sudo(self) -> bool:
        """True when the command has to be handed to sudo."""
        return self.sudo or bool(self.user and self.user != self.service_user)


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What to run. `text` goes to `/bin/sh -c`; `logged` is the same, fit for a log.

    `stdin` is what the command must be given to read (the password for sudo), or None.
    """

    text: str
    logged: str
    stdin: bytes | None = None
    through_sudo: bool = False

    def __repr__(self) -> str:
        return f"Command({self.logged!r})"


class ScriptArguments(msgspec.Struct, frozen=True, kw_only=True):
    """Arguments of a script: named ones by their full spelling (`--name`), then positional texts."""

    named: Mapping[str, Any]
    positional: Sequence[str | None]


def quote_unix(value: str) -> str:
    """Return `value` as one word for a POSIX shell."""
    return shlex.quote(value)


def quote_windows(value: str) -> str:
    """Return `value` as one argument for a Windows program."""
    return subprocess.list2cmdline([value])


def local_command(command: str, account: Account) -> Command:
    """Return the text that runs `command` as `account`: itself, or handed to bash by sudo."""
    return _as_account(command, account)


def local_script(script: str, arguments: ScriptArguments, account: Account) -> Command:
    """Return the text that runs the program `script` with `arguments` as `account`."""
    # What sudo hands to bash is quoted as a whole; a path is quoted again only where it must be.
    plain = account.needs_sudo and UNQUOTED_PATH.fullmatch(script)
    words = [script if plain else quote_unix(script), *_named_words(arguments.named)]
    words += [quote_unix(value or "") for value in arguments.positional]
    return _as_account(" ".join(words), account)


def made_executable(command: Command, script: str) -> Command:
    """Return `command` with a step before it that makes the file `script` executable."""
    step = f"chmod +x {quote_unix(script)} ; "
    return msgspec.structs.replace(command, text=step + command.text, logged=step + command.logged)


def _as_account(command: str, account: Account) -> Command:
    password = account.sudo_password
    if not account.needs_sudo:
        # Nobody needs the password, and a plain command would find it on its standard input.
        return Command(text=command, logged=_logged(command, password))
    text = f"{_sudo_words(account)} bash -c {quote_unix(command)}"
    return Command(
        text=text,
        logged=_logged(text, password),
        stdin=f"{password}\n".encode() if password else None,
        through_sudo=True,
    )


def _logged(text: str, password: str | None) -> str:
    return f"echo -e '{MASK}\n' | {text}" if password else text


def _sudo_words(account: Account) -> str:
    words = ["sudo"]
    if account.sudo_password:
        words.append("-S")
    words.append("-E")
    if not account.sudo and account.user:
        words += ["-H", "-u", quote_unix(account.user)]
    return " ".join([*words, "--"])


def _named_words(named: Mapping[str, Any]) -> list[str]:
    words = []
    for name, value in named.items():
        if value is True:
            words.append(name)
        elif value is not False and value is not None and value != "":
            words.append(f"{name}={quote_unix(str(value))}")
    return words


def script_arguments(
    schema: Mapping[str, Mapping[str, Any]],
    parameters: Mapping[str, Any],
    *,
    kwarg_op: str = DEFAULT_KWARG_OP,
) -> ScriptArguments:
    """Sort parameters into named and positional arguments by the action's own schema.

    A parameter with a `position` is positional, and keeps its place as `""` when it has no value;
    where two claim the same position, the later one in the schema has it. All others are named.
    """
    by_position = {
        metadata["position"]: name
        for name, metadata in schema.items()
        if metadata.get("position") is not None
    }
    ordered = [by_position[position] for position in sorted(by_position)]
    positional = [
        positional_text(parameters.get(name), schema[name].get("type")) for name in ordered
    ]
    named = {
        f"{kwarg_op}{name}": value for name, value in parameters.items() if name not in set(ordered)
    }
    return ScriptArguments(named=named, positional=positional)


def positional_text(value: Any, kind: str | None) -> str:
    """Return a positional argument's text; `kind` is the declared JSON type, None when undeclared.

    An absent or empty value is `""`; so is the number 0, which pack scripts have learned to expect.
    """
    if value is None or value == "":
        return ""
    match kind:
        case "boolean":
            return "1" if str(value).lower() in {"true", "1"} else "0"
        case "array":
            return ",".join(str(item) for item in value)
        case "object":
            return _object_text(value)
        case "integer" | "number" | "string":
            return str(value) if value else ""
        case _:
            return str(value)


def _object_text(value: Any) -> str:
    if not value:
        return ""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def inherited_environment(own: Mapping[str, str]) -> dict[str, str]:
    """Return what children inherit of this process's `own` variables: not the plugin's part."""
    return {k: v for k, v in own.items() if not k.startswith(OWN_VARIABLE_PREFIX)}


def child_environment(
    inherited: Mapping[str, str],
    *,
    user_variables: Mapping[str, Any] | None,
    action_variables: Mapping[str, str],
) -> dict[str, str]:
    """Return a child's environment: what it inherits, the user's variables, the action's own.

    A user's value may be any scalar; it becomes text, None the empty text. The action's variables
    (execution id, token) cannot be replaced.
    """
    given = {k: "" if v is None else str(v) for k, v in (user_variables or {}).items()}
    return {**inherited, **given, **action_variables}

"""Where a command runs: its streams, its environment, its clock; and one call of a command."""

import os
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from whimbrel.cli.command import Command

if TYPE_CHECKING:
    from whimbrel.cli.api import Api
    from whimbrel.cli.target import Target


class Shell(NamedTuple):
    """The surroundings of a command. `now` returns Unix seconds, `pause` waits some seconds."""

    environment: Mapping[str, str]
    input: IO[str]
    output: IO[str]
    errors: IO[str]
    now: Callable[[], float]
    pause: Callable[[float], None]

    def say(self, text: str) -> None:
        """Write a line of the answer."""
        self.output.write(text + "\n")

    def note(self, text: str) -> None:
        """Write a line that is no part of the answer."""
        self.errors.write(text + "\n")
        self.errors.flush()

    @property
    def colours(self) -> bool:
        """Whether the answer may be coloured: only for a person who did not object."""
        refusal = any(self.environment.get(name) for name in ("NO_COLOR", "ST2_COLORIZE"))
        return self.output.isatty() and not refusal and self.environment.get("TERM") != "dumb"

    @property
    def width(self) -> int:
        """Columns that a table may take; 0 for as many as it likes."""
        columns = self.environment.get("COLUMNS", "")
        if columns.isdecimal() and int(columns) > 0:
            return int(columns)
        if not self.output.isatty():
            return 0
        try:
            return os.get_terminal_size(self.output.fileno()).columns
        except OSError:
            return 0


class Invocation:
    """One call of a command: its values and what it needs to answer. The server is met on first use."""

    def __init__(
        self, command: Command, values: Mapping[str, Any], flags: Mapping[str, Any], shell: Shell
    ) -> None:
        self.command = command
        self.shell = shell
        self.flags = flags
        self._values = values
        self._api: Api | None = None
        self._target: Target | None = None

    def text(self, key: str) -> str:
        """Return a text value; empty when it was not given."""
        value = self._values.get(key)
        return "" if value is None else str(value)

    def texts(self, key: str) -> list[str]:
        """Return the values of an argument that takes several; empty when there are none."""
        return list(self._values.get(key) or ())

    def switch(self, key: str) -> bool:
        """Return whether a switch was given."""
        return bool(self._values.get(key))

    def number(self, key: str) -> int | None:
        """Return a whole number, or None when it was not given."""
        value = self._values.get(key)
        return None if value is None else int(value)

    def given(self, key: str) -> bool:
        """Return whether the argument has a value, be it by default."""
        return self._values.get(key) is not None

    @property
    def values(self) -> Mapping[str, Any]:
        """All values by key, as parsed."""
        return self._values

    @property
    def target(self) -> "Target":
        """The server to talk to, from flags, environment and configuration file."""
        if self._target is None:
            from whimbrel.cli import target

            self._target = target.resolve(self.flags, self.shell, self._values)
        return self._target

    @property
    def api(self) -> "Api":
        """The server; the first use reads the credentials."""
        if self._api is None:
            from whimbrel.cli import access
            from whimbrel.cli.api import Api

            debug = self.shell.note if self.flags.get("debug") else None
            self._api = Api(access.with_credentials(self.target, self.shell, debug), debug)
        return self._api

    def close(self) -> None:
        """Give back what the command held."""
        if self._api is not None:
            self._api.close()

    @property
    def format(self) -> str:
        """How to answer: `json`, `yaml`, or empty for people."""
        if self.switch("json"):
            return "json"
        return "yaml" if self.switch("yaml") else ""


__all__ = ["Invocation", "Shell"]

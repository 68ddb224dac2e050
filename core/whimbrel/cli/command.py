"""The form in which commands are described; parser, help, completion and reference follow from it."""

from typing import NamedTuple


class Argument(NamedTuple):
    """An option (names begin with `-`) or a positional argument (one name).

    `kind` is `text`, `integer` or `switch`; `many` is empty, `?`, `*` or `+`, as argparse means them.
    `query` is the query parameter in which a list command sends the value.
    """

    names: tuple[str, ...]
    help: str
    kind: str = "text"
    many: str = ""
    default: str | int | None = None
    choices: tuple[str, ...] = ()
    query: str = ""
    required: bool = False
    metavar: str = ""

    @property
    def is_option(self) -> bool:
        """Whether it is given by name."""
        return self.names[0].startswith("-")

    @property
    def key(self) -> str:
        """The name under which the value is found: the first long option, with `_` for `-`."""
        long = next((name for name in self.names if name.startswith("--")), self.names[0])
        return long.lstrip("-").replace("-", "_")


class Resource(NamedTuple):
    """A kind of object of the API and how it is shown.

    `columns` are the attributes of a list, `details` those of one object, in order; `all` at the end
    of `details` adds the others by name.
    `trimmed` tells whether a list asks the server for the shown attributes alone.
    """

    path: str
    title: str
    plural: str
    columns: tuple[str, ...]
    details: tuple[str, ...] = ("all",)
    trimmed: bool = False
    newest_first: bool = False


class Command(NamedTuple):
    """One command. `handler` is `module:function`, imported when the command runs.

    `more` names a function that returns further arguments, for those that are expensive to know.
    `endpoint` is what it asks of the server, for the reference; empty for a local command.
    """

    path: tuple[str, ...]
    help: str
    handler: str
    arguments: tuple[Argument, ...] = ()
    endpoint: str = ""
    resource: Resource | None = None
    more: str = ""
    own_help: bool = False

    @property
    def name(self) -> str:
        """The words of the command, as `key get`."""
        return " ".join(self.path)


class Group(NamedTuple):
    """A first word that has commands below it."""

    name: str
    help: str


__all__ = ["Argument", "Command", "Group", "Resource"]

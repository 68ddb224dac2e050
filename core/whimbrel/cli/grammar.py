"""From words to a command and its values: global flags, then the command, then its own arguments."""

import argparse
import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from whimbrel.cli import catalog
from whimbrel.cli.command import Argument, Command
from whimbrel.cli.failures import Usage

PROGRAM = "whimbrel"
INTRODUCTION = "Event-driven automation that fits on the edge."


class HelpAsked(Exception):  # it is an outcome, not an error
    """The words ask for help; `text` is the answer."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


class Parsed(NamedTuple):
    """A command line that makes sense. `command` is None when only global flags were given."""

    flags: Mapping[str, Any]
    command: Command | None
    values: Mapping[str, Any]


class _Parser(argparse.ArgumentParser):
    """argparse that raises our errors and leaves the exit to the entry."""

    def error(self, message: str) -> NoReturn:
        raise Usage(message, help_text=self.format_usage().rstrip())


def parse(words: Sequence[str]) -> Parsed:
    """Return the command with its values; raises Usage or HelpAsked."""
    flags, rest = _split_globals(words)
    if not rest:
        return Parsed(flags, None, {})
    command, own = find(rest)
    return Parsed(flags, command, parse_own(command, own))


def parse_own(command: Command, words: Sequence[str]) -> Mapping[str, Any]:
    """Return the values of a command's own words; raises Usage or HelpAsked."""
    if not command.own_help and _asks_help(words):
        raise HelpAsked(parser_of(command).format_help())
    parser = parser_of(command)
    try:
        return vars(parser.parse_intermixed_args(_shielded(words))).copy() | _unshielded(
            parser, words
        )
    except Usage as error:
        raise _explained(error, words) from None


def find(words: Sequence[str]) -> tuple[Command, Sequence[str]]:
    """Return the command that the first words name, and the words after it."""
    first = words[0]
    by_path = {command.path: command for command in catalog.COMMANDS}
    if (first,) in by_path:
        return by_path[first,], words[1:]
    below = [command for command in catalog.COMMANDS if command.path[0] == first]
    if not below:
        known = sorted({command.path[0] for command in catalog.COMMANDS})
        raise Usage(f"there is no command {first!r}.{_nearest(first, known)}")
    if len(words) == 1:
        raise Usage("", help_text=group_help(first))
    if words[1] in {"-h", "--help"}:
        raise HelpAsked(group_help(first))
    found = by_path.get((first, words[1]))
    if found is None:
        known = [command.path[1] for command in below]
        raise Usage(f"there is no command {first} {words[1]!r}.{_nearest(words[1], known)}")
    return found, words[2:]


def arguments_of(command: Command) -> tuple[Argument, ...]:
    """Return all arguments of a command, those included that are known only now."""
    if not command.more:
        return command.arguments
    more: Callable[[], tuple[Argument, ...]] = load(command.more)
    return (*command.arguments, *more())


def load(place: str) -> Any:
    """Return the function that `module:function` names."""
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)


def usage_of(command: Command) -> str:
    """Return the form of a call: `whimbrel key set [options] NAME [VALUE]`."""
    shapes = {"": "{}", "?": "[{}]", "*": "[{} …]", "+": "{} …"}
    words = [PROGRAM, command.name]
    if command.more or any(argument.is_option for argument in command.arguments):
        words.append("[options]")
    words += [
        shapes[argument.many].format(argument.names[0].upper())
        for argument in command.arguments
        if not argument.is_option
    ]
    return " ".join(words)


# ------------------------------------------------------------------ argparse
def parser_of(command: Command) -> argparse.ArgumentParser:
    """Return the parser of a command's own words."""
    # Without a usage of ours, argparse formats one at each parse, which costs start-up time.
    parser = _Parser(
        prog=f"{PROGRAM} {command.name}",
        usage=usage_of(command),
        description=command.help,
        add_help=not command.own_help,
    )
    for argument in arguments_of(command):
        _add(parser, argument)
    return parser


def _globals_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    for argument in catalog.GLOBAL_FLAGS:
        _add(parser, argument)
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    return parser


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    settings: dict[str, Any] = {"help": argument.help.replace("%", "%%")}
    if argument.kind == "switch":
        settings["action"] = "store_true"
    else:
        settings["default"] = argument.default
        settings["choices"] = argument.choices or None
        if argument.kind == "integer":
            settings["type"] = _whole_number
        if argument.many:
            settings["nargs"] = argument.many
        if argument.metavar:
            settings["metavar"] = argument.metavar
    if argument.is_option:
        parser.add_argument(
            *argument.names, dest=argument.key, required=argument.required, **settings
        )
    else:
        settings.setdefault("metavar", argument.names[0].upper())
        parser.add_argument(argument.key, **settings)


def _whole_number(text: str) -> int:
    """Return the number; argparse words the refusal."""
    return int(text)


_whole_number.__name__ = "whole number"


def _split_globals(words: Sequence[str]) -> tuple[Mapping[str, Any], Sequence[str]]:
    if words and words[0] in {"-h", "--help"}:
        raise HelpAsked(top_help())
    try:
        flags = vars(_globals_parser().parse_args(list(words)))
    except Usage as error:
        raise Usage(str(error), help_text=f"usage: {PROGRAM} [flags] COMMAND …") from None
    rest = flags.pop("rest")
    if rest and rest[0] in {"-h", "--help"}:
        raise HelpAsked(top_help())
    return flags, rest


def _asks_help(words: Sequence[str]) -> bool:
    own = words[: words.index("--")] if "--" in words else words
    return "-h" in own or "--help" in own


# What follows `--` is positional even when it begins with `-`; argparse forgets that between the two
# passes of an intermixed parse, so such words travel behind a character that no argument can hold.
SHIELD = "\0"


def _shielded(words: Sequence[str]) -> list[str]:
    if "--" not in words:
        return list(words)
    cut = list(words).index("--")
    return [*words[:cut], *(SHIELD + word for word in words[cut + 1 :])]


def _unshielded(parser: argparse.ArgumentParser, words: Sequence[str]) -> dict[str, Any]:
    if "--" not in words:
        return {}
    values = vars(parser.parse_intermixed_args(_shielded(words)))
    return {
        key: _bare(value) if isinstance(value, str) else [_bare(item) for item in value]
        for key, value in values.items()
        if isinstance(value, str) or (isinstance(value, list) and _is_texts(value))
    }


def _is_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _bare(text: str) -> str:
    return text.removeprefix(SHIELD)


# ------------------------------------------------------------------ words for people
def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib

    near = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    if near:
        return f" Did you mean {' or '.join(near)}?"
    return f" There are: {', '.join(known)}."


def _explained(error: Usage, words: Sequence[str]) -> Usage:
    """Add that a flag is a global one, where that is what went wrong."""
    names = {name for flag in catalog.GLOBAL_FLAGS for name in flag.names}
    misplaced = [word for word in words if word.split("=")[0] in names]
    hint = f"; {misplaced[0]} stands before the command" if misplaced else ""
    return Usage(f"{error}{hint}", help_text=error.help_text)


def _table(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {text}" for name, text in rows]


def top_help() -> str:
    """Return the help of the whole command line."""
    alone = [(c.path[0], c.help) for c in catalog.COMMANDS if len(c.path) == 1]
    groups = [(group.name, group.help) for group in catalog.GROUPS]
    flags = [
        (
            flag.names[0] + ("" if flag.kind == "switch" else " " + flag.key.upper()),
            flag.help,
        )
        for flag in catalog.GLOBAL_FLAGS
    ]
    lines = [f"usage: {PROGRAM} [flags] COMMAND …", "", INTRODUCTION, "", "Commands:"]
    lines += [*_table(alone), "", "Groups of commands:", *_table(groups)]
    lines += ["", "Flags (before the command):", *_table(flags)]
    lines += ["", f"{PROGRAM} COMMAND -h tells more of a command."]
    return "\n".join(lines) + "\n"


def group_help(name: str) -> str:
    """Return the help of a group of commands."""
    about = next(group.help for group in catalog.GROUPS if group.name == name)
    rows = [(c.path[1], c.help) for c in catalog.COMMANDS if c.path[0] == name]
    lines = [f"usage: {PROGRAM} {name} COMMAND …", "", about, "", "Commands:", *_table(rows)]
    return "\n".join(lines) + "\n"


__all__ = [
    "PROGRAM",
    "HelpAsked",
    "Parsed",
    "arguments_of",
    "find",
    "group_help",
    "load",
    "parse",
    "parse_own",
    "parser_of",
    "top_help",
    "usage_of",
]

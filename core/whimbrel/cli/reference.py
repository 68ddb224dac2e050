"""The reference page of the command line, written from the description of the commands."""

from whimbrel.cli import catalog, grammar
from whimbrel.cli.command import Argument, Command

OPTIONS_ELSEWHERE = "and a flag for every option of the configuration reference"


def render() -> str:
    """Return the page as Markdown."""
    lines = [
        "# Command line",
        "",
        f"`{grammar.PROGRAM} [flags] COMMAND …`",
        "",
        "Exit codes: 0 done; 1 an error, or an execution that failed; 2 a command line that makes no",
        "sense, or a create, delete or the like that was refused; 3 after `--print-config`; 130",
        "interrupted.",
        "",
        "## Flags before the command",
        "",
        *_table(catalog.GLOBAL_FLAGS),
    ]
    for command in catalog.COMMANDS:
        if len(command.path) == 1:
            lines += _section(command, "##")
    for group in catalog.GROUPS:
        lines += ["", f"## {group.name}", "", group.help]
        for command in catalog.COMMANDS:
            if len(command.path) == 2 and command.path[0] == group.name:
                lines += _section(command, "###")
    return "\n".join(lines) + "\n"


def _section(command: Command, mark: str) -> list[str]:
    usage = grammar.usage_of(command)
    lines = ["", f"{mark} {command.name}", "", command.help, "", f"`{usage}`"]
    if command.endpoint:
        lines[-1] += f" asks `{command.endpoint}`"
    if command.arguments:
        lines += ["", *_table(command.arguments)]
    if command.more:
        lines += ["", f"… {OPTIONS_ELSEWHERE}."]
    return lines


def _table(arguments: tuple[Argument, ...]) -> list[str]:
    lines = ["| Argument | Default | Meaning |", "|---|---|---|"]
    for argument in arguments:
        names = ", ".join(f"`{name}`" for name in argument.names)
        default = "" if argument.default is None else f"`{argument.default}`"
        choices = f" One of {', '.join(argument.choices)}." if argument.choices else ""
        text = argument.help.replace("|", "\\|") + choices
        lines.append(f"| {names} | {default} | {text} |")
    return lines


__all__ = ["render"]

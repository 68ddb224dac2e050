"""Completion scripts for bash, zsh and fish, written from the description of the commands."""

import shlex
from collections.abc import Sequence

from whimbrel.cli import catalog, grammar
from whimbrel.cli.command import Argument, Command
from whimbrel.cli.shell import Invocation


def completion(invocation: Invocation) -> int:
    """Print the script of a shell."""
    writers = {"bash": bash, "zsh": zsh, "fish": fish}
    invocation.shell.output.write(writers[invocation.text("shell")]())
    return 0


def bash() -> str:
    """Return the script for bash: `source <(whimbrel completion bash)`."""
    cases = [
        f"    {shlex.quote(path)}) words={shlex.quote(' '.join(words))} ;;"
        for path, words in _words()
    ]
    valued = "|".join(_valued(catalog.GLOBAL_FLAGS))
    return "\n".join(
        [
            "# bash completion for whimbrel: source <(whimbrel completion bash)",
            "_whimbrel() {",
            '  local current="${COMP_WORDS[COMP_CWORD]}" path="" words="" index word',
            "  for ((index = 1; index < COMP_CWORD; index++)); do",
            '    word="${COMP_WORDS[index]}"',
            '    case "$word" in',
            f"      {valued}) ((index++)); continue ;;",
            "      -*) continue ;;",
            "    esac",
            '    path="${path:+$path }$word"',
            f'    case "$path" in {_groups()}) ;; *) break ;; esac',
            "  done",
            '  case "$path" in',
            *cases,
            "  esac",
            '  if [[ -n "$words" ]]; then COMPREPLY=($(compgen -W "$words" -- "$current")); fi',
            "}",
            "complete -o default -F _whimbrel whimbrel",
            "",
        ]
    )


def zsh() -> str:
    """Return the script for zsh: `source <(whimbrel completion zsh)`."""
    cases = [
        f"    {_zsh_quoted(path)}) candidates=({' '.join(map(shlex.quote, words))}) ;;"
        for path, words in _words()
    ]
    valued = "|".join(_valued(catalog.GLOBAL_FLAGS))
    return "\n".join(
        [
            "#compdef whimbrel",
            "# zsh completion for whimbrel: source <(whimbrel completion zsh)",
            "_whimbrel() {",
            '  local typed="" word index',
            "  local -a candidates",
            "  for ((index = 2; index < CURRENT; index++)); do",
            '    word="${words[index]}"',
            '    case "$word" in',
            f"      {valued}) ((index++)); continue ;;",
            "      -*) continue ;;",
            "    esac",
            '    typed="${typed:+$typed }$word"',
            f'    case "$typed" in ({_groups()}) ;; (*) break ;; esac',
            "  done",
            '  case "$typed" in',
            *cases,
            "  esac",
            "  compadd -a candidates || _files",
            "}",
            "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }",
            "compdef _whimbrel whimbrel",
            "",
        ]
    )


def fish() -> str:
    """Return the script for fish: `whimbrel completion fish | source`."""
    lines = ["# fish completion for whimbrel: whimbrel completion fish | source"]
    lines.append("complete -c whimbrel -f")
    top = "__fish_use_subcommand"
    lines += [_fish_flag(top, flag) for flag in catalog.GLOBAL_FLAGS]
    lines += [_fish_word(top, group.name, group.help) for group in catalog.GROUPS]
    for command in catalog.COMMANDS:
        if len(command.path) == 1:
            condition = f"__fish_seen_subcommand_from {command.path[0]}"
            lines.append(_fish_word(top, command.path[0], command.help))
        else:
            group_name, verb = command.path
            seen = f"__fish_seen_subcommand_from {group_name}"
            verbs = " ".join(c.path[1] for c in catalog.COMMANDS if c.path[0] == group_name)
            nothing_yet = f"{seen}; and not __fish_seen_subcommand_from {verbs}"
            lines.append(_fish_word(nothing_yet, verb, command.help))
            condition = f"{seen}; and __fish_seen_subcommand_from {verb}"
        lines += [_fish_flag(condition, a) for a in _options(command)]
        choices = [c for a in command.arguments if not a.is_option for c in a.choices]
        lines += [_fish_word(condition, choice, command.help) for choice in choices]
    return "\n".join(lines) + "\n"


def _words() -> list[tuple[str, Sequence[str]]]:
    """Return what may follow each beginning of a command line, the empty one included."""
    first = dict.fromkeys(command.path[0] for command in catalog.COMMANDS)
    flags = [flag.names[0] for flag in catalog.GLOBAL_FLAGS]
    found: list[tuple[str, Sequence[str]]] = [("", [*first, *flags])]
    for group in catalog.GROUPS:
        verbs = [c.path[1] for c in catalog.COMMANDS if c.path[0] == group.name]
        found.append((group.name, verbs))
    for command in catalog.COMMANDS:
        names = [name for option in _options(command) for name in option.names]
        choices = [c for a in command.arguments if not a.is_option for c in a.choices]
        found.append((command.name, [*choices, *names]))
    return found


def _options(command: Command) -> list[Argument]:
    return [argument for argument in grammar.arguments_of(command) if argument.is_option]


def _valued(flags: Sequence[Argument]) -> list[str]:
    return [name for flag in flags if flag.kind != "switch" for name in flag.names]


def _groups() -> str:
    return "|".join(group.name for group in catalog.GROUPS)


def _zsh_quoted(text: str) -> str:
    return shlex.quote(text) if text else '""'


def _fish_word(condition: str, word: str, text: str) -> str:
    return f"complete -c whimbrel -n {shlex.quote(condition)} -a {word} -d {_fish_text(text)}"


def _fish_flag(condition: str, flag: Argument) -> str:
    parts = [f"complete -c whimbrel -n {shlex.quote(condition)}"]
    for name in flag.names:
        if name.startswith("--"):
            parts.append(f"-l {name[2:]}")
        elif len(name) == 2:
            parts.append(f"-s {name[1]}")
        else:
            parts.append(f"-o {name[1:]}")
    if flag.kind != "switch":
        parts.append("-x" if flag.choices else "-r")
    if flag.choices:
        parts.append(f"-a {shlex.quote(' '.join(flag.choices))}")
    return " ".join([*parts, f"-d {_fish_text(flag.help)}"])


def _fish_text(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


__all__ = ["bash", "completion", "fish", "zsh"]

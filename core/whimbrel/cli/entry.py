"""Runs one command line: the outcome becomes an exit code, every failure a message that helps."""

import io
import os
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from typing import TextIO

from whimbrel.cli import catalog, grammar
from whimbrel.cli.failures import CommandFailed, Refused, Silent, Usage
from whimbrel.cli.shell import Invocation, Shell
from whimbrel.errors import WhimbrelError

INTERRUPTED = 130
BROKEN_PIPE = 141


def main() -> int:
    """Run the words and streams of this process."""
    for stream in (sys.stdout, sys.stderr):
        # An answer that the terminal's encoding cannot show is still better than a crash.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    shell = Shell(
        environment=os.environ,
        input=sys.stdin,
        output=sys.stdout,
        errors=sys.stderr,
        now=lambda: time.time_ns() / 1e9,
        pause=time.sleep,
    )
    try:
        code = run(sys.argv[1:], shell)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has gone (`| head`); nothing is left to say, not even at the exit.
        _close(sys.stdout)
        return BROKEN_PIPE
    return code


def run(words: Sequence[str], shell: Shell) -> int:
    """Run one command line and return its exit code; every message has been written."""
    try:
        parsed = grammar.parse(words)
        if parsed.flags.get("version"):
            return version(Invocation(catalog.COMMANDS[0], {}, parsed.flags, shell))
        if parsed.flags.get("print_config"):
            from whimbrel.cli.target import print_config

            return print_config(parsed.flags, shell)
        if parsed.command is None:
            raise Usage("", help_text=grammar.top_help())
        code = _carried_out(Invocation(parsed.command, parsed.values, parsed.flags, shell))
    except grammar.HelpAsked as help_asked:
        shell.output.write(help_asked.text)
        return 0
    except (KeyboardInterrupt, EOFError):
        shell.note("")
        return INTERRUPTED
    except WhimbrelError as error:
        return _failed(error, shell)
    return code


def _carried_out(invocation: Invocation) -> int:
    with closing(invocation):
        code: int = grammar.load(invocation.command.handler)(invocation)
        return code


def version(invocation: Invocation) -> int:
    """Print the version."""
    import whimbrel

    invocation.shell.say(f"whimbrel {whimbrel.__version__}")
    return 0


def _failed(error: WhimbrelError, shell: Shell) -> int:
    shell.output.flush()
    match error:
        case Silent():
            return error.exit_code
        case Usage():
            if error.help_text:
                shell.note(error.help_text.rstrip())
            if str(error):
                shell.note(f"{grammar.PROGRAM}: {error}")
            return error.exit_code
        case _:
            pass
    shell.note(f"ERROR: {error}")
    if isinstance(error, Refused) and error.status == 401:
        shell.note(f"HINT: log in with `{grammar.PROGRAM} login USER`, or send another token.")
    return error.exit_code if isinstance(error, CommandFailed) else 1


def _close(stream: TextIO) -> None:
    """Point the stream's descriptor at nothing, so that the flush at the exit cannot fail."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, stream.fileno())
    os.close(nothing)


__all__ = ["main", "run", "version"]

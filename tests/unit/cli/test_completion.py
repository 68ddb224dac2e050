"""Completion scripts and the reference page."""

import subprocess
from pathlib import Path

import pytest
from whimbrel.cli import catalog, completion, grammar, reference

from tests.unit.cli import served

COMPLETE = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_whimbrel
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("whimbrel exec", {"execution"}),
        ("whimbrel key de", {"delete", "delete_by_prefix"}),
        ("whimbrel --url http://x key se", {"set"}),
        ("whimbrel key get name --dec", {"--decrypt"}),
        ("whimbrel completion z", {"zsh"}),
        ("whimbrel up --grpc", {"--grpc-port"}),
    ],
)
def test_bash_completes_commands_and_options(
    words: str, expected: set[str], tmp_path: Path
) -> None:
    """A real bash, given the script, offers what may follow."""
    script = tmp_path / "completion.bash"
    script.write_text(completion.bash())

    ran = subprocess.run(
        ["bash", "--norc", "-c", COMPLETE.format(script=script, words=words)],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )

    assert expected == set(ran.stdout.split())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_every_command(shell: str) -> None:
    """The scripts are printed whole, from the description of the commands."""
    outcome = served.run("completion", shell, environment={})

    assert outcome.code == 0
    for command in catalog.COMMANDS:
        assert command.path[-1] in outcome.output


def test_an_unknown_shell_is_refused() -> None:
    """The shells that there are are named."""
    outcome = served.run("completion", "tcsh", environment={})

    assert outcome.code == 2
    assert "'bash', 'zsh', 'fish'" in outcome.errors


def test_the_reference_tells_every_command_and_flag() -> None:
    """Nothing can be called that the page does not show."""
    page = reference.render()

    for command in catalog.COMMANDS:
        assert f"# {command.name}\n" in page
        assert grammar.usage_of(command) in page
    for flag in catalog.GLOBAL_FLAGS:
        assert f"`{flag.names[0]}`" in page

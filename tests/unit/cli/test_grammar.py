"""From words to commands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whimbrel.cli import catalog, grammar
from whimbrel.cli.command import Command
from whimbrel.cli.failures import Usage

from tests.unit.cli import served

HERE = {"HOME": "/nonexistent"}
PLAIN_WORDS = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20
)


def test_no_words_print_the_help_on_stderr_and_exit_2() -> None:
    """`whimbrel` alone is a mistake that the help mends."""
    outcome = served.run(environment=HERE)

    assert outcome.code == 2
    assert outcome.output == ""
    assert "usage: whimbrel [flags] COMMAND" in outcome.errors
    assert all(command.path[0] in outcome.errors for command in catalog.COMMANDS)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["kye", "get"], "there is no command 'kye'. Did you mean key?"),
        (["key", "gte"], "there is no command key 'gte'. Did you mean get?"),
        (["zzzz"], "There are: action, apikey"),
    ],
)
def test_unknown_commands_are_answered_with_the_nearest(words: list[str], told: str) -> None:
    """A mistyped command names those that are like it, or all when none is."""
    outcome = served.run(*words, environment=HERE)

    assert outcome.code == 2
    assert told in outcome.errors


def test_a_group_alone_prints_its_commands_on_stderr_and_exits_2() -> None:
    """A group without a command shows what it has."""
    outcome = served.run("key", environment=HERE)

    assert (outcome.code, outcome.output) == (2, "")
    assert "delete_by_prefix" in outcome.errors


@pytest.mark.parametrize("words", [["-h"], ["--help"], ["key", "-h"], ["key", "set", "--help"]])
def test_help_goes_to_stdout_and_exits_0(words: list[str]) -> None:
    """Who asks for help gets it as the answer."""
    outcome = served.run(*words, environment=HERE)

    assert (outcome.code, outcome.errors) == (0, "")
    assert outcome.output.startswith("usage: whimbrel")


@pytest.mark.parametrize("command", catalog.COMMANDS, ids=lambda command: command.name)
def test_every_command_has_a_parser_and_a_handler(command: Command) -> None:
    """No description names what is not there."""
    assert grammar.parser_of(command).format_help()
    assert callable(grammar.load(command.handler))


def test_every_group_and_command_is_described_once() -> None:
    """Paths are unique, and each group has a description."""
    paths = [command.path for command in catalog.COMMANDS]

    assert len(paths) == len(set(paths))
    assert {group.name for group in catalog.GROUPS} == {path[0] for path in paths if len(path) == 2}


def test_a_global_flag_after_the_command_is_told_where_it_belongs() -> None:
    """The refusal says that the flag stands before the command."""
    outcome = served.run("key", "get", "k", "--debug", environment=HERE)

    assert outcome.code == 2
    assert "--debug stands before the command" in outcome.errors


def test_options_and_words_may_be_mixed() -> None:
    """Options stand before, between or after positional words."""
    command, _ = grammar.find(["run"])
    expected = grammar.parse_own(command, ["-a", "--delay", "5", "core.local", "cmd=x", "b=y"])

    assert expected == grammar.parse_own(
        command, ["core.local", "-a", "cmd=x", "--delay", "5", "b=y"]
    )
    assert (expected["ref_or_id"], expected["parameters"]) == ("core.local", ["cmd=x", "b=y"])


def test_a_limit_of_minus_one_is_a_number_and_no_option() -> None:
    """`-n -1` asks for all."""
    command, rest = grammar.find(["execution", "list", "-n", "-1"])

    assert grammar.parse_own(command, rest)["last"] == -1


@given(st.lists(PLAIN_WORDS, min_size=1))
def test_words_after_two_dashes_arrive_as_they_are(words: list[str]) -> None:
    """Whatever stands behind `--` is a parameter, also when it looks like an option."""
    command, _ = grammar.find(["run"])

    assert words == grammar.parse_own(command, ["core.local", "--", *words])["parameters"]


@given(st.permutations(["-j", "--scope=user", "-d", "one", "two"]))
def test_the_order_of_options_does_not_matter(words: list[str]) -> None:
    """Any order of the same words means the same, but for the order of the names."""
    command, _ = grammar.find(["key", "get"])
    values = grammar.parse_own(command, words)

    assert (values["json"], values["decrypt"], values["scope"]) == (True, True, "user")
    assert sorted(values["name"]) == ["one", "two"]


def test_a_required_option_that_is_missing_is_named() -> None:
    """The refusal says which option is needed."""
    command, _ = grammar.find(["key", "delete_by_prefix"])

    with pytest.raises(Usage, match="--prefix"):
        grammar.parse_own(command, [])


def test_version_is_a_flag_and_a_command() -> None:
    """Both print the same line."""
    outcomes = {served.run(word, environment=HERE).output for word in ("--version", "version")}

    assert len(outcomes) == 1
    assert outcomes.pop().startswith("whimbrel ")

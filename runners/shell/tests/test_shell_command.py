"""Command lines: quoting, arguments, accounts, environments."""

import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shell_command import (
    Account,
    ScriptArguments,
    child_environment,
    inherited_environment,
    local_command,
    local_script,
    made_executable,
    positional_text,
    quote_unix,
    quote_windows,
    script_arguments,
)

SERVICE = Account(service_user="svc")


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_quoted_text_is_one_word_again(text: str) -> None:
    """What is quoted comes out of the shell's reading unchanged."""
    assert [text] == shlex.split(quote_unix(text))


@pytest.mark.parametrize(
    ("value", "expected"), [("", '""'), ("a b", '"a b"'), ('a"b', 'a\\"b'), ("\\", "\\")]
)
def test_windows_quoting_follows_its_own_rules(value: str, expected: str) -> None:
    """Only blanks and quotes matter there."""
    assert expected == quote_windows(value)


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (SERVICE, "id -u"),
        (Account(service_user="svc", user="svc"), "id -u"),
        (Account(service_user="svc", sudo=True), "sudo -E -- bash -c 'id -u'"),
        (Account(service_user="svc", user="bob", sudo=True), "sudo -E -- bash -c 'id -u'"),
        (Account(service_user="svc", user="bob"), "sudo -E -H -u bob -- bash -c 'id -u'"),
        (Account(service_user="svc", user="b b"), "sudo -E -H -u 'b b' -- bash -c 'id -u'"),
    ],
)
def test_another_account_is_reached_by_sudo(account: Account, expected: str) -> None:
    """The service's own account needs no sudo; `sudo` means root whoever else is named."""
    assert expected == local_command("id -u", account).text


def test_the_password_goes_to_sudo_alone() -> None:
    """It is on standard input, in no text and in no repr."""
    account = Account(service_user="svc", sudo=True, sudo_password="s3cret")

    command = local_command("date", account)

    assert command.text == "sudo -S -E -- bash -c date"
    assert command.logged == "echo -e '********\n' | sudo -S -E -- bash -c date"
    assert command.stdin == b"s3cret\n"
    assert "s3cret" not in f"{account}{command}"


def test_a_command_without_sudo_cannot_read_the_password() -> None:
    """A password that nobody needs is not put where the command could read it."""
    command = local_command("cat", Account(service_user="svc", sudo_password="s3cret"))

    assert command.stdin is None


def test_named_arguments_come_first_in_the_order_given() -> None:
    """True is a bare flag; False, None and the empty text are left out; 0 is passed."""
    named = {
        "--z": "1",
        "--t": True,
        "--f": False,
        "--n": None,
        "--e": "",
        "--zero": 0,
        "-l": [1, "a b"],
    }

    command = local_script(
        "/s.sh", ScriptArguments(named=named, positional=["p 1", "", None]), SERVICE
    )

    assert command.text == "/s.sh --z=1 --t --zero=0 -l='[1, '\"'\"'a b'\"'\"']' 'p 1' '' ''"


@pytest.mark.parametrize("account", [SERVICE, Account(service_user="svc", sudo=True)])
def test_a_script_path_is_quoted_wherever_it_stands(account: Account) -> None:
    """A blank or a dollar in a pack's path splits no command, under sudo neither."""
    script = "/opt/my $pack/s.sh"

    command = made_executable(
        local_script(script, ScriptArguments(named={}, positional=[]), account), script
    )

    assert command.text.startswith("chmod +x '/opt/my $pack/s.sh' ; ")
    innermost = (
        shlex.split(shlex.split(command.text)[-1])[-1]
        if account.sudo
        else shlex.split(command.text)[-1]
    )
    assert script == innermost


def test_positions_order_the_arguments_and_keep_their_places() -> None:
    """A missing value stays as an empty argument, so that later ones do not move up."""
    schema: dict[str, dict[str, Any]] = {
        "a": {"position": 2, "type": "string"},
        "b": {"position": 5},
        "c": {"position": 3},
        "d": {},
    }

    arguments = script_arguments(schema, {"a": "1", "b": "2", "d": "4"}, kwarg_op="-")

    assert arguments.positional == ["1", "", "2"]
    assert arguments.named == {"-d": "4"}


def test_the_later_of_two_claims_to_a_position_wins() -> None:
    """The other becomes a named argument, not lost."""
    schema = {"a": {"position": 0}, "b": {"position": 0}}

    arguments = script_arguments(schema, {"a": "1", "b": "2"})

    assert (arguments.positional, arguments.named) == (["2"], {"--a": "1"})


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("x y", "string", "x y"),
        (None, "string", ""),
        (5, "integer", "5"),
        (0, "integer", ""),
        (1.5, "number", "1.5"),
        (True, "boolean", "1"),
        (False, "boolean", "0"),
        ("true", "boolean", "1"),
        (None, "boolean", ""),
        (["a", 1], "array", "a,1"),
        ([], "array", ""),
        ({"k": [1, "ü"]}, "object", '{"k":[1,"ü"]}'),
        ({}, "object", ""),
        (True, None, "True"),
        ({"k": 1}, None, "{'k': 1}"),
    ],
)
def test_positional_values_become_text_by_their_type(
    value: object, kind: str | None, expected: str
) -> None:
    """Scripts in packs rely on these spellings."""
    assert expected == positional_text(value, kind)


def test_the_actions_variables_cannot_be_replaced() -> None:
    """The user's variables come over the inherited ones, the action's over both."""
    environment = child_environment(
        {"PATH": "/bin", "A": "inherited"},
        user_variables={"A": "mine", "N": 5, "E": None, "ST2_ACTION_EXECUTION_ID": "forged"},
        action_variables={"ST2_ACTION_EXECUTION_ID": "real"},
    )

    assert environment == {
        "PATH": "/bin",
        "A": "mine",
        "N": "5",
        "E": "",
        "ST2_ACTION_EXECUTION_ID": "real",
    }


def test_the_plugins_own_variables_stay_with_it() -> None:
    """Children do not learn where the host listens."""
    assert inherited_environment({"PATH": "/bin", "WHIMBREL_LISTEN": "unix:/x"}) == {"PATH": "/bin"}

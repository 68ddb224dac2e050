"""Logging in and being logged in."""

import base64
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Whimbrel
from tests.unit.cli.documents import KEY
from tests.unit.cli.served import Reply, Served

TOKEN = "a" * 32
MADE = {"user": "ann", "token": TOKEN, "expiry": "2023-11-15T22:13:20.000000Z"}


def password_of(header: str) -> str:
    """Return user and password of a Basic header."""
    return base64.b64decode(header.removeprefix("Basic ")).decode()


def test_login_keeps_the_token_for_the_commands_to_come(server: Served, whimbrel: Whimbrel) -> None:
    """The next command sends it, to the same server."""
    server.on("POST", "/auth/v1/tokens", Reply(MADE, 201))
    server.on("GET", "/api/v1/keys/k", Reply(KEY))

    outcome = whimbrel("login", "ann", "-p", "pw", "-l", "60", WHIMBREL_AUTH_TOKEN="")
    whimbrel("key", "get", "k", WHIMBREL_AUTH_TOKEN="")

    assert outcome[:2] == (0, "Logged in as ann\n")
    login, get = server.requests
    assert password_of(login.headers["authorization"]) == "ann:pw"
    assert login.document() == {"ttl": 60}
    assert "x-auth-token" not in login.headers
    assert get.headers["x-auth-token"] == TOKEN


def test_the_password_can_come_from_standard_input(server: Served, whimbrel: Whimbrel) -> None:
    """It need not stand on the command line, and is not written down."""
    server.on("POST", "/auth/v1/tokens", Reply(MADE, 201))

    whimbrel("login", "ann", "--password-stdin", typed="päss word\n", WHIMBREL_AUTH_TOKEN="")

    assert password_of(server.requests[0].headers["authorization"]) == "ann:päss word"


def test_without_a_terminal_no_password_is_asked_for(whimbrel: Whimbrel) -> None:
    """The way that works is named."""
    outcome = whimbrel("login", "ann", WHIMBREL_AUTH_TOKEN="")

    assert outcome.code == 2
    assert "--password-stdin" in outcome.errors


def test_a_kept_password_logs_in_again_by_itself(
    server: Served, whimbrel: Whimbrel, tmp_path: Path
) -> None:
    """With --write-password, an expired token is replaced without a question."""
    expired = {**MADE, "expiry": "2023-11-14T22:13:21Z"}
    server.on("POST", "/auth/v1/tokens", Reply(expired, 201), Reply(MADE, 201))
    server.on("GET", "/api/v1/keys/k", Reply(KEY))

    whimbrel("login", "ann", "-p", "pw", "-w", WHIMBREL_AUTH_TOKEN="")
    for _ in range(2):
        assert whimbrel("key", "get", "k", WHIMBREL_AUTH_TOKEN="").code == 0

    assert server.calls() == ["POST /auth/v1/tokens"] * 2 + ["GET /api/v1/keys/k"] * 2
    config = tmp_path / ".whimbrel" / "config"
    assert "password = pw" in config.read_text()
    assert config.stat().st_mode & 0o777 == 0o600


def test_a_wrong_password_is_told(server: Served, whimbrel: Whimbrel, tmp_path: Path) -> None:
    """Nothing is written down."""
    refusal = Reply({"faultstring": "Invalid or missing credentials"}, 401)
    server.on("POST", "/auth/v1/tokens", refusal)

    outcome = whimbrel("login", "ann", "-p", "no", "-w", WHIMBREL_AUTH_TOKEN="")

    assert outcome.code == 1
    assert outcome.errors == (
        "ERROR: Failed to log in as ann: 401 Client Error: Unauthorized\n"
        "MESSAGE: Invalid or missing credentials\n"
    )
    assert not (tmp_path / ".whimbrel").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [(["-t"], f"{TOKEN}\n"), (["-y"], f"expiry: '{MADE['expiry']}'\ntoken: {TOKEN}\nuser: ann\n")],
)
def test_auth_prints_a_token(
    words: list[str], expected: str, server: Served, whimbrel: Whimbrel, tmp_path: Path
) -> None:
    """It is printed and kept nowhere."""
    server.on("POST", "/auth/v1/tokens", Reply(MADE, 201))

    assert expected == whimbrel("auth", "ann", "-p", "pw", *words, WHIMBREL_AUTH_TOKEN="").output
    assert not (tmp_path / ".whimbrel").exists()


def test_whoami_shows_user_method_and_roles(server: Served, whimbrel: Whimbrel) -> None:
    """It says who the server takes one for."""
    server.on(
        "GET",
        "/api/v1/user",
        Reply(
            {
                "username": "ann",
                "authentication": {"method": "authentication token", "token_expire": "T"},
                "rbac": {"enabled": False, "roles": ["admin", "observer"]},
            }
        ),
    )

    assert whimbrel("whoami").output == (
        'Currently logged in as "ann".\n'
        "\n"
        "Authentication method: authentication token\n"
        "Authentication token expire time: T\n"
        "\n"
        "RBAC:\n"
        " - Enabled: False\n"
        " - Roles: admin, observer\n"
    )


def test_whoami_without_a_login_exits_0(server: Served, whimbrel: Whimbrel) -> None:
    """Not being logged in is an answer, not an error."""
    server.on("GET", "/api/v1/user", Reply({"faultstring": "Unauthorized"}, 401))

    outcome = whimbrel("whoami", WHIMBREL_AUTH_TOKEN="")

    assert outcome.code == 0
    assert "Unable to retrieve currently logged-in user" in outcome.output


def test_a_password_file_that_others_can_read_is_warned_of(
    server: Served, whimbrel: Whimbrel, tmp_path: Path
) -> None:
    """The warning says how to mend it."""
    config = tmp_path / "config"
    config.write_text("[credentials]\nusername = ann\npassword = pw\n")
    config.chmod(0o644)

    outcome = whimbrel("--config-file", str(config), "key", "get", "k")

    assert f"chmod 600 {config}" in outcome.errors

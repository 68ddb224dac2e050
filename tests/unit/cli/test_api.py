"""What is asked of the server, and what its refusals look like."""

import socket
import threading
from pathlib import Path

from tests.unit.cli import served
from tests.unit.cli.conftest import Whimbrel
from tests.unit.cli.documents import KEY
from tests.unit.cli.served import Reply, Served


def test_refusals_show_code_reason_and_message(server: Served, whimbrel: Whimbrel) -> None:
    """An error of the server is shown as StackStorm's client shows it, and exits with 1."""
    server.on("GET", "/api/v1/keys", Reply({"faultstring": "Bad scope."}, 400))

    outcome = whimbrel("key", "list")

    assert (outcome.code, outcome.output) == (1, "")
    assert outcome.errors == "ERROR: 400 Client Error: Bad Request\nMESSAGE: Bad scope.\n"


def test_an_error_without_an_explanation_says_so(server: Served, whimbrel: Whimbrel) -> None:
    """A body that is no JSON is not shown as one."""
    server.on("GET", "/api/v1/keys", Reply(text="<html>", status=502))

    assert (
        whimbrel("key", "list").errors
        == "ERROR: 502 Server Error: Bad Gateway\nMESSAGE: the server did not say why\n"
    )


def test_a_401_says_how_to_log_in(server: Served, whimbrel: Whimbrel) -> None:
    """Who is not logged in learns the command that helps."""
    server.on("GET", "/api/v1/keys", Reply({"faultstring": "Unauthorized"}, 401))

    assert "whimbrel login USER" in whimbrel("key", "list").errors


def test_nobody_at_the_port_says_how_to_start_a_broker(tmp_path: Path) -> None:
    """A refused connection is answered with the command that helps."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        outcome = served.run(
            "key", "get", "k", environment={"HOME": str(tmp_path), "WHIMBREL_URL": url}
        )

    assert outcome.code == 1
    assert (
        f"ERROR: nothing answers at {url}. Is it running? Start it with: whimbrel up\n"
        == outcome.errors
    )


def test_tls_to_a_plain_port_is_explained(server: Served, whimbrel: Whimbrel) -> None:
    """An https address of a server without TLS is told as what it is."""
    outcome = whimbrel("key", "get", "k", WHIMBREL_URL=server.url.replace("http:", "https:"))

    assert outcome.code == 1
    assert "does not speak TLS" in outcome.errors


def test_an_answer_that_is_no_json_is_an_error(server: Served, whimbrel: Whimbrel) -> None:
    """Some other server at the address is told apart from ours."""
    server.on("GET", "/api/v1/keys/k", Reply(text="<html>hello"))

    assert "is not JSON: '<html>hello'" in whimbrel("key", "get", "k").errors


def test_a_token_wins_over_an_api_key(server: Served, whimbrel: Whimbrel) -> None:
    """One credential is sent: the token when there is one, else the key."""
    server.on("GET", "/api/v1/keys/k", Reply(KEY))

    whimbrel("key", "get", "k", WHIMBREL_API_KEY="key")
    whimbrel("key", "get", "k", WHIMBREL_API_KEY="key", WHIMBREL_AUTH_TOKEN="")

    with_token, with_key = (request.headers for request in server.requests)
    assert (with_token["x-auth-token"], with_token.get("st2-api-key")) == ("tok", None)
    assert (with_key.get("x-auth-token"), with_key["st2-api-key"]) == (None, "key")


def test_a_proxy_gets_its_basic_auth(server: Served, whimbrel: Whimbrel) -> None:
    """--basic-auth is for the proxy in front and does not replace the token."""
    server.on("GET", "/api/v1/keys/k", Reply(KEY))

    whimbrel("--basic-auth", "u:p", "key", "get", "k")

    assert server.requests[0].headers["authorization"] == "Basic dTpw"
    assert server.requests[0].headers["x-auth-token"] == "tok"


def test_debug_shows_requests_and_answers_without_secrets(
    server: Served, whimbrel: Whimbrel
) -> None:
    """Each exchange is shown on stderr as a curl line; tokens and secret values are masked."""
    server.on("PUT", "/api/v1/keys/k", Reply({**KEY, "secret": True, "value": "cipher"}))

    outcome = whimbrel("--debug", "key", "set", "k", "hush", "-e")

    assert "# -------- begin 1 request ----------\ncurl -X PUT" in outcome.errors
    assert "# -------- begin 1 response ----------" in outcome.errors
    assert "# -------- end 1 response ------------" in outcome.errors
    assert "X-Auth-Token: ********" in outcome.errors
    assert not any(secret in outcome.errors for secret in ("tok'", "hush", "cipher"))


def test_a_connection_that_the_server_closed_is_opened_again(tmp_path: Path) -> None:
    """A question over a connection that has gone in the meantime is asked once more."""
    head = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}"
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            # Each connection answers one request and is closed without a word about it.
            for _ in range(2):
                connection, _ = listener.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(head)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        outcome = served.run(
            *("key", "get", "one", "two"),
            environment={"HOME": str(tmp_path), "WHIMBREL_URL": url, "WHIMBREL_AUTH_TOKEN": "t"},
        )
        thread.join()

    assert outcome.code == 0
    assert 'Value Pair "one" is not found.\n' in outcome.errors
    assert 'Value Pair "two" is not found.\n' in outcome.errors

"""The door: who may come in, what errors look like, limits."""

import asyncio
from collections.abc import Iterable

import pytest
import structlog
from whimbrel.broker.application import Broker
from whimbrel.broker.identity import FREE_FAILURES
from whimbrel.errors import Corrupt, LimitExceeded, PermissionDenied, Unavailable
from whimbrel.gateway.app import Settings
from whimbrel.gateway.endpoints import ENDPOINTS
from whimbrel.gateway.openapi import full_path
from whimbrel.gateway.ports import BrokerPort
from whimbrel.gateway.reference import render

from tests.unit.gateway.calls import PORT, Door, play
from tests.unit.gateway.fakes import object_id

LOCAL = "/api/v1/actions/core.local"


def conforms(broker: Broker) -> BrokerPort:
    """Type-check that the real broker is what the gateway asks for."""
    return broker


def open_paths() -> Iterable[str]:
    """Return what needs no credentials."""
    return sorted(full_path(one) for one in ENDPOINTS if not one.auth)


def test_only_a_known_few_need_no_credentials() -> None:
    """A new endpoint is closed unless this list says otherwise."""
    assert open_paths() == [
        "/api/v1",
        "/auth/v1/sso",
        "/auth/v1/tokens",
        "/auth/v1/tokens/validate",
        "/health",
    ]


def test_every_other_endpoint_refuses_strangers() -> None:
    """Without credentials the answer is 401, whatever the path's arguments are."""

    async def case(door: Door) -> None:
        door.token = ""
        for one in ENDPOINTS:
            if one.auth:
                answer = await door.call(
                    one.method, full_path(one).replace("{", "").replace("}", "")
                )
                assert (answer.status, answer.fault) == (
                    401,
                    "Unauthorized - One of Token or API key required.",
                )

    play(case)


def test_credentials_are_taken_from_every_carrier() -> None:
    """Token and API key, in headers and in the query, and the cookie; `/user` says which."""

    async def case(door: Door) -> None:
        token, door.token = door.token, ""
        key = (await door.broker.identity.create_api_key("bob")).key
        cases = [
            ("", {"X-Auth-Token": token}, ("ada", "authentication token", "header")),
            ("", {"St2-Api-Key": key}, ("bob", "API key", "header")),
            (f"?x-auth-token={token}", {}, ("ada", "authentication token", "query")),
            (f"?st2-api-key={key}", {}, ("bob", "API key", "query")),
            ("", {"Cookie": f"a=b; auth-token={token}"}, ("ada", "authentication token", "cookie")),
            (
                "",
                {"X-Auth-Token": token, "St2-Api-Key": key},
                ("ada", "authentication token", "header"),
            ),
            (f"?x-auth-token={token}", {"St2-Api-Key": key}, ("bob", "API key", "header")),
        ]
        for query, headers, expected in cases:
            user = (await door.call("GET", f"/api/v1/user{query}", headers=headers)).document
            said = user["authentication"]
            assert (user["username"], said["method"], said["location"]) == expected
            assert ("token_expire" in said) == (said["method"] == "authentication token")
            assert user["rbac"] == {"enabled": False, "roles": [], "is_admin": True}

    play(case)


def test_the_first_carrier_decides_though_a_later_one_is_good() -> None:
    """A wrong token is not saved by a right key."""

    async def case(door: Door) -> None:
        key = (await door.broker.identity.create_api_key("bob")).key
        door.token = "0" * 32

        answer = await door.call("GET", LOCAL, headers={"St2-Api-Key": key})

        assert (answer.status, answer.fault) == (401, "Unauthorized - Token is not found.")

    play(case)


def test_a_token_is_answered_with_the_cookie() -> None:
    """The cookie is out of scripts' reach; an API key, and a gateway told not to, give none."""

    async def case(door: Door) -> None:
        cookie = (await door.call("GET", LOCAL)).headers["set-cookie"]
        assert cookie == f"auth-token={door.token}; HttpOnly; Secure; Path=/; SameSite=lax"

        door.token = ""
        key = (await door.broker.identity.create_api_key("bob")).key
        answer = await door.call("GET", LOCAL, headers={"St2-Api-Key": key})
        assert "set-cookie" not in answer.headers

    async def none(door: Door) -> None:
        assert "set-cookie" not in (await door.call("GET", LOCAL)).headers

    play(case)
    play(none, lambda: Door(Settings(auth_cookie=False)))


@pytest.mark.parametrize(
    ("failure", "status", "fault"),
    [
        (LimitExceeded("x", value=2, maximum=1), 400, "x is limited to 1, got 2"),
        (PermissionDenied("not you"), 403, "not you"),
        (Unavailable("later"), 503, "later"),
        (RecursionError(), 400, "the body is nested too deep to be handled"),
        (Corrupt("damaged: secret detail"), 500, "Internal Server Error"),
        (ZeroDivisionError("secret detail"), 500, "Internal Server Error"),
    ],
)
def test_errors_have_a_status_and_a_text(failure: Exception, status: int, fault: str) -> None:
    """What is broken here is not told in detail, and the log has it under the answer's reference."""

    async def case(door: Door) -> None:
        door.broker.executions.failure = failure
        headers = {"X-Request-ID": "mine-7"}

        with structlog.testing.capture_logs() as logged:
            answer = await door.call(
                "POST", "/api/v1/executions?x=hush", {"action": "core.local"}, headers=headers
            )

        assert (answer.status, answer.fault) == (status, fault)
        assert b"detail" not in answer.data
        if status == 500:
            assert answer.document["reference"] == "mine-7"
            assert [entry["reference"] for entry in logged] == ["mine-7"]
            assert "hush" not in str(logged)
        else:
            assert logged == []

    play(case)


def test_a_conflict_names_the_other_one() -> None:
    """So that a client can go there."""

    async def case(door: Door) -> None:
        answer = await door.call("POST", "/api/v1/actions", {"name": "noop", "runner_type": "noop"})

        assert answer.status == 409
        assert answer.document["conflict-id"] == object_id(1)

    play(case)


def test_unknown_paths_and_methods() -> None:
    """404 in StackStorm's words; 405 says what is allowed."""

    async def case(door: Door) -> None:
        unknown = await door.call("GET", "/api/v1/nope")
        assert (unknown.status, unknown.fault) == (404, "The resource could not be found.")
        wrong = await door.call("DELETE", "/api/v1/executions")
        assert (wrong.status, wrong.headers["allow"]) == (405, "GET, POST")
        assert (await door.call("GET", "/")).status == 404

    play(case)


def test_a_guesser_is_told_when_to_come_back() -> None:
    """Too many wrong passwords are answered 429 with the seconds to wait."""

    async def case(door: Door) -> None:
        headers = {"Authorization": "Basic YWRhOm5v"}
        for _ in range(FREE_FAILURES):
            assert (await door.call("POST", "/auth/v1/tokens", headers=headers)).status == 401

        answer = await door.call("POST", "/auth/v1/tokens", headers=headers)

        assert (answer.status, answer.headers["retry-after"]) == (429, "1")

    play(case)


def test_a_body_over_its_limit_is_refused() -> None:
    """By length, or while it comes in; what is endless ends the connection."""
    settings = Settings(max_body_bytes=20, max_webhook_body_bytes=10)

    async def case(door: Door) -> None:
        declared = await door.call("POST", "/api/v1/actions", b"x" * 21)
        assert (declared.status, declared.fault) == (
            413,
            "max_body_bytes is limited to 20 bytes, got 21 bytes",
        )
        assert "connection" not in declared.headers
        hook = await door.call("POST", "/api/v1/webhooks/in/box", b"x" * 11)
        assert hook.fault.startswith("max_webhook_body_bytes")
        chunked = await door.call("POST", "/api/v1/actions", b"x" * 40, pieces=4)
        assert (chunked.status, chunked.headers["connection"]) == (413, "close")
        assert (await door.call("POST", "/api/v1/webhooks/in/box", b'{"a":1000}')).status == 202

    play(case, lambda: Door(settings))


def test_bad_json_is_refused_with_its_place() -> None:
    """400, not 500, and nothing of the body is repeated."""

    async def case(door: Door) -> None:
        answer = await door.call("POST", "/api/v1/executions", b'{"secret": x}')
        assert (answer.status, answer.fault) == (
            400,
            "Failed to parse request body: JSON is malformed: invalid character at line 1, column 12",
        )
        bodies: tuple[object, ...] = ([], "text", 5)
        for body in bodies:
            assert (await door.call("POST", "/api/v1/executions", body)).status == 400

    play(case)


def test_requests_at_one_time_are_bounded() -> None:
    """Over the limit the answer is 503, at once."""

    async def case(door: Door) -> None:
        answer = await door.call("GET", LOCAL)
        assert (answer.status, answer.fault) == (
            503,
            "1 requests are under way; max_requests is 0",
        )

    play(case, lambda: Door(Settings(max_requests=0)))


@pytest.mark.parametrize(
    ("given", "expected"),
    [("mine-1", "mine-1"), ("a\tb", None), ("é", None), ("x" * 129, None), ("", None)],
)
def test_every_answer_has_a_request_id(given: str, expected: str | None) -> None:
    """The caller's own when it is fit to be sent back, else a new one."""

    async def case(door: Door) -> None:
        answer = await door.call("GET", "/health", headers={"X-Request-ID": given})
        assert answer.headers["x-request-id"] == (expected or CountedRequest)

    CountedRequest = "00000000-0000-0000-0000-000000000001"  # noqa: N806  # the first id
    play(case)


@pytest.mark.parametrize(
    ("allowed", "origin", "expected"),
    [
        ((), "https://ui.example", None),
        (("https://ui.example",), "https://ui.example", "https://ui.example"),
        (("https://ui.example",), "https://evil.example", None),
        (("*",), "https://any.example", "https://any.example"),
        (("*",), "", None),
    ],
)
def test_pages_of_allowed_origins_may_call(
    allowed: tuple[str, ...], origin: str, expected: str | None
) -> None:
    """The same on the question before a call and on the call itself, and without a login."""

    async def case(door: Door) -> None:
        for method, path in (("OPTIONS", LOCAL), ("GET", "/health")):
            answer = await door.call(method, path, headers={"Origin": origin})
            assert answer.status == 200
            assert answer.headers.get("access-control-allow-origin") == expected
            if expected:
                assert "X-Total-Count" in answer.headers["access-control-expose-headers"]
                assert answer.headers["vary"] == "Origin"

    play(case, lambda: Door(Settings(allow_origin=allowed)))


def test_a_listener_of_one_mount_serves_no_other() -> None:
    """The extra ports take paths with and without `/v1`, and nothing of the others."""

    async def case(door: Door) -> None:
        door.app.mounts.update({1: "auth", 2: "api", 3: "stream"})
        expected = {
            (1, "/sso"): 200,
            (1, "/v1/sso"): 200,
            (1, "/v1/actions"): 404,
            (2, "/v1/actions/"): 200,
            (2, "/actions"): 200,
            (2, "/v1"): 200,
            (2, "/api/v1/actions"): 404,
            (2, "/tokens/validate"): 404,
            (3, "/v1/actions"): 404,
            (3, "/health"): 200,
            (PORT, "/actions"): 404,
        }
        for (port, path), status in expected.items():
            assert ((port, path), (await door.call("GET", path, port=port)).status) == (
                (port, path),
                status,
            )

    play(case)


def test_calls_at_one_time_do_not_mix() -> None:
    """Each gets its own answer."""

    async def case(door: Door) -> None:
        paths = [f"/api/v1/actions/core.{name}" for name in ("local", "noop") * 5]
        answers = await asyncio.gather(*(door.call("GET", path) for path in paths))
        assert [answer.document["name"] for answer in answers] == ["local", "noop"] * 5

    play(case)


def test_the_interface_describes_itself() -> None:
    """The OpenAPI document and the reference page have every endpoint."""

    async def case(door: Door) -> None:
        document = (await door.call("GET", "/api/v1/openapi.json")).document
        assert document["openapi"].startswith("3.")
        page = render()
        for one in ENDPOINTS:
            operation = document["paths"][full_path(one)][one.method.lower()]
            assert str(one.success) in operation["responses"]
            assert bool(operation["security"]) == one.auth
            assert f"### `{one.method} {full_path(one)}`" in page
        operations = [
            operation["operationId"]
            for methods in document["paths"].values()
            for operation in methods.values()
        ]
        assert len(operations) == len(set(operations))

    play(case)

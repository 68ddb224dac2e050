"""From paths to endpoints."""

import pytest
from whimbrel.errors import NotFound
from whimbrel.gateway.endpoint import Endpoint, Mount, Reply, Request
from whimbrel.gateway.endpoints import ENDPOINTS
from whimbrel.gateway.ports import BrokerPort
from whimbrel.gateway.routing import MethodNotAllowed, Router, split_mount


async def nothing(broker: BrokerPort, request: Request) -> Reply:
    """Do nothing."""
    return Reply()


def endpoint(method: str, path: str) -> Endpoint:
    """Return an endpoint."""
    return Endpoint(method=method, path=path, handler=nothing, summary="")


ROUTER = Router(
    [
        endpoint("GET", "/"),
        endpoint("GET", "/executions"),
        endpoint("POST", "/executions"),
        endpoint("GET", "/executions/views/filters"),
        endpoint("GET", "/executions/{id}"),
        endpoint("GET", "/executions/{id}/output"),
        endpoint("POST", "/webhooks/{hook:path}"),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "template", "args"),
    [
        ("GET", "/", "/", {}),
        ("GET", "/executions", "/executions", {}),
        ("GET", "/executions/", "/executions", {}),
        ("GET", "/executions//", "/executions", {}),
        ("POST", "/executions", "/executions", {}),
        ("GET", "/executions/views/filters", "/executions/views/filters", {}),
        ("GET", "/executions/7", "/executions/{id}", {"id": "7"}),
        ("GET", "/executions/7/output/", "/executions/{id}/output", {"id": "7"}),
        ("GET", "/executions/a%2Fb", "/executions/{id}", {"id": "a/b"}),
        ("GET", "/actionexecutions/7", "/executions/{id}", {"id": "7"}),
        ("GET", "/actionexecutions", "/executions", {}),
        ("POST", "/webhooks/a/b%20c/d", "/webhooks/{hook:path}", {"hook": "a/b c/d"}),
    ],
)
def test_a_path_finds_its_endpoint(
    method: str, path: str, template: str, args: dict[str, str]
) -> None:
    """Fixed paths go before patterns, and arguments come decoded."""
    found, given = ROUTER.match(method, path)

    assert found.path == template
    assert given == args


@pytest.mark.parametrize("path", ["/nope", "/executions/7/nope", "/webhooks", "/webhooks/", "/%"])
def test_an_unknown_path_is_not_found(path: str) -> None:
    """StackStorm's words for it."""
    with pytest.raises(NotFound, match=r"^The resource could not be found\.$"):
        ROUTER.match("GET", path)


def test_another_method_is_told_apart_from_no_such_path() -> None:
    """The error names what is allowed."""
    with pytest.raises(MethodNotAllowed) as caught:
        ROUTER.match("DELETE", "/executions")

    assert caught.value.allowed == ("GET", "POST")


def test_one_thing_is_described_once() -> None:
    """Two endpoints of one method and path are a mistake of ours."""
    with pytest.raises(ValueError, match="twice"):
        Router([endpoint("GET", "/a"), endpoint("GET", "/a")])


def test_every_endpoint_can_be_reached() -> None:
    """No endpoint is hidden by one that is described before it."""
    by_mount: dict[Mount, list[Endpoint]] = {}
    for one in ENDPOINTS:
        by_mount.setdefault(one.mount, []).append(one)
    for endpoints in by_mount.values():
        router = Router(endpoints)
        for one in endpoints:
            path = one.path.replace("{", "").replace("}", "").replace(":path", "/more")
            assert router.match(one.method, path)[0] is one


@pytest.mark.parametrize(
    ("path", "listener", "expected"),
    [
        ("/api/v1/actions", None, ("api", "/actions")),
        ("/api/actions", None, ("api", "/actions")),
        ("/api/v1", None, ("api", "/")),
        ("/api", None, ("api", "/")),
        ("/auth/v1/tokens", None, ("auth", "/tokens")),
        ("/stream/v1/stream", None, ("stream", "/stream")),
        ("/health", None, ("root", "/health")),
        ("/actions", None, ("root", "/actions")),
        ("/", None, ("root", "/")),
        ("/v1/actions", "api", ("api", "/actions")),
        ("/actions", "api", ("api", "/actions")),
        ("/v1", "api", ("api", "/")),
        ("/v1beta", "api", ("api", "/v1beta")),
        ("/tokens", "auth", ("auth", "/tokens")),
        ("/v1/stream", "stream", ("stream", "/stream")),
        ("/health", "stream", ("root", "/health")),
    ],
)
def test_mounts_are_told_apart(
    path: str, listener: Mount | None, expected: tuple[str, str]
) -> None:
    """By the first segment where everything is served, by the listener elsewhere."""
    assert split_mount(path, listener) == expected

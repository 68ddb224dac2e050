"""The server itself: what it is, how it is, who calls, what it offers."""

from whimbrel.gateway.endpoint import Endpoint, Reply, Request, described
from whimbrel.gateway.ports import BrokerPort

STACKSTORM_VERSION = "3.9.0"
"""The version of StackStorm whose interface this is."""


async def info(broker: BrokerPort, request: Request) -> Reply:
    """Say what answers here."""
    return Reply(
        {
            "version": broker.version,
            "docs_url": f"{request.base_url}/api/v1/openapi.json",
            "stackstorm_version": STACKSTORM_VERSION,
        }
    )


async def health(broker: BrokerPort, request: Request) -> Reply:
    """Say that the process answers; nothing else is told to strangers."""
    return Reply({"status": "ok"})


async def status(broker: BrokerPort, request: Request) -> Reply:
    """Say how the broker is."""
    return Reply(broker.status())


async def user(broker: BrokerPort, request: Request) -> Reply:
    """Say who calls."""
    caller = request.caller
    authentication = {"method": caller.method, "location": caller.location}
    if caller.token_expire:
        authentication["token_expire"] = caller.token_expire
    return Reply(
        {
            "username": caller.user,
            "authentication": authentication,
            "rbac": {"enabled": False, "roles": [], "is_admin": caller.is_admin},
        }
    )


ENDPOINTS = described(
    Endpoint(
        method="GET", path="/", handler=info, summary="The server and its version.", auth=False
    ),
    Endpoint(
        mount="root",
        method="GET",
        path="/health",
        handler=health,
        summary="Whether the process answers.",
        auth=False,
    ),
    Endpoint(method="GET", path="/status", handler=status, summary="How the broker is."),
    Endpoint(method="GET", path="/user", handler=user, summary="Who calls."),
)

"""Every endpoint of the gateway, by area."""

from whimbrel.gateway.endpoint import Endpoint, Reply, Request, described
from whimbrel.gateway.endpoints import (
    actions,
    apikeys,
    auth,
    executions,
    keys,
    packs,
    rules,
    runners,
    server,
    stream,
    triggers,
    webhooks,
)
from whimbrel.gateway.openapi import document
from whimbrel.gateway.ports import BrokerPort

DESCRIBED: tuple[Endpoint, ...] = (
    *server.ENDPOINTS,
    *auth.ENDPOINTS,
    *actions.ENDPOINTS,
    *executions.ENDPOINTS,
    *keys.ENDPOINTS,
    *apikeys.ENDPOINTS,
    *packs.ENDPOINTS,
    *rules.ENDPOINTS,
    *runners.ENDPOINTS,
    *triggers.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *stream.ENDPOINTS,
)


async def openapi(broker: BrokerPort, request: Request) -> Reply:
    """Describe this interface."""
    return Reply(document(ENDPOINTS, broker.version))


ENDPOINTS: tuple[Endpoint, ...] = (
    *described(
        Endpoint(
            method="GET",
            path="/openapi.json",
            handler=openapi,
            summary="This interface as an OpenAPI document.",
        )
    ),
    *DESCRIBED,
)

__all__ = ["ENDPOINTS"]

"""The OpenAPI document of the REST interface, from the endpoints' descriptions."""

from collections.abc import Iterable
from typing import Any

from whimbrel.gateway.endpoint import Endpoint, Kind, Mount, Param
from whimbrel.gateway.routing import PLACE

PREFIXES: dict[Mount, str] = {
    "api": "/api/v1",
    "auth": "/auth/v1",
    "stream": "/stream/v1",
    "root": "",
}
SCHEMAS: dict[Kind, dict[str, Any]] = {
    Kind.TEXT: {"type": "string"},
    Kind.INTEGER: {"type": "integer"},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.LIST: {"type": "array", "items": {"type": "string"}},
    Kind.TIMESTAMP: {"type": "string", "format": "date-time"},
}
CARRIERS = {
    "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
    "key": {"type": "apiKey", "in": "header", "name": "St2-Api-Key"},
    "password": {"type": "http", "scheme": "basic"},
}


def full_path(endpoint: Endpoint) -> str:
    """Return the endpoint's path on the main listener, `{name:path}` as `{name}`."""
    path = "" if endpoint.path == "/" else endpoint.path
    return PREFIXES[endpoint.mount] + PLACE.sub(r"{\1}", path)


def document(endpoints: Iterable[Endpoint], version: str) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(full_path(endpoint), {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Whimbrel", "version": version},
        "paths": paths,
        "components": {
            "securitySchemes": CARRIERS,
            "responses": {
                "Fault": {
                    "description": "What went wrong.",
                    "content": _json(
                        {
                            "type": "object",
                            "required": ["faultstring"],
                            "properties": {"faultstring": {"type": "string"}},
                        }
                    ),
                }
            },
        },
    }


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "summary": endpoint.summary,
        "operationId": f"{endpoint.method.lower()}{_words(full_path(endpoint))}",
        "parameters": [*_path_params(endpoint), *map(_query_param, endpoint.params)],
        "responses": {
            str(endpoint.success): {"description": "Done."},
            "default": {"$ref": "#/components/responses/Fault"},
        },
        "security": [{"token": []}, {"key": []}] if endpoint.auth else [],
    }
    if endpoint.body:
        operation["requestBody"] = {"description": endpoint.body, "content": _json({})}
    return operation


def _words(path: str) -> str:
    return "".join(part.strip("{}.").title() for part in path.replace("_", "/").split("/"))


def _path_params(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name, _ in PLACE.findall(endpoint.path)
    ]


def _query_param(param: Param) -> dict[str, Any]:
    schema = dict(SCHEMAS[param.kind])
    if param.default is not None:
        schema["default"] = param.default
    if param.choices:
        schema["enum"] = list(param.choices)
    described: dict[str, Any] = {
        "name": param.name,
        "in": "query",
        "description": param.summary,
        "schema": schema,
    }
    if param.kind is Kind.LIST:
        described.update(style="form", explode=False)
    return described


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}

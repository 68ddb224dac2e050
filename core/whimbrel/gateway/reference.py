"""The reference page of the REST interface, from the endpoints' descriptions."""

from collections.abc import Iterable, Mapping
from itertools import groupby

from whimbrel.gateway.bodies import DISCARD_BYTES_MAX
from whimbrel.gateway.endpoint import Endpoint, Kind, Mount, Param
from whimbrel.gateway.endpoints import ENDPOINTS
from whimbrel.gateway.faults import STATUSES
from whimbrel.gateway.listing import IDS_MAX
from whimbrel.gateway.openapi import full_path

SERVER = "The server"
SERVER_PATHS = ("/", "/openapi.json", "/status", "/user")
HEADINGS: Mapping[Mount, str] = {"root": SERVER, "auth": "Tokens", "stream": "Event streams"}

INTRODUCTION = f"""\
# REST interface

The paths, parameters and documents are StackStorm's (3.9), so its clients work unchanged. On the main
port the API stands under `/api/v1`, tokens under `/auth/v1`, event streams under `/stream/v1`; `/v1` may
be left out, and a slash at the end makes no difference. The extra ports (`--auth-port`, `--api-port`,
`--stream-port`) serve one of the three each, without its prefix. The same as an OpenAPI document:
`GET /api/v1/openapi.json`.

Credentials, the first that is there decides: header `X-Auth-Token`, header `St2-Api-Key`, query
`x-auth-token`, query `st2-api-key`, cookie `auth-token`. Only what is marked *open* needs none.

Lists: `limit` (-1 means all) and `offset`; headers `X-Total-Count` and `X-Limit`. `include_attributes`
and `exclude_attributes` exclude each other. `id` takes up to {IDS_MAX} ids. A filter of `null` selects
what lacks the field. Unknown parameters are ignored. Times are UTC and have to say so:
`2026-01-31T09:30:00.000000Z`.

Errors are JSON, `{{"faultstring": "…"}}`; a 409 may add `conflict-id`, a 500 the `reference` that finds it
in the log. Every answer has `X-Request-ID`: the caller's own, or a new one. What is left of a body that
was too large is read up to {DISCARD_BYTES_MAX >> 20} MiB and thrown away, beyond that the connection
is closed.

| Status | When |
|---|---|
"""


def render() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION, *_statuses()]
    for area, endpoints in groupby(ENDPOINTS, key=_area):
        parts.append(f"\n## {area}\n")
        parts.extend(_section(endpoint) for endpoint in endpoints)
    return "".join(parts)


def _statuses() -> Iterable[str]:
    for kind, status in STATUSES:
        text = " ".join((kind.__doc__ or "").partition("\n\n")[0].split())
        yield f"| {status} | {text} |\n"


def _area(endpoint: Endpoint) -> str:
    """Return the heading that an endpoint stands under."""
    if endpoint.mount in HEADINGS:
        return HEADINGS[endpoint.mount]
    first = "/" + endpoint.path.split("/")[1]
    return SERVER if first in SERVER_PATHS else first


def _section(endpoint: Endpoint) -> str:
    notes = "" if endpoint.auth else " · *open*"
    lines = [
        f"\n### `{endpoint.method} {full_path(endpoint)}`\n\n",
        f"{endpoint.summary} → {endpoint.success}{notes}\n",
    ]
    if endpoint.body:
        lines.append(f"\nBody: {endpoint.body}. Limit: `{endpoint.limit}`.\n")
    if endpoint.params:
        lines.append("\n| Parameter | Type | Default | |\n|---|---|---|---|\n")
        lines.extend(map(_row, endpoint.params))
    return "".join(lines)


def _row(param: Param) -> str:
    kind = " or ".join(f"`{one}`" for one in param.choices) or param.kind.value
    if param.kind is Kind.LIST:
        kind = "a, b, …"
    default = "" if param.default is None else f"`{str(param.default).lower()}`"
    return f"| `{param.name}` | {kind} | {default} | {param.summary} |\n"

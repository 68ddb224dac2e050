"""Query strings: parsed, converted to what the endpoint declares; unknown parameters are ignored."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from whimbrel.errors import InvalidInput
from whimbrel.gateway.endpoint import Endpoint, Kind, Param
from whimbrel.model import timestamp

FIELDS_MAX = 200
TRUE_WORDS = frozenset({"true", "1", "yes", "y", "t", "on"})
TIMESTAMP = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d{3,6}))?(?:Z|\+00(?::?00)?)", re.ASCII
)


def parse_query(query_string: bytes) -> dict[str, str]:
    """Return the query's first value by name. Raises `InvalidInput` for more than `FIELDS_MAX`."""
    try:
        pairs = parse_qsl(
            query_string.decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS_MAX
        )
    except ValueError as error:
        raise InvalidInput(f"a query may have {FIELDS_MAX} fields at most") from error
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields.setdefault(name, value)
    return fields


def converted(endpoint: Endpoint, given: Mapping[str, str]) -> dict[str, Any]:
    """Return every declared parameter, given or default. Raises `InvalidInput` naming the parameter."""
    values = dict(endpoint.empty)
    for param in endpoint.params:
        text = given.get(param.name, "")
        if text:
            values[param.name] = _converted(param, text)
    return values


def _converted(param: Param, text: str) -> Any:
    if param.choices and text not in param.choices:
        allowed = ", ".join(param.choices)
        raise InvalidInput(f'"{text}" is not allowed; allowed are {allowed}', place=param.name)
    match param.kind:
        case Kind.TEXT:
            return text
        case Kind.BOOLEAN:
            return text.lower() in TRUE_WORDS
        case Kind.LIST:
            return [part.strip() for part in text.split(",") if part.strip()]
        case Kind.TIMESTAMP:
            return parse_timestamp(text, param.name)
        case Kind.INTEGER:
            try:
                return int(text)
            except ValueError as error:
                raise InvalidInput(f'"{text}" is not a whole number', place=param.name) from error


def parse_timestamp(text: str, place: str) -> str:
    """Return a point in time as it is stored, for comparing. Only UTC is understood, and has to be said.

    Raises `InvalidInput`.
    """
    found = TIMESTAMP.fullmatch(text.strip())
    if found is not None:
        day, clock, fraction = found.groups()
        try:
            moment = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=UTC)
        except ValueError:
            found = None
        else:
            microsecond = int((fraction or "").ljust(6, "0"))
            return timestamp(moment.replace(microsecond=microsecond))
    raise InvalidInput(
        f'Datetime value does not match expected format. Got "{text}", allowed is'
        " 2026-01-31T09:30:00.000000Z (UTC; 0 or 3 to 6 digits of a fraction)",
        place=place,
    )

"""Request bodies: read within a limit, understood by their content type."""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs

import msgspec

from whimbrel import nesting
from whimbrel.errors import InvalidInput, LimitExceeded, Unavailable

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

FORM_FIELDS_MAX = 1000
BODY_SECONDS = 60.0
"""How long a body may take that does not come in one piece."""

DISCARD_BYTES_MAX = 64 << 20
JSON_TYPES = ("application/json", "text/json", "")
FORM_TYPE = "application/x-www-form-urlencoded"
MULTIPART_TYPE = "multipart/form-data"

DECODER = msgspec.json.Decoder()


class BodyTooLarge(LimitExceeded):
    """The body is over the limit; it was not read to its end.

    `is_bounded` says whether what is left of it is known and small enough to be thrown away, so that the
    client gets to read the answer.
    """

    def __init__(self, limit: str, *, value: int, maximum: int, is_bounded: bool) -> None:
        super().__init__(limit, value=value, maximum=maximum, unit="bytes")
        self.is_bounded = is_bounded


class Disconnected(Unavailable):
    """The client went away, or stood still, before its body was complete."""


async def read_body(receive: Receive, *, declared: int, limit: str, maximum: int) -> bytes:
    """Return the body; `declared` is its content length, -1 when it is sent in chunks.

    Raises `BodyTooLarge` as soon as more than `maximum` bytes are announced or have come.
    """
    if declared > maximum:
        is_bounded = declared <= DISCARD_BYTES_MAX
        raise BodyTooLarge(limit, value=declared, maximum=maximum, is_bounded=is_bounded)
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body") and message["type"] == "http.request":
        if len(body) > maximum:
            raise BodyTooLarge(limit, value=len(body), maximum=maximum, is_bounded=True)
        return body
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_on(receive, message, limit, maximum)
    except TimeoutError as error:
        raise Disconnected(f"the body did not come within {BODY_SECONDS:.0f} seconds") from error


async def _read_on(
    receive: Receive, message: MutableMapping[str, Any], limit: str, maximum: int
) -> bytes:
    body = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise Disconnected("the client went away before its body was complete")
        body += message.get("body", b"")
        if len(body) > maximum:
            raise BodyTooLarge(limit, value=len(body), maximum=maximum, is_bounded=False)
        if not message.get("more_body"):
            return bytes(body)
        message = await receive()


def parse_body(data: bytes, content_type: str) -> Any:
    """Return what a body says: JSON as it is, plain text as text, each form field as a list of values.

    An empty body is `{}`. Raises `InvalidInput` with the place of the mistake.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/plain":
        return _text(data)
    if not data:
        return {}
    if kind in JSON_TYPES or kind.endswith("+json"):
        return parse_json(data)
    if kind == FORM_TYPE:
        return _form(data)
    if kind == MULTIPART_TYPE:
        return _multipart(data, content_type)
    raise InvalidInput(
        f"Failed to parse request body: unknown content type {kind!r}; allowed are"
        f" application/json, {FORM_TYPE}, {MULTIPART_TYPE} and text/plain"
    )


def parse_json(data: bytes) -> Any:
    """Return the JSON value. Raises `InvalidInput` with line and column."""
    try:
        return checked_depth(DECODER.decode(data), data)
    except msgspec.DecodeError as error:
        reason = str(error)
    except RecursionError:
        reason = f"it is nested too deep, more than {nesting.DEPTH_MAX} levels"
    except UnicodeDecodeError:  # its position is that in one string, not in the body
        reason = "it is not UTF-8"
    raise InvalidInput(f"Failed to parse request body: {_placed(data, reason)}")


def checked_depth(value: Any, data: bytes) -> Any:
    """Return the value of the JSON `data`. Raises `RecursionError` when it is nested too deep to be kept."""
    marks = data.count(b"[") + data.count(b"{")
    if marks > nesting.DEPTH_MAX and nesting.is_too_deep(value):
        raise RecursionError
    return value


def _placed(data: bytes, reason: str) -> str:
    """Turn `(byte N)` at the end of a reason into line and column."""
    text, mark, position = reason.rpartition(" (byte ")
    if not mark or not position.rstrip(")").isdigit():
        return reason
    before = data[: int(position.rstrip(")"))]
    line = before.count(b"\n") + 1
    column = len(before) - (before.rfind(b"\n") + 1) + 1
    return f"{text} at line {line}, column {column}"


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(
            f"Failed to parse request body: it is not UTF-8 (byte {error.start})"
        ) from error


def _form(data: bytes) -> dict[str, list[str]]:
    try:
        return parse_qs(_text(data), keep_blank_values=True, max_num_fields=FORM_FIELDS_MAX)
    except ValueError as error:
        raise InvalidInput(
            f"Failed to parse request body: more than {FORM_FIELDS_MAX} form fields"
        ) from error


def _multipart(data: bytes, content_type: str) -> dict[str, list[str]]:
    """Return the parts' texts by name; what a part calls its file is left out."""
    import python_multipart  # only who sends multipart forms pays for it

    fields: dict[str, list[str]] = {}

    def keep(name: bytes | None, value: bytes | None) -> None:
        if sum(map(len, fields.values())) >= FORM_FIELDS_MAX:
            raise InvalidInput(
                f"Failed to parse request body: more than {FORM_FIELDS_MAX} form fields"
            )
        fields.setdefault((name or b"").decode("utf-8", "replace"), []).append(_text(value or b""))

    def keep_file(file: Any) -> None:
        file.file_object.seek(0)
        keep(file.field_name, file.file_object.read())
        file.close()

    headers = {"Content-Type": content_type.encode("latin-1")}
    try:
        python_multipart.parse_form(
            headers, BytesIO(data), lambda field: keep(field.field_name, field.value), keep_file
        )
    except (python_multipart.exceptions.FormParserError, ValueError) as error:
        raise InvalidInput(f"Failed to parse request body: {error}") from error
    return fields

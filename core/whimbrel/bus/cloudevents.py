"""CloudEvents 1.0 in JSON: written for announcements, read strictly from what others publish.

Errors name the attribute and never repeat a value: a value may be a secret.
"""

import re
from datetime import datetime
from typing import Any, Final

import msgspec

from whimbrel import nesting
from whimbrel.bus.port import Inbound, Refused

STRUCTURED: Final = "application/cloudevents+json"
ATTRIBUTE_LIMIT: Final = 256
"""Bytes of UTF-8 in an `id`, `source`, `type` or `subject`."""
EXTENSION_TEXT_LIMIT: Final = 4096
"""Bytes of UTF-8 in an extension attribute."""
EXTENSION_LIMIT: Final = 32
"""Extension attributes of one event."""

_REQUIRED: Final = ("id", "source", "type")
_CONTEXT: Final = frozenset(
    {*_REQUIRED, "specversion", "subject", "time", "datacontenttype", "dataschema", "data"}
)
_NAME: Final = re.compile(r"[a-z0-9]{1,64}")
_JSON_TYPE: Final = re.compile(r"(application|text)/([\w.+-]+\+)?json")
_INT32: Final = range(-(2**31), 2**31)

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()


class CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What an outside program says happened. `data` is JSON data, `None` when there was none.

    `id` is unique within `source`. `time` is RFC 3339 as it was sent, or empty.
    """

    id: str
    source: str
    type: str
    data: Any = None
    subject: str = ""
    time: str = ""
    extensions: dict[str, str | int | bool] = {}


def cloud_event(
    event_type: str,
    source: str,
    event_id: str,
    time: str,
    data: Any,
    subject: str | None = None,
    **extensions: str | int | bool,
) -> bytes:
    """Return a structured-mode event. `time` is RFC 3339; `data` is what msgspec can encode."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": event_id,
        "source": source,
        "type": event_type,
        "time": time,
        "datacontenttype": "application/json",
        **extensions,
    }
    if subject is not None:
        event["subject"] = subject
    event["data"] = data
    return _encoder.encode(event)


def read_event(inbound: Inbound) -> CloudEvent:
    """Return the event in `inbound`, binary or structured mode. Raises `Refused`."""
    headers = {name.lower(): value for name, value in inbound.headers.items()}
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if "ce-specversion" in headers:
        attributes = {n[3:]: v for n, v in headers.items() if n.startswith("ce-")}
        return _event(attributes, _binary_data(content_type, inbound.data))
    if content_type not in ("", "application/json", STRUCTURED):
        raise Refused(
            f"has to be {STRUCTURED}, or ce-* headers have to be sent", place="content-type"
        )
    document = _json(inbound.data)
    if not isinstance(document, dict):
        raise Refused("a CloudEvent is a JSON object")
    if "data_base64" in document:
        raise Refused("binary data is not taken; send JSON in data", place="data_base64")
    return _event(document, document.get("data"))


def _event(attributes: dict[str, Any], data: Any) -> CloudEvent:
    if attributes.get("specversion") != "1.0":
        raise Refused('has to be "1.0"', place="specversion")
    for name in _REQUIRED:
        if not _text(attributes, name):
            raise Refused("is required and may not be empty", place=name)
    return CloudEvent(
        id=attributes["id"],
        source=attributes["source"],
        type=attributes["type"],
        data=data,
        subject=_text(attributes, "subject"),
        time=_time(attributes),
        extensions=_extensions(attributes),
    )


def _text(attributes: dict[str, Any], name: str) -> str:
    value = attributes.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Refused("has to be a string", place=name)
    if (size := len(value.encode())) > ATTRIBUTE_LIMIT:
        raise Refused(f"is limited to {ATTRIBUTE_LIMIT} bytes, got {size}", place=name)
    return value


def _time(attributes: dict[str, Any]) -> str:
    text = _text(attributes, "time")
    if text:
        try:
            zone = msgspec.convert(text, datetime).tzinfo
        except msgspec.ValidationError:
            zone = None
        if zone is None:
            raise Refused("has to be an RFC 3339 time with a zone", place="time")
    return text


def _extensions(attributes: dict[str, Any]) -> dict[str, str | int | bool]:
    names = attributes.keys() - _CONTEXT
    if len(names) > EXTENSION_LIMIT:
        raise Refused(f"at most {EXTENSION_LIMIT} extension attributes, got {len(names)}")
    for name in names:
        _check_extension(name, attributes[name])
    return {name: attributes[name] for name in sorted(names)}


def _check_extension(name: str, value: Any) -> None:
    if not _NAME.fullmatch(name):
        raise Refused("an attribute's name is 1 to 64 of a-z and 0-9", place=ascii(name)[:80])
    if isinstance(value, str):
        if (size := len(value.encode())) > EXTENSION_TEXT_LIMIT:
            raise Refused(f"is limited to {EXTENSION_TEXT_LIMIT} bytes, got {size}", place=name)
    elif not isinstance(value, bool) and not (isinstance(value, int) and value in _INT32):
        raise Refused("has to be a string, a boolean or a 32-bit integer", place=name)


def _binary_data(content_type: str, data: bytes) -> Any:
    if not data:
        return None
    if content_type in ("", "application/json") or _JSON_TYPE.fullmatch(content_type):
        return _json(data)
    if content_type.startswith("text/"):
        try:
            return data.decode()
        except UnicodeDecodeError:
            raise Refused("text has to be UTF-8", place="data") from None
    raise Refused("has to be JSON or text", place="content-type")


def _json(data: bytes) -> Any:
    try:
        value = _decoder.decode(data)
        is_too_deep = nesting.is_too_deep(value)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"is not JSON: {error}", place="data") from None
    except RecursionError:
        is_too_deep = True
    if is_too_deep:
        raise Refused(f"is nested deeper than {nesting.DEPTH_MAX} levels", place="data")
    return value

"""CloudEvents are written once and read strictly."""

from typing import Any

import msgspec
import pytest
from whimbrel.bus import CloudEvent, Inbound, Refused, cloud_event, read_event
from whimbrel.bus.cloudevents import ATTRIBUTE_LIMIT, EXTENSION_LIMIT, EXTENSION_TEXT_LIMIT

GOOD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "sample.happened"}


def inbound(data: bytes, **headers: str) -> Inbound:
    """Return a message; `_` in a header's name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Inbound("whimbrel.event.sample", "", named, data)


def structured(**changes: Any) -> Inbound:
    """Return a good event with changes; `None` takes an attribute away."""
    event = {name: value for name, value in (GOOD | changes).items() if value is not None}
    return inbound(msgspec.json.encode(event))


def test_what_is_written_can_be_read() -> None:
    """Writing and reading lose nothing."""
    written = cloud_event(
        "sample.happened",
        "/s",
        "1",
        "2026-01-31T09:30:00.000000Z",
        {"a": [1]},
        "door",
        tracetag="t",
    )

    assert read_event(inbound(written)) == CloudEvent(
        id="1",
        source="/s",
        type="sample.happened",
        data={"a": [1]},
        subject="door",
        time="2026-01-31T09:30:00.000000Z",
        extensions={"tracetag": "t"},
    )


def test_binary_mode_is_read() -> None:
    """Attributes may stand in headers, in any case of letters, with the data as the body."""
    message = inbound(
        b'{"a": 1}',
        CE_SpecVersion="1.0",
        ce_id="1",
        Ce_Source="/s",
        ce_type="t",
        ce_tracetag="x",
        Content_Type="application/json; charset=utf-8",
    )

    assert read_event(message) == CloudEvent(
        id="1", source="/s", type="t", data={"a": 1}, extensions={"tracetag": "x"}
    )


@pytest.mark.parametrize(
    ("content_type", "data", "expected"),
    [
        ("text/plain", b"hello", "hello"),
        ("application/problem+json", b"[1]", [1]),
        ("", b"7", 7),
        ("application/octet-stream", b"", None),
    ],
)
def test_binary_data_is_json_or_text(content_type: str, data: bytes, expected: object) -> None:
    """The content type says what the body is."""
    headers = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t"}
    message = Inbound("whimbrel.event.t", "", {**headers, "content-type": content_type}, data)

    assert read_event(message).data == expected


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"specversion": None}, "specversion"),
        ({"specversion": "0.3"}, "specversion"),
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"id": 7}, "id"),
        ({"source": None}, "source"),
        ({"type": None}, "type"),
        ({"type": ["a"]}, "type"),
        ({"id": "é" * ATTRIBUTE_LIMIT}, "id"),
        ({"time": "yesterday"}, "time"),
        ({"time": "2026-01-31T09:30:00"}, "time"),
        ({"data_base64": "AAAA"}, "data_base64"),
        ({"Upper": "x"}, "'Upper'"),
        ({"nested": {"a": 1}}, "nested"),
        ({"big": 2**31}, "big"),
        ({"half": 0.5}, "half"),
        ({"long": "x" * (EXTENSION_TEXT_LIMIT + 1)}, "long"),
    ],
)
def test_a_bad_attribute_is_named(changes: dict[str, Any], place: str) -> None:
    """The publisher learns which attribute is at fault."""
    with pytest.raises(Refused) as refused:
        read_event(structured(**changes))

    assert refused.value.place == place


@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
def test_the_limit_itself_is_taken(name: str) -> None:
    """An attribute may be as long as its limit."""
    longest = "x" * ATTRIBUTE_LIMIT

    assert getattr(read_event(structured(**{name: longest})), name) == longest


def test_extensions_are_counted() -> None:
    """At most so many extension attributes."""
    full = {f"x{number}": True for number in range(EXTENSION_LIMIT)}

    assert read_event(structured(**full)).extensions == full
    with pytest.raises(Refused, match="at most 32 extension attributes, got 33"):
        read_event(structured(**full, more=1))


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[]", b"7", b'{"a": NaN}', b'"\xff"', b"[" * 100_000, b'{"specversion": "1.0"'],
)
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    """Whatever the bytes are, the answer is a refusal."""
    with pytest.raises(Refused):
        read_event(inbound(data))


@pytest.mark.parametrize(
    "content_type", ["application/cloudevents-batch+json", "text/plain", "application/xml"]
)
def test_other_content_is_refused(content_type: str) -> None:
    """A batch or another format is not guessed at."""
    with pytest.raises(Refused) as refused:
        read_event(inbound(msgspec.json.encode(GOOD), Content_Type=content_type))

    assert refused.value.place == "content-type"


def test_a_refusal_does_not_repeat_values() -> None:
    """A value may be a secret."""
    with pytest.raises(Refused) as refused:
        read_event(structured(time="hunter2"))

    assert "hunter2" not in str(refused.value)

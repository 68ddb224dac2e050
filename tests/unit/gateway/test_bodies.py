"""Request bodies."""

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from whimbrel.errors import InvalidInput
from whimbrel.gateway import bodies
from whimbrel.gateway.bodies import (
    DISCARD_BYTES_MAX,
    FORM_FIELDS_MAX,
    BodyTooLarge,
    Disconnected,
    parse_body,
    read_body,
)

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=edge"


def read(parts: list[bytes], *, declared: int = -1, maximum: int = 10, ends: bool = True) -> bytes:
    """Read a body that comes in parts; without `ends` the client goes away after them."""
    messages: list[MutableMapping[str, Any]] = [
        {"type": "http.request", "body": part, "more_body": not ends or part is not parts[-1]}
        for part in parts
    ]
    messages.append({"type": "http.disconnect"})

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    async def run() -> bytes:
        return await read_body(receive, declared=declared, limit="max_body", maximum=maximum)

    return asyncio.run(run())


def test_a_body_is_read_whole() -> None:
    """In one piece or in several, up to the limit."""
    assert read([b""]) == b""
    assert read([b"0123456789"], declared=10) == b"0123456789"
    assert read([b"01234", b"5678", b"9"]) == b"0123456789"


@pytest.mark.parametrize(
    ("parts", "declared", "is_bounded"),
    [
        ([], 11, True),
        ([], DISCARD_BYTES_MAX + 1, False),
        ([b"01234567890"], -1, True),
        ([b"012345", b"678901", b"never read"], -1, False),
    ],
)
def test_a_body_over_the_limit_is_refused(
    parts: list[bytes], declared: int, is_bounded: bool
) -> None:
    """By its announced length before anything is read, else as soon as it is over."""
    with pytest.raises(BodyTooLarge, match="max_body is limited to 10 bytes, got") as caught:
        read(parts, declared=declared)

    assert caught.value.is_bounded is is_bounded


def test_a_client_that_goes_away_is_noticed() -> None:
    """Half a body is no body."""
    with pytest.raises(Disconnected):
        read([b"01"], ends=False)


def test_a_client_that_stands_still_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that stops coming ends in an error."""
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.0)

    async def receive() -> MutableMapping[str, Any]:
        if not started:
            started.append(True)
            return {"type": "http.request", "body": b"0", "more_body": True}
        await asyncio.get_running_loop().create_future()
        raise AssertionError("nothing ever comes here")

    started: list[bool] = []
    with pytest.raises(Disconnected, match="within 0 seconds"):
        asyncio.run(read_body(receive, declared=-1, limit="max_body", maximum=10))


@pytest.mark.parametrize(
    ("data", "content_type", "expected"),
    [
        (b"", "application/json", {}),
        (b"null", "application/json", None),
        (b'{"a": [1, 12345678901234567890123]}', "", {"a": [1, 12345678901234567890123]}),
        (b"[1]", "application/json; charset=utf-8", [1]),
        (b"{}", "application/cloudevents+json", {}),
        ("é".encode(), "text/plain", "é"),
        (b"", "text/plain", ""),
        (b"name=joe&n=7&n=8&e=", FORM, {"name": ["joe"], "n": ["7", "8"], "e": [""]}),
    ],
)
def test_bodies_are_understood_by_their_type(
    data: bytes, content_type: str, expected: object
) -> None:
    """JSON as it is, forms as lists, an empty body as an empty object."""
    assert parse_body(data, content_type) == expected


def test_multipart_forms_arrive_as_lists() -> None:
    """Fields and files alike, by name."""
    data = (
        b'--edge\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
        b'--edge\r\nContent-Disposition: form-data; name="a"; filename="f.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\n2\r\n--edge--\r\n"
    )

    assert parse_body(data, MULTIPART) == {"a": ["1", "2"]}


@pytest.mark.parametrize(
    ("data", "content_type", "expected"),
    [
        (b'{"a":\n  }', "", "invalid character at line 2, column 3"),
        (b'{"a": NaN}', "", "invalid character at line 1, column 7"),
        (b'{"a": 1', "", "truncated"),
        (b'"\xff"', "", "not UTF-8"),
        (b"[" * 100_000, "", "nested too deep"),
        (b"\xff", "text/plain", r"not UTF-8 \(byte 0\)"),
        (b"&".join([b"a=1"] * (FORM_FIELDS_MAX + 1)), FORM, f"more than {FORM_FIELDS_MAX}"),
        (b"nonsense", MULTIPART, "Failed to parse"),
        (b"nonsense", "multipart/form-data", "Failed to parse"),
        (b"<a/>", "text/xml", "unknown content type 'text/xml'; allowed are"),
    ],
)
def test_what_cannot_be_understood_is_refused(
    data: bytes, content_type: str, expected: str
) -> None:
    """The error says where and why."""
    with pytest.raises(InvalidInput, match=r"^Failed to parse request body: .*") as caught:
        parse_body(data, content_type)

    assert caught.match(expected)

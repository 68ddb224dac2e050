"""CloudEvents from outside as events."""

from typing import Any

import msgspec
import pytest
from whimbrel.broker.inbound import event_of
from whimbrel.bus import Inbound, Refused


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def message(**changes: Any) -> Inbound:
    """Return a published CloudEvent; None takes an attribute away."""
    document = {
        "specversion": "1.0",
        "id": "e1",
        "source": "/shop",
        "type": "core.st2.webhook",
        "data": {"body": {"n": 1}},
        **changes,
    }
    sent = {name: value for name, value in document.items() if value is not None}
    return Inbound("whimbrel.event.core.st2.webhook", "m1", {}, msgspec.json.encode(sent))


def test_a_cloudevent_becomes_an_event() -> None:
    """Type, data, id with source, parameters and trace tag arrive."""
    event = event_of(message(triggerparameters='{"url": "hook"}', tracetag="t"))

    assert ("core.st2.webhook", {"body": {"n": 1}}) == (event.trigger, event.payload)
    assert ("/shop#e1", "t", "nats") == (event.event_id, event.trace_tag, event.source)
    assert {"url": "hook"} == event.parameters


def test_sources_do_not_share_ids() -> None:
    """The same id of two sources names two events."""
    assert event_of(message()).event_id != event_of(message(source="/other")).event_id


def test_without_parameters_the_type_is_the_trigger() -> None:
    """An event that names no parameters is of the trigger itself."""
    assert event_of(message()).parameters is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"triggerparameters": "{"}, "triggerparameters: is not JSON"),
        ({"triggerparameters": "[1]"}, "triggerparameters: has to be the text of a JSON object"),
        ({"triggerparameters": "[" * 900}, "triggerparameters"),
        ({"triggerparameters": "[" * 1024 + "]" * 1024}, "triggerparameters"),
        ({"data": _nested(200)}, "data: is nested deeper than 100"),
        ({"triggerparameters": 7}, "triggerparameters"),
        ({"type": None}, "type: is required"),
        ({"id": ""}, "id: is required"),
        ({"source": 7}, "source: has to be a string"),
        ({"specversion": "0.3"}, "specversion"),
        ({"data_base64": "AA=="}, "data_base64"),
        ({"UPPER": "x"}, "attribute"),
    ],
)
def test_what_is_no_event_is_refused_by_name(changes: dict[str, Any], said: str) -> None:
    """The refusal names the attribute at fault."""
    with pytest.raises(Refused, match=said.replace("[", r"\[")):
        event_of(message(**changes))


@pytest.mark.parametrize("data", [b"", b"nonsense", b"[]", b"\xff\xfe", b"[" * 100_000, b"NaN"])
def test_bytes_that_are_no_cloudevent_are_refused(data: bytes) -> None:
    """Nothing that anybody can publish raises anything else than a refusal."""
    with pytest.raises(Refused):
        event_of(Inbound("whimbrel.event.x.y", "", {}, data))

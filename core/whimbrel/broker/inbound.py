"""CloudEvents that outside programs publish on `whimbrel.event.>`, as events.

`type` is the trigger (type) ref, `data` the payload, `id` with `source` the event id. Two extension
attributes are read: `triggerparameters`, the JSON text of the parameters that name a trigger of that
type, as `{"url": "sample"}` for a webhook; and `tracetag`.
"""

from typing import Any

import msgspec

from whimbrel.bus import Inbound, Refused, read_event
from whimbrel.model import Event

PARAMETERS = "triggerparameters"
TRACE_TAG = "tracetag"


def event_of(message: Inbound) -> Event:
    """Return the event that a message holds; raises `Refused` naming the attribute at fault."""
    said = read_event(message)
    return Event(
        trigger=said.type,
        payload=said.data,
        parameters=_parameters(said.extensions.get(PARAMETERS)),
        event_id=f"{said.source}#{said.id}",
        source="nats",
        trace_tag=str(said.extensions.get(TRACE_TAG, "")),
    )


def _parameters(text: object) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        found = msgspec.json.decode(str(text))
    except msgspec.DecodeError as error:
        raise Refused(f"is not JSON: {error}", place=PARAMETERS) from error
    except RecursionError as error:
        raise Refused("is nested too deeply", place=PARAMETERS) from error
    if not isinstance(found, dict):
        raise Refused("has to be the text of a JSON object", place=PARAMETERS)
    return found

"""Triggers as rules need them: made for the first rule that listens, gone with the last.

A trigger type without parameters has one trigger of the same ref (its shadow), there as long as the type.
A type with parameters has a trigger for each set of parameters, counted by the rules that use it.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from whimbrel import errors
from whimbrel.broker.catalog import Draft, trigger_key
from whimbrel.broker.schema import Schema
from whimbrel.model import Trigger, TriggerType
from whimbrel.seams import Ids

WEBHOOK_TYPE = "core.st2.webhook"


def normal_parameters(type_ref: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters as they are compared: a webhook's url without slashes at its ends."""
    url = parameters.get("url")
    if type_ref == WEBHOOK_TYPE and isinstance(url, str):
        return {**parameters, "url": url.strip("/")}
    return dict(parameters)


class Triggers:
    """Keeps triggers in step with rules and trigger types, inside drafts."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._schemas: dict[str, tuple[TriggerType, Schema]] = {}

    def listen(self, draft: Draft, type_ref: str, parameters: Mapping[str, Any]) -> Trigger:
        """Return the trigger for a rule, counted once more. Raises `InvalidInput`."""
        trigger_type: TriggerType | None = draft.get("trigger_type", type_ref)
        if trigger_type is None or (trigger_type.parameters_schema and not parameters):
            raise errors.InvalidInput(
                f'Trigger "{type_ref}" defined in the rule does not exist in system or it\'s missing '
                'required "parameters" attribute'
            )
        if not parameters:
            return self.shadow(draft, trigger_type)
        normal = normal_parameters(trigger_type.ref, parameters)
        self._schema(trigger_type).clean(normal)
        known = draft.trigger(trigger_key(trigger_type.ref, normal))
        if known is None:
            known = self._with_parameters(trigger_type, normal)
        counted = msgspec.structs.replace(known, ref_count=known.ref_count + 1)
        draft.save("trigger", counted)
        return counted

    def leave(self, draft: Draft, trigger_ref: str) -> None:
        """Count a trigger once less; the last rule takes it along."""
        trigger: Trigger | None = draft.get("trigger", trigger_ref)
        if trigger is None or trigger.ref == trigger.type:
            return
        if trigger.ref_count <= 1:
            draft.remove("trigger", trigger)
        else:
            left = msgspec.structs.replace(trigger, ref_count=trigger.ref_count - 1)
            draft.save("trigger", left)

    def shadow(self, draft: Draft, trigger_type: TriggerType) -> Trigger:
        """Return the one trigger of a type without parameters."""
        known: Trigger | None = draft.trigger(trigger_key(trigger_type.ref, {}))
        if known is None:
            known = Trigger(
                id=self._ids.object_id(),
                uid=f"trigger:{trigger_type.pack}:{trigger_type.name}:{_digest({})}",
                ref=trigger_type.ref,
                pack=trigger_type.pack,
                name=trigger_type.name,
                description=trigger_type.description,
                type=trigger_type.ref,
            )
            draft.save("trigger", known)
        return known

    def remove_shadow(self, draft: Draft, trigger_type: TriggerType) -> None:
        """Take the shadow along with its type."""
        known = draft.trigger(trigger_key(trigger_type.ref, {}))
        if known is not None:
            draft.remove("trigger", known)

    def _with_parameters(self, trigger_type: TriggerType, parameters: dict[str, Any]) -> Trigger:
        name = self._ids.uuid()
        return Trigger(
            id=self._ids.object_id(),
            uid=f"trigger:{trigger_type.pack}:{name}:{_digest(parameters)}",
            ref=f"{trigger_type.pack}.{name}",
            pack=trigger_type.pack,
            name=name,
            type=trigger_type.ref,
            parameters=parameters,
        )

    def _schema(self, trigger_type: TriggerType) -> Schema:
        known = self._schemas.get(trigger_type.ref)
        if known is None or known[0] is not trigger_type:
            known = (trigger_type, Schema(trigger_type.parameters_schema))
            self._schemas[trigger_type.ref] = known
        return known[1]


def _digest(parameters: Mapping[str, Any]) -> str:
    """Return the MD5 of the parameters, which is part of a trigger's uid in StackStorm."""
    text = json.dumps(parameters, sort_keys=True).encode()
    return hashlib.md5(text, usedforsecurity=False).hexdigest()

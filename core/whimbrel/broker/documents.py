"""Documents as packs and REST bring them, checked and made into models.

A document is checked against the shape of its kind (unknown keys, missing keys and wrong types are
refused with StackStorm's words) and then against what a shape cannot say. Ids are the caller's.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from whimbrel import errors
from whimbrel.broker.shapes import DEFAULT_PACK, PACK_REF, SHAPES
from whimbrel.model import (
    Action,
    Pack,
    Rule,
    RuleAction,
    RuleTrigger,
    RuleType,
    RunnerOffer,
    RunnerType,
    Trigger,
    TriggerType,
)

GLOBAL_OVERRIDES = "_global"
"""Names the file of overrides for all packs, so no pack may have it."""

SEMVER = re.compile(
    r"(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
)
EMAIL = re.compile(r"[^@\s]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]{2,}")


class DocumentError(errors.InvalidInput):
    """A document has the right shape and still makes no sense. `category` is a word for programs.

    Categories: `duplicate_position`, `positions_not_contiguous`, `immutable_without_default`,
    `immutable_in_runner`, `runner_attribute_override_forbidden`, `operator_missing`,
    `operator_unknown`, `pattern_missing`, `invalid_value`, `invalid_pack_version`,
    `invalid_pack_ref`, `invalid_pack_name`, `reserved_pack_name`, `invalid_email`.
    """

    def __init__(self, message: str, *, category: str) -> None:
        super().__init__(message)
        self.category = category


def checked(kind: str, document: Any) -> dict[str, Any]:
    """Return the document with its defaults; raises `SchemaViolation`, `InvalidInput` for no mapping."""
    if not isinstance(document, dict):
        found = type(document).__name__
        raise errors.InvalidInput(f"expected a mapping that describes the {kind}, found {found}")
    cleaned: dict[str, Any] = SHAPES[kind].clean(document)
    return cleaned


# -- actions ----------------------------------------------------------------------------------------

RUNNER_OVERRIDABLE = ("default", "description", "enum", "immutable", "required")
"""What an action may say anew about a parameter of its runner."""


def check_overrides(
    action: Mapping[str, Mapping[str, Any]],
    runner: Mapping[str, Mapping[str, Any]],
    *,
    ref: str,
) -> None:
    """Refuse an action that redefines more of a runner's parameter than it may."""
    for name, spec in action.items():
        for attribute, value in spec.items() if name in runner else ():
            if attribute not in RUNNER_OVERRIDABLE and runner[name].get(attribute) != value:
                raise DocumentError(
                    f'The attribute "{attribute}" for the runner parameter "{name}" in action '
                    f'"{ref}" cannot be overridden.',
                    category="runner_attribute_override_forbidden",
                )


def check_parameters(
    action: Mapping[str, Mapping[str, Any]],
    runner: Mapping[str, Mapping[str, Any]],
    *,
    ref: str,
) -> None:
    """Refuse parameters that cannot work with the runner. Raises `DocumentError`."""
    _check_positions(action)
    for name, spec in action.items():
        inherited = runner.get(name, {})
        if "immutable" not in spec:
            continue
        if inherited.get("immutable"):
            raise DocumentError(
                f"Param {name} is declared immutable in runner. Cannot override in action.",
                category="immutable_in_runner",
            )
        if "default" not in spec and "default" not in inherited:
            raise DocumentError(
                f"Immutable param {name} requires a default value.",
                category="immutable_without_default",
            )
    check_overrides(action, runner, ref=ref)


def _check_positions(parameters: Mapping[str, Mapping[str, Any]]) -> None:
    taken: dict[int, str] = {}
    for name, spec in parameters.items():
        position = spec.get("position")
        if position is None:
            continue
        if position in taken:
            raise DocumentError(
                f"Parameters {name} and {taken[position]} have same position {position}. "
                "Position values have to be unique.",
                category="duplicate_position",
            )
        taken[position] = name
    positions = sorted(taken)
    if positions and positions != list(
        range(int(positions[0]), int(positions[0]) + len(positions))
    ):
        raise DocumentError(
            f"Positions supplied {positions} for parameters are not contiguous.",
            category="positions_not_contiguous",
        )


def action_of(cleaned: Mapping[str, Any], *, object_id: str) -> Action:
    """Return the action that a checked document describes."""
    return Action(
        **_names("action", cleaned, object_id),
        enabled=cleaned["enabled"],
        entry_point=cleaned["entry_point"],
        metadata_file=cleaned["metadata_file"],
        runner_type=cleaned["runner_type"],
        parameters=cleaned["parameters"],
        output_schema=cleaned.get("output_schema") or {},
        tags=cleaned.get("tags") or [],
        notify=cleaned.get("notify") or {},
    )


def _names(kind: str, cleaned: Mapping[str, Any], object_id: str) -> dict[str, Any]:
    pack, name = cleaned["pack"], cleaned["name"]
    return {
        "id": object_id,
        "uid": f"{kind}:{pack}:{name}",
        "ref": f"{pack}.{name}",
        "pack": pack,
        "name": name,
        "description": cleaned.get("description"),
    }


# -- rules and triggers -----------------------------------------------------------------------------

RULE_TYPES = ("standard", "backstop")


def check_criteria(criteria: Any, operators: Sequence[str]) -> None:
    """Refuse criteria without a known operator or without a pattern. Raises `DocumentError`."""
    if not isinstance(criteria, dict):
        raise DocumentError("Criteria should be a dict.", category="invalid_value")
    for key, criterion in criteria.items():
        operator = criterion.get("type") if isinstance(criterion, dict) else None
        if operator is None:
            raise DocumentError(
                f"Operator not specified for field: {key}", category="operator_missing"
            )
        if operator not in operators:
            raise DocumentError(
                f"For field: {key}, operator {operator} not in list of allowed operators: "
                f"{list(operators)}",
                category="operator_unknown",
            )
        if criterion.get("pattern") is None:
            raise DocumentError(
                f"For field: {key}, no pattern specified for operator {operator}",
                category="pattern_missing",
            )


def check_rule(cleaned: Mapping[str, Any], operators: Sequence[str]) -> None:
    """Refuse a rule of an unknown type or with criteria that make no sense. Raises `DocumentError`."""
    kind = (cleaned.get("type") or {}).get("ref", RULE_TYPES[0])
    if kind not in RULE_TYPES:
        raise DocumentError(
            f'Rule type "{kind}" is not known. Allowed: {", ".join(RULE_TYPES)}',
            category="invalid_value",
        )
    check_criteria(cleaned["criteria"], operators)


def rule_of(cleaned: Mapping[str, Any], *, object_id: str, trigger: Trigger) -> Rule:
    """Return the rule that a checked document describes; it listens to `trigger`."""
    kind = cleaned.get("type") or {"ref": RULE_TYPES[0]}
    action = cleaned["action"]
    return Rule(
        **_names("rule", cleaned, object_id),
        enabled=cleaned["enabled"],
        type=RuleType(ref=kind["ref"], parameters=kind.get("parameters") or {}),
        trigger=RuleTrigger(
            type=trigger.type,
            parameters=trigger.parameters,
            ref=trigger.ref,
            description=cleaned["trigger"].get("description"),
        ),
        criteria=cleaned["criteria"],
        action=RuleAction(
            ref=action["ref"],
            parameters=action.get("parameters") or {},
            description=action.get("description"),
        ),
        context=cleaned.get("context") or {},
        tags=cleaned.get("tags") or [],
        metadata_file=cleaned["metadata_file"],
    )


def trigger_type_of(cleaned: Mapping[str, Any], *, object_id: str) -> TriggerType:
    """Return the trigger type that a checked document describes."""
    named = {**cleaned, "pack": cleaned.get("pack") or DEFAULT_PACK}
    return TriggerType(
        **_names("trigger_type", named, object_id),
        payload_schema=cleaned["payload_schema"],
        parameters_schema=cleaned["parameters_schema"],
        tags=cleaned.get("tags") or [],
        metadata_file=cleaned["metadata_file"],
    )


# -- runners ----------------------------------------------------------------------------------------


def runner_type_of(offer: RunnerOffer, *, object_id: str, enabled: bool) -> RunnerType:
    """Return the runner type that a plugin offers."""
    return RunnerType(
        id=object_id,
        uid=f"runner_type:{offer.name}",
        name=offer.name,
        description=offer.description,
        enabled=enabled,
        runner_package=offer.plugin,
        runner_module=offer.plugin,
        runner_parameters=offer.parameters,
        output_key=offer.output_key,
        output_schema=offer.output_schema,
        aliases=list(offer.aliases),
    )


# -- packs ------------------------------------------------------------------------------------------


def normalized_pack_version(version: Any) -> str:
    """Return the version with a third number when it has two: `0.1` is `0.1.0`."""
    text = str(version)
    return f"{text}.0" if text.count(".") == 1 else text


def pack_ref(metadata: Mapping[str, Any], *, directory: str = "") -> str:
    """Return the ref of a pack: given, else its folder's name, else its name."""
    ref = metadata.get("ref")
    if not ref:
        name = metadata.get("name") or ""
        found = next((text for text in (directory, name) if PACK_REF.match(text)), None)
        if found is None:
            raise DocumentError(
                f'Pack name "{name}" contains invalid characters and "ref" attribute is not '
                'available. You either need to add "ref" attribute which contains only word '
                "characters to the pack metadata file or update name attribute to contain only "
                "word characters.",
                category="invalid_pack_name",
            )
        ref = found
    if ref == GLOBAL_OVERRIDES:
        raise DocumentError(
            f"{GLOBAL_OVERRIDES} is a reserved name, and cannot be used as a pack name",
            category="reserved_pack_name",
        )
    return str(ref)


def checked_pack(metadata: Any) -> dict[str, Any]:
    """Return pack metadata with defaults, its version and ref in good form."""
    if isinstance(metadata, dict):
        version, ref = metadata.get("version"), metadata.get("ref")
        if version and not SEMVER.fullmatch(str(version)):
            raise DocumentError(
                f'Pack version "{version}" doesn\'t follow a valid semver format. Valid versions '
                "and formats include: 0.1.0, 0.2.1, 1.1.0, etc.",
                category="invalid_pack_version",
            )
        if isinstance(ref, str) and not PACK_REF.match(ref):
            raise DocumentError(
                "Pack ref / name can only contain valid word characters (a-z, 0-9 and _), dashes "
                "are not allowed.",
                category="invalid_pack_ref",
            )
    return checked("pack", metadata)


def check_email(email: str | None) -> None:
    """Refuse an address without a host of two parts. Raises `DocumentError`."""
    if email and not EMAIL.fullmatch(email):
        raise DocumentError(f"Invalid email address: {email}", category="invalid_email")


def pack_of(cleaned: Mapping[str, Any], *, object_id: str) -> Pack:
    """Return the pack that checked metadata describes."""
    check_email(cleaned.get("email"))
    known = {f: cleaned.get(f) for f in Pack.__struct_fields__ if cleaned.get(f) is not None}
    ref = cleaned["ref"]
    return msgspec.convert({**known, "id": object_id, "uid": f"pack:{ref}"}, Pack)

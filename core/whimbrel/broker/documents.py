"""Documents as packs and REST bring them, checked and made into models.

A document is checked against the shape of its kind (unknown keys, missing keys and wrong types are
refused with StackStorm's words) and then against what a shape cannot say. Ids are the caller's.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from whimbrel import errors
from whimbrel.broker.schema import ANYTHING, PLAIN_TYPES, Schema
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

DEFAULT_PACK = "default"
GLOBAL_OVERRIDES = "_global"
"""Names the file of overrides for all packs, so no pack may have it."""

POLL_INTERVAL_LEAST_SECONDS = 4

PACK_REF = re.compile(r"^[a-z0-9_]+$")
SEMVER = re.compile(
    r"(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)\.(?:0|[1-9][0-9]*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"
)
EMAIL = re.compile(r"[^@\s]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z0-9-]{2,}")
STACKSTORM_VERSION = r"^((>?>|>=|=|<=|<?<)\s*[0-9]+\.[0-9]+\.[0-9]+?(\s*,)?\s*)+$"


class DocumentError(errors.InvalidInput):
    """A document has the right shape and still makes no sense. `category` is a word for programs.

    Categories: `duplicate_position`, `positions_not_contiguous`, `immutable_without_default`,
    `immutable_in_runner`, `runner_attribute_override_forbidden`, `operator_missing`,
    `operator_unknown`, `pattern_missing`, `invalid_value`, `invalid_pack_version`,
    `invalid_pack_ref`, `invalid_pack_name`, `reserved_pack_name`, `invalid_email`, `poll_interval`.
    """

    def __init__(self, message: str, *, category: str) -> None:
        super().__init__(message)
        self.category = category


# -- shapes -----------------------------------------------------------------------------------------

_TEXT = {"type": "string"}
_FLAG = {"type": "boolean"}
_OBJECT = {"type": "object"}
_NUMBER = {"type": "number"}
_COUNT = {"type": "integer", "minimum": 0}
_SCHEMA = {"$ref": "#/definitions/schema"}
_SCHEMAS = {"type": "array", "minItems": 1, "items": _SCHEMA}
_NAMED_SCHEMAS = {"type": "object", "additionalProperties": _SCHEMA}
_TYPE_NAMES = {"enum": sorted(name for name in PLAIN_TYPES if name != "any")}
_TAGS = {"type": "array", "items": {"type": "object"}}

_SCHEMA_KEYWORDS: dict[str, Any] = {
    "id": _TEXT,
    "$schema": _TEXT,
    "title": _TEXT,
    "description": _TEXT,
    "default": ANYTHING,
    "required": _FLAG,
    "immutable": _FLAG,
    "secret": _FLAG,
    "position": {"type": "number", "minimum": 0},
    "enum": {"type": "array", "minItems": 1, "uniqueItems": True},
    "multipleOf": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
    "maximum": _NUMBER,
    "exclusiveMaximum": _FLAG,
    "minimum": _NUMBER,
    "exclusiveMinimum": _FLAG,
    "maxLength": _COUNT,
    "minLength": _COUNT,
    "pattern": _TEXT,
    "additionalItems": {"anyOf": [_FLAG, _SCHEMA]},
    "items": {"anyOf": [_SCHEMA, _SCHEMAS]},
    "maxItems": _COUNT,
    "minItems": _COUNT,
    "uniqueItems": _FLAG,
    "maxProperties": _COUNT,
    "minProperties": _COUNT,
    "additionalProperties": {"anyOf": [_FLAG, _SCHEMA]},
    "definitions": _NAMED_SCHEMAS,
    "properties": _NAMED_SCHEMAS,
    "patternProperties": _NAMED_SCHEMAS,
    "dependencies": {
        "type": "object",
        "additionalProperties": {"anyOf": [_SCHEMA, {"type": "array", "items": _TEXT}]},
    },
    "allOf": _SCHEMAS,
    "anyOf": _SCHEMAS,
    "oneOf": _SCHEMAS,
    "not": _SCHEMA,
}


def _schema_shape(kind: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"type": kind, **_SCHEMA_KEYWORDS},
        "dependencies": {"exclusiveMaximum": ["maximum"], "exclusiveMinimum": ["minimum"]},
        "additionalProperties": False,
    }


_PARAMETERS = {
    "type": "object",
    "patternProperties": {r"^\w+$": _schema_shape(_TYPE_NAMES)},
    "additionalProperties": False,
    "default": {},
}

_NESTED_TYPE = {"anyOf": [_TYPE_NAMES, {"type": "null"}]}

_DEFINITIONS = {"schema": _schema_shape(_NESTED_TYPE)}

_OUTPUT_SCHEMA = {
    **_schema_shape(_NESTED_TYPE),
    "additionalProperties": True,
}

_NOTIFICATION = {
    "type": "object",
    "properties": {
        "message": _TEXT,
        "data": _OBJECT,
        "routes": {"type": "array"},
        "channels": {"type": "array"},
    },
    "additionalProperties": False,
}


def _shape(properties: dict[str, Any], *, open_ended: bool = False) -> Schema:
    return Schema(
        {
            "type": "object",
            "definitions": _DEFINITIONS,
            "properties": properties,
            "additionalProperties": open_ended,
        }
    )


_METADATA_FILE = {"type": "string", "default": ""}
_PACK_NAME = {"type": "string", "default": DEFAULT_PACK}
_REQUIRED_TEXT = {"type": "string", "required": True}
_NO_ID_YET = {"type": ["string", "null"], "default": None}
_IDENTITY: dict[str, Any] = {
    "id": _NO_ID_YET,
    "uid": _TEXT,
    "ref": _TEXT,
    "description": _TEXT,
    "tags": _TAGS,
    "metadata_file": _METADATA_FILE,
}

_ACTION = {
    **_IDENTITY,
    "id": _TEXT,
    "runner_type": _REQUIRED_TEXT,
    "name": _REQUIRED_TEXT,
    "pack": _PACK_NAME,
    "enabled": {"type": "boolean", "default": True},
    "entry_point": {"type": "string", "default": ""},
    "parameters": _PARAMETERS,
    "output_schema": _OUTPUT_SCHEMA,
    "notify": {
        "type": "object",
        "properties": {
            "on-complete": _NOTIFICATION,
            "on-success": _NOTIFICATION,
            "on-failure": _NOTIFICATION,
        },
        "additionalProperties": False,
    },
}

_DATA_FILES = {
    "type": "array",
    "default": [],
    "items": {
        "type": "object",
        "properties": {"file_path": _REQUIRED_TEXT, "content": _REQUIRED_TEXT},
        "additionalProperties": False,
    },
}

_RULE = {
    **_IDENTITY,
    "name": _REQUIRED_TEXT,
    "pack": _PACK_NAME,
    "enabled": {"type": "boolean", "default": False},
    "type": {
        "type": "object",
        "properties": {"ref": _REQUIRED_TEXT, "parameters": _OBJECT},
        "additionalProperties": False,
    },
    "trigger": {
        "type": "object",
        "required": True,
        "properties": {
            "type": _REQUIRED_TEXT,
            "parameters": {"type": "object", "default": {}},
            "ref": _TEXT,
            "description": _TEXT,
        },
    },
    "criteria": {"type": "object", "default": {}},
    "action": {
        "type": "object",
        "required": True,
        "properties": {"ref": _REQUIRED_TEXT, "parameters": _OBJECT, "description": _TEXT},
        "additionalProperties": False,
    },
    "context": _OBJECT,
}

_TRIGGER_TYPE = {
    **_IDENTITY,
    "name": _REQUIRED_TEXT,
    "pack": _TEXT,
    "payload_schema": {"type": "object", "default": {}},
    "parameters_schema": {"type": "object", "default": {}},
}

_TRIGGER = {
    "id": _NO_ID_YET,
    "uid": _TEXT,
    "ref": _TEXT,
    "name": _TEXT,
    "pack": _TEXT,
    "type": _REQUIRED_TEXT,
    "parameters": _OBJECT,
    "description": _TEXT,
}

_SENSOR_TYPE = {
    "id": _NO_ID_YET,
    "uid": _TEXT,
    "ref": _TEXT,
    "name": _TEXT,
    "class_name": _REQUIRED_TEXT,
    "pack": _TEXT,
    "description": _TEXT,
    "artifact_uri": _TEXT,
    "entry_point": _TEXT,
    "enabled": {"type": "boolean", "default": True},
    "poll_interval": _NUMBER,
    "trigger_types": {
        "type": "array",
        "default": [],
        "items": {"type": "object", "properties": _TRIGGER_TYPE, "additionalProperties": False},
    },
    "metadata_file": _METADATA_FILE,
}

_RUNNER_TYPE = {
    "id": _NO_ID_YET,
    "uid": _TEXT,
    "name": _REQUIRED_TEXT,
    "description": _TEXT,
    "enabled": {"type": "boolean", "default": True},
    "runner_package": _TEXT,
    "runner_module": _REQUIRED_TEXT,
    "query_module": _TEXT,
    "runner_parameters": _PARAMETERS,
    "output_key": _TEXT,
    "output_schema": _OUTPUT_SCHEMA,
    "aliases": {"type": "array", "items": _TEXT},
}

_LINES = {"type": "array", "default": [], "items": _TEXT}

_PACK = {
    "id": _NO_ID_YET,
    "uid": _TEXT,
    "ref": {"type": "string", "pattern": PACK_REF.pattern},
    "name": _REQUIRED_TEXT,
    "description": _REQUIRED_TEXT,
    "version": _REQUIRED_TEXT,
    "author": _REQUIRED_TEXT,
    "email": _TEXT,
    "keywords": _LINES,
    "stackstorm_version": {"type": "string", "pattern": STACKSTORM_VERSION},
    "python_versions": {
        "type": "array",
        "minItems": 1,
        "maxItems": 2,
        "items": {"enum": ["2", "3"], "type": "string"},
    },
    "contributors": {"type": "array", "items": {"type": "string", "maxLength": 100}},
    "dependencies": _LINES,
    "files": _LINES,
    "system": {"type": "object", "default": {}},
    "path": _TEXT,
}

_CONFIG_SCHEMA = {"id": _TEXT, "pack": _TEXT, "attributes": _PARAMETERS}

SHAPES: Mapping[str, Schema] = {
    "action": _shape(_ACTION),
    "action_create": _shape({**_ACTION, "data_files": _DATA_FILES}),
    "config_schema": _shape(_CONFIG_SCHEMA),
    "pack": _shape(_PACK, open_ended=True),
    "rule": _shape(_RULE),
    "runner_type": _shape(_RUNNER_TYPE),
    "sensor_type": _shape(_SENSOR_TYPE),
    "trigger": _shape(_TRIGGER),
    "trigger_type": _shape(_TRIGGER_TYPE),
}
"""What a document of each kind may hold."""


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

"""The shapes of documents: what each kind may hold, in the dialect of `broker.schema`.

They follow StackStorm's own, so that a document which it takes is taken, and one which it refuses is
refused for the same reason.
"""

import re
from collections.abc import Mapping
from typing import Any

from whimbrel.broker.schema import ANYTHING, PLAIN_TYPES, Schema

DEFAULT_PACK = "default"
PACK_REF = re.compile(r"^[a-z0-9_]+$")
STACKSTORM_VERSION = r"^((>?>|>=|=|<=|<?<)\s*[0-9]+\.[0-9]+\.[0-9]+?(\s*,)?\s*)+$"

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

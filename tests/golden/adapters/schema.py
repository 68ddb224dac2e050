"""Validation of documents: actions, rules, triggers, packs and their parts."""

from pathlib import Path
from typing import Any

from whimbrel import rules
from whimbrel.broker import documents, packs, yaml
from whimbrel.broker.schema import Schema
from whimbrel.errors import InvalidInput

REF = "p.a"
KINDS = {
    "action": "action",
    "action_create": "action_create",
    "config_schema": "config_schema",
    "pack": "pack",
    "rule": "rule",
    "runner": "runner_type",
    "sensor": "sensor_type",
    "trigger": "trigger",
    "trigger_type": "trigger_type",
}
ADDED = ("id", "files", "dependencies", "system", "keywords")
"""What one of both sides writes out for an absent member."""

CORE_TRIGGERS = Path(__file__).parents[3] / "packs" / "core" / "triggers"


class NotServedError(Exception):
    """A kind of document that nothing reads yet."""

    category = "not_implemented"


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Check the document, and say what was made of it."""
    match given["kind"]:
        case "document":
            return _document(given)
        case "action_vs_runner":
            documents.check_parameters(
                given["action_parameters"], given["runner_parameters"], ref=REF
            )
            return {"valid": True}
        case "criteria":
            documents.check_criteria(given["criteria"], rules.OPERATOR_NAMES)
            return {"valid": True}
        case "pack_ref":
            directory = given.get("directory", "")
            return {"ref": documents.pack_ref(given["metadata"], directory=directory)}
        case "pack_version":
            return {"normalized": documents.normalized_pack_version(given["version"])}
        case "trigger_payload":
            return {"valid": True, "cleaned": _payload(given)}
        case kind:
            raise NotServedError(kind)


def _document(given: dict[str, Any]) -> dict[str, Any]:
    document, resource = given["document"], given["resource"]
    if resource not in KINDS:
        raise NotServedError(resource)
    if resource == "pack":
        return {"valid": True, "cleaned": documents.checked_pack(document)}
    return {"valid": True, "cleaned": documents.checked(KINDS[resource], document)}


def _payload(given: dict[str, Any]) -> Any:
    for file in CORE_TRIGGERS.glob("*.yaml"):
        described = yaml.load_file(file)
        if f"{packs.SYSTEM_PACK}.{described['name']}" == given["trigger_type"]:
            return Schema(described["payload_schema"]).clean(given["payload"])
    return None


__all__ = ["InvalidInput", "NotServedError", "run"]

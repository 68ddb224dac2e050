"""Parameters of an execution: requested, checked, run."""

from typing import Any

from whimbrel.broker import parameters
from whimbrel.broker.schema import Schema
from whimbrel.expr import datastore

from tests.golden.adapters.jinja import VectorKeys, templates

REF = "pk.act"
SYSTEM_USER = "stanley"
UNRESOLVABLE = "__error__"


class Names(dict[str, Any]):
    """Names beside the parameters; a pack's configuration may refuse to be resolved."""

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if value == UNRESOLVABLE:
            raise parameters.ParameterError(
                "the configuration cannot be resolved", category="config_error"
            )
        return value


def contexts(given: dict[str, Any], *, config: Any) -> Names:
    """Return the names that templates of this vector may use."""
    action_context = given["action_context"]
    user = parameters.datastore_user(action_context, SYSTEM_USER)
    return Names(
        {
            "st2kv": datastore(VectorKeys(given.get("kv")), user),
            "action_context": action_context,
            "config_context": config if {"pack", "user"} <= action_context.keys() else {},
            **(given.get("additional_contexts") or {}),
        }
    )


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Do what the mode says."""
    engine = templates(given.get("crypto_key"))
    schemas = given["runner_parameters"], given["action_parameters"]
    mode, params = given["mode"], given["params"]
    config = given.get("config") or {}
    result: dict[str, Any] = {}
    if mode != "final":
        lenient = {} if config == UNRESOLVABLE else config
        params = parameters.resolve_live(engine, *schemas, params, contexts(given, config=lenient))
        result["live"] = params
    if mode == "request":
        merged = parameters.merged_schemas(*schemas, ref=REF)
        schema = Schema(parameters.parameters_schema(merged))
        parameters.check_request(merged, params, given["params"], schema)
    if mode in ("final", "full"):
        names = contexts({**given, "additional_contexts": None}, config=config)
        resolved = parameters.resolve_final(engine, *schemas, params, names)
        result |= {"runner": resolved.runner, "action": resolved.action}
    return result

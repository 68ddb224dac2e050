"""`/rules` and `/ruleenforcements`."""

from typing import Any

from whimbrel.errors import NotFound
from whimbrel.gateway.convert import mapping
from whimbrel.gateway.endpoint import Endpoint, Kind, Param, Reply, Request, described
from whimbrel.gateway.endpoints.content import ContentKind
from whimbrel.gateway.listing import (
    EXCLUDE,
    IDS,
    INCLUDE,
    OFFSET,
    SHOW_SECRETS,
    SORT,
    document,
    limit_param,
    listing,
    page_params,
    window,
)
from whimbrel.gateway.masking import masked_rule_parameters, replacing
from whimbrel.gateway.ports import BrokerPort
from whimbrel.model import Rule, RuleEnforcement

LIMIT = 50
RULES = ContentKind(
    "rule",
    "/rules",
    Rule,
    {
        "name": lambda rule: rule.name,
        "pack": lambda rule: rule.pack,
        "action": lambda rule: rule.action.ref,
        "trigger": lambda rule: rule.trigger.ref,
        "enabled": lambda rule: rule.enabled,
    },
    (
        IDS,
        Param("name", "Only rules of this name."),
        Param("pack", "Only rules of this pack."),
        Param("action", "Only rules that start this action."),
        Param("trigger", "Only rules that listen to this trigger (its ref, not its type)."),
        Param("enabled", "Only rules that are enabled, or that are not.", Kind.BOOLEAN),
        SHOW_SECRETS,
    ),
)
ENFORCEMENT_FILTERS = (
    Param("execution", "Only of this execution."),
    Param("rule_ref", "Only of the rule of this ref."),
    Param("rule_id", "Only of the rule of this id."),
    Param("trigger_instance", "Only of this trigger instance."),
    Param("enforced_at_gt", "Only later than this.", Kind.TIMESTAMP),
    Param("enforced_at_lt", "Only earlier than this.", Kind.TIMESTAMP),
)


def _shown(broker: BrokerPort, rule: Rule, request: Request) -> dict[str, Any]:
    """Return the rule's document; parameters that its action calls secret are masked."""
    shown: dict[str, Any] = document(rule)
    if not (request.query.get("show_secrets") and request.caller.is_admin):
        shown["action"] = {
            **shown["action"],
            "parameters": masked_rule_parameters(broker.content, rule),
        }
    return shown


async def list_rules(broker: BrokerPort, request: Request) -> Reply:
    """Return rules."""
    attributes = RULES.attributes(request)
    page, total, limit = RULES.page(broker, request)
    return listing([attributes.of(_shown(broker, rule, request)) for rule in page], total, limit)


async def get_rule(broker: BrokerPort, request: Request) -> Reply:
    """Return one rule."""
    attributes = RULES.attributes(request)
    rule = broker.content.find("rule", request.args["ref_or_id"])
    return Reply(attributes.of(_shown(broker, rule, request)))


async def create_rule(broker: BrokerPort, request: Request) -> Reply:
    """Create a rule; it is in the context of who made it."""
    given = mapping(request.body)
    created = await broker.content.create("rule", given, user=request.caller.user)
    return Reply(_shown(broker, created, request))


async def update_rule(broker: BrokerPort, request: Request) -> Reply:
    """Replace a rule. A masked parameter that comes back keeps its value."""
    former: Rule = broker.content.find("rule", request.args["ref_or_id"])
    given = mapping(request.body)
    changed = await broker.content.update("rule", former.id, replacing(former, given))
    return Reply(_shown(broker, changed, request))


async def delete_rule(broker: BrokerPort, request: Request) -> Reply:
    """Remove a rule."""
    await broker.content.delete("rule", request.args["ref_or_id"])
    return Reply()


def _view(broker: BrokerPort, rule: Rule, request: Request) -> dict[str, Any]:
    """Return the rule with what its action and trigger are described as."""
    shown = _shown(broker, rule, request)
    shown["action"] = {
        **shown["action"],
        "description": _description(broker, "action", rule.action.ref),
    }
    shown["trigger"] = {
        **shown["trigger"],
        "description": _description(broker, "trigger_type", rule.trigger.type),
    }
    return shown


def _description(broker: BrokerPort, kind: str, ref: str) -> str:
    try:
        return broker.content.find(kind, ref).description or ""
    except NotFound:
        return ""


async def list_views(broker: BrokerPort, request: Request) -> Reply:
    """Return rules with the descriptions of their actions and triggers."""
    attributes = RULES.attributes(request)
    page, total, limit = RULES.page(broker, request)
    return listing([attributes.of(_view(broker, rule, request)) for rule in page], total, limit)


async def get_view(broker: BrokerPort, request: Request) -> Reply:
    """Return one rule with the descriptions of its action and trigger."""
    return Reply(_view(broker, broker.content.find("rule", request.args["ref_or_id"]), request))


# -- enforcements -----------------------------------------------------------------------------------


def _enforcements(broker: BrokerPort, request: Request) -> tuple[list[RuleEnforcement], int, int]:
    query = request.query
    limit, offset = window(query)
    given = {param.name: query[param.name] for param in ENFORCEMENT_FILTERS if query[param.name]}
    ascending = "+enforced_at" in (query["sort"] or ())
    found, total = broker.events.enforcements(
        limit=limit, offset=offset, ascending=ascending, **given
    )
    return found, total, limit


def _enforcement_view(
    broker: BrokerPort, enforcement: RuleEnforcement, request: Request
) -> dict[str, Any]:
    """Return the enforcement with its trigger instance and execution, as far as they are still there."""
    shown: dict[str, Any] = document(enforcement)
    shown.update(trigger_instance={}, execution={})
    try:
        instance = broker.events.instance(enforcement.trigger_instance_id)
        shown["trigger_instance"] = document(instance)
        if enforcement.execution_id:
            execution = broker.executions.get(enforcement.execution_id)
            shown["execution"] = broker.executions.document(execution)
    except NotFound:
        return shown
    return shown


async def list_enforcements(broker: BrokerPort, request: Request) -> Reply:
    """Return a page of rule enforcements, newest first."""
    found, total, limit = _enforcements(broker, request)
    return listing([document(enforcement) for enforcement in found], total, limit)


async def get_enforcement(broker: BrokerPort, request: Request) -> Reply:
    """Return one rule enforcement."""
    return Reply(document(broker.events.enforcement(request.args["id"])))


async def list_enforcement_views(broker: BrokerPort, request: Request) -> Reply:
    """Return rule enforcements with what belongs to them."""
    found, total, limit = _enforcements(broker, request)
    return listing([_enforcement_view(broker, e, request) for e in found], total, limit)


async def get_enforcement_view(broker: BrokerPort, request: Request) -> Reply:
    """Return one rule enforcement with what belongs to it."""
    enforcement = broker.events.enforcement(request.args["id"])
    return Reply(_enforcement_view(broker, enforcement, request))


RULE_PARAMS = (*page_params(None), SORT, *RULES.filter_params)
ENFORCEMENT_PARAMS = (limit_param(LIMIT), OFFSET, SORT, *ENFORCEMENT_FILTERS)
ENDPOINTS = described(
    Endpoint(
        method="GET", path="/rules", handler=list_rules, summary="List rules.", params=RULE_PARAMS
    ),
    Endpoint(
        method="POST",
        path="/rules",
        handler=create_rule,
        summary="Create a rule.",
        params=(SHOW_SECRETS,),
        body="the rule",
        success=201,
    ),
    Endpoint(
        method="GET",
        path="/rules/views",
        handler=list_views,
        summary="Rules with the descriptions of their actions and triggers.",
        params=RULE_PARAMS,
    ),
    Endpoint(
        method="GET",
        path="/rules/views/{ref_or_id}",
        handler=get_view,
        summary="A rule with the descriptions of its action and trigger.",
        params=(SHOW_SECRETS,),
    ),
    Endpoint(
        method="GET",
        path="/rules/{ref_or_id}",
        handler=get_rule,
        summary="Get a rule by ref or id.",
        params=(INCLUDE, EXCLUDE, SHOW_SECRETS),
    ),
    Endpoint(
        method="PUT",
        path="/rules/{ref_or_id}",
        handler=update_rule,
        summary="Replace a rule.",
        params=(SHOW_SECRETS,),
        body="the rule",
    ),
    Endpoint(
        method="DELETE",
        path="/rules/{ref_or_id}",
        handler=delete_rule,
        summary="Delete a rule.",
        success=204,
    ),
    Endpoint(
        method="GET",
        path="/ruleenforcements",
        handler=list_enforcements,
        summary="List what rules did, newest first.",
        params=ENFORCEMENT_PARAMS,
    ),
    Endpoint(
        method="GET",
        path="/ruleenforcements/views",
        handler=list_enforcement_views,
        summary="What rules did, with trigger instances and executions.",
        params=ENFORCEMENT_PARAMS,
    ),
    Endpoint(
        method="GET",
        path="/ruleenforcements/views/{id}",
        handler=get_enforcement_view,
        summary="What a rule did, with trigger instance and execution.",
    ),
    Endpoint(
        method="GET",
        path="/ruleenforcements/{id}",
        handler=get_enforcement,
        summary="Get what a rule did.",
    ),
)

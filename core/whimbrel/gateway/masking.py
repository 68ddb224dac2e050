"""Rules over the wire: secret parameters of their actions go out masked, and come back as they were."""

from typing import Any

from whimbrel.broker.views import masked_parameters
from whimbrel.errors import NotFound
from whimbrel.gateway.ports import ContentPort
from whimbrel.model import MASK, Rule


def masked_rule_parameters(content: ContentPort, rule: Rule) -> dict[str, Any]:
    """Return the parameters of the rule's action; those that the action calls secret are masked."""
    try:
        action = content.find("action", rule.action.ref)
        runner = content.find("runner_type", action.runner_type)
    except NotFound:  # a rule may name an action that is not there, or not yet
        return rule.action.parameters
    return masked_parameters(rule.action.parameters, runner.runner_parameters, action.parameters)


def replacing(former: Rule, given: dict[str, Any]) -> dict[str, Any]:
    """Return the document that replaces a rule: its context goes on, a masked value is the former one."""
    document = dict(given)
    context = given.get("context") or {}
    if isinstance(context, dict):  # another kind is refused with the rest of the document
        document["context"] = {**former.context, **context}
    action = given.get("action")
    if isinstance(action, dict) and isinstance(action.get("parameters"), dict):
        known = former.action.parameters
        kept = {
            name: known[name] if value == MASK and name in known else value
            for name, value in action["parameters"].items()
        }
        document["action"] = {**action, "parameters": kept}
    return document

"""Whether rules match an event."""

from datetime import UTC, datetime
from typing import Any

from whimbrel.model import Rule, RuleAction, RuleTrigger, RuleType
from whimbrel.rules import Matched, Reason, RuleSet, Stage, TriggerFacts, decide

from tests.golden.adapters.jinja import VectorKeys, templates

SOME_KEY = {
    "hmacKey": {"hmacKeyString": "A" * 43, "size": 256},
    "aesKeyString": "A" * 43,
    "mode": "CBC",
    "size": 256,
}
TRIGGER = "vectors.event"
NOON = datetime(2026, 7, 17, 12, tzinfo=UTC)


class RaisedError(Exception):
    """The reference raises here; the engine records."""

    def __init__(self, category: str) -> None:
        super().__init__(category)
        self.category = category


def _rule(name: str, document: dict[str, Any], kind: str) -> Rule:
    return Rule(
        id=name,
        ref=f"vectors.{name}",
        pack="vectors",
        name=name,
        enabled=document.get("enabled", True),
        type=RuleType(ref=kind),
        trigger=RuleTrigger(type=TRIGGER),
        criteria=document["criteria"],
        action=RuleAction(ref="core.noop"),
    )


def _failure(reason: Reason) -> dict[str, Any]:
    failure = {"stage": str(reason.stage), "category": reason.category}
    if reason.stage is Stage.FIND_OPERATOR:
        raise RaisedError(reason.category)
    if reason.stage is not Stage.OPERATOR:
        failure["key"] = reason.key
    return failure


def run(given: dict[str, Any]) -> dict[str, Any]:
    """Decide, for one rule or a set of them."""
    if given.get("kind") == "rule_set":
        rules = [_rule(r["name"], r, r.get("type", "standard")) for r in given["rules"]]
    else:
        rules = [_rule("rule", given, "standard")]
    now = datetime.fromisoformat(given["now"]) if "now" in given else NOON
    event = TriggerFacts(TRIGGER, given["payload"])
    rule_set = RuleSet(rules, templates(given.get("crypto_key", SOME_KEY)))
    decisions = decide(rule_set, event, now, VectorKeys(given.get("kv")))
    matched = [decision.rule.name for decision in decisions if isinstance(decision, Matched)]
    if given.get("kind") == "rule_set":
        return {"matched_rules": matched}
    failures = [_failure(reason) for decision in decisions for reason in decision.reasons]
    return {"matched": bool(matched), **({"failures": failures} if failures else {})}

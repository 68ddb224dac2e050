"""What an event means to the rules."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from whimbrel.expr import EmptyDatastore, KeyReader, Templates, datastore
from whimbrel.model import Rule
from whimbrel.rules.criteria import Outcome
from whimbrel.rules.operators import OperatorError
from whimbrel.rules.reasons import Reason, Stage, reason_of
from whimbrel.rules.ruleset import BACKSTOP, CompiledRule, RuleSet


class TriggerFacts(msgspec.Struct, frozen=True):
    """An event as rules see it: the ref of its trigger, and its payload (JSON data)."""

    trigger: str
    payload: Any


class Matched(msgspec.Struct, frozen=True):
    """The rule's action is to run. `parameters` are as the rule has them, templates included.

    They are rendered once, with the action's own defaults and schema, by whoever requests the
    execution; `trigger` names the payload then. To render what has been rendered would run
    templates that stand in the event. `reasons` are failures inside `search` that did not matter.
    """

    rule: Rule
    parameters: dict[str, Any]
    reasons: tuple[Reason, ...] = ()


class Failed(msgspec.Struct, frozen=True):
    """The rule could not be evaluated, so it does not match; `reasons` has at least one element."""

    rule: Rule
    reasons: tuple[Reason, ...]

    @property
    def reason(self) -> str:
        """What went wrong, in words, the first failure first."""
        return "; ".join(str(reason) for reason in self.reasons)


Decision = Matched | Failed


class Explanation(msgspec.Struct, frozen=True):
    """Why a rule matches an event or not: the criteria that were asked, up to the first that fails.

    `note` says what decided before any criterion was asked.
    """

    matched: bool
    outcomes: tuple[Outcome, ...]
    reasons: tuple[Reason, ...]
    note: str = ""


def decide(
    rule_set: RuleSet, event: TriggerFacts, now: datetime, keys: KeyReader | None = None
) -> list[Decision]:
    """Return what each rule makes of `event`, in the order of the set; silence means no match.

    Backstop rules are asked only when no other rule matched. Never raises: what cannot be evaluated
    is `Failed`. `now` is aware UTC; `keys` serves `st2kv.system`.
    """
    bucket = rule_set.bucket(event.trigger)
    if bucket is None:
        return []
    names = names_of(event, keys)
    decisions: list[Decision] = []
    backstops: list[CompiledRule] = []
    for compiled in bucket.candidates(names):
        if compiled.rule.type.ref == BACKSTOP:
            backstops.append(compiled)
        elif decision := _decision(compiled, event, names, now):
            decisions.append(decision)
    if not any(isinstance(decision, Matched) for decision in decisions):
        asked = (_decision(compiled, event, names, now) for compiled in backstops)
        decisions += [decision for decision in asked if decision]
    return decisions


def explain(
    rule: Rule,
    event: TriggerFacts,
    now: datetime,
    keys: KeyReader | None = None,
    templates: Templates | None = None,
) -> Explanation:
    """Return why `rule` matches the payload of `event` or not, whichever trigger it waits for."""
    if not rule.enabled:
        return Explanation(False, (), (), "the rule is disabled")
    if rule.criteria and not event.payload:
        return Explanation(False, (), (), "the payload is empty, and the rule has criteria")
    outcomes: list[Outcome] = []
    reasons: list[Reason] = []
    compiled = CompiledRule(rule, templates or Templates())
    matched = _holds(compiled, names_of(event, keys), now, reasons, outcomes)
    return Explanation(matched, tuple(outcomes), tuple(reasons))


def names_of(event: TriggerFacts, keys: KeyReader | None = None) -> dict[str, Any]:
    """Return the names that keys, patterns and action parameters can use for an event."""
    scopes = datastore(keys or EmptyDatastore())
    return {"trigger": event.payload, "system": scopes["system"], "st2kv": scopes}


def _decision(
    compiled: CompiledRule, event: TriggerFacts, names: Mapping[str, Any], now: datetime
) -> Decision | None:
    rule = compiled.rule
    if rule.criteria and not event.payload:
        return None
    reasons: list[Reason] = []
    if _holds(compiled, names, now, reasons, None):
        return Matched(rule, rule.action.parameters, tuple(reasons))
    return Failed(rule, tuple(reasons)) if reasons else None


def _holds(
    compiled: CompiledRule,
    names: Mapping[str, Any],
    now: datetime,
    reasons: list[Reason],
    outcomes: list[Outcome] | None,
) -> bool:
    """Say whether all criteria hold; `outcomes` gets those that were asked."""
    for criterion in compiled.criteria:
        try:
            outcome = criterion.check(names, now, reasons)
        except OperatorError as error:
            reasons.append(reason_of(Stage.FIND_OPERATOR, criterion.key, error))
            return False
        if outcomes is not None:
            outcomes.append(outcome)
        if not outcome.holds:
            return False
    for key, document in compiled.malformed.items():
        message = f"a criterion must be an object, got {document!r}"
        reasons.append(
            Reason(stage=Stage.FIND_OPERATOR, key=key, category="type_error", message=message)
        )
    return not compiled.malformed

"""What an event means to a set of rules."""

from typing import Any

import pytest
from whimbrel.model import Rule
from whimbrel.rules import Failed, Matched, RuleSet, Stage, TriggerFacts, decide, explain

from tests.unit.rules.rule_set import NOW, TRIGGER, equals, rule


def outcome(rules: list[Rule], payload: Any) -> list[tuple[str, str]]:
    """Return the names of the rules that matched or failed, in order."""
    decisions = decide(RuleSet(rules), TriggerFacts(TRIGGER, payload), NOW)
    return [(decision.rule.name, type(decision).__name__) for decision in decisions]


def failure(criteria: dict[str, Any], payload: Any) -> Failed:
    """Return the failure that the one rule with these criteria ends in."""
    event = TriggerFacts(TRIGGER, payload)
    (decision,) = decide(RuleSet([rule(criteria=criteria)]), event, NOW)
    assert isinstance(decision, Failed)
    return decision


def test_all_criteria_must_hold() -> None:
    """A rule matches when each of its criteria does, and says nothing otherwise."""
    both = {**equals("trigger.a", 1), **equals("trigger.b", 2)}
    assert outcome([rule(criteria=both)], {"a": 1, "b": 2}) == [("r", "Matched")]
    assert outcome([rule(criteria=both)], {"a": 1, "b": 3}) == []


def test_a_rule_without_criteria_matches_every_event() -> None:
    """No criteria always hold; some never do for an empty payload."""
    assert outcome([rule()], {}) == [("r", "Matched")]
    wants_nothing = {"trigger.a": {"type": "nexists", "pattern": True}}
    assert outcome([rule(criteria=wants_nothing)], {}) == []


def test_disabled_rules_and_other_triggers_are_not_asked() -> None:
    """Only enabled rules of the event's own trigger can match."""
    rules = [rule("off", enabled=False), rule("other", trigger="test.other"), rule("on")]
    assert outcome(rules, {"a": 1}) == [("on", "Matched")]
    assert decide(RuleSet(rules), TriggerFacts("test.unknown", {}), NOW) == []


def test_decisions_come_in_the_order_of_the_set() -> None:
    """Indexed and other rules mix in their order."""
    rules = [
        rule("a", equals("trigger.x", 1)),
        rule("b"),
        rule("c", equals("trigger.y", "q")),
        rule("d", {"trigger.x": {"type": "gt", "pattern": 0}}),
        rule("e", equals("trigger.x", 1)),
    ]
    assert [name for name, _ in outcome(rules, {"x": 1, "y": "q"})] == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize("kind", ["indexed", "not indexed"])
def test_backstop_rules_are_asked_last(kind: str) -> None:
    """A backstop rule matches only when no other rule does, wherever it stands."""
    wants = equals("trigger.x" if kind == "indexed" else "$.trigger.x", 1)
    rules = [rule("b", wants, kind="backstop"), rule("s", equals("trigger.y", 1))]
    assert outcome(rules, {"x": 1, "y": 1}) == [("s", "Matched")]
    assert outcome(rules, {"x": 1, "y": 2}) == [("b", "Matched")]


def test_a_failed_rule_does_not_hold_back_backstops() -> None:
    """A rule that could not be evaluated did not match."""
    broken = {"trigger.x": {"type": "regex", "pattern": "("}}
    rules = [rule("s", broken), rule("b", kind="backstop")]
    assert outcome(rules, {"x": "y"}) == [("s", "Failed"), ("b", "Matched")]


@pytest.mark.parametrize(
    ("key", "criterion", "stage", "category"),
    [
        ("trigger.x", {"type": "regex", "pattern": "("}, Stage.OPERATOR, "invalid_regex"),
        ("trigger.x", {"type": "lt", "pattern": "a"}, Stage.OPERATOR, "type_error"),
        ("trigger.x", {"type": "td_lt", "pattern": "x"}, Stage.OPERATOR, "value_error"),
        ("trigger.x[", {"type": "exists"}, Stage.LOOKUP_KEY, "invalid_key_expression"),
        ("trigger.x[0]", {"type": "exists"}, Stage.LOOKUP_KEY, "type_error"),
        (
            "trigger.x",
            {"type": "eq", "pattern": "{{ a }}"},
            Stage.RENDER_PATTERN,
            "template_undefined",
        ),
        ("trigger.x", {"type": "eq", "pattern": "{{ a"}, Stage.RENDER_PATTERN, "template_syntax"),
        ("trigger.x", {"type": "is", "pattern": 1}, Stage.FIND_OPERATOR, "invalid_operator"),
        ("trigger.x", {"type": 5, "pattern": 1}, Stage.FIND_OPERATOR, "invalid_operator"),
        ("trigger.x", 5, Stage.FIND_OPERATOR, "type_error"),
    ],
)
def test_what_cannot_be_evaluated_is_recorded(
    key: str, criterion: Any, stage: Stage, category: str
) -> None:
    """A failure says in which stage and at which criterion it happened, and never escapes."""
    (reason,) = failure({key: criterion}, {"x": 1}).reasons
    assert (reason.stage, reason.category, reason.key) == (stage, category, key)


def test_a_failure_is_put_into_words() -> None:
    """The reason of a failed rule is fit for an enforcement record."""
    decision = failure({"trigger.x": {"type": "is", "pattern": 1}}, {"x": 1})
    assert decision.reason.startswith("find operator 'trigger.x': there is no operator 'is'")
    assert "matchregex" in decision.reason


def test_one_broken_rule_leaves_the_others_alone() -> None:
    """An unknown operator fails its own rule only."""
    rules = [rule("broken", {"trigger.x": {"type": "is"}}), rule("fine", equals("trigger.x", 1))]
    assert outcome(rules, {"x": 1}) == [("broken", "Failed"), ("fine", "Matched")]


def test_criteria_after_the_first_that_fails_are_not_asked() -> None:
    """Evaluation stops at the first criterion that does not hold, even before broken ones."""
    criteria = {**equals("trigger.x", 1), "trigger.x#2": {"type": "is"}, "trigger.x#3": 5}
    assert outcome([rule(criteria=criteria)], {"x": 2}) == []


def test_patterns_keep_the_type_of_what_they_name() -> None:
    """A lone expression compares as the value it names, a mixed text as text."""
    same = {"trigger.a": {"type": "equals", "pattern": "{{ trigger.b }}"}}
    for value in (5, "5", [1], {"k": None}, True):
        assert outcome([rule(criteria=same)], {"a": value, "b": value}) == [("r", "Matched")]
    assert outcome([rule(criteria=same)], {"a": 5, "b": "5"}) == []
    mixed = {"trigger.a": {"type": "equals", "pattern": "n{{ trigger.b }}"}}
    assert outcome([rule(criteria=mixed)], {"a": "n5", "b": 5}) == [("r", "Matched")]


def test_datastore_items_in_patterns() -> None:
    """A pattern may be the text of a datastore item; it is read when the rule is asked."""

    class Items:
        def read(self, scope: str, name: str) -> str | None:
            return "host7" if (scope, name) == ("st2kv.system", "hosts.main") else None

    pattern = "{{ st2kv.system.hosts.main }}"
    criteria = {"trigger.host": {"type": "equals", "pattern": pattern}}
    event = TriggerFacts(TRIGGER, {"host": "host7"})
    assert len(decide(RuleSet([rule(criteria=criteria)]), event, NOW, Items())) == 1
    assert decide(RuleSet([rule(criteria=criteria)]), event, NOW) == []


def test_parameters_are_handed_on_unrendered() -> None:
    """Parameters are rendered once, later: what stands in the event is never run as a template."""
    parameters = {"cmd": "{{ trigger.x }}"}
    event = TriggerFacts(TRIGGER, {"x": "{{ 1 + 1 }}"})
    (decision,) = decide(RuleSet([rule(parameters=parameters)]), event, NOW)
    assert isinstance(decision, Matched)
    assert decision.parameters == parameters


def test_failures_inside_search_are_recorded_with_a_match() -> None:
    """A search that holds still reports the children that could not be evaluated."""
    criteria = {
        "trigger.items": {
            "type": "search",
            "condition": "any",
            "pattern": {"item.a": {"type": "startswith", "pattern": "x"}},
        }
    }
    event = TriggerFacts(TRIGGER, {"items": [{"a": "xy"}, {"a": 5}]})
    (decision,) = decide(RuleSet([rule(criteria=criteria)]), event, NOW)
    assert isinstance(decision, Matched)
    assert [(reason.key, reason.category) for reason in decision.reasons] == [
        ("item.a", "type_error")
    ]


def test_explain_shows_what_was_compared() -> None:
    """An explanation lists the criteria that were asked, with the values, up to the one that failed."""
    criteria = {
        **equals("trigger.a", "{{ trigger.b }}"),
        "trigger.n": {"type": "gt", "pattern": 5},
        **equals("trigger.c", 1),
    }
    event = TriggerFacts(TRIGGER, {"a": 1, "b": 1, "n": 2, "c": 1})
    explanation = explain(rule(criteria=criteria), event, NOW)
    assert not explanation.matched
    assert [(o.key, o.operator, o.holds, o.value, o.pattern) for o in explanation.outcomes] == [
        ("trigger.a", "equals", True, 1, 1),
        ("trigger.n", "gt", False, 2, 5),
    ]


@pytest.mark.parametrize(
    ("tested", "payload", "note"),
    [
        (rule(enabled=False), {"a": 1}, "the rule is disabled"),
        (rule(criteria=equals("trigger.a", 1)), {}, "the payload is empty"),
        (rule(criteria={"trigger.a": 5}), {"a": 1}, ""),
        (rule(criteria={"trigger.a": {"type": "is"}}), {"a": 1}, ""),
    ],
)
def test_explain_what_never_reaches_a_criterion(tested: Rule, payload: Any, note: str) -> None:
    """An explanation says what decided when no criterion could."""
    explanation = explain(tested, TriggerFacts(TRIGGER, payload), NOW)
    assert not explanation.matched
    assert explanation.note.startswith(note)
    assert explanation.note or explanation.reasons

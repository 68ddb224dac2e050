"""The index of a rule set changes what is asked, never what is decided."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from whimbrel.model import Rule
from whimbrel.rules import Decision, Matched, RuleSet, TriggerFacts, decide, names_of

from tests.unit.rules.rule_set import NOW, TRIGGER, equals, rule

SCALARS = st.sampled_from([None, True, False, 0, 1, 1.0, "1", "x", "", [], {}, [1], {"a": 1}])
PAYLOADS = st.dictionaries(
    st.sampled_from("abc"), SCALARS | st.just({"a": 1, "b": "x"}), max_size=3
)
KEYS = [
    "trigger.a",
    "trigger.b",
    "trigger.a.b",
    "trigger['c']",
    "$.trigger.a",
    "trigger.a[0]",
    "a[",
]
CRITERIA = st.dictionaries(
    st.sampled_from([f"{key}#{number}" for key in KEYS for number in (1, 2)]),
    st.fixed_dictionaries(
        {
            "type": st.sampled_from(["equals", "eq", "nequals", "exists", "in", "gt", "is"]),
            "pattern": SCALARS | st.sampled_from(["{{ trigger.a }}", "{{ nope }}", [1, "x"]]),
        }
    ),
    max_size=3,
)
KINDS = st.sampled_from(["standard", "backstop"])


def one_by_one(rules: list[Rule], event: TriggerFacts) -> list[Decision]:
    """Return the decisions of sets of one rule each, backstops after the others."""
    decisions: list[Decision] = []
    for backstop in (False, True):
        if any(isinstance(decision, Matched) for decision in decisions):
            break
        for each in rules:
            if (each.type.ref == "backstop") is backstop:
                # A path over the root cannot be indexed.
                first = {"$": {"type": "exists", "pattern": True}}
                plain = rule(each.name, {**first, **each.criteria}, kind=each.type.ref)
                decisions += decide(RuleSet([plain]), event, NOW)
    return decisions


@given(st.lists(st.tuples(CRITERIA, KINDS), max_size=6), PAYLOADS)
def test_the_index_changes_nothing(written: list[tuple[Any, str]], payload: dict[str, Any]) -> None:
    """Any set decides as its rules do when each criterion of each is asked."""
    rules = [
        rule(f"r{number}", criteria, kind=kind) for number, (criteria, kind) in enumerate(written)
    ]
    event = TriggerFacts(TRIGGER, payload)
    expected = one_by_one(rules, event) if payload else decide(RuleSet(rules), event, NOW)
    got = decide(RuleSet(rules), event, NOW)
    shown = [(type(d), d.rule.name, [(r.stage, r.category) for r in d.reasons]) for d in got]
    assert shown == [
        (type(d), d.rule.name, [(r.stage, r.category) for r in d.reasons]) for d in expected
    ]


def asked(rules: list[Rule], payload: dict[str, Any]) -> list[str]:
    """Return the names of the rules that are asked about an event."""
    bucket = RuleSet(rules).bucket(TRIGGER)
    assert bucket is not None
    names = names_of(TriggerFacts(TRIGGER, payload))
    return [compiled.rule.name for compiled in bucket.candidates(names)]


def test_only_rules_that_wait_for_the_value_are_asked() -> None:
    """Of many rules that want different values, an event asks one."""
    rules = [rule(f"r{number}", equals("trigger.host.name", number)) for number in range(1_000)]
    assert asked(rules, {"host": {"name": 7}}) == ["r7"]
    assert asked(rules, {"host": {"name": [7]}}) == []
    assert asked(rules, {"host": 7}) == []


def test_rules_that_could_fail_are_asked() -> None:
    """A criterion that may fail before the equality keeps its rule out of the index."""
    risky = {"trigger.n": {"type": "gt", "pattern": 1}, **equals("trigger.a", 1)}
    safe = {"trigger.n": {"type": "exists", "pattern": True}, **equals("trigger.a", 1)}
    listed = {"trigger.n": {"type": "in", "pattern": [1]}, **equals("trigger.a", 1)}
    rules = [rule("risky", risky), rule("safe", safe), rule("listed", listed)]
    assert asked(rules, {"a": 2, "n": "x"}) == ["risky"]
    assert asked(rules, {"a": 1}) == ["risky", "safe", "listed"]

"""The operators of criteria."""

from typing import Any

import pytest
from whimbrel.rules import (
    OPERATOR_NAMES,
    OPERATORS,
    Matched,
    RuleSet,
    TriggerFacts,
    decide,
)

from tests.unit.rules.rule_set import NOW, TRIGGER, rule


def holds(operator: str, value: Any, pattern: Any, **more: Any) -> bool:
    """Say whether a criterion holds for a value."""
    criteria = {"trigger.v": {"type": operator, "pattern": pattern, **more}}
    event = TriggerFacts(TRIGGER, {"v": value, "other": 1})
    decisions = decide(RuleSet([rule(criteria=criteria)]), event, NOW)
    return any(isinstance(decision, Matched) for decision in decisions)


def test_all_names_are_there_once() -> None:
    """The 33 names of StackStorm's 24 operators each have one meaning and a summary."""
    names = [name for spec in OPERATORS for name in spec.names]
    assert len(OPERATOR_NAMES) == len(set(names)) + 1 == 33
    assert len(OPERATORS) + 1 == 24
    assert all(spec.summary for spec in OPERATORS)


@pytest.mark.parametrize(
    ("operator", "value", "pattern", "expected"),
    [
        ("equals", 1, "1", False),
        ("EQ", 1, 1.0, True),
        ("neq", 1, "1", True),
        ("ieq", "Übung", "üBUNG", True),
        ("contains", [1, 2], 2, True),
        ("contains", "abc", "b", True),
        ("ncontains", "abc", "b", False),
        ("icontains", "ABC", "b", True),
        ("incontains", "ABC", "b", False),
        ("startswith", "abc", "ab", True),
        ("istartswith", "ABC", "ab", True),
        ("endswith", "abc", "bc", True),
        ("iendswith", "ABC", "bc", True),
        ("lt", 1, 2, True),
        ("gt", 2.5, 2, True),
        ("matchwildcard", "a/b\nc", "a*c", True),
        ("matchwildcard", "ABC", "a*", False),
        ("matchregex", "ab\ncd", "a.*d", True),
        ("matchregex", "xab", "ab", False),
        ("regex", "xab", "ab$", True),
        ("iregex", "xAB", "ab$", True),
        ("exists", 0, None, True),
        ("exists", None, None, False),
        ("nexists", None, None, True),
        ("in", "a", ["a", "b"], True),
        ("in", "a", "cab", True),
        ("nin", "a", ["b"], True),
        ("equals", None, None, False),
        ("neq", 1, None, True),
    ],
)
def test_operator(operator: str, value: Any, pattern: Any, expected: bool) -> None:
    """The operator holds for this value and pattern, or it does not."""
    assert holds(operator, value, pattern) is expected


@pytest.mark.parametrize(
    ("value", "age_seconds"),
    [
        ("2026-07-17T11:59:00Z", 60),
        ("2026-07-17T13:59:00+02:00", 60),
        ("2026-07-17 11:59", 60),
        ("17 Jul 2026 11:59 GMT", 60),
        ("2026-07-17 11:59 XYZ", 60),
        ("11:59", 60),
        ("2026-07-17", 43_200),
        ("2026-07-17T24:00:00Z", -43_200),
        ("2026-07-17T12:00:10Z", -10),
    ],
)
def test_dates(value: str, age_seconds: int) -> None:
    """Dates in many notations are compared with the given time, zoneless ones as UTC."""
    assert holds("timediff_lt", value, age_seconds + 1)
    assert not holds("td_lt", value, age_seconds)
    assert holds("timediff_gt", value, str(age_seconds - 1))
    assert not holds("td_gt", value, age_seconds)


ITEMS = [{"n": 1, "s": "a"}, {"n": 2, "s": "b"}]
ONE = {"item.n": {"type": "eq", "pattern": 1}, "item.s": {"type": "eq", "pattern": "a"}}
MIXED = {"item.n": {"type": "eq", "pattern": 1}, "item.s": {"type": "eq", "pattern": "b"}}
NEVER = {"item.n": {"type": "eq", "pattern": 9}}


@pytest.mark.parametrize(
    ("condition", "one", "mixed", "never", "empty"),
    [
        ("any", True, False, False, False),
        ("all", False, False, False, True),
        ("any2any", True, True, False, False),
        ("all2any", False, True, False, True),
    ],
)
def test_search(condition: str, one: bool, mixed: bool, never: bool, empty: bool) -> None:
    """`search` quantifies over items, and over the criteria that each has to meet."""
    for children, expected in ((ONE, one), (MIXED, mixed), (NEVER, never)):
        assert holds("search", ITEMS, children, condition=condition) is expected
    assert holds("search", [], ONE, condition=condition) is empty


def test_search_in_an_object_and_in_nothing() -> None:
    """An object is searched as a list of one; a missing list fails."""
    assert holds("search", ITEMS[0], ONE, condition="all")
    assert not holds("search", None, ONE, condition="all")


def test_search_with_a_templated_pattern() -> None:
    """Patterns of children see `item`, not the event."""
    child = {"item.n": {"type": "eq", "pattern": "{{ item.n }}"}}
    assert holds("search", ITEMS, child, condition="all")
    child = {"item.n": {"type": "eq", "pattern": "{{ trigger.other }}"}}
    assert not holds("search", ITEMS, child, condition="any")
